//! Cluster: tenants of a Kubernetes cluster, from its `MetricAccess` resources.
//!
//! In: watches of the resources and of the Secrets they name. Out: the same snapshots as a folder's, and the
//! objects themselves; a change is in force within a second.
//! Never: a pipeline disturbed by another resource's change, or stopped because the API server cannot be reached;
//! a list of Secrets.

mod backoff;
mod desk;
pub mod finalizer;
mod keyring;
mod mirror;
mod object;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::{BoxStream, SelectAll};
use kube::api::DynamicObject;
use kube::runtime::utils::StreamBackoff;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::names::is_dns_subdomain;
use super::tenants::{Published, Running, Tenants};
use crate::model::TenantId;
use crate::tenancy::Policy;
use backoff::Pauses;
use desk::Desk;
use keyring::{Keyring, SecretName};
use mirror::Mirror;

pub use desk::{AllLeaving, Leaving};
pub use keyring::SECRET_LABEL;
pub use object::{FINALIZER, Object, api_resource};

/// How long after the first of several changes they are judged together: `kubectl apply` of a folder is one change.
const SETTLE: Duration = Duration::from_millis(50);

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
    /// How the API server is reached; `None` for what the environment says (a pod's ServiceAccount, or `KUBECONFIG`).
    pub kubeconfig: Option<PathBuf>,
    /// What the operator lets tenants do.
    pub policy: Policy,
}

/// Whether a name can be that of a pod or a namespace.
pub fn is_object_name(name: &str) -> bool {
    is_dns_subdomain(name)
}

/// The cluster cannot be reached as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A kubeconfig file cannot be used.
    #[error("the kubeconfig {} cannot be used; correct kubernetes.kubeconfig", file.display())]
    Kubeconfig {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: kube::config::KubeconfigError,
    },
    /// Nothing says where the API server is.
    #[error("no API server is known; run in a pod with a ServiceAccount, or set kubernetes.kubeconfig")]
    Nowhere(#[source] kube::config::InferConfigError),
    /// The client cannot be built.
    #[error("the API server's client cannot be built")]
    Client(#[source] kube::Error),
}

/// A client of the configured cluster. Nothing is asked yet.
pub async fn client(config: &Config) -> Result<Client, Error> {
    let settings = match &config.kubeconfig {
        Some(file) => {
            let fail = |source| Error::Kubeconfig { file: file.clone(), source };
            let read = kube::config::Kubeconfig::read_from(file).map_err(fail)?;
            kube::Config::from_custom_kubeconfig(read, &Default::default()).await.map_err(fail)?
        }
        None => kube::Config::infer().await.map_err(Error::Nowhere)?,
    };
    Client::try_from(settings).map_err(Error::Client)
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
}

/// Watches the cluster; see [`Watcher::run`].
pub struct Watcher {
    events: SelectAll<BoxStream<'static, (usize, watcher::Result<Event<DynamicObject>>)>>,
    resources: Vec<Mirror<TenantId, Object>>,
    desk: Desk,
    keyring: Keyring,
    running: watch::Sender<Arc<Running>>,
    tenants: watch::Sender<Arc<Tenants>>,
    objects: watch::Sender<Arc<Objects>>,
    leaving: watch::Sender<Arc<AllLeaving>>,
    /// Whether an object was seen that is not published yet.
    shown_late: bool,
}

/// Prepares the watches. Nothing is asked before [`Watcher::run`].
pub fn open(client: Client, config: &Config) -> (Watcher, Seen) {
    let apis: Vec<Api<DynamicObject>> = match &config.namespaces {
        None => vec![Api::all_with(client.clone(), &api_resource())],
        Some(names) => {
            let api = |name: &String| Api::namespaced_with(client.clone(), name, &api_resource());
            names.iter().map(api).collect()
        }
    };
    let resources = apis.iter().map(|_| Mirror::default()).collect();
    let watched = apis.into_iter().enumerate().map(|(index, api)| {
        let events = watcher::watcher(api, watcher::Config::default());
        StreamBackoff::new(events, Pauses::default()).map(move |event| (index, event)).boxed()
    });
    let (running, running_seen) = watch::channel(Arc::default());
    let (tenants, tenants_seen) = watch::channel(Arc::default());
    let (objects, objects_seen) = watch::channel(Arc::default());
    let (leaving, leaving_seen) = watch::channel(Arc::default());
    let watcher = Watcher {
        events: watched.collect(),
        resources,
        desk: Desk::new(config.policy.clone()),
        keyring: Keyring::new(client),
        running,
        tenants,
        objects,
        leaving,
        shown_late: false,
    };
    let published = Published { running: running_seen, tenants: tenants_seen };
    (watcher, Seen { published, objects: objects_seen, leaving: leaving_seen })
}

/// What woke us.
enum News {
    Resource(usize, Box<watcher::Result<Event<DynamicObject>>>),
    Secret(SecretName),
    Settled,
    Refresh,
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
                Some((index, event)) = self.events.next() => News::Resource(index, Box::new(event)),
                name = self.keyring.changed() => News::Secret(name),
                () = settled.as_mut(), if settling => News::Settled,
                _ = refresh.tick(), if self.shown_late => News::Refresh,
            };
            let changed = match news {
                News::Resource(index, event) => {
                    let event = self.heard(*event, &mut failing);
                    event.is_some_and(|event| self.take(index, event))
                }
                News::Secret(name) => {
                    self.desk.secret_changed(&name);
                    true
                }
                News::Settled => {
                    settling = false;
                    self.publish();
                    false
                }
                News::Refresh => {
                    self.show_objects();
                    false
                }
            };
            if changed && !settling && self.resources.iter().all(Mirror::is_complete) {
                settling = true;
                settled.as_mut().reset(tokio::time::Instant::now() + SETTLE);
            }
        }
    }

    /// What the API server says; of its failures only the first of a row is worth a line.
    fn heard(
        &self,
        event: watcher::Result<Event<DynamicObject>>,
        failing: &mut bool,
    ) -> Option<Event<DynamicObject>> {
        match event {
            Ok(event) => {
                if std::mem::take(failing) {
                    info!("the API server answers again");
                }
                Some(event)
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                match std::mem::replace(failing, true) {
                    false => warn!(error, "resources cannot be watched; all pipelines go on as they are"),
                    true => debug!(error, "resources cannot be watched"),
                }
                None
            }
        }
    }

    /// Whether anything is to be judged.
    fn take(&mut self, index: usize, event: Event<DynamicObject>) -> bool {
        let first_list = matches!(event, Event::InitDone) && !self.resources[index].is_complete();
        let changed = self.resources[index].take(event, Object::of);
        let any = !changed.is_empty();
        self.shown_late = true;
        changed.into_iter().for_each(|id| self.desk.resource_changed(id));
        any || first_list
    }

    fn publish(&mut self) {
        let resources = &self.resources;
        let find = |id: &TenantId| resources.iter().find_map(|mirror| mirror.get(id));
        self.desk.judge(find, &self.keyring);
        self.keyring.watch(&self.desk.secrets());
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

    fn show_objects(&mut self) {
        self.shown_late = false;
        let all = self.resources.iter().flat_map(Mirror::iter);
        let all = all.map(|(id, object)| (id.clone(), object.clone())).collect();
        self.objects.send_replace(Arc::new(all));
    }
}
