//! Objects: resources, their Events and members' Leases, as the API server shows them.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::events::v1::Event;
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::wait::eventually;

/// Whoever writes a resource in a test.
const MANAGER: &str = "tenant";

/// The `MetricAccess` resources of one namespace, as a tenant writes and reads them.
pub struct Resources {
    api: Api<DynamicObject>,
    namespace: String,
}

/// A resource as it was read.
#[derive(Debug, Clone)]
pub struct Resource(DynamicObject);

impl Resources {
    /// Those of `namespace`.
    pub fn new(client: Client, namespace: &str) -> Resources {
        let kind = GroupVersionKind::gvk("observability.ethos.io", "v1alpha1", "MetricAccess");
        let kind = ApiResource::from_gvk_with_plural(&kind, "metricaccesses");
        Resources { api: Api::namespaced_with(client, namespace, &kind), namespace: namespace.to_owned() }
    }

    /// Writes a resource's `spec`, new or changed.
    pub async fn apply(&self, name: &str, spec: Value) -> Resource {
        let object = json!({
            "apiVersion": "observability.ethos.io/v1alpha1",
            "kind": "MetricAccess",
            "metadata": { "name": name, "namespace": self.namespace },
            "spec": spec,
        });
        let manager = PatchParams::apply(MANAGER).force();
        let applied = self.api.patch(name, &manager, &Patch::Apply(&object)).await;
        Resource(applied.unwrap_or_else(|e| panic!("{name} is refused: {e}")))
    }

    /// Changes some fields of a resource.
    pub async fn merge(&self, name: &str, part: Value) -> Resource {
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        Resource(self.api.patch(name, &params, &Patch::Merge(&part)).await.expect("the change is accepted"))
    }

    /// Asks for a resource's removal; a finalizer may hold it.
    pub async fn delete(&self, name: &str) {
        self.api.delete(name, &DeleteParams::default()).await.expect("the resource is there");
    }

    /// Waits until a resource is gone.
    pub async fn gone(&self, name: &str) {
        eventually(&format!("{name} is gone"), async || self.get(name).await.is_none().then_some(())).await;
    }

    /// A resource, if it is there.
    pub async fn get(&self, name: &str) -> Option<Resource> {
        self.api.get_opt(name).await.expect("the API server answers").map(Resource)
    }

    /// All of them, by name.
    pub async fn all(&self) -> BTreeMap<String, Resource> {
        let all = self.api.list(&ListParams::default()).await.expect("the API server answers");
        all.into_iter()
            .map(|object| (object.metadata.name.clone().unwrap_or_default(), Resource(object)))
            .collect()
    }

    /// Waits until a resource's newest generation is spoken of, and `look` finds something in it.
    pub async fn shows<T>(&self, name: &str, what: &str, look: impl Fn(&Resource) -> Option<T>) -> T {
        let mut last = None;
        let found = eventually_or(async || {
            let resource = self.get(name).await?;
            let found = resource.is_observed().then(|| look(&resource)).flatten();
            last = Some(resource);
            found
        });
        match found.await {
            Some(found) => found,
            None => panic!(
                "{name} does not show that {what}: {:#}",
                last.map(|r| r.status().clone()).unwrap_or_default()
            ),
        }
    }

    /// Waits until a condition has this status and reason; its message.
    pub async fn becomes(&self, name: &str, kind: &str, status: &str, reason: &str) -> String {
        let what = format!("{kind} is {status} because {reason}");
        self.shows(name, &what, |resource| {
            let found = condition(resource.status(), kind)?;
            is(found, "status", status).then_some(())?;
            is(found, "reason", reason).then_some(())?;
            Some(found["message"].as_str().unwrap_or_default().to_owned())
        })
        .await
    }

    /// Waits until a resource is ready.
    pub async fn ready(&self, name: &str) {
        self.shows(name, "it is ready", |resource| {
            let found = condition(resource.status(), "Ready")?;
            is(found, "status", "True").then_some(())
        })
        .await;
    }
}

/// As `eventually`, without a panic, for whoever has more to say than what was waited for.
async fn eventually_or<T>(mut attempt: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let start = std::time::Instant::now();
    while start.elapsed() < crate::wait::PATIENCE {
        if let Some(found) = attempt().await {
            return Some(found);
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    None
}

impl Resource {
    /// Its status; null where there is none.
    pub fn status(&self) -> &Value {
        self.0.data.get("status").unwrap_or(&Value::Null)
    }

    /// The replica that works for it.
    pub fn owner(&self) -> Option<String> {
        self.status()["owner"].as_str().map(str::to_owned)
    }

    /// Whether its status speaks of its newest specification.
    pub fn is_observed(&self) -> bool {
        let generation = self.0.metadata.generation;
        generation.is_some() && self.status()["observedGeneration"].as_i64() == generation
    }

    /// What holds it when it is removed.
    pub fn finalizers(&self) -> &[String] {
        self.0.metadata.finalizers.as_deref().unwrap_or_default()
    }

    /// Who wrote what, by manager and subresource.
    pub fn managers(&self) -> BTreeSet<(String, String)> {
        let entries = self.0.metadata.managed_fields.iter().flatten();
        entries
            .map(|e| (e.manager.clone().unwrap_or_default(), e.subresource.clone().unwrap_or_default()))
            .collect()
    }
}

/// A condition of a status.
pub fn condition<'a>(status: &'a Value, kind: &str) -> Option<&'a Value> {
    status["conditions"].as_array()?.iter().find(|condition| is(condition, "type", kind))
}

/// Whether a field is this text.
pub fn is(value: &Value, field: &str, text: &str) -> bool {
    value[field].as_str() == Some(text)
}

/// Events of one namespace.
pub struct Events(Api<Event>);

impl Events {
    pub(super) fn new(client: Client, namespace: &str) -> Events {
        Events(Api::namespaced(client, namespace))
    }

    /// Waits until a resource has an Event for this reason; its note.
    pub async fn tell(&self, name: &str, reason: &str) -> String {
        let mut seen = BTreeSet::new();
        let found = eventually_or(async || {
            let about = self.about(name).await;
            seen = about.iter().filter_map(|event| event.reason.clone()).collect();
            let event = about.into_iter().find(|event| event.reason.as_deref() == Some(reason))?;
            Some(event.note.unwrap_or_default())
        });
        let found = found.await;
        found.unwrap_or_else(|| panic!("no Event {reason} about {name}, only {seen:?}"))
    }

    /// All Events about a resource.
    pub async fn about(&self, name: &str) -> Vec<Event> {
        let all = self.0.list(&ListParams::default()).await.expect("the API server answers");
        let about = |event: &Event| {
            event
                .regarding
                .as_ref()
                .is_some_and(|r| r.kind.as_deref() == Some("MetricAccess") && r.name.as_deref() == Some(name))
        };
        all.items.into_iter().filter(about).collect()
    }
}

/// Members' Leases.
pub struct Leases(Api<Lease>);

impl Leases {
    /// Those of `namespace`.
    pub fn new(client: Client, namespace: &str) -> Leases {
        Leases(Api::namespaced(client, namespace))
    }

    /// Who holds one.
    pub async fn holders(&self) -> BTreeSet<String> {
        let all = self.0.list(&ListParams::default()).await.expect("the API server answers");
        all.items.into_iter().filter_map(|lease| lease.spec?.holder_identity).collect()
    }

    /// Waits until exactly these pods hold one.
    pub async fn held_by(&self, pods: &[&str]) {
        let wanted: BTreeSet<String> = pods.iter().map(|pod| (*pod).to_owned()).collect();
        eventually(&format!("{wanted:?} hold a Lease each"), async || {
            (self.holders().await == wanted).then_some(())
        })
        .await;
    }
}
