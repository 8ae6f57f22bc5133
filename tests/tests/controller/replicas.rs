//! Replicas: two share the work, one goes in order, one dies; the receiver does not notice.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use sluice::tenancy::ownership::owner;
use sluice_tests::apiserver::Fault;
use sluice_tests::cluster::condition;
use sluice_tests::expectation::ticks;
use sluice_tests::servers::Sluice;
use sluice_tests::strict_receiver::Reply;
use sluice_tests::wait::within;

use super::world::{TAKEOVER_MAX, TEAM, World};

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

#[tokio::test]
async fn a_resource_that_no_replica_can_take_up_says_so_until_one_does() {
    let world = World::new().await;
    let mut first = world.replica("sluice-0").await;
    world.resources().apply("one", world.spec("one")).await;
    // A first cursor is saved within a second or two; who dies before that leaves none.
    world.more_ticks("one", 6).await;
    world.resources().ready("one").await;
    first.kill();
    // Who takes its place may not read what it left.
    let faults = ["list", "watch"].map(|verb| world.api.fault(Fault::Forbidden.on(verb, "configmaps")));
    let mut second = world.replica("sluice-1").await;
    within(TAKEOVER_MAX, "the status says that nobody runs it", async || {
        let resource = world.object("one");
        let says = |kind: &str| {
            let found = condition(&resource["status"], kind)?;
            let message = found["message"].as_str()?;
            Some(found["reason"] == "Stalled" && message.contains("its record cannot be read"))
        };
        (says("Delivering")? && says("Ready")?).then_some(())
    })
    .await;
    assert_eq!(world.object("one")["status"]["owner"], "sluice-1");
    let counted = "sluice_resources_not_running 1";
    within(TAKEOVER_MAX, "it is counted", async || {
        second.get("/metrics").await.text().lines().any(|line| line == counted).then_some(())
    })
    .await;

    faults.into_iter().for_each(|fault| world.api.lift(fault));
    world.up_to_date("one").await;
    world.resources().ready("one").await;
    assert!(second.stop().await.success());
    world.assert_complete("one", 5).await;
    world.assert_no_contradiction();
}

/// A name that belongs to `pod` as long as it is in no set with another one's.
fn name_at(pod: &str, prefix: &str) -> String {
    let names = (0..100).map(|n| format!("{prefix}-{n}"));
    let at = |name: &String| owner(["sluice-0", "sluice-1"], &format!("{TEAM}/{name}")) == Some(pod);
    names.into_iter().find(at).expect("half of all names do")
}

#[tokio::test]
async fn a_neighbour_that_comes_and_goes_cuts_no_request_of_a_tenant_that_it_moves() {
    let world = World::new().await;
    let _replicas = tokio::join!(world.replica("sluice-0"), world.replica("sluice-1"));
    world.leases().held_by(&["sluice-0", "sluice-1"]).await;
    let (neighbour, victim) = (name_at("sluice-0", "neighbour"), name_at("sluice-1", "victim"));
    // The older one names the set. It selects nothing, so it has nothing that the other one could not send.
    let mut apart = world.spec(&neighbour);
    apart["metrics"] = json!(["there_is_no_such_metric"]);
    let mut together = apart.clone();
    together["remoteWrite"]["remoteWrite"]["url"] = json!(world.receiving(&victim));
    together["remoteWrite"]["extraLabels"]["tenant"] = json!(victim);
    world.resources().apply(&neighbour, apart.clone()).await;
    // Ages have a resolution of one second.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    world.resources().apply(&victim, world.spec(&victim)).await;
    world.more_ticks(&victim, 2).await;
    world.resources().ready(&victim).await;
    // Longer than a request may hold up a change of its own resource.
    world.receiver.reply_always(Reply::Slow(Duration::from_millis(700)));
    let owner = || world.object(&victim)["status"]["owner"].clone();
    let mut owners = vec![owner()];
    for n in 0..10 {
        let spec = if n % 2 == 0 { &together } else { &apart };
        world.resources().apply(&neighbour, spec.clone()).await;
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        owners.push(owner());
    }
    world.up_to_date(&victim).await;
    assert!(owners.windows(2).any(|two| two[0] != two[1]), "it was never moved: {owners:?}");
    let delivered = ticks(&world.held(&victim)).len();
    let sent = world.receiver.seen().iter().filter(|seen| seen.uri == format!("/{victim}")).count();
    assert!(sent <= delivered + 1, "{sent} requests for {delivered} ticks");
    world.assert_complete(&victim, 10).await;
    world.assert_no_complaints();
}
