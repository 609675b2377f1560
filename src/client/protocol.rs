//! The protocols that chat can speak.

use std::fmt;

/// A protocol, by what it is called on the command line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// chatd's own.
    #[default]
    Native,
    Request,
    Nick,
}

impl Protocol {
    pub const ALL: [Protocol; 3] = [Protocol::Native, Protocol::Request, Protocol::Nick];

    pub fn name(self) -> &'static str {
        match self {
            Protocol::Native => "native",
            Protocol::Request => "request",
            Protocol::Nick => "nick",
        }
    }

    /// Whether its log-in has a password.
    pub fn has_passwords(self) -> bool {
        match self {
            Protocol::Native | Protocol::Request => true,
            Protocol::Nick => false,
        }
    }

    /// Whether a message can be confirmed when it was delivered.
    pub fn has_receipts(self) -> bool {
        self == Protocol::Native
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
