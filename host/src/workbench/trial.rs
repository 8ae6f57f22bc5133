//! Trial: shows filters one scrape after the other, as a pipeline would.
//!
//! In: scrapes. Out: what became of each sample. Never: the samples of a scrape in which a series stands twice; of a whole tenant's
//! chain, a series that would not be delivered.

use std::collections::HashSet;
use std::time::Duration;

use super::station::{Row, Station, distinct};
use super::{Configuration, Error};
use crate::filter::{Module, Moments, Runtime, Sequence, Step, Tenant, Timing, Usage, Window};
use crate::model::exposition::Sample;
use crate::model::{Labels, Stamped, Stamps, Timestamp};

/// Filters at work for one tenant.
#[derive(Debug)]
pub struct Trial {
    stations: Vec<Station>,
    /// What must be on all that leaves, if the filters are all that a tenant has.
    stamps: Option<Stamps>,
    /// When the last scrape was.
    last: Option<Timestamp>,
    /// How many there were.
    scrapes: usize,
    interval: Duration,
}

/// What became of one sample.
#[derive(Debug, Clone, PartialEq)]
pub enum Fate {
    /// It goes no further: by the step of this name.
    Dropped(String),
    /// Its series has become the same as another one, which goes on.
    Merged,
    /// It goes on, as this.
    Kept(Labels, f64),
}

/// What filters made of one scrape.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tried {
    /// For each sample, in the order of the scrape.
    pub fates: Vec<Fate>,
    /// Samples of series that a filter emits, with their times.
    pub emitted: Vec<(Labels, f64, Timestamp)>,
}

impl Trial {
    /// Configures one filter. Scrapes are `interval` apart.
    ///
    /// # Errors
    /// The filter refuses its configuration, or fails.
    pub fn new(
        runtime: &Runtime,
        module: &Module,
        config: &Configuration,
        tenant: Tenant,
        interval: Duration,
    ) -> Result<Trial, Error> {
        let step = Step::new(super::name(module), module.clone(), config.value().clone());
        let station = if module.is_stateful() {
            runtime.stateful(tenant, step).map(Station::kept)
        } else {
            runtime.chain(tenant, vec![step]).map(Station::judging)
        };
        let station = station.map_err(|error| config.explain(error))?;
        Ok(Trial { stations: vec![station], stamps: None, last: None, scrapes: 0, interval })
    }

    /// All filters of a tenant. Its sources are asked for samples of one moment, every `interval`.
    pub fn of_tenant(filters: Sequence, stamps: Stamps, interval: Duration) -> Trial {
        let Sequence { first, then } = filters;
        let then = then.into_iter();
        let then = then.flat_map(|(filter, behind)| [Station::kept(filter), Station::judging(behind)]);
        let stations = std::iter::once(Station::judging(first)).chain(then).collect();
        Trial { stations, stamps: Some(stamps), last: None, scrapes: 0, interval }
    }

    /// Shows the filters a scrape that was made `at`.
    ///
    /// # Errors
    /// A filter fails; a series stands twice; one leaves without what must be on it.
    pub fn scrape(&mut self, at: Timestamp, samples: &[Sample]) -> Result<Tried, Error> {
        let mut seen = HashSet::new();
        if let Some(twice) = samples.iter().find(|sample| !seen.insert(&sample.labels)) {
            return Err(Error::Twice { series: twice.labels.to_string() });
        }
        self.scrapes += 1;
        let since = self.last.replace(at).unwrap_or_else(|| at.minus(self.interval));
        let moments = if self.stamps.is_some() { Moments::Tick } else { Moments::Any };
        let (timing, window) = (Timing { now: at, tick: at }, Window { since, at, moments });
        let mut fates = vec![Fate::Merged; samples.len()];
        let mut rows = rows(window, samples);
        for station in &mut self.stations {
            let passed = station.pass(timing, window, rows, &mut fates);
            rows = passed.map_err(|failed| failed.in_scrape(self.scrapes))?;
        }
        if let Some(stamps) = &self.stamps {
            rows = distinct(rows, &mut fates);
            for row in &rows {
                Stamped::vouch(row.labels.clone(), stamps)?;
            }
        }
        let mut emitted = Vec::new();
        for Row { origin, labels, value, at } in rows {
            match origin {
                Some(origin) => fates[origin] = Fate::Kept(labels, value),
                None => emitted.push((labels, value, at)),
            }
        }
        Ok(Tried { fates, emitted })
    }

    /// What each step has done so far, in order.
    pub fn usage(&self) -> impl Iterator<Item = &Usage> {
        self.stations.iter().flat_map(Station::usage)
    }
}

/// The samples of a scrape on their way.
fn rows(window: Window, samples: &[Sample]) -> Vec<Row> {
    let at = |sample: &Sample| match window.moments {
        Moments::Any => sample.at.unwrap_or(window.at),
        Moments::Tick => window.at,
    };
    let row = |(origin, sample): (usize, &Sample)| Row {
        origin: Some(origin),
        labels: sample.labels.clone(),
        value: sample.value,
        at: at(sample),
    };
    samples.iter().enumerate().map(row).collect()
}
