//! Aggregate: sums, averages, extremes and counts of series that differ in some labels only.
//!
//! In: rules. Out: for each rule and group one series, in place of its inputs or beside them. Never: a sum of counters that falls
//! because one of them began anew or went away; a result of which a tick has no input, and that stands on.

mod config;
mod tally;

use sluice_filter::{
    Columns, LabelFilter, Row, Rows, SampleFilter, Series, SeriesId, State, Tenant, Tick, Verdict,
};
use sluice_filters_common::{Growth, Output, Outputs, Slots, is_stale};

pub use config::Config;
use config::Rule;
use tally::Tally;

/// The filter.
#[derive(Debug)]
pub struct Aggregate {
    rules: Vec<Rule>,
    inputs: Slots<Input>,
    results: Outputs<Tally>,
}

/// A series that goes into results.
#[derive(Debug)]
struct Input {
    values_into: Box<[Output]>,
    growth_into: Box<[Output]>,
    growth: Growth,
    kept: bool,
}

impl LabelFilter for Aggregate {
    type Config = Config;

    const CONFIG_SCHEMA: &'static str = include_str!("config.schema.json");

    const STATE: State = State::Sample;

    fn new(config: Config, _tenant: &Tenant) -> Result<Self, String> {
        Ok(Aggregate { rules: config.rules()?, inputs: Slots::default(), results: Outputs::default() })
    }

    fn classify(&mut self, series: &mut Series<'_>) -> Verdict {
        let (mut values_into, mut growth_into, mut kept) = (Vec::new(), Vec::new(), true);
        for (i, rule) in self.rules.iter().enumerate().filter(|(_, rule)| rule.selector.matches(series)) {
            let result = self.results.of(i, rule.result(series), || Tally::new(rule.operation));
            let counter = rule.is_counter(series.metric());
            if counter { &mut growth_into } else { &mut values_into }.push(result);
            kept &= rule.keep_inputs;
        }
        if values_into.len() + growth_into.len() > 0 {
            let (values_into, growth_into) = (values_into.into(), growth_into.into());
            self.inputs
                .insert(series.id(), Input { values_into, growth_into, growth: Growth::default(), kept });
        }
        Verdict::Keep
    }

    fn forget(&mut self, ended: &[SeriesId]) {
        for series in ended {
            self.inputs.remove(*series);
        }
    }
}

impl SampleFilter for Aggregate {
    const COLUMNS: Columns = Columns { timestamps: false, values: true };

    fn process(&mut self, tick: Tick, rows: &mut Rows<'_>) {
        for row in 0..rows.len() {
            let Row { series, value, .. } = rows.get(row);
            let Some(input) = self.inputs.get_mut(series) else { continue };
            // What no float expresses cannot be added up; it goes its own way.
            let Some(value) = value else { continue };
            if !is_stale(value) {
                let newest = row + 1 == rows.len() || rows.get(row + 1).series != series;
                input.add(value, newest, &mut self.results);
            }
            if !input.kept {
                rows.drop(row);
            }
        }
        if tick.last {
            self.results.emit(tick, rows, Tally::take);
        }
    }
}

impl Input {
    /// One of the tick's values: counters grow by every one, of others the newest counts.
    fn add(&mut self, value: f64, newest: bool, results: &mut Outputs<Tally>) {
        if !self.growth_into.is_empty() {
            let growth = self.growth.to(value);
            self.growth_into.iter().for_each(|result| results.state(*result).grow(growth));
        }
        if newest {
            self.values_into.iter().for_each(|result| results.state(*result).add(value));
        }
    }
}

sluice_filter::export!(Aggregate, sample);

#[cfg(test)]
mod tests;
