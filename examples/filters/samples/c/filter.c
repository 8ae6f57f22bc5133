// Metrics in milliseconds become metrics in seconds: their names when a series is new, their values at every tick.

#include <stdlib.h>
#include <string.h>

#include "samples.h"

#define OLD "_milliseconds"
#define NEW "_seconds"

const struct about about = {
    .name = "to-seconds",
    .version = "0.1.0",
    .config_schema = "{\"type\": \"object\", \"additionalProperties\": false}",
    .columns = COLUMN_VALUES,
};

// By the series' numbers, whether they are meant.
static bool *is_old;
static size_t is_old_len;
// Names that were made, each once: a text that the host sends stays where it is.
static struct name {
    const char *old;
    struct text new;
} *names;
static size_t names_len;

const char *configure(struct text config) {
    (void)config;
    return NULL;
}

static void remember(uint32_t id, bool old) {
    if (id >= is_old_len) {
        size_t len = 2 * (size_t)id + 64;
        is_old = realloc(is_old, len);
        if (!is_old) abort();
        memset(is_old + is_old_len, 0, len - is_old_len);
        is_old_len = len;
    }
    is_old[id] = old;
}

static struct text renamed(struct text old) {
    for (size_t i = names_len; i-- > 0;) {
        if (names[i].old == old.ptr) return names[i].new;
    }
    size_t stem = old.len - strlen(OLD);
    char *new = malloc(stem + strlen(NEW));
    names = realloc(names, (names_len + 1) * sizeof *names);
    if (!new || !names) abort();
    memcpy(new, old.ptr, stem);
    memcpy(new + stem, NEW, strlen(NEW));
    names[names_len++] = (struct name){old.ptr, {new, stem + strlen(NEW)}};
    return names[names_len - 1].new;
}

bool classify(struct series *series) {
    struct text name = series_get(series, "__name__");
    bool old = name.len >= strlen(OLD) && !memcmp(name.ptr + name.len - strlen(OLD), OLD, strlen(OLD));
    remember(series_id(series), old);
    if (old) series_set(series, "__name__", renamed(name));
    return true;
}

// Called for every batch of a tick's samples.
void process(struct tick tick, struct rows *rows) {
    (void)tick;
    for (size_t row = 0; row < rows->len; row++) {
        if (is_old[rows->series[row]] && !row_is_stale(rows, row)) row_set(rows, row, row_value(rows, row) / 1000);
    }
}
