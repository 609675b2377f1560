//! Requests as the server reads them: the split changes nothing, and what is understood survives being written again.

use chatd::wire::native::REQUEST_BYTES_MAX;
use chatd::wire::native::client::{self, Ask, FromServer, Hear};
use chatd::wire::scram::Header;
use chatd::wire::{Conversation, Lull, Mechanism, Request, RequestId, Step};
use serde::Deserialize;

use super::script::Sizes;

pub fn run(data: &[u8]) {
    let whole = steps(data, |_| data.len());
    let mut sizes = Sizes::of(data);
    assert_eq!(whole, steps(data, |_| sizes.next()), "the split changes what is read");
    if data.len() <= 256 {
        assert_eq!(whole, steps(data, |_| 1), "bytes one at a time change what is read");
    }
    if !data.is_empty() && !data.contains(&b'\n') {
        let endless = data.repeat(REQUEST_BYTES_MAX.div_ceil(data.len()));
        assert!(matches!(read(&endless), Step::Violation { .. }), "a line without an end is waited for");
    }
}

fn read(bytes: &[u8]) -> Step {
    Conversation::Native.decode(bytes, Lull::None)
}

/// What is read of `data` when it comes in pieces of these sizes, up to a violation.
fn steps(data: &[u8], mut size: impl FnMut(usize) -> usize) -> Vec<String> {
    let (mut steps, mut used, mut come) = (Vec::new(), 0, 0);
    while come < data.len() {
        come = data.len().min(come + size(come));
        loop {
            let rest = &data[used..come];
            let step = read(rest);
            assert_eq!(
                Conversation::Native.may_decode(rest),
                step != Step::Wait,
                "who waits must not be tried in vain"
            );
            let taken = match &step {
                Step::Wait => break,
                Step::Request { used, id, request } => {
                    check_request(&rest[..*used], *id, request);
                    *used
                }
                Step::Refused { used, reply } => {
                    check_reply(reply, true);
                    *used
                }
                Step::Violation { reply } => {
                    check_reply(reply, false);
                    steps.push(format!("{step:?}"));
                    return steps;
                }
                Step::Posted { .. } | Step::Heard { .. } => panic!("another protocol's: {step:?}"),
            };
            assert!(taken > 0 && taken <= rest.len(), "{taken} of {} bytes are used", rest.len());
            assert_eq!(rest[..taken].iter().position(|&byte| byte == b'\n'), Some(taken - 1), "more than a line");
            used += taken;
            steps.push(format!("{step:?}"));
        }
    }
    steps
}

/// The client understands it as an error, in one line.
fn check_reply(reply: &[u8], may_be_empty: bool) {
    if reply.is_empty() && may_be_empty {
        return;
    }
    match client::decode(reply) {
        Hear::Line { used, line: FromServer::Answer { answer: Err(_), .. } } if used == reply.len() => {}
        other => panic!("{:?} is heard as {other:?}", String::from_utf8_lossy(reply)),
    }
}

/// What the client would have written for this request is read as the same.
fn check_request(line: &[u8], id: Option<RequestId>, request: &Request) {
    let mut again = Vec::new();
    client::encode(id, &ask(line, request), &mut again);
    let step = read(&again);
    let expected = Step::Request { used: again.len(), id, request: request.clone() };
    assert_eq!(step, expected);
    // Names are equal in any spelling, but are passed on in one.
    assert_eq!(format!("{step:?}"), format!("{expected:?}"));
}

#[derive(Deserialize)]
struct OnlyMessage {
    message: String,
}

fn ask(line: &[u8], request: &Request) -> Ask {
    // A message of SCRAM counts byte by byte, and is nowhere else than in the line.
    let message = || serde_json::from_slice::<OnlyMessage>(line).expect("it was read before").message;
    match request.clone() {
        Request::LogIn { mechanism, first, device } => Ask::LogIn {
            resume: mechanism == Mechanism::Token,
            bound: first.header == Header::Exporter,
            message: message(),
            device,
        },
        Request::Authenticate(_) => Ask::Authenticate { message: message() },
        Request::SignUp(keys) => Ask::SignUp { keys },
        Request::ChangePassword(keys) => Ask::ChangePassword { keys },
        Request::Operate(operation) => Ask::Operate(operation),
        Request::LogOut => Ask::LogOut,
        Request::Message { to, text, counter, receipt } => Ask::Message { to, text, counter, receipt },
        Request::Broadcast { text, counter } => Ask::Broadcast { text, counter },
        Request::Chat(user) => Ask::Chat { user },
        Request::EndChat(id) => Ask::EndChat { id },
        Request::Acknowledge(number) => Ask::Acknowledge { number },
        Request::Alive => Ask::Alive,
        Request::Online => Ask::Online,
        Request::Block(user) => Ask::Block { user },
        Request::Unblock(user) => Ask::Unblock { user },
        Request::Blocked => Ask::Blocked,
        Request::AskAddress { user, certificate } => {
            Ask::AskAddress { user, certificate: certificate.expect("it was read before") }
        }
        Request::LogInByPassword { .. }
        | Request::LogInByDigest { .. }
        | Request::Connect(_)
        | Request::Enter(_)
        | Request::Say(_)
        | Request::Unfit(_) => panic!("another protocol's"),
        Request::Consent { user, offer } => Ask::Consent { user, offer },
        Request::Revoke(user) => Ask::Revoke { user },
        Request::Privacy => Ask::Privacy,
        Request::History { with, before, limit } => Ask::History { with, before, limit },
    }
}
