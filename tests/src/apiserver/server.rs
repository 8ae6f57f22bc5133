//! Server: takes a request, answers it.
//!
//! In: HTTP requests, from a client in this process or from a socket. Out: HTTP responses. Never: an answer without a
//! count; a fault comes before everything else.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER, WARNING};
use http::{HeaderValue, Request, Response};
use serde_json::Value;
use tokio::sync::watch;

use super::errors::{self, Refusal};
use super::faults::{self, Fault};
use super::routes::{self, Route, Target};
use super::state::State;
use super::watch::Watch;
use super::write::Answer;

/// A body is at most this long.
const BODY_BYTES_MAX: usize = 3 << 20;

/// A list at a version in the future waits this long for it.
const VERSION_WAIT: Duration = Duration::from_secs(3);

/// The server, shared by everything that talks to it.
#[derive(Debug)]
pub(super) struct Server {
    state: Mutex<State>,
    /// The newest version, for watches.
    pub(super) revision: watch::Sender<u64>,
    /// Counted up whenever all watches are cut.
    pub(super) cuts: watch::Sender<u64>,
    /// Whether nobody listens.
    pub(super) refusing: watch::Sender<bool>,
}

/// What a request is answered with.
pub(super) enum Reply {
    /// An object.
    Answer(Answer),
    /// A stream of changes.
    Watch(Box<Watch>),
    /// Plain text.
    Text(&'static str),
}

impl Server {
    /// A server with the built-in kinds.
    pub(super) fn new() -> Server {
        Server {
            state: Mutex::new(State::new()),
            revision: watch::Sender::new(0),
            cuts: watch::Sender::new(0),
            refusing: watch::Sender::new(false),
        }
    }

    /// The state, locked. A test that panicked with it held has failed already.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something to the state, and tells whoever has to know.
    pub(super) fn change<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let done = act(&mut state);
        let (revision, refusing) = (state.store.revision(), state.faults.is_refusing());
        drop(state);
        self.revision.send_if_modified(|held| std::mem::replace(held, revision) != revision);
        if self.refusing.send_if_modified(|held| std::mem::replace(held, refusing) != refusing) && refusing {
            self.cut();
        }
        done
    }

    /// Cuts all watches, as a restart or a broken network does.
    pub(super) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Answers a request; an error is a connection refused or broken.
    pub(super) async fn answer(self: Arc<Self>, request: Request<Body>) -> io::Result<Response<Body>> {
        let (head, body) = request.into_parts();
        let (route, fault) = {
            let mut state = self.state();
            let route = routes::route(&state, &head);
            let (verb, resource) = routes::names(&route, &head);
            state.requests.add(&verb, &resource);
            let fault = state.faults.of(&verb, &resource);
            (route, fault)
        };
        if let Some(Fault::Slow(span)) = fault {
            tokio::time::sleep(span).await;
        }
        if fault == Some(Fault::Refused) {
            return Err(io::Error::new(io::ErrorKind::ConnectionRefused, "the API server is away"));
        }
        let refused = fault.as_ref().and_then(|fault| faults::answer(fault, route.about()));
        let Ok(body) = axum::body::to_bytes(body, BODY_BYTES_MAX).await else {
            return Ok(respond(Err(Refusal::too_large(BODY_BYTES_MAX))));
        };
        if let Some(refusal) = refused {
            return Ok(respond(Err(refusal)));
        }
        let mut reply = self.reply(&route, &head, &body);
        if matches!(&reply, Err(refusal) if refusal.code == 504) {
            tokio::time::sleep(VERSION_WAIT).await;
            reply = self.reply(&route, &head, &body);
        }
        Ok(respond(reply))
    }

    fn reply(
        self: &Arc<Self>,
        route: &Route,
        head: &http::request::Parts,
        body: &Bytes,
    ) -> Result<Reply, Refusal> {
        self.change(|state| {
            routes::authorize(state, route, head)?;
            match route {
                Route::Missing(refusal) => Err(refusal.clone()),
                Route::Page(page) => Ok(page.reply(state)),
                Route::Resource(Target { .. }) => routes::reply(self, state, route, head, body),
            }
        })
    }
}

fn respond(reply: Result<Reply, Refusal>) -> Response<Body> {
    let json = |code: u16, body: &Value| {
        let response = Response::builder().status(code).header(CONTENT_TYPE, "application/json");
        response.body(Body::from(body.to_string())).expect("a JSON response is well formed")
    };
    let text = |code: u16, body: &'static str| {
        let response = Response::builder().status(code).header(CONTENT_TYPE, "text/plain; charset=utf-8");
        response.body(Body::from(body)).expect("a text response is well formed")
    };
    match reply {
        Ok(Reply::Answer(Answer { code, object, warnings })) => warned(json(code, &object), &warnings),
        Ok(Reply::Watch(watch)) => Response::builder()
            .header(CONTENT_TYPE, "application/json")
            .body(Body::from_stream(watch.lines()))
            .expect("a stream is well formed"),
        Ok(Reply::Text(body)) => text(200, body),
        Err(Refusal { code, body, retry_after_seconds, warnings }) => {
            let mut response = match &body {
                errors::Body::Status(status) => json(code, status),
                errors::Body::Text(body) => text(code, body),
            };
            if let Some(seconds) = retry_after_seconds {
                response.headers_mut().insert(RETRY_AFTER, seconds.into());
            }
            warned(response, &warnings)
        }
    }
}

fn warned(mut response: Response<Body>, warnings: &[String]) -> Response<Body> {
    for warning in warnings {
        let warning = format!("299 - {warning:?}");
        let warning = HeaderValue::from_str(&warning).expect("a warning is printable");
        response.headers_mut().append(WARNING, warning);
    }
    response
}
