//! Life: a resource is applied, changed, broken, deleted; nobody else notices.

use serde_json::{Value, json};
use sluice_tests::apiserver::FakeApi;
use sluice_tests::cluster::condition;
use sluice_tests::expectation::ticks;
use sluice_tests::series::{self, Sample};
use sluice_tests::servers::Pushgateway;
use sluice_tests::wait::eventually;

use super::world::{OURS, TEAM, World, replica};

/// What the ConfigMaps of our namespace hold: whoever comes next goes on from it.
fn records(world: &World) -> String {
    let maps = world.api.objects("ConfigMap");
    let ours = maps.iter().filter(|map| map["metadata"]["namespace"] == OURS);
    ours.map(|map| map["data"].to_string()).collect()
}

#[tokio::test]
async fn an_applied_resource_delivers_and_says_so() {
    let world = World::new().await;
    let mut sluice = world.replica("sluice-0").await;
    world.leases().held_by(&["sluice-0"]).await;
    world.resources().apply("one", world.spec("one")).await;
    world.resources().ready("one").await;
    world.more_ticks("one", 3).await;

    let object = world.object("one");
    let status = &object["status"];
    assert_eq!((&status["observedGeneration"], &status["owner"]), (&json!(1), &json!("sluice-0")));
    for kind in ["Accepted", "FiltersReady", "Collecting", "Delivering", "Ready"] {
        let condition = condition(status, kind).unwrap_or_else(|| panic!("there is no {kind}: {status:#}"));
        assert_eq!((&condition["status"], &condition["observedGeneration"]), (&json!("True"), &json!(1)));
    }
    assert_eq!(object["metadata"]["finalizers"], Value::Null, "nothing of it outlives us");
    assert_eq!(object["metadata"]["generation"], 1, "nobody but the tenant writes the specification");

    assert!(sluice.stop().await.success());
    world.leases().held_by(&[]).await;
    assert!(records(&world).contains(&format!("\"{TEAM}_one\"")), "{}", records(&world));
    world.assert_complete("one", 3).await;
    world.assert_no_complaints();
}

#[tokio::test]
async fn an_edit_is_in_force_and_only_its_own_pipeline_notices() {
    let world = World::new().await;
    let mut sluice = world.replica("sluice-0").await;
    for name in ["edited", "steady"] {
        world.resources().apply(name, world.spec(name)).await;
        world.resources().ready(name).await;
    }
    world.more_ticks("steady", 2).await;

    world.resources().merge("edited", json!({ "spec": { "metrics": ["db_rows"] } })).await;
    world.delivers("edited", &["db_rows"]).await;
    world.resources().ready("edited").await;
    assert_eq!(world.object("edited")["status"]["observedGeneration"], 2);

    // What is refused waits, and ends nothing.
    world.resources().merge("edited", json!({ "spec": { "metrics": ["{job="] } })).await;
    world.says("edited", "Accepted", "Invalid", "spec.metrics").await;
    world.resources().becomes("edited", "Ready", "False", "NotAccepted").await;
    let paused = ticks(&world.held("edited")).len();
    world.more_ticks("steady", 3).await;
    assert!(ticks(&world.held("edited")).len() <= paused + 1, "what is refused does not run");
    assert_eq!(world.live("edited").len(), 1, "a mistake ends no series");
    world.resources().merge("edited", json!({ "spec": { "metrics": ["db_rows"] } })).await;
    world.more_ticks("edited", 4).await;

    // What is switched off ends.
    world.resources().merge("edited", json!({ "spec": { "remoteWrite": { "enabled": false } } })).await;
    world.delivers("edited", &[]).await;
    world.resources().becomes("edited", "Ready", "False", "Disabled").await;

    world.up_to_date("steady").await;
    assert!(sluice.stop().await.success());
    world.assert_complete("steady", 8).await;
    world.assert_no_complaints();
}

#[tokio::test]
async fn a_deleted_resource_leaves_nothing() {
    let (world, gateway) = tokio::join!(World::new(), Pushgateway::start());
    let setup = world.setup().service(&format!("pushgateway.{TEAM}:9091"), &gateway.url());
    let mut sluice = replica("sluice-0", setup).await;
    let block = json!({ "serviceName": "pushgateway", "jobName": "team" });
    world.resources().apply("pushes", world.spec_to("pushgateway", "pushgateway", block, "pushes")).await;
    for name in ["goes", "stays"] {
        world.resources().apply(name, world.spec(name)).await;
    }
    for name in ["goes", "stays", "pushes"] {
        world.resources().ready(name).await;
    }
    eventually("the group is there", async || (!gateway.pushed().await.is_empty()).then_some(())).await;
    let held = |name| world.object(name)["metadata"]["finalizers"].as_array().map_or(0, Vec::len);
    eventually("what would outlive us is held", async || (held("pushes") == 1).then_some(())).await;
    assert_eq!((held("goes"), held("stays")), (0, 0));

    world.resources().delete("goes").await;
    world.resources().delete("pushes").await;
    world.resources().gone("pushes").await;
    assert!(gateway.pushed().await.is_empty(), "the group is removed before the resource may go");
    world.delivers("goes", &[]).await;
    let markers = |samples: &Vec<Sample>| samples.iter().filter(|s| s.value == series::Value::STALE).count();
    assert!(world.held("goes").values().all(|samples| markers(samples) == 1), "each series ends once");
    let last = world.held("goes");
    world.more_ticks("stays", 3).await;
    assert_eq!(world.held("goes"), last, "what is gone delivers nothing");
    assert!(gateway.pushed().await.is_empty());

    // What comes back starts now, and never contradicts what it sent in its former life.
    world.resources().apply("goes", world.spec("goes")).await;
    world.delivers("goes", &["http_requests_total", "queue_depth"]).await;
    world.resources().ready("goes").await;

    world.up_to_date("stays").await;
    assert!(sluice.stop().await.success());
    world.leases().held_by(&[]).await;
    world.assert_complete("stays", 5).await;
    world.assert_no_complaints();
}

#[tokio::test]
async fn malformed_objects_stop_no_other() {
    // A definition that lets everything through, as one of another version may.
    let api = FakeApi::bare();
    let mut loose = serde_json::to_value(sluice::tenancy::crd::definition()).expect("a definition is JSON");
    let schema = &mut loose["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    schema["properties"]["spec"] = json!({ "x-kubernetes-preserve-unknown-fields": true });
    schema["properties"]["status"] = json!({ "x-kubernetes-preserve-unknown-fields": true });
    for field in ["required", "x-kubernetes-validations"] {
        schema.as_object_mut().expect("a schema is an object").remove(field);
    }
    api.create(loose);
    let world = World::around(api).await;

    let mut nested = world.spec("nested");
    nested["metrics"] = json!({ "up": [{ "deep": [[[]]] }] });
    let mut numbers = world.spec("numbers");
    numbers["source"] = json!(7);
    numbers["remoteWrite"]["interval"] = json!(-1.5e300);
    let malformed = [
        ("text", json!("metrics")),
        ("list", json!([1, 2, 3])),
        ("number", json!(7)),
        ("empty", json!({})),
        ("nested", nested),
        ("numbers", numbers),
    ];
    let create = |name: &str, spec: &Value| {
        let metadata = json!({ "name": name, "namespace": TEAM });
        world.api.create(json!({ "kind": "MetricAccess", "metadata": metadata, "spec": spec }));
    };
    let (before, later) = malformed.split_at(3);
    before.iter().for_each(|(name, spec)| create(name, spec));
    world.api.create(json!({ "kind": "MetricAccess", "metadata": { "name": "none", "namespace": TEAM } }));
    let mut sluice = world.replica("sluice-0").await;
    world.resources().apply("good", world.spec("good")).await;
    world.resources().ready("good").await;
    later.iter().for_each(|(name, spec)| create(name, spec));
    // One that ran, and then does not make sense any more.
    world.resources().apply("turns", world.spec("turns")).await;
    world.resources().ready("turns").await;
    // The first tick may be of a time before the source had scraped anything.
    world.more_ticks("turns", 1).await;
    world.api.merge("MetricAccess", TEAM, "turns", json!({ "spec": "nonsense" }));

    for name in malformed.iter().map(|(name, _)| *name).chain(["none", "turns"]) {
        let message = world.says(name, "Accepted", "Invalid", "spec").await;
        assert!(message.contains(';'), "{name}: it does not say what to write instead: {message}");
    }
    world.more_ticks("good", 3).await;
    assert!(!world.live("turns").is_empty(), "a mistake ends no series");
    world.api.merge("MetricAccess", TEAM, "turns", json!({ "spec": world.spec("turns") }));
    world.resources().ready("turns").await;
    for name in ["good", "turns"] {
        world.up_to_date(name).await;
    }
    assert!(sluice.stop().await.success());
    for name in ["good", "turns"] {
        world.assert_complete(name, 5).await;
    }
    world.assert_no_complaints();
}

/// Creates a resource with an untyped field as deep as nobody reads it.
fn nested(world: &World, name: &str) {
    const LEVELS: usize = 200;
    let mut spec = world.spec(name);
    spec["labelSelectors"] = (0..LEVELS).fold(json!("b"), |inside, _| json!({ "a": inside }));
    let metadata = json!({ "name": name, "namespace": TEAM });
    world.api.create(json!({ "kind": "MetricAccess", "metadata": metadata, "spec": spec }));
}

/// Waits until a resource says that it is refused, in these words.
async fn refused(world: &World, namespace: &str, name: &str, words: &str) {
    eventually(&format!("{namespace}/{name} is refused: {words}"), async || {
        let object = world.api.object("MetricAccess", namespace, name)?;
        let accepted = condition(&object["status"], "Accepted")?;
        let message = accepted["message"].as_str().unwrap_or_default();
        (accepted["status"] == "False" && message.contains(words)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_resource_deeper_than_anybody_reads_is_refused_and_stops_nobody() {
    let world = World::new().await;
    let mut sluice = world.replica("sluice-0").await;
    world.resources().apply("steady", world.spec("steady")).await;
    world.resources().ready("steady").await;
    nested(&world, "watched");
    refused(&world, TEAM, "watched", "spec.labelSelectors").await;
    assert!(sluice.stop().await.success());

    // Whoever starts now finds both in one list with all the others.
    nested(&world, "listed");
    let mut sluice = world.replica("sluice-0").await;
    refused(&world, TEAM, "listed", "spec.labelSelectors").await;
    world.up_to_date("steady").await;
    world.api.delete("MetricAccess", TEAM, "watched");
    world.resources().apply("late", world.spec("late")).await;
    world.resources().ready("late").await;
    world.up_to_date("steady").await;
    assert!(sluice.stop().await.success());
    world.assert_complete("steady", 4).await;
    world.assert_no_complaints();
}

#[tokio::test]
async fn expressions_that_would_take_minutes_are_refused_and_hold_nobody_up() {
    let world = World::new().await;
    let mut sluice = world.replica("sluice-0").await;
    let costly: Vec<String> = (0..500).map(|i| format!(r"(?i)[\x{{80}}-\x{{10ffff}}]{{40}}I_{i}")).collect();
    for index in 0..5 {
        let mut spec = world.spec("costly");
        spec["metrics"] = json!(costly);
        let metadata = json!({ "name": format!("costly-{index}"), "namespace": "other" });
        world.api.create(json!({ "kind": "MetricAccess", "metadata": metadata, "spec": spec }));
    }
    world.resources().apply("late", world.spec("late")).await;
    world.resources().ready("late").await;
    for index in 0..5 {
        refused(&world, "other", &format!("costly-{index}"), "limits.maxPatternSize").await;
    }
    world.more_ticks("late", 2).await;
    assert!(sluice.stop().await.success());
    world.assert_complete("late", 2).await;
    world.assert_no_complaints();
}

#[tokio::test]
async fn a_group_goes_with_its_resource_whatever_else_is_wrong_in_it_by_then() {
    let (world, gateway) = tokio::join!(World::new(), Pushgateway::start());
    let setup = world.setup().service(&format!("pushgateway.{TEAM}:9091"), &gateway.url());
    let mut sluice = replica("sluice-0", setup).await;
    let block = json!({ "serviceName": "pushgateway", "jobName": "team" });
    world.resources().apply("pushes", world.spec_to("pushgateway", "pushgateway", block, "pushes")).await;
    world.resources().ready("pushes").await;
    eventually("the group is there", async || (!gateway.pushed().await.is_empty()).then_some(())).await;
    eventually("it is held", async || {
        world.object("pushes")["metadata"]["finalizers"].as_array().map(|_| ())
    })
    .await;

    world.resources().merge("pushes", json!({ "spec": { "metrics": ["("] } })).await;
    refused(&world, TEAM, "pushes", "spec.metrics").await;
    assert!(!gateway.pushed().await.is_empty(), "what is refused waits");
    world.resources().delete("pushes").await;
    world.resources().gone("pushes").await;
    assert!(gateway.pushed().await.is_empty());
    assert!(sluice.stop().await.success());
}
