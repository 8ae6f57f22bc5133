//! Routes: which path answers what.

use std::sync::Arc;

use axum::Router;
use axum::extract::State as Given;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use tokio::sync::Semaphore;

use super::{filters, health, latest, page, targets};
use crate::model::Timestamp;
use crate::status::{Board, Health, Snapshot, TenantStatus};
use crate::telemetry::{CLASSIC_TYPE, Exposition, Metrics};

/// How many clients may read `/collected-metrics` at once: each can carry every tenant's samples.
const COLLECTED_STREAMS_MAX: usize = 4;
/// Only our own inline styles; nothing from anywhere else, and nobody's frame.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";

/// What the handlers read.
#[derive(Debug, Clone)]
pub struct State {
    board: Board,
    metrics: Metrics,
    now: fn() -> Timestamp,
    started: Timestamp,
    streams: Arc<Semaphore>,
}

impl State {
    /// Serves what `board` and `metrics` hold; ages are counted from `now()`.
    pub fn new(board: Board, metrics: Metrics, now: fn() -> Timestamp) -> State {
        let streams = Arc::new(Semaphore::new(COLLECTED_STREAMS_MAX));
        State { board, metrics, now, started: now(), streams }
    }

    fn snapshot(&self) -> Snapshot {
        self.board.snapshot((self.now)())
    }
}

/// The router for everyone.
pub fn public(state: State) -> Router {
    routes().with_state(state)
}

/// The router for those who may see tenants' data: everything.
pub fn debug(state: State) -> Router {
    let private = Router::new()
        .route("/", get(page))
        .route("/collected-metrics", get(collected_metrics))
        .route("/debug/targets", get(debug_targets))
        .route("/debug/filters", get(debug_filters));
    routes().merge(private).with_state(state)
}

fn routes() -> Router<State> {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/health", get(health))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .fallback(|| async {
            let paths = "/metrics /health /livez /readyz; on the debug listener also / /collected-metrics /debug/targets /debug/filters";
            (StatusCode::NOT_FOUND, format!("nothing here; there is {paths}\n"))
        })
}

async fn metrics(Given(state): Given<State>, headers: HeaderMap) -> Response {
    let snapshot = state.snapshot();
    let count = |name| snapshot.tenants.iter().filter(|t| t.state(snapshot.now) == name).count() as u64;
    state.metrics.tenants_by_state(TenantStatus::STATES.map(|name| (name, count(name))));
    // Seen from now: a lane that delivers nothing tells nobody.
    let behind = snapshot.tenants.iter().filter_map(|t| t.behind(snapshot.now).map(|behind| (&t.id, behind)));
    state.metrics.cursor_lags(behind);
    let series = snapshot.tenants.iter().filter_map(|tenant| Some((&tenant.id, tenant.series()?)));
    state.metrics.series(series);
    state.metrics.missed_ticks(snapshot.tenants.iter().map(|tenant| (&tenant.id, tenant.missed())));
    let accepted: Vec<&str> =
        headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let format = Exposition::negotiate(&accepted.join(","));
    ([(header::CONTENT_TYPE, format.content_type())], state.metrics.encode(format)).into_response()
}

/// 200 while data flows, if not all of it; 503 when it does not (`crate::status::health` has the rule).
async fn health(Given(state): Given<State>) -> Response {
    let snapshot = state.snapshot();
    let status = match snapshot.health() {
        Health::Ok | Health::Degraded => StatusCode::OK,
        Health::Unhealthy => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, axum::Json(health::report(&snapshot, &state.board.readiness()))).into_response()
}

async fn readyz(Given(state): Given<State>) -> Response {
    match state.board.readiness().why_not() {
        None => "ok\n".into_response(),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")).into_response(),
    }
}

async fn collected_metrics(Given(state): Given<State>) -> Response {
    match Arc::clone(&state.streams).try_acquire_owned() {
        Ok(permit) => {
            let body = latest::stream(state.board.latest(), permit);
            ([(header::CONTENT_TYPE, CLASSIC_TYPE)], body).into_response()
        }
        Err(_) => {
            let why =
                format!("{COLLECTED_STREAMS_MAX} others are reading this already; try again in a moment\n");
            (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "5")], why).into_response()
        }
    }
}

async fn debug_targets(Given(state): Given<State>) -> Response {
    axum::Json(targets::report(&state.snapshot())).into_response()
}

async fn debug_filters(Given(state): Given<State>) -> Response {
    axum::Json(filters::report(&state.snapshot())).into_response()
}

async fn page(Given(state): Given<State>) -> Response {
    let html = Html(page::render(&state.snapshot(), &state.board.readiness(), state.started));
    let policy = [(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY))];
    (policy, html).into_response()
}
