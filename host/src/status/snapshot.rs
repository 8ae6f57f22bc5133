//! Snapshot: the facts themselves, as plain data.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::{FilterReport, Stage};
use crate::model::{Endpoint, Interval, Source, TargetType, Tenant, TenantId, Tick, Timestamp};

/// What a resource asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct TenantFacts {
    /// The resource's `source`.
    pub source: String,
    /// What may be taken, as PromQL, with every matcher that was ANDed on.
    pub selectors: Vec<String>,
    /// How far ticks are apart.
    pub interval: Interval,
    /// The kind of target.
    pub target_type: TargetType,
    /// The keys of the endpoints: addresses without credentials.
    pub endpoints: Vec<String>,
    /// Labels that are stamped on every series.
    pub stamps: Vec<(String, String)>,
    /// How many relabelling rules there are.
    pub relabelings: usize,
}

impl From<&Tenant> for TenantFacts {
    fn from(tenant: &Tenant) -> TenantFacts {
        TenantFacts {
            source: tenant.source.clone(),
            selectors: tenant.selectors.iter().map(ToString::to_string).collect(),
            interval: tenant.interval,
            target_type: tenant.target_type,
            endpoints: tenant.endpoints.iter().map(Endpoint::key).collect(),
            stamps: tenant.stamps.labels.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
            relabelings: tenant.relabelings.len(),
        }
    }
}

/// What was decided about a resource; how well it does is its health.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Phase {
    /// Accepted, its pipeline is being built.
    #[default]
    Starting,
    /// Its pipeline runs.
    Running,
    /// It cannot run as it is written.
    Refused {
        /// Each says where, what, and what to write instead.
        problems: Vec<String>,
    },
    /// `enabled: false`.
    Disabled,
}

/// A tick that was collected and filtered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Collected {
    /// Which tick.
    pub tick: Tick,
    /// Series that came from the sources.
    pub selected: u64,
    /// Series the filters kept.
    pub kept: u64,
    /// Series the filters dropped.
    pub dropped: u64,
    /// Series not sent because another one has the same labels.
    pub collided: u64,
    /// How many sources answered.
    pub targets_used: usize,
}

/// A tick that an endpoint acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivered {
    /// Which tick.
    pub tick: Tick,
    /// Series of it; zero is a delivery too.
    pub series: u64,
    /// Samples of these, stale markers among them.
    pub samples: u64,
    /// When it was acknowledged.
    pub at: Timestamp,
}

/// Something that went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Where.
    pub stage: Stage,
    /// The error and its causes.
    pub message: String,
    /// When.
    pub at: Timestamp,
}

/// One source group × endpoint of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    /// The source group's name.
    pub group: String,
    /// The endpoint's key: its address without credentials.
    pub endpoint: String,
    /// How far behind the clock ticks are evaluated.
    pub lag: Duration,
    /// When the lane was set up.
    pub since: Timestamp,
    /// The newest tick collected.
    pub collected: Option<Collected>,
    /// Series that each filter of the chain dropped at that tick, in the chain's order.
    pub dropped_by: Vec<(String, u64)>,
    /// The newest tick delivered.
    pub delivered: Option<Delivered>,
    /// Samples delivered since the lane was set up.
    pub delivered_total: u64,
    /// What went wrong last, even if it is over.
    pub last_error: Option<Failure>,
    /// Attempts that failed since the last that did not.
    pub consecutive_failures: u32,
    /// As long as an older resource writes series that this one would write too: one of them, and who that is.
    pub conflict: Option<String>,
    /// As long as a filter fails that series may pass: why.
    pub bypassed: Option<String>,
    /// As long as the endpoint refuses some of the series that it is sent, and takes the others: how many, one of them, and why.
    pub refused: Option<String>,
    /// Which version of remote write the endpoint is spoken to in, once it was.
    pub protocol: Option<&'static str>,
    /// In which order ticks are sent that were missed, where the endpoint takes them in any.
    pub order: Option<&'static str>,
    /// As long as ticks that were missed are sent behind newer ones: how many are left.
    pub missed: Option<u64>,
}

/// One resource.
#[derive(Debug, Clone, PartialEq)]
pub struct TenantStatus {
    /// Which resource.
    pub id: TenantId,
    /// What was decided about it.
    pub phase: Phase,
    /// What its pipeline, or the last attempt to build one, was made for.
    pub tenant: Option<Arc<Tenant>>,
    /// What it asked for; unknown while it is refused.
    pub facts: Option<TenantFacts>,
    /// The parts of it that are refused although it runs: a pattern that grants nothing, say.
    pub unmet: Vec<String>,
    /// What is taken as written, but is probably not what was meant.
    pub warnings: Vec<String>,
    /// Its own filters, in order.
    pub filters: Vec<FilterReport>,
    /// Its lanes, by source group and endpoint.
    pub lanes: Vec<Lane>,
    /// Samples that lanes delivered which are no more: the resource was edited since.
    pub delivered_before: u64,
}

impl TenantStatus {
    /// How many ticks that were missed are still to be sent behind newer ones, to the endpoint that has most of them to come.
    pub fn missed(&self) -> u64 {
        self.lanes.iter().filter_map(|lane| lane.missed).max().unwrap_or_default()
    }

    /// Series of the newest ticks that its filters kept, and that they dropped; `None` before the first. Lanes of one source group
    /// carry the same ones.
    pub fn series(&self) -> Option<(u64, u64)> {
        let mut seen = HashSet::new();
        let collected = self.lanes.iter().filter_map(|lane| Some((&lane.group, lane.collected.as_ref()?)));
        let of_groups = collected.filter(|(group, _)| seen.insert(*group));
        let of_groups = of_groups.map(|(_, tick)| (tick.kept, tick.dropped));
        of_groups.reduce(|(kept, dropped), more| (kept + more.0, dropped + more.1))
    }

    /// Samples delivered since the program's start, whatever became of the resource.
    pub fn delivered_total(&self) -> u64 {
        self.delivered_before + self.lanes.iter().map(|lane| lane.delivered_total).sum::<u64>()
    }
}

/// One source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceStatus {
    /// The operator's name for it.
    pub name: String,
    /// Its address without credentials.
    pub url: String,
    /// Labels added to everything pulled from it.
    pub labels: Vec<(String, String)>,
    /// How long after a tick it is asked.
    pub lag: Duration,
    /// The group it declares.
    pub replica_group: Option<String>,
    /// When it last answered.
    pub last_seen: Option<Timestamp>,
    /// What went wrong last, even if it is over.
    pub last_error: Option<(String, Timestamp)>,
    /// Whether it answers; nobody has heard otherwise of one that was not asked yet.
    pub healthy: bool,
    /// Queries or probes in a row that failed, the more of the two.
    pub consecutive_failures: u32,
    /// Its clock minus ours, in milliseconds, if an answer told.
    pub clock_skew_millis: Option<i64>,
}

impl From<&Source> for SourceStatus {
    fn from(source: &Source) -> SourceStatus {
        let mut url = source.url.clone();
        // Both fail only for addresses that cannot have credentials.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.set_query(None);
        SourceStatus {
            name: source.name.to_string(),
            url: url.into(),
            labels: source.labels.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
            lag: source.lag,
            replica_group: source.replica_group.clone(),
            last_seen: None,
            last_error: None,
            healthy: true,
            consecutive_failures: 0,
            clock_skew_millis: None,
        }
    }
}

/// Everything the board knows, at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// The moment that ages are counted from.
    pub now: Timestamp,
    /// Sorted by namespace and name.
    pub tenants: Vec<TenantStatus>,
    /// Sorted by name.
    pub sources: Vec<SourceStatus>,
    /// Documents that are no resource at all: where they are and what is wrong with them.
    pub unreadable: Vec<(String, Vec<String>)>,
    /// What keeps sources from being found, by where.
    pub discovery: BTreeMap<String, String>,
}
