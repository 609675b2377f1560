//! chat with chat: what each of two people sees, whole.

use std::net::{IpAddr, Ipv6Addr};

use crate::support::Chatd;
use crate::support::chat::{KILLED, Person};
use crate::{ASKED, IS_ASKED, LOCALHOST, Two, UP_WITH_ALICE, UP_WITH_BOB, hears_the_address};

/// What the end looks like to whoever ended it, and to the other.
const ENDED_BY_ALICE: [&str; 2] = [
    "* the private conversation with bob is over: you have ended the conversation",
    "* the private conversation with alice is over: alice has ended it",
];

/// The server's history between the two, as alice sees it.
#[track_caller]
fn history_is(chatd: &Chatd, history: &str) {
    Person::new(chatd, "alice").chat(&["history", "bob"]).undated().is(history, "", 0);
}

#[test]
fn two_people_talk_both_ways_and_the_server_has_nothing_of_it() {
    let mut two = Two::new();
    two.talk("just between us", LOCALHOST);
    for round in 0..5 {
        two.bob.says(&format!("private alice answer {round}"));
        two.bob.hears("ok");
        two.alice.hears(&format!("bob (privately): answer {round}"));
        two.alice.says(&format!("private bob question {round}"));
        two.alice.hears("ok");
        two.bob.hears(&format!("alice (privately): question {round}"));
    }
    two.alice.says("end private bob");
    two.alice.hears("ok");
    two.alice.hears(ENDED_BY_ALICE[0]);
    two.bob.hears(ENDED_BY_ALICE[1]);
    history_is(&two.chatd, "");
    two.alice.ends(0);
    two.bob.hears("* alice is offline");
    two.bob.ends(0);
}

#[test]
fn within_its_time_a_yes_lets_in_again_without_a_question() {
    let mut two = Two::new();
    two.talk("first", LOCALHOST);
    for (ender, other) in [(true, "bob"), (false, "alice")] {
        let (one, another) = if ender { (&mut two.alice, &mut two.bob) } else { (&mut two.bob, &mut two.alice) };
        let me = if ender { "alice" } else { "bob" };
        one.says(&format!("end private {other}"));
        one.hears("ok");
        one.hears(&format!("* the private conversation with {other} is over: you have ended the conversation"));
        another.hears(&format!("* the private conversation with {me} is over: {me} has ended it"));
        two.alice.says("private bob again");
        two.alice.hears(UP_WITH_BOB);
        two.alice.hears("ok");
        two.bob.hears(UP_WITH_ALICE);
        two.bob.hears("alice (privately): again");
    }
}

#[test]
fn long_and_odd_texts_arrive_as_they_are_and_are_shown_safely() {
    let mut two = Two::new();
    two.talk("begin", LOCALHOST);
    let longest = "x".repeat(4096);
    for (text, shown) in [
        (&*longest, &*longest),
        (&*"\"".repeat(4096), &*"\"".repeat(4096)),
        ("{\"peer\":\"bye\"}", "{\"peer\":\"bye\"}"),
        ("é😀 \\n \u{202e}evil\u{2066}\u{200b}", "é😀 \\n <U+202E>evil<U+2066><U+200B>"),
        ("a\tb", "a\tb"),
        ("* a private conversation with carol has begun", "* a private conversation with carol has begun"),
    ] {
        two.alice.says(&format!("private bob {text}"));
        two.alice.hears("ok");
        two.bob.hears(&format!("alice (privately): {shown}"));
    }
    two.alice.says(&format!("private bob {}", "x".repeat(4097)));
    two.alice.is_told_something_with("4096");
    two.alice.says("private bob \u{1b}[2J");
    two.alice.is_told_something_with("U+001B");
    two.alice.says("private bob the end");
    two.alice.hears("ok");
    two.bob.hears("alice (privately): the end");
}

#[test]
fn a_conversation_goes_on_without_the_server_and_with_it_again() {
    let mut two = Two::new();
    two.talk("with it", LOCALHOST);
    two.chatd.kill();
    two.alice.is_told(&format!("chat: {KILLED}"));
    two.bob.is_told(&format!("chat: {KILLED}"));
    two.alice.says("private bob without it");
    two.alice.hears("ok");
    two.bob.hears("alice (privately): without it");
    two.bob.says("private alice still here");
    two.bob.hears("ok");
    two.alice.hears("bob (privately): still here");
}

#[test]
fn a_no_is_told_and_what_was_written_goes_nowhere_unasked() {
    let mut two = Two::new();
    two.alice.says("private bob psst");
    two.bob.hears(ASKED);
    two.bob.says("consent alice no");
    two.bob.hears("ok");
    two.alice.hears(IS_ASKED);
    two.alice.hears("* no address of bob: the answer is no");
    two.alice.is_told(
        "chat: line 1: not said to bob: no address of bob: the answer is no; 'deliver bob' sends it through the server",
    );
    history_is(&two.chatd, "");
    two.alice.says("deliver bob");
    two.alice.hears("ok 1");
    two.bob.hears("alice: psst");
    history_is(&two.chatd, "(time) alice -> bob: psst\n");
    two.alice.says("deliver bob");
    two.alice.is_told("chat: line 3: there is nothing for bob that could not be said");
    two.alice.says("private bob again");
    two.alice.is_told(
        "chat: line 4: not said to bob: bob did not say yes: ask again in a minute; \
         'deliver bob' sends it through the server",
    );
    two.alice.ends(77);
}

#[test]
fn who_is_killed_is_told_of_and_can_be_asked_anew_at_once() {
    let mut two = Two::new();
    two.talk("hello", LOCALHOST);
    two.bob.signal("KILL");
    // He and the server tell it.
    let mut told = [two.alice.hears_something(), two.alice.hears_something()];
    told.sort();
    assert_eq!(told, ["* bob is offline", "* the private conversation with bob is over: the connection was cut off"]);
    // The yes still counts, but nobody is there: said once, and asked anew the next time.
    two.alice.says("private bob are you there?");
    two.alice.is_told_something_with("not said to bob: can't reach bob at 127.0.0.1 port ");
    let mut bob = two._bobs.session(&two.chatd, &[]);
    two.alice.hears("* bob is online");
    two.alice.says("private bob and now?");
    bob.hears(ASKED);
    bob.says("consent alice yes");
    bob.hears("ok");
    two.alice.hears(IS_ASKED);
    hears_the_address(&mut two.alice, "bob", LOCALHOST);
    two.alice.hears(UP_WITH_BOB);
    two.alice.hears("ok");
    bob.hears(UP_WITH_ALICE);
    bob.hears("alice (privately): and now?");
    two.alice.says("deliver bob");
    two.alice.hears("ok 1");
    bob.hears("alice: are you there?");
}

#[test]
fn a_yes_that_is_taken_back_ends_it_at_both_ends_and_lets_nobody_in() {
    let mut two = Two::new();
    two.talk("hello", LOCALHOST);
    two.bob.says("revoke alice");
    two.bob.hears("* the private conversation with alice is over: you have taken back your yes");
    two.bob.hears("ok");
    let mut told = [two.alice.hears_something(), two.alice.hears_something()];
    told.sort();
    assert_eq!(told, ["* bob has taken back the yes", "* the private conversation with bob is over: bob has ended it"]);
    two.alice.says("private bob once more");
    two.bob.hears(ASKED);
}

#[test]
fn to_block_ends_it_too() {
    let mut two = Two::new();
    two.talk("hello", LOCALHOST);
    two.bob.says("block alice");
    two.bob.hears("ok");
    two.bob.hears("* the private conversation with alice is over: you have taken back your yes");
    let mut told = [two.alice.hears_something(), two.alice.hears_something()];
    told.sort();
    assert_eq!(told, ["* bob has taken back the yes", "* the private conversation with bob is over: bob has ended it"]);
    two.alice.says("private bob why?");
    two.alice.is_told("chat: line 2: not said to bob: bob has blocked you; 'deliver bob' sends it through the server");
    two.bob.says("private alice because");
    two.bob.is_told_something_with("line 3: not said to alice: ");
}

#[test]
fn a_conversation_that_is_up_needs_no_second_beginning() {
    let mut two = Two::new();
    two.talk("hello", LOCALHOST);
    // It is there: there is nothing to wait for.
    for who in [0, 1] {
        let (one, other) = if who == 0 { (&mut two.alice, "bob") } else { (&mut two.bob, "alice") };
        one.says(&format!("private {other}"));
        one.hears("ok");
    }
    two.bob.says("private alice still");
    two.bob.hears("ok");
    two.alice.hears("bob (privately): still");
}

#[test]
fn a_conversation_without_a_text_comes_about_and_is_told() {
    let mut two = Two::new();
    two.alice.says("private bob");
    two.bob.hears(ASKED);
    two.bob.says("consent alice yes");
    two.bob.hears("ok");
    two.alice.hears(IS_ASKED);
    hears_the_address(&mut two.alice, "bob", LOCALHOST);
    two.alice.hears(UP_WITH_BOB);
    two.alice.hears("ok");
    two.bob.hears(UP_WITH_ALICE);
    two.alice.says("wait private-up 60");
    two.alice.says("private bob now");
    two.alice.hears("ok");
    two.bob.hears("alice (privately): now");
}

#[test]
fn nobody_who_cannot_be_asked_is_asked() {
    let two = Two::new();
    let alice = Person::new(&two.chatd, "carol");
    let hint = |user: &str| format!("chat: it was not said: 'message {user} TEXT' would send it through the server\n");
    alice.chat(&["private", "erin", "hi"]).is("", &format!("chat: there is no user erin\n{}", hint("erin")), 67);
    alice.chat(&["private", "dave", "hi"]).is(
        "",
        &format!("chat: dave is offline: ask when they are there\n{}", hint("dave")),
        75,
    );
    alice.chat(&["getaddress", "dave"]).is("", "chat: dave is offline: ask when they are there\n", 75);
    alice.chat(&["getaddress", "erin"]).is("", "chat: there is no user erin\n", 67);
    alice.chat(&["private", "carol", "hi"]).is("", "chat: a private conversation needs somebody else\n", 2);
    history_is(&two.chatd, "");
}

#[test]
fn a_command_says_one_text_and_ends() {
    let mut two = Two::new();
    let carols = Person::new(&two.chatd, "carol");
    let command = carols.command(&["private", "bob", "it is done"]);
    let done = std::thread::spawn(move || crate::support::chat::run(command, b""));
    two.bob.hears(&ASKED.replace("alice", "carol"));
    two.bob.says("consent carol yes");
    two.bob.hears("ok");
    two.bob.hears("* a private conversation with carol has begun");
    two.bob.hears("carol (privately): it is done");
    two.bob.hears("* the private conversation with carol is over: carol has ended it");
    done.join().unwrap().is("", "", 0);
    history_is(&two.chatd, "");
}

#[test]
fn a_command_that_gets_a_no_or_no_answer_says_so() {
    let mut two = Two::new();
    let carols = Person::new(&two.chatd, "carol");
    let run = |words: &[&str]| {
        let command = carols.command(words);
        std::thread::spawn(move || crate::support::chat::run(command, b""))
    };
    let hint = "chat: it was not said: 'message bob TEXT' would send it through the server\n";
    let no = run(&["private", "bob", "please"]);
    two.bob.hears(&ASKED.replace("alice", "carol"));
    // One question at a time.
    let busy = two._alices.chat(&["private", "bob", "me too"]);
    two.bob.says("consent carol no");
    two.bob.hears("ok");
    no.join().unwrap().is("", &format!("chat: no address of bob: the answer is no\n{hint}"), 77);
    assert_eq!((busy.status, &*busy.out), (75, ""), "{busy:?}");
    assert!(busy.error.contains("somebody else is asking bob") && busy.error.ends_with(hint), "{busy:?}");
    let late = run(&["--timeout", "60", "getaddress", "bob"]);
    late.join().unwrap().is("", "chat: bob did not say yes: ask again in a minute\n", 75);
    // Nobody answers: the server's limit is two minutes, the command's own is what counts here.
    let silence = two._alices.chat(&["--timeout", "3", "private", "bob", "hello?"]);
    assert_eq!((silence.status, &*silence.out), (75, ""), "{silence:?}");
    assert!(silence.error.starts_with("chat: bob has not answered in time"), "{silence:?}");
    history_is(&two.chatd, "");
}

#[test]
fn an_address_is_printed_for_scripts() {
    let mut two = Two::new();
    let carols = Person::new(&two.chatd, "carol");
    for (json, has_json) in [(&[][..], false), (&["--json"][..], true)] {
        let command = carols.command(&[json, &["getaddress", "bob"]].concat());
        let asked = std::thread::spawn(move || crate::support::chat::run(command, b""));
        two.bob.hears(&ASKED.replace("alice", "carol"));
        two.bob.says("consent carol yes");
        two.bob.hears("ok");
        let outcome = asked.join().unwrap();
        assert_eq!((outcome.status, &*outcome.error), (0, ""), "{outcome:?}");
        if has_json {
            let value: serde_json::Value = serde_json::from_str(&outcome.out).unwrap();
            assert_eq!((&value["user"], &value["address"]), (&"bob".into(), &"127.0.0.1".into()), "{outcome:?}");
        } else {
            let words: Vec<&str> = outcome.out.split_whitespace().collect();
            assert_eq!(words[..2], ["bob", "127.0.0.1"], "{outcome:?}");
            assert!(words[2].parse::<u16>().is_ok_and(|port| port >= 1024), "{outcome:?}");
            assert!(words[3].starts_with("SHA256:") && words[3].len() == 7 + 95, "{outcome:?}");
        }
    }
}

#[test]
fn the_json_forms_are_those_of_the_manual() {
    let mut two = Two::with(&["--json"]);
    two.alice.says("private bob in \"JSON\" \u{202e}");
    let asks = two.bob.hears_something();
    let value: serde_json::Value = serde_json::from_str(&asks).unwrap();
    let certificate = value["certificate"].as_str().unwrap().to_owned();
    assert_eq!(asks, format!(r#"{{"certificate":"{certificate}","event":"asks","seconds":120,"user":"alice"}}"#));
    two.bob.says("consent alice yes");
    two.bob.hears(&format!(
        r#"{{"address":"127.0.0.1","certificate":"{certificate}","reply":"consented","seconds":600,"user":"alice"}}"#
    ));
    two.alice.hears(r#"{"event":"asked","seconds":120,"user":"bob"}"#);
    let address = two.alice.hears_something();
    assert!(address.starts_with(r#"{"address":"127.0.0.1","certificate":"SHA256:"#), "{address}");
    assert!(address.ends_with(r#","seconds":600,"user":"bob"}"#), "{address}");
    two.alice.hears(r#"{"event":"private-up","user":"bob"}"#);
    two.alice.hears(r#"{"reply":"said","user":"bob"}"#);
    two.bob.hears(r#"{"event":"private-up","user":"alice"}"#);
    two.bob.hears(r#"{"event":"private","from":"alice","text":"in \"JSON\" \u202e"}"#);
    two.bob.says("end private alice");
    two.bob.hears(r#"{"reply":"ended","user":"alice"}"#);
    two.bob.hears(r#"{"event":"private-end","text":"you have ended the conversation","user":"alice"}"#);
    two.alice.hears(r#"{"event":"private-end","text":"bob has ended it","user":"bob"}"#);
    two.bob.says("revoke alice");
    two.bob.hears(r#"{"reply":"revoked","user":"alice"}"#);
    two.alice.hears(r#"{"event":"revoked","user":"bob"}"#);
}

#[test]
fn without_encryption_there_is_none_of_it() {
    let chatd = Chatd::start(&["--memory"]);
    let mut person = Person::new(&chatd, "alice");
    person.certificate.clear();
    for words in [&["private", "bob", "hi"][..], &["getaddress", "bob"], &["consent", "bob", "no"]] {
        let outcome = person.chat(&[&["--insecure-plaintext"], words].concat());
        assert_eq!((outcome.status, &*outcome.out), (2, ""), "{words:?} {outcome:?}");
        assert!(outcome.error.contains("--insecure-plaintext"), "{words:?} {outcome:?}");
    }
}

#[test]
fn two_devices_are_asked_and_the_one_that_answers_talks() {
    let mut two = Two::new();
    let elsewhere = Person::new(&two.chatd, "bob");
    let mut other = elsewhere.session(&two.chatd, &[]);
    // Until it is there, it may not be asked.
    other.says("online");
    other.hears("alice");
    two.alice.says("private bob which of you?");
    two.bob.hears(ASKED);
    other.hears(ASKED);
    other.says("consent alice yes");
    other.hears("ok");
    two.bob.hears("* alice needs no answer any more: another device of yours has answered");
    other.hears(UP_WITH_ALICE);
    other.hears("alice (privately): which of you?");
    two.bob.says("consent alice yes");
    two.bob.is_told("chat: line 1: alice is not asking you, or no longer");
}

#[test]
fn by_ipv6_it_is_the_same() {
    let here = IpAddr::V6(Ipv6Addr::LOCALHOST);
    if let Err(error) = std::net::TcpListener::bind((here, 0)) {
        println!("this machine has no IPv6 ({error}): not tried");
        return;
    }
    let chatd = Chatd::start(&["--memory", "--bind", "::"]);
    let mut two = Two::at(chatd, "::1", &[]);
    two.talk("by six", here);
    two.bob.says("private alice by six too");
    two.bob.hears("ok");
    two.alice.hears("bob (privately): by six too");
}
