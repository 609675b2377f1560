//! What is no chat: bytes that are no line, and other protocols.

use std::io::Write;
use std::time::Duration;

use rustls::AlertDescription;

use crate::scene::{LOG_IN_FIRST, NOT_UNDERSTOOD, Plain, Scene, ends_for};
use crate::support::tls::{APPLICATION, End};

/// Rounds of the bystander that processor time is measured over.
const ROUNDS: u64 = 100;

#[test]
fn five_hundred_and_twelve_bytes_without_a_newline_cost_nothing() {
    let scene = Scene::new();
    let usual = scene.cost_of(ROUNDS);
    let mut strangers: Vec<Plain> = (0..8).map(|_| scene.connect()).collect();
    let mut users: Vec<Plain> = ["alice", "bob"].map(|user| scene.log_in(user)).into();
    for client in strangers.iter_mut().chain(&mut users) {
        client.say(&[b'{'; 512]);
    }
    let cost = scene.cost_of(ROUNDS);
    assert!(cost < 4 * usual + Duration::from_millis(20), "{cost:?}, and {usual:?} without them");
    // A byte more than there may be of it ends them.
    for stranger in &mut strangers {
        stranger.say(&[b'{'; 4096 - 512]);
        assert_eq!(stranger.within(Duration::from_millis(1)), (String::new(), false));
        stranger.say(b"{");
        assert_eq!(stranger.rest(), ends_for("too-much", "too much was sent before the log-in"));
    }
    for user in &mut users {
        user.say(&[b'{'; 16_383 - 512]);
        assert_eq!(user.within(Duration::from_millis(1)), (String::new(), false));
        user.say(b"{");
        assert_eq!(user.rest(), ends_for("too-long", "a request has at most 16384 bytes"));
    }
    // They stay where they are: the server does not wait for them.
    scene.end(&[]);
    drop((strangers, users));
}

/// What a browser can be made to send here, with lines of the chat in it.
fn http() -> Vec<Vec<u8>> {
    let lines = "{\"id\":1,\"request\":\"alive\"}\n".repeat(3);
    let verbs = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
    let requests = verbs.map(|verb| {
        let length = lines.len();
        format!("{verb} / HTTP/1.1\r\nHost: chat\r\nContent-Length: {length}\r\n\r\n{lines}").into_bytes()
    });
    let others = [
        &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"[..],
        b"GET /\r\n",
        b"g",
        b"\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    ];
    requests.into_iter().chain(others.map(<[u8]>::to_vec)).collect()
}

#[test]
fn http_gets_one_line_and_nothing_in_it_is_taken_for_a_request() {
    let scene = Scene::new();
    for bytes in http() {
        let mut browser = scene.connect();
        browser.say(&bytes);
        assert_eq!(browser.rest(), NOT_UNDERSTOOD, "{:?}", String::from_utf8_lossy(&bytes));
        let mut encrypted = scene.connect_encrypted();
        encrypted.send_bytes(&bytes);
        assert_eq!(
            encrypted.rest(),
            (NOT_UNDERSTOOD.to_owned(), End::Goodbye),
            "{:?}",
            String::from_utf8_lossy(&bytes)
        );
    }
    scene.end(&[]);
}

#[test]
fn tls_where_the_chat_has_begun_and_the_chat_where_tls_has() {
    let scene = Scene::new();
    let hello = scene.connector.hello();
    let not_utf8 = ends_for("not-utf8", "a request is UTF-8");
    // A plain connection that goes over to TLS in the middle: the hello is a bad line, as soon as it is one.
    let mut plain = scene.connect();
    plain.say(b"{\"id\":1,\"request\":\"online\"}\n");
    plain.hears(LOG_IN_FIRST);
    plain.say(&[&hello[..3], b"\xff\n"].concat());
    assert_eq!(plain.rest(), not_utf8);
    // TLS within TLS.
    let mut encrypted = scene.connect_encrypted();
    encrypted.send_bytes(&hello);
    assert_eq!(encrypted.rest(), (NOT_UNDERSTOOD.to_owned(), End::Goodbye));
    let mut encrypted = scene.connect_encrypted();
    encrypted.send_bytes(b"{\"id\":1,\"request\":\"online\"}\n");
    assert_eq!(format!("{}\n", encrypted.line()).len(), LOG_IN_FIRST.len());
    encrypted.send_bytes(&[&hello[..3], b"\xff\n"].concat());
    assert_eq!(encrypted.rest(), (not_utf8, End::Goodbye));
    // Plain lines within TLS, after the handshake and in the middle of it.
    let mut bare = scene.connect_encrypted();
    bare.tls.sock.write_all(b"{\"id\":1,\"request\":\"online\"}\n").expect("write");
    assert_eq!(bare.rest(), (String::new(), End::Alert(AlertDescription::DecodeError)));
    let mut half = scene.connect();
    half.say(&[&hello[..], b"{\"id\":1,\"request\":\"online\"}\n"].concat());
    let flight = half.rest_of_bytes();
    assert!(!flight.windows(5).any(|part| part == b"error" || part == b"chatd"), "a line in the midst of TLS");
    // The keys are there by then, so the alert is encrypted: two bytes, their type and a tag.
    let alert = flight.len() - 5 - 2 - 1 - 16;
    assert_eq!(flight[alert..alert + 5], [APPLICATION, 3, 3, 0, 19], "an alert is the last");
    drop((plain, encrypted, bare, half));
    scene.end(&[]);
}
