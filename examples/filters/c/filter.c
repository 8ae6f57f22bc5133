// Drops series whose metric name begins with one of some prefixes, and marks all others.

#include "sluice.h"

#define PREFIXES_MAX 64

const struct about about = {
    .name = "drop-prefixes",
    .version = "0.1.0",
    .config_schema = "{\"type\": \"object\", \"additionalProperties\": false,"
                     " \"properties\": {\"prefixes\": {\"type\": \"array\", \"items\": {\"type\": \"string\"}}}}",
};

static struct text prefixes[PREFIXES_MAX];
static size_t prefixes_len;

// Called once, with what people write below `config` in their resource, as JSON. NULL, or why it refuses that.
const char *configure(struct text config) {
    if (!json_strings(config, "prefixes", prefixes, PREFIXES_MAX, &prefixes_len)) {
        return "prefixes must be a list of at most 64 strings, without backslashes";
    }
    for (size_t i = 0; i < prefixes_len; i++) {
        if (prefixes[i].len == 0) return "an empty prefix drops everything: leave it out";
    }
    return NULL;
}

// Called for every new series: true keeps it.
bool classify(struct series *series) {
    struct text name = series_get(series, "__name__");
    for (size_t i = 0; i < prefixes_len; i++) {
        if (starts_with(name, prefixes[i])) return false;
    }
    series_set(series, "filtered_by", text_of("drop-prefixes"));
    return true;
}
