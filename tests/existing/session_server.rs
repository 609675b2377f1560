//! The existing server of `session` (a Python 3 program).

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::journal::{Chunk, Journal, Seen};
use super::session_cipher::{Cipher, response};
use super::sockets::{Listening, Losses, Sockets};
use super::{Fault, PAUSE, Received, decode_utf8, receive};

/// What one read takes, in bytes; and what the server joins at most.
const READ_SIZE: usize = 1024;
/// In characters: where the answer to a challenge stands in `RESPONSE(USER, RES)`, for names of seven letters.
const RESPONSE_COLUMN: usize = 18;
/// How far the listening sockets of the sessions may go: the client cuts four digits.
const PORTS: std::ops::Range<u16> = 1024..10000;

const NOT_ON_LIST: &str = "Not on subscriber list.\n";
const NO_HISTORY: &str = "There is no history.";
const NO_CHAT: &str = "Start a chat first.";

/// The program. Ends when dropped, without a word to its clients.
pub struct SessionServer {
    listening: Listening,
    /// Of each log-on. Ended after what adds to them.
    _sessions: Arc<Mutex<Vec<Listening>>>,
    shared: Arc<Shared>,
}

/// How the server is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Names and secrets.
    pub accounts: Vec<(String, String)>,
    /// How long after AUTH_SUCCESS it listens. `None`: before it, as if it had won the race against the client.
    pub listens_after: Option<Duration>,
}

impl Settings {
    pub fn new(accounts: &[(&str, &str)]) -> Settings {
        Settings {
            accounts: accounts.iter().map(|&(user, secret)| (user.to_owned(), secret.to_owned())).collect(),
            listens_after: None,
        }
    }
}

impl SessionServer {
    pub fn start(accounts: &[(&str, &str)]) -> SessionServer {
        SessionServer::start_with(&Settings::new(accounts))
    }

    pub fn start_with(settings: &Settings) -> SessionServer {
        let socket = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port"));
        let shared = Arc::new(Shared {
            chats: Mutex::new(Chats::default()),
            journal: Journal::new(),
            sockets: Arc::new(Sockets::default()),
            listens_after: settings.listens_after,
            losses: Losses::none(),
            lost_answers: Losses::none(),
        });
        let sessions = Arc::new(Mutex::new(Vec::new()));
        let log_ons = LogOns {
            accounts: settings.accounts.iter().cloned().collect(),
            challenges: BTreeMap::new(),
            sessions: sessions.clone(),
            shared: shared.clone(),
        };
        let (from, sockets) = (socket.clone(), shared.sockets.clone());
        let listening = Listening::start_for_datagrams(socket, sockets, move || log_ons.serve(&from));
        SessionServer { listening, _sessions: sessions, shared }
    }

    /// Where one logs on, by UDP.
    pub fn address(&self) -> SocketAddr {
        self.listening.address()
    }

    /// The next message that a client has sent, deciphered: of a log-on, or of a session. Those of two come in either order.
    #[track_caller]
    pub fn next(&self) -> Chunk {
        self.shared.journal.next_chunk()
    }

    /// The next message is this one.
    #[track_caller]
    pub fn expect(&self, text: &str) {
        assert_eq!(self.next().text, text);
    }

    /// This message comes, among others in whatever order.
    #[track_caller]
    pub fn wait_for(&self, text: &str) -> Chunk {
        self.shared.journal.wait_for(text)
    }

    /// The next fault, whatever messages came before it.
    #[track_caller]
    pub fn next_fault(&self) -> Fault {
        self.shared.journal.wait_for_else()
    }

    /// All messages that came.
    pub fn chunks(&self) -> Vec<String> {
        self.shared.journal.chunks()
    }

    /// All faults so far: of every message of a session that was seen.
    pub fn faults(&self) -> Vec<Fault> {
        let _handled = self.shared.chats();
        self.shared.journal.others()
    }

    /// Datagrams of log-ons that are lost on their way here.
    pub fn losses(&self) -> &Losses {
        &self.shared.losses
    }

    /// Answers to those that are lost on their way back.
    pub fn lost_answers(&self) -> &Losses {
        &self.shared.lost_answers
    }

    /// Who has a session.
    pub fn online(&self) -> Vec<String> {
        self.shared.chats().sessions.keys().cloned().collect()
    }

    /// Who cannot be called: each is in a chat, or has not confirmed that it is over.
    pub fn engaged(&self) -> Vec<String> {
        let chats = self.shared.chats();
        let engaged = chats.sessions.iter().filter(|(_, session)| session.talk.is_some());
        engaged.map(|(user, _)| user.clone()).collect()
    }

    /// Tells a user something of the test's own.
    pub fn deliver(&self, user: &str, text: &str) {
        self.shared.chats().tell(user, text);
    }
}

struct Shared {
    chats: Mutex<Chats>,
    journal: Journal<Seen<Fault>>,
    sockets: Arc<Sockets>,
    listens_after: Option<Duration>,
    losses: Losses,
    lost_answers: Losses,
}

/// Who may come, and how far each has got with it.
struct LogOns {
    accounts: BTreeMap<String, String>,
    /// By where they were sent.
    challenges: BTreeMap<SocketAddr, Challenge>,
    sessions: Arc<Mutex<Vec<Listening>>>,
    shared: Arc<Shared>,
}

struct Challenge {
    user: String,
    rand: String,
    /// For the session, once the answer was right.
    port: Option<u16>,
}

/// A session that nobody has connected for.
struct Awaited {
    user: String,
    rand: String,
    cipher: Cipher,
}

impl LogOns {
    fn serve(mut self, socket: &UdpSocket) {
        let shared = self.shared.clone();
        for (bytes, from) in shared.sockets.datagrams(socket, READ_SIZE) {
            if shared.losses.take(&bytes) {
                continue;
            }
            let tell = |answer: &str| {
                if !shared.lost_answers.take(answer.as_bytes()) {
                    let _ = socket.send_to(answer.as_bytes(), from);
                }
            };
            match decode_utf8(bytes) {
                Ok(text) => self.answer(&text, from, tell),
                Err(bytes) => shared.fault(Fault::Undecodable(bytes)),
            }
        }
    }

    fn answer(&mut self, text: &str, from: SocketAddr, tell: impl Fn(&str)) {
        self.shared.journal.chunk(text.to_owned());
        if let Some(user) = argument(text, "HELLO") {
            tell(&self.challenge(user, from));
        } else if text.starts_with("RESPONSE(") {
            self.judge(text, from, tell);
        } else {
            self.shared.fault(Fault::NoRequest(text.to_owned()));
        }
    }

    fn challenge(&mut self, user: &str, from: SocketAddr) -> String {
        if !self.accounts.contains_key(user) {
            return NOT_ON_LIST.to_owned();
        }
        let rand = (1_000_000_000 + random() % 9_000_000_000).to_string();
        let challenge = format!("CHALLENGE({rand})");
        self.challenges.insert(from, Challenge { user: user.to_owned(), rand, port: None });
        challenge
    }

    /// The answer to a RESPONSE leaves before the server listens.
    fn judge(&mut self, text: &str, from: SocketAddr, tell: impl Fn(&str)) {
        let Some((challenge, secret)) = self.right_challenge(text, from) else { return tell("AUTH_FAIL") };
        let (user, rand) = (challenge.user.clone(), challenge.rand.clone());
        let cipher = Cipher::new(&rand, &secret);
        let success = |port: u16| cipher.apply(&format!("AUTH_SUCCESS({rand}, {port})"));
        if let Some(port) = challenge.port {
            return tell(&success(port));
        }
        let (socket, port) = four_digit_port();
        challenge.port = Some(port);
        if self.shared.listens_after.is_none() {
            socket.listen(1).expect("a bound socket");
        }
        tell(&success(port));
        let session = self.listen(socket, Awaited { user, rand, cipher });
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).push(session);
    }

    /// The challenge that was met, and with which secret.
    fn right_challenge(&mut self, text: &str, from: SocketAddr) -> Option<(&mut Challenge, String)> {
        let challenge = self.challenges.get_mut(&from)?;
        let secret = self.accounts.get(&challenge.user)?;
        let res: String = text.chars().skip(RESPONSE_COLUMN).collect();
        let is_right = res.strip_suffix(')') == Some(&response(&challenge.rand, secret));
        is_right.then(|| (challenge, secret.clone()))
    }

    fn listen(&self, socket: Socket, awaited: Awaited) -> Listening {
        let (shared, sockets) = (self.shared.clone(), self.shared.sockets.clone());
        Listening::start(socket.into(), sockets, move |listener| {
            let listener = Socket::from(listener);
            if shared.listens_after.is_some_and(|late| shared.sockets.pause(late)) {
                listener.listen(1).expect("a bound socket");
            }
            // From here on, whoever ends the program finds somebody to wake.
            if !shared.sockets.has_ended() {
                shared.serve_session(&listener.into(), &awaited);
            }
        })
    }
}

/// A socket that does not listen yet, and its port.
fn four_digit_port() -> (Socket, u16) {
    let count = u64::from(PORTS.end - PORTS.start);
    let first = random() % count;
    let bind = |port: u16| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).ok()?;
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into()).ok()?;
        Some((socket, port))
    };
    let ports = (0..count).map(|offset| PORTS.start + ((first + offset) % count) as u16);
    ports.filter_map(bind).next().expect("a free port of four digits")
}

fn random() -> u64 {
    RandomState::new().hash_one(())
}

impl Shared {
    /// One client, from its CONNECT on. Whoever comes after it is left waiting.
    fn serve_session(&self, listener: &TcpListener, awaited: &Awaited) {
        let Some(stream) = self.sockets.incoming(listener).next() else { return };
        let Some(connect) = self.read(&stream, &awaited.cipher) else { return };
        // Whoever has seen a message in the journal finds it handled.
        let mut chats = self.chats();
        self.record(&connect);
        if argument(&connect, "CONNECT") != Some(&awaited.rand) {
            return self.fault(Fault::NoRequest(connect));
        }
        let (messages, receiver) = channel();
        let session = chats.log_on(&awaited.user, Session::new(messages, stream.clone()));
        drop(chats);
        thread::scope(|scope| {
            scope.spawn(|| self.write_all(&stream, &awaited.cipher, receiver));
            self.converse(&stream, awaited, session);
            self.chats().log_off(&awaited.user, session);
            // Whatever still waits for the client goes with it.
            let _ = stream.shutdown(Shutdown::Both);
        });
    }

    /// Until the client ends it.
    fn converse(&self, stream: &TcpStream, awaited: &Awaited, session: u64) {
        while let Some(text) = self.read(stream, &awaited.cipher) {
            let mut chats = self.chats();
            self.record(&text);
            if text.trim().eq_ignore_ascii_case("log off") {
                return chats.log_off(&awaited.user, session);
            }
            if let Err(fault) = chats.handle(&awaited.user, &text) {
                self.fault(fault);
            }
        }
    }

    /// What one read brings, as one message. `None`: the client has gone, or has sent what is no text.
    fn read(&self, stream: &TcpStream, cipher: &Cipher) -> Option<String> {
        let Received::Bytes(bytes) = receive(stream, READ_SIZE) else { return None };
        let text = decode_utf8(bytes).map_err(|bytes| self.fault(Fault::Undecodable(bytes))).ok()?;
        Some(cipher.apply(&text))
    }

    fn record(&self, text: &str) {
        self.journal.chunk(text.to_owned());
        if text.contains(|character: char| character.is_control() && !matches!(character, '\n' | '\t')) {
            self.fault(Fault::Rubbish(text.to_owned()));
        }
    }

    /// Until the session is over.
    fn write_all(&self, mut stream: &TcpStream, cipher: &Cipher, messages: Receiver<String>) {
        for text in messages {
            if stream.write_all(cipher.apply(&text).as_bytes()).is_err() || !self.sockets.pause(PAUSE) {
                return;
            }
        }
    }

    fn fault(&self, fault: Fault) {
        self.journal.record(Seen::Else(fault));
    }

    fn chats(&self) -> MutexGuard<'_, Chats> {
        self.chats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What stands in the brackets behind a word.
fn argument<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    text.strip_prefix(word)?.strip_prefix('(')?.strip_suffix(')')
}

/// The rules: who is there, who talks to whom, and what was said.
#[derive(Default)]
struct Chats {
    came: u64,
    sessions: BTreeMap<String, Session>,
    history: Vec<Said>,
}

struct Session {
    number: u64,
    messages: Sender<String>,
    stream: Arc<TcpStream>,
    talk: Option<Talk>,
}

/// A chat, from one side.
#[derive(Clone)]
struct Talk {
    id: String,
    peer: String,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// This side was called, and has not confirmed.
    Called,
    Talking,
    /// The other side has ended it, and this one has not confirmed.
    Ended,
}

struct Said {
    id: String,
    from: String,
    to: String,
    text: String,
}

impl Session {
    fn new(messages: Sender<String>, stream: Arc<TcpStream>) -> Session {
        Session { number: 0, messages, stream, talk: None }
    }

    fn tell(&self, text: &str) {
        // A session whose connection is broken is about to end.
        let _ = self.messages.send(text.to_owned());
    }
}

impl Chats {
    /// By which number the session ends. An earlier one of the same user is over.
    fn log_on(&mut self, user: &str, session: Session) -> u64 {
        self.came += 1;
        session.tell("CONNECTED\n");
        self.leave_chat(user);
        if let Some(earlier) = self.sessions.insert(user.to_owned(), Session { number: self.came, ..session }) {
            let _ = earlier.stream.shutdown(Shutdown::Both);
        }
        self.came
    }

    fn log_off(&mut self, user: &str, number: u64) {
        if self.sessions.get(user).is_some_and(|session| session.number == number) {
            self.leave_chat(user);
            self.sessions.remove(user);
        }
    }

    fn handle(&mut self, user: &str, text: &str) -> Result<(), Fault> {
        let talk = self.sessions.get(user).and_then(|session| session.talk.clone());
        if let Some(other) = argument(text, "CHAT_REQUEST") {
            self.call(user, other);
        } else if let Some(other) = argument(text, "HISTORY_REQ") {
            self.tell_history(user, other);
        } else if text.starts_with("CHAT_CHECK") {
            let talk = talk.filter(|talk| text == format!("CHAT_CHECK({},  {})", talk.id, talk.peer));
            let talk = talk.ok_or_else(|| Fault::NoRequest(text.to_owned()))?;
            if talk.stage == Stage::Called {
                self.set_talk(user, Some(Talk { stage: Stage::Talking, ..talk }));
            }
        } else if let Some(id) = argument(text, "END_REQUEST") {
            // One who is in no chat, or whose peer was quicker, ends none.
            if id != "None" {
                talk.filter(|talk| talk.id == id).ok_or_else(|| Fault::NoRequest(text.to_owned()))?;
                self.leave_chat(user);
            }
        } else if let Some(id) = argument(text, "END_CHECK") {
            let is_over = |talk: &Talk| talk.id == id && talk.stage == Stage::Ended;
            talk.filter(is_over).ok_or_else(|| Fault::NoRequest(text.to_owned()))?;
            self.set_talk(user, None);
        } else {
            self.say(user, talk, text)?;
        }
        Ok(())
    }

    fn call(&mut self, user: &str, other: &str) {
        let is_free = |user: &str| self.sessions.get(user).is_some_and(|session| session.talk.is_none());
        if user == other || !is_free(user) || !is_free(other) {
            return self.tell(user, &format!("UNREACHABLE({other})"));
        }
        let id = jiff::Zoned::now().strftime("%Y%m%d%H%M%S").to_string();
        for (side, peer, stage) in [(user, other, Stage::Talking), (other, user, Stage::Called)] {
            self.tell(side, &format!("CHAT_STARTED({id}, {peer})"));
            self.set_talk(side, Some(Talk { id: id.clone(), peer: peer.to_owned(), stage }));
        }
    }

    fn say(&mut self, user: &str, talk: Option<Talk>, text: &str) -> Result<(), Fault> {
        let Some(Talk { id, peer, stage }) = talk else {
            self.tell(user, NO_CHAT);
            return Ok(());
        };
        match stage {
            Stage::Called => Err(Fault::BeforeCheck(text.to_owned())),
            // It was under way when the peer ended the chat.
            Stage::Ended => Ok(()),
            Stage::Talking => {
                self.tell(&peer, &format!("{user}: {text}"));
                self.history.push(Said { id, from: user.to_owned(), to: peer, text: text.to_owned() });
                Ok(())
            }
        }
    }

    /// As many lines together as one read takes.
    fn tell_history(&self, user: &str, other: &str) {
        let between = |said: &&Said| [(&*said.from, &*said.to), (&*said.to, &*said.from)].contains(&(user, other));
        let mut chunk = String::new();
        for Said { id, from, text, .. } in self.history.iter().filter(between) {
            let line = format!("<{id}> {from}: {text}\n");
            if !chunk.is_empty() && chunk.len() + line.len() > READ_SIZE {
                self.tell(user, &std::mem::take(&mut chunk));
            }
            chunk += &line;
        }
        self.tell(user, if chunk.is_empty() { NO_HISTORY } else { &chunk });
    }

    /// The peer of a chat that goes on is told.
    fn leave_chat(&mut self, user: &str) {
        let Some(talk) = self.sessions.get_mut(user).and_then(|session| session.talk.take()) else { return };
        if talk.stage != Stage::Ended {
            self.tell(&talk.peer, &format!("END_NOTIF({})", talk.id));
            self.set_talk(&talk.peer, Some(Talk { id: talk.id, peer: user.to_owned(), stage: Stage::Ended }));
        }
    }

    fn set_talk(&mut self, user: &str, talk: Option<Talk>) {
        if let Some(session) = self.sessions.get_mut(user) {
            session.talk = talk;
        }
    }

    fn tell(&self, user: &str, text: &str) {
        if let Some(session) = self.sessions.get(user) {
            session.tell(text);
        }
    }
}
