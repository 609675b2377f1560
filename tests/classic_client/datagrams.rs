//! chat by `datagram`: at an existing server, with its client and with chat.

use std::net::UdpSocket;
use std::process::Command;
use std::thread;

use crate::existing::datagram_client::{DatagramClient, Manner};
use crate::existing::datagram_server::DatagramServer;
use crate::scene::{Chatter, person};
use crate::support::chat::{Outcome, Person, run};

fn command(server: &DatagramServer, user: &'static str, words: &[&str]) -> (Person, Command) {
    let person = person(server.address(), user);
    let command = person.command(&[&["--protocol", "datagram"], words].concat());
    (person, command)
}

/// One command of chat's.
fn chat(server: &DatagramServer, user: &'static str, words: &[&str]) -> Outcome {
    let (_person, command) = command(server, user, words);
    run(command, b"")
}

/// A session of chat's that is logged in when this returns.
#[track_caller]
fn session(server: &DatagramServer, user: &'static str, options: &[&str]) -> Chatter {
    let person = person(server.address(), user);
    let session = person.start(&[&["--protocol", "datagram"], options].concat());
    server.wait_for(&format!("'username': '{user}'"));
    Chatter::new(person, session)
}

/// The existing client.
fn client(server: &DatagramServer, user: &str) -> DatagramClient {
    DatagramClient::logged_in(server.address(), user, "secret")
}

#[track_caller]
fn is_content(server: &DatagramServer) {
    assert_eq!(server.faults(), []);
}

#[test]
fn a_message_is_done_when_it_is_acknowledged() {
    let server = DatagramServer::start();
    let bob = client(&server, "bob");
    chat(&server, "alice", &["message", "bob", "it's \"me\", b\u{e9}"]).is("", "", 0);
    bob.expect("ALERT", "alice is online!");
    bob.expect("MESSAGE_EXCHANGE", "Private message from alice: it's \"me\", b\u{e9}");
    server.wait_for("'command': 'LOGOUT'");
    chat(&server, "alice", &["--wait", "delivered", "message", "bob", "again"]).is("", "", 0);
    let told = chat(&server, "alice", &["--json", "message", "bob", "once more"]);
    told.is("{\"reply\":\"delivered\",\"user\":\"bob\"}\n", "", 0);
    is_content(&server);
}

#[test]
fn what_is_sent_is_what_python_2_would_send() {
    let server = DatagramServer::start();
    let bob = client(&server, "bob");
    server.next();
    chat(&server, "alice", &["broadcast", "caf\u{e9}"]).is("", "", 0);
    bob.expect("ALERT", "alice is online!");
    bob.expect("MESSAGE_EXCHANGE", "Group Message from alice: caf\u{e9}");
    let at = format!("'recipient_data': ('127.0.0.1', {})}}}}, '", server.address().port());
    let said = |datagram: &str, body: &str, header: &str| {
        let text = format!("[{{'body': {{{body}}}, 'header': {{{header}, {at}");
        assert!(datagram.starts_with(&text), "{datagram} does not begin with {text}");
    };
    let digest = "'password': '";
    let log_in = server.next().text;
    assert!(log_in.starts_with(&format!("[{{'body': {{'username': 'alice', {digest}")), "{log_in}");
    assert!(log_in.contains(&format!("'header': {{'message_type': 'INITIATE_SESSION', 'command': 'LOGIN', {at}")));
    let body = r"'text': 'caf\xc3\xa9', 'sender_username': 'alice', 'receiver_username': ''";
    said(&server.next().text, body, "'message_type': 'MESSAGE_EXCHANGE', 'command': 'SEND_ALL_MESSAGE'");
    assert!(server.next().text.contains("'ACKNOWLEDGEMENT'"), "bob's");
    said(&server.next().text, "", "'message_type': 'DETROY_SESSION', 'command': 'LOGOUT'");
    is_content(&server);
}

#[test]
fn a_script_talks() {
    let server = DatagramServer::start();
    let mut alice = session(&server, "alice", &[]);
    alice.session.says("# a remark");
    let bob = client(&server, "bob");
    alice.session.hears("* bob is online");
    bob.message("alice", "hello, alice");
    alice.session.hears("bob: hello, alice");
    bob.expect("ACKNOWLEDGEMENT", "Message received by alice");
    bob.message_all("hello, all");
    alice.session.hears("bob (to everyone): hello, all");
    bob.expect("ACKNOWLEDGEMENT", "Message received by alice");
    alice.session.says("message bob hello, bob");
    alice.session.hears("ok");
    bob.expect("MESSAGE_EXCHANGE", "Private message from alice: hello, bob");
    alice.session.says("message* hello, all");
    alice.session.hears("ok");
    bob.expect("MESSAGE_EXCHANGE", "Group Message from alice: hello, all");
    for word in ["contacts", "online"] {
        alice.session.says(word);
        alice.session.hears("bob");
    }
    alice.session.says("login bob");
    alice.session.is_told_something_with("line 6: you are logged in");
    alice.session.says("message alice hello, me");
    alice.session.is_told("chat: line 7: a message needs somebody else");
    alice.session.says("quit");
    server.wait_for("'command': 'LOGOUT'");
    alice.session.has_ended(2);
    assert_eq!(server.online(), ["bob"]);
    is_content(&server);
}

#[test]
fn what_is_lost_is_sent_again() {
    let server = DatagramServer::start();
    let bob = client(&server, "bob");
    server.losses().lose_next(1);
    let (_person, command) = command(&server, "alice", &[]);
    let chat = thread::spawn(move || run(command, b"wait note 60\nmessage bob hello\n"));
    assert!(server.losses().next().starts_with(b"[{'body': {'username': 'alice'"));
    bob.expect("ALERT", "alice is online!");
    server.losses().lose_next(2);
    let alert = "{'header': {'message_type': 'ALERT', 'command': '', 'recipient_data': ''}, 'body': 'go on'}";
    server.deliver("alice", alert);
    for _ in 0..2 {
        assert!(server.losses().next().starts_with(b"[{'body': {'text': 'hello'"));
    }
    bob.expect("MESSAGE_EXCHANGE", "Private message from alice: hello");
    chat.join().expect("chat").is("* note: go on\nok\n", "", 0);
    is_content(&server);
}

#[test]
fn what_nobody_acknowledges_is_75() {
    let server = DatagramServer::start();
    let bob = client(&server, "bob");
    bob.set_manner(Manner::NeverAcknowledges);
    let why = "chat: not acknowledged by bob: it may have come or not\n";
    chat(&server, "alice", &["--timeout", "2", "message", "bob", "hello"]).is("", why, 75);
    bob.expect("ALERT", "alice is online!");
    for _ in 0..3 {
        bob.expect("MESSAGE_EXCHANGE", "Private message from alice: hello");
    }
    is_content(&server);
}

#[test]
fn who_is_not_online_is_told_in_the_servers_words() {
    let server = DatagramServer::start();
    let told = "chat: the server says: bob is not online!\n";
    chat(&server, "alice", &["message", "bob", "hello"]).is("", told, 77);
    is_content(&server);
}

#[test]
fn contacts_of_one_command() {
    let server = DatagramServer::start();
    chat(&server, "alice", &["online"]).is("", "", 0);
    let (_bob, _carol) = (client(&server, "bob"), client(&server, "carol"));
    chat(&server, "alice", &["contacts"]).is("bob\ncarol\n", "", 0);
    let told = chat(&server, "alice", &["--json", "contacts"]);
    told.is("{\"reply\":\"online\",\"users\":[\"bob\",\"carol\"]}\n", "", 0);
    is_content(&server);
}

#[test]
fn a_long_text_goes_in_parts_each_of_which_is_acknowledged() {
    let server = DatagramServer::start();
    let bob = client(&server, "bob");
    let text: String = (100_000..).map(|n| format!("\u{e9}{n}")).take(500).collect();
    chat(&server, "alice", &["message", "bob", &text]).is("", "", 0);
    bob.expect("ALERT", "alice is online!");
    let mut heard = String::new();
    while heard.len() < text.len() {
        heard += bob.next().body.strip_prefix("Private message from alice: ").expect("a part");
    }
    assert_eq!(heard, text);
    assert!(server.datagrams().iter().all(|datagram| datagram.len() <= 2048));
    is_content(&server);
}

#[test]
fn a_wrong_password_is_77() {
    let server = DatagramServer::start();
    let _alice = client(&server, "alice");
    let outcome = chat(&server, "alice", &["message", "bob", "hello"]);
    outcome.is("", "chat: the server says: Incorrect password!\n", 77);
    let (_person, command) = command(&server, "alice", &[]);
    run(command, b"online\n").is("", "chat: the server says: Incorrect password!\n", 77);
    is_content(&server);
}

#[test]
fn a_server_that_is_gone_is_69() {
    let server = DatagramServer::start();
    let mut alice = session(&server, "alice", &[]);
    alice.session.says("online");
    let bob = client(&server, "bob");
    alice.session.hears("* bob is online");
    let address = server.address();
    drop((bob, server));
    alice.session.says("message bob hello?");
    assert_eq!(alice.has_ended().status, 69);
    let outcome = person(address, "alice").chat(&["--protocol", "datagram", "online"]);
    assert_eq!((outcome.out.as_str(), outcome.status), ("", 69), "{outcome:?}");
    assert!(outcome.error.contains("is chatd running there?"), "{outcome:?}");
}

#[test]
fn a_server_that_does_not_answer_is_69_and_one_that_is_none_76() {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let alice = person(socket.local_addr().expect("bound"), "alice");
    let words = ["--protocol", "datagram", "--timeout", "0.3", "online"];
    alice.chat(&words).is("", "chat: no answer from the server within 0.3 s\n", 69);
    let answering = thread::spawn(move || {
        let mut bytes = [0; 512];
        // What was said in vain is still there.
        while let Ok((_, from)) = socket.recv_from(&mut bytes) {
            if bytes.starts_with(b"end") {
                return;
            }
            let _ = socket.send_to(b"what do you want?\n", from);
        }
    });
    let outcome = alice.chat(&words);
    assert_eq!((outcome.out.as_str(), outcome.status), ("", 76), "{outcome:?}");
    assert!(outcome.error.ends_with("it says: what do you want?\n"), "{outcome:?}");
    let end = UdpSocket::bind("127.0.0.1:0").expect("a port");
    end.send_to(b"end", (alice.host.as_str(), alice.port)).expect("sent");
    answering.join().expect("no panic");
}

#[test]
fn ctrl_c_logs_out() {
    let server = DatagramServer::start();
    let bob = client(&server, "bob");
    let mut alice = session(&server, "alice", &[]);
    bob.message("alice", "hello");
    alice.session.hears("bob: hello");
    alice.session.signal("INT");
    server.wait_for("'command': 'LOGOUT'");
    assert_eq!(alice.has_ended().status, 130);
    is_content(&server);
}

#[test]
fn what_datagram_has_no_word_for_is_usage() {
    let server = DatagramServer::start();
    for words in [
        &["history"][..],
        &["block", "bob"],
        &["private", "bob", "hi"],
        &["chat", "bob"],
        &["login", "bob"],
        &["--wait", "delivered", "broadcast", "hi"],
        &["message", "bob"],
    ] {
        let outcome = chat(&server, "alice", words);
        assert_eq!((outcome.out.as_str(), outcome.status), ("", 2), "{words:?} {outcome:?}");
    }
    assert!(server.datagrams().is_empty(), "{:?}", server.datagrams());
}

#[test]
fn chat_talks_with_chat() {
    let server = DatagramServer::start();
    let mut bob = session(&server, "bob", &[]);
    let mut alice = session(&server, "alice", &[]);
    bob.session.hears("* alice is online");
    alice.session.says("message bob \u{1f389}\ttwo words");
    alice.session.hears("ok");
    bob.session.hears("alice: \u{1f389}\ttwo words");
    bob.session.says("broadcast \u{e9}");
    bob.session.hears("ok");
    alice.session.hears("bob (to everyone): \u{e9}");
    for chatter in [alice, bob] {
        chatter.session.ends(0);
        server.wait_for("'command': 'LOGOUT'");
    }
    is_content(&server);
}

#[test]
fn a_person_sees_who_has_what_they_say() {
    let server = DatagramServer::start();
    let bob = client(&server, "bob");
    let person = person(server.address(), "alice");
    let mut terminal = person.sit_down_with(&["--protocol", "datagram"], &[("CHAT_PASSWORD", "secret")]);
    let has = |text: &'static str| move |screen: &[String]| screen.iter().any(|row| row.starts_with(text));
    terminal.sees_that("the prompt", |screen| screen.last().is_some_and(|row| row == "alice>"));
    assert!(terminal.printed().contains("the protocol 'datagram' is not encrypted"));
    terminal.enters("message bob hello");
    terminal.sees_that("that bob has it", has("✓ bob has it"));
    bob.message("alice", "hello\u{1b}[2J");
    terminal.sees_that("what bob says", has("hh:mm bob: hello<U+001B>[2J"));
    terminal.enters("contacts");
    terminal.sees_that("who is there", has("online: bob"));
    terminal.enters("login bob");
    terminal.sees_that("that there is one log-in", has("you are logged in: a second log-in is for another chat"));
    terminal.enters("quit");
    server.wait_for("'command': 'LOGOUT'");
    terminal.ended_with(0);
    is_content(&server);
}

#[test]
fn whoever_does_not_read_any_more_is_logged_out() {
    let server = DatagramServer::start();
    let bob = client(&server, "bob");
    let (_person, mut command) = command(&server, "alice", &[]);
    let mut chat = command.spawn().expect("chat starts");
    drop(chat.stdout.take());
    bob.expect("ALERT", "alice is online!");
    bob.message("alice", "is anybody there?");
    server.wait_for("'command': 'LOGOUT'");
    assert!(chat.wait().expect("it ends").success());
}
