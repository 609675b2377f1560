//! Clients of the `nick` protocol as the server hears them: a nickname, then texts.

use chatd::wire::{Conversation, Protocol, Request, Step};

use super::unframed::{self, Speech, check_told};

pub fn run(data: &[u8]) {
    unframed::run(data, Speech::plain(begin, check));
}

fn begin() -> Conversation {
    Conversation::begin(Protocol::Nick, b"", true).expect("whoever was asked for it says a nickname")
}

fn check(taken: &[u8], step: &Step) {
    if let Some(newline) = taken.iter().position(|&byte| byte == b'\n') {
        assert_eq!(newline + 1, taken.len(), "more than a line");
    }
    match step {
        Step::Request { id: None, request, .. } => match request {
            Request::Enter(_) | Request::Unfit(_) => {}
            Request::Broadcast { text, counter: None } => check_told(text),
            other => panic!("{other:?} is no request of this protocol"),
        },
        Step::Refused { reply, .. } => assert!(reply.is_empty(), "nothing is said to nothing"),
        other => panic!("{other:?} is no step of this protocol"),
    }
}
