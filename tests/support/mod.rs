//! What the tests with real programs share: a chatd on a port of its own, and clients that speak the native protocol by
//! hand, a line at a time.
#![allow(dead_code)] // Each test file uses its part.

pub mod by_tls;
pub mod chat;
pub mod operator;
pub mod terminal;
pub mod tls;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use chatd::wire::scram::{Challenge, ClientExchange, Secret};
use chatd::wire::{ResumeToken, UserName};
use serde_json::{Value, json};
use tempfile::TempDir;

/// No single thing that a test waits for takes longer on a working server, however slow the machine.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Between two chunks to a client without framing, in milliseconds: so long that it reads each by itself on a busy machine too.
const PACE_MS: u32 = 250;

/// Until what was printed together has been read.
const PRINTED_WITHIN: Duration = Duration::from_millis(500);

/// A chatd, and the directory that it works in. Ends with the test.
pub struct Chatd {
    child: Child,
    address: SocketAddr,
    /// What else it listens at, in the order of `--listen`.
    listeners: Vec<SocketAddr>,
    /// What it prints beyond that.
    printed: Receiver<String>,
    log: Receiver<String>,
    /// The fingerprint of its certificate, as it says at the start.
    pub certificate: String,
    pub dir: TempDir,
    arguments: Vec<String>,
}

pub const CREDENTIALS: &str = "alice wonderland\nbob builder\ncarol christmas\ndave davidson\n";

impl Chatd {
    /// Starts one with a database in a directory of its own.
    pub fn start(arguments: &[&str]) -> Chatd {
        Chatd::start_with_accounts(CREDENTIALS, arguments)
    }

    /// The same with these accounts, in the form of the file.
    pub fn start_with_accounts(accounts: &str, arguments: &[&str]) -> Chatd {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("credentials.txt"), accounts).expect("credentials");
        Chatd::start_in(dir, arguments)
    }

    pub fn start_in(dir: TempDir, arguments: &[&str]) -> Chatd {
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        Chatd::of(spawn(chatd(), 0, dir.path(), &arguments), dir, arguments)
    }

    /// One with its main listener at this port.
    pub fn start_at(port: u16, arguments: &[&str]) -> Chatd {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("credentials.txt"), CREDENTIALS).expect("credentials");
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        Chatd::of(spawn(chatd(), port, dir.path(), &arguments), dir, arguments)
    }

    /// One without a disk that may have so many descriptors at most.
    pub fn start_with_descriptors(descriptors: usize) -> Chatd {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("credentials.txt"), CREDENTIALS).expect("credentials");
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -n {descriptors}; exec \"$0\" \"$@\"")]).arg(env!("CARGO_BIN_EXE_chatd"));
        let arguments = vec!["--memory".to_owned()];
        Chatd::of(spawn(shell, 0, dir.path(), &arguments), dir, arguments)
    }

    fn of(started: Started, dir: TempDir, arguments: Vec<String>) -> Chatd {
        let Started { child, address, listeners, printed, log, certificate } = started;
        Chatd { child, address, listeners, printed, log, certificate, dir, arguments }
    }

    /// The address of the `nth` `--listen`, from 0.
    pub fn listener(&self, nth: usize) -> SocketAddr {
        self.listeners[nth]
    }

    /// What it prints of a listener that nobody asked for, if it does.
    pub fn next_listener(&self) -> Option<String> {
        self.printed.recv_timeout(PRINTED_WITHIN).ok()
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// kill -9, and a new one on the same directory (and another port).
    pub fn kill_and_restart(&mut self) {
        self.kill();
        self.starts_on(0);
    }

    /// A new one on the same directory and the same port, after `kill` or `stop`.
    pub fn start_again(&mut self) {
        self.starts_on(self.port());
    }

    fn starts_on(&mut self, port: u16) {
        let started = spawn(chatd(), port, self.dir.path(), &self.arguments);
        Started {
            child: self.child,
            address: self.address,
            listeners: self.listeners,
            printed: self.printed,
            log: self.log,
            certificate: self.certificate,
        } = started;
    }

    pub fn kill(&mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("wait");
    }

    /// SIGTERM, and the exit status.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait()
    }

    /// Waits until a user is online, or is not.
    pub fn expect_online(&self, user: &str, online: bool) {
        let mut watcher = self.log_in_once("dave");
        let end = Instant::now() + LIMIT;
        loop {
            let answer = watcher.ask(json!({"request": "online"}));
            let is_online = answer["users"].as_array().expect("a list").iter().any(|name| name == user);
            if is_online == online {
                return;
            }
            assert!(Instant::now() < end, "{user} is online: {is_online}");
            thread::yield_now();
        }
    }

    pub fn wait(&mut self) -> ExitStatus {
        wait(&mut self.child)
    }

    pub fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// Waits for a line of the log that contains `text`.
    #[track_caller]
    pub fn expect_log(&self, text: &str) -> String {
        self.log_until(text).pop().expect("the line")
    }

    /// The same; comes back: what was logged up to there that nobody has waited for.
    #[track_caller]
    pub fn log_until(&self, text: &str) -> Vec<String> {
        let end = Instant::now() + LIMIT;
        let mut lines = Vec::new();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let line = self.log.recv_timeout(left).unwrap_or_else(|_| panic!("no log line with {text:?}"));
            lines.push(line);
            if lines.last().is_some_and(|line| line.contains(text)) {
                return lines;
            }
        }
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// A client that is logged in as a device whose id is `device` repeated.
    pub fn log_in(&self, user: &str, device: u8) -> Client {
        let mut client = self.connect();
        client.log_in(user, Some(device));
        client
    }

    /// A client that is logged in without a device.
    pub fn log_in_once(&self, user: &str) -> Client {
        let mut client = self.connect();
        client.log_in(user, None);
        client
    }
}

impl Drop for Chatd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn chatd() -> Command {
    Command::new(env!("CARGO_BIN_EXE_chatd"))
}

/// What there is of a chatd that has started.
struct Started {
    child: Child,
    address: SocketAddr,
    listeners: Vec<SocketAddr>,
    printed: Receiver<String>,
    log: Receiver<String>,
    certificate: String,
}

fn spawn(mut command: Command, port: u16, dir: &Path, arguments: &[String]) -> Started {
    command.current_dir(dir).args(["--port", &port.to_string()]);
    if !arguments.iter().any(|argument| argument == "--bind") {
        command.args(["--bind", "127.0.0.1"]);
    }
    if !arguments.iter().any(|argument| argument == "--memory") {
        command.args(["--data-dir", "data"]);
    }
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CHATD_")) {
        command.env_remove(name);
    }
    command.env("CHATD_PACE_MS", PACE_MS.to_string());
    command.args(arguments).env_remove("RUST_LOG").stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("chatd");
    let (lines, log) = channel();
    let (tell, certificate) = channel();
    let (tell_accounts, accounts) = channel();
    let stderr = BufReader::new(child.stderr.take().expect("piped"));
    thread::spawn(move || {
        for line in stderr.lines().map_while(Result::ok) {
            if let Some((_, fingerprint)) = line.split_once(" certificate SHA256:") {
                // Nobody waits for what it says later.
                let _ = tell.send(format!("SHA256:{fingerprint}"));
            }
            if line.contains(" accounts in the file: ") {
                let _ = tell_accounts.send(());
            }
            if lines.send(line).is_err() {
                return;
            }
        }
    });
    let (say, printed) = channel();
    let stdout = BufReader::new(child.stdout.take().expect("piped"));
    // To the end: whoever prints to a pipe that nobody reads fails.
    thread::spawn(move || stdout.lines().map_while(Result::ok).for_each(|line| drop(say.send(line))));
    let first = printed.recv().unwrap_or_default();
    let Some(address) = first.strip_prefix("chatd: listening on ") else {
        let log: Vec<String> = log.iter().collect();
        panic!("chatd did not start: {first:?} {log:?}");
    };
    let protocols =
        arguments.windows(2).filter(|pair| pair[0] == "--listen").filter_map(|pair| pair[1].split_once('='));
    let listener = |(protocol, _): (&str, &str)| {
        let line = printed.recv().unwrap_or_default();
        let address = line.strip_prefix(&format!("chatd: listening for {protocol} on "));
        address.unwrap_or_else(|| panic!("no listener for {protocol}: {line:?}")).parse().expect("an address")
    };
    let listeners = protocols.map(listener).collect();
    // It is said before the address is.
    let certificate = certificate.recv_timeout(LIMIT).expect("the certificate's fingerprint");
    if dir.join("credentials.txt").exists() {
        // Until then datagrams have no answer.
        accounts.recv_timeout(LIMIT).expect("the accounts");
    }
    Started { child, address: address.parse().expect("an address"), listeners, printed, log, certificate }
}

/// Sends a signal to a process.
pub fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").arg(format!("-{name}")).arg(child.id().to_string()).status();
    assert!(status.expect("kill").success());
}

/// Waits for the end of a process, with a limit.
pub fn wait(child: &mut Child) -> ExitStatus {
    let end = Instant::now() + LIMIT;
    loop {
        if let Some(status) = child.try_wait().expect("wait") {
            return status;
        }
        assert!(Instant::now() < end, "the process does not end");
        thread::yield_now();
    }
}

/// The password of a user in `CREDENTIALS`.
pub fn password(user: &str) -> &'static str {
    CREDENTIALS.lines().find_map(|line| line.strip_prefix(user)?.strip_prefix(' ')).expect("a user of these tests")
}

/// A client that does what the test says, and nothing by itself.
pub struct Client {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
    next_id: u64,
    pub token: Option<ResumeToken>,
    /// The token of the last log-in, until the server says that it is valid.
    derived: Option<ResumeToken>,
    pub log: String,
    /// Each line that was read, as it came.
    pub heard: String,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).expect("connect");
        stream.set_read_timeout(Some(LIMIT)).expect("a limit");
        stream.set_nodelay(true).expect("no delay");
        let reader = BufReader::new(stream.try_clone().expect("clone"));
        Client { stream, reader, next_id: 1, token: None, derived: None, log: String::new(), heard: String::new() }
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("write");
    }

    pub fn send(&mut self, request: &Value) {
        self.send_bytes(format!("{request}\n").as_bytes());
    }

    /// Sends a request with the next id; the id comes back.
    pub fn request(&mut self, mut request: Value) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        request["id"] = id.into();
        self.send(&request);
        id
    }

    /// Sends nothing more, and still reads.
    pub fn close_our_side(&mut self) {
        self.stream.shutdown(std::net::Shutdown::Write).expect("shutdown");
    }

    /// The next line, whole.
    pub fn line(&mut self) -> Value {
        self.try_line().expect("the server has closed")
    }

    /// A line that has come already, without waiting for one.
    pub fn line_if_there(&mut self) -> Option<Value> {
        self.line_within(Duration::from_millis(1))
    }

    /// The next line, if it comes within a time.
    pub fn line_within(&mut self, time: Duration) -> Option<Value> {
        self.stream.set_read_timeout(Some(time)).expect("a limit");
        let mut line = String::new();
        let result = self.reader.read_line(&mut line);
        self.stream.set_read_timeout(Some(LIMIT)).expect("a limit");
        match result {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock && line.is_empty() => None,
            result => {
                result.expect("a connection");
                Some(serde_json::from_str(&line).expect("a whole line"))
            }
        }
    }

    /// The next line; `None` at the end.
    pub fn try_line(&mut self) -> Option<Value> {
        let mut line = String::new();
        let result = self.reader.read_line(&mut line);
        self.heard += &line;
        match result {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON: {line:?}"))),
        }
    }

    /// Everything up to the end.
    pub fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        self.reader.read_to_end(&mut rest).expect("the rest");
        String::from_utf8(rest).expect("UTF-8")
    }

    /// The answer to a request: the next line with that id. Events before it are passed over.
    pub fn answer(&mut self, id: u64) -> Value {
        loop {
            let line = self.line();
            if line["id"] == id {
                return line;
            }
        }
    }

    /// Sends a request and waits for its answer.
    pub fn ask(&mut self, request: Value) -> Value {
        let id = self.request(request);
        self.answer(id)
    }

    /// The next line with this event. Others are passed over.
    pub fn event(&mut self, event: &str) -> Value {
        loop {
            let line = self.line();
            if line["event"] == event {
                return line;
            }
        }
    }

    /// Asserts that nothing but the answer to a harmless request comes next.
    pub fn nothing_but_alive(&mut self) {
        let id = self.request(json!({"request": "alive"}));
        assert_eq!(self.line(), json!({"id": id, "reply": "alive"}));
    }

    pub fn log_in(&mut self, user: &str, device: Option<u8>) -> Value {
        let secret = |salt: &[u8], iterations| Secret::salted(password(user), salt, iterations);
        let answer = self.exchange(user, "SCRAM-SHA-256", secret, device.map(device_claim));
        assert_eq!(answer["reply"], "logged-in", "{answer}");
        self.log = answer["log"].as_str().expect("a log").to_owned();
        if device.is_some() {
            self.take_token();
        }
        answer
    }

    pub fn take_token(&mut self) {
        assert_eq!(self.event("token"), json!({"event": "token"}));
        self.token = Some(self.derived.take().expect("a log-in"));
    }

    pub fn try_password(&mut self, user: &str, password: &str) -> Value {
        let secret = |salt: &[u8], iterations| Secret::salted(password, salt, iterations);
        self.exchange(user, "SCRAM-SHA-256", secret, None)
    }

    pub fn resume(&mut self, user: &str, device: Value, token: &ResumeToken) -> Value {
        self.exchange(user, "RESUME-SHA-256", |_, _| Secret::token(token), Some(device))
    }

    /// A whole log-in; comes back: the answer to its second half.
    pub fn exchange(
        &mut self,
        user: &str,
        mechanism: &str,
        secret: impl FnOnce(&[u8], u32) -> Secret,
        device: Option<Value>,
    ) -> Value {
        let (exchange, challenge) = self.begin_exchange(user, mechanism, device);
        let (proof, signature, token) = exchange.prove(&challenge, &secret(&challenge.salt, challenge.iterations));
        let answer = self.ask(json!({"request": "authenticate", "message": proof}));
        if let Some(message) = answer["message"].as_str() {
            assert!(signature.matches(message), "the server does not know the account");
            self.derived = Some(token);
        }
        answer
    }

    /// The first half of a log-in with a password.
    pub fn begin_log_in(&mut self, user: &str) -> (ClientExchange, Challenge) {
        self.begin_exchange(user, "SCRAM-SHA-256", None)
    }

    /// The second half; its answer is not waited for.
    pub fn finish_log_in(&mut self, (exchange, challenge): (ClientExchange, Challenge), password: &str) -> u64 {
        let secret = Secret::salted(password, &challenge.salt, challenge.iterations);
        let (proof, ..) = exchange.prove(&challenge, &secret);
        self.request(json!({"request": "authenticate", "message": proof}))
    }

    fn begin_exchange(&mut self, user: &str, mechanism: &str, device: Option<Value>) -> (ClientExchange, Challenge) {
        let name = UserName::parse(user).expect("a name");
        let exchange = ClientExchange::new(&name, &self.next_id.to_be_bytes(), None);
        let mut request = json!({"request": "log-in", "mechanism": mechanism, "message": exchange.message()});
        if let Some(Value::Object(fields)) = device {
            request.as_object_mut().expect("an object").extend(fields);
        }
        let answer = self.ask(request);
        assert_eq!(answer["reply"], "challenge", "{answer}");
        let challenge = exchange.challenge(answer["message"].as_str().expect("a message")).expect("a challenge");
        (exchange, challenge)
    }
}

pub fn device_claim(device: u8) -> Value {
    json!({"device": format!("{device:02x}").repeat(16)})
}
