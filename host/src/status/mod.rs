//! Status: what is known right now of every remote write and every source.
//!
//! In: facts, written by pipelines and collectors as they happen, each with its time. Out: snapshots, and one
//! report per tick to whoever listens.
//! Never: a lock held while anything waits, or a growing history: every entry keeps its newest facts only.

mod board;
mod filter;
mod health;
mod snapshot;
mod source;

use std::time::Duration;

pub use board::{Board, LaneEntry, TenantEntry, TenantLatest, bounded_text};
pub use filter::{FilterReport, FilterStage};
pub use health::{Health, INTERVALS_WITHOUT_DELIVERY_MAX, Readiness};
pub use snapshot::{
    Collected, Delivered, Failure, Lane, Phase, Snapshot, SourceStatus, TenantFacts, TenantStatus,
};
pub use source::{SourceEntry, SourceSeen};

use crate::model::{TenantId, Tick};

/// How many tick reports a slow listener may fall behind before it loses the oldest.
pub const REPORTS_MAX: usize = 1024;

/// Where in a tick something failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Asking the source.
    Collect,
    /// The filters.
    Filter,
    /// Sending to the endpoint.
    Deliver,
    /// Reading or saving the cursor.
    Cursor,
}

impl Stage {
    /// The word shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Collect => "collect",
            Stage::Filter => "filter",
            Stage::Deliver => "deliver",
            Stage::Cursor => "cursor",
        }
    }
}

/// One tick of one lane, acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TickReport {
    /// Whose tick it was.
    pub tenant: TenantId,
    /// The group of sources it was collected from.
    pub group: String,
    /// The endpoint's key.
    pub endpoint: String,
    /// Which tick.
    pub tick: Tick,
    /// Samples that came from the sources.
    pub collected: u64,
    /// Samples the filters kept.
    pub kept: u64,
    /// Samples acknowledged, stale markers included.
    pub delivered: u64,
    /// Bytes sent, compressed.
    pub bytes: u64,
    /// From asking to acknowledgement.
    pub took: Duration,
}

/// A pipeline's newest samples, read page by page while the pipeline runs on.
pub trait Latest: Send + Sync {
    /// Appends up to `rows_max` samples from row `start` on, as text exposition lines ([`crate::model::exposition::write_sample`]), and says
    /// where the next page starts; `None` when this was the last. Locks only while it appends.
    fn page(&self, start: usize, rows_max: usize, out: &mut String) -> Option<usize>;
}

#[cfg(test)]
mod tests;
