//! Step: one filter of a tenant's, and its instance while there is one.
//!
//! In: rows. Out: the rows that are left. Never: an instance that answered with anything but the contract's used again; a filter's
//! answer done that is only to be counted.

use std::sync::Arc;

use super::batch::Batch;
use super::check::{self, Done};
use super::code::Share;
use super::deadline::processor_time;
use super::health::Health;
use super::instance::{Given, Instance, Tenant};
use super::module::Module;
use super::symbols::Symbols;
use super::usage::Usage;
use super::{Config, Error};
use crate::model::{FilterLimits, FilterMode, OnFailure, Timestamp};

/// One filter of a chain.
#[derive(Debug, Clone)]
pub struct Step {
    /// What the step is called in errors, logs and metrics.
    pub name: String,
    /// The filter.
    pub module: Module,
    /// Its configuration.
    pub config: serde_json::Value,
    /// Where the configuration stands in what somebody wrote, as in `spec.filters[2].config`.
    pub config_at: String,
    /// What an instance may take, where that is less than the runtime allows.
    pub limits: Option<FilterLimits>,
    /// Whether what it says is done.
    pub mode: FilterMode,
    /// What happens where it fails.
    pub on_failure: OnFailure,
}

impl Step {
    /// A step whose answers are done, and without which nothing goes on.
    pub fn new(name: impl Into<String>, module: Module, config: serde_json::Value) -> Step {
        let (mode, on_failure) = (FilterMode::Enforce, OnFailure::Fail);
        let (name, config_at) = (name.into(), "config".to_owned());
        Step { name, module, config, config_at, limits: None, mode, on_failure }
    }
}

/// When something is done, and for which tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// By the clock: how long a filter that fails is left alone is counted in it.
    pub now: Timestamp,
    /// The time of the tick: all that a guest can learn of the time.
    pub tick: Timestamp,
}

/// A step at work.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) module: Module,
    pub(super) filter: Arc<str>,
    config: Given,
    limits: FilterLimits,
    pub(super) mode: FilterMode,
    on_failure: OnFailure,
    pub(super) instance: Option<Instance>,
    pub(super) usage: Usage,
    health: Health,
    timing: Timing,
    /// Whether rows went past it because it failed.
    pub(super) is_bypassed: bool,
    /// The namespace's share in the machine code.
    _code: Share,
}

impl Running {
    /// Makes an instance at once, so that errors in the configuration show here.
    pub(super) fn new(step: Step, tenant: &Tenant) -> Result<Running, Error> {
        let Step { name, module, config, config_at, limits, mode, on_failure } = step;
        if config.is_array() && module.takes_fields() {
            let message = "a list is not a mapping; write \"name: value\" lines below it".to_owned();
            return Err(Error::Config { filter: name, at: config_at, path: String::new(), message });
        }
        let code = module.shared().codes.share(&tenant.payer, &module);
        let code = code.map_err(|source| Error::Full { filter: name.clone(), source })?;
        let usage = Usage { name: name.clone(), ..Usage::default() };
        let limits = within(limits, &module.shared().config);
        let mut running = Running {
            module,
            filter: name.into(),
            config: Given { json: config.to_string(), at: config_at },
            limits,
            mode,
            on_failure,
            instance: None,
            usage,
            health: Health::default(),
            timing: Timing { now: Timestamp(0), tick: Timestamp(0) },
            is_bypassed: false,
            _code: code,
        };
        running.instance(tenant)?;
        Ok(running)
    }

    /// What follows is done then.
    pub(super) fn begin(&mut self, timing: Timing) {
        self.timing = timing;
        if let Some(instance) = &mut self.instance {
            instance.begin_tick(timing.tick);
        }
        self.health.begin();
        self.usage.failing = self.health.failing().cloned();
    }

    /// Whether rows that went past it can be shown to it again.
    pub(super) fn wants_again(&self) -> bool {
        self.is_bypassed && !self.health.is_held_off(self.timing.now)
    }

    /// Judges rows; for each, whether the filter kept it, or `None` if it failed and they went past it. The instance is gone
    /// afterwards if an error does not leave it sound.
    pub(super) fn classify(
        &mut self,
        tenant: &Tenant,
        rows: &mut Batch,
        spare: &mut Batch,
        symbols: &mut Symbols,
    ) -> Result<Option<Vec<u64>>, Error> {
        let before = rows.len();
        let judged = self.called(|step| step.judge(tenant, rows, spare, symbols))?;
        self.usage.bypassed += if judged.is_none() { before as u64 } else { 0 };
        Ok(judged)
    }

    /// Calls the filter, unless it is held off. `None` if it failed, and may.
    pub(super) fn called<T>(
        &mut self,
        call: impl FnOnce(&mut Running) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        let (start, before) = (processor_time(), self.usage.guest_time + self.usage.making_time);
        let shown = self.usage.process_time;
        let answer = match self.held_off() {
            Some(error) => Err(error),
            None => call(self),
        };
        let of_guest = (self.usage.guest_time + self.usage.making_time).saturating_sub(before);
        let checking = processor_time().saturating_sub(start).saturating_sub(of_guest);
        match self.usage.process_time > shown {
            true => self.usage.process_checking_time += checking,
            false => self.usage.checking_time += checking,
        }
        match &answer {
            Ok(_) => self.health.succeeded(),
            Err(Error::HeldOff { .. }) => {}
            Err(error) => {
                self.replace_after(error);
                if error.is_its_fault() {
                    self.health.failed(error, self.timing.now);
                }
            }
        }
        self.usage.failing = self.health.failing().cloned();
        match answer {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if self.on_failure == OnFailure::Ignore && error.is_its_fault() => {
                self.is_bypassed = true;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn held_off(&self) -> Option<Error> {
        let failing = self.health.failing().filter(|_| self.health.is_held_off(self.timing.now))?;
        Some(Error::HeldOff {
            filter: self.filter.to_string(),
            attempts: failing.attempts,
            last: failing.message.clone(),
        })
    }

    fn judge(
        &mut self,
        tenant: &Tenant,
        rows: &mut Batch,
        spare: &mut Batch,
        symbols: &mut Symbols,
    ) -> Result<Vec<u64>, Error> {
        self.instance(tenant)?;
        let Running { filter, instance, usage, mode, .. } = self;
        let instance = instance.as_mut().expect("it was just made");
        let verdicts = instance.classify(symbols, [&rows.pairs, &rows.ends, &rows.series], usage)?;
        let done = if *mode == FilterMode::Monitor { Done::Counted } else { Done::Applied };
        check::apply(&verdicts, done, rows, spare, symbols, usage).map_err(|cause| {
            usage.nonsense += 1;
            Error::Nonsense { filter: filter.to_string(), cause }
        })?;
        Ok(verdicts.keep)
    }

    fn instance(&mut self, tenant: &Tenant) -> Result<(), Error> {
        if self.instance.is_none() {
            let Running { module, filter, config, limits, .. } = &*self;
            let start = processor_time();
            let instance = Instance::new(module, tenant, filter, config, *limits);
            self.usage.making_time += processor_time().saturating_sub(start);
            let mut instance = instance?;
            instance.begin_tick(self.timing.tick);
            self.instance = Some(instance);
            self.usage.instances += 1;
        }
        Ok(())
    }

    /// Drops the instance unless the error leaves it sound.
    fn replace_after(&mut self, error: &Error) {
        if !matches!(error, Error::Refused { .. }) {
            self.lose();
        }
    }

    /// Drops an instance that is no good any more.
    pub(super) fn lose(&mut self) {
        self.usage.restarts += u64::from(self.instance.take().is_some());
    }

    /// Drops what costs memory while there is nothing to judge.
    pub(super) fn rest(&mut self) {
        self.instance = None;
    }
}

/// A step's limits, none of them more than the runtime allows.
fn within(limits: Option<FilterLimits>, config: &Config) -> FilterLimits {
    let most =
        FilterLimits { memory_bytes_max: config.memory_bytes_max, call_time_max: config.call_time_max() };
    limits.map_or(most, |limits| FilterLimits {
        memory_bytes_max: limits.memory_bytes_max.min(most.memory_bytes_max),
        call_time_max: limits.call_time_max.min(most.call_time_max),
    })
}
