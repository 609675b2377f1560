//! Clients that are reached by calls: what is brought to them, and what becomes of what they do not take.

use super::*;

const MICRO: Duration = Duration::from_micros(1);
/// How long the hub waits before a client that was not reached is called again, the first time.
const PAUSE: Duration = Duration::from_millis(500);

/// Logs in from `127.0.0.1`, and closes the connection of that. Comes back: the key of the session.
pub(super) fn log_in(world: &mut World, user: &str, port: u16) -> ConnectionId {
    log_in_from(world, [127, 0, 0, 1], user, port)
}

fn log_in_from(world: &mut World, address: [u8; 4], user: &str, port: u16) -> ConnectionId {
    let client = begin_log_in(world, address, user, port);
    assert_eq!(world.chunk(&client, "ok"), format!("Authenticated {user}"));
    world.close(&client);
    world.settle();
    assert!(!world.is_there(&client));
    client.id
}

/// Up to the words that tell that the password was right.
fn begin_log_in(world: &mut World, address: [u8; 4], user: &str, port: u16) -> Client {
    let client = world.connect_by(Door::main(IpAddr::from(address)));
    let told = world.chunk(&client, &format!("newUser,{user},password,{port}"));
    assert_eq!(told, "Welcome to simple chat server!\n");
    client
}

/// The oldest call that nobody has looked at yet.
fn next_call(world: &mut World) -> Option<(SocketAddr, Client)> {
    let (address, wire) = world.turn.environment.dialled.pop_front()?;
    let id = wire.borrow().key.expect("it is watched");
    Some((address, Client { id, wire }))
}

/// The client is there, or not.
fn answer(world: &mut World, call: &Client, there: bool) -> String {
    call.wire.borrow_mut().answered = Some(there);
    world.turn.note_writable(call.key());
    world.settle();
    call.told()
}

/// The client that is called next takes what is for it.
pub(super) fn take_call(world: &mut World) -> (SocketAddr, String) {
    let (address, call) = next_call(world).expect("a call");
    let told = answer(world, &call, true);
    world.close(&call);
    world.settle();
    assert!(!world.is_there(&call));
    (address, told)
}

/// Everything that anybody is called for, in order, if all take it.
fn take_all(world: &mut World) -> Vec<String> {
    let mut all = Vec::new();
    while !world.turn.environment.dialled.is_empty() {
        all.push(take_call(world).1);
    }
    all
}

fn tell(world: &mut World, sender: &Client, to: &str, text: &str) {
    assert!(world.ask(sender, &message(7, to, text)).contains("accepted"));
}

/// The sender learns when the message was shown.
fn tell_for_sure(world: &mut World, sender: &Client, to: &str, text: &str) {
    let request = "{\"id\":7,\"request\":\"message\",\"receipt\":true";
    assert!(world.ask(sender, &format!("{request},\"to\":\"{to}\",\"text\":\"{text}\"}}\n")).contains("accepted"));
}

fn has_been_delivered(sender: &Client) -> bool {
    sender.told().contains("\"event\":\"delivered\"")
}

#[test]
fn a_log_in_becomes_a_client_that_is_called_where_it_listens() {
    let mut world = World::new();
    let bob = world.log_in("bob", 1);
    let alice = begin_log_in(&mut world, [127, 0, 0, 1], "alice", 5000);
    tell(&mut world, &bob, "alice", "hi");
    assert!(next_call(&mut world).is_none(), "she does not listen yet");
    assert_eq!(world.chunk(&alice, "ok"), "Authenticated alice");
    assert!(next_call(&mut world).is_none());
    world.close(&alice);
    world.settle();
    let (address, call) = next_call(&mut world).unwrap();
    assert_eq!(address, "127.0.0.1:5000".parse().unwrap());
    assert_eq!(world.turn.environment.watched.get(&call.key()), Some(&true));
    assert_eq!((call.told().as_str(), call.closed()), ("", (false, false)));
    assert_eq!(answer(&mut world, &call, true), "bob:hi\n");
    assert_eq!(call.closed(), (true, false), "she reads, and closes");
    world.close(&call);
    world.settle();
    assert!(next_call(&mut world).is_none() && !world.is_there(&call));
}

#[test]
fn a_log_in_that_is_never_over_does_not_keep_what_is_for_the_client() {
    let mut world = World::new();
    let bob = world.log_in("bob", 1);
    let alice = begin_log_in(&mut world, [127, 0, 0, 1], "alice", 5000);
    tell(&mut world, &bob, "alice", "hi");
    world.pass(LOG_IN_OVER_WITHIN - QUIET - MICRO);
    assert!(next_call(&mut world).is_none());
    world.pass(MICRO + QUIET);
    assert_eq!(take_call(&mut world).1, "bob:hi\n");
    world.pass(NEXT_MESSAGE_WITHIN);
    world.pass(LINGER);
    assert_eq!((alice.closed(), world.is_there(&alice)), ((false, true), false));
    tell(&mut world, &bob, "alice", "ho");
    assert_eq!(take_call(&mut world).1, "bob:ho\n", "she is logged in all the same");
}

#[test]
fn texts_share_a_call_and_words_do_not() {
    let mut world = World::new();
    let bob = world.log_in("bob", 1);
    log_in(&mut world, "alice", 5000);
    tell(&mut world, &bob, "alice", "one");
    for text in ["two", "three"] {
        tell(&mut world, &bob, "alice", text);
    }
    world.log_in("carol", 1);
    tell(&mut world, &bob, "alice", "four");
    let expected = ["bob:one\n", "bob:two\nbob:three\n", "note:carol is online!\n", "bob:four\n"];
    assert_eq!(take_all(&mut world), expected);
}

#[test]
fn what_waited_comes_after_the_log_in() {
    let mut world = World::new();
    let bob = world.log_in("bob", 1);
    tell_for_sure(&mut world, &bob, "alice", "hi");
    log_in(&mut world, "alice", 5000);
    bob.told();
    assert_eq!(take_call(&mut world).1, "Offline messages: \nbob:hi\n");
    assert!(has_been_delivered(&bob));
}

/// What a client does that does not take what it is brought.
type Failing = fn(&mut World, &Client);

#[test]
fn whatever_is_not_taken_comes_again() {
    let failing: [(&str, Failing); 8] = [
        ("nobody listens", |world, call| _ = answer(world, call, false)),
        ("nobody answers", |world, _| world.pass(CALL_WITHIN)),
        ("never closes", |world, call| {
            answer(world, call, true);
            world.pass(CALL_WITHIN);
        }),
        ("reads nothing", |world, call| {
            call.wire.borrow_mut().room = 0;
            answer(world, call, true);
            world.pass(CALL_WITHIN);
        }),
        ("talks without end", |world, call| {
            answer(world, call, true);
            for _ in 0..40 {
                world.say(call, &[b'x'; 20_000]);
                world.pass(CALL_WITHIN / 40);
            }
        }),
        ("resets", |world, call| {
            answer(world, call, true);
            world.reset(call);
            world.settle();
        }),
        ("closes before it has read", |world, call| {
            world.close(call);
            answer(world, call, true);
        }),
        ("closes while its system lacks something", |world, call| {
            call.wire.borrow_mut().unacknowledged = 2;
            answer(world, call, true);
            world.close(call);
            world.settle();
        }),
    ];
    for (how, fail) in failing {
        let mut world = World::new();
        let bob = world.log_in("bob", 1);
        log_in(&mut world, "alice", 5000);
        tell_for_sure(&mut world, &bob, "alice", "hi");
        let (_, call) = next_call(&mut world).unwrap();
        fail(&mut world, &call);
        assert!(!world.is_there(&call), "{how}");
        assert!(next_call(&mut world).is_none(), "{how}: not at once");
        world.pass(PAUSE - MICRO);
        assert!(next_call(&mut world).is_none(), "{how}");
        world.pass(MICRO);
        let (_, call) = next_call(&mut world).expect(how);
        call.wire.borrow_mut().unacknowledged = 1; // The end of our side.
        assert_eq!(answer(&mut world, &call, true), "bob:hi\n", "{how}");
        assert!(!has_been_delivered(&bob), "{how}");
        world.close(&call);
        world.settle();
        assert!(has_been_delivered(&bob), "{how}");
    }
}

#[test]
fn whoever_has_answered_while_the_server_was_held_up_is_brought_what_is_for_them() {
    let mut world = World::new();
    let bob = world.log_in("bob", 1);
    log_in(&mut world, "alice", 5000);
    tell(&mut world, &bob, "alice", "hi");
    let (_, call) = next_call(&mut world).unwrap();
    call.wire.borrow_mut().answered = Some(true);
    world.turn.note_writable(call.key());
    world.pass(CALL_WITHIN);
    assert_eq!((call.told().as_str(), call.closed()), ("bob:hi\n", (true, false)), "nothing would end her client");
    world.close(&call);
    world.settle();
    world.pass(PAUSE);
    assert!(next_call(&mut world).is_none());
}

#[test]
fn what_comes_meanwhile_waits_for_the_next_call() {
    let mut world = World::new();
    let bob = world.log_in("bob", 1);
    log_in(&mut world, "alice", 5000);
    tell(&mut world, &bob, "alice", "one");
    let (_, call) = next_call(&mut world).unwrap();
    tell(&mut world, &bob, "alice", "two");
    assert!(next_call(&mut world).is_none(), "one call at a time");
    answer(&mut world, &call, false);
    tell(&mut world, &bob, "alice", "three");
    assert!(next_call(&mut world).is_none(), "she rests");
    world.pass(PAUSE);
    assert_eq!(take_all(&mut world), ["bob:one\nbob:two\nbob:three\n"]);
}

#[test]
fn no_more_are_called_at_a_time_than_there_is_room_for() {
    let mut world = with_calls(2);
    let bob = world.log_in("bob", 1);
    for (user, port) in [("alice", 5000), ("carol", 5001), ("dave", 5002)] {
        log_in(&mut world, user, port);
        take_all(&mut world);
    }
    world.ask(&bob, "{\"id\":1,\"request\":\"broadcast\",\"text\":\"hi\"}\n");
    let [first, second] = [(); 2].map(|()| next_call(&mut world).unwrap());
    assert_eq!((first.0.port(), second.0.port()), (5000, 5001));
    assert!(next_call(&mut world).is_none());
    answer(&mut world, &first.1, false);
    assert_eq!(take_call(&mut world).0.port(), 5002);
    // Who was not reached has half of the room, and waits for it.
    answer(&mut world, &second.1, false);
    world.pass(PAUSE);
    assert_eq!(next_call(&mut world).unwrap().0.port(), 5000);
    assert!(next_call(&mut world).is_none());
    world.pass(CALL_WITHIN);
    assert_eq!(take_call(&mut world).0.port(), 5001);
}

/// To the client a call that ends without a word is the end of the server.
#[test]
fn a_call_that_has_brought_nothing_is_reset() {
    let mut world = World::new();
    log_in(&mut world, "alice", 5000);
    log_in(&mut world, "alice", 5001);
    let (_, call) = next_call(&mut world).unwrap();
    call.wire.borrow_mut().room = 0;
    answer(&mut world, &call, true);
    world.pass(CALL_WITHIN);
    assert_eq!((call.told().as_str(), call.closed(), world.is_there(&call)), ("", (false, true), false));
}

fn with_calls(calls: usize) -> World {
    let admission = admission(Scope::Any, None);
    World::with(Admission { room: Room { calls, ..admission.room }, ..admission }, PLENTY / 2)
}

#[test]
fn without_descriptors_nobody_is_called_until_there_are_some() {
    let mut world = World::new();
    let bob = world.log_in("bob", 1);
    log_in(&mut world, "alice", 5000);
    let lacks: [fn(&mut Outside, bool); 2] =
        [|outside, lacks| outside.cannot_dial = lacks, |outside, lacks| outside.cannot_watch = lacks];
    for lack in lacks {
        lack(&mut world.turn.environment, true);
        tell(&mut world, &bob, "alice", "hi");
        world.pass(PAUSE);
        world.turn.environment.dialled.clear();
        lack(&mut world.turn.environment, false);
        world.pass(Duration::from_secs(2));
        assert_eq!(take_all(&mut world), ["bob:hi\n"]);
    }
}

#[test]
fn the_key_of_a_session_is_nobody_elses_while_it_lasts() {
    let mut world = World::new();
    let alice = log_in(&mut world, "alice", 5000);
    let others: Vec<Client> = (0..20).map(|_| world.connect()).collect();
    assert!(others.iter().all(|other| other.id.slot != alice.slot));
    world.turn.vanished(world.now, alice);
    world.settle();
    let next = world.connect();
    assert!(next.id.slot == alice.slot && next.id != alice);
}

#[test]
fn who_logs_in_again_gets_what_was_not_taken_and_the_one_before_is_told() {
    let mut world = World::new();
    let bob = world.log_in("bob", 1);
    log_in(&mut world, "alice", 5000);
    tell(&mut world, &bob, "alice", "one");
    let (_, call) = next_call(&mut world).unwrap();
    answer(&mut world, &call, false);
    tell(&mut world, &bob, "alice", "two");
    log_in(&mut world, "alice", 5001);
    let calls = [take_call(&mut world), take_call(&mut world)];
    let calls = calls.map(|(address, told)| (address.port(), told));
    let expected = [(5000, "logout_duplicate".to_owned()), (5001, "Offline messages: \nbob:one\nbob:two\n".to_owned())];
    assert_eq!(calls, expected);
    assert_eq!((next_call(&mut world).is_none(), world.turn.callees.len()), (true, 1));
}

#[test]
fn who_has_to_go_and_does_not_answer_is_gone_all_the_same() {
    let mut world = World::new();
    log_in(&mut world, "alice", 5000);
    log_in(&mut world, "alice", 5001);
    let (_, call) = next_call(&mut world).unwrap();
    world.pass(CALL_WITHIN);
    assert!(!world.is_there(&call));
    assert_eq!(world.turn.callees.len(), 1, "one chance");
    world.pass(DRAIN_WITHIN);
    assert!(next_call(&mut world).is_none());
}

#[test]
fn when_the_server_stops_everybody_is_told_within_the_time_for_it() {
    let mut world = World::new();
    log_in(&mut world, "alice", 5000);
    log_in(&mut world, "carol", 5001);
    assert_eq!(take_all(&mut world), ["note:carol is online!\n"]);
    let half = begin_log_in(&mut world, [127, 0, 0, 1], "dave", 5002);
    take_all(&mut world);
    world.turn.begin_stop(world.now);
    world.settle();
    assert_eq!(take_all(&mut world), ["shutdown", "shutdown"]);
    assert_eq!(world.turn.has_stopped(world.now), None, "the third has not closed its log-in");
    world.close(&half);
    world.settle();
    assert_eq!(take_all(&mut world), ["shutdown"]);
    assert_eq!(world.turn.has_stopped(world.now), Some(Ended::Orderly));
}

#[test]
fn the_server_does_not_wait_for_who_does_not_answer() {
    let mut world = World::new();
    log_in(&mut world, "alice", 5000);
    world.turn.begin_stop(world.now);
    world.settle();
    assert!(next_call(&mut world).is_some());
    world.pass(CALL_WITHIN);
    assert_eq!(world.turn.has_stopped(world.now), Some(Ended::Orderly), "she had her chance");
}

#[test]
fn nobody_is_called_for_what_is_not_stored() {
    let mut world = World::new();
    let bob = world.log_in("bob", 1);
    log_in(&mut world, "alice", 5000);
    world.turn.environment.keeps_at_once = false;
    world.ask(&bob, &message(7, "alice", "hi"));
    assert!(next_call(&mut world).is_none());
    world.persist();
    assert_eq!(take_all(&mut world), ["bob:hi\n"]);
    world.ask(&bob, &message(8, "alice", "lost"));
    let first = world.turn.environment.waiting[0].number;
    world.turn.environment.waiting.clear();
    world.turn.environment.completions.push(Completion::Failed { first, error: "full".to_owned() });
    world.settle();
    assert!(next_call(&mut world).is_none() && bob.told().contains("not-stored"));
    world.ask(&bob, &message(9, "alice", "kept"));
    world.persist();
    assert_eq!(take_all(&mut world), ["bob:kept\n"]);
}

#[test]
fn who_takes_nothing_for_long_costs_no_more_than_there_is_room_for() {
    let mut world = World::with(admission(Scope::Any, None), 64 * 1024);
    let bob = world.log_in("bob", 1);
    let alice = log_in(&mut world, "alice", 5000);
    let text = "x".repeat(4000);
    for _ in 0..100 {
        world.ask(&bob, &message(7, "alice", &text));
    }
    assert!(world.turn.callees.get(alice).is_none(), "whoever lets most wait goes");
    assert!(world.turn.out_bytes < 64 * 1024 && world.is_there(&bob));
}
