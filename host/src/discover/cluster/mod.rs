//! Cluster: Services, pods and endpoints that stand for Prometheus servers.
//!
//! In: blocks of the operator's configuration, an API server. Out: the sources they stand for, whenever these change.
//! Never: a source dropped because of a watch's error; a Secret, or anything but the three kinds, read.

mod answers;
mod block;
mod found;
mod identity;
mod objects;
mod registry;
mod selector;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::SelectAll;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub use block::{Block, Kind, POD_INDEX_LABEL, POD_NAME_LABEL, Port, Scheme};
pub use found::audience;
pub use registry::SOURCES_PER_BLOCK_MAX;
pub use selector::Selector;
pub use watch::WATCH_SECONDS;

use crate::discover::Presence;
use crate::model::Source;
use registry::{Change, Refreshed, Registry};

/// Changes that come together are published together; a rollout changes a slice several times in a moment.
const GATHER: Duration = Duration::from_millis(100);

/// An API server that does not answer holds up the sources that were written down for this long, at the start.
const FIRST_LIST_PATIENCE: Duration = Duration::from_secs(10);

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Every source, in the order of blocks and names.
    pub sources: Vec<(Arc<Source>, Presence)>,
    /// What could not be watched, or cannot be a source, by where.
    pub problems: BTreeMap<String, String>,
}

/// Watches until `stop`, and publishes what there is: for the first time when every list has ended.
pub async fn run(client: kube::Client, blocks: Vec<Block>, publish: impl Fn(Found), stop: CancellationToken) {
    let (mut registry, mut changes) = watches(&client, blocks);
    let patience = Instant::now() + FIRST_LIST_PATIENCE;
    let (mut due, mut complete) = (Some(patience), false);
    let mut troubles = BTreeMap::new();
    loop {
        let wake = [due, registry.next_expiry()].into_iter().flatten().min();
        tokio::select! {
            () = stop.cancelled() => return,
            Some((at, change)) = changes.next() => {
                registry.apply(at, change);
                let ready = complete || registry.is_complete();
                let soon = if ready { Instant::now() + GATHER } else { patience };
                due = Some(due.map_or(soon, |due| due.min(soon)));
            }
            () = tokio::time::sleep_until(wake.unwrap_or(patience)), if wake.is_some() => {
                (due, complete) = (None, true);
                let Refreshed { sources, problems } = registry.refresh(Instant::now());
                tell(&mut troubles, &problems);
                publish(Found { sources, problems });
            }
        }
    }
}

type Changes = SelectAll<futures::stream::BoxStream<'static, ((usize, usize), Change)>>;

/// One watch for every block and namespace.
fn watches(client: &kube::Client, blocks: Vec<Block>) -> (Registry, Changes) {
    let (mut entries, mut changes) = (Vec::new(), SelectAll::new());
    for (index, block) in blocks.into_iter().map(Arc::new).enumerate() {
        let namespaces: Vec<Option<&str>> = match &block.namespaces {
            Some(names) => names.iter().map(|name| Some(name.as_str())).collect(),
            None => vec![None],
        };
        let mut names = Vec::new();
        for (scope, namespace) in namespaces.into_iter().enumerate() {
            let place = namespace.map_or("all namespaces".to_owned(), |name| format!("namespace {name}"));
            names.push(format!("discovery block {} in {place}", block.name));
            let tagged =
                watch::changes(client, &block, namespace).map(move |change| ((index, scope), change));
            changes.push(tagged.boxed());
        }
        entries.push((block, names));
    }
    (Registry::new(entries), changes)
}

/// Logs what went wrong once, and once that it is over.
fn tell(told: &mut BTreeMap<String, String>, problems: &BTreeMap<String, String>) {
    for (place, problem) in problems {
        if told.get(place) != Some(problem) {
            warn!(%place, %problem, "Discovery has a problem");
        }
    }
    for place in told.keys().filter(|place| !problems.contains_key(*place)) {
        info!(%place, "A problem of discovery is over");
    }
    told.clone_from(problems);
}
