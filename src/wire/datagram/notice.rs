//! What servers say.

use std::net::{IpAddr, SocketAddr};

use super::{
    ACKNOWLEDGEMENT, BODY, COMMAND, HEADER, Literal, MESSAGE_EXCHANGE, MESSAGE_TYPE, Malformed, Manner, RECIPIENT_DATA,
    SENDER_DATA, address, dict, in_one, in_parts, text_of,
};
use crate::wire::UserName;

const GREETING: &str = "GREETING";
const ALERT: &str = "ALERT";
const LIST_CONTACTS: &str = "LIST_CONTACTS";
const ERROR: &str = "ERROR";

const GREETINGS: &str = "Greetings from the Chat Room!";
const IS_ONLINE: &str = " is online!";
/// What stands before the sender's name: the name is the fourth word of both.
const PRIVATE: &str = "Private message from ";
const GROUP: &str = "Group Message from ";
/// What stands between the sender's name and the text.
const SAYS: &str = ": ";
/// What stands between a name of the contacts and its address.
const AT: &str = " : ";

/// The error that answers a wrong digest.
pub const INCORRECT: &str = "Incorrect message format!";

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The log-in has succeeded.
    Greeting,
    Online(UserName),
    /// Anything else that only people read.
    Alert(String),
    /// The client acknowledges it by the name that stands in it.
    Message {
        from: UserName,
        to: Audience,
        text: String,
    },
    Contact {
        user: UserName,
        /// By this server the server's own: a client's is nobody's business.
        address: SocketAddr,
    },
    /// What whoever got a message says to it.
    Acknowledgement(String),
    Error(String),
}

/// To whom a message was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    OneUser,
    Everyone,
}

/// The two ends of a notice.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    pub client: SocketAddr,
    pub server: SocketAddr,
}

impl Notice {
    /// Takes a whole datagram.
    pub fn parse(datagram: &[u8]) -> Result<Notice, Malformed> {
        parse_dict(&Literal::parse(datagram)?).ok_or(Malformed::Syntax)
    }

    /// The datagrams that say it: one, but for long texts. Each part of a message is a message to its client.
    pub fn write(&self, ends: &Ends, manner: Manner) -> Vec<Vec<u8>> {
        let (head, text) = self.body();
        let written = |part: &str| {
            let mut out = String::new();
            self.dict(&format!("{head}{part}"), ends).write(manner, &mut out);
            out.into_bytes()
        };
        match self {
            Notice::Acknowledgement(_) => in_one(&text, manner, written),
            _ => in_parts(&text, manner, written),
        }
    }

    /// What each datagram of it begins with, and what is cut if it is too long.
    fn body(&self) -> (String, String) {
        let one = |text: String| (String::new(), text);
        match self {
            Notice::Greeting => one(GREETINGS.to_owned()),
            Notice::Online(user) => one(format!("{user}{IS_ONLINE}")),
            Notice::Alert(text) | Notice::Acknowledgement(text) | Notice::Error(text) => one(text.clone()),
            Notice::Message { from, to, text } => (format!("{}{from}{SAYS}", to.words()), text.clone()),
            Notice::Contact { user, address } => {
                one(format!("{user}{AT}('{}', {}){IS_ONLINE}", address.ip().to_canonical(), address.port()))
            }
        }
    }

    /// The dict of one part. Its header has addresses only where the protocol has them.
    fn dict<'a>(&self, body: &'a str, ends: &Ends) -> Literal<'a> {
        let mut header = vec![(MESSAGE_TYPE.into(), self.message_type().into()), (COMMAND.into(), "".into())];
        if let Notice::Message { .. } = self {
            header.push((SENDER_DATA.into(), end(ends.server)));
        }
        if !matches!(self, Notice::Contact { .. } | Notice::Acknowledgement(_)) {
            header.push((RECIPIENT_DATA.into(), end(ends.client)));
        }
        dict([(BODY, body.into()), (HEADER, Literal::Dict(header))])
    }

    fn message_type(&self) -> &'static str {
        match self {
            Notice::Greeting => GREETING,
            Notice::Online(_) | Notice::Alert(_) => ALERT,
            Notice::Message { .. } => MESSAGE_EXCHANGE,
            Notice::Contact { .. } => LIST_CONTACTS,
            Notice::Acknowledgement(_) => ACKNOWLEDGEMENT,
            Notice::Error(_) => ERROR,
        }
    }
}

impl Audience {
    fn words(self) -> &'static str {
        match self {
            Audience::OneUser => PRIVATE,
            Audience::Everyone => GROUP,
        }
    }
}

fn end(at: SocketAddr) -> Literal<'static> {
    address(at.ip().to_canonical().to_string(), at.port())
}

fn parse_dict(dict: &Literal<'_>) -> Option<Notice> {
    let body = text_of(dict, BODY)?;
    let known = match text_of(dict.get(HEADER)?, MESSAGE_TYPE)? {
        GREETING => Some(Notice::Greeting),
        ALERT => body.strip_suffix(IS_ONLINE).and_then(|name| UserName::parse(name).ok()).map(Notice::Online),
        MESSAGE_EXCHANGE => parse_message(body, Audience::OneUser).or_else(|| parse_message(body, Audience::Everyone)),
        LIST_CONTACTS => parse_contact(body),
        ACKNOWLEDGEMENT => Some(Notice::Acknowledgement(body.to_owned())),
        ERROR => Some(Notice::Error(body.to_owned())),
        _ => return None,
    };
    // People can read the rest: another server's users may have names that are none here.
    Some(known.unwrap_or_else(|| Notice::Alert(body.to_owned())))
}

fn parse_message(body: &str, to: Audience) -> Option<Notice> {
    let (from, text) = body.strip_prefix(to.words())?.split_once(SAYS)?;
    Some(Notice::Message { from: UserName::parse(from).ok()?, to, text: text.to_owned() })
}

fn parse_contact(body: &str) -> Option<Notice> {
    let (user, at) = body.strip_suffix(IS_ONLINE)?.split_once(AT)?;
    let Literal::Tuple(pair) = Literal::parse(at.as_bytes()).ok()? else { return None };
    let [Literal::Text(host), Literal::Int(port)] = &pair[..] else { return None };
    let address = SocketAddr::new(host.parse::<IpAddr>().ok()?, u16::try_from(*port).ok()?);
    Some(Notice::Contact { user: UserName::parse(user).ok()?, address })
}
