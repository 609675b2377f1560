//! The line editor, on a thread of its own because it blocks: what was typed, and what Tab makes of it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
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

use super::super::command::{self, Command, TABLE};
use super::super::errand::Passwords;
use super::super::exit::Failure;
use super::super::passwords;
use crate::net::link::Bell;
use crate::wire::UserName;

/// How many typed lines are remembered.
const LINES_MAX: usize = 1000;

/// What the editor's thread says.
pub(super) enum Typed {
    Line(String),
    /// `passwd`, and what was asked for.
    Passwords(Result<Passwords, Failure>),
    /// Ctrl-D, or the terminal is gone.
    End,
    /// Ctrl-C on an empty line.
    Interrupt,
}

/// The names that completion knows.
pub(super) type Names = Arc<Mutex<BTreeSet<UserName>>>;

pub(super) fn locked(names: &Names) -> MutexGuard<'_, BTreeSet<UserName>> {
    names.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) type Editing = (Receiver<Typed>, Option<Box<dyn ExternalPrinter + Send>>);

/// Starts the editor on its thread.
pub(super) fn read_lines(
    user: &UserName,
    lines: Option<PathBuf>,
    names: Names,
    asks: bool,
    bell: Bell,
) -> rustyline::Result<Editing> {
    let mut editor: Editor<Completion, DefaultHistory> = Editor::new()?;
    editor.set_max_history_size(LINES_MAX)?;
    editor.set_helper(Some(Completion { names }));
    editor.bind_sequence(KeyEvent::ctrl('C'), EventHandler::Conditional(Box::new(CtrlC)));
    if let Some(path) = &lines {
        // The first time there is none.
        let _ = editor.load_history(path);
    }
    let printer = match editor.create_external_printer() {
        Ok(printer) => Some(Box::new(printer) as Box<dyn ExternalPrinter + Send>),
        Err(_) => None,
    };
    let (sender, receiver) = channel();
    // Where nothing can be printed above a prompt, what comes in would be printed behind it.
    let prompt = if printer.is_some() { format!("{user}> ") } else { String::new() };
    let asks = asks.then(|| user.clone());
    thread::spawn(move || {
        read(&mut editor, &prompt, lines.as_deref(), asks.as_ref(), &sender, &bell);
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
                match (command::parse_line(&line, false), asks) {
                    (Ok(Some(Command::ChangePassword)), Some(user)) => Typed::Passwords(passwords::ask_both(user)),
                    _ => Typed::Line(line),
                }
            }
            Err(ReadlineError::Interrupted) => Typed::Interrupt,
            Err(_) => Typed::End,
        };
        // After a log-out no further prompt is of use.
        let last = match &typed {
            Typed::Line(line) => matches!(command::parse_line(line, false), Ok(Some(Command::LogOut))),
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
        Ok(complete(&line[..position], &locked(&self.names)))
    }
}

/// Where the word begins that ends the line, and what it can become.
fn complete(line: &str, names: &BTreeSet<UserName>) -> (usize, Vec<String>) {
    let start = line.trim_end_matches(|c: char| !c.is_whitespace()).len();
    let (before, word) = line.split_at(start);
    let candidates = match command::find(before.trim()) {
        _ if before.trim().is_empty() => {
            let fitting = TABLE.iter().filter(|entry| entry.name.starts_with(word));
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
        let complete = |line| complete(line, &names);
        assert_eq!(complete("bl"), (0, vec!["block ".into(), "blocked".into()]));
        assert_eq!(complete("message b"), (8, vec!["bert ".into(), "bob ".into()]));
        assert_eq!(complete("message a"), (8, vec!["Alice ".into()]));
        assert_eq!(complete("message bob b"), (12, vec![]));
        assert_eq!(complete("broadcast b"), (10, vec![]));
        assert_eq!(complete("é\u{2003}b"), (5, vec![]));
        assert_eq!(complete("").1.len(), TABLE.len());
    }
}
