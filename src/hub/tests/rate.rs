use super::*;
use crate::hub::effect::Reach;

/// Two messages a second: a burst of 20, and then one each half second.
fn slow() -> World {
    World::with(Config { messages_per_second: Some(2), ..config() }, Snapshot::default())
}

const HALF: Duration = Duration::from_millis(500);

fn too_fast(retry_after: Duration) -> Refusal {
    Refusal::TooFast { retry_after }
}

fn send(world: &mut World, from: ConnectionId, to: &str, counter: u64) -> Outcome {
    let text = text(&format!("message {counter}"));
    world.ask(from, Request::Message { to: name(to), text, counter: Some(counter), receipt: false })
}

fn accepted(outcome: &Outcome) -> bool {
    matches!(outcome.answer(), Ok(Reply::Accepted { .. }))
}

#[test]
fn beyond_the_burst_a_send_is_refused_with_a_time_and_after_that_accepted() {
    let mut world = slow();
    let alice = world.log_in("alice", 1);
    for counter in 1..=20 {
        assert!(accepted(&send(&mut world, alice, "bob", counter)));
    }
    let outcome = send(&mut world, alice, "bob", 21);
    assert_eq!(outcome, world.refusal(alice, too_fast(HALF)));
    world.pass(HALF - Duration::from_micros(1));
    assert_eq!(send(&mut world, alice, "bob", 21).answer(), &Err(too_fast(Duration::from_micros(1))));
    world.pass(Duration::from_micros(1));
    assert_eq!(
        send(&mut world, alice, "bob", 21).answer(),
        &Ok(Reply::Accepted { number: Number(21), reach: Reach::Queued }),
        "under the same counter, with the number that comes next"
    );
}

#[test]
fn the_rate_is_the_accounts_and_broadcasts_count() {
    let mut world = slow();
    let device = world.log_in("alice", 1);
    let command = world.log_in_once("alice");
    let bob = world.log_in("bob", 2);
    for _ in 0..10 {
        assert!(accepted(&world.broadcast(device, "hi")) && accepted(&world.message(command, "bob", "hi")));
    }
    for connection in [device, command] {
        let outcome = world.message(connection, "bob", "hi");
        assert_eq!(outcome, world.refusal(connection, too_fast(HALF)));
        let outcome = world.broadcast(connection, "hi");
        assert_eq!(outcome, world.refusal(connection, too_fast(HALF)));
    }
    let other = world.log_in("alice", 3);
    assert_eq!(world.message(other, "bob", "hi").answer(), &Err(too_fast(HALF)), "a log-in brings nothing");
    assert!(accepted(&world.message(bob, "alice", "hi")), "others have their own");
    assert_eq!(world.ask(device, Request::Alive).answer(), &Ok(Reply::Alive), "only sends count");
}

#[test]
fn a_copy_is_answered_like_the_first_and_costs_nothing() {
    let mut world = slow();
    let alice = world.log_in("alice", 1);
    let first = send(&mut world, alice, "bob", 1).answer().clone();
    for _ in 0..100 {
        assert_eq!(send(&mut world, alice, "bob", 1).answer(), &first);
    }
    for counter in 2..=20 {
        assert!(accepted(&send(&mut world, alice, "bob", counter)));
    }
    assert_eq!(send(&mut world, alice, "bob", 21).answer(), &Err(too_fast(HALF)));
    assert_eq!(send(&mut world, alice, "bob", 1).answer(), &first);
}

#[test]
fn what_is_refused_for_another_reason_costs_too() {
    let mut world = slow();
    let alice = world.log_in("alice", 1);
    for _ in 0..20 {
        assert_eq!(world.message(alice, "nobody", "hi").answer(), &Err(Refusal::NoSuchUser(name("nobody"))));
    }
    assert_eq!(world.message(alice, "bob", "hi").answer(), &Err(too_fast(HALF)));
}

#[test]
fn what_was_sent_behind_a_refused_send_does_not_overtake_it() {
    let mut world = slow();
    let alice = world.log_in("alice", 1);
    for counter in 1..=20 {
        send(&mut world, alice, "bob", counter);
    }
    assert_eq!(send(&mut world, alice, "bob", 21).answer(), &Err(too_fast(HALF)));
    // There would be room for these, which were on their way already, however long that took.
    world.pass(60 * HALF);
    for counter in [22, 23] {
        let outcome = send(&mut world, alice, "bob", counter);
        assert_eq!(outcome, world.refusal(alice, Refusal::OutOfTurn { first: 21 }));
    }
    for counter in 21..=40 {
        assert!(accepted(&send(&mut world, alice, "bob", counter)));
    }
    assert_eq!(send(&mut world, alice, "bob", 41).answer(), &Err(too_fast(HALF)));
    // Whoever gives a message up gives its counter to the next.
    world.pass(HALF);
    assert_eq!(send(&mut world, alice, "bob", 42).answer(), &Err(Refusal::OutOfTurn { first: 41 }));
    assert!(accepted(&world.ask(alice, Request::Broadcast { text: text("another"), counter: Some(41) })));
}

#[test]
fn a_lower_counter_does_not_stand_for_the_one_that_was_too_fast() {
    let mut world = slow();
    let alice = world.log_in("alice", 1);
    for counter in 1..=20 {
        send(&mut world, alice, "bob", counter);
    }
    assert_eq!(send(&mut world, alice, "bob", 30).answer(), &Err(too_fast(HALF)));
    world.pass(3 * HALF);
    assert!(accepted(&send(&mut world, alice, "bob", 25)));
    assert_eq!(send(&mut world, alice, "bob", 31).answer(), &Err(Refusal::OutOfTurn { first: 30 }));
    assert!(accepted(&send(&mut world, alice, "bob", 30)) && accepted(&send(&mut world, alice, "bob", 31)));
}

#[test]
fn a_new_log_in_waits_for_nothing_and_other_sessions_neither() {
    let mut world = slow();
    let alice = world.log_in("alice", 1);
    for counter in 1..=20 {
        send(&mut world, alice, "bob", counter);
    }
    assert_eq!(send(&mut world, alice, "bob", 21).answer(), &Err(too_fast(HALF)));
    world.pass(4 * HALF);
    let other = world.log_in("alice", 2);
    assert!(accepted(&send(&mut world, other, "bob", 100)), "another device has its own order");
    assert!(accepted(&world.message(alice, "bob", "hi")), "what has no counter has no order");
    assert_eq!(send(&mut world, alice, "bob", 22).answer(), &Err(Refusal::OutOfTurn { first: 21 }));
    let again = world.log_in("alice", 1);
    assert!(accepted(&send(&mut world, again, "bob", 22)));
}

#[test]
fn a_bucket_that_is_full_again_is_forgotten_at_its_time() {
    let mut world = slow();
    let alice = world.log_in("alice", 1);
    send(&mut world, alice, "bob", 1);
    assert_eq!(world.hub.rates.next_sweep(), Some(world.now.instant + Duration::from_secs(10)));
    assert!(world.hub.poll_timeout() <= world.hub.rates.next_sweep());
    world.pass(Duration::from_secs(10));
    assert_eq!(world.hub.rates.next_sweep(), None);
}

#[test]
fn nothing_is_left_of_a_session_that_was_held() {
    let mut world = slow();
    let alice = world.log_in("alice", 1);
    for counter in 1..=21 {
        send(&mut world, alice, "bob", counter);
    }
    assert_eq!(world.hub.rates.held(), 1);
    world.close(alice);
    assert_eq!(world.hub.rates.held(), 0);
}
