//! What one sees of `chat` and `chatd` on a command line: transcripts with the real programs, compared whole.

mod support;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::thread;

use serde_json::json;
use support::Chatd;
use support::chat::{KILLED, Outcome, Person, Session, run, undated};

/// What a wrong name, a wrong password and a locked name have in common.
const NOT_AUTHENTICATED: &str = "chat: wrong name or password, or too many wrong tries: wait a minute after three\n";

fn alice_and_bob(chatd: &Chatd) -> (Person, Person) {
    (Person::new(chatd, "alice"), Person::new(chatd, "bob"))
}

#[test]
fn every_command_of_the_command_line() {
    let chatd = Chatd::start(&[]);
    let (alice, bob) = alice_and_bob(&chatd);
    alice.chat(&["online"]).is("", "", 0);
    alice.chat(&["blocked"]).is("", "", 0);
    alice.chat(&["history"]).is("", "", 0);
    alice.chat(&["message", "bob", "one"]).is("", "", 0);
    alice.chat(&["message", "BOB", "two\nlines"]).is("", "", 0);
    alice.chat(&["broadcast", "to nobody"]).is("", "", 0);
    bob.chat(&["message", "alice", "three"]).is("", "", 0);
    alice.chat(&["message", "carol", "four"]).is("", "", 0);
    let all = "(time) alice -> bob: one\n\
               (time) alice -> bob: two\n    lines\n\
               (time) alice -> everyone: to nobody\n\
               (time) bob -> alice: three\n\
               (time) alice -> carol: four\n";
    alice.chat(&["history"]).undated().is(all, "", 0);
    alice.chat(&["history", "2"]).undated().is("(time) bob -> alice: three\n(time) alice -> carol: four\n", "", 0);
    alice.chat(&["history", "carol"]).undated().is("(time) alice -> carol: four\n", "", 0);
    alice.chat(&["history", "bob", "1"]).undated().is("(time) bob -> alice: three\n", "", 0);
    alice.chat(&["block", "bob"]).is("", "", 0);
    alice.chat(&["block", "bob"]).is("", "", 0);
    alice.chat(&["blocked"]).is("bob\n", "", 0);
    alice.chat(&["unblock", "bob"]).is("", "", 0);
    alice.chat(&["unblock", "bob"]).is("", "chat: bob is not blocked\n", 77);
    let carol = Person::new(&chatd, "carol").session(&chatd, &[]);
    alice.chat(&["online"]).is("carol\n", "", 0);
    drop(carol);
    let help = alice.chat(&["help"]);
    assert!(help.out.contains("\nmessage USER TEXT ") && help.status == 0, "{help:?}");
}

#[test]
fn a_script_has_one_chat_at_a_time() {
    let chatd = Chatd::start(&["--memory"]);
    let (alice, bob) = alice_and_bob(&chatd);
    let session = "chat: 'chat' needs a session: give commands on standard input, or start chat without a command\n";
    alice.chat(&["chat", "bob"]).is("", session, 2);
    let nobody = "chat: line 1: bob can't be reached for a chat: they are not online, or in one, or have blocked you";
    let none = "chat: line 2: you are in no chat: begin one first";
    alice.chat_with_input(&[], b"chat bob\nend chat\n").is("", &format!("{nobody}\n{none}\n"), 75);
    let mut bob = bob.session(&chatd, &[]);
    let mut alice = alice.session(&chatd, &["--json"]);
    bob.hears("* alice is online");
    let replies = |session: &mut Session, reply: &str| {
        let told = session.hears_something();
        assert!(told.contains(&format!("\"{reply}\",\"user\":\"bob\"")) && told.starts_with(r#"{"chat":"2"#), "{told}");
    };
    alice.says("chat bob");
    replies(&mut alice, r#"reply":"chat-started"#);
    alice.says("chat carol");
    alice.is_told("chat: line 2: you are in a chat with bob: 'end chat' ends it");
    alice.says("message bob hi");
    bob.hears("alice: hi");
    alice.hears_something();
    alice.says("end chat");
    replies(&mut alice, r#"reply":"chat-ended"#);
    alice.says("chat bob");
    replies(&mut alice, r#"reply":"chat-started"#);
    bob.ends(0);
    alice.hears(r#"{"event":"offline","user":"bob"}"#);
    replies(&mut alice, r#"event":"chat-ended"#);
    alice.says("wait chat-ended");
    alice.says("end chat");
    alice.is_told("chat: line 7: you are in no chat: begin one first");
    alice.ends(2);
}

#[test]
fn every_exit_status_but_those_of_signals() {
    let mut chatd = Chatd::start(&[]);
    let alice = Person::new(&chatd, "alice");
    alice.chat(&["message", "bob", "hi"]).is("", "", 0);
    alice.chat(&["message", "bob"]).is("", "chat: 'message' is used like this: message USER TEXT\n", 2);
    let no_file = "chat: can't read a password from nowhere: No such file or directory (os error 2)\n";
    alice.chat(&["--password-file", "nowhere", "online"]).is("", no_file, 66);
    alice.chat(&["message", "nobody", "hi"]).is("", "chat: there is no user nobody\n", 67);
    let late = "chat: the message is safe on the server, but was not delivered within 3 s\n";
    alice.chat(&["--wait", "delivered", "--timeout", "3", "message", "bob", "hi"]).is("", late, 75);
    alice.chat(&["block", "alice"]).is("", "chat: you can't block yourself\n", 77);
    let mut other = stranger(b"HTTP/1.1 400 Bad Request\r\n\r\n", "alice");
    let strange = "chat: what answers there does not speak this protocol: check the host and the port\n";
    other.chat(&["--insecure-plaintext", "online"]).is("", strange, 76);
    chatd.kill();
    other.port = chatd.port();
    let nobody = format!(
        "chat: can't reach 127.0.0.1 port {}: Connection refused (os error 111); is chatd running there?\n",
        chatd.port()
    );
    other.chat(&["online"]).is("", &nobody, 69);
}

/// Somebody whose server is none: it reads a line and says something.
fn stranger(says: &'static [u8], user: &'static str) -> Person {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = BufReader::new(&stream).read_line(&mut String::new());
            let _ = (&stream).write_all(says);
        }
    });
    let (host, home) = ("127.0.0.1".to_owned(), tempfile::tempdir().unwrap());
    Person { user, host, port, certificate: String::new(), home }
}

#[test]
fn a_text_comes_from_standard_input_or_begins_with_a_dash() {
    let chatd = Chatd::start(&["--memory"]);
    let (alice, bob) = alice_and_bob(&chatd);
    alice.chat_with_input(&["message", "bob", "-"], "grüße\n\tund mehr\n".as_bytes()).is("", "", 0);
    alice.chat(&["message", "bob", "-5 degrees"]).is("", "", 0);
    alice.chat(&["message", "bob", "--help"]).is("", "", 0);
    alice.chat(&["message", "bob", "--"]).is("", "", 0);
    alice.chat_with_input(&["message", "bob", "-"], b"\xff\n").is(
        "",
        "chat: the text on standard input is not UTF-8\n",
        2,
    );
    let long = "x".repeat(4096);
    alice.chat_with_input(&["message", "bob", "-"], format!("{long}\n").as_bytes()).is("", "", 0);
    let outcome = alice.chat_with_input(&["message", "bob", "-"], format!("{long}y\n").as_bytes());
    assert_eq!((&*outcome.out, outcome.status), ("", 2), "{outcome:?}");
    let outcome = bob.chat_with_input(&[], b"wait xxx\n");
    let waited = format!("alice: grüße\n    \tund mehr\nalice: -5 degrees\nalice: --help\nalice: --\nalice: {long}\n");
    outcome.is(&waited, "", 0);
}

#[test]
fn delivered_means_that_it_was_shown() {
    let chatd = Chatd::start(&[]);
    let (alice, bob) = alice_and_bob(&chatd);
    let wait = ["--wait", "delivered", "--timeout", "60", "message", "bob"];
    let mut session = bob.session(&chatd, &[]);
    alice.chat(&[&wait[..], &["are you there?"]].concat()).is("", "", 0);
    session.hears("alice: are you there?");
    session.ends(0);
    // It waits until bob is back.
    let sender = thread::scope(|scope| {
        let sender = scope.spawn(|| alice.chat(&[&wait[..], &["and now?"]].concat()));
        bob.chat_with_input(&[], b"wait and now? 60\n").is("alice: and now?\n", "", 0);
        sender.join().unwrap()
    });
    sender.is("", "", 0);
    // From standard input likewise.
    let late = "chat: line 1: the message is safe on the server, but was not delivered in time\n";
    let script = b"message bob a\nbroadcast b\n";
    let outcome = alice.chat_with_input(&["--wait", "delivered", "--timeout", "3"], script);
    let error = late.to_owned() + "chat: line 2: a broadcast has no receipts: leave out '--wait delivered'\n";
    outcome.is("ok 3\n", &error, 75);
}

#[test]
fn json_is_an_object_a_line() {
    let chatd = Chatd::start(&["--memory"]);
    let (alice, bob) = alice_and_bob(&chatd);
    let carol = Person::new(&chatd, "carol");
    let mut session = bob.session(&chatd, &["--json"]);
    alice.chat(&["--json", "online"]).is("{\"reply\":\"online\",\"users\":[\"bob\"]}\n", "", 0);
    let accepted = "{\"number\":1,\"reach\":\"online\",\"reply\":\"accepted\"}\n";
    alice.chat(&["--json", "message", "bob", "a\n\u{202e}b"]).is(accepted, "", 0);
    let accepted = "{\"number\":2,\"reach\":\"queued\",\"reply\":\"accepted\"}\n";
    alice.chat(&["--json", "message", "carol", "hi"]).is(accepted, "", 0);
    let history = "{\"messages\":[{\"from\":\"alice\",\"number\":2,\"text\":\"hi\",\"time\":0,\"to\":\"carol\"}],\"reply\":\"history\"}\n";
    carol.chat(&["--json", "history"]).undated().is(history, "", 0);
    carol.chat(&["--json", "block", "alice"]).is("{\"reply\":\"blocked\",\"user\":\"alice\"}\n", "", 0);
    carol.chat(&["--json", "blocked"]).is("{\"reply\":\"block-list\",\"users\":[\"alice\"]}\n", "", 0);
    carol.chat(&["--json", "unblock", "alice"]).is("{\"reply\":\"unblocked\",\"user\":\"alice\"}\n", "", 0);
    let message =
        "{\"event\":\"message\",\"from\":\"alice\",\"number\":1,\"text\":\"a\\n\\u202eb\",\"time\":0,\"to\":\"bob\"}";
    assert_eq!(undated(&session.hears_something()), message);
    let mut other = alice.session(&chatd, &[]);
    session.hears("{\"event\":\"online\",\"user\":\"alice\"}");
    session.says("broadcast hi");
    session.hears("{\"number\":3,\"reach\":\"online\",\"reply\":\"accepted\"}");
    other.hears("bob (to everyone): hi");
    other.ends(0);
    session.hears("{\"event\":\"offline\",\"user\":\"alice\"}");
    session.ends(0);
}

#[test]
fn wrong_passwords_and_unknown_names_look_alike_and_lock_out() {
    let chatd = Chatd::start(&[]);
    let (alice, bob) = alice_and_bob(&chatd);
    let with_password = |person: &Person, password: &str| {
        let mut command = person.command(&["online"]);
        command.env("CHAT_PASSWORD", password);
        run(command, b"")
    };
    with_password(&alice, "Wonderland").is("", NOT_AUTHENTICATED, 77);
    alice.chat(&["--user", "nobody", "online"]).is("", NOT_AUTHENTICATED, 77);
    alice.chat(&["online"]).is("", "", 0);
    for _ in 0..3 {
        with_password(&bob, "x").is("", NOT_AUTHENTICATED, 77);
    }
    bob.chat(&["online"]).is("", NOT_AUTHENTICATED, 77);
    bob.chat_with_input(&[], b"online\n").is("", NOT_AUTHENTICATED, 77);
    alice.chat(&["online"]).is("", "", 0);
    // The first line of a file counts, and nothing of the environment does then.
    std::fs::write(alice.home.path().join("password"), "wonderland\r\nmore\n").unwrap();
    let mut command = alice.command(&["--password-file", "password", "online"]);
    command.env("CHAT_PASSWORD", "wrong");
    run(command, b"").is("", "", 0);
    let mut command = alice.command(&["online"]);
    command.env_remove("CHAT_PASSWORD");
    let no_password =
        "chat: there is no password and no terminal to ask for it: use --password-file FILE or CHAT_PASSWORD\n";
    // A test may run at a terminal: it is not asked.
    if std::fs::File::open("/dev/tty").is_err() {
        run(command, b"").is("", no_password, 77);
    }
}

#[test]
fn whoever_is_blocked_is_told_and_reaches_nobody() {
    let chatd = Chatd::start(&[]);
    let (alice, bob) = alice_and_bob(&chatd);
    alice.chat(&["message", "bob", "before"]).is("", "", 0);
    let mut carol = Person::new(&chatd, "carol").session(&chatd, &[]);
    bob.chat(&["block", "alice"]).is("", "", 0);
    alice.chat(&["message", "bob", "after"]).is("", "chat: bob has blocked you\n", 77);
    let outcome = alice.chat_with_input(&[], b"message bob again\nbroadcast hello\n");
    outcome.is("ok 2\n", "chat: line 1: bob has blocked you\n", 77);
    carol.hears("* alice is online");
    carol.hears("alice (to everyone): hello");
    carol.hears("* alice is offline");
    // What waited does not arrive either, and bob is invisible to alice.
    let mut session = bob.session(&chatd, &[]);
    carol.hears("* bob is online");
    alice.chat(&["online"]).is("carol\n", "", 0);
    carol.says("message bob hi");
    carol.hears("ok 3");
    session.hears("carol: hi");
    alice.chat_with_input(&[], b"broadcast to some\n").is("ok 4\n", "", 0);
    session.hears("* alice is online");
    session.hears("* alice is offline");
    session.says("unblock alice");
    session.hears("ok");
    alice.chat(&["message", "bob", "at last"]).is("", "", 0);
    session.hears("alice: at last");
    session.ends(0);
}

#[test]
fn a_full_queue_is_an_error_of_the_senders() {
    let chatd = Chatd::start(&["--memory"]);
    let alice = Person::new(&chatd, "alice");
    let mut hand = chatd.log_in_once("dave");
    let requests: String = (0..1000)
        .map(|id| json!({"id": id + 100, "request": "message", "to": "bob", "text": "x"}).to_string() + "\n")
        .collect();
    hand.send_bytes(requests.as_bytes());
    assert_eq!(hand.answer(1099)["reply"], "accepted");
    let full = "too much waits for bob already: try again when they have been online";
    alice.chat(&["message", "bob", "hi"]).is("", &format!("chat: {full}\n"), 75);
    let outcome = alice.chat_with_input(&[], b"message bob hi\nmessage carol hi\n");
    outcome.is("ok 1001\n", &format!("chat: line 1: {full}\n"), 75);
}

#[test]
fn a_batch_goes_on_after_a_failure_and_ends_with_the_first() {
    let chatd = Chatd::start(&["--memory"]);
    let (alice, bob) = alice_and_bob(&chatd);
    let script = "# a remark\n\
                  message nobody hi\n\
                  message bob hello\n\
                  dance\n\
                  \n\
                  wait nothing 0.2\n\
                  message bob \"quoted\"  \n\
                  block bob\n\
                  message bob - \n";
    let error = "chat: line 2: there is no user nobody\n\
                 chat: line 4: there is no command 'dance'; 'help' lists them\n\
                 chat: line 6: 'nothing' did not come in time\n";
    alice.chat_with_input(&[], script.as_bytes()).is("ok 1\nok 2\nok\nok 3\n", error, 67);
    let outcome = bob.chat_with_input(&[], b"wait - 60\nlogout\nmessage alice never\n");
    outcome.is("alice: hello\nalice: \"quoted\"\nalice: -\n", "", 0);
}

#[test]
fn two_scripts_wait_for_each_other() {
    let chatd = Chatd::start(&[]);
    let (alice, bob) = alice_and_bob(&chatd);
    let ping = "wait bob is online 60\nmessage bob ping\nwait bob: pong 60\n";
    let pong = "wait alice: ping 60\nmessage alice pong\nwait offline 60\n";
    let (alice, bob) = thread::scope(|scope| {
        let alice = alice.session(&chatd, &[]);
        let bob = scope.spawn(|| bob.chat_with_input(&[], pong.as_bytes()));
        (play(alice, ping), bob.join().unwrap())
    });
    assert_eq!(alice, ["* bob is online", "ok 1", "bob: pong"]);
    bob.is("alice: ping\nok 2\n* alice is offline\n", "", 0);
}

/// Gives a session its commands and the end of its input; comes back: three lines that it said. It must not say more.
fn play(mut session: support::chat::Session, script: &str) -> Vec<String> {
    script.lines().for_each(|line| session.says(line));
    let said = (0..3).map(|_| session.hears_something()).collect();
    session.ends(0);
    said
}

#[test]
fn a_session_survives_the_death_of_the_server() {
    let mut chatd = Chatd::start(&[]);
    let (alice, bob) = alice_and_bob(&chatd);
    let (mut first, mut second) = (alice.session(&chatd, &[]), bob.session(&chatd, &[]));
    first.hears("* bob is online");
    first.says("message bob one");
    first.hears("ok 1");
    second.hears("alice: one");
    chatd.kill();
    for session in [&mut first, &mut second] {
        session.is_told(&format!("chat: {KILLED}"));
    }
    // What is said meanwhile is done later, in order.
    first.says("message bob two");
    first.says("message bob three");
    alice.chat(&["message", "bob", "lost"]).is(
        "",
        &format!(
            "chat: can't reach 127.0.0.1 port {}: Connection refused (os error 111); is chatd running there?\n",
            chatd.port()
        ),
        69,
    );
    chatd.start_again();
    for session in [&mut first, &mut second] {
        session.is_told("chat: connected again");
    }
    let said: Vec<String> = (0..2).map(|_| said_by_user(&mut first)).collect();
    assert_eq!(said, ["ok 2", "ok 3"]);
    let heard: Vec<String> = (0..2).map(|_| said_by_user(&mut second)).collect();
    assert_eq!(heard, ["alice: two", "alice: three"]);
    // Nothing of it comes a second time.
    second.says("history alice");
    for text in ["one", "two", "three"] {
        assert_eq!(undated(&said_by_user(&mut second)), format!("(time) alice -> bob: {text}"));
    }
}

/// The next line that is no note of who comes and goes.
fn said_by_user(session: &mut support::chat::Session) -> String {
    loop {
        let line = session.hears_something();
        if !line.starts_with("* ") {
            return line;
        }
    }
}

#[test]
fn what_waits_arrives_in_order_once() {
    let mut chatd = Chatd::start(&[]);
    let (alice, bob) = alice_and_bob(&chatd);
    let script: String = (1..=50).map(|i| format!("message bob {i}.\n")).collect();
    let accepted: String = (1..=50).map(|i| format!("ok {i}\n")).collect();
    alice.chat_with_input(&[], script.as_bytes()).is(&accepted, "", 0);
    chatd.kill();
    chatd.start_again();
    // A command of the command line takes nothing of it.
    bob.chat(&["online"]).is("", "", 0);
    let waited: String = (1..=50).map(|i| format!("alice: {i}.\n")).collect();
    bob.chat_with_input(&[], b"wait 50. 60\n").is(&waited, "", 0);
    alice.chat(&["message", "bob", "more"]).is("", "", 0);
    bob.chat_with_input(&[], b"wait more 60\n").is("alice: more\n", "", 0);
}

#[test]
fn a_one_shot_command_beside_a_session_disturbs_nothing() {
    let chatd = Chatd::start(&[]);
    let (alice, bob) = alice_and_bob(&chatd);
    let mut watcher = bob.session(&chatd, &[]);
    let mut session = alice.session(&chatd, &[]);
    watcher.hears("* alice is online");
    alice.chat(&["message", "bob", "from a script"]).is("", "", 0);
    watcher.hears("alice: from a script");
    bob.chat(&["message", "alice", "hi"]).is("", "", 0);
    alice.chat(&["online"]).is("bob\n", "", 0);
    session.hears("bob: hi");
    session.says("message bob from a session");
    session.hears("ok 3");
    watcher.hears("alice: from a session");
    session.ends(0);
    watcher.hears("* alice is offline");
    watcher.ends(0);
}

#[test]
fn a_second_session_of_the_same_machine_displaces_the_first() {
    let chatd = Chatd::start(&[]);
    let (alice, bob) = alice_and_bob(&chatd);
    let mut watcher = bob.session(&chatd, &[]);
    let mut first = alice.session(&chatd, &[]);
    watcher.hears("* alice is online");
    let mut second = alice.start(&[]);
    first.is_told("chat: displaced: the same user has logged in again from this machine, and that chat goes on");
    first.has_ended(69);
    // From another machine it stands beside it.
    let other_machine = Person::new(&chatd, "alice");
    let mut third = other_machine.start(&[]);
    third.says("message bob from both");
    third.hears("ok 1");
    watcher.hears("alice: from both");
    watcher.says("message alice to both");
    watcher.hears("ok 2");
    second.hears("bob: to both");
    third.hears("bob: to both");
    second.ends(0);
    third.ends(0);
    watcher.hears("* alice is offline");
    watcher.ends(0);
}

#[test]
fn whoever_stops_answering_is_offline_and_gets_everything_later() {
    let chatd = Chatd::start(&["--heartbeat-timeout", "3"]);
    let (alice, bob) = alice_and_bob(&chatd);
    let mut session = bob.session(&chatd, &[]);
    alice.chat(&["message", "bob", "before"]).is("", "", 0);
    session.hears("alice: before");
    session.signal("STOP");
    // It is sent to him while he counts as online, and to nobody later.
    alice.chat(&["message", "bob", "one"]).is("", "", 0);
    chatd.expect_online("bob", false);
    alice.chat(&["message", "bob", "two"]).is("", "", 0);
    alice.chat(&["message", "bob", "three"]).is("", "", 0);
    session.signal("CONT");
    for text in ["one", "two", "three"] {
        session.hears(&format!("alice: {text}"));
    }
    session.is_told_something_with("; trying to come back");
    session.is_told("chat: connected again");
    session.ends(0);
}

#[test]
fn nothing_of_others_reaches_the_output_raw() {
    let chatd = Chatd::start(&["--memory"]);
    let (alice, bob) = alice_and_bob(&chatd);
    let mut plain = bob.session(&chatd, &[]);
    let other_machine = Person::new(&chatd, "bob");
    let mut coded = other_machine.start(&["--json"]);
    coded.says("blocked");
    coded.hears("{\"reply\":\"block-list\",\"users\":[]}");
    for text in ["\u{1b}[2Jgone", "\u{7}", "\u{9b}31m", "\u{7f}", "a\rb"] {
        let outcome = alice.chat(&["message", "bob", text]);
        assert_eq!((&*outcome.out, outcome.status), ("", 2), "{outcome:?}");
        assert!(outcome.error.trim_end().chars().all(|c| !c.is_control()), "{outcome:?}");
    }
    let text = "\u{202e}live\u{2066} \u{200f}\u{feff}\n* carol is online\n\tx";
    alice.chat(&["message", "bob", text]).is("", "", 0);
    plain.hears("alice: <U+202E>live<U+2066> <U+200F><U+FEFF>");
    plain.hears("    * carol is online");
    plain.hears("    \tx");
    let line = undated(&coded.hears_something());
    let escaped = "\\u202elive\\u2066 \\u200f\\ufeff\\n* carol is online\\n\\tx";
    let number = "\"number\":1,";
    assert_eq!(
        line,
        format!(
            "{{\"event\":\"message\",\"from\":\"alice\",{number}\"text\":\"{escaped}\",\"time\":0,\"to\":\"bob\"}}"
        )
    );
    let history = "(time) alice -> bob: <U+202E>live<U+2066> <U+200F><U+FEFF>\n    * carol is online\n    \tx\n";
    bob.chat(&["history"]).undated().is(history, "", 0);
    plain.ends(0);
    coded.ends(0);
}

#[test]
fn an_orderly_shutdown_is_announced_and_sessions_come_back() {
    let mut chatd = Chatd::start(&[]);
    let (alice, bob) = alice_and_bob(&chatd);
    let (mut first, mut second) = (bob.session(&chatd, &[]), alice.session(&chatd, &[]));
    first.hears("* alice is online");
    // Others see her before she knows it herself; a session that has not begun does not come back.
    second.says("online");
    second.hears("bob");
    assert_eq!(chatd.stop().code(), Some(0));
    for session in [&mut first, &mut second] {
        session.is_told("chat: the server stops; trying to come back");
    }
    chatd.start_again();
    for session in [&mut first, &mut second] {
        session.is_told("chat: connected again");
    }
    first.says("message alice back?");
    assert_eq!(said_by_user(&mut second), "bob: back?");
}

#[test]
fn signals_end_chat_at_once_and_others_see_it() {
    let chatd = Chatd::start(&[]);
    let (alice, bob) = alice_and_bob(&chatd);
    let mut watcher = bob.session(&chatd, &[]);
    for (name, status) in [("INT", 130), ("TERM", 143)] {
        let mut session = alice.session(&chatd, &[]);
        watcher.hears("* alice is online");
        session.says("online");
        session.hears("bob");
        session.says("wait never 60");
        session.signal(name);
        session.has_ended(status);
        watcher.hears("* alice is offline");
        // It has logged out: its token is worth nothing, so there is none.
        let device = alice.home.path().join(format!("chat/127.0.0.1,{},alice", chatd.port()));
        assert!(!std::fs::read_to_string(device).unwrap().contains("token"));
        // Who waits for a receipt does not have to.
        let waits = alice.start(&["--wait", "delivered", "--timeout", "60", "message", "carol", "hi"]);
        await_history(&alice, "carol", name);
        waits.signal(name);
        waits.has_ended(status);
    }
    watcher.ends(0);
}

/// Waits until the last message to `user` was accepted; `name` says which time.
fn await_history(alice: &Person, user: &str, name: &str) {
    let wanted = if name == "INT" { 1 } else { 2 };
    let end = std::time::Instant::now() + support::LIMIT;
    loop {
        let Outcome { out, .. } = alice.chat(&["history", user]);
        if out.lines().count() == wanted {
            return;
        }
        assert!(std::time::Instant::now() < end, "{out}");
    }
}
