//! How a client of `request` is called: what shares a call, what has one to itself, and that nothing is lost when nobody
//! answers.

use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use crate::existing::request_client::{Manner, RequestClient};
use crate::scene::{ByHand, DELIVERY_BYTES_MAX, Scene};
use crate::support::chat::Person;
use crate::support::{CREDENTIALS, Chatd, LIMIT, password};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// What a text has at most, in bytes.
const TEXT_BYTES_MAX: usize = 4096;
/// Deaf for a while, and then not: in each of these ways.
const MANNERS: [Manner; 3] = [Manner::NeverAccepts, Manner::NeverReads, Manner::Resets];

/// Deliveries up to the one that ends with this, without those that are like the one before: what was not seen to arrive
/// comes again.
#[track_caller]
fn chunks_until(client: &RequestClient, last: &str) -> Vec<String> {
    let mut chunks: Vec<String> = Vec::new();
    loop {
        let chunk = client.next().text;
        assert!(chunk.len() <= DELIVERY_BYTES_MAX, "{} bytes", chunk.len());
        if chunks.last() != Some(&chunk) {
            chunks.push(chunk);
        }
        if chunks.last().is_some_and(|chunk| chunk.ends_with(last)) {
            return chunks;
        }
    }
}

/// Waits until the server has tried to reach a client that can't be reached.
fn wait_for_call(client: &RequestClient, manner: Manner) {
    // Who accepts nobody has not seen anybody either.
    if manner != Manner::NeverAccepts {
        client.next_visit();
    }
}

/// The longest text of this and numbers: no two parts of it are alike.
fn numbered(piece: &str) -> String {
    let mut text = String::new();
    for n in 0.. {
        let next = format!("{piece}{n}");
        if text.len() + next.len() > TEXT_BYTES_MAX {
            break;
        }
        text += &next;
    }
    text
}

/// What somebody said in these deliveries, put together again from its parts.
#[track_caller]
fn joined(chunks: &[String], prefix: &str) -> String {
    let lines = chunks.iter().flat_map(|chunk| chunk.split_inclusive('\n'));
    let part = |line: &str| {
        let part = line.strip_prefix(prefix).and_then(|line| line.strip_suffix('\n'));
        part.unwrap_or_else(|| panic!("no part: {line:?}")).to_owned()
    };
    lines.map(part).collect()
}

#[test]
fn nothing_is_lost_on_a_client_that_can_not_be_reached_for_a_while() {
    for manner in MANNERS {
        let scene = Scene::new();
        let bob = scene.request("bob");
        bob.set_manner(manner);
        scene.message("alice", "bob", "one");
        wait_for_call(&bob, manner);
        scene.message("alice", "bob", "two");
        scene.broadcast("carol", "three");
        scene.message("alice", "bob", "four");
        bob.set_manner(Manner::Reads);
        let chunks = chunks_until(&bob, "alice:four\n");
        assert_eq!(chunks.concat(), "alice:one\nalice:two\ncarol:three\nalice:four\n", "{manner:?}");
        // It is all over then.
        scene.message("alice", "bob", "five");
        let chunks = chunks_until(&bob, "alice:five\n");
        assert_eq!(chunks.last().map(String::as_str), Some("alice:five\n"), "{manner:?} {chunks:?}");
    }
}

#[test]
fn what_came_out_of_a_client_that_is_gone_comes_into_its_next() {
    for manner in MANNERS {
        let scene = Scene::new();
        let alice = scene.request("alice");
        let bob = scene.request("bob");
        alice.expect("note:bob is online!\n");
        bob.set_manner(manner);
        alice.forward("bob", "one");
        wait_for_call(&bob, manner);
        scene.wait_for_history("alice", "one");
        alice.forward("bob", "two");
        scene.wait_for_history("alice", "two");
        // The program is killed, and started again.
        drop(bob);
        let bob = scene.request("bob");
        let chunks = chunks_until(&bob, "alice:two\n");
        assert_eq!(chunks.concat(), "Offline messages: \nalice:one\nalice:two\n", "{manner:?}");
        bob.expect_nothing_else();
    }
}

#[test]
fn texts_that_wait_share_a_call_and_keep_their_order() {
    let scene = Scene::new();
    let bob = scene.request("bob");
    bob.set_manner(Manner::Resets);
    let texts: Vec<String> = (0..12).map(|n| format!("this is text {n}")).collect();
    for text in &texts {
        scene.message("alice", "bob", text);
    }
    bob.next_visit();
    bob.set_manner(Manner::Reads);
    let chunks = chunks_until(&bob, "this is text 11\n");
    let whole: String = texts.iter().map(|text| format!("alice:{text}\n")).collect();
    assert_eq!(chunks.concat(), whole);
    assert!(chunks.len() < texts.len() / 2, "{chunks:?}");
}

#[test]
fn what_a_client_looks_at_as_a_whole_has_a_call_to_itself() {
    let scene = Scene::new();
    let bob = scene.request("bob");
    let carol = scene.request("carol");
    bob.expect("note:carol is online!\n");
    bob.set_manner(Manner::Resets);
    carol.forward("bob", "before");
    scene.wait_for_history("carol", "before");
    carol.forward("bob", "before, too");
    scene.wait_for_history("carol", "before, too");
    let mut alice = scene.request("alice");
    carol.expect("note:alice is online!\n");
    carol.ask_for_address("bob");
    // The answer to this comes to carol when the question is under way to bob.
    carol.expect_nothing_else();
    bob.ask_who_is_online();
    scene.message("dave", "bob", "after");
    alice.log_out();
    carol.expect("note:alice is offline!\n");
    carol.forward("bob", "the last");
    scene.wait_for_history("carol", "the last");
    bob.set_manner(Manner::Reads);
    let chunks = chunks_until(&bob, "carol:the last\n");
    let whole = chunks.concat();
    let controls: Vec<&String> =
        chunks.iter().filter(|c| !c.starts_with("carol:") && !c.starts_with("dave:")).collect();
    let mut expected =
        ["note:alice is online!\n", "private_consent,carol", "online,alice,carol", "note:alice is offline!\n"];
    let mut heard: Vec<&str> = controls.iter().map(|chunk| chunk.as_str()).collect();
    // Two requests of different connections may pass each other.
    expected.sort_unstable();
    heard.sort_unstable();
    assert_eq!(heard, expected, "{chunks:?}");
    let texts = ["carol:before\n", "carol:before, too\n", "dave:after\n", "carol:the last\n"];
    let places: Vec<Option<usize>> = texts.iter().map(|text| whole.find(text)).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{chunks:?}");
}

#[test]
fn a_long_text_comes_in_parts_that_are_each_a_message() {
    let scene = Scene::new();
    let bob = scene.request("bob");
    for text in [numbered("word"), numbered("é"), numbered("😀"), format!("x{}", &numbered("é")["é".len()..])] {
        scene.message("alice", "bob", &text);
        let last: String = text.chars().skip(text.chars().count() - 20).collect();
        let chunks = chunks_until(&bob, &format!("{last}\n"));
        assert!(chunks.len() >= text.len().div_ceil(DELIVERY_BYTES_MAX), "{} parts", chunks.len());
        assert_eq!(joined(&chunks, "alice:"), text);
    }
    bob.expect_nothing_else();
}

#[test]
fn a_long_text_of_the_protocol_itself_arrives_whole() {
    let scene = Scene::new();
    let bob = scene.request("bob");
    let alice = scene.request("alice");
    bob.expect("note:alice is online!\n");
    let text = "some words, ".repeat(330);
    let text = text.trim_end();
    alice.forward("bob", text);
    assert_eq!(joined(&chunks_until(&bob, "words,\n"), "alice:"), text);
    alice.expect_nothing_else();
}

#[test]
fn many_lines_are_not_cut_between_a_newline_and_its_spaces() {
    let scene = Scene::new();
    let bob = scene.request("bob");
    let lines: Vec<String> = (0..450).map(|n| format!("line {n}")).collect();
    scene.message("alice", "bob", &lines.join("\n"));
    let chunks = chunks_until(&bob, "line 449\n");
    let mut rest = lines.iter().map(String::as_str).collect::<Vec<_>>().join("\n");
    for chunk in &chunks {
        let part = chunk.strip_prefix("alice:").and_then(|part| part.strip_suffix('\n')).expect("a part");
        let text = part.replace("\n    ", "\n");
        // Every interior newline has its spaces, and no part begins with spaces that belong to one.
        assert_eq!(part.matches('\n').count(), part.matches("\n    ").count(), "{part:?}");
        let after = rest.strip_prefix(&text).unwrap_or_else(|| panic!("{part:?}"));
        rest = after.to_owned();
    }
    assert_eq!(rest, "");
}

#[test]
fn a_client_that_is_called_in_vain_stays_online_while_it_sends_heartbeats() {
    let scene = Scene::with(&["--heartbeat-timeout", "3"]);
    let zoe = scene.guest("zoe");
    let mut bob = scene.request("bob");
    bob.keep_alive(Duration::from_millis(200));
    zoe.expect("bob joined the chat!");
    bob.set_manner(Manner::NeverReads);
    scene.message("alice", "bob", "one");
    // Three calls, of which each takes its time.
    for _ in 0..3 {
        bob.next_visit();
    }
    zoe.expect_nothing_before("still there");
    bob.set_manner(Manner::Reads);
    assert_eq!(chunks_until(&bob, "still there\n").concat(), "alice:one\nzoe:still there\n");
    bob.stop_heartbeat();
    zoe.expect("bob left the chat!");
}

#[test]
fn whoever_is_called_in_vain_is_called_again_after_pauses_that_grow() {
    let scene = Scene::new();
    let bob = scene.request("bob");
    bob.set_manner(Manner::Resets);
    scene.message("alice", "bob", "one");
    let visits: Vec<_> = (0..5).map(|_| bob.next_visit()).collect();
    let pauses: Vec<Duration> = visits.windows(2).map(|pair| pair[1] - pair[0]).collect();
    // At once, or after half a second; and from then on twice as long each time.
    // When the client has noticed is up to its machine.
    for (pause, least) in pauses.iter().rev().zip([2000, 1000, 500]) {
        assert!(*pause >= Duration::from_millis(least / 2), "{pauses:?}");
    }
    bob.set_manner(Manner::Reads);
    bob.expect("alice:one\n");
    bob.expect_nothing_else();
}

#[test]
fn one_who_can_not_be_reached_keeps_nobody_waiting() {
    let scene = Scene::new();
    let bob = scene.request("bob");
    let carol = scene.request("carol");
    bob.expect("note:carol is online!\n");
    bob.set_manner(Manner::NeverReads);
    let person = Person::new(&scene.chatd, "alice");
    for n in 0..20 {
        person.chat(&["broadcast", &format!("text {n}")]).is("", "", 0);
        carol.expect(&format!("alice:text {n}\n"));
    }
    bob.set_manner(Manner::Reads);
    let chunks = chunks_until(&bob, "alice:text 19\n");
    assert_eq!(chunks.concat(), (0..20).map(|n| format!("alice:text {n}\n")).collect::<String>());
}

/// A client whose calls the test itself takes, logged in from this address.
fn log_in_by_hand(scene: &Scene, user: &str, source: IpAddr) -> (ByHand, TcpListener) {
    let listener = TcpListener::bind((source, 0)).expect("a port");
    let port = listener.local_addr().expect("a bound socket").port();
    let mut client = ByHand::connect_from(source, scene.address());
    client.say(format!("newUser,{user},{},{port}", password(user)));
    client.hears("Welcome to simple chat server!\n");
    client.say("ok");
    client.hears(&format!("Authenticated {user}"));
    (client, listener)
}

/// What one call brings up to the server's half-close; then the client closes.
#[track_caller]
fn take_call(listener: &TcpListener) -> String {
    let (mut stream, _) = listener.accept().expect("a call");
    stream.set_read_timeout(Some(LIMIT)).expect("a limit");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an orderly half-close");
    text
}

#[test]
fn the_server_closes_its_half_when_it_has_said_what_there_is() {
    let scene = Scene::new();
    let (log_in, listener) = log_in_by_hand(&scene, "bob", LOOPBACK);
    drop(log_in);
    scene.message("alice", "bob", "one");
    assert_eq!(take_call(&listener), "alice:one\n");
    scene.message("alice", "bob", "two");
    assert_eq!(take_call(&listener), "alice:two\n");
}

#[test]
fn a_client_is_called_though_it_leaves_its_log_in_open() {
    let scene = Scene::new();
    let (log_in, listener) = log_in_by_hand(&scene, "bob", LOOPBACK);
    scene.message("alice", "bob", "one");
    assert_eq!(take_call(&listener), "alice:one\n");
    drop(log_in);
}

#[test]
fn a_client_is_called_where_it_came_from_and_nowhere_else() {
    let scene = Scene::new();
    let alice = scene.request("alice");
    let elsewhere = IpAddr::from([127, 0, 0, 2]);
    let (log_in, listener) = log_in_by_hand(&scene, "bob", elsewhere);
    drop(log_in);
    alice.expect("note:bob is online!\n");
    alice.forward("bob", "where are you?");
    assert_eq!(take_call(&listener), "alice:where are you?\n");
    // Somebody there who names alice's port does not bring her anything.
    let mut mallory = ByHand::connect_from(elsewhere, scene.address());
    mallory.say(format!("newUser,carol,christmas,{}", alice.port()));
    mallory.hears("Welcome to simple chat server!\n");
    mallory.say("ok");
    mallory.hears("Authenticated carol");
    drop(mallory);
    alice.expect("note:carol is online!\n");
    assert_eq!(take_call(&listener), "note:carol is online!\n");
    scene.message("dave", "carol", "for nobody else");
    scene.message("dave", "bob", "hello");
    assert_eq!(take_call(&listener), "dave:hello\n");
    alice.expect_nothing_else();
    // Nor can she speak for anybody from there.
    let mut mallory = ByHand::connect_from(elsewhere, scene.address());
    mallory.say("forward,alice,bob,evil\n");
    drop(mallory);
    scene.message("dave", "bob", "hello again");
    assert_eq!(take_call(&listener), "dave:hello again\n");
}

#[test]
fn on_a_socket_for_both_families_an_ipv4_address_is_one() {
    let chatd = Chatd::start(&["--memory", "--bind", "::"]);
    let server = SocketAddr::new(LOOPBACK, chatd.port());
    let alice = RequestClient::logged_in(server, "alice", "wonderland");
    let bob = RequestClient::logged_in(server, "bob", "builder");
    alice.expect("note:bob is online!\n");
    alice.ask_for_address("bob");
    bob.expect("private_consent,alice");
    bob.answer("alice", "yes");
    alice.expect(&format!("getaddress,bob,127.0.0.1,{}", bob.port()));
}

#[test]
fn forty_are_called_at_once() {
    let users: Vec<String> = (0..40).map(|n| format!("user-{n}")).collect();
    let accounts: String = users.iter().map(|user| format!("{user} password\n")).collect();
    let scene = Scene::with_accounts(&format!("{CREDENTIALS}{accounts}"));
    let clients: Vec<RequestClient> =
        users.iter().map(|user| RequestClient::logged_in(scene.address(), user, "password")).collect();
    scene.broadcast("alice", "hello, all");
    for (n, client) in clients.iter().enumerate() {
        for other in &users[n + 1..] {
            client.expect(&format!("note:{other} is online!\n"));
        }
        client.expect("alice:hello, all\n");
    }
}
