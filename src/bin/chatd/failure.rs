//! What chatd ends with when it can't do what it was asked: the exit statuses (sysexits.h), decided here and nowhere else.

use std::io;
use std::path::Path;

use chatd::net::server::{ListenError, StartError};
use chatd::net::tls::identity::IdentityError;
use chatd::store::OpenError;

/// One line that says what to do, and the exit status.
#[derive(Debug)]
pub struct Failure {
    pub status: u8,
    pub text: String,
}

pub const MALFORMED: u8 = 65;
pub const UNREADABLE: u8 = 66;
pub const UNAVAILABLE: u8 = 69;
pub const FAULT: u8 = 71;
pub const DATA_DIRECTORY: u8 = 73;
pub const TRY_AGAIN: u8 = 75;
pub const PERMISSION: u8 = 77;
pub const NEWER_DATABASE: u8 = 78;

/// The flag that names the main port.
const MAIN_PORT: &str = "--port";

impl Failure {
    pub fn new(status: u8, text: impl Into<String>) -> Failure {
        Failure { status, text: text.into() }
    }

    /// An address can't be listened on. `flag`: what names it.
    fn of_port(port: u16, flag: &str, error: &io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::AddrInUse => Failure::new(
                UNAVAILABLE,
                format!("port {port} is in use: stop what uses it, or choose another with {flag}"),
            ),
            io::ErrorKind::PermissionDenied => {
                Failure::new(PERMISSION, format!("port {port} is not allowed: choose one from 1024 with {flag}"))
            }
            io::ErrorKind::AddrNotAvailable => {
                let flag = if flag == MAIN_PORT { "--bind" } else { flag };
                let text = format!("this machine does not have that address: choose another with {flag}");
                Failure::new(UNAVAILABLE, text)
            }
            _ => Failure::new(FAULT, format!("can't start: {error}")),
        }
    }

    /// A server is there, and this user may not open its control socket.
    pub fn unreachable(directory: &Path, error: &io::Error) -> Failure {
        let text = format!("the server in {} can't be reached: {error}; be the user that runs it", directory.display());
        Failure::new(PERMISSION, text)
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Failure {
        match error {
            StartError::Listen(ListenError { protocol, address, error }) => {
                let flag = if protocol.is_some() { "--listen" } else { MAIN_PORT };
                Failure::of_port(address.port(), flag, &error)
            }
            StartError::Fault(error) => Failure::new(FAULT, format!("can't start: {error}")),
        }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Failure {
        let status = match error {
            OpenError::Newer { .. } => NEWER_DATABASE,
            OpenError::Permission { .. } => PERMISSION,
            _ => DATA_DIRECTORY,
        };
        Failure::new(status, error.to_string())
    }
}

impl From<IdentityError> for Failure {
    fn from(error: IdentityError) -> Failure {
        let status = match error {
            IdentityError::Unreadable { .. } => UNREADABLE,
            IdentityError::Malformed { .. } | IdentityError::KeyMissing { .. } | IdentityError::Mismatch { .. } => {
                MALFORMED
            }
            IdentityError::Unwritable { .. } => DATA_DIRECTORY,
            IdentityError::Refused(_) => FAULT,
        };
        Failure::new(status, error.to_string())
    }
}
