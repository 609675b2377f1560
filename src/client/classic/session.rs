//! A session of the `session` protocol: a log-on by datagrams, then one ciphered connection, and chats of two on it.
//!
//! What always holds: a message of ours is a write of its own, apart from the one before it; requests are done one after the
//! other; and what the server waits to hear of a chat's beginning and end is said at once.

mod log_on;

use std::collections::VecDeque;
use std::time::Duration;

use self::log_on::{LogOn, Step, Way};
use super::chunks::Chunks;
use super::{
    Action, Chat, Done, End, Entry, Event, Happening, Now, Outbox, PENDING_MAX, Patience, Request, Tag, no_answer,
};
use crate::client::exit::{Failure, Status};
use crate::client::render;
use crate::wire::named::Named;
use crate::wire::session::glued::{self, Beginnings};
use crate::wire::session::messages::{FromClient, FromServer};
use crate::wire::session::{LocalTime, READ_BYTES_MAX, SessionKey, texts};
use crate::wire::{Password, Text, UserName};

/// The pause between two messages, so that each is read by itself: twice what a server takes for the end of one.
const PACE: Duration = Duration::from_millis(100);
/// So long nothing comes after a message. Another one may follow it in 50 ms.
const MESSAGE_QUIET: Duration = Duration::from_millis(20);
/// So long nothing more comes after the last message of a history.
const HISTORY_QUIET: Duration = Duration::from_secs(1);
/// A server may say where the session is before it listens there: so long it is dialled again,
const LISTENS_WITHIN: Duration = Duration::from_secs(2);
/// after this pause.
const DIAL_PAUSE: Duration = Duration::from_millis(100);
/// So many letters the names have that the first servers of this protocol let in.
const NAME_LETTERS: usize = 7;

/// Who logs on.
pub struct Login {
    pub user: UserName,
    pub secret: Password,
}

/// The session.
pub struct Session {
    login: Login,
    patience: Patience,
    phase: Phase,
    outbox: Outbox,
    last_tag: u64,
    chat: Option<Chat>,
    /// Requests that have not begun.
    waiting: VecDeque<(Tag, Request)>,
    /// The one that has.
    doing: Option<Doing>,
    /// What it has to say, in order.
    to_say: VecDeque<Said>,
    /// What the server waits for; it comes first.
    checks: VecDeque<FromClient>,
    /// When the next message may leave.
    next_at: Now,
}

enum Phase {
    /// The socket is not there yet.
    Opening,
    LoggingOn {
        log_on: LogOn,
        until: Now,
    },
    Dialling {
        way: Way,
        /// When it is dialled again; `None`: it is being dialled.
        again_at: Option<Now>,
        give_up_at: Now,
        until: Now,
    },
    /// Until the server says that we are.
    Connecting {
        line: Line,
        until: Now,
    },
    In(Line),
    /// Everything is to leave before the end.
    Leaving {
        line: Line,
        has_logged_off: bool,
    },
    Over,
}

/// The connection.
struct Line {
    key: SessionKey,
    chunks: Chunks,
}

/// A request in progress.
struct Doing {
    tag: Tag,
    stage: Stage,
}

enum Stage {
    /// The chat is to begin, perhaps for one text only.
    Calling {
        user: UserName,
        text: Option<Text>,
        until: Now,
    },
    /// Everything is to leave.
    Saying(Done),
    History(History),
}

struct History {
    with: UserName,
    count: usize,
    entries: Vec<Entry>,
    /// What the server has said instead, or besides.
    said: Option<String>,
    until: Now,
}

/// A message that waits to leave.
enum Said {
    Text(String),
    Command(FromClient),
}

impl Session {
    pub fn new(login: Login, patience: Patience) -> Session {
        Session {
            login,
            patience,
            phase: Phase::Opening,
            outbox: Outbox::default(),
            last_tag: 0,
            chat: None,
            waiting: VecDeque::new(),
            doing: None,
            to_say: VecDeque::new(),
            checks: VecDeque::new(),
            next_at: Now::ZERO,
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

    fn logged_on(&mut self, now: Now, way: Way, until: Now) {
        self.outbox.act(Action::Dial(way.port.get()));
        self.phase = Phase::Dialling { way, again_at: None, give_up_at: now + LISTENS_WITHIN, until };
    }

    /// Takes what came until it was quiet: one message, or several that were late.
    fn hear(&mut self, now: Now, read: &[u8]) {
        let (Phase::Connecting { line, .. } | Phase::In(line) | Phase::Leaving { line, .. }) = &self.phase else {
            return;
        };
        let key = line.key.clone();
        let beginnings = Beginnings::of(self.chat.as_ref().map(|chat| &chat.peer), &key);
        for message in beginnings.separate(read) {
            match key.decipher(message) {
                Ok(plain) => self.hear_message(now, &plain),
                Err(_) => {
                    let text = "something came that can't be deciphered";
                    self.outbox.tell(Happening::Warning(text.to_owned()));
                }
            }
        }
    }

    fn hear_message(&mut self, now: Now, plain: &str) {
        match FromServer::parse(plain) {
            FromServer::Connected => self.logged_in(),
            FromServer::ChatStarted { id, peer } => self.chat_has_started(Chat { id, peer }),
            FromServer::Unreachable(other) => self.is_unreachable(&other),
            FromServer::EndNotif(id) => self.chat_has_ended(id),
            FromServer::Text(text) => self.hear_text(now, text),
        }
    }

    fn logged_in(&mut self) {
        if !matches!(self.phase, Phase::Connecting { .. }) {
            return;
        }
        if let Phase::Connecting { line, .. } = std::mem::replace(&mut self.phase, Phase::Over) {
            self.phase = Phase::In(line);
            self.outbox.tell(Happening::LoggedIn { user: self.login.user.clone() });
        }
    }

    fn chat_has_started(&mut self, chat: Chat) {
        self.checks.push_back(FromClient::ChatCheck { id: chat.id, peer: chat.peer.clone() });
        self.chat = Some(chat.clone());
        match self.doing.take() {
            Some(Doing { tag, stage: Stage::Calling { user, text: None, .. } }) if user == chat.peer => {
                self.outbox.answer(tag, Ok(Done::ChatStarted(chat)));
            }
            Some(Doing { tag, stage: Stage::Calling { user, text: Some(text), .. } }) if user == chat.peer => {
                self.say(tag, &text);
                self.hang_up();
            }
            other => {
                self.doing = other;
                self.outbox.event(Event::ChatStarted(chat));
            }
        }
    }

    fn is_unreachable(&mut self, other: &Named) {
        match self.doing.take() {
            Some(Doing { tag, stage: Stage::Calling { user, .. } }) if other.user() == Some(&user) => {
                let why = format!("{user} can't be reached now: not online, in another chat, or not for you");
                self.outbox.answer(tag, Err(Failure::new(Status::TryAgain, why)));
            }
            // Both have called, and the other one was faster.
            other => self.doing = other,
        }
    }

    /// The other side has ended the chat.
    fn chat_has_ended(&mut self, id: LocalTime) {
        let Some(chat) = self.chat.take_if(|chat| chat.id == id) else { return };
        self.checks.push_back(FromClient::EndCheck(id));
        let was_unsaid = self.to_say.iter().any(|said| matches!(said, Said::Text(_)));
        self.to_say.retain(|said| matches!(said, Said::Command(FromClient::HistoryRequest(_))));
        if was_unsaid && let Some(Doing { tag, .. }) = self.doing.take() {
            let why = format!("{} has ended the chat before everything was said", chat.peer);
            self.outbox.answer(tag, Err(Failure::new(Status::TryAgain, why)));
        }
        self.outbox.event(Event::ChatEnded(chat));
    }

    fn hear_text(&mut self, now: Now, plain: String) {
        if let (Some(Doing { stage: Stage::History(history), .. }), Some(lines)) =
            (&mut self.doing, texts::parse_history(&plain))
        {
            return history.add(now, lines, &self.login.user);
        }
        if let Some((from, text)) = texts::parse_relayed(&plain) {
            return self.outbox.event(Event::Message { from, text });
        }
        match &mut self.doing {
            Some(Doing { stage: Stage::History(history), .. }) if history.said.is_none() => {
                history.said = Some(plain);
                history.until = now + HISTORY_QUIET;
            }
            _ => self.outbox.event(Event::Note { text: plain }),
        }
    }

    /// Begins with requests until one takes time.
    fn go_on(&mut self, now: Now) {
        while self.doing.is_none() && matches!(self.phase, Phase::In(_) | Phase::Leaving { .. }) {
            let Some((tag, request)) = self.waiting.pop_front() else { return };
            if let Err(why) = self.begin(now, tag, request) {
                self.outbox.answer(tag, Err(why));
            }
        }
    }

    fn begin(&mut self, now: Now, tag: Tag, request: Request) -> Result<(), Failure> {
        let peer = super::Session::chats_with(self);
        match request {
            Request::Message { to, text } if peer == Some(&to) => self.say(tag, &text),
            Request::Message { to, text } => self.call(now, tag, to, Some(text))?,
            Request::Chat { user } if peer == Some(&user) => {
                return Err(Failure::usage(format_args!("you are in a chat with {user}")));
            }
            Request::Chat { user } => self.call(now, tag, user, None)?,
            Request::Say { .. } if peer.is_none() => return Err(no_chat()),
            Request::Say { text } => self.say(tag, &text),
            Request::EndChat => {
                let chat = self.hang_up().ok_or_else(no_chat)?;
                self.doing = Some(Doing { tag, stage: Stage::Saying(Done::ChatEnded(chat)) });
            }
            Request::History { user, count } => self.ask_for_history(now, tag, user, count)?,
            _ => return Err(Failure::usage("there are only chats of two in this protocol")),
        }
        Ok(())
    }

    fn call(&mut self, now: Now, tag: Tag, user: UserName, text: Option<Text>) -> Result<(), Failure> {
        if user == self.login.user {
            return Err(Failure::usage("a chat needs somebody else"));
        }
        if let Some(Chat { peer, .. }) = &self.chat {
            let why = format!("you are in a chat with {peer}: 'end chat' first");
            return Err(Failure::new(Status::TryAgain, why));
        }
        self.to_say.push_back(Said::Command(FromClient::ChatRequest(Named::User(user.clone()))));
        let until = now.saturating_add(self.patience.within);
        self.doing = Some(Doing { tag, stage: Stage::Calling { user, text, until } });
        Ok(())
    }

    fn say(&mut self, tag: Tag, text: &Text) {
        self.to_say.extend(texts::said(&self.login.user, text).into_iter().map(Said::Text));
        self.doing = Some(Doing { tag, stage: Stage::Saying(Done::HandedOver) });
    }

    /// Ends the chat, which is over as soon as that has left.
    fn hang_up(&mut self) -> Option<Chat> {
        let chat = self.chat.clone()?;
        self.to_say.push_back(Said::Command(FromClient::EndRequest(Some(chat.id))));
        Some(chat)
    }

    fn ask_for_history(&mut self, now: Now, tag: Tag, with: UserName, count: usize) -> Result<(), Failure> {
        if with == self.login.user {
            return Err(Failure::usage("a history is one with somebody else"));
        }
        self.to_say.push_back(Said::Command(FromClient::HistoryRequest(Named::User(with.clone()))));
        let until = now.saturating_add(self.patience.within);
        let history = History { with, count, entries: Vec::new(), said: None, until };
        self.doing = Some(Doing { tag, stage: Stage::History(history) });
        Ok(())
    }

    /// What is done as soon as everything has left.
    fn settle(&mut self) {
        if !self.to_say.is_empty() {
            return;
        }
        match self.doing.take() {
            Some(Doing { tag, stage: Stage::Saying(done) }) => self.outbox.answer(tag, Ok(done)),
            other => self.doing = other,
        }
    }

    /// Lets the next message leave, if it is time.
    fn send(&mut self, now: Now) {
        self.settle();
        self.go_on(now);
        let (line, mut log_off) = match &mut self.phase {
            Phase::In(line) => (line, None),
            Phase::Leaving { line, has_logged_off } => (line, Some(has_logged_off)),
            _ => return,
        };
        if self.next_at > now {
            return;
        }
        let next = self.checks.pop_front().map(Said::Command).or_else(|| self.to_say.pop_front());
        let plain = match (next, &mut log_off) {
            (Some(Said::Text(text)), _) => text,
            (Some(Said::Command(command)), _) => {
                if let FromClient::EndRequest(Some(id)) = command {
                    self.chat.take_if(|chat| chat.id == id);
                }
                command.write()
            }
            (None, Some(has_logged_off)) if !**has_logged_off && self.doing.is_none() => {
                **has_logged_off = true;
                FromClient::LogOff.write()
            }
            (None, _) => return,
        };
        self.outbox.act(Action::Write(ciphered(&plain, &line.key)));
        self.next_at = now + PACE;
        self.settle();
    }

    /// Whether something waits to leave.
    fn has_to_say(&self) -> bool {
        let log_off = matches!(self.phase, Phase::Leaving { has_logged_off: false, .. }) && self.doing.is_none();
        log_off || !self.checks.is_empty() || !self.to_say.is_empty()
    }

    /// Gives up what has taken too long.
    fn give_up(&mut self, now: Now) {
        match self.doing.take() {
            Some(Doing { tag, stage: Stage::Calling { until, .. } }) if until <= now => {
                let why = Failure::new(Status::NoServer, "no answer from the server in time: it may be done or not");
                self.outbox.answer(tag, Err(why));
            }
            Some(Doing { tag, stage: Stage::History(history) }) if history.until <= now => {
                let (answer, note) = history.answer();
                self.outbox.answer(tag, answer);
                if let Some(text) = note {
                    self.outbox.event(Event::Note { text });
                }
            }
            other => self.doing = other,
        }
    }

    /// Does what is due of the way in.
    fn come_in(&mut self, now: Now) {
        let (Phase::LoggingOn { until, .. } | Phase::Dialling { until, .. } | Phase::Connecting { until, .. }) =
            self.phase
        else {
            return;
        };
        if until <= now {
            return self.end(End::Failed(self.why_not_in()));
        }
        if let Phase::LoggingOn { log_on, .. } = &mut self.phase
            && log_on.is_due(now)
        {
            self.outbox.act(Action::Datagram(log_on.question(&self.login)));
        }
        if let Phase::Dialling { way, again_at, .. } = &mut self.phase
            && again_at.take_if(|at| *at <= now).is_some()
        {
            self.outbox.act(Action::Dial(way.port.get()));
        }
    }

    /// The log-on takes too long.
    fn why_not_in(&self) -> Failure {
        match &self.phase {
            Phase::LoggingOn { log_on, .. } => log_on.said().map_or_else(|| no_answer(&self.patience), not_understood),
            _ => no_answer(&self.patience),
        }
    }

    fn chunks(&mut self) -> Option<&mut Chunks> {
        match &mut self.phase {
            Phase::Connecting { line, .. } | Phase::In(line) | Phase::Leaving { line, .. } => Some(&mut line.chunks),
            _ => None,
        }
    }
}

impl History {
    fn add(&mut self, now: Now, lines: Vec<texts::Line>, user: &UserName) {
        self.until = now + HISTORY_QUIET;
        self.entries.extend(lines.into_iter().map(|texts::Line { id, from, text }| {
            let to = if from == *user { self.with.clone() } else { user.clone() };
            Entry { chat: id, from, to, text: text.as_str().to_owned() }
        }));
    }

    /// The last messages; and what the server has said besides.
    fn answer(mut self) -> (Result<Done, Failure>, Option<String>) {
        match self.said {
            Some(said) if self.entries.is_empty() => (Ok(Done::NoHistory(said)), None),
            None if self.entries.is_empty() => {
                (Err(Failure::new(Status::NoServer, "no answer from the server in time")), None)
            }
            said => {
                let older = self.entries.len().saturating_sub(self.count);
                (Ok(Done::History(self.entries.split_off(older))), said)
            }
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
        let log_on = LogOn::begin(now);
        self.outbox.act(Action::Datagram(log_on.question(&self.login)));
        self.phase = Phase::LoggingOn { log_on, until: now.saturating_add(self.patience.log_in_within) };
    }

    fn heard(&mut self, now: Now, datagram: &[u8]) {
        let Phase::LoggingOn { log_on, until } = &mut self.phase else { return };
        let until = *until;
        match log_on.hear(now, &self.login, datagram) {
            Step::Nothing => {}
            Step::Say(bytes) => self.outbox.act(Action::Datagram(bytes)),
            Step::NotOnList => {
                let why = format!("the server does not know '{}', or not with this protocol", self.login.user);
                self.end(End::Failed(Failure::new(Status::Refused, why)));
            }
            Step::Failure => self.end(End::WrongPassword(wrong_secret(&self.login.user))),
            Step::In(way) => self.logged_on(now, way, until),
        }
    }

    fn unheard(&mut self, _: Now, why: Failure) {
        if matches!(self.phase, Phase::LoggingOn { .. }) {
            self.end(End::Failed(why));
        }
    }

    fn connected(&mut self, now: Now, _: u16) {
        let Phase::Dialling { way: Way { challenge, key, .. }, until, .. } = &self.phase else { return };
        self.outbox.act(Action::Write(glued::connect(*challenge, key)));
        self.next_at = now + PACE;
        let line = Line { key: key.clone(), chunks: Chunks::new(MESSAGE_QUIET, READ_BYTES_MAX) };
        self.phase = Phase::Connecting { line, until: *until };
    }

    fn received(&mut self, now: Now, bytes: &[u8]) {
        let whole = self.chunks().map_or_else(Vec::new, |chunks| chunks.add(now, bytes));
        for read in whole {
            self.hear(now, &read);
        }
    }

    fn disconnected(&mut self, now: Now, why: Failure) {
        if let Phase::Dialling { again_at, give_up_at, .. } = &mut self.phase
            && now < *give_up_at
        {
            *again_at = Some(now + DIAL_PAUSE);
            return;
        }
        if let Some(read) = self.chunks().and_then(Chunks::end) {
            self.hear(now, &read);
        }
        let has_logged_off = matches!(self.phase, Phase::Leaving { has_logged_off: true, .. });
        self.end(if has_logged_off { End::LoggedOut } else { End::Failed(why) });
    }

    fn tick(&mut self, now: Now) {
        if let Some(read) = self.chunks().and_then(|chunks| chunks.due(now)) {
            self.hear(now, &read);
        }
        self.come_in(now);
        self.give_up(now);
        self.send(now);
    }

    fn poll_timeout(&self) -> Option<Now> {
        let phase = match &self.phase {
            Phase::LoggingOn { log_on, until } => Some(log_on.poll_timeout().min(*until)),
            Phase::Dialling { again_at, until, .. } => again_at.iter().chain([until]).min().copied(),
            Phase::Connecting { line, until } => line.chunks.poll_timeout().into_iter().chain([*until]).min(),
            Phase::In(line) | Phase::Leaving { line, .. } => line.chunks.poll_timeout(),
            Phase::Opening | Phase::Over => None,
        };
        let doing = self.doing.as_ref().and_then(|doing| match &doing.stage {
            Stage::Calling { until, .. } | Stage::History(History { until, .. }) => Some(*until),
            Stage::Saying(_) => None,
        });
        let next = self.has_to_say().then_some(self.next_at);
        [phase, doing, next].into_iter().flatten().min()
    }

    fn ask(&mut self, now: Now, request: Request) -> Tag {
        self.last_tag += 1;
        let tag = Tag(self.last_tag);
        if !matches!(self.phase, Phase::In(_)) || self.waiting.len() >= PENDING_MAX {
            self.outbox.answer(tag, Err(Failure::new(Status::TryAgain, "too much waits to be sent")));
            return tag;
        }
        self.waiting.push_back((tag, request));
        self.send(now);
        tag
    }

    fn log_out(&mut self, now: Now) {
        self.phase = match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::In(line) => Phase::Leaving { line, has_logged_off: false },
            over @ (Phase::Leaving { .. } | Phase::Over) => over,
            coming => {
                self.phase = coming;
                return self.end(End::LoggedOut);
            }
        };
        self.send(now);
    }

    fn unsent(&self) -> usize {
        let says = |request: &Request| matches!(request, Request::Say { .. } | Request::Message { .. });
        let begun = match &self.doing {
            Some(Doing { stage: Stage::Calling { text: Some(_), .. }, .. }) => true,
            _ => self.to_say.iter().any(|said| matches!(said, Said::Text(_))),
        };
        self.waiting.iter().filter(|(_, request)| says(request)).count() + usize::from(begun)
    }

    fn chats_with(&self) -> Option<&UserName> {
        self.chat.as_ref().map(|chat| &chat.peer)
    }

    fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }
}

fn ciphered(plain: &str, key: &SessionKey) -> Vec<u8> {
    let mut out = Vec::new();
    key.encipher(plain, &mut out);
    out
}

fn no_chat() -> Failure {
    Failure::usage("you are in no chat: 'chat USER' begins one; 'help' lists the commands")
}

fn wrong_secret(user: &UserName) -> Failure {
    let mut why = format!("the server does not let '{user}' in with this password");
    if user.as_str().len() != NAME_LETTERS {
        why += &format!(
            "\nif it is one of this protocol's own servers: they let in only names of {NAME_LETTERS} letters, whatever the password"
        );
    }
    Failure::new(Status::Refused, why)
}

fn not_understood(said: &[u8]) -> Failure {
    let said = render::visible_line(String::from_utf8_lossy(said).trim_end());
    let why = format!("what answers there does not log anybody on by this protocol; it says: {said}");
    Failure::new(Status::NotUnderstood, why)
}

#[cfg(test)]
mod tests;
