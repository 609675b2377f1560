//! The log-on: datagrams, plain but for the last.

use std::fmt;

use super::{Challenge, Response, SessionKey};
use super::{Named, READ_BYTES_MAX, named, within};

const HELLO: &str = "HELLO";
const RESPONSE: &str = "RESPONSE";
const CHALLENGE: &str = "CHALLENGE";
const SUCCESS: &str = "AUTH_SUCCESS";

/// What is said to a name that is nobody's.
pub const NOT_ON_LIST: &[u8] = b"Not on subscriber list.\n";
/// What is said to a wrong response.
pub const FAILURE: &[u8] = b"AUTH_FAIL";

/// What a client says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromClient {
    Hello(Named),
    Response { user: Named, response: Response },
}

/// What the server says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FromServer {
    Challenge(Challenge),
    NotOnList,
    Failure,
    /// Ciphered: the session is at this port.
    Success {
        challenge: Challenge,
        port: FourDigitPort,
    },
}

/// A port that this protocol can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FourDigitPort(u16);

impl FromClient {
    /// `None`: no datagram of this protocol.
    pub fn parse(datagram: &[u8]) -> Option<FromClient> {
        let text = bounded(datagram)?;
        if let Some(user) = within(text, HELLO) {
            return Some(FromClient::Hello(named(user)));
        }
        let (user, digits) = within(text, RESPONSE)?.rsplit_once(", ")?;
        Some(FromClient::Response { user: named(user), response: Response::parse(digits)? })
    }

    pub fn write(&self) -> Vec<u8> {
        let text = match self {
            FromClient::Hello(user) => format!("{HELLO}({user})"),
            FromClient::Response { user, response } => format!("{RESPONSE}({user}, {response})"),
        };
        text.into_bytes()
    }
}

impl FromServer {
    /// `key`: what the client would be answered with; it has one as soon as it has been challenged. `None`: no datagram of
    /// this protocol.
    pub fn parse(datagram: &[u8], key: Option<&SessionKey>) -> Option<FromServer> {
        match datagram {
            NOT_ON_LIST => return Some(FromServer::NotOnList),
            FAILURE => return Some(FromServer::Failure),
            _ => {}
        }
        match within(bounded(datagram)?, CHALLENGE) {
            Some(digits) => Challenge::parse(digits).map(FromServer::Challenge),
            None => parse_success(&key?.decipher(datagram).ok()?),
        }
    }
}

/// Whether what a client says begins like this.
pub(in crate::wire) fn opens(datagram: &[u8]) -> bool {
    [HELLO, RESPONSE].iter().any(|word| {
        let rest = datagram.strip_prefix(word.as_bytes());
        rest.is_some_and(|rest| rest.starts_with(b"("))
    })
}

/// What a client is challenged with.
pub fn challenge(challenge: Challenge) -> Vec<u8> {
    format!("{CHALLENGE}({challenge})").into_bytes()
}

/// What a client is told that has logged on, with its own key.
pub fn success(challenge: Challenge, port: FourDigitPort, key: &SessionKey) -> Vec<u8> {
    let mut out = Vec::new();
    key.encipher(&format!("{SUCCESS}({challenge}, {port})"), &mut out);
    out
}

fn parse_success(plain: &str) -> Option<FromServer> {
    let (challenge, port) = within(plain, SUCCESS)?.split_once(", ")?;
    Some(FromServer::Success { challenge: Challenge::parse(challenge)?, port: FourDigitPort::parse(port)? })
}

fn bounded(datagram: &[u8]) -> Option<&str> {
    (datagram.len() <= READ_BYTES_MAX).then(|| str::from_utf8(datagram).ok()).flatten()
}

impl FourDigitPort {
    pub const FIRST: u16 = 1000;
    pub const LAST: u16 = 9999;

    /// `None`: it has more or fewer digits.
    pub fn new(port: u16) -> Option<FourDigitPort> {
        (FourDigitPort::FIRST..=FourDigitPort::LAST).contains(&port).then_some(FourDigitPort(port))
    }

    pub fn get(self) -> u16 {
        self.0
    }

    fn parse(digits: &str) -> Option<FourDigitPort> {
        let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse().ok().filter(|_| is_number && digits.len() == 4).and_then(FourDigitPort::new)
    }
}

impl fmt::Display for FourDigitPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
