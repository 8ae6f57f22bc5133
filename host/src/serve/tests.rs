//! The endpoints, asked as a client would.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use super::*;
use crate::model::exposition::write_sample;
use crate::model::{
    Author, Endpoint, HonorLabels, Interval, Labels, Mode, RemoteWriteEndpoint, Source, SourceGroup,
    SourceName, Stamps, TargetType, Tenant, TenantId, Tick, TickLimits, Timestamp,
};
use crate::status::{
    Board, Collected, Delivered, FilterReport, FilterStage, LaneEntry, Latest, SourceSeen, Stage,
};
use crate::telemetry::Metrics;

/// 2015-07-01T20:10:51.781Z
const NOW: Timestamp = Timestamp(1_435_781_451_781);

struct Rows(usize);

impl Latest for Rows {
    fn page(&self, start: usize, rows_max: usize, out: &mut String) -> Option<usize> {
        let end = self.0.min(start + rows_max);
        for row in start..end {
            let labels = Labels::from_pairs([("__name__", "up"), ("row", &row.to_string())]).unwrap();
            write_sample(out, &labels, 1.0, NOW);
        }
        (end < self.0).then_some(end)
    }
}

fn source() -> Source {
    Source {
        name: SourceName::new("infra"),
        url: "http://user:secret@10.0.0.1:9090/prom?token=x".parse().unwrap(),
        labels: Labels::from_pairs([("cluster", "<c1>")]).unwrap(),
        external_labels: Labels::default(),
        lag: Duration::from_secs(15),
        settle: Duration::from_secs(120),
        timeout: Duration::from_secs(10),
        series_max: 1_000,
        replica_group: Some("infra".into()),
        audience: Default::default(),
        access: Default::default(),
        compression: Default::default(),
    }
}

fn tenant() -> Tenant {
    let url = "http://u:hidden@prometheus.web/api/v1/write".parse().unwrap();
    Tenant {
        id: TenantId { namespace: "web".into(), name: "a<script>".into() },
        source: "web".into(),
        selectors: vec![sluice_filter::selector::Selector::parse("up{job=\"x\"}").unwrap()],
        interval: Interval::new(Duration::from_secs(30)).unwrap(),
        mode: Mode::Sampled,
        target_type: TargetType::Prometheus,
        endpoints: vec![Endpoint::RemoteWrite(RemoteWriteEndpoint::plain(url, Author::Tenant))],
        filters: Vec::new(),
        relabelings: vec![],
        stamps: Stamps {
            labels: Labels::from_pairs([("tenant", "web")]).unwrap(),
            honor: HonorLabels::Stamp,
            protected: vec![],
        },
        since: NOW,
        limits: TickLimits::NONE,
    }
}

/// One running tenant that has collected and delivered one tick.
fn running() -> (Board, LaneEntry) {
    let board = Board::new();
    board.source(&source()).observed(SourceSeen {
        healthy: true,
        failures: 0,
        last_seen: Some(NOW),
        last_error: None,
        clock_skew_millis: Some(-250),
    });
    let tenant = tenant();
    let entry = board.tenant(&tenant.id);
    entry.starting(&Arc::new(tenant.clone()));
    let group = SourceGroup::gather([Arc::new(source())]).remove(0);
    let lane = entry.lane(&group, &tenant.endpoints[0], NOW);
    let tick = Tick::at_or_before(NOW, tenant.interval);
    lane.collected(Collected { tick, selected: 1250, kept: 1200, dropped: 50, collided: 0, targets_used: 3 });
    lane.delivered(Delivered { tick, series: 1200, samples: 1200, at: NOW });
    entry.running();
    board.loaded();
    (board, lane)
}

fn state(board: &Board) -> State {
    State::new(board.clone(), Metrics::new(), || NOW)
}

async fn get(router: Router, path: &str, accept: &str) -> (StatusCode, String, String) {
    let request = Request::get(path).header("accept", accept).body(Body::empty()).unwrap();
    let response = router.oneshot(request).await.unwrap();
    let kind = response.headers().get("content-type").map(|v| v.to_str().unwrap().to_owned());
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, kind.unwrap_or_default(), String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn metrics_come_in_the_format_that_is_asked_for() {
    let (board, _) = running();
    let (status, kind, text) = get(public(state(&board)), "/metrics", "application/openmetrics-text").await;
    assert_eq!(
        (status, &*kind),
        (StatusCode::OK, "application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    assert!(text.ends_with("# EOF\n") && text.contains("sluice_tenants{state=\"running\"} 1\n"), "{text}");
    let (_, kind, text) = get(public(state(&board)), "/metrics", "*/*").await;
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    assert!(!text.contains("# EOF"));
}

/// Nothing happens between the two scrapes but time.
#[tokio::test]
async fn a_resource_that_delivers_nothing_falls_behind() {
    let (board, _lane) = running();
    let metrics = Metrics::new();
    let _counts = metrics.for_tenant(&tenant().id, TargetType::Prometheus);
    let lag = async |now: fn() -> Timestamp| {
        let state = State::new(board.clone(), metrics.clone(), now);
        let (_, _, text) = get(public(state), "/metrics", "*/*").await;
        let line =
            text.lines().find(|line| line.starts_with("sluice_cursor_lag_seconds{")).expect("it is there");
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    let at_first = lag(|| NOW).await;
    assert!(at_first < tenant().interval.duration().as_secs_f64(), "{at_first}");
    let later = lag(|| NOW.plus(Duration::from_secs(600))).await;
    assert!((later - at_first - 600.0).abs() < 1e-6, "{at_first} then {later}");
}

#[tokio::test]
async fn health_tells_the_state_of_every_remote_write() {
    let (board, _) = running();
    board.tenant(&tenant().id).remark(vec![], vec!["metrics[0]: probably not meant".into()]);
    let (status, kind, body) = get(public(state(&board)), "/health", "*/*").await;
    assert_eq!((status, &*kind), (StatusCode::OK, "application/json"));
    let report: serde_json::Value = serde_json::from_str(&body).unwrap();
    let expected = serde_json::json!({
        "status": "ok",
        "version": env!("CARGO_PKG_VERSION"),
        "time": "2015-07-01T20:10:51.781Z",
        "remote_writes": [{
            "namespace": "web",
            "name": "a<script>",
            "state": "running",
            "reasons": [],
            "warnings": ["metrics[0]: probably not meant"],
            "target_type": "prometheus",
            "interval_seconds": 30.0,
            "lanes": [{
                "sources": "infra",
                "endpoint": "http://prometheus.web/api/v1/write",
                "state": "ok",
                "last_collected": {
                    "tick": "2015-07-01T20:10:30.000Z", "series": 1250, "kept": 1200, "dropped": 50,
                    "collided": 0, "targets_used": 3
                },
                "last_delivered": {
                    "tick": "2015-07-01T20:10:30.000Z", "series": 1200, "samples": 1200, "at": "2015-07-01T20:10:51.781Z"
                },
                "behind_seconds": 21.781,
                "samples_delivered": 1200,
                "consecutive_failures": 0,
                "last_error": null
            }]
        }],
        "sources": {"total": 1, "up": 1, "down": []},
        "unreadable": [],
        "discovery": {}
    });
    assert_eq!(report, expected);
}

#[tokio::test]
async fn an_unhealthy_remote_write_is_visible_in_the_status_code() {
    let (board, lane) = running();
    let error = io::Error::other("connection refused");
    lane.failed(Stage::Deliver, &error, NOW);
    assert_eq!(get(public(state(&board)), "/health", "*/*").await.0, StatusCode::OK);
    lane.failed(Stage::Deliver, &error, NOW);
    lane.failed(Stage::Deliver, &error, NOW);
    let (status, _, body) = get(public(state(&board)), "/health", "*/*").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(body.starts_with(r#"{"status":"unhealthy""#) && body.contains("connection refused"), "{body}");
}

#[tokio::test]
async fn readiness_waits_for_the_pipelines_and_liveness_does_not() {
    let board = Board::new();
    let (status, _, why) = get(public(state(&board)), "/readyz", "*/*").await;
    assert_eq!((status, &*why), (StatusCode::SERVICE_UNAVAILABLE, "not ready: filters are being compiled\n"));
    assert_eq!(get(public(state(&board)), "/livez", "*/*").await.0, StatusCode::OK);
    let (status, _, body) = get(public(state(&board)), "/health", "*/*").await;
    assert!(status == StatusCode::OK && body.starts_with(r#"{"status":"starting""#), "{body}");
    board.stopping();
    let (_, _, body) = get(public(state(&board)), "/health", "*/*").await;
    assert!(body.starts_with(r#"{"status":"stopping""#), "{body}");
    let (board, _) = running();
    assert_eq!(get(public(state(&board)), "/readyz", "*/*").await.0, StatusCode::OK);
}

#[tokio::test]
async fn tenants_data_is_not_on_the_public_listener() {
    let (board, _) = running();
    for path in ["/", "/collected-metrics", "/debug/targets", "/debug/filters"] {
        assert_eq!(get(public(state(&board)), path, "*/*").await.0, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(get(debug(state(&board)), "/metrics", "*/*").await.0, StatusCode::OK);
}

#[tokio::test]
async fn collected_metrics_are_every_tenants_newest_samples() {
    let (board, lane) = running();
    lane.latest(Arc::new(Rows(2_500)));
    let (status, kind, text) = get(debug(state(&board)), "/collected-metrics", "*/*").await;
    assert_eq!((status, &*kind), (StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8"));
    assert!(
        text.starts_with("# tenant web/a<script>\n# from infra\nup{row=\"0\"} 1 1435781451781\n"),
        "{text}"
    );
    assert_eq!(text.lines().count(), 2_502);
}

#[tokio::test]
async fn readers_of_collected_metrics_are_bounded_and_a_reader_that_leaves_makes_room() {
    let (board, lane) = running();
    lane.latest(Arc::new(Rows(2_500)));
    let router = debug(state(&board));
    let ask = || router.clone().oneshot(Request::get("/collected-metrics").body(Body::empty()).unwrap());
    let mut readers = Vec::new();
    for _ in 0..4 {
        readers.push(ask().await.unwrap());
    }
    assert_eq!(ask().await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    readers.pop();
    assert_eq!(ask().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn targets_are_shown_without_credentials() {
    let (board, _) = running();
    let (_, _, body) = get(debug(state(&board)), "/debug/targets", "*/*").await;
    let report: serde_json::Value = serde_json::from_str(&body).unwrap();
    let expected = serde_json::json!({"problems": [], "targets": [{
        "name": "infra",
        "url": "http://10.0.0.1:9090/prom",
        "health": "up",
        "labels": {"cluster": "<c1>"},
        "replica_group": "infra",
        "lag_seconds": 15.0,
        "last_seen": "2015-07-01T20:10:51.781Z",
        "last_error": null,
        "last_error_at": null,
        "consecutive_failures": 0,
        "clock_skew_seconds": -0.25
    }]});
    assert_eq!(report, expected);
}

#[tokio::test]
async fn filters_are_shown_with_what_runs_in_their_place() {
    let (board, _) = running();
    let mut ready = FilterReport::new("tag");
    ready.digest = Some("sha256:aa".into());
    ready.comes_to(FilterStage::Configured);
    let entry = board.tenant(&tenant().id);
    entry.filters(vec![ready.clone()]);
    entry.running();
    let filters = async || {
        let body = get(debug(state(&board)), "/debug/filters", "*/*").await.2;
        serde_json::from_str::<serde_json::Value>(&body).unwrap()
    };
    let mut expected = serde_json::json!([{ "namespace": "web", "name": "a<script>", "filters": [{
        "name": "tag", "state": "ready", "resolved": null, "digest": "sha256:aa", "contract": null,
        "last_good_digest": "sha256:aa", "last_failure": null, "last_failure_at": null,
    }] }]);
    assert_eq!(filters().await, expected);
    // One that is ready, and finds no place: what ran before runs.
    ready.digest = Some("sha256:bb".into());
    entry.filters(vec![ready]);
    entry.filter_not_ready("tag", FilterStage::Configured, &io::Error::other("<no room>"), NOW);
    entry.running();
    let shown = &mut expected[0]["filters"][0];
    (shown["state"], shown["digest"]) = ("failed".into(), "sha256:bb".into());
    shown["last_failure"] = "<no room>".into();
    shown["last_failure_at"] = "2015-07-01T20:10:51.781Z".into();
    assert_eq!(filters().await, expected);
    let page = get(debug(state(&board)), "/", "text/html").await.2;
    assert!(
        page.contains("failed</b><td colspan=6>filter <b>tag</b>") && page.contains("&lt;no room&gt;"),
        "{page}"
    );
}

#[tokio::test]
async fn the_page_shows_everything_escaped_and_needs_nothing_else() {
    let (board, _) = running();
    board.tenant(&tenant().id).remark(vec![], vec!["metrics[0]: not <meant>".into()]);
    let (status, kind, html) = get(debug(state(&board)), "/", "text/html").await;
    assert_eq!((status, &*kind), (StatusCode::OK, "text/html; charset=utf-8"));
    for shown in [
        "not &lt;meant&gt;",
        "a&lt;script&gt;",
        "tenant=&quot;",
        "&lt;c1&gt;",
        "1\u{202f}250",
        "running",
        "40.0",
    ] {
        assert!(html.contains(shown) || html.contains(&shown.replace("&quot;", "\"")), "{shown}: {html}");
    }
    for forbidden in ["<script", "hidden", "secret", "src=", "@import", "url("] {
        assert!(!html.contains(forbidden), "{forbidden}");
    }
}

#[tokio::test]
async fn a_page_of_a_program_that_is_not_ready_says_what_it_waits_for() {
    let board = Board::new();
    let page = get(debug(state(&board)), "/", "text/html").await.2;
    assert!(page.contains("Not ready: filters are being compiled."), "{page}");
    assert!(!page.contains("No MetricAccess") && !page.contains("-0.0"), "{page}");
}

#[tokio::test]
async fn the_page_counts_what_flows_and_shows_no_number_where_nothing_runs() {
    let (board, lane) = running();
    board.tenant(&TenantId { namespace: "ops".into(), name: "b".into() }).refused(vec!["bad".into()]);
    let page = get(debug(state(&board)), "/", "text/html").await.2;
    assert!(page.contains("<td class=n>–<td class=n>–<td class=n>–"), "{page}");
    assert!(page.contains("running</dt><dd>1 of 2<"), "{page}");
    assert!(page.contains("flowing</dt><dd>1\u{202f}200<"), "{page}");
    lane.failed(Stage::Deliver, &io::Error::other("unreachable"), NOW);
    let page = get(debug(state(&board)), "/", "text/html").await.2;
    assert!(page.contains("flowing</dt><dd>0<") && page.contains("per second</dt><dd>0.0<"), "{page}");
}

#[tokio::test]
async fn a_taken_port_says_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let config = Config { listen: address, debug_listen: "127.0.0.1:0".parse().unwrap() };
    let error = Bound::open(&config).await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot listen on {address}: ")), "{error}");
    assert!(error.ends_with("write another port (0: any free one) in `listen.address`"), "{error}");
}

#[tokio::test]
async fn one_address_is_one_listener_and_serving_ends_with_stop() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let bound = Bound::open(&Config { listen: free, debug_listen: free }).await.unwrap();
    assert_eq!(bound.public_address().unwrap(), bound.debug_address().unwrap());
    let stop = CancellationToken::new();
    let (board, _) = running();
    let served = tokio::spawn(bound.run(state(&board), stop.clone()));
    tokio::net::TcpStream::connect(free).await.unwrap();
    stop.cancel();
    served.await.unwrap();
}
