//! Scopes: from which addresses something is allowed.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// `off`, `loopback`, `private`, `any`, or a list of CIDRs.
///
/// ```
/// use chatd::net::scope::Scope;
///
/// let office: Scope = "192.168.1.0/24,fd00::/8".parse().unwrap();
/// assert!(office.contains("192.168.1.7".parse().unwrap()));
/// assert!(!office.contains("192.168.2.7".parse().unwrap()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    Off,
    Loopback,
    /// Loopback, RFC 1918, link-local, unique local IPv6 (RFC 4193) and shared addresses (RFC 6598).
    Private,
    Any,
    Networks(Vec<Network>),
}

/// An address and how many of its first bits count (RFC 4632).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Scope {
    /// Whether an address is in the scope. IPv4 in IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        match self {
            Scope::Off => false,
            Scope::Loopback => address.is_loopback(),
            Scope::Private => match address {
                IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local() || is_shared(v4),
                IpAddr::V6(v6) => v6.is_loopback() || v6.is_unicast_link_local() || v6.is_unique_local(),
            },
            Scope::Any => true,
            Scope::Networks(networks) => networks.iter().any(|network| network.contains(address)),
        }
    }
}

/// 100.64.0.0/10.
fn is_shared(address: Ipv4Addr) -> bool {
    let [a, b, ..] = address.octets();
    a == 100 && (64..128).contains(&b)
}

impl Network {
    fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                u32::from(network) & mask == u32::from(address) & mask
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
                u128::from(network) & mask == u128::from(address) & mask
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Network, String> {
        let wrong = || format!("'{text}' is not a network; write it like 192.168.1.0/24 or fd00::/8");
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { Ipv4Addr::BITS } else { Ipv6Addr::BITS } as u8;
        let bits = bits.map_or(Ok(most), |bits| bits.parse().map_err(|_| wrong()))?;
        if bits > most {
            return Err(wrong());
        }
        Ok(Network { address, bits })
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Scope, String> {
        Ok(match text {
            "off" => Scope::Off,
            "loopback" => Scope::Loopback,
            "private" => Scope::Private,
            "any" => Scope::Any,
            _ if text.contains(['.', ':']) => {
                Scope::Networks(text.split(',').map(|network| network.trim().parse()).collect::<Result<_, _>>()?)
            }
            _ => {
                return Err(
                    "a scope is off, loopback, private, any, or networks like 192.168.1.0/24,fd00::/8".to_owned()
                );
            }
        })
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scope::Off => f.write_str("off"),
            Scope::Loopback => f.write_str("loopback"),
            Scope::Private => f.write_str("private"),
            Scope::Any => f.write_str("any"),
            Scope::Networks(networks) => {
                for (index, network) in networks.iter().enumerate() {
                    let comma = if index == 0 { "" } else { "," };
                    write!(f, "{comma}{}/{}", network.address, network.bits)?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(scope: &str, address: &str) -> bool {
        scope.parse::<Scope>().unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn the_named_scopes() {
        let inside = [
            "127.0.0.1",
            "::1",
            "10.1.2.3",
            "172.31.0.1",
            "192.168.0.1",
            "169.254.1.1",
            "fe80::1",
            "fd00::1",
            "100.64.0.1",
            "100.127.255.255",
            "::ffff:10.0.0.1",
        ];
        for address in inside {
            assert!(contains("private", address), "{address}");
        }
        for address in ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2001:db8::1", "::ffff:8.8.8.8"] {
            assert!(!contains("private", address), "{address}");
            assert!(contains("any", address));
        }
        assert!(contains("loopback", "::ffff:127.0.0.1") && !contains("loopback", "10.0.0.1"));
        assert!(!contains("off", "127.0.0.1"));
    }

    #[test]
    fn lists_of_networks() {
        assert!(contains("192.168.1.0/24,fd00::/8", "192.168.1.255"));
        assert!(!contains("192.168.1.0/24,fd00::/8", "192.168.2.0"));
        assert!(contains("192.168.1.0/24, fd00::/8", "fdff::1"));
        assert!(contains("0.0.0.0/0", "8.8.8.8") && !contains("0.0.0.0/0", "::1"));
        assert!(contains("::/0", "2001:db8::1"));
        assert!(contains("10.0.0.1", "10.0.0.1") && !contains("10.0.0.1", "10.0.0.2"));
        for bad in ["", "all", "10.0.0.0/33", "10.0.0/8", "::/129", "10.0.0.0/x", "10.0.0.0/8,"] {
            assert!(bad.parse::<Scope>().is_err(), "{bad}");
        }
        assert_eq!("10.0.0.0/8,::1".parse::<Scope>().unwrap().to_string(), "10.0.0.0/8,::1/128");
    }
}
