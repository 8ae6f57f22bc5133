//! Front: the sources' series, decided once each, and their values on the way to the first table.
//!
//! In: answers. Out: values in the table behind the lane's first filters. Never: a series decided twice while it lives; a series
//! that no filter saw.

use std::collections::HashMap;

use super::assemble::{Answer, Counts, Error};
use super::decide::{Decision, Door, Input, Link};
use super::outputs::Swept;
use super::quota::Beyond;
use super::verdicts::{NO_STEP, Verdict, Verdicts};
use crate::collect::{Part, Row, StreamId};
use crate::filter::{Chain, Timing, Usage};
use crate::model::{Labels, Tick};

/// The lane's first filters, and what became of the series they were shown.
pub(super) struct Front {
    link: Link,
    verdicts: HashMap<StreamId, Verdicts>,
    /// There was no room for new series.
    beyond: Beyond,
}

/// A row of a series nobody has decided yet.
struct Unknown<'a> {
    answer: &'a Answer,
    part: &'a Part,
    row: Row,
}

impl<'a> Unknown<'a> {
    fn input(&self) -> Input<'a> {
        let labels = self.part.catalog().labels(self.row.series.slot);
        Input { group: self.answer.group, is_emitted: false, labels }
    }
}

impl Front {
    pub(super) fn new(chain: Chain) -> Front {
        Front { link: Link::new(chain, 0), verdicts: HashMap::new(), beyond: Beyond::default() }
    }

    /// What follows is done then. Series that went past a filter that failed are decided again.
    pub(super) fn begin(&mut self, timing: Timing) {
        if self.link.begin(timing) {
            self.verdicts.clear();
        }
    }

    /// Takes every row of `answers` through `door`.
    pub(super) fn tick(
        &mut self,
        tick: Tick,
        answers: &[Answer],
        door: &mut Door<'_>,
        counts: &mut Counts,
    ) -> Result<(), Error> {
        let mut unknown = Vec::new();
        for answer in answers {
            for part in &answer.collected.parts {
                let verdicts = self.verdicts.entry(part.stream()).or_default();
                for row in part.rows() {
                    counts.selected += 1;
                    match verdicts.get(row.series) {
                        Some(Verdict::Keep(id)) => door.table.take(id, tick, answer.rank, row.value),
                        Some(Verdict::Drop(step)) => counts.drop_by(step),
                        Some(Verdict::Collided) => counts.collided += 1,
                        None => unknown.push(Unknown { answer, part, row }),
                    }
                }
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
        let decision = Decision::new(tick, unknown.iter().map(|new| new.input()).collect());
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
                Verdict::Keep(id) => door.table.take(id, tick, new.answer.rank, new.row.value),
                Verdict::Drop(step) => counts.drop_by(step),
                Verdict::Collided => counts.collided += 1,
            }
        }
        Ok(())
    }

    fn remember(&mut self, new: &Unknown<'_>, verdict: Verdict) {
        self.verdicts.entry(new.part.stream()).or_default().set(new.row.series, verdict);
    }

    /// Forgets verdicts that name what was freed in the table behind.
    pub(super) fn release(&mut self, swept: &Swept) {
        self.verdicts.values_mut().for_each(|verdicts| verdicts.release(swept));
    }

    /// As [`Front::release`], and who collided asks again.
    pub(super) fn ask_again(&mut self, swept: &Swept) {
        self.release(swept);
        self.verdicts.values_mut().for_each(Verdicts::forget_collided);
    }

    pub(super) fn usage(&self) -> impl Iterator<Item = &Usage> {
        self.link.chain().usage()
    }

    /// Forgets streams that no longer answer for this lane, and lets instances go.
    pub(super) fn rest(&mut self, answers: &[Answer]) {
        let streams: Vec<StreamId> =
            answers.iter().flat_map(|answer| &answer.collected.parts).map(Part::stream).collect();
        self.verdicts.retain(|stream, _| streams.contains(stream));
        self.link.rest();
    }
}
