//! Sources: discovery's findings, handed to those who ask the sources and to those who show them.
//!
//! In: what discovery publishes, what the collector has seen. Out: standings for the collector, facts for the board.
//! Never: a source shown that is gone.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::now;
use crate::collect;
use crate::discover::{Discovery, Targets, health};
use crate::model::SourceName;
use crate::pipeline::Deps;
use crate::status::SourceSeen;

/// How often the board is told how the sources are.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Starts discovery, and everything that listens to it but the pipelines.
pub(super) fn start(
    deps: &Arc<Deps>,
    discovery: Discovery,
    tasks: &mut JoinSet<()>,
    stop: &CancellationToken,
) {
    tasks.spawn(heed_health(deps.clone(), discovery.health(), stop.clone()));
    let (targets, health) = (discovery.targets(), discovery.health());
    tasks.spawn(tell_sources(deps.clone(), targets, health, stop.clone()));
    tasks.spawn(discovery.run(deps.http.clone(), now, stop.clone()));
}

/// Runs `supervise` once the sources are known.
pub(super) async fn once_settled(
    settled: CancellationToken,
    supervise: impl Future<Output = ()>,
    stop: CancellationToken,
) {
    tokio::select! {
        biased;
        () = settled.cancelled() => supervise.await,
        () = stop.cancelled() => {}
    }
}

/// Tells those who ask the sources which of them are worth asking.
async fn heed_health(
    deps: Arc<Deps>,
    mut health: watch::Receiver<Arc<health::Report>>,
    stop: CancellationToken,
) {
    loop {
        let standings = health.borrow_and_update().standings.clone();
        deps.collector.stand(standings);
        tokio::select! {
            () = stop.cancelled() => return,
            changed = health.changed() => if changed.is_err() { return },
        }
    }
}

/// Shows which sources there are and how every one is, and forgets those that are gone.
async fn tell_sources(
    deps: Arc<Deps>,
    targets: watch::Receiver<Arc<Targets>>,
    health: watch::Receiver<Arc<health::Report>>,
    stop: CancellationToken,
) {
    let mut told: HashSet<SourceName> = HashSet::new();
    loop {
        let (targets, report) = (targets.borrow().clone(), health.borrow().clone());
        let asked: HashMap<_, _> =
            deps.collector.sources().into_iter().map(|asked| (asked.name.clone(), asked)).collect();
        for (source, _) in &targets.sources {
            let seen = source_seen(asked.get(&source.name), report.seen.get(&source.name));
            deps.board.source(source).observed(seen, now());
        }
        let present: HashSet<_> = targets.sources.iter().map(|(source, _)| source.name.clone()).collect();
        for gone in told.difference(&present) {
            deps.board.remove_source(gone);
            deps.metrics.forget_source(gone);
        }
        told = present;
        deps.board.discovery(targets.problems.clone());
        if tokio::time::timeout(LOOK_EVERY, stop.cancelled()).await.is_ok() {
            return;
        }
    }
}

/// What its answers to queries and to probes say together: a source is well if both are answered.
fn source_seen(asked: Option<&collect::SourceHealth>, probed: Option<&health::Seen>) -> SourceSeen {
    // A source that nobody has asked yet is not unhealthy.
    let answers =
        asked.is_none_or(|asked| asked.healthy || (asked.last_seen.is_none() && asked.last_error.is_none()));
    let ready = probed.is_none_or(|probed| probed.absent.is_none() && probed.state != health::State::Down);
    let failing = probed.filter(|probed| probed.failures() > 0);
    let probe_error = failing.and_then(|probed| Some(probed.last_error.clone()?.0));
    let absent = probed.and_then(|probed| probed.absent.clone());
    let query_error = asked.and_then(|asked| asked.last_error.clone());
    SourceSeen {
        healthy: answers && ready,
        last_seen: asked.and_then(|asked| asked.last_seen).max(probed.and_then(|probed| probed.last_seen)),
        last_error: absent.or(query_error).or(probe_error),
        clock_skew_millis: asked.and_then(|asked| asked.skew_millis),
    }
}
