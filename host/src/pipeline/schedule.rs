//! Schedule: which tick is next, and when to ask for it.
//!
//! Time is an argument here; the only waiting is `tokio::time`.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::clock::Clock;
use crate::deliver::cursor::Cursor;
use crate::model::{Interval, Tick, Timestamp};

/// The wall clock is looked at again at least this often while waiting, so that a step of it is noticed.
const CLOCK_GLANCE: Duration = Duration::from_secs(1);

/// When a lane's ticks are due.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    pub(crate) interval: Interval,
    /// How long after a tick it is asked for.
    pub(crate) lag: Duration,
    /// How far back missed ticks are asked for again.
    pub(crate) backfill_max: Duration,
    pub(crate) clock: Clock,
}

/// The next tick, and how many before it are too old to be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) tick: Tick,
    pub(crate) skipped: u64,
}

impl Schedule {
    /// The newest tick that can be asked for at `now`.
    pub(crate) fn newest(&self, now: Timestamp) -> Tick {
        Tick::at_or_before(now.minus(self.lag), self.interval)
    }

    /// Where a lane with this cursor goes on. Without a cursor, now; a lane that ended does not fill the time it
    /// was away.
    pub(crate) fn start(&self, cursor: Option<Cursor>, now: Timestamp) -> Due {
        let newest = self.newest(now);
        match cursor {
            // The clock was ahead once, or the state file is wrong: waiting for that time would be silence.
            Some(Cursor::Delivered(last) | Cursor::Ended(last)) if last > now => {
                Due { tick: newest, skipped: 0 }
            }
            None => Due { tick: newest, skipped: 0 },
            Some(Cursor::Ended(last)) => {
                Due { tick: newest.max(Tick::after(last, self.interval)), skipped: 0 }
            }
            Some(Cursor::Delivered(last)) => self.within_reach(Tick::after(last, self.interval), now),
        }
    }

    /// `tick`, or the oldest one after it that is not beyond `backfill_max`.
    pub(crate) fn within_reach(&self, tick: Tick, now: Timestamp) -> Due {
        let oldest = Tick::after(now.minus(self.lag).minus(self.backfill_max), self.interval);
        if tick >= oldest {
            return Due { tick, skipped: 0 };
        }
        Due { tick: oldest, skipped: self.ticks_between(tick, oldest) }
    }

    /// How many ticks later one tick is than another.
    pub(crate) fn ticks_between(&self, earlier: Tick, later: Tick) -> u64 {
        let between = later.timestamp().since(earlier.timestamp());
        (between.as_millis() / self.interval.duration().as_millis()) as u64
    }

    /// Waits until `tick` can be asked for, or, if the clock is set back meanwhile, the tick that is then the next one;
    /// `last` is the newest tick that is settled. `None` if told to stop first.
    pub(crate) async fn wait_for(
        &self,
        mut tick: Tick,
        last: impl Fn() -> Option<Timestamp>,
        halt: &CancellationToken,
    ) -> Option<Tick> {
        while !halt.is_cancelled() {
            let now = self.clock.now();
            tick = self.near(tick, &last, now);
            let left = tick.timestamp().plus(self.lag).since(now);
            if left.is_zero() {
                return Some(tick);
            }
            pause(left.min(CLOCK_GLANCE), halt).await;
        }
        None
    }

    /// `tick`, unless it is further ahead than a next tick can be. Then the clock was ahead of the time and is no more:
    /// what was settled is not repeated, and what was not is not waited for.
    fn near(&self, tick: Tick, last: impl Fn() -> Option<Timestamp>, now: Timestamp) -> Tick {
        let next = self.newest(now).next(self.interval);
        // Corrections by less than an interval are everyday, and the tick is near all the same.
        if tick <= next.next(self.interval) {
            return tick;
        }
        let unsettled = last().map_or(next, |last| Tick::after(last, self.interval));
        unsettled.min(tick)
    }
}

/// Waits, or until told to stop.
pub(crate) async fn pause(duration: Duration, halt: &CancellationToken) {
    let _ = tokio::time::timeout(duration, halt.cancelled()).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn schedule() -> Schedule {
        Schedule {
            interval: Interval::new(30 * SECOND).unwrap(),
            lag: 15 * SECOND,
            backfill_max: 3000 * SECOND,
            clock: Clock::new(|| Timestamp(0)),
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp(seconds * 1000)
    }

    fn start(cursor: Option<Cursor>, now: i64) -> (i64, u64) {
        let due = schedule().start(cursor, at(now));
        (due.tick.timestamp().as_millis() / 1000, due.skipped)
    }

    #[test]
    fn without_a_cursor_a_lane_starts_now() {
        assert_eq!(start(None, 10_000), (9_960, 0));
    }

    #[test]
    fn with_a_cursor_a_lane_goes_on_where_it_was() {
        assert_eq!(start(Some(Cursor::Delivered(at(9_000))), 10_000), (9_030, 0));
        assert_eq!(start(Some(Cursor::Delivered(at(9_001))), 10_000), (9_030, 0), "another interval's tick");
    }

    #[test]
    fn a_cursor_ahead_of_the_clock_does_not_silence_a_lane() {
        assert_eq!(start(Some(Cursor::Delivered(at(13_600))), 10_000), (9_960, 0));
        assert_eq!(start(Some(Cursor::Ended(Timestamp(i64::MAX))), 10_000), (9_960, 0));
        assert_eq!(start(Some(Cursor::Delivered(Timestamp(i64::MIN))), 10_000).0, 6_990);
    }

    #[test]
    fn a_clock_that_is_set_back_leaves_no_lane_waiting_for_a_time_it_has_settled_nothing_of() {
        let near = |tick: i64, last: Option<i64>, now: i64| {
            let tick = Tick::at_or_before(at(tick), schedule().interval);
            let near = schedule().near(tick, || last.map(at), at(now));
            near.timestamp().as_millis() / 1000
        };
        assert_eq!(near(9_990, Some(9_960), 10_000), 9_990, "the next one");
        assert_eq!(near(9_990, Some(9_960), 9_950), 9_990, "a correction of less than an interval");
        assert_eq!(near(13_590, Some(9_960), 10_000), 9_990, "an hour ahead for a while");
        assert_eq!(near(13_590, Some(9_000), 10_000), 9_030, "what was passed over meanwhile is asked for");
        assert_eq!(near(13_590, None, 10_000), 9_990);
        assert_eq!(near(13_590, Some(10_530), 10_000), 10_560, "no timestamp is sent twice");
        assert_eq!(near(13_590, Some(13_560), 10_000), 13_590);
        assert_eq!(near(3_000, Some(2_970), 10_000), 3_000, "behind");
    }

    #[test]
    fn what_is_too_old_is_skipped_and_counted() {
        let (tick, skipped) = start(Some(Cursor::Delivered(at(0))), 10_000);
        assert_eq!((tick, skipped), (6_990, 232));
    }

    #[test]
    fn a_lane_that_ended_does_not_fill_the_time_it_was_away() {
        assert_eq!(start(Some(Cursor::Ended(at(9_000))), 10_000), (9_960, 0));
        assert_eq!(start(Some(Cursor::Ended(at(9_960))), 10_000), (9_990, 0), "and repeats no tick");
    }
}
