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
            deps.board.source(source).observed(seen);
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
    // What the cluster says explains what probes and queries say.
    let absent = probed.and_then(|probed| probed.absent.clone());
    let probe_error = failing.and_then(|probed| probed.last_error.clone());
    let query_error = asked.and_then(|asked| asked.last_error.clone());
    let newest = query_error.into_iter().chain(probe_error).max_by_key(|(_, at)| *at);
    SourceSeen {
        healthy: answers && ready,
        failures: asked.map_or(0, |asked| asked.failures).max(probed.map_or(0, health::Seen::failures)),
        last_seen: asked.and_then(|asked| asked.last_seen).max(probed.and_then(|probed| probed.last_seen)),
        last_error: absent.or(newest),
        clock_skew_millis: asked.and_then(|asked| asked.skew_millis),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;

    fn asked(error: &str, at: i64) -> collect::SourceHealth {
        collect::SourceHealth {
            name: SourceName::new("s"),
            healthy: true,
            last_ok: None,
            last_seen: Some(Timestamp(1)),
            last_error: Some((error.to_owned(), Timestamp(at))),
            failures: 1,
            series: 0,
            skew_millis: None,
        }
    }

    #[test]
    fn a_source_shows_its_newest_error_and_when_that_was_unless_the_cluster_explains_it() {
        let older = asked("timed out", 5);
        assert_eq!(source_seen(Some(&older), None).last_error, Some(("timed out".into(), Timestamp(5))));
        let absent = Some(("the pod is not ready".to_owned(), Timestamp(3)));
        let mut probed = health::Seen::default();
        probed.absent.clone_from(&absent);
        let seen = source_seen(Some(&older), Some(&probed));
        assert_eq!((seen.healthy, seen.failures, seen.last_error), (false, 1, absent));
    }
}
