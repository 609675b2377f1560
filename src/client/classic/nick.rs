//! A session of the `nick` protocol: a nickname, and a shared room on one connection.
//!
//! What was said is done when it comes back, as it does to everyone; the server says nothing else about it.

use std::collections::VecDeque;
use std::time::Duration;

use super::chunks::{Chunks, QUIET};
use super::{
    Action, Done, End, Event, Happening, Lane, NotSent, Now, Outbox, PENDING_MAX, Patience, Request, Source, Tag,
    no_answer,
};
use crate::client::exit::{Failure, Status};
use crate::client::render;
use crate::wire::UserName;
use crate::wire::nick::READ_BYTES_MAX;
use crate::wire::nick::client::{self as wire, Heard};

/// The pause between two chunks, so that each is read by itself: twice what a server takes for the end of one.
const PACE: Duration = Duration::from_millis(100);
/// So long nothing comes after what somebody has said in the room. Messages may follow each other in 50 ms, with nothing
/// between them.
const ROOM_QUIET: Duration = Duration::from_millis(20);
/// How long what was said may take to come back; then it counts as handed over all the same.
const ECHO_WITHIN: Duration = Duration::from_secs(2);

/// The session.
pub struct Session {
    user: UserName,
    patience: Patience,
    phase: Phase,
    chunks: Chunks,
    outbox: Outbox,
    last_tag: u64,
    /// What waits to be sent; with the last chunk of a text, whose it is.
    waiting: VecDeque<(Vec<u8>, Option<Tag>)>,
    /// When the next chunk may leave.
    next_at: Now,
    /// Texts that have left.
    echoes: VecDeque<Echo>,
}

enum Phase {
    /// Until the server asks for the nickname. `said`: what it has said instead.
    Coming {
        until: Now,
        said: Option<String>,
    },
    /// It has the nickname.
    Named {
        until: Now,
        said: Option<String>,
    },
    In,
    /// Everything is to leave before the end.
    Leaving,
    Over,
}

struct Echo {
    tag: Tag,
    /// The last one of the text.
    chunk: Vec<u8>,
    until: Now,
}

impl Session {
    pub fn new(user: UserName, patience: Patience) -> Session {
        Session {
            user,
            patience,
            phase: Phase::Coming { until: patience.log_in_within, said: None },
            chunks: Chunks::new(QUIET, READ_BYTES_MAX),
            outbox: Outbox::default(),
            last_tag: 0,
            waiting: VecDeque::new(),
            next_at: Now::ZERO,
            echoes: VecDeque::new(),
        }
    }

    fn end(&mut self, end: End) {
        if matches!(self.phase, Phase::Over) {
            return;
        }
        self.phase = Phase::Over;
        self.outbox.act(Action::HangUp);
        self.outbox.tell(Happening::End(end));
    }

    /// Takes what came until it was quiet.
    fn hear(&mut self, chunk: &[u8]) {
        match &mut self.phase {
            Phase::Coming { until, .. } if wire::is_question(chunk) => {
                self.phase = Phase::Named { until: *until, said: None };
                self.chunks = Chunks::new(ROOM_QUIET, READ_BYTES_MAX);
                self.outbox.act(Action::Write(wire::nickname(&self.user)));
            }
            Phase::Coming { said, .. } => *said = Some(String::from_utf8_lossy(chunk).into_owned()),
            Phase::Over => {}
            Phase::Named { said, .. } => {
                let heard = wire::decode(chunk);
                let is_ours = |heard: &Heard| match heard {
                    Heard::Connected => true,
                    Heard::Joined(user) => *user == self.user,
                    _ => false,
                };
                if !heard.iter().any(is_ours) {
                    // Why there is no place for us, if the connection ends.
                    *said = Some(String::from_utf8_lossy(chunk).into_owned());
                    return;
                }
                self.logged_in();
                heard.into_iter().for_each(|heard| self.heard(heard));
            }
            Phase::In | Phase::Leaving => wire::decode(chunk).into_iter().for_each(|heard| self.heard(heard)),
        }
    }

    fn heard(&mut self, heard: Heard) {
        match heard {
            Heard::Connected => {}
            Heard::Joined(user) if user == self.user => {}
            Heard::Joined(user) => self.outbox.event(Event::Online { user }),
            Heard::Left(user) => self.outbox.event(Event::Offline { user }),
            Heard::Free(text) => self.outbox.event(Event::Note { text }),
            Heard::Private { from, text } => self.outbox.event(Event::Message { from, text }),
            Heard::Text { from, text } => {
                let chunk = format!("{from}: {text}");
                self.outbox.event(Event::Broadcast { from, text });
                self.came_back(chunk.as_bytes());
            }
        }
    }

    /// Somebody has said this, perhaps us; then what we said before it has come back too.
    fn came_back(&mut self, chunk: &[u8]) {
        if let Some(place) = self.echoes.iter().position(|echo| echo.chunk == chunk) {
            for Echo { tag, .. } in self.echoes.drain(..=place) {
                self.outbox.answer(tag, Ok(Done::HandedOver));
            }
        }
    }

    fn logged_in(&mut self) {
        let said = match &mut self.phase {
            Phase::Named { said, .. } => said.take(),
            _ => None,
        };
        self.phase = Phase::In;
        self.outbox.tell(Happening::LoggedIn { user: self.user.clone() });
        if let Some(text) = said {
            self.outbox.event(Event::Note { text });
        }
    }

    /// Lets the next chunk leave, if it is time.
    fn send(&mut self, now: Now) {
        if self.next_at > now || !matches!(self.phase, Phase::In | Phase::Leaving) {
            return;
        }
        let Some((chunk, tag)) = self.waiting.pop_front() else {
            if matches!(self.phase, Phase::Leaving) {
                self.end(End::LoggedOut);
            }
            return;
        };
        self.next_at = now + PACE;
        if let Some(tag) = tag {
            self.echoes.push_back(Echo { tag, chunk: chunk.clone(), until: now + ECHO_WITHIN });
        }
        self.outbox.act(Action::Write(chunk));
    }

    /// Why the connection has ended: before the log-in a server may have said it.
    fn why_ended(&self, why: Failure) -> Failure {
        let visible = |said: &str| render::visible_line(said.trim_end());
        match &self.phase {
            Phase::Coming { said: Some(said), .. } => {
                let text = format!("what answers there does not ask for a nickname; it says: {}", visible(said));
                Failure::new(Status::NotUnderstood, text)
            }
            Phase::Named { said: Some(said), .. } => {
                Failure::new(Status::Refused, format!("the server does not let you in: {}", visible(said)))
            }
            Phase::Named { said: None, .. } => {
                let text = format!("the server does not let you in; perhaps the name '{}' is taken", self.user);
                Failure::new(Status::Refused, text)
            }
            _ => why,
        }
    }
}

impl super::Session for Session {
    fn user(&self) -> &UserName {
        &self.user
    }

    fn listens(&self) -> bool {
        false
    }

    fn connected(&mut self, _: Now, _: u16) {}

    fn received(&mut self, now: Now, bytes: &[u8]) {
        for chunk in self.chunks.add(now, bytes) {
            self.hear(&chunk);
        }
    }

    fn disconnected(&mut self, _: Now, why: Failure) {
        if let Some(chunk) = self.chunks.end() {
            self.hear(&chunk);
        }
        let end = match self.phase {
            Phase::Leaving => End::LoggedOut,
            _ => End::Failed(self.why_ended(why)),
        };
        self.end(end);
    }

    fn delivered(&mut self, _: Now, _: Source, _: &[u8]) {}

    fn sent(&mut self, _: Now, _: Lane, _: Result<(), NotSent>) {}

    fn tick(&mut self, now: Now) {
        if let Some(chunk) = self.chunks.due(now) {
            self.hear(&chunk);
        }
        match &self.phase {
            Phase::Coming { until, .. } | Phase::Named { until, .. } if *until <= now => {
                self.end(End::Failed(no_answer(&self.patience)));
            }
            _ => {}
        }
        while self.echoes.front().is_some_and(|echo| echo.until <= now) {
            if let Some(Echo { tag, .. }) = self.echoes.pop_front() {
                self.outbox.answer(tag, Ok(Done::HandedOver));
            }
        }
        self.send(now);
    }

    fn poll_timeout(&self) -> Option<Now> {
        let phase = match &self.phase {
            Phase::Coming { until, .. } | Phase::Named { until, .. } => Some(*until),
            Phase::In if !self.waiting.is_empty() => Some(self.next_at),
            Phase::Leaving => Some(self.next_at),
            Phase::In | Phase::Over => None,
        };
        let echo = self.echoes.front().map(|echo| echo.until);
        [phase, echo, self.chunks.poll_timeout()].into_iter().flatten().min()
    }

    fn ask(&mut self, now: Now, request: Request) -> Tag {
        self.last_tag += 1;
        let tag = Tag(self.last_tag);
        let Request::Broadcast { text } = request else {
            let why = Failure::usage("there is only the room in this protocol");
            self.outbox.answer(tag, Err(why));
            return tag;
        };
        if !matches!(self.phase, Phase::In) || self.waiting.len() + self.echoes.len() >= PENDING_MAX {
            let why = Failure::new(Status::TryAgain, "too much waits to be sent");
            self.outbox.answer(tag, Err(why));
            return tag;
        }
        let mut chunks = wire::encode(&self.user, &text).into_iter().peekable();
        if chunks.peek().is_none() {
            // Newlines only.
            self.outbox.answer(tag, Ok(Done::HandedOver));
        }
        while let Some(chunk) = chunks.next() {
            let is_last = chunks.peek().is_none();
            self.waiting.push_back((chunk, is_last.then_some(tag)));
        }
        self.send(now);
        tag
    }

    fn log_out(&mut self, now: Now) {
        match self.phase {
            Phase::Coming { .. } | Phase::Named { .. } => self.end(End::LoggedOut),
            Phase::In => {
                self.phase = Phase::Leaving;
                self.send(now);
            }
            Phase::Leaving | Phase::Over => {}
        }
    }

    fn unsent(&self) -> usize {
        self.waiting.iter().filter(|(_, tag)| tag.is_some()).count()
    }

    fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }
}

#[cfg(test)]
mod tests;
