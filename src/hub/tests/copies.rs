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
fn what_was_shown_is_confirmed_again() {
    let mut world = World::new();
    let (alice, bob) = (world.by_datagrams("alice"), world.by_datagrams("bob"));
    world.message(alice, "bob", "hi");
    let delivered = Event::Delivered { number: Number(1), to: name("bob"), words: None };
    assert_eq!(world.shown(bob, 1).events_for(alice), [&delivered]);
    world.pass(PAUSE_FIRST);
    let outcome = world.message(alice, "bob", "hi");
    assert_eq!((outcome.events_for(alice), stored(&outcome)), (vec![&delivered], 0));
}

#[test]
fn the_same_words_at_another_time_are_another_message() {
    let mut world = World::new();
    let alice = world.by_datagrams("alice");
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
fn a_copy_of_what_waits_says_so_again() {
    let mut world = World::new();
    let alice = world.by_datagrams("alice");
    let first = accepted(&world.message(alice, "bob", "hi"));
    assert_eq!(first.1, Reach::Queued);
    world.pass(PAUSE_FIRST);
    assert_eq!(accepted(&world.message(alice, "bob", "hi")), first);
    let bob = world.by_datagrams("bob");
    world.pass(PAUSE_FIRST * 2);
    assert_eq!(accepted(&world.message(alice, "bob", "hi")), (first.0, Reach::Online));
    world.shown(bob, 1);
}

#[test]
fn a_copy_of_a_broadcast_is_confirmed_once_it_was_shown() {
    let mut world = World::new();
    let alice = world.by_datagrams("alice");
    let alone = accepted(&world.broadcast(alice, "anybody?"));
    world.pass(PAUSE_FIRST);
    assert_eq!((accepted(&world.broadcast(alice, "anybody?")), alone.1), (alone, Reach::Nobody));

    let bob = world.by_datagrams("bob");
    let first = accepted(&world.broadcast(alice, "hi"));
    world.pass(PAUSE_FIRST);
    let outcome = world.broadcast(alice, "hi");
    assert_eq!((accepted(&outcome), outcome.events_for(alice).len()), (first, 0), "nobody has shown it");
    world.shown(bob, first.0.0);
    world.pass(PAUSE_FIRST * 2);
    let outcome = world.broadcast(alice, "hi");
    let delivered = Event::Delivered { number: first.0, to: name("bob"), words: None };
    assert_eq!((outcome.events_for(alice), stored(&outcome)), (vec![&delivered], 0));
}

#[test]
fn a_copy_of_a_broadcast_is_confirmed_by_nobody_who_has_not_shown_it() {
    let mut world = World::new();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|user| world.by_datagrams(user));
    world.block(bob, "alice");
    let (number, _) = accepted(&world.broadcast(alice, "hi"));
    world.shown(carol, number.0);
    world.pass(PAUSE_FIRST);
    let delivered = Event::Delivered { number, to: name("carol"), words: None };
    assert_eq!(world.broadcast(alice, "hi").events_for(alice), [&delivered], "bob is nobody whom alice sees");
    world.close(carol);
    world.by_datagrams("dave");
    world.pass(PAUSE_FIRST * 2);
    let outcome = world.broadcast(alice, "hi");
    assert_eq!((outcome.events_for(alice).len(), stored(&outcome)), (0, 0), "dave has come later");
}

#[test]
fn a_copy_tells_nothing_of_who_has_blocked_its_sender_since() {
    let mut world = World::new();
    let alice = world.by_datagrams("alice");
    let first = accepted(&world.message(alice, "bob", "hi"));
    let bob = world.by_datagrams("bob");
    world.block(bob, "alice");
    world.pass(PAUSE_FIRST);
    assert_eq!(accepted(&world.message(alice, "bob", "hi")), first, "as if bob were not there");
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
