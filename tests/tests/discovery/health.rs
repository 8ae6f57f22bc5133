//! Health: replicas that come, go and fail, and what the receiver notices of it: nothing.

use std::collections::BTreeSet;

use serde_json::json;
use sluice_tests::series::Sample;
use sluice_tests::servers::Sluice;
use sluice_tests::wait::eventually;

use super::world::{MON, PROBES, Server, World, shows, targets, text};

/// The name of the one series that both replicas have.
const SERIES: &str = "m_one";

/// Two replicas of one server, told apart by the label `replica` alone, and by their values: 1 and 2.
struct Pair {
    world: World,
    a: Server,
    b: Server,
}

impl Pair {
    async fn new() -> Pair {
        let pair = Pair {
            world: World::new().await,
            a: Server::with(SERIES, 1).await,
            b: Server::with(SERIES, 2).await,
        };
        pair.create("a", &pair.a);
        pair.create("b", &pair.b);
        pair
    }

    fn create(&self, replica: &str, server: &Server) {
        let labels = json!({ "metadata": { "labels": { "replica": replica } } });
        server.pod(&self.world.api, &format!("prom-{replica}"), labels);
    }

    /// What the cluster says of the first replica's pod.
    fn tell_ready(&self, ready: &str) {
        self.world.api.apply(json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "prom-a", "namespace": MON },
            "status": { "conditions": [{ "type": "Ready", "status": ready }] },
        }));
    }

    async fn start(&self) -> Sluice {
        let blocks = json!([{
            "name": "ha", "kind": "pod", "namespaces": [MON], "labelSelector": "app=prometheus", "port": "web",
            "replicaLabel": "replica", "lag": "1s", "timeout": "2s",
        }]);
        let resource = self.world.resource("web");
        let sluice = self.world.setup(blocks, json!({})).resource("web.yaml", &resource).start().await;
        for name in ["ha/mon/prom-a", "ha/mon/prom-b"] {
            assert_eq!(shows(&sluice, name, "up", "").await["replica_group"], "ha/mon/*");
        }
        sluice
    }

    /// The samples of the only series there is.
    fn samples(&self) -> Vec<Sample> {
        let mut all = self.world.receiver.samples();
        assert_eq!(all.len(), 1, "two replicas are one series: {all:?}");
        all.pop_first().expect("there is one").1
    }

    /// Waits until new ticks come from the replica with this value.
    async fn come_from(&self, value: f64) {
        eventually(&format!("ticks come from the replica with {value}"), async || {
            let newest = self.world.receiver.samples().into_values().next()?.pop()?;
            (newest.value.float() == value).then_some(())
        })
        .await;
        self.world.receives(&[("__name__", SERIES)]).await;
    }

    /// Every tick has arrived once, in order; the values in the order in which they changed.
    fn assert_no_gap(&self) -> Vec<f64> {
        let samples = self.samples();
        let gaps: Vec<_> = samples.windows(2).filter(|pair| pair[1].at - pair[0].at != 1000).collect();
        assert_eq!(gaps, Vec::<&[Sample]>::new(), "a tick is missing");
        assert_eq!(self.world.receiver.violations(), []);
        assert_eq!(self.world.receiver.resends(), 0);
        let mut values: Vec<f64> = samples.iter().map(|sample| sample.value.float()).collect();
        values.dedup();
        values
    }
}

#[tokio::test]
async fn a_replica_that_goes_and_returns_is_not_noticed_by_the_receiver() {
    let pair = Pair::new().await;
    let mut sluice = pair.start().await;
    pair.come_from(1.0).await;
    pair.world.api.delete("Pod", MON, "prom-a");
    let target = shows(&sluice, "ha/mon/prom-a", "down", "gone from the cluster").await;
    assert!(target["last_seen"].is_string(), "{target}");
    pair.come_from(2.0).await;
    let asked = (pair.a.queries(), pair.a.probes_answered());
    pair.world.receives(&[("__name__", SERIES)]).await;
    pair.world.receives(&[("__name__", SERIES)]).await;
    assert_eq!(
        (pair.a.queries(), pair.a.probes_answered()),
        asked,
        "another server may have its address by now"
    );
    pair.create("a", &pair.a);
    shows(&sluice, "ha/mon/prom-a", "up", "").await;
    eventually("it is asked again", async || (pair.a.queries() > asked.0).then_some(())).await;
    pair.world.receives(&[("__name__", SERIES)]).await;
    assert!(sluice.stop().await.success());
    assert_eq!(pair.assert_no_gap(), [1.0, 2.0], "who took over keeps it");
}

#[tokio::test]
async fn a_replica_that_is_not_ready_is_passed_over_until_it_is_ready_for_a_while() {
    let pair = Pair::new().await;
    let mut sluice = pair.start().await;
    pair.come_from(1.0).await;

    // One failure alone is the end of a restart, not an outage.
    let steady = PROBES - 1;
    pair.a.probes_are_answered(&[vec![503; steady], vec![200]].concat());
    let health = seen_until(&sluice, "ha/mon/prom-a", async || pair.a.probes_answered() > steady + 1).await;
    assert_eq!(health, BTreeSet::from(["up".to_owned()]));

    pair.a.probes_are_answered(&[503]);
    let words = "/-/ready is answered with HTTP status 503 Service Unavailable: as the script says";
    let target = shows(&sluice, "ha/mon/prom-a", "down", words).await;
    assert!(target["last_seen"].is_string(), "{target}");
    assert!(target["consecutive_failures"].as_u64() >= Some(PROBES as u64), "{target}");
    let failed_at = text(&target, "last_error_at");
    pair.come_from(2.0).await;
    let asked = pair.a.queries();
    pair.world.receives(&[("__name__", SERIES)]).await;
    pair.world.receives(&[("__name__", SERIES)]).await;
    assert_eq!(pair.a.queries(), asked, "it is passed over while another one answers");

    // One success alone is the beginning of a restart.
    pair.a.probes_are_answered(&[vec![200; steady], vec![503]].concat());
    let health = seen_until(&sluice, "ha/mon/prom-a", async || pair.a.probes_answered() > steady + 1).await;
    assert_eq!(health, BTreeSet::from(["down".to_owned()]));
    assert_eq!(pair.a.queries(), asked);
    pair.a.probes_are_answered(&[200]);
    let target = shows(&sluice, "ha/mon/prom-a", "up", words).await;
    assert!(text(&target, "last_error_at") > failed_at, "the last error is the newest: {target}");
    assert!(pair.a.probes_answered() >= PROBES);
    eventually("it is asked again", async || (pair.a.queries() > asked).then_some(())).await;
    assert!(sluice.stop().await.success());
    assert_eq!(pair.assert_no_gap(), [1.0, 2.0]);
}

#[tokio::test]
async fn a_replica_whose_pod_is_not_ready_is_passed_over_though_it_answers() {
    let pair = Pair::new().await;
    let mut sluice = pair.start().await;
    pair.come_from(1.0).await;
    pair.tell_ready("False");
    shows(&sluice, "ha/mon/prom-a", "down", "the pod is not ready").await;
    pair.come_from(2.0).await;
    let asked = (pair.a.queries(), pair.a.probes_answered());
    eventually("it is probed all the while", async || (pair.a.probes_answered() > asked.1 + 1).then_some(()))
        .await;
    assert_eq!(pair.a.queries(), asked.0);
    pair.tell_ready("True");
    shows(&sluice, "ha/mon/prom-a", "up", "").await;
    eventually("it is asked again", async || (pair.a.queries() > asked.0).then_some(())).await;
    assert!(sluice.stop().await.success());
    assert_eq!(pair.assert_no_gap(), [1.0, 2.0]);
}

/// Every health a target is seen with until `done`.
async fn seen_until(sluice: &Sluice, name: &str, done: impl AsyncFn() -> bool) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    eventually(&format!("{name} was probed often enough"), async || {
        let target = targets(sluice).await.remove(name)?;
        seen.insert(text(&target, "health"));
        done().await.then_some(())
    })
    .await;
    seen
}
