//! Allow: which registries and hosts modules may come from.
//!
//! In: the operator's entries, in any order. Out: for an address the entry that covers it: of several the most specific
//! one, so that what is required of a part (a signature, say) cannot be had around through the whole.

use std::fmt;
use std::str::FromStr;

use url::Url;

use super::Key;
use super::place::{self, HUB_HOST, HUB_LIBRARY};
use crate::model::{Cidr, Tls};

/// One entry of the operator's list.
#[derive(Debug, Clone, PartialEq)]
pub struct Allowed {
    /// What it covers.
    pub prefix: Prefix,
    /// Whether it may be spoken to in plain text; a registry then is.
    pub transport: Transport,
    /// Ranges that may be dialled for it although they are refused by default: loopback, private networks.
    pub networks: Vec<Cidr>,
    /// Where else it may send us, for content and for tokens.
    pub redirects: Vec<Prefix>,
    /// TLS settings other than the usual ones.
    pub tls: Option<Tls>,
    /// Whose signature an artefact must have, one of them; nobody's if empty.
    pub keys: Vec<Key>,
}

impl Allowed {
    /// An entry that asks for nothing and opens nothing.
    pub fn new(prefix: Prefix) -> Allowed {
        Allowed {
            prefix,
            transport: Transport::Https,
            networks: Vec::new(),
            redirects: Vec::new(),
            tls: None,
            keys: Vec::new(),
        }
    }
}

/// How a server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Transport {
    /// Encrypted.
    #[default]
    Https,
    /// In plain text; a URL that says `https` is followed as well.
    PlainHttp,
}

impl Transport {
    /// The scheme that a registry is spoken to with.
    pub(super) fn scheme(self) -> &'static str {
        match self {
            Transport::Https => "https",
            Transport::PlainHttp => "http",
        }
    }

    pub(super) fn takes(self, url: &Url) -> bool {
        url.scheme() == "https" || (url.scheme() == "http" && self == Transport::PlainHttp)
    }
}

/// A host, perhaps with a port, perhaps with the beginning of a path: `ghcr.io/acme`, `*.example.com`, `registry:5000`.
/// Without a port it is the scheme's own. A path ends where a part of it ends: `ghcr.io/acme` does not cover
/// `ghcr.io/acme-labs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix {
    host: Host,
    port: Option<u16>,
    /// Parts between slashes, none of them empty.
    path: Vec<String>,
}

/// How specific the entry is that covers something: its host, its path, whether it names the port. More is more specific.
pub(super) type Weight = (usize, usize, bool);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Any,
    /// Everything below this name.
    Below(String),
    Exactly(String),
}

/// What is wrong with a prefix, as the end of a sentence that begins with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// A whole URL.
    #[error("has a scheme; write the host alone, and plainHttp: true if it is spoken to in plain text")]
    Scheme,
    /// Before the first slash.
    #[error("names no host; write ghcr.io, registry.example.com:5000 or *.example.com")]
    Host,
    /// After the first slash.
    #[error("has an illegal path; write the beginning of one, as in ghcr.io/acme")]
    Path,
}

impl Prefix {
    /// Every host there is.
    pub fn anywhere() -> Prefix {
        Prefix { host: Host::Any, port: None, path: Vec::new() }
    }

    /// How specifically it covers what is below `parts` at a server's address; nothing if it does not.
    pub(super) fn weight(&self, server: &Url, parts: &[String]) -> Option<Weight> {
        if !self.covers_host(server) {
            return None;
        }
        let path = self.paths().into_iter().filter(|path| parts.starts_with(path)).map(|path| path.len());
        Some((self.host.weight(), path.max()?, self.port.is_some()))
    }

    /// The parts of the path, in each way in which an address may have them.
    fn paths(&self) -> Vec<Vec<String>> {
        let mut paths = vec![self.path.clone()];
        match self.path.as_slice() {
            // Of docker's own registry, `nginx` is the repository that it calls library/nginx, or whoever has that name there.
            [one] if self.is_hub() && one != HUB_LIBRARY => {
                paths.push(vec![HUB_LIBRARY.to_owned(), one.clone()]);
            }
            // A part with an encoded slash in it, which servers may read as a slash.
            path => paths.push(place::parts(&path.join("/"))),
        }
        paths
    }

    fn is_hub(&self) -> bool {
        matches!(&self.host, Host::Exactly(name) if place::is_hub(name))
    }

    fn covers_host(&self, url: &Url) -> bool {
        let Some(host) = url.host_str().map(place::host) else { return false };
        let is_below = |host: &str, domain: &str| {
            let rest = host.strip_suffix(domain).and_then(|rest| rest.strip_suffix('.'));
            rest.is_some_and(|rest| !rest.is_empty())
        };
        let is_it = match &self.host {
            Host::Any => return true,
            Host::Below(domain) => {
                is_below(host, domain) || (place::is_hub(host) && is_below(HUB_HOST, domain))
            }
            Host::Exactly(name) => host == name,
        };
        // `port` is nothing where it is the scheme's own.
        is_it && (url.port() == self.port || url.port_or_known_default() == self.port)
    }
}

impl Host {
    fn weight(&self) -> usize {
        match self {
            Host::Any => 0,
            Host::Below(domain) => domain.len(),
            Host::Exactly(_) => usize::MAX,
        }
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Prefix, PrefixError> {
        if text.contains("://") {
            return Err(PrefixError::Scheme);
        }
        let (authority, path) = text.split_once('/').unwrap_or((text, ""));
        let (below, authority) = match authority.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, authority),
        };
        // As a URL's host, so that both are written alike (lower case, punycode); an unknown scheme has no port of its own.
        let url = Url::parse(&format!("https://{authority}/")).map_err(|_| PrefixError::Host)?;
        let plain = !authority.contains(['@', '?', '#', '\\', '*', '%']) && !authority.is_empty();
        let host = url.host_str().filter(|_| plain && url.path() == "/").ok_or(PrefixError::Host)?;
        // What is below a name is below that name; the name itself may be one of several.
        let host = if below { host.strip_suffix('.').unwrap_or(host) } else { place::host(host) }.to_owned();
        let port = match authority.rsplit_once(':') {
            Some((_, port)) if !port.ends_with(']') => Some(port.parse().map_err(|_| PrefixError::Host)?),
            _ => None,
        };
        let path = path.strip_suffix('/').unwrap_or(path);
        let parts: Vec<String> = path.split('/').filter(|_| !path.is_empty()).map(place::decoded).collect();
        if path.contains(['?', '#', '*']) || parts.iter().any(|part| is_step(part)) {
            return Err(PrefixError::Path);
        }
        Ok(Prefix { host: if below { Host::Below(host) } else { Host::Exactly(host) }, port, path: parts })
    }
}

/// Whether a part of a path is none, or a step to another one.
fn is_step(part: &str) -> bool {
    part.split(['/', '\\']).any(|part| matches!(part, "" | "." | ".."))
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Any => f.write_str("*")?,
            Host::Below(domain) => write!(f, "*.{domain}")?,
            Host::Exactly(name) => f.write_str(name)?,
        }
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        self.path.iter().try_for_each(|part| write!(f, "/{part}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    /// As it is asked for a URL: in every way in which it may be read.
    fn covers_url(entry: &str, url: &str) -> bool {
        let url = url.parse().unwrap();
        place::ways(&url).iter().all(|way| prefix(entry).weight(&url, way).is_some())
    }

    fn covers(entry: &str, reference: &str, transport: Transport) -> bool {
        let repository = place::Repository::of(&reference.parse().unwrap());
        let address = repository.address(transport).unwrap();
        prefix(entry).weight(&address, &repository.parts()).is_some()
    }

    #[test]
    fn a_prefix_covers_whole_parts_of_addresses_on_its_port() {
        for (entry, url, covered) in [
            ("example.com", "https://example.com/a.wasm", true),
            ("example.com", "http://example.com/a.wasm", true),
            ("example.com", "https://example.com:443/", true),
            ("example.com:443", "https://example.com/", true),
            ("example.com:443", "http://example.com/", false),
            ("example.com", "https://example.com:8443/", false),
            ("example.com:8443", "https://example.com:8443/", true),
            ("example.com", "https://example.com./", true),
            ("example.com", "https://example.com.evil.org/", false),
            ("example.com", "https://example.com@evil.org/", false),
            ("EXAMPLE.com", "https://Example.COM/", true),
            ("*.example.com", "https://a.b.example.com/", true),
            ("*.example.com", "https://example.com/", false),
            ("*.example.com", "https://evilexample.com/", false),
            ("example.com/acme", "https://example.com/acme/a.wasm", true),
            ("example.com/acme/", "https://example.com/acme", true),
            ("example.com/acme", "https://example.com/acme-labs/a.wasm", false),
            ("example.com/acme", "https://example.com/acme/../other/a.wasm", false),
            ("example.com/acme", "https://example.com/acme/%2e%2e/other/a.wasm", false),
            ("example.com/acme", "https://example.com/acme%2fa.wasm", false),
            ("example.com/acme", "https://example.com/acme/..%2fother/a.wasm", false),
            ("example.com/acme", "https://example.com/%2561cme/a.wasm", false),
            ("example.com/acme", "https://example.com/%61cme/a.wasm", true),
            ("example.com/a/acme%2Fx", "https://example.com/a/acme%2Fx/a.wasm", true),
            ("example.com/a/acme%2Fx", "https://example.com/a/acme%2Fy/a.wasm", false),
            ("[::1]:5000", "http://[::1]:5000/", true),
        ] {
            assert_eq!(covers_url(entry, url), covered, "{entry} {url}");
        }
    }

    #[test]
    fn a_prefix_covers_repositories_of_its_registry() {
        for (entry, reference, covered) in [
            ("ghcr.io", "ghcr.io/acme/a:1", true),
            ("ghcr.io/acme", "ghcr.io/acme/a:1", true),
            ("ghcr.io/acme", "ghcr.io/acme-labs/a:1", false),
            ("ghcr.io/acme", "ghcr.io/a:1", false),
            ("ghcr.io", "ghcr.io:5000/a:1", false),
            ("localhost:5000", "localhost:5000/a:1", true),
        ] {
            assert_eq!(covers(entry, reference, Transport::Https), covered, "{entry} {reference}");
        }
        assert!(covers("registry.local", "registry.local:80/a:1", Transport::PlainHttp));
        assert!(!covers("registry.local", "registry.local:80/a:1", Transport::Https));
    }

    #[test]
    fn what_is_no_prefix_says_why() {
        for (text, error) in [
            ("https://ghcr.io", PrefixError::Scheme),
            ("", PrefixError::Host),
            ("/acme", PrefixError::Host),
            ("*", PrefixError::Host),
            ("*.", PrefixError::Host),
            ("a.*.com", PrefixError::Host),
            ("user@ghcr.io", PrefixError::Host),
            ("ghcr.io:port", PrefixError::Host),
            ("ghcr.io/a//b", PrefixError::Path),
            ("ghcr.io/../b", PrefixError::Path),
            ("ghcr.io/a*", PrefixError::Path),
            ("ghcr.io/a%2F..%2Fb", PrefixError::Path),
        ] {
            assert_eq!(text.parse::<Prefix>(), Err(error), "{text:?}");
        }
        for text in ["ghcr.io/acme", "*.example.com:8443/a/b", "[::1]:5000"] {
            assert_eq!(prefix(text).to_string(), text);
        }
    }

    #[test]
    fn the_more_specific_prefix_weighs_more() {
        let url = "https://a.example.com/x/y".parse().unwrap();
        let weight = |prefix: Prefix| prefix.weight(&url, &["x".to_owned(), "y".to_owned()]);
        let entries = ["*.com", "*.example.com", "a.example.com", "a.example.com:443", "a.example.com/x"];
        let by_weight = entries.map(|entry| weight(prefix(entry)).unwrap());
        assert!(by_weight.is_sorted_by(|a, b| a < b), "{by_weight:?}");
        assert!(weight(Prefix::anywhere()).unwrap() < by_weight[0]);
    }
}
