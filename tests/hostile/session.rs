//! What hostile clients of `session` say, by datagrams and on connections, to a server where two users are in a chat: each gets
//! the one reply that there is for it, or none, and changes nothing.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use serde_json::json;

use crate::existing::digest::hex_sha256;
use crate::existing::session_cipher::Cipher;
use crate::existing::session_client::{LogOn, SessionClient};
use crate::existing::{End, Received, receive};
use crate::scene::{NOT_UNDERSTOOD, Plain, Scene};
use crate::support::{Chatd, password};

const NOT_ON_LIST: &str = "Not on subscriber list.\n";
const AUTH_FAIL: &str = "AUTH_FAIL";
/// What one datagram can have, in bytes (RFC 768, and 20 bytes of IPv4).
const DATAGRAM_BYTES_MAX: usize = 65_507;
/// Where nobody else comes from.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 66, 1, 1);

/// A server where alice and bob are in a chat.
struct Stage {
    scene: Scene,
    alice: SessionClient,
    bob: SessionClient,
}

impl Stage {
    fn new() -> Stage {
        let chatd = Chatd::start(&["--durability", "process", "-v"]);
        let connected = |user: &str| SessionClient::connected(chatd.address(), user, password(user));
        let (alice, bob) = (connected("alice"), connected("bob"));
        alice.request_chat("bob");
        alice.expect_chat_with("bob");
        bob.expect_chat_with("alice");
        alice.press_enter();
        bob.press_enter();
        // The bystander is not to be told that carol comes and goes.
        let answer = chatd.log_in_once("carol").ask(json!({"request": "block", "user": "dave"}));
        assert_eq!(answer["reply"], "blocked", "{answer}");
        let mut scene = Scene::around(chatd, 50);
        scene.takes_stock_with(2);
        Stage { scene, alice, bob }
    }

    fn address(&self) -> SocketAddr {
        self.scene.chatd.address()
    }

    /// Somebody who wants to be carol.
    fn carol(&self) -> LogOn {
        LogOn::open(self.address(), "carol", password("carol"))
    }

    /// The log-on of carol up to the connection: the challenge, where it goes on, and what is to be said there first.
    fn half_of_carol(&self) -> (LogOn, String, SocketAddr, Vec<u8>) {
        let carol = self.carol();
        let rand = carol.hello().expect("a challenge");
        let port = carol.respond(&rand).expect("a port");
        let connect = Cipher::new(&rand, password("carol")).apply(&format!("CONNECT({rand})")).into_bytes();
        (carol, rand, SocketAddr::new(self.address().ip(), port), connect)
    }

    /// The two have noticed nothing.
    #[track_caller]
    fn chat_goes_on(&self) {
        self.alice.say("still here");
        self.bob.expect("alice: still here");
        self.bob.say("me too");
        self.alice.expect("bob: me too");
    }

    #[track_caller]
    fn end(self) {
        self.end_with(&[]);
    }

    #[track_caller]
    fn end_with(self, more: &[(&str, u64)]) {
        self.chat_goes_on();
        self.scene.end(more);
    }
}

#[track_caller]
fn hears(log_on: &LogOn, text: &str) {
    assert_eq!(log_on.receive().expect("an answer"), text);
}

/// Everything that came before the end of a connection, however it came.
fn rest(mut stream: &TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a limit");
    loop {
        match receive(stream, 1024) {
            Received::Bytes(bytes) => rest.extend(bytes),
            Received::EndOfFile | Received::Reset => break,
            Received::Silence => panic!("nobody closes after {rest:?}"),
        }
    }
    let _ = stream.flush();
    rest
}

#[test]
fn datagrams_that_are_none_have_no_answer() {
    let stage = Stage::new();
    let stranger = stage.carol();
    let digest = "0".repeat(64);
    for text in [
        "",
        "\0",
        "HELLO",
        "HELLO(",
        "HELLO(carol",
        "HELLO carol)",
        "hello(carol)",
        "HELLO(carol)x",
        " HELLO(carol)",
        "HELLOO(carol)",
        "RESPONSE",
        "RESPONSE(",
        "RESPONSE()",
        "RESPONSE(carol)",
        "RESPONSE(carol, )",
        "RESPONSE(carol, 00)",
        &format!("RESPONSE(carol, {digest}0)"),
        &format!("RESPONSE(carol, {digest}"),
        &format!("RESPONSE(carol, {}g)", &digest[1..]),
        &format!("RESPONSE(carol{digest})"),
        "CHALLENGE(1234567890)",
        "AUTH_SUCCESS(1234567890, 6001)",
        "CONNECT(1234567890)",
        "CHAT_REQUEST(alice)",
        "log off",
        &format!("HELLO({})", "x".repeat(2000)),
        &format!("HELLO({})", "x".repeat(DATAGRAM_BYTES_MAX - "HELLO()".len())),
        &"HELLO(".repeat(DATAGRAM_BYTES_MAX / "HELLO(".len()),
        &"(".repeat(DATAGRAM_BYTES_MAX),
    ] {
        stranger.send(text);
    }
    for bytes in [&b"HELLO(\xff\xfe)"[..], b"HELLO(carol)\xc3", b"\xff", b"\x16\x03\x01\x00\x05", &[0; 1000]] {
        stranger.send_bytes(bytes);
    }
    stage.scene.bystander_is_served(20);
    // The answers come in order: there was none before this one.
    stranger.send("HELLO(nobody)");
    hears(&stranger, NOT_ON_LIST);
    assert!(stranger.has_nothing());
    stage.end();
}

#[test]
fn names_that_nobody_can_have_are_not_on_the_list() {
    let stage = Stage::new();
    let stranger = stage.carol();
    for name in ["", " ", "(", ")", "carol)", "carol, bob", "\0", "\u{1b}[2J", "car\u{f6}l", &"x".repeat(500)] {
        stranger.send(&format!("HELLO({name})"));
        hears(&stranger, NOT_ON_LIST);
    }
    stage.end();
}

#[test]
fn responses_that_answer_nothing() {
    let stage = Stage::new();
    let (carol, elsewhere) = (stage.carol(), LogOn::open_from(ELSEWHERE, stage.address(), "carol", password("carol")));
    let right = |rand: &str, user: &str| {
        format!("RESPONSE({user}, {})", hex_sha256(format!("{rand}{}", password("carol")).as_bytes()))
    };
    // Without a challenge.
    carol.send(&right("1234567890", "carol"));
    hears(&carol, AUTH_FAIL);
    let rand = carol.hello().expect("a challenge");
    // In the name of others.
    for user in ["alice", "nobody", "", "car ol"] {
        carol.send(&right(&rand, user));
        hears(&carol, AUTH_FAIL);
    }
    // From elsewhere, and from another port.
    let neighbour = stage.carol();
    for other in [&elsewhere, &neighbour] {
        other.send(&right(&rand, "carol"));
        hears(other, AUTH_FAIL);
    }
    // None of them has counted or spoilt it.
    assert!(carol.respond(&rand).is_ok());
    // Overheard, and sent from elsewhere when it was right once.
    for other in [&elsewhere, &neighbour] {
        other.send(&right(&rand, "carol"));
        hears(other, AUTH_FAIL);
        other.hello().expect("a challenge");
        other.send(&right(&rand, "carol"));
        hears(other, AUTH_FAIL);
    }
    // Those two were wrong answers to challenges, of one source each.
    stage.end_with(&[("counters", 5)]);
}

#[test]
fn garbage_in_place_of_connect() {
    let stage = Stage::new();
    let (carol, rand, server, connect) = stage.half_of_carol();
    let mut wrong_end = connect.clone();
    *wrong_end.last_mut().expect("bytes") ^= 1;
    let plain = format!("CONNECT({rand})").into_bytes();
    for garbage in [
        plain,
        wrong_end,
        connect[1..].to_vec(),
        [&connect[..5], b"garbage, and not the rest of it"].concat(),
        vec![0xff; 19],
        b"\x7f".repeat(19),
        b"CHAT_REQUEST(alice)".to_vec(),
    ] {
        for address in [server, stage.address()] {
            let mut stranger = Plain::connect(address);
            stranger.say(&garbage);
            assert_eq!(stranger.rest_as_far_as_it_goes(), NOT_UNDERSTOOD, "{:?}", String::from_utf8_lossy(&garbage));
        }
    }
    // It is still expected.
    let client = carol.connect(&rand, server.port()).expect("somebody listens");
    client.expect("CONNECTED\n");
    drop(client);
    stage.end();
}

#[test]
fn the_bytes_of_a_session_are_worth_nothing_a_second_time() {
    let stage = Stage::new();
    let (carol, rand, server, connect) = stage.half_of_carol();
    // From elsewhere, before and after.
    let from_elsewhere = || {
        let mut thief = Plain::connect_from(ELSEWHERE.octets(), server);
        thief.say(&connect);
        assert_eq!(thief.rest_as_far_as_it_goes(), NOT_UNDERSTOOD);
    };
    from_elsewhere();
    let client = carol.connect(&rand, server.port()).expect("somebody listens");
    client.expect("CONNECTED\n");
    from_elsewhere();
    let mut copy = Plain::connect(server);
    copy.say(&connect);
    assert_eq!(copy.rest_as_far_as_it_goes(), NOT_UNDERSTOOD);
    client.expect_nothing_else();
    drop(client);
    // Nor is the answer, once the session has been there.
    let mut copy = Plain::connect(server);
    copy.say(&connect);
    assert_eq!(copy.rest_as_far_as_it_goes(), NOT_UNDERSTOOD);
    stage.end();
}

#[test]
fn what_can_not_be_deciphered_ends_the_session_that_said_it() {
    let stage = Stage::new();
    for bytes in [&b"\xff\xfe\xfd"[..], b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\x80hello", &[0xff; 2000]] {
        let carol = SessionClient::connected(stage.address(), "carol", password("carol"));
        carol.send_bytes(bytes);
        let end = loop {
            match carol.next_or_end() {
                Ok(_told) => {}
                Err(end) => break end,
            }
        };
        assert_eq!(end, End::Reset, "{bytes:x?}");
    }
    stage.end();
}

#[test]
fn one_of_two_in_a_chat_sends_what_can_not_be_deciphered() {
    let stage = Stage::new();
    let carol = SessionClient::connected(stage.address(), "carol", password("carol"));
    let id = stage.alice.chat().expect("a chat").id;
    stage.bob.end_chat();
    stage.alice.expect(&format!("END_NOTIF({id})"));
    carol.request_chat("alice");
    let id = carol.expect_chat_with("alice").id;
    stage.alice.expect_chat_with("carol");
    carol.send_bytes(b"\xff");
    stage.alice.expect(&format!("END_NOTIF({id})"));
    stage.alice.request_chat("bob");
    stage.alice.expect_chat_with("bob");
    stage.bob.expect_chat_with("alice");
    stage.end();
}

#[test]
fn plain_text_where_ciphered_is_due_is_no_command() {
    let stage = Stage::new();
    let carol = SessionClient::connected(stage.address(), "carol", password("carol"));
    for plain in ["CHAT_REQUEST(alice)", "log off", "END_REQUEST(None)", "CONNECT(1234567890)"] {
        carol.send_bytes(plain.as_bytes());
        // It is a text like any other, outside a chat.
        let told = carol.next().text;
        assert!(!told.contains("CHAT_STARTED") && !told.contains("UNREACHABLE"), "{told:?}");
    }
    carol.expect_nothing_else();
    drop(carol);
    stage.end();
}

#[test]
fn a_million_bytes_without_a_pause() {
    let stage = Stage::new();
    let carol = SessionClient::connected(stage.address(), "carol", password("carol"));
    let (_log_on, _rand, server, connect) = stage.half_of_carol();
    let mut stranger = TcpStream::connect(server).expect("connect");
    let much = vec![b'x'; 1 << 20];
    // As somebody who has just logged on, and as somebody who has not.
    let _ = stranger.write_all(&[&connect[..], &much].concat());
    rest(&stranger);
    // Displaced by the one before.
    while carol.next_or_end() != Err(End::Reset) {}
    let mut stranger = TcpStream::connect(server).expect("connect");
    let _ = stranger.write_all(&much);
    assert!(rest(&stranger).len() <= NOT_UNDERSTOOD.len());
    stage.end();
}

#[test]
fn a_flood_of_hellos_from_one_source_is_answered_now_and_then() {
    let stage = Stage::new();
    let flood = UdpSocket::bind((ELSEWHERE, 0)).expect("a port");
    for n in 0..3000 {
        let text = if n % 2 == 0 { "HELLO(alice)" } else { "HELLO(nobody)" };
        flood.send_to(text.as_bytes(), stage.address()).expect("a short datagram");
    }
    stage.scene.bystander_is_served(20);
    // Somebody from another place is let in at once.
    let carol = SessionClient::connected(stage.address(), "carol", password("carol"));
    carol.expect_nothing_else();
    flood.set_nonblocking(true).expect("a mode");
    let mut answers = 0;
    while flood.recv(&mut [0; 100]).is_ok() {
        answers += 1;
    }
    assert!((1..1000).contains(&answers), "{answers}");
    drop(carol);
    stage.end();
}

#[test]
fn a_flood_of_log_ons_from_everywhere_keeps_nobody_out() {
    let stage = Stage::new();
    for n in 0..4000_u16 {
        let [high, low] = n.to_be_bytes();
        let source = Ipv4Addr::new(127, 77, high, low);
        let socket = UdpSocket::bind((source, 0)).expect("a port");
        socket.send_to(b"HELLO(alice)", stage.address()).expect("a short datagram");
        if n % 500 == 0 {
            // Until then there may be no room for one more datagram.
            stage.scene.bystander_is_served(20);
            SessionClient::connected(stage.address(), "carol", password("carol")).expect_nothing_else();
        }
    }
    stage.scene.bystander_is_served(20);
    SessionClient::connected(stage.address(), "carol", password("carol")).expect_nothing_else();
    stage.end();
}

#[test]
fn wrong_answers_from_everywhere_leave_who_is_there_and_where_they_have_been_alone() {
    let stage = Stage::new();
    for n in 0..40 {
        let source = Ipv4Addr::new(127, 78, 0, n + 1);
        let log_on = LogOn::open_from(source, stage.address(), "alice", "wrong");
        let rand = log_on.hello().expect("a challenge");
        log_on.send_response(&rand);
        hears(&log_on, AUTH_FAIL);
    }
    stage.chat_goes_on();
    // A new place is locked out, and the one where she is is not.
    let stranger = LogOn::open_from(ELSEWHERE, stage.address(), "alice", password("alice"));
    let rand = stranger.hello().expect("a challenge");
    stranger.send_response(&rand);
    hears(&stranger, AUTH_FAIL);
    let alice = LogOn::open(stage.address(), "alice", password("alice"));
    let rand = alice.hello().expect("a challenge");
    assert!(alice.respond(&rand).is_ok());
    // Two for each of 30 sources, and one over all of them.
    stage.end_with(&[("counters", 2 * 30 + 1)]);
}

#[test]
fn half_of_a_connect_and_then_silence() {
    let stage = Stage::new();
    let (_carol, _rand, server, connect) = stage.half_of_carol();
    let mut strangers: Vec<Plain> = (1..connect.len()).map(|_| Plain::connect(server)).collect();
    for (stranger, length) in strangers.iter_mut().zip(1..) {
        stranger.say(&connect[..length]);
    }
    stage.scene.bystander_is_served(20);
    drop(strangers);
    stage.end();
}
