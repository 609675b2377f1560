//! `chatd user` in the hands of a test, and accounts that are not in the operator's file.

use std::path::Path;
use std::process::{Command, Stdio};

use chatd::wire::scram::Secret;
use serde_json::Value;

use super::chat::{Outcome, run};
use super::{Chatd, Client, device_claim};

/// `chatd user WORDS` on the data directory `data` in `dir`.
pub fn user_command(dir: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chatd"));
    command.current_dir(dir).env_clear().args(["user", "--data-dir", "data"]).args(words);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs `chatd user WORDS` with this standard input.
pub fn user(dir: &Path, words: &[&str], input: &str) -> Outcome {
    run(user_command(dir, words), input.as_bytes())
}

/// `chatd status WORDS` on the data directory `data` in `dir`.
pub fn status_command(dir: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chatd"));
    command.current_dir(dir).env_clear().args(["status", "--data-dir", "data"]).args(words);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs `chatd status WORDS`.
pub fn status(dir: &Path, words: &[&str]) -> Outcome {
    run(status_command(dir, words), b"")
}

/// A line of `chatd user list`.
pub fn row(name: &str, place: &str, notes: &str) -> String {
    format!("{name:<32} {place:<8} {notes}").trim_end().to_owned() + "\n"
}

impl Chatd {
    /// How much the server has of everything.
    #[track_caller]
    pub fn status(&self) -> Value {
        let outcome = status(self.dir.path(), &["--json"]);
        assert_eq!((outcome.error.as_str(), outcome.status), ("", 0));
        serde_json::from_str(&outcome.out).expect("JSON")
    }

    /// Runs `chatd user WORDS` with this standard input.
    pub fn user(&self, words: &[&str], input: &str) -> Outcome {
        user(self.dir.path(), words, input)
    }

    /// Makes an account in the database.
    #[track_caller]
    pub fn add(&self, name: &str, password: &str) {
        self.user(&["add", name], &format!("{password}\n")).is(&format!("{name} has an account\n"), "", 0);
    }

    /// A client that is logged in with this password, on a plain connection.
    #[track_caller]
    pub fn log_in_with(&self, user: &str, password: &str, device: Option<u8>) -> Client {
        let mut client = self.connect();
        let answer = client.log_in_with(user, password, device);
        assert_eq!(answer["reply"], "logged-in", "{answer}");
        client
    }

    /// The password does, or does not.
    #[track_caller]
    pub fn assert_password(&self, user: &str, password: &str, does: bool) {
        let answer = self.connect().try_password(user, password);
        let wrong = "wrong name or password, or too many wrong tries: wait a minute after three";
        match does {
            true => assert_eq!(answer["reply"], "logged-in", "{user}: {answer}"),
            false => assert_eq!([&answer["error"], &answer["text"]], ["not-authenticated", wrong], "{user}"),
        }
    }
}

impl Client {
    /// A log-in with a password that is not in `CREDENTIALS`; a device's token is kept.
    pub fn log_in_with(&mut self, user: &str, password: &str, device: Option<u8>) -> Value {
        let secret = |salt: &[u8], iterations| Secret::salted(password, salt, iterations);
        let answer = self.exchange(user, "SCRAM-SHA-256", secret, device.map(device_claim));
        if answer["reply"] == "logged-in" && device.is_some() {
            self.take_token();
        }
        answer
    }

    /// The server ends this session: it says why, and nothing else.
    #[track_caller]
    pub fn is_closed_for(&mut self, reason: &str) {
        let line = self.line();
        assert_eq!([&line["event"], &line["reason"]], ["closing", reason], "{line}");
        assert_eq!(self.try_line(), None);
    }
}
