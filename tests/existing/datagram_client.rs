//! The existing client of `datagram` (a Python 2 program), and its ports to Python 3.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, Scope};
use std::time::Duration;

use super::End;
use super::datagram_message::{Message, PROBE, READ_SIZE, WRONG_DIGEST, sealed};
use super::digest::hex_sha256;
use super::journal::{Chunk, Journal, Seen};
use super::python::{Literal, Python};
use super::sockets::{Listening, Losses, Sockets};

/// The program. Ends without a word when dropped.
pub struct DatagramClient {
    /// Ended before its socket.
    _listening: Listening,
    shared: Arc<Shared>,
}

/// What differs from one copy of the program to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Habits {
    pub python: Python,
    /// The message type of LOGOUT.
    pub log_out: &'static str,
    /// The word before `by USER` in what it acknowledges with.
    pub received: &'static str,
}

impl Habits {
    pub const fn of(python: Python) -> Habits {
        Habits { python, log_out: "DETROY_SESSION", received: "received" }
    }
}

/// When it acknowledges a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// At once, as it should.
    Acknowledges,
    AcknowledgesAfter(Duration),
    NeverAcknowledges,
}

struct Shared {
    user: String,
    habits: Habits,
    server: SocketAddr,
    socket: Arc<UdpSocket>,
    journal: Journal<Seen<End>>,
    losses: Losses,
    manner: Mutex<Manner>,
    sockets: Arc<Sockets>,
}

impl DatagramClient {
    /// A client that has not logged in.
    pub fn open(server: SocketAddr, user: &str, habits: Habits) -> DatagramClient {
        DatagramClient::open_from(Ipv4Addr::LOCALHOST, server, user, habits)
    }

    /// The same at this address of the machine.
    pub fn open_from(source: Ipv4Addr, server: SocketAddr, user: &str, habits: Habits) -> DatagramClient {
        DatagramClient::at(UdpSocket::bind((source, 0)).expect("a port"), server, user, habits)
    }

    /// The same with this socket.
    pub fn at(socket: UdpSocket, server: SocketAddr, user: &str, habits: Habits) -> DatagramClient {
        let socket = Arc::new(socket);
        let sockets = Arc::new(Sockets::default());
        let shared = Arc::new(Shared {
            user: user.to_owned(),
            habits,
            server,
            socket: socket.clone(),
            journal: Journal::new(),
            losses: Losses::none(),
            manner: Mutex::new(Manner::Acknowledges),
            sockets: sockets.clone(),
        });
        let taking = shared.clone();
        let listening = Listening::start_for_datagrams(socket, sockets, move || taking.take_all());
        DatagramClient { _listening: listening, shared }
    }

    /// A client of Python 2 that has logged in, or signed up.
    #[track_caller]
    pub fn logged_in(server: SocketAddr, user: &str, password: &str) -> DatagramClient {
        DatagramClient::logged_in_with(server, user, password, Habits::of(Python::Two))
    }

    #[track_caller]
    pub fn logged_in_with(server: SocketAddr, user: &str, password: &str, habits: Habits) -> DatagramClient {
        let client = DatagramClient::open(server, user, habits);
        client.log_in(password);
        client.expect("GREETING", "Greetings from the Chat Room!");
        client
    }

    /// Of the client's socket.
    pub fn address(&self) -> SocketAddr {
        self.shared.socket.local_addr().expect("a bound socket")
    }

    pub fn log_in(&self, password: &str) {
        let password = hex_sha256(password.as_bytes());
        let body = [("username", self.shared.user.as_str()), ("password", &password)];
        self.request("LOGIN", "INITIATE_SESSION", self.shared.texts(body));
    }

    pub fn log_out(&self) {
        self.request("LOGOUT", self.shared.habits.log_out, self.shared.texts([]));
    }

    pub fn message(&self, to: &str, text: &str) {
        self.say("SEND_MESSAGE", to, text);
    }

    pub fn message_all(&self, text: &str) {
        self.say("SEND_ALL_MESSAGE", "", text);
    }

    pub fn ask_for_contacts(&self) {
        let Shared { habits: Habits { python, .. }, .. } = *self.shared;
        self.send(&sealed(python, "CONTACTS", "DISPLAY_CONTACTS", python.text(""), python.dict([])));
    }

    /// What the client does by itself, unless it is told not to.
    pub fn acknowledge(&self, sender: &str) {
        self.shared.acknowledge(sender);
    }

    /// A datagram of the test's own.
    pub fn send(&self, datagram: &str) {
        self.shared.send(datagram.as_bytes());
    }

    pub fn send_bytes(&self, datagram: &[u8]) {
        self.shared.send(datagram);
    }

    pub fn set_manner(&self, manner: Manner) {
        *self.shared.manner.lock().unwrap_or_else(PoisonError::into_inner) = manner;
    }

    /// Datagrams that are lost on their way here.
    pub fn losses(&self) -> &Losses {
        &self.shared.losses
    }

    /// The next message.
    #[track_caller]
    pub fn next(&self) -> Message {
        self.shared.read(&self.next_datagram().text)
    }

    /// The datagram of the next message, and when it came.
    #[track_caller]
    pub fn next_datagram(&self) -> Chunk {
        self.shared.journal.next_chunk()
    }

    /// The next message is this one.
    #[track_caller]
    pub fn expect(&self, message_type: &str, body: &str) {
        assert_is(&self.next(), message_type, body);
    }

    /// This message comes, among others in whatever order.
    #[track_caller]
    pub fn wait_for(&self, message_type: &str, body: &str) -> Chunk {
        let is_it = |datagram: &str| {
            let message = self.shared.read(datagram);
            message.message_type == message_type && message.body == body
        };
        let chunk = self.shared.journal.wait_for_one(&format!("{message_type} {body:?}"), is_it);
        assert_is(&self.shared.read(&chunk.text), message_type, body);
        chunk
    }

    /// How the client comes to its end, next.
    #[track_caller]
    pub fn expect_end(&self) -> End {
        self.shared.journal.next_else()
    }

    /// All datagrams that came, but for the last of one that has died of it.
    pub fn datagrams(&self) -> Vec<String> {
        self.shared.journal.chunks()
    }

    /// Nothing else comes before the answer to a datagram whose digest is wrong. A server may answer a few of these a second only.
    #[track_caller]
    pub fn expect_nothing_else(&self) {
        self.send(PROBE);
        self.expect("ERROR", WRONG_DIGEST);
    }

    fn say(&self, command: &str, to: &str, text: &str) {
        let body = [("sender_username", self.shared.user.as_str()), ("receiver_username", to), ("text", text)];
        self.request(command, "MESSAGE_EXCHANGE", self.shared.texts(body));
    }

    fn request(&self, command: &str, message_type: &str, body: Literal) {
        self.shared.request(command, message_type, body);
    }
}

#[track_caller]
fn assert_is(message: &Message, message_type: &str, body: &str) {
    assert_eq!((message.message_type.as_str(), message.body.as_str()), (message_type, body));
    assert_eq!(message.flaw(), None, "{message:?}");
}

impl Shared {
    fn take_all(&self) {
        thread::scope(|scope| {
            for (datagram, _) in self.sockets.datagrams(&self.socket, READ_SIZE) {
                if self.losses.take(&datagram) {
                    continue;
                }
                if let Err(end) = self.take(datagram, scope) {
                    return self.journal.record(Seen::Else(end));
                }
            }
        });
    }

    fn take<'scope>(&'scope self, datagram: Vec<u8>, scope: &'scope Scope<'scope, '_>) -> Result<(), End> {
        let message = Message::read(self.habits.python, &datagram);
        let message = message.ok_or_else(|| End::NoMessage(datagram.clone()))?;
        let text = String::from_utf8(datagram).map_err(|error| End::NoMessage(error.into_bytes()))?;
        let acknowledgement = match message.message_type.as_str() {
            "MESSAGE_EXCHANGE" => Some(message.sender().ok_or(End::TooFewWords(message.body.clone()))?.to_owned()),
            _ => None,
        };
        let manner = *self.manner.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(sender), Manner::Acknowledges) = (&acknowledgement, manner) {
            self.acknowledge(sender);
        }
        // Whoever has seen it may set another manner, and finds what was due at once done.
        self.journal.chunk(text);
        if let (Some(sender), Manner::AcknowledgesAfter(delay)) = (acknowledgement, manner) {
            scope.spawn(move || {
                if self.sockets.pause(delay) {
                    self.acknowledge(&sender);
                }
            });
        }
        Ok(())
    }

    fn acknowledge(&self, sender: &str) {
        let text = format!("Message {} by {}", self.habits.received, self.user);
        self.request("", "ACKNOWLEDGEMENT", self.texts([("username", sender), ("text", &text)]));
    }

    fn request(&self, command: &str, message_type: &str, body: Literal) {
        let python = self.habits.python;
        let server = python.address(&self.server.ip().to_string(), self.server.port());
        self.send(sealed(python, command, message_type, server, body).as_bytes());
    }

    fn send(&self, datagram: &[u8]) {
        // Whether anybody hears it is not known by UDP.
        let _ = self.socket.send_to(datagram, self.server);
    }

    fn texts<const N: usize>(&self, entries: [(&str, &str); N]) -> Literal {
        let python = self.habits.python;
        python.dict(entries.map(|(key, text)| (key, python.text(text))))
    }

    /// One that the client has not died of.
    fn read(&self, datagram: &str) -> Message {
        Message::read(self.habits.python, datagram.as_bytes()).expect("a message that was read before")
    }
}
