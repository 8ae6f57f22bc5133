//! Telemetry: what Sluice tells about itself, as log lines and as metrics.
//!
//! In: `tracing` events; counts from the pipelines. Out: JSON or text lines on standard error; an exposition in
//! OpenMetrics or in Prometheus' older text format.
//! Never: a metric's label that a filter or a source can choose freely (that would be unbounded; the names of a resource's own
//! filters are as many as it may have, and go with them), or a secret.

mod families;
mod filters;
mod handles;
mod log;
mod metrics;
mod process;
mod text;

pub use filters::{FilterMetrics, FilterOwner, FilterWork};
pub use handles::{Limit, Outcome, QueryResult, Refusal, SourceMetrics, TenantMetrics, Usage};
pub use log::{Error, JsonLines, LogFormat, init};
pub use metrics::Metrics;
pub use text::{CLASSIC_TYPE, Exposition, OPENMETRICS_TYPE};
