//! The line editor, on a thread of its own because it blocks: what was typed, and what Tab makes of it.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustyline::completion::Completer;
use rustyline::config::Configurer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::Validator;
use rustyline::{
    Cmd, ConditionalEventHandler, Context, Editor, Event, EventContext, EventHandler, ExternalPrinter, Helper,
    KeyEvent, Movement, RepeatCount,
};

use super::super::command::{self, Command};
use super::super::errand::Passwords;
use super::super::exit::Failure;
use super::super::interrupt::Interrupt;
use super::super::passwords;
use crate::net::link::Bell;
use crate::wire::Protocol;
use crate::wire::UserName;

/// How many typed lines are remembered.
const LINES_MAX: usize = 1000;
/// How many names completion knows.
const NAMES_MAX: usize = 1000;

/// What the editor's thread says.
pub enum Typed {
    Line(String),
    /// `passwd`, and what was asked for.
    Passwords(Result<Passwords, Failure>),
    /// Ctrl-D, or the terminal is gone.
    End,
    /// Ctrl-C on an empty line.
    Interrupt,
}

/// The names that completion knows.
pub type Names = Arc<Mutex<BTreeSet<UserName>>>;

/// From now on completion knows these too, as far as there is room.
pub fn know(names: &Names, users: &[UserName]) {
    let mut names = locked(names);
    for user in users {
        if names.len() < NAMES_MAX {
            names.insert(user.clone());
        }
    }
}

fn locked(names: &Names) -> MutexGuard<'_, BTreeSet<UserName>> {
    names.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What prints above the line that is being typed.
pub type Printer = Box<dyn ExternalPrinter + Send>;

/// Where a person types, as long as they do.
#[derive(Default)]
pub struct Keyboard(Option<Receiver<Typed>>);

/// What an editor is for.
pub struct Purpose {
    pub protocol: Protocol,
    /// Who types.
    pub user: UserName,
    /// Where the typed lines are kept.
    pub lines: Option<PathBuf>,
    pub names: Names,
    /// `passwd` asks for passwords at once.
    pub asks: bool,
}

impl Keyboard {
    /// Starts an editor. Comes back: what prints above its line; `None`: the terminal can do no better.
    pub fn open(&mut self, purpose: Purpose, bell: Bell) -> rustyline::Result<Option<Printer>> {
        let (receiver, printer) = read_lines(purpose, bell)?;
        self.0 = Some(receiver);
        Ok(printer)
    }

    /// Whether somebody may still type.
    pub fn is_open(&self) -> bool {
        self.0.is_some()
    }

    /// What was typed next, if there is something. Nothing comes after the end.
    pub fn next(&mut self) -> Option<Typed> {
        let typed = match self.0.as_ref()?.try_recv() {
            Ok(typed) => typed,
            Err(TryRecvError::Empty) => return None,
            Err(TryRecvError::Disconnected) => Typed::End,
        };
        if matches!(typed, Typed::End | Typed::Interrupt) {
            self.0 = None;
        }
        Some(typed)
    }

    /// The editor may still wait for a line: leaves the terminal as it was found, below what was being typed. `prints`:
    /// whether there is a printer.
    pub fn abandon(self, interrupt: &Interrupt, prints: bool) {
        if self.is_open() {
            interrupt.restore_terminal();
            let end_of_line: &[u8] = if prints { b"\x1b[?2004l\r\n" } else { b"\n" };
            let _ = io::stdout().write_all(end_of_line);
        }
    }
}

/// Starts the editor on its thread.
fn read_lines(purpose: Purpose, bell: Bell) -> rustyline::Result<(Receiver<Typed>, Option<Printer>)> {
    let Purpose { protocol, user, lines, names, asks } = purpose;
    let mut editor: Editor<Completion, DefaultHistory> = Editor::new()?;
    editor.set_max_history_size(LINES_MAX)?;
    editor.set_helper(Some(Completion { protocol, names }));
    editor.bind_sequence(KeyEvent::ctrl('C'), EventHandler::Conditional(Box::new(CtrlC)));
    if let Some(path) = &lines {
        // The first time there is none.
        let _ = editor.load_history(path);
    }
    let printer = match editor.create_external_printer() {
        Ok(printer) => Some(Box::new(printer) as Printer),
        Err(_) => None,
    };
    let (sender, receiver) = channel();
    // Where nothing can be printed above a prompt, what comes in would be printed behind it.
    let prompt = if printer.is_some() { format!("{user}> ") } else { String::new() };
    let asks = asks.then_some(user);
    thread::spawn(move || {
        read(&mut editor, &prompt, protocol, lines.as_deref(), asks.as_ref(), &sender, &bell);
        drop(editor);
        drop(sender);
        bell.ring();
    });
    Ok((receiver, printer))
}

/// `asks`: whose passwords are asked for at `passwd`; here, because whoever types is here.
fn read(
    editor: &mut Editor<Completion, DefaultHistory>,
    prompt: &str,
    protocol: Protocol,
    lines: Option<&Path>,
    asks: Option<&UserName>,
    sender: &Sender<Typed>,
    bell: &Bell,
) {
    loop {
        let typed = match editor.readline(prompt) {
            Ok(line) => {
                if matches!(editor.add_history_entry(line.as_str()), Ok(true))
                    && let Some(path) = lines
                {
                    // A history that can't be kept is not worth a word at every line.
                    let _ = editor.append_history(path);
                }
                match (command::parse_line(&line, protocol, false), asks) {
                    (Ok(Some(Command::ChangePassword)), Some(user)) => Typed::Passwords(passwords::ask_both(user)),
                    _ => Typed::Line(line),
                }
            }
            Err(ReadlineError::Interrupted) => Typed::Interrupt,
            Err(_) => Typed::End,
        };
        // After a log-out no further prompt is of use.
        let last = match &typed {
            Typed::Line(line) => matches!(command::parse_line(line, protocol, false), Ok(Some(Command::LogOut))),
            Typed::Passwords(_) => false,
            Typed::End | Typed::Interrupt => true,
        };
        if sender.send(typed).is_err() || last {
            return;
        }
        bell.ring();
    }
}

/// Ctrl-C clears a line that has something on it; on an empty one it ends the session.
struct CtrlC;

impl ConditionalEventHandler for CtrlC {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, context: &EventContext) -> Option<Cmd> {
        Some(if context.line().is_empty() { Cmd::Interrupt } else { Cmd::Kill(Movement::WholeBuffer) })
    }
}

/// Completes commands and the names that have been seen.
struct Completion {
    protocol: Protocol,
    names: Names,
}

impl Helper for Completion {}

impl Highlighter for Completion {}

impl Hinter for Completion {
    type Hint = String;
}

impl Validator for Completion {}

impl Completer for Completion {
    type Candidate = String;

    fn complete(&self, line: &str, position: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(complete(&line[..position], self.protocol, &locked(&self.names)))
    }
}

/// Where the word begins that ends the line, and what it can become.
fn complete(line: &str, protocol: Protocol, names: &BTreeSet<UserName>) -> (usize, Vec<String>) {
    let start = line.trim_end_matches(|c: char| !c.is_whitespace()).len();
    let (before, word) = line.split_at(start);
    let candidates = match command::find(before.trim()) {
        _ if before.trim().is_empty() => {
            let fitting = command::known_to(protocol).filter(|entry| entry.name.starts_with(word));
            fitting.map(|entry| entry.name.to_owned() + if entry.arguments.is_empty() { "" } else { " " }).collect()
        }
        Some(entry) if entry.takes_user() => {
            let word = word.to_ascii_lowercase();
            names.iter().filter(|name| name.folded().starts_with(&word)).map(|name| format!("{name} ")).collect()
        }
        _ => Vec::new(),
    };
    (start, candidates)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> UserName {
        UserName::parse(text).unwrap()
    }

    #[test]
    fn commands_and_names_are_completed() {
        let names = ["Alice", "bob", "bert"].map(name).into_iter().collect();
        let complete_in = |protocol, line| complete(line, protocol, &names);
        let complete = |line| complete_in(Protocol::Native, line);
        assert_eq!(complete("bl"), (0, vec!["block ".into(), "blocked".into()]));
        assert_eq!(complete("message b"), (8, vec!["bert ".into(), "bob ".into()]));
        assert_eq!(complete("message a"), (8, vec!["Alice ".into()]));
        assert_eq!(complete("message bob b"), (12, vec![]));
        assert_eq!(complete("broadcast b"), (10, vec![]));
        assert_eq!(complete("é\u{2003}b"), (5, vec![]));
        assert_eq!(complete("").1.len(), command::TABLE.len());
        assert_eq!(complete_in(Protocol::Nick, "b"), (0, vec!["broadcast ".into()]));
    }
}
