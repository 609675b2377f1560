use std::time::Duration;

use super::*;
use crate::client::classic::{Action, Lane, NotSent, Outbox, Source};
use crate::wire::UserName;

fn name(text: &str) -> UserName {
    UserName::parse(text).unwrap()
}

fn at(seconds: u64) -> Now {
    Duration::from_secs(seconds)
}

/// A session that only remembers what it was asked for.
struct Asked {
    user: UserName,
    requests: Vec<Request>,
    outbox: Outbox,
}

impl Session for Asked {
    fn user(&self) -> &UserName {
        &self.user
    }

    fn listens(&self) -> bool {
        false
    }

    fn connected(&mut self, _: Now, _: u16) {}

    fn received(&mut self, _: Now, _: &[u8]) {}

    fn disconnected(&mut self, _: Now, _: Failure) {}

    fn delivered(&mut self, _: Now, _: Source, _: &[u8]) {}

    fn sent(&mut self, _: Now, _: Lane, _: Result<(), NotSent>) {}

    fn tick(&mut self, _: Now) {}

    fn poll_timeout(&self) -> Option<Now> {
        None
    }

    fn ask(&mut self, _: Now, request: Request) -> Tag {
        self.requests.push(request);
        Tag(self.requests.len() as u64)
    }

    fn log_out(&mut self, _: Now) {}

    fn unsent(&self) -> usize {
        0
    }

    fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }

    fn next_action(&mut self) -> Option<Action> {
        None
    }
}

struct Play {
    batch: Batch,
    session: Asked,
}

impl Play {
    fn new(protocol: Protocol, json: bool) -> Play {
        let session = Asked { user: name("alice"), requests: Vec::new(), outbox: Outbox::default() };
        Play { batch: Batch::new(protocol, json), session }
    }

    fn line(&mut self, now: u64, line: &str) -> Vec<String> {
        assert!(self.batch.is_ready());
        self.batch.line(&mut self.session, at(now), Ok(line));
        self.lines()
    }

    fn answer(&mut self, answer: Result<Done, Failure>) -> Vec<String> {
        assert!(!self.batch.is_ready());
        self.batch.answered(Tag(self.session.requests.len() as u64), answer);
        assert!(self.batch.is_ready());
        self.lines()
    }

    fn lines(&mut self) -> Vec<String> {
        let lines = self.batch.take_lines().into_iter();
        lines
            .map(|line| match line {
                Line::Data(line) => line,
                Line::Complaint(line) => format!("! {line}"),
            })
            .collect()
    }
}

#[test]
fn commands_are_done_in_order_and_a_failure_is_told_with_its_line() {
    let mut play = Play::new(Protocol::Request, false);
    assert_eq!(play.line(0, "message bob hi, there"), Vec::<String>::new());
    assert_eq!(play.answer(Ok(Done::HandedOver)), ["ok"]);
    play.line(0, "online");
    assert_eq!(play.answer(Ok(Done::Online(vec![name("bob")]))), ["bob"]);
    play.line(0, "block dave");
    let why = Failure::new(Status::NoRecipient, "there is no user 'dave'");
    assert_eq!(play.answer(Err(why)), ["! line 3: there is no user 'dave'"]);
    assert_eq!(play.line(0, "history"), ["! line 4: the protocol 'request' has no word for 'history'"]);
    assert_eq!(
        play.line(0, "private bob")[0],
        "! line 5: 'private' needs a text in this protocol: each text goes by itself"
    );
    assert_eq!(play.line(0, "help").len(), crate::client::command::known_to(Protocol::Request).count());
    assert_eq!(play.batch.script.status(), Status::NoRecipient, "the first one counts");
    assert_eq!(play.session.requests.len(), 3);
    play.line(0, "logout");
    assert!(play.batch.leaving && !play.batch.is_ready());
}

#[test]
fn wait_finds_an_event_once_or_fails() {
    let mut play = Play::new(Protocol::Request, false);
    play.batch.event(&Event::Message { from: name("bob"), text: "hi".into() });
    assert_eq!(play.lines(), ["bob: hi"]);
    play.line(0, "wait bob: hi");
    assert!(play.batch.is_ready());
    play.line(0, "wait message 5");
    assert_eq!(play.batch.poll_timeout(), Some(at(5)));
    play.batch.tick(at(5));
    assert_eq!(play.lines(), ["! line 2: 'message' did not come in time"]);
    play.line(5, "wait asks 5");
    play.batch.event(&Event::Asks { user: name("bob") });
    assert!(play.batch.is_ready());
    assert_eq!(play.batch.script.status(), Status::TryAgain);
}

#[test]
fn everything_has_its_json() {
    let mut play = Play::new(Protocol::Request, true);
    let bob = || name("bob");
    let address = "10.0.0.3:41234".parse().unwrap();
    let said = || "a\u{1b}b".to_owned();
    let events = [
        (Event::Message { from: bob(), text: said() }, r#"{"event":"message","from":"bob","text":"a\u001bb"}"#),
        (
            Event::Broadcast { from: bob(), text: "hi".into() },
            r#"{"event":"broadcast","from":"bob","text":"hi","to":"everyone"}"#,
        ),
        (Event::Private { from: bob(), text: "hi".into() }, r#"{"event":"private","from":"bob","text":"hi"}"#),
        (Event::Online { user: bob() }, r#"{"event":"online","user":"bob"}"#),
        (Event::Offline { user: bob() }, r#"{"event":"offline","user":"bob"}"#),
        (Event::Note { text: "hi".into() }, r#"{"event":"note","from":"server","text":"hi"}"#),
        (Event::Asks { user: bob() }, r#"{"event":"asks","user":"bob"}"#),
        (
            Event::Address { user: bob(), address },
            r#"{"address":"10.0.0.3","event":"address","port":41234,"user":"bob"}"#,
        ),
    ];
    for (event, json) in events {
        play.batch.event(&event);
        assert_eq!(play.lines(), [json]);
    }
    let answers = [
        (Done::HandedOver, r#"{"reply":"handed-over"}"#),
        (Done::PartlyDelivered, r#"{"reach":"partial","reply":"handed-over"}"#),
        (Done::Online(vec![bob()]), r#"{"reply":"online","users":["bob"]}"#),
        (Done::Blocked(bob()), r#"{"reply":"blocked","user":"bob"}"#),
        (Done::Unblocked(bob()), r#"{"reply":"unblocked","user":"bob"}"#),
        (
            Done::Address { user: bob(), address },
            r#"{"address":"10.0.0.3","port":41234,"reply":"address","user":"bob"}"#,
        ),
        (Done::Consented(bob()), r#"{"reply":"consented","user":"bob"}"#),
        (Done::Declined(bob()), r#"{"reply":"declined","user":"bob"}"#),
        (Done::Said(bob()), r#"{"reply":"said","user":"bob"}"#),
    ];
    for (done, json) in answers {
        play.line(0, "online");
        assert_eq!(play.answer(Ok(done)), [json]);
    }
}

#[test]
fn nothing_that_others_wrote_is_printed_raw() {
    let mut play = Play::new(Protocol::Nick, false);
    for event in [
        Event::Broadcast { from: name("bob"), text: "\u{1b}[2J\u{202e}\nbob: fake".into() },
        Event::Note { text: "\u{1b}[2J\u{202e}\nbob: fake".into() },
    ] {
        play.batch.event(&event);
        let lines = play.lines().concat();
        assert!(lines.ends_with(": <U+001B>[2J<U+202E>\n    bob: fake"), "{lines}");
    }
}
