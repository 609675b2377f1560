//! Consent and private texts: chat with the existing client, and chat with chat.

use crate::existing::request_client::Meaning;
use crate::scene::Scene;

#[test]
fn chat_is_asked_and_says_yes() {
    let scene = Scene::new();
    let mut alice = scene.session("alice", &[]);
    let bob = scene.client("bob");
    alice.session.hears("* bob is online");
    bob.ask_for_address("alice");
    assert!(alice.session.hears_something().starts_with("* bob asks for your address"));
    alice.session.says("consent bob yes");
    alice.session.hears("ok");
    scene.server.wait_for("private_answer,alice,bob,yes");
    let text = bob.next().text;
    let Meaning::Address { user, address } = Meaning::of(&text) else { panic!("{text:?}") };
    assert_eq!(user, "alice");
    bob.say_directly(address, "just us");
    // It comes from the machine that the server is on: nothing tells them apart.
    alice.session.hears("bob: just us");
    alice.session.ends(0);
    scene.is_content();
}

#[test]
fn chat_is_asked_and_says_no() {
    let scene = Scene::new();
    let mut alice = scene.session("alice", &[]);
    let bob = scene.client("bob");
    alice.session.hears("* bob is online");
    bob.ask_for_address("alice");
    assert!(alice.session.hears_something().starts_with("* bob asks for your address"));
    alice.session.says("consent bob no");
    alice.session.hears("ok");
    bob.expect("getaddress,no");
    alice.session.ends(0);
    scene.is_content();
}

#[test]
fn nobody_has_asked() {
    let scene = Scene::new();
    let mut alice = scene.session("alice", &[]);
    alice.session.says("consent bob yes");
    alice.session.is_told_something_with("chat: line 3: ");
    assert!(!scene.server.chunks().iter().any(|chunk| chunk.starts_with("private_answer")));
    assert_ne!(alice.end().status, 0);
}

#[test]
fn chat_asks_and_talks() {
    let scene = Scene::new();
    let mut alice = scene.session("alice", &[]);
    let bob = scene.client("bob");
    alice.session.hears("* bob is online");
    alice.session.says("private bob one");
    bob.expect("private_consent,alice");
    bob.answer("alice", "yes");
    bob.expect("alice:one\n");
    // It is known from then on.
    alice.session.says("private bob two");
    bob.expect("alice:two\n");
    bob.say_directly(([127, 0, 0, 1], bob.port()).into(), "to myself");
    bob.expect("bob:to myself\n");
    alice.session.says("logout");
    let end = alice.end();
    assert_eq!(end.status, 0);
    assert!(!scene.server.chunks().iter().any(|chunk| chunk.contains("one") || chunk.contains("two")));
    scene.is_content();
}

#[test]
fn chat_asks_in_vain() {
    let scene = Scene::new();
    let mut alice = scene.session("alice", &[]);
    let bob = scene.client("bob");
    alice.session.hears("* bob is online");
    alice.session.says("private bob one");
    bob.expect("private_consent,alice");
    bob.answer("alice", "no");
    alice.session.is_told_something_with("chat: line 3: ");
    alice.session.says("private carol one");
    alice.session.is_told_something_with("chat: line 4: ");
    assert_eq!(bob.deliveries(), ["private_consent,alice"]);
    assert_eq!(alice.end().status, 77);
    scene.is_content();
}

#[test]
fn chat_talks_with_chat() {
    let scene = Scene::new();
    let mut alice = scene.session("alice", &[]);
    let mut bob = scene.session("bob", &[]);
    alice.session.hears("* bob is online");
    alice.session.says("private bob just us");
    assert!(bob.session.hears_something().starts_with("* alice asks for your address"));
    bob.session.says("consent alice yes");
    // The text may be there before the answer is known to have been taken.
    let mut heard = [bob.session.hears_something(), bob.session.hears_something()];
    heard.sort();
    assert_eq!(heard, ["alice: just us", "ok"]);
    assert!(!scene.server.chunks().iter().any(|chunk| chunk.contains("just us")));
    bob.session.ends(0);
    assert_eq!(alice.end().status, 0);
    scene.is_content();
}
