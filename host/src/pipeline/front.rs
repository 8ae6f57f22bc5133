//! Front: the sources' series, decided once each, and their values on the way to the first table.
//!
//! In: answers. Out: values in the table behind the lane's first filters. Never: a series decided twice while it lives; a series
//! that no filter saw.

use std::collections::HashMap;

use super::assemble::{Answer, Counts, Error};
use super::decide::{Decision, Door, Input, Link, Origin};
use super::outputs::{OutputId, Rank, Swept};
use super::quota::Beyond;
use super::verdicts::{NO_STEP, Verdict, Verdicts};
use crate::collect::read::Run;
use crate::collect::{Part, SeriesRef, StreamId};
use crate::filter::{Chain, Timing, Usage};
use crate::model::{Labels, Tick, Timestamp};

/// What became of series, by the stream that they are of.
type ByStream = HashMap<StreamId, Verdicts>;

/// The lane's first filters, and what became of the series they were shown.
pub(super) struct Front {
    link: Link,
    histograms: Histograms,
    verdicts: ByStream,
    /// Those of another stretch of ticks, as long as there are two.
    aside: Option<ByStream>,
    /// There was no room for new series.
    beyond: Beyond,
}

/// What becomes of native histograms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Histograms {
    Passed,
    /// A filter further on sees samples, and could not be shown them.
    LeftOut,
}

/// A row of a series nobody has decided yet.
struct Unknown<'a> {
    answer: &'a Answer,
    part: &'a Part,
    series: SeriesRef,
    samples: Samples<'a>,
}

/// What a series has at a tick.
#[derive(Clone, Copy)]
enum Samples<'a> {
    One(f64),
    Run(Run<'a>),
}

impl<'a> Unknown<'a> {
    fn input(&self) -> Input<'a> {
        let labels = self.part.catalog().labels(self.series.slot);
        Input { group: self.answer.group, is_emitted: false, labels }
    }
}

impl Front {
    pub(super) fn new(chain: Chain, histograms: Histograms) -> Front {
        let (link, verdicts) = (Link::new(chain, 0), HashMap::new());
        Front { link, histograms, verdicts, aside: None, beyond: Beyond::default() }
    }

    /// What follows is done then. Series that went past a filter that failed are decided again.
    pub(super) fn begin(&mut self, timing: Timing) {
        if self.link.begin(timing) {
            self.verdicts.clear();
            self.aside.iter_mut().for_each(HashMap::clear);
        }
    }

    /// Takes every row of `answers` through `door`; what was there `before` was counted with another tick.
    pub(super) fn tick(
        &mut self,
        tick: Tick,
        before: Timestamp,
        answers: &[Answer],
        door: &mut Door<'_>,
        counts: &mut Counts,
    ) -> Result<(), Error> {
        let histograms = self.histograms;
        let mut unknown = Vec::new();
        for answer in answers {
            let mut left_out = 0;
            for part in &answer.collected.parts {
                let verdicts = self.verdicts.entry(part.stream()).or_default();
                for (series, run) in part.runs() {
                    counts.selected += 1;
                    if histograms == Histograms::LeftOut {
                        let new = run.histograms.iter().filter(|new| new.at > before.as_millis());
                        left_out += new.count() as u64;
                    }
                    match verdicts.get(series) {
                        Some(Verdict::Keep(id)) => take(door, id, tick, answer.rank, run, histograms),
                        Some(Verdict::Drop(step)) => counts.drop_by(step),
                        Some(Verdict::Collided) => counts.collided += 1,
                        None => unknown.push(Unknown { answer, part, series, samples: Samples::Run(run) }),
                    }
                }
                for row in part.rows() {
                    counts.selected += 1;
                    match verdicts.get(row.series) {
                        Some(Verdict::Keep(id)) => door.table.take(id, tick, answer.rank, row.value),
                        Some(Verdict::Drop(step)) => counts.drop_by(step),
                        Some(Verdict::Collided) => counts.collided += 1,
                        None => {
                            let (series, samples) = (row.series, Samples::One(row.value));
                            unknown.push(Unknown { answer, part, series, samples });
                        }
                    }
                }
            }
            if left_out > 0 {
                counts.histograms.push((answer.collected.source.name.clone(), left_out));
            }
        }
        if unknown.is_empty() {
            self.beyond.is_over();
            return Ok(());
        }
        self.decide(tick, &unknown, door, counts)
    }

    /// Decides new series, remembers the verdicts, and takes their values.
    fn decide(
        &mut self,
        tick: Tick,
        unknown: &[Unknown<'_>],
        door: &mut Door<'_>,
        counts: &mut Counts,
    ) -> Result<(), Error> {
        let (unknown, outsized): (Vec<_>, Vec<_>) =
            unknown.iter().partition(|new| new.input().is_within_bounds());
        let decision = Decision::new(tick, Origin::Source, unknown.iter().map(|new| new.input()).collect());
        let judge = |_, labels: &[&Labels]| self.link.judge(labels);
        let decided = decision.make(judge, &mut self.beyond, door, counts)?;
        for new in outsized {
            self.remember(new, Verdict::Drop(NO_STEP));
            counts.drop_by(NO_STEP);
            counts.outsized += 1;
        }
        for (new, verdict) in unknown.iter().zip(decided) {
            self.remember(new, verdict);
            match verdict {
                Verdict::Keep(id) => match new.samples {
                    Samples::One(value) => door.table.take(id, tick, new.answer.rank, value),
                    Samples::Run(run) => take(door, id, tick, new.answer.rank, run, self.histograms),
                },
                Verdict::Drop(step) => counts.drop_by(step),
                Verdict::Collided => counts.collided += 1,
            }
        }
        Ok(())
    }

    fn remember(&mut self, new: &Unknown<'_>, verdict: Verdict) {
        self.verdicts.entry(new.part.stream()).or_default().set(new.series, verdict);
    }

    /// Forgets verdicts that name what was freed in the table behind, for the stretch whose turn it is.
    pub(super) fn release(&mut self, swept: &Swept) {
        self.verdicts.values_mut().for_each(|verdicts| verdicts.release(swept));
    }

    /// What was decided holds for two stretches of ticks, until either decides otherwise.
    pub(super) fn part(&mut self) {
        self.aside = Some(self.verdicts.clone());
    }

    /// It is the other stretch's turn.
    pub(super) fn turn(&mut self) {
        if let Some(aside) = &mut self.aside {
            std::mem::swap(&mut self.verdicts, aside);
        }
    }

    /// The stretch whose turn it is goes on alone.
    pub(super) fn forget_other(&mut self) {
        self.aside = None;
    }

    /// As [`Front::release`], for good, and who collided asks again.
    pub(super) fn ask_again(&mut self, swept: &Swept) {
        for verdicts in self.verdicts.values_mut().chain(self.aside.iter_mut().flat_map(HashMap::values_mut))
        {
            verdicts.release(swept);
            verdicts.forget_collided();
        }
    }

    pub(super) fn usage(&self) -> impl Iterator<Item = &Usage> {
        self.link.chain().usage()
    }

    /// Forgets streams that no longer answer for this lane, and lets instances go.
    pub(super) fn rest(&mut self, answers: &[Answer]) {
        let streams: Vec<StreamId> =
            answers.iter().flat_map(|answer| &answer.collected.parts).map(Part::stream).collect();
        self.verdicts.retain(|stream, _| streams.contains(stream));
        self.aside.iter_mut().for_each(|aside| aside.retain(|stream, _| streams.contains(stream)));
        self.link.rest();
    }
}

/// Takes a series' samples into the table. One that has none but histograms, where these are left out, has not ended.
fn take(door: &mut Door<'_>, id: OutputId, tick: Tick, rank: Rank, run: Run<'_>, histograms: Histograms) {
    if histograms == Histograms::Passed || run.histograms.is_empty() {
        return door.table.take_run(id, tick, rank, run);
    }
    let floats = run.samples().filter(|sample| sample.histogram.is_none());
    let (at, values): (Vec<i64>, Vec<f64>) = floats.map(|sample| (sample.at, sample.value)).unzip();
    match at.is_empty() {
        true => door.table.put(id, tick, None),
        false => door.table.take_run(id, tick, rank, Run { at: &at, values: &values, histograms: &[] }),
    }
}
