//! What the stand-ins of `datagram` must notice: each of these would have broken the program whose place they take.

use super::existing::datagram_client::{DatagramClient, Habits};
use super::existing::datagram_message::{Message, sealed};
use super::existing::datagram_server::DatagramServer;
use super::existing::digest::hex_sha256;
use super::existing::python::{Literal, Python};
use super::existing::{End, Fault};

const PASSWORD: &str = "wonderland";

fn ann(server: &DatagramServer) -> DatagramClient {
    DatagramClient::logged_in(server.address(), "ann", PASSWORD)
}

fn ported_ann(server: &DatagramServer) -> DatagramClient {
    let ann = DatagramClient::open(server.address(), "ann", Habits::of(Python::Three));
    // The server has not let her in: its clients are all of Python 2.
    ann.send(&log_in("ann"));
    ann.expect("GREETING", "Greetings from the Chat Room!");
    ann
}

fn log_in(user: &str) -> String {
    let python = Python::Two;
    let password = hex_sha256(PASSWORD.as_bytes());
    let body = python.dict([("username", python.text(user)), ("password", python.text(&password))]);
    sealed(python, "LOGIN", "INITIATE_SESSION", python.text(""), body)
}

/// What a server says, this literal its body.
fn exchange(body: &str) -> String {
    let header = "{'message_type': 'MESSAGE_EXCHANGE', 'command': '', 'recipient_data': '', 'sender_data': ''}";
    format!("{{'body': {body}, 'header': {header}}}")
}

/// How the two kinds of clients come to their ends by this.
#[track_caller]
fn assert_both_die(datagram: &str, end: &End) {
    let server = DatagramServer::start();
    for log_in in [ann, ported_ann] {
        let client = log_in(&server);
        server.deliver("ann", datagram);
        assert_eq!(&client.expect_end(), end);
    }
}

#[test]
fn a_message_of_fewer_than_four_words_is_the_end_of_a_client() {
    for body in ["", "hi", "bob is online!"] {
        assert_both_die(&exchange(&format!("'{body}'")), &End::TooFewWords(body.to_owned()));
    }
}

#[test]
fn what_is_no_literal_of_a_message_is_the_end_of_a_client() {
    for datagram in [
        String::new(),
        "hello".to_owned(),
        "{'body': 'Private message from bob: hi'}".to_owned(),
        exchange("'Private message from bob: caf\u{e9}'"),
        exchange("'Private message from bob: it's me'"),
        exchange("'Private message from bob: one\ntwo'"),
        exchange("['Private message from bob: hi']"),
        format!("[{}, '']", exchange("'Private message from bob: hi'")),
    ] {
        assert_both_die(&datagram, &End::NoMessage(datagram.clone().into_bytes()));
    }
}

#[test]
fn a_datagram_that_is_longer_than_one_read_is_the_end_of_a_client() {
    let datagram = exchange(&format!("'Private message from bob: {}'", "x".repeat(2048)));
    assert_both_die(&datagram, &End::NoMessage(datagram.as_bytes()[..2048].to_vec()));
}

#[test]
fn a_literal_of_bytes_is_the_end_of_a_client_of_python_3_only() {
    let server = DatagramServer::start();
    let datagram = exchange("b'Private message from ann: hi'");
    let two = ann(&server);
    server.deliver("ann", &datagram);
    two.expect("MESSAGE_EXCHANGE", "Private message from ann: hi");
    let three = ported_ann(&server);
    server.deliver("ann", &datagram);
    assert_eq!(three.expect_end(), End::NoMessage(datagram.into_bytes()));
}

#[test]
fn a_text_that_is_escaped_for_the_other_version_is_another_text() {
    let server = DatagramServer::start();
    let datagram = exchange(r"'Private message from ann: caf\xc3\xa9'");
    let two = ann(&server);
    server.deliver("ann", &datagram);
    two.expect("MESSAGE_EXCHANGE", "Private message from ann: caf\u{e9}");
    let three = ported_ann(&server);
    server.deliver("ann", &datagram);
    three.expect("MESSAGE_EXCHANGE", "Private message from ann: caf\u{c3}\u{a9}");
}

#[test]
fn the_sender_is_the_fourth_word_up_to_its_colon() {
    let sender = |body: &str| {
        let message = Message::read(Python::Two, exchange(&format!("'{body}'")).as_bytes()).expect("a message");
        message.sender().map(str::to_owned)
    };
    assert_eq!(sender("Private message from bob: hi").as_deref(), Some("bob"));
    assert_eq!(sender("Group Message from bob:hi").as_deref(), Some("bob"));
    assert_eq!(sender("bob has gone to: lunch").as_deref(), Some("to"));
    assert_eq!(sender("bob is online!"), None);
}

#[test]
fn a_header_that_does_not_go_with_its_type_has_a_flaw() {
    let flaw = |header: &str| {
        let datagram = format!("{{'body': 'Private message from bob: hi', 'header': {{{header}}}}}");
        Message::read(Python::Two, datagram.as_bytes()).expect("a message").flaw()
    };
    let alert = "'message_type': 'ALERT', 'command': '', 'recipient_data':";
    assert_eq!(flaw(&format!("{alert} ''")), None);
    assert_eq!(flaw(&format!("{alert} ('127.0.0.1', 40001)")), None);
    assert_eq!(flaw(&format!("{alert} ('127.0.0.1', 400010)")), Some("an address that is none"));
    assert_eq!(flaw(&format!("{alert} '', 'sender_data': ''")), Some("other keys"));
    assert_eq!(flaw("'message_type': 'ALERT', 'command': ''"), Some("other keys"));
    assert_eq!(flaw("'message_type': 'LIST_CONTACTS', 'command': ''"), None);
    assert_eq!(flaw("'message_type': 'LIST_CONTACTS', 'command': 'CONTACTS'"), Some("a command"));
    assert_eq!(flaw("'message_type': 'LOGIN', 'command': ''"), Some("a type that no server sends"));
}

#[test]
#[should_panic(expected = "other keys")]
fn a_message_with_a_flaw_is_not_the_one_expected() {
    let server = DatagramServer::start();
    let ann = ann(&server);
    server.deliver("ann", "{'body': 'ben is online!', 'header': {'message_type': 'ALERT', 'command': ''}}");
    ann.expect("ALERT", "ben is online!");
}

#[test]
fn a_datagram_whose_digest_is_another_is_refused() {
    let server = DatagramServer::start();
    let ann = ann(&server);
    let datagram = log_in("ben");
    let digest = format!("{}0']", &datagram[..datagram.len() - 3]);
    ann.send(&digest);
    ann.expect("ERROR", "Incorrect message format!");
    assert!(matches!(server.next_fault(), Fault::WrongDigest { .. }));
    assert_eq!(server.online(), ["ann"]);
}

#[test]
fn a_datagram_that_python_2_would_have_written_in_another_way_is_refused() {
    let server = DatagramServer::start();
    let three = DatagramClient::open(server.address(), "ann", Habits::of(Python::Three));
    three.log_in(PASSWORD);
    three.expect("ERROR", "Incorrect message format!");
    let (datagram, right) = (server.next().text, log_in("ann"));
    let Fault::WrongDigest { rewritten } = server.next_fault() else { panic!("another fault") };
    assert!(!datagram.contains(&rewritten));
    assert!(rewritten.starts_with("{'body': {'username': 'ann', 'password': "));

    // The same by hand: another order, other quotes, other blanks, each with the digest of its own text.
    for (is, other) in [
        (
            "'message_type': 'INITIATE_SESSION', 'command': 'LOGIN'",
            "'command': 'LOGIN', 'message_type': 'INITIATE_SESSION'",
        ),
        ("'ann'", "\"ann\""),
        ("'username': ", "'username':"),
        ("'LOGIN'", "'\\x4cOGIN'"),
    ] {
        let (dict, _) = right[1..].rsplit_once(", '").expect("a digest");
        let dict = dict.replace(is, other);
        three.send(&format!("[{dict}, '{}']", hex_sha256(dict.as_bytes())));
        three.expect("ERROR", "Incorrect message format!");
        assert!(matches!(server.next_fault(), Fault::WrongDigest { .. }), "{other}");
    }
    assert!(server.online().is_empty());
}

#[test]
fn what_is_no_message_is_a_fault_and_gets_no_answer() {
    let server = DatagramServer::start();
    let ann = ann(&server);
    let (python, dict) = (Python::Two, |body: &str| Python::Two.dict([("text", Python::Two.text(body))]));
    let digest = |body| format!("[{}, '{}']", python.write(&body), hex_sha256(python.write(&body).as_bytes()));
    for datagram in [
        "hello".to_owned(),
        "{}".to_owned(),
        "[{}]".to_owned(),
        digest(dict("no header")),
        sealed(python, "LOGIN", "MESSAGE_EXCHANGE", python.text(""), dict("")),
        sealed(python, "SEND_MESSAGE", "MESSAGE_EXCHANGE", python.text(""), dict("nobody's")),
        sealed(python, "LOGIN", "INITIATE_SESSION", python.text(""), credentials("ben", "no digest")),
        log_in("b\u{e9}n").replace("\\xc3\\xa9", "\u{e9}"),
        log_in(&"x".repeat(2048)),
    ] {
        ann.send(&datagram);
        let read = &datagram.as_bytes()[..datagram.len().min(2048)];
        assert_eq!(server.next_fault(), Fault::NoMessage(read.to_vec()));
    }
    ann.expect_nothing_else();
}

fn credentials(user: &str, password: &str) -> Literal {
    let python = Python::Two;
    python.dict([("username", python.text(user)), ("password", python.text(password))])
}

#[test]
fn nothing_counts_before_the_log_in_nor_in_the_name_of_another() {
    let server = DatagramServer::start();
    let ann = ann(&server);
    let stranger = DatagramClient::open(server.address(), "ann", Habits::of(Python::Two));
    stranger.message_all("hi");
    assert!(matches!(server.next_fault(), Fault::NotLoggedIn(message) if message.contains("'text': 'hi'")));
    stranger.ask_for_contacts();
    assert!(matches!(server.next_fault(), Fault::NotLoggedIn(message) if message.contains("CONTACTS")));
    stranger.send(&log_in("ben"));
    stranger.expect("GREETING", "Greetings from the Chat Room!");
    ann.expect("ALERT", "ben is online!");
    stranger.message_all("I am ann");
    assert!(matches!(server.next_fault(), Fault::NotLoggedIn(message) if message.contains("I am ann")));
    [&ann, &stranger].iter().for_each(|client| client.expect_nothing_else());
}
