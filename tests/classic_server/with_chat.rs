//! What `chat` has to do for the sake of the classic protocols: chats with clients of `session`, and accounts of which a
//! client of `datagram` has told but the digest of the password.

use std::fs;

use crate::existing::datagram_client::{DatagramClient, Habits};
use crate::existing::python::Python;
use crate::scene::Scene;
use crate::support::chat::{Outcome, Person, run};

#[test]
fn a_chat_with_a_client_that_knows_nothing_else() {
    let scene = Scene::new();
    let bob = scene.session("bob");
    let mut alices = scene.native("alice");
    let alice = &mut alices.session;
    alice.says("chat bob");
    alice.hears("ok");
    bob.expect_chat_with("alice");
    bob.press_enter();
    alice.says("message bob hi, bob");
    alice.hears("ok 1");
    bob.expect("alice: hi, bob");
    bob.say("hi, alice");
    alice.hears("bob: hi, alice");
    // Each of them is in one chat.
    let mut carols = scene.native("carol");
    let carol = &mut carols.session;
    alice.hears("* carol is online");
    carol.says("chat bob");
    let engaged = "bob can't be reached for a chat: they are not online, or in one, or have blocked you";
    carol.is_told(&format!("chat: line 1: {engaged}"));
    alice.says("end chat");
    alice.hears("ok");
    assert!(bob.next().text.starts_with("END_NOTIF("));
    carol.says("chat bob");
    carol.hears("ok");
    bob.expect_chat_with("carol");
    bob.end_chat();
    carol.hears("* the chat with bob is over");
}

/// eve, who has signed up by `datagram`, at chat.
fn chat(alice: &Person, password: &str, words: &[&str]) -> Outcome {
    let mut command = alice.command(&[&["--user", "eve"], words].concat());
    command.env("CHAT_PASSWORD", password);
    run(command, b"online\n")
}

#[test]
fn an_account_of_a_digest_logs_in_and_keeps_it_so() {
    let scene = Scene::new();
    DatagramClient::logged_in(scene.address(), "eve", "garden of eden").log_out();
    let alice = Person::new(&scene.chatd, "alice");
    chat(&alice, "garden of eden", &["message", "alice", "hi"]).is("", "", 0);
    let wrong = chat(&alice, "garden of evil", &["online"]);
    assert_eq!((wrong.out.as_str(), wrong.status), ("", 77), "{wrong:?}");
    // A session comes back by its token, which is of no digest.
    chat(&alice, "garden of eden", &[]).is("", "", 0);
    fs::write(alice.home.path().join("new"), "east of eden\n").expect("a file");
    let changed = chat(&alice, "garden of eden", &["--new-password-file", "new", "passwd"]);
    changed.is("the password is changed\n", "", 0);
    chat(&alice, "east of eden", &["online"]).is("", "", 0);
    let thief = DatagramClient::open(scene.address(), "eve", Habits::of(Python::Two));
    thief.log_in("garden of eden");
    assert_eq!(thief.next().message_type, "ERROR");
    DatagramClient::logged_in(scene.address(), "eve", "east of eden");
}
