//! Handle: what the rest of the program holds of the engine, and the engine's ends of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use super::HANDOVER_MAX;
use super::debts::Owed;
use super::idle::Idle;
use crate::model::TenantId;

/// Removals that wait to be looked at, likewise.
const REMOVALS_MAX: usize = 64;
/// Releases that wait to be looked at. Beyond it, whoever releases waits.
pub(super) const RELEASES_MAX: usize = 1_024;
/// How long a release may take before it is given up: by then the new owner has started without it.
pub(super) const RELEASE_MAX: Duration = HANDOVER_MAX;

/// The tenants that may run here.
pub type Grants = BTreeSet<TenantId>;

/// How it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Tenants that may run here.
    pub granted: usize,
    /// Tenants that are ours and wait for their former owner.
    pub waiting: usize,
    /// Bytes of the largest ConfigMap, of [`SHARD_BYTES_MAX`].
    pub bytes_max: usize,
    /// Records there was no room for, at the newest writes.
    pub left_out: usize,
    /// ConfigMaps written since the start.
    pub writes: u64,
    /// Writes somebody else was faster than.
    pub conflicts: u64,
    /// Writes that failed.
    pub failures: u64,
}

/// Why a record was not released.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server did not take it in time. The new owner starts from the last saved cursors.
    #[error("the cursors of {tenant} were not released within {} s; its new owner sends again what is in doubt", RELEASE_MAX.as_secs())]
    NotReleased {
        /// Whose.
        tenant: TenantId,
    },
}

/// What the rest of the program holds of the engine.
#[derive(Debug, Clone)]
pub struct Shards {
    grants: watch::Receiver<Arc<Grants>>,
    stats: watch::Receiver<Stats>,
    releases: mpsc::Sender<Release>,
    owed: watch::Receiver<Option<Arc<Vec<Owed>>>>,
    removals: mpsc::Sender<Vec<Owed>>,
    idle: watch::Receiver<Arc<Idle>>,
}

impl Shards {
    /// The tenants that may run here. A tenant that comes has its cursors in place and may start. When one goes, its
    /// pipeline must stop where it is, without ending its series, and then [`Shards::release`] must be called; at
    /// once, if there is no pipeline. It does not come back before that.
    pub fn grants(&self) -> watch::Receiver<Arc<Grants>> {
        self.grants.clone()
    }

    /// How it goes.
    pub fn stats(&self) -> watch::Receiver<Stats> {
        self.stats.clone()
    }

    /// The Pushgateway groups that this replica is to remove; `None` before the records are known. What was removed is to
    /// be told to [`Shards::removed`].
    pub fn owed(&self) -> watch::Receiver<Option<Arc<Vec<Owed>>>> {
        self.owed.clone()
    }

    /// The tenants that nobody runs, and why.
    pub fn idle(&self) -> watch::Receiver<Arc<Idle>> {
        self.idle.clone()
    }

    /// These groups are gone, or given up.
    pub async fn removed(&self, groups: Vec<Owed>) {
        // Without an engine nothing is remembered any more.
        let _ = self.removals.send(groups).await;
    }

    /// Saves the tenant's last cursors and lets another replica run it. Its pipeline has stopped. Returns when that
    /// is written, or there is nothing to release; never later than [`HANDOVER_MAX`].
    pub async fn release(&self, tenant: &TenantId) -> Result<(), Error> {
        let (done, released) = oneshot::channel();
        let release = Release { tenant: tenant.clone(), done };
        let all = async {
            self.releases.send(release).await.ok()?;
            released.await.ok()
        };
        let not_released = || Error::NotReleased { tenant: tenant.clone() };
        tokio::time::timeout(RELEASE_MAX, all).await.ok().flatten().ok_or_else(not_released)
    }
}

/// A tenant whose pipeline has stopped, and whom to tell when its record is written.
#[derive(Debug)]
pub(super) struct Release {
    pub(super) tenant: TenantId,
    pub(super) done: oneshot::Sender<()>,
}

/// The engine's ends.
pub(super) struct Ends {
    pub(super) grants: watch::Sender<Arc<Grants>>,
    pub(super) stats: watch::Sender<Stats>,
    pub(super) releases: mpsc::Receiver<Release>,
    pub(super) owed: watch::Sender<Option<Arc<Vec<Owed>>>>,
    pub(super) removals: mpsc::Receiver<Vec<Owed>>,
    pub(super) idle: watch::Sender<Arc<Idle>>,
}

pub(super) fn ends() -> (Ends, Shards) {
    let (grants, granted) = watch::channel(Arc::default());
    let (stats, stats_seen) = watch::channel(Stats::default());
    let (released, releases) = mpsc::channel(RELEASES_MAX);
    let (owed, owed_seen) = watch::channel(None);
    let (removed, removals) = mpsc::channel(REMOVALS_MAX);
    let (idle, idle_seen) = watch::channel(Arc::default());
    (
        Ends { grants, stats, releases, owed, removals, idle },
        Shards {
            grants: granted,
            stats: stats_seen,
            releases: released,
            owed: owed_seen,
            removals: removed,
            idle: idle_seen,
        },
    )
}
