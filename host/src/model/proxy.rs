//! Proxy: an HTTP proxy that connections are made through. Comes from the operator's configuration only.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use super::Cidr;

/// An HTTP proxy that makes tunnels (`CONNECT`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Proxy {
    /// Its name or address; an IPv6 address in brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Who we say we are to it.
    pub login: Option<ProxyLogin>,
}

/// `Proxy-Authorization: Basic`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ProxyLogin {
    /// The user's name.
    pub username: String,
    /// Holds the password; read for every connection.
    pub password_file: PathBuf,
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}:{}", self.host, self.port)
    }
}

/// The way out through a proxy.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Egress {
    /// Which proxy.
    pub proxy: Proxy,
    /// What is dialled without it.
    pub except: Vec<Exception>,
    /// Who finds out where a name leads.
    pub names: Names,
}

/// Something that is dialled without the proxy.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Exception {
    /// A host of this name, or below it; in lower case, without a dot at either end.
    Name(String),
    /// Addresses.
    Range(Cidr),
}

/// Who finds out where a name leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Names {
    /// We do, and tell the proxy the address that was judged.
    #[default]
    Here,
    /// The proxy does: it is told the name, and it alone keeps tenants from where they may not be.
    Proxy,
}

impl Egress {
    /// All connections go through `proxy`, which finds out where names lead.
    pub fn always(proxy: Proxy) -> Egress {
        Egress { proxy, except: Vec::new(), names: Names::Proxy }
    }

    /// Whether a host of this name is dialled without the proxy.
    pub fn spares_name(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        self.except.iter().any(|exception| match exception {
            Exception::Range(_) => false,
            Exception::Name(name) => match host.strip_suffix(name.as_str()) {
                Some(before) => before.is_empty() || before.ends_with('.'),
                None => false,
            },
        })
    }

    /// Whether an address is dialled without the proxy.
    pub fn spares(&self, address: IpAddr) -> bool {
        let holds =
            |exception: &Exception| matches!(exception, Exception::Range(range) if range.contains(address));
        self.except.iter().any(holds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_spares_itself_and_what_is_below_it() {
        let except =
            vec![Exception::Name("corp.example".into()), Exception::Range("10.0.0.0/8".parse().unwrap())];
        let proxy = Proxy { host: "p".into(), port: 3128, login: None };
        let egress = Egress { except, ..Egress::always(proxy) };
        for (host, spared) in [
            ("corp.example", true),
            ("a.b.CORP.example.", true),
            ("notcorp.example", false),
            ("corp.example.com", false),
        ] {
            assert_eq!(egress.spares_name(host), spared, "{host}");
        }
        assert!(egress.spares("10.1.2.3".parse().unwrap()) && !egress.spares("11.1.2.3".parse().unwrap()));
    }
}
