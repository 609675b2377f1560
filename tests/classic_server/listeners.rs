//! Which listener serves whom: one port for all, further ones for one protocol each, and the scopes.

use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::existing::request_client::{Outcome, RequestClient};
use crate::existing::{End, Received, receive};
use crate::scene::{ByHand, Guest};
use crate::support::Chatd;

const GUESTS: [&str; 3] = ["--memory", "--guests", "loopback"];
/// Longer than the silence after which guests are asked.
const LONGER_THAN_SILENCE: Duration = Duration::from_millis(1500);
const NOT_UNDERSTOOD: &str = "chatd: this is a chat server, and that is no protocol it speaks. Try: chat HOST PORT\n";

/// Whoever says nothing here hears nothing either.
#[track_caller]
fn nobody_is_asked(stream: &TcpStream) {
    stream.set_read_timeout(Some(LONGER_THAN_SILENCE)).expect("a limit");
    assert!(matches!(receive(stream, 1), Received::Silence));
}

#[test]
fn one_port_serves_everybody() {
    let chatd = Chatd::start(&GUESTS);
    let alice = RequestClient::logged_in(chatd.address(), "alice", "wonderland");
    let zoe = Guest::joined(chatd.address(), "zoe");
    alice.expect("note:zoe is online!\n");
    let _bob = chatd.log_in("bob", 1);
    alice.expect("note:bob is online!\n");
    zoe.expect("bob joined the chat!");
}

#[test]
fn nobody_is_asked_before_a_second_is_over() {
    let chatd = Chatd::start(&GUESTS);
    let began = Instant::now();
    ByHand::connect(chatd.address()).hears("NICK");
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
}

#[test]
fn a_listener_for_nick_asks_at_once_and_knows_nothing_else() {
    let chatd = Chatd::start(&[&GUESTS[..], &["--listen", "nick=127.0.0.1:0"]].concat());
    let zoe = Guest::joined(chatd.listener(0), "zoe");
    for opening in ["newUser,alice,wonderland,5000", "{\"id\":1,\"request\":\"online\"}\n", "logout,alice"] {
        let mut client = ByHand::connect(chatd.listener(0));
        client.hears("NICK");
        client.say(opening);
        let text = client.rest_before_reset();
        assert!(!text.is_empty() && !text.starts_with('{') && !text.contains("Welcome"), "{text:?}");
    }
    zoe.expect_nothing_before("alone");
}

#[test]
fn a_listener_for_request_asks_nobody_and_knows_nothing_else() {
    let chatd =
        Chatd::start(&[&GUESTS[..], &["--listen", "request=127.0.0.1:0", "--listen", "nick=127.0.0.1:0"]].concat());
    let alice = RequestClient::logged_in(chatd.listener(0), "alice", "wonderland");
    let _zoe = Guest::joined(chatd.listener(1), "zoe");
    alice.expect("note:zoe is online!\n");
    let mut native = ByHand::connect(chatd.listener(0));
    native.say("{\"id\":1,\"request\":\"online\"}\n");
    assert_eq!(native.rest().0, NOT_UNDERSTOOD);
    nobody_is_asked(&TcpStream::connect(chatd.listener(0)).expect("connect"));
    // A session is one whichever listener its requests come to.
    let mut bob = RequestClient::open();
    let log_in = bob.log_in(chatd.address(), "bob", &["builder"]);
    assert_eq!(log_in.outcome, Outcome::LoggedIn("bob".to_owned()));
    alice.expect("note:bob is online!\n");
    ByHand::connect(chatd.listener(0)).say("forward,bob,alice,hello\n");
    alice.expect("bob:hello\n");
}

#[test]
fn a_listener_for_the_native_protocol_knows_nothing_else() {
    let chatd = Chatd::start(&["--memory", "--listen", "native=127.0.0.1:0"]);
    let mut native = ByHand::connect(chatd.listener(0));
    native.say("{\"id\":1,\"request\":\"online\"}\n");
    native.hears("{\"id\":1,\"error\":\"log-in-first\",\"text\":\"log in first\"}\n");
    let mut other = ByHand::connect(chatd.listener(0));
    other.say("newUser,alice,wonderland,5000");
    assert_eq!(other.rest().0, NOT_UNDERSTOOD);
}

#[test]
fn without_guests_nobody_is_asked_for_a_nickname() {
    let chatd = Chatd::start(&["--memory", "--guests", "off"]);
    let alice = RequestClient::logged_in(chatd.address(), "alice", "wonderland");
    let mut silent = ByHand::connect(chatd.address());
    let quiet = TcpStream::connect(chatd.address()).expect("connect");
    nobody_is_asked(&quiet);
    silent.say("zoe");
    assert_eq!(silent.rest().0, NOT_UNDERSTOOD);
    alice.expect_nothing_else();
}

#[test]
fn a_listener_for_nick_lets_in_who_is_in_the_scope_of_guests() {
    for guests in ["off", "10.0.0.0/8"] {
        let chatd = Chatd::start(&["--memory", "--guests", guests, "--listen", "nick=127.0.0.1:0"]);
        let alice = RequestClient::logged_in(chatd.address(), "alice", "wonderland");
        let mut zoe = ByHand::connect(chatd.listener(0));
        let (text, _) = zoe.rest();
        assert!(!text.contains("NICK") && !text.contains("joined"), "{text:?}");
        alice.expect_nothing_else();
    }
}

#[test]
fn without_plaintext_neither_protocol_is_served() {
    let chatd = Chatd::start(&[&GUESTS[..], &["--plaintext", "off", "--listen", "nick=127.0.0.1:0"]].concat());
    let log_in = RequestClient::open().log_in(chatd.address(), "alice", &["wonderland"]);
    assert_eq!(log_in.outcome, Outcome::Ended(End::Reset), "{:?}", log_in.chunks);
    assert!(log_in.chunks.len() <= 1, "{:?}", log_in.chunks);
    nobody_is_asked(&TcpStream::connect(chatd.address()).expect("connect"));
    let (text, _) = ByHand::connect(chatd.listener(0)).rest();
    assert!(!text.contains("NICK"), "{text:?}");
    let mut post = ByHand::connect(chatd.address());
    post.say("logout,logout");
    assert!(!post.rest().0.contains("Welcome"));
}

#[test]
fn a_listener_that_is_none_is_usage() {
    for (value, says) in [
        ("nick", "nick"),
        ("nick=", "nick="),
        ("nick=127.0.0.1", "127.0.0.1"),
        ("talk=127.0.0.1:0", "talk"),
        ("nick=127.0.0.1:70000", "70000"),
        ("=127.0.0.1:0", "127.0.0.1:0"),
    ] {
        let (status, error) = start(&["--listen", value]);
        assert_eq!(status, Some(2), "{value}: {error}");
        assert!(error.contains(says), "{value}: {error}");
    }
}

#[test]
fn a_listener_whose_port_is_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("a bound socket");
    let (status, error) = start(&["--listen", &format!("nick={address}")]);
    assert_eq!(status, Some(69), "{error}");
    assert!(error.contains(&address.port().to_string()), "{error}");
}

/// A chatd that does not start; its exit status, and what it says about it.
fn start(arguments: &[&str]) -> (Option<i32>, String) {
    let dir = tempfile::tempdir().expect("a directory");
    let mut command = Command::new(env!("CARGO_BIN_EXE_chatd"));
    command.current_dir(dir.path()).env_clear().args(["--memory", "--port", "0", "--bind", "127.0.0.1"]);
    let output = command.args(arguments).stdin(Stdio::null()).output().expect("chatd");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}
