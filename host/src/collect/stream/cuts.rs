//! Cuts: where a merged query is cut because it failed as a whole.
//!
//! The values of a stream are kept sorted; a cut says that a new query begins at a value. Halving a query that fails
//! until it succeeds or asks for one value leaves the culprit alone between two cuts. They heal after a while, so that
//! what was apart is tried together again.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

/// How long a cut stays.
const CUT_HEALS_AFTER: Duration = Duration::from_secs(600);

/// Where a stream's queries are cut.
#[derive(Debug, Default)]
pub(super) struct Cuts {
    /// The value at which a query begins → when it may be joined again.
    at: BTreeMap<Arc<str>, Instant>,
}

impl Cuts {
    /// Cuts sorted values into the groups to ask for.
    pub(super) fn groups(&mut self, values: Vec<Arc<str>>, now: Instant) -> Vec<Vec<Arc<str>>> {
        self.at.retain(|_, heals| *heals > now);
        let mut groups: Vec<Vec<Arc<str>>> = Vec::new();
        for value in values {
            match groups.last_mut() {
                Some(group) if !self.is_cut(group.last(), &value) => group.push(value),
                _ => groups.push(vec![value]),
            }
        }
        groups
    }

    fn is_cut(&self, before: Option<&Arc<str>>, value: &Arc<str>) -> bool {
        let after = before.map_or(Bound::Unbounded, Bound::Excluded);
        self.at.range::<Arc<str>, _>((after, Bound::Included(value))).next().is_some()
    }

    /// Cuts a group in halves.
    pub(super) fn halve(&mut self, mut group: Vec<Arc<str>>, now: Instant) -> [Vec<Arc<str>>; 2] {
        let second = group.split_off(group.len() / 2);
        if let Some(first) = second.first() {
            self.at.insert(first.clone(), now + CUT_HEALS_AFTER);
        }
        [group, second]
    }

    /// Cuts a group into as many as this, or into single values.
    pub(super) fn cut(&mut self, group: &[Arc<str>], parts: usize, now: Instant) {
        let firsts = group.chunks(group.len().div_ceil(parts).max(1)).skip(1);
        self.at.extend(firsts.map(|chunk| (chunk[0].clone(), now + CUT_HEALS_AFTER)));
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.at.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<Arc<str>> {
        text.split_whitespace().map(Arc::from).collect()
    }

    fn groups(cuts: &mut Cuts, text: &str, now: Instant) -> Vec<String> {
        cuts.groups(values(text), now).iter().map(|group| group.join(" ")).collect()
    }

    #[test]
    fn a_cut_stays_where_it_is_while_values_come_and_go_and_heals() {
        let now = Instant::now();
        let mut cuts = Cuts::default();
        assert_eq!(groups(&mut cuts, "a b c d", now), ["a b c d"]);
        let [first, second] = cuts.halve(values("a b c d"), now);
        assert_eq!((first, second), (values("a b"), values("c d")));
        cuts.halve(values("c d"), now);
        assert_eq!(groups(&mut cuts, "a b c d", now), ["a b", "c", "d"]);
        assert_eq!(groups(&mut cuts, "a bb cc e", now), ["a bb", "cc", "e"]);
        assert_eq!(groups(&mut cuts, "a e", now), ["a", "e"]);
        assert_eq!(groups(&mut cuts, "d e", now), ["d e"]);
        assert_eq!(groups(&mut cuts, "a b c d", now + CUT_HEALS_AFTER), ["a b c d"]);
        cuts.cut(&values("a b c d e f g"), 3, now);
        assert_eq!(
            (groups(&mut cuts, "a b c d e f g", now), cuts.count()),
            (vec!["a b c".into(), "d e f".into(), "g".into()], 2)
        );
        cuts.cut(&values("d e f"), 8, now);
        assert_eq!(groups(&mut cuts, "a b c d e f g", now), ["a b c", "d", "e", "f", "g"]);
    }
}
