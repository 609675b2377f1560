//! The `datagram` protocol (protocols.md, section 3): what clients say, and what they are told. Digests are made, and datagrams
//! read, by code of the tests' own.

use std::net::SocketAddr;

use chatd::hub::effect::{Answer, CloseReason, Event, Reach, Refusal, Reply};
use chatd::hub::message::{Recipient, Sender};
use chatd::wire::datagram::notice::{Ends, INCORRECT};
use chatd::wire::datagram::server::{Correspondent, Heard, Said, UNANSWERED_MAX, error, read};
use chatd::wire::datagram::{Manner, Unread, WRITTEN_BYTES_MAX};
use chatd::wire::named::Named;
use chatd::wire::{Conversation, Dialect, Kind, Number, PasswordDigest, Pieces, Request, RequestId, Text, TextError};
use proptest::prelude::*;

use super::datagram_message::Message;
use super::digest::hex_sha256;
use super::laws::{messages, names};
use super::python::Python;
use super::samples::*;

const MANNERS: [Manner; 2] = [Manner::Plain, Manner::Unicode];
const DIALECTS: [(Manner, Dialect); 2] =
    [(Manner::Plain, Dialect::DatagramPlain), (Manner::Unicode, Dialect::DatagramUnicode)];

fn ends(client: &str, server: &str) -> Ends {
    let at = |address: &str| address.parse::<SocketAddr>().expect("an address");
    Ends { client: at(client), server: at(server) }
}

fn near() -> Ends {
    ends("127.0.0.1:40001", "127.0.0.1:12000")
}

/// As long as addresses can be.
fn far() -> Ends {
    let farthest = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535";
    ends(farthest, farthest)
}

fn alice(manner: Manner) -> Correspondent {
    Correspondent::new(name("Alice"), manner, near())
}

/// A client's datagram.
fn sealed(dict: &str) -> Vec<u8> {
    format!("[{dict}, '{}']", hex_sha256(dict.as_bytes())).into_bytes()
}

/// The dict of a request as Python 2 writes it.
fn dict(body: &str, message_type: &str, command: &str) -> String {
    format!(
        "{{'body': {body}, 'header': {{'message_type': '{message_type}', 'command': '{command}', \
         'recipient_data': ('127.0.0.1', 12000)}}}}"
    )
}

/// A private message.
fn message_to(to: &str, body: &str) -> String {
    let body = format!("{{'text': '{body}', 'sender_username': 'Alice', 'receiver_username': '{to}'}}");
    dict(&body, "MESSAGE_EXCHANGE", "SEND_MESSAGE")
}

fn to_all(body: &str) -> String {
    let body = format!("{{'text': '{body}', 'sender_username': 'Alice', 'receiver_username': ''}}");
    dict(&body, "MESSAGE_EXCHANGE", "SEND_ALL_MESSAGE")
}

fn contacts() -> String {
    "{'body': {}, 'header': {'message_type': 'DISPLAY_CONTACTS', 'command': 'CONTACTS', 'recipient_data': ''}}".into()
}

/// What becomes of a datagram of hers.
fn heard(client: &mut Correspondent, dict: &str) -> Said {
    match read(&sealed(dict)) {
        Ok(Heard::Said(request)) => client.hear(request),
        other => panic!("{dict}: {other:?}"),
    }
}

/// The request that comes of it, and its id.
fn asked(client: &mut Correspondent, dict: &str) -> (Option<RequestId>, Request) {
    match heard(client, dict) {
        Said::Request { id, request } => (id, request),
        other => panic!("{dict}: {other:?}"),
    }
}

/// What a conversation writes, sealed between these ends.
fn written(
    client: Correspondent,
    ends: Ends,
    encode: impl FnOnce(&mut Conversation, &mut Pieces),
) -> Vec<(String, Kind)> {
    let sealing = Conversation::Datagram(Box::new(Correspondent::new(name("Alice"), client.manner(), ends)));
    let mut conversation = Conversation::Datagram(Box::new(client));
    let mut out = Pieces::default();
    encode(&mut conversation, &mut out);
    let sealed = out.iter().map(|(piece, kind)| {
        let mut bytes = Vec::new();
        sealing.seal(piece, &mut bytes);
        assert!(bytes.is_ascii() && bytes.len() <= WRITTEN_BYTES_MAX, "{} bytes", bytes.len());
        (String::from_utf8(bytes).expect("ASCII"), kind)
    });
    sealed.collect()
}

fn answered(client: Correspondent, id: Option<RequestId>, answer: Answer) -> Vec<(String, Kind)> {
    written(client, near(), |conversation, out| conversation.encode_answer(id, &answer, out))
}

fn told(manner: Manner, event: &Event) -> Vec<(String, Kind)> {
    written(alice(manner), near(), |conversation, out| conversation.dialect().encode_event(event, out))
}

/// What both versions of the client's program make of a datagram.
fn read_by_the_program(datagram: &str, manner: Manner) -> (String, String) {
    let python = if manner == Manner::Plain { Python::Two } else { Python::Three };
    let message = Message::read(python, datagram.as_bytes()).unwrap_or_else(|| panic!("{datagram} kills the client"));
    assert_eq!(message.flaw(), None, "{datagram}");
    if message.message_type == "MESSAGE_EXCHANGE" {
        assert!(message.sender().is_some(), "{datagram} kills the client");
    }
    (message.message_type, message.body)
}

/// A notice that is sent once: its type and its words.
fn once(message_type: &str, body: &str) -> (String, String, Kind) {
    (message_type.to_owned(), body.to_owned(), Kind::Control)
}

fn as_read(datagrams: Vec<(String, Kind)>, manner: Manner) -> Vec<(String, String, Kind)> {
    let read = |(datagram, kind): (String, Kind)| {
        let (message_type, body) = read_by_the_program(&datagram, manner);
        (message_type, body, kind)
    };
    datagrams.into_iter().map(read).collect()
}

#[test]
fn a_log_in_is_whoevers_it_is() {
    let digest = hex_sha256(b"secret");
    let body = format!("{{'username': 'Alice', 'password': '{digest}'}}");
    let python_2 = dict(&body, "INITIATE_SESSION", "LOGIN");
    let python_3 = format!(
        "{{'header': {{'command': 'LOGIN', 'message_type': 'INITIATE_SESSION', 'recipient_data': ''}}, 'body': {body}}}"
    );
    for (dict, manner) in [(python_2, Manner::Plain), (python_3, Manner::Unicode)] {
        let digest = PasswordDigest::of(&password("secret"));
        let request = Request::LogInByDigest { name: name("Alice"), digest };
        let log_in = Heard::LogIn { user: name("Alice"), request, manner };
        assert_eq!(read(&sealed(&dict)), Ok(log_in), "{dict}");
    }
    let nobody = dict(&body.replace("Alice", "no name"), "INITIATE_SESSION", "LOGIN");
    assert_eq!(heard(&mut alice(Manner::Plain), &nobody), Said::Nothing("a log-in under a name that nobody can have"));
}

#[test]
fn each_datagram_becomes_what_was_meant() {
    let message = Request::Message { to: name("Bob"), text: text("it's"), counter: None, receipt: true };
    let broadcast = Request::Broadcast { text: text("hi"), counter: None };
    for (dict, request) in [
        (message_to("Bob", "it\\'s"), message),
        (to_all("hi"), broadcast),
        (contacts(), Request::Online),
        (dict("{}", "DESTROY_SESSION", "LOGOUT"), Request::LogOut),
        (dict("{}", "DETROY_SESSION", "LOGOUT"), Request::LogOut),
        (message_to("Bob", ""), Request::Unfit(TextError::Empty)),
        (to_all(&"x".repeat(4097)), Request::Unfit(TextError::TooLong)),
        (message_to("no name", "hi"), Request::Alive),
    ] {
        assert_eq!(asked(&mut alice(Manner::Plain), &dict).1, request, "{dict}");
    }
}

#[test]
fn nobody_speaks_in_another_s_name() {
    for dict in [message_to("Bob", "hi"), to_all("hi")] {
        for other in ["Bob", "Alic", "no name", ""] {
            let said = dict.replace("'sender_username': 'Alice'", &format!("'sender_username': '{other}'"));
            let nothing = Said::Nothing("a message in another's name");
            assert_eq!(heard(&mut alice(Manner::Plain), &said), nothing, "{other}");
        }
        let said = dict.replace("'sender_username': 'Alice'", "'sender_username': 'aLICE'");
        assert!(matches!(heard(&mut alice(Manner::Plain), &said), Said::Request { .. }), "a name has no case");
    }
}

#[test]
fn what_nobody_reads_is_told_apart() {
    assert_eq!(read(b"[{}, '']"), Err(Unread::WrongDigest));
    assert_eq!(read(&sealed(&contacts()).to_ascii_lowercase()), Err(Unread::WrongDigest));
    for malformed in [&b""[..], b"[", b"{}", b"hello", b"[{}]", &sealed("{}"), &sealed("[]")] {
        assert_eq!(read(malformed), Err(Unread::Malformed), "{malformed:?}");
    }
}

#[test]
fn an_acknowledgement_names_a_sender_and_has_words() {
    for (words, heard_as) in [
        ("Message recieved by Alice", Some(text("Message recieved by Alice"))),
        ("a\\x07b", Some(text("a\u{fffd}b"))),
        ("", None),
    ] {
        for sender in ["Bob", "server", "José"] {
            let body = format!("{{'username': '{sender}', 'text': '{words}'}}");
            let said = heard(&mut alice(Manner::Plain), &dict(&body, "ACKNOWLEDGEMENT", ""));
            let sender = Named::parse(sender);
            assert_eq!(said, Said::Acknowledged { sender, words: heard_as.clone() }, "{body}");
        }
    }
}

/// The pieces of a message, not sealed.
fn pieces_of(dialect: Dialect, from: &str, to: &str, body: &str) -> Vec<Vec<u8>> {
    let mut out = Pieces::default();
    dialect.encode_event(&Event::Message(message(5, from, to, body)), &mut out);
    out.iter().map(|(piece, _)| piece.to_vec()).collect()
}

#[test]
fn a_piece_is_acknowledged_by_the_name_of_its_sender() {
    let alice = alice(Manner::Plain);
    for (_, dialect) in DIALECTS {
        for (from, to) in [("Bob", "alice"), ("Bob", "everyone"), ("server", "alice")] {
            for body in ["hi", "é", "it's", "it's \"é\"", "Private message from carol: hi"] {
                for piece in pieces_of(dialect, from, to, body) {
                    assert!(alice.acknowledges(&piece, &Named::parse(from)));
                    assert!(alice.acknowledges(&piece, &Named::parse(&from.to_uppercase())));
                    for other in ["carol", "Bo", "Bobb", "", "Bob:", "message", "no name"] {
                        assert!(!alice.acknowledges(&piece, &Named::parse(other)), "{other}");
                    }
                }
            }
        }
    }
    let mut out = Pieces::default();
    Dialect::DatagramPlain.encode_event(&Event::Online(name("Bob")), &mut out);
    assert!(!alice.acknowledges(&out.bytes, &Named::parse("Bob")), "it is no message");
    assert!(!alice.acknowledges(b"", &Named::parse("")));
}

#[test]
fn each_type_of_notice_is_these_bytes() {
    let header = |rest: &str| format!("'header': {{'message_type': {rest}}}}}");
    let to = "'command': '', 'recipient_data': ('127.0.0.1', 40001)";
    let from_to = "'command': '', 'sender_data': ('127.0.0.1', 12000), 'recipient_data': ('127.0.0.1', 40001)";
    let bare = "'command': ''";
    let control = |body: &str, kind: &str, rest: &str| {
        (format!("{{'body': '{body}', {}", header(&format!("'{kind}', {rest}"))), Kind::Control)
    };
    let welcome = Ok(Reply::Welcome { user: name("Alice"), waiting: 3 });
    let greeting = control("Greetings from the Chat Room!", "GREETING", to);
    assert_eq!(answered(alice(Manner::Plain), None, welcome), [greeting]);
    let online = Event::Online(name("Bob"));
    assert_eq!(told(Manner::Plain, &online), [control("Bob is online!", "ALERT", to)]);
    let contacts = Ok(Reply::Online(vec![name("Bob"), name("carol")]));
    let contact = |user: &str| control(&format!("{user} : (\\'127.0.0.1\\', 12000) is online!"), "LIST_CONTACTS", bare);
    let quoted = |(bytes, kind): (String, Kind)| {
        // Python quotes a text with a single quote in it with double ones.
        (
            bytes.replacen("'body': '", "'body': \"", 1).replace("!', 'header'", "!\", 'header'").replace("\\'", "'"),
            kind,
        )
    };
    let listed = ["Bob", "carol"].map(|user| quoted(contact(user)));
    assert_eq!(answered(alice(Manner::Plain), None, contacts), listed);
    let delivered =
        Event::Delivered { number: Number(5), to: name("Bob"), words: Some(text("Message recieved by Bob")) };
    let acknowledgement = control("Message recieved by Bob", "ACKNOWLEDGEMENT", bare);
    assert_eq!(told(Manner::Plain, &delivered), [acknowledgement]);
    let refused = Err(Refusal::WrongPassword);
    let why = "wrong name or password, or too many wrong tries: wait a minute after three";
    assert_eq!(answered(alice(Manner::Plain), None, refused), [control(why, "ERROR", to)]);
    for (receiver, words) in [("alice", "Private message from Bob: "), ("everyone", "Group Message from Bob: ")] {
        let event = Event::Message(message(5, "Bob", receiver, "caf\u{e9} \u{1f389}\n"));
        let ends = Kind::Acknowledged { ends: Some(Number(5)) };
        let header = header(&format!("'MESSAGE_EXCHANGE', {from_to}"));
        let plain = format!(r"{{'body': '{words}caf\xc3\xa9 \xf0\x9f\x8e\x89\n', {header}");
        assert_eq!(told(Manner::Plain, &event), [(plain, ends)]);
        let unicode = format!(r"{{'body': u'{words}caf\xe9 \U0001f389\n', {header}");
        assert_eq!(told(Manner::Unicode, &event), [(unicode, ends)]);
    }
}

/// What a client is told of an event, but for messages.
fn shown(event: &Event) -> Option<(String, String, Kind)> {
    let closing = |reason: &CloseReason| match reason {
        CloseReason::Displaced => "this device has logged in again elsewhere",
        CloseReason::Shutdown => "the server stops",
        CloseReason::HeartbeatMissed => "the server has heard nothing for too long",
        CloseReason::AccountChanged => "the account or its password was changed; log in again",
        CloseReason::Kicked => "the operator has ended this session",
        CloseReason::LogInsFailed => "too many log-ins have failed on this connection: connect again for another try",
    };
    Some(match event {
        Event::Message(message) => {
            let from = if message.from == Sender::Server { "server" } else { "Bob" };
            let how = if message.to == Recipient::Everyone { "Group Message" } else { "Private message" };
            let kind = Kind::Acknowledged { ends: Some(Number(5)) };
            ("MESSAGE_EXCHANGE".to_owned(), format!("{how} from {from}: {}", message.text.as_str()), kind)
        }
        Event::Online(_) => once("ALERT", "Bob is online!"),
        Event::Offline(_) => once("ALERT", "Bob is offline now."),
        Event::Delivered { .. } => once("ACKNOWLEDGEMENT", "Message received by Bob"),
        Event::Missed { .. } => once("ALERT", "missed 2: too many messages came while you were away"),
        Event::Revoked(_) => once("ALERT", "Bob has taken back the yes"),
        Event::Closing(reason) => once("ALERT", &format!("you are logged out: {}", closing(reason))),
        Event::ChatStarted { .. } | Event::ChatEnded { .. } | Event::Token => return None,
        Event::Asks { .. } | Event::AskOver { .. } | Event::Address { .. } | Event::NoAddress { .. } => return None,
    })
}

#[test]
fn each_event_is_what_both_versions_of_the_program_read() {
    for manner in MANNERS {
        for (event, _) in events() {
            let read = as_read(told(manner, &event), manner);
            assert_eq!(read, shown(&event).into_iter().collect::<Vec<_>>(), "{event:?}");
        }
    }
}

#[test]
fn each_refusal_and_farewell_is_an_error_to_read() {
    for manner in MANNERS {
        for (refusal, _, why) in refusals() {
            assert_eq!(as_read(answered(alice(manner), None, Err(refusal)), manner), [once("ERROR", why)]);
        }
        for (farewell, _, why) in farewells() {
            let farewell = written(alice(manner), near(), |alice, out| alice.encode_farewell(farewell, out));
            assert_eq!(as_read(farewell, manner), [once("ERROR", why)]);
        }
    }
}

#[test]
fn a_sender_is_told_how_far_a_message_got_if_nobody_acknowledges_it_soon() {
    let accepted = |reach| Ok(Reply::Accepted { number: Number(5), reach });
    for (dict, reach, expected) in [
        (message_to("Bob", "hi"), Reach::Online, None),
        (message_to("Bob", "hi"), Reach::Queued, Some("Bob is not here now: the message waits.")),
        (to_all("hi"), Reach::Online, None),
        (to_all("hi"), Reach::Partial, Some("your message could not be delivered to some recipients")),
        (to_all("hi"), Reach::Nobody, Some("Nobody else is here now to read it.")),
    ] {
        let mut client = alice(Manner::Plain);
        let (id, _) = asked(&mut client, &dict);
        let told = as_read(answered(client, id, accepted(reach)), Manner::Plain);
        assert_eq!(told, expected.map(|body| once("ALERT", body)).into_iter().collect::<Vec<_>>(), "{dict} {reach:?}");
    }
    let mut client = alice(Manner::Plain);
    let (id, _) = asked(&mut client, &message_to("no name", "hi"));
    let told = as_read(answered(client, id, Ok(Reply::Alive)), Manner::Plain);
    assert_eq!(told, [once("ERROR", "there is no such user")]);
}

#[test]
fn answers_find_their_messages_in_any_order() {
    let mut client = alice(Manner::Plain);
    let ids: Vec<_> =
        (0..=UNANSWERED_MAX).map(|n| asked(&mut client, &message_to(&format!("bob{n}"), "hi")).0).collect();
    let kept = |conversation: &mut Conversation, id| {
        let mut out = Pieces::default();
        conversation.encode_answer(id, &Ok(Reply::Accepted { number: Number(5), reach: Reach::Queued }), &mut out);
        String::from_utf8(out.bytes).expect("ASCII")
    };
    let mut conversation = Conversation::Datagram(Box::new(client));
    for n in [3, 1, UNANSWERED_MAX] {
        assert!(kept(&mut conversation, ids[n]).contains(&format!("bob{n} is not here")));
        assert_eq!(kept(&mut conversation, ids[n]), "", "it was answered");
    }
    assert_eq!(kept(&mut conversation, ids[0]), "", "that it was for her is not remembered any more");
}

#[test]
fn what_was_done_without_a_word_for_it_is_not_told() {
    let has_words = |reply: &Reply| matches!(reply, Reply::Online(_) | Reply::Welcome { .. } | Reply::Accepted { .. });
    for (reply, _) in replies().into_iter().filter(|(reply, _)| !has_words(reply)) {
        assert_eq!(answered(alice(Manner::Plain), None, Ok(reply)), []);
    }
    assert_eq!(answered(alice(Manner::Plain), None, Ok(Reply::Online(vec![]))), []);
}

#[test]
fn an_alert_has_words_enough_for_any_client() {
    let words = |body: &str| body.split(' ').count();
    for manner in MANNERS {
        for (event, _) in events() {
            for (message_type, body, _) in as_read(told(manner, &event), manner) {
                assert!(message_type != "ALERT" || words(&body) >= 4 || body == "Bob is online!", "{body}");
            }
        }
    }
}

#[test]
fn an_error_for_a_stranger_is_shorter_than_any_request() {
    let shortest = sealed(&dict("{}", "DETROY_SESSION", "LOGOUT").replace("('127.0.0.1', 12000)", "''"));
    for body in ["Log in first.", INCORRECT] {
        let datagram = error(body, &near(), Manner::Plain);
        let read = read_by_the_program(str::from_utf8(&datagram).expect("ASCII"), Manner::Plain);
        assert_eq!(read, ("ERROR".to_owned(), body.to_owned()));
        assert!(datagram.len() < shortest.len() && error(body, &far(), Manner::Plain).len() < shortest.len());
    }
}

#[test]
fn a_long_text_comes_in_parts_and_the_last_ends_it() {
    for (manner, dialect) in DIALECTS {
        let event = Event::Message(message(5, "Bob", "alice", &"x".repeat(4096)));
        let parts = written(alice(manner), far(), |_, out| dialect.encode_event(&event, out));
        let kinds: Vec<Kind> = parts.iter().map(|&(_, kind)| kind).collect();
        let part = Kind::Acknowledged { ends: None };
        assert_eq!(kinds, [part, part, Kind::Acknowledged { ends: Some(Number(5)) }]);
        assert_eq!(parts[0].0.len() + 1, WRITTEN_BYTES_MAX, "but for the letter before the quote");
    }
}

/// The texts of the parts of a message, one behind the other.
fn whole(parts: &[(String, Kind)], before: &str, manner: Manner) -> String {
    let text = |(part, _): &(String, Kind)| {
        let (_, body) = read_by_the_program(part, manner);
        body.strip_prefix(before).unwrap_or_else(|| panic!("{body:?}")).to_owned()
    };
    parts.iter().map(text).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_told_is_the_text_in_both_versions_of_the_program(message in messages()) {
        let from = match &message.from {
            Sender::User(_, name) => name.as_str(),
            Sender::Server => "server",
        };
        let how = if message.to == Recipient::Everyone { "Group Message from" } else { "Private message from" };
        for (manner, dialect) in DIALECTS {
            let event = Event::Message(message.clone());
            for ends in [near(), far()] {
                let parts = written(alice(manner), ends, |_, out| dialect.encode_event(&event, out));
                prop_assert_eq!(whole(&parts, &format!("{how} {from}: "), manner), message.text.as_str());
                let last = Kind::Acknowledged { ends: Some(message.number) };
                prop_assert_eq!(parts.iter().filter(|(_, kind)| *kind == last).count(), 1);
                prop_assert_eq!(parts.last().map(|&(_, kind)| kind), Some(last));
            }
        }
    }

    #[test]
    fn what_clients_say_is_what_the_hub_gets(to in names(), message in messages(), python in prop_oneof![
        Just(Python::Two), Just(Python::Three)
    ]) {
        let said = message.text.as_str();
        let texts = |entries: [(&str, &str); 3]| python.dict(entries.map(|(key, text)| (key, python.text(text))));
        let body = texts([("sender_username", "Alice"), ("receiver_username", to.as_str()), ("text", said)]);
        let at = python.address("127.0.0.1", 12000);
        let datagram = super::datagram_message::sealed(python, "SEND_MESSAGE", "MESSAGE_EXCHANGE", at, body);
        let Ok(Heard::Said(request)) = read(datagram.as_bytes()) else { panic!("{datagram}") };
        let Said::Request { request: Request::Message { to: receiver, text, .. }, .. } = alice(Manner::Plain).hear(request)
        else { panic!("{datagram}") };
        prop_assert_eq!((receiver, text), (to, message.text.clone()));
    }

    #[test]
    fn an_acknowledgement_is_cut_and_stays_one(words in ".{1,900}") {
        let Ok(words) = Text::replacing(words.as_bytes()) else { return Ok(()) };
        for manner in MANNERS {
            let event = Event::Delivered { number: Number(5), to: name("Bob"), words: Some(words.clone()) };
            let [(datagram, Kind::Control)] = &told(manner, &event)[..] else { panic!("one datagram") };
            let (message_type, body) = read_by_the_program(datagram, manner);
            prop_assert_eq!(message_type, "ACKNOWLEDGEMENT");
            prop_assert!(words.as_str().starts_with(&body) && !body.is_empty());
        }
    }
}
