//! `datagram`: who comes and goes, and every row of its table.

use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::Duration;

use crate::existing::End;
use crate::existing::datagram_client::{DatagramClient, Habits};
use crate::existing::datagram_message::{Message, PROBE, sealed};
use crate::existing::digest::hex_sha256;
use crate::existing::python::{Literal, Python};
use crate::existing::request_client::{Outcome, RequestClient};
use crate::existing::session_client::{Refusal, SessionClient};
use crate::scene::{Scene, alert, hears_nothing_else};
use crate::support::{Chatd, password};

/// Whoever proves nothing is told of so many things in vain.
const A_REFUSAL_IN: Duration = Duration::from_millis(600);
const GREETING: &str = "Greetings from the Chat Room!";
/// What one datagram has at most, in bytes.
const DATAGRAM_BYTES_MAX: usize = 2048;

fn open(scene: &Scene, user: &str) -> DatagramClient {
    DatagramClient::open(scene.address(), user, Habits::of(Python::Two))
}

/// Those three, who know of each other.
fn three(scene: &Scene) -> [DatagramClient; 3] {
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|user| scene.datagram(user));
    alice.expect("ALERT", "bob is online!");
    alice.expect("ALERT", "carol is online!");
    bob.expect("ALERT", "carol is online!");
    [alice, bob, carol]
}

/// An error in no fixed words.
#[track_caller]
fn is_refused(client: &DatagramClient) -> String {
    let message = client.next();
    assert_eq!((message.message_type.as_str(), message.flaw()), ("ERROR", None), "{message:?}");
    assert!(!message.body.is_empty());
    message.body
}

fn written(address: SocketAddr) -> String {
    format!("('{}', {})", address.ip(), address.port())
}

fn address(message: &Message, key: &str) -> String {
    Python::Two.write(message.header.get(key).expect("an address"))
}

fn say(user: &str, to: &str, text: Literal) -> String {
    let python = Python::Two;
    let sender = ("sender_username", python.text(user));
    let body = python.dict([sender, ("receiver_username", python.text(to)), ("text", text)]);
    sealed(python, "SEND_MESSAGE", "MESSAGE_EXCHANGE", python.text(""), body)
}

#[test]
fn whoever_logs_in_is_greeted_and_the_others_are_told() {
    let scene = Scene::new();
    let alice = open(&scene, "alice");
    alice.log_in(password("alice"));
    let greeting = alice.next();
    assert_eq!((greeting.message_type.as_str(), greeting.body.as_str(), greeting.flaw()), ("GREETING", GREETING, None));
    assert_eq!(address(&greeting, "recipient_data"), written(alice.address()));
    let zoe = scene.guest("zoe");
    alice.expect("ALERT", "zoe is online!");
    let bob = scene.datagram("bob");
    let told = alice.next();
    assert_eq!((told.message_type.as_str(), told.body.as_str(), told.flaw()), ("ALERT", "bob is online!", None));
    assert_eq!(address(&told, "recipient_data"), written(alice.address()));
    zoe.expect("bob joined the chat!");
    hears_nothing_else(&bob);
    hears_nothing_else(&alice);
}

#[test]
fn a_name_is_shown_as_the_account_spells_it() {
    let scene = Scene::new();
    let alice = scene.datagram("alice");
    let bob = open(&scene, "BOB");
    bob.log_in(password("bob"));
    bob.expect("GREETING", GREETING);
    alice.expect("ALERT", "bob is online!");
    bob.message("Alice", "hello");
    alice.expect("MESSAGE_EXCHANGE", "Private message from bob: hello");
}

#[test]
fn a_wrong_password_is_an_error_and_the_third_locks_every_protocol() {
    let scene = Scene::new();
    let alice = open(&scene, "alice");
    alice.log_in("wrong");
    is_refused(&alice);
    alice.log_in("wrong again");
    is_refused(&alice);
    alice.log_in(password("alice"));
    alice.expect("GREETING", GREETING);
    // The count began anew.
    let thief = open(&scene, "alice");
    for guess in ["wrong", "wrong again", "wrong for ever", password("alice")] {
        // More than a few a second have no answer.
        thread::sleep(A_REFUSAL_IN);
        thief.log_in(guess);
        is_refused(&thief);
    }
    let log_in = RequestClient::open().log_in(scene.address(), "alice", &["wonderland"]);
    assert_eq!(log_in.outcome, Outcome::Ended(End::Told("exit".to_owned())), "{:?}", log_in.chunks);
    let log_on = SessionClient::log_on(scene.address(), "alice", password("alice"));
    assert_eq!(log_on.err(), Some(Refusal::AuthFail));
    // Who was there has noticed nothing, and another name is not locked.
    let _bob = scene.datagram("bob");
    alice.expect("ALERT", "bob is online!");
}

#[test]
fn an_account_whose_verifier_is_of_its_password_can_not_be_checked() {
    let scene = Scene::on_disk();
    scene.chatd.add("eve", "garden");
    let eve = open(&scene, "eve");
    eve.log_in("garden");
    is_refused(&eve);
    assert_eq!(scene.chatd.user(&["add", "fay", "--classic"], "forest\n").status, 0);
    DatagramClient::logged_in(scene.address(), "fay", "forest");
}

#[test]
fn the_first_log_in_with_a_name_nobody_has_is_a_sign_up_that_lasts() {
    let mut scene = Scene::on_disk();
    let eve = DatagramClient::logged_in(scene.address(), "eve", "garden of eden");
    eve.log_out();
    let thief = open(&scene, "eve");
    thief.log_in("another");
    is_refused(&thief);
    scene.chatd.kill_and_restart();
    let eve = DatagramClient::logged_in(scene.address(), "eve", "garden of eden");
    // Other protocols take the password that the client has hashed.
    let bob = scene.datagram("bob");
    eve.expect("ALERT", "bob is online!");
    let request = RequestClient::logged_in(scene.address(), "eve", "garden of eden");
    bob.message("eve", "hello");
    eve.expect("MESSAGE_EXCHANGE", "Private message from bob: hello");
    request.expect("bob:hello\n");
    // And a session has no secret to go by.
    let log_on = SessionClient::log_on(scene.address(), "eve", "garden of eden");
    assert_eq!(log_on.err(), Some(Refusal::NotOnList));
}

#[test]
fn nobody_signs_up_by_a_name_that_is_none_or_where_it_is_not_allowed() {
    let scene = Scene::new();
    let mut last = None;
    for name in ["server", "everyone", "two words", "al\u{ed}ce", &"x".repeat(33)] {
        let stranger = open(&scene, name);
        stranger.log_in("password");
        last = Some(stranger);
    }
    let alice = scene.datagram("alice");
    hears_nothing_else(&alice);
    assert!(last.expect("five").datagrams().iter().all(|datagram| datagram.contains("ERROR")));

    let scene = Scene::with(&["--registration", "off"]);
    let eve = open(&scene, "eve");
    eve.log_in("garden");
    is_refused(&eve);
}

#[test]
fn both_spellings_of_the_log_out_end_a_session() {
    let scene = Scene::new();
    let alice = scene.datagram("alice");
    let zoe = scene.guest("zoe");
    alice.expect("ALERT", "zoe is online!");
    for log_out in ["DETROY_SESSION", "DESTROY_SESSION"] {
        let habits = Habits { log_out, ..Habits::of(Python::Two) };
        let bob = DatagramClient::logged_in_with(scene.address(), "bob", password("bob"), habits);
        zoe.expect("bob joined the chat!");
        alice.expect("ALERT", "bob is online!");
        bob.log_out();
        zoe.expect("bob left the chat!");
        assert!(alert(&alice).contains("bob"));
        // Nothing but a log-in counts now, and it is said so.
        bob.message_all("am I still there?");
        is_refused(&bob);
        zoe.expect_nothing_before("no");
        alice.expect("MESSAGE_EXCHANGE", "Group Message from zoe: no");
    }
    hears_nothing_else(&alice);
}

#[test]
fn a_private_message_goes_to_one_and_the_sender_gets_what_the_receiver_says_to_it() {
    let scene = Scene::new();
    let [alice, bob, carol] = three(&scene);
    let text = "it's \"me\",\ta \\ caf\u{e9} \u{2713} \u{1f389}";
    alice.message("bob", text);
    let message = bob.next();
    assert_eq!(message.message_type, "MESSAGE_EXCHANGE");
    assert_eq!(message.body, format!("Private message from alice: {text}"));
    assert_eq!(message.flaw(), None);
    assert_eq!(address(&message, "recipient_data"), written(bob.address()));
    // A peer's address is nobody's business.
    assert_eq!(address(&message, "sender_data"), written(scene.address()));
    alice.expect("ACKNOWLEDGEMENT", "Message received by bob");
    [&alice, &bob, &carol].iter().for_each(|client| hears_nothing_else(client));
}

#[test]
fn a_receiver_may_spell_its_acknowledgement_as_it_likes() {
    let scene = Scene::new();
    let alice = scene.datagram("alice");
    let habits = Habits { received: "recieved", ..Habits::of(Python::Two) };
    let bob = DatagramClient::logged_in_with(scene.address(), "bob", password("bob"), habits);
    alice.expect("ALERT", "bob is online!");
    alice.message("bob", "hi");
    bob.expect("MESSAGE_EXCHANGE", "Private message from alice: hi");
    alice.expect("ACKNOWLEDGEMENT", "Message recieved by bob");
}

#[test]
fn a_group_message_goes_to_all_others_and_each_acknowledges_it() {
    let scene = Scene::new();
    let [alice, bob, carol] = three(&scene);
    bob.message_all("hi, all");
    alice.expect("MESSAGE_EXCHANGE", "Group Message from bob: hi, all");
    carol.expect("MESSAGE_EXCHANGE", "Group Message from bob: hi, all");
    bob.wait_for("ACKNOWLEDGEMENT", "Message received by alice");
    bob.wait_for("ACKNOWLEDGEMENT", "Message received by carol");
    [&alice, &bob, &carol].iter().for_each(|client| hears_nothing_else(client));
}

#[test]
fn contacts_are_the_others_at_the_servers_own_address() {
    let scene = Scene::new();
    let [alice, bob, carol] = three(&scene);
    let contact = |user: &str| format!("{user} : {} is online!", written(scene.address()));
    let zoe = scene.guest("zoe");
    alice.expect("ALERT", "zoe is online!");
    alice.ask_for_contacts();
    alice.expect("LIST_CONTACTS", &contact("bob"));
    alice.expect("LIST_CONTACTS", &contact("carol"));
    alice.expect("LIST_CONTACTS", &contact("zoe"));
    hears_nothing_else(&alice);
    drop(zoe);
    carol.log_out();
    scene.chat("alice", &["block", "bob"]).is("", "", 0);
    bob.wait_for("ALERT", "zoe is online!");
    alert(&bob);
    alert(&bob);
    // Whoever has blocked the asker is not there.
    bob.ask_for_contacts();
    hears_nothing_else(&bob);
}

#[test]
fn what_can_not_be_done_is_told() {
    let scene = Scene::new();
    let [alice, bob, _carol] = three(&scene);
    alice.message("nobody", "hi");
    assert!(is_refused(&alice).contains("nobody"));
    alice.message("two words", "hi");
    is_refused(&alice);
    scene.chat("bob", &["block", "alice"]).is("", "", 0);
    alice.message("bob", "hi");
    assert!(is_refused(&alice).contains("bob"));
    hears_nothing_else(&bob);
}

#[test]
fn texts_are_written_as_each_version_of_python_reads_them() {
    let scene = Scene::new();
    let two = scene.datagram("alice");
    let three = DatagramClient::logged_in_with(scene.address(), "bob", password("bob"), Habits::of(Python::Three));
    two.expect("ALERT", "bob is online!");
    let text = "caf\u{e9} \u{2713} \u{1f389} 'a' \"b\" \\x41 \t";
    for (from, to, sender) in [(&two, &three, "alice"), (&three, &two, "bob")] {
        from.message(if sender == "alice" { "bob" } else { "alice" }, text);
        to.expect("MESSAGE_EXCHANGE", &format!("Private message from {sender}: {text}"));
        let datagram = to.datagrams().pop().expect("a message");
        assert!(datagram.is_ascii(), "{datagram}");
        assert_eq!(from.next().message_type, "ACKNOWLEDGEMENT");
    }
    assert!(two.datagrams().concat().contains(r"caf\xc3\xa9 \xe2\x9c\x93 \xf0\x9f\x8e\x89"));
    assert!(three.datagrams().concat().contains(r"u'"));
    // In a literal of its own kind, from a program of Python 2.
    two.send(&say("alice", "bob", Python::Three.text("\u{e9}")));
    three.expect("MESSAGE_EXCHANGE", "Private message from alice: \u{e9}");
}

#[test]
fn a_digest_is_of_the_very_bytes_that_stand_there() {
    let scene = Scene::new();
    let [alice, bob, _carol] = three(&scene);
    // Another order, other quotes, other blanks: as the text stands there.
    let header = "{ 'recipient_data':\"\" ,'command':'SEND_MESSAGE','message_type': u'MESSAGE_EXCHANGE' }";
    let body = "{'text':'one', \"sender_username\":u'alice', 'receiver_username': 'bob'}";
    for dict in [format!("{{'header': {header}, 'body': {body}}}"), format!("{{ 'body':{body},\"header\": {header} }}")]
    {
        alice.send(&format!("[{dict}, '{}']", hex_sha256(dict.as_bytes())));
        bob.expect("MESSAGE_EXCHANGE", "Private message from alice: one");
        alice.expect("ACKNOWLEDGEMENT", "Message received by bob");
    }
    let wrong = say("alice", "bob", Python::Two.text("two")).replace("'two'", "'six'");
    alice.send(&wrong);
    alice.expect("ERROR", "Incorrect message format!");
    alice.send(PROBE);
    alice.expect("ERROR", "Incorrect message format!");
    hears_nothing_else(&bob);
}

#[test]
fn a_long_text_comes_in_parts_that_are_messages_each() {
    let scene = Scene::new();
    let two = scene.datagram("alice");
    let three = DatagramClient::logged_in_with(scene.address(), "bob", password("bob"), Habits::of(Python::Three));
    two.expect("ALERT", "bob is online!");
    for text in
        [(0..1000).map(|n| format!("{n},")).collect::<String>(), "\u{e9}".repeat(2000), "\u{1f389}1".repeat(800)]
    {
        for (client, user) in [(&two, "alice"), (&three, "bob")] {
            scene.message("carol", user, &text);
            let mut heard = String::new();
            while heard.len() < text.len() {
                let datagram = client.next_datagram().text;
                assert!(datagram.len() <= DATAGRAM_BYTES_MAX, "{} bytes", datagram.len());
                let python = if user == "alice" { Python::Two } else { Python::Three };
                let message = Message::read(python, datagram.as_bytes()).expect("a message");
                assert_eq!((message.message_type.as_str(), message.flaw()), ("MESSAGE_EXCHANGE", None));
                heard += message.body.strip_prefix("Private message from carol: ").expect("a part");
            }
            assert_eq!(heard, text);
        }
    }
}

#[test]
fn a_log_in_from_elsewhere_takes_the_place_of_the_first() {
    let scene = Scene::new();
    let [alice, bob, carol] = three(&scene);
    let elsewhere = scene.datagram("bob");
    alice.message("bob", "where are you?");
    elsewhere.expect("MESSAGE_EXCHANGE", "Private message from alice: where are you?");
    alice.wait_for("ACKNOWLEDGEMENT", "Message received by bob");
    // The first is told at most why it is over, and nothing that it says counts.
    bob.message("alice", "I am still here");
    carol.message("alice", "no");
    alice.wait_for("MESSAGE_EXCHANGE", "Private message from carol: no");
    assert!(!alice.datagrams().concat().contains("I am still here"));
    assert!(!bob.datagrams().concat().contains("where are you?"));
}

#[test]
fn whoever_logs_in_again_from_the_same_address_goes_on() {
    let scene = Scene::new();
    let [alice, bob, _carol] = three(&scene);
    bob.log_in(password("bob"));
    bob.expect("GREETING", GREETING);
    alice.message("bob", "hello");
    bob.expect("MESSAGE_EXCHANGE", "Private message from alice: hello");
    alice.wait_for("ACKNOWLEDGEMENT", "Message received by bob");
}

#[test]
fn another_user_at_the_same_address_takes_its_place_once_the_password_is_right() {
    let scene = Scene::new();
    let [alice, bob, carol] = three(&scene);
    let python = Python::Two;
    let log_in = |password: &str| {
        let digest = python.text(&hex_sha256(password.as_bytes()));
        let body = python.dict([("username", python.text("dave")), ("password", digest)]);
        sealed(python, "LOGIN", "INITIATE_SESSION", python.text(""), body)
    };
    bob.send(&log_in("wrong"));
    is_refused(&bob);
    bob.message("alice", "it is bob");
    alice.expect("MESSAGE_EXCHANGE", "Private message from bob: it is bob");
    bob.expect("ACKNOWLEDGEMENT", "Message received by alice");
    bob.send(&log_in(password("dave")));
    bob.wait_for("GREETING", GREETING);
    bob.message("alice", "it is bob still");
    bob.send(&say("dave", "alice", python.text("it is dave")));
    alice.wait_for("MESSAGE_EXCHANGE", "Private message from dave: it is dave");
    assert!(!alice.datagrams().concat().contains("it is bob still"));
    drop(carol);
}

#[test]
fn nothing_but_a_log_in_counts_before_one_and_from_where_it_came() {
    let scene = Scene::new();
    let [alice, bob, carol] = three(&scene);
    let stranger = open(&scene, "bob");
    stranger.message("alice", "I am bob");
    is_refused(&stranger);
    // The right user, at another address of the machine, and at the right one under another name.
    let elsewhere =
        DatagramClient::open_from(Ipv4Addr::new(127, 0, 0, 2), scene.address(), "bob", Habits::of(Python::Two));
    elsewhere.message("alice", "I am bob");
    is_refused(&elsewhere);
    carol.send(&say("bob", "alice", Python::Two.text("I am bob")));
    hears_nothing_else(&bob);
    carol.message("alice", "I am carol");
    alice.expect("MESSAGE_EXCHANGE", "Private message from carol: I am carol");
    assert!(!alice.datagrams().concat().contains("I am bob"));
}

#[test]
fn a_server_that_begins_anew_knows_nobody_and_says_so() {
    let mut scene = Scene::on_disk();
    let alice = scene.datagram("alice");
    scene.chatd.kill();
    scene.chatd.start_again();
    alice.message_all("hello?");
    is_refused(&alice);
    alice.log_in(password("alice"));
    alice.expect("GREETING", GREETING);
}

#[test]
fn a_server_that_stops_tells_everybody_once() {
    let mut scene = Scene::new();
    let [alice, bob, carol] = three(&scene);
    assert!(scene.chatd.stop().success());
    for client in [&alice, &bob, &carol] {
        // Others may be seen to go before.
        while client.next().message_type != "ALERT" {}
    }
}

#[test]
fn out_of_scope_there_is_no_answer() {
    let chatd = Chatd::start(&["--memory", "--plaintext", "127.0.0.2/32"]);
    let out = DatagramClient::open(chatd.address(), "alice", Habits::of(Python::Two));
    out.log_in(password("alice"));
    out.send(PROBE);
    let source = Ipv4Addr::new(127, 0, 0, 2);
    let within = DatagramClient::open_from(source, chatd.address(), "bob", Habits::of(Python::Two));
    within.log_in(password("bob"));
    within.expect("GREETING", GREETING);
    hears_nothing_else(&within);
    assert!(out.datagrams().is_empty());
}

#[test]
fn a_failed_log_in_is_in_the_log_with_its_address_which_nothing_proves() {
    let scene = Scene::new();
    let alice = open(&scene, "alice");
    alice.log_in("wrong");
    is_refused(&alice);
    let line = scene.chatd.expect_log("log-in failed");
    assert!(line.ends_with("log-in failed by a datagram that says it is from 127.0.0.1 (wrong password)"), "{line}");
}

#[test]
fn an_account_that_is_removed_is_told_and_gone() {
    let scene = Scene::on_disk();
    let [alice, bob, _carol] = three(&scene);
    std::fs::write(scene.chatd.dir.path().join("credentials.txt"), "alice wonderland\n").expect("credentials");
    scene.chatd.signal("HUP");
    alert(&bob);
    bob.message("alice", "am I still there?");
    is_refused(&bob);
    assert!(!alice.datagrams().concat().contains("am I still there?"));
}
