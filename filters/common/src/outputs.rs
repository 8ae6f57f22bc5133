//! common::outputs: series that a filter emits, each made of others.
//!
//! In: what is made of which. Out: one sample of each a tick, and a stale marker at the first tick that makes none. Never: the same
//! labels announced twice by one rule; what two rules make is two series, even if they collide.

use std::collections::HashMap;

use sluice_filter::{Emitted, Rows, Tick};

use crate::group::Group;
use crate::stale;

/// One emitted series, as those it is made of refer to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Output(u32);

/// Emitted series and what is remembered of each. One that has ended stays, because what was announced cannot be taken
/// back; the host bounds how many there may be (100,000), and replaces a filter that needs more.
#[derive(Debug)]
pub struct Outputs<T> {
    by_labels: HashMap<(usize, Group), Output>,
    all: Vec<Made<T>>,
}

#[derive(Debug)]
struct Made<T> {
    series: Series,
    /// Whether the receiver has a sample of it that no stale marker has ended.
    present: bool,
    state: T,
}

#[derive(Debug)]
enum Series {
    ToAnnounce(Group),
    Announced(Emitted),
}

impl<T> Default for Outputs<T> {
    fn default() -> Self {
        Outputs { by_labels: HashMap::new(), all: Vec::new() }
    }
}

impl<T> Outputs<T> {
    /// The series that this rule makes with these labels; the metric's name is one of them.
    pub fn of(&mut self, rule: usize, labels: Group, state: impl FnOnce() -> T) -> Output {
        let Outputs { by_labels, all } = self;
        *by_labels.entry((rule, labels)).or_insert_with_key(|(_, labels)| {
            all.push(Made { series: Series::ToAnnounce(labels.clone()), present: false, state: state() });
            Output(all.len() as u32 - 1)
        })
    }

    /// What is remembered of an output.
    pub fn state(&mut self, output: Output) -> &mut T {
        &mut self.all[output.0 as usize].state
    }

    /// Emits the tick's samples: what `value` says of each output, if anything.
    pub fn emit(&mut self, tick: Tick, rows: &mut Rows<'_>, value: impl Fn(&mut T) -> Option<f64>) {
        for Made { series, present, state } in &mut self.all {
            let value = value(state);
            let was_present = std::mem::replace(present, value.is_some());
            if let Some(value) = value.or_else(|| was_present.then(stale)) {
                let series = series.announced(rows);
                rows.emit(series, tick.at, value);
            }
        }
    }
}

impl Series {
    fn announced(&mut self, rows: &mut Rows<'_>) -> Emitted {
        match self {
            Series::Announced(series) => *series,
            Series::ToAnnounce(labels) => {
                let series = rows.announce(labels.labels());
                *self = Series::Announced(series);
                series
            }
        }
    }
}
