//! A person at a terminal. What comes in is printed above the line being typed, which it never breaks.
//!
//! Two threads: the editor has one, because it blocks; the other does everything else. They share a channel with the
//! typed lines and the names for completion.

pub(super) mod editor;
pub(super) mod screen;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use self::editor::{Keyboard, Names, Purpose, Typed, know};
pub use self::screen::Look;
use self::screen::{Screen, now_ms};
use super::batch;
use super::command::{self, Command, InChat};
use super::connection::{Connection, Heard};
use super::core::{Closing, Done, Happening, Now, Request, Tag};
use super::errand::{Change, Passwords, Progress};
use super::exit::{Failure, Status};
use super::interrupt::Interrupt;
use super::output::Ended;
use super::peers::{PeerNews, Stand};
use super::render;
use crate::wire::Protocol;
use crate::wire::native::client::{Heard as Message, News, Party, ReachTold};
use crate::wire::{Number, UserName};

/// How many confirmations are waited for.
const UNDELIVERED_MAX: usize = 1000;
/// How long a change of the password may take.
const CHANGE_WITHIN: Duration = Duration::from_secs(30);
/// How long a log-out may take.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);

struct Talk<'a> {
    connection: &'a mut Connection,
    screen: Screen,
    user: UserName,
    receipts: bool,
    names: Names,
    /// What waits for its answer, to be confirmed when it comes.
    asked: BTreeMap<Tag, Request>,
    /// Asked for the greeting, not by the person.
    greeting: Option<Tag>,
    /// Whose delivery is to be told.
    undelivered: BTreeSet<Number>,
    /// The first log-in has succeeded.
    was_in: bool,
    lost: bool,
    leaving: Option<(Now, Status)>,
    changing: Option<Change>,
    /// Whether a chat begins or ends: the next prompt waits for that.
    deciding: Option<Tag>,
}

/// Talks until the person or the server ends it.
pub fn run(
    connection: &mut Connection,
    user: &UserName,
    lines: Option<PathBuf>,
    receipts: bool,
    look: Look,
    interrupt: &Interrupt,
) -> Result<Status, Ended> {
    let mut talk = Talk {
        connection,
        screen: Screen::new(look),
        user: user.clone(),
        receipts,
        names: Names::default(),
        asked: BTreeMap::new(),
        greeting: None,
        undelivered: BTreeSet::new(),
        was_in: false,
        lost: false,
        leaving: None,
        changing: None,
        deciding: None,
    };
    talk.connection.dial();
    let mut keyboard = Keyboard::default();
    let result = loop {
        if let Some((until, status)) = talk.leaving
            && until <= talk.connection.now()
        {
            break Ok(talk.give_up(status));
        }
        let until = talk.leaving.map(|(until, _)| until);
        let heard = match talk.connection.turn(until) {
            Ok(heard) => heard,
            Err(error) => break Err(error.into()),
        };
        match talk.hear(heard) {
            Ok(Some(status)) => break Ok(status),
            Ok(None) => {}
            Err(ended) => break Err(ended),
        }
        if let Err(ended) = talk.change() {
            break Err(ended);
        }
        if !keyboard.is_open() && talk.leaving.is_none() && talk.connection.session.is_logged_in() {
            let bell = talk.connection.bell();
            interrupt.leave_to_the_program(bell.clone());
            let (user, names, asks) = (talk.user.clone(), talk.names.clone(), talk.connection.is_encrypted());
            let purpose = Purpose { protocol: Protocol::Native, user, lines: lines.clone(), names, asks };
            match keyboard.open(purpose, bell) {
                Ok(printer) => talk.screen.printer = printer,
                Err(error) => break Err(Failure::new(Status::NoServer, format!("the terminal: {error}")).into()),
            }
        }
        if let Some(status) = interrupt.asked() {
            talk.leave(status);
        }
        while let Some(typed) = keyboard.next() {
            match typed {
                Typed::Line(line) => talk.line(&line),
                Typed::InChat { with, line } => talk.line_in_chat(&with, &line),
                Typed::Passwords(Ok(passwords)) => talk.begin_change(passwords),
                Typed::Passwords(Err(failure)) => talk.complain(&failure.text),
                Typed::End => talk.leave_keyboard(Status::Done),
                Typed::Interrupt => talk.leave_keyboard(Status::Interrupted),
            }
        }
        if !talk.is_deciding() {
            keyboard.chats_with(talk.connection.session.chats_with());
        }
    };
    keyboard.abandon(interrupt, talk.screen.printer.is_some());
    result
}

impl Talk<'_> {
    /// Shows what a turn brought. `Some`: it is over.
    fn hear(&mut self, heard: Vec<Heard>) -> Result<Option<Status>, Ended> {
        let mut lines = Vec::new();
        let mut over = Ok(None);
        for heard in heard {
            over = self.hear_one(heard, &mut lines);
            if !matches!(over, Ok(None)) {
                break;
            }
        }
        self.screen.show(lines);
        over
    }

    fn hear_one(&mut self, heard: Heard, lines: &mut Vec<String>) -> Result<Option<Status>, Ended> {
        let was_in = self.was_in;
        // The session may end because of a change of the password, whose end decides what comes of that.
        let heard = match &mut self.changing {
            Some(change) if self.leaving.is_none() => match change.hold(heard) {
                Some(heard) => heard,
                None => return Ok(None),
            },
            _ => heard,
        };
        match heard {
            Heard::Session(Happening::LoggedIn { user, waiting }) => {
                self.user = user;
                self.was_in = true;
                if std::mem::take(&mut self.lost) {
                    lines.push(self.screen.note("connected again"));
                } else {
                    self.greeting = self.connection.session.ask(Request::Online).ok();
                }
                if waiting > 0 {
                    let messages = if waiting == 1 { "message has" } else { "messages have" };
                    lines.push(self.screen.note(&format!("{waiting} {messages} waited for you")));
                }
            }
            Heard::Session(Happening::Answered { tag, answer }) => {
                let request = self.asked.remove(&tag);
                match (request, answer) {
                    (None, Ok(Done::Online(users))) if self.greeting == Some(tag) => {
                        self.know(&users);
                        let others = users.iter().filter(|&user| *user != self.user).map(UserName::as_str);
                        let others = others.collect::<Vec<_>>().join(", ");
                        let others = if others.is_empty() { "nobody else is".to_owned() } else { others + " too" };
                        lines.push(
                            self.screen
                                .note(&format!("you are online as {}, {others}; 'help' lists the commands", self.user)),
                        );
                    }
                    (Some(request), Ok(done)) => {
                        self.learn(&done);
                        if let (Request::Message { receipt: true, .. }, Done::Accepted { number, .. }) =
                            (&request, &done)
                            && self.undelivered.len() < UNDELIVERED_MAX
                        {
                            self.undelivered.insert(*number);
                        }
                        lines.extend(confirm(&request, &done, &self.user, self.screen.look));
                        if matches!(done, Done::Privacy(_)) {
                            lines.extend(self.standing());
                        }
                    }
                    (Some(_), Err(problem)) => lines.push(self.screen.error(&Failure::problem(&problem).text)),
                    (None, _) => {}
                }
            }
            Heard::Session(Happening::News(news)) => self.news(&news, lines),
            Heard::Session(Happening::End(end)) => match (Failure::end(&end), self.leaving) {
                (None, leaving) => return Ok(Some(leaving.map_or(Status::Done, |(_, status)| status))),
                (Some(_), Some((_, status))) => return Ok(Some(status)),
                (Some(_), None) if !was_in => {
                    return Err(Ended::before_log_in(&end).unwrap_or(Ended::Quietly));
                }
                (Some(failure), None) if failure.may_pass() => {
                    self.come_back(&failure.text, lines);
                }
                (Some(failure), None) => return Err(failure.into()),
            },
            Heard::Session(Happening::Closing { reason, text }) => {
                let failure = Failure::closing(reason, &text);
                if let Some((_, status)) = self.leaving {
                    return Ok(Some(status));
                }
                if reason != Closing::Lost || !was_in {
                    return Err(failure.into());
                }
                self.come_back(&failure.text, lines);
            }
            Heard::Lost(why) => {
                if let Some((_, status)) = self.leaving {
                    return Ok(Some(status));
                }
                if !was_in || why.status == Status::Refused {
                    return Err(why.into());
                }
                self.come_back(&why.text, lines);
            }
            Heard::Private(news) => self.private(&news, lines),
            Heard::Note(note) if self.screen.printer.is_some() => lines.push(self.screen.error(&note)),
            Heard::Note(note) => super::warn(&note),
            Heard::Woken => {}
        }
        Ok(None)
    }

    fn come_back(&mut self, why: &str, lines: &mut Vec<String>) {
        if !std::mem::replace(&mut self.lost, true) {
            lines.push(self.screen.error(&format!("{why}; trying to come back")));
        }
        self.connection.dial_later();
    }

    fn begin_change(&mut self, passwords: Passwords) {
        if self.changing.is_some() {
            return self.complain("the password is being changed already");
        }
        let change = self.connection.change_password(self.user.clone(), passwords, CHANGE_WITHIN);
        match change {
            Some(change) => self.changing = Some(change),
            None => self.complain(command::NEEDS_TLS),
        }
    }

    /// Takes what a change of the password tells.
    fn change(&mut self) -> Result<(), Ended> {
        let mut lines = Vec::new();
        while let Some(progress) = self.changing.as_ref().and_then(Change::next) {
            match progress {
                Progress::Note(note) => lines.push(self.screen.error(&note)),
                Progress::Over(result) => {
                    let Some(change) = self.changing.take() else { break };
                    match (result, change.held) {
                        (Ok(()), _) if self.leaving.is_some() => {}
                        (Ok(()), _) => {
                            let tick = self.screen.look.tick();
                            lines.push(format!("{tick} your password is changed"));
                            self.lost = true;
                            self.connection.password_changed(&change.new);
                        }
                        (Err(why), None) => lines.push(self.screen.error(&why.text)),
                        (Err(why), Some(held)) => {
                            lines.push(self.screen.error(&why.text));
                            if held.status != Status::NoServer {
                                self.screen.show(lines);
                                return Err(held.into());
                            }
                            self.come_back(&held.text, &mut lines);
                        }
                    }
                }
            }
        }
        self.screen.show(lines);
        Ok(())
    }

    fn news(&mut self, news: &News, lines: &mut Vec<String>) {
        let Some(line) = render::event_line(news) else { return };
        match news {
            News::Online { user } | News::Offline { user } => {
                self.know(std::slice::from_ref(user));
                lines.push(self.screen.stamp(now_ms(), &self.screen.dim(&line)));
            }
            News::Message(Message { time, from, to, text, .. }) => {
                let line = match from {
                    Party::User(user) => {
                        self.know(std::slice::from_ref(user));
                        let to = if *to == Party::Everyone { " (to everyone)" } else { "" };
                        format!("{}{to}: {}", self.screen.bold(user.as_str()), render::visible(text))
                    }
                    _ => line,
                };
                self.screen.rings |= *to != Party::Everyone;
                lines.push(self.screen.stamp(*time, &line));
            }
            News::Asks { user, .. } => {
                self.know(std::slice::from_ref(user));
                self.screen.rings = true;
                lines.push(self.screen.stamp(now_ms(), &self.screen.bold(&line)));
            }
            News::Delivered { number, to } => {
                if self.undelivered.remove(number) {
                    lines.push(self.screen.dim(&format!("{to} has it")));
                }
            }
            _ => lines.push(self.screen.stamp(now_ms(), &line)),
        }
    }

    /// A line was typed.
    fn line(&mut self, line: &str) {
        // A broadcast has no receipts, and that is no fault of the person's.
        let receipts = self.receipts && line.trim_start().starts_with("message");
        match command::parse_line(line, Protocol::Native, receipts) {
            Ok(None) => {}
            Ok(Some(Command::GetAddress { user })) => match self.connection.ask_address(user.clone()) {
                Ok(tag) => self.await_answer(tag, Request::Privacy),
                Err(why) => self.complain(&why.text),
            },
            Ok(Some(Command::Consent { user, yes })) => match self.connection.consent(user, yes) {
                Ok(tag) => self.await_answer(tag, Request::Privacy),
                Err(why) => self.complain(&why.text),
            },
            Ok(Some(Command::Private { user, text })) => {
                let (stand, has_text) = (self.connection.private_stand(&user), text.is_some());
                if let Err(why) = self.connection.say_privately(&user, text) {
                    return self.complain(&why.text);
                }
                // What comes about is told when it does.
                let note = match stand {
                    None if self.connection.session.is_logged_in() => return,
                    None if self.connection.has_private_line(&user) => return,
                    None => "not connected now: it is done after coming back".to_owned(),
                    Some(Stand::Up(_)) if has_text => return,
                    Some(Stand::Up(_)) => format!("you are in a private conversation with {user}"),
                    Some(_) if has_text => format!("it is said when the private conversation with {user} has begun"),
                    Some(_) => format!("the private conversation with {user} has not begun yet"),
                };
                let line = self.screen.note(&note);
                self.screen.show(vec![line]);
            }
            Ok(Some(Command::EndPrivate { user })) => {
                if !self.connection.end_private(&user) {
                    self.complain(&batch::no_talk(&user).text);
                }
            }
            Ok(Some(Command::Deliver { user })) => match self.connection.deliver(&user, self.receipts) {
                Ok(sent) => {
                    for (tag, text) in sent {
                        self.await_answer(tag, Request::Message { to: user.clone(), text, receipt: self.receipts });
                    }
                }
                Err(why) => self.complain(&why.text),
            },
            Ok(Some(Command::Ask(Request::Privacy))) if !self.connection.session.is_logged_in() => {
                let (standing, certificate) = self.connection.private_standing();
                let mut lines = vec![self.screen.stamp(now_ms(), &self.screen.dim(render::APART))];
                lines.extend(render::standing_lines_apart(&standing, certificate.as_ref()));
                self.screen.show(lines);
            }
            Ok(Some(Command::Ask(request))) => self.ask(request),
            Ok(Some(Command::ChangePassword)) => self.complain(command::NEEDS_TLS),
            Ok(Some(Command::SignUp)) => self.complain(command::SIGN_UP_FIRST),
            Ok(Some(Command::LogOut)) => self.leave(Status::Done),
            Ok(Some(Command::Help)) => self.screen.show(vec![command::help(Protocol::Native)]),
            Ok(Some(Command::Wait { .. })) => self.complain(command::WAIT_IS_FOR_SCRIPTS),
            Ok(Some(Command::MessageFromInput { .. })) => {}
            // Words of classic protocols.
            Ok(Some(Command::Say { .. } | Command::LogIn { .. })) => {}
            Err(failure) => self.complain(&failure.text),
        }
    }

    /// A line was typed in a chat with this user, which may be over since.
    fn line_in_chat(&mut self, with: &UserName, line: &str) {
        let text = match command::read_in_chat(line) {
            InChat::Command(line) => return self.line(line),
            InChat::Said(text) => text,
        };
        if self.connection.session.chats_with() != Some(with) {
            let why = format!("not said: the chat with {with} is over; 'message {with} TEXT' sends it all the same");
            return self.complain(&why);
        }
        match command::parse_text(text) {
            Ok(text) => self.ask(Request::Message { to: with.clone(), text, receipt: self.receipts }),
            Err(why) => self.complain(&why.text),
        }
    }

    fn ask(&mut self, request: Request) {
        if let (Request::Chat { .. }, Some(user)) = (&request, self.connection.session.chats_with()) {
            let why = command::in_chat(user);
            return self.complain(&why.text);
        }
        if matches!(request, Request::Chat { .. } | Request::EndChat) && !self.connection.session.is_logged_in() {
            return self.complain("not connected now: a chat begins and ends with a connection");
        }
        let Ok(tag) = self.connection.session.ask(request.clone()) else {
            return self.complain("too much is without an answer already: wait until the server is back");
        };
        match &request {
            Request::Revoke { user } => self.connection.revoke(user),
            Request::Chat { .. } | Request::EndChat => self.deciding = Some(tag),
            _ => {}
        }
        self.await_answer(tag, request);
    }

    fn is_deciding(&self) -> bool {
        let session = &self.connection.session;
        session.is_logged_in() && self.deciding.is_some_and(|tag| session.awaits(tag))
    }

    /// Its answer will be told.
    fn await_answer(&mut self, tag: Tag, request: Request) {
        self.asked.insert(tag, request);
        if !self.connection.session.is_logged_in() {
            let line = self.screen.note("not connected now: it is done after coming back");
            self.screen.show(vec![line]);
        }
    }

    /// How private conversations stand, in plain words.
    fn standing(&self) -> Vec<String> {
        let (standing, certificate) = self.connection.private_standing();
        render::standing_lines(&standing, certificate.as_ref())
    }

    fn private(&mut self, news: &PeerNews, lines: &mut Vec<String>) {
        let tick = self.screen.look.tick();
        match news {
            PeerNews::Heard { user } => lines.push(format!("{tick} to {user}, privately")),
            PeerNews::NotSaid { user, texts, why } => {
                let text = render::not_said(user, *texts, why);
                lines.push(self.screen.error(text.strip_prefix("* ").unwrap_or(&text)));
            }
            PeerNews::Said { user, text } => {
                self.know(std::slice::from_ref(user));
                self.screen.rings = true;
                let line =
                    format!("{} (privately): {}", self.screen.bold(user.as_str()), render::visible(text.as_str()));
                lines.push(self.screen.stamp(now_ms(), &line));
            }
            PeerNews::Up { user, .. } => {
                self.know(std::slice::from_ref(user));
                let line = render::private_line(news).unwrap_or_default();
                let line = format!("{line}: 'private {user} TEXT' says something, 'end private {user}' ends it");
                lines.push(self.screen.stamp(now_ms(), &self.screen.dim(&line)));
            }
            PeerNews::Asked { .. } | PeerNews::Ended { .. } => {
                let line = render::private_line(news).map(|line| self.screen.stamp(now_ms(), &self.screen.dim(&line)));
                lines.extend(line);
            }
        }
    }

    fn complain(&mut self, text: &str) {
        let line = self.screen.error(text);
        self.screen.show(vec![line]);
    }

    /// Nobody types any more.
    fn leave_keyboard(&mut self, status: Status) {
        self.screen.printer = None;
        self.leave(status);
    }

    fn leave(&mut self, status: Status) {
        if self.leaving.is_none() {
            self.leaving = Some((self.connection.now() + LEAVE_WITHIN, status));
            self.connection.end_all_private();
            self.connection.session.log_out();
        }
    }

    /// The log-out takes too long. What still waits was not sent, and that must not go unsaid.
    fn give_up(&mut self, status: Status) -> Status {
        let held = self.connection.session.held();
        if held == 0 {
            return status;
        }
        let what = if held == 1 { "a message was" } else { "messages were" };
        let count = if held == 1 { String::new() } else { format!("{held} ") };
        self.complain(&format!("{count}{what} not sent: too many in a short time, try again later"));
        if status == Status::Done { Status::TryAgain } else { status }
    }

    fn learn(&self, done: &Done) {
        match done {
            Done::Online(users) | Done::BlockList(users) => self.know(users),
            Done::History(messages) => {
                for message in messages {
                    for party in [&message.from, &message.to] {
                        if let Party::User(user) = party {
                            self.know(std::slice::from_ref(user));
                        }
                    }
                }
            }
            _ => {}
        }
    }

    fn know(&self, users: &[UserName]) {
        know(&self.names, users);
    }
}

/// What is said of a request that was done.
fn confirm(request: &Request, done: &Done, you: &UserName, look: Look) -> Vec<String> {
    let tick = look.tick();
    match (request, done) {
        (Request::Message { to, .. }, Done::Accepted { reach: ReachTold::Queued, .. }) => {
            vec![format!("{tick} to {to} ({to} is offline: it waits)")]
        }
        (Request::Message { to, .. }, _) => vec![format!("{tick} to {to}")],
        (Request::Broadcast { .. }, Done::Accepted { reach: ReachTold::Partial, .. }) => {
            vec![format!("{tick} to everyone (but not to some who have blocked you)")]
        }
        (Request::Broadcast { .. }, _) => vec![format!("{tick} to everyone")],
        (_, Done::ChatStarted(chat)) => {
            let user = &chat.user;
            let hint = "'end chat' ends it, '/' stands before a command, as in '/online'";
            vec![format!("{tick} you chat with {user}: {hint}")]
        }
        (_, Done::ChatEnded(chat)) => vec![format!("{tick} the chat with {} is over", chat.user)],
        (_, Done::Blocked(user)) => vec![format!("{tick} {user} is blocked: nothing more comes from them")],
        (_, Done::Unblocked(user)) => vec![format!("{tick} {user} is not blocked any more")],
        (_, Done::Online(users)) if users.is_empty() => vec!["nobody else is online".to_owned()],
        (_, Done::Online(users)) => vec![list("online", users)],
        (_, Done::BlockList(users)) if users.is_empty() => vec!["you block nobody".to_owned()],
        (_, Done::BlockList(users)) => vec![list("you block", users)],
        (_, Done::History(messages)) if messages.is_empty() => vec!["there is no message".to_owned()],
        (_, Done::History(_)) => render::answer_lines(done, you),
        (_, Done::Privacy(_)) => render::answer_lines(done, you),
        (_, Done::Declined(user)) => vec![format!("{tick} {user} does not learn where you are")],
        (_, Done::Revoked(user)) => vec![format!("{tick} {user} may not come any more")],
        (_, Done::Consented { user, address, connect_within, .. }) => {
            let seconds = connect_within.as_secs();
            vec![format!("{tick} {user}, who is at {address}, may come to you within {seconds} s")]
        }
        (_, Done::Asked { user, answer_within }) => {
            vec![format!("{user} is asked, and has {} s to answer", answer_within.as_secs())]
        }
        (_, Done::Accepted { .. }) => vec![tick.to_owned()],
    }
}

fn list(what: &str, users: &[UserName]) -> String {
    format!("{what}: {}", users.iter().map(UserName::as_str).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Text;

    fn name(text: &str) -> UserName {
        UserName::parse(text).unwrap()
    }

    #[test]
    fn a_tick_means_on_the_servers_disk() {
        let (utf8, ascii) = (Look { colours: false, utf8: true }, Look { colours: false, utf8: false });
        let request = Request::Message { to: name("bob"), text: Text::parse("hi").unwrap(), receipt: false };
        let done = |reach| Done::Accepted { number: Number(1), reach };
        let you = name("alice");
        assert_eq!(confirm(&request, &done(ReachTold::Online), &you, utf8), ["✓ to bob"]);
        assert_eq!(confirm(&request, &done(ReachTold::Queued), &you, ascii), ["ok to bob (bob is offline: it waits)"]);
        let request = Request::Broadcast { text: Text::parse("hi").unwrap() };
        assert_eq!(confirm(&request, &done(ReachTold::Online), &you, utf8), ["✓ to everyone"]);
    }
}
