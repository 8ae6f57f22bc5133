//! Tenants: one valid `MetricAccess`, every field parsed.

use std::fmt;

use sluice_filter::selector::Selector;

use super::{Endpoint, Filter, Interval, Mode, Stamps, TargetType, Timestamp};

/// Namespace and name of a `MetricAccess`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantId {
    /// The team's namespace.
    pub namespace: String,
    /// The resource's name.
    pub name: String,
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// What one resource asks for, checked and ready to run.
#[derive(Debug, Clone, PartialEq)]
pub struct Tenant {
    /// Which resource this is.
    pub id: TenantId,
    /// The resource's `source`.
    pub source: String,
    /// What may be taken, each with `labelSelectors`, isolation and source matchers already ANDed on. Never empty.
    pub selectors: Vec<Selector>,
    /// How far ticks are apart.
    pub interval: Interval,
    /// Which samples are taken of what is selected.
    pub mode: Mode,
    /// The kind of target.
    pub target_type: TargetType,
    /// Where to deliver; each gets everything. Never empty.
    pub endpoints: Vec<Endpoint>,
    /// The tenant's own filters, in order; they stand before the relabelings.
    pub filters: Vec<Filter>,
    /// `metricRelabelings`, checked, as the `relabel` filter's configuration takes them.
    pub relabelings: Vec<serde_json::Value>,
    /// Labels to stamp on every series.
    pub stamps: Stamps,
    /// When the resource was created, or else first seen: of two resources in each other's way the older one wins.
    pub since: Timestamp,
    /// What one tick may come to.
    pub limits: TickLimits,
}

/// What one tick of one resource may come to, by the operator's word. A tick beyond it is not delivered at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TickLimits {
    /// Series that the sources answer with, before the resource's filters; of replicas, the one with the most counts.
    pub series_max: usize,
    /// Bytes sent to one endpoint, as they are on the wire.
    pub bytes_max: usize,
    /// Bytes of memory that the series of all of its namespace's resources take.
    pub memory_max: usize,
}

impl TickLimits {
    /// No bound but those of the sources and receivers themselves.
    pub const NONE: TickLimits =
        TickLimits { series_max: usize::MAX, bytes_max: usize::MAX, memory_max: usize::MAX };
}

/// How many endpoints that a tenant writes to no longer are remembered, so that they repeat no timestamp if they come back.
/// Whoever edits an address a hundred times an hour leaves no more.
pub const ENDED_CURSORS_MAX: usize = 8;
