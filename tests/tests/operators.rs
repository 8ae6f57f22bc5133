//! What operators were promised: metrics, log lines, health, and the debug endpoints.

use std::io::Write as _;
use std::process::{Command, Stdio};

use http::{Method, StatusCode};
use serde_json::Value as Json;
use sluice_tests::series::{LabelSet, Value};
use sluice_tests::servers::{Prometheus, ScrapeJob, Setup, Sluice, find};
use sluice_tests::stage::Stage;
use sluice_tests::strict_receiver::{Reply, StrictReceiver};
use sluice_tests::wait::{eventually, now_ms};

fn resource(receiver: &StrictReceiver) -> String {
    format!(
        r#"apiVersion: observability.ethos.io/v1alpha1
kind: MetricAccess
metadata: {{ name: webapp-metrics, namespace: webapp-team }}
spec:
  source: webapp-team
  metrics: ["db_rows", "queue_depth"]
  remoteWrite:
    enabled: true
    interval: "1s"
    target: {{ type: remote_write }}
    remoteWrite: {{ url: "{}/write" }}
    metricRelabelings:
      - {{ sourceLabels: [__name__], regex: queue_depth, action: drop }}
"#,
        receiver.url()
    )
}

struct Running {
    stage: Stage,
    receiver: StrictReceiver,
    sluice: Sluice,
}

/// A program with one tenant, five series collected and two of them kept, after some ticks.
async fn running() -> Running {
    let (stage, receiver) = tokio::join!(Stage::set(), StrictReceiver::start());
    let sluice = Setup::new()
        .source("main", &stage.source.url())
        .resource("webapp.yaml", &resource(&receiver))
        .start()
        .await;
    eventually("some ticks arrive", async || (receiver.seen().len() >= 3).then_some(())).await;
    Running { stage, receiver, sluice }
}

async fn openmetrics(sluice: &Sluice) -> sluice_tests::http::Answer {
    let url = format!("http://{}/metrics", sluice.address());
    let accept = ("accept", "application/openmetrics-text; version=1.0.0");
    sluice_tests::http::request(Method::GET, &url, &[accept], "").await.unwrap()
}

#[tokio::test]
async fn promtool_has_nothing_to_say_about_the_metrics() {
    let running = running().await;
    let page = running.sluice.get("/metrics").await;
    let mut promtool = Command::new(find("promtool"))
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    promtool.stdin.take().unwrap().write_all(&page.body).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.is_empty(), "{said}\n{}", page.text());
}

#[tokio::test]
async fn metrics_are_openmetrics_for_whom_asks_for_it() {
    let running = running().await;
    let page = openmetrics(&running.sluice).await;
    let kind = page.headers["content-type"].to_str().unwrap();
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    assert!(page.text().ends_with("# EOF\n"), "{}", page.text());
    assert!(page.text().contains("# TYPE remote_write_metrics_collected counter\n"), "{}", page.text());
}

#[tokio::test]
async fn a_real_prometheus_scrapes_the_promised_metrics() {
    let running = running().await;
    let watcher = Prometheus::source(&[ScrapeJob::new("sluice", running.sluice.address())]).await;
    let labels = r#"{tenant="webapp-team",target_type="remote_write"#;
    for query in [
        format!(r#"remote_write_metrics_collected_total{labels}"}}"#),
        format!(r#"remote_write_requests_total{labels}",status="success"}}"#),
        format!(r#"remote_write_request_duration_seconds_count{labels}"}}"#),
        format!(r#"remote_write_request_duration_seconds_bucket{labels}",le="+Inf"}}"#),
    ] {
        eventually(&query, async || {
            let found = watcher.api().instant(&query, now_ms()).await.unwrap();
            found.into_values().next().filter(|value| value.float() >= 2.0)
        })
        .await;
    }
    let up = watcher.api().instant("up", now_ms()).await.unwrap();
    assert_eq!(up.into_values().collect::<Vec<_>>(), [Value::from(1.0)]);
    // Samples collected are those of the sources, before filtering: five a tick.
    let collected = running.sluice.get("/metrics").await;
    let line =
        collected.text().lines().find(|l| l.starts_with("remote_write_metrics_collected_total{")).unwrap();
    let count: f64 = line.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(count > 0.0 && count % 5.0 == 0.0, "{line}");
}

#[tokio::test]
async fn the_log_has_the_documented_shape() {
    let mut running = running().await;
    assert!(running.sluice.stop().await.success());
    let lines = running.sluice.log_lines();
    let is_tick = |l: &&Json| l["msg"] == "Collected metrics for remote write job";
    let ticks: Vec<_> = lines.iter().filter(is_tick).collect();
    // Nothing at first, then five: what stays the same is not told again at every tick.
    assert!((1..=2).contains(&ticks.len()), "{lines:#?}");
    assert!(ticks.iter().any(|line| line["count"] == 5), "{ticks:#?}");
    for line in ticks {
        assert_eq!(line["level"], "info");
        assert_eq!(line["namespace"], "webapp-team");
        assert_eq!(line["name"], "webapp-metrics");
        // Ticks before the source's first scrape have nothing.
        assert!(line["count"] == 5 || line["count"] == 0, "what the source answered: {line}");
        assert_eq!(line["targets_used"], 1);
    }
    for line in &lines {
        assert!(line["level"].is_string() && line["msg"].is_string(), "{line}");
        assert!(line.as_object().unwrap().values().all(|v| !v.is_object()), "flat: {line}");
    }
}

#[tokio::test]
async fn the_process_started_before_it_logged_anything() {
    let running = running().await;
    let page = running.sluice.get("/metrics").await;
    let started = page.text().lines().find_map(|line| line.strip_prefix("process_start_time_seconds "));
    let started: f64 = started.unwrap().parse().unwrap();
    let first = running.sluice.log_lines()[0]["time"].as_str().unwrap().to_owned();
    let logged = first.parse::<k8s_openapi::jiff::Timestamp>().unwrap().as_millisecond() as f64 / 1000.0;
    // The kernel counts in hundredths of a second.
    assert!(started <= logged + 0.01 && started > logged - 60.0, "{started} {logged}");
}

#[tokio::test]
async fn health_is_visible_and_changes_with_the_receiver() {
    let running = running().await;
    // A loaded machine may be late for a moment, and then health says so.
    let body = eventually("health is good", async || {
        let health = running.sluice.get("/health").await;
        let body: Json = serde_json::from_slice(&health.body).unwrap();
        (health.status == StatusCode::OK && body["status"] == "ok").then_some(body)
    })
    .await;
    assert!(body.to_string().contains("webapp-metrics"), "{body:#}");

    running.receiver.reply_always(Reply::refuse(StatusCode::INTERNAL_SERVER_ERROR));
    let body = eventually("health becomes bad", async || {
        let health = running.sluice.get("/health").await;
        (health.status == StatusCode::SERVICE_UNAVAILABLE).then(|| health.text().to_owned())
    })
    .await;
    assert!(body.contains("unhealthy") && body.contains("500"), "{body}");
    for path in ["/livez", "/readyz"] {
        assert_eq!(running.sluice.get(path).await.status, StatusCode::OK, "{path}");
    }

    running.receiver.reply_always(Reply::Accept);
    eventually("health recovers", async || {
        (running.sluice.get("/health").await.status == StatusCode::OK).then_some(())
    })
    .await;
    assert_eq!(running.receiver.violations(), []);
}

#[tokio::test]
async fn a_receiver_that_fails_is_told_once_and_so_is_its_recovery() {
    let mut running = running().await;
    let told = |sluice: &Sluice, message: &str| -> Vec<Json> {
        sluice.log_lines().into_iter().filter(|line| line["msg"] == message).collect()
    };
    running.receiver.reply_always(Reply::refuse(StatusCode::SERVICE_UNAVAILABLE));
    let before = running.receiver.seen().len();
    let attempts = async || (running.receiver.seen().len() >= before + 12).then_some(());
    eventually("many attempts fail", attempts).await;
    let failing = told(&running.sluice, "Receiver does not take samples");
    let [line] = failing.as_slice() else { panic!("{failing:#?}") };
    assert_eq!(
        (&line["level"], &line["namespace"], &line["name"]),
        (&"warn".into(), &"webapp-team".into(), &"webapp-metrics".into())
    );
    assert_eq!(line["endpoint"], format!("{}/write", running.receiver.url()), "{line}");
    assert_eq!((&line["kept"], &line["kept_for_seconds"]), (&"every tick".into(), &3000.into()), "{line}");
    assert!(line["error"].as_str().unwrap().contains("503 Service Unavailable"), "{line}");
    assert!(told(&running.sluice, "Remote write job delivers again").is_empty());

    running.receiver.reply_always(Reply::Accept);
    let back = eventually("it delivers again", async || {
        told(&running.sluice, "Remote write job delivers again").pop()
    })
    .await;
    assert_eq!((&back["level"], &back["endpoint"]), (&"info".into(), &line["endpoint"]), "{back}");
    assert!(back["down_seconds"].as_u64().unwrap() >= 1, "{back}");
    assert!(back["ticks_caught_up"].as_u64().unwrap() >= 2, "{back}");
    assert!(running.sluice.stop().await.success());
    assert_eq!(told(&running.sluice, "Receiver does not take samples").len(), 1);
    assert_eq!(told(&running.sluice, "Remote write job delivers again").len(), 1);
    assert_eq!(running.receiver.violations(), []);
}

#[tokio::test]
async fn a_source_that_is_down_is_shown() {
    let mut running = running().await;
    running.stage.source.kill();
    eventually("health becomes bad", async || {
        let health = running.sluice.get("/health").await;
        (health.status == StatusCode::SERVICE_UNAVAILABLE).then_some(())
    })
    .await;
    let targets = running.sluice.debug("/debug/targets").await;
    assert!(targets.text().contains("down"), "{}", targets.text());
    for message in ["A source does not answer queries", "A source is down", "No source answers"] {
        eventually(message, async || running.sluice.log().contains(message).then_some(())).await;
    }
    let lines = running.sluice.log_lines();
    for message in ["A source does not answer queries", "A source is down", "No source answers"] {
        assert_eq!(lines.iter().filter(|line| line["msg"] == message).count(), 1, "{message}");
    }
}

#[tokio::test]
async fn discovered_targets_are_listed() {
    let running = running().await;
    let targets = running.sluice.debug("/debug/targets").await;
    assert_eq!(targets.status, StatusCode::OK);
    let text = targets.text();
    let url = running.stage.source.url();
    for part in ["main", url.trim_start_matches("http://"), "up"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(serde_json::from_str::<Json>(text).is_ok(), "{text}");
}

#[tokio::test]
async fn collected_metrics_are_the_latest_samples_with_their_labels() {
    let running = running().await;
    let page = running.sluice.debug("/collected-metrics").await;
    assert_eq!(page.status, StatusCode::OK);
    let sent: Vec<LabelSet> = running.receiver.samples().into_keys().collect();
    assert_eq!(sent.len(), 2);
    for series in sent {
        let line = page.text().lines().find(|line| line.starts_with(&series.to_string()));
        let line = line.unwrap_or_else(|| panic!("{series} is missing: {}", page.text()));
        let mut numbers = line[series.to_string().len()..].split_whitespace();
        let value: f64 = numbers.next().unwrap().parse().unwrap();
        let at: i64 = numbers.next().unwrap().parse().unwrap();
        let held = eventually("the receiver has that sample", async || {
            running.receiver.at(at).get(&series).copied()
        })
        .await;
        assert_eq!(held, Value::from(value));
    }
    assert!(!page.text().contains("queue_depth"), "what a filter drops is not shown");
}

#[tokio::test]
async fn debug_endpoints_are_not_on_the_public_address() {
    let running = running().await;
    for path in ["/collected-metrics", "/debug/targets"] {
        assert_eq!(running.sluice.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(running.sluice.debug(path).await.status, StatusCode::OK, "{path}");
    }
}

/// What is allowed comes from the operator's rule for the namespace, what is used from the last tick: five series.
#[tokio::test]
async fn metrics_tell_how_near_a_resource_comes_to_its_limits() {
    let (stage, receiver) = tokio::join!(Stage::set(), StrictReceiver::start());
    let rule = serde_json::json!({
        "rules": [{ "namespaces": ["webapp-*"], "limits": { "maxSeries": 40, "maxBytesPerTick": 50_000 } }],
    });
    let sluice = Setup::new()
        .source("main", &stage.source.url())
        .setting("tenancy", rule)
        .resource("webapp.yaml", &resource(&receiver))
        .start()
        .await;
    let value = async |name: &str, limit: &str| {
        let labels = format!(r#"{{tenant="webapp-team",resource="webapp-metrics",limit="{limit}"}} "#);
        let page = sluice.get("/metrics").await;
        let line = page.text().lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(&*labels));
        line.and_then(|value| value.parse::<u64>().ok())
    };
    eventually("a tick is shown", async || {
        let used = (
            value("sluice_limit_used", "tick_series").await,
            value("sluice_limit_used", "tick_bytes").await?,
        );
        (used.0 == Some(5) && (1..1_000).contains(&used.1)).then_some(())
    })
    .await;
    assert_eq!(value("sluice_limit_max", "tick_series").await, Some(40));
    assert_eq!(value("sluice_limit_max", "tick_bytes").await, Some(50_000));
}
