//! Where passwords come from: a file, standard input, or the person at the terminal, who does not see them.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::path::Path;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::TRIES;
use super::errand::Passwords;
use super::exit::{Failure, Status};
use super::render::visible_line;
use crate::wire::{Password, UserName};

/// The longest first line of a password file, or of standard input, that is read, in bytes.
const LINE_BYTES_MAX: u64 = 4096;

/// The first line of the file.
pub fn in_file(path: &Path) -> Result<String, Failure> {
    let unreadable = |why: String| {
        let text = format!("can't read a password from {}: {why}", visible_line(&path.to_string_lossy()));
        Failure::new(Status::Unreadable, text)
    };
    let file = File::open(path).map_err(|error| unreadable(error.to_string()))?;
    let line = first_line(file).map_err(|error| unreadable(error.to_string()))?;
    line.ok_or_else(|| unreadable("its first line is empty".to_owned()))
}

/// A new password: from the file, else from the person, else from standard input. `tell`: what the person did wrong.
pub fn new(user: &UserName, file: Option<&Path>, tell: &dyn Fn(&str)) -> Result<Password, Failure> {
    match file {
        Some(file) => valid(&in_file(file)?),
        None if io::stdin().is_terminal() => ask_new(user, tell),
        None => {
            let unreadable = |why: &str| {
                Failure::new(Status::Unreadable, format!("can't read the new password from standard input: {why}"))
            };
            let line = first_line(io::stdin().lock()).map_err(|error| unreadable(&error.to_string()))?;
            valid(&line.ok_or_else(|| unreadable("its first line is empty"))?)
        }
    }
}

/// Asks for the password of now.
pub fn ask(user: &UserName) -> Result<String, Failure> {
    prompt(&format!("password of {user}: "))
}

/// Asks for the password of now and for a new one.
pub fn ask_both(user: &UserName) -> Result<Passwords, Failure> {
    let old = valid(&ask(user)?)?;
    Ok(Passwords { old, new: ask_new(user, &super::warn)? })
}

/// Asks for a new password, twice.
pub fn ask_new(user: &UserName, tell: &dyn Fn(&str)) -> Result<Password, Failure> {
    for _ in 0..TRIES {
        let new = prompt(&format!("new password of {user}: "))?;
        match valid(&new) {
            Err(why) => tell(&why.text),
            Ok(password) if prompt("the same again: ")? == new => return Ok(password),
            Ok(_) => tell("that was not the same"),
        }
    }
    Err(Failure::usage("there is no new password: nothing is changed"))
}

/// The password, if it is one.
pub fn valid(text: &str) -> Result<Password, Failure> {
    Password::parse(text).map_err(Failure::usage)
}

fn first_line(input: impl Read) -> io::Result<Option<String>> {
    let mut line = String::new();
    BufReader::new(input.take(LINE_BYTES_MAX)).read_line(&mut line)?;
    let password = line.trim_end_matches(['\r', '\n']);
    Ok((!password.is_empty()).then(|| password.to_owned()))
}

fn prompt(prompt: &str) -> Result<String, Failure> {
    let _silence = Silence::begin();
    rpassword::prompt_password(prompt).map_err(|error| match error.kind() {
        io::ErrorKind::Interrupted => Failure::new(Status::Interrupted, "interrupted"),
        _ => Failure::new(
            Status::Refused,
            "there is no password and no terminal to ask for it: use --password-file FILE or CHAT_PASSWORD",
        ),
    })
}

/// The terminal does not echo as long as this lives. It begins before the prompt is there: whoever answers a prompt faster
/// than `rpassword` sets the terminal would see the password.
struct Silence {
    terminal: File,
    before: Termios,
}

impl Silence {
    fn begin() -> Option<Silence> {
        let terminal = File::open("/dev/tty").ok()?;
        let before = tcgetattr(&terminal).ok()?;
        let mut silent = before.clone();
        silent.local_modes -= LocalModes::ECHO;
        tcsetattr(&terminal, OptionalActions::Now, &silent).ok()?;
        Some(Silence { terminal, before })
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // A terminal that is gone needs no care.
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}
