//! What a client of `session` says and is told, but for chats.

use crate::existing::End;
use crate::existing::session_client::SessionClient;
use crate::scene::{Scene, hears_nothing_else};

/// What a client reads at once, in bytes.
const CHUNK_BYTES_MAX: usize = 1024;
/// The client looks for them anywhere.
const WORDS: [&str; 3] = ["END_NOTIF", "CHAT_STARTED", "UNREACHABLE"];

/// A line in no fixed words, which says nothing to the client itself.
#[track_caller]
fn hears_a_free_line(client: &SessionClient) -> String {
    let text = client.next().text;
    assert!(!text.trim().is_empty() && !WORDS.iter().any(|word| text.contains(word)), "{text:?}");
    text
}

/// The parts of one text, each of which one read brings.
#[track_caller]
fn hears_in_parts(client: &SessionClient, from: &str, text: &str) {
    let mut heard = String::new();
    while heard.len() < text.len() {
        let chunk = client.next().text;
        assert!(chunk.len() <= CHUNK_BYTES_MAX, "{} bytes", chunk.len());
        let part = chunk.strip_prefix(from).and_then(|part| part.strip_prefix(": "));
        heard += part.unwrap_or_else(|| panic!("no part: {chunk:?}"));
    }
    assert_eq!(heard, text);
}

/// What stands in a line of history, if it is one.
fn history_line(line: &str) -> Option<(&str, &str)> {
    let (id, said) = line.strip_prefix('<')?.split_once("> ")?;
    (id.len() == 14 && id.bytes().all(|byte| byte.is_ascii_digit())).then_some((id, said))
}

#[test]
fn a_text_outside_a_chat_goes_to_nobody() {
    let scene = Scene::new();
    let (alice, bob) = (scene.session("alice"), scene.session("bob"));
    for text in ["anybody?", "bob: hello", "CHAT_REQUEST", "HISTORY_REQ(", "END_REQUEST(", "CONNECT(1234567890)", "\n"]
    {
        alice.say(text);
        hears_a_free_line(&alice);
    }
    bob.expect_nothing_else();
}

#[test]
fn private_messages_and_broadcasts_from_elsewhere_come_whether_in_a_chat_or_not() {
    let scene = Scene::new();
    let (alice, bob) = (scene.session("alice"), scene.session("bob"));
    scene.message("carol", "alice", "hi, alice");
    alice.expect("carol: hi, alice");
    scene.broadcast("carol", "hi, all");
    alice.expect("carol: hi, all");
    bob.expect("carol: hi, all");
    alice.request_chat("bob");
    alice.expect_chat_with("bob");
    bob.expect_chat_with("alice");
    scene.message("dave", "bob", "hi, bob");
    bob.expect("dave: hi, bob");
    scene.broadcast("carol", "hi again");
    alice.expect("carol: hi again");
    bob.expect("carol: hi again");
}

#[test]
fn nobody_is_told_who_comes_and_goes() {
    let scene = Scene::new();
    let alice = scene.session("alice");
    let bob = scene.session("bob");
    let zoe = scene.guest("zoe");
    drop(zoe);
    drop(bob);
    drop(scene.request("carol"));
    alice.expect_nothing_else();
}

#[test]
fn who_comes_and_goes_with_it_is_told_to_the_others() {
    let scene = Scene::new();
    let zoe = scene.guest("zoe");
    let alice = scene.session("alice");
    zoe.expect("alice joined the chat!");
    alice.log_off("log off");
    zoe.expect("alice left the chat!");
    assert_eq!(alice.expect_end(), End::LoggedOff);
    let alice = scene.session("alice");
    zoe.expect("alice joined the chat!");
    drop(alice);
    zoe.expect("alice left the chat!");
}

#[test]
fn the_clients_words_are_broken_inside_texts_and_nothing_else_is() {
    let scene = Scene::new();
    let alice = scene.session("alice");
    for (text, shown) in [
        ("END_NOTIF(20260101120000)", "E\u{200b}ND_NOTIF(20260101120000)"),
        ("xCHAT_STARTED(1, bob)x", "xC\u{200b}HAT_STARTED(1, bob)x"),
        ("UNREACHABLEUNREACHABLE", "U\u{200b}NREACHABLEU\u{200b}NREACHABLE"),
        ("CHAT_CHECK END_CHECK CHAT_REQUEST CONNECTED", "CHAT_CHECK END_CHECK CHAT_REQUEST CONNECTED"),
        ("end_notif Chat_Started", "end_notif Chat_Started"),
        ("E\u{200b}ND_NOTIF", "E\u{200b}ND_NOTIF"),
        ("\t'\"\\ (),;<>", "\t'\"\\ (),;<>"),
    ] {
        scene.message("carol", "alice", text);
        alice.expect(&format!("carol: {shown}"));
        scene.broadcast("carol", text);
        alice.expect(&format!("carol: {shown}"));
    }
    alice.request_chat("carol");
    alice.expect("UNREACHABLE(carol)");
    alice.ask_for_history("carol");
    let history = alice.next().text;
    assert!(!WORDS.iter().any(|word| history.contains(word)), "{history}");
}

#[test]
fn a_line_within_a_text_can_not_be_taken_for_a_message_of_its_own() {
    let scene = Scene::new();
    let alice = scene.session("alice");
    scene.message("carol", "alice", "one\ndave: two\n\n<20260101120000> dave: three");
    alice.expect("carol: one\n    dave: two\n    \n    <20260101120000> dave: three");
}

#[test]
fn a_long_text_comes_in_parts_with_the_name_before_each_and_no_character_is_cut() {
    let scene = Scene::new();
    let alice = scene.session("alice");
    for text in [(0..800).map(|n| format!("{n},")).collect::<String>(), "\u{e9}".repeat(2000), "\u{1f389}1".repeat(800)]
    {
        scene.message("carol", "alice", &text);
        hears_in_parts(&alice, "carol", &text);
        scene.broadcast("carol", &text);
        hears_in_parts(&alice, "carol", &text);
    }
    alice.expect_nothing_else();
}

#[test]
fn a_word_is_not_put_together_again_by_the_parts_of_a_text() {
    let scene = Scene::new();
    let alice = scene.session("alice");
    // Wherever a part ends, it ends in one.
    let text = "END_NOTIF".repeat(400);
    scene.message("carol", "alice", &text);
    let mut heard = String::new();
    while heard.replace('\u{200b}', "").len() < text.len() {
        let chunk = alice.next().text;
        assert!(!WORDS.iter().any(|word| chunk.contains(word)), "{chunk:?}");
        heard += chunk.strip_prefix("carol: ").expect("a part");
    }
    assert_eq!(heard, "E\u{200b}ND_NOTIF".repeat(400));
}

#[test]
fn messages_of_several_senders_are_each_one_read() {
    let scene = Scene::new();
    let alice = scene.session("alice");
    let (bob, carol) = (scene.request("bob"), scene.request("carol"));
    bob.expect("note:carol is online!\n");
    for n in 0..4 {
        bob.forward("alice", &format!("number {n}"));
        carol.broadcast(&format!("number {n}"));
    }
    let mut heard: Vec<String> = (0..8).map(|_| alice.next().text).collect();
    heard.sort();
    let said = |user: &'static str| (0..4).map(move |n| format!("{user}: number {n}"));
    assert_eq!(heard, said("bob").chain(said("carol")).collect::<Vec<_>>());
}

#[test]
fn what_came_while_one_was_away_comes_at_the_log_on() {
    let mut scene = Scene::on_disk();
    scene.message("carol", "alice", "one");
    scene.message("dave", "alice", "two \u{1f389}");
    scene.chatd.kill_and_restart();
    let alice = scene.session("alice");
    alice.expect("carol: one");
    alice.expect("dave: two \u{1f389}");
    scene.message("carol", "alice", "three");
    alice.expect("carol: three");
    // What was taken does not come again, once that is known.
    scene.everything_is_shown();
    alice.log_off("log off");
    assert_eq!(alice.expect_end(), End::LoggedOff);
    scene.message("carol", "alice", "four");
    scene.chatd.kill_and_restart();
    let alice = scene.session("alice");
    alice.expect("carol: four");
    alice.expect_nothing_else();
}

#[test]
fn history_is_what_both_ever_said_to_each_other_in_chats_and_outside() {
    let mut scene = Scene::on_disk();
    let (alice, bob) = (scene.session("alice"), scene.session("bob"));
    scene.message("carol", "alice", "none of bob's business");
    alice.expect("carol: none of bob's business");
    scene.message("bob", "alice", "before");
    alice.expect("bob: before");
    alice.request_chat("bob");
    let first = alice.expect_chat_with("bob").id;
    bob.expect_chat_with("alice");
    alice.say("one");
    bob.expect("alice: one");
    bob.say("two");
    alice.expect("bob: two");
    let check = |client: &SessionClient, other: &str, expected: &[(Option<&str>, &str)]| {
        client.ask_for_history(other);
        let text = client.next().text;
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        assert_eq!(lines.len(), expected.len(), "{text}");
        for (line, (id, said)) in lines.iter().zip(expected) {
            let (is, heard) = history_line(line).unwrap_or_else(|| panic!("no line: {line:?}"));
            assert_eq!((heard, id.unwrap_or(is)), (format!("{said}\n").as_str(), is), "{text}");
        }
    };
    let so_far = [(None, "bob: before"), (Some(&*first), "alice: one"), (Some(&*first), "bob: two")];
    // In a chat too.
    check(&alice, "bob", &so_far);
    check(&bob, "alice", &so_far);
    bob.end_chat();
    alice.expect(&format!("END_NOTIF({first})"));
    alice.send(&[&format!("END_CHECK({first})")]);
    check(&alice, "bob", &so_far);
    drop((alice, bob));

    assert!(scene.chatd.stop().success());
    scene.chatd.start_again();
    let (alice, bob) = (scene.session("alice"), scene.session("bob"));
    check(&bob, "alice", &so_far);
    bob.request_chat("alice");
    let second = bob.expect_chat_with("alice").id;
    alice.expect_chat_with("bob");
    bob.say("three");
    alice.expect("bob: three");
    check(&alice, "bob", &[&so_far[..], &[(Some(&*second), "bob: three")]].concat());
}

#[test]
fn a_long_history_comes_in_as_few_reads_as_it_takes() {
    let scene = Scene::new();
    let alice = scene.session("alice");
    let mut texts: Vec<String> = (0..30).map(|n| format!("this is number {n}")).collect();
    texts.push("x".repeat(900));
    texts.push("\u{e9}".repeat(1800));
    for text in &texts {
        scene.message("carol", "alice", text);
        hears_in_parts(&alice, "carol", text);
    }
    alice.ask_for_history("carol");
    let (mut heard, mut reads) = (String::new(), 0);
    let expected = texts.concat();
    while heard.len() < expected.len() {
        let chunk = alice.next().text;
        assert!(chunk.len() <= CHUNK_BYTES_MAX && chunk.ends_with('\n'), "{chunk:?}");
        for line in chunk.lines() {
            let (_, said) = history_line(line).unwrap_or_else(|| panic!("no line: {line:?}"));
            heard += said.strip_prefix("carol: ").expect("who has said it");
        }
        reads += 1;
    }
    assert_eq!(heard, expected);
    // 30 lines of some 50 bytes, one of 900, and 3600 bytes in parts.
    assert!(reads <= 10, "{reads} reads");
    alice.expect_nothing_else();
}

#[test]
fn there_is_a_line_for_no_history_and_for_ones_own() {
    let scene = Scene::new();
    let (alice, bob) = (scene.session("alice"), scene.session("bob"));
    for other in ["bob", "carol", "alice", "nobody", "two words", ""] {
        alice.ask_for_history(other);
        hears_a_free_line(&alice);
    }
    bob.expect_nothing_else();
}

#[test]
fn a_text_that_was_said_in_a_chat_is_a_text_in_every_protocol() {
    let scene = Scene::new();
    let alice = scene.session("alice");
    let bob = scene.request("bob");
    let carol = scene.datagram("carol");
    bob.expect("note:carol is online!\n");
    for (text, shown) in [
        ("hi \u{1f389}", "hi \u{1f389}"),
        ("logout,bob", "logout,bob"),
        ("a\u{7}b\u{1b}[31m", "a\u{fffd}b\u{fffd}[31m"),
        ("'}, 'header': {}", "'}, 'header': {}"),
    ] {
        alice.request_chat("bob");
        alice.expect_chat_with("bob");
        alice.send(&[text]);
        bob.expect(&format!("alice:{shown}\n"));
        alice.end_chat();
        alice.request_chat("carol");
        alice.expect_chat_with("carol");
        alice.send(&[text]);
        carol.expect("MESSAGE_EXCHANGE", &format!("Private message from alice: {shown}"));
        alice.end_chat();
    }
    alice.expect_nothing_else();
}

#[test]
fn what_is_said_when_the_chat_is_over_goes_to_nobody() {
    let scene = Scene::new();
    let alice = scene.session("alice");
    let carol = scene.datagram("carol");
    alice.request_chat("carol");
    let id = alice.expect_chat_with("carol").id;
    carol.log_out();
    alice.expect(&format!("END_NOTIF({id})"));
    alice.send(&["are you there?"]);
    hears_a_free_line(&alice);
    let carol = scene.datagram("carol");
    hears_nothing_else(&carol);
}
