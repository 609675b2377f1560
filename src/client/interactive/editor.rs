//! The line editor, on a thread of its own because it blocks: what was typed, and what Tab makes of it.
//!
//! In a chat the prompt shows with whom, and a line counts as what it was when it was typed: the chat that the person saw may be
//! over since.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

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

use super::super::command::{self, Command, InChat};
use super::super::core::Request;
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

/// How long the next prompt waits until it is known whether a chat has begun or ended.
const PROMPT_WITHIN: Duration = Duration::from_secs(5);

/// What the editor's thread says.
pub enum Typed {
    Line(String),
    /// In a chat with this user.
    InChat {
        with: UserName,
        line: String,
    },
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
pub struct Keyboard {
    typed: Option<Receiver<Entered>>,
    chats: Option<Sender<Chatting>>,
    /// What was told last.
    chats_with: Option<UserName>,
    /// The editor waits to be told.
    waits: bool,
}

/// What comes from the editor's thread.
struct Entered {
    typed: Typed,
    /// No prompt comes before it is told with whom the person chats.
    waits: bool,
}

/// What goes to it.
struct Chatting {
    with: Option<UserName>,
    /// A prompt waits for this.
    is_awaited: bool,
}

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
        let (sender, chats) = channel();
        let (typed, printer) = read_lines(purpose, chats, bell)?;
        *self = Keyboard { typed: Some(typed), chats: Some(sender), chats_with: None, waits: false };
        Ok(printer)
    }

    /// Whether somebody may still type.
    pub fn is_open(&self) -> bool {
        self.typed.is_some()
    }

    /// What was typed next, if there is something. Nothing comes after the end.
    pub fn next(&mut self) -> Option<Typed> {
        let Entered { typed, waits } = match self.typed.as_ref()?.try_recv() {
            Ok(entered) => entered,
            Err(TryRecvError::Empty) => return None,
            Err(TryRecvError::Disconnected) => Entered { typed: Typed::End, waits: false },
        };
        if matches!(typed, Typed::End | Typed::Interrupt) {
            self.typed = None;
        }
        self.waits |= waits;
        Some(typed)
    }

    /// Tells with whom the person chats from now on: the next prompt shows it. Not to be called while that is being decided.
    pub fn chats_with(&mut self, user: Option<&UserName>) {
        let is_awaited = std::mem::take(&mut self.waits);
        if !is_awaited && self.chats_with.as_ref() == user {
            return;
        }
        self.chats_with = user.cloned();
        if let Some(chats) = &self.chats {
            // Nobody may type any more.
            let _ = chats.send(Chatting { with: user.cloned(), is_awaited });
        }
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
fn read_lines(
    purpose: Purpose,
    chats: Receiver<Chatting>,
    bell: Bell,
) -> rustyline::Result<(Receiver<Entered>, Option<Printer>)> {
    let Purpose { protocol, user, lines, names, asks } = purpose;
    let mut editor: Editor<Completion, DefaultHistory> = Editor::new()?;
    editor.set_max_history_size(LINES_MAX)?;
    editor.set_helper(Some(Completion { protocol, names, in_chat: false }));
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
    let prompts = printer.is_some();
    let reader = Reader { editor, protocol, user, lines, prompts, asks, chats, chat: None };
    thread::spawn(move || {
        reader.read(&sender, &bell);
        drop(sender);
        bell.ring();
    });
    Ok((receiver, printer))
}

/// What the editor's thread has.
struct Reader {
    editor: Editor<Completion, DefaultHistory>,
    protocol: Protocol,
    user: UserName,
    lines: Option<PathBuf>,
    /// Where nothing can be printed above a prompt, what comes in would be printed behind it.
    prompts: bool,
    /// `passwd` asks for passwords; here, because whoever types is here.
    asks: bool,
    chats: Receiver<Chatting>,
    /// With whom the person chats, as the prompt shows it.
    chat: Option<UserName>,
}

impl Reader {
    /// Until nobody types any more.
    fn read(mut self, sender: &Sender<Entered>, bell: &Bell) {
        loop {
            self.look_for_chat();
            let prompt = self.prompt();
            let (typed, command) = match self.editor.readline(&prompt) {
                Ok(line) => {
                    self.remember(&line);
                    let command = self.command(&line);
                    (self.typed(line, command.as_ref()), command)
                }
                Err(ReadlineError::Interrupted) => (Typed::Interrupt, None),
                Err(_) => (Typed::End, None),
            };
            // After a log-out no further prompt is of use.
            let last = matches!(typed, Typed::End | Typed::Interrupt) || command == Some(Command::LogOut);
            let waits = matches!(command, Some(Command::Ask(Request::Chat { .. } | Request::EndChat)));
            if sender.send(Entered { typed, waits }).is_err() || last {
                return;
            }
            bell.ring();
            if waits {
                self.wait_for_chat();
            }
        }
    }

    /// Until it is decided whether there is a chat. What was told before that counts, but does not decide it.
    fn wait_for_chat(&mut self) {
        let until = Instant::now() + PROMPT_WITHIN;
        while let Ok(told) = self.chats.recv_timeout(until.saturating_duration_since(Instant::now())) {
            self.chat = told.with;
            if told.is_awaited {
                return;
            }
        }
    }

    /// Takes what has been told of chats meanwhile.
    fn look_for_chat(&mut self) {
        while let Ok(told) = self.chats.try_recv() {
            self.chat = told.with;
        }
        let in_chat = self.chat.is_some();
        if let Some(completion) = self.editor.helper_mut() {
            completion.in_chat = in_chat;
        }
    }

    fn prompt(&self) -> String {
        match &self.chat {
            _ if !self.prompts => String::new(),
            None => format!("{}> ", self.user),
            Some(chat) => format!("{} to {chat}> ", self.user),
        }
    }

    fn remember(&mut self, line: &str) {
        if matches!(self.editor.add_history_entry(line), Ok(true))
            && let Some(path) = &self.lines
        {
            // A history that can't be kept is not worth a word at every line.
            let _ = self.editor.append_history(path);
        }
    }

    /// The command of a line, if it is one.
    fn command(&self, line: &str) -> Option<Command> {
        let line = match (&self.chat, command::read_in_chat(line)) {
            (None, _) => line,
            (Some(_), InChat::Command(line)) => line,
            (Some(_), InChat::Said(_)) => return None,
        };
        command::parse_line(line, self.protocol, false).ok().flatten()
    }

    fn typed(&self, line: String, command: Option<&Command>) -> Typed {
        match (command, &self.chat) {
            (Some(Command::ChangePassword), _) if self.asks => Typed::Passwords(passwords::ask_both(&self.user)),
            (_, None) => Typed::Line(line),
            (_, Some(with)) => Typed::InChat { with: with.clone(), line },
        }
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
    in_chat: bool,
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
        let line = &line[..position];
        let line = match line.strip_prefix(command::COMMAND_MARK) {
            Some(command) if self.in_chat => command,
            None if self.in_chat => return Ok((position, Vec::new())),
            _ => line,
        };
        let (start, candidates) = complete(line, self.protocol, &locked(&self.names));
        Ok((position - line.len() + start, candidates))
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
        assert_eq!(complete("").1.len(), command::known_to(Protocol::Native).count());
        assert_eq!(complete_in(Protocol::Nick, "b"), (0, vec!["broadcast ".into()]));
    }
}
