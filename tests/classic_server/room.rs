//! `nick`: who comes in, what is heard in the room, and who is not let in.

use crate::existing::End;
use crate::existing::nick_client::NickClient;
use crate::scene::{ByHand, Guest, Scene};

/// A guest whose words the test itself says, and who has come in.
fn by_hand(scene: &Scene, nickname: &str) -> ByHand {
    let mut guest = ByHand::connect(scene.room());
    guest.hears("NICK");
    guest.say(nickname);
    guest.hears(&format!("{} joined the chat!", nickname.trim_end()));
    guest.hears("Connected to the server!");
    guest
}

/// This nickname is refused: with a text, and then by a reset.
#[track_caller]
fn is_refused(scene: &Scene, nickname: &str) {
    let guest = NickClient::connect(scene.room(), nickname);
    guest.expect("NICK");
    let text = guest.next().text;
    assert!(!text.is_empty() && !text.contains("joined"), "{text:?}");
    assert_eq!(guest.expect_end(), End::Reset, "{nickname:?} after {text:?}");
}

#[test]
fn three_in_a_room_hear_each_other_and_themselves() {
    let scene = Scene::new();
    let zoe = scene.guest("zoe");
    let yan = scene.guest("yan");
    zoe.expect("yan joined the chat!");
    let xin = scene.guest("xin");
    zoe.expect("xin joined the chat!");
    yan.expect("xin joined the chat!");
    for (speaker, name) in [(&zoe, "zoe"), (&yan, "yan"), (&xin, "xin")] {
        speaker.say(&format!("I am {name}"));
        for guest in [&zoe, &yan, &xin] {
            guest.expect(&format!("{name}: I am {name}"));
        }
    }
    drop(yan);
    zoe.expect("yan left the chat!");
    xin.expect("yan left the chat!");
    zoe.expect_nothing_before("that is all");
    xin.expect("zoe: that is all");
    // A name is free again when its owner is gone.
    let _yan = scene.guest("yan");
    zoe.expect("yan joined the chat!");
    xin.expect("yan joined the chat!");
}

#[test]
fn on_the_main_port_whoever_says_nothing_for_a_second_is_asked() {
    let scene = Scene::new();
    let zoe = Guest::joined(scene.address(), "zoe");
    let yan = scene.guest("yan");
    zoe.expect("yan joined the chat!");
    zoe.say("hello");
    yan.expect("zoe: hello");
}

#[test]
fn whoever_was_asked_may_still_begin_another_protocol() {
    let scene = Scene::new();
    let mut client = scene.by_hand();
    client.hears("NICK");
    client.say("{\"id\":1,\"request\":\"online\"}\n");
    client.hears("{\"id\":1,\"error\":\"log-in-first\",\"text\":\"log in first\"}\n");
    let bob = scene.request("bob");
    let mut post = scene.by_hand();
    post.hears("NICK");
    post.say("block,bob,nobody");
    drop(post);
    bob.expect("No such User in the system\n");
}

#[test]
fn a_nickname_in_use_is_refused() {
    let scene = Scene::new();
    let zoe = scene.guest("zoe");
    is_refused(&scene, "zoe");
    is_refused(&scene, "ZOE");
    zoe.expect_nothing_before("still me");
}

#[test]
fn a_nickname_of_an_account_is_refused_whether_its_owner_is_there_or_not() {
    let scene = Scene::new();
    let zoe = scene.guest("zoe");
    is_refused(&scene, "alice");
    let bob = scene.request("bob");
    zoe.expect("bob joined the chat!");
    is_refused(&scene, "Bob");
    zoe.expect_nothing_before("nobody came");
    bob.expect("zoe:nobody came\n");
    bob.expect_nothing_else();
}

#[test]
fn a_nickname_that_is_no_name_is_refused() {
    let scene = Scene::new();
    let zoe = scene.guest("zoe");
    let long = "x".repeat(33);
    for nickname in ["two words", "a,b", "zoë", "server", "NICK", "everyone", &long, "x:", "\u{1b}[31mred", " ", "a\0b"]
    {
        is_refused(&scene, nickname);
    }
    zoe.expect_nothing_before("nobody came");
}

#[test]
fn a_prefix_is_believed_if_it_is_the_senders_own() {
    let scene = Scene::new();
    let yan = scene.guest("yan");
    let zoe = scene.guest("zoe");
    yan.expect("zoe joined the chat!");
    for (chunk, heard) in [
        ("zoe: hello", "zoe: hello"),
        ("hello", "zoe: hello"),
        ("yan: hello", "zoe: yan: hello"),
        ("zoe: zoe: hello", "zoe: zoe: hello"),
        ("zoe:hello", "zoe: zoe:hello"),
        ("zoey: hello", "zoe: zoey: hello"),
        ("server: hello", "zoe: server: hello"),
    ] {
        zoe.send(chunk.as_bytes());
        zoe.expect(heard);
        yan.expect(heard);
    }
}

#[test]
fn with_netcat_a_newline_ends_a_message() {
    let scene = Scene::new();
    let yan = scene.guest("yan");
    let mut zoe = by_hand(&scene, "zoe\n");
    yan.expect("zoe joined the chat!");
    zoe.say("hello\n");
    zoe.hears("zoe: hello");
    yan.expect("zoe: hello");
    zoe.say("as telnet does\r\n");
    zoe.hears("zoe: as telnet does");
    yan.expect("zoe: as telnet does");
    // Empty lines are nothing.
    zoe.say("\n\r\n\n");
    zoe.say("one\ntwo\nthree");
    let mut lines = Vec::new();
    while lines.len() < 3 {
        lines.extend(zoe.chunk().split('\n').map(str::to_owned));
    }
    assert_eq!(lines, ["zoe: one", "zoe: two", "zoe: three"]);
    for text in ["one", "two", "three"] {
        yan.expect(&format!("zoe: {text}"));
    }
}

#[test]
fn a_name_and_a_first_text_in_one_chunk_of_lines() {
    let scene = Scene::new();
    let yan = scene.guest("yan");
    let mut zoe = ByHand::connect(scene.room());
    zoe.hears("NICK");
    zoe.say("zoe\nhello\n");
    zoe.hears("zoe joined the chat!");
    yan.expect("zoe joined the chat!");
    zoe.hears("Connected to the server!");
    zoe.hears("zoe: hello");
    yan.expect("zoe: hello");
}

#[test]
fn a_long_text_comes_in_parts_with_the_name_before_each() {
    let scene = Scene::new();
    let yan = scene.guest("yan");
    for text in [(0..1000).map(|n| format!("{n},")).collect::<String>(), "é1".repeat(1365)] {
        scene.broadcast("alice", &text);
        let spelled = text.replace('é', "\\u{e9}");
        let mut heard = String::new();
        while heard.len() < spelled.len() {
            let chunk = yan.next_chunk();
            for part in chunk.split('\n') {
                let part = part.strip_prefix("alice: ").unwrap_or_else(|| panic!("no part: {part:?}"));
                // No escape is cut.
                assert_eq!(part.matches('\\').count(), part.matches('}').count());
                heard += part;
            }
        }
        assert_eq!(heard, spelled);
    }
}

#[test]
fn texts_that_wait_are_joined_up_to_what_is_read_at_once() {
    let scene = Scene::new();
    let yan = scene.guest("yan");
    let mut zoe = by_hand(&scene, "zoe");
    yan.expect("zoe joined the chat!");
    let texts: Vec<String> = (0..60).map(|n| format!("this is text number {n}")).collect();
    zoe.say(texts.iter().map(|text| format!("{text}\n")).collect::<String>());
    let (mut lines, mut chunks) = (Vec::new(), 0);
    while lines.len() < texts.len() {
        let chunk = yan.next_chunk();
        lines.extend(chunk.split('\n').map(str::to_owned));
        chunks += 1;
    }
    assert_eq!(lines, texts.iter().map(|text| format!("zoe: {text}")).collect::<Vec<_>>());
    assert!(chunks < texts.len() / 2, "{chunks} chunks");
}

#[test]
fn an_account_that_is_made_of_a_guests_name_ends_the_guest() {
    let scene = Scene::on_disk();
    let yan = scene.guest("yan");
    let zoe = scene.guest("zoe");
    yan.expect("zoe joined the chat!");
    let accounts = scene.chatd.dir.path().join("credentials.txt");
    std::fs::write(accounts, "alice wonderland\nzoe password\n").expect("credentials");
    scene.chatd.signal("HUP");
    yan.expect("zoe left the chat!");
    let text = zoe.next_line();
    assert_eq!(zoe.expect_end(), End::Reset, "after {text:?}");
    is_refused(&scene, "zoe");
}

#[test]
fn a_guest_that_is_gone_has_not_left_anything_behind() {
    let scene = Scene::new();
    let alice = scene.request("alice");
    let zoe = scene.guest("zoe");
    alice.expect("note:zoe is online!\n");
    drop(zoe);
    alice.expect("note:zoe is offline!\n");
    alice.forward("zoe", "are you there?");
    alice.expect("No such User in the system\n");
    let zoe = scene.guest("zoe");
    alice.expect("note:zoe is online!\n");
    zoe.expect_nothing_before("nothing was kept");
    alice.expect("zoe:nothing was kept\n");
}
