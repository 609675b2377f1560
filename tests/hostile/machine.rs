//! A machine that has run out: of descriptors, of room on the disk. Who is there notices nothing, who asks is told, and it
//! recovers by itself.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use chatd::net::room::DESCRIPTORS_KEPT;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::json;

use crate::scene::{LOG_IN_FIRST, NOT_AUTHENTICATED, Plain, Scene, refused};
use crate::support::chat::run;
use crate::support::{CREDENTIALS, Chatd, Client};

const DATA_DIRECTORY: i32 = 73;
const REQUEST: &[u8] = b"{\"id\":1,\"request\":\"online\"}\n";

fn limit(chatd: &Chatd, what: Resource, limit: Rlimit) {
    let pid = Pid::from_raw(chatd.pid().try_into().expect("a pid"));
    prlimit(pid, what, limit).expect("a limit");
}

/// Lowers a running server's limit so that it can have `room` more descriptors than it has.
fn leave_room(chatd: &Chatd, room: usize) {
    let used = descriptors(chatd);
    let free = (0..).filter(|number| !used.contains(number)).nth(room - 1).expect("a number");
    limit(chatd, Resource::Nofile, Rlimit { current: Some(free + 1), maximum: Some(20_000) });
}

fn descriptors(chatd: &Chatd) -> BTreeSet<u64> {
    let entries = std::fs::read_dir(format!("/proc/{}/fd", chatd.pid())).expect("proc");
    entries
        .map(|entry| entry.expect("an entry").file_name().to_str().expect("ASCII").parse().expect("a number"))
        .collect()
}

/// Whether somebody who comes is let in; or else they are turned away at once, without a word.
fn is_let_in(client: &mut Plain) -> bool {
    client.say_if_it_is_open(REQUEST);
    let told = client.line_or_end();
    assert!(told.is_empty() || told == LOG_IN_FIRST, "{told}");
    !told.is_empty()
}

#[test]
fn without_descriptors_who_comes_is_turned_away_and_who_is_there_notices_nothing() {
    const ROOM: usize = 5;
    let mut scene = Scene::new();
    leave_room(&scene.chatd, ROOM);
    let mut admitted: Vec<Plain> = (0..ROOM).map(|_| scene.connect()).collect();
    assert!(admitted.iter_mut().all(is_let_in), "there is room for these");
    for _ in 0..20 {
        assert!(!is_let_in(&mut scene.connect()), "turned away, not left waiting");
    }
    scene.chatd.expect_log("descriptors have run out");
    scene.bystander_is_served(20);
    let counts = scene.counts();
    assert!(counts["descriptors"].is_null(), "to count them needs one: {counts}");
    assert_eq!(counts["strangers"], ROOM, "{counts}");
    // The operator comes in all the same, one at a time, and as often as they like.
    for _ in 0..3 {
        assert_eq!(scene.chatd.status()["strangers"], ROOM);
    }
    assert!(admitted.iter_mut().all(is_let_in));
    drop(admitted.pop());
    scene.wait_for("one has gone", |counts| counts["strangers"] == ROOM - 1);
    let mut late = scene.connect();
    assert!(is_let_in(&mut late), "there is room again");
    limit(&scene.chatd, Resource::Nofile, Rlimit { current: Some(20_000), maximum: Some(20_000) });
    drop((admitted, late));
    scene.end(&[]);
}

fn is_served(client: &mut Client) -> bool {
    client.send(&json!({"id": 1, "request": "alive"}));
    client.try_line().is_some()
}

#[test]
fn a_server_with_a_small_limit_takes_only_as_many_as_it_can_serve() {
    // Beside what is kept there is room for four sessions, two strangers, and one of each other kind.
    let chatd = Chatd::start_with_descriptors(DESCRIPTORS_KEPT + 9);
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

/// No file grows, and nothing in it is written over: as on a disk that is full.
const FULL: Rlimit = Rlimit { current: Some(0), maximum: None };
const ROOMY: Rlimit = Rlimit { current: None, maximum: None };

#[test]
fn with_a_full_disk_nothing_is_promised_and_everything_else_goes_on() {
    let mut scene = Scene::around(Chatd::start(&[]), u64::MAX);
    let mut alice = scene.log_in("alice");
    let not_stored =
        |id: u64| refused(id, "not-stored", "the server can't write to its disk: nothing was done, try again later");
    limit(&scene.chatd, Resource::Fsize, FULL);
    for id in [3, 4, 5] {
        alice.say(format!("{{\"id\":{id},\"request\":\"message\",\"to\":\"bob\",\"text\":\"hi\"}}\n").as_bytes());
        alice.hears(&not_stored(id));
    }
    alice.say(b"{\"id\":6,\"request\":\"broadcast\",\"text\":\"hi\"}\n");
    alice.hears(&not_stored(6));
    alice.say(b"{\"id\":7,\"request\":\"block\",\"user\":\"bob\"}\n");
    alice.hears(&not_stored(7));
    alice.say(b"{\"id\":8,\"request\":\"history\"}\n");
    alice.hears("{\"id\":8,\"reply\":\"history\",\"messages\":[],\"more\":false}\n");
    scene.chatd.expect_log("the store can't write");
    assert_eq!(scene.connect().guess("carol").1, NOT_AUTHENTICATED);
    let mut bob = scene.log_in("bob");
    scene.bystander_is_served(20);
    let counts = scene.counts();
    assert_eq!((&counts["sessions"], &counts["waiting"]), (&3.into(), &0.into()), "{counts}");
    assert!(counts["unsaved"].as_u64() > Some(0), "wrong passwords are not forgotten: {counts}");

    limit(&scene.chatd, Resource::Fsize, ROOMY);
    alice.say(b"{\"id\":9,\"request\":\"message\",\"to\":\"bob\",\"text\":\"hi\"}\n");
    // Numbers that were lost are not given again.
    alice.hears("{\"id\":9,\"reply\":\"accepted\",\"number\":5,\"reach\":\"queued\"}\n");
    let again = |line: &String| line.contains("the store can't write");
    let said = scene.chatd.log_until("the store can write again");
    assert!(!said.iter().any(again), "it is said once: {said:?}");
    bob.say(b"{\"id\":3,\"request\":\"alive\"}\n");
    bob.hears("{\"id\":3,\"reply\":\"alive\"}\n");
    drop((alice, bob));
    let mut chatd = scene.end(&[("waiting", 1), ("counters", 3)]);
    // What was promised is there, and only that.
    chatd.start_again();
    let mut bob = chatd.connect();
    bob.log_in("bob", Some(1));
    assert_eq!(bob.event("message")["text"], "hi");
    bob.nothing_but_alive();
    assert_eq!(chatd.status()["counters"], 3);
}

#[test]
fn a_disk_that_is_full_at_the_start_is_told_in_one_line() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("credentials.txt"), CREDENTIALS).expect("credentials");
    // So many blocks of 512 bytes: for nothing, for the lock, for a part of the database.
    for blocks in [0, 1, 20, 70] {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -f {blocks}; exec \"$0\" \"$@\"")]).arg(env!("CARGO_BIN_EXE_chatd"));
        shell.args(["-q", "--port", "0", "--bind", "127.0.0.1", "--data-dir", "data"]).current_dir(dir.path());
        shell.env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let outcome = run(shell, b"");
        assert_eq!((outcome.out.as_str(), outcome.status), ("", DATA_DIRECTORY), "{blocks}: {}", outcome.error);
        assert_eq!(outcome.error.lines().count(), 1, "{blocks}: {}", outcome.error);
    }
    // Nothing that is left of it is a hindrance.
    assert!(Chatd::start_in(dir, &[]).stop().success());
}
