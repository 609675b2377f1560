//! Starting: what goes wrong is told in one line that says what to do, with the documented exit status.

mod support;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::json;
use support::{CREDENTIALS, Chatd};

/// Runs chatd until it ends by itself.
fn run(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chatd"));
    command.current_dir(dir).env_remove("RUST_LOG").arg("--quiet").args(arguments);
    for (flag, value) in [("--bind", "127.0.0.1"), ("--port", "0")] {
        if !arguments.contains(&flag) {
            command.args([flag, value]);
        }
    }
    command.output().expect("chatd")
}

/// Asserts the status and the one line on standard error, without the `chatd: ` before it.
fn assert_fails(output: &Output, status: i32, line: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(stderr, format!("chatd: {line}\n"));
    assert_eq!(output.status.code(), Some(status), "{stderr}");
    assert!(output.stdout.is_empty(), "nothing is announced");
}

fn directory_with(credentials: &[u8]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("credentials.txt"), credentials).expect("credentials");
    dir
}

#[test]
fn malformed_credentials_are_named_with_their_line() {
    for (file, line) in [
        (&b"alice x\nbob\n"[..], "credentials.txt: line 2: no password; a line is NAME PASSWORD"),
        (
            b"alice x\n\nAlice y\n",
            "credentials.txt: line 3: the name stands on line 1 already; names are compared without case",
        ),
        (
            b"a,b x\n",
            "credentials.txt: line 1: not a name: a name consists of the letters a to z, digits, '_', '-' and '.'",
        ),
        (b"alice \xff\n", "credentials.txt: line 1: not UTF-8; save the file as UTF-8"),
    ] {
        assert_fails(&run(directory_with(file).path(), &["--memory"]), 65, line);
    }
}

#[test]
fn credentials_that_are_named_must_be_there() {
    let dir = directory_with(b"");
    let output = run(dir.path(), &["--memory", "--credentials", "none.txt"]);
    assert_fails(&output, 66, "none.txt can't be read: No such file or directory (os error 2)");
}

#[test]
fn a_port_in_use_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port().to_string();
    let dir = directory_with(CREDENTIALS.as_bytes());
    let output = run(dir.path(), &["--memory", "--port", &port]);
    assert_fails(&output, 69, &format!("port {port} is in use: stop what uses it, or choose another with --port"));
}

#[test]
fn an_address_that_is_not_ours_is_told() {
    let dir = directory_with(CREDENTIALS.as_bytes());
    let output = run(dir.path(), &["--memory", "--bind", "192.0.2.1"]);
    assert_fails(&output, 69, "this machine does not have that address: choose another with --bind");
}

#[test]
fn a_data_directory_that_can_not_be_made_is_told() {
    let dir = directory_with(CREDENTIALS.as_bytes());
    let output = run(dir.path(), &["--data-dir", "credentials.txt/data"]);
    assert_eq!(output.status.code(), Some(73));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.starts_with("chatd: ") && stderr.lines().count() == 1 && stderr.contains("--data-dir"), "{stderr}");
}

#[test]
fn a_second_chatd_on_the_same_directory_is_refused_and_the_first_goes_on() {
    let chatd = Chatd::start(&[]);
    let output = run(chatd.dir.path(), &["--data-dir", "data"]);
    assert_eq!(output.status.code(), Some(73));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.lines().count() == 1 && stderr.contains(&chatd.pid().to_string()), "{stderr}");
    chatd.log_in("alice", 1).nothing_but_alive();
}

#[test]
fn a_database_of_a_newer_version_is_refused_and_left_alone() {
    let mut chatd = Chatd::start(&[]);
    assert!(chatd.stop().success());
    let file = chatd.data().join("chatd.sqlite3");
    let database = rusqlite::Connection::open(&file).expect("a database");
    database.pragma_update(None, "user_version", 1000).expect("a pragma");
    drop(database);
    let before = fs::read(&file).expect("a file");
    let output = run(chatd.dir.path(), &["--data-dir", "data"]);
    assert_eq!(output.status.code(), Some(78));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.lines().count() == 1 && stderr.contains("1000"), "{stderr}");
    assert_eq!(fs::read(&file).expect("a file"), before);
}

#[test]
fn wrong_words_on_the_command_line_are_usage() {
    let dir = directory_with(CREDENTIALS.as_bytes());
    for arguments in [
        &["--port", "70000"][..],
        &["--plaintext", "everywhere"],
        &["--memory", "--data-dir", "x"],
        &["--heartbeat-timeout", "0"],
        &["--durability", "none"],
        &["surplus"],
    ] {
        assert_eq!(run(dir.path(), arguments).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn credentials_that_others_can_read_get_a_warning_and_so_do_the_shipped_ones() {
    let dir = directory_with(CREDENTIALS.as_bytes());
    fs::set_permissions(dir.path().join("credentials.txt"), fs::Permissions::from_mode(0o644)).expect("a mode");
    let chatd = Chatd::start_in(dir, &["--memory"]);
    chatd.expect_log("credentials.txt can be read by others on this machine: chmod 600 credentials.txt");
    let dir = directory_with(include_bytes!("../credentials.txt"));
    let chatd = Chatd::start_in(dir, &["--memory"]);
    chatd.expect_log("credentials.txt is the shipped one, whose passwords are public");
    let dir = tempfile::tempdir().expect("a directory");
    let chatd = Chatd::start_in(dir, &["--memory"]);
    chatd.expect_log("there is no ./credentials.txt: write one, name it with --credentials, or use 'chatd user add'");
}

#[test]
fn a_signal_tells_everybody_and_ends_with_0() {
    for signal in ["TERM", "INT"] {
        let mut chatd = Chatd::start(&[]);
        let mut alice = chatd.log_in("alice", 1);
        let _stranger = chatd.connect();
        chatd.signal(signal);
        assert_eq!(alice.line(), json!({"event": "closing", "reason": "shutdown", "text": "the server stops"}));
        assert_eq!(alice.rest(), "");
        assert_eq!(chatd.wait().code(), Some(0));
    }
}

#[test]
fn files_are_for_the_owner_only_and_hold_no_password() {
    let mut chatd = Chatd::start(&[]);
    drop(chatd.log_in("alice", 1));
    let mode = |path: &Path| fs::metadata(path).expect("metadata").permissions().mode() & 0o777;
    assert_eq!(mode(&chatd.data()), 0o700);
    assert!(chatd.stop().success());
    for entry in fs::read_dir(chatd.data()).expect("files") {
        let path = entry.expect("an entry").path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        let bytes = fs::read(&path).expect("a file");
        assert!(!bytes.windows(10).any(|window| window == b"wonderland"), "{}", path.display());
    }
}

#[test]
fn ipv6_and_ipv4_are_served_on_one_port() {
    let dir = directory_with(CREDENTIALS.as_bytes());
    let chatd = Chatd::start_in(dir, &["--memory", "--bind", "::"]);
    for address in ["127.0.0.1", "::1"] {
        let mut client = support::Client::connect((address.parse::<std::net::IpAddr>().unwrap(), chatd.port()).into());
        client.log_in("alice", None);
    }
}
