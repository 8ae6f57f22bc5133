//! Top-k: of each group of series, the k with the largest (or smallest) values.
//!
//! In: rules. Out: the samples of the series that rank among the first k. Never: a series that falls out and goes on showing its last
//! value, or that comes and goes with every tick for a difference that does not matter.
//!
//! A tick that comes in one batch (8,192 samples) is ranked by its own values. A longer one cannot be, since each batch is answered
//! before the next one comes: it is judged by the ranks of the tick before.

mod config;
mod ranking;

use sluice_filter::{
    Columns, LabelFilter, Row, Rows, SampleFilter, Series, SeriesId, State, Tenant, Tick, Verdict,
};
use sluice_filters_common::{is_stale, stale};

pub use config::Config;
use config::Rule;
use ranking::Ranking;

/// The filter.
#[derive(Debug)]
pub struct TopK {
    rules: Vec<Rule>,
    ranking: Ranking,
    /// Whether a batch of the tick at work has come.
    has_begun: bool,
}

impl LabelFilter for TopK {
    type Config = Config;

    const CONFIG_SCHEMA: &'static str = include_str!("config.schema.json");

    const STATE: State = State::Sample;

    fn new(config: Config, _tenant: &Tenant) -> Result<Self, String> {
        Ok(TopK { rules: config.rules()?, ranking: Ranking::default(), has_begun: false })
    }

    fn classify(&mut self, series: &mut Series<'_>) -> Verdict {
        let rule = self.rules.iter().position(|rule| rule.selector.matches(series));
        if let Some(rule) = rule {
            // The metric's name takes part: values of different metrics do not compare.
            let group = self.rules[rule].grouping.of(series, series.metric());
            self.ranking.join(series.id(), rule, group);
        }
        Verdict::Keep
    }

    fn forget(&mut self, ended: &[SeriesId]) {
        ended.iter().for_each(|series| self.ranking.leave(*series));
    }
}

impl SampleFilter for TopK {
    const COLUMNS: Columns = Columns { timestamps: false, values: true };

    fn process(&mut self, tick: Tick, rows: &mut Rows<'_>) {
        for Row { series, value, .. } in rows.iter() {
            self.ranking.note(series, value.filter(|value| !is_stale(*value)));
        }
        let is_all = tick.last && !self.has_begun;
        if is_all {
            self.ranking.rank(&self.rules);
        }
        self.judge(rows);
        if tick.last && !is_all {
            self.ranking.rank(&self.rules);
        }
        self.has_begun = !tick.last;
    }
}

impl TopK {
    fn judge(&mut self, rows: &mut Rows<'_>) {
        for row in 0..rows.len() {
            let Row { series, value, .. } = rows.get(row);
            let Some(ranked) = self.ranking.series.get_mut(series) else { continue };
            // What no float expresses has no rank; it goes its own way.
            let Some(value) = value else { continue };
            let ends = is_stale(value);
            if ranked.is_in && !ends {
                ranked.present = true;
            } else if std::mem::replace(&mut ranked.present, false) {
                // Receivers look back for minutes: what fell out would stand beside what took its place.
                rows.set(row, stale());
            } else {
                rows.drop(row);
            }
        }
    }
}

sluice_filter::export!(TopK, sample);

#[cfg(test)]
mod tests;
