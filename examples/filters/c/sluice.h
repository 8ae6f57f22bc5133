// What a filter has to write, and what it may use. sluice.c turns the contract's numbers into it, and samples.c where it sees samples.

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Bytes of UTF-8; nothing ends them.
struct text {
    const char *ptr;
    size_t len;
};

// Which answers depend on what was asked before: none, those of `classify`, those of `process`.
enum { STATE_NONE, STATE_LABEL, STATE_SAMPLE };
// What `process` looks at; what it does not is not sent.
enum { COLUMN_TIMESTAMPS = 1, COLUMN_VALUES = 2 };

// A filter writes these three.
struct about {
    const char *name, *version, *config_schema;
    uint8_t state, columns;
    // Which series have ended, if it wants to know; their numbers are given to others.
    void (*forget)(const uint32_t *series, size_t len);
};
extern const struct about about;
struct series;
const char *configure(struct text config);
bool classify(struct series *series);

// Its number, if the filter remembers anything or sees samples. Numbers are dense.
uint32_t series_id(const struct series *series);
// The label's value; empty if there is none. What was set is not seen here.
struct text series_get(const struct series *series, const char *name);
// Sets a label, once for each name. The texts must live as long as the call, and the name as long as the filter.
void series_set(struct series *series, const char *name, struct text value);
// Removes a label.
void series_remove(struct series *series, const char *name);

struct text text_of(const char *text);
bool text_is(struct text text, const char *other);
bool starts_with(struct text text, struct text prefix);

// The list of strings that a field of a JSON object is; none if the object has no such field. False if it is something else.
bool json_strings(struct text json, const char *field, struct text *out, size_t max, size_t *len);
