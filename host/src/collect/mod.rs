//! Collect: everything from "a lane wants tick T of these selectors from that source" to rows of slot and value.
//!
//! In: sources, selectors, ticks; the source's answers as bytes. Out: [`Collected`], complete or an [`Error`].
//! Never: an answer that is only a part, a label parsed twice while its series is seen, or the same question sent
//! twice for one tick because two pipelines asked it.

mod collector;
mod error;
mod forms;
mod gate;
mod health;
mod json;
mod metadata;
mod observer;
mod origin;
mod plan;
pub mod read;
mod request;
pub mod scan;
mod stream;
mod table;
#[cfg(test)]
mod tests;
mod text;
mod window;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use collector::{Collected, Collector, Subscription};
pub use error::{Cause, Error};
pub use health::{SourceHealth, ahead_by, is_to_come};
pub use metadata::Curiosity;
pub use observer::{Asked, Observer};
pub use stream::Ends;
pub use table::{Answer, Catalog, Part, Row, SLOT_IDLE_TICKS_MAX, SeriesRef, StreamId, Table, TableConfig};

/// The largest body: 1 GiB, 2.4 million series at the 445 bytes measured for one of 12 labels. Bodies are never held, so
/// this bounds work, not memory; the source's series maximum is the limit that people set.
pub const BODY_BYTES_MAX: u64 = 1 << 30;

/// Requests to one source at once. Prometheus evaluates 20 queries at once by default, and has other users.
pub const REQUESTS_PER_SOURCE_MAX: usize = 8;

/// The label in which tenants' queries differ most often.
const MERGE_LABEL: &str = "namespace";

/// How sources are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The largest body that is read, in bytes.
    pub body_bytes_max: u64,
    /// Requests to one source at once.
    pub requests_per_source_max: usize,
    /// Queries that differ in the value of one equality matcher are merged; this label is the one, if there are several.
    pub merge_label: String,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            body_bytes_max: BODY_BYTES_MAX,
            requests_per_source_max: REQUESTS_PER_SOURCE_MAX,
            merge_label: MERGE_LABEL.to_owned(),
        }
    }
}

/// Locks. What we keep behind locks is never left half-changed by a panic, so poison says nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The client's errors, its timeout told apart.
fn http_error(error: crate::http::Error, timeout: Duration) -> Cause {
    match error {
        crate::http::Error::Timeout {
            phase: crate::http::Phase::FirstByte | crate::http::Phase::Body,
            ..
        } => Cause::Timeout(timeout),
        other => Cause::Unreachable(other),
    }
}
