//! Outage: the API server cuts, forgets, refuses, is slow, or is away; metrics go on, and nothing is missed for good.

use std::time::Duration;

use serde_json::{Value, json};
use sluice_tests::apiserver::Fault;
use sluice_tests::cluster::condition;
use sluice_tests::servers::Sluice;

use super::world::{TEAM, World};

/// Long enough for a lease to expire, were anybody to look at a clock alone.
const OUTAGE_TICKS: usize = 20;
const SELECTED: [&str; 2] = ["http_requests_total", "queue_depth"];

/// A replica with a resource that must not notice anything, one that is changed, and one that is removed.
async fn three(world: &World) -> Sluice {
    let sluice = world.replica("sluice-0").await;
    for name in ["steady", "changed", "removed"] {
        world.resources().apply(name, world.spec(name)).await;
    }
    for name in ["steady", "changed", "removed"] {
        world.delivers(name, &SELECTED).await;
        world.resources().ready(name).await;
    }
    sluice
}

/// What somebody else does meanwhile.
fn change(world: &World, metrics: Value) {
    world.api.merge("MetricAccess", TEAM, "changed", json!({ "spec": { "metrics": metrics } }));
}

fn create(world: &World, name: &str) {
    let metadata = json!({ "name": name, "namespace": TEAM });
    world.api.create(json!({ "kind": "MetricAccess", "metadata": metadata, "spec": world.spec(name) }));
}

/// The steady one has every tick once, and no series of it ended.
async fn finish(world: &World, mut sluice: Sluice, count: usize) {
    world.up_to_date("steady").await;
    assert!(sluice.stop().await.success());
    world.assert_complete("steady", count).await;
    world.assert_no_complaints();
}

#[tokio::test]
async fn a_watch_that_is_cut_goes_on_where_it_was() {
    let world = World::new().await;
    let sluice = three(&world).await;
    let before = world.api.requests();
    for metrics in ["db_rows", "queue_depth", "db_rows"] {
        world.api.drop_watches();
        change(&world, json!([metrics]));
        world.delivers("changed", &[metrics]).await;
    }
    let since = world.api.requests().since(&before);
    assert_eq!(since.count("list", "metricaccesses"), 0, "a cut is no reason to list again: {since}");
    finish(&world, sluice, 4).await;
}

#[tokio::test]
async fn a_forgotten_history_is_read_anew() {
    let world = World::new().await;
    let sluice = three(&world).await;
    let before = world.api.requests();
    // Whoever was away hears from what is there alone what happened.
    let away = world.api.fault(Fault::Refused);
    change(&world, json!(["db_rows"]));
    world.api.delete("MetricAccess", TEAM, "removed");
    create(&world, "added");
    world.api.compact();
    world.api.lift(away);
    world.delivers("changed", &["db_rows"]).await;
    world.delivers("removed", &[]).await;
    world.delivers("added", &SELECTED).await;
    world.resources().ready("added").await;
    let since = world.api.requests().since(&before);
    assert!(since.count("list", "metricaccesses") >= 1, "{since}");
    finish(&world, sluice, 4).await;
}

#[tokio::test]
async fn an_api_server_that_refuses_or_is_slow_holds_nothing_up() {
    let world = World::new().await;
    let sluice = three(&world).await;
    let next = [["db_rows"], ["taken_labels"]];
    for (index, fault) in [
        Fault::TooManyRequests { retry_after_seconds: 1 },
        Fault::InternalError,
        Fault::Unavailable,
        Fault::Forbidden,
        Fault::Slow(Duration::from_millis(1500)),
    ]
    .into_iter()
    .enumerate()
    {
        let (metrics, added) = (next[index % 2], format!("added-{index}"));
        let is_slow = matches!(fault, Fault::Slow(_));
        let id = world.api.fault(fault);
        world.api.drop_watches();
        change(&world, json!(metrics));
        create(&world, &added);
        world.more_ticks("steady", 3).await;
        if !is_slow {
            world.api.lift(id);
        }
        world.delivers("changed", &metrics).await;
        world.delivers(&added, &SELECTED).await;
        world.api.lift(id);
        world.resources().ready(&added).await;
    }
    finish(&world, sluice, 15).await;
}

#[tokio::test]
async fn without_an_api_server_everything_goes_on() {
    let world = World::new().await;
    let sluice = three(&world).await;
    let away = world.api.fault(Fault::Refused);
    change(&world, json!(["db_rows"]));
    world.api.delete("MetricAccess", TEAM, "removed");
    create(&world, "added");
    world.more_ticks("steady", OUTAGE_TICKS).await;
    for name in ["changed", "removed"] {
        assert_eq!(world.live(name).len(), 2, "what nobody could hear is not in force: {name}");
    }
    world.api.lift(away);
    world.delivers("changed", &["db_rows"]).await;
    world.delivers("removed", &[]).await;
    world.delivers("added", &SELECTED).await;
    for name in ["steady", "changed", "added"] {
        world.resources().ready(name).await;
        let object = world.object(name);
        assert_eq!(object["status"]["owner"], "sluice-0");
        assert!(condition(&object["status"], "Collecting").is_some());
    }
    world.leases().held_by(&["sluice-0"]).await;
    finish(&world, sluice, OUTAGE_TICKS + 2).await;
}
