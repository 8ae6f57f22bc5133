//! Http: the one client with which sources are asked and receivers are written to.
//!
//! In: a request with its whole body, and how long each phase may take. Out: the answer's head, and its body
//! as it arrives, unpacked if it was asked for packed. Never: a redirect followed, a proxy taken from the environment, a credential added but by a client that
//! was made for one server, a body read without a bound, a retry of its own after a byte of the request was written, an
//! address dialled for a tenant that the guard did not see.

mod access;
mod dial;
mod error;
mod gzip;
mod pool;
mod proxy;
mod response;
mod route;
#[cfg(test)]
mod tests;
mod tls;

pub use error::{Error, Phase};
pub use response::Response;
pub use route::Route;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue, USER_AGENT};
use http::{Request, Uri};
use http_body_util::Full;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use tokio::time::Instant;

use access::Keys;
use dial::Line;
use pool::{Apart, Pool, Pools};
use response::Until;

use crate::model::{Access, Egress, Guard, Receiver, ReceiverTls};

/// What we call ourselves, unless a request says otherwise.
pub const AGENT: &str = concat!("sluice/", env!("CARGO_PKG_VERSION"));

/// How many idle connections are kept for one host and port. A pipeline has one or two requests under way for each
/// address; a few tenants share one.
const IDLE_PER_HOST_MAX: usize = 8;

/// How long a connection stays open without a request.
const IDLE: Duration = Duration::from_secs(30);

/// How long a connection is used at all. A new one resolves the name anew, so that a name that moves is followed even
/// while its old server still answers, and new replicas behind a name get their share.
const AGE_MAX: Duration = Duration::from_secs(300);

/// How the client keeps its connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Idle connections kept for one host and port.
    pub idle_per_host_max: usize,
    /// How long a connection is kept without a request.
    pub idle: Duration,
    /// How long a connection is used at all.
    pub age_max: Duration,
    /// What may be dialled because a tenant said so.
    pub guard: Arc<Guard>,
    /// What connections to addresses that tenants wrote are made through.
    pub egress: Option<Arc<Egress>>,
}

impl Default for Config {
    fn default() -> Config {
        let (guard, egress) = (Arc::default(), None);
        Config { idle_per_host_max: IDLE_PER_HOST_MAX, idle: IDLE, age_max: AGE_MAX, guard, egress }
    }
}

/// How long each phase of one request may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// To find the address, connect and shake hands. A kept connection takes none of it.
    pub connect: Duration,
    /// From the connection to the answer's head, sending the request included.
    pub first_byte: Duration,
    /// From the call of [`Client::send`] to the last byte of the answer's body.
    pub whole: Duration,
}

impl Default for Timeouts {
    /// 5 s to connect, 30 s in all: Prometheus' own `remote_timeout`.
    fn default() -> Timeouts {
        let whole = Duration::from_secs(30);
        Timeouts { connect: Duration::from_secs(5), first_byte: whole, whole }
    }
}

/// A client; clones share their connections.
#[derive(Debug, Clone)]
pub struct Client {
    pools: Arc<Pools>,
    keys: Option<Arc<Keys>>,
    route: Route,
    /// What a tenant's Secrets hold may be unusable: that is told to whoever sends.
    pool: Result<Arc<Pool>, Arc<Error>>,
}

impl Client {
    /// Builds a client that trusts the system's roots, or those named by `SSL_CERT_FILE` and `SSL_CERT_DIR`, read
    /// once, now. Must be called inside a Tokio runtime.
    pub fn new(config: &Config) -> Result<Client, Error> {
        let pools = Arc::new(Pools::new(config)?);
        let pool = pools.of(&Apart::default())?;
        Ok(Client { pools, keys: None, route: Route::default(), pool: Ok(pool) })
    }

    /// A client for one server, with the operator's TLS settings and credentials for it. Without any, this one.
    pub fn for_access(&self, access: &Access) -> Client {
        let keys = (!access.is_plain()).then(|| Arc::new(Keys::new(access.clone())));
        Client { keys, ..self.clone() }
    }

    /// The same client for addresses of this route. Without it, addresses are the operator's, and dialled as they
    /// resolve.
    pub fn via(&self, route: Route) -> Client {
        self.apart(Apart { route, ..Apart::default() })
    }

    /// As [`Client::via`], for a tenant's receiver, with the TLS settings that the tenant wrote. Nobody shares its connections
    /// but who says the same to the same receiver.
    pub fn for_receiver(&self, route: Route, receiver: Receiver, tls: Option<Arc<ReceiverTls>>) -> Client {
        self.apart(Apart { route, tls, receiver: Some(receiver) })
    }

    fn apart(&self, apart: Apart) -> Client {
        Client { pool: self.pools.of(&apart).map_err(Arc::new), route: apart.route, ..self.clone() }
    }

    /// Sends one request and waits for the answer's head; whatever its status, an answer is an `Ok`. An answer's body is
    /// unpacked if the request says that gzip is welcome.
    pub async fn send(&self, mut request: Request<Bytes>, timeouts: &Timeouts) -> Result<Response, Error> {
        match (&self.keys, &self.pool) {
            (Some(keys), _) => {
                let opened = keys.open(&self.pools, self.route).await?;
                opened.sign(&mut request);
                self.exchange(opened.pool(), request, timeouts).await
            }
            (None, Ok(pool)) => self.exchange(pool, request, timeouts).await,
            (None, Err(unusable)) => Err(unusable.again()),
        }
    }

    async fn exchange(
        &self,
        pool: &Pool,
        request: Request<Bytes>,
        timeouts: &Timeouts,
    ) -> Result<Response, Error> {
        let start = Instant::now();
        let address = address(request.uri())?;
        let mut request = request.map(Full::new);
        *request.uri_mut() = route::bare(std::mem::take(request.uri_mut()))?;
        let unpacks = welcomes_gzip(request.headers());
        request.headers_mut().entry(USER_AGENT).or_insert(HeaderValue::from_static(AGENT));
        let mut connection = capture_connection(&mut request);
        let timeout = |phase, after| Error::Timeout { address: address.clone(), phase, after };

        let deadline = start + timeouts.whole;
        let mut answer = std::pin::pin!(pool.request(request));
        let answered = tokio::select! {
            biased;
            answer = &mut answer => Some(answer),
            _ = connection.wait_for_connection_metadata() => None,
            _ = tokio::time::sleep_until(deadline.min(start + timeouts.connect)) => {
                return Err(timeout(Phase::Connect, timeouts.connect.min(timeouts.whole)));
            }
        };
        let answer = match answered {
            Some(answer) => answer,
            None => {
                let first_byte = deadline.min(Instant::now() + timeouts.first_byte);
                tokio::time::timeout_at(first_byte, answer).await.map_err(|_| {
                    abandon(&connection);
                    timeout(Phase::FirstByte, timeouts.first_byte.min(timeouts.whole))
                })?
            }
        };
        let answer = answer.map_err(|error| Error::from_client(&address, error, broken(&connection)))?;
        let line: Option<&Line> = answer.extensions().get();
        line.inspect(|line| line.answered());
        if line.is_some_and(|line| line.made.elapsed() >= self.pools.config.age_max) {
            abandon(&connection);
        }
        let until = Until { deadline, whole: timeouts.whole, connection };
        Ok(Response::new(answer, address, until, unpacks))
    }
}

/// What is under way on a connection is finished on it; nothing else begins there. One that did not answer in time may be
/// dead, and HTTP/2 keeps it when a request is given up.
fn abandon(connection: &CaptureConnection) {
    connection.connection_metadata().as_ref().inspect(|connected| connected.poison());
}

/// Why TLS ended a connection, if it did.
fn broken(connection: &CaptureConnection) -> Option<rustls::Error> {
    let mut known = http::Extensions::new();
    connection.connection_metadata().as_ref()?.get_extras(&mut known);
    known.get::<Line>()?.broken.get().cloned()
}

/// Whether the body may come packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unpacks {
    Gzip,
    Nothing,
}

fn welcomes_gzip(headers: &HeaderMap) -> Unpacks {
    match headers.get(ACCEPT_ENCODING) {
        Some(welcome) if welcome == "gzip" => Unpacks::Gzip,
        _ => Unpacks::Nothing,
    }
}

/// Scheme, host and port: what errors name. Neither path nor credentials.
fn address(uri: &Uri) -> Result<String, Error> {
    let scheme = uri.scheme_str().filter(|s| matches!(*s, "http" | "https"));
    match (scheme, uri.host()) {
        (Some(scheme), Some(host)) => {
            let port = uri.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
            Ok(format!("{scheme}://{host}:{port}"))
        }
        _ => Err(Error::Address),
    }
}
