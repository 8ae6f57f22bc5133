//! Raw: outputs that can have several samples at a tick, each with its own time.
//!
//! In: the samples that were stored in a window. Out: per tick those that are new, a stale marker where one was stored.
//! Never: an end concluded from what is missing, but of what nobody wants any more; samples of two replicas in turns.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;

use super::hot::{Conclude, NEVER, Rank};
use super::stored::{Stored, is_stale};
use super::{Emitted, Fingerprint, Floor, OutputId, Outputs, slice};
use crate::collect::read::Run;
use crate::deliver::v2::Key;
use crate::model::LOOKBACK;
use crate::model::memory::Full;
use crate::model::{STALE_NAN_BITS, Tick, Timestamp};

/// The order in which outputs are sent repeats over restarts: what was sent before a crash is some requests whole, and so is
/// found in few steps.
const ORDER: FixedState = FixedState::with_seed(0x6f72_6465_7200);

const LOOKBACK_MILLIS: i64 = LOOKBACK.as_millis() as i64;

impl Outputs {
    /// From now on each can have several samples at a tick: those that are newer than `floor` and than what it had.
    pub(crate) fn take_all(&mut self, floor: Floor) {
        match &mut self.stored {
            // What it had is known, and so what of it is new, however late it was stored.
            Some(stored) => stored.rise(floor),
            None => {
                let mut stored = Stored::new(floor);
                (0..self.hot.len()).for_each(|id| stored.renew(OutputId(id as u32)));
                self.stored = Some(stored);
            }
        }
        self.is_in_order = false;
    }

    /// Pays for the samples of the tick at work, each as long as a receiver has not taken them.
    pub(crate) fn pay_for_samples(&mut self) -> Result<(), Full> {
        let due = self.stored.as_ref().map_or(0, Stored::bytes);
        self.held.give(self.samples_paid.saturating_sub(due));
        let taken = self.held.take(due.saturating_sub(self.samples_paid));
        if taken.is_ok() || due < self.samples_paid {
            self.samples_paid = due;
        }
        taken
    }

    /// From now on each has one value at a tick.
    pub(crate) fn take_one(&mut self) {
        self.stored = None;
    }

    /// Says whether each one's newest sample that was handed on is handed on once more, before those that are new.
    pub(crate) fn repeat(&mut self, repeats: bool) {
        self.stored.iter_mut().for_each(|stored| stored.repeat(repeats));
    }

    /// Another lane may have sent this identity up to a moment.
    pub(crate) fn take_over(&mut self, id: OutputId, sent: Timestamp) {
        self.stored.iter_mut().for_each(|stored| stored.hand_on(id.0, sent.as_millis()));
    }

    /// Whether each can have several samples at a tick.
    pub(crate) fn takes_all(&self) -> bool {
        self.stored.is_some()
    }

    /// Takes all samples that a source has of an identity in the time that was read. Of replicas, one that has a sample at the end counts before one
    /// that has a stale marker there; the owner before others; the lowest rank before others.
    pub(crate) fn take_run(&mut self, id: OutputId, tick: Tick, rank: Rank, run: Run<'_>) {
        let (Some(stored), Some(last)) = (&mut self.stored, run.values.last()) else { return };
        let (hot, at) = (&mut self.hot[id.0 as usize], tick.timestamp().as_millis());
        // It may have had its one value of this tick.
        if hot.seen != at || !stored.has(id, tick) {
            (hot.owner, hot.seen, hot.withheld) = (hot.rank, at, false);
        } else {
            let preference = |rank: Rank, value: f64| (is_stale(value), rank != hot.owner, rank);
            if preference(rank, *last) >= preference(hot.rank, hot.value) {
                return;
            }
        }
        (hot.rank, hot.value) = (rank, *last);
        stored.set(id, tick, run);
    }

    /// Shows every identity's new samples of `tick`, in an order that repeats over restarts, and a stale marker for each that ended
    /// with it in another way.
    pub(crate) fn emit_runs(
        &self,
        tick: Tick,
        conclude: Conclude,
        mut sink: impl FnMut(Key, &[u8], Run<'_>),
    ) -> Emitted {
        let at = tick.timestamp().as_millis();
        let mut emitted = Emitted::default();
        let Some(stored) = &self.stored else { return emitted };
        for &id in &self.order {
            let (hot, labels) = (&self.hot[id as usize], slice(&self.arena, self.spans[id as usize]));
            let run = stored.run(id, at);
            let stale = run.values.iter().filter(|value| is_stale(**value)).count();
            emitted.stale += stale;
            emitted.samples += run.values.len() - stale;
            emitted.series += usize::from(run.values.len() > stale);
            if !run.values.is_empty() {
                sink(self.key(id as usize), labels, run);
            } else if hot.seen != at && self.has_ended(id, conclude) {
                emitted.stale += 1;
                let end = [self.end(id, tick).as_millis()];
                sink(
                    self.key(id as usize),
                    labels,
                    Run { at: &end, values: &[f64::from_bits(STALE_NAN_BITS)], histograms: &[] },
                );
            } else {
                emitted.idle += usize::from(hot.used && hot.seen != at);
            }
        }
        emitted
    }

    /// As [`Outputs::settle`].
    pub(super) fn settle_runs(&mut self, tick: Tick, conclude: Conclude) {
        let at = tick.timestamp().as_millis();
        for id in 0..self.hot.len() {
            let hot = self.hot[id];
            let (is_seen, has_ended) = (hot.seen == at, self.has_ended(id as u32, conclude));
            let is_forgotten = hot.seen == NEVER || hot.seen < at.saturating_sub(LOOKBACK_MILLIS);
            self.hot[id].live = match is_seen {
                true if hot.withheld => hot.live,
                true => !is_stale(hot.value),
                false => hot.live && !has_ended && !is_forgotten,
            };
            if !is_seen && has_ended {
                let end = self.end(id as u32, tick).as_millis();
                self.stored.iter_mut().for_each(|stored| stored.hand_on(id as u32, end));
            }
        }
        self.advance(tick);
    }

    /// What there is of `tick` is handed on.
    pub(crate) fn advance(&mut self, tick: Tick) {
        self.stored.iter_mut().for_each(|stored| stored.advance(tick.timestamp().as_millis()));
    }

    /// Puts the outputs that came into their order.
    pub(crate) fn line_up(&mut self) {
        if self.stored.is_none() || std::mem::replace(&mut self.is_in_order, true) {
            return;
        }
        self.order = (0..self.hot.len() as u32).filter(|id| self.hot[*id as usize].used).collect();
        let (arena, spans) = (&self.arena, &self.spans);
        self.order.sort_by_cached_key(|id| {
            let labels = slice(arena, spans[*id as usize]);
            (ORDER.hash_one(labels), *id)
        });
    }

    /// Whether an identity that is not there ends.
    fn has_ended(&self, id: u32, conclude: Conclude) -> bool {
        self.hot[id as usize].live
            && match conclude {
                Conclude::Ended => true,
                Conclude::Unwanted => self.claims[id as usize] == Fingerprint::NONE,
                Conclude::Nothing => false,
            }
    }

    /// When an identity ends that nothing says it of: behind its newest sample.
    fn end(&self, id: u32, tick: Tick) -> Timestamp {
        let newest = self.stored.as_ref().map_or(NEVER, |stored| stored.newest(id));
        Timestamp(newest.saturating_add(1).max(tick.timestamp().as_millis()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Admission;
    use super::*;
    use crate::model::{Interval, Timestamp};

    const STALE: f64 = f64::from_bits(STALE_NAN_BITS);
    const OWNER: Fingerprint = Fingerprint(1);

    fn tick(n: i64) -> Tick {
        Tick::at_or_before(Timestamp(n * 1000), Interval::new(Duration::from_secs(1)).unwrap())
    }

    struct Lane(Outputs);

    impl Lane {
        fn new() -> Lane {
            let mut outputs = Outputs::default();
            outputs.take_all(Floor { at: Timestamp(0), again: None });
            Lane(outputs)
        }

        fn admit(&mut self, labels: &str) -> OutputId {
            match self.0.admit(labels.as_bytes(), OWNER) {
                Admission::Created(id) | Admission::Joined(id) => id,
                other => panic!("not admitted: {other:?}"),
            }
        }

        /// What some sources have of `a`, by rank; what is told, and acknowledged.
        fn tick(&mut self, n: i64, conclude: Conclude, runs: &[(Rank, &[(i64, f64)])]) -> Vec<(i64, f64)> {
            let id = self.admit("a");
            for (rank, samples) in runs {
                let (at, values): (Vec<i64>, Vec<f64>) = samples.iter().copied().unzip();
                self.0.take_run(id, tick(n), *rank, Run { at: &at, values: &values, histograms: &[] });
            }
            self.told(n, conclude)
        }

        fn told(&mut self, n: i64, conclude: Conclude) -> Vec<(i64, f64)> {
            self.0.line_up();
            let mut told = Vec::new();
            self.0.emit_runs(tick(n), conclude, |_, _, run| {
                told.extend(run.at.iter().copied().zip(run.values.iter().copied()));
            });
            self.0.settle(tick(n), conclude);
            told
        }
    }

    #[test]
    fn one_replica_gives_a_series_until_it_has_nothing_or_its_end() {
        let mut lane = Lane::new();
        let told = lane.tick(1, Conclude::Unwanted, &[(1, &[(700, 1.0)]), (0, &[(600, 0.0), (900, 0.0)])]);
        assert_eq!(told, [(600, 0.0), (900, 0.0)], "the lowest rank");
        let told = lane.tick(2, Conclude::Unwanted, &[(1, &[(1_700, 1.0)]), (0, &[(600, 0.0), (900, 0.0)])]);
        assert_eq!(told, [], "the owner has what it had: it may be scraped less often");
        let told = lane.tick(3, Conclude::Unwanted, &[(1, &[(1_700, 1.0), (2_700, 1.0)])]);
        assert_eq!(told, [(1_700, 1.0), (2_700, 1.0)], "it has nothing");
        let told =
            lane.tick(4, Conclude::Unwanted, &[(0, &[(3_600, 0.0)]), (1, &[(2_700, 1.0), (3_700, STALE)])]);
        assert_eq!(told, [(3_600, 0.0)], "there it has ended, and here it goes on");
    }

    #[test]
    fn a_tick_that_was_to_have_one_value_is_taken_anew() {
        let mut lane = Lane(Outputs::default());
        let id = lane.admit("a");
        lane.0.take(id, tick(1), 0, 2.0);
        lane.0.take_all(Floor { at: Timestamp(0), again: None });
        let told = lane.tick(1, Conclude::Unwanted, &[(0, &[(500, 1.0), (900, 2.0)])]);
        assert_eq!(told, [(500, 1.0), (900, 2.0)]);
    }

    #[test]
    fn what_nobody_wants_any_more_ends_behind_its_newest_sample() {
        let mut lane = Lane::new();
        lane.tick(1, Conclude::Unwanted, &[(0, &[(1_000, 1.0)])]);
        assert_eq!(lane.told(2, Conclude::Unwanted), [], "a gap is no end");
        lane.0.disown();
        assert_eq!(lane.told(3, Conclude::Nothing), [], "not everybody answered");
        let told = lane.told(4, Conclude::Unwanted);
        assert!(told.len() == 1 && told[0].0 == 4_000 && is_stale(told[0].1), "{told:?}");
        assert_eq!(lane.told(5, Conclude::Unwanted), []);
    }

    #[test]
    fn where_ends_are_not_marked_what_is_missing_has_ended() {
        let mut lane = Lane::new();
        lane.tick(1, Conclude::Ended, &[(0, &[(1_000, 1.0)])]);
        let told = lane.told(2, Conclude::Ended);
        assert!(told.len() == 1 && told[0].0 == 2_000 && is_stale(told[0].1), "{told:?}");
        assert_eq!(lane.tick(3, Conclude::Ended, &[(0, &[(1_500, 2.0), (2_500, 2.0)])]), [(2_500, 2.0)]);
    }

    #[test]
    fn the_order_repeats_whatever_came_first() {
        let order = |names: &[&str]| {
            let mut lane = Lane::new();
            for name in names {
                let id = lane.admit(name);
                lane.0.take_run(id, tick(1), 0, Run { at: &[500], values: &[1.0], histograms: &[] });
            }
            lane.0.line_up();
            let mut order = Vec::new();
            lane.0.emit_runs(tick(1), Conclude::Unwanted, |_, labels, _| order.push(labels.to_vec()));
            order
        };
        let names = ["a", "b", "c", "d", "e", "f"];
        let reversed: Vec<&str> = names.iter().rev().copied().collect();
        assert_eq!(order(&names), order(&reversed));
        assert_ne!(order(&names), names.map(|name| name.as_bytes().to_vec()), "and it is none of the names'");
    }
}
