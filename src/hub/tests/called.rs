use super::*;
use crate::hub::calls::{PAUSE_MAX, PAUSE_MIN};
use crate::hub::effect::{Close, CloseReason, Reach};
use crate::hub::id::UserId;
use crate::hub::presence::WINDOW_MESSAGES;
use crate::hub::text::TextError;

const MICROSECOND: Duration = Duration::from_micros(1);

fn id(world: &World, user: &str) -> UserId {
    world.hub.accounts.find(&name(user)).unwrap()
}

/// Passes so much time that whoever says nothing is gone, while `native` does.
fn silence(world: &mut World, native: ConnectionId) -> Outcome {
    let half = world.hub.config.heartbeat_timeout / 2;
    world.pass(half);
    world.ask(native, Request::Alive);
    world.pass(half)
}

fn waiting(outcome: &Outcome) -> usize {
    match outcome.answers()[..] {
        [Ok(Reply::Welcome { waiting, .. })] => *waiting,
        _ => panic!("{outcome:?}"),
    }
}

fn is_remembered(world: &World, user: &str) -> bool {
    world.hub.devices.cursor(id(world, user), DeviceId::REQUEST) > Number(0)
}

/// What was stored of the client's row, in order: that it is, or that it is no more.
fn rows(outcome: &Outcome) -> Vec<bool> {
    let row = |change: &Change| match change {
        Change::Device(row) if row.device == DeviceId::REQUEST => Some(true),
        Change::DeviceForgotten { device: DeviceId::REQUEST, .. } => Some(false),
        _ => None,
    };
    outcome.changes.iter().filter_map(row).collect()
}

#[test]
fn a_new_log_in_displaces_the_older_one_and_nobody_hears_of_it() {
    let mut world = World::new();
    let (bob, native) = (world.log_in("bob", 1), world.log_in("alice", 1));
    let older = world.called("alice");
    let (newer, outcome) = world.come_called("alice");
    let displaced = [
        event(older, Event::Closing(CloseReason::Displaced), IfLost::Send),
        Effect::Close { connection: older, how: Close::Forced },
    ];
    let at = outcome.effects.iter().position(|effect| *effect == displaced[0]).unwrap();
    assert_eq!(outcome.effects[at..at + 2], displaced);
    assert_eq!((outcome.events_for(bob), outcome.events_for(native)), (vec![], vec![]));
    let outcome = world.message(bob, "alice", "hi");
    assert_eq!((outcome.texts_for(older), outcome.texts_for(newer)), (vec![], vec!["hi"]));
    assert_eq!(outcome.texts_for(native), ["hi"], "all that stay receive");
}

#[test]
fn others_are_told_who_comes_and_goes() {
    let mut world = World::new();
    let bob = world.log_in("bob", 1);
    let (alice, outcome) = world.come_called("alice");
    assert_eq!(outcome.events_for(bob), [&Event::Online(name("alice"))]);
    assert_eq!(world.ask(bob, Request::Online).answer(), &Ok(Reply::Online(vec![name("alice")])));
    let outcome = world.post("alice", Request::LogOut);
    let reply = world.reply(alice, Ok(Reply::LoggedOut), IfLost::Send);
    assert_eq!(outcome.effects[..2], [reply, Effect::Close { connection: alice, how: Close::Orderly }]);
    assert_eq!(outcome.events_for(bob), [&Event::Offline(name("alice"))]);
    assert_eq!(world.post("alice", Request::Alive), Outcome { effects: vec![Effect::Ignored], ..Outcome::default() });
}

#[test]
fn what_came_while_they_were_offline_is_theirs_once() {
    let mut world = World::new();
    let bob = world.log_in("bob", 1);
    let outcome = world.message(bob, "alice", "one");
    assert_eq!(outcome.answer(), &Ok(Reply::Accepted { number: Number(1), reach: Reach::Queued }));
    world.message(bob, "alice", "two");
    world.broadcast(bob, "for who is here");
    let (alice, outcome) = world.come_called("alice");
    assert_eq!((waiting(&outcome), outcome.texts_for(alice)), (2, vec!["one", "two"]));
    assert_eq!(world.shown(alice, 2), Outcome::default(), "no answer: nobody has asked");
    world.post("alice", Request::LogOut);
    let (alice, outcome) = world.come_called("alice");
    assert_eq!((waiting(&outcome), outcome.texts_for(alice)), (0, vec![]));
}

#[test]
fn what_was_shown_is_told_to_who_wants_to_know() {
    let mut world = World::new();
    let (bob, alice) = (world.log_in("bob", 1), world.called("alice"));
    let send = Request::Message { to: name("alice"), text: text("hi"), counter: None, receipt: true };
    world.ask(bob, send);
    let outcome = world.shown(alice, 1);
    let delivered = Event::Delivered { number: Number(1), to: name("alice"), words: None };
    assert_eq!(outcome.effects, [event(bob, delivered, IfLost::Send)]);
    assert_eq!(world.shown(alice, 1), Outcome::default());
}

#[test]
fn more_than_the_window_holds_waits_until_it_was_shown() {
    let mut world = World::new();
    let (bob, alice) = (world.log_in("bob", 1), world.called("alice"));
    let sent = (0..WINDOW_MESSAGES + 1).map(|_| world.message(bob, "alice", "hi").texts_for(alice).len());
    assert_eq!(sent.sum::<usize>(), WINDOW_MESSAGES as usize);
    assert_eq!(world.shown(alice, 10).texts_for(alice), ["hi"]);
}

#[test]
fn who_is_called_and_says_nothing_is_gone_and_nothing_for_them_is_lost() {
    let mut world = World::new();
    let (bob, alice) = (world.log_in("bob", 1), world.called("alice"));
    world.broadcast(bob, "shown");
    world.shown(alice, 1);
    world.broadcast(bob, "to all");
    world.message(bob, "alice", "to alice");
    let outcome = silence(&mut world, bob);
    let closing = event(alice, Event::Closing(CloseReason::HeartbeatMissed), IfLost::Send);
    assert_eq!(outcome.effects[..2], [closing, Effect::Close { connection: alice, how: Close::Forced }]);
    assert_eq!(outcome.events_for(bob), [&Event::Offline(name("alice"))]);
    assert_eq!(rows(&outcome), [true], "something is owed to it");
    world.broadcast(bob, "she is not here");
    world.message(bob, "alice", "later");
    let (alice, outcome) = world.come_called("alice");
    assert_eq!((waiting(&outcome), outcome.texts_for(alice)), (3, vec!["to all", "to alice", "later"]));
}

#[test]
fn nothing_is_remembered_of_a_client_to_which_nothing_is_owed() {
    let mut world = World::new();
    let (bob, alice) = (world.log_in("bob", 1), world.called("alice"));
    world.message(bob, "alice", "hi");
    world.shown(alice, 1);
    assert!(is_remembered(&world, "alice"));
    let outcome = world.post("alice", Request::LogOut);
    let user = id(&world, "alice");
    let forgotten = Change::DeviceForgotten { user, device: DeviceId::REQUEST, shown: Number(1) };
    assert!(outcome.changes.contains(&forgotten), "{outcome:?}");
    assert_eq!((rows(&outcome), is_remembered(&world, "alice")), (vec![false], false));
    world.message(bob, "alice", "two");
    let (alice, outcome) = world.come_called("alice");
    assert_eq!(outcome.texts_for(alice), ["two"], "where it was");
}

#[test]
fn what_is_under_way_or_waits_behind_it_is_owed() {
    for shown in [0, 1] {
        let mut world = World::new();
        let (bob, alice) = (world.log_in("bob", 1), world.called("alice"));
        world.message(bob, "alice", "one");
        world.message(bob, "alice", "two");
        world.shown(alice, shown);
        assert_eq!(rows(&world.post("alice", Request::LogOut)), [true]);
        let (alice, outcome) = world.come_called("alice");
        assert_eq!(outcome.texts_for(alice), ["one", "two"][shown as usize..]);
    }
    let mut world = World::new();
    let (bob, alice) = (world.log_in("bob", 1), world.called("alice"));
    for _ in 0..=WINDOW_MESSAGES {
        world.message(bob, "alice", "hi");
    }
    world.shown(alice, u64::from(WINDOW_MESSAGES));
    assert_eq!(rows(&world.post("alice", Request::LogOut)), [true]);
    assert_eq!(waiting(&world.come_called("alice").1), 1);
}

#[test]
fn a_new_client_begins_where_the_user_s_others_are() {
    let mut world = World::new();
    let (bob, native) = (world.log_in("bob", 1), world.log_in("alice", 1));
    world.message(bob, "alice", "read");
    world.acknowledge(native, 1);
    world.message(bob, "alice", "unread");
    let (alice, outcome) = world.come_called("alice");
    assert_eq!((waiting(&outcome), outcome.texts_for(alice)), (1, vec!["unread"]));
}

#[test]
fn what_is_posted_counts_as_said_by_the_session() {
    let mut world = World::new();
    let (bob, alice) = (world.log_in("bob", 1), world.called("alice"));
    let message = Request::Message { to: name("bob"), text: text("hi"), counter: None, receipt: false };
    let outcome = world.post("ALICE", message);
    let accepted = Ok(Reply::Accepted { number: Number(1), reach: Reach::Online });
    assert!(outcome.effects.contains(&world.reply(alice, accepted, IfLost::Refuse)));
    assert_eq!(outcome.texts_for(bob), ["hi"]);
    let outcome = world.post("alice", Request::Broadcast { text: text("all"), counter: None });
    assert_eq!((outcome.texts_for(bob), outcome.texts_for(alice)), (vec!["all"], vec![]));
    let outcome = world.post("alice", Request::Unfit(TextError::TooLong));
    assert_eq!(outcome, world.refusal(alice, Refusal::Unfit(TextError::TooLong)));
    let outcome = world.post("alice", World::by_password("bob", "bob's password"));
    assert_eq!(outcome, world.refusal(alice, Refusal::AlreadyLoggedIn));
}

#[test]
fn what_is_posted_in_somebody_else_s_name_changes_nothing() {
    let mut world = World::new();
    let (bob, alice) = (world.log_in("bob", 1), world.called("alice"));
    world.guest("gus");
    let half = world.hub.config.heartbeat_timeout / 2;
    world.pass(half);
    world.ask(bob, Request::Alive);
    let message = || Request::Message { to: name("bob"), text: text("hi"), counter: None, receipt: false };
    let ignored = Outcome { effects: vec![Effect::Ignored], ..Outcome::default() };
    let elsewhere = [10, 0, 0, 9];
    for request in [message(), Request::Alive, Request::LogOut, Request::Block(name("bob"))] {
        assert_eq!(world.post_from(elsewhere, "alice", request.clone()), ignored, "from another address");
        for user in ["carol", "bob", "gus", "nobody"] {
            assert_eq!(world.post(user, request.clone()), ignored, "{user} is not called");
        }
    }
    assert!(world.pass(half).effects.contains(&Effect::Close { connection: alice, how: Close::Forced }));
}

#[test]
fn only_what_it_says_itself_is_a_sign_of_life() {
    let mut world = World::new();
    let (bob, alice) = (world.log_in("bob", 1), world.called("alice"));
    world.message(bob, "alice", "hi");
    let timeout = world.hub.config.heartbeat_timeout;
    world.pass(timeout - MICROSECOND);
    world.post("alice", Request::Alive);
    world.ask(bob, Request::Alive);
    let outcome = world.pass(timeout - MICROSECOND);
    assert_eq!(outcome.effects, []);
    world.ask(bob, Request::Alive);
    world.input(Input::Called { connection: alice, reached: true });
    world.input(Input::Heard { connection: alice });
    world.shown(alice, 1);
    let outcome = world.pass(MICROSECOND);
    assert_eq!(outcome.events_for(alice), [&Event::Closing(CloseReason::HeartbeatMissed)]);
}

fn call(world: &mut World, connection: ConnectionId, reached: bool) -> Outcome {
    world.input(Input::Called { connection, reached })
}

/// After which time the client may be called again.
fn pause(world: &mut World, connection: ConnectionId) -> Duration {
    let at = world.hub.calls.next_deadline().expect("a deadline");
    assert!(world.hub.poll_timeout().unwrap() <= at);
    let pause = at.since(world.now.instant);
    world.post("alice", Request::Alive);
    assert_eq!(world.pass(pause - MICROSECOND).effects, []);
    assert_eq!(world.pass(MICROSECOND).effects, [Effect::Call { connection }]);
    assert_eq!(world.hub.calls.next_deadline(), None);
    pause
}

#[test]
fn who_can_t_be_reached_is_called_again_after_longer_and_longer_pauses() {
    let mut world = World::new();
    let alice = world.called("alice");
    let failed = |world: &mut World| {
        assert_eq!(call(world, alice, false), Outcome::default());
        pause(world, alice)
    };
    let pauses = [500, 1000, 2000, 4000, 8000, 8000].map(Duration::from_millis);
    assert_eq!((pauses[0], pauses[5]), (PAUSE_MIN, PAUSE_MAX));
    assert_eq!(pauses.map(|_| failed(&mut world)), pauses);
    assert_eq!(call(&mut world, alice, true), Outcome::default());
    assert_eq!(failed(&mut world), PAUSE_MIN, "it was reached in between");
    assert!(world.hub.presence.is_online(id(&world, "alice")));
}

#[test]
fn a_call_that_fails_twice_or_nobody_asked_for_changes_nothing() {
    let mut world = World::new();
    let (alice, bob, gus) = (world.called("alice"), world.log_in("bob", 1), world.guest("gus"));
    for connection in [bob, gus] {
        call(&mut world, connection, false);
        assert_eq!(world.hub.calls.next_deadline(), None);
    }
    call(&mut world, alice, false);
    world.pass(PAUSE_MIN / 2);
    call(&mut world, alice, false);
    assert_eq!(pause(&mut world, alice), PAUSE_MIN / 2, "the pause was not over");
    call(&mut world, alice, false);
    world.post("alice", Request::LogOut);
    assert_eq!(world.hub.calls.next_deadline(), None, "it is forgotten with the session");
    call(&mut world, alice, false);
    assert_eq!(world.hub.calls.next_deadline(), None);
}

#[test]
fn the_end_of_an_account_and_of_the_server_reach_them_too() {
    let mut world = World::new();
    let (alice, bob) = (world.called("alice"), world.called("bob"));
    let outcome = world.read_accounts(credentials().into_iter().skip(1).collect());
    assert_eq!(outcome.events_for(alice), [&Event::Closing(CloseReason::AccountChanged)]);
    let outcome = world.input(Input::Shutdown);
    assert_eq!(outcome.events_for(bob), [&Event::Closing(CloseReason::Shutdown)]);
    assert!(outcome.effects.contains(&Effect::Close { connection: bob, how: Close::Forced }));
}

#[test]
fn a_lost_commit_sends_it_again_to_them_too() {
    let mut world = World::new();
    let bob = world.log_in("bob", 1);
    world.message(bob, "alice", "stored");
    let (alice, outcome) = world.come_called("alice");
    assert_eq!(outcome.texts_for(alice), ["stored"]);
    let outcome = world.input(Input::CommitFailed(outcome.changes));
    assert_eq!(outcome.texts_for(alice), ["stored"]);
    world.shown(alice, 1);
    let outcome = world.post("alice", Request::LogOut);
    world.input(Input::CommitFailed(outcome.changes));
    let outcome = world.pass(Duration::from_secs(5));
    assert_eq!(rows(&outcome), [false], "the end of its row is stored later");
}
