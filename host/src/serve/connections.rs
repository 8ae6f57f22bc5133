//! Connections: the clients of one listener, over HTTP/1 alone.
//!
//! In: a listener, what answers, when to stop. Out: answers, until then. Never: HTTP/2, over which one connection asks two hundred
//! things at once and reads none of the answers; somebody waited for without end; more clients than a fixed maximum.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// How long a client may take to say what it wants, and a connection be idle: longer than most wait between two scrapes.
pub(super) const HEAD_MAX: Duration = Duration::from_secs(30);

/// A connection ends after so long, with the answer that is under way then.
const LIFE_MAX: Duration = Duration::from_secs(600);

/// How long that answer may take: whoever reads none of it is let go.
const LAST_ANSWER_MAX: Duration = Duration::from_secs(60);

/// Clients of a listener at once: servers that scrape, probes, people. Others are turned away.
pub(super) const CLIENTS_MAX: usize = 256;

/// Those of one address: nobody takes every place, so that probes find one.
pub(super) const CLIENTS_OF_ADDRESS_MAX: usize = 64;

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
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_MAX).max_buf_size(BUFFER_BYTES_MAX);
    let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(connection);
    let mut ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = stop.cancelled() => None,
        () = sleep(LIFE_MAX) => None,
    };
    if ended.is_none() {
        connection.as_mut().graceful_shutdown();
        ended = timeout(LAST_ANSWER_MAX, connection).await.ok();
    }
    // Clients come and go as they like, and say what they like.
    if let Some(Err(error)) = ended {
        debug!(%error, "A client's connection ended");
    }
    drop(place);
}

/// Who is here, by address.
#[derive(Debug, Clone, Default)]
struct Places(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One client's; dropped, it is free.
#[derive(Debug)]
struct Place {
    places: Places,
    address: IpAddr,
}

impl Places {
    fn take(&self, address: IpAddr) -> Option<Place> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = taken.values().sum();
        let of_address = taken.get(&address).copied().unwrap_or_default();
        if all >= CLIENTS_MAX || of_address >= CLIENTS_OF_ADDRESS_MAX {
            return None;
        }
        taken.insert(address, of_address + 1);
        Some(Place { places: self.clone(), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.0.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.get_mut(&self.address) {
            Some(count) if *count > 1 => *count -= 1,
            _ => _ = taken.remove(&self.address),
        }
    }
}

#[cfg(test)]
mod tests;
