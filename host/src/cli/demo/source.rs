//! Source: the shared server of the demo, with live series.
//!
//! In: queries, by GET or POST. Out: answers as Prometheus gives them; and the same series as an exposition, for a
//! real Prometheus to scrape.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::live::{Series, series};
use super::now;
use super::query::{self, Bad, Form};
use crate::model::exposition::write_sample;
use crate::telemetry::CLASSIC_TYPE;

type Live = Arc<Vec<Series>>;

/// The server's router, and how many series it has.
pub(super) fn router() -> (Router, usize) {
    let live: Live = Arc::new(series());
    let count = live.len();
    let router = Router::new()
        .route("/api/v1/query", get(instant).post(instant))
        .route("/api/v1/query_range", get(range).post(range))
        .route("/metrics", get(exposition))
        .route("/-/ready", get(|| async { "ready\n" }))
        .with_state(live);
    (router, count)
}

async fn instant(State(live): State<Live>, address: RawQuery, body: Bytes) -> Response {
    respond(query::instant(&live, &form(address, &body), now()))
}

async fn range(State(live): State<Live>, address: RawQuery, body: Bytes) -> Response {
    respond(query::range(&live, &form(address, &body)))
}

fn form(RawQuery(address): RawQuery, body: &[u8]) -> Form {
    let mut form = Form::parse(body);
    form.0.extend(Form::parse(address.unwrap_or_default().as_bytes()).0);
    form
}

fn respond(answer: Result<serde_json::Value, Bad>) -> Response {
    match answer {
        Ok(answer) => axum::Json(answer).into_response(),
        Err(why) => (StatusCode::BAD_REQUEST, axum::Json(query::error(&why))).into_response(),
    }
}

/// Without timestamps: the scraper gives its own.
async fn exposition(State(live): State<Live>) -> Response {
    let (at, mut text, mut line) = (now(), String::new(), String::new());
    for one in live.iter() {
        line.clear();
        write_sample(&mut line, &one.labels, one.value(at), at);
        let without_time = line.trim_end().rsplit_once(' ').map_or("", |(sample, _)| sample);
        text.push_str(without_time);
        text.push('\n');
    }
    ([(header::CONTENT_TYPE, CLASSIC_TYPE)], text).into_response()
}
