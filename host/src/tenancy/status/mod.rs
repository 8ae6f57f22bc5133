//! Status: what a tenant can read off its own resource.
//!
//! In: what was decided about a resource and what is known of its lanes. Out: its status in the cluster, and Events.
//! Never: a write that changes nothing, a write for a resource that another replica owns, or so many writes that the
//! API server notices.

mod bucket;
pub mod events;
pub mod facts;
mod flow;
mod modules;
pub mod pace;
pub mod reason;
mod render;
mod types;
mod writer;

pub use facts::{Decision, Facts, Subject};
pub use render::{Before, render};
pub use types::{
    EndpointStatus, ErrorStatus, FilterStatus, MetricAccessStatus, PatternStatus, SeriesStatus, Severity,
};
pub use writer::{FIELD_MANAGER, Owned, run};

#[cfg(test)]
mod tests;
