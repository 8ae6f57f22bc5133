//! Route: from an address that somebody wrote to the address that is dialled.
//!
//! In: a request's address, who wrote it, and perhaps where it is. Out: a TCP connection to an address that was checked.
//! Never: a name resolved twice (what was checked is what is dialled), a literal address that goes past the guard, a
//! connection shared between two routes.
//!
//! The pool knows connections by scheme and authority. A route is written into the authority's user part, where no
//! request of ours has anything else: so it is part of the pool's key, and neither of the `Host` header nor of TLS'
//! server name, which are made of the host alone.

use std::future::{Ready, ready};
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use http::Uri;
use http::uri::{Authority, Parts};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use super::Error;
use crate::model::guard::{Forbidden, is_localhost};
use crate::model::{Author, Guard};

/// When a connection is found dead although nobody closed it (a node that lost its power).
const KEEPALIVE: Duration = Duration::from_secs(15);

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// How an address becomes the one that is dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Route {
    /// Who wrote the address; a tenant's is checked.
    pub author: Author,
    /// What is dialled in place of what the host resolves to.
    pub dial: Option<IpAddr>,
}

impl Route {
    /// The same address, with this route written into it. Whatever stood in the user part is gone.
    pub(super) fn mark(self, uri: Uri) -> Result<Uri, Error> {
        let mut parts: Parts = uri.into_parts();
        let authority = parts.authority.ok_or(Error::Address)?;
        let port = authority.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
        let marked = format!("{}{}{port}", self.tag(), authority.host());
        parts.authority = Some(Authority::try_from(marked).map_err(|_| Error::Address)?);
        Uri::from_parts(parts).map_err(|_| Error::Address)
    }

    fn tag(self) -> String {
        let author = match self.author {
            Author::Operator => "operator",
            Author::Cluster => "cluster",
            Author::Tenant => "tenant",
        };
        match self.dial {
            None => format!("{author}@"),
            Some(ip) => format!("{author}-{:032x}@", bits(ip)),
        }
    }

    /// Reads what [`Route::mark`] wrote. What it did not write is a tenant's.
    fn of(uri: &Uri) -> Route {
        let user =
            uri.authority().and_then(|authority| authority.as_str().split_once('@')).map(|(user, _)| user);
        let (author, dial) = match user.map(|user| user.split_once('-').unwrap_or((user, ""))) {
            Some(("operator", dial)) => (Author::Operator, dial),
            Some(("cluster", dial)) => (Author::Cluster, dial),
            Some((_, dial)) => (Author::Tenant, dial),
            None => (Author::Tenant, ""),
        };
        let dial = u128::from_str_radix(dial, 16).ok();
        Route { author, dial: dial.map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits)).to_canonical()) }
    }
}

fn bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// Connects to addresses that carry a route.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    guard: Arc<Guard>,
}

impl Connector {
    pub(super) fn new(guard: Guard) -> Connector {
        Connector { guard: Arc::new(guard) }
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<TcpStream>;
    type Error = Cause;
    type Future = BoxFuture<'static, Result<Self::Response, Cause>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Cause>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(connect(self.guard.clone(), uri))
    }
}

async fn connect(guard: Arc<Guard>, uri: Uri) -> Result<TokioIo<TcpStream>, Cause> {
    let addresses = addresses(&guard, &uri).await?;
    let port = port(&uri);
    // Of the addresses one that answers is taken, the other family after a short while (RFC 8305). The connector is
    // given a name, so that it asks its resolver, and that one knows only what was checked.
    let mut tcp = HttpConnector::new_with_resolver(Checked(addresses));
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(KEEPALIVE));
    let checked = Uri::try_from(format!("http://checked:{port}"))?;
    Ok(tcp.call(checked).await?)
}

/// Where the route leads. Every address must be one that may be dialled: a name that leads to a forbidden place as well
/// is not to be trusted with which of them it gives next.
async fn addresses(guard: &Guard, uri: &Uri) -> Result<Vec<SocketAddr>, Cause> {
    let route = Route::of(uri);
    let port = port(uri);
    let host = uri.host().unwrap_or_default();
    let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
    let addresses = match route.dial.or(literal) {
        Some(ip) => vec![SocketAddr::new(ip, port)],
        None => resolve(guard, route.author, host, port).await?,
    };
    for address in &addresses {
        match route.author {
            Author::Operator => {}
            Author::Cluster => guard.check_service(address.ip())?,
            Author::Tenant => guard.check(address.ip())?,
        }
    }
    Ok(addresses)
}

async fn resolve(guard: &Guard, author: Author, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let name = match author {
        Author::Operator => host.into(),
        // An absolute `localhost.` is no name that a hosts file knows.
        Author::Cluster | Author::Tenant if is_localhost(host) => "localhost".into(),
        Author::Cluster | Author::Tenant => guard.absolute(host),
    };
    let found: Vec<SocketAddr> = tokio::net::lookup_host((&*name, port)).await?.collect();
    if found.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    }
    Ok(found)
}

fn port(uri: &Uri) -> u16 {
    uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 })
}

/// A resolver that answers what was checked, whatever it is asked.
#[derive(Debug, Clone)]
struct Checked(Vec<SocketAddr>);

impl Service<Name> for Checked {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Ready<io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Name) -> Self::Future {
        ready(Ok(self.0.clone().into_iter()))
    }
}

/// The guard's refusal, if that is what an error is about.
pub(super) fn forbidden<'a>(
    mut causes: impl Iterator<Item = &'a (dyn std::error::Error + 'static)>,
) -> Option<Forbidden> {
    causes.find_map(|cause| cause.downcast_ref::<Forbidden>()).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(route: Route, uri: &str) -> Uri {
        route.mark(uri.parse().unwrap()).unwrap()
    }

    #[test]
    fn a_route_survives_in_the_address_and_leaves_the_host_alone() {
        for author in [Author::Operator, Author::Tenant] {
            for dial in [None, Some("10.0.0.1"), Some("fd00::1")] {
                for uri in [
                    "http://h.example.com/a?b=c",
                    "https://h:8443/",
                    "http://[fd00::2]:1/",
                    "http://1.2.3.4/",
                ] {
                    let route = Route { author, dial: dial.map(|ip| ip.parse().unwrap()) };
                    let (plain, with) = (uri.parse::<Uri>().unwrap(), marked(route, uri));
                    assert_eq!(Route::of(&with), route, "{with}");
                    assert_eq!((with.host(), with.port_u16()), (plain.host(), plain.port_u16()));
                    assert_eq!(with.path_and_query(), plain.path_and_query());
                }
            }
        }
    }

    #[test]
    fn two_routes_are_two_keys_of_the_pool() {
        let ip = |text: &str| Some(text.parse().unwrap());
        let routes = [
            Route { author: Author::Operator, dial: None },
            Route { author: Author::Tenant, dial: None },
            Route { author: Author::Tenant, dial: ip("10.0.0.1") },
            Route { author: Author::Tenant, dial: ip("10.0.0.2") },
        ];
        let keys: std::collections::HashSet<_> =
            routes.iter().map(|route| marked(*route, "http://h/").authority().cloned()).collect();
        assert_eq!(keys.len(), routes.len());
    }

    #[test]
    fn a_route_cannot_be_written_by_others() {
        let forged = "http://operator@169.254.169.254/";
        let tenant = Route { author: Author::Tenant, dial: None };
        assert_eq!(Route::of(&marked(tenant, forged)), tenant);
        assert_eq!(Route::of(&"http://h/".parse().unwrap()).author, Author::Tenant);
    }
}
