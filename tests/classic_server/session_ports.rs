//! Where the sessions of `session` go on: the client reads a port of four digits.

use std::net::{SocketAddr, TcpStream};

use crate::existing::datagram_client::{DatagramClient, Habits};
use crate::existing::python::Python;
use crate::existing::session_client::{LogOn, SessionClient};
use crate::scene::{ByHand, four_digit_port};
use crate::support::{Chatd, password};

const NOT_UNDERSTOOD: &str = "chatd: this is a chat server, and that is no protocol it speaks. Try: chat HOST PORT\n";

/// The port that alice is told at this address.
fn port(address: SocketAddr) -> u16 {
    let log_on = LogOn::open(address, "alice", password("alice"));
    let rand = log_on.hello().expect("a challenge");
    let port = log_on.respond(&rand).expect("a port");
    log_on.connect(&rand, port).expect("somebody listens").expect("CONNECTED\n");
    port
}

#[test]
fn the_main_port_if_it_has_four_digits() {
    let chatd = Chatd::start_at(four_digit_port(), &["--memory"]);
    assert_eq!(port(chatd.address()), chatd.port());
    assert_eq!(chatd.next_listener(), None);
}

#[test]
fn a_listener_of_its_own_if_the_main_port_has_more() {
    let chatd = Chatd::start(&["--memory", "--listen", "nick=127.0.0.1:0"]);
    assert!(chatd.port() > 9999, "an ephemeral port");
    let extra = chatd.next_listener().expect("a listener for sessions");
    let extra: SocketAddr =
        extra.strip_prefix("chatd: listening for session on ").expect(&extra).parse().expect("an address");
    assert!((1024..=9999).contains(&extra.port()), "{extra}");
    assert_eq!(port(chatd.address()), extra.port());
    // It speaks nothing else, and nobody is asked anything there.
    let mut native = ByHand::connect(extra);
    native.say("{\"id\":1,\"request\":\"online\"}\n");
    assert_eq!(native.rest().0, NOT_UNDERSTOOD);
}

#[test]
fn an_odd_main_port_is_not_cut() {
    // Its last four digits are a port too, and not this one.
    let Ok(taken) = std::net::TcpListener::bind("127.0.0.1:16001") else { return };
    drop(taken);
    let chatd = Chatd::start_at(16001, &["--memory"]);
    let told = port(chatd.address());
    assert!((1024..=9999).contains(&told), "{told}");
    SessionClient::connected(chatd.address(), "bob", password("bob")).expect_nothing_else();
}

#[test]
fn a_listener_that_was_asked_for_serves_if_it_has_four_digits() {
    let four_digits = four_digit_port();
    let listen = format!("session=127.0.0.1:{four_digits}");
    let chatd = Chatd::start(&["--memory", "--listen", &listen]);
    assert_eq!(chatd.listener(0).port(), four_digits);
    assert_eq!(chatd.next_listener(), None);
    // Wherever one logs on.
    assert_eq!([port(chatd.address()), port(chatd.listener(0))], [four_digits; 2]);
}

#[test]
fn a_listener_for_session_takes_log_ons_and_sessions_and_nothing_else() {
    let chatd = Chatd::start_at(four_digit_port(), &["--memory", "--listen", "session=127.0.0.1:0"]);
    let listener = chatd.listener(0);
    assert_eq!(port(listener), chatd.port());
    // A session is let in at each of them.
    let log_on = LogOn::open(listener, "bob", password("bob"));
    let rand = log_on.hello().expect("a challenge");
    log_on.respond(&rand).expect("a port");
    log_on.connect(&rand, listener.port()).expect("somebody listens").expect("CONNECTED\n");
    for opening in ["{\"id\":1,\"request\":\"online\"}\n", "newUser,alice,wonderland,5000", "forward,alice,bob,hi\n"] {
        let mut other = ByHand::connect(listener);
        other.say(opening);
        assert_eq!(other.rest().0, NOT_UNDERSTOOD, "{opening}");
    }
    let silent = TcpStream::connect(listener).expect("connect");
    // No datagram of the other protocol has an answer there, and the main port has.
    let client = DatagramClient::open(listener, "carol", Habits::of(Python::Two));
    client.log_in(password("carol"));
    assert_eq!(port(listener), chatd.port());
    assert!(client.datagrams().is_empty());
    drop(silent);
}

#[test]
fn a_listener_for_datagram_takes_no_log_on_and_no_connection() {
    let chatd = Chatd::start(&["--memory", "--listen", "datagram=127.0.0.1:0"]);
    let listener = chatd.listener(0);
    let log_on = LogOn::open(listener, "alice", password("alice"));
    log_on.send("HELLO(alice)");
    let carol = DatagramClient::logged_in(listener, "carol", password("carol"));
    assert!(log_on.has_nothing());
    let bob = DatagramClient::logged_in(chatd.address(), "bob", password("bob"));
    carol.expect("ALERT", "bob is online!");
    bob.message("carol", "from the other port");
    carol.expect("MESSAGE_EXCHANGE", "Private message from bob: from the other port");
    bob.expect("ACKNOWLEDGEMENT", "Message received by carol");
    assert!(TcpStream::connect(listener).is_err(), "nobody listens there");
    // Each is known at the socket that it logged in at.
    let addresses = [&carol, &bob].map(|client| {
        client.ask_for_contacts();
        client.next().body
    });
    let contact = |user: &str, port: u16| format!("{user} : ('127.0.0.1', {port}) is online!");
    assert_eq!(addresses, [contact("bob", listener.port()), contact("carol", chatd.port())]);
}

#[test]
fn one_port_serves_every_protocol() {
    let chatd = Chatd::start_at(four_digit_port(), &["--memory"]);
    let alice = SessionClient::connected(chatd.address(), "alice", password("alice"));
    let bob = DatagramClient::logged_in(chatd.address(), "bob", password("bob"));
    bob.message("alice", "hello");
    alice.expect("bob: hello");
    bob.expect("ACKNOWLEDGEMENT", "Message received by alice");
}
