//! The `kubernetes` section: which cluster, which namespaces, and who we are in it.

use std::path::Path as FilePath;

use super::file;
use crate::document::{Path, Problem};
use crate::tenancy::Policy;
use crate::tenancy::cluster;

/// Where the namespace of a pod stands that was not told it.
const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";
/// What the Deployment passes by the downward API.
const NAMESPACE_VARIABLE: &str = "POD_NAMESPACE";
const POD_VARIABLE: &str = "POD_NAME";

pub(super) fn cluster(
    given: file::Kubernetes,
    policy: Policy,
    folder: &FilePath,
    found: &mut Vec<Problem>,
) -> Option<cluster::Config> {
    let place = Path::root().key("kubernetes");
    let file::Kubernetes { namespaces, namespace, pod, kubeconfig } = given;
    let namespace = namespace.or_else(|| variable(NAMESPACE_VARIABLE)).or_else(mounted_namespace);
    let pod = pod.or_else(|| variable(POD_VARIABLE)).or_else(|| variable("HOSTNAME"));
    let mut name = |value: Option<String>, key: &str, variable: &str, example: &str| {
        let legal = value.filter(|name| cluster::is_object_name(name));
        if legal.is_none() {
            let cure = format!("write {key}: {example}, or set {variable} by the downward API");
            found.push(Problem::error(place.key(key), "is not known", cure));
        }
        legal
    };
    let namespace = name(namespace, "namespace", NAMESPACE_VARIABLE, "sluice");
    let pod = name(pod, "pod", POD_VARIABLE, "sluice-0");
    if namespaces.as_ref().is_some_and(|names| names.is_empty()) {
        let cure = "name at least one, or remove it for all";
        found.push(Problem::error(place.key("namespaces"), "there is none, so nothing is watched", cure));
    }
    let kubeconfig = kubeconfig.map(|file| folder.join(file));
    Some(cluster::Config { namespaces, namespace: namespace?, pod: pod?, kubeconfig, policy })
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn mounted_namespace() -> Option<String> {
    let text = std::fs::read_to_string(NAMESPACE_FILE).ok()?;
    Some(text.trim().to_owned()).filter(|name| !name.is_empty())
}
