//! Requests: what clients asked for, counted.
//!
//! In: every request as it arrives, faults included. Out: counts by verb and resource. Never: what a test writes
//! itself through `FakeApi`.

use std::collections::BTreeMap;
use std::fmt;

/// Counts by (verb, resource); a subresource counts as `metricaccesses/status`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Requests(BTreeMap<(String, String), u64>);

impl Requests {
    /// How many of `verb` on `resource`; `*` is any.
    pub fn count(&self, verb: &str, resource: &str) -> u64 {
        let fits = |asked: &str, held: &str| asked == "*" || asked == held;
        let of = self.0.iter().filter(|((held, on), _)| fits(verb, held) && fits(resource, on));
        of.map(|(_, count)| count).sum()
    }

    /// How many in all.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// What came since `earlier`.
    pub fn since(&self, earlier: &Requests) -> Requests {
        let counts = self.0.iter().map(|(of, count)| (of.clone(), count - earlier.0.get(of).unwrap_or(&0)));
        Requests(counts.filter(|(_, count)| *count > 0).collect())
    }

    /// Every (verb, resource) and its count.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, u64)> {
        self.0.iter().map(|((verb, resource), count)| (verb.as_str(), resource.as_str(), *count))
    }

    pub(super) fn add(&mut self, verb: &str, resource: &str) {
        *self.0.entry((verb.to_owned(), resource.to_owned())).or_default() += 1;
    }
}

impl fmt::Display for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = self.iter().map(|(verb, resource, count)| format!("{verb} {resource}: {count}"));
        write!(f, "{}", lines.by_ref().collect::<Vec<_>>().join("\n"))
    }
}
