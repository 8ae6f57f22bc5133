//! Lane: what remote and gateway lanes share: where they stand in time, and what they report.
//!
//! Never: a decision about a series, or IO of its own.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::Config;
use super::assemble::Counts;
use super::doubt::Doubt;
use super::failure::Failure;
use super::intake::Gathered;
use super::news::{Fault, Missed};
use super::order::Stretch;
use super::outputs::Emitted;
use super::pace::Pace;
use super::quota::{Beyond, Breach, Quota};
use super::schedule::{Due, Schedule};
use super::sending::Rejected;
use super::steady::Steady;
use crate::collect::{self, Collected};
use crate::deliver::cursor::{self, Cursor};
use crate::deliver::retry;
use crate::filter::Usage;
use crate::model::memory::Full;
use crate::model::outage::{Outages, QUIET};
use crate::model::{Mode, Order, Tenant, Tick, Timestamp};
use crate::status::{self, Board, LaneEntry, Stage, TickReport};
use crate::telemetry::{FilterMetrics, FilterOwner, Metrics, Outcome, Refusal, TenantMetrics};

/// An identity not seen for this many intervals is forgotten; it may come back before that at no cost.
const IDLE_INTERVALS_MAX: u32 = 10;

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
        Doubt::after(self.cursors.get(&self.key), saved_within, newest)
    }

    /// The tick that the receiver acknowledged last, if what follows it is owed and it is one of the lane's ticks.
    pub(crate) fn delivered_last(&self) -> Option<Tick> {
        let Some(Cursor::Delivered(last)) = self.cursors.get(&self.key) else { return None };
        let tick = Tick::at_or_before(last, self.schedule.interval);
        (tick.timestamp() == last && last <= self.now()).then_some(tick)
    }

    /// Up to when the receiver may have what the lane delivers.
    pub(crate) fn delivered_up_to(&self) -> Option<Timestamp> {
        match self.cursors.get(&self.key)? {
            Cursor::Delivered(last) | Cursor::Ended(last) => Some(last).filter(|last| *last <= self.now()),
        }
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

    fn gathered(&self, tick: Tick, gathered: &Gathered) {
        for answer in &gathered.answers {
            let Collected { source, series, histograms, skew_millis, .. } = &answer.collected;
            let counted = self.registry.for_source(&source.name);
            counted.scanned(*series as u64, 0);
            counted.histograms_skipped(*histograms);
            if let Some(millis) = skew_millis {
                counted.clock_skew(*millis as f64 / 1000.0);
            }
        }
        // Of the source itself it is said where it is asked; other sources have answered for it.
        for error in &gathered.failures {
            let id = &self.tenant.id;
            debug!(namespace = %id.namespace, name = %id.name, %tick, %error, "A source did not answer");
        }
    }

    pub(crate) fn collected(&mut self, tick: Tick, targets_used: usize, counts: &Counts, emitted: Emitted) {
        let (id, count, now) = (&self.tenant.id, counts.selected, self.now());
        let (namespace, name) = (&*id.namespace, &*id.name);
        match self.steady.is_news(count, targets_used, now) {
            true => info!(namespace, name, count, targets_used, "Collected metrics for remote write job"),
            false => debug!(namespace, name, count, targets_used, "Collected metrics for remote write job"),
        }
        self.metrics.collected(counts.selected as u64);
        self.metrics.collided(counts.collided as u64);
        self.tell_left_out(counts, now);
        if self.stretch == Stretch::Past {
            // What is shown is of the newest tick.
            return;
        }
        self.status.collected(status::Collected {
            tick,
            selected: counts.selected as u64,
            kept: emitted.series as u64,
            dropped: counts.dropped as u64,
            collided: counts.collided as u64,
            targets_used,
        });
        self.status
            .dropped(counts.dropped_by.iter().map(|(name, rows)| (name.clone(), *rows as u64)).collect());
        if counts.conflict != self.conflict {
            self.conflict.clone_from(&counts.conflict);
            self.status.conflict(counts.conflict.as_deref());
        }
    }

    fn tell_left_out(&mut self, counts: &Counts, now: Timestamp) {
        let (is_news, id) = (self.left_out.is_news(counts.collided, counts.outsized, now), &self.tenant.id);
        let (namespace, name) = (&*id.namespace, &*id.name);
        for (source, left_out) in &counts.histograms {
            self.registry.for_source(source).histograms_skipped(*left_out);
        }
        if counts.outsized > 0 {
            let series = counts.outsized;
            match is_news {
                true => warn!(namespace, name, series, "Series with too many or too long labels left out"),
                false => debug!(namespace, name, series, "Series with too many or too long labels left out"),
            }
            self.refused(Refusal::Limit, series);
        }
        if let Some(collision) = &counts.collision {
            let series = counts.collided;
            match is_news {
                true => warn!(namespace, name, series, collision, "Series collide and are not sent"),
                false => debug!(namespace, name, series, collision, "Series collide and are not sent"),
            }
        }
    }

    /// A tick of `series` series is over a limit: it is not delivered, and not asked for again.
    pub(crate) fn breached(
        &self,
        tick: Tick,
        stage: Stage,
        breach: &Breach,
        series: usize,
        targets_used: usize,
    ) {
        self.fails(Fault::Limit, tick, breach);
        let selected = series as u64;
        self.metrics.collected(selected);
        let (kept, dropped, collided) = (0, 0, 0);
        self.status.collected(status::Collected { tick, selected, kept, dropped, collided, targets_used });
        self.status.failed(stage, breach, self.now());
        self.metrics.tick(Outcome::Failed);
        self.refused(Refusal::Limit, series);
    }

    /// The sources have nothing of a tick any more, though so many series were there before it.
    pub(crate) fn lost(&self, tick: Tick, series: usize) {
        let what = format_args!("{series} series were there before, and the source has lost that as well");
        self.fails(Fault::Lost, tick, &what);
        self.metrics.tick(Outcome::GivenUp);
    }

    /// There is no room for a tick. Beyond the namespace's own limit it is over; what the process has no room for is asked for again.
    pub(crate) fn no_room(
        &self,
        tick: Tick,
        full: Full,
        series: usize,
        targets_used: usize,
    ) -> Result<Progress, Failure> {
        match full {
            Full::Namespace { .. } => {
                self.breached(tick, Stage::Collect, &full.into(), series, targets_used);
                Ok(Progress::Settled)
            }
            Full::Process { .. } => Err(Failure::Memory(full)),
        }
    }

    /// Counts what the lane's filters did since the last call. In the steady state those that see labels did nothing.
    pub(crate) fn filtered<'a>(&mut self, steps: impl Iterator<Item = &'a Usage>) {
        let (mut bypassed, mut taken) = (None, Duration::ZERO);
        for (at, usage) in steps.enumerate() {
            bypassed = bypassed.or(usage.failing.as_ref().filter(|_| usage.bypassed > 0));
            if let Some(failing) = usage.failing.as_ref().filter(|_| usage.bypassed > 0) {
                self.status.filter_failed(&usage.name, &Bypassed(failing.message.clone()), failing.last());
            }
            if at == self.steps.len() {
                let owner = match self.tenant.filters.iter().any(|own| *own.name == *usage.name) {
                    true => FilterOwner::Resource(&self.tenant.id),
                    false => FilterOwner::Everyone(&self.tenant.id),
                };
                self.steps.push(self.registry.for_filter(owner, &usage.name));
            }
            self.steps[at].count(usage.into());
            taken += usage.guest_time + usage.making_time;
            taken += usage.checking_time + usage.process_checking_time;
        }
        self.pace.took(self.now(), taken);
        self.bypassed(bypassed.map(|failing| failing.message.clone()));
    }

    /// Says why series go past a filter, and goes on to for a while: one that fails now and then is told of once.
    fn bypassed(&mut self, why: Option<String>) {
        let now = self.now();
        let was = self.bypassed.is_some();
        let before = self.bypassed.take().filter(|(_, at)| now.since(*at) < QUIET);
        self.bypassed = why.map(|why| (why, now)).or(before);
        let (namespace, name) = (&*self.tenant.id.namespace, &*self.tenant.id.name);
        match (&self.bypassed, was) {
            (Some((error, _)), false) => warn!(namespace, name, error, "Series go past a filter that fails"),
            (None, true) => info!(namespace, name, "Series go through all filters again"),
            _ => {}
        }
        self.status.bypassed(self.bypassed.as_ref().map(|(why, _)| why.as_str()));
    }

    /// An attempt was made that says nothing of the tick as a whole if it failed.
    pub(crate) fn counted(&self, attempt: &retry::Attempt<'_>, bytes: usize) {
        let outcome = attempt.error.map_or(Ok(()), Err);
        self.metrics.request(&outcome, attempt.took, bytes as u64);
    }

    pub(crate) fn attempted(&self, tick: Tick, attempt: &retry::Attempt<'_>, bytes: usize) {
        self.counted(attempt, bytes);
        if let Some(error) = attempt.error {
            self.status.failed(Stage::Deliver, error, self.now());
            self.attempt_fails(tick, error, attempt.next);
        }
    }

    /// The endpoint refuses some of a tick, or all of it, for what it is: no attempt mends that.
    pub(crate) fn rejected(&self, tick: Tick, rejected: &Rejected) {
        if self.stretch == Stretch::Past {
            return self.rejected_of_past(tick, rejected);
        }
        self.fails(Fault::Refuse, tick, rejected);
        match rejected.is_whole() {
            true => self.status.failed(Stage::Deliver, rejected, self.now()),
            false => self.status.refused(Some(rejected)),
        }
    }

    /// The endpoint took all of a tick.
    pub(crate) fn taken_whole(&self, tick: Tick) {
        // As long as there is a past, what is refused of it is what is shown.
        if self.stretch != Stretch::Present {
            self.status.refused(None);
        }
        self.recovers(tick);
    }

    pub(crate) fn refused(&self, why: Refusal, samples: usize) {
        self.metrics.refused(why, samples as u64);
    }

    pub(crate) fn delivered(
        &self,
        tick: Tick,
        began: Instant,
        counts: &Counts,
        emitted: Emitted,
        sent: Sent,
    ) {
        let now = self.now();
        let age = now.since(tick.timestamp());
        let late = age > self.schedule.lag + self.schedule.interval.duration();
        self.metrics.delivered(sent.samples as u64);
        self.metrics.stale_markers(emitted.stale as u64);
        self.metrics.tick(if late { Outcome::Late } else { Outcome::Delivered });
        match self.stretch {
            Stretch::Past => self.status.filled(sent.samples as u64),
            Stretch::Whole | Stretch::Present => self.status.delivered(status::Delivered {
                tick,
                series: emitted.series.saturating_sub(sent.refused).min(sent.samples) as u64,
                samples: sent.samples as u64,
                at: now,
            }),
        }
        self.board.report(TickReport {
            tenant: self.tenant.id.clone(),
            group: self.key.group.clone(),
            endpoint: self.key.endpoint.clone(),
            tick,
            collected: counts.selected as u64,
            kept: emitted.samples as u64,
            delivered: sent.samples as u64,
            bytes: sent.bytes as u64,
            took: began.elapsed(),
        });
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
        self.status.failed(failure.stage(), failure, self.now());
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

/// Why series went past a filter.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Bypassed(String);

/// A source that does not answer is asked again after a second, then twice that, up to half a minute.
fn backoff(failures: u32) -> Duration {
    Duration::from_secs(1 << failures.min(5)).min(Duration::from_secs(30))
}

/// A panic while it was locked leaves what is locked usable: the outputs, and what was told.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
