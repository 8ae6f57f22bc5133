//! Health: whether a filter that fails is called.
//!
//! In: what became of its calls, each with its time. Out: whether the next one is worth a try. Never: a clock.

use std::time::Duration;

use super::Error;
use crate::model::Timestamp;

/// After so many failures in a row a filter is held off.
const FAILURES_MAX: u32 = 5;
/// For how long at first; every failure after that doubles it.
const HELD_FIRST: Duration = Duration::from_secs(30);
const HELD_MAX: Duration = Duration::from_secs(600);

/// A filter that fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failing {
    /// Since when.
    pub since: Timestamp,
    /// Attempts in a row.
    pub attempts: u32,
    /// Until when it is not called, if it is held off.
    pub held_until: Option<Timestamp>,
    /// What went wrong last.
    pub message: String,
    /// When that was: what fails several times in one attempt failed once.
    last: Timestamp,
}

impl Failing {
    /// When it failed last.
    pub fn last(&self) -> Timestamp {
        self.last
    }
}

/// How a filter does.
#[derive(Debug, Default)]
pub(super) struct Health {
    failing: Option<Failing>,
    /// Whether a call of this attempt succeeded, and whether one failed.
    succeeded: bool,
    failed: bool,
}

impl Health {
    pub(super) fn failing(&self) -> Option<&Failing> {
        self.failing.as_ref()
    }

    /// An attempt begins. The one before succeeded if no call of it failed: a filter that breaks on one batch of several
    /// fails.
    pub(super) fn begin(&mut self) {
        if self.succeeded && !self.failed {
            self.failing = None;
        }
        (self.succeeded, self.failed) = (false, false);
    }

    /// Whether it is not to be called.
    pub(super) fn is_held_off(&self, now: Timestamp) -> bool {
        self.failing.as_ref().and_then(|failing| failing.held_until).is_some_and(|until| now < until)
    }

    pub(super) fn succeeded(&mut self) {
        self.succeeded = true;
    }

    pub(super) fn failed(&mut self, error: &Error, now: Timestamp) {
        self.failed = true;
        let before = self.failing.take();
        let is_new = before.as_ref().is_none_or(|before| before.last != now);
        let attempts = before.as_ref().map_or(0, |before| before.attempts) + u32::from(is_new);
        let beyond = attempts.checked_sub(FAILURES_MAX);
        let held = beyond.map(|beyond| HELD_FIRST.saturating_mul(1 << beyond.min(8)).min(HELD_MAX));
        let since = before.as_ref().map_or(now, |before| before.since);
        // That it has to be asked again follows from what went wrong before, and says nothing of it.
        let told = before.filter(|_| matches!(error, Error::Forgotten { .. })).map(|before| before.message);
        self.failing = Some(Failing {
            since,
            attempts,
            held_until: held.map(|held| now.plus(held)),
            message: told.unwrap_or_else(|| error.to_string()),
            last: now,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error() -> Error {
        Error::Refused { filter: "f".into(), message: "no".into() }
    }

    #[test]
    fn what_went_wrong_is_told_until_something_else_does() {
        let mut health = Health::default();
        let message = |health: &Health| health.failing().unwrap().message.clone();
        health.failed(&error(), Timestamp(0));
        health.failed(&Error::Forgotten { filter: "f".into() }, Timestamp(1000));
        assert_eq!((message(&health), health.failing().unwrap().attempts), (error().to_string(), 2));
        let other = Error::Refused { filter: "f".into(), message: "not that".into() };
        health.failed(&other, Timestamp(2000));
        assert_eq!(message(&health), other.to_string());
    }

    #[test]
    fn after_five_attempts_a_filter_is_held_off_for_longer_and_longer() {
        let mut health = Health::default();
        let mut now = Timestamp(0);
        for attempt in 1..=4 {
            health.begin();
            health.succeeded();
            health.failed(&error(), now);
            health.failed(&error(), now);
            assert!(!health.is_held_off(now), "attempt {attempt}");
            now = now.plus(Duration::from_secs(1));
        }
        for seconds in [30, 60, 120, 240, 480, 600, 600] {
            health.begin();
            health.failed(&error(), now);
            let end = now.plus(Duration::from_secs(seconds));
            assert_eq!(health.failing().unwrap().held_until, Some(end));
            assert!(health.is_held_off(now) && !health.is_held_off(end));
            now = end;
        }
        assert_eq!(health.failing().unwrap().attempts, 11);
        health.begin();
        health.succeeded();
        health.begin();
        health.failed(&error(), now);
        assert!(!health.is_held_off(now), "a success begins anew");
    }
}
