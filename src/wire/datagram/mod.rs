//! The `datagram` protocol (protocols.md, section 3): Python literals over UDP.
//!
//! A client says a list of a dict and the digest of that dict's own bytes (`envelope`), a server the bare dict. `request` is
//! what clients say and `notice` what servers say, each in both directions. Nothing is known here of what was said before:
//! who acknowledges what, and what is sent again, is decided elsewhere.

mod envelope;
pub mod notice;
pub mod request;
pub mod server;

use std::borrow::Cow;

pub use notice::Notice;
pub use request::Request;

pub use super::literal::Manner;
use super::literal::{Literal, Malformed};
use super::parts::plain_parts;
use crate::hub::name::UserName;

/// What is read at once at the other end, in bytes: no datagram that is written here is longer. Clients may say more, as
/// much as a literal may have.
pub const WRITTEN_BYTES_MAX: usize = 2048;

// The keys of a dict, and of its header.
const HEADER: &str = "header";
const BODY: &str = "body";
const COMMAND: &str = "command";
const MESSAGE_TYPE: &str = "message_type";
const RECIPIENT_DATA: &str = "recipient_data";

// Message types that both sides use.
const MESSAGE_EXCHANGE: &str = "MESSAGE_EXCHANGE";
const ACKNOWLEDGEMENT: &str = "ACKNOWLEDGEMENT";

/// Why a client's datagram is no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// It is nothing of this protocol, and gets no answer.
    Malformed,
    /// The digest is not that of what stands there: `notice::INCORRECT` is the answer, which must not be given often, since
    /// nothing proves where it came from.
    WrongDigest,
}

impl From<Malformed> for Unread {
    fn from(_: Malformed) -> Unread {
        Unread::Malformed
    }
}

/// A dict with text as its keys.
fn dict<'a, const N: usize>(entries: [(&'a str, Literal<'a>); N]) -> Literal<'a> {
    Literal::Dict(entries.into_iter().map(|(key, value)| (key.into(), value)).collect())
}

/// `('host', port)`.
fn address<'a>(host: impl Into<Cow<'a, str>>, port: u16) -> Literal<'a> {
    Literal::Tuple(vec![Literal::Text(host.into()), Literal::Int(port.into())])
}

/// The text of a key, which must be there.
fn text_of<'a>(dict: &'a Literal<'_>, key: &str) -> Option<&'a str> {
    dict.get(key)?.as_text()
}

/// What a client says to a message, for whoever sent it.
pub fn received_by(user: &UserName) -> String {
    format!("Message received by {user}")
}

/// Cuts a text so that each part is a datagram of its own, `written` with it. Without a text one has `empty_bytes`. There is
/// one datagram at least.
fn in_parts(text: &str, manner: Manner, empty_bytes: usize, written: impl Fn(&str) -> Vec<u8>) -> Vec<Vec<u8>> {
    // Besides their characters the parts have everything else, and the letter before their quote.
    let room = WRITTEN_BYTES_MAX.saturating_sub(empty_bytes + 1);
    let parts = plain_parts(text, room, |c| manner.written_bytes_max(c));
    if parts.is_empty() { vec![written("")] } else { parts.into_iter().map(written).collect() }
}

/// One datagram, with as much of a text as it has room for: acknowledgements are counted, so one must not become two.
fn in_one(text: &str, manner: Manner, empty_bytes: usize, written: impl Fn(&str) -> Vec<u8>) -> Vec<Vec<u8>> {
    let mut parts = in_parts(text, manner, empty_bytes, written);
    parts.truncate(1);
    parts
}

#[cfg(test)]
mod tests;
