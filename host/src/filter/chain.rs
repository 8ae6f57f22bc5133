//! Chain: one tenant's filters without state, in order, and what they share.
//!
//! In: labels of series nobody has judged. Out: for each, the labels it leaves with, or nothing. Never: a partial answer. If a
//! step fails, the call fails, and the caller delivers nothing (fail closed).

use std::sync::Arc;

use super::Error;
use super::batch::{Batch, batch_rows};
use super::instance::Tenant;
use super::runtime::Shared;
use super::step::{Running, Step, Timing};
use super::symbols::Symbols;
use super::usage::Usage;
use crate::model::Labels;

/// One tenant's filters in order, with one set of numbered strings for all of them.
///
/// Instances live from the first call that needs them until [`Chain::rest`]. A filter that remembers is no part of a
/// chain but stands between two of them; see [`super::Sequence`].
#[derive(Debug)]
pub struct Chain {
    shared: Arc<Shared>,
    tenant: Tenant,
    steps: Vec<Running>,
    symbols: Symbols,
    rows: Batch,
    spare: Batch,
    /// For each series of the last call, how many steps kept it.
    passed: Vec<u8>,
}

impl Chain {
    /// As long as it `goes_on`, which is asked before every filter that is configured; `None` once it does not.
    pub(super) fn new(
        shared: &Arc<Shared>,
        tenant: Tenant,
        steps: Vec<Step>,
        goes_on: &dyn Fn() -> bool,
    ) -> Result<Option<Chain>, Error> {
        debug_assert!(!steps.iter().any(|step| step.module.is_stateful()), "a chain keeps no instances");
        let mut running = Vec::with_capacity(steps.len());
        for step in steps {
            if !goes_on() {
                return Ok(None);
            }
            let mut step = Running::new(step, &tenant)?;
            step.rest();
            running.push(step);
        }
        Ok(Some(Chain {
            shared: shared.clone(),
            tenant,
            steps: running,
            symbols: Symbols::default(),
            rows: Batch::default(),
            spare: Batch::default(),
            passed: Vec::new(),
        }))
    }

    /// What follows is done then. Whether series went past a filter that failed, and are worth another try: the caller
    /// forgets what was said of them.
    pub fn begin(&mut self, timing: Timing) -> bool {
        self.steps.iter_mut().for_each(|step| step.begin(timing));
        let again = self.steps.iter().any(Running::wants_again);
        if again {
            self.steps.iter_mut().for_each(|step| step.is_bypassed = false);
        }
        again
    }

    /// How many filters it has.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether it has no filter: what goes in comes out.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Judges series. The answer has one entry for each: the labels it leaves the chain with, or `None` if a filter
    /// dropped it.
    ///
    /// # Errors
    /// The first failure of a step; what other series got is lost with it, and the call can be repeated.
    pub fn classify(&mut self, series: &[&Labels]) -> Result<Vec<Option<Labels>>, Error> {
        let judged = self.classify_while(series, &|| true)?;
        Ok(judged.expect("nothing stops it"))
    }

    /// As [`Chain::classify`], as long as it `goes_on`, which is asked before every call of a guest; `None` once it does not.
    pub(super) fn classify_while(
        &mut self,
        series: &[&Labels],
        goes_on: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<Option<Labels>>>, Error> {
        let mut out = Vec::with_capacity(series.len());
        self.passed.clear();
        let mut rest = series;
        while !rest.is_empty() {
            let (batch, more) = rest.split_at(batch_rows(rest, self.shared.config.batch_rows_max));
            if !self.judge(batch, goes_on)? {
                return Ok(None);
            }
            self.rows.unload(batch, &self.symbols, &mut out);
            rest = more;
        }
        Ok(Some(out))
    }

    /// For each series of the last [`Chain::classify`], how many steps kept it: of one that was dropped, the number of the
    /// step that dropped it, from 0.
    pub fn passed(&self) -> &[u8] {
        &self.passed
    }

    /// What each step has done so far, in order.
    pub fn usage(&self) -> impl Iterator<Item = &Usage> {
        self.steps.iter().map(|step| &step.usage)
    }

    /// Drops what costs memory while there is nothing to judge: instances, and the strings.
    pub fn rest(&mut self) {
        self.steps.iter_mut().for_each(Running::rest);
        self.symbols = Symbols::default();
        (self.rows, self.spare) = Default::default();
        self.passed = Vec::new();
    }

    /// Runs one batch through all steps; `self.rows` holds what is left. Whether it went on to the end.
    fn judge(&mut self, batch: &[&Labels], goes_on: &dyn Fn() -> bool) -> Result<bool, Error> {
        self.recycle_if_full();
        self.rows.load(batch, &mut self.symbols);
        let first = self.passed.len();
        self.passed.resize(first + batch.len(), 0);
        for step in &mut self.steps {
            if self.rows.len() == 0 {
                break;
            }
            if !goes_on() {
                return Ok(false);
            }
            step.classify(&self.tenant, &mut self.rows, &mut self.spare, &mut self.symbols)?;
            for origin in &self.rows.origins {
                let passed = &mut self.passed[first + origin.index as usize];
                *passed = passed.saturating_add(1);
            }
        }
        Ok(true)
    }

    /// Starts over with new instances and no strings when there are too many of these.
    fn recycle_if_full(&mut self) {
        if self.symbols.is_full(self.shared.config.dictionary_bytes_max) {
            self.symbols = Symbols::default();
            self.steps.iter_mut().for_each(Running::rest);
        }
    }
}
