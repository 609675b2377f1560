//! `chat` over TLS, against a server that shares no code with it: which servers it trusts, which it refuses, and what it lets
//! out before it knows.

mod stand_in;
mod support;

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustls::HandshakeKind;
use stand_in::{Certificate, Manner, StandIn, stranger};
use support::chat::{Outcome, run};
use support::terminal::{CTRL_D, Terminal};
use tempfile::TempDir;

/// Somebody whose chat has met no server yet.
struct Alice {
    home: TempDir,
    port: u16,
}

impl Alice {
    fn at(port: u16) -> Alice {
        Alice { home: tempfile::tempdir().unwrap(), port }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chat"));
        command.args(["--timeout", "60", "LOCALHOST", &self.port.to_string()]).args(words);
        command.current_dir(self.home.path()).env_clear().env("XDG_STATE_HOME", self.home.path());
        command.env("CHAT_USER", "alice").env("CHAT_PASSWORD", "wonderland");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn chat(&self, words: &[&str]) -> Outcome {
        run(self.command(words), b"")
    }

    fn says(&self, input: &[u8]) -> Outcome {
        run(self.command(&[]), input)
    }

    fn file(&self) -> PathBuf {
        self.home.path().join("chat/known_servers")
    }

    fn known(&self) -> Option<String> {
        std::fs::read_to_string(self.file()).ok()
    }

    fn line(&self, certificate: &Certificate) -> String {
        format!("localhost {} {}\n", self.port, certificate.fingerprint())
    }

    fn first_time(&self, certificate: &Certificate) -> String {
        format!(
            "chat: first time at LOCALHOST port {}: from now on only its certificate will do, {}; it stands in {}\n",
            self.port,
            certificate.fingerprint(),
            self.file().display()
        )
    }
}

#[test]
fn the_first_log_in_notes_the_certificate_and_the_next_says_nothing() {
    let certificate = Certificate::new();
    let server = StandIn::start(&certificate);
    let alice = Alice::at(server.port());
    alice.chat(&["online"]).is("bob\n", &alice.first_time(&certificate), 0);
    assert_eq!(alice.known(), Some(alice.line(&certificate)));
    alice.chat(&["online"]).is("bob\n", "", 0);
    alice.says(b"online\n").is("bob\n", "", 0);
    assert_eq!(alice.known(), Some(alice.line(&certificate)));
    for _ in 0..3 {
        let seen = server.seen();
        assert_eq!(seen.handshake, Some(HandshakeKind::Full));
        assert!(seen.lines[0].contains("SCRAM-SHA-256-PLUS") && seen.lines[0].contains("p=tls-exporter,,"));
        assert!(seen.has_said_goodbye, "{seen:?}");
        assert_eq!(seen.server_name, None);
    }
}

#[test]
fn a_session_notes_the_certificate_too() {
    let certificate = Certificate::new();
    let server = StandIn::start(&certificate);
    let alice = Alice::at(server.port());
    alice.says(b"online\n").is("bob\n", &alice.first_time(&certificate), 0);
    assert_eq!(alice.known(), Some(alice.line(&certificate)));
}

#[test]
fn without_a_proved_log_in_nothing_is_noted() {
    for (manner, text) in [
        (Manner::NotAuthenticated, "chat: wrong\n"),
        (
            Manner::WrongSignature,
            "chat: the server can't prove that it knows your account: don't go on, and ask the operator. Nothing was \
             remembered of it\n",
        ),
        (
            Manner::SomebodyInBetween,
            "chat: somebody is between you and the server: don't go on, and ask the operator. Nothing was \
             remembered of it\n",
        ),
    ] {
        let certificate = Certificate::new();
        let server = StandIn::start_with(&certificate, move |_| manner);
        let alice = Alice::at(server.port());
        alice.chat(&["online"]).is("", text, 77);
        assert_eq!(alice.known(), None);
        alice.says(b"online\n").is("", text, 77);
        assert_eq!(alice.known(), None);
    }
}

#[test]
fn a_changed_certificate_is_refused_before_a_name_is_sent() {
    let (old, new) = (Certificate::new(), Certificate::new());
    let server = StandIn::start(&new);
    let alice = Alice::at(server.port());
    std::fs::create_dir(alice.home.path().join("chat")).unwrap();
    let known = format!("# mine\n\nother 1 nonsense\n{}", alice.line(&old));
    std::fs::write(alice.file(), &known).unwrap();
    let text = format!(
        "chat: THE CERTIFICATE OF LOCALHOST PORT {} HAS CHANGED!\n\
         chat: Somebody may be between you and the server, who could read and change everything; or the server has a new \
         one.\n\
         chat: known so far: {}\n\
         chat: shown now:    {}\n\
         chat: Nothing was sent, not even your name. Ask the operator which is right. If it is the new one, remove line 4 \
         of {} and try again.\n",
        alice.port,
        old.fingerprint(),
        new.fingerprint(),
        alice.file().display()
    );
    std::fs::write(alice.home.path().join("new"), "new\n").unwrap();
    for words in [&["online"][..], &[], &["--new-password-file", "new", "passwd"], &["sign-up"]] {
        alice.chat(words).is("", &text, 77);
        let seen = server.seen();
        assert_eq!((seen.handshake, &seen.lines[..]), (None, &[][..]), "{seen:?}");
    }
    assert_eq!(alice.known(), Some(known));
    // What the text says to do helps.
    std::fs::write(alice.file(), "# mine\n\nother 1 nonsense\n").unwrap();
    alice.chat(&["online"]).is("bob\n", &alice.first_time(&new), 0);
}

#[test]
fn a_session_does_not_come_back_to_another_certificate() {
    let (old, new) = (Certificate::new(), Certificate::new());
    let server = StandIn::start_with(&old, |connection| match connection {
        0 => Manner::CutOff,
        _ => Manner::Right,
    });
    server.show_from(1, &new);
    let alice = Alice::at(server.port());
    let outcome = alice.says(b"online\n");
    assert_eq!((outcome.status, &*outcome.out), (77, ""), "{outcome:?}");
    let begin = alice.first_time(&old) + "chat: the connection was cut off; trying to come back\n";
    let rest = outcome.error.strip_prefix(&begin).unwrap_or_else(|| panic!("{outcome:?}"));
    assert!(rest.starts_with("chat: THE CERTIFICATE OF LOCALHOST PORT"), "{outcome:?}");
    assert!(rest.contains(&format!("remove line 1 of {}", alice.file().display())), "{outcome:?}");
    server.seen();
    assert_eq!(server.seen().lines, [""; 0]);
    assert_eq!(alice.known(), Some(alice.line(&old)));
}

#[test]
fn a_session_that_cannot_keep_the_certificate_holds_on_to_it_all_the_same() {
    let (old, new) = (Certificate::new(), Certificate::new());
    let server = StandIn::start_with(&old, |connection| match connection {
        0 => Manner::CutOff,
        _ => Manner::Right,
    });
    server.show_from(1, &new);
    let alice = Alice::at(server.port());
    let mut command = alice.command(&[]);
    command.env("XDG_STATE_HOME", "/dev/null/nowhere");
    let outcome = run(command, b"online\n");
    assert_eq!((outcome.status, &*outcome.out), (77, ""), "{outcome:?}");
    assert!(outcome.error.starts_with("chat: nothing can be kept for the next time: "), "{outcome:?}");
    assert!(outcome.error.contains("HAS CHANGED!") && outcome.error.contains("start chat again"), "{outcome:?}");
}

#[test]
fn a_certificate_without_its_key_is_refused() {
    let certificate = Certificate::new();
    let thief = StandIn::start(&certificate.with_another_key());
    let alice = Alice::at(thief.port());
    for known in [None, Some(alice.line(&certificate))] {
        if let Some(known) = &known {
            std::fs::write(alice.file(), known).unwrap();
        }
        let outcome = alice.chat(&["online"]);
        assert_eq!((outcome.status, &*outcome.out), (77, ""), "{outcome:?}");
        assert!(outcome.error.contains("a certificate whose key it does not have"), "{outcome:?}");
        let seen = thief.seen();
        assert_eq!((seen.handshake, &seen.lines[..]), (None, &[][..]), "{seen:?}");
        assert_eq!(alice.known(), known);
    }
}

#[test]
fn a_malformed_line_about_the_server_is_no_reason_to_trust_it() {
    let server = StandIn::start(&Certificate::new());
    let alice = Alice::at(server.port());
    std::fs::create_dir(alice.home.path().join("chat")).unwrap();
    std::fs::write(alice.file(), format!("\nlocalhost {} SHA256:AB\n", alice.port)).unwrap();
    let text = format!(
        "chat: line 2 of {} is about this server and can't be used: correct it, or remove it if you don't know what it \
         should be; a line is HOST PORT SHA256:FINGERPRINT\n",
        alice.file().display()
    );
    alice.chat(&["online"]).is("", &text, 66);
    assert_eq!(server.connections(), 0);
}

#[test]
fn a_server_without_tls_is_told_so_and_gets_nothing_in_the_clear() {
    for (says, status, text) in [
        (&b"{\"error\":\"bad\",\"text\":\"no\"}\n"[..], 76, "does not speak TLS: check the host and the port."),
        (b"?\n", 76, "does not speak TLS: check the host and the port."),
        (b"", 69, "closed the connection at once: either it is going down, or it does not speak TLS."),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let alice = Alice::at(listener.local_addr().unwrap().port());
        let server = stranger(listener, says.to_vec());
        let outcome = alice.chat(&["online"]);
        assert_eq!((outcome.status, &*outcome.out), (status, ""), "{outcome:?}");
        let expected =
            format!("chat: {}LOCALHOST port {} {text}", if status == 76 { "what answers at " } else { "" }, alice.port);
        assert!(outcome.error.starts_with(&expected), "{outcome:?}");
        assert!(outcome.error.ends_with("--insecure-plaintext\n"), "{outcome:?}");
        let (connections, heard) = server.end();
        assert_eq!(connections, 1, "it is not tried again without TLS");
        assert!(
            heard.starts_with(&[0x16, 3]) && !contains(&heard, b"alice") && !contains(&heard, b"request"),
            "{heard:x?}"
        );
        assert_eq!(alice.known(), None);
    }
}

#[test]
fn an_older_tls_is_refused() {
    let alert = b"\x15\x03\x03\x00\x02\x02\x46".to_vec();
    // A ServerHello of TLS 1.2 with TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 (RFC 5246, section 7.4.1.3).
    let mut hello = b"\x16\x03\x03\x00\x2a\x02\x00\x00\x26\x03\x03".to_vec();
    hello.extend([0x55; 32]);
    hello.extend(b"\x00\xc0\x2f\x00");
    for says in [alert, hello] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let alice = Alice::at(listener.local_addr().unwrap().port());
        let server = stranger(listener, says);
        let text = format!(
            "chat: LOCALHOST port {} does not speak TLS 1.3, and nothing older will do: check the host and the port\n",
            alice.port
        );
        alice.chat(&["online"]).is("", &text, 76);
        let (connections, heard) = server.end();
        assert_eq!(connections, 1);
        assert!(!contains(&heard, b"alice"), "{heard:x?}");
    }
}

#[test]
fn whoever_comes_back_resumes_and_binds_the_log_in_anew() {
    let certificate = Certificate::new();
    let server = StandIn::start_with(&certificate, |connection| match connection {
        0 => Manner::CutOff,
        1 => Manner::Goodbye,
        _ => Manner::Right,
    });
    let alice = Alice::at(server.port());
    let text = alice.first_time(&certificate)
        + "chat: the connection was cut off; trying to come back\n\
           chat: connected again\n\
           chat: the server closed the connection; trying to come back\n\
           chat: connected again\n";
    alice.says(b"online\n").is("bob\n", &text, 0);
    let seen = [server.seen(), server.seen(), server.seen()];
    let kinds = seen.each_ref().map(|seen| seen.handshake);
    assert_eq!(kinds, [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed].map(Some));
    assert!(seen.iter().all(|seen| seen.lines[0].contains("SCRAM-SHA-256-PLUS")), "{seen:?}");
}

#[test]
fn whoever_is_thrown_out_does_not_come_back_by_itself() {
    let certificate = Certificate::new();
    let server = StandIn::start_with(&certificate, |_| Manner::Kicks);
    let alice = Alice::at(server.port());
    let text = "chat: kicked: chat does not come back by itself, start it again\n";
    alice.says(b"online\n").is("", &(alice.first_time(&certificate) + text), 77);
    let mut command = alice.command(&[]);
    command.env("TERM", "xterm").env("PATH", "/usr/bin:/bin");
    let mut terminal = Terminal::start(&command);
    assert!(terminal.ended_with(77).join("\n").ends_with(text.trim_end()));
    assert_eq!(server.connections(), 2);
}

#[test]
fn a_password_is_changed() {
    let certificate = Certificate::new();
    let server = StandIn::start(&certificate);
    let alice = Alice::at(server.port());
    let words = ["passwd"];
    let outcome = run(alice.command(&words), b"looking-glass\n");
    outcome.is("the password is changed\n", &alice.first_time(&certificate), 0);
    alice.chat(&["online"]).is("", "chat: wrong\n", 77);
    let mut command = alice.command(&["--json", "--new-password-file", "new", "passwd"]);
    std::fs::write(alice.home.path().join("new"), "wonderland\r\nmore\n").unwrap();
    command.env("CHAT_PASSWORD", "looking-glass");
    run(command, b"").is("{\"reply\":\"password-changed\",\"user\":\"alice\"}\n", "", 0);
    alice.chat(&["online"]).is("bob\n", "", 0);
    alice.chat(&["--insecure-plaintext", "passwd"]).is(
        "",
        "chat: passwords are made known over TLS only: leave out --insecure-plaintext\n",
        2,
    );
    alice.chat(&["passwd"]).is(
        "",
        "chat: can't read the new password from standard input: its first line is empty\n",
        66,
    );
}

#[test]
fn a_password_that_the_server_keeps_is_the_operators_to_change() {
    let certificate = Certificate::new();
    let server = StandIn::start_with(&certificate, |_| Manner::KeepsPasswords);
    let alice = Alice::at(server.port());
    let refused = "chat: itself\n";
    run(alice.command(&["passwd"]), b"looking-glass\n").is("", &(alice.first_time(&certificate) + refused), 77);
    let lines = server.seen().lines;
    assert!(lines.iter().all(|line| !line.contains("looking-glass")), "{lines:?}");
}

#[test]
fn a_session_goes_on_with_its_new_password() {
    for manner in [Manner::Right, Manner::EndsOthersFirst] {
        session_with_new_password(manner);
    }
}

fn session_with_new_password(manner: Manner) {
    let certificate = Certificate::new();
    let server = StandIn::start_with(&certificate, move |_| manner);
    let alice = Alice::at(server.port());
    std::fs::write(alice.home.path().join("new"), "looking-glass\n").unwrap();
    let outcome = run(alice.command(&["--new-password-file", "new"]), b"online\npasswd\nonline\n");
    outcome.is("bob\nok\nbob\n", &alice.first_time(&certificate), 0);
    let mut all: Vec<String> = Vec::new();
    for _ in 0..3 {
        all.extend(server.seen().lines);
    }
    let count = |word: &str| all.iter().filter(|line| line.contains(word)).count();
    assert_eq!((count("SCRAM-SHA-256-PLUS"), count("\"password\""), count("log-out")), (3, 1, 1), "{all:?}");
    assert_eq!(run(alice.command(&[]), b"").status, 77, "the old password");
    // Without what it needs it is usage, and the rest goes on.
    let mut command = alice.command(&[]);
    command.env("CHAT_PASSWORD", "looking-glass");
    run(command, b"passwd\nonline\n").is(
        "bob\n",
        "chat: line 1: 'passwd' needs the new password here: --new-password-file FILE\n",
        2,
    );
}

#[test]
fn a_session_survives_that_its_password_cannot_be_changed() {
    let certificate = Certificate::new();
    let server = StandIn::start_with(&certificate, |_| Manner::InFile);
    let alice = Alice::at(server.port());
    std::fs::write(alice.home.path().join("new"), "looking-glass\n").unwrap();
    let outcome = run(alice.command(&["--new-password-file", "new"]), b"passwd\nonline\n");
    outcome.is("bob\n", &(alice.first_time(&certificate) + "chat: line 1: in the file\n"), 77);
}

#[test]
fn a_person_changes_a_password_while_talking() {
    for manner in [Manner::Right, Manner::EndsOthersFirst] {
        person_with_new_password(manner);
    }
}

fn person_with_new_password(manner: Manner) {
    let certificate = Certificate::new();
    let server = StandIn::start_with(&certificate, move |_| manner);
    let alice = Alice::at(server.port());
    std::fs::create_dir(alice.home.path().join("chat")).unwrap();
    std::fs::write(alice.file(), alice.line(&certificate)).unwrap();
    let mut command = alice.command(&[]);
    command.env("TERM", "xterm").env("LC_ALL", "C.UTF-8").env("PATH", "/usr/bin:/bin").env_remove("CHAT_PASSWORD");
    let mut terminal = Terminal::start(&command);
    let mut screen = vec!["password of alice:"];
    let hello = "hh:mm * you are online as alice, bob too; 'help' lists the commands";
    for (answer, shown) in [
        ("wonderland", &[hello, "alice>"][..]),
        ("passwd", &["alice> passwd", "password of alice:"]),
        ("wonderland", &["new password of alice:"]),
        ("looking-glass", &["the same again:"]),
        ("looking-grass", &["chat: that was not the same", "new password of alice:"]),
        ("looking-glass", &["the same again:"]),
        ("looking-glass", &["✓ your password is changed", "hh:mm * connected again", "alice>"]),
        // A wrong one changes nothing, and the session goes on.
        ("passwd", &["alice> passwd", "password of alice:"]),
        ("wonderland", &["new password of alice:"]),
        ("x", &["the same again:"]),
        ("x", &["wrong", "alice>"]),
        ("online", &["alice> online", "online: bob", "alice>"]),
    ] {
        terminal.sees(&screen);
        terminal.enters(answer);
        if screen.last() == Some(&"alice>") {
            screen.pop();
        }
        screen.extend(shown);
    }
    terminal.sees(&screen);
    terminal.types(CTRL_D);
    terminal.ends(0, &screen);
    for secret in ["wonderland", "looking-glass"] {
        assert!(!terminal.printed().contains(secret), "{}", terminal.printed());
    }
    let lines = std::fs::read_to_string(alice.home.path().join("chat/lines")).unwrap();
    assert!(lines.contains("passwd") && !lines.contains("looking"), "{lines}");
    let mut command = alice.command(&["online"]);
    command.env("CHAT_PASSWORD", "looking-glass");
    run(command, b"").is("bob\n", "", 0);
}

#[test]
fn a_sign_up_shows_the_certificate_first_and_then_proves_it() {
    let certificate = Certificate::new();
    let server = StandIn::start(&certificate);
    let carol = Alice::at(server.port());
    let sign_up = |password: &str| {
        let mut command = carol.command(&["sign-up"]);
        command.env("CHAT_USER", "carol").env("CHAT_PASSWORD", password);
        run(command, b"christmas\n")
    };
    let shown = format!("chat: the server's certificate, which is taken on trust: {}\n", certificate.fingerprint());
    sign_up("").is("carol has an account now\n", &(shown + &carol.first_time(&certificate)), 0);
    assert_eq!(server.seen().lines, [""; 0], "a look first");
    let lines = server.seen().lines;
    let requests = ["log-in", "sign-up", "log-in", "authenticate"];
    assert_eq!(lines.len(), requests.len(), "{lines:?}");
    assert!(lines.iter().zip(requests).all(|(line, request)| line.contains(request)), "{lines:?}");
    let mut command = carol.command(&["online"]);
    command.env("CHAT_USER", "carol").env("CHAT_PASSWORD", "christmas");
    run(command, b"").is("bob\n", "", 0);
    sign_up("again").is("", "chat: taken\n", 77);
}

#[test]
fn a_sign_up_goes_to_the_certificate_that_was_shown() {
    let (shown, another) = (Certificate::new(), Certificate::new());
    let server = StandIn::start(&shown);
    server.show_from(1, &another);
    let outcome = Alice::at(server.port()).chat(&["sign-up"]);
    assert_eq!(outcome.status, 77, "{outcome:?}");
    assert!(outcome.error.contains(&shown.fingerprint()) && outcome.error.contains("HAS CHANGED!"), "{outcome:?}");
    server.seen();
    assert_eq!(server.seen().lines, [""; 0]);
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn what_was_too_fast_is_sent_again_by_itself() {
    let certificate = Certificate::new();
    let server = StandIn::start_with(&certificate, |_| Manner::TooFast);
    let alice = Alice::at(server.port());
    alice.chat(&["message", "bob", "hi"]).is("", &alice.first_time(&certificate), 0);
    let sends = |lines: &[String]| -> Vec<String> {
        let lines = lines.iter().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        lines
            .filter(|line| line["request"] == "message")
            .map(|line| format!("{} {}", line["counter"], line["text"]))
            .collect()
    };
    assert_eq!(sends(&server.seen().lines), ["null \"hi\"", "null \"hi\""]);
    alice.says(b"message bob one\nmessage bob two\n").is("ok 2\nok 4\n", "", 0);
    assert_eq!(sends(&server.seen().lines), ["1 \"one\"", "1 \"one\"", "2 \"two\"", "2 \"two\""]);
}
