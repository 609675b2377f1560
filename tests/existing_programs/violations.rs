//! What the stand-ins must notice: each of these would have broken the program whose place they take.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::existing::nick_client::NickClient;
use super::existing::nick_server::NickServer;
use super::existing::request_client::{LogIn, Manner, Outcome, RequestClient};
use super::existing::request_server::{RequestServer, Settings};
use super::existing::{End, Fault, LIMIT};

const BOB: [(&str, &str); 1] = [("bob", "builder")];

/// A server that plays `part` to the first who comes.
fn server<T: Send + 'static>(part: impl FnOnce(TcpStream) -> T + Send + 'static) -> (SocketAddr, JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("a bound socket");
    let thread = thread::spawn(move || part(listener.accept().expect("a client").0));
    (address, thread)
}

/// What one read brings.
fn read(stream: &mut TcpStream) -> String {
    let mut bytes = [0; 4096];
    let length = stream.read(&mut bytes).expect("a chunk");
    String::from_utf8_lossy(&bytes[..length]).into_owned()
}

fn log_in_as_bob(server: SocketAddr) -> LogIn {
    RequestClient::open().log_in(server, "bob", &["builder", "builder"])
}

/// How a log-in goes to which the server says these chunks, each as the answer to one of the client's, and then closes; and what
/// the client has said, the answer to the last chunk too.
fn log_in_to(chunks: &'static [&'static [u8]]) -> (LogIn, Vec<String>) {
    let (address, thread) = server(move |mut stream| {
        let answer = |chunk: &&[u8]| {
            let heard = read(&mut stream);
            stream.write_all(chunk).expect("a client");
            heard
        };
        let mut heard: Vec<String> = chunks.iter().map(answer).collect();
        stream.shutdown(Shutdown::Write).expect("a client");
        // Nothing is unread when the server closes: that would be a reset.
        stream.set_read_timeout(Some(LIMIT)).expect("a limit that is not zero");
        heard.push(read(&mut stream));
        let _ = stream.read_to_end(&mut Vec::new());
        heard
    });
    let log_in = log_in_as_bob(address);
    (log_in, thread.join().expect("a server"))
}

/// A client that has logged in to a server that is no more.
fn client() -> RequestClient {
    let server = RequestServer::start(&BOB);
    RequestClient::logged_in(server.address(), "bob", "builder")
}

/// Says this to the client's listening socket.
fn deliver(client: &RequestClient, bytes: &[u8]) {
    let mut stream = TcpStream::connect(("127.0.0.1", client.port())).expect("a client");
    stream.write_all(bytes).expect("a client");
}

#[test]
fn a_control_word_that_is_glued_to_a_text_is_not_obeyed() {
    let (log_in, heard) = log_in_to(&[b"Invalid Password. Please try again.\nprompt_password"]);
    assert_eq!(heard[1..], ["ok"]);
    assert_eq!(log_in.outcome, Outcome::Ended(End::SpunOnEndOfFile));
    assert_eq!(log_in.chunks, ["Invalid Password. Please try again.\nprompt_password"]);
}

#[test]
fn a_name_that_is_glued_to_a_text_is_cut_at_the_wrong_column() {
    let (log_in, _) = log_in_to(&[b"Welcome to simple chat server!\nAuthenticated bob"]);
    assert_eq!(log_in.outcome, Outcome::LoggedIn("ple chat server!\nAuthenticated bob".to_owned()));
}

#[test]
fn a_control_word_that_is_cut_is_not_obeyed() {
    let (log_in, heard) = log_in_to(&[b"prompt_", b"password", b"exit"]);
    assert_eq!(heard[1..], ["ok", "ok", ""]);
    assert_eq!(log_in.outcome, Outcome::Ended(End::Told("exit".to_owned())));
}

#[test]
fn half_a_character_is_the_end_of_a_client() {
    let (log_in, _) = log_in_to(&[b"Gr\xc3"]);
    assert_eq!(log_in.outcome, Outcome::Ended(End::Undecodable(b"Gr\xc3".to_vec())));

    let client = client();
    deliver(&client, "alice:é\n".as_bytes());
    client.expect("alice:é\n");
    deliver(&client, b"alice:\xc3");
    assert_eq!(client.expect_end(), End::Undecodable(b"alice:\xc3".to_vec()));
}

#[test]
fn a_connection_that_brings_nothing_is_the_end_of_a_client() {
    let client = client();
    deliver(&client, b"");
    assert_eq!(client.expect_end(), End::NothingBrought);
}

#[test]
fn what_is_beyond_one_read_is_lost() {
    let client = client();
    let long = "x".repeat(4100);
    let mut stream = TcpStream::connect(("127.0.0.1", client.port())).expect("a client");
    stream.write_all(long.as_bytes()).expect("a client");
    assert_eq!(client.next().text, long[..4096]);
    // What was not read makes the close a reset.
    assert!(stream.read(&mut [0]).is_err());
}

#[test]
fn an_orderly_close_leaves_a_client_spinning_and_a_reset_ends_it() {
    let (log_in, _) = log_in_to(&[]);
    assert_eq!(log_in.outcome, Outcome::Ended(End::SpunOnEndOfFile));

    let (address, thread) = server(|stream| stream.peek(&mut [0]).expect("a client"));
    assert_eq!(log_in_as_bob(address).outcome, Outcome::Ended(End::Reset));
    assert_eq!(thread.join().expect("a server"), 1);
}

#[test]
fn a_server_that_speaks_first_is_owed_an_ok() {
    let (address, thread) = server(|mut stream| {
        stream.write_all(b"NICK").expect("a client");
        let mut heard = read(&mut stream);
        while !heard.ends_with("ok") {
            heard += &read(&mut stream);
        }
        stream.write_all(b"exit").expect("a client");
        heard
    });
    let mut client = RequestClient::open();
    let dialogue = client.connect(address).wait_until_the_server_speaks();
    assert_eq!(dialogue.log_in_with(&[("bob", "builder")]).chunks, ["NICK", "exit"]);
    let heard = thread.join().expect("a server");
    assert_eq!(heard, format!("newUser,bob,builder,{}ok", client.port()));
}

#[test]
fn a_visitor_can_be_kept_waiting_or_reset() {
    let client = client();
    client.set_manner(Manner::NeverReads);
    let mut stream = TcpStream::connect(("127.0.0.1", client.port())).expect("a client");
    client.next_visit();
    stream.write_all(b"alice:hi\n").expect("a client");
    client.set_manner(Manner::Resets);
    let mut next = TcpStream::connect(("127.0.0.1", client.port())).expect("a client");
    next.write_all(b"alice:hi\n").expect("a client");
    client.next_visit();
    assert!(next.read(&mut [0]).is_err());
    assert!(client.deliveries().is_empty());
    drop(client);
    // The one that was kept.
    assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)));
}

#[test]
fn a_client_that_answers_each_half_of_a_text_is_a_fault() {
    let apart = Some(Duration::from_secs(1));
    let settings = Settings { lockout_writes_apart: apart, ..Settings::new(&BOB) };
    let server = RequestServer::start_with(&settings);
    RequestClient::open().log_in(server.address(), "bob", &["x", "y", "z"]);
    let fault = server.next_fault();
    assert!(fault == Fault::NotOk("okok".to_owned()) || fault == Fault::Surplus(b"ok".to_vec()), "{fault:?}");
}

#[test]
fn what_a_request_server_is_not_to_be_told_is_a_fault() {
    let server = RequestServer::start(&BOB);
    let connect = || TcpStream::connect(server.address()).expect("a server");
    drop(connect());
    assert_eq!(server.next_fault(), Fault::NothingBrought);

    connect().write_all(b"hello").expect("a server");
    assert_eq!(server.next_fault(), Fault::NoRequest("hello".to_owned()));

    connect().write_all(b"forward,bob,\xff").expect("a server");
    assert_eq!(server.next_fault(), Fault::Undecodable(b"forward,bob,\xff".to_vec()));

    let mut stream = connect();
    stream.write_all(b"alive,bob").expect("a server");
    server.wait_for("alive,bob");
    stream.write_all(b"alive,bob").expect("a server");
    assert_eq!(server.next_fault(), Fault::Surplus(b"alive,bob".to_vec()));

    let mut stream = connect();
    stream.write_all(b"newUser,bob,builder,2000").expect("a server");
    assert_eq!(read(&mut stream), "Welcome to simple chat server!\n");
    stream.write_all(b"ok\n").expect("a server");
    assert_eq!(server.next_fault(), Fault::NotOk("ok\n".to_owned()));
    assert!(server.online().is_empty());
}

#[test]
fn a_nick_client_must_be_asked_for_its_name_alone() {
    let (address, thread) = server(|mut stream| {
        stream.write_all(b"NICK\n").expect("a client");
        stream.shutdown(Shutdown::Write).expect("a client");
        stream.read(&mut [0]).expect("the client's end")
    });
    let client = NickClient::connect(address, "ann");
    client.expect("NICK\n");
    assert_eq!(client.expect_end(), End::SpunOnEndOfFile);
    drop(client);
    assert_eq!(thread.join().expect("a server"), 0);
}

#[test]
fn a_nick_client_dies_of_what_is_not_ascii() {
    let (address, thread) = server(|mut stream| {
        stream.write_all("ann: é".as_bytes()).expect("a client");
        stream.read(&mut [0]).expect("the client's end")
    });
    let client = NickClient::connect(address, "ann");
    assert_eq!(client.expect_end(), End::Undecodable("ann: é".as_bytes().to_vec()));
    assert_eq!(thread.join().expect("a server"), 0);
}

#[test]
fn a_nick_server_closes_on_what_is_not_ascii() {
    let server = NickServer::start();
    let ann = NickClient::joined(server.address(), "ann");
    let ben = NickClient::joined(server.address(), "ben");
    ann.expect("ben joined the chat!");
    ben.send("ben: é".as_bytes());
    assert_eq!(server.next_fault(), Fault::Undecodable("ben: é".as_bytes().to_vec()));
    assert_eq!(ben.expect_end(), End::SpunOnEndOfFile);
    ann.expect("ben left the chat!");
}

#[test]
fn without_a_pause_a_nick_server_may_glue_and_the_client_shows_it() {
    let (address, thread) = server(|mut stream| {
        stream.write_all(b"NICK").expect("a client");
        let nickname = read(&mut stream);
        stream.write_all(b"ann joined the chat!Connected to the server!").expect("a client");
        nickname
    });
    let client = NickClient::connect(address, "ann");
    client.expect("NICK");
    client.expect("ann joined the chat!Connected to the server!");
    assert_eq!(thread.join().expect("a server"), "ann");
}
