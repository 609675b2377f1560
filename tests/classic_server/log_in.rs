//! The log-in of `request`, turn by turn.

use std::time::{Duration, Instant};

use crate::existing::End;
use crate::existing::request_client::{LogIn, Outcome, RequestClient};
use crate::scene::{ByHand, Scene};
use crate::support::{CREDENTIALS, LIMIT};

const WELCOME: &str = "Welcome to simple chat server!\n";
const UNKNOWN: &str = "Invalid Username. Please try again.\n";
const WRONG: &str = "Invalid Password. Please try again.\n";
const NOW_LOCKED: &str = "Invalid password. Your account has been blocked.\nPlease try again after sometime.\n";
const LOCKED: &str =
    "Due to multiple login failures, your account has been blocked.\nPlease try again after sometime.\n";

#[track_caller]
fn is(log_in: &LogIn, chunks: &[&str], outcome: Outcome) {
    assert_eq!(
        (log_in.chunks.as_slice(), &log_in.outcome),
        (&chunks.iter().map(|&c| c.to_owned()).collect::<Vec<_>>()[..], &outcome)
    );
}

fn logged_in(user: &str) -> Outcome {
    Outcome::LoggedIn(user.to_owned())
}

fn sent_away() -> Outcome {
    Outcome::Ended(End::Told("exit".to_owned()))
}

/// Two wrong passwords, and then the person goes away.
#[track_caller]
fn fail_twice(scene: &Scene, user: &str) {
    let log_in = RequestClient::open().log_in(scene.address(), user, &["wrong", "wrong again"]);
    let given_up = Outcome::GivenUp("prompt_password".to_owned());
    is(&log_in, &[WRONG, "prompt_password", WRONG, "prompt_password"], given_up);
}

#[track_caller]
fn fail_three_times(scene: &Scene, user: &str) {
    let log_in = RequestClient::open().log_in(scene.address(), user, &["wrong", "wrong again", "wrong for ever"]);
    is(&log_in, &[WRONG, "prompt_password", WRONG, "prompt_password", NOW_LOCKED, "exit"], sent_away());
}

#[test]
fn whoever_is_right_is_welcomed_and_then_named_as_the_account_is_spelled() {
    let scene = Scene::new();
    let mut client = RequestClient::open();
    let log_in = client.log_in(scene.address(), "alice", &["wonderland"]);
    is(&log_in, &[WELCOME, "Authenticated alice"], logged_in("alice"));
    scene.message("carol", "alice", "hi");
    client.expect("carol:hi\n");

    let mut client = RequestClient::open();
    let log_in = client.log_in(scene.address(), "BoB", &["builder"]);
    is(&log_in, &[WELCOME, "Authenticated bob"], logged_in("bob"));
    scene.message("carol", "bob", "hi");
    client.expect("carol:hi\n");
}

#[test]
fn a_name_that_is_unknown_is_asked_for_again_as_often_as_it_takes_and_the_first_port_stands() {
    let scene = Scene::new();
    let nobodies = ["nobody", "nobody-else", "no name", "", "everyone", "x", "y", "z"].map(|name| (name, "wonderland"));
    let mut client = RequestClient::open();
    let log_in = client.log_in_with(scene.address(), &[&nobodies[..], &[("alice", "wonderland")]].concat());
    let mut chunks = [UNKNOWN, "prompt"].repeat(nobodies.len());
    chunks.extend([WELCOME, "Authenticated alice"]);
    is(&log_in, &chunks, logged_in("alice"));
    scene.message("carol", "alice", "hi");
    client.expect("carol:hi\n");
}

#[test]
fn a_wrong_password_is_asked_for_again() {
    let scene = Scene::new();
    let mut client = RequestClient::open();
    let log_in = client.log_in(scene.address(), "alice", &["builder", "WONDERLAND", "wonderland"]);
    is(
        &log_in,
        &[WRONG, "prompt_password", WRONG, "prompt_password", WELCOME, "Authenticated alice"],
        logged_in("alice"),
    );
    scene.message("carol", "alice", "hi");
    client.expect("carol:hi\n");
}

#[test]
fn blanks_around_a_password_that_was_asked_for_again_are_not_of_it() {
    let scene = Scene::new();
    for answer in ["  wonderland", "wonderland \n", "\twonderland\r\n"] {
        let log_in = RequestClient::open().log_in(scene.address(), "alice", &["wrong", answer]);
        is(&log_in, &[WRONG, "prompt_password", WELCOME, "Authenticated alice"], logged_in("alice"));
    }
}

#[test]
fn the_newline_that_was_typed_is_no_part_of_the_port() {
    let scene = Scene::new();
    let mut client = scene.by_hand();
    client.say("newUser,alice,wonderland,5000\n");
    client.hears(WELCOME);
    client.say("ok");
    client.hears("Authenticated alice");
}

#[test]
fn a_password_may_hold_commas() {
    let scene = Scene::with_accounts(&format!("{CREDENTIALS}eve one,two,,3\n"));
    let log_in = RequestClient::open().log_in(scene.address(), "eve", &["one,two,,3"]);
    is(&log_in, &[WELCOME, "Authenticated eve"], logged_in("eve"));
    let log_in = RequestClient::open().log_in(scene.address(), "eve", &["one", "one,two,,3"]);
    is(&log_in, &[WRONG, "prompt_password", WELCOME, "Authenticated eve"], logged_in("eve"));
    let answers = [("nobody", "x"), ("eve", "one,two,,3")];
    let log_in = RequestClient::open().log_in_with(scene.address(), &answers);
    is(&log_in, &[UNKNOWN, "prompt", WELCOME, "Authenticated eve"], logged_in("eve"));
}

#[test]
fn the_third_wrong_password_locks_the_account_and_nothing_is_checked_until_the_time_is_over() {
    const LOCKOUT: Duration = Duration::from_secs(3);
    let scene = Scene::with(&["--lockout", "3"]);
    let there_before = scene.request("alice");
    let began = Instant::now();
    fail_three_times(&scene, "alice");
    loop {
        let log_in = RequestClient::open().log_in(scene.address(), "alice", &["wonderland"]);
        if log_in.outcome == logged_in("alice") {
            is(&log_in, &[WELCOME, "Authenticated alice"], logged_in("alice"));
            break;
        }
        // Trying makes it no longer.
        is(&log_in, &[LOCKED, "exit"], sent_away());
        assert!(began.elapsed() < LIMIT, "the lock does not end");
    }
    assert!(began.elapsed() >= LOCKOUT, "{:?}", began.elapsed());
    // A session that was there has noticed nothing of all this but its end, by the one that came after.
    there_before.expect("logout_duplicate");
    assert_eq!(there_before.expect_end(), End::Told("logout_duplicate".to_owned()));
}

#[test]
fn a_lock_holds_for_its_name_and_its_source_in_every_protocol_and_for_no_other() {
    let scene = Scene::new();
    fail_three_times(&scene, "alice");
    let log_in = RequestClient::open().log_in(scene.address(), "alice", &["wonderland"]);
    is(&log_in, &[LOCKED, "exit"], sent_away());
    let answers = [("nobody", "x"), ("alice", "wonderland")];
    let log_in = RequestClient::open().log_in_with(scene.address(), &answers);
    is(&log_in, &[UNKNOWN, "prompt", LOCKED, "exit"], sent_away());
    assert_eq!(scene.chat("alice", &["online"]).status, 77);

    scene.request("bob");
    let mut elsewhere = ByHand::connect_from([127, 0, 0, 2].into(), scene.address());
    elsewhere.say("newUser,alice,wonderland,5000");
    elsewhere.hears(WELCOME);
    elsewhere.say("ok");
    elsewhere.hears("Authenticated alice");
}

#[test]
fn a_lock_out_of_another_protocol_holds_here() {
    let scene = Scene::new();
    for _ in 0..3 {
        scene.chatd.connect().try_password("alice", "wrong");
    }
    let log_in = RequestClient::open().log_in(scene.address(), "alice", &["wonderland"]);
    is(&log_in, &[LOCKED, "exit"], sent_away());
}

#[test]
fn wrong_passwords_count_across_connections() {
    let scene = Scene::new();
    fail_twice(&scene, "alice");
    let log_in = RequestClient::open().log_in(scene.address(), "alice", &["wrong once more"]);
    is(&log_in, &[NOW_LOCKED, "exit"], sent_away());
}

#[test]
fn a_success_resets_the_count() {
    let scene = Scene::new();
    for _ in 0..3 {
        fail_twice(&scene, "alice");
        let log_in = RequestClient::open().log_in(scene.address(), "alice", &["wonderland"]);
        is(&log_in, &[WELCOME, "Authenticated alice"], logged_in("alice"));
    }
}

#[test]
fn the_lock_survives_the_server() {
    let mut scene = Scene::on_disk();
    fail_three_times(&scene, "alice");
    scene.chatd.kill_and_restart();
    let log_in = RequestClient::open().log_in(scene.address(), "alice", &["wonderland"]);
    is(&log_in, &[LOCKED, "exit"], sent_away());
}

#[test]
fn whoever_was_asked_for_a_nickname_logs_in_all_the_same() {
    let scene = Scene::new();
    let mut client = RequestClient::open();
    let dialogue = client.connect(scene.address()).wait_until_the_server_speaks();
    let log_in = dialogue.log_in_with(&[("alice", "wrong"), ("alice", "wonderland")]);
    is(&log_in, &["NICK", WRONG, "prompt_password", WELCOME, "Authenticated alice"], logged_in("alice"));
    scene.message("carol", "alice", "hi");
    client.expect("carol:hi\n");
}

#[test]
fn the_answer_to_the_nickname_is_passed_over() {
    let scene = Scene::new();
    let mut glued = scene.by_hand();
    let mut twice = scene.by_hand();
    for client in [&mut glued, &mut twice] {
        client.hears("NICK");
    }
    glued.say("newUser,alice,wrong,5000ok");
    glued.hears(WRONG);
    glued.say("ok");

    twice.say("newUser,carol,wrong,5000");
    twice.hears(WRONG);
    twice.say("okok");

    for (client, answer) in [(&mut glued, "wonderland"), (&mut twice, "christmas")] {
        client.hears("prompt_password");
        client.say(answer);
        client.hears(WELCOME);
        client.say("ok");
        assert!(client.chunk().starts_with("Authenticated "));
    }
}

#[test]
fn a_second_log_in_ends_the_first_and_nobody_else_hears_of_it() {
    let scene = Scene::new();
    let bob = scene.request("bob");
    let first = scene.request("alice");
    bob.expect("note:alice is online!\n");
    let second = scene.request("alice");
    first.expect("logout_duplicate");
    assert_eq!(first.expect_end(), End::Told("logout_duplicate".to_owned()));
    second.forward("bob", "it is me");
    bob.wait_for("alice:it is me\n");
    bob.forward("alice", "I see");
    second.expect("bob:I see\n");
    assert!(!bob.deliveries().iter().any(|text| text.contains("offline")), "{:?}", bob.deliveries());
}

#[test]
fn a_session_of_chat_stands_beside_one_that_is_called() {
    let scene = Scene::new();
    let mut native = scene.native("alice");
    let called = scene.request("alice");
    scene.message("carol", "alice", "to both");
    called.expect("carol:to both\n");
    native.session.hears("carol: to both");
    native.session.says("logout");
    native.session.has_ended(0);
    scene.message("carol", "alice", "to one");
    called.expect("carol:to one\n");
}
