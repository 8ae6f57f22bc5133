//! Filter: one of a tenant's own filters, as its resource asks for it.

use std::time::Duration;

use bytes::Bytes;

use super::{Origin, Secret};

/// One filter of a tenant's chain.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    /// Its name in the resource: unique there, and none of the chain's own steps.
    pub name: String,
    /// Where its component comes from.
    pub origin: Origin,
    /// The component itself, where the API server holds it ([`Origin::ConfigMap`]).
    pub content: Option<Bytes>,
    /// What the pull secret holds: a docker `config.json`.
    pub pull_secret: Option<Secret>,
    /// Its configuration.
    pub config: serde_json::Value,
    /// Whether what it says is done.
    pub mode: FilterMode,
    /// What happens where it fails.
    pub on_failure: OnFailure,
    /// What it may take.
    pub limits: FilterLimits,
}

/// Whether what a filter says is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FilterMode {
    /// It is.
    #[default]
    Enforce,
    /// It is counted, and everything goes on unchanged.
    Monitor,
}

/// What happens to series of which a filter fails to say anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFailure {
    /// Nothing of the tick is delivered.
    #[default]
    Fail,
    /// They go on as if the filter were not there.
    Ignore,
}

/// What one instance of a filter may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FilterLimits {
    /// Bytes of memory.
    pub memory_bytes_max: usize,
    /// Time of one call.
    pub call_time_max: Duration,
}
