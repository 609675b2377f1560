//! Where a chat goes when it was told an address: to a peer by hand, to somebody else, to nobody.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

use rustls::AlertDescription;
use serde_json::json;

use crate::peer::{Door, End, Identity, Peer};
use crate::support::chat::{KILLED, Person, Session};
use crate::support::{Chatd, LIMIT};
use crate::{ByHand, IS_ASKED, LOCALHOST, UP_WITH_BOB, hears_the_address};

/// Alice's chat, which wants to talk to bob, who is the test.
struct Wanting {
    chatd: Chatd,
    alices: Person,
    alice: Session,
    bob: ByHand,
}

const SECRET: &str = "the secret";

impl Wanting {
    fn new() -> Wanting {
        Wanting::at(Chatd::start(&["--memory"]))
    }

    fn at(chatd: Chatd) -> Wanting {
        let bob = ByHand::new(&chatd, "bob");
        let alices = Person::new(&chatd, "alice");
        let alice = alices.session(&chatd, &[]);
        Wanting { chatd, alices, alice, bob }
    }

    /// Alice wants to say the secret; bob says yes for this socket.
    #[track_caller]
    fn is_asked(&mut self, door: &Door) {
        self.alice.says(&format!("private bob {SECRET}"));
        self.bob.says_yes("alice", door);
        self.alice.hears(IS_ASKED);
        hears_the_address(&mut self.alice, "bob", LOCALHOST);
    }

    /// It comes about.
    #[track_caller]
    fn talks(&mut self, door: &Door) -> Peer {
        self.is_asked(door);
        let mut peer = door.accept().expect("a handshake");
        peer.says(r#"{"peer":"hello","from":"bob","to":"alice"}"#);
        peer.hears(&format!(r#"{{"peer":"say","number":1,"text":"{SECRET}"}}"#));
        peer.says(r#"{"peer":"heard","number":1}"#);
        self.alice.hears(UP_WITH_BOB);
        self.alice.hears("ok");
        peer
    }

    /// It does not come about, and the text is kept: alice is told why.
    #[track_caller]
    fn is_told(&mut self, why: &str) {
        self.alice.is_told(&format!("chat: line 1: not said to bob: {why}; 'deliver bob' sends it through the server"));
        assert_eq!(self.alices.chat(&["history"]).out, "", "nothing goes through the server");
        self.alice.says("deliver bob");
        self.alice.hears("ok 1");
        assert_eq!(self.bob.server.event("message")["text"], SECRET);
    }
}

#[test]
fn chat_dials_as_the_page_says_and_speaks_when_it_was_let_in() {
    let mut wanting = Wanting::new();
    let door = Door::open(LOCALHOST, &wanting.bob.identity);
    wanting.alice.says(&format!("private bob {SECRET}"));
    let answer = wanting.bob.says_yes("alice", &door);
    wanting.alice.hears(IS_ASKED);
    hears_the_address(&mut wanting.alice, "bob", LOCALHOST);
    let mut peer = door.accept().expect("a handshake");
    assert_eq!(answer["certificate"], peer.fingerprint(), "what alice shows is what she has told");
    assert_eq!(peer.manner(), (Some(b"chatd-peer".to_vec()), None));
    // Not a word before hello: the first thing that comes is the answer to it.
    peer.says(r#"{"peer":"hello","from":"bob","to":"alice"}"#);
    peer.hears(&format!(r#"{{"peer":"say","number":1,"text":"{SECRET}"}}"#));
    wanting.alice.hears(UP_WITH_BOB);
    peer.says(r#"{"peer":"say","number":1,"text":"I hear you"}"#);
    wanting.alice.hears("bob (privately): I hear you");
    peer.hears(r#"{"peer":"heard","number":1}"#);
    peer.says(r#"{"peer":"heard","number":1}"#);
    wanting.alice.hears("ok");
    wanting.alice.says("logout");
    peer.hears(r#"{"peer":"bye"}"#);
    peer.has_ended(End::Goodbye);
    wanting.alice.hears("* the private conversation with bob is over: you have ended the conversation");
    wanting.alice.has_ended(0);
}

#[test]
fn nothing_is_said_before_hello() {
    let mut wanting = Wanting::new();
    let door = Door::open(LOCALHOST, &wanting.bob.identity);
    wanting.is_asked(&door);
    let mut peer = door.accept().expect("a handshake");
    // It is let in, but hears something else.
    peer.says(r#"{"peer":"say","number":1,"text":"say something"}"#);
    let (said, _) = peer.rest();
    assert_eq!(said, "");
    wanting.is_told("bob: the other side makes no sense");
}

#[test]
fn another_certificate_or_another_key_gets_nothing_of_it() {
    for (has_its_certificate, why) in [
        (false, "whoever is at 127.0.0.1 port PORT is not bob: the certificate is another one"),
        (true, "whoever is at 127.0.0.1 port PORT shows bob's certificate, but does not have its key"),
    ] {
        let mut wanting = Wanting::new();
        let shown = if has_its_certificate { wanting.bob.identity.with_another_key() } else { Identity::new() };
        let door = Door::open(LOCALHOST, &shown);
        wanting.is_asked(&door);
        match door.accept() {
            Err(End::Alert(_)) => {}
            Err(end) => panic!("{end:?}"),
            Ok(_) => panic!("chat goes on"),
        }
        wanting.is_told(&why.replace("PORT", &door.port().to_string()));
    }
}

#[test]
fn somebody_who_is_no_peer_is_told_from_one() {
    let mut wanting = Wanting::new();
    let door = Door::open(LOCALHOST, &wanting.bob.identity);
    wanting.is_asked(&door);
    door.stream().write_all(b"SSH-2.0-OpenSSH_9.6\r\n").unwrap();
    wanting.is_told(&format!("whoever is at 127.0.0.1 port {} is no chat, and not bob", door.port()));
}

#[test]
fn another_protocol_inside_is_refused() {
    let mut wanting = Wanting::new();
    let door = Door::open_with(LOCALHOST, &wanting.bob.identity, b"http/1.1");
    wanting.is_asked(&door);
    assert_eq!(door.accept().err(), Some(End::Ours));
    let line = format!("no connection to bob at 127.0.0.1 port {}: ", door.port());
    wanting.alice.is_told_something_with(&line);
}

#[test]
fn nobody_at_the_address_is_said_and_the_next_time_bob_is_asked_anew() {
    let mut wanting = Wanting::new();
    let door = Door::open(LOCALHOST, &wanting.bob.identity);
    let port = door.port();
    wanting.alice.says(&format!("private bob {SECRET}"));
    let asks = wanting.bob.server.event("asks");
    assert_eq!(asks["user"], "alice");
    drop(door);
    let certificate = wanting.bob.identity.fingerprint();
    let request =
        json!({"request": "consent", "user": "alice", "answer": true, "port": port, "certificate": certificate});
    assert_eq!(wanting.bob.server.ask(request)["reply"], "consented");
    wanting.alice.hears(IS_ASKED);
    hears_the_address(&mut wanting.alice, "bob", LOCALHOST);
    wanting.alice.is_told(&format!(
        "chat: line 1: not said to bob: can't reach bob at 127.0.0.1 port {port}: Connection refused (os error 111); \
         is there a firewall in between?; 'deliver bob' sends it through the server"
    ));
    assert_eq!(wanting.alices.chat(&["history"]).out, "");
    let door = Door::open(LOCALHOST, &wanting.bob.identity);
    let _peer = wanting.talks(&door);
    wanting.alice.says("deliver bob");
    wanting.alice.hears("ok 1");
}

#[test]
fn who_does_not_let_in_is_believed() {
    let mut wanting = Wanting::new();
    let door = Door::open(LOCALHOST, &wanting.bob.identity);
    wanting.is_asked(&door);
    door.accept().expect("a handshake").goodbye();
    wanting.is_told("bob does not let you in: the yes was taken back, or its time is over");
}

#[test]
fn a_yes_that_is_taken_back_before_hello_ends_the_try() {
    let mut wanting = Wanting::new();
    let door = Door::open(LOCALHOST, &wanting.bob.identity);
    wanting.is_asked(&door);
    let mut peer = door.accept().expect("a handshake");
    assert_eq!(wanting.bob.server.ask(json!({"request": "revoke", "user": "alice"}))["reply"], "revoked");
    wanting.alice.hears("* bob has taken back the yes");
    let (said, _) = peer.rest();
    assert_eq!(said, "");
    wanting.is_told("bob has taken back the yes");
}

#[test]
fn it_goes_on_without_the_server() {
    let mut wanting = Wanting::new();
    let door = Door::open(LOCALHOST, &wanting.bob.identity);
    let mut peer = wanting.talks(&door);
    wanting.chatd.kill();
    wanting.alice.is_told(&format!("chat: {KILLED}"));
    peer.says(r#"{"peer":"say","number":1,"text":"still there?"}"#);
    wanting.alice.hears("bob (privately): still there?");
    peer.hears(r#"{"peer":"heard","number":1}"#);
    // And within its time chat comes again without the server.
    peer.says(r#"{"peer":"bye"}"#);
    wanting.alice.hears("* the private conversation with bob is over: bob has ended it");
    peer.has_ended(End::Goodbye);
    wanting.alice.says("private bob again");
    let mut peer = door.accept().expect("a handshake");
    peer.says(r#"{"peer":"hello","from":"bob","to":"alice"}"#);
    peer.hears(r#"{"peer":"say","number":1,"text":"again"}"#);
    wanting.alice.hears(UP_WITH_BOB);
}

#[test]
fn what_was_not_confirmed_is_delivered_in_order_and_what_was_is_not() {
    let mut wanting = Wanting::new();
    let door = Door::open(LOCALHOST, &wanting.bob.identity);
    let mut peer = wanting.talks(&door);
    // A script says one thing at a time: each of them fails.
    for (line, number, text) in [(2, 2, "first"), (4, 1, "second")] {
        wanting.alice.says(&format!("private bob {text}"));
        peer.hears(&format!(r#"{{"peer":"say","number":{number},"text":"{text}"}}"#));
        peer.vanishes();
        let why = "the connection was cut off";
        wanting
            .alice
            .is_told(&format!("chat: line {line}: not said to bob: {why}; 'deliver bob' sends it through the server"));
        wanting.alice.hears(&format!("* the private conversation with bob is over: {why}"));
        wanting.alice.says("private bob");
        peer = door.accept().expect("a handshake");
        peer.says(r#"{"peer":"hello","from":"bob","to":"alice"}"#);
        wanting.alice.hears(UP_WITH_BOB);
        wanting.alice.hears("ok");
    }
    wanting.alice.says("deliver bob");
    for (number, text) in [(1, "first"), (2, "second")] {
        wanting.alice.hears(&format!("ok {number}"));
        let message = wanting.bob.server.event("message");
        assert_eq!([&message["number"], &message["text"]], [&json!(number), &json!(text)]);
    }
    wanting.bob.server.nothing_but_alive();
    wanting.alice.says("deliver bob");
    wanting.alice.is_told("chat: line 7: there is nothing for bob that could not be said");
    wanting.alice.says("end private bob");
    peer.hears(r#"{"peer":"bye"}"#);
    peer.has_ended(End::Goodbye);
}

#[test]
fn a_command_tells_by_its_status_what_has_become_of_it() {
    let chatd = Chatd::start(&["--memory"]);
    let mut bob = ByHand::new(&chatd, "bob");
    let alices = Person::new(&chatd, "alice");
    let run = || {
        let command = alices.command(&["private", "bob", SECRET]);
        std::thread::spawn(move || crate::support::chat::run(command, b""))
    };
    let hint = "chat: it was not said: 'message bob TEXT' would send it through the server\n";
    // The wrong one is there.
    let door = Door::open(LOCALHOST, &Identity::new());
    let done = run();
    bob.says_yes("alice", &door);
    assert!(matches!(
        door.accept(),
        Err(End::Alert(AlertDescription::CertificateUnknown | AlertDescription::BadCertificate))
    ));
    let why =
        format!("chat: whoever is at 127.0.0.1 port {} is not bob: the certificate is another one\n", door.port());
    done.join().unwrap().is("", &format!("{why}{hint}"), 77);
    // Nobody confirms it before the end.
    let door = Door::open(LOCALHOST, &bob.identity);
    let done = run();
    bob.says_yes("alice", &door);
    let mut peer = door.accept().expect("a handshake");
    peer.says(r#"{"peer":"hello","from":"bob","to":"alice"}"#);
    peer.hears(&format!(r#"{{"peer":"say","number":1,"text":"{SECRET}"}}"#));
    peer.says(r#"{"peer":"bye"}"#);
    done.join().unwrap().is("", &format!("chat: bob has ended it\n{hint}"), 69);
    // The server goes when they talk already: it is not needed.
    let done = run();
    bob.says_yes("alice", &door);
    let mut peer = door.accept().expect("a handshake");
    drop(chatd);
    peer.says(r#"{"peer":"hello","from":"bob","to":"alice"}"#);
    peer.hears(&format!(r#"{{"peer":"say","number":1,"text":"{SECRET}"}}"#));
    peer.says(r#"{"peer":"heard","number":1}"#);
    peer.hears(r#"{"peer":"bye"}"#);
    peer.has_ended(End::Goodbye);
    done.join().unwrap().is("", "", 0);
}

/// Passes on what comes at a port to another one, and keeps it.
fn relay(to: u16) -> (u16, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind((LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let thread = thread::spawn(move || {
        let (client, _) = listener.accept().unwrap();
        let server = TcpStream::connect((LOCALHOST, to)).unwrap();
        let ways = [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)];
        let ways = ways.map(|(mut from, mut to)| {
            thread::spawn(move || {
                from.set_read_timeout(Some(LIMIT)).unwrap();
                let (mut all, mut bytes) = (Vec::new(), [0; 4096]);
                while let Ok(count @ 1..) = from.read(&mut bytes) {
                    all.extend(&bytes[..count]);
                    if to.write_all(&bytes[..count]).is_err() {
                        break;
                    }
                }
                let _ = to.shutdown(Shutdown::Write);
                all
            })
        });
        ways.map(|way| way.join().unwrap()).concat()
    });
    (port, thread)
}

#[test]
fn whoever_is_in_between_and_passes_everything_on_reads_nothing() {
    let mut wanting = Wanting::new();
    let door = Door::open(LOCALHOST, &wanting.bob.identity);
    let (port, relay) = relay(door.port());
    wanting.alice.says(&format!("private bob {SECRET}"));
    wanting.bob.says_yes_at("alice", port);
    let mut peer = door.accept().expect("a handshake");
    peer.says(r#"{"peer":"hello","from":"bob","to":"alice"}"#);
    peer.hears(&format!(r#"{{"peer":"say","number":1,"text":"{SECRET}"}}"#));
    peer.says(r#"{"peer":"say","number":1,"text":"another secret"}"#);
    peer.hears(r#"{"peer":"heard","number":1}"#);
    peer.says(r#"{"peer":"bye"}"#);
    peer.has_ended(End::Goodbye);
    peer.goodbye();
    let record = relay.join().unwrap();
    assert!(record.len() > 1000, "{} bytes", record.len());
    for word in [SECRET, "another secret", "\"peer\"", "hello", "alice", "bob"] {
        assert!(!record.windows(word.len()).any(|window| window == word.as_bytes()), "{word}");
    }
}

#[test]
fn what_could_not_even_be_delivered_is_kept() {
    let mut wanting = Wanting::new();
    wanting.alice.says(&format!("private bob {SECRET}"));
    assert_eq!(wanting.bob.server.event("asks")["user"], "alice");
    let no = json!({"request": "consent", "user": "alice", "answer": false});
    assert_eq!(wanting.bob.server.ask(no)["reply"], "declined");
    wanting.alice.hears(IS_ASKED);
    wanting.alice.hears("* no address of bob: the answer is no");
    wanting.alice.is_told_something_with("not said to bob");
    assert_eq!(wanting.bob.server.ask(json!({"request": "block", "user": "alice"}))["reply"], "blocked");
    wanting.alice.says("deliver bob");
    wanting.alice.is_told("chat: line 2: bob has blocked you");
    assert_eq!(wanting.bob.server.ask(json!({"request": "unblock", "user": "alice"}))["reply"], "unblocked");
    wanting.alice.says("deliver bob");
    wanting.alice.hears("ok 1");
    assert_eq!(wanting.bob.server.event("message")["text"], SECRET);
}

#[test]
fn a_delivery_without_a_server_is_kept_when_it_is_given_up() {
    let mut chatd = Chatd::start(&[]);
    let mut bob = ByHand::new(&chatd, "bob");
    let alices = Person::new(&chatd, "alice");
    let mut alice = alices.session(&chatd, &["--timeout", "4"]);
    alice.says(&format!("private bob {SECRET}"));
    assert_eq!(bob.server.event("asks")["user"], "alice");
    let no = json!({"request": "consent", "user": "alice", "answer": false});
    assert_eq!(bob.server.ask(no)["reply"], "declined");
    alice.hears(IS_ASKED);
    alice.hears("* no address of bob: the answer is no");
    alice.is_told_something_with("not said to bob");
    chatd.kill();
    alice.is_told(&format!("chat: {KILLED}"));
    alice.says("deliver bob");
    alice.is_told("chat: line 2: no answer from the server in time: it may be sent or not, and is kept");
    alice.says("privacy");
    alice.hears("* not connected now: nothing comes through the server, and this is what chat itself knows");
    alice.hears("nobody may come to you without the server");
    alice.hears("nobody is asking for your address");
    alice.hears("not said to bob: 1; 'deliver bob' sends them through the server");
    assert!(alice.hears_something().starts_with("your certificate in private conversations is SHA256:"));
    chatd.start_again();
    alice.is_told("chat: connected again");
    alice.says("deliver bob");
    alice.hears("ok 1");
    alices.chat(&["history", "bob"]).undated().is(&format!("(time) alice -> bob: {SECRET}\n"), "", 0);
}

#[test]
fn a_session_that_comes_back_finds_its_conversation_as_it_was() {
    let mut wanting = Wanting::at(Chatd::start(&[]));
    let door = Door::open(LOCALHOST, &wanting.bob.identity);
    let mut peer = wanting.talks(&door);
    wanting.chatd.kill();
    wanting.alice.is_told(&format!("chat: {KILLED}"));
    wanting.chatd.start_again();
    wanting.alice.is_told("chat: connected again");
    wanting.alice.says("private bob as before");
    peer.hears(r#"{"peer":"say","number":2,"text":"as before"}"#);
    peer.says(r#"{"peer":"heard","number":2}"#);
    wanting.alice.hears("ok");
    assert!(!door.has_somebody(), "there is one connection");
}

#[test]
fn whom_one_blocks_one_does_not_ask() {
    let mut wanting = Wanting::new();
    assert_eq!(wanting.bob.server.event("online")["user"], "alice");
    wanting.alice.says("block bob");
    wanting.alice.hears("ok");
    wanting.alice.says("private bob hi");
    wanting.alice.is_told_something_with("line 2: not said to bob: you have blocked bob");
    wanting.bob.server.nothing_but_alive();
}
