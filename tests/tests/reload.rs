//! Reload: a file that comes, changes or goes takes effect, and nothing but its own pipeline notices.

use std::collections::BTreeSet;
use std::time::Duration;

use sluice_tests::expectation::{EVERYTHING, assert_every_tick, ticks};
use sluice_tests::series::series;
use sluice_tests::servers::{Setup, Sluice};
use sluice_tests::stage::Stage;
use sluice_tests::strict_receiver::{Reply, StrictReceiver};
use sluice_tests::wait::{eventually, now_ms};

const INTERVAL_MS: i64 = 1000;

fn resource(name: &str, pattern: &str, receiver: &StrictReceiver) -> String {
    format!(
        r#"apiVersion: observability.ethos.io/v1alpha1
kind: MetricAccess
metadata: {{ name: {name}, namespace: team }}
spec:
  source: team
  metrics: ["{pattern}"]
  remoteWrite:
    enabled: true
    interval: "1s"
    target: {{ type: remote_write }}
    remoteWrite: {{ url: "{}/{name}" }}
"#,
        receiver.url()
    )
}

/// The metric names whose newest sample is not a stale marker.
fn live(receiver: &StrictReceiver) -> BTreeSet<String> {
    let alive = |samples: &Vec<sluice_tests::series::Sample>| {
        samples.last().is_some_and(|s| s.value != sluice_tests::series::Value::STALE)
    };
    receiver.samples().iter().filter(|(_, s)| alive(s)).map(|(l, _)| l.name().to_owned()).collect()
}

async fn becomes(receiver: &StrictReceiver, names: &[&str]) {
    let names = names.iter().map(|n| (*n).to_owned()).collect();
    eventually(&format!("the receiver holds {names:?}"), async || (live(receiver) == names).then_some(()))
        .await;
}

struct Two {
    stage: Stage,
    changing: StrictReceiver,
    steady: StrictReceiver,
    sluice: Sluice,
}

/// Two resources with a receiver each: one to change, and one that must not notice.
async fn two() -> Two {
    let (stage, changing, steady) =
        tokio::join!(Stage::set(), StrictReceiver::start(), StrictReceiver::start());
    let sluice = Setup::new()
        .source("main", &stage.source.url())
        // Whoever waits for a request that hangs fails the test.
        .setting("delivery", serde_json::json!({ "timeout": "5m" }))
        .resource("changing.yaml", &resource("changing", "db_rows", &changing))
        .resource("steady.yaml", &resource("steady", "queue_depth", &steady))
        .start()
        .await;
    becomes(&changing, &["db_rows"]).await;
    becomes(&steady, &["queue_depth"]).await;
    Two { stage, changing, steady, sluice }
}

impl Two {
    /// Every tick of the steady one arrived, each once, and both receivers found nothing to complain of.
    async fn finish(mut self) {
        let before = ticks(&self.steady.samples()).len();
        eventually("the steady one goes on", async || {
            (ticks(&self.steady.samples()).len() > before + 2).then_some(())
        })
        .await;
        assert!(self.sluice.stop().await.success());
        assert_every_tick(&ticks(&self.steady.samples()), INTERVAL_MS, 3);
        assert_eq!((self.steady.resends(), self.steady.violations()), (0, vec![]));
        assert_eq!(self.changing.violations(), []);
        let stale =
            self.steady.samples().values().flatten().any(|s| s.value == sluice_tests::series::Value::STALE);
        assert!(!stale, "the steady one's series never ended");
        assert_eq!(live(&self.steady), BTreeSet::from(["queue_depth".to_owned()]));
        drop(self.stage);
    }
}

#[tokio::test]
async fn a_changed_file_restarts_only_its_own_pipeline() {
    let two = two().await;
    two.sluice.write("changing.yaml", &resource("changing", "http_requests_total", &two.changing));
    becomes(&two.changing, &["http_requests_total"]).await;
    two.finish().await;
}

#[tokio::test]
async fn an_added_file_starts_and_a_removed_one_ends_its_series() {
    let two = two().await;
    let added = StrictReceiver::start().await;
    two.sluice.write("added.yaml", &resource("added", "taken_labels", &added));
    becomes(&added, &["taken_labels"]).await;
    two.sluice.remove("added.yaml");
    becomes(&added, &[]).await;
    let requests = added.seen().len();
    two.sluice.remove("changing.yaml");
    becomes(&two.changing, &[]).await;
    assert_eq!(added.seen().len(), requests, "a removed resource sends nothing more");
    assert_eq!(added.violations(), []);
    two.finish().await;
}

#[tokio::test]
async fn a_disabled_resource_ends_its_series_and_an_enabled_one_brings_them_back() {
    let two = two().await;
    let enabled = resource("changing", "db_rows", &two.changing);
    two.sluice.write("changing.yaml", &enabled.replace("enabled: true", "enabled: false"));
    becomes(&two.changing, &[]).await;
    two.sluice.write("changing.yaml", &enabled);
    becomes(&two.changing, &["db_rows"]).await;
    two.finish().await;
}

#[tokio::test]
async fn an_invalid_file_is_reported_and_the_others_go_on() {
    let two = two().await;
    let broken = resource("changing", "db_rows", &two.changing).replace("interval:", "intervall:");
    two.sluice.write("changing.yaml", &broken);
    eventually("the mistake is logged with its file, its place and a cure", async || {
        let log = two.sluice.log();
        let parts = ["changing.yaml", "intervall", "interval"];
        parts.iter().all(|part| log.contains(part)).then_some(())
    })
    .await;
    eventually("the mistake is shown", async || {
        two.sluice.get("/health").await.text().contains("intervall").then_some(())
    })
    .await;
    two.sluice.write("changing.yaml", &resource("changing", "http_requests_total", &two.changing));
    becomes(&two.changing, &["http_requests_total"]).await;
    two.finish().await;
}

#[tokio::test]
async fn a_mistake_in_an_edit_ends_nothing_and_costs_no_tick_once_it_is_mended() {
    let two = two().await;
    let valid = resource("changing", "db_rows", &two.changing);
    two.sluice.write("changing.yaml", &valid.replace("\"1s\"", "\"1 s\""));
    eventually("the pipeline is paused", async || two.sluice.log().contains("job paused").then_some(()))
        .await;
    let paused = ticks(&two.changing.samples()).len();
    let others = ticks(&two.steady.samples()).len();
    eventually("some ticks go by", async || (ticks(&two.steady.samples()).len() > others + 3).then_some(()))
        .await;
    assert!(ticks(&two.changing.samples()).len() <= paused + 1, "what is refused does not run");
    two.sluice.write("changing.yaml", &valid);
    eventually("the missed ticks arrive", async || {
        (ticks(&two.changing.samples()).len() > paused + 5).then_some(())
    })
    .await;
    assert_every_tick(&ticks(&two.changing.samples()), INTERVAL_MS, 3);
    let ended =
        two.changing.samples().values().flatten().any(|s| s.value == sluice_tests::series::Value::STALE);
    assert!(!ended, "a mistake ends no series");
    two.finish().await;
}

#[tokio::test]
async fn a_receiving_prometheus_shows_nothing_right_after_a_removal() {
    let (stage, receiver) = tokio::join!(Stage::set(), sluice_tests::servers::Prometheus::receiver());
    let yaml = r#"apiVersion: observability.ethos.io/v1alpha1
kind: MetricAccess
metadata: { name: a, namespace: team }
spec:
  source: team
  metrics: [db_rows]
  remoteWrite:
    enabled: true
    interval: 1s
    target: { type: prometheus, prometheus: { serviceName: prometheus } }
"#;
    let sluice = Setup::new()
        .source("main", &stage.source.url())
        .service("prometheus.team:9090", &receiver.url())
        .resource("a.yaml", yaml)
        .start()
        .await;
    let shown = async || receiver.api().instant(EVERYTHING, now_ms()).await.unwrap();
    eventually("series arrive", async || (shown().await.len() == 2).then_some(())).await;
    sluice.remove("a.yaml");
    // Without a stale marker they would be shown for five minutes.
    eventually("the series end", async || shown().await.is_empty().then_some(())).await;
    assert_eq!(receiver.complaints(), [""; 0]);
}

#[tokio::test]
async fn a_series_that_the_source_ends_ends_at_the_receiver_once() {
    let two = two().await;
    let gone = series("db_rows", [("job", "db"), ("table", "users")]);
    two.stage.target.remove(&gone);
    let count = || {
        let users = two.changing.samples().into_iter().find(|(l, _)| l.get("table") == "users").unwrap().1;
        let is_stale = |s: &&sluice_tests::series::Sample| s.value == sluice_tests::series::Value::STALE;
        (users.iter().filter(is_stale).count(), users.last().unwrap().value)
    };
    eventually("the series ends", async || (count().0 == 1).then_some(())).await;
    let seen = two.changing.seen().len();
    eventually("some ticks pass", async || (two.changing.seen().len() > seen + 2).then_some(())).await;
    assert_eq!(count(), (1, sluice_tests::series::Value::STALE));
    assert_eq!(two.changing.violations(), []);
    two.finish().await;
}

#[tokio::test]
async fn a_change_does_not_wait_for_an_endpoint_that_hangs() {
    let two = two().await;
    let mended = StrictReceiver::start().await;
    two.changing.reply_always(Reply::Slow(Duration::from_secs(60)));
    let before = two.changing.seen().len();
    // Some ticks later a request hangs.
    tokio::time::sleep(Duration::from_secs(3)).await;
    two.sluice.write("changing.yaml", &resource("changing", "db_rows", &mended));
    becomes(&mended, &["db_rows"]).await;
    assert_eq!(two.changing.seen().len(), before, "the hanging endpoint never answered");
    two.finish().await;
}
