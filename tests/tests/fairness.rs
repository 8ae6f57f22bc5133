//! Fairness: a tenant that asks a source more than it can answer is late itself, and makes nobody else late.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use sluice_tests::query_source::{Call, QuerySource, vector};
use sluice_tests::servers::Setup;
use sluice_tests::strict_receiver::StrictReceiver;
use sluice_tests::wait::eventually;

/// Of the noisy tenant at each tick. Eight at once, they take 2.5 s, where a tick is due every second.
const QUERIES: usize = 400;
const LATENCY: Duration = Duration::from_millis(50);

fn answer(call: &Call) -> (StatusCode, String) {
    let Some(time) = call.form.get("time") else { return (StatusCode::OK, String::new()) };
    vector(&format!(r#"{{"metric":{{"__name__":"queue_depth"}},"value":[{time},"7"]}}"#))
}

fn resource(namespace: &str, metrics: &[String], url: &str) -> String {
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
                "remoteWrite": { "url": url },
            },
        },
    })
    .to_string()
}

#[tokio::test]
async fn four_hundred_slow_queries_delay_no_tick_of_another_namespace() {
    let source = QuerySource::start(answer).await;
    source.takes(LATENCY);
    let (quiet, noisy) = (StrictReceiver::start().await, StrictReceiver::start().await);
    let many: Vec<String> = (0..QUERIES).map(|n| format!(r#"queue_depth{{x{n}!="y"}}"#)).collect();
    let sluice = Setup::new()
        .source("main", &source.url())
        .resource("noisy.yaml", &resource("noisy", &many, &format!("{}/write", noisy.url())))
        .start()
        .await;
    eventually("the noisy one is busy", async || (source.calls().len() >= QUERIES).then_some(())).await;
    sluice
        .write("quiet.yaml", &resource("quiet", &["queue_depth".into()], &format!("{}/write", quiet.url())));
    let ticks = || -> Vec<i64> { quiet.samples().into_values().flatten().map(|sample| sample.at).collect() };
    eventually("ten ticks of the quiet one", async || (ticks().len() >= 10).then_some(())).await;
    let ticks = ticks();
    assert!(ticks.windows(2).all(|two| two[1] - two[0] == 1_000), "{ticks:?}");
    eventually("the noisy one goes on", async || noisy.samples().into_values().next().map(|_| ())).await;
    assert_eq!((quiet.violations(), noisy.violations()), (vec![], vec![]));
    // In the order of asking, each query of the quiet one would come after all of the noisy one's that wait.
    let calls = source.calls();
    let queries: Vec<&str> =
        calls.iter().filter_map(|call| call.form.get("query").map(String::as_str)).collect();
    let between: Vec<usize> = queries.split(|query| !query.contains("!=")).skip(1).map(<[_]>::len).collect();
    assert!(between.len() >= 10 && between.iter().all(|noisy| *noisy < QUERIES / 2 + 8), "{between:?}");
}
