//! Runtime: the engine all guests share, and the built-in filters.
//!
//! In: limits. Out: modules and chains. Never: a floating-point NaN that differs from machine to machine, threads in
//! guests, or an interface beyond the contract's that leads anywhere.

#[cfg(test)]
mod sandbox;

use std::sync::Arc;

use wasmtime::component::Linker;
use wasmtime::{Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::builtin::Builtins;
use super::chain::Chain;
use super::code::{Codes, Share};
use super::compile::{Compiler, Whose};
use super::instance::{Host, Tenant};
use super::lines::Lines;
use super::module::Module;
use super::sequence::Sequence;
use super::slots::{Keep, Slots};
use super::stateful::Stateful;
use super::step::Step;
use super::ticker::Ticker;
use super::{Config, Error, Wasi, guest_log, wasi};
use crate::model::memory::Payer;

/// Core modules that a component may be made of. The usual tools make three or four: a module, and small ones around it; one
/// of shared libraries, as Python's is, has a dozen.
const MODULES_PER_INSTANCE_MAX: u32 = 32;
/// Tables a component may have. One of the usual tools has two.
const TABLES_PER_INSTANCE_MAX: u32 = 4;
/// Entries of a component's tables together. A filter written in Rust has a few hundred, an interpreter some thousands.
pub(super) const TABLE_ENTRIES_MAX: usize = 20_000;
/// Stack of a guest, in bytes. The calling thread must have more.
const STACK_BYTES_MAX: usize = 512 << 10;

/// The engine and the built-in filters. Cheap to clone; its clock stops when the last clone, module and chain is gone.
#[derive(Debug, Clone)]
pub struct Runtime {
    shared: Arc<Shared>,
    builtins: Arc<Builtins>,
}

/// What modules and instances need of the runtime.
pub(super) struct Shared {
    pub(super) engine: Engine,
    pub(super) linker: Linker<Host>,
    pub(super) config: Config,
    pub(super) compiler: Compiler,
    pub(super) slots: Arc<Slots>,
    pub(super) codes: Codes,
    pub(super) lines: Arc<Lines>,
    _ticker: Ticker,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Runtime {
    /// Starts the engine. Nothing is compiled yet: see [`Runtime::warm`].
    ///
    /// # Errors
    /// The engine cannot reserve what the limits ask for.
    pub fn new(config: &Config) -> Result<Runtime, Error> {
        Runtime::with(config, Builtins::embedded(), Compiler::here())
    }

    /// As [`Runtime::new`], with other components in the built-in filters' places, or another way to compile.
    ///
    /// # Errors
    /// As [`Runtime::new`].
    pub fn with(config: &Config, builtins: Builtins, compiler: Compiler) -> Result<Runtime, Error> {
        Ok(Runtime { shared: Arc::new(Shared::new(config, compiler)?), builtins: Arc::new(builtins) })
    }

    /// A built-in filter. It is compiled when it is first asked for, which takes up to a second of CPU; who asks for it
    /// meanwhile waits.
    ///
    /// # Errors
    /// [`Error::NoBuiltin`]; or why it is no filter, as [`Runtime::load`] says it.
    pub fn builtin(&self, name: &str) -> Result<&Module, Error> {
        self.builtins.module(&self.shared, name)
    }

    /// The names of the built-in filters, sorted.
    pub fn builtins(&self) -> impl Iterator<Item = &str> {
        self.builtins.names()
    }

    /// Compiles these built-in filters, in parallel, so that whoever needs them does not wait.
    ///
    /// # Errors
    /// As [`Runtime::builtin`], of the first one that fails.
    pub fn warm(&self, names: &[&str]) -> Result<(), Error> {
        std::thread::scope(|scope| {
            let compiling: Vec<_> =
                names.iter().map(|name| scope.spawn(|| self.builtin(name).map(drop))).collect();
            let ended = compiling.into_iter().map(|thread| thread.join().expect("loading does not panic"));
            ended.fold(Ok(()), Result::and)
        })
    }

    /// Compiles a component and checks that it is a filter; `origin` names it in errors. It takes a second of CPU for a
    /// large one.
    ///
    /// # Errors
    /// [`Error::NotAFilter`] with the reason; or what went wrong when it was asked to describe itself.
    pub fn load(&self, origin: &str, bytes: &[u8]) -> Result<Module, Error> {
        Module::load(&self.shared, Whose::Theirs, origin, bytes)
    }

    /// A namespace's share in the machine code of a module, for the filter of this name.
    ///
    /// # Errors
    /// [`Error::Full`]: it has no room for it.
    pub fn share(&self, payer: &Payer, filter: &str, module: &Module) -> Result<Share, Error> {
        let full = |source| Error::Full { filter: filter.to_owned(), source };
        self.shared.codes.share(payer, module).map_err(full)
    }

    /// Series in one call of a filter.
    pub fn batch_rows_max(&self) -> usize {
        self.shared.config.batch_rows_max
    }

    /// Makes one tenant's filters, those that remember among them. Every step is configured at once, so that errors in
    /// configurations show here.
    ///
    /// # Errors
    /// [`Error::Config`] from the first step that refuses its configuration; or what went wrong in asking.
    pub fn sequence(&self, tenant: &Tenant, steps: Vec<Step>) -> Result<Sequence, Error> {
        let made = self.sequence_while(tenant, steps, &|| true)?;
        Ok(made.expect("nothing stops it"))
    }

    /// As [`Runtime::sequence`], as long as it `goes_on`, which is asked before every filter; `None` once it does not.
    ///
    /// # Errors
    /// As [`Runtime::sequence`].
    pub fn sequence_while(
        &self,
        tenant: &Tenant,
        steps: Vec<Step>,
        goes_on: &dyn Fn() -> bool,
    ) -> Result<Option<Sequence>, Error> {
        Sequence::new(&self.shared, tenant, steps, Keep::ForTicks, goes_on)
    }

    /// As [`Runtime::sequence_while`], for one [trial](Sequence::try_out): what it keeps meanwhile is not counted. At most sixteen
    /// filters of a few tenants at once, so that those without state find instances for their calls.
    ///
    /// # Errors
    /// As [`Runtime::sequence`].
    pub fn trial(
        &self,
        tenant: &Tenant,
        steps: Vec<Step>,
        goes_on: &dyn Fn() -> bool,
    ) -> Result<Option<Sequence>, Error> {
        Sequence::new(&self.shared, tenant, steps, Keep::ForTrial, goes_on)
    }

    /// Makes a chain of filters without state, configured as in [`Runtime::sequence`].
    ///
    /// # Errors
    /// [`Error::Config`] from the first step that refuses its configuration; or what went wrong in asking.
    pub fn chain(&self, tenant: Tenant, steps: Vec<Step>) -> Result<Chain, Error> {
        let made = Chain::new(&self.shared, tenant, steps, &|| true)?;
        Ok(made.expect("nothing stops it"))
    }

    /// Makes one tenant's filter that remembers or sees samples.
    ///
    /// # Errors
    /// As [`Runtime::sequence`].
    pub fn stateful(&self, tenant: Tenant, step: Step) -> Result<Stateful, Error> {
        Stateful::new(&self.shared, tenant, step, Keep::ForTicks)
    }
}

#[cfg(test)]
impl Runtime {
    /// What the engine makes of a component for this machine.
    pub(super) fn machine_code(&self, component: &[u8]) -> Vec<u8> {
        self.shared.engine.precompile_component(component).unwrap()
    }
}

impl Shared {
    fn new(config: &Config, compiler: Compiler) -> Result<Shared, Error> {
        let engine = Engine::new(&engine_config(config)).map_err(Error::Engine)?;
        let mut linker = Linker::new(&engine);
        guest_log::link(&mut linker).map_err(Error::Engine)?;
        if config.wasi == Wasi::Empty {
            wasi::link(&mut linker).map_err(Error::Engine)?;
        }
        let ticker = Ticker::start(engine.clone()).map_err(|error| Error::Engine(error.into()))?;
        let slots = Arc::new(Slots::of(config.instances_max));
        let (config, lines, codes) = (config.clone(), Arc::default(), Codes::default());
        Ok(Shared { engine, linker, config, compiler, slots, codes, lines, _ticker: ticker })
    }
}

pub(super) fn engine_config(config: &Config) -> wasmtime::Config {
    let most = config.instances_max;
    let mut pool = PoolingAllocationConfig::new();
    // What one may have, times how many there may be: else a few that take more than they need leave others nothing.
    pool.total_component_instances(most)
        .max_core_instances_per_component(MODULES_PER_INSTANCE_MAX)
        .total_core_instances(most.saturating_mul(MODULES_PER_INSTANCE_MAX))
        .max_tables_per_component(TABLES_PER_INSTANCE_MAX)
        // All of them may be one module's.
        .max_tables_per_module(TABLES_PER_INSTANCE_MAX)
        .total_tables(most.saturating_mul(TABLES_PER_INSTANCE_MAX))
        .table_elements(TABLE_ENTRIES_MAX)
        .max_memories_per_component(1)
        .total_memories(most)
        .max_memory_size(config.memory_bytes_max);
    let mut engine = code_config();
    engine.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    engine
}

/// What machine code depends on. It is the same for whoever makes it and whoever runs it.
pub(super) fn code_config() -> wasmtime::Config {
    let mut engine = wasmtime::Config::new();
    engine
        .epoch_interruption(true)
        .max_wasm_stack(STACK_BYTES_MAX)
        // The same input gives the same answer on every replica, down to the bits of a NaN.
        .cranelift_nan_canonicalization(true)
        .wasm_relaxed_simd(false)
        // The engine's own default is to allow it. Bounds of a 64-bit memory are checked at every access.
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(8));
    engine
}
