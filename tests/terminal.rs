//! People at terminals: what they see on the screen, whole, while they type.

mod support;

use support::Chatd;
use support::chat::{KILLED, Person};
use support::terminal::{CTRL_C, CTRL_D, TAB, Terminal, UP};

const HELLO_ALICE: &str = "hh:mm * you are online as alice, nobody else is; 'help' lists the commands";

/// Alice at a terminal, logged in, with what she sees.
fn alice(chatd: &Chatd) -> (Person, Terminal) {
    let person = Person::new(chatd, "alice");
    let mut alice = person.sit_down(&[]);
    alice.sees(&["password of alice:"]);
    alice.enters("wonderland");
    alice.sees(&["password of alice:", HELLO_ALICE, "alice>"]);
    (person, alice)
}

#[test]
fn two_people_chat() {
    let chatd = Chatd::start(&[]);
    let (_alices, mut alice) = alice(&chatd);
    let bobs = Person::new(&chatd, "bob");
    let mut bob = bobs.sit_down_with(&[], &[("CHAT_USER", "")]);
    bob.sees(&["name:"]);
    bob.enters("bob");
    bob.sees(&["name: bob", "password of bob:"]);
    bob.enters("builder");
    let hello_bob = "hh:mm * you are online as bob, alice too; 'help' lists the commands";
    bob.sees(&["name: bob", "password of bob:", hello_bob, "bob>"]);
    alice.sees(&["password of alice:", HELLO_ALICE, "hh:mm * bob is online", "alice>"]);
    alice.enters("message bob hi there");
    let sent = "alice> message bob hi there";
    alice.sees(&["password of alice:", HELLO_ALICE, "hh:mm * bob is online", sent, "✓ to bob", "alice>"]);
    bob.sees(&["name: bob", "password of bob:", hello_bob, "hh:mm alice: hi there", "bob>"]);
    assert!(bob.printed().contains('\u{7}'), "a private message rings the bell");
    bob.enters("broadcast hello, all");
    let said = ["bob> broadcast hello, all", "✓ to everyone", "bob>"];
    bob.sees(&[&["name: bob", "password of bob:", hello_bob, "hh:mm alice: hi there"][..], &said].concat());
    let heard = "hh:mm bob (to everyone): hello, all";
    alice.sees(&["password of alice:", HELLO_ALICE, "hh:mm * bob is online", sent, "✓ to bob", heard, "alice>"]);
    assert!(!alice.printed().contains('\u{7}'), "a broadcast does not");
    bob.enters("logout");
    let end = ["bob> broadcast hello, all", "✓ to everyone", "bob> logout"];
    bob.ends(0, &[&["name: bob", "password of bob:", hello_bob, "hh:mm alice: hi there"][..], &end].concat());
    let gone = "hh:mm * bob is offline";
    alice.sees(&["password of alice:", HELLO_ALICE, "hh:mm * bob is online", sent, "✓ to bob", heard, gone, "alice>"]);
    for (terminal, password) in [(&alice, "wonderland"), (&bob, "builder")] {
        assert!(!terminal.printed().contains(password), "{}", terminal.printed());
    }
}

#[test]
fn what_comes_in_leaves_the_line_being_typed_intact() {
    let chatd = Chatd::start(&[]);
    let (_alices, mut alice) = alice(&chatd);
    let bob = Person::new(&chatd, "bob");
    let begin = ["password of alice:", HELLO_ALICE];
    alice.types("message bob half a line");
    alice.sees(&[&begin[..], &["alice> message bob half a line"]].concat());
    bob.chat(&["message", "alice", "in between\nwith two lines"]).is("", "", 0);
    let came = [&begin[..], &["hh:mm bob: in between", "    with two lines"]].concat();
    alice.sees_with(
        &[&came[..], &["alice> message bob half a line"]].concat(),
        Some("alice> message bob half a line".len()),
    );
    alice.enters(", and the rest");
    let sent = [&came[..], &["alice> message bob half a line, and the rest"]].concat();
    let queued = "✓ to bob (bob is offline: it waits)";
    alice.sees(&[&sent[..], &[queued, "alice>"]].concat());
    // A line that goes over several rows of the screen, with the cursor in its middle.
    let long = format!("message bob {}", "many words ".repeat(15));
    alice.types(&long);
    alice.types("\x01\x1bf");
    let all = format!("alice> {}", long.trim_end());
    let rows: Vec<&str> = [&all[..100], &all[100..]].to_vec();
    alice.sees_with(&[&sent[..], &[queued], &rows].concat(), Some("alice> message".len()));
    bob.chat(&["message", "alice", "again"]).is("", "", 0);
    let again = [&sent[..], &[queued, "hh:mm bob: again"]].concat();
    alice.sees_with(&[&again[..], &rows].concat(), Some("alice> message".len()));
    alice.enters("");
    alice.sees(&[&again[..], &rows, &[queued, "alice>"]].concat());
    let history = format!(
        "(time) alice -> bob: half a line, and the rest\n\
         (time) bob -> alice: again\n\
         (time) alice -> bob: {}\n",
        "many words ".repeat(15).trim_end()
    );
    bob.chat(&["history", "3"]).undated().is(&history, "", 0);
}

#[test]
fn tab_completes_and_the_arrows_bring_back_lines() {
    let chatd = Chatd::start(&[]);
    let (_alices, mut alice) = alice(&chatd);
    let bob = Person::new(&chatd, "bob");
    bob.chat(&["message", "alice", "hi"]).is("", "", 0);
    let begin = ["password of alice:", HELLO_ALICE, "hh:mm bob: hi"];
    alice.sees(&[&begin[..], &["alice>"]].concat());
    alice.types("mes");
    alice.types(TAB);
    alice.types("b");
    alice.types(TAB);
    alice.enters("yes?");
    let sent = [&begin[..], &["alice> message bob yes?", "✓ to bob (bob is offline: it waits)"]].concat();
    alice.sees(&[&sent[..], &["alice>"]].concat());
    alice.types(UP);
    alice.sees(&[&sent[..], &["alice> message bob yes?"]].concat());
    // Ctrl-C clears a line first.
    alice.types(CTRL_C);
    alice.sees(&[&sent[..], &["alice>"]].concat());
    alice.types(CTRL_C);
    alice.ends(130, &[&sent[..], &["alice>"]].concat());
}

#[test]
fn lines_are_remembered_for_the_next_time_and_the_password_is_not() {
    let chatd = Chatd::start(&[]);
    let (alices, mut alice) = alice(&chatd);
    alice.enters("online");
    let begin = ["password of alice:", HELLO_ALICE, "alice> online", "nobody else is online"];
    alice.sees(&[&begin[..], &["alice>"]].concat());
    alice.types(CTRL_D);
    alice.ends(0, &[&begin[..], &["alice>"]].concat());
    let lines = std::fs::read_to_string(alices.home.path().join("chat/lines")).unwrap();
    assert!(lines.contains("online") && !lines.contains("wonderland"), "{lines}");
    let mut again = alices.sit_down(&[]);
    again.sees(&["password of alice:"]);
    again.enters("wonderland");
    again.sees(&["password of alice:", HELLO_ALICE, "alice>"]);
    again.types(UP);
    again.sees(&["password of alice:", HELLO_ALICE, "alice> online"]);
}

#[test]
fn a_wrong_password_is_asked_for_again() {
    let chatd = Chatd::start(&["--password-tries", "9"]);
    let alices = Person::new(&chatd, "alice");
    let wrong = "chat: wrong name or password, or too many wrong tries: wait a minute after three";
    let hint = format!("'chat 127.0.0.1 {} --user alice sign-up' makes one, where the server allows it", chatd.port());
    let hint = format!("chat: no account? {hint}");
    let again = ["password of alice:", wrong, &hint, "password of alice:"];
    let mut alice = alices.sit_down(&[]);
    alice.sees(&["password of alice:"]);
    alice.enters("Wonderland");
    alice.sees(&again);
    alice.enters("wonderland");
    alice.sees(&[&again[..], &[HELLO_ALICE, "alice>"]].concat());
    alice.types(CTRL_D);
    alice.ends(0, &[&again[..], &[HELLO_ALICE, "alice>"]].concat());
    // Three times, and no more.
    let mut alice = alices.sit_down(&[]);
    let mut screen = Vec::new();
    for _ in 0..3 {
        screen.push("password of alice:");
        alice.sees(&screen);
        alice.enters("secret no more");
        screen.push(wrong);
        if screen.len() == 2 {
            screen.push(&hint);
        }
    }
    alice.ends(77, &screen);
    assert!(!alice.printed().contains("secret"), "{}", alice.printed());
    // A command asks as well, once.
    let mut alice = alices.sit_down(&["online"]);
    alice.sees(&["password of alice:"]);
    alice.enters("no");
    alice.ends(77, &["password of alice:", wrong]);
    // Ctrl-C at the question.
    let mut alice = alices.sit_down(&[]);
    alice.sees(&["password of alice:"]);
    alice.types(CTRL_C);
    alice.ends(130, &["password of alice:"]);
}

#[test]
fn whoever_is_displaced_is_told_why() {
    let chatd = Chatd::start(&[]);
    let (alices, mut alice) = alice(&chatd);
    alice.types("half a li");
    alice.sees(&["password of alice:", HELLO_ALICE, "alice> half a li"]);
    let second = alices.session(&chatd, &[]);
    let why = "chat: displaced: the same user has logged in again from this machine, and that chat goes on";
    alice.ends(69, &["password of alice:", HELLO_ALICE, "alice> half a li", why]);
    second.ends(0);
}

#[test]
fn a_server_that_dies_and_comes_back_is_told_and_nothing_is_lost() {
    let mut chatd = Chatd::start(&[]);
    let (_alices, mut alice) = alice(&chatd);
    chatd.kill();
    let lost = ["password of alice:", HELLO_ALICE, KILLED];
    alice.sees(&[&lost[..], &["alice>"]].concat());
    alice.enters("message bob while you were away");
    let typed = ["alice> message bob while you were away", "hh:mm * not connected now: it is done after coming back"];
    alice.sees(&[&lost[..], &typed, &["alice>"]].concat());
    chatd.start_again();
    let back = ["hh:mm * connected again", "✓ to bob (bob is offline: it waits)", "alice>"];
    alice.sees(&[&lost[..], &typed, &back].concat());
    // SIGTERM logs out like Ctrl-C.
    alice.types("half");
    alice.signal("TERM");
    assert!(alice.ended_with(143).join("\n").contains("connected again"));
    chatd.expect_online("alice", false);
}

#[test]
fn a_state_that_cannot_be_kept_is_told_above_the_line() {
    let chatd = Chatd::start(&[]);
    let alices = Person::new(&chatd, "alice");
    let mut alice = alices.sit_down(&[]);
    alice.sees(&["password of alice:"]);
    let state = alices.home.path().join("chat");
    std::fs::remove_dir_all(&state).unwrap();
    alice.enters("wonderland");
    let file = state.join(format!("127.0.0.1,{},alice", chatd.port()));
    let why = format!("can't write {}: No such file or directory (os error 2); going on without it", file.display());
    alice.sees(&["password of alice:", &why[..100], &why[100..], HELLO_ALICE, "alice>"]);
    alice.enters("logout");
    alice.ends(0, &["password of alice:", &why[..100], &why[100..], HELLO_ALICE, "alice> logout"]);
}

#[test]
fn colours_only_where_they_are_wanted() {
    let chatd = Chatd::start(&[]);
    let coloured = |name: &str, value: &str| {
        let alices = Person::new(&chatd, "alice");
        let mut alice = alices.sit_down_with(&[], &[(name, value)]);
        alice.sees(&["password of alice:"]);
        alice.enters("wonderland");
        // A terminal that can do nothing has no prompt: what comes in would stand behind it.
        let (prompt, waiting): (_, &[&str]) = if value == "dumb" { ("", &[]) } else { ("alice> ", &["alice>"]) };
        let begin = ["password of alice:", HELLO_ALICE];
        alice.sees(&[&begin[..], waiting].concat());
        alice.enters("dance");
        let answer = [&format!("{prompt}dance"), "there is no command 'dance'; 'help' lists them"];
        alice.sees(&[&begin[..], &answer, waiting].concat());
        alice.enters("logout");
        alice.ends(0, &[&begin[..], &answer, &[&format!("{prompt}logout")]].concat());
        (alice.printed().contains("\x1b[31m"), alice.printed().contains('\x1b'))
    };
    assert_eq!(coloured("NO_COLOR", ""), (true, true));
    assert!(!coloured("NO_COLOR", "1").0);
    assert_eq!(coloured("TERM", "dumb"), (false, false));
}
