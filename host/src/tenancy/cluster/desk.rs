//! Desk: every resource of the cluster, and what was decided about it.
//!
//! In: what changed. Out: a snapshot in which exactly what depends on it was judged anew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::keyring::{Keyring, SecretName};
use super::mirror::Mirror;
use super::object::Object;
use super::services::ServiceName;
use crate::model::{Secret, Tenant, TenantId, Timestamp};
use crate::tenancy::assemble::{Candidate, assemble};
use crate::tenancy::policy::{Effective, NamespaceLabels};
use crate::tenancy::resource::SecretKey;
use crate::tenancy::secrets::{SecretError, Unchecked};
use crate::tenancy::{Outcome, Policy, Resource, Review, Service, Surroundings, Tenants};

/// The resources and their reviews.
#[derive(Debug)]
pub(super) struct Desk {
    policy: Policy,
    namespaces: BTreeMap<String, NamespaceLabels>,
    reviews: BTreeMap<TenantId, Judged>,
    /// Resources to judge again.
    open: BTreeSet<TenantId>,
    leaving: AllLeaving,
    last: Tenants,
}

/// What resources are judged beside.
pub(super) struct Site<'a> {
    pub(super) keyring: &'a Keyring,
    pub(super) services: &'a [Mirror<ServiceName, Service>],
}

impl Surroundings for Site<'_> {
    fn secret(&self, namespace: &str, key: &SecretKey) -> Result<Secret, SecretError> {
        self.keyring.value(namespace, key)
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
    /// What it asked for; `None` if that is invalid.
    pub tenant: Option<Arc<Tenant>>,
}

/// The resources that are being removed and wait for us.
pub type AllLeaving = BTreeMap<TenantId, Leaving>;

impl Leaving {
    fn of(object: &Object, policy: &Effective) -> Option<Leaving> {
        let since = object.deleting.filter(|_| object.awaits_us())?;
        // A Pushgateway takes no credentials, so what Secrets hold does not matter here.
        let review = Review::of(&Resource::MetricAccess(object.document.clone()), policy, &Unchecked);
        let tenant = match review.outcome {
            Outcome::Run(tenant) => Some(Arc::from(tenant)),
            Outcome::Disabled | Outcome::Refused => None,
        };
        Some(Leaving { since, tenant })
    }
}

#[derive(Debug)]
struct Judged {
    /// `None` while a Secret is being asked for that it names.
    review: Option<Review>,
    created: Option<Timestamp>,
    /// What it was judged by, beside itself.
    secrets: BTreeSet<SecretName>,
    services: BTreeSet<ServiceName>,
}

impl Desk {
    pub(super) fn new(policy: Policy) -> Desk {
        Desk {
            policy,
            namespaces: BTreeMap::new(),
            reviews: BTreeMap::new(),
            open: BTreeSet::new(),
            leaving: AllLeaving::new(),
            last: Tenants::default(),
        }
    }

    /// A resource changed, or is gone.
    pub(super) fn resource_changed(&mut self, id: TenantId) {
        self.open.insert(id);
    }

    /// A Secret changed.
    pub(super) fn secret_changed(&mut self, name: &SecretName) {
        let named = self.reviews.iter().filter(|(_, judged)| judged.secrets.contains(name));
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

    /// Every Secret that some resource names.
    pub(super) fn secrets(&self) -> BTreeSet<SecretName> {
        self.reviews.values().flat_map(|judged| judged.secrets.iter().cloned()).collect()
    }

    /// Judges what has to be judged again. What depends on a Secret that nobody has answered for yet stays as it was.
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
                continue;
            };
            let Some(policy) = policy else {
                waiting.insert(id);
                continue;
            };
            let resource = Resource::MetricAccess(object.document.clone());
            let draft = Review::of(&resource, &policy, &Unchecked);
            let secrets: BTreeSet<SecretName> =
                draft.secrets.iter().map(|key| (id.namespace.clone(), key.name.clone())).collect();
            let services = draft.services.iter().cloned().collect();
            if secrets.iter().all(|name| site.keyring.knows(name)) {
                let review = Some(Review::of(&resource, &policy, site));
                self.reviews.insert(id, Judged { review, created: object.created, secrets, services });
            } else {
                // Named from now on, so that they are watched; a new resource is not shown before it is judged.
                if let Some(judged) = self.reviews.get_mut(&id) {
                    judged.secrets.extend(secrets);
                } else {
                    let pending = Judged { review: None, created: object.created, secrets, services };
                    self.reviews.insert(id.clone(), pending);
                }
                waiting.insert(id);
            }
        }
        self.open = waiting;
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
