//! Objects: a `MetricAccess` as the cluster holds it.

use std::sync::Arc;

use kube::ResourceExt as _;
use kube::api::{ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};

use crate::document::{Document, Node, Path};
use crate::model::{TenantId, Timestamp};
use crate::tenancy::resource::{API_VERSION, KIND};

/// What is watched: objects with any content, so that one that does not fit our types stops no other one.
pub fn api_resource() -> ApiResource {
    let (group, version) = API_VERSION.split_once('/').expect("a group and a version");
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, KIND), "metricaccesses")
}

/// One resource, without what others write: its status is ours, and managed fields say nothing about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// The API server's name for this very object; another one of the same name has another.
    pub uid: String,
    /// Counts changes of the specification.
    pub generation: i64,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// When somebody asked for its removal.
    pub deleting: Option<Timestamp>,
    /// What has to be done before it is removed.
    pub finalizers: Vec<String>,
    /// The specification, to be judged.
    pub(super) document: Arc<Document>,
}

impl Object {
    /// `None` for an object without a namespace, which the API server never shows.
    pub(super) fn of(object: DynamicObject) -> Option<(TenantId, Object)> {
        let id = TenantId { namespace: object.namespace()?, name: object.name_any() };
        let metadata = &object.metadata;
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
            "spec": object.data.get("spec").cloned().unwrap_or(Value::Null),
        });
        let root = Node::from(&written);
        let document = Arc::new(Document { file: None, index: 0, base: Path::root(), root });
        let object = Object {
            uid: metadata.uid.clone().unwrap_or_default(),
            generation: metadata.generation.unwrap_or_default(),
            created: metadata.creation_timestamp.as_ref().map(time),
            deleting: metadata.deletion_timestamp.as_ref().map(time),
            finalizers: metadata.finalizers.clone().unwrap_or_default(),
            document,
        };
        Some((id, object))
    }
}
