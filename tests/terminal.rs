//! People at terminals: what they see on the screen, whole, while they type.

mod support;

use support::Chatd;
use support::chat::{KILLED, Person, Session};
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

const CHATS: &str = "✓ you chat with bob: 'end chat' ends it, '/' stands before a command, as in '/online'";

/// What is on the screen of somebody who types one line after the other.
struct Typing {
    terminal: Terminal,
    screen: Vec<&'static str>,
}

impl Typing {
    /// Alice, and the session of bob, who has come after her.
    fn alice_beside_bob(chatd: &Chatd) -> ([Person; 2], Typing, Session) {
        let (alices, terminal) = alice(chatd);
        let mut alice = Typing { terminal, screen: vec!["password of alice:", HELLO_ALICE] };
        let bobs = Person::new(chatd, "bob");
        let bob = bobs.session(chatd, &[]);
        alice.comes(&["hh:mm * bob is online"], "alice>");
        ([alices, bobs], alice, bob)
    }

    /// Types what follows the prompt in `line`; these lines come, and then this prompt.
    #[track_caller]
    fn types(&mut self, line: &'static str, lines: &[&'static str], prompt: &'static str) {
        let (_, typed) = line.split_once("> ").expect("a prompt");
        self.terminal.enters(typed);
        self.screen.push(line);
        self.comes(lines, prompt);
    }

    #[track_caller]
    fn comes(&mut self, lines: &[&'static str], prompt: &'static str) {
        self.screen.extend(lines);
        self.terminal.sees(&[&self.screen[..], &[prompt]].concat());
    }
}

#[test]
fn in_a_chat_what_is_typed_goes_to_the_other_side() {
    let chatd = Chatd::start(&[]);
    let (_homes, mut alice, mut bob) = Typing::alice_beside_bob(&chatd);
    alice.types("alice> chat bob", &[CHATS], "alice to bob>");
    alice.types("alice to bob> online is where I am", &["✓ to bob"], "alice to bob>");
    bob.hears("alice: online is where I am");
    alice.types("alice to bob> /online", &["online: bob"], "alice to bob>");
    alice.types("alice to bob> //o/", &["✓ to bob"], "alice to bob>");
    bob.hears("alice: /o/");
    let twice = "you are in a chat with bob: 'end chat' ends it";
    alice.types("alice to bob> /chat carol", &[twice], "alice to bob>");
    alice.terminal.types("/bl");
    alice.terminal.types(TAB);
    alice.terminal.types("b");
    alice.terminal.types(TAB);
    alice.terminal.sees(&[&alice.screen[..], &["alice to bob> /block bob"]].concat());
    alice.terminal.types(CTRL_C);
    alice.types("alice to bob> end chat", &["✓ the chat with bob is over"], "alice>");
    alice.types("alice> //o/", &["there is no command '//o/'; 'help' lists them"], "alice>");
    bob.ends(0);
}

#[test]
fn the_end_of_a_chat_is_not_taken_for_the_answer_to_the_next() {
    let chatd = Chatd::start(&[]);
    let (_homes, mut alice, mut bob) = Typing::alice_beside_bob(&chatd);
    let carols = Person::new(&chatd, "carol");
    let _carol = carols.session(&chatd, &[]);
    alice.comes(&["hh:mm * carol is online"], "alice>");
    bob.hears("* carol is online");
    alice.types("alice> chat bob", &[CHATS], "alice to bob>");
    bob.ends(0);
    alice.comes(&["hh:mm * bob is offline", "hh:mm * the chat with bob is over"], "alice to bob>");
    let chats = "✓ you chat with carol: 'end chat' ends it, '/' stands before a command, as in '/online'";
    alice.types("alice to bob> /chat carol", &[chats], "alice to carol>");
}

#[test]
fn what_is_typed_in_a_chat_that_is_over_goes_nowhere() {
    let mut chatd = Chatd::start(&[]);
    let ([_alices, bobs], mut alice, bob) = Typing::alice_beside_bob(&chatd);
    alice.types("alice> end chat", &["you are in no chat: begin one first"], "alice>");
    alice.types("alice> chat bob", &[CHATS], "alice to bob>");
    bob.ends(0);
    let over = "hh:mm * the chat with bob is over";
    alice.comes(&["hh:mm * bob is offline", over], "alice to bob>");
    let not_said = "not said: the chat with bob is over; 'message bob TEXT' sends it all the same";
    alice.types("alice to bob> are you there?", &[not_said], "alice>");
    let nobody = "bob can't be reached for a chat: they are not online, or in one, or have blocked you";
    alice.types("alice> chat bob", &[nobody], "alice>");
    let bob = bobs.session(&chatd, &[]);
    alice.comes(&["hh:mm * bob is online"], "alice>");
    alice.types("alice> chat bob", &[CHATS], "alice to bob>");
    chatd.kill();
    alice.comes(&[KILLED, over], "alice to bob>");
    let apart = "not connected now: a chat begins and ends with a connection";
    alice.types("alice to bob> /chat bob", &[apart], "alice>");
    drop(bob);
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
