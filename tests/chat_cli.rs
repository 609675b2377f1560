//! What `chat` does where there is no chatd: its command line, its exit statuses, its patience with strangers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;

/// Runs chat away from any terminal and any state of the person who runs the tests, and without TLS: the servers here are a
/// few bytes.
fn chat(home: &Path, arguments: &[&str], environment: &[(&str, &str)], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chat"));
    command.arg("--insecure-plaintext").args(arguments).env_clear().env("HOME", home).envs(environment.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("chat starts");
    // It may end without having read its input.
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    child.wait_with_output().expect("chat ends")
}

const ALICE: [(&str, &str); 2] = [("CHAT_USER", "alice"), ("CHAT_PASSWORD", "wonderland")];

/// Status, and the one line on standard error.
fn failure(output: &Output) -> (i32, String) {
    let error = String::from_utf8(output.stderr.clone()).expect("UTF-8");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(error.starts_with("chat: "), "{error}");
    (output.status.code().expect("no signal"), error)
}

/// A server that reads a line and says something, however many come; and its port.
fn stranger(says: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut line = String::new();
            let _ = BufReader::new(&stream).read_line(&mut line);
            let _ = (&stream).write_all(says);
            let _ = stream.shutdown(Shutdown::Write);
            let _ = (&stream).read_to_end(&mut Vec::new());
        }
    });
    port.to_string()
}

#[test]
fn a_command_line_that_is_none_is_usage() {
    let home = tempfile::tempdir().unwrap();
    let long = "x".repeat(4097);
    let wrong: [&[&str]; 8] = [
        &[],
        &["h", "99999"],
        &["h", "1", "hello"],
        &["h", "1", "message", "bob"],
        &["h", "1", "message", "no name", "hi"],
        &["h", "1", "message", "bob", &long],
        &["h", "--wait", "delivered", "broadcast", "hi"],
        &["h", "1", "logout"],
    ];
    for arguments in wrong {
        let (status, error) = failure(&chat(home.path(), arguments, &ALICE, ""));
        assert_eq!(status, 2, "{error}");
    }
    let unknown = chat(home.path(), &["h", "--nothing"], &ALICE, "");
    assert_eq!(unknown.status.code(), Some(2));
    assert_eq!(failure(&chat(home.path(), &["h", "1", "message", "bob", "-"], &ALICE, &long)).0, 2);
    let (status, error) = failure(&chat(home.path(), &["h", "1", "online"], &[], ""));
    assert_eq!((status, error.contains("--user")), (2, true), "{error}");
}

#[test]
fn help_and_version_need_no_server() {
    let home = tempfile::tempdir().unwrap();
    let version = chat(home.path(), &["--version"], &[], "");
    assert_eq!(String::from_utf8_lossy(&version.stdout), concat!("chat ", env!("CARGO_PKG_VERSION"), "\n"));
    for arguments in [&["--help"][..], &["h", "help"]] {
        let help = chat(home.path(), arguments, &[], "");
        assert_eq!(help.status.code(), Some(0));
        assert!(String::from_utf8_lossy(&help.stdout).contains("unblock USER"));
    }
}

#[test]
fn passwords_come_from_a_file_or_the_environment() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("password");
    let file = file.to_str().unwrap();
    let arguments = ["--password-file", file, "127.0.0.1", "1", "online"];
    assert_eq!(failure(&chat(home.path(), &arguments, &ALICE, "")).0, 66, "no such file");
    std::fs::write(file, "\nwonderland\n").unwrap();
    assert_eq!(failure(&chat(home.path(), &arguments, &ALICE, "")).0, 66, "the first line is empty");
    std::fs::write(file, "wonderland\r\n").unwrap();
    assert_eq!(failure(&chat(home.path(), &arguments, &ALICE, "")).0, 69, "nobody is there");
}

#[test]
fn where_nobody_listens_there_is_no_server() {
    let home = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    for arguments in [&["127.0.0.1", &port, "message", "bob", "hi"][..], &["127.0.0.1", &port]] {
        let (status, error) = failure(&chat(home.path(), arguments, &ALICE, "online\n"));
        assert_eq!(status, 69, "{error}");
        assert!(error.contains("is chatd running there?"), "{error}");
    }
    assert_eq!(failure(&chat(home.path(), &["no-such-host.invalid", "online"], &ALICE, "")).0, 69);
}

#[test]
fn what_is_no_chatd_is_not_understood() {
    let home = tempfile::tempdir().unwrap();
    for says in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"\xff\xfe\n", b"{\"reply\":1}\n", b"[]\n"] {
        let port = stranger(says);
        for arguments in [&["127.0.0.1", &port, "online"][..], &["127.0.0.1", &port]] {
            assert_eq!(failure(&chat(home.path(), arguments, &ALICE, "")).0, 76);
        }
    }
}

#[test]
fn a_server_that_goes_away_or_refuses_is_told_apart() {
    let home = tempfile::tempdir().unwrap();
    let status = |says, arguments: &[&str]| {
        let port = stranger(says);
        let arguments = [&["127.0.0.1", &port], arguments].concat();
        failure(&chat(home.path(), &arguments, &ALICE, "")).0
    };
    assert_eq!(status(b"", &["online"]), 69);
    assert_eq!(status(b"{\"error\":\"out-of-scope\",\"text\":\"no\"}\n", &["online"]), 77);
    assert_eq!(status(b"{\"id\":2,\"error\":\"not-authenticated\",\"text\":\"no\"}\n", &["online"]), 77);
    assert_eq!(status(b"{\"id\":1,\"error\":\"not-authenticated\",\"text\":\"no\"}\n", &[]), 77);
    assert_eq!(status(b"{\"event\":\"closing\",\"reason\":\"shutdown\",\"text\":\"no\"}\n", &[]), 69);
}

#[test]
fn a_server_that_says_nothing_is_waited_for_no_longer_than_asked() {
    let home = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    for command in [&["online"][..], &[]] {
        let arguments = [&["--timeout", "0.2", "127.0.0.1", &port], command].concat();
        assert_eq!(failure(&chat(home.path(), &arguments, &ALICE, "online\n")).0, 69);
    }
}

#[test]
fn what_a_server_says_reaches_no_terminal_raw() {
    let home = tempfile::tempdir().unwrap();
    let port = stranger(b"{\"id\":2,\"error\":\"x\",\"text\":\"\\u001b[2J\\u202e\\nchat: fine\"}\n");
    let (status, error) = failure(&chat(home.path(), &["127.0.0.1", &port, "online"], &ALICE, ""));
    assert_eq!(status, 76);
    assert!(error.contains("<U+001B>[2J<U+202E>"), "{error}");
}

#[test]
fn without_a_place_for_the_state_chat_goes_on() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let output = chat(Path::new("/dev/null"), &["127.0.0.1", &port], &ALICE, "");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(69));
    assert!(error.contains("XDG_STATE_HOME") && error.contains("is chatd running there?"), "{error}");
}
