//! The server program: command line, logging, exit status. Everything else is the library's.

use std::fs;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{ArgAction, Parser, ValueEnum};
use log::LevelFilter;
use rand::TryRng;
use rand::rngs::SysRng;

use chatd::hub::change::Snapshot;
use chatd::hub::credentials::{Credential, parse_credentials};
use chatd::hub::input::Input;
use chatd::hub::{Config, Hub};
use chatd::net::scope::Scope;
use chatd::net::server::{ALL_OUT_BYTES_MAX, Ended, Options, Server};
use chatd::store::{Durability, Hooks, OpenError, Opened, Store};

/// The accounts that everybody knows the passwords of.
const SHIPPED_CREDENTIALS: &[u8] = include_bytes!("../../../credentials.txt");
const CREDENTIALS_DEFAULT: &str = "credentials.txt";

/// A chat server for your own network.
#[derive(Parser, Debug)]
#[command(name = "chatd", version, max_term_width = 100)]
struct Arguments {
    /// TCP port to listen on; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 6001, env = "CHATD_PORT")]
    port: u16,
    /// Address to listen on [default: all, IPv6 and IPv4]
    #[arg(long, value_name = "ADDR", env = "CHATD_BIND")]
    bind: Option<IpAddr>,
    /// File of accounts, NAME PASSWORD a line [default: ./credentials.txt, if it is there]
    #[arg(long, value_name = "FILE", env = "CHATD_CREDENTIALS")]
    credentials: Option<PathBuf>,
    /// Directory of the database [default: $STATE_DIRECTORY, else $XDG_DATA_HOME/chatd]
    #[arg(long, value_name = "DIR", env = "CHATD_DATA_DIR", conflicts_with = "memory")]
    data_dir: Option<PathBuf>,
    /// Keep nothing on disk: messages are gone when the server stops
    #[arg(long, env = "CHATD_MEMORY")]
    memory: bool,
    /// What acknowledged messages survive: a power cut (full), or only the end of the process (process)
    #[arg(long, value_enum, value_name = "full|process", default_value = "full", env = "CHATD_DURABILITY")]
    durability: DurabilityName,
    /// From where unencrypted connections are served: off, loopback, private, any, or networks like 10.0.0.0/8,fd00::/8
    #[arg(long, value_name = "SCOPE", default_value = "private", env = "CHATD_PLAINTEXT")]
    plaintext: Scope,
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
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum DurabilityName {
    Full,
    Process,
}

/// A day at most: who waits longer for a sign of life does not want one.
fn seconds() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=86_400)
}

/// Why the server can't start, in one line, and the exit status (sysexits.h).
struct Failure {
    status: u8,
    text: String,
}

const MALFORMED: u8 = 65;
const UNREADABLE: u8 = 66;
const UNAVAILABLE: u8 = 69;
const FAULT: u8 = 71;
const DATA_DIRECTORY: u8 = 73;
const PERMISSION: u8 = 77;
const NEWER_DATABASE: u8 = 78;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    start_logging(&arguments);
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { status, text }) => {
            // Standard error may be closed; the status says it all the same.
            let _ = writeln!(io::stderr(), "chatd: {text}");
            ExitCode::from(status)
        }
    }
}

fn start_logging(arguments: &Arguments) {
    let level = match arguments.verbose {
        _ if arguments.quiet => LevelFilter::Error,
        0 => LevelFilter::Info,
        1 => LevelFilter::Debug,
        _ => LevelFilter::Trace,
    };
    env_logger::Builder::new().filter_level(LevelFilter::Warn).filter_module("chatd", level).parse_default_env().init();
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (credentials, shipped) = read_credentials(arguments.credentials.as_deref())?;
    let (store, snapshot) = open_store(arguments)?;
    let config = Config {
        heartbeat_timeout: Duration::from_secs(arguments.heartbeat_timeout.into()),
        password_tries: arguments.password_tries,
        lockout: Duration::from_secs(arguments.lockout.into()),
        queue_expiry: days(arguments.queue_days),
        history_kept: days(arguments.history_days),
        ..Config::default()
    };
    let mut seed = [0; 32];
    SysRng.try_fill_bytes(&mut seed).map_err(|error| failure(FAULT, format!("no random numbers: {error}")))?;
    let options = Options {
        addresses: addresses(arguments.bind, arguments.port),
        plaintext: arguments.plaintext.clone(),
        out_bytes_max: ALL_OUT_BYTES_MAX,
        signals: true,
    };
    let started = Server::start(options, store, |now, out| Hub::new(config, seed, snapshot, now, out));
    let mut server = started.map_err(|error| cannot_listen(arguments.port, &error))?;
    server.input(Input::Accounts { credentials, public: shipped });
    announce(&server)?;
    match server.run() {
        Ok(Ended::Orderly) => Ok(()),
        Ok(Ended::Hurried) => {
            log::warn!("stopped before everything was written");
            Ok(())
        }
        Err(error) => Err(failure(FAULT, format!("the loop has failed: {error}"))),
    }
}

fn days(days: u32) -> Duration {
    Duration::from_secs(u64::from(days) * 86_400)
}

fn failure(status: u8, text: impl Into<String>) -> Failure {
    Failure { status, text: text.into() }
}

/// The accounts, and whether they are the shipped ones.
fn read_credentials(path: Option<&Path>) -> Result<(Vec<Credential>, bool), Failure> {
    let named = path.is_some();
    let path = path.unwrap_or(Path::new(CREDENTIALS_DEFAULT));
    let file = match fs::read(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound && !named => {
            log::warn!(
                "there is no ./{CREDENTIALS_DEFAULT}, so nobody can log in: write one, or name it with --credentials"
            );
            return Ok((Vec::new(), false));
        }
        Err(error) => return Err(failure(UNREADABLE, format!("{} can't be read: {error}", path.display()))),
    };
    let credentials =
        parse_credentials(&file).map_err(|error| failure(MALFORMED, format!("{}: {error}", path.display())))?;
    let shipped = file == SHIPPED_CREDENTIALS;
    if shipped {
        log::warn!(
            "{} is the shipped one, whose passwords are public: its accounts log in from this machine only",
            path.display()
        );
    } else if fs::metadata(path).is_ok_and(|metadata| metadata.mode() & 0o044 != 0) {
        log::warn!("{} can be read by others on this machine: chmod 600 {0}", path.display());
    }
    if credentials.is_empty() {
        log::warn!("{} has no accounts, so nobody can log in", path.display());
    }
    Ok((credentials, shipped))
}

fn open_store(arguments: &Arguments) -> Result<(Opened, Snapshot), Failure> {
    if arguments.memory {
        return Ok((Store::memory(), Snapshot::default()));
    }
    let directory = data_directory(arguments)?;
    let durability = match arguments.durability {
        DurabilityName::Full => Durability::Full,
        DurabilityName::Process => Durability::Process,
    };
    Store::open(&directory, durability, Hooks::default()).map_err(|error| {
        let status = match error {
            OpenError::Newer { .. } => NEWER_DATABASE,
            OpenError::Permission { .. } => PERMISSION,
            _ => DATA_DIRECTORY,
        };
        failure(status, error.to_string())
    })
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
        failure(DATA_DIRECTORY, "there is no place for the database: name one with --data-dir, or use --memory")
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

fn cannot_listen(port: u16, error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            failure(UNAVAILABLE, format!("port {port} is in use: stop what uses it, or choose another with --port"))
        }
        io::ErrorKind::PermissionDenied => {
            failure(PERMISSION, format!("port {port} is not allowed: choose one from 1024 with --port"))
        }
        io::ErrorKind::AddrNotAvailable => {
            failure(UNAVAILABLE, "this machine does not have that address: choose another with --bind")
        }
        _ => failure(FAULT, format!("can't listen on port {port}: {error}")),
    }
}

/// Tells scripts where the server is, once it accepts connections.
fn announce(server: &Server) -> Result<(), Failure> {
    let addresses = server.addresses().map_err(|error| failure(FAULT, error.to_string()))?;
    let mut out = io::stdout().lock();
    for address in addresses {
        // Nobody may be listening: the server runs all the same.
        let _ = writeln!(out, "chatd: listening on {address}");
    }
    let _ = out.flush();
    Ok(())
}
