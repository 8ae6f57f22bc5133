//! Filter: runs guests, WebAssembly components that drop, rewrite and enrich series.
//!
//! In: components, configurations, the labels of new series (and the samples of a tick). Out: for each series what became of
//! it. Never: an answer that was not checked; a guest that outlives its deadline, grows past its memory, or sees another
//! tenant; a native way around a guest, not even around a built-in one.
//!
//! A [`Runtime`] holds the engine and the built-in [`Module`]s; a [`Sequence`] is one tenant's steps in order: [`Chain`]s of
//! filters without state, and between them the [`Stateful`] ones. `wit/filter.wit` is the contract with guests.

mod allowance;
mod batch;
pub mod builtin;
mod chain;
mod check;
mod code;
mod compile;
mod config;
mod deadline;
mod error;
#[cfg(test)]
pub(crate) mod fixtures;
mod guest_log;
mod health;
mod instance;
mod lines;
mod module;
mod runtime;
mod samples;
mod sequence;
mod slots;
mod stateful;
mod step;
mod symbols;
#[cfg(test)]
mod tests;
mod ticker;
mod usage;
mod wasi;
mod wire;

pub use builtin::Builtins;
pub use chain::Chain;
pub use code::Share;
pub use compile::{Bounds, CPU_SECONDS_MAX, Compiler, Pace, Program, bounded, machine_code};
pub use config::Config;
pub use error::{Error, Nonsense};
pub use health::Failing;
pub use instance::Tenant;
pub use module::{Columns, Manifest, Module, State, WeakModule};
pub use runtime::Runtime;
pub use samples::{Emission, Moments, ROWS_MAX, SampleEdits, SampleRows, Window};
pub use sequence::Sequence;
pub use stateful::Stateful;
pub use step::{Step, Timing};
pub use usage::Usage;
pub use wasi::Wasi;
