//! Times and sizes, and who is closed when there is too much.

use super::*;
use crate::net::connection::Serves;
use crate::wire::Protocol;

const MICRO: Duration = Duration::from_micros(1);

#[test]
fn who_says_nothing_has_twenty_seconds_and_a_person_who_may_be_typing_a_minute() {
    let here = IpAddr::from([127, 0, 0, 1]);
    let natively = Door::Port { address: here, serves: Serves::Only(Protocol::Native) };
    let cases = [
        (Scope::Any, Door::main(here), NEXT_MESSAGE_WITHIN),
        (Scope::Off, Door::main(here), FIRST_MESSAGE_WITHIN),
        (Scope::Any, natively, FIRST_MESSAGE_WITHIN),
    ];
    for (plaintext, door, within) in cases {
        let mut world = World::with(admission(plaintext, None), PLENTY / 2);
        let client = world.connect_by(door);
        world.pass(within - MICRO);
        assert_eq!(client.told(), "");
        world.pass(MICRO);
        assert_eq!(client.told(), NOT_UNDERSTOOD);
        assert!(client.wire.borrow().our_closed);
        world.pass(LINGER);
        assert!(!world.is_there(&client));
    }
}

#[test]
fn from_the_first_byte_on_it_is_twenty_seconds_for_everybody() {
    let mut world = World::new();
    let client = world.connect();
    world.pass(NEXT_MESSAGE_WITHIN - MICRO);
    assert_eq!(world.ask(&client, " "), "");
    world.pass(FIRST_MESSAGE_WITHIN - MICRO);
    assert_eq!(world.ask(&client, " "), "");
    world.pass(MICRO);
    assert_eq!(client.told(), NOT_UNDERSTOOD);
}

#[test]
fn each_step_has_a_minute_and_all_of_them_ten() {
    let mut world = World::new();
    let client = world.connect();
    let slow = "{\"error\":\"too-slow\",\"text\":\"nobody logged in in time\"}\n";
    let refused = "{\"id\":1,\"error\":\"log-in-first\",\"text\":\"log in first\"}\n";
    let request = "{\"id\":1,\"request\":\"online\"}\n";
    assert_eq!(world.ask(&client, request), refused);
    world.pass(NEXT_MESSAGE_WITHIN - MICRO);
    assert_eq!(world.ask(&client, request), refused);
    world.pass(NEXT_MESSAGE_WITHIN);
    assert_eq!(client.told(), slow);

    let client = world.connect();
    let mut spent = Duration::ZERO;
    while spent + Duration::from_secs(50) < LOG_IN_WITHIN {
        assert_eq!(world.ask(&client, request), refused);
        world.pass(Duration::from_secs(50));
        spent += Duration::from_secs(50);
    }
    assert_eq!(world.ask(&client, request), refused);
    world.pass(LOG_IN_WITHIN - spent - MICRO);
    assert_eq!(client.told(), "");
    world.pass(MICRO);
    assert_eq!(client.told(), slow);
}

/// Says a byte a second until the server says something. Comes back: what, and how long that took.
fn a_byte_a_second(world: &mut World, client: &Client, text: &str) -> (String, Duration) {
    let began = world.now.instant;
    for byte in text.bytes().chain(std::iter::repeat(b' ')) {
        world.say(client, &[byte]);
        world.settle();
        world.pass(Duration::from_secs(1));
        let told = client.told();
        if !told.is_empty() {
            return (told, world.now.instant.since(began));
        }
        assert!(world.now.instant.since(began) <= LOG_IN_WITHIN, "it goes on for ever");
    }
    unreachable!("there are spaces without end")
}

#[test]
fn a_byte_a_second_buys_no_time() {
    let slow = "{\"error\":\"too-slow\",\"text\":\"nobody logged in in time\"}\n";
    let half = "{\"id\":1,\"request\":\"log-in\",\"mechanism\":\"SCRAM-SHA-256\",\"message\":\"n,,n=alice,r=";
    let mut world = World::new();
    for (text, told) in [(half, slow), ("", NOT_UNDERSTOOD), ("\n\r\n\t", NOT_UNDERSTOOD)] {
        let client = world.connect();
        assert_eq!(a_byte_a_second(&mut world, &client, text), (told.to_owned(), FIRST_MESSAGE_WITHIN), "{text:?}");
    }
    // After each request it is a minute.
    let client = world.connect();
    let request = "{\"id\":1,\"request\":\"online\"}\n";
    assert!(world.ask(&client, request).contains("log-in-first"));
    assert_eq!(a_byte_a_second(&mut world, &client, half), (slow.to_owned(), NEXT_MESSAGE_WITHIN));
    // And ten minutes in all, a request a minute, a byte a second.
    let client = world.connect();
    let mut spent = Duration::ZERO;
    let padded = format!("{{\"x\":\"{}\",{}", "x".repeat(20), &request[1..]);
    assert!(padded.len() < 60);
    assert!(world.ask(&client, request).contains("log-in-first"));
    let (told, spent) = loop {
        let (told, time) = a_byte_a_second(&mut world, &client, &padded);
        spent += time;
        if !told.contains("log-in-first") {
            break (told, spent);
        }
        assert_eq!(time.as_secs(), padded.len() as u64);
    };
    assert_eq!((told.as_str(), spent), (slow, LOG_IN_WITHIN));
}

#[test]
fn nonsense_buys_no_time() {
    let mut world = World::new();
    let client = world.connect();
    let nonsense = "{\"id\":1,\"request\":\"dance\"}\n";
    assert!(world.ask(&client, nonsense).contains("unknown-request"));
    world.pass(FIRST_MESSAGE_WITHIN - MICRO);
    assert!(world.ask(&client, nonsense).contains("unknown-request"));
    world.pass(MICRO);
    assert!(client.told().contains("too-slow"));
}

#[test]
fn a_stranger_says_four_kibibytes_and_a_user_what_they_like() {
    let mut world = World::new();
    let client = world.connect();
    let request = "{\"id\":1,\"request\":\"online\"}\n";
    let most = STRANGE_BYTES_MAX / request.len();
    let told = world.ask(&client, &request.repeat(most));
    assert_eq!(told.lines().count(), most);
    let told = world.ask(&client, request);
    assert_eq!(told, "{\"error\":\"too-much\",\"text\":\"too much was sent before the log-in\"}\n");
    let alice = world.log_in("alice", 0);
    assert_eq!(world.ask(&alice, &request.repeat(most + 10)).lines().count(), most + 10);
}

#[test]
fn what_a_stranger_is_told_of_too_much_does_not_depend_on_how_it_was_split() {
    let too_much = "{\"error\":\"too-much\",\"text\":\"too much was sent before the log-in\"}\n";
    let endless = format!("{{\"x\":\"{}", "x".repeat(20_000));
    let long = format!("{{\"x\":\"{}\n", "x".repeat(STRANGE_BYTES_MAX));
    for bytes in [endless, long] {
        for piece in [1, 100, STRANGE_BYTES_MAX, STRANGE_BYTES_MAX + 1, bytes.len()] {
            let mut world = World::new();
            let client = world.connect();
            let mut told = String::new();
            for bytes in bytes.as_bytes().chunks(piece) {
                world.say(&client, bytes);
                world.settle();
                told += &client.told();
            }
            assert_eq!(told, too_much, "in pieces of {piece}");
        }
    }
    // What is wrong before that is told all the same.
    let mut world = World::new();
    let client = world.connect();
    let told = world.ask(&client, &format!("{{]\n{}", "x".repeat(20_000)));
    assert!(told.contains("not-json") && told.lines().count() == 1, "{told}");
}

#[test]
fn who_reads_nothing_is_closed_and_what_was_for_them_waits() {
    let mut world = World::new();
    let alice = world.log_in("alice", 0);
    let bob = world.log_in("bob", 1);
    let carol = world.log_in("carol", 1);
    carol.told();
    world.give_room(&bob, 0);
    // History is what can be long: a device's messages have a window.
    let text = "x".repeat(4096);
    for id in 0..100 {
        world.ask(&alice, &message(id, "bob", &text));
    }
    assert!(world.is_there(&bob), "the window keeps what is under way far below the limit");
    world.ask(&alice, "{\"id\":7,\"request\":\"broadcast\",\"text\":\"hi\"}\n");
    assert_eq!(carol.told().lines().count(), 1, "others are served");
    let waits = world.turn.connections.get(bob.id).unwrap().out_bytes();
    assert!(waits > 256 * 1024 && waits < OUT_BYTES_MAX, "{waits}");
    world.give_room(&bob, PLENTY);
    let mut heard = bob.told().lines().filter(|line| line.contains("\"event\":\"message\"")).count();
    while heard < 100 {
        let more = world.ask(&bob, "{\"request\":\"acknowledge\",\"number\":9007199254740991}\n");
        assert_ne!(more, "", "{heard} messages");
        heard += more.lines().filter(|line| line.contains("\"event\":\"message\"")).count();
    }
    assert_eq!(heard, 100);
}

#[test]
fn who_is_not_listened_to_and_says_something_is_there_all_the_same() {
    let mut world = World::new();
    let alice = world.log_in("alice", 0);
    world.give_room(&alice, 0);
    world.ask(&alice, &"{\"id\":7,\"request\":\"x\"}\n".repeat(4000));
    assert!(world.turn.connections.get(alice.id).unwrap().is_paused());
    // Their system takes long to empty what ours has buffered: nothing is written meanwhile.
    let heartbeat = HEARTBEAT_TIMEOUT;
    for _ in 0..4 {
        world.pass(heartbeat / 2);
        world.say(&alice, b"{\"request\":\"alive\"}\n");
        world.settle();
    }
    assert!(world.turn.connections.get(alice.id).is_some_and(Connection::is_served));
    world.pass(heartbeat - MICRO);
    assert!(world.turn.connections.get(alice.id).is_some_and(Connection::is_served));
    world.pass(MICRO);
    world.pass(DRAIN_WITHIN);
    assert!(!world.is_there(&alice), "who says nothing and takes nothing is gone");
}

#[test]
fn when_all_queues_are_full_whoever_lets_most_wait_goes() {
    let all = 300 * 1024;
    let mut world = World::with(admission(Scope::Any, None), all);
    let alice = world.log_in("alice", 0);
    let (bob, carol) = (world.log_in("bob", 1), world.log_in("carol", 1));
    for client in [&bob, &carol] {
        client.told();
        world.give_room(client, 0);
    }
    let text = "x".repeat(4096);
    for id in 0..20 {
        world.ask(&alice, &message(id, "carol", &text));
    }
    let mut sent = 0;
    while world.is_there(&bob) && sent < 200 {
        world.ask(&alice, &message(sent, "bob", &text));
        sent += 1;
    }
    assert!(!world.is_there(&bob) && world.is_there(&carol), "after {sent} messages");
    assert!(sent > 50, "there was room for all until then: {sent}");
    world.give_room(&carol, PLENTY);
    assert_eq!(carol.told().lines().filter(|line| line.contains("\"event\":\"message\"")).count(), 20);
    let bob = world.log_in("bob", 1);
    assert!(world.is_there(&bob));
}

#[test]
fn a_connection_that_breaks_is_gone_and_the_hub_knows() {
    let online = "{\"id\":8,\"request\":\"online\"}\n";
    let nobody = "{\"id\":8,\"reply\":\"online\",\"users\":[]}\n";
    for noticed_by_writing in [true, false] {
        let mut world = World::new();
        let (alice, bob) = (world.log_in("alice", 1), world.log_in("bob", 1));
        bob.wire.borrow_mut().reset = true;
        if noticed_by_writing {
            world.ask(&alice, &message(7, "bob", "hi"));
        } else {
            world.turn.note_readable(bob.id, false);
            world.settle();
        }
        assert!(!world.is_there(&bob));
        alice.told();
        assert_eq!(world.ask(&alice, online), nobody);
    }
}

#[test]
fn a_connection_that_cannot_be_watched_is_gone_and_the_hub_knows() {
    let mut world = World::new();
    let alice = world.log_in("alice", 1);
    let bob = world.log_in("bob", 1);
    alice.told();
    world.give_room(&bob, 3);
    world.turn.environment.cannot_watch = true;
    world.ask(&alice, &message(7, "bob", "hi"));
    assert!(!world.is_there(&bob));
    assert_eq!(
        world.ask(&alice, "{\"id\":8,\"request\":\"online\"}\n").lines().last(),
        Some("{\"id\":8,\"reply\":\"online\",\"users\":[]}")
    );
}

#[test]
fn answers_come_in_the_order_of_the_requests_whoever_gives_them() {
    let mut world = World::new();
    let alice = world.log_in("alice", 1);
    alice.told();
    let requests = "{\"id\":1,\"request\":\"dance\"}\n{\"id\":2,\"request\":\"alive\"}\n{\"id\":3}\n\
                    {\"id\":4,\"request\":\"online\"}\n{\"id\":5,\"request\":\"dance\"}\n{\"id\":6,\"request\":\"blocked\"}\n";
    let told = world.ask(&alice, requests);
    let ids = told.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].as_u64().unwrap());
    assert_eq!(ids.collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    assert_eq!(alice.wire.borrow().writes, 2 + 1, "one write a turn: two at the log-in, one now");
}

#[test]
fn of_too_many_strangers_some_go_and_are_told_and_who_is_logged_in_stays() {
    let mut world = World::new();
    let alice = world.log_in("alice", 1);
    alice.told();
    let strangers: Vec<Client> =
        (0..200).map(|n| world.connect_by(Door::main(IpAddr::from([10, 0, 0, n as u8])))).collect();
    let line = "chatd: too many connections wait for a log-in here: try again in a moment\n";
    let told = strangers.iter().filter(|stranger| stranger.told() == line).count();
    assert!(world.turn.strangers.len() <= 64 && told >= 200 - 64, "{told}");
    let (bob, _) = (world.log_in("bob", 1), alice.told());
    assert!(world.ask(&alice, &message(7, "bob", "hi")).contains("accepted") && bob.told().contains("hi"));
    for stranger in &strangers {
        world.close(stranger);
    }
    world.pass(DRAIN_WITHIN);
    assert_eq!((world.turn.strangers.len(), world.turn.connections()), (0, 2));
    let client = world.connect();
    world.ask(&client, "{\"id\":1,\"request\":\"alive\"}\n");
    world.turn.turn_away(world.now, client.id);
    world.settle();
    let words =
        "{\"error\":\"too-many\",\"text\":\"too many connections wait for a log-in here: try again in a moment\"}\n";
    assert_eq!(client.told(), words);
}

#[test]
fn what_is_out_of_scope_gets_one_line_and_a_close() {
    let scope = "10.0.0.0/8".parse().unwrap();
    let mut world = World::with(admission(scope, None), PLENTY / 2);
    let told = |world: &mut World, address: [u8; 4]| {
        let client = world.connect_by(Door::main(IpAddr::from(address)));
        let told = world.ask(&client, "{\"id\":1,\"request\":\"alive\"}\n");
        (told, client.wire.borrow().our_closed)
    };
    let refused =
        "{\"error\":\"out-of-scope\",\"text\":\"unencrypted connections are not served to your address: use TLS\"}\n";
    assert_eq!(told(&mut world, [192, 168, 0, 1]), (refused.to_owned(), true));
    assert_eq!(told(&mut world, [127, 0, 0, 1]), (refused.to_owned(), true));
    let (served, closed) = told(&mut world, [10, 1, 2, 3]);
    assert!(served.contains("log-in-first") && !closed);
}

#[test]
fn the_operator_comes_by_another_door_and_may_stay() {
    let mut world = World::new();
    let operator = world.connect_by(Door::Control);
    let told = world.ask(&operator, "{\"id\":1,\"request\":\"user-kick\",\"user\":\"alice\"}\n");
    assert_eq!(told, "{\"id\":1,\"reply\":\"user-kicked\",\"user\":\"alice\",\"count\":0}\n");
    world.pass(LOG_IN_WITHIN);
    assert!(world.is_there(&operator), "the times to log in are for strangers");
    let stranger = world.connect();
    let told = world.ask(&stranger, "{\"id\":1,\"request\":\"user-kick\",\"user\":\"alice\"}\n");
    assert!(told.contains("operator-only"), "{told}");
}

fn with_room(room: Room) -> World {
    World::with(Admission { room, ..admission(Scope::Any, None) }, PLENTY / 2)
}

const FULL: &str = "{\"error\":\"full\",\"text\":\"the server has no room for more sessions: try again later\"}\n";

#[test]
fn who_comes_when_there_is_no_room_is_told_and_who_is_logged_in_stays() {
    let mut world = with_room(Room { sessions: 2, strangers: 8, parting: 8, calls: 4, posts: 16 });
    let (alice, bob) = (world.log_in("alice", 1), world.log_in("bob", 1));
    alice.told();
    for _ in 0..20 {
        let client = world.connect();
        assert_eq!(client.told(), "", "it is told in the protocol that it speaks");
        assert_eq!(world.ask(&client, "{\"id\":1,\"request\":\"online\"}\n"), FULL);
        assert!(client.wire.borrow().our_closed);
        world.close(&client);
        world.settle();
        assert!(!world.is_there(&client));
    }
    assert!(world.ask(&alice, &message(7, "bob", "hi")).contains("accepted") && bob.told().contains("hi"));
    // A place is free once everything is said to whoever had it.
    world.ask(&alice, "{\"id\":8,\"request\":\"log-out\"}\n");
    assert!(world.is_there(&alice), "until she closes too, or somebody comes");
    let carol = world.log_in("carol", 1);
    assert!(!world.is_there(&alice) && world.is_there(&bob) && world.is_there(&carol));
    let client = world.connect();
    assert_eq!(world.ask(&client, "{\"id\":1,\"request\":\"online\"}\n"), FULL);
}

#[test]
fn whoever_comes_and_goes_and_does_not_close_takes_nobodys_room() {
    let mut world = with_room(Room { sessions: 4, strangers: 8, parting: 8, calls: 4, posts: 16 });
    let bob = world.log_in("bob", 1);
    for _ in 0..20 {
        // Displaces the one before, which is told so.
        world.log_in("alice", 1);
    }
    let carol = world.log_in("carol", 1);
    assert!(world.is_there(&bob) && world.is_there(&carol));
    world.pass(LINGER);
    assert_eq!(world.turn.connections(), 3);
}

#[test]
fn nobody_slips_in_with_a_log_in_that_was_begun_before() {
    let mut world = with_room(Room { sessions: 1, strangers: 8, parting: 8, calls: 4, posts: 16 });
    let first = "{\"id\":1,\"request\":\"log-in\",\"mechanism\":\"SCRAM-SHA-256\",\"message\":\"n,,n=bob,r=nonce\"}\n";
    let slow = world.connect();
    assert!(world.ask(&slow, first).contains("challenge"));
    let operator = world.connect_by(Door::Control);
    let alice = world.log_in("alice", 1);
    alice.told();
    assert_eq!(world.ask(&slow, first), FULL);
    assert!(world.is_there(&alice));
    let told = world.ask(&operator, "{\"id\":1,\"request\":\"user-kick\",\"user\":\"alice\"}\n");
    assert!(told.contains("\"count\":1"), "the operator always gets in: {told}");
}

#[test]
fn those_who_have_to_go_have_so_many_places_until_everything_is_said() {
    let mut world = with_room(Room { sessions: 8, strangers: 8, parting: 2, calls: 4, posts: 16 });
    let leave = |world: &mut World| {
        let client = world.connect();
        assert_eq!(world.ask(&client, "no protocol\n"), NOT_UNDERSTOOD);
        client
    };
    let clients: Vec<Client> = (0..5).map(|_| leave(&mut world)).collect();
    let there: Vec<bool> = clients.iter().map(|client| world.is_there(client)).collect();
    assert_eq!(there, [false, false, false, true, true], "the oldest have had their time");
    assert_eq!(world.turn.strangers.len(), 0, "and they take no stranger's place");
    world.pass(LINGER);
    assert_eq!(world.turn.connections(), 0);
}

#[test]
fn who_has_failed_to_log_in_is_drawn_first() {
    let mut world = World::new();
    let from = |n: u8| Door::main(IpAddr::from([10, n, 0, 1]));
    let strangers: Vec<Client> = (0..30).map(|n| world.connect_by(from(n))).collect();
    let wrong = |world: &mut World, client: &Client| {
        let first =
            "{\"id\":1,\"request\":\"log-in\",\"mechanism\":\"SCRAM-SHA-256\",\"message\":\"n,,n=bob,r=nonce\"}\n";
        let told = world.ask(client, first);
        let challenge = serde_json::from_str::<Value>(&told).unwrap()["message"].as_str().unwrap().to_owned();
        let nonce = challenge.split(',').next().unwrap();
        let proof = format!("c=biws,{nonce},p={}=", "A".repeat(43));
        world.ask(client, &format!("{{\"id\":2,\"request\":\"authenticate\",\"message\":\"{proof}\"}}\n"))
    };
    assert!(wrong(&mut world, &strangers[7]).contains("not-authenticated"));
    let gone =
        |world: &World| -> Vec<usize> { (0..30).filter(|&n| !world.turn.strangers.has(strangers[n].id)).collect() };
    let mut n = 100;
    while gone(&world).is_empty() && n < 250 {
        world.connect_by(from(n));
        n += 1;
    }
    assert_eq!(gone(&world), [7]);
    assert!(strangers[7].told().contains("too-many"));
}

#[test]
fn five_failed_log_ins_end_a_connection_with_a_word() {
    let mut world = World::new();
    let client = world.connect();
    let mut told = String::new();
    for _ in 0..5 {
        assert!(!client.wire.borrow().our_closed);
        let name = UserName::parse("bob").unwrap();
        let exchange = ClientExchange::new(&name, b"nonce", None);
        let message = exchange.message();
        let first =
            format!("{{\"id\":1,\"request\":\"log-in\",\"mechanism\":\"SCRAM-SHA-256\",\"message\":\"{message}\"}}\n");
        let challenge = serde_json::from_str::<Value>(&world.ask(&client, &first)).unwrap();
        let challenge = exchange.challenge(challenge["message"].as_str().unwrap()).unwrap();
        let proof = exchange.prove(&challenge, &Secret::salted("wrong", &challenge.salt, challenge.iterations)).0;
        told = world.ask(&client, &format!("{{\"id\":2,\"request\":\"authenticate\",\"message\":\"{proof}\"}}\n"));
    }
    let lines: Vec<&str> = told.lines().collect();
    assert!(lines[0].contains("\"error\":\"not-authenticated\""), "{told}");
    assert_eq!(
        lines[1..],
        [
            "{\"event\":\"closing\",\"reason\":\"failures\",\"text\":\"too many log-ins have failed on this connection: connect again for another try\"}"
        ]
    );
    assert!(client.wire.borrow().our_closed);
}

#[test]
fn the_operator_is_told_how_much_there_is_of_everything() {
    let mut world = World::new();
    let operator = world.connect_by(Door::Control);
    let status = |world: &mut World| world.ask(&operator, "{\"id\":1,\"request\":\"status\"}\n");
    let counts = |connections, strangers, sessions, deadlines, in_bytes, out_bytes| {
        format!(
            "{{\"id\":1,\"reply\":\"status\",\"counts\":{{\"connections\":{connections},\"strangers\":{strangers},\
             \"sessions\":{sessions},\"online\":0,\"accounts\":4,\"devices\":0,\"waiting\":0,\"broadcasts\":0,\
             \"counters\":0,\"asks\":0,\"consents\":0,\"unsaved\":0,\"deadlines\":{deadlines},\"in-bytes\":{in_bytes},\"out-bytes\":{out_bytes},\
             \"batches\":0,\"batch-bytes\":0,\"questions\":0,\"descriptors\":{connections}}}}}\n"
        )
    };
    // The operator's own connection has a deadline that is no stranger's, until it says something.
    assert_eq!(status(&mut world), counts(1, 0, 0, 0, 0, 0));
    let alice = world.log_in("alice", 0);
    let stranger = world.connect();
    assert_eq!(world.ask(&stranger, "{\"id\""), "");
    world.give_room(&alice, 0);
    assert_eq!(world.ask(&alice, "{\"id\":2,\"request\":\"alive\"}\n"), "");
    let answer = "{\"id\":2,\"reply\":\"alive\"}\n";
    assert_eq!(status(&mut world), counts(3, 1, 1, 1, 5, answer.len()));
    world.give_room(&alice, PLENTY);
    assert_eq!(alice.told().lines().last(), Some(answer.trim_end()));
    for client in [&alice, &stranger] {
        world.close(client);
    }
    world.pass(LINGER);
    world.turn.environment.watched.retain(|&id, _| id == operator.id);
    assert_eq!(status(&mut world), counts(1, 0, 0, 0, 0, 0));
}
