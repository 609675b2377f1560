//! What hostile clients of `request` and `nick` say, to a server that two users of `request` are logged in to: each ends in one
//! closed connection and a line of the log with its address, and changes nothing.

use std::net::{Shutdown, SocketAddr};

use crate::existing::request_client::{Manner, RequestClient};
use crate::scene::{NOT_UNDERSTOOD, Plain, Scene};
use crate::support::{Chatd, password};

const UNKNOWN: &str = "Invalid Username. Please try again.\n";
const NO_OK: [&str; 9] =
    ["no", "o", "OK", "okay", "ok,ok", "\0\0", "prompt", "newUser,carol,christmas,5000", "alive,alice"];
const WRONG: &str = "Invalid Password. Please try again.\n";

/// A server whose every user is known from the start: the bystander sees who is online.
struct Stage {
    scene: Scene,
    alice: RequestClient,
    bob: RequestClient,
    /// How many came from addresses of their own.
    came: u8,
}

impl Stage {
    fn new() -> Stage {
        let arguments = ["--durability", "process", "-v", "--heartbeat-timeout", "600"];
        let chatd = Chatd::start(&[&arguments[..], &["--guests", "loopback", "--listen", "nick=127.0.0.1:0"]].concat());
        let alice = RequestClient::logged_in(chatd.address(), "alice", password("alice"));
        let bob = RequestClient::logged_in(chatd.address(), "bob", password("bob"));
        alice.expect("note:bob is online!\n");
        let mut scene = Scene::around(chatd, 50);
        for user in [&alice, &bob] {
            user.expect("note:dave is online!\n");
        }
        scene.takes_stock();
        Stage { scene, alice, bob, came: 0 }
    }

    /// Somebody from an address that nobody else comes from, which the log has a line about in the end.
    fn stranger(&mut self, server: SocketAddr) -> (Plain, String) {
        self.came += 1;
        let source = [127, 66, 0, 99 + self.came];
        (Plain::connect_from(source, server), format!("127.66.0.{}", source[3]))
    }

    /// Whoever says this is closed without a word.
    #[track_caller]
    fn says_and_is_closed(&mut self, bytes: &[u8], ends: bool) {
        let (mut client, address) = self.stranger(self.scene.chatd.address());
        client.say_if_it_is_open(bytes);
        if ends {
            let _ = client.stream().shutdown(Shutdown::Write);
        }
        let said = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]).into_owned();
        assert_eq!(client.rest_as_far_as_it_goes(), "", "{said:?}");
        self.scene.chatd.expect_log(&address);
    }

    /// Nobody has noticed anything, and nothing is left behind.
    #[track_caller]
    fn end(self) {
        self.end_with(&[]);
    }

    /// The same but for so much `more` of these.
    #[track_caller]
    fn end_with(self, more: &[(&str, u64)]) {
        self.alice.expect_nothing_else();
        self.bob.expect_nothing_else();
        self.scene.end(more);
    }
}

#[test]
fn requests_that_are_none() {
    let mut stage = Stage::new();
    for request in [
        "forward,",
        "forward,alice",
        "forward,alice,bob",
        "forward,,bob,hi\n",
        "broadcast,",
        "broadcast,alice",
        "broadcast,,hi\n",
        "online,",
        "online,alice,bob",
        "block,",
        "block,alice",
        "block,,bob",
        "unblock,alice",
        "getaddress,alice",
        "getaddress,,bob",
        "private_answer,alice",
        "private_answer,alice,bob",
        "private_answer,,bob,yes",
        "alive,",
        "alive,alice,bob",
        "alive,al ice",
        "alive,al\0ice",
        "alive,alice\nlogout,alice",
        "logout,",
        "logout,alice,bob",
        "forward,al\0ice,bob,hi\n",
        "forward,al\u{e9}ce,bob,hi\n",
    ] {
        stage.says_and_is_closed(request.as_bytes(), true);
    }
    stage.says_and_is_closed(b"forward,\xff\xfe,bob,hi\n", true);
    stage.end();
}

#[test]
fn requests_in_the_name_of_somebody_from_another_address() {
    let mut stage = Stage::new();
    for request in [
        "forward,alice,bob,evil\n",
        "broadcast,alice,evil\n",
        "online,alice",
        "block,alice,bob",
        "getaddress,alice,bob",
        "private_answer,bob,alice,yes",
        "alive,alice",
        "logout,alice",
        "forward,dave,bob,evil\n",
        "forward,carol,bob,evil\n",
        "forward,nobody,bob,evil\n",
    ] {
        stage.says_and_is_closed(request.as_bytes(), true);
    }
    stage.alice.forward("bob", "I am still here");
    stage.bob.expect("alice:I am still here\n");
    stage.end();
}

#[test]
fn an_answer_that_nobody_asked_for_is_no_address() {
    let stage = Stage::new();
    stage.bob.answer("alice", "yes");
    stage.alice.answer("alice", "yes");
    stage.alice.answer("dave", "yes");
    stage.bob.block("nobody-at-all");
    stage.bob.wait_for("No such User in the system\n");
    for user in [&stage.alice, &stage.bob] {
        assert!(!user.deliveries().iter().any(|text| text.contains("getaddress")), "{:?}", user.deliveries());
    }
    stage.scene.end(&[]);
}

#[test]
fn log_ins_that_are_none() {
    let mut stage = Stage::new();
    for log_in in [
        "newUser,",
        "newUser,carol",
        "newUser,carol,",
        "newUser,carol,christmas",
        "newUser,carol,christmas,",
        "newUser,carol,christmas,\n",
        "newUser,5000",
    ] {
        stage.says_and_is_closed(log_in.as_bytes(), false);
    }
    stage.says_and_is_closed(b"newUser,carol,christmas,50\x0000", false);
    stage.says_and_is_closed(b"newUser,carol,christmas,5000\0", false);
    stage.end();
}

#[test]
fn ports_where_nobody_may_be_called() {
    let mut stage = Stage::new();
    let ours = [stage.scene.chatd.port().to_string(), stage.scene.chatd.listener(0).port().to_string()];
    let none = [
        "0",
        "80",
        "1023",
        "65536",
        "70000",
        "99999999999999999999",
        "-1",
        "+5000",
        "5000x",
        "5 000",
        "port",
        "0x1388",
    ];
    for port in none.into_iter().chain(ours.iter().map(String::as_str)) {
        stage.says_and_is_closed(format!("newUser,carol,christmas,{port}").as_bytes(), false);
    }
    stage.end();
}

#[test]
fn whatever_is_no_ok_where_an_ok_is_due() {
    let mut stage = Stage::new();
    for (first, text) in [("newUser,nobody,x,5000", UNKNOWN), ("newUser,carol,wrong,5000", WRONG)] {
        for second in NO_OK {
            let (mut client, address) = stage.stranger(stage.scene.chatd.address());
            client.say(first.as_bytes());
            assert_eq!(client.line(), text);
            client.say(second.as_bytes());
            assert_eq!(client.rest_as_far_as_it_goes(), "", "{second:?}");
            stage.scene.chatd.expect_log(&address);
        }
    }
    // Each failure counts for its source, a wrong password for its name and source too, and all of them for the name.
    stage.end_with(&[("counters", 3 * NO_OK.len() as u64 + 1)]);
}

#[test]
fn a_million_bytes_where_a_few_are_due() {
    let mut stage = Stage::new();
    let much = "x".repeat(1 << 20);
    for opening in ["forward,alice,bob,", "broadcast,alice,", "alive,"] {
        stage.says_and_is_closed(format!("{opening}{much}").as_bytes(), false);
    }
    let (mut client, address) = stage.stranger(stage.scene.chatd.address());
    client.say_if_it_is_open(format!("newUser,alice,{much}").as_bytes());
    let told = client.rest_as_far_as_it_goes();
    // What is not read makes the close a reset, which may overtake the line.
    assert!(["", "too much was sent before the log-in\n"].contains(&told.as_str()), "{told:?}");
    stage.scene.chatd.expect_log(&address);
    let (mut guest, address) = stage.stranger(stage.scene.chatd.listener(0));
    guest.say_if_it_is_open(much.as_bytes());
    let told = guest.rest_as_far_as_it_goes();
    assert!(told.starts_with("NICK") && told.len() < 1024, "{told:?}");
    stage.scene.chatd.expect_log(&address);
    stage.end();
}

#[test]
fn zeros() {
    let stage = Stage::new();
    for length in [2, 100, 5000] {
        let mut client = stage.scene.connect();
        client.say_if_it_is_open(&vec![0; length]);
        let told = client.rest_as_far_as_it_goes();
        // More than is read makes the close a reset, which may overtake the line.
        assert!(told == NOT_UNDERSTOOD || length > 1024 && told.is_empty(), "{told:?}");
    }
    stage.end();
}

#[test]
fn half_a_request_and_then_silence() {
    let mut stage = Stage::new();
    // What is quiet is complete, where a log-in is concerned.
    stage.says_and_is_closed(b"newUser,carol,christm", false);
    // A request is complete when the client has closed its side; this one never does.
    stage.says_and_is_closed(b"forward,alice,bob,evil\n", false);
    stage.end();
}

#[test]
fn many_connections_of_a_user_that_say_nothing_whole() {
    let stage = Stage::new();
    let crowd: Vec<Plain> = (0..300)
        .map(|_| {
            let mut client = stage.scene.connect();
            client.say_if_it_is_open(b"forward,alice,bob,ev");
            client
        })
        .collect();
    stage.scene.bystander_is_served(20);
    stage.alice.forward("bob", "I am let in");
    stage.bob.expect("alice:I am let in\n");
    drop(crowd);
    // A client that closes before it has said all has said this: the text is "ev", and nobody can tell.
    let heard =
        stage.bob.deliveries().concat().replace("note:dave is online!\n", "").replace("alice:I am let in\n", "");
    assert_eq!(heard.replace("alice:ev\n", ""), "");
    stage.scene.end(&[]);
}

#[test]
fn a_flood_of_requests_is_served_and_none_is_lost() {
    let stage = Stage::new();
    let texts: Vec<String> = (0..400).map(|n| format!("alice:text {n}\n")).collect();
    for n in 0..texts.len() {
        stage.alice.forward("bob", &format!("text {n}"));
    }
    stage.scene.bystander_is_served(20);
    let mut heard = Vec::new();
    while heard.len() < texts.len() {
        heard.extend(stage.bob.next().text.split_inclusive('\n').map(str::to_owned));
    }
    let mut texts = texts;
    // Each came on a connection of its own, and nothing says which is first.
    texts.sort();
    heard.sort();
    assert_eq!(heard, texts);
    stage.end();
}

#[test]
fn a_client_that_takes_calls_and_never_reads_costs_nobody_anything() {
    let stage = Stage::new();
    let usual = stage.scene.cost_of(100);
    stage.bob.set_manner(Manner::NeverReads);
    for n in 0..50 {
        stage.alice.forward("bob", &format!("text {n}"));
    }
    stage.bob.next_visit();
    let cost = stage.scene.cost_of(100);
    assert!(cost < 4 * usual + std::time::Duration::from_millis(50), "{cost:?}, and {usual:?} without it");
    stage.alice.expect_nothing_else();
    stage.bob.set_manner(Manner::Reads);
    let mut heard = 0;
    while heard < 50 {
        heard += stage.bob.next().text.lines().count();
    }
    stage.end();
}
