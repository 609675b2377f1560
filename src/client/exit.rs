//! What the program ends with: a documented contract, decided here and nowhere else.

use std::fmt;

use super::core::{Closing, End};
use super::render;
use crate::wire::native::client::Problem;

/// The exit statuses, in the manner of sysexits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// Done as asked.
    Done = 0,
    /// The command line, or a command, is not one.
    Usage = 2,
    /// A file could not be read.
    Unreadable = 66,
    /// There is no such recipient.
    NoRecipient = 67,
    /// No server, or the connection was lost.
    NoServer = 69,
    /// Not yet: try again.
    TryAgain = 75,
    /// The other side does not understand, or is not understood.
    NotUnderstood = 76,
    /// Not authenticated, locked out, blocked or refused.
    Refused = 77,
    /// Ctrl-C.
    Interrupted = 130,
    /// SIGTERM.
    Terminated = 143,
}

/// Why something was not done: the status, and a line for people that says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub status: Status,
    pub text: String,
}

impl Failure {
    pub fn new(status: Status, text: impl Into<String>) -> Failure {
        Failure { status, text: text.into() }
    }

    pub fn usage(text: impl fmt::Display) -> Failure {
        Failure::new(Status::Usage, text.to_string())
    }

    /// A refusal of the server's.
    pub fn problem(problem: &Problem) -> Failure {
        let text = if problem.text.is_empty() { &problem.code } else { &problem.text };
        Failure::new(status_of_code(&problem.code), render::visible_line(text))
    }

    /// Whether a session that was logged in may come back by itself.
    pub fn may_pass(&self) -> bool {
        matches!(self.status, Status::NoServer | Status::TryAgain)
    }

    /// A message that still waits when the time is over.
    pub fn too_fast() -> Failure {
        Failure::new(Status::TryAgain, "too many messages of yours in a short time: it was not sent, try again later")
    }

    /// Why a session is over; `None`: it ended as asked.
    pub fn end(end: &End) -> Option<Failure> {
        Some(match end {
            End::LoggedOut => return None,
            End::NotAuthenticated(problem) | End::Refused(problem) => Failure::problem(problem),
            End::PasswordNeeded => Failure::new(Status::Refused, "the server asks for the password again"),
            End::Impostor(why) => Failure::new(
                Status::Refused,
                format!("{why}: don't go on, and ask the operator. Nothing was remembered of it"),
            ),
            End::NotUnderstood => Failure::new(
                Status::NotUnderstood,
                "what answers there does not speak this protocol: check the host and the port",
            ),
            End::TooSlow => Failure::new(Status::NoServer, "the server does not answer: try again later"),
        })
    }

    /// Why the server ended the session.
    pub fn closing(reason: Closing, text: &str) -> Failure {
        let text = render::visible_line(text);
        match reason {
            Closing::Displaced => Failure::new(
                Status::NoServer,
                "displaced: the same user has logged in again from this machine, and that chat goes on",
            ),
            Closing::Account => Failure::new(Status::Refused, text),
            Closing::Kicked => {
                Failure::new(Status::Refused, format!("{text}: chat does not come back by itself, start it again"))
            }
            Closing::Lost => Failure::new(Status::NoServer, text),
        }
    }
}

/// The status for an error code of the native protocol.
fn status_of_code(code: &str) -> Status {
    match code {
        "text-too-long" | "bad-text" | "bad-name" | "not-in-chat" => Status::Usage,
        "no-such-user" => Status::NoRecipient,
        "too-slow" | "shutting-down" => Status::NoServer,
        "queue-full"
        | "unreachable"
        | "offline"
        | "busy"
        | "already-asked"
        | "asked-lately"
        | "too-many-questions"
        | "not-stored"
        | "history-unavailable"
        | "too-many"
        | "full"
        | "too-many-sessions"
        | "too-fast"
        | "out-of-turn" => Status::TryAgain,
        "not-authenticated"
        | "token-refused"
        | "somebody-in-between"
        | "needs-tls"
        | "operator-only"
        | "no-sign-up"
        | "name-taken"
        | "in-file"
        | "too-many-accounts"
        | "password-first"
        | "password-is-kept"
        | "no-sealing-key"
        | "out-of-scope"
        | "blocked"
        | "not-blocked"
        | "too-many-blocked"
        | "cannot-block-yourself"
        | "cannot-ask-yourself"
        | "blocked-by-you"
        | "cannot-be-asked"
        | "not-asked"
        | "too-many-consents"
        | "not-consented" => Status::Refused,
        _ => Status::NotUnderstood,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_says_has_its_status_and_is_shown_safely() {
        let failure = |code: &str| {
            Failure::problem(&Problem { code: code.into(), text: "no \u{1b}[31m\nway".into(), retry_after: None })
        };
        assert_eq!(failure("no-such-user").status as u8, 67);
        assert_eq!(failure("blocked").status as u8, 77);
        assert_eq!(failure("queue-full").status as u8, 75);
        assert_eq!(failure("something new").status as u8, 76);
        assert_eq!(failure("blocked").text, "no <U+001B>[31m     way");
        let kicked = Failure::closing(Closing::Kicked, "the operator has ended this session");
        assert_eq!(kicked.status as u8, 77);
        let text = "the operator has ended this session: chat does not come back by itself, start it again";
        assert_eq!(kicked.text, text);
        let silent = Problem { code: "x\u{202e}".into(), text: String::new(), retry_after: None };
        assert_eq!(Failure::problem(&silent).text, "x<U+202E>");
    }
}
