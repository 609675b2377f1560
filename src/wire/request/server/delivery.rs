//! What a client is told where it listens, one message a connection.

use super::{TO_NOBODY, Word};
use crate::hub::effect::{Answer, CloseReason, Event, NoAddress, Reach, Refusal, Reply};
use crate::hub::id::RequestId;
use crate::hub::message::{Message, Sender};
use crate::hub::name::UserName;
use crate::wire::parts::{self, Frame};
use crate::wire::request::DELIVERY_BYTES_MAX;
use crate::wire::{Kind, Pieces, words};

const NO_SUCH_USER: &str = "No such User in the system\n";
const BLOCKED_BY: &str = "Your message could not bedelivered\nas the recipient has blocked you\n";
const NOT_TO_ALL: &str = "Your message could not be delivered to some recipients\n";
const OFFLINE_MESSAGES: &str = "Offline messages: \n";
const SHUTDOWN: &str = "shutdown";
const NO_ADDRESS: &str = "getaddress,no";
const OFFLINE: &str = "getaddress,offline";

/// See `Dialect::encode_answer`.
pub(in crate::wire) fn encode_answer(id: Option<RequestId>, answer: &Answer, out: &mut Pieces) {
    match answer {
        Ok(_) if id == Some(TO_NOBODY) => control(NO_SUCH_USER, out),
        Ok(reply) => encode_reply(reply, out),
        Err(refusal) => encode_refusal(Word::of(id), refusal, out),
    }
}

fn encode_reply(reply: &Reply, out: &mut Pieces) {
    match reply {
        Reply::Welcome { waiting: 1.., .. } => text(OFFLINE_MESSAGES, out),
        Reply::Accepted { reach: Reach::Partial, .. } => control(NOT_TO_ALL, out),
        Reply::Online(users) => encode_online(users, out),
        Reply::Blocked(user) => control(&format!("User {user} has been blocked\n"), out),
        Reply::Unblocked(user) => control(&format!("User {user} is unblocked\n"), out),
        // The protocol says nothing to these, or has no request for them.
        Reply::Welcome { .. }
        | Reply::Accepted { .. }
        | Reply::Asked { .. }
        | Reply::Consented { .. }
        | Reply::Declined(_)
        | Reply::Alive
        | Reply::LoggedOut
        | Reply::Acknowledged
        | Reply::ChatStarted { .. }
        | Reply::ChatEnded { .. }
        | Reply::Challenge { .. }
        | Reply::LoggedIn { .. }
        | Reply::SignedUp(_)
        | Reply::PasswordChanged(_)
        | Reply::UserAdded(_)
        | Reply::UserRemoved(_)
        | Reply::Users(_)
        | Reply::Unlocked(_)
        | Reply::Kicked { .. }
        | Reply::Status(_)
        | Reply::BlockList(_)
        | Reply::Revoked(_)
        | Reply::Privacy(_)
        | Reply::History(_) => {}
    }
}

/// A long list goes on in another message like it.
fn encode_online(users: &[UserName], out: &mut Pieces) {
    let word = Word::Online.as_bytes();
    let mut begin = out.bytes.len();
    out.bytes.extend_from_slice(word);
    for user in users.iter().map(UserName::as_str) {
        if out.bytes.len() - begin + 1 + user.len() > DELIVERY_BYTES_MAX {
            out.end(Kind::Control);
            begin = out.bytes.len();
            out.bytes.extend_from_slice(word);
        }
        out.bytes.push(super::COMMA);
        out.bytes.extend_from_slice(user.as_bytes());
    }
    out.end(Kind::Control);
}

/// A refusal in the words of the request that was refused.
fn encode_refusal(word: Option<Word>, refusal: &Refusal, out: &mut Pieces) {
    match (word, refusal) {
        (_, Refusal::NotBlocked(user)) | (Some(Word::Unblock), Refusal::NoSuchUser(user)) => {
            control(&format!("User {user} is not in the blocked list\n"), out);
        }
        (_, Refusal::NoSuchUser(_)) => control(NO_SUCH_USER, out),
        (Some(Word::Forward), Refusal::BlockedBy(_)) => control(BLOCKED_BY, out),
        (Some(Word::GetAddress), Refusal::BlockedBy(_)) => control("getaddress,blocked", out),
        (Some(Word::GetAddress), Refusal::Offline(_)) => control(OFFLINE, out),
        (Some(Word::GetAddress), refusal) => {
            text(&line(&words::refusal(refusal)), out);
            // The first question is still going to be answered.
            if !matches!(refusal, Refusal::AlreadyAsked(_)) {
                control(NO_ADDRESS, out);
            }
        }
        (_, refusal) => text(&line(&words::refusal(refusal)), out),
    }
}

/// See `Dialect::encode_event`.
pub(in crate::wire) fn encode_event(event: &Event, out: &mut Pieces) {
    match event {
        Event::Message(message) => encode_message(message, out),
        Event::Online(user) => control(&format!("note:{user} is online!\n"), out),
        Event::Offline(user) => control(&format!("note:{user} is offline!\n"), out),
        Event::Missed { count } => text(&line(&words::missed(*count)), out),
        Event::Asks { user, .. } => control(&format!("private_consent,{user}"), out),
        Event::Address { user, address, port, .. } => {
            control(&format!("getaddress,{user},{},{}", address.disclose(), port.get()), out);
        }
        Event::NoAddress { why: NoAddress::Offline, .. } => control(OFFLINE, out),
        Event::NoAddress { .. } => control(NO_ADDRESS, out),
        Event::Revoked(user) => text(&line(&words::revoked(user)), out),
        Event::Closing(CloseReason::Displaced) => control("logout_duplicate", out),
        Event::Closing(CloseReason::Shutdown) => control(SHUTDOWN, out),
        // For the client it is the same, and the user learns why.
        Event::Closing(reason @ (CloseReason::AccountChanged | CloseReason::Kicked)) => {
            text(&line(words::closing(*reason)), out);
            control(SHUTDOWN, out);
        }
        // A client that is not there, and what the protocol has no word for.
        Event::Closing(CloseReason::HeartbeatMissed | CloseReason::LogInsFailed)
        | Event::AskOver { .. }
        | Event::ChatStarted { .. }
        | Event::ChatEnded { .. }
        | Event::Delivered { .. }
        | Event::Token => {}
    }
}

fn encode_message(message: &Message, out: &mut Pieces) {
    let from = match &message.from {
        Sender::User(_, name) => name.as_str(),
        Sender::Server => words::SERVER,
    };
    let frame = Frame { before: [from, ":"], after: "\n", bytes_max: DELIVERY_BYTES_MAX, ascii: false };
    parts::write(message.text.as_str(), &frame, Some(message.number), out);
}

fn line(text: &str) -> String {
    format!("{text}\n")
}

fn text(text: &str, out: &mut Pieces) {
    out.bytes.extend_from_slice(text.as_bytes());
    out.end(Kind::Text { ends: None });
}

/// Also what only people read, where it is an answer: a client may compare it whole.
fn control(word: &str, out: &mut Pieces) {
    out.bytes.extend_from_slice(word.as_bytes());
    out.end(Kind::Control);
}
