// The contract's numbers as series, for filters that decide by labels alone. wit/filter.wit says what the numbers mean.

const OWN = 0x8000_0000;
const REMOVE = 0xffff_ffff;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Makes the exported interface `labels` of a filter: see filter.js. */
export function labelFilter({ name, version, configSchema, configure }) {
  const strings = { names: [], values: [] };
  let classify;
  return {
    describe: () => ({
      name,
      version,
      configSchema: JSON.stringify(configSchema),
      state: 'none',
      columns: { timestamps: false, values: false },
      facts: [],
    }),

    configure(tenant, config) {
      try {
        classify = configure(JSON.parse(config) ?? {}, tenant);
      } catch (error) {
        throw { path: error.path ?? '', message: error.message };
      }
    },

    classify(batch) {
      append(strings.names, batch.newNames);
      append(strings.values, batch.newValues);
      const rows = batch.ends.length;
      const keep = new BigUint64Array(Math.ceil(rows / 64));
      const halves = new Uint32Array(keep.buffer);
      const own = { names: new Symbols(), values: new Symbols(), edits: [] };
      for (let row = 0, start = 0; row < rows; start = batch.ends[row++]) {
        const series = new Series(strings, batch.pairs, start, batch.ends[row]);
        if (!classify(series)) continue;
        halves[row >>> 5] |= 1 << (row & 31);
        for (const [label, value] of series.edits) {
          own.edits.push(row, own.names.number(label), value === null ? REMOVE : own.values.number(value));
        }
      }
      return { keep, newNames: own.names.wire(), newValues: own.values.wire(), edits: new Uint32Array(own.edits) };
    },

    forget() {},
  };
}

/** The labels of one series. */
class Series {
  constructor(strings, pairs, start, end) {
    this.strings = strings;
    this.pairs = pairs;
    this.start = start;
    this.end = end;
    this.edits = new Map();
  }

  /** The label's value; undefined if there is none. */
  get(name) {
    if (this.edits.has(name)) return this.edits.get(name) ?? undefined;
    for (let at = 2 * this.start; at < 2 * this.end; at += 2) {
      if (this.strings.names[this.pairs[at]] === name) return this.strings.values[this.pairs[at + 1]];
    }
  }

  /** All labels, sorted by name, as they came. */
  *[Symbol.iterator]() {
    for (let at = 2 * this.start; at < 2 * this.end; at += 2) {
      yield [this.strings.names[this.pairs[at]], this.strings.values[this.pairs[at + 1]]];
    }
  }

  /** Sets a label. */
  set(name, value) {
    this.edits.set(name, value === '' ? null : value);
  }

  /** Removes a label. */
  remove(name) {
    this.edits.set(name, null);
  }
}

/** Strings of this answer's own, each once. */
class Symbols {
  constructor() {
    this.numbers = new Map();
  }

  number(text) {
    let number = this.numbers.get(text);
    if (number === undefined) this.numbers.set(text, (number = OWN + this.numbers.size));
    return number;
  }

  wire() {
    let bytes = 0;
    const ends = Uint32Array.from(this.numbers.keys(), (text) => (bytes += encoder.encode(text).length));
    return { text: [...this.numbers.keys()].join(''), ends };
  }
}

/** Ends count bytes, and a string's positions do not, unless all of it is ASCII. */
function append(list, { text, ends }) {
  const isAscii = ends.length === 0 || text.length === ends[ends.length - 1];
  const bytes = isAscii ? undefined : encoder.encode(text);
  let start = 0;
  for (const end of ends) {
    list.push(isAscii ? text.slice(start, end) : decoder.decode(bytes.subarray(start, end)));
    start = end;
  }
}
