//! `chatd user`: the accounts of the database. A server that runs there does it; where none runs, one is started for the
//! moment, without a port.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use chatd::client::interrupt::Interrupt;
use chatd::client::operator::{Done, Operator};
use chatd::client::passwords;
use chatd::hub::Config;
use chatd::hub::change::Snapshot;
use chatd::net::server::{Options, Stopper};
use chatd::store::{Durability, Hooks, OpenError, Opened, Store};
use chatd::wire::native::client::Told;
use chatd::wire::{Listed, Operation, Password, UserName};
use clap::Subcommand;
use rustix::process::geteuid;

use crate::accounts_file::AccountsFile;
use crate::failure::{DATA_DIRECTORY, FAULT, Failure, PERMISSION, TRY_AGAIN};
use crate::files;
use crate::{Arguments, data_directory, print, start};

#[derive(Subcommand, Debug)]
pub enum Action {
    /// Make an account
    Add {
        name: UserName,
        /// Keep the password itself, sealed: the classic clients' log-on needs it
        #[arg(long)]
        classic: bool,
        /// File whose first line is the password [default: asked for, or the first line of standard input]
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Give an account another password; its sessions end
    Passwd {
        name: UserName,
        /// Keep the password itself, sealed, or no longer; without this it stays as it is
        #[arg(long, value_name = "yes|no", num_args = 0..=1, require_equals = true, default_missing_value = "yes",
              value_parser = yes_or_no)]
        classic: Option<bool>,
        /// File whose first line is the password [default: asked for, or the first line of standard input]
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Remove an account; its name is free, and its messages are not the next owner's
    Remove { name: UserName },
    /// Show all accounts: name, file or database, and classic, hashed, online, locked
    List,
    /// End the lock-outs of a name
    Unlock { name: UserName },
    /// End all sessions of a user, who may log in again
    Kick { name: UserName },
}

/// So long it is waited for another one who has the database for a moment.
const BUSY_WITHIN: Duration = Duration::from_secs(2);
const BUSY_LOOK_EVERY: Duration = Duration::from_millis(20);

fn yes_or_no(text: &str) -> Result<bool, String> {
    match text {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err("it is yes or no".to_owned()),
    }
}

pub fn run(arguments: &Arguments, action: &Action) -> Result<(), Failure> {
    let directory = data_directory(arguments)?;
    check(&directory, action)?;
    // Whoever gives up at a prompt gets their terminal back as it was.
    let _interrupt = Interrupt::watch();
    let operation = operation(action)?;
    if let Operation::Add { classic: true, .. } | Operation::SetPassword { classic: Some(true), .. } = operation {
        say(&format!(
            "the password itself is kept, sealed with {}/sealing.key: whoever has that file and the database can read \
             it, and the classic clients that need it are not encrypted",
            directory.display()
        ));
    }
    let done = reach(arguments, &directory, operation)?;
    show(&done)
}

/// Asks the server that runs there, or one for the moment. While another one begins or ends there, neither can be had.
fn reach(arguments: &Arguments, directory: &Path, operation: Operation) -> Result<Done, Failure> {
    let end = Instant::now() + BUSY_WITHIN;
    loop {
        match Operator::connect(directory) {
            Ok(operator) => return ask(operator, operation),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(Failure::unreachable(directory, &error));
            }
            // None runs there, or one was killed; what else may be wrong is told by the store.
            Err(_) => {}
        }
        match Store::open(directory, Durability::Full, Hooks::default()) {
            Ok((store, snapshot)) => return without_a_server(arguments, directory, store, snapshot, operation),
            Err(OpenError::InUse { .. }) if Instant::now() < end => thread::sleep(BUSY_LOOK_EVERY),
            Err(OpenError::InUse { .. }) => {
                return Err(Failure::new(TRY_AGAIN, "a server is just starting or ending there: try again"));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// A directory that was mistyped, or is another user's, is left alone.
fn check(directory: &Path, action: &Action) -> Result<(), Failure> {
    if !Store::exists(directory) && !matches!(action, Action::Add { .. }) {
        let text = format!("there is no chatd in {}: name its directory with --data-dir", directory.display());
        return Err(Failure::new(DATA_DIRECTORY, text));
    }
    let owner = fs::metadata(directory).map(|metadata| metadata.uid()).ok();
    if owner.is_some_and(|owner| owner != geteuid().as_raw()) {
        let text = format!("{} is another user's: be the user that runs chatd there", directory.display());
        return Err(Failure::new(PERMISSION, text));
    }
    Ok(())
}

/// Starts a server without a port and without a control socket, asks it, and stops it.
fn without_a_server(
    arguments: &Arguments,
    directory: &Path,
    store: Opened,
    snapshot: Snapshot,
    operation: Operation,
) -> Result<Done, Failure> {
    let accounts = AccountsFile::of_operator(arguments.credentials.as_deref(), directory).read()?;
    let sealing_key = Some(files::sealing_key(directory)?);
    let config = Config { accounts_only: true, sealing_key, ..Config::default() };
    let failed = |error: io::Error| Failure::new(FAULT, format!("the database can't be opened for this: {error}"));
    let (ours, servers) = UnixStream::pair().map_err(failed)?;
    let options = Options { operator: Some(servers), ..Options::default() };
    let server = start(options, config, store, snapshot, accounts).map_err(|error| failed(io::Error::other(error)))?;
    let stop = StopAtEnd(server.stopper());
    let running = thread::spawn(move || server.run());
    let done = Operator::over(ours).map_err(failed).and_then(|operator| ask(operator, operation));
    drop(stop);
    match running.join() {
        Ok(Ok(_)) => done,
        Ok(Err(error)) => Err(failed(error)),
        // Its own hook has told.
        Err(_) => Err(Failure::new(FAULT, "that went wrong")),
    }
}

struct StopAtEnd(Stopper);

impl Drop for StopAtEnd {
    fn drop(&mut self) {
        // It fails only if nothing is left to be stopped.
        let _ = self.0.stop();
    }
}

fn ask(mut operator: Operator, operation: Operation) -> Result<Done, Failure> {
    operator.ask(operation).map_err(|failure| Failure::new(failure.status as u8, failure.text))
}

fn operation(action: &Action) -> Result<Operation, Failure> {
    Ok(match action {
        Action::Add { name, classic, password_file } => Operation::Add {
            name: name.clone(),
            password: password(name, password_file.as_deref())?,
            classic: *classic,
        },
        Action::Passwd { name, classic, password_file } => Operation::SetPassword {
            name: name.clone(),
            password: password(name, password_file.as_deref())?,
            classic: *classic,
        },
        Action::Remove { name } => Operation::Remove(name.clone()),
        Action::List => Operation::List,
        Action::Unlock { name } => Operation::Unlock(name.clone()),
        Action::Kick { name } => Operation::Kick(name.clone()),
    })
}

fn show(done: &Done) -> Result<(), Failure> {
    let text = match done {
        Done::Told(Told::UserAdded { user }) => format!("{user} has an account\n"),
        Done::Told(Told::PasswordChanged { user }) => format!("{user} has another password\n"),
        Done::Told(Told::UserRemoved { user }) => format!("{user} has no account any more\n"),
        Done::Told(Told::UserUnlocked { user }) => format!("{user} is not locked out\n"),
        Done::Told(Told::UserKicked { user, sessions: 1 }) => format!("{user}: 1 session ended\n"),
        Done::Told(Told::UserKicked { user, sessions }) => format!("{user}: {sessions} sessions ended\n"),
        Done::Told(_) => return Err(Failure::new(FAULT, "the server's answer is for something else")),
        Done::Accounts(accounts) => accounts.iter().map(row).collect(),
    };
    print(text.as_bytes())
}

/// `NAME WHERE NOTES`, for people and for scripts.
fn row(account: &Listed) -> String {
    let Listed { name, in_file, classic, hashed, online, locked } = account;
    let notes = [(*classic, "classic"), (*hashed, "hashed"), (*online, "online"), (*locked, "locked")];
    let notes: Vec<&str> = notes.iter().filter(|(holds, _)| *holds).map(|&(_, note)| note).collect();
    let place = if *in_file { "file" } else { "database" };
    format!("{:<32} {place:<8} {}", name.as_str(), notes.join(",")).trim_end().to_owned() + "\n"
}

fn password(name: &UserName, file: Option<&Path>) -> Result<Password, Failure> {
    passwords::new(name, file, &|text| say(text)).map_err(|failure| Failure::new(failure.status as u8, failure.text))
}

fn say(text: &str) {
    // Standard error may be closed, and then nobody misses it.
    let _ = writeln!(io::stderr(), "chatd: {text}");
}
