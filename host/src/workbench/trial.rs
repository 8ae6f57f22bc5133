//! Trial: shows a filter one scrape after the other, as a pipeline would.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::Error;
use crate::filter::{
    Chain, Module, Moments, ROWS_MAX, Runtime, SampleRows, Stateful, Step, Tenant, Timing, Usage, Window,
};
use crate::model::Labels;
use crate::model::Timestamp;
use crate::model::exposition::Sample;

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
    Judging(Box<Judging>),
    Kept(Box<Kept>),
}

/// A filter without state, and what it said of each series.
#[derive(Debug)]
struct Judging {
    chain: Chain,
    verdicts: HashMap<Labels, Option<Labels>>,
}

/// A filter that remembers or sees samples, and for each series its number and what the filter said of it.
#[derive(Debug)]
struct Kept {
    filter: Stateful,
    verdicts: HashMap<Labels, (u32, Option<Labels>)>,
    free: Vec<u32>,
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
        let step = Step::new(&module.manifest().name, module.clone(), config);
        let filter = if module.is_stateful() {
            let filter = runtime.stateful(tenant, step)?;
            let (verdicts, free, generation) = (HashMap::new(), Vec::new(), filter.generation());
            Filter::Kept(Box::new(Kept { filter, verdicts, free, generation }))
        } else {
            let chain = runtime.chain(tenant, vec![step])?;
            Filter::Judging(Box::new(Judging { chain, verdicts: HashMap::new() }))
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
        let timing = Timing { now: at, tick: at };
        match &mut self.filter {
            Filter::Judging(filter) => {
                filter.chain.begin(timing);
                filter.scrape(samples, &seen)
            }
            Filter::Kept(filter) => {
                filter.filter.begin(timing);
                filter.scrape(Window { since, at, moments: Moments::Any }, samples, &seen)
            }
        }
    }

    /// What the filter has done so far.
    pub fn usage(&self) -> &Usage {
        match &self.filter {
            Filter::Judging(filter) => filter.chain.usage().next().expect("the chain has one step"),
            Filter::Kept(filter) => filter.filter.usage(),
        }
    }
}

impl Judging {
    fn scrape(&mut self, samples: &[Sample], seen: &HashSet<&Labels>) -> Result<Tried, Error> {
        self.verdicts.retain(|labels, _| seen.contains(labels));
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

impl Kept {
    fn scrape(
        &mut self,
        window: Window,
        samples: &[Sample],
        seen: &HashSet<&Labels>,
    ) -> Result<Tried, Error> {
        self.forget(seen);
        self.judge(samples)?;
        let mut tried = Tried { fates: vec![Fate::Dropped; samples.len()], emitted: Vec::new() };
        let kept: Vec<(usize, u32, &Labels)> = samples
            .iter()
            .enumerate()
            .filter_map(|(row, sample)| {
                let (number, labels) = &self.verdicts[&sample.labels];
                Some((row, *number, labels.as_ref()?))
            })
            .collect();
        for (row, _, labels) in &kept {
            tried.fates[*row] = Fate::Kept((*labels).clone(), samples[*row].value);
        }
        if self.filter.sees_samples() {
            process(&mut self.filter, window, &kept, samples, &mut tried)?;
        }
        Ok(tried)
    }

    /// Takes leave of the series that are not in this scrape.
    fn forget(&mut self, seen: &HashSet<&Labels>) {
        let ended = self.verdicts.extract_if(|labels, _| !seen.contains(labels));
        let ended: Vec<u32> = ended.map(|(_, (number, _))| number).collect();
        self.filter.forget(&ended);
        self.free.extend(ended);
    }

    /// Asks about the series that the filter does not know.
    fn judge(&mut self, samples: &[Sample]) -> Result<(), Error> {
        if std::mem::replace(&mut self.generation, self.filter.generation()) != self.filter.generation() {
            self.verdicts.clear();
            self.free.clear();
        }
        let mut next = (self.verdicts.len() + self.free.len()) as u32;
        let mut number = || {
            self.free.pop().unwrap_or_else(|| {
                next += 1;
                next - 1
            })
        };
        let new: Vec<_> =
            unknown(samples, &self.verdicts).into_iter().map(|labels| (number(), labels)).collect();
        let verdicts = self.filter.classify(&new)?;
        let judged =
            new.into_iter().zip(verdicts).map(|((number, labels), kept)| (labels.clone(), (number, kept)));
        self.verdicts.extend(judged);
        Ok(())
    }
}

/// Shows the filter the samples of the series it kept.
fn process(
    filter: &mut Stateful,
    window: Window,
    kept: &[(usize, u32, &Labels)],
    samples: &[Sample],
    tried: &mut Tried,
) -> Result<(), Error> {
    let mut batches = kept.chunks(ROWS_MAX).peekable();
    loop {
        let batch = batches.next().unwrap_or_default();
        let last = batches.peek().is_none();
        let columns = Columns::of(batch, samples, window.at);
        let edits = filter.process(window, last, columns.rows())?;
        for (index, (row, ..)) in batch.iter().enumerate() {
            if edits.keep[index / 64] >> (index % 64) & 1 == 0 {
                tried.fates[*row] = Fate::Dropped;
            }
        }
        for (index, bits) in &edits.changed {
            if let Fate::Kept(_, value) = &mut tried.fates[batch[*index as usize].0] {
                *value = f64::from_bits(*bits);
            }
        }
        let series = filter.emitted();
        tried.emitted.extend(edits.emitted.iter().map(|emission| {
            let labels = series[emission.series as usize].clone();
            (labels, f64::from_bits(emission.bits), Timestamp(emission.timestamp))
        }));
        if last {
            return Ok(());
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

fn unknown<'a, V>(samples: &'a [Sample], verdicts: &HashMap<Labels, V>) -> Vec<&'a Labels> {
    samples.iter().map(|sample| &sample.labels).filter(|labels| !verdicts.contains_key(labels)).collect()
}
