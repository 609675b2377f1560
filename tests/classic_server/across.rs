//! A message of every protocol to every other: what it looks like there, and that a text is never anything but a text.

use crate::existing::request_client::RequestClient;
use crate::scene::{ByHand, Guest, Native, Scene, expect_together};

/// Somebody in each protocol who listens.
struct Listeners {
    native: Native,
    called: RequestClient,
    guest: Guest,
}

impl Listeners {
    /// alice is native, bob is called, and yan is a guest.
    fn new(scene: &Scene) -> Listeners {
        let guest = scene.guest("yan");
        let called = scene.request("bob");
        guest.expect("bob joined the chat!");
        let mut native = scene.native("alice");
        called.expect("note:alice is online!\n");
        guest.expect("alice joined the chat!");
        // Whoever comes is not told of who was there.
        native.session.says("online");
        native.session.hears("bob");
        native.session.hears("yan");
        Listeners { native, called, guest }
    }

    #[track_caller]
    fn hear_a_broadcast(&mut self, from: &str, text: &str) {
        self.native.session.hears(&format!("{from} (to everyone): {text}"));
        self.called.expect(&format!("{from}:{text}\n"));
        self.guest.expect(&format!("{from}: {text}"));
    }

    #[track_caller]
    fn hear_a_message(&mut self, from: &str, text: &str) {
        self.native.session.hears(&format!("{from}: {text}"));
        self.called.expect(&format!("{from}:{text}\n"));
        self.guest.expect(&format!("{from} (private): {text}"));
    }

    #[track_caller]
    fn hear_of(&mut self, user: &str, online: bool) {
        let (presence, moved) = if online { ("online", "joined") } else { ("offline", "left") };
        self.native.session.hears(&format!("* {user} is {presence}"));
        self.called.expect(&format!("note:{user} is {presence}!\n"));
        self.guest.expect(&format!("{user} {moved} the chat!"));
    }
}

const LISTENERS: [&str; 3] = ["alice", "bob", "yan"];

/// What in some protocol is a word, a field or a line.
const SYNTAX: [&str; 24] = [
    "logout_duplicate",
    "shutdown",
    "prompt",
    "prompt_password",
    "exit",
    "ok",
    "NICK",
    "Authenticated carol",
    "private_consent,carol",
    "getaddress,carol,127.0.0.1,6000",
    "getaddress,no",
    "online,carol",
    "note:dave is online!",
    "Offline messages: ",
    "dave joined the chat!",
    "Connected to the server!",
    "dave: it is me",
    "dave:it is me",
    "logout,bob",
    "newUser,bob,builder,6000",
    "{\"event\":\"note\"}",
    "CHAT_STARTED(1, bob)",
    ",,,",
    "\\u{41} \\x41 %41",
];

#[test]
fn from_chat() {
    let scene = Scene::new();
    let mut listeners = Listeners::new(&scene);
    let mut carol = scene.native("carol");
    listeners.hear_of("carol", true);
    carol.session.says("broadcast hello, all");
    carol.session.hears_something();
    listeners.hear_a_broadcast("carol", "hello, all");
    for listener in LISTENERS {
        carol.session.says(&format!("message {listener} hello, you"));
        carol.session.hears_something();
    }
    listeners.hear_a_message("carol", "hello, you");
    carol.session.says("logout");
    carol.session.has_ended(0);
    listeners.hear_of("carol", false);
}

#[test]
fn from_a_client_of_request() {
    let scene = Scene::new();
    let mut listeners = Listeners::new(&scene);
    let mut carol = scene.request("carol");
    listeners.hear_of("carol", true);
    carol.broadcast("hello, all");
    listeners.hear_a_broadcast("carol", "hello, all");
    for listener in LISTENERS {
        carol.forward(listener, "hello, you");
    }
    listeners.hear_a_message("carol", "hello, you");
    carol.expect_nothing_else();
    carol.log_out();
    listeners.hear_of("carol", false);
}

#[test]
fn from_a_client_of_nick() {
    let scene = Scene::new();
    let mut listeners = Listeners::new(&scene);
    let zoe = scene.guest("zoe");
    listeners.hear_of("zoe", true);
    zoe.say("hello, all");
    zoe.expect("zoe: hello, all");
    listeners.hear_a_broadcast("zoe", "hello, all");
    drop(zoe);
    listeners.hear_of("zoe", false);
}

#[test]
fn a_text_is_never_anything_but_a_text() {
    let scene = Scene::new();
    let mut listeners = Listeners::new(&scene);
    let carol = scene.request("carol");
    listeners.hear_of("carol", true);
    let zoe = scene.guest("zoe");
    listeners.hear_of("zoe", true);
    carol.expect("note:zoe is online!\n");
    for (text, sender) in SYNTAX.into_iter().zip(["dave", "carol", "zoe"].into_iter().cycle()) {
        match sender {
            "dave" => scene.broadcast("dave", text),
            "carol" => carol.broadcast(text),
            _ => zoe.say(text),
        }
        listeners.hear_a_broadcast(sender, text);
        zoe.expect(&format!("{sender}: {text}"));
        if sender != "carol" {
            carol.expect(&format!("{sender}:{text}\n"));
        }
    }
    carol.expect_nothing_else();
}

#[test]
fn a_line_within_a_text_can_not_be_taken_for_a_line_of_its_own() {
    let scene = Scene::new();
    let mut listeners = Listeners::new(&scene);
    let carol = scene.request("carol");
    listeners.hear_of("carol", true);
    let lines = "one\nnote:dave is online!\n\ndave joined the chat!\nshutdown";
    let indented = "one\n    note:dave is online!\n    \n    dave joined the chat!\n    shutdown";
    scene.broadcast("dave", lines);
    carol.expect(&format!("dave:{indented}\n"));
    listeners.called.expect(&format!("dave:{indented}\n"));
    listeners.guest.expect(&format!("dave: {indented}"));
    let mut shown = indented.lines();
    listeners.native.session.hears(&format!("dave (to everyone): {}", shown.next().expect("a line")));
    for line in shown {
        listeners.native.session.hears(line);
    }
    carol.send(&format!("forward,carol,yan,{lines}\n"));
    listeners.guest.expect(&format!("carol (private): {indented}"));
}

#[test]
fn controls_from_a_classic_client_are_replaced() {
    let scene = Scene::new();
    let mut listeners = Listeners::new(&scene);
    let carol = scene.request("carol");
    listeners.hear_of("carol", true);
    carol.send("broadcast,carol,a\x1b[31mb\x07c\x7fd\te\u{9b}f\n");
    listeners.called.expect("carol:a\u{fffd}[31mb\u{fffd}c\u{fffd}d\te\u{fffd}f\n");
    listeners.guest.expect("carol: a\\u{fffd}[31mb\\u{fffd}c\\u{fffd}d\te\\u{fffd}f");
    assert!(listeners.native.session.hears_something().starts_with("carol (to everyone): a\u{fffd}[31mb"));
    // What is no UTF-8 is replaced too.
    let mut latin = scene.by_hand();
    latin.say(b"broadcast,carol,gr\xfc\xdfe\n");
    drop(latin);
    listeners.called.expect("carol:gr\u{fffd}\u{fffd}e\n");
}

#[test]
fn what_is_not_ascii_is_spelled_out_for_a_guest_until_the_guest_has_said_such_a_thing() {
    let scene = Scene::new();
    let mut listeners = Listeners::new(&scene);
    scene.broadcast("carol", "é ß 😀 ~");
    listeners.native.session.hears("carol (to everyone): é ß 😀 ~");
    listeners.called.expect("carol:é ß 😀 ~\n");
    listeners.guest.expect("carol: \\u{e9} \\u{df} \\u{1f600} ~");

    let mut zoe = ByHand::connect(scene.room());
    zoe.hears("NICK");
    zoe.say("zoe");
    zoe.hears("zoe joined the chat!");
    zoe.hears("Connected to the server!");
    listeners.hear_of("zoe", true);
    scene.broadcast("carol", "é");
    zoe.hears("carol: \\u{e9}");
    listeners.guest.expect("carol: \\u{e9}");
    listeners.native.session.hears("carol (to everyone): é");
    listeners.called.expect("carol:é\n");
    // No UTF-8 is no proof.
    zoe.say(b"zoe: gr\xfc\xdfe");
    zoe.hears("zoe: gr\\u{fffd}\\u{fffd}e");
    listeners.guest.expect("zoe: gr\\u{fffd}\\u{fffd}e");
    listeners.called.expect("zoe:gr\u{fffd}\u{fffd}e\n");
    zoe.say("zoe: ü");
    zoe.hears("zoe: ü");
    listeners.guest.expect("zoe: \\u{fc}");
    listeners.called.expect("zoe:ü\n");
    scene.broadcast("carol", "ß");
    zoe.hears("carol: ß");
    listeners.guest.expect("carol: \\u{df}");
}

#[test]
fn what_waits_for_who_is_offline_comes_from_and_to_every_protocol() {
    let scene = Scene::new();
    let carol = scene.request("carol");
    carol.forward("alice", "from request");
    scene.wait_for_history("carol", "from request");
    scene.message("dave", "alice", "from chat");
    // As a client of request.
    let alice = scene.request("alice");
    expect_together(&alice, &["Offline messages: \n", "carol:from request\n", "dave:from chat\n"]);
    carol.expect("note:alice is online!\n");
    drop(alice);

    carol.forward("bob", "one");
    scene.wait_for_history("carol", "one");
    scene.message("dave", "bob", "two");
    // As a session of chat.
    let mut bob = scene.native("bob");
    bob.session.hears("carol: one");
    bob.session.hears("dave: two");
}

#[test]
fn history_is_of_all_protocols() {
    let scene = Scene::new();
    let alice = scene.request("alice");
    let zoe = scene.guest("zoe");
    alice.expect("note:zoe is online!\n");
    zoe.say("hello, room");
    alice.expect("zoe:hello, room\n");
    zoe.expect("zoe: hello, room");
    alice.forward("zoe", "hello, zoe");
    zoe.expect("alice (private): hello, zoe");
    alice.broadcast("hello, all");
    zoe.expect("alice: hello, all");
    scene.message("bob", "alice", "hello, alice");
    alice.expect("bob:hello, alice\n");
    drop(zoe);
    let history = scene.chat("alice", &["history"]).undated();
    let lines = [
        "(time) zoe -> everyone: hello, room",
        "(time) alice -> zoe: hello, zoe",
        "(time) alice -> everyone: hello, all",
        "(time) bob -> alice: hello, alice",
    ];
    history.is(&(lines.join("\n") + "\n"), "", 0);
}
