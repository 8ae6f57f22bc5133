//! Step: one filter of a tenant's, and its instance while there is one.
//!
//! In: rows. Out: the rows that are left. Never: an instance that answered with anything but the contract's used again.

use std::sync::Arc;

use super::batch::Batch;
use super::instance::{Instance, Tenant};
use super::module::Module;
use super::symbols::Symbols;
use super::usage::Usage;
use super::{Error, check};

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

/// A step at work.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) module: Module,
    pub(super) filter: Arc<str>,
    config: String,
    pub(super) instance: Option<Instance>,
    pub(super) usage: Usage,
}

impl Running {
    /// Makes an instance at once, so that errors in the configuration show here.
    pub(super) fn new(step: Step, tenant: &Tenant) -> Result<Running, Error> {
        let Step { name, module, config } = step;
        let usage = Usage { name: name.clone(), ..Usage::default() };
        let mut running =
            Running { module, filter: name.into(), config: config.to_string(), instance: None, usage };
        running.instance(tenant)?;
        Ok(running)
    }

    /// Judges rows. The instance is gone afterwards if the error does not leave it sound.
    pub(super) fn classify(
        &mut self,
        tenant: &Tenant,
        rows: &mut Batch,
        spare: &mut Batch,
        symbols: &mut Symbols,
    ) -> Result<(), Error> {
        let judged = self.judge(tenant, rows, spare, symbols);
        if let Err(error) = &judged {
            self.replace_after(error);
        }
        judged
    }

    fn judge(
        &mut self,
        tenant: &Tenant,
        rows: &mut Batch,
        spare: &mut Batch,
        symbols: &mut Symbols,
    ) -> Result<(), Error> {
        self.instance(tenant)?;
        let Running { filter, instance, usage, .. } = self;
        let instance = instance.as_mut().expect("it was just made");
        let verdicts = instance.classify(symbols, [&rows.pairs, &rows.ends, &rows.series], usage)?;
        check::apply(&verdicts, rows, spare, symbols, usage).map_err(|cause| {
            usage.nonsense += 1;
            Error::Nonsense { filter: filter.to_string(), cause }
        })
    }

    fn instance(&mut self, tenant: &Tenant) -> Result<(), Error> {
        if self.instance.is_none() {
            self.instance = Some(Instance::new(&self.module, tenant, &self.filter, &self.config)?);
            self.usage.instances += 1;
        }
        Ok(())
    }

    /// Drops the instance unless the error leaves it sound.
    pub(super) fn replace_after(&mut self, error: &Error) {
        if !matches!(error, Error::Refused { .. }) {
            self.instance = None;
        }
    }

    /// Drops what costs memory while there is nothing to judge.
    pub(super) fn rest(&mut self) {
        self.instance = None;
    }
}
