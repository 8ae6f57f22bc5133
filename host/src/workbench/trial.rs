//! Trial: shows a filter one scrape after the other, as a pipeline would.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::Error;
use crate::filter::{Chain, Module, Runtime, SampleFilter, SampleRows, Step, Tenant, Usage};
use crate::model::Labels;
use crate::model::Timestamp;
use crate::model::exposition::Sample;

/// Rows of one call, by the contract.
const ROWS_MAX: usize = 8_192;

/// One filter at work for one tenant.
#[derive(Debug)]
pub struct Trial {
    filter: Filter,
    /// When the last scrape was.
    last: Option<Timestamp>,
    interval: Duration,
}

#[derive(Debug)]
enum Filter {
    Labels(Box<Labelling>),
    Samples(Box<Sampling>),
}

/// A filter that sees labels, and what it said of each series.
#[derive(Debug)]
struct Labelling {
    chain: Chain,
    verdicts: HashMap<Labels, Option<Labels>>,
    generation: u64,
}

/// A filter that sees samples as well, and what it said of each series.
#[derive(Debug)]
struct Sampling {
    filter: SampleFilter,
    verdicts: HashMap<Labels, Option<(u32, Labels)>>,
    generation: u64,
}

/// What became of one sample.
#[derive(Debug, Clone, PartialEq)]
pub enum Fate {
    /// It goes no further.
    Dropped,
    /// It goes on, as this.
    Kept(Labels, f64),
}

/// What a filter made of one scrape.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tried {
    /// For each sample, in the order of the scrape.
    pub fates: Vec<Fate>,
    /// Samples of series that the filter emits, with their times.
    pub emitted: Vec<(Labels, f64, Timestamp)>,
}

impl Trial {
    /// Configures the filter. Scrapes are `interval` apart.
    ///
    /// # Errors
    /// The filter refuses its configuration, or fails.
    pub fn new(
        runtime: &Runtime,
        module: &Module,
        config: serde_json::Value,
        tenant: Tenant,
        interval: Duration,
    ) -> Result<Trial, Error> {
        let step = Step { name: module.manifest().name.clone(), module: module.clone(), config };
        let filter = if module.manifest().samples.is_some() {
            let filter = runtime.sample_filter(tenant, step)?;
            Filter::Samples(Box::new(Sampling {
                generation: filter.generation(),
                filter,
                verdicts: HashMap::new(),
            }))
        } else {
            let chain = runtime.chain(tenant, vec![step])?;
            Filter::Labels(Box::new(Labelling {
                generation: chain.generation(),
                chain,
                verdicts: HashMap::new(),
            }))
        };
        Ok(Trial { filter, last: None, interval })
    }

    /// Shows the filter a scrape that was made `at`.
    ///
    /// # Errors
    /// The filter fails; a series stands twice.
    pub fn scrape(&mut self, at: Timestamp, samples: &[Sample]) -> Result<Tried, Error> {
        let mut seen = HashSet::new();
        if let Some(twice) = samples.iter().find(|sample| !seen.insert(&sample.labels)) {
            return Err(Error::Twice { series: twice.labels.to_string() });
        }
        let since = self.last.replace(at).unwrap_or_else(|| at.minus(self.interval));
        match &mut self.filter {
            Filter::Labels(filter) => filter.scrape(samples, &seen),
            Filter::Samples(filter) => filter.scrape(since, at, samples, &seen),
        }
    }

    /// What the filter has done so far.
    pub fn usage(&self) -> &Usage {
        match &self.filter {
            Filter::Labels(filter) => filter.chain.usage().next().expect("the chain has one step"),
            Filter::Samples(filter) => filter.filter.usage(),
        }
    }
}

impl Labelling {
    fn scrape(&mut self, samples: &[Sample], seen: &HashSet<&Labels>) -> Result<Tried, Error> {
        self.chain.forget(&take_ended(&mut self.verdicts, seen).iter().collect::<Vec<_>>());
        if std::mem::replace(&mut self.generation, self.chain.generation()) != self.generation {
            self.verdicts.clear();
        }
        let new = unknown(samples, &self.verdicts);
        let verdicts = self.chain.classify(&new)?;
        self.verdicts.extend(new.into_iter().cloned().zip(verdicts));
        let fate = |sample: &Sample| match &self.verdicts[&sample.labels] {
            Some(labels) => Fate::Kept(labels.clone(), sample.value),
            None => Fate::Dropped,
        };
        Ok(Tried { fates: samples.iter().map(fate).collect(), emitted: Vec::new() })
    }
}

impl Sampling {
    fn scrape(
        &mut self,
        since: Timestamp,
        at: Timestamp,
        samples: &[Sample],
        seen: &HashSet<&Labels>,
    ) -> Result<Tried, Error> {
        self.filter.forget(&take_ended(&mut self.verdicts, seen).iter().collect::<Vec<_>>());
        if std::mem::replace(&mut self.generation, self.filter.generation()) != self.generation {
            self.verdicts.clear();
        }
        let new = unknown(samples, &self.verdicts);
        let verdicts = self.filter.classify(&new)?;
        self.verdicts.extend(new.into_iter().cloned().zip(verdicts));
        let mut tried = Tried { fates: vec![Fate::Dropped; samples.len()], emitted: Vec::new() };
        let kept: Vec<(usize, u32, &Labels)> = samples
            .iter()
            .enumerate()
            .filter_map(|(row, sample)| {
                let (number, labels) = self.verdicts[&sample.labels].as_ref()?;
                Some((row, *number, labels))
            })
            .collect();
        let mut batches = kept.chunks(ROWS_MAX).peekable();
        loop {
            let batch = batches.next().unwrap_or_default();
            let last = batches.peek().is_none();
            let columns = Columns::of(batch, samples, at);
            let edits = self.filter.process(since, at, last, columns.rows())?;
            for (index, (row, _, labels)) in batch.iter().enumerate() {
                if edits.keep[index / 64] >> (index % 64) & 1 == 1 {
                    tried.fates[*row] = Fate::Kept((*labels).clone(), samples[*row].value);
                }
            }
            for (index, bits) in &edits.changed {
                if let Fate::Kept(_, value) = &mut tried.fates[batch[*index as usize].0] {
                    *value = f64::from_bits(*bits);
                }
            }
            let series = self.filter.emitted();
            tried.emitted.extend(edits.emitted.iter().map(|emission| {
                let labels = series[emission.series as usize].clone();
                (labels, f64::from_bits(emission.bits), Timestamp(emission.timestamp))
            }));
            if last {
                return Ok(tried);
            }
        }
    }
}

/// The columns of one batch.
struct Columns {
    series: Vec<u32>,
    timestamps: Vec<i64>,
    values: Vec<u64>,
}

impl Columns {
    fn of(batch: &[(usize, u32, &Labels)], samples: &[Sample], at: Timestamp) -> Columns {
        Columns {
            series: batch.iter().map(|(_, number, _)| *number).collect(),
            timestamps: batch.iter().map(|(row, ..)| samples[*row].at.unwrap_or(at).as_millis()).collect(),
            values: batch.iter().map(|(row, ..)| samples[*row].value.to_bits()).collect(),
        }
    }

    fn rows(&self) -> SampleRows<'_> {
        let Columns { series, timestamps, values } = self;
        SampleRows { series, timestamps, values, opaque: &[] }
    }
}

/// Takes out the series that are not in this scrape.
fn take_ended<V>(verdicts: &mut HashMap<Labels, V>, seen: &HashSet<&Labels>) -> Vec<Labels> {
    verdicts.extract_if(|labels, _| !seen.contains(labels)).map(|(labels, _)| labels).collect()
}

fn unknown<'a, V>(samples: &'a [Sample], verdicts: &HashMap<Labels, V>) -> Vec<&'a Labels> {
    samples.iter().map(|sample| &sample.labels).filter(|labels| !verdicts.contains_key(labels)).collect()
}
