//! Telemetry: what Sluice tells about itself, as log lines and as metrics.
//!
//! In: `tracing` events; counts from the pipelines. Out: JSON or text lines on standard error; an exposition in
//! OpenMetrics or in Prometheus' older text format.
//! Never: a metric's label that a filter or a source can choose freely (that would be unbounded), or a secret.

mod families;
mod handles;
mod log;
mod metrics;
mod process;
mod text;

pub use handles::{Limit, Outcome, QueryResult, Refusal, SourceMetrics, TenantMetrics, Usage};
pub use log::{Error, JsonLines, LogFormat, init};
pub use metrics::{FilterCall, Metrics};
pub use text::{CLASSIC_TYPE, Exposition, OPENMETRICS_TYPE};
