//! What chat is made of: a session that is pure (`core`), its way to the server (`connection`), and three manners of using
//! it: `one_shot`, `batch` and `interactive`.
//!
//! It reuses the wire's side for clients and net's link. It knows nothing of the hub and the store.

pub mod account;
pub mod batch;
pub mod classic;
pub mod command;
mod connection;
pub mod core;
mod direct;
mod errand;
pub mod exit;
mod interactive;
pub mod interrupt;
pub mod known_servers;
mod one_shot;
pub mod operator;
mod output;
pub mod passwords;
pub mod peers;
pub mod render;
pub mod state;
mod trust;

use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::PathBuf;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::{StdRng, SysRng};

use self::account::{Purpose, Task};
use self::command::Command;
use self::connection::Connection;
pub use self::connection::Target;
use self::core::{Login, Request};
use self::exit::{Failure, Status};
use self::interactive::Look;
use self::interrupt::Interrupt;
use self::output::{Ended, print};
use self::state::StateDirectory;
use self::trust::Trust;
use crate::wire::Protocol;
use crate::wire::{TEXT_BYTES_MAX, UserName};

/// How many times a person may mistype a name or a password.
const TRIES: usize = 3;

/// What the command line asks for.
#[derive(Clone, Debug)]
pub struct Options {
    pub target: Target,
    pub protocol: Protocol,
    /// Nothing is encrypted, and nobody proves who they are but with the password.
    pub plaintext: bool,
    pub user: Option<UserName>,
    pub password: PasswordFrom,
    /// Where `passwd` takes the new one from.
    pub new_password: Option<PathBuf>,
    pub json: bool,
    /// A message is done when it was delivered, not when it is on the server's disk.
    pub receipts: bool,
    /// How long a command waits for the server.
    pub within: Duration,
    /// How long it waits for what another person must say.
    pub answer_within: Duration,
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

/// For people, on standard error; most often a single line.
pub fn warn(text: &str) {
    let lines: String = text.lines().map(|line| format!("chat: {line}\n")).collect();
    // Standard error may be closed, and then nobody misses it.
    let _ = io::stderr().write_all(lines.as_bytes());
}

fn start(options: Options) -> Result<Status, Ended> {
    if options.command == Some(Command::Help) {
        print(&[command::help(options.protocol)])?;
        return Ok(Status::Done);
    }
    match options.protocol {
        Protocol::Native => start_native(options),
        _ => classic::start(options),
    }
}

fn start_native(options: Options) -> Result<Status, Ended> {
    let request = match &options.command {
        Some(Command::Ask(request)) => Some(request.clone()),
        Some(Command::MessageFromInput { to }) => Some(message_from_input(to.clone(), options.receipts)?),
        Some(Command::GetAddress { .. } | Command::Private { .. } | Command::Consent { .. }) if options.plaintext => {
            return Err(Failure::usage(command::PRIVATE_NEEDS_TLS).into());
        }
        Some(Command::Consent { user, yes: false }) => Some(Request::Consent { user: user.clone(), offer: None }),
        Some(Command::ChangePassword | Command::SignUp) if options.plaintext => {
            return Err(Failure::usage(command::NEEDS_TLS).into());
        }
        // The others are done below, or can't come here.
        Some(_) | None => None,
    };
    let interrupt = Interrupt::watch();
    let mut rng = StdRng::try_from_rng(&mut SysRng)
        .map_err(|error| Failure::new(Status::NoServer, format!("the system gives no random numbers: {error}")))?;
    let heartbeat = options.heartbeat.unwrap_or(HEARTBEAT_DEFAULT);
    let given = match &options.password {
        PasswordFrom::File(path) => Some(passwords::in_file(path)?),
        PasswordFrom::Given(password) => Some(password.clone()),
        PasswordFrom::Person => None,
    };
    // A command without TLS keeps nothing.
    let state = if request.is_some() && options.plaintext { None } else { state() };
    let trust = match options.plaintext {
        true => None,
        false => Some(Trust::in_server(&options.target, state.as_ref().map(StateDirectory::known_servers))?),
    };

    let private = matches!(options.command, Some(Command::GetAddress { .. } | Command::Private { .. }));
    if private || request.is_some() {
        let user = options.user(false)?;
        let password = match given {
            Some(password) => password,
            None => passwords::ask(&user)?,
        };
        let login = Login { user: user.clone(), password: Some(password), device: None, heartbeat };
        let Options { within, answer_within, json, .. } = options;
        let mut connection = Connection::new(options.target, trust, login, None, rng)?;
        match (options.command, request) {
            (Some(Command::GetAddress { user }), _) => {
                one_shot::get_address(&mut connection, user, within, answer_within, json)?;
            }
            (Some(Command::Private { user, text: Some(text) }), _) => {
                one_shot::say_privately(&mut connection, user, text, within, answer_within, json)?;
            }
            (_, Some(request)) => one_shot::run(&mut connection, &user, request, within, json)?,
            (_, None) => {}
        }
        return Ok(Status::Done);
    }
    match (&options.command, &trust) {
        (Some(Command::ChangePassword), Some(trust)) => return change_password(&options, trust, given, rng),
        (Some(Command::SignUp), Some(trust)) => return sign_up(&options, trust, given, rng),
        _ => {}
    }

    let is_person = options.is_person();
    let user = options.user(is_person)?;
    let for_passwd = batch::Given { password: given.clone(), new_password: options.new_password.clone() };
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
            None => Some(passwords::ask(&user)?),
        };
        let login = Login { user: user.clone(), password, device: Some(device), heartbeat };
        let mut connection = Connection::new(options.target.clone(), trust.clone(), login, file, rng.fork())?;
        let result = if is_person {
            let lines = state.as_ref().map(StateDirectory::line_history);
            interactive::run(&mut connection, &user, lines, options.receipts, look(), &interrupt)
        } else {
            let Options { json, receipts, within, answer_within, .. } = options;
            let manner = batch::Manner { json, receipts, within, answer_within };
            batch::run(&mut connection, &user, manner, &for_passwd, &interrupt)
        };
        if let Some(why) = connection.keep() {
            warn(&why);
        }
        match result {
            Err(Ended::TokenRefused) => {}
            Err(Ended::WrongPassword(failure)) if options.asks(is_person) && wrong + 1 < TRIES => {
                warn(&hinting(failure, wrong, &options.target, &user).text);
                wrong += 1;
            }
            Err(Ended::WrongPassword(failure)) if is_person => {
                return Err(hinting(failure, wrong, &options.target, &user).into());
            }
            Err(Ended::WrongPassword(failure)) => return Err(failure.into()),
            result => return result,
        }
    }
}

/// `chat HOST PORT passwd`
fn change_password(options: &Options, trust: &Trust, given: Option<String>, rng: StdRng) -> Result<Status, Ended> {
    let user = options.user(false)?;
    let old = match given {
        Some(password) => password,
        None => passwords::ask(&user)?,
    };
    let password = passwords::valid(&old)?;
    let new = passwords::new(&user, options.new_password.as_deref(), &warn)?;
    let task = Task { user: user.clone(), password, purpose: Purpose::ChangePassword(new) };
    run_errand(options, trust, task, rng)?;
    let text = if options.json { render::password_changed_json(&user) } else { "the password is changed".to_owned() };
    print(&[text])?;
    Ok(Status::Done)
}

/// `chat HOST PORT sign-up`
fn sign_up(options: &Options, trust: &Trust, given: Option<String>, rng: StdRng) -> Result<Status, Ended> {
    let user = options.user(at_terminal())?;
    if trust.is_first_time() {
        // There is no shared secret yet that could prove the server: whoever knows the fingerprint can compare.
        let certificate = errand::look(&options.target, trust, options.within)?;
        warn(&format!("the server's certificate, which is taken on trust: {certificate}"));
    }
    let password = match given {
        Some(password) => passwords::valid(&password)?,
        None => passwords::new(&user, None, &warn)?,
    };
    let task = Task { user: user.clone(), password, purpose: Purpose::SignUp };
    run_errand(options, trust, task, rng)?;
    let text = if options.json { render::signed_up_json(&user) } else { format!("{user} has an account now") };
    print(&[text])?;
    Ok(Status::Done)
}

fn run_errand(options: &Options, trust: &Trust, task: Task, mut rng: StdRng) -> Result<(), Failure> {
    errand::run(&options.target, trust, task, options.within, &mut rng, |note| warn(&note))
}

/// The first time that a log-in fails, a person may have no account at all.
fn hinting(mut failure: Failure, wrong_before: usize, target: &Target, user: &UserName) -> Failure {
    if wrong_before == 0 {
        let Target { host, port } = target;
        let host = render::visible_line(host);
        let hint =
            format!("no account? 'chat {host} {port} --user {user} sign-up' makes one, where the server allows it");
        failure.text += &format!("\n{hint}");
    }
    failure
}

fn state() -> Option<StateDirectory> {
    let state = StateDirectory::open(|name| std::env::var_os(name).map(PathBuf::from));
    let warning = |error: &io::Error| {
        warn(&format!("nothing can be kept for the next time: {error}; set XDG_STATE_HOME to a directory of yours"));
    };
    state.inspect_err(warning).ok()
}

impl Options {
    /// Whether a person uses it, with a line editor.
    fn is_person(&self) -> bool {
        at_terminal() && !self.json
    }

    /// Whether a wrong password is asked for again.
    fn asks(&self, is_person: bool) -> bool {
        is_person && matches!(self.password, PasswordFrom::Person)
    }

    /// Who logs in. `asks`: there is a person who can be asked.
    fn user(&self, asks: bool) -> Result<UserName, Failure> {
        match &self.user {
            Some(user) => Ok(user.clone()),
            None if asks => ask_name(),
            None => Err(Failure::usage("who are you? Say it with --user NAME or in CHAT_USER")),
        }
    }
}

fn at_terminal() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
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
