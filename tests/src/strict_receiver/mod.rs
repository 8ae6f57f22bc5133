//! Strict receiver: a remote-write endpoint that checks every rule a sender owes, and keeps every sample bit for bit.
//!
//! In: requests of either version on any path; a script of answers; which versions it takes, at first 1.0 alone. Out: the samples
//! held, the requests seen, the violations found.
//! Never: mercy. A request that breaks a rule is refused whole, as Prometheus refuses an out-of-order one.

pub mod rules;
mod store;
mod symbols;
#[cfg(test)]
mod tests;
mod version;
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
pub use symbols::Said;
pub use version::{Speaks, Version};

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
    /// Check, keep, 204, and of a request of 2.0 say that so many samples were written.
    AcceptClaiming(u64),
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
    /// Which version it was.
    pub version: Version,
    /// The status it was answered with.
    pub status: StatusCode,
}

/// A running receiver; it ends when dropped.
pub struct StrictReceiver {
    server: Local,
    state: Arc<Mutex<Inner>>,
}

/// Whether a series is one that is not taken.
type Unwanted = Box<dyn Fn(&LabelSet) -> bool + Send>;

#[derive(Default)]
struct Inner {
    store: Store,
    violations: Vec<Violation>,
    seen: Vec<Seen>,
    script: VecDeque<Reply>,
    standing: Option<Reply>,
    /// Series that it takes never, for a reason of its own.
    unwanted: Option<Unwanted>,
    speaks: Speaks,
    /// Requests of a version that it does not take.
    unspoken: u64,
    /// What was said of each series last.
    said: BTreeMap<LabelSet, Said>,
    /// Native histograms by the time of each; those of them that came again once.
    histograms: BTreeMap<LabelSet, BTreeMap<i64, wire::Histogram>>,
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

    /// Refuses every request with a series of which `is_unwanted` holds from now on, and names none, as Prometheus does. The
    /// sender has broken no rule.
    pub fn never_takes(&self, is_unwanted: impl Fn(&LabelSet) -> bool + Send + 'static) {
        self.lock().unwanted = Some(Box::new(is_unwanted));
    }

    /// Takes these versions from now on, as after an upgrade.
    pub fn speak(&self, speaks: Speaks) {
        self.lock().speaks = speaks;
    }

    /// How many requests came in a version that it does not take. They are checked like others, and not among those seen.
    pub fn unspoken(&self) -> u64 {
        self.lock().unspoken
    }

    /// What was said last of each series of which anything was said: type, help and unit.
    pub fn said(&self) -> BTreeMap<LabelSet, Said> {
        self.lock().said.clone()
    }

    /// Every sample held, oldest first per series, stale markers included.
    pub fn samples(&self) -> BTreeMap<LabelSet, Vec<Sample>> {
        self.lock().store.samples()
    }

    /// Every native histogram held, by series and time. Among the samples each stands as its sum.
    pub fn histograms(&self) -> BTreeMap<LabelSet, BTreeMap<i64, wire::Histogram>> {
        self.lock().histograms.clone()
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
    let version = Version::of(&headers);
    if let Some(answer) = unspoken(&state, version, (&method, &headers, &body)) {
        return answer;
    }
    let reply = {
        let mut inner = state.lock().expect("no holder panics");
        inner.script.pop_front().or_else(|| inner.standing.clone()).unwrap_or(Reply::Accept)
    };
    if let Reply::Slow(duration) = reply {
        tokio::time::sleep(duration).await;
    }
    let now = now_ms();
    let (decoded, said, mut violations) = rules::check_saying(&method, &headers, &body, now);
    let histograms = rules::histograms(&headers, &body);
    let opaque = histograms.len() as u64;
    let oldest = decoded.iter().flat_map(|(_, samples)| samples).map(|sample| sample.at).min();
    let (series, samples) = (decoded.len(), decoded.iter().map(|(_, s)| s.len()).sum());
    let mut inner = state.lock().expect("no holder panics");
    let is_unwanted =
        |(series, _): &(LabelSet, Vec<Sample>)| inner.unwanted.as_ref().is_some_and(|of| of(series));
    let reply = match decoded.iter().any(is_unwanted) {
        true => Reply::Refuse {
            status: StatusCode::BAD_REQUEST,
            retry_after: None,
            body: "label value too long".to_owned(),
        },
        false => reply,
    };
    let mut written = 0;
    if violations.is_empty() && !matches!(reply, Reply::Refuse { .. }) {
        let names: Vec<_> = decoded.iter().map(|(series, _)| series.clone()).collect();
        violations = inner.store.append(decoded);
        if violations.is_empty() {
            written = samples as u64;
            for (series, histogram) in histograms {
                inner.histograms.entry(series).or_default().insert(histogram.timestamp, histogram);
            }
            inner.said.extend(names.into_iter().zip(said).filter_map(|(series, said)| Some((series, said?))));
        }
    }
    if let Reply::AcceptClaiming(claimed) = reply {
        written = claimed;
    }
    let (status, retry_after, text) = match (&violations[..], reply) {
        ([], Reply::Accept | Reply::Slow(_) | Reply::AcceptClaiming(_)) => {
            (StatusCode::NO_CONTENT, None, String::new())
        }
        ([], Reply::KeepButAnswer(status)) => (status, None, String::new()),
        ([], Reply::Refuse { status, retry_after, body }) => (status, retry_after, body),
        (violations, _) => (StatusCode::BAD_REQUEST, None, told(violations)),
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
        version,
        status,
    });
    let retry_after = retry_after.map(|after| ("retry-after", after));
    let said = (version == Version::V2)
        .then(|| written_headers(written.saturating_sub(opaque), opaque.min(written)));
    (status, retry_after.into_iter().chain(said.into_iter().flatten()).collect::<HeaderPairs>(), text)
        .into_response()
}

/// What a request gets that is of a version that is not taken; checked all the same.
fn unspoken(
    state: &Mutex<Inner>,
    version: Version,
    (method, headers, body): (&Method, &HeaderMap, &Bytes),
) -> Option<Response> {
    let mut inner = state.lock().expect("no holder panics");
    if inner.speaks.takes(version) {
        return None;
    }
    inner.unspoken += 1;
    inner.violations.extend(rules::check(method, headers, body, now_ms()).1);
    let status = match inner.speaks {
        // It finds nothing in it, and is content.
        Speaks::V1Blindly => StatusCode::NO_CONTENT,
        Speaks::V1 | Speaks::V2 | Speaks::Both => StatusCode::UNSUPPORTED_MEDIA_TYPE,
    };
    Some(status.into_response())
}

/// What 2.0 has receivers say.
fn written_headers(samples: u64, histograms: u64) -> [(&'static str, String); 3] {
    [
        ("x-prometheus-remote-write-samples-written", samples.to_string()),
        ("x-prometheus-remote-write-histograms-written", histograms.to_string()),
        ("x-prometheus-remote-write-exemplars-written", "0".to_owned()),
    ]
}

/// As Prometheus says it, where it would.
fn told(violations: &[Violation]) -> String {
    match violations
        .iter()
        .find(|found| matches!(found, Violation::OutOfOrder { .. } | Violation::Conflict { .. }))
    {
        Some(Violation::OutOfOrder { .. }) => "out of order sample".to_owned(),
        Some(_) => "duplicate sample for timestamp".to_owned(),
        None => format!("{violations:?}"),
    }
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
