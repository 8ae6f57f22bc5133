//! Health: whether a source answers, with hysteresis, and since when it does not.

use std::time::Duration;

use crate::model::outage::{Outages, Recovery, Standstill};
use crate::model::{SourceName, Tick, Timestamp};

use super::Cause;

/// So many failures in a row make a source unhealthy: one may be a restart.
const FAILURES_MAX: u32 = 2;

/// What is known of one source, for people.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceHealth {
    /// Which source.
    pub name: SourceName,
    /// Whether it answered, and has not failed twice in a row since. Not before its first answer.
    pub healthy: bool,
    /// When it last answered completely.
    pub last_ok: Option<Timestamp>,
    /// When it last answered anything at all.
    pub last_seen: Option<Timestamp>,
    /// Why the last request failed and when, if it did.
    pub last_error: Option<(String, Timestamp)>,
    /// Requests in a row that failed because of the source.
    pub failures: u32,
    /// Series in the newest answers.
    pub series: usize,
    /// How far its clock is ahead of ours, in milliseconds, give or take half a second.
    pub skew_millis: Option<i64>,
}

/// The state behind [`SourceHealth`].
#[derive(Debug, Default)]
pub(super) struct Health {
    failures: u32,
    last_ok: Option<Timestamp>,
    last_seen: Option<Timestamp>,
    last_error: Option<(String, Timestamp)>,
    outages: Outages<()>,
    pub(super) skew_millis: Option<i64>,
}

impl Health {
    /// The source answered, with whatever status.
    pub(super) fn seen(&mut self, now: Timestamp, skew_millis: Option<i64>) {
        self.last_seen = Some(now);
        self.skew_millis = skew_millis.or(self.skew_millis);
    }

    /// The source answered completely. If this ends an outage that was worth saying: how long it was.
    pub(super) fn succeeded(&mut self, now: Timestamp) -> Option<Duration> {
        self.failures = 0;
        self.last_ok = Some(now);
        self.last_error = None;
        self.outages.succeeded(Standstill::Over, now).map(|Recovery { down, .. }| down)
    }

    /// A request failed; whether that is worth saying. What the request itself is to blame for says nothing about the
    /// source.
    pub(super) fn failed(&mut self, cause: &Cause, now: Timestamp) -> bool {
        self.last_error = Some((cause.to_string(), now));
        if !cause.is_the_sources() {
            return false;
        }
        self.failures = self.failures.saturating_add(1);
        self.outages.failed((), FAILURES_MAX, now)
    }

    pub(super) fn report(&self, name: SourceName, series: usize) -> SourceHealth {
        SourceHealth {
            name,
            healthy: self.failures < FAILURES_MAX && (self.last_ok.is_some() || self.answers_only_errors()),
            last_ok: self.last_ok,
            last_seen: self.last_seen,
            last_error: self.last_error.clone(),
            failures: self.failures,
            series,
            skew_millis: self.skew_millis,
        }
    }

    /// It answers, but every question so far was wrong.
    fn answers_only_errors(&self) -> bool {
        self.last_seen.is_some() && self.failures == 0
    }
}

/// How far the clock behind a `Date` header is ahead of ours, in milliseconds. The header has whole seconds, so the
/// middle of its second is compared with the middle of the exchange.
pub(super) fn skew_millis(date: &str, sent: Timestamp, received: Timestamp) -> Option<i64> {
    let date = Timestamp::from(httpdate::parse_http_date(date).ok()?).plus(Duration::from_millis(500));
    let ours = sent.plus(received.since(sent) / 2);
    Some(date.0.saturating_sub(ours.0))
}

/// A source's clock is known to half a second, ours may be corrected meanwhile.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(2);

/// How far our clock is ahead of a source's that is so far ahead of ours, if the lag does not make up for it. Then ours is wrong, by
/// an hour perhaps, and the source's counts.
pub fn ahead_by(lag: Duration, skew_millis: Option<i64>) -> Option<Duration> {
    let ahead = Duration::from_millis(skew_millis.unwrap_or_default().min(0).unsigned_abs());
    (ahead > lag + CLOCK_TOLERANCE).then_some(ahead)
}

/// Whether a tick may not be whole yet, though it was due when it was asked for: our clock is ahead of the source's, or was set
/// back since. Asked for what is still to come a source answers with what it has, and that would stand for good.
pub fn is_to_come(tick: Tick, now: Timestamp, lag: Duration, skew_millis: Option<i64>) -> bool {
    let there = now.minus(ahead_by(lag, skew_millis).unwrap_or_default());
    there < tick.timestamp().plus(lag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_healthy(health: &Health) -> bool {
        health.report(SourceName::new("s"), 0).healthy
    }

    #[test]
    fn two_failures_in_a_row_make_a_source_unhealthy_and_one_success_cures_it() {
        let timeout = Cause::Timeout(Duration::from_secs(1));
        let mut health = Health::default();
        assert!(!is_healthy(&health));
        assert_eq!(health.succeeded(Timestamp(1_000)), None);
        assert!(!health.failed(&timeout, Timestamp(2_000)));
        assert!(is_healthy(&health));
        assert!(health.failed(&timeout, Timestamp(3_000)), "now it is worth saying");
        assert!(!health.failed(&timeout, Timestamp(4_000)), "once");
        assert!(!is_healthy(&health));
        assert_eq!(health.succeeded(Timestamp(9_000)), Some(Duration::from_secs(7)));
        assert!(is_healthy(&health));
        for _ in 0..3 {
            assert!(!health.failed(&Cause::TooManySeries { max: 1 }, Timestamp(99_000)));
        }
        assert!(is_healthy(&health));
        let report = health.report(SourceName::new("s"), 0);
        assert_eq!((report.failures, report.last_error.map(|(_, at)| at)), (0, Some(Timestamp(99_000))));
    }

    #[test]
    fn by_a_clock_that_is_far_behind_a_tick_is_to_come_until_its_lag_is_over_there() {
        let second = crate::model::Interval::new(Duration::from_secs(1)).unwrap();
        let lag = Duration::from_secs(3);
        let is_to_come = |tick: i64, now: i64, skew: Option<i64>| {
            super::is_to_come(Tick::at_or_before(Timestamp(tick), second), Timestamp(now), lag, skew)
        };
        for skew in [None, Some(0), Some(3_600_000), Some(-3_000), Some(-4_500)] {
            assert!(!is_to_come(100_000, 103_000, skew), "{skew:?}");
        }
        assert!(is_to_come(100_000, 103_000, Some(-3_600_000)));
        assert!(is_to_come(100_000, 3_702_900, Some(-3_600_000)));
        assert!(!is_to_come(100_000, 3_703_000, Some(-3_600_000)));
        assert!(is_to_come(100_000, 102_900, None), "the clock was set back");
    }

    #[test]
    fn skew_is_told_from_the_date_header() {
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        let at = Timestamp(784_111_777_500);
        assert_eq!(skew_millis(date, at, at), Some(0));
        let late = at.plus(Duration::from_secs(10));
        assert_eq!(skew_millis(date, late, late.plus(Duration::from_secs(2))), Some(-11_000));
        assert_eq!(skew_millis("yesterday", at, at), None);
    }
}
