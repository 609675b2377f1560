//! Chats: who can begin one, what is said in it, and each way it ends.

use super::*;
use crate::hub::credentials::Password;
use crate::hub::effect::{Close, Reach};
use crate::hub::input::Operation;
use crate::hub::time::{LocalTime, UtcOffset};

/// Where the clocks of `World` begin.
const ID: LocalTime = LocalTime::from_number(20_231_114_221_320);
const SECOND: Duration = Duration::from_secs(1);

fn chat(world: &mut World, from: ConnectionId, with: &str) -> Outcome {
    world.ask(from, Request::Chat(name(with)))
}

fn say(world: &mut World, from: ConnectionId, body: &str) -> Outcome {
    world.ask(from, Request::Say(text(body)))
}

fn end(world: &mut World, from: ConnectionId, id: Option<LocalTime>) -> Outcome {
    world.ask(from, Request::EndChat(id))
}

fn started(peer: &str) -> Event {
    Event::ChatStarted { id: ID, peer: name(peer) }
}

fn ended(peer: &str) -> Event {
    Event::ChatEnded { id: ID, peer: name(peer) }
}

/// The two clients of a chat that the first has begun.
fn chatting(world: &mut World, one: &str, other: &str) -> (ConnectionId, ConnectionId) {
    let (asker, asked) = (world.in_session(one), world.in_session(other));
    assert!(chat(world, asker, other).answer().is_ok());
    (asker, asked)
}

fn unreachable(world: &mut World, from: ConnectionId, with: &str) {
    let outcome = chat(world, from, with);
    assert_eq!(outcome, world.refusal(from, Refusal::Unreachable(name(with))));
}

/// Whether the client is in no chat.
fn is_free(world: &mut World, connection: ConnectionId) -> bool {
    let outcome = say(world, connection, "am I?");
    outcome == world.refusal(connection, Refusal::NotInChat)
}

fn operate(world: &mut World, operation: Operation) -> Outcome {
    let operator = world.connect_as(Peer::Operator);
    let outcome = world.ask(operator, Request::Operate(operation));
    world.derive(outcome)
}

#[test]
fn a_chat_comes_to_exactly_this() {
    let mut world = World::new();
    let (alice, bob) = (world.in_session("alice"), world.in_session("bob"));
    let outcome = chat(&mut world, alice, "BOB");
    let reply = world.reply(alice, Ok(Reply::ChatStarted { id: ID, peer: name("bob") }), IfLost::Send);
    let effects = vec![event(bob, started("alice"), IfLost::Send), reply];
    assert_eq!(outcome, Outcome { effects, ..Outcome::default() }, "nothing of it is stored");

    for (from, to, body) in [(alice, bob, "hi"), (bob, alice, "hello")] {
        let outcome = say(&mut world, from, body);
        let message = outcome.message();
        let accepted = Ok(Reply::Accepted { number: message.number, reach: Reach::Online });
        let effects = [event(to, Event::Message(message), IfLost::Drop), world.reply(from, accepted, IfLost::Refuse)];
        assert_eq!((outcome.texts_for(to), &outcome.effects[..]), (vec![body], &effects[..]));
    }

    let outcome = end(&mut world, bob, Some(ID));
    let reply = world.reply(bob, Ok(Reply::ChatEnded { id: ID, peer: name("alice") }), IfLost::Send);
    let effects = vec![event(alice, ended("bob"), IfLost::Send), reply];
    assert_eq!(outcome, Outcome { effects, ..Outcome::default() });
    assert!(is_free(&mut world, alice) && is_free(&mut world, bob));
}

#[test]
fn whoever_can_not_be_reached_is_not_told_of_it() {
    let mut world = World::new();
    let (alice, bob) = (world.in_session("alice"), world.in_session("bob"));
    for nobody in ["alice", "carol", "nobody"] {
        unreachable(&mut world, alice, nobody);
    }
    let once = world.log_in_once("carol");
    unreachable(&mut world, alice, "carol");
    world.ask(once, Request::Block(name("bob")));
    let carol = world.in_session("carol");
    unreachable(&mut world, bob, "carol");
    unreachable(&mut world, carol, "bob");
    assert!(chat(&mut world, bob, "alice").answer().is_ok());
    unreachable(&mut world, carol, "alice");
    unreachable(&mut world, carol, "bob");
    assert!(chat(&mut world, carol, "dave").answer().is_err());
    world.log_in("dave", 4);
    unreachable(&mut world, alice, "dave");
}

#[test]
fn who_is_not_logged_in_chats_with_nobody() {
    let mut world = World::new();
    world.in_session("alice");
    let stranger = world.connect();
    for request in [Request::Chat(name("alice")), Request::Say(text("hi")), Request::EndChat(None)] {
        let outcome = world.ask(stranger, request);
        assert_eq!(outcome, world.refusal(stranger, Refusal::LogInFirst));
    }
}

#[test]
fn outside_a_chat_nothing_is_said_and_nothing_ends() {
    let mut world = World::new();
    let alice = world.in_session("alice");
    world.in_session("bob");
    for id in [None, Some(ID)] {
        let outcome = end(&mut world, alice, id);
        assert_eq!(outcome, world.refusal(alice, Refusal::NotInChat));
    }
    assert!(is_free(&mut world, alice));
    chat(&mut world, alice, "bob");
    let outcome = end(&mut world, alice, Some(LocalTime::from_number(ID.number() + 1)));
    assert_eq!(outcome, world.refusal(alice, Refusal::NotInChat), "it is another chat");
    assert!(say(&mut world, alice, "still here").answer().is_ok());
    assert!(end(&mut world, alice, None).answer().is_ok());
}

#[test]
fn a_user_of_other_protocols_is_always_free_and_told_nothing() {
    let mut world = World::new();
    let (alice, carol) = (world.in_session("alice"), world.in_session("carol"));
    let (bob, gus) = (world.log_in("bob", 2), world.guest("gus"));
    for asker in [alice, carol] {
        let outcome = chat(&mut world, asker, "bob");
        assert_eq!((outcome.events_for(bob), outcome.answers().len()), (vec![], 1));
    }
    assert_eq!(say(&mut world, alice, "hi").texts_for(bob), ["hi"]);
    assert_eq!(world.message(bob, "alice", "hello").texts_for(alice), ["hello"]);
    assert_eq!(end(&mut world, alice, None).events_for(bob), Vec::<&Event>::new());
    assert!(chat(&mut world, alice, "gus").answer().is_ok());
    assert_eq!(say(&mut world, alice, "hi").texts_for(gus), ["hi"]);
}

#[test]
fn a_client_of_any_protocol_can_chat() {
    let mut world = World::new();
    let (native, alice) = (world.log_in("alice", 1), world.in_session("alice"));
    let (bob, carol) = (world.in_session("bob"), world.by_datagrams("carol"));
    assert_eq!(chat(&mut world, native, "bob").events_for(bob), [&started("alice")]);
    assert!(is_free(&mut world, alice), "it is the other client that chats");
    unreachable(&mut world, alice, "bob");
    unreachable(&mut world, carol, "bob");
    assert!(chat(&mut world, carol, "alice").answer().is_ok());
    let outcome = say(&mut world, bob, "hi");
    assert_eq!((outcome.texts_for(native), outcome.texts_for(alice)), (vec!["hi"], vec!["hi"]), "as any message");
    assert_eq!(world.close(bob).events_for(native), [&ended("bob"), &Event::Offline(name("bob"))]);
}

#[test]
fn many_pairs_chat_at_once() {
    let mut world = World::new();
    let (alice, bob) = chatting(&mut world, "alice", "bob");
    let (carol, dave) = chatting(&mut world, "dave", "carol");
    assert_eq!(say(&mut world, alice, "hi").texts_for(bob), ["hi"]);
    let outcome = say(&mut world, carol, "ho");
    assert_eq!((outcome.texts_for(dave), outcome.texts_for(bob)), (vec!["ho"], vec![]));
    assert_eq!(end(&mut world, alice, None).events_for(bob), [&ended("alice")]);
    assert_eq!(say(&mut world, dave, "on").texts_for(carol), ["on"]);
}

#[test]
fn a_chat_ends_with_either_side_however_it_goes() {
    let ways: [fn(&mut World, ConnectionId) -> Outcome; 6] = [
        |world, bob| world.close(bob),
        |world, bob| world.ask(bob, Request::LogOut),
        |world, _| world.begin("bob", Manner::Session, DeviceId::SESSION).1,
        |world, _| operate(world, Operation::Kick(name("bob"))),
        |world, _| world.read_accounts(credentials().into_iter().filter(|one| one.name != name("bob")).collect()),
        |world, bob| world.ask(bob, Request::EndChat(None)),
    ];
    for way in ways {
        for is_asker in [false, true] {
            let mut world = World::new();
            let (alice, bob) = match is_asker {
                false => chatting(&mut world, "alice", "bob"),
                true => {
                    let (bob, alice) = chatting(&mut world, "bob", "alice");
                    (alice, bob)
                }
            };
            let outcome = way(&mut world, bob);
            let told: Vec<&Event> =
                outcome.events_for(alice).into_iter().filter(|event| !matches!(event, Event::Offline(_))).collect();
            assert_eq!(told, [&ended("bob")], "once");
            assert!(!outcome.events_for(bob).iter().any(|event| matches!(event, Event::ChatEnded { .. })));
            assert!(is_free(&mut world, alice));
        }
    }
}

#[test]
fn a_one_sided_chat_ends_when_the_peer_is_gone_altogether() {
    let mut world = World::new();
    let alice = world.in_session("alice");
    let (bob, second) = (world.log_in("bob", 2), world.by_datagrams("bob"));
    let once = world.log_in_once("bob");
    chat(&mut world, alice, "bob");
    assert_eq!(world.close(bob).events_for(alice), Vec::<&Event>::new(), "there is another client");
    assert_eq!(say(&mut world, alice, "hi").texts_for(second), ["hi"]);
    let outcome = world.input(Input::Unreached { connection: second });
    assert_eq!(outcome.events_for(alice), [&Event::Offline(name("bob")), &ended("bob")]);
    assert_eq!(world.close(once), Outcome::default());
    assert!(is_free(&mut world, alice));
}

#[test]
fn a_chat_with_a_guest_ends_with_the_guest() {
    let mut world = World::new();
    let (alice, gus) = (world.in_session("alice"), world.guest("gus"));
    chat(&mut world, alice, "gus");
    assert_eq!(world.close(gus).events_for(alice), [&Event::Offline(name("gus")), &ended("gus")]);
    let hal = world.guest("hal");
    assert_eq!(world.message(hal, "alice", "I have the id").texts_for(alice), ["I have the id"]);
    assert!(is_free(&mut world, alice));
}

#[test]
fn a_peer_s_client_that_comes_later_is_not_in_the_chat() {
    let mut world = World::new();
    let (alice, bob) = (world.in_session("alice"), world.log_in("bob", 2));
    chat(&mut world, alice, "bob");
    let later = world.in_session("bob");
    assert!(is_free(&mut world, later));
    assert_eq!(say(&mut world, alice, "hi").texts_for(later), ["hi"], "it is told what bob is");
    world.close(bob);
    assert_eq!(world.close(later).events_for(alice), [&Event::Offline(name("bob")), &ended("bob")]);
}

#[test]
fn whoever_has_no_device_can_chat_and_the_other_side_outlasts_their_presence() {
    let mut world = World::new();
    let (once, alice) = (world.log_in_once("alice"), world.log_in("alice", 1));
    let bob = world.in_session("bob");
    chat(&mut world, once, "bob");
    assert_eq!(world.close(alice).events_for(bob), [&Event::Offline(name("alice"))]);
    assert_eq!(world.close(once).events_for(bob), [&ended("alice")]);
}

#[test]
fn a_block_ends_all_chats_of_the_two_on_both_sides() {
    for by_native in [false, true] {
        let mut world = World::new();
        let (alice, bob) = chatting(&mut world, "alice", "bob");
        let native = world.log_in("bob", 2);
        chat(&mut world, native, "carol");
        let (carol, aside) = (world.in_session("carol"), world.log_in("alice", 1));
        chat(&mut world, aside, "carol");
        let (by, other) = if by_native { (native, "alice") } else { (alice, "bob") };
        let outcome = world.block(by, other);
        assert_eq!(outcome.events_for(alice), [&ended("bob")]);
        assert_eq!(outcome.events_for(bob), [&ended("alice")]);
        assert_eq!(outcome.effects.len(), 3, "and the reply");
        assert!(is_free(&mut world, alice) && is_free(&mut world, bob));
        assert!(!is_free(&mut world, carol) && !is_free(&mut world, aside));
        unreachable(&mut world, alice, "bob");
        assert_eq!(world.block(by, other).effects.len(), 1, "a second time nothing is left to end");
    }
}

#[test]
fn a_block_that_was_not_lifted_after_all_ends_the_chat_that_has_begun() {
    let mut world = World::new();
    let (alice, bob) = (world.in_session("alice"), world.in_session("bob"));
    world.block(bob, "alice");
    let lifted = world.ask(bob, Request::Unblock(name("alice"))).changes;
    assert!(chat(&mut world, alice, "bob").answer().is_ok());
    let outcome = world.input(Input::CommitFailed(lifted));
    assert_eq!((outcome.events_for(alice), outcome.events_for(bob)), (vec![&ended("bob")], vec![&ended("alice")]));
}

#[test]
fn a_chat_outlasts_what_was_lost_in_it() {
    let mut world = World::new();
    let (alice, bob) = chatting(&mut world, "alice", "bob");
    let lost = say(&mut world, alice, "lost").changes;
    assert_eq!(world.input(Input::CommitFailed(lost)), Outcome::default());
    assert_eq!(say(&mut world, alice, "hi").texts_for(bob), ["hi"]);
}

#[test]
fn a_shutdown_is_all_that_is_told_of_the_end() {
    let mut world = World::new();
    let (alice, bob) = chatting(&mut world, "alice", "bob");
    let outcome = world.input(Input::Shutdown);
    for connection in [alice, bob] {
        let closing = Event::Closing(crate::hub::effect::CloseReason::Shutdown);
        assert_eq!(outcome.events_for(connection), [&closing]);
        assert!(outcome.effects.contains(&Effect::Close { connection, how: Close::Forced }));
    }
}

#[test]
fn what_is_said_waits_and_is_refused_like_any_message() {
    let mut world = World::with(Config { messages_per_second: Some(1), ..config() }, Snapshot::default());
    let (alice, bob) = chatting(&mut world, "alice", "bob");
    let too_fast = |world: &World| world.refusal(alice, Refusal::TooFast { retry_after: SECOND });
    for _ in 1..10 {
        assert!(say(&mut world, alice, "hi").answer().is_ok());
    }
    assert_eq!(say(&mut world, alice, "hi"), too_fast(&world), "to begin counts as a message");
    assert!(end(&mut world, alice, None).answer().is_ok(), "to end does not");
    assert_eq!(chat(&mut world, alice, "bob"), too_fast(&world));
    assert!(is_free(&mut world, alice) && is_free(&mut world, bob));
    world.pass(SECOND);
    assert!(chat(&mut world, alice, "bob").answer().is_ok());
}

#[test]
fn the_log_has_messages_under_the_chat_that_they_are_part_of() {
    let mut world = World::new();
    world.now.offset = UtcOffset(3600);
    let id = |seconds: u64| LocalTime::from_number(20_231_114_231_320 + seconds);
    let (alice, bob) = (world.in_session("alice"), world.log_in("bob", 2));
    assert_eq!(world.message(bob, "alice", "before").message().local, id(0));
    world.pass(SECOND);
    chat(&mut world, alice, "bob");
    world.pass(SECOND);
    assert_eq!(say(&mut world, alice, "in it").message().local, id(1));
    assert_eq!(world.message(bob, "alice", "from elsewhere").message().local, id(1));
    assert_eq!(world.message(alice, "carol", "to somebody else").message().local, id(2));
    assert_eq!(world.broadcast(bob, "to all").message().local, id(2));

    let native = world.log_in("alice", 1);
    world.pass(SECOND);
    chat(&mut world, native, "bob");
    assert_eq!(world.message(bob, "alice", "the oldest of two").message().local, id(1));
    assert_eq!(say(&mut world, native, "its own").message().local, id(3));
    end(&mut world, alice, None);
    assert_eq!(world.message(alice, "bob", "the other").message().local, id(3));
    world.now.offset = UtcOffset(0);
    assert_eq!(say(&mut world, native, "as it began").message().local, id(3), "whatever the clocks show by now");
    end(&mut world, native, None);
    assert_eq!(world.message(bob, "alice", "after").message().local, LocalTime::from_number(20_231_114_221_323));
}

#[test]
fn a_name_that_is_somebody_else_s_by_now_is_in_no_chat() {
    let mut world = World::new();
    let add = || Operation::Add { name: name("eve"), password: Password::parse("apple").unwrap(), classic: false };
    operate(&mut world, add());
    let (alice, _) = chatting(&mut world, "alice", "eve");
    let outcome = operate(&mut world, Operation::Remove(name("eve")));
    assert!(outcome.events_for(alice).contains(&&ended("eve")));
    operate(&mut world, add());
    assert!(is_free(&mut world, alice));
}
