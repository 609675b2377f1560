//! kill -9 at any moment loses nothing that was acknowledged to its sender and is for a client that is called.

use serde_json::json;

use crate::existing::request_client::{Manner, RequestClient};
use crate::support::{Chatd, Client, password};

/// How often the server is killed.
const KILLS: usize = 12;
/// Messages sent without waiting for their answers.
const BURST: u64 = 20;
const HEADER: &str = "Offline messages: \n";

/// The numbers that were delivered to a client.
#[track_caller]
fn delivered(client: &RequestClient) -> Vec<u64> {
    let deliveries = client.deliveries().concat();
    let number = |line: &str| line.strip_prefix("alice:").and_then(|n| n.parse().ok());
    let lines = deliveries.lines().filter(|line| *line != HEADER.trim_end_matches('\n') && !line.starts_with("note:"));
    lines.map(|line| number(line).unwrap_or_else(|| panic!("no message: {line:?}"))).collect()
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
fn what_was_acknowledged_arrives_in_order_after_every_kill() {
    let mut chatd = Chatd::start(&[]);
    let (mut acknowledged, mut received) = (Vec::new(), Vec::new());
    let mut counter = 0;
    for kill in 0..KILLS {
        let bob = RequestClient::logged_in(chatd.address(), "bob", password("bob"));
        // Every third time nothing gets through.
        bob.set_manner(if kill % 3 == 2 { Manner::Resets } else { Manner::Reads });
        let mut alice = chatd.log_in_once("alice");
        for _ in 0..BURST {
            counter += 1;
            alice.send(&json!({"id": counter, "request": "message", "to": "bob", "text": format!("{counter}")}));
        }
        // The kill falls after another number of acknowledgements each time.
        read_acknowledged(&mut alice, (kill * 7) % (BURST as usize + 1), &mut acknowledged);
        chatd.kill();
        read_acknowledged(&mut alice, usize::MAX, &mut acknowledged);
        let numbers = delivered(&bob);
        assert!(numbers.is_sorted(), "{numbers:?}");
        received.extend(numbers);
        drop(bob);
        chatd.kill_and_restart();
    }
    let bob = RequestClient::logged_in(chatd.address(), "bob", password("bob"));
    chatd.log_in_once("alice").ask(json!({"request": "message", "to": "bob", "text": "0"}));
    while !bob.next().text.ends_with("alice:0\n") {}
    let mut numbers = delivered(&bob);
    assert_eq!(numbers.pop(), Some(0));
    assert!(numbers.is_sorted(), "{numbers:?}");
    received.extend(numbers);
    let lost: Vec<u64> = acknowledged.iter().copied().filter(|number| !received.contains(number)).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    assert!(received.iter().all(|number| (1..=counter).contains(number)));
    assert!(acknowledged.len() < counter as usize, "no kill fell between a send and its acknowledgement");
}
