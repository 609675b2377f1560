use proptest::prelude::*;

use super::*;
use crate::client::classic::Session as _;
use crate::wire::Text;

const PATIENCE: Patience = Patience { log_in_within: at(10_000), within: at(10_000), answer_within: at(130_000) };

const fn at(ms: u64) -> Now {
    Duration::from_millis(ms)
}

fn name(text: &str) -> UserName {
    UserName::parse(text).unwrap()
}

fn say(text: &str) -> Request {
    Request::Broadcast { text: Text::parse(text).unwrap() }
}

/// A session, and the test as the server.
struct Play {
    session: Session,
    now: Now,
}

impl Play {
    fn new() -> Play {
        Play { session: Session::new(name("alice"), PATIENCE), now: Now::ZERO }
    }

    fn logged_in() -> Play {
        let mut play = Play::new();
        play.session.connected(play.now, 0);
        play.received("NICK");
        play.received("alice joined the chat!");
        assert_eq!(play.actions(), [write("alice")]);
        assert_eq!(play.happenings(), [Happening::LoggedIn { user: name("alice") }]);
        play.received("Connected to the server!");
        assert_eq!(play.happenings(), []);
        play
    }

    fn pass(&mut self, ms: u64) {
        self.now += at(ms);
        self.session.tick(self.now);
    }

    /// The server says something, and is quiet.
    fn received(&mut self, chunk: &str) {
        self.session.received(self.now, chunk.as_bytes());
        self.pass(50);
    }

    fn actions(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.session.next_action()).collect()
    }

    fn happenings(&mut self) -> Vec<Happening> {
        std::iter::from_fn(|| self.session.next_happening()).collect()
    }

    fn closed(&mut self) -> (Status, String) {
        self.session.disconnected(self.now, Failure::new(Status::NoServer, "closed"));
        match self.happenings().pop() {
            Some(Happening::End(End::Failed(failure))) => (failure.status, failure.text),
            other => panic!("{other:?}"),
        }
    }
}

fn write(bytes: &str) -> Action {
    Action::Write(bytes.as_bytes().to_vec())
}

fn said(from: &str, text: &str) -> Happening {
    Happening::Event(Event::Broadcast { from: name(from), text: text.into() })
}

fn done(tag: Tag) -> Happening {
    Happening::Answered { tag, answer: Ok(Done::HandedOver) }
}

#[test]
fn the_nickname_is_the_answer_to_the_question() {
    let mut play = Play::logged_in();
    assert_eq!(play.session.poll_timeout(), None);
    assert_eq!(play.actions(), []);
}

#[test]
fn greetings_that_have_become_one_are_a_log_in_too() {
    let mut play = Play::new();
    play.received("NICK");
    play.received("alice joined the chat!Connected to the server!");
    assert_eq!(play.happenings(), [Happening::LoggedIn { user: name("alice") }]);
    let mut play = Play::new();
    play.received("NICK");
    play.received("alice joined the chat!\nConnected to the server!\nbob: hi");
    assert_eq!(play.happenings(), [Happening::LoggedIn { user: name("alice") }, said("bob", "hi")]);
}

#[test]
fn a_nickname_that_is_refused_says_why() {
    let mut play = Play::new();
    play.received("NICK");
    play.session.received(play.now, b"alice is taken\x1b[2J\n");
    let why = "the server does not let you in: alice is taken<U+001B>[2J";
    assert_eq!(play.closed(), (Status::Refused, why.into()));
    let mut play = Play::new();
    play.received("NICK");
    let why = "the server does not let you in; perhaps the name 'alice' is taken";
    assert_eq!(play.closed(), (Status::Refused, why.into()));
}

#[test]
fn what_is_no_server_of_this_protocol_is_not_understood() {
    let mut play = Play::new();
    assert_eq!(play.closed(), (Status::NoServer, "closed".into()));
    let mut play = Play::new();
    play.received("220 mail.example.org\r\n");
    let (status, why) = play.closed();
    assert_eq!(status, Status::NotUnderstood);
    assert!(why.ends_with("it says: 220 mail.example.org"), "{why}");
    let mut play = Play::new();
    play.pass(10_000);
    let why = Failure::new(Status::NoServer, "no answer from the server within 10 s");
    assert_eq!(play.happenings(), [Happening::End(End::Failed(why))]);
}

#[test]
fn what_was_said_is_done_when_it_comes_back() {
    let mut play = Play::logged_in();
    let first = play.session.ask(play.now, say("hi"));
    assert_eq!(play.actions(), [write("alice: hi")]);
    play.received("bob: hi");
    assert_eq!(play.happenings(), [said("bob", "hi")]);
    play.received("alice: hi");
    assert_eq!(play.happenings(), [said("alice", "hi"), done(first)]);
    let silent = play.session.ask(play.now, say("hello?"));
    play.pass(1999);
    assert_eq!(play.happenings(), []);
    play.pass(1);
    assert_eq!(play.happenings(), [done(silent)], "no more is promised");
}

#[test]
fn chunks_leave_with_a_pause_between_them() {
    let mut play = Play::logged_in();
    let tag = play.session.ask(play.now, say("a\nb\nc"));
    assert_eq!(play.actions(), [write("alice: a")]);
    play.pass(99);
    assert_eq!(play.actions(), []);
    play.pass(1);
    assert_eq!(play.actions(), [write("alice: b")]);
    assert_eq!(play.session.unsent(), 1);
    play.session.log_out(play.now);
    assert_eq!((play.actions(), play.happenings()), (vec![], vec![]), "everything leaves before the end");
    play.pass(100);
    assert_eq!(play.actions(), [write("alice: c")]);
    play.received("alice: a\nalice: b\nalice: c");
    let said = ["a", "b", "c"].map(|text| said("alice", text));
    assert_eq!(play.happenings(), [&said[..], &[done(tag)]].concat());
    play.pass(50);
    assert_eq!(play.happenings(), [Happening::End(End::LoggedOut)]);
    assert_eq!(play.actions(), [Action::HangUp]);
}

#[test]
fn messages_that_follow_each_other_stay_apart() {
    let mut play = Play::logged_in();
    for text in ["one", "two"] {
        play.session.received(play.now, format!("bob: {text}").as_bytes());
        play.pass(20);
    }
    assert_eq!(play.happenings(), [said("bob", "one"), said("bob", "two")]);
}

#[test]
fn whoever_comes_and_goes_is_told() {
    let mut play = Play::logged_in();
    play.received("bob joined the chat!");
    play.received("bob left the chat!");
    play.received("big bob: hi");
    let bob = || name("bob");
    let events =
        [Event::Online { user: bob() }, Event::Offline { user: bob() }, Event::Note { text: "big bob: hi".into() }];
    assert_eq!(play.happenings(), events.map(Happening::Event));
    assert_eq!(play.closed(), (Status::NoServer, "closed".into()));
}

#[test]
fn nothing_is_told_after_the_end() {
    let mut play = Play::logged_in();
    play.session.ask(play.now, say("hi"));
    assert_eq!(play.closed(), (Status::NoServer, "closed".into()));
    play.pass(3000);
    assert_eq!(play.happenings(), []);
}

#[test]
fn there_is_only_the_room() {
    let mut play = Play::logged_in();
    let tag = play.session.ask(play.now, Request::Online);
    let happenings = play.happenings();
    let [Happening::Answered { tag: answered, answer: Err(why) }] = &happenings[..] else { panic!("{happenings:?}") };
    assert_eq!((*answered, why.status), (tag, Status::Usage));
}

proptest! {
    #[test]
    fn splits_within_the_quiet_time_change_nothing(
        splits in proptest::collection::vec((1usize..10, 0u64..20), 1..20),
    ) {
        let mut play = Play::logged_in();
        let text = "bob: naïve\ncarol joined the chat!";
        let mut rest = text.as_bytes();
        for (length, pause) in splits.iter().cycle() {
            let (piece, more) = rest.split_at(rest.len().min(*length));
            play.session.received(play.now, piece);
            rest = more;
            if rest.is_empty() {
                break;
            }
            play.pass(*pause);
        }
        play.pass(50);
        let carol = Happening::Event(Event::Online { user: name("carol") });
        prop_assert_eq!(play.happenings(), [said("bob", "naïve"), carol]);
    }

    #[test]
    fn nothing_that_a_server_says_panics(chunks in proptest::collection::vec("(NICK|alice|bob|: | joined the chat!|\n|é|Connected to the server!){0,5}", 0..20)) {
        let mut play = Play::new();
        for chunk in chunks {
            play.session.ask(play.now, say("hi"));
            play.session.received(play.now, chunk.as_bytes());
            play.pass(30);
        }
    }
}
