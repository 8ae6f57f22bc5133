//! Targets: `/debug/targets`, every source and how it does, and what keeps others from being found.

use serde::Serialize;
use serde_json::{Map, Value};

use super::health::time;
use crate::status::{Snapshot, SourceStatus};

/// The answer.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    targets: Vec<Target>,
    problems: Vec<Problem>,
}

/// Something that keeps sources from being found.
#[derive(Debug, Serialize)]
struct Problem {
    place: String,
    problem: String,
}

#[derive(Debug, Serialize)]
struct Target {
    name: String,
    url: String,
    health: &'static str,
    labels: Map<String, Value>,
    replica_group: Option<String>,
    lag_seconds: f64,
    last_seen: Option<String>,
    last_error: Option<String>,
    last_error_at: Option<String>,
    consecutive_failures: u32,
    clock_skew_seconds: Option<f64>,
}

pub(super) fn report(snapshot: &Snapshot) -> Report {
    let problem =
        |(place, problem): (&String, &String)| Problem { place: place.clone(), problem: problem.clone() };
    Report {
        targets: snapshot.sources.iter().cloned().map(Target::from).collect(),
        problems: snapshot.discovery.iter().map(problem).collect(),
    }
}

impl From<SourceStatus> for Target {
    fn from(source: SourceStatus) -> Target {
        let health = source.state();
        let SourceStatus {
            name,
            url,
            labels,
            lag,
            replica_group,
            last_seen,
            last_error,
            consecutive_failures,
            clock_skew_millis,
            healthy: _,
        } = source;
        let (last_error, last_error_at) = last_error.map(|(error, at)| (error, time(at))).unzip();
        Target {
            name,
            url,
            health,
            labels: labels.into_iter().map(|(name, value)| (name, value.into())).collect(),
            replica_group,
            lag_seconds: lag.as_secs_f64(),
            last_seen: last_seen.map(time),
            last_error,
            last_error_at,
            consecutive_failures,
            clock_skew_seconds: clock_skew_millis.map(|millis| millis as f64 / 1000.0),
        }
    }
}
