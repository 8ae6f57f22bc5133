//! Report: what a lane says of its work: to the metrics, the board, and whoever reads the log.
//!
//! In: what became of each step of a tick. Out: counts, states and lines. Never: a decision.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::assemble::Counts;
use super::failure::Failure;
use super::intake::Gathered;
use super::lane::{Context, Progress, Sent};
use super::news::Fault;
use super::order::Stretch;
use super::outputs::Emitted;
use super::quota::Breach;
use super::sending::Rejected;
use crate::collect::Collected;
use crate::deliver::retry;
use crate::filter::Usage;
use crate::model::memory::Full;
use crate::model::outage::QUIET;
use crate::model::{Tick, Timestamp};
use crate::status::{self, Stage, TickReport};
use crate::telemetry::{FilterOwner, Outcome, Refusal};

impl Context {
    pub(super) fn gathered(&self, tick: Tick, gathered: &Gathered) {
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
}

/// Why series went past a filter.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Bypassed(String);
