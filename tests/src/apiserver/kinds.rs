//! Kinds: the resources that the server has.
//!
//! In: `kinds.json` for the built-in ones, CRDs for the others. Out: for a path, the kind behind it and its rules.
//! Never: a kind that is only half there; what is not listed is a 404.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::schema::Schema;

/// A resource and its rules.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Kind {
    /// The group; empty for core.
    pub(super) group: String,
    /// The version.
    pub(super) version: String,
    /// `metricaccesses`.
    pub(super) plural: String,
    /// `MetricAccess`.
    pub(super) kind: String,
    /// The short name; empty for none.
    #[serde(rename = "short")]
    pub(super) short_name: String,
    /// Whether its objects are in namespaces.
    pub(super) namespaced: bool,
    /// Whether it has `/status`.
    pub(super) status: bool,
    /// Whether its objects count their generations.
    pub(super) generation: bool,
    /// What a delete answers when the object is gone.
    pub(super) answers_delete: AnswersDelete,
    /// Whether a PUT of what is not there creates it.
    pub(super) creates_on_update: bool,
    /// Whether a PUT without a resourceVersion overwrites.
    pub(super) updates_unconditionally: bool,
    /// The paths field selectors may name, beside name and namespace.
    pub(super) selectable: Vec<String>,
    /// Its fields.
    #[serde(deserialize_with = "read_schema")]
    pub(super) schema: Schema,
    /// `group/version`, or the version alone.
    #[serde(skip)]
    pub(super) group_version: String,
    /// Built in, or made by a CRD.
    #[serde(skip)]
    pub(super) origin: Origin,
    /// The version at which its watch cache begins.
    #[serde(skip)]
    pub(super) since: u64,
    /// Whether this is the core view of events, which are stored as `events.k8s.io`.
    #[serde(skip)]
    pub(super) is_core_event: bool,
}

/// What a delete answers when the object is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum AnswersDelete {
    /// A `Status` with the uid.
    Status,
    /// The object as it last was.
    Object,
}

/// Where a kind comes from: real servers treat the two differently in many small things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Origin {
    /// Part of the server.
    #[default]
    BuiltIn,
    /// Made by a CRD.
    Custom,
}

impl Kind {
    fn named(mut self) -> Kind {
        let Kind { group, version, .. } = &self;
        self.group_version = if group.is_empty() { version.clone() } else { format!("{group}/{version}") };
        self
    }

    /// What its objects are stored under.
    pub(super) fn storage(&self) -> String {
        let group = if self.is_core_event { "events.k8s.io" } else { &self.group };
        format!("{group}/{}", self.plural)
    }

    /// Whether it was made by a CRD.
    pub(super) fn is_custom(&self) -> bool {
        self.origin == Origin::Custom
    }

    /// An object of this kind before anything is written to it, as its encoding shows it.
    pub(super) fn blank(&self) -> Value {
        let mut blank = json!({"metadata": {}});
        self.schema.fill(&mut blank, |schema| schema.always.as_ref());
        blank
    }

    /// The kinds a CRD makes: one for each served version.
    pub(super) fn of_crd(crd: &Value, since: u64) -> Vec<Kind> {
        let spec = &crd["spec"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let versions = spec["versions"].as_array().into_iter().flatten();
        let served = versions.filter(|version| version["served"] != false);
        served
            .map(|version| {
                let paths = version["selectableFields"].as_array().into_iter().flatten();
                Kind {
                    group: text(&spec["group"]),
                    version: text(&version["name"]),
                    plural: text(&spec["names"]["plural"]),
                    kind: text(&spec["names"]["kind"]),
                    short_name: text(&spec["names"]["shortNames"][0]),
                    namespaced: spec["scope"] == "Namespaced",
                    status: version["subresources"]["status"].is_object(),
                    generation: true,
                    answers_delete: AnswersDelete::Status,
                    creates_on_update: false,
                    updates_unconditionally: false,
                    selectable: paths
                        .map(|path| text(&path["jsonPath"]).trim_start_matches('.').to_owned())
                        .collect(),
                    schema: with_metadata(&version["schema"]["openAPIV3Schema"]),
                    group_version: String::new(),
                    origin: Origin::Custom,
                    since,
                    is_core_event: false,
                }
                .named()
            })
            .collect()
    }
}

/// The built-in kinds, and the core view of events.
pub(super) fn built_in() -> Vec<Arc<Kind>> {
    let mut kinds: Vec<Kind> =
        serde_json::from_str(include_str!("kinds.json")).expect("kinds.json lists kinds");
    let events = kinds.iter().find(|kind| kind.plural == "events").expect("events are listed").clone();
    let of_core = |path: &str| {
        let renamed = path.replace("regarding.", "involvedObject.");
        if renamed == "reportingController" { "reportingComponent".to_owned() } else { renamed }
    };
    kinds.push(Kind {
        group: String::new(),
        selectable: events.selectable.iter().map(|path| of_core(path)).collect(),
        schema: with_metadata(&json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})),
        is_core_event: true,
        ..events
    });
    kinds.into_iter().map(|kind| Arc::new(kind.named())).collect()
}

/// A kind's own schema, with what all objects have.
fn with_metadata(own: &Value) -> Schema {
    let strings = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let owner = json!({"type": "object", "x-kubernetes-map-type": "atomic", "x-kubernetes-preserve-unknown-fields": true});
    let mut whole = own.clone();
    whole["properties"]["apiVersion"] = json!({"type": "string"});
    whole["properties"]["kind"] = json!({"type": "string"});
    whole["properties"]["metadata"] = json!({"type": "object", "x-always": {}, "properties": {
        "name": {"type": "string"}, "generateName": {"type": "string"}, "namespace": {"type": "string"},
        "uid": {"type": "string"}, "resourceVersion": {"type": "string"}, "selfLink": {"type": "string"},
        "generation": {"type": "integer"}, "creationTimestamp": {"type": "string"},
        "deletionTimestamp": {"type": "string"}, "deletionGracePeriodSeconds": {"type": "integer"},
        "labels": strings, "annotations": strings,
        "finalizers": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
        "ownerReferences": {"type": "array", "items": owner,
            "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["uid"]},
        "managedFields": {},
    }});
    Schema::read(&whole)
}

fn read_schema<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Schema, D::Error> {
    Ok(with_metadata(&Value::deserialize(deserializer)?))
}
