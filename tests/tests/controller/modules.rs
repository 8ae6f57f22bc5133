//! Modules: filters from ConfigMaps and, with a Secret, from a registry; and what a tag means to the replica that goes on.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sluice_tests::apiserver::FakeApi;
use sluice_tests::guests;
use sluice_tests::registry::{Lock, Registry, USER as ROBOT, digest};
use sluice_tests::servers::{Setup, Sluice};

use super::references::{OPEN, TOKEN, USER, grant};
use super::world::{OURS, TEAM, World, replica};

const WASM: &str = "application/wasm";
const OTHERS: [&str; 7] = [
    "metricaccesses",
    "metricaccesses/status",
    "metricaccesses/finalizers",
    "services",
    "namespaces",
    "leases",
    "events",
];

/// A filter that adds sums, and one that drops everything.
fn modules() -> [Vec<u8>; 2] {
    guests::built(["test-filter-totals", "test-filter-drop-everything"])
}

/// The same component, with another digest: a custom section that says nothing.
fn rebuilt(module: &[u8]) -> Vec<u8> {
    [module, &[0, 2, 1, b'x']].concat()
}

fn config_map(api: &FakeApi, module: &[u8]) {
    let metadata = json!({ "name": "filters", "namespace": TEAM });
    let binary = json!({ "sums.wasm": STANDARD.encode(module) });
    api.apply(json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "binaryData": binary }));
}

/// What `kubectl create secret docker-registry` makes, for this registry.
fn pull_secret(api: &FakeApi, host: &str, password: &str) {
    let auth = STANDARD.encode(format!("{}:{password}", ROBOT.0));
    let config = json!({ "auths": { host: { "auth": auth } } }).to_string();
    let metadata = json!({ "name": "regcred", "namespace": TEAM, "labels": { OPEN: "true" } });
    api.apply(json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "kubernetes.io/dockerconfigjson",
        "stringData": { ".dockerconfigjson": config },
    }));
}

/// A resource of this name, whose only filter comes from there.
async fn apply(world: &World, name: &str, module: Value) {
    let mut spec = world.spec(name);
    spec["metrics"] = json!(["db_rows"]);
    spec["filters"] = json!([{ "name": "sums", "module": module, "config": { "by": "job" } }]);
    world.resources().apply(name, spec).await;
}

/// Waits until the resource's filter runs, and is this one.
async fn runs(world: &World, name: &str, digest: &str) -> Value {
    let what = format!("it runs {digest}");
    let resources = world.resources();
    let filter = resources.shows(name, &what, |resource| {
        let filter = &resource.status()["filters"][0];
        (filter["lastGoodDigest"] == digest && filter["digest"] == digest).then(|| filter.clone())
    });
    filter.await
}

#[tokio::test]
async fn a_filter_comes_from_a_config_map_that_may_be_read_and_goes_with_it() {
    let [sums, _] = modules();
    let api = FakeApi::start();
    api.user(TOKEN, USER);
    let groups = ["", "observability.ethos.io", "coordination.k8s.io", "events.k8s.io"];
    grant(&api, "sluice", None, json!({ "verbs": ["*"], "apiGroups": groups, "resources": OTHERS }));
    let all = json!({ "verbs": ["*"], "apiGroups": [""], "resources": ["configmaps"] });
    let world = World::around(api).await;
    grant(&world.api, "sluice-records", Some(OURS), all);
    let mut sluice = replica("sluice-0", world.setup_as(Some(TOKEN))).await;

    apply(&world, "mapped", json!({ "configMap": { "name": "filters", "key": "sums.wasm" } })).await;
    world.says("mapped", "Accepted", "ReferenceMissing", "bind the role sluice-modules-reader").await;
    let read = json!({ "verbs": ["get", "list", "watch"], "apiGroups": [""], "resources": ["configmaps"] });
    grant(&world.api, "sluice-modules-reader", Some(TEAM), read);
    world.says("mapped", "Accepted", "ReferenceMissing", "does not exist in the namespace team").await;
    assert!(world.receiver.seen().is_empty(), "nothing is sent without the filter");

    config_map(&world.api, &sums);
    let filter = runs(&world, "mapped", &digest(&sums)).await;
    assert_eq!(filter["resolved"], "sums.wasm of the ConfigMap filters");
    world.delivers("mapped", &["db_rows", "total"]).await;
    config_map(&world.api, &rebuilt(&sums));
    runs(&world, "mapped", &digest(&rebuilt(&sums))).await;
    config_map(&world.api, b"\0asm");
    world.says("mapped", "FiltersReady", "FilterNotReplaced", "is not a filter").await;
    world.more_ticks("mapped", 2).await;

    world.api.delete("ConfigMap", TEAM, "filters");
    world.says("mapped", "Accepted", "ReferenceMissing", "does not exist in the namespace team").await;
    config_map(&world.api, &sums);
    runs(&world, "mapped", &digest(&sums)).await;
    world.up_to_date("mapped").await;
    world.delivers("mapped", &["db_rows", "total"]).await;
    assert!(sluice.stop().await.success());
    world.assert_no_complaints();
}

#[tokio::test]
async fn a_pull_secret_opens_a_registry_and_a_tag_means_the_same_to_the_replica_that_goes_on() {
    let [sums, nothing] = modules();
    let (world, registry) = tokio::join!(World::new(), Registry::start(Lock::Token));
    let host = registry.host();
    let first = registry.put_artefact("acme/sums", "1", &[(WASM, &sums)]);
    let allow = json!([{ "host": host, "plainHttp": true, "networks": ["127.0.0.0/8"] }]);
    let kept = tempfile::tempdir().unwrap();
    let filters = json!({ "allow": allow, "cacheFolder": kept.path() });
    let setup: Setup = world.setup().setting("filters", filters);
    let start = async |pod: &str| -> Sluice { replica(pod, setup.clone()).await };
    let mut sluice = start("sluice-0").await;
    let by = |tag: &str| json!({ "oci": { "ref": format!("{host}/acme/sums:{tag}"), "pullSecretRef": { "name": "regcred" } } });
    apply(&world, "pulled", by("1")).await;
    world.says("pulled", "Accepted", "ReferenceMissing", "regcred").await;
    pull_secret(&world.api, &host, "wrong");
    world.says("pulled", "FiltersReady", "FilterFailing", "access is denied").await;
    assert!(world.receiver.seen().is_empty(), "nothing is sent without the filter");
    pull_secret(&world.api, &host, ROBOT.1);
    let filter = runs(&world, "pulled", &digest(&sums)).await;
    assert_eq!(filter["resolved"], format!("{host}/acme/sums@{first}"));
    world.delivers("pulled", &["db_rows", "total"]).await;

    // Who knows the digest, which is no secret, has nothing by it, though the module is kept.
    apply(&world, "curious", json!({ "oci": { "ref": filter["resolved"] } })).await;
    world.says("curious", "FiltersReady", "FilterFailing", "access is denied").await;
    world.resources().delete("curious").await;

    // Somebody moves the tag; who goes on has only the record.
    registry.put_artefact("acme/sums", "1", &[(WASM, &nothing)]);
    assert!(sluice.stop().await.success());
    let mut sluice = start("sluice-1").await;
    let resources = world.resources();
    let owned = resources.shows("pulled", "another replica runs it", |resource| {
        (resource.status()["owner"] == "sluice-1").then_some(())
    });
    owned.await;
    world.up_to_date("pulled").await;
    world.delivers("pulled", &["db_rows", "total"]).await;
    assert_eq!(runs(&world, "pulled", &digest(&sums)).await["resolved"], filter["resolved"]);

    // Edited, it is looked up anew, and so is the tag of before.
    registry.put_artefact("acme/sums", "2", &[(WASM, &rebuilt(&sums))]);
    apply(&world, "pulled", by("2")).await;
    runs(&world, "pulled", &digest(&rebuilt(&sums))).await;
    apply(&world, "pulled", by("1")).await;
    runs(&world, "pulled", &digest(&nothing)).await;
    world.delivers("pulled", &[]).await;
    assert!(sluice.stop().await.success());
    world.assert_no_complaints();
    let log = sluice.log();
    assert!(!log.contains(ROBOT.1) && !log.contains("wrong"), "{log}");
}
