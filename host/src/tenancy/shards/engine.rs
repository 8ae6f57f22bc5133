//! Engine: runs the book against an API server.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, ResourceExt};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::book::{Book, Cursors, Occasion, Outcome, Wanted, Write};
use super::debts::Owed;
use super::handover::Action;
use super::idle::Idle;
use super::place::{SHARDS, config_map, shard_of};
use super::store::{self, Failure};
use super::view::{SHARD_BYTES_MAX, is_newer};
use super::{HANDOVER_MAX, SAVE_EVERY};
use crate::model::{TenantId, chain};
use crate::tenancy::ownership::{Members, Watch, pause};

/// Removals that wait to be looked at, likewise.
const REMOVALS_MAX: usize = 64;
/// Releases that wait to be looked at. Beyond it, whoever releases waits.
const RELEASES_MAX: usize = 1_024;
/// How long a release may take before it is given up: by then the new owner has started without it.
const RELEASE_MAX: Duration = HANDOVER_MAX;
/// The pause after a write that failed, doubled with every further one.
const RETRY_FIRST: Duration = Duration::from_millis(250);
/// No such pause is longer.
const RETRY_MAX: Duration = Duration::from_secs(10);
/// How often first cursors are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often it is looked who runs nowhere.
const IDLE_LOOK_EVERY: Duration = Duration::from_secs(5);
/// Conflicts in a row that are followed by another attempt at once.
const CONFLICTS_FREE: u32 = 2;
/// How long a write may take to come back through the watch; after that, the watch hears nothing any more.
const ECHO_MAX: Duration = Duration::from_secs(3);

/// The tenants that may run here.
pub type Grants = BTreeSet<TenantId>;

/// What the engine is told.
pub struct Inputs {
    /// The tenants there are; `None` until that is known.
    pub wanted: watch::Receiver<Option<Wanted>>,
    /// Who is there.
    pub members: watch::Receiver<Arc<Members>>,
}

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

#[derive(Debug)]
struct Release {
    tenant: TenantId,
    done: oneshot::Sender<()>,
}

/// Keeps records; see [`Engine::run`].
pub struct Engine<C> {
    api: Api<ConfigMap>,
    book: Book<C>,
    grants: watch::Sender<Arc<Grants>>,
    stats: watch::Sender<Stats>,
    releases: mpsc::Receiver<Release>,
    releasing: BTreeMap<TenantId, Vec<oneshot::Sender<()>>>,
    owed: watch::Sender<Option<Arc<Vec<Owed>>>>,
    removals: mpsc::Receiver<Vec<Owed>>,
    idle: watch::Sender<Arc<Idle>>,
    shards: Vec<Shard>,
    writing: JoinSet<(Write, Outcome, Option<Failure>)>,
    known: Known,
}

/// Whether everything has been heard of that must be known before anything is decided.
#[derive(Debug, Default)]
struct Known {
    records: bool,
    tenants: bool,
    members: bool,
    begun: bool,
    watch_fails: bool,
}

/// How one ConfigMap is written.
#[derive(Debug, Default)]
struct Shard {
    busy: bool,
    /// Cursors that moved are to be saved.
    due: bool,
    /// First cursors are.
    look: bool,
    failures: u32,
    conflicts: u32,
    retry_at: Option<Instant>,
    /// The version the watch showed last.
    watched: Option<String>,
    /// A version of ours that the watch must show, until when.
    echo: Option<(String, Instant)>,
    left_out: usize,
}

/// An engine over the ConfigMaps of `namespace`, ours, and its handle.
pub fn open<C: Cursors>(client: Client, namespace: &str, cursors: C) -> (Engine<C>, Shards) {
    let (grants, granted) = watch::channel(Arc::default());
    let (stats, stats_seen) = watch::channel(Stats::default());
    let (releases, released) = mpsc::channel(RELEASES_MAX);
    let (owed, owed_seen) = watch::channel(None);
    let (removals, removed) = mpsc::channel(REMOVALS_MAX);
    let (idle, idle_seen) = watch::channel(Arc::default());
    let engine = Engine {
        api: Api::namespaced(client, namespace),
        book: Book::new(cursors),
        grants,
        stats,
        releases: released,
        releasing: BTreeMap::new(),
        owed,
        removals: removed,
        idle,
        shards: (0..SHARDS).map(|_| Shard::default()).collect(),
        writing: JoinSet::new(),
        known: Known::default(),
    };
    (
        engine,
        Shards { grants: granted, stats: stats_seen, releases, owed: owed_seen, removals, idle: idle_seen },
    )
}

impl<C: Cursors> Engine<C> {
    /// Grants and saves until `stop`; then what is left is released. From `leave` on nothing is ours. `stop` is for
    /// when no pipeline runs any more.
    pub async fn run(mut self, inputs: Inputs, leave: CancellationToken, stop: CancellationToken) {
        let Inputs { mut wanted, mut members } = inputs;
        let mut watch = Watch::new(self.api.clone(), &store::selector());
        let mut save_at = Instant::now() + pause(0, SAVE_EVERY, SAVE_EVERY);
        let mut look_at = Instant::now() + LOOK_EVERY;
        let mut idle_at = Instant::now() + IDLE_LOOK_EVERY;
        let mut staying = true;
        self.hear_wanted(&mut wanted);
        self.hear_members(&mut members);
        let mut releases = Vec::new();
        loop {
            let (wake_at, deaf_at) = (self.wake_at(), self.deaf_at());
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = leave.cancelled(), if staying => {
                    staying = false;
                    self.book.leave();
                }
                Ok(()) = members.changed() => self.hear_members(&mut members),
                Ok(()) = wanted.changed() => self.hear_wanted(&mut wanted),
                Some(written) = self.writing.join_next() => self.written(written),
                // Of a closed channel nothing more comes, and at once.
                1.. = self.releases.recv_many(&mut releases, RELEASES_MAX) => {
                    releases.drain(..).for_each(|release| self.release(release));
                }
                Some(groups) = self.removals.recv() => self.book.removed(groups),
                () = until(wake_at) => {}
                () = tokio::time::sleep_until(save_at) => {
                    self.shards.iter_mut().for_each(|shard| shard.due = true);
                    save_at += SAVE_EVERY;
                }
                () = tokio::time::sleep_until(look_at) => {
                    self.shards.iter_mut().for_each(|shard| shard.look = true);
                    look_at = Instant::now() + LOOK_EVERY;
                    self.tell_owed();
                }
                () = tokio::time::sleep_until(idle_at) => {
                    idle_at = Instant::now() + IDLE_LOOK_EVERY;
                    if staying {
                        self.tell_idle();
                    }
                }
                () = until(deaf_at) => {
                    warn!(seconds = ECHO_MAX.as_secs(), "The watch of cursors hears nothing; it begins anew");
                    watch.restart();
                    self.await_echoes_until(Instant::now() + 2 * ECHO_MAX);
                }
                event = watch.next() => self.heard(event),
            }
            self.turn();
        }
        self.finish().await;
    }

    /// Does what is to be done now.
    fn turn(&mut self) {
        if !self.begin() {
            return;
        }
        let now = Instant::now();
        let actions = self.book.step(now);
        if !actions.is_empty() {
            self.grants.send_modify(|grants| apply(Arc::make_mut(grants), actions));
        }
        self.write(now);
        let letting_go = |tenant: &TenantId| self.book.is_letting_go(tenant);
        for (_, done) in self.releasing.extract_if(.., |tenant, _| !letting_go(tenant)) {
            done.into_iter().for_each(|done| _ = done.send(()));
        }
        self.tell();
    }

    /// Whether everything is known; the first time, takes up what a former life left.
    fn begin(&mut self) -> bool {
        let Known { records, tenants, members, begun, .. } = &mut self.known;
        if *records && *tenants && *members && !*begun {
            *begun = true;
            self.book.begin();
        }
        *begun
    }

    fn write(&mut self, now: Instant) {
        let shards = &self.shards;
        let occasion = |shard: usize| match &shards[shard] {
            Shard { busy: true, .. } => None,
            Shard { retry_at: Some(at), .. } if *at > now => None,
            Shard { due: true, .. } => Some(Occasion::Save),
            Shard { look: true, .. } => Some(Occasion::First),
            Shard { .. } => Some(Occasion::Urgent),
        };
        let asked: Vec<Option<Occasion>> = (0..SHARDS).map(occasion).collect();
        let writes = self.book.writes(|shard| asked[shard], SystemTime::now().into());
        for (shard, occasion) in self.shards.iter_mut().zip(asked) {
            shard.due &= occasion != Some(Occasion::Save);
            if occasion.is_some() {
                (shard.look, shard.retry_at) = (false, None);
            }
        }
        for write in writes {
            self.begin_write(write);
        }
    }

    fn begin_write(&mut self, write: Write) {
        let shard = &mut self.shards[write.shard];
        if write.left_out > shard.left_out {
            let (name, left_out) = (config_map(write.shard), write.left_out);
            warn!(
                config_map = name,
                left_out,
                bytes_max = SHARD_BYTES_MAX,
                "No room for more cursors; after a crash these tenants start at the present"
            );
        }
        shard.left_out = write.left_out;
        if write.changes.is_empty() {
            return;
        }
        shard.busy = true;
        let api = self.api.clone();
        self.writing.spawn(async move {
            let (outcome, failure) = store::write(api, &write).await;
            (write, outcome, failure)
        });
    }

    fn written(&mut self, written: Result<(Write, Outcome, Option<Failure>), tokio::task::JoinError>) {
        let (write, outcome, failure) = written.expect("writing does not panic");
        let (now, shard) = (Instant::now(), &mut self.shards[write.shard]);
        shard.busy = false;
        match &outcome {
            Outcome::Accepted(version) => {
                if shard.failures > 0 {
                    info!(config_map = config_map(write.shard), "Cursors are saved again");
                }
                (shard.failures, shard.conflicts) = (0, 0);
                let is_shown = shard.watched.as_deref().is_some_and(|watched| !is_newer(version, watched));
                shard.echo = (!is_shown).then(|| (version.clone(), now + ECHO_MAX));
            }
            Outcome::Conflict(_) => {
                shard.due = true;
                shard.conflicts += 1;
                let again = shard.conflicts.checked_sub(CONFLICTS_FREE);
                shard.retry_at = again.map(|conflicts| now + pause(conflicts, RETRY_FIRST, RETRY_MAX));
            }
            Outcome::Refused | Outcome::Unknown => {
                if let Some(error) = failure.filter(|_| shard.failures == 0) {
                    warn!(config_map = config_map(write.shard), %error, "Cursors were not saved; what is in doubt after a crash grows");
                }
                shard.due = true;
                shard.retry_at = Some(now + pause(shard.failures, RETRY_FIRST, RETRY_MAX));
                shard.failures = shard.failures.saturating_add(1);
            }
        }
        self.stats.send_modify(|stats| match &outcome {
            Outcome::Accepted(_) => stats.writes += 1,
            Outcome::Conflict(_) => stats.conflicts += 1,
            Outcome::Refused | Outcome::Unknown => stats.failures += 1,
        });
        self.book.wrote(write, outcome);
    }

    fn heard(&mut self, event: watcher::Result<Event<ConfigMap>>) {
        match event {
            Ok(Event::Init) => self.book.list_begins(),
            Ok(Event::InitApply(object) | Event::Apply(object)) => self.saw(object),
            Ok(Event::InitDone) => {
                self.book.list_ends();
                self.known.records = true;
                self.known.watch_fails = false;
            }
            Ok(Event::Delete(object)) => {
                let version = object.resource_version().unwrap_or_default();
                if let Some(shard) = shard_of(&object.name_any()) {
                    self.shards[shard].echo = None;
                    self.book.deleted(shard, &version);
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut self.known.watch_fails, true) {
                    warn!(
                        error = chain(&error),
                        "Cursors of other replicas cannot be watched; what runs goes on"
                    );
                }
            }
        }
    }

    fn saw(&mut self, object: ConfigMap) {
        // Somebody may have put our label on an object of theirs.
        let Some(number) = shard_of(&object.name_any()) else { return };
        let current = store::current(object);
        let shard = &mut self.shards[number];
        let is_shown = |(version, _): &(String, Instant)| !is_newer(version, &current.version);
        shard.echo = shard.echo.take().filter(|echo| !is_shown(echo));
        shard.watched = Some(current.version.clone());
        self.book.see(number, current);
    }

    fn release(&mut self, release: Release) {
        let Release { tenant, done } = release;
        self.book.stopped(&tenant);
        self.releasing.entry(tenant).or_default().push(done);
    }

    fn hear_wanted(&mut self, wanted: &mut watch::Receiver<Option<Wanted>>) {
        if let Some(wanted) = &*wanted.borrow_and_update() {
            self.known.tenants = true;
            self.book.wanted(wanted);
        }
    }

    fn hear_members(&mut self, members: &mut watch::Receiver<Arc<Members>>) {
        let members = members.borrow_and_update().clone();
        self.known.members |= members.active.contains(&members.me);
        self.book.members(members);
    }

    /// When something is due though nothing happens.
    fn wake_at(&self) -> Option<Instant> {
        let retries = self.shards.iter().filter(|shard| !shard.busy).filter_map(|shard| shard.retry_at);
        retries.chain(self.book.deadline()).min().filter(|_| self.known.begun)
    }

    fn deaf_at(&self) -> Option<Instant> {
        self.shards.iter().filter_map(|shard| Some(shard.echo.as_ref()?.1)).min()
    }

    fn await_echoes_until(&mut self, until: Instant) {
        for (_, at) in self.shards.iter_mut().filter_map(|shard| shard.echo.as_mut()) {
            *at = until;
        }
    }

    fn tell_owed(&mut self) {
        if !self.known.begun {
            return;
        }
        let owed = self.book.owed();
        self.owed.send_if_modified(|now| {
            let changed = now.as_deref() != Some(&owed);
            *now = Some(Arc::new(owed));
            changed
        });
    }

    fn tell_idle(&mut self) {
        let idle = self.book.idle(self.known.begun, Instant::now());
        self.idle.send_if_modified(|now| {
            let changed = **now != idle;
            *now = Arc::new(idle);
            changed
        });
    }

    fn tell(&self) {
        let (granted, waiting) = (self.grants.borrow().len(), self.book.waiting());
        let (bytes_max, left_out) =
            (self.book.bytes_max(), self.shards.iter().map(|shard| shard.left_out).sum());
        self.stats.send_if_modified(|stats| {
            let now = Stats { granted, waiting, bytes_max, left_out, ..*stats };
            std::mem::replace(stats, now) != now
        });
    }

    /// Releases what nobody released, if the API server is there.
    async fn finish(mut self) {
        self.book.leave();
        self.turn();
        self.book.all_stopped();
        let all = async {
            loop {
                self.shards.iter_mut().for_each(|shard| shard.due = true);
                self.turn();
                match self.writing.join_next().await {
                    Some(written) => self.written(written),
                    None => return,
                }
            }
        };
        if tokio::time::timeout(RELEASE_MAX, all).await.is_err() {
            warn!("Cursors were not all released; their new owners send again what is in doubt");
        }
    }
}

fn apply(grants: &mut Grants, actions: Vec<Action>) {
    for action in actions {
        match action {
            Action::Start(tenant) => {
                info!(namespace = %tenant.namespace, name = %tenant.name, "Tenant runs here");
                grants.insert(tenant);
            }
            Action::Stop(tenant) => {
                info!(namespace = %tenant.namespace, name = %tenant.name, "Tenant runs here no more");
                grants.remove(&tenant);
            }
        }
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
