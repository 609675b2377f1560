//! What chatd logs: a line for each failed log-in, which fail2ban reads, and nothing that anybody has sent.

mod support;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Instant;

use serde_json::{Value, json};
use support::by_tls::{ByTls, keys};
use support::operator::user;
use support::{CREDENTIALS, Client, LIMIT, device_claim, signal, wait};
use tempfile::TempDir;

/// A chatd whose standard error is a file.
struct Logged {
    child: Child,
    port: u16,
    dir: TempDir,
}

/// A line as the logger writes it: `[TIME LEVEL PLACE] TEXT`.
#[derive(Debug)]
struct Line {
    level: String,
    text: String,
}

impl Logged {
    fn start(arguments: &[&str]) -> Logged {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("credentials.txt"), CREDENTIALS).expect("credentials");
        let log = File::create(dir.path().join("log")).expect("a log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_chatd"));
        command.current_dir(dir.path()).env_clear().args(["--port", "0", "--bind", "::", "--data-dir", "data"]);
        let mut child = command.args(arguments).stdout(Stdio::piped()).stderr(log).spawn().expect("chatd");
        let mut first = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut first).expect("standard output");
        let address: SocketAddr =
            first.trim_end().strip_prefix("chatd: listening on ").expect("it listens").parse().expect("an address");
        Logged { child, port: address.port(), dir }
    }

    fn at(&self, ip: &str) -> SocketAddr {
        SocketAddr::new(ip.parse::<IpAddr>().expect("an address"), self.port)
    }

    fn here(&self) -> SocketAddr {
        self.at("127.0.0.1")
    }

    fn connect(&self) -> Client {
        Client::connect(self.here())
    }

    /// Sends these bytes and nothing more; the connection is over when this returns.
    fn tell(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.here()).expect("connect");
        stream.set_read_timeout(Some(LIMIT)).expect("a limit");
        // It may be closed before everything was sent.
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        answer
    }

    /// Ends it; comes back: the whole log, in which only the logger has written.
    #[track_caller]
    fn stop(mut self) -> (String, Vec<Line>) {
        signal(&self.child, "TERM");
        assert!(wait(&mut self.child).success());
        let log = String::from_utf8(fs::read(self.dir.path().join("log")).expect("the log")).expect("UTF-8");
        assert!(log.is_empty() || log.ends_with('\n'), "{log}");
        assert!(!log.contains(|c: char| c.is_control() && c != '\n'), "{log:?}");
        let lines = log.lines().map(line).collect();
        (log, lines)
    }
}

impl Drop for Logged {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[track_caller]
fn line(line: &str) -> Line {
    let parts = || {
        let (head, text) = line.strip_prefix('[')?.split_once("] ")?;
        let (time, rest) = head.split_at_checked("2026-01-31T14:03:05Z ".len())?;
        let (level, place) = rest.split_at_checked("ERROR ".len())?;
        let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        let is_one = shape == "0000-00-00T00:00:00Z " && place.split("::").next() == Some("chatd");
        is_one.then(|| Line { level: level.trim_end().to_owned(), text: text.to_owned() })
    };
    parts().unwrap_or_else(|| panic!("no line of the logger: {line:?}"))
}

/// What fail2ban would take for a failed log-in, as its filter sees a line: anywhere in it.
fn failures(lines: &[Line]) -> Vec<&str> {
    let failures: Vec<&Line> = lines.iter().filter(|line| line.text.contains("log-in failed from ")).collect();
    assert!(failures.iter().all(|line| line.level == "WARN"), "{failures:?}");
    failures.iter().map(|line| line.text.as_str()).collect()
}

#[test]
fn each_failed_log_in_is_one_line_with_the_address_and_the_reason() {
    for arguments in [&[][..], &["-v"], &["-vv"]] {
        let chatd = Logged::start(arguments);
        let wrong = |ip: &str, user: &str| {
            let answer = Client::connect(chatd.at(ip)).try_password(user, "wrong");
            assert_eq!(answer["error"], "not-authenticated");
        };
        wrong("127.0.0.1", "nobody");
        wrong("127.0.0.1", "alice");
        wrong("::1", "nobody");
        (0..3).for_each(|_| wrong("::1", "carol"));
        wrong("::1", "carol");
        assert_eq!(ByTls::connect(chatd.here()).try_password("alice", "wrong", None)["error"], "not-authenticated");
        // A token that was used, and one of a device that never was.
        let mut alice = Client::connect(chatd.here());
        alice.log_in("alice", Some(1));
        let token = alice.token.take().expect("a token");
        assert_eq!(chatd.connect().resume("alice", device_claim(1), &token)["reply"], "logged-in");
        assert_eq!(chatd.connect().resume("alice", device_claim(1), &token)["error"], "token-refused");
        assert_eq!(chatd.connect().resume("alice", device_claim(2), &token)["error"], "token-refused");
        assert_eq!(chatd.connect().resume("nobody", device_claim(1), &token)["error"], "token-refused");
        // The right password, for another connection.
        let mut relayed = ByTls::connect(chatd.here());
        relayed.is_relayed();
        assert_eq!(relayed.try_password("alice", "wonderland", None)["error"], "somebody-in-between");
        // Log-ins that fail for other reasons, or do not, are none.
        Client::connect(chatd.here()).begin_log_in("alice");
        let mut bob = chatd.connect();
        assert_eq!(bob.ask(json!({"request": "authenticate", "message": "x"}))["error"], "bad-request");
        assert_eq!(bob.try_password("bob", "builder")["reply"], "logged-in");
        let (_, lines) = chatd.stop();
        let expected = [
            "log-in failed from 127.0.0.1 (unknown name)",
            "log-in failed from 127.0.0.1 (wrong password)",
            "log-in failed from ::1 (unknown name)",
            "log-in failed from ::1 (wrong password)",
            "log-in failed from ::1 (wrong password)",
            "log-in failed from ::1 (wrong password)",
            "log-in failed from ::1 (locked out)",
            "log-in failed from 127.0.0.1 (wrong password)",
            "log-in failed from 127.0.0.1 (stale resume token)",
            "log-in failed from 127.0.0.1 (stale resume token)",
            "log-in failed from 127.0.0.1 (stale resume token)",
            "log-in failed from 127.0.0.1 (somebody is in between)",
        ];
        assert_eq!(failures(&lines), expected, "{arguments:?}");
    }
}

/// What somebody would like to see in the log.
const FORGED: &str = "EVIL\n[2026-01-31T14:03:05Z WARN  chatd::net::turn::apply] log-in failed from 6.6.6.6 (wrong \
                      password)\r\n\u{1b}[31mEVIL\u{1b}[0m\u{7}\u{202e}\u{9b}31m\u{2028}EVIL\0";
/// The same as far as it may be sent.
const FORGED_TEXT: &str = "EVIL\n[2026-01-31T14:03:05Z WARN  chatd::net::turn::apply] log-in failed from 6.6.6.6 (wrong password)\n\u{202e}EVIL";

/// Requests with what nobody should send, wherever something is said.
fn hostile() -> Vec<Value> {
    let mut requests = vec![
        json!({ "request": FORGED }),
        json!({"request": "online", "id": FORGED}),
        json!({ FORGED: FORGED, "request": FORGED }),
        json!({"request": {FORGED: FORGED}}),
        json!({"request": "log-in", "mechanism": FORGED, "message": FORGED, "device": FORGED, "log": FORGED}),
        json!({"request": "log-in", "mechanism": "SCRAM-SHA-256", "message": format!("n,,n={FORGED},r={FORGED}")}),
        json!({"request": "log-in", "mechanism": "SCRAM-SHA-256", "message": format!("n,,n=EVIL,r={FORGED}")}),
        json!({"request": "log-in", "mechanism": "SCRAM-SHA-256", "message": format!("y,,n={FORGED},r=EVIL")}),
        json!({"request": "log-in", "mechanism": "RESUME-SHA-256", "message": "n,,n=EVIL,r=EVIL", "device": FORGED}),
        json!({"request": "authenticate", "message": FORGED}),
        json!({"request": "authenticate", "message": format!("c=biws,r={FORGED},p={FORGED}")}),
        json!({"request": "sign-up", "stored-key": FORGED, "server-key": FORGED}),
        json!({"request": "password", "password": FORGED}),
        json!({"request": "message", "to": "bob", "text": FORGED}),
        json!({"request": "message", "to": "bob", "text": FORGED_TEXT}),
        json!({"request": "message", "to": FORGED, "text": "EVIL"}),
        json!({"request": "message", "to": "EVIL", "text": FORGED_TEXT, "counter": FORGED}),
        json!({"request": "broadcast", "text": FORGED}),
        json!({"request": "broadcast", "text": FORGED_TEXT}),
        json!({"request": "history", "with": FORGED}),
    ];
    for request in ["block", "unblock", "user-remove", "user-add", "user-password", "user-unlock", "user-kick"] {
        requests.push(json!({"request": request, "user": FORGED, "password": FORGED}));
        requests.push(json!({"request": request, "user": "EVIL-name", "password": FORGED_TEXT}));
    }
    requests
}

/// Bytes that end a connection.
fn violations() -> Vec<Vec<u8>> {
    vec![
        FORGED.as_bytes().to_vec(),
        format!("{{\"request\":\"{FORGED}\"}}\n").into_bytes(),
        format!("{{{FORGED}\n").into_bytes(),
        [b"{\"request\":\"\xff\xfe", FORGED.as_bytes(), b"\"}\n"].concat(),
        [b"{", FORGED.repeat(200).as_bytes()].concat(),
        [b"\x16\x03\x01\x02\x00", FORGED.as_bytes()].concat(),
        [b"\x16\x03\x03\x00\x10\x01\x00\x00\x0c", FORGED.as_bytes()].concat(),
        b"GET /EVIL HTTP/1.1\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n".to_vec(),
        b"\x00\x00EVIL".to_vec(),
    ]
}

/// Everything hostile, at every stage of a connection.
fn attack(chatd: &Logged) {
    for bytes in violations() {
        chatd.tell(&bytes);
        let mut encrypted = ByTls::connect(chatd.here());
        encrypted.send_bytes(&bytes);
        let mut alice = chatd.connect();
        alice.log_in("alice", None);
        alice.send_bytes(&bytes);
        alice.close_our_side();
        while alice.try_line().is_some() {}
    }
    let mut alice = chatd.connect();
    alice.log_in("alice", Some(1));
    let mut by_tls = ByTls::log_in(chatd.here(), "carol", "christmas", Some(1));
    let control = UnixStream::connect(chatd.dir.path().join("data/control")).expect("the control socket");
    let mut answers = BufReader::new(&control);
    for request in hostile() {
        // A stranger.
        assert!(!chatd.tell(format!("{request}\n").as_bytes()).is_empty(), "{request}");
        // Somebody who was challenged.
        let mut challenged = chatd.connect();
        challenged.begin_log_in("bob");
        challenged.send(&request);
        challenged.line();
        // Who is logged in, in the clear and on TLS. Not every one has an `id` that can be repeated.
        alice.send(&request);
        by_tls.send_bytes(format!("{request}\n").as_bytes());
        // The operator, or a program of theirs.
        (&control).write_all(format!("{request}\n").as_bytes()).expect("written");
        let mut answer = String::new();
        answers.read_line(&mut answer).expect("an answer");
        assert!(!answer.is_empty(), "{request}");
    }
    assert_eq!(alice.ask(json!({"request": "alive"}))["reply"], "alive");
    assert_eq!(by_tls.ask(json!({"request": "alive"}))["reply"], "alive");
    // As names and passwords that are some.
    assert_eq!(chatd.connect().try_password("EVIL-name", FORGED)["error"], "not-authenticated");
    assert_eq!(ByTls::connect(chatd.here()).sign_up("EVIL-2", FORGED)["reply"], "signed-up");
    assert_eq!(user(chatd.dir.path(), &["add", "EVIL-3"], "EVIL password\n").status, 0);
    assert_eq!(user(chatd.dir.path(), &["kick", "EVIL-3"], "").status, 0);
    assert_eq!(user(chatd.dir.path(), &["remove", "EVIL-3"], "").status, 0);
    // In the operator's file, where a slip of the pen must not show a password either.
    let file = chatd.dir.path().join("credentials.txt");
    let slips = ["alice\u{1b}[31mEVIL x\n", "EVIL-without-a-password\n", "alice EVIL\nalice EVIL\n"];
    for (before, content) in slips.into_iter().enumerate() {
        fs::write(&file, content).expect("written");
        signal(&chatd.child, "HUP");
        expect_in_log(chatd, "the accounts stay as they were", before + 1);
    }
}

/// Waits until this is in the log so many times.
fn expect_in_log(chatd: &Logged, text: &str, times: usize) {
    let end = Instant::now() + LIMIT;
    let path = chatd.dir.path().join("log");
    while fs::read_to_string(&path).expect("UTF-8").matches(text).count() < times {
        assert!(Instant::now() < end, "no log line with {text:?}");
        thread::yield_now();
    }
}

#[test]
fn nothing_that_was_sent_is_in_the_log_and_no_line_is_forged() {
    for arguments in [&[][..], &["-v"], &["-vv"]] {
        let chatd = Logged::start(arguments);
        let mut bystander = chatd.connect();
        bystander.log_in("dave", None);
        attack(&chatd);
        bystander.nothing_but_alive();
        let (log, lines) = chatd.stop();
        for mark in ["EVIL", "6.6.6.6", "[31m", "wonderland", "builder", "christmas", "davidson"] {
            assert!(!log.contains(mark), "{arguments:?} {mark}: {log}");
        }
        let failures = failures(&lines);
        assert!(!failures.is_empty());
        for failure in failures {
            assert!(failure.starts_with("log-in failed from 127.0.0.1 ("), "{failure}");
        }
    }
}

/// What happens on a day like any other.
fn a_day(chatd: &Logged) {
    let mut alice = ByTls::log_in(chatd.here(), "alice", "wonderland", Some(1));
    let mut bob = chatd.connect();
    bob.log_in("bob", Some(1));
    assert_eq!(alice.ask(json!({"request": "message", "to": "bob", "text": "a secret"}))["reply"], "accepted");
    assert_eq!(alice.ask(json!({"request": "broadcast", "text": "to all"}))["reply"], "accepted");
    assert_eq!(bob.event("message")["text"], "a secret");
    assert_eq!(bob.ask(json!({"request": "block", "user": "carol"}))["reply"], "blocked");
    assert_eq!(user(chatd.dir.path(), &["add", "zoe", "--classic"], "zeppelin\n").status, 0);
    let mut zoe = ByTls::log_in(chatd.here(), "zoe", "zeppelin", Some(1));
    assert_eq!(zoe.is_refused(zoe.new_password("airship")), "password-is-kept");
    let mut yan = ByTls::connect(chatd.here());
    assert_eq!(yan.sign_up("yan", "yellow")["reply"], "signed-up");
    let (_, challenge) = yan.begin("bob", "SCRAM-SHA-256-PLUS", None);
    assert_eq!(yan.is_refused(keys("sign-up", "yellow", &challenge)), "name-taken");
    assert_eq!(user(chatd.dir.path(), &["passwd", "yan"], "yodel\n").status, 0);
    assert_eq!(user(chatd.dir.path(), &["kick", "zoe"], "").status, 0);
    assert_eq!(user(chatd.dir.path(), &["remove", "zoe"], "").status, 0);
    (0..4).for_each(|_| {
        chatd.connect().try_password("carol", "mistyped");
    });
    assert_eq!(user(chatd.dir.path(), &["unlock", "carol"], "").status, 0);
    assert_eq!(bob.ask(json!({"request": "log-out"}))["reply"], "logged-out");
}

#[test]
fn nobodys_name_password_or_text_is_logged() {
    let chatd = Logged::start(&[]);
    a_day(&chatd);
    let (log, lines) = chatd.stop();
    assert_eq!(failures(&lines).len(), 4);
    let names = ["alice", "bob", "carol", "dave", "zoe", "yan"];
    let secrets = ["wonderland", "builder", "christmas", "zeppelin", "airship", "yellow", "yodel", "mistyped"];
    for word in names.iter().chain(&secrets).chain(&["a secret", "to all"]) {
        assert!(!log.contains(word), "{word}: {log}");
    }
    // Addresses stand in the lines of failures only.
    for line in lines.iter().filter(|line| line.text.contains("127.0.0.1") || line.text.contains("::1 ")) {
        assert!(line.text.starts_with("log-in failed from 127.0.0.1 ("), "{line:?}");
    }
}

#[test]
fn a_quiet_server_says_nothing_of_it() {
    let chatd = Logged::start(&["--quiet"]);
    a_day(&chatd);
    let (log, _) = chatd.stop();
    assert_eq!(log, "");
}
