//! Pool: connections, kept apart from each other by everything that must not be mixed.
//!
//! In: how addresses become connections. Out: a pool of them, one for all who say the same. Never: a connection shared by
//! two routes, by two settings of TLS, or by two that a receiver can tell apart: HTTP/2 has requests of all of them on one
//! connection, and servers remember whom a connection is from.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper_rustls::{FixedServerNameResolver, HttpsConnector};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use super::dial::Dial;
use super::route::{Connector, Route};
use super::tls::{self, Material, Unusable};
use super::{Config, Error};
use crate::model::{Egress, Proxy, Receiver, ReceiverIdentity, ReceiverTls, Verify};

/// How much of an answer may be under way in one HTTP/2 stream, and in all of a connection. What one stream does not take
/// in must leave the others room.
const STREAM_BYTES_MAX: u32 = 1 << 20;
const CONNECTION_BYTES_MAX: u32 = 16 << 20;

/// How long a connection with requests under way may be silent until it is asked whether it lives, and how long it may
/// take to say so: a stream that is given up closes no connection, so a dead one has to be found.
const PING_EVERY: Duration = Duration::from_secs(10);
const PONG_WITHIN: Duration = Duration::from_secs(10);

/// Pools that are forgotten are looked for when there are so many.
const PRUNED_FROM: usize = 64;

/// Connections of one kind.
pub(super) type Pool = legacy::Client<Dial<HttpsConnector<Connector>>, Full<Bytes>>;

/// What keeps connections apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Apart {
    pub(super) route: Route,
    pub(super) tls: Option<Arc<ReceiverTls>>,
    pub(super) receiver: Option<Receiver>,
}

/// All pools that somebody uses.
pub(super) struct Pools {
    pub(super) config: Config,
    usual: ClientConfig,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    pools: HashMap<Apart, Weak<Pool>>,
    prune_at: usize,
}

impl Pools {
    pub(super) fn new(config: &Config) -> Result<Pools, Error> {
        Ok(Pools { config: config.clone(), usual: tls::usual()?, known: Mutex::default() })
    }

    /// The pool for these; a new one if nobody has it.
    pub(super) fn of(&self, apart: &Apart) -> Result<Arc<Pool>, Error> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = known.pools.get(apart).and_then(Weak::upgrade) {
            return Ok(pool);
        }
        let pool = Arc::new(self.receivers(apart)?);
        if known.pools.len() >= known.prune_at {
            known.pools.retain(|_, pool| pool.strong_count() > 0);
            known.prune_at = PRUNED_FROM.max(2 * known.pools.len());
        }
        known.pools.insert(apart.clone(), Arc::downgrade(&pool));
        Ok(pool)
    }

    fn receivers(&self, apart: &Apart) -> Result<Pool, Error> {
        let Apart { route, tls, receiver: _ } = apart;
        let egress = self.config.egress.clone().filter(|_| route.leads_anywhere());
        let Some(tls) = tls else { return Ok(self.make(self.usual.clone(), None, *route, egress)) };
        let ReceiverTls { ca, identity, server_name, verify } = &**tls;
        let bytes = |secret: &crate::model::Secret| secret.reveal().as_bytes().to_vec();
        let pair = |it: &ReceiverIdentity| (bytes(&it.certificate), bytes(&it.key));
        let material = Material { roots: ca.as_ref().map(bytes), identity: identity.as_ref().map(pair) };
        let config = tls::special(&self.usual, &material, *verify).map_err(|unusable| match unusable {
            Unusable::Setup(error) => Error::Setup(error),
            Unusable::Roots(why) => Error::Secret { field: "tls.caSecret", why },
            Unusable::Certificate(why) => Error::Secret { field: "tls.certSecret", why },
            Unusable::Key(why) => Error::Secret { field: "tls.keySecret", why },
        })?;
        Ok(self.make(config, name(server_name.as_deref())?, *route, egress))
    }

    /// Connections to a server of the operator's.
    pub(super) fn special(
        &self,
        material: &Material,
        verify: Verify,
        server_name: Option<&str>,
        route: Route,
        proxy: Option<&Proxy>,
    ) -> Result<Pool, Unusable> {
        let config = match *material == Material::default() && verify == Verify::Certificate {
            true => self.usual.clone(),
            false => tls::special(&self.usual, material, verify)?,
        };
        let name = name(server_name)
            .map_err(|_| Unusable::Setup(rustls::Error::General("serverName is not a name".to_owned())))?;
        let egress = proxy.map(|proxy| Arc::new(Egress::always(proxy.clone())));
        Ok(self.make(config, name, route, egress))
    }

    /// Connections that are made with `tls`; `server_name` stands in for the address's host in certificates.
    fn make(
        &self,
        tls: ClientConfig,
        server_name: Option<ServerName<'static>>,
        route: Route,
        egress: Option<Arc<Egress>>,
    ) -> Pool {
        let mut connector = hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
        if let Some(name) = server_name {
            connector = connector.with_server_name_resolver(FixedServerNameResolver::new(name));
        }
        let connector = connector.enable_http1().enable_http2();
        let guard = self.config.guard.clone();
        legacy::Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(self.config.idle_per_host_max)
            .pool_idle_timeout(self.config.idle)
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .http2_initial_stream_window_size(STREAM_BYTES_MAX)
            .http2_initial_connection_window_size(CONNECTION_BYTES_MAX)
            .http2_keep_alive_interval(PING_EVERY)
            .http2_keep_alive_timeout(PONG_WITHIN)
            .build(Dial(connector.wrap_connector(Connector::new(guard, route, egress))))
    }
}

fn name(server_name: Option<&str>) -> Result<Option<ServerName<'static>>, Error> {
    let name = server_name.map(|name| ServerName::try_from(name.to_owned())).transpose();
    name.map_err(|_| Error::Secret { field: "tls.serverName", why: "is not a host's name".to_owned() })
}

impl fmt::Debug for Pools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pools").field("config", &self.config).finish_non_exhaustive()
    }
}
