//! Recollection: whether what a source does not show any more has ended, or is lost to it.
//!
//! In: how many series a tick has, and how many ended with it by the answers. Out: whether to believe that, or what to ask first.
//! Never: IO.
//!
//! A server that begins anew with an empty memory answers for the ticks that it was away for as if there never had been anything.
//! Such an answer is complete. But it has nothing of the tick before either, which it answered when it had its memory; whoever
//! has that tick and not this one has seen the end. That is asked where most of what was there is gone at once, which is rare,
//! and after that, as its targets come back one by one, nothing ends as long as readers would look back for it.

use super::outputs::Emitted;
use crate::model::{LOOKBACK, Tick};

/// What a lane knows of its source's memory.
#[derive(Debug, Default)]
pub(super) struct Recollection {
    /// The newest tick whose answers were believed, if they had anything.
    believed: Option<Tick>,
    /// Whether ticks behind it are lost.
    is_lost: bool,
}

/// What is to be made of series that are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// They have ended.
    Ended,
    /// They are lost, unless the source still has this tick.
    Unless(Tick),
    /// They are lost.
    Lost,
}

impl Recollection {
    /// What to make of a tick of complete answers.
    pub(super) fn judge(&mut self, tick: Tick, emitted: Emitted) -> Verdict {
        let Emitted { samples, stale, .. } = emitted;
        let recent = |before: &Tick| tick.timestamp().since(before.timestamp()) < LOOKBACK;
        match self.believed.filter(recent) {
            Some(_) if stale > 0 && self.is_lost => Verdict::Lost,
            Some(before) if stale > samples => Verdict::Unless(before),
            _ => {
                self.believe(tick, samples);
                Verdict::Ended
            }
        }
    }

    /// Whether the source has lost what it was asked for.
    pub(super) fn told(&mut self, tick: Tick, is_lost: bool) {
        match is_lost {
            true => self.is_lost = true,
            false => self.believe(tick, 0),
        }
    }

    /// Goes on where `before` came to: what was lost there is not back.
    pub(super) fn follow(&mut self, before: &Recollection) {
        self.is_lost |= before.is_lost;
    }

    /// Takes for true that a tick has so many samples.
    pub(super) fn believe(&mut self, tick: Tick, samples: usize) {
        self.is_lost = false;
        self.believed = (samples > 0).then_some(tick);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::{Interval, Timestamp};

    fn tick(second: i64) -> Tick {
        Tick::at_or_before(Timestamp(second * 1000), Interval::new(Duration::from_secs(1)).unwrap())
    }

    fn judge(recollection: &mut Recollection, second: i64, samples: usize, stale: usize) -> Verdict {
        recollection.judge(tick(second), Emitted { samples, stale, ..Emitted::default() })
    }

    #[test]
    fn a_few_that_are_missing_have_ended() {
        let mut one = Recollection::default();
        for second in 0..5 {
            assert_eq!(judge(&mut one, second, 10, 10), Verdict::Ended);
        }
    }

    #[test]
    fn most_at_once_have_ended_only_if_the_source_has_the_tick_before() {
        let mut one = Recollection::default();
        judge(&mut one, 1, 10, 0);
        assert_eq!(judge(&mut one, 2, 3, 7), Verdict::Unless(tick(1)));
        one.told(tick(2), false);
        assert_eq!(judge(&mut one, 3, 1, 2), Verdict::Ended, "what is left");
    }

    #[test]
    fn what_is_lost_has_not_ended_until_all_is_back_or_nobody_looks_back_so_far() {
        let mut one = Recollection::default();
        judge(&mut one, 1, 10, 0);
        assert_eq!(judge(&mut one, 2, 0, 10), Verdict::Unless(tick(1)));
        one.told(tick(2), true);
        assert_eq!(judge(&mut one, 3, 0, 10), Verdict::Lost);
        assert_eq!(judge(&mut one, 4, 9, 1), Verdict::Lost, "one target is not scraped yet");
        assert_eq!(judge(&mut one, 400, 9, 1), Verdict::Ended);
        one.told(tick(5), true);
        assert_eq!(judge(&mut one, 401, 10, 0), Verdict::Ended);
        assert_eq!(judge(&mut one, 402, 9, 1), Verdict::Ended, "a source that has its memory");
    }

    #[test]
    fn what_is_lost_on_an_earlier_stretch_of_ticks_is_not_back_where_it_ends() {
        let (mut earlier, mut later) = (Recollection::default(), Recollection::default());
        judge(&mut earlier, 1, 10, 0);
        earlier.told(tick(2), true);
        judge(&mut later, 101, 10, 0);
        later.follow(&earlier);
        assert_eq!(judge(&mut later, 102, 10, 5), Verdict::Lost);
        assert_eq!(judge(&mut later, 103, 10, 0), Verdict::Ended, "all is back");
    }

    #[test]
    fn who_took_over_what_another_had_delivered_believes_the_first_answer() {
        let mut one = Recollection::default();
        assert_eq!(judge(&mut one, 1, 0, 10), Verdict::Ended);
        assert_eq!(judge(&mut one, 2, 0, 10), Verdict::Ended);
    }
}
