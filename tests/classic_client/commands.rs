//! One command of the command line, by `request`.

use std::thread;

use crate::scene::Scene;
use crate::support::chat::run;

#[test]
fn a_message_ends_with_the_newline_that_is_its_end_on_the_way() {
    let scene = Scene::new();
    let bob = scene.client("bob");
    scene.chat("alice", &["message", "bob", "hello, you"]).is("", "", 0);
    bob.wait_for("alice:hello, you\n");
    scene.chat("alice", &["broadcast", "hello, all"]).is("", "", 0);
    bob.wait_for("alice:hello, all\n");
    scene.is_content();
}

#[test]
fn messages_for_who_is_offline_stay_lines() {
    let scene = Scene::new();
    scene.chat("alice", &["message", "bob", "one"]).is("", "", 0);
    scene.chat("alice", &["message", "bob", "two"]).is("", "", 0);
    let bob = scene.client("bob");
    bob.expect("Offline messages: \nalice:one\nalice:two\n");
    scene.is_content();
}

#[test]
fn a_message_of_several_lines_is_indented() {
    let scene = Scene::new();
    let bob = scene.client("bob");
    let (_person, command) = scene.command("alice", &["message", "bob", "-"]);
    run(command, b"one\ntwo\n\nnote:carol is online!\n").is("", "", 0);
    bob.wait_for("alice:one\n    two\n    \n    note:carol is online!\n");
    scene.is_content();
}

#[test]
fn a_long_message_goes_in_parts_that_are_whole() {
    let scene = Scene::new();
    let bob = scene.client("bob");
    let text: String = (100_000..).map(|n| format!("é{n}")).take(512).collect();
    scene.chat("alice", &["message", "bob", &text]).is("", "", 0);
    bob.expect("note:alice is online!\n");
    let mut heard = String::new();
    while heard.len() < text.len() {
        let chunk = bob.next().text;
        assert!(chunk.len() <= 4096, "{} bytes", chunk.len());
        heard += chunk.strip_prefix("alice:").and_then(|part| part.strip_suffix('\n')).expect("a part");
    }
    assert_eq!(heard, text);
    scene.is_content();
}

#[test]
fn what_can_not_be_delivered_is_told() {
    let scene = Scene::new();
    let bob = scene.client("bob");
    scene.chat("alice", &["message", "zoe", "hi"]).is("", "chat: there is no user 'zoe'\n", 67);
    scene.chat("alice", &["block", "zoe"]).is("", "chat: there is no user 'zoe'\n", 67);
    bob.block("alice");
    bob.wait_for("User alice has been blocked\n");
    scene.chat("alice", &["message", "bob", "hi"]).is("", "chat: not delivered: bob has blocked you\n", 77);
    assert_eq!(scene.chat("alice", &["broadcast", "hi"]).status, 0);
    scene.is_content();
}

#[test]
fn online_block_and_unblock() {
    let scene = Scene::new();
    scene.chat("alice", &["online"]).is("", "", 0);
    let (bob, carol) = (scene.client("bob"), scene.client("carol"));
    scene.chat("alice", &["online"]).is("bob\ncarol\n", "", 0);
    scene.chat("alice", &["--json", "online"]).is("{\"reply\":\"online\",\"users\":[\"bob\",\"carol\"]}\n", "", 0);
    scene.chat("alice", &["block", "bob"]).is("", "", 0);
    bob.forward("alice", "hi");
    bob.wait_for("Your message could not bedelivered\nas the recipient has blocked you\n");
    scene.chat("alice", &["unblock", "bob"]).is("", "", 0);
    bob.forward("alice", "hi");
    scene.server.wait_for("forward,bob,alice,hi\n");
    drop(carol);
    scene.is_content();
}

#[test]
fn what_has_waited_comes_with_the_log_in() {
    let scene = Scene::new();
    let bob = scene.client("bob");
    bob.forward("alice", "are you there?");
    scene.server.wait_for("forward,bob,alice,are you there?\n");
    bob.forward("alice", "hello?");
    scene.server.wait_for("forward,bob,alice,hello?\n");
    let outcome = scene.chat("alice", &["block", "carol"]);
    assert_eq!((outcome.out.as_str(), outcome.status), ("", 0));
    let mut lines: Vec<&str> = outcome.error.lines().collect();
    // Each was a connection of its own.
    lines.sort_unstable();
    assert_eq!(lines, ["chat: bob: are you there?", "chat: bob: hello?"]);
    scene.is_content();
}

#[test]
fn an_address_is_printed_after_a_yes() {
    let scene = Scene::new();
    let bob = scene.client("bob");
    for (answer, status) in [("yes", 0), ("no", 77)] {
        let (_person, command) = scene.command("alice", &["getaddress", "bob"]);
        let chat = thread::spawn(move || run(command, b""));
        bob.wait_for("private_consent,alice");
        bob.answer("alice", answer);
        let outcome = chat.join().expect("chat");
        let address = if status == 0 { format!("bob 127.0.0.1 {}\n", bob.port()) } else { String::new() };
        assert_eq!((outcome.out, outcome.status), (address, status), "{}", outcome.error);
    }
    assert_eq!(scene.chat("alice", &["getaddress", "carol"]).status, 75);
    assert_eq!(scene.chat("alice", &["getaddress", "zoe"]).status, 67);
    bob.block("alice");
    bob.wait_for("User alice has been blocked\n");
    assert_eq!(scene.chat("alice", &["getaddress", "bob"]).status, 77);
    scene.is_content();
}

#[test]
fn a_private_text_goes_to_the_other_client_itself() {
    let scene = Scene::new();
    let bob = scene.client("bob");
    let (_person, command) = scene.command("alice", &["private", "bob", "just us"]);
    let chat = thread::spawn(move || run(command, b""));
    bob.wait_for("private_consent,alice");
    bob.answer("alice", "yes");
    bob.wait_for("alice:just us\n");
    assert_eq!(chat.join().expect("chat").status, 0);
    assert!(!scene.server.chunks().iter().any(|chunk| chunk.contains("just us")));

    let (_person, command) = scene.command("alice", &["private", "bob", "just us"]);
    let chat = thread::spawn(move || run(command, b""));
    bob.wait_for("private_consent,alice");
    bob.answer("alice", "no");
    assert_eq!(chat.join().expect("chat").status, 77);
    scene.is_content();
}

#[test]
fn what_request_has_no_word_for_is_usage_and_reaches_nobody() {
    let scene = Scene::new();
    for words in [
        &["history"][..],
        &["passwd"],
        &["blocked"],
        &["privacy"],
        &["revoke", "bob"],
        &["sign-up"],
        &["nonsense"],
        &["message"],
        &["message", "bob"],
        &["message", "no name", "hi"],
        &["message", "bob", ""],
        &["block"],
        &["--wait", "delivered", "message", "bob", "hi"],
    ] {
        let outcome = scene.chat("alice", words);
        assert_eq!((outcome.out.as_str(), outcome.status), ("", 2), "{words:?} {outcome:?}");
        assert!(outcome.error.lines().count() >= 1, "{words:?}");
    }
    assert!(scene.server.chunks().is_empty(), "{:?}", scene.server.chunks());
}

#[test]
fn a_command_displaces_a_session_of_the_same_user() {
    let scene = Scene::new();
    let mut session = scene.session("alice", &[]);
    scene.chat("alice", &["block", "bob"]).is("", "", 0);
    session.session.is_told_something_with("chat: displaced: ");
    session.session.has_ended(69);
    scene.is_content();
}
