//! Limits as people meet them, with the real programs.

mod support;

use chatd::hub::log_in::LOG_IN_FAILURES_MAX;
use chatd::hub::presence::COMMANDS_MAX;
use serde_json::json;
use support::chat::Person;
use support::{Chatd, Client};

#[test]
fn a_script_that_sends_faster_than_it_may_takes_a_little_longer_and_keeps_its_order() {
    // A burst of 200, and then 20 a second.
    const COUNT: usize = 215;
    let chatd = Chatd::start(&["--durability", "process", "--messages-per-second", "20"]);
    let alice = Person::new(&chatd, "alice");
    let script: String = (0..COUNT).map(|n| format!("message bob {n}\n")).collect();
    let outcome = alice.chat_with_input(&[], script.as_bytes());
    assert_eq!((outcome.status, &*outcome.error), (0, ""), "{outcome:?}");
    assert_eq!(outcome.out.lines().filter(|line| line.starts_with("ok ")).count(), COUNT);
    let history = Person::new(&chatd, "bob").chat(&["history", "alice", "500"]).out;
    let texts: Vec<&str> = history.lines().filter_map(|line| line.rsplit_once(": ")).map(|(_, text)| text).collect();
    assert_eq!(texts, (0..COUNT).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[test]
fn sends_under_way_behind_one_that_was_too_fast_do_not_overtake_it() {
    const BURST: u64 = 10;
    const COUNT: u64 = 200;
    let chatd = Chatd::start(&["--durability", "process", "--messages-per-second", "1"]);
    let mut alice = chatd.log_in("alice", 1);
    let send = |alice: &mut Client, counter: u64| {
        alice.request(json!({"request": "message", "to": "bob", "text": counter.to_string(), "counter": counter}))
    };
    let ids: Vec<u64> = (1..=COUNT).map(|counter| send(&mut alice, counter)).collect();
    let answers: Vec<_> = ids.into_iter().map(|id| alice.answer(id)).collect();
    let refused = answers.iter().position(|answer| answer["error"] == "too-fast").expect("more than a burst");
    assert!(refused as u64 >= BURST, "{answers:?}");
    let after = answers[refused]["retry-after"].as_u64();
    assert!(after.is_some_and(|millis| (1..=1000).contains(&millis)), "a token comes each second: {answers:?}");
    for answer in &answers[refused + 1..] {
        assert_eq!(answer["error"], "out-of-turn", "{answers:?}");
    }
}

#[test]
fn off_is_off_and_nonsense_is_none() {
    let chatd = Chatd::start(&["--memory", "--messages-per-second", "off"]);
    let mut alice = chatd.log_in_once("alice");
    let ids: Vec<u64> = (0..2000).map(|_| alice.request(json!({"request": "broadcast", "text": "hi"}))).collect();
    for id in ids {
        assert_eq!(alice.answer(id)["reply"], "accepted");
    }
    for value in ["0", "1000001", "-1", "many", ""] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_chatd"));
        command.env_clear().env("CHATD_MESSAGES_PER_SECOND", value).args(["--memory", "--port", "0"]);
        let output = command.output().expect("it runs");
        assert_eq!(output.status.code(), Some(2), "{value:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("a number from 1 to 1000000, or off"), "{output:?}");
    }
}

#[test]
fn commands_beyond_the_bound_are_told_to_try_again_and_chat_itself_goes_on() {
    let chatd = Chatd::start(&["--memory"]);
    let mut commands: Vec<Client> = (0..COMMANDS_MAX).map(|_| chatd.log_in_once("alice")).collect();
    let alice = Person::new(&chatd, "alice");
    let told =
        "chat: too many commands of yours are logged in at a time: end some of them, or wait until they have ended\n";
    alice.chat(&["online"]).is("", told, 75);
    let session = alice.session(&chatd, &[]);
    commands.iter_mut().for_each(Client::nothing_but_alive);
    Person::new(&chatd, "bob").chat(&["online"]).is("alice\n", "", 0);
    let id = commands[0].request(json!({"request": "log-out"}));
    assert_eq!(commands[0].answer(id)["reply"], "logged-out");
    session.ends(0);
    alice.chat(&["online"]).is("", "", 0);
}

#[test]
fn five_failed_log_ins_end_a_connection_and_the_next_one_is_served() {
    let chatd = Chatd::start(&["--memory", "--password-tries", "100"]);
    let mut client = chatd.connect();
    for _ in 0..LOG_IN_FAILURES_MAX {
        assert_eq!(client.try_password("alice", "wrong")["error"], "not-authenticated");
    }
    assert_eq!(client.event("closing")["reason"], "failures");
    assert_eq!(client.try_line(), None);
    assert_eq!(chatd.connect().try_password("alice", "wonderland")["reply"], "logged-in");
}
