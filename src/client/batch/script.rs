//! What every script has, whatever the protocol: lines with numbers, the first failure, and what was printed, in which `wait`
//! looks.

use std::collections::VecDeque;

use super::super::command::{self, Command};
use super::super::exit::{Failure, Status};
use crate::wire::Protocol;

/// How many printed events `wait` can still find.
const PRINTED_MAX: usize = 1000;

/// A script in progress.
pub struct Script {
    json: bool,
    line_number: usize,
    /// What `wait` has not found yet, the oldest first.
    printed: VecDeque<Printed>,
    first_failure: Option<Status>,
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

struct Printed {
    kind: &'static str,
    plain: String,
    json: Option<String>,
}

impl Script {
    pub fn new(json: bool) -> Script {
        Script { json, line_number: 0, printed: VecDeque::new(), first_failure: None, out: Vec::new() }
    }

    /// The command of the next line, if there is one on it; `Err`: it could not be read.
    pub fn command(
        &mut self,
        line: Result<&str, &str>,
        protocol: Protocol,
        receipts: bool,
    ) -> Result<Option<Command>, Failure> {
        self.line_number += 1;
        line.map_err(Failure::usage).and_then(|line| command::parse_line(line, protocol, receipts))
    }

    /// What is to be printed.
    pub fn take_lines(&mut self) -> Vec<Line> {
        std::mem::take(&mut self.out)
    }

    /// What the script ends with.
    pub fn status(&self) -> Status {
        self.first_failure.unwrap_or(Status::Done)
    }

    /// Prints lines for standard output.
    pub fn data(&mut self, lines: impl IntoIterator<Item = String>) {
        self.out.extend(lines.into_iter().map(Line::Data));
    }

    /// Prints the commands of a protocol.
    pub fn help(&mut self, protocol: Protocol) {
        self.data(command::help(protocol).lines().map(str::to_owned));
    }

    /// Tells something about the line that came last.
    pub fn remark(&mut self, text: &str) {
        self.out.push(Line::Complaint(format!("line {}: {text}", self.line_number)));
    }

    /// Notes a failure of the line that came last; the script goes on.
    pub fn fail(&mut self, failure: &Failure) {
        self.first_failure.get_or_insert(failure.status);
        self.out.push(Line::Complaint(format!("line {}: {}", self.line_number, failure.text)));
    }

    /// Prints an event, in one of its two forms.
    pub fn print_event(&mut self, kind: &'static str, plain: String, json: String) {
        let json = self.json.then_some(json);
        self.out.push(Line::Data(json.as_ref().unwrap_or(&plain).clone()));
        if self.printed.len() == PRINTED_MAX {
            self.printed.pop_front();
        }
        self.printed.push_back(Printed { kind, plain, json });
    }

    /// Whether an event was printed that contains `text`, or is of that kind. Each is found once.
    pub fn finds(&mut self, text: &str) -> bool {
        let fits = |printed: &Printed| {
            printed.kind == text
                || printed.plain.contains(text)
                || printed.json.as_ref().is_some_and(|json| json.contains(text))
        };
        let found = self.printed.iter().position(fits);
        found.is_some_and(|found| self.printed.remove(found).is_some())
    }
}
