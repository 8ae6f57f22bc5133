//! Account: what a scenario found, and whether that is as it was promised.

use std::collections::{BTreeMap, BTreeSet};

use sluice_tests::expectation::Held;
use sluice_tests::series::{LabelSet, Value};

/// What a scenario found.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// Ticks from the first to the last one that arrived.
    pub(crate) ticks: usize,
    /// Samples that the source has of them.
    pub(crate) samples: usize,
    /// Of these, those that did not arrive.
    pub(crate) missing: usize,
    /// Those that arrived with another value.
    pub(crate) wrong: usize,
    /// Those that arrived and that the source does not have.
    pub(crate) surplus: usize,
    /// How often a series is over at a tick for the one and not for the other.
    pub(crate) ends: usize,
    /// Ticks of which the source has nothing any more.
    pub(crate) lost: usize,
    /// Of these, those that may be lost, as the program counts them.
    pub(crate) given_up: usize,
    /// Ticks of which the receiver refused samples, and the requests in which it did.
    pub(crate) refused: usize,
    pub(crate) refusals: usize,
    /// Of these, those that may be: of ticks in doubt.
    pub(crate) doubtful: usize,
    /// The most memory during the fault, as a multiple of the most before it; not where the program began anew.
    pub(crate) memory: Option<f64>,
    /// Ticks that came late, where others are to blame for it if some did.
    pub(crate) late: Option<u64>,
    /// Some of what is wrong.
    pub(crate) examples: Vec<String>,
}

/// Memory may grow by so much while a receiver is away.
const MEMORY_TIMES_MAX: f64 = 1.1;

const EXAMPLES_MAX: usize = 5;

impl Account {
    /// Whether all is as it was promised.
    pub(crate) fn judged(&self) -> Result<(), String> {
        let whole = self.missing + self.wrong + self.surplus + self.ends == 0 && self.samples > 0;
        let orderly = self.refused <= self.doubtful;
        let counted = self.lost == self.given_up;
        let small = self.memory.is_none_or(|times| times <= MEMORY_TIMES_MAX);
        let timely = self.late.is_none_or(|late| late == 0);
        if whole && orderly && counted && small && timely { Ok(()) } else { Err(format!("{self:#?}")) }
    }

    /// Counts what is not as it should be of the samples.
    pub(crate) fn count(&mut self, expected: &Held, held: &Held) {
        let of = |all: &Held, series: &LabelSet| -> BTreeMap<i64, Value> {
            all.get(series).into_iter().flatten().map(|sample| (sample.at, sample.value)).collect()
        };
        for series in expected.keys().chain(held.keys().filter(|series| !expected.contains_key(*series))) {
            let (wanted, found) = (of(expected, series), of(held, series));
            for (at, value) in &wanted {
                self.samples += 1;
                match found.get(at) {
                    Some(there) if there == value => continue,
                    Some(there) => {
                        self.wrong += 1;
                        self.example(format!("{series} at {at}: {there:?}, not {value:?}"));
                    }
                    None => {
                        self.missing += 1;
                        self.example(format!("{series} at {at}: missing"));
                    }
                }
            }
            for at in found.keys().filter(|at| !wanted.contains_key(*at)) {
                self.surplus += 1;
                self.example(format!("{series} at {at}: nobody has it"));
            }
        }
    }

    /// Counts ends that came when there was none, and those that did not come: `shown` is what readers see at each tick. Of
    /// what the source has nothing any more nobody knows that it has ended.
    pub(crate) fn count_ends(&mut self, expected: &Held, shown: &Held, lost: &BTreeSet<i64>) {
        for (series, samples) in shown {
            let there: BTreeSet<i64> = expected.get(series).into_iter().flatten().map(|s| s.at).collect();
            let shown: BTreeSet<i64> = samples.iter().map(|sample| sample.at).collect();
            for at in shown.iter().filter(|at| !there.contains(*at) && !lost.contains(*at)) {
                self.ends += 1;
                self.example(format!("{series} at {at}: it is over, and still shown"));
            }
            for at in lost.iter().filter(|at| !shown.contains(*at) && shown.first() < Some(*at)) {
                self.ends += 1;
                self.example(format!("{series} at {at}: nobody knows that it is over"));
            }
        }
    }

    fn example(&mut self, text: String) {
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(text);
        }
    }
}
