//! What clients say.

use super::{
    ACKNOWLEDGEMENT, BODY, COMMAND, HEADER, Literal, MESSAGE_EXCHANGE, MESSAGE_TYPE, Manner, RECIPIENT_DATA, Unread,
    address, dict, envelope, in_one, in_parts, text_of,
};
use crate::wire::hex::{hex, unhex};
use crate::wire::named::Named;
use crate::wire::{PasswordDigest, Text, TextError};

const USERNAME: &str = "username";
const PASSWORD: &str = "password";
const SENDER: &str = "sender_username";
const RECEIVER: &str = "receiver_username";
const TEXT: &str = "text";

// Commands, and their message types.
const LOGIN: &str = "LOGIN";
const INITIATE_SESSION: &str = "INITIATE_SESSION";
const LOGOUT: &str = "LOGOUT";
const DESTROY_SESSION: &str = "DESTROY_SESSION";
/// As existing clients spell it, and so as it is written.
const DETROY_SESSION: &str = "DETROY_SESSION";
const SEND_MESSAGE: &str = "SEND_MESSAGE";
const SEND_ALL_MESSAGE: &str = "SEND_ALL_MESSAGE";
const CONTACTS: &str = "CONTACTS";
const DISPLAY_CONTACTS: &str = "DISPLAY_CONTACTS";
/// That of an acknowledgement.
const NO_COMMAND: &str = "";

/// A request. Whether it may be made in the name that it has is not known here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    LogIn {
        user: Named,
        password: PasswordDigest,
    },
    LogOut,
    Message {
        from: Named,
        to: Named,
        text: Result<Text, TextError>,
    },
    Broadcast {
        from: Named,
        text: Result<Text, TextError>,
    },
    Contacts,
    /// A message of `sender`'s has come.
    Acknowledgement {
        sender: Named,
        /// For people.
        text: String,
    },
}

/// Where the server is, as the person says it.
#[derive(Clone, Copy, Debug)]
pub struct Server<'a> {
    pub host: &'a str,
    pub port: u16,
}

impl Request {
    /// Takes a whole datagram. Comes back too: in which manner its client is to be written to.
    pub fn parse(datagram: &[u8]) -> Result<(Request, Manner), Unread> {
        let (dict, manner) = envelope::open(datagram)?;
        let request = parse_dict(&dict).ok_or(Unread::Malformed)?;
        Ok((request, manner))
    }

    /// The datagrams that say it, exactly as Python 2 would write them: one, but for long texts. A text that is none is said
    /// as an empty one.
    pub fn write(&self, server: &Server<'_>) -> Vec<Vec<u8>> {
        match self {
            Request::LogIn { user, password } => {
                let digest = hex(&password.0);
                let body = dict([(USERNAME, user.as_str().into()), (PASSWORD, digest.as_str().into())]);
                vec![server.seal(INITIATE_SESSION, LOGIN, body)]
            }
            Request::LogOut => vec![server.seal(DETROY_SESSION, LOGOUT, dict([]))],
            Request::Message { from, to, text } => server.messages(SEND_MESSAGE, from, to.as_str(), text),
            Request::Broadcast { from, text } => server.messages(SEND_ALL_MESSAGE, from, "", text),
            Request::Contacts => vec![envelope::seal(&whole(DISPLAY_CONTACTS, CONTACTS, dict([]), "".into()))],
            Request::Acknowledgement { sender, text } => {
                let written = |text: &str| {
                    let body = dict([(USERNAME, sender.as_str().into()), (TEXT, text.into())]);
                    server.seal(ACKNOWLEDGEMENT, NO_COMMAND, body)
                };
                in_one(text, Manner::Plain, written("").len(), written)
            }
        }
    }
}

impl Server<'_> {
    fn messages(&self, command: &str, from: &Named, to: &str, text: &Result<Text, TextError>) -> Vec<Vec<u8>> {
        let written = |text: &str| {
            let body = dict([(TEXT, text.into()), (SENDER, from.as_str().into()), (RECEIVER, to.into())]);
            self.seal(MESSAGE_EXCHANGE, command, body)
        };
        in_parts(text.as_ref().map_or("", Text::as_str), Manner::Plain, written("").len(), written)
    }

    fn seal(&self, message_type: &str, command: &str, body: Literal<'_>) -> Vec<u8> {
        envelope::seal(&whole(message_type, command, body, address(self.host, self.port)))
    }
}

/// The dict of a request, its keys in Python 2's order.
fn whole<'a>(message_type: &'a str, command: &'a str, body: Literal<'a>, recipient: Literal<'a>) -> Literal<'a> {
    let header = dict([(MESSAGE_TYPE, message_type.into()), (COMMAND, command.into()), (RECIPIENT_DATA, recipient)]);
    dict([(BODY, body), (HEADER, header)])
}

fn parse_dict(dict: &Literal<'_>) -> Option<Request> {
    let (header, body) = (dict.get(HEADER)?, dict.get(BODY)?);
    let is_well_formed = matches!(body, Literal::Dict(_)) && header.get(RECIPIENT_DATA).is_some_and(is_recipient);
    if !is_well_formed {
        return None;
    }
    let named = |key| text_of(body, key).map(Named::parse);
    let text = || text_of(body, TEXT).map(|text| Text::replacing(text.as_bytes()));
    Some(match (text_of(header, COMMAND)?, text_of(header, MESSAGE_TYPE)?) {
        (LOGIN, INITIATE_SESSION) => {
            let password = PasswordDigest(unhex(text_of(body, PASSWORD)?)?);
            Request::LogIn { user: named(USERNAME)?, password }
        }
        (LOGOUT, DESTROY_SESSION | DETROY_SESSION) => Request::LogOut,
        (SEND_MESSAGE, MESSAGE_EXCHANGE) => {
            Request::Message { from: named(SENDER)?, to: named(RECEIVER)?, text: text()? }
        }
        (SEND_ALL_MESSAGE, MESSAGE_EXCHANGE) => Request::Broadcast { from: named(SENDER)?, text: text()? },
        (CONTACTS, DISPLAY_CONTACTS) => Request::Contacts,
        (NO_COMMAND, ACKNOWLEDGEMENT) => {
            Request::Acknowledgement { sender: named(USERNAME)?, text: text_of(body, TEXT)?.to_owned() }
        }
        _ => return None,
    })
}

/// Where a client thinks that it sends to. Nothing depends on it.
fn is_recipient(value: &Literal<'_>) -> bool {
    match value {
        Literal::Text(text) => text.is_empty(),
        Literal::Tuple(pair) => matches!(pair[..], [Literal::Text(_), Literal::Int(0..=0xffff)]),
        _ => false,
    }
}
