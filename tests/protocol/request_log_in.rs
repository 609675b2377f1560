//! The log-in dialogue of the `request` protocol (protocols.md, section 1), word for word.

use chatd::hub::effect::{Refusal, Reply};
use chatd::wire::recognise::{Openings, Recognition, recognise};
use chatd::wire::request::REQUEST_BYTES_MAX;
use chatd::wire::{Conversation, Dialect, Password, PeerPort, Pieces, Protocol, Request, Step};

use super::samples::*;
use super::unframed::{Client, control, pieces};

const UNKNOWN: &str = "Invalid Username. Please try again.\n";
const WRONG: &str = "Invalid Password. Please try again.\n";
const WELCOME: &str = "Welcome to simple chat server!\n";

/// A log-in as both sides see it.
pub struct Dialogue(Client);

impl Dialogue {
    fn new(prompted: bool) -> Dialogue {
        let first = b"newUser,";
        let openings = Openings { native: true, request: true, nick: true, prompted, tls: true, expected: None };
        assert_eq!(recognise(first, false, &openings), Recognition::This(Protocol::Request));
        Dialogue(Client::new(Protocol::Request, first, prompted))
    }

    /// Begun with a password that the hub has to judge.
    fn begun() -> Dialogue {
        let mut dialogue = Dialogue::new(false);
        dialogue.tries("newUser,alice,secret,40000", "alice", Some("secret"), 40_000);
        dialogue
    }

    fn step(&mut self, chunk: &[u8]) -> Step {
        let mut steps = self.0.say(chunk);
        assert_eq!(steps.len(), 1, "{:?}: {steps:?}", String::from_utf8_lossy(chunk));
        steps.remove(0)
    }

    /// The client says something, and the hub is asked about this.
    fn tries(&mut self, chunk: &str, user: &str, password: Option<&str>, at: u64) {
        let password = password.map(|password| Password::parse(password).expect("a password"));
        let request = Request::LogInByPassword { name: name(user), password, port: port(at) };
        assert_eq!(self.step(chunk.as_bytes()), Step::Request { used: chunk.len(), id: None, request }, "{chunk}");
        assert_eq!(self.0.conversation.listens_at(), PeerPort::parse(at));
    }

    /// The client says something, and is told this without the hub.
    fn hears(&mut self, chunk: &str, reply: &str) {
        assert_eq!(self.step(chunk.as_bytes()), Step::Heard { used: chunk.len(), reply: reply.into() }, "{chunk}");
    }

    /// Nothing comes of what the client says.
    fn is_ignored(&mut self, chunk: &str) {
        assert_eq!(self.step(chunk.as_bytes()), Step::Refused { used: chunk.len(), reply: vec![] }, "{chunk}");
    }

    fn violates(&mut self, chunk: &[u8], reply: &str) {
        assert_eq!(self.step(chunk), Step::Violation { reply: reply.into() }, "{:?}", String::from_utf8_lossy(chunk));
    }

    /// The hub answers, and the client is told this.
    fn answers(&mut self, answer: Result<Reply, Refusal>, text: &str) {
        let mut out = Pieces::default();
        self.0.conversation.encode_answer(None, &answer, &mut out);
        assert_eq!(pieces(&out), [control(text)]);
    }

    fn welcomes(&mut self) {
        self.answers(Ok(Reply::Welcome { user: name("Alice"), waiting: 3 }), WELCOME);
    }
}

#[test]
fn who_is_right_is_told_the_name_as_the_account_spells_it() {
    let mut dialogue = Dialogue::begun();
    assert_eq!(dialogue.0.conversation.dialect(), Dialect::LogIn);
    dialogue.welcomes();
    dialogue.hears("ok", "Authenticated Alice");
    dialogue.is_ignored("ok");
    dialogue.is_ignored("anything");
}

#[test]
fn the_port_follows_the_last_comma() {
    for (chunk, password) in [
        ("newUser,alice,a,b,,c,1024", "a,b,,c"),
        ("newUser,alice, pass word ,1024\n", " pass word "),
        ("newUser,alice,1024,1024\r\n", "1024"),
        ("newUser,alice,ok,1024", "ok"),
        ("newUser,alice,é😀,01024", "é😀"),
    ] {
        Dialogue::new(false).tries(chunk, "alice", Some(password), 1024);
    }
    Dialogue::new(false).tries("newUser,alice,x,65535", "alice", Some("x"), 65_535);
}

#[test]
fn what_can_be_no_password_is_judged_all_the_same() {
    let long = "x".repeat(1025);
    for password in ["", "a\nb", "a\x1bb", &long] {
        Dialogue::new(false).tries(&format!("newUser,alice,{password},40000"), "alice", None, 40_000);
    }
    let mut dialogue = Dialogue::new(false);
    let chunk = b"newUser,alice,\xff,40000";
    let request = Request::LogInByPassword { name: name("alice"), password: None, port: port(40_000) };
    assert_eq!(dialogue.step(chunk), Step::Request { used: chunk.len(), id: None, request });
}

#[test]
fn an_unknown_name_may_be_tried_again_as_often_as_one_likes() {
    let mut dialogue = Dialogue::begun();
    for _ in 0..20 {
        dialogue.answers(Err(Refusal::UnknownName), UNKNOWN);
        dialogue.hears("ok", "prompt");
        dialogue.tries("bob,pass,word", "bob", Some("pass,word"), 40_000);
    }
    dialogue.answers(Err(Refusal::UnknownName), UNKNOWN);
    dialogue.hears("ok", "prompt");
    dialogue.tries("bob,\n", "bob", None, 40_000);
    dialogue.welcomes();
}

#[test]
fn a_name_that_nobody_can_have_is_unknown_without_the_hub() {
    for user in ["", "a b", "é", "note", &"m".repeat(33)] {
        let mut dialogue = Dialogue::new(false);
        dialogue.hears(&format!("newUser,{user},secret,40000"), UNKNOWN);
        dialogue.hears("ok", "prompt");
        dialogue.hears(&format!("{user},secret"), UNKNOWN);
        dialogue.hears("ok", "prompt");
        dialogue.tries("bob,secret\n", "bob", Some("secret"), 40_000);
    }
}

#[test]
fn after_a_wrong_password_only_that_is_asked_for() {
    let mut dialogue = Dialogue::begun();
    dialogue.answers(Err(Refusal::WrongPassword), WRONG);
    dialogue.hears("ok", "prompt_password");
    dialogue.tries(" pass, word \t\n", "alice", Some("pass, word"), 40_000);
    dialogue.answers(Err(Refusal::WrongPassword), WRONG);
    dialogue.hears("ok", "prompt_password");
    dialogue.tries(" ", "alice", None, 40_000);
    dialogue.answers(Err(Refusal::UnknownName), UNKNOWN);
    dialogue.hears("ok", "prompt");
    dialogue.tries("bob,x", "bob", Some("x"), 40_000);
    dialogue.answers(Err(Refusal::WrongPassword), WRONG);
    dialogue.hears("ok", "prompt_password");
    dialogue.tries("ok", "bob", Some("ok"), 40_000);
}

#[test]
fn who_is_locked_out_is_told_to_exit() {
    for (refusal, text) in [
        (Refusal::LockedOutNow, "Invalid password. Your account has been blocked.\nPlease try again after sometime.\n"),
        (
            Refusal::LockedOut,
            "Due to multiple login failures, your account has been blocked.\nPlease try again after sometime.\n",
        ),
    ] {
        let mut dialogue = Dialogue::begun();
        dialogue.answers(Err(refusal), text);
        dialogue.violates(b"ok", "exit");
    }
}

#[test]
fn every_other_refusal_is_a_line_to_read_and_the_end() {
    for (refusal, _, text) in refusals() {
        let has_words = matches!(refusal, Refusal::UnknownName | Refusal::WrongPassword)
            || matches!(refusal, Refusal::LockedOut | Refusal::LockedOutNow);
        if !has_words {
            let mut dialogue = Dialogue::begun();
            dialogue.answers(Err(refusal), &format!("{text}\n"));
            dialogue.violates(b"ok", "exit");
        }
    }
}

#[test]
fn a_port_where_nobody_may_be_called_ends_the_connection() {
    for port in
        ["", "0", "80", "1023", "65536", "70000", "99999999999999999999", "-1", "+2000", " 2000", "0x7d0", "2e3"]
    {
        Dialogue::new(false).violates(format!("newUser,alice,secret,{port}").as_bytes(), "");
    }
}

#[test]
fn what_is_not_expected_ends_the_connection() {
    for opening in ["newUser,", "newUser,alice", "newUser,alice,40000", "newUser,40000", "newUser,alice,secret,40000ok"]
    {
        Dialogue::new(false).violates(opening.as_bytes(), "");
    }
    for opening in ["newUser,ali\0ce,secret,40000", "newUser,alice,sec\0ret,40000", "newUser,alice,secret,40000\0"] {
        Dialogue::new(false).violates(opening.as_bytes(), "");
    }
    let answers = [Ok(Reply::Welcome { user: name("alice"), waiting: 0 }), Err(Refusal::UnknownName)];
    for answer in answers.into_iter().chain([Err(Refusal::WrongPassword), Err(Refusal::LockedOut)]) {
        for chunk in [&b"o"[..], b"OK", b"ok ", b"okok", b"ok\n\n", b"\0", b"\n", b"no", b"newUser,alice,secret,40000"]
        {
            let mut dialogue = Dialogue::begun();
            let mut out = Pieces::default();
            dialogue.0.conversation.encode_answer(None, &answer, &mut out);
            dialogue.violates(chunk, "");
        }
    }
    Dialogue::begun().violates(b"ok", "");
    let mut dialogue = Dialogue::begun();
    dialogue.answers(Err(Refusal::UnknownName), UNKNOWN);
    dialogue.hears("ok\r\n", "prompt");
    dialogue.violates(b"bob", "");
}

#[test]
fn the_end_of_the_stream_ends_a_chunk_too() {
    let mut client = Client::new(Protocol::Request, b"newUser,", false);
    assert!(matches!(&client.say_and_close(b"newUser,alice,secret,40000")[..], [Step::Request { .. }]));
    let mut client = Client::new(Protocol::Request, b"newUser,", false);
    assert_eq!(client.say_and_close(b"newUser,alice,sec"), [Step::Violation { reply: vec![] }]);
}

#[test]
fn a_chunk_without_an_end_is_not_waited_for() {
    let mut client = Client::new(Protocol::Request, b"newUser,", false);
    assert_eq!(client.come(&[b"newUser,".to_vec(), vec![b'x'; REQUEST_BYTES_MAX - 9]].concat()), []);
    assert_eq!(client.come(b"x"), [Step::Violation { reply: vec![] }]);
}

/// The client that was asked for a nickname has shown that, and says so: once, with or after what it says first.
#[test]
fn one_more_ok_of_a_client_that_was_prompted_is_swallowed() {
    let chunk = "newUser,alice,secret,40000";
    let right = |mut dialogue: Dialogue| {
        dialogue.welcomes();
        dialogue.hears("ok", "Authenticated Alice");
    };

    let mut glued = Dialogue::new(true);
    glued.tries(&format!("{chunk}ok"), "alice", Some("secret"), 40_000);
    right(glued);

    let mut behind = Dialogue::new(true);
    behind.tries(chunk, "alice", Some("secret"), 40_000);
    behind.is_ignored("ok");
    right(behind);

    let mut with_the_text = Dialogue::new(true);
    with_the_text.tries(chunk, "alice", Some("secret"), 40_000);
    with_the_text.answers(Err(Refusal::WrongPassword), WRONG);
    with_the_text.hears("okok", "prompt_password");
    with_the_text.tries("ok", "alice", Some("ok"), 40_000);
    right(with_the_text);

    let mut late = Dialogue::new(true);
    late.tries(chunk, "alice", Some("secret"), 40_000);
    late.answers(Err(Refusal::WrongPassword), WRONG);
    late.hears("ok", "prompt_password");
    late.is_ignored("ok");
    late.tries("ok", "alice", Some("ok"), 40_000);
    right(late);

    let mut read_as_one = Dialogue::new(true);
    read_as_one.tries(chunk, "alice", Some("secret"), 40_000);
    right(read_as_one);

    let mut once = Dialogue::new(true);
    once.tries(&format!("{chunk}ok"), "alice", Some("secret"), 40_000);
    once.violates(b"ok", "");
}

#[test]
fn a_farewell_is_a_line_to_read() {
    for (farewell, _, text) in farewells() {
        let mut out = Pieces::default();
        let conversation = Conversation::begin(Protocol::Request, b"newUser,", false).unwrap();
        conversation.encode_farewell(farewell, &mut out);
        assert_eq!(pieces(&out), [control(format!("{text}\n"))]);
    }
}

#[test]
fn nothing_else_is_said_on_the_connection_of_the_log_in() {
    let mut dialogue = Dialogue::begun();
    let mut out = Pieces::default();
    for (event, _) in events() {
        Dialect::LogIn.encode_event(&event, &mut out);
    }
    for (reply, _) in replies() {
        dialogue.0.conversation.encode_answer(None, &Ok(reply), &mut out);
    }
    assert_eq!(pieces(&out), []);
}
