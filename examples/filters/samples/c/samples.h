// What a filter that sees samples has to write besides, and what it may use.

#pragma once

#include "sluice.h"

// What was collected for (since, at], in milliseconds since 1970. Every tick has one last batch, if need be without samples.
struct tick {
    int64_t since, at;
    bool last;
};

// A batch of a tick's samples. What the filter did not ask for, in about.columns, is NULL.
struct rows {
    size_t len;
    // The number of each sample's series: series_id.
    const uint32_t *series;
    const int64_t *timestamps;
    // The bits of floats.
    const uint64_t *values;
    const uint64_t *opaque;
    uint64_t *keep;
    uint32_t *changed;
    uint64_t *changed_values;
    size_t changed_len;
};

// A filter writes this one.
void process(struct tick tick, struct rows *rows);

double row_value(const struct rows *rows, size_t row);
// Whether it is a stale marker: the series has ended.
bool row_is_stale(const struct rows *rows, size_t row);
// Whether it is a value that no float expresses.
bool row_is_opaque(const struct rows *rows, size_t row);
// Drops a sample.
void row_drop(struct rows *rows, size_t row);
// Gives a sample another value, once, row after row. One that a float does not express, or that is dropped, stays as it is.
void row_set(struct rows *rows, size_t row, double value);
