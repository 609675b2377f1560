//! What servers of the classic protocols, and strangers where `chat` listens for them, make of its sessions: a script of what
//! comes, of what becomes of what is sent, and of the time that passes.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use chatd::client::classic::{
    Action, Event, Happening, Lane, NotSent, Patience, Request, Session, Source, nick, request,
};
use chatd::client::core::Tag;
use chatd::client::exit::Failure;
use chatd::client::render::visible;
use chatd::wire::{Password, Text, UserName};

use super::script::parts;

const PATIENCE: Patience = Patience {
    log_in_within: Duration::from_secs(10),
    within: Duration::from_secs(10),
    answer_within: Duration::from_secs(130),
};
const HEARTBEAT: Duration = Duration::from_secs(30);
const PORT: u16 = 40000;
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9));

pub fn run(data: &[u8]) {
    let login = request::Login { user: name("Alice"), password: password(), heartbeat: HEARTBEAT };
    Play::new(Box::new(request::Session::new(login, PATIENCE))).goes(data);
    Play::new(Box::new(nick::Session::new(name("Alice"), PATIENCE))).goes(data);
}

fn name(text: &str) -> UserName {
    UserName::parse(text).expect("a name")
}

fn password() -> Password {
    Password::parse("x").expect("a password")
}

fn text() -> Text {
    Text::parse("two\nlines").expect("a text")
}

struct Play {
    session: Box<dyn Session>,
    now: Duration,
    /// What is under way on a connection of its own.
    to_server: bool,
    to_peer: bool,
    /// Asked for, and not answered.
    asked: BTreeSet<Tag>,
    over: bool,
}

impl Play {
    fn new(session: Box<dyn Session>) -> Play {
        Play { session, now: Duration::ZERO, to_server: false, to_peer: false, asked: BTreeSet::new(), over: false }
    }

    fn goes(&mut self, data: &[u8]) {
        self.session.connected(self.now, PORT);
        for part in parts(data) {
            if let Some((&what, rest)) = part.split_first() {
                self.step(what, rest);
                self.look();
            }
        }
        self.session.disconnected(self.now, Failure::usage("it has ended"));
        self.session.log_out(self.now);
        self.look();
    }

    fn step(&mut self, what: u8, rest: &[u8]) {
        match what {
            b'c' => self.session.received(self.now, rest),
            b'd' => self.session.delivered(self.now, Source::Server, rest),
            b'e' => self.session.delivered(self.now, Source::Elsewhere(STRANGER), rest),
            b's' => self.sent(Lane::Server, rest),
            b'p' => self.sent(Lane::Peer, rest),
            b'a' => self.ask(rest),
            b'l' => self.session.log_out(self.now),
            b'x' => self.session.disconnected(self.now, Failure::usage("it has ended")),
            wait => self.pass(Duration::from_millis(u64::from(wait) * u64::from(wait))),
        }
    }

    fn sent(&mut self, lane: Lane, rest: &[u8]) {
        let under_way = match lane {
            Lane::Server => std::mem::take(&mut self.to_server),
            Lane::Peer => std::mem::take(&mut self.to_peer),
        };
        if under_way {
            let result = match rest.first() {
                Some(b'u') => Err(NotSent::Unreachable(Failure::usage("nobody is there"))),
                Some(b'c') => Err(NotSent::CutOff),
                _ => Ok(()),
            };
            self.session.sent(self.now, lane, result);
        }
    }

    fn ask(&mut self, rest: &[u8]) {
        let user = || name("Bob");
        let request = match rest.first() {
            Some(b'm') => Request::Message { to: user(), text: text() },
            Some(b'o') => Request::Online,
            Some(b'b') => Request::Block { user: user() },
            Some(b'u') => Request::Unblock { user: user() },
            Some(b'g') => Request::GetAddress { user: user() },
            Some(b'y') => Request::Consent { user: user(), yes: true },
            Some(b'n') => Request::Consent { user: user(), yes: false },
            Some(b'p') => Request::Private { user: user(), text: text() },
            _ => Request::Broadcast { text: text() },
        };
        if !self.over {
            assert!(self.asked.insert(self.session.ask(self.now, request)), "a tag is used again");
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.session.tick(self.now);
        self.look();
        self.session.tick(self.now);
        assert!(self.session.poll_timeout().is_none_or(|at| at > self.now), "what is due is not done");
    }

    /// Takes what the session wants and tells.
    fn look(&mut self) {
        while let Some(action) = self.session.next_action() {
            match action {
                Action::ToServer(bytes) => {
                    assert!(!std::mem::replace(&mut self.to_server, true), "two requests at once");
                    assert!(!bytes.is_empty() && bytes.len() <= 4096);
                }
                Action::ToPeer(_, bytes) => {
                    assert!(!std::mem::replace(&mut self.to_peer, true), "two texts at once");
                    assert!(!bytes.is_empty() && bytes.len() <= 4096);
                }
                Action::Write(bytes) | Action::Datagram(bytes) => assert!(!bytes.is_empty()),
                Action::Dial(_) | Action::HangUp => {}
            }
        }
        while let Some(happening) = self.session.next_happening() {
            assert!(!self.over, "{happening:?} after the end");
            match happening {
                Happening::Answered { tag, .. } => assert!(self.asked.remove(&tag), "nobody waits for {tag:?}"),
                Happening::End(_) => self.over = true,
                Happening::Event(Event::Message { text, .. } | Event::Broadcast { text, .. }) => {
                    assert!(visible(&text).chars().all(|c| !c.is_control() || c == '\n' || c == '\t'));
                }
                Happening::Event(_) | Happening::LoggedIn { .. } | Happening::Warning(_) => {}
            }
        }
    }
}
