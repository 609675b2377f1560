//! Clients of the `session` protocol as the server hears them on their connections. Parts of the input are texts, which are
//! ciphered here, each by itself up to a zero byte, so that they mean something.
//!
//! Of the byte before a part, bit 2 says that it is said as it stands.

use std::sync::Arc;

use chatd::hub::effect::Event;
use chatd::hub::id::UserId;
use chatd::hub::message::{Message, Recipient, Sender};
use chatd::hub::time::{LocalTime, WallTime};
use chatd::wire::session::glued::connect;
use chatd::wire::session::server::HISTORY_MESSAGES_MAX;
use chatd::wire::session::{Challenge, READ_BYTES_MAX, SessionKey};
use chatd::wire::{Conversation, Dialect, Lull, Number, Password, Pieces, Request, Step, Text, UserName};

use super::unframed::{self, Speech};

const RAW: u8 = 4;

/// The first byte says whether the client has connected.
pub fn run(data: &[u8]) {
    let Some((&mode, rest)) = data.split_first() else { return };
    let begin = if mode & 1 == 0 { connected } else { expected };
    unframed::run(rest, Speech { begin, said, check });
}

fn challenge() -> Challenge {
    Challenge::new(4_365_043_278).expect("ten digits")
}

fn key() -> SessionKey {
    SessionKey::of(challenge(), &Password::parse("100").expect("a password"))
}

fn expected() -> Conversation {
    Conversation::session(key())
}

fn connected() -> Conversation {
    let mut conversation = expected();
    let first = connect(challenge(), &key());
    let step = conversation.decode(&first, Lull::None);
    assert_eq!(step, Step::Request { used: first.len(), id: None, request: Request::Connect(challenge()) });
    conversation
}

fn said(what: u8, part: &[u8]) -> Vec<u8> {
    if what & RAW != 0 {
        return part.to_vec();
    }
    let mut out = Vec::new();
    for message in part.split(|&byte| byte == 0) {
        key().encipher(&String::from_utf8_lossy(message), &mut out);
    }
    out
}

fn check(_: &[u8], step: &Step) {
    match step {
        Step::Request { request, .. } => match request {
            Request::Say(text) => check_told(text),
            // Whether that is who was challenged is the hub's to know.
            Request::Connect(_) => {}
            Request::Chat(_) | Request::EndChat(Some(_)) | Request::LogOut | Request::Unfit(_) => {}
            Request::History { with: Some(_), before: None, limit: HISTORY_MESSAGES_MAX } => {}
            other => panic!("{other:?} is no request of this protocol"),
        },
        Step::Refused { reply, .. } => {
            let reply = str::from_utf8(reply).expect("whole characters");
            assert!(!is_looked_for(reply.strip_prefix("UNREACHABLE(").unwrap_or(reply)), "{reply}");
        }
        other => panic!("{other:?} is no step of this protocol"),
    }
}

/// The words that clients look for wherever they stand.
fn is_looked_for(text: &str) -> bool {
    ["END_NOTIF", "CHAT_STARTED", "UNREACHABLE"].iter().any(|word| text.contains(word))
}

/// A text that was understood is told to others: no part of it is more than a read, or looks like something else; and ciphering
/// it takes no room.
fn check_told(text: &Text) {
    let name = |name| UserName::parse(name).expect("a name");
    let (from, to) = (Sender::User(UserId(1), name("END_NOTIF")), Recipient::User(UserId(2), name("bob")));
    let (number, time, local) = (Number(7), WallTime::from_millis(0), LocalTime::default());
    let message = Message { number, time, local, from, to, text: text.clone(), origin: None };
    let mut out = Pieces::default();
    Dialect::Session.encode_event(&Event::Message(Arc::new(message)), &mut out);
    assert!(!out.is_empty());
    for (piece, _) in out.iter() {
        let plain = str::from_utf8(piece).expect("whole characters");
        assert!(piece.len() <= READ_BYTES_MAX && !is_looked_for(plain), "{plain:?}");
        let mut sealed = Vec::new();
        expected().seal(piece, &mut sealed);
        assert_eq!((sealed.len(), key().decipher(&sealed).as_deref()), (piece.len(), Ok(plain)));
    }
}
