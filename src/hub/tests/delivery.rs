use super::*;
use crate::hub::delivery::{BROADCASTS_MAX, QUEUE_MESSAGES_MAX};
use crate::hub::effect::Reach;
use crate::hub::id::UserId;
use crate::hub::message::{Recipient, Sender};
use crate::hub::presence::WINDOW_MESSAGES;

fn accepted(number: u64, reach: Reach) -> Answer {
    Ok(Reply::Accepted { number: Number(number), reach })
}

#[test]
fn a_message_is_one_row_an_event_and_an_answer_that_waits_for_the_disk() {
    let mut world = World::new();
    let (alice, bob) = (world.log_in("alice", 1), world.log_in("bob", 2));
    let outcome = world.message(alice, "BOB", "hi");
    let message = outcome.message();
    assert_eq!(
        outcome,
        Outcome {
            changes: vec![Change::Message(Arc::clone(&message))],
            effects: vec![
                event(bob, Event::Message(Arc::clone(&message)), IfLost::Drop),
                world.reply(alice, accepted(1, Reach::Online), IfLost::Refuse),
            ],
            recipients: vec![],
        }
    );
    let Message { number, time, from: Sender::User(_, from), to: Recipient::User(_, to), text, origin, .. } = &*message
    else {
        panic!("{message:?}");
    };
    assert_eq!((number.0, *time, from.as_str(), to.as_str()), (1, world.now.wall, "alice", "bob"));
    assert_eq!((text.as_str(), *origin), ("hi", None));
}

#[test]
fn a_message_for_somebody_offline_waits_and_arrives_in_order() {
    let mut world = World::new();
    let alice = world.log_in("alice", 1);
    for (number, body) in [(1, "one"), (2, "two"), (3, "three")] {
        let outcome = world.message(alice, "bob", body);
        assert_eq!(outcome.answer(), &accepted(number, Reach::Queued));
        assert_eq!(outcome.effects.len(), 1);
    }
    let once = world.log_in_as("bob", None);
    assert_eq!(once.1.texts_for(once.0), Vec::<&str>::new(), "a one-shot takes nothing from the queue");
    let claim = world.claim(2, 0);
    let (bob, outcome) = world.log_in_as("bob", Some(claim));
    assert_eq!(outcome.texts_for(bob), ["one", "two", "three"]);
    let Some(Ok(Reply::LoggedIn { waiting, .. })) = outcome.answers().first() else { panic!() };
    assert_eq!(*waiting, 3);
    world.acknowledge(bob, 2);
    world.close(bob);
    let (bob, outcome) = world.log_in_as("bob", Some(claim));
    assert_eq!(outcome.texts_for(bob), ["three"]);
    world.close(bob);
    let claim = world.claim(2, 3);
    let (bob, outcome) = world.log_in_as("bob", Some(claim));
    assert_eq!(outcome.texts_for(bob), Vec::<&str>::new(), "the client remembers having shown it");
}

#[test]
fn what_a_client_remembers_of_another_log_counts_for_nothing() {
    let mut world = World::new();
    let alice = world.log_in("alice", 1);
    world.message(alice, "bob", "one");
    let claim = DeviceClaim { id: device(2), shown: Some((crate::hub::id::LogId(1), Number(100))) };
    let (bob, outcome) = world.log_in_as("bob", Some(claim));
    assert_eq!(outcome.texts_for(bob), ["one"]);
}

#[test]
fn each_device_shows_it_and_a_new_one_only_what_none_has_shown() {
    let mut world = World::new();
    let alice = world.log_in("alice", 1);
    let (laptop, phone) = (world.log_in("bob", 2), world.log_in("bob", 3));
    let outcome = world.message(alice, "bob", "one");
    assert_eq!((outcome.texts_for(laptop), outcome.texts_for(phone)), (vec!["one"], vec!["one"]));
    world.acknowledge(laptop, 1);
    world.message(alice, "bob", "two");
    let claim = world.claim(4, 0);
    let (tablet, outcome) = world.log_in_as("bob", Some(claim));
    assert_eq!(outcome.texts_for(tablet), ["two"]);
    world.close(phone);
    let claim = world.claim(3, 0);
    let (phone, outcome) = world.log_in_as("bob", Some(claim));
    assert_eq!(outcome.texts_for(phone), ["one", "two"], "it has acknowledged nothing");
}

#[test]
fn a_broadcast_is_one_event_for_all_who_are_online() {
    let mut world = World::new();
    let (alice, bob, carol) = (world.log_in("alice", 1), world.log_in("bob", 2), world.log_in("carol", 3));
    world.log_in_once("dave");
    let outcome = world.broadcast(alice, "hello");
    let message = outcome.message();
    let many = Recipients::Many(0..2);
    assert_eq!(
        outcome,
        Outcome {
            changes: vec![Change::Message(Arc::clone(&message))],
            effects: vec![
                Effect::Event { to: many, event: Event::Message(message), if_lost: IfLost::Drop },
                world.reply(alice, accepted(1, Reach::Online), IfLost::Refuse),
            ],
            recipients: vec![bob, carol],
        }
    );
}

#[test]
fn a_broadcast_reaches_who_was_online_even_if_the_connection_broke_and_nobody_else() {
    let mut world = World::new();
    let (alice, bob) = (world.log_in("alice", 1), world.log_in("bob", 2));
    world.broadcast(alice, "while there");
    world.close(bob);
    world.broadcast(alice, "while away");
    let claim = world.claim(2, 0);
    let (bob, outcome) = world.log_in_as("bob", Some(claim));
    assert_eq!(outcome.texts_for(bob), ["while there"]);
    let outcome = world.broadcast(alice, "back");
    assert_eq!(outcome.texts_for(bob), ["back"]);
    let claim = world.claim(3, 0);
    let (carol, outcome) = world.log_in_as("carol", Some(claim));
    assert_eq!(outcome.texts_for(carol), Vec::<&str>::new());
}

/// The gate on accept.
#[test]
fn the_blocked_one_is_refused() {
    let mut world = World::new();
    let (alice, bob, carol) = (world.log_in("alice", 1), world.log_in("bob", 2), world.log_in("carol", 3));
    let outcome = world.block(bob, "Alice");
    assert_eq!(outcome.effects, [world.reply(bob, Ok(Reply::Blocked(name("alice"))), IfLost::Refuse)]);
    assert!(matches!(outcome.changes[..], [Change::Block { .. }]));
    let outcome = world.message(alice, "bob", "hi");
    let refused = world.reply(alice, Err(Refusal::BlockedBy(name("bob"))), IfLost::Refuse);
    assert_eq!(outcome, Outcome { effects: vec![refused], ..Outcome::default() });
    let outcome = world.broadcast(alice, "all");
    assert_eq!(outcome.answer(), &accepted(1, Reach::Partial));
    assert_eq!((outcome.texts_for(bob), outcome.texts_for(carol)), (vec![], vec!["all"]));
    assert_eq!(world.message(bob, "alice", "one way").answer(), &accepted(2, Reach::Online));
    world.ask(bob, Request::Unblock(name("alice")));
    assert_eq!(world.message(alice, "bob", "again").answer(), &accepted(3, Reach::Online));
}

/// The gate on leave.
#[test]
fn what_was_queued_before_the_block_does_not_leave_after_it() {
    let mut world = World::new();
    let (alice, carol) = (world.log_in("alice", 1), world.log_in("carol", 3));
    let receipt = Request::Message { to: name("bob"), text: text("queued"), counter: None, receipt: true };
    world.ask(alice, receipt);
    world.message(carol, "bob", "hi");
    let once = world.log_in_once("bob");
    world.block(once, "alice");
    let claim = world.claim(2, 0);
    let (bob, outcome) = world.log_in_as("bob", Some(claim));
    assert_eq!(outcome.texts_for(bob), ["hi"]);
    let Some(Ok(Reply::LoggedIn { waiting, .. })) = outcome.answers().first() else { panic!() };
    assert_eq!(*waiting, 1);
    let outcome = world.acknowledge(bob, 2);
    assert_eq!(outcome.events_for(alice), Vec::<&Event>::new(), "no receipt for what was never shown");
}

/// The gate on leave, for broadcasts.
#[test]
fn a_broadcast_from_before_the_block_does_not_leave_after_it() {
    let mut world = World::new();
    let (alice, bob) = (world.log_in("alice", 1), world.log_in("bob", 2));
    world.broadcast(alice, "before");
    world.close(bob);
    let once = world.log_in_once("bob");
    world.block(once, "alice");
    let claim = world.claim(2, 0);
    let (bob, outcome) = world.log_in_as("bob", Some(claim));
    assert_eq!(outcome.texts_for(bob), Vec::<&str>::new());
}

#[test]
fn blocking_has_its_own_refusals() {
    let mut world = World::new();
    let bob = world.log_in("bob", 2);
    let alice = Refusal::NotBlocked(name("alice"));
    let outcome = world.ask(bob, Request::Unblock(name("alice")));
    let effects = vec![world.reply(bob, Err(alice), IfLost::Refuse)];
    assert_eq!(outcome, Outcome { effects, ..Outcome::default() }, "as firm as the last unblock");
    for (request, refusal) in [
        (Request::Block(name("nobody")), Refusal::NoSuchUser(name("nobody"))),
        (Request::Block(name("bob")), Refusal::CannotBlockYourself),
        (Request::Unblock(name("nobody")), Refusal::NoSuchUser(name("nobody"))),
    ] {
        let outcome = world.ask(bob, request);
        assert_eq!(outcome, world.refusal(bob, refusal));
    }
    world.block(bob, "alice");
    assert_eq!(world.block(bob, "alice").changes, [], "blocked already");
    let outcome = world.ask(bob, Request::Blocked);
    assert_eq!(outcome.answer(), &Ok(Reply::BlockList(vec![name("alice")])));
}

#[test]
fn a_copy_is_answered_like_the_first_and_does_nothing() {
    let mut world = World::new();
    let (alice, bob) = (world.log_in("alice", 1), world.log_in("bob", 2));
    let send = |body: &str, counter| Request::Message {
        to: name("bob"),
        text: text(body),
        counter: Some(counter),
        receipt: false,
    };
    assert_eq!(world.ask(alice, send("hi", 1)).texts_for(bob), ["hi"]);
    let copy = world.ask(alice, send("hi", 1));
    assert_eq!(copy.changes, []);
    assert_eq!(copy.effects, [world.reply(alice, accepted(1, Reach::Online), IfLost::Refuse)]);
    assert_eq!(world.ask(alice, send("other", 1)).answer(), &Err(Refusal::Conflict));
    world.close(alice);
    let claim = world.claim(1, 0);
    let (alice, outcome) = world.log_in_as("alice", Some(claim));
    let Some(Ok(Reply::LoggedIn { counter, .. })) = outcome.answers().first() else { panic!() };
    assert_eq!(*counter, 1);
    assert_eq!(world.ask(alice, send("hi", 1)).answer(), &accepted(1, Reach::Online));
}

#[test]
fn a_queue_is_bounded_and_the_sender_gets_an_error() {
    let mut world = World::new();
    let alice = world.log_in("alice", 1);
    for _ in 0..QUEUE_MESSAGES_MAX {
        assert!(world.message(alice, "bob", "x").answer().is_ok());
    }
    let outcome = world.message(alice, "bob", "x");
    assert_eq!(outcome.answer(), &Err(Refusal::QueueFull(name("bob"))));
    assert_eq!(outcome.changes, []);
    assert!(world.message(alice, "carol", "x").answer().is_ok(), "only bob's queue is full");
    let bob = world.log_in("bob", 2);
    world.acknowledge(bob, 1);
    assert!(world.message(alice, "bob", "x").answer().is_ok(), "there is room for one again");
    assert!(world.message(alice, "bob", "x").answer().is_err());
}

#[test]
fn a_device_that_acknowledges_nothing_gets_a_window_and_the_rest_waits() {
    let mut world = World::new();
    let (alice, bob) = (world.log_in("alice", 1), world.log_in("bob", 2));
    let window = WINDOW_MESSAGES as u64;
    let sent: usize = (0..window + 100).map(|_| world.message(alice, "bob", "x").texts_for(bob).len()).sum();
    assert_eq!(sent as u64, window);
    assert_eq!(world.acknowledge(bob, 1).texts_for(bob).len(), 100, "the first acknowledgement opens it");
    assert_eq!(world.message(alice, "bob", "y").texts_for(bob), ["y"]);
}

#[test]
fn broadcasts_that_are_too_many_to_be_kept_are_missed_and_said_so() {
    let mut world = World::new();
    let (alice, bob) = (world.log_in("alice", 1), world.log_in("bob", 2));
    let total = BROADCASTS_MAX + WINDOW_MESSAGES as usize + 10;
    for _ in 0..total {
        world.broadcast(alice, "x");
    }
    let outcome = world.acknowledge(bob, 1);
    assert!(matches!(outcome.events_for(bob)[0], Event::Missed { .. }), "{:?}", outcome.events_for(bob)[0]);
}

#[test]
fn a_receipt_comes_when_the_first_device_has_shown_it() {
    let mut world = World::new();
    let (alice, bob) = (world.log_in_once("alice"), world.log_in("bob", 2));
    let send = Request::Message { to: name("bob"), text: text("hi"), counter: None, receipt: true };
    world.ask(alice, send);
    let outcome = world.acknowledge(bob, 1);
    let delivered = Event::Delivered { number: Number(1), to: name("bob"), words: None };
    assert_eq!(
        outcome.effects,
        [event(alice, delivered, IfLost::Send), world.reply(bob, Ok(Reply::Acknowledged), IfLost::Send)]
    );
    assert_eq!(world.acknowledge(bob, 1).events_for(alice), Vec::<&Event>::new());
}

#[test]
fn what_was_not_sent_can_not_be_acknowledged() {
    let mut world = World::new();
    let (alice, bob) = (world.log_in("alice", 1), world.log_in("bob", 2));
    world.message(alice, "bob", "one");
    world.acknowledge(bob, 1_000_000);
    assert_eq!(world.message(alice, "bob", "two").texts_for(bob), ["two"]);
    world.close(bob);
    let claim = world.claim(2, 0);
    let (bob, outcome) = world.log_in_as("bob", Some(claim));
    assert_eq!(outcome.texts_for(bob), ["two"]);
}

#[test]
fn a_message_that_waited_too_long_is_given_up_and_its_sender_gets_a_note() {
    let mut world = World::new();
    let alice = world.log_in("alice", 1);
    world.message(alice, "bob", "hi");
    world.close(alice);
    let outcome = world.pass(Duration::from_secs(30 * 24 * 3600));
    assert!(outcome.changes.contains(&Change::Expired { number: Number(1) }));
    let note = outcome.message();
    assert_eq!(
        (&note.from, note.text.as_str()),
        (&Sender::Server, "Your message to bob of 30 days ago was not delivered: it waited too long.")
    );
    let claim = world.claim(1, 0);
    let (alice, outcome) = world.log_in_as("alice", Some(claim));
    assert_eq!(outcome.texts_for(alice), [note.text.as_str()]);
    let claim = world.claim(2, 0);
    let (bob, outcome) = world.log_in_as("bob", Some(claim));
    assert_eq!(outcome.texts_for(bob), Vec::<&str>::new());
}

#[test]
fn a_note_that_could_not_be_stored_is_told_when_it_is() {
    let mut world = World::new();
    let alice = world.log_in("alice", 1);
    world.message(alice, "bob", "hi");
    world.close(alice);
    let waited = Duration::from_secs(30 * 24 * 3600);
    world.now.instant = world.now.instant + waited;
    world.now.wall = world.now.wall + waited;
    let alice = world.log_in("alice", 1);
    let outcome = world.pass(Duration::ZERO);
    let lost = outcome.message();
    assert_eq!(outcome.texts_for(alice), [lost.text.as_str()]);
    let outcome = world.input(Input::CommitFailed(outcome.changes));
    assert_eq!(outcome.texts_for(alice), Vec::<&str>::new(), "it is not on disk, nor on its way there");
    let outcome = world.message(alice, "alice", "something else that is stored");
    assert_eq!(outcome.texts_for(alice), ["something else that is stored", lost.text.as_str()]);
    let stored = outcome.changes.iter().filter_map(|change| match change {
        Change::Message(message) => Some((message.number > lost.number, message.text.as_str())),
        _ => None,
    });
    assert_eq!(
        stored.collect::<Vec<_>>().last(),
        Some(&(true, lost.text.as_str())),
        "under another number, after what was sent first"
    );
    assert!(outcome.changes.contains(&Change::Expired { number: Number(1) }));
}

#[test]
fn a_note_that_was_lost_before_the_accounts_were_read_is_told_after_that() {
    let mut before = World::new();
    let alice = before.log_in("alice", 1);
    let mut note = Message::clone(&before.message(alice, "alice", "a note").message());
    note.from = Sender::Server;
    note.origin = None;
    let users = NAMES.iter().enumerate().map(|(index, user)| (UserId(index as u32 + 1), name(user))).collect();
    let mut world = World::empty(config(), Snapshot { users, last: note.number, ..Snapshot::default() });
    world.input(Input::CommitFailed(vec![Change::Message(Arc::new(note))]));
    let is_told = |outcome: &Outcome| outcome.changes.iter().any(|change| matches!(change, Change::Message(_)));
    assert!(!is_told(&world.pass(Duration::from_secs(6))), "nobody has an account yet");
    assert!(!is_told(&world.read_accounts(credentials())));
    assert!(is_told(&world.pass(Duration::from_secs(6))));
}

#[test]
fn one_may_write_to_oneself_but_not_to_nobody() {
    let mut world = World::new();
    let alice = world.log_in("alice", 1);
    assert_eq!(world.message(alice, "alice", "note").texts_for(alice), ["note"]);
    let outcome = world.message(alice, "nobody", "hi");
    assert_eq!(outcome.answer(), &Err(Refusal::NoSuchUser(name("nobody"))));
    assert_eq!(outcome.changes, []);
}

#[test]
fn what_a_block_held_back_is_not_in_history_when_the_cursor_has_passed_it() {
    let mut world = World::new();
    let (alice, carol) = (world.log_in("alice", 1), world.log_in("carol", 3));
    world.message(alice, "bob", "held back");
    let once = world.log_in_once("bob");
    let outcome = world.block(once, "alice");
    let id = |world: &World, user: &str| world.hub.accounts.find(&name(user)).unwrap();
    let (alice_id, bob_id) = (id(&world, "alice"), id(&world, "bob"));
    assert_eq!(outcome.changes, [Change::Block { user: bob_id, other: alice_id, shown: Number(0) }]);
    let bob = world.log_in("bob", 2);
    assert_eq!(world.message(carol, "bob", "hi").texts_for(bob), ["hi"]);
    world.acknowledge(bob, 2);
    assert_eq!(world.hub.devices.highest_cursor(bob_id), Number(2));
    let asks = |world: &mut World| {
        let outcome = world.ask(bob, Request::History { with: None, before: None, limit: 5 });
        let [Effect::Query { query, .. }] = &outcome.effects[..] else { panic!("{outcome:?}") };
        query.blocked.to_vec()
    };
    assert_eq!(asks(&mut world), [(alice_id, Number(0))]);

    let outcome = world.ask(bob, Request::Unblock(name("alice")));
    assert_eq!(outcome.changes, [Change::Unblock { user: bob_id, other: alice_id, shown: Number(0) }]);
    assert_eq!(asks(&mut world), []);
    world.input(Input::CommitFailed(outcome.changes));
    assert_eq!(asks(&mut world), [(alice_id, Number(0))], "the block is the one it was");
}

#[test]
fn history_asks_for_what_the_asker_may_see() {
    let mut world = World::new();
    let (alice, bob) = (world.log_in("alice", 1), world.log_in("bob", 2));
    world.message(bob, "alice", "hi");
    world.acknowledge(alice, 1);
    world.block(alice, "bob");
    let outcome = world.ask(alice, Request::History { with: Some(name("BOB")), before: Some(Number(9)), limit: 5 });
    let [Effect::Query { connection, id, query }] = &outcome.effects[..] else { panic!("{outcome:?}") };
    assert_eq!((*connection, *id), (alice, Some(world.id())));
    let bob_id = world.hub.accounts.find(&name("bob")).unwrap();
    assert_eq!((query.with, query.before, query.limit), (Some(bob_id), Some(Number(9)), 5));
    assert_eq!(query.blocked[..], [(bob_id, Number(1))]);
    let outcome = world.ask(alice, Request::History { with: Some(name("nobody")), before: None, limit: 5 });
    assert_eq!(outcome, world.refusal(alice, Refusal::NoSuchUser(name("nobody"))));
}
