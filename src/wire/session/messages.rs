//! The messages of a session, as plain text; each is ciphered by itself.

use super::{CHAT_STARTED, Challenge, END_NOTIF, Named, UNREACHABLE, broken, named, user, within};
use crate::hub::time::LocalTime;
use crate::wire::{Text, TextError, UserName};

const CONNECT: &str = "CONNECT";
const CHAT_REQUEST: &str = "CHAT_REQUEST";
const CHAT_CHECK: &str = "CHAT_CHECK";
const END_REQUEST: &str = "END_REQUEST";
const END_CHECK: &str = "END_CHECK";
const HISTORY_REQUEST: &str = "HISTORY_REQ";
const LOG_OFF: &str = "log off";
/// What stands for the chat of a client that is in none.
const NO_CHAT: &str = "None";
const CONNECTED: &str = "CONNECTED\n";

/// What a client says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromClient {
    /// The first message: who comes is whoever was challenged with this.
    Connect(Challenge),
    ChatRequest(Named),
    /// The client has heard that the chat has begun. It may never say so.
    ChatCheck {
        id: LocalTime,
        peer: UserName,
    },
    /// `None`: it is in no chat.
    EndRequest(Option<LocalTime>),
    /// The client has heard that the chat has ended.
    EndCheck(LocalTime),
    HistoryRequest(Named),
    LogOff,
    /// Anything else: to whom it chats with.
    Text(Text),
}

/// What the server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromServer {
    Connected,
    ChatStarted {
        id: LocalTime,
        peer: UserName,
    },
    Unreachable(Named),
    EndNotif(LocalTime),
    /// Anything else: for people.
    Text(String),
}

impl FromClient {
    /// Takes one whole message.
    pub fn parse(plain: &str) -> Result<FromClient, TextError> {
        match parse_command(plain) {
            Some(command) => Ok(command),
            None => Text::replacing(plain.as_bytes()).map(FromClient::Text),
        }
    }

    pub fn write(&self) -> String {
        match self {
            FromClient::Connect(challenge) => format!("{CONNECT}({challenge})"),
            FromClient::ChatRequest(other) => format!("{CHAT_REQUEST}({other})"),
            FromClient::ChatCheck { id, peer } => format!("{CHAT_CHECK}({id},  {})", broken(peer.as_str())),
            FromClient::EndRequest(Some(id)) => format!("{END_REQUEST}({id})"),
            FromClient::EndRequest(None) => format!("{END_REQUEST}({NO_CHAT})"),
            FromClient::EndCheck(id) => format!("{END_CHECK}({id})"),
            FromClient::HistoryRequest(other) => format!("{HISTORY_REQUEST}({other})"),
            FromClient::LogOff => LOG_OFF.to_owned(),
            FromClient::Text(text) => text.as_str().to_owned(),
        }
    }
}

/// What is no text.
pub(super) fn parse_command(plain: &str) -> Option<FromClient> {
    if plain.trim().eq_ignore_ascii_case(LOG_OFF) {
        return Some(FromClient::LogOff);
    }
    let (word, _) = plain.split_once('(')?;
    let inside = within(plain, word)?;
    match word {
        CONNECT => Challenge::parse(inside).map(FromClient::Connect),
        CHAT_REQUEST => Some(FromClient::ChatRequest(named(inside))),
        CHAT_CHECK => {
            let (id, peer) = inside.split_once(",  ")?;
            Some(FromClient::ChatCheck { id: LocalTime::parse(id)?, peer: user(peer)? })
        }
        END_REQUEST if inside == NO_CHAT => Some(FromClient::EndRequest(None)),
        END_REQUEST => LocalTime::parse(inside).map(|id| FromClient::EndRequest(Some(id))),
        END_CHECK => LocalTime::parse(inside).map(FromClient::EndCheck),
        HISTORY_REQUEST => Some(FromClient::HistoryRequest(named(inside))),
        _ => None,
    }
}

impl FromServer {
    /// Takes one whole message.
    pub fn parse(plain: &str) -> FromServer {
        if plain == CONNECTED {
            return FromServer::Connected;
        }
        parse_notice(plain).unwrap_or_else(|| FromServer::Text(plain.to_owned()))
    }

    pub fn write(&self) -> String {
        match self {
            FromServer::Connected => CONNECTED.to_owned(),
            FromServer::ChatStarted { id, peer } => format!("{CHAT_STARTED}({id}, {})", broken(peer.as_str())),
            FromServer::Unreachable(other) => format!("{UNREACHABLE}({})", broken(other.as_str())),
            FromServer::EndNotif(id) => format!("{END_NOTIF}({id})"),
            FromServer::Text(text) => broken(text).into_owned(),
        }
    }
}

/// What each message of the server's begins with that is no text, whatever stands in its brackets.
pub(super) fn beginnings() -> [String; 4] {
    let word = |word: &str| format!("{word}(");
    [CONNECTED.to_owned(), word(CHAT_STARTED), word(UNREACHABLE), word(END_NOTIF)]
}

fn parse_notice(plain: &str) -> Option<FromServer> {
    let (word, _) = plain.split_once('(')?;
    let inside = within(plain, word)?;
    match word {
        CHAT_STARTED => {
            let (id, peer) = inside.split_once(", ")?;
            Some(FromServer::ChatStarted { id: LocalTime::parse(id)?, peer: user(peer)? })
        }
        UNREACHABLE => Some(FromServer::Unreachable(named(inside))),
        END_NOTIF => LocalTime::parse(inside).map(FromServer::EndNotif),
        _ => None,
    }
}
