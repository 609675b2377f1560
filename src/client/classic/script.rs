//! Commands from standard input, one a line, done in order; what comes in is printed as it comes.
//!
//! `Batch` is pure; `FromInput` joins it with the thread that reads, and with the two outputs.

use std::sync::mpsc::{Receiver, TryRecvError};

use super::run::Manner;
use super::{Done, Event, Happening, Now, Request, Session, Tag, show};
use crate::client::batch::{Line, Script, ScriptLine, read_lines, show as print_lines};
use crate::client::command::Command;
use crate::client::exit::{Failure, Status};
use crate::client::output::Ended;
use crate::client::{render, warn};
use crate::net::link::Bell;
use crate::wire::Protocol;

/// A script in progress.
struct Batch {
    protocol: Protocol,
    json: bool,
    script: Script,
    doing: Option<Doing>,
    leaving: bool,
}

enum Doing {
    Answer(Tag),
    Wait { text: String, until: Now },
}

impl Batch {
    fn new(protocol: Protocol, json: bool) -> Batch {
        Batch { protocol, json, script: Script::new(json), doing: None, leaving: false }
    }

    /// Whether the next line can come.
    fn is_ready(&self) -> bool {
        self.doing.is_none() && !self.leaving
    }

    /// Begins with the next line; `Err`: it could not be read.
    fn line(&mut self, session: &mut dyn Session, now: Now, line: Result<&str, &str>) {
        match self.script.command(line, self.protocol, false) {
            Ok(None) => {}
            Ok(Some(Command::Wait { text, within })) => {
                self.doing = Some(Doing::Wait { text, until: now.saturating_add(within) });
                self.look();
            }
            Ok(Some(Command::LogOut)) => self.leaving = true,
            Ok(Some(Command::Help)) => self.script.help(self.protocol),
            Ok(Some(command)) => match Request::of(command) {
                Some(Ok(request)) => self.doing = Some(Doing::Answer(session.ask(now, request))),
                Some(Err(failure)) => self.script.fail(&failure),
                None => {}
            },
            Err(failure) => self.script.fail(&failure),
        }
    }

    fn answered(&mut self, tag: Tag, answer: Result<Done, Failure>) {
        if !matches!(self.doing, Some(Doing::Answer(awaited)) if awaited == tag) {
            return;
        }
        self.doing = None;
        match answer {
            Err(failure) => self.script.fail(&failure),
            Ok(done) if self.json => self.script.data([show::answer_json(&done)]),
            Ok(done) => {
                let lines = show::answer_lines(&done);
                let ok =
                    !matches!(done, Done::Online(_) | Done::Address { .. } | Done::History(_) | Done::NoHistory(_));
                if let Some(remark) = show::remark(&done) {
                    self.script.remark(&remark);
                }
                self.script.data(ok.then(|| "ok".to_owned()).into_iter().chain(lines));
            }
        }
    }

    fn event(&mut self, event: &Event) {
        self.script.print_event(show::event_kind(event), show::event_line(event), show::event_json(event));
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

    /// Gives up what has taken too long.
    fn tick(&mut self, now: Now) {
        if let Some(Doing::Wait { text, until }) = &self.doing
            && *until <= now
        {
            let why = format!("'{}' did not come in time", render::visible_line(text));
            self.doing = None;
            self.script.fail(&Failure::new(Status::TryAgain, why));
        }
    }

    fn poll_timeout(&self) -> Option<Now> {
        match &self.doing {
            Some(Doing::Wait { until, .. }) => Some(*until),
            Some(Doing::Answer(_)) | None => None,
        }
    }

    fn take_lines(&mut self) -> Vec<Line> {
        self.script.take_lines()
    }
}

/// A script from standard input.
pub struct FromInput {
    batch: Batch,
    bell: Bell,
    /// From the log-in on.
    lines: Option<Receiver<ScriptLine>>,
}

impl FromInput {
    pub fn new(protocol: Protocol, json: bool, bell: Bell) -> FromInput {
        FromInput { batch: Batch::new(protocol, json), bell, lines: None }
    }
}

impl Manner for FromInput {
    fn hear(&mut self, _: &mut dyn Session, _: Now, happening: Happening) -> Result<(), Ended> {
        match happening {
            Happening::LoggedIn { .. } => _ = self.lines.get_or_insert_with(|| read_lines(self.bell.clone())),
            Happening::Answered { tag, answer } => self.batch.answered(tag, answer),
            Happening::Event(event) => self.batch.event(&event),
            Happening::Warning(text) => warn(&text),
            Happening::End(_) => {}
        }
        print_lines(self.batch.take_lines())
    }

    fn go_on(&mut self, session: &mut dyn Session, now: Now) -> Result<Option<Status>, Ended> {
        self.batch.tick(now);
        while let Some(lines) = self.lines.as_ref().filter(|_| self.batch.is_ready()) {
            match lines.try_recv() {
                Ok(line) => self.batch.line(session, now, line.as_deref().map_err(|why| *why)),
                Err(TryRecvError::Disconnected) => self.batch.leaving = true,
                Err(TryRecvError::Empty) => break,
            }
        }
        print_lines(self.batch.take_lines())?;
        Ok(self.batch.leaving.then(|| self.batch.script.status()))
    }

    fn poll_timeout(&self) -> Option<Now> {
        self.batch.poll_timeout()
    }
}

#[cfg(test)]
mod tests;
