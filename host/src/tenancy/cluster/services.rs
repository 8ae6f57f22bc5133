//! Services: what the Services are that resources name as their targets.
//!
//! In: Services as the cluster shows them. Out: what a name leads to. Never: one of the kinds that lead anywhere.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::Service as Object;
use kube::ResourceExt as _;

use crate::tenancy::Service;

/// Namespace and name of a Service.
pub(super) type ServiceName = (String, String);

/// What a Service of the cluster is.
pub(super) fn of(object: Object) -> Option<(ServiceName, Service)> {
    let name = (object.namespace()?, object.name_any());
    let spec = object.spec.unwrap_or_default();
    if spec.type_.as_deref() == Some("ExternalName") {
        return Some((name, Service::External));
    }
    let ip = spec.cluster_ip.as_deref().and_then(|ip| ip.parse::<IpAddr>().ok());
    let service = match ip {
        Some(ip) => {
            Service::Cluster { ip, ports: spec.ports.iter().flatten().map(|port| port.port).collect() }
        }
        None => Service::Headless,
    };
    Some((name, service))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn service(spec: serde_json::Value) -> Service {
        let metadata = json!({"name": "prometheus", "namespace": "a"});
        let (name, service) =
            of(serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()).unwrap();
        assert_eq!(name, ("a".to_owned(), "prometheus".to_owned()));
        service
    }

    #[test]
    fn each_kind_of_service_is_told_from_the_others() {
        let ports = json!([{"port": 9090}, {"port": 10901}]);
        let own = service(json!({"type": "ClusterIP", "clusterIP": "10.96.0.7", "ports": ports}));
        assert_eq!(own, Service::Cluster { ip: "10.96.0.7".parse().unwrap(), ports: vec![9090, 10901] });
        assert_eq!(service(json!({"clusterIP": "None", "ports": [{"port": 9090}]})), Service::Headless);
        let external = json!({"type": "ExternalName", "externalName": "kubernetes.default.svc"});
        assert_eq!(service(external), Service::External);
    }
}
