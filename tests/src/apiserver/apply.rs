//! Apply: who owns which field, and what follows for a write.
//!
//! In: the live object, what is written, by whom and how. Out: the object with its `managedFields`, or the conflicts.
//! Never: validation, versions, storage.
//!
//! Simplified against structured-merge-diff where our kinds cannot tell: one schema version, no limit on the number
//! of managers, and a map goes with its last owned key even where `EnsureNamedFieldsAreMembers` would keep it.

use serde_json::{Value, json};

use super::errors::Refusal;
use super::fields::{FieldSet, change, remove, shown, stated};
use super::merge::merged;
use super::schema::Schema;

/// Who writes.
#[derive(Debug, Clone)]
pub(super) struct Writer<'a> {
    /// The field manager.
    pub(super) manager: &'a str,
    /// The version of the resource, as `managedFields` names it.
    pub(super) api_version: &'a str,
    /// `status`, on that subresource.
    pub(super) subresource: Option<&'a str>,
    /// Now, RFC 3339 with whole seconds.
    pub(super) now: &'a str,
}

/// What an apply does with fields that others own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Contest {
    /// Refuses.
    Yield,
    /// Takes them.
    Force,
}

/// One entry of `managedFields`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Manager {
    name: String,
    operation: &'static str,
    api_version: String,
    subresource: Option<String>,
    time: Option<String>,
    fields: FieldSet,
}

impl Manager {
    fn is(&self, writer: &Writer<'_>, operation: &str) -> bool {
        self.name == writer.manager
            && self.operation == operation
            && self.subresource.as_deref() == writer.subresource
            && (operation == APPLY || self.api_version == writer.api_version)
    }

    fn new(writer: &Writer<'_>, operation: &'static str) -> Manager {
        Manager {
            name: writer.manager.to_owned(),
            operation,
            api_version: writer.api_version.to_owned(),
            subresource: writer.subresource.map(str::to_owned),
            time: None,
            fields: FieldSet::default(),
        }
    }

    /// As a conflict names it.
    fn shown(&self) -> String {
        let mut shown = format!("\"{}\"", self.name);
        if let Some(subresource) = &self.subresource {
            shown += &format!(" with subresource \"{subresource}\"");
        }
        if self.operation == UPDATE {
            shown += &format!(" using {}", self.api_version);
        }
        shown
    }
}

const APPLY: &str = "Apply";
const UPDATE: &str = "Update";

/// Gives what `new` changes in `live` to the writer: a create, an update or a patch.
pub(super) fn update(live: &Value, new: &mut Value, schema: &Schema, writer: &Writer<'_>) {
    // A client may edit managedFields on the main path; what it leaves out, or cannot know, comes from the store.
    let stated = (writer.subresource.is_none()).then(|| managers(new)).filter(|stated| !stated.is_empty());
    let mut managers = stated.unwrap_or_else(|| managers(live));
    let change = change(live, new, schema);
    let taken = change.added.or(&change.modified);
    if !managers.iter().any(|manager| manager.is(writer, UPDATE)) {
        managers.push(Manager::new(writer, UPDATE));
    }
    for manager in &mut managers {
        manager.fields = manager.fields.without(&change.removed);
        if manager.is(writer, UPDATE) {
            if !taken.is_empty() {
                manager.time = Some(writer.now.to_owned());
            }
            manager.fields = manager.fields.or(&taken);
        } else {
            manager.fields = manager.fields.without(&taken);
        }
    }
    managers.retain(|manager| !manager.fields.is_empty());
    write(new, managers);
}

/// Lays `config` over `live`, takes out what the writer stated before and nobody states now, and records who owns
/// what; the conflicts, where others own what it would change and `contest` is to yield.
pub(super) fn apply(
    live: &Value,
    config: &Value,
    schema: &Schema,
    writer: &Writer<'_>,
    contest: Contest,
) -> Result<Value, Refusal> {
    let mut managers = managers(live);
    if !managers.iter().any(|manager| manager.is(writer, APPLY)) {
        managers.push(Manager::new(writer, APPLY));
    }
    let own = managers.iter().position(|manager| manager.is(writer, APPLY)).expect("it was just put there");
    let before = std::mem::replace(&mut managers[own].fields, stated(config, schema));

    let mut new = merged(Some(live), config, schema);
    let held = managers.iter().fold(FieldSet::default(), |all, manager| all.or(&manager.fields));
    remove(&mut new, schema, &before.with_parents().without(&held.with_parents()));

    let change = change(live, &new, schema);
    let taken = change.added.or(&change.modified);
    let conflicts: Vec<(String, String)> = managers
        .iter()
        .enumerate()
        .filter(|(index, _)| *index != own)
        .flat_map(|(_, manager)| {
            let contested = manager.fields.and(&taken).0;
            contested.into_iter().map(|path| (manager.shown(), shown(&path))).collect::<Vec<_>>()
        })
        .collect();
    if contest == Contest::Yield && !conflicts.is_empty() {
        return Err(Refusal::apply_conflict(&conflicts));
    }
    for (_, manager) in managers.iter_mut().enumerate().filter(|(index, _)| *index != own) {
        manager.fields = manager.fields.without(&taken).without(&change.removed);
    }
    // Only a write that changes the object is dated; sharing a value is not one.
    if !taken.is_empty() || !change.removed.is_empty() {
        managers[own].time = Some(writer.now.to_owned());
    }
    managers.retain(|manager| !manager.fields.is_empty());
    write(&mut new, managers);
    Ok(new)
}

/// Whether two objects differ in nothing but the times of their `managedFields`.
pub(super) fn same_but_times(one: &Value, other: &Value) -> bool {
    let untimed = |value: &Value| {
        let mut value = value.clone();
        for entry in value["metadata"]["managedFields"].as_array_mut().into_iter().flatten() {
            entry.as_object_mut().map(|entry| entry.remove("time"));
        }
        value
    };
    untimed(one) == untimed(other)
}

fn managers(object: &Value) -> Vec<Manager> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let entries = object["metadata"]["managedFields"].as_array();
    entries
        .into_iter()
        .flatten()
        .map(|entry| Manager {
            name: text(&entry["manager"]).unwrap_or_default(),
            operation: if entry["operation"] == APPLY { APPLY } else { UPDATE },
            api_version: text(&entry["apiVersion"]).unwrap_or_default(),
            subresource: text(&entry["subresource"]),
            time: text(&entry["time"]),
            fields: FieldSet::decode(&entry["fieldsV1"]),
        })
        .collect()
}

fn write(object: &mut Value, mut managers: Vec<Manager>) {
    managers.sort_by(|a, b| {
        let key = |manager: &Manager| {
            (
                manager.operation,
                manager.time.clone(),
                manager.name.clone(),
                manager.api_version.clone(),
                manager.subresource.clone(),
            )
        };
        key(a).cmp(&key(b))
    });
    let entries: Vec<Value> = managers
        .into_iter()
        .map(|Manager { name, operation, api_version, subresource, time, fields }| {
            let mut entry = json!({
                "manager": name, "operation": operation, "apiVersion": api_version,
                "fieldsType": "FieldsV1", "fieldsV1": fields.encode(),
            });
            if let Some(subresource) = subresource {
                entry["subresource"] = subresource.into();
            }
            if let Some(time) = time {
                entry["time"] = time.into();
            }
            entry
        })
        .collect();
    let metadata = object["metadata"].as_object_mut().expect("an object has metadata");
    match entries.is_empty() {
        true => metadata.remove("managedFields"),
        false => metadata.insert("managedFields".into(), entries.into()),
    };
}
