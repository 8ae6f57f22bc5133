//! Held: a filter that fails tick after tick is left alone, and its team told once.

use serde_json::{Value, json};
use sluice_tests::expectation::ticks;
use sluice_tests::servers::Sluice;
use tempfile::TempDir;

use super::hostile::{SAMPLES, built, filter, mood};
use super::world::{World, replica};

/// After so many failures in a row a filter is left alone.
const FAILURES_MAX: u64 = 5;

/// The reasons of the Events about a resource's filters, each as often as it was told.
fn told(world: &World, name: &str) -> Vec<String> {
    let mut all = Vec::new();
    for event in world.api.objects("Event") {
        let reason = event["reason"].as_str().unwrap_or_default();
        if event["regarding"]["name"] == name && reason.starts_with("Filter") {
            let times = event["series"]["count"].as_u64().unwrap_or(1);
            all.extend((0..times).map(|_| reason.to_owned()));
        }
    }
    all
}

/// How often a resource's filter trapped.
async fn traps(sluice: &Sluice, name: &str) -> u64 {
    let labels = [("resource", name), ("filter", "evil"), ("reason", "trap")];
    sluice.counted("sluice_filter_traps_total", &labels).await
}

#[tokio::test]
async fn a_filter_that_fails_five_times_running_is_left_alone_and_told_of_once() {
    let (world, folder) = (World::new().await, TempDir::new().expect("a temporary folder can be made"));
    let [_, samples] = built();
    std::fs::write(folder.path().join(SAMPLES), samples).expect("the folder is writable");
    world.stage.target.set(mood(), 0.0);
    let apply = async |name: &str, filters: Value| {
        let mut spec = world.spec(name);
        spec["metrics"] = json!(["queue_depth", "mood"]);
        spec["filters"] = filters;
        world.resources().apply(name, spec).await;
    };
    apply("steady", json!([])).await;
    apply("fails", json!([filter(SAMPLES, "recurse on 666", &json!({}))])).await;
    apply("flaps", json!([filter(SAMPLES, "trap every second", &json!({}))])).await;
    let setup = world.setup().setting("filters", json!({ "modulesFolder": folder.path() }));
    let mut sluice = replica("sluice-0", setup).await;
    for name in ["steady", "fails", "flaps"] {
        world.more_ticks(name, 3).await;
    }

    world.stage.target.set(mood(), 666.0);
    let words = format!("failed {FAILURES_MAX} times running and is left alone for a while");
    world.says("fails", "FiltersReady", "FilterFailing", &words).await;
    assert_eq!(traps(&sluice, "fails").await, FAILURES_MAX);
    let last = ticks(&world.held("fails")).last().copied();
    world.more_ticks("steady", 5).await;
    assert_eq!(traps(&sluice, "fails").await, FAILURES_MAX, "it is not called meanwhile");
    assert_eq!(ticks(&world.held("fails")).last().copied(), last, "and nothing goes past it");
    assert_eq!(told(&world, "fails"), ["FilterFailed"]);

    // What fails now and then is late, and no news at every tick.
    assert!(traps(&sluice, "flaps").await >= FAILURES_MAX);
    assert!(told(&world, "flaps").len() <= 1, "{:?}", told(&world, "flaps"));
    world.up_to_date("steady").await;
    assert!(sluice.stop().await.success());
    world.assert_no_contradiction();
}
