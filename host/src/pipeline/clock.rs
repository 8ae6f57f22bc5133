//! Clock: what time it is for a lane.
//!
//! In: our clock, and how far sources' clocks are ahead of it. Out: the time. Never: a tick that is skipped, or given up as too old,
//! because our clock was set by an hour.
//!
//! Ours is the time, unless it is ahead of that of every source that answers by more than the lag makes up for: then theirs is.
//! It runs on by the time that passes, so that ours may be set right meanwhile without anybody waiting for it. Nothing is given up
//! by a clock that was set ahead until a source was asked what time it is.

use std::time::Duration;

use tokio::time::Instant;

use crate::collect::ahead_by;
use crate::model::Timestamp;

/// A lane's clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    ours: fn() -> Timestamp,
    /// What time it was for the sources, and when.
    theirs: Option<(Timestamp, Instant)>,
    /// What time it was when clocks were compared last, and when that was.
    compared: Option<(Timestamp, Instant)>,
    /// Whether it had jumped by then, and was not believed yet: who answered may have done so before.
    jumped: bool,
}

/// So long theirs counts without another look: ours may have been set right while they answered.
const THEIRS_FOR: Duration = Duration::from_secs(60);

/// By so much our clock may be corrected without a question.
const CORRECTION_MAX: Duration = Duration::from_secs(5);

impl Clock {
    /// Ours, until something else is known.
    pub(crate) fn new(ours: fn() -> Timestamp) -> Clock {
        Clock { ours, theirs: None, compared: None, jumped: false }
    }

    /// What time it is.
    pub(crate) fn now(&self) -> Timestamp {
        let theirs = self.theirs.filter(|(_, at)| at.elapsed() < THEIRS_FOR);
        theirs.map_or_else(self.ours, |(there, at)| there.plus(at.elapsed()))
    }

    /// The time that has come for sure.
    pub(crate) fn for_sure(&self) -> Timestamp {
        self.latest().map_or(self.now(), |latest| self.now().min(latest))
    }

    /// What time it is at most, by what it was when clocks were compared.
    fn latest(&self) -> Option<Timestamp> {
        self.compared.map(|(then, at)| then.plus(at.elapsed()).plus(CORRECTION_MAX))
    }

    /// What our clock says.
    pub(crate) fn ours(&self) -> Timestamp {
        (self.ours)()
    }

    /// Sources that answer are so far ahead of ours, in milliseconds, as far as they say.
    pub(crate) fn compare(&mut self, lag: Duration, ahead: impl Iterator<Item = Option<i64>>) {
        // Who does not say agrees.
        let nearest = ahead.map(Option::unwrap_or_default).max().unwrap_or_default();
        let behind = ahead_by(lag, Some(nearest));
        self.theirs = behind.map(|behind| (self.ours().minus(behind), Instant::now()));
        let has_jumped = self.latest().is_some_and(|latest| latest < self.now());
        self.jumped = has_jumped && !self.jumped;
        if !self.jumped {
            self.compared = Some((self.now(), Instant::now()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_no_source_agrees_with_is_wrong() {
        let lag = Duration::from_secs(15);
        let mut clock = Clock::new(|| Timestamp(10_000_000));
        for agreed in [vec![], vec![Some(-3_600_000), Some(-200)], vec![Some(-14_000)], vec![Some(3_600_000)]]
        {
            clock.compare(lag, agreed.into_iter());
            assert_eq!(clock.now(), Timestamp(10_000_000));
        }
        clock.compare(lag, [Some(-3_600_000), Some(-3_599_000)].into_iter());
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!((clock.now(), clock.ours()), (Timestamp(6_403_000), Timestamp(10_000_000)));
        clock.compare(lag, [None].into_iter());
        assert_eq!(clock.now(), Timestamp(10_000_000));
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_was_set_ahead_is_sure_of_nothing_until_it_is_compared() {
        thread_local!(static OURS: std::cell::Cell<i64> = const { std::cell::Cell::new(0) });
        let mut clock = Clock::new(|| Timestamp(OURS.get()));
        OURS.set(5_000_000);
        assert_eq!(clock.for_sure(), Timestamp(5_000_000), "there is no other");
        clock.compare(Duration::ZERO, [None].into_iter());
        tokio::time::sleep(Duration::from_secs(10)).await;
        for (ours, sure) in [(5_011_000, 5_011_000), (8_610_000, 5_015_000), (1_000_000, 1_000_000)] {
            OURS.set(ours);
            assert_eq!((clock.now(), clock.for_sure()), (Timestamp(ours), Timestamp(sure)));
        }
        OURS.set(8_610_000);
        clock.compare(Duration::ZERO, [Some(100)].into_iter());
        assert_eq!(clock.for_sure(), Timestamp(5_015_000), "it may have answered before");
        clock.compare(Duration::ZERO, [Some(100)].into_iter());
        assert_eq!(clock.for_sure(), Timestamp(8_610_000), "we were asleep");
    }
}
