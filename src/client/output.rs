//! Standard output, line by line. A reader that has gone away ends the program quietly.

use std::io::{self, ErrorKind, Write};

use super::core::End;
use super::exit::{Failure, Status};

/// Writes lines and flushes them.
pub fn print(lines: &[String]) -> Result<(), Ended> {
    if lines.is_empty() {
        return Ok(());
    }
    let mut out = io::stdout().lock();
    let mut write = || {
        for line in lines {
            out.write_all(line.as_bytes())?;
            out.write_all(b"\n")?;
        }
        out.flush()
    };
    write().map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Ended::Quietly,
        _ => Ended::With(Failure::new(Status::NoServer, format!("can't write to standard output: {error}"))),
    })
}

/// Why a run ends before it is through.
#[derive(Debug)]
pub enum Ended {
    /// Nobody reads any more.
    Quietly,
    With(Failure),
    /// The very first log-in has failed: the name or the password is wrong.
    WrongPassword(Failure),
    /// The very first log-in has failed: there was only a token, and it is not valid any more.
    TokenRefused,
}

impl Ended {
    /// Why a session is over before it has begun; `None`: as asked.
    pub fn before_log_in(end: &End) -> Option<Ended> {
        let failure = Failure::end(end)?;
        Some(match end {
            End::NotAuthenticated(_) => Ended::WrongPassword(failure),
            End::PasswordNeeded => Ended::TokenRefused,
            _ => Ended::With(failure),
        })
    }
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Ended {
        Ended::With(failure)
    }
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Ended {
        Ended::With(Failure::new(Status::NoServer, format!("the system refuses: {error}")))
    }
}
