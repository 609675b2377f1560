//! `chatd status`: what the operator sees of a server that runs.

mod support;

use serde_json::{Value, json};
use support::Chatd;
use support::operator::{status, status_command};

const NO_SERVER: i32 = 69;
const USAGE: i32 = 2;

#[test]
fn it_tells_how_much_there_is_of_everything() {
    let chatd = Chatd::start(&["--durability", "process"]);
    let mut alice = chatd.log_in("alice", 1);
    let bob = chatd.log_in_once("bob");
    let stranger = chatd.connect();
    assert_eq!(alice.ask(json!({"request": "message", "to": "carol", "text": "hi"}))["reply"], "accepted");
    let counts = chatd.status();
    let descriptors = counts["descriptors"].as_u64().expect("a number");
    let expected = json!({
        "connections": 4, "strangers": 1, "sessions": 2, "online": 1, "accounts": 4, "devices": 1, "waiting": 1,
        "broadcasts": 0, "counters": 0, "asks": 0, "consents": 0, "unsaved": 0, "deadlines": 1, "in-bytes": 0, "out-bytes": 0, "batches": 0,
        "batch-bytes": 0, "questions": 0, "descriptors": descriptors,
    });
    assert_eq!(counts, expected);
    // Of these the command's own connection was one.
    let open = std::fs::read_dir(format!("/proc/{}/fd", chatd.pid())).expect("proc").count() as u64;
    assert!((open..=open + 1).contains(&descriptors), "{descriptors}, and {open} now");

    let rows = [
        ("connections", 4),
        ("  without a log-in", 1),
        ("  with a deadline", 1),
        ("sessions", 2),
        ("users online", 1),
        ("accounts", 4),
        ("devices remembered", 1),
        ("messages waiting", 1),
        ("broadcasts kept", 0),
        ("counters of wrong passwords", 0),
        ("questions for an address", 0),
        ("consents", 0),
        ("bytes to be written", 0),
        ("bytes of unfinished requests", 0),
        ("batches not on disk", 0),
        ("  bytes of them", 0),
        ("lost and to be stored again", 0),
        ("questions to the disk", 0),
        ("descriptors", descriptors),
    ];
    let text: String = rows.iter().map(|(name, count)| format!("{name:<28} {count}\n")).collect();
    status(chatd.dir.path(), &[]).is(&text, "", 0);
    drop((alice, bob, stranger));
}

#[test]
fn without_a_server_it_says_so() {
    let mut chatd = Chatd::start(&[]);
    let says = "chatd: no chatd runs in data: start it, or name its directory with --data-dir\n";
    assert_eq!(status(chatd.dir.path(), &["--json"]).status, 0);
    assert!(chatd.stop().success());
    status(chatd.dir.path(), &["--json"]).is("", says, NO_SERVER);
    chatd.start_again();
    chatd.kill();
    assert!(chatd.data().join("control").exists(), "a server that was killed leaves its socket");
    status(chatd.dir.path(), &[]).is("", says, NO_SERVER);
    let nowhere = tempfile::tempdir().expect("a directory");
    status(nowhere.path(), &[]).is("", says, NO_SERVER);
    assert!(!nowhere.path().join("data").exists(), "a directory that was mistyped is not made");
}

#[test]
fn flags_of_the_server_are_refused() {
    for flag in ["--credentials=x", "--port=7"] {
        let mut command = status_command(std::path::Path::new("."), &[]);
        let outcome = support::chat::run(
            {
                command.arg(flag);
                command
            },
            b"",
        );
        assert_eq!((outcome.status, outcome.out.as_str()), (USAGE, ""), "{flag}: {}", outcome.error);
    }
}

#[test]
fn nobody_else_is_told() {
    let chatd = Chatd::start(&[]);
    for mut client in [chatd.connect(), chatd.log_in_once("alice")] {
        let answer: Value = client.ask(json!({"request": "status"}));
        assert_eq!(answer["error"], "operator-only", "{answer}");
    }
}
