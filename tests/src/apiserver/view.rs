//! View: the form in which an object is answered.
//!
//! In: the `Accept` header. Out: whole objects, or their metadata only. Never: tables, YAML, protobuf; whoever
//! accepts nothing else gets a 406.

use serde_json::{Map, Value, json};

use super::errors::Refusal;
use super::kinds::Kind;
use super::rules;

/// The form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    /// The object.
    Whole,
    /// `PartialObjectMetadata`.
    Metadata,
}

/// Picks the first form that is accepted and that there is.
pub(super) fn negotiate(kind: &Kind, accept: Option<&str>) -> Result<View, Refusal> {
    let Some(accept) = accept.filter(|accept| !accept.trim().is_empty()) else { return Ok(View::Whole) };
    let view = accept.split(',').find_map(|media_range| {
        let mut parts = media_range.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default();
        let of = parts.find_map(|part| part.strip_prefix("as="));
        let is_json = ["application/json", "application/*", "*/*"].contains(&media_type);
        match of {
            _ if !is_json => None,
            None => Some(View::Whole),
            Some("PartialObjectMetadata" | "PartialObjectMetadataList") => Some(View::Metadata),
            Some(_) => None,
        }
    });
    view.ok_or_else(|| {
        let offered = "application/json, application/yaml, application/vnd.kubernetes.protobuf";
        if kind.is_custom() {
            let message = format!("only the following media types are accepted: {offered}");
            return Refusal::not_acceptable(&message, None);
        }
        let message = format!(
            "406: Not Acceptable\n\nAvailable representations: {offered}, application/json;stream=watch, \
             application/vnd.kubernetes.protobuf;stream=watch"
        );
        Refusal::not_acceptable(&message, Some(Map::new()))
    })
}

impl View {
    /// One object.
    pub(super) fn of(self, kind: &Kind, object: &Value) -> Value {
        match self {
            View::Whole if kind.is_core_event => rules::to_core_event(object),
            View::Whole => object.clone(),
            View::Metadata => json!({
                "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"],
            }),
        }
    }

    /// One object as an item of a list: of built-ins, without kind and version.
    pub(super) fn item(self, kind: &Kind, object: &Value) -> Value {
        let mut item = self.of(kind, object);
        if self == View::Whole && !kind.is_custom() {
            let fields = item.as_object_mut().expect("an object");
            fields.remove("kind");
            fields.remove("apiVersion");
        }
        item
    }

    /// A list's kind and version.
    pub(super) fn list_of(self, kind: &Kind) -> (String, String) {
        match self {
            View::Whole => (format!("{}List", kind.kind), kind.group_version.clone()),
            View::Metadata => ("PartialObjectMetadataList".into(), "meta.k8s.io/v1".into()),
        }
    }

    /// A bookmark's kind and version.
    pub(super) fn name_of(self, kind: &Kind) -> (String, String) {
        match self {
            View::Whole => (kind.kind.clone(), kind.group_version.clone()),
            View::Metadata => ("PartialObjectMetadata".into(), "meta.k8s.io/v1".into()),
        }
    }
}
