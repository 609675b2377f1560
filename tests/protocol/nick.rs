//! The `nick` protocol (protocols.md, section 5): what clients say, and what they are told.

use chatd::hub::effect::{CloseReason, Event, Reach, Refusal, Reply};
use chatd::hub::message::{Recipient, Sender};
use chatd::wire::nick::server::PROMPT;
use chatd::wire::nick::{CHUNK_BYTES_MAX, READ_BYTES_MAX};
use chatd::wire::{Conversation, Dialect, Number, Pieces, Protocol, Request, Step, TEXT_BYTES_MAX, TextError};

use super::samples::*;
use super::unframed::{Client, Piece, answered, control, last, line, pieces, told};

const DIALECTS: [Dialect; 2] = [Dialect::NickAscii, Dialect::Nick];

/// Who has come in as Bob.
fn bob() -> Client {
    let mut client = Client::new(Protocol::Nick, b"", true);
    let entered = Step::Request { used: 3, id: None, request: Request::Enter(name("Bob")) };
    assert_eq!(client.say(b"Bob"), [entered]);
    client
}

/// What the hub gets for chunks; nothing for some.
fn said(steps: &[Step]) -> Vec<Request> {
    let request = |step: &Step| match step {
        Step::Request { id: None, request, .. } => Some(request.clone()),
        Step::Refused { reply, .. } if reply.is_empty() => None,
        other => panic!("{other:?}"),
    };
    steps.iter().filter_map(request).collect()
}

fn broadcast(body: &str) -> Request {
    Request::Broadcast { text: text(body), counter: None }
}

#[test]
fn clients_are_asked_in_one_word() {
    assert_eq!(PROMPT, b"NICK");
}

#[test]
fn the_first_chunk_is_the_nickname_however_it_ends() {
    for chunk in [&b"Bob"[..], b"Bob\n", b"Bob\r\n"] {
        let mut client = Client::new(Protocol::Nick, chunk, true);
        let steps = client.say(chunk);
        assert_eq!(said(&steps), [Request::Enter(name("Bob"))]);
        assert!(format!("{steps:?}").contains("Bob"), "as it is spelled");
    }
    let mut client = Client::new(Protocol::Nick, b"", true);
    assert_eq!(client.come(b"Bo"), []);
    assert_eq!(said(&client.say_and_close(b"b")), [Request::Enter(name("Bob"))]);
    let mut client = Client::new(Protocol::Nick, b"", true);
    assert_eq!(said(&client.say(b"\r\n\nBob\nhi")), [Request::Enter(name("Bob")), broadcast("hi")]);
}

#[test]
fn a_nickname_that_is_no_name_is_refused_in_words() {
    let long = "m".repeat(33);
    let characters = "a name consists of the letters a to z, digits, '_', '-' and '.'";
    for (nickname, why) in [
        (&b"a b"[..], characters),
        (b"Bob ", characters),
        (b"b\0b", characters),
        ("é".as_bytes(), characters),
        (b"\xff\xfd\x01", characters),
        (b"NICK", "this word has a meaning of its own and can't be a name"),
        (long.as_bytes(), "a name has at most 32 characters"),
    ] {
        let mut client = Client::new(Protocol::Nick, nickname, true);
        assert_eq!(client.say(nickname), [Step::Violation { reply: why.into() }], "{nickname:?}");
    }
}

#[test]
fn every_later_chunk_and_every_line_is_a_text() {
    let mut bob = bob();
    assert_eq!(said(&bob.say(b"Bob: hi")), [broadcast("hi")]);
    assert_eq!(said(&bob.say(b"one\ntwo\r\nBob: three")), ["one", "two", "three"].map(broadcast));
    assert_eq!(said(&bob.come(b"Bob: fo")), []);
    assert_eq!(said(&bob.come(b"ur\nfi")), [broadcast("four")]);
    assert_eq!(said(&bob.say_and_close(b"ve")), [broadcast("five")]);
}

#[test]
fn only_the_clients_own_prefix_is_taken_off_and_once() {
    let mut client = bob();
    for (chunk, heard) in [
        ("bob: hi", "bob: hi"),
        ("Bob:hi", "Bob:hi"),
        (" Bob: hi", " Bob: hi"),
        ("alice: hi", "alice: hi"),
        ("Bob: Bob: hi", "Bob: hi"),
        ("Bob: alice: hi", "alice: hi"),
        ("Bob:  hi ", " hi "),
        ("Bobby: hi", "Bobby: hi"),
    ] {
        assert_eq!(said(&client.say(chunk.as_bytes())), [broadcast(heard)], "{chunk}");
    }
}

#[test]
fn no_text_is_nothing() {
    let mut bob = bob();
    for chunk in ["Bob: ", "\n", "\r\n", "Bob: \n", "Bob: \r\n\n\n"] {
        assert_eq!(said(&bob.say(chunk.as_bytes())), [], "{chunk:?}");
    }
}

#[test]
fn what_is_no_text_is_replaced() {
    for (chunk, heard) in [
        (&b"a\0b\x1b[1mc\x7f"[..], "a\u{fffd}b\u{fffd}[1mc\u{fffd}"),
        (b"caf\xe9", "caf\u{fffd}"),
        (b"\xff\xfb\x06", "\u{fffd}\u{fffd}\u{fffd}"),
        (b"a\rb\ttab\r", "a\u{fffd}b\ttab\u{fffd}"),
    ] {
        let mut bob = bob();
        assert_eq!(said(&bob.say(chunk)), [broadcast(heard)]);
        assert_eq!(bob.conversation.dialect(), Dialect::NickAscii, "that is no UTF-8 beyond ASCII");
    }
}

#[test]
fn a_text_may_be_too_long_and_a_chunk_has_an_end() {
    let long = "x".repeat(TEXT_BYTES_MAX);
    for prefix in ["", "Bob: "] {
        let mut bob = bob();
        assert_eq!(said(&bob.say(format!("{prefix}{long}\r\n").as_bytes())), [broadcast(&long)]);
        assert_eq!(said(&bob.say(format!("{prefix}{long}x").as_bytes())), [Request::Unfit(TextError::TooLong)]);
        let why = format!("a message has at most {CHUNK_BYTES_MAX} bytes");
        assert_eq!(said(&bob.come(&vec![b'x'; CHUNK_BYTES_MAX - 1])), []);
        assert_eq!(bob.come(b"x\n"), [Step::Violation { reply: why.into() }]);
    }
    // The longest that a text can be with the longest name before it.
    let name = "m".repeat(32);
    let mut client = Client::new(Protocol::Nick, b"", true);
    client.say(name.as_bytes());
    assert_eq!(said(&client.say(format!("{name}: {long}\r\n").as_bytes())), [broadcast(&long)]);
}

#[test]
fn who_has_said_something_beyond_ascii_reads_it() {
    let mut bob = bob();
    assert_eq!(bob.conversation.dialect(), Dialect::NickAscii);
    bob.say(b"hi");
    assert_eq!(bob.conversation.dialect(), Dialect::NickAscii);
    bob.come("é".as_bytes());
    assert_eq!(bob.conversation.dialect(), Dialect::NickAscii, "it may be half a character's worth of something else");
    bob.come(b"\n");
    assert_eq!(bob.conversation.dialect(), Dialect::Nick);
    bob.say(b"caf\xe9");
    assert_eq!(bob.conversation.dialect(), Dialect::Nick);
}

#[test]
fn who_comes_in_is_told_so_in_two_words_that_travel_alone() {
    for dialect in DIALECTS {
        let welcome = Ok(Reply::Welcome { user: name("Bob"), waiting: 0 });
        let expected = [control("Bob joined the chat!"), control("Connected to the server!")];
        assert_eq!(answered(dialect, None, &welcome), expected);
    }
}

#[test]
fn a_refusal_is_a_line_to_read_and_nothing_else_is_answered() {
    for dialect in DIALECTS {
        for (refusal, _, text) in refusals() {
            assert_eq!(answered(dialect, None, &Err(refusal)), [line(text)]);
        }
        for (reply, _) in replies() {
            assert_eq!(answered(dialect, None, &Ok(reply)), []);
        }
        let partial = Reply::Accepted { number: Number(5), reach: Reach::Partial };
        assert_eq!(answered(dialect, None, &Ok(partial)), []);
    }
    let why = Err(Refusal::Unfit(TextError::TooLong));
    assert_eq!(answered(Dialect::Nick, None, &why), [line("a message has at most 4096 bytes; send it in parts")]);
}

/// What a client is told of an event.
fn shown(event: &Event, utf8: bool) -> Vec<Piece> {
    match event {
        Event::Message(message) => {
            let from = match message.from {
                Sender::Server => "server",
                Sender::User(..) => "Bob",
            };
            let how = match message.to {
                Recipient::Everyone => ": ",
                Recipient::User(..) => " (private): ",
            };
            let body = match message.text.as_str() {
                ODD if utf8 => "a \"b\" \\ c\n    \td é\u{2028} 😀",
                ODD => "a \"b\" \\ c\n    \td \\u{e9}\\u{2028} \\u{1f600}",
                other => other,
            };
            vec![last(5, format!("{from}{how}{body}"))]
        }
        Event::Online(_) => vec![line("Bob joined the chat!")],
        Event::Offline(_) => vec![line("Bob left the chat!")],
        Event::Missed { .. } => vec![line("missed 2: too many messages came while you were away")],
        Event::Revoked(_) => vec![line("Bob has taken back the yes")],
        Event::Closing(reason) => vec![line(match reason {
            CloseReason::Displaced => "this device has logged in again elsewhere",
            CloseReason::Shutdown => "the server stops",
            CloseReason::HeartbeatMissed => "the server has heard nothing for too long",
            CloseReason::AccountChanged => "this name is an account's now: come in under another",
            CloseReason::Kicked => "the operator has ended this session",
            CloseReason::LogInsFailed => {
                "too many log-ins have failed on this connection: connect again for another try"
            }
        })],
        Event::Asks { .. } | Event::AskOver { .. } | Event::Address { .. } | Event::NoAddress { .. } => vec![],
        Event::ChatStarted { .. } | Event::ChatEnded { .. } => vec![],
        Event::Delivered { .. } | Event::Token => vec![],
    }
}

#[test]
fn each_event_has_its_bytes() {
    for (event, _) in events() {
        assert_eq!(told(Dialect::NickAscii, &event), shown(&event, false), "{event:?}");
        assert_eq!(told(Dialect::Nick, &event), shown(&event, true), "{event:?}");
    }
}

#[test]
fn a_long_text_comes_in_parts_and_the_last_ends_it() {
    let event = |body: &str| Event::Message(message(5, "Bob", "everyone", body));
    // "Bob: " takes five bytes.
    let fits = "x".repeat(READ_BYTES_MAX - 5);
    let (one, first) = (last(5, format!("Bob: {fits}")), line(format!("Bob: {fits}")));
    assert_eq!(told(Dialect::Nick, &event(&fits)), [one]);
    assert_eq!(told(Dialect::Nick, &event(&format!("{fits}é"))), [first.clone(), last(5, "Bob: é")]);
    assert_eq!(told(Dialect::NickAscii, &event(&format!("{fits}é"))), [first.clone(), last(5, "Bob: \\u{e9}")]);
    assert_eq!(told(Dialect::Nick, &event(&format!("{fits}\n"))), [first, last(5, "Bob: \n    ")]);
    let nearly = &fits[5..];
    let expected = [line(format!("Bob: {nearly}")), last(5, "Bob: \\u{e9}")];
    assert_eq!(told(Dialect::NickAscii, &event(&format!("{nearly}é"))), expected, "an escape is not cut");
}

#[test]
fn a_farewell_is_a_line_to_read() {
    for (farewell, _, text) in farewells() {
        let mut out = Pieces::default();
        let conversation = Conversation::begin(Protocol::Nick, b"", true).expect("nothing else says this");
        conversation.encode_farewell(farewell, &mut out);
        assert_eq!(pieces(&out), [line(text)]);
    }
}
