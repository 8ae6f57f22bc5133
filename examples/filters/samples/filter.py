"""Metrics in milliseconds become metrics in seconds: their names when a series is new, their values at every tick."""

import sluice

OLD = "_milliseconds"

# The numbers of the series that are meant.
old = set()


def configure(config, tenant):
    def classify(series):
        name = series.get("__name__") or ""
        if name.endswith(OLD):
            old.add(series.id)
            series.set("__name__", name.removesuffix(OLD) + "_seconds")
        return True

    return classify


class Labels(sluice.LabelFilter):
    name = "to-seconds"
    version = "0.1.0"
    config_schema = {"type": "object", "additionalProperties": False}
    configure_filter = staticmethod(configure)
    # What `process` looks at; what it does not is not sent.
    columns = sluice.Columns.VALUES

    def forget(self, series):
        old.difference_update(series)


class Samples(sluice.SampleFilter):
    def process_rows(self, tick, rows):
        """Called for every batch of a tick's samples."""
        for row, series in enumerate(rows.series):
            if series in old and not rows.is_stale(row):
                rows.set(row, rows.values[row] / 1000)
