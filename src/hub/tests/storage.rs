use super::*;
use crate::hub::change::DeviceRow;
use crate::hub::effect::Reach;
use crate::hub::id::UserId;

fn fail(world: &mut World, outcome: Outcome) -> Outcome {
    world.input(Input::CommitFailed(outcome.changes))
}

#[test]
fn a_message_that_was_not_stored_is_nowhere_and_can_be_sent_again() {
    let mut world = World::new();
    let (alice, bob) = (world.log_in("alice", 1), world.log_in("bob", 2));
    let send = || Request::Message { to: name("bob"), text: text("hi"), counter: Some(1), receipt: false };
    let outcome = world.ask(alice, send());
    let outcome = fail(&mut world, outcome);
    assert_eq!(outcome, Outcome::default(), "net refuses it, nobody else hears of it");
    let outcome = world.ask(alice, send());
    assert_eq!(outcome.answer(), &Ok(Reply::Accepted { number: Number(2), reach: Reach::Online }));
    assert_eq!(outcome.texts_for(bob), ["hi"]);
}

#[test]
fn what_was_sent_in_a_lost_turn_is_sent_again() {
    let mut world = World::new();
    let alice = world.log_in("alice", 1);
    world.message(alice, "bob", "stored");
    let claim = world.claim(2, 0);
    let (bob, outcome) = world.log_in_as("bob", Some(claim));
    assert_eq!(outcome.texts_for(bob), ["stored"]);
    let outcome = fail(&mut world, outcome);
    assert_eq!(outcome.texts_for(bob), ["stored"]);
    assert_eq!(outcome.effects.len(), 1);
}

#[test]
fn a_block_that_was_not_stored_does_not_hold_and_neither_does_an_unblock() {
    let mut world = World::new();
    let (alice, bob) = (world.log_in("alice", 1), world.log_in("bob", 2));
    let outcome = world.block(bob, "alice");
    fail(&mut world, outcome);
    assert!(world.message(alice, "bob", "hi").answer().is_ok());
    world.block(bob, "alice");
    let outcome = world.ask(bob, Request::Unblock(name("alice")));
    fail(&mut world, outcome);
    assert!(world.message(alice, "bob", "hi").answer().is_err());
}

#[test]
fn changes_are_undone_the_newest_first() {
    let mut world = World::new();
    let (alice, bob) = (world.log_in("alice", 1), world.log_in("bob", 2));
    let mut both = world.block(bob, "alice");
    both.changes.extend(world.ask(bob, Request::Unblock(name("alice"))).changes);
    fail(&mut world, both);
    assert!(world.message(alice, "bob", "hi").answer().is_ok());
}

#[test]
fn counters_of_failures_live_in_memory_when_the_disk_does_not() {
    let mut world = World::new();
    let connection = world.connect();
    for _ in 0..3 {
        let outcome = world.try_password(connection, "alice", "wrong");
        fail(&mut world, outcome);
    }
    assert!(!world.try_password(connection, "alice", "alice's password").logged_in());
}

#[test]
fn a_log_in_goes_on_without_a_disk_but_without_a_token() {
    let mut world = World::new();
    let claim = world.claim(1, 0);
    let (alice, outcome) = world.log_in_as("alice", Some(claim));
    let token = world.token(&outcome);
    for effect in &outcome.effects {
        if let Effect::Reply { if_lost, answer, .. } = effect {
            assert_eq!((answer.is_ok(), *if_lost), (true, IfLost::Send));
        }
    }
    fail(&mut world, outcome);
    assert_eq!(world.ask(alice, Request::Alive).answer(), &Ok(Reply::Alive));
    world.close(alice);
    let connection = world.connect();
    let outcome = world.exchange(connection, "alice", Mechanism::Token, Some(claim), |_, _| Secret::token(&token));
    assert_eq!(outcome.answer(), &Err(Refusal::TokenRefused));
}

#[test]
fn cursors_and_names_are_written_later() {
    let mut world = World::empty(config(), Snapshot::default());
    world.pass(Duration::ZERO);
    let outcome = world.read_accounts(credentials());
    assert_eq!(outcome.changes.len(), NAMES.len());
    let users = outcome.changes.clone();
    fail(&mut world, outcome);
    assert_eq!(world.pass(Duration::from_millis(4_999)).changes.iter().filter(|c| users.contains(c)).count(), 0);
    assert_eq!(world.pass(Duration::from_millis(1)).changes, users);
    let (alice, bob) = (world.log_in("alice", 1), world.log_in("bob", 2));
    world.message(alice, "bob", "hi");
    let outcome = world.acknowledge(bob, 1);
    assert_eq!(outcome.changes, [], "a cursor is not worth a commit of its own");
    let outcome = world.pass(Duration::from_secs(5));
    let [Change::Device(row)] = &outcome.changes[..] else { panic!("{outcome:?}") };
    assert_eq!((row.device, row.cursor), (device(2), Number(1)));
}

#[test]
fn a_copy_of_what_is_stored_is_not_refused_with_what_is_lost_beside_it() {
    let mut world = World::new();
    let send = |counter| Request::Message {
        to: name("bob"),
        text: text(&format!("message {counter}")),
        counter: Some(counter),
        receipt: false,
    };
    let alice = world.log_in("alice", 1);
    world.ask(alice, send(1));
    let alice = world.log_in("alice", 1);
    let copy = world.ask(alice, send(1));
    let answer = Ok(Reply::Accepted { number: Number(1), reach: Reach::Queued });
    assert_eq!(copy.effects, [world.reply(alice, answer, IfLost::Send)]);
    world.ask(alice, send(2));
    let copy = world.ask(alice, send(2));
    let answer = Ok(Reply::Accepted { number: Number(2), reach: Reach::Queued });
    assert_eq!(copy.effects, [world.reply(alice, answer, IfLost::Refuse)], "the first may still be lost");
}

#[test]
fn what_could_not_be_stored_goes_before_what_comes_next() {
    let mut world = World::empty(config(), Snapshot::default());
    let outcome = world.read_accounts(credentials());
    let users = outcome.changes.clone();
    fail(&mut world, outcome);
    let claim = world.claim(1, 0);
    let (alice, outcome) = world.log_in_as("alice", Some(claim));
    assert_eq!(outcome.changes[..NAMES.len()], users, "a session is of a user that the store knows");
    fail(&mut world, outcome);
    let outcome = world.message(alice, "bob", "hi");
    let (first, then) = outcome.changes.split_at(NAMES.len());
    assert_eq!(first, users);
    let [Change::SourceKnown { .. }, Change::Arrived { .. }, Change::Device(row), Change::Message(_)] = then else {
        panic!("{then:?}")
    };
    assert_eq!(row.device, device(1));
}

#[test]
fn the_number_of_a_lost_message_is_not_given_again_after_a_restart() {
    let mut world = World::new();
    let alice = world.log_in("alice", 1);
    let outcome = world.message(alice, "carol", "lost");
    fail(&mut world, outcome);
    let bob = world.log_in("bob", 2);
    let outcome = world.close(bob);
    let users: Vec<_> = (1..).map(UserId).zip(NAMES.map(name)).collect();
    let rows = outcome.changes.iter().filter_map(|change| match change {
        Change::Device(row) => Some(DeviceRow::clone(row)),
        _ => None,
    });
    let devices: Vec<DeviceRow> = rows.filter(|row| row.user == UserId(2)).collect();
    assert_eq!(devices.len(), 1);
    let mut world = World::with(config(), Snapshot { users, devices, ..Snapshot::default() });
    let alice = world.log_in("alice", 1);
    world.message(alice, "bob", "hi");
    let claim = world.claim(2, 0);
    let (bob, outcome) = world.log_in_as("bob", Some(claim));
    assert_eq!(outcome.texts_for(bob), ["hi"]);
}

#[test]
fn a_cursor_that_has_moved_far_is_written_at_once() {
    let mut world = World::new();
    let (alice, bob) = (world.log_in("alice", 1), world.log_in("bob", 2));
    for number in 1..=1000 {
        world.message(alice, "bob", "hi");
        let outcome = world.acknowledge(bob, number);
        assert_eq!(outcome.changes.len(), usize::from(number == 1000), "a restart finds no more than that unshown");
    }
}

#[test]
fn counters_of_failures_reach_the_disk_when_it_is_there_again() {
    let mut world = World::new();
    let connection = world.connect();
    for _ in 0..3 {
        let outcome = world.try_password(connection, "alice", "wrong");
        fail(&mut world, outcome);
    }
    let outcome = world.pass(Duration::from_secs(5));
    let rows = outcome.changes.iter().filter_map(|change| match change {
        Change::Tries(row) => Some((&*row.name, row.source.is_some(), row.failures, row.locked_until.is_some())),
        _ => None,
    });
    let counted = [("", true, 3, false), ("alice", false, 3, false), ("alice", true, 3, true)];
    assert_eq!(rows.collect::<Vec<_>>(), counted);
}

#[test]
fn what_was_shown_on_a_device_that_is_forgotten_does_not_come_back() {
    let mut world = World::new();
    let (alice, bob) = (world.log_in("alice", 1), world.log_in("bob", 2));
    let read = world.message(alice, "bob", "read").message();
    world.acknowledge(bob, 1);
    world.close(bob);
    let unread = world.message(alice, "bob", "unread").message();
    let outcome = world.pass(Duration::from_secs(31 * 24 * 3600));
    let user = world.hub.accounts.find(&name("bob")).unwrap();
    assert!(outcome.changes.contains(&Change::DeviceForgotten { user, device: device(2), shown: Number(1) }));
    assert!(!outcome.changes.contains(&Change::Expired { number: Number(1) }));

    // As a store gives it back, and as one that gives back too much.
    for waiting in [vec![], vec![read]] {
        let users: Vec<_> = (1..).map(UserId).zip(NAMES.map(name)).collect();
        let last = unread.number;
        let shown = vec![(user, Number(1))];
        let snapshot = || Snapshot {
            users: users.clone(),
            shown: shown.clone(),
            waiting: waiting.clone(),
            last,
            ..Snapshot::default()
        };
        let mut world = World::with(config(), snapshot());
        let claim = world.claim(3, 0);
        let (bob, outcome) = world.log_in_as("bob", Some(claim));
        let Some(Ok(Reply::LoggedIn { waiting, .. })) = outcome.answers().first() else { panic!("{outcome:?}") };
        assert_eq!((*waiting, outcome.texts_for(bob)), (0, vec![]));

        let mut world = World::with(config(), snapshot());
        let outcome = world.pass(Duration::from_secs(31 * 24 * 3600));
        let notes =
            outcome.changes.iter().filter(|change| matches!(change, Change::Expired { .. } | Change::Message(_)));
        assert_eq!(notes.count(), 0, "nobody is told that it was not delivered");
    }
}

#[test]
fn what_can_not_be_stored_for_long_does_not_pile_up() {
    let mut world = World::new();
    let mut changes = 0;
    for _ in 0..50 {
        let alice = world.connect();
        let claim = world.claim(1, 0);
        let password = |salt: &[u8], i| Secret::salted("alice's password", salt, i);
        let outcome = world.exchange(alice, "alice", Mechanism::Password, Some(claim), password);
        fail(&mut world, outcome);
        let outcome = world.close(alice);
        changes = outcome.changes.len();
        fail(&mut world, outcome);
    }
    assert!(changes <= 5, "{changes} changes after fifty log-ins");
    let outcome = world.pass(Duration::from_secs(5));
    let kinds: Vec<_> = outcome.changes.iter().filter(|change| !matches!(change, Change::Forget { .. })).collect();
    assert!(
        matches!(
            kinds[..],
            [Change::SourceKnown { .. }, Change::Arrived { .. }, Change::Left { .. }, Change::Device(_)]
        ),
        "{kinds:?}"
    );
}

#[test]
fn nothing_is_given_up_before_the_accounts_are_there_to_be_told() {
    let mut world = World::new();
    let alice = world.log_in("alice", 1);
    let waiting = vec![world.message(alice, "bob", "hi").message()];
    let users: Vec<_> = (1..).map(UserId).zip(NAMES.map(name)).collect();
    let last = waiting[0].number;
    let mut world = World::empty(config(), Snapshot { users, waiting, last, ..Snapshot::default() });
    let expired = |outcome: &Outcome| outcome.changes.contains(&Change::Expired { number: last });
    assert!(!expired(&world.pass(Duration::from_secs(31 * 24 * 3600))));
    world.read_accounts(credentials());
    let outcome = world.pass(Duration::from_secs(1));
    assert!(expired(&outcome));
    assert!(outcome.message().text.as_str().starts_with("Your message to bob"), "and alice gets a note");
}
