//! Where to send: the target's block, and the addresses of the Services it names.

use std::fmt;
use std::net::IpAddr;

use url::Url;

use super::{Findings, receiver};
use crate::document::Path;
use crate::model::{
    Author, Endpoint, OnReject, Order, Protocol, PushgatewayEndpoint, PushgatewayGroup, RemoteWriteEndpoint,
    TargetType, TenantId,
};
use crate::tenancy::names::{is_dns_label, is_dns_subdomain, is_service_name};
use crate::tenancy::policy::{Effective, Services};
use crate::tenancy::resource::{
    OnReject as OnRejectWord, PrometheusTarget, Protocol as ProtocolWord, PushgatewayTarget, RemoteWrite,
    TargetKind,
};
use crate::tenancy::{Service, Surroundings};

/// The port of a Prometheus that names none.
const PROMETHEUS_PORT: i32 = 9090;
/// The port of a Pushgateway that names none.
const PUSHGATEWAY_PORT: i32 = 9091;
/// Pods one resource may write to. Each gets everything, so each multiplies the traffic.
const REPLICAS_MAX: i32 = 16;
/// Below a Prometheus' address.
const WRITE_PATH: [&str; 3] = ["api", "v1", "write"];

/// A checked target.
pub(super) struct Checked {
    pub(super) kind: TargetType,
    pub(super) endpoints: Vec<Endpoint>,
}

/// What all checks of a target need.
struct Check<'a> {
    id: &'a TenantId,
    policy: &'a Effective,
    around: &'a dyn Surroundings,
    findings: &'a mut Findings,
}

/// The chosen target's endpoints; `None` if there is none or if it has errors, which are reported.
pub(super) fn endpoints(
    id: &TenantId,
    remote_write: &RemoteWrite,
    policy: &Effective,
    around: &dyn Surroundings,
    enabled: bool,
    place: &Path,
    findings: &mut Findings,
) -> Option<Checked> {
    let Some(target) = &remote_write.target else {
        if enabled {
            let cure = "write target: {type: prometheus}, and its block";
            findings.refuse(place.key("target"), "is missing", cure);
        }
        return None;
    };
    let inside = place.key("target");
    let beside = [
        (TargetKind::Prometheus, remote_write.prometheus.is_some(), target.prometheus.is_some()),
        (TargetKind::Pushgateway, remote_write.pushgateway.is_some(), target.pushgateway.is_some()),
        (TargetKind::RemoteWrite, remote_write.remote_write.is_some(), target.remote_write.is_some()),
    ];
    for (kind, outer, inner) in beside {
        unambiguous(kind, target.kind, outer, inner, place, findings);
    }
    is_allowed(kind(target.kind), policy, &inside, findings);
    is_any_order_possible(remote_write, target.kind, place, findings);
    let at = |outer: bool| if outer { place } else { &inside }.key(block(target.kind));
    let mut check = Check { id, policy, around, findings };
    let endpoints = match target.kind {
        TargetKind::Prometheus => {
            let (block, outer) = either(&remote_write.prometheus, &target.prometheus)?;
            check.prometheus(block, &at(outer))
        }
        TargetKind::Pushgateway => {
            let (block, outer) = either(&remote_write.pushgateway, &target.pushgateway)?;
            check.pushgateway(block, &at(outer)).map(|endpoint| vec![Endpoint::Pushgateway(endpoint)])
        }
        TargetKind::RemoteWrite => {
            let (block, outer) = either(&remote_write.remote_write, &target.remote_write)?;
            let endpoint = receiver::endpoint(id, block, policy, around, &at(outer), check.findings);
            endpoint.map(|endpoint| vec![Endpoint::RemoteWrite(endpoint)])
        }
    }?;
    let endpoints = endpoints.into_iter().map(|endpoint| spoken_to(endpoint, remote_write));
    Some(Checked { kind: kind(target.kind), endpoints: endpoints.collect() })
}

/// How a receiver is spoken to, and what becomes of requests that it refuses, is the resource's to say.
fn spoken_to(mut endpoint: Endpoint, remote_write: &RemoteWrite) -> Endpoint {
    if let Endpoint::RemoteWrite(remote) = &mut endpoint {
        remote.on_reject = match remote_write.on_reject {
            None | Some(OnRejectWord::Bisect) => OnReject::Bisect,
            Some(OnRejectWord::Drop) => OnReject::Drop,
        };
        remote.order = match remote_write.out_of_order {
            None | Some(false) => Order::Ascending,
            Some(true) => Order::Any,
        };
        remote.protocol = match remote_write.protocol {
            None | Some(ProtocolWord::Auto) => Protocol::Auto,
            Some(ProtocolWord::V1) => Protocol::V1,
            Some(ProtocolWord::V2) => Protocol::V2,
        };
    }
    endpoint
}

/// A Pushgateway holds one value a series.
fn is_any_order_possible(
    remote_write: &RemoteWrite,
    kind: TargetKind,
    place: &Path,
    findings: &mut Findings,
) {
    if remote_write.out_of_order == Some(true) && kind == TargetKind::Pushgateway {
        let message = "does not belong to a Pushgateway, which holds the newest value alone";
        findings.refuse(place.key("outOfOrder"), message, "remove it");
    }
}

/// Where a group is that a resource of this name once pushed to, by the rules for one that asks for it now; `None` if it may not
/// push there.
pub(super) fn group(
    id: &TenantId,
    group: &PushgatewayGroup,
    policy: &Effective,
    around: &dyn Surroundings,
) -> Option<PushgatewayEndpoint> {
    let PushgatewayGroup { service, port, job } = group;
    let block = PushgatewayTarget {
        service_name: service.clone(),
        service_port: Some((*port).into()),
        job_name: job.clone(),
    };
    let mut findings = Findings::default();
    let endpoint = Check { id, policy, around, findings: &mut findings }.pushgateway(&block, &Path::root());
    endpoint.filter(|_| is_dns_label(&id.namespace) && !findings.is_fatal())
}

fn is_allowed(kind: TargetType, policy: &Effective, target: &Path, findings: &mut Findings) {
    if policy.targets.contains(&kind) {
        return;
    }
    let allowed: Vec<_> = policy.targets.iter().map(|kind| kind.as_str()).collect();
    let cure = match allowed.as_slice() {
        [] => "ask the operator to allow it".to_owned(),
        some => format!("write {}, or ask the operator to allow it", some.join(" or ")),
    };
    findings.forbid(target.key("type"), format!("the operator does not allow {kind} (targets.types)"), cure);
}

fn either<'b, T>(outer: &'b Option<T>, inner: &'b Option<T>) -> Option<(&'b T, bool)> {
    outer.as_ref().map(|block| (block, true)).or(inner.as_ref().map(|block| (block, false)))
}

/// The name of the block of a kind.
fn block(kind: TargetKind) -> &'static str {
    match kind {
        TargetKind::Prometheus => "prometheus",
        TargetKind::Pushgateway => "pushgateway",
        TargetKind::RemoteWrite => "remoteWrite",
    }
}

fn kind(kind: TargetKind) -> TargetType {
    match kind {
        TargetKind::Prometheus => TargetType::Prometheus,
        TargetKind::Pushgateway => TargetType::Pushgateway,
        TargetKind::RemoteWrite => TargetType::RemoteWrite,
    }
}

/// The chosen kind has its block once, the others have none.
fn unambiguous(
    of: TargetKind,
    chosen: TargetKind,
    outer: bool,
    inner: bool,
    place: &Path,
    findings: &mut Findings,
) {
    let (name, word) = (block(of), kind(chosen));
    let inside = place.key("target").key(name);
    if of == chosen {
        if outer && inner {
            let message = format!("the same block also stands at {}", place.key(name));
            findings.refuse(inside, message, "keep one of them");
        } else if !outer && !inner {
            let message = format!("is missing, and target.type is {word}");
            findings.refuse(place.key(name), message, format!("write {}", example(of)));
        }
    } else if outer || inner {
        let place = if outer { place.key(name) } else { inside };
        findings.refuse(
            place,
            format!("does not belong to target.type {word}"),
            "remove it, or change the type",
        );
    }
}

fn example(kind: TargetKind) -> &'static str {
    match kind {
        TargetKind::Prometheus => "prometheus: {serviceName: prometheus, servicePort: 9090}",
        TargetKind::Pushgateway => {
            "pushgateway: {serviceName: pushgateway, servicePort: 9091, jobName: my-job}"
        }
        TargetKind::RemoteWrite => "remoteWrite: {url: \"https://…/api/v1/write\"}",
    }
}

/// A Service, or one pod behind it.
struct Address<'a> {
    pod: Option<String>,
    service: &'a str,
    namespace: &'a str,
    port: i32,
}

/// As the operator's `endpoints` name it: `prometheus.webapp-team:9090`.
impl fmt::Display for Address<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(pod) = &self.pod {
            write!(f, "{pod}.")?;
        }
        write!(f, "{}.{}:{}", self.service, self.namespace, self.port)
    }
}

/// Where a Service is reached.
struct Resolved {
    url: Url,
    author: Author,
    dial: Option<IpAddr>,
}

impl Check<'_> {
    fn prometheus(&mut self, block: &PrometheusTarget, place: &Path) -> Option<Vec<Endpoint>> {
        let PrometheusTarget { service_name, service_port, replicas, stateful_set_name, target_namespace } =
            block;
        let service = self.service(service_name, place);
        let port = self.port(service_port.unwrap_or(PROMETHEUS_PORT), place);
        let namespace = self.namespace(target_namespace.as_deref(), place);
        let pods = self.pods(*replicas, stateful_set_name.as_deref(), place);
        let (service, port, namespace, pods) = (service?, port?, namespace?, pods?);
        let mut endpoints = Vec::with_capacity(pods.len());
        for pod in pods {
            let address = Address { pod, service, namespace: &namespace, port };
            let Resolved { mut url, author, dial } = self.resolve(&address, place)?;
            url.path_segments_mut().ok()?.pop_if_empty().extend(WRITE_PATH);
            let endpoint = RemoteWriteEndpoint { dial, ..RemoteWriteEndpoint::plain(url, author) };
            endpoints.push(Endpoint::RemoteWrite(endpoint));
        }
        Some(endpoints)
    }

    fn pushgateway(&mut self, block: &PushgatewayTarget, place: &Path) -> Option<PushgatewayEndpoint> {
        let PushgatewayTarget { service_name, service_port, job_name } = block;
        let service = self.service(service_name, place);
        let port = self.port(service_port.unwrap_or(PUSHGATEWAY_PORT), place);
        if job_name.is_empty() {
            let cure = "write the job that the group shall have";
            self.findings.refuse(place.key("jobName"), "is empty", cure);
        } else if job_name.contains(char::is_control) {
            // A URL loses some of them, and two names would be one group.
            let message = format!("{job_name:?} holds a control character");
            self.findings.refuse(place.key("jobName"), message, "write the job in one line of text");
        }
        let (service, port) = (service?, port?);
        let address = Address { pod: None, service, namespace: &self.id.namespace, port };
        let Resolved { url, author, dial } = self.resolve(&address, place)?;
        let group = PushgatewayGroup {
            service: service.to_owned(),
            port: u16::try_from(port).ok()?,
            job: job_name.clone(),
        };
        (!job_name.is_empty()).then_some(PushgatewayEndpoint { url, author, dial, group })
    }

    fn service<'s>(&mut self, name: &'s str, place: &Path) -> Option<&'s str> {
        if is_service_name(name) {
            return Some(name);
        }
        let cure = "write the Service's name alone, in lower case, as kubectl get services shows it";
        self.findings.refuse(place.key("serviceName"), format!("{name:?} is not a Service's name"), cure);
        None
    }

    fn port(&mut self, port: i32, place: &Path) -> Option<i32> {
        if (1..=65_535).contains(&port) {
            return Some(port);
        }
        let cure = "write a number from 1 to 65535";
        self.findings.refuse(place.key("servicePort"), format!("{port} is not a port"), cure);
        None
    }

    fn namespace(&mut self, named: Option<&str>, place: &Path) -> Option<String> {
        let own = &self.id.namespace;
        let Some(named) = named.filter(|n| n != own) else { return Some(own.clone()) };
        let place = place.key("targetNamespace");
        if !is_dns_label(named) {
            let cure = "use lower-case letters, digits and - (at most 63)";
            self.findings.refuse(place, format!("{named:?} is not a namespace"), cure);
            return None;
        }
        if !self.policy.may_send_to(named, own) {
            let cure = format!("remove it to send to {own}, or ask the operator to allow it");
            let message = format!("the operator does not allow {named:?} (limits.targetNamespaces)");
            self.findings.forbid(place, message, cure);
            return None;
        }
        Some(named.to_owned())
    }

    /// The pods to write to; one `None` is the Service itself.
    fn pods(
        &mut self,
        replicas: Option<i32>,
        set: Option<&str>,
        place: &Path,
    ) -> Option<Vec<Option<String>>> {
        let replicas = replicas.unwrap_or(0);
        if !(0..=REPLICAS_MAX).contains(&replicas) {
            let cure = format!("write a number from 1 to {REPLICAS_MAX}");
            self.findings.refuse(
                place.key("replicas"),
                format!("{replicas} replicas cannot be served"),
                cure,
            );
            return None;
        }
        let place_of_set = place.key("statefulSetName");
        match set {
            Some(name) if !is_dns_subdomain(name) => {
                let cure = "write its name in lower case, as kubectl get statefulsets shows it";
                self.findings.refuse(place_of_set, format!("{name:?} is not a StatefulSet's name"), cure);
                None
            }
            Some(name) if replicas > 0 => Some((0..replicas).map(|i| Some(format!("{name}-{i}"))).collect()),
            Some(_) => {
                let cure = "write replicas: 1 or more, or remove it";
                self.findings.warn(place_of_set, "has no effect without replicas", cure);
                Some(vec![None])
            }
            None if replicas > 0 => {
                let cure = "write the StatefulSet whose pods are to be written to, or remove replicas";
                self.findings.refuse(place_of_set, "is missing, and replicas needs it", cure);
                None
            }
            None => Some(vec![None]),
        }
    }

    /// A Service's address, and who answers for it: the cluster's names lead where tenants' Services lead.
    fn resolve(&mut self, address: &Address<'_>, place: &Path) -> Option<Resolved> {
        let (Services::ClusterDns(map) | Services::Map(map)) = &self.policy.services;
        if let Some(url) = map.get(&address.to_string()) {
            return Some(Resolved { url: url.clone(), author: Author::Operator, dial: None });
        }
        if matches!(self.policy.services, Services::Map(_)) {
            let cure = format!("add \"{address}\": \"http://…\" to endpoints in the configuration");
            let message = format!("the Service {address} has no address outside of a cluster");
            self.findings.refuse(place.key("serviceName"), message, cure);
            return None;
        }
        let dial = self.dialled(address, place)?;
        let Address { pod, service, namespace, port } = address;
        let pod = pod.as_ref().map(|pod| format!("{pod}.")).unwrap_or_default();
        let url = Url::parse(&format!("http://{pod}{service}.{namespace}.svc.cluster.local:{port}"));
        let url = url.map_err(|e| self.findings.refuse(place.clone(), e.to_string(), "")).ok();
        Some(Resolved { url: url?, author: Author::Cluster, dial })
    }

    /// Which address to dial, if the Service has one of its own. An ExternalName Service may lead anywhere, at any
    /// moment, so it is none for us.
    fn dialled(&mut self, address: &Address<'_>, place: &Path) -> Option<Option<IpAddr>> {
        let Address { pod, service, namespace, port } = address;
        let place = place.key("serviceName");
        match self.around.service(namespace, service) {
            Service::Unknown | Service::Headless => Some(None),
            Service::Cluster { ip, ports } if pod.is_none() && ports.contains(port) => Some(Some(ip)),
            Service::Cluster { ports, .. } if pod.is_none() => {
                let ports: Vec<String> = ports.iter().map(i32::to_string).collect();
                let message = format!("the Service {service} in {namespace} has no port {port}");
                self.findings.absent(place, message, format!("write servicePort: {}", ports.join(" or ")));
                None
            }
            Service::Cluster { .. } => {
                let message = format!(
                    "the Service {service} in {namespace} is not headless, so its pods have no names"
                );
                let cure = "name the StatefulSet's headless Service (clusterIP: None), or remove replicas";
                self.findings.refuse(place, message, cure);
                None
            }
            Service::External => {
                let message = format!(
                    "the Service {service} in {namespace} is an ExternalName, which may lead anywhere"
                );
                self.findings.forbid(place, message, "name a Service with pods behind it");
                None
            }
            Service::Missing => {
                let message = format!("the Service {service} does not exist in the namespace {namespace}");
                let cure = "create it, or write the name that kubectl get services shows";
                self.findings.absent(place, message, cure);
                None
            }
        }
    }
}
