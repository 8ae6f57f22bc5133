//! Strict receiver: a remote-write endpoint that checks every rule a sender owes, and keeps every sample bit for bit.
//!
//! In: requests on any path; a script of answers. Out: the samples held, the requests seen, the violations found.
//! Never: mercy. A request that breaks a rule is refused whole, as Prometheus refuses an out-of-order one.

pub mod rules;
mod store;
#[cfg(test)]
mod tests;
pub mod wire;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, Method, StatusCode, Uri};

use crate::series::{LabelSet, Sample, Value};
use crate::servers::Local;
use crate::wait::now_ms;
pub use rules::Violation;
pub use store::Store;

/// Headers Prometheus would not let a larger body past either; the decoded size has its own rule.
const BODY_BYTES_MAX: usize = rules::DECODED_BYTES_MAX;

/// How to answer one request.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Check, keep, 204.
    Accept,
    /// Check, keep nothing, answer this.
    Refuse {
        /// The status.
        status: StatusCode,
        /// `Retry-After`, as it is to be sent.
        retry_after: Option<String>,
        /// The body.
        body: String,
    },
    /// Wait, then check, keep, 204.
    Slow(Duration),
    /// Check, keep, and then answer this all the same: an acknowledgement lost on its way.
    KeepButAnswer(StatusCode),
}

impl Reply {
    /// A refusal with an empty body.
    pub fn refuse(status: StatusCode) -> Reply {
        Reply::Refuse { status, retry_after: None, body: String::new() }
    }
}

/// One request as it arrived.
#[derive(Debug, Clone)]
pub struct Seen {
    /// When, in milliseconds since the epoch.
    pub at: i64,
    /// The path and query.
    pub uri: String,
    /// All headers.
    pub headers: HeaderMap,
    /// The body's length, compressed.
    pub bytes: usize,
    /// How many series and how many samples it carried.
    pub series: usize,
    /// How many samples it carried.
    pub samples: usize,
    /// The oldest sample's timestamp.
    pub oldest: Option<i64>,
    /// The status it was answered with.
    pub status: StatusCode,
}

/// A running receiver; it ends when dropped.
pub struct StrictReceiver {
    server: Local,
    state: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    store: Store,
    violations: Vec<Violation>,
    seen: Vec<Seen>,
    script: VecDeque<Reply>,
    standing: Option<Reply>,
}

impl StrictReceiver {
    /// Starts a receiver that accepts everything that is right.
    pub async fn start() -> StrictReceiver {
        let state = Arc::new(Mutex::new(Inner::default()));
        let app = Router::new()
            .fallback(receive)
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .with_state(state.clone());
        StrictReceiver { server: Local::serve(app).await, state }
    }

    /// The base address; every path below it receives.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Answers the next requests with these, one each, before anything else.
    pub fn reply_next(&self, replies: impl IntoIterator<Item = Reply>) {
        self.lock().script.extend(replies);
    }

    /// Answers every request with `reply` from now on, once the script is used up.
    pub fn reply_always(&self, reply: Reply) {
        self.lock().standing = Some(reply);
    }

    /// Every sample held, oldest first per series, stale markers included.
    pub fn samples(&self) -> BTreeMap<LabelSet, Vec<Sample>> {
        self.lock().store.samples()
    }

    /// The samples of the moment `at`.
    pub fn at(&self, at: i64) -> BTreeMap<LabelSet, Value> {
        self.lock().store.at(at)
    }

    /// Every rule broken so far.
    pub fn violations(&self) -> Vec<Violation> {
        self.lock().violations.clone()
    }

    /// How many accepted samples were there already, with the same value.
    pub fn resends(&self) -> u64 {
        self.lock().store.resends()
    }

    /// Every request so far, oldest first.
    pub fn seen(&self) -> Vec<Seen> {
        self.lock().seen.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.state.lock().expect("no holder panics")
    }
}

async fn receive(
    State(state): State<Arc<Mutex<Inner>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let reply = {
        let mut inner = state.lock().expect("no holder panics");
        inner.script.pop_front().or_else(|| inner.standing.clone()).unwrap_or(Reply::Accept)
    };
    if let Reply::Slow(duration) = reply {
        tokio::time::sleep(duration).await;
    }
    let now = now_ms();
    let (decoded, mut violations) = rules::check(&method, &headers, &body, now);
    let oldest = decoded.iter().flat_map(|(_, samples)| samples).map(|sample| sample.at).min();
    let (series, samples) = (decoded.len(), decoded.iter().map(|(_, s)| s.len()).sum());
    let mut inner = state.lock().expect("no holder panics");
    if violations.is_empty() && !matches!(reply, Reply::Refuse { .. }) {
        violations = inner.store.append(decoded);
    }
    let (status, retry_after, text) = match (&violations[..], reply) {
        ([], Reply::Accept | Reply::Slow(_)) => (StatusCode::NO_CONTENT, None, String::new()),
        ([], Reply::KeepButAnswer(status)) => (status, None, String::new()),
        ([], Reply::Refuse { status, retry_after, body }) => (status, retry_after, body),
        (violations, _) => (StatusCode::BAD_REQUEST, None, format!("{violations:?}")),
    };
    inner.violations.extend(violations);
    inner.seen.push(Seen {
        at: now,
        uri: uri.to_string(),
        headers,
        bytes: body.len(),
        series,
        samples,
        oldest,
        status,
    });
    let retry_after = retry_after.map(|after| [("retry-after", after)]);
    (status, retry_after.into_iter().flatten().collect::<HeaderPairs>(), text).into_response()
}

/// Headers from pairs, none or one.
struct HeaderPairs(HeaderMap);

impl FromIterator<(&'static str, String)> for HeaderPairs {
    fn from_iter<I: IntoIterator<Item = (&'static str, String)>>(pairs: I) -> HeaderPairs {
        let pair = |(name, value): (&'static str, String)| Some((name.parse().ok()?, value.parse().ok()?));
        HeaderPairs(pairs.into_iter().filter_map(pair).collect())
    }
}

impl axum::response::IntoResponseParts for HeaderPairs {
    type Error = std::convert::Infallible;

    fn into_response_parts(
        self,
        mut response: axum::response::ResponseParts,
    ) -> Result<axum::response::ResponseParts, Self::Error> {
        response.headers_mut().extend(self.0);
        Ok(response)
    }
}
