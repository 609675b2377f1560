//! Bytes to hub types and back, one file a protocol, both directions, both sides.
//!
//! Pure: no socket, no clock, no state but a decoder's own. Knows the hub's types and nothing of net.

pub mod hex;
pub mod lines;
pub mod native;
pub mod nick;
pub mod parts;
pub mod recognise;
pub mod request;

pub use crate::hub::credentials::{PASSWORD_BYTES_MAX, Password, PasswordError};
pub use crate::hub::effect::{Listed, Pending, PrivacyList, ResumeToken};
pub use crate::hub::fingerprint::Fingerprint;
pub use crate::hub::id::{DeviceId, LogId, Number, RequestId};
pub use crate::hub::input::{DeviceClaim, Mechanism, Offer, Operation, PeerPort, Request};
pub use crate::hub::name::{NameError, UserName};
pub use crate::hub::scram;
pub use crate::hub::status::{Chat, Status, Traffic};
pub use crate::hub::text::{TEXT_BYTES_MAX, Text, TextError};

use crate::hub::effect::{Answer, Event};

/// The protocols that the server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    Native,
}

/// What a decoder makes of the bytes that are there.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing yet: more bytes are needed.
    Wait,
    /// The first `used` bytes were a request.
    Request { used: usize, id: Option<RequestId>, request: Request },
    /// The first `used` bytes were nothing that the hub needs to know of; `reply` is for the client.
    Refused { used: usize, reply: Vec<u8> },
    /// The client does not keep to the protocol. `reply` says why, then the connection ends.
    Violation { reply: Vec<u8> },
}

impl Protocol {
    /// All protocols, for tables that must be complete.
    pub const ALL: [Protocol; 1] = [Protocol::Native];

    /// How many bytes a request may have.
    pub const fn request_bytes_max(self) -> usize {
        match self {
            Protocol::Native => native::REQUEST_BYTES_MAX,
        }
    }

    /// Looks for the next request at the beginning of `bytes`. How the bytes were split on their way changes nothing.
    pub fn decode(self, bytes: &[u8]) -> Step {
        match self {
            Protocol::Native => native::server::decode(bytes),
        }
    }

    /// Whether `decode` would do anything but wait.
    pub fn may_decode(self, bytes: &[u8]) -> bool {
        match self {
            Protocol::Native => bytes.contains(&b'\n') || bytes.len() >= self.request_bytes_max(),
        }
    }

    /// Appends the answer to a request. Nothing, where the protocol has no word for it.
    pub fn encode_answer(self, id: Option<RequestId>, answer: &Answer, out: &mut Vec<u8>) {
        match self {
            Protocol::Native => native::server::encode_answer(id, answer, out),
        }
    }

    /// Appends an event. The bytes are the same for every recipient.
    pub fn encode_event(self, event: &Event, out: &mut Vec<u8>) {
        match self {
            Protocol::Native => native::server::encode_event(event, out),
        }
    }

    /// Appends why a connection ends before anybody has logged in on it.
    pub fn encode_farewell(self, farewell: Farewell, out: &mut Vec<u8>) {
        match self {
            Protocol::Native => native::server::encode_farewell(farewell, out),
        }
    }
}

/// Why net ends a connection on its own, without the hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// Nobody logged in in time.
    TooSlow,
    /// Too much was said before the log-in.
    TooMuch,
    /// Unencrypted protocols are not served to that address.
    OutOfScope,
    /// Too many connections wait for a log-in, and this one was drawn.
    TooMany,
    /// As many have logged in as there is room for.
    Full,
}
