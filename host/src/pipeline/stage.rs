//! Stage: a filter that is kept, the table before it, and the filters behind it.
//!
//! In: the table's values of a tick. Out: what the filter made of them, in the table behind. Never: a sample shown to the filter
//! twice while its instance lives, however often the tick has to be assembled; a series that ends because the
//! filter held a sample back.
//!
//! A series goes by its place in the table, which is its number for the filter too. One that has not been seen for a while
//! is forgotten, first by the filter. What a filter emits is no series of the table before it: it
//! is there until the filter gives it a stale value, or until the filter's instance is gone and the next one does not emit it.

use std::ops::Range;

use super::assemble::{Counts, Error};
use super::decide::{Decision, Door, Input, Judged, Link, Origin};
use super::outputs::{OutputId, Outputs, Swept};
use super::quota::Beyond;
use super::rows::Rows;
use super::verdicts::{NO_STEP, Verdict, Verdicts};
use crate::collect::SeriesRef;
use crate::collect::read::{Run, Sample};
use crate::filter::{Chain, Emission, Moments, ROWS_MAX, SampleEdits, Stateful, Timing, Usage, Window};
use crate::model::memory::Held;
use crate::model::{Interval, Labels, STALE_NAN_BITS, Tick, Timestamp};

/// One filter that is kept, and what became of the series it was shown.
pub(super) struct Stage {
    table: Outputs,
    filter: Stateful,
    /// The filter's number among all steps of the lane.
    step: u8,
    behind: Link,
    /// What of the filter is known: it has lost its memory if the filter's is another one.
    generation: u64,
    verdicts: Verdicts,
    /// Which numbers the filter knows.
    known: Vec<bool>,
    emitting: Vec<Emitting>,
    /// What the filter was shown of the newest tick.
    shown: Shown,
    beyond: Beyond,
    /// What the filter emits takes.
    held: Held,
    /// The last tick left something in the table that was not seen.
    is_idle: bool,
}

/// A series that the filter emits.
#[derive(Debug, Clone, Copy)]
struct Emitting {
    /// `None`: to be decided when it is emitted the next time.
    verdict: Option<Verdict>,
    has_ended: bool,
}

/// How far the filter has come with a tick.
#[derive(Debug, Default)]
struct Shown {
    tick: Option<Tick>,
    /// Which numbers it was shown.
    rows: Vec<bool>,
    /// It was told that the tick has no more.
    is_closed: bool,
    /// Samples it emitted.
    emitted: Vec<Emission>,
}

impl Stage {
    /// `table_held` pays for the table, and `held` for what the filter emits; `step` is the filter's number among all steps of the lane.
    pub(super) fn new(filter: Stateful, step: usize, behind: Chain, table_held: Held, held: Held) -> Stage {
        Stage {
            table: Outputs::new(table_held),
            held,
            generation: filter.generation(),
            filter,
            step: u8::try_from(step).unwrap_or(NO_STEP),
            behind: Link::new(behind, step + 1),
            verdicts: Verdicts::default(),
            known: Vec::new(),
            emitting: Vec::new(),
            shown: Shown::default(),
            beyond: Beyond::default(),
            is_idle: false,
        }
    }

    /// Whether the filter is shown samples.
    pub(super) fn sees_samples(&self) -> bool {
        self.filter.sees_samples()
    }

    /// The table before the filter.
    pub(super) fn table_mut(&mut self) -> &mut Outputs {
        &mut self.table
    }

    /// What follows is done then. Series that went past a filter that failed are decided again.
    pub(super) fn begin(&mut self, timing: Timing) {
        if let Some(before) = self.shown.tick.filter(|before| before.timestamp() != timing.tick) {
            // What comes is told from what the filter was shown.
            self.table.advance(before);
        }
        self.filter.begin(timing);
        if self.behind.begin(timing) {
            self.verdicts.clear();
            self.emitting.iter_mut().for_each(|emitting| emitting.verdict = None);
        }
    }

    /// Takes the table's values of `tick` through the filter and those behind it, and through `door`.
    pub(super) fn tick(
        &mut self,
        tick: Tick,
        interval: Interval,
        door: &mut Door<'_>,
        counts: &mut Counts,
    ) -> Result<(), Error> {
        self.begin_tick(tick);
        self.decide(tick, door, counts)?;
        self.pay()?;
        if !self.filter.sees_samples() {
            self.pass(tick, door, counts);
            return Ok(());
        }
        self.show(tick, interval, door, counts)?;
        if self.generation != self.filter.generation() {
            // It failed, and may: what it has emitted is gone with it.
            self.shown.emitted.clear();
            self.emitting.clear();
        }
        self.pay()?;
        self.decide_emitted(tick, door, counts)?;
        self.emit(tick, door, counts);
        Ok(())
    }

    /// What the filter has us keep is paid for, or the tick is over, and the filter begins anew.
    fn pay(&mut self) -> Result<(), Error> {
        let (taken, paid) = (self.filter.kept_bytes(), self.held.bytes());
        if taken < paid {
            self.held.give(paid - taken);
            return Ok(());
        }
        self.held.take(taken - paid).map_err(|full| {
            self.filter.begin_anew();
            self.held.give(paid);
            full.into()
        })
    }

    fn begin_tick(&mut self, tick: Tick) {
        if self.generation != self.filter.generation() {
            self.generation = self.filter.generation();
            self.verdicts.clear();
            self.known.clear();
            self.emitting.clear();
            self.shown = Shown::default();
        }
        if self.shown.tick != Some(tick) {
            let Shown { tick: newest, rows, is_closed, emitted } = &mut self.shown;
            *newest = Some(tick);
            *is_closed = false;
            rows.clear();
            emitted.clear();
        }
    }

    /// Asks about the series that are new in the table.
    fn decide(&mut self, tick: Tick, door: &mut Door<'_>, counts: &mut Counts) -> Result<(), Error> {
        let (mut new, mut again) = (Vec::new(), Vec::new());
        let Stage { table, filter, behind, verdicts, known, beyond, .. } = self;
        let idle = table.seen_at(tick, |id, _| {
            if verdicts.get(series(id)).is_none() {
                new.push(id);
                again.extend(known.get(id.0 as usize).is_some_and(|known| *known).then_some(id.0));
            }
        });
        self.is_idle = idle > 0;
        if new.is_empty() {
            beyond.is_over();
            return Ok(());
        }
        if !again.is_empty() {
            filter.forget(&again);
        }
        let labels = new.iter().map(|id| Labels::unpack(table.encoded(*id)).expect("it was packed by us"));
        let labels: Vec<Labels> = labels.collect();
        let inputs = labels.iter().map(|labels| Input { group: 0, is_emitted: false, labels }).collect();
        let step = self.step;
        let judge = |range: Range<usize>, labels: &[&Labels]| {
            let numbered: Vec<(u32, &Labels)> =
                new[range].iter().map(|id| id.0).zip(labels.iter().copied()).collect();
            let judged = filter.classify(&numbered)?;
            for (number, _) in numbered {
                set(known, number);
            }
            let kept: Vec<&Labels> = judged.iter().flatten().collect();
            let mut left = behind.judge(&kept)?.into_iter();
            let judged = judged.iter().map(|kept| match kept {
                Some(_) => left.next().expect("there is one for each that was kept"),
                None => Judged::Dropped(step),
            });
            Ok(judged.collect())
        };
        let decided = Decision::new(tick, Origin::Filters, inputs).make(judge, beyond, door, counts)?;
        for (id, verdict) in new.iter().zip(decided) {
            verdicts.set(series(*id), verdict);
        }
        Ok(())
    }

    /// Values go on to where their series are, past a filter that sees labels only.
    fn pass(&mut self, tick: Tick, door: &mut Door<'_>, counts: &mut Counts) {
        let Stage { table, verdicts, .. } = self;
        table.seen_at(tick, |id, run| {
            if let Some(verdict) = verdicts.get(series(id)) {
                put(verdict, run, tick, door, counts);
            }
        });
    }

    /// Shows the filter the tick's samples, those that it has not seen yet.
    fn show(
        &mut self,
        tick: Tick,
        interval: Interval,
        door: &mut Door<'_>,
        counts: &mut Counts,
    ) -> Result<(), Error> {
        let at = tick.timestamp();
        let moments = if self.table.takes_all() { Moments::Any } else { Moments::Tick };
        let window = Window { since: at.minus(interval.duration()), at, moments };
        let Stage { table, verdicts, filter, step, shown, .. } = self;
        let mut rows = Rows::default();
        let mut failed = Ok(());
        table.seen_at(tick, |id, run| {
            let was_shown = shown.is_closed || shown.rows.get(id.0 as usize).is_some_and(|shown| *shown);
            match verdicts.get(series(id)) {
                _ if failed.is_err() => {}
                Some(Verdict::Drop(by)) if by == *step || by == NO_STEP => counts.drop_by(by),
                Some(verdict) if !filter.is_to_see(id.0) => put(verdict, run, tick, door, counts),
                Some(verdict) if was_shown || run.at.is_empty() => held_back(verdict, tick, door, counts),
                Some(verdict) => {
                    // One call takes them all, but where a series has more of them than a call has rows.
                    for piece in run.chunks(ROWS_MAX) {
                        if failed.is_ok() && !rows.has_room(piece.at.len()) {
                            failed = show(filter, window, false, &mut rows, shown, *step, door, counts);
                        }
                        rows.push(id, verdict, piece);
                    }
                }
                None => {}
            }
        });
        failed?;
        if !shown.is_closed {
            show(filter, window, true, &mut rows, shown, *step, door, counts)?;
            shown.is_closed = true;
        }
        Ok(())
    }

    /// Decides series that the filter emits at this tick and that have no place yet.
    fn decide_emitted(&mut self, tick: Tick, door: &mut Door<'_>, counts: &mut Counts) -> Result<(), Error> {
        let Stage { filter, behind, emitting, shown, beyond, .. } = self;
        let emitted = filter.emitted();
        emitting.resize(emitted.len(), Emitting { verdict: None, has_ended: true });
        let mut new: Vec<usize> = shown.emitted.iter().map(|emission| emission.series as usize).collect();
        new.retain(|series| emitting[*series].verdict.is_none());
        new.dedup();
        if new.is_empty() {
            return Ok(());
        }
        let inputs = new.iter().map(|at| Input { group: 0, is_emitted: true, labels: &emitted[*at] });
        let decision = Decision::new(tick, Origin::Filters, inputs.collect());
        let decided = decision.make(|_, labels| behind.judge(labels), beyond, door, counts)?;
        for (at, verdict) in new.into_iter().zip(decided) {
            emitting[at].verdict = Some(verdict);
        }
        Ok(())
    }

    /// Puts what the filter emits at this tick behind it. What it emits otherwise has not ended.
    fn emit(&mut self, tick: Tick, door: &mut Door<'_>, counts: &mut Counts) {
        // Of a series in time order, and what is put somewhere has to stand together.
        self.shown.emitted.sort_by_key(|emission| emission.series);
        for Emission { series, timestamp, bits } in &self.shown.emitted {
            let emitting = &mut self.emitting[*series as usize];
            emitting.has_ended = *bits == STALE_NAN_BITS;
            match emitting.verdict {
                Some(Verdict::Keep(to)) => {
                    let value = f64::from_bits(*bits);
                    door.table.put(to, tick, Some(Sample { at: *timestamp, value, histogram: None }));
                }
                Some(Verdict::Drop(step)) => counts.drop_by(step),
                Some(Verdict::Collided) | None => counts.collided += 1,
            }
        }
        for emitting in self.emitting.iter().filter(|emitting| !emitting.has_ended) {
            if let Some(Verdict::Keep(to)) = emitting.verdict {
                door.table.put(to, tick, None);
            }
        }
    }

    /// Frees what has been idle since `before` in the table before the filter, which forgets it. `None` if nothing was.
    pub(super) fn sweep(&mut self, before: Timestamp) -> Option<Swept> {
        let is_idle = std::mem::take(&mut self.is_idle);
        let swept = is_idle.then(|| self.table.sweep(before, |_| {}))?;
        let mut ended = Vec::new();
        for id in swept.ids() {
            self.verdicts.forget(id.0 as usize);
            if self.known.get_mut(id.0 as usize).is_some_and(std::mem::take) {
                ended.push(id.0);
            }
        }
        if !ended.is_empty() {
            self.filter.forget(&ended);
        }
        (swept.count > 0).then_some(swept)
    }

    /// Forgets verdicts that name what was freed in the table behind.
    pub(super) fn release(&mut self, swept: &Swept) {
        self.verdicts.release(swept);
        for emitting in &mut self.emitting {
            let is_gone = match emitting.verdict {
                Some(Verdict::Keep(id)) => swept.has(id),
                Some(Verdict::Collided) => swept.contested,
                Some(Verdict::Drop(_)) | None => false,
            };
            if is_gone {
                emitting.verdict = None;
            }
        }
    }

    /// As [`Stage::release`], and who collided asks again.
    pub(super) fn ask_again(&mut self, swept: &Swept) {
        self.release(swept);
        self.verdicts.forget_collided();
        for emitting in self.emitting.iter_mut().filter(|e| e.verdict == Some(Verdict::Collided)) {
            emitting.verdict = None;
        }
    }

    pub(super) fn usage(&self) -> impl Iterator<Item = &Usage> {
        std::iter::once(self.filter.usage()).chain(self.behind.chain().usage())
    }

    /// Lets the instances of the filters behind go.
    pub(super) fn rest(&mut self) {
        self.behind.rest();
    }
}

/// Shows the filter one batch, and puts what it leaves of it behind it.
#[expect(clippy::too_many_arguments, reason = "one call of one stage, whose parts are borrowed apart")]
fn show(
    filter: &mut Stateful,
    window: Window,
    last: bool,
    rows: &mut Rows,
    shown: &mut Shown,
    step: u8,
    door: &mut Door<'_>,
    counts: &mut Counts,
) -> Result<(), Error> {
    let SampleEdits { keep, changed, emitted } = filter.process(window, last, rows.columns())?;
    shown.emitted.extend(emitted);
    rows.change(&changed);
    rows.drain(|at, id, verdict, sample| {
        set(&mut shown.rows, id.0);
        let tick = shown.tick.expect("a tick is at work");
        match verdict {
            _ if keep[at / 64] >> (at % 64) & 1 == 0 => {
                counts.drop_by(step);
                if let Verdict::Keep(to) = verdict {
                    door.table.put(to, tick, None);
                }
            }
            Verdict::Keep(to) => {
                let (at, value) = sample;
                door.table.put(to, tick, Some(Sample { at, value, histogram: None }));
            }
            Verdict::Drop(by) => counts.drop_by(by),
            Verdict::Collided => counts.collided += 1,
        }
    });
    Ok(())
}

/// Samples go to where their series is.
fn put(verdict: Verdict, run: Run<'_>, tick: Tick, door: &mut Door<'_>, counts: &mut Counts) {
    match verdict {
        Verdict::Keep(to) if run.at.is_empty() => door.table.put(to, tick, None),
        Verdict::Keep(to) => {
            for sample in run.samples() {
                door.table.put(to, tick, Some(sample));
            }
        }
        Verdict::Drop(step) => counts.drop_by(step),
        Verdict::Collided => counts.collided += 1,
    }
}

/// The filter was shown the sample before: what it left of it stands where it was put.
fn held_back(verdict: Verdict, tick: Tick, door: &mut Door<'_>, counts: &mut Counts) {
    match verdict {
        Verdict::Keep(to) => door.table.put(to, tick, None),
        Verdict::Drop(step) => counts.drop_by(step),
        Verdict::Collided => counts.collided += 1,
    }
}

fn series(id: OutputId) -> SeriesRef {
    SeriesRef { slot: id.0, generation: 0 }
}

/// Sets a bit of a list that grows.
fn set(bits: &mut Vec<bool>, at: u32) {
    let at = at as usize;
    if at >= bits.len() {
        bits.resize(at + 1, false);
    }
    bits[at] = true;
}

#[cfg(test)]
mod tests;
