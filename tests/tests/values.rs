//! Values: every float arrives bit for bit, every timestamp to the millisecond, every label byte for byte.

use std::collections::BTreeMap;

use http::StatusCode;
use sluice_tests::exposition::Motion;
use sluice_tests::query_source::{Call, QuerySource, vector};
use sluice_tests::series::{LabelSet, ODD_TEXTS, Value, assert_same, series};
use sluice_tests::servers::Setup;
use sluice_tests::stage::Stage;
use sluice_tests::strict_receiver::StrictReceiver;
use sluice_tests::wait::{eventually, now_ms};

fn resource(receiver: &StrictReceiver, interval: &str) -> String {
    format!(
        r#"apiVersion: observability.ethos.io/v1alpha1
kind: MetricAccess
metadata: {{ name: a, namespace: team }}
spec:
  source: team
  metrics: [".+"]
  remoteWrite:
    enabled: true
    interval: "{interval}"
    target: {{ type: remote_write }}
    remoteWrite: {{ url: "{}" }}
"#,
        receiver.url()
    )
}

/// The edges of the type, and a few thousand bit patterns of a fixed sequence.
fn floats() -> Vec<f64> {
    let mut floats = vec![
        0.0,
        -0.0,
        1.0,
        0.1,
        -0.1,
        1.0 / 3.0,
        5e-324,
        -5e-324,
        f64::MIN_POSITIVE,
        2.225073858507201e-308,
        f64::MAX,
        f64::MIN,
        f64::EPSILON,
        f64::INFINITY,
        f64::NEG_INFINITY,
        9007199254740993.0,
        1e21,
        1e22,
        1e23,
        123456789012345680.0,
        5e-7,
        1e-7,
    ];
    let mut bits: u64 = 0x9e37_79b9_7f4a_7c15;
    while floats.len() < 3000 {
        bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        floats.push(f64::from_bits(bits));
    }
    floats
}

fn bits_or_canonical(float: f64) -> Value {
    if float.is_nan() { Value::NAN } else { float.into() }
}

#[tokio::test]
async fn every_float_and_every_label_value_arrives_as_the_source_has_it() {
    let mut scripted = Vec::new();
    for (i, float) in floats().into_iter().chain([f64::NAN]).enumerate() {
        let id = i.to_string();
        scripted.push((series("value", [("id", &*id)]), Motion::Still(float)));
    }
    for text in ODD_TEXTS {
        scripted.push((series("label", [("l", *text)]), Motion::Still(1.0)));
    }
    let (stage, receiver) = tokio::join!(Stage::with(scripted.clone()), StrictReceiver::start());
    let instance = stage.target.address();
    let expected: BTreeMap<LabelSet, Value> = scripted
        .into_iter()
        .map(|(labels, motion)| {
            let Motion::Still(float) = motion else { unreachable!("all of them stand still") };
            let labels = labels.with("job", "shop").with("instance", &instance);
            (labels.with("managed_by", "multi-tenant-proxy"), bits_or_canonical(float))
        })
        .collect();
    let _sluice = Setup::new()
        .source("main", &stage.source.url())
        .resource("a.yaml", &resource(&receiver, "1s"))
        .start()
        .await;
    let found = eventually("a whole tick arrives", async || {
        let samples = receiver.samples();
        let scripted = samples.into_iter().filter(|(l, _)| ["value", "label"].contains(&l.name()));
        let newest: BTreeMap<_, _> = scripted.filter_map(|(l, s)| Some((l, s.last()?.value))).collect();
        (newest.len() == expected.len()).then_some(newest)
    })
    .await;
    assert_same("the receiver", &expected, &found);
    assert_eq!(receiver.violations(), []);
}

/// A source of ours: answers with `elements` stamped with the time that was asked for.
async fn answering(elements: impl Into<String>) -> QuerySource {
    let elements = elements.into();
    QuerySource::start(move |call: &Call| match call.form.get("time") {
        Some(time) => vector(&elements.replace("$time", time)),
        None => {
            (StatusCode::BAD_REQUEST, r#"{"status":"error","errorType":"bad_data","error":"no time"}"#.into())
        }
    })
    .await
}

#[tokio::test]
async fn samples_are_stamped_with_their_tick_to_the_millisecond() {
    let source = answering(r#"{"metric":{"__name__":"up"},"value":[$time,"1"]}"#).await;
    let receiver = StrictReceiver::start().await;
    let mut sluice = Setup::new()
        .source("main", &source.url())
        .resource("a.yaml", &resource(&receiver, "1234ms"))
        .start()
        .await;
    eventually("some ticks arrive", async || (receiver.seen().len() >= 3).then_some(())).await;
    assert!(sluice.stop().await.success());
    let found = receiver.samples();
    let ticks = sluice_tests::expectation::ticks(&found);
    sluice_tests::expectation::assert_every_tick(&ticks, 1234, 3);
    let asked: Vec<String> = source.calls().iter().filter_map(|c| c.form.get("time").cloned()).collect();
    for at in ticks {
        let seconds = format!("{}.{:03}", at / 1000, at % 1000);
        assert!(asked.contains(&seconds), "{seconds} was asked for: {asked:?}");
    }
    let calls = source.calls();
    // Whether it answers at all is asked by a query of its own.
    let probe = |call: &&Call| call.form.get("query").is_some_and(|query| query == "vector(1)");
    let queries: Vec<_> = calls.iter().filter(|c| c.path == "/api/v1/query" && !probe(c)).collect();
    assert!(!queries.is_empty());
    for call in queries {
        assert_eq!(call.method, http::Method::POST);
        for field in ["query", "time", "timeout", "limit"] {
            assert!(call.form.contains_key(field), "{field}: {call:?}");
        }
    }
}

#[tokio::test]
async fn native_histograms_are_left_out_and_counted() {
    let source = answering(
        r#"{"metric":{"__name__":"up"},"value":[$time,"1"]},
           {"metric":{"__name__":"h"},"histogram":[$time,{"count":"3","sum":"5","buckets":[[0,"0.5","1","3"]]}]},
           {"metric":{"__name__":"down","l":"\u00fc\ud83e\udd80"},"value":[$time,"NaN"]}"#,
    )
    .await;
    let receiver = StrictReceiver::start().await;
    let mut sluice = Setup::new()
        .source("main", &source.url())
        .resource("a.yaml", &resource(&receiver, "1s"))
        .start()
        .await;
    eventually("some ticks arrive", async || (receiver.seen().len() >= 2).then_some(())).await;
    let metrics = sluice.get("/metrics").await.text().to_owned();
    assert!(sluice.stop().await.success());
    let managed = |s: LabelSet| s.with("managed_by", "multi-tenant-proxy");
    let found = receiver.samples().into_iter().map(|(l, s)| (l, s[0].value)).collect();
    let expected = BTreeMap::from([
        (managed(series("up", [])), Value::from(1.0)),
        (managed(series("down", [("l", "ü🦀")])), Value::NAN),
    ]);
    assert_same("the receiver", &expected, &found);
    let counted =
        metrics.lines().any(|l| l.contains("histogram") && !l.starts_with('#') && !l.ends_with(" 0"));
    assert!(counted, "a count of histograms: {metrics}");
}

#[tokio::test]
async fn a_partial_answer_delivers_nothing_and_ends_nothing() {
    let receiver = StrictReceiver::start().await;
    let source = answering(
        r#"{"metric":{"__name__":"up"},"value":[$time,"1"]},{"metric":{"__name__":"down"},"value":[$time,"0"]}"#,
    )
    .await;
    let mut sluice = Setup::new()
        .source("main", &source.url())
        .resource("a.yaml", &resource(&receiver, "1s"))
        .start()
        .await;
    eventually("a tick arrives", async || (receiver.samples().len() == 2).then_some(())).await;
    source.script(|call| {
        let time = call.form.get("time").cloned().unwrap_or_default();
        let (status, body) = vector(&format!(r#"{{"metric":{{"__name__":"up"}},"value":[{time},"1"]}}"#));
        (status, body.replace(r#""data""#, r#""warnings":["a store is unreachable"],"data""#))
    });
    let calls = source.calls().len();
    eventually("the source is asked again", async || (source.calls().len() >= calls + 3).then_some(())).await;
    let moment = now_ms();
    let stale = receiver.samples().values().flatten().any(|s| s.value == Value::STALE);
    assert!(!stale, "an incomplete answer ends no series");
    // Whole again: the missed ticks are asked for again, in order.
    source.script(whole);
    eventually("ticks go on", async || {
        let newest = sluice_tests::expectation::ticks(&receiver.samples()).last().copied();
        newest.is_some_and(|at| at > moment).then_some(())
    })
    .await;
    assert!(sluice.stop().await.success());
    assert_eq!(receiver.violations(), []);
    let found = receiver.samples();
    sluice_tests::expectation::assert_every_tick(&sluice_tests::expectation::ticks(&found), 1000, 4);
    for samples in found.values() {
        assert!(samples.iter().all(|s| s.value != Value::STALE));
    }
}

/// Answers `query` and `query_range` with both series.
fn whole(call: &Call) -> (StatusCode, String) {
    let number = |field: &str| call.form.get(field).and_then(|text| text.parse::<f64>().ok());
    let element = |name: &str, rest: String| format!(r#"{{"metric":{{"__name__":"{name}"}},{rest}}}"#);
    if let (Some(start), Some(end), Some(step)) = (number("start"), number("end"), number("step")) {
        let steps = ((end - start) / step).round() as i64;
        let at = |i: i64, v: &str| format!("[{:.3},\"{v}\"]", start + step * i as f64);
        let values = |v: &str| (0..=steps).map(|i| at(i, v)).collect::<Vec<_>>().join(",");
        let both = ["up", "down"]
            .map(|n| element(n, format!(r#""values":[{}]"#, values(if n == "up" { "1" } else { "0" }))));
        let (status, body) = vector(&both.join(","));
        return (status, body.replace("vector", "matrix"));
    }
    let time = call.form.get("time").cloned().unwrap_or_default();
    vector(
        &[("up", "1"), ("down", "0")]
            .map(|(n, v)| element(n, format!(r#""value":[{time},"{v}"]"#)))
            .join(","),
    )
}

#[tokio::test]
async fn a_series_with_too_many_labels_costs_no_other_series() {
    let labels: String = (0..600).map(|i| format!(r#","l{i}":"v""#)).collect();
    let source = answering(format!(
        r#"{{"metric":{{"__name__":"up"}},"value":[$time,"1"]}},{{"metric":{{"__name__":"wide"{labels}}},"value":[$time,"1"]}}"#
    ))
    .await;
    let receiver = StrictReceiver::start().await;
    let sluice = Setup::new()
        .source("main", &source.url())
        .resource("a.yaml", &resource(&receiver, "1s"))
        .start()
        .await;
    eventually("ticks arrive", async || (receiver.seen().len() >= 2).then_some(())).await;
    let names: Vec<_> = receiver.samples().keys().map(|series| series.name().to_owned()).collect();
    assert_eq!(names, ["up"]);
    assert!(sluice.log().contains("too many or too long labels"), "{}", sluice.log());
}
