//! The program `chat` in the hands of a test: a person, who does one thing on the command line, or has a session that takes
//! its commands from standard input.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Instant;

use tempfile::TempDir;

use super::{Chatd, LIMIT, password, signal, wait};

/// Somebody with a machine of their own: another person's chat keeps its state elsewhere.
pub struct Person {
    pub user: &'static str,
    pub host: String,
    pub port: u16,
    /// The fingerprint of the server's certificate; empty: it is not known.
    pub certificate: String,
    pub home: TempDir,
}

/// What chat says when its server is killed.
pub const KILLED: &str = "the connection was cut off; trying to come back";

/// What a run of chat said, and how it ended.
#[derive(Debug, PartialEq)]
pub struct Outcome {
    pub out: String,
    pub error: String,
    pub status: i32,
}

/// A chat that takes commands from standard input. It is killed if the test does not end it.
pub struct Session {
    user: &'static str,
    child: Child,
    input: Option<ChildStdin>,
    out: Receiver<String>,
    error: Receiver<String>,
}

impl Person {
    pub fn new(chatd: &Chatd, user: &'static str) -> Person {
        let certificate = chatd.certificate.clone();
        let home = tempfile::tempdir().expect("a directory");
        Person { user, host: "127.0.0.1".to_owned(), port: chatd.port(), certificate, home }
    }

    /// The same person, who knows the server by another address.
    pub fn at(mut self, host: &str) -> Person {
        host.clone_into(&mut self.host);
        self
    }

    /// chat as this person, with nothing of the person who runs the tests; `words` follow HOST and PORT.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chat"));
        self.know_the_server();
        command.args([&self.host, &self.port.to_string()]).args(words).current_dir(self.home.path());
        command.env_clear().env("XDG_STATE_HOME", self.home.path()).env("TZ", "UTC");
        command.env("CHAT_USER", self.user).env("CHAT_PASSWORD", password(self.user));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// As if this was not the first time.
    fn know_the_server(&self) {
        if self.certificate.is_empty() {
            return;
        }
        let directory = self.home.path().join("chat");
        let line = format!("{} {} {}\n", self.host, self.port, self.certificate);
        let file = directory.join("known_servers");
        // Another chat of this person may be reading it: it is there whole, or as it was.
        if std::fs::read_to_string(&file).is_ok_and(|known| known.contains(&line)) {
            return;
        }
        std::fs::create_dir_all(&directory).expect("a directory");
        let fresh = directory.join("known_servers.fresh");
        std::fs::write(&fresh, line).expect("a file");
        std::fs::rename(fresh, file).expect("a file");
    }

    /// Runs chat with these words.
    pub fn chat(&self, words: &[&str]) -> Outcome {
        run(self.command(words), b"")
    }

    /// Runs chat with these words and this standard input.
    pub fn chat_with_input(&self, words: &[&str], input: &[u8]) -> Outcome {
        run(self.command(words), input)
    }

    /// Begins a session with these options, which is online when this returns.
    pub fn session(&self, chatd: &Chatd, options: &[&str]) -> Session {
        let session = self.start(options);
        chatd.expect_online(self.user, true);
        session
    }

    /// Begins a session with these options.
    pub fn start(&self, options: &[&str]) -> Session {
        Session::start(self.user, self.command(options))
    }
}

/// Runs a command to its end.
pub fn run(mut command: Command, input: &[u8]) -> Outcome {
    let mut child = command.spawn().expect("it starts");
    let read = |mut pipe: Box<dyn Read + Send>| {
        thread::spawn(move || {
            let mut text = String::new();
            pipe.read_to_string(&mut text).expect("UTF-8");
            text
        })
    };
    let out = read(Box::new(child.stdout.take().expect("piped")));
    let error = read(Box::new(child.stderr.take().expect("piped")));
    // It may end without having read its input.
    let _ = child.stdin.take().expect("piped").write_all(input);
    let status = wait(&mut child).code().expect("it ends by itself");
    Outcome { out: out.join().expect("read"), error: error.join().expect("read"), status }
}

impl Outcome {
    /// Everything that was said, compared whole.
    #[track_caller]
    pub fn is(&self, out: &str, error: &str, status: i32) {
        let (out, error) = (out.to_owned(), error.to_owned());
        assert_eq!(*self, Outcome { out, error, status });
    }

    /// The same, without the times.
    pub fn undated(self) -> Outcome {
        let out = self.out.lines().map(|line| undated(line) + "\n").collect();
        Outcome { out, ..self }
    }
}

impl Session {
    /// Begins the session that this command is.
    pub fn start(user: &'static str, mut command: Command) -> Session {
        let mut child = command.spawn().expect("chat starts");
        let input = child.stdin.take();
        let out = lines(child.stdout.take().expect("piped"));
        let error = lines(child.stderr.take().expect("piped"));
        Session { user, child, input, out, error }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Gives a command.
    pub fn says(&mut self, line: &str) {
        let input = self.input.as_mut().expect("the input is open");
        input.write_all(format!("{line}\n").as_bytes()).expect("chat reads");
    }

    /// The next line of standard output is this one.
    #[track_caller]
    pub fn hears(&mut self, line: &str) {
        assert_eq!(next(&self.out, self.user), Some(line.to_owned()));
    }

    /// The next line of standard output, whatever it is.
    #[track_caller]
    pub fn hears_something(&mut self) -> String {
        next(&self.out, self.user).expect("a line")
    }

    /// The next line of standard error is this one.
    #[track_caller]
    pub fn is_told(&mut self, line: &str) {
        assert_eq!(next(&self.error, self.user), Some(line.to_owned()));
    }

    /// The next line of standard error contains this.
    #[track_caller]
    pub fn is_told_something_with(&mut self, text: &str) {
        let line = next(&self.error, self.user).expect("a line");
        assert!(line.contains(text), "{line}");
    }

    pub fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// The input ends, and so does the session: with this status, and without another word.
    #[track_caller]
    pub fn ends(mut self, status: i32) {
        drop(self.input.take());
        self.has_ended(status);
    }

    /// Nothing more is typed.
    pub fn end_input(&mut self) {
        drop(self.input.take());
    }

    /// What the session still says until it ends by itself, and how that is.
    pub fn outcome(mut self) -> Outcome {
        let rest = |lines: &Receiver<String>| {
            std::iter::from_fn(|| next(lines, self.user)).map(|line| line + "\n").collect::<String>()
        };
        let (out, error) = (rest(&self.out), rest(&self.error));
        Outcome { out, error, status: wait(&mut self.child).code().expect("it ends by itself") }
    }

    /// The session ends by itself: with this status, and without another word.
    #[track_caller]
    pub fn has_ended(mut self, status: i32) {
        assert_eq!(next(&self.out, self.user), None);
        assert_eq!(next(&self.error, self.user), None);
        assert_eq!(wait(&mut self.child).code(), Some(status));
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A line without its times: `(time)` stands for a date and a time of day, and 0 for the number in JSON.
pub fn undated(line: &str) -> String {
    let shape = |line: &str| line.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect::<String>();
    if line.get(..19).is_some_and(|date| shape(date) == "0000-00-00 00:00:00") {
        return format!("(time){}", &line[19..]);
    }
    let mut parts = line.split("\"time\":");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |line, part| line + "\"time\":0" + part.trim_start_matches(|c: char| c.is_ascii_digit()))
}

/// The lines of a pipe, as they come.
fn lines(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines() {
            if sender.send(line.expect("UTF-8")).is_err() {
                return;
            }
        }
    });
    receiver
}

/// The next line; `None` at the end.
#[track_caller]
fn next(lines: &Receiver<String>, user: &str) -> Option<String> {
    let end = Instant::now() + LIMIT;
    match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
        Ok(line) => Some(line),
        Err(RecvTimeoutError::Disconnected) => None,
        Err(RecvTimeoutError::Timeout) => panic!("{user}'s chat says nothing"),
    }
}
