//! The server program: command line, logging, exit status. Everything else is the library's.

mod accounts_file;
mod failure;
mod files;
mod listen;
mod status;
mod user;

use std::fs;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use log::LevelFilter;
use rand::TryRng;
use rand::rngs::SysRng;
use signal_hook::consts::signal::SIGXFSZ;

use chatd::hub::change::Snapshot;
use chatd::hub::input::Input;
use chatd::hub::rate::MESSAGES_PER_SECOND_MAX;
use chatd::hub::{Config, Hub};
use chatd::net::connection::Serves;
use chatd::net::scope::Scope;
use chatd::net::server::{ALL_OUT_BYTES_MAX, Ended, LISTENERS_MAX, Options, PACE, Server, StartError};
use chatd::net::tls::identity::{self, Origin};
use chatd::store::{Durability, Hooks, Opened, Store};

use accounts_file::{Accounts, AccountsFile};
use failure::{DATA_DIRECTORY, FAULT, Failure};
use listen::Listen;

/// A chat server for your own network.
#[derive(Parser, Debug)]
#[command(name = "chatd", version, max_term_width = 100)]
struct Arguments {
    /// TCP and UDP port to listen on; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 6001, env = "CHATD_PORT")]
    port: u16,
    /// Address to listen on [default: all, IPv6 and IPv4]
    #[arg(long, value_name = "ADDR", env = "CHATD_BIND")]
    bind: Option<IpAddr>,
    /// Another address to listen on, for one protocol: native, request, session (TCP and UDP), datagram (UDP) or nick; may be
    /// given again
    #[arg(long, value_name = "PROTO=ADDR:PORT", env = "CHATD_LISTEN", value_delimiter = ',')]
    listen: Vec<Listen>,
    /// File of accounts, NAME PASSWORD a line [default: ./credentials.txt, if it is there]
    #[arg(long, value_name = "FILE", env = "CHATD_CREDENTIALS", global = true)]
    credentials: Option<PathBuf>,
    /// Directory of the database [default: $STATE_DIRECTORY, else $XDG_DATA_HOME/chatd]
    #[arg(long, value_name = "DIR", env = "CHATD_DATA_DIR", global = true)]
    data_dir: Option<PathBuf>,
    /// Keep nothing on disk: messages are gone when the server stops
    #[arg(long, env = "CHATD_MEMORY", conflicts_with = "data_dir")]
    memory: bool,
    /// What acknowledged messages survive: a power cut (full), or only the end of the process (process)
    #[arg(long, value_enum, value_name = "full|process", default_value = "full", env = "CHATD_DURABILITY")]
    durability: DurabilityName,
    /// Certificate to show to clients, in PEM, with those that lead to its issuer [default: one is made in the data directory]
    #[arg(long, value_name = "FILE", env = "CHATD_TLS_CERT", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key, in PEM
    #[arg(long, value_name = "FILE", env = "CHATD_TLS_KEY", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// From where unencrypted connections are served: off, loopback, private, any, or networks like 10.0.0.0/8,fd00::/8
    #[arg(long, value_name = "SCOPE", default_value = "private", env = "CHATD_PLAINTEXT")]
    plaintext: Scope,
    /// From where people come in without an account, as guests with a nickname
    #[arg(long, value_name = "SCOPE", default_value = "loopback", env = "CHATD_GUESTS")]
    guests: Scope,
    /// From where people may make accounts of their own, with 'chat HOST sign-up'
    #[arg(long, value_name = "SCOPE", default_value = "loopback", env = "CHATD_REGISTRATION")]
    registration: Scope,
    /// Seconds without a sign of life after which a client is gone
    #[arg(long, value_name = "SECONDS", default_value_t = 35, env = "CHATD_HEARTBEAT_TIMEOUT", value_parser = seconds())]
    heartbeat_timeout: u32,
    /// Seconds that a lock-out lasts
    #[arg(long, value_name = "SECONDS", default_value_t = 60, env = "CHATD_LOCKOUT", value_parser = seconds())]
    lockout: u32,
    /// Wrong passwords in a row that lock a name out, for the address they came from
    #[arg(long, value_name = "N", default_value_t = 3, env = "CHATD_PASSWORD_TRIES",
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    password_tries: u32,
    /// Messages a second that an account may send, with ten times as many at once; off: as many as it can
    #[arg(long, value_name = "N|off", default_value = "100", env = "CHATD_MESSAGES_PER_SECOND",
          value_parser = messages_per_second)]
    messages_per_second: MessagesPerSecond,
    /// Days that a message waits for a recipient who is offline
    #[arg(long, value_name = "DAYS", default_value_t = 30, env = "CHATD_QUEUE_DAYS",
          value_parser = clap::value_parser!(u32).range(1..=3650))]
    queue_days: u32,
    /// Days that history is kept
    #[arg(long, value_name = "DAYS", default_value_t = 365, env = "CHATD_HISTORY_DAYS",
          value_parser = clap::value_parser!(u32).range(1..=36500))]
    history_days: u32,
    /// Log more; twice: everything
    #[arg(short, long, action = ArgAction::Count)]
    verbose: u8,
    /// Log errors only
    #[arg(short, long, conflicts_with = "verbose")]
    quiet: bool,
    /// For tests: milliseconds between two writes to a client that can't tell them apart otherwise
    #[arg(long, value_name = "MILLISECONDS", env = "CHATD_PACE_MS", hide = true)]
    pace_ms: Option<u64>,
    #[command(subcommand)]
    command: Option<Sub>,
}

#[derive(Subcommand, Debug)]
enum Sub {
    /// Manage the accounts of the database; those of the file of accounts are changed there
    User {
        #[command(subcommand)]
        action: user::Action,
    },
    /// Show how much there is of everything in the server that runs
    Status {
        /// As one JSON object
        #[arg(long)]
        json: bool,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum DurabilityName {
    Full,
    Process,
}

/// `None`: off.
#[derive(Clone, Copy, Debug)]
struct MessagesPerSecond(Option<u32>);

fn messages_per_second(text: &str) -> Result<MessagesPerSecond, String> {
    let rate = match text {
        "off" => return Ok(MessagesPerSecond(None)),
        number => number.parse().ok().filter(|rate| (1..=MESSAGES_PER_SECOND_MAX).contains(rate)),
    };
    match rate {
        Some(rate) => Ok(MessagesPerSecond(Some(rate))),
        None => Err(format!("a number from 1 to {MESSAGES_PER_SECOND_MAX}, or off")),
    }
}

/// A day at most: who waits longer for a sign of life does not want one.
fn seconds() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=86_400)
}

fn main() -> ExitCode {
    let matches = Arguments::command().get_matches();
    let arguments = match Arguments::from_arg_matches(&matches) {
        Ok(arguments) => arguments,
        Err(error) => error.exit(),
    };
    if arguments.listen.len() > LISTENERS_MAX {
        let text = format!("--listen can be given {LISTENERS_MAX} times at most");
        Arguments::command().error(clap::error::ErrorKind::TooManyValues, text).exit();
    }
    start_logging(&arguments);
    outlive_file_size_limits();
    let result = match &arguments.command {
        Some(Sub::User { action }) => {
            refuse_other_flags(&matches, "user", &["data_dir", "credentials", "verbose", "quiet"]);
            user::run(&arguments, action)
        }
        Some(Sub::Status { json }) => {
            refuse_other_flags(&matches, "status", &["data_dir", "verbose", "quiet"]);
            data_directory(&arguments).and_then(|directory| status::run(&directory, *json))
        }
        None => serve(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { status, text }) => {
            // Standard error may be closed; the status says it all the same.
            let _ = writeln!(io::stderr(), "chatd: {text}");
            ExitCode::from(status)
        }
    }
}

/// `chatd --port 7 user list` can't mean anything.
fn refuse_other_flags(matches: &ArgMatches, command: &str, shared: &[&str]) {
    for id in matches.ids().map(|id| id.as_str()).filter(|id| !shared.contains(id)) {
        if matches.value_source(id) == Some(ValueSource::CommandLine) {
            let text = format!("--{} is for the server itself, not for 'chatd {command}'", id.replace('_', "-"));
            Arguments::command().error(clap::error::ErrorKind::ArgumentConflict, text).exit();
        }
    }
}

fn start_logging(arguments: &Arguments) {
    let level = match arguments.verbose {
        _ if arguments.quiet => LevelFilter::Error,
        0 if arguments.command.is_some() => LevelFilter::Warn,
        0 => LevelFilter::Info,
        1 => LevelFilter::Debug,
        _ => LevelFilter::Trace,
    };
    env_logger::Builder::new().filter_level(LevelFilter::Warn).filter_module("chatd", level).parse_default_env().init();
}

/// A limit on the size of files (RLIMIT_FSIZE) is told by a signal that would end the server. Once it is caught, the write
/// fails as on a disk that is full.
fn outlive_file_size_limits() {
    if let Err(error) = signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false))) {
        log::warn!("a file that may not grow any more will end the server: {error}");
    }
}

fn serve(arguments: &Arguments) -> Result<(), Failure> {
    let file = AccountsFile::new(arguments.credentials.as_deref());
    let accounts = file.read()?;
    file.warn(&accounts);
    let directory = match arguments.memory {
        true => None,
        false => Some(data_directory(arguments)?),
    };
    let (store, snapshot) = open_store(arguments, directory.as_deref())?;
    let origin = match (&arguments.tls_cert, &arguments.tls_key, &directory) {
        (Some(certificate), Some(key), _) => Origin::Own { certificate: certificate.clone(), key: key.clone() },
        (_, _, Some(directory)) => Origin::Kept(directory.clone()),
        _ => Origin::Passing,
    };
    if let Some(directory) = &directory {
        file.remember(directory)?;
        if fs::metadata(directory).is_ok_and(|metadata| metadata.mode() & 0o077 != 0) {
            log::warn!("others on this machine can look into {}: chmod 700", directory.display());
        }
    }
    let identity = identity::load(&origin)?;
    files::introduce(&identity);
    let config = Config {
        heartbeat_timeout: Duration::from_secs(arguments.heartbeat_timeout.into()),
        password_tries: arguments.password_tries,
        lockout: Duration::from_secs(arguments.lockout.into()),
        messages_per_second: arguments.messages_per_second.0,
        queue_expiry: days(arguments.queue_days),
        history_kept: days(arguments.history_days),
        sealing_key: directory.as_deref().map(files::sealing_key).transpose()?,
        ..Config::default()
    };
    // A certificate that is made for one run must not change while clients know it.
    let lasting = match origin {
        Origin::Passing => {
            log::warn!(
                "the certificate is new at each start: with --tls-cert and --tls-key clients know the server again"
            );
            None
        }
        origin => Some(origin),
    };
    let options = Options {
        addresses: addresses(arguments.bind, arguments.port),
        listen: arguments.listen.iter().map(|listen| (listen.protocol, listen.address)).collect(),
        plaintext: arguments.plaintext.clone(),
        guests: arguments.guests.clone(),
        registration: arguments.registration.clone(),
        tls: Some(identity.config),
        control: directory,
        operator: None,
        reload: Some(files::reload(file, lasting)),
        out_bytes_max: ALL_OUT_BYTES_MAX,
        pace: arguments.pace_ms.map_or(PACE, Duration::from_millis),
        signals: true,
    };
    let server = start(options, config, store, snapshot, accounts)?;
    announce(&server);
    match server.run() {
        Ok(Ended::Orderly) => Ok(()),
        Ok(Ended::Hurried) => {
            log::warn!("stopped before everything was written");
            Ok(())
        }
        Err(error) => Err(Failure::new(FAULT, format!("the loop has failed: {error}"))),
    }
}

/// A server with these accounts, which does not run yet.
fn start(
    options: Options,
    config: Config,
    store: Opened,
    snapshot: Snapshot,
    accounts: Accounts,
) -> Result<Server, StartError> {
    let mut seed = [0; 32];
    SysRng.try_fill_bytes(&mut seed).map_err(io::Error::other)?;
    let mut server = Server::start(options, store, |now, out| Hub::new(config, seed, snapshot, now, out))?;
    server.input(Input::Accounts { credentials: accounts.credentials, public: accounts.public });
    Ok(server)
}

/// Writes to standard output.
fn print(text: &[u8]) -> Result<(), Failure> {
    match io::stdout().write_all(text) {
        // Whoever reads has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::new(FAULT, format!("can't write: {error}"))),
        Ok(()) => Ok(()),
    }
}

fn days(days: u32) -> Duration {
    Duration::from_secs(u64::from(days) * 86_400)
}

/// `None`: in memory.
fn open_store(arguments: &Arguments, directory: Option<&Path>) -> Result<(Opened, Snapshot), Failure> {
    let Some(directory) = directory else { return Ok((Store::memory(), Snapshot::default())) };
    let durability = match arguments.durability {
        DurabilityName::Full => Durability::Full,
        DurabilityName::Process => Durability::Process,
    };
    Ok(Store::open(directory, durability, Hooks::default())?)
}

fn data_directory(arguments: &Arguments) -> Result<PathBuf, Failure> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || variable("HOME").map(|home| home.join(".local/share"));
    let found = arguments
        .data_dir
        .clone()
        .or_else(|| variable("STATE_DIRECTORY"))
        .or_else(|| variable("XDG_DATA_HOME").or_else(home).map(|data| data.join("chatd")));
    found.ok_or_else(|| {
        Failure::new(DATA_DIRECTORY, "there is no place for the database: name one with --data-dir, or use --memory")
    })
}

fn addresses(bind: Option<IpAddr>, port: u16) -> Vec<SocketAddr> {
    match bind {
        Some(address) => vec![SocketAddr::new(address, port)],
        // A machine without IPv6 has only the second.
        None => vec![
            SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port),
            SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port),
        ],
    }
}

/// Tells scripts where the server is, once it accepts connections.
fn announce(server: &Server) {
    let mut out = io::stdout().lock();
    for &(serves, address) in server.addresses() {
        // Nobody may be listening: the server runs all the same.
        let _ = match serves {
            Serves::Everything => writeln!(out, "chatd: listening on {address}"),
            Serves::Only(protocol) => writeln!(out, "chatd: listening for {} on {address}", protocol),
        };
    }
    let _ = out.flush();
}
