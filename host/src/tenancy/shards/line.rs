//! Line: how one ConfigMap is written. One write at a time, and after one that failed a pause.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use super::place::config_map;
use super::store::Failure;
use super::terms::{Occasion, Outcome, Write};
use super::view::{SHARD_BYTES_MAX, is_newer};
use crate::tenancy::ownership::pause;

/// The pause after a write that failed, doubled with every further one.
const RETRY_FIRST: Duration = Duration::from_millis(250);
/// No such pause is longer.
const RETRY_MAX: Duration = Duration::from_secs(10);
/// Conflicts in a row that are followed by another attempt at once.
const CONFLICTS_FREE: u32 = 2;
/// How long a write may take to come back through the watch; after that, the watch hears nothing any more.
pub(super) const ECHO_MAX: Duration = Duration::from_secs(3);

/// How one ConfigMap is written.
#[derive(Debug, Default)]
pub(super) struct Line {
    pub(super) busy: bool,
    /// Cursors that moved are to be saved.
    pub(super) due: bool,
    /// First cursors are.
    pub(super) look: bool,
    pub(super) failures: u32,
    pub(super) conflicts: u32,
    pub(super) retry_at: Option<Instant>,
    /// The version the watch showed last.
    pub(super) watched: Option<String>,
    /// A version of ours that the watch must show, until when.
    pub(super) echo: Option<(String, Instant)>,
    pub(super) left_out: usize,
}

impl Line {
    /// What may be written now, if anything; what is asked for more rarely is then done with.
    pub(super) fn take_turn(&mut self, now: Instant) -> Option<Occasion> {
        if self.busy || self.retry_at.is_some_and(|at| at > now) {
            return None;
        }
        let occasion = match (self.due, self.look) {
            (true, _) => Occasion::Save,
            (false, true) => Occasion::First,
            (false, false) => Occasion::Urgent,
        };
        (self.due, self.look, self.retry_at) = (false, false, None);
        Some(occasion)
    }

    /// A write is to begin; whether there is anything in it.
    pub(super) fn begins(&mut self, write: &Write) -> bool {
        if write.left_out > self.left_out {
            let (name, left_out) = (config_map(write.shard), write.left_out);
            warn!(
                config_map = name,
                left_out,
                bytes_max = SHARD_BYTES_MAX,
                "No room for more cursors; after a crash these tenants start at the present"
            );
        }
        self.left_out = write.left_out;
        self.busy = !write.changes.is_empty();
        self.busy
    }

    /// The write of ConfigMap number `shard` has ended.
    pub(super) fn ended(&mut self, shard: usize, outcome: &Outcome, failure: Option<Failure>, now: Instant) {
        self.busy = false;
        match outcome {
            Outcome::Accepted(version) => {
                if self.failures > 0 {
                    info!(config_map = config_map(shard), "Cursors are saved again");
                }
                (self.failures, self.conflicts) = (0, 0);
                let is_shown = self.watched.as_deref().is_some_and(|watched| !is_newer(version, watched));
                self.echo = (!is_shown).then(|| (version.clone(), now + ECHO_MAX));
            }
            Outcome::Conflict(_) => {
                self.due = true;
                self.conflicts += 1;
                let again = self.conflicts.checked_sub(CONFLICTS_FREE);
                self.retry_at = again.map(|conflicts| now + pause(conflicts, RETRY_FIRST, RETRY_MAX));
            }
            Outcome::Refused | Outcome::Unknown => {
                if let Some(error) = failure.filter(|_| self.failures == 0) {
                    warn!(config_map = config_map(shard), %error, "Cursors were not saved; what is in doubt after a crash grows");
                }
                self.due = true;
                self.retry_at = Some(now + pause(self.failures, RETRY_FIRST, RETRY_MAX));
                self.failures = self.failures.saturating_add(1);
            }
        }
    }

    /// The watch shows this version.
    pub(super) fn saw(&mut self, version: &str) {
        let is_shown = |(ours, _): &(String, Instant)| !is_newer(ours, version);
        self.echo = self.echo.take().filter(|echo| !is_shown(echo));
        self.watched = Some(version.to_owned());
    }
}
