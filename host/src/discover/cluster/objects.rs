//! Objects: what a Service, a Pod or an EndpointSlice says about servers. Pure: an object in, sources out.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, PodStatus, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::block::{Block, POD_INDEX_LABEL, POD_NAME_LABEL, Port};
use super::found::{Facts, Mapped, Preference, found, host, port, skipped};
use super::identity::{Identity, stateful_set};
use crate::discover::Presence;

/// The label by which an EndpointSlice names its Service.
const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

/// The label that a Deployment puts on its ReplicaSets and their pods.
const TEMPLATE_HASH_LABEL: &str = "pod-template-hash";

/// An object that can stand for servers.
pub(super) trait Object {
    /// The servers it stands for. One that cannot have an address yet stands for none.
    fn map(&self, block: &Block) -> Vec<Mapped>;
}

static NOTHING: BTreeMap<String, String> = BTreeMap::new();

fn labels(metadata: &ObjectMeta) -> &BTreeMap<String, String> {
    metadata.labels.as_ref().unwrap_or(&NOTHING)
}

fn annotations(metadata: &ObjectMeta) -> &BTreeMap<String, String> {
    metadata.annotations.as_ref().unwrap_or(&NOTHING)
}

impl Object for Service {
    /// Its DNS name. An ExternalName could name anything, an address outside of the cluster included.
    fn map(&self, block: &Block) -> Vec<Mapped> {
        let (namespace, name) = names(&self.metadata);
        let identity = Identity { namespace, object: name.to_owned(), ..Identity::default() };
        let Some(spec) = &self.spec else { return Vec::new() };
        if spec.type_.as_deref() == Some("ExternalName") {
            let why = "is an ExternalName: write its address under sources, if it is meant";
            return vec![Err(skipped(&identity, block, why))];
        }
        let ports = spec.ports.iter().flatten().map(|port| (port.name.as_deref(), port.port));
        let port = match port(block.port.as_ref(), ports) {
            Ok(port) => port,
            Err(why) => return vec![Err(skipped(&identity, block, why))],
        };
        let facts = Facts {
            host: format!("{name}.{namespace}.svc"),
            identity,
            labels: labels(&self.metadata),
            annotations: annotations(&self.metadata),
            port,
            presence: Presence::Ready,
            preference: Preference::First,
            nameless: None,
        };
        vec![found(block, facts)]
    }
}

impl Object for Pod {
    /// Its address, while it has one.
    fn map(&self, block: &Block) -> Vec<Mapped> {
        let (namespace, name) = names(&self.metadata);
        let Some(status) = &self.status else { return Vec::new() };
        let Some(ip) = status.pod_ip.as_deref().filter(|ip| !ip.is_empty()) else { return Vec::new() };
        // Its address may be another pod's by now.
        if matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
            return Vec::new();
        }
        let node = self.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default();
        let identity = pod_identity(&self.metadata, namespace, name, node);
        let address = host(ip).and_then(|address| Ok((address, pod_port(self, block.port.as_ref())?)));
        let ((host, preference), port) = match address {
            Ok(address) => address,
            Err(why) => return vec![Err(skipped(&identity, block, why))],
        };
        let facts = Facts {
            identity,
            labels: labels(&self.metadata),
            annotations: annotations(&self.metadata),
            host,
            port,
            presence: pod_presence(&self.metadata, status),
            preference,
            nameless: None,
        };
        vec![found(block, facts)]
    }
}

/// A pod need not declare the ports it listens on, so a number is taken as it is.
fn pod_port(pod: &Pod, wanted: Option<&Port>) -> Result<u16, String> {
    if let Some(Port::Number(number)) = wanted {
        return Ok(*number);
    }
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let ports = containers.flat_map(|container| container.ports.iter().flatten());
    port(wanted, ports.map(|port| (port.name.as_deref(), port.container_port)))
}

/// What lasts of a pod's name, by what made the pod.
fn pod_identity<'a>(metadata: &'a ObjectMeta, namespace: &'a str, name: &str, node: &str) -> Identity<'a> {
    let mut owners = metadata.owner_references.iter().flatten();
    let identity = Identity { namespace, object: name.to_owned(), ..Identity::default() };
    let Some(OwnerReference { kind, name: owner, .. }) = owners.find(|owner| owner.controller == Some(true))
    else {
        return identity;
    };
    match kind.as_str() {
        "StatefulSet" => Identity { workload: Some(owner), ..identity },
        "ReplicaSet" => {
            let hash = labels(metadata).get(TEMPLATE_HASH_LABEL);
            let deployment = hash.and_then(|hash| owner.strip_suffix(hash.as_str())?.strip_suffix('-'));
            Identity { workload: Some(deployment.unwrap_or(owner)), interchangeable: true, ..identity }
        }
        // One a node, and every one has its own node's series.
        "DaemonSet" => Identity { object: format!("{owner}@{node}"), workload: Some(owner), ..identity },
        _ => identity,
    }
}

fn pod_presence(metadata: &ObjectMeta, status: &PodStatus) -> Presence {
    let phase = status.phase.as_deref().unwrap_or("Unknown");
    let conditions = status.conditions.iter().flatten();
    let ready = conditions.filter(|c| c.type_ == "Ready").any(|c| c.status == "True");
    if metadata.deletion_timestamp.is_some() {
        Presence::NotReady("the pod is being deleted".to_owned())
    } else if phase != "Running" {
        Presence::NotReady(format!("the pod is {phase}"))
    } else if !ready {
        Presence::NotReady("the pod is not ready".to_owned())
    } else {
        Presence::Ready
    }
}

impl Object for EndpointSlice {
    /// Each endpoint's address.
    fn map(&self, block: &Block) -> Vec<Mapped> {
        let (namespace, slice) = names(&self.metadata);
        let service = labels(&self.metadata).get(SERVICE_NAME_LABEL).map_or(slice, String::as_str);
        let unnamed = Identity { namespace, object: service.to_owned(), ..Identity::default() };
        if self.address_type == "FQDN" {
            return vec![Err(skipped(&unnamed, block, "holds names, not addresses"))];
        }
        let ports = self.ports.iter().flatten().filter_map(|port| Some((port.name.as_deref(), port.port?)));
        // What is wrong with the slice's ports keeps each of its endpoints from being a source.
        let port = port(block.port.as_ref(), ports);
        self.endpoints.iter().filter_map(|each| endpoint(block, self, service, each, &port)).collect()
    }
}

fn endpoint(
    block: &Block,
    slice: &EndpointSlice,
    service: &str,
    endpoint: &Endpoint,
    port: &Result<u16, String>,
) -> Option<Mapped> {
    // Kubernetes treats all addresses of one endpoint as the same.
    let address = endpoint.addresses.first()?;
    let mut labels = labels(&slice.metadata).clone();
    let (namespace, _) = names(&slice.metadata);
    let pod = endpoint.target_ref.as_ref().filter(|target| target.kind.as_deref() == Some("Pod"));
    let pod = pod.and_then(|target| target.name.as_deref());
    let object = match (pod, &endpoint.hostname) {
        (Some(pod), _) => pod.to_owned(),
        (None, Some(hostname)) => format!("{service}/{hostname}"),
        (None, None) => format!("{service}/{address}"),
    };
    let set = pod.and_then(stateful_set);
    let workload = set.or(pod.map(|_| service));
    let identity = Identity { namespace, object, workload, interchangeable: set.is_none() && pod.is_some() };
    if let Some((pod, set)) = pod.zip(set) {
        // A slice has none of its pods' labels; these two follow from the name.
        labels.entry(POD_NAME_LABEL.to_owned()).or_insert_with(|| pod.to_owned());
        labels.entry(POD_INDEX_LABEL.to_owned()).or_insert_with(|| pod[set.len() + 1..].to_owned());
    }
    let dialled = host(address).and_then(|host| Ok((host, port.clone()?)));
    let ((host, preference), port) = match dialled {
        Ok(dialled) => dialled,
        Err(why) => return Some(Err(skipped(&identity, block, why))),
    };
    let annotations = annotations(&slice.metadata);
    let presence = endpoint_presence(endpoint);
    let nameless = (pod.is_none() && endpoint.hostname.is_none()).then(|| format!("{namespace}/{service}"));
    let labels = &labels;
    let facts = Facts { identity, labels, annotations, host, port, presence, preference, nameless };
    Some(found(block, facts))
}

/// `ready` says whether it takes traffic; unset, nobody knows and it counts as ready
/// (`EndpointConditions`, discovery.k8s.io/v1).
fn endpoint_presence(endpoint: &Endpoint) -> Presence {
    let conditions = endpoint.conditions.clone().unwrap_or_default();
    if conditions.terminating == Some(true) {
        Presence::NotReady("the endpoint is terminating".to_owned())
    } else if conditions.ready == Some(false) {
        Presence::NotReady("the endpoint is not ready".to_owned())
    } else {
        Presence::Ready
    }
}

/// Namespace and name.
fn names(metadata: &ObjectMeta) -> (&str, &str) {
    (metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default())
}

/// Whether the block's annotation selector takes the object.
pub(super) fn is_selected(block: &Block, metadata: &ObjectMeta) -> bool {
    block.annotations.matches(annotations(metadata))
}

/// Of an object that has to be told from others of its kind.
pub(super) fn key(metadata: &ObjectMeta) -> String {
    let (namespace, name) = names(metadata);
    format!("{namespace}/{name}")
}
