//! The `kubernetes` section: which cluster, which namespaces, and who we are in it.

use std::path::Path as FilePath;

use super::{Purpose, file};
use crate::document::{Path, Problem};
use crate::tenancy::Policy;
use crate::tenancy::cluster;

/// Where the namespace of a pod stands that was not told it.
const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";
/// What the Deployment passes by the downward API.
const NAMESPACE_VARIABLE: &str = "POD_NAMESPACE";
const POD_VARIABLE: &str = "POD_NAME";
/// Stands for both while a configuration is only checked.
const ANY_NAME: &str = "sluice";

pub(super) fn cluster(
    given: file::Kubernetes,
    policy: Policy,
    folder: &FilePath,
    purpose: Purpose,
    found: &mut Vec<Problem>,
) -> Option<cluster::Config> {
    let place = Path::root().key("kubernetes");
    let file::Kubernetes { namespaces, namespace, pod, kubeconfig } = given;
    let namespace = namespace.or_else(|| variable(NAMESPACE_VARIABLE)).or_else(mounted_namespace);
    let pod = pod.or_else(|| variable(POD_VARIABLE)).or_else(|| variable("HOSTNAME"));
    let (namespace, pod) = match purpose {
        Purpose::Run => (namespace, pod),
        // The Deployment tells them, and a check is made before there is one.
        Purpose::Check | Purpose::CheckElsewhere => {
            (namespace.or_else(|| Some(ANY_NAME.into())), pod.or_else(|| Some(ANY_NAME.into())))
        }
    };
    let mut name = |value: Option<String>, key: &str, variable: &str, example: &str| {
        let legal = value.filter(|name| cluster::is_object_name(name));
        if legal.is_none() {
            let cure = format!("set {variable} by the downward API, or write {key}: {example}");
            found.push(Problem::error(place.key(key), "is not known", cure));
        }
        legal
    };
    let namespace = name(namespace, "namespace", NAMESPACE_VARIABLE, "sluice-system");
    let pod = name(pod, "pod", POD_VARIABLE, "a name that no other replica has");
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
