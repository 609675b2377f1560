use super::*;
use crate::hub::effect::{Close, CloseReason};
use crate::hub::id::UserId;
use crate::hub::presence::{COMMANDS_MAX, CORRESPONDENT_SILENCE_MAX, SESSIONS_MAX};

#[test]
fn others_are_told_who_comes_and_goes() {
    let mut world = World::new();
    let bob = world.log_in("bob", 2);
    let claim = world.claim(1, 0);
    let (alice, outcome) = world.log_in_as("alice", Some(claim));
    assert_eq!(outcome.events_for(bob), [&Event::Online(name("alice"))]);
    let (second, outcome) = world.log_in_as("alice", Some(world.claim(9, 0)));
    assert_eq!(outcome.events_for(bob), Vec::<&Event>::new(), "she is online already");
    assert_eq!(world.close(second).events_for(bob), Vec::<&Event>::new(), "she still is");
    let outcome = world.close(alice);
    assert_eq!(outcome.events_for(bob), [&Event::Offline(name("alice"))]);
    assert!(matches!(outcome.changes[..], [Change::Device(_), Change::Left { .. }]));
}

#[test]
fn who_is_blocked_sees_nothing_of_it() {
    let mut world = World::new();
    let (alice, bob) = (world.log_in("alice", 1), world.log_in("bob", 2));
    world.block(bob, "alice");
    assert_eq!(world.ask(alice, Request::Online).answer(), &Ok(Reply::Online(vec![])));
    assert_eq!(world.ask(bob, Request::Online).answer(), &Ok(Reply::Online(vec![name("alice")])));
    assert_eq!(world.close(bob).events_for(alice), Vec::<&Event>::new());
    let claim = world.claim(2, 0);
    assert_eq!(world.log_in_as("bob", Some(claim)).1.events_for(alice), Vec::<&Event>::new());
}

#[test]
fn a_one_shot_makes_nobody_online() {
    let mut world = World::new();
    let bob = world.log_in("bob", 2);
    let (once, outcome) = world.log_in_as("alice", None);
    assert_eq!(outcome.events_for(bob), Vec::<&Event>::new());
    assert_eq!(world.ask(bob, Request::Online).answer(), &Ok(Reply::Online(vec![])));
    assert_eq!(world.message(bob, "alice", "hi").texts_for(once), Vec::<&str>::new());
    let outcome = world.close(once);
    assert_eq!(outcome, Outcome::default());
}

#[test]
fn the_same_device_displaces_itself_and_nobody_hears_of_it() {
    let mut world = World::new();
    let bob = world.log_in("bob", 2);
    let older = world.log_in("alice", 1);
    let claim = world.claim(1, 0);
    let (newer, outcome) = world.log_in_as("alice", Some(claim));
    assert_eq!(outcome.effects[0], event(older, Event::Closing(CloseReason::Displaced), IfLost::Send));
    assert_eq!(outcome.effects[1], Effect::Close { connection: older, how: Close::Forced });
    assert_eq!(outcome.events_for(bob), Vec::<&Event>::new());
    assert_eq!(world.message(bob, "alice", "hi").texts_for(newer), ["hi"]);
    assert_eq!(world.ask(older, Request::Alive), Outcome::default(), "the older is nobody any more");
}

#[test]
fn a_one_shot_beside_an_open_session_disturbs_nothing() {
    let mut world = World::new();
    let alice = world.log_in("alice", 1);
    let bob = world.log_in("bob", 2);
    let (once, outcome) = world.log_in_as("alice", None);
    assert_eq!((outcome.events_for(alice), outcome.events_for(bob)), (vec![], vec![]));
    assert_eq!(world.message(once, "bob", "hi").texts_for(bob), ["hi"]);
    world.close(once);
    assert_eq!(world.ask(alice, Request::Alive).answer(), &Ok(Reply::Alive));
}

#[test]
fn a_silent_client_is_gone_when_its_time_is_over_and_not_before() {
    let mut world = World::new();
    let (alice, bob) = (world.log_in("alice", 1), world.log_in("bob", 2));
    world.pass(Duration::from_secs(20));
    world.ask(bob, Request::Alive);
    assert_eq!(world.pass(Duration::from_micros(14_999_999)).effects, []);
    let outcome = world.pass(Duration::from_micros(1));
    assert_eq!(
        outcome.effects[..2],
        [
            event(alice, Event::Closing(CloseReason::HeartbeatMissed), IfLost::Send),
            Effect::Close { connection: alice, how: Close::Forced },
        ]
    );
    assert_eq!(outcome.events_for(bob), [&Event::Offline(name("alice"))]);
    assert!(world.message(bob, "alice", "later").answer().is_ok());
    let claim = world.claim(1, 0);
    let (alice, outcome) = world.log_in_as("alice", Some(claim));
    assert_eq!(outcome.texts_for(alice), ["later"]);
}

#[test]
fn a_deadline_is_known_in_advance() {
    let mut world = World::new();
    world.pass(Duration::ZERO);
    let idle = world.hub.poll_timeout().unwrap();
    assert_eq!(idle, world.now.instant + Duration::from_secs(3600), "nothing but the hourly sweeps");
    let alice = world.log_in("alice", 1);
    assert_eq!(world.hub.poll_timeout(), Some(world.now.instant + Duration::from_secs(35)));
    world.close(alice);
    assert_eq!(world.hub.poll_timeout(), Some(idle), "and nothing is left of it");
}

#[test]
fn logging_out_answers_and_closes() {
    let mut world = World::new();
    let (alice, bob) = (world.log_in("alice", 1), world.log_in("bob", 2));
    let outcome = world.ask(alice, Request::LogOut);
    assert_eq!(
        outcome.effects[..2],
        [
            world.reply(alice, Ok(Reply::LoggedOut), IfLost::Send),
            Effect::Close { connection: alice, how: Close::Orderly },
        ]
    );
    assert_eq!(outcome.events_for(bob), [&Event::Offline(name("alice"))]);
}

#[test]
fn a_shutdown_reaches_everybody_and_leaves_nothing() {
    let mut world = World::new();
    let (alice, once) = (world.log_in("alice", 1), world.log_in_once("bob"));
    let stranger = world.connect();
    let outcome = world.input(Input::Shutdown);
    for connection in [alice, once, stranger] {
        assert_eq!(outcome.events_for(connection), [&Event::Closing(CloseReason::Shutdown)]);
        assert!(outcome.effects.contains(&Effect::Close { connection, how: Close::Forced }));
    }
    assert!(matches!(outcome.changes[..], [Change::Device(_), Change::Left { .. }]));
    let late = world.connect();
    let outcome = world.ask(late, Request::Alive);
    assert_eq!(outcome, world.refusal(late, Refusal::ShuttingDown));
}

#[test]
fn the_ninth_device_displaces_the_one_not_seen_for_longest() {
    let mut world = World::new();
    let first = world.log_in("alice", 1);
    for n in 2..=8 {
        world.pass(Duration::from_millis(10));
        world.log_in("alice", n);
    }
    world.pass(Duration::from_millis(10));
    let claim = world.claim(9, 0);
    let (_, outcome) = world.log_in_as("alice", Some(claim));
    assert_eq!(outcome.events_for(first), [&Event::Closing(CloseReason::Displaced)]);
    let user = world.hub.accounts.find(&name("alice")).unwrap();
    assert!(outcome.changes.contains(&Change::DeviceForgotten { user, device: device(1), shown: Number(0) }));
}

#[test]
fn an_account_has_so_many_sessions_without_a_device_and_no_more() {
    let mut world = World::new();
    let mut sessions: Vec<ConnectionId> = (0..COMMANDS_MAX).map(|_| world.log_in_once("alice")).collect();
    let connection = world.connect();
    let outcome = world.try_password(connection, "alice", "alice's password");
    assert_eq!(outcome, world.refusal(connection, Refusal::TooManySessions));
    assert_eq!(world.ask(sessions[0], Request::Alive).answer(), &Ok(Reply::Alive), "those that are there stay");
    world.log_in_once("bob");
    // Each device finds its place, and the ninth takes another's.
    for device in 1..=9 {
        world.log_in("alice", device);
    }
    let all = world.hub.presence.sessions().filter(|(_, session)| session.user == UserId(1)).count();
    assert_eq!(all, SESSIONS_MAX);
    // A place is free again however a session ends.
    world.close(sessions.pop().unwrap());
    assert!(world.try_password(connection, "alice", "alice's password").logged_in());
    let next = world.connect();
    assert_eq!(world.try_password(next, "alice", "alice's password").answer(), &Err(Refusal::TooManySessions));
    world.ask(sessions.pop().unwrap(), Request::LogOut);
    assert!(world.try_password(next, "alice", "alice's password").logged_in());
}

#[test]
fn who_speaks_by_datagrams_is_gone_after_twelve_hours_of_silence() {
    let mut world = World::new();
    let (alice, bob) = (world.by_datagrams("alice"), world.in_session("bob"));
    world.message(bob, "alice", "one");
    world.message(bob, "alice", "two");
    let (hour, almost) = (Duration::from_secs(3600), CORRESPONDENT_SILENCE_MAX - Duration::from_micros(1));
    world.pass(hour);
    world.shown(alice, 1);
    assert_eq!(world.pass(almost).effects, [], "an acknowledgement is a sign of life");
    assert_eq!(world.ask(alice, Request::Online).answer(), &Ok(Reply::Online(vec![name("bob")])));
    assert_eq!(world.pass(almost).effects, [], "as is what it asks");
    let outcome = world.pass(Duration::from_micros(1));
    let closing = event(alice, Event::Closing(CloseReason::HeartbeatMissed), IfLost::Send);
    assert_eq!(outcome.effects[..2], [closing, Effect::Close { connection: alice, how: Close::Forced }]);
    assert_eq!(outcome.events_for(bob), [&Event::Offline(name("alice"))]);
    let (alice, outcome) = world.begin("alice", Manner::Correspondent, DeviceId::DATAGRAM);
    assert_eq!(outcome.texts_for(alice), ["two"], "what it has not shown waits");
}

#[test]
fn who_can_not_be_reached_by_datagrams_is_gone_at_once() {
    let mut world = World::new();
    let (alice, bob) = (world.by_datagrams("alice"), world.in_session("bob"));
    world.message(bob, "alice", "hi");
    let outcome = world.input(Input::Unreached { connection: alice });
    let closing = event(alice, Event::Closing(CloseReason::HeartbeatMissed), IfLost::Send);
    assert_eq!(outcome.effects[..2], [closing, Effect::Close { connection: alice, how: Close::Forced }]);
    assert_eq!(outcome.events_for(bob), [&Event::Offline(name("alice"))]);
    for connection in [alice, bob] {
        assert_eq!(world.input(Input::Unreached { connection }), Outcome::default());
    }
    let (alice, outcome) = world.begin("alice", Manner::Correspondent, DeviceId::DATAGRAM);
    assert_eq!(outcome.texts_for(alice), ["hi"]);
}

#[test]
fn a_session_s_connection_is_its_sign_of_life() {
    let mut world = World::new();
    world.pass(Duration::ZERO);
    let idle = world.hub.poll_timeout();
    let bob = world.in_session("bob");
    world.pass(Duration::from_secs(5));
    assert_eq!((world.hub.presence.next_heartbeat(), world.hub.poll_timeout()), (None, idle));
    assert_eq!(world.ask(bob, Request::Online).answer(), &Ok(Reply::Online(vec![])));
}

#[test]
fn nothing_is_remembered_of_a_classic_client_to_which_nothing_is_owed() {
    for (manner, device) in [(Manner::Session, DeviceId::SESSION), (Manner::Correspondent, DeviceId::DATAGRAM)] {
        for shown in [1, 2] {
            let mut world = World::new();
            let (bob, (alice, _)) = (world.log_in("bob", 2), world.begin("alice", manner, device));
            world.message(bob, "alice", "one");
            world.broadcast(bob, "two");
            assert_eq!(world.broadcast(alice, "three").texts_for(alice), Vec::<&str>::new(), "it is not its own echo");
            world.shown(alice, shown);
            let user = world.hub.accounts.find(&name("alice")).unwrap();
            let forgotten = Change::DeviceForgotten { user, device, shown: Number(2) };
            let outcome = world.close(alice);
            assert_eq!(outcome.changes.contains(&forgotten), shown == 2, "{outcome:?}");
            let (alice, outcome) = world.begin("alice", manner, device);
            assert_eq!(outcome.texts_for(alice), ["one", "two"][shown as usize..]);
        }
    }
}
