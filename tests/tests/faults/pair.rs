//! Two processes share the resources of a cluster, and die in turns.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::{Rng as _, SeedableRng as _};
use serde_json::json;
use sluice_tests::apiserver::{FakeApi, Serving};
use sluice_tests::cluster::Resources;
use sluice_tests::expectation::{EVERYTHING, Expectation, Held, ticks};
use sluice_tests::faulty::Faulty;
use sluice_tests::relay::Relay;
use sluice_tests::series::LabelSet;
use sluice_tests::servers::{Pod, Prometheus, Setup, Sluice};
use sluice_tests::wait::{now_ms, within};

use super::scene::{Account, INTERVAL_MS, seconds};
use super::source::{Source, fronted};

/// Our own namespace, and the tenants'.
const OURS: &str = "sluice";
const TEAM: &str = "team";

const RESOURCES: usize = 4;

/// How long a cursor may be unsaved in a cluster.
const SAVED_WITHIN_MS: i64 = 10_000;

/// A lease, what was missed meanwhile, and a machine that is busy. It bounds a hang.
const TAKEOVER_MAX: Duration = Duration::from_secs(180);

struct Pair {
    source: Source,
    receiver: Prometheus,
    front: Faulty,
    line: Relay,
    api: FakeApi,
    _serving: Serving,
    _folder: tempfile::TempDir,
    replicas: [Sluice; 2],
}

fn name(n: usize) -> String {
    format!("one-{n}")
}

impl Pair {
    async fn set() -> Pair {
        let api = FakeApi::start();
        for name in [OURS, TEAM] {
            api.create(json!({ "kind": "Namespace", "metadata": { "name": name } }));
        }
        let (source, receiver, serving) =
            tokio::join!(Source::start("a"), Prometheus::receiver(), api.serve());
        let (front, line) = fronted(&receiver.url()).await;
        let folder = tempfile::TempDir::new().expect("a temporary folder can be made");
        let kubeconfig = folder.path().join("kubeconfig");
        std::fs::write(&kubeconfig, serving.kubeconfig(None)).expect("the folder is writable");
        let replica = async |pod: &str| {
            let setup = source
                .in_setup(Setup::new())
                .setting("kubernetes", json!({ "kubeconfig": kubeconfig }))
                .setting("isolation", json!({ "mode": "optional" }))
                .setting("receivers", json!({ "allow": ["127.0.0.0/8"] }));
            setup.pod(Pod { name: pod.to_owned(), namespace: OURS.to_owned() }).start().await
        };
        let (first, second) = tokio::join!(replica("sluice-0"), replica("sluice-1"));
        let replicas = [first, second];
        let pair = Pair { source, receiver, front, line, api, _serving: serving, _folder: folder, replicas };
        let resources = Resources::new(pair.api.client(), TEAM);
        for n in 0..RESOURCES {
            resources.apply(&name(n), pair.spec(&name(n))).await;
        }
        pair.up_to_date().await;
        pair
    }

    fn spec(&self, name: &str) -> serde_json::Value {
        json!({
            "source": "team",
            "metrics": [".+"],
            "remoteWrite": {
                "enabled": true, "interval": "1s",
                "target": { "type": "remote_write" },
                "remoteWrite": { "url": format!("http://{}/api/v1/write", self.line.address()) },
                "extraLabels": { "tenant": name },
            },
        })
    }

    /// Waits until every tick up to now has arrived, of every resource.
    async fn up_to_date(&self) {
        let due = now_ms();
        for n in 0..RESOURCES {
            within(TAKEOVER_MAX, &format!("{} is up to date", name(n)), async || {
                let selector = format!(r#"db_rows{{tenant="{}"}}"#, name(n));
                let held = self.receiver.api().raw(&selector, "10m", now_ms()).await.ok()?;
                held.values().flatten().map(|sample| sample.at).max().filter(|newest| *newest >= due)
            })
            .await;
        }
    }

    /// Compares everything that each resource delivered.
    async fn compare(&self) -> Account {
        let mut account = Account::default();
        let all = self.receiver.api().raw(EVERYTHING, "2h", now_ms()).await.expect("the receiver answers");
        for n in 0..RESOURCES {
            let of = |series: &LabelSet| series.get("tenant") == name(n);
            let held: Held = all.clone().into_iter().filter(|(series, _)| of(series)).collect();
            let arrived = ticks(&held);
            let (first, last) = (*arrived.first().expect("something"), *arrived.last().expect("something"));
            let every: BTreeSet<i64> =
                (0..=(last - first) / INTERVAL_MS).map(|n| first + n * INTERVAL_MS).collect();
            let shape = |series: LabelSet| {
                let series = series.with("cluster", "a").stamped("tenant", &name(n));
                Some(series.stamped("managed_by", "multi-tenant-proxy"))
            };
            let expected =
                Expectation::of(&self.source.server.api(), &every, &[EVERYTHING], shape).await.values();
            account.ticks += every.len();
            account.count(&expected, &held);
        }
        account.refused = self.front.refused().len();
        account.refusals = self.receiver.writes().await.get("400").copied().unwrap_or_default() as usize;
        account
    }
}

/// One of them always, and in the end the one that is left has everything.
pub(crate) async fn two_processes_are_killed_in_turns() -> Account {
    let seed = rand::random();
    eprintln!("pair: seed {seed}");
    let mut chance = rand::rngs::StdRng::seed_from_u64(seed);
    let mut pair = Pair::set().await;
    let times = (seconds() / 2) as usize;
    for n in 0..times {
        let replica = &mut pair.replicas[n % 2];
        tokio::time::sleep(Duration::from_millis(chance.random_range(0..3_000))).await;
        replica.kill();
        tokio::time::sleep(Duration::from_millis(chance.random_range(0..2_000))).await;
        replica.restart().await;
    }
    // For good, so that its lease expires.
    pair.replicas[0].kill();
    pair.up_to_date().await;
    assert!(pair.replicas[1].stop().await.success());
    let mut account = pair.compare().await;
    // Of each kill, for each of the resources, those since a cursor was saved, and the one that was being sent.
    account.doubtful = (SAVED_WITHIN_MS / INTERVAL_MS + 1) as usize * (times + 1);
    account
}
