//! Instance: one guest at work for one tenant, within its limits.
//!
//! In: numbers. Out: its answer as it gave it, not yet checked. Never: a second call after a trap; the owner drops the
//! instance and makes another.

use std::sync::Arc;

use wasmtime::component::{ComponentNamedList, Func, InstancePre, Lift, Lower};
use wasmtime::{Store, Trap, UpdateDeadline};

use super::allowance::{Allowance, Denied, Stay};
use super::deadline::{Deadline, processor_time};
use super::guest_log::GuestLog;
use super::module::{Exports, Module};
use super::runtime::Shared;
use super::symbols::Symbols;
use super::usage::Usage;
use super::wasi::World;
use super::{Error, Nonsense, wire};
use crate::model::memory::{Held, Payer};
use crate::model::{FilterLimits, Timestamp, is_unseen_mark};

/// For whom a chain works.
#[derive(Debug, Clone)]
pub struct Tenant {
    /// Namespace of the tenant's resource.
    pub namespace: String,
    /// Name of the tenant's resource.
    pub name: String,
    /// The resource's `source`; empty if it names none.
    pub source: String,
    /// Who pays for the memory of its filters.
    pub payer: Payer,
}

impl Tenant {
    /// One of nobody's: for trials by hand, figures and tests. Its memory has no limit but the guests' own.
    pub fn alone(namespace: impl Into<String>, name: impl Into<String>) -> Tenant {
        let (namespace, name) = (namespace.into(), name.into());
        let payer = Payer::unlimited(&namespace);
        Tenant { namespace, name, source: String::new(), payer }
    }
}

/// A configuration, as a guest is given it.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) json: String,
    /// Where it stands, for errors.
    pub(super) at: String,
}

/// What is left of a longer message of a guest's.
const MESSAGE_BYTES_MAX: usize = 1_024;
/// How the engine begins to say that an answer has more bytes than it may; the error's type is its own.
const TOO_MUCH: &str = "too much data is being copied between the host and the guest";

/// What the host keeps beside a guest.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) log: GuestLog,
    pub(super) world: World,
    allowance: Allowance,
    deadline: Deadline,
}

/// One guest at work.
pub(super) struct Instance {
    calls: Calls,
    classify: Func,
    forget: Func,
    process: Option<Func>,
    names_known: usize,
    values_known: usize,
    scratch: [Vec<u32>; 2],
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instance").field("filter", &self.calls.filter).finish_non_exhaustive()
    }
}

/// The way into a guest: sets the deadline, and says whose fault a failure is.
struct Calls {
    store: Store<Host>,
    shared: Arc<Shared>,
    filter: Arc<str>,
    limits: FilterLimits,
}

/// Asks a module that is being loaded to describe itself.
pub(super) fn describe(
    shared: &Arc<Shared>,
    pre: &InstancePre<Host>,
    exports: &Exports,
    origin: &str,
) -> Result<wire::Manifest, Error> {
    let config = &shared.config;
    let limits =
        FilterLimits { memory_bytes_max: config.memory_bytes_max, call_time_max: config.call_time_max() };
    // Errors say "filter" themselves.
    let name = origin.strip_prefix("filter ").unwrap_or(origin);
    let mut calls = Calls::new(shared, "".into(), name.into(), limits, (Stay::Passing, Held::default()));
    let (instance, funcs) = calls.instantiate(pre, exports)?;
    let describe = instance.get_func(&mut calls.store, exports.describe).expect("the export was found");
    // The other functions are called later, maybe never; that their types are right is found out now.
    let typed = || -> wasmtime::Result<()> {
        let store = &calls.store;
        funcs.configure.typed::<(wire::Tenant<'_>, &str), (Result<(), wire::ConfigError>,)>(store)?;
        funcs.classify.typed::<(wire::LabelSets<'_>,), (Result<wire::Verdicts, String>,)>(store)?;
        funcs.forget.typed::<(&[u32],), ()>(store)?;
        if let Some(process) = &funcs.process {
            process.typed::<(wire::Tick, wire::Rows<'_>), (Result<wire::Outcome, String>,)>(store)?;
        }
        Ok(())
    };
    typed().map_err(|error| {
        Error::not_a_filter(origin, &format!("its functions are not the contract's: {error:#}"))
    })?;
    let (manifest,) = calls.call::<(), (wire::Manifest,)>(describe, ())?;
    Ok(manifest)
}

impl Instance {
    /// Makes an instance and configures it.
    pub(super) fn new(
        module: &Module,
        tenant: &Tenant,
        filter: &Arc<str>,
        config: &Given,
        limits: FilterLimits,
    ) -> Result<Instance, Error> {
        let owner = format!("{}/{}", tenant.namespace, tenant.name);
        let stay = if module.is_stateful() { Stay::Kept } else { Stay::Passing };
        let paid = (stay, tenant.payer.hold_own());
        let mut calls = Calls::new(module.shared(), owner.into(), filter.clone(), limits, paid);
        let (_, Funcs { configure, classify, forget, process }) =
            calls.instantiate(module.pre(), module.exports())?;
        let Tenant { namespace, name, source, payer: _ } = tenant;
        let params = (wire::Tenant { namespace, name, source }, &*config.json);
        let (configured,) = calls.call::<_, (Result<(), wire::ConfigError>,)>(configure, params)?;
        configured.map_err(|wire::ConfigError { path, message }| Error::Config {
            filter: filter.to_string(),
            at: config.at.clone(),
            path: said(path),
            message: said(message),
        })?;
        let scratch = [Vec::new(), Vec::new()];
        Ok(Instance { calls, classify, forget, process, names_known: 0, values_known: 0, scratch })
    }

    /// What follows belongs to the tick at `tick`.
    pub(super) fn begin_tick(&mut self, tick: Timestamp) {
        self.calls.store.data_mut().world.begin_tick(tick);
    }

    /// Judges rows; sends the strings the instance does not have yet along with them.
    pub(super) fn classify(
        &mut self,
        symbols: &Symbols,
        [pairs, ends, series]: [&[u32]; 3],
        usage: &mut Usage,
    ) -> Result<wire::Verdicts, Error> {
        let [names, values] = &mut self.scratch;
        let new_names = symbols.names.since(self.names_known, names);
        let new_values = symbols.values.since(self.values_known, values);
        let batch = wire::LabelSets { new_names, new_values, pairs, ends, series };
        let answer = self.calls.timed::<_, (Result<wire::Verdicts, String>,)>(self.classify, (batch,), usage);
        self.names_known = symbols.names.len();
        self.values_known = symbols.values.len();
        answer?.0.map_err(|message| self.refused(message, usage))
    }

    /// Tells the guest which series have ended.
    pub(super) fn forget(&mut self, series: &[u32], usage: &mut Usage) -> Result<(), Error> {
        self.calls.timed::<_, ()>(self.forget, (series,), usage)
    }

    /// Shows the guest samples; only for modules that process them.
    pub(super) fn process(
        &mut self,
        tick: wire::Tick,
        rows: wire::Rows<'_>,
        usage: &mut Usage,
    ) -> Result<wire::Outcome, Error> {
        let process = self.process.expect("the module exports samples");
        let before = usage.guest_time;
        let answer = self.calls.timed::<_, (Result<wire::Outcome, String>,)>(process, (tick, rows), usage);
        usage.process_time += usage.guest_time.saturating_sub(before);
        answer?.0.map_err(|message| self.refused(message, usage))
    }

    fn refused(&self, message: String, usage: &mut Usage) -> Error {
        usage.refused += 1;
        Error::Refused { filter: self.calls.filter.to_string(), message: said(message) }
    }
}

struct Funcs {
    configure: Func,
    classify: Func,
    forget: Func,
    process: Option<Func>,
}

impl Calls {
    fn new(
        shared: &Arc<Shared>,
        tenant: Arc<str>,
        filter: Arc<str>,
        limits: FilterLimits,
        (stay, pays): (Stay, Held),
    ) -> Calls {
        let host = Host {
            world: World::new(&tenant, &filter),
            log: GuestLog::new(tenant, filter.clone(), shared.lines.clone()),
            allowance: Allowance::new(limits.memory_bytes_max, stay, pays),
            deadline: Deadline::of(limits.call_time_max),
        };
        let mut store = Store::new(&shared.engine, host);
        store.limiter(|host| &mut host.allowance);
        store.epoch_deadline_callback(|guest| {
            let left = guest.data().deadline.ticks_left();
            Ok(left.map_or(UpdateDeadline::Interrupt, UpdateDeadline::Continue))
        });
        store.set_hostcall_fuel(shared.config.answer_bytes_max);
        Calls { store, shared: shared.clone(), filter, limits }
    }

    fn instantiate(
        &mut self,
        pre: &InstancePre<Host>,
        exports: &Exports,
    ) -> Result<(wasmtime::component::Instance, Funcs), Error> {
        self.begin();
        let instance = pre.instantiate(&mut self.store).map_err(|error| self.fault(error))?;
        let mut func = |index| instance.get_func(&mut self.store, index).expect("the export was found");
        let funcs = Funcs {
            configure: func(exports.configure),
            classify: func(exports.classify),
            forget: func(exports.forget),
            process: exports.process.map(func),
        };
        Ok((instance, funcs))
    }

    fn timed<P, R>(&mut self, func: Func, params: P, usage: &mut Usage) -> Result<R, Error>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift + 'static,
    {
        let start = processor_time();
        let answer = self.call(func, params);
        usage.guest_time += processor_time().saturating_sub(start);
        usage.calls += 1;
        usage.memory_bytes_peak = usage.memory_bytes_peak.max(self.store.data().allowance.memory_bytes());
        usage.log_lines_left_out += self.store.data_mut().log.left_out();
        usage.traps +=
            u64::from(answer.as_ref().is_err_and(|error| !matches!(error, Error::Nonsense { .. })));
        usage.deadlines += u64::from(matches!(answer, Err(Error::Deadline { .. })));
        usage.nonsense += u64::from(matches!(answer, Err(Error::Nonsense { .. })));
        answer
    }

    fn call<P, R>(&mut self, func: Func, params: P) -> Result<R, Error>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift + 'static,
    {
        self.begin();
        let typed = func.typed::<P, R>(&self.store);
        let answer = typed.and_then(|func| func.call(&mut self.store, params));
        self.store.data_mut().end_lines();
        answer.map_err(|error| self.unreadable(&error).unwrap_or_else(|| self.fault(error)))
    }

    /// What is wrong with an answer that was given and is none; `None` if there was no answer.
    fn unreadable(&self, error: &wasmtime::Error) -> Option<Error> {
        // Where the guest, or what it called, came to grief, the engine says where in it that was.
        if error.is::<Trap>() || error.is::<wasmtime::WasmBacktrace>() {
            return None;
        }
        let why = error.root_cause().to_string();
        let cause = match why.starts_with(TOO_MUCH) {
            true => Nonsense::TooLong(self.shared.config.answer_bytes_max),
            false => Nonsense::Unreadable(said(why)),
        };
        Some(Error::Nonsense { filter: self.filter.to_string(), cause })
    }

    fn begin(&mut self) {
        let deadline = Deadline::of(self.limits.call_time_max);
        self.store.set_epoch_deadline(deadline.ticks());
        let host = self.store.data_mut();
        host.deadline = deadline;
        host.allowance.begin();
        host.log.begin();
        host.world.begin_call();
    }

    fn fault(&mut self, error: wasmtime::Error) -> Error {
        let filter = self.filter.to_string();
        let config = &self.shared.config;
        if error.is::<wasmtime::PoolConcurrencyLimitError>() {
            return Error::Busy { filter, limit: config.instances_max };
        }
        if matches!(error.downcast_ref::<Trap>(), Some(Trap::Interrupt)) {
            return Error::Deadline { filter, limit: self.limits.call_time_max };
        }
        let host = self.store.data_mut();
        match host.allowance.denied() {
            Some(Denied::Memory(limit)) => return Error::Memory { filter, limit },
            Some(Denied::Tables(limit)) => return Error::Tables { filter, limit },
            Some(Denied::Full(source)) => return Error::Full { filter, source },
            None => {}
        }
        let last = host.log.last_error().or_else(|| host.world.last_words());
        let last = last.unwrap_or_else(|| error.root_cause().to_string());
        Error::Trapped { filter, said: said(last), trap: error }
    }
}

/// What a guest says, in one line that ends and is read in one direction.
pub(super) fn said(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MESSAGE_BYTES_MAX));
    if text.contains(char::is_control) {
        text = text.replace(char::is_control, " ");
    }
    text.retain(|c| !is_unseen_mark(c));
    text
}

#[cfg(test)]
mod tests {
    use super::said;

    #[test]
    fn what_a_guest_says_is_one_line_in_which_nothing_acts() {
        assert_eq!(said("a\x1b[2Jb\nc\u{202e}d\u{2069}\u{200f}".into()), "a [2Jb cd");
    }
}
