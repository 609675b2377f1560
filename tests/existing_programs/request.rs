//! `request`: the client with the server, everything that their tables have.

use std::time::Duration;

use super::existing::request_client::{LogIn, Manner, Meaning, Outcome, RequestClient};
use super::existing::request_server::{RequestServer, Settings};
use super::existing::{End, Fault};

const ACCOUNTS: [(&str, &str); 3] = [("alice", "wonder,land"), ("bob", "builder"), ("carol", "christmas")];
const UNKNOWN_NAME: &str = "Invalid Username. Please try again.\n";
const WRONG_PASSWORD: &str = "Invalid Password. Please try again.\n";
const NOW_LOCKED: &str = "Invalid password. Your account has been blocked.\nPlease try again after sometime.\n";
const LOCKED: &str =
    "Due to multiple login failures, your account has been blocked.\nPlease try again after sometime.\n";
const WELCOME: &str = "Welcome to simple chat server!\n";
const UNKNOWN_USER: &str = "No such User in the system\n";

fn server() -> RequestServer {
    RequestServer::start(&ACCOUNTS)
}

/// One that answers a lock-out text as a whole, which is the only way in which this client copes with it.
fn server_that_locks_for(lockout: Duration) -> RequestServer {
    RequestServer::start_with(&Settings { lockout, lockout_writes_apart: None, ..Settings::new(&ACCOUNTS) })
}

fn alice(server: &RequestServer) -> RequestClient {
    RequestClient::logged_in(server.address(), "alice", "wonder,land")
}

/// The others know.
fn bob(server: &RequestServer, others: &[&RequestClient]) -> RequestClient {
    let bob = RequestClient::logged_in(server.address(), "bob", "builder");
    others.iter().for_each(|other| other.expect("note:bob is online!\n"));
    bob
}

fn carol(server: &RequestServer, others: &[&RequestClient]) -> RequestClient {
    let carol = RequestClient::logged_in(server.address(), "carol", "christmas");
    others.iter().for_each(|other| other.expect("note:carol is online!\n"));
    carol
}

#[test]
fn the_right_password_is_enough() {
    let server = server();
    let mut alice = RequestClient::open();
    let log_in = alice.log_in(server.address(), "alice", &["wonder,land"]);
    assert_eq!(log_in.chunks, [WELCOME, "Authenticated alice"]);
    assert_eq!(log_in.outcome, Outcome::LoggedIn("alice".to_owned()));
    server.expect(&format!("newUser,alice,wonder,land,{}", alice.port()));
    server.expect("ok");
    assert_eq!(server.online(), ["alice"]);
    alice.expect_nothing_else();
    assert_eq!(server.faults(), []);
}

#[test]
fn an_unknown_name_may_be_typed_again_as_often_as_one_likes() {
    let server = server();
    let typed = [("alise", "x"), ("alyce", "y"), ("ali", "z"), ("al", "a"), ("bob", "builder")];
    let log_in = RequestClient::open().log_in_with(server.address(), &typed);
    let refused = [UNKNOWN_NAME, "prompt"].repeat(4);
    assert_eq!(log_in.chunks, [&refused[..], &[WELCOME, "Authenticated bob"]].concat());
    assert_eq!(server.chunks()[1..4], ["ok", "alyce,y", "ok"]);
}

#[test]
fn a_wrong_password_may_be_typed_again_twice() {
    let server = server_that_locks_for(Duration::from_secs(3600));
    let mut bob = RequestClient::open();
    let log_in = bob.log_in(server.address(), "bob", &["x", "y", " builder "]);
    let refused = [WRONG_PASSWORD, "prompt_password"].repeat(2);
    assert_eq!(log_in.chunks, [&refused[..], &[WELCOME, "Authenticated bob"]].concat());
    bob.end();

    // The success has started the count anew; it goes on from one connection to the next.
    let log_in = log_in_as_bob(&server, &["x", "y"]);
    assert_eq!(log_in.chunks, refused);
    assert_eq!(log_in.outcome, Outcome::GivenUp("prompt_password".to_owned()));
    assert_sent_away(&log_in_as_bob(&server, &["z"]), &[NOW_LOCKED, "exit"]);
    assert_sent_away(&log_in_as_bob(&server, &["builder"]), &[LOCKED, "exit"]);
    assert_eq!(server.faults(), []);
}

#[test]
fn a_lock_out_ends() {
    let server = server_that_locks_for(Duration::ZERO);
    let refused = [WRONG_PASSWORD, "prompt_password"].repeat(2);
    let sent_away = [&refused[..], &[NOW_LOCKED, "exit"]].concat();
    assert_sent_away(&log_in_as_bob(&server, &["x", "y", "z"]), &sent_away);
    assert_eq!(log_in_as_bob(&server, &["builder"]).chunks, [WELCOME, "Authenticated bob"]);
}

fn log_in_as_bob(server: &RequestServer, passwords: &[&str]) -> LogIn {
    RequestClient::open().log_in(server.address(), "bob", passwords)
}

#[track_caller]
fn assert_sent_away(log_in: &LogIn, chunks: &[&str]) {
    assert_eq!(log_in.chunks, chunks);
    assert_eq!(log_in.outcome, Outcome::Ended(End::Told("exit".to_owned())));
}

#[test]
fn a_message_goes_to_one_user() {
    let server = server();
    let alice = alice(&server);
    let bob = bob(&server, &[&alice]);
    let carol = carol(&server, &[&alice, &bob]);
    alice.forward("bob", "one, two, and ünïcode");
    bob.expect("alice:one, two, and ünïcode\n");
    alice.forward("nobody", "hi");
    alice.expect(UNKNOWN_USER);
    for client in [&alice, &bob, &carol] {
        client.expect_nothing_else();
    }
    assert_eq!(server.faults(), []);
}

#[test]
fn what_comes_while_one_is_away_is_kept() {
    let server = server();
    let mut alice = alice(&server);
    for text in ["one", "two"] {
        alice.forward("bob", text);
        server.wait_for(&format!("forward,alice,bob,{text}\n"));
        alice.expect_nothing_else();
    }
    let bob = bob(&server, &[&alice]);
    bob.expect("Offline messages: \nalice:one\nalice:two\n");
    alice.log_out();
    bob.expect("note:alice is offline!\n");
    bob.expect_nothing_else();
}

#[test]
fn a_block_is_one_way() {
    let server = server();
    let alice = alice(&server);
    let bob = bob(&server, &[&alice]);
    alice.block("bob");
    alice.expect("User bob has been blocked\n");
    bob.forward("alice", "hi");
    bob.expect("Your message could not bedelivered\nas the recipient has blocked you\n");
    alice.forward("bob", "you can't answer");
    bob.expect("alice:you can't answer\n");
    bob.ask_for_address("alice");
    bob.expect("getaddress,blocked");
    alice.unblock("bob");
    alice.expect("User bob is unblocked\n");
    alice.unblock("bob");
    alice.expect("User bob is not in the blocked list\n");
    bob.forward("alice", "again");
    alice.expect("bob:again\n");
    alice.expect_nothing_else();
    bob.expect_nothing_else();
}

#[test]
fn those_whom_one_has_blocked_are_not_told_of_ones_presence() {
    let server = server();
    let mut alice = alice(&server);
    let bob = bob(&server, &[&alice]);
    let carol = carol(&server, &[&alice, &bob]);
    alice.block("bob");
    alice.expect("User bob has been blocked\n");
    alice.log_out();
    carol.expect("note:alice is offline!\n");
    let _alice = RequestClient::logged_in(server.address(), "alice", "wonder,land");
    carol.expect("note:alice is online!\n");
    bob.expect_nothing_else();
}

#[test]
fn a_broadcast_leaves_out_those_who_have_blocked_the_sender() {
    let server = server();
    let alice = alice(&server);
    let bob = bob(&server, &[&alice]);
    let carol = carol(&server, &[&alice, &bob]);
    alice.broadcast("all");
    bob.expect("alice:all\n");
    carol.expect("alice:all\n");
    alice.expect_nothing_else();
    bob.block("alice");
    bob.expect("User alice has been blocked\n");
    alice.broadcast("some, not all");
    carol.expect("alice:some, not all\n");
    alice.expect("Your message could not be delivered to some recipients\n");
    alice.expect_nothing_else();
    bob.expect_nothing_else();
}

#[test]
fn the_list_of_those_online_leaves_out_the_asker_and_who_has_blocked_the_asker() {
    let server = server();
    let alice = alice(&server);
    alice.ask_who_is_online();
    alice.expect_meaning(&Meaning::Online(Vec::new()));
    let bob = bob(&server, &[&alice]);
    let carol = carol(&server, &[&alice, &bob]);
    alice.ask_who_is_online();
    alice.expect("online,bob,carol");
    bob.block("alice");
    bob.expect("User alice has been blocked\n");
    alice.ask_who_is_online();
    alice.expect_meaning(&Meaning::Online(vec!["carol".to_owned()]));
    carol.ask_who_is_online();
    carol.expect("online,alice,bob");
}

#[test]
fn an_address_needs_a_yes() {
    let server = server();
    let alice = alice(&server);
    alice.ask_for_address("bob");
    alice.expect_meaning(&Meaning::NoAddress("offline".to_owned()));
    alice.ask_for_address("nobody");
    alice.expect(UNKNOWN_USER);
    let bob = bob(&server, &[&alice]);
    alice.ask_for_address("bob");
    bob.expect_meaning(&Meaning::PrivateConsent("alice".to_owned()));
    bob.answer("alice", "no way");
    alice.expect("getaddress,no");
    alice.ask_for_address("bob");
    bob.expect("private_consent,alice");
    bob.answer("alice", "yes");
    let address = ([127, 0, 0, 1], bob.port()).into();
    alice.expect_meaning(&Meaning::Address { user: "bob".to_owned(), address });
    alice.say_directly(address, "between us");
    bob.expect("alice:between us\n");
    assert!(!server.chunks().iter().any(|chunk| chunk.contains("between us")));
}

#[test]
fn a_second_log_in_displaces_the_first() {
    let server = server();
    let bob_at_home = bob(&server, &[]);
    let alice = alice(&server);
    bob_at_home.expect("note:alice is online!\n");
    let bob = bob(&server, &[&alice]);
    bob_at_home.expect_meaning(&Meaning::LogoutDuplicate);
    assert_eq!(bob_at_home.expect_end(), End::Told("logout_duplicate".to_owned()));
    alice.forward("bob", "where are you?");
    bob.expect("alice:where are you?\n");
    assert_eq!(bob_at_home.deliveries().len(), 2);
}

#[test]
fn a_user_without_heartbeats_is_offline() {
    let heartbeat_timeout = Duration::from_secs(4);
    let server = RequestServer::start_with(&Settings { heartbeat_timeout, ..Settings::new(&ACCOUNTS) });
    let mut alice = alice(&server);
    alice.keep_alive(heartbeat_timeout / 20);
    let bob = bob(&server, &[&alice]);
    bob.heartbeat();
    server.wait_for("alive,bob");
    alice.expect("note:bob is offline!\n");
    assert_eq!(server.online(), ["alice"]);
    bob.forward("alice", "I am still here");
    server.wait_for("forward,bob,alice,I am still here\n");
    alice.expect_nothing_else();
}

#[test]
fn a_client_that_was_never_logged_in_says_so() {
    let server = server();
    let mut client = RequestClient::open();
    let log_in = client.log_in(server.address(), "bob", &["x"]);
    assert_eq!(log_in.outcome, Outcome::GivenUp("prompt_password".to_owned()));
    client.log_out();
    server.wait_for("logout,logout");
    assert_eq!(server.faults(), []);
}

#[test]
fn a_server_that_stops_tells_everyone() {
    let server = server();
    let alice = alice(&server);
    let bob = bob(&server, &[&alice]);
    server.shut_down();
    for client in [&alice, &bob] {
        client.expect_meaning(&Meaning::Shutdown);
        assert_eq!(client.expect_end(), End::Told("shutdown".to_owned()));
    }
}

#[test]
fn a_delivery_that_is_longer_than_one_read_is_cut() {
    let server = server();
    let bob = bob(&server, &[]);
    let long = "x".repeat(5000);
    server.deliver("bob", &long);
    bob.expect(&long[..4096]);
    assert_eq!(server.next_fault(), Fault::Undelivered { to: "bob".to_owned(), text: long });
    server.deliver("bob", "whole");
    bob.expect("whole");
}

#[test]
fn a_client_that_does_not_read_can_be_had() {
    let server = server();
    let alice = alice(&server);
    let bob = bob(&server, &[&alice]);
    bob.set_manner(Manner::Resets);
    alice.forward("bob", "lost");
    let lost = Fault::Undelivered { to: "bob".to_owned(), text: "alice:lost\n".to_owned() };
    assert_eq!(server.next_fault(), lost);
    bob.set_manner(Manner::NeverAccepts);
    alice.forward("bob", "later");
    server.wait_for("forward,alice,bob,later\n");
    bob.set_manner(Manner::Reads);
    bob.expect("alice:later\n");
}
