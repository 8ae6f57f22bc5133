//! Serve: what Sluice shows over HTTP.
//!
//! In: the board and the metrics. Out: for everyone `/metrics /health /livez /readyz`; for those who may see
//! tenants' data, on a listener of its own, these and `/ /collected-metrics /debug/targets`.
//! Never: a change of anything, a secret, a lock held across a write to a client, or an answer of unbounded size
//! in memory.

mod connections;
mod filters;
mod health;
mod latest;
mod page;
mod places;
mod routes;
mod targets;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use connections::serve;
pub use routes::{State, debug, public};

/// How long clients that are still reading may hold up the end of the program.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// Which addresses to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// For metrics and probes.
    pub listen: SocketAddr,
    /// For everything, tenants' samples included: loopback, unless the operator says otherwise. The same address
    /// as `listen` makes one listener of the two.
    pub debug_listen: SocketAddr,
}

/// Serving failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address could not be listened on.
    #[error("cannot listen on {address}{}: {source}; {}", if *.debug { " for debugging" } else { "" }, cure(.source, .debug))]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Which of the two it is.
        debug: bool,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

fn cure(error: &io::Error, debug: &bool) -> String {
    let field = if *debug { "listen.debug" } else { "listen.address" };
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!(
                "another program has the port: stop it, or write another port (0: any free one) in `{field}`"
            )
        }
        io::ErrorKind::AddrNotAvailable => {
            format!("no interface here has the address: write 0.0.0.0, [::] or 127.0.0.1 in `{field}`")
        }
        io::ErrorKind::PermissionDenied => format!("write a port above 1023 in `{field}`"),
        _ => format!("check the address in `{field}`"),
    }
}

/// Listeners that are open and not yet served.
#[derive(Debug)]
pub struct Bound {
    public: TcpListener,
    debug: Option<TcpListener>,
}

impl Bound {
    /// Opens the listeners, before anything else is started, so that a taken port is known at once.
    pub async fn open(config: &Config) -> Result<Bound, Error> {
        let open = async |address, debug| {
            TcpListener::bind(address).await.map_err(|source| Error::Bind { address, debug, source })
        };
        // Two free ports are two listeners, although their addresses read the same.
        let shared = config.listen == config.debug_listen && config.listen.port() != 0;
        let public = open(config.listen, false).await?;
        let debug = if shared { None } else { Some(open(config.debug_listen, true).await?) };
        Ok(Bound { public, debug })
    }

    /// Where metrics and probes are served.
    pub fn public_address(&self) -> io::Result<SocketAddr> {
        self.public.local_addr()
    }

    /// Where everything is served.
    pub fn debug_address(&self) -> io::Result<SocketAddr> {
        self.debug.as_ref().unwrap_or(&self.public).local_addr()
    }

    /// Serves until `stop`, then lets answers that have begun end within five seconds.
    pub async fn run(self, state: State, stop: CancellationToken) {
        let all = async {
            match self.debug {
                None => serve(self.public, debug(state), stop.clone()).await,
                Some(listener) => {
                    let public = serve(self.public, public(state.clone()), stop.clone());
                    tokio::join!(public, serve(listener, debug(state), stop.clone()));
                }
            }
        };
        let drained = async {
            stop.cancelled().await;
            tokio::time::sleep(DRAIN_MAX).await;
        };
        tokio::select! {
            () = all => {}
            () = drained => {}
        }
    }
}

#[cfg(test)]
mod tests;
