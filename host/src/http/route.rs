//! Route: from an address that somebody wrote to the address that is dialled.
//!
//! In: a request's address, who wrote it, and perhaps where it is. Out: a TCP connection to an address that was checked, or a
//! tunnel that the operator's proxy leads there. Never: a name resolved twice (what was checked is what is dialled), a
//! literal address that goes past the guard.

use std::future::{Ready, ready};
use std::io;
use std::net::{IpAddr, SocketAddr};
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
use super::error::innermost;
use super::proxy::{NoTunnel, tunnel};
use crate::model::guard::{Forbidden, is_localhost};
use crate::model::{Author, Egress, Guard, Names, Proxy};

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
    /// Whether it may lead out of the network we are in: the operator's own addresses and the cluster's Services do not.
    pub(super) fn leads_anywhere(self) -> bool {
        self.author == Author::Tenant && self.dial.is_none()
    }
}

/// The address without a user part: HTTP/2 would send it.
pub(super) fn bare(uri: Uri) -> Result<Uri, Error> {
    let Some((_, host)) = uri.authority().and_then(|authority| authority.as_str().rsplit_once('@')) else {
        return Ok(uri);
    };
    let authority = Authority::try_from(host).map_err(|_| Error::Address)?;
    let mut parts: Parts = uri.into_parts();
    parts.authority = Some(authority);
    Uri::from_parts(parts).map_err(|_| Error::Address)
}

/// Connects to addresses of one route.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    guard: Arc<Guard>,
    route: Route,
    egress: Option<Arc<Egress>>,
}

impl Connector {
    pub(super) fn new(guard: Arc<Guard>, route: Route, egress: Option<Arc<Egress>>) -> Connector {
        Connector { guard, route, egress }
    }

    async fn connect(self, uri: Uri) -> Result<TokioIo<TcpStream>, Cause> {
        let (host, port) = (uri.host().unwrap_or_default(), port(&uri));
        let Some(egress) = self.egress.as_ref().filter(|egress| !egress.spares_name(host)) else {
            return dial(self.addresses(host, port).await?, port).await;
        };
        let is_named = literal(host).is_none() && !is_localhost(host);
        if is_named && (self.route.author == Author::Operator || egress.names == Names::Proxy) {
            return Ok(through(&egress.proxy, &format!("{host}:{port}")).await?);
        }
        let addresses = self.addresses(host, port).await?;
        if addresses.iter().any(|address| egress.spares(address.ip())) {
            return dial(addresses, port).await;
        }
        // The proxy may have no way to one of them, IPv6 most likely.
        let mut last = None;
        for address in addresses {
            match through(&egress.proxy, &address.to_string()).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = Some(error),
            }
        }
        Err(last.map_or_else(|| Cause::from("the name has no address"), Cause::from))
    }

    /// Where the route leads. Every address must be one that may be dialled: a name that leads to a forbidden place as well
    /// is not to be trusted with which of them it gives next.
    async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Cause> {
        let Connector { guard, route, .. } = self;
        let addresses = match route.dial.or(literal(host)) {
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
}

impl Service<Uri> for Connector {
    type Response = TokioIo<TcpStream>;
    type Error = Cause;
    type Future = BoxFuture<'static, Result<Self::Response, Cause>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Cause>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}

/// A connection to one of these addresses. Of those one that answers is taken, the other family after a short while (RFC
/// 8305). The connector is given a name, so that it asks its resolver, and that one knows only what was checked.
async fn dial(addresses: Vec<SocketAddr>, port: u16) -> Result<TokioIo<TcpStream>, Cause> {
    let mut tcp = HttpConnector::new_with_resolver(Checked(addresses));
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(KEEPALIVE));
    let checked = Uri::try_from(format!("http://checked:{port}"))?;
    Ok(tcp.call(checked).await?)
}

/// A connection that the proxy leads to `target`.
async fn through(proxy: &Proxy, target: &str) -> Result<TokioIo<TcpStream>, NoTunnel> {
    let unreachable = |why: String| NoTunnel::Unreachable { proxy: proxy.to_string(), why };
    let host = proxy.host.trim_start_matches('[').trim_end_matches(']');
    let found = tokio::net::lookup_host((host, proxy.port)).await;
    let addresses = found.map_err(|error| unreachable(error.to_string()))?.collect();
    let dialled = dial(addresses, proxy.port).await;
    let dialled = dialled.map_err(|error| unreachable(innermost(&*error).to_string()))?;
    let mut stream = dialled.into_inner();
    tunnel(&mut stream, proxy, target).await?;
    Ok(TokioIo::new(stream))
}

/// The address that a host is without a resolver.
fn literal(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
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

    #[test]
    fn a_user_part_is_never_sent() {
        for (written, sent) in [
            ("http://h.example.com/a?b=c", "http://h.example.com/a?b=c"),
            ("https://user:word@h:8443/", "https://h:8443/"),
            ("http://operator@169.254.169.254/x", "http://169.254.169.254/x"),
            ("http://a@[fd00::2]:1/", "http://[fd00::2]:1/"),
        ] {
            assert_eq!(bare(written.parse().unwrap()).unwrap().to_string(), sent, "{written}");
        }
    }
}
