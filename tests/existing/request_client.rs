//! The existing client of `request` (a Python 2 program).

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::journal::{Chunk, Journal, Seen};
use super::sockets::{Listening, Sockets};
use super::{End, LIMIT, Received, decode_utf8, receive};

/// What is beyond so many bytes of a chunk is lost.
const READ_SIZE: usize = 4096;
/// In characters: where the name stands in `Authenticated USER`.
const NAME_COLUMN: usize = 14;

/// A name that no account has.
const NOBODY: &str = "nobody-at-all";

/// The program: a listening socket from the start, and an accept loop from the log-in on.
pub struct RequestClient {
    listener: Option<TcpListener>,
    port: u16,
    listening: Option<Listening>,
    shared: Arc<Shared>,
    server: Option<SocketAddr>,
    user: Option<String>,
    heartbeat: Option<Heartbeat>,
}

struct Shared {
    journal: Journal<Seen<End>>,
    /// When somebody was at the listening socket.
    visits: Journal<Instant>,
    manner: Mutex<Manner>,
    manner_changed: Condvar,
    sockets: Arc<Sockets>,
}

/// What it does with whoever comes to its listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Reads once and closes, as it should.
    Reads,
    /// Accepts, and keeps the connection without ever reading.
    NeverReads,
    /// Accepts nobody. Who came meanwhile is served when the manner changes.
    NeverAccepts,
    /// Closes with the bytes unread, which is a reset.
    Resets,
}

/// How a log-in went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogIn {
    /// What the server said, a string for each read.
    pub chunks: Vec<String>,
    pub outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Under this name.
    LoggedIn(String),
    /// The person has nothing more to say to this, and gives up.
    GivenUp(String),
    Ended(End),
}

/// What the client takes a delivery for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    LogoutDuplicate,
    Shutdown,
    /// This user asks for the address.
    PrivateConsent(String),
    Address {
        user: String,
        address: SocketAddr,
    },
    /// `offline`, `blocked`, `no`, or what makes no sense.
    NoAddress(String),
    Online(Vec<String>),
    /// Anything else is shown as it is.
    Shown,
}

impl Meaning {
    pub fn of(chunk: &str) -> Meaning {
        if chunk == "logout_duplicate" {
            Meaning::LogoutDuplicate
        } else if chunk == "shutdown" {
            Meaning::Shutdown
        } else if let Some(asker) = chunk.strip_prefix("private_consent,") {
            Meaning::PrivateConsent(asker.to_owned())
        } else if let Some(answer) = chunk.strip_prefix("getaddress,") {
            address(answer).unwrap_or_else(|| Meaning::NoAddress(answer.to_owned()))
        } else if let Some(users) = chunk.strip_prefix("online") {
            Meaning::Online(users.split(',').skip(1).map(str::to_owned).collect())
        } else {
            Meaning::Shown
        }
    }
}

fn address(answer: &str) -> Option<Meaning> {
    let [user, ip, port] = answer.split(',').collect::<Vec<_>>().try_into().ok()?;
    let address = SocketAddr::new(ip.parse().ok()?, port.parse().ok()?);
    Some(Meaning::Address { user: user.to_owned(), address })
}

impl RequestClient {
    /// A client that has not logged in.
    pub fn open() -> RequestClient {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("a bound socket").port();
        let shared = Shared {
            journal: Journal::new(),
            visits: Journal::new(),
            manner: Mutex::new(Manner::Reads),
            manner_changed: Condvar::new(),
            sockets: Arc::new(Sockets::default()),
        };
        let (listening, server, user, heartbeat) = Default::default();
        RequestClient { listener: Some(listener), port, listening, shared: Arc::new(shared), server, user, heartbeat }
    }

    /// A client that has logged in at the first try.
    #[track_caller]
    pub fn logged_in(server: SocketAddr, user: &str, password: &str) -> RequestClient {
        let mut client = RequestClient::open();
        let log_in = client.log_in(server, user, &[password]);
        assert_eq!(log_in.outcome, Outcome::LoggedIn(user.to_owned()), "{:?}", log_in.chunks);
        client
    }

    /// Of the listening socket.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The client connects before the person has typed anything.
    pub fn connect(&mut self, server: SocketAddr) -> Dialogue<'_> {
        let stream = TcpStream::connect(server).expect("the server is there");
        stream.set_read_timeout(Some(LIMIT)).expect("a limit that is not zero");
        self.server = Some(server);
        Dialogue { client: self, stream }
    }

    /// The passwords are typed in turn, as often as the server asks.
    pub fn log_in(&mut self, server: SocketAddr, user: &str, passwords: &[&str]) -> LogIn {
        let answers: Vec<(&str, &str)> = passwords.iter().map(|&password| (user, password)).collect();
        self.log_in_with(server, &answers)
    }

    /// The same with another name for each time that the server asks for one.
    pub fn log_in_with(&mut self, server: SocketAddr, answers: &[(&str, &str)]) -> LogIn {
        self.connect(server).log_in_with(answers)
    }

    /// A request: a connection, one chunk, a close. Nothing says when the server reads it, and whether before the next one.
    pub fn send(&self, chunk: &str) {
        send_once(self.server(), chunk).expect("the server is there");
    }

    pub fn forward(&self, to: &str, text: &str) {
        self.send(&format!("forward,{},{to},{text}\n", self.user()));
    }

    pub fn broadcast(&self, text: &str) {
        self.send(&format!("broadcast,{},{text}\n", self.user()));
    }

    pub fn ask_who_is_online(&self) {
        self.send(&format!("online,{}", self.user()));
    }

    pub fn block(&self, other: &str) {
        self.send(&format!("block,{},{other}", self.user()));
    }

    pub fn unblock(&self, other: &str) {
        self.send(&format!("unblock,{},{other}", self.user()));
    }

    pub fn ask_for_address(&self, other: &str) {
        self.send(&format!("getaddress,{},{other}", self.user()));
    }

    /// `answer`: `yes`, or anything else for no.
    pub fn answer(&self, asker: &str, answer: &str) {
        self.send(&format!("private_answer,{},{asker},{answer}", self.user()));
    }

    pub fn heartbeat(&self) {
        self.send(&alive(self.user()));
    }

    /// Sends a heartbeat now and after each interval, until the client ends.
    pub fn keep_alive(&mut self, interval: Duration) {
        let (server, chunk, sockets) = (self.server(), alive(self.user()), self.shared.sockets.clone());
        self.heartbeat = None;
        self.heartbeat = Some(Heartbeat::start(server, chunk, interval, sockets));
    }

    pub fn stop_heartbeat(&mut self) {
        self.heartbeat = None;
    }

    /// Ctrl-C and `logout` are the same: the server is told, and the program ends.
    pub fn log_out(&mut self) {
        let user = self.user.as_deref().unwrap_or("logout");
        self.send(&format!("logout,{user}"));
        self.end();
    }

    /// Ends without a word.
    pub fn end(&mut self) {
        self.heartbeat = None;
        self.listener = None;
        self.shared.sockets.end();
        // Nothing more is read: a thread that waits for another manner sees that it is over.
        self.set_manner(Manner::Reads);
        self.listening = None;
    }

    /// Speaks to another client's listening socket without the server.
    pub fn say_directly(&self, address: SocketAddr, text: &str) {
        send_once(address, &format!("{}:{text}\n", self.user())).expect("the other client is there");
    }

    pub fn set_manner(&self, manner: Manner) {
        *self.shared.manner.lock().unwrap_or_else(PoisonError::into_inner) = manner;
        self.shared.manner_changed.notify_all();
    }

    /// The next delivery, whole.
    #[track_caller]
    pub fn next(&self) -> Chunk {
        self.shared.journal.next_chunk()
    }

    /// The next delivery is this one.
    #[track_caller]
    pub fn expect(&self, text: &str) {
        assert_eq!(self.next().text, text);
    }

    /// The next delivery means this.
    #[track_caller]
    pub fn expect_meaning(&self, meaning: &Meaning) {
        let text = self.next().text;
        assert_eq!(&Meaning::of(&text), meaning, "{text:?}");
    }

    /// This delivery comes, among others in whatever order.
    #[track_caller]
    pub fn wait_for(&self, text: &str) -> Chunk {
        self.shared.journal.wait_for(text)
    }

    /// How the client comes to its end, next.
    #[track_caller]
    pub fn expect_end(&self) -> End {
        self.shared.journal.next_else()
    }

    /// Everything that was delivered.
    pub fn deliveries(&self) -> Vec<String> {
        self.shared.journal.chunks()
    }

    /// When somebody is at the listening socket next, whatever became of it.
    #[track_caller]
    pub fn next_visit(&self) -> Instant {
        self.shared.visits.next()
    }

    /// Nothing else comes before the answer to a question that is asked now.
    #[track_caller]
    pub fn expect_nothing_else(&self) {
        self.block(NOBODY);
        self.expect("No such User in the system\n");
        let untaken = self.shared.journal.untaken();
        assert!(untaken.is_empty(), "{untaken:?}");
    }

    fn server(&self) -> SocketAddr {
        self.server.expect("a server to which the client has connected")
    }

    fn user(&self) -> &str {
        self.user.as_deref().expect("a client that has logged in")
    }

    fn start_to_accept(&mut self) {
        let Some(listener) = self.listener.take() else { return };
        let (shared, sockets) = (self.shared.clone(), self.shared.sockets.clone());
        let accept = move |listener| {
            let end = shared.accept(&listener);
            drop(listener);
            shared.sockets.end();
            if let Some(end) = end {
                shared.journal.record(Seen::Else(end));
            }
        };
        self.listening = Some(Listening::start(listener, sockets, accept));
    }
}

impl Drop for RequestClient {
    fn drop(&mut self) {
        self.end();
    }
}

/// A connection to log in by, on which nothing was said yet.
pub struct Dialogue<'a> {
    client: &'a mut RequestClient,
    stream: TcpStream,
}

impl Dialogue<'_> {
    /// The person types so slowly that the server speaks first.
    pub fn wait_until_the_server_speaks(self) -> Self {
        let length = self.stream.peek(&mut [0]).expect("the server speaks");
        assert_eq!(length, 1, "the server closes");
        self
    }

    pub fn log_in_with(self, answers: &[(&str, &str)]) -> LogIn {
        let mut chunks = Vec::new();
        let outcome = self.converse(answers, &mut chunks).unwrap_or_else(Outcome::Ended);
        if let Outcome::LoggedIn(user) = &outcome {
            self.client.user = Some(user.clone());
            self.client.start_to_accept();
        }
        LogIn { chunks, outcome }
    }

    /// The client's rule, up to the end of the log-in.
    fn converse(&self, answers: &[(&str, &str)], chunks: &mut Vec<String>) -> Result<Outcome, End> {
        let mut answers = answers.iter();
        let (user, password) = answers.next().expect("somebody to log in");
        self.say(&format!("newUser,{user},{password},{}", self.client.port))?;
        loop {
            let text = read(&self.stream, End::SpunOnEndOfFile)?;
            chunks.push(text.clone());
            match text.as_str() {
                "exit" => return Err(End::Told(text)),
                "prompt" | "prompt_password" => match answers.next() {
                    Some((user, password)) if text == "prompt" => self.say(&format!("{user},{password}"))?,
                    Some((_, password)) => self.say(password)?,
                    None => return Ok(Outcome::GivenUp(text)),
                },
                _ if text.contains("Authenticated") => {
                    return Ok(Outcome::LoggedIn(text.chars().skip(NAME_COLUMN).collect()));
                }
                _ => self.say("ok")?,
            }
        }
    }

    fn say(&self, chunk: &str) -> Result<(), End> {
        (&self.stream).write_all(chunk.as_bytes()).map_err(|_| End::Reset)
    }
}

impl Shared {
    /// Serves one after the other. By which of them the client has ended; `None`: it was ended by the test.
    fn accept(&self, listener: &TcpListener) -> Option<End> {
        let mut never_read = Vec::new();
        for stream in self.sockets.incoming(listener) {
            let served = match self.manner_that_accepts() {
                _ if self.sockets.has_ended() => return None,
                Manner::NeverReads => {
                    self.visits.record(Instant::now());
                    never_read.push(stream);
                    Ok(())
                }
                Manner::Resets => self.reset(&stream),
                Manner::Reads | Manner::NeverAccepts => self.take_delivery(&stream),
            };
            if let Err(end) = served {
                // One that the test has ended has seen its sockets close.
                return (!self.sockets.has_ended()).then_some(end);
            }
        }
        None
    }

    /// Waits while nobody is accepted.
    fn manner_that_accepts(&self) -> Manner {
        let manner = self.manner.lock().unwrap_or_else(PoisonError::into_inner);
        *self
            .manner_changed
            .wait_while(manner, |manner| *manner == Manner::NeverAccepts)
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn take_delivery(&self, stream: &TcpStream) -> Result<(), End> {
        self.visits.record(Instant::now());
        let text = read(stream, End::NothingBrought)?;
        self.journal.chunk(text.clone());
        match Meaning::of(&text) {
            Meaning::LogoutDuplicate | Meaning::Shutdown => Err(End::Told(text)),
            _ => Ok(()),
        }
    }

    fn reset(&self, stream: &TcpStream) -> Result<(), End> {
        self.visits.record(Instant::now());
        match stream.peek(&mut [0]) {
            Ok(0) => Err(End::NothingBrought),
            // Closing with bytes unread is a reset, and so is their own.
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

/// Reads once. `end_of_file`: what an end of file means there.
fn read(stream: &TcpStream, end_of_file: End) -> Result<String, End> {
    match receive(stream, READ_SIZE) {
        Received::Bytes(bytes) => decode_utf8(bytes).map_err(End::Undecodable),
        Received::EndOfFile => Err(end_of_file),
        Received::Reset => Err(End::Reset),
        Received::Silence => Err(End::Silence),
    }
}

fn send_once(address: SocketAddr, chunk: &str) -> std::io::Result<()> {
    TcpStream::connect(address)?.write_all(chunk.as_bytes())
}

fn alive(user: &str) -> String {
    format!("alive,{user}")
}

/// The thread that sends heartbeats, for as long as this lives.
struct Heartbeat {
    stopped: Arc<Sockets>,
    thread: Option<JoinHandle<()>>,
}

impl Heartbeat {
    fn start(server: SocketAddr, chunk: String, interval: Duration, client: Arc<Sockets>) -> Heartbeat {
        let stopped = Arc::new(Sockets::default());
        let watched = stopped.clone();
        let thread = thread::spawn(move || {
            // A server that is not there is no reason to stop: it may come back.
            while !client.has_ended() {
                let _ = send_once(server, &chunk);
                if !watched.pause(interval) {
                    return;
                }
            }
        });
        Heartbeat { stopped, thread: Some(thread) }
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.stopped.end();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
