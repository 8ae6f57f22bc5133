//! Chain: one tenant's filters in order, and what they share.
//!
//! In: labels of series nobody has judged. Out: for each, the labels it leaves with, or nothing. Never: a partial answer. If a
//! step fails, the call fails, and the caller delivers nothing (fail closed).

use std::collections::HashMap;
use std::sync::Arc;

use super::batch::{Batch, batch_rows};
use super::instance::{Instance, Tenant};
use super::module::Module;
use super::runtime::Shared;
use super::symbols::Symbols;
use super::usage::Usage;
use super::{Error, Nonsense, check, wire};
use crate::model::Labels;

/// Strings of one kind in a chain, beyond which it starts over; far below the numbers that are a guest's own.
const SYMBOLS_MAX: usize = 1 << 24;

/// One filter of a chain.
#[derive(Debug, Clone)]
pub struct Step {
    /// What the step is called in errors, logs and metrics.
    pub name: String,
    /// The filter.
    pub module: Module,
    /// Its configuration.
    pub config: serde_json::Value,
}

/// One tenant's filters in order.
///
/// Instances of filters without state live from the first call that needs them until [`Chain::rest`]. Those of filters with
/// state live on; when one had to be replaced, [`Chain::generation`] grows, and verdicts from before are void.
#[derive(Debug)]
pub struct Chain {
    shared: Arc<Shared>,
    tenant: Tenant,
    steps: Vec<Running>,
    symbols: Symbols,
    numbers: Option<Numbers>,
    generation: u64,
    rows: Batch,
    spare: Batch,
    /// For each series of the last call, how many steps kept it.
    passed: Vec<u8>,
}

#[derive(Debug)]
struct Running {
    module: Module,
    filter: Arc<str>,
    config: String,
    instance: Option<Instance>,
    usage: Usage,
}

impl Chain {
    pub(super) fn new(shared: &Arc<Shared>, tenant: Tenant, steps: Vec<Step>) -> Result<Chain, Error> {
        let stateful = steps.iter().any(|step| step.module.is_stateful());
        let mut steps: Vec<_> = steps.into_iter().map(Running::from).collect();
        for step in &mut steps {
            step.instance(&tenant)?;
            // Only filters that remember may keep an instance they do not use.
            step.rest();
        }
        Ok(Chain {
            shared: shared.clone(),
            tenant,
            steps,
            symbols: Symbols::default(),
            numbers: stateful.then(Numbers::default),
            generation: 0,
            rows: Batch::default(),
            spare: Batch::default(),
            passed: Vec::new(),
        })
    }

    /// Judges series. The answer has one entry for each: the labels it leaves the chain with, or `None` if a filter
    /// dropped it.
    ///
    /// # Errors
    /// The first failure of a step; what other series got is lost with it, and the call can be repeated.
    pub fn classify(&mut self, series: &[&Labels]) -> Result<Vec<Option<Labels>>, Error> {
        let mut out = Vec::with_capacity(series.len());
        self.passed.clear();
        let mut rest = series;
        while !rest.is_empty() {
            let (batch, more) = rest.split_at(batch_rows(rest, self.shared.config.batch_rows_max));
            self.judge(batch)?;
            self.rows.unload(batch, &self.symbols, &mut out);
            rest = more;
        }
        Ok(out)
    }

    /// For each series of the last [`Chain::classify`], how many steps kept it: of one that was dropped, the number of the
    /// step that dropped it, from 0.
    pub fn passed(&self) -> &[u8] {
        &self.passed
    }

    /// Tells filters with state which series have ended, by the labels they came with. Failures only show in
    /// [`Chain::usage`] and [`Chain::generation`]: there is nothing to repeat.
    pub fn forget(&mut self, ended: &[&Labels]) {
        let Some(numbers) = &mut self.numbers else { return };
        let ended: Vec<u32> = ended.iter().filter_map(|labels| numbers.remove(labels)).collect();
        for step in &mut self.steps {
            let Some(instance) = &mut step.instance else { continue };
            if step.module.is_stateful() && instance.forget(&ended, &mut step.usage).is_err() {
                step.instance = None;
                self.generation += 1;
            }
        }
    }

    /// Grows whenever a filter with state lost its memory. What it said about series before is void then: ask again
    /// about all of them.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// What each step has done so far, in order.
    pub fn usage(&self) -> impl Iterator<Item = &Usage> {
        self.steps.iter().map(|step| &step.usage)
    }

    /// Drops what costs memory while there is nothing to judge: instances of filters without state, and the strings.
    pub fn rest(&mut self) {
        self.steps.iter_mut().for_each(Running::rest);
        if self.numbers.is_none() {
            self.symbols = Symbols::default();
            (self.rows, self.spare) = Default::default();
            self.passed = Vec::new();
        }
    }

    /// Runs one batch through all steps; `self.rows` holds what is left.
    fn judge(&mut self, batch: &[&Labels]) -> Result<(), Error> {
        self.recycle_if_full();
        self.rows.load(batch, &mut self.symbols);
        if let Some(numbers) = &mut self.numbers {
            self.rows.series.extend(batch.iter().map(|labels| numbers.of(labels)));
        }
        let first = self.passed.len();
        self.passed.resize(first + batch.len(), 0);
        for step in &mut self.steps {
            if self.rows.len() == 0 {
                break;
            }
            if let Err(error) =
                step.classify(&self.tenant, &mut self.rows, &mut self.spare, &mut self.symbols)
            {
                self.generation += u64::from(step.replace_after(&error));
                return Err(error);
            }
            for origin in &self.rows.origins {
                let passed = &mut self.passed[first + origin.index as usize];
                *passed = passed.saturating_add(1);
            }
        }
        Ok(())
    }

    /// Starts over with new instances and no strings when there are too many of these.
    fn recycle_if_full(&mut self) {
        let Symbols { names, values, .. } = &self.symbols;
        let full = self.symbols.text_bytes() > self.shared.config.dictionary_bytes_max;
        if full || names.len().max(values.len()) > SYMBOLS_MAX {
            self.symbols = Symbols::default();
            self.steps.iter_mut().for_each(|step| step.instance = None);
            self.generation += u64::from(self.numbers.is_some());
        }
    }

    pub(super) fn symbols_mut(&mut self) -> &mut Symbols {
        &mut self.symbols
    }

    pub(super) fn number(&self, labels: &Labels) -> Option<u32> {
        self.numbers.as_ref().and_then(|numbers| numbers.given.get(labels).copied())
    }

    /// Shows a tick's samples to the last step, which sees samples.
    pub(super) fn process(&mut self, tick: wire::Tick, rows: wire::Rows<'_>) -> Result<wire::Outcome, Error> {
        let step = self.steps.last_mut().expect("a chain for samples has a step");
        let forgotten = || Error::Forgotten { filter: step.filter.to_string() };
        let answer = step.instance.as_mut().ok_or_else(forgotten)?.process(tick, rows, &mut step.usage);
        if let Err(error) = &answer {
            self.generation += u64::from(step.replace_after(error));
        }
        answer
    }

    /// The last step's answer about samples breaks the contract.
    pub(super) fn nonsense(&mut self, cause: Nonsense) -> Error {
        let step = self.steps.last_mut().expect("a chain for samples has a step");
        step.usage.nonsense += 1;
        let error = Error::Nonsense { filter: step.filter.to_string(), cause };
        self.generation += u64::from(step.replace_after(&error));
        error
    }
}

impl From<Step> for Running {
    fn from(step: Step) -> Running {
        let Step { name, module, config } = step;
        let usage = Usage { name: name.clone(), ..Usage::default() };
        Running { module, filter: name.into(), config: config.to_string(), instance: None, usage }
    }
}

impl Running {
    fn classify(
        &mut self,
        tenant: &Tenant,
        rows: &mut Batch,
        spare: &mut Batch,
        symbols: &mut Symbols,
    ) -> Result<(), Error> {
        self.instance(tenant)?;
        let Running { module, filter, instance, usage, .. } = self;
        let instance = instance.as_mut().expect("it was just made");
        let series = if module.is_stateful() { &rows.series[..] } else { &[] };
        let verdicts = instance.classify(symbols, [&rows.pairs, &rows.ends, series], usage)?;
        check::apply(&verdicts, rows, spare, symbols, usage).map_err(|cause| {
            usage.nonsense += 1;
            Error::Nonsense { filter: filter.to_string(), cause }
        })
    }

    fn instance(&mut self, tenant: &Tenant) -> Result<&mut Instance, Error> {
        if self.instance.is_none() {
            self.instance = Some(Instance::new(&self.module, tenant, &self.filter, &self.config)?);
            self.usage.instances += 1;
        }
        Ok(self.instance.as_mut().expect("it was just made"))
    }

    /// Drops the instance unless the error leaves it sound; returns whether a memory was lost with it.
    fn replace_after(&mut self, error: &Error) -> bool {
        let sound = matches!(error, Error::Refused { .. });
        let lost = !sound && self.instance.is_some() && self.module.is_stateful();
        if !sound {
            self.instance = None;
        }
        lost
    }

    fn rest(&mut self) {
        if !self.module.is_stateful() {
            self.instance = None;
        }
    }
}

/// Numbers of series, for filters with state.
#[derive(Debug, Default)]
struct Numbers {
    given: HashMap<Labels, u32, foldhash::fast::RandomState>,
    free: Vec<u32>,
}

impl Numbers {
    fn of(&mut self, labels: &Labels) -> u32 {
        if let Some(number) = self.given.get(labels) {
            return *number;
        }
        let number = self.free.pop().unwrap_or(self.given.len() as u32);
        self.given.insert(labels.clone(), number);
        number
    }

    fn remove(&mut self, labels: &Labels) -> Option<u32> {
        let number = self.given.remove(labels)?;
        self.free.push(number);
        Some(number)
    }
}
