//! Source: one source's place on the board.

use std::sync::{Arc, Mutex};

use super::SourceStatus;
use super::board::{bounded_text, lock};
use crate::model::{Source, Timestamp};

/// What is known of a source by who asks it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceSeen {
    /// Whether it answers; one failure between answers does not count.
    pub healthy: bool,
    /// Questions in a row that it did not answer.
    pub failures: u32,
    /// When it last answered anything.
    pub last_seen: Option<Timestamp>,
    /// Why the last question failed and when, if it did.
    pub last_error: Option<(String, Timestamp)>,
    /// Its clock minus ours.
    pub clock_skew_millis: Option<i64>,
}

/// One source's place on the board; a clone is the same place.
#[derive(Debug, Clone)]
pub struct SourceEntry(Arc<Mutex<SourceStatus>>);

impl SourceEntry {
    pub(super) fn new(source: &Source) -> SourceEntry {
        SourceEntry(Arc::new(Mutex::new(source.into())))
    }

    /// Takes over what the operator declares of it now.
    pub(super) fn declare(&self, source: &Source) {
        let SourceStatus { name, url, labels, lag, replica_group, .. } = source.into();
        let mut status = lock(&self.0);
        *status = SourceStatus { name, url, labels, lag, replica_group, ..status.clone() };
    }

    pub(super) fn status(&self) -> SourceStatus {
        lock(&self.0).clone()
    }

    /// What who asks the source knows of it now. An error that is over stays until the next one.
    pub fn observed(&self, seen: SourceSeen) {
        let SourceSeen { healthy, failures, last_seen, last_error, clock_skew_millis } = seen;
        let mut status = lock(&self.0);
        status.healthy = healthy;
        status.consecutive_failures = failures;
        status.last_seen = last_seen.or(status.last_seen);
        status.clock_skew_millis = clock_skew_millis.or(status.clock_skew_millis);
        if let Some((message, at)) = last_error {
            status.last_error = Some((bounded_text(message), at));
        }
    }
}
