//! Many: a thousand resources, how soon they run and how little they ask of the API server.
//!
//! What is asserted are counts. The times are printed (`--nocapture`): this machine's, in the profile tests have.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sluice_tests::servers::Sluice;
use sluice_tests::wait::within;

use super::world::World;

const RESOURCES: usize = 1000;
const NAMESPACES: usize = 20;
/// Far longer than it takes.
const START_MAX: Duration = Duration::from_secs(120);
/// Every status is written once, and every Event told: paced, so that an API server does not notice a start.
const TOLD_MAX: Duration = Duration::from_secs(400);
const MINUTE: Duration = Duration::from_secs(60);
/// Requests of a replica in a steady second, beside its Lease's renewals and its cursors.
const REQUESTS_PER_SECOND_MAX: u64 = 1;

/// A thousand resources to one receiver, told apart by what is stamped.
fn apply_all(world: &World) {
    for index in 0..RESOURCES {
        let name = format!("one-{index:04}");
        let mut spec = world.spec(&name);
        spec["metrics"] = json!(["db_rows"]);
        spec["remoteWrite"]["interval"] = json!("10s");
        let metadata = json!({ "name": name, "namespace": format!("team-{:02}", index % NAMESPACES) });
        world.api.create(json!({ "kind": "MetricAccess", "metadata": metadata, "spec": spec }));
    }
}

/// What `/health` says of each resource.
async fn health(sluice: &Sluice) -> Vec<Value> {
    let health: Value = serde_json::from_str(sluice.get("/health").await.text()).expect("health is JSON");
    let all = health.as_object().and_then(|all| all.values().find_map(Value::as_array));
    all.cloned().unwrap_or_default()
}

/// Starts a replica and waits until every resource has its pipeline, and then until each has delivered.
async fn all_run(world: &World) -> Sluice {
    let began = Instant::now();
    let sluice = world.replica("sluice-0").await;
    within(START_MAX, "every resource has a pipeline", async || {
        let all = health(&sluice).await;
        let runs = |one: &&Value| one["lanes"].as_array().is_some_and(|lanes| !lanes.is_empty());
        (all.iter().filter(runs).count() == RESOURCES).then_some(())
    })
    .await;
    eprintln!(
        "{RESOURCES} resources: all pipelines run {:.1} s after the start",
        began.elapsed().as_secs_f64()
    );
    within(START_MAX, "every resource has delivered", async || {
        let samples = world.receiver.samples();
        let tenants: BTreeSet<&str> = samples.keys().map(|series| series.get("tenant")).collect();
        (tenants.len() == RESOURCES).then_some(())
    })
    .await;
    eprintln!(
        "{RESOURCES} resources: all have delivered {:.1} s after the start",
        began.elapsed().as_secs_f64()
    );
    sluice
}

#[tokio::test]
async fn a_thousand_resources_run() {
    let world = World::new().await;
    apply_all(&world);
    let mut sluice = all_run(&world).await;
    let requests = world.api.requests();
    let lists = requests.count("list", "*");
    assert!(lists <= 20, "lists do not grow with resources:\n{requests}");
    assert_eq!(requests.count("*", "secrets"), 0, "nobody named one");
    assert!(sluice.stop().await.success());
    world.assert_no_complaints();
}

#[tokio::test]
#[ignore = "takes minutes; `make bench` runs it"]
async fn a_thousand_resources_ask_for_less_than_a_request_per_second() {
    let world = World::new().await;
    apply_all(&world);
    let _sluice = all_run(&world).await;
    let began = Instant::now();
    within(TOLD_MAX, "every status is written", async || {
        let all = world.api.objects("MetricAccess");
        let ready = |one: &&Value| {
            let conditions = one["status"]["conditions"].as_array().into_iter().flatten();
            conditions.filter(|condition| condition["status"] == "True").count() == 5
        };
        (all.iter().filter(ready).count() == RESOURCES).then_some(())
    })
    .await;
    eprintln!("{RESOURCES} resources: all say so {:.1} s later", began.elapsed().as_secs_f64());
    within(TOLD_MAX, "every Event is told", async || {
        (world.api.objects("Event").len() >= 2 * RESOURCES).then_some(())
    })
    .await;
    eprintln!("{RESOURCES} resources: all Events are told {:.1} s later", began.elapsed().as_secs_f64());

    let before = world.api.requests();
    tokio::time::sleep(MINUTE).await;
    let steady = world.api.requests().since(&before);
    eprintln!("{RESOURCES} resources: requests in a steady minute:\n{steady}");
    let kept = steady.count("*", "leases") + steady.count("*", "configmaps");
    let others = steady.total() - kept;
    assert!(others <= REQUESTS_PER_SECOND_MAX * MINUTE.as_secs(), "{others} requests in a minute:\n{steady}");
    world.assert_no_complaints();
}
