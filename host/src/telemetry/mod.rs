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

/// An error and its causes on one line: `what failed: why: why`. A cause that its error's own text already
/// tells is not repeated.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let told = error.to_string();
        if !text.contains(&told) {
            text.push_str(": ");
            text.push_str(&told);
        }
        cause = error.source();
    }
    text
}
