use proptest::prelude::*;
use serde_json::Value;

use super::glued::{self, Beginnings, Endings, connect};
use super::log_on::{self, FourDigitPort};
use super::messages::{FromClient, FromServer};
use super::texts::{self, Line};
use super::*;
use crate::hub::id::Number;
use crate::hub::time::WallTime;
use crate::hub::time::{LocalTime, UtcOffset};
use crate::wire::{Kind, Password, Pieces, Text, TextError};

fn name(text: &str) -> UserName {
    UserName::parse(text).unwrap()
}

fn text(text: &str) -> Text {
    Text::parse(text).unwrap()
}

fn challenge() -> Challenge {
    Challenge::new(4_365_043_278).unwrap()
}

fn key() -> SessionKey {
    SessionKey::of(challenge(), &Password::parse("100").unwrap())
}

/// 2024-02-29 23:59:58 UTC.
const WALL: WallTime = WallTime::from_millis(1_709_251_198_999);

fn id() -> LocalTime {
    LocalTime::at(WALL, UtcOffset(0))
}

fn ciphered(plain: &str) -> Vec<u8> {
    let mut out = Vec::new();
    key().encipher(plain, &mut out);
    out
}

fn vectors() -> Vec<Value> {
    serde_json::from_str(include_str!("../../../tests/vectors/session.json")).unwrap()
}

fn bytes(digits: &str) -> Vec<u8> {
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn the_vectors_hold() {
    for vector in vectors() {
        let field = |name: &str| vector[name].as_str().unwrap();
        let (challenge, secret) = (Challenge::parse(field("rand")).unwrap(), Password::parse(field("secret")).unwrap());
        assert_eq!(Response::to(challenge, &secret).to_string(), field("response"));
        let key = SessionKey::of(challenge, &secret);
        assert_eq!(key.decipher(&[0; 128]).unwrap(), field("session_key"));
        let messages = vector["messages"].as_array().unwrap();
        assert_eq!(messages.len(), 7);
        for message in messages {
            let (plain, expected) = (message["plain"].as_str().unwrap(), message["cipher_utf8_hex"].as_str().unwrap());
            let mut out = Vec::new();
            key.encipher(plain, &mut out);
            assert_eq!(out, bytes(expected), "{plain}");
            assert_eq!(key.decipher(&out).unwrap(), plain);
        }
    }
}

#[test]
fn the_log_on_is_these_bytes() {
    let (user, secret) = (Named::parse("clientA"), Password::parse("100").unwrap());
    let response = Response::to(challenge(), &secret);
    let said = [
        (log_on::FromClient::Hello(user.clone()), "HELLO(clientA)".to_owned()),
        (log_on::FromClient::Response { user, response }, format!("RESPONSE(clientA, {response})")),
    ];
    for (message, bytes) in said {
        assert_eq!(message.write(), bytes.as_bytes());
        assert_eq!(log_on::FromClient::parse(bytes.as_bytes()), Some(message));
    }
    let port = FourDigitPort::new(6001).unwrap();
    let told = [
        (log_on::FromServer::Challenge(challenge()), log_on::challenge(challenge())),
        (log_on::FromServer::NotOnList, b"Not on subscriber list.\n".to_vec()),
        (log_on::FromServer::Failure, b"AUTH_FAIL".to_vec()),
        (log_on::FromServer::Success { challenge: challenge(), port }, log_on::success(challenge(), port, &key())),
    ];
    for (message, bytes) in &told {
        assert_eq!(log_on::FromServer::parse(bytes, Some(&key())), Some(*message));
    }
    assert_eq!(told[0].1, b"CHALLENGE(4365043278)");
    assert_eq!(told[3].1, ciphered("AUTH_SUCCESS(4365043278, 6001)"));
    assert_eq!(log_on::FromServer::parse(&told[3].1, None), None, "who was not challenged can't have logged on");
}

#[test]
fn what_is_no_datagram_of_the_log_on_is_nothing() {
    let response = Response::to(challenge(), &Password::parse("100").unwrap()).to_string();
    let bad = [
        String::new(),
        "HELLO".into(),
        "HELLO(bob".into(),
        "hello(bob)".into(),
        "HELLO(bob)\n".into(),
        format!("RESPONSE(bob,{response})"),
        format!("RESPONSE(bob, {})", &response[1..]),
        format!("RESPONSE(bob, {})", response.to_uppercase()),
        format!("HELLO({})", "b".repeat(READ_BYTES_MAX)),
    ];
    for datagram in bad {
        assert_eq!(log_on::FromClient::parse(datagram.as_bytes()), None, "{datagram}");
    }
    assert_eq!(log_on::FromClient::parse(b"HELLO(\xff)"), None);
    let nobody = log_on::FromClient::Hello(Named::Nobody("no name".into()));
    assert_eq!(log_on::FromClient::parse(b"HELLO(no name)"), Some(nobody));
    for bad in ["CHALLENGE(436504327)", "CHALLENGE(4365043278", "AUTH_FAIL\n", "Not on subscriber list."] {
        assert_eq!(log_on::FromServer::parse(bad.as_bytes(), Some(&key())), None, "{bad}");
    }
    for bad in ["AUTH_SUCCESS(4365043278, 600)", "AUTH_SUCCESS(4365043278, +600)", "AUTH_SUCCESS(4365043278, 0600)"] {
        assert_eq!(log_on::FromServer::parse(&ciphered(bad), Some(&key())), None, "{bad}");
    }
    assert_eq!((FourDigitPort::new(999), FourDigitPort::new(10_000)), (None, None));
}

/// What clients say, as they say it.
fn from_client() -> Vec<(&'static str, FromClient)> {
    let (bob, id) = (name("bob"), id());
    vec![
        ("CONNECT(4365043278)", FromClient::Connect(challenge())),
        ("CHAT_REQUEST(bob)", FromClient::ChatRequest(Named::User(bob.clone()))),
        ("CHAT_REQUEST(no name)", FromClient::ChatRequest(Named::Nobody("no name".into()))),
        ("CHAT_CHECK(20240229235958,  bob)", FromClient::ChatCheck { id, peer: bob.clone() }),
        ("END_REQUEST(20240229235958)", FromClient::EndRequest(Some(id))),
        ("END_REQUEST(None)", FromClient::EndRequest(None)),
        ("END_CHECK(20240229235958)", FromClient::EndCheck(id)),
        ("HISTORY_REQ(bob)", FromClient::HistoryRequest(Named::User(bob))),
        ("log off", FromClient::LogOff),
        ("first message", FromClient::Text(text("first message"))),
    ]
}

/// What servers say.
fn from_server() -> Vec<(&'static str, FromServer)> {
    let (peer, id) = (name("bob"), id());
    vec![
        ("CONNECTED\n", FromServer::Connected),
        ("CHAT_STARTED(20240229235958, bob)", FromServer::ChatStarted { id, peer: peer.clone() }),
        ("UNREACHABLE(bob)", FromServer::Unreachable(Named::User(peer))),
        ("UNREACHABLE()", FromServer::Unreachable(Named::Nobody(String::new()))),
        ("END_NOTIF(20240229235958)", FromServer::EndNotif(id)),
        ("bob: hi", FromServer::Text("bob: hi".into())),
    ]
}

#[test]
fn each_message_is_its_bytes_and_comes_back() {
    for (plain, message) in from_client() {
        assert_eq!(message.write(), plain);
        assert_eq!(FromClient::parse(plain), Ok(message));
    }
    for (plain, message) in from_server() {
        assert_eq!(message.write(), plain);
        assert_eq!(FromServer::parse(plain), message);
    }
    for plain in ["log off", " LOG off\n", "\tlog OFF "] {
        assert_eq!(FromClient::parse(plain), Ok(FromClient::LogOff), "{plain:?}");
    }
}

#[test]
fn what_only_looks_like_a_command_is_a_text() {
    let texts = [
        "CHAT_CHECK(20240229235958, bob)",
        "CHAT_CHECK(2024022923595,  bob)",
        "CHAT_CHECK(20240229235958,  )",
        "END_REQUEST(none)",
        "END_REQUEST(+2024022923595)",
        "END_CHECK(None)",
        "end_request(None)",
        "END_REQUEST(None) ",
        "CONNECT(1)",
        "CHAT_REQUEST(bob",
        "log  off",
        "logoff",
    ];
    for plain in texts {
        assert_eq!(FromClient::parse(plain), Ok(FromClient::Text(text(plain))), "{plain}");
    }
    assert_eq!(FromClient::parse(""), Err(TextError::Empty));
    assert_eq!(FromClient::parse("a\u{7}"), Ok(FromClient::Text(text("a\u{fffd}"))));
    for plain in ["CONNECTED", "CHAT_STARTED(2024, bob)", "UNREACHABLE", "END_NOTIF()", "xEND_NOTIF(20240229235958)"] {
        assert_eq!(FromServer::parse(plain), FromServer::Text(plain.into()));
    }
}

#[test]
fn a_chat_is_named_by_its_local_time() {
    assert_eq!(id().to_string(), "20240229235958");
    assert_eq!(LocalTime::at(WALL, UtcOffset(7200)).to_string(), "20240301015958");
    assert_eq!(LocalTime::at(WALL, UtcOffset(-18_000)).to_string(), "20240229185958");
    for far in [WallTime::from_millis(u64::MAX), WallTime::from_millis(i64::MAX as u64)] {
        assert!(LocalTime::at(far, UtcOffset(93_599)).to_string().starts_with("9999"), "there are no more digits");
    }
    assert_eq!(LocalTime::at(WallTime::from_millis(0), UtcOffset(0)).to_string(), "19700101000000");
}

#[test]
fn the_words_that_clients_look_for_are_broken_and_nothing_else() {
    let rows = [
        ("the END_NOTIF word", "the E\u{200b}ND_NOTIF word"),
        ("CHAT_STARTEDUNREACHABLE", "C\u{200b}HAT_STARTEDU\u{200b}NREACHABLE"),
        ("UNREACHABLEND_NOTIF", "U\u{200b}NREACHABLE\u{200b}ND_NOTIF"),
        ("E\u{200b}ND_NOTIF", "E\u{200b}ND_NOTIF"),
        ("end_notif END_NOTI CHAT_CHECK é", "end_notif END_NOTI CHAT_CHECK é"),
    ];
    for (plain, expected) in rows {
        assert_eq!(broken(plain), expected);
    }
}

#[test]
fn somebody_may_be_called_by_such_a_word() {
    let peer = name("END_NOTIF");
    let started = FromServer::ChatStarted { id: id(), peer: peer.clone() }.write();
    assert_eq!(started, "CHAT_STARTED(20240229235958, E\u{200b}ND_NOTIF)");
    assert_eq!(FromServer::parse(&started), FromServer::ChatStarted { id: id(), peer: peer.clone() });
    let check = format!("CHAT_CHECK({},  E\u{200b}ND_NOTIF)", id());
    assert_eq!(FromClient::parse(&check), Ok(FromClient::ChatCheck { id: id(), peer: peer.clone() }));
    let request = FromClient::ChatRequest(Named::User(peer));
    assert_eq!(FromClient::parse("CHAT_REQUEST(E\u{200b}ND_NOTIF)"), Ok(request.clone()));
    assert_eq!(FromClient::parse("CHAT_REQUEST(END_NOTIF)"), Ok(request));
}

/// All messages in what was read at once.
fn separate(mut read: &[u8], known: &[&Endings]) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    while !read.is_empty() {
        let first = glued::first(read, known.iter().copied());
        messages.push(first.to_vec());
        read = &read[first.len()..];
    }
    messages
}

#[test]
fn commands_behind_a_text_are_told_apart() {
    let endings = Endings::of(id(), &name("bob"), &key());
    let check = ciphered("CHAT_CHECK(20240229235958,  bob)");
    let end = ciphered("END_REQUEST(20240229235958)");
    let ended = ciphered("END_CHECK(20240229235958)");
    let said = ciphered("héllo ✓");
    let separated = |parts: &[&[u8]]| separate(&parts.concat(), &[&endings]);
    let rows: [&[&[u8]]; 7] = [
        &[],
        &[&said],
        &[&check],
        &[&said, &check],
        &[&said, &check, &end],
        &[&check, &check, &ended],
        &[&said, &end, &ended],
    ];
    for parts in rows {
        assert_eq!(separated(parts), parts);
    }
    let other = Endings::of(LocalTime::at(WallTime::from_millis(0), UtcOffset(0)), &name("bob"), &key());
    let glued = [&said[..], &check].concat();
    assert_eq!(separate(&glued, &[&other]), [&glued[..]], "another chat's are not known");
    let backwards = [&check[..], &said].concat();
    assert_eq!(separate(&backwards, &[&endings]), [&backwards[..]], "what stands before a text is not told apart");
    let earlier = ciphered("END_CHECK(19700101000000)");
    let both = [&said[..], &earlier, &check, &earlier, &end].concat();
    assert_eq!(separate(&both, &[&endings, &other]), [&said[..], &earlier, &check, &earlier, &end]);
}

#[test]
fn a_session_opens_like_no_other_protocol() {
    assert_eq!(connect(challenge(), &key()), ciphered("CONNECT(4365043278)"));
    for digit in *b"0123456789abcdef" {
        let second = char::from(b'O' ^ digit);
        assert!(second != '"' && second != 'n' && !second.is_whitespace(), "{second:?}");
    }
}

fn told(write: impl Fn(&mut Pieces)) -> Vec<(String, Kind)> {
    let mut out = Pieces::default();
    write(&mut out);
    out.iter().map(|(bytes, kind)| (String::from_utf8(bytes.to_vec()).unwrap(), kind)).collect()
}

#[test]
fn texts_come_in_parts_that_are_read_at_once() {
    let number = Some(Number(7));
    let one = told(|out| texts::relayed("bob", &text("END_NOTIF(1)\nhi"), number, out));
    assert_eq!(one, [("bob: E\u{200b}ND_NOTIF(1)\n    hi".into(), Kind::Text { ends: number })]);
    let two = told(|out| texts::relayed("bob", &text(&"é".repeat(600)), number, out));
    let parts = [(509, Kind::Text { ends: None }), (91, Kind::Text { ends: number })];
    assert_eq!(two, parts.map(|(count, kind)| (format!("bob: {}", "é".repeat(count)), kind)));
}

#[test]
fn a_history_shares_messages() {
    let line = |said: &str| Line { id: id(), from: name("bob"), text: text(said) };
    let lines = [line("hi"), line("a\nCHAT_STARTED"), line(&"x".repeat(1500))];
    let messages = told(|out| texts::history(&lines, out));
    let head = "<20240229235958> bob: ";
    let first = format!("{head}hi\n{head}a\n    C\u{200b}HAT_STARTED\n");
    let (long, rest) = (format!("{head}{}\n", "x".repeat(1001)), format!("{head}{}\n", "x".repeat(499)));
    assert_eq!(messages, [first, long, rest].map(|message| (message, Kind::Text { ends: None })));
    assert_eq!(told(|out| texts::history(&[], out)), []);
}

#[test]
fn what_is_told_back_to_back_is_told_apart_by_how_it_begins() {
    let messages =
        ["CONNECTED\n", "bob: one", "bob: two, é", "END_NOTIF(20240229235958)", "CHAT_STARTED(20240229235959, bob)"];
    let read: Vec<u8> = messages.iter().flat_map(|message| ciphered(message)).collect();
    let apart = |peer: &UserName| -> Vec<String> {
        let separate = Beginnings::of(Some(peer), &key()).separate(&read).into_iter();
        separate.map(|message| key().decipher(message).unwrap()).collect()
    };
    assert_eq!(apart(&name("bob")), messages);
    assert_eq!(apart(&name("carol")).len(), 3, "another's texts begin in no known way");
    let short = Beginnings::of(Some(&name("b")), &key());
    assert_eq!(short, Beginnings::of(None, &key()));
    assert!(short.separate(b"").is_empty());
}

#[test]
fn what_was_relayed_and_what_was_kept_come_back() {
    let said = text("log off\nCHAT_STARTED, and END_NOTIF");
    let [(relayed, _)] = &told(|out| texts::relayed("bob", &said, None, out))[..] else { panic!("one part") };
    assert_eq!(texts::parse_relayed(relayed), Some((name("bob"), said.as_str().to_owned())));
    assert_eq!(texts::parse_relayed("bob: l\u{200b}og off"), Some((name("bob"), "log off".into())));
    assert_eq!(texts::parse_relayed("There is no history."), None);
    assert_eq!(texts::parse_relayed("no name: hi"), None);
    let lines = [("bob", "one\ntwo"), ("UNREACHABLE", "three")];
    let lines = lines.map(|(from, said)| Line { id: id(), from: name(from), text: text(said) });
    let [(history, _)] = &told(|out| texts::history(&lines, out))[..] else { panic!("one message") };
    assert_eq!(texts::parse_history(history), Some(lines.to_vec()));
    assert_eq!(texts::parse_history("<20240229235958> bob: one\nand two\n").unwrap()[0].text, text("one\nand two"));
    assert_eq!(texts::parse_history("There is no history."), None);
    assert_eq!(texts::parse_history("<2024> bob: one\n"), None);
}

#[test]
fn what_is_said_is_a_text_whatever_it_is() {
    for (plain, _) in from_client().into_iter().filter(|(plain, _)| *plain != "first message") {
        let said = texts::said(&name("bob"), &text(plain));
        let [one] = &said[..] else { panic!("{said:?}") };
        assert!(matches!(FromClient::parse(one), Ok(FromClient::Text(_))), "{one}");
        assert_eq!(one.replace(BREAK, ""), plain);
    }
    assert_eq!(texts::said(&name("bob"), &text("UNREACHABLE hi")), ["U\u{200b}NREACHABLE hi"]);
}

/// Texts with what is dangerous in them.
fn texts_with_words() -> impl Strategy<Value = Text> {
    let word = prop_oneof![
        Just("END_NOTIF".to_owned()),
        Just("UNREACHABLE".to_owned()),
        Just("UNREACHABL".to_owned()),
        Just("CHAT_STARTED(".to_owned()),
        Just("END_REQUEST(None)".to_owned()),
        Just("log off".to_owned()),
        "[a-zA-Z\u{200b}é✓🎉\n ]{1,300}",
    ];
    proptest::collection::vec(word, 1..8).prop_map(|words| Text::parse(&words.concat()).unwrap())
}

proptest! {
    #[test]
    fn no_relayed_text_says_what_clients_look_for(said in texts_with_words()) {
        let parts = told(|out| texts::relayed("END_NOTIF", &said, None, out));
        let line = Line { id: id(), from: name("UNREACHABLE"), text: said.clone() };
        let history = told(|out| texts::history(std::slice::from_ref(&line), out));
        for (part, _) in parts.iter().chain(&history) {
            prop_assert!(part.len() <= READ_BYTES_MAX && ciphered(part).len() <= READ_BYTES_MAX);
            let looked_for = ["END_NOTIF", "CHAT_STARTED", "UNREACHABLE"];
            prop_assert!(looked_for.iter().all(|word| !part.contains(word)), "{}", part);
        }
        let bare: String = parts.iter().map(|(part, _)| part.strip_prefix("E\u{200b}ND_NOTIF: ").unwrap()).collect();
        let indented = said.as_str().replace('\n', "\n    ");
        prop_assert_eq!(bare.replace(BREAK, ""), indented.replace(BREAK, ""));
    }

    #[test]
    fn what_is_said_arrives(said in texts_with_words()) {
        let parts = texts::said(&name("alice"), &said);
        for part in &parts {
            prop_assert!("alice: ".len() + part.len() <= READ_BYTES_MAX);
            prop_assert!(matches!(FromClient::parse(part), Ok(FromClient::Text(_))), "{}", part);
        }
        prop_assert_eq!(parts.concat().replace(BREAK, ""), said.as_str().replace(BREAK, ""));
    }

    #[test]
    fn nothing_that_is_heard_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), plain in ".{0,80}") {
        log_on::FromClient::parse(&bytes);
        log_on::FromServer::parse(&bytes, Some(&key()));
        separate(&bytes, &[&Endings::of(id(), &name("bob"), &key())]);
        prop_assert_eq!(Beginnings::of(Some(&name("bob")), &key()).separate(&bytes).concat(), bytes);
        let _ = FromClient::parse(&plain);
        FromServer::parse(&plain);
        texts::parse_relayed(&plain);
        texts::parse_history(&plain);
    }

    #[test]
    fn what_was_relayed_is_restored(said in texts_with_words()) {
        let parts = told(|out| texts::relayed("END_NOTIF", &said, None, out));
        let restored: String = parts.iter().map(|(part, _)| texts::parse_relayed(part).unwrap().1).collect();
        prop_assert_eq!(restored.replace(BREAK, ""), said.as_str().replace(BREAK, ""));
    }
}
