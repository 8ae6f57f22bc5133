//! Endpoints: where a tenant's series are delivered.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use url::Url;

use super::{Secret, Verify};

/// The kind of target a resource names, as its `target.type` and as the `target_type` label of our metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TargetType {
    /// A Prometheus in the cluster, by service name.
    Prometheus,
    /// A Pushgateway, by service name.
    Pushgateway,
    /// Any remote-write endpoint, by URL.
    RemoteWrite,
}

impl TargetType {
    /// The word the resource uses.
    pub fn as_str(self) -> &'static str {
        match self {
            TargetType::Prometheus => "prometheus",
            TargetType::Pushgateway => "pushgateway",
            TargetType::RemoteWrite => "remote_write",
        }
    }
}

impl fmt::Display for TargetType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// User name and password for HTTP basic authentication.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BasicAuth {
    /// May be empty, may not contain a colon.
    pub username: String,
    /// Read from a Secret.
    pub password: Secret,
}

/// Who a resource says it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Login {
    /// `Authorization: Basic`.
    Basic(BasicAuth),
    /// `Authorization: Bearer`, with a token read from a Secret.
    Bearer(Secret),
}

/// TLS settings of one receiver, with what the Secrets hold that its resource names. All in PEM.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ReceiverTls {
    /// Certificates that sign the server's, in place of the system's roots.
    pub ca: Option<Secret>,
    /// The tenant's own certificate.
    pub identity: Option<ReceiverIdentity>,
    /// The name the server's certificate must carry, in place of the address's host.
    pub server_name: Option<String>,
    /// Whether the certificate is checked at all.
    pub verify: Verify,
}

/// A tenant's certificate for TLS.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReceiverIdentity {
    /// The certificate, then those between it and the root.
    pub certificate: Secret,
    /// Its private key.
    pub key: Secret,
}

/// Who wrote an address, and so who answers for where it leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Author {
    /// The operator, in our configuration: it is dialled as it resolves.
    #[default]
    Operator,
    /// The cluster: the name of a Service in a namespace that the resource may send to. Where it leads is checked by the
    /// [`super::Guard`], and may be one of the cluster's own addresses.
    Cluster,
    /// A tenant, in a resource: what it leads to is checked by the [`super::Guard`] before it is dialled.
    Tenant,
}

/// Headers that belong to the protocol or to the connection; an endpoint may not set them. `Authorization` is not among
/// them: a bearer token is a header, as long as there is no basic authentication as well.
pub const RESERVED_HEADERS: [&str; 20] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
    "www-authenticate",
    "x-prometheus-remote-read-version",
    "x-prometheus-remote-write-version",
];

/// What is done when a receiver refuses a request for what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OnReject {
    /// It is sent in halves until what is refused stands alone; all else is delivered.
    #[default]
    Bisect,
    /// It is dropped as a whole, as the specification says of a 4xx.
    Drop,
}

/// Which remote write a receiver is spoken to in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Protocol {
    /// 1.0, until the receiver has shown that it takes 2.0.
    #[default]
    Auto,
    /// 1.0 alone.
    V1,
    /// 2.0 alone.
    V2,
}

/// In which order a receiver takes the samples of one series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Order {
    /// Each newer than the one before.
    #[default]
    Ascending,
    /// As they come, within a window of the receiver's own.
    Any,
}

/// A receiver of remote write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteWriteEndpoint {
    /// The full address, path included.
    pub url: Url,
    /// Who wrote the address.
    pub author: Author,
    /// The address that is dialled, if it is known (a Service's cluster IP); else what the URL's host resolves to. The
    /// `Host` header and TLS' server name are the URL's either way.
    pub dial: Option<IpAddr>,
    /// Credentials, if the resource names any.
    pub login: Option<Login>,
    /// TLS settings other than the usual ones.
    pub tls: Option<Arc<ReceiverTls>>,
    /// Further headers, checked: none that the protocol reserves. Sorted by name.
    pub headers: Vec<(String, String)>,
    /// What becomes of a request that it refuses.
    pub on_reject: OnReject,
    /// Which protocol it is spoken to in.
    pub protocol: Protocol,
    /// In which order it takes samples.
    pub order: Order,
}

impl RemoteWriteEndpoint {
    /// A receiver without credentials or headers of its own, at the address that its host resolves to.
    pub fn plain(url: Url, author: Author) -> RemoteWriteEndpoint {
        let (dial, login, tls, headers) = (None, None, None, Vec::new());
        let (on_reject, protocol, order) = (OnReject::default(), Protocol::default(), Order::default());
        RemoteWriteEndpoint { url, author, dial, login, tls, headers, on_reject, protocol, order }
    }

    /// See [`Endpoint::receiver`].
    pub fn receiver(&self) -> Receiver {
        Receiver {
            address: address(&self.url, ""),
            login: self.login.clone(),
            identity: self.tls.as_ref().and_then(|tls| tls.identity.clone()),
            headers: self.headers.clone(),
        }
    }
}

/// One group of a Pushgateway as a resource names it. The Service is in the resource's own namespace.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PushgatewayGroup {
    /// The Service's name.
    pub service: String,
    /// The Service's port.
    pub port: u16,
    /// The group's job; never empty.
    pub job: String,
}

/// Where one group of a Pushgateway is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushgatewayEndpoint {
    /// The server's base address.
    pub url: Url,
    /// Who wrote the address.
    pub author: Author,
    /// The address that is dialled, if it is known; as [`RemoteWriteEndpoint::dial`].
    pub dial: Option<IpAddr>,
    /// Which group.
    pub group: PushgatewayGroup,
}

/// One place to deliver to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// Remote write, one request after the other in order of time.
    RemoteWrite(RemoteWriteEndpoint),
    /// A whole group per tick, the newest tick only.
    Pushgateway(PushgatewayEndpoint),
}

impl Endpoint {
    /// What tells this endpoint from every other one in cursors, logs and status: the address without
    /// credentials, and for a Pushgateway the group as well.
    pub fn key(&self) -> String {
        bounded(match self {
            Endpoint::RemoteWrite(e) => without_credentials(&e.url),
            Endpoint::Pushgateway(e) => format!("{}#job={}", without_credentials(&e.url), e.group.job),
        })
    }

    /// The Pushgateway group that it is, if it is one.
    pub fn group(&self) -> Option<&PushgatewayGroup> {
        match self {
            Endpoint::RemoteWrite(_) => None,
            Endpoint::Pushgateway(e) => Some(&e.group),
        }
    }

    /// What tells the store behind this endpoint from every other one: two endpoints with one receiver write into one
    /// set of series. A user, a token, a certificate or a header can select a tenant of the receiver's own. The password is part
    /// of it: who does not know it writes nothing there, and must not keep others from what they write.
    pub fn receiver(&self) -> Receiver {
        match self {
            Endpoint::RemoteWrite(e) => e.receiver(),
            Endpoint::Pushgateway(e) => Receiver {
                address: address(&e.url, &format!("#job={}", e.group.job)),
                login: None,
                identity: None,
                headers: Vec::new(),
            },
        }
    }
}

/// One address for all that a host is called.
fn address(url: &Url, suffix: &str) -> String {
    let mut url = url.clone();
    let host = url.host_str().map(one_name_of);
    // Both forms are hosts, so neither fails.
    let _ = url.set_host(host.as_deref());
    without_credentials(&url) + suffix
}

/// A Service of the cluster has several names, and every name may end in a dot.
fn one_name_of(host: &str) -> String {
    let host = host.strip_suffix('.').unwrap_or(host);
    match host.strip_suffix(".cluster.local") {
        Some(service) if service.ends_with(".svc") => service.to_owned(),
        _ => host.to_owned(),
    }
}

/// One store of series; see [`Endpoint::receiver`].
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Receiver {
    address: String,
    login: Option<Login>,
    identity: Option<ReceiverIdentity>,
    headers: Vec<(String, String)>,
}

/// Headers may carry a token.
impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("address", &self.address).finish_non_exhaustive()
    }
}

fn without_credentials(url: &Url) -> String {
    let mut url = url.clone();
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.into()
}

/// Keys of endpoints are kept for a day, in a room that tenants share.
const KEY_BYTES_MAX: usize = 160;
/// How much of a longer one is kept for people to read.
const KEY_START_BYTES: usize = 96;

/// The key, or the start of one that is too long, told from others by a hash of the whole.
pub(super) fn bounded(key: String) -> String {
    if key.len() <= KEY_BYTES_MAX {
        return key;
    }
    let hash = Sha256::digest(key.as_bytes());
    let hash: String = hash[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}…{hash}", &key[..key.floor_char_boundary(KEY_START_BYTES)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(url: &str, user: Option<&str>, headers: &[(&str, &str)]) -> Receiver {
        let login = user.map(|user| match user.split_once(':') {
            None => Login::Bearer(Secret::new(user)),
            Some((user, password)) => {
                Login::Basic(BasicAuth { username: user.to_owned(), password: Secret::new(password) })
            }
        });
        let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let plain = RemoteWriteEndpoint::plain(url.parse().unwrap(), Author::Tenant);
        Endpoint::RemoteWrite(RemoteWriteEndpoint { login, headers, ..plain }).receiver()
    }

    #[test]
    fn a_key_is_short_whatever_the_address_and_still_tells_one_from_another() {
        let short = "https://metrics.example.com/api/v1/push";
        assert_eq!(bounded(short.into()), short);
        let long = |end: &str| bounded(format!("{short}?q={}{end}", "ü".repeat(1_000)));
        assert!(long("a").len() <= KEY_BYTES_MAX && long("a").starts_with(short), "{}", long("a"));
        assert_ne!(long("a"), long("b"));
        assert_eq!(long("a"), long("a"));
    }

    #[test]
    fn one_store_is_one_receiver_whatever_it_is_called() {
        let one = remote("http://p.ns.svc.cluster.local:9090/api/v1/write", None, &[]);
        for same in ["http://p.ns.svc:9090/api/v1/write", "http://P.ns.svc.cluster.local.:9090/api/v1/write"]
        {
            assert_eq!(remote(same, None, &[]), one, "{same}");
        }
        for other in
            ["http://p.ns.svc:9091/api/v1/write", "https://p.ns.svc:9090/api/v1/write", "http://p.ns/x"]
        {
            assert_ne!(remote(other, None, &[]), one, "{other}");
        }
    }

    #[test]
    fn a_user_a_password_a_token_or_a_header_can_name_another_store() {
        let url = "https://metrics.example.com/write";
        let all = [
            remote(url, None, &[]),
            remote(url, Some("a:hush"), &[]),
            remote(url, Some("a:not hush"), &[]),
            remote(url, Some("b:hush"), &[]),
            remote(url, Some("a-token"), &[]),
            remote(url, Some("b-token"), &[]),
            remote(url, None, &[("x-tenant", "a")]),
            remote(url, None, &[("x-tenant", "b")]),
        ];
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
        for hidden in
            [remote(url, None, &[("authorization", "Bearer hush")]), remote(url, Some("a:hush"), &[])]
        {
            assert!(!format!("{hidden:?}").contains("hush"));
        }
    }
}
