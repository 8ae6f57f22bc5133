//! Objects: a `MetricAccess` as the cluster holds it.

use std::sync::Arc;

use kube::api::ApiResource;
use kube::core::GroupVersionKind;
use kube::{Resource as _, ResourceExt as _};
use serde_json::{Value, json};

use super::raw::Raw;
use crate::document::{Document, Node, Path};
use crate::model::{TenantId, Timestamp};
use crate::tenancy::resource::{API_VERSION, KIND};
use crate::tenancy::status::Subject;

/// What keeps a resource in the cluster until its Pushgateway group is gone.
pub const FINALIZER: &str = "observability.ethos.io/pushgateway-group";

/// What is watched: objects with any content, so that one that does not fit our types stops no other one.
pub fn api_resource() -> ApiResource {
    let (group, version) = API_VERSION.split_once('/').expect("a group and a version");
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, KIND), "metricaccesses")
}

/// One resource, without the managed fields, which say nothing about it.
#[derive(Debug, Clone)]
pub struct Object {
    /// What its status is made of: its uid, its generation, and the status it has.
    pub subject: Arc<Subject>,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// When somebody asked for its removal.
    pub deleting: Option<Timestamp>,
    /// What has to be done before it is removed.
    pub finalizers: Vec<String>,
    /// The specification, to be judged.
    pub(super) document: Arc<Document>,
}

/// Whether there is anything to judge anew: its status is no reason.
impl PartialEq for Object {
    fn eq(&self, other: &Object) -> bool {
        let Object { subject, created, deleting, finalizers, document } = self;
        (&subject.uid, subject.generation) == (&other.subject.uid, other.subject.generation)
            && (created, deleting, finalizers) == (&other.created, &other.deleting, &other.finalizers)
            && (Arc::ptr_eq(document, &other.document) || document == &other.document)
    }
}

impl Object {
    /// Whether it is kept in the cluster until we let it go.
    pub fn is_held(&self) -> bool {
        self.finalizers.iter().any(|name| name == FINALIZER)
    }

    /// Whether it is being removed and waits for what we have to do first.
    pub fn awaits_us(&self) -> bool {
        self.deleting.is_some() && self.is_held()
    }

    /// `None` for an object without a namespace, which the API server never shows.
    pub(super) fn of(object: Raw) -> Option<(TenantId, Object)> {
        let id = TenantId { namespace: object.namespace()?, name: object.name_any() };
        let metadata = object.meta().clone();
        let data = object.into_data();
        let time =
            |time: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Time| Timestamp(time.0.as_millisecond());
        let written = json!({
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {
                "name": id.name,
                "namespace": id.namespace,
                "creationTimestamp": metadata.creation_timestamp.as_ref().map(|time| time.0.to_string()),
            },
            "spec": data.get("spec").cloned().unwrap_or(Value::Null),
        });
        let root = Node::from(&written);
        let document = Arc::new(Document { file: None, index: 0, base: Path::root(), root });
        let uid = metadata.uid.clone().unwrap_or_default();
        let generation = metadata.generation.unwrap_or_default();
        let object = Object {
            subject: Arc::new(Subject::of(&uid, generation, &data)),
            created: metadata.creation_timestamp.as_ref().map(time),
            deleting: metadata.deletion_timestamp.as_ref().map(time),
            finalizers: metadata.finalizers.unwrap_or_default(),
            document,
        };
        Some((id, object))
    }
}
