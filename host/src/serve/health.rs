//! Health: `/health`, the state of every remote write and of the whole.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::Timestamp;
use crate::status::{Collected, Delivered, Failure, Health, Lane, Readiness, Snapshot, TenantStatus};

/// The answer.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    status: &'static str,
    version: &'static str,
    time: String,
    remote_writes: Vec<RemoteWrite>,
    sources: Sources,
    unreadable: Vec<Unreadable>,
    discovery: BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
struct RemoteWrite {
    namespace: String,
    name: String,
    state: &'static str,
    reasons: Vec<String>,
    warnings: Vec<String>,
    target_type: Option<&'static str>,
    interval_seconds: Option<f64>,
    lanes: Vec<LaneReport>,
}

#[derive(Debug, Serialize)]
struct LaneReport {
    sources: String,
    endpoint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    missed_ticks: Option<u64>,
    state: &'static str,
    last_collected: Option<CollectedReport>,
    last_delivered: Option<DeliveredReport>,
    behind_seconds: Option<f64>,
    samples_delivered: u64,
    consecutive_failures: u32,
    last_error: Option<ErrorReport>,
}

#[derive(Debug, Serialize)]
struct CollectedReport {
    tick: String,
    series: u64,
    kept: u64,
    dropped: u64,
    collided: u64,
    targets_used: usize,
}

#[derive(Debug, Serialize)]
struct DeliveredReport {
    tick: String,
    series: u64,
    samples: u64,
    at: String,
}

#[derive(Debug, Serialize)]
struct ErrorReport {
    stage: &'static str,
    message: String,
    at: String,
}

#[derive(Debug, Serialize)]
struct Sources {
    total: usize,
    up: usize,
    down: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Unreadable {
    origin: String,
    problems: Vec<String>,
}

pub(super) fn report(snapshot: &Snapshot, readiness: &Readiness) -> Report {
    let in_state = |state| snapshot.sources.iter().filter(move |source| source.state() == state);
    let unreadable = |(origin, problems): &(String, Vec<String>)| Unreadable {
        origin: origin.clone(),
        problems: problems.clone(),
    };
    Report {
        status: match (snapshot.health(), readiness) {
            (Health::Ok, Readiness::Starting(_)) => "starting",
            (Health::Ok, Readiness::Stopping) => "stopping",
            (health, _) => health.as_str(),
        },
        version: env!("CARGO_PKG_VERSION"),
        time: time(snapshot.now),
        remote_writes: snapshot.tenants.iter().map(|tenant| remote_write(tenant, snapshot.now)).collect(),
        sources: Sources {
            total: snapshot.sources.len(),
            up: in_state("up").count(),
            down: in_state("down").map(|source| source.name.clone()).collect(),
        },
        unreadable: snapshot.unreadable.iter().map(unreadable).collect(),
        discovery: snapshot.discovery.clone(),
    }
}

fn remote_write(tenant: &TenantStatus, now: Timestamp) -> RemoteWrite {
    let interval = tenant.facts.as_ref().map(|facts| facts.interval.duration());
    RemoteWrite {
        namespace: tenant.id.namespace.clone(),
        name: tenant.id.name.clone(),
        state: tenant.state(now),
        reasons: tenant.health(now).1,
        warnings: tenant.warnings.clone(),
        target_type: tenant.facts.as_ref().map(|facts| facts.target_type.as_str()),
        interval_seconds: interval.map(|interval| interval.as_secs_f64()),
        lanes: tenant
            .lanes
            .iter()
            .map(|lane| LaneReport {
                state: lane.health(interval, now).0.as_str(),
                behind_seconds: lane.behind(now).map(|behind| behind.as_secs_f64()),
                ..lane.clone().into()
            })
            .collect(),
    }
}

impl From<Lane> for LaneReport {
    fn from(lane: Lane) -> LaneReport {
        let Lane { group, endpoint, collected, delivered, delivered_total, last_error, .. } = lane;
        let Lane { protocol, order, missed, .. } = lane;
        LaneReport {
            sources: group,
            endpoint,
            protocol,
            order,
            missed_ticks: missed,
            state: "unknown",
            last_collected: collected.map(CollectedReport::from),
            last_delivered: delivered.map(DeliveredReport::from),
            behind_seconds: None,
            samples_delivered: delivered_total,
            consecutive_failures: lane.consecutive_failures,
            last_error: last_error.map(ErrorReport::from),
        }
    }
}

impl From<Collected> for CollectedReport {
    fn from(collected: Collected) -> CollectedReport {
        let Collected { tick, selected, kept, dropped, collided, targets_used } = collected;
        CollectedReport {
            tick: time(tick.timestamp()),
            series: selected,
            kept,
            dropped,
            collided,
            targets_used,
        }
    }
}

impl From<Delivered> for DeliveredReport {
    fn from(delivered: Delivered) -> DeliveredReport {
        let Delivered { tick, series, samples, at } = delivered;
        DeliveredReport { tick: time(tick.timestamp()), series, samples, at: time(at) }
    }
}

impl From<Failure> for ErrorReport {
    fn from(failure: Failure) -> ErrorReport {
        let Failure { stage, message, at } = failure;
        ErrorReport { stage: stage.as_str(), message, at: time(at) }
    }
}

/// RFC 3339 with milliseconds; a moment no calendar has is shown in milliseconds since the epoch.
pub(super) fn time(at: Timestamp) -> String {
    match jiff::Timestamp::from_millisecond(at.as_millis()) {
        Ok(time) => format!("{time:.3}"),
        Err(_) => at.as_millis().to_string(),
    }
}
