//! Cardinality-limit: of a label, so many values for each metric; the rest becomes one series, or a few, or none.
//!
//! In: limits. Out: the series of the values that came first, and the sums of the others. Never: two series that are made equal and
//! lose one another's samples; a sum of counters that falls because one of them went away.

mod config;
mod places;

use sluice_filter::{
    Columns, LabelFilter, Row, Rows, SampleFilter, Series, SeriesId, State, Tenant, Tick, Verdict,
};
use sluice_filters_common::{Group, Growth, Output, Outputs, Slots, is_counter, is_stale};

pub use config::Config;
use config::Limit;
use places::{Place, Places};

/// The filter.
#[derive(Debug)]
pub struct CardinalityLimit {
    limits: Vec<Limit>,
    places: Places,
    series: Slots<Known>,
    sums: Outputs<Sum>,
}

/// A series that a limit is for.
#[derive(Debug)]
struct Known {
    places: Vec<Place>,
    folded: Option<Folded>,
}

/// A series that goes into a sum.
#[derive(Debug)]
struct Folded {
    into: Output,
    /// As a counter, if it is one.
    growth: Option<Growth>,
}

/// The sum of the series that found no place.
#[derive(Debug, Default)]
struct Sum {
    /// What counters have grown by. It never falls.
    grown: f64,
    /// What came in this tick, if anything.
    tick: Option<f64>,
}

/// What the limits say of a series.
enum Outcome {
    /// It has these places, and these labels if that is not all.
    Stays(Vec<Place>, Option<Group>),
    Dropped,
}

impl LabelFilter for CardinalityLimit {
    type Config = Config;

    const CONFIG_SCHEMA: &'static str = include_str!("config.schema.json");

    const STATE: State = State::Sample;

    fn new(config: Config, _tenant: &Tenant) -> Result<Self, String> {
        let limits = config.limits()?;
        Ok(CardinalityLimit {
            limits,
            places: Places::default(),
            series: Slots::default(),
            sums: Outputs::default(),
        })
    }

    fn classify(&mut self, series: &mut Series<'_>) -> Verdict {
        let Outcome::Stays(places, labels) = self.outcome(series) else { return Verdict::Drop };
        places.iter().for_each(|place| self.places.take(place));
        let folded = labels.map(|labels| Folded {
            into: self.sums.of(0, labels, Sum::default),
            growth: is_counter(series.metric()).then(Growth::default),
        });
        if !places.is_empty() || folded.is_some() {
            self.series.insert(series.id(), Known { places, folded });
        }
        Verdict::Keep
    }

    fn forget(&mut self, ended: &[SeriesId]) {
        for Known { places, .. } in ended.iter().filter_map(|series| self.series.remove(*series)) {
            places.iter().for_each(|place| self.places.free(place));
        }
    }
}

impl CardinalityLimit {
    fn outcome(&mut self, series: &Series<'_>) -> Outcome {
        let (mut places, mut instead) = (Vec::new(), Vec::new());
        for (i, limit) in self.limits.iter().enumerate() {
            let Some(value) = series.get(&limit.label) else { continue };
            if limit.selector.as_ref().is_some_and(|selector| !selector.matches(series)) {
                continue;
            }
            let values = self.places.of(i, series.metric());
            if let Some(place) = self.places.offer(values, value, limit.max) {
                places.push(place);
            } else {
                match limit.rest.stands_for(value) {
                    Some(value) => instead.push((&limit.label, value)),
                    None => return Outcome::Dropped,
                }
            }
        }
        let replaced = |(name, value)| {
            let other = instead.iter().find(|(label, _)| *label == name);
            (name, other.map_or(value, |(_, other)| other.as_str()))
        };
        let labels = (!instead.is_empty()).then(|| series.iter().map(replaced).collect());
        Outcome::Stays(places, labels)
    }
}

impl SampleFilter for CardinalityLimit {
    const COLUMNS: Columns = Columns { timestamps: false, values: true };

    fn process(&mut self, tick: Tick, rows: &mut Rows<'_>) {
        for row in 0..rows.len() {
            let Row { series, value, .. } = rows.get(row);
            let Some(Known { folded: Some(folded), .. }) = self.series.get_mut(series) else { continue };
            let newest = row + 1 == rows.len() || rows.get(row + 1).series != series;
            if let Some(value) = value.filter(|value| !is_stale(*value)) {
                self.sums.state(folded.into).add(value, folded.growth.as_mut(), newest);
            }
            rows.drop(row);
        }
        if tick.last {
            self.sums.emit(tick, rows, |sum| sum.tick.take().map(|values| values + sum.grown));
        }
    }
}

impl Sum {
    /// One of the tick's values: counters grow by every one, of others the newest counts.
    fn add(&mut self, value: f64, growth: Option<&mut Growth>, newest: bool) {
        let tick = self.tick.get_or_insert(0.0);
        match growth {
            Some(growth) => self.grown += growth.to(value),
            None if newest => *tick += value,
            None => {}
        }
    }
}

sluice_filter::export!(CardinalityLimit, sample);

#[cfg(test)]
mod tests;
