//! chatd's TLS, tried by a client that shares no code with it: what works, and what is refused; nobody else notices, and
//! nothing is left behind.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use rustls::client::{Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, HandshakeKind, NamedGroup, ProtocolVersion};
use serde_json::{Value, json};
use support::tls::{
    ALERT, APPLICATION, Connector, End, HANDSHAKE, PLUS, RESUME, RESUME_PLUS, Secret, TlsClient, UNBOUND, dial, record,
};
use support::{Chatd, Client, LIMIT, password};

/// A server with two bystanders, one encrypted and one not, whose sessions must not notice anything.
struct Scene {
    chatd: Chatd,
    connector: Connector,
    dave: Client,
    carol: TlsClient,
    descriptors: usize,
}

impl Scene {
    fn new() -> Scene {
        Scene::with(&["--memory"])
    }

    fn with(arguments: &[&str]) -> Scene {
        let chatd = Chatd::start(arguments);
        let connector = Connector::new();
        let mut carol = connector.connect(chatd.address());
        carol.log_in("carol", None);
        let mut dave = chatd.log_in_once("dave");
        // The store opens what it reads history with when it is first asked.
        assert_eq!(dave.ask(json!({"request": "history"}))["reply"], "history");
        let descriptors = descriptors(&chatd);
        Scene { chatd, connector, dave, carol, descriptors }
    }

    fn connect(&self) -> TlsClient {
        self.connector.connect(self.chatd.address())
    }

    fn log_in(&self, user: &str) -> TlsClient {
        let mut client = self.connect();
        client.log_in(user, None);
        client
    }

    fn dial(&self) -> TcpStream {
        dial(self.chatd.address())
    }

    /// Everything that these bytes bring from the server, up to its close.
    #[track_caller]
    fn bytes(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = self.dial();
        stream.write_all(bytes).expect("write");
        let rest = rest(&mut stream);
        drop(stream);
        self.settle();
        rest
    }

    #[track_caller]
    fn bystanders_are_served(&mut self) {
        self.dave.nothing_but_alive();
        self.carol.nothing_but_alive();
    }

    /// The bystanders have heard nothing, and the server holds nothing that it did not hold before.
    #[track_caller]
    fn settle(&mut self) {
        self.bystanders_are_served();
        let end = Instant::now() + LIMIT;
        while descriptors(&self.chatd) != self.descriptors {
            assert!(Instant::now() < end, "a descriptor is left behind");
            std::thread::yield_now();
        }
        // Not because one of them has gone.
        self.bystanders_are_served();
    }
}

fn descriptors(chatd: &Chatd) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", chatd.pid())).expect("proc").count()
}

/// Long before the time for the first request is over: the server closes at once, or not in this time.
const AT_ONCE: Duration = Duration::from_secs(10);

/// Everything up to the close, which comes at once.
#[track_caller]
fn rest(stream: &mut TcpStream) -> Vec<u8> {
    stream.set_read_timeout(Some(AT_ONCE)).expect("a limit");
    let mut rest = Vec::new();
    let result = stream.read_to_end(&mut rest);
    assert!(result.is_ok(), "not closed at once: {result:?} after {rest:x?}");
    rest
}

fn fatal(alert: AlertDescription) -> Vec<u8> {
    record(ALERT, &[2, alert.into()])
}

/// Whether nothing has come so far, and the connection is open.
fn is_silent(stream: &mut TcpStream) -> bool {
    stream.set_nonblocking(true).expect("a mode");
    let result = stream.read(&mut [0]);
    stream.set_nonblocking(false).expect("a mode");
    matches!(result, Err(error) if error.kind() == ErrorKind::WouldBlock)
}

#[test]
fn both_mechanisms_log_in_and_messages_go_both_ways() {
    let mut scene = Scene::new();
    for manner in [PLUS, UNBOUND] {
        let mut alice = scene.connect();
        assert_eq!(alice.tls.conn.protocol_version(), Some(ProtocolVersion::TLSv1_3));
        let answer = alice.exchange("alice", manner, Secret::Password(password("alice")), Some(1));
        assert_eq!((&answer["reply"], &answer["user"]), (&json!("logged-in"), &json!("alice")), "{answer}");
        alice.take_token();
        let mut bob = scene.chatd.connect();
        bob.log_in("bob", Some(2));
        assert_eq!(alice.event("online"), json!({"event": "online", "user": "bob"}));
        let sent = alice.ask(json!({"request": "message", "to": "bob", "text": "hi \u{1f512}"}));
        assert_eq!((&sent["reply"], &sent["reach"]), (&json!("accepted"), &json!("online")), "{sent}");
        let got = bob.event("message");
        assert_eq!(
            (&got["from"], &got["text"], &got["number"]),
            (&json!("alice"), &json!("hi \u{1f512}"), &sent["number"])
        );
        let sent = bob.ask(json!({"request": "message", "to": "alice", "text": "in the clear"}));
        let got = alice.line();
        assert_eq!(
            (&got["from"], &got["text"], &got["number"]),
            (&json!("bob"), &json!("in the clear"), &sent["number"])
        );
        bob.ask(json!({"request": "acknowledge", "number": got["number"]}));
        alice.ask(json!({"request": "acknowledge", "number": got["number"]}));
        drop((alice, bob));
        scene.settle();
    }
}

#[test]
fn a_wrong_password_and_a_y_are_refused() {
    let mut scene = Scene::new();
    let mut client = scene.connect();
    let wrong = client.exchange("alice", PLUS, Secret::Password("builder"), None);
    assert_eq!(wrong["error"], "not-authenticated", "{wrong}");
    for (mechanism, header, code) in [
        ("SCRAM-SHA-256", "y,,", "bad-request"),
        ("SCRAM-SHA-256-PLUS", "y,,", "bad-request"),
        ("SCRAM-SHA-256-PLUS", "n,,", "bad-request"),
        ("SCRAM-SHA-256", "p=tls-exporter,,", "bad-request"),
        ("SCRAM-SHA-256-PLUS", "p=tls-unique,,", "bad-request"),
        ("SCRAM-SHA-256-PLUS", "p=tls-exporter,a=bob,", "bad-request"),
        ("RESUME-SHA-256", "y,,", "bad-request"),
        ("RESUME-SHA-256-PLUS", "y,,", "bad-request"),
    ] {
        let device = "01".repeat(16);
        let message = format!("{header}n=alice,r=abc");
        let request = json!({"request": "log-in", "mechanism": mechanism, "message": message, "device": device});
        let answer = client.ask(request);
        assert_eq!(answer["error"], code, "{mechanism} {header}: {answer}");
    }
    client.log_in("alice", None);
    drop(client);
    scene.settle();
}

#[test]
fn a_bound_log_in_needs_tls() {
    let mut scene = Scene::new();
    let mut client = scene.chatd.connect();
    for mechanism in ["SCRAM-SHA-256-PLUS", "RESUME-SHA-256-PLUS"] {
        let message = "p=tls-exporter,,n=alice,r=abc";
        let device = "01".repeat(16);
        let request = json!({"request": "log-in", "mechanism": mechanism, "message": message, "device": device});
        assert_eq!(client.ask(request)["error"], "needs-tls");
    }
    drop(client);
    scene.settle();
}

#[test]
fn the_first_bytes_may_come_one_at_a_time() {
    let mut scene = Scene::new();
    let mut stream = scene.dial();
    let mut session = scene.connector.session();
    let mut flight = Vec::new();
    session.write_tls(&mut flight).expect("a vector");
    for byte in flight {
        stream.write_all(&[byte]).expect("write");
    }
    while session.is_handshaking() {
        session.read_tls(&mut stream).expect("read");
        session.process_new_packets().expect("TLS");
    }
    let mut flight = Vec::new();
    session.write_tls(&mut flight).expect("a vector");
    for byte in flight {
        stream.write_all(&[byte]).expect("write");
    }
    let mut client = TlsClient::of(rustls::StreamOwned::new(session, stream));
    client.log_in("alice", None);
    client.nothing_but_alive();
    drop(client);
    scene.settle();
}

#[test]
fn an_older_tls_gets_an_alert() {
    // A ClientHello of TLS 1.2 (RFC 5246, section 7.4.1.2), with two groups and two signature schemes.
    let mut hello = b"\x03\x03".to_vec();
    hello.extend([0x55; 32]);
    hello.extend(b"\x00\x00\x04\xc0\x2f\xc0\x2b\x01\x00");
    let extensions =
        b"\x00\x0a\x00\x06\x00\x04\x00\x1d\x00\x17\x00\x0b\x00\x02\x01\x00\x00\x0d\x00\x06\x00\x04\x04\x03\x08\x04";
    hello.extend(u16::try_from(extensions.len()).expect("short").to_be_bytes());
    hello.extend(extensions);
    let message = [&[1, 0, 0, u8::try_from(hello.len()).expect("short")], &hello[..]].concat();
    let mut scene = Scene::new();
    assert_eq!(scene.bytes(&record(HANDSHAKE, &message)), fatal(AlertDescription::ProtocolVersion));
}

#[test]
fn what_is_no_client_hello_gets_an_alert_and_a_close() {
    let mut scene = Scene::new();
    let hello = scene.connector.hello();
    for (bytes, alert) in [
        (record(HANDSHAKE, b"\x01\x00\x00\x05hello"), Some(AlertDescription::DecodeError)),
        (record(HANDSHAKE, b"\x14\x00\x00\x05hello"), Some(AlertDescription::UnexpectedMessage)),
        // A record that is longer than records are (RFC 8446, section 5.2).
        (b"\x16\x03\x01\xff\xff".to_vec(), None),
        // Requests before the handshake is complete, and a type of record that there is not.
        ([&hello[..], &record(APPLICATION, b"{\"id\":1,\"request\":\"alive\"}\n")].concat(), None),
        ([&hello[..], &record(99, b"x")].concat(), None),
        ([&hello[..], b"\xff\xff\xff\xff\xff\xff"].concat(), None),
    ] {
        let told = scene.bytes(&bytes);
        match alert {
            Some(alert) => assert_eq!(told, fatal(alert)),
            // Behind the server's flight the alert is encrypted.
            None => {
                let last = records(&told).pop().expect("an alert");
                assert!(matches!(last[..], [ALERT, 3, 3, 0, 2, 2, _] | [APPLICATION, 3, 3, 0, 19, ..]), "{told:x?}");
            }
        }
    }
}

/// The records of what a server says, as they are on the wire.
fn records(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    while let [_, 3, 3, high, low, ..] = bytes {
        let (record, after) = bytes.split_at(5 + usize::from(u16::from_be_bytes([*high, *low])));
        records.push(record.to_vec());
        bytes = after;
    }
    assert!(bytes.is_empty(), "what is no record: {bytes:x?}");
    records
}

#[test]
fn a_handshake_has_4096_bytes_and_no_more() {
    let mut scene = Scene::new();
    let mut stream = scene.dial();
    // The beginning of a message that says it has 61,440 bytes, in two records that are whole.
    let mut first = b"\x01\x00\xf0\x00".to_vec();
    first.resize(2043, 0);
    stream.write_all(&record(HANDSHAKE, &first)).expect("write");
    stream.write_all(&record(HANDSHAKE, &[0; 2043])).expect("write");
    for _ in 0..10 {
        scene.bystanders_are_served();
    }
    assert!(is_silent(&mut stream), "4096 bytes are allowed");
    stream.write_all(&[HANDSHAKE]).expect("write");
    let told = rest(&mut stream);
    assert!(told.len() <= 7 && told.first().is_none_or(|kind| *kind == ALERT), "{told:x?}");
    drop(stream);
    scene.settle();
    // Small records don't help, and neither do some of the length that nobody finishes.
    let mut many = record(HANDSHAKE, &first[..4]);
    many.extend(record(HANDSHAKE, &[0]).repeat(700));
    for bytes in [many, [b"\x16\x03\x01\x3f\xff", &[0; 4100][..]].concat()] {
        let told = scene.bytes(&bytes);
        assert!(told.len() <= 7 && told.first().is_none_or(|kind| *kind == ALERT), "{told:x?}");
    }
}

#[test]
fn many_handshakes_that_stop_in_the_middle_disturb_nobody() {
    let mut scene = Scene::new();
    let hello = scene.connector.hello();
    let mut alice = scene.log_in("alice");
    let stopped: Vec<TcpStream> = (0..200)
        .map(|number| {
            let mut stream = scene.dial();
            // Some have said all that they say before the server answers, some a part of it.
            let length = if number % 4 == 0 { hello.len() } else { 1 + number * 7 % (hello.len() - 1) };
            stream.write_all(&hello[..length]).expect("write");
            if number % 20 == 0 {
                let sent = alice.ask(json!({"request": "message", "to": "bob", "text": "undisturbed"}));
                assert_eq!(sent["reply"], "accepted");
                scene.bystanders_are_served();
            }
            stream
        })
        .collect();
    assert_eq!(scene.log_in("bob").kind(), HandshakeKind::Resumed);
    drop((alice, stopped));
    scene.settle();
}

#[test]
fn tls_within_tls_and_other_protocols_within_it_are_refused() {
    let mut scene = Scene::new();
    let hello = scene.connector.hello();
    for bytes in [&hello[..], b"\x16\x03\x01", b"\x16\x03", b"\x16", b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0\0", b"\xff"] {
        let mut client = scene.connect();
        client.send_bytes(bytes);
        let (line, end) = client.rest();
        assert_eq!(end, End::Goodbye);
        assert!(line.starts_with("chatd: ") && line.ends_with('\n') && line.lines().count() == 1, "{line:?}");
        drop(client);
        scene.settle();
    }
}

#[test]
fn a_resumed_session_is_bound_anew() {
    let mut scene = Scene::new();
    let first = scene.log_in("alice");
    let mut second = scene.connect();
    assert_eq!((first.kind(), second.kind()), (HandshakeKind::Resumed, HandshakeKind::Resumed), "carol was first");
    assert_ne!(first.exporter(), second.exporter());
    let begun = second.begin("alice", PLUS, None);
    let answer = second.finish(&begun, Secret::Password(password("alice")), first.exporter());
    assert_eq!(answer["error"], "somebody-in-between", "{answer}");
    second.log_in("alice", None);
    drop((first, second));
    scene.settle();
    let fresh = Connector::new();
    assert_eq!(fresh.connect(scene.chatd.address()).kind(), HandshakeKind::Full);
}

#[test]
fn a_wrong_password_for_another_connection_is_a_wrong_password() {
    let mut scene = Scene::new();
    let mut client = scene.connect();
    let begun = client.begin("alice", PLUS, None);
    let answer = client.finish(&begun, Secret::Password("builder"), [7; 32]);
    assert_eq!(answer["error"], "not-authenticated", "{answer}");
    // The right one does not count as wrong, however often.
    for _ in 0..5 {
        let begun = client.begin("bob", PLUS, None);
        let answer = client.finish(&begun, Secret::Password(password("bob")), [7; 32]);
        assert_eq!(answer["error"], "somebody-in-between", "{answer}");
        client = scene.connect();
    }
    client.log_in("bob", None);
    drop(client);
    scene.settle();
}

#[test]
fn a_log_out_and_the_end_of_the_server_are_told_with_a_goodbye() {
    let mut scene = Scene::new();
    let mut client = scene.log_in("alice");
    let id = client.request(json!({"request": "log-out"}));
    let (answer, end) = client.rest();
    assert_eq!((answer, end), (format!("{}\n", json!({"id": id, "reply": "logged-out"})), End::Goodbye));
    drop(client);
    scene.settle();
    let mut client = scene.log_in("alice");
    assert!(scene.chatd.stop().success());
    let (closing, end) = client.rest();
    assert!(closing.contains("\"closing\"") && closing.contains("shutdown"), "{closing}");
    assert_eq!(end, End::Goodbye);
}

#[test]
fn a_violation_is_told_and_ends_with_a_goodbye() {
    let mut scene = Scene::new();
    for (bytes, code) in
        [(&b"{]\n"[..], "not-json"), (b"{\"request\":\"\xff\"}\n", "not-utf8"), (&[b'{'; 5000], "too-much")]
    {
        let mut client = scene.connect();
        client.send_bytes(bytes);
        let (line, end) = client.rest();
        assert_eq!(serde_json::from_str::<Value>(&line).expect("one line")["error"], code);
        assert_eq!(end, End::Goodbye);
        drop(client);
        scene.settle();
    }
}

#[test]
fn what_was_asked_before_a_goodbye_is_answered() {
    let mut scene = Scene::new();
    for count in [1, 3, 64, 65, 200, 1000] {
        let mut client = scene.log_in("alice");
        let requests: String = (0..count).map(|id| format!("{{\"id\":{id},\"request\":\"alive\"}}\n")).collect();
        client.send_and_say_goodbye(requests.as_bytes());
        let expected: String = (0..count).map(|id| format!("{}\n", json!({"id": id, "reply": "alive"}))).collect();
        let (answers, end) = client.rest();
        assert_eq!((answers.lines().count(), end), (count, End::Goodbye));
        assert_eq!(answers, expected);
        drop(client);
        scene.settle();
    }
    // The same when the connection itself is half closed with it.
    let mut client = scene.log_in("alice");
    let request = json!({"id": 1, "request": "message", "to": "bob", "text": "hi"});
    client.send_and_say_goodbye(format!("{request}\n").as_bytes());
    client.tls.sock.shutdown(Shutdown::Write).expect("shutdown");
    let (answer, end) = client.rest();
    assert!(answer.contains("accepted"), "{answer}");
    assert_eq!(end, End::Goodbye);
    drop(client);
    scene.settle();
}

#[test]
fn what_is_cut_off_is_let_go() {
    let mut scene = Scene::new();
    let mut client = scene.log_in("alice");
    client.send(&json!({"id": 1, "request": "alive"}));
    client.tls.sock.shutdown(Shutdown::Write).expect("shutdown");
    let (answer, _) = client.rest();
    assert!(answer.contains("alive"), "{answer}");
    drop(client);
    scene.settle();
}

#[test]
fn records_of_any_size_carry_requests() {
    let mut scene = Scene::new();
    let mut client = scene.log_in("alice");
    let small = json!({"id": 1, "request": "alive"});
    for byte in format!("{small}\n").bytes() {
        client.send_bytes(&[byte]);
    }
    assert_eq!(client.line(), json!({"id": 1, "reply": "alive"}));
    // One request that fills a record.
    let mut line = b"{\"id\":2,\"request\":\"alive\",\"x\":\"".to_vec();
    line.resize(16_384 - 3, b'x');
    line.extend(b"\"}\n");
    let mut records = client.into_records();
    let full = records.seal(APPLICATION, &line);
    records.stream.write_all(&full).expect("write");
    // Many in one, and one over two, the first of which ends in the middle of a character.
    let many: Vec<u8> =
        (3..303).flat_map(|id| format!("{{\"id\":{id},\"request\":\"alive\"}}\n").into_bytes()).collect();
    let text = "{\"id\":303,\"request\":\"message\",\"to\":\"bob\",\"text\":\"\u{1f512}\"}\n";
    let (first, second) = text.as_bytes().split_at(text.len() - 6);
    let mut all = records.seal(APPLICATION, &[&many, first].concat());
    all.extend(records.seal(APPLICATION, second));
    // Records without content are allowed (RFC 8446, section 5.4).
    all.extend(records.seal(APPLICATION, b""));
    all.extend(records.seal(APPLICATION, b"{\"id\":304,\"request\":\"log-out\"}\n"));
    records.stream.write_all(&all).expect("write");
    let told = records.rest();
    let (goodbye, told) = told.split_last().expect("records");
    assert_eq!(*goodbye, (ALERT, vec![1, 0]));
    assert!(told.iter().all(|(kind, _)| *kind == APPLICATION));
    let told = told.iter().flat_map(|(_, payload)| payload.clone()).collect();
    let told = String::from_utf8(told).expect("UTF-8");
    let ids: Vec<Value> =
        told.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")["id"].take()).collect();
    assert_eq!(ids, (2..=304).map(Value::from).collect::<Vec<_>>());
    drop(records);
    scene.settle();
}

#[test]
fn records_that_tls_does_not_have_end_the_connection_with_an_alert() {
    let mut scene = Scene::new();
    let hello = scene.connector.hello();
    let one_fatal = |told: &[(u8, Vec<u8>)]| matches!(told, [(ALERT, alert)] if alert[0] == 2);
    // A HelloRequest of TLS 1.2, which asks for another handshake; a ClientHello; what heartbeats were; and more.
    for (kind, payload) in [
        (HANDSHAKE, &b"\x00\x00\x00\x00"[..]),
        (HANDSHAKE, &hello[5..]),
        (20, b"\x01"),
        (24, b"\x01\x00\x10"),
        (99, b"x"),
    ] {
        let mut records = scene.log_in("alice").into_records();
        let mut bytes = records.seal(kind, payload);
        // What comes behind it is not looked at.
        bytes.extend(
            records.seal(APPLICATION, b"{\"id\":1,\"request\":\"message\",\"to\":\"carol\",\"text\":\"no\"}\n"),
        );
        records.stream.write_all(&bytes).expect("write");
        let told = records.rest();
        assert!(one_fatal(&told), "{kind}: {told:x?}");
        drop(records);
        scene.settle();
    }
    // What was changed on its way, and what was not encrypted at all.
    let mut records = scene.log_in("alice").into_records();
    let mut bytes = records.seal(APPLICATION, b"{\"id\":1,\"request\":\"alive\"}\n");
    *bytes.last_mut().expect("a byte") ^= 1;
    records.stream.write_all(&bytes).expect("write");
    assert_eq!(records.rest(), [(ALERT, vec![2, AlertDescription::BadRecordMac.into()])]);
    for bytes in [&b"{\"id\":1,\"request\":\"alive\"}\n"[..], b"GET / HTTP/1.1\r\n\r\n", &[0xff; 100]] {
        let mut records = scene.log_in("alice").into_records();
        records.stream.write_all(bytes).expect("write");
        let told = records.rest();
        assert!(one_fatal(&told), "{told:x?}");
        drop(records);
        scene.settle();
    }
}

#[test]
fn a_flood_of_alerts_or_of_nothing_ends_or_is_borne() {
    let mut scene = Scene::new();
    // user_canceled, the one alert that may be no error (RFC 8446, section 6.1), a thousand times; and one that is.
    for (alert, count) in [([1, 90], 1000), ([2, 40], 1)] {
        let mut records = scene.log_in("alice").into_records();
        let mut flood: Vec<u8> = (0..count).flat_map(|_| records.seal(ALERT, &alert)).collect();
        flood.extend(records.seal(APPLICATION, b"{\"id\":1,\"request\":\"alive\"}\n"));
        records.stream.write_all(&flood).expect("write");
        assert!(records.rest().iter().all(|(kind, _)| *kind == ALERT), "no answer");
        drop(records);
        scene.settle();
    }
    // A few records without content are borne, and very many are not: that is no orderly end, and has no goodbye.
    let logged_out = format!("{}\n", json!({"id": 1, "reply": "logged-out"})).into_bytes();
    for (count, told) in [(10, &[(APPLICATION, logged_out), (ALERT, vec![1, 0])][..]), (10_000, &[])] {
        let mut records = scene.log_in("alice").into_records();
        let mut flood: Vec<u8> = (0..count).flat_map(|_| records.seal(APPLICATION, b"")).collect();
        flood.extend(records.seal(APPLICATION, b"{\"id\":1,\"request\":\"log-out\"}\n"));
        records.stream.write_all(&flood).expect("write");
        scene.bystanders_are_served();
        assert_eq!(records.rest(), told);
        drop(records);
        scene.settle();
    }
}

#[test]
fn a_stranger_who_never_finishes_what_they_begin_is_not_kept() {
    let mut scene = Scene::new();
    let mut records = scene.connect().into_records();
    // The beginning of a message of TLS itself that says it is 60,000 bytes long: all of it would have to be kept.
    let mut flood = records.seal(HANDSHAKE, &[&[0x04, 0x00, 0xea, 0x60][..], &[0; 15_000]].concat());
    for _ in 0..2 {
        flood.extend(records.seal(HANDSHAKE, &[0; 15_000]));
    }
    records.stream.write_all(&flood).expect("write");
    // The ticket of the handshake, and the end: no text, no goodbye.
    let told = records.rest();
    assert!(matches!(&told[..], [(HANDSHAKE, _)]), "{told:x?}");
    scene.settle();
}

#[test]
fn new_keys_are_taken_and_the_session_goes_on() {
    let mut scene = Scene::new();
    let mut client = scene.connect();
    client.log_in("alice", Some(1));
    for _ in 0..10 {
        client.tls.conn.refresh_traffic_keys().expect("keys");
        client.nothing_but_alive();
    }
    // With "update_requested" the server has to take new keys before it says anything more (RFC 8446, section 4.6.3).
    let mut records = client.into_records();
    let bytes = records.seal(HANDSHAKE, b"\x18\x00\x00\x01\x01");
    records.stream.write_all(&bytes).expect("write");
    scene.bystanders_are_served();
    let sent = scene.chatd.log_in_once("bob").ask(json!({"request": "message", "to": "alice", "text": "hi"}));
    assert_eq!(sent["reply"], "accepted", "{sent}");
    let mut header = [0; 5];
    records.stream.read_exact(&mut header).expect("an answer");
    assert_eq!(header, [APPLICATION, 3, 3, 0, 5 + 1 + 16], "as long as a KeyUpdate");
    drop(records);
    scene.settle();
}

#[test]
fn too_many_new_keys_end_the_connection() {
    let mut scene = Scene::new();
    let mut client = scene.log_in("alice");
    for _ in 0..1000 {
        client.tls.conn.refresh_traffic_keys().expect("keys");
    }
    let _ = client.tls.flush();
    assert!(matches!(client.rest(), (said, End::Alert(_) | End::Goodbye | End::CutOff) if said.is_empty()));
    drop(client);
    scene.settle();
}

/// Keeps what it learns as if the server accepted early data.
#[derive(Debug)]
struct Hasty(rustls::client::ClientSessionMemoryCache);

impl rustls::client::ClientSessionStore for Hasty {
    fn set_kx_hint(&self, server: ServerName<'static>, group: NamedGroup) {
        self.0.set_kx_hint(server, group);
    }

    fn kx_hint(&self, server: &ServerName<'_>) -> Option<NamedGroup> {
        self.0.kx_hint(server)
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, server: ServerName<'static>, mut ticket: Tls13ClientSessionValue) {
        assert_eq!(ticket.max_early_data_size(), 0, "the server offers it");
        ticket._private_set_max_early_data_size(16_384);
        self.0.insert_tls13_ticket(server, ticket);
    }

    fn take_tls13_ticket(&self, server: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.0.take_tls13_ticket(server)
    }
}

#[test]
fn early_data_is_never_accepted() {
    let mut scene = Scene::new();
    let connector = Connector::with(|config| {
        config.enable_early_data = true;
        let store = Hasty(rustls::client::ClientSessionMemoryCache::new(8));
        config.resumption = rustls::client::Resumption::store(std::sync::Arc::new(store));
    });
    connector.connect(scene.chatd.address()).log_in("alice", None);
    let mut session = connector.session();
    let request = json!({"id": 7, "request": "log-in", "mechanism": "SCRAM-SHA-256", "message": "n,,n=alice,r=abc"});
    let mut early = session.early_data().expect("a ticket");
    early.write_all(format!("{request}\n").as_bytes()).expect("room");
    let mut stream = rustls::StreamOwned::new(session, scene.dial());
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock).expect("a handshake");
    }
    assert!(!stream.conn.is_early_data_accepted());
    let mut client = TlsClient::of(stream);
    assert_eq!(client.kind(), HandshakeKind::Resumed);
    // Nothing of it was heard: the next line answers the next request.
    let id = client.request(json!({"request": "alive"}));
    assert_eq!(client.line(), json!({"id": id, "error": "log-in-first", "text": "log in first"}));
    client.log_in("alice", None);
    drop(client);
    scene.settle();
}

#[test]
fn a_token_is_good_for_once() {
    let mut scene = Scene::new();
    let mut alice = scene.connect();
    alice.log_in("alice", Some(1));
    let first = alice.token.expect("a token");
    drop(alice);
    let mut alice = scene.connect();
    assert_eq!(alice.exchange("alice", RESUME_PLUS, Secret::Token(first), Some(1))["reply"], "logged-in");
    alice.take_token();
    let second = alice.token.expect("a token");
    drop(alice);
    for manner in [RESUME_PLUS, RESUME] {
        let mut thief = scene.connect();
        let refused = thief.exchange("alice", manner, Secret::Token(first), Some(1));
        assert_eq!(refused["error"], "token-refused", "{refused}");
    }
    let mut plain = scene.chatd.connect();
    let used = chatd::wire::ResumeToken(first);
    assert_eq!(plain.resume("alice", support::device_claim(1), &used)["error"], "token-refused");
    drop(plain);
    let mut alice = scene.connect();
    assert_eq!(alice.exchange("alice", RESUME_PLUS, Secret::Token(second), Some(1))["reply"], "logged-in");
    alice.take_token();
    // A log-in with the password makes the token before it worthless, and a log-out the last one.
    let third = alice.token.expect("a token");
    drop(alice);
    let mut alice = scene.connect();
    alice.log_in("alice", Some(1));
    let fourth = alice.token.expect("a token");
    assert_eq!(alice.ask(json!({"request": "log-out"}))["reply"], "logged-out");
    drop(alice);
    for token in [third, fourth] {
        let refused = scene.connect().exchange("alice", RESUME_PLUS, Secret::Token(token), Some(1));
        assert_eq!(refused["error"], "token-refused", "{refused}");
    }
    scene.settle();
}

#[test]
fn a_forged_token_is_refused_and_the_real_one_stays_good() {
    let mut scene = Scene::new();
    let mut alice = scene.connect();
    alice.log_in("alice", Some(1));
    let token = alice.token.expect("a token");
    let mut forger = scene.connect();
    let mut almost = token;
    almost[31] ^= 1;
    // More often than wrong passwords are borne: a token can't be guessed, and nobody is locked out by it.
    for forged in [[0; 32], [0xff; 32], almost, almost, almost, almost] {
        let refused = forger.exchange("alice", RESUME_PLUS, Secret::Token(forged), Some(1));
        assert_eq!(refused["error"], "token-refused", "{refused}");
        forger = scene.connect();
    }
    for (user, device) in [("alice", 2), ("bob", 1), ("nobody", 1)] {
        let refused = forger.exchange(user, RESUME_PLUS, Secret::Token(token), Some(device));
        assert_eq!(refused["error"], "token-refused", "{user} {device}: {refused}");
    }
    drop(forger);
    alice.nothing_but_alive();
    drop(alice);
    let mut alice = scene.connect();
    assert_eq!(alice.exchange("alice", RESUME_PLUS, Secret::Token(token), Some(1))["reply"], "logged-in");
    drop(alice);
    scene.settle();
}

#[test]
fn what_was_said_on_one_connection_is_worth_nothing_on_another() {
    let mut scene = Scene::new();
    for resumes in [false, true] {
        let mut alice = scene.connect();
        alice.log_in("alice", Some(1));
        if resumes {
            let token = alice.token.take().expect("a token");
            drop(alice);
            alice = scene.connect();
            assert_eq!(alice.exchange("alice", RESUME_PLUS, Secret::Token(token), Some(1))["reply"], "logged-in");
            alice.take_token();
        }
        let code = if resumes { "token-refused" } else { "not-authenticated" };
        let token = alice.token.expect("a token");
        // Word by word, in one go and in turns.
        let mut thief = scene.connect();
        thief.send_bytes(alice.said.concat().as_bytes());
        assert_eq!(thief.line()["reply"], "challenge");
        assert_eq!(thief.line()["error"], code);
        drop(thief);
        alice.nothing_but_alive();
        drop(alice);
        let mut alice = scene.connect();
        let answer = alice.exchange("alice", RESUME_PLUS, Secret::Token(token), Some(1));
        assert_eq!(answer["reply"], "logged-in", "the real token is as good as before: {answer}");
        drop(alice);
        scene.settle();
    }
}

#[test]
fn a_resumption_for_another_connection_is_refused_and_its_token_stays_good() {
    let mut scene = Scene::new();
    let mut alice = scene.connect();
    alice.log_in("alice", Some(1));
    let token = alice.token.expect("a token");
    let between = scene.connect();
    let mut client = scene.connect();
    let begun = client.begin("alice", RESUME_PLUS, Some(1));
    let refused = client.finish(&begun, Secret::Token(token), between.exporter());
    assert_eq!(refused["error"], "somebody-in-between", "{refused}");
    alice.nothing_but_alive();
    let answer = client.exchange("alice", RESUME_PLUS, Secret::Token(token), Some(1));
    assert_eq!(answer["reply"], "logged-in", "{answer}");
    assert_eq!(alice.event("closing")["reason"], "displaced");
    drop((alice, between, client));
    scene.settle();
}

/// Fills a history with messages as long as they get; comes back: how long the answer to it is at least, in bytes.
fn fill_history(chatd: &Chatd, messages: usize) -> usize {
    let mut alice = chatd.log_in_once("alice");
    let requests = (0..messages).map(|number| {
        let text = format!("{number:06} {}", "\t".repeat(4089));
        format!("{}\n", json!({"id": 10_000 + number, "request": "message", "to": "bob", "text": text}))
    });
    for request in requests.collect::<Vec<_>>().chunks(20) {
        alice.send_bytes(request.concat().as_bytes());
        for _ in request {
            assert_eq!(alice.line()["reply"], "accepted");
        }
    }
    messages * 2 * 4089
}

/// Reads a byte at a time for a while, then more.
struct Slow {
    stream: TcpStream,
    bytes: usize,
}

impl Read for Slow {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let most = if self.bytes < 30_000 { 1 } else { buffer.len() };
        let read = self.stream.read(&mut buffer[..most])?;
        self.bytes += read;
        Ok(read)
    }
}

impl Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.stream.flush()
    }
}

#[test]
fn big_answers_arrive_whole_however_slowly_they_are_read() {
    const MESSAGES: usize = 300;
    let mut scene = Scene::with(&["--durability", "process"]);
    fill_history(&scene.chatd, MESSAGES);
    let mut client = scene.log_in("alice");
    let request = json!({"id": 77, "request": "history", "limit": MESSAGES});
    client.send(&request);
    let rustls::StreamOwned { conn, sock } = client.tls;
    let mut slow = rustls::StreamOwned::new(conn, Slow { stream: sock, bytes: 0 });
    // Behind it in line: the goodbye comes after all of it.
    slow.write_all(b"{\"id\":78,\"request\":\"log-out\"}\n").expect("write");
    let mut told = String::new();
    slow.read_to_string(&mut told).expect("an orderly end");
    let mut lines: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.pop(), Some(json!({"id": 78, "reply": "logged-out"})));
    let messages = lines.iter().flat_map(|line| line["messages"].as_array().expect("messages"));
    let texts: Vec<&str> = messages.map(|message| message["text"].as_str().expect("a text")).collect();
    assert_eq!(texts.len(), MESSAGES);
    for (number, text) in texts.iter().enumerate() {
        assert!(text.len() == 4096 && text.starts_with(&format!("{number:06} \t")), "{number}");
    }
    drop(slow);
    scene.settle();
}

/// What a process has in memory, in bytes.
fn resident(chatd: &Chatd) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", chatd.pid())).expect("proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") * 1024
}

#[test]
fn who_never_reads_is_bounded_and_others_are_served() {
    const CLIENTS: usize = 6;
    const QUESTIONS: usize = 10;
    let mut scene = Scene::with(&["--durability", "process"]);
    let answer = fill_history(&scene.chatd, 300);
    let before = resident(&scene.chatd);
    let mut deaf: Vec<TlsClient> = (0..CLIENTS).map(|_| scene.log_in("alice")).collect();
    for client in &mut deaf {
        for _ in 0..QUESTIONS {
            client.request(json!({"request": "history", "limit": 300}));
        }
    }
    let mut bob = scene.log_in("bob");
    let mut alice = scene.log_in("alice");
    for number in 0..100 {
        let sent = bob.ask(json!({"request": "message", "to": "carol", "text": format!("{number}")}));
        assert_eq!(sent["reply"], "accepted", "{sent}");
        scene.bystanders_are_served();
        let history = alice.ask(json!({"request": "history", "limit": 1}));
        assert_eq!(history["messages"].as_array().map(Vec::len), Some(1), "{history}");
    }
    let grown = resident(&scene.chatd).saturating_sub(before);
    // All that they have asked for is many times as much.
    let bound = CLIENTS * 8 * 1024 * 1024;
    assert!(grown < bound && bound < CLIENTS * QUESTIONS * answer / 2, "{grown} bytes");
    // Who reads after all gets everything: the requests have waited.
    let mut late = deaf.pop().expect("a client");
    late.request(json!({"request": "log-out"}));
    let (told, end) = late.rest();
    assert_eq!(end, End::Goodbye);
    assert_eq!(told.matches("\"from\":\"alice\"").count(), QUESTIONS * 300);
    drop((alice, bob, deaf, late));
    scene.settle();
}

#[test]
fn where_plain_connections_are_not_served_encrypted_ones_are() {
    for scope in ["off", "10.0.0.0/8"] {
        let chatd = Chatd::start(&["--memory", "--plaintext", scope]);
        let mut carol = Connector::new().connect(chatd.address());
        carol.log_in("carol", Some(3));
        let mut plain = chatd.connect();
        plain.send(&json!({"id": 1, "request": "log-in", "mechanism": "SCRAM-SHA-256", "message": "n,,n=alice,r=abc"}));
        let told = plain.rest();
        let error: Value = serde_json::from_str(&told).expect("one line");
        assert_eq!(error["error"], "out-of-scope");
        assert!(error["text"].as_str().is_some_and(|text| text.contains("TLS")), "it says what to do: {told}");
        carol.nothing_but_alive();
    }
}

/// What the system holds of what was sent to this client, in bytes: at the server, and at the client.
fn held(client: &TlsClient) -> usize {
    let ours = format!(":{:04X}", client.tls.sock.local_addr().expect("an address").port());
    let table = std::fs::read_to_string("/proc/net/tcp").expect("proc");
    let queues = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (sent, received) = fields[4].split_once(':')?;
        let queue = match (fields[1].ends_with(&ours), fields[2].ends_with(&ours)) {
            (true, _) => received,
            (_, true) => sent,
            _ => return None,
        };
        usize::from_str_radix(queue, 16).ok()
    });
    queues.sum()
}

#[test]
fn the_goodbye_waits_for_what_the_socket_did_not_take() {
    const MESSAGES: usize = 500;
    let mut scene = Scene::with(&["--durability", "process"]);
    let message = fill_history(&scene.chatd, MESSAGES) / MESSAGES;
    let mut ask = |limit: usize| {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
        socket.set_recv_buffer_size(4096).expect("a size");
        socket.connect(&scene.chatd.address().into()).expect("connect");
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(LIMIT)).expect("a limit");
        let mut client = TlsClient::of(rustls::StreamOwned::new(scene.connector.session(), stream));
        client.log_in("alice", Some(1));
        client.request(json!({"request": "history", "limit": limit}));
        client.tls.sock.peek(&mut [0]).expect("the answer begins");
        // The same device comes from elsewhere: the server ends this connection while nothing of it is read.
        let mut elsewhere = scene.connector.connect(scene.chatd.address());
        elsewhere.log_in("alice", Some(1));
        elsewhere.nothing_but_alive();
        scene.bystanders_are_served();
        client
    };
    let most = held(&ask(MESSAGES)) / (message + 90);
    // Of some of these answers the socket leaves a little: less than is encrypted ahead of it.
    for limit in (most.saturating_sub(4)..MESSAGES.min(most + 12)).step_by(2) {
        let mut client = ask(limit);
        socket2::SockRef::from(&client.tls.sock).set_recv_buffer_size(1 << 20).expect("a size");
        let (told, end) = client.rest();
        assert_eq!((told.matches("\"from\":\"alice\"").count(), end), (limit, End::Goodbye));
        let closing = told.lines().last().expect("a line");
        assert!(closing.contains("\"closing\"") && closing.contains("displaced"), "{closing}");
    }
    scene.settle();
}
