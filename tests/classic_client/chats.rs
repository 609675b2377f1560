//! chat by `session`: at an existing server, with its client and with chat.

use std::net::UdpSocket;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::existing::session_client::SessionClient;
use crate::existing::session_server::{SessionServer, Settings};
use crate::scene::{Chatter, person};
use crate::support::chat::{Outcome, Person, Session, run};

/// The first ones have names as long as the server takes all names to be.
const ACCOUNTS: [(&str, &str); 4] =
    [("clientA", "100"), ("clientB", "200"), ("clientC", "300"), ("alice", "wonderland")];

fn server() -> SessionServer {
    SessionServer::start(&ACCOUNTS)
}

fn secret(user: &str) -> &'static str {
    ACCOUNTS.iter().find(|(is, _)| *is == user).map_or("none", |(_, secret)| secret)
}

fn command_with(server: &SessionServer, user: &str, secret: &str, words: &[&str]) -> (Person, Command) {
    let person = person(server.address(), "alice");
    let mut command = person.command(&[&["--protocol", "session"], words].concat());
    command.env("CHAT_USER", user).env("CHAT_PASSWORD", secret);
    (person, command)
}

/// One command of chat's.
fn chat(server: &SessionServer, user: &str, words: &[&str]) -> Outcome {
    let (_person, command) = command_with(server, user, secret(user), words);
    run(command, b"")
}

/// A session of chat's that is there when this returns.
#[track_caller]
fn session(server: &SessionServer, user: &'static str, options: &[&str]) -> Chatter {
    let (person, command) = command_with(server, user, secret(user), options);
    let chatter = Chatter::new(person, Session::start(user, command));
    while !server.next().text.starts_with("CONNECT(") {}
    chatter
}

/// The existing client.
fn client(server: &SessionServer, user: &str) -> SessionClient {
    let client = SessionClient::connected(server.address(), user, secret(user));
    while !server.next().text.starts_with("CONNECT(") {}
    client
}

#[track_caller]
fn is_content(server: &SessionServer) {
    assert_eq!(server.faults(), []);
}

#[test]
fn a_message_is_a_chat_of_its_own() {
    let server = server();
    let bob = client(&server, "clientB");
    chat(&server, "clientA", &["message", "clientB", "hello, b\u{e9} \u{1f389}"]).is("", "", 0);
    let id = bob.expect_chat_with("clientA").id;
    bob.expect("clientA: hello, b\u{e9} \u{1f389}");
    bob.expect(&format!("END_NOTIF({id})"));
    server.expect("HELLO(clientA)");
    assert!(server.next().text.starts_with("RESPONSE(clientA, "));
    assert!(server.next().text.starts_with("CONNECT("));
    server.expect("CHAT_REQUEST(clientB)");
    server.expect(&format!("CHAT_CHECK({id},  clientB)"));
    server.expect("hello, b\u{e9} \u{1f389}");
    server.expect(&format!("END_REQUEST({id})"));
    server.expect("log off");
    is_content(&server);
}

#[test]
fn a_script_calls_and_talks() {
    let server = server();
    let bob = client(&server, "clientB");
    let mut alice = session(&server, "clientA", &[]);
    alice.session.says("chat clientB");
    alice.session.hears("ok");
    let id = bob.expect_chat_with("clientA").id;
    bob.press_enter();
    server.wait_for(&format!("CHAT_CHECK({id},  clientA)"));
    alice.session.says("hello, bob");
    alice.session.hears("ok");
    bob.expect("clientA: hello, bob");
    alice.session.says("say end chat");
    alice.session.hears("ok");
    bob.expect("clientA: end chat");
    bob.say("hello, alice");
    alice.session.hears("clientB: hello, alice");
    alice.session.says("end chat");
    alice.session.hears("ok");
    bob.expect(&format!("END_NOTIF({id})"));
    bob.press_enter();
    server.wait_for(&format!("END_CHECK({id})"));
    alice.session.says("hello?");
    alice.session.is_told_something_with("line 5: you are in no chat: 'chat USER' begins one");
    alice.session.says("log off");
    alice.session.has_ended(2);
    server.wait_for("log off");
    is_content(&server);
}

#[test]
fn a_script_is_called() {
    let server = server();
    let mut alice = session(&server, "clientA", &["--json"]);
    let bob = client(&server, "clientB");
    bob.request_chat("clientA");
    let id = bob.expect_chat_with("clientA").id;
    alice.session.hears(&format!(r#"{{"chat":"{id}","event":"chat-started","user":"clientB"}}"#));
    server.wait_for(&format!("CHAT_CHECK({id},  clientB)"));
    alice.session.says("wait chat-started");
    alice.session.says("hello");
    alice.session.hears(r#"{"reply":"handed-over"}"#);
    bob.expect("clientA: hello");
    bob.end_chat();
    alice.session.hears(&format!(r#"{{"chat":"{id}","event":"chat-ended","user":"clientB"}}"#));
    server.wait_for(&format!("END_CHECK({id})"));
    assert!(server.engaged().is_empty(), "both can be called again");
    alice.session.ends(0);
    is_content(&server);
}

#[test]
fn who_is_not_there_or_busy_can_not_be_reached() {
    let server = server();
    let why = "clientB can't be reached now: not online, in another chat, or not for you";
    chat(&server, "clientA", &["message", "clientB", "hello"]).is("", &format!("chat: {why}\n"), 75);
    let (bob, carol) = (client(&server, "clientB"), client(&server, "clientC"));
    bob.request_chat("clientC");
    carol.expect_chat_with("clientB");
    let mut alice = session(&server, "clientA", &[]);
    alice.session.says("chat clientB");
    alice.session.is_told(&format!("chat: line 1: {why}"));
    alice.session.says("chat clientA");
    alice.session.is_told("chat: line 2: a chat needs somebody else");
    alice.session.ends(75);
    is_content(&server);
}

#[test]
fn a_history_is_printed_in_chats_own_form() {
    let server = server();
    let bob = client(&server, "clientB");
    chat(&server, "clientA", &["history", "clientB"]).is("", "chat: There is no history.\n", 0);
    chat(&server, "clientA", &["message", "clientB", "one"]).is("", "", 0);
    bob.expect_chat_with("clientA");
    bob.expect("clientA: one");
    bob.next();
    bob.press_enter();
    chat(&server, "clientA", &["message", "clientB", "two"]).is("", "", 0);
    let told = chat(&server, "clientA", &["history", "clientB"]).undated();
    told.is("(time) clientA -> clientB: one\n(time) clientA -> clientB: two\n", "", 0);
    let told = chat(&server, "clientA", &["history", "clientB", "1"]).undated();
    told.is("(time) clientA -> clientB: two\n", "", 0);
    let told = chat(&server, "clientA", &["--json", "history", "clientB", "1"]);
    assert!(told.out.starts_with(r#"{"messages":[{"chat":"2"#), "{told:?}");
    assert_eq!(chat(&server, "clientA", &["history"]).status, 2);
    is_content(&server);
}

#[test]
fn a_long_text_goes_in_parts_that_are_read_whole() {
    let server = server();
    let bob = client(&server, "clientB");
    let text: String = (100_000..).map(|n| format!("\u{e9}{n}")).take(300).collect();
    chat(&server, "clientA", &["message", "clientB", &text]).is("", "", 0);
    bob.expect_chat_with("clientA");
    let mut heard = String::new();
    while heard.len() < text.len() {
        let chunk = bob.next().text;
        assert!(chunk.len() <= 1024, "{} bytes", chunk.len());
        heard += chunk.strip_prefix("clientA: ").expect("a part");
    }
    assert_eq!(heard, text);
    is_content(&server);
}

#[test]
fn whoever_is_not_let_in_is_77() {
    let server = server();
    let refused = |user: &str, secret: &str| {
        let (_person, command) = command_with(&server, user, secret, &["history", "clientB"]);
        let outcome = run(command, b"");
        assert_eq!((outcome.out.as_str(), outcome.status), ("", 77), "{outcome:?}");
        outcome.error
    };
    assert_eq!(refused("clientX", "100"), "chat: the server does not know 'clientX', or not with this protocol\n");
    let why = "chat: the server does not let 'clientA' in with this password\n";
    assert_eq!(refused("clientA", "101"), why);
    // As by the existing client.
    assert!(refused("alice", "wonderland").contains("names of 7 letters"));
    assert!(server.online().is_empty());
    is_content(&server);
}

#[test]
fn a_log_on_goes_on_where_datagrams_are_lost() {
    let server = server();
    server.losses().lose_next(2);
    server.lost_answers().lose_next(1);
    let outcome = chat(&server, "clientA", &["history", "clientB"]);
    assert_eq!(outcome.status, 0, "{outcome:?}");
    assert_eq!(server.losses().next(), b"HELLO(clientA)");
    assert_eq!(server.losses().next(), b"HELLO(clientA)");
    assert!(server.lost_answers().next().starts_with(b"CHALLENGE("));
    is_content(&server);
}

#[test]
fn a_server_that_listens_late_is_waited_for() {
    let late = Some(Duration::from_millis(700));
    let server = SessionServer::start_with(&Settings { listens_after: late, ..Settings::new(&ACCOUNTS) });
    let outcome = chat(&server, "clientA", &["history", "clientB"]);
    assert_eq!(outcome.status, 0, "{outcome:?}");
    is_content(&server);
}

#[test]
fn a_server_that_is_gone_is_69() {
    let server = server();
    let mut alice = session(&server, "clientA", &[]);
    alice.session.says("chat clientB");
    alice.session.is_told_something_with("clientB can't be reached now");
    let address = server.address();
    drop(server);
    assert_eq!(alice.has_ended().status, 69);
    let outcome = person(address, "alice").chat(&["--protocol", "session", "message", "bob", "hi"]);
    assert_eq!((outcome.out.as_str(), outcome.status), ("", 69), "{outcome:?}");
    assert!(outcome.error.contains("is chatd running there?"), "{outcome:?}");
}

#[test]
fn a_server_that_does_not_answer_is_69_and_one_that_is_none_76() {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let alice = person(socket.local_addr().expect("bound"), "alice");
    let words = ["--protocol", "session", "--timeout", "0.3", "message", "bob", "hi"];
    alice.chat(&words).is("", "chat: no answer from the server within 0.3 s\n", 69);
    let answering = thread::spawn(move || {
        let mut bytes = [0; 64];
        // What was said in vain is still there.
        while let Ok((_, from)) = socket.recv_from(&mut bytes) {
            if bytes.starts_with(b"end") {
                return;
            }
            let _ = socket.send_to(b"what do you want?\n", from);
        }
    });
    let outcome = alice.chat(&words);
    assert_eq!((outcome.out.as_str(), outcome.status), ("", 76), "{outcome:?}");
    assert!(outcome.error.ends_with("it says: what do you want?\n"), "{outcome:?}");
    let end = UdpSocket::bind("127.0.0.1:0").expect("a port");
    end.send_to(b"end", (alice.host.as_str(), alice.port)).expect("sent");
    answering.join().expect("no panic");
}

#[test]
fn ctrl_c_logs_off() {
    let server = server();
    let mut alice = session(&server, "clientA", &[]);
    alice.session.says("chat clientX");
    alice.session.is_told_something_with("clientX can't be reached now");
    server.expect("CHAT_REQUEST(clientX)");
    alice.session.signal("INT");
    server.expect("log off");
    assert_eq!(alice.has_ended().status, 130);
    is_content(&server);
}

#[test]
fn what_session_has_no_word_for_is_usage() {
    let server = server();
    for words in [
        &["online"][..],
        &["broadcast", "hi"],
        &["block", "clientB"],
        &["private", "clientB", "hi"],
        &["chat", "clientB"],
        &["--wait", "delivered", "message", "clientB", "hi"],
        &["message", "clientB"],
        &["message", "clientA"],
    ] {
        let outcome = chat(&server, "clientA", words);
        assert_eq!((outcome.out.as_str(), outcome.status), ("", 2), "{words:?} {outcome:?}");
    }
    assert!(server.chunks().is_empty(), "{:?}", server.chunks());
}

#[test]
fn chat_talks_with_chat() {
    let server = server();
    let mut bob = session(&server, "clientB", &[]);
    let mut alice = session(&server, "clientA", &[]);
    // Each is in when it has an answer.
    for chatter in [&mut bob, &mut alice] {
        chatter.session.says("chat clientX");
        chatter.session.is_told_something_with("clientX can't be reached now");
    }
    alice.session.says("chat clientB");
    alice.session.hears("ok");
    bob.session.hears("* a chat with clientA has begun");
    // What the called side says before the server has its confirmation would be lost.
    bob.session.says("wait clientA: hello 60");
    alice.session.says("hello");
    alice.session.hears("ok");
    bob.session.hears("clientA: hello");
    bob.session.says("say log off, says END_NOTIF");
    bob.session.hears("ok");
    alice.session.hears("clientB: log off, says END_NOTIF");
    bob.session.says("end chat");
    bob.session.hears("ok");
    alice.session.hears("* the chat with clientB is over");
    alice.session.ends(75);
    bob.session.ends(75);
    is_content(&server);
}

#[test]
fn a_person_sees_in_the_prompt_who_they_chat_with() {
    let server = server();
    let bob = client(&server, "clientB");
    let person = person(server.address(), "alice");
    let environment = [("CHAT_USER", "clientA"), ("CHAT_PASSWORD", "100")];
    let mut terminal = person.sit_down_with(&["--protocol", "session"], &environment);
    let has = |text: &'static str| move |screen: &[String]| screen.iter().any(|row| row.starts_with(text));
    let prompts = |text: &'static str| move |screen: &[String]| screen.last().is_some_and(|row| row == text);
    terminal.sees_that("the prompt", prompts("clientA>"));
    terminal.enters("chat clientB");
    bob.expect_chat_with("clientA");
    bob.press_enter();
    terminal.sees_that("the prompt in the chat", prompts("clientA to clientB>"));
    terminal.enters("message to you: online");
    bob.expect("clientA: message to you: online");
    bob.say("I see");
    terminal.sees_that("what bob says", has("hh:mm clientB: I see"));
    terminal.enters("/online");
    terminal.sees_that("that there is no such word", has("the protocol 'session' has no word for 'online'"));
    bob.end_chat();
    terminal.sees_that("that it is over", has("hh:mm * the chat with clientB is over"));
    terminal.enters("hello?");
    terminal.sees_that("that nobody hears", has("not said: the chat with clientB is over"));
    terminal.sees_that("the prompt", prompts("clientA>"));
    terminal.enters("hello?");
    terminal.sees_that("how to begin", has("you are in no chat: 'chat USER' begins one"));
    terminal.enters("log off");
    server.wait_for("log off");
    terminal.ended_with(0);
    is_content(&server);
}
