//! Totals: a filter of samples. It drops negative samples, doubles some series, and emits the sums by one label, each as long as there
//! is something to sum. It breaks on the value 666.

use std::collections::BTreeMap;

use serde::Deserialize;
use sluice_filter::{
    Emitted, LabelFilter, Rows, SampleFilter, Series, SeriesId, State, Tenant, Tick, Verdict,
};

/// By what to sum.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    by: String,
}

/// The filter.
#[derive(Debug)]
pub struct Totals {
    by: String,
    /// What is done with a series' samples, by its number.
    plans: BTreeMap<SeriesId, Plan>,
    totals: BTreeMap<String, Total>,
}

#[derive(Debug)]
struct Plan {
    group: String,
    factor: f64,
}

#[derive(Debug, Default)]
struct Total {
    series: Option<Emitted>,
    samples: usize,
    sum: f64,
}

/// A stale marker.
const ENDED: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

impl LabelFilter for Totals {
    type Config = Config;

    const STATE: State = State::Sample;

    fn new(config: Config, _tenant: &Tenant) -> Result<Self, String> {
        Ok(Totals { by: config.by, plans: BTreeMap::new(), totals: BTreeMap::new() })
    }

    fn classify(&mut self, series: &mut Series<'_>) -> Verdict {
        let Some(group) = series.get(&self.by).map(str::to_owned) else { return Verdict::Drop };
        let factor = if series.get("twice").is_some() { 2.0 } else { 1.0 };
        series.remove("twice");
        self.plans.insert(series.id(), Plan { group, factor });
        Verdict::Keep
    }

    fn forget(&mut self, ended: &[SeriesId]) {
        for series in ended {
            self.plans.remove(series);
        }
    }
}

impl SampleFilter for Totals {
    fn process(&mut self, tick: Tick, rows: &mut Rows<'_>) {
        for row in 0..rows.len() {
            let sample = rows.get(row);
            let (Some(value), Some(plan)) = (sample.value, self.plans.get(&sample.series)) else { continue };
            if value < 0.0 {
                rows.drop(row);
                continue;
            }
            if plan.factor != 1.0 {
                rows.set(row, value * plan.factor);
            }
            assert!(value != 666.0, "the number of the beast");
            let total = self.totals.entry(plan.group.clone()).or_default();
            total.sum += value * plan.factor;
            total.samples += 1;
        }
        if tick.last {
            self.emit(tick, rows);
        }
    }
}

impl Totals {
    fn emit(&mut self, tick: Tick, rows: &mut Rows<'_>) {
        for (group, total) in &mut self.totals {
            let labels = [("__name__", "total"), (&self.by, group)];
            let series = *total.series.get_or_insert_with(|| rows.announce(labels));
            let sum = std::mem::take(&mut total.sum);
            let samples = std::mem::take(&mut total.samples);
            rows.emit(series, tick.at, if samples == 0 { ENDED } else { sum });
        }
    }
}

sluice_filter::export!(Totals, sample);
