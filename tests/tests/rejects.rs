//! Rejects: a receiver that refuses a request for a few of its series, and one that has some of it already.

use std::collections::BTreeSet;

use sluice_tests::expectation::{arrive, assert_every_tick, ticks};
use sluice_tests::exposition::Motion;
use sluice_tests::filtered::every_second;
use sluice_tests::series::{LabelSet, series};
use sluice_tests::servers::{Setup, Sluice};
use sluice_tests::stage::{Stage, shop};
use sluice_tests::strict_receiver::{StrictReceiver, Violation};
use sluice_tests::wait::eventually;

const INTERVAL_MS: i64 = 1000;
/// Series beside the shop's: more than are looked at one by one.
const CROWD: usize = 500;

fn crowd() -> Vec<(LabelSet, Motion)> {
    let one =
        |n: usize| (series("crowd", [("n", &*n.to_string())]), Motion::Counter { start: 0.0, step: 1.0 });
    shop().into_iter().chain((0..CROWD).map(one)).collect()
}

async fn start(stage: &Stage, receiver: &StrictReceiver, on_reject: &str) -> Sluice {
    let mut resource = every_second("team/all", &receiver.url(), "crowd");
    resource["spec"]["remoteWrite"]["onReject"] = on_reject.into();
    Setup::new().source("main", &stage.source.url()).resource("all.yaml", &resource.to_string()).start().await
}

fn is_one_of_three(series: &LabelSet) -> bool {
    ["7", "8", "333"].contains(&series.get("n"))
}

#[tokio::test]
async fn all_but_what_is_refused_is_delivered_and_what_is_refused_is_named() {
    let (stage, receiver) = tokio::join!(Stage::with(crowd()), StrictReceiver::start());
    receiver.never_takes(is_one_of_three);
    let mut sluice = start(&stage, &receiver, "bisect").await;
    arrive(&receiver, 6).await;
    let health = sluice.get("/health").await;
    assert!(health.text().contains("3 of 500 samples are not taken"), "{}", health.text());
    assert!(sluice.log().contains("label value too long"), "{}", sluice.log());
    assert!(sluice.stop().await.success());
    let held = receiver.samples();
    let all = ticks(&held);
    assert_every_tick(&all, INTERVAL_MS, 6);
    assert_eq!(held.len(), CROWD - 3);
    for (series, samples) in &held {
        assert_eq!(samples.len(), all.len(), "{series:?} at every tick");
    }
    assert_eq!(receiver.violations(), []);
    // Once they are known they are sent apart: the others' request, theirs, and what tells the three from each other.
    let last = *all.last().unwrap();
    let of_the_last_tick = receiver.seen().iter().filter(|seen| seen.oldest == Some(last)).count();
    assert!(of_the_last_tick <= 8, "{of_the_last_tick} requests for one tick");
}

#[tokio::test]
async fn a_receiver_that_refuses_everything_is_not_asked_for_each_series() {
    let (stage, receiver) = tokio::join!(Stage::with(crowd()), StrictReceiver::start());
    receiver.never_takes(|_| true);
    let mut sluice = start(&stage, &receiver, "bisect").await;
    let asked = || receiver.seen().iter().filter_map(|seen| seen.oldest).collect::<BTreeSet<_>>();
    eventually("five ticks were tried", async || (asked().len() >= 5).then_some(())).await;
    assert!(sluice.stop().await.success());
    let third = *asked().iter().nth(2).unwrap();
    let requests = receiver.seen().iter().filter(|seen| seen.oldest == Some(third)).count();
    assert!(requests <= 10, "{requests} requests for a tick that is refused as a whole");
}

#[tokio::test]
async fn who_asks_for_it_has_refused_requests_dropped_as_a_whole() {
    let (stage, receiver) = tokio::join!(Stage::with(crowd()), StrictReceiver::start());
    receiver.never_takes(is_one_of_three);
    let mut sluice = start(&stage, &receiver, "drop").await;
    eventually("five requests were refused", async || (receiver.seen().len() >= 5).then_some(())).await;
    assert!(sluice.stop().await.success());
    assert!(receiver.samples().is_empty());
    let every_tick: BTreeSet<_> = receiver.seen().iter().map(|seen| seen.oldest).collect();
    assert_eq!(every_tick.len(), receiver.seen().len(), "one request a tick");
}

#[tokio::test]
async fn what_a_former_life_delivered_is_told_from_what_is_missing() {
    let (stage, receiver) = tokio::join!(Stage::with(crowd()), StrictReceiver::start());
    let mut sluice = start(&stage, &receiver, "drop").await;
    arrive(&receiver, 4).await;
    let old = sluice.state();
    arrive(&receiver, 1).await;
    // As if the last moment's cursors had never reached the disk.
    sluice.kill();
    sluice.set_state(&old);
    sluice.restart().await;
    arrive(&receiver, 5).await;
    assert!(sluice.stop().await.success());
    let held = receiver.samples();
    let all = ticks(&held);
    assert_every_tick(&all, INTERVAL_MS, 10);
    assert_eq!(held.len(), CROWD);
    for (series, samples) in &held {
        assert_eq!(samples.len(), all.len(), "{series:?} at every tick");
    }
    // Refused is only what was older than what was there, of two ticks at most: the newest one repeats.
    let mut doubtful = BTreeSet::new();
    for violation in receiver.violations() {
        let Violation::OutOfOrder { at, .. } = violation else { panic!("{violation:?}") };
        doubtful.insert(at);
    }
    assert!(doubtful.len() <= 3, "{doubtful:?}");
    let refused = receiver.seen().iter().filter(|seen| seen.status == 400).count();
    assert!(refused <= 9 * doubtful.len(), "{refused} requests for {} ticks", doubtful.len());
}
