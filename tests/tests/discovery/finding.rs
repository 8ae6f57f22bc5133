//! Finding: which objects are sources, by which address, and for whom.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sluice_tests::series::LabelSet;
use sluice_tests::servers::{Pod, Setup};
use sluice_tests::wait::eventually;

use super::world::{MON, Server, World, problems, shows, targets, text};

/// `labels` and `annotations` of an object.
fn marked(labels: Value, annotations: Value) -> Value {
    json!({ "metadata": { "labels": labels, "annotations": annotations } })
}

fn names(world: &World) -> BTreeSet<String> {
    world.receiver.samples().keys().map(|series| series.name().to_owned()).collect()
}

#[tokio::test]
async fn what_the_blocks_select_is_asked_and_nothing_else() {
    let world = World::new().await;
    let server = async |name: &str| Server::with(name, 1).await;
    let (by_name, by_number, by_slice, fixed) = (
        server("m_by_name").await,
        server("m_by_number").await,
        server("m_by_slice").await,
        server("m_fixed").await,
    );
    let never = server("m_never").await;
    let (prometheus, scrape) = (json!({ "app": "prometheus", "team": "web" }), json!({ "scrape": "true" }));
    let path = json!({ "scrape": "true", "prometheus.io/path": "/prom/metrics" });
    by_name.pod(&world.api, "named", marked(prometheus.clone(), path));
    never.pod(&world.api, "unlabelled", marked(json!({ "app": "other" }), scrape.clone()));
    never.pod(&world.api, "unannotated", marked(prometheus.clone(), json!({ "scrape": "false" })));
    let mut elsewhere = marked(prometheus.clone(), scrape.clone());
    elsewhere["metadata"]["namespace"] = "other".into();
    never.pod(&world.api, "elsewhere", elsewhere);
    let mut portless = marked(prometheus.clone(), scrape.clone());
    portless["spec"]["containers"] =
        json!([{ "name": "p", "image": "p", "ports": [{ "name": "grpc", "containerPort": 1 }] }]);
    never.pod(&world.api, "portless", portless);
    let https = json!({ "scrape": "true", "prometheus.io/scheme": "https" });
    by_number.pod(&world.api, "secure", marked(prometheus, https));
    let mut silent = marked(json!({ "app": "numbered" }), json!({}));
    silent["spec"]["containers"] = json!([{ "name": "p", "image": "p" }]);
    by_number.pod(&world.api, "numbered", silent);
    world.api.create(json!({
        "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": { "name": "prom-x", "namespace": MON, "labels": { "kubernetes.io/service-name": "prom" } },
        "ports": [{ "name": "web", "port": by_slice.port() }, { "name": "grpc", "port": 1 }],
        "endpoints": [{
            "addresses": ["127.0.0.1"], "conditions": { "ready": true }, "targetRef": { "kind": "Pod", "name": "s-0" },
        }],
    }));
    world.api.create(json!({
        "kind": "Service", "metadata": { "name": "prom", "namespace": MON, "labels": { "app": "prometheus" } },
        "spec": { "ports": [{ "name": "web", "port": 9090 }] },
    }));
    let block = |name: &str, kind: &str, selector: &str, port: Value| {
        json!({
            "name": name, "kind": kind, "namespaces": [MON], "labelSelector": selector, "port": port, "lag": "1s",
            "labels": { "found": name },
        })
    };
    let mut pods = block("pods", "pod", "app=prometheus", json!("web"));
    pods["annotationSelector"] = json!("scrape=true");
    pods["labelsFrom"] = json!({ "team": "team" });
    let blocks = json!([
        pods,
        block("numbers", "pod", "app in (numbered)", json!(by_number.port())),
        block("slices", "endpointslice", "kubernetes.io/service-name=prom", json!("web")),
        block("services", "service", "app=prometheus", json!(9090)),
    ]);
    let mut sluice = world
        .setup(blocks, json!({}))
        .source("fixed", &fixed.source.url())
        .resource("web.yaml", &world.resource("web"))
        .start()
        .await;

    for (name, found, team) in [
        ("m_by_name", "pods", "web"),
        ("m_by_number", "numbers", ""),
        ("m_by_slice", "slices", ""),
        ("m_fixed", "", ""),
    ] {
        world.receives(&[("__name__", name), ("found", found), ("team", team), ("tenant", "web")]).await;
    }
    let up = |name: &str, url: String, labels: Value| (name.to_owned(), "up", url, labels);
    for (name, health, url, labels) in [
        up("fixed", fixed.source.url(), json!({})),
        up("numbers/mon/numbered", by_number.source.url(), json!({ "found": "numbers" })),
        up(
            "pods/mon/named",
            format!("{}/prom", by_name.source.url()),
            json!({ "found": "pods", "team": "web" }),
        ),
        up("slices/mon/s-0", by_slice.source.url(), json!({ "found": "slices" })),
    ] {
        let target = shows(&sluice, &name, health, "").await;
        assert_eq!(text(&target, "url").trim_end_matches('/'), url, "{target}");
        assert_eq!(target["labels"], labels, "{target}");
        assert!(target["last_seen"].is_string() && target["last_error"].is_null(), "{target}");
    }
    let secure = format!("cannot trust https://127.0.0.1:{}: ", by_number.port());
    let target = shows(&sluice, "pods/mon/secure", "down", &secure).await;
    assert!(target["last_seen"].is_null() && target["last_error_at"].is_string(), "{target}");
    shows(&sluice, "services/mon/prom", "down", "cannot connect to http://prom.mon.svc:9090: ").await;
    let known: Vec<String> = targets(&sluice).await.into_keys().collect();
    assert_eq!(
        known,
        [
            "fixed",
            "numbers/mon/numbered",
            "pods/mon/named",
            "pods/mon/secure",
            "services/mon/prom",
            "slices/mon/s-0"
        ]
    );
    assert_eq!(
        problems(&sluice).await.into_iter().collect::<Vec<_>>(),
        [("pods/mon/portless".to_owned(), "has no port web".to_owned())]
    );
    let below = |call: &sluice_tests::query_source::Call| call.path.starts_with("/prom/");
    assert!(by_name.source.calls().iter().all(below), "{:?}", by_name.source.calls());
    assert!(sluice.stop().await.success());
    assert_eq!(never.source.calls().len(), 0, "nobody else is asked");
    assert_eq!(
        names(&world),
        ["m_by_name", "m_by_number", "m_by_slice", "m_fixed"].map(str::to_owned).into()
    );
    assert_eq!(world.receiver.violations(), []);
}

#[tokio::test]
async fn a_resource_gets_the_targets_whose_label_is_its_source() {
    let world = World::new().await;
    let (web, db, nobodys) =
        (Server::with("m_web", 1).await, Server::with("m_db", 2).await, Server::with("m_nobodys", 3).await);
    web.pod(&world.api, "web", marked(json!({ "team": "web" }), json!({})));
    db.pod(&world.api, "db", marked(json!({ "team": "db" }), json!({})));
    nobodys.pod(&world.api, "nobodys", json!({}));
    let blocks = json!([{
        "name": "pods", "kind": "pod", "namespaces": [MON], "port": "web", "lag": "1s",
        "labelsFrom": { "team": "team" },
    }]);
    let mut sluice = world
        .setup(blocks, json!({ "sourceLabel": "team" }))
        .resource("web.yaml", &world.resource("web"))
        .resource("db.yaml", &world.resource("db"))
        .start()
        .await;
    world.receives(&[("__name__", "m_web"), ("tenant", "web")]).await;
    world.receives(&[("__name__", "m_db"), ("tenant", "db")]).await;
    // Who changes the label changes whose it is.
    world.api.merge("Pod", MON, "nobodys", json!({ "metadata": { "labels": { "team": "web" } } }));
    world.receives(&[("__name__", "m_nobodys"), ("tenant", "web")]).await;
    assert!(sluice.stop().await.success());
    let held: BTreeSet<(String, String)> = world
        .receiver
        .samples()
        .keys()
        .map(|series: &LabelSet| (series.name().to_owned(), series.get("tenant").to_owned()))
        .collect();
    let wanted = [("m_db", "db"), ("m_nobodys", "web"), ("m_web", "web")];
    assert_eq!(held, wanted.map(|(name, tenant)| (name.to_owned(), tenant.to_owned())).into());
    assert_eq!(world.receiver.violations(), []);
}

#[tokio::test]
async fn a_replica_finds_its_sources_where_its_resources_are() {
    let world = World::new().await;
    let server = Server::with("m_one", 1).await;
    server.pod(&world.api, "p-0", json!({}));
    world.api.create(json!({ "kind": "Namespace", "metadata": { "name": "sluice" } }));
    world.api.create(json!({
        "kind": "MetricAccess", "metadata": { "name": "web", "namespace": "team" },
        "spec": { "source": "web", "metrics": ["m_.*"], "remoteWrite": {
            "enabled": true, "interval": "1s", "target": { "type": "remote_write" },
            "remoteWrite": { "url": world.receiver.url() },
        }},
    }));
    let blocks = json!([{ "name": "pods", "kind": "pod", "namespaces": [MON], "port": "web", "lag": "1s" }]);
    // Where sources are looked for is said once, with the resources.
    let mut sluice = Setup::new()
        .setting("kubernetes", json!({ "kubeconfig": world.kubeconfig() }))
        .setting("discovery", json!({ "kubernetes": blocks }))
        .setting("isolation", json!({ "mode": "optional" }))
        .setting("receivers", json!({ "allow": ["127.0.0.0/8"] }))
        .pod(Pod { name: "sluice-0".to_owned(), namespace: "sluice".to_owned() })
        .start()
        .await;
    world.receives(&[("__name__", "m_one")]).await;
    shows(&sluice, "pods/mon/p-0", "up", "").await;
    assert!(sluice.stop().await.success());
    assert_eq!(world.receiver.violations(), []);
}

/// Somebody makes a mistake in an object, and mends it.
#[tokio::test]
async fn an_object_that_cannot_be_used_any_more_says_why_and_its_ticks_wait() {
    let world = World::new().await;
    let server = Server::with("m_one", 1).await;
    server.pod(&world.api, "p-0", json!({}));
    let blocks = json!([{
        "name": "pods", "kind": "pod", "namespaces": [MON], "labelSelector": "app=prometheus", "port": "web", "lag": "1s",
    }]);
    let mut sluice =
        world.setup(blocks, json!({})).resource("web.yaml", &world.resource("web")).start().await;
    world.receives(&[("__name__", "m_one")]).await;
    let scheme = |value: Value| {
        let annotations = json!({ "metadata": { "annotations": { "prometheus.io/scheme": value } } });
        world.api.merge("Pod", MON, "p-0", annotations)
    };
    scheme(json!("htp"));
    let why = "annotation prometheus.io/scheme is \"htp\"; write http or https";
    shows(&sluice, "pods/mon/p-0", "down", &format!("its object cannot be used: {why}")).await;
    assert_eq!(
        problems(&sluice).await.into_iter().collect::<Vec<_>>(),
        [("pods/mon/p-0".to_owned(), why.to_owned())]
    );
    scheme(Value::Null);
    shows(&sluice, "pods/mon/p-0", "up", "").await;
    eventually("the problem is over", async || problems(&sluice).await.is_empty().then_some(())).await;
    world.receives(&[("__name__", "m_one")]).await;
    world.receives(&[("__name__", "m_one")]).await;
    assert!(sluice.stop().await.success());
    // What it missed was asked for again.
    let samples = world.receiver.samples().into_values().next().expect("there is one series");
    let gaps: Vec<_> = samples.windows(2).filter(|pair| pair[1].at - pair[0].at != 1000).collect();
    assert_eq!(gaps, Vec::<&[_]>::new());
    assert_eq!(world.receiver.violations(), []);
}
