//! Raw: a team's copy has every stored sample with its own time, stale markers included, once.

use std::time::Duration;

use serde_json::json;
use sluice_tests::expectation::Held;
use sluice_tests::exposition::{Exposition, Motion};
use sluice_tests::faulty::{Fault, Faulty, Patience};
use sluice_tests::filtered::every_second;
use sluice_tests::series::{LabelSet, Value, assert_same, series};
use sluice_tests::servers::{Prometheus, ScrapeJob, Setup, Sluice, config};
use sluice_tests::stage::{scraped, shop};
use sluice_tests::stored::stored;
use sluice_tests::wait::{eventually, now_ms};

/// What the source adds to all that it gives others.
const EXTERNAL: (&str, &str) = ("region", "eu");

/// Two targets, a source that scrapes them, a receiver, and the program between.
struct Scene {
    target: Exposition,
    leaving: Exposition,
    source: Prometheus,
    front: Faulty,
    receiver: Prometheus,
    receiver_front: Faulty,
    sluice: Sluice,
}

fn resource(url: &str) -> String {
    let mut resource = every_second("team/all", &format!("{url}/api/v1/write"), ".+");
    resource["spec"]["collection"] = json!({ "mode": "raw" });
    resource.to_string()
}

impl Scene {
    async fn set(read: Fault) -> Scene {
        let target = Exposition::with(shop()).await;
        let gone = [(series("leaves", [("job", "gone")]), Motion::Counter { start: 0.0, step: 0.5 })];
        let leaving = Exposition::with(gone).await;
        let jobs = [ScrapeJob::new("shop", target.address()), ScrapeJob::new("gone", leaving.address())];
        let (source, receiver) =
            tokio::join!(Prometheus::source_labelled(&jobs, &[EXTERNAL]), Prometheus::receiver());
        let (front, receiver_front) =
            (Faulty::before(&source.url()).await, Faulty::before(&receiver.url()).await);
        front.set_at("/api/v1/read", read);
        scraped(&source.api(), "leaves").await;
        let more = json!({ "settle": "4s", "externalLabels": { EXTERNAL.0: EXTERNAL.1 } });
        let setup = Setup::new().source_with("main", &front.url(), more);
        let sluice = setup.resource("all.yaml", &resource(&receiver_front.url())).start().await;
        let scene = Scene { target, leaving, source, front, receiver, receiver_front, sluice };
        scene.arrive(4).await;
        scene
    }

    /// The newest sample that the receiver holds of a series that never ends.
    async fn newest(&self) -> Option<i64> {
        let held = self.receiver.api().raw("db_rows", "10m", now_ms()).await.ok()?;
        held.values().flatten().map(|sample| sample.at).max()
    }

    /// Waits until samples of so many seconds more have arrived.
    async fn arrive(&self, seconds: i64) {
        let before = self.newest().await.unwrap_or_else(now_ms);
        eventually("samples arrive", async || {
            self.newest().await.filter(|at| *at >= before + seconds * 1000)
        })
        .await;
    }

    /// What the source has, as it has to arrive, and what did.
    async fn held(&self) -> (Held, Held) {
        let ever = (0, now_ms());
        let held = stored(&self.receiver.url(), ever).await.unwrap();
        let moments = || held.values().flatten().map(|sample| sample.at);
        let window = (moments().min().unwrap(), moments().max().unwrap());
        let there = stored(&self.source.url(), window).await.unwrap();
        let arrives =
            |series: LabelSet| series.without(EXTERNAL.0).stamped("managed_by", "multi-tenant-proxy");
        (there.into_iter().map(|(series, samples)| (arrives(series), samples)).collect(), held)
    }
}

fn markers(held: &Held) -> usize {
    held.values().flatten().filter(|sample| sample.value == Value::STALE).count()
}

/// Series come and go, and a target goes.
async fn life(scene: &Scene) {
    let (orders, begun) =
        (series("db_rows", [("job", "db"), ("table", "orders")]), series("begun", [("job", "db")]));
    scene.target.remove(&orders);
    scene.target.set(begun.clone(), 1.0);
    scene.arrive(3).await;
    let jobs = [ScrapeJob::new("shop", scene.target.address()), ScrapeJob::new("gone", "")];
    scene.source.configure(&config(&jobs, &[EXTERNAL])).await;
    scene.target.set(orders, 7.0);
    scene.target.remove(&begun);
    // A server looks at its targets every five seconds, and marks the series of one that is gone a scrape later.
    let ended = || async { stored(&scene.source.url(), (now_ms() - 60_000, now_ms())).await };
    let leaves = |held: &Held| {
        held.iter().any(|(series, samples)| {
            series.name() == "leaves" && samples.last().is_some_and(|last| last.value == Value::STALE)
        })
    };
    eventually("its series have ended", async || ended().await.ok().filter(|held| leaves(held)).map(drop))
        .await;
    scene.arrive(10).await;
}

#[tokio::test]
async fn a_copy_has_every_stored_sample_with_its_own_time_and_every_stale_marker() {
    let mut scene = Scene::set(Fault::None).await;
    life(&scene).await;
    assert!(scene.sluice.stop().await.success());
    let (there, held) = scene.held().await;
    assert_same("the receiver", &held, &there);
    // The target that is gone had a few of the server's own series, too.
    assert!(markers(&held) > 5, "{} series ended", markers(&held));
    assert_eq!(scene.receiver.complaints(), Vec::<String>::new());
}

#[tokio::test]
async fn nothing_is_lost_or_sent_twice_over_kills_stops_and_an_outage() {
    let mut scene = Scene::set(Fault::None).await;
    for round in 0..3 {
        scene.sluice.kill();
        scene.target.set(series("round", [("job", "db"), ("n", &*round.to_string())]), 1.0);
        tokio::time::sleep(Duration::from_millis(1_700)).await;
        scene.sluice.restart().await;
        scene.arrive(4).await;
    }
    scene.receiver_front.set(Fault::Forgets(http::StatusCode::SERVICE_UNAVAILABLE));
    life_goes_on(&scene).await;
    scene.receiver_front.set(Fault::Answer(http::StatusCode::INTERNAL_SERVER_ERROR, Patience::Unsaid));
    life_goes_on(&scene).await;
    scene.receiver_front.set(Fault::None);
    scene.arrive(8).await;
    assert!(scene.sluice.stop().await.success());
    tokio::time::sleep(Duration::from_secs(2)).await;
    drop(std::mem::replace(&mut scene.leaving, Exposition::start().await));
    scene.sluice.restart().await;
    scene.arrive(8).await;
    assert!(scene.sluice.stop().await.success());
    let (there, held) = scene.held().await;
    assert_same("the receiver", &held, &there);
}

async fn life_goes_on(scene: &Scene) {
    tokio::time::sleep(Duration::from_secs(3)).await;
    scene.target.set(series("meanwhile", [("job", "db")]), 3.0);
}

#[tokio::test]
async fn a_source_without_remote_read_is_asked_by_queries_for_the_same_samples() {
    let not_found = Fault::Answer(http::StatusCode::NOT_FOUND, Patience::Unsaid);
    let mut scene = Scene::set(not_found).await;
    life(&scene).await;
    assert!(scene.sluice.stop().await.success());
    let (there, held) = scene.held().await;
    let shown = |held: &Held| -> Held {
        let alive = held.iter().map(|(series, samples)| {
            (series.clone(), samples.iter().copied().filter(|sample| sample.value != Value::STALE).collect())
        });
        alive.collect()
    };
    assert_same("the receiver", &shown(&held), &shown(&there));
    assert!(scene.sluice.log().contains("has no remote read"));
    let leaves = held.iter().find(|(series, _)| series.name() == "leaves").unwrap().1;
    assert_eq!(leaves.last().unwrap().value, Value::STALE, "what is not there any more has ended");
    drop(scene.front);
}

#[tokio::test]
async fn an_edit_of_the_mode_repeats_nothing_and_leaves_nothing_out() {
    let mut scene = Scene::set(Fault::None).await;
    let edited = |mode: &str| resource(&scene.receiver_front.url()).replace("raw", mode);
    for mode in ["sampled", "raw", "sampled"] {
        scene.sluice.write("all.yaml", &edited(mode));
        scene.arrive(5).await;
    }
    assert!(scene.sluice.stop().await.success());
    let (there, held) = scene.held().await;
    assert_eq!(scene.receiver.complaints(), Vec::<String>::new());
    // Where a sample is of a tick it is that of a query; where it is not, the source has it.
    for (series, samples) in held.iter().filter(|(series, _)| series.name() == "db_rows") {
        let stored = &there[series];
        for pair in samples.windows(2) {
            assert!(pair[1].at - pair[0].at < 2_500, "{series}: nothing between {pair:?}");
        }
        let of_ticks =
            samples.iter().filter(|sample| sample.at % 1000 == 0 && !stored.contains(sample)).count();
        let of_it = samples.iter().filter(|sample| stored.contains(sample)).count();
        assert!(of_ticks >= 6 && of_it >= 6, "{series}: {of_ticks} sampled, {of_it} stored");
        assert_eq!(of_ticks + of_it, samples.len(), "{series}");
    }
}
