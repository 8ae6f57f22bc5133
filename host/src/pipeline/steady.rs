//! Steady: whether what a lane collects is worth a line in the log.
//!
//! In: how many samples of how many targets a tick brought. Out: whether that is news. Never: a line per tick, or more than two a minute,
//! however much comes and goes.

use crate::model::Timestamp;
use crate::model::outage::QUIET;

/// A count that differs by less than this part is the same.
const PART: usize = 10;

/// What was told.
#[derive(Debug, Default)]
pub(crate) struct Steady {
    count: usize,
    beside: usize,
    /// When, and when before.
    told_at: [Option<Timestamp>; 2],
}

impl Steady {
    /// Whether it is the first tick, or another count than was told, or another number of what is told beside it.
    pub(crate) fn is_news(&mut self, count: usize, beside: usize, now: Timestamp) -> bool {
        let [last, before] = self.told_at;
        let differs = beside != self.beside || count.abs_diff(self.count) > self.count / PART;
        let is_quiet = before.is_none_or(|before| now.since(before) >= QUIET);
        let is_news = last.is_none() || differs && is_quiet;
        if is_news {
            *self = Steady { count, beside, told_at: [Some(now), last] };
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The seconds at which a line is written of a lane that collects these.
    fn told(ticks: impl IntoIterator<Item = (i64, usize, usize)>) -> Vec<i64> {
        let mut steady = Steady::default();
        let ticks = ticks.into_iter();
        ticks
            .filter(|(at, count, targets)| steady.is_news(*count, *targets, Timestamp(at * 1_000)))
            .map(|t| t.0)
            .collect()
    }

    #[test]
    fn the_first_tick_is_told_and_then_what_changes() {
        assert_eq!(told((0..600).step_by(30).map(|at| (at, 1_000, 3))), [0]);
        assert_eq!(
            told([(0, 0, 1), (5, 0, 1), (10, 1_250, 3), (100, 1_300, 3), (105, 1_400, 3), (110, 1_400, 2)]),
            [0, 10, 105, 110]
        );
    }

    #[test]
    fn however_much_comes_and_goes_there_are_two_lines_a_minute() {
        let flapping = told((0..600).step_by(5).map(|at| (at, (at as usize % 10) * 100, 1)));
        assert!((15..=20).contains(&flapping.len()), "{flapping:?}");
        assert!(flapping.windows(3).all(|three| three[2] - three[0] >= 60), "{flapping:?}");
    }
}
