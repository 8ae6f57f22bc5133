//! Handles: what the pipelines count with. Cheap to clone, no look-up per event.
//!
//! In: counts. Out: nothing; the registry reads the same atomics.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use super::families::{Seconds, Sources, Targets, labels};
use crate::model::{TargetType, TenantId};

/// Why a target refused samples for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Older than the newest sample of its series.
    OutOfOrder,
    /// Another value for a timestamp that the target already has.
    Duplicate,
    /// Older than the target accepts at all.
    TooOld,
    /// The target's limits on labels, series or sizes.
    Limit,
    /// Native histograms, which the target does not take.
    Histograms,
    /// Taken with a request that the target says it has not written all of.
    Unwritten,
    /// Anything else that a repetition cannot cure.
    Other,
}

impl Refusal {
    pub(super) const ALL: [Refusal; 7] = [
        Refusal::OutOfOrder,
        Refusal::Duplicate,
        Refusal::TooOld,
        Refusal::Limit,
        Refusal::Histograms,
        Refusal::Unwritten,
        Refusal::Other,
    ];

    /// The word in the `reason` label.
    pub fn as_str(self) -> &'static str {
        match self {
            Refusal::OutOfOrder => "out_of_order",
            Refusal::Duplicate => "duplicate",
            Refusal::TooOld => "too_old",
            Refusal::Limit => "limit",
            Refusal::Histograms => "histograms",
            Refusal::Unwritten => "unwritten",
            Refusal::Other => "other",
        }
    }
}

/// How a tick ended at one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Acknowledged, within one interval of its time.
    Delivered,
    /// Acknowledged, but later.
    Late,
    /// An attempt failed; the tick will be asked for again.
    Failed,
    /// Older than can still be delivered: never again.
    GivenUp,
}

impl Outcome {
    pub(super) const ALL: [Outcome; 4] =
        [Outcome::Delivered, Outcome::Late, Outcome::Failed, Outcome::GivenUp];

    /// The word in the `outcome` label.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Delivered => "delivered",
            Outcome::Late => "late",
            Outcome::Failed => "failed",
            Outcome::GivenUp => "given_up",
        }
    }
}

/// A limit of the operator's on one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Series at one tick, of all source groups (`limits.maxSeries`).
    TickSeries,
    /// Bytes of one tick to one endpoint, on the wire (`limits.maxBytesPerTick`).
    TickBytes,
    /// Bytes that the series of its namespace's resources take in memory (`limits.maxMemory`).
    NamespaceMemory,
}

impl Limit {
    pub(super) const ALL: [Limit; 3] = [Limit::TickSeries, Limit::TickBytes, Limit::NamespaceMemory];

    /// The word in the `limit` label; its unit ends it.
    pub fn as_str(self) -> &'static str {
        match self {
            Limit::TickSeries => "tick_series",
            Limit::TickBytes => "tick_bytes",
            Limit::NamespaceMemory => "namespace_memory_bytes",
        }
    }
}

/// How a query of a source ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryResult {
    /// A whole answer.
    Success,
    /// No answer, or an error.
    Error,
    /// An answer that does not tell everything, so it counts as not collected.
    Partial,
}

impl QueryResult {
    pub(super) const ALL: [QueryResult; 3] = [QueryResult::Success, QueryResult::Error, QueryResult::Partial];

    /// The word in the `result` label.
    pub fn as_str(self) -> &'static str {
        match self {
            QueryResult::Success => "success",
            QueryResult::Error => "error",
            QueryResult::Partial => "partial",
        }
    }
}

/// One resource's counters. A clone counts into the same.
#[derive(Debug, Clone)]
pub struct TenantMetrics {
    collected: Counter,
    succeeded: Counter,
    failed: Counter,
    duration: Histogram,
    request_bytes: Counter,
    delivered: Counter,
    refused: [Counter; Refusal::ALL.len()],
    stale_markers: Counter,
    collisions: Counter,
    ticks: [Counter; Outcome::ALL.len()],
    by_protocol: [Counter; TenantMetrics::PROTOCOLS.len()],
}

impl TenantMetrics {
    /// The words in the `status` label of `remote_write_requests_total`.
    pub(super) const STATUSES: [&str; 2] = ["success", "error"];
    /// The words in the `protocol` label of `sluice_requests_by_protocol_total`.
    pub(super) const PROTOCOLS: [&str; 2] = ["1.0", "2.0"];

    pub(super) fn new(families: &Targets, id: &TenantId, target_type: TargetType) -> TenantMetrics {
        let (tenant, target_type) = (Arc::<str>::from(id.namespace.as_str()), target_type.as_str());
        let target = labels::Target { tenant: tenant.clone(), target_type };
        let [succeeded, failed] = Self::STATUSES.map(|status| {
            let labels = labels::Status { tenant: tenant.clone(), target_type, status };
            families.requests.get_or_create_owned(&labels)
        });
        let refused = Refusal::ALL.map(Refusal::as_str).map(|reason| {
            let labels = labels::Reason { tenant: tenant.clone(), target_type, reason };
            families.refused.get_or_create_owned(&labels)
        });
        let ticks = Outcome::ALL.map(Outcome::as_str).map(|outcome| {
            let labels = labels::Outcome { tenant: tenant.clone(), target_type, outcome };
            families.ticks.get_or_create_owned(&labels)
        });
        let by_protocol = Self::PROTOCOLS.map(|protocol| {
            let labels = labels::Protocol { tenant: tenant.clone(), target_type, protocol };
            families.by_protocol.get_or_create_owned(&labels)
        });
        TenantMetrics {
            collected: families.collected.get_or_create_owned(&target),
            succeeded,
            failed,
            duration: families.duration.get_or_create_owned(&target),
            request_bytes: families.request_bytes.get_or_create_owned(&target),
            delivered: families.delivered.get_or_create_owned(&target),
            refused,
            stale_markers: families.stale_markers.get_or_create_owned(&target),
            collisions: families.collisions.get_or_create_owned(&target),
            ticks,
            by_protocol,
        }
    }

    /// Samples that came from the sources, before filtering.
    pub fn collected(&self, samples: u64) {
        self.collected.inc_by(samples);
    }

    /// Samples not sent because another series has the same labels.
    pub fn collided(&self, samples: u64) {
        self.collisions.inc_by(samples);
    }

    /// One request ended, after `took`, with a body of `bytes` on the wire; `acknowledged` says how.
    pub fn request<E>(&self, acknowledged: &Result<(), E>, took: Duration, bytes: u64) {
        match acknowledged {
            Ok(()) => self.succeeded.inc(),
            Err(_) => self.failed.inc(),
        };
        self.duration.observe(took.as_secs_f64());
        self.request_bytes.inc_by(bytes);
    }

    /// One request was sent in this version of remote write.
    pub fn spoken(&self, protocol: &str) {
        let of = Self::PROTOCOLS.iter().zip(&self.by_protocol).find(|(word, _)| **word == protocol);
        of.map(|(_, counter)| counter.inc());
    }

    /// Samples that a target acknowledged.
    pub fn delivered(&self, samples: u64) {
        self.delivered.inc_by(samples);
    }

    /// Samples that a target refused for good.
    pub fn refused(&self, why: Refusal, samples: u64) {
        self.refused[why as usize].inc_by(samples);
    }

    /// Stale markers sent.
    pub fn stale_markers(&self, markers: u64) {
        self.stale_markers.inc_by(markers);
    }

    /// One tick ended at one endpoint.
    pub fn tick(&self, outcome: Outcome) {
        self.ticks(outcome, 1);
    }

    /// So many ticks ended at one endpoint.
    pub fn ticks(&self, outcome: Outcome, count: u64) {
        self.ticks[outcome as usize].inc_by(count);
    }
}

/// One source's counters. A clone counts into the same.
#[derive(Debug, Clone)]
pub struct SourceMetrics {
    up: Gauge,
    queries: [Counter; QueryResult::ALL.len()],
    duration: Histogram,
    series: Counter,
    bytes: Counter,
    histograms: Counter,
    skew: Seconds,
}

impl SourceMetrics {
    pub(super) fn new(families: &Sources, source: Arc<str>) -> SourceMetrics {
        let queries = QueryResult::ALL.map(QueryResult::as_str).map(|result| {
            let labels = labels::SourceResult { source: source.clone(), result };
            families.queries.get_or_create_owned(&labels)
        });
        let labels = labels::Source { source };
        SourceMetrics {
            up: families.up.get_or_create_owned(&labels),
            queries,
            duration: families.duration.get_or_create_owned(&labels),
            series: families.series.get_or_create_owned(&labels),
            bytes: families.bytes.get_or_create_owned(&labels),
            histograms: families.histograms.get_or_create_owned(&labels),
            skew: families.skew.get_or_create_owned(&labels),
        }
    }

    /// One query ended, after `took`.
    pub fn query(&self, result: QueryResult, took: Duration) {
        self.up.set(i64::from(result != QueryResult::Error));
        self.queries[result as usize].inc();
        self.duration.observe(took.as_secs_f64());
    }

    /// What an answer held.
    pub fn scanned(&self, series: u64, bytes: u64) {
        self.series.inc_by(series);
        self.bytes.inc_by(bytes);
    }

    /// Native histograms that were left out.
    pub fn histograms_skipped(&self, samples: u64) {
        self.histograms.inc_by(samples);
    }

    /// The source's clock minus ours, in seconds.
    pub fn clock_skew(&self, seconds: f64) {
        self.skew.set(seconds);
    }
}

/// How much of one limit is in use.
#[derive(Debug, Clone)]
pub struct Usage(Gauge);

impl Usage {
    pub(super) fn new(gauge: Gauge) -> Usage {
        Usage(gauge)
    }

    /// So much is in use now; it may be more than the limit.
    pub fn set(&self, used: usize) {
        self.0.set(i64::try_from(used).unwrap_or(i64::MAX));
    }
}
