//! Write: create, update, patch and apply.
//!
//! In: the target, the options, what is to be written. Out: the object as it is now, or why not. Never: waiting, or a
//! write that another could come between.

use std::sync::Arc;

use serde_json::{Value, json};

use super::apply::{self, Contest};
use super::decode::{self, Decoded};
use super::errors::{About, Cause, Refusal};
use super::kinds::Kind;
use super::metadata;
use super::patch;
use super::rules;
use super::schema::Empties;
use super::state::State;
use super::validate;
use super::writing::Write;

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    /// The HTTP status.
    pub(super) code: u16,
    /// The body.
    pub(super) object: Value,
    /// A warning header each.
    pub(super) warnings: Vec<String>,
}

impl Answer {
    pub(super) fn ok(object: impl Into<Value>) -> Answer {
        Answer { code: 200, object: object.into(), warnings: Vec::new() }
    }
}

impl State {
    /// POST.
    pub(super) fn create(&mut self, write: &Write, decoded: Decoded) -> Result<Answer, Refusal> {
        let Decoded { mut object, warnings } = decoded;
        write.is_of_namespace(&object)?;
        metadata::clear_system(&mut object);
        settle(&write.kind, &mut object);
        let mut blank = write.kind.blank();
        write.drop_status(&mut object);
        write.drop_status(&mut blank);
        apply::update(&blank, &mut object, &write.kind.schema, &write.writer(&self.now()));
        let object = self.add(write, object).map_err(|refusal| refusal.warned(&warnings))?;
        Ok(Answer { code: 201, object, warnings })
    }

    /// PUT.
    pub(super) fn update(&mut self, write: &Write, decoded: Decoded) -> Result<Answer, Refusal> {
        let Decoded { object, warnings } = decoded;
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        if name != write.name {
            return Err(Refusal::bad_request(format!(
                "the name of the object ({name}) does not match the name on the URL ({})",
                write.name
            )));
        }
        write.is_of_namespace(&object)?;
        let Some(live) = self.store.get(&write.key(&write.name)).cloned() else {
            let creates = write.kind.creates_on_update && !write.is_status;
            let created =
                if creates { self.create(write, Decoded { object, warnings }) } else { Err(write.missing()) };
            return created;
        };
        let changed = self.change(write, &live, object, Owner::Unsettled);
        let object = changed.map_err(|refusal| refusal.warned(&warnings))?;
        Ok(Answer { warnings, ..Answer::ok(object) })
    }

    /// PATCH, but for apply.
    pub(super) fn patch(
        &mut self,
        write: &Write,
        body: &[u8],
        format: PatchFormat,
    ) -> Result<Answer, Refusal> {
        let stated: Value = serde_json::from_slice(body).map_err(|error| {
            Refusal::bad_request(format!("error decoding patch: {}", decode::go_wording(&error)))
        })?;
        let operations = stated.as_array();
        if format == PatchFormat::Json && operations.is_none() {
            let detail = "json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp";
            return Err(Refusal::bad_request(format!("error decoding patch: {detail}")));
        }
        let live = self.store.get(&write.key(&write.name)).cloned().ok_or_else(|| write.missing())?;
        let mut new = live.as_ref().clone();
        match (format, operations) {
            (PatchFormat::Json, Some(operations)) => new = patch::json_patch(&live, operations)?,
            (PatchFormat::Strategic, _) => patch::strategic(&mut new, &stated, &write.kind.schema),
            _ => patch::merge(&mut new, &stated),
        }
        let patched = new.to_string();
        let decoded = decode::fields(&write.kind, new, &write.options).map_err(|refusal| {
            let detail = refusal.status()["message"].as_str().unwrap_or_default().to_owned();
            let detail = detail.split_once(": ").map_or(detail.as_str(), |(_, detail)| detail);
            let cause = Cause::invalid("patch", &json!(patched), detail);
            Refusal::invalid(About { name: "", group: "", kind: "" }, &[cause])
        })?;
        let Decoded { object, warnings } = decoded;
        let changed = self.change(write, &live, object, Owner::Unsettled);
        let object = changed.map_err(|refusal| refusal.warned(&warnings))?;
        Ok(Answer { warnings, ..Answer::ok(object) })
    }

    /// PATCH with a configuration to apply.
    pub(super) fn apply(&mut self, write: &Write, body: &[u8]) -> Result<Answer, Refusal> {
        if write.options.field_manager.is_none() {
            let cause = Cause::required("fieldManager", "is required for apply patch");
            return Err(Refusal::invalid_options("PatchOptions", cause));
        }
        let mut config = decode::yaml(body)?;
        write.is_applicable(&config)?;
        write.is_typed(&config)?;
        write.reset(&mut config);
        let contest = if write.options.force { Contest::Force } else { Contest::Yield };
        let now = self.now();
        let writer = write.writer(&now);
        let schema = &write.kind.schema;
        let Some(live) = self.store.get(&write.key(&write.name)).cloned() else {
            if write.is_status {
                return Err(write.missing());
            }
            metadata::clear_system(&mut config);
            let mut blank = write.kind.blank();
            write.drop_status(&mut blank);
            let mut object = apply::apply(&blank, &config, schema, &writer, contest)?;
            settle(&write.kind, &mut object);
            let object = self.add(write, object)?;
            return Ok(Answer { code: 201, ..Answer::ok(object) });
        };
        let new = apply::apply(&live, &config, schema, &writer, contest)?;
        Ok(Answer::ok(self.change(write, &live, new, Owner::Settled)?))
    }

    /// Creates an object whose owners are settled.
    fn add(&mut self, write: &Write, mut object: Value) -> Result<Value, Refusal> {
        if object["metadata"]["name"].is_null()
            && let Some(prefix) = object["metadata"]["generateName"].as_str()
        {
            object["metadata"]["name"] = format!("{prefix}{}", suffix()).into();
        }
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        if write.kind.namespaced {
            let Some(namespace) = self.namespace(&write.namespace) else {
                let about = About { name: &write.namespace, group: "", kind: "namespaces" };
                return Err(Refusal::not_found(about));
            };
            if metadata::is_terminating(namespace) {
                let place = &write.namespace;
                let detail = format!(
                    "unable to create new content in namespace {place} because it is being terminated"
                );
                return Err(Refusal::forbidden(About { name: &name, ..write.about() }, &detail));
            }
            object["metadata"]["namespace"] = write.namespace.clone().into();
        }
        object["metadata"]["uid"] = self.store.uid().into();
        object["metadata"]["creationTimestamp"] = self.now().into();
        if write.kind.generation {
            object["metadata"]["generation"] = 1.into();
        }
        if !write.kind.is_custom() {
            let ip = self.next_ip();
            rules::prepare(&write.kind, None, &mut object, || ip);
        }
        self.is_valid(write, None, &object)?;
        let key = write.key(&name);
        if self.store.get(&key).is_some() {
            return Err(Refusal::already_exists(About { name: &name, ..write.about() }));
        }
        if write.options.dry_run {
            return Ok(object);
        }
        let stored = self.store.put(key.clone(), object);
        if write.kind.kind == "CustomResourceDefinition" {
            self.install(&stored);
            self.store.put(key, established(&stored, &self.now()));
        }
        Ok(stored.as_ref().clone())
    }

    /// Replaces `live` with `new`, as far as the path written to allows.
    fn change(
        &mut self,
        write: &Write,
        live: &Arc<Value>,
        mut new: Value,
        owner: Owner,
    ) -> Result<Value, Refusal> {
        write.is_current(&new, live)?;
        metadata::keep_system(live, &mut new);
        if write.is_status {
            let mut whole = live.as_ref().clone();
            whole["status"] = new["status"].take();
            whole["metadata"]["managedFields"] = new["metadata"]["managedFields"].take();
            new = whole;
            new.as_object_mut().expect("an object").retain(|_, held| !held.is_null());
        } else if write.kind.status {
            let status = live.get("status").cloned();
            let new = new.as_object_mut().expect("an object");
            match status {
                Some(status) => new.insert("status".into(), status),
                None => new.remove("status"),
            };
        }
        settle(&write.kind, &mut new);
        if owner == Owner::Unsettled {
            apply::update(live, &mut new, &write.kind.schema, &write.writer(&self.now()));
        }
        if !write.kind.is_custom() {
            let ip = live["spec"]["clusterIP"].as_str().unwrap_or_default().to_owned();
            rules::prepare(&write.kind, Some(live), &mut new, || ip);
        }
        if write.kind.generation && !write.is_status && desired(live) != desired(&new) {
            let generation = live["metadata"]["generation"].as_u64().unwrap_or_default();
            new["metadata"]["generation"] = (generation + 1).into();
        }
        new["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"].clone();
        self.is_valid(write, Some(live), &new)?;
        if apply::same_but_times(live, &new) {
            return Ok(live.as_ref().clone());
        }
        if write.options.dry_run {
            return Ok(new);
        }
        let key = write.key(&write.name);
        if metadata::is_terminating(&new) && metadata::finalizers(&new).is_empty() && write.kind.kind != "Pod"
        {
            self.store.take(&key);
            self.end_namespace(&write.namespace);
            return Ok(new);
        }
        let stored = self.store.put(key, new);
        if write.kind.kind == "CustomResourceDefinition" {
            self.install(&stored);
        }
        Ok(stored.as_ref().clone())
    }

    fn is_valid(&self, write: &Write, live: Option<&Value>, object: &Value) -> Result<(), Refusal> {
        let kind = &write.kind;
        let mut causes = metadata::check(live, object);
        if kind.is_custom() {
            causes.extend(match (write.is_status, kind.schema.field("status")) {
                (true, Some(schema)) => validate::check(&object["status"], schema, "status", ""),
                _ => validate::check(object, &kind.schema, "", ""),
            });
        } else {
            causes.extend(rules::check(kind, live, object));
        }
        if kind.is_custom() && causes.iter().any(validate::stops_rules) {
            causes.push(validate::unchecked_rules());
        }
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        if causes.is_empty() { Ok(()) } else { Err(Refusal::invalid(write.about_content(name), &causes)) }
    }
}

/// The patch formats, but for apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PatchFormat {
    /// RFC 7386.
    Merge,
    /// RFC 6902.
    Json,
    /// Kubernetes' own.
    Strategic,
}

/// Whether `managedFields` already says who owns what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Settled,
    Unsettled,
}

/// Defaults in, empty things out: an object as its kind encodes it.
fn settle(kind: &Kind, object: &mut Value) {
    kind.schema.fill(object, |schema| schema.default.as_ref());
    if !kind.is_custom() {
        rules::complete(kind, object);
    }
    let empties = if kind.is_custom() { Empties::Keep } else { Empties::Drop };
    kind.schema.tidy(object, empties);
    kind.schema.fill(object, |schema| schema.always.as_ref());
    // Applied and merged metadata may hold empty maps that nobody encodes.
    let metadata = object["metadata"].as_object_mut().expect("an object has metadata");
    metadata.retain(|_, held| match held {
        Value::Null => false,
        Value::Object(map) => !map.is_empty(),
        Value::Array(list) => !list.is_empty(),
        _ => true,
    });
}

/// A definition that is served, as its controller says it.
fn established(crd: &Value, now: &str) -> Value {
    let condition = |kind: &str, reason: &str| json!({"type": kind, "status": "True", "lastTransitionTime": now, "reason": reason, "message": ""});
    let mut crd = crd.clone();
    crd["status"] = json!({
        "conditions": [condition("NamesAccepted", "NoConflicts"), condition("Established", "InitialNamesAccepted")],
        "acceptedNames": crd["spec"]["names"],
        "storedVersions": [crd["spec"]["versions"][0]["name"]],
    });
    crd
}

/// What counts for the generation: all but metadata and status.
fn desired(object: &Value) -> Value {
    let mut object = object.clone();
    let fields = object.as_object_mut().expect("an object");
    fields.retain(|name, _| !["metadata", "status"].contains(&name.as_str()));
    object
}

/// What is appended to a `generateName`.
fn suffix() -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    (0..5).map(|_| ALPHABET[rand::random_range(0..ALPHABET.len())] as char).collect()
}
