//! Replicas share an API server: who runs what, when one comes, goes, dies, or nobody sees the server for a while.
//!
//! Time is the runtime's own and stands still while anybody works, so seconds here are exact and take none.

#![allow(missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use sluice::model::TenantId;
use sluice::tenancy::ownership::{self, LEASE_DURATION, owner};
use sluice::tenancy::shards::{
    self, Cursors, Grants, HANDOVER_MAX, Inputs, Record, Row, Shards, Tag, Wanted,
};
use sluice_tests::apiserver::{FakeApi, Fault};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

const SECOND: Duration = Duration::from_secs(1);
/// How long a pipeline takes to stop.
const STOPPING: Duration = Duration::from_millis(80);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The cursors of one replica.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<BTreeMap<TenantId, (u64, i64)>>>);

impl Memory {
    fn deliver(&self, tenant: &TenantId, tick: i64) {
        let mut cursors = lock(&self.0);
        let (epoch, delivered) = cursors.entry(tenant.clone()).or_default();
        (*epoch, *delivered) = (*epoch + 1, tick.max(*delivered));
    }

    fn delivered(&self, tenant: &TenantId) -> Option<i64> {
        lock(&self.0).get(tenant).map(|(_, delivered)| *delivered)
    }
}

impl Cursors for Memory {
    fn epoch(&self, tenant: &TenantId) -> u64 {
        lock(&self.0).get(tenant).map_or(0, |(epoch, _)| *epoch)
    }

    fn rows(&self, tenant: &TenantId) -> Vec<Row> {
        let row = |delivered| Row {
            group: "infra".into(),
            endpoint: "http://p:9090".into(),
            delivered,
            ended: false,
        };
        self.delivered(tenant).map(row).into_iter().collect()
    }

    fn tags(&self, _: &TenantId) -> Option<Vec<Tag>> {
        Some(Vec::new())
    }

    fn restore(&self, tenant: &TenantId, record: &Record) {
        record.cursors.iter().for_each(|row| self.deliver(tenant, row.delivered));
    }

    fn let_go(&self, _: &TenantId) {}
}

/// Who runs what, over all replicas.
type Board = Arc<Mutex<BTreeMap<TenantId, String>>>;

struct Cluster {
    api: FakeApi,
    wanted: watch::Sender<Option<Wanted>>,
    running: Board,
    pods: BTreeMap<String, Pod>,
}

struct Pod {
    cursors: Memory,
    leave: CancellationToken,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

fn cluster(tenants: usize) -> Cluster {
    let id = |n| TenantId { namespace: format!("team-{}", n % 7), name: format!("access-{n}") };
    let run: BTreeMap<TenantId, String> = (0..tenants).map(|n| (id(n), id(n).to_string())).collect();
    let known = Arc::new(run.keys().cloned().collect());
    let (wanted, _) = watch::channel(Some(Wanted { run: Arc::new(run), known, ..Wanted::default() }));
    let api = FakeApi::bare();
    api.create(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "sluice"}}));
    Cluster { api, wanted, running: Board::default(), pods: BTreeMap::new() }
}

impl Cluster {
    fn tenants(&self) -> Vec<TenantId> {
        self.wanted.borrow().as_ref().unwrap().run.keys().cloned().collect()
    }

    fn start(&mut self, name: &str) {
        let (client, cursors) = (self.api.client(), Memory::default());
        let (leave, stop, mut tasks) = (CancellationToken::new(), CancellationToken::new(), JoinSet::new());
        let config = ownership::Config { namespace: "sluice".into(), pod: name.into() };
        let (keeper, members) = ownership::open(client.clone(), config);
        let (engine, shards) = shards::open(client, "sluice", cursors.clone());
        let inputs = Inputs { wanted: self.wanted.subscribe(), members };
        tasks.spawn(keeper.run(leave.clone(), stop.clone()));
        tasks.spawn(engine.run(inputs, leave.clone(), stop.clone()));
        tasks.spawn(pipelines(name.to_owned(), shards, cursors.clone(), self.running.clone()));
        self.pods.insert(name.into(), Pod { cursors, leave, stop, tasks });
    }

    /// `kill -9`.
    async fn kill(&mut self, name: &str) {
        self.pods.remove(name).unwrap().tasks.shutdown().await;
        lock(&self.running).retain(|_, runs_at| runs_at != name);
    }

    /// What the tenants of a living replica have delivered so far.
    fn deliver(&self, tick: i64) {
        for (tenant, name) in lock(&self.running).iter() {
            self.pods[name].cursors.deliver(tenant, tick);
        }
    }

    /// Whether everything runs where it belongs.
    fn is_settled(&self, members: &[&str]) -> bool {
        let running = lock(&self.running);
        let place = |tenant: &TenantId| owner(members.iter().copied(), &tenant.to_string());
        self.tenants().iter().all(|tenant| running.get(tenant).map(String::as_str) == place(tenant))
    }

    /// How long it takes until everything runs where it belongs.
    async fn settles(&self, members: &[&str]) -> Duration {
        let began = Instant::now();
        let settled = async {
            while !self.is_settled(members) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        let running = || lock(&self.running).clone();
        timeout(60 * SECOND, settled).await.unwrap_or_else(|_| panic!("not settled: {:?}", running()));
        began.elapsed()
    }

    fn record(&self, tenant: &TenantId) -> Record {
        let key = format!("{}_{}", tenant.namespace, tenant.name);
        let maps = self.api.objects("ConfigMap");
        let value = maps.iter().find_map(|map| map["data"][&key].as_str()).expect("a record");
        Record::read(value).expect("a record that can be read")
    }

    fn leases(&self) -> Vec<String> {
        let name = |lease: &Value| lease["metadata"]["name"].as_str().unwrap().to_owned();
        self.api.objects("Lease").iter().map(name).collect()
    }
}

/// Stands for the pipelines of one replica: starts and stops what it is told, and never what runs elsewhere.
async fn pipelines(name: String, shards: Shards, cursors: Memory, running: Board) {
    let mut grants = shards.grants();
    let mut held = Grants::new();
    let mut releasing = JoinSet::new();
    loop {
        let granted = grants.borrow_and_update().clone();
        for tenant in granted.difference(&held) {
            let other = lock(&running).insert(tenant.clone(), name.clone());
            assert_eq!(other, None, "{tenant} starts at {name}");
        }
        for tenant in held.difference(&granted) {
            let (tenant, shards, running) = (tenant.clone(), shards.clone(), running.clone());
            let last = cursors.delivered(&tenant).unwrap_or(0) + 1;
            let cursors = cursors.clone();
            releasing.spawn(async move {
                sleep(STOPPING).await;
                cursors.deliver(&tenant, last);
                lock(&running).remove(&tenant);
                let _ = shards.release(&tenant).await;
            });
        }
        held = BTreeSet::clone(&granted);
        if grants.changed().await.is_err() {
            while let Some(released) = releasing.join_next().await {
                released.unwrap();
            }
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_comes_is_handed_its_share_in_well_under_a_second() {
    let mut cluster = cluster(40);
    cluster.start("a");
    assert!(cluster.settles(&["a"]).await < SECOND);
    cluster.deliver(100);
    cluster.start("b");
    let took = cluster.settles(&["a", "b"]).await;
    assert!(took < SECOND / 2, "{took:?}");
    let at_b: Vec<TenantId> =
        lock(&cluster.running).iter().filter(|(_, pod)| *pod == "b").map(|(id, _)| id.clone()).collect();
    assert!(at_b.len() > 8, "{at_b:?}");
    for tenant in at_b {
        let delivered = cluster.pods["b"].cursors.delivered(&tenant);
        assert_eq!(delivered, Some(101), "{tenant} goes on after the tick that was last");
        assert_eq!(cluster.record(&tenant).holder, "b");
    }
}

#[tokio::test(start_paused = true)]
async fn a_replica_told_to_stop_hands_over_in_well_under_a_second_and_leaves_no_lease() {
    let mut cluster = cluster(40);
    cluster.start("a");
    cluster.start("b");
    cluster.settles(&["a", "b"]).await;
    cluster.deliver(100);
    let pod = &cluster.pods["a"];
    pod.leave.cancel();
    let took = cluster.settles(&["b"]).await;
    assert!(took < SECOND / 2, "{took:?}");
    let mut pod = cluster.pods.remove("a").unwrap();
    pod.stop.cancel();
    timeout(SECOND, async { while pod.tasks.join_next().await.is_some() {} }).await.unwrap();
    assert_eq!(cluster.leases(), ["sluice-member-b"]);
    assert!(cluster.tenants().iter().all(|tenant| cluster.pods["b"].cursors.delivered(tenant) >= Some(100)));
}

#[tokio::test(start_paused = true)]
async fn a_killed_replica_is_replaced_within_its_lease_from_its_saved_cursors() {
    let mut cluster = cluster(40);
    cluster.start("a");
    cluster.start("b");
    cluster.settles(&["a", "b"]).await;
    cluster.deliver(100);
    sleep(33 * SECOND).await;
    cluster.kill("a").await;
    let took = cluster.settles(&["b"]).await;
    assert!(took > LEASE_DURATION / 2 && took < LEASE_DURATION + SECOND, "{took:?}");
    assert!(cluster.tenants().iter().all(|tenant| cluster.pods["b"].cursors.delivered(tenant) == Some(100)));
    assert_eq!(cluster.leases().len(), 2);
    sleep(LEASE_DURATION * 12).await;
    assert_eq!(cluster.leases(), ["sluice-member-b"], "the dead one's Lease is cleared away");
}

#[tokio::test(start_paused = true)]
async fn a_process_restarted_in_its_pod_goes_on_at_once() {
    let mut cluster = cluster(40);
    cluster.start("a");
    cluster.start("b");
    cluster.settles(&["a", "b"]).await;
    cluster.deliver(100);
    sleep(12 * SECOND).await;
    cluster.kill("a").await;
    cluster.start("a");
    let took = cluster.settles(&["a", "b"]).await;
    assert!(took < SECOND / 2, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_is_away_for_a_minute_changes_nothing() {
    for outage in [Fault::Refused, Fault::Unavailable] {
        let mut cluster = cluster(40);
        cluster.start("a");
        cluster.start("b");
        cluster.settles(&["a", "b"]).await;
        let before = lock(&cluster.running).clone();
        let fault = cluster.api.fault(outage.clone());
        if outage == Fault::Unavailable {
            cluster.api.drop_watches();
        }
        for second in 0..60 {
            cluster.deliver(100 + second);
            sleep(SECOND).await;
            assert_eq!(*lock(&cluster.running), before, "{outage:?}, second {second}");
        }
        cluster.api.lift(fault);
        for _ in 0..60 {
            sleep(SECOND).await;
            assert_eq!(*lock(&cluster.running), before, "{outage:?}, after it");
        }
        let saved = cluster.tenants().iter().all(|tenant| cluster.record(tenant).cursors[0].delivered == 159);
        assert!(saved, "what was delivered meanwhile is saved");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_dies_while_the_api_server_is_away_is_replaced_a_lease_after_its_return() {
    let mut cluster = cluster(40);
    cluster.start("a");
    cluster.start("b");
    cluster.settles(&["a", "b"]).await;
    let fault = cluster.api.fault(Fault::Refused);
    sleep(5 * SECOND).await;
    cluster.kill("a").await;
    let left = lock(&cluster.running).clone();
    sleep(55 * SECOND).await;
    cluster.api.lift(fault);
    sleep(LEASE_DURATION - SECOND).await;
    assert_eq!(*lock(&cluster.running), left);
    assert!(cluster.settles(&["b"]).await < 6 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_replica_whose_handles_are_gone_still_keeps_its_place() {
    let api = FakeApi::bare();
    api.create(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "sluice"}}));
    let (engine, shards) = shards::open(api.client(), "sluice", Memory::default());
    drop(shards);
    let (_wanted, wanted) = watch::channel(None);
    let (_members, members) = watch::channel(Arc::default());
    let stop = CancellationToken::new();
    let running = tokio::spawn(engine.run(Inputs { wanted, members }, stop.clone(), stop.clone()));
    sleep(SECOND).await;
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn somebody_elses_changes_are_met_with_another_look() {
    let mut cluster = cluster(40);
    cluster.start("a");
    cluster.start("b");
    cluster.settles(&["a", "b"]).await;
    cluster.deliver(100);
    for second in 0..25 {
        for map in cluster.api.objects("ConfigMap") {
            let name = map["metadata"]["name"].as_str().unwrap();
            let touched = json!({"metadata": {"annotations": {"touched": second.to_string()}}});
            cluster.api.merge("ConfigMap", "sluice", name, touched);
        }
        sleep(SECOND).await;
    }
    for map in cluster.api.objects("ConfigMap").iter().take(2) {
        cluster.api.delete("ConfigMap", "sluice", map["metadata"]["name"].as_str().unwrap());
    }
    sleep(HANDOVER_MAX).await;
    assert!(cluster.is_settled(&["a", "b"]));
    assert!(cluster.tenants().iter().all(|tenant| cluster.record(tenant).cursors[0].delivered == 100));
}

#[tokio::test(start_paused = true)]
async fn a_thousand_tenants_cost_eight_writes_every_ten_seconds() {
    let mut cluster = cluster(1_000);
    cluster.start("a");
    assert!(cluster.settles(&["a"]).await < SECOND);
    let started = cluster.api.requests();
    assert!(started.count("create", "configmaps") == 8 && started.total() < 40, "{started:?}");
    cluster.deliver(1);
    sleep(15 * SECOND).await;
    let before = cluster.api.requests();
    for second in 0..100 {
        cluster.deliver(100 + second);
        sleep(SECOND).await;
    }
    let asked = cluster.api.requests().since(&before);
    assert!((72..=88).contains(&asked.count("patch", "configmaps")), "{asked:?}");
    assert!((20..=28).contains(&asked.count("patch", "leases")), "{asked:?}");
    assert!(asked.total() < 125, "{asked:?}");
}
