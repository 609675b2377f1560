//! When descriptors run out: who comes is turned away at once, who is there notices nothing, and it recovers by itself.

mod support;

use std::collections::BTreeSet;

use chatd::net::room::DESCRIPTORS_KEPT;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::json;
use support::{Chatd, Client};

/// Lowers a running server's limit so that it can have `room` more descriptors than it has.
fn leave_room(chatd: &Chatd, room: usize) {
    let used = descriptors(chatd);
    let free = (0..).filter(|number| !used.contains(number)).nth(room - 1).expect("a number");
    let pid = Pid::from_raw(chatd.pid().try_into().expect("a pid"));
    let limit = Rlimit { current: Some(free + 1), maximum: Some(20_000) };
    prlimit(pid, Resource::Nofile, limit).expect("a limit");
}

fn descriptors(chatd: &Chatd) -> BTreeSet<u64> {
    let entries = std::fs::read_dir(format!("/proc/{}/fd", chatd.pid())).expect("proc");
    entries
        .map(|entry| entry.expect("an entry").file_name().to_str().expect("ASCII").parse().expect("a number"))
        .collect()
}

fn is_served(client: &mut Client) -> bool {
    client.send(&json!({"id": 1, "request": "alive"}));
    client.try_line().is_some()
}

#[test]
fn who_comes_is_turned_away_and_who_is_there_notices_nothing() {
    const ROOM: usize = 5;
    let chatd = Chatd::start(&["--memory"]);
    let mut bystander = chatd.log_in("dave", 9);
    leave_room(&chatd, ROOM);
    let mut admitted: Vec<Client> = (0..ROOM).map(|_| chatd.connect()).collect();
    assert!(admitted.iter_mut().all(is_served), "there is room for these");
    for _ in 0..20 {
        assert!(!is_served(&mut chatd.connect()), "turned away, not left waiting");
        bystander.nothing_but_alive();
    }
    chatd.expect_log("descriptors have run out");
    assert!(admitted.iter_mut().all(is_served));
    let full = descriptors(&chatd).len();
    drop(admitted.pop());
    let end = std::time::Instant::now() + support::LIMIT;
    while descriptors(&chatd).len() == full {
        assert!(std::time::Instant::now() < end, "a descriptor is left behind");
    }
    assert!(is_served(&mut chatd.connect()), "there is room again");
}

#[test]
fn a_server_with_a_small_limit_takes_only_as_many_as_it_can_serve() {
    // Beside what is kept there is room for four sessions, a stranger, and one who has to go.
    let chatd = Chatd::start_with_descriptors(DESCRIPTORS_KEPT + 6);
    let mut bystander = chatd.log_in("dave", 9);
    let mut admitted: Vec<Client> = ["alice", "bob", "carol"].map(|user| chatd.log_in_once(user)).into();
    assert!(admitted.iter_mut().all(is_served));
    for _ in 0..20 {
        let mut client = chatd.connect();
        client.send(&json!({"id": 1, "request": "alive"}));
        assert_eq!(client.line()["error"], "full", "four are the most");
        assert_eq!(client.try_line(), None);
        bystander.nothing_but_alive();
    }
    chatd.expect_log("4 sessions are there");
    assert!(admitted.iter_mut().all(is_served));
}
