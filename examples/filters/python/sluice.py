"""The contract's numbers as series and samples. wit/filter.wit says what the numbers mean."""

import json
from array import array

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import types
from wit_world.imports.types import Columns

OWN = 0x8000_0000
REMOVE = 0xFFFF_FFFF
STALE_BITS = 0x7FF0_0000_0000_0002


class Series:
    """The labels of one series."""

    __slots__ = ("labels", "edits", "id")

    def __init__(self, labels, number):
        self.labels = labels
        self.edits = {}
        self.id = number

    def get(self, name):
        """The label's value; None if there is none."""
        if name in self.edits:
            return self.edits[name]
        return self.labels.get(name)

    def set(self, name, value):
        """Sets a label."""
        self.edits[name] = value or None

    def remove(self, name):
        """Removes a label."""
        self.edits[name] = None


class State:
    """What an instance knows. Every call comes to a new object of the class below, so it is kept beside it."""

    names = []
    values = []
    judge = None


class LabelFilter(exports.Labels):
    """The exported interface `labels`: see filter.py."""

    state = types.State.NONE
    columns = Columns(0)

    def describe(self):
        schema = json.dumps(self.config_schema)
        return types.Manifest(self.name, self.version, schema, self.state, self.columns, [])

    def configure(self, tenant, config_json):
        try:
            State.judge = self.configure_filter(json.loads(config_json) or {}, tenant)
        except ValueError as error:
            raise Err(types.ConfigError(getattr(error, "path", ""), str(error)))

    def classify(self, batch):
        append(State.names, batch.new_names)
        append(State.values, batch.new_values)
        names, values, pairs = State.names, State.values, batch.pairs
        own_names, own_values, edits = {}, {}, []
        keep = [0] * ((len(batch.ends) + 63) // 64)
        start = 0
        for row, end in enumerate(batch.ends):
            flat = pairs[2 * start : 2 * end]
            start = end
            number_of_series = batch.series[row] if batch.series else None
            series = Series({names[n]: values[v] for n, v in zip(flat[::2], flat[1::2])}, number_of_series)
            if not State.judge(series):
                continue
            keep[row >> 6] |= 1 << (row & 63)
            for name, value in series.edits.items():
                edits += (row, number(own_names, name), REMOVE if value is None else number(own_values, value))
        return types.Verdicts(keep, symbols(own_names), symbols(own_values), edits)

    def forget(self, series):
        pass


class Rows:
    """A batch of a tick's samples."""

    def __init__(self, wire):
        # For each sample, the number of its series: `series.id`.
        self.series = wire.series
        self.timestamps = wire.timestamps
        self.bits = wire.values
        # A float's bits are what crosses the boundary. Empty unless the filter asks for them, as timestamps are.
        self.values = array("d", array("Q", wire.values).tobytes())
        self.opaque = wire.opaque
        rows = len(wire.series)
        self.keep = [(1 << min(64, rows - start)) - 1 for start in range(0, rows, 64)]
        self.changes = {}

    def is_stale(self, row):
        """Whether it is a stale marker: the series has ended."""
        return self.bits[row] == STALE_BITS

    def is_opaque(self, row):
        """Whether it is a value that no float expresses."""
        return bool(self.opaque) and self.opaque[row >> 6] >> (row & 63) & 1 == 1

    def drop(self, row):
        """Drops a sample."""
        self.keep[row >> 6] &= ~(1 << (row & 63))

    def set(self, row, value):
        """Gives a sample another value. One that a float does not express stays as it is."""
        if not self.is_opaque(row):
            self.changes[row] = value

    def outcome(self):
        changed = sorted(row for row in self.changes if self.keep[row >> 6] >> (row & 63) & 1)
        values = array("Q", array("d", [self.changes[row] for row in changed]).tobytes())
        none = types.Symbols("", [])
        return exports.samples.Outcome(self.keep, changed, values.tolist(), none, none, [], [], [], [], [])


# A filter that decides by labels alone has no such interface.
class SampleFilter(getattr(exports, "Samples", object)):
    """The exported interface `samples`, of a filter that sees samples."""

    def process(self, tick, rows):
        rows = Rows(rows)
        self.process_rows(tick, rows)
        return rows.outcome()


def number(strings, text):
    return strings.setdefault(text, OWN + len(strings))


def symbols(strings):
    ends, end = [], 0
    for text in strings:
        end += len(text.encode())
        ends.append(end)
    return types.Symbols("".join(strings), ends)


def append(strings, new):
    """Ends count bytes, and a string's positions do not, unless all of it is ASCII."""
    text = new.text if new.text.isascii() else new.text.encode()
    start = 0
    for end in new.ends:
        piece = text[start:end]
        strings.append(piece if isinstance(piece, str) else piece.decode())
        start = end
