//! The server's side of a session: what a client says, and what it is told.
//!
//! What is written is plain text, the same for all who are told it, one message a piece; `Member::seal` makes it one
//! client's.

use super::glued::{self, CONNECT_BYTES, Endings};
use super::messages::{FromClient, FromServer};
use super::texts::{self, Line};
use super::{MESSAGE_BYTES_MAX, Named, SessionKey};
use crate::hub::effect::{Answer, Event, Refusal, Reply};
use crate::hub::id::RequestId;
use crate::hub::input::Request;
use crate::hub::message::{HistoryPage, Message, Sender};
use crate::hub::name::UserName;
use crate::hub::text::{Text, TextError};
use crate::hub::time::LocalTime;
use crate::wire::{Farewell, Kind, Lull, Pieces, Step, words};

/// So many messages of a history are told, the newest,
pub const HISTORY_MESSAGES_MAX: usize = 1000;
/// The same in bytes, as they are written: a client is told 1024 bytes at a time, and what it says meanwhile is not to wait for
/// long.
pub const HISTORY_BYTES_MAX: usize = 256 * 1024;

const UNDECIPHERABLE: &str = "this can't be deciphered: log on again";
const HOW_TO_CHAT: &str = "you are in no chat: begin one with CHAT_REQUEST(NAME)";
const NO_HISTORY: &str = "you two have said nothing to each other";
const NO_HISTORY_OF_YOUR_OWN: &str = "there is no history of you with yourself";
const MORE_HISTORY: &str = "there are older messages, which are not shown here";

/// One client, and its decoder.
#[derive(Debug)]
pub struct Member {
    key: SessionKey,
    /// Its first message has come, which takes no quiet to be whole.
    has_connected: bool,
    /// Who it is. `None`: that is not decided yet.
    user: Option<UserName>,
    /// What it may say behind a text, of the chat that it is in,
    current: Option<Endings>,
    /// and of the one before: it may not have heard yet that it is over, or still have to say so.
    last: Option<Endings>,
}

/// What a client has asked for, where its answer depends on that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Say = 1,
    EndChat,
}

impl Word {
    /// No client of this protocol gives its requests ids.
    fn id(self) -> RequestId {
        RequestId(self as u64)
    }

    fn of(id: Option<RequestId>) -> Option<Word> {
        [Word::Say, Word::EndChat].into_iter().find(|word| Some(word.id()) == id)
    }
}

impl Member {
    /// Somebody who has logged on, and whose first bytes are `CONNECT`.
    pub fn new(key: SessionKey) -> Member {
        Member { key, has_connected: false, user: None, current: None, last: None }
    }

    /// See `Conversation::may_decode`.
    pub(in crate::wire) fn may_decode(&self, bytes: &[u8]) -> bool {
        !self.has_connected && bytes.len() >= CONNECT_BYTES
    }

    /// See `Conversation::decode`.
    pub(in crate::wire) fn decode(&mut self, bytes: &[u8], lull: Lull) -> Step {
        if !self.has_connected {
            return self.connect(bytes, lull);
        }
        if bytes.len() >= MESSAGE_BYTES_MAX {
            return violation(&TextError::TooLong.to_string());
        }
        if lull == Lull::None || bytes.is_empty() {
            return Step::Wait;
        }
        let message = glued::first(bytes, self.current.iter().chain(&self.last));
        match self.key.decipher(message) {
            Ok(plain) => self.heard(&plain, message.len()),
            Err(_) => violation(UNDECIPHERABLE),
        }
    }

    /// The first message, whatever stands behind it.
    fn connect(&mut self, bytes: &[u8], lull: Lull) -> Step {
        let Some(first) = bytes.get(..CONNECT_BYTES) else {
            return if lull == Lull::None || bytes.is_empty() { Step::Wait } else { violation(UNDECIPHERABLE) };
        };
        let plain = self.key.decipher(first).unwrap_or_default();
        let Ok(FromClient::Connect(challenge)) = FromClient::parse(&plain) else { return violation(UNDECIPHERABLE) };
        self.has_connected = true;
        Step::Request { used: CONNECT_BYTES, id: None, request: Request::Connect(challenge) }
    }

    /// What becomes of a message that took so many bytes.
    fn heard(&self, plain: &str, used: usize) -> Step {
        let request = |id: Option<Word>, request| Step::Request { used, id: id.map(Word::id), request };
        let refused = |reply: FromServer| Step::Refused { used, reply: reply.write().into_bytes() };
        let say = |text: Result<Text, TextError>| {
            text.map_or_else(
                |why| request(None, Request::Unfit(why)),
                |text| request(Some(Word::Say), Request::Say(text)),
            )
        };
        match FromClient::parse(plain) {
            Ok(FromClient::ChatRequest(Named::User(peer))) => request(None, Request::Chat(peer)),
            Ok(FromClient::ChatRequest(nobody)) => refused(FromServer::Unreachable(nobody)),
            Ok(FromClient::EndRequest(Some(id))) => request(Some(Word::EndChat), Request::EndChat(Some(id))),
            // That it has heard of something changes nothing; nor does it that it ends what it is not in.
            Ok(FromClient::ChatCheck { .. } | FromClient::EndCheck(_) | FromClient::EndRequest(None)) => {
                Step::Refused { used, reply: Vec::new() }
            }
            Ok(FromClient::HistoryRequest(Named::User(with))) if self.user.as_ref() == Some(&with) => {
                refused(FromServer::Text(NO_HISTORY_OF_YOUR_OWN.to_owned()))
            }
            Ok(FromClient::HistoryRequest(Named::User(with))) => {
                request(None, Request::History { with: Some(with), before: None, limit: HISTORY_MESSAGES_MAX })
            }
            Ok(FromClient::HistoryRequest(nobody)) => refused(FromServer::Text(words::no_such_user(&nobody))),
            Ok(FromClient::LogOff) => request(None, Request::LogOut),
            // Later than at the beginning it is what somebody has typed.
            Ok(FromClient::Connect(_)) => say(Text::replacing(plain.as_bytes())),
            Ok(FromClient::Text(text)) => say(Ok(text)),
            Err(why) => say(Err(why)),
        }
    }

    /// See `Conversation::encode_answer`.
    pub(in crate::wire) fn encode_answer(&mut self, id: Option<RequestId>, answer: &Answer, out: &mut Pieces) {
        match answer {
            Ok(Reply::Welcome { user, .. }) => {
                self.user = Some(user.clone());
                control(&FromServer::Connected, out);
            }
            Ok(Reply::ChatStarted { id, peer }) => {
                self.chat_begins(*id, peer);
                control(&FromServer::ChatStarted { id: *id, peer: peer.clone() }, out);
            }
            // Who ends it is not told.
            Ok(Reply::ChatEnded { .. }) => self.chat_ends(),
            Ok(Reply::History(page)) => encode_history(page, out),
            // The protocol says nothing to these, or has no request for them.
            Ok(_) => {}
            Err(refusal) => encode_refusal(Word::of(id), refusal, out),
        }
    }

    /// See `Conversation::told`.
    pub(in crate::wire) fn told(&mut self, event: &Event) {
        match event {
            Event::ChatStarted { id, peer } => self.chat_begins(*id, peer),
            Event::ChatEnded { .. } => self.chat_ends(),
            _ => {}
        }
    }

    /// See `Conversation::seal`.
    pub(in crate::wire) fn seal(&self, piece: &[u8], out: &mut Vec<u8>) {
        debug_assert!(str::from_utf8(piece).is_ok(), "whole characters are written");
        self.key.encipher(&String::from_utf8_lossy(piece), out);
    }

    fn chat_begins(&mut self, id: LocalTime, peer: &UserName) {
        self.chat_ends();
        self.current = Some(Endings::of(id, peer, &self.key));
    }

    fn chat_ends(&mut self) {
        if let Some(over) = self.current.take() {
            self.last = Some(over);
        }
    }
}

fn encode_refusal(word: Option<Word>, refusal: &Refusal, out: &mut Pieces) {
    match (word, refusal) {
        (_, Refusal::Unreachable(user)) => control(&FromServer::Unreachable(Named::User(user.clone())), out),
        (Some(Word::Say), Refusal::NotInChat) => line(HOW_TO_CHAT, out),
        // Its other side was quicker, and what says so is on its way.
        (Some(Word::EndChat), Refusal::NotInChat) => {}
        (_, refusal) => line(&words::refusal(refusal), out),
    }
}

fn encode_history(page: &HistoryPage, out: &mut Pieces) {
    // What two users have said to each other has nothing of the server's.
    let lines: Vec<Line> = page.messages.iter().filter_map(|message| history_line(message)).collect();
    let told = texts::newest(&lines, HISTORY_BYTES_MAX);
    if lines.is_empty() {
        line(NO_HISTORY, out);
    } else if page.more || told.len() < lines.len() {
        line(MORE_HISTORY, out);
    }
    texts::history(told, out);
}

fn history_line(message: &Message) -> Option<Line> {
    let Sender::User(_, from) = &message.from else { return None };
    Some(Line { id: message.local, from: from.clone(), text: message.text.clone() })
}

/// See `Dialect::encode_event`.
pub(in crate::wire) fn encode_event(event: &Event, out: &mut Pieces) {
    match event {
        Event::Message(message) => encode_message(message, out),
        Event::ChatStarted { id, peer } => control(&FromServer::ChatStarted { id: *id, peer: peer.clone() }, out),
        Event::ChatEnded { id, .. } => control(&FromServer::EndNotif(*id), out),
        Event::Missed { count } => line(&words::missed(*count), out),
        Event::Revoked(user) => line(&words::revoked(user), out),
        Event::Closing(reason) => line(words::closing(*reason), out),
        // Nobody waits for these here: the protocol has no presence, no receipts and no addresses.
        Event::Online(_)
        | Event::Offline(_)
        | Event::Asks { .. }
        | Event::AskOver { .. }
        | Event::Address { .. }
        | Event::NoAddress { .. }
        | Event::Delivered { .. }
        | Event::Token => {}
    }
}

/// See `Conversation::encode_farewell`.
pub(in crate::wire) fn encode_farewell(farewell: Farewell, out: &mut Pieces) {
    line(words::farewell(farewell), out);
}

/// Whether to everybody or not: the protocol has one word for both.
fn encode_message(message: &Message, out: &mut Pieces) {
    let from = match &message.from {
        Sender::User(_, name) => name.as_str(),
        Sender::Server => words::SERVER,
    };
    texts::relayed(from, &message.text, Some(message.number), out);
}

/// Appends something that the client compares, or looks for words in.
fn control(message: &FromServer, out: &mut Pieces) {
    out.bytes.extend_from_slice(message.write().as_bytes());
    out.end(Kind::Control);
}

/// Appends something that only people read.
fn line(text: &str, out: &mut Pieces) {
    out.bytes.extend_from_slice(FromServer::Text(text.to_owned()).write().as_bytes());
    out.end(Kind::Text { ends: None });
}

fn violation(why: &str) -> Step {
    Step::Violation { reply: why.into() }
}
