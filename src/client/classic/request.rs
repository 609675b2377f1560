//! A session of the `request` protocol: log-in on one connection, each request on a new one, and everything that the server
//! says on connections that it makes to us.
//!
//! What always holds: requests leave one after the other, in order; and whoever is not the server is not taken for it.

mod lane;
mod meetings;
mod pending;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use self::lane::{Gone, Queue};
use self::meetings::Meetings;
use self::pending::{Pending, Waiting};
use super::chunks::{Chunks, QUIET};
use super::{
    Action, Done, End, Event, Happening, Lane, NotSent, Now, Outbox, PENDING_MAX, Patience, Request, Source, Tag,
    no_answer,
};
use crate::client::exit::{Failure, Status};
use crate::client::{peers, render};
use crate::wire::request::READ_BYTES_MAX;
use crate::wire::request::client::{self as wire, Heard, LogIn, NoAddress, Step};
use crate::wire::{Password, Text, UserName};

/// What is said where a server refuses a log-in without a word.
const NOT_LET_IN: &str = "the server does not let you in, and does not say why";

/// Who logs in.
pub struct Login {
    pub user: UserName,
    pub password: Password,
    /// How often a sign of life is sent.
    pub heartbeat: Duration,
}

/// The session.
pub struct Session {
    login: Login,
    patience: Patience,
    phase: Phase,
    outbox: Outbox,
    last_tag: u64,
    pending: Pending,
    /// To the server.
    requests: Queue<Vec<u8>>,
    /// To peers.
    texts: Queue<PeerText>,
    meetings: Meetings,
    alive_at: Option<Now>,
}

enum Phase {
    Connecting {
        until: Now,
    },
    LoggingIn {
        dialogue: LogIn,
        chunks: Chunks,
        until: Now,
    },
    In,
    /// The log-out is on its way.
    Leaving,
    Over,
}

/// A part of a text to a peer.
struct PeerText {
    to: UserName,
    address: SocketAddr,
    bytes: Vec<u8>,
}

impl Session {
    pub fn new(login: Login, patience: Patience) -> Session {
        Session {
            login,
            patience,
            phase: Phase::Connecting { until: patience.log_in_within },
            outbox: Outbox::default(),
            last_tag: 0,
            pending: Pending::default(),
            requests: Queue::default(),
            texts: Queue::default(),
            meetings: Meetings::default(),
            alive_at: None,
        }
    }

    fn end(&mut self, end: End) {
        if matches!(self.phase, Phase::Over) {
            return;
        }
        self.phase = Phase::Over;
        self.alive_at = None;
        self.outbox.act(Action::HangUp);
        self.outbox.tell(Happening::End(end));
    }

    /// Takes a chunk of the log-in.
    fn dialogue(&mut self, now: Now, chunk: &[u8]) {
        let Phase::LoggingIn { dialogue, .. } = &mut self.phase else { return };
        let refused = |said: String| {
            let lines: Vec<String> = said.lines().map(render::visible_line).collect();
            let why = if lines.is_empty() { NOT_LET_IN.to_owned() } else { lines.join("\n") };
            Failure::new(Status::Refused, why)
        };
        match dialogue.hear(chunk) {
            Step::Reply(bytes) => self.outbox.act(Action::Write(bytes.to_vec())),
            Step::In(name) => self.logged_in(now, name),
            Step::UnknownUser { said } | Step::WrongPassword { said } => self.end(End::WrongPassword(refused(said))),
            Step::LockedOut { said } => self.end(End::Failed(refused(said))),
        }
    }

    fn logged_in(&mut self, now: Now, name: Option<UserName>) {
        // The server's spelling, if it is the same name.
        if let Some(name) = name.filter(|name| *name == self.login.user) {
            self.login.user = name;
        }
        self.phase = Phase::In;
        self.alive_at = now.checked_add(self.login.heartbeat);
        self.outbox.act(Action::HangUp);
        self.outbox.tell(Happening::LoggedIn { user: self.login.user.clone() });
    }

    /// Puts a request behind those that wait. `tag`: whose answer is waited for.
    fn request(&mut self, tag: Option<Tag>, request: &wire::Request) {
        for chunk in wire::encode(&self.login.user, request) {
            self.requests.push(chunk, tag);
        }
    }

    /// Waits for the answer to a request.
    fn ask_server(&mut self, tag: Tag, waiting: Waiting, request: &wire::Request) {
        self.pending.add(tag, waiting);
        self.request(Some(tag), request);
    }

    fn consent(&mut self, tag: Tag, asker: UserName, yes: bool) {
        if !self.meetings.answer(&asker, yes) {
            let why = Failure::new(Status::Refused, format!("{asker} has not asked for your address"));
            return self.outbox.answer(tag, Err(why));
        }
        let done = if yes { Done::Consented(asker.clone()) } else { Done::Declined(asker.clone()) };
        self.ask_server(tag, Waiting::ToLeave(done), &wire::Request::Answer { asker, yes });
    }

    fn say_privately(&mut self, tag: Tag, to: UserName, text: Text) {
        let Some(address) = self.meetings.address(&to) else {
            let waiting = Waiting::Address { user: to.clone(), text: Some(text) };
            return self.ask_server(tag, waiting, &wire::Request::GetAddress { user: to });
        };
        for bytes in wire::encode_private(&self.login.user, &text) {
            self.texts.push(PeerText { to: to.clone(), address, bytes }, Some(tag));
        }
    }

    /// Lets the next ones leave, where nothing is under way.
    fn send(&mut self) {
        if let Some(bytes) = self.requests.next() {
            self.outbox.act(Action::ToServer(bytes.clone()));
        }
        if let Some(PeerText { address, bytes, .. }) = self.texts.next() {
            self.outbox.act(Action::ToPeer(*address, bytes.clone()));
        }
    }

    fn sent_to_server(&mut self, now: Now, result: Result<(), NotSent>) {
        let Some(Gone { tag, is_last, .. }) = self.requests.done() else { return };
        match (result, tag) {
            (Ok(()), Some(tag)) if is_last => {
                let answer = self.pending.sent(now, &self.patience, tag);
                self.settle(answer);
            }
            (Ok(()), _) | (Err(NotSent::CutOff), None) => {}
            (Err(NotSent::CutOff), Some(tag)) => {
                self.requests.drop_all(|_, other| other == Some(tag));
                let why = "the server broke the connection off: it may be done or not";
                if self.pending.forget(tag) {
                    self.outbox.answer(tag, Err(Failure::new(Status::NoServer, why)));
                }
            }
            (Err(NotSent::Unreachable(why)), _) => {
                let is_leaving = matches!(self.phase, Phase::Leaving);
                self.end(if is_leaving { End::LoggedOut } else { End::Failed(why) });
            }
        }
    }

    fn sent_to_peer(&mut self, result: Result<(), NotSent>) {
        let Some(Gone { element: PeerText { to, .. }, tag, is_last }) = self.texts.done() else { return };
        let why = match result {
            Ok(()) if is_last => return self.settle(tag.map(|tag| (tag, Ok(Done::Said(to))))),
            Ok(()) => return,
            Err(NotSent::Unreachable(why)) => why,
            Err(NotSent::CutOff) => Failure::new(Status::NoServer, "the connection broke off: it may be said or not"),
        };
        // The next text asks them anew.
        self.meetings.forget(&to);
        let why = Failure::new(why.status, format!("not said to {to}: {}", why.text));
        let rest = self.texts.drop_all(|text, _| text.to == to);
        for tag in tag.into_iter().chain(rest.into_iter().filter(|other| Some(*other) != tag)) {
            self.outbox.answer(tag, Err(why.clone()));
        }
    }

    /// The log-out, and all before it, has left.
    fn end_when_left(&mut self) {
        if matches!(self.phase, Phase::Leaving) && self.requests.is_empty() && self.texts.is_empty() {
            self.end(End::LoggedOut);
        }
    }

    fn settle(&mut self, answer: Option<(Tag, Result<Done, Failure>)>) {
        if let Some((tag, answer)) = answer {
            self.outbox.answer(tag, answer);
        }
    }

    /// Takes something that the server has said.
    fn hear(&mut self, heard: Heard) {
        if let Some(answered) = self.pending.answer(&heard) {
            match answered {
                (tag, Ok(Done::Address { user, address }), text) => {
                    self.meetings.learn(&user, address);
                    match text {
                        Some(text) => self.say_privately(tag, user, text),
                        None => self.outbox.answer(tag, Ok(Done::Address { user, address })),
                    }
                }
                (tag, answer, _) => self.outbox.answer(tag, answer),
            }
            return;
        }
        let note = |text: &str| Event::Note { text: text.to_owned() };
        self.outbox.event(match heard {
            Heard::Text { from, text } => Event::Message { from, text },
            Heard::CameOnline(user) => Event::Online { user },
            Heard::WentOffline(user) => Event::Offline { user },
            Heard::OfflineMessages => note("what came while you were offline:"),
            Heard::Asks(user) => {
                self.meetings.asked_by(&user);
                Event::Asks { user }
            }
            Heard::Address { user, address } => {
                self.meetings.learn(&user, address);
                Event::Address { user, address }
            }
            Heard::Displaced => return self.end(End::Failed(displaced())),
            Heard::Shutdown => return self.end(End::Failed(Failure::new(Status::NoServer, "the server stops"))),
            // Whoever asked does not wait any more.
            Heard::Online(_) | Heard::Blocked(_) | Heard::Unblocked(_) | Heard::NotBlocked(_) => return,
            Heard::NotDelivered => note("a message was not delivered: its recipient has blocked you"),
            Heard::PartlyDelivered => note("a message was not delivered to some, who have blocked you"),
            Heard::NoSuchUser => note("there is no such user"),
            Heard::NoAddress(why) => note(&format!("no address: {}", render::no_address(reason(why)))),
            Heard::Free(text) if text.is_empty() => return,
            Heard::Free(text) => Event::Note { text },
        });
    }

    /// Takes something that somebody else has sent to where we listen for the server.
    fn hear_peer(&mut self, now: Now, ip: IpAddr, bytes: &[u8]) {
        let heard = wire::decode(bytes);
        let knows = |heard: &Heard| matches!(heard, Heard::Text { from, .. } if self.meetings.may_speak(from, ip));
        if !heard.iter().all(knows) {
            if let Some(untold) = self.meetings.knocked(now) {
                let more = if untold > 0 { format!(" (and {untold} more before)") } else { String::new() };
                let why = "it is nobody to whom you have said yes";
                let text = format!("somebody at {ip} sent something and was not heard: {why}{more}");
                self.outbox.tell(Happening::Warning(text));
            }
            return;
        }
        for heard in heard {
            if let Heard::Text { from, text } = heard {
                self.outbox.event(Event::Private { from, text });
            }
        }
    }
}

impl super::Session for Session {
    fn user(&self) -> &UserName {
        &self.login.user
    }

    fn listens(&self) -> bool {
        true
    }

    fn connected(&mut self, _: Now, port: u16) {
        let Phase::Connecting { until } = self.phase else { return };
        self.phase = Phase::LoggingIn { dialogue: LogIn::default(), chunks: Chunks::new(QUIET, READ_BYTES_MAX), until };
        self.outbox.act(Action::Write(wire::log_in(&self.login.user, &self.login.password, port)));
    }

    fn received(&mut self, now: Now, bytes: &[u8]) {
        let Phase::LoggingIn { chunks, .. } = &mut self.phase else { return };
        for chunk in chunks.add(now, bytes) {
            self.dialogue(now, &chunk);
        }
    }

    fn disconnected(&mut self, now: Now, why: Failure) {
        if let Phase::LoggingIn { chunks, .. } = &mut self.phase
            && let Some(chunk) = chunks.end()
        {
            self.dialogue(now, &chunk);
        }
        match &self.phase {
            Phase::Connecting { .. } => self.end(End::Failed(why)),
            Phase::LoggingIn { dialogue, .. } => {
                let failure = dialogue.said().map_or(why, not_understood);
                self.end(End::Failed(failure));
            }
            Phase::In | Phase::Leaving | Phase::Over => {}
        }
    }

    fn delivered(&mut self, now: Now, from: Source, bytes: &[u8]) {
        match (&self.phase, from) {
            (Phase::Connecting { .. } | Phase::Over, _) => {}
            (_, Source::Server) => wire::decode(bytes).into_iter().for_each(|heard| self.hear(heard)),
            (_, Source::Elsewhere(ip)) => self.hear_peer(now, ip, bytes),
        }
        self.send();
    }

    fn sent(&mut self, now: Now, lane: Lane, result: Result<(), NotSent>) {
        match lane {
            Lane::Server => self.sent_to_server(now, result),
            Lane::Peer => self.sent_to_peer(result),
        }
        self.end_when_left();
        self.send();
    }

    fn tick(&mut self, now: Now) {
        if let Phase::LoggingIn { chunks, .. } = &mut self.phase
            && let Some(chunk) = chunks.due(now)
        {
            self.dialogue(now, &chunk);
        }
        match &self.phase {
            Phase::Connecting { until } | Phase::LoggingIn { until, .. } if *until <= now => {
                self.end(End::Failed(no_answer(&self.patience)));
            }
            _ => {}
        }
        if self.alive_at.is_some_and(|at| at <= now) {
            self.alive_at = now.checked_add(self.login.heartbeat);
            // Where requests leave slowly, one sign of life that waits is enough.
            if !self.requests.has_untagged() {
                self.request(None, &wire::Request::Alive);
            }
        }
        for (tag, answer) in self.pending.overdue(now) {
            self.outbox.answer(tag, answer);
        }
        self.send();
    }

    fn poll_timeout(&self) -> Option<Now> {
        let phase = match &self.phase {
            Phase::Connecting { until } => Some(*until),
            Phase::LoggingIn { chunks, until, .. } => chunks.poll_timeout().into_iter().chain([*until]).min(),
            Phase::In | Phase::Leaving | Phase::Over => None,
        };
        [phase, self.alive_at, self.pending.poll_timeout()].into_iter().flatten().min()
    }

    fn ask(&mut self, _: Now, request: Request) -> Tag {
        self.last_tag += 1;
        let tag = Tag(self.last_tag);
        if !matches!(self.phase, Phase::In) || self.pending.len() + self.texts.len() >= PENDING_MAX {
            let why = Failure::new(Status::TryAgain, "too much is without an answer");
            self.outbox.answer(tag, Err(why));
            return tag;
        }
        match request {
            Request::Message { to, text } => {
                self.ask_server(tag, Waiting::Refusal { to: to.clone() }, &wire::Request::Forward { to, text });
            }
            Request::Broadcast { text } => {
                self.ask_server(tag, Waiting::Partly, &wire::Request::Broadcast { text });
            }
            Request::Online => self.ask_server(tag, Waiting::Online, &wire::Request::Online),
            Request::Block { user } => {
                self.ask_server(tag, Waiting::Blocked(user.clone()), &wire::Request::Block { user });
            }
            Request::Unblock { user } => {
                self.ask_server(tag, Waiting::Unblocked(user.clone()), &wire::Request::Unblock { user });
            }
            Request::GetAddress { user } => {
                let waiting = Waiting::Address { user: user.clone(), text: None };
                self.ask_server(tag, waiting, &wire::Request::GetAddress { user });
            }
            Request::Consent { user, yes } => self.consent(tag, user, yes),
            Request::Private { user, text: _ } if user == self.login.user => {
                let why = Failure::usage("a private conversation needs somebody else");
                self.outbox.answer(tag, Err(why));
            }
            Request::Private { user, text } => self.say_privately(tag, user, text),
            Request::Chat { .. } | Request::Say { .. } | Request::EndChat | Request::History { .. } => {
                self.outbox.answer(tag, Err(Failure::usage("there are neither chats nor a history in this protocol")));
            }
        }
        self.send();
        tag
    }

    fn log_out(&mut self, _: Now) {
        match self.phase {
            Phase::Connecting { .. } => self.end(End::LoggedOut),
            Phase::LoggingIn { .. } => {
                self.outbox.act(Action::HangUp);
                self.requests.push(wire::LOG_OUT_UNKNOWN.to_vec(), None);
                self.phase = Phase::Leaving;
            }
            Phase::In => {
                self.request(None, &wire::Request::LogOut);
                self.phase = Phase::Leaving;
            }
            Phase::Leaving | Phase::Over => return,
        }
        self.alive_at = None;
        self.send();
    }

    fn unsent(&self) -> usize {
        self.requests.unsent() + self.texts.unsent()
    }

    fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }
}

/// The word for why there is no address.
fn reason(why: NoAddress) -> &'static str {
    match why {
        NoAddress::Offline => "offline",
        NoAddress::Blocked => "blocked",
        NoAddress::No => "no",
    }
}

fn no_address(user: &UserName, why: NoAddress) -> Failure {
    match why {
        NoAddress::Blocked => Failure::new(Status::Refused, format!("no address of {user}: they have blocked you")),
        why => peers::no_address(user, reason(why)),
    }
}

fn displaced() -> Failure {
    let why = "displaced: the same user has logged in again with this protocol, and that session goes on";
    Failure::new(Status::NoServer, why)
}

/// The log-in has ended in the middle, behind this.
fn not_understood(said: &str) -> Failure {
    let said = render::visible_line(said);
    let why = format!("what answers there does not log anybody in by this protocol; it says: {said}");
    Failure::new(Status::NotUnderstood, why)
}

#[cfg(test)]
mod tests;
