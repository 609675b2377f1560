//! The client's side: what `chat` writes, and what it makes of what a server says.
//!
//! Knows neither connections nor time: a request is the chunk of one connection, a delivery what another one brought, and a
//! chunk of the log-in what came until it was quiet.

use std::net::{IpAddr, SocketAddr};

use super::READ_BYTES_MAX;
use crate::wire::parts::{INDENT, indented_parts};
use crate::wire::{Password, Text, UserName};

/// The log-out of a client that was never logged in.
pub const LOG_OUT_UNKNOWN: &[u8] = b"logout,logout";

/// The answer to whatever the server says in the log-in and does not wait for.
const HEARD: &[u8] = b"ok";
const PROMPT: &str = "prompt";
const PROMPT_PASSWORD: &str = "prompt_password";
const EXIT: &str = "exit";
const AUTHENTICATED: &str = "Authenticated";
/// Where the name begins behind it.
const NAME_COLUMN: usize = 14;

const ONLINE: &str = "online";
const OFFLINE_MESSAGES: &str = "Offline messages:";
/// As it is spelled on the wire.
const NOT_DELIVERED: &str = "Your message could not bedelivered\nas the recipient has blocked you";
const PARTLY_DELIVERED: &str = "Your message could not be delivered to some recipients";
const NO_SUCH_USER: &str = "No such User in the system";
const DISPLACED: &str = "logout_duplicate";
const SHUTDOWN: &str = "shutdown";

/// What a client that is logged in asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    Forward {
        to: UserName,
        text: Text,
    },
    Broadcast {
        text: Text,
    },
    Online,
    Block {
        user: UserName,
    },
    Unblock {
        user: UserName,
    },
    GetAddress {
        user: UserName,
    },
    /// To whoever has asked for our address.
    Answer {
        asker: UserName,
        yes: bool,
    },
    /// The sign of life.
    Alive,
    LogOut,
}

/// The first chunk of the log-in. `port`: where we listen.
pub fn log_in(user: &UserName, password: &Password, port: u16) -> Vec<u8> {
    format!("newUser,{user},{},{port}", password.as_str()).into_bytes()
}

/// What to send, in order: each chunk on a connection of its own. It is one but for long texts.
pub fn encode(user: &UserName, request: &Request) -> Vec<Vec<u8>> {
    let one = |chunk: String| vec![chunk.into_bytes()];
    match request {
        Request::Forward { to, text } => text_parts(&format!("forward,{user},{to},"), text),
        Request::Broadcast { text } => text_parts(&format!("broadcast,{user},"), text),
        Request::Online => one(format!("online,{user}")),
        Request::Block { user: other } => one(format!("block,{user},{other}")),
        Request::Unblock { user: other } => one(format!("unblock,{user},{other}")),
        Request::GetAddress { user: other } => one(format!("getaddress,{user},{other}")),
        Request::Answer { asker, yes } => {
            one(format!("private_answer,{user},{asker},{}", if *yes { "yes" } else { "no" }))
        }
        Request::Alive => one(format!("alive,{user}")),
        Request::LogOut => one(format!("logout,{user}")),
    }
}

/// What to send to another client, without the server; as `encode`.
pub fn encode_private(user: &UserName, text: &Text) -> Vec<Vec<u8>> {
    text_parts(&format!("{user}:"), text)
}

/// Each part ends with the newline that a person has typed: existing servers pass it on, and keep texts by it.
fn text_parts(head: &str, text: &Text) -> Vec<Vec<u8>> {
    let room = READ_BYTES_MAX - head.len() - "\n".len();
    indented_parts(text.as_str(), room).into_iter().map(|part| format!("{head}{part}\n").into_bytes()).collect()
}

/// The log-in's dialogue.
#[derive(Debug, Default)]
pub struct LogIn {
    /// What the server has said last.
    said: Option<String>,
}

/// What a chunk of the dialogue asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Send this, and listen on.
    Reply(&'static [u8]),
    /// The log-in has succeeded, under this name; `None`: what stands there is no name.
    In(Option<UserName>),
    /// The server asks for a name and a password again. `said`: why.
    UnknownUser { said: String },
    /// It asks for the password again.
    WrongPassword { said: String },
    /// It is over: the user is locked out.
    LockedOut { said: String },
}

impl LogIn {
    /// Takes what came until it was quiet.
    pub fn hear(&mut self, chunk: &[u8]) -> Step {
        let text = String::from_utf8_lossy(chunk);
        let mut said = || self.said.take().unwrap_or_default();
        match &*text {
            PROMPT => Step::UnknownUser { said: said() },
            PROMPT_PASSWORD => Step::WrongPassword { said: said() },
            EXIT => Step::LockedOut { said: said() },
            text if text.contains(AUTHENTICATED) => {
                let name = text.get(NAME_COLUMN..).map(|name| UserName::parse(name.trim_end()));
                Step::In(name.and_then(Result::ok))
            }
            text => {
                self.said = Some(text.trim_end().to_owned());
                Step::Reply(HEARD)
            }
        }
    }

    /// What the server has said last, and nobody has been told.
    pub fn said(&self) -> Option<&str> {
        self.said.as_deref()
    }
}

/// What a delivery says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Of a user: to us, or to everyone; the protocol does not tell which.
    Text {
        from: UserName,
        text: String,
    },
    CameOnline(UserName),
    WentOffline(UserName),
    /// What follows was kept while we were offline.
    OfflineMessages,
    /// Who is online.
    Online(Vec<UserName>),
    Blocked(UserName),
    Unblocked(UserName),
    /// To unblock somebody who is not blocked.
    NotBlocked(UserName),
    /// A message of ours: its recipient has blocked us.
    NotDelivered,
    /// A broadcast of ours: somebody has blocked us.
    PartlyDelivered,
    NoSuchUser,
    /// Wants to know where we are.
    Asks(UserName),
    Address {
        user: UserName,
        address: SocketAddr,
    },
    NoAddress(NoAddress),
    /// The same user has logged in again.
    Displaced,
    Shutdown,
    /// For people.
    Free(String),
}

/// Why there is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoAddress {
    Offline,
    Blocked,
    No,
}

/// Takes what one connection brought. Words that mean something to a program count only if they are all there is, so that
/// nobody's text can say them; what is for people may be several lines.
pub fn decode(delivery: &[u8]) -> Vec<Heard> {
    let text = String::from_utf8_lossy(delivery);
    let text = text.strip_suffix('\n').unwrap_or(&text);
    if let Some(word) = decode_word(text) {
        return vec![word];
    }
    let mut heard = Vec::new();
    let mut rest = Some(text);
    while let Some(text) = rest {
        let (line, next) = first_line(text);
        add_line(line, &mut heard);
        rest = next;
    }
    heard
}

fn decode_word(text: &str) -> Option<Heard> {
    let (word, rest) = text.split_once(',').unwrap_or((text, ""));
    let name = |text: &str| UserName::parse(text).ok();
    match word {
        DISPLACED if text == DISPLACED => Some(Heard::Displaced),
        SHUTDOWN if text == SHUTDOWN => Some(Heard::Shutdown),
        // A name that no client could write to is of no use.
        ONLINE => Some(Heard::Online(rest.split(',').filter_map(name).collect())),
        "private_consent" => name(rest).map(Heard::Asks),
        "getaddress" => decode_address(rest),
        _ => None,
    }
}

fn decode_address(rest: &str) -> Option<Heard> {
    match *rest.split(',').collect::<Vec<_>>() {
        ["offline"] => Some(Heard::NoAddress(NoAddress::Offline)),
        ["blocked"] => Some(Heard::NoAddress(NoAddress::Blocked)),
        ["no"] => Some(Heard::NoAddress(NoAddress::No)),
        [user, ip, port] => {
            let (user, ip) = (UserName::parse(user).ok()?, ip.parse::<IpAddr>().ok()?);
            Some(Heard::Address { user, address: SocketAddr::new(ip, port.parse().ok()?) })
        }
        _ => None,
    }
}

/// The first line and what follows it. One of the fixed texts has two lines.
fn first_line(text: &str) -> (&str, Option<&str>) {
    let end = match text.strip_prefix(NOT_DELIVERED) {
        Some(rest) if rest.is_empty() || rest.starts_with('\n') => NOT_DELIVERED.len(),
        _ => text.find('\n').unwrap_or(text.len()),
    };
    (&text[..end], text.get(end + 1..))
}

fn add_line(line: &str, heard: &mut Vec<Heard>) {
    if let (Some(more), Some(Heard::Text { text, .. })) = (line.strip_prefix(INDENT), heard.last_mut()) {
        text.push('\n');
        text.push_str(more);
        return;
    }
    match (decode_line(line), heard.last_mut()) {
        (Heard::Free(more), Some(Heard::Free(text))) => {
            text.push('\n');
            text.push_str(&more);
        }
        (line, _) => heard.push(line),
    }
}

fn decode_line(line: &str) -> Heard {
    match line {
        NOT_DELIVERED => Heard::NotDelivered,
        PARTLY_DELIVERED => Heard::PartlyDelivered,
        NO_SUCH_USER => Heard::NoSuchUser,
        line if line.trim_end() == OFFLINE_MESSAGES => Heard::OfflineMessages,
        line => decode_note(line)
            .or_else(|| decode_block(line))
            .or_else(|| decode_text(line))
            .unwrap_or_else(|| Heard::Free(line.to_owned())),
    }
}

fn decode_note(line: &str) -> Option<Heard> {
    let note = line.strip_prefix("note:")?;
    let about = |end| note.strip_suffix(end).and_then(|name| UserName::parse(name).ok());
    let presence =
        about(" is online!").map(Heard::CameOnline).or_else(|| about(" is offline!").map(Heard::WentOffline));
    Some(presence.unwrap_or_else(|| Heard::Free(note.to_owned())))
}

fn decode_block(line: &str) -> Option<Heard> {
    let (name, what) = line.strip_prefix("User ")?.split_once(' ')?;
    let name = UserName::parse(name).ok()?;
    match what {
        "has been blocked" => Some(Heard::Blocked(name)),
        "is unblocked" => Some(Heard::Unblocked(name)),
        "is not in the blocked list" => Some(Heard::NotBlocked(name)),
        _ => None,
    }
}

fn decode_text(line: &str) -> Option<Heard> {
    let (from, text) = line.split_once(':')?;
    Some(Heard::Text { from: UserName::parse(from).ok()?, text: text.to_owned() })
}

#[cfg(test)]
mod tests;
