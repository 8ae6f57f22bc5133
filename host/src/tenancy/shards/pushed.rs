//! Pushed: the Pushgateway groups of a tenant, remembered until they are removed.
//!
//! In: what its record says, what it pushes to now, what was removed. Out: what its record is to say.
//! Never: a group forgotten that nobody removed, but for the oldest of very many.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::model::{PushgatewayGroup, Timestamp};

/// Groups that a tenant left and that are kept of it. Who leaves one after the other while the gateway is down has no
/// claim to the room of others.
pub(super) const LEFT_MAX: usize = 8;
/// What the names of these may take. A job alone may have a thousand characters.
pub(super) const LEFT_BYTES_MAX: usize = 2_048;

/// A group that a tenant pushes to, or left.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Pushed {
    /// The Service's name, in the tenant's namespace.
    pub service: String,
    /// Its port.
    pub port: u16,
    /// The group's job.
    pub job: String,
    /// Since when nothing is pushed to it, in milliseconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<i64>,
}

impl Pushed {
    fn of(PushgatewayGroup { service, port, job }: PushgatewayGroup, left: Option<i64>) -> Pushed {
        Pushed { service, port, job, left }
    }

    /// Which group it is.
    pub fn group(&self) -> PushgatewayGroup {
        let Pushed { service, port, job, left: _ } = self.clone();
        PushgatewayGroup { service, port, job }
    }

    fn bytes(&self) -> usize {
        self.service.len() + self.job.len()
    }
}

/// What a tenant does with its groups.
#[derive(Debug, Clone, Copy)]
pub(super) enum Use<'a> {
    /// It pushes to these.
    Pushes(&'a BTreeSet<PushgatewayGroup>),
    /// Its resource was refused: what it pushed to last waits with it.
    Waits,
}

/// What a record is to say that says `known`, once those in `removed` are removed. The answer depends on `now` only where a
/// group is left just now.
pub(super) fn pushed(
    known: &[Pushed],
    used: Use<'_>,
    removed: Option<&BTreeSet<Pushed>>,
    now: Timestamp,
) -> Vec<Pushed> {
    let is_used = |group: &PushgatewayGroup| matches!(used, Use::Pushes(all) if all.contains(group));
    let mut groups = BTreeMap::new();
    for one in known.iter().filter(|one| !removed.is_some_and(|removed| removed.contains(one))) {
        let group = one.group();
        let left = match used {
            _ if is_used(&group) => None,
            Use::Pushes(_) => Some(one.left.unwrap_or(now.0).min(now.0)),
            Use::Waits => one.left,
        };
        groups.insert(group, left);
    }
    if let Use::Pushes(all) = used {
        groups.extend(all.iter().map(|group| (group.clone(), None)));
    }
    let mut groups: Vec<Pushed> = groups.into_iter().map(|(group, left)| Pushed::of(group, left)).collect();
    // Those in use first, then those left last.
    groups.sort_by_key(|one| one.left.map(std::cmp::Reverse));
    let used = groups.partition_point(|one| one.left.is_none());
    let mut bytes = 0;
    let fitting = groups[used..].iter().take(LEFT_MAX).take_while(|one| {
        bytes += one.bytes();
        bytes <= LEFT_BYTES_MAX
    });
    let kept = used + fitting.count();
    groups.truncate(kept);
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(job: &str) -> PushgatewayGroup {
        PushgatewayGroup { service: "pushgateway".into(), port: 9091, job: job.into() }
    }

    fn one(job: &str, left: Option<i64>) -> Pushed {
        Pushed::of(group(job), left)
    }

    fn after(known: &[Pushed], pushes: &[&str], removed: &[Pushed], now: i64) -> Vec<Pushed> {
        let pushes = pushes.iter().map(|job| group(job)).collect();
        let removed = removed.iter().cloned().collect();
        pushed(known, Use::Pushes(&pushes), Some(&removed), Timestamp(now))
    }

    #[test]
    fn a_group_that_is_left_is_remembered_since_then_until_it_is_removed() {
        let first = after(&[], &["a"], &[], 1);
        assert_eq!(first, [one("a", None)]);
        let edited = after(&first, &["b"], &[], 2);
        assert_eq!(edited, [one("b", None), one("a", Some(2))]);
        assert_eq!(after(&edited, &["b"], &[], 3), edited, "it was left then, and not now");
        assert_eq!(after(&edited, &["b"], &[one("a", Some(2))], 3), [one("b", None)]);
        assert_eq!(after(&edited, &[], &[], 3), [one("b", Some(3)), one("a", Some(2))]);
    }

    #[test]
    fn what_is_pushed_to_again_is_no_longer_left_and_an_earlier_removal_says_nothing_about_it() {
        let left = [one("b", None), one("a", Some(2))];
        let again = after(&left, &["a"], &[one("a", Some(2))], 3);
        assert_eq!(again, [one("a", None), one("b", Some(3))]);
        let away = after(&again, &["b"], &[one("a", Some(2))], 4);
        assert_eq!(away, [one("b", None), one("a", Some(4))]);
    }

    #[test]
    fn what_a_refused_resource_pushed_to_waits_with_it() {
        let known = [one("b", None), one("a", Some(2))];
        assert_eq!(pushed(&known, Use::Waits, None, Timestamp(9)), known);
    }

    #[test]
    fn of_very_many_the_newest_are_kept_and_what_is_pushed_to_always_is() {
        let many: Vec<Pushed> = (0..20).map(|n| one(&format!("job-{n:02}"), Some(n))).collect();
        let kept = after(&many, &["x"], &[], 30);
        assert_eq!(
            (kept.len(), &kept[0], &kept[1]),
            (1 + LEFT_MAX, &one("x", None), &one("job-19", Some(19)))
        );
        let long = "j".repeat(1_000);
        let long: Vec<Pushed> = (0..5).map(|n| one(&format!("{long}{n}"), Some(n))).collect();
        let kept = after(&long, &[&"x".repeat(1_024)], &[], 30);
        assert!(kept[1..].iter().map(Pushed::bytes).sum::<usize>() <= LEFT_BYTES_MAX, "{}", kept.len());
        assert_eq!(kept.len(), 3);
    }

    #[test]
    fn none_is_left_in_the_future() {
        assert_eq!(after(&[one("a", Some(i64::MAX))], &[], &[], 5), [one("a", Some(5))]);
    }
}
