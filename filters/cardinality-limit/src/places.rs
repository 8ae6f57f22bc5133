//! cardinality-limit::places: the values that were let through, for each limit and metric.

use std::collections::HashMap;
use std::rc::Rc;

/// Parts of a histogram or summary, which share their places: a histogram whose buckets go through and whose count does not
/// would be of no use.
const PARTS: [&str; 3] = ["_bucket", "_count", "_sum"];

/// Who has a place.
#[derive(Debug, Default)]
pub(crate) struct Places {
    /// By limit and metric, where its values are. There are as many as names at most, and they stay.
    by_metric: HashMap<(usize, String), usize>,
    /// Values, with how many series have each.
    values: Vec<HashMap<Rc<str>, u32>>,
}

/// One series' place.
#[derive(Debug)]
pub(crate) struct Place {
    of: usize,
    value: Rc<str>,
}

impl Places {
    /// The number of the places that a limit has for a metric.
    pub(crate) fn of(&mut self, limit: usize, metric: &str) -> usize {
        let family = PARTS.iter().find_map(|part| metric.strip_suffix(part)).unwrap_or(metric);
        let Places { by_metric, values } = self;
        *by_metric.entry((limit, family.to_owned())).or_insert_with(|| {
            values.push(HashMap::new());
            values.len() - 1
        })
    }

    /// A place for a value, if it has one already or one is free.
    pub(crate) fn offer(&self, of: usize, value: &str, max: usize) -> Option<Place> {
        let values = &self.values[of];
        match values.get_key_value(value) {
            Some((value, _)) => Some(Place { of, value: value.clone() }),
            None => (values.len() < max).then(|| Place { of, value: value.into() }),
        }
    }

    /// One series more has the place.
    pub(crate) fn take(&mut self, place: &Place) {
        *self.values[place.of].entry(place.value.clone()).or_default() += 1;
    }

    /// One series less has it; without any, it is free.
    pub(crate) fn free(&mut self, place: &Place) {
        let values = &mut self.values[place.of];
        if let Some(series) = values.get_mut(&place.value) {
            *series -= 1;
            if *series == 0 {
                values.remove(&place.value);
            }
        }
    }
}
