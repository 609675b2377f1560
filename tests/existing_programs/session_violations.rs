//! What the stand-ins of `session` must notice: each of these would have broken the program whose place they take.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::thread;

use super::existing::session_cipher::Cipher;
use super::existing::session_client::{LogOn, Refusal, SessionClient};
use super::existing::session_server::SessionServer;
use super::existing::{End, Fault, LIMIT};

const RAND: &str = "4365043278";
const SECRET: &str = "100";
const ACCOUNTS: [(&str, &str); 2] = [("clientA", "100"), ("clientB", "200")];

fn cipher() -> Cipher {
    Cipher::new(RAND, SECRET)
}

/// A client, and the other end of its connection.
fn client() -> (SessionClient, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("a bound socket");
    let client = LogOn::open(address, "clientA", SECRET).connect(RAND, address.port()).expect("a server");
    let mut stream = listener.accept().expect("a client").0;
    stream.set_read_timeout(Some(LIMIT)).expect("a limit that is not zero");
    let mut connect = [0; "CONNECT(4365043278)".len()];
    stream.read_exact(&mut connect).expect("a client");
    assert_eq!(cipher().apply(&String::from_utf8_lossy(&connect)), "CONNECT(4365043278)");
    (client, stream)
}

/// A client to which this is said, in one write.
fn client_that_hears(bytes: &[u8]) -> (SessionClient, TcpStream) {
    let (client, mut stream) = client();
    stream.write_all(bytes).expect("a client");
    (client, stream)
}

fn enciphered(text: &str) -> Vec<u8> {
    cipher().apply(text).into_bytes()
}

/// How a log-on goes at a server that answers with these, one after the other.
fn log_on_to(answers: &'static [&'static str]) -> Option<Refusal> {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = socket.local_addr().expect("a bound socket");
    let server = thread::spawn(move || {
        for answer in answers {
            let (_, from) = socket.recv_from(&mut [0; 1024]).expect("a datagram");
            socket.send_to(answer.as_bytes(), from).expect("a client");
        }
    });
    let refusal = SessionClient::log_on(address, "clientA", SECRET).err();
    server.join().expect("a server");
    refusal
}

#[test]
fn two_messages_read_as_one_are_rubbish_from_the_second_on() {
    let (client, _stream) = client_that_hears(&[enciphered("clientB: one"), enciphered("clientB: two")].concat());
    let text = client.next().text;
    assert!(text.starts_with("clientB: one") && !text.contains("two"), "{text:?}");
}

#[test]
fn a_message_that_is_longer_than_one_read_is_two() {
    // The key fits into a read eight times, so of one-byte characters the rest is legible all the same.
    let (client, _stream) = client_that_hears(&enciphered(&"x".repeat(1100)));
    assert_eq!([client.next().text.len(), client.next().text.len()], [1024, 76]);

    let (client, _stream) = client_that_hears(&enciphered(&format!("\u{e9}{}", "x".repeat(1100))));
    assert_eq!(client.next().text, format!("\u{e9}{}", "x".repeat(1022)));
    assert_ne!(client.next().text, "x".repeat(78));
}

#[test]
fn half_a_character_is_the_end_of_a_session_client() {
    let half = &enciphered("\u{e9}")[..1];
    let (client, _stream) = client_that_hears(half);
    assert_eq!(client.expect_end(), End::Undecodable(half.to_vec()));
}

#[test]
fn a_close_leaves_a_session_client_spinning_and_a_reset_ends_it() {
    let (client, stream) = client_that_hears(b"");
    stream.shutdown(Shutdown::Write).expect("a client");
    assert_eq!(client.expect_end(), End::SpunOnEndOfFile);

    let (client, stream) = client_that_hears(b"");
    client.say("unread");
    stream.peek(&mut [0]).expect("a client");
    drop(stream);
    assert_eq!(client.expect_end(), End::Reset);
}

#[test]
fn words_in_a_text_mislead_a_client() {
    let (client, mut stream) = client_that_hears(&enciphered("CHAT_STARTED(20260101120000, clientB)"));
    client.expect_chat_with("clientB");
    stream.write_all(&enciphered("clientB: what is END_NOTIF?")).expect("a client");
    client.expect("clientB: what is END_NOTIF?");
    assert_eq!(client.chat(), None);

    let text = "clientB: what is CHAT_STARTED?";
    let (client, _stream) = client_that_hears(&enciphered(text));
    client.expect(text);
    assert_eq!(client.expect_end(), End::Misled(text.to_owned()));

    // Broken after the first letter, they are text.
    let text = "clientB: C\u{200b}HAT_STARTED, E\u{200b}ND_NOTIF, U\u{200b}NREACHABLE";
    let (client, mut stream) = client_that_hears(&enciphered(text));
    client.expect(text);
    stream.write_all(&enciphered("CHAT_STARTED(20260101120000, clientB)")).expect("a client");
    client.expect_chat_with("clientB");
    client.press_enter();
    let mut check = [0; "CHAT_CHECK(20260101120000,  clientB)".len()];
    stream.read_exact(&mut check).expect("a client");
    assert_eq!(cipher().apply(&String::from_utf8_lossy(&check)), "CHAT_CHECK(20260101120000,  clientB)");
}

#[test]
fn a_log_on_that_does_not_keep_to_the_columns_fails() {
    let misled = |text: &str| Some(Refusal::Ended(End::Misled(text.to_owned())));
    assert_eq!(log_on_to(&["CHALLENGE 4365043278"]), misled("CHALLENGE 4365043278"));
    // Plain where the client deciphers.
    let deciphered = cipher().apply("AUTH_SUCCESS(4365043278, 6001)");
    assert_eq!(log_on_to(&["CHALLENGE(4365043278)", "AUTH_SUCCESS(4365043278, 6001)"]), misled(&deciphered));
    assert_eq!(log_on_to(&["CHALLENGE(4365043278)", "AUTH_FAIL"]), Some(Refusal::AuthFail));
}

#[test]
fn a_port_is_cut_to_four_digits() {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let log_on = LogOn::open(socket.local_addr().expect("a bound socket"), "clientA", SECRET);
    let server = thread::spawn(move || {
        for port in ["6001", "54321", "80"] {
            let (_, from) = socket.recv_from(&mut [0; 1024]).expect("a datagram");
            let success = cipher().apply(&format!("AUTH_SUCCESS({RAND}, {port})"));
            socket.send_to(success.as_bytes(), from).expect("a client");
        }
    });
    assert_eq!(log_on.respond(RAND), Ok(6001));
    assert_eq!(log_on.respond(RAND), Ok(4321));
    assert_eq!(log_on.respond(RAND), Err(Refusal::Ended(End::Misled(format!("AUTH_SUCCESS({RAND}, 80)")))));
    server.join().expect("a server");
}

#[test]
fn what_a_session_server_is_not_to_be_told_is_a_fault() {
    let server = SessionServer::start(&ACCOUNTS);
    let no_request = |text: &str| Fault::NoRequest(text.to_owned());
    let log_on = LogOn::open(server.address(), "clientA", "100");
    log_on.send("GOODBYE(clientA)");
    assert_eq!(server.next_fault(), no_request("GOODBYE(clientA)"));

    let client_a = SessionClient::connected(server.address(), "clientA", "100");
    let client_b = SessionClient::connected(server.address(), "clientB", "200");
    client_a.request_chat("clientB");
    let id = client_b.expect_chat_with("clientA").id;
    for check in [
        format!("CHAT_CHECK({id}, clientA)"),
        format!("CHAT_CHECK({id},  clientB)"),
        format!("END_CHECK({id})"),
        "END_REQUEST(20260101120000)".to_owned(),
    ] {
        client_b.send(&[&check]);
        assert_eq!(server.next_fault(), no_request(&check));
    }
    client_b.press_enter();
    server.wait_for(&format!("CHAT_CHECK({id},  clientA)"));
    client_b.say(&format!("\u{e9}{}", "X".repeat(1100)));
    assert!(matches!(server.next_fault(), Fault::Rubbish(_)));
    client_b.send_bytes(b"\xff");
    assert_eq!(server.next_fault(), Fault::Undecodable(b"\xff".to_vec()));
    assert_eq!(client_b.expect_end(), End::SpunOnEndOfFile);
}

#[test]
fn a_session_is_opened_by_its_own_log_on_only() {
    let server = SessionServer::start(&ACCOUNTS);
    let log_on = LogOn::open(server.address(), "clientA", "100");
    let rand = log_on.hello().expect("a challenge");
    let port = log_on.respond(&rand).expect("a port");
    let client = log_on.connect("4365043278", port).expect("a server");
    assert!(matches!(server.next_fault(), Fault::Rubbish(_) | Fault::NoRequest(_)));
    assert_eq!(client.expect_end(), End::SpunOnEndOfFile);
    assert!(server.online().is_empty());
}
