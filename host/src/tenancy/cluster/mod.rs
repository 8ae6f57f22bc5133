//! Cluster: tenants of a Kubernetes cluster, from its `MetricAccess` resources.
//!
//! In: watches of the resources, of Services, of namespaces' labels, and of the Secrets and ConfigMaps that are named. Out: the same snapshots as a folder's, and the
//! objects themselves; a change is in force within a second.
//! Never: a pipeline disturbed by another resource's change, or stopped because the API server cannot be reached;
//! a list of Secrets or ConfigMaps.

mod addresses;
mod backoff;
mod desk;
pub mod finalizer;
mod keyring;
mod mirror;
mod object;
mod raw;
mod reviewer;
mod services;
mod turns;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream, SelectAll};
use k8s_openapi::api::core::v1 as k8s;
use kube::core::PartialObjectMeta;
use kube::runtime::utils::Backoff as _;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::names::is_dns_subdomain;
use super::tenants::{Published, Running, Tenants};
use crate::model::{TenantId, chain};
use crate::tenancy::policy::NamespaceLabels;
use crate::tenancy::{Policy, Service, WATCH_SECONDS};
use addresses::Question;
use backoff::Pauses;
use desk::{Desk, Site};
use keyring::{ConfigMaps, Keyring, Name, Secrets};
use mirror::Mirror;
use services::ServiceName;

pub use addresses::Addresses;
pub use desk::{AllLeaving, Leaving};
pub use keyring::SECRET_LABEL;
pub use object::{FINALIZER, Object, api_resource};
pub use raw::Raw;

/// How long after the first of several changes they are judged together: `kubectl apply` of a folder is one change.
const SETTLE: Duration = Duration::from_millis(50);

/// How long the first snapshot waits for resources that take long to read. Who sees only some of them may run a resource that
/// another one is in the way of.
const FIRST_MAX: Duration = Duration::from_secs(5);

/// How soon a status that somebody wrote is shown beside its object. Whoever takes a resource over goes on from it.
const REFRESH: Duration = Duration::from_secs(1);

/// Which cluster, which part of it, and who we are in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The namespaces whose resources are served; `None` for all.
    pub namespaces: Option<BTreeSet<String>>,
    /// Our own namespace.
    pub namespace: String,
    /// Our own pod's name, which is our identity among the replicas.
    pub pod: String,
    /// How the API server is reached, for whoever makes the client; `None` for what the environment says (a pod's
    /// ServiceAccount, or `KUBECONFIG`).
    pub kubeconfig: Option<PathBuf>,
    /// What the operator lets tenants do.
    pub policy: Policy,
}

/// Whether a name can be that of a pod or a namespace.
pub fn is_object_name(name: &str) -> bool {
    is_dns_subdomain(name)
}

/// The objects behind the tenants, also of those that are refused or being removed.
pub type Objects = BTreeMap<TenantId, Object>;

/// What a [`Watcher`] publishes.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The tenants. Their first change is the first complete list.
    pub published: Published,
    /// The objects; always at least as new as the tenants.
    pub objects: watch::Receiver<Arc<Objects>>,
    /// The resources that are being removed and wait for us.
    pub leaving: watch::Receiver<Arc<AllLeaving>>,
    /// Where groups are that a resource once pushed to.
    pub addresses: Addresses,
}

/// Watches the cluster; see [`Watcher::run`].
pub struct Watcher {
    events: SelectAll<BoxStream<'static, Heard>>,
    resources: Vec<Mirror<TenantId, Object>>,
    services: Vec<Mirror<ServiceName, Service>>,
    /// Labels of the namespaces, if the policy asks for them.
    namespaces: Option<Mirror<String, NamespaceLabels>>,
    desk: Desk,
    keyring: Keyring<Secrets>,
    config_maps: Keyring<ConfigMaps>,
    running: watch::Sender<Arc<Running>>,
    tenants: watch::Sender<Arc<Tenants>>,
    objects: watch::Sender<Arc<Objects>>,
    leaving: watch::Sender<Arc<AllLeaving>>,
    questions: mpsc::Receiver<Question>,
    /// Whether an object was seen that is not published yet.
    shown_late: bool,
    first: First,
}

/// The first snapshot.
#[derive(Debug, Clone, Copy)]
enum First {
    /// The lists are not complete.
    Awaited,
    /// It is published by then, whatever is missing.
    DueBy(Instant),
    Published,
}

/// What one of the watches says. The number is its place among the watches of its kind.
enum Heard {
    Resource(usize, watcher::Result<Event<Raw>>),
    Service(usize, Box<watcher::Result<Event<k8s::Service>>>),
    Namespace(watcher::Result<Event<PartialObjectMeta<k8s::Namespace>>>),
}

/// Prepares the watches. Nothing is asked before [`Watcher::run`].
pub fn open(client: Client, config: &Config) -> (Watcher, Seen) {
    // `None` is the whole cluster.
    let scopes: Vec<Option<&String>> = match &config.namespaces {
        None => vec![None],
        Some(names) => names.iter().map(Some).collect(),
    };
    let mut events = SelectAll::new();
    for (index, scope) in scopes.iter().enumerate() {
        let resources = match scope {
            None => Api::all_with(client.clone(), &api_resource()),
            Some(name) => Api::namespaced_with(client.clone(), name, &api_resource()),
        };
        events.push(steady(resources).map(move |event| Heard::Resource(index, event)).boxed());
        let services = match scope {
            None => Api::<k8s::Service>::all(client.clone()),
            Some(name) => Api::namespaced(client.clone(), name),
        };
        events.push(steady(services).map(move |event| Heard::Service(index, Box::new(event))).boxed());
    }
    let namespaces = config.policy.needs_labels().then(Mirror::default);
    if namespaces.is_some() {
        let labels = Api::<PartialObjectMeta<k8s::Namespace>>::all(client.clone());
        events.push(steady(labels).map(Heard::Namespace).boxed());
    }
    let (running, running_seen) = watch::channel(Arc::default());
    let (tenants, tenants_seen) = watch::channel(Arc::default());
    let (objects, objects_seen) = watch::channel(Arc::default());
    let (leaving, leaving_seen) = watch::channel(Arc::default());
    let (addresses, questions) = addresses::open();
    let watcher = Watcher {
        events,
        resources: scopes.iter().map(|_| Mirror::default()).collect(),
        services: scopes.iter().map(|_| Mirror::default()).collect(),
        namespaces,
        desk: Desk::new(config.policy.clone()),
        keyring: Keyring::new(client.clone()),
        config_maps: Keyring::new(client),
        running,
        tenants,
        objects,
        leaving,
        questions,
        shown_late: false,
        first: First::Awaited,
    };
    let published = Published { running: running_seen, tenants: tenants_seen };
    (watcher, Seen { published, objects: objects_seen, leaving: leaving_seen, addresses })
}

/// A watch that goes on after every failure. That a list was begun is no success: one that cannot be read is begun again
/// and again.
fn steady<K>(api: Api<K>) -> impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static
where
    K: kube::Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let config = watcher::Config::default().timeout(WATCH_SECONDS);
    let begun = (Box::pin(watcher::watcher(api, config)), Pauses::default(), None);
    stream::unfold(begun, async |(mut watch, mut pauses, pause)| {
        if let Some(pause) = pause {
            tokio::time::sleep(pause).await;
        }
        let event = watch.next().await?;
        let pause = match &event {
            Err(_) => pauses.next(),
            Ok(Event::Init | Event::InitApply(_)) => None,
            Ok(Event::InitDone | Event::Apply(_) | Event::Delete(_)) => {
                pauses.reset();
                None
            }
        };
        Some((event, (watch, pauses, pause)))
    })
}

/// What woke us.
enum News {
    Heard(Box<Heard>),
    Secret(Name),
    ConfigMap(Name),
    Drafted,
    Settled,
    Refresh,
    Asked(Question),
}

/// What the API server says; of its failures only the first of a row is worth a line.
fn answer<K>(what: &str, event: watcher::Result<Event<K>>, failing: &mut bool) -> Option<Event<K>> {
    match event {
        Ok(event) => {
            if std::mem::take(failing) {
                info!("the API server answers again");
            }
            Some(event)
        }
        Err(error) => {
            let error = chain(&error);
            match std::mem::replace(failing, true) {
                false => warn!(error, "{what} cannot be watched; all pipelines go on as they are"),
                true => debug!(error, "{what} cannot be watched"),
            }
            None
        }
    }
}

impl Watcher {
    /// Publishes changes until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut failing = false;
        let settled = tokio::time::sleep(Duration::ZERO);
        tokio::pin!(settled);
        let mut settling = false;
        let mut refresh = tokio::time::interval(REFRESH);
        refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let news = tokio::select! {
                () = stop.cancelled() => return,
                Some(heard) = self.events.next() => News::Heard(Box::new(heard)),
                name = self.keyring.changed() => News::Secret(name),
                name = self.config_maps.changed() => News::ConfigMap(name),
                () = self.desk.drafted() => News::Drafted,
                () = settled.as_mut(), if settling => News::Settled,
                _ = refresh.tick(), if self.shown_late => News::Refresh,
                Some(question) = self.questions.recv() => News::Asked(question),
            };
            let changed = match news {
                News::Heard(heard) => self.take(*heard, &mut failing),
                News::Secret(name) => {
                    self.desk.secret_changed(&name);
                    true
                }
                News::ConfigMap(name) => {
                    self.desk.config_map_changed(&name);
                    true
                }
                News::Drafted => true,
                News::Settled => {
                    settling = false;
                    self.publish();
                    false
                }
                News::Refresh => {
                    self.show_objects();
                    false
                }
                News::Asked(question) => {
                    self.answer(question);
                    false
                }
            };
            if changed && !settling && self.is_complete() {
                settling = true;
                settled.as_mut().reset(Instant::now() + SETTLE);
            }
        }
    }

    /// Whether every first list was seen to its end.
    fn is_complete(&self) -> bool {
        self.resources.iter().all(Mirror::is_complete)
            && self.services.iter().all(Mirror::is_complete)
            && self.namespaces.as_ref().is_none_or(Mirror::is_complete)
    }

    /// Whether anything is to be judged.
    fn take(&mut self, heard: Heard, failing: &mut bool) -> bool {
        let before = self.is_complete();
        let changed = match heard {
            Heard::Resource(index, event) => {
                let Some(event) = answer("MetricAccess resources", event, failing) else { return false };
                self.shown_late = true;
                let changed = self.resources[index].take(event, Object::of);
                let any = !changed.is_empty();
                changed.into_iter().for_each(|id| self.desk.resource_changed(id));
                any
            }
            Heard::Service(index, event) => {
                let Some(event) = answer("Services", *event, failing) else { return false };
                let changed = self.services[index].take(event, services::of);
                changed.iter().for_each(|name| self.desk.service_changed(name));
                !changed.is_empty()
            }
            Heard::Namespace(event) => {
                let Some(event) = answer("Namespaces", event, failing) else { return false };
                let Some(mirror) = &mut self.namespaces else { return false };
                let labels =
                    |of: PartialObjectMeta<k8s::Namespace>| Some((of.name_any(), of.labels().clone()));
                let changed = mirror.take(event, labels);
                for name in &changed {
                    let labels = mirror.get(name).cloned().unwrap_or_default();
                    self.desk.namespace_changed(name, labels);
                }
                !changed.is_empty()
            }
        };
        changed || before != self.is_complete()
    }

    fn publish(&mut self) {
        let resources = &self.resources;
        let find = |id: &TenantId| resources.iter().find_map(|mirror| mirror.get(id));
        let (keyring, config_maps, services) = (&self.keyring, &self.config_maps, &self.services);
        self.desk.judge(find, &Site { keyring, config_maps, services });
        self.keyring.watch(&self.desk.secrets());
        self.config_maps.watch(&self.desk.config_maps());
        if self.waits_for_first() {
            return;
        }
        let next = Arc::new(self.desk.snapshot());
        let before = self.tenants.borrow().clone();
        next.report_changes_since(&before);
        self.show_objects();
        self.leaving.send_replace(Arc::new(self.desk.leaving().clone()));
        self.running.send_if_modified(|now| {
            let changed = *now != next.running;
            *now = Arc::clone(&next.running);
            changed
        });
        self.tenants.send_replace(next);
    }

    /// Whether nothing is published yet because there is more to be read. Every resource that is read asks again.
    fn waits_for_first(&mut self) -> bool {
        let first_by = match self.first {
            First::Published => return false,
            First::Awaited => Instant::now() + FIRST_MAX,
            First::DueBy(time) => time,
        };
        let waits = !self.desk.is_read() && Instant::now() < first_by;
        self.first = if waits { First::DueBy(first_by) } else { First::Published };
        waits
    }

    /// Before everything is known nobody may push anywhere.
    fn answer(&self, Question { tenant, group, answer }: Question) {
        let Watcher { keyring, config_maps, services, .. } = self;
        let site = Site { keyring, config_maps, services };
        let address = self.is_complete().then(|| self.desk.address(&tenant, &group, &site)).flatten();
        // Whoever asked may be gone.
        let _ = answer.send(address);
    }

    fn show_objects(&mut self) {
        self.shown_late = false;
        let all = self.resources.iter().flat_map(Mirror::iter);
        let all = all.map(|(id, object)| (id.clone(), object.clone())).collect();
        self.objects.send_replace(Arc::new(all));
    }
}
