//! Restart: what a stop, a crash or a receiver's outage left out is asked for again, in order, and nothing arrives with
//! another value.

use std::time::Duration;

use http::StatusCode;
use sluice_tests::expectation::{
    EVERYTHING, Expectation, Held, arrive, assert_every_tick, every_tick, ticks,
};
use sluice_tests::exposition::Motion;
use sluice_tests::filtered::every_second;
use sluice_tests::series::{Sample, Value, series};
use sluice_tests::servers::{Prometheus, Setup, Sluice};
use sluice_tests::stage::Stage;
use sluice_tests::strict_receiver::{Reply, StrictReceiver};
use sluice_tests::wait::{eventually, now_ms, within};

const INTERVAL_MS: i64 = 1000;

/// Longer than a few ticks, far below `maxBackfill`.
const OUTAGE: Duration = Duration::from_secs(4);

async fn start(stage: &Stage, receiver: &StrictReceiver) -> Sluice {
    let resource = every_second("team/all", &receiver.url(), ".+").to_string();
    let setup = Setup::new().source("main", &stage.source.url()).resource("all.yaml", &resource);
    let sluice = setup.start().await;
    arrive(receiver, 3).await;
    sluice
}

/// Every tick arrived, from the first to the last, and the receiver found nothing to complain of.
fn complete(receiver: &StrictReceiver) {
    assert_every_tick(&ticks(&receiver.samples()), INTERVAL_MS, 8);
    assert_eq!(receiver.violations(), []);
}

/// Waits for every tick up to now.
async fn caught_up(receiver: &StrictReceiver) {
    let now = now_ms();
    eventually("all that was missed is there", async || {
        ticks(&receiver.samples()).last().is_some_and(|last| *last >= now).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_stopped_program_goes_on_where_it_was() {
    let (stage, receiver) = tokio::join!(Stage::set(), StrictReceiver::start());
    let mut sluice = start(&stage, &receiver).await;
    assert!(sluice.stop().await.success());
    tokio::time::sleep(OUTAGE).await;
    sluice.restart().await;
    caught_up(&receiver).await;
    assert!(sluice.stop().await.success());
    complete(&receiver);
    assert_eq!(receiver.resends(), 0, "what was acknowledged before a stop is known after it");
}

#[tokio::test]
async fn what_ended_while_nobody_was_there_ends_at_its_tick() {
    let (stage, receiver) = tokio::join!(Stage::set(), StrictReceiver::start());
    let mut sluice = start(&stage, &receiver).await;
    assert!(sluice.stop().await.success());
    tokio::time::sleep(OUTAGE / 2).await;
    for table in ["orders", "users"] {
        stage.target.remove(&series("db_rows", [("job", "db"), ("table", table)]));
    }
    stage.target.set(series("begun", [("job", "db")]), 1.0);
    tokio::time::sleep(OUTAGE / 2).await;
    sluice.restart().await;
    caught_up(&receiver).await;
    assert!(sluice.stop().await.success());
    complete(&receiver);
    let held = receiver.samples();
    let ended =
        held.iter().filter(|(_, samples)| samples.last().is_some_and(|last| last.value == Value::STALE));
    assert_eq!(ended.map(|(series, _)| series.name()).collect::<Vec<_>>(), ["db_rows"; 2]);
    same_samples(&stage, &held).await;
}

#[tokio::test]
async fn scrapes_that_failed_while_nobody_was_there_are_ends_once_and_nothing_between() {
    let (stage, receiver) = tokio::join!(Stage::set(), StrictReceiver::start());
    // Without `up`, which is there when nothing else is.
    let resource = every_second("team/all", &receiver.url(), "queue_depth").to_string();
    let setup = Setup::new().source("main", &stage.source.url()).resource("all.yaml", &resource);
    let mut sluice = setup.start().await;
    arrive(&receiver, 3).await;
    assert!(sluice.stop().await.success());
    stage.target.take(Duration::from_millis(1_500));
    tokio::time::sleep(OUTAGE).await;
    stage.target.take(Duration::ZERO);
    tokio::time::sleep(OUTAGE).await;
    sluice.restart().await;
    caught_up(&receiver).await;
    assert!(sluice.stop().await.success());
    let held = receiver.samples();
    let all = every_tick(&ticks(&held), INTERVAL_MS, 8);
    let expected = Expectation::of(&stage.api(), &all, &["queue_depth"], Some).await;
    assert!(expected.empty_ticks().len() >= 2, "the source has nothing at some");
    assert_eq!(bare(&held), bare(&expected.samples()));
    assert_eq!(receiver.violations(), []);
}

#[tokio::test]
async fn what_a_receiver_has_missed_from_the_beginning_is_kept_over_a_restart() {
    let (stage, receiver) = tokio::join!(Stage::set(), StrictReceiver::start());
    receiver.reply_always(Reply::refuse(StatusCode::UNAUTHORIZED));
    let resource = every_second("team/all", &receiver.url(), ".+").to_string();
    let setup = Setup::new().source("main", &stage.source.url()).resource("all.yaml", &resource);
    let mut sluice = setup.start().await;
    let first = eventually("it is tried", async || receiver.seen().first()?.oldest).await;
    tokio::time::sleep(OUTAGE).await;
    assert!(sluice.stop().await.success());
    receiver.reply_always(Reply::Accept);
    sluice.restart().await;
    arrive(&receiver, 8).await;
    assert!(sluice.stop().await.success());
    complete(&receiver);
    assert_eq!(ticks(&receiver.samples()).first(), Some(&first));
    same_samples(&stage, &receiver.samples()).await;
}

#[tokio::test]
async fn a_killed_program_repeats_only_what_is_in_doubt() {
    let (stage, receiver) = tokio::join!(Stage::set(), StrictReceiver::start());
    let mut sluice = start(&stage, &receiver).await;
    sluice.kill();
    tokio::time::sleep(OUTAGE).await;
    sluice.restart().await;
    caught_up(&receiver).await;
    assert!(sluice.stop().await.success());
    complete(&receiver);
}

#[tokio::test]
async fn a_receiver_that_was_away_gets_everything_in_order() {
    let (stage, receiver) = tokio::join!(Stage::set(), StrictReceiver::start());
    let mut sluice = start(&stage, &receiver).await;
    receiver.reply_always(Reply::refuse(StatusCode::SERVICE_UNAVAILABLE));
    tokio::time::sleep(OUTAGE).await;
    receiver.reply_always(Reply::Accept);
    caught_up(&receiver).await;
    assert!(sluice.stop().await.success());
    complete(&receiver);
    // What was missed was had in a few requests for several ticks, and is what single ones answer.
    let ranges = stage.source.requests("/api/v1/query_range").await.get("200").copied().unwrap_or_default();
    assert!((1..=3).contains(&ranges), "{ranges} range queries");
    same_samples(&stage, &receiver.samples()).await;
}

/// What arrived is what the source has at these ticks, the ends of series included; labels are another test's.
async fn same_samples(stage: &Stage, held: &Held) {
    let expected = Expectation::of(&stage.api(), &ticks(held), &[EVERYTHING], Some).await;
    assert_eq!(bare(held), bare(&expected.samples()));
}

/// Samples without their labels.
fn bare(held: &Held) -> Vec<Vec<Sample>> {
    let mut all: Vec<_> = held.values().cloned().collect();
    all.sort_by_key(|samples| format!("{samples:?}"));
    all
}

#[tokio::test]
async fn a_receiver_that_must_be_mended_is_unhealthy_and_then_gets_every_tick() {
    let (stage, receiver) = tokio::join!(Stage::set(), StrictReceiver::start());
    let mut sluice = start(&stage, &receiver).await;
    receiver.reply_always(Reply::refuse(StatusCode::NOT_FOUND));
    eventually("it is unhealthy", async || unhealthy(&sluice).await).await;
    receiver.reply_always(Reply::Accept);
    arrive(&receiver, 8).await;
    eventually("it is healthy again", async || unhealthy(&sluice).await.is_none().then_some(())).await;
    assert!(sluice.stop().await.success());
    complete(&receiver);
}

#[tokio::test]
async fn a_receiver_that_refuses_what_is_sent_is_unhealthy() {
    let (stage, receiver) = tokio::join!(Stage::set(), StrictReceiver::start());
    let sluice = start(&stage, &receiver).await;
    receiver.reply_always(Reply::refuse(StatusCode::BAD_REQUEST));
    eventually("it is unhealthy", async || unhealthy(&sluice).await).await;
}

async fn unhealthy(sluice: &Sluice) -> Option<()> {
    (sluice.get("/health").await.status == StatusCode::SERVICE_UNAVAILABLE).then_some(())
}

#[tokio::test]
#[ignore = "takes minutes; prints how fast missed ticks are caught up"]
async fn missed_ticks_are_caught_up_many_times_faster_than_they_passed() {
    const AWAY: Duration = Duration::from_secs(90);
    for (count, mode) in [(2_000, "sampled"), (20_000, "sampled"), (2_000, "raw"), (20_000, "raw")] {
        let one = |n: usize| {
            let labels = series("crowd", [("n", &*n.to_string()), ("job", "crowd")]);
            (labels, Motion::Counter { start: n as f64, step: 1.0 })
        };
        let (stage, receiver) =
            tokio::join!(Stage::with((0..count).map(one).collect()), Prometheus::receiver());
        let mut resource = every_second("team/all", &format!("{}/api/v1/write", receiver.url()), "crowd");
        resource["spec"]["collection"] = serde_json::json!({ "mode": mode });
        let setup =
            Setup::new().source_with("main", &stage.source.url(), serde_json::json!({ "settle": "4s" }));
        let mut sluice = setup.resource("all.yaml", &resource.to_string()).start().await;
        let api = receiver.api();
        let newest = async || {
            let held = api.raw(r#"crowd{n="1"}"#, "10m", now_ms()).await.ok()?;
            held.values().flatten().map(|sample| sample.at).max()
        };
        let until = async |due: i64| {
            within(AWAY, "ticks arrive", async || newest().await.filter(|newest| *newest >= due)).await
        };
        until(0).await;
        assert!(sluice.stop().await.success());
        let before = newest().await.expect("something arrived");
        tokio::time::sleep(AWAY).await;
        sluice.restart().await;
        let began = std::time::Instant::now();
        let after = until(now_ms() - 5_000).await;
        let (took, ticks) = (began.elapsed(), (after - before) / 1000);
        let times = ticks as f64 / took.as_secs_f64();
        eprintln!(
            "{count} series, {mode}: {ticks} ticks in {took:.2?}, {times:.0} a second: {times:.0} x real time at an \
             interval of 1 s, {:.0} x at one of 30 s",
            times * 30.0
        );
        assert!(sluice.stop().await.success());
    }
}
