//! Cidr: a range of addresses, as operators write it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A range of addresses: `10.0.0.0/8`, `fd00::/8`, or one address alone. IPv4 addresses in IPv6's clothes
/// (`::ffff:10.0.0.1`) are IPv4 here: a socket connects to the same place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cidr {
    network: IpAddr,
    prefix: u8,
}

/// What is wrong with a range, as the end of a sentence that begins with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CidrError {
    /// The part before the slash.
    #[error("is not an address")]
    Address,
    /// The part after the slash.
    #[error("has a prefix length that is no number, or longer than the address")]
    Prefix,
    /// Bits after the prefix: most likely the prefix is not what was meant.
    #[error("has bits set after its prefix")]
    HostBits,
}

impl Cidr {
    /// The range of these addresses whose first `prefix` bits are those of `address`.
    pub const fn new(address: IpAddr, prefix: u8) -> Cidr {
        Cidr { network: address, prefix }
    }

    /// The range of one address.
    pub fn of(address: IpAddr) -> Cidr {
        match address.to_canonical() {
            address @ IpAddr::V4(_) => Cidr { network: address, prefix: 32 },
            address @ IpAddr::V6(_) => Cidr { network: address, prefix: 128 },
        }
    }

    /// Whether `address` is in the range.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.network, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                masked(u128::from(network.to_bits()) << 96, self.prefix)
                    == masked(u128::from(address.to_bits()) << 96, self.prefix)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                masked(network.to_bits(), self.prefix) == masked(address.to_bits(), self.prefix)
            }
            _ => false,
        }
    }

    /// How many leading bits are fixed: of two ranges that hold an address, the one with more is the more specific.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }
}

fn masked(bits: u128, prefix: u8) -> u128 {
    bits & u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0)
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Cidr, CidrError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| CidrError::Address)?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let prefix = match prefix {
            None => bits,
            Some(text) if digits(text) => text.parse().map_err(|_| CidrError::Prefix)?,
            Some(_) => return Err(CidrError::Prefix),
        };
        if prefix > bits {
            return Err(CidrError::Prefix);
        }
        let range = match address {
            IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() && prefix >= 96 => {
                Cidr { network: address.to_canonical(), prefix: prefix - 96 }
            }
            _ => Cidr { network: address, prefix },
        };
        if range.first() != range.network {
            return Err(CidrError::HostBits);
        }
        Ok(range)
    }
}

impl Cidr {
    fn first(&self) -> IpAddr {
        match self.network {
            IpAddr::V4(v4) => {
                let bits = masked(u128::from(v4.to_bits()) << 96, self.prefix) >> 96;
                IpAddr::V4(Ipv4Addr::from_bits(bits as u32))
            }
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(masked(v6.to_bits(), self.prefix))),
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(range: &str, address: &str) -> bool {
        range.parse::<Cidr>().unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn a_range_holds_what_begins_with_its_prefix() {
        for (range, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("10.1.2.3", "10.1.2.3", "10.1.2.4"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("fd00::/8", "fdff::1", "fe00::"),
            ("::/0", "fe80::1", "127.0.0.1"),
            ("10.0.0.0/8", "::ffff:10.0.0.1", "::10.0.0.1"),
            ("::ffff:10.0.0.0/104", "10.9.9.9", "::ffff:11.0.0.1"),
        ] {
            assert!(holds(range, inside), "{range} {inside}");
            assert!(!holds(range, outside), "{range} {outside}");
        }
    }

    #[test]
    fn what_is_no_range_says_why() {
        for (text, error) in [
            ("ten", CidrError::Address),
            ("", CidrError::Address),
            ("10.0.0/8", CidrError::Address),
            ("10.0.0.0/33", CidrError::Prefix),
            ("10.0.0.0/", CidrError::Prefix),
            ("10.0.0.0/+8", CidrError::Prefix),
            ("fd00::/129", CidrError::Prefix),
            ("10.0.0.1/8", CidrError::HostBits),
        ] {
            assert_eq!(text.parse::<Cidr>(), Err(error), "{text:?}");
        }
        assert_eq!("::ffff:10.0.0.0/104".parse::<Cidr>().unwrap().to_string(), "10.0.0.0/8");
    }
}
