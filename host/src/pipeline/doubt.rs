//! Doubt: which ticks a former life of the lane may have sent already.
//!
//! In: the cursor that a lane starts from. Out: whether a tick is in doubt. Never: a tick sent again without need because of it;
//! it only says what a refusal means.
//!
//! Cursors are saved every few seconds. Who starts from a saved one does not know of the ticks since: they may have been
//! delivered, in part or whole. A receiver takes the same sample again only as long as it is its series' newest, so of two
//! ticks in doubt the older one is refused if the newer one was sent.

use std::time::Duration;

use crate::deliver::cursor::Cursor;
use crate::model::{Interval, Tick, Timestamp};

/// Ticks up to here are in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Doubt {
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    /// This life has sent something of it already.
    again: Option<Tick>,
}

impl Doubt {
    /// Of a lane that starts from `cursor`, which may be older than what was delivered by `saved_within`. Who catches up delivers
    /// many ticks in that time: all that are due at the start, `newest` the last one.
    pub(super) fn after(cursor: Option<Cursor>, saved_within: Duration, newest: Tick) -> Doubt {
        let (Some(Cursor::Delivered(last)) | Some(Cursor::Ended(last))) = cursor else {
            return Doubt::default();
        };
        let until = last.plus(saved_within).max(newest.timestamp());
        Doubt { since: Some(last), until: Some(until), again: None }
    }

    /// Up to when there is nothing new in a tick in doubt, but for what was stored late.
    pub(super) fn before(self, tick: Tick, interval: Interval) -> Option<Timestamp> {
        self.since.map(|since| since.max(tick.previous(interval).timestamp()))
    }

    /// As well as a tick of which this life has sent something, if there is one.
    pub(super) fn and(self, again: Option<Tick>) -> Doubt {
        Doubt { again, ..self }
    }

    /// Whether the tick may have been sent before.
    pub(super) fn of(self, tick: Tick) -> bool {
        self.again == Some(tick) || self.until.is_some_and(|end| tick.timestamp() <= end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_in_doubt_are_those_that_may_have_been_delivered_since_the_cursor_was_saved() {
        let interval = Interval::new(Duration::from_secs(5)).unwrap();
        let tick = |seconds: i64| Tick::at_or_before(Timestamp(seconds * 1000), interval);
        let saved_within = Duration::from_secs(20);
        let after =
            |newest| Doubt::after(Some(Cursor::Delivered(Timestamp(100_000))), saved_within, tick(newest));
        assert_eq!([105, 120, 125].map(|at| after(110).of(tick(at))), [true, true, false]);
        assert_eq!([105, 500, 505].map(|at| after(500).of(tick(at))), [true, true, false], "who caught up");
        assert!(!Doubt::after(None, saved_within, tick(500)).of(tick(0)), "who begins repeats nothing");
        let again = after(110).and(Some(tick(125)));
        assert_eq!([120, 125, 130].map(|at| again.of(tick(at))), [true, true, false]);
    }
}
