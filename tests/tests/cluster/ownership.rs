//! Ownership: who works for which resource, and that nothing is lost when that changes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use sluice_tests::cluster::{Cluster, Replica};

use super::world::{TAKEOVER_MAX, World, assert_no_refusals, spec};

/// Enough that each of three replicas has some: the chance that one of them has none is below one in 500.
const RESOURCES: usize = 16;

fn names() -> Vec<String> {
    (0..RESOURCES).map(|i| format!("one-{i:02}")).collect()
}

/// Who owns which resource.
async fn owners(world: &World) -> BTreeMap<String, String> {
    let all = world.resources("team").all().await;
    all.into_iter().filter_map(|(name, resource)| Some((name, resource.owner()?))).collect()
}

/// Waits until all resources are owned by these replicas, each by the one that works for it.
async fn settled(world: &World, replicas: &[&Replica]) -> BTreeMap<String, String> {
    let mut said = String::new();
    let start = Instant::now();
    while start.elapsed() < TAKEOVER_MAX {
        let owners = owners(world).await;
        let mut works = BTreeMap::new();
        for replica in replicas {
            let tenants = replica.tenants().await;
            works.insert(replica.pod.clone(), tenants);
        }
        let mut owned: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (name, owner) in &owners {
            let name = format!("{}/{name}", world.installation.tenant("team"));
            owned.entry(owner.clone()).or_default().insert(name);
        }
        if owners.len() == RESOURCES && owned == works {
            return owners;
        }
        said = format!("owned {owned:#?}\nworked for {works:#?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("replicas do not work for what they own: {said}");
}

async fn run_all(world: &World) {
    for name in names() {
        world.resources("team").apply(&name, spec(&name)).await;
    }
}

async fn all_deliver(world: &World, count: usize) {
    for name in names() {
        world.more_ticks(&name, count).await;
    }
}

/// Stops them, and compares what every resource delivered with what the source has.
async fn finish(world: &World, replicas: Vec<Replica>, count: usize) {
    for name in names() {
        world.up_to_date(&name).await;
    }
    for mut replica in replicas {
        assert!(replica.sluice.stop().await.success());
        assert_no_refusals(&[&replica]);
    }
    for name in names() {
        world.assert_complete(&name, count).await;
    }
    world.installation.leases().held_by(&[]).await;
}

pub(crate) async fn a_killed_replica_costs_nothing(cluster: &Cluster) {
    let world = World::new(cluster, &["team"]).await;
    let (mut first, second) =
        tokio::join!(world.replica("sluice-0", &["team"]), world.replica("sluice-1", &["team"]));
    world.installation.leases().held_by(&["sluice-0", "sluice-1"]).await;
    run_all(&world).await;
    let before = settled(&world, &[&first, &second]).await;
    all_deliver(&world, 3).await;

    first.sluice.kill();
    let after = settled(&world, &[&second]).await;
    assert_eq!(after.len(), before.len());
    for name in names() {
        world.resources("team").ready(&name).await;
    }
    finish_all_but_the_dead(&world, second).await;
}

/// A killed replica's Lease stays until somebody is sure.
async fn finish_all_but_the_dead(world: &World, mut survivor: Replica) {
    for name in names() {
        world.up_to_date(&name).await;
    }
    assert!(survivor.sluice.stop().await.success());
    assert_no_refusals(&[&survivor]);
    for name in names() {
        world.assert_complete(&name, 10).await;
    }
}

pub(crate) async fn replicas_come_and_go(cluster: &Cluster) {
    let world = World::new(cluster, &["team"]).await;
    let (first, second) =
        tokio::join!(world.replica("sluice-0", &["team"]), world.replica("sluice-1", &["team"]));
    run_all(&world).await;
    let two = settled(&world, &[&first, &second]).await;
    let third = world.replica("sluice-2", &["team"]).await;
    let three = settled(&world, &[&first, &second, &third]).await;
    for (name, owner) in &three {
        let stayed = two[name] == *owner;
        assert!(stayed || owner == "sluice-2", "{name} went from {} to {owner} for nothing", two[name]);
    }
    all_deliver(&world, 3).await;
    let mut first = first;
    assert!(first.sluice.stop().await.success());
    world.installation.leases().held_by(&["sluice-1", "sluice-2"]).await;
    let left = settled(&world, &[&second, &third]).await;
    for (name, owner) in &left {
        let stayed = three[name] == *owner;
        assert!(
            stayed || three[name] == "sluice-0",
            "{name} went from {} to {owner} for nothing",
            three[name]
        );
    }
    all_deliver(&world, 2).await;
    assert_no_refusals(&[&first]);
    finish(&world, vec![second, third], 8).await;
    assert_eq!(world.receiver.complaints(), [""; 0], "a hand-over is no reason to send anything twice");
}
