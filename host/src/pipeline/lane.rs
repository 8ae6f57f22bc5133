//! Lane: what remote and gateway lanes share: where they stand in time, and in what state they are.
//!
//! In: a clock, a cursor, what the sources answered. Out: the tick to work on, and whether it is over. Never: a decision about a
//! series, or IO of its own.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Config;
use super::doubt::Doubt;
use super::failure::Failure;
use super::intake::Gathered;
use super::news::{Fault, Missed};
use super::order::Stretch;
use super::pace::Pace;
use super::quota::{Beyond, Quota};
use super::schedule::{Due, Schedule};
use super::steady::Steady;
use crate::collect;
use crate::deliver::cursor::{self, Cursor};
use crate::model::memory::Full;
use crate::model::outage::Outages;
use crate::model::{Mode, Order, Tenant, Tick, Timestamp};
use crate::status::{Board, LaneEntry, Stage};
use crate::telemetry::{FilterMetrics, Metrics, Outcome, TenantMetrics};

/// An identity not seen for this many intervals is forgotten; it may come back before that at no cost.
const IDLE_INTERVALS_MAX: u32 = 10;

/// An interval is at least a second.
const BESIDE_A_TICK: Duration = Duration::from_millis(1);

/// How a tick ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Nothing of the tick is left to do.
    Settled,
    /// Told to halt before the tick was settled; it will be asked for again.
    Halted,
}

/// What a receiver acknowledged of a tick.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    pub(crate) samples: usize,
    /// Of the same tick, that will never be taken.
    pub(crate) refused: usize,
    /// On the wire.
    pub(crate) bytes: usize,
}

/// One lane's place in time, and its reports.
pub(crate) struct Context {
    pub(crate) key: cursor::Key,
    pub(crate) tenant: Arc<Tenant>,
    pub(crate) schedule: Schedule,
    pub(crate) config: Config,
    pub(crate) cursors: cursor::Store,
    pub(crate) registry: Metrics,
    pub(crate) metrics: TenantMetrics,
    pub(crate) board: Board,
    pub(crate) status: LaneEntry,
    pub(crate) failures: u32,
    /// Cancelled when even a request under way is to be dropped.
    pub(crate) cut: CancellationToken,
    /// The newest tick of which anything was sent.
    pub(crate) attempted_tick: Option<Tick>,
    /// Where the filters' work is counted, step by step.
    pub(crate) steps: Vec<FilterMetrics>,
    /// Which identity an older resource has, as far as it was told.
    pub(crate) conflict: Option<Arc<str>>,
    /// Why series go past a filter, and when they did last.
    pub(crate) bypassed: Option<(String, Timestamp)>,
    /// What is wrong, as far as it was told.
    pub(crate) outages: Mutex<Outages<Fault>>,
    /// Whether ticks that were missed are asked for again.
    pub(crate) missed: Missed,
    /// In which order the receiver is known to take ticks.
    pub(crate) order: Order,
    /// Which of its ticks it works on.
    pub(crate) stretch: Stretch,
    /// How long the filters take.
    pub(crate) pace: Pace,
    /// There was no room for the answers.
    pub(crate) beyond: Beyond,
    /// What is collected, as far as it was told.
    pub(crate) steady: Steady,
    /// Likewise, what of it is not sent.
    pub(crate) left_out: Steady,
}

impl Context {
    pub(crate) fn now(&self) -> Timestamp {
        self.schedule.clock.now()
    }

    /// What was gathered for a tick, if for those who gave it that has passed; their clocks are compared with ours.
    pub(crate) fn of_the_past(&mut self, tick: Tick, gathered: Gathered) -> Result<Gathered, collect::Error> {
        let Schedule { clock, lag, .. } = &mut self.schedule;
        clock.compare(*lag, gathered.answers.iter().map(|answer| answer.collected.skew_millis));
        gathered.of_the_past(tick, clock.ours())
    }

    pub(crate) fn newest(&self) -> Tick {
        self.schedule.newest(self.now())
    }

    /// How many ticks that can be asked for are behind this one.
    pub(crate) fn behind(&self, tick: Tick) -> u32 {
        u32::try_from(self.schedule.ticks_between(tick, self.newest())).unwrap_or(u32::MAX)
    }

    /// Which ticks may have been sent by whoever ran the lane before.
    pub(crate) fn doubt(&self) -> Doubt {
        let newest = match self.tenant.mode {
            Mode::Sampled => self.newest(),
            // With the tick behind all that were sent comes what is still missing of these.
            Mode::Raw => self.newest().next(self.schedule.interval),
        };
        let saved_within = self.config.saved_within + self.schedule.interval.duration();
        let cursor = self.cursors.get(&self.key).map(|cursor| match cursor {
            Cursor::Delivered(last) if self.has_only_begun(last) => {
                Cursor::Delivered(Tick::at_or_before(last, self.schedule.interval).timestamp())
            }
            other => other,
        });
        Doubt::after(cursor, saved_within, newest)
    }

    /// The tick that the receiver acknowledged last, if what follows it is owed and it is one of the lane's ticks.
    pub(crate) fn delivered_last(&self) -> Option<Tick> {
        let Some(Cursor::Delivered(last)) = self.cursors.get(&self.key) else { return None };
        let tick = Tick::at_or_before(last, self.schedule.interval);
        (tick.timestamp() == last && last <= self.now()).then_some(tick)
    }

    /// Up to when the receiver may have what the lane delivers, if it may have anything.
    pub(crate) fn delivered_up_to(&self) -> Option<Timestamp> {
        let last = match self.cursors.get(&self.key)? {
            Cursor::Delivered(last) | Cursor::Ended(last) => last,
        };
        (last <= self.now() && !self.has_only_begun(last)).then_some(last)
    }

    /// Whether a cursor that stands there is of a lane that has delivered nothing yet; see [`Context::begin`].
    fn has_only_begun(&self, cursor: Timestamp) -> bool {
        let is_tick = |at: Timestamp| Tick::at_or_before(at, self.schedule.interval).timestamp() == at;
        is_tick(cursor.plus(BESIDE_A_TICK)) && !is_tick(cursor)
    }

    /// Waits until a crash would make us send no more again than one of who is on time.
    pub(crate) async fn saved_for(&self, tick: Tick) {
        // Of who works on two stretches the cursor stands at the past one.
        if self.stretch != Stretch::Present {
            self.cursors.saved_for(&self.key, tick.previous(self.schedule.interval).timestamp()).await;
        }
    }

    pub(crate) fn first_tick(&self) -> Tick {
        let due = self.schedule.start(self.cursors.get(&self.key), self.now());
        self.skipped(due)
    }

    /// Notes that this and what follows is owed from now on, whoever goes on with it, if nothing was before. That the cursor stands beside
    /// a tick says that none was delivered.
    pub(crate) fn begin(&self, first: Tick) {
        self.cursors.begin(&self.key, first.timestamp().minus(BESIDE_A_TICK));
    }

    /// Waits until the lane's next tick can be asked for; see [`Schedule::wait_for`]. The newest that is settled is `last`, or where
    /// the cursor is.
    pub(crate) async fn wait_for(
        &self,
        tick: Tick,
        last: Option<Timestamp>,
        halt: &CancellationToken,
    ) -> Option<Tick> {
        let settled = || match self.cursors.get(&self.key)? {
            Cursor::Delivered(last) | Cursor::Ended(last) => Some(last),
        };
        self.schedule.wait_for(tick, || last.or_else(settled), halt).await
    }

    pub(crate) fn within_reach(&self, tick: Tick) -> Tick {
        self.skipped(self.schedule.within_reach(tick, self.schedule.clock.for_sure()))
    }

    pub(super) fn skipped(&self, due: Due) -> Tick {
        if due.skipped > 0 {
            self.fails(Fault::TooOld, due.tick, &format_args!("{} ticks before this one", due.skipped));
            self.metrics.ticks(Outcome::GivenUp, due.skipped);
        }
        due.tick
    }

    /// Identities last seen before this are forgotten.
    pub(crate) fn idle_before(&self, tick: Tick) -> Timestamp {
        tick.timestamp().minus(self.schedule.interval.duration() * IDLE_INTERVALS_MAX)
    }

    /// A tick's complete answers, unless the tick is over with them: told to halt meanwhile, or more series than the
    /// tenant may have, or has room for.
    pub(crate) async fn answered(
        &mut self,
        tick: Tick,
        asking: impl Future<Output = Result<Gathered, collect::Error>>,
        quota: &Quota,
        halt: &CancellationToken,
    ) -> Result<ControlFlow<Progress, Gathered>, Failure> {
        if let Some(full) = self.beyond.next_tick() {
            return self.no_room(tick, full, 0, 0).map(ControlFlow::Break);
        }
        let gathered = tokio::select! {
            gathered = asking => gathered.and_then(|gathered| self.of_the_past(tick, gathered)),
            () = halt.cancelled() => return Ok(ControlFlow::Break(Progress::Halted)),
        };
        if let Some(full) = gathered.as_ref().err().and_then(collect::Error::full) {
            // That others have all there is may be over with the next tick.
            if let Full::Namespace { max } = full {
                self.beyond.found(full);
                quota.held(max);
            }
            return self.no_room(tick, full, 0, 0).map(ControlFlow::Break);
        }
        let asked = gathered?;
        self.gathered(tick, &asked);
        let series = asked.series();
        if let Err(breach) = quota.series(series) {
            self.breached(tick, Stage::Collect, &breach, series, asked.answers.len());
            return Ok(ControlFlow::Break(Progress::Settled));
        }
        Ok(ControlFlow::Continue(asked))
    }

    /// From when on a receiver would refuse the tick as too old.
    pub(crate) fn give_up_at(&self, tick: Tick) -> Instant {
        self.instant_of(tick.timestamp().plus(self.schedule.lag).plus(self.schedule.backfill_max))
    }

    /// When the tick after this one can be asked for.
    pub(crate) fn next_due_at(&self, tick: Tick) -> Instant {
        self.instant_of(tick.next(self.schedule.interval).timestamp().plus(self.schedule.lag))
    }

    pub(super) fn instant_of(&self, moment: Timestamp) -> Instant {
        Instant::now() + moment.since(self.schedule.clock.for_sure())
    }

    pub(crate) fn settled(&mut self, tick: Tick) {
        self.failures = 0;
        self.cursors.advance(&self.key, tick);
    }

    /// Reports a tick that could not be sent, and says how long to wait before it is tried again.
    pub(crate) fn failed(&mut self, tick: Tick, failure: &Failure) -> Duration {
        self.fails(failure.fault(), tick, failure);
        // Of a delivery each attempt was told already.
        if !matches!(failure, Failure::Deliver(_)) {
            self.status.failed(failure.stage(), failure, self.now());
        }
        if let Some(filter) = failure.filter() {
            self.status.filter_failed(filter, failure, self.now());
        }
        self.metrics.tick(Outcome::Failed);
        let interval = self.schedule.interval.duration();
        let wait = if failure.is_transient() { backoff(self.failures).min(interval) } else { interval };
        self.failures = self.failures.saturating_add(1);
        wait
    }

    /// Marks the lane as ended where it stands. The time of the last tick its receiver may hold anything of.
    pub(crate) fn end_cursor(&self) -> Option<Timestamp> {
        if let Some(tick) = self.attempted_tick {
            self.cursors.advance(&self.key, tick);
        }
        self.cursors.end(&self.key)
    }
}

/// A source that does not answer is asked again after a second, then twice that, up to half a minute.
fn backoff(failures: u32) -> Duration {
    Duration::from_secs(1 << failures.min(5)).min(Duration::from_secs(30))
}

/// A panic while it was locked leaves what is locked usable: the outputs, and what was told.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
