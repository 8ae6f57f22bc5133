//! Outage: an API server that is away, or takes requests and answers none. What is known stays; what changed meanwhile
//! is found afterwards.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::json;
use sluice::app::api;
use sluice::config::Config;
use sluice::discover::{Discovery, Targets};
use sluice::model::TenantId;
use sluice::tenancy::{self, Policy};
use sluice::{discover, http};
use sluice_tests::apiserver::Fault;
use sluice_tests::wait::eventually;
use tokio_util::sync::CancellationToken;

use super::world::{MON, Server, World, problems, shows};

/// How silent an API server may be here. A healthy one is cut off by it again and again, which has to be harmless.
const SILENCE_MAX: Duration = Duration::from_secs(1);
/// Nobody waits so long.
const FOR_EVER: Duration = Duration::from_secs(24 * 3600);

/// The block that most scenarios look for pods with.
const PODS: &str =
    "{name: pods, kind: pod, namespaces: [mon], labelSelector: app=prometheus, port: web, lag: 1s}";
const PLACE: &str = "discovery block pods in namespace mon";

fn looking_for(block: &str) -> discover::Config {
    let text = format!("discovery: {{kubernetes: [{block}]}}\ntenants: {{folder: t}}\n");
    let file: Arc<Path> = Arc::from(Path::new("sluice.yaml"));
    Config::read(&file, &text).expect("the configuration is right").0.discovery
}

fn has(targets: &Targets, name: &str) -> bool {
    targets.sources.iter().any(|(source, _)| source.name.as_str() == name)
}

#[tokio::test]
async fn a_list_or_a_watch_that_is_never_answered_is_asked_for_again() {
    let world = World::new().await;
    let server = Server::with("m_one", 1).await;
    server.pod(&world.api, "p-0", json!({}));
    let client = api::connect(Some(&world.kubeconfig()), SILENCE_MAX).await.unwrap();
    let discovery = Discovery::new(looking_for(PODS), Some(client));
    let (targets, stop) = (discovery.targets(), CancellationToken::new());

    world.api.fault(Fault::Slow(FOR_EVER).on("list", "pods").times(2));
    let http = http::Client::new(&http::Config::default()).unwrap();
    let running = tokio::spawn(discovery.run(http, || SystemTime::now().into(), stop.clone()));
    eventually("the list is found wanting", async || {
        targets.borrow().problems.get(PLACE).filter(|why| why.contains("cannot be watched")).map(drop)
    })
    .await;
    eventually("the pod is found", async || has(&targets.borrow(), "pods/mon/p-0").then_some(())).await;
    eventually("the problem is over", async || targets.borrow().problems.is_empty().then_some(())).await;

    world.api.fault(Fault::Slow(FOR_EVER).on("watch", "pods").times(2));
    world.api.drop_watches();
    server.pod(&world.api, "p-1", json!({}));
    eventually("the other one is found", async || has(&targets.borrow(), "pods/mon/p-1").then_some(())).await;
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn resources_are_read_though_a_list_is_never_answered() {
    let world = World::new().await;
    let client = api::connect(Some(&world.kubeconfig()), SILENCE_MAX).await.unwrap();
    let config = tenancy::cluster::Config {
        namespaces: None,
        namespace: "sluice".into(),
        pod: "sluice-0".into(),
        kubeconfig: None,
        policy: Policy::default(),
    };
    let (watcher, seen) = tenancy::cluster::open(client, &config);
    for resource in ["metricaccesses", "services"] {
        world.api.fault(Fault::Slow(FOR_EVER).on("list", resource).times(1));
    }
    let create = |name: &str| {
        let target = json!({ "type": "remote_write" });
        world.api.create(json!({
            "kind": "MetricAccess", "metadata": { "name": name, "namespace": "team" },
            "spec": { "source": "team", "metrics": ["up"], "remoteWrite": {
                "enabled": true, "target": target, "remoteWrite": { "url": "http://receiver.example/" },
            }},
        }));
    };
    let runs = async |name: &str| {
        let id = TenantId { namespace: "team".into(), name: name.into() };
        eventually(&format!("{name} is known"), async || {
            seen.published.tenants.borrow().running.contains_key(&id).then_some(())
        })
        .await;
    };
    create("first");
    let stop = CancellationToken::new();
    let running = tokio::spawn(watcher.run(stop.clone()));
    runs("first").await;
    world.api.fault(Fault::Slow(FOR_EVER).on("watch", "metricaccesses").times(1));
    world.api.drop_watches();
    create("second");
    runs("second").await;
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn while_the_api_server_is_away_sources_stay_and_the_problem_stands_until_it_is_back() {
    let world = World::new().await;
    let server = Server::with("m_one", 1).await;
    server.pod(&world.api, "p-0", json!({}));
    let blocks = json!([{
        "name": "pods", "kind": "pod", "namespaces": [MON], "labelSelector": "app=prometheus", "port": "web", "lag": "1s",
    }]);
    let mut sluice =
        world.setup(blocks, json!({})).resource("web.yaml", &world.resource("web")).start().await;
    world.receives(&[("__name__", "m_one")]).await;
    let before = world.api.requests();
    let away = world.api.fault(Fault::Refused);
    eventually("it is noticed", async || {
        problems(&sluice).await.remove(PLACE).filter(|why| why.starts_with("pods cannot be watched: "))
    })
    .await;
    for _ in 0..3 {
        world.receives(&[("__name__", "m_one")]).await;
        assert!(problems(&sluice).await.contains_key(PLACE));
    }
    shows(&sluice, "pods/mon/p-0", "up", "").await;
    world.api.lift(away);
    // Nothing has changed meanwhile, so that nothing is told but that the watch is taken.
    eventually("it is over", async || problems(&sluice).await.is_empty().then_some(())).await;
    assert_eq!(world.api.requests().since(&before).count("list", "pods"), 0);
    assert!(sluice.stop().await.success());
    assert_eq!(world.receiver.violations(), []);
}
