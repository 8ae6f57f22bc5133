//! Groups: what a resource pushed to a Pushgateway and pushes to no more is removed, whatever was down meanwhile.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sluice_tests::relay::{Line, Relay};
use sluice_tests::servers::{Pushgateway, Setup};
use sluice_tests::wait::within;

use super::world::{OURS, TAKEOVER_MAX, TEAM, World, replica};

/// A Pushgateway behind a line that can be cut.
struct Gateway {
    server: Pushgateway,
    line: Relay,
}

impl Gateway {
    async fn start() -> Gateway {
        let server = Pushgateway::start().await;
        let line = Relay::to(server.url().trim_start_matches("http://")).await;
        Gateway { server, line }
    }

    /// What a replica is told, with the gateway as the Service of the tenants' namespace.
    fn setup(&self, world: &World) -> Setup {
        let url = format!("http://{}", self.line.address());
        world.setup().service(&format!("pushgateway.{TEAM}:9091"), &url)
    }

    /// Waits until it holds groups of exactly these jobs.
    async fn holds(&self, jobs: &[&str]) {
        let wanted: BTreeSet<String> = jobs.iter().map(|job| (*job).to_owned()).collect();
        within(TAKEOVER_MAX, &format!("the groups are {jobs:?}"), async || {
            let held: BTreeSet<String> = self.server.push_times().await.into_keys().collect();
            (held == wanted).then_some(())
        })
        .await;
    }
}

/// A resource that pushes to this job's group.
fn pushing(world: &World, job: &str) -> Value {
    let block = json!({ "serviceName": "pushgateway", "jobName": job });
    world.spec_to("pushgateway", "pushgateway", block, "pushes")
}

/// Waits until the records owe nothing but the groups of these jobs.
async fn remembered(world: &World, jobs: &[&str]) {
    let wanted: BTreeSet<String> = jobs.iter().map(|job| (*job).to_owned()).collect();
    within(TAKEOVER_MAX, &format!("the records hold {jobs:?}"), async || {
        (groups(world) == wanted).then_some(())
    })
    .await;
}

/// The jobs of the groups that the records hold.
fn groups(world: &World) -> BTreeSet<String> {
    let maps = world.api.objects("ConfigMap");
    let ours = maps.iter().filter(|map| map["metadata"]["namespace"] == OURS);
    let values = ours.flat_map(|map| map["data"].as_object().into_iter().flatten());
    let record = |(_, value): (_, &Value)| serde_json::from_str::<Value>(value.as_str()?).ok();
    let job = |group: &Value| Some(group["job"].as_str()?.to_owned());
    values
        .filter_map(record)
        .flat_map(|record| {
            let groups = record["groups"].as_array().cloned().unwrap_or_default();
            groups.iter().filter_map(job).collect::<Vec<_>>()
        })
        .collect()
}

#[tokio::test]
async fn a_group_that_was_left_while_the_gateway_was_down_goes_once_it_answers() {
    let (world, gateway) = tokio::join!(World::new(), Gateway::start());
    let mut sluice = replica("sluice-0", gateway.setup(&world)).await;
    world.resources().apply("pushes", pushing(&world, "old")).await;
    gateway.holds(&["old"]).await;

    gateway.line.set(Line::Cut);
    world.resources().apply("pushes", pushing(&world, "new")).await;
    world.resources().becomes("pushes", "Delivering", "False", "EndpointFailing").await;
    gateway.line.set(Line::Open);
    gateway.holds(&["new"]).await;
    remembered(&world, &["new"]).await;

    // Nor does a group outlive that its resource is switched off.
    gateway.line.set(Line::Cut);
    world.resources().merge("pushes", json!({ "spec": { "remoteWrite": { "enabled": false } } })).await;
    world.resources().becomes("pushes", "Ready", "False", "Disabled").await;
    within(TAKEOVER_MAX, "the removal failed", async || {
        sluice.log().contains("Pushgateway group not removed").then_some(())
    })
    .await;
    gateway.line.set(Line::Open);
    gateway.holds(&[]).await;
    remembered(&world, &[]).await;
    assert!(sluice.stop().await.success());
}

#[tokio::test]
async fn a_group_that_was_left_while_its_replica_was_dead_goes_at_the_takeover() {
    let (world, gateway) = tokio::join!(World::new(), Gateway::start());
    let mut first = replica("sluice-0", gateway.setup(&world)).await;
    world.resources().apply("pushes", pushing(&world, "old")).await;
    gateway.holds(&["old"]).await;
    first.kill();

    // To another kind of target: nothing in the resource tells of a group any more.
    world.resources().merge("pushes", json!({ "spec": { "remoteWrite": { "pushgateway": null } } })).await;
    world.resources().apply("pushes", world.spec("pushes")).await;
    let mut second = replica("sluice-1", gateway.setup(&world)).await;
    world.more_ticks("pushes", 2).await;
    gateway.holds(&[]).await;
    remembered(&world, &[]).await;
    assert!(second.stop().await.success());
}

#[tokio::test]
async fn a_deleted_resource_takes_the_groups_along_that_it_had_left() {
    let (world, gateway) = tokio::join!(World::new(), Gateway::start());
    let mut sluice = replica("sluice-0", gateway.setup(&world)).await;
    world.resources().apply("pushes", pushing(&world, "old")).await;
    gateway.holds(&["old"]).await;
    let held = || world.object("pushes")["metadata"]["finalizers"].as_array().map_or(0, Vec::len);
    within(TAKEOVER_MAX, "it is held", async || (held() == 1).then_some(())).await;

    gateway.line.set(Line::Cut);
    world.resources().apply("pushes", pushing(&world, "new")).await;
    world.resources().becomes("pushes", "Delivering", "False", "EndpointFailing").await;
    world.resources().delete("pushes").await;
    gateway.line.set(Line::Open);
    world.resources().gone("pushes").await;
    gateway.holds(&[]).await;
    remembered(&world, &[]).await;
    assert!(sluice.stop().await.success());
}
