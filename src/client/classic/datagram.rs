//! A session of the `datagram` protocol: no connection at all, and whatever is sent may be lost.
//!
//! What always holds: every message that comes is acknowledged, and again if it comes again; of ours one datagram is on its way
//! at a time, and is sent again until somebody acknowledges it or it is given up.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use super::again::Again;
use super::{Action, Done, End, Event, Happening, Now, Outbox, PENDING_MAX, Patience, Request, Tag, no_answer};
use crate::client::Target;
use crate::client::exit::{Failure, Status};
use crate::client::render::visible_line;
use crate::wire::datagram::notice::{Audience, INCORRECT, LOG_IN_FIRST, LOGGED_OUT, Notice};
use crate::wire::datagram::request::{self as wire, Server};
use crate::wire::named::Named;
use crate::wire::{Password, PasswordDigest, UserName};

/// How often a datagram is sent that nobody acknowledges.
const TRIES_MAX: u32 = 5;
/// Acknowledgements of a datagram that was sent more than once may come twice: so long they count for nothing more.
const ECHO: Duration = Duration::from_secs(1);
/// So long those who get a message to all may acknowledge it.
const ALL_ACKNOWLEDGE_WITHIN: Duration = Duration::from_secs(15);
/// So long nothing more comes after the last name of a list.
const LIST_QUIET: Duration = Duration::from_millis(500);
/// How long a list may take to begin. Where nobody else is online nothing comes.
const LIST_WITHIN: Duration = Duration::from_secs(2);
/// How long somebody who leaves waits for what nobody has acknowledged.
const LEAVE_WITHIN: Duration = Duration::from_secs(4);

/// Who logs in.
pub struct Login {
    pub user: UserName,
    pub password: Password,
    /// As the person says it: it stands in what is sent.
    pub server: Target,
    /// A message is done when its recipient has it, not when the server keeps it.
    pub receipts: bool,
}

/// The session.
pub struct Session {
    login: Login,
    patience: Patience,
    phase: Phase,
    outbox: Outbox,
    last_tag: u64,
    /// Requests that have not begun.
    waiting: VecDeque<(Tag, Request)>,
    /// The one that has.
    doing: Option<Doing>,
    /// Until then acknowledgements may belong to copies of what was acknowledged, and nothing else leaves.
    echoes_until: Now,
    /// Until then they may belong to the last message to all,
    all_acknowledge_until: Now,
    /// and at any time to messages for these users that are done with: the server keeps them, or nobody has said that they came.
    may_acknowledge: BTreeSet<UserName>,
}

enum Phase {
    /// The socket is not there yet.
    Opening,
    LoggingIn {
        again: Again,
        until: Now,
        /// What came that is nothing of this protocol.
        said: Option<Vec<u8>>,
    },
    In,
    /// What was asked for is to be done before the end.
    Leaving {
        until: Now,
    },
    Over,
}

/// A request in progress.
struct Doing {
    tag: Tag,
    stage: Stage,
}

enum Stage {
    Sending(Sending),
    /// The server keeps it; the recipient is to acknowledge so many parts.
    Kept {
        to: UserName,
        parts: usize,
        until: Now,
    },
    Listing {
        users: Vec<UserName>,
        again: Again,
        until: Now,
    },
}

struct Sending {
    /// `None`: to all.
    to: Option<UserName>,
    /// The first is on its way, or the next to leave.
    parts: VecDeque<Vec<u8>>,
    /// `None`: it waits to leave.
    again: Option<Again>,
    /// How many parts the server keeps.
    kept: usize,
    until: Now,
}

impl Session {
    pub fn new(login: Login, patience: Patience) -> Session {
        Session {
            login,
            patience,
            phase: Phase::Opening,
            outbox: Outbox::default(),
            last_tag: 0,
            waiting: VecDeque::new(),
            doing: None,
            echoes_until: Now::ZERO,
            all_acknowledge_until: Now::ZERO,
            may_acknowledge: BTreeSet::new(),
        }
    }

    fn end(&mut self, end: End) {
        if matches!(self.phase, Phase::Over) {
            return;
        }
        self.phase = Phase::Over;
        self.doing = None;
        self.outbox.act(Action::HangUp);
        self.outbox.tell(Happening::End(end));
    }

    /// The server is told; it does not answer.
    fn leave(&mut self) {
        self.say(&wire::Request::LogOut);
        self.end(End::LoggedOut);
    }

    fn datagrams(&self, request: &wire::Request) -> Vec<Vec<u8>> {
        let Target { host, port } = &self.login.server;
        request.write(&Server { host, port: *port })
    }

    fn say(&mut self, request: &wire::Request) {
        for datagram in self.datagrams(request) {
            self.outbox.act(Action::Datagram(datagram));
        }
    }

    fn log_in(&mut self) {
        let password = PasswordDigest::of(&self.login.password);
        self.say(&wire::Request::LogIn { user: Named::User(self.login.user.clone()), password });
    }

    /// Before the log-in has succeeded.
    fn hear_first(&mut self, notice: Notice) {
        match notice {
            Notice::Greeting => {
                self.phase = Phase::In;
                self.outbox.tell(Happening::LoggedIn { user: self.login.user.clone() });
            }
            // It is sent again.
            Notice::Error(text) if text == INCORRECT => {}
            Notice::Error(text) => self.end(End::WrongPassword(refused(&text))),
            _ => {}
        }
    }

    fn hear(&mut self, now: Now, notice: Notice) {
        match notice {
            // The log-in was sent again.
            Notice::Greeting => {}
            Notice::Online(user) => self.outbox.event(Event::Online { user }),
            Notice::Offline(user) => self.outbox.event(Event::Offline { user }),
            Notice::Kept(user) => self.is_kept(now, user),
            Notice::Unheard => self.is_unheard(),
            Notice::Alert(text) if text.starts_with(LOGGED_OUT) => {
                self.end(End::Failed(Failure::new(Status::NoServer, visible_line(&text))));
            }
            Notice::Alert(text) => self.outbox.event(Event::Note { text }),
            Notice::Message { from, to, text } => {
                let words = format!("Message received by {}", self.login.user);
                self.say(&wire::Request::Acknowledgement { sender: from.clone(), text: words });
                self.outbox.event(message(from, to, text));
            }
            Notice::Contact { user, .. } => self.hear_contact(now, user),
            Notice::Acknowledgement(text) => self.acknowledged(now, text),
            Notice::Error(text) if text == INCORRECT => {}
            Notice::Error(text) if text == LOG_IN_FIRST => {
                let why = "the server does not know you any more: it has started anew, or ended the session";
                self.end(End::Failed(Failure::new(Status::NoServer, why)));
            }
            Notice::Error(text) => self.failed(now, &text),
        }
    }

    fn hear_contact(&mut self, now: Now, user: UserName) {
        let Some(Doing { stage: Stage::Listing { users, until, .. }, .. }) = &mut self.doing else { return };
        if !users.contains(&user) {
            users.push(user);
        }
        *until = now + LIST_QUIET;
    }

    /// Somebody has got something of ours.
    fn acknowledged(&mut self, now: Now, words: String) {
        let is_other = self.is_of_another(now, &words);
        match &mut self.doing {
            Some(Doing { stage: Stage::Sending(Sending { again: Some(_), .. }), .. }) if !is_other => {
                self.part_is_done(now, false);
            }
            Some(Doing { stage: Stage::Kept { parts, .. }, .. }) if !is_other => {
                *parts -= 1;
                if *parts == 0
                    && let Some(Doing { tag, stage: Stage::Kept { to, .. } }) = self.doing.take()
                {
                    self.outbox.answer(tag, Ok(Done::Delivered(to)));
                }
            }
            _ if now < self.echoes_until => {}
            _ => self.outbox.event(Event::Acknowledged { text: words }),
        }
    }

    /// Whether it belongs to an earlier message, and not to what is on its way: the words are free, so they are looked at only
    /// where both may be. They end with a name in all spellings that are known.
    fn is_of_another(&self, now: Now, words: &str) -> bool {
        let to = match self.doing.as_ref().map(|doing| &doing.stage) {
            Some(Stage::Sending(Sending { to: Some(to), .. }) | Stage::Kept { to, .. }) => to,
            _ => return false,
        };
        let name = words.rsplit(' ').next().and_then(|name| UserName::parse(name).ok());
        let may = |name: &UserName| now < self.all_acknowledge_until || self.may_acknowledge.contains(name);
        name.is_some_and(|name| name != *to && may(&name))
    }

    fn is_kept(&mut self, now: Now, user: UserName) {
        match &mut self.doing {
            Some(Doing { stage: Stage::Sending(Sending { to: Some(to), again: Some(_), .. }), .. }) if *to == user => {
                self.part_is_done(now, true);
            }
            // A copy was kept too, or it is told again.
            _ => {}
        }
    }

    fn is_unheard(&mut self) {
        match self.doing.take() {
            Some(Doing { tag, stage: Stage::Sending(Sending { to: None, .. }) }) => {
                self.outbox.answer(tag, Ok(Done::ReachedNobody));
            }
            other => self.doing = other,
        }
    }

    /// The datagram that was on its way has come, or is kept.
    fn part_is_done(&mut self, now: Now, is_kept: bool) {
        let Some(Doing { tag, stage: Stage::Sending(mut sending) }) = self.doing.take() else { return };
        if sending.again.take().is_some_and(|again| again.times() > 1) {
            self.echoes_until = now + ECHO;
        }
        sending.parts.pop_front();
        sending.kept += usize::from(is_kept);
        if !sending.parts.is_empty() {
            self.doing = Some(Doing { tag, stage: Stage::Sending(sending) });
            return;
        }
        let done = match sending.to {
            None => {
                self.all_acknowledge_until = now + ALL_ACKNOWLEDGE_WITHIN;
                Done::HandedOver
            }
            Some(to) if sending.kept > 0 && self.login.receipts => {
                let stage = Stage::Kept { to, parts: sending.kept, until: sending.until };
                self.doing = Some(Doing { tag, stage });
                return;
            }
            Some(to) if sending.kept > 0 => {
                self.may_acknowledge.insert(to.clone());
                Done::Kept(to)
            }
            Some(to) => Done::Delivered(to),
        };
        self.outbox.answer(tag, Ok(done));
    }

    /// The server says that something is not done.
    fn failed(&mut self, now: Now, text: &str) {
        match self.doing.take() {
            Some(Doing { tag, stage: Stage::Sending(Sending { again: Some(again), .. }) }) => {
                if again.times() > 1 {
                    self.echoes_until = now + ECHO;
                }
                self.outbox.answer(tag, Err(refused(text)));
            }
            Some(Doing { tag, stage: Stage::Listing { .. } }) => self.outbox.answer(tag, Err(refused(text))),
            other => {
                self.doing = other;
                if now >= self.echoes_until {
                    self.outbox.event(Event::Note { text: text.to_owned() });
                }
            }
        }
    }

    /// Begins with what comes next, where nothing is on its way.
    fn go_on(&mut self, now: Now) {
        if !matches!(self.phase, Phase::In | Phase::Leaving { .. }) {
            return;
        }
        while self.doing.is_none() {
            let Some((tag, request)) = self.waiting.pop_front() else { break };
            match self.begin(now, request) {
                Ok(stage) => self.doing = Some(Doing { tag, stage }),
                Err(why) => self.outbox.answer(tag, Err(why)),
            }
        }
        if let Some(Doing { stage: Stage::Sending(sending), .. }) = &mut self.doing
            && sending.again.is_none()
            && self.echoes_until <= now
            && let Some(part) = sending.parts.front()
        {
            sending.again = Some(Again::begin(now));
            self.outbox.act(Action::Datagram(part.clone()));
        }
        if matches!(self.phase, Phase::Leaving { .. }) && self.doing.is_none() {
            self.leave();
        }
    }

    fn begin(&mut self, now: Now, request: Request) -> Result<Stage, Failure> {
        let from = Named::User(self.login.user.clone());
        let until = now.saturating_add(self.patience.within);
        let sending =
            |to, parts: Vec<_>| Ok(Stage::Sending(Sending { to, parts: parts.into(), again: None, kept: 0, until }));
        match request {
            Request::Message { to, .. } if to == self.login.user => {
                Err(Failure::usage("a message needs somebody else"))
            }
            Request::Message { to, text } => {
                let request = wire::Request::Message { from, to: Named::User(to.clone()), text: Ok(text) };
                sending(Some(to), self.datagrams(&request))
            }
            Request::Broadcast { text } => {
                sending(None, self.datagrams(&wire::Request::Broadcast { from, text: Ok(text) }))
            }
            Request::Online => {
                self.say(&wire::Request::Contacts);
                let until = now + LIST_WITHIN;
                Ok(Stage::Listing { users: Vec::new(), again: Again::begin(now), until })
            }
            _ => Err(Failure::usage("there are only messages and contacts in this protocol")),
        }
    }

    /// Sends again what nobody has answered, and gives up what has taken too long.
    fn tick_doing(&mut self, now: Now) {
        let Some(Doing { tag, stage }) = self.doing.take() else { return };
        let stage = match stage {
            Stage::Sending(mut sending) => {
                let is_due = sending.again.as_mut().is_some_and(|again| again.is_due(now));
                let is_over = sending.again.is_some_and(|again| again.times() > TRIES_MAX);
                if is_over || sending.until <= now {
                    self.may_acknowledge.extend(sending.to.clone());
                    return self.outbox.answer(tag, Err(not_acknowledged(sending.to.as_ref())));
                }
                if let Some(part) = sending.parts.front().filter(|_| is_due) {
                    self.outbox.act(Action::Datagram(part.clone()));
                }
                Stage::Sending(sending)
            }
            Stage::Kept { to, until, .. } if until <= now => {
                self.may_acknowledge.insert(to.clone());
                let why = format!("{to} is not there now, and the server keeps the message: not delivered in time");
                return self.outbox.answer(tag, Err(Failure::new(Status::TryAgain, why)));
            }
            Stage::Listing { users, until, .. } if until <= now => {
                return self.outbox.answer(tag, Ok(Done::Online(users)));
            }
            Stage::Listing { users, mut again, until } => {
                if users.is_empty() && again.is_due(now) {
                    self.say(&wire::Request::Contacts);
                }
                Stage::Listing { users, again, until }
            }
            stage => stage,
        };
        self.doing = Some(Doing { tag, stage });
    }

    /// Whoever leaves has waited long enough.
    fn give_everything_up(&mut self) {
        if let Some(Doing { tag, stage }) = self.doing.take() {
            let to = match stage {
                Stage::Sending(Sending { to, .. }) => to,
                Stage::Kept { to, .. } => Some(to),
                Stage::Listing { .. } => None,
            };
            self.outbox.answer(tag, Err(not_acknowledged(to.as_ref())));
        }
        for (tag, _) in std::mem::take(&mut self.waiting) {
            self.outbox.answer(tag, Err(Failure::new(Status::TryAgain, "not sent: you have left before")));
        }
    }
}

impl super::Session for Session {
    fn user(&self) -> &UserName {
        &self.login.user
    }

    fn uses_datagrams(&self) -> bool {
        true
    }

    fn opened(&mut self, now: Now) {
        let until = now.saturating_add(self.patience.log_in_within);
        self.phase = Phase::LoggingIn { again: Again::begin(now), until, said: None };
        self.log_in();
    }

    fn heard(&mut self, now: Now, datagram: &[u8]) {
        match (&mut self.phase, Notice::parse(datagram)) {
            (Phase::LoggingIn { .. }, Ok(notice)) => self.hear_first(notice),
            (Phase::LoggingIn { said, .. }, Err(_)) => *said = Some(datagram.to_vec()),
            (Phase::In | Phase::Leaving { .. }, Ok(notice)) => self.hear(now, notice),
            (Phase::In | Phase::Leaving { .. }, Err(_)) => {
                let text = "something came that is no message of this protocol";
                self.outbox.tell(Happening::Warning(text.to_owned()));
            }
            (Phase::Opening | Phase::Over, _) => {}
        }
        self.go_on(now);
    }

    fn unheard(&mut self, _: Now, why: Failure) {
        self.end(End::Failed(why));
    }

    fn connected(&mut self, _: Now, _: u16) {}

    fn received(&mut self, _: Now, _: &[u8]) {}

    fn disconnected(&mut self, _: Now, _: Failure) {}

    fn tick(&mut self, now: Now) {
        match &mut self.phase {
            Phase::LoggingIn { until, said, .. } if *until <= now => {
                let why = said.take().map_or_else(|| no_answer(&self.patience), |said| not_understood(&said));
                return self.end(End::Failed(why));
            }
            Phase::Leaving { until } if *until <= now => {
                self.give_everything_up();
                return self.leave();
            }
            _ => {}
        }
        if let Phase::LoggingIn { again, .. } = &mut self.phase
            && again.is_due(now)
        {
            self.log_in();
        }
        self.tick_doing(now);
        self.go_on(now);
    }

    fn poll_timeout(&self) -> Option<Now> {
        let phase = match &self.phase {
            Phase::LoggingIn { again, until, .. } => Some(again.at().min(*until)),
            Phase::Leaving { until } => Some(*until),
            Phase::Opening | Phase::In | Phase::Over => None,
        };
        let doing = self.doing.as_ref().map(|doing| match &doing.stage {
            Stage::Sending(Sending { again, until, .. }) => {
                again.map_or(self.echoes_until, |again| again.at()).min(*until)
            }
            Stage::Listing { users, again, until } if users.is_empty() => again.at().min(*until),
            Stage::Kept { until, .. } | Stage::Listing { until, .. } => *until,
        });
        phase.into_iter().chain(doing).min()
    }

    fn ask(&mut self, now: Now, request: Request) -> Tag {
        self.last_tag += 1;
        let tag = Tag(self.last_tag);
        if !matches!(self.phase, Phase::In) || self.waiting.len() >= PENDING_MAX {
            self.outbox.answer(tag, Err(Failure::new(Status::TryAgain, "too much waits to be sent")));
            return tag;
        }
        self.waiting.push_back((tag, request));
        self.go_on(now);
        tag
    }

    fn log_out(&mut self, now: Now) {
        match self.phase {
            Phase::Opening => self.end(End::LoggedOut),
            Phase::LoggingIn { .. } => self.leave(),
            Phase::In => {
                self.phase = Phase::Leaving { until: now + LEAVE_WITHIN };
                self.go_on(now);
            }
            Phase::Leaving { .. } | Phase::Over => {}
        }
    }

    fn abandon(&mut self) {
        if matches!(self.phase, Phase::LoggingIn { .. } | Phase::In | Phase::Leaving { .. }) {
            self.leave();
        }
    }

    fn unsent(&self) -> usize {
        let waits = |doing: &Doing| matches!(&doing.stage, Stage::Sending(sending) if sending.again.is_none());
        self.waiting.len() + self.doing.iter().filter(|doing| waits(doing)).count()
    }

    fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }
}

/// Where nobody can be called so, it is the server's own word, or another server's user.
fn message(from: Named, to: Audience, text: String) -> Event {
    match (from, to) {
        (Named::User(from), Audience::OneUser) => Event::Message { from, text },
        (Named::User(from), Audience::Everyone) => Event::Broadcast { from, text },
        (Named::Nobody(from), _) => Event::Note { text: format!("{from}: {text}") },
    }
}

fn refused(said: &str) -> Failure {
    Failure::new(Status::Refused, format!("the server says: {}", visible_line(said.trim_end())))
}

fn not_acknowledged(to: Option<&UserName>) -> Failure {
    let by = to.map_or_else(|| "anybody".to_owned(), UserName::to_string);
    Failure::new(Status::TryAgain, format!("not acknowledged by {by}: it may have come or not"))
}

fn not_understood(said: &[u8]) -> Failure {
    let said = visible_line(String::from_utf8_lossy(said).trim_end());
    let why = format!("what answers there does not log anybody in by this protocol; it says: {said}");
    Failure::new(Status::NotUnderstood, why)
}

#[cfg(test)]
mod tests;
