//! Expectation: what a receiver has to hold, computed from the source's own answers and from nothing of the program's.
//!
//! In: the source's API, the ticks, selectors, and what is done to a label set. Out: series and samples to compare with.

use std::collections::{BTreeMap, BTreeSet};

use crate::prom_api::Api;
use crate::series::{LabelSet, Sample, Value};
use crate::strict_receiver::StrictReceiver;
use crate::wait::eventually;

/// Samples by series, oldest first.
pub type Held = BTreeMap<LabelSet, Vec<Sample>>;

/// Every series, whatever its name.
pub const EVERYTHING: &str = r#"{__name__=~".+"}"#;

/// What one tenant should hold at every tick.
#[derive(Debug, Clone, Default)]
pub struct Expectation {
    ticks: BTreeMap<i64, BTreeMap<LabelSet, Value>>,
}

impl Expectation {
    /// Asks `source` at each tick for all `selectors`, and passes every series found through `shape`, which gives the
    /// labels it is to arrive with, or `None` for a series that must not arrive.
    pub async fn of(
        source: &Api,
        ticks: &BTreeSet<i64>,
        selectors: &[&str],
        shape: impl Fn(LabelSet) -> Option<LabelSet>,
    ) -> Expectation {
        Expectation::shifted(source, ticks, selectors, shape, |_| 0).await
    }

    /// As [`Expectation::of`], of a source that answers for a tick with what it had so many milliseconds before.
    pub async fn shifted(
        source: &Api,
        ticks: &BTreeSet<i64>,
        selectors: &[&str],
        shape: impl Fn(LabelSet) -> Option<LabelSet>,
        before_ms: impl Fn(i64) -> i64,
    ) -> Expectation {
        let mut expectation = Expectation::default();
        for &at in ticks {
            let mut taken = BTreeMap::new();
            for selector in selectors {
                let there = source.instant(selector, at - before_ms(at)).await;
                taken.extend(there.expect("the source answers"));
            }
            let count = taken.len();
            let shaped: BTreeMap<_, _> =
                taken.into_iter().filter_map(|(series, value)| Some((shape(series)?, value))).collect();
            assert!(shaped.len() <= count);
            expectation.ticks.insert(at, shaped);
        }
        expectation
    }

    /// What replicas, the first one preferred, give as one: each series is its owner's, who is the first that has it, and stays it as
    /// long as it has it.
    pub fn of_replicas(replicas: &[Expectation]) -> Expectation {
        let mut owners: BTreeMap<LabelSet, usize> = BTreeMap::new();
        let mut one = Expectation::default();
        let ticks: BTreeSet<i64> =
            replicas.iter().flat_map(|replica| replica.ticks.keys().copied()).collect();
        for at in ticks {
            let taken = one.ticks.entry(at).or_default();
            let has = |of: usize, series: &LabelSet| replicas[of].ticks.get(&at)?.get(series).copied();
            for (rank, replica) in replicas.iter().enumerate() {
                for (series, value) in replica.ticks.get(&at).into_iter().flatten() {
                    let owner = owners.entry(series.clone()).or_insert(rank);
                    let owned = has(*owner, series);
                    if owned.is_none() && !taken.contains_key(series) {
                        *owner = rank;
                    }
                    taken.entry(series.clone()).or_insert(owned.unwrap_or(*value));
                }
            }
        }
        one
    }

    /// What is known of other ticks as well; of the same tick the other one counts.
    pub fn and(mut self, other: Expectation) -> Expectation {
        self.ticks.extend(other.ticks);
        self
    }

    /// The ticks at which there is nothing at all.
    pub fn empty_ticks(&self) -> BTreeSet<i64> {
        self.ticks.iter().filter(|(_, series)| series.is_empty()).map(|(at, _)| *at).collect()
    }

    /// What the source has, by series. So a Prometheus shows what it holds: without stale markers.
    pub fn values(&self) -> Held {
        let mut held = Held::new();
        for (&at, series) in &self.ticks {
            for (labels, &value) in series {
                held.entry(labels.clone()).or_default().push(Sample { at, value });
            }
        }
        held
    }

    /// The samples, by series, with a stale marker at the first tick that a series is missing from after one that had it: also
    /// where a scrape of the source's failed.
    pub fn samples(&self) -> Held {
        let mut held = self.values();
        let ticks: Vec<_> = self.ticks.iter().collect();
        for pair in ticks.windows(2) {
            let [(_, before), (at, now)] = pair else { unreachable!("windows of two") };
            for series in before.keys().filter(|series| !now.contains_key(*series)) {
                let samples = held.get_mut(series).expect("it was there before");
                let place = samples.partition_point(|s| s.at < **at);
                samples.insert(place, Sample { at: **at, value: Value::STALE });
            }
        }
        held
    }
}

/// The timestamps that occur.
pub fn ticks(held: &Held) -> BTreeSet<i64> {
    held.values().flatten().map(|sample| sample.at).collect()
}

/// Waits until `count` more ticks have arrived.
pub async fn arrive(receiver: &StrictReceiver, count: usize) {
    let before = ticks(&receiver.samples()).len();
    eventually(&format!("{count} more ticks arrive"), async || {
        (ticks(&receiver.samples()).len() >= before + count).then_some(())
    })
    .await;
}

/// Every tick from the first of those that are held to the last, of which there are at least `count`; whether the source had anything at them
/// or not, as where its scrapes failed.
#[track_caller]
pub fn every_tick(ticks: &BTreeSet<i64>, interval_ms: i64, count: usize) -> BTreeSet<i64> {
    assert!(ticks.len() >= count, "{} ticks are fewer than {count}", ticks.len());
    let (Some(first), Some(last)) = (ticks.first(), ticks.last()) else { panic!("no tick at all") };
    assert_eq!(first % interval_ms, 0, "ticks are aligned");
    (0..=(last - first) / interval_ms).map(|i| first + i * interval_ms).collect()
}

/// Asserts that `ticks` are at least `count` multiples of the interval, with no gap: of a source that has something at each.
#[track_caller]
pub fn assert_every_tick(ticks: &BTreeSet<i64>, interval_ms: i64, count: usize) {
    assert_eq!(*ticks, every_tick(ticks, interval_ms, count), "every tick, and nothing between");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::series;

    #[test]
    fn a_series_that_ends_and_comes_back_has_one_marker_between() {
        let mut expectation = Expectation::default();
        for (at, there) in [(1, true), (2, false), (3, false), (4, true)] {
            let value = there.then(|| (series("up", []), Value::from(1.0)));
            expectation.ticks.insert(at, value.into_iter().collect());
        }
        let at = |at, value| Sample { at, value };
        let one = Value::from(1.0);
        assert_eq!(expectation.values()[&series("up", [])], [at(1, one), at(4, one)]);
        let all = [at(1, one), at(2, Value::STALE), at(4, one)];
        assert_eq!(expectation.samples()[&series("up", [])], all);
    }

    #[test]
    fn of_replicas_the_owner_stays_it_until_it_has_nothing() {
        let of = |values: [Option<f64>; 4]| {
            let tick = |value: Option<f64>| value.map(|value| (series("up", []), Value::from(value)));
            let ticks = values.into_iter().map(|value| tick(value).into_iter().collect());
            Expectation { ticks: (1..).zip(ticks).collect() }
        };
        let first = of([None, Some(1.0), Some(1.0), Some(1.0)]);
        let second = of([Some(2.0), Some(2.0), None, Some(2.0)]);
        let values = Expectation::of_replicas(&[first, second]).values();
        let values: Vec<Value> = values[&series("up", [])].iter().map(|sample| sample.value).collect();
        assert_eq!(values, [2.0, 2.0, 1.0, 1.0].map(Value::from));
    }

    #[test]
    #[should_panic(expected = "every tick")]
    fn a_gap_is_noticed() {
        assert_every_tick(&BTreeSet::from([2000, 6000]), 2000, 2);
    }
}
