//! What a correspondent sends again because a confirmation was lost.

use super::*;
use crate::hub::copies::PAUSE_FIRST;
use crate::hub::effect::Reach;

/// What a message was accepted as.
fn accepted(outcome: &Outcome) -> (Number, Reach) {
    let &Ok(Reply::Accepted { number, reach }) = outcome.answer() else { panic!("{outcome:?}") };
    (number, reach)
}

/// The messages that were stored.
fn stored(outcome: &Outcome) -> usize {
    outcome.changes.iter().filter(|change| matches!(change, Change::Message(_))).count()
}

#[test]
fn a_copy_is_answered_like_the_first_and_stored_once() {
    let mut world = World::new();
    let (alice, bob) = (world.by_datagrams("alice"), world.by_datagrams("bob"));
    let first = accepted(&world.message(alice, "bob", "hi"));
    let mut pause = PAUSE_FIRST;
    for _ in 0..4 {
        world.pass(pause);
        let outcome = world.message(alice, "BOB", "hi");
        assert_eq!((accepted(&outcome), stored(&outcome)), (first, 0), "after {pause:?}");
        assert_eq!(outcome.events_for(bob), Vec::<&Event>::new());
        pause *= 2;
    }
}

#[test]
fn once_it_was_confirmed_the_same_is_a_message_of_its_own() {
    let mut world = World::new();
    let (alice, bob) = (world.by_datagrams("alice"), world.by_datagrams("bob"));
    for number in 1..=3 {
        let outcome = world.message(alice, "bob", "tick");
        assert_eq!((accepted(&outcome), stored(&outcome)), ((Number(number), Reach::Online), 1));
        world.shown(bob, number);
        world.pass(PAUSE_FIRST);
    }
}

#[test]
fn the_same_words_at_another_time_are_another_message() {
    let mut world = World::new();
    let (alice, _bob, _carol) = (world.by_datagrams("alice"), world.by_datagrams("bob"), world.by_datagrams("carol"));
    world.message(alice, "bob", "hi");
    for pause in [PAUSE_FIRST / 2, PAUSE_FIRST * 4, Duration::ZERO] {
        world.pass(pause);
        assert_eq!(stored(&world.message(alice, "bob", "hi")), 1, "after {pause:?}");
    }
    world.pass(PAUSE_FIRST);
    assert_eq!(stored(&world.message(alice, "carol", "hi")), 1, "to somebody else");
    assert_eq!(stored(&world.message(alice, "bob", "ho")), 1, "in other words");
    assert_eq!(stored(&world.message(alice, "bob", "hi")), 0);
}

#[test]
fn only_correspondents_repeat_themselves() {
    let mut world = World::new();
    for connection in [world.in_session("alice"), world.log_in("bob", 2)] {
        world.message(connection, "carol", "hi");
        world.pass(PAUSE_FIRST);
        assert_eq!(stored(&world.message(connection, "carol", "hi")), 1);
    }
}

#[test]
fn of_what_waits_the_sender_has_heard_so_there_are_no_copies() {
    let mut world = World::new();
    let alice = world.by_datagrams("alice");
    for number in 1..=3 {
        let outcome = world.message(alice, "bob", "tick");
        assert_eq!((accepted(&outcome), stored(&outcome)), ((Number(number), Reach::Queued), 1));
        world.pass(PAUSE_FIRST);
    }
}

#[test]
fn a_copy_of_a_broadcast_is_one_until_somebody_has_shown_it() {
    let mut world = World::new();
    let alice = world.by_datagrams("alice");
    for _ in 0..2 {
        let outcome = world.broadcast(alice, "anybody?");
        assert_eq!((accepted(&outcome).1, stored(&outcome)), (Reach::Nobody, 1));
        world.pass(PAUSE_FIRST);
    }
    let (bob, _carol) = (world.by_datagrams("bob"), world.by_datagrams("carol"));
    let first = accepted(&world.broadcast(alice, "hi"));
    world.pass(PAUSE_FIRST);
    let outcome = world.broadcast(alice, "hi");
    assert_eq!((accepted(&outcome), outcome.effects.len(), stored(&outcome)), (first, 1, 0), "nobody has shown it");
    world.shown(bob, first.0.0);
    world.pass(PAUSE_FIRST * 2);
    assert_eq!(stored(&world.broadcast(alice, "hi")), 1);
}

#[test]
fn what_was_lost_with_its_commit_has_no_copies() {
    let mut world = World::new();
    let alice = world.by_datagrams("alice");
    let lost = world.message(alice, "bob", "hi").changes;
    world.input(Input::CommitFailed(lost));
    world.pass(PAUSE_FIRST);
    assert_eq!(stored(&world.message(alice, "bob", "hi")), 1);
}
