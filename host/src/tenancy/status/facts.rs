//! Facts: all that a status is made of, as plain data.
//!
//! In: the resource as the cluster has it, what its review said, and what is known of its lanes. Never: a clock.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::types::MetricAccessStatus;
use crate::document::Problem;
use crate::model::{Interval, TargetType, Tick, Timestamp};

/// What a status needs to know of its resource.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Subject {
    /// Tells it from a later resource of the same name.
    pub uid: String,
    /// Counts the changes of its specification.
    pub generation: i64,
    /// The entries of `spec.metrics`; what is no text is empty here.
    pub metrics: Vec<String>,
    /// The status it has, if it has one that can be read.
    pub status: Option<MetricAccessStatus>,
}

impl Subject {
    /// Reads it off an object's `spec` and `status`, however malformed they are.
    pub fn of(uid: &str, generation: i64, object: &Value) -> Subject {
        let metrics = object["spec"]["metrics"].as_array().map(Vec::as_slice).unwrap_or_default();
        Subject {
            uid: uid.to_owned(),
            generation,
            metrics: metrics.iter().map(|entry| entry.as_str().unwrap_or_default().to_owned()).collect(),
            status: object.get("status").and_then(MetricAccessStatus::read),
        }
    }
}

/// What became of a resource, in itself and beside the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It runs.
    Runs,
    /// It is valid and does not want to run.
    Disabled,
    /// It may not run; at least one problem is an error.
    Refused,
}

/// All that a status is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// The resource.
    pub subject: Arc<Subject>,
    /// What became of it.
    pub decision: Decision,
    /// Errors and warnings, in the order in which they were found.
    pub problems: Arc<[Problem]>,
    /// The kind of target, if it runs.
    pub target: Option<TargetType>,
    /// How far ticks are apart, if it runs.
    pub interval: Option<Interval>,
    /// What its pipeline does, if it runs.
    pub flow: Flow,
    /// The replica that works for it.
    pub owner: Arc<str>,
}

/// What a pipeline does.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Flow {
    /// Whether there is one.
    pub pipeline: Pipeline,
    /// One for each source group and endpoint.
    pub lanes: Vec<Lane>,
    /// The resource's own filters, in order.
    pub filters: Vec<Filter>,
}

/// How far one of the resource's own filters has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Its name.
    pub name: String,
    /// How many of the steps of [`FILTER_STEPS`] it has passed.
    pub passed: usize,
    /// Where its component comes from, so that it means the same tomorrow.
    pub resolved: Option<String>,
    /// The component's digest.
    pub digest: Option<String>,
    /// The version of the contract it was built for.
    pub contract: Option<String>,
    /// The digest of the component that runs, or ran last.
    pub last_good: Option<String>,
    /// What went wrong last, even if it is over, and at which step.
    pub last_failure: Option<(usize, Failure)>,
}

/// What has to be true of a filter before it runs, in order.
pub const FILTER_STEPS: [&str; 4] = ["Resolved", "Verified", "Compiled", "Configured"];

impl Filter {
    /// The step that it does not pass, and why.
    pub fn failing(&self) -> Option<(usize, &Failure)> {
        let (step, failure) = self.last_failure.as_ref()?;
        (self.passed <= *step).then_some((*step, failure))
    }
}

/// Whether a pipeline could be built.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Pipeline {
    /// It is being built.
    #[default]
    Starting,
    /// It was built.
    Running,
    /// It cannot be built: why.
    Broken(String),
    /// Nobody runs it: why.
    Absent(String),
}

/// One source group × endpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Lane {
    /// The source group's name; `*` is all of them.
    pub group: String,
    /// The endpoint's address without credentials.
    pub endpoint: String,
    /// How far behind the clock ticks are evaluated.
    pub lag: Duration,
    /// When the lane was set up.
    pub since: Timestamp,
    /// What the newest collected tick came to.
    pub collected: Option<Collected>,
    /// The newest tick that was acknowledged.
    pub delivered: Option<Delivered>,
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
    /// As long as ticks that were missed are sent behind newer ones: how many are left.
    pub missed: Option<u64>,
}

/// What a collected tick came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collected {
    /// Series that came from the sources.
    pub selected: u64,
    /// Series the filters dropped.
    pub dropped: u64,
    /// Series not sent because another one has the same labels.
    pub collided: u64,
    /// Series dropped by each filter, in the chain's order.
    pub dropped_by: Vec<(String, u64)>,
}

/// A tick that was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivered {
    /// Which tick.
    pub tick: Tick,
    /// Series of it.
    pub series: u64,
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

/// Where in a tick something went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Asking the source.
    Collect,
    /// The filters.
    Filter,
    /// Sending to the endpoint, and remembering that it was sent.
    Deliver,
}
