//! Probe: asks a server whether it is ready, in the way that it understands.
//!
//! Never: a redirect followed, a body read without a bound, or a query that costs anything.

use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Request, StatusCode};
use serde::Deserialize;
use url::Url;

use crate::http::{self as client, Client, Timeouts};
use crate::model::Source;

/// How much of an answer is read.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// What is shown of it.
const EXCERPT_BYTES_MAX: usize = 200;

const READINESS: &str = "-/ready";
const QUERY: &str = "api/v1/query";

/// A query that touches no series.
const CHEAP_QUERY: &[u8] = b"query=vector(1)";

/// How a server is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// `GET /-/ready`, as Prometheus has it.
    Readiness,
    /// `POST /api/v1/query`: for servers, and proxies before them, that offer nothing but the query API.
    Query,
}

/// The server is not ready, as far as we can tell.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("{0}")]
    Http(#[from] client::Error),
    #[error("the address cannot be asked: {0}")]
    Address(#[source] http::Error),
    #[error("/{path} is answered with HTTP status {status}: {excerpt}")]
    Status { path: &'static str, status: StatusCode, excerpt: String },
    #[error("/{QUERY} is not answered as the query API does: {0}")]
    NotTheApi(String),
}

/// Asks once. Where readiness is unknown to the server, a query is asked, now and from then on.
pub(super) async fn probe(
    client: &Client,
    source: &Source,
    timeout: Duration,
    way: &mut Way,
) -> Result<(), Error> {
    let timeouts = Timeouts { connect: timeout, first_byte: timeout, whole: timeout };
    if *way == Way::Readiness {
        let request = Request::get(below(&source.url, READINESS).as_str()).body(Bytes::new());
        let answer = client.send(request.map_err(Error::Address)?, &timeouts).await?;
        let status = answer.status;
        let body = answer.excerpt(ANSWER_BYTES_MAX).await;
        if status.is_success() {
            return Ok(());
        }
        if !is_unknown_there(status) {
            return Err(refused(READINESS, status, &body));
        }
    }
    let request = Request::post(below(&source.url, QUERY).as_str())
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Bytes::from_static(CHEAP_QUERY));
    let answer = client.send(request.map_err(Error::Address)?, &timeouts).await?;
    let status = answer.status;
    let body = answer.read_to(ANSWER_BYTES_MAX).await?;
    if !status.is_success() {
        return Err(refused(QUERY, status, &body));
    }
    is_success(&body)?;
    *way = Way::Query;
    Ok(())
}

/// Whether a status says that the path means nothing to the server, or that we may not have it: then its API may still
/// be ours. A server that is busy or starting says 429 or 503.
fn is_unknown_there(status: StatusCode) -> bool {
    let busy = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
    (status.is_client_error() && !busy) || status.is_redirection() || status == StatusCode::NOT_IMPLEMENTED
}

fn is_success(body: &[u8]) -> Result<(), Error> {
    #[derive(Deserialize)]
    struct Answer {
        status: String,
    }
    match serde_json::from_slice::<Answer>(body) {
        Ok(answer) if answer.status == "success" => Ok(()),
        _ => Err(Error::NotTheApi(excerpt(body))),
    }
}

fn refused(path: &'static str, status: StatusCode, body: &[u8]) -> Error {
    Error::Status { path, status, excerpt: excerpt(body) }
}

/// The beginning of a body on one line.
fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(EXCERPT_BYTES_MAX)]);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url
}
