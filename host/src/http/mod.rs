//! Http: the one client with which sources are asked and receivers are written to.
//!
//! In: a request with its whole body, and how long each phase may take. Out: the answer's head, and its body
//! as it arrives. Never: a redirect followed, a proxy taken from the environment, a credential added but by a client that
//! was made for one server, a body read without a bound, a retry of its own after a byte of the request was written, an
//! address dialled for a tenant that the guard did not see.

mod access;
mod dial;
mod error;
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
use http::header::{HeaderValue, USER_AGENT};
use http::{Request, Uri};
use http_body_util::Full;
use hyper_rustls::{FixedServerNameResolver, HttpsConnector};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::capture_connection;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::ServerName;
use tokio::time::Instant;

use access::Keys;
use dial::{Dial, Made};
use route::Connector;

use crate::model::{Access, Guard};

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
    pub guard: Guard,
}

impl Default for Config {
    fn default() -> Config {
        let guard = Guard::default();
        Config { idle_per_host_max: IDLE_PER_HOST_MAX, idle: IDLE, age_max: AGE_MAX, guard }
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
    inner: Inner,
    config: Config,
    keys: Option<Arc<Keys>>,
    route: Route,
}

type Inner = legacy::Client<Dial<HttpsConnector<Connector>>, Full<Bytes>>;

impl Client {
    /// Builds a client that trusts the system's roots, or those named by `SSL_CERT_FILE` and `SSL_CERT_DIR`, read
    /// once, now. Must be called inside a Tokio runtime.
    pub fn new(config: &Config) -> Result<Client, Error> {
        let inner = connections(config, tls::usual()?, None);
        Ok(Client { inner, config: config.clone(), keys: None, route: Route::default() })
    }

    /// A client for one server, with the operator's TLS settings and credentials for it. Without any, this one.
    pub fn for_access(&self, access: &Access) -> Client {
        let keys = (!access.is_plain()).then(|| Arc::new(Keys::new(access.clone())));
        Client { keys, ..self.clone() }
    }

    /// The same client for addresses of this route. Without it, addresses are the operator's, and dialled as they
    /// resolve.
    pub fn via(&self, route: Route) -> Client {
        Client { route, ..self.clone() }
    }

    /// Sends one request and waits for the answer's head; whatever its status, an answer is an `Ok`.
    pub async fn send(&self, mut request: Request<Bytes>, timeouts: &Timeouts) -> Result<Response, Error> {
        match &self.keys {
            None => self.exchange(&self.inner, request, timeouts).await,
            Some(keys) => {
                let opened = keys.open(self).await?;
                opened.sign(&mut request);
                self.exchange(opened.connections(), request, timeouts).await
            }
        }
    }

    async fn exchange(
        &self,
        inner: &Inner,
        request: Request<Bytes>,
        timeouts: &Timeouts,
    ) -> Result<Response, Error> {
        let start = Instant::now();
        let address = address(request.uri())?;
        let mut request = request.map(Full::new);
        *request.uri_mut() = self.route.mark(std::mem::take(request.uri_mut()))?;
        request.headers_mut().entry(USER_AGENT).or_insert(HeaderValue::from_static(AGENT));
        let mut connection = capture_connection(&mut request);
        let timeout = |phase, after| Error::Timeout { address: address.clone(), phase, after };

        let deadline = start + timeouts.whole;
        let mut answer = std::pin::pin!(inner.request(request));
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
                tokio::time::timeout_at(first_byte, answer)
                    .await
                    .map_err(|_| timeout(Phase::FirstByte, timeouts.first_byte.min(timeouts.whole)))?
            }
        };
        let answer = answer.map_err(|e| Error::from_client(&address, e))?;
        let made = answer.extensions().get();
        if made.is_some_and(|Made(at)| at.elapsed() >= self.config.age_max) {
            // This exchange is finished on it; the pool takes it for no other.
            connection.connection_metadata().as_ref().inspect(|connected| connected.poison());
        }
        Ok(Response::new(answer, address, deadline, timeouts.whole))
    }
}

/// A pool of connections that are made with `tls`; `server_name` stands in for the address's host in certificates.
fn connections(
    config: &Config,
    tls: rustls::ClientConfig,
    server_name: Option<ServerName<'static>>,
) -> Inner {
    let mut connector = hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
    if let Some(name) = server_name {
        connector = connector.with_server_name_resolver(FixedServerNameResolver::new(name));
    }
    legacy::Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(config.idle_per_host_max)
        .pool_idle_timeout(config.idle)
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        .build(Dial(connector.enable_http1().wrap_connector(Connector::new(config.guard.clone()))))
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
