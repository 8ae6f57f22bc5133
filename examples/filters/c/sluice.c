// The contract's numbers as series, on what wit-bindgen makes of wit/filter.wit (contract.h). What a call is given belongs to us.

#include <stdlib.h>
#include <string.h>

#include "contract.h"
#include "sluice.h"

#define OWN 0x80000000u
#define REMOVE 0xffffffffu

// Numbered strings.
struct texts {
    struct text *items;
    size_t len, capacity;
};

// The contract's edits: (row, name, value).
struct edits {
    uint32_t *items;
    size_t len, capacity;
};

struct series {
    const uint32_t *pairs, *end;
    uint32_t row, id;
};

// What the host has sent so far, and what this answer adds.
static struct texts names, values, own_names, own_values;
static struct edits edits;

static void *grown(void *items, size_t len, size_t *capacity, size_t size) {
    if (len < *capacity) return items;
    *capacity = *capacity ? 2 * *capacity : 64;
    items = realloc(items, *capacity * size);
    if (!items) abort();
    return items;
}

static uint32_t push(struct texts *texts, struct text text) {
    texts->items = grown(texts->items, texts->len, &texts->capacity, sizeof(struct text));
    texts->items[texts->len] = text;
    return (uint32_t)texts->len++;
}

static void push_edit(uint32_t number) {
    edits.items = grown(edits.items, edits.len, &edits.capacity, sizeof(uint32_t));
    edits.items[edits.len++] = number;
}

// The new strings stay where the host has put them.
static void append(struct texts *texts, sluice_filter_types_symbols_t *symbols) {
    uint32_t start = 0;
    for (size_t i = 0; i < symbols->ends.len; i++) {
        uint32_t end = symbols->ends.ptr[i];
        push(texts, (struct text){(const char *)symbols->text.ptr + start, end - start});
        start = end;
    }
    contract_list_u32_free(&symbols->ends);
}

// The number of one of our own strings. There are few different ones, and the last one is mostly the one.
static uint32_t number(struct texts *own, struct text text) {
    for (size_t i = own->len; i-- > 0;) {
        if (own->items[i].len == text.len && !memcmp(own->items[i].ptr, text.ptr, text.len)) return OWN + i;
    }
    return OWN + push(own, text);
}

static void *allocated(size_t size) {
    void *memory = malloc(size ? size : 1);
    if (!memory) abort();
    return memory;
}

static sluice_filter_types_symbols_t symbols(struct texts *own) {
    size_t bytes = 0;
    for (size_t i = 0; i < own->len; i++) bytes += own->items[i].len;
    sluice_filter_types_symbols_t out = {
        .text = {allocated(bytes), bytes},
        .ends = {allocated(own->len * sizeof(uint32_t)), own->len},
    };
    size_t end = 0;
    for (size_t i = 0; i < own->len; i++) {
        memcpy(out.text.ptr + end, own->items[i].ptr, own->items[i].len);
        end += own->items[i].len;
        out.ends.ptr[i] = (uint32_t)end;
    }
    own->len = 0;
    return out;
}

struct text series_get(const struct series *series, const char *name) {
    for (const uint32_t *pair = series->pairs; pair < series->end; pair += 2) {
        if (text_is(names.items[pair[0]], name)) return values.items[pair[1]];
    }
    return (struct text){"", 0};
}

uint32_t series_id(const struct series *series) {
    return series->id;
}

static void edit(struct series *series, const char *name, uint32_t value) {
    push_edit(series->row);
    push_edit(number(&own_names, text_of(name)));
    push_edit(value);
}

void series_set(struct series *series, const char *name, struct text value) {
    edit(series, name, value.len ? number(&own_values, value) : REMOVE);
}

void series_remove(struct series *series, const char *name) {
    edit(series, name, REMOVE);
}

void exports_sluice_filter_labels_describe(sluice_filter_types_manifest_t *ret) {
    memset(ret, 0, sizeof *ret);
    contract_string_dup(&ret->name, about.name);
    contract_string_dup(&ret->version, about.version);
    contract_string_dup(&ret->config_schema, about.config_schema);
    ret->state = about.state;
    ret->columns = about.columns;
}

bool exports_sluice_filter_labels_configure(
    sluice_filter_types_tenant_t *tenant, contract_string_t *config, sluice_filter_types_config_error_t *err) {
    sluice_filter_types_tenant_free(tenant);
    // It is kept: the filter's configuration points into it.
    const char *refusal = configure((struct text){(const char *)config->ptr, config->len});
    if (!refusal) return true;
    contract_string_dup(&err->path, "");
    contract_string_dup(&err->message, refusal);
    return false;
}

bool exports_sluice_filter_labels_classify(
    sluice_filter_types_label_sets_t *batch, sluice_filter_types_verdicts_t *ret, contract_string_t *err) {
    (void)err;
    append(&names, &batch->new_names);
    append(&values, &batch->new_values);
    size_t rows = batch->ends.len, words = (rows + 63) / 64;
    uint64_t *keep = allocated(words * sizeof(uint64_t));
    memset(keep, 0, words * sizeof(uint64_t));
    edits.len = 0;
    uint32_t start = 0;
    for (size_t row = 0; row < rows; row++) {
        uint32_t end = batch->ends.ptr[row];
        uint32_t id = row < batch->series.len ? batch->series.ptr[row] : 0;
        struct series series = {batch->pairs.ptr + 2 * start, batch->pairs.ptr + 2 * end, (uint32_t)row, id};
        start = end;
        size_t before = edits.len;
        if (classify(&series)) {
            keep[row / 64] |= (uint64_t)1 << (row % 64);
        } else {
            edits.len = before;
        }
    }
    ret->keep = (contract_list_u64_t){keep, words};
    ret->edits = (contract_list_u32_t){edits.items, edits.len};
    // The answer takes the list along.
    edits = (struct edits){0};
    ret->new_names = symbols(&own_names);
    ret->new_values = symbols(&own_values);
    contract_list_u32_free(&batch->pairs);
    contract_list_u32_free(&batch->ends);
    contract_list_u32_free(&batch->series);
    return true;
}

void exports_sluice_filter_labels_forget(contract_list_u32_t *series) {
    if (about.forget) about.forget(series->ptr, series->len);
    contract_list_u32_free(series);
}

struct text text_of(const char *text) {
    return (struct text){text, strlen(text)};
}

bool text_is(struct text text, const char *other) {
    size_t len = strlen(other);
    return text.len == len && !memcmp(text.ptr, other, len);
}

bool starts_with(struct text text, struct text prefix) {
    return text.len >= prefix.len && !memcmp(text.ptr, prefix.ptr, prefix.len);
}

// The string at `*at`, behind its opening quote; `*at` is behind the closing one afterwards.
static bool json_string(const char **at, const char *end, struct text *out) {
    const char *start = *at;
    while (*at < end && **at != '"' && **at != '\\') ++*at;
    if (*at == end || **at == '\\') return false;
    *out = (struct text){start, (size_t)(*at - start)};
    ++*at;
    return true;
}

// The host writes JSON without spaces. Only the fields of the outermost object count.
bool json_strings(struct text json, const char *field, struct text *out, size_t max, size_t *len) {
    const char *at = json.ptr, *end = json.ptr + json.len;
    struct text string = {0};
    *len = 0;
    for (int depth = 0; at < end;) {
        char c = *at++;
        depth += (c == '{' || c == '[') - (c == '}' || c == ']');
        if (c != '"') continue;
        if (!json_string(&at, end, &string)) return false;
        if (depth == 1 && at < end && *at == ':' && text_is(string, field)) break;
    }
    if (at >= end) return true;
    if (++at == end || *at++ != '[') return false;
    while (at < end && *at != ']') {
        if (*at == ',') ++at;
        if (at == end || *at++ != '"' || *len == max || !json_string(&at, end, &out[*len])) return false;
        ++*len;
    }
    return at < end;
}
