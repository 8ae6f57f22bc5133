//! Keeper: keeps our Lease, watches everybody's, and publishes who is there.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::lease::{self, Intent};
use super::watch::{Watch, pause};
use super::{Ledger, Members, RENEW_EVERY};
use crate::model::chain;

/// Who writes our Leases, for the API server.
const FIELD_MANAGER: &str = "sluice";
/// A renewal that takes longer has failed. Part of the reckoning in [`super::OUTAGE`], as is [`RETRY_MAX`].
const RENEWAL_MAX: Duration = Duration::from_secs(2);
/// The pause after a renewal that failed, doubled with every further one.
const RETRY_FIRST: Duration = Duration::from_millis(250);
/// No such pause is longer.
const RETRY_MAX: Duration = Duration::from_secs(2);
/// How long a renewal may take to come back through the watch; after that, the watch hears nothing any more.
const ECHO_MAX: Duration = Duration::from_secs(2);
/// How often deleting our Lease is tried before it is left to expire.
const DELETE_ATTEMPTS_MAX: u32 = 3;

/// Who we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Our own namespace.
    pub namespace: String,
    /// Our pod's name, under which we own.
    pub pod: String,
}

/// A Lease cannot be kept or watched.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// We may not write it.
    #[error(
        "the Lease {lease} may not be written: {}; give the ServiceAccount create, patch and delete on leases in \
         {namespace}",
        chain(source)
    )]
    Forbidden {
        /// The Lease.
        lease: String,
        /// Where it is.
        namespace: String,
        /// The API server's words.
        #[source]
        source: kube::Error,
    },
    /// The API server refused it for another reason, or cannot be reached.
    #[error("the Lease {lease} was not renewed: {}", chain(source))]
    Renew {
        /// The Lease.
        lease: String,
        /// Why.
        #[source]
        source: kube::Error,
    },
    /// The API server took too long.
    #[error("the Lease {lease} was not renewed within {} s", RENEWAL_MAX.as_secs())]
    Slow {
        /// The Lease.
        lease: String,
    },
    /// Other members' Leases cannot be seen.
    #[error(
        "members' Leases in {namespace} cannot be watched (the ServiceAccount needs list and watch on leases there): {}",
        chain(source)
    )]
    Watch {
        /// Where they are.
        namespace: String,
        /// Why.
        #[source]
        source: Box<watcher::Error>,
    },
}

/// Keeps one member's Lease; see [`Keeper::run`].
pub struct Keeper {
    api: Api<Lease>,
    config: Config,
    started: Timestamp,
    ledger: Ledger,
    members: watch::Sender<Arc<Members>>,
    /// Whether the first list is complete.
    complete: bool,
    intent: Intent,
    renewal: Option<BoxFuture<'static, Renewal>>,
    renew_at: Instant,
    /// When the watch is known to hear nothing.
    deaf_at: Option<Instant>,
    /// Renewals that failed since the last one that did not.
    failures: u32,
    watch_fails: bool,
    sweep: Option<BoxFuture<'static, ()>>,
}

/// How a renewal ended.
struct Renewal {
    sent: Instant,
    said: Timestamp,
    intent: Intent,
    result: Result<(), Error>,
}

/// A keeper, and who is there; nobody, until our Lease is written and everybody's are listed.
pub fn open(client: Client, config: Config) -> (Keeper, watch::Receiver<Arc<Members>>) {
    let nobody = Members { me: config.pod.clone(), ..Members::default() };
    let (members, seen) = watch::channel(Arc::new(nobody));
    let keeper = Keeper {
        api: Api::namespaced(client, &config.namespace),
        ledger: Ledger::new(lease::name(&config.pod), config.pod.clone()),
        started: Timestamp::now(),
        config,
        members,
        complete: false,
        intent: Intent::Stay,
        renewal: None,
        renew_at: Instant::now(),
        deaf_at: None,
        failures: 0,
        watch_fails: false,
        sweep: None,
    };
    (keeper, seen)
}

impl Keeper {
    /// Keeps the Lease until `stop`, and deletes it then. From `leave` on we own nothing, and say so; `stop` is for
    /// when everything we had is released.
    pub async fn run(mut self, leave: CancellationToken, stop: CancellationToken) {
        let mut watch = Watch::new(self.api.clone(), &lease::selector());
        loop {
            let staying = self.intent == Intent::Stay;
            let renew_at = self.renewal.is_none().then(|| self.next_renewal());
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = leave.cancelled(), if staying => self.leave(),
                renewal = ended(&mut self.renewal) => self.renewed(renewal),
                () = until(renew_at) => self.renew(),
                () = ended(&mut self.sweep) => {}
                () = until(self.deaf_at) => {
                    warn!(seconds = ECHO_MAX.as_secs(), "The watch of Leases hears nothing; it begins anew");
                    watch.restart();
                    self.deaf_at = Some(Instant::now() + RENEW_EVERY);
                }
                event = watch.next() => self.heard(event),
            }
            self.publish();
        }
        self.give_back().await;
    }

    fn leave(&mut self) {
        self.intent = Intent::Leave;
        self.ledger.leave();
        self.renew_at = Instant::now();
    }

    /// A regular renewal, or an early one that decides about a member that is overdue.
    fn next_renewal(&self) -> Instant {
        match self.ledger.suspect_at() {
            Some(suspect) if self.failures == 0 && self.ledger.awaited_since().is_none() => {
                self.renew_at.min(suspect)
            }
            _ => self.renew_at,
        }
    }

    fn renew(&mut self) {
        let (api, config) = (self.api.clone(), self.config.clone());
        let (sent, said, intent) = (Instant::now(), now_in_micros(), self.intent);
        let lease = lease::renewed(&config.pod, self.started, said, intent);
        let renewal = async move {
            let params = PatchParams::apply(FIELD_MANAGER).force();
            let (name, patch) = (lease::name(&config.pod), Patch::Apply(&lease));
            let result = match tokio::time::timeout(RENEWAL_MAX, api.patch(&name, &params, &patch)).await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(kube::Error::Api(status))) if status.is_forbidden() => {
                    let (namespace, source) = (config.namespace, kube::Error::Api(status));
                    Err(Error::Forbidden { lease: name, namespace, source })
                }
                Ok(Err(source)) => Err(Error::Renew { lease: name, source }),
                Err(_) => Err(Error::Slow { lease: name }),
            };
            Renewal { sent, said, intent, result }
        };
        self.renewal = Some(renewal.boxed());
    }

    fn renewed(&mut self, Renewal { sent, said, intent, result }: Renewal) {
        match result {
            Ok(()) => {
                if self.failures > 0 {
                    info!(failures = self.failures, "Our Lease is renewed again");
                }
                self.failures = 0;
                self.ledger.renewed(sent, said.as_microsecond());
                // The watch may have been faster than the answer.
                self.deaf_at = self.ledger.awaited_since().map(|_| Instant::now() + ECHO_MAX);
                self.renew_at = sent + pause(0, RENEW_EVERY, RENEW_EVERY);
            }
            Err(error) => {
                if self.failures == 0 {
                    warn!(%error, "Our Lease was not renewed; membership stays as it is meanwhile");
                }
                self.renew_at = Instant::now() + pause(self.failures, RETRY_FIRST, RETRY_MAX);
                self.failures = self.failures.saturating_add(1);
            }
        }
        // We were told to leave while it was under way.
        if intent != self.intent {
            self.renew_at = Instant::now();
        }
    }

    fn heard(&mut self, event: watcher::Result<Event<Lease>>) {
        let now = Instant::now();
        match event {
            Ok(Event::Init) => self.ledger.list_begins(),
            Ok(Event::InitApply(lease) | Event::Apply(lease)) => self.ledger.saw(lease::seen(&lease), now),
            Ok(Event::InitDone) => {
                self.ledger.list_ends();
                self.complete = true;
                self.watch_fails = false;
            }
            Ok(Event::Delete(lease)) => self.deleted(&lease),
            Err(source) => {
                let (namespace, source) = (self.config.namespace.clone(), Box::new(source));
                let error = Error::Watch { namespace, source };
                if !std::mem::replace(&mut self.watch_fails, true) {
                    warn!(%error, "Membership stays as it is meanwhile");
                }
            }
        }
        if self.ledger.awaited_since().is_none() {
            self.deaf_at = None;
            self.begin_sweep(now);
        }
    }

    /// Somebody else deleted our Lease: the others think us gone, until they see it again.
    fn deleted(&mut self, lease: &Lease) {
        let name = lease::seen(lease).lease;
        if name == lease::name(&self.config.pod) {
            warn!(lease = name, "Our Lease was deleted; it is written again");
            self.renew_at = Instant::now();
        } else {
            self.ledger.deleted(&name);
        }
    }

    /// Deletes the Leases of those long dead, if it falls to us. One that was renewed meanwhile is kept.
    fn begin_sweep(&mut self, now: Instant) {
        if self.sweep.is_some() {
            return;
        }
        let members = self.members.borrow().clone();
        let ours = self.ledger.long_dead(now).find(|(lease, _)| members.own(lease));
        let Some((lease, version)) = ours.map(|(lease, version)| (lease.to_owned(), version.to_owned()))
        else {
            return;
        };
        let api = self.api.clone();
        let sweep = async move {
            let preconditions = Preconditions { resource_version: Some(version), uid: None };
            let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
            let deleted = tokio::time::timeout(RENEWAL_MAX, api.delete(&lease, &params)).await;
            if matches!(deleted, Ok(Ok(_))) {
                info!(lease, "The Lease of a replica that is long gone was deleted");
            }
        };
        self.sweep = Some(sweep.boxed());
    }

    fn publish(&self) {
        if !self.complete {
            return;
        }
        let next = self.ledger.members();
        self.members.send_if_modified(|now| {
            if **now == next {
                return false;
            }
            info!(active = ?next.active, leaving = ?next.leaving, dead = ?next.dead, "Members changed");
            *now = Arc::new(next);
            true
        });
    }

    /// Deletes our Lease. What cannot be deleted expires.
    async fn give_back(mut self) {
        // A renewal under way could land after the deletion, and keep us there for a lease duration.
        if self.renewal.is_some() {
            ended(&mut self.renewal).await;
        }
        let (name, params) = (lease::name(&self.config.pod), DeleteParams::default());
        for attempt in 0..DELETE_ATTEMPTS_MAX {
            match tokio::time::timeout(RENEWAL_MAX, self.api.delete(&name, &params)).await {
                Ok(Ok(_)) => return,
                Ok(Err(kube::Error::Api(status))) if status.is_not_found() => return,
                Ok(Err(_)) | Err(_) => {
                    tokio::time::sleep(pause(attempt, RETRY_FIRST, RETRY_MAX)).await;
                }
            }
        }
        warn!(lease = name, "Our Lease could not be deleted; it expires by itself");
    }
}

/// The end of the work that is under way; never, if there is none. Can be dropped and called again.
async fn ended<T>(work: &mut Option<BoxFuture<'static, T>>) -> T {
    let Some(running) = work else { return std::future::pending().await };
    let result = running.await;
    *work = None;
    result
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// The API server keeps six digits of a second.
fn now_in_micros() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}
