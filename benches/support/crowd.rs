//! Many clients on one thread: they log in, read everything, and acknowledge as `chat` does. Either all of them speak plain,
//! or all of them speak TLS, with log-ins that are bound to it.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use rustls::{ClientConfig, ClientConnection};

use chatd::hub::id::DeviceId;
use chatd::wire::native::client::{Ask, FromServer, Hear, Told, decode, encode};
use chatd::wire::scram::{ChannelBinding, ClientExchange, Secret};
use chatd::wire::{DeviceClaim, Number, RequestId, UserName};

use super::LIMIT;
use super::tls_client::{self, connection};

pub const PASSWORD: &str = "password";
/// Messages after which a client acknowledges.
pub const ACKNOWLEDGE_EVERY: u64 = 32;
/// Log-ins under way at once.
const LOG_INS_AT_ONCE: usize = 64;

const BROADCAST: &[u8] = b"{\"event\":\"broadcast\",\"number\":";
const MESSAGE: &[u8] = b"{\"event\":\"message\",\"number\":";
const TOKEN: &[u8] = b"{\"event\":\"token\"";

pub fn name(n: usize) -> String {
    format!("u{n}")
}

/// Clients that are connected to one server.
pub struct Crowd {
    poll: Poll,
    events: Events,
    address: SocketAddr,
    /// `None`: they speak plain.
    tls: Option<Arc<ClientConfig>>,
    /// The number of the first one's user.
    pub first: usize,
    members: Vec<Member>,
    /// Messages that all members together have received.
    pub received: u64,
    /// Members whose resume token is valid: the end of a log-in.
    logged_in: usize,
    /// The last message that came, with its newline.
    pub last_line: Vec<u8>,
    /// Answers to requests other than a log-in, and the last of them.
    pub answers: u64,
    pub last_answer: Vec<u8>,
    /// How many of them said no.
    pub refused: u64,
    buffer: Vec<u8>,
    /// What was decrypted; empty between reads.
    plain: Vec<u8>,
}

struct Member {
    stream: TcpStream,
    session: Option<Box<ClientConnection>>,
    step: Step,
    /// The beginning of a line.
    partial: Vec<u8>,
    unacknowledged: u64,
    number: u64,
}

enum Step {
    Shakes,
    First(ClientExchange),
    Second,
    Receives,
}

impl Crowd {
    pub fn new(address: SocketAddr) -> Crowd {
        Crowd {
            poll: Poll::new().expect("a poll"),
            events: Events::with_capacity(1024),
            address,
            tls: None,
            first: 0,
            members: Vec::new(),
            received: 0,
            logged_in: 0,
            last_line: Vec::new(),
            answers: 0,
            last_answer: Vec::new(),
            refused: 0,
            buffer: vec![0; 64 * 1024],
            plain: Vec::new(),
        }
    }

    /// Of members that speak TLS, each with a full handshake.
    pub fn over_tls(address: SocketAddr) -> Crowd {
        Crowd { tls: Some(tls_client::config(false)), ..Crowd::new(address) }
    }

    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Adds members until there are `count`, without a log-in.
    pub fn connect(&mut self, count: usize) {
        while self.members.len() < count {
            self.add(Step::Receives);
        }
    }

    /// Adds members until there are `count`, each a user of their own with a device, and reads until nothing more comes.
    pub fn log_in(&mut self, count: usize) {
        while self.logged_in < count {
            while self.members.len() < count.min(self.logged_in + LOG_INS_AT_ONCE) {
                self.begin_log_in();
            }
            self.turn(Duration::from_secs(1));
        }
        while self.turn(Duration::from_millis(200)) {}
    }

    fn begin_log_in(&mut self) {
        let n = self.members.len();
        self.add(Step::Shakes);
        if self.tls.is_none() {
            self.say_first(n, None);
        }
    }

    fn say_first(&mut self, n: usize, binding: Option<ChannelBinding>) {
        let bound = binding.is_some();
        let number = self.first + n;
        let user = UserName::parse(&name(number)).expect("a name");
        let exchange = ClientExchange::new(&user, &(number as u64).to_be_bytes(), binding);
        let mut bytes = Vec::new();
        // The lowest ids are the protocols' own.
        let id = DeviceId::from_bytes(((number as u128 + 1) << 64).to_be_bytes());
        let device = DeviceClaim { id, shown: None };
        let ask = Ask::LogIn { resume: false, bound, message: exchange.message(), device: Some(device) };
        encode(Some(RequestId(1)), &ask, &mut bytes);
        self.members[n].step = Step::First(exchange);
        self.send(n, &bytes);
    }

    fn add(&mut self, step: Step) {
        let stream = std::net::TcpStream::connect(self.address).expect("a server that listens");
        stream.set_nodelay(true).expect("no delay");
        stream.set_nonblocking(true).expect("a socket");
        let mut stream = TcpStream::from_std(stream);
        let token = Token(self.members.len());
        self.poll.registry().register(&mut stream, token, Interest::READABLE).expect("a socket");
        let session = self.tls.as_ref().map(|config| Box::new(connection(config, 0)));
        let mut member = Member { stream, session, step, partial: Vec::new(), unacknowledged: 0, number: 0 };
        member.flush();
        self.members.push(member);
    }

    /// Writes as a member.
    pub fn send(&mut self, member: usize, bytes: &[u8]) {
        self.members[member].write(bytes);
    }

    /// Reads until so many messages and answers have come, of all since the beginning.
    pub fn until(&mut self, received: u64, answers: u64) {
        let end = Instant::now() + LIMIT;
        while self.received < received || self.answers < answers {
            self.turn(Duration::from_secs(1));
            assert!(Instant::now() < end, "{} of {received} messages came", self.received);
        }
    }

    /// Everybody acknowledges what they have not yet.
    pub fn acknowledge(&mut self) {
        for member in &mut self.members {
            member.acknowledge();
        }
    }

    /// Reads what has come. Comes back: whether anything has.
    fn turn(&mut self, timeout: Duration) -> bool {
        let mut events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        self.poll.poll(&mut events, Some(timeout)).expect("a poll");
        let mut ready: VecDeque<usize> = events.iter().map(|event| event.token().0).collect();
        self.events = events;
        let came = !ready.is_empty();
        while let Some(index) = ready.pop_front() {
            let member = &mut self.members[index];
            match member.stream.read(&mut self.buffer) {
                Ok(0) => panic!("the server has closed on member {index}"),
                Ok(bytes) => {
                    if bytes == self.buffer.len() {
                        ready.push_back(index);
                    }
                    let buffer = std::mem::take(&mut self.buffer);
                    match self.tls {
                        None => self.take(index, &buffer[..bytes]),
                        Some(_) => self.decrypt(index, &buffer[..bytes]),
                    }
                    self.buffer = buffer;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => panic!("member {index}: {error}"),
            }
        }
        came
    }

    fn decrypt(&mut self, index: usize, raw: &[u8]) {
        let member = &mut self.members[index];
        let session = member.session.as_mut().expect("members that all speak TLS");
        let mut plain = std::mem::take(&mut self.plain);
        tls_client::decrypt(session, raw, &mut plain);
        let binding = match member.step {
            Step::Shakes => tls_client::binding(session),
            _ => None,
        };
        match binding {
            // What the handshake still has to say leaves with it.
            Some(binding) => self.say_first(index, Some(binding)),
            None => member.flush(),
        }
        self.take(index, &plain);
        plain.clear();
        self.plain = plain;
    }

    fn take(&mut self, index: usize, mut rest: &[u8]) {
        while let Some(end) = rest.iter().position(|&b| b == b'\n') {
            let line = &rest[..=end];
            rest = &rest[end + 1..];
            if self.members[index].partial.is_empty() {
                self.line(index, line);
            } else {
                let mut whole = std::mem::take(&mut self.members[index].partial);
                whole.extend_from_slice(line);
                self.line(index, &whole);
            }
        }
        self.members[index].partial.extend_from_slice(rest);
    }

    fn line(&mut self, index: usize, line: &[u8]) {
        if let Some(after) = line.strip_prefix(BROADCAST).or_else(|| line.strip_prefix(MESSAGE)) {
            self.received += 1;
            self.last_line.clear();
            self.last_line.extend_from_slice(line);
            let member = &mut self.members[index];
            member.number =
                after.iter().take_while(|b| b.is_ascii_digit()).fold(0, |n, &b| n * 10 + u64::from(b - b'0'));
            member.unacknowledged += 1;
            if member.unacknowledged == ACKNOWLEDGE_EVERY {
                member.acknowledge();
            }
        } else if line.starts_with(b"{\"id\":") {
            self.answer(index, line);
        } else if line.starts_with(TOKEN) {
            self.logged_in += 1;
        }
    }

    fn answer(&mut self, index: usize, line: &[u8]) {
        match &self.members[index].step {
            Step::Shakes => panic!("an answer to nothing"),
            Step::Receives => {
                self.answers += 1;
                self.refused += u64::from(line.windows(9).any(|part| part == b"\"error\":\""));
                self.last_answer.clear();
                self.last_answer.extend_from_slice(line);
            }
            Step::First(exchange) => {
                let Hear::Line { line: FromServer::Answer { answer: Ok(Told::Challenge { message, .. }), .. }, .. } =
                    decode(line)
                else {
                    panic!("no challenge: {}", String::from_utf8_lossy(line));
                };
                let challenge = exchange.challenge(&message).expect("a challenge");
                let secret = Secret::salted(PASSWORD, &challenge.salt, challenge.iterations);
                let (message, ..) = exchange.prove(&challenge, &secret);
                let mut bytes = Vec::new();
                encode(Some(RequestId(2)), &Ask::Authenticate { message }, &mut bytes);
                self.members[index].step = Step::Second;
                self.send(index, &bytes);
            }
            Step::Second => {
                assert!(line.starts_with(b"{\"id\":2,\"reply\":\"logged-in\""), "{}", String::from_utf8_lossy(line));
                self.members[index].step = Step::Receives;
            }
        }
    }
}

impl Member {
    fn write(&mut self, bytes: &[u8]) {
        let Some(session) = &mut self.session else {
            let written = self.stream.write(bytes).expect("a server that reads");
            return assert_eq!(written, bytes.len(), "the socket takes it whole");
        };
        session.writer().write_all(bytes).expect("room");
        self.flush();
    }

    /// Writes what is encrypted.
    fn flush(&mut self) {
        let Some(session) = self.session.as_mut().filter(|session| session.wants_write()) else { return };
        session.write_tls(&mut self.stream).expect("a server that reads");
        assert!(!session.wants_write(), "the socket takes it whole");
    }

    fn acknowledge(&mut self) {
        if self.unacknowledged == 0 {
            return;
        }
        self.unacknowledged = 0;
        let mut bytes = Vec::with_capacity(64);
        encode(None, &Ask::Acknowledge { number: Number(self.number) }, &mut bytes);
        self.write(&bytes);
    }
}
