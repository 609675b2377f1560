//! What waits for the store, and what happens while it is behind.

use super::*;
use crate::hub::message::HistoryPage;

fn broadcast(id: usize, text: &str) -> String {
    format!("{{\"id\":{id},\"request\":\"broadcast\",\"text\":\"{text}\"}}\n")
}

#[test]
fn nobody_is_read_while_the_store_is_too_far_behind_and_nobody_is_late() {
    let mut world = World::new();
    let alice = world.log_in("alice", 0);
    let stranger = world.connect();
    world.turn.environment.keeps_at_once = false;
    for id in 0..BATCHES_IN_FLIGHT_MAX {
        world.say(&alice, broadcast(id, "hi").as_bytes());
        world.turn.go_round(world.now, Some(world.now.instant));
    }
    assert_eq!(world.turn.environment.waiting.len(), BATCHES_IN_FLIGHT_MAX);
    world.say(&alice, broadcast(9, "one more").as_bytes());
    world.turn.go_round(world.now, Some(world.now.instant));
    assert!(world.turn.is_congested());
    assert_eq!(world.turn.environment.waiting.len(), BATCHES_IN_FLIGHT_MAX, "it is not read");
    assert_eq!(world.turn.timeout(world.now.instant), None, "and costs no turns");
    world.now.instant = world.now.instant + LOG_IN_WITHIN;
    world.turn.go_round(world.now, Some(world.now.instant));
    assert_eq!((alice.told(), stranger.told()), (String::new(), String::new()));
    world.persist();
    world.persist();
    assert_eq!(alice.told().lines().count(), BATCHES_IN_FLIGHT_MAX + 1);
}

#[test]
fn so_many_bytes_in_flight_are_too_far_behind_as_well() {
    let mut world = World::new();
    let senders: Vec<Client> = (0..8).map(|_| world.log_in("alice", 0)).collect();
    world.turn.environment.keeps_at_once = false;
    let text = "x".repeat(4096);
    let mut rounds = 0;
    while !world.turn.is_congested() {
        for sender in &senders {
            world.say(sender, broadcast(rounds, &text).repeat(3).as_bytes());
        }
        world.turn.go_round(world.now, Some(world.now.instant));
        rounds += 1;
        assert!(rounds < BATCHES_IN_FLIGHT_MAX, "bytes were to be too many before batches are");
    }
    assert!(world.turn.in_flight_bytes < BYTES_IN_FLIGHT_MAX + 2 * READ_BYTES_A_TURN * 8);
    world.persist();
    world.persist();
    assert!(!world.turn.is_congested());
}

#[test]
fn the_store_has_thirty_two_questions_at_a_time() {
    let mut world = World::new();
    let clients: Vec<Client> = (0..QUERIES_ASKED_MAX + 1).map(|n| world.log_in(NAMES[n % 4], 0)).collect();
    for client in &clients {
        client.told();
        world.say(client, b"{\"id\":1,\"request\":\"history\"}\n{\"id\":2,\"request\":\"alive\"}\n");
    }
    world.settle();
    assert_eq!(world.turn.environment.asked.len(), QUERIES_ASKED_MAX);
    assert!(clients.iter().all(|client| client.told().is_empty()), "the next request waits for the answer");
    let page = Some(HistoryPage { messages: vec![], more: false });
    let first = world.turn.environment.asked[0];
    world.turn.environment.completions.push(Completion::Page { ticket: first, page });
    world.settle();
    assert_eq!(world.turn.environment.asked.len(), QUERIES_ASKED_MAX + 1);
    let answered: Vec<String> = clients.iter().map(Client::told).filter(|told| !told.is_empty()).collect();
    let both = "{\"id\":1,\"reply\":\"history\",\"messages\":[],\"more\":false}\n{\"id\":2,\"reply\":\"alive\"}\n";
    assert_eq!(answered, [both]);
}

#[test]
fn what_was_lost_is_refused_and_what_came_after_is_kept() {
    let mut world = World::new();
    let alice = world.log_in("alice", 0);
    let bob = world.log_in("bob", 1);
    alice.told();
    bob.told();
    world.turn.environment.keeps_at_once = false;
    world.ask(&alice, &message(1, "bob", "lost"));
    let first = world.turn.environment.waiting[0].number;
    world.turn.environment.waiting.clear();
    world.turn.environment.completions.push(Completion::Failed { first, error: "full".to_owned() });
    world.settle();
    let refused = "{\"id\":1,\"error\":\"not-stored\",\"text\":\"the server can't write to its disk: nothing was done, try again later\"}\n";
    assert_eq!((alice.told().as_str(), bob.told().as_str()), (refused, ""));
    world.ask(&alice, &message(2, "bob", "kept"));
    assert_eq!((alice.told(), bob.told()), (String::new(), String::new()));
    world.persist();
    assert!(alice.told().contains("\"id\":2,\"reply\":\"accepted\""));
    assert!(bob.told().contains("\"text\":\"kept\""));
}

#[test]
fn the_operator_learns_what_the_store_owes_while_it_owes_it() {
    let mut world = World::new();
    let alice = world.log_in("alice", 0);
    let operator = world.connect_by(Door::Control);
    world.turn.environment.keeps_at_once = false;
    let owed = |world: &mut World| {
        let told = world.ask(&operator, "{\"id\":1,\"request\":\"status\"}\n");
        let counts = serde_json::from_str::<Value>(&told).unwrap()["counts"].take();
        ["batches", "batch-bytes", "questions", "out-bytes"].map(|count| counts[count].as_u64().unwrap())
    };
    assert_eq!(owed(&mut world), [0; 4]);
    assert_eq!(world.ask(&alice, &broadcast(1, "hi")), "");
    assert_eq!(world.ask(&alice, "{\"id\":2,\"request\":\"history\"}\n"), "");
    let accepted = "{\"id\":1,\"reply\":\"accepted\",\"number\":1,\"reach\":\"online\"}\n";
    assert_eq!(owed(&mut world), [1, 256 + 2, 1, accepted.len() as u64]);
    world.persist();
    assert_eq!((alice.told().as_str(), owed(&mut world)), (accepted, [0, 0, 1, 0]));
}
