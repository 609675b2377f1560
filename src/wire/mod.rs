//! Bytes to hub types and back, one file a protocol, both directions, both sides.
//!
//! Pure: no socket, no clock, no state but a decoder's own. Knows the hub's types and nothing of net.

pub mod conversation;
pub mod datagram;
pub mod lines;
pub mod literal;
pub mod named;
pub mod native;
pub mod nick;
pub mod parts;
pub mod pieces;
mod protocol;
pub mod recognise;
pub mod request;
pub mod session;
mod words;

pub use conversation::{Chunking, Conversation, Dialect, Lull};
pub use pieces::{Kind, Pieces};
pub use protocol::Protocol;

pub use crate::hub::copies::PAUSE_FIRST as PAUSE_BEFORE_COPY;
pub use crate::hub::credentials::{PASSWORD_BYTES_MAX, Password, PasswordDigest, PasswordError};
pub use crate::hub::effect::{Listed, Pending, PrivacyList, ResumeToken};
pub use crate::hub::fingerprint::Fingerprint;
pub use crate::hub::hex;
pub use crate::hub::id::{DeviceId, LogId, Number, RequestId};
pub use crate::hub::input::{DeviceClaim, Mechanism, Offer, Operation, PeerPort, Request};
pub use crate::hub::name::{NameError, UserName};
pub use crate::hub::scram;
pub use crate::hub::status::{Chat, Status, Traffic};
pub use crate::hub::text::{TEXT_BYTES_MAX, Text, TextError};
pub use crate::hub::time::LocalTime;

/// What a decoder makes of the bytes that are there.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing yet: more bytes are needed, or a lull.
    Wait,
    /// The first `used` bytes were a request.
    Request { used: usize, id: Option<RequestId>, request: Request },
    /// All bytes were one request, in the name of `user`, on a connection that is none of a session's.
    Posted { used: usize, user: UserName, id: Option<RequestId>, request: Request },
    /// The first `used` bytes were a step of the dialogue that the hub need not know of; `reply` comes next, as a chunk of
    /// its own.
    Heard { used: usize, reply: Vec<u8> },
    /// The first `used` bytes were nothing that the hub needs to know of; `reply` is for the client.
    Refused { used: usize, reply: Vec<u8> },
    /// The client does not keep to the protocol, or the dialogue is over. `reply` says so, then the connection ends.
    Violation { reply: Vec<u8> },
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
