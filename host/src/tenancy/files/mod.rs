//! Files: tenants of a standalone installation, from a folder that is watched.
//!
//! In: a folder of `MetricAccess` YAML files, a folder of Secrets, the operator's policy. Out: snapshots of the
//! tenants that run, and of every problem; a change is in force within a second.
//! Never: a pipeline disturbed by another resource's change (an unchanged tenant keeps its `Arc`), or stopped by a
//! file that is only half written.
//!
//! A file that is not YAML, or is empty, is most likely being written: what it last said stays in force, and the
//! problem is reported. A document that can be read but is invalid is refused and stops, because running what it no
//! longer says would grant what was taken away; nothing of it ends, though: once it is mended, the ticks it missed are asked
//! for. A file that is gone takes its resources with it, and their series end.

mod folder;
mod listing;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::Policy;
use super::tenants::{Published, Running, Tenants};
use folder::Folder;
pub use listing::{list, text};

/// How often the folder is looked through even if nothing was heard: events get lost, and some file systems have
/// none. Half of the second within which a change must be in force.
const POLL: Duration = Duration::from_millis(500);
/// How long after the first sign of a change the folder is read: editors and `kubectl cp` write in several steps.
const SETTLE: Duration = Duration::from_millis(50);

/// Where a standalone installation keeps its resources.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The folder of `MetricAccess` files: `*.yaml` and `*.yml`, also in folders below; hidden ones are ignored.
    pub folder: PathBuf,
    /// The folder of Secrets: `<folder>/<namespace>/<name>/<key>`.
    pub secrets: PathBuf,
    /// What the operator lets tenants do.
    pub policy: Policy,
}

/// The folder cannot be watched.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is missing, or not a folder, or may not be read.
    #[error("the tenants' folder {} cannot be read: {source}; create it, or correct tenants.folder", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Watches the folder; see [`Watcher::run`].
#[derive(Debug)]
pub struct Watcher {
    folder: Folder,
    roots: [PathBuf; 2],
    running: watch::Sender<Arc<Running>>,
    tenants: watch::Sender<Arc<Tenants>>,
}

/// Reads the folder for the first time.
pub fn open(config: Config, now: SystemTime) -> Result<(Watcher, Published), Error> {
    let roots = [config.folder.clone(), config.secrets.clone()];
    let mut folder = Folder::new(config);
    let first = Arc::new(folder.scan(now)?);
    first.report_changes_since(&Tenants::default());
    let (running, running_seen) = watch::channel(Arc::clone(&first.running));
    let (tenants, tenants_seen) = watch::channel(first);
    let published = Published { running: running_seen, tenants: tenants_seen };
    Ok((Watcher { folder, roots, running, tenants }, published))
}

impl Watcher {
    /// Publishes changes until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let (poke, mut poked) = mpsc::channel(1);
        let _events = listen(&self.roots, poke);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                Some(()) = poked.recv() => tokio::time::sleep(SETTLE).await,
                () = tokio::time::sleep(POLL) => {}
            }
            // Reading is blocking work; a folder on a dead network share must not hold a worker thread.
            let looked = tokio::task::spawn_blocking(move || {
                self.look();
                self
            });
            match looked.await {
                Ok(watcher) => self = watcher,
                Err(error) => {
                    warn!(%error, "the tenants' folder is no longer watched");
                    return;
                }
            }
        }
    }

    fn look(&mut self) {
        // A folder that cannot be listed (an unmounted share) takes nothing away: what ran goes on.
        let next = match self.folder.scan(SystemTime::now()) {
            Ok(next) => next,
            Err(error) => self.folder.unreadable(&error),
        };
        let before = self.tenants.borrow().clone();
        if *before == next {
            return;
        }
        next.report_changes_since(&before);
        self.running.send_if_modified(|now| {
            let changed = *now != next.running;
            *now = Arc::clone(&next.running);
            changed
        });
        self.tenants.send_replace(Arc::new(next));
    }
}

/// Listens to the file system. Without its help the folder is still polled.
fn listen(roots: &[PathBuf], poke: mpsc::Sender<()>) -> Option<RecommendedWatcher> {
    let heard = move |event: notify::Result<Event>| {
        if event.map_or(true, |event| is_change(event.kind)) {
            let _ = poke.try_send(());
        }
    };
    let mut watcher = notify::recommended_watcher(heard).ok()?;
    for root in roots {
        // A folder may be missing yet, or have no events; polling finds its changes.
        let _ = watcher.watch(root, RecursiveMode::Recursive);
    }
    Some(watcher)
}

/// Opening and reading are our own doing.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        _ => true,
    }
}
