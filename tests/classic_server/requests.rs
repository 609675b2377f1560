//! Each request of `request`, and each of its replies.

use crate::existing::request_client::{Meaning, RequestClient};
use crate::scene::{Scene, expect_together};
use crate::support::CREDENTIALS;

const NO_SUCH_USER: &str = "No such User in the system\n";
/// As it is spelled.
const BLOCKED: &str = "Your message could not bedelivered\nas the recipient has blocked you\n";
const SOME_LEFT_OUT: &str = "Your message could not be delivered to some recipients\n";

/// alice and bob, who have heard of each other.
fn alice_and_bob(scene: &Scene) -> (RequestClient, RequestClient) {
    let alice = scene.request("alice");
    let bob = scene.request("bob");
    alice.expect("note:bob is online!\n");
    (alice, bob)
}

#[track_caller]
fn block(user: &RequestClient, other: &str) {
    user.block(other);
    user.expect(&format!("User {other} has been blocked\n"));
}

/// Who is online as this user sees it.
#[track_caller]
fn online(user: &RequestClient) -> Vec<String> {
    user.ask_who_is_online();
    let text = user.next().text;
    let Meaning::Online(mut names) = Meaning::of(&text) else { panic!("{text:?}") };
    let whole = if names.is_empty() { "online".to_owned() } else { format!("online,{}", names.join(",")) };
    assert_eq!(text, whole);
    names.sort();
    names
}

#[test]
fn forward() {
    let scene = Scene::new();
    let (alice, bob) = alice_and_bob(&scene);
    alice.forward("bob", "hello, you, and you,");
    bob.expect("alice:hello, you, and you,\n");
    alice.forward("BOB", " blanks ");
    bob.expect("alice: blanks \n");
    alice.forward("nobody", "hello?");
    alice.expect(NO_SUCH_USER);
    alice.forward("no name at all", "hello?");
    alice.expect(NO_SUCH_USER);
    block(&bob, "alice");
    alice.forward("bob", "hello?");
    alice.expect(BLOCKED);
    // One-way.
    bob.forward("alice", "go away");
    alice.expect("bob:go away\n");
    bob.expect_nothing_else();
    alice.expect_nothing_else();
}

#[test]
fn forward_without_the_newline_that_is_typed() {
    let scene = Scene::new();
    let (alice, bob) = alice_and_bob(&scene);
    alice.send("forward,alice,bob,no newline");
    bob.expect("alice:no newline\n");
    alice.send("forward,alice,bob,one newline\n");
    bob.expect("alice:one newline\n");
    alice.send("forward,alice,bob,as elsewhere\r\n");
    bob.expect("alice:as elsewhere\n");
    alice.send("block,alice,bob\n");
    alice.expect("User bob has been blocked\n");
}

#[test]
fn an_interior_newline_is_followed_by_four_spaces() {
    let scene = Scene::new();
    let (alice, bob) = alice_and_bob(&scene);
    alice.send("forward,alice,bob,one\ntwo\n\nnote:carol is online!\n");
    bob.expect("alice:one\n    two\n    \n    note:carol is online!\n");
    scene.message("carol", "bob", "one\n\ttwo");
    bob.expect("carol:one\n    \ttwo\n");
}

#[test]
fn what_was_kept_comes_at_the_next_log_in() {
    let scene = Scene::new();
    let alice = scene.request("alice");
    let texts: Vec<String> = (0..10).map(|n| format!("text {n}, and more")).collect();
    for text in &texts {
        alice.forward("bob", text);
        scene.wait_for_history("alice", text);
    }
    scene.message("carol", "bob", "me too");
    let mut bob = scene.request("bob");
    let mut expected = vec!["Offline messages: \n".to_owned()];
    expected.extend(texts.iter().map(|text| format!("alice:{text}\n")));
    expected.push("carol:me too\n".to_owned());
    let chunks = expect_together(&bob, &expected.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(chunks.len() < expected.len(), "texts share a delivery: {chunks:?}");
    bob.expect_nothing_else();
    // Once.
    bob.log_out();
    alice.wait_for("note:bob is offline!\n");
    let bob = scene.request("bob");
    bob.expect_nothing_else();
}

#[test]
fn broadcast() {
    let scene = Scene::new();
    let (alice, bob) = alice_and_bob(&scene);
    let carol = scene.request("carol");
    alice.expect("note:carol is online!\n");
    bob.expect("note:carol is online!\n");
    alice.broadcast("hello, all,");
    bob.expect("alice:hello, all,\n");
    carol.expect("alice:hello, all,\n");
    block(&bob, "alice");
    alice.broadcast("all of you?");
    alice.expect(SOME_LEFT_OUT);
    carol.expect("alice:all of you?\n");
    // An offline user who was left out is nobody's business.
    let mut bob = bob;
    bob.log_out();
    carol.expect("note:bob is offline!\n");
    alice.broadcast("who is left");
    carol.expect("alice:who is left\n");
    alice.expect_nothing_else();
    carol.expect_nothing_else();
    assert_eq!(bob.deliveries(), ["note:carol is online!\n", "alice:hello, all,\n", "User alice has been blocked\n"]);
}

#[test]
fn two_who_block_the_sender_are_one_line() {
    let scene = Scene::new();
    let (alice, bob) = alice_and_bob(&scene);
    let carol = scene.request("carol");
    alice.expect("note:carol is online!\n");
    bob.expect("note:carol is online!\n");
    block(&bob, "alice");
    block(&carol, "alice");
    alice.broadcast("anybody?");
    alice.expect(SOME_LEFT_OUT);
    alice.expect_nothing_else();
    bob.expect_nothing_else();
    carol.expect_nothing_else();
}

#[test]
fn online_is_who_is_there_without_the_asker_and_without_those_who_blocked_the_asker() {
    let scene = Scene::new();
    let alice = scene.request("alice");
    alice.ask_who_is_online();
    alice.expect("online");
    let bob = scene.request("bob");
    alice.expect("note:bob is online!\n");
    assert_eq!(online(&alice), ["bob"]);
    let native = scene.native("carol");
    alice.expect("note:carol is online!\n");
    bob.expect("note:carol is online!\n");
    let guest = scene.guest("zoe");
    alice.expect("note:zoe is online!\n");
    bob.expect("note:zoe is online!\n");
    assert_eq!(online(&alice), ["bob", "carol", "zoe"]);
    assert_eq!(online(&bob), ["alice", "carol", "zoe"]);
    block(&bob, "alice");
    assert_eq!(online(&alice), ["carol", "zoe"]);
    assert_eq!(online(&bob), ["alice", "carol", "zoe"]);
    drop((native, guest));
}

#[test]
fn block_and_unblock() {
    let scene = Scene::new();
    let alice = scene.request("alice");
    for (request, answer) in [
        ("block,alice,bob", "User bob has been blocked\n"),
        ("block,alice,bob", "User bob has been blocked\n"),
        ("block,alice,nobody", NO_SUCH_USER),
        ("block,alice,no name", NO_SUCH_USER),
        ("unblock,alice,bob", "User bob is unblocked\n"),
        ("unblock,alice,bob", "User bob is not in the blocked list\n"),
        ("unblock,alice,carol", "User carol is not in the blocked list\n"),
    ] {
        alice.send(request);
        assert_eq!(alice.next().text, answer, "{request}");
    }
    alice.expect_nothing_else();
}

#[test]
fn whoever_is_unblocked_comes_through_again() {
    let scene = Scene::new();
    let (alice, bob) = alice_and_bob(&scene);
    block(&bob, "alice");
    alice.forward("bob", "one");
    alice.expect(BLOCKED);
    bob.unblock("alice");
    bob.expect("User alice is unblocked\n");
    alice.forward("bob", "two");
    bob.expect("alice:two\n");
    alice.expect_nothing_else();
}

#[test]
fn an_address_is_told_after_a_yes_and_they_talk_without_the_server() {
    let scene = Scene::new();
    let (alice, bob) = alice_and_bob(&scene);
    alice.ask_for_address("bob");
    bob.expect("private_consent,alice");
    bob.answer("alice", "yes");
    let text = alice.next().text;
    assert_eq!(text, format!("getaddress,bob,127.0.0.1,{}", bob.port()));
    let Meaning::Address { address, .. } = Meaning::of(&text) else { panic!("{text:?}") };
    alice.say_directly(address, "just us");
    bob.expect("alice:just us\n");
    alice.expect_nothing_else();
}

#[test]
fn the_newline_that_was_typed_is_no_part_of_an_answer() {
    let scene = Scene::new();
    let (alice, bob) = alice_and_bob(&scene);
    alice.send("getaddress,alice,bob\n");
    bob.expect("private_consent,alice");
    bob.answer("alice", "yes\n");
    alice.expect(&format!("getaddress,bob,127.0.0.1,{}", bob.port()));
}

#[test]
fn anything_but_yes_is_no() {
    for answer in ["no", "yes please", "maybe"] {
        let scene = Scene::new();
        let (alice, bob) = alice_and_bob(&scene);
        alice.ask_for_address("bob");
        bob.expect("private_consent,alice");
        bob.answer("alice", answer);
        alice.expect("getaddress,no");
        alice.expect_nothing_else();
        bob.expect_nothing_else();
    }
}

#[test]
fn there_is_no_address_of_who_is_offline_unknown_or_has_blocked_the_asker() {
    let scene = Scene::new();
    let (alice, bob) = alice_and_bob(&scene);
    alice.ask_for_address("carol");
    alice.expect("getaddress,offline");
    alice.ask_for_address("nobody");
    alice.expect(NO_SUCH_USER);
    alice.ask_for_address("no name");
    alice.expect(NO_SUCH_USER);
    block(&bob, "alice");
    alice.ask_for_address("bob");
    alice.expect("getaddress,blocked");
    alice.expect_nothing_else();
    bob.expect_nothing_else();
}

#[test]
fn an_answer_that_nobody_asked_for_tells_nobody_anything() {
    let scene = Scene::new();
    let (alice, bob) = alice_and_bob(&scene);
    bob.answer("alice", "yes");
    // What bob is told, if anything, is for people.
    bob.block("nobody-at-all");
    bob.wait_for(NO_SUCH_USER);
    assert!(!bob.deliveries().iter().any(|text| text.starts_with("getaddress")), "{:?}", bob.deliveries());
    // An answer counts once.
    alice.ask_for_address("bob");
    bob.wait_for("private_consent,alice");
    bob.answer("alice", "no");
    alice.expect("getaddress,no");
    bob.answer("alice", "yes");
    bob.block("nobody-at-all");
    bob.wait_for(NO_SUCH_USER);
    alice.expect_nothing_else();
}

#[test]
fn a_question_to_who_uses_another_protocol_is_answered_without_an_address() {
    let scene = Scene::new();
    let alice = scene.request("alice");
    let _carol = scene.native("carol");
    alice.expect("note:carol is online!\n");
    let _zoe = scene.guest("zoe");
    alice.expect("note:zoe is online!\n");
    for other in ["carol", "zoe"] {
        alice.ask_for_address(other);
        let mut told = vec![alice.next().text];
        // Beside it there may be a reason for people.
        if !told[0].starts_with("getaddress,") {
            told.push(alice.next().text);
        }
        let no_address = ["getaddress,no", "getaddress,offline"];
        assert_eq!(told.iter().filter(|text| no_address.contains(&text.as_str())).count(), 1, "{told:?}");
    }
}

#[test]
fn log_out() {
    let scene = Scene::new();
    let (alice, mut bob) = alice_and_bob(&scene);
    let carol = scene.request("carol");
    alice.expect("note:carol is online!\n");
    bob.expect("note:carol is online!\n");
    block(&bob, "alice");
    bob.log_out();
    carol.expect("note:bob is offline!\n");
    // Those whom bob has blocked are not told.
    alice.expect_nothing_else();
    // A client that never logged in.
    carol.send("logout,logout");
    carol.expect_nothing_else();
}

#[test]
fn a_request_in_the_name_of_who_is_not_online_is_ignored() {
    let scene = Scene::new();
    let bob = scene.request("bob");
    bob.send("forward,alice,bob,I am not there\n");
    bob.send("broadcast,alice,I am not there\n");
    bob.send("alive,alice");
    bob.send("block,alice,bob");
    bob.send("forward,nobody,bob,nor am I\n");
    bob.expect_nothing_else();
    // carol is online, but has never said that she can be spoken for from here.
    let mut carol = scene.native("carol");
    bob.expect("note:carol is online!\n");
    bob.send("forward,carol,bob,no\n");
    bob.send("logout,carol");
    bob.send("forward,bob,carol,are you there?\n");
    carol.session.hears("bob: are you there?");
    bob.expect_nothing_else();
    let alice = scene.request("alice");
    bob.expect("note:alice is online!\n");
    alice.forward("bob", "now I am");
    bob.expect("alice:now I am\n");
}

#[test]
fn every_account_of_the_file_is_served() {
    let scene = Scene::with_accounts(&format!("{CREDENTIALS}x-1._ some password\n"));
    let odd = RequestClient::logged_in(scene.address(), "x-1._", "some password");
    scene.message("carol", "x-1._", "hi");
    odd.expect("carol:hi\n");
}
