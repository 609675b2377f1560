//! What it takes for a message to count as delivered where the recipient does not say so itself.

use std::process::Child;

use crate::existing::request_client::Manner;
use crate::scene::Scene;
use crate::support::chat::Person;
use crate::support::wait;

/// chat that waits until this message is delivered.
fn delivering(person: &Person, to: &str, text: &str) -> Child {
    person.command(&["--wait", "delivered", "--timeout", "60", "message", to, text]).spawn().expect("chat starts")
}

#[track_caller]
fn ends(mut chat: Child, status: i32) {
    assert_eq!(wait(&mut chat).code(), Some(status));
}

#[test]
fn to_a_client_that_is_called_when_it_has_taken_the_call() {
    let scene = Scene::new();
    let alice = Person::new(&scene.chatd, "alice");
    let bob = scene.request("bob");
    alice.chat(&["--wait", "delivered", "message", "bob", "one"]).is("", "", 0);
    assert_eq!(bob.deliveries(), ["alice:one\n"]);
    for manner in [Manner::NeverReads, Manner::Resets] {
        bob.set_manner(manner);
        let mut chat = delivering(&alice, "bob", "two");
        bob.next_visit();
        bob.next_visit();
        assert!(chat.try_wait().expect("chat").is_none(), "{manner:?}");
        bob.set_manner(Manner::Reads);
        ends(chat, 0);
        assert_eq!(bob.deliveries().last().map(String::as_str), Some("alice:two\n"));
    }
}

#[test]
fn not_while_the_client_never_reads() {
    let scene = Scene::new();
    let bob = scene.request("bob");
    for manner in [Manner::NeverReads, Manner::NeverAccepts, Manner::Resets] {
        bob.set_manner(manner);
        let outcome = scene.chat("alice", &["--wait", "delivered", "--timeout", "1", "message", "bob", "hello?"]);
        assert_eq!(outcome.status, 75, "{manner:?} {outcome:?}");
    }
    assert!(bob.deliveries().is_empty());
}

#[test]
fn to_who_is_offline_when_the_next_log_in_has_taken_it() {
    let scene = Scene::new();
    let alice = Person::new(&scene.chatd, "alice");
    let outcome = alice.chat(&["--wait", "delivered", "--timeout", "1", "message", "bob", "one"]);
    assert_eq!(outcome.status, 75, "{outcome:?}");
    let chat = delivering(&alice, "bob", "two");
    scene.wait_for_history("alice", "two");
    let bob = scene.request("bob");
    ends(chat, 0);
    assert_eq!(bob.deliveries().concat(), "Offline messages: \nalice:one\nalice:two\n");
}

#[test]
fn to_a_guest_when_the_guest_has_it() {
    let scene = Scene::new();
    let zoe = scene.guest("zoe");
    scene.chat("alice", &["--wait", "delivered", "--timeout", "60", "message", "zoe", "hello"]).is("", "", 0);
    zoe.expect("alice (private): hello");
    drop(zoe);
    scene.chatd.expect_online("zoe", false);
    // Whoever is gone has no queue.
    assert_eq!(scene.chat("alice", &["message", "zoe", "hello"]).status, 67);
}

#[test]
fn a_session_goes_on_when_it_is_delivered() {
    let scene = Scene::new();
    let bob = scene.request("bob");
    let person = Person::new(&scene.chatd, "alice");
    let mut alice = person.session(&scene.chatd, &["--wait", "delivered", "--timeout", "60"]);
    bob.expect("note:alice is online!\n");
    bob.set_manner(Manner::Resets);
    alice.says("message bob hello");
    bob.next_visit();
    bob.set_manner(Manner::Reads);
    bob.expect("alice:hello\n");
    alice.hears("ok 1");
    alice.ends(0);
}
