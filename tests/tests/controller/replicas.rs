//! Replicas: two share the work, one goes in order, one dies; the receiver does not notice.

use std::collections::BTreeMap;

use sluice_tests::servers::Sluice;
use sluice_tests::wait::within;

use super::world::{TAKEOVER_MAX, World};

/// Enough that both have some: the chance that one has none is below one in 2000.
const RESOURCES: usize = 12;

fn names() -> Vec<String> {
    (0..RESOURCES).map(|i| format!("one-{i:02}")).collect()
}

/// Two replicas that share the resources, and all of them run.
async fn two(world: &World) -> [Sluice; 2] {
    let (first, second) = tokio::join!(world.replica("sluice-0"), world.replica("sluice-1"));
    world.leases().held_by(&["sluice-0", "sluice-1"]).await;
    for name in names() {
        world.resources().apply(&name, world.spec(&name)).await;
    }
    for name in names() {
        world.resources().ready(&name).await;
        world.more_ticks(&name, 2).await;
    }
    let shares = shares(world);
    assert_eq!((shares.len(), shares.values().sum()), (2, RESOURCES), "each has a share: {shares:?}");
    [first, second]
}

/// How many resources each replica has, by what their statuses say.
fn shares(world: &World) -> BTreeMap<String, usize> {
    let mut shares = BTreeMap::new();
    for resource in world.api.objects("MetricAccess") {
        if let Some(owner) = resource["status"]["owner"].as_str() {
            *shares.entry(owner.to_owned()).or_default() += 1;
        }
    }
    shares
}

async fn all_belong_to(world: &World, pod: &str) {
    let all = BTreeMap::from([(pod.to_owned(), RESOURCES)]);
    within(TAKEOVER_MAX, &format!("{pod} has everything"), async || (shares(world) == all).then_some(()))
        .await;
}

async fn finish(world: &World, mut last: Sluice) {
    for name in names() {
        world.up_to_date(&name).await;
        world.resources().ready(&name).await;
    }
    assert!(last.stop().await.success());
    for name in names() {
        world.assert_complete(&name, 5).await;
    }
}

#[tokio::test]
async fn a_replica_that_leaves_hands_over_without_a_gap_or_a_repetition() {
    let world = World::new().await;
    let [mut first, second] = two(&world).await;
    assert!(first.stop().await.success());
    all_belong_to(&world, "sluice-1").await;
    world.leases().held_by(&["sluice-1"]).await;
    // Back again, it has its share again.
    let mut first = world.replica("sluice-0").await;
    within(TAKEOVER_MAX, "both have a share again", async || (shares(&world).len() == 2).then_some(())).await;
    for name in names() {
        world.up_to_date(&name).await;
    }
    assert!(first.stop().await.success());
    all_belong_to(&world, "sluice-1").await;
    finish(&world, second).await;
    world.leases().held_by(&[]).await;
    world.assert_no_complaints();
}

#[tokio::test]
async fn a_replica_that_dies_costs_no_tick_and_changes_no_value() {
    let world = World::new().await;
    let [mut first, second] = two(&world).await;
    first.kill();
    all_belong_to(&world, "sluice-1").await;
    finish(&world, second).await;
    world.assert_no_contradiction();
}
