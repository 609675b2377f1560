//! Sessions that are logged on to by datagrams: from the first one to the end of a chat, in the clear and inside of TLS.

use super::encrypted::Encrypted;
use super::*;
use crate::hub::challenge::{Challenge, Response, SessionKey};
use crate::hub::credentials::Password;
use crate::net::turn::datagrams::{LOG_ONS_A_SECOND_MAX, LOG_ONS_AT_ONCE_MAX};
use crate::wire::session::glued::connect;
use crate::wire::session::log_on::{FAILURE, FromServer, NOT_ON_LIST};

/// Whoever has logged on: what they begin with, and what they cipher with.
struct LoggedOn {
    challenge: Challenge,
    key: SessionKey,
}

impl World {
    /// Says a datagram. Comes back: what is sent there, whenever it was.
    pub(super) fn datagram(&mut self, from: Endpoint, datagram: &[u8]) -> Vec<Vec<u8>> {
        self.throw(from, datagram);
        self.settle();
        self.sent_to(from)
    }

    /// A datagram comes; nothing happens yet.
    pub(super) fn throw(&mut self, from: Endpoint, datagram: &[u8]) {
        let arrived = &mut self.turn.environment.arrived[usize::from(from.socket)];
        arrived.push_back((from.address, datagram.to_vec()));
        self.turn.note_datagrams(from.socket, true, false);
    }

    /// What was sent there since it was last looked at.
    pub(super) fn sent_to(&mut self, to: Endpoint) -> Vec<Vec<u8>> {
        let (theirs, others) = self.turn.environment.sent.drain(..).partition::<Vec<_>, _>(|(end, _)| *end == to);
        self.turn.environment.sent = others.into();
        theirs.into_iter().map(|(_, datagram)| datagram).collect()
    }

    fn hello(&mut self, from: Endpoint, user: &str) -> Challenge {
        let told = self.datagram(from, format!("HELLO({user})").as_bytes());
        let [told] = &told[..] else { panic!("{} answers", told.len()) };
        let Some(FromServer::Challenge(challenge)) = FromServer::parse(told, None) else { panic!("no challenge") };
        challenge
    }

    fn log_on(&mut self, from: Endpoint, user: &str) -> LoggedOn {
        let challenge = self.hello(from, user);
        let key = SessionKey::of(challenge, &password());
        let told = self.datagram(from, &response(user, challenge, "password"));
        let port = FourDigitPort::new(6001).unwrap();
        let success = FromServer::parse(&told[0], Some(&key));
        assert_eq!((success, told.len()), (Some(FromServer::Success { challenge, port }), 1));
        LoggedOn { challenge, key }
    }

    /// Logs on and connects.
    fn join(&mut self, user: &str) -> Joined {
        let port = 40_000 + NAMES.iter().position(|name| *name == user).unwrap() as u16;
        let LoggedOn { challenge, key } = self.log_on(at(0, port), user);
        let client = self.connect();
        self.say(&client, &connect(challenge, &key));
        self.settle();
        let joined = Joined { client, key };
        assert_eq!(joined.told(), ["CONNECTED\n"]);
        self.pass(PACE);
        joined
    }

    /// Somebody says something that ends by quiet. Comes back: what is told at once.
    fn tell_session(&mut self, joined: &Joined, text: &str) -> Vec<String> {
        self.say(&joined.client, &joined.ciphered(text));
        self.settle();
        self.pass(QUIET);
        let told = joined.told();
        self.pass(PACE);
        told
    }
}

/// A client with a session.
struct Joined {
    client: Client,
    key: SessionKey,
}

impl Joined {
    fn ciphered(&self, text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        self.key.encipher(text, &mut out);
        out
    }

    /// What each write has brought since it was last looked at.
    fn told(&self) -> Vec<String> {
        self.client.chunks().iter().map(|chunk| self.key.decipher(chunk.as_bytes()).unwrap()).collect()
    }
}

pub(super) fn at(socket: u16, port: u16) -> Endpoint {
    Endpoint { socket, address: ([127, 0, 0, 1], port).into() }
}

fn password() -> Password {
    Password::parse("password").unwrap()
}

fn response(user: &str, challenge: Challenge, password: &str) -> Vec<u8> {
    let response = Response::to(challenge, &Password::parse(password).unwrap());
    format!("RESPONSE({user}, {response})").into_bytes()
}

#[test]
fn whoever_logs_on_finds_the_session_and_chats() {
    let mut world = World::new();
    let alice = world.join("alice");
    let bob = world.join("bob");
    let told = world.tell_session(&alice, "CHAT_REQUEST(bob)");
    let [started] = &told[..] else { panic!("{told:?}") };
    assert!(started.starts_with("CHAT_STARTED(") && started.ends_with(", bob)"), "{started}");
    assert_eq!(bob.told(), [started.replace(", bob)", ", alice)")]);
    assert!(world.tell_session(&alice, "hi, bob").is_empty());
    assert_eq!(bob.told(), ["alice: hi, bob"], "it is ciphered for whom it is for");
    let id = &started["CHAT_STARTED(".len()..][..14];
    // A text and what its client says by itself, in one read.
    let glued = [bob.ciphered("bye"), bob.ciphered(&format!("END_REQUEST({id})"))].concat();
    world.say(&bob.client, &glued);
    world.settle();
    world.pass(QUIET);
    assert_eq!(alice.told(), ["bob: bye"]);
    world.pass(PACE);
    assert_eq!(alice.told(), [format!("END_NOTIF({id})")]);
    assert!(bob.client.wire.borrow().given_up_after.is_some(), "its connection is its sign of life");
    world.tell_session(&alice, "LOG OFF");
    assert_eq!(alice.client.closed(), (true, false));
}

#[test]
fn a_broadcast_is_encoded_once_and_ciphered_for_each() {
    let mut world = World::new();
    let sessions = ["alice", "bob", "carol"].map(|user| world.join(user));
    let dave = world.log_in("dave", 0);
    sessions.iter().for_each(|joined| drop(joined.told()));
    world.ask(&dave, "{\"id\":9,\"request\":\"broadcast\",\"text\":\"h\u{e9}llo all\"}\n");
    for joined in &sessions {
        assert_eq!(joined.told(), ["dave: h\u{e9}llo all"]);
    }
}

#[test]
fn what_is_written_in_parts_is_ciphered_as_one() {
    let mut world = World::new();
    let alice = world.join("alice");
    let dave = world.log_in("dave", 0);
    alice.told();
    alice.client.wire.borrow_mut().room = 3;
    world.ask(&dave, &message(9, "alice", "one by one"));
    let mut told = alice.client.told();
    while told.len() < "dave: one by one".len() {
        world.give_room(&alice.client, 3);
        told.push_str(&alice.client.told());
    }
    assert_eq!(alice.key.decipher(told.as_bytes()).unwrap(), "dave: one by one");
}

#[test]
fn a_session_inside_of_tls_is_paced_as_well() {
    let mut world = super::encrypted::world();
    world.turn.admission.plaintext = Scope::Loopback;
    let alice = world.log_on(at(0, 40_000), "alice");
    let mut encrypted = Encrypted::shake(&mut world, &super::encrypted::config());
    let first = String::from_utf8(connect(alice.challenge, &alice.key)).unwrap();
    let decipher = |told: String| alice.key.decipher(told.as_bytes()).unwrap();
    assert_eq!(decipher(encrypted.ask(&mut world, &first)), "CONNECTED\n");
    let dave = world.log_in("dave", 0);
    world.pass(PACE);
    world.ask(&dave, &[message(8, "alice", "one"), message(9, "alice", "two")].concat());
    assert_eq!(decipher(encrypted.hear()), "dave: one");
    world.pass(PACE);
    assert_eq!(decipher(encrypted.hear()), "dave: two");
    let mut off = Vec::new();
    alice.key.encipher("log off", &mut off);
    encrypted.ask(&mut world, std::str::from_utf8(&off).unwrap());
    world.pass(QUIET);
    encrypted.hear();
    assert!(encrypted.ended, "the goodbye is said");
}

#[test]
fn what_a_step_comes_to_is_said_when_it_is_on_disk_or_cannot_be() {
    let mut world = World::new();
    world.turn.environment.keeps_at_once = false;
    let here = at(0, 40_000);
    let challenge = world.hello(here, "alice");
    let wrong = response("alice", challenge, "wrong");
    assert!(world.datagram(here, &wrong).is_empty(), "the counter is not on disk");
    world.persist();
    assert_eq!(world.sent_to(here), [FAILURE]);
    let challenge = world.hello(here, "alice");
    assert!(world.datagram(here, &response("alice", challenge, "wrong")).is_empty());
    let first = world.turn.environment.waiting.drain(..).next().unwrap().number;
    world.turn.environment.completions.push(Completion::Failed { first, error: "the disk fails".to_owned() });
    world.settle();
    assert_eq!(world.sent_to(here), [FAILURE], "counters live in memory then");
}

#[test]
fn a_datagram_that_is_nothing_or_from_elsewhere_gets_no_answer() {
    let mut world = World::with(admission(Scope::Loopback, None), usize::MAX / 2);
    let here = at(0, 40_000);
    for nothing in [&b""[..], b"HELLO", b"HELLO(alice", b"{}", b"[", b"RESPONSE(alice)", b"\xff", &[b'x'; 60_000]] {
        assert!(world.datagram(here, nothing).is_empty(), "{nothing:?}");
    }
    let elsewhere = Endpoint { socket: 0, address: ([10, 0, 0, 1], 40_000).into() };
    assert!(world.datagram(elsewhere, b"HELLO(alice)").is_empty());
    let nowhere = Endpoint { socket: 0, address: ([127, 0, 0, 1], 0).into() };
    assert!(world.datagram(nowhere, b"HELLO(alice)").is_empty());
    assert_eq!(world.datagram(here, b"HELLO(nobody)"), [NOT_ON_LIST]);
    assert!(world.datagram(at(2, 40_000), b"HELLO(alice)").is_empty(), "sessions are not served there");
    assert_eq!(world.datagram(at(1, 40_000), b"HELLO(alice)").len(), 1);
}

#[test]
fn where_no_port_can_be_named_nobody_logs_on() {
    let admission = Admission { session_port: None, ..admission(Scope::Any, None) };
    let mut world = World::with(admission, usize::MAX / 2);
    assert!(world.datagram(at(0, 40_000), b"HELLO(alice)").is_empty());
}

#[test]
fn a_source_is_answered_only_so_often() {
    let mut world = World::new();
    let here = at(0, 40_000);
    (0..2 * LOG_ONS_AT_ONCE_MAX).for_each(|_| world.throw(here, b"HELLO(nobody)"));
    world.settle();
    assert_eq!(world.sent_to(here).len(), LOG_ONS_AT_ONCE_MAX as usize);
    world.pass(Duration::from_secs(1));
    (0..2 * LOG_ONS_AT_ONCE_MAX).for_each(|_| world.throw(here, b"HELLO(nobody)"));
    world.settle();
    assert_eq!(world.sent_to(here).len(), LOG_ONS_A_SECOND_MAX as usize);
}

#[test]
fn whoever_is_not_expected_there_is_not_recognised() {
    let mut world = World::new();
    let alice = world.log_on(at(0, 40_000), "alice");
    let first = connect(alice.challenge, &alice.key);
    let elsewhere = world.connect_by(Door::main(IpAddr::from([127, 0, 0, 2])));
    world.say(&elsewhere, &first);
    world.settle();
    assert_eq!(elsewhere.told(), NOT_UNDERSTOOD);
    let native =
        world.connect_by(Door::Port { address: IpAddr::from([127, 0, 0, 1]), serves: Serves::Only(Protocol::Native) });
    world.say(&native, &first);
    world.settle();
    assert_eq!(native.told(), NOT_UNDERSTOOD);
    let client =
        world.connect_by(Door::Port { address: IpAddr::from([127, 0, 0, 1]), serves: Serves::Only(Protocol::Session) });
    for byte in &first {
        world.say(&client, &[*byte]);
        world.settle();
    }
    assert_eq!(alice.key.decipher(client.told().as_bytes()).unwrap(), "CONNECTED\n");
    assert!(world.turn.expected.is_empty(), "once only");
    let again = world.connect();
    world.say(&again, &first);
    world.settle();
    assert_eq!(again.told(), NOT_UNDERSTOOD);
}

#[test]
fn who_does_not_come_is_not_expected_for_ever() {
    let mut world = World::new();
    world.log_on(at(0, 40_000), "alice");
    assert_eq!(world.turn.expected.len(), 1);
    world.pass(crate::hub::log_on::CONNECT_WITHIN);
    assert!(world.turn.expected.is_empty());
}
