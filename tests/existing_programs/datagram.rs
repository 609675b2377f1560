//! `datagram`: the client with the server, everything that their tables have.

use std::net::SocketAddr;
use std::time::Duration;

use super::existing::datagram_client::{DatagramClient, Habits, Manner};
use super::existing::datagram_message::{Message, sealed};
use super::existing::datagram_server::DatagramServer;
use super::existing::python::Python;

const PASSWORD: &str = "wonderland";

fn client(server: &DatagramServer, user: &str) -> DatagramClient {
    DatagramClient::logged_in(server.address(), user, PASSWORD)
}

/// ann, ben and cat, who know of each other.
fn three(server: &DatagramServer) -> [DatagramClient; 3] {
    let [ann, ben, cat] = ["ann", "ben", "cat"].map(|user| client(server, user));
    ann.expect("ALERT", "ben is online!");
    ann.expect("ALERT", "cat is online!");
    ben.expect("ALERT", "cat is online!");
    [ann, ben, cat]
}

fn contact(user: &str, client: &DatagramClient) -> String {
    format!("{user} : ('127.0.0.1', {}) is online!", client.address().port())
}

fn address(message: &Message, key: &str) -> String {
    let address = message.header.get(key).expect("an address");
    Python::Two.write(address)
}

fn written(address: SocketAddr) -> String {
    format!("('127.0.0.1', {})", address.port())
}

#[test]
fn the_first_log_in_is_the_sign_up() {
    let server = DatagramServer::start();
    let ann = client(&server, "ann");
    assert_eq!(server.online(), ["ann"]);
    ann.log_out();
    server.wait_for("'message_type': 'DETROY_SESSION', 'command': 'LOGOUT'");
    ann.expect_nothing_else();
    assert!(server.online().is_empty());

    let elsewhere = DatagramClient::open(server.address(), "ann", Habits::of(Python::Two));
    elsewhere.log_in("another");
    elsewhere.expect("ERROR", "Incorrect password!");
    assert!(server.online().is_empty());
    elsewhere.log_in(PASSWORD);
    elsewhere.expect("GREETING", "Greetings from the Chat Room!");
    assert_eq!(server.online(), ["ann"]);
    assert_eq!(server.faults(), []);
}

#[test]
fn both_spellings_of_the_log_out_end_a_session() {
    let server = DatagramServer::start();
    let habits = Habits { log_out: "DESTROY_SESSION", ..Habits::of(Python::Two) };
    let ann = DatagramClient::logged_in_with(server.address(), "ann", PASSWORD, habits);
    ann.log_out();
    server.wait_for("'DESTROY_SESSION'");
    ann.expect_nothing_else();
    assert!(server.online().is_empty());
    assert_eq!(server.faults(), []);
}

#[test]
fn a_private_message_goes_to_one_and_is_acknowledged() {
    let server = DatagramServer::start();
    let [ann, ben, cat] = three(&server);
    ann.message("ben", "it's \"me\",\tann \\ caf\u{e9} \u{2713} \u{1f389}");
    let message = ben.next();
    assert_eq!(message.message_type, "MESSAGE_EXCHANGE");
    assert_eq!(message.body, "Private message from ann: it's \"me\",\tann \\ caf\u{e9} \u{2713} \u{1f389}");
    assert_eq!(message.flaw(), None);
    assert_eq!(address(&message, "recipient_data"), written(ben.address()));
    assert_eq!(address(&message, "sender_data"), written(ann.address()));
    ann.expect("ACKNOWLEDGEMENT", "Message received by ben");
    [&ann, &ben, &cat].iter().for_each(|client| client.expect_nothing_else());
    assert_eq!(server.faults(), []);
}

#[test]
fn a_text_in_a_unicode_literal_is_passed_on_in_one() {
    let server = DatagramServer::start();
    let [ann, ben, _cat] = three(&server);
    let python = Python::Two;
    let said = ("text", Python::Three.text("caf\u{e9} \u{1f389}"));
    let body = python.dict([("sender_username", python.text("ann")), ("receiver_username", python.text("ben")), said]);
    ann.send(&sealed(python, "SEND_MESSAGE", "MESSAGE_EXCHANGE", python.text(""), body));
    let datagram = ben.wait_for("MESSAGE_EXCHANGE", "Private message from ann: caf\u{e9} \u{1f389}").text;
    assert!(datagram.contains(r"'body': u'Private message from ann: caf\xe9 \U0001f389'"), "{datagram}");
    ann.expect("ACKNOWLEDGEMENT", "Message received by ben");
    assert_eq!(server.faults(), []);
}

#[test]
fn a_group_message_goes_to_all_others_and_each_acknowledges_it() {
    let server = DatagramServer::start();
    let [ann, ben, cat] = three(&server);
    ben.message_all("hi, all");
    ann.expect("MESSAGE_EXCHANGE", "Group Message from ben: hi, all");
    cat.expect("MESSAGE_EXCHANGE", "Group Message from ben: hi, all");
    ben.wait_for("ACKNOWLEDGEMENT", "Message received by ann");
    ben.wait_for("ACKNOWLEDGEMENT", "Message received by cat");
    ben.expect_nothing_else();
    assert_eq!(server.faults(), []);
}

#[test]
fn contacts_are_the_others_one_each() {
    let server = DatagramServer::start();
    let [ann, ben, cat] = three(&server);
    ann.ask_for_contacts();
    ann.expect("LIST_CONTACTS", &contact("ben", &ben));
    ann.expect("LIST_CONTACTS", &contact("cat", &cat));
    cat.log_out();
    ben.ask_for_contacts();
    ben.wait_for("LIST_CONTACTS", &contact("ann", &ann));
    ben.expect_nothing_else();
    assert_eq!(server.faults(), []);
}

#[test]
fn who_is_not_there_gets_no_message() {
    let server = DatagramServer::start();
    let ann = client(&server, "ann");
    ann.message("zoe", "hi");
    ann.expect("ERROR", "zoe is not online!");
    ann.message_all("anybody?");
    ann.expect_nothing_else();
    assert_eq!(server.faults(), []);
}

#[test]
fn an_acknowledgement_may_be_misspelt() {
    let server = DatagramServer::start();
    let ann = client(&server, "ann");
    let habits = Habits { received: "recieved", ..Habits::of(Python::Two) };
    let ben = DatagramClient::logged_in_with(server.address(), "ben", PASSWORD, habits);
    ann.expect("ALERT", "ben is online!");
    ann.message("ben", "hi");
    ann.expect("ACKNOWLEDGEMENT", "Message recieved by ben");
    ben.expect("MESSAGE_EXCHANGE", "Private message from ann: hi");
    assert_eq!(server.faults(), []);
}

#[test]
fn an_acknowledgement_may_be_late_or_never_come() {
    let server = DatagramServer::start();
    let [ann, ben, _cat] = three(&server);
    ben.set_manner(Manner::NeverAcknowledges);
    ann.message("ben", "one");
    ben.expect("MESSAGE_EXCHANGE", "Private message from ann: one");
    ben.expect_nothing_else();
    ann.expect_nothing_else();

    let delay = Duration::from_millis(500);
    ben.set_manner(Manner::AcknowledgesAfter(delay));
    ann.message("ben", "two");
    let came = ben.wait_for("MESSAGE_EXCHANGE", "Private message from ann: two");
    let acknowledged = ann.wait_for("ACKNOWLEDGEMENT", "Message received by ben");
    assert!(acknowledged.at - came.at >= delay);

    ben.set_manner(Manner::NeverAcknowledges);
    ben.acknowledge("ann");
    ann.expect("ACKNOWLEDGEMENT", "Message received by ben");
    assert_eq!(server.faults(), []);
}

#[test]
fn what_is_lost_on_its_way_was_never_there() {
    let server = DatagramServer::start();
    let [ann, ben, _cat] = three(&server);
    ben.losses().lose_next(1);
    ann.message("ben", "lost");
    assert!(String::from_utf8_lossy(&ben.losses().next()).contains("Private message from ann: lost"));
    ann.message("ben", "here");
    ben.expect("MESSAGE_EXCHANGE", "Private message from ann: here");
    ann.expect("ACKNOWLEDGEMENT", "Message received by ben");
    ann.expect_nothing_else();

    server.losses().lose_next(1);
    ann.message("ben", "lost too");
    assert!(String::from_utf8_lossy(&server.losses().next()).contains("'text': 'lost too'"));
    ann.expect_nothing_else();
    ben.expect_nothing_else();
    assert_eq!(server.faults(), []);
}

#[test]
fn a_log_in_from_elsewhere_takes_the_place_of_the_first() {
    let server = DatagramServer::start();
    let [ann, ben, _cat] = three(&server);
    let elsewhere = client(&server, "ben");
    ann.expect("ALERT", "ben is online!");
    ann.message("ben", "where are you?");
    elsewhere.expect("MESSAGE_EXCHANGE", "Private message from ann: where are you?");
    ben.expect_nothing_else();
    assert_eq!(server.faults(), []);
}
