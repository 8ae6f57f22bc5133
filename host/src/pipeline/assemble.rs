//! Assemble: from what the sources answered to the lane's outputs of one tick.
//!
//! In: the complete answers of a group's sources. Out: values taken into [`Outputs`], and counts.
//! Never: a series decided twice while it lives; a series that no filter saw; two inputs under one identity.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use foldhash::fast::FixedState;

use super::claims::{Denied, GroupIndex, Seat};
use super::encoding::Encoding;
use super::outputs::{Admission, Conclude, Emitted, Fingerprint, OutputId, Outputs, Rank};
use super::quota::Beyond;
use super::verdicts::{NO_STEP, Verdict, Verdicts};
use crate::collect::{Collected, Part, Row, SeriesRef, StreamId};
use crate::filter::{Chain, Usage};
use crate::model::memory::Full;
use crate::model::{Labels, Stamped, Stamps, Tick, Timestamp};

/// The fingerprint of an input series repeats over restarts, so that a contest ends the same way.
const FINGERPRINTS: FixedState = FixedState::with_seed(0x736c_7569_6365);

/// Labels of one series that a filter is shown. Filters add some; Prometheus' own limits are far below.
const SERIES_LABELS_MAX: usize = 256;

/// Bytes of all names and values of one series that a filter is shown.
const SERIES_BYTES_MAX: usize = 48 << 10;

/// Whether a series can be shown to filters. One that cannot is left out and counted: it must not cost its tenant the
/// others.
fn is_within_bounds(labels: &Labels) -> bool {
    labels.len() <= SERIES_LABELS_MAX && labels.text_bytes() <= SERIES_BYTES_MAX
}

/// What one tick's rows came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows that the sources answered with.
    pub selected: usize,
    /// Rows the chain dropped.
    pub dropped: usize,
    /// Rows each step of the chain dropped, in order, with the step's name.
    pub dropped_by: Vec<(String, usize)>,
    /// Rows whose identity is another series'.
    pub collided: usize,
    /// Series decided in this tick.
    pub decided: usize,
    /// New series with more labels, or longer ones, than a filter is shown.
    pub outsized: usize,
    /// One collision, in words.
    pub collision: Option<String>,
    /// As long as an older resource has identities of this one: one of them, in words.
    pub conflict: Option<Arc<str>>,
}

impl Counts {
    fn drop_by(&mut self, step: u8) {
        self.dropped += 1;
        if let Some((_, rows)) = self.dropped_by.get_mut(usize::from(step)) {
            *rows += 1;
        }
    }
}

/// Why a tick could not be assembled. Nothing of it may be delivered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A filter failed; the chain is closed for this tick.
    #[error(transparent)]
    Filter(#[from] crate::filter::Error),
    /// The chain's last step did not do its work.
    #[error(transparent)]
    Unstamped(#[from] crate::model::Unstamped),
    /// More identities than a lane may hold.
    #[error("more series than one endpoint's table can hold; select fewer")]
    Table,
    /// More than the namespace, or the process, may hold.
    #[error(transparent)]
    Memory(#[from] Full),
}

/// Decides series, remembers what was decided, and takes values into the outputs.
pub struct Assembler {
    chain: Chain,
    stamps: Stamps,
    encoding: Encoding,
    seat: Option<Seat>,
    conflict: Option<Arc<str>>,
    /// There was no room for new series.
    beyond: Beyond,
    verdicts: HashMap<StreamId, Verdicts>,
    outputs: Arc<Mutex<Outputs>>,
    scratch: Vec<u8>,
}

/// One source's complete answer.
pub struct Answer {
    /// The source's group; series of different groups are never one series.
    pub group: GroupIndex,
    /// The source's rank, unique in the lane.
    pub rank: Rank,
    /// Its rows.
    pub collected: Collected,
}

/// A row of a series nobody has decided yet.
struct Unknown<'a> {
    answer: &'a Answer,
    part: &'a Part,
    row: Row,
}

impl<'a> Unknown<'a> {
    /// What tells its series from every other one: its group, then its labels.
    fn input(&self) -> Input<'a> {
        (self.answer.group, self.part.catalog().labels(self.row.series.slot))
    }
}

type Input<'a> = (GroupIndex, &'a Labels);

/// New series are decided so many bytes of text at a time, and so many series: what a filter answers is kept beside
/// what was asked until it is encoded.
const DECIDE_BYTES_MAX: usize = 4 << 20;
const DECIDE_SERIES_MAX: usize = 4_096;

/// New series of one tick, and what was decided of them so far.
struct Decision<'a> {
    tick: Tick,
    inputs: Vec<Input<'a>>,
    verdicts: Vec<Verdict>,
    /// Identities that are new with this tick, each with the input that has it.
    created: HashMap<OutputId, usize>,
}

impl Decision<'_> {
    /// The inputs to decide next, if each gets stamps of so many bytes.
    fn next(&self, stamp_bytes: usize) -> Range<usize> {
        let start = self.verdicts.len();
        let mut bytes = 0;
        let fits = |(_, labels): &&Input<'_>| {
            bytes += labels.text_bytes() + stamp_bytes;
            bytes <= DECIDE_BYTES_MAX
        };
        let count = self.inputs[start..].iter().take(DECIDE_SERIES_MAX).take_while(fits).count();
        // One that is longer than that is decided by itself.
        start..self.inputs.len().min(start + count.max(1))
    }
}

impl Assembler {
    /// A lane's tables and its filters, and its seat where others may write the same identities.
    pub fn new(
        chain: Chain,
        stamps: Stamps,
        encoding: Encoding,
        seat: Option<Seat>,
        outputs: Arc<Mutex<Outputs>>,
    ) -> Assembler {
        let (verdicts, scratch) = (HashMap::new(), Vec::new());
        let (conflict, beyond) = (None, Beyond::default());
        Assembler { chain, stamps, encoding, seat, conflict, beyond, verdicts, outputs, scratch }
    }

    /// Takes a tick's answers and shows what they came to.
    ///
    /// `emit` is called once, with the outputs in which every value of the tick stands. When the tick is over,
    /// [`Assembler::end`] has to be called, whatever became of it.
    pub fn tick(
        &mut self,
        tick: Tick,
        answers: &[Answer],
        idle_before: Timestamp,
        emit: impl FnOnce(&Outputs) -> Emitted,
    ) -> Result<(Counts, Emitted), Error> {
        let outputs = self.outputs.clone();
        let mut outputs = outputs.lock().unwrap_or_else(PoisonError::into_inner);
        self.begin(tick, &mut outputs);
        let counts = self.take(tick, answers, &mut outputs)?;
        let emitted = emit(&outputs);
        if emitted.idle > 0 {
            self.sweep(idle_before, &mut outputs);
        }
        self.rest(answers);
        Ok((counts, emitted))
    }

    /// The tick is over: what older resources wait for is theirs.
    pub fn end(&self) {
        if let Some(seat) = &self.seat {
            seat.end();
        }
    }

    /// Takes leave of identities that an older resource has taken, and asks again for those that may be free.
    fn begin(&mut self, tick: Tick, outputs: &mut Outputs) {
        let Some(seat) = &self.seat else { return };
        let news = seat.begin(tick);
        if !news.is_to_ask_again() {
            return;
        }
        let swept = outputs.evict(|encoded| seat.lost(&news, encoded));
        for verdicts in self.verdicts.values_mut() {
            verdicts.release(&swept);
            verdicts.forget_collided();
        }
    }

    /// What each of the lane's filters has done so far.
    pub fn usage(&self) -> impl Iterator<Item = &Usage> {
        self.chain.usage()
    }

    /// Remembers what the receiver holds, now that it acknowledged the tick.
    pub fn settle(&self, tick: Tick, conclude: Conclude) {
        self.outputs.lock().unwrap_or_else(PoisonError::into_inner).settle(tick, conclude);
    }

    /// The outputs, for pages that show them and for the lane that replaces this one.
    pub(crate) fn outputs(&self) -> &Arc<Mutex<Outputs>> {
        &self.outputs
    }

    /// What the lane that replaces this one goes on with.
    pub(crate) fn into_heritage(self) -> (Arc<Mutex<Outputs>>, Option<Seat>) {
        (self.outputs, self.seat)
    }

    /// Takes every row of `answers` into `outputs`.
    fn take(&mut self, tick: Tick, answers: &[Answer], outputs: &mut Outputs) -> Result<Counts, Error> {
        let dropped_by = self.chain.usage().map(|step| (step.name.clone(), 0)).collect();
        let mut counts = Counts { dropped_by, ..Counts::default() };
        let mut unknown = Vec::new();
        for answer in answers {
            for part in &answer.collected.parts {
                let verdicts = self.verdicts.entry(part.stream()).or_default();
                for row in part.rows() {
                    counts.selected += 1;
                    match verdicts.get(row.series) {
                        Some(Verdict::Keep(id)) => outputs.take(id, tick, answer.rank, row.value),
                        Some(Verdict::Drop(step)) => counts.drop_by(step),
                        Some(Verdict::Collided) => counts.collided += 1,
                        None => unknown.push(Unknown { answer, part, row }),
                    }
                }
            }
        }
        if unknown.is_empty() {
            self.beyond.is_over();
        } else {
            self.decide(tick, &unknown, outputs, &mut counts)?;
        }
        if counts.collided == 0 {
            self.conflict = None;
        }
        counts.conflict.clone_from(&self.conflict);
        Ok(counts)
    }

    /// Decides new series, remembers the verdicts, and takes their values.
    fn decide(
        &mut self,
        tick: Tick,
        unknown: &[Unknown<'_>],
        outputs: &mut Outputs,
        counts: &mut Counts,
    ) -> Result<(), Error> {
        if let Some(full) = self.beyond.next_tick() {
            return Err(full.into());
        }
        let (unknown, outsized): (Vec<_>, Vec<_>) =
            unknown.iter().partition(|new| is_within_bounds(new.input().1));
        for new in outsized {
            self.remember(new.part.stream(), new.row.series, Verdict::Drop(NO_STEP));
            counts.drop_by(NO_STEP);
            counts.outsized += 1;
        }
        let mut decision = Decision {
            tick,
            inputs: unknown.iter().map(|new| new.input()).collect(),
            verdicts: Vec::with_capacity(unknown.len()),
            created: HashMap::new(),
        };
        if let Err(error) = self.decide_all(&mut decision, outputs, counts) {
            self.withdraw(&decision, outputs);
            if let Error::Memory(full) = error {
                self.beyond.found(full);
            }
            return Err(error);
        }
        counts.decided += unknown.len();
        for (new, verdict) in unknown.iter().zip(decision.verdicts) {
            self.remember(new.part.stream(), new.row.series, verdict);
            match verdict {
                Verdict::Keep(id) => outputs.take(id, tick, new.answer.rank, new.row.value),
                Verdict::Drop(step) => counts.drop_by(step),
                Verdict::Collided => counts.collided += 1,
            }
        }
        Ok(())
    }

    fn decide_all(
        &mut self,
        decision: &mut Decision<'_>,
        outputs: &mut Outputs,
        counts: &mut Counts,
    ) -> Result<(), Error> {
        let stamp_bytes = self.stamps.labels.text_bytes();
        while decision.verdicts.len() < decision.inputs.len() {
            let range = decision.next(stamp_bytes);
            let labels: Vec<&Labels> = decision.inputs[range].iter().map(|(_, labels)| *labels).collect();
            for (at, result) in self.chain.classify(&labels)?.into_iter().enumerate() {
                let verdict = match result {
                    None => Verdict::Drop(self.chain.passed()[at]),
                    Some(labels) => {
                        let stamped = Stamped::vouch(labels, &self.stamps)?;
                        self.admit(&stamped, decision, outputs, counts)?
                    }
                };
                decision.verdicts.push(verdict);
            }
        }
        Ok(())
    }

    /// Forgets a decision that came to nothing: nothing of it is remembered, so nothing of it may be held.
    fn withdraw(&self, decision: &Decision<'_>, outputs: &mut Outputs) {
        let mut freed = Vec::new();
        let seat = self.seat.as_ref().filter(|seat| seat.is_contended());
        outputs.withdraw(decision.created.keys().copied(), |labels| {
            if seat.is_some() {
                freed.push(labels.to_vec());
            }
        });
        if let Some(seat) = seat {
            seat.release(freed.iter().map(Vec::as_slice));
        }
    }

    /// Finds the output of the next decided series. Of two that contest an identity in one tick, the one whose input
    /// labels sort first has it, so that the choice repeats after a restart; later on whoever has it keeps it.
    fn admit(
        &mut self,
        stamped: &Stamped,
        decision: &mut Decision<'_>,
        outputs: &mut Outputs,
        counts: &mut Counts,
    ) -> Result<Verdict, Error> {
        self.scratch.clear();
        self.encoding.append(stamped, &mut self.scratch);
        let Decision { tick, inputs, verdicts, created } = decision;
        let at = verdicts.len();
        let claimant = fingerprint(inputs[at]);
        match outputs.admit(&self.scratch, claimant) {
            Admission::Full => Err(Error::Table),
            Admission::Beyond(full) => Err(full.into()),
            Admission::Joined(id) => Ok(self.claim(id, *tick, stamped, counts)),
            Admission::Created(id) => {
                created.insert(id, at);
                Ok(self.claim(id, *tick, stamped, counts))
            }
            Admission::Contested(id) => {
                counts.collision.get_or_insert_with(|| {
                    format!("{} would be {}, which is another series", inputs[at].1, stamped.labels())
                });
                match created.get(&id).copied() {
                    Some(holder) if inputs[at] < inputs[holder] => {
                        outputs.reassign(id, claimant);
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

    /// Claims an identity where others may write it too.
    fn claim(&mut self, id: OutputId, tick: Tick, stamped: &Stamped, counts: &mut Counts) -> Verdict {
        let Some(seat) = self.seat.as_ref().filter(|seat| seat.is_contended()) else {
            return Verdict::Keep(id);
        };
        let Err(denied) = seat.claim(&self.scratch, tick) else { return Verdict::Keep(id) };
        let said = match denied {
            Denied::Group => {
                format!("{} is delivered from another source; give the sources labels", stamped.labels())
            }
            Denied::Older(tenant) => {
                let said = format!("{} is delivered by {tenant}, which is older", stamped.labels());
                self.conflict = Some(said.as_str().into());
                said
            }
            // It is this one's from the next tick on, or soon after.
            Denied::Waiting => return Verdict::Collided,
        };
        counts.collision.get_or_insert(said);
        Verdict::Collided
    }

    fn remember(&mut self, stream: StreamId, series: SeriesRef, verdict: Verdict) {
        self.verdicts.entry(stream).or_default().set(series, verdict);
    }

    /// Frees what has been idle since `before`, and every verdict that names it.
    fn sweep(&mut self, before: Timestamp, outputs: &mut Outputs) -> usize {
        let mut freed = Vec::new();
        let seat = self.seat.as_ref().filter(|seat| seat.is_contended());
        let swept = outputs.sweep(before, |labels| {
            if seat.is_some() {
                freed.push(labels.to_vec());
            }
        });
        if swept.count > 0 {
            self.verdicts.values_mut().for_each(|verdicts| verdicts.release(&swept));
            if let Some(seat) = seat {
                seat.release(freed.iter().map(Vec::as_slice));
            }
        }
        swept.count
    }

    /// Forgets streams that no longer answer for this lane, and lets the chain's instances go.
    fn rest(&mut self, answers: &[Answer]) {
        let streams: Vec<StreamId> =
            answers.iter().flat_map(|answer| &answer.collected.parts).map(Part::stream).collect();
        self.verdicts.retain(|stream, _| streams.contains(stream));
        self.chain.rest();
    }
}

fn fingerprint(input: Input<'_>) -> Fingerprint {
    Fingerprint::new(FINGERPRINTS.hash_one(input))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sizes of the portions in which inputs with so many bytes of text are decided.
    fn portions(text_bytes: &[usize], stamp_bytes: usize) -> Vec<usize> {
        let labels = text_bytes.iter().map(|bytes| {
            let value = "x".repeat(bytes - 1);
            Labels::from_pairs([("a", value.as_str())]).unwrap()
        });
        let labels: Vec<Labels> = labels.collect();
        let interval = crate::model::Interval::new(std::time::Duration::from_secs(1)).unwrap();
        let mut decision = Decision {
            tick: Tick::at_or_before(Timestamp(0), interval),
            inputs: labels.iter().map(|labels| (GroupIndex::default(), labels)).collect(),
            verdicts: Vec::new(),
            created: HashMap::new(),
        };
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
