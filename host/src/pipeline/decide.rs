//! Decide: what becomes of series that nobody has decided yet.
//!
//! In: their labels, and filters that judge them. Out: for each a verdict, and its place in the table that follows.
//! Never: two inputs under one identity; anything held of a decision that came to nothing.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::ops::Range;

use foldhash::fast::FixedState;

use super::assemble::{Counts, Error};
use super::claims::GroupIndex;
use super::exit::{Exit, NEVER};
use super::outputs::{Admission, Fingerprint, OutputId, Outputs};
use super::quota::Beyond;
use super::verdicts::{NO_STEP, Verdict};
use crate::deliver::v2::Name;
use crate::filter::{self, Chain, Timing};
use crate::model::{Labels, Tick};

/// The fingerprint of an input series repeats over restarts, so that a contest ends the same way.
const FINGERPRINTS: FixedState = FixedState::with_seed(0x736c_7569_6365);

/// Labels of one series that a filter is shown. Filters add some; Prometheus' own limits are far below.
const SERIES_LABELS_MAX: usize = 256;

/// Bytes of all names and values of one series that a filter is shown.
const SERIES_BYTES_MAX: usize = 48 << 10;

/// New series are decided so many bytes of text at a time, and so many series: what a filter answers is kept beside
/// what was asked until it is encoded.
const DECIDE_BYTES_MAX: usize = 4 << 20;
const DECIDE_SERIES_MAX: usize = 4_096;

/// A series to decide. What tells it from every other one, and orders those that contest an identity: its source
/// group, whether a filter emits it, then its labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Input<'a> {
    pub(super) group: GroupIndex,
    pub(super) is_emitted: bool,
    pub(super) labels: &'a Labels,
}

impl Input<'_> {
    /// Whether it can be shown to filters. One that cannot is left out and counted: it must not cost its tenant the
    /// others.
    pub(super) fn is_within_bounds(&self) -> bool {
        self.labels.len() <= SERIES_LABELS_MAX && self.labels.text_bytes() <= SERIES_BYTES_MAX
    }

    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::new(FINGERPRINTS.hash_one(self))
    }
}

/// What filters said of a series.
#[derive(Debug)]
pub(super) enum Judged {
    Kept(Labels),
    /// The step of this number dropped it, counted over all steps of the lane.
    Dropped(u8),
}

/// Filters without state that stand between two tables.
pub(super) struct Link {
    chain: Chain,
    /// The number of the chain's first step among all steps of the lane.
    first_step: u8,
}

impl Link {
    pub(super) fn new(chain: Chain, first_step: usize) -> Link {
        Link { chain, first_step: u8::try_from(first_step).unwrap_or(NO_STEP) }
    }

    pub(super) fn chain(&self) -> &Chain {
        &self.chain
    }

    /// As [`Chain::begin`].
    pub(super) fn begin(&mut self, timing: Timing) -> bool {
        self.chain.begin(timing)
    }

    pub(super) fn judge(&mut self, series: &[&Labels]) -> Result<Vec<Judged>, filter::Error> {
        let judged = self.chain.classify(series)?;
        let dropped = self.chain.passed().iter().map(|passed| self.first_step.saturating_add(*passed));
        let judged = judged.into_iter().zip(dropped);
        Ok(judged.map(|(labels, step)| labels.map_or(Judged::Dropped(step), Judged::Kept)).collect())
    }

    pub(super) fn rest(&mut self) {
        self.chain.rest();
    }
}

/// The table that series get a place in, and what they have to pass if it is the last one.
pub(super) struct Door<'a> {
    pub(super) table: &'a mut Outputs,
    pub(super) exit: Option<&'a mut Exit>,
}

/// New series of one tick, and what was decided of them so far.
pub(super) struct Decision<'a> {
    tick: Tick,
    inputs: Vec<Input<'a>>,
    verdicts: Vec<Verdict>,
    /// Identities that are new with this tick, each with the input that has it.
    created: HashMap<OutputId, usize>,
    scratch: Vec<u8>,
    /// Whether the inputs are what sources answered.
    origin: Origin,
}

/// Where series to decide come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// They are as a source answered with them.
    Source,
    /// Filters have had them.
    Filters,
}

impl<'a> Decision<'a> {
    pub(super) fn new(tick: Tick, origin: Origin, inputs: Vec<Input<'a>>) -> Decision<'a> {
        let (verdicts, created, scratch) = (Vec::with_capacity(inputs.len()), HashMap::new(), Vec::new());
        Decision { tick, inputs, verdicts, created, scratch, origin }
    }

    /// Decides all of them: `judge` is asked about a few at a time, by their positions and labels. If it fails, nothing
    /// of it is held. `beyond` remembers that there is no room for them.
    pub(super) fn make(
        mut self,
        mut judge: impl FnMut(Range<usize>, &[&Labels]) -> Result<Vec<Judged>, filter::Error>,
        beyond: &mut Beyond,
        door: &mut Door<'_>,
        counts: &mut Counts,
    ) -> Result<Vec<Verdict>, Error> {
        if let Some(full) = beyond.next_tick() {
            return Err(full.into());
        }
        if let Err(error) = self.decide_all(&mut judge, door, counts) {
            self.withdraw(door);
            if let Error::Memory(full) = error {
                beyond.found(full);
            }
            return Err(error);
        }
        counts.decided += self.verdicts.len();
        Ok(self.verdicts)
    }

    fn decide_all(
        &mut self,
        judge: &mut impl FnMut(Range<usize>, &[&Labels]) -> Result<Vec<Judged>, filter::Error>,
        door: &mut Door<'_>,
        counts: &mut Counts,
    ) -> Result<(), Error> {
        let stamp_bytes = door.exit.as_ref().map_or(0, |exit| exit.stamp_bytes());
        while self.verdicts.len() < self.inputs.len() {
            let range = self.next(stamp_bytes);
            let labels: Vec<&Labels> = self.inputs[range.clone()].iter().map(|input| input.labels).collect();
            for judged in judge(range, &labels)? {
                let verdict = match judged {
                    Judged::Dropped(step) => Verdict::Drop(step),
                    Judged::Kept(labels) => self.admit(labels, door, counts)?,
                };
                self.verdicts.push(verdict);
            }
        }
        Ok(())
    }

    /// The inputs to decide next, if each gets stamps of so many bytes.
    fn next(&self, stamp_bytes: usize) -> Range<usize> {
        let start = self.verdicts.len();
        let mut bytes = 0;
        let fits = |input: &&Input<'_>| {
            bytes += input.labels.text_bytes() + stamp_bytes;
            bytes <= DECIDE_BYTES_MAX
        };
        let count = self.inputs[start..].iter().take(DECIDE_SERIES_MAX).take_while(fits).count();
        // One that is longer than that is decided by itself.
        start..self.inputs.len().min(start + count.max(1))
    }

    /// Finds the place of the next series. Of two that contest an identity in one tick, the one whose input labels sort
    /// first has it, so that the choice repeats after a restart; later on whoever has it keeps it.
    fn admit(&mut self, labels: Labels, door: &mut Door<'_>, counts: &mut Counts) -> Result<Verdict, Error> {
        let Decision { tick, inputs, verdicts, created, scratch, origin } = self;
        scratch.clear();
        let labels = match &door.exit {
            Some(exit) => exit.encode(labels, scratch)?.into_labels(),
            None => {
                labels.pack(scratch);
                labels
            }
        };
        let at = verdicts.len();
        let claimant = inputs[at].fingerprint();
        let admission = door.table.admit(scratch, claimant);
        let is_certain = *origin == Origin::Source && labels.metric_name() == inputs[at].labels.metric_name();
        let name = if is_certain { Name::Sources } else { Name::Uncertain };
        let mut claim = |id| match &mut door.exit {
            Some(exit) => exit.claim(id, scratch, &labels, *tick, counts),
            None => (Verdict::Keep(id), NEVER),
        };
        match admission {
            Admission::Full => Err(Error::Table),
            Admission::Beyond(full) => Err(full.into()),
            Admission::Joined(id) => {
                door.table.call(id, name);
                let (verdict, sent) = claim(id);
                door.table.take_over(id, sent);
                Ok(verdict)
            }
            Admission::Created(id) => {
                door.table.call(id, name);
                created.insert(id, at);
                let (verdict, sent) = claim(id);
                door.table.take_over(id, sent);
                Ok(verdict)
            }
            Admission::Contested(id) => {
                counts.collision.get_or_insert_with(|| {
                    format!("{} would be {labels}, which is another series", inputs[at].labels)
                });
                match created.get(&id).copied() {
                    Some(holder) if inputs[at] < inputs[holder] => {
                        door.table.reassign(id, claimant);
                        door.table.call(id, name);
                        created.insert(id, at);
                        for verdict in verdicts.iter_mut().filter(|v| **v == Verdict::Keep(id)) {
                            *verdict = Verdict::Collided;
                        }
                        Ok(Verdict::Keep(id))
                    }
                    _ => Ok(Verdict::Collided),
                }
            }
        }
    }

    /// Forgets a decision that came to nothing: nothing of it is remembered, so nothing of it may be held.
    fn withdraw(&self, door: &mut Door<'_>) {
        let mut freed = Vec::new();
        let exit = door.exit.as_ref().filter(|exit| exit.is_contended());
        door.table.withdraw(self.created.keys().copied(), |labels| {
            if exit.is_some() {
                freed.push(labels.to_vec());
            }
        });
        if let Some(exit) = exit {
            exit.release(freed.iter().map(Vec::as_slice));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Interval, Timestamp};

    /// The sizes of the portions in which inputs with so many bytes of text are decided.
    fn portions(text_bytes: &[usize], stamp_bytes: usize) -> Vec<usize> {
        let labels = text_bytes.iter().map(|bytes| {
            let value = "x".repeat(bytes - 1);
            Labels::from_pairs([("a", value.as_str())]).unwrap()
        });
        let labels: Vec<Labels> = labels.collect();
        let interval = Interval::new(std::time::Duration::from_secs(1)).unwrap();
        let inputs = labels.iter().map(|labels| Input { group: 0, is_emitted: false, labels });
        let mut decision =
            Decision::new(Tick::at_or_before(Timestamp(0), interval), Origin::Source, inputs.collect());
        let mut portions = Vec::new();
        while decision.verdicts.len() < text_bytes.len() {
            let portion = decision.next(stamp_bytes).len();
            portions.push(portion);
            decision.verdicts.extend(vec![Verdict::Collided; portion]);
        }
        portions
    }

    #[test]
    fn new_series_are_decided_a_few_megabytes_at_a_time() {
        assert_eq!(portions(&[], 0), [0; 0]);
        assert_eq!(portions(&[10; 10_000], 0), [4_096, 4_096, 1_808]);
        assert_eq!(portions(&[10; 5], DECIDE_BYTES_MAX / 2 - 10), [2, 2, 1]);
        assert_eq!(
            portions(&[10; 2], DECIDE_BYTES_MAX),
            [1, 1],
            "what is longer than that is decided all the same"
        );
    }
}
