//! Who asks for more than they read, or for more than their share, costs the others nothing.

mod support;

use serde_json::json;
use support::{Chatd, Client, LIMIT};

/// Texts that are as long as they get on the wire.
fn fill_history(chatd: &Chatd, messages: usize) {
    let mut alice = chatd.log_in_once("alice");
    let text = "\n".repeat(4096);
    for _ in 0..messages {
        let answer = alice.ask(json!({"request": "message", "to": "alice", "text": text}));
        assert_eq!(answer["reply"], "accepted", "{answer}");
    }
}

/// Reads a whole answer to `history`; how many messages it brought.
fn read_history(client: &mut Client, id: u64) -> usize {
    let mut messages = 0;
    loop {
        let answer = client.answer(id);
        messages += answer["messages"].as_array().unwrap_or_else(|| panic!("{answer}")).len();
        if answer["continues"] != true {
            return messages;
        }
    }
}

#[test]
fn questions_about_history_are_answered_one_after_the_other_and_others_are_not_kept_waiting() {
    let chatd = Chatd::start(&["--durability", "process"]);
    fill_history(&chatd, 600);
    let mut greedy: Vec<(Client, Vec<u64>)> = (0..10)
        .map(|_| {
            let mut client = chatd.log_in_once("alice");
            let ids = (0..20).map(|_| client.request(json!({"request": "history", "limit": 500}))).collect();
            (client, ids)
        })
        .collect();
    let mut bob = chatd.log_in_once("bob");
    for _ in 0..20 {
        assert_eq!(bob.ask(json!({"request": "history"}))["reply"], "history");
    }
    let (client, ids) = &mut greedy[0];
    for id in &ids[..3] {
        assert_eq!(read_history(client, *id), 500, "who reads gets all answers, whole");
    }
    // The last request waits for the answers to those before it.
    let mut last = chatd.log_in_once("alice");
    let (history, log_out) = (last.request(json!({"request": "history"})), last.request(json!({"request": "log-out"})));
    assert_eq!(read_history(&mut last, history), 100);
    assert_eq!(last.answer(log_out)["reply"], "logged-out");
}

#[test]
fn a_slow_reader_that_gives_signs_of_life_is_not_taken_for_gone() {
    let chatd = Chatd::start(&["--durability", "process", "--heartbeat-timeout", "2"]);
    fill_history(&chatd, 600);
    let mut slow = chatd.log_in_once("alice");
    let ids: Vec<u64> = (0..3).map(|_| slow.request(json!({"request": "history", "limit": 500}))).collect();
    // Reading takes longer than the heartbeat allows, though never without a pause to breathe.
    let began = std::time::Instant::now();
    let mut messages = 0;
    while messages < 1500 {
        let answer = slow.line();
        assert!(ids.iter().any(|&id| answer["id"] == id), "{answer}");
        messages += answer["messages"].as_array().expect("messages").len();
        slow.send(&json!({"request": "alive"}));
        let pause = std::time::Duration::from_millis(25);
        let resume = std::time::Instant::now() + pause;
        while std::time::Instant::now() < resume {
            std::thread::yield_now();
        }
        assert!(began.elapsed() < LIMIT);
    }
    assert!(began.elapsed() > std::time::Duration::from_secs(2), "the test itself was too fast");
    slow.nothing_but_alive();
}
