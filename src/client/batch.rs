//! Commands from standard input, one a line, done in order; what comes in is printed as it comes.
//!
//! `Batch` is pure: lines and happenings in, lines out, so that a test can play both sides. `run` joins it with the
//! connection and the thread that reads.

use std::collections::VecDeque;
use std::io::{self, BufRead, Read};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::time::Duration;

use super::command::{self, Command};
use super::connection::{Connection, Heard};
use super::core::{Closing, Done, Happening, Now, Request, Session, Tag};
use super::errand::{Change, Passwords, Progress};
use super::exit::{Failure, Status};
use super::interrupt::Interrupt;
use super::output::{Ended, print};
use super::peers::{self, PeerNews};
use super::{passwords, render};
use crate::net::link::Bell;
use crate::wire::native::client::News;
use crate::wire::{Number, Text, UserName};

/// How many printed lines `wait` can still find.
const PRINTED_MAX: usize = 1000;
/// The longest line of a script, in bytes.
const LINE_BYTES_MAX: u64 = 64 * 1024;
/// How many lines are read ahead.
const LINES_AHEAD: usize = 16;
/// How long a log-out may take.
const LEAVE_WITHIN: Duration = Duration::from_secs(5);

/// What a batch is told to do differently.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    pub json: bool,
    /// A message is done when it was delivered.
    pub receipts: bool,
    /// How long a command waits for its answer.
    pub within: Duration,
    /// How long a command waits for what another person must say.
    pub answer_within: Duration,
}

/// Where `passwd` has its passwords from: a script's input has the commands.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// The one of now.
    pub password: Option<String>,
    /// The file with the new one.
    pub new_password: Option<PathBuf>,
}

/// A script in progress.
pub struct Batch {
    manner: Manner,
    user: UserName,
    line_number: usize,
    doing: Option<Doing>,
    /// What is to be done that the session can't.
    wants: Option<Want>,
    /// What `wait` has not found yet, the oldest first.
    printed: VecDeque<Printed>,
    first_failure: Option<Status>,
    leaving: bool,
    /// Delivered before their answers came.
    early: VecDeque<Number>,
    out: Vec<Line>,
}

/// A line to print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// For standard output.
    Data(String),
    /// For standard error.
    Complaint(String),
}

/// What a line asks for that needs more than the session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Want {
    /// The password is to be changed; `changed` tells how it went.
    Change,
    /// `asked` and `not_begun` tell about these two.
    GetAddress {
        user: UserName,
    },
    Consent {
        user: UserName,
        yes: bool,
    },
    /// `private` tells how it goes on, or `not_begun`.
    Private {
        user: UserName,
        text: Option<Text>,
    },
    /// It has taken too long.
    GiveUpPrivate {
        user: UserName,
        why: Failure,
    },
    /// `finished` tells how it went.
    EndPrivate {
        user: UserName,
    },
    /// Nobody waits for how it went.
    Revoke {
        user: UserName,
    },
    /// `asked_all` and `not_begun` tell about it.
    Deliver {
        user: UserName,
    },
}

enum Doing {
    Answer {
        tag: Tag,
        receipt: bool,
        until: Now,
        /// What another person must say may take until then.
        answer_until: Now,
    },
    /// Another person's word about their address.
    Address {
        user: UserName,
        until: Now,
    },
    /// `until`: `None`: it was given up.
    Private {
        user: UserName,
        has_text: bool,
        until: Option<Now>,
    },
    Deliver {
        tags: Vec<Tag>,
        until: Now,
    },
    Delivery {
        number: Number,
        until: Now,
    },
    Wait {
        text: String,
        until: Now,
    },
    /// It is just being begun, or has a time limit of its own.
    Elsewhere,
}

struct Printed {
    kind: &'static str,
    plain: String,
    json: Option<String>,
}

impl Batch {
    pub fn new(manner: Manner, user: UserName) -> Batch {
        Batch {
            manner,
            user,
            line_number: 0,
            doing: None,
            wants: None,
            printed: VecDeque::new(),
            first_failure: None,
            leaving: false,
            early: VecDeque::new(),
            out: Vec::new(),
        }
    }

    /// Whether the next line can come.
    pub fn is_ready(&self) -> bool {
        self.doing.is_none() && !self.leaving
    }

    /// What is to be printed.
    pub fn take_lines(&mut self) -> Vec<Line> {
        std::mem::take(&mut self.out)
    }

    /// What the batch ends with.
    pub fn status(&self) -> Status {
        self.first_failure.unwrap_or(Status::Done)
    }

    /// When `tick` has something to do.
    pub fn poll_timeout(&self) -> Option<Now> {
        self.doing.as_ref().and_then(Doing::until)
    }

    /// Begins with the next line of the script; `Err`: it could not be read.
    pub fn line(&mut self, session: &mut Session, now: Now, line: Result<&str, &str>) {
        self.line_number += 1;
        let line = line.map_err(Failure::usage);
        match line.and_then(|line| command::parse_line(line, self.manner.receipts)) {
            Ok(None) => {}
            Ok(Some(Command::Ask(request))) => {
                let receipt = matches!(request, Request::Message { receipt: true, .. });
                if let Request::Revoke { user } = &request {
                    self.wants = Some(Want::Revoke { user: user.clone() });
                }
                match session.ask(request) {
                    Ok(tag) => self.awaits(now, tag, receipt),
                    Err(_) => self.fail(Failure::new(Status::TryAgain, "too much is without an answer")),
                }
            }
            Ok(Some(Command::Wait { text, within })) => {
                self.doing = Some(Doing::Wait { text, until: now + within });
                self.look();
            }
            Ok(Some(Command::GetAddress { user })) => self.want(Want::GetAddress { user }),
            Ok(Some(Command::Consent { user, yes })) => self.want(Want::Consent { user, yes }),
            Ok(Some(Command::Private { user, text })) => {
                self.want(Want::Private { user: user.clone(), text: text.clone() });
                let until = Some(now.saturating_add(self.manner.answer_within));
                self.doing = Some(Doing::Private { user, has_text: text.is_some(), until });
            }
            Ok(Some(Command::EndPrivate { user })) => self.want(Want::EndPrivate { user }),
            Ok(Some(Command::Deliver { user })) => self.want(Want::Deliver { user }),
            Ok(Some(Command::ChangePassword)) => self.want(Want::Change),
            Ok(Some(Command::SignUp)) => self.fail(Failure::usage(command::SIGN_UP_FIRST)),
            Ok(Some(Command::LogOut)) => self.leave(session),
            Ok(Some(Command::Help)) => self.out.extend(command::help().lines().map(|line| Line::Data(line.to_owned()))),
            Ok(Some(Command::MessageFromInput { .. })) => self.fail(Failure::usage("standard input has the commands")),
            Err(failure) => self.fail(failure),
        }
    }

    /// There are no more lines, and everything is done: logs out.
    pub fn leave(&mut self, session: &mut Session) {
        self.leaving = true;
        session.log_out();
    }

    /// Something came from the server.
    pub fn happened(&mut self, happening: Happening) {
        match happening {
            Happening::LoggedIn { user, .. } => self.user = user,
            Happening::Answered { tag, answer } => self.answered(tag, answer.map_err(|why| Failure::problem(&why))),
            Happening::News(News::Delivered { number, .. }) if self.manner.receipts => self.delivered(number),
            Happening::News(news) => self.news(&news),
            Happening::Closing { .. } | Happening::End(_) => {}
        }
    }

    /// Gives up what has taken too long.
    pub fn tick(&mut self, session: &mut Session, now: Now) {
        if self.poll_timeout().is_none_or(|until| until > now) {
            return;
        }
        match self.doing.take() {
            Some(Doing::Answer { tag, .. }) if session.held() > 0 => {
                session.forget(tag);
                self.fail(Failure::too_fast());
            }
            Some(Doing::Answer { tag, .. }) => {
                session.forget(tag);
                let why = "no answer from the server in time: it may be done or not";
                self.fail(Failure::new(Status::NoServer, why));
            }
            Some(Doing::Delivery { .. }) => {
                let why = "the message is safe on the server, but was not delivered in time";
                self.fail(Failure::new(Status::TryAgain, why));
            }
            Some(Doing::Wait { text, .. }) => {
                let why = format!("'{}' did not come in time", render::visible_line(&text));
                self.fail(Failure::new(Status::TryAgain, why));
            }
            Some(Doing::Deliver { tags, .. }) => {
                tags.into_iter().for_each(|tag| session.forget(tag));
                let why = "no answer from the server in time: it may be done or not";
                self.fail(Failure::new(Status::NoServer, why));
            }
            Some(Doing::Address { user, .. }) => {
                self.fail(Failure::new(Status::TryAgain, format!("{user} has not answered in time")));
            }
            Some(Doing::Private { user, has_text, .. }) => {
                let why = Failure::new(Status::TryAgain, format!("{user} has not answered in time"));
                self.wants = Some(Want::GiveUpPrivate { user: user.clone(), why });
                self.doing = Some(Doing::Private { user, has_text, until: None });
            }
            Some(Doing::Elsewhere) | None => {}
        }
    }

    fn want(&mut self, want: Want) {
        self.wants = Some(want);
        self.doing = Some(Doing::Elsewhere);
    }

    /// What is to be done that the session can't.
    pub fn take_want(&mut self) -> Option<Want> {
        self.wants.take()
    }

    /// What was wanted goes on with a question to the server.
    pub fn awaits(&mut self, now: Now, tag: Tag, receipt: bool) {
        let Manner { within, answer_within, .. } = self.manner;
        let (until, answer_until) = (now.saturating_add(within), now.saturating_add(answer_within));
        self.doing = Some(Doing::Answer { tag, receipt, until, answer_until });
    }

    /// It goes on with several.
    pub fn awaits_all(&mut self, now: Now, tags: Vec<Tag>) {
        self.doing = Some(Doing::Deliver { tags, until: now.saturating_add(self.manner.within) });
    }

    /// A change of the password is over.
    pub fn changed(&mut self, result: Result<(), Failure>) {
        let reply = render::password_changed_json(&self.user);
        self.finished(result, reply);
    }

    /// What was wanted is over. `reply`: what is told in JSON if it was done.
    pub fn finished(&mut self, result: Result<(), Failure>, reply: String) {
        self.doing = None;
        match result {
            Ok(()) if self.manner.json => self.out.push(Line::Data(reply)),
            Ok(()) => self.out.push(Line::Data("ok".to_owned())),
            Err(failure) => self.fail(failure),
        }
    }

    /// What was wanted could not even be begun.
    pub fn not_begun(&mut self, why: Failure) {
        self.doing = None;
        self.fail(why);
    }

    /// Something happened in a conversation without the server.
    pub fn private(&mut self, news: &PeerNews) {
        let (about, has_text) = match &self.doing {
            Some(Doing::Private { user, has_text, .. }) => (Some(user), *has_text),
            _ => (None, false),
        };
        match news {
            PeerNews::NotSaid { user, texts, why } if about == Some(user) => {
                let text = render::not_said(user, *texts, why);
                let text = text.strip_prefix("* ").unwrap_or(&text).to_owned();
                return self.not_begun(Failure { status: why.status, text });
            }
            PeerNews::Heard { user } if about == Some(user) && has_text => {
                let reply = render::said_json(user);
                return self.finished(Ok(()), reply);
            }
            PeerNews::Up { user, .. } if about == Some(user) && !has_text => {
                let reply = render::private_json(news);
                return self.finished(Ok(()), reply);
            }
            _ => {}
        }
        if let Some(plain) = render::private_line(news) {
            self.print_event(render::private_kind(news), plain, render::private_json(news));
        }
    }

    /// Notes a failure; the script goes on.
    pub fn fail(&mut self, failure: Failure) {
        self.first_failure.get_or_insert(failure.status);
        self.out.push(Line::Complaint(format!("line {}: {}", self.line_number, failure.text)));
    }

    fn answered(&mut self, tag: Tag, answer: Result<Done, Failure>) {
        let (receipt, until, answer_until) = match &mut self.doing {
            Some(Doing::Answer { tag: awaited, receipt, until, answer_until }) if *awaited == tag => {
                let found = (*receipt, *until, *answer_until);
                self.doing = None;
                found
            }
            Some(Doing::Deliver { tags, until }) if tags.contains(&tag) => {
                tags.retain(|&other| other != tag);
                let until = *until;
                if tags.is_empty() {
                    self.doing = None;
                }
                (false, until, until)
            }
            _ => return,
        };
        let done = match answer {
            Ok(done) => done,
            Err(failure) => return self.fail(failure),
        };
        if let Done::Asked { user, .. } = done {
            self.doing = Some(Doing::Address { user, until: answer_until });
            return;
        }
        if self.manner.json {
            self.out.push(Line::Data(render::answer_json(&done, &self.user)));
        } else {
            let line = match &done {
                Done::Accepted { number, .. } => Some(format!("ok {}", number.0)),
                Done::Online(_) | Done::BlockList(_) | Done::History(_) | Done::Privacy(_) => None,
                _ => Some("ok".to_owned()),
            };
            self.out.extend(line.into_iter().chain(render::answer_lines(&done, &self.user)).map(Line::Data));
        }
        if let (true, Done::Accepted { number, .. }) = (receipt, done)
            && !self.early.contains(&number)
        {
            self.doing = Some(Doing::Delivery { number, until });
        }
    }

    fn delivered(&mut self, number: Number) {
        if matches!(self.doing, Some(Doing::Delivery { number: awaited, .. }) if awaited == number) {
            self.doing = None;
        } else {
            if self.early.len() == PRINTED_MAX {
                self.early.pop_front();
            }
            self.early.push_back(number);
        }
    }

    fn news(&mut self, news: &News) {
        let (Some(plain), Some(json)) = (render::event_line(news), render::event_json(news, &self.user)) else {
            return;
        };
        self.print_event(render::event_kind(news), plain, json);
        let about = match &self.doing {
            Some(Doing::Address { user, .. }) => user,
            _ => return,
        };
        match news {
            News::Address { user, .. } if user == about => {
                self.doing = None;
                if !self.manner.json {
                    self.out.push(Line::Data("ok".to_owned()));
                }
            }
            News::NoAddress { user, reason } if user == about => self.not_begun(peers::no_address(user, reason)),
            _ => {}
        }
    }

    fn print_event(&mut self, kind: &'static str, plain: String, json: String) {
        let json = self.manner.json.then_some(json);
        self.out.push(Line::Data(json.as_ref().unwrap_or(&plain).clone()));
        if self.printed.len() == PRINTED_MAX {
            self.printed.pop_front();
        }
        self.printed.push_back(Printed { kind, plain, json });
        self.look();
    }

    /// Looks whether what `wait` waits for has been printed.
    fn look(&mut self) {
        let Some(Doing::Wait { text, .. }) = &self.doing else { return };
        let fits = |printed: &Printed| {
            printed.kind == text
                || printed.plain.contains(text)
                || printed.json.as_ref().is_some_and(|json| json.contains(text))
        };
        if let Some(found) = self.printed.iter().position(fits) {
            self.printed.remove(found);
            self.doing = None;
        }
    }
}

impl Doing {
    fn until(&self) -> Option<Now> {
        match self {
            Doing::Answer { until, .. }
            | Doing::Delivery { until, .. }
            | Doing::Wait { until, .. }
            | Doing::Address { until, .. }
            | Doing::Deliver { until, .. } => Some(*until),
            Doing::Private { until, .. } => *until,
            Doing::Elsewhere => None,
        }
    }
}

/// Does a script from standard input. The result is the status of its first failure.
pub fn run(
    connection: &mut Connection,
    user: &UserName,
    manner: Manner,
    given: &Given,
    interrupt: &Interrupt,
) -> Result<Status, Ended> {
    let mut batch = Batch::new(manner, user.clone());
    connection.dial();
    let log_in_until = connection.now() + manner.within;
    let mut lines: Option<Receiver<ScriptLine>> = None;
    let (mut at_end, mut lost) = (false, false);
    let mut leave_until: Option<Now> = None;
    let mut changing: Option<Change> = None;
    loop {
        let now = connection.now();
        let logged_in = lines.is_some();
        if !logged_in && now >= log_in_until {
            let why = format!("no answer from the server within {} s", manner.within.as_secs_f64());
            return Err(Failure::new(Status::NoServer, why).into());
        }
        batch.tick(&mut connection.session, now);
        while let Some(lines) = lines.as_ref().filter(|_| batch.is_ready() && !at_end) {
            match lines.try_recv() {
                Ok(line) => batch.line(&mut connection.session, now, line.as_deref().map_err(|why| *why)),
                Err(TryRecvError::Disconnected) => at_end = true,
                Err(TryRecvError::Empty) => break,
            }
        }
        match batch.take_want() {
            None => {}
            Some(Want::Change) => {
                match begin_change(connection, &batch.user, &manner, given) {
                    Ok(change) => changing = Some(change),
                    Err(why) => batch.not_begun(why),
                }
                // The next line can come.
                continue;
            }
            Some(want) => {
                begin(connection, &mut batch, now, want);
                continue;
            }
        }
        let asked = interrupt.asked();
        if !batch.leaving && (asked.is_some() || at_end && batch.is_ready()) {
            batch.leave(&mut connection.session);
        }
        if batch.leaving {
            if leave_until.is_none() {
                connection.end_all_private();
            }
            leave_until.get_or_insert(now + LEAVE_WITHIN);
        }
        show(&mut batch)?;
        let status = asked.unwrap_or(batch.status());
        if leave_until.is_some_and(|until| until <= now) {
            return Ok(status);
        }

        let deadlines = [batch.poll_timeout(), leave_until, (!logged_in).then_some(log_in_until)];
        for heard in connection.turn(deadlines.into_iter().flatten().min())? {
            // The session may end because of the change, whose end decides what comes of that.
            let heard = match &mut changing {
                Some(change) if !batch.leaving => match change.hold(heard) {
                    Some(heard) => heard,
                    None => continue,
                },
                _ => heard,
            };
            match heard {
                Heard::Session(Happening::End(end)) => {
                    show(&mut batch)?;
                    if !logged_in && let Some(ended) = Ended::before_log_in(&end) {
                        return Err(ended);
                    }
                    match Failure::end(&end) {
                        None => return Ok(status),
                        Some(failure) if failure.status == Status::NoServer || logged_in && failure.may_pass() => {
                            come_back(connection, &mut lost, &failure.text);
                        }
                        Some(failure) => return Err(failure.into()),
                    }
                }
                Heard::Session(Happening::Closing { reason, text }) => {
                    show(&mut batch)?;
                    let failure = Failure::closing(reason, &text);
                    if reason != Closing::Lost || !logged_in {
                        return Err(failure.into());
                    }
                    if batch.leaving {
                        return Ok(status);
                    }
                    come_back(connection, &mut lost, &failure.text);
                }
                Heard::Lost(why) => {
                    show(&mut batch)?;
                    if !logged_in || why.status == Status::Refused {
                        return Err(why.into());
                    }
                    if batch.leaving {
                        return Ok(status);
                    }
                    come_back(connection, &mut lost, &why.text);
                }
                Heard::Session(happening) => {
                    if matches!(happening, Happening::LoggedIn { .. }) {
                        interrupt.leave_to_the_program(connection.bell());
                        lines.get_or_insert_with(|| read_lines(connection.bell()));
                        if std::mem::take(&mut lost) {
                            super::warn("connected again");
                        }
                    }
                    batch.happened(happening);
                }
                Heard::Private(news) => batch.private(&news),
                Heard::Note(note) => super::warn(&note),
                Heard::Woken => {}
            }
        }
        while let Some(progress) = changing.as_ref().and_then(Change::next) {
            match progress {
                Progress::Note(note) => super::warn(&note),
                Progress::Over(result) => {
                    let Some(change) = changing.take() else { break };
                    let (is_done, held) = (result.is_ok(), change.held);
                    batch.changed(result);
                    if is_done && !batch.leaving {
                        connection.password_changed(&change.new);
                    } else if let Some(why) = held {
                        show(&mut batch)?;
                        if why.status != Status::NoServer {
                            return Err(why.into());
                        }
                        come_back(connection, &mut lost, &why.text);
                    }
                }
            }
        }
        show(&mut batch)?;
    }
}

/// Begins what a line wants of conversations without the server.
fn begin(connection: &mut Connection, batch: &mut Batch, now: Now, want: Want) {
    let asked = match want {
        Want::Change => return,
        Want::GetAddress { user } => connection.ask_address(user),
        Want::Consent { user, yes } => connection.consent(user, yes),
        Want::Private { user, text } => {
            if let Err(why) = connection.say_privately(&user, text) {
                batch.not_begun(why);
            }
            return;
        }
        Want::GiveUpPrivate { user, why } => return connection.give_up_private(&user, why),
        Want::Revoke { user } => return connection.revoke(&user),
        Want::EndPrivate { user } => {
            let result = match connection.end_private(&user) {
                true => Ok(()),
                false => Err(no_talk(&user)),
            };
            return batch.finished(result, render::ended_json(&user));
        }
        Want::Deliver { user } => match connection.deliver(&user, false) {
            Ok(sent) => return batch.awaits_all(now, sent.into_iter().map(|(tag, _)| tag).collect()),
            Err(why) => Err(why),
        },
    };
    match asked {
        Ok(tag) => batch.awaits(now, tag, false),
        Err(why) => batch.not_begun(why),
    }
}

/// There is no conversation that could end.
pub fn no_talk(user: &UserName) -> Failure {
    Failure::usage(format_args!("there is no private conversation with {user}"))
}

fn begin_change(
    connection: &mut Connection,
    user: &UserName,
    manner: &Manner,
    given: &Given,
) -> Result<Change, Failure> {
    if !connection.is_encrypted() {
        return Err(Failure::usage(command::NEEDS_TLS));
    }
    let old = given.password.as_deref();
    let old =
        old.ok_or_else(|| Failure::usage("'passwd' needs the password of now: --password-file or CHAT_PASSWORD"))?;
    let new = given.new_password.as_deref();
    let new = new.ok_or_else(|| Failure::usage("'passwd' needs the new password here: --new-password-file FILE"))?;
    let old = passwords::valid(old)?;
    let new = passwords::valid(&passwords::in_file(new)?)?;
    let change = connection.change_password(user.clone(), Passwords { old, new }, manner.within);
    change.ok_or_else(|| Failure::usage(command::NEEDS_TLS))
}

fn come_back(connection: &mut Connection, lost: &mut bool, why: &str) {
    if !std::mem::replace(lost, true) {
        super::warn(&format!("{why}; trying to come back"));
    }
    connection.dial_later();
}

fn show(batch: &mut Batch) -> Result<(), Ended> {
    let mut data = Vec::new();
    for line in batch.take_lines() {
        match line {
            Line::Data(line) => data.push(line),
            Line::Complaint(text) => {
                print(&std::mem::take(&mut data))?;
                super::warn(&text);
            }
        }
    }
    print(&data)
}

/// A line of a script; `Err`: why it is none.
pub type ScriptLine = Result<String, &'static str>;

/// Reads standard input on a thread of its own, because a pipe can't be asked whether there is something.
fn read_lines(bell: Bell) -> Receiver<ScriptLine> {
    let (sender, receiver) = sync_channel(LINES_AHEAD);
    std::thread::spawn(move || {
        // The channel closes, or is closed, when either side is done.
        let _ = send_lines(&mut io::stdin().lock(), &sender, &bell);
        drop(sender);
        bell.ring();
    });
    receiver
}

fn send_lines(input: &mut impl BufRead, sender: &SyncSender<ScriptLine>, bell: &Bell) -> Result<(), ()> {
    loop {
        let line = match next_line(input) {
            Ok(Some(line)) => line,
            Ok(None) => return Ok(()),
            Err(_) => Err("standard input can't be read"),
        };
        let last = line == Err("standard input can't be read");
        sender.send(line).map_err(|_| ())?;
        bell.ring();
        if last {
            return Ok(());
        }
    }
}

/// The next line without its newline; `None` at the end.
pub fn next_line(input: &mut impl BufRead) -> io::Result<Option<ScriptLine>> {
    let mut bytes = Vec::new();
    input.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes)?;
    if bytes.is_empty() {
        return Ok(None);
    }
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    } else if bytes.len() as u64 == LINE_BYTES_MAX {
        input.skip_until(b'\n')?;
        return Ok(Some(Err("the line is too long")));
    }
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    Ok(Some(String::from_utf8(bytes).map_err(|_| "the line is not UTF-8")))
}

#[cfg(test)]
mod tests;
