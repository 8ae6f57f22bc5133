//! Native histograms: in raw mode they arrive as they are stored, wherever both ends have them, and hold up nothing where the
//! receiver does not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};
use sluice_tests::filtered::every_second;
use sluice_tests::native::{Native, NativeTarget, SCRAPES, Shape, Shown};
use sluice_tests::series::{LabelSet, Value, assert_same};
use sluice_tests::servers::{Prometheus, ScrapeJob, Setup, Sluice, config};
use sluice_tests::stage::scraped;
use sluice_tests::strict_receiver::{Speaks, StrictReceiver, Violation};
use sluice_tests::wait::now_ms;

/// What the source adds to all that it gives others.
const EXTERNAL: (&str, &str) = ("region", "eu");

fn buckets(pairs: &[(i32, f64)]) -> BTreeMap<i32, f64> {
    pairs.iter().copied().filter(|(_, count)| *count != 0.0).collect()
}

/// One that grows, gets buckets between and beside those it had, and now and then begins anew.
fn counter(n: u64) -> Native {
    grown(n % 17)
}

fn grown(n: u64) -> Native {
    let n = n as f64;
    let negative = buckets(&[(-3, n), (2, 1.0)]);
    let positive = buckets(&[(0, 2.0 * n), (1, n), (3, (n - 5.0).max(0.0)), (40, (n - 9.0).max(0.0))]);
    let count = negative.values().chain(positive.values()).sum::<f64>() + 3.0;
    Native {
        is_float: false,
        is_gauge: false,
        schema: 3,
        sum: Value::from(n * 0.25 - 1.0),
        count,
        zero_threshold: 0.001,
        zero: 3.0,
        negative,
        positive,
    }
}

fn floats(n: u64) -> Native {
    let whole = counter(n % 11);
    let halved = |buckets: BTreeMap<i32, f64>| buckets.into_iter().map(|(at, count)| (at, count * 0.375));
    Native {
        is_float: true,
        schema: -2,
        zero_threshold: 0.5_f64.powi(128),
        zero: 1.125,
        count: whole.count * 0.375,
        negative: halved(whole.negative.clone()).collect(),
        positive: halved(whole.positive.clone()).collect(),
        ..whole
    }
}

/// One that might go down: a Prometheus of 2.42 fails at reading one that does, and forgets at times that it is one.
fn gauge(n: u64) -> Native {
    // With other buckets it would forget that it is one.
    let (positive, count) = (buckets(&[(0, n as f64), (2, 1.0)]), n as f64 + 4.0);
    Native { is_gauge: true, negative: BTreeMap::new(), positive, count, ..grown(n) }
}

/// Names with what stands under them.
fn shapes() -> Vec<(&'static str, Shape)> {
    fn histogram(of: fn(u64) -> Native) -> Shape {
        Arc::new(move |n| Some(Shown::Histogram(of(n))))
    }
    let mixed = |n: u64| {
        Some(match n % 7 < 3 {
            true => Shown::Gauge(n as f64),
            false => Shown::Histogram(counter(n)),
        })
    };
    vec![
        ("native_seconds", histogram(counter)),
        ("native_floats", histogram(floats)),
        ("native_gauge", histogram(gauge)),
        ("native_mixed", Arc::new(mixed)),
        ("native_leaves", histogram(counter)),
        ("native_pauses", Arc::new(|n| (n % 9 < 6).then(|| Shown::Histogram(counter(n))))),
    ]
}

/// Scrapes that are sent again after a crash though a newer one was taken: of the ticks of the second since the cursor was saved, of the
/// one that was on its way, and of the one behind them, which has what was stored late; a tick has samples of two times.
const REPEATED_MAX: usize = 3 * 2;

/// The time of what was sent again, if nothing else is wrong with it.
fn repeated(violation: &Violation) -> Option<i64> {
    match violation {
        Violation::OutOfOrder { at, .. } => Some(*at),
        _ => None,
    }
}

struct Scene {
    target: NativeTarget,
    source: Prometheus,
    sluice: Sluice,
}

impl Scene {
    async fn set(receiver: &str, protocol: &str) -> Scene {
        Scene::with(shapes(), receiver, protocol, Json::Null).await
    }

    async fn with(
        shapes: Vec<(&'static str, Shape)>,
        receiver: &str,
        protocol: &str,
        filters: Json,
    ) -> Scene {
        let target = NativeTarget::with(shapes).await;
        let jobs = [ScrapeJob::new("native", target.address())];
        let source = Prometheus::native(&config(&jobs, &[EXTERNAL])).await;
        scraped(&source.api(), SCRAPES).await;
        let mut resource = every_second("team/all", receiver, ".+");
        resource["spec"]["collection"] = json!({ "mode": "raw" });
        resource["spec"]["remoteWrite"]["protocol"] = protocol.into();
        if !filters.is_null() {
            resource["spec"]["filters"] = filters;
        }
        let more = json!({ "settle": "4s", "externalLabels": { EXTERNAL.0: EXTERNAL.1 } });
        let setup = Setup::new().source_with("main", &source.url(), more);
        let sluice = setup.resource("all.yaml", &resource.to_string()).start().await;
        Scene { target, source, sluice }
    }

    /// The process dies, and later ends in order; a name leaves the page.
    async fn life(&mut self) {
        tokio::time::sleep(Duration::from_secs(8)).await;
        self.sluice.kill();
        tokio::time::sleep(Duration::from_millis(1_700)).await;
        self.sluice.restart().await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        self.target.remove("native_leaves");
        assert!(self.sluice.stop().await.success());
        tokio::time::sleep(Duration::from_secs(2)).await;
        self.sluice.restart().await;
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert!(self.sluice.stop().await.success());
    }
}

/// What a server shows at each moment of a series that never ends. Of a range it would show one histogram for all (2.42).
async fn written(server: &Prometheus, moments: &[i64]) -> BTreeMap<LabelSet, BTreeMap<i64, Json>> {
    let mut all: BTreeMap<LabelSet, BTreeMap<i64, Json>> = BTreeMap::new();
    for at in moments {
        for (series, shown) in server.api().written(r#"{__name__=~".+"}"#, *at).await.unwrap() {
            all.entry(series).or_default().insert(*at, shown);
        }
    }
    all
}

/// The number of each scrape that a server has, by its time.
async fn scrapes(server: &Prometheus) -> BTreeMap<i64, u64> {
    let all = server.api().raw(SCRAPES, "10m", now_ms()).await.unwrap();
    all.into_values().flatten().map(|sample| (sample.at, sample.value.float() as u64)).collect()
}

fn arrives(series: LabelSet) -> LabelSet {
    series.without(EXTERNAL.0).stamped("managed_by", "multi-tenant-proxy")
}

/// What both show at every scrape from the first to the last one that arrived.
async fn both(source: &Prometheus, receiver: &Prometheus) -> [BTreeMap<LabelSet, BTreeMap<i64, Json>>; 2] {
    let held = scrapes(receiver).await;
    let window = *held.keys().next().unwrap()..=*held.keys().next_back().unwrap();
    let moments: Vec<i64> = scrapes(source).await.into_keys().filter(|at| window.contains(at)).collect();
    assert!(moments.len() >= 15, "{moments:?}");
    let there = written(source, &moments).await.into_iter();
    [there.map(|(series, samples)| (arrives(series), samples)).collect(), written(receiver, &moments).await]
}

fn floats_of(all: BTreeMap<LabelSet, BTreeMap<i64, Json>>) -> BTreeMap<LabelSet, BTreeMap<i64, Json>> {
    let floats = all.into_iter().filter_map(|(series, samples)| {
        let floats: BTreeMap<_, _> = samples.into_iter().filter(|(_, sample)| sample.is_string()).collect();
        (!floats.is_empty()).then_some((series, floats))
    });
    floats.collect()
}

#[tokio::test]
async fn a_copy_has_every_native_histogram_as_it_is_stored() {
    let receiver = Prometheus::native("").await;
    let mut scene = Scene::set(&format!("{}/api/v1/write", receiver.url()), "auto").await;
    scene.life().await;
    let [there, held] = both(&scene.source, &receiver).await;
    assert_same("the receiver", &there, &held);
    let of = |name: &str| held.iter().find(|(series, _)| series.name() == name).unwrap().1;
    // Not only is it what the source has: it is what the target showed.
    let numbers = scrapes(&receiver).await;
    for (name, shape) in shapes().into_iter().filter(|(name, _)| *name != "native_leaves") {
        for (at, n) in &numbers {
            let shown = shape(*n).map(|shown| match shown {
                Shown::Gauge(value) => vec![value],
                Shown::Histogram(native) => vec![native.count, native.sum.float()],
            });
            let number = |text: &Json| text.as_str().unwrap().parse::<f64>().unwrap();
            let found = of(name).get(at).map(|found| match found {
                Json::Object(histogram) => vec![number(&histogram["count"]), number(&histogram["sum"])],
                float => vec![number(float)],
            });
            assert_eq!(found, shown, "{name}, scrape {n}");
        }
    }
    let leaves = of("native_leaves");
    assert!(leaves.len() > 8 && leaves.len() + 8 < numbers.len(), "it ended: {leaves:?}");
}

#[tokio::test]
async fn what_arrives_is_what_was_exposed_in_either_version_of_the_protocol() {
    for (protocol, speaks) in [("1.0", Speaks::V1), ("2.0", Speaks::Both)] {
        let receiver = StrictReceiver::start().await;
        receiver.speak(speaks);
        let mut scene = Scene::set(&receiver.url(), protocol).await;
        scene.life().await;
        let violations = receiver.violations();
        let repeated: Option<BTreeSet<i64>> = violations.iter().map(repeated).collect();
        assert!(repeated.is_some_and(|at| at.len() <= REPEATED_MAX), "{protocol}: {violations:?}");
        let (samples, histograms) = (receiver.samples(), receiver.histograms());
        let scrapes = &samples.iter().find(|(series, _)| series.name() == SCRAPES).unwrap().1;
        assert!(scrapes.len() > 25, "{protocol}: {} scrapes", scrapes.len());
        for (name, shape) in shapes().into_iter().filter(|(name, _)| *name != "native_leaves") {
            let held = histograms.iter().find(|(series, _)| series.name() == name).unwrap().1;
            for scrape in *scrapes {
                let shown = match shape(scrape.value.float() as u64) {
                    Some(Shown::Histogram(native)) => Some(native),
                    Some(Shown::Gauge(_)) | None => None,
                };
                let found = held.get(&scrape.at).and_then(Native::read);
                let is_gauge =
                    |native: &Native| Native { is_gauge: name == "native_gauge", ..native.clone() };
                let found = found.as_ref().map(is_gauge);
                assert_eq!(found, shown, "{protocol}, {name}, scrape {:?}", scrape.value);
            }
        }
        let leaves = histograms.iter().find(|(series, _)| series.name() == "native_leaves").unwrap().1;
        assert_eq!(Value(leaves.values().next_back().unwrap().sum), Value::STALE);
    }
}

#[tokio::test]
async fn a_receiver_without_native_histograms_has_all_floats_and_is_asked_once() {
    let receiver = Prometheus::receiver().await;
    let mut scene = Scene::set(&format!("{}/api/v1/write", receiver.url()), "auto").await;
    tokio::time::sleep(Duration::from_secs(17)).await;
    let refused = [("tenant", "team"), ("target_type", "remote_write"), ("reason", "histograms")];
    assert!(scene.sluice.counted("sluice_samples_refused_total", &refused).await >= 30);
    assert_eq!(receiver.writes().await.get("500"), Some(&1), "it was asked once");
    assert!(scene.sluice.stop().await.success());
    // A moment would show the last float for what is not there.
    let floats =
        async |server: &Prometheus| server.api().raw(r#"{__name__=~".+"}"#, "10m", now_ms()).await.unwrap();
    let (there, held) = (floats(&scene.source).await, floats(&receiver).await);
    let moments: BTreeSet<i64> = held.values().flatten().map(|sample| sample.at).collect();
    let window = *moments.first().unwrap()..=*moments.last().unwrap();
    let there = there.into_iter().filter_map(|(series, mut samples)| {
        samples.retain(|sample| window.contains(&sample.at));
        (!samples.is_empty()).then(|| (arrives(series), samples))
    });
    assert_same("the receiver", &there.collect(), &held);
    let log = scene.sluice.log();
    assert!(log.contains("takes no native histograms: native histograms are disabled"), "{log}");
    assert!(log.contains("native_"), "one of them is named: {log}");
}

#[tokio::test]
async fn a_source_that_fails_at_its_histograms_gives_its_floats_all_the_same() {
    let receiver = Prometheus::native("").await;
    let falls = |n: u64| Some(Shown::Histogram(Native { sum: Value::from(n as f64), ..gauge(100 - n) }));
    let shapes: Vec<(_, Shape)> =
        vec![("native_falls", Arc::new(falls)), ("native_level", Arc::new(|n| Some(Shown::Gauge(n as f64))))];
    let url = format!("{}/api/v1/write", receiver.url());
    let mut scene = Scene::with(shapes, &url, "auto", Json::Null).await;
    tokio::time::sleep(Duration::from_secs(25)).await;
    let skipped = scene.sluice.counted("sluice_source_histograms_skipped_total", &[("source", "main")]).await;
    assert!(skipped >= 5, "{skipped}");
    assert!(scene.sluice.stop().await.success());
    let log = scene.sluice.log();
    assert!(log.contains("fails at its native histograms"), "{log}");
    let [there, held] = both(&scene.source, &receiver).await;
    let there = floats_of(there);
    assert_same("the receiver", &there, &floats_of(held));
    let level = there.iter().find(|(series, _)| series.name() == "native_level").unwrap().1;
    assert!(level.len() > 15, "{level:?}");
}

#[tokio::test]
async fn a_filter_that_sees_samples_is_shown_floats_and_histograms_are_counted() {
    let receiver = StrictReceiver::start().await;
    let filters = json!([{
        "name": "thin", "module": { "builtin": { "name": "downsample" } },
        "config": { "rules": [{ "select": "native_mixed", "every": 2 }] },
    }]);
    let mut scene = Scene::with(shapes(), &receiver.url(), "1.0", filters).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let skipped = scene.sluice.counted("sluice_source_histograms_skipped_total", &[("source", "main")]).await;
    assert!(skipped >= 25, "{skipped}");
    assert!(scene.sluice.stop().await.success());
    assert_eq!((receiver.violations(), receiver.histograms()), (Vec::new(), BTreeMap::new()));
    assert!(receiver.samples().keys().any(|series| series.name() == SCRAPES));
}
