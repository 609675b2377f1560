//! chat in the room of an existing `nick` server, and in chatd's.

use std::net::SocketAddr;

use crate::existing::nick_client::NickClient;
use crate::existing::nick_server::NickServer;
use crate::scene::{Chatter, person};
use crate::support::Chatd;

const NICK: [&str; 2] = ["--protocol", "nick"];

/// A session that has come into the room.
#[track_caller]
fn session(server: &NickServer, user: &'static str, options: &[&str]) -> Chatter {
    let person = person(server.address(), user);
    let session = person.start(&[&NICK, options].concat());
    server.expect(user);
    Chatter::new(person, session)
}

fn chat(server: SocketAddr, words: &[&str]) -> crate::support::chat::Outcome {
    person(server, "alice").chat(&[&NICK, words].concat())
}

#[test]
fn people_talk_in_the_room() {
    let server = NickServer::start();
    let zoe = NickClient::joined(server.address(), "zoe");
    server.expect("zoe");
    let mut alice = session(&server, "alice", &[]);
    zoe.expect("alice joined the chat!");
    let yan = NickClient::joined(server.address(), "yan");
    server.expect("yan");
    zoe.expect("yan joined the chat!");
    alice.session.says("wait yan 60");
    alice.session.hears("* yan is online");
    drop(yan);
    zoe.expect("yan left the chat!");
    alice.session.hears("* yan is offline");
    zoe.say("hello, all");
    server.expect("zoe: hello, all");
    zoe.expect("zoe: hello, all");
    alice.session.hears("zoe (to everyone): hello, all");
    alice.session.says("broadcast hello, zoe");
    server.expect("alice: hello, zoe");
    zoe.expect("alice: hello, zoe");
    // Once, as it comes back.
    alice.session.hears("alice (to everyone): hello, zoe");
    alice.session.hears("ok");
    drop(zoe);
    alice.session.hears("* zoe is offline");
    alice.session.ends(0);
    assert_eq!(server.faults(), []);
}

#[test]
fn one_command() {
    let server = NickServer::start();
    let zoe = NickClient::joined(server.address(), "zoe");
    let outcome = chat(server.address(), &["broadcast", "hello, all"]);
    assert_eq!(outcome.status, 0, "{outcome:?}");
    zoe.wait_for("alice: hello, all");
    zoe.wait_for("alice left the chat!");
    assert_eq!(server.chunks(), ["zoe", "alice", "alice: hello, all"]);
}

#[test]
fn each_line_is_a_message() {
    let server = NickServer::start();
    let outcome = chat(server.address(), &["broadcast", "one\ntwo"]);
    assert_eq!(outcome.status, 0, "{outcome:?}");
    assert_eq!(server.chunks(), ["alice", "alice: one", "alice: two"]);
}

#[test]
fn a_name_that_is_refused_is_77() {
    let chatd = Chatd::start(&["--memory", "--guests", "loopback", "--listen", "nick=127.0.0.1:0"]);
    let outcome = chat(chatd.listener(0), &["broadcast", "hi"]);
    assert_eq!((outcome.out.as_str(), outcome.status), ("", 77), "{outcome:?}");
    assert!(outcome.error.lines().count() == 1, "{outcome:?}");
}

#[test]
fn what_nick_has_no_word_for_is_usage() {
    let server = NickServer::start();
    for words in [
        &["message", "zoe", "hi"][..],
        &["online"],
        &["block", "zoe"],
        &["history"],
        &["getaddress", "zoe"],
        &["private", "zoe", "hi"],
        &["passwd"],
        &["--wait", "delivered", "broadcast", "hi"],
    ] {
        let outcome = chat(server.address(), words);
        assert_eq!((outcome.out.as_str(), outcome.status), ("", 2), "{words:?} {outcome:?}");
    }
    assert!(server.chunks().is_empty(), "{:?}", server.chunks());
}

#[test]
fn a_server_that_is_gone_is_69() {
    let server = NickServer::start();
    let mut alice = session(&server, "alice", &[]);
    alice.session.says("broadcast here I am");
    alice.session.hears_something();
    drop(server);
    assert_eq!(alice.has_ended().status, 69);
}

#[test]
fn ctrl_c_leaves_the_room() {
    let server = NickServer::start();
    let zoe = NickClient::joined(server.address(), "zoe");
    server.expect("zoe");
    let alice = session(&server, "alice", &[]);
    zoe.wait_for("alice joined the chat!");
    alice.session.signal("INT");
    zoe.wait_for("alice left the chat!");
    assert_eq!(alice.has_ended().status, 130);
    assert_eq!(server.chunks(), ["zoe", "alice"]);
}

#[test]
fn a_strict_reader_is_told_nothing_it_dies_of_unless_somebody_says_it() {
    let server = NickServer::start();
    let outcome = chat(server.address(), &["broadcast", "ascii only"]);
    assert_eq!(outcome.status, 0, "{outcome:?}");
    assert_eq!(server.faults(), []);
    let outcome = chat(server.address(), &["broadcast", "é"]);
    // The server hangs up on whoever says this.
    assert_eq!(outcome.status, 69, "{outcome:?}");
}

#[test]
fn chat_talks_with_chat_at_chatd() {
    let chatd = Chatd::start(&["--memory", "--guests", "loopback", "--listen", "nick=127.0.0.1:0"]);
    let zoe = person(chatd.listener(0), "carol");
    let mut command = zoe.command(&NICK);
    command.env("CHAT_USER", "zoe");
    let guest = NickClient::joined(chatd.listener(0), "yan");
    let chat =
        std::thread::spawn(move || crate::support::chat::run(command, "broadcast é ß\nwait done 60\n".as_bytes()));
    // Two that wait may come in one chunk.
    while !guest.next().text.ends_with("zoe: \\u{e9} \\u{df}") {}
    guest.say("done");
    let outcome = chat.join().expect("chat");
    assert_eq!(outcome.status, 0, "{outcome:?}");
    assert!(outcome.out.contains("zoe (to everyone): é ß\n"), "{outcome:?}");
}
