//! Time as the pipeline counts it: millisecond timestamps, and ticks that are aligned multiples of an interval.
//!
//! Never: a clock. Time is always an argument.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch, as Prometheus stores them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Milliseconds since the Unix epoch.
    pub fn as_millis(self) -> i64 {
        self.0
    }

    /// This moment plus `duration`, saturating.
    pub fn plus(self, duration: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(millis(duration)))
    }

    /// This moment minus `duration`, saturating.
    pub fn minus(self, duration: Duration) -> Timestamp {
        Timestamp(self.0.saturating_sub(millis(duration)))
    }

    /// How long after `earlier` this moment is; zero if it is not.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Timestamp {
        Timestamp(time.duration_since(UNIX_EPOCH).map_or(0, millis))
    }
}

/// Seconds with three decimals, the form Prometheus' HTTP API takes: `1435781451.781`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0.div_euclid(1000), self.0.rem_euclid(1000))
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// How far two ticks are apart. Never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interval(Duration);

impl Interval {
    /// An interval of whole milliseconds; `None` below one millisecond.
    pub fn new(duration: Duration) -> Option<Interval> {
        let whole = Duration::from_millis(u64::try_from(duration.as_millis()).ok()?);
        (!whole.is_zero() && i64::try_from(whole.as_millis()).is_ok()).then_some(Interval(whole))
    }

    /// The interval as a duration.
    pub fn duration(self) -> Duration {
        self.0
    }

    fn millis(self) -> i64 {
        millis(self.0)
    }
}

/// A moment that is an exact multiple of its pipeline's interval since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(Timestamp);

impl Tick {
    /// The newest tick not after `now`.
    pub fn at_or_before(now: Timestamp, interval: Interval) -> Tick {
        Tick(Timestamp(now.0.saturating_sub(now.0.rem_euclid(interval.millis()))))
    }

    /// The oldest tick after `moment`.
    pub fn after(moment: Timestamp, interval: Interval) -> Tick {
        Tick::at_or_before(moment, interval).next(interval)
    }

    /// The tick that follows.
    pub fn next(self, interval: Interval) -> Tick {
        Tick(Timestamp(self.0.0.saturating_add(interval.millis())))
    }

    /// The tick before.
    pub fn previous(self, interval: Interval) -> Tick {
        Tick(Timestamp(self.0.0.saturating_sub(interval.millis())))
    }

    /// The moment itself.
    pub fn timestamp(self) -> Timestamp {
        self.0
    }
}

/// Ticks of one interval, one after the other; at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    first: Tick,
    interval: Interval,
    count: u32,
}

impl Span {
    /// `count` ticks from `first` on, at least that one.
    pub fn new(first: Tick, interval: Interval, count: u32) -> Span {
        Span { first, interval, count: count.max(1) }
    }

    /// The oldest one.
    pub fn first(self) -> Tick {
        self.first
    }

    /// The newest one.
    pub fn last(self) -> Tick {
        self.at(self.count - 1)
    }

    /// How far they are apart.
    pub fn interval(self) -> Interval {
        self.interval
    }

    /// How many there are.
    pub fn count(self) -> usize {
        self.count as usize
    }

    /// Whether it is one tick.
    pub fn is_one(self) -> bool {
        self.count == 1
    }

    /// All of them, the oldest first.
    pub fn ticks(self) -> impl Iterator<Item = Tick> {
        (0..self.count).map(move |n| self.at(n))
    }

    /// Which of them a moment is, from 0.
    pub fn position(self, moment: Timestamp) -> Option<usize> {
        let since = moment.0.checked_sub(self.first.0.0).filter(|since| *since >= 0)?;
        let at = since / self.interval.millis();
        (since % self.interval.millis() == 0 && at < i64::from(self.count)).then_some(at as usize)
    }

    fn at(self, n: u32) -> Tick {
        let since = self.interval.millis().saturating_mul(i64::from(n));
        Tick(Timestamp(self.first.0.0.saturating_add(since)))
    }
}

impl fmt::Display for Tick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_its_ticks_and_no_moment_between() {
        let interval = Interval::new(Duration::from_secs(30)).unwrap();
        let span = Span::new(Tick::at_or_before(Timestamp(65_000), interval), interval, 3);
        let ticks: Vec<i64> = span.ticks().map(|tick| tick.timestamp().as_millis()).collect();
        assert_eq!((ticks, span.last().timestamp()), (vec![60_000, 90_000, 120_000], Timestamp(120_000)));
        let position = |at| span.position(Timestamp(at));
        assert_eq!([60_000, 90_000, 120_000].map(position), [Some(0), Some(1), Some(2)]);
        assert_eq!([30_000, 60_001, 150_000, i64::MIN].map(position), [None; 4]);
        assert_eq!(Span::new(span.first(), interval, 0).count(), 1);
    }

    #[test]
    fn ticks_are_aligned_to_the_epoch() {
        let interval = Interval::new(Duration::from_secs(30)).unwrap();
        let tick = Tick::at_or_before(Timestamp(95_999), interval);
        assert_eq!(tick.timestamp(), Timestamp(90_000));
        assert_eq!(Tick::at_or_before(Timestamp(90_000), interval), tick);
        assert_eq!(tick.next(interval).timestamp(), Timestamp(120_000));
        assert_eq!(Tick::after(Timestamp(90_000), interval), tick.next(interval));
    }

    #[test]
    fn timestamps_print_as_the_query_api_takes_them() {
        assert_eq!(Timestamp(1_435_781_451_781).to_string(), "1435781451.781");
        assert_eq!(Timestamp(5).to_string(), "0.005");
    }

    #[test]
    fn an_interval_is_never_zero() {
        assert_eq!(Interval::new(Duration::from_micros(900)), None);
    }
}
