use std::net::SocketAddr;

use proptest::prelude::*;
use serde_json::Value;

use super::notice::{Audience, Ends, INCORRECT};
use super::request::Server;
use super::*;
use crate::wire::PasswordDigest;
use crate::wire::named::Named;
use crate::wire::{Password, Text, TextError, UserName};

const SERVER: Server<'_> = Server { host: "host-a", port: 12000 };

fn name(text: &str) -> UserName {
    UserName::parse(text).unwrap()
}

fn named(text: &str) -> Named {
    Named::User(name(text))
}

fn text(text: &str) -> Text {
    Text::parse(text).unwrap()
}

fn ends() -> Ends {
    let at = |text: &str| text.parse::<SocketAddr>().unwrap();
    Ends { client: at("127.0.0.1:40001"), server: at("127.0.0.1:12000") }
}

fn vectors(of: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("../../../tests/vectors/datagram.json")).unwrap();
    all[of].as_array().unwrap().clone()
}

fn datagram(vector: &Value) -> &[u8] {
    vector["datagram"].as_str().unwrap().as_bytes()
}

fn login() -> Request {
    Request::LogIn { user: named("ann"), password: PasswordDigest::of(&Password::parse("secret").unwrap()) }
}

fn message(said: &str) -> Request {
    Request::Message { from: named("ann"), to: named("bob"), text: Text::replacing(said.as_bytes()) }
}

fn broadcast(said: &str) -> Request {
    Request::Broadcast { from: named("ann"), text: Text::replacing(said.as_bytes()) }
}

fn acknowledgement() -> Request {
    Request::Acknowledgement { sender: named("bob"), text: "Message received by ann".into() }
}

/// A request as the vectors' values have it; the password's digest is theirs.
fn expected(value: &Value) -> Request {
    let body = |field: &str| value["body"][field].as_str().unwrap();
    match value["header"]["command"].as_str().unwrap() {
        "LOGIN" => {
            let digest = crate::wire::hex::unhex(body("password")).unwrap();
            Request::LogIn { user: named(body("username")), password: PasswordDigest(digest) }
        }
        "LOGOUT" => Request::LogOut,
        "SEND_MESSAGE" => message(body("text")),
        "SEND_ALL_MESSAGE" => broadcast(body("text")),
        "CONTACTS" => Request::Contacts,
        _ => acknowledgement(),
    }
}

#[test]
fn what_clients_say_is_read_in_every_spelling() {
    let spellings = [
        ("from_existing_clients", Manner::Plain),
        ("from_python3_ports", Manner::Unicode),
        ("other_spellings", Manner::Plain),
    ];
    for (of, manner) in spellings {
        for vector in vectors(of) {
            assert_eq!(Request::parse(datagram(&vector)), Ok((expected(&vector["value"]), manner)), "{vector}");
            let items = Literal::parse_items(datagram(&vector)).unwrap();
            assert_eq!(items[0].source, vector["hashed"].as_str().unwrap());
            assert_eq!(items[1].value.as_text(), vector["sha256"].as_str());
        }
    }
}

#[test]
fn what_chat_says_is_what_python_2_writes() {
    let vectors = vectors("from_existing_clients");
    assert_eq!(vectors.len(), 8);
    for vector in vectors {
        let (request, _) = Request::parse(datagram(&vector)).unwrap();
        let written = request.write(&SERVER);
        // A control character has become readable by then.
        if !vector["datagram"].as_str().unwrap().contains("\\x07") {
            assert_eq!(written, [datagram(&vector)], "{vector}");
        }
    }
    let text = Literal::from("caf\u{e9} \u{2713} \u{1f389} \u{7}");
    let mut written = String::new();
    text.write(Manner::Plain, &mut written);
    assert_eq!(written, r"'caf\xc3\xa9 \xe2\x9c\x93 \xf0\x9f\x8e\x89 \x07'");
}

#[test]
fn what_is_no_request_is_told_apart_from_what_was_changed_on_its_way() {
    let vectors = vectors("bad");
    assert_eq!(vectors.len(), 6);
    for vector in vectors {
        let why = if vector["why"] == "digest does not match" { Unread::WrongDigest } else { Unread::Malformed };
        assert_eq!(Request::parse(datagram(&vector)), Err(why), "{}", vector["why"]);
    }
}

/// A datagram whose digest is right.
fn sealed(dict: &str) -> Vec<u8> {
    envelope::seal(&Literal::parse(dict.as_bytes()).unwrap())
}

#[test]
fn a_right_digest_makes_no_request_of_something_else() {
    let header = |kind: &str, command: &str, to: &str| {
        format!("'header': {{'message_type': '{kind}', 'command': '{command}', 'recipient_data': {to}}}")
    };
    let exchange = header("MESSAGE_EXCHANGE", "SEND_MESSAGE", "''");
    let bad = [
        "{}".to_owned(),
        "{'body': {}}".to_owned(),
        format!("{{{}}}", header("DISPLAY_CONTACTS", "CONTACTS", "''")),
        format!("{{'body': [], {}}}", header("DISPLAY_CONTACTS", "CONTACTS", "''")),
        format!("{{'body': {{}}, {}}}", header("DISPLAY_CONTACTS", "contacts", "''")),
        format!("{{'body': {{}}, {}}}", header("DISPLAY_CONTACTS", "LOGIN", "''")),
        format!("{{'body': {{}}, {}}}", header("DISPLAY_CONTACTS", "CONTACTS", "'x'")),
        format!("{{'body': {{}}, {}}}", header("DISPLAY_CONTACTS", "CONTACTS", "('x', 65536)")),
        format!("{{'body': {{}}, {}}}", header("DISPLAY_CONTACTS", "CONTACTS", "['x', 1]")),
        format!("{{'body': {{'text': 'x', 'sender_username': 'ann'}}, {exchange}}}"),
        format!("{{'body': {{'text': 1, 'sender_username': 'ann', 'receiver_username': 'b'}}, {exchange}}}"),
        format!("{{'body': {{'username': 'ann', 'password': 'x'}}, {}}}", header("INITIATE_SESSION", "LOGIN", "''")),
    ];
    for dict in bad {
        assert_eq!(Request::parse(&sealed(&dict)), Err(Unread::Malformed), "{dict}");
    }
    let contacts = format!("{{'body': {{}}, {}}}", header("DISPLAY_CONTACTS", "CONTACTS", "''"));
    assert_eq!(Request::parse(&sealed(&contacts)), Ok((Request::Contacts, Manner::Plain)));
    for spelled in ["DESTROY_SESSION", "DETROY_SESSION"] {
        let log_out = format!("{{'body': {{}}, {}}}", header(spelled, "LOGOUT", "('x', 1)"));
        assert_eq!(Request::parse(&sealed(&log_out)), Ok((Request::LogOut, Manner::Plain)));
    }
}

#[test]
fn the_digest_is_of_the_very_bytes() {
    let dict =
        "{  'header': {'recipient_data' :'','command':\"CONTACTS\", 'message_type':u'DISPLAY_CONTACTS'},'body': { } }";
    let digest = sha256(dict);
    for datagram in [format!("[{dict}, '{digest}']"), format!(" [ {dict} ,\n\"{}\",]\n", digest.to_uppercase())] {
        assert_eq!(Request::parse(datagram.as_bytes()), Ok((Request::Contacts, Manner::Unicode)), "{datagram}");
    }
    for datagram in [format!("[{dict}, '{}']", &digest[1..]), format!("[{}, '{digest}']", dict.replace(" }", "}"))] {
        assert_eq!(Request::parse(datagram.as_bytes()), Err(Unread::WrongDigest), "{datagram}");
    }
    for datagram in [
        format!("[{dict}]"),
        format!("[{dict}, '{digest}', 1]"),
        format!("[{dict}, 1]"),
        format!("['{digest}', {dict}]"),
    ] {
        assert_eq!(Request::parse(datagram.as_bytes()), Err(Unread::Malformed), "{datagram}");
    }
}

fn sha256(text: &str) -> String {
    use sha2::{Digest, Sha256};
    crate::wire::hex::hex(&Sha256::digest(text))
}

#[test]
fn texts_that_are_none_and_names_that_are_nobodys_are_told() {
    let parsed = |request: &Request| Request::parse(&request.write(&SERVER)[0]).unwrap().0;
    let empty = Request::Message { from: named("ann"), to: Named::Nobody("b b".into()), text: Err(TextError::Empty) };
    assert_eq!(parsed(&empty), empty);
    let dict = format!(
        "{{'body': {{'text': '{}', 'sender_username': 'ann', 'receiver_username': ''}}, 'header': {{'message_type': \
         'MESSAGE_EXCHANGE', 'command': 'SEND_ALL_MESSAGE', 'recipient_data': ''}}}}",
        "x".repeat(4097)
    );
    let long = Request::Broadcast { from: named("ann"), text: Err(TextError::TooLong) };
    assert_eq!(Request::parse(&sealed(&dict)), Ok((long, Manner::Plain)));
}

/// Each notice of the vectors, in their order.
fn notices() -> Vec<Notice> {
    let bob = name("bob");
    vec![
        Notice::Greeting,
        Notice::Online(bob.clone()),
        Notice::Message { from: named("bob"), to: Audience::OneUser, text: "it's \"me\"".into() },
        Notice::Contact { user: bob, address: ends().server },
        Notice::Acknowledgement("Message received by ann".into()),
        Notice::Error(INCORRECT.into()),
    ]
}

/// A literal as the vectors' values have it: JSON has no tuples.
fn json(literal: &Literal<'_>) -> Value {
    match literal {
        Literal::Text(text) => Value::from(&**text),
        Literal::Int(number) => Value::from(*number),
        Literal::Tuple(items) => items.iter().map(json).collect(),
        Literal::Dict(entries) => entries.iter().map(|(key, value)| (key.as_text().unwrap(), json(value))).collect(),
        other => panic!("{other:?} in a notice"),
    }
}

#[test]
fn what_servers_say_is_the_value_in_both_manners() {
    let vectors = vectors("from_the_server_as_values");
    assert_eq!(vectors.len(), notices().len());
    for (vector, notice) in vectors.iter().zip(notices()) {
        for manner in [Manner::Plain, Manner::Unicode] {
            let [datagram] = &notice.write(&ends(), manner)[..] else { panic!("one datagram") };
            assert_eq!(&json(&Literal::parse(datagram).unwrap()), vector);
            assert_eq!(Notice::parse(datagram), Ok(notice.clone()));
        }
    }
}

#[test]
fn a_notice_is_these_bytes() {
    let said = Notice::Message { from: named("bob"), to: Audience::Everyone, text: "caf\u{e9} \u{1f389}".into() };
    let written = |manner| String::from_utf8(said.write(&ends(), manner).concat()).unwrap();
    let header = "'header': {'message_type': 'MESSAGE_EXCHANGE', 'command': '', 'sender_data': ('127.0.0.1', 12000), \
                  'recipient_data': ('127.0.0.1', 40001)}}";
    let plain = format!(r"{{'body': 'Group Message from bob: caf\xc3\xa9 \xf0\x9f\x8e\x89', {header}");
    let unicode = format!(r"{{'body': u'Group Message from bob: caf\xe9 \U0001f389', {header}");
    assert_eq!([written(Manner::Plain), written(Manner::Unicode)], [plain, unicode]);
    let mapped = Ends { client: "[::ffff:10.0.0.1]:5".parse().unwrap(), ..ends() };
    let greeting = String::from_utf8(Notice::Greeting.write(&mapped, Manner::Plain).concat()).unwrap();
    assert!(greeting.contains("('10.0.0.1', 5)"), "{greeting}");
}

#[test]
fn what_another_server_says_of_names_that_are_none_here_is_for_people() {
    let said = |kind: &str, body: &str| {
        let datagram = format!("{{'header': {{'command': '', 'message_type': '{kind}'}}, 'body': \"{body}\"}}");
        Notice::parse(datagram.as_bytes())
    };
    let alert = |body: &str| Ok(Notice::Alert(body.into()));
    for (kind, body) in [
        ("ALERT", "the big bob is online!"),
        ("MESSAGE_EXCHANGE", "Private message from big bob: hi"),
        ("MESSAGE_EXCHANGE", "hi"),
        ("LIST_CONTACTS", "bob : ('host', 1) is online!"),
        ("LIST_CONTACTS", "bob : ('1.2.3.4', 65536) is online!"),
        ("LIST_CONTACTS", "nobody"),
    ] {
        assert_eq!(said(kind, body), alert(body));
    }
    assert_eq!(said("GREETING", "Hello"), Ok(Notice::Greeting));
    assert_eq!(said("SOMETHING", "hi"), Err(Malformed::Syntax));
    for bad in ["", "[]", "{}", "{'header': {'message_type': 'ALERT'}}", "{'header': 1, 'body': 'x'}"] {
        assert_eq!(Notice::parse(bad.as_bytes()), Err(Malformed::Syntax), "{bad}");
    }
}

#[test]
fn an_acknowledgement_stays_one() {
    let long = "é".repeat(2000);
    let request = Request::Acknowledgement { sender: named("bob"), text: long.clone() };
    let [datagram] = &request.write(&SERVER)[..] else { panic!("one datagram") };
    assert!((WRITTEN_BYTES_MAX - 8..=WRITTEN_BYTES_MAX).contains(&datagram.len()));
    let Ok((Request::Acknowledgement { text, .. }, _)) = Request::parse(datagram) else { panic!("an acknowledgement") };
    assert!(long.starts_with(&text));
    assert_eq!(Notice::Acknowledgement(long).write(&ends(), Manner::Unicode).len(), 1);
}

/// Texts that are cut, of characters that become longer.
fn long_texts() -> impl Strategy<Value = Text> {
    prop_oneof!["[a'\"\\\\\n\té✓🎉]{1,1000}", "[✓]{1,1300}", "['\"]{1,4000}", "[ -~]{1,4000}"]
        .prop_map(|said: String| text(&said))
}

fn requests() -> impl Strategy<Value = Request> {
    let names = || "[a-z]{1,12}".prop_filter_map("a word", |name| UserName::parse(&name).ok()).prop_map(Named::User);
    prop_oneof![
        (names(), any::<[u8; 32]>())
            .prop_map(|(user, digest)| Request::LogIn { user, password: PasswordDigest(digest) }),
        Just(Request::LogOut),
        Just(Request::Contacts),
        (names(), names(), "[a-z'é]{1,30}").prop_map(|(from, to, said)| Request::Message {
            from,
            to,
            text: Ok(text(&said))
        }),
        (names(), "[a-z'é]{1,30}").prop_map(|(from, said)| Request::Broadcast { from, text: Ok(text(&said)) }),
        (names(), ".{0,30}").prop_map(|(sender, text)| Request::Acknowledgement { sender, text }),
    ]
}

proptest! {
    #[test]
    fn a_request_comes_back(request in requests()) {
        let [datagram] = &request.write(&SERVER)[..] else { panic!("one datagram") };
        prop_assert!(datagram.is_ascii());
        prop_assert_eq!(Request::parse(datagram), Ok((request, Manner::Plain)));
    }

    #[test]
    fn a_long_text_is_said_in_parts(said in long_texts()) {
        let request = Request::Message { from: named("ann"), to: named("bob"), text: Ok(said.clone()) };
        let mut whole = String::new();
        for datagram in request.write(&SERVER) {
            prop_assert!(datagram.len() <= WRITTEN_BYTES_MAX);
            let Ok((Request::Message { text: Ok(part), .. }, _)) = Request::parse(&datagram) else { panic!("a part") };
            whole.push_str(part.as_str());
        }
        prop_assert_eq!(whole, said.as_str());
    }

    #[test]
    fn a_long_text_is_told_in_parts(said in long_texts(), is_plain in any::<bool>()) {
        let manner = if is_plain { Manner::Plain } else { Manner::Unicode };
        let notice = Notice::Message { from: named("bob"), to: Audience::OneUser, text: said.as_str().to_owned() };
        let mut whole = String::new();
        for datagram in notice.write(&ends(), manner) {
            prop_assert!(datagram.len() <= WRITTEN_BYTES_MAX && datagram.is_ascii());
            let Ok(Notice::Message { text, .. }) = Notice::parse(&datagram) else { panic!("a part") };
            whole.push_str(&text);
        }
        prop_assert_eq!(whole, said.as_str());
    }

    #[test]
    fn nothing_that_is_heard_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Request::parse(&bytes);
        let _ = Notice::parse(&bytes);
    }

    #[test]
    fn a_byte_changed_on_its_way_is_noticed(at in any::<prop::sample::Index>(), by in 1u8..=255) {
        let mut datagram = login().write(&SERVER).concat();
        let at = at.index(datagram.len());
        datagram[at] ^= by;
        // The digest may be in upper case, and the blank behind the comma is some other blank.
        let parsed = Request::parse(&datagram);
        prop_assert!(parsed.is_err() || at >= datagram.len() - 69 && parsed == Ok((login(), Manner::Plain)));
    }
}
