//! Rules: what built-in kinds do beyond their schema.
//!
//! In: an object on its way in. Out: the object with what its writer, or the server, fills in; what is wrong with it.
//! Never: controllers. No endpoint slices appear for a service, no pod runs.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::errors::Cause;
use super::kinds::Kind;

/// A ConfigMap or Secret holds no more than this.
const DATA_BYTES_MAX: usize = 1 << 20;

/// A note of an event is no longer than this.
const NOTE_CHARS_MAX: usize = 1024;

/// Fills in what depends on other fields; it belongs to the writer.
pub(super) fn complete(kind: &Kind, object: &mut Value) {
    match kind.kind.as_str() {
        "Namespace" => {
            let name = object["metadata"]["name"].clone();
            object["metadata"]["labels"]["kubernetes.io/metadata.name"] = name;
        }
        "Secret" => encode_strings(object),
        "Service" => {
            for port in object["spec"]["ports"].as_array_mut().into_iter().flatten() {
                if port["targetPort"].is_null() {
                    port["targetPort"] = port["port"].clone();
                }
            }
        }
        _ => {}
    }
}

/// Fills in what the server decides; it belongs to nobody. `ip` is one that is free.
pub(super) fn prepare(kind: &Kind, live: Option<&Value>, object: &mut Value, ip: impl FnOnce() -> String) {
    match (kind.kind.as_str(), live) {
        ("Namespace", None) => {
            object["spec"]["finalizers"] = json!(["kubernetes"]);
            object["status"] = json!({"phase": "Active"});
        }
        ("Service", live) => allocate(live, object, ip),
        ("Pod", None) => {
            let tolerates = |key: &str| json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300});
            let spec = &mut object["spec"];
            if spec["tolerations"].is_null() {
                spec["tolerations"] = json!([
                    tolerates("node.kubernetes.io/not-ready"),
                    tolerates("node.kubernetes.io/unreachable"),
                ]);
            }
            spec["priority"] = json!(0);
            spec["preemptionPolicy"] = json!("PreemptLowerPriority");
            object["status"] = json!({"phase": "Pending", "qosClass": "BestEffort"});
        }
        _ => {}
    }
}

/// What is wrong with an object of a built-in kind.
pub(super) fn check(kind: &Kind, live: Option<&Value>, object: &Value) -> Vec<Cause> {
    match kind.kind.as_str() {
        "ConfigMap" => data(object),
        "Secret" => secret(live, object),
        "Service" => service(live, object),
        "Pod" => pod(live, object),
        "EndpointSlice" => endpoint_slice(object),
        "Lease" => lease(object),
        "Event" => event(live, object),
        _ => Vec::new(),
    }
}

/// `stringData` is only written; it is read as `data`.
fn encode_strings(object: &mut Value) {
    use base64::Engine as _;
    let strings = object.as_object_mut().and_then(|object| object.remove("stringData"));
    for (key, text) in strings.as_ref().and_then(Value::as_object).into_iter().flatten() {
        let text = text.as_str().unwrap_or_default();
        object["data"][key] = base64::engine::general_purpose::STANDARD.encode(text).into();
    }
}

fn allocate(live: Option<&Value>, object: &mut Value, ip: impl FnOnce() -> String) {
    let spec = &mut object["spec"];
    if spec["type"] == "ExternalName" {
        return;
    }
    if spec["clusterIP"].as_str().unwrap_or_default().is_empty() {
        let kept = live.map(|live| live["spec"]["clusterIP"].clone()).filter(Value::is_string);
        spec["clusterIP"] = kept.unwrap_or_else(|| ip().into());
    }
    spec["clusterIPs"] = json!([spec["clusterIP"]]);
    spec["ipFamilies"] = json!(["IPv4"]);
    spec["ipFamilyPolicy"] = json!("SingleStack");
}

fn data(object: &Value) -> Vec<Cause> {
    let entries = || object["data"].as_object().into_iter().flatten();
    let legal = |key: &str| {
        !key.is_empty() && key.bytes().all(|at| at.is_ascii_alphanumeric() || b"-_.".contains(&at))
    };
    let detail = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  \
                  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
    let mut causes: Vec<Cause> = entries()
        .filter(|(key, _)| !legal(key))
        .map(|(key, _)| Cause::invalid(format!("data[{key}]"), &json!(key), detail))
        .collect();
    let bytes: usize = entries().map(|(_, value)| value.as_str().map_or(0, str::len)).sum();
    if bytes > DATA_BYTES_MAX {
        causes.push(Cause::too_long("[]", DATA_BYTES_MAX as u64));
    }
    causes
}

fn secret(live: Option<&Value>, object: &Value) -> Vec<Cause> {
    let mut causes = data(object);
    if object["type"] == "kubernetes.io/tls" {
        let missing = ["tls.crt", "tls.key"].into_iter().filter(|key| object["data"][*key].is_null());
        causes.extend(missing.map(|key| Cause::required(format!("data[{key}]"), "")));
    }
    let Some(live) = live else { return causes };
    if live["type"] != object["type"] {
        causes.push(Cause::invalid("type", &object["type"], "field is immutable"));
    }
    if live["immutable"] == true && live["data"] != object["data"] {
        causes.push(Cause::forbidden("data", "field is immutable when `immutable` is set"));
    }
    causes
}

fn service(live: Option<&Value>, object: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let ip = |object: &Value| object["spec"]["clusterIP"].clone();
    if live.is_some_and(|live| ip(live).is_string() && ip(live) != ip(object)) {
        let detail = "may not change once set";
        causes.push(Cause::invalid("spec.clusterIPs[0]", &json!([ip(object)]), detail));
    }
    for (index, port) in object["spec"]["ports"].as_array().into_iter().flatten().enumerate() {
        for name in ["port", "targetPort"] {
            let outside = port[name].as_i64().is_some_and(|number| !(1..=65_535).contains(&number));
            if outside {
                let detail = "must be between 1 and 65535, inclusive";
                causes.push(Cause::invalid(format!("spec.ports[{index}].{name}"), &port[name], detail));
            }
        }
    }
    causes
}

fn pod(live: Option<&Value>, object: &Value) -> Vec<Cause> {
    let frozen = |object: &Value| {
        let mut spec = object["spec"].clone();
        for container in spec["containers"].as_array_mut().into_iter().flatten() {
            container["image"] = Value::Null;
        }
        spec["tolerations"] = Value::Null;
        spec
    };
    match live {
        Some(live) if frozen(live) != frozen(object) => vec![Cause::forbidden(
            "spec",
            "pod updates may not change fields other than `spec.containers[*].image`,\
             `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to \
             existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was \
             previously negative)",
        )],
        None if object["spec"]["containers"].as_array().is_none_or(Vec::is_empty) => {
            vec![Cause::required("spec.containers", "")]
        }
        _ => Vec::new(),
    }
}

fn endpoint_slice(object: &Value) -> Vec<Cause> {
    let detail = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
    let endpoints = object["endpoints"].as_array().into_iter().flatten().enumerate();
    let addresses = endpoints.flat_map(|(endpoint, held)| {
        let addresses = held["addresses"].as_array().into_iter().flatten().enumerate();
        addresses.map(move |(index, address)| (format!("endpoints[{endpoint}].addresses[{index}]"), address))
    });
    let is_ip = |address: &Value| address.as_str().is_some_and(|text| text.parse::<IpAddr>().is_ok());
    let by_name = object["addressType"] == "FQDN";
    addresses
        .filter(|(_, address)| !by_name && !is_ip(address))
        .map(|(field, address)| Cause::invalid(field, address, detail))
        .collect()
}

fn lease(object: &Value) -> Vec<Cause> {
    let spec = &object["spec"];
    let rules = [
        ("leaseDurationSeconds", 1, "must be greater than 0"),
        ("leaseTransitions", 0, "must be greater than or equal to 0"),
    ];
    rules
        .into_iter()
        .filter(|(name, least, _)| spec[*name].as_i64().is_some_and(|number| number < *least))
        .map(|(name, _, detail)| Cause::invalid(format!("spec.{name}"), &spec[name], detail))
        .collect()
}

fn event(live: Option<&Value>, object: &Value) -> Vec<Cause> {
    let empty = json!("");
    let text = |name: &str| object[name].as_str().unwrap_or_default();
    if let Some(live) = live {
        let fields = [("note", "message"), ("reason", "reason"), ("type", "type"), ("action", "action")];
        let changed = fields.into_iter().filter(|(name, _)| live[*name] != object[*name]);
        return changed
            .map(|(name, shown)| Cause::invalid(shown, &object[name], "field is immutable"))
            .collect();
    }
    let mut causes = Vec::new();
    if object["eventTime"].is_null() {
        causes.push(Cause::required("eventTime", ""));
    }
    for name in ["reportingController", "reportingInstance", "action", "reason"] {
        if text(name).is_empty() {
            causes.push(Cause::required(name, ""));
            if name == "reportingController" {
                causes.push(Cause::invalid(name, &empty, "name part must be non-empty"));
                causes.push(Cause::invalid(name, &empty, super::metadata::NAME_PART));
            }
        }
    }
    if !["Normal", "Warning"].contains(&text("type")) {
        let detail = format!("has invalid value: {}", text("type"));
        causes.push(Cause::invalid("type", &empty, &detail));
    }
    if text("note").chars().count() > NOTE_CHARS_MAX {
        let detail = format!("can have at most {NOTE_CHARS_MAX} characters");
        causes.push(Cause::invalid("message", &empty, &detail));
    }
    if object["series"]["count"].as_i64().is_some_and(|count| count < 2) {
        causes.push(Cause::invalid("series.count", &empty, "should be at least 2"));
    }
    causes
}

const CORE_EVENT: [(&str, &str); 7] = [
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
    ("reportingController", "reportingComponent"),
];

/// An event as the core group shows it.
pub(super) fn to_core_event(event: &Value) -> Value {
    let mut event =
        renamed(event, |name| CORE_EVENT.iter().find(|(new, _)| *new == name).map_or(name, |(_, core)| core));
    event["apiVersion"] = json!("v1");
    event
}

/// An event as it is stored.
pub(super) fn from_core_event(event: &Value) -> Value {
    let mut event =
        renamed(event, |name| CORE_EVENT.iter().find(|(_, core)| *core == name).map_or(name, |(new, _)| new));
    event["apiVersion"] = json!("events.k8s.io/v1");
    event
}

fn renamed<'a>(event: &'a Value, rename: impl Fn(&'a str) -> &'a str) -> Value {
    let fields = event.as_object().into_iter().flatten();
    Value::Object(fields.map(|(name, value)| (rename(name).to_owned(), value.clone())).collect())
}
