//! Judge: whether the receiver has what was promised.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::receiver::Receiver;
use super::world::Held;
use super::{Duration, EPOCH, INTERVAL, LAG, Stage, lock, true_now};
use crate::model::{Interval, STALE_NAN_BITS, Tick, Timestamp};

/// An end is told at the first tick to which all sources have an answer: so long after it there was one.
const TOLD_WITHIN_MS: i64 = 40_000;

/// A tick that others are sent in the time before may be late by so much.
const LATE_MAX: Duration = Duration::from_millis(300);

impl Stage {
    /// Whether the receiver has what was promised, which is everything since `from`.
    pub(super) fn judge(&self, from: i64, doubtful: &BTreeSet<i64>) -> Result<(), String> {
        let mut receiver = lock(&self.receiver);
        receiver.held.values_mut().for_each(|held| held.retain(|at, _| *at >= from));
        receiver.held.retain(|_, held| !held.is_empty());
        let is_alone = self.world.replicas == 1;
        // Of a tick that was sent before another replica may have another value.
        let broken = receiver.broken.iter().find(|(at, _)| is_alone || !doubtful.contains(at));
        if let Some((_, broken)) = broken {
            return Err(format!("another value: {broken}"));
        }
        let all: BTreeSet<i64> = receiver.held.values().flat_map(|held| held.keys().copied()).collect();
        let (Some(first), Some(last)) = (all.first(), all.last()) else { return Ok(()) };
        let late = true_now().as_millis() - last;
        // Unless there is nothing in the world any more.
        if late > 10_000 && !self.world.at(0, Timestamp(last + 5_000)).is_empty() {
            return Err(format!("it is {late} ms behind"));
        }
        let expected = self.world.expected(Timestamp(*first), Timestamp(*last));
        match is_alone {
            true => exactly(&expected, &receiver.held)?,
            false => self.either(&expected, &receiver, doubtful)?,
        }
        match receiver.refused.difference(doubtful).next() {
            Some(at) => Err(format!("refused at {at}, which is not in doubt: {doubtful:?}")),
            None => Ok(()),
        }
    }

    /// Whether a receiver that was away until `back` had each tick since in its time, and between them what it missed, oldest first.
    pub(super) fn judge_liveness(&self, back: Timestamp) -> Result<(), String> {
        // After that nothing comes and nothing goes.
        if self.world.at(0, back).is_empty() {
            return Ok(());
        }
        let receiver = lock(&self.receiver);
        let since: Vec<_> = receiver.arrived.iter().filter(|(_, came)| *came >= back).collect();
        // What was tried all the time is taken first, request by request, some time after it is back.
        let [_, (newest, returned), ..] = since[..] else { return Err("nothing came".to_owned()) };
        if Timestamp(*newest).plus(LAG + INTERVAL + LATE_MAX) < *returned {
            return Err(format!(
                "ticks that were missed came before the newest: {:?}",
                &since[..4.min(since.len())]
            ));
        }
        let is_missed = |at: i64| at < *newest;
        for (at, came) in since.iter().filter(|(at, _)| !is_missed(*at)) {
            let late = came.since(Timestamp(*at).plus(LAG).max(*returned));
            if late > LATE_MAX {
                return Err(format!("the tick at {} came {late:?} late", at - EPOCH));
            }
        }
        let missed: Vec<_> = since.iter().map(|(at, _)| *at).filter(|at| is_missed(*at)).collect();
        match missed.is_sorted() {
            true => Ok(()),
            false => Err(format!("what was missed came in disorder: {missed:?}")),
        }
    }

    /// As [`exactly`], of replicas: each sample is of one of them, whose it stays while it has an answer, and an end is told as
    /// soon as all of them have one.
    fn either(&self, expected: &Held, receiver: &Receiver, doubtful: &BTreeSet<i64>) -> Result<(), String> {
        let (nothing, found) = (BTreeMap::new(), &receiver.held);
        for series in expected.keys().chain(found.keys()) {
            let found = found.get(series).unwrap_or(&nothing);
            let wanted = expected.get(series).unwrap_or(&nothing);
            let there = |at: &i64| wanted.get(at).filter(|bits| **bits != STALE_NAN_BITS);
            if let Some((at, _)) =
                wanted.iter().find(|(at, _)| there(at).is_some() && !found.contains_key(at))
            {
                return Err(format!("series {series}: missing at {at}"));
            }
            let mut before: Option<(i64, u64)> = None;
            for (&at, &bits) in found {
                // An end that was told by a life whose cursor was not saved is told again, later if not all had an answer.
                let is_told = |(at, bits): (i64, u64)| bits == STALE_NAN_BITS && !doubtful.contains(&at);
                let was_there = before.is_some_and(|before| !is_told(before));
                match there(&at) {
                    Some(_) => {
                        // What came first began anew.
                        let follows = |last: &(i64, u64)| !receiver.had_before(at, last.0);
                        self.one_of_them(*series, at, bits, before.filter(follows), doubtful)?;
                    }
                    None if bits == STALE_NAN_BITS && was_there => {}
                    None => {
                        return Err(format!("series {series}: surplus at {at}: {bits:x} after {before:?}"));
                    }
                }
                before = Some((at, bits));
            }
            let ended = wanted.last_key_value().filter(|(_, bits)| **bits == STALE_NAN_BITS);
            let is_old = ended.is_some_and(|(at, _)| true_now().as_millis() - at > TOLD_WITHIN_MS);
            if is_old && before.is_some_and(|(_, bits)| bits != STALE_NAN_BITS) {
                return Err(format!("series {series} has not ended: {ended:?}"));
            }
        }
        Ok(())
    }

    fn one_of_them(
        &self,
        series: usize,
        at: i64,
        bits: u64,
        before: Option<(i64, u64)>,
        doubtful: &BTreeSet<i64>,
    ) -> Result<(), String> {
        let Some(rank) = self.owner(series, at, bits) else {
            return Err(format!("series {series}: surplus at {at}: {bits:x}"));
        };
        let Some((last, bits)) = before.filter(|(last, _)| at - last == INTERVAL.as_millis() as i64) else {
            return Ok(());
        };
        let Some(was) = self.owner(series, last, bits).filter(|was| *was != rank) else { return Ok(()) };
        // Who begins anew goes by the rank again.
        let anew = [at, last].iter().any(|at| doubtful.contains(at));
        let tick = Tick::at_or_before(Timestamp(at), Interval::new(INTERVAL).unwrap());
        // One that answered by a clock that was set meanwhile was not believed.
        let second = (at - EPOCH) / 1000;
        let is_set = |(when, _): &(Range<i64>, i64)| (when.start - 15..when.end).contains(&second);
        match anew || self.world.has_failed(tick, was) || self.world.steps.iter().any(is_set) {
            true => Ok(()),
            false => Err(format!("series {series} goes from {was} to {rank} at {}", at - EPOCH)),
        }
    }

    /// Whose value it is.
    fn owner(&self, series: usize, at: i64, bits: u64) -> Option<usize> {
        let has = |rank: &usize| {
            self.world.at(*rank, Timestamp(at)).get(&series).is_some_and(|value| value.to_bits() == bits)
        };
        (0..self.world.replicas).find(has)
    }
}

/// Whether both are the same.
fn exactly(expected: &Held, held: &Held) -> Result<(), String> {
    for series in expected.keys().chain(held.keys()) {
        let (wanted, found) = (expected.get(series), held.get(series));
        if wanted != found {
            let of = |held: Option<&BTreeMap<i64, u64>>| -> BTreeSet<(i64, u64)> {
                held.into_iter().flatten().map(|(at, bits)| (*at, *bits)).collect()
            };
            let (wanted, found) = (of(wanted), of(found));
            let missing: Vec<_> = wanted.difference(&found).take(3).collect();
            let surplus: Vec<_> = found.difference(&wanted).take(3).collect();
            return Err(format!("series {series}: missing {missing:?}, surplus {surplus:?}"));
        }
    }
    Ok(())
}
