//! Assemble: from what the sources answered to the lane's outputs of one tick.
//!
//! In: the complete answers of a group's sources. Out: values taken into [`Outputs`], and counts.
//! Never: a series decided twice while it lives; a series that no filter saw; two inputs under one identity.

use std::sync::{Arc, Mutex};

use super::claims::{GroupIndex, Seat};
use super::decide::Door;
use super::encoding::Encoding;
use super::exit::Exit;
use super::front::{Front, Histograms};
use super::lane::lock;
use super::outputs::{Conclude, Emitted, Floor, Outputs, Rank};
use super::stage::Stage;
use crate::collect::Collected;
use crate::filter::{Sequence, Timing, Usage};
use crate::model::memory::{Full, Held};
use crate::model::{Interval, SourceName, Stamps, Tick, Timestamp};

/// What one tick's rows came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows that the sources answered with.
    pub selected: usize,
    /// Rows a filter dropped.
    pub dropped: usize,
    /// Rows each filter dropped, in order, with the step's name.
    pub dropped_by: Vec<(String, usize)>,
    /// Rows whose identity is another series'.
    pub collided: usize,
    /// Series decided in this tick.
    pub decided: usize,
    /// New series with more labels, or longer ones, than a filter is shown.
    pub outsized: usize,
    /// Native histograms of each source that are left out because a filter of the lane sees samples.
    pub histograms: Vec<(SourceName, u64)>,
    /// One collision, in words.
    pub collision: Option<String>,
    /// As long as an older resource has identities of this one: one of them, in words.
    pub conflict: Option<Arc<str>>,
}

impl Counts {
    pub(super) fn drop_by(&mut self, step: u8) {
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
    interval: Interval,
    front: Front,
    /// Filters that are kept, each with the table before it; often none.
    stages: Vec<Stage>,
    exit: Exit,
    outputs: Arc<Mutex<Outputs>>,
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

impl Assembler {
    /// A lane's tables and its filters, and its seat where others may write the same identities. Ticks are `interval`
    /// apart; `held` pays for each filter that is kept, and for the table before it.
    pub fn new(
        filters: Sequence,
        interval: Interval,
        stamps: Stamps,
        encoding: Encoding,
        seat: Option<Seat>,
        outputs: Arc<Mutex<Outputs>>,
        held: impl Fn() -> Held,
    ) -> Assembler {
        let Sequence { first, then } = filters;
        let mut next_step = first.len();
        let stages = then.into_iter().map(|(filter, chain)| {
            let step = next_step;
            next_step += 1 + chain.len();
            Stage::new(filter, step, chain, held(), held())
        });
        let stages: Vec<Stage> = stages.collect();
        let histograms = match stages.iter().any(Stage::sees_samples) {
            true => Histograms::LeftOut,
            false => Histograms::Passed,
        };
        Assembler {
            interval,
            front: Front::new(first, histograms),
            stages,
            exit: Exit::new(stamps, encoding, seat),
            outputs,
        }
    }

    /// Takes a tick's answers, at `now`, and shows what they came to.
    ///
    /// `emit` is called once, with the outputs in which every value of the tick stands. When the tick is over,
    /// [`Assembler::end`] has to be called, whatever became of it.
    pub fn tick(
        &mut self,
        tick: Tick,
        now: Timestamp,
        answers: &[Answer],
        idle_before: Timestamp,
        emit: impl FnOnce(&Outputs) -> Emitted,
    ) -> Result<(Counts, Emitted), Error> {
        let outputs = self.outputs.clone();
        let mut outputs = lock(&outputs);
        self.begin(tick, &mut outputs);
        let timing = Timing { now, tick: tick.timestamp() };
        self.front.begin(timing);
        self.stages.iter_mut().for_each(|stage| stage.begin(timing));
        let counts = self.take(tick, answers, &mut outputs)?;
        self.stages.iter_mut().try_for_each(|stage| stage.table_mut().pay_for_samples())?;
        outputs.pay_for_samples()?;
        outputs.line_up();
        let emitted = emit(&outputs);
        self.sweep(idle_before, emitted.idle > 0, &mut outputs);
        self.rest(answers);
        Ok((counts, emitted))
    }

    /// From now on series have one value at a tick.
    pub(crate) fn take_one(&mut self) {
        lock(&self.outputs).take_one();
    }

    /// From now on series can have several samples at a tick: those that are newer than `floor`.
    pub(crate) fn take_all(&mut self, floor: Floor) {
        self.stages.iter_mut().for_each(|stage| stage.table_mut().take_all(floor));
        lock(&self.outputs).take_all(floor);
    }

    /// Whether two stretches of ticks can be worked on in turn: no filter is kept, which would be shown them in turn.
    pub(crate) fn can_part(&self) -> bool {
        self.stages.is_empty()
    }

    /// What is known belongs to one stretch of ticks; from here on it is the turn of a later one, of which nothing is.
    pub(crate) fn part(&mut self) -> Result<(), Full> {
        lock(&self.outputs).part()?;
        self.front.part();
        Ok(())
    }

    /// Goes on with outputs that another lane has parted; whether they are.
    pub(crate) fn go_on_parted(&mut self) -> bool {
        let is_parted = lock(&self.outputs).is_parted();
        if is_parted {
            self.front.part();
        }
        is_parted
    }

    /// It is the other stretch's turn.
    pub(crate) fn turn(&mut self) {
        lock(&self.outputs).turn();
        self.front.turn();
    }

    /// The earlier stretch has come to the later one, whose turn it is; see [`Outputs::join`].
    pub(crate) fn join(&mut self, known: Timestamp) {
        lock(&self.outputs).join(known);
        self.front.forget_other();
    }

    /// It is the earlier stretch's turn again, and nothing was done in the later one.
    pub(crate) fn part_not(&mut self) {
        self.turn();
        lock(&self.outputs).forget_other();
        self.front.forget_other();
    }

    /// Says whether the newest sample that was handed on of each series is handed on once more, before those that are new. Where a filter
    /// is kept it is not: what a new instance makes of a sample may differ from what the one before made of it.
    pub(crate) fn repeat(&mut self, repeats: bool) {
        let repeats = repeats && self.stages.is_empty();
        lock(&self.outputs).repeat(repeats);
    }

    /// The tick is over: what older resources wait for is theirs.
    pub fn end(&self) {
        self.exit.end();
    }

    /// Takes leave of identities that an older resource has taken, and asks again for those that may be free.
    fn begin(&mut self, tick: Tick, outputs: &mut Outputs) {
        let Some(news) = self.exit.begin(tick) else { return };
        let swept = outputs.evict(|encoded| self.exit.has_lost(&news, encoded));
        match self.stages.last_mut() {
            Some(stage) => stage.ask_again(&swept),
            None => self.front.ask_again(&swept),
        }
    }

    /// What each of the lane's filters has done so far.
    pub fn usage(&self) -> impl Iterator<Item = &Usage> {
        self.front.usage().chain(self.stages.iter().flat_map(Stage::usage))
    }

    /// Remembers what the receiver holds, now that it acknowledged the tick.
    pub fn settle(&self, tick: Tick, conclude: Conclude) {
        lock(&self.outputs).settle(tick, conclude);
    }

    #[cfg(test)]
    pub(super) fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// The outputs, for pages that show them and for the lane that replaces this one.
    pub(crate) fn outputs(&self) -> &Arc<Mutex<Outputs>> {
        &self.outputs
    }

    /// There will be no further tick: filters that are kept go.
    pub(crate) fn lay_down(&mut self) {
        self.stages.clear();
    }

    /// What the lane that replaces this one goes on with.
    pub(crate) fn into_heritage(self) -> (Arc<Mutex<Outputs>>, Option<Seat>) {
        (self.outputs, self.exit.into_seat())
    }

    /// Takes every row of `answers` into the first table, and on from table to table into `outputs`.
    fn take(&mut self, tick: Tick, answers: &[Answer], outputs: &mut Outputs) -> Result<Counts, Error> {
        let dropped_by = self.usage().map(|step| (step.name.clone(), 0)).collect();
        let mut counts = Counts { dropped_by, ..Counts::default() };
        let Assembler { interval, front, stages, exit, .. } = self;
        let before = tick.previous(*interval).timestamp();
        front.tick(tick, before, answers, &mut door(stages, outputs, exit), &mut counts)?;
        let mut behind = stages.as_mut_slice();
        while let Some((stage, next)) = behind.split_first_mut() {
            stage.tick(tick, *interval, &mut door(next, outputs, exit), &mut counts)?;
            behind = next;
        }
        counts.conflict = exit.conflict(counts.collided);
        Ok(counts)
    }

    /// Frees what has been idle since `before`, and every verdict that names it.
    fn sweep(&mut self, before: Timestamp, is_idle: bool, outputs: &mut Outputs) {
        let Assembler { front, stages, exit, .. } = self;
        for at in 0..stages.len() {
            let Some(swept) = stages[at].sweep(before) else { continue };
            match at.checked_sub(1) {
                Some(before) => stages[before].release(&swept),
                None => front.release(&swept),
            }
        }
        if !is_idle {
            return;
        }
        let (mut freed, is_contended) = (Vec::new(), exit.is_contended());
        let swept = outputs.sweep(before, |labels| {
            if is_contended {
                freed.push(labels.to_vec());
            }
        });
        if swept.count > 0 {
            match stages.last_mut() {
                Some(stage) => stage.release(&swept),
                None => front.release(&swept),
            }
            exit.release(freed.iter().map(Vec::as_slice));
        }
    }

    /// Forgets streams that no longer answer for this lane, and lets instances go.
    fn rest(&mut self, answers: &[Answer]) {
        self.front.rest(answers);
        self.stages.iter_mut().for_each(Stage::rest);
    }
}

/// Where series go that no stage but `behind` is to see.
fn door<'a>(behind: &'a mut [Stage], outputs: &'a mut Outputs, exit: &'a mut Exit) -> Door<'a> {
    match behind.first_mut() {
        Some(stage) => Door { table: stage.table_mut(), exit: None },
        None => Door { table: outputs, exit: Some(exit) },
    }
}
