// The contract's columns as samples.

#include "samples.h"

#include <stdlib.h>
#include <string.h>

#include "contract.h"

#define STALE 0x7ff0000000000002u

static void *allocated(size_t size) {
    void *memory = malloc(size ? size : 1);
    if (!memory) abort();
    return memory;
}

static bool is_set(const uint64_t *bitmap, size_t row) {
    return bitmap[row / 64] >> (row % 64) & 1;
}

double row_value(const struct rows *rows, size_t row) {
    double value;
    memcpy(&value, &rows->values[row], sizeof value);
    return value;
}

bool row_is_stale(const struct rows *rows, size_t row) {
    return rows->values[row] == STALE;
}

bool row_is_opaque(const struct rows *rows, size_t row) {
    return rows->opaque && is_set(rows->opaque, row);
}

void row_drop(struct rows *rows, size_t row) {
    rows->keep[row / 64] &= ~((uint64_t)1 << (row % 64));
}

void row_set(struct rows *rows, size_t row, double value) {
    if (row_is_opaque(rows, row) || !is_set(rows->keep, row)) return;
    rows->changed[rows->changed_len] = (uint32_t)row;
    memcpy(&rows->changed_values[rows->changed_len++], &value, sizeof value);
}

bool exports_sluice_filter_samples_process(
    exports_sluice_filter_samples_tick_t *tick, exports_sluice_filter_samples_rows_t *given,
    exports_sluice_filter_samples_outcome_t *ret, contract_string_t *err) {
    (void)err;
    size_t len = given->series.len, words = (len + 63) / 64;
    struct rows rows = {
        .len = len,
        .series = given->series.ptr,
        .timestamps = given->timestamps.len ? given->timestamps.ptr : NULL,
        .values = given->values.len ? given->values.ptr : NULL,
        .opaque = given->opaque.len ? given->opaque.ptr : NULL,
        .keep = allocated(words * sizeof(uint64_t)),
        .changed = allocated(len * sizeof(uint32_t)),
        .changed_values = allocated(len * sizeof(uint64_t)),
    };
    memset(rows.keep, 0xff, words * sizeof(uint64_t));
    // The bits behind the last row are zero.
    if (len % 64) rows.keep[words - 1] = ((uint64_t)1 << (len % 64)) - 1;
    process((struct tick){tick->since, tick->at, tick->last}, &rows);
    memset(ret, 0, sizeof *ret);
    ret->keep = (contract_list_u64_t){rows.keep, words};
    ret->changed = (contract_list_u32_t){rows.changed, rows.changed_len};
    ret->changed_values = (contract_list_u64_t){rows.changed_values, rows.changed_len};
    exports_sluice_filter_samples_rows_free(given);
    return true;
}
