//! The server's side: what clients say, and what they are told.

use super::{CHUNK_BYTES_MAX, READ_BYTES_MAX};
use crate::hub::effect::{Answer, CloseReason, Event, Reply};
use crate::hub::input::Request;
use crate::hub::message::{Message, Recipient, Sender};
use crate::hub::name::UserName;
use crate::hub::text::Text;
use crate::wire::lines::{Line, first_line};
use crate::wire::parts::{self, Frame};
use crate::wire::pieces::Pieces;
use crate::wire::{Farewell, Kind, Lull, Step, words};

/// What a client is asked for its nickname with.
pub const PROMPT: &[u8] = b"NICK";

/// One client, and its decoder.
#[derive(Debug, Default)]
pub struct Member {
    /// As the client spells it. `None`: it has not said it yet.
    nickname: Option<UserName>,
    utf8: bool,
}

impl Member {
    /// Whether the client has said something valid beyond ASCII itself.
    pub(in crate::wire) fn reads_utf8(&self) -> bool {
        self.utf8
    }

    /// See `Conversation::decode`.
    pub(in crate::wire) fn decode(&mut self, bytes: &[u8], lull: Lull) -> Step {
        let (chunk, used) = match first_line(bytes, CHUNK_BYTES_MAX) {
            Line::Whole { line, used } => (line.strip_suffix(b"\r").unwrap_or(line), used),
            Line::TooLong => return violation(&format!("a message has at most {CHUNK_BYTES_MAX} bytes")),
            Line::Partial if lull == Lull::None || bytes.is_empty() => return Step::Wait,
            Line::Partial => (bytes, bytes.len()),
        };
        self.utf8 |= !chunk.is_ascii() && str::from_utf8(chunk).is_ok();
        let said = self.without_prefix(chunk);
        if said.is_empty() {
            return Step::Refused { used, reply: Vec::new() };
        }
        match &self.nickname {
            None => self.enter(said, used),
            Some(_) => {
                let broadcast = |text| Request::Broadcast { text, counter: None };
                let request = Text::replacing(said).map_or_else(Request::Unfit, broadcast);
                Step::Request { used, id: None, request }
            }
        }
    }

    /// The first chunk is the nickname.
    fn enter(&mut self, said: &[u8], used: usize) -> Step {
        match UserName::parse(&String::from_utf8_lossy(said)) {
            Ok(name) => {
                self.nickname = Some(name.clone());
                Step::Request { used, id: None, request: Request::Enter(name) }
            }
            Err(why) => violation(&why.to_string()),
        }
    }

    /// What a client writes before its texts itself. If it is not the client's own name, it is text.
    fn without_prefix<'a>(&self, chunk: &'a [u8]) -> &'a [u8] {
        let name = self.nickname.as_ref().map(|name| name.as_str().as_bytes());
        let text = name.and_then(|name| chunk.strip_prefix(name)?.strip_prefix(b": "));
        text.unwrap_or(chunk)
    }
}

/// See `Dialect::encode_answer`.
pub(in crate::wire) fn encode_answer(answer: &Answer, out: &mut Pieces) {
    match answer {
        Ok(Reply::Welcome { user, .. }) => {
            out.bytes.extend_from_slice(joined(user).as_bytes());
            out.end(Kind::Control);
            out.bytes.extend_from_slice(b"Connected to the server!");
            out.end(Kind::Control);
        }
        // A text shows that it has arrived by coming back.
        Ok(_) => {}
        Err(refusal) => line(&words::refusal(refusal), out),
    }
}

/// See `Dialect::encode_event`.
pub(in crate::wire) fn encode_event(event: &Event, utf8: bool, out: &mut Pieces) {
    match event {
        Event::Message(message) => encode_message(message, utf8, out),
        Event::Online(user) => line(&joined(user), out),
        Event::Offline(user) => line(&format!("{user} left the chat!"), out),
        Event::Missed { count } => line(&words::missed(*count), out),
        Event::Revoked(user) => line(&words::revoked(user), out),
        Event::Closing(CloseReason::AccountChanged) => {
            line("this name is an account's now: come in under another", out)
        }
        Event::Closing(reason) => line(words::closing(*reason), out),
        // Nobody is asked for an address here, or asks, and there is nothing to log in with again.
        Event::ChatStarted { .. }
        | Event::ChatEnded { .. }
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

fn encode_message(message: &Message, utf8: bool, out: &mut Pieces) {
    let from = match &message.from {
        Sender::User(_, name) => name.as_str(),
        Sender::Server => words::SERVER,
    };
    let how = match &message.to {
        Recipient::Everyone => ": ",
        Recipient::User(..) => " (private): ",
    };
    let frame = Frame { before: [from, how], after: "", bytes_max: READ_BYTES_MAX, ascii: !utf8 };
    parts::write(message.text.as_str(), &frame, Some(message.number), out);
}

fn joined(user: &UserName) -> String {
    format!("{user} joined the chat!")
}

/// Appends something that only people read.
fn line(text: &str, out: &mut Pieces) {
    out.bytes.extend_from_slice(text.as_bytes());
    out.end(Kind::Text { ends: None });
}

fn violation(why: &str) -> Step {
    Step::Violation { reply: why.into() }
}
