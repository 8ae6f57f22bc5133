//! Cluster: the program as one of several replicas.
//!
//! In: what the watches of the cluster show. Out: what this replica runs, the statuses of its resources, and what is
//! to be done before one of them may go.
//! Never: a pipeline stopped because the API server is away; a resource handed over before its pipeline has stopped.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::groups;
use super::status::owned;
use super::{Vanished, now, tell_tenants};
use crate::deliver::cursor::{Cursor, Key, Store};
use crate::model::conflicts::conflict_sets;
use crate::model::{Digest, Endpoint, PushgatewayEndpoint, TargetType, TenantId, Timestamp};
use crate::pipeline::{Deps, remove_groups};
use crate::supervise::{Alive, Assignment};
use crate::telemetry::Metrics;
use crate::tenancy::cluster::finalizer::{self, Hold};
use crate::tenancy::cluster::{self, Leaving, Seen};
use crate::tenancy::ownership::{self, Members};
use crate::tenancy::shards::{self, Cursors, Grants, Owed, Record, Row, Shards, Tag};
use crate::tenancy::{Tenants, status};

/// How often what has no event of its own is looked at: the board, and what waits for its end.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long a resource is kept for its Pushgateway group's sake.
const FINALIZE_MAX: Duration = Duration::from_secs(30);
/// Finalizers that are written at once.
const FINALIZERS_MAX: usize = 4;

/// A replica, built and not yet running.
pub(super) struct Replica {
    config: cluster::Config,
    client: Client,
    watcher: cluster::Watcher,
    seen: Seen,
}

/// What keeps the replica's place until its pipelines have ended.
pub(super) struct Place {
    keeping: JoinSet<()>,
    after: CancellationToken,
}

/// What the replica's parts tell each other.
#[derive(Clone)]
struct Links {
    seen: Seen,
    members: watch::Receiver<Arc<Members>>,
    grants: watch::Receiver<Arc<Grants>>,
    alive: watch::Receiver<Arc<Alive>>,
    shards: Shards,
}

impl Replica {
    pub(super) fn open(config: cluster::Config, client: Client) -> Replica {
        let (watcher, seen) = cluster::open(client.clone(), &config);
        Replica { config, client, watcher, seen }
    }

    /// Starts everything but the pipelines: these are for whoever follows the assignment. What is spawned on `feeding`
    /// ends with `stop`.
    pub(super) fn start(
        self,
        deps: &Arc<Deps>,
        alive: watch::Receiver<Arc<Alive>>,
        feeding: &mut JoinSet<()>,
        stop: &CancellationToken,
    ) -> (watch::Receiver<Arc<Assignment>>, Place) {
        let Replica { config, client, watcher, seen } = self;
        let member = ownership::Config { namespace: config.namespace.clone(), pod: config.pod.clone() };
        let (keeper, members) = ownership::open(client.clone(), member);
        let (engine, shards) = shards::open(client.clone(), &config.namespace, Kept(deps.cursors.clone()));
        let (members_seen, grants) = (members.clone(), shards.grants());
        let links = Links { seen, members: members_seen, grants, alive, shards: shards.clone() };

        let after = CancellationToken::new();
        let mut keeping = JoinSet::new();
        let (wanted, wanted_seen) = watch::channel(None);
        let inputs = shards::Inputs { wanted: wanted_seen, members };
        keeping.spawn(engine.run(inputs, stop.clone(), after.clone()));
        keeping.spawn(keeper.run(stop.clone(), after.clone()));
        keeping.spawn(release(links.clone(), shards.clone(), after.clone()));

        let (assigned, assignment) = watch::channel(Arc::default());
        let (ours, ours_seen) = watch::channel(Arc::default());
        let (facts, facts_seen) = watch::channel(Arc::default());
        let reporter = status::events::Reporter { instance: config.pod.clone() };
        feeding.spawn(watcher.run(stop.clone()));
        feeding.spawn(count(shards.stats(), shards.idle(), deps.metrics.clone(), stop.clone()));
        feeding.spawn(want(links.clone(), wanted, stop.clone()));
        feeding.spawn(assign(links.clone(), assigned, ours, stop.clone()));
        feeding.spawn(tell_ours(deps.clone(), ours_seen.clone(), stop.clone()));
        let described =
            describe(links.clone(), ours_seen, deps.clone(), config.pod.into(), facts, stop.clone());
        feeding.spawn(described);
        feeding.spawn(status::run(client.clone(), reporter, facts_seen, now, stop.clone()));
        let clearing = groups::Links {
            shards: shards.clone(),
            addresses: links.seen.addresses.clone(),
            alive: links.alive.clone(),
            leaving: links.seen.leaving.clone(),
        };
        feeding.spawn(groups::clear(clearing, deps.clone(), stop.clone()));
        feeding.spawn(finalize(links, client, deps.clone(), stop.clone()));
        (assignment, Place { keeping, after })
    }
}

impl Place {
    /// What keeps it: none of these may end before [`Place::leave`].
    pub(super) fn tasks(&mut self) -> &mut JoinSet<()> {
        &mut self.keeping
    }

    /// Gives the place up: what is left is released, and the others are told. To be called when no pipeline runs.
    pub(super) async fn leave(mut self) {
        self.after.cancel();
        while let Some(ended) = self.keeping.join_next().await {
            if let Err(error) = ended {
                warn!(%error, "the replica's place was not given up in order");
            }
        }
    }
}

/// Shows our tenants, once we know which they are.
async fn tell_ours(deps: Arc<Deps>, mut ours: watch::Receiver<Arc<Tenants>>, stop: CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => return,
        changed = ours.changed() => if changed.is_err() { return },
    }
    ours.mark_changed();
    tell_tenants(deps, ours, Vanished::Elsewhere, stop).await;
}

/// Shows how full the ConfigMaps are, and how many resources run nowhere.
async fn count(
    mut stats: watch::Receiver<shards::Stats>,
    mut idle: watch::Receiver<Arc<shards::Idle>>,
    metrics: Metrics,
    stop: CancellationToken,
) {
    loop {
        metrics.cursors_left_out(stats.borrow_and_update().left_out);
        metrics.not_running(idle.borrow_and_update().count);
        tokio::select! {
            () = stop.cancelled() => return,
            changed = stats.changed() => if changed.is_err() { return },
            changed = idle.changed() => if changed.is_err() { return },
        }
    }
}

/// Says which tenants are to run somewhere, once the first list is complete.
async fn want(links: Links, wanted: watch::Sender<Option<shards::Wanted>>, stop: CancellationToken) {
    let Links { seen, .. } = links;
    let mut tenants = seen.published.tenants;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            changed = tenants.changed() => if changed.is_err() { return },
        }
        let tenants = tenants.borrow_and_update().clone();
        let known = seen.objects.borrow().keys().cloned().collect();
        // Resources that may write one identity to one endpoint run at one replica, which then sees it.
        let run = Arc::new(conflict_sets(tenants.running.values().map(|tenant| &**tenant)));
        let groups = tenants.running.iter().filter_map(|(id, tenant)| {
            let all: BTreeSet<_> = tenant.endpoints.iter().filter_map(Endpoint::group).cloned().collect();
            (!all.is_empty()).then(|| (id.clone(), all))
        });
        let (groups, refused) = (groups.collect(), tenants.refused.keys().cloned().collect());
        let (known, groups, refused) = (Arc::new(known), Arc::new(groups), Arc::new(refused));
        wanted.send_replace(Some(shards::Wanted { run, known, groups, refused }));
    }
}

/// Cuts what the replica runs, and what it answers for, out of all there is.
async fn assign(
    links: Links,
    assigned: watch::Sender<Arc<Assignment>>,
    ours: watch::Sender<Arc<Tenants>>,
    stop: CancellationToken,
) {
    let Links { seen, mut members, mut grants, .. } = links;
    let mut tenants = seen.published.tenants;
    // Nothing is known before the first complete list.
    tokio::select! {
        () = stop.cancelled() => return,
        changed = tenants.changed() => if changed.is_err() { return },
    }
    loop {
        let all = tenants.borrow_and_update().clone();
        let granted = grants.borrow_and_update().clone();
        let present = members.borrow_and_update().clone();
        let mine = all.part(|id| granted.contains(id), |id| present.own(&id.to_string()));
        // One that is refused is nobody's until it is mended, and then it goes on, perhaps at another replica.
        let others = all.running.keys().filter(|id| !granted.contains(*id)).chain(all.refused.keys());
        let assignment = Assignment {
            running: Arc::clone(&mine.running),
            elsewhere: Arc::new(others.cloned().collect()),
            paused: Arc::default(),
        };
        assigned.send_if_modified(|now| {
            let changed = **now != assignment;
            *now = Arc::new(assignment);
            changed
        });
        ours.send_replace(Arc::new(mine));
        tokio::select! {
            () = stop.cancelled() => return,
            changed = tenants.changed() => if changed.is_err() { return },
            changed = grants.changed() => if changed.is_err() { return },
            changed = members.changed() => if changed.is_err() { return },
        }
    }
}

/// Lets go of each tenant that is no longer granted, as soon as its pipeline has stopped.
async fn release(links: Links, shards: Shards, stop: CancellationToken) {
    let Links { mut grants, mut alive, .. } = links;
    let mut held: Grants = BTreeSet::new();
    let mut releasing = JoinSet::new();
    loop {
        let granted = grants.borrow_and_update().clone();
        let running = alive.borrow_and_update().clone();
        held.extend(granted.iter().cloned());
        let over: Vec<TenantId> =
            held.iter().filter(|id| !granted.contains(*id) && !running.contains(*id)).cloned().collect();
        for id in over {
            held.remove(&id);
            let shards = shards.clone();
            releasing.spawn(async move {
                if let Err(error) = shards.release(&id).await {
                    warn!(namespace = %id.namespace, name = %id.name, %error, "not handed over in order");
                }
            });
        }
        tokio::select! {
            () = stop.cancelled() => break,
            changed = grants.changed() => if changed.is_err() { break },
            changed = alive.changed() => if changed.is_err() { break },
            Some(_) = releasing.join_next() => {}
        }
    }
    while releasing.join_next().await.is_some() {}
}

/// Gathers what the statuses of our resources are made of.
async fn describe(
    links: Links,
    mut ours: watch::Receiver<Arc<Tenants>>,
    deps: Arc<Deps>,
    pod: Arc<str>,
    facts: watch::Sender<Arc<status::Owned>>,
    stop: CancellationToken,
) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            changed = ours.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let tenants = ours.borrow_and_update().clone();
        let objects = links.seen.objects.borrow().clone();
        let subjects = objects.iter().map(|(id, object)| (id, &object.subject));
        let all = links.seen.published.tenants.borrow().clone();
        let idle = links.shards.idle().borrow().clone();
        let idle = idle.ours.iter().filter_map(|(id, why)| Some((all.running.get(id)?.clone(), *why)));
        let idle: Vec<_> = idle.collect();
        facts.send_replace(Arc::new(owned(subjects, &tenants, &idle, &deps.board.snapshot(now()), &pod)));
    }
}

/// Holds resources with a Pushgateway group until the group is removed, for at most [`FINALIZE_MAX`].
async fn finalize(links: Links, client: Client, deps: Arc<Deps>, stop: CancellationToken) {
    let mut busy: BTreeMap<tokio::task::Id, TenantId> = BTreeMap::new();
    let mut tasks = JoinSet::new();
    loop {
        for (id, uid, task) in due(&links, &busy) {
            let (client, deps, links) = (client.clone(), deps.clone(), links.clone());
            let handle = tasks.spawn({
                let id = id.clone();
                async move {
                    if let Err(error) = task.run(&client, &deps, &links, &id, &uid).await {
                        warn!(namespace = %id.namespace, name = %id.name, %error, "finalizer not written");
                        // Others are not held up by it, and it is not tried without a pause.
                        tokio::time::sleep(LOOK_EVERY * 4).await;
                    }
                }
            });
            busy.insert(handle.id(), id);
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
            Some(ended) = tasks.join_next_with_id() => {
                busy.remove(&ended.map_or_else(|error| error.id(), |(id, ())| id));
            }
        }
    }
}

/// What is to be done about one resource.
enum Task {
    Keep,
    LetGo(Leaving, Vec<Owed>),
}

/// What is ours to do and not under way, as much as may be at once.
fn due(links: &Links, busy: &BTreeMap<tokio::task::Id, TenantId>) -> Vec<(TenantId, String, Task)> {
    let (objects, leaving) = (links.seen.objects.borrow().clone(), links.seen.leaving.borrow().clone());
    let (alive, grants) = (links.alive.borrow().clone(), links.grants.borrow().clone());
    let (members, tenants) = (links.members.borrow().clone(), links.seen.published.tenants.borrow().clone());
    let owed = links.shards.owed().borrow().clone();
    let keep = tenants.running.iter().filter_map(|(id, tenant)| {
        let object = objects.get(id)?;
        let wanted =
            grants.contains(id) && tenant.target_type == TargetType::Pushgateway && !object.is_held();
        wanted.then(|| (id.clone(), object.subject.uid.clone(), Task::Keep))
    });
    let let_go = leaving.iter().filter_map(|(id, leaving)| {
        let object = objects.get(id)?;
        let ours = members.own(&id.to_string()) && !alive.contains(id);
        // What it left before is not known before the records are.
        let is_known = owed.is_some() || now().since(leaving.since) >= FINALIZE_MAX;
        let left =
            owed.iter().flat_map(|all| all.iter()).filter(|owed| owed.tenant == *id).cloned().collect();
        let task = || Task::LetGo(only_its_own(leaving, &tenants), left);
        (ours && is_known).then(|| (id.clone(), object.subject.uid.clone(), task()))
    });
    let free = |(id, _, _): &(TenantId, String, Task)| !busy.values().any(|other| other == id);
    keep.chain(let_go).filter(free).take(FINALIZERS_MAX.saturating_sub(busy.len())).collect()
}

/// A group that another resource has now is not removed: the one that goes may have been refused because of it.
fn only_its_own(leaving: &Leaving, tenants: &Tenants) -> Leaving {
    let others: BTreeSet<String> =
        tenants.running.values().flat_map(|tenant| &tenant.endpoints).map(Endpoint::key).collect();
    let alone =
        |group: &&PushgatewayEndpoint| !others.contains(&Endpoint::Pushgateway((*group).clone()).key());
    Leaving { since: leaving.since, groups: leaving.groups.iter().filter(alone).cloned().collect() }
}

impl Task {
    async fn run(
        self,
        client: &Client,
        deps: &Deps,
        links: &Links,
        id: &TenantId,
        uid: &str,
    ) -> Result<(), kube::Error> {
        let (leaving, left) = match self {
            Task::Keep => return finalizer::set(client, id, uid, Hold::Keep).await,
            Task::LetGo(leaving, left) => (leaving, left),
        };
        let own = remove_groups(deps, &leaving.groups).await.map_err(groups::Error::from);
        // Of these the record knows as well: what is not removed in time is tried on without the resource.
        if let Err(error) = own.and(groups::remove(&links.shards, &links.seen.addresses, deps, left).await) {
            if now().since(leaving.since) < FINALIZE_MAX {
                tokio::time::sleep(LOOK_EVERY * 4).await;
                return Ok(());
            }
            warn!(namespace = %id.namespace, name = %id.name, %error, "Pushgateway group not removed; its last values stay");
        }
        finalizer::set(client, id, uid, Hold::LetGo).await
    }
}

/// The cursors of the pipelines, and what their tags stand for, as the shards keep them.
struct Kept(Store);

impl Cursors for Kept {
    fn epoch(&self, tenant: &TenantId) -> u64 {
        self.0.epoch(tenant)
    }

    fn rows(&self, tenant: &TenantId) -> Vec<Row> {
        let row = |(key, cursor): (Key, Cursor)| {
            let (delivered, ended) = match cursor {
                Cursor::Delivered(tick) => (tick, false),
                Cursor::Ended(tick) => (tick, true),
            };
            let Key { tenant: _, group, endpoint } = key;
            Row { group, endpoint, delivered: delivered.as_millis(), ended }
        };
        self.0.of(tenant).into_iter().map(row).collect()
    }

    fn tags(&self, tenant: &TenantId) -> Option<Vec<Tag>> {
        let tag = |(reference, digest): (String, Digest)| Tag { reference, digest: digest.to_string() };
        Some(self.0.tags(tenant)?.into_iter().map(tag).collect())
    }

    fn restore(&self, tenant: &TenantId, record: &Record) {
        let cursor = |row: &Row| {
            let Row { group, endpoint, delivered, ended } = row.clone();
            let tick = Timestamp(delivered);
            let cursor = if ended { Cursor::Ended(tick) } else { Cursor::Delivered(tick) };
            (Key { tenant: tenant.clone(), group, endpoint }, cursor)
        };
        self.0.restore(record.cursors.iter().map(cursor));
        let tag = |tag: &Tag| Some((tag.reference.clone(), tag.digest.parse().ok()?));
        self.0.set_tags(tenant, record.tags.iter().filter_map(tag).collect());
    }

    fn let_go(&self, tenant: &TenantId) {
        self.0.let_tags_go(tenant);
    }
}
