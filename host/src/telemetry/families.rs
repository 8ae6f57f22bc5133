//! Families: the name, help, unit and labels of every metric.
//!
//! In: a registry. Out: families to count in. Never: a label whose values are not bounded by the operator's
//! configuration or by an enum.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry, Unit};

use super::handles::{Limit, Outcome, QueryResult, Refusal, TenantMetrics};
use crate::model::TenantId;

/// From a loopback answer to the longest timeout anyone should set.
const DURATION_BUCKETS_SECONDS: [f64; 12] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

pub(super) type Seconds = Gauge<f64, AtomicU64>;
pub(super) type SecondsSpent = Counter<f64, AtomicU64>;
type Durations<L> = Family<L, Histogram, fn() -> Histogram>;

/// Label sets. The field names are the labels' names.
pub(super) mod labels {
    use super::{Arc, EncodeLabelSet};

    #[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
    pub(in crate::telemetry) struct Target {
        pub(in crate::telemetry) tenant: Arc<str>,
        pub(in crate::telemetry) target_type: &'static str,
    }

    #[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
    pub(in crate::telemetry) struct Status {
        pub(in crate::telemetry) tenant: Arc<str>,
        pub(in crate::telemetry) target_type: &'static str,
        pub(in crate::telemetry) status: &'static str,
    }

    #[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
    pub(in crate::telemetry) struct Protocol {
        pub(in crate::telemetry) tenant: Arc<str>,
        pub(in crate::telemetry) target_type: &'static str,
        pub(in crate::telemetry) protocol: &'static str,
    }

    #[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
    pub(in crate::telemetry) struct Reason {
        pub(in crate::telemetry) tenant: Arc<str>,
        pub(in crate::telemetry) target_type: &'static str,
        pub(in crate::telemetry) reason: &'static str,
    }

    #[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
    pub(in crate::telemetry) struct Outcome {
        pub(in crate::telemetry) tenant: Arc<str>,
        pub(in crate::telemetry) target_type: &'static str,
        pub(in crate::telemetry) outcome: &'static str,
    }

    /// One resource: gauges of two resources of one namespace must not overwrite each other.
    #[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
    pub(in crate::telemetry) struct Resource {
        pub(in crate::telemetry) tenant: Arc<str>,
        pub(in crate::telemetry) resource: Arc<str>,
    }

    #[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
    pub(in crate::telemetry) struct Source {
        pub(in crate::telemetry) source: Arc<str>,
    }

    #[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
    pub(in crate::telemetry) struct SourceResult {
        pub(in crate::telemetry) source: Arc<str>,
        pub(in crate::telemetry) result: &'static str,
    }

    #[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
    pub(in crate::telemetry) struct Limit {
        pub(in crate::telemetry) tenant: Arc<str>,
        pub(in crate::telemetry) resource: Arc<str>,
        pub(in crate::telemetry) limit: &'static str,
    }

    #[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
    pub(in crate::telemetry) struct State {
        pub(in crate::telemetry) state: &'static str,
    }
}

impl labels::Resource {
    pub(super) fn of(id: &TenantId) -> labels::Resource {
        labels::Resource { tenant: id.namespace.as_str().into(), resource: id.name.as_str().into() }
    }
}

impl labels::Limit {
    pub(super) fn of(id: &TenantId, limit: Limit) -> labels::Limit {
        let labels::Resource { tenant, resource } = labels::Resource::of(id);
        labels::Limit { tenant, resource, limit: limit.as_str() }
    }
}

/// What is counted per namespace and kind of target, and per resource.
pub(super) struct Targets {
    pub(super) collected: Family<labels::Target, Counter>,
    pub(super) requests: Family<labels::Status, Counter>,
    pub(super) by_protocol: Family<labels::Protocol, Counter>,
    pub(super) duration: Durations<labels::Target>,
    pub(super) request_bytes: Family<labels::Target, Counter>,
    pub(super) delivered: Family<labels::Target, Counter>,
    pub(super) refused: Family<labels::Reason, Counter>,
    pub(super) stale_markers: Family<labels::Target, Counter>,
    pub(super) collisions: Family<labels::Target, Counter>,
    pub(super) ticks: Family<labels::Outcome, Counter>,
    pub(super) cursor_lag: Family<labels::Resource, Seconds>,
    pub(super) missed: Family<labels::Resource, Gauge>,
    pub(super) series_kept: Family<labels::Resource, Gauge>,
    pub(super) series_dropped: Family<labels::Resource, Gauge>,
    pub(super) limit_max: Family<labels::Limit, Gauge>,
    pub(super) limit_used: Family<labels::Limit, Gauge>,
}

/// What is counted per source.
pub(super) struct Sources {
    pub(super) up: Family<labels::Source, Gauge>,
    pub(super) queries: Family<labels::SourceResult, Counter>,
    pub(super) duration: Durations<labels::Source>,
    pub(super) series: Family<labels::Source, Counter>,
    pub(super) bytes: Family<labels::Source, Counter>,
    pub(super) histograms: Family<labels::Source, Counter>,
    pub(super) skew: Family<labels::Source, Seconds>,
}

/// What is counted for the whole.
pub(super) struct Parts {
    pub(super) tenants: Family<labels::State, Gauge>,
    pub(super) cursors_left_out: Gauge,
    pub(super) groups_left: Gauge,
    pub(super) not_running: Gauge,
}

fn durations<L: Clone + std::hash::Hash + Eq>() -> Durations<L> {
    Family::new_with_constructor(|| Histogram::new(DURATION_BUCKETS_SECONDS))
}

/// Registers families; the registry ends each help text with a full stop.
pub(super) struct Registrar<'a>(pub(super) &'a mut Registry);

impl Registrar<'_> {
    pub(super) fn add<M: Metric + Clone + Default>(&mut self, name: &str, help: &str) -> M {
        let metric = M::default();
        self.0.register(name, help, metric.clone());
        metric
    }

    pub(super) fn add_in<M: Metric + Clone>(&mut self, unit: Unit, name: &str, help: &str, metric: M) -> M {
        self.0.register_with_unit(name, help, unit, metric.clone());
        metric
    }
}

impl Targets {
    #[rustfmt::skip] // one metric a line, as a table
    pub(super) fn register(registry: &mut Registry) -> Targets {
        use Unit::{Bytes, Seconds};
        let mut r = Registrar(registry);
        Targets {
            collected: r.add("remote_write_metrics_collected", "Series collected from the sources for remote write at each tick, before filtering"),
            requests: r.add("remote_write_requests", "Requests sent to targets, by how they ended: success or error"),
            by_protocol: r.add("sluice_requests_by_protocol", "Requests sent to receivers of remote write, by its version"),
            duration: r.add_in(Seconds, "remote_write_request_duration", "How long a target took to answer a request", durations()),
            request_bytes: r.add_in(Bytes, "sluice_request", "Bodies of requests sent to targets, as compressed on the wire", Family::default()),
            delivered: r.add("sluice_samples_delivered", "Samples that a target acknowledged"),
            refused: r.add("sluice_samples_refused", "Samples that a target refused for good, by reason"),
            stale_markers: r.add("sluice_stale_markers", "Stale markers sent for series that ended"),
            collisions: r.add("sluice_series_collisions", "Samples not sent because another series already has the same labels"),
            ticks: r.add("sluice_ticks", "Ticks by outcome: delivered, late (by more than one interval), failed (will be repeated) or given_up"),
            cursor_lag: r.add_in(Seconds, "sluice_cursor_lag", "Age of the newest tick that every endpoint of a resource has acknowledged", Family::default()),
            missed: r.add("sluice_missed_ticks", "Ticks that a resource missed and that are sent to an endpoint behind newer ones, the most of any endpoint"),
            series_kept: r.add("sluice_series_kept", "Series of the last tick that the filters kept"),
            series_dropped: r.add("sluice_series_dropped", "Series of the last tick that the filters dropped"),
            limit_max: r.add("sluice_limit_max", "What the operator allows a resource, in the unit that ends the limit's name"),
            limit_used: r.add("sluice_limit_used", "How much of it the last tick took"),
        }
    }

    pub(super) fn remove_target(&self, namespace: &str, target_type: &'static str) {
        let tenant = Arc::<str>::from(namespace);
        let target = labels::Target { tenant: tenant.clone(), target_type };
        let counters = [&self.collected, &self.request_bytes, &self.delivered, &self.stale_markers];
        for family in counters.into_iter().chain([&self.collisions]) {
            family.remove(&target);
        }
        self.duration.remove(&target);
        for status in TenantMetrics::STATUSES {
            self.requests.remove(&labels::Status { tenant: tenant.clone(), target_type, status });
        }
        for protocol in TenantMetrics::PROTOCOLS {
            self.by_protocol.remove(&labels::Protocol { tenant: tenant.clone(), target_type, protocol });
        }
        for reason in Refusal::ALL.map(Refusal::as_str) {
            self.refused.remove(&labels::Reason { tenant: tenant.clone(), target_type, reason });
        }
        for outcome in Outcome::ALL.map(Outcome::as_str) {
            self.ticks.remove(&labels::Outcome { tenant: tenant.clone(), target_type, outcome });
        }
    }

    pub(super) fn remove_resource(&self, id: &TenantId) {
        let labels = labels::Resource::of(id);
        self.cursor_lag.remove(&labels);
        self.missed.remove(&labels);
        self.series_kept.remove(&labels);
        self.series_dropped.remove(&labels);
        for limit in Limit::ALL {
            let labels = labels::Limit::of(id, limit);
            self.limit_max.remove(&labels);
            self.limit_used.remove(&labels);
        }
    }
}

impl Sources {
    #[rustfmt::skip] // one metric a line, as a table
    pub(super) fn register(registry: &mut Registry) -> Sources {
        use Unit::{Bytes, Seconds};
        let mut r = Registrar(registry);
        Sources {
            up: r.add("sluice_source_up", "Whether the last query of a source was answered"),
            queries: r.add("sluice_source_queries", "Queries sent to a source, by result: success, error or partial"),
            duration: r.add_in(Seconds, "sluice_source_query_duration", "How long a source took to answer a query, its body included", durations()),
            series: r.add("sluice_source_series", "Series that a source answered with"),
            bytes: r.add_in(Bytes, "sluice_source_response", "Bodies of a source's answers that were scanned", Family::default()),
            histograms: r.add("sluice_source_histograms_skipped", "Native histograms left out: queries have them in no form that can be passed on, and filters that see samples none that could be shown"),
            skew: r.add_in(Seconds, "sluice_source_clock_skew", "A source's clock minus ours", Family::default()),
        }
    }

    pub(super) fn remove(&self, source: Arc<str>) {
        for result in QueryResult::ALL.map(QueryResult::as_str) {
            self.queries.remove(&labels::SourceResult { source: source.clone(), result });
        }
        let labels = labels::Source { source };
        self.up.remove(&labels);
        self.duration.remove(&labels);
        self.skew.remove(&labels);
        for family in [&self.series, &self.bytes, &self.histograms] {
            family.remove(&labels);
        }
    }
}

impl Parts {
    #[rustfmt::skip] // one metric a line, as a table
    pub(super) fn register(registry: &mut Registry) -> Parts {
        let mut r = Registrar(registry);
        Parts {
            tenants: r.add("sluice_tenants", "Resources, by state"),
            not_running: r.add("sluice_resources_not_running", "Resources that no replica has run for longer than a takeover takes, as this one sees it"),
            groups_left: r.add("sluice_pushgateway_groups_left", "Pushgateway groups that no resource pushes to any more and that are still to be removed"),
            cursors_left_out: r.add("sluice_cursors_left_out", "Resources whose cursors find no room in the ConfigMaps"),
        }
    }
}
