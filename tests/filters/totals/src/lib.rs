//! Totals: a filter of samples. It drops negative samples, doubles some series, and emits the sums by one label, each as long as there
//! is something to sum. It breaks on the value 666, and when it is to sum by `panic`; it refuses the value 667, and the group `refused`.

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

impl LabelFilter for Totals {
    type Config = Config;

    const STATE: State = State::Sample;

    fn new(config: Config, _tenant: &Tenant) -> Result<Self, String> {
        assert!(config.by != "panic", "do not");
        Ok(Totals { by: config.by, plans: BTreeMap::new(), totals: BTreeMap::new() })
    }

    fn classify(&mut self, series: &mut Series<'_>) -> Verdict {
        let Some(group) = series.get(&self.by).map(str::to_owned) else { return Verdict::Drop };
        if group == "refused" {
            return series.refuse("not this group");
        }
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
        // Last, so that the batch has announced something.
        if rows.iter().any(|row| row.value == Some(667.0)) {
            rows.refuse("the neighbour of the beast");
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
            if samples == 0 {
                rows.emit_stale(series, tick.at);
            } else {
                rows.emit(series, tick.at, sum);
            }
        }
    }
}

sluice_filter::export!(Totals, sample);
