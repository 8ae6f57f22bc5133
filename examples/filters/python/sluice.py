"""The contract's numbers as series, for filters that decide by labels alone. wit/filter.wit says what the numbers mean."""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import types

OWN = 0x8000_0000
REMOVE = 0xFFFF_FFFF


class Series:
    """The labels of one series."""

    __slots__ = ("labels", "edits")

    def __init__(self, labels):
        self.labels = labels
        self.edits = {}

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

    def describe(self):
        schema = json.dumps(self.config_schema)
        return types.Manifest(self.name, self.version, schema, types.State.NONE, types.Columns(0), [])

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
            series = Series({names[n]: values[v] for n, v in zip(flat[::2], flat[1::2])})
            if not State.judge(series):
                continue
            keep[row >> 6] |= 1 << (row & 63)
            for name, value in series.edits.items():
                edits += (row, number(own_names, name), REMOVE if value is None else number(own_values, value))
        return types.Verdicts(keep, symbols(own_names), symbols(own_values), edits)

    def forget(self, series):
        pass


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
