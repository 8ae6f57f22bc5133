//! common::outputs: series that a filter emits, each made of others.
//!
//! In: who belongs to which. Out: one sample of each a tick, and a stale marker when nobody belongs to it any more.
//! Never: the same labels announced twice by one rule; what two rules make is two series, even if they collide.

use std::collections::HashMap;

use sluice_filter::{Emitted, Rows, Tick};

use crate::group::Group;
use crate::stale;

/// One emitted series, as its members refer to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member(u32);

/// Emitted series and what is remembered of each. One that has ended stays, because what was announced cannot be taken
/// back; the host bounds how many there may be (100,000), and replaces a filter that needs more.
#[derive(Debug)]
pub struct Outputs<T> {
    by_labels: HashMap<(usize, Group), Member>,
    all: Vec<Output<T>>,
}

#[derive(Debug)]
struct Output<T> {
    series: Labels,
    members: u32,
    /// Whether the receiver has a sample of it that no stale marker has ended.
    present: bool,
    state: T,
}

#[derive(Debug)]
enum Labels {
    ToAnnounce(Group),
    Announced(Emitted),
}

impl<T> Default for Outputs<T> {
    fn default() -> Self {
        Outputs { by_labels: HashMap::new(), all: Vec::new() }
    }
}

impl<T> Outputs<T> {
    /// A series belongs to the output that this rule makes with these labels from now on; the metric's name is one of them.
    pub fn join(&mut self, rule: usize, labels: Group, state: impl FnOnce() -> T) -> Member {
        let Outputs { by_labels, all } = self;
        let member = *by_labels.entry((rule, labels)).or_insert_with_key(|(_, labels)| {
            let series = Labels::ToAnnounce(labels.clone());
            all.push(Output { series, members: 0, present: false, state: state() });
            Member(all.len() as u32 - 1)
        });
        all[member.0 as usize].members += 1;
        member
    }

    /// A series that belonged to it has ended.
    pub fn leave(&mut self, member: Member) {
        self.all[member.0 as usize].members -= 1;
    }

    /// What is remembered of an output.
    pub fn state(&mut self, member: Member) -> &mut T {
        &mut self.all[member.0 as usize].state
    }

    /// Emits the tick's samples: what `value` says of each output, if anything.
    pub fn emit(&mut self, tick: Tick, rows: &mut Rows<'_>, value: impl Fn(&mut T) -> Option<f64>) {
        for Output { series, members, present, state } in &mut self.all {
            let ended = *members == 0 && *present;
            let value = value(state).filter(|_| *members > 0).or_else(|| ended.then(stale));
            if let Some(value) = value {
                let series = series.announced(rows);
                rows.emit(series, tick.at, value);
                *present = !ended;
            }
        }
    }
}

impl Labels {
    fn announced(&mut self, rows: &mut Rows<'_>) -> Emitted {
        match self {
            Labels::Announced(series) => *series,
            Labels::ToAnnounce(group) => {
                let series = rows.announce(group.labels());
                *self = Labels::Announced(series);
                series
            }
        }
    }
}
