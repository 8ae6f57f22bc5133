//! Engine: runs the book against an API server.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, ResourceExt};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::SAVE_EVERY;
use super::book::Book;
use super::handle::{self, Ends, Grants, RELEASE_MAX, RELEASES_MAX, Release, Shards};
use super::handover::Action;
use super::line::{ECHO_MAX, Line};
use super::place::{SHARDS, shard_of};
use super::store::{self, Failure};
use super::terms::{Cursors, Occasion, Outcome, Wanted, Write};
use crate::model::{TenantId, chain};
use crate::tenancy::ownership::{Members, Watch, pause};

/// How often first cursors are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often it is looked who runs nowhere.
const IDLE_LOOK_EVERY: Duration = Duration::from_secs(5);

/// What the engine is told.
pub struct Inputs {
    /// The tenants there are; `None` until that is known.
    pub wanted: watch::Receiver<Option<Wanted>>,
    /// Who is there.
    pub members: watch::Receiver<Arc<Members>>,
}

/// Keeps records; see [`Engine::run`].
pub struct Engine<C> {
    api: Api<ConfigMap>,
    book: Book<C>,
    ends: Ends,
    releasing: BTreeMap<TenantId, Vec<oneshot::Sender<()>>>,
    shards: Vec<Line>,
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

/// An engine over the ConfigMaps of `namespace`, ours, and its handle.
pub fn open<C: Cursors>(client: Client, namespace: &str, cursors: C) -> (Engine<C>, Shards) {
    let (ends, shards) = handle::ends();
    let engine = Engine {
        api: Api::namespaced(client, namespace),
        book: Book::new(cursors),
        ends,
        releasing: BTreeMap::new(),
        shards: (0..SHARDS).map(|_| Line::default()).collect(),
        writing: JoinSet::new(),
        known: Known::default(),
    };
    (engine, shards)
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
                1.. = self.ends.releases.recv_many(&mut releases, RELEASES_MAX) => {
                    releases.drain(..).for_each(|release| self.release(release));
                }
                Some(groups) = self.ends.removals.recv() => self.book.removed(groups),
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
            self.ends.grants.send_modify(|grants| apply(Arc::make_mut(grants), actions));
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
        let asked: Vec<Option<Occasion>> = self.shards.iter_mut().map(|line| line.take_turn(now)).collect();
        let writes = self.book.writes(|shard| asked[shard], SystemTime::now().into());
        for write in writes {
            self.begin_write(write);
        }
    }

    fn begin_write(&mut self, write: Write) {
        if !self.shards[write.shard].begins(&write) {
            return;
        }
        let api = self.api.clone();
        self.writing.spawn(async move {
            let (outcome, failure) = store::write(api, &write).await;
            (write, outcome, failure)
        });
    }

    fn written(&mut self, written: Result<(Write, Outcome, Option<Failure>), tokio::task::JoinError>) {
        let (write, outcome, failure) = written.expect("writing does not panic");
        self.shards[write.shard].ended(write.shard, &outcome, failure, Instant::now());
        self.ends.stats.send_modify(|stats| match &outcome {
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
        self.shards[number].saw(&current.version);
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
        self.ends.owed.send_if_modified(|now| {
            let changed = now.as_deref() != Some(&owed);
            *now = Some(Arc::new(owed));
            changed
        });
    }

    fn tell_idle(&mut self) {
        let idle = self.book.idle(self.known.begun, Instant::now());
        self.ends.idle.send_if_modified(|now| {
            let changed = **now != idle;
            *now = Arc::new(idle);
            changed
        });
    }

    fn tell(&self) {
        let (granted, waiting) = (self.ends.grants.borrow().len(), self.book.waiting());
        let (bytes_max, left_out) =
            (self.book.bytes_max(), self.shards.iter().map(|shard| shard.left_out).sum());
        self.ends.stats.send_if_modified(|stats| {
            let now = handle::Stats { granted, waiting, bytes_max, left_out, ..*stats };
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
