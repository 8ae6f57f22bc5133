//! Groups: removes the Pushgateway groups that resources left, however long that takes.
//!
//! In: what the records say is to be removed here. Out: a DELETE for each, until one is acknowledged or its time is up.
//! Never: a group of a pipeline that still runs here; one namespace's gateways that hold up the removals of another's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::now;
use crate::deliver;
use crate::model::Timestamp;
use crate::pipeline::{Deps, remove_groups};
use crate::supervise::Alive;
use crate::tenancy::cluster::{Addresses, AllLeaving};
use crate::tenancy::shards::{Owed, Shards};

/// How often it is looked what is to be removed.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a group that was left is not touched: a request of the pipeline that pushed to it may be under way.
const SETTLE: Duration = Duration::from_secs(2);
/// The pauses after failed attempts double from the first to the longest.
const PAUSE_FIRST: Duration = Duration::from_secs(2);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// How long it is tried; as long as the record of a resource that is gone is kept.
const TRIED_MAX: Duration = Duration::from_secs(24 * 3600);
/// Removals under way at once, each of another namespace.
const REMOVALS_MAX: usize = 16;

/// Why a group was not removed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The gateway did not do it.
    #[error(transparent)]
    Deliver(#[from] deliver::Error),
    /// The resource might not push there today.
    #[error(
        "the Service {service}:{port} is not there, or may not be pushed to; create it again if its groups are to be removed"
    )]
    NoAddress { service: String, port: u16 },
}

/// What the removal is told, and by whom.
pub(super) struct Links {
    pub(super) shards: Shards,
    pub(super) addresses: Addresses,
    pub(super) alive: watch::Receiver<Arc<Alive>>,
    pub(super) leaving: watch::Receiver<Arc<AllLeaving>>,
}

/// Removes each of these groups, once; the error is the last one. What was removed is remembered no more.
pub(super) async fn remove(
    shards: &Shards,
    addresses: &Addresses,
    deps: &Deps,
    groups: Vec<Owed>,
) -> Result<(), Error> {
    let (mut removed, mut failed) = (Vec::new(), Ok(()));
    for owed in groups {
        let group = owed.pushed.group();
        let ended = match addresses.of(&owed.tenant, &group).await {
            Some(endpoint) => remove_groups(deps, &[endpoint]).await.map_err(Error::from),
            None => Err(Error::NoAddress { service: group.service, port: group.port }),
        };
        match ended {
            Ok(()) => removed.push(owed),
            Err(error) => failed = Err(error),
        }
    }
    if !removed.is_empty() {
        shards.removed(removed).await;
    }
    failed
}

/// One group's attempts.
#[derive(Debug)]
struct Attempts {
    next_at: Instant,
    failures: u32,
}

/// Removes what this replica is to remove, until `stop`.
pub(super) async fn clear(links: Links, deps: Arc<Deps>, stop: CancellationToken) {
    let mut attempts = BTreeMap::<Owed, Attempts>::new();
    let mut busy = BTreeSet::<String>::new();
    let mut removing = JoinSet::new();
    loop {
        let owed = links.shards.owed().borrow().clone().unwrap_or_default();
        deps.metrics.groups_left(owed.len());
        let now = Instant::now();
        attempts.retain(|one, _| owed.contains(one));
        for one in owed.iter() {
            let new = || Attempts { next_at: now + SETTLE, failures: 0 };
            attempts.entry(one.clone()).or_insert_with(new);
        }
        for one in due(&attempts, &links, now) {
            let free = busy.len() < REMOVALS_MAX && busy.insert(one.tenant.namespace.clone());
            if free {
                let (shards, addresses) = (links.shards.clone(), links.addresses.clone());
                removing.spawn(attempt(shards, addresses, deps.clone(), one));
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
            Some(ended) = removing.join_next() => {
                let Ok((one, ended)) = ended else { continue };
                busy.remove(&one.tenant.namespace);
                if let (Ended::Failed, Some(attempts)) = (ended, attempts.get_mut(&one)) {
                    let pause = PAUSE_FIRST.saturating_mul(1 << attempts.failures.min(16)).min(PAUSE_MAX);
                    attempts.next_at = Instant::now() + pause;
                    attempts.failures = attempts.failures.saturating_add(1);
                } else if let Some(attempts) = attempts.get_mut(&one) {
                    // Until the record says so.
                    attempts.next_at = Instant::now() + PAUSE_MAX;
                }
            }
        }
    }
}

/// What may be tried now, those that waited longest first.
fn due(attempts: &BTreeMap<Owed, Attempts>, links: &Links, now: Instant) -> Vec<Owed> {
    let (alive, leaving) = (links.alive.borrow().clone(), links.leaving.borrow().clone());
    let is_due = |(one, attempts): &(&Owed, &Attempts)| {
        let runs = one.pushed.left.is_none() && alive.contains(&one.tenant);
        // As long as a resource is there that is being removed, whoever lets it go removes its groups.
        attempts.next_at <= now && !runs && !leaving.contains_key(&one.tenant)
    };
    let mut due: Vec<_> = attempts.iter().filter(is_due).collect();
    due.sort_by_key(|(_, attempts)| attempts.next_at);
    due.into_iter().map(|(one, _)| one.clone()).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Removed,
    Failed,
}

async fn attempt(shards: Shards, addresses: Addresses, deps: Arc<Deps>, one: Owed) -> (Owed, Ended) {
    let Owed { tenant: id, pushed, .. } = one.clone();
    let (service, job) = (&pushed.service, &pushed.job);
    match remove(&shards, &addresses, &deps, vec![one.clone()]).await {
        Ok(()) => {
            info!(namespace = %id.namespace, name = %id.name, service, job, "Pushgateway group removed that was left before");
            (one, Ended::Removed)
        }
        Err(error) => {
            let since = pushed.left.map(Timestamp);
            if since.is_some_and(|since| now().since(since) >= TRIED_MAX) {
                warn!(namespace = %id.namespace, name = %id.name, service, job, %error, "Pushgateway group given up; its last values stay");
                shards.removed(vec![one.clone()]).await;
            }
            (one, Ended::Failed)
        }
    }
}
