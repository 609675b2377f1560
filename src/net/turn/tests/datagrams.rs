//! Clients that are reached by datagrams, through the turn: log-ins, what is sent again, and who gives way.

use super::sessions::at;
use super::*;
use crate::hub::text::Text;
use crate::net::correspondent::{SETTLED_AFTER, TRIES_MAX, UNDECIDED_MAX};
use crate::net::turn::datagrams::{ERRORS_A_SECOND_MAX, ERRORS_AT_ONCE_MAX};
use crate::wire::datagram::notice::{Audience, INCORRECT, Notice};
use crate::wire::datagram::request::Server;
use crate::wire::datagram::{Request, WRITTEN_BYTES_MAX};
use crate::wire::named::Named;
use crate::wire::{PasswordDigest, UserName};

const SERVER: Server<'static> = Server { host: "127.0.0.1", port: 6001 };

/// When the tries of one message are made, and when the client is given up, in milliseconds.
const TRIES_AT: [u64; TRIES_MAX] = [0, 500, 1500, 3500, 7500];
const GIVEN_UP_AT: u64 = 15_500;

impl World {
    /// Says a request. Comes back: what the client is told at once.
    fn request(&mut self, from: Endpoint, request: &Request) -> Vec<Notice> {
        let [datagram] = &request.write(&SERVER)[..] else { panic!("one datagram") };
        notices(self.datagram(from, datagram))
    }

    fn notices(&mut self, to: Endpoint) -> Vec<Notice> {
        notices(self.sent_to(to))
    }

    fn correspond(&mut self, from: Endpoint, user: &str) {
        assert_eq!(self.request(from, &log_in(user, "password")), [Notice::Greeting]);
    }

    /// Acknowledges a message of this sender's. Comes back: what the client is told at once.
    fn acknowledge(&mut self, from: Endpoint, sender: &str) -> Vec<Notice> {
        self.request(from, &Request::Acknowledgement { sender: Named::parse(sender), text: "seen".to_owned() })
    }
}

fn notices(datagrams: Vec<Vec<u8>>) -> Vec<Notice> {
    datagrams.iter().map(|datagram| Notice::parse(datagram).unwrap()).collect()
}

fn log_in(user: &str, password: &str) -> Request {
    Request::LogIn { user: Named::parse(user), password: PasswordDigest::of_text(password) }
}

fn to(from: &str, to: &str, text: &str) -> Request {
    let text = Text::parse(text);
    Request::Message { from: Named::parse(from), to: Named::parse(to), text }
}

fn private(from: &str, text: &str) -> Notice {
    Notice::Message { from: Named::parse(from), to: Audience::OneUser, text: text.to_owned() }
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn messages_go_one_at_a_time_and_the_sender_hears_that_they_came() {
    let mut world = World::new();
    let (alice, bob) = (at(0, 1111), at(2, 2222));
    world.correspond(alice, "alice");
    world.correspond(bob, "bob");
    assert_eq!(world.notices(alice), [Notice::Online(UserName::parse("bob").unwrap())]);
    assert!(world.request(alice, &to("alice", "bob", "one")).is_empty());
    assert!(world.request(alice, &to("alice", "bob", "two")).is_empty());
    assert_eq!(world.notices(bob), [private("alice", "one")]);
    assert!(world.acknowledge(bob, "carol").is_empty(), "that is not who has sent it");
    assert_eq!(world.acknowledge(bob, "alice"), [private("alice", "two")]);
    assert_eq!(world.notices(alice), [Notice::Acknowledgement("seen".to_owned())]);
    // What is no message waits for none.
    assert_eq!(world.request(bob, &Request::Contacts).len(), 1);
    world.acknowledge(bob, "alice");
    world.pass(millis(GIVEN_UP_AT));
    assert!(world.notices(bob).is_empty(), "nothing is sent again that has come");
    assert_eq!(world.notices(alice), [Notice::Acknowledgement("seen".to_owned())]);
}

#[test]
fn what_is_not_acknowledged_is_sent_again_and_then_nobody_is_there() {
    let mut world = World::new();
    let (alice, bob) = (at(0, 1111), at(0, 2222));
    world.correspond(alice, "alice");
    world.correspond(bob, "bob");
    world.request(alice, &to("alice", "bob", "hello"));
    world.notices(alice);
    let mut passed = 0;
    for (index, &time) in TRIES_AT.iter().enumerate() {
        if index > 0 {
            world.pass(millis(time - passed - 1));
            assert!(world.notices(bob).is_empty());
            world.pass(millis(1));
        }
        passed = time;
        assert_eq!(world.notices(bob), [private("alice", "hello")]);
    }
    world.pass(millis(GIVEN_UP_AT - passed - 1));
    assert!(world.notices(alice).is_empty());
    world.pass(millis(1));
    assert_eq!(world.notices(alice).len(), 1, "bob is offline");
    assert_eq!(world.turn.correspondents.len(), 1);
    world.notices(bob);
    assert_eq!(world.request(bob, &log_in("bob", "password")), [Notice::Greeting, private("alice", "hello")]);
}

#[test]
fn copies_that_are_acknowledged_late_are_not_taken_for_the_next() {
    let mut world = World::new();
    let (alice, bob) = (at(0, 1111), at(0, 2222));
    world.correspond(alice, "alice");
    world.correspond(bob, "bob");
    world.request(alice, &to("alice", "bob", "one"));
    world.request(alice, &to("alice", "bob", "two"));
    world.pass(millis(500));
    assert_eq!(world.notices(bob), [private("alice", "one"), private("alice", "one")]);
    assert!(world.acknowledge(bob, "alice").is_empty(), "the next waits");
    world.notices(alice);
    assert!(world.acknowledge(bob, "alice").is_empty());
    assert!(world.notices(alice).is_empty(), "the copy counts for nothing");
    world.pass(SETTLED_AFTER);
    assert_eq!(world.notices(bob), [private("alice", "two")]);
    assert!(world.acknowledge(bob, "alice").is_empty());
    assert_eq!(world.notices(alice), [Notice::Acknowledgement("seen".to_owned())]);
}

#[test]
fn a_log_in_that_succeeds_takes_the_address_and_one_that_fails_touches_nobody() {
    let mut world = World::new();
    let here = at(0, 1111);
    world.correspond(here, "alice");
    let [Notice::Error(_)] = world.request(here, &log_in("bob", "wrong"))[..] else { panic!("no error") };
    assert_eq!(world.request(here, &Request::Contacts).len(), 0, "alice is alone");
    let dave = world.log_in("dave", 1);
    assert_eq!(world.notices(here), [Notice::Online(UserName::parse("dave").unwrap())]);
    // What is for alice and was not shown is not sent to whoever comes.
    world.ask(&dave, &[message(3, "alice", "one"), message(4, "alice", "two")].concat());
    assert_eq!(world.notices(here), [private("dave", "one")]);
    let alice = UserName::parse("alice").unwrap();
    let told = world.request(here, &log_in("bob", "password"));
    assert_eq!(told, [Notice::Greeting, Notice::Offline(alice)]);
    assert!(world.ask(&dave, "{\"id\":5,\"request\":\"online\"}\n").contains("[\"bob\"]"));
    world.pass(millis(GIVEN_UP_AT));
    assert!(world.notices(here).is_empty());
    assert_eq!(world.turn.correspondents.len(), 1);
    // The same again, perhaps a copy.
    world.correspond(here, "bob");
    assert_eq!(world.turn.correspondents.len(), 1);
}

#[test]
fn another_log_in_of_the_user_ends_the_first_with_a_word() {
    let mut world = World::new();
    let (first, second) = (at(0, 1111), at(0, 2222));
    world.correspond(first, "alice");
    world.correspond(second, "alice");
    let [Notice::Alert(_)] = world.notices(first)[..] else { panic!("it is told once") };
    assert_eq!(world.turn.correspondents.len(), 1);
    world.pass(millis(GIVEN_UP_AT));
    assert!(world.notices(first).is_empty());
    assert_eq!(world.request(first, &Request::Contacts), [Notice::Error("Log in first.".to_owned())]);
}

#[test]
fn whoever_has_not_logged_in_is_told_so_a_few_times_and_in_few_words() {
    let mut world = World::new();
    let here = at(0, 1111);
    let [contacts] = &Request::Contacts.write(&SERVER)[..] else { panic!("one datagram") };
    let broken = [&contacts[..contacts.len() - 4], b"00']"].concat();
    for (datagram, text) in [(contacts, "Log in first."), (&broken, INCORRECT)] {
        let told = world.datagram(here, datagram);
        assert!(told[0].len() <= datagram.len());
        assert_eq!(notices(told), [Notice::Error(text.to_owned())]);
    }
    assert!(world.datagram(here, b"[{'body': 'x'}, 'y']").is_empty(), "longer than the question; it counts");
    assert!(world.request(here, &Request::LogOut).is_empty(), "who is gone needs no word");
    assert!(world.acknowledge(here, "bob").is_empty());
    (0..100).for_each(|_| world.throw(here, contacts));
    world.settle();
    assert_eq!(world.notices(here).len(), ERRORS_AT_ONCE_MAX as usize - 3);
    world.pass(Duration::from_secs(1));
    (0..100).for_each(|_| world.throw(here, &broken));
    world.settle();
    assert_eq!(world.notices(here).len(), ERRORS_A_SECOND_MAX as usize);
}

#[test]
fn wrong_passwords_are_refused_so_often_and_counted_each_time() {
    let mut world = World::new();
    world.turn.environment.keeps_at_once = false;
    let here = at(0, 1111);
    assert!(world.request(here, &log_in("alice", "wrong")).is_empty(), "the counter is not on disk");
    assert_eq!(world.turn.correspondents.len(), 1);
    world.persist();
    assert_eq!(world.notices(here).len(), 1);
    assert!(world.turn.correspondents.is_empty(), "its slot is free");
    for password in ["wrong", "wrong", "password"] {
        assert!(world.request(here, &log_in("alice", password)).len() <= 1);
        world.persist();
        world.notices(here);
    }
    for _ in 0..10 {
        world.request(here, &log_in("alice", "password"));
        world.persist();
    }
    assert!(world.notices(here).is_empty(), "it was told often enough");
    assert!(world.turn.correspondents.is_empty());
}

#[test]
fn a_copy_of_a_wrong_log_in_is_not_counted_while_its_answer_waits() {
    let mut world = World::new();
    world.turn.environment.keeps_at_once = false;
    let here = at(0, 1111);
    for _ in 0..3 {
        assert!(world.request(here, &log_in("alice", "wrong")).is_empty());
    }
    world.persist();
    assert_eq!(world.notices(here).len(), 1);
    world.turn.environment.keeps_at_once = true;
    world.correspond(here, "alice");
}

#[test]
fn what_cannot_be_stored_is_taken_back() {
    let mut world = World::new();
    let (alice, bob) = (at(0, 1111), at(0, 2222));
    world.correspond(alice, "alice");
    world.correspond(bob, "bob");
    world.notices(alice);
    world.turn.environment.keeps_at_once = false;
    world.request(alice, &to("alice", "bob", "lost"));
    assert!(world.notices(bob).is_empty());
    let first = world.turn.environment.waiting.drain(..).next().unwrap().number;
    world.turn.environment.completions.push(Completion::Failed { first, error: "the disk fails".to_owned() });
    world.settle();
    world.turn.environment.keeps_at_once = true;
    world.request(alice, &to("alice", "bob", "kept"));
    assert_eq!(world.notices(bob), [private("alice", "kept")]);
}

#[test]
fn a_socket_that_takes_nothing_is_waited_for() {
    let mut world = World::new();
    let (alice, bob) = (at(0, 1111), at(0, 2222));
    world.correspond(alice, "alice");
    world.correspond(bob, "bob");
    world.notices(alice);
    world.turn.environment.takes_datagrams = Some(1);
    assert_eq!(world.request(alice, &Request::Contacts).len(), 1);
    assert!(world.request(alice, &to("alice", "bob", "hello")).is_empty());
    assert!(world.request(alice, &Request::Contacts).is_empty());
    assert!(world.datagram(at(0, 3333), b"HELLO(alice)").is_empty());
    assert!(world.turn.environment.datagrams_watched);
    assert_ne!(world.turn.timeout(world.now.instant), Some(Duration::ZERO), "nobody turns in vain");
    world.turn.environment.takes_datagrams = None;
    world.turn.note_datagrams(0, false, true);
    world.settle();
    assert!(!world.turn.environment.datagrams_watched);
    assert_eq!(world.notices(alice).len(), 1);
    assert_eq!(world.notices(bob), [private("alice", "hello")]);
    assert_eq!(world.sent_to(at(0, 3333)).len(), 1);
}

#[test]
fn a_flood_keeps_nobody_waiting_and_stops_no_time() {
    let mut world = World::new();
    let alice = world.log_in("alice", 0);
    let stranger = world.connect();
    for _ in 0..3 * DATAGRAMS_KEPT_MAX {
        world.throw(at(0, 1111), b"nothing");
    }
    let began = world.now.instant;
    world.now.instant = world.now.instant + NEXT_MESSAGE_WITHIN;
    let mut turns = 0;
    while stranger.told().is_empty() {
        world.say(&alice, b"{\"id\":3,\"request\":\"alive\"}\n");
        world.turn.go_round(world.now, Some(world.now.instant));
        assert!(alice.told().contains("\"id\":3"), "she is served in every round");
        turns += 1;
        world.throw(at(0, 1111), b"nothing");
        assert!(turns <= 4 + SERVES.len() * DATAGRAMS_KEPT_MAX / DATAGRAMS_A_TURN, "deadlines are held up");
    }
    assert!(world.turn.round_began() > began);
    assert!(world.turn.datagrams.is_ready(), "it goes on all the time");
}

#[test]
fn at_the_end_they_are_told_once_and_nobody_else_is_heard() {
    let mut world = World::new();
    let (alice, bob) = (at(0, 1111), at(0, 2222));
    world.correspond(alice, "alice");
    world.correspond(bob, "bob");
    world.notices(alice);
    world.request(alice, &to("alice", "bob", "hello"));
    world.notices(bob);
    world.turn.begin_stop(world.now);
    world.settle();
    for end in [alice, bob] {
        let [Notice::Alert(_)] = world.notices(end)[..] else { panic!("the last word") };
    }
    assert!(world.request(alice, &Request::Contacts).is_empty());
    assert_eq!(world.turn.has_stopped(world.now), Some(Ended::Orderly));
}

#[test]
fn log_ins_that_are_not_decided_are_bounded() {
    let mut world = World::new();
    world.turn.admission.registration = Scope::Any;
    // Names that nobody has: their verifiers are made on the worker.
    for number in 0..UNDECIDED_MAX as u16 + 10 {
        let [datagram] = &log_in(&format!("user{number}"), "password").write(&SERVER)[..] else { panic!("one") };
        let from = Endpoint { socket: 0, address: ([127, 0, 1, 1], 1000 + number).into() };
        world.throw(from, datagram);
        world.throw(from, datagram);
    }
    while world.turn.datagrams.is_ready() {
        world.turn.go_round(world.now, Some(world.now.instant));
        world.turn.check_invariants();
        assert!(world.turn.correspondents.len() <= UNDECIDED_MAX);
    }
    world.settle();
    assert!(world.turn.correspondents.logged_in() <= UNDECIDED_MAX);
    assert_eq!(world.turn.correspondents.len(), world.turn.correspondents.logged_in(), "all are decided");
}

#[test]
fn whoever_signs_up_stays_and_long_texts_come_in_datagrams_that_are_read_whole() {
    let mut world = World::new();
    world.turn.admission.registration = Scope::Any;
    let (zoe, dave) = (at(0, 1111), world.log_in("dave", 0));
    world.correspond(zoe, "zoe");
    world.ask(&dave, &message(3, "zoe", &"long ".repeat(800)));
    let mut parts = 0;
    loop {
        let datagrams = world.sent_to(zoe);
        let [datagram] = &datagrams[..] else { break };
        assert!(datagram.len() <= WRITTEN_BYTES_MAX);
        parts += 1;
        world.throw(
            zoe,
            &Request::Acknowledgement { sender: Named::parse("dave"), text: String::new() }.write(&SERVER)[0],
        );
        world.settle();
    }
    assert!(parts >= 3, "{parts}");
    assert!(world.request(zoe, &Request::LogOut).is_empty());
    assert!(world.turn.correspondents.is_empty());
}
