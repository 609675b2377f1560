//! Guests: who is asked for a nickname, what a message is where nothing is framed, and how such a connection ends.

use super::*;
use crate::net::connection::Serves;
use crate::wire::Protocol;

const MICRO: Duration = Duration::from_micros(1);
const LISTENER: Serves = Serves::Only(Protocol::Nick);

/// Guests are let in from loopback.
pub(super) fn world() -> World {
    World::with(Admission { guests: Scope::Loopback, ..admission(Scope::Private, None) }, PLENTY / 2)
}

fn by(address: [u8; 4], serves: Serves) -> Door {
    Door::Port { address: IpAddr::from(address), serves }
}

fn come(world: &mut World) -> Client {
    world.connect_by(by([127, 0, 0, 1], LISTENER))
}

/// Somebody is there under this name, and has been told so.
fn enter(world: &mut World, name: &str) -> Client {
    let client = come(world);
    assert_eq!(client.told(), "NICK");
    assert_eq!(world.chunk(&client, name), format!("{name} joined the chat!"));
    world.pass(PACE);
    assert_eq!(client.told(), "Connected to the server!");
    client.chunks();
    world.pass(PACE);
    client
}

#[test]
fn who_says_nothing_for_a_second_is_asked_for_a_nickname() {
    let mut world = world();
    let client = world.connect();
    world.pass(SILENCE - MICRO);
    assert_eq!(client.told(), "");
    world.pass(MICRO);
    assert_eq!(client.told(), "NICK");
    world.pass(2 * SILENCE);
    assert_eq!(client.told(), "", "once");
    assert_eq!(world.chunk(&client, "zoe"), "zoe joined the chat!");
}

#[test]
fn who_is_asked_may_speak_another_protocol_all_the_same() {
    let mut world = world();
    let client = world.connect();
    world.pass(SILENCE);
    assert_eq!(client.told(), "NICK");
    assert!(world.ask(&client, "{\"id\":1,\"request\":\"online\"}\n").contains("log-in-first"));
    let client = world.connect();
    world.pass(SILENCE);
    assert_eq!(client.told(), "NICK");
    assert!(world.chunk(&client, "newUser,alice,wrong,5000").contains("Invalid Password"));
    let client = world.connect();
    world.pass(SILENCE);
    client.told();
    world.say(&client, b"f");
    world.settle();
    world.pass(QUIET - MICRO);
    assert_eq!(client.told(), "", "it may become a request");
    world.pass(MICRO);
    assert_eq!(client.told(), "f joined the chat!");
}

#[test]
fn nobody_is_asked_who_has_said_something_or_comes_from_elsewhere() {
    let mut world = world();
    let client = world.connect();
    world.ask(&client, " ");
    world.pass(SILENCE);
    assert_eq!(client.told(), "");
    let natively = by([127, 0, 0, 1], Serves::Only(Protocol::Native));
    for door in [by([10, 0, 0, 1], Serves::Everything), natively, Door::Control] {
        let client = world.connect_by(door);
        world.pass(2 * SILENCE);
        assert_eq!(client.told(), "", "{door:?}");
    }
}

#[test]
fn where_only_guests_are_served_they_are_asked_at_once_or_sent_away() {
    let mut world = world();
    let client = come(&mut world);
    assert_eq!(client.told(), "NICK");
    assert_eq!(world.ask(&client, "{\"id\":1}\n"), "a name consists of the letters a to z, digits, '_', '-' and '.'");
    let stranger = world.connect_by(by([10, 0, 0, 1], LISTENER));
    assert_eq!(stranger.told(), "unencrypted connections are not served to your address: use TLS");
    world.pass(PACE);
    assert_eq!(stranger.closed(), (false, true));
}

#[test]
fn a_message_ends_by_quiet_or_by_a_newline_however_it_was_split() {
    let text = "guest: hello\nhow are you";
    for split in 0..text.len() {
        let mut world = world();
        let client = enter(&mut world, "guest");
        world.say(&client, &text.as_bytes()[..split]);
        world.settle();
        world.pass(QUIET - MICRO);
        world.say(&client, &text.as_bytes()[split..]);
        world.settle();
        world.pass(QUIET);
        world.pass(2 * PACE);
        let told = client.chunks().join("\n");
        assert_eq!(told, "guest: hello\nguest: how are you", "split at {split}");
    }
}

#[test]
fn each_chunk_has_time_to_be_read_and_texts_share_one() {
    let mut world = world();
    let alice = world.log_in("alice", 0);
    let client = enter(&mut world, "guest");
    let broadcast = |world: &mut World, text: &str| {
        world.ask(&alice, &format!("{{\"id\":7,\"request\":\"broadcast\",\"text\":\"{text}\"}}\n"))
    };
    for text in ["one", "two", "three"] {
        broadcast(&mut world, text);
    }
    assert_eq!(client.chunks(), ["alice: one"]);
    world.pass(PACE - MICRO);
    assert_eq!(client.chunks(), [""; 0]);
    world.pass(MICRO);
    assert_eq!(client.chunks(), ["alice: two\nalice: three"]);
    // As much as a client reads at once.
    let long = "x".repeat(500);
    world.pass(PACE);
    for _ in 0..4 {
        broadcast(&mut world, &long);
    }
    world.pass(PACE);
    world.pass(PACE);
    let lengths: Vec<usize> = client.chunks().iter().map(String::len).collect();
    assert_eq!(lengths, [507, 2 * 507 + 1, 507]);
}

#[test]
fn a_chunk_that_is_half_written_is_finished_first() {
    let mut world = world();
    let alice = world.log_in("alice", 0);
    let client = enter(&mut world, "guest");
    world.give_room(&client, 4);
    world.ask(&alice, "{\"id\":7,\"request\":\"broadcast\",\"text\":\"hello\"}\n");
    world.ask(&alice, "{\"id\":8,\"request\":\"broadcast\",\"text\":\"more\"}\n");
    assert_eq!(client.chunks(), ["alic"]);
    world.pass(PACE);
    world.give_room(&client, 2);
    world.give_room(&client, PLENTY);
    assert_eq!(client.chunks(), ["e:", " hello"]);
    world.pass(PACE);
    assert_eq!(client.chunks(), ["alice: more"]);
}

#[test]
fn what_the_clients_system_has_acknowledged_is_shown() {
    let mut world = world();
    let alice = world.log_in("alice", 1);
    let client = enter(&mut world, "guest");
    alice.told();
    client.wire.borrow_mut().unacknowledged = 6;
    let receipt = "{\"id\":7,\"request\":\"message\",\"to\":\"guest\",\"text\":\"psst\",\"receipt\":true}\n";
    assert!(world.ask(&alice, receipt).contains("accepted"));
    assert_eq!(client.told(), "alice (private): psst");
    for _ in 0..3 {
        world.pass(PACE.max(ACKNOWLEDGED_EVERY));
        assert_eq!(alice.told(), "", "it may not have come to that");
    }
    client.wire.borrow_mut().unacknowledged = 0;
    world.pass(ACKNOWLEDGED_EVERY);
    assert!(alice.told().contains("\"event\":\"delivered\""));
}

#[test]
fn who_has_to_go_is_told_why_and_reset_once_that_has_arrived() {
    let mut world = world();
    let client = come(&mut world);
    client.told();
    assert_eq!(world.chunk(&client, "alice"), "the name alice is taken");
    client.wire.borrow_mut().unacknowledged = 1;
    world.pass(PACE);
    assert!(world.is_there(&client));
    client.wire.borrow_mut().unacknowledged = 0;
    world.pass(ACKNOWLEDGED_EVERY);
    assert_eq!(client.closed(), (false, true));
    assert!(!world.is_there(&client));
}

#[test]
fn who_acknowledges_nothing_is_reset_when_the_time_for_it_is_over() {
    let mut world = world();
    let client = come(&mut world);
    client.wire.borrow_mut().unacknowledged = 1;
    world.chunk(&client, "no name");
    let ended = world.now.instant;
    while world.is_there(&client) {
        world.pass(ACKNOWLEDGED_EVERY);
    }
    assert_eq!((world.now.instant.since(ended), client.closed()), (DRAIN_WITHIN, (false, true)));
}

#[test]
fn who_is_asked_and_has_to_go_is_told_why_in_a_line_and_reset() {
    let mut world = world();
    let drawn = world.connect();
    world.pass(SILENCE);
    assert_eq!(drawn.told(), "NICK");
    world.turn.turn_away(world.now, drawn.id);
    world.settle();
    assert!(drawn.told().starts_with("chatd: too many connections"));
    assert_eq!((drawn.closed(), world.is_there(&drawn)), ((false, true), false));
    let silent = world.connect();
    world.pass(NEXT_MESSAGE_WITHIN);
    assert_eq!(silent.told(), format!("NICK{NOT_UNDERSTOOD}"));
    assert_eq!((silent.closed(), world.is_there(&silent)), ((false, true), false));
}

#[test]
fn who_leaves_is_not_reset() {
    let mut world = world();
    let (alice, client) = (world.log_in("alice", 1), enter(&mut world, "guest"));
    alice.told();
    world.close(&client);
    world.settle();
    assert_eq!((client.closed(), world.is_there(&client)), ((true, false), false));
    assert!(alice.told().contains("offline"));
}

#[test]
fn a_guest_is_given_up_when_its_system_is_silent_and_nobody_is_delayed() {
    let mut world = world();
    let client = enter(&mut world, "guest");
    let wire = client.wire.borrow();
    assert_eq!((wire.given_up_after, wire.at_once), (Some(GIVEN_UP_AFTER), true));
    drop(wire);
    let alice = world.log_in("alice", 0);
    let wire = alice.wire.borrow();
    assert_eq!((wire.given_up_after, wire.at_once), (None, true));
}

#[test]
fn when_the_server_stops_guests_are_told_and_reset() {
    let mut world = world();
    let client = enter(&mut world, "guest");
    let silent = come(&mut world);
    world.turn.begin_stop(world.now);
    world.settle();
    assert_eq!(client.told(), "the server stops");
    assert_eq!(world.turn.has_stopped(world.now), None);
    world.pass(PACE);
    assert_eq!((client.closed(), world.turn.has_stopped(world.now)), ((false, true), Some(Ended::Orderly)));
    assert!(!world.is_there(&silent));
}
