//! Discover: the shared Prometheus servers that series are pulled from, and whether they are worth asking.
//!
//! In: what the operator wrote; Services, pods and endpoints of a cluster; the servers' answers to probes.
//! Out: watched snapshots of source groups, and of every source's standing.
//! Never: a source dropped because the cluster, or the source, does not answer; a query for series; a credential sent
//! anywhere but to a source of the block that names it.
//!
//! What health is for: among replicas, one that does not answer its probes is passed over while another one answers.
//! It takes no part in any other decision: no tick is skipped and no series ends because of a probe, and a group
//! whose only source is down stays, asked at every tick, so that its cursor waits for it. A source whose object is gone
//! is not asked, because another server may have its address by now; it stays in its group for `keepAbsent`, and
//! its cursor waits as well.

pub mod cluster;
pub mod health;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::http;
use crate::model::{Source, SourceGroup, Timestamp};

/// A snapshot of all source groups.
pub type Groups = Arc<Vec<SourceGroup>>;

/// What the cluster says of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// It is there.
    Ready,
    /// It is there, and the cluster sends nobody to it: why.
    NotReady(String),
    /// It has no address now, because its object is gone or cannot be used: why.
    Gone(String),
}

/// Everything that is known of where sources are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Targets {
    /// Every source, in rank order.
    pub sources: Vec<(Arc<Source>, Presence)>,
    /// What could not be found out, or cannot be a source, by where: for people.
    pub problems: BTreeMap<String, String>,
}

/// What to discover.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Config {
    /// The sources that the operator wrote down.
    pub sources: Vec<Arc<Source>>,
    /// What to look for in a cluster.
    pub blocks: Vec<cluster::Block>,
    /// How sources are probed.
    pub health: health::Config,
}

/// Finds sources and watches over them, once it runs.
pub struct Discovery {
    config: Config,
    cluster: Option<kube::Client>,
    groups: watch::Sender<Groups>,
    targets: watch::Sender<Arc<Targets>>,
    health: watch::Sender<Arc<health::Report>>,
    settled: CancellationToken,
}

impl Discovery {
    /// Knows what the operator wrote down. `cluster` is where the blocks' objects are; without it there are none.
    pub fn new(config: Config, cluster: Option<kube::Client>) -> Discovery {
        let sources = config.sources.iter().map(|source| (source.clone(), Presence::Ready)).collect();
        let targets = Targets { sources, problems: BTreeMap::new() };
        let settled = CancellationToken::new();
        if cluster.is_none() || config.blocks.is_empty() {
            settled.cancel();
        }
        Discovery {
            groups: watch::Sender::new(Arc::new(SourceGroup::gather(config.sources.iter().cloned()))),
            targets: watch::Sender::new(Arc::new(targets)),
            health: watch::Sender::new(Arc::default()),
            config,
            cluster,
            settled,
        }
    }

    /// The source groups.
    pub fn groups(&self) -> watch::Receiver<Groups> {
        self.groups.subscribe()
    }

    /// The sources one by one, and what went wrong while looking for them.
    pub fn targets(&self) -> watch::Receiver<Arc<Targets>> {
        self.targets.subscribe()
    }

    /// How the sources answer their probes.
    pub fn health(&self) -> watch::Receiver<Arc<health::Report>> {
        self.health.subscribe()
    }

    /// Cancelled once the groups are complete: when the cluster's objects were listed, or it was waited for them
    /// in vain for some seconds. Pipelines that started before would start twice.
    pub fn settled(&self) -> CancellationToken {
        self.settled.clone()
    }

    /// Watches and probes until `stop`.
    pub async fn run(self, http: http::Client, now: fn() -> Timestamp, stop: CancellationToken) {
        let Discovery { config, cluster, groups, targets, health, settled } = self;
        let mut tasks = JoinSet::new();
        tasks.spawn(health::run(http, targets.subscribe(), config.health, now, health, stop.clone()));
        match cluster.filter(|_| !config.blocks.is_empty()) {
            None => {
                // What is published stays so while we run.
                tasks.spawn(async move {
                    stop.cancelled().await;
                    drop((groups, targets));
                });
            }
            Some(client) => {
                let fixed = config.sources;
                let publish = move |found: cluster::Found| {
                    publish(&fixed, found, &targets, &groups);
                    settled.cancel();
                };
                tasks.spawn(cluster::run(client, config.blocks, publish, stop));
            }
        }
        while tasks.join_next().await.is_some() {}
    }
}

/// The operator's sources first, so that they rank first where a discovered one joins them.
fn publish(
    fixed: &[Arc<Source>],
    found: cluster::Found,
    targets: &watch::Sender<Arc<Targets>>,
    groups: &watch::Sender<Groups>,
) {
    let fixed = fixed.iter().map(|source| (source.clone(), Presence::Ready));
    let all = Targets { sources: fixed.chain(found.sources).collect(), problems: found.problems };
    let gathered = SourceGroup::gather(all.sources.iter().map(|(source, _)| source.clone()));
    // The standings follow from the targets: they go first, so that nobody is asked at an address that has changed.
    targets.send_if_modified(|now| replace(now, all));
    groups.send_if_modified(|now| replace(now, gathered));
}

fn replace<T: PartialEq>(now: &mut Arc<T>, new: T) -> bool {
    let changed = **now != new;
    if changed {
        *now = Arc::new(new);
    }
    changed
}

#[cfg(test)]
mod tests;
