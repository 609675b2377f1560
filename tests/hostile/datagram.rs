//! What hostile clients of `datagram` say to a server where two users have logged in by it: each datagram gets the one reply that
//! there is for it, or none, and changes nothing.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use serde_json::json;

use crate::existing::datagram_client::{DatagramClient, Habits, Manner};
use crate::existing::datagram_message::{PROBE, WRONG_DIGEST, sealed};
use crate::existing::digest::hex_sha256;
use crate::existing::python::{Literal, Python};
use crate::scene::Scene;
use crate::support::{Chatd, password};

const GREETING: &str = "Greetings from the Chat Room!";
/// What one datagram can have, in bytes (RFC 768, and 20 bytes of IPv4).
const DATAGRAM_BYTES_MAX: usize = 65_507;
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 66, 2, 1);
const NOBODY: &str = "nobody-at-all";

struct Stage {
    scene: Scene,
    alice: DatagramClient,
    bob: DatagramClient,
}

impl Stage {
    fn new() -> Stage {
        let chatd = Chatd::start(&["--durability", "process", "-v", "--registration", "off"]);
        let alice = DatagramClient::logged_in(chatd.address(), "alice", password("alice"));
        let bob = DatagramClient::logged_in(chatd.address(), "bob", password("bob"));
        alice.expect("ALERT", "bob is online!");
        // The bystander is not to be told that carol comes and goes.
        let answer = chatd.log_in_once("carol").ask(json!({"request": "block", "user": "dave"}));
        assert_eq!(answer["reply"], "blocked", "{answer}");
        let mut scene = Scene::around(chatd, 50);
        for user in [&alice, &bob] {
            user.expect("ALERT", "dave is online!");
        }
        scene.takes_stock();
        Stage { scene, alice, bob }
    }

    fn address(&self) -> SocketAddr {
        self.scene.chatd.address()
    }

    /// Somebody who has not logged in.
    fn stranger(&self, user: &str) -> DatagramClient {
        DatagramClient::open_from(ELSEWHERE, self.address(), user, Habits::of(Python::Two))
    }

    /// alice and bob have noticed nothing, and reach each other.
    #[track_caller]
    fn nobody_has_noticed(&self) {
        for (from, to, sender, receiver) in
            [(&self.alice, &self.bob, "alice", "bob"), (&self.bob, &self.alice, "bob", "alice")]
        {
            from.message(receiver, "still here");
            to.wait_for("MESSAGE_EXCHANGE", &format!("Private message from {sender}: still here"));
            from.wait_for("ACKNOWLEDGEMENT", &format!("Message received by {receiver}"));
        }
    }

    #[track_caller]
    fn end(self) {
        self.end_with(&[]);
    }

    #[track_caller]
    fn end_with(self, more: &[(&str, u64)]) {
        self.nobody_has_noticed();
        self.scene.end(more);
    }
}

/// A list of this dict and the right digest.
fn signed(dict: &str) -> String {
    format!("[{dict}, '{}']", hex_sha256(dict.as_bytes()))
}

fn request(command: &str, message_type: &str, entries: &[(&str, &str)]) -> String {
    let python = Python::Two;
    let body = Literal::Dict(entries.iter().map(|(key, value)| (python.text(key), python.text(value))).collect());
    sealed(python, command, message_type, python.text(""), body)
}

fn log_in(user: &str, password: &str) -> String {
    let digest = hex_sha256(password.as_bytes());
    request("LOGIN", "INITIATE_SESSION", &[("username", user), ("password", &digest)])
}

fn say(user: &str, to: &str, text: &str) -> String {
    let entries = [("sender_username", user), ("receiver_username", to), ("text", text)];
    request("SEND_MESSAGE", "MESSAGE_EXCHANGE", &entries)
}

/// What is no literal of a message at all.
fn malformed() -> Vec<Vec<u8>> {
    let header = "{'command': 'CONTACTS', 'message_type': 'DISPLAY_CONTACTS', 'recipient_data': ''}";
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(1000), close.repeat(1000));
    let right = say("alice", "bob", "evil");
    let mut texts = vec![
        "[".to_owned(),
        "[]".to_owned(),
        "[[]]".to_owned(),
        "[{}".to_owned(),
        "[{}, ".to_owned(),
        "[1, 2]".to_owned(),
        "[None, None]".to_owned(),
        "['', '']".to_owned(),
        "[__import__('os').system('true'), '']".to_owned(),
        format!("[{{'body': __import__('os').getcwd(), 'header': {header}}}, '']"),
        format!("[{{'body': [x for x in ()], 'header': {header}}}, '']"),
        deep("[", "]"),
        deep("[{'body': ", "}]"),
        deep("[(", ")]"),
        format!("[{{'body': {}, 'header': {header}}}, '']", deep("(", ",)")),
        "[".repeat(DATAGRAM_BYTES_MAX),
        format!("['{}", "x".repeat(DATAGRAM_BYTES_MAX - 2)),
        format!("[{{'a': '{}'}}, '']", "\\x41".repeat(10_000)),
        format!("[{}1]", "0, ".repeat(20_000)),
        signed("[]"),
        signed("{}"),
        signed(&format!("{{'header': {header}}}")),
        signed(&format!("{{'body': [], 'header': {header}}}")),
        request("", "", &[]),
        request("CONTACTS", "ACKNOWLEDGEMENT", &[]),
        request("LOGIN", "INITIATE_SESSION", &[]),
        request("LOGIN", "INITIATE_SESSION", &[("username", "alice"), ("password", "wonderland")]),
        request("SEND_MESSAGE", "MESSAGE_EXCHANGE", &[("text", "evil")]),
    ];
    texts.extend([1, right.len() / 2, right.len() - 2, right.len() - 1].map(|length| right[..length].to_owned()));
    let mut all: Vec<Vec<u8>> = texts.into_iter().map(String::into_bytes).collect();
    all.extend([&b"[\xff\xfe]"[..], b"[{'body': '\xc3\xa9'}, '']", b"[\0]", b"[{'a': 1}, '\n']"].map(<[u8]>::to_vec));
    all
}

#[test]
fn what_is_malformed_has_no_answer_whoever_says_it() {
    let stage = Stage::new();
    let stranger = stage.stranger("carol");
    for datagram in malformed() {
        stranger.send_bytes(&datagram);
        stage.alice.send_bytes(&datagram);
    }
    stage.scene.bystander_is_served(20);
    // The answers come in order: there was none before these.
    stranger.send(PROBE);
    stranger.expect("ERROR", WRONG_DIGEST);
    stage.alice.message(NOBODY, "hello?");
    let told = stage.alice.next();
    assert!(told.body.contains(NOBODY), "{told:?}");
    stage.end();
}

#[test]
fn wrong_digests_are_told_a_few_times_a_second() {
    let stage = Stage::new();
    let stranger = stage.stranger("carol");
    let right = say("alice", "bob", "evil");
    let (dict, _) = right[1..].rsplit_once(", '").expect("a digest");
    for n in 0..500 {
        stranger.send(&match n % 5 {
            0 => PROBE.to_owned(),
            1 => right.replace("evil", "EVIL"),
            2 => format!("[{dict}, '{}']", "0".repeat(64)),
            3 => format!("[{dict}, '{}']", "x".repeat(10)),
            _ => format!("[{dict}, '']"),
        });
    }
    stage.scene.bystander_is_served(20);
    let answers = stranger.datagrams();
    assert!((1..20).contains(&answers.len()), "{}", answers.len());
    assert!(answers.iter().all(|answer| answer.len() <= right.len() && answer.contains(WRONG_DIGEST)));
    stage.end();
}

#[test]
fn nothing_that_is_said_in_the_name_of_another_counts() {
    let stage = Stage::new();
    let stranger = stage.stranger("carol");
    let evil = [
        say("alice", "bob", "evil"),
        say("dave", "bob", "evil"),
        say("carol", "bob", "evil"),
        say("", "bob", "evil"),
        say("nobody", "bob", "evil"),
        request("SEND_ALL_MESSAGE", "MESSAGE_EXCHANGE", &[("sender_username", "alice"), ("text", "evil")]),
        request("", "ACKNOWLEDGEMENT", &[("username", "alice"), ("text", "evil")]),
        request("LOGOUT", "DESTROY_SESSION", &[]),
        request("CONTACTS", "DISPLAY_CONTACTS", &[]),
    ];
    for datagram in &evil {
        stranger.send(datagram);
    }
    // Who has logged in speaks for nobody else either.
    let of_others = |datagram: &&String| datagram.contains("'sender_username': ") && !datagram.contains(": 'alice'");
    for datagram in evil.iter().filter(of_others) {
        stage.alice.send(datagram);
    }
    stage.alice.send(&say("bob", "bob", "evil"));
    stage.alice.message(NOBODY, "hello?");
    while !stage.alice.next().body.contains(NOBODY) {}
    stranger.send(&log_in("carol", "wrong"));
    stage.scene.bystander_is_served(20);
    for client in [&stage.alice, &stage.bob] {
        assert!(!client.datagrams().concat().contains("evil"));
    }
    for answer in stranger.datagrams() {
        assert!(answer.contains("'ERROR'") && !answer.contains("is online!"), "{answer}");
    }
    stage.end_with(&[("counters", 3)]);
}

#[test]
fn an_acknowledgement_from_elsewhere_acknowledges_nothing() {
    let stage = Stage::new();
    stage.bob.set_manner(Manner::NeverAcknowledges);
    stage.alice.message("bob", "hello");
    stage.bob.expect("MESSAGE_EXCHANGE", "Private message from alice: hello");
    let acknowledgement = request("", "ACKNOWLEDGEMENT", &[("username", "alice"), ("text", "Message received by bob")]);
    let neighbour = DatagramClient::open(stage.address(), "bob", Habits::of(Python::Two));
    let stranger = stage.stranger("bob");
    for other in [&stranger, &neighbour] {
        other.send(&acknowledgement);
    }
    // So a copy comes.
    stage.bob.expect("MESSAGE_EXCHANGE", "Private message from alice: hello");
    assert!(!stage.alice.datagrams().concat().contains("Message received"));
    stage.bob.set_manner(Manner::Acknowledges);
    stage.bob.acknowledge("alice");
    stage.alice.expect("ACKNOWLEDGEMENT", "Message received by bob");
    stage.end();
}

#[test]
fn acknowledgements_of_what_was_never_said() {
    let stage = Stage::new();
    for n in 0..500 {
        for name in ["bob", "alice", "dave", "nobody", ""] {
            let text = format!("I say so {n} times");
            stage.alice.send(&request("", "ACKNOWLEDGEMENT", &[("username", name), ("text", &text)]));
        }
    }
    stage.scene.bystander_is_served(20);
    assert!(!stage.bob.datagrams().concat().contains("I say so"));
    stage.alice.message(NOBODY, "hello?");
    while !stage.alice.next().body.contains(NOBODY) {}
    stage.end();
}

#[test]
fn a_flood_of_wrong_log_ins_touches_nobody_who_is_there() {
    let stage = Stage::new();
    let sockets: Vec<UdpSocket> = (0..20).map(|_| UdpSocket::bind((ELSEWHERE, 0)).expect("a port")).collect();
    for n in 0..400 {
        let user = ["alice", "bob", "carol", "nobody", "server"][n % 5];
        let datagram = log_in(user, &format!("guess {n}"));
        sockets[n % sockets.len()].send_to(datagram.as_bytes(), stage.address()).expect("a short datagram");
    }
    stage.scene.bystander_is_served(20);
    stage.nobody_has_noticed();
    // Where they come from they are locked out, and nowhere else.
    let alice = stage.stranger("alice");
    alice.log_in(password("alice"));
    stage.scene.bystander_is_served(20);
    assert!(!alice.datagrams().concat().contains(GREETING));
    let carol = DatagramClient::logged_in(stage.address(), "carol", password("carol"));
    for user in [&stage.alice, &stage.bob] {
        user.expect("ALERT", "carol is online!");
    }
    carol.log_out();
    for user in [&stage.alice, &stage.bob] {
        assert!(user.next().body.contains("carol"));
    }
    // alice, bob, carol and nobody of that source, the source itself, and each name over all sources.
    let Stage { mut scene, .. } = stage;
    let counters = scene.counts()["counters"].as_u64().expect("a count");
    assert!((4..=9).contains(&counters), "{counters}");
    scene.end(&[("counters", counters)]);
}

#[test]
fn a_flood_of_right_log_ins_is_one_session_at_a_time() {
    let stage = Stage::new();
    let flood: Vec<DatagramClient> =
        (0..50).map(|_| DatagramClient::open(stage.address(), "carol", Habits::of(Python::Two))).collect();
    for client in &flood {
        client.log_in(password("carol"));
    }
    for client in &flood {
        client.wait_for("GREETING", GREETING);
    }
    stage.alice.message("carol", "which of you?");
    stage.alice.wait_for("ACKNOWLEDGEMENT", "Message received by carol");
    let heard = flood.iter().filter(|client| client.datagrams().concat().contains("which of you?")).count();
    assert_eq!(heard, 1);
    let last = flood.iter().find(|client| client.datagrams().concat().contains("which of you?")).expect("one");
    last.log_out();
    stage.bob.expect("ALERT", "carol is online!");
    while !stage.bob.next().body.contains("carol") {}
    stage.bob.message("alice", "she is gone");
    stage.alice.wait_for("MESSAGE_EXCHANGE", "Private message from bob: she is gone");
    stage.bob.expect("ACKNOWLEDGEMENT", "Message received by alice");
    stage.end();
}

#[test]
fn a_wrong_log_in_from_the_address_of_who_is_there_ends_nothing() {
    let stage = Stage::new();
    for user in ["bob", "alice", "nobody", "dave"] {
        stage.alice.send(&log_in(user, "wrong"));
        assert_eq!(stage.alice.next().message_type, "ERROR", "{user}");
    }
    stage.nobody_has_noticed();
    let Stage { mut scene, .. } = stage;
    let counters = scene.counts()["counters"].as_u64().expect("a count");
    scene.end(&[("counters", counters)]);
}

#[test]
fn whoever_logs_in_and_out_again_and_again_leaves_nothing_behind() {
    let stage = Stage::new();
    let carol = DatagramClient::open(stage.address(), "carol", Habits::of(Python::Two));
    for _ in 0..50 {
        carol.log_in(password("carol"));
        carol.expect("GREETING", GREETING);
        carol.log_out();
    }
    let presences = |client: &DatagramClient| {
        for _ in 0..50 {
            client.expect("ALERT", "carol is online!");
            assert!(client.next().body.contains("carol"));
        }
    };
    presences(&stage.alice);
    presences(&stage.bob);
    stage.end();
}

#[test]
fn a_flood_of_datagrams_starves_nobody() {
    let stage = Stage::new();
    let address = stage.address();
    let flood = std::thread::spawn(move || {
        let socket = UdpSocket::bind((ELSEWHERE, 0)).expect("a port");
        let large = "[".repeat(8000);
        for n in 0..30_000 {
            let datagram = match n % 3 {
                0 => PROBE,
                1 => "HELLO(alice)",
                _ => &large,
            };
            let _ = socket.send_to(datagram.as_bytes(), address);
        }
    });
    stage.scene.bystander_is_served(100);
    flood.join().expect("a flood");
    // What has come by then has been read, so there is room for what is said now.
    stage.scene.bystander_is_served(100);
    stage.end();
}
