//! Who is told of whom that they come and go, and how a session ends without having asked for it.

use std::time::{Duration, Instant};

use crate::existing::End;
use crate::existing::request_client::Manner;
use crate::scene::{Scene, expect_together};

/// What the server of these tests goes by.
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(3);
const HEARTBEATS: [&str; 2] = ["--heartbeat-timeout", "3"];
/// Between two heartbeats of whoever stays.
const HEARTBEAT: Duration = Duration::from_millis(200);

#[test]
fn the_others_are_told_of_who_comes_but_those_whom_the_newcomer_has_blocked() {
    let scene = Scene::new();
    let alice = scene.request("alice");
    let carol = scene.request("carol");
    alice.expect("note:carol is online!\n");
    scene.chat("bob", &["block", "alice"]).is("", "", 0);
    let zoe = scene.guest("zoe");
    alice.expect("note:zoe is online!\n");
    carol.expect("note:zoe is online!\n");
    let bob = scene.request("bob");
    carol.expect("note:bob is online!\n");
    zoe.expect("bob joined the chat!");
    alice.expect_nothing_else();
    bob.expect_nothing_else();
}

#[test]
fn whoever_is_silent_is_offline_after_the_heartbeat_timeout_and_not_before() {
    let scene = Scene::with(&HEARTBEATS);
    // A guest has no heartbeat.
    let zoe = scene.guest("zoe");
    let began = Instant::now();
    let bob = scene.request("bob");
    zoe.expect("bob joined the chat!");
    zoe.expect("bob left the chat!");
    assert!(began.elapsed() >= HEARTBEAT_TIMEOUT, "{:?}", began.elapsed());
    // The client was told nothing by anybody, and a request of it counts for nothing now.
    bob.broadcast("am I still there?");
    zoe.expect_nothing_before("no");
    assert!(bob.deliveries().is_empty(), "{:?}", bob.deliveries());
}

#[test]
fn heartbeats_keep_a_session() {
    let scene = Scene::with(&HEARTBEATS);
    let zoe = scene.guest("zoe");
    let mut alice = scene.request("alice");
    alice.keep_alive(HEARTBEAT);
    zoe.expect("alice joined the chat!");
    // Two others come and expire, one after the other, each of them as long as a timeout.
    for _ in 0..2 {
        let _bob = scene.request("bob");
        zoe.expect("bob joined the chat!");
        alice.expect("note:bob is online!\n");
        zoe.expect("bob left the chat!");
        alice.expect("note:bob is offline!\n");
    }
    alice.stop_heartbeat();
    zoe.expect("alice left the chat!");
}

#[test]
fn what_an_unreachable_client_was_owed_when_it_expired_comes_at_the_next_log_in() {
    let scene = Scene::with(&HEARTBEATS);
    let zoe = scene.guest("zoe");
    let mut bob = scene.request("bob");
    bob.keep_alive(HEARTBEAT);
    zoe.expect("bob joined the chat!");
    bob.set_manner(Manner::NeverAccepts);
    scene.message("alice", "bob", "one");
    scene.broadcast("alice", "two");
    zoe.expect("alice: two");
    scene.message("alice", "bob", "three");
    bob.stop_heartbeat();
    zoe.expect("bob left the chat!");
    drop(bob);
    let bob = scene.request("bob");
    expect_together(&bob, &["Offline messages: \n", "alice:one\n", "alice:two\n", "alice:three\n"]);
    bob.expect_nothing_else();
}

#[test]
fn a_server_that_stops_tells_everyone_in_their_own_words() {
    let mut scene = Scene::new();
    let alice = scene.request("alice");
    let bob = scene.request("bob");
    alice.expect("note:bob is online!\n");
    let zoe = scene.guest("zoe");
    alice.expect("note:zoe is online!\n");
    bob.expect("note:zoe is online!\n");
    assert!(scene.chatd.stop().success());
    for client in [&alice, &bob] {
        client.expect("shutdown");
        assert_eq!(client.expect_end(), End::Told("shutdown".to_owned()));
    }
    let told = zoe.next_line();
    assert!(!told.is_empty());
    assert_eq!(zoe.expect_end(), End::Reset, "after {told:?}");
}

#[test]
fn a_server_that_stops_delivers_what_it_can_before() {
    let mut scene = Scene::on_disk();
    let alice = scene.request("alice");
    scene.message("bob", "alice", "at the last moment");
    assert!(scene.chatd.stop().success());
    alice.expect("bob:at the last moment\n");
    alice.expect("shutdown");
}

#[test]
fn a_server_that_stops_does_not_wait_for_ever_for_who_never_reads() {
    let mut scene = Scene::on_disk();
    let alice = scene.request("alice");
    alice.set_manner(Manner::NeverReads);
    scene.message("bob", "alice", "hello?");
    alice.next_visit();
    assert!(scene.chatd.stop().success());
    drop(alice);
    scene.chatd.start_again();
    let alice = scene.request("alice");
    expect_together(&alice, &["Offline messages: \n", "bob:hello?\n"]);
}

#[test]
fn what_waits_survives_kill() {
    let mut scene = Scene::on_disk();
    let alice = scene.request("alice");
    alice.forward("bob", "while you were away");
    scene.wait_for_history("alice", "while you were away");
    scene.message("carol", "bob", "me too");
    scene.chatd.kill_and_restart();
    let bob = scene.request("bob");
    expect_together(&bob, &["Offline messages: \n", "alice:while you were away\n", "carol:me too\n"]);
    bob.expect_nothing_else();
}

#[test]
fn what_was_owed_to_a_session_that_died_with_the_server_comes_too() {
    let mut scene = Scene::on_disk();
    let bob = scene.request("bob");
    bob.set_manner(Manner::Resets);
    scene.message("carol", "bob", "one");
    scene.broadcast("carol", "two");
    bob.next_visit();
    scene.chatd.kill_and_restart();
    drop(bob);
    let bob = scene.request("bob");
    expect_together(&bob, &["Offline messages: \n", "carol:one\n", "carol:two\n"]);
    bob.expect_nothing_else();
}

#[test]
fn an_account_that_is_removed_is_told_and_gone() {
    let scene = Scene::on_disk();
    let alice = scene.request("alice");
    let bob = scene.request("bob");
    alice.expect("note:bob is online!\n");
    std::fs::write(scene.chatd.dir.path().join("credentials.txt"), "alice wonderland\n").expect("credentials");
    scene.chatd.signal("HUP");
    alice.expect("note:bob is offline!\n");
    let told = bob.next().text;
    // A line for people, and what its program ends by.
    if told != "shutdown" {
        assert!(told.ends_with('\n'), "{told:?}");
        bob.expect("shutdown");
    }
    assert_eq!(bob.expect_end(), End::Told("shutdown".to_owned()));
}
