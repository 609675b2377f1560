//! What senders hear of what was shown: those who ask for it, and those who speak by datagrams, who always do.

use super::*;
use crate::hub::delivery::BROADCASTS_MAX;
use crate::hub::effect::Reach;
use crate::hub::presence::WINDOW_MESSAGES;

fn delivered(number: u64, to: &str, words: Option<&str>) -> Event {
    Event::Delivered { number: Number(number), to: name(to), words: words.map(text) }
}

/// The client has shown everything up to `number`, and says something to that.
fn confirm(world: &mut World, connection: ConnectionId, number: u64, words: &str) -> Outcome {
    world.input(Input::Shown { connection, number: Number(number), words: Some(text(words)) })
}

fn reach(outcome: &Outcome) -> Reach {
    let Ok(Reply::Accepted { reach, .. }) = outcome.answer() else { panic!("{outcome:?}") };
    *reach
}

#[test]
fn a_private_message_by_datagrams_is_confirmed_unasked() {
    let mut world = World::new();
    let (alice, bob) = (world.by_datagrams("alice"), world.by_datagrams("bob"));
    let native = world.log_in("carol", 3);
    world.message(alice, "bob", "one");
    world.message(alice, "bob", "two");
    world.message(alice, "carol", "three");
    world.message(native, "bob", "four");
    let outcome = confirm(&mut world, bob, 1, "Message received by bob");
    let expected = delivered(1, "bob", Some("Message received by bob"));
    assert_eq!(outcome.effects, [event(alice, expected, IfLost::Send)]);
    assert_eq!(confirm(&mut world, bob, 1, "again").effects, []);
    assert_eq!(world.acknowledge(native, 3).events_for(alice), [&delivered(3, "carol", None)]);
    assert_eq!(confirm(&mut world, bob, 4, "two at once").events_for(alice), [&delivered(2, "bob", None)]);
    assert_eq!(world.close(bob).events_for(native).len(), 1, "who has not asked hears nothing but that he is gone");
}

#[test]
fn who_is_not_here_confirms_when_they_come() {
    let mut world = World::new();
    let alice = world.by_datagrams("alice");
    assert_eq!(reach(&world.message(alice, "bob", "hi")), Reach::Queued);
    let bob = world.in_session("bob");
    assert_eq!(world.shown(bob, 1).events_for(alice), [&delivered(1, "bob", None)]);
}

#[test]
fn each_user_confirms_a_broadcast_once() {
    let mut world = World::new();
    let (alice, aside) = (world.by_datagrams("alice"), world.log_in("alice", 1));
    let (bob, second) = (world.log_in("bob", 2), world.by_datagrams("bob"));
    let (carol, gus) = (world.in_session("carol"), world.guest("gus"));
    assert_eq!(reach(&world.broadcast(alice, "hi")), Reach::Online);
    world.broadcast(bob, "somebody else's");
    let expected = delivered(1, "bob", Some("got it"));
    assert_eq!(confirm(&mut world, second, 1, "got it").effects, [event(alice, expected, IfLost::Send)]);
    assert_eq!(world.acknowledge(bob, 1).events_for(alice), Vec::<&Event>::new(), "on another client");
    assert_eq!(world.acknowledge(aside, 1).events_for(alice), Vec::<&Event>::new(), "on one of her own");
    assert_eq!(confirm(&mut world, carol, 2, "two at once").events_for(alice), [&delivered(1, "carol", None)]);
    assert_eq!(world.shown(gus, 2).events_for(alice), [&delivered(1, "gus", None)]);
    for connection in [second, carol, gus] {
        assert_eq!(world.shown(connection, 2), Outcome::default());
    }
}

#[test]
fn who_did_not_get_a_broadcast_confirms_nothing() {
    let mut world = World::new();
    let alice = world.by_datagrams("alice");
    let (bob, carol, dave) = (world.log_in("bob", 2), world.log_in("carol", 3), world.by_datagrams("dave"));
    world.block(carol, "alice");
    assert_eq!(reach(&world.broadcast(alice, "hi")), Reach::Partial);
    let late = world.log_in("bob", 9);
    world.message(dave, "bob", "later");
    world.message(dave, "carol", "later");
    assert_eq!(world.acknowledge(late, 2).events_for(alice), Vec::<&Event>::new(), "it came after the broadcast");
    assert_eq!(world.acknowledge(carol, 3).events_for(alice), Vec::<&Event>::new());
    assert_eq!(world.acknowledge(bob, 1).events_for(alice), [&delivered(1, "bob", None)]);
}

#[test]
fn a_broadcast_that_is_held_back_by_a_block_is_never_confirmed() {
    let mut world = World::new();
    let (alice, bob, once) = (world.by_datagrams("alice"), world.log_in("bob", 2), world.log_in_once("bob"));
    let carol = world.log_in("carol", 3);
    for _ in 0..WINDOW_MESSAGES {
        world.message(carol, "bob", "hi");
    }
    let behind = world.broadcast(alice, "behind");
    assert_eq!((reach(&behind), behind.texts_for(bob)), (Reach::Online, vec![]), "the window is closed");
    world.block(once, "alice");
    world.acknowledge(bob, u64::from(WINDOW_MESSAGES));
    world.ask(once, Request::Unblock(name("alice")));
    world.message(carol, "bob", "hi");
    let outcome = world.acknowledge(bob, u64::from(WINDOW_MESSAGES) + 2);
    assert_eq!(outcome.events_for(alice), Vec::<&Event>::new());
    assert_eq!(world.acknowledge(carol, u64::from(WINDOW_MESSAGES) + 1).events_for(alice).len(), 1);
}

#[test]
fn a_broadcast_is_confirmed_by_who_has_shown_it_before_they_went() {
    let mut world = World::new();
    let (alice, bob) = (world.by_datagrams("alice"), world.log_in("bob", 2));
    world.broadcast(alice, "shown");
    world.broadcast(alice, "not shown");
    world.close(bob);
    world.broadcast(alice, "he is not here");
    let claim = world.claim(2, 1);
    let (bob, outcome) = world.log_in_as("bob", Some(claim));
    assert_eq!(outcome.events_for(alice)[0], &delivered(1, "bob", None));
    assert_eq!(outcome.texts_for(bob), ["not shown"]);
    assert_eq!(world.acknowledge(bob, 3).events_for(alice), [&delivered(2, "bob", None)]);
}

#[test]
fn a_broadcast_that_nobody_gets_is_known_at_once() {
    let mut world = World::new();
    let (alice, aside) = (world.by_datagrams("alice"), world.log_in("alice", 1));
    world.log_in_once("bob");
    assert_eq!(reach(&world.broadcast(alice, "anybody?")), Reach::Nobody);
    assert_eq!(reach(&world.broadcast(aside, "anybody?")), Reach::Online, "who waits for nothing need not know");
    let bob = world.log_in("bob", 2);
    world.block(bob, "alice");
    assert_eq!(reach(&world.broadcast(alice, "anybody?")), Reach::Nobody);
    assert_eq!(reach(&world.broadcast(aside, "anybody?")), Reach::Partial);
}

#[test]
fn nothing_is_kept_for_a_sender_who_is_gone_nor_of_what_is_lost_or_dropped() {
    let mut world = World::new();
    let (alice, bob, carol) = (world.by_datagrams("alice"), world.log_in("bob", 2), world.by_datagrams("carol"));
    let lost = world.broadcast(alice, "lost");
    world.input(Input::CommitFailed(lost.changes));
    assert_eq!(world.acknowledge(bob, 1).events_for(alice), Vec::<&Event>::new());
    world.broadcast(alice, "one");
    world.broadcast(carol, "two");
    world.close(alice);
    let alice = world.by_datagrams("alice");
    let outcome = world.acknowledge(bob, 3);
    assert_eq!((outcome.events_for(alice), outcome.events_for(carol)), (vec![], vec![&delivered(3, "bob", None)]));
    world.broadcast(carol, "dropped");
    for _ in 0..BROADCASTS_MAX {
        world.broadcast(bob, "x");
    }
    assert_eq!(world.acknowledge(bob, 4).events_for(carol), Vec::<&Event>::new());
}
