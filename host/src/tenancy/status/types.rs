//! Types: the status of a `MetricAccess`, as it stands in the cluster. Doc comments of fields are what
//! `kubectl explain` prints.
//!
//! Never: a field that a reader must have seen before to understand the others, or a list without a maximum. Lists
//! other than the conditions are written as a whole, which keeps the object's managed fields small.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Conditions, with room for some that others add.
pub(super) const CONDITIONS_MAX: usize = 16;
/// Entries of `spec.metrics` that are reported one by one; the rest is counted in the message of `Accepted`.
pub(super) const PATTERNS_MAX: usize = 50;
/// (endpoint, source group) pairs that are shown; those with errors come first.
pub(super) const ENDPOINTS_MAX: usize = 64;
/// Filters of a chain that are shown.
pub(super) const FILTERS_MAX: usize = 16;
/// What has to be true of one filter.
pub(super) const FILTER_CONDITIONS_MAX: usize = 8;
/// The longest message, in characters. Kubernetes allows 32,768 in a condition; nobody reads those.
pub(super) const MESSAGE_CHARS_MAX: usize = 1_024;
/// The longest text of other kinds, in characters: a pattern, a cure, an address.
pub(super) const TEXT_CHARS_MAX: usize = 512;
/// The longest name, in characters: what Kubernetes allows for most.
pub(super) const NAME_CHARS_MAX: usize = 253;

/// What became of the resource, and how it does. Written by Sluice alone; counts and times are copied about once a
/// minute, and less often where very many resources share one replica. Conditions are always current.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct MetricAccessStatus {
    /// The generation of the resource that this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Accepted, FiltersReady, Collecting and Delivering say how far the metrics come; Ready sums them up. Each gives
    /// a reason, and a message that says what to do.
    #[schemars(
        length(max = CONDITIONS_MAX),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"])
    )]
    pub conditions: Vec<Condition>,
    /// Entries of `spec.metrics` that grant nothing, or probably something else than was meant.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = PATTERNS_MAX), extend("x-kubernetes-list-type" = "atomic"))]
    pub patterns: Vec<PatternStatus>,
    /// How far each of `spec.filters` has come.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = FILTERS_MAX), extend("x-kubernetes-list-type" = "atomic"))]
    pub filters: Vec<ModuleStatus>,
    /// What became of the series at the newest tick.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub series: Option<SeriesStatus>,
    /// How each endpoint does, with each group of sources. Those with errors come first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = ENDPOINTS_MAX), extend("x-kubernetes-list-type" = "atomic"))]
    pub endpoints: Vec<EndpointStatus>,
    /// The newest tick that every endpoint has acknowledged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_delivered: Option<Time>,
    /// The interval in force, also where the resource names none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = NAME_CHARS_MAX))]
    pub interval: Option<String>,
    /// The kind of target in force: `prometheus`, `pushgateway` or `remote_write`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = NAME_CHARS_MAX))]
    pub target: Option<String>,
    /// The replica of Sluice that works for this resource: its pod's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = NAME_CHARS_MAX))]
    pub owner: Option<String>,
}

/// What there is to say about one entry of `spec.metrics`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PatternStatus {
    /// The entry's position in `spec.metrics`, from 0.
    #[schemars(range(min = 0))]
    pub index: i64,
    /// The entry itself, shortened if it is very long.
    #[schemars(length(max = TEXT_CHARS_MAX))]
    pub pattern: String,
    /// `error`: the entry grants nothing. `warning`: it works, but probably not as meant.
    pub severity: Severity,
    /// What is wrong.
    #[schemars(length(max = MESSAGE_CHARS_MAX))]
    pub message: String,
    /// What to write instead.
    #[schemars(length(max = TEXT_CHARS_MAX))]
    pub cure: String,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The entry grants nothing.
    #[default]
    Error,
    /// The entry works, but probably not as meant.
    Warning,
}

/// What became of the series at the newest tick.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SeriesStatus {
    /// Series that the patterns selected at the sources.
    #[schemars(range(min = 0))]
    pub selected: i64,
    /// Series that every endpoint acknowledged.
    #[schemars(range(min = 0))]
    pub delivered: i64,
    /// Series that the filters dropped.
    #[schemars(range(min = 0))]
    pub dropped: i64,
    /// Series not sent because after filtering another one has the same labels.
    #[schemars(range(min = 0))]
    pub collided: i64,
    /// Series dropped by each filter of the chain, in its order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = FILTERS_MAX), extend("x-kubernetes-list-type" = "atomic"))]
    pub dropped_by: Vec<FilterStatus>,
}

/// What one filter dropped.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct FilterStatus {
    /// The filter's name.
    #[schemars(length(max = NAME_CHARS_MAX))]
    pub filter: String,
    /// Series it dropped at the newest tick.
    #[schemars(range(min = 0))]
    pub dropped: i64,
}

/// How far one of `spec.filters` has come.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ModuleStatus {
    /// The filter's name.
    #[schemars(length(max = NAME_CHARS_MAX))]
    pub name: String,
    /// Where its component comes from, so that it means the same tomorrow: a tag is shown as the digest it stood for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = TEXT_CHARS_MAX))]
    pub resolved: Option<String>,
    /// The component's digest.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = NAME_CHARS_MAX))]
    pub digest: Option<String>,
    /// The version of the filter contract that it was built for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = NAME_CHARS_MAX))]
    pub contract: Option<String>,
    /// The digest of the component that runs, or ran last. If it differs from `digest`, that one could not replace it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = NAME_CHARS_MAX))]
    pub last_good_digest: Option<String>,
    /// What went wrong last, even if it is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<ErrorStatus>,
    /// Resolved, Verified, Compiled and Configured, in this order: a filter runs once all of them are true.
    #[schemars(
        length(max = FILTER_CONDITIONS_MAX),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"])
    )]
    pub conditions: Vec<Condition>,
}

/// How one endpoint does with what comes from one group of sources.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointStatus {
    /// The endpoint's address, without credentials.
    #[schemars(length(max = TEXT_CHARS_MAX))]
    pub endpoint: String,
    /// The group of sources; `*` is all of them together, as a Pushgateway gets them.
    #[schemars(length(max = NAME_CHARS_MAX))]
    pub source_group: String,
    /// The newest tick that the endpoint acknowledged completely.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_delivered_tick: Option<Time>,
    /// What went wrong last, even if it is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<ErrorStatus>,
    /// Attempts that failed since the last that did not.
    #[schemars(range(min = 0))]
    pub consecutive_failures: i64,
    /// Which version of remote write the endpoint is spoken to in.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = NAME_CHARS_MAX))]
    pub protocol: Option<String>,
}

/// An error, and when it happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErrorStatus {
    /// What went wrong, with its causes.
    #[schemars(length(max = MESSAGE_CHARS_MAX))]
    pub message: String,
    /// When.
    pub time: Time,
}

impl MetricAccessStatus {
    /// A status that was read back; `None` if it is not one of ours, or was damaged by somebody.
    pub fn read(value: &serde_json::Value) -> Option<MetricAccessStatus> {
        MetricAccessStatus::deserialize(value).ok()
    }

    /// The condition of a type.
    pub fn condition(&self, of: &str) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.type_ == of)
    }
}
