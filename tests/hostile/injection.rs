//! Names, texts and fields that would be commands to a terminal or lines of a log. What the log has of everything that can
//! be sent is tested in log_lines.rs, and what chat prints to a pipe in chat.rs; here somebody watches it on a screen.

use serde_json::json;

use crate::scene::{Scene, ends_for, refused};
use crate::support::Chatd;
use crate::support::chat::Person;

/// What nobody may say: it clears the screen, sets the title, writes over the line, rings, colours, begins a line of the log.
const CONTROLS: [(&str, &str); 6] = [
    ("\u{1b}[2JEVIL", "U+001B"),
    ("\u{1b}]0;EVIL\u{7}", "U+001B"),
    ("EVIL\rdave:", "U+000D"),
    ("EVIL\u{7}", "U+0007"),
    ("EVIL\u{9b}31m", "U+009B"),
    ("EVIL\r\n[2026-01-31T14:03:05Z WARN  chatd::net] log-in failed from 6.6.6.6 (wrong)", "U+000D"),
];
/// What they may, and what it looks like.
const ALLOWED: &str = "\u{202e}EVIL\u{2066}\n* carol is online\n\tEVIL\u{200b}\u{2028}\u{feff}x\nhh:mm dave: EVIL";
const SHOWN: [&str; 4] = [
    "hh:mm alice: <U+202E>EVIL<U+2066>",
    "    * carol is online",
    "        EVIL<U+200B><U+2028><U+FEFF>x",
    "    hh:mm dave: EVIL",
];

#[test]
fn no_terminal_and_no_log_takes_what_was_sent_for_anything_else() {
    let chatd = Chatd::start(&["--durability", "process", "-vv"]);
    let person = Person::new(&chatd, "bob");
    let mut bob = person.sit_down(&[]);
    bob.sees(&["password of bob:"]);
    bob.enters("builder");
    let hello = "hh:mm * you are online as bob, nobody else is; 'help' lists the commands";
    bob.sees(&["password of bob:", hello, "bob>"]);
    let scene = Scene::around(chatd, 50);
    let mut alice = scene.log_in("alice");
    let name = "a name consists of the letters a to z, digits, '_', '-' and '.'";
    let unknown = "there is no such request; docs/PROTOCOL.md lists them";
    for (evil, control) in CONTROLS {
        let text = format!("a message can't contain the control character {control}; newline and tab are allowed");
        let in_a_name: String = evil.chars().take(32).collect();
        for (request, code, text) in [
            (json!({"id": 7, "request": "message", "to": "bob", "text": evil}), "bad-text", text.as_str()),
            (json!({"id": 7, "request": "broadcast", "text": evil}), "bad-text", &text),
            (json!({"id": 7, "request": "message", "to": in_a_name, "text": "EVIL"}), "bad-name", name),
            (json!({"id": 7, "request": "block", "user": in_a_name}), "bad-name", name),
            (json!({"id": 7, "request": evil, evil: evil}), "unknown-request", unknown),
        ] {
            alice.say(format!("{request}\n").as_bytes());
            // The line says nothing of it, but for the code of a character.
            alice.hears(&refused(7, code, text));
        }
        // As it is, without an escape: JSON has no such strings, but for what is beyond ASCII.
        let mut stranger = scene.connect();
        stranger.say(format!("{{\"id\":1,\"request\":\"{evil}\"}}\n").as_bytes());
        match control {
            "U+009B" => stranger.hears(&refused(1, "unknown-request", unknown)),
            _ => {
                let why = "control character (\\\\u0000-\\\\u001F) found while parsing a string";
                let text = format!("a request is a JSON object on a line: {why}");
                assert_eq!(stranger.rest(), ends_for("not-json", &text));
            }
        }
    }
    let request = json!({"id": 8, "request": "message", "to": "bob", "text": ALLOWED});
    alice.say(format!("{request}\n").as_bytes());
    assert!(alice.line().contains("\"reply\":\"accepted\""));
    bob.sees(&[&["password of bob:", hello, "hh:mm * dave is online"][..], &SHOWN, &["bob>"]].concat());
    for evil in ["\u{202e}", "\u{2066}", "\u{200b}", "\u{2028}", "\u{feff}", "\u{1b}[2J", "\u{1b}]", "\u{9b}"] {
        assert!(!bob.printed().contains(evil), "{evil:?}: {:?}", bob.printed());
    }
    drop(alice);
    let chatd = scene.end(&[]);
    let log = chatd.log_until("stopping");
    assert!(log.len() > 1, "it is told everything");
    for line in log {
        assert!(!line.contains("EVIL") && !line.contains("6.6.6.6") && !line.contains(char::is_control), "{line:?}");
    }
    drop(bob);
}
