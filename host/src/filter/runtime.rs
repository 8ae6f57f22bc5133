//! Runtime: the engine all guests share, and the built-in filters.
//!
//! In: limits. Out: modules and chains. Never: a floating-point NaN that differs from machine to machine, threads in
//! guests, or an interface beyond the contract's.

use std::sync::Arc;

use wasmtime::component::Linker;
use wasmtime::{Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::chain::Chain;
use super::instance::{Host, Tenant};
use super::module::Module;
use super::sequence::Sequence;
use super::stateful::Stateful;
use super::step::Step;
use super::ticker::Ticker;
use super::{Config, Error, guest_log};

/// Core instances, and tables, a component made by the usual tools needs: its module, and two small ones around it.
const PARTS_PER_INSTANCE_MAX: u32 = 4;
/// Stack of a guest, in bytes. The calling thread must have more.
const STACK_BYTES_MAX: usize = 512 << 10;

/// The filters that come with the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Builtin {
    /// Takes what a tenant's patterns select.
    Patterns,
    /// Relabels as Prometheus does.
    Relabel,
    /// Stamps whose a series is.
    Enrich,
}

/// The built-in filters as components.
#[derive(Debug, Clone, Copy)]
pub struct Builtins<'a> {
    /// The component of [`Builtin::Patterns`].
    pub patterns: &'a [u8],
    /// The component of [`Builtin::Relabel`].
    pub relabel: &'a [u8],
    /// The component of [`Builtin::Enrich`].
    pub enrich: &'a [u8],
}

impl Builtins<'static> {
    /// Those that the build has made from `filters/`.
    pub const EMBEDDED: Builtins<'static> = Builtins {
        patterns: include_bytes!(concat!(env!("OUT_DIR"), "/patterns.wasm")),
        relabel: include_bytes!(concat!(env!("OUT_DIR"), "/relabel.wasm")),
        enrich: include_bytes!(concat!(env!("OUT_DIR"), "/enrich.wasm")),
    };
}

/// The engine and the built-in filters. Cheap to clone; its clock stops when the last clone, module and chain is gone.
#[derive(Debug, Clone)]
pub struct Runtime {
    shared: Arc<Shared>,
    patterns: Module,
    relabel: Module,
    enrich: Module,
}

/// What modules and instances need of the runtime.
pub(super) struct Shared {
    pub(super) engine: Engine,
    pub(super) linker: Linker<Host>,
    pub(super) config: Config,
    _ticker: Ticker,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Runtime {
    /// Starts the engine and compiles the built-in filters, in parallel.
    ///
    /// # Errors
    /// The engine cannot reserve what the limits ask for, or a built-in filter is not one.
    pub fn new(config: &Config) -> Result<Runtime, Error> {
        Runtime::with_builtins(config, Builtins::EMBEDDED)
    }

    /// As [`Runtime::new`], with other components in the built-in filters' places.
    ///
    /// # Errors
    /// As [`Runtime::new`].
    pub fn with_builtins(config: &Config, builtins: Builtins<'_>) -> Result<Runtime, Error> {
        let shared = Arc::new(Shared::new(config)?);
        let Builtins { patterns, relabel, enrich } = builtins;
        let load = |name, bytes| Module::load(&shared, name, bytes);
        let (patterns, relabel, enrich) = std::thread::scope(|scope| {
            let relabel = scope.spawn(|| load("the built-in filter relabel", relabel));
            let enrich = scope.spawn(|| load("the built-in filter enrich", enrich));
            let patterns = load("the built-in filter patterns", patterns);
            (
                patterns,
                relabel.join().expect("loading does not panic"),
                enrich.join().expect("loading does not panic"),
            )
        });
        Ok(Runtime { patterns: patterns?, relabel: relabel?, enrich: enrich?, shared })
    }

    /// A built-in filter.
    pub fn builtin(&self, builtin: Builtin) -> &Module {
        match builtin {
            Builtin::Patterns => &self.patterns,
            Builtin::Relabel => &self.relabel,
            Builtin::Enrich => &self.enrich,
        }
    }

    /// Compiles a component and checks that it is a filter; `origin` names it in errors. It takes a second of CPU for a
    /// large one.
    ///
    /// # Errors
    /// [`Error::NotAFilter`] with the reason; or what went wrong when it was asked to describe itself.
    pub fn load(&self, origin: &str, bytes: &[u8]) -> Result<Module, Error> {
        Module::load(&self.shared, origin, bytes)
    }

    /// Makes one tenant's filters, those that remember among them. Every step is configured at once, so that errors in
    /// configurations show here.
    ///
    /// # Errors
    /// [`Error::Config`] from the first step that refuses its configuration; or what went wrong in asking.
    pub fn sequence(&self, tenant: &Tenant, steps: Vec<Step>) -> Result<Sequence, Error> {
        Sequence::new(&self.shared, tenant, steps)
    }

    /// Makes a chain of filters without state, configured as in [`Runtime::sequence`].
    ///
    /// # Errors
    /// [`Error::Config`] from the first step that refuses its configuration; or what went wrong in asking.
    pub fn chain(&self, tenant: Tenant, steps: Vec<Step>) -> Result<Chain, Error> {
        Chain::new(&self.shared, tenant, steps)
    }

    /// Makes one tenant's filter that remembers or sees samples.
    ///
    /// # Errors
    /// As [`Runtime::sequence`].
    pub fn stateful(&self, tenant: Tenant, step: Step) -> Result<Stateful, Error> {
        Stateful::new(&self.shared, tenant, step)
    }
}

impl Shared {
    fn new(config: &Config) -> Result<Shared, Error> {
        let engine = Engine::new(&engine_config(config)).map_err(Error::Engine)?;
        let mut linker = Linker::new(&engine);
        guest_log::link(&mut linker).map_err(Error::Engine)?;
        let ticker = Ticker::start(engine.clone()).map_err(|error| Error::Engine(error.into()))?;
        Ok(Shared { engine, linker, config: config.clone(), _ticker: ticker })
    }
}

fn engine_config(config: &Config) -> wasmtime::Config {
    let parts = config.instances_max.saturating_mul(PARTS_PER_INSTANCE_MAX);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(config.instances_max)
        .total_core_instances(parts)
        .total_tables(parts)
        .total_memories(config.instances_max)
        .max_memory_size(config.memory_bytes_max);
    let mut engine = wasmtime::Config::new();
    engine
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .epoch_interruption(true)
        .max_wasm_stack(STACK_BYTES_MAX)
        // The same input gives the same answer on every replica, down to the bits of a NaN.
        .cranelift_nan_canonicalization(true)
        .wasm_relaxed_simd(false)
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(8));
    engine
}
