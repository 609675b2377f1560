//! What a `datagram` client says: the text of a Python literal and its digest, a datagram each.

use std::fmt::Write;
use std::net::SocketAddr;

use chatd::hub::credentials::{Password, PasswordDigest};
use chatd::hub::name::UserName;
use sha2::{Digest, Sha256};

/// What the client reads at once, in bytes.
pub const READ_BYTES_MAX: usize = 2048;

/// By which interpreter it runs, which the server tells by what it writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Python {
    Two,
    Three,
}

/// Writes the requests of one client.
#[derive(Clone, Copy, Debug)]
pub struct Writer {
    pub python: Python,
    pub server: SocketAddr,
}

impl Writer {
    pub fn log_in(self, user: &UserName, secret: &Password) -> Vec<u8> {
        let digest = PasswordDigest::of(secret).as_password();
        let body = self.dict(&[("username", user.as_str()), ("password", digest.as_str())]);
        self.request("INITIATE_SESSION", "LOGIN", &body)
    }

    pub fn log_out(self) -> Vec<u8> {
        self.request("DETROY_SESSION", "LOGOUT", "{}")
    }

    pub fn message(self, from: &UserName, to: &UserName, text: &str) -> Vec<u8> {
        self.said("SEND_MESSAGE", from, to.as_str(), text)
    }

    pub fn broadcast(self, from: &UserName, text: &str) -> Vec<u8> {
        self.said("SEND_ALL_MESSAGE", from, "", text)
    }

    pub fn contacts(self) -> Vec<u8> {
        self.request("DISPLAY_CONTACTS", "CONTACTS", "{}")
    }

    /// To whoever has sent a message.
    pub fn acknowledgement(self, sender: &str, words: &str) -> Vec<u8> {
        let body = self.dict(&[("username", sender), ("text", words)]);
        self.request("ACKNOWLEDGEMENT", "", &body)
    }

    fn said(self, command: &str, from: &UserName, to: &str, text: &str) -> Vec<u8> {
        let body = self.dict(&[("text", text), ("sender_username", from.as_str()), ("receiver_username", to)]);
        self.request("MESSAGE_EXCHANGE", command, &body)
    }

    fn request(self, message_type: &str, command: &str, body: &str) -> Vec<u8> {
        let at = match command {
            "CONTACTS" => "''".to_owned(),
            _ => format!("('{}', {})", self.server.ip(), self.server.port()),
        };
        let kind = self.dict(&[("message_type", message_type), ("command", command)]);
        let header = format!("{}, 'recipient_data': {at}}}", kind.trim_end_matches('}'));
        let dict = match self.python {
            Python::Two => format!("{{'body': {body}, 'header': {header}}}"),
            Python::Three => format!("{{'header': {header}, 'body': {body}}}"),
        };
        sealed(&dict)
    }

    fn dict(self, entries: &[(&str, &str)]) -> String {
        let entries: Vec<String> =
            entries.iter().map(|(key, value)| format!("'{key}': {}", self.literal(value))).collect();
        format!("{{{}}}", entries.join(", "))
    }

    /// Python 2 writes the bytes, Python 3 the characters.
    fn literal(self, text: &str) -> String {
        let mut out = String::from("'");
        for c in text.chars() {
            match c {
                '\'' | '\\' => out.extend(['\\', c]),
                ' '..='~' => out.push(c),
                _ if !c.is_ascii() && self.python == Python::Three => out.push(c),
                _ => c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| {
                    let _ = write!(out, "\\x{byte:02x}");
                }),
            }
        }
        out.push('\'');
        out
    }
}

/// A dict with the digest of its own text.
pub fn sealed(dict: &str) -> Vec<u8> {
    let digest = Sha256::digest(dict).iter().fold(String::new(), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    });
    format!("[{dict}, '{digest}']").into_bytes()
}

#[cfg(test)]
mod tests {
    use chatd::wire::datagram::{Manner, Request};

    use super::*;

    #[test]
    fn what_is_written_is_what_the_server_reads() {
        let name = |name: &str| UserName::parse(name).expect("a name");
        for (python, manner) in [(Python::Two, Manner::Plain), (Python::Three, Manner::Unicode)] {
            let writer = Writer { python, server: ([127, 0, 0, 1], 12_000).into() };
            let written = writer.message(&name("alice"), &name("Bob"), "it's \\ \"é☃\" {}\n");
            let (request, found) = Request::parse(&written).expect("a request");
            assert_eq!(found, manner);
            assert!(
                matches!(request, Request::Message { text: Ok(text), .. } if text.as_str() == "it's \\ \"é☃\" {}\n")
            );
            let secret = Password::parse("secret").expect("a password");
            for written in [
                writer.log_in(&name("alice"), &secret),
                writer.log_out(),
                writer.broadcast(&name("alice"), "hi"),
                writer.contacts(),
                writer.acknowledgement("Bob", "Message received by alice"),
            ] {
                assert!(Request::parse(&written).is_ok(), "{}", String::from_utf8_lossy(&written));
            }
        }
    }
}
