//! Faulty: a server behind a front of ours that goes wrong in a chosen way.
//!
//! In: a server's address, a [`Fault`]. Out: an address to be used instead. Never: a fault that nobody chose; each request is
//! passed on as it came and answered as the server answered.

mod shift;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::{IntoResponse as _, Response};
use http::header::{CONTENT_LENGTH, HOST, RETRY_AFTER, TRANSFER_ENCODING};
use http::{HeaderMap, Method, StatusCode, Uri};

use crate::http as client;
use crate::servers::Local;
use crate::strict_receiver::wire::WriteRequest;

/// Larger than any request of a test.
const BODY_BYTES_MAX: usize = 256 << 20;

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// The server is not asked; this is answered.
    Answer(StatusCode, Patience),
    /// The server does its work, and then this is answered.
    Forgets(StatusCode),
    /// The server's answer comes so much later.
    Late(Duration),
    /// This comes in place of the server's answer.
    Says(&'static str),
    /// A good answer comes in place of the server's, and goes on for so many bytes.
    Floods(u64),
    /// The server's time is another one.
    Shifted(Shift),
}

/// What another time means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shift {
    /// Its clock is so many milliseconds ahead of ours, and it says so.
    Clock(i64),
    /// It has got as far as it should have been so many milliseconds ago, and does not say so.
    Behind(i64),
}

impl Shift {
    /// What is asked for at a moment is what the server has so many milliseconds before it.
    fn by_ms(self) -> i64 {
        match self {
            Shift::Clock(ms) | Shift::Behind(ms) => ms,
        }
    }
}

/// How long a refusal asks for patience.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// It says nothing of it.
    Unsaid,
    /// In seconds.
    Seconds(u64),
    /// As a date so many seconds from now.
    Until(u64),
}

/// A running front; it ends when dropped.
pub struct Faulty {
    server: Local,
    state: Arc<Front>,
}

struct Front {
    target: String,
    fault: Mutex<Fault>,
    /// What goes wrong below one path alone.
    at: Mutex<Option<(String, Fault)>>,
    /// Of requests of remote write that the server refused: when their samples are of.
    refused: Mutex<BTreeSet<i64>>,
    /// For each moment that was asked for, how far the time was shifted when it was first answered.
    shifted: Mutex<BTreeMap<i64, i64>>,
}

impl Faulty {
    /// A front of the server at this base URL.
    pub async fn before(target: &str) -> Faulty {
        let state = Arc::new(Front {
            target: target.to_owned(),
            fault: Mutex::new(Fault::None),
            at: Mutex::default(),
            refused: Mutex::default(),
            shifted: Mutex::default(),
        });
        let app = Router::new()
            .fallback(pass)
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .with_state(state.clone());
        Faulty { server: Local::serve(app).await, state }
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The moments of which the server has refused samples (400).
    pub fn refused(&self) -> BTreeSet<i64> {
        self.state.refused.lock().expect("no holder panics").clone()
    }

    /// What goes wrong from now on with requests for this path, as long as nothing goes wrong with all.
    pub fn set_at(&self, path: &str, fault: Fault) {
        *self.state.at.lock().expect("no holder panics") = Some((path.to_owned(), fault));
    }

    /// How many milliseconds before a moment that was asked for the answer is of.
    pub fn shifted(&self, moment: i64) -> i64 {
        self.state.shifted.lock().expect("no holder panics").get(&moment).copied().unwrap_or_default()
    }

    /// What goes wrong from now on.
    pub fn set(&self, fault: Fault) {
        *self.state.fault.lock().expect("no holder panics") = fault;
    }
}

async fn pass(
    State(front): State<Arc<Front>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut fault = front.fault.lock().expect("no holder panics").clone();
    let at = front.at.lock().expect("no holder panics").clone();
    if let (Fault::None, Some((_, here))) = (&fault, at.filter(|(path, _)| path == uri.path())) {
        fault = here;
    }
    match fault {
        Fault::Answer(status, patience) => refusal(status, patience),
        Fault::Says(text) => text.into_response(),
        Fault::Floods(bytes) => flood(bytes),
        Fault::Shifted(shift) => front.shifted(shift, method, uri, headers, body).await,
        Fault::None => {
            let moments = if is_query(&uri) { shift::asked(&body, 0).1 } else { Vec::new() };
            let answer = forward(&front.target, method, uri, headers, body.clone()).await;
            if answer.status() == StatusCode::BAD_REQUEST {
                front.refused.lock().expect("no holder panics").extend(self::moments(&body));
            }
            front.answered(answer.status(), moments, 0);
            answer
        }
        Fault::Forgets(status) => {
            forward(&front.target, method, uri, headers, body).await;
            status.into_response()
        }
        Fault::Late(by) => {
            let answer = forward(&front.target, method, uri, headers, body).await;
            tokio::time::sleep(by).await;
            answer
        }
    }
}

impl Front {
    /// Asks the server for what was, or will be, by its own time.
    async fn shifted(
        &self,
        shift: Shift,
        method: Method,
        uri: Uri,
        headers: HeaderMap,
        body: Bytes,
    ) -> Response {
        let (body, moments) = match is_query(&uri) {
            true => shift::asked(&body, -shift.by_ms()),
            false => (body, Vec::new()),
        };
        let (mut head, body) = forward(&self.target, method, uri, headers, body).await.into_parts();
        let body = axum::body::to_bytes(body, BODY_BYTES_MAX).await.expect("it was held whole");
        self.answered(head.status, moments, shift.by_ms());
        if let Shift::Clock(ahead) = shift {
            shift::dated(&mut head.headers, ahead);
        }
        (head, shift::answered(&body, shift.by_ms())).into_response()
    }

    fn answered(&self, status: StatusCode, moments: Vec<i64>, by_ms: i64) {
        let mut shifted = self.shifted.lock().expect("no holder panics");
        for moment in moments.into_iter().filter(|_| status.is_success()) {
            shifted.entry(moment).or_insert(by_ms);
        }
    }
}

fn is_query(uri: &Uri) -> bool {
    uri.path().ends_with("/query") || uri.path().ends_with("/query_range")
}

/// An answer of so many bytes, none of which is a reason to stop reading before the end.
fn flood(bytes: u64) -> Response {
    const FIELD_BYTES: usize = 256 << 10;
    let field = Bytes::from(format!(r#""infos":["{}"],"#, "a".repeat(FIELD_BYTES)));
    let head = Bytes::from(r#"{"status":"success","data":{"resultType":"vector","result":[]},"#);
    let fields = (0..bytes.div_ceil(FIELD_BYTES as u64)).map(move |_| field.clone());
    let pieces = std::iter::once(head).chain(fields).chain([Bytes::from(r#""infos":[]}"#)]);
    let body = axum::body::Body::from_stream(futures::stream::iter(pieces.map(Ok::<_, std::io::Error>)));
    body.into_response()
}

/// When the samples of a request of remote write are of; none of another request.
fn moments(body: &[u8]) -> BTreeSet<i64> {
    let plain = snap::raw::Decoder::new().decompress_vec(body).unwrap_or_default();
    let request: WriteRequest = prost::Message::decode(&*plain).unwrap_or_default();
    request.timeseries.iter().flat_map(|series| &series.samples).map(|sample| sample.timestamp).collect()
}

fn refusal(status: StatusCode, patience: Patience) -> Response {
    let after = match patience {
        Patience::Unsaid => return status.into_response(),
        Patience::Seconds(seconds) => seconds.to_string(),
        Patience::Until(seconds) => httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(seconds)),
    };
    (status, [(RETRY_AFTER, after)]).into_response()
}

async fn forward(target: &str, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let own = [HOST, CONTENT_LENGTH, TRANSFER_ENCODING];
    let headers: Vec<(&str, &str)> = headers
        .iter()
        .filter(|(name, _)| !own.contains(name))
        .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
        .collect();
    match client::request(method, &format!("{target}{uri}"), &headers, body).await {
        Ok(answer) => {
            let headers = answer.headers.into_iter().filter_map(|(name, value)| Some((name?, value)));
            let headers: HeaderMap = headers.filter(|(name, _)| !own.contains(name)).collect();
            (answer.status, headers, answer.body).into_response()
        }
        // As a proxy says it of a server that is not there.
        Err(_) => StatusCode::BAD_GATEWAY.into_response(),
    }
}
