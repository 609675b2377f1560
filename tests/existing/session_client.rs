//! The existing client of `session` (a Python 3 program).

use std::io::Write;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use socket2::{Domain, Socket, Type};

use super::journal::{Chunk, Journal, Seen};
use super::session_cipher::{Cipher, response};
use super::{End, LIMIT, PAUSE, Received, decode_utf8, receive};

/// What one read takes, in bytes.
const READ_SIZE: usize = 1024;
/// The last characters before the bracket that are the port.
const PORT_DIGITS: usize = 4;

/// Of the log-on.
const NOT_ON_LIST: &str = "Not on subscriber list.\n";
const AUTH_FAIL: &str = "AUTH_FAIL";

/// What no chat is called.
const NO_CHAT: &str = "None";
/// A name that no account has.
const NOBODY: &str = "nobody-at-all";

/// The program, once it is logged on. Closes its connection when dropped.
pub struct SessionClient {
    user: String,
    stream: Arc<TcpStream>,
    shared: Arc<Shared>,
    /// When the client may send again: it leaves time between two messages, as who types does.
    next_send: Mutex<Instant>,
    reader: Option<JoinHandle<()>>,
}

/// What became of a log-on instead of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    NotOnList,
    AuthFail,
    Ended(End),
}

/// A chat, as the client has understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chat {
    pub id: String,
    pub peer: String,
}

struct Shared {
    cipher: Cipher,
    journal: Journal<Seen<End>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    chat: Option<Chat>,
    /// What follows the next line that the person types.
    owed: Option<String>,
    /// The client was once told that somebody is not there; from then on it confirms no chat.
    was_unreachable: bool,
    has_logged_off: bool,
}

impl SessionClient {
    /// The whole log-on, one try for each step.
    pub fn log_on(server: SocketAddr, user: &str, secret: &str) -> Result<SessionClient, Refusal> {
        let log_on = LogOn::open(server, user, secret);
        let rand = log_on.hello()?;
        let port = log_on.respond(&rand)?;
        log_on.connect(&rand, port)
    }

    /// A client with a session.
    #[track_caller]
    pub fn connected(server: SocketAddr, user: &str, secret: &str) -> SessionClient {
        let client = match SessionClient::log_on(server, user, secret) {
            Ok(client) => client,
            Err(refusal) => panic!("{user}: {refusal:?}"),
        };
        client.expect("CONNECTED\n");
        client
    }

    pub fn user(&self) -> &str {
        &self.user
    }

    /// The chat that the client believes to be in.
    pub fn chat(&self) -> Option<Chat> {
        self.shared.state().chat.clone()
    }

    pub fn request_chat(&self, other: &str) {
        self.say(&format!("CHAT_REQUEST({other})"));
    }

    /// A line of the person's. What the client has to confirm goes out back to back with it, and the two arrive as one.
    pub fn say(&self, text: &str) {
        match self.shared.state().owed.take() {
            Some(check) => self.send(&[text, &check]),
            None => self.send(&[text]),
        }
    }

    /// An empty line: only what the client has to confirm goes out.
    pub fn press_enter(&self) {
        if let Some(check) = self.shared.state().owed.take() {
            self.send(&[&check]);
        }
    }

    /// Ends the chat, or none.
    pub fn end_chat(&self) {
        let mut state = self.shared.state();
        let chat = state.chat.take();
        if chat.is_some() {
            // Nobody confirms a chat that is over.
            state.owed = None;
        }
        drop(state);
        self.say(&format!("END_REQUEST({})", id(chat.as_ref())));
    }

    pub fn ask_for_history(&self, other: &str) {
        self.say(&format!("HISTORY_REQ({other})"));
    }

    /// The person ends the session, in this spelling of `log off`.
    pub fn log_off(&self, spelling: &str) {
        self.shared.state().has_logged_off = true;
        self.send(&[spelling]);
    }

    /// Messages in one write, each enciphered by itself.
    pub fn send(&self, messages: &[&str]) {
        let enciphered: String = messages.iter().map(|message| self.shared.cipher.apply(message)).collect();
        self.send_bytes(enciphered.as_bytes());
    }

    /// These bytes in one write.
    pub fn send_bytes(&self, bytes: &[u8]) {
        let mut next_send = self.next_send.lock().unwrap_or_else(PoisonError::into_inner);
        thread::sleep(next_send.saturating_duration_since(Instant::now()));
        (&*self.stream).write_all(bytes).expect("the server is there");
        *next_send = Instant::now() + PAUSE;
    }

    /// The next chunk, whole and deciphered.
    #[track_caller]
    pub fn next(&self) -> Chunk {
        self.shared.journal.next_chunk()
    }

    /// The next chunk is this one.
    #[track_caller]
    pub fn expect(&self, text: &str) {
        assert_eq!(self.next().text, text);
    }

    /// The next chunk, or how the client comes to its end.
    #[track_caller]
    pub fn next_or_end(&self) -> Result<String, End> {
        match self.shared.journal.next() {
            Seen::Chunk(chunk) => Ok(chunk.text),
            Seen::Else(end) => Err(end),
        }
    }

    /// This chunk comes, among others in whatever order.
    #[track_caller]
    pub fn wait_for(&self, text: &str) -> Chunk {
        self.shared.journal.wait_for(text)
    }

    /// The next chunk starts a chat with this user.
    #[track_caller]
    pub fn expect_chat_with(&self, peer: &str) -> Chat {
        let text = self.next().text;
        let chat = Chat::parse(&text).unwrap_or_else(|| panic!("{text:?} starts no chat"));
        assert_eq!((chat.peer.as_str(), text), (peer, format!("CHAT_STARTED({}, {peer})", chat.id)));
        chat
    }

    /// How the client comes to its end, next.
    #[track_caller]
    pub fn expect_end(&self) -> End {
        self.shared.journal.next_else()
    }

    /// All chunks that came.
    pub fn chunks(&self) -> Vec<String> {
        self.shared.journal.chunks()
    }

    /// Nothing else comes before the answer to a question that is asked now. The client confirms no chat any more.
    #[track_caller]
    pub fn expect_nothing_else(&self) {
        self.send(&[&format!("CHAT_REQUEST({NOBODY})")]);
        self.expect(&format!("UNREACHABLE({NOBODY})"));
    }
}

impl Drop for SessionClient {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

/// A log-on, step by step.
pub struct LogOn {
    server: SocketAddr,
    user: String,
    secret: String,
    source: Ipv4Addr,
    socket: UdpSocket,
}

impl LogOn {
    pub fn open(server: SocketAddr, user: &str, secret: &str) -> LogOn {
        LogOn::open_from(Ipv4Addr::LOCALHOST, server, user, secret)
    }

    /// From this address of the machine.
    pub fn open_from(source: Ipv4Addr, server: SocketAddr, user: &str, secret: &str) -> LogOn {
        let socket = UdpSocket::bind((source, 0)).expect("a port");
        socket.set_read_timeout(Some(LIMIT)).expect("a limit that is not zero");
        LogOn { server, user: user.to_owned(), secret: secret.to_owned(), source, socket }
    }

    /// The challenge.
    pub fn hello(&self) -> Result<String, Refusal> {
        self.send(&format!("HELLO({})", self.user));
        let text = self.receive()?;
        if text == NOT_ON_LIST {
            return Err(Refusal::NotOnList);
        }
        let rand = text.strip_prefix("CHALLENGE(").and_then(|rest| rest.strip_suffix(')'));
        rand.map(str::to_owned).ok_or(Refusal::Ended(End::Misled(text)))
    }

    /// The port for the session.
    pub fn respond(&self, rand: &str) -> Result<u16, Refusal> {
        self.send_response(rand);
        self.receive_port(rand)
    }

    /// Once more, if its datagram or the answer may have been lost.
    pub fn send_response(&self, rand: &str) {
        self.send(&format!("RESPONSE({}, {})", self.user, response(rand, &self.secret)));
    }

    pub fn receive_port(&self, rand: &str) -> Result<u16, Refusal> {
        let text = self.receive()?;
        if text == AUTH_FAIL {
            return Err(Refusal::AuthFail);
        }
        let text = Cipher::new(rand, &self.secret).apply(&text);
        port(&text).ok_or(Refusal::Ended(End::Misled(text)))
    }

    pub fn connect(&self, rand: &str, port: u16) -> Result<SessionClient, Refusal> {
        let stream = self.dial(port).map_err(|_| Refusal::Ended(End::NobodyListens))?;
        let shared =
            Shared { cipher: Cipher::new(rand, &self.secret), journal: Journal::new(), state: Mutex::default() };
        let (stream, shared) = (Arc::new(stream), Arc::new(shared));
        let (from, to) = (stream.clone(), shared.clone());
        let reader = thread::spawn(move || {
            let end = to.read_all(&from);
            if end != End::SpunOnEndOfFile {
                // Whoever spins stays connected.
                let _ = from.shutdown(Shutdown::Both);
            }
            to.journal.record(Seen::Else(end));
        });
        let (user, next_send) = (self.user.clone(), Mutex::new(Instant::now()));
        let client = SessionClient { user, stream, shared, next_send, reader: Some(reader) };
        client.send(&[&format!("CONNECT({rand})")]);
        Ok(client)
    }

    fn dial(&self, port: u16) -> std::io::Result<TcpStream> {
        let socket = Socket::new(Domain::for_address(self.server), Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((self.source, 0)).into())?;
        socket.connect(&SocketAddr::new(self.server.ip(), port).into())?;
        Ok(socket.into())
    }

    /// A datagram of the test's own.
    pub fn send(&self, text: &str) {
        self.send_bytes(text.as_bytes());
    }

    pub fn send_bytes(&self, bytes: &[u8]) {
        self.socket.send_to(bytes, self.server).expect("a datagram that is not too long");
    }

    /// What the server says next, as it stands.
    pub fn receive(&self) -> Result<String, Refusal> {
        let mut bytes = vec![0; READ_SIZE];
        let (length, _) = self.socket.recv_from(&mut bytes).map_err(|_| Refusal::Ended(End::Silence))?;
        bytes.truncate(length);
        decode_utf8(bytes).map_err(|bytes| Refusal::Ended(End::Undecodable(bytes)))
    }

    /// Nothing has come that was not received.
    pub fn has_nothing(&self) -> bool {
        self.socket.set_nonblocking(true).expect("a mode");
        let peeked = self.socket.peek_from(&mut [0]);
        self.socket.set_nonblocking(false).expect("a mode");
        peeked.is_err()
    }
}

impl Shared {
    /// Each read by itself, until there is no going on.
    fn read_all(&self, stream: &TcpStream) -> End {
        loop {
            let chunk = match receive(stream, READ_SIZE) {
                Received::Bytes(bytes) => decode_utf8(bytes).map_err(End::Undecodable),
                Received::EndOfFile if self.state().has_logged_off => Err(End::LoggedOff),
                Received::EndOfFile => Err(End::SpunOnEndOfFile),
                Received::Reset => Err(End::Reset),
                Received::Silence => Err(End::Silence),
            };
            let text = match chunk {
                Ok(text) => self.cipher.apply(&text),
                Err(end) => return end,
            };
            let understood = self.state().take(&text);
            self.journal.chunk(text.clone());
            if understood.is_none() {
                return End::Misled(text);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The client's rule: it looks for words wherever they stand. `None`: it has found one that is none.
    fn take(&mut self, text: &str) -> Option<()> {
        if text.contains("END_NOTIF") {
            let chat = self.chat.take();
            self.owed = Some(format!("END_CHECK({})", id(chat.as_ref())));
        } else if text.contains("CHAT_STARTED") {
            let chat = Chat::parse(text)?;
            let check = format!("CHAT_CHECK({},  {})", chat.id, chat.peer);
            self.owed = (!self.was_unreachable).then_some(check);
            self.chat = Some(chat);
        } else if text.contains("UNREACHABLE") {
            self.was_unreachable = true;
        }
        Some(())
    }
}

impl Chat {
    /// What stands in the first brackets.
    fn parse(text: &str) -> Option<Chat> {
        let (_, rest) = text.split_once('(')?;
        let (inner, _) = rest.split_once(')')?;
        let (id, peer) = inner.split_once(", ")?;
        Some(Chat { id: id.to_owned(), peer: peer.to_owned() })
    }
}

fn id(chat: Option<&Chat>) -> &str {
    chat.map_or(NO_CHAT, |chat| &chat.id)
}

/// The last characters before the bracket, whatever stands before them.
fn port(auth_success: &str) -> Option<u16> {
    let (before, _) = auth_success.rsplit_once(')')?;
    let start = before.len().checked_sub(PORT_DIGITS)?;
    before.get(start..)?.parse().ok()
}
