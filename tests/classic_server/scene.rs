//! A server, and people who come to it in five ways.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Instant;

use crate::existing::End;
use crate::existing::datagram_client::DatagramClient;
use crate::existing::nick_client::NickClient;
use crate::existing::request_client::RequestClient;
use crate::existing::session_client::SessionClient;
use crate::support::chat::{Outcome, Person, Session};
use crate::support::{Chatd, LIMIT, password};

/// What one delivery has at most, in bytes: a segment.
pub const DELIVERY_BYTES_MAX: usize = 1400;
/// A name that no account has.
const NOBODY: &str = "nobody-at-all";
/// What a client of `nick` reads at once, in bytes.
pub const CHUNK_BYTES_MAX: usize = 1024;

const ROOM: [&str; 4] = ["--guests", "loopback", "--listen", "nick=127.0.0.1:0"];

pub struct Scene {
    pub chatd: Chatd,
}

/// Somebody with a session of chat's, and a machine of their own.
pub struct Native {
    pub session: Session,
    _person: Person,
}

/// Somebody in the room, who reads line by line: what waits for the same client may come in one chunk.
pub struct Guest {
    client: NickClient,
    lines: RefCell<VecDeque<String>>,
}

impl Scene {
    /// Without a disk, and with a port where guests are asked for their names at once.
    pub fn new() -> Scene {
        Scene::with(&[])
    }

    pub fn with(arguments: &[&str]) -> Scene {
        Scene { chatd: Chatd::start(&[&ROOM[..], &["--memory"], arguments].concat()) }
    }

    pub fn with_accounts(accounts: &str) -> Scene {
        Scene { chatd: Chatd::start_with_accounts(accounts, &[&ROOM[..], &["--memory"]].concat()) }
    }

    /// With a database in a directory of its own.
    pub fn on_disk() -> Scene {
        Scene { chatd: Chatd::start(&ROOM) }
    }

    pub fn address(&self) -> SocketAddr {
        self.chatd.address()
    }

    /// Where guests come in.
    pub fn room(&self) -> SocketAddr {
        self.chatd.listener(0)
    }

    pub fn request(&self, user: &str) -> RequestClient {
        RequestClient::logged_in(self.address(), user, password(user))
    }

    pub fn session(&self, user: &str) -> SessionClient {
        SessionClient::connected(self.address(), user, password(user))
    }

    pub fn datagram(&self, user: &str) -> DatagramClient {
        DatagramClient::logged_in(self.address(), user, password(user))
    }

    pub fn guest(&self, nickname: &str) -> Guest {
        Guest::joined(self.room(), nickname)
    }

    pub fn native(&self, user: &'static str) -> Native {
        let person = Person::new(&self.chatd, user);
        Native { session: person.session(&self.chatd, &[]), _person: person }
    }

    /// One command of chat's: nobody sees this user come or go.
    pub fn chat(&self, user: &'static str, words: &[&str]) -> Outcome {
        Person::new(&self.chatd, user).chat(words)
    }

    /// A private message that the server has when this returns.
    #[track_caller]
    pub fn message(&self, from: &'static str, to: &str, text: &str) {
        self.chat(from, &["message", to, text]).is("", "", 0);
    }

    #[track_caller]
    pub fn broadcast(&self, from: &'static str, text: &str) {
        self.chat(from, &["broadcast", text]).is("", "", 0);
    }

    pub fn by_hand(&self) -> ByHand {
        ByHand::connect(self.address())
    }

    /// Waits until no message waits for any client any more.
    #[track_caller]
    pub fn everything_is_shown(&self) {
        let end = Instant::now() + LIMIT;
        loop {
            let counts = self.chatd.status();
            if counts["waiting"] == 0 {
                return;
            }
            assert!(Instant::now() < end, "something is owed: {counts}");
        }
    }

    /// Waits until the history of a user shows a message with this text: it is on the disk.
    #[track_caller]
    pub fn wait_for_history(&self, user: &'static str, text: &str) {
        let end = Instant::now() + LIMIT;
        while !self.chat(user, &["history"]).out.contains(text) {
            assert!(Instant::now() < end, "{text:?} does not come into the history");
        }
    }
}

impl Guest {
    pub fn joined(room: SocketAddr, nickname: &str) -> Guest {
        Guest { client: NickClient::joined(room, nickname), lines: RefCell::default() }
    }

    pub fn say(&self, text: &str) {
        self.client.say(text);
    }

    pub fn send(&self, bytes: &[u8]) {
        self.client.send(bytes);
    }

    /// The next line is this one; those that are indented belong to the one before.
    #[track_caller]
    pub fn expect(&self, line: &str) {
        assert_eq!(self.next_line(), line);
    }

    /// This line comes, after others.
    #[track_caller]
    pub fn wait_for(&self, line: &str) {
        while self.next_line() != line {}
    }

    #[track_caller]
    pub fn next_line(&self) -> String {
        if let Some(line) = self.lines.borrow_mut().pop_front() {
            return line;
        }
        let chunk = self.next_chunk();
        let mut lines = self.lines.borrow_mut();
        for line in chunk.split('\n') {
            match lines.back_mut() {
                Some(last) if line.starts_with("    ") => *last += &format!("\n{line}"),
                _ => lines.push_back(line.to_owned()),
            }
        }
        lines.pop_front().expect("a chunk has a line")
    }

    /// What one read brings.
    #[track_caller]
    pub fn next_chunk(&self) -> String {
        assert!(self.lines.borrow().is_empty(), "{:?}", self.lines);
        let chunk = self.client.next().text;
        assert!(chunk.len() <= CHUNK_BYTES_MAX, "{} bytes", chunk.len());
        chunk
    }

    #[track_caller]
    pub fn expect_end(&self) -> End {
        assert!(self.lines.borrow().is_empty(), "{:?}", self.lines);
        self.client.expect_end()
    }

    /// Nothing else comes before the guest hears itself say this.
    #[track_caller]
    pub fn expect_nothing_before(&self, text: &str) {
        self.say(text);
        self.expect(&format!("{}: {text}", self.client.nickname()));
    }
}

/// The deliveries that come next are these texts together, each text whole in one of them.
#[track_caller]
pub fn expect_together(client: &RequestClient, texts: &[&str]) -> Vec<String> {
    let whole = texts.concat();
    let (mut heard, mut chunks) = (String::new(), Vec::new());
    while heard.len() < whole.len() {
        let chunk = client.next().text;
        assert!(chunk.len() <= DELIVERY_BYTES_MAX, "{} bytes", chunk.len());
        assert!(chunk.ends_with('\n'), "{chunk:?}");
        heard += &chunk;
        chunks.push(chunk);
    }
    assert_eq!(heard, whole);
    chunks
}

/// Nothing else comes before the answer to a message to nobody.
#[track_caller]
pub fn hears_nothing_else(client: &DatagramClient) {
    client.message(NOBODY, "hello?");
    let message = client.next();
    assert!(message.message_type == "ERROR" && message.body.contains(NOBODY), "{message:?}");
}

/// What a client of `datagram` is told in no fixed words, next: in so many that the client would not die of it.
#[track_caller]
pub fn alert(client: &DatagramClient) -> String {
    let message = client.next();
    assert_eq!((message.message_type.as_str(), message.flaw()), ("ALERT", None), "{message:?}");
    message.body
}

/// How a session ends that the server ends, after a text that says why.
#[track_caller]
pub fn end(client: &SessionClient) -> End {
    let mut told = String::new();
    loop {
        match client.next_or_end() {
            Ok(text) => told += &text,
            Err(end) => {
                assert!(!told.is_empty() && !told.contains("CONNECTED"), "{told:?}");
                return end;
            }
        }
    }
}

/// A port of four digits that nobody has, for TCP and UDP.
pub fn four_digit_port() -> u16 {
    let first = RandomState::new().hash_one(()) as u16 % 8000;
    let is_free = |port: &u16| {
        let address = (Ipv4Addr::LOCALHOST, *port);
        UdpSocket::bind(address).is_ok() && TcpListener::bind(address).is_ok()
    };
    (0..8000).map(|offset| 2000 + (first + offset) % 8000).find(is_free).expect("a free port of four digits")
}

/// A connection on which the test itself says everything.
pub struct ByHand {
    stream: TcpStream,
}

impl ByHand {
    pub fn connect(address: SocketAddr) -> ByHand {
        ByHand::of(TcpStream::connect(address).expect("connect"))
    }

    /// From another address of this machine.
    pub fn connect_from(source: IpAddr, address: SocketAddr) -> ByHand {
        let domain = socket2::Domain::for_address(address);
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from((source, 0)).into()).expect("an address of this machine");
        socket.connect(&address.into()).expect("connect");
        ByHand::of(socket.into())
    }

    fn of(stream: TcpStream) -> ByHand {
        stream.set_read_timeout(Some(LIMIT)).expect("a limit");
        stream.set_nodelay(true).expect("no delay");
        ByHand { stream }
    }

    pub fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("the server is there");
    }

    /// What one read brings is this.
    #[track_caller]
    pub fn hears(&mut self, chunk: &str) {
        assert_eq!(self.chunk(), chunk);
    }

    /// What one read brings.
    #[track_caller]
    pub fn chunk(&mut self) -> String {
        let mut bytes = [0; 4096];
        let length = self.stream.read(&mut bytes).expect("a chunk");
        assert_ne!(length, 0, "the server closes");
        String::from_utf8(bytes[..length].to_vec()).expect("UTF-8")
    }

    /// Everything that comes up to a reset.
    #[track_caller]
    pub fn rest_before_reset(&mut self) -> String {
        let (rest, end) = self.rest();
        assert_eq!(end, Some(ErrorKind::ConnectionReset), "an orderly close after {rest:?}");
        rest
    }

    /// Everything that comes, and the error that was the end of it.
    pub fn rest(&mut self) -> (String, Option<ErrorKind>) {
        let mut bytes = Vec::new();
        let end = self.stream.read_to_end(&mut bytes).err().map(|error| error.kind());
        (String::from_utf8(bytes).expect("UTF-8"), end)
    }
}
