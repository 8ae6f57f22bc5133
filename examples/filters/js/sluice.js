// The contract's numbers as series and samples. wit/filter.wit says what the numbers mean.

const OWN = 0x8000_0000;
const REMOVE = 0xffff_ffff;
const NO_COLUMNS = { timestamps: false, values: false };

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Makes the exported interface `labels` of a filter: see filter.js. */
export function labelFilter({ name, version, configSchema, configure, forget, state = 'none', columns = NO_COLUMNS }) {
  const strings = { names: [], values: [] };
  let classify;
  return {
    describe: () => ({
      name,
      version,
      configSchema: JSON.stringify(configSchema),
      state,
      columns,
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
        const series = new Series(strings, batch.pairs, start, batch.ends[row], batch.series[row]);
        if (!classify(series)) continue;
        halves[row >>> 5] |= 1 << (row & 31);
        for (const [label, value] of series.edits) {
          own.edits.push(row, own.names.number(label), value === null ? REMOVE : own.values.number(value));
        }
      }
      return { keep, newNames: own.names.wire(), newValues: own.values.wire(), edits: new Uint32Array(own.edits) };
    },

    forget: (series) => forget?.(series),
  };
}

/**
 * Makes the exported interfaces `labels` and `samples` of a filter that sees samples. Its `configure` returns what is asked about
 * every new series, `classify`, and what sees every batch of samples, `process`; and `forget`, if it wants to know which numbers are
 * free again. A filter that remembers samples says `state: 'sample'`.
 */
export function sampleFilter({ configure, columns = { timestamps: true, values: true }, ...about }) {
  let filter;
  const labels = labelFilter({
    ...about,
    columns,
    configure(config, tenant) {
      filter = configure(config, tenant);
      return (series) => filter.classify(series);
    },
    forget: (series) => filter.forget?.(series),
  });
  const process = ({ since, at, last }, wire) => {
    const rows = new Rows(wire);
    filter.process({ since: Number(since), at: Number(at), last }, rows);
    return rows.outcome();
  };
  return { labels, samples: { process } };
}

/** The labels of one series. */
class Series {
  constructor(strings, pairs, start, end, id) {
    this.id = id;
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

/** A batch of a tick's samples. */
class Rows {
  constructor({ series, timestamps, values, opaque }) {
    this.length = series.length;
    /** For each sample, the number of its series: `series.id`. */
    this.series = series;
    /** Milliseconds, as BigInt; empty unless the filter asks for them. */
    this.timestamps = timestamps;
    /** A float's bits are what crosses the boundary. Empty unless the filter asks for them. */
    this.values = new Float64Array(values.buffer, values.byteOffset, values.length);
    this.bits = halves(values);
    this.opaque = halves(opaque);
    this.keep = new BigUint64Array(Math.ceil(this.length / 64)).fill(0xffff_ffff_ffff_ffffn);
    // The bits behind the last row are zero.
    if (this.length % 64) this.keep[this.keep.length - 1] = (1n << BigInt(this.length % 64)) - 1n;
    this.kept = halves(this.keep);
    this.changes = new Map();
  }

  /** Whether it is a stale marker: the series has ended. */
  isStale(row) {
    return this.bits[2 * row] === 2 && this.bits[2 * row + 1] === 0x7ff0_0000;
  }

  /** Whether it is a value that no float expresses. */
  isOpaque(row) {
    return isSet(this.opaque, row);
  }

  /** Drops a sample. */
  drop(row) {
    this.kept[row >>> 5] &= ~(1 << (row & 31));
  }

  /** Gives a sample another value. One that a float does not express stays as it is. */
  set(row, value) {
    if (!this.isOpaque(row)) this.changes.set(row, value);
  }

  outcome() {
    const rows = [...this.changes.keys()].filter((row) => isSet(this.kept, row));
    const changed = Uint32Array.from(rows).sort();
    const values = Float64Array.from(changed, (row) => this.changes.get(row));
    const none = () => ({ text: '', ends: new Uint32Array() });
    return {
      keep: this.keep,
      changed,
      changedValues: new BigUint64Array(values.buffer),
      newNames: none(),
      newValues: none(),
      newPairs: new Uint32Array(),
      newEnds: new Uint32Array(),
      emittedSeries: new Uint32Array(),
      emittedTimestamps: new BigInt64Array(),
      emittedValues: new BigUint64Array(),
    };
  }
}

/** Words of 64 bits as pairs of 32, the lower one first: BigInt is slow. */
function halves(words) {
  return new Uint32Array(words.buffer, words.byteOffset, 2 * words.length);
}

/** Beyond the bitmap, nothing is set. */
function isSet(bitmap, row) {
  return ((bitmap[row >>> 5] >>> (row & 31)) & 1) === 1;
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
