//! Who comes to a chat that listens: a peer by hand, strangers, and whoever means ill.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rustls::AlertDescription;
use serde_json::json;

use crate::peer::{End, Identity, Peer, dial, dial_with};
use crate::support::chat::{KILLED, Person, Session};
use crate::support::tls::dial as connect;
use crate::support::{Chatd, LIMIT};
use crate::{ASKED, ByHand, UP_WITH_ALICE};

const HELLO: &str = r#"{"peer":"hello","from":"bob","to":"alice"}"#;

/// Bob's chat, which listens for alice, who is the test.
struct Waiting {
    chatd: Chatd,
    bobs: Person,
    bob: Session,
    alice: ByHand,
    address: SocketAddr,
    /// What his chat will show.
    certificate: String,
}

impl Waiting {
    fn new() -> Waiting {
        let chatd = Chatd::start(&["--memory"]);
        let bobs = Person::new(&chatd, "bob");
        let bob = bobs.session(&chatd, &[]);
        let alice = ByHand::new(&chatd, "alice");
        let (address, certificate) = (([127, 0, 0, 1], 1).into(), String::new());
        let mut waiting = Waiting { chatd, bobs, bob, alice, address, certificate };
        waiting.bob.hears("* alice is online");
        waiting.ask();
        waiting
    }

    fn ask(&mut self) {
        self.alice.asks("bob");
        self.bob.hears(ASKED);
        self.bob.says("consent alice yes");
        self.bob.hears("ok");
        (self.address, self.certificate) = self.alice.is_told_the_address();
    }

    /// Alice comes and is let in.
    #[track_caller]
    fn comes(&mut self) -> Peer {
        let mut peer = dial(self.address, Some(&self.alice.identity)).expect("a handshake");
        peer.hears(HELLO);
        self.bob.hears(UP_WITH_ALICE);
        peer
    }

    /// Somebody else does not get in; what is said of them.
    #[track_caller]
    fn knocked(&mut self, why: &str) {
        self.bob.is_told(&format!("chat: somebody at 127.0.0.1 came to your private socket and was not let in: {why}"));
    }

    /// What bob's chat is in memory, in kilobytes.
    fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.bob.pid())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its size");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }
}

const NOBODY: &str = "it is nobody to whom you have said yes";

#[test]
fn a_peer_by_hand_talks_as_the_page_says() {
    let mut waiting = Waiting::new();
    let mut alice = waiting.comes();
    assert_eq!(alice.fingerprint(), waiting.certificate);
    assert_eq!(alice.manner().0.as_deref(), Some(&b"chatd-peer"[..]));
    alice.says(r#"{"peer":"say","number":1,"text":"just between us"}"#);
    waiting.bob.hears("alice (privately): just between us");
    alice.hears(r#"{"peer":"heard","number":1}"#);
    waiting.bob.says("private alice yes?");
    alice.hears(r#"{"peer":"say","number":1,"text":"yes?"}"#);
    alice.says(r#"{"peer":"heard","number":1}"#);
    waiting.bob.hears("ok");
    // What is not known is left out.
    alice.says(r#"{"peer":"wave","number":"left","text":{"a":[1,2]}}"#);
    alice.says(r#"{"peer":"say","number":2,"text":"a\tb","colour":"red"}"#);
    waiting.bob.hears("alice (privately): a\tb");
    alice.hears(r#"{"peer":"heard","number":2}"#);
    alice.says(r#"{"peer":"bye"}"#);
    waiting.bob.hears("* the private conversation with alice is over: alice has ended it");
    alice.has_ended(End::Goodbye);
    // She may come again within her time; what bob ends is ended with a word.
    let mut alice = waiting.comes();
    waiting.bob.says("end private alice");
    alice.hears(r#"{"peer":"bye"}"#);
    alice.has_ended(End::Goodbye);
}

#[test]
fn a_line_may_come_a_byte_at_a_time_and_many_at_once() {
    let mut waiting = Waiting::new();
    let mut alice = waiting.comes();
    for byte in b"{\"peer\":\"say\",\"number\":1,\"text\":\"slowly \xc3\xa9\"}\n" {
        alice.says_bytes(&[*byte]);
    }
    waiting.bob.hears("alice (privately): slowly é");
    alice.hears(r#"{"peer":"heard","number":1}"#);
    let lines: String =
        (2..66).map(|n| format!("{{\"peer\":\"say\",\"number\":{n},\"text\":\"text {n}\"}}\n")).collect();
    alice.says_bytes(lines.as_bytes());
    for n in 2..66 {
        waiting.bob.hears(&format!("alice (privately): text {n}"));
    }
    waiting.bob.says("end private alice");
    let (said, end) = alice.rest();
    assert_eq!(end, End::Goodbye);
    assert!(said.contains("{\"peer\":\"heard\",\"number\":65}\n") && said.ends_with("{\"peer\":\"bye\"}\n"), "{said}");
}

#[test]
fn strangers_are_turned_away_and_the_right_one_comes_all_the_same() {
    let mut waiting = Waiting::new();
    // One who says nothing stays, and hinders nobody.
    let mut silent = connect(waiting.address);
    let mut somebody = connect(waiting.address);
    somebody.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = somebody.read_to_end(&mut answer);
    assert!(answer.len() < 64 && !answer.windows(4).any(|word| word == b"peer"), "{answer:?}");
    waiting.knocked("it does not speak as chat does");
    drop(connect(waiting.address));
    waiting.knocked("it went away by itself");
    // Another user's certificate, none at all, and hers without the key.
    for (identity, alert, why) in [
        (Some(Identity::new()), None, NOBODY),
        (None, Some(AlertDescription::CertificateRequired), NOBODY),
        (Some(waiting.alice.identity.with_another_key()), None, "it does not speak as chat does"),
    ] {
        // The handshake of TLS 1.3 is through for a client before the server has seen its certificate.
        let end = dial(waiting.address, identity.as_ref()).and_then(|mut peer| {
            let (said, end) = peer.rest();
            assert_eq!(said, "");
            Err::<(), _>(end)
        });
        match (end, alert) {
            (Err(End::Alert(told)), Some(alert)) => assert_eq!(told, alert),
            (Err(End::Alert(_)), None) => {}
            (other, _) => panic!("{other:?}"),
        }
        waiting.knocked(why);
    }
    let mut alice = waiting.comes();
    alice.says(r#"{"peer":"say","number":1,"text":"it was crowded"}"#);
    waiting.bob.hears("alice (privately): it was crowded");
    silent.write_all(b"\x15\x03\x01\x00\x02\x02\x28").unwrap();
    let _ = silent.read_to_end(&mut answer);
}

#[test]
fn another_protocol_inside_is_refused() {
    let mut waiting = Waiting::new();
    let end = dial_with(waiting.address, Some(&waiting.alice.identity), b"http/1.1");
    assert!(matches!(end, Err(End::Alert(AlertDescription::NoApplicationProtocol))));
    waiting.knocked("it does not speak as chat does");
    waiting.comes();
}

#[test]
fn who_was_let_in_once_is_not_after_it_was_taken_back() {
    let mut waiting = Waiting::new();
    let mut alice = waiting.comes();
    waiting.bob.says("revoke alice");
    waiting.bob.hears("* the private conversation with alice is over: you have taken back your yes");
    waiting.bob.hears("ok");
    assert_eq!(waiting.alice.server.event("revoked"), json!({"event": "revoked", "user": "bob"}));
    alice.hears(r#"{"peer":"bye"}"#);
    alice.has_ended(End::Goodbye);
    // Nobody else is expected: nobody listens.
    assert!(TcpStream::connect_timeout(&waiting.address, Duration::from_secs(5)).is_err());
}

#[test]
fn a_yes_is_for_one_and_for_what_they_show() {
    let mut waiting = Waiting::new();
    let mut carol = ByHand::new(&waiting.chatd, "carol");
    waiting.bob.hears("* carol is online");
    carol.asks("bob");
    waiting.bob.hears(&ASKED.replace("alice", "carol"));
    waiting.bob.says("consent carol yes");
    waiting.bob.hears("ok");
    let (address, certificate) = carol.is_told_the_address();
    assert_eq!((address, &certificate), (waiting.address, &waiting.certificate), "one socket for all");
    waiting.bob.says("revoke alice");
    waiting.bob.hears("ok");
    let mut alice = dial(waiting.address, Some(&waiting.alice.identity)).expect("a handshake at this end");
    assert!(matches!(alice.rest().1, End::Alert(_)));
    waiting.knocked(NOBODY);
    let mut peer = dial(address, Some(&carol.identity)).expect("a handshake");
    peer.hears(r#"{"peer":"hello","from":"bob","to":"carol"}"#);
    waiting.bob.hears("* a private conversation with carol has begun");
}

#[test]
fn what_makes_no_sense_ends_the_conversation() {
    let mut waiting = Waiting::new();
    for (bytes, why) in [
        (&b"{\"peer\":\"hello\",\"from\":\"alice\",\"to\":\"bob\"}\n"[..], "the other side makes no sense"),
        (b"{\"peer\":\"say\",\"number\":2,\"text\":\"the second first\"}\n", "the other side makes no sense"),
        (b"{\"peer\":\"say\",\"number\":0,\"text\":\"none\"}\n", "the other side makes no sense"),
        (b"{\"peer\":\"heard\",\"number\":1}\n", "the other side makes no sense"),
        (b"{\"peer\":\"heard\",\"number\":18446744073709551615}\n", "the other side makes no sense"),
        (b"{\"peer\":\"say\",\"number\":1,\"text\":\"\\u001b[2J\"}\n", "the other side could not be understood"),
        (b"{\"peer\":\"say\",\"number\":1,\"text\":\"\"}\n", "the other side could not be understood"),
        (b"{\"peer\":\"say\",\"number\":1}\n", "the other side could not be understood"),
        (b"{\"peer\":\"say\",\"number\":1,\"text\":\"\xff\"}\n", "the other side could not be understood"),
        (b"{\"event\":\"message\",\"from\":\"carol\",\"text\":\"hi\"}\n", "the other side could not be understood"),
        (b"hello?\n", "the other side could not be understood"),
        (&[b'{'; 20_000], "the other side could not be understood"),
    ] {
        let mut alice = waiting.comes();
        alice.says_bytes(bytes);
        waiting.bob.hears(&format!("* the private conversation with alice is over: {why}"));
        assert_eq!(alice.rest().0, "", "{}", String::from_utf8_lossy(bytes));
    }
    waiting.comes();
}

#[test]
fn a_text_is_confirmed_after_it_was_shown_and_what_was_not_is_kept() {
    let mut waiting = Waiting::new();
    let mut alice = waiting.comes();
    waiting.bob.says("private alice heard");
    alice.hears(r#"{"peer":"say","number":1,"text":"heard"}"#);
    alice.says(r#"{"peer":"heard","number":1}"#);
    waiting.bob.hears("ok");
    waiting.bob.says("private alice not confirmed");
    alice.hears(r#"{"peer":"say","number":2,"text":"not confirmed"}"#);
    alice.vanishes();
    let why = "the connection was cut off";
    waiting
        .bob
        .is_told(&format!("chat: line 3: not said to alice: {why}; 'deliver alice' sends it through the server"));
    waiting.bob.hears(&format!("* the private conversation with alice is over: {why}"));
    waiting.bob.says("deliver alice");
    waiting.bob.hears("ok 1");
    let message = waiting.alice.server.event("message");
    assert_eq!(message["text"], "not confirmed", "{message}");
    waiting.alice.server.nothing_but_alive();
}

#[test]
fn who_never_confirms_does_not_hold_a_script_for_ever() {
    let chatd = Chatd::start(&["--memory"]);
    let bobs = Person::new(&chatd, "bob");
    let mut bob = bobs.session(&chatd, &["--timeout", "5"]);
    let mut by_hand = ByHand::new(&chatd, "alice");
    bob.hears("* alice is online");
    by_hand.asks("bob");
    bob.hears(ASKED);
    bob.says("consent alice yes");
    bob.hears("ok");
    let (address, _) = by_hand.is_told_the_address();
    let mut alice = dial(address, Some(&by_hand.identity)).expect("a handshake");
    alice.hears(HELLO);
    bob.hears(UP_WITH_ALICE);
    bob.says("private alice hello?");
    alice.hears(r#"{"peer":"say","number":1,"text":"hello?"}"#);
    bob.is_told(
        "chat: line 2: not said to alice: alice has not answered in time; 'deliver alice' sends it through the server",
    );
    bob.hears("* the private conversation with alice is over: alice has not answered in time");
    alice.hears(r#"{"peer":"bye"}"#);
    alice.has_ended(End::Goodbye);
    bob.ends(75);
}

#[test]
fn whoever_talks_without_listening_costs_little_and_hinders_nobody() {
    let mut waiting = Waiting::new();
    let mut flood = waiting.comes();
    let before = waiting.memory();
    flood.set_patience(Duration::from_secs(20));
    // Nothing is read of what is answered; the conversation ends when too much of that waits, or the flood is over.
    let noise = "{\"peer\":\"noise\",\"text\":\"0123456789abcdef0123456789abcdef\"}\n".repeat(256);
    let mut said = 0;
    while said < 16 * 1024 * 1024 && flood.try_says(noise.as_bytes()).is_ok() {
        said += noise.len();
    }
    waiting.bob.says("private alice still here?");
    flood.hears(r#"{"peer":"say","number":1,"text":"still here?"}"#);
    flood.says(r#"{"peer":"heard","number":1}"#);
    waiting.bob.hears("ok");
    let after = waiting.memory();
    assert!(after < before + 8 * 1024, "{before} kB, then {after} kB");
}

#[test]
fn it_goes_on_while_the_server_is_away_also_for_who_comes_then() {
    let mut waiting = Waiting::new();
    waiting.chatd.kill();
    waiting.bob.is_told(&format!("chat: {KILLED}"));
    let mut alice = waiting.comes();
    alice.says(r#"{"peer":"say","number":1,"text":"and the server?"}"#);
    waiting.bob.hears("alice (privately): and the server?");
    alice.hears(r#"{"peer":"heard","number":1}"#);
    waiting.bob.says("private alice gone");
    alice.hears(r#"{"peer":"say","number":1,"text":"gone"}"#);
}

#[test]
fn who_comes_anew_takes_the_place_of_the_old_connection() {
    let mut waiting = Waiting::new();
    let mut first = waiting.comes();
    let mut second = dial(waiting.address, Some(&waiting.alice.identity)).expect("a handshake");
    second.hears(HELLO);
    waiting.bob.hears("* the private conversation with alice is over: they have come anew");
    waiting.bob.hears(UP_WITH_ALICE);
    first.has_ended(End::Goodbye);
    second.says(r#"{"peer":"say","number":1,"text":"me again"}"#);
    waiting.bob.hears("alice (privately): me again");
    assert_eq!(waiting.bobs.chat(&["history"]).out, "");
}

#[test]
fn a_yes_that_is_taken_back_elsewhere_lets_nobody_in_either() {
    let mut waiting = Waiting::new();
    waiting.bobs.chat(&["revoke", "alice"]).is("", "", 0);
    assert_eq!(waiting.alice.server.event("revoked"), json!({"event": "revoked", "user": "bob"}));
    waiting.bob.hears("* alice may not come to you any more: the yes is taken back");
    // It is told before it is done, so a connection may still come about; nobody is at its other end.
    if let Ok(mut stream) = TcpStream::connect_timeout(&waiting.address, Duration::from_secs(5)) {
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said);
        assert_eq!(said, b"");
    }
    // What is begun ends, too.
    waiting.ask();
    let mut alice = waiting.comes();
    waiting.bobs.chat(&["revoke", "alice"]).is("", "", 0);
    waiting.bob.hears("* alice may not come to you any more: the yes is taken back");
    waiting.bob.hears("* the private conversation with alice is over: you have taken back your yes");
    alice.hears(r#"{"peer":"bye"}"#);
    alice.has_ended(End::Goodbye);
}
