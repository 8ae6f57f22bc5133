//! News: what a person who reads the log is told of a lane: once when it begins to fail, once when that is over.
//!
//! In: every failure, and every tick that was delivered. Out: lines in the log, a few an outage; the rest at `debug`.
//! Never: a line per attempt, or per tick.

use std::fmt;
use std::time::Duration;

use tracing::{debug, info, warn};

use super::lane::{Context, lock};
use super::order::Stretch;
use crate::deliver;
use crate::model::Tick;
use crate::model::outage::{Recovery, Standstill};

/// So many failed attempts that the next one makes good are no news.
const HICCUP_ATTEMPTS_MAX: u32 = 1;

/// What may be wrong with a lane, as far as a person who reads the log wants to be told once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// No source has a complete answer.
    Collect,
    /// A filter fails.
    Filter,
    /// Ticks are beyond a limit of the operator's.
    Limit,
    /// The receiver does not take what it is sent.
    Deliver,
    /// The receiver will never take it.
    Refuse,
    /// A source has lost what it had.
    Lost,
    /// It lasted so long that the oldest ticks are of no use any more.
    TooOld,
}

impl Fault {
    pub(crate) fn of(error: &deliver::Error) -> Fault {
        match error {
            deliver::Error::GroupTooLarge { .. } => Fault::Limit,
            waits if waits.is_transient() || waits.is_to_be_mended() => Fault::Deliver,
            _ => Fault::Refuse,
        }
    }

    fn message(self) -> &'static str {
        match self {
            Fault::Collect => "No source answers",
            Fault::Filter => "Filters fail",
            Fault::Limit => "Ticks beyond a limit are not delivered",
            Fault::Deliver => "Receiver does not take samples",
            Fault::Refuse => "Receiver refuses samples",
            Fault::Lost => "Ticks are given up: no source has them any more",
            Fault::TooOld => "Ticks are given up: older than maxBackfill",
        }
    }
}

/// What becomes of a tick that could not be delivered in its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missed {
    /// It is asked for again.
    AskedAgain,
    /// Nothing: only the newest counts.
    Passed,
}

impl Context {
    /// Something went wrong at `tick`: said when it begins, not every time.
    pub(crate) fn fails(&self, fault: Fault, tick: Tick, error: &dyn fmt::Display) {
        self.fails_after(1, fault, tick, error);
    }

    /// An attempt failed; if another one follows, after `next`, it may be a hiccup.
    pub(crate) fn attempt_fails(&self, tick: Tick, error: &deliver::Error, next: Option<Duration>) {
        let patience = if next.is_some() { HICCUP_ATTEMPTS_MAX + 1 } else { 1 };
        self.fails_after(patience, Fault::of(error), tick, error);
    }

    /// As [`Context::fails`], said at the `patience`-th failure of an outage at the earliest.
    fn fails_after(&self, patience: u32, fault: Fault, tick: Tick, error: &dyn fmt::Display) {
        let (id, endpoint, message) = (&self.tenant.id, &*self.key.endpoint, fault.message());
        let (namespace, name) = (&*id.namespace, &*id.name);
        if lock(&self.outages).failed(fault, patience, self.now()) {
            let (kept, kept_for_seconds) = self.keeps(fault);
            warn!(namespace, name, endpoint, %error, %tick, kept, kept_for_seconds, "{message}");
        } else {
            debug!(namespace, name, endpoint, %error, %tick, "{message}");
        }
    }

    /// What of the ticks that are concerned is kept, in words, and for how many seconds.
    fn keeps(&self, fault: Fault) -> (&'static str, u64) {
        match (fault, self.missed) {
            (Fault::Limit | Fault::Refuse | Fault::Lost | Fault::TooOld, _) => ("nothing", 0),
            (_, Missed::Passed) => ("the newest tick", self.schedule.interval.duration().as_secs()),
            (_, Missed::AskedAgain) => ("every tick", self.schedule.backfill_max.as_secs()),
        }
    }

    /// Says that an outage is over once what it held up is delivered.
    pub(crate) fn recovers(&self, tick: Tick) {
        let is_all = tick >= self.newest() && self.stretch == Stretch::Whole;
        let standstill = if is_all { Standstill::Over } else { Standstill::CatchingUp };
        let Some(Recovery { down, successes }) = lock(&self.outages).succeeded(standstill, self.now()) else {
            return;
        };
        let (id, endpoint, down_seconds) = (&self.tenant.id, &*self.key.endpoint, down.as_secs());
        // Where only the newest tick counts there is nothing to catch up with.
        let ticks_caught_up = if self.missed == Missed::AskedAgain { successes } else { 0 };
        info!(
            namespace = id.namespace,
            name = id.name,
            endpoint,
            down_seconds,
            ticks_caught_up,
            "Remote write job delivers again"
        );
    }
}
