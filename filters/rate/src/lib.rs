//! Rate: what a counter grows by a second, in the counter's place.
//!
//! In: rules. Out: from a series' second tick on, one sample a tick. Never: a negative rate, or a leap, because a counter began anew.

mod config;

use sluice_filter::{LabelFilter, Row, Rows, SampleFilter, Series, SeriesId, State, Tenant, Tick, Verdict};
use sluice_filters_common::{Growth, METRIC_NAME, Slots, is_stale};

pub use config::Config;
use config::Rule;

/// The filter.
#[derive(Debug)]
pub struct Rate {
    rules: Vec<Rule>,
    counters: Slots<Counter>,
}

/// A counter between two ticks.
#[derive(Debug, Default)]
struct Counter {
    growth: Growth,
    /// Since when it has grown by `grown`, in milliseconds; none before its first value.
    since: Option<i64>,
    newest: i64,
    grown: f64,
}

impl LabelFilter for Rate {
    type Config = Config;

    const CONFIG_SCHEMA: &'static str = include_str!("config.schema.json");

    const STATE: State = State::Sample;

    fn new(config: Config, _tenant: &Tenant) -> Result<Self, String> {
        Ok(Rate { rules: config.rules()?, counters: Slots::default() })
    }

    fn classify(&mut self, series: &mut Series<'_>) -> Verdict {
        if let Some(rule) = self.rules.iter().find(|rule| rule.selector.matches(series)) {
            let name = rule.name(series.metric());
            series.set(METRIC_NAME, &name);
            self.counters.insert(series.id(), Counter::default());
        }
        Verdict::Keep
    }

    fn forget(&mut self, ended: &[SeriesId]) {
        for series in ended {
            self.counters.remove(*series);
        }
    }
}

impl SampleFilter for Rate {
    fn process(&mut self, _tick: Tick, rows: &mut Rows<'_>) {
        for row in 0..rows.len() {
            let Row { series, timestamp, value } = rows.get(row);
            let Some(counter) = self.counters.get_mut(series) else { continue };
            let rate = match value {
                // The rate ends with its counter.
                Some(value) if is_stale(value) => {
                    *counter = Counter::default();
                    continue;
                }
                Some(value) => {
                    counter.add(timestamp, value);
                    let newest = row + 1 == rows.len() || rows.get(row + 1).series != series;
                    if newest { counter.rate() } else { None }
                }
                // What no float expresses has no rate.
                None => None,
            };
            match rate {
                Some(rate) => rows.set(row, rate),
                None => rows.drop(row),
            }
        }
    }
}

impl Counter {
    fn add(&mut self, at: i64, value: f64) {
        // What was stored late says nothing that is not known by now.
        if self.since.is_none() || at > self.newest {
            self.since.get_or_insert(at);
            self.newest = at;
            self.grown += self.growth.to(value);
        }
    }

    /// The growth of a second since the rate before, if time has passed.
    fn rate(&mut self) -> Option<f64> {
        let millis = self.newest - self.since?;
        (millis > 0).then(|| {
            self.since = Some(self.newest);
            std::mem::take(&mut self.grown) * 1_000.0 / millis as f64
        })
    }
}

sluice_filter::export!(Rate, sample);

#[cfg(test)]
mod tests;
