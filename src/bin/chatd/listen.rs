//! Listening sockets beside the main one, as the command line names them: `PROTO=ADDR:PORT`.

use std::net::SocketAddr;
use std::str::FromStr;

use chatd::wire::Protocol;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    pub protocol: Protocol,
    pub address: SocketAddr,
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Listen, String> {
        let names = Protocol::ALL.map(Protocol::name).join(", ");
        let Some((proto, address)) = text.split_once('=') else {
            return Err(format!("write it like nick=0.0.0.0:55555; protocols are {names}"));
        };
        let Some(protocol) = Protocol::parse(proto) else {
            return Err(format!("'{proto}' is no protocol that is served; those are {names}"));
        };
        match address.parse() {
            Ok(address) => Ok(Listen { protocol, address }),
            Err(_) => Err(format!("'{address}' is no address with a port; write it like 0.0.0.0:55555 or [::]:55555")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_a_protocol_and_an_address() {
        for (text, protocol, address) in [
            ("native=127.0.0.1:1", Protocol::Native, "127.0.0.1:1"),
            ("request=0.0.0.0:0", Protocol::Request, "0.0.0.0:0"),
            ("nick=[::]:55555", Protocol::Nick, "[::]:55555"),
        ] {
            assert_eq!(text.parse(), Ok(Listen { protocol, address: address.parse().unwrap() }));
        }
        for (text, says) in [
            ("", "write it like"),
            ("55555", "write it like"),
            ("irc=0.0.0.0:6667", "'irc' is no protocol"),
            ("Nick=0.0.0.0:1", "'Nick' is no protocol"),
            ("nick=0.0.0.0", "'0.0.0.0' is no address with a port"),
            ("nick=localhost:1", "'localhost:1' is no address"),
            ("nick=0.0.0.0:65536", "is no address"),
        ] {
            let error = text.parse::<Listen>().unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
