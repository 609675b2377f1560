//! What servers say.
//!
//! A datagram is the same for all who are told it, but for the addresses at its two ends. So it is written in two steps: a
//! piece, which ends where the first address stands, and what `seal` puts behind it.

use std::fmt;
use std::io::Write;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

use super::{
    ACKNOWLEDGEMENT, BODY, COMMAND, HEADER, Literal, MESSAGE_EXCHANGE, MESSAGE_TYPE, Malformed, Manner, dict, in_one,
    in_parts, text_of,
};
use crate::wire::UserName;
use crate::wire::named::Named;

const GREETING: &str = "GREETING";
const ALERT: &str = "ALERT";
const LIST_CONTACTS: &str = "LIST_CONTACTS";
const ERROR: &str = "ERROR";

const GREETINGS: &str = "Greetings from the Chat Room!";
const IS_ONLINE: &str = " is online!";
const IS_OFFLINE: &str = " is offline now.";
/// What stands behind the name of somebody who gets a message later,
const KEPT: &str = " is not here now: the message waits.";
/// and what is said of a message to all that nobody gets.
const UNHEARD: &str = "Nobody else is here now to read it.";
/// What stands before the sender's name: the name is the fourth word of both.
const PRIVATE: &str = "Private message from ";
const GROUP: &str = "Group Message from ";
/// What stands between the sender's name and the text.
const SAYS: &str = ": ";
/// What stands between a name of the contacts and its address.
const AT: &str = " : ";

/// What stands before the addresses, and behind them.
const BEFORE_SENDER: &str = ", 'sender_data': ";
const BEFORE_RECIPIENT: &str = ", 'recipient_data': ";
const BEHIND: &str = "}}";

/// What every piece begins with; then comes the quote, perhaps with a letter before it.
const BEFORE_BODY: &str = "{'body': ";

/// The longest addresses that there are.
const LONGEST: Ends = Ends { client: FARTHEST, server: FARTHEST };
const FARTHEST: SocketAddr = SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::from_bits(u128::MAX), u16::MAX, 0, 0));

/// The error that answers a wrong digest.
pub const INCORRECT: &str = "Incorrect message format!";
/// The error that answers whatever comes from where nobody has logged in.
pub const LOG_IN_FIRST: &str = "Log in first.";
/// What stands before why a session is over: there is no connection whose end would say so.
pub const LOGGED_OUT: &str = "you are logged out: ";

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The log-in has succeeded.
    Greeting,
    Online(UserName),
    Offline(UserName),
    /// The message that was for this user waits until they are there.
    Kept(UserName),
    /// What was said to all has reached nobody.
    Unheard,
    /// Anything else that only people read.
    Alert(String),
    /// The client acknowledges it by the name that stands in it.
    Message {
        /// Nobody's, where the server itself says something.
        from: Named,
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
        let sealed = |piece: Vec<u8>| {
            let mut out = Vec::new();
            seal(&piece, ends, &mut out);
            out
        };
        self.pieces(manner).into_iter().map(sealed).collect()
    }

    /// The same up to their addresses, whatever those are.
    pub(super) fn pieces(&self, manner: Manner) -> Vec<Vec<u8>> {
        let (head, text) = self.body();
        let written = |part: &str| self.piece(&format!("{head}{part}"), manner);
        let mut longest = Vec::new();
        seal(&written(""), &LONGEST, &mut longest);
        match self {
            Notice::Acknowledgement(_) => in_one(&text, manner, longest.len(), written),
            _ => in_parts(&text, manner, longest.len(), written),
        }
    }

    /// What each datagram of it begins with, and what is cut if it is too long.
    fn body(&self) -> (String, String) {
        let one = |text: String| (String::new(), text);
        match self {
            Notice::Greeting => one(GREETINGS.to_owned()),
            Notice::Online(user) => one(format!("{user}{IS_ONLINE}")),
            Notice::Offline(user) => one(format!("{user}{IS_OFFLINE}")),
            Notice::Kept(user) => one(format!("{user}{KEPT}")),
            Notice::Unheard => one(UNHEARD.to_owned()),
            Notice::Alert(text) | Notice::Acknowledgement(text) | Notice::Error(text) => one(text.clone()),
            Notice::Message { from, to, text } => (format!("{}{from}{SAYS}", to.words()), text.clone()),
            Notice::Contact { user, address } => one(format!("{user}{AT}{}{IS_ONLINE}", End(*address))),
        }
    }

    /// One part. Its header has addresses only where the protocol has them.
    fn piece(&self, body: &str, manner: Manner) -> Vec<u8> {
        let header = dict([(MESSAGE_TYPE, self.message_type().into()), (COMMAND, "".into())]);
        let mut out = String::new();
        dict([(BODY, body.into()), (HEADER, header)]).write(manner, &mut out);
        if let Some(before_address) = self.before_address() {
            out.truncate(out.len() - BEHIND.len());
            out.push_str(before_address);
        }
        out.into_bytes()
    }

    /// What stands before the first address.
    fn before_address(&self) -> Option<&'static str> {
        match self {
            Notice::Message { .. } => Some(BEFORE_SENDER),
            Notice::Contact { .. } | Notice::Acknowledgement(_) => None,
            Notice::Greeting
            | Notice::Online(_)
            | Notice::Offline(_)
            | Notice::Kept(_)
            | Notice::Unheard
            | Notice::Alert(_)
            | Notice::Error(_) => Some(BEFORE_RECIPIENT),
        }
    }

    fn message_type(&self) -> &'static str {
        match self {
            Notice::Greeting => GREETING,
            Notice::Online(_) | Notice::Offline(_) | Notice::Kept(_) | Notice::Unheard | Notice::Alert(_) => ALERT,
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

/// Appends the datagram that a piece is between these ends.
pub(super) fn seal(piece: &[u8], ends: &Ends, out: &mut Vec<u8>) {
    out.extend_from_slice(piece);
    if piece.ends_with(BEFORE_SENDER.as_bytes()) {
        write_end(ends.server, out);
        out.extend_from_slice(BEFORE_RECIPIENT.as_bytes());
    } else if !piece.ends_with(BEFORE_RECIPIENT.as_bytes()) {
        return;
    }
    write_end(ends.client, out);
    out.extend_from_slice(BEHIND.as_bytes());
}

/// Whom a client names that acknowledges this piece. `None`: it is no message.
pub(super) fn sender(piece: &[u8]) -> Option<&[u8]> {
    if !piece.ends_with(BEFORE_SENDER.as_bytes()) {
        return None;
    }
    let body = piece.strip_prefix(BEFORE_BODY.as_bytes())?;
    let (_quote, body) = body.strip_prefix(b"u").unwrap_or(body).split_first()?;
    let said =
        [Audience::OneUser, Audience::Everyone].into_iter().find_map(|to| body.strip_prefix(to.words().as_bytes()))?;
    said.split(|&byte| byte == SAYS.as_bytes()[0]).next()
}

fn write_end(at: SocketAddr, out: &mut Vec<u8>) {
    write!(out, "{}", End(at)).expect("a vector takes everything");
}

/// `('host', port)`.
struct End(SocketAddr);

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "('{}', {})", self.0.ip().to_canonical(), self.0.port())
    }
}

fn parse_dict(dict: &Literal<'_>) -> Option<Notice> {
    let body = text_of(dict, BODY)?;
    let known = match text_of(dict.get(HEADER)?, MESSAGE_TYPE)? {
        GREETING => Some(Notice::Greeting),
        ALERT => parse_alert(body),
        MESSAGE_EXCHANGE => parse_message(body, Audience::OneUser).or_else(|| parse_message(body, Audience::Everyone)),
        LIST_CONTACTS => parse_contact(body),
        ACKNOWLEDGEMENT => Some(Notice::Acknowledgement(body.to_owned())),
        ERROR => Some(Notice::Error(body.to_owned())),
        _ => return None,
    };
    // People can read the rest: another server's users may have names that are none here.
    Some(known.unwrap_or_else(|| Notice::Alert(body.to_owned())))
}

/// What there is more to than people can read.
fn parse_alert(body: &str) -> Option<Notice> {
    let of = |words| body.strip_suffix(words).and_then(|name| UserName::parse(name).ok());
    let online = || of(IS_ONLINE).map(Notice::Online);
    let offline = || of(IS_OFFLINE).map(Notice::Offline);
    let kept = || of(KEPT).map(Notice::Kept);
    online().or_else(offline).or_else(kept).or_else(|| (body == UNHEARD).then_some(Notice::Unheard))
}

fn parse_message(body: &str, to: Audience) -> Option<Notice> {
    let (from, text) = body.strip_prefix(to.words())?.split_once(SAYS)?;
    let is_one_word = !from.is_empty() && !from.contains([' ', ':']);
    is_one_word.then(|| Notice::Message { from: Named::parse(from), to, text: text.to_owned() })
}

fn parse_contact(body: &str) -> Option<Notice> {
    let (user, at) = body.strip_suffix(IS_ONLINE)?.split_once(AT)?;
    let Literal::Tuple(pair) = Literal::parse(at.as_bytes()).ok()? else { return None };
    let [Literal::Text(host), Literal::Int(port)] = &pair[..] else { return None };
    let address = SocketAddr::new(host.parse::<IpAddr>().ok()?, u16::try_from(*port).ok()?);
    Some(Notice::Contact { user: UserName::parse(user).ok()?, address })
}
