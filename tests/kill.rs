//! kill -9 at any moment loses nothing that was acknowledged.

mod support;

use serde_json::json;
use support::{Chatd, Client};

/// How often the server is killed.
const KILLS: usize = 50;
/// Messages sent without waiting for their answers.
const BURST: u64 = 20;

/// Under load, at a moment that differs each time, with sends that are not acknowledged yet: after the restart everything
/// that was acknowledged arrives, once, in the sender's order.
#[test]
fn what_was_acknowledged_arrives_once_and_in_order_after_every_kill() {
    let mut chatd = Chatd::start(&["--messages-per-second", "off"]);
    let mut counter = 0;
    let mut shown = 0;
    let mut received: Vec<u64> = Vec::new();
    let mut acknowledged: Vec<u64> = Vec::new();
    let mut kills_with_open_sends = 0;
    for kill in 0..KILLS {
        let mut alice = chatd.log_in("alice", 1);
        let first = counter + 1;
        for _ in 0..BURST {
            counter += 1;
            alice.send(&json!({"id": counter, "request": "message", "to": "bob", "text": format!("{counter}"), "counter": counter}));
        }
        // The kill falls after another number of acknowledgements each time.
        let wanted = (kill * 7) % (BURST as usize + 1);
        let mut answered = read_acknowledged(&mut alice, wanted, &mut acknowledged);
        chatd.kill();
        answered += read_acknowledged(&mut alice, usize::MAX, &mut acknowledged);
        kills_with_open_sends += usize::from(answered < BURST as usize);
        chatd.kill_and_restart();
        // What was not answered is sent again under the same counters: whether the server has it or not, it has it once.
        let mut alice = chatd.log_in("alice", 1);
        for again in first + answered as u64..=counter {
            let answer =
                alice.ask(json!({"request": "message", "to": "bob", "text": format!("{again}"), "counter": again}));
            assert_eq!(answer["reply"], "accepted", "{answer}");
            acknowledged.push(again);
        }
        // Bob reads everything now and then, and acknowledges only every other time.
        if kill % 5 == 4 {
            let mut bob = chatd.log_in("bob", 2);
            while received.last() != Some(&counter) {
                let message = bob.event("message");
                let number = message["number"].as_u64().unwrap();
                if number > shown {
                    shown = number;
                    received.push(message["text"].as_str().unwrap().parse().unwrap());
                }
            }
            if kill % 10 == 9 {
                bob.ask(json!({"request": "acknowledge", "number": shown}));
            }
        }
    }
    assert!(kills_with_open_sends > 0, "no kill fell between a send and its acknowledgement");
    assert_eq!(acknowledged, (1..=counter).collect::<Vec<_>>());
    assert_eq!(received, acknowledged, "everything acknowledged, once, in order");
}

/// Reads acknowledgements until `wanted` have come or the connection ends. Comes back: how many came.
fn read_acknowledged(client: &mut Client, wanted: usize, acknowledged: &mut Vec<u64>) -> usize {
    let mut count = 0;
    while count < wanted {
        let Some(line) = client.try_line() else { break };
        if line["reply"] == "accepted" {
            acknowledged.push(line["id"].as_u64().unwrap());
            count += 1;
        }
    }
    count
}
