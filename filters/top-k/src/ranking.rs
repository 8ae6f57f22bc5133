//! top-k::ranking: the series of each group, and which of them are in.
//!
//! In: values. Out: the k of each group that rank highest. Never: more than k at once; one that has no value.

use std::cmp::Ordering;
use std::collections::HashMap;

use sluice_filter::SeriesId;
use sluice_filters_common::{Group, Slots};

use crate::config::Rule;

/// All groups of all rules.
#[derive(Debug, Default)]
pub(crate) struct Ranking {
    pub(crate) series: Slots<Ranked>,
    by_labels: HashMap<(usize, Group), u32>,
    groups: Vec<Ranks>,
    /// Places in `groups` that nobody belongs to.
    free: Vec<u32>,
    scratch: Vec<(f64, bool, SeriesId)>,
}

/// A series that is ranked. There are many, so this is small.
#[derive(Debug)]
pub(crate) struct Ranked {
    group: u32,
    /// Its place among the group's members.
    place: u32,
    /// The value of the tick at work.
    value: Option<f64>,
    /// Whether it ranks among the first k.
    pub(crate) is_in: bool,
    /// Whether the receiver has a sample of it that no stale marker has ended.
    pub(crate) present: bool,
}

#[derive(Debug)]
struct Ranks {
    rule: usize,
    labels: Group,
    members: Vec<SeriesId>,
}

impl Ranking {
    /// A series is ranked in the group of these labels from now on.
    pub(crate) fn join(&mut self, series: SeriesId, rule: usize, labels: Group) {
        let Ranking { by_labels, groups, free, .. } = self;
        let group = *by_labels.entry((rule, labels)).or_insert_with_key(|(rule, labels)| {
            let ranks = Ranks { rule: *rule, labels: labels.clone(), members: Vec::new() };
            match free.pop() {
                Some(group) => {
                    groups[group as usize] = ranks;
                    group
                }
                None => {
                    groups.push(ranks);
                    groups.len() as u32 - 1
                }
            }
        });
        let members = &mut groups[group as usize].members;
        let place = members.len() as u32;
        members.push(series);
        let ranked = Ranked { group, place, value: None, is_in: false, present: false };
        self.series.insert(series, ranked);
    }

    /// A series has ended.
    pub(crate) fn leave(&mut self, series: SeriesId) {
        let Some(Ranked { group, place, .. }) = self.series.remove(series) else { return };
        let Ranks { rule, labels, members, .. } = &mut self.groups[group as usize];
        members.swap_remove(place as usize);
        if let Some(moved) = members.get(place as usize).and_then(|moved| self.series.get_mut(*moved)) {
            moved.place = place;
        }
        if members.is_empty() {
            self.by_labels.remove(&(*rule, labels.clone()));
            self.free.push(group);
        }
    }

    /// How many groups there is room for.
    #[cfg(test)]
    pub(crate) fn groups(&self) -> usize {
        self.groups.len()
    }

    /// A series has a value at the tick at work, or ends.
    pub(crate) fn note(&mut self, series: SeriesId, value: Option<f64>) {
        if let Some(ranked) = self.series.get_mut(series) {
            ranked.value = value;
        }
    }

    /// Ranks all groups by the values of the tick at work, and begins another one.
    pub(crate) fn rank(&mut self, rules: &[Rule]) {
        let Ranking { series, groups, scratch, .. } = self;
        for Ranks { rule, members, .. } in groups {
            let rule = &rules[*rule];
            scratch.clear();
            for member in members {
                let Some(ranked) = series.get_mut(*member) else { continue };
                let was_in = std::mem::replace(&mut ranked.is_in, false);
                if let Some(value) = ranked.value.take() {
                    scratch.push((rule.score(value, was_in), was_in, *member));
                }
            }
            if scratch.len() > rule.k {
                scratch.select_nth_unstable_by(rule.k - 1, better_first);
                scratch.truncate(rule.k);
            }
            for (_, _, member) in scratch.iter() {
                series.get_mut(*member).expect("it was just looked at").is_in = true;
            }
        }
    }
}

/// Of equals, who is in stays; else the older number has it, so that the choice repeats.
fn better_first(left: &(f64, bool, SeriesId), right: &(f64, bool, SeriesId)) -> Ordering {
    let score = right.0.total_cmp(&left.0);
    score.then(right.1.cmp(&left.1)).then(left.2.cmp(&right.2))
}
