//! Guard: which addresses may be dialled because a tenant said so.
//!
//! In: an address, after every name was resolved. Out: whether it may be dialled, or the range that forbids it.
//! Never: a judgement of a name; names lead anywhere, and elsewhere a moment later.
//!
//! The most specific range that holds an address decides: `allow: [10.0.0.0/8]` opens a network and leaves the API
//! server in it refused; `allow: [127.0.0.1]` opens one address of a range that is refused. Of two ranges of one
//! length the operator's decides before a built-in one, and `deny` before `allow`.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Cidr;

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Cidr {
    Cidr::new(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), prefix)
}

const fn v6(a: u16, b: u16, c: u16, last: u16, prefix: u8) -> Cidr {
    Cidr::new(IpAddr::V6(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, last)), prefix)
}

/// Our own machine, or pod: what listens there trusts whoever is there.
const LOOPBACK: [Cidr; 2] = [v4(127, 0, 0, 0, 8), v6(0, 0, 0, 1, 128)];

/// What no receiver can be, from the registries of special-purpose addresses (RFC 6890), and where clouds tell a
/// machine its credentials. Metadata services have ranges of their own, so that an `allow` of the network around
/// them does not open them.
const NEVER: [(Cidr, &str); 20] = [
    (v4(0, 0, 0, 0, 8), "this machine"),
    (v6(0, 0, 0, 0, 128), "this machine"),
    (v4(169, 254, 0, 0, 16), "link-local"),
    (v6(0xfe80, 0, 0, 0, 10), "link-local"),
    (v6(0xfec0, 0, 0, 0, 10), "site-local, deprecated"),
    (v4(224, 0, 0, 0, 4), "multicast"),
    (v6(0xff00, 0, 0, 0, 8), "multicast"),
    (v4(255, 255, 255, 255, 32), "broadcast"),
    (v4(240, 0, 0, 0, 4), "reserved"),
    (v6(0x64, 0xff9b, 1, 0, 48), "a local translation of IPv4 addresses"),
    (v4(169, 254, 169, 254, 32), "a cloud's metadata"),
    (v4(169, 254, 170, 2, 32), "a cloud's metadata"),
    (v4(169, 254, 170, 23, 32), "a cloud's metadata"),
    (v4(100, 100, 100, 200, 32), "a cloud's metadata"),
    (v4(168, 63, 129, 16, 32), "a cloud's metadata"),
    (v4(192, 0, 0, 192, 32), "a cloud's metadata"),
    (v6(0xfd00, 0xec2, 0, 0x254, 128), "a cloud's metadata"),
    (v6(0xfd00, 0xec2, 0, 0x23, 128), "a cloud's metadata"),
    (v6(0xfd20, 0xce, 0, 0x254, 128), "a cloud's metadata"),
    (v6(0xfd00, 0x42, 0, 0x42, 128), "a cloud's metadata"),
];

/// Where a cluster's Services, pods and nodes are, and whatever else is inside: a literal address or a foreign name that
/// leads there would go past every rule about namespaces (`limits.targetNamespaces`), and past who may dial what.
const PRIVATE: [Cidr; 5] = [
    v4(10, 0, 0, 0, 8),
    v4(172, 16, 0, 0, 12),
    v4(192, 168, 0, 0, 16),
    v4(100, 64, 0, 0, 10),
    v6(0xfc00, 0, 0, 0, 7),
];

const PRIVATE_NAME: &str = "a private network: name a receiver in the cluster by its Service";

/// Where Sluice runs, and so what "here" is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Place {
    /// One's own machine: receivers on it are the usual case, and who writes resources there is a user of it anyway.
    #[default]
    Machine,
    /// A cluster: tenants are strangers to the pod, and what listens on its loopback is meant for nobody.
    Cluster,
}

/// What the operator says about addresses that tenants name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Receivers {
    /// Ranges that may be dialled although they are refused by default.
    pub allow: Vec<Cidr>,
    /// Ranges that may not be dialled.
    pub deny: Vec<Cidr>,
    /// The API server's own addresses, as far as they are known.
    pub api_server: Vec<IpAddr>,
    /// Where we run.
    pub place: Place,
}

/// An address that a tenant's resource leads to and that is not dialled for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{address} is in {range} ({name}), where no receiver may be")]
pub struct Forbidden {
    /// The address.
    pub address: IpAddr,
    /// The range that decided.
    pub range: Cidr,
    /// What that range is.
    pub name: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    BuiltIn,
    Allow,
    Deny,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    range: Cidr,
    weight: Weight,
    name: &'static str,
    /// Whether it counts for the cluster's own Services too.
    services: bool,
}

/// Which addresses may be dialled because a tenant said so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    rules: Vec<Rule>,
    place: Place,
}

impl Default for Guard {
    fn default() -> Guard {
        Guard::new(&Receivers::default())
    }
}

impl Guard {
    /// The operator's ranges over the built-in ones.
    pub fn new(receivers: &Receivers) -> Guard {
        Guard::with(receivers, receivers.place)
    }

    /// As [`Guard::new`] in a cluster, wherever we run: our own machine and private networks are refused unless they are
    /// allowed. Names are still what they are here.
    pub fn strict(receivers: &Receivers) -> Guard {
        Guard::with(receivers, Place::Cluster)
    }

    fn with(receivers: &Receivers, ranges: Place) -> Guard {
        let Receivers { allow, deny, api_server, place } = receivers;
        let built_in = |(range, name)| Rule { range, weight: Weight::BuiltIn, name, services: true };
        let mut rules: Vec<Rule> = NEVER.into_iter().map(built_in).collect();
        if ranges == Place::Cluster {
            rules.extend(LOOPBACK.into_iter().map(|range| built_in((range, "loopback"))));
            let private = |range| Rule { services: false, ..built_in((range, PRIVATE_NAME)) };
            rules.extend(PRIVATE.into_iter().map(private));
        }
        rules.extend(api_server.iter().map(|ip| built_in((Cidr::of(*ip), "the API server"))));
        let theirs = |weight, name| move |range: &Cidr| Rule { range: *range, weight, name, services: true };
        rules.extend(allow.iter().map(theirs(Weight::Allow, "allowed by the operator")));
        rules.extend(deny.iter().map(theirs(Weight::Deny, "denied by the operator")));
        Guard { rules, place: *place }
    }

    /// Whether `address`, to which what a tenant wrote leads, may be dialled. What carries an IPv4 address inside must
    /// pass with both.
    pub fn check(&self, address: IpAddr) -> Result<(), Forbidden> {
        self.judge(address, |_| true)
    }

    /// Whether `address`, to which a Service of the cluster leads, may be dialled: Services are in private networks.
    pub fn check_service(&self, address: IpAddr) -> Result<(), Forbidden> {
        self.judge(address, |rule| rule.services)
    }

    fn judge(&self, address: IpAddr, counts: impl Fn(&Rule) -> bool) -> Result<(), Forbidden> {
        let address = address.to_canonical();
        let inner = match address {
            IpAddr::V4(_) => [None; 2],
            IpAddr::V6(address) => embedded(address),
        };
        let all = std::iter::once(address).chain(inner.into_iter().flatten().map(IpAddr::V4));
        for address in all {
            let holding = self.rules.iter().filter(|rule| counts(rule) && rule.range.contains(address));
            let decides = holding.max_by_key(|rule| (rule.range.prefix(), rule.weight));
            if let Some(rule) = decides.filter(|rule| rule.weight != Weight::Allow) {
                return Err(Forbidden { address, range: rule.range, name: rule.name });
            }
        }
        Ok(())
    }

    /// What the resolver is asked for `host`, which a tenant wrote. In a cluster a name is absolute: the search list of
    /// our pod is ours, and would make `prometheus.other-team` another team's Service, and `kubernetes.default` the
    /// API server's. `.svc` is no public domain; it means the cluster's and needs the list.
    pub fn absolute<'a>(&self, host: &'a str) -> Cow<'a, str> {
        let complete = host.ends_with('.') || host.ends_with(".svc");
        match self.place {
            Place::Cluster if !complete => Cow::Owned(format!("{host}.")),
            _ => Cow::Borrowed(host),
        }
    }
}

/// Whether a name means this machine whatever a resolver says (RFC 6761, 6.3).
pub fn is_localhost(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    host.rsplit('.').next().is_some_and(|last| last.eq_ignore_ascii_case("localhost"))
}

/// The IPv4 addresses that something on the way may take out of an IPv6 address and go to: translation (RFC 6052),
/// 6to4 (RFC 3056), Teredo (RFC 4380), ISATAP (RFC 5214), and the deprecated "compatible" form (RFC 4291, 2.5.5.1).
fn embedded(address: Ipv6Addr) -> [Option<Ipv4Addr>; 2] {
    let v4 = |high: u16, low: u16| Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => [None; 2],
        [0, 0, 0, 0, 0, 0, high, low] => [v4(high, low), None],
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => [v4(high, low), None],
        [0x2002, high, low, ..] => [v4(high, low), None],
        [0x2001, 0, high, low, _, _, client_high, client_low] => {
            [v4(high, low), v4(!client_high, !client_low)]
        }
        [_, _, _, _, 0 | 0x200, 0x5efe, high, low] => [v4(high, low), None],
        _ => [None; 2],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(allow: &[&str], deny: &[&str]) -> Guard {
        let ranges = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        Guard::new(&Receivers {
            allow: ranges(allow),
            deny: ranges(deny),
            api_server: vec!["10.96.0.1".parse().unwrap()],
            place: Place::Cluster,
        })
    }

    /// The name of the range that forbids an address; empty if none does.
    fn refused(guard: &Guard, address: &str) -> &'static str {
        guard.check(address.parse().unwrap()).err().map_or("", |forbidden| forbidden.name)
    }

    #[test]
    fn in_a_cluster_nothing_that_is_no_receiver_can_be_dialled() {
        let guard = cluster(&[], &[]);
        for (address, name) in [
            ("127.0.0.1", "loopback"),
            ("127.255.3.4", "loopback"),
            ("::1", "loopback"),
            ("0.0.0.0", "this machine"),
            ("0.1.2.3", "this machine"),
            ("::", "this machine"),
            ("169.254.1.1", "link-local"),
            ("fe80::1", "link-local"),
            ("febf::1", "link-local"),
            ("fec0::1", "site-local, deprecated"),
            ("224.0.0.1", "multicast"),
            ("239.255.255.250", "multicast"),
            ("ff02::1", "multicast"),
            ("255.255.255.255", "broadcast"),
            ("250.1.1.1", "reserved"),
            ("169.254.169.254", "a cloud's metadata"),
            ("fd00:ec2::254", "a cloud's metadata"),
            ("100.100.100.200", "a cloud's metadata"),
            ("10.96.0.1", "the API server"),
        ] {
            assert_eq!(refused(&guard, address), name, "{address}");
        }
        for address in ["8.8.8.8", "2001:db8::1", "172.32.0.1", "11.0.0.1"] {
            assert_eq!(refused(&guard, address), "", "{address}");
        }
    }

    #[test]
    fn the_clusters_own_networks_are_for_its_services_and_for_what_the_operator_allows() {
        let guard = cluster(&["10.20.0.0/16"], &["10.30.0.0/16"]);
        for address in ["10.0.0.1", "192.168.1.1", "172.16.0.1", "172.31.9.9", "fd12::1", "100.64.0.1"] {
            assert_eq!(refused(&guard, address), PRIVATE_NAME, "{address}");
            assert_eq!(guard.check_service(address.parse().unwrap()), Ok(()), "{address}");
        }
        for (address, name) in [
            ("10.20.0.1", ""),
            ("10.30.0.1", "denied by the operator"),
            ("10.96.0.1", "the API server"),
            ("127.0.0.1", "loopback"),
            ("169.254.169.254", "a cloud's metadata"),
        ] {
            let service = guard.check_service(address.parse().unwrap());
            assert_eq!(service.err().map_or("", |forbidden| forbidden.name), name, "{address}");
        }
        let home = Guard::default();
        assert_eq!((refused(&home, "10.0.0.1"), refused(&home, "192.168.1.1")), ("", ""));
    }

    #[test]
    fn an_address_inside_another_one_is_seen() {
        let guard = cluster(&[], &[]);
        for (address, name) in [
            ("::ffff:127.0.0.1", "loopback"),
            ("::127.0.0.1", "loopback"),
            ("64:ff9b::127.0.0.1", "loopback"),
            ("64:ff9b::a9fe:a9fe", "a cloud's metadata"),
            ("64:ff9b:1::a9fe:a9fe", "a local translation of IPv4 addresses"),
            ("2002:7f00:1::", "loopback"),
            ("2002:a9fe:a9fe::1", "a cloud's metadata"),
            ("2001:0:808:808::80ff:fffe", "loopback"),
            ("2001:db8::5efe:169.254.1.1", "link-local"),
            ("::ffff:10.96.0.1", "the API server"),
        ] {
            assert_eq!(refused(&guard, address), name, "{address}");
        }
        for address in ["64:ff9b::8.8.8.8", "2002:808:808::1", "::ffff:11.0.0.1"] {
            assert_eq!(refused(&guard, address), "", "{address}");
        }
    }

    #[test]
    fn on_ones_own_machine_loopback_is_where_receivers_are() {
        let guard = Guard::default();
        assert_eq!((refused(&guard, "127.0.0.1"), refused(&guard, "::1")), ("", ""));
        assert_eq!(refused(&guard, "169.254.169.254"), "a cloud's metadata");
        assert_eq!(refused(&guard, "fe80::1"), "link-local");
        let strict = Guard::strict(&Receivers::default());
        assert_eq!((refused(&strict, "127.0.0.1"), refused(&strict, "10.0.0.1")), ("loopback", PRIVATE_NAME));
        assert_eq!(
            strict.absolute("prometheus"),
            "prometheus",
            "a name of the hosts file has no dot at its end"
        );
    }

    #[test]
    fn the_most_specific_range_decides() {
        let guard = cluster(&["10.0.0.0/8", "127.0.0.1", "169.254.0.0/16", "0.0.0.0/0"], &["10.5.0.0/16"]);
        for (address, name) in [
            ("10.1.1.1", ""),
            ("10.5.1.1", "denied by the operator"),
            ("10.96.0.1", "the API server"),
            ("127.0.0.1", ""),
            ("127.0.0.2", "loopback"),
            ("169.254.9.9", ""),
            ("169.254.169.254", "a cloud's metadata"),
            ("224.0.0.1", "multicast"),
        ] {
            assert_eq!(refused(&guard, address), name, "{address}");
        }
        let both = cluster(&["10.0.0.0/8", "10.96.0.1"], &["10.0.0.0/8"]);
        assert_eq!(refused(&both, "10.1.1.1"), "denied by the operator", "of two equals");
        assert_eq!(refused(&both, "10.96.0.1"), "", "the operator's word about one address");
    }

    #[test]
    fn in_a_cluster_a_tenants_name_is_absolute() {
        let guard = cluster(&[], &[]);
        assert_eq!(guard.absolute("kubernetes.default"), "kubernetes.default.");
        assert_eq!(guard.absolute("p.ns.svc"), "p.ns.svc");
        assert_eq!(guard.absolute("example.com."), "example.com.");
        assert_eq!(Guard::default().absolute("prometheus"), "prometheus");
        for name in ["localhost", "LOCALHOST", "localhost.", "x.localhost", "a.b.localhost."] {
            assert!(is_localhost(name), "{name}");
        }
        for name in ["localhost.example.com", "mylocalhost", "localhos", ""] {
            assert!(!is_localhost(name), "{name}");
        }
    }

    #[test]
    fn a_refusal_names_the_address_and_the_range() {
        let forbidden = cluster(&[], &[]).check("::ffff:127.0.0.1".parse().unwrap()).unwrap_err();
        assert_eq!(forbidden.to_string(), "127.0.0.1 is in 127.0.0.0/8 (loopback), where no receiver may be");
    }
}
