//! Rules: what every installed object must keep to, as complaints about those that do not.
//!
//! In: objects. Out: one line per breach, empty for good ones. Never: a panic about a field that is not there.

use std::collections::BTreeSet;

use k8s_openapi::api::{apps, coordination, core, networking, policy, rbac};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::bundle::{kind, name, namespace, of_kind, strings, title};

/// The kinds that have no type here: they are not Kubernetes' own.
const FOREIGN: [&str; 3] = ["MetricAccess", "PodMonitor", "PrometheusRule"];
/// The volumes that the restricted profile allows.
const VOLUMES: [&str; 8] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
];
const WRITES: [&str; 5] = ["create", "update", "patch", "delete", "deletecollection"];

/// What an object loses on its way through Kubernetes' own types: fields that the API server does not know.
pub(crate) fn unknown_fields(object: &Value) -> Vec<String> {
    let lost = match kind(object) {
        "ClusterRole" => lost::<rbac::v1::ClusterRole>(object),
        "ClusterRoleBinding" => lost::<rbac::v1::ClusterRoleBinding>(object),
        "ConfigMap" => lost::<core::v1::ConfigMap>(object),
        "CustomResourceDefinition" => lost::<CustomResourceDefinition>(object),
        "Deployment" => lost::<apps::v1::Deployment>(object),
        "Lease" => lost::<coordination::v1::Lease>(object),
        "Namespace" => lost::<core::v1::Namespace>(object),
        "NetworkPolicy" => lost::<networking::v1::NetworkPolicy>(object),
        "PodDisruptionBudget" => lost::<policy::v1::PodDisruptionBudget>(object),
        "Role" => lost::<rbac::v1::Role>(object),
        "RoleBinding" => lost::<rbac::v1::RoleBinding>(object),
        "Secret" => lost::<core::v1::Secret>(object),
        "Service" => lost::<core::v1::Service>(object),
        "ServiceAccount" => lost::<core::v1::ServiceAccount>(object),
        other if FOREIGN.contains(&other) => Vec::new(),
        other => vec![format!("{other} is not a kind that is known here")],
    };
    lost.into_iter().map(|what| format!("{}: {what}", title(object))).collect()
}

fn lost<T: DeserializeOwned + Serialize>(object: &Value) -> Vec<String> {
    match serde_json::from_value::<T>(object.clone()) {
        Ok(typed) => {
            let kept = serde_json::to_value(typed).expect("Kubernetes' types are JSON");
            let mut lost = Vec::new();
            differences("", object, &kept, &mut lost);
            lost
        }
        Err(error) => vec![error.to_string()],
    }
}

/// Where `given` says something that `kept` does not.
fn differences(at: &str, given: &Value, kept: &Value, found: &mut Vec<String>) {
    match (given, kept) {
        (Value::Object(given), Value::Object(kept)) => {
            for (key, value) in given {
                differences(&format!("{at}.{key}"), value, kept.get(key).unwrap_or(&Value::Null), found);
            }
        }
        (Value::Array(given), Value::Array(kept)) if given.len() == kept.len() => {
            for (index, (given, kept)) in given.iter().zip(kept).enumerate() {
                differences(&format!("{at}[{index}]"), given, kept, found);
            }
        }
        (given, kept) if given.as_f64().is_some() && given.as_f64() == kept.as_f64() => {}
        // An empty list or object is as good as none.
        (Value::Object(given), Value::Null) if given.is_empty() => {}
        (given, kept) if given == kept => {}
        (given, kept) => found.push(format!("{at} is {given}, which is read as {kept}")),
    }
}

/// What a workload's Pods do that the restricted profile forbids, or leave out that ours must have.
pub(crate) fn pod_breaches(workload: &Value) -> Vec<String> {
    let spec = &workload["spec"]["template"]["spec"];
    let mut found = Vec::new();
    let mut demand = |kept: bool, what: &str| {
        if !kept {
            found.push(format!("{}: {what}", title(workload)));
        }
    };
    let security = &spec["securityContext"];
    demand(security["runAsNonRoot"] == true, "runAsNonRoot");
    demand(security["runAsUser"].as_u64().is_some_and(|user| user > 0), "runAsUser is a number other than 0");
    demand(security["seccompProfile"]["type"] == "RuntimeDefault", "seccompProfile");
    demand(security.get("sysctls").is_none(), "sysctls");
    for shared in ["hostNetwork", "hostPID", "hostIPC"] {
        demand(spec[shared] != true, shared);
    }
    demand(spec["automountServiceAccountToken"].is_boolean(), "automountServiceAccountToken is said");
    for volume in spec["volumes"].as_array().into_iter().flatten() {
        let kinds = volume.as_object().into_iter().flat_map(|v| v.keys()).filter(|key| *key != "name");
        for kind in kinds {
            demand(VOLUMES.contains(&kind.as_str()), &format!("a volume of {kind}"));
        }
        let bounded = volume.get("emptyDir").is_none_or(|dir| dir["sizeLimit"].is_string());
        demand(bounded, "emptyDir has a sizeLimit");
    }
    let containers = |key: &str| spec[key].as_array().cloned().unwrap_or_default();
    let main = containers("containers");
    demand(!main.is_empty(), "a container");
    for container in main.iter().chain(&containers("initContainers")) {
        container_breaches(container, &mut demand);
    }
    for container in &main {
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
            let port = &container[probe]["httpGet"]["port"];
            let ports = container["ports"].as_array().into_iter().flatten();
            let known =
                ports.flat_map(|p| [&p["name"], &p["containerPort"]]).any(|p| !p.is_null() && p == port);
            demand(known, &format!("{probe} on a port of the container"));
        }
    }
    found
}

fn container_breaches(container: &Value, demand: &mut impl FnMut(bool, &str)) {
    let security = &container["securityContext"];
    demand(security["allowPrivilegeEscalation"] == false, "allowPrivilegeEscalation: false");
    demand(security["readOnlyRootFilesystem"] == true, "readOnlyRootFilesystem");
    demand(security["capabilities"] == serde_json::json!({ "drop": ["ALL"] }), "capabilities: {drop: [ALL]}");
    demand(security["privileged"] != true, "privileged");
    demand(security.get("procMount").is_none(), "procMount");
    for own in ["runAsNonRoot", "runAsUser", "seccompProfile"] {
        demand(security.get(own).is_none(), &format!("{own} is said once, for the Pod"));
    }
    let ports = container["ports"].as_array().into_iter().flatten();
    demand(ports.into_iter().all(|port| port.get("hostPort").is_none()), "hostPort");
    demand(container["resources"]["requests"]["cpu"].is_string(), "a CPU request");
    demand(container["resources"]["requests"]["memory"].is_string(), "a memory request");
    demand(container["resources"]["limits"]["memory"].is_string(), "a memory limit");
}

/// Permissions that nothing of ours may have.
pub(crate) fn rbac_breaches(objects: &[Value]) -> Vec<String> {
    let mut found = Vec::new();
    for role in of_kind(objects, "ClusterRole").chain(of_kind(objects, "Role")) {
        for rule in role["rules"].as_array().into_iter().flatten() {
            for key in ["apiGroups", "resources", "verbs"] {
                let broad = strings(&rule[key]).into_iter().any(|word| word.contains('*'));
                let takes_over =
                    strings(&rule[key]).into_iter().any(|w| ["escalate", "bind", "impersonate"].contains(&w));
                if broad || takes_over {
                    found.push(format!("{}: {key} {}", title(role), rule[key]));
                }
            }
            if rule.get("nonResourceURLs").is_some() {
                found.push(format!("{}: nonResourceURLs", title(role)));
            }
            if is_cluster_wide(objects, role) && strings(&rule["resources"]).contains(&"secrets") {
                found.push(format!("{}: Secrets of every namespace", title(role)));
            }
        }
    }
    found
}

/// Whether a role is bound for the whole cluster.
fn is_cluster_wide(objects: &[Value], role: &Value) -> bool {
    kind(role) == "ClusterRole"
        && of_kind(objects, "ClusterRoleBinding")
            .any(|binding| binding["roleRef"]["name"] == role["metadata"]["name"])
}

/// Every write that is allowed in all namespaces, as `verb resource.group`.
pub(crate) fn writes_everywhere(objects: &[Value]) -> BTreeSet<String> {
    let mut writes = BTreeSet::new();
    for role in of_kind(objects, "ClusterRole").filter(|role| is_cluster_wide(objects, role)) {
        for rule in role["rules"].as_array().into_iter().flatten() {
            for verb in strings(&rule["verbs"]).into_iter().filter(|verb| WRITES.contains(verb)) {
                for resource in strings(&rule["resources"]) {
                    for group in strings(&rule["apiGroups"]) {
                        writes.insert(format!("{verb} {resource}.{group}"));
                    }
                }
            }
        }
    }
    writes
}

/// Names that lead nowhere: selectors without Pods, ports, ConfigMaps, ServiceAccounts and roles that are not there.
pub(crate) fn loose_ends(objects: &[Value]) -> Vec<String> {
    let has = |wanted: &str, place: &str, called: &Value| {
        of_kind(objects, wanted).any(|o| namespace(o) == place && o["metadata"]["name"] == *called)
    };
    let mut found = Vec::new();
    for object in objects {
        let place = namespace(object);
        let mut demand = |kept: bool, what: String| {
            if !kept {
                found.push(format!("{}: {what}", title(object)));
            }
        };
        demand(place.is_empty() || has("Namespace", "", &place.into()), format!("no namespace {place}"));
        match kind(object) {
            "Deployment" => deployment_ends(object, &has, &mut demand),
            "ClusterRoleBinding" | "RoleBinding" => {
                let role = &object["roleRef"];
                let home = if role["kind"] == "Role" { place } else { "" };
                let called = role["kind"].as_str().unwrap_or_default();
                demand(has(called, home, &role["name"]), format!("no role {}", role["name"]));
                for subject in object["subjects"].as_array().into_iter().flatten() {
                    let home = subject["namespace"].as_str().unwrap_or_default();
                    demand(has("ServiceAccount", home, &subject["name"]), format!("no subject {subject}"));
                }
            }
            "Service" => {
                let pods = selected(objects, place, &object["spec"]["selector"]);
                demand(!pods.is_empty(), "selects no Pod".into());
                for port in object["spec"]["ports"].as_array().into_iter().flatten() {
                    let target = port.get("targetPort").unwrap_or(&port["port"]);
                    demand(
                        pods.iter().all(|pod| has_port(pod, target)),
                        format!("no Pod has the port {target}"),
                    );
                }
            }
            "PodDisruptionBudget" | "PodMonitor" | "NetworkPolicy" => {
                let spec = &object["spec"];
                let selector = spec.get("podSelector").unwrap_or(&spec["selector"]);
                let pods = selected(objects, place, &selector["matchLabels"]);
                demand(!pods.is_empty(), "selects no Pod".into());
                let monitored = spec["podMetricsEndpoints"].as_array().into_iter().flatten();
                let admitted = spec["ingress"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .flat_map(|rule| rule["ports"].as_array())
                    .flatten();
                for port in monitored.chain(admitted).map(|port| &port["port"]) {
                    demand(pods.iter().all(|pod| has_port(pod, port)), format!("no Pod has the port {port}"));
                }
            }
            _ => {}
        }
    }
    found
}

fn deployment_ends(
    object: &Value,
    has: &impl Fn(&str, &str, &Value) -> bool,
    demand: &mut impl FnMut(bool, String),
) {
    let (place, template) = (namespace(object), &object["spec"]["template"]);
    let pod = &template["spec"];
    let labels = &template["metadata"]["labels"];
    demand(
        matches(&object["spec"]["selector"]["matchLabels"], labels),
        "selects other Pods than its own".into(),
    );
    for spread in pod["topologySpreadConstraints"].as_array().into_iter().flatten() {
        demand(
            matches(&spread["labelSelector"]["matchLabels"], labels),
            "spreads other Pods than its own".into(),
        );
    }
    if let Some(account) = pod.get("serviceAccountName") {
        demand(has("ServiceAccount", place, account), format!("no ServiceAccount {account}"));
    }
    let volumes: Vec<&Value> = pod["volumes"].as_array().into_iter().flatten().collect();
    for volume in &volumes {
        for (key, kind, called) in [("configMap", "ConfigMap", "name"), ("secret", "Secret", "secretName")] {
            if let Some(source) = volume.get(key) {
                demand(has(kind, place, &source[called]), format!("no {kind} {}", source[called]));
            }
        }
    }
    for container in pod["containers"].as_array().into_iter().flatten() {
        for mount in container["volumeMounts"].as_array().into_iter().flatten() {
            demand(
                volumes.iter().any(|v| v["name"] == mount["name"]),
                format!("no volume {}", mount["name"]),
            );
        }
    }
}

/// The Pod templates of a namespace that a selector selects.
fn selected<'a>(objects: &'a [Value], place: &str, selector: &Value) -> Vec<&'a Value> {
    let templates =
        of_kind(objects, "Deployment").filter(|o| namespace(o) == place).map(|o| &o["spec"]["template"]);
    templates.filter(|template| matches(selector, &template["metadata"]["labels"])).collect()
}

fn matches(selector: &Value, labels: &Value) -> bool {
    let wanted = selector.as_object().filter(|wanted| !wanted.is_empty());
    wanted.is_some_and(|wanted| wanted.iter().all(|(key, value)| labels.get(key) == Some(value)))
}

fn has_port(template: &Value, port: &Value) -> bool {
    let containers = template["spec"]["containers"].as_array().into_iter().flatten();
    let ports = containers.flat_map(|container| container["ports"].as_array()).flatten();
    ports.flat_map(|p| [&p["name"], &p["containerPort"]]).any(|p| !p.is_null() && p == port)
}

/// Two objects with one name.
pub(crate) fn doubles(objects: &[Value]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    objects.iter().map(title).filter(|title| !seen.insert(title.clone())).collect()
}

/// Names that are not DNS names.
pub(crate) fn bad_names(objects: &[Value]) -> Vec<String> {
    let legal = |name: &str| {
        let letters =
            name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b));
        letters && name.len() <= 63 && !name.starts_with('-') && !name.ends_with('-')
    };
    objects.iter().filter(|object| !legal(name(object))).map(title).collect()
}
