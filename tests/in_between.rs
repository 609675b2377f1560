//! Somebody between `chat` and chatd: with a certificate of their own they are noticed, also at the first use; without one
//! they see nothing.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use support::chat::{Outcome, run};
use support::tls::{Connector, fingerprint};
use support::{Chatd, LIMIT, password};
use tempfile::TempDir;

/// What is in between does with what `chat` and chatd say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Passes on bytes, and keeps a copy.
    Record,
    /// Has a certificate of its own, and passes on what both say.
    PassOn,
    /// Like it, and makes a log-in that is bound into one that is not, as well as it can.
    StripPlus,
    /// Like it, but changes the header only.
    StripHeader,
    /// Like it, but changes the mechanism only.
    StripMechanism,
    /// Answers a log-in that is bound with this error.
    Refuse(&'static str),
    /// Hides from `chat` that chatd has noticed, and says that the log-in has succeeded.
    Pretend,
}

/// A port that chat takes for chatd's.
struct Between {
    port: u16,
    way: Arc<Mutex<Way>>,
    seen: Receiver<Seen>,
    /// What each connection that was passed on has said, when it is over.
    relays: Arc<Mutex<Vec<JoinHandle<Vec<u8>>>>>,
    certificate: CertificateDer<'static>,
}

/// What was seen of a connection that is over, by whoever has a certificate of their own.
#[derive(Debug, Default)]
struct Seen {
    has_shaken_hands: bool,
    /// What chat said.
    lines: Vec<String>,
    /// What chatd said.
    answers: Vec<String>,
}

impl Between {
    fn start(chatd: &Chatd, way: Way) -> Between {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let made = rcgen::generate_simple_self_signed(["chatd".to_owned()]).expect("a certificate");
        let certificate = made.cert.der().clone();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .expect("a key");
        let (config, chatd) = (Arc::new(config), chatd.address());
        let (way, relays) = (Arc::new(Mutex::new(way)), Arc::new(Mutex::new(Vec::new())));
        let (sender, seen) = channel();
        let between = Between { port, way: way.clone(), seen, relays: relays.clone(), certificate };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                stream.set_read_timeout(Some(LIMIT)).expect("a limit");
                let (config, sender, way) = (config.clone(), sender.clone(), *way.lock().expect("a way"));
                match way {
                    Way::Record => relays.lock().expect("relays").push(thread::spawn(move || relay(stream, chatd))),
                    way => drop(thread::spawn(move || intercept(stream, chatd, config, way, &sender))),
                }
            }
        });
        between
    }

    fn turns_to(&self, way: Way) {
        *self.way.lock().expect("a way") = way;
    }

    /// The next connection that is over.
    #[track_caller]
    fn seen(&self) -> Seen {
        self.seen.recv_timeout(LIMIT).expect("a connection that is over")
    }

    /// Everything that both sides have said. The connections must be over, or end soon.
    fn recorded(&self) -> Vec<u8> {
        let relays = std::mem::take(&mut *self.relays.lock().expect("relays"));
        relays.into_iter().flat_map(|relay| relay.join().expect("a record")).collect()
    }
}

/// Passes on what both sides say as it is, and keeps it: first what the one said, then what the other did.
fn relay(client: TcpStream, chatd: SocketAddr) -> Vec<u8> {
    let server = TcpStream::connect(chatd).expect("chatd");
    let pass = |mut from: TcpStream, mut to: TcpStream| {
        thread::spawn(move || {
            let (mut said, mut bytes) = (Vec::new(), [0; 65536]);
            while let Ok(count @ 1..) = from.read(&mut bytes) {
                said.extend(&bytes[..count]);
                if to.write_all(&bytes[..count]).is_err() {
                    break;
                }
            }
            let _ = to.shutdown(Shutdown::Write);
            said
        })
    };
    let other = |stream: &TcpStream| stream.try_clone().expect("clone");
    let directions = [pass(other(&client), other(&server)), pass(server, client)];
    directions.into_iter().flat_map(|thread| thread.join().expect("relayed")).collect()
}

/// Ends chat's TLS, and begins another to chatd. Up to the log-in both sides speak in turns.
fn intercept(client: TcpStream, chatd: SocketAddr, config: Arc<ServerConfig>, way: Way, sender: &Sender<Seen>) {
    let mut seen = Seen::default();
    let mut client = StreamOwned::new(ServerConnection::new(config).expect("a session"), client);
    while client.conn.is_handshaking() {
        if client.conn.complete_io(&mut client.sock).is_err() {
            // What was said all the same would be here.
            let _ = client.read_to_end(&mut Vec::new());
            let _ = sender.send(seen);
            return;
        }
    }
    seen.has_shaken_hands = true;
    let mut server = BufReader::new(Connector::new().connect(chatd).tls);
    let mut client = BufReader::new(client);
    while let Some(line) = next_line(&mut client) {
        seen.lines.push(line.clone());
        let mut request: Value = serde_json::from_str(&line).expect("JSON");
        let answer = match way {
            Way::Refuse(code) => {
                Some(json!({"id": request["id"], "error": code, "text": "not here"}).to_string() + "\n")
            }
            _ => {
                change(&mut request, way);
                server.get_mut().write_all(format!("{request}\n").as_bytes()).expect("chatd reads");
                next_line(&mut server)
            }
        };
        let Some(mut answer) = answer else { break };
        seen.answers.push(answer.clone());
        if way == Way::Pretend && answer.contains("somebody-in-between") {
            let log_in = json!({
                "id": request["id"], "reply": "logged-in", "message": format!("v={}", BASE64.encode([7; 32])),
                "user": "alice", "heartbeat-timeout": 35, "log": "000000000000000a", "counter": 0, "waiting": 0,
            });
            answer = format!("{log_in}\n");
        }
        if client.get_mut().write_all(answer.as_bytes()).is_err() {
            break;
        }
    }
    let _ = sender.send(seen);
}

fn next_line(stream: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    stream.read_line(&mut line).ok().filter(|&count| count > 0).map(|_| line)
}

/// Makes of a request what chatd gets to see.
fn change(request: &mut Value, way: Way) {
    let message = request["message"].as_str().unwrap_or_default().to_owned();
    let without_plus = |request: &mut Value| {
        let mechanism = request["mechanism"].as_str().expect("a mechanism").replace("-PLUS", "");
        request["mechanism"] = mechanism.into();
    };
    match (request["request"].as_str(), way) {
        (Some("log-in"), Way::StripPlus) => {
            without_plus(request);
            request["message"] = message.replace("p=tls-exporter,,", "n,,").into();
        }
        (Some("log-in"), Way::StripHeader) => request["message"] = message.replace("p=tls-exporter,,", "n,,").into(),
        (Some("log-in"), Way::StripMechanism) => without_plus(request),
        (Some("authenticate"), Way::StripPlus) => {
            let (_, rest) = message.split_once(',').expect("fields");
            request["message"] = format!("c=biws,{rest}").into();
        }
        _ => {}
    }
}

/// Somebody whose chat believes that chatd is at this port.
struct Person {
    user: &'static str,
    home: TempDir,
    port: u16,
}

impl Person {
    fn new(user: &'static str, port: u16) -> Person {
        Person { user, home: tempfile::tempdir().expect("a directory"), port }
    }

    fn command(&self, options: &[&str], words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chat"));
        command.args(["--timeout", "60"]).args(options).args(["127.0.0.1", &self.port.to_string()]).args(words);
        command.current_dir(self.home.path()).env_clear().env("XDG_STATE_HOME", self.home.path());
        command.env("CHAT_USER", self.user).env("CHAT_PASSWORD", password(self.user));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn chat(&self, words: &[&str]) -> Outcome {
        run(self.command(&[], words), b"")
    }

    fn file(&self) -> PathBuf {
        self.home.path().join("chat/known_servers")
    }

    fn known(&self) -> Option<String> {
        std::fs::read_to_string(self.file()).ok()
    }
}

/// The log-in has failed because of somebody, and nothing was remembered.
#[track_caller]
fn is_warned(outcome: &Outcome, alice: &Person) {
    assert_eq!((outcome.status, &*outcome.out), (77, ""), "{outcome:?}");
    assert_eq!(alice.known(), None);
}

/// What chat said was bound to the connection, and nothing else was tried.
#[track_caller]
fn only_bound(seen: &Seen) {
    assert!(seen.has_shaken_hands, "{seen:?}");
    let log_ins = seen.lines.iter().filter(|line| line.contains("\"log-in\""));
    for line in log_ins.clone() {
        assert!(line.contains("SCRAM-SHA-256-PLUS") && line.contains("p=tls-exporter,,"), "{line}");
    }
    assert_eq!(log_ins.count(), 1, "{seen:?}");
    assert!(seen.lines.len() <= 2, "{seen:?}");
}

#[test]
fn at_the_first_use_somebody_in_between_is_noticed_by_both_sides() {
    let chatd = Chatd::start(&["--memory"]);
    let between = Between::start(&chatd, Way::PassOn);
    let alice = Person::new("alice", between.port);
    for input in [None, Some(b"message bob hi\n")] {
        let outcome = match input {
            None => alice.chat(&["message", "bob", "hi"]),
            Some(input) => run(alice.command(&[], &[]), input),
        };
        is_warned(&outcome, &alice);
        assert!(outcome.error.contains("somebody is between you and the server"), "{outcome:?}");
        let seen = between.seen();
        only_bound(&seen);
        assert_eq!(seen.lines.len(), 2, "{seen:?}");
        let refused: Value = serde_json::from_str(seen.answers.last().expect("an answer")).expect("JSON");
        assert_eq!(refused["error"], "somebody-in-between");
        // In the form that the others have, so that the same rule of fail2ban fits.
        let line = chatd.expect_log("log-in failed from");
        assert!(line.contains("log-in failed from 127.0.0.1") && line.contains("somebody is in between"), "{line}");
        assert!(!line.contains("alice"), "{line}");
    }
    // It was the right password, which counts for nothing against her.
    for _ in 0..5 {
        assert_eq!(alice.chat(&["online"]).status, 77);
    }
    chatd.log_in_once("alice");
}

#[test]
fn whatever_is_changed_on_the_way_chat_does_not_fall_back() {
    let chatd = Chatd::start(&["--memory"]);
    for (way, status) in [(Way::StripPlus, 77), (Way::StripHeader, 76), (Way::StripMechanism, 76), (Way::Pretend, 77)] {
        let between = Between::start(&chatd, way);
        let alice = Person::new("alice", between.port);
        let outcome = alice.chat(&["message", "bob", "hi"]);
        assert_eq!((outcome.status, &*outcome.out), (status, ""), "{way:?}: {outcome:?}");
        assert_eq!(alice.known(), None);
        let seen = between.seen();
        only_bound(&seen);
        assert!(!seen.answers.iter().any(|answer| answer.contains("logged-in")), "{seen:?}");
        assert!(between.seen.try_recv().is_err(), "it came again");
    }
}

#[test]
fn whatever_is_answered_chat_does_not_fall_back() {
    let chatd = Chatd::start(&["--memory"]);
    for (code, status) in [
        ("bad-request", 76),
        ("unknown-request", 76),
        ("an-error-of-another-time", 76),
        ("not-authenticated", 77),
        ("needs-tls", 77),
        ("token-refused", 77),
        ("somebody-in-between", 77),
    ] {
        let between = Between::start(&chatd, Way::Refuse(code));
        let alice = Person::new("alice", between.port);
        for (words, input) in [(&["message", "bob", "hi"][..], &b""[..]), (&[], b"online\n")] {
            let outcome = run(alice.command(&[], words), input);
            assert_eq!((outcome.status, &*outcome.out), (status, ""), "{code}: {outcome:?}");
            assert_eq!(alice.known(), None);
            only_bound(&between.seen());
        }
        assert!(between.seen.try_recv().is_err(), "it came again");
    }
}

#[test]
fn who_is_known_can_not_be_replaced_and_no_name_is_sent() {
    let chatd = Chatd::start(&["--memory"]);
    let genuine = fingerprint(&Connector::new().connect(chatd.address()).certificate());
    let between = Between::start(&chatd, Way::Record);
    let alice = Person::new("alice", between.port);
    assert_eq!(alice.chat(&["online"]).status, 0);
    let known = alice.known().expect("a file");
    assert_eq!(known, format!("127.0.0.1 {} {genuine}\n", between.port));
    between.turns_to(Way::PassOn);
    for (words, input) in
        [(&["online"][..], &b""[..]), (&[], b"online\n"), (&["sign-up"], b"new\n"), (&["passwd"], b"new\n")]
    {
        let outcome = run(alice.command(&[], words), input);
        assert_eq!((outcome.status, &*outcome.out), (77, ""), "{words:?}: {outcome:?}");
        assert!(
            outcome.error.contains(&genuine) && outcome.error.contains(&fingerprint(&between.certificate)),
            "{outcome:?}"
        );
        let seen = between.seen();
        assert!(!seen.has_shaken_hands && seen.lines.is_empty(), "{seen:?}");
        assert_eq!(alice.known().as_ref(), Some(&known));
    }
    // The genuine one is as good as before.
    between.turns_to(Way::Record);
    alice.chat(&["online"]).is("", "", 0);
}

/// A chat that takes its commands from standard input.
struct Session {
    child: Child,
    input: Option<ChildStdin>,
    out: Receiver<String>,
}

impl Session {
    fn start(mut command: Command) -> Session {
        command.stderr(Stdio::null());
        let mut child = command.spawn().expect("chat starts");
        let (sender, out) = channel();
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        thread::spawn(move || lines.map_while(Result::ok).for_each(|line| drop(sender.send(line))));
        Session { input: child.stdin.take(), child, out }
    }

    fn says(&mut self, line: &str) {
        self.input.as_mut().expect("open").write_all(format!("{line}\n").as_bytes()).expect("chat reads");
    }

    /// Waits for a line with this in it.
    #[track_caller]
    fn hears(&self, text: &str) {
        while !self.out.recv_timeout(LIMIT).expect("a line").contains(text) {}
    }

    #[track_caller]
    fn ends(mut self) {
        drop(self.input.take());
        assert_eq!(support::wait(&mut self.child).code(), Some(0));
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const TEXTS: [&str; 3] = ["the first of the secrets", "the second one, in answer", "told to everybody at once"];

/// Two people talk through a port that records everything; what it has recorded.
fn overheard(options: &[&str]) -> Vec<u8> {
    let chatd = Chatd::start(&["--memory"]);
    let between = Between::start(&chatd, Way::Record);
    let [alice, bob] = ["alice", "bob"].map(|user| Person::new(user, between.port));
    let mut at_bobs = Session::start(bob.command(options, &[]));
    chatd.expect_online("bob", true);
    let mut at_alices = Session::start(alice.command(options, &[]));
    at_bobs.hears("alice is online");
    at_alices.says(&format!("message bob {}", TEXTS[0]));
    at_bobs.hears(TEXTS[0]);
    at_bobs.says(&format!("message alice {}", TEXTS[1]));
    at_alices.hears(TEXTS[1]);
    at_alices.says(&format!("broadcast {}", TEXTS[2]));
    at_bobs.hears(TEXTS[2]);
    at_alices.says("history bob");
    at_alices.hears(TEXTS[1]);
    at_alices.ends();
    at_bobs.ends();
    let mut wrong = alice.command(options, &["online"]);
    wrong.env("CHAT_PASSWORD", "misremembered");
    assert_eq!(run(wrong, b"").status, 77);
    // Without encryption these two are refused, by chat itself.
    let is_encrypted = options.is_empty();
    let mut sign_up = alice.command(options, &["sign-up"]);
    sign_up.env("CHAT_USER", "erin").env("CHAT_PASSWORD", "evergreen");
    assert_eq!(run(sign_up, b"evergreen\n").status == 0, is_encrypted);
    let mut passwd = alice.command(options, &["passwd"]);
    passwd.env("CHAT_USER", "erin").env("CHAT_PASSWORD", "evergreen");
    assert_eq!(run(passwd, b"everglades\n").status == 0, is_encrypted);
    let mut again = alice.command(options, &["online"]);
    again.env("CHAT_USER", "erin").env("CHAT_PASSWORD", "everglades");
    assert_eq!(run(again, b"").status == 0, is_encrypted);
    drop(chatd);
    between.recorded()
}

/// Whether something was recorded: as it is, or in base64, wherever in its text it begins.
fn has(record: &[u8], text: &str) -> bool {
    let mut forms = vec![text.as_bytes().to_vec()];
    for before in 0..3 {
        let encoded = BASE64.encode([&vec![0; before][..], text.as_bytes()].concat());
        // The first and the last characters depend on what stands beside it.
        let (first, last) = ([0, 2, 3][before], encoded.trim_end_matches('=').len() - 1);
        forms.push(encoded.as_bytes()[first..last].to_vec());
    }
    forms.iter().any(|form| record.windows(form.len()).any(|window| window == form))
}

const PASSWORDS: [&str; 5] = ["wonderland", "builder", "misremembered", "evergreen", "everglades"];

#[test]
fn whoever_records_two_chats_has_no_name_no_password_and_no_text() {
    let record = overheard(&[]);
    assert!(record.len() > 10_000, "{} bytes", record.len());
    let words = ["alice", "\"bob\"", "n=bob,", "erin", "request", "reply", "event", "message", "SCRAM", "tls-exporter"];
    for text in words.iter().chain(&TEXTS).chain(&PASSWORDS) {
        assert!(!has(&record, text), "{text}");
    }
}

#[test]
fn without_encryption_the_same_record_has_all_but_the_passwords() {
    let record = overheard(&["--insecure-plaintext"]);
    let words = ["alice", "\"bob\"", "n=bob,", "request", "reply", "event", "message", "SCRAM"];
    for text in words.iter().chain(&TEXTS) {
        assert!(has(&record, text), "{text}");
    }
    for password in PASSWORDS {
        assert!(!has(&record, password), "{password}");
    }
    assert!(has(b"a line with \"n,,n=alice\"", "alice") && has(BASE64.encode("x builder y").as_bytes(), "builder"));
}
