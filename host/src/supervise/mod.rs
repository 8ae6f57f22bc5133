//! Supervise: one pipeline per tenant, kept as the newest specification says.
//!
//! In: what this process is to run, and snapshots of the source groups. Out: running pipelines, and which there are.
//! Never: a pipeline touched because another one's specification changed; two pipelines of one tenant at a time; the
//! end of a series concluded because another replica goes on with it; a pipeline replaced by one whose filters are not
//! ready.

mod equip;
mod keep;
#[cfg(test)]
mod tests;
mod trial;
mod workshop;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::model::{SourceGroup, Tenant, TenantId, conflicts};
use crate::pipeline;

pub use equip::Equipment;

/// The tenants that are to run.
pub type Tenants = BTreeMap<TenantId, Arc<Tenant>>;

/// What this process is to do.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Assignment {
    /// The tenants it runs.
    pub running: Arc<Tenants>,
    /// Tenants that are none of its business: another replica runs them, or will. A pipeline of theirs stops between
    /// two ticks and ends nothing.
    pub elsewhere: Arc<BTreeSet<TenantId>>,
    /// Tenants whose resource was edited into something that cannot run. A pipeline of theirs waits: once the mistake
    /// is mended it asks for what it missed. Of a tenant that is in none of the sets, the series end.
    pub paused: Arc<BTreeSet<TenantId>>,
}

impl Assignment {
    /// What becomes of a pipeline that is not to run.
    fn end_of(&self, id: &TenantId) -> Order {
        if self.elsewhere.contains(id) {
            Order::HandOver
        } else if self.paused.contains(id) {
            Order::Pause
        } else {
            Order::Retire
        }
    }
}

/// The tenants that have a pipeline here, also one that is just ending.
pub type Alive = BTreeSet<TenantId>;

/// What one pipeline is to do.
#[derive(Debug, Clone, PartialEq)]
struct Wanted {
    tenant: Arc<Tenant>,
    groups: Arc<Vec<SourceGroup>>,
}

/// What a keeper is told.
#[derive(Debug, Clone, PartialEq)]
enum Order {
    /// Run it like this.
    Run(Wanted),
    /// Stop, and remember what the receivers hold, for what is wanted next.
    Pause,
    /// Stop; another replica goes on.
    HandOver,
    /// Stop, and end its series and groups.
    Retire,
}

/// One tenant's keeper, and where it is told.
type Keepers = BTreeMap<TenantId, watch::Sender<Order>>;

/// Keeps one pipeline per tenant until `stop`, then lets every tick in flight finish. `alive` is told which tenants
/// have one.
pub async fn run(
    deps: Arc<pipeline::Deps>,
    equipment: Arc<Equipment>,
    mut assignment: watch::Receiver<Arc<Assignment>>,
    mut sources: watch::Receiver<Arc<Vec<SourceGroup>>>,
    alive: watch::Sender<Arc<Alive>>,
    stop: CancellationToken,
) {
    let site = Site { deps: deps.clone(), equipment, stop: stop.clone() };
    let mut keepers = Keepers::new();
    let mut tasks = JoinSet::new();
    // The tenants of which it is known who may collide with whom.
    let mut judged = Arc::default();
    loop {
        let assigned = assignment.borrow_and_update().clone();
        let groups = sources.borrow_and_update().clone();
        if !Arc::ptr_eq(&assigned.running, &judged) {
            judged = assigned.running.clone();
            let sets = conflicts::conflict_sets(judged.values().map(|tenant| &**tenant));
            deps.claims.contend(conflicts::contended(&sets));
        }
        for (id, keeper) in &keepers {
            if !assigned.running.contains_key(id) {
                tell(keeper, assigned.end_of(id));
            }
        }
        for (id, tenant) in assigned.running.iter() {
            let wanted = Wanted { tenant: tenant.clone(), groups: groups_for(tenant, &groups) };
            let order = Order::Run(wanted);
            match keepers.get(id) {
                Some(keeper) => tell(keeper, order),
                None => start(&site, id, order, &mut keepers, &mut tasks),
            }
        }
        publish(&alive, &keepers);
        tokio::select! {
            // At the end of the program a tick in flight has longer than at a change.
            biased;
            () = stop.cancelled() => break,
            changed = assignment.changed() => if changed.is_err() { break },
            changed = sources.changed() => if changed.is_err() { break },
            Some(ended) = tasks.join_next() => restart_if_wanted(&site, ended, &mut keepers, &mut tasks),
        }
    }
    while let Some(ended) = tasks.join_next().await {
        if let Ok(id) = ended {
            keepers.remove(&id);
            publish(&alive, &keepers);
        }
    }
}

fn publish(alive: &watch::Sender<Arc<Alive>>, keepers: &Keepers) {
    alive.send_if_modified(|now| {
        let changed = now.len() != keepers.len() || !keepers.keys().all(|id| now.contains(id));
        if changed {
            *now = Arc::new(keepers.keys().cloned().collect());
        }
        changed
    });
}

/// The groups a tenant may have, in their order.
fn groups_for(tenant: &Tenant, groups: &Arc<Vec<SourceGroup>>) -> Arc<Vec<SourceGroup>> {
    match groups.iter().all(|group| group.is_for(tenant)) {
        true => groups.clone(),
        false => Arc::new(groups.iter().filter(|group| group.is_for(tenant)).cloned().collect()),
    }
}

fn tell(keeper: &watch::Sender<Order>, order: Order) {
    keeper.send_if_modified(|now| {
        let changed = *now != order;
        *now = order;
        changed
    });
}

type Ended = Result<TenantId, tokio::task::JoinError>;

/// What every keeper works with.
#[derive(Clone)]
struct Site {
    deps: Arc<pipeline::Deps>,
    equipment: Arc<Equipment>,
    stop: CancellationToken,
}

fn start(site: &Site, id: &TenantId, order: Order, keepers: &mut Keepers, tasks: &mut JoinSet<TenantId>) {
    let (sender, receiver) = watch::channel(order);
    keepers.insert(id.clone(), sender);
    tasks.spawn(keep::keep(site.clone(), id.clone(), receiver));
}

/// A keeper ends with its tenant; the tenant may have come back in the same moment.
fn restart_if_wanted(site: &Site, ended: Ended, keepers: &mut Keepers, tasks: &mut JoinSet<TenantId>) {
    let id = match ended {
        Ok(id) => id,
        Err(error) => return error!(%error, "a pipeline's keeper ended unexpectedly"),
    };
    let order = keepers.remove(&id).map(|sender| sender.borrow().clone());
    if let Some(order @ Order::Run(_)) = order {
        start(site, &id, order, keepers, tasks);
    }
}
