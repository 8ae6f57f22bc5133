//! The demo's own servers, asked as Sluice asks them, and what it prints.

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tower::ServiceExt as _;

use super::*;
use crate::model::{Interval, TargetType, Tick};
use crate::serve;
use crate::status::TickReport;
use crate::telemetry::Metrics;
use crate::tenancy::policy::{Effective, Services};
use crate::tenancy::{self, Outcome, Review};

async fn ask(request: Request<Body>) -> (StatusCode, Value) {
    let (router, _): (Router, usize) = source::router();
    let response = router.oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

fn post(path: &str, form: &str) -> Request<Body> {
    Request::post(path).body(Body::from(form.to_owned())).unwrap()
}

#[tokio::test]
async fn the_source_answers_a_selector_as_prometheus_does_by_get_and_by_post() {
    let form = "query=up%7Bjob%3D%22webapp%22%7D&time=1800000000.5";
    let (status, answer) = ask(post("/api/v1/query", form)).await;
    assert_eq!((status, &answer["status"]), (StatusCode::OK, &"success".into()));
    let first = &answer["data"]["result"][0];
    assert_eq!(first["metric"]["__name__"], "up");
    assert_eq!(first["metric"]["instance"], "webapp-0:8080");
    assert_eq!(first["value"], serde_json::json!([1_800_000_000.5, "1"]));
    let get = Request::get(format!("/api/v1/query?{form}")).body(Body::empty()).unwrap();
    assert_eq!(ask(get).await.1, answer);
}

#[tokio::test]
async fn a_range_has_the_values_of_its_instants() {
    let query = "query=kafka_messages_total%7Bpartition%3D%220%22%2Ctopic%3D%22orders%22%7D";
    let (_, range) =
        ask(post("/api/v1/query_range", &format!("{query}&start=1800000000&end=1800000010&step=5"))).await;
    let values = range["data"]["result"][0]["values"].as_array().unwrap();
    assert_eq!(values.len(), 3);
    let (_, instant) = ask(post("/api/v1/query", &format!("{query}&time=1800000005"))).await;
    assert_eq!(instant["data"]["result"][0]["value"], values[1]);
}

#[tokio::test]
async fn what_cannot_be_answered_is_an_error_of_prometheus_shape() {
    for form in ["query=sum(up)", "query=", "query=up&time=never", "query=up&limit=x"] {
        let (status, answer) = ask(post("/api/v1/query", form)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{form}");
        assert_eq!(answer["errorType"], "bad_data");
        assert!(answer["error"].as_str().unwrap().starts_with("invalid parameter \""), "{answer}");
    }
}

#[tokio::test]
async fn a_truncated_answer_warns() {
    let (_, answer) = ask(post("/api/v1/query", "query=up&limit=2")).await;
    assert_eq!(answer["data"]["result"].as_array().unwrap().len(), 2);
    assert_eq!(answer["warnings"][0], "results truncated due to limit");
}

fn report(team: &str, tick: i64) -> TickReport {
    TickReport {
        tenant: TenantId { namespace: team.into(), name: "a".into() },
        group: "infrastructure".into(),
        endpoint: "http://127.0.0.1/".into(),
        tick: Tick::at_or_before(Timestamp(tick), Interval::new(Duration::from_secs(5)).unwrap()),
        collected: 120,
        kept: 84,
        delivered: 84,
        bytes: 2_100,
        took: Duration::from_millis(12),
    }
}

/// An application that reads its files and delivers a tick a millisecond.
async fn pretend(config: PathBuf, board: Board, stop: CancellationToken) -> anyhow::Result<()> {
    let folder = config.parent().unwrap();
    assert!(folder.join("resources/webapp-team.yaml").is_file());
    for tick in 0.. {
        for team in config::TEAMS {
            board.report(report(team, 1_800_000_000_000 + tick * 5_000));
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        if stop.is_cancelled() {
            break;
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_demo_ends_after_its_ticks_and_leaves_nothing_behind() {
    let mut out = Vec::new();
    let folder = Arc::new(std::sync::Mutex::new(PathBuf::new()));
    let seen = Arc::clone(&folder);
    let app = move |config: PathBuf, board, stop| {
        *seen.lock().unwrap() = config.parent().unwrap().to_owned();
        pretend(config, board, stop)
    };
    let args = Args { ticks: Some(3), real: false };
    run(args, &mut out, CancellationToken::new(), app).await.unwrap();
    let text = String::from_utf8(out).unwrap();
    let line = "  08:00:00    webapp-team        120      84       36         84    2.1 kB    12 ms";
    assert!(text.contains(line), "{text}");
    assert!(text.contains("look first at  http://127.0.0.1:"), "{text}");
    assert!(!text.contains('\x1b'), "no colour unless on a terminal");
    assert!(!folder.lock().unwrap().exists());
}

#[tokio::test]
async fn an_application_that_fails_ends_the_demo_with_its_error() {
    let app = |_, _, _| async { bail!("it broke") };
    let error = run(Args::default(), Vec::new(), CancellationToken::new(), app).await.unwrap_err();
    assert_eq!(error.to_string(), "it broke");
}

#[tokio::test]
async fn the_demo_ends_when_it_is_interrupted() {
    let stop = CancellationToken::new();
    let interrupt = stop.clone();
    let app = |config, board, stop| async move {
        interrupt.cancel();
        pretend(config, board, stop).await
    };
    run(Args::default(), Vec::new(), stop, app).await.unwrap();
}

#[test]
fn the_teams_files_are_resources_without_a_problem() {
    let url = "http://127.0.0.1:1".parse::<url::Url>().unwrap();
    let services = ["prometheus.webapp-team:9090", "pushgateway.data-team:9091"];
    let policy = Effective {
        services: Services::Map(services.map(|service| (service.to_owned(), url.clone())).into()),
        ..Effective::default()
    };
    let remote = config::DataTarget::RemoteWrite("http://127.0.0.1:1/api/v1/write".to_owned());
    for text in [config::webapp(), config::data(&remote), config::data(&config::DataTarget::Pushgateway)] {
        let resources = tenancy::read(&Path::new("demo.yaml").into(), &text).unwrap();
        let review = Review::of(&resources[0], &policy, &tenancy::secrets::Unchecked);
        assert_eq!(review.problems, [], "{text}");
        assert!(matches!(review.outcome, Outcome::Run(_)), "{text}");
    }
}

/// One answer of a server on loopback; empty if there is none yet.
async fn fetch(address: &str, path: &str) -> String {
    let mut text = String::new();
    if let Ok(mut stream) = TcpStream::connect(address).await {
        let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
        let _ = stream.write_all(request.as_bytes()).await;
        let _ = stream.read_to_string(&mut text).await;
    }
    text
}

fn field(config: &str, name: &str) -> String {
    let line = config.lines().find_map(|line| line.trim().strip_prefix(name)).unwrap();
    line.trim().trim_start_matches("http://").to_owned()
}

/// Serves metrics where the configuration says, and reports a tick once the real Prometheus has scraped them.
async fn be_scraped(config: PathBuf, board: Board, stop: CancellationToken) -> anyhow::Result<()> {
    let config = std::fs::read_to_string(config)?;
    let (listen, source) = (field(&config, "address:"), field(&config, "url:"));
    let metrics = Metrics::new();
    let id = TenantId { namespace: "webapp-team".into(), name: "a".into() };
    metrics.for_tenant(&id, TargetType::Prometheus).collected(1250);
    let addresses = serve::Config { listen: listen.parse()?, debug_listen: listen.parse()? };
    let serving = serve::Bound::open(&addresses).await?;
    let serving = tokio::spawn(serving.run(serve::State::new(board.clone(), metrics, now), stop.clone()));
    let ours = "/api/v1/query?query=remote_write_metrics_collected_total%7Btenant%3D%22webapp-team%22%7D";
    let live = "/api/v1/query?query=up%7Bjob%3D%22webapp%22%7D";
    loop {
        let (ours, live) = (fetch(&source, ours).await, fetch(&source, live).await);
        if ours.contains("\"1250\"]") && live.contains("webapp-0:8080") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    config::TEAMS.iter().for_each(|team| board.report(report(team, 1_800_000_000_000)));
    serving.await?;
    Ok(())
}

/// Runs where the servers are; the end-to-end tests require them.
#[tokio::test]
async fn a_real_prometheus_scrapes_the_demo_and_our_own_metrics() {
    if let Err(missing) = real::find("prometheus").and_then(|_| real::find("prometheus-pushgateway")) {
        eprintln!("skipped: {missing}");
        return;
    }
    let args = Args { ticks: Some(1), real: true };
    let demo = run(args, Vec::new(), CancellationToken::new(), be_scraped);
    tokio::time::timeout(Duration::from_secs(50), demo).await.expect("scraped within 50 s").unwrap();
}
