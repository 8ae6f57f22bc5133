//! Out of order: a real Prometheus that takes samples in any order has the newest ticks at once after an outage, and in the end every
//! sample and every stale marker, each with its value.

use std::collections::BTreeSet;
use std::time::Duration;

use sluice_tests::expectation::{EVERYTHING, Expectation, Held, assert_every_tick, ticks};
use sluice_tests::exposition::Motion;
use sluice_tests::filtered::every_second;
use sluice_tests::relay::{Line, Relay};
use sluice_tests::series::{Sample, Value, series};
use sluice_tests::servers::{Prometheus, Setup, Sluice, config};
use sluice_tests::stage::Stage;
use sluice_tests::stored::stored;
use sluice_tests::wait::{eventually, now_ms};

const INTERVAL_MS: i64 = 1000;

/// Many times what the lane takes for the newest.
const OUTAGE: Duration = Duration::from_secs(20);

/// A receiver that takes samples as old as `window` in any order.
async fn receiver(window: &str) -> Prometheus {
    let storage = format!("storage: {{ tsdb: {{ out_of_order_time_window: {window} }} }}\n");
    Prometheus::with_config(&(config(&[], &[]) + &storage)).await
}

/// A resource for `url`, which is said to take samples in any order.
fn resource(url: &str) -> serde_json::Value {
    let mut resource = every_second("team/all", &format!("{url}/api/v1/write"), ".+");
    resource["spec"]["remoteWrite"]["outOfOrder"] = true.into();
    resource
}

/// Source, receiver and the line between it and Sluice.
struct Scene {
    stage: Stage,
    receiver: Prometheus,
    relay: Relay,
    sluice: Sluice,
    began: i64,
}

impl Scene {
    async fn set(window: &str) -> Scene {
        let began = now_ms();
        let (stage, receiver) = tokio::join!(Stage::set(), receiver(window));
        let relay = Relay::to(receiver.url().strip_prefix("http://").expect("a plain address")).await;
        let resource = resource(&format!("http://{}", relay.address()));
        let setup =
            Setup::new().source("main", &stage.source.url()).resource("all.yaml", &resource.to_string());
        let scene = Scene { sluice: setup.start().await, stage, receiver, relay, began };
        eventually("ticks arrive", async || (scene.held().await.len() > 2).then_some(())).await;
        scene
    }

    /// Ticks of which the receiver has anything.
    async fn held(&self) -> BTreeSet<i64> {
        ticks(&self.all().await)
    }

    async fn all(&self) -> Held {
        stored(&self.receiver.url(), (self.began, now_ms())).await.expect("the receiver answers")
    }

    /// Series come and go while the receiver is away, and when it is back.
    async fn live_through_the_outage(&self) {
        let quarter = OUTAGE / 4;
        tokio::time::sleep(quarter).await;
        self.stage.target.remove(&series("db_rows", [("job", "db"), ("table", "orders")]));
        self.stage.target.set(series("passing", [("job", "db")]), Motion::Counter { start: 3.0, step: 1.0 });
        tokio::time::sleep(quarter * 2).await;
        self.stage.target.remove(&series("passing", [("job", "db")]));
        self.stage.target.set(series("begun", [("job", "db")]), 1.0);
        tokio::time::sleep(quarter).await;
    }

    /// Waits until something of the present is there, and says what else is there by then.
    async fn back(&self) -> BTreeSet<i64> {
        let back = now_ms();
        eventually("the newest tick arrives", async || {
            let held = self.held().await;
            held.last().is_some_and(|newest| *newest > back - 3 * INTERVAL_MS).then_some(held)
        })
        .await
    }

    /// Waits until there is no gap, and compares all that is held with the source.
    async fn complete(mut self) -> String {
        eventually("the gap is filled", async || {
            let held: Vec<i64> = self.held().await.into_iter().collect();
            held.windows(2).all(|pair| pair[1] - pair[0] == INTERVAL_MS).then_some(())
        })
        .await;
        self.stage.target.remove(&series("begun", [("job", "db")]));
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert!(self.sluice.stop().await.success());
        let held = self.all().await;
        assert_every_tick(&ticks(&held), INTERVAL_MS, OUTAGE.as_secs() as usize);
        let expected = Expectation::of(&self.stage.api(), &ticks(&held), &[EVERYTHING], Some).await;
        assert_eq!(bare(&held), bare(&expected.samples()));
        let ends = held.iter().filter(|(_, samples)| samples.iter().any(|s| s.value == Value::STALE));
        let ended: Vec<_> = ends.map(|(series, _)| series.name().to_owned()).collect();
        assert_eq!(ended, ["begun", "db_rows", "passing"]);
        assert_eq!(self.receiver.complaints(), [""; 0]);
        self.sluice.log()
    }
}

/// Samples without their labels, which are another test's.
fn bare(held: &Held) -> Vec<Vec<Sample>> {
    let mut all: Vec<_> = held.values().cloned().collect();
    all.sort_by_key(|samples| format!("{samples:?}"));
    all
}

/// How many of the ticks between the first and the last are missing.
fn missing(held: &BTreeSet<i64>) -> usize {
    let (first, last) = (held.first().unwrap(), held.last().unwrap());
    ((last - first) / INTERVAL_MS + 1) as usize - held.len()
}

#[tokio::test]
async fn a_receiver_that_was_away_is_live_before_it_has_what_it_missed() {
    let scene = Scene::set("1h").await;
    scene.relay.set(Line::Cut);
    scene.live_through_the_outage().await;
    scene.relay.set(Line::Open);
    let held = scene.back().await;
    let first = scene.sluice.log().contains("goes on with the newest tick");
    assert!(first, "{} ticks are missing:\n{}", missing(&held), scene.sluice.log());
    let log = scene.complete().await;
    let recovery = log.lines().find(|line| line.contains("Remote write job delivers again"));
    let recovery: serde_json::Value = serde_json::from_str(recovery.expect(&log)).unwrap();
    let down = recovery["down_seconds"].as_u64().unwrap();
    let outage = OUTAGE.as_secs();
    assert!((outage - 5..outage + 60).contains(&down), "{recovery}");
    assert!(recovery["ticks_caught_up"].as_u64().unwrap() >= outage, "{recovery}");
}

#[tokio::test]
async fn a_program_that_was_killed_is_live_before_it_has_sent_what_it_missed() {
    let mut scene = Scene::set("1h").await;
    scene.sluice.kill();
    scene.live_through_the_outage().await;
    scene.sluice.restart().await;
    scene.back().await;
    scene.complete().await;
}

/// Whoever says that it takes any order and does not.
async fn refuses(window: &str, reason: &str) {
    let scene = Scene::set(window).await;
    scene.relay.set(Line::Cut);
    scene.live_through_the_outage().await;
    scene.relay.set(Line::Open);
    scene.back().await;
    let metric = format!(
        r#"sluice_samples_refused_total{{tenant="team",target_type="remote_write",reason="{reason}"}} "#
    );
    let told =
        async |page: &str, what: &str| scene.sluice.get(page).await.text().contains(what).then_some(());
    eventually("it is told", async || told("/health", "out-of-order window").await).await;
    let page = scene.sluice.get("/metrics").await;
    let page = page.text();
    let count = page.lines().find_map(|line| line.strip_prefix(&metric)).expect("it is counted");
    assert!(count.parse::<f64>().unwrap() > 0.0, "{page}");
    assert!(scene.sluice.log().contains("Receiver refuses samples"), "{}", scene.sluice.log());
    // Nothing waits: all that is new arrives in its time, which is some seconds after it.
    let since = now_ms();
    tokio::time::sleep(Duration::from_secs(8)).await;
    let held = scene.held().await;
    let new = held.range(since..).count();
    assert!(new >= 3, "{new} ticks since: {held:?}");
}

#[tokio::test]
async fn a_receiver_without_a_window_refuses_what_it_missed_and_nothing_waits_for_that() {
    refuses("0s", "out_of_order").await;
}

#[tokio::test]
async fn a_receiver_whose_window_is_too_short_refuses_what_is_older_and_nothing_waits_for_that() {
    refuses("3s", "too_old").await;
}
