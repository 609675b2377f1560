//! The `session` protocol (protocols.md, section 2): what clients say on their connection, and what they are told there. What
//! travels is ciphered by code of the test's own.

use chatd::hub::challenge::{Challenge, SessionKey};
use chatd::hub::effect::{Answer, CloseReason, Event, Reach, Refusal, Reply};
use chatd::hub::message::{HistoryPage, Message, Sender};
use chatd::hub::time::LocalTime;
use chatd::wire::session::server::{HISTORY_BYTES_MAX, HISTORY_MESSAGES_MAX};
use chatd::wire::session::texts::said as said_in_parts;
use chatd::wire::session::{MESSAGE_BYTES_MAX, READ_BYTES_MAX};
use chatd::wire::{
    Conversation, Dialect, Kind, Number, Password, Pieces, Request, RequestId, Step, TEXT_BYTES_MAX, TextError,
};
use proptest::prelude::*;
use proptest::sample::select;

use super::laws::{self, names, texts};
use super::samples::*;
use super::session_cipher::Cipher;
use super::unframed::{Client, Piece, control, last, line, pieces, told};

/// What the client's program looks for anywhere, and what stands in these words where they mean nothing.
const LOOKED_FOR: [&str; 3] = ["END_NOTIF", "CHAT_STARTED", "UNREACHABLE"];
const BREAK: char = '\u{200b}';

const RAND: &str = "4365043278";
const SECRET: &str = "100";
/// `CONNECT(4365043278)` as the vectors have it.
pub const CONNECT: &[u8] = b"\x74\x2b\x7b\x7d\x26\x21\x62\x19\x0d\x0b\x03\x56\x07\x05\x04\x02\x56\x01\x1b";
/// `CHAT_REQUEST(clientB)` likewise.
const CHAT_REQUEST: &[u8] = b"\x74\x2c\x74\x67\x3c\x30\x73\x60\x6c\x7d\x66\x37\x1f\x52\x5b\x59\x04\x57\x46\x27\x19";

/// A message as the client's program ciphers it.
pub fn ciphered(plain: &str) -> Vec<u8> {
    Cipher::new(RAND, SECRET).apply(plain).into_bytes()
}

/// What the client's program makes of a message.
fn deciphered(ciphered: &[u8]) -> String {
    Cipher::new(RAND, SECRET).apply(str::from_utf8(ciphered).expect("whole characters"))
}

/// What a client may say, each message ciphered by itself.
pub fn messages() -> impl Strategy<Value = Vec<u8>> {
    let commands = [
        "CHAT_REQUEST(Bob)",
        "CHAT_CHECK(20240229235958,  Bob)",
        "END_REQUEST(20240229235958)",
        "END_REQUEST(None)",
        "END_CHECK(20240229235958)",
        "HISTORY_REQ(Bob)",
        "log off",
    ];
    prop_oneof![select(commands.to_vec()).prop_map(str::to_owned), texts().prop_map(|text| text.as_str().to_owned())]
        .prop_map(|plain| ciphered(&plain))
}

/// Who has logged on and is expected.
pub fn expected() -> Client {
    let challenge = Challenge::parse(RAND).expect("a challenge");
    Client::of(Conversation::session(SessionKey::of(challenge, &Password::parse(SECRET).expect("a secret"))))
}

/// Who has come in as Alice.
fn alice() -> Client {
    let mut client = expected();
    client.come(CONNECT);
    assert_eq!(
        answered(&mut client, None, Ok(Reply::Welcome { user: name("Alice"), waiting: 3 })),
        [control("CONNECTED\n")]
    );
    client
}

fn id(seconds: u64) -> LocalTime {
    LocalTime::from_number(20_240_229_235_900 + seconds)
}

/// Alice, in a chat with Bob.
fn in_chat() -> Client {
    let mut alice = alice();
    let started = Reply::ChatStarted { id: id(58), peer: name("Bob") };
    assert_eq!(answered(&mut alice, None, Ok(started)), [control("CHAT_STARTED(20240229235958, Bob)")]);
    alice
}

fn answered(client: &mut Client, id: Option<RequestId>, answer: Answer) -> Vec<Piece> {
    let mut out = Pieces::default();
    client.conversation.encode_answer(id, &answer, &mut out);
    pieces(&out)
}

/// What becomes of messages that are each read by itself, without the bytes that they took.
fn heard(client: &mut Client, plain: &str) -> (Option<RequestId>, Request) {
    let bytes = ciphered(plain);
    match &client.say(&bytes)[..] {
        [Step::Request { used, id, request }] if *used == bytes.len() => (*id, request.clone()),
        other => panic!("{plain}: {other:?}"),
    }
}

/// What becomes of messages that are read as one.
fn heard_at_once(client: &mut Client, messages: &[&str]) -> Vec<Request> {
    let bytes: Vec<u8> = messages.iter().flat_map(|plain| ciphered(plain)).collect();
    let request = |step: &Step| match step {
        Step::Request { request, .. } => Some(request.clone()),
        Step::Refused { reply, .. } if reply.is_empty() => None,
        other => panic!("{messages:?}: {other:?}"),
    };
    client.say(&bytes).iter().filter_map(request).collect()
}

/// The decoder itself answers.
fn refused(client: &mut Client, plain: &str, reply: &str) {
    let bytes = ciphered(plain);
    assert_eq!(client.say(&bytes), [Step::Refused { used: bytes.len(), reply: reply.into() }], "{plain}");
}

fn violation(why: &str) -> [Step; 1] {
    [Step::Violation { reply: why.into() }]
}

const UNDECIPHERABLE: &str = "this can't be deciphered: log on again";

#[test]
fn the_first_message_says_who_comes_without_a_lull() {
    let challenge = Challenge::parse(RAND).expect("a challenge");
    let connect = || Step::Request { used: CONNECT.len(), id: None, request: Request::Connect(challenge) };
    let mut client = expected();
    assert_eq!(client.come(&CONNECT[..18]), []);
    assert_eq!(client.come(&CONNECT[18..]), [connect()]);
    let chat = || Step::Request { used: CHAT_REQUEST.len(), id: None, request: Request::Chat(name("clientB")) };
    assert_eq!(client.come(CHAT_REQUEST), []);
    assert_eq!(client.say(b""), [chat()]);
    let mut glued = expected();
    assert_eq!(glued.say(&[CONNECT, CHAT_REQUEST].concat()), [connect(), chat()]);
}

#[test]
fn who_begins_otherwise_is_not_who_was_expected() {
    for first in [&b"CONNECT(4365043278)"[..], CHAT_REQUEST, &[0xff; 19], &ciphered("CONNECT(0365043278)")] {
        assert_eq!(expected().come(first), violation(UNDECIPHERABLE), "{first:?}");
    }
    assert_eq!(expected().say(&CONNECT[..18]), violation(UNDECIPHERABLE));
}

#[test]
fn each_message_becomes_what_was_meant() {
    let history = Request::History { with: Some(name("Bob")), before: None, limit: HISTORY_MESSAGES_MAX };
    for (plain, request) in [
        ("CHAT_REQUEST(Bob)", Request::Chat(name("Bob"))),
        ("END_REQUEST(20240229235958)", Request::EndChat(Some(id(58)))),
        ("HISTORY_REQ(Bob)", history),
        ("log off", Request::LogOut),
        (" LOG Off\n", Request::LogOut),
        ("hi", Request::Say(text("hi"))),
        ("héllo wörld — ✓ 🎉\n\tyes", Request::Say(text("héllo wörld — ✓ 🎉\n\tyes"))),
        ("CHAT_REQUEST", Request::Say(text("CHAT_REQUEST"))),
        ("chat_request(Bob)", Request::Say(text("chat_request(Bob)"))),
        ("END_REQUEST(2024)", Request::Say(text("END_REQUEST(2024)"))),
        ("CHAT_CHECK(20240229235958, Bob)", Request::Say(text("CHAT_CHECK(20240229235958, Bob)"))),
        ("CONNECT(4365043278)", Request::Say(text("CONNECT(4365043278)"))),
        ("a\u{7}b", Request::Say(text("a\u{fffd}b"))),
    ] {
        for mut client in [alice(), in_chat()] {
            assert_eq!(heard(&mut client, plain).1, request, "{plain}");
        }
    }
}

#[test]
fn what_only_confirms_or_ends_nothing_is_not_answered() {
    for plain in ["CHAT_CHECK(20240229235958,  Bob)", "END_CHECK(20240229235958)", "END_REQUEST(None)"] {
        for mut client in [alice(), in_chat()] {
            refused(&mut client, plain, "");
        }
    }
}

#[test]
fn names_that_nobody_can_have_are_answered_at_once() {
    let mut alice = alice();
    refused(&mut alice, "CHAT_REQUEST(no name)", "UNREACHABLE(no name)");
    refused(&mut alice, "CHAT_REQUEST()", "UNREACHABLE()");
    refused(&mut alice, "CHAT_REQUEST(é)", "UNREACHABLE(é)");
    refused(&mut alice, "CHAT_REQUEST(an END_NOTIF)", "UNREACHABLE(an E\u{200b}ND_NOTIF)");
    refused(&mut alice, "HISTORY_REQ(no name)", "there is no user no name");
    refused(&mut alice, "HISTORY_REQ(alice)", "there is no history of you with yourself");
}

#[test]
fn what_can_be_no_message_is_told_to_the_sender() {
    let long = "x".repeat(TEXT_BYTES_MAX);
    let mut alice = in_chat();
    assert_eq!(heard(&mut alice, &long).1, Request::Say(text(&long)));
    let (id, request) = heard(&mut alice, &format!("{long}x"));
    assert_eq!(request, Request::Unfit(TextError::TooLong));
    let why = "a message has at most 4096 bytes; send it in parts";
    assert_eq!(answered(&mut alice, id, Err(Refusal::Unfit(TextError::TooLong))), [line(why)]);
    assert_eq!(alice.come(&vec![b'x'; MESSAGE_BYTES_MAX - 1]), []);
    assert_eq!(alice.come(b"x"), violation(why), "it has no end");
}

#[test]
fn what_nobody_can_have_said_ends_the_session() {
    for bytes in [&b"\xff"[..], b"abc\xc3", "é".as_bytes()[1..].as_ref()] {
        assert_eq!(in_chat().say(bytes), violation(UNDECIPHERABLE), "{bytes:?}");
    }
}

#[test]
fn commands_that_are_known_beforehand_are_told_from_the_text_before_them() {
    let (say, end) = (|body| Request::Say(text(body)), || Request::EndChat(Some(id(58))));
    let (check, end_check, end_request) =
        ("CHAT_CHECK(20240229235958,  Bob)", "END_CHECK(20240229235958)", "END_REQUEST(20240229235958)");
    for (messages, requests) in [
        (&["hi", check][..], vec![say("hi")]),
        (&[check, check], vec![]),
        (&["hé ✓", check, end_request], vec![say("hé ✓"), end()]),
        (&[check, end_request, end_check], vec![end()]),
        (&["CHAT_REQUEST(carol)", end_check], vec![Request::Chat(name("carol"))]),
        (&["END_REQUEST(None)", end_check], vec![]),
    ] {
        assert_eq!(heard_at_once(&mut in_chat(), messages), requests, "{messages:?}");
    }
    let rubbish = heard_at_once(&mut alice(), &["hi", check]);
    assert!(matches!(&rubbish[..], [Request::Say(text)] if text.as_str().starts_with("hi")), "no chat, no command");
}

#[test]
fn the_commands_of_the_last_chat_are_known_as_well() {
    let ended: [fn(&mut Client); 2] = [
        |alice| {
            let ended = Reply::ChatEnded { id: id(58), peer: name("Bob") };
            assert_eq!(answered(alice, None, Ok(ended)), [], "who ends a chat knows it");
        },
        |alice| alice.conversation.told(&Event::ChatEnded { id: id(58), peer: name("Bob") }),
    ];
    for end in ended {
        let mut alice = in_chat();
        end(&mut alice);
        let over = ["hi", "END_CHECK(20240229235958)"];
        assert_eq!(heard_at_once(&mut alice, &over), [Request::Say(text("hi"))]);
        alice.conversation.told(&Event::ChatStarted { id: id(59), peer: name("END_NOTIF") });
        assert_eq!(heard_at_once(&mut alice, &over), [Request::Say(text("hi"))]);
        let both = ["hi", "END_CHECK(20240229235958)", "CHAT_CHECK(20240229235959,  E\u{200b}ND_NOTIF)"];
        assert_eq!(heard_at_once(&mut alice, &both), [Request::Say(text("hi"))]);
    }
}

/// What a client is told of an event.
fn shown(event: &Event) -> Vec<Piece> {
    match event {
        Event::Message(message) => {
            let from = match message.from {
                Sender::Server => "server",
                Sender::User(..) => "Bob",
            };
            let body = match message.text.as_str() {
                ODD => "a \"b\" \\ c\n    \td é\u{2028} 😀",
                other => other,
            };
            vec![last(5, format!("{from}: {body}"))]
        }
        Event::ChatStarted { .. } => vec![control("CHAT_STARTED(20240229235958, Bob)")],
        Event::ChatEnded { .. } => vec![control("END_NOTIF(20240229235958)")],
        Event::Missed { .. } => vec![line("missed 2: too many messages came while you were away")],
        Event::Revoked(_) => vec![line("Bob has taken back the yes")],
        Event::Closing(reason) => vec![line(match reason {
            CloseReason::Displaced => "this device has logged in again elsewhere",
            CloseReason::Shutdown => "the server stops",
            CloseReason::HeartbeatMissed => "the server has heard nothing for too long",
            CloseReason::AccountChanged => "the account or its password was changed; log in again",
            CloseReason::Kicked => "the operator has ended this session",
            CloseReason::LogInsFailed => {
                "too many log-ins have failed on this connection: connect again for another try"
            }
        })],
        Event::Online(_) | Event::Offline(_) | Event::Delivered { .. } | Event::Token => vec![],
        Event::Asks { .. } | Event::AskOver { .. } | Event::Address { .. } | Event::NoAddress { .. } => vec![],
    }
}

#[test]
fn each_event_has_its_bytes() {
    let chat =
        [Event::ChatStarted { id: id(58), peer: name("Bob") }, Event::ChatEnded { id: id(58), peer: name("Bob") }];
    let is_chat = |event: &Event| matches!(event, Event::ChatStarted { .. } | Event::ChatEnded { .. });
    let others = events().into_iter().map(|(event, _)| event).filter(|event| !is_chat(event));
    for event in others.chain(chat) {
        assert_eq!(told(Dialect::Session, &event), shown(&event), "{event:?}");
    }
}

#[test]
fn a_refusal_is_a_line_to_read_but_of_a_chat() {
    for (refusal, _, why) in refusals() {
        let expected = match &refusal {
            Refusal::Unreachable(user) => control(format!("UNREACHABLE({user})")),
            _ => line(why),
        };
        assert_eq!(answered(&mut alice(), None, Err(refusal)), [expected]);
    }
    let mut alice = alice();
    let (id, _) = heard(&mut alice, "CHAT_REQUEST(bob)");
    assert_eq!(answered(&mut alice, id, Err(Refusal::Unreachable(name("Bob")))), [control("UNREACHABLE(Bob)")]);
    let broken = Refusal::Unreachable(name("UNREACHABLE"));
    assert_eq!(answered(&mut alice, id, Err(broken)), [control("UNREACHABLE(U\u{200b}NREACHABLE)")]);
    let (id, _) = heard(&mut alice, "hi");
    let how = "you are in no chat: begin one with CHAT_REQUEST(NAME)";
    assert_eq!(answered(&mut alice, id, Err(Refusal::NotInChat)), [line(how)]);
    let (id, _) = heard(&mut alice, "END_REQUEST(20240229235958)");
    assert_eq!(answered(&mut alice, id, Err(Refusal::NotInChat)), [], "the other side has ended it at the same time");
    let unknown = Err(Refusal::NoSuchUser(name("END_NOTIF")));
    assert_eq!(answered(&mut alice, None, unknown), [line("there is no user E\u{200b}ND_NOTIF")]);
}

#[test]
fn what_was_done_without_a_word_for_it_is_not_told() {
    let has_words =
        |reply: &Reply| matches!(reply, Reply::History(_) | Reply::ChatStarted { .. } | Reply::Welcome { .. });
    for (reply, _) in replies().into_iter().filter(|(reply, _)| !has_words(reply)) {
        assert_eq!(answered(&mut in_chat(), None, Ok(reply)), []);
    }
    for reach in [Reach::Online, Reach::Queued, Reach::Partial, Reach::Nobody] {
        assert_eq!(answered(&mut in_chat(), None, Ok(Reply::Accepted { number: Number(5), reach })), []);
    }
}

fn said_at(second: u64, from: &str, body: &str) -> std::sync::Arc<Message> {
    let said = Message::clone(&message(5, from, "alice", body));
    Message { local: id(second), ..said }.into()
}

#[test]
fn a_history_is_told_by_the_beginnings_of_its_chats() {
    let history = |messages, more| Ok(Reply::History(HistoryPage { messages, more }));
    assert_eq!(answered(&mut alice(), None, history(vec![], false)), [line("you two have said nothing to each other")]);
    let messages = vec![said_at(1, "Bob", "hi"), said_at(1, "Alice", "a\nCHAT_STARTED"), said_at(7, "Bob", "é")];
    let lines =
        "<20240229235901> Bob: hi\n<20240229235901> Alice: a\n    C\u{200b}HAT_STARTED\n<20240229235907> Bob: é\n";
    assert_eq!(answered(&mut alice(), None, history(messages.clone(), false)), [line(lines)]);
    let more = line("there are older messages, which are not shown here");
    assert_eq!(answered(&mut alice(), None, history(messages, true)), [more, line(lines)]);
    // 25 bytes stand around each text.
    let long = || said_at(1, "Bob", &"x".repeat(READ_BYTES_MAX - 25 - 25 - 3));
    let one = format!("<20240229235901> Bob: {}\n", "x".repeat(READ_BYTES_MAX - 53));
    let filled = format!("{one}<20240229235901> Bob: hi!\n");
    let told = answered(&mut alice(), None, history(vec![long(), said_at(1, "Bob", "hi!"), long()], false));
    assert_eq!(told, [line(filled), line(one)]);
}

#[test]
fn a_history_has_a_bound_and_is_the_newest() {
    let newlines = said_at(1, "Bob", &"\n".repeat(TEXT_BYTES_MAX));
    let history = |count: usize| {
        let mut messages = vec![newlines.clone(); count];
        messages.push(said_at(2, "Bob", "the last"));
        let page = HistoryPage { messages, more: false };
        answered(&mut alice(), None, Ok(Reply::History(page)))
    };
    let more = line("there are older messages, which are not shown here");
    assert!(!history(10).contains(&more));
    let told = history(HISTORY_MESSAGES_MAX - 1);
    let bytes: usize = told.iter().skip(1).map(|(piece, _)| piece.len()).sum();
    assert_eq!(told[0], more);
    assert!((HISTORY_BYTES_MAX - 6 * TEXT_BYTES_MAX..=HISTORY_BYTES_MAX).contains(&bytes), "{bytes}");
    assert!(told.last().is_some_and(|(piece, _)| piece.ends_with("<20240229235902> Bob: the last\n")));
}

#[test]
fn a_long_text_comes_in_parts_and_the_last_ends_it() {
    let event = |body: &str| Event::Message(message(5, "Bob", "alice", body));
    let fits = "x".repeat(READ_BYTES_MAX - 5);
    assert_eq!(told(Dialect::Session, &event(&fits)), [last(5, format!("Bob: {fits}"))]);
    let first = line(format!("Bob: {fits}"));
    assert_eq!(told(Dialect::Session, &event(&format!("{fits}é"))), [first.clone(), last(5, "Bob: é")]);
    assert_eq!(told(Dialect::Session, &event(&format!("{fits}\n"))), [first, last(5, "Bob: \n    ")]);
}

#[test]
fn words_that_the_client_looks_for_are_broken_in_what_others_say() {
    let said = told(Dialect::Session, &Event::Message(message(5, "Bob", "alice", "END_NOTIF(1) UNREACHABLE")));
    assert_eq!(said, [last(5, "Bob: E\u{200b}ND_NOTIF(1) U\u{200b}NREACHABLE")]);
    let from = told(Dialect::Session, &Event::Message(message(5, "CHAT_STARTED", "everyone", "hi")));
    assert_eq!(from, [last(5, "C\u{200b}HAT_STARTED: hi")]);
}

#[test]
fn each_client_is_written_to_in_its_own_cipher() {
    let alice = alice();
    assert!(alice.conversation.is_sealed() && alice.conversation.ends_by_quiet());
    let mut sealed = Vec::new();
    alice.conversation.seal(b"CHAT_REQUEST(clientB)", &mut sealed);
    assert_eq!(sealed, CHAT_REQUEST);
    for (event, _) in events() {
        for (piece, _) in told(Dialect::Session, &event) {
            sealed.clear();
            alice.conversation.seal(piece.as_bytes(), &mut sealed);
            assert_eq!((sealed.len(), deciphered(&sealed)), (piece.len(), piece));
        }
    }
}

#[test]
fn a_farewell_is_a_line_to_read() {
    for (farewell, _, text) in farewells() {
        let mut out = Pieces::default();
        expected().conversation.encode_farewell(farewell, &mut out);
        assert_eq!(pieces(&out), [line(text)]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_our_own_client_says_is_what_the_hub_gets(user in names(), text in texts()) {
        let mut alice = in_chat();
        let mut said = String::new();
        for part in said_in_parts(&user, &text) {
            prop_assert!(part.len() <= READ_BYTES_MAX);
            match heard(&mut alice, &part).1 {
                Request::Say(text) => said += text.as_str(),
                other => panic!("{part}: {other:?}"),
            }
        }
        prop_assert_eq!(said.replace(BREAK, ""), text.as_str().replace(BREAK, ""));
    }

    #[test]
    fn what_is_told_is_the_text_line_by_line(message in laws::messages()) {
        let from = match &message.from {
            Sender::User(_, name) => name.as_str(),
            Sender::Server => "server",
        };
        let parts = told(Dialect::Session, &Event::Message(message.clone()));
        let mut text = String::new();
        for (index, (part, kind)) in parts.iter().enumerate() {
            prop_assert!(part.len() <= READ_BYTES_MAX);
            prop_assert_eq!(*kind, Kind::Text { ends: (index + 1 == parts.len()).then_some(message.number) });
            prop_assert!(!LOOKED_FOR.iter().any(|word| part.contains(word)), "{}", part);
            text += part.replace(BREAK, "").strip_prefix(&format!("{from}: ")).expect("a sender");
        }
        prop_assert_eq!(text.replace("\n    ", "\n"), message.text.as_str().replace(BREAK, ""));
    }
}
