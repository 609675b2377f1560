//! kill -9 at any moment loses nothing that was acknowledged to its sender and is for a client that acknowledges nothing by number.

use serde_json::json;

use crate::existing::datagram_client::{self, DatagramClient};
use crate::existing::request_client::{Manner, RequestClient};
use crate::existing::session_client::SessionClient;
use crate::support::{Chatd, Client, password};

/// How often the server is killed.
const KILLS: usize = 12;
/// Messages sent without waiting for their answers.
const BURST: u64 = 20;
/// The same to a client that has time to read each.
const BURST_TO_READ: u64 = 8;
const HEADER: &str = "Offline messages: \n";

/// bob, in one of these protocols.
enum Bob {
    Request(RequestClient),
    Session(SessionClient),
    Datagram(DatagramClient),
}

impl Bob {
    fn request(chatd: &Chatd) -> Bob {
        Bob::Request(RequestClient::logged_in(chatd.address(), "bob", password("bob")))
    }

    fn session(chatd: &Chatd) -> Bob {
        Bob::Session(SessionClient::connected(chatd.address(), "bob", password("bob")))
    }

    fn datagram(chatd: &Chatd) -> Bob {
        Bob::Datagram(DatagramClient::logged_in(chatd.address(), "bob", password("bob")))
    }

    /// As if nothing got through, where such a client can be had.
    fn is_deaf(&self) {
        match self {
            Bob::Request(client) => client.set_manner(Manner::Resets),
            Bob::Session(_) => {}
            Bob::Datagram(client) => client.set_manner(datagram_client::Manner::NeverAcknowledges),
        }
    }

    fn wait_for_the_last(&self) {
        match self {
            Bob::Request(client) => while !client.next().text.ends_with("alice:0\n") {},
            Bob::Session(client) => drop(client.wait_for("alice: 0")),
            Bob::Datagram(client) => drop(client.wait_for("MESSAGE_EXCHANGE", "Private message from alice: 0")),
        }
    }

    /// The numbers that were delivered.
    #[track_caller]
    fn delivered(&self) -> Vec<u64> {
        let lines: Vec<String> = match self {
            Bob::Request(client) => client.deliveries().concat().lines().map(str::to_owned).collect(),
            Bob::Session(client) => client.chunks(),
            Bob::Datagram(client) => client.datagrams(),
        };
        lines.iter().filter_map(|line| self.number(line)).collect()
    }

    #[track_caller]
    fn number(&self, line: &str) -> Option<u64> {
        let number = match self {
            Bob::Request(_) if line == HEADER.trim_end_matches('\n') || line.starts_with("note:") => return None,
            Bob::Request(_) => line.strip_prefix("alice:"),
            Bob::Session(_) if line == "CONNECTED\n" => return None,
            Bob::Session(_) => line.strip_prefix("alice: "),
            Bob::Datagram(_) if !line.contains("'MESSAGE_EXCHANGE'") => return None,
            Bob::Datagram(_) => {
                let body = line.strip_prefix("{'body': 'Private message from alice: ");
                body.and_then(|body| body.split('\'').next())
            }
        };
        let number = number.and_then(|number| number.parse().ok());
        Some(number.unwrap_or_else(|| panic!("no message: {line:?}")))
    }
}

/// Reads acknowledgements until so many have come or the connection ends.
fn read_acknowledged(client: &mut Client, wanted: usize, acknowledged: &mut Vec<u64>) {
    for _ in 0..wanted {
        match client.try_line() {
            Some(line) if line["reply"] == "accepted" => acknowledged.push(line["id"].as_u64().expect("an id")),
            Some(_) => {}
            None => return,
        }
    }
}

#[test]
fn what_was_acknowledged_arrives_in_order_at_a_client_of_request_after_every_kill() {
    what_was_acknowledged_arrives_in_order_after_every_kill(Bob::request, BURST);
}

#[test]
fn what_was_acknowledged_arrives_in_order_at_a_client_of_session_after_every_kill() {
    what_was_acknowledged_arrives_in_order_after_every_kill(Bob::session, BURST_TO_READ);
}

#[test]
fn what_was_acknowledged_arrives_in_order_at_a_client_of_datagram_after_every_kill() {
    what_was_acknowledged_arrives_in_order_after_every_kill(Bob::datagram, BURST);
}

fn what_was_acknowledged_arrives_in_order_after_every_kill(log_in: fn(&Chatd) -> Bob, burst: u64) {
    let mut chatd = Chatd::start(&[]);
    let (mut acknowledged, mut received) = (Vec::new(), Vec::new());
    let mut counter = 0;
    for kill in 0..KILLS {
        let bob = log_in(&chatd);
        // Every third time nothing gets through.
        if kill % 3 == 2 {
            bob.is_deaf();
        }
        let mut alice = chatd.log_in_once("alice");
        for _ in 0..burst {
            counter += 1;
            alice.send(&json!({"id": counter, "request": "message", "to": "bob", "text": format!("{counter}")}));
        }
        // The kill falls after another number of acknowledgements each time.
        read_acknowledged(&mut alice, (kill * 7) % (burst as usize + 1), &mut acknowledged);
        chatd.kill();
        read_acknowledged(&mut alice, usize::MAX, &mut acknowledged);
        let numbers = bob.delivered();
        assert!(numbers.is_sorted(), "{numbers:?}");
        received.extend(numbers);
        drop(bob);
        chatd.kill_and_restart();
    }
    let bob = log_in(&chatd);
    chatd.log_in_once("alice").ask(json!({"request": "message", "to": "bob", "text": "0"}));
    bob.wait_for_the_last();
    let mut numbers = bob.delivered();
    assert_eq!(numbers.pop(), Some(0));
    assert!(numbers.is_sorted(), "{numbers:?}");
    received.extend(numbers);
    let lost: Vec<u64> = acknowledged.iter().copied().filter(|number| !received.contains(number)).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    assert!(received.iter().all(|number| (1..=counter).contains(number)));
    assert!(acknowledged.len() < counter as usize, "no kill fell between a send and its acknowledgement");
}
