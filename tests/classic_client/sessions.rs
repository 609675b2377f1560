//! A session of chat's by `request`, that takes its commands from standard input.

use std::time::Duration;

use crate::existing::request_server::Settings;
use crate::scene::{ACCOUNTS, Scene};

#[test]
fn people_talk() {
    let scene = Scene::new();
    let mut alice = scene.session("alice", &[]);
    let mut bob = scene.client("bob");
    alice.session.hears("* bob is online");
    bob.forward("alice", "hello, alice");
    alice.session.hears("bob: hello, alice");
    bob.broadcast("hello, all");
    alice.session.hears("bob: hello, all");
    alice.session.says("message bob hello, bob");
    alice.session.hears("ok");
    bob.expect("alice:hello, bob\n");
    alice.session.says("broadcast hello, everyone");
    alice.session.hears("ok");
    bob.expect("alice:hello, everyone\n");
    alice.session.says("online");
    alice.session.hears("bob");
    alice.session.says("block bob");
    alice.session.hears("ok");
    bob.forward("alice", "hello?");
    bob.expect("Your message could not bedelivered\nas the recipient has blocked you\n");
    alice.session.says("unblock bob");
    alice.session.hears("ok");
    bob.log_out();
    alice.session.hears("* bob is offline");
    alice.session.says("logout");
    alice.session.has_ended(0);
    scene.server.wait_for("logout,alice");
    scene.is_content();
}

#[test]
fn commands_are_done_in_their_order_and_the_first_failure_is_the_status() {
    let scene = Scene::new();
    let bob = scene.client("bob");
    let script = "message bob one\n# a remark\nmessage zoe two\nmessage bob three\nhistory\nwait bob: yes 60\nmessage bob four\n";
    let (_person, command) = scene.command("alice", &[]);
    let script = script.as_bytes().to_vec();
    let chat = std::thread::spawn(move || crate::support::chat::run(command, &script));
    bob.wait_for("alice:three\n");
    bob.forward("alice", "yes, I am");
    bob.wait_for("alice:four\n");
    let outcome = chat.join().expect("chat");
    assert_eq!(outcome.status, 67, "{outcome:?}");
    let numbered: Vec<&str> = outcome.error.lines().filter(|line| line.starts_with("chat: line ")).collect();
    let [unknown, no_word] = numbered[..] else { panic!("{outcome:?}") };
    assert_eq!(unknown, "chat: line 3: there is no user 'zoe'");
    assert!(no_word.starts_with("chat: line 5: "), "{no_word}");
    let from_alice: Vec<String> = bob.deliveries().into_iter().filter(|text| text.starts_with("alice:")).collect();
    assert_eq!(from_alice, ["alice:one\n", "alice:three\n", "alice:four\n"]);
    scene.is_content();
}

#[test]
fn a_wait_for_what_does_not_come_is_75() {
    let scene = Scene::new();
    let (_person, command) = scene.command("alice", &[]);
    let outcome = crate::support::chat::run(command, b"wait godot 1\n");
    assert_eq!(outcome.status, 75, "{outcome:?}");
    scene.is_content();
}

#[test]
fn what_was_kept_is_shown_in_its_order() {
    let scene = Scene::new();
    let bob = scene.client("bob");
    for n in 0..3 {
        bob.forward("alice", &format!("text {n}"));
        scene.server.wait_for(&format!("forward,bob,alice,text {n}\n"));
    }
    let (_person, command) = scene.command("alice", &[]);
    // The next log-in of the server's finds them handled.
    let outcome = crate::support::chat::run(command, b"wait text 2 60\n");
    assert_eq!(outcome.status, 0, "{outcome:?}");
    let mut lines: Vec<&str> = outcome.out.lines().filter(|line| line.starts_with("bob: ")).collect();
    lines.sort_unstable();
    assert_eq!(lines, ["bob: text 0", "bob: text 1", "bob: text 2"]);
    scene.is_content();
}

#[test]
fn heartbeats_come_at_their_interval_and_keep_the_session() {
    let timeout = Duration::from_secs(4);
    let scene = Scene::with(&Settings { heartbeat_timeout: timeout, ..Settings::new(&ACCOUNTS) });
    let mut alice = scene.session("alice", &["--heartbeat", "1"]);
    let first = scene.server.wait_for("alive,alice").at;
    let mut last = first;
    while last - first < timeout + Duration::from_secs(1) {
        let next = scene.server.wait_for("alive,alice").at;
        assert!(next - last > Duration::from_millis(500), "{:?}", next - last);
        last = next;
    }
    assert_eq!(scene.server.online(), ["alice"]);
    alice.session.says("logout");
    alice.session.has_ended(0);
    scene.is_content();
}

#[test]
fn a_server_that_stops_ends_the_session() {
    let scene = Scene::new();
    let mut alice = scene.session("alice", &[]);
    scene.server.shut_down();
    alice.session.is_told("chat: the server stops");
    alice.session.has_ended(69);
}

#[test]
fn a_second_log_in_ends_the_first() {
    let scene = Scene::new();
    let mut alice = scene.session("alice", &[]);
    let again = scene.client("alice");
    alice.session.is_told_something_with("chat: displaced: ");
    alice.session.has_ended(69);
    assert_eq!(scene.server.online(), ["alice"]);
    // It has not logged the other out.
    assert!(!scene.server.chunks().contains(&"logout,alice".to_owned()));
    again.expect_nothing_else();
    scene.is_content();
}

#[test]
fn signals_log_out() {
    for (signal, status) in [("INT", 130), ("TERM", 143)] {
        let scene = Scene::new();
        let alice = scene.session("alice", &[]);
        alice.session.signal(signal);
        scene.server.wait_for("logout,alice");
        alice.session.has_ended(status);
        assert!(scene.server.online().is_empty());
        scene.is_content();
    }
}

#[test]
fn the_end_of_the_input_logs_out() {
    let scene = Scene::new();
    let alice = scene.session("alice", &[]);
    alice.session.ends(0);
    scene.server.wait_for("logout,alice");
    scene.is_content();
}

#[test]
fn a_server_that_is_killed_is_noticed_by_the_next_request() {
    let scene = Scene::new();
    let mut alice = scene.session("alice", &[]);
    drop(scene);
    alice.session.says("online");
    assert_eq!(alice.has_ended().status, 69);
}

#[test]
fn a_server_that_is_killed_is_noticed_by_the_next_heartbeat() {
    let scene = Scene::new();
    let alice = scene.session("alice", &["--heartbeat", "1"]);
    drop(scene);
    assert_eq!(alice.has_ended().status, 69);
}

#[test]
fn what_a_server_says_reaches_no_terminal_raw() {
    let scene = Scene::new();
    let mut alice = scene.session("alice", &[]);
    scene.server.deliver("alice", "bob:\u{1b}[31mred\u{202e}\u{7}\n");
    alice.session.hears("bob: <U+001B>[31mred<U+202E><U+0007>");
    scene.server.deliver("alice", "bob:one\n    two\ncarol:three\n");
    alice.session.hears("bob: one");
    alice.session.hears("    two");
    alice.session.hears("carol: three");
    scene.server.deliver("alice", "something \u{1b}else");
    alice.session.hears("* note: something <U+001B>else");
    alice.session.ends(0);
    scene.is_content();
}

#[test]
fn with_json_each_event_is_an_object() {
    let scene = Scene::new();
    let mut alice = scene.session("alice", &["--json"]);
    let mut bob = scene.client("bob");
    alice.session.hears("{\"event\":\"online\",\"user\":\"bob\"}");
    bob.forward("alice", "say \"hi\"");
    alice.session.hears("{\"event\":\"message\",\"from\":\"bob\",\"text\":\"say \\\"hi\\\"\"}");
    alice.session.says("message bob hi");
    alice.session.hears("{\"reply\":\"handed-over\"}");
    bob.expect("alice:hi\n");
    bob.log_out();
    alice.session.hears("{\"event\":\"offline\",\"user\":\"bob\"}");
    alice.session.ends(0);
    scene.is_content();
}
