//! History over sockets: asked once what was said is stored, paged, and the same after a restart.

mod support;

use serde_json::{Value, json};
use support::{Chatd, Client};

fn history(client: &mut Client, mut request: Value) -> (Vec<String>, bool) {
    request["request"] = "history".into();
    let mut texts = Vec::new();
    let id = client.request(request);
    loop {
        let answer = client.answer(id);
        for message in answer["messages"].as_array().expect("messages") {
            texts.push(format!("{} to {}: {}", message["from"], message["to"], message["text"]).replace('"', ""));
        }
        if answer["continues"] != true {
            return (texts, answer["more"].as_bool().expect("more"));
        }
    }
}

#[test]
fn history_of_a_pair_and_of_oneself_survives_a_restart() {
    let mut chatd = Chatd::start(&[]);
    let (mut alice, mut bob, mut carol) = (chatd.log_in("alice", 1), chatd.log_in("bob", 2), chatd.log_in("carol", 3));
    alice.ask(json!({"request": "message", "to": "bob", "text": "one"}));
    bob.ask(json!({"request": "message", "to": "alice", "text": "two"}));
    carol.ask(json!({"request": "message", "to": "alice", "text": "three"}));
    carol.ask(json!({"request": "broadcast", "text": "four"}));
    let pair = vec!["alice to bob: one".to_owned(), "bob to alice: two".to_owned()];
    let own = [&pair[..], &["carol to alice: three".to_owned(), "carol to everyone: four".to_owned()]].concat();
    for round in 0..2 {
        assert_eq!(history(&mut alice, json!({"with": "BOB"})), (pair.clone(), false), "round {round}");
        assert_eq!(history(&mut alice, json!({})), (own.clone(), false));
        assert_eq!(history(&mut alice, json!({"limit": 1})), (own[3..].to_vec(), true));
        assert_eq!(history(&mut alice, json!({"limit": 2, "before": 4})), (own[1..3].to_vec(), true));
        chatd.kill_and_restart();
        alice = chatd.log_in("alice", 1);
    }
}

#[test]
fn a_question_right_behind_a_message_knows_of_it() {
    let chatd = Chatd::start(&[]);
    let mut alice = chatd.log_in("alice", 1);
    alice.send_bytes(
        b"{\"id\":100,\"request\":\"message\",\"to\":\"bob\",\"text\":\"hi\"}\n{\"id\":101,\"request\":\"history\"}\n",
    );
    assert_eq!(alice.answer(101)["messages"][0]["text"], "hi");
}

#[test]
fn a_server_without_a_disk_has_history_while_it_runs() {
    let chatd = Chatd::start(&["--memory"]);
    let mut alice = chatd.log_in_once("alice");
    alice.ask(json!({"request": "message", "to": "bob", "text": "hi"}));
    assert_eq!(history(&mut alice, json!({})), (vec!["alice to bob: hi".to_owned()], false));
}
