//! Clients of the `request` protocol as the server hears them: the dialogue of a log-in, or a request.
//!
//! The lowest bits of the first byte say which: a log-in, one after the client was asked for a nickname, or a request.

use chatd::hub::input::Offer;
use chatd::wire::recognise::{Openings, Recognition, recognise};
use chatd::wire::request::REQUEST_BYTES_MAX;
use chatd::wire::{Conversation, Lull, Protocol, Request, Step, Text, UserName};

use super::unframed::{self, Speech, check_told};

const SERVED: Openings<'_> =
    Openings { native: true, request: true, nick: true, prompted: false, tls: true, expected: None };

pub fn run(data: &[u8]) {
    let Some((&mode, rest)) = data.split_first() else { return };
    match mode % 4 {
        0 => unframed::run(rest, Speech::plain(|| begin(b"newUser,", false), check)),
        1 => unframed::run(rest, Speech::plain(|| begin(b"newUser,", true), check)),
        2 => unframed::run(rest, Speech::plain(|| begin(b"", false), check)),
        _ => post(rest),
    }
}

fn begin(first: &[u8], prompted: bool) -> Conversation {
    Conversation::begin(Protocol::Request, first, prompted).expect("first bytes say this")
}

/// The whole of what came on a connection.
fn post(data: &[u8]) {
    let mut client = begin(b"", false);
    let step = client.decode(data, Lull::Ended);
    if let Step::Posted { used, .. } = &step {
        assert_eq!(*used, data.len(), "there is nothing behind a request");
        assert_eq!(recognise(data, false, &SERVED), Recognition::This(Protocol::Request));
        check(data, &step);
    }
}

fn check(_: &[u8], step: &Step) {
    match step {
        Step::Posted { request: Request::Unfit(_), .. } => {}
        Step::Posted { user, id, request, .. } => {
            let again = chunk(user, request);
            if again.len() >= REQUEST_BYTES_MAX {
                return; // Its newlines were not indented.
            }
            let mut client = begin(b"", false);
            match client.decode(&again, Lull::Ended) {
                Step::Posted { user: poster, id: as_told, request: posted, .. } => {
                    assert_eq!(format!("{poster} {posted:?}"), format!("{user} {request:?}"));
                    // Who asks about somebody who can't exist has said no more than to be there.
                    assert!(as_told == *id || *request == Request::Alive);
                }
                other => panic!("{:?} is read as {other:?}", String::from_utf8_lossy(&again)),
            }
            if let Request::Message { text, .. } | Request::Broadcast { text, .. } = request {
                check_told(text);
            }
        }
        Step::Request { request: Request::LogInByPassword { port, .. }, .. } => assert!(port.get() >= 1024),
        Step::Request { request, .. } => panic!("{request:?} in a log-in"),
        Step::Heard { .. } | Step::Refused { .. } => {}
        Step::Wait | Step::Violation { .. } => unreachable!("nothing is taken"),
    }
}

/// What a client would have posted for this.
fn chunk(user: &UserName, request: &Request) -> Vec<u8> {
    let indented = |text: &Text| text.as_str().replace('\n', "\n    ");
    let chunk = match request {
        Request::Message { to, text, counter: None, receipt: false } => {
            format!("forward,{user},{to},{}", indented(text))
        }
        Request::Broadcast { text, counter: None } => format!("broadcast,{user},{}", indented(text)),
        Request::Online => format!("online,{user}"),
        Request::Block(other) => format!("block,{user},{other}"),
        Request::Unblock(other) => format!("unblock,{user},{other}"),
        Request::AskAddress { user: other, certificate: None } => format!("getaddress,{user},{other}"),
        Request::Consent { user: other, offer: Some(Offer::WhereCalled) } => {
            format!("private_answer,{user},{other},yes")
        }
        Request::Consent { user: other, offer: None } => format!("private_answer,{user},{other},no"),
        Request::Alive => format!("alive,{user}"),
        Request::LogOut => format!("logout,{user}"),
        other => panic!("{other:?} is no request of this protocol"),
    };
    (chunk + "\n").into_bytes()
}
