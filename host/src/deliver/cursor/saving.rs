//! Saving: when the cursors are written down.
//!
//! In: the time, and lanes that catch up. Out: a file that is never far behind them. Never: a lane that waits long for a disk that
//! does not answer.

use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{Key, Store};
use crate::model::Timestamp;

/// How long a lane waits for the disk, and goes on: metrics that arrive are worth more than a request that is not sent twice.
#[cfg(not(test))]
const PATIENCE: Duration = Duration::from_millis(250);
/// A busy machine's disk is no finding.
#[cfg(test)]
const PATIENCE: Duration = Duration::from_secs(5);

/// Between two saves, however many wait for one: a slow disk has other work.
const PAUSE: Duration = Duration::from_millis(20);

/// Whoever waits for a save, and whoever makes it.
#[derive(Debug, Default)]
pub(super) struct Saves {
    /// How often it is made anyway; none where nothing is saved.
    every: Option<Duration>,
    asked: Notify,
    done: Notify,
}

impl Saves {
    pub(super) fn every(every: Duration) -> Saves {
        Saves { every: Some(every), ..Saves::default() }
    }
}

impl Store {
    /// To be called before a tick is sent that follows `previous`: returns when what is saved is no further behind it than
    /// the time between two saves. Who is on time never waits; who catches up delivers in that time what was due in many times as much, and
    /// after a crash would send all of it again.
    pub async fn saved_for(&self, key: &Key, previous: Timestamp) {
        let Some(every) = self.saves.every else { return };
        let oldest = previous.minus(every);
        // The save that is under way may have begun before.
        for _ in 0..2 {
            if !self.is_behind(key, oldest) {
                return;
            }
            let done = self.saves.done.notified();
            tokio::pin!(done);
            done.as_mut().enable();
            self.saves.asked.notify_one();
            if tokio::time::timeout(PATIENCE, done).await.is_err() {
                return;
            }
        }
    }

    /// Whether the file would be another one if it were written, and says less than `oldest`.
    fn is_behind(&self, key: &Key, oldest: Timestamp) -> bool {
        let state = self.lock();
        let held = state.cursors.get(key).map(|entry| entry.delivered);
        let saved = state.saved.get(key).map(|entry| entry.delivered);
        saved < held && saved < Some(oldest)
    }

    /// Saves as often as is said, and when it is waited for, until `stop`, and then once more: cancel it after the pipelines have ended.
    pub async fn run(self, stop: CancellationToken) {
        let Some(every) = self.saves.every else { return };
        let mut failing = false;
        loop {
            let stopping = tokio::select! {
                () = stop.cancelled() => true,
                () = tokio::time::sleep(every) => false,
                () = self.saves.asked.notified() => false,
            };
            let store = self.clone();
            let saved = tokio::task::spawn_blocking(move || store.save_if_dirty()).await;
            self.saves.done.notify_waiters();
            match saved.expect("saving does not panic") {
                Ok(true) if failing => {
                    tracing::info!("the state file is saved again");
                    failing = false;
                }
                Err(error) if !failing || stopping => {
                    tracing::warn!(%error, "cursors not saved; after a crash more would be sent again");
                    failing = true;
                }
                Ok(_) | Err(_) => {}
            }
            if stopping {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}
