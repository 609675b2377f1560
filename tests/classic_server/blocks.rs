//! Whoever is blocked comes through by no protocol and no path.

use crate::existing::request_client::RequestClient;
use crate::scene::{Guest, Native, Scene};

const BLOCKED: &str = "Your message could not bedelivered\nas the recipient has blocked you\n";

/// bob, as somebody who has blocked alice and zoe.
enum Bob {
    Called(RequestClient),
    Native(Native),
}

impl Bob {
    #[track_caller]
    fn has_heard_nothing_but(&mut self, scene: &Scene, sender: &'static str, text: &str) {
        scene.message(sender, "bob", text);
        match self {
            Bob::Called(client) => client.expect(&format!("{sender}:{text}\n")),
            Bob::Native(native) => native.session.hears(&format!("{sender}: {text}")),
        }
    }
}

fn every_path_of_alice(scene: &Scene, alice: &RequestClient) {
    alice.forward("bob", "forward");
    alice.expect(BLOCKED);
    alice.broadcast("broadcast");
    alice.expect("Your message could not be delivered to some recipients\n");
    alice.ask_for_address("bob");
    alice.expect("getaddress,blocked");
    alice.ask_who_is_online();
    assert!(!alice.next().text.contains("bob"));
    assert_eq!(scene.chat("alice", &["message", "bob", "native"]).status, 77);
    assert_eq!(scene.chat("alice", &["broadcast", "native"]).status, 0);
    alice.expect_nothing_else();
}

fn every_path_of_zoe(zoe: &Guest) {
    for text in ["hello", "bob: hello", "bob, are you there?"] {
        zoe.say(text);
        zoe.wait_for(&format!("zoe: {text}"));
    }
}

#[test]
fn blocked_by_a_client_that_is_called() {
    let scene = Scene::new();
    let zoe = scene.guest("zoe");
    let bob = scene.request("bob");
    for other in ["alice", "zoe"] {
        bob.block(other);
        bob.expect(&format!("User {other} has been blocked\n"));
    }
    let alice = scene.request("alice");
    // Whom alice does not see she is not told of, and bob is told of alice.
    bob.expect("note:alice is online!\n");
    zoe.wait_for("alice joined the chat!");
    every_path_of_alice(&scene, &alice);
    every_path_of_zoe(&zoe);
    Bob::Called(bob).has_heard_nothing_but(&scene, "carol", "that is all");
}

#[test]
fn blocked_by_a_session_of_chat() {
    let scene = Scene::new();
    let zoe = scene.guest("zoe");
    let mut bob = scene.native("bob");
    for other in ["alice", "zoe"] {
        bob.session.says(&format!("block {other}"));
        bob.session.hears("ok");
    }
    let alice = scene.request("alice");
    bob.session.hears("* alice is online");
    zoe.wait_for("alice joined the chat!");
    every_path_of_alice(&scene, &alice);
    every_path_of_zoe(&zoe);
    Bob::Native(bob).has_heard_nothing_but(&scene, "carol", "that is all");
}

#[test]
fn a_block_holds_for_what_was_queued_before_it() {
    let scene = Scene::new();
    let alice = scene.request("alice");
    alice.forward("bob", "one");
    scene.wait_for_history("alice", "one");
    scene.message("carol", "bob", "two");
    scene.message("alice", "bob", "three");
    scene.chat("bob", &["block", "alice"]).is("", "", 0);
    let bob = scene.request("bob");
    let mut heard = String::new();
    while !heard.ends_with("carol:two\n") {
        heard += &bob.next().text;
    }
    assert_eq!(heard, "Offline messages: \ncarol:two\n");
    bob.expect_nothing_else();
}

#[test]
fn a_block_of_a_guest_ends_with_the_guest() {
    let scene = Scene::new();
    let bob = scene.request("bob");
    let zoe = scene.guest("zoe");
    bob.expect("note:zoe is online!\n");
    bob.block("zoe");
    bob.expect("User zoe has been blocked\n");
    zoe.say("can you hear me?");
    zoe.expect("zoe: can you hear me?");
    bob.expect_nothing_else();
    drop(zoe);
    bob.expect("note:zoe is offline!\n");
    let zoe = scene.guest("zoe");
    bob.expect("note:zoe is online!\n");
    zoe.say("and now?");
    bob.expect("zoe:and now?\n");
    bob.unblock("zoe");
    bob.expect("User zoe is not in the blocked list\n");
}

#[test]
fn whoever_is_blocked_does_not_see_the_other_come_and_go() {
    let scene = Scene::new();
    scene.chat("bob", &["block", "alice"]).is("", "", 0);
    let alice = scene.request("alice");
    let mut carol = scene.native("carol");
    alice.expect("note:carol is online!\n");
    let mut bob = scene.request("bob");
    carol.session.hears("* bob is online");
    bob.log_out();
    carol.session.hears("* bob is offline");
    let bob = scene.native("bob");
    carol.session.hears("* bob is online");
    alice.expect_nothing_else();
    drop(bob);
}
