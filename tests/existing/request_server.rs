//! The existing server of `request` (a Python 2 program).

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::journal::{Chunk, Journal, Seen};
use super::sockets::{Listening, Sockets};
use super::{Fault, LIMIT, Received, decode_utf8, receive};

/// What is beyond so many bytes of a chunk is lost.
const READ_SIZE: usize = 4096;
/// Wrong passwords, in a row, that lock an account.
const TRIES: u32 = 3;
/// A client that has not taken a delivery after so long does not take it.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(10);

const REQUESTS: [&str; 9] =
    ["forward", "broadcast", "online", "block", "unblock", "getaddress", "private_answer", "alive", "logout"];

const UNKNOWN_NAME: &str = "Invalid Username. Please try again.\n";
const WRONG_PASSWORD: &str = "Invalid Password. Please try again.\n";
const NOW_LOCKED: [&str; 2] =
    ["Invalid password. Your account has been blocked.\n", "Please try again after sometime.\n"];
const LOCKED: [&str; 2] =
    ["Due to multiple login failures, your account has been blocked.\n", "Please try again after sometime.\n"];
const WELCOME: &str = "Welcome to simple chat server!\n";
const UNKNOWN_USER: &str = "No such User in the system\n";
const BLOCKED: &str = "Your message could not bedelivered\nas the recipient has blocked you\n";
const SOME_LEFT_OUT: &str = "Your message could not be delivered to some recipients\n";

/// The program. Ends when dropped, without a word to its clients.
pub struct RequestServer {
    shared: Arc<Shared>,
    listening: Listening,
}

/// How the server is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Names and passwords.
    pub accounts: Vec<(String, String)>,
    /// A user without a heartbeat for so long is offline.
    pub heartbeat_timeout: Duration,
    pub lockout: Duration,
    /// How far apart the two writes of a lock-out text are. `None`: as if both had arrived together, which they rarely do.
    pub lockout_writes_apart: Option<Duration>,
}

impl Settings {
    pub fn new(accounts: &[(&str, &str)]) -> Settings {
        Settings {
            accounts: accounts.iter().map(|&(user, password)| (user.to_owned(), password.to_owned())).collect(),
            heartbeat_timeout: Duration::from_secs(35),
            lockout: Duration::from_secs(60),
            lockout_writes_apart: Some(Duration::ZERO),
        }
    }
}

impl RequestServer {
    pub fn start(accounts: &[(&str, &str)]) -> RequestServer {
        RequestServer::start_with(&Settings::new(accounts))
    }

    pub fn start_with(settings: &Settings) -> RequestServer {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let shared = Arc::new(Shared {
            chat: Mutex::new(Chat::new(settings)),
            delivered: Condvar::new(),
            journal: Journal::new(),
            sockets: Arc::new(Sockets::default()),
            lockout_writes_apart: settings.lockout_writes_apart,
        });
        let (serving, sockets) = (shared.clone(), shared.sockets.clone());
        let listening = Listening::start(listener, sockets, move |listener| serving.serve(&listener));
        RequestServer { shared, listening }
    }

    pub fn address(&self) -> SocketAddr {
        self.listening.address()
    }

    /// The next chunk that a client has sent, whole: of a dialogue, or a request. Chunks of two connections come in either order.
    #[track_caller]
    pub fn next(&self) -> Chunk {
        self.shared.journal.next_chunk()
    }

    /// The next chunk is this one.
    #[track_caller]
    pub fn expect(&self, text: &str) {
        assert_eq!(self.next().text, text);
    }

    /// This chunk comes, among others in whatever order.
    #[track_caller]
    pub fn wait_for(&self, text: &str) -> Chunk {
        self.shared.journal.wait_for(text)
    }

    /// The next fault, whatever chunks came before it.
    #[track_caller]
    pub fn next_fault(&self) -> Fault {
        self.shared.journal.wait_for_else()
    }

    /// All chunks that came.
    pub fn chunks(&self) -> Vec<String> {
        self.shared.journal.chunks()
    }

    /// All faults so far: of every request that was seen.
    pub fn faults(&self) -> Vec<Fault> {
        let _handled = self.shared.chat();
        self.shared.journal.others()
    }

    /// Who is online.
    pub fn online(&self) -> Vec<String> {
        self.shared.chat().sessions.keys().cloned().collect()
    }

    /// Delivers a chunk of the test's own.
    pub fn deliver(&self, user: &str, chunk: &str) {
        self.shared.chat().tell(user, chunk);
    }

    /// Tells everyone, and ends once all have heard, or will not hear.
    pub fn shut_down(self) {
        let mut chat = self.shared.chat();
        for session in chat.end() {
            session.tell("shutdown");
        }
        let told = self.shared.delivered.wait_timeout_while(chat, LIMIT, |chat| chat.deliverers > 0);
        drop(told);
    }
}

struct Shared {
    chat: Mutex<Chat>,
    /// A session has ended, and has been told all that there was for it.
    delivered: Condvar,
    journal: Journal<Seen<Fault>>,
    sockets: Arc<Sockets>,
    lockout_writes_apart: Option<Duration>,
}

/// What a client has come to ask for.
struct LogIn {
    user: String,
    password: String,
    /// Of the client's listening socket.
    address: SocketAddr,
}

/// Why a connection is over before its time.
enum Ending {
    /// The client has gone, or was sent away.
    Gone,
    Fault(Fault),
}

impl Shared {
    fn serve(&self, listener: &TcpListener) {
        thread::scope(|scope| {
            scope.spawn(|| self.expire_sessions());
            for stream in self.sockets.incoming(listener) {
                scope.spawn(move || {
                    let served = self.serve_connection(stream);
                    self.note_fault(served);
                });
            }
        });
    }

    /// One request, or a log-in and then, on connections of their own, all that the session is told.
    fn serve_connection(&self, stream: Arc<TcpStream>) -> Result<(), Ending> {
        let _ = stream.set_read_timeout(Some(LIMIT));
        let chunk = self.receive(&stream)?.ok_or(Ending::Fault(Fault::NothingBrought))?;
        if !chunk.starts_with("newUser,") {
            self.request(chunk);
            return self.wait_for_close(&stream);
        }
        self.journal.chunk(chunk.clone());
        let log_in = parse_log_in(&chunk, &stream).ok_or(Ending::Fault(Fault::NoRequest(chunk)))?;
        let (log_in, deliveries) = self.dialogue(&stream, log_in)?;
        self.note_fault(self.wait_for_close(&stream));
        drop(stream);
        self.deliver_all(&log_in, deliveries);
        Ok(())
    }

    /// Whoever has seen a request in the journal finds it handled.
    fn request(&self, chunk: String) {
        let mut chat = self.chat();
        self.journal.chunk(chunk.clone());
        if chat.handle(&chunk).is_none() {
            self.fault(Fault::NoRequest(chunk));
        }
    }

    /// Goes on until the client is logged in or sent away.
    fn dialogue(&self, stream: &TcpStream, mut log_in: LogIn) -> Result<(LogIn, Receiver<String>), Ending> {
        loop {
            let verdict = self.chat().judge(&log_in.user, &log_in.password);
            match verdict {
                Verdict::Right => break,
                Verdict::Unknown => {
                    let answer = self.ask(stream, UNKNOWN_NAME, "prompt")?;
                    let (user, password) = answer.split_once(',').unwrap_or((&answer, ""));
                    (log_in.user, log_in.password) = (user.to_owned(), password.to_owned());
                }
                Verdict::Wrong => log_in.password = self.ask(stream, WRONG_PASSWORD, "prompt_password")?,
                Verdict::NowLocked => return Err(self.send_away(stream, NOW_LOCKED)),
                Verdict::Locked => return Err(self.send_away(stream, LOCKED)),
            }
        }
        say(stream, WELCOME)?;
        let ok = self.receive(stream)?.ok_or(Ending::Gone)?;
        let mut chat = self.chat();
        self.take_ok(ok)?;
        let deliveries = chat.log_in(&log_in);
        drop(chat);
        // A client that is gone by now is found out by its deliveries.
        let _ = say(stream, &format!("Authenticated {}", log_in.user));
        Ok((log_in, deliveries))
    }

    /// Says why, asks once more, and reads the answer, without the blanks around it.
    fn ask(&self, stream: &TcpStream, why: &str, prompt: &str) -> Result<String, Ending> {
        say(stream, why)?;
        self.read_ok(stream)?;
        say(stream, prompt)?;
        let answer = self.read(stream)?.ok_or(Ending::Gone)?;
        Ok(answer.trim().to_owned())
    }

    fn send_away(&self, stream: &TcpStream, text: [&str; 2]) -> Ending {
        let sent = self.say_in_two_writes(stream, text).and_then(|()| self.read_ok(stream));
        match sent.and_then(|()| say(stream, "exit")).and_then(|()| self.wait_for_close(stream)) {
            Ok(()) => Ending::Gone,
            Err(error) => error,
        }
    }

    fn say_in_two_writes(&self, stream: &TcpStream, [first, second]: [&str; 2]) -> Result<(), Ending> {
        let Some(apart) = self.lockout_writes_apart else { return say(stream, &[first, second].concat()) };
        say(stream, first)?;
        self.sockets.pause(apart);
        say(stream, second)
    }

    /// `None`: end of file.
    fn read(&self, stream: &TcpStream) -> Result<Option<String>, Ending> {
        let text = self.receive(stream)?;
        text.iter().for_each(|text| self.journal.chunk(text.clone()));
        Ok(text)
    }

    /// The same for who enters it in the journal later.
    fn receive(&self, stream: &TcpStream) -> Result<Option<String>, Ending> {
        match receive(stream, READ_SIZE) {
            Received::Bytes(bytes) => {
                let text = decode_utf8(bytes).map_err(|bytes| Ending::Fault(Fault::Undecodable(bytes)))?;
                Ok(Some(text))
            }
            Received::EndOfFile if self.sockets.has_ended() => Err(Ending::Gone),
            Received::EndOfFile => Ok(None),
            Received::Reset => Err(Ending::Gone),
            Received::Silence => Err(Ending::Fault(Fault::StaysOpen)),
        }
    }

    fn read_ok(&self, stream: &TcpStream) -> Result<(), Ending> {
        let ok = self.receive(stream)?.ok_or(Ending::Gone)?;
        self.take_ok(ok)
    }

    fn take_ok(&self, chunk: String) -> Result<(), Ending> {
        self.journal.chunk(chunk.clone());
        if chunk == "ok" { Ok(()) } else { Err(Ending::Fault(Fault::NotOk(chunk))) }
    }

    /// The client has nothing more to say here.
    fn wait_for_close(&self, stream: &TcpStream) -> Result<(), Ending> {
        match receive(stream, READ_SIZE) {
            Received::Bytes(bytes) => Err(Ending::Fault(Fault::Surplus(bytes))),
            Received::Silence => Err(Ending::Fault(Fault::StaysOpen)),
            Received::EndOfFile | Received::Reset => Ok(()),
        }
    }

    /// One after the other, until the session ends.
    fn deliver_all(&self, session: &LogIn, deliveries: Receiver<String>) {
        for text in deliveries {
            if self.sockets.has_ended() {
                break;
            }
            if self.deliver(session.address, &text).is_none() {
                self.fault(Fault::Undelivered { to: session.user.clone(), text });
            }
        }
        self.chat().deliverers -= 1;
        self.delivered.notify_all();
    }

    /// A connection, one message, a close. Waits until the client has closed too, so that the next one is another chunk.
    fn deliver(&self, address: SocketAddr, text: &str) -> Option<()> {
        let stream = TcpStream::connect_timeout(&address, DELIVERY_TIMEOUT).ok()?;
        stream.set_read_timeout(Some(DELIVERY_TIMEOUT)).ok()?;
        // Even if the server ends now: a connection that brings nothing would be the end of the client.
        say(&stream, text).ok()?;
        stream.shutdown(Shutdown::Write).ok()?;
        let stream = self.sockets.keep(stream)?;
        matches!(receive(&stream, READ_SIZE), Received::EndOfFile).then_some(())
    }

    fn expire_sessions(&self) {
        loop {
            let next = self.chat().expire(Instant::now());
            if !self.sockets.pause(next) {
                // Each session's deliveries end with it.
                self.chat().end();
                return;
            }
        }
    }

    fn note_fault(&self, served: Result<(), Ending>) {
        if let Err(Ending::Fault(fault)) = served {
            self.fault(fault);
        }
    }

    fn fault(&self, fault: Fault) {
        self.journal.record(Seen::Else(fault));
    }

    fn chat(&self) -> MutexGuard<'_, Chat> {
        self.chat.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn parse_log_in(chunk: &str, stream: &TcpStream) -> Option<LogIn> {
    let (user, rest) = chunk.strip_prefix("newUser,")?.split_once(',')?;
    let (password, port) = rest.rsplit_once(',')?;
    let address = SocketAddr::new(stream.peer_addr().ok()?.ip(), port.trim().parse().ok()?);
    Some(LogIn { user: user.to_owned(), password: password.to_owned(), address })
}

fn say(mut stream: &TcpStream, text: &str) -> Result<(), Ending> {
    stream.write_all(text.as_bytes()).map_err(|_| Ending::Gone)
}

/// The rules: who exists, who is online, and who is told what.
struct Chat {
    accounts: BTreeMap<String, Account>,
    sessions: BTreeMap<String, Session>,
    /// Sessions, ended ones too, that have not been told everything.
    deliverers: usize,
    /// Nobody logs in any more.
    has_ended: bool,
    heartbeat_timeout: Duration,
    lockout: Duration,
}

#[derive(Default)]
struct Account {
    password: String,
    /// In a row.
    wrong_passwords: u32,
    locked_until: Option<Instant>,
    /// Those who can't reach this user.
    blocked: BTreeSet<String>,
    /// What came while the user was offline.
    kept: String,
}

struct Session {
    /// Of the client's listening socket.
    address: SocketAddr,
    deliveries: Sender<String>,
    last_heartbeat: Instant,
}

impl Session {
    fn tell(&self, text: &str) {
        // A session that is over has nobody to tell.
        let _ = self.deliveries.send(text.to_owned());
    }
}

/// What becomes of a name and a password.
enum Verdict {
    Unknown,
    Wrong,
    /// Wrong once too often.
    NowLocked,
    Locked,
    Right,
}

impl Chat {
    fn new(settings: &Settings) -> Chat {
        let account = |(user, password): &(String, String)| {
            (user.clone(), Account { password: password.clone(), ..Account::default() })
        };
        Chat {
            accounts: settings.accounts.iter().map(account).collect(),
            sessions: BTreeMap::new(),
            deliverers: 0,
            has_ended: false,
            heartbeat_timeout: settings.heartbeat_timeout,
            lockout: settings.lockout,
        }
    }

    fn judge(&mut self, user: &str, password: &str) -> Verdict {
        let Some(account) = self.accounts.get_mut(user) else { return Verdict::Unknown };
        if account.locked_until.is_some_and(|until| Instant::now() < until) {
            return Verdict::Locked;
        }
        if account.password == password {
            account.wrong_passwords = 0;
            return Verdict::Right;
        }
        account.wrong_passwords += 1;
        if account.wrong_passwords < TRIES {
            return Verdict::Wrong;
        }
        account.wrong_passwords = 0;
        account.locked_until = Some(Instant::now() + self.lockout);
        Verdict::NowLocked
    }

    /// What the session will be told, from now until it ends.
    fn log_in(&mut self, log_in: &LogIn) -> Receiver<String> {
        let (deliveries, receiver) = channel();
        let session = Session { address: log_in.address, deliveries, last_heartbeat: Instant::now() };
        if let Some(kept) = self.accounts.get_mut(&log_in.user).map(|account| std::mem::take(&mut account.kept))
            && !kept.is_empty()
        {
            session.tell(&format!("Offline messages: \n{kept}"));
        }
        self.deliverers += 1;
        if self.has_ended {
            return receiver;
        }
        if let Some(earlier) = self.sessions.insert(log_in.user.clone(), session) {
            earlier.tell("logout_duplicate");
        }
        self.note(&log_in.user, "online");
        receiver
    }

    /// `None`: it is no request.
    fn handle(&mut self, chunk: &str) -> Option<()> {
        let (word, rest) = chunk.split_once(',')?;
        let (user, rest) = rest.split_once(',').unwrap_or((rest, ""));
        // The newline that was typed is the end of a text, and is no part of anything else.
        let (user, last) = (user.trim_end_matches('\n'), rest.trim_end_matches('\n'));
        if REQUESTS.contains(&word) && !self.sessions.contains_key(user) {
            return Some(());
        }
        match word {
            "forward" => {
                let (to, text) = rest.split_once(',')?;
                self.forward(user, to, text);
            }
            "broadcast" => self.broadcast(user, rest),
            "online" => self.list(user),
            "block" => self.block(user, last),
            "unblock" => self.unblock(user, last),
            "getaddress" => self.ask_for_consent(user, last),
            "private_answer" => {
                let (asker, answer) = last.split_once(',')?;
                self.answer(user, asker, answer);
            }
            "alive" => self.hear_heartbeat(user),
            "logout" => self.log_out(user),
            _ => return None,
        }
        Some(())
    }

    /// `text` ends with the newline that was typed.
    fn forward(&mut self, user: &str, to: &str, text: &str) {
        let message = format!("{user}:{text}");
        if !self.accounts.contains_key(to) {
            self.tell(user, UNKNOWN_USER);
        } else if self.has_blocked(to, user) {
            self.tell(user, BLOCKED);
        } else if self.sessions.contains_key(to) {
            self.tell(to, &message);
        } else if let Some(account) = self.accounts.get_mut(to) {
            account.kept += &message;
        }
    }

    fn broadcast(&self, user: &str, text: &str) {
        let others = self.sessions.iter().filter(|(other, _)| *other != user);
        let (left_out, reached): (Vec<_>, Vec<_>) = others.partition(|(other, _)| self.has_blocked(other, user));
        for (_, session) in reached {
            session.tell(&format!("{user}:{text}"));
        }
        if !left_out.is_empty() {
            self.tell(user, SOME_LEFT_OUT);
        }
    }

    fn list(&self, user: &str) {
        let visible = self.sessions.keys().filter(|other| *other != user && !self.has_blocked(other, user));
        let list = visible.fold("online".to_owned(), |list, other| list + "," + other);
        self.tell(user, &list);
    }

    fn block(&mut self, user: &str, other: &str) {
        if !self.accounts.contains_key(other) {
            return self.tell(user, UNKNOWN_USER);
        }
        if let Some(account) = self.accounts.get_mut(user) {
            account.blocked.insert(other.to_owned());
        }
        self.tell(user, &format!("User {other} has been blocked\n"));
    }

    fn unblock(&mut self, user: &str, other: &str) {
        let was_blocked = self.accounts.get_mut(user).is_some_and(|account| account.blocked.remove(other));
        let outcome = if was_blocked { "is unblocked" } else { "is not in the blocked list" };
        self.tell(user, &format!("User {other} {outcome}\n"));
    }

    fn ask_for_consent(&self, user: &str, other: &str) {
        if !self.accounts.contains_key(other) {
            self.tell(user, UNKNOWN_USER);
        } else if self.has_blocked(other, user) {
            self.tell(user, "getaddress,blocked");
        } else if self.sessions.contains_key(other) {
            self.tell(other, &format!("private_consent,{user}"));
        } else {
            self.tell(user, "getaddress,offline");
        }
    }

    fn answer(&self, user: &str, asker: &str, answer: &str) {
        match self.sessions.get(user) {
            Some(session) if answer == "yes" => {
                let (ip, port) = (session.address.ip(), session.address.port());
                self.tell(asker, &format!("getaddress,{user},{ip},{port}"));
            }
            _ => self.tell(asker, "getaddress,no"),
        }
    }

    fn hear_heartbeat(&mut self, user: &str) {
        if let Some(session) = self.sessions.get_mut(user) {
            session.last_heartbeat = Instant::now();
        }
    }

    fn log_out(&mut self, user: &str) {
        self.sessions.remove(user);
        self.note(user, "offline");
    }

    /// Ends the sessions that were silent for too long. How long none of the others can be.
    fn expire(&mut self, now: Instant) -> Duration {
        let timeout = self.heartbeat_timeout;
        let is_silent = |session: &Session| now.duration_since(session.last_heartbeat) >= timeout;
        let silent = self.sessions.iter().filter(|(_, session)| is_silent(session)).map(|(user, _)| user.clone());
        for user in silent.collect::<Vec<_>>() {
            self.sessions.remove(&user);
            self.tell_all_but(&user, &format!("note:{user} is offline!\n"));
        }
        let left = |session: &Session| (session.last_heartbeat + timeout).saturating_duration_since(now);
        self.sessions.values().map(left).min().unwrap_or(timeout)
    }

    /// Those who were online.
    fn end(&mut self) -> Vec<Session> {
        self.has_ended = true;
        std::mem::take(&mut self.sessions).into_values().collect()
    }

    /// Tells the others, but those whom the user has blocked.
    fn note(&self, user: &str, presence: &str) {
        for (_, session) in self.sessions.iter().filter(|(other, _)| *other != user && !self.has_blocked(user, other)) {
            session.tell(&format!("note:{user} is {presence}!\n"));
        }
    }

    fn tell_all_but(&self, user: &str, text: &str) {
        for (_, session) in self.sessions.iter().filter(|(other, _)| *other != user) {
            session.tell(text);
        }
    }

    fn tell(&self, user: &str, text: &str) {
        if let Some(session) = self.sessions.get(user) {
            session.tell(text);
        }
    }

    fn has_blocked(&self, user: &str, other: &str) -> bool {
        self.accounts.get(user).is_some_and(|account| account.blocked.contains(other))
    }
}
