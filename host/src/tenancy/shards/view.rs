//! View: one shard's ConfigMap as it was last seen.

use std::collections::BTreeMap;

use super::record::Record;

/// What a ConfigMap may hold, keys and values together; the API server refuses more than 1,048,576.
pub const SHARD_BYTES_MAX: usize = 1_000_000;

/// A change of one value; `None` takes it away.
pub(super) type Changes = BTreeMap<String, Option<String>>;

/// One ConfigMap.
#[derive(Debug, Clone, Default)]
pub(super) struct View {
    /// Its resourceVersion; `None` if there is no such object.
    pub(super) version: Option<String>,
    cells: BTreeMap<String, Cell>,
    bytes: usize,
}

#[derive(Debug, Clone)]
struct Cell {
    value: String,
    record: Option<Record>,
}

impl View {
    /// A ConfigMap as the API server sent it. Older than what is known, it changes nothing: says so.
    pub(super) fn see(&mut self, version: &str, data: BTreeMap<String, String>) -> bool {
        if self.version.as_deref().is_some_and(|known| !is_newer(version, known)) {
            return false;
        }
        let mut before = std::mem::take(&mut self.cells);
        self.bytes = 0;
        for (key, value) in data {
            self.bytes += key.len() + value.len();
            // Most values are what they were.
            let cell = match before.remove(&key) {
                Some(cell) if cell.value == value => cell,
                _ => Cell { record: Record::read(&value), value },
            };
            self.cells.insert(key, cell);
        }
        self.version = Some(version.to_owned());
        true
    }

    /// There is no such object (any more).
    pub(super) fn vanish(&mut self) {
        *self = View::default();
    }

    /// Our own changes were accepted, which made the object `version`.
    pub(super) fn accept(&mut self, changes: Changes, version: &str) {
        if self.version.as_deref().is_some_and(|known| !is_newer(version, known)) {
            return;
        }
        for (key, value) in changes {
            self.bytes = self.bytes_with(&key, value.as_deref());
            match value {
                Some(value) => {
                    let cell = Cell { record: Record::read(&value), value };
                    self.cells.insert(key, cell);
                }
                None => _ = self.cells.remove(&key),
            }
        }
        self.version = Some(version.to_owned());
    }

    /// The record at `key`. A value that is no record counts as none.
    pub(super) fn record(&self, key: &str) -> Option<&Record> {
        self.cells.get(key)?.record.as_ref()
    }

    /// The value at `key`.
    pub(super) fn value(&self, key: &str) -> Option<&str> {
        Some(&self.cells.get(key)?.value)
    }

    /// All records.
    pub(super) fn records(&self) -> impl Iterator<Item = (&str, &Record)> {
        self.cells.iter().filter_map(|(key, cell)| Some((key.as_str(), cell.record.as_ref()?)))
    }

    /// How many bytes it holds.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many bytes there are of a key and its value.
    pub(super) fn bytes_at(&self, key: &str) -> usize {
        self.cells.get(key).map_or(0, |cell| key.len() + cell.value.len())
    }

    /// How many bytes too few there are for all of the changes.
    pub(super) fn missing(&self, changes: &Changes) -> usize {
        let growth = |(key, value): (&String, &Option<String>)| {
            self.bytes_with(key, value.as_deref()) as i64 - self.bytes as i64
        };
        let wanted = self.bytes as i64 + changes.iter().map(growth).sum::<i64>();
        usize::try_from(wanted - SHARD_BYTES_MAX as i64).unwrap_or(0)
    }

    /// As many of the changes as there is room for, what shrinks first, and how many are left out.
    pub(super) fn fitting(&self, changes: Changes) -> (Changes, usize) {
        let growth = |key: &str, value: Option<&str>| self.bytes_with(key, value) as i64 - self.bytes as i64;
        let mut by_growth: Vec<_> =
            changes.into_iter().map(|(key, value)| (growth(&key, value.as_deref()), key, value)).collect();
        by_growth.sort_by_key(|(growth, ..)| *growth);
        let (mut bytes, mut fitting, mut left_out) = (self.bytes as i64, Changes::new(), 0);
        for (growth, key, value) in by_growth {
            if growth > 0 && bytes + growth > SHARD_BYTES_MAX as i64 {
                left_out += 1;
                continue;
            }
            bytes += growth;
            fitting.insert(key, value);
        }
        (fitting, left_out)
    }

    fn bytes_with(&self, key: &str, value: Option<&str>) -> usize {
        let before = self.cells.get(key).map_or(0, |cell| key.len() + cell.value.len());
        self.bytes - before + value.map_or(0, |value| key.len() + value.len())
    }
}

/// Versions of one object are numbers that grow (KEP-5504); if they are not, what comes later is newer.
pub(super) fn is_newer(version: &str, known: &str) -> bool {
    match (version.parse::<u64>(), known.parse::<u64>()) {
        (Ok(version), Ok(known)) => version > known,
        _ => version != known,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(holder: &str) -> String {
        Record { holder: holder.into(), ..Record::default() }.write()
    }

    fn seen(version: &str, cells: &[(&str, &str)]) -> View {
        let mut view = View::default();
        view.see(version, cells.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect());
        view
    }

    fn holders(view: &View) -> Vec<(&str, &str)> {
        view.records().map(|(key, record)| (key, record.holder.as_str())).collect()
    }

    #[test]
    fn an_older_state_changes_nothing() {
        let mut view = seen("10", &[("a", &value("x"))]);
        view.accept([("a".into(), Some(value("y")))].into(), "11");
        assert!(!view.see("9", BTreeMap::new()) && !view.see("11", BTreeMap::new()));
        assert_eq!(holders(&view), [("a", "y")]);
        assert!(view.see("12", BTreeMap::new()));
        assert_eq!(holders(&view), []);
    }

    #[test]
    fn changes_are_accepted_unless_something_newer_was_seen() {
        let mut view = seen("10", &[("a", &value("x")), ("b", &value("x"))]);
        view.accept([("a".into(), None), ("c".into(), Some(value("y")))].into(), "12");
        assert_eq!(holders(&view), [("b", "x"), ("c", "y")]);
        assert_eq!(view.bytes(), 2 + value("x").len() + value("y").len());
        view.accept([("b".into(), None)].into(), "11");
        assert_eq!(holders(&view), [("b", "x"), ("c", "y")]);
        view.vanish();
        assert_eq!((view.version, view.bytes), (None, 0));
    }

    #[test]
    fn what_is_no_record_is_kept_as_a_value() {
        let view = seen("1", &[("a", "{")]);
        assert_eq!((view.record("a"), view.value("a"), view.bytes()), (None, Some("{"), 2));
    }

    #[test]
    fn nothing_is_written_that_would_not_fit_and_what_shrinks_always_is() {
        let big = "x".repeat(SHARD_BYTES_MAX - 11);
        let view = seen("1", &[("big", &big), ("small", "12")]);
        let change = |key: &str, bytes: usize| (key.to_owned(), Some("y".repeat(bytes)));
        let (fitting, left_out) = view.fitting([change("new", 2), change("small", 3)].into());
        assert_eq!((fitting.keys().map(String::as_str).collect::<Vec<_>>(), left_out), (vec!["small"], 1));
        let (fitting, left_out) = view.fitting([change("new", 2), change("big", 1)].into());
        assert_eq!((fitting.len(), left_out), (2, 0));
    }
}
