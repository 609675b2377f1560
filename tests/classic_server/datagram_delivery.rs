//! What `datagram` promises and UDP does not: every message is confirmed, checked, sent again, and not lost.

use std::time::Duration;

use crate::existing::datagram_client::{DatagramClient, Manner};
use crate::existing::request_client::Manner as Called;
use crate::scene::{Scene, alert, hears_nothing_else};

/// Between a message and the first copy of it.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Until a client that acknowledges nothing is given up.
const GIVEN_UP_AFTER: Duration = Duration::from_millis(15_500);

/// alice and bob, who know of each other.
fn two(scene: &Scene) -> [DatagramClient; 2] {
    let [alice, bob] = ["alice", "bob"].map(|user| scene.datagram(user));
    alice.expect("ALERT", "bob is online!");
    [alice, bob]
}

#[test]
fn what_is_lost_is_sent_again() {
    let scene = Scene::new();
    let [alice, bob] = two(&scene);
    bob.losses().lose_next(2);
    alice.message("bob", "lost twice");
    bob.losses().next();
    bob.losses().next();
    bob.expect("MESSAGE_EXCHANGE", "Private message from alice: lost twice");
    alice.expect("ACKNOWLEDGEMENT", "Message received by bob");
    hears_nothing_else(&bob);
    hears_nothing_else(&alice);
}

#[test]
fn a_lost_acknowledgement_brings_a_copy_and_nothing_is_told_twice() {
    let scene = Scene::new();
    let [alice, bob] = two(&scene);
    bob.set_manner(Manner::NeverAcknowledges);
    alice.message("bob", "once");
    let first = bob.wait_for("MESSAGE_EXCHANGE", "Private message from alice: once");
    let copy = bob.wait_for("MESSAGE_EXCHANGE", "Private message from alice: once");
    assert_eq!(first.text, copy.text);
    assert!(copy.at - first.at > FIRST_PAUSE / 2, "{:?}", copy.at - first.at);
    bob.acknowledge("alice");
    bob.acknowledge("alice");
    bob.set_manner(Manner::Acknowledges);
    alice.expect("ACKNOWLEDGEMENT", "Message received by bob");
    // The acknowledgement of a copy is not taken for one of what comes next.
    alice.message("bob", "again");
    bob.wait_for("MESSAGE_EXCHANGE", "Private message from alice: again");
    alice.expect("ACKNOWLEDGEMENT", "Message received by bob");
    hears_nothing_else(&alice);
}

#[test]
fn one_message_is_under_way_at_a_time_and_notices_overtake_it() {
    let scene = Scene::new();
    let [alice, bob] = two(&scene);
    bob.set_manner(Manner::NeverAcknowledges);
    alice.message("bob", "one");
    bob.expect("MESSAGE_EXCHANGE", "Private message from alice: one");
    scene.message("carol", "bob", "two");
    alice.message("bob", "three");
    let _zoe = scene.guest("zoe");
    bob.wait_for("ALERT", "zoe is online!");
    assert!(!bob.datagrams().concat().contains("two"));
    // Somebody else's name acknowledges nothing.
    for other in ["carol", "bob", "nobody", ""] {
        bob.acknowledge(other);
    }
    hears_nothing_else_but_copies(&bob);
    assert!(!bob.datagrams().concat().contains("two"));
    alice.expect("ALERT", "zoe is online!");
    hears_nothing_else(&alice);
    bob.set_manner(Manner::Acknowledges);
    bob.acknowledge("alice");
    bob.wait_for("MESSAGE_EXCHANGE", "Private message from carol: two");
    bob.wait_for("MESSAGE_EXCHANGE", "Private message from alice: three");
    alice.wait_for("ACKNOWLEDGEMENT", "Message received by bob");
    alice.wait_for("ACKNOWLEDGEMENT", "Message received by bob");
}

/// Everything that was said before has been heard, and what comes is what came before.
fn hears_nothing_else_but_copies(client: &DatagramClient) {
    client.message("nobody-at-all", "hello?");
    while client.next().message_type != "ERROR" {}
}

#[test]
fn who_acknowledges_nothing_is_offline_after_five_tries_and_the_message_waits() {
    let scene = Scene::new();
    let [alice, bob] = two(&scene);
    bob.set_manner(Manner::NeverAcknowledges);
    alice.message("bob", "hello?");
    let first = bob.wait_for("MESSAGE_EXCHANGE", "Private message from alice: hello?").at;
    let told = alert(&alice);
    assert!(told.contains("bob"), "{told}");
    assert!(first.elapsed() > GIVEN_UP_AFTER - FIRST_PAUSE, "{:?}", first.elapsed());
    let tries = bob.datagrams().iter().filter(|datagram| datagram.contains("hello?")).count();
    assert_eq!(tries, 5);
    // An acknowledgement of nobody any more.
    bob.acknowledge("alice");
    let bob = scene.datagram("bob");
    alice.expect("ALERT", "bob is online!");
    bob.expect("MESSAGE_EXCHANGE", "Private message from alice: hello?");
    alice.expect("ACKNOWLEDGEMENT", "Message received by bob");
    hears_nothing_else(&bob);
}

#[test]
fn a_slow_client_is_waited_for() {
    let scene = Scene::new();
    let [alice, bob] = two(&scene);
    bob.set_manner(Manner::AcknowledgesAfter(Duration::from_millis(300)));
    for n in 0..3 {
        alice.message("bob", &format!("number {n}"));
    }
    for n in 0..3 {
        bob.wait_for("MESSAGE_EXCHANGE", &format!("Private message from alice: number {n}"));
        alice.wait_for("ACKNOWLEDGEMENT", "Message received by bob");
    }
}

#[test]
fn what_waits_comes_at_the_log_in_one_after_the_other() {
    let mut scene = Scene::on_disk();
    let texts: Vec<String> = (0..10).map(|n| format!("number {n} \u{1f389}")).collect();
    for text in &texts {
        scene.message("carol", "alice", text);
    }
    scene.chatd.kill_and_restart();
    let alice = scene.datagram("alice");
    for text in &texts {
        alice.expect("MESSAGE_EXCHANGE", &format!("Private message from carol: {text}"));
    }
    hears_nothing_else(&alice);
    // What was shown is known for sure when the server ends in order.
    assert!(scene.chatd.stop().success());
    scene.chatd.start_again();
    hears_nothing_else(&scene.datagram("alice"));
}

#[test]
fn a_message_to_who_is_not_there_is_said_to_wait_and_confirmed_when_it_has_come() {
    let scene = Scene::new();
    let alice = scene.datagram("alice");
    for text in ["one", "two"] {
        alice.message("bob", text);
        let told = alert(&alice);
        assert!(told.contains("bob") && told.split(' ').count() >= 4, "{told}");
    }
    let bob = scene.request("bob");
    alice.expect("ALERT", "bob is online!");
    bob.wait_for("Offline messages: \nalice:one\nalice:two\n");
    alice.expect("ACKNOWLEDGEMENT", "Message received by bob");
    alice.expect("ACKNOWLEDGEMENT", "Message received by bob");
    hears_nothing_else(&alice);
}

#[test]
fn a_group_message_that_reaches_nobody_is_said_to() {
    let scene = Scene::new();
    let alice = scene.datagram("alice");
    alice.message_all("anybody?");
    let told = alert(&alice);
    assert!(told.split(' ').count() >= 4, "{told}");
    hears_nothing_else(&alice);
}

#[test]
fn who_uses_another_protocol_acknowledges_by_having_been_reached() {
    let scene = Scene::new();
    let alice = scene.datagram("alice");
    let bob = scene.request("bob");
    alice.expect("ALERT", "bob is online!");
    let dave = scene.session("dave");
    alice.expect("ALERT", "dave is online!");
    let mut carol = scene.native("carol");
    alice.expect("ALERT", "carol is online!");
    bob.expect("note:dave is online!\n");
    bob.expect("note:carol is online!\n");

    bob.set_manner(Called::NeverAccepts);
    alice.message("bob", "hello");
    alice.message("dave", "hello");
    dave.expect("alice: hello");
    alice.expect("ACKNOWLEDGEMENT", "Message received by dave");
    alice.message("carol", "hello");
    carol.session.hears("alice: hello");
    alice.expect("ACKNOWLEDGEMENT", "Message received by carol");
    bob.set_manner(Called::Reads);
    bob.expect("alice:hello\n");
    alice.expect("ACKNOWLEDGEMENT", "Message received by bob");

    let zoe = scene.guest("zoe");
    alice.expect("ALERT", "zoe is online!");
    alice.message("zoe", "hello");
    zoe.expect("alice (private): hello");
    alice.expect("ACKNOWLEDGEMENT", "Message received by zoe");
    alice.message_all("hello, all");
    for user in ["bob", "carol", "dave", "zoe"] {
        alice.wait_for("ACKNOWLEDGEMENT", &format!("Message received by {user}"));
    }
    hears_nothing_else(&alice);
}

#[test]
fn a_sender_of_another_protocol_is_told_when_it_has_come() {
    let scene = Scene::new();
    let bob = scene.datagram("bob");
    let mut alice = scene.native("alice");
    bob.expect("ALERT", "alice is online!");
    bob.set_manner(Manner::NeverAcknowledges);
    alice.session.says("message bob hello");
    alice.session.hears_something();
    bob.expect("MESSAGE_EXCHANGE", "Private message from alice: hello");
    bob.acknowledge("alice");
    let outcome = scene.chat("carol", &["--wait", "delivered", "--timeout", "1", "message", "bob", "hello"]);
    assert_eq!(outcome.status, 75, "{outcome:?}");
    bob.wait_for("MESSAGE_EXCHANGE", "Private message from carol: hello");
    bob.acknowledge("carol");
    bob.set_manner(Manner::Acknowledges);
    let outcome = scene.chat("dave", &["--wait", "delivered", "message", "bob", "hello"]);
    assert_eq!(outcome.status, 0, "{outcome:?}");
}

#[test]
fn messages_of_many_senders_are_each_acknowledged_to_their_own() {
    let scene = Scene::new();
    let [alice, bob] = two(&scene);
    let carol = scene.datagram("carol");
    for client in [&alice, &bob] {
        client.expect("ALERT", "carol is online!");
    }
    for n in 0..5 {
        alice.message("bob", &format!("from alice {n}"));
        carol.message("bob", &format!("from carol {n}"));
    }
    for _ in 0..5 {
        alice.expect("ACKNOWLEDGEMENT", "Message received by bob");
        carol.expect("ACKNOWLEDGEMENT", "Message received by bob");
    }
    let bodies = |of: &str| (0..5).map(|n| format!("from {of} {n}'")).collect::<Vec<_>>();
    let datagrams = bob.datagrams().concat();
    for of in ["alice", "carol"] {
        let places: Vec<_> =
            bodies(of).iter().map(|body| datagrams.find(body.as_str()).expect("it has come")).collect();
        assert!(places.is_sorted(), "{of}: {places:?}");
    }
    hears_nothing_else(&alice);
    hears_nothing_else(&carol);
}
