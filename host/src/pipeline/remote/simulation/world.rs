//! World: which series there are at which tick, and when what goes wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use rand::Rng as _;
use rand::rngs::StdRng;

use super::stored::Stored;
use super::{BAD, EPOCH, INTERVAL, lock, true_now};
use crate::model::{Mode, Order, STALE_NAN_BITS, Tick, Timestamp};

/// What happens, as far as it does not depend on the program.
#[derive(Debug)]
pub(super) struct World {
    /// For each series, when it comes and goes, in seconds.
    turns: Vec<Vec<i64>>,
    /// Which samples are taken.
    pub(super) mode: Mode,
    /// In which order the receiver takes them.
    pub(super) order: Order,
    /// How many sources there are, which are replicas of each other.
    pub(super) replicas: usize,
    /// How late each answers at most, in milliseconds, and how often not at all, while things are bad.
    pub(super) late_ms: [u64; 2],
    pub(super) fails: [f64; 2],
    /// When each is away, in seconds.
    downs: [Range<i64>; 2],
    /// Whether it answers for several ticks at once.
    pub(super) ahead: bool,
    /// When our own clock is wrong, in seconds of the true time, and by how much, in milliseconds.
    pub(super) steps: Vec<(Range<i64>, i64)>,
    /// Whether the receiver does nothing but refuse as long as things are bad.
    pub(super) is_receiver_down: bool,
    /// How often a cursor is saved.
    pub(super) saved_every: Duration,
    /// The most samples of a request.
    pub(super) request_max: usize,
    /// What is stored of each series, where that is asked for.
    pub(super) stored: OnceLock<Vec<Vec<Stored>>>,
    is_bad: AtomicBool,
    /// Which source had no answer to which tick.
    failed: Mutex<BTreeSet<(Tick, usize)>>,
}

/// By how much clocks are set, in milliseconds: an hour, and less than is asked for again.
const STEPS_MS: [i64; 6] = [3_600_000, -3_600_000, 1_200_000, -1_200_000, 30_000, 4_500];

impl World {
    pub(super) fn new(chance: &mut StdRng) -> World {
        let turns = turns(chance, 1..9);
        let bad = BAD.as_secs() as i64;
        let window = |chance: &mut StdRng| {
            let begins = chance.random_range(0..bad);
            begins..begins + chance.random_range(0..15)
        };
        let replicas = chance.random_range(1..3);
        let downs = [window(chance), if replicas == 2 { window(chance) } else { 0..0 }];
        let slow = [1_500, 3_500];
        let late_ms =
            [slow[usize::from(chance.random_bool(0.2))], slow[usize::from(chance.random_bool(0.2))]];
        let steps = match chance.random_bool(0.4) {
            true => {
                // Who begins for the first time has a clock that is right.
                let Range { start, end } = window(chance);
                vec![(start + 5..end + 5, STEPS_MS[chance.random_range(0..STEPS_MS.len())])]
            }
            false => Vec::new(),
        };
        World {
            turns,
            mode: Mode::Sampled,
            order: Order::Ascending,
            replicas,
            late_ms,
            fails: [0.2, 0.2],
            downs,
            ahead: chance.random_bool(0.7),
            steps,
            is_receiver_down: false,
            saved_every: Duration::from_secs(1),
            // So that a tick takes several.
            request_max: 3,
            stored: OnceLock::new(),
            is_bad: AtomicBool::new(true),
            failed: Mutex::default(),
        }
    }

    /// One of a source that stands alone, all samples of which are taken.
    pub(super) fn of_stored(chance: &mut StdRng) -> World {
        World { mode: Mode::Raw, replicas: 1, steps: Vec::new(), ..World::new(chance) }
    }

    /// As [`World::of_stored`], with so many series in a request that not each is looked for.
    pub(super) fn of_many_stored(chance: &mut StdRng) -> World {
        let world = World::of_stored(chance);
        let saved_every = Duration::from_secs(chance.random_range(1..6));
        World { turns: turns(chance, 80..100), request_max: 400, saved_every, ..world }
    }

    /// One whose receiver takes samples in any order.
    pub(super) fn of_any_order(chance: &mut StdRng) -> World {
        World { order: Order::Any, ..World::new(chance) }
    }

    /// How many series there are, now and then.
    pub(super) fn series(&self) -> usize {
        self.turns.len()
    }

    /// One in which nothing goes wrong but that the receiver is away.
    pub(super) fn without_receiver(chance: &mut StdRng) -> World {
        let world = World::new(chance);
        let downs = [0..0, 0..0];
        World { fails: [0.0; 2], downs, steps: Vec::new(), is_receiver_down: true, ..world }
    }

    pub(super) fn is_bad(&self) -> bool {
        self.is_bad.load(Ordering::Relaxed)
    }

    pub(super) fn set_bad(&self, is_bad: bool) {
        self.is_bad.store(is_bad, Ordering::Relaxed);
    }

    pub(super) fn is_down(&self, rank: usize) -> bool {
        self.is_bad() && self.downs[rank].contains(&second(true_now()))
    }

    /// Writes down who had no answer.
    pub(super) fn failed(&self, tick: Tick, rank: usize) {
        lock(&self.failed).insert((tick, rank));
    }

    pub(super) fn has_failed(&self, tick: Tick, rank: usize) -> bool {
        lock(&self.failed).contains(&(tick, rank))
    }

    /// What each series has at a moment at the source of this rank.
    pub(super) fn at(&self, rank: usize, moment: Timestamp) -> BTreeMap<usize, f64> {
        let second = second(moment);
        let is_there = |turns: &Vec<i64>| turns.iter().filter(|turn| **turn <= second).count() % 2 == 1;
        let there = self.turns.iter().enumerate().filter(|(_, turns)| is_there(turns));
        let value = |series: usize| (second * 100 + series as i64) as f64 + 0.5 * rank as f64;
        there.map(|(series, _)| (series, value(series))).collect()
    }

    /// What a receiver holds when it has every tick from `first` to `last` of a source that stands alone.
    pub(super) fn expected(&self, first: Timestamp, last: Timestamp) -> Held {
        let mut held = Held::new();
        let mut before: BTreeMap<usize, f64> = BTreeMap::new();
        let mut at = first;
        while at <= last {
            let there = self.at(0, at);
            for (series, value) in &there {
                held.entry(*series).or_default().insert(at.as_millis(), value.to_bits());
            }
            for series in before.keys().filter(|series| !there.contains_key(series)) {
                held.entry(*series).or_default().insert(at.as_millis(), STALE_NAN_BITS);
            }
            (before, at) = (there, at.plus(INTERVAL));
        }
        held
    }
}

/// When series come and go, of so many.
fn turns(chance: &mut StdRng, series: Range<usize>) -> Vec<Vec<i64>> {
    let turns = (0..chance.random_range(series)).map(|_| {
        let mut at = -chance.random_range(1..30);
        std::iter::from_fn(|| {
            at += chance.random_range(1..40);
            (at < 400).then_some(at)
        })
        .collect()
    });
    turns.collect()
}

fn second(moment: Timestamp) -> i64 {
    (moment.as_millis() - EPOCH).div_euclid(1000)
}

/// Samples, by series and time.
pub(super) type Held = BTreeMap<usize, BTreeMap<i64, u64>>;
