use super::*;
use crate::hub::change::AWAY;
use crate::hub::effect::{Close, CloseReason, LogInFailure, Reach};
use crate::hub::guests::{GUEST_NAMES_MAX, GUESTS_MAX};
use crate::hub::id::UserId;
use crate::hub::input::Operation;
use crate::hub::message::{Recipient, Sender};

fn id(world: &World, user: &str) -> UserId {
    world.hub.accounts.find(&name(user)).unwrap()
}

/// Somebody is refused at the door.
fn refused(world: &mut World, guest: &str, refusal: Refusal) {
    let connection = world.connect();
    let outcome = world.ask(connection, Request::Enter(name(guest)));
    let reply = world.reply(connection, Err(refusal), IfLost::Send);
    let effects = vec![reply, Effect::Close { connection, how: Close::Forced }];
    assert_eq!(outcome, Outcome { effects, ..Outcome::default() });
    assert!(!world.hub.presence.is_connected(connection));
}

/// What makes a guest's name last.
fn named(user: UserId, guest: &str) -> [Change; 3] {
    [
        Change::User { id: user, name: name(guest) },
        Change::Retired { user },
        Change::DeviceForgotten { user, device: DeviceId::NICK, shown: AWAY },
    ]
}

fn operate(world: &mut World, operation: Operation) -> Outcome {
    let operator = world.connect_as(Peer::Operator);
    let outcome = world.ask(operator, Request::Operate(operation));
    world.derive(outcome)
}

fn add(world: &mut World, user: &str) -> Outcome {
    operate(world, Operation::Add { name: name(user), password: Password::parse("apple").unwrap(), classic: false })
}

#[test]
fn coming_in_comes_to_exactly_this() {
    let mut world = World::new();
    let bob = world.log_in("bob", 1);
    let connection = world.connect();
    let outcome = world.ask(connection, Request::Enter(name("Gus")));
    let welcome = Reply::Welcome { user: name("Gus"), waiting: 0 };
    let expected = [Effect::Authenticated { connection }, world.reply(connection, Ok(welcome), IfLost::Send)];
    assert_eq!((&outcome.effects[..2], outcome.effects.len()), (&expected[..], 3));
    assert_eq!(outcome.events_for(bob), [&Event::Online(name("Gus"))]);
    assert_eq!(outcome.changes, [], "nothing of a guest is stored");
    assert_eq!(world.ask(bob, Request::Online).answer(), &Ok(Reply::Online(vec![name("Gus")])));
    assert_eq!(world.ask(connection, Request::Online).answer(), &Ok(Reply::Online(vec![name("bob")])));
    let again = world.ask(connection, Request::Enter(name("Hal")));
    assert_eq!(again, world.refusal(connection, Refusal::AlreadyLoggedIn));
    let outcome = world.close(connection);
    assert_eq!((outcome.events_for(bob), outcome.effects.len()), (vec![&Event::Offline(name("Gus"))], 1));
    assert_eq!(outcome.changes, []);
}

#[test]
fn a_name_that_is_or_was_somebody_s_is_refused() {
    let mut world = World::new();
    world.guest("gus");
    for taken in ["GUS", "alice", "Alice"] {
        refused(&mut world, taken, Refusal::NameTaken(name(taken)));
    }
    let loading = [credentials(), vec![Credential::new(name("fred"), "pear")]].concat();
    world.input(Input::Accounts { credentials: loading, public: false });
    refused(&mut world, "fred", Refusal::NameTaken(name("fred")));
    world.read_accounts(credentials().into_iter().skip(1).collect());
    refused(&mut world, "alice", Refusal::NameTaken(name("alice")));
    add(&mut world, "eve");
    refused(&mut world, "eve", Refusal::NameTaken(name("eve")));
    operate(&mut world, Operation::Remove(name("eve")));
    world.guest("eve");
}

#[test]
fn there_are_so_many_guests_and_no_more() {
    let mut world = World::new();
    let guests: Vec<ConnectionId> = (0..GUESTS_MAX)
        .map(|n| {
            let connection = ConnectionId { slot: 10_000 + n as u32, generation: 0 };
            let address = PeerAddress::of([127, 0, 0, 1].into());
            let peer = Peer::Stranger { address, binding: None, may_sign_up: false };
            let mut out = Outbox::new();
            world.hub.handle(world.now, Input::Connected { connection, peer }, &mut out);
            let request = Request::Enter(name(&format!("g{n}")));
            world.hub.handle(world.now, Input::Request { connection, id: None, request }, &mut out);
            connection
        })
        .collect();
    refused(&mut world, "gus", Refusal::TooManyGuests);
    world.close(guests[0]);
    world.guest("gus");
}

#[test]
fn the_log_has_so_many_names_of_guests_and_then_only_those_come_in_who_were_here() {
    let mut world = World::new();
    let silent = world.guest("silent");
    for n in 0..GUEST_NAMES_MAX {
        let connection = ConnectionId { slot: 10_000, generation: n as u32 };
        let address = PeerAddress::of([127, 0, 0, 1].into());
        let peer = Peer::Stranger { address, binding: None, may_sign_up: false };
        let text = Text::parse("hi").unwrap();
        let requests = [Request::Enter(name(&format!("g{n}"))), Request::Broadcast { text, counter: None }];
        let asked = requests.map(|request| Input::Request { connection, id: None, request });
        for input in std::iter::once(Input::Connected { connection, peer }).chain(asked) {
            world.hub.handle(world.now, input, &mut Outbox::new());
        }
        world.hub.handle(world.now, Input::Closed { connection }, &mut Outbox::new());
    }
    refused(&mut world, "gus", Refusal::TooManyGuests);
    world.guest("g0");
    assert!(world.broadcast(silent, "and I?").answer().is_ok(), "who is here may speak");
}

#[test]
fn a_guest_waits_for_the_accounts() {
    let mut world = World::empty(config(), Snapshot::default());
    let (gus, alice) = (world.connect(), world.connect());
    for (connection, user) in [(gus, "gus"), (alice, "alice")] {
        let outcome = world.ask(connection, Request::Enter(name(user)));
        assert_eq!(outcome, Outcome { effects: vec![Effect::Suspend { connection }], ..Outcome::default() });
    }
    let outcome = world.read_accounts(credentials());
    let refused = Err(Refusal::NameTaken(name("alice")));
    assert_eq!(outcome.answers(), [&Ok(Reply::Welcome { user: name("gus"), waiting: 0 }), &refused]);
    assert!(outcome.effects.contains(&Effect::Close { connection: alice, how: Close::Forced }));
}

#[test]
fn what_a_guest_says_to_all_they_hear_too() {
    let mut world = World::new();
    let (alice, bob, gus) = (world.log_in("alice", 1), world.called("bob"), world.guest("gus"));
    let outcome = world.broadcast(gus, "hi");
    for connection in [alice, bob, gus] {
        assert_eq!(outcome.texts_for(connection), ["hi"]);
    }
    let outcome = world.broadcast(alice, "hello");
    assert_eq!((outcome.texts_for(alice), outcome.texts_for(gus)), (vec![], vec!["hello"]));
    let lost = world.broadcast(gus, "again");
    let outcome = world.input(Input::CommitFailed(lost.changes));
    assert_eq!(outcome.texts_for(gus), ["hi", "hello"], "what was not acknowledged, and was not lost");
}

#[test]
fn private_messages_reach_guests_and_come_from_them() {
    let mut world = World::new();
    let (alice, gus) = (world.log_in("alice", 1), world.guest("gus"));
    let send = Request::Message { to: name("GUS"), text: text("psst"), counter: None, receipt: true };
    let outcome = world.ask(alice, send);
    assert_eq!(outcome.answer(), &Ok(Reply::Accepted { number: Number(1), reach: Reach::Online }));
    assert_eq!(outcome.texts_for(gus), ["psst"]);
    let delivered = Event::Delivered { number: Number(1), to: name("gus"), words: None };
    assert_eq!(world.shown(gus, 1).effects, [event(alice, delivered, IfLost::Send)]);
    assert_eq!(world.message(gus, "alice", "yes?").texts_for(alice), ["yes?"]);
}

#[test]
fn a_name_is_stored_before_the_first_message_that_needs_it() {
    let mut world = World::new();
    let (alice, gus, hal) = (world.log_in("alice", 1), world.guest("gus"), world.guest("hal"));
    let (gus_id, hal_id) = (id(&world, "gus"), id(&world, "hal"));
    let outcome = world.message(alice, "gus", "hi");
    assert_eq!(outcome.changes[..3], named(gus_id, "gus"));
    assert!(matches!(&outcome.changes[3..], [Change::Message(_)]));
    assert!(matches!(world.message(gus, "alice", "hi").changes[..], [Change::Message(_)]), "once");
    let outcome = world.broadcast(hal, "hi");
    assert_eq!((&outcome.changes[..3], outcome.changes.len()), (&named(hal_id, "hal")[..], 4));
    for guest in [gus, hal] {
        assert_eq!(world.close(guest).changes, []);
    }
}

#[test]
fn whose_name_is_in_the_log_keeps_their_id_and_the_others_ids_are_given_again() {
    let mut world = World::new();
    let (quiet, heard) = (world.guest("quiet"), world.guest("Heard"));
    let (quiet_id, heard_id) = (id(&world, "quiet"), id(&world, "Heard"));
    world.broadcast(heard, "hi");
    world.close(quiet);
    world.close(heard);
    let other_spelling = world.guest("heard");
    assert_eq!(id(&world, "heard"), quiet_id, "the id of whom nobody has heard");
    refused(&mut world, "Heard", Refusal::NameTaken(name("Heard")));
    world.close(other_spelling);
    let heard = world.guest("Heard");
    assert_eq!(id(&world, "Heard"), heard_id);
    assert!(matches!(world.broadcast(heard, "again").changes[..], [Change::Message(_)]), "one row a name");
    let new = world.guest("new");
    assert_eq!(id(&world, "new"), quiet_id);
    world.guest("newer");
    assert!(id(&world, "newer") > heard_id.max(quiet_id));
    world.close(new);
}

#[test]
fn nothing_is_left_of_a_guest_who_is_gone() {
    let mut world = World::new();
    let (alice, gus) = (world.log_in("alice", 1), world.guest("gus"));
    let devices = world.hub.devices.count();
    world.message(alice, "gus", "unread");
    assert_eq!(world.hub.delivery.messages_waiting(), 1);
    world.close(gus);
    assert_eq!((world.hub.delivery.messages_waiting(), world.hub.devices.count()), (0, devices - 1));
    assert_eq!(world.message(alice, "gus", "hi").answer(), &Err(Refusal::NoSuchUser(name("gus"))));
    let (gus, outcome) = world.come_guest("gus");
    assert_eq!(outcome.texts_for(gus), Vec::<&str>::new(), "no queue");
    world.close(gus);
    let outcome = world.pass(Duration::from_secs(31 * 24 * 3600));
    let told = outcome.changes.iter().filter(|change| matches!(change, Change::Expired { .. } | Change::Message(_)));
    assert_eq!(told.count(), 0, "and no note about what did not reach them");
}

#[test]
fn blocks_hold_while_the_guest_is_here_and_are_in_memory_only() {
    let mut world = World::new();
    let (alice, gus) = (world.log_in("alice", 1), world.guest("gus"));
    for (by, other) in [(alice, "gus"), (gus, "alice")] {
        let outcome = world.block(by, other);
        let blocked = world.reply(by, Ok(Reply::Blocked(name(other))), IfLost::Send);
        assert_eq!(outcome, Outcome { effects: vec![blocked], ..Outcome::default() });
    }
    assert_eq!(world.ask(alice, Request::Blocked).answer(), &Ok(Reply::BlockList(vec![name("gus")])));
    assert_eq!(world.message(gus, "alice", "hi").answer(), &Err(Refusal::BlockedBy(name("alice"))));
    assert_eq!(world.broadcast(gus, "all").texts_for(alice), Vec::<&str>::new());
    assert_eq!(world.ask(gus, Request::Online).answer(), &Ok(Reply::Online(vec![])));
    let outcome = world.ask(gus, Request::Unblock(name("alice")));
    assert_eq!((outcome.answer(), &outcome.changes[..]), (&Ok(Reply::Unblocked(name("alice"))), &[][..]));

    assert_eq!(world.close(gus).events_for(alice), [&Event::Offline(name("gus"))]);
    assert_eq!(world.ask(alice, Request::Blocked).answer(), &Ok(Reply::BlockList(vec![])));
    let gus = world.guest("gus");
    assert_eq!(world.message(gus, "alice", "me again").texts_for(alice), ["me again"]);
    world.block(alice, "gus");
    let outcome = world.ask(alice, Request::Unblock(name("gus")));
    assert_eq!((outcome.answer(), &outcome.changes[..]), (&Ok(Reply::Unblocked(name("gus"))), &[][..]));
}

#[test]
fn the_end_of_an_account_does_not_store_its_blocks_of_guests() {
    let mut world = World::new();
    add(&mut world, "eve");
    let eve = world.connect();
    assert!(world.try_by_password(eve, "eve", "apple").welcomed());
    let gus = world.guest("gus");
    world.block(eve, "gus");
    world.block(eve, "alice");
    let outcome = operate(&mut world, Operation::Remove(name("eve")));
    let lifted = |change: &&Change| matches!(change, Change::Unblock { .. });
    let lifted: Vec<&Change> = outcome.changes.iter().filter(lifted).collect();
    let alice = id(&world, "alice");
    assert!(matches!(lifted[..], [Change::Unblock { other, .. }] if *other == alice), "{lifted:?}");
    world.close(gus);
}

#[test]
fn a_guest_is_here_as_long_as_their_connection() {
    let mut world = World::new();
    let gus = world.guest("gus");
    assert_eq!(world.hub.presence.next_heartbeat(), None);
    let outcome = world.pass(Duration::from_secs(24 * 3600));
    assert_eq!(outcome.effects, []);
    assert_eq!(world.ask(gus, Request::Alive).answer(), &Ok(Reply::Alive));
}

#[test]
fn a_guest_sends_no_faster_than_others() {
    let mut world = World::with(Config { messages_per_second: Some(1), ..config() }, Snapshot::default());
    let gus = world.guest("gus");
    for _ in 0..10 {
        assert!(world.broadcast(gus, "hi").answer().is_ok());
    }
    let too_fast = Refusal::TooFast { retry_after: Duration::from_secs(1) };
    assert_eq!(world.broadcast(gus, "hi"), world.refusal(gus, too_fast));
}

#[test]
fn an_account_takes_the_name_of_a_guest() {
    let mut world = World::new();
    for from_file in [false, true] {
        let (bob, gus) = (world.log_in("bob", 1), world.guest("Gus"));
        let guest = id(&world, "gus");
        let outcome = match from_file {
            false => add(&mut world, "gus"),
            true => world.read_accounts([credentials(), vec![Credential::new(name("gus"), "pear")]].concat()),
        };
        let closed = Effect::Close { connection: gus, how: Close::Forced };
        assert_eq!(outcome.events_for(gus), [&Event::Closing(CloseReason::AccountChanged)]);
        assert!(outcome.effects.contains(&closed) && !outcome.changes.contains(&Change::Retired { user: guest }));
        assert_eq!(outcome.events_for(bob), [&Event::Offline(name("Gus"))]);
        assert!(id(&world, "gus") != guest, "who has the account is somebody else");
        assert_eq!(world.message(bob, "gus", "hi").message().recipient(), Some(id(&world, "gus")));
        operate(&mut world, Operation::Remove(name("gus")));
        world.close(bob);
    }
}

#[test]
fn a_guest_s_name_is_no_account() {
    let mut world = World::new();
    let gus = world.guest("gus");
    let connection = world.connect_encrypted();
    let outcome = world.try_password(connection, "gus", "x");
    assert!(outcome.effects.contains(&Effect::LogInFailed { connection, why: LogInFailure::UnknownName }));
    let outcome = world.try_by_password(connection, "gus", "x");
    assert_eq!(outcome.answer(), &Err(Refusal::UnknownName));

    let first = ClientFirst::parse(&ClientExchange::new(&name("gus"), b"n", None).message()).unwrap();
    world.ask(connection, Request::LogIn { mechanism: Mechanism::Password, first, device: None });
    let outcome = world.ask(connection, Request::SignUp(keys("x")));
    assert_eq!(outcome.answer(), &Err(Refusal::NameTaken(name("gus"))));

    let no_such = Err(Refusal::NoSuchUser(name("gus")));
    assert_eq!(operate(&mut world, Operation::Remove(name("gus"))).answer(), &no_such);
    let password = Password::parse("x").unwrap();
    let reset = Operation::SetPassword { name: name("gus"), password, classic: None };
    assert_eq!(operate(&mut world, reset).answer(), &no_such);
    let outcome = operate(&mut world, Operation::List);
    let Ok(Reply::Users(listed)) = outcome.answer() else { panic!("{outcome:?}") };
    assert!(listed.iter().map(|user| user.name.as_str()).eq(NAMES));
    let outcome = operate(&mut world, Operation::Status);
    let Some(Effect::Status { chat, .. }) = outcome.effects.first() else { panic!("{outcome:?}") };
    assert_eq!((chat.sessions, chat.online, chat.accounts), (1, 1, 4));
    let outcome = world.ask(gus, Request::ChangePassword(keys("x")));
    assert_eq!(outcome, world.refusal(gus, Refusal::NeedsTls));
}

#[test]
fn the_operator_can_end_a_guest_s_session() {
    let mut world = World::new();
    let gus = world.guest("gus");
    let outcome = operate(&mut world, Operation::Kick(name("gus")));
    assert_eq!(outcome.answer(), &Ok(Reply::Kicked { user: name("gus"), sessions: 1 }));
    assert_eq!(outcome.events_for(gus), [&Event::Closing(CloseReason::Kicked)]);
}

#[test]
fn a_name_that_was_lost_with_its_message_is_stored_with_the_next() {
    let mut world = World::new();
    let (alice, gus) = (world.log_in("alice", 1), world.guest("gus"));
    let user = id(&world, "gus");
    for _ in 0..2 {
        let outcome = world.message(alice, "gus", "hi");
        assert_eq!(outcome.changes[..3], named(user, "gus"));
        let outcome = world.input(Input::CommitFailed(outcome.changes));
        assert_eq!(outcome, Outcome::default());
        assert_eq!(world.hub.unsaved.count(), 0, "nothing is stored without a message");
    }
    let outcome = world.message(alice, "gus", "hi");
    world.close(gus);
    world.input(Input::CommitFailed(outcome.changes));
    world.guest("hal");
    assert_eq!(id(&world, "hal"), user, "nobody has heard of them");
    let gus = world.guest("gus");
    assert_ne!(id(&world, "gus"), user);
    world.close(gus);
}

#[test]
fn after_a_restart_the_log_has_their_names_and_nobody_their_ids() {
    let mut world = World::new();
    let (alice, gus) = (world.log_in("alice", 1), world.guest("gus"));
    let mut stored = world.message(alice, "gus", "to a guest").changes;
    stored.extend(world.message(gus, "bob", "from a guest").changes);
    let guest = id(&world, "gus");

    // The server dies. As a store gives it back: what waits is above what was shown.
    let mut users: Vec<_> = (1..).map(UserId).zip(NAMES.map(name)).collect();
    let mut snapshot = Snapshot::default();
    for change in stored {
        match change {
            Change::User { id, name } => users.push((id, name)),
            Change::Retired { user } => snapshot.retired.push(user),
            Change::DeviceForgotten { user, shown, .. } => snapshot.shown.push((user, shown)),
            Change::Message(message) => {
                snapshot.last = message.number;
                let shown = snapshot.shown.iter().find(|(user, _)| message.recipient() == Some(*user));
                if shown.is_none_or(|&(_, shown)| message.number > shown) {
                    snapshot.waiting.push(message);
                }
            }
            other => panic!("{other:?}"),
        }
    }
    let mut world = World::with(config(), Snapshot { users, ..snapshot });
    let (bob, outcome) = world.come_called("bob");
    let [Event::Message(message)] = outcome.events_for(bob)[..] else { panic!("{outcome:?}") };
    assert_eq!((&message.from, message.number), (&Sender::User(guest, name("gus")), Number(2)));
    world.shown(bob, 2);
    let gus = world.guest("gus");
    assert!(id(&world, "gus") > guest, "another guest of this name");
    let outcome = world.message(gus, "bob", "a new one");
    assert_eq!(outcome.message().number, Number(3));
    assert_eq!(outcome.message().to, Recipient::User(id(&world, "bob"), name("bob")));
    assert_eq!(outcome.changes[..3], named(id(&world, "gus"), "gus"));
    world.shown(bob, 3);
    world.post("bob", Request::LogOut);
    assert_eq!(world.hub.delivery.messages_waiting(), 0, "what was for the guest is nobody's");
}
