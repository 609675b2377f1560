//! The log-on of `session`, datagram by datagram, and the connection that it leads to.

use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

use crate::existing::datagram_client::{DatagramClient, Habits};
use crate::existing::digest::hex_sha256;
use crate::existing::python::Python;
use crate::existing::request_client::{Outcome, RequestClient};
use crate::existing::session_cipher::Cipher;
use crate::existing::session_client::{LogOn, Refusal, SessionClient};
use crate::existing::{End, LIMIT};
use crate::scene::{ByHand, Scene, end};
use crate::support::{CREDENTIALS, password};

const NOT_ON_LIST: &str = "Not on subscriber list.\n";
const AUTH_FAIL: &str = "AUTH_FAIL";
/// Somewhere else on this machine.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

fn open(scene: &Scene, user: &str) -> LogOn {
    LogOn::open(scene.address(), user, password(user))
}

fn heard(log_on: &LogOn) -> String {
    log_on.receive().expect("an answer")
}

/// A challenge, as it stands in the datagram.
#[track_caller]
fn challenge(log_on: &LogOn, user: &str) -> String {
    log_on.send(&format!("HELLO({user})"));
    let text = heard(log_on);
    let rand = text.strip_prefix("CHALLENGE(").and_then(|rest| rest.strip_suffix(')'));
    let rand = rand.unwrap_or_else(|| panic!("no challenge: {text:?}"));
    assert!(rand.len() == 10 && rand.bytes().all(|byte| byte.is_ascii_digit()) && !rand.starts_with('0'), "{text}");
    rand.to_owned()
}

/// The port that stands in the right answer to the right response.
#[track_caller]
fn port_in(answer: &str, rand: &str, secret: &str) -> u16 {
    let text = Cipher::new(rand, secret).apply(answer);
    let port = text.strip_prefix(&format!("AUTH_SUCCESS({rand}, ")).and_then(|rest| rest.strip_suffix(')'));
    let port = port.unwrap_or_else(|| panic!("no success: {text:?}"));
    assert!(port.len() == 4 && !port.starts_with('0'), "{text}");
    port.parse().expect("a port")
}

/// As long as a response, and none.
fn wrong_response(user: &str, guess: &str) -> String {
    format!("RESPONSE({user}, {})", hex_sha256(guess.as_bytes()))
}

/// A new challenge, and a wrong answer to it.
#[track_caller]
fn fail(scene: &Scene, user: &str) {
    let log_on = open(scene, user);
    challenge(&log_on, user);
    log_on.send(&wrong_response(user, "a guess"));
    assert_eq!(heard(&log_on), AUTH_FAIL);
}

#[track_caller]
fn is_refused(scene: &Scene, user: &str, secret: &str, refusal: &Refusal) {
    assert_eq!(SessionClient::log_on(scene.address(), user, secret).err().as_ref(), Some(refusal), "{user}");
}

#[test]
fn the_right_answer_to_the_challenge_opens_a_session() {
    let scene = Scene::new();
    let log_on = open(&scene, "alice");
    let rand = challenge(&log_on, "alice");
    log_on.send_response(&rand);
    let port = port_in(&heard(&log_on), &rand, password("alice"));
    let alice = log_on.connect(&rand, port).expect("somebody listens before it is said where");
    alice.expect("CONNECTED\n");
    alice.expect_nothing_else();
    assert!(log_on.has_nothing());
}

#[test]
fn a_name_is_compared_without_case_and_shown_as_the_account_spells_it() {
    let scene = Scene::new();
    let bob = scene.request("bob");
    let alice = SessionClient::connected(scene.address(), "ALICE", password("alice"));
    bob.expect("note:alice is online!\n");
    alice.expect_nothing_else();
}

#[test]
fn whoever_has_no_secret_that_the_server_knows_is_not_on_the_list() {
    let scene = Scene::on_disk();
    // A verifier is no secret.
    scene.chatd.add("eve", "garden");
    for user in ["nobody", "eve", "", "two words", "al\u{ed}ce", "server", "alice, alice", &"x".repeat(33)] {
        is_refused(&scene, user, "garden", &Refusal::NotOnList);
    }
    let log_on = open(&scene, "alice");
    log_on.send("HELLO(nobody)");
    assert_eq!(heard(&log_on), NOT_ON_LIST);
}

#[test]
fn an_account_for_classic_clients_has_a_secret_and_keeps_it_over_a_restart() {
    let mut scene = Scene::on_disk();
    assert_eq!(scene.chatd.user(&["add", "eve", "--classic"], "garden of eden\n").status, 0);
    SessionClient::connected(scene.address(), "eve", "garden of eden").expect_nothing_else();
    scene.chatd.kill_and_restart();
    SessionClient::connected(scene.address(), "eve", "garden of eden").expect_nothing_else();
    is_refused(&scene, "eve", "garden", &Refusal::AuthFail);
}

#[test]
fn a_wrong_answer_fails_and_so_does_one_to_no_challenge() {
    let scene = Scene::new();
    let log_on = open(&scene, "alice");
    log_on.send(&wrong_response("alice", "before any challenge"));
    assert_eq!(heard(&log_on), AUTH_FAIL);
    let rand = challenge(&log_on, "alice");
    // The right answer, in the name of somebody else.
    LogOn::send(&log_on, &format!("RESPONSE(bob, {})", hex_sha256(format!("{rand}wonderland").as_bytes())));
    assert_eq!(heard(&log_on), AUTH_FAIL);
    log_on.send(&wrong_response("alice", "a guess"));
    assert_eq!(heard(&log_on), AUTH_FAIL);
    // An answer to a challenge that has been answered.
    log_on.send_response(&rand);
    assert_eq!(heard(&log_on), AUTH_FAIL);
    // A new one can be met.
    let rand = challenge(&log_on, "alice");
    assert!(log_on.respond(&rand).is_ok());
}

#[test]
fn a_hello_again_gets_the_same_challenge_until_it_is_answered() {
    let scene = Scene::new();
    let (log_on, elsewhere) = (open(&scene, "alice"), open(&scene, "alice"));
    let rand = challenge(&log_on, "alice");
    assert_eq!(challenge(&log_on, "alice"), rand);
    assert_ne!(challenge(&elsewhere, "alice"), rand);
    assert_ne!(challenge(&log_on, "bob"), rand);
    assert_eq!(challenge(&log_on, "alice"), rand);
    assert!(log_on.respond(&rand).is_ok());
    assert_ne!(challenge(&log_on, "alice"), rand);
}

#[test]
fn the_same_response_again_gets_the_same_answer() {
    let scene = Scene::new();
    let log_on = open(&scene, "alice");
    let rand = challenge(&log_on, "alice");
    log_on.send_response(&rand);
    let answer = heard(&log_on);
    for _ in 0..3 {
        log_on.send_response(&rand);
        assert_eq!(heard(&log_on), answer);
    }
    // The hello came twice, and its copy last.
    let later = challenge(&log_on, "alice");
    log_on.send_response(&rand);
    assert_eq!(heard(&log_on), answer);
    let alice = log_on.connect(&rand, port_in(&answer, &rand, password("alice"))).expect("somebody listens");
    alice.expect("CONNECTED\n");
    // What was answered while it was under way can be answered still, and ends nothing until somebody connects.
    log_on.send_response(&later);
    port_in(&heard(&log_on), &later, password("alice"));
    alice.expect_nothing_else();
}

#[test]
fn the_same_wrong_response_again_counts_once() {
    let scene = Scene::new();
    let log_on = open(&scene, "alice");
    challenge(&log_on, "alice");
    for _ in 0..5 {
        log_on.send(&wrong_response("alice", "a guess"));
        assert_eq!(heard(&log_on), AUTH_FAIL);
    }
    scene.session("alice").expect_nothing_else();
}

#[test]
fn the_third_wrong_response_locks_the_account_and_nothing_is_checked_until_the_time_is_over() {
    const LOCKOUT: Duration = Duration::from_secs(3);
    let scene = Scene::with(&["--lockout", "3"]);
    let there_before = scene.session("alice");
    (0..2).for_each(|_| fail(&scene, "alice"));
    scene.session("alice").expect_nothing_else();
    // The success has reset the count.
    let began = Instant::now();
    (0..3).for_each(|_| fail(&scene, "alice"));
    loop {
        match SessionClient::log_on(scene.address(), "alice", password("alice")) {
            Ok(alice) => {
                alice.expect("CONNECTED\n");
                break;
            }
            Err(refusal) => assert_eq!(refusal, Refusal::AuthFail),
        }
        assert!(began.elapsed() < LIMIT, "the lock does not end");
        // Who asks too often has no answer.
        thread::sleep(LOCKOUT / 10);
    }
    assert!(began.elapsed() >= LOCKOUT, "{:?}", began.elapsed());
    assert_eq!(end(&there_before), End::Reset);
}

#[test]
fn a_lock_of_a_session_holds_in_every_protocol_from_there_and_for_no_other() {
    let scene = Scene::new();
    (0..3).for_each(|_| fail(&scene, "alice"));
    is_refused(&scene, "alice", password("alice"), &Refusal::AuthFail);
    let log_in = RequestClient::open().log_in(scene.address(), "alice", &["wonderland"]);
    assert_eq!(log_in.outcome, Outcome::Ended(End::Told("exit".to_owned())), "{:?}", log_in.chunks);
    assert_eq!(scene.chatd.connect().try_password("alice", "wonderland")["error"], "not-authenticated");
    let by_datagram = DatagramClient::open(scene.address(), "alice", Habits::of(Python::Two));
    by_datagram.log_in(password("alice"));
    assert_eq!(by_datagram.next().message_type, "ERROR");
    // Neither another name nor another place is locked.
    scene.session("bob").expect_nothing_else();
    let log_on = LogOn::open_from(ELSEWHERE, scene.address(), "alice", password("alice"));
    let rand = log_on.hello().expect("a challenge");
    assert!(log_on.respond(&rand).is_ok());
}

#[test]
fn wrong_passwords_of_every_protocol_lock_a_session_too() {
    let scene = Scene::new();
    fail(&scene, "alice");
    scene.chatd.connect().try_password("alice", "wrong");
    let by_datagram = DatagramClient::open(scene.address(), "alice", Habits::of(Python::Two));
    by_datagram.log_in("wrong");
    assert_eq!(by_datagram.next().message_type, "ERROR");
    is_refused(&scene, "alice", password("alice"), &Refusal::AuthFail);
}

#[test]
fn the_lock_survives_the_server() {
    let mut scene = Scene::on_disk();
    (0..3).for_each(|_| fail(&scene, "alice"));
    scene.chatd.kill_and_restart();
    is_refused(&scene, "alice", password("alice"), &Refusal::AuthFail);
}

#[test]
fn a_session_is_for_who_has_logged_on_from_there_and_once() {
    let scene = Scene::new();
    let log_on = open(&scene, "alice");
    let rand = challenge(&log_on, "alice");
    let port = log_on.respond(&rand).expect("a port");
    let connect = Cipher::new(&rand, password("alice")).apply(&format!("CONNECT({rand})"));
    let server = (scene.address().ip(), port).into();
    // With the right bytes, from another address.
    let mut thief = ByHand::connect_from(ELSEWHERE.into(), server);
    thief.say(&connect);
    assert!(!thief.rest().0.contains("CONNECTED"));
    let alice = log_on.connect(&rand, port).expect("somebody listens");
    alice.expect("CONNECTED\n");
    // With the right bytes, once more.
    let mut copy = ByHand::connect(server);
    copy.say(&connect);
    let said = copy.rest().0;
    assert_ne!(Cipher::new(&rand, password("alice")).apply(&said), "CONNECTED\n");
    alice.expect_nothing_else();
}

#[test]
fn a_second_log_on_ends_the_first_when_its_client_connects() {
    let scene = Scene::new();
    let bob = scene.session("bob");
    let first = scene.session("alice");
    let log_on = open(&scene, "alice");
    let rand = challenge(&log_on, "alice");
    let port = log_on.respond(&rand).expect("a port");
    first.expect_nothing_else();
    let second = log_on.connect(&rand, port).expect("somebody listens");
    second.expect("CONNECTED\n");
    assert_eq!(end(&first), End::Reset);
    scene.message("carol", "alice", "hi");
    second.expect("carol: hi");
    bob.expect_nothing_else();
}

#[test]
fn of_two_log_ons_of_a_user_from_one_address_the_later_is_expected() {
    let scene = Scene::new();
    let (one, other) = (open(&scene, "alice"), open(&scene, "alice"));
    let (rand, other_rand) = (challenge(&one, "alice"), challenge(&other, "alice"));
    let port = one.respond(&rand).expect("a port");
    let other_port = other.respond(&other_rand).expect("a port");
    let first = one.connect(&rand, port).expect("somebody listens");
    assert_ne!(first.next_or_end().ok().as_deref(), Some("CONNECTED\n"));
    let second = other.connect(&other_rand, other_port).expect("somebody listens");
    second.expect("CONNECTED\n");
}

#[test]
fn several_users_log_on_at_once() {
    let scene = Scene::new();
    let users = ["alice", "bob", "carol", "dave"];
    let log_ons = users.map(|user| open(&scene, user));
    let rands = [0, 1, 2, 3].map(|n| challenge(&log_ons[n], users[n]));
    let ports = [3, 2, 1, 0].map(|n| log_ons[n].respond(&rands[n]).expect("a port"));
    let clients = [2, 0, 3, 1].map(|n| log_ons[n].connect(&rands[n], ports[3 - n]).expect("somebody listens"));
    clients.iter().for_each(|client| client.expect("CONNECTED\n"));
    clients.iter().for_each(|client| client.expect_nothing_else());
}

#[test]
fn a_secret_is_the_rest_of_its_line_in_any_script() {
    let scene = Scene::with_accounts(&format!("{CREDENTIALS}eve g\u{e4}rten (und,\u{1f389})\n"));
    let eve = SessionClient::connected(scene.address(), "eve", "g\u{e4}rten (und,\u{1f389})");
    eve.expect_nothing_else();
    is_refused(&scene, "eve", "garten", &Refusal::AuthFail);
}

#[test]
fn a_failure_is_in_the_log_with_its_address_which_nothing_proves() {
    let scene = Scene::new();
    fail(&scene, "alice");
    let line = scene.chatd.expect_log("log-in failed");
    assert!(line.ends_with("log-in failed by a datagram that says it is from 127.0.0.1 (wrong password)"), "{line}");
}

#[test]
fn out_of_scope_there_is_no_answer() {
    let scene = Scene::with(&["--plaintext", "127.0.0.2/32"]);
    let (out, within) = (open(&scene, "alice"), LogOn::open_from(ELSEWHERE, scene.address(), "alice", "wonderland"));
    for text in ["HELLO(alice)", "HELLO(nobody)", "RESPONSE(alice, 00)", "HELLO("] {
        out.send(text);
    }
    let rand = within.hello().expect("a challenge");
    let port = within.respond(&rand).expect("a port");
    assert!(out.has_nothing());
    within.connect(&rand, port).expect("somebody listens").expect("CONNECTED\n");
}
