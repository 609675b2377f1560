//! The protocols, and what is to be known of each without speaking it.

use std::fmt;

/// A protocol that the server speaks, and `chat` too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// chatd's own.
    #[default]
    Native,
    /// A TCP connection for each request (protocols.md, section 1).
    Request,
    /// Challenge and response over UDP, then a ciphered TCP connection (protocols.md, section 2).
    Session,
    /// Python literals over UDP (protocols.md, section 3).
    Datagram,
    /// A nickname and a shared room (protocols.md, section 5).
    Nick,
}

impl Protocol {
    /// All protocols, for tables that must be complete.
    pub const ALL: [Protocol; 5] =
        [Protocol::Native, Protocol::Request, Protocol::Session, Protocol::Datagram, Protocol::Nick];

    /// As command lines and documents call it.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Native => "native",
            Protocol::Request => "request",
            Protocol::Session => "session",
            Protocol::Datagram => "datagram",
            Protocol::Nick => "nick",
        }
    }

    /// The protocol that is called so.
    pub fn parse(name: &str) -> Option<Protocol> {
        Protocol::ALL.into_iter().find(|protocol| protocol.name() == name)
    }

    /// Whether its log-in has a password.
    pub fn has_passwords(self) -> bool {
        self != Protocol::Nick
    }

    /// Whether a message can be confirmed when it was delivered.
    pub fn has_receipts(self) -> bool {
        matches!(self, Protocol::Native | Protocol::Datagram)
    }

    /// Whether clients come with TCP connections,
    pub fn has_connections(self) -> bool {
        self != Protocol::Datagram
    }

    /// and whether they come with UDP datagrams.
    pub fn has_datagrams(self) -> bool {
        matches!(self, Protocol::Session | Protocol::Datagram)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
