//! Memory: one tenant whose series would fill a replica costs its own ticks, and nobody else's.

use http::StatusCode;
use serde_json::json;
use sluice_tests::query_source::{Call, QuerySource, vector};
use sluice_tests::servers::{Setup, Sluice};
use sluice_tests::strict_receiver::StrictReceiver;
use sluice_tests::wait::eventually;

/// With ten labels of 2,000 bytes each this is a gigabyte of labels.
const BOMB_SERIES: usize = 50_000;

/// Each with labels of 4,000 bytes, and asked for in [`SHAPES`] ways: 640 MB of labels, held twice.
const LONG_SERIES: usize = 4_000;
const SHAPES: usize = 40;

/// What the process may come to. It takes 120 to 200 MiB without the bomb; the bomb's namespace may have 64, what is
/// decided at once takes a few, and what was tried and taken back leaves gaps. Without a limit it takes 1,200 and 1,500.
const PEAK_MIB_MAX: usize = 384;

/// Everything the source has; who asked for something else leaves the rest aside.
fn answer(call: &Call) -> (StatusCode, String) {
    let Some(time) = call.form.get("time") else { return (StatusCode::OK, String::new()) };
    let mut elements = format!(r#"{{"metric":{{"__name__":"queue_depth"}},"value":[{time},"7"]}}"#);
    for n in 0..BOMB_SERIES {
        elements += &format!(r#",{{"metric":{{"__name__":"bomb","n":"{n}"}},"value":[{time},"1"]}}"#);
    }
    vector(&elements)
}

fn resource(namespace: &str, metrics: &[String], url: &str, labels: &serde_json::Value) -> String {
    json!({
        "apiVersion": "observability.ethos.io/v1alpha1",
        "kind": "MetricAccess",
        "metadata": { "name": "metrics", "namespace": namespace },
        "spec": {
            "source": namespace,
            "metrics": metrics,
            "remoteWrite": {
                "enabled": true,
                "interval": "1s",
                "target": { "type": "remote_write" },
                "extraLabels": labels,
                "remoteWrite": { "url": url },
            },
        },
    })
    .to_string()
}

/// The ticks of the good tenant that arrived.
fn ticks(receiver: &StrictReceiver) -> Vec<i64> {
    let mut samples = receiver.samples();
    samples.retain(|labels, _| labels.name() == "queue_depth");
    samples.into_values().flatten().map(|sample| sample.at).collect()
}

/// Every tick of the good tenant arrives, some of them now, and the process has stayed small.
async fn the_neighbour_goes_on(sluice: &Sluice, receiver: &StrictReceiver) {
    let before = ticks(receiver).len();
    eventually("the other goes on", async || (ticks(receiver).len() >= before + 5).then_some(())).await;
    let ticks = ticks(receiver);
    assert!(ticks.windows(2).all(|two| two[1] - two[0] == 1_000), "{ticks:?}");
    assert_eq!(receiver.violations(), []);
    let peak = sluice.memory_bytes("VmHWM") >> 20;
    assert!(peak < PEAK_MIB_MAX, "{peak} MiB");
}

async fn names_the_limit(sluice: &Sluice) {
    let words = "take more than 67108864 bytes (limits.maxMemory)";
    eventually("the bomb's resource names the limit", async || {
        sluice.get("/health").await.text().contains(words).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_tenant_with_a_gigabyte_of_labels_costs_nobody_else_a_tick() {
    let source = QuerySource::start(answer).await;
    let receiver = StrictReceiver::start().await;
    let long: serde_json::Map<_, _> = (0..10).map(|n| (format!("l{n}"), json!("x".repeat(2_000)))).collect();
    // Nobody listens there, so nothing that was encoded could ever be let go.
    let (nowhere, here) = (
        format!("http://127.0.0.1:{}/write", sluice_tests::servers::free_port()),
        format!("{}/write", receiver.url()),
    );
    let sluice = Setup::new()
        .source("main", &source.url())
        .setting("limits", json!({ "maxMemory": "64Mi" }))
        .resource("good.yaml", &resource("good", &["queue_depth".into()], &here, &json!({})))
        .resource("bomb.yaml", &resource("evil", &["bomb".into()], &nowhere, &long.into()))
        .start()
        .await;
    names_the_limit(&sluice).await;
    the_neighbour_goes_on(&sluice, &receiver).await;
    // Without the long labels it has room.
    sluice.write("bomb.yaml", &resource("evil", &["bomb".into()], &here, &json!({ "team": "evil" })));
    eventually("the former bomb is delivered", async || {
        let samples = receiver.samples();
        let bombs = samples.keys().filter(|labels| labels.name() == "bomb").count();
        (bombs == BOMB_SERIES).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_sources_answer_is_held_for_whom_it_is_and_counted() {
    let long = "x".repeat(4_000);
    let results: String = (0..LONG_SERIES)
        .map(|n| {
            format!(r#",{{"metric":{{"__name__":"bomb","n":"{n}","long":"{long}"}},"value":[TIME,"1"]}}"#)
        })
        .collect();
    let source = QuerySource::start(move |call: &Call| {
        let Some(time) = call.form.get("time") else { return (StatusCode::OK, String::new()) };
        match call.form.get("query") {
            Some(query) if query.contains("bomb") => vector(&results[1..].replace("TIME", time)),
            _ => vector(&format!(r#"{{"metric":{{"__name__":"queue_depth"}},"value":[{time},"7"]}}"#)),
        }
    })
    .await;
    let receiver = StrictReceiver::start().await;
    let here = format!("{}/write", receiver.url());
    let shapes: Vec<String> = (0..SHAPES).map(|n| format!(r#"bomb{{x{n}!="y"}}"#)).collect();
    let sluice = Setup::new()
        .source("main", &source.url())
        .setting("limits", json!({ "maxMemory": "64Mi" }))
        .resource("good.yaml", &resource("good", &["queue_depth".into()], &here, &json!({})))
        .resource("bomb.yaml", &resource("evil", &shapes, &here, &json!({})))
        .start()
        .await;
    names_the_limit(&sluice).await;
    the_neighbour_goes_on(&sluice, &receiver).await;
}
