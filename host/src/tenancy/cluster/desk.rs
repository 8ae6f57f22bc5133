//! Desk: every resource of the cluster, and what was decided about it.
//!
//! In: what changed. Out: a snapshot in which exactly what depends on it was judged anew.
//! Never: a resource read on the caller's task. The verdict of before stands until its new draft is made; a removal waits
//! for nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use super::keyring::{ConfigMaps, Keyring, Name, Secrets};
use super::mirror::Mirror;
use super::object::Object;
use super::reviewer::{Drafted, Order, Reviewer};
use super::services::ServiceName;
use crate::model::{Endpoint, PushgatewayEndpoint, PushgatewayGroup, Secret, TenantId, Timestamp};
use crate::tenancy::assemble::{Candidate, assemble};
use crate::tenancy::policy::{Effective, NamespaceLabels};
use crate::tenancy::resource::SecretKey;
use crate::tenancy::review;
use crate::tenancy::secrets::{SecretError, Unchecked};
use crate::tenancy::{Policy, Review, Service, Surroundings, Tenants};

/// The resources and their reviews.
#[derive(Debug)]
pub(super) struct Desk {
    policy: Policy,
    namespaces: BTreeMap<String, NamespaceLabels>,
    reviews: BTreeMap<TenantId, Judged>,
    /// Resources to judge again.
    open: BTreeSet<TenantId>,
    reviewer: Reviewer,
    leaving: AllLeaving,
    last: Tenants,
}

/// What resources are judged beside.
pub(super) struct Site<'a> {
    pub(super) keyring: &'a Keyring<Secrets>,
    pub(super) config_maps: &'a Keyring<ConfigMaps>,
    pub(super) services: &'a [Mirror<ServiceName, Service>],
}

impl Surroundings for Site<'_> {
    fn secret(&self, namespace: &str, key: &SecretKey) -> Result<Secret, SecretError> {
        self.keyring.value(namespace, key)
    }

    fn config_map(&self, namespace: &str, name: &str, key: &str) -> Result<Bytes, SecretError> {
        self.config_maps.value(namespace, name, key)
    }

    fn service(&self, namespace: &str, name: &str) -> Service {
        let key = (namespace.to_owned(), name.to_owned());
        let found = self.services.iter().find_map(|mirror| mirror.get(&key)).cloned();
        found.unwrap_or(Service::Missing)
    }
}

/// A resource that is being removed and waits for us.
#[derive(Debug, Clone, PartialEq)]
pub struct Leaving {
    /// When its removal was asked for.
    pub since: Timestamp,
    /// The groups that it asked for, whatever else is wrong with it.
    pub groups: Vec<PushgatewayEndpoint>,
}

/// The resources that are being removed and wait for us.
pub type AllLeaving = BTreeMap<TenantId, Leaving>;

impl Leaving {
    fn of(object: &Object, policy: &Effective) -> Option<Leaving> {
        let since = object.deleting.filter(|_| object.awaits_us())?;
        // A Pushgateway takes no credentials, so what Secrets hold does not matter here.
        let endpoints = review::endpoints(&object.document, policy, &Unchecked);
        let groups = endpoints.into_iter().filter_map(|endpoint| match endpoint {
            Endpoint::Pushgateway(group) => Some(group),
            Endpoint::RemoteWrite(_) => None,
        });
        Some(Leaving { since, groups: groups.collect() })
    }
}

/// What is known of a resource.
#[derive(Debug, Default)]
struct Judged {
    /// What it says, as it was when it was read last.
    drafted: Option<Drafted>,
    /// `None` before it is read, and while a Secret is being asked for that it names.
    review: Option<Review>,
    created: Option<Timestamp>,
    /// What it was judged by, beside itself.
    secrets: BTreeSet<Name>,
    config_maps: BTreeSet<Name>,
    services: BTreeSet<ServiceName>,
}

impl Judged {
    /// Judges it by its draft, if all Secrets and ConfigMaps that it names are known.
    fn judge(&mut self, id: &TenantId, created: Option<Timestamp>, site: &Site<'_>) -> Step {
        let Some(Drafted { draft, policy }) = &self.drafted else { return Step::Waits };
        let secrets = draft.secrets().into_iter().map(|key| (id.namespace.clone(), key.name));
        let secrets: BTreeSet<Name> = secrets.collect();
        let config_maps = draft.config_maps().into_iter().map(|name| (id.namespace.clone(), name));
        let config_maps: BTreeSet<Name> = config_maps.collect();
        let is_known = secrets.iter().all(|name| site.keyring.knows(name))
            && config_maps.iter().all(|name| site.config_maps.knows(name));
        if !is_known {
            // Named from now on, so that they are watched; a new resource is not shown before it is judged.
            self.secrets.extend(secrets);
            self.config_maps.extend(config_maps);
            return Step::Waits;
        }
        self.review = Some(draft.review(policy, site));
        self.services = draft.services().into_iter().collect();
        (self.secrets, self.config_maps, self.created) = (secrets, config_maps, created);
        Step::Done
    }
}

/// How far the judgement of a resource came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Done,
    /// It is to be tried again.
    Waits,
}

impl Desk {
    pub(super) fn new(policy: Policy) -> Desk {
        Desk {
            policy,
            namespaces: BTreeMap::new(),
            reviews: BTreeMap::new(),
            open: BTreeSet::new(),
            reviewer: Reviewer::default(),
            leaving: AllLeaving::new(),
            last: Tenants::default(),
        }
    }

    /// A resource changed, or is gone.
    pub(super) fn resource_changed(&mut self, id: TenantId) {
        self.open.insert(id);
    }

    /// A Secret changed.
    pub(super) fn secret_changed(&mut self, name: &Name) {
        let named = self.reviews.iter().filter(|(_, judged)| judged.secrets.contains(name));
        self.open.extend(named.map(|(id, _)| id.clone()));
    }

    /// A ConfigMap changed.
    pub(super) fn config_map_changed(&mut self, name: &Name) {
        let named = self.reviews.iter().filter(|(_, judged)| judged.config_maps.contains(name));
        self.open.extend(named.map(|(id, _)| id.clone()));
    }

    /// A Service changed.
    pub(super) fn service_changed(&mut self, name: &ServiceName) {
        let named = self.reviews.iter().filter(|(_, judged)| judged.services.contains(name));
        self.open.extend(named.map(|(id, _)| id.clone()));
    }

    /// A namespace's labels are these now.
    pub(super) fn namespace_changed(&mut self, name: &str, labels: NamespaceLabels) {
        let before = self.policy_of(name);
        self.namespaces.insert(name.to_owned(), labels);
        if self.policy_of(name) != before {
            self.open.extend(self.reviews.keys().filter(|id| id.namespace == name).cloned());
        }
    }

    /// What holds in a namespace; `None` as long as its labels decide and are not known. To guess could allow what they
    /// forbid.
    fn policy_of(&self, namespace: &str) -> Option<Arc<Effective>> {
        static UNLABELLED: NamespaceLabels = NamespaceLabels::new();
        match self.namespaces.get(namespace) {
            Some(labels) => Some(self.policy.for_namespace(namespace, labels)),
            None if self.policy.needs_labels() => None,
            None => Some(self.policy.for_namespace(namespace, &UNLABELLED)),
        }
    }

    /// Where a group is that a tenant once pushed to, if it may push there now.
    pub(super) fn address(
        &self,
        id: &TenantId,
        group: &PushgatewayGroup,
        site: &Site<'_>,
    ) -> Option<PushgatewayEndpoint> {
        review::group(id, group, &*self.policy_of(&id.namespace)?, site)
    }

    /// Every Secret that some resource names.
    pub(super) fn secrets(&self) -> BTreeSet<Name> {
        self.reviews.values().flat_map(|judged| judged.secrets.iter().cloned()).collect()
    }

    /// Every ConfigMap that some resource names.
    pub(super) fn config_maps(&self) -> BTreeSet<Name> {
        self.reviews.values().flat_map(|judged| judged.config_maps.iter().cloned()).collect()
    }

    /// Judges what has to be judged again, as far as it is read; what is not will be, and says so to
    /// [`Desk::drafted`]. What depends on a Secret that nobody has answered for yet stays as it was.
    pub(super) fn judge<'a>(&mut self, find: impl Fn(&TenantId) -> Option<&'a Object>, site: &Site<'_>) {
        let mut waiting = BTreeSet::new();
        for id in std::mem::take(&mut self.open) {
            let object = find(&id);
            let policy = self.policy_of(&id.namespace);
            // What it has was allowed once; to take that away needs no label.
            let known = policy.as_ref().unwrap_or(&self.policy.default);
            match object.and_then(|object| Leaving::of(object, known)) {
                Some(leaving) => _ = self.leaving.insert(id.clone(), leaving),
                None => _ = self.leaving.remove(&id),
            }
            let Some(object) = object.filter(|object| object.deleting.is_none()) else {
                self.reviews.remove(&id);
                self.reviewer.forget(&id);
                continue;
            };
            let Some(policy) = policy else {
                waiting.insert(id);
                continue;
            };
            let order = Order { document: Arc::clone(&object.document), policy };
            let judged = self.reviews.entry(id.clone()).or_default();
            if !judged.drafted.as_ref().is_some_and(|drafted| drafted.is_of(&order)) {
                self.reviewer.ask(id, order);
            } else if judged.judge(&id, object.created, site) == Step::Waits {
                waiting.insert(id);
            }
        }
        self.open = waiting;
    }

    /// Takes in the next resource that was read: it is to be judged. Cancel safe.
    pub(super) async fn drafted(&mut self) {
        let (id, drafted) = self.reviewer.drafted().await;
        // One that is gone is forgotten.
        if let Some(judged) = self.reviews.get_mut(&id) {
            judged.drafted = Some(drafted);
            self.open.insert(id);
        }
    }

    /// Whether everything that is to be read has been.
    pub(super) fn is_read(&self) -> bool {
        self.reviewer.is_idle()
    }

    /// What is being removed and waits for us.
    pub(super) fn leaving(&self) -> &AllLeaving {
        &self.leaving
    }

    /// All resources as they stand beside each other now.
    pub(super) fn snapshot(&mut self) -> Tenants {
        // A resource that does not say when it was created counts as new.
        const NEW: Timestamp = Timestamp(i64::MAX);
        let judged =
            self.reviews.values().filter_map(|judged| Some((judged.review.as_ref()?, judged.created)));
        let candidates = judged.map(|(review, created)| Candidate { review, since: created.unwrap_or(NEW) });
        self.last = assemble(candidates, &self.last);
        self.last.clone()
    }
}
