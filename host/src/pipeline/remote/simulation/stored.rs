//! Stored: what a source stores and when, for lanes that take all of it; and whether the receiver has it.
//!
//! Each series is scraped by its own clock, and some take so long for it that their samples are there later than is waited for. A stale
//! marker is there later than that, as of targets that are gone.

use std::collections::BTreeMap;

use super::script::Script;
use super::world::{Held, World};
use super::{Duration, EPOCH, Stage, encode, lock, true_now};
use crate::collect::read::Window;
use crate::collect::{self, Collected, Ends};
use crate::deliver::proto::{Label, Sample, TimeSeries, WriteRequest};
use crate::model::{STALE_NAN_BITS, Tick, Timestamp};

/// How far apart scrapes are, and how long after a scrape began a sample is stored at most.
#[derive(Clone, Copy)]
struct Pace {
    scrape_ms: i64,
    stored_ms: i64,
}

/// Samples of several scrapes are on their way at a time.
const QUICK: Pace = Pace { scrape_ms: 300, stored_ms: 1_900 };

/// A scrape ends before the next one begins.
const SLOW: Pace = Pace { scrape_ms: 8_000, stored_ms: 7_900 };

/// Series come and go in the middle of ticks.
const TURN_MS: i64 = 450;

/// How long the world lasts.
const WORLD_MS: i64 = 300_000;

impl Pace {
    fn of(series: usize) -> Pace {
        if series % 16 == 2 { SLOW } else { QUICK }
    }

    /// A stale marker is stored so much later than a sample.
    const fn marked_ms(self) -> i64 {
        2 * self.scrape_ms + self.scrape_ms / 2
    }
}

/// As an operator would say it of such a source.
pub(super) const SETTLE: Duration = Duration::from_millis((SLOW.stored_ms + SLOW.marked_ms()) as u64);

/// A sample: its time, its value's bits, and when it is there.
pub(super) type Stored = (i64, u64, i64);

impl World {
    /// All samples of a series up to a moment.
    fn stored(&self, series: usize, until: i64) -> &[Stored] {
        let all = self.stored.get_or_init(|| (0..self.series()).map(|series| self.scraped(series)).collect());
        let all = &all[series];
        &all[..all.partition_point(|(at, ..)| *at <= until)]
    }

    fn scraped(&self, series: usize) -> Vec<Stored> {
        let pace @ Pace { scrape_ms, stored_ms } = Pace::of(series);
        let offset = 37 * series as i64 % scrape_ms;
        let (mut samples, mut was_there) = (Vec::new(), false);
        for scrape in 0..WORLD_MS / scrape_ms {
            let at = EPOCH + scrape * scrape_ms + offset;
            let value = self
                .at(0, Timestamp(at + TURN_MS))
                .get(&series)
                .map(|_| (at - EPOCH) as f64 + series as f64 / 16.0);
            // Nobody can tell when from the time.
            let late = (scrape * 7_919 + series as i64 * 104_729) % stored_ms;
            match value {
                Some(value) => samples.push((at, value.to_bits(), at + late)),
                None if was_there => samples.push((at, STALE_NAN_BITS, at + late + pace.marked_ms())),
                None => {}
            }
            was_there = value.is_some();
        }
        // A server takes nothing older than a series' newest sample.
        samples.sort_by_key(|(.., there)| *there);
        let mut newest = i64::MIN;
        samples.retain(|(at, ..)| {
            let before = newest;
            newest = newest.max(*at);
            before < *at
        });
        samples
    }
}

impl Script {
    /// What is stored by now of the window that ends with a tick.
    pub(super) fn samples(&self, tick: Tick, reach: Duration) -> Collected {
        let window = Window { since: tick.timestamp().minus(reach), until: tick.timestamp() };
        let now = true_now().as_millis();
        let series = |number: usize| {
            let label = |name: &str, value: String| Label { name: name.to_owned(), value };
            let samples = self.world.stored(number, window.until.as_millis());
            let samples = samples.iter().filter(|(.., there)| *there <= now);
            TimeSeries {
                labels: vec![label("__name__", "up".to_owned()), label("series", number.to_string())],
                samples: samples
                    .map(|&(timestamp, bits, _)| Sample { timestamp, value: f64::from_bits(bits) })
                    .collect(),
                histograms: Vec::new(),
            }
        };
        let timeseries = (0..self.world.series()).map(series).filter(|series| !series.samples.is_empty());
        let response = encode::as_read(&WriteRequest { timeseries: timeseries.collect() });
        let answer = lock(&self.state).table.absorb_samples(tick, window, &response).unwrap();
        Collected { ends: Ends::Marked, ..self.collected(tick, &answer.into()) }
    }

    pub(super) async fn all(&self, tick: Tick, reach: Duration) -> Result<Collected, collect::Error> {
        self.answers_at_all(tick).await?;
        Ok(self.samples(tick, reach.max(super::INTERVAL + SETTLE)))
    }
}

impl Stage {
    /// Whether the receiver has all that is newer than `since`, once and as it is, up to what was delivered last.
    pub(super) fn judge_stored(&self, since: i64, last: i64) -> Result<(), String> {
        let receiver = lock(&self.receiver);
        if let Some((_, broken)) = receiver.broken.first() {
            return Err(format!("another value: {broken}"));
        }
        let (wanted, late) = self.expected_stored(since, last);
        for series in 0..self.world.series() {
            let held = receiver.held.get(&series).into_iter().flatten();
            // The last cursor was saved a moment before the end.
            let held: BTreeMap<i64, u64> = held
                .map(|(at, bits)| (*at, *bits))
                .filter(|(at, _)| (since + 1..=last).contains(at))
                .collect();
            let wanted = wanted.get(&series).cloned().unwrap_or_default();
            if let Some(missing) = wanted.iter().find(|(at, bits)| held.get(at) != Some(bits)) {
                return Err(format!("series {series}: missing {missing:?}"));
            }
            let is_late =
                |at: &i64, bits: &u64| late.get(&series).is_some_and(|late| late.get(at) == Some(bits));
            if let Some(surplus) =
                held.iter().find(|(at, bits)| !wanted.contains_key(at) && !is_late(at, bits))
            {
                return Err(format!("series {series}: surplus {surplus:?}"));
            }
        }
        Ok(())
    }

    /// What has to be there, and what may be: ends of what was there before, and what is stored too late to be there yet.
    fn expected_stored(&self, since: i64, last: i64) -> (Held, Held) {
        // Ends of what was there before are told as well; whether they have to be nobody says.
        let (mut wanted, mut maybe) = (Held::new(), Held::new());
        for series in 0..self.world.series() {
            let mut has_any = false;
            for &(at, bits, there) in self.world.stored(series, last) {
                let is_end = bits == STALE_NAN_BITS;
                let is_due = at > since && there <= last + super::LAG.as_millis() as i64;
                let held = if is_due && (has_any || !is_end) { &mut wanted } else { &mut maybe };
                held.entry(series).or_default().insert(at, bits);
                has_any |= at > since;
            }
        }
        (wanted, maybe)
    }
}
