//! The messages of `datagram`, as both versions of Python write and read them.

use super::digest::hex_sha256;
use super::python::{Literal, Python};

/// What one read takes, in bytes.
pub const READ_SIZE: usize = 2048;

/// A datagram with a wrong digest, which any server answers: by this a test sees that nothing else was under way. It is longer
/// than the answer.
pub const PROBE: &str = "[{'body': 'What this says does not count, for it has no digest. It is as long as this because a server \
                         may have an answer only for what is longer than that.'}, \
                         '0000000000000000000000000000000000000000000000000000000000000000']";
/// What a server says to a datagram with a wrong digest.
pub const WRONG_DIGEST: &str = "Incorrect message format!";

/// What a client sends: the list of a dict and the digest of the dict's own text.
pub fn sealed(python: Python, command: &str, message_type: &str, recipient: Literal, body: Literal) -> String {
    let command = ("command", python.text(command));
    let message_type = ("message_type", python.text(message_type));
    let header = python.dict([command, message_type, ("recipient_data", recipient)]);
    let dict = python.dict([("header", header), ("body", body)]);
    let text = python.write(&dict);
    let digest = hex_sha256(text.as_bytes());
    format!("[{text}, '{digest}']")
}

/// What a server has sent, as a client reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub message_type: String,
    pub body: String,
    pub header: Literal,
}

impl Message {
    /// `None`: the client dies of it.
    pub fn read(python: Python, datagram: &[u8]) -> Option<Message> {
        let dict = python.read(datagram)?;
        let (header, body) = (dict.get("header")?, dict.get("body")?);
        if python == Python::Three && matches!(body, Literal::Bytes(_)) {
            return None;
        }
        Some(Message { message_type: header.get_text("message_type")?, body: body.text()?, header: header.clone() })
    }

    /// Why the header is not one that goes with this type. The clients do not look.
    pub fn flaw(&self) -> Option<&'static str> {
        let keys: &[&str] = match self.message_type.as_str() {
            "GREETING" | "ALERT" | "ERROR" => &["command", "message_type", "recipient_data"],
            "MESSAGE_EXCHANGE" => &["command", "message_type", "recipient_data", "sender_data"],
            "LIST_CONTACTS" | "ACKNOWLEDGEMENT" => &["command", "message_type"],
            _ => return Some("a type that no server sends"),
        };
        let is_address = |key| self.header.get(key).is_none_or(is_address_or_empty);
        if self.header.keys() != keys {
            Some("other keys")
        } else if self.header.get_text("command").as_deref() != Some("") {
            Some("a command")
        } else if !is_address("recipient_data") || !is_address("sender_data") {
            Some("an address that is none")
        } else {
            None
        }
    }

    /// Whom a client names when it acknowledges this. `None`: it has not got so many words, which is the end of the client.
    pub fn sender(&self) -> Option<&str> {
        self.body.split(' ').nth(3)?.split(':').next()
    }
}

fn is_address_or_empty(literal: &Literal) -> bool {
    match literal {
        Literal::Tuple(items) => match items.as_slice() {
            [host, Literal::Integer(port)] => host.text().is_some() && *port <= u16::MAX.into(),
            _ => false,
        },
        other => other.text().as_deref() == Some(""),
    }
}
