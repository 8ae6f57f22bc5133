//! Protocol: which remote write a receiver is spoken to in, and that no sample is lost or sent twice while that is found out.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use sluice_tests::expectation::{arrive, assert_every_tick, ticks};
use sluice_tests::exposition::Motion;
use sluice_tests::filtered::every_second;
use sluice_tests::series::{LabelSet, Sample, series};
use sluice_tests::servers::{Prometheus, Setup, Sluice};
use sluice_tests::stage::Stage;
use sluice_tests::strict_receiver::{Reply, Seen, Speaks, StrictReceiver, Version};
use sluice_tests::wait::{eventually, now_ms};

const INTERVAL_MS: i64 = 1000;

/// Metrics of several types, and more than one request's witnesses.
fn shop() -> Vec<(LabelSet, Motion)> {
    let counter = |labels| (labels, Motion::Counter { start: 0.0, step: 1.0 });
    let jobs = (0..20).map(|n| counter(series("shop_jobs_total", [("n", &*n.to_string())])));
    let buckets = ["0.1", "+Inf"].map(|le| counter(series("shop_seconds_bucket", [("le", le)])));
    jobs.chain(buckets)
        .chain([counter(series("shop_seconds_count", [])), counter(series("shop_open", []))])
        .collect()
}

const SERIES: usize = 24;

async fn stage() -> Stage {
    let stage = Stage::with(shop()).await;
    stage.target.declare("shop_jobs_total", "counter", "Jobs \"done\", in all.");
    stage.target.declare("shop_seconds", "histogram", "How long they took.");
    stage.target.declare("shop_old", "gauge", "What is renamed.");
    let scrapes = stage.target.scrapes();
    eventually("what was declared was scraped", async || {
        (stage.target.scrapes() > scrapes + 1).then_some(())
    })
    .await;
    stage
}

async fn start(stage: &Stage, url: &str, protocol: Option<&str>) -> Sluice {
    let mut resource = every_second("team/all", url, "shop_.+");
    if let Some(protocol) = protocol {
        resource["spec"]["remoteWrite"]["protocol"] = protocol.into();
    }
    Setup::new().source("main", &stage.source.url()).resource("all.yaml", &resource.to_string()).start().await
}

/// Waits until a tick came in this version.
async fn spoken(receiver: &StrictReceiver, version: Version) {
    let last = || receiver.seen().last().map(|seen| seen.version);
    eventually(&format!("{version:?} is spoken"), async || (last() == Some(version)).then_some(())).await;
}

/// Every series at every tick, each once, and no rule broken.
#[track_caller]
fn assert_whole(held: &BTreeMap<LabelSet, Vec<Sample>>, receiver: &StrictReceiver, count: usize) {
    let all = ticks(held);
    assert_every_tick(&all, INTERVAL_MS, count);
    assert_eq!(held.len(), SERIES);
    for (series, samples) in held {
        assert_eq!(samples.len(), all.len(), "{series:?} at every tick");
    }
    assert_eq!((receiver.violations(), receiver.resends()), (Vec::new(), 0));
}

async fn spoken_as_told(sluice: &Sluice) -> String {
    let health: serde_json::Value = serde_json::from_str(sluice.get("/health").await.text()).unwrap();
    health["remote_writes"][0]["lanes"][0]["protocol"].as_str().unwrap_or_default().to_owned()
}

fn of_version(seen: &[Seen], version: Version) -> usize {
    seen.iter().filter(|seen| seen.version == version).count()
}

#[tokio::test]
async fn a_receiver_that_says_what_it_wrote_is_spoken_to_in_2_0_with_metadata() {
    let (stage, receiver) = tokio::join!(stage(), StrictReceiver::start());
    receiver.speak(Speaks::Both);
    let mut sluice = start(&stage, &receiver.url(), None).await;
    spoken(&receiver, Version::V2).await;
    eventually("metadata arrives", async || (!receiver.said().is_empty()).then_some(())).await;
    arrive(&receiver, 3).await;
    assert_eq!(spoken_as_told(&sluice).await, "2.0");
    assert!(sluice.stop().await.success());
    assert_whole(&receiver.samples(), &receiver, 5);
    let seen = receiver.seen();
    assert_eq!((seen[0].version, receiver.unspoken()), (Version::V1, 0), "it begins with 1.0");
    assert_eq!(of_version(&seen, Version::V1), 1, "and is taken at its word at once");
    let said = |name: &str, labels: &[(&str, &str)]| {
        let of = |series: &&LabelSet| {
            series.name() == name && labels.iter().all(|(name, value)| series.get(name) == *value)
        };
        let all = receiver.said();
        all.keys().find(of).map(|series| all[series].clone())
    };
    let told = |kind, help: &str| Some((kind, help.to_owned(), String::new()));
    assert_eq!(said("shop_jobs_total", &[("n", "7")]), told(1, "Jobs \"done\", in all."));
    assert_eq!(said("shop_seconds_bucket", &[("le", "0.1")]), told(3, "How long they took."));
    assert_eq!(said("shop_seconds_count", &[]), told(3, "How long they took."));
    assert_eq!(said("shop_open", &[]), None, "nobody has declared it");
}

#[tokio::test]
async fn of_a_metric_that_was_renamed_nothing_is_said() {
    let (stage, receiver) = tokio::join!(stage(), StrictReceiver::start());
    receiver.speak(Speaks::Both);
    let mut resource = every_second("team/all", &receiver.url(), "shop_.+");
    resource["spec"]["metricRelabelings"] = json!([
        { "sourceLabels": ["__name__"], "regex": "shop_open", "targetLabel": "__name__", "replacement": "shop_old" },
    ]);
    let setup = Setup::new().source("main", &stage.source.url());
    let mut sluice = setup.resource("all.yaml", &resource.to_string()).start().await;
    eventually("metadata arrives", async || (!receiver.said().is_empty()).then_some(())).await;
    arrive(&receiver, 2).await;
    assert!(sluice.stop().await.success());
    let names: BTreeSet<_> = receiver.said().keys().map(|series| series.name().to_owned()).collect();
    assert_eq!(
        names,
        ["shop_jobs_total", "shop_seconds_bucket", "shop_seconds_count"].map(String::from).into()
    );
    assert!(receiver.samples().keys().any(|series| series.name() == "shop_old"));
    assert_eq!(receiver.violations(), []);
}

#[tokio::test]
async fn a_receiver_of_1_0_alone_is_tried_once_and_loses_nothing() {
    for speaks in [Speaks::V1, Speaks::V1Blindly] {
        let (stage, receiver) = tokio::join!(stage(), StrictReceiver::start());
        receiver.speak(speaks);
        let mut sluice = start(&stage, &receiver.url(), None).await;
        eventually("2.0 was tried", async || (receiver.unspoken() > 0).then_some(())).await;
        arrive(&receiver, 4).await;
        assert_eq!(spoken_as_told(&sluice).await, "1.0");
        assert!(!sluice.log().contains("WARN"), "nothing is wrong: {}", sluice.log());
        assert!(sluice.stop().await.success());
        assert_whole(&receiver.samples(), &receiver, 5);
        assert_eq!(receiver.unspoken(), 1, "{speaks:?}");
    }
}

#[tokio::test]
async fn a_prometheus_of_before_2_0_loses_nothing() {
    let (stage, receiver) = tokio::join!(stage(), Prometheus::receiver());
    let url = format!("{}/api/v1/write", receiver.url());
    let mut sluice = start(&stage, &url, None).await;
    let v2 = [("tenant", "team"), ("target_type", "remote_write"), ("protocol", "2.0")];
    eventually("2.0 was tried", async || {
        (sluice.counted_so_far("sluice_requests_by_protocol_total", &v2).await > Some(0)).then_some(())
    })
    .await;
    let held = async || {
        let selector = r#"{__name__=~"shop_.+"}"#;
        receiver.api().raw(selector, "5m", now_ms()).await.unwrap()
    };
    let tried = ticks(&held().await).len();
    eventually("ticks go on", async || (ticks(&held().await).len() >= tried + 4).then_some(())).await;
    assert!(sluice.stop().await.success());
    let held = held().await;
    let all = ticks(&held);
    assert_every_tick(&all, INTERVAL_MS, 5);
    assert_eq!(held.len(), SERIES);
    for (series, samples) in &held {
        assert_eq!(samples.len(), all.len(), "{series:?} at every tick");
    }
    assert_eq!(receiver.complaints(), [""; 0]);
    assert_eq!(receiver.writes().await.into_keys().collect::<Vec<_>>(), ["204"]);
}

#[tokio::test]
async fn a_receiver_that_is_upgraded_and_downgraded_meanwhile_loses_nothing() {
    let (stage, receiver) = tokio::join!(stage(), StrictReceiver::start());
    let mut sluice = start(&stage, &receiver.url(), None).await;
    eventually("2.0 was tried", async || (receiver.unspoken() > 0).then_some(())).await;
    arrive(&receiver, 1).await;
    // As the new program starts.
    receiver.speak(Speaks::Both);
    receiver.reply_next(vec![Reply::refuse(http::StatusCode::SERVICE_UNAVAILABLE); 2]);
    spoken(&receiver, Version::V2).await;
    arrive(&receiver, 2).await;
    receiver.speak(Speaks::V1Blindly);
    spoken(&receiver, Version::V1).await;
    arrive(&receiver, 2).await;
    assert!(sluice.stop().await.success());
    assert_whole(&receiver.samples(), &receiver, 8);
}

#[tokio::test]
async fn who_wants_2_0_alone_waits_for_a_receiver_that_takes_it() {
    let (stage, receiver) = tokio::join!(stage(), StrictReceiver::start());
    receiver.speak(Speaks::V1Blindly);
    let mut sluice = start(&stage, &receiver.url(), Some("2.0")).await;
    eventually("it was asked", async || (receiver.unspoken() > 2).then_some(())).await;
    let health = sluice.get("/health").await;
    let told = "does not take remote write 2.0: it answered 204 No Content, and does not say that it wrote anything; \
                write protocol: auto";
    assert!(health.text().contains(told), "{}", health.text());
    receiver.speak(Speaks::Both);
    arrive(&receiver, 4).await;
    assert!(sluice.stop().await.success());
    assert_whole(&receiver.samples(), &receiver, 4);
    assert_eq!(of_version(&receiver.seen(), Version::V1), 0);
}

#[tokio::test]
async fn who_wants_1_0_alone_is_never_spoken_to_in_2_0() {
    let (stage, receiver) = tokio::join!(stage(), StrictReceiver::start());
    receiver.speak(Speaks::Both);
    let mut sluice = start(&stage, &receiver.url(), Some("1.0")).await;
    arrive(&receiver, 4).await;
    assert!(sluice.stop().await.success());
    assert_whole(&receiver.samples(), &receiver, 4);
    assert_eq!(of_version(&receiver.seen(), Version::V2), 0);
}

#[tokio::test]
async fn what_a_receiver_of_2_0_refuses_is_found_and_the_rest_delivered() {
    let (stage, receiver) = tokio::join!(stage(), StrictReceiver::start());
    receiver.speak(Speaks::Both);
    receiver.never_takes(|series| series.get("n") == "7");
    let mut sluice = start(&stage, &receiver.url(), Some("2.0")).await;
    arrive(&receiver, 4).await;
    assert!(sluice.get("/health").await.text().contains("1 of 24 samples are not taken"));
    assert!(sluice.stop().await.success());
    let held = receiver.samples();
    assert_eq!((held.len(), receiver.violations()), (SERIES - 1, Vec::new()));
    let all = ticks(&held);
    assert_every_tick(&all, INTERVAL_MS, 4);
    assert!(held.values().all(|samples| samples.len() == all.len()));
}

#[tokio::test]
async fn what_was_not_written_although_it_was_taken_is_told() {
    let (stage, receiver) = tokio::join!(stage(), StrictReceiver::start());
    receiver.speak(Speaks::Both);
    receiver.reply_always(Reply::AcceptClaiming(20));
    let mut sluice = start(&stage, &receiver.url(), Some("2.0")).await;
    arrive(&receiver, 3).await;
    let health = sluice.get("/health").await;
    let told = "4 of 24 samples are not taken: the receiver answered 204 No Content, and says that it wrote 20 of 24";
    assert!(health.text().contains(told), "{}", health.text());
    let unwritten = [("tenant", "team"), ("target_type", "remote_write"), ("reason", "unwritten")];
    assert!(sluice.counted("sluice_samples_refused_total", &unwritten).await >= 8);
    assert!(sluice.stop().await.success());
}
