use super::*;
use crate::hub::input::Operation;
use crate::hub::status::Chat;

/// What the operator is told.
fn status(world: &mut World, operator: ConnectionId) -> Chat {
    let outcome = world.ask(operator, Request::Operate(Operation::Status));
    let [Effect::Status { connection, id, chat }] = outcome.effects[..] else { panic!("{outcome:?}") };
    assert_eq!((connection, id), (operator, Some(world.id())));
    assert_eq!(outcome.changes, []);
    chat
}

#[test]
fn everything_is_counted_and_goes_back() {
    let mut world = World::new();
    let operator = world.connect_as(Peer::Operator);
    let empty = Chat { accounts: NAMES.len() as u64, ..Chat::default() };
    assert_eq!(status(&mut world, operator), empty);

    let alice = world.log_in("alice", 1);
    let (alices_other, once, stranger) = (world.log_in("alice", 2), world.log_in_once("bob"), world.connect());
    let here = Chat { sessions: 3, online: 1, devices: 2, ..empty };
    assert_eq!(status(&mut world, operator), here);
    (0..3).for_each(|_| drop(world.message(once, "alice", "hi")));
    world.message(alice, "bob", "hi");
    world.broadcast(once, "hi");
    // One counter for the source, one over all.
    world.try_password(stranger, "carol", "wrong");
    let busy = Chat { waiting: 4, broadcasts: 1, counters: 3, ..here };
    assert_eq!(status(&mut world, operator), busy);

    world.acknowledge(alice, 5);
    assert_eq!(status(&mut world, operator), busy, "the other device has not shown them");
    world.acknowledge(alices_other, 5);
    assert_eq!(status(&mut world, operator), Chat { waiting: 1, ..busy });
    for connection in [alice, alices_other, once, stranger] {
        world.close(connection);
    }
    assert_eq!(status(&mut world, operator), Chat { devices: 2, waiting: 1, broadcasts: 1, counters: 3, ..empty });
}

#[test]
fn what_a_commit_has_lost_is_counted_until_it_is_stored_again() {
    let mut world = World::new();
    let operator = world.connect_as(Peer::Operator);
    let lost = world.log_in_as("alice", None).1.changes;
    assert_eq!(lost.len(), 1, "the source has succeeded: {lost:?}");
    world.input(Input::CommitFailed(lost));
    assert_eq!(status(&mut world, operator).unsaved, 1);
    let wait = world.hub.poll_timeout().expect("it is tried again").since(world.now.instant);
    world.pass(wait);
    assert_eq!(status(&mut world, operator).unsaved, 0);
}

#[test]
fn it_is_for_the_operator_only() {
    let mut world = World::new();
    for connection in [world.connect(), world.log_in_once("alice")] {
        let outcome = world.ask(connection, Request::Operate(Operation::Status));
        assert_eq!(outcome, world.refusal(connection, Refusal::OperatorOnly));
    }
}
