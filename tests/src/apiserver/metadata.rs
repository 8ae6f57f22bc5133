//! Metadata: what all objects have in common.
//!
//! In: an object's metadata. Out: what is wrong with it; what the server keeps of it whatever is written.
//! Never: a kind's own fields.

use serde_json::{Value, json};

use super::errors::Cause;

/// All annotations of an object together.
const ANNOTATIONS_BYTES_MAX: usize = 256 << 10;

/// What is wrong with the name part of a label's key.
pub(super) const NAME_PART: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and \
     end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
     '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or \
     '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex \
     used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or \
     '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
     '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

/// What the server writes itself and keeps over every write.
const SYSTEM: [&str; 8] = [
    "name",
    "namespace",
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "selfLink",
];

/// Puts the server's own metadata of `live` over that of `new`.
pub(super) fn keep_system(live: &Value, new: &mut Value) {
    let new = new["metadata"].as_object_mut().expect("an object has metadata");
    for name in SYSTEM {
        match live["metadata"].get(name) {
            Some(value) => drop(new.insert(name.into(), value.clone())),
            None => drop(new.remove(name)),
        }
    }
}

/// Takes the server's own metadata out of an object that is to be created.
pub(super) fn clear_system(object: &mut Value) {
    let metadata = object["metadata"].as_object_mut().expect("an object has metadata");
    metadata.retain(|name, _| {
        let named = ["name", "namespace"].contains(&name.as_str());
        named
            || !(SYSTEM.contains(&name.as_str())
                || ["resourceVersion", "managedFields"].contains(&name.as_str()))
    });
}

/// The finalizers of an object.
pub(super) fn finalizers(object: &Value) -> Vec<&str> {
    object["metadata"]["finalizers"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Whether an object is being deleted.
pub(super) fn is_terminating(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

/// What is wrong with an object's metadata.
pub(super) fn check(live: Option<&Value>, object: &Value) -> Vec<Cause> {
    let metadata = &object["metadata"];
    let name = metadata["name"].as_str().unwrap_or_default();
    let mut causes = Vec::new();
    if name.is_empty() {
        causes.push(Cause::required("metadata.name", "name or generateName is required"));
    } else if !is_subdomain(name) {
        causes.push(Cause::invalid("metadata.name", &json!(name), SUBDOMAIN));
    }
    for (key, value) in metadata["labels"].as_object().into_iter().flatten() {
        let named = key.rsplit_once('/').map_or(key.as_str(), |(_, name)| name);
        if !is_label(named) || named.is_empty() {
            causes.push(Cause::invalid("metadata.labels", &json!(key), NAME_PART));
        }
        if !is_label(value.as_str().unwrap_or_default()) {
            causes.push(Cause::invalid("metadata.labels", value, LABEL_VALUE));
        }
    }
    let annotations = metadata["annotations"].as_object().into_iter().flatten();
    let bytes: usize = annotations.map(|(key, value)| key.len() + value.as_str().map_or(0, str::len)).sum();
    if bytes > ANNOTATIONS_BYTES_MAX {
        causes.push(Cause::too_long("metadata.annotations", ANNOTATIONS_BYTES_MAX as u64));
    }
    if let Some(live) = live.filter(|live| is_terminating(live)) {
        let before = finalizers(live);
        let new: Vec<String> = finalizers(object)
            .into_iter()
            .filter(|name| !before.contains(name))
            .map(|name| format!("{name:?}"))
            .collect();
        if !new.is_empty() {
            let detail = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                new.join(", ")
            );
            // A real server finds this twice.
            causes.extend(vec![Cause::forbidden("metadata.finalizers", &detail); 2]);
        }
    }
    causes
}

fn is_subdomain(name: &str) -> bool {
    const NAME_BYTES_MAX: usize = 253;
    let edge = |at: u8| at.is_ascii_lowercase() || at.is_ascii_digit();
    let label = |part: &str| {
        let bytes = part.as_bytes();
        let [first, .., last] = bytes else { return bytes.len() == 1 && edge(bytes[0]) };
        edge(*first) && edge(*last) && bytes.iter().all(|at| edge(*at) || *at == b'-')
    };
    // Roles may have a colon in their names; nothing else that tests write has.
    name.len() <= NAME_BYTES_MAX && name.replace(':', "-").split('.').all(label)
}

fn is_label(text: &str) -> bool {
    const LABEL_BYTES_MAX: usize = 63;
    let bytes = text.as_bytes();
    let edges = bytes.first().into_iter().chain(bytes.last());
    bytes.len() <= LABEL_BYTES_MAX
        && edges.into_iter().all(u8::is_ascii_alphanumeric)
        && bytes.iter().all(|at| at.is_ascii_alphanumeric() || b"-_.".contains(at))
}
