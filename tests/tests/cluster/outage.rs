//! Outage: the API server cannot be reached, and metrics go on.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use sluice_tests::cluster::Cluster;
use sluice_tests::expectation::ticks;
use sluice_tests::relay::Line;
use sluice_tests::wait::eventually;

use super::world::{World, assert_no_refusals, spec};

/// Four lease durations.
const OUTAGE: Duration = Duration::from_secs(60);
/// A lease's duration, in which nobody may be declared dead after the API server came back.
const LEASE: Duration = Duration::from_secs(15);

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

async fn owners(world: &World) -> BTreeMap<String, String> {
    let all = world.resources("team").all().await;
    all.into_iter().filter_map(|(name, resource)| Some((name, resource.owner()?))).collect()
}

async fn all_ready(world: &World) {
    for name in NAMES {
        world.resources("team").ready(name).await;
    }
}

pub(crate) async fn a_minute_without_the_api_server(cluster: &Cluster) {
    let world = World::new(cluster, &["team"]).await;
    let (mut first, mut second) =
        tokio::join!(world.replica("sluice-0", &["team"]), world.replica("sluice-1", &["team"]));
    world.installation.leases().held_by(&["sluice-0", "sluice-1"]).await;
    for name in NAMES {
        world.resources("team").apply(name, spec(name)).await;
    }
    all_ready(&world).await;
    let before = owners(&world).await;
    assert_eq!(before.len(), NAMES.len());
    let working = (first.tenants().await, second.tenants().await);

    // One of them is refused, the other hears nothing: both happen.
    first.line.set(Line::Cut);
    second.line.set(Line::Silent);
    let cut_at = tokio::time::Instant::now();
    world.resources("team").merge("a", json!({ "spec": { "metrics": ["db_rows"] } })).await;
    tokio::time::sleep(OUTAGE / 2).await;
    for name in NAMES {
        world.more_ticks(name, 2).await;
    }
    assert_eq!((first.tenants().await, second.tenants().await), working, "membership is frozen");
    assert!(world.alive("a").await.contains("queue_depth"), "what nobody could hear is not in force");
    tokio::time::sleep_until(cut_at + OUTAGE).await;
    first.line.set(Line::Open);
    second.line.set(Line::Open);

    eventually("the change is in force", async || {
        (world.alive("a").await.into_iter().collect::<Vec<_>>() == ["db_rows"]).then_some(())
    })
    .await;
    // A death that is declared too early would be declared in here.
    tokio::time::sleep(LEASE + LEASE / 2).await;
    assert_eq!((first.tenants().await, second.tenants().await), working, "nobody was declared dead");
    assert_eq!(owners(&world).await, before);
    world.installation.leases().held_by(&["sluice-0", "sluice-1"]).await;
    all_ready(&world).await;
    for name in NAMES {
        world.up_to_date(name).await;
    }
    for replica in [&mut first, &mut second] {
        assert!(replica.sluice.stop().await.success());
    }
    for name in NAMES.into_iter().filter(|name| *name != "a") {
        world.assert_complete(name, 40).await;
    }
    assert_eq!(world.receiver.complaints(), [""; 0]);
    assert_no_refusals(&[&first, &second]);
}

pub(crate) async fn a_replica_that_is_cut_off_alone(cluster: &Cluster) {
    let world = World::new(cluster, &["team"]).await;
    let (mut first, mut second) =
        tokio::join!(world.replica("sluice-0", &["team"]), world.replica("sluice-1", &["team"]));
    world.installation.leases().held_by(&["sluice-0", "sluice-1"]).await;
    for name in NAMES {
        world.resources("team").apply(name, spec(name)).await;
    }
    all_ready(&world).await;
    let before = owners(&world).await;
    first.line.set(Line::Cut);
    let all = NAMES.iter().map(|name| ((*name).to_owned(), "sluice-1".to_owned())).collect();
    eventually("the one that can be reached has everything", async || {
        (owners(&world).await == all).then_some(())
    })
    .await;
    for name in NAMES {
        world.more_ticks(name, 3).await;
    }
    first.line.set(Line::Open);
    eventually("everybody has what they had", async || (owners(&world).await == before).then_some(())).await;
    for name in NAMES {
        world.up_to_date(name).await;
    }
    for replica in [&mut first, &mut second] {
        assert!(replica.sluice.stop().await.success());
    }
    // For a while two replicas sent the same: every tick is there, and none has another value.
    for name in NAMES {
        world.assert_complete(name, 10).await;
        assert!(ticks(&world.delivered(name).await).len() >= 10);
    }
    assert_no_refusals(&[&first, &second]);
}
