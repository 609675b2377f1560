//! What chat is made of: a session that is pure (`core`), its way to the server (`connection`), and three manners of using
//! it: `one_shot`, `batch` and `interactive`.
//!
//! It reuses the wire's side for clients and net's link. It knows nothing of the hub and the store.

mod batch;
pub mod command;
mod connection;
pub mod core;
pub mod exit;
mod interactive;
mod interrupt;
mod one_shot;
pub mod operator;
mod output;
pub mod passwords;
pub mod render;
pub mod state;

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::{StdRng, SysRng};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use self::command::Command;
use self::connection::Connection;
pub use self::connection::Target;
use self::core::{Login, Request};
use self::exit::{Failure, Status};
use self::interactive::Look;
use self::interrupt::Interrupt;
use self::output::{Ended, print};
use self::state::StateDirectory;
use crate::wire::{TEXT_BYTES_MAX, UserName};

/// How many times a person may mistype a name or a password.
const TRIES: usize = 3;

/// What the command line asks for.
#[derive(Clone, Debug)]
pub struct Options {
    pub target: Target,
    pub user: Option<UserName>,
    pub password: PasswordFrom,
    pub json: bool,
    /// A message is done when it was delivered, not when it is on the server's disk.
    pub receipts: bool,
    /// How long a command waits for the server.
    pub within: Duration,
    /// `None`: the default.
    pub heartbeat: Option<Duration>,
    pub command: Option<Command>,
}

/// Where the password comes from.
#[derive(Clone)]
pub enum PasswordFrom {
    File(PathBuf),
    Given(String),
    /// Asked for at the terminal.
    Person,
}

impl std::fmt::Debug for PasswordFrom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PasswordFrom(..)")
    }
}

/// The longest first line of a password file that is read, in bytes.
const PASSWORD_FILE_BYTES_MAX: u64 = 4096;
/// The longest name that is read, in bytes.
const LINE_BYTES_MAX: u64 = 1024;
/// How often a sign of life is sent unless told otherwise.
const HEARTBEAT_DEFAULT: Duration = Duration::from_secs(30);

/// Does what the command line asks for, from beginning to end.
pub fn run(options: Options) -> Status {
    match start(options) {
        Ok(status) => status,
        Err(Ended::Quietly) => Status::Done,
        Err(Ended::TokenRefused) => Status::Refused,
        Err(Ended::With(failure) | Ended::WrongPassword(failure)) => {
            // Whoever pressed Ctrl-C knows.
            if failure.status != Status::Interrupted {
                warn(&failure.text);
            }
            failure.status
        }
    }
}

/// A line for people on standard error.
pub fn warn(text: &str) {
    // Standard error may be closed, and then nobody misses it.
    let _ = writeln!(io::stderr(), "chat: {text}");
}

fn start(options: Options) -> Result<Status, Ended> {
    let request = match &options.command {
        Some(Command::Help) => {
            print(&[command::help()])?;
            return Ok(Status::Done);
        }
        Some(Command::Ask(request)) => Some(request.clone()),
        Some(Command::MessageFromInput { to }) => Some(message_from_input(to.clone(), options.receipts)?),
        Some(Command::Wait { .. } | Command::LogOut) | None => None,
    };
    let interrupt = Interrupt::watch();
    let mut rng = StdRng::try_from_rng(&mut SysRng)
        .map_err(|error| Failure::new(Status::NoServer, format!("the system gives no random numbers: {error}")))?;
    let heartbeat = options.heartbeat.unwrap_or(HEARTBEAT_DEFAULT);
    let given = match &options.password {
        PasswordFrom::File(path) => Some(password_file(path)?),
        PasswordFrom::Given(password) => Some(password.clone()),
        PasswordFrom::Person => None,
    };

    if let Some(request) = request {
        let user = need_user(&options)?;
        let password = match given {
            Some(password) => password,
            None => ask_password(&user)?,
        };
        let login = Login { user: user.clone(), password: Some(password), device: None, heartbeat };
        let mut connection = Connection::new(options.target, login, None, rng)?;
        one_shot::run(&mut connection, &user, request, options.within, options.json)?;
        return Ok(Status::Done);
    }

    let is_person = io::stdin().is_terminal() && io::stdout().is_terminal() && !options.json;
    let user = match &options.user {
        Some(user) => user.clone(),
        None if is_person => ask_name()?,
        None => need_user(&options)?,
    };
    let state = StateDirectory::open(|name| std::env::var_os(name).map(PathBuf::from));
    let state = state
        .inspect_err(|error| {
            warn(&format!(
                "nothing can be kept for the next time: {error}; set XDG_STATE_HOME to a directory of yours"
            ));
        })
        .ok();
    let mut given = given;
    let mut wrong = 0;
    loop {
        let file = state.as_ref().map(|state| state.device(&options.target.host, options.target.port, &user));
        let mut device = connection::device(file.as_ref(), &mut rng);
        // Whoever is asked for the password is to be told whether it is right.
        if given.is_some() || wrong > 0 {
            device.token = None;
        }
        let password = match given.take() {
            Some(password) => Some(password),
            None if device.token.is_some() => None,
            None => Some(ask_password(&user)?),
        };
        let login = Login { user: user.clone(), password, device: Some(device), heartbeat };
        let mut connection = Connection::new(options.target.clone(), login, file, rng.fork())?;
        let result = if is_person {
            let lines = state.as_ref().map(StateDirectory::line_history);
            interactive::run(&mut connection, &user, lines, options.receipts, look(), &interrupt)
        } else {
            let manner = batch::Manner { json: options.json, receipts: options.receipts, within: options.within };
            batch::run(&mut connection, &user, manner, &interrupt)
        };
        if let Some(why) = connection.keep() {
            warn(&why);
        }
        match result {
            Err(Ended::TokenRefused) => {}
            Err(Ended::WrongPassword(failure)) if asks(&options, is_person) && wrong + 1 < TRIES => {
                warn(&failure.text);
                wrong += 1;
            }
            Err(Ended::WrongPassword(failure)) => return Err(failure.into()),
            result => return result,
        }
    }
}

/// Whether a wrong password is asked for again.
fn asks(options: &Options, is_person: bool) -> bool {
    is_person && matches!(options.password, PasswordFrom::Person)
}

fn need_user(options: &Options) -> Result<UserName, Failure> {
    options.user.clone().ok_or_else(|| Failure::usage("who are you? Say it with --user NAME or in CHAT_USER"))
}

/// The first line of the file.
fn password_file(path: &Path) -> Result<String, Failure> {
    let unreadable = |why: String| {
        let text = format!("can't read a password from {}: {why}", render::visible_line(&path.to_string_lossy()));
        Failure::new(Status::Unreadable, text)
    };
    let file = File::open(path).map_err(|error| unreadable(error.to_string()))?;
    let mut line = String::new();
    BufReader::new(file.take(PASSWORD_FILE_BYTES_MAX))
        .read_line(&mut line)
        .map_err(|error| unreadable(error.to_string()))?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(unreadable("its first line is empty".to_owned()));
    }
    Ok(password.to_owned())
}

fn ask_password(user: &UserName) -> Result<String, Failure> {
    let _silence = Silence::begin();
    rpassword::prompt_password(format!("password of {user}: ")).map_err(|error| match error.kind() {
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

fn ask_name() -> Result<UserName, Failure> {
    for _ in 0..TRIES {
        let mut line = String::new();
        let asked = write!(io::stdout(), "name: ").and_then(|()| io::stdout().flush());
        let read = asked.and_then(|()| io::stdin().lock().take(LINE_BYTES_MAX).read_line(&mut line));
        if !matches!(read, Ok(1..)) {
            break;
        }
        match UserName::parse(line.trim()) {
            Ok(user) => return Ok(user),
            Err(why) => warn(&why.to_string()),
        }
    }
    Err(Failure::usage("without a name there is no log-in"))
}

/// The text of a message that stands on standard input.
fn message_from_input(to: UserName, receipt: bool) -> Result<Request, Failure> {
    let mut bytes = Vec::new();
    // Two more: a newline at the end does not count.
    let read = io::stdin().lock().take(TEXT_BYTES_MAX as u64 + 3).read_to_end(&mut bytes);
    read.map_err(|error| Failure::new(Status::Unreadable, format!("can't read standard input: {error}")))?;
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        // The cut may have split a character: it is too long then, whatever it is.
        Err(error) if error.as_bytes().len() > TEXT_BYTES_MAX => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        Err(_) => return Err(Failure::usage("the text on standard input is not UTF-8")),
    };
    command::message(to, &text, receipt)
}

fn look() -> Look {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(variable);
    let locale = locale.map(|locale| locale.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    Look {
        colours: variable("NO_COLOR").is_none() && variable("TERM").is_some_and(|term| term != "dumb"),
        utf8: locale.contains("utf-8") || locale.contains("utf8"),
    }
}
