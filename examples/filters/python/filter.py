"""Drops series whose metric name begins with one of some prefixes, and marks all others."""

import sluice


def configure(config, tenant):
    """Called once, with what people write below `config` in their resource.

    What it returns is asked about every new series: True keeps it. A ValueError refuses the configuration.
    """
    prefixes = tuple(config.get("prefixes", []))
    if "" in prefixes:
        raise ValueError("an empty prefix drops everything: leave it out")

    def classify(series):
        if (series.get("__name__") or "").startswith(prefixes):
            return False
        series.set("filtered_by", "drop-prefixes")
        return True

    return classify


class Labels(sluice.LabelFilter):
    name = "drop-prefixes"
    version = "0.1.0"
    config_schema = {
        "type": "object",
        "additionalProperties": False,
        "properties": {"prefixes": {"type": "array", "items": {"type": "string"}}},
    }
    configure_filter = staticmethod(configure)
