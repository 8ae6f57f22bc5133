//! Connections: the clients of one listener, over HTTP/1 alone.
//!
//! In: a listener, what answers, when to stop. Out: answers, until then. Never: HTTP/2, over which one connection asks two hundred
//! things at once and reads none of the answers; somebody waited for without end; more clients than a fixed maximum.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use http_body::{Frame, SizeHint};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::places::{Busy, CLIENTS_MAX, CLIENTS_OF_ADDRESS_MAX, Place, Places};

/// How long a client may take to say what it wants, and a connection be idle: longer than most wait between two scrapes.
pub(super) const HEAD_MAX: Duration = Duration::from_secs(30);

/// A connection ends after so long, with the answer that is under way then.
const LIFE_MAX: Duration = Duration::from_secs(600);

/// How long that answer may take: whoever reads none of it is let go.
const LAST_ANSWER_MAX: Duration = Duration::from_secs(60);

/// How long who leaves for somebody new may still read.
const LEAVES_MAX: Duration = Duration::from_secs(2);

/// What of a request's head, or of an answer, is held at once.
const BUFFER_BYTES_MAX: usize = 64 << 10;

/// How long to wait when the system has no more room for connections.
const PAUSE: Duration = Duration::from_secs(1);

/// That clients are turned away is not said more often.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// Answers whoever connects until `stop`; then what is under way ends.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    let (places, mut clients, mut told) = (Places::default(), JoinSet::new(), None);
    loop {
        let (stream, peer) = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(_) = clients.join_next(), if !clients.is_empty() => continue,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => { paused(&error).await; continue }
            },
        };
        match places.take(peer.ip()) {
            Some(place) => _ = clients.spawn(client(stream, router.clone(), place, stop.clone())),
            None => turned_away(peer, &mut told),
        }
    }
    drop(listener);
    while clients.join_next().await.is_some() {}
}

/// A client that went away before it was taken concerns nobody; where the system has no room, others must leave first.
async fn paused(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if !matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        warn!(%error, "No connection can be taken");
        sleep(PAUSE).await;
    }
}

fn turned_away(peer: SocketAddr, told: &mut Option<Instant>) {
    if told.is_none_or(|at| at.elapsed() >= TOLD_EVERY) {
        *told = Some(Instant::now());
        warn!(%peer, max = CLIENTS_MAX, max_of_address = CLIENTS_OF_ADDRESS_MAX, "Clients are turned away: too many are here");
    }
}

async fn client(stream: TcpStream, router: Router, place: Place, stop: CancellationToken) {
    let place = Arc::new(place);
    let (answering, router) = (place.clone(), TowerToHyperService::new(router));
    let service = service_fn(move |request| {
        let (busy, answer) = (answering.busy(), router.call(request));
        async move { answer.await.map(|answer| answer.map(|body| Answer { body, _busy: busy })) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_MAX).max_buf_size(BUFFER_BYTES_MAX);
    let connection = http.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let mut ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = stop.cancelled() => None,
        () = sleep(LIFE_MAX) => None,
        () = place.left() => None,
    };
    if ended.is_none() {
        connection.as_mut().graceful_shutdown();
        ended = tokio::select! {
            ended = timeout(LAST_ANSWER_MAX, connection) => ended.ok(),
            // Somebody else is here. What was answered may be on its way still.
            () = async { place.left().await; sleep(LEAVES_MAX).await } => None,
        };
    }
    // Clients come and go as they like, and say what they like.
    if let Some(Err(error)) = ended {
        debug!(%error, "A client's connection ended");
    }
}

/// An answer's body, during which its client is not idle.
struct Answer {
    body: Body,
    _busy: Busy,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests;
