//! From objects to sources, as tables; and what becomes of sources when objects change.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::{Value, json};

use super::found::Mapped;
use super::objects::Object;
use super::registry::{Change, Refreshed, Registry};
use super::*;
use crate::model::{Access, Audience, Credentials, Labels};

fn block(kind: Kind) -> Block {
    Block {
        name: "infra".into(),
        kind,
        namespaces: None,
        labels: Selector::default(),
        annotations: Selector::default(),
        port: None,
        scheme: Scheme::Http,
        path: "/".into(),
        scheme_annotation: "prometheus.io/scheme".into(),
        path_annotation: "prometheus.io/path".into(),
        source_labels: Labels::default(),
        labels_from: BTreeMap::new(),
        audience_label: None,
        replica_label: None,
        keep_absent: Duration::from_secs(900),
        external_labels: Labels::default(),
        lag: Duration::from_secs(15),
        settle: Duration::from_secs(120),
        timeout: Duration::from_secs(10),
        series_max: 1_000,
        access: Access::default(),
        compression: Default::default(),
    }
}

fn merged(mut base: Value, more: Value) -> Value {
    fn merge(base: &mut Value, more: Value) {
        match (base, more) {
            (Value::Object(base), Value::Object(more)) => {
                for (key, value) in more {
                    merge(base.entry(key).or_insert(Value::Null), value);
                }
            }
            (base, more) => *base = more,
        }
    }
    merge(&mut base, more);
    base
}

fn map(block: &Block, object: Value) -> Vec<Mapped> {
    match block.kind {
        Kind::Service => serde_json::from_value::<Service>(object).unwrap().map(block),
        Kind::Pod => serde_json::from_value::<Pod>(object).unwrap().map(block),
        Kind::EndpointSlice => serde_json::from_value::<EndpointSlice>(object).unwrap().map(block),
    }
}

/// `name address [group] [presence]`, or why not.
fn said(mapped: &[Mapped]) -> Vec<String> {
    let one = |mapped: &Mapped| match mapped {
        Ok(found) => {
            let source = &found.source;
            let group = source.replica_group.as_ref().map(|group| format!(" in {group}")).unwrap_or_default();
            let presence = match &found.presence {
                Presence::Ready => String::new(),
                Presence::NotReady(why) | Presence::Gone(why) => format!(": {why}"),
            };
            format!("{} {}{group}{presence}", source.name, source.url)
        }
        Err(skipped) => format!("{} {}", skipped.name, skipped.why),
    };
    mapped.iter().map(one).collect()
}

fn service(more: Value) -> Value {
    let base = json!({
        "metadata": { "name": "prom", "namespace": "mon", "labels": {}, "annotations": {} },
        "spec": { "ports": [{ "name": "web", "port": 9090 }] },
    });
    merged(base, more)
}

fn pod(name: &str, more: Value) -> Value {
    let base = json!({
        "metadata": { "name": name, "namespace": "mon", "labels": {}, "annotations": {} },
        "spec": { "nodeName": "n1", "containers": [{ "name": "p", "ports": [{ "name": "web", "containerPort": 9090 }] }] },
        "status": { "phase": "Running", "podIP": "10.0.0.1", "conditions": [{ "type": "Ready", "status": "True" }] },
    });
    merged(base, more)
}

fn owned(kind: &str, owner: &str) -> Value {
    let owner =
        json!([{ "apiVersion": "apps/v1", "kind": kind, "name": owner, "uid": "u", "controller": true }]);
    json!({ "metadata": { "ownerReferences": owner } })
}

fn slice(family: &str, endpoints: Value) -> Value {
    json!({
        "metadata": { "name": "prom-abc", "namespace": "mon", "labels": { "kubernetes.io/service-name": "prom" } },
        "addressType": family,
        "ports": [{ "name": "web", "port": 9090, "protocol": "TCP" }],
        "endpoints": endpoints,
    })
}

fn endpoint(address: &str, pod: &str) -> Value {
    json!({ "addresses": [address], "conditions": { "ready": true }, "targetRef": { "kind": "Pod", "name": pod } })
}

fn check(block: &Block, rows: Vec<(Value, &[&str])>) {
    for (object, expected) in rows {
        assert_eq!(said(&map(block, object.clone())), expected, "{object:#}");
    }
}

#[test]
fn a_service_is_a_source_by_its_dns_name() {
    let two = json!({ "spec": { "ports": [{ "name": "web", "port": 80 }, { "name": "grpc", "port": 81 }] } });
    let annotated = |key: &str, value: &str| json!({ "metadata": { "annotations": { key: value } } });
    check(
        &block(Kind::Service),
        vec![
            (service(json!({})), &["infra/mon/prom http://prom.mon.svc:9090/"]),
            (service(two), &["infra/mon/prom has several ports; name one of them in the block"]),
            (
                service(json!({ "spec": { "ports": [] } })),
                &["infra/mon/prom has no port; name one in the block"],
            ),
            (
                service(json!({ "spec": { "type": "ExternalName", "externalName": "169.254.169.254" } })),
                &["infra/mon/prom is an ExternalName: write its address under sources, if it is meant"],
            ),
            (
                service(annotated("prometheus.io/scheme", "https")),
                &["infra/mon/prom https://prom.mon.svc:9090/"],
            ),
            (
                service(annotated("prometheus.io/scheme", "ftp")),
                &["infra/mon/prom annotation prometheus.io/scheme is \"ftp\"; write http or https"],
            ),
            (
                service(annotated("prometheus.io/path", "/prom/")),
                &["infra/mon/prom http://prom.mon.svc:9090/prom/"],
            ),
            (
                service(annotated("prometheus.io/path", "/prom/metrics")),
                &["infra/mon/prom http://prom.mon.svc:9090/prom"],
            ),
            (
                service(annotated("prometheus.io/path", "@evil:1/")),
                &[
                    "infra/mon/prom annotation prometheus.io/path is \"@evil:1/\"; write a path that begins with /",
                ],
            ),
            (
                service(annotated("prometheus.io/path", "//evil/x?y#z")),
                &["infra/mon/prom http://prom.mon.svc:9090//evil/x%3Fy%23z"],
            ),
        ],
    );
}

#[test]
fn a_port_is_found_by_name_or_number() {
    let ports =
        json!({ "spec": { "ports": [{ "name": "web", "port": 80 }, { "name": "grpc", "port": 81 }] } });
    for (port, expected) in [
        (Port::Name("grpc".into()), "infra/mon/prom http://prom.mon.svc:81/"),
        (Port::Number(80), "infra/mon/prom http://prom.mon.svc/"),
        (Port::Number(82), "infra/mon/prom has no port 82"),
        (Port::Name("http".into()), "infra/mon/prom has no port http"),
    ] {
        let block = Block { port: Some(port), ..block(Kind::Service) };
        check(&block, vec![(service(ports.clone()), &[expected])]);
    }
    // A pod need not declare its ports.
    let numbered = Block { port: Some(Port::Number(1234)), ..block(Kind::Pod) };
    check(&numbered, vec![(pod("p", json!({})), &["infra/mon/p http://10.0.0.1:1234/"])]);
}

#[test]
fn a_pod_is_a_source_while_it_has_an_address() {
    let condition = json!([{ "type": "Ready", "status": "False" }]);
    check(
        &block(Kind::Pod),
        vec![
            (pod("p", json!({})), &["infra/mon/p http://10.0.0.1:9090/"]),
            (pod("p", json!({ "status": { "podIP": "fd00::1" } })), &["infra/mon/p http://[fd00::1]:9090/"]),
            (pod("p", json!({ "status": { "podIP": "" } })), &[]),
            (pod("p", json!({ "status": { "podIP": null, "phase": "Pending" } })), &[]),
            (pod("p", json!({ "status": { "phase": "Succeeded" } })), &[]),
            (pod("p", json!({ "status": { "phase": "Failed" } })), &[]),
            (
                pod("p", json!({ "status": { "conditions": condition } })),
                &["infra/mon/p http://10.0.0.1:9090/: the pod is not ready"],
            ),
            (
                pod("p", json!({ "status": { "phase": "Pending" } })),
                &["infra/mon/p http://10.0.0.1:9090/: the pod is Pending"],
            ),
            (
                pod("p", json!({ "metadata": { "deletionTimestamp": "2026-01-01T00:00:00Z" } })),
                &["infra/mon/p http://10.0.0.1:9090/: the pod is being deleted"],
            ),
        ],
    );
}

#[test]
fn names_outlive_restarts_by_what_made_the_pod() {
    let deployed = json!({ "metadata": { "labels": { "pod-template-hash": "5d4f8c7b9" } } });
    check(
        &block(Kind::Pod),
        vec![
            (pod("prom-0", owned("StatefulSet", "prom")), &["infra/mon/prom-0 http://10.0.0.1:9090/"]),
            (
                pod("prom-5d4f8c7b9-x2vqz", merged(owned("ReplicaSet", "prom-5d4f8c7b9"), deployed)),
                &["infra/mon/prom-5d4f8c7b9-x2vqz http://10.0.0.1:9090/ in infra/mon/prom-*"],
            ),
            (pod("agent-x2vqz", owned("DaemonSet", "agent")), &["infra/mon/agent@n1 http://10.0.0.1:9090/"]),
        ],
    );
}

#[test]
fn replicas_are_told_by_the_replica_label() {
    let with = |labels: Value| json!({ "metadata": { "labels": labels } });
    let set = Block { replica_label: Some(POD_NAME_LABEL.into()), ..block(Kind::Pod) };
    let numbered = |n: u8, set: &str| {
        let name = format!("{set}-{n}");
        pod(&name, merged(owned("StatefulSet", set), with(json!({ POD_NAME_LABEL: name }))))
    };
    check(
        &set,
        vec![
            (numbered(0, "prom"), &["infra/mon/prom-0 http://10.0.0.1:9090/ in infra/mon/prom-*"]),
            (numbered(1, "prom"), &["infra/mon/prom-1 http://10.0.0.1:9090/ in infra/mon/prom-*"]),
            (numbered(1, "other"), &["infra/mon/other-1 http://10.0.0.1:9090/ in infra/mon/other-*"]),
            (pod("lone", json!({})), &["infra/mon/lone http://10.0.0.1:9090/"]),
        ],
    );
    let labelled = Block {
        replica_label: Some("replica".into()),
        labels_from: BTreeMap::from([("cluster".into(), "cluster".into())]),
        ..block(Kind::Service)
    };
    check(
        &labelled,
        vec![
            (
                service(with(json!({ "replica": "a", "cluster": "eu" }))),
                &["infra/mon/prom http://prom.mon.svc:9090/ in infra/mon/*{cluster=eu}"],
            ),
            (
                service(with(json!({ "replica": "b" }))),
                &["infra/mon/prom http://prom.mon.svc:9090/ in infra/mon/*"],
            ),
            (service(with(json!({ "cluster": "eu" }))), &["infra/mon/prom http://prom.mon.svc:9090/"]),
        ],
    );
}

#[test]
fn every_endpoint_is_a_source() {
    let slices = block(Kind::EndpointSlice);
    let unready = json!({ "addresses": ["10.0.0.2"], "conditions": { "ready": false }, "targetRef": { "kind": "Pod", "name": "p-1" } });
    let ending = json!({ "addresses": ["10.0.0.3"], "conditions": { "ready": false, "serving": true, "terminating": true }, "hostname": "h" });
    check(
        &slices,
        vec![
            (
                slice(
                    "IPv4",
                    json!([endpoint("10.0.0.1", "p-0"), unready, ending, { "addresses": ["10.0.0.4"] }]),
                ),
                &[
                    "infra/mon/p-0 http://10.0.0.1:9090/",
                    "infra/mon/p-1 http://10.0.0.2:9090/: the endpoint is not ready",
                    "infra/mon/prom/h http://10.0.0.3:9090/: the endpoint is terminating",
                    "infra/mon/prom/10.0.0.4 http://10.0.0.4:9090/",
                ],
            ),
            (slice("IPv6", json!([endpoint("fd00::2", "p-0")])), &["infra/mon/p-0 http://[fd00::2]:9090/"]),
            (
                slice("IPv4", json!([endpoint("10.0.0.1", "d-5d4f8c7b9-24569")])),
                &["infra/mon/d-5d4f8c7b9-24569 http://10.0.0.1:9090/ in infra/mon/prom-*"],
            ),
            (
                slice("FQDN", json!([{ "addresses": ["evil.example"] }])),
                &["infra/mon/prom holds names, not addresses"],
            ),
            (merged(slice("IPv4", json!([])), json!({ "ports": null })), &[]),
        ],
    );
    let replicas = Block { replica_label: Some(POD_INDEX_LABEL.into()), ..slices };
    check(
        &replicas,
        vec![(
            slice("IPv4", json!([endpoint("10.0.0.1", "p-0"), endpoint("10.0.0.2", "p-1")])),
            &[
                "infra/mon/p-0 http://10.0.0.1:9090/ in infra/mon/p-*",
                "infra/mon/p-1 http://10.0.0.2:9090/ in infra/mon/p-*",
            ],
        )],
    );
}

#[test]
fn labels_are_the_blocks_and_over_them_the_objects() {
    let block = Block {
        source_labels: Labels::from_pairs([("cluster", "eu"), ("team", "none")]).unwrap(),
        labels_from: BTreeMap::from([("team".into(), "x.io/team".into())]),
        audience_label: Some("team".into()),
        ..block(Kind::Service)
    };
    let of = |labels: Value| {
        let mapped = map(&block, service(json!({ "metadata": { "labels": labels } }))).remove(0);
        let source = mapped.unwrap_or_else(|skipped| panic!("{}", skipped.why)).source;
        (source.labels.to_string(), source.audience)
    };
    let named = |name: &str| Audience::Named(name.into());
    assert_eq!(of(json!({})), (r#"{cluster="eu",team="none"}"#.into(), named("none")));
    assert_eq!(of(json!({ "x.io/team": "web" })), (r#"{cluster="eu",team="web"}"#.into(), named("web")));
    let unlabelled = Block { source_labels: Labels::default(), ..block };
    let mapped = map(&unlabelled, service(json!({}))).remove(0);
    assert_eq!(mapped.map(|found| found.source.audience).ok(), Some(Audience::Nobody));
}

#[test]
fn an_annotation_does_not_take_credentials_out_of_tls() {
    let credentials = Some(Credentials::Bearer { token_file: "t".into() });
    let access = Access { credentials, ..Access::default() };
    let block = Block { scheme: Scheme::Https, access, ..block(Kind::Service) };
    let http = json!({ "metadata": { "annotations": { "prometheus.io/scheme": "http" } } });
    check(
        &block,
        vec![(
            service(http),
            &[
                "infra/mon/prom annotation prometheus.io/scheme says http, but the block's credentials are for https",
            ],
        )],
    );
}

/// One block with one watch, and a clock.
struct Stage {
    registry: Registry,
    block: Block,
    now: Instant,
}

impl Stage {
    fn new(block: Block) -> Stage {
        let registry = Registry::new([(Arc::new(block.clone()), vec!["here".to_owned()])]);
        Stage { registry, block, now: Instant::now() }
    }

    fn tell(&mut self, change: Change) {
        self.registry.apply((0, 0), change);
    }

    fn list(&mut self, objects: &[(&str, Value)]) {
        self.tell(Change::Listing);
        for (key, object) in objects {
            self.tell(Change::Listed((*key).to_owned(), map(&self.block, object.clone())));
        }
        self.tell(Change::ListEnded);
    }

    fn after(&mut self, seconds: u64) -> Refreshed {
        self.now += Duration::from_secs(seconds);
        self.registry.refresh(self.now)
    }

    fn sources(&mut self, seconds: u64) -> Vec<String> {
        let one = |(source, presence): &(Arc<Source>, Presence)| {
            let mark = match presence {
                Presence::Ready => "",
                Presence::NotReady(_) => " not ready",
                Presence::Gone(_) => " gone",
            };
            format!("{} {}{mark}", source.name, source.url.host_str().unwrap_or_default())
        };
        self.after(seconds).sources.iter().map(one).collect()
    }
}

fn at(ip: &str) -> Value {
    pod("p-0", merged(owned("StatefulSet", "p"), json!({ "status": { "podIP": ip } })))
}

#[test]
fn a_source_outlives_its_pod_and_moves_with_it() {
    let mut stage = Stage::new(block(Kind::Pod));
    stage.list(&[("mon/p-0", at("10.0.0.1"))]);
    assert_eq!(stage.sources(0), ["infra/mon/p-0 10.0.0.1"]);
    stage.tell(Change::Deleted("mon/p-0".into()));
    assert_eq!(stage.sources(1), ["infra/mon/p-0 10.0.0.1 gone"]);
    let mapped = map(&stage.block, at("10.0.0.2"));
    stage.tell(Change::Applied("mon/p-0".into(), mapped));
    assert_eq!(stage.sources(800), ["infra/mon/p-0 10.0.0.2"]);
    // Its time begins anew.
    stage.tell(Change::Deleted("mon/p-0".into()));
    assert_eq!(stage.sources(0), ["infra/mon/p-0 10.0.0.2 gone"]);
    assert_eq!(stage.registry.next_expiry(), Some(stage.now + Duration::from_secs(900)));
    assert_eq!(stage.sources(899), ["infra/mon/p-0 10.0.0.2 gone"]);
    assert_eq!(stage.sources(1), [""; 0]);
    assert_eq!(stage.registry.next_expiry(), None);
}

#[test]
fn a_source_that_is_as_it_was_is_the_same_one() {
    let mut stage = Stage::new(block(Kind::Pod));
    stage.list(&[("mon/p-0", at("10.0.0.1")), ("mon/p-1", pod("p-1", json!({})))]);
    let before = stage.after(0).sources;
    let unready = json!({ "metadata": { "labels": { "x": "y" } }, "status": { "conditions": [] } });
    stage.list(&[
        ("mon/p-0", merged(at("10.0.0.1"), unready)),
        ("mon/p-1", pod("p-1", json!({ "status": { "podIP": "10.0.0.9" } }))),
    ]);
    let after = stage.after(0).sources;
    assert!(Arc::ptr_eq(&before[0].0, &after[0].0));
    assert_ne!(before[0].1, after[0].1);
    assert!(!Arc::ptr_eq(&before[1].0, &after[1].0));
}

#[test]
fn neither_an_error_nor_half_a_list_takes_a_source_away() {
    let mut stage = Stage::new(block(Kind::Pod));
    assert!(!stage.registry.is_complete());
    stage.list(&[("mon/p-0", at("10.0.0.1"))]);
    assert!(stage.registry.is_complete());
    stage.tell(Change::Failed("refused".into()));
    let refreshed = stage.after(0);
    assert_eq!(refreshed.problems, BTreeMap::from([("here".into(), "refused".into())]));
    assert_eq!(stage.sources(0), ["infra/mon/p-0 10.0.0.1"]);
    stage.tell(Change::Listing);
    assert_eq!(stage.sources(0), ["infra/mon/p-0 10.0.0.1"]);
    assert_eq!(stage.after(3600).problems.len(), 1, "neither a list that has begun nor silence is a success");
    stage.tell(Change::ListEnded);
    assert_eq!(stage.after(0).problems, BTreeMap::new());
    assert_eq!(stage.sources(0), ["infra/mon/p-0 10.0.0.1 gone"]);
}

#[test]
fn an_error_stands_until_something_went_well() {
    let mapped = || map(&block(Kind::Pod), at("10.0.0.1"));
    for success in [
        Change::ListEnded,
        Change::Watching,
        Change::Applied("mon/p-0".into(), mapped()),
        Change::Deleted("mon/p-0".into()),
    ] {
        let mut stage = Stage::new(block(Kind::Pod));
        stage.list(&[("mon/p-0", at("10.0.0.1"))]);
        for failure in ["refused", "still refused"] {
            stage.tell(Change::Failed(failure.into()));
            assert_eq!(stage.after(600).problems, BTreeMap::from([("here".into(), failure.into())]));
        }
        stage.tell(success);
        assert_eq!(stage.after(0).problems, BTreeMap::new());
    }
}

#[test]
fn an_api_server_that_has_not_answered_is_a_problem() {
    let mut stage = Stage::new(block(Kind::Pod));
    stage.tell(Change::Listing);
    assert_eq!(
        stage.after(10).problems,
        BTreeMap::from([("here".into(), "the API server has not listed what is there yet".into())])
    );
    stage.tell(Change::ListEnded);
    assert_eq!(stage.after(0).problems, BTreeMap::new());
}

/// Somebody made a mistake in an object of a source that was well.
#[test]
fn a_source_whose_object_cannot_be_used_any_more_says_why_and_waits() {
    let block = Block { port: Some(Port::Name("web".into())), ..block(Kind::Pod) };
    let renamed = json!({ "spec": { "containers": [{ "name": "p", "ports": [{ "name": "http", "containerPort": 9090 }] }] } });
    let ftp = json!({ "metadata": { "annotations": { "prometheus.io/scheme": "ftp" } } });
    for (mistake, why) in [
        (renamed, "has no port web"),
        (ftp, "annotation prometheus.io/scheme is \"ftp\"; write http or https"),
    ] {
        let mut stage = Stage::new(block.clone());
        stage.list(&[("mon/p-0", at("10.0.0.1"))]);
        stage.after(0);
        let broken = map(&stage.block, merged(at("10.0.0.1"), mistake));
        stage.tell(Change::Applied("mon/p-0".into(), broken));
        let Refreshed { sources, problems } = stage.after(0);
        assert_eq!(sources[0].1, Presence::Gone(format!("its object cannot be used: {why}")));
        assert_eq!(problems, BTreeMap::from([("infra/mon/p-0".into(), why.into())]));
        // Whoever wrote it may take longer to mend it than a pod takes to move.
        assert_eq!(stage.sources(3600), ["infra/mon/p-0 10.0.0.1 gone"]);
        let mended = map(&stage.block, at("10.0.0.1"));
        stage.tell(Change::Applied("mon/p-0".into(), mended));
        assert_eq!(stage.sources(0), ["infra/mon/p-0 10.0.0.1"]);
        // Its time begins when it is gone, not when it was broken.
        stage.tell(Change::Deleted("mon/p-0".into()));
        assert_eq!(stage.sources(0), ["infra/mon/p-0 10.0.0.1 gone"]);
        assert_eq!(stage.registry.next_expiry(), Some(stage.now + Duration::from_secs(900)));
    }
}

#[test]
fn a_slice_without_the_port_says_so_of_each_endpoint() {
    let block = Block { port: Some(Port::Name("http".into())), ..block(Kind::EndpointSlice) };
    let two = slice("IPv4", json!([endpoint("10.0.0.1", "p-0"), endpoint("10.0.0.2", "p-1")]));
    check(&block, vec![(two, &["infra/mon/p-0 has no port http", "infra/mon/p-1 has no port http"])]);
}

#[test]
fn a_server_in_several_slices_is_one_source_by_its_best_address() {
    let mut stage = Stage::new(block(Kind::EndpointSlice));
    let six = |endpoints| slice("IPv6", endpoints);
    let four = |endpoints| slice("IPv4", endpoints);
    stage.list(&[
        ("mon/a", six(json!([endpoint("fd00::1", "p-0"), { "addresses": ["fd00::9"] }]))),
        ("mon/b", four(json!([endpoint("10.0.0.1", "p-0"), { "addresses": ["10.0.0.9"] }]))),
        ("mon/c", four(json!([endpoint("10.0.0.1", "p-0")]))),
        ("mon/d", six(json!([endpoint("fd00::2", "p-1")]))),
    ]);
    assert_eq!(
        stage.sources(0),
        ["infra/mon/p-0 10.0.0.1", "infra/mon/p-1 [fd00::2]", "infra/mon/prom/10.0.0.9 10.0.0.9"]
    );
}

#[test]
fn a_selector_that_takes_too_much_is_bounded_and_named() {
    let mut stage = Stage::new(block(Kind::Pod));
    let names: Vec<String> = (0..SOURCES_PER_BLOCK_MAX + 5).map(|n| format!("p{n:04}")).collect();
    let objects: Vec<_> = names.iter().map(|name| (name.as_str(), pod(name, json!({})))).collect();
    stage.list(&objects);
    let refreshed = stage.after(0);
    assert_eq!(refreshed.sources.len(), SOURCES_PER_BLOCK_MAX);
    assert_eq!(
        refreshed.problems["discovery block infra"],
        "finds more than 500 servers: narrow its selector"
    );
}

/// An API server that says what it is told to: lists, and watches that never end.
type Script = Arc<dyn Fn(&str) -> (u16, Value) + Send + Sync>;

fn client(script: Script) -> kube::Client {
    use kube::client::Body;
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let script = script.clone();
        async move {
            let uri = request.uri().to_string();
            if uri.contains("watch=true") {
                std::future::pending::<()>().await;
            }
            let (status, body) = script(&uri);
            let answer =
                http::Response::builder().status(status).body(Body::from(body.to_string().into_bytes()));
            Ok::<_, std::convert::Infallible>(answer.unwrap())
        }
    });
    kube::Client::new(service, "default")
}

async fn first_found(blocks: Vec<Block>, script: Script) -> Found {
    let (sender, mut receiver) = tokio::sync::mpsc::channel(10);
    let stop = CancellationToken::new();
    let publish = move |found| _ = sender.try_send(found);
    let running = tokio::spawn(run(client(script), blocks, publish, stop.clone()));
    let found = receiver.recv().await.unwrap();
    stop.cancel();
    running.await.unwrap();
    found
}

#[tokio::test(start_paused = true)]
async fn what_the_api_server_lists_is_published_when_every_list_has_ended() {
    let namespaces = Some(["mon", "edge"].map(str::to_owned).into());
    let selector = Selector::parse("app=prom").unwrap();
    let annotations = Selector::parse("scrape=true").unwrap();
    let block = Block { namespaces, labels: selector, annotations, ..block(Kind::Pod) };
    let chosen = json!({ "metadata": { "annotations": { "scrape": "true" } } });
    let script = Arc::new(move |uri: &str| {
        assert!(uri.contains("labelSelector=app%3Dprom"), "{uri}");
        let items = match uri.starts_with("/api/v1/namespaces/mon/pods?") {
            true => vec![pod("p-0", chosen.clone()), pod("p-1", json!({}))],
            false => vec![],
        };
        (
            200,
            json!({ "kind": "PodList", "apiVersion": "v1", "metadata": { "resourceVersion": "5" }, "items": items }),
        )
    });
    let Found { sources, problems } = first_found(vec![block], script).await;
    let names: Vec<_> = sources.iter().map(|(source, _)| source.name.as_str()).collect();
    assert_eq!((names, problems), (vec!["infra/mon/p-0"], BTreeMap::new()));
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_forbids_holds_up_the_others_for_a_while_and_is_named() {
    let script = Arc::new(|_: &str| {
        let status = json!({
            "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403,
            "message": "pods is forbidden: User \"sluice\" cannot list resource \"pods\"",
        });
        (403, status)
    });
    let began = Instant::now();
    let Found { sources, problems } = first_found(vec![block(Kind::Pod)], script).await;
    assert_eq!(began.elapsed().as_secs(), FIRST_LIST_PATIENCE.as_secs());
    assert_eq!(sources, []);
    assert_eq!(
        problems["discovery block infra in all namespaces"],
        "pods is forbidden: User \"sluice\" cannot list resource \"pods\"; allow our ServiceAccount to list and watch pods there"
    );
}

/// A list that is answered, and watches that are: first with errors, then by being taken without a word.
fn client_with_a_break(watches_refused: usize) -> kube::Client {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::body::Body;
    let list =
        json!({ "kind": "PodList", "apiVersion": "v1", "metadata": { "resourceVersion": "5" }, "items": [] });
    let broken = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 500, "message": "etcd is away",
    });
    let watches = AtomicUsize::new(0);
    let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
        let is_watch = request.uri().query().is_some_and(|query| query.contains("watch=true"));
        let silence = futures::stream::pending::<Result<bytes::Bytes, std::io::Error>>();
        let (status, body) = match is_watch {
            false => (200, Body::from(list.to_string())),
            true if watches.fetch_add(1, Ordering::Relaxed) < watches_refused => {
                (500, Body::from(broken.to_string()))
            }
            true => (200, Body::from_stream(silence)),
        };
        let answer = http::Response::builder().status(status).body(body).unwrap();
        std::future::ready(Ok::<_, std::convert::Infallible>(answer))
    });
    kube::Client::new(service, "default")
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_taken_again_ends_its_error_though_nothing_changes() {
    let changes = watch::changes(&client_with_a_break(2), &Arc::new(block(Kind::Pod)), None);
    let told = tokio::time::timeout(Duration::from_secs(600), changes.take(5).collect::<Vec<_>>());
    let told = told.await.expect("the watch was taken");
    let failed =
        || Change::Failed("pods cannot be watched: etcd is away; what is known of them stays".into());
    assert_eq!(told, [Change::Listing, Change::ListEnded, failed(), failed(), Change::Watching]);
}
