//! Requests that are a connection each, and the log-in that comes before them.

use super::calls::{log_in, take_call};
use super::*;

fn post(world: &mut World, address: [u8; 4], text: &str) -> Client {
    let client = world.connect_by(Door::main(IpAddr::from(address)));
    world.say(&client, text.as_bytes());
    world.settle();
    world.close(&client);
    world.settle();
    client
}

const HERE: [u8; 4] = [127, 0, 0, 1];

#[test]
fn a_request_counts_at_its_end_and_its_connection_is_gone_then() {
    let mut world = World::new();
    log_in(&mut world, "alice", 5000);
    let client = world.connect();
    for part in ["onl", "ine,al", "ice"] {
        world.say(&client, part.as_bytes());
        world.pass(2 * QUIET);
    }
    assert!(world.turn.environment.dialled.is_empty(), "more may come");
    world.close(&client);
    world.settle();
    assert_eq!(take_call(&mut world), ("127.0.0.1:5000".parse().unwrap(), "online".to_owned()));
    let wire = client.wire.borrow();
    assert!(wire.told.is_empty() && !wire.at_once && !world.is_there(&client), "nothing is written there");
}

#[test]
fn a_request_that_has_come_with_its_end_is_done_in_one_round() {
    let mut world = World::new();
    log_in(&mut world, "alice", 5000);
    let wire = Rc::new(RefCell::new(Wire { room: PLENTY, peer_closed: true, ..Wire::default() }));
    wire.borrow_mut().said.extend(b"online,alice");
    world.turn.add(world.now, Pipe(wire), Door::main(IpAddr::from(HERE))).unwrap();
    world.turn.go_round(world.now, Some(world.now.instant));
    assert_eq!((world.turn.connections(), take_call(&mut world).1.as_str()), (1, "online"));
}

#[test]
fn a_request_from_elsewhere_or_for_nobody_is_ignored() {
    let mut world = World::new();
    log_in(&mut world, "alice", 5000);
    for (address, text) in [([127, 0, 0, 2], "online,alice"), (HERE, "online,bob"), (HERE, "online,nobody")] {
        let client = post(&mut world, address, text);
        assert!(!world.is_there(&client) && client.told().is_empty());
        assert!(world.turn.environment.dialled.is_empty(), "{text}");
    }
    post(&mut world, HERE, "online,alice");
    assert_eq!(take_call(&mut world).1, "online");
}

/// Who has been asked for a nickname and closes without having read that resets the connection.
#[test]
fn a_request_that_was_taken_for_a_guest_s_silence_ends_with_a_reset() {
    let mut world = guests::world();
    log_in(&mut world, "alice", 5000);
    let client = world.connect();
    world.say(&client, b"online,alice");
    world.settle();
    world.reset(&client);
    world.settle();
    assert!(world.turn.environment.dialled.is_empty(), "nothing was said that had to be read");
    let client = world.connect();
    world.pass(SILENCE);
    assert_eq!(client.told(), "NICK");
    world.say(&client, b"online,alice");
    world.settle();
    world.reset(&client);
    world.settle();
    assert!(!world.is_there(&client));
    assert_eq!(take_call(&mut world).1, "online");
}

/// As after a stall of our own: what came meanwhile came in time.
#[test]
fn a_sign_of_life_counts_in_the_round_that_finds_it_with_its_end() {
    let mut world = World::new();
    log_in(&mut world, "alice", 5000);
    let client = world.connect();
    world.now.instant = world.now.instant + 2 * HEARTBEAT_TIMEOUT;
    world.say(&client, b"alive,alice");
    world.close(&client);
    world.settle();
    post(&mut world, HERE, "online,alice");
    assert_eq!(take_call(&mut world).1, "online");
}

#[test]
fn a_request_without_an_end_is_reset_when_its_time_is_over() {
    let mut world = World::new();
    let client = world.connect();
    world.ask(&client, "online,alice");
    world.pass(FIRST_MESSAGE_WITHIN - Duration::from_micros(1));
    assert!(world.is_there(&client));
    world.pass(Duration::from_micros(1));
    assert_eq!((client.closed(), client.told().as_str(), world.is_there(&client)), ((false, true), "", false));
    let client = world.connect();
    world.ask(&client, &format!("forward,alice,bob,{}", "x".repeat(6000)));
    assert!(client.closed().1 && !world.is_there(&client), "too long");
}

#[test]
fn from_where_somebody_is_logged_in_they_take_no_strangers_place() {
    let mut world = World::new();
    let held = |world: &mut World, address: [u8; 4]| {
        let client = world.connect_by(Door::main(IpAddr::from(address)));
        (world.turn.strangers.has(client.id), client)
    };
    assert!(held(&mut world, HERE).0);
    let alice = log_in(&mut world, "alice", 5000);
    let room = world.turn.admission.room.posts;
    let clients: Vec<Client> = (0..room)
        .map(|_| {
            let (strange, client) = held(&mut world, HERE);
            assert!(!strange);
            client
        })
        .collect();
    assert!(held(&mut world, HERE).0, "there is no more room");
    assert!(held(&mut world, [127, 0, 0, 2]).0);
    world.close(&clients[0]);
    world.settle();
    let (strange, client) = held(&mut world, HERE);
    assert!(!strange);
    // Whoever logs in there gives the place back.
    world.close(&client);
    world.settle();
    world.log_in("bob", 0);
    assert!(!held(&mut world, HERE).0);
    world.turn.vanished(world.now, alice);
    world.settle();
    assert!(held(&mut world, HERE).0, "nobody is logged in there any more");
}

#[test]
fn each_word_of_the_log_in_has_time_to_be_read() {
    let mut world = World::new();
    let client = world.connect();
    assert_eq!(world.chunk(&client, "newUser,alice,wrong,5000"), "Invalid Password. Please try again.\n");
    // Whoever answers at once has read it, but the next word waits its time.
    world.say(&client, b"ok");
    world.settle();
    world.pass(QUIET);
    assert_eq!(client.told(), "prompt_password");
    world.pass(NEXT_MESSAGE_WITHIN - 2 * QUIET);
    assert_eq!(world.chunk(&client, "password"), "Welcome to simple chat server!\n", "a person types");
}

#[test]
fn a_step_that_came_in_time_counts_however_long_the_server_was_held_up() {
    let mut world = World::new();
    let client = world.connect();
    world.chunk(&client, "newUser,alice,wrong,5000");
    assert_eq!(world.chunk(&client, "ok"), "prompt_password");
    world.say(&client, b"password");
    world.settle();
    world.pass(2 * NEXT_MESSAGE_WITHIN);
    assert_eq!(client.told(), "Welcome to simple chat server!\n");
}

#[test]
fn who_is_gone_before_the_password_is_checked_logs_in_no_more() {
    let leave: [fn(&mut World, &Client); 2] = [World::close, World::reset];
    for leave in leave {
        let mut world = World::new();
        let alice = log_in(&mut world, "alice", 5000);
        let client = world.connect();
        world.say(&client, b"newUser,alice,password,5001");
        world.settle();
        world.now.instant = world.now.instant + QUIET;
        for _ in 0..2 {
            world.turn.go_round(world.now, Some(world.now.instant));
        }
        assert_eq!(world.turn.environment.done.len(), 1, "the worker is at it");
        leave(&mut world, &client);
        world.turn.go_round(world.now, Some(world.now.instant));
        world.settle();
        assert!(!world.is_there(&client) && world.turn.environment.dialled.is_empty(), "nobody is displaced");
        assert!(world.turn.callees.get(alice).is_some());
    }
}

#[test]
fn after_exit_the_client_closes_by_itself_or_is_reset() {
    for closes in [true, false] {
        let mut world = World::new();
        let client = world.connect();
        world.chunk(&client, "newUser,alice,wrong,5000");
        for _ in 0..2 {
            assert_eq!(world.chunk(&client, "ok"), "prompt_password");
            world.chunk(&client, "wrong");
        }
        assert_eq!(world.chunk(&client, "ok"), "exit");
        world.pass(LINGER - Duration::from_micros(1));
        assert_eq!((client.closed(), world.is_there(&client)), ((false, false), true));
        if closes {
            world.close(&client);
            world.settle();
        } else {
            world.pass(Duration::from_micros(1));
        }
        assert_eq!((client.closed(), world.is_there(&client)), ((false, !closes), false));
    }
}

#[test]
fn who_would_have_the_server_call_itself_is_reset_before_anything_is_checked() {
    let mut world = World::new();
    for port in world.turn.admission.ports.clone() {
        let client = world.connect();
        assert_eq!(world.chunk(&client, &format!("newUser,alice,password,{port}")), "");
        world.pass(LINGER);
        assert_eq!((client.closed(), world.is_there(&client)), ((false, true), false));
    }
    assert!(world.turn.callees.is_empty());
}
