//! What the tests of this room begin with.

mod docs;
mod news;
mod pace;
mod render;
mod schema;

use std::sync::Arc;
use std::time::Duration;

use super::facts::{Collected, Decision, Delivered, Facts, Failure, Flow, Lane, Pipeline, Stage, Subject};
use super::{Before, MetricAccessStatus};
use crate::document::{Path, Problem};
use crate::model::{Interval, TargetType, Tick, Timestamp};

/// A tick of the interval, 2026-01-01T00:00:00Z.
const TICK: Timestamp = Timestamp(1_767_225_600_000);
/// When that tick is due.
const DUE: Timestamp = Timestamp(TICK.0 + LAG.as_millis() as i64);
const LAG: Duration = Duration::from_secs(15);
const INTERVAL: Duration = Duration::from_secs(30);

fn interval() -> Interval {
    Interval::new(INTERVAL).unwrap()
}

fn tick(at: Timestamp) -> Tick {
    Tick::at_or_before(at, interval())
}

fn after(seconds: u64) -> Timestamp {
    DUE.plus(Duration::from_secs(seconds))
}

fn subject() -> Subject {
    let metrics = ["up", "http_*", "sum(up)"].map(str::to_owned).to_vec();
    Subject { uid: "u1".into(), generation: 3, metrics, status: None }
}

/// A lane that has just been set up.
fn lane(group: &str, endpoint: &str) -> Lane {
    Lane {
        group: group.into(),
        endpoint: endpoint.into(),
        lag: LAG,
        since: TICK,
        collected: None,
        delivered: None,
        last_error: None,
        consecutive_failures: 0,
        conflict: None,
        bypassed: None,
        refused: None,
        protocol: None,
        missed: None,
    }
}

/// A lane that delivered [`TICK`] when it was due.
fn delivering() -> Lane {
    let collected = Collected { selected: 100, dropped: 8, collided: 1, dropped_by: Vec::new() };
    let delivered = Delivered { tick: tick(TICK), series: 91, at: DUE };
    Lane {
        collected: Some(collected),
        delivered: Some(delivered),
        ..lane("infra", "http://prometheus.web:9090/")
    }
}

/// The same lane, after failed attempts.
fn failing(lane: Lane, stage: Stage, message: &str, times: u32) -> Lane {
    let failure = Failure { stage, message: message.into(), at: DUE };
    Lane { last_error: Some(failure), consecutive_failures: times, ..lane }
}

fn running(lanes: Vec<Lane>) -> Facts {
    Facts {
        subject: Arc::new(subject()),
        decision: Decision::Runs,
        problems: Arc::default(),
        target: Some(TargetType::Prometheus),
        interval: Some(interval()),
        flow: Flow { pipeline: Pipeline::Running, lanes, filters: Vec::new() },
        owner: "sluice-0".into(),
    }
}

fn decided(decision: Decision, problems: Vec<Problem>) -> Facts {
    Facts {
        decision,
        problems: problems.into(),
        target: None,
        interval: None,
        flow: Flow::default(),
        ..running(vec![])
    }
}

fn at(path: &str) -> Path {
    Path::root().keys(path)
}

fn rendered(facts: &Facts, stored: Option<&MetricAccessStatus>, now: Timestamp) -> MetricAccessStatus {
    super::render(facts, Before { stored, wanted: None }, now)
}

/// `type=status/reason`, in order.
fn gist(status: &MetricAccessStatus) -> Vec<String> {
    status.conditions.iter().map(|c| format!("{}={}/{}", c.type_, c.status, c.reason)).collect()
}
