//! Downsample: of some series, a sample every so many ticks.
//!
//! In: rules. Out: the samples of those ticks. Never: an end of a series that is left out; other ticks after a restart, or on
//! another replica.

mod config;

use sluice_filter::{Columns, LabelFilter, Row, Rows, SampleFilter, Series, SeriesId, Tenant, Tick, Verdict};
use sluice_filters_common::{Slots, is_stale};

pub use config::Config;
use config::Rule;

/// The filter.
#[derive(Debug)]
pub struct Downsample {
    rules: Vec<Rule>,
    /// Which rule is for a series.
    by_series: Slots<usize>,
    /// Whether each rule keeps the tick at work.
    keeps: Vec<bool>,
}

impl LabelFilter for Downsample {
    type Config = Config;

    const CONFIG_SCHEMA: &'static str = include_str!("config.schema.json");

    fn new(config: Config, _tenant: &Tenant) -> Result<Self, String> {
        Ok(Downsample { rules: config.rules()?, by_series: Slots::default(), keeps: Vec::new() })
    }

    fn classify(&mut self, series: &mut Series<'_>) -> Verdict {
        if let Some(rule) = self.rules.iter().position(|rule| rule.selector.matches(series)) {
            self.by_series.insert(series.id(), rule);
        }
        Verdict::Keep
    }

    fn forget(&mut self, ended: &[SeriesId]) {
        for series in ended {
            self.by_series.remove(*series);
        }
    }
}

impl SampleFilter for Downsample {
    const COLUMNS: Columns = Columns { timestamps: false, values: true };

    fn process(&mut self, tick: Tick, rows: &mut Rows<'_>) {
        self.keeps.clear();
        self.keeps.extend(self.rules.iter().map(|rule| rule.keeps(tick)));
        for row in 0..rows.len() {
            let Row { series, value, .. } = rows.get(row);
            let Some(rule) = self.by_series.get(series) else { continue };
            // Of a tick with several samples of a series, the newest stands for all.
            let newest = row + 1 == rows.len() || rows.get(row + 1).series != series;
            let stays = (self.keeps[*rule] && newest) || value.is_some_and(is_stale);
            if !stays {
                rows.drop(row);
            }
        }
    }
}

sluice_filter::export!(Downsample, sample);

#[cfg(test)]
mod tests;
