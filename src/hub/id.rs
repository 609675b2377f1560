//! What things are called inside: newtypes, so that one number is never taken for another.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// One way to reach one client. Net makes it from a slot and the slot's generation and never reuses it,
/// so that an effect for a connection that is gone reaches nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId {
    pub slot: u32,
    pub generation: u32,
}

impl ConnectionId {
    /// No connection comes before this one,
    pub const FIRST: ConnectionId = ConnectionId { slot: 0, generation: 0 };
    /// and none after this one.
    pub const LAST: ConnectionId = ConnectionId { slot: u32::MAX, generation: u32::MAX };
}

/// The number that a client gave its request; the reply repeats it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// An account, for ever: never given to another name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(pub u32);

/// The place of a message in the server's one log, from 1. Later messages have higher numbers; some are never used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Number(pub u64);

impl Number {
    pub fn next(self) -> Number {
        Number(self.0 + 1)
    }
}

/// A client's own name for one installation of itself: 128 random bits, written as 32 hexadecimal digits. Clients of other
/// protocols have none; a user has at most one of each such protocol, under an id that nobody makes by chance.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId([u8; 16]);

impl DeviceId {
    /// Where a user's client of the `request` protocol is.
    pub const REQUEST: DeviceId = DeviceId::of_protocol(1);
    /// The same of the `nick` protocol. Whoever comes with it leaves nothing behind: it is never stored.
    pub const NICK: DeviceId = DeviceId::of_protocol(2);
    /// The same of the `session` protocol,
    pub const SESSION: DeviceId = DeviceId::of_protocol(3);
    /// and of the `datagram` protocol.
    pub const DATAGRAM: DeviceId = DeviceId::of_protocol(4);

    const fn of_protocol(protocol: u8) -> DeviceId {
        DeviceId((protocol as u128).to_be_bytes())
    }

    pub const fn from_bytes(bytes: [u8; 16]) -> DeviceId {
        DeviceId(bytes)
    }

    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Reads exactly 32 hexadecimal digits. Ids that are a protocol's are no client's own.
    pub fn parse(hex: &str) -> Option<DeviceId> {
        if hex.len() != 32 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let bits = u128::from_str_radix(hex, 16).ok()?;
        (bits > u128::from(u8::MAX)).then(|| DeviceId(bits.to_be_bytes()))
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Tells one log of messages from another: a server that lost its data begins a new one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId(pub u64);

impl LogId {
    /// Reads exactly 16 hexadecimal digits.
    pub fn parse(hex: &str) -> Option<LogId> {
        if hex.len() != 16 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        u64::from_str_radix(hex, 16).ok().map(LogId)
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Where a connection comes from, as far as lock-out tells sources apart: an IPv4 address or an IPv6 /64.
/// A peer's address has no `Display`, so that it can't slip into a text for somebody else.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source(IpAddr);

impl Source {
    /// The source of an address: v4-in-v6 counts as IPv4, of other IPv6 addresses the first 64 bits count.
    pub fn of(address: IpAddr) -> Source {
        Source(match address.to_canonical() {
            IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) >> 64 << 64).into()),
            v4 => v4,
        })
    }

    pub fn is_loopback(self) -> bool {
        // ::1 in a /64 is ::, which nobody else can be.
        self.0.is_loopback() || self.0.is_unspecified()
    }

    /// For the store and for log lines about failed log-ins.
    pub fn address(self) -> IpAddr {
        self.0
    }
}

/// The whole address that a connection comes from. It has no `Display`: it goes to nobody but those who may learn it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PeerAddress(IpAddr);

impl PeerAddress {
    /// v4-in-v6 counts as IPv4.
    pub fn of(address: IpAddr) -> PeerAddress {
        PeerAddress(address.to_canonical())
    }

    pub fn source(self) -> Source {
        Source::of(self.0)
    }

    /// For whoever has the user's consent.
    pub fn disclose(self) -> IpAddr {
        self.0
    }
}

/// Whoever sends datagrams, with or without a session: one of the server's sockets, and the address at its other end. It has
/// no `Display`, as an address has none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// Net's number of the socket.
    pub socket: u16,
    /// As it was seen: nothing proves it.
    pub address: SocketAddr,
}

impl Endpoint {
    pub fn peer(self) -> PeerAddress {
        PeerAddress::of(self.address.ip())
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Endpoint(..)")
    }
}

impl fmt::Debug for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PeerAddress(..)")
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_v4_address_or_a_v6_network() {
        let source = |text: &str| Source::of(text.parse().unwrap());
        assert_eq!(source("::ffff:10.0.0.1"), source("10.0.0.1"));
        assert_ne!(source("10.0.0.2"), source("10.0.0.1"));
        assert_eq!(source("2001:db8::1"), source("2001:db8::2"));
        assert_ne!(source("2001:db8:0:1::1"), source("2001:db8::1"));
        assert!(
            source("::1").is_loopback()
                && source("127.9.9.9").is_loopback()
                && source("::ffff:127.0.0.1").is_loopback()
        );
        assert!(!source("10.0.0.1").is_loopback());
    }

    #[test]
    fn a_device_id_is_32_hexadecimal_digits() {
        let id = DeviceId::parse("00112233445566778899aabbccddeeff").unwrap();
        assert_eq!(id.to_string(), "00112233445566778899aabbccddeeff");
        for bad in ["", "0", "+0112233445566778899aabbccddeeff", "00112233445566778899aabbccddeefg"] {
            assert_eq!(DeviceId::parse(bad), None, "{bad}");
        }
        for protocol in [DeviceId::REQUEST, DeviceId::NICK, DeviceId::from_bytes([0; 16])] {
            assert_eq!(DeviceId::parse(&protocol.to_string()), None, "{protocol}");
        }
        assert!(DeviceId::parse("00000000000000000000000000000100").is_some());
    }
}
