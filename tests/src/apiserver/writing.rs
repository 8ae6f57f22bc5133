//! Writing: what is written to, and whether it may be.
//!
//! In: the target of a write, and an object or a configuration. Out: yes, or the refusal of a real server. Never: the
//! write itself (see `write`).

use std::sync::Arc;

use serde_json::{Value, json};

use super::apply::Writer;
use super::errors::{About, Cause, Refusal};
use super::fields::{item_step, shown};
use super::kinds::Kind;
use super::options::Options;
use super::schema::{ListMerge, Schema, Shape};
use super::store::Key;

/// What is written to, by whom and how.
#[derive(Debug, Clone)]
pub(super) struct Write {
    /// The kind.
    pub(super) kind: Arc<Kind>,
    /// The namespace; empty for none.
    pub(super) namespace: String,
    /// The name; empty on a collection.
    pub(super) name: String,
    /// Whether it is `/status` that is written.
    pub(super) is_status: bool,
    /// The field manager.
    pub(super) manager: String,
    /// The query's options.
    pub(super) options: Options,
}

impl Write {
    pub(super) fn key(&self, name: &str) -> Key {
        Key { storage: self.kind.storage(), namespace: self.namespace.clone(), name: name.into() }
    }

    /// As most errors name the object: by its plural.
    pub(super) fn about(&self) -> About<'_> {
        About { name: &self.name, group: &self.kind.group, kind: &self.kind.plural }
    }

    /// As errors about its content name it: by its kind. Events are checked as the core group's.
    pub(super) fn about_content<'a>(&'a self, name: &'a str) -> About<'a> {
        let group = if self.kind.kind == "Event" { "" } else { &self.kind.group };
        About { name, group, kind: &self.kind.kind }
    }

    pub(super) fn part(&self) -> Option<&'static str> {
        self.is_status.then_some("status")
    }

    pub(super) fn writer<'a>(&'a self, now: &'a str) -> Writer<'a> {
        Writer { manager: &self.manager, api_version: self.api_version(), subresource: self.part(), now }
    }

    pub(super) fn api_version(&self) -> &str {
        &self.kind.group_version
    }

    pub(super) fn missing(&self) -> Refusal {
        Refusal::not_found(self.about())
    }

    /// Takes out the status; of a built-in an empty one stays, where its encoding shows it.
    pub(super) fn drop_status(&self, object: &mut Value) {
        let Some(object) = object.as_object_mut().filter(|_| self.kind.status) else { return };
        object.remove("status");
        if let Some(empty) = self.kind.blank().get("status") {
            object.insert("status".into(), empty.clone());
        }
    }

    pub(super) fn is_of_namespace(&self, object: &Value) -> Result<(), Refusal> {
        let stated = object["metadata"]["namespace"].as_str().unwrap_or(&self.namespace);
        if stated == self.namespace || !self.kind.namespaced {
            return Ok(());
        }
        let detail = "the namespace of the provided object does not match the namespace sent on the request";
        Err(Refusal::bad_request(detail))
    }

    /// Whether a configuration may be applied at all.
    pub(super) fn is_applicable(&self, config: &Value) -> Result<(), Refusal> {
        let name = config["metadata"]["name"].as_str().unwrap_or(&self.name);
        if name != self.name {
            return Err(Refusal::bad_request(format!(
                "the name of the object ({name}) does not match the name on the URL ({})",
                self.name
            )));
        }
        self.is_of_namespace(config)?;
        if config["metadata"].get("managedFields").is_some() {
            return Err(Refusal::bad_request("metadata.managedFields must be nil"));
        }
        Ok(())
    }

    /// Whether the schema can read a configuration: no unknown field, no key twice.
    pub(super) fn is_typed(&self, config: &Value) -> Result<(), Refusal> {
        let mut pruned = config.clone();
        let unknown = self.kind.schema.prune(&mut pruned, "").into_iter();
        let unknown = unknown.map(|path| format!(".{path}: field not declared in schema"));
        let Some(problem) = unknown.chain(doubled(config, &self.kind.schema, "")).next() else {
            return Ok(());
        };
        let place = if self.namespace.is_empty() { String::new() } else { format!("{}/", self.namespace) };
        let subject = format!("{place}{}; {}, Kind={}", self.name, self.api_version(), self.kind.kind);
        let detail = format!("failed to create typed patch object ({subject}): {problem}");
        Err(Refusal::internal(detail, ""))
    }

    /// Leaves of a configuration only what the path written to takes.
    pub(super) fn reset(&self, config: &mut Value) {
        if !config["metadata"].is_object() {
            config["metadata"] = json!({});
        }
        config["apiVersion"] = self.api_version().into();
        config["kind"] = self.kind.kind.clone().into();
        config["metadata"]["name"] = self.name.clone().into();
        if self.kind.namespaced {
            config["metadata"]["namespace"] = self.namespace.clone().into();
        }
        if self.is_status {
            let kept = ["apiVersion", "kind", "metadata", "status"];
            config.as_object_mut().expect("an object").retain(|name, _| kept.contains(&name.as_str()));
            let kept = ["name", "namespace", "uid", "resourceVersion"];
            let metadata = config["metadata"].as_object_mut().expect("it was made one");
            metadata.retain(|name, _| kept.contains(&name.as_str()));
        } else {
            self.drop_status(config);
        }
    }

    /// Whether a write was made of what is there now.
    pub(super) fn is_current(&self, new: &Value, live: &Value) -> Result<(), Refusal> {
        let of =
            |object: &Value, name: &str| object["metadata"][name].as_str().unwrap_or_default().to_owned();
        let (uid, live_uid) = (of(new, "uid"), of(live, "uid"));
        if !uid.is_empty() && uid != live_uid {
            let place = format!("/registry/{}/{}/{}", self.kind.storage(), self.namespace, self.name);
            return Err(Refusal::conflict(
                self.about(),
                &format!(
                    "StorageError: invalid object, Code: 4, Key: {place}, ResourceVersion: 0, AdditionalErrorMsg: \
                     Precondition failed: UID in precondition: {uid}, UID in object meta: {live_uid}"
                ),
            ));
        }
        let version = of(new, "resourceVersion");
        if version.is_empty() && !self.kind.updates_unconditionally {
            let cause =
                Cause::invalid("metadata.resourceVersion", &json!(0), "must be specified for an update");
            return Err(Refusal::invalid(self.about(), &[cause]));
        }
        if version.is_empty() || version == of(live, "resourceVersion") {
            return Ok(());
        }
        Err(Refusal::stale(self.about()))
    }

    /// Whether what a delete expects is so.
    pub(super) fn meets(&self, preconditions: &Value, live: &Value) -> Result<(), Refusal> {
        let about = About { kind: &self.kind.kind, ..self.about() };
        let rules = [
            ("uid", "UID", "The object might have been deleted and then recreated"),
            ("resourceVersion", "ResourceVersion", "The object might have been modified"),
        ];
        for (name, shown, perhaps) in rules {
            let (Some(asked), Some(held)) = (preconditions[name].as_str(), live["metadata"][name].as_str())
            else {
                continue;
            };
            if asked != held {
                let detail = format!(
                    "the {shown} in the precondition ({asked}) does not match the {shown} in record ({held}). {perhaps}"
                );
                return Err(Refusal::conflict(about, &detail));
            }
        }
        Ok(())
    }

    pub(super) fn deleted(&self, last: &Value) -> Value {
        let mut details =
            json!({"name": self.name, "kind": self.kind.plural, "uid": last["metadata"]["uid"]});
        if !self.kind.group.is_empty() {
            details["group"] = self.kind.group.clone().into();
        }
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
    }
}

/// Keys that a list map has twice.
fn doubled(value: &Value, schema: &Schema, at: &str) -> Vec<String> {
    match value {
        Value::Object(map) => map
            .iter()
            .filter_map(|(key, child)| Some(doubled(child, schema.field(key)?, &format!("{at}.{key}"))))
            .flatten()
            .collect(),
        Value::Array(list) => {
            let Shape::List { items, merge } = &schema.shape else { return Vec::new() };
            if *merge == ListMerge::Atomic {
                return Vec::new();
            }
            let steps: Vec<String> = list.iter().map(|item| item_step(item, merge, items)).collect();
            let twice = steps.iter().enumerate().find(|(index, step)| steps[..*index].contains(step));
            let key = twice.map(|(_, step)| shown(std::slice::from_ref(step)));
            key.map(|key| format!("{at}: duplicate entries for key {key}")).into_iter().collect()
        }
        _ => Vec::new(),
    }
}
