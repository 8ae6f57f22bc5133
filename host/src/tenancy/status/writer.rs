//! Writer: keeps the status of this replica's resources in the cluster.
//!
//! In: facts about every resource that this replica owns, as snapshots. Out: server-side applies on `/status`, and
//! Events. Never: a write for a resource that is not in the newest snapshot, or one that holds up another.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use kube::api::{Api, ApiResource, Patch, PatchParams};
use kube::{Client, Error as KubeError};
use rand::Rng;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::events::{self, Events};
use super::facts::Facts;
use super::pace::{Outcome, Pace, Write};
use super::render::{Before, render};
use crate::model::{TenantId, Timestamp, chain};
use crate::tenancy::cluster::{Raw, api_resource};
use crate::tenancy::resource::{API_VERSION, KIND};

/// Who the fields of a status belong to, for server-side apply.
pub const FIELD_MANAGER: &str = "sluice";
/// Writes under way at once. One takes milliseconds; more would only queue at the API server.
const WRITES_MAX: usize = 8;
/// How long a write may take, repeated attempts of the client included.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// What is known of every resource that this replica owns.
pub type Owned = BTreeMap<TenantId, Facts>;

/// Writes what `owned` says, until `stop`. A resource that leaves the snapshot is forgotten, and a write of it that is under
/// way is dropped. Publish a snapshot at every change, and twice a second without one: what is overdue shows in time only.
pub async fn run(
    client: Client,
    reporter: events::Reporter,
    mut owned: watch::Receiver<Arc<Owned>>,
    now: fn() -> Timestamp,
    stop: CancellationToken,
) {
    let (events, told) = Events::new(client.clone(), reporter);
    let telling = tokio::spawn(told.run(stop.clone()));
    let mut writer = Writer::new(client, events);
    owned.mark_changed();
    loop {
        writer.start();
        let wake_at = writer.pace.wake_at(Instant::now());
        tokio::select! {
            () = stop.cancelled() => break,
            changed = owned.changed() => match changed {
                Ok(()) => writer.take(&owned.borrow_and_update().clone(), now()),
                Err(_) => break,
            },
            Some(ended) = writer.writing.join_next() => if let Ok(ended) = ended { writer.ended(ended) },
            () = sleep_until(wake_at), if writer.writing.len() < WRITES_MAX => {}
        }
    }
    // Whoever owns the resources next writes their status; an event half told would be told twice.
    writer.writing.shutdown().await;
    drop(writer);
    if telling.await.is_err() {
        warn!("events are no longer told");
    }
}

async fn sleep_until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

struct Writer {
    client: Client,
    resource: ApiResource,
    pace: Pace,
    events: Events,
    writing: JoinSet<Ended>,
    aborts: HashMap<TenantId, AbortHandle>,
}

struct Ended {
    write: Write,
    result: Result<(), Failure>,
}

impl Writer {
    fn new(client: Client, events: Events) -> Writer {
        Writer {
            client,
            resource: api_resource(),
            pace: Pace::new(Instant::now()),
            events,
            writing: JoinSet::new(),
            aborts: HashMap::new(),
        }
    }

    /// Takes the newest snapshot.
    fn take(&mut self, owned: &Owned, now: Timestamp) {
        let at = Instant::now();
        self.aborts.retain(|id, abort| {
            let stays = owned.contains_key(id);
            if !stays {
                abort.abort();
            }
            stays && !abort.is_finished()
        });
        self.pace.retain(|id| owned.contains_key(id));
        for (id, facts) in owned {
            let [stored, wanted] = self.pace.before(id, &facts.subject);
            let status = render(facts, Before { stored, wanted }, now);
            self.pace.want(id, &facts.subject, status, at);
        }
    }

    /// Starts the writes that are due.
    fn start(&mut self) {
        while self.writing.len() < WRITES_MAX {
            let Some(write) = self.pace.next(Instant::now()) else { return };
            let id = write.id.clone();
            let api = Api::namespaced_with(self.client.clone(), &id.namespace, &self.resource);
            self.aborts.insert(id, self.writing.spawn(send(api, write)));
        }
    }

    fn ended(&mut self, Ended { write, result }: Ended) {
        let outcome = match &result {
            Ok(()) => Outcome::Written,
            Err(failure) => failure.outcome(),
        };
        let id = &write.id;
        if !self.pace.done(&write, outcome, rand::rng().random(), Instant::now()) {
            return;
        }
        match result {
            Ok(()) => self.events.tell(&write),
            // A resource that is gone has no status; the watch is about to say so.
            Err(failure) if failure.is_gone() => {
                debug!(namespace = id.namespace, name = id.name, "no longer there")
            }
            Err(error) => {
                warn!(namespace = id.namespace, name = id.name, %error, "status not written; tried again")
            }
        }
    }
}

/// Why a status was not written.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the API server had not answered after {} s", WRITE_TIMEOUT.as_secs())]
    Timeout,
    #[error("{}", chain(.0))]
    Api(#[from] KubeError),
}

impl Failure {
    fn is_gone(&self) -> bool {
        matches!(self, Failure::Api(KubeError::Api(status)) if status.code == 404)
    }

    fn outcome(&self) -> Outcome {
        match self {
            Failure::Api(KubeError::Api(status)) => {
                let seconds = status.details.as_ref().map(|details| u64::from(details.retry_after_seconds));
                Outcome::Refused { retry_after: seconds.map(Duration::from_secs) }
            }
            Failure::Timeout | Failure::Api(_) => Outcome::Unreachable,
        }
    }
}

async fn send(api: Api<Raw>, write: Write) -> Ended {
    let TenantId { namespace, name } = &write.id;
    // The uid keeps the status from a new resource of the same name.
    let body = json!({
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": { "name": name, "namespace": namespace, "uid": write.uid },
        "status": &*write.status,
    });
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let patch = Patch::Apply(&body);
    let applied = tokio::time::timeout(WRITE_TIMEOUT, api.patch_status(name, &params, &patch)).await;
    let result = match applied {
        Ok(answer) => answer.map(drop).map_err(Failure::Api),
        Err(_) => Err(Failure::Timeout),
    };
    Ended { write, result }
}
