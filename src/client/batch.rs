//! Commands from standard input, one a line, done in order; what comes in is printed as it comes.
//!
//! `Batch` is pure: lines and happenings in, lines out, so that a test can play both sides. `run` joins it with the
//! connection and the thread that reads.

mod lines;
mod run;
mod script;

use std::collections::VecDeque;
use std::time::Duration;

pub(super) use self::lines::read_lines;
pub use self::lines::{ScriptLine, next_line};
pub(super) use self::run::show;
pub use self::run::{Given, no_talk, run};
pub use self::script::{Line, Script};
use super::command::{self, Command};
use super::core::{Done, Happening, Now, Request, Session, Tag};
use super::exit::{Failure, Status};
use super::peers::{self, PeerNews};
use super::render;
use crate::wire::Protocol;
use crate::wire::native::client::News;
use crate::wire::{Number, Text, UserName};

/// How many confirmations are kept that came before their answers.
const EARLY_MAX: usize = 1000;

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

/// A script in progress.
pub struct Batch {
    manner: Manner,
    user: UserName,
    script: Script,
    doing: Option<Doing>,
    /// What is to be done that the session can't.
    wants: Option<Want>,
    leaving: bool,
    /// Delivered before their answers came.
    early: VecDeque<Number>,
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
    /// `awaits_all` and `not_begun` tell about it.
    Deliver {
        user: UserName,
    },
    /// It has taken too long; `not_begun` tells that then.
    GiveUpDelivery {
        tags: Vec<Tag>,
        why: Failure,
    },
    /// How private conversations stand, while the server can't be asked; `tells` and `finished` tell it.
    Standing,
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

impl Batch {
    pub fn new(manner: Manner, user: UserName) -> Batch {
        Batch {
            manner,
            user,
            script: Script::new(manner.json),
            doing: None,
            wants: None,
            leaving: false,
            early: VecDeque::new(),
        }
    }

    /// Whether the next line can come.
    pub fn is_ready(&self) -> bool {
        self.doing.is_none() && !self.leaving
    }

    /// What is to be printed.
    pub fn take_lines(&mut self) -> Vec<Line> {
        self.script.take_lines()
    }

    /// What the batch ends with.
    pub fn status(&self) -> Status {
        self.script.status()
    }

    /// When `tick` has something to do.
    pub fn poll_timeout(&self) -> Option<Now> {
        self.doing.as_ref().and_then(Doing::until)
    }

    /// Begins with the next line of the script; `Err`: it could not be read.
    pub fn line(&mut self, session: &mut Session, now: Now, line: Result<&str, &str>) {
        match self.script.command(line, Protocol::Native, self.manner.receipts) {
            Ok(None) => {}
            Ok(Some(Command::Ask(Request::Privacy))) if !session.is_logged_in() && !self.manner.json => {
                self.want(Want::Standing);
            }
            Ok(Some(Command::Ask(request))) => {
                if let (Request::Chat { .. }, Some(user)) = (&request, session.chats_with()) {
                    return self.fail(command::in_chat(user));
                }
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
            // Words of classic protocols.
            Ok(Some(Command::Say { .. } | Command::LogIn { .. })) => {}
            Ok(Some(Command::Help)) => self.script.help(Protocol::Native),
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
                let why = "no answer from the server in time: it may be sent or not, and is kept";
                self.want(Want::GiveUpDelivery { tags, why: Failure::new(Status::NoServer, why) });
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
            Ok(()) if self.manner.json => self.script.data([reply]),
            Ok(()) => self.script.data(["ok".to_owned()]),
            Err(failure) => self.fail(failure),
        }
    }

    /// What was wanted is over, and has been told.
    pub fn nothing_more(&mut self) {
        self.doing = None;
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
            _ => {}
        }
        let reply = match news {
            PeerNews::Up { user, .. } if about == Some(user) && !has_text => Some(render::talking_json(user)),
            _ => None,
        };
        if let Some(plain) = render::private_line(news) {
            self.print_event(render::private_kind(news), plain, render::private_json(news));
        }
        if let Some(reply) = reply {
            self.finished(Ok(()), reply);
        }
    }

    /// Lines that belong to an answer.
    pub fn tells(&mut self, lines: Vec<String>) {
        self.script.data(lines);
    }

    /// Notes a failure; the script goes on.
    pub fn fail(&mut self, failure: Failure) {
        self.script.fail(&failure);
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
            self.script.data([render::answer_json(&done, &self.user)]);
        } else {
            let line = match &done {
                Done::Accepted { number, .. } => Some(format!("ok {}", number.0)),
                Done::Online(_) | Done::BlockList(_) | Done::History(_) | Done::Privacy(_) => None,
                _ => Some("ok".to_owned()),
            };
            self.script.data(line.into_iter().chain(render::answer_lines(&done, &self.user)));
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
            if self.early.len() == EARLY_MAX {
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
                    self.script.data(["ok".to_owned()]);
                }
            }
            News::NoAddress { user, reason } if user == about => self.not_begun(peers::no_address(user, reason)),
            _ => {}
        }
    }

    fn print_event(&mut self, kind: &'static str, plain: String, json: String) {
        self.script.print_event(kind, plain, json);
        self.look();
    }

    /// Looks whether what `wait` waits for has been printed.
    fn look(&mut self) {
        if let Some(Doing::Wait { text, .. }) = &self.doing
            && self.script.finds(text)
        {
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

#[cfg(test)]
mod tests;
