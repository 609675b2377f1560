//! The existing server of `datagram` (a Python 2 program).

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Fault;
use super::datagram_message::{PROBE, READ_SIZE, WRONG_DIGEST};
use super::digest::hex_sha256;
use super::journal::{Chunk, Journal, Seen};
use super::python::{Literal, Python};
use super::sockets::{Listening, Losses, Sockets};

/// In hexadecimal digits.
const DIGEST_LENGTH: usize = 64;

const GREETING: &str = "Greetings from the Chat Room!";
const WRONG_PASSWORD: &str = "Incorrect password!";

/// The program. Ends when dropped, without a word to its clients.
pub struct DatagramServer {
    listening: Listening,
    shared: Arc<Shared>,
}

struct Shared {
    socket: Arc<UdpSocket>,
    sockets: Arc<Sockets>,
    losses: Losses,
    chat: Mutex<Chat>,
    journal: Journal<Seen<Fault>>,
}

impl DatagramServer {
    /// Without accounts: whoever logs in first with a name has signed up.
    pub fn start() -> DatagramServer {
        let socket = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port"));
        let sockets = Arc::new(Sockets::default());
        let shared = Arc::new(Shared {
            socket: socket.clone(),
            sockets: sockets.clone(),
            losses: Losses::none(),
            chat: Mutex::default(),
            journal: Journal::new(),
        });
        let serving = shared.clone();
        let listening = Listening::start_for_datagrams(socket, sockets, move || serving.serve());
        DatagramServer { listening, shared }
    }

    pub fn address(&self) -> SocketAddr {
        self.listening.address()
    }

    /// The next datagram that a client has sent.
    #[track_caller]
    pub fn next(&self) -> Chunk {
        self.shared.journal.next_chunk()
    }

    /// Takes the first datagram that has this in it, and leaves others where they are.
    #[track_caller]
    pub fn wait_for(&self, fragment: &str) -> Chunk {
        self.shared.journal.wait_for_one(&format!("{fragment:?}"), |datagram| datagram.contains(fragment))
    }

    /// The next fault, whatever datagrams came before it.
    #[track_caller]
    pub fn next_fault(&self) -> Fault {
        self.shared.journal.wait_for_else()
    }

    /// All datagrams that came.
    pub fn datagrams(&self) -> Vec<String> {
        self.shared.journal.chunks()
    }

    /// All faults so far: of every datagram that was seen.
    pub fn faults(&self) -> Vec<Fault> {
        let _handled = self.shared.chat();
        self.shared.journal.others()
    }

    /// Datagrams that are lost on their way here.
    pub fn losses(&self) -> &Losses {
        &self.shared.losses
    }

    /// Who is online.
    pub fn online(&self) -> Vec<String> {
        self.shared.chat().online.keys().cloned().collect()
    }

    /// Sends a datagram of the test's own to a user who is online.
    pub fn deliver(&self, user: &str, datagram: &str) {
        let address = self.shared.chat().online.get(user).copied().expect("a user who is online");
        self.shared.send(address, datagram);
    }
}

impl Shared {
    fn serve(&self) {
        for (datagram, from) in self.sockets.datagrams(&self.socket, READ_SIZE) {
            if self.losses.take(&datagram) {
                continue;
            }
            // Whoever has seen the datagram in the journal finds it handled.
            let mut chat = self.chat();
            if let Ok(text) = str::from_utf8(&datagram) {
                self.journal.chunk(text.to_owned());
            }
            match self.answer(&mut chat, from, &datagram) {
                Ok(outbox) => outbox.iter().for_each(|(to, message)| self.send(*to, &Python::Two.write(message))),
                Err(fault) => self.journal.record(Seen::Else(fault)),
            }
        }
    }

    fn answer(&self, chat: &mut Chat, from: SocketAddr, datagram: &[u8]) -> Result<Outbox, Fault> {
        let no_message = || Fault::NoMessage(datagram.to_vec());
        let (dict, digest) = open(datagram).ok_or_else(no_message)?;
        let rewritten = Python::Two.write(&dict);
        if digest != hex_sha256(rewritten.as_bytes()) {
            if datagram != PROBE.as_bytes() {
                self.journal.record(Seen::Else(Fault::WrongDigest { rewritten }));
            }
            return Ok(vec![(from, error(from, WRONG_DIGEST))]);
        }
        let request = Request::read(&dict).ok_or_else(no_message)?;
        chat.handle(from, request).ok_or(Fault::NotLoggedIn(rewritten))
    }

    fn send(&self, to: SocketAddr, datagram: &str) {
        // One that is too long does not leave, and one that nobody hears is lost.
        let _ = self.socket.send_to(datagram.as_bytes(), to);
    }

    fn chat(&self) -> MutexGuard<'_, Chat> {
        self.chat.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The dict in a datagram, and what stands there for its digest.
fn open(datagram: &[u8]) -> Option<(Literal, String)> {
    let Literal::List(items) = Python::Two.read(datagram)? else { return None };
    let [dict, digest] = <[Literal; 2]>::try_from(items).ok()?;
    Some((dict, digest.text()?))
}

/// What a client asks for.
enum Request {
    LogIn {
        user: String,
        digest: String,
    },
    LogOut,
    /// `to`: one user, or all others.
    Say {
        sender: String,
        to: Option<String>,
        text: Literal,
    },
    Contacts,
    Acknowledge {
        sender: String,
        text: Literal,
    },
}

impl Request {
    fn read(dict: &Literal) -> Option<Request> {
        let (header, body) = (dict.get("header")?, dict.get("body")?);
        let (command, message_type) = (header.get_text("command")?, header.get_text("message_type")?);
        header.get("recipient_data")?;
        let say = |to| Some(Request::Say { sender: body.get_text("sender_username")?, to, text: text_in(body)? });
        match (command.as_str(), message_type.as_str()) {
            ("LOGIN", "INITIATE_SESSION") => {
                let (user, digest) = (body.get_text("username")?, body.get_text("password")?);
                let is_digest = digest.len() == DIGEST_LENGTH && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
                is_digest.then_some(Request::LogIn { user, digest })
            }
            ("LOGOUT", "DESTROY_SESSION" | "DETROY_SESSION") => Some(Request::LogOut),
            ("SEND_MESSAGE", "MESSAGE_EXCHANGE") => say(Some(body.get_text("receiver_username")?)),
            ("SEND_ALL_MESSAGE", "MESSAGE_EXCHANGE") => say(None),
            ("CONTACTS", "DISPLAY_CONTACTS") => Some(Request::Contacts),
            ("", "ACKNOWLEDGEMENT") => {
                Some(Request::Acknowledge { sender: body.get_text("username")?, text: text_in(body)? })
            }
            _ => None,
        }
    }
}

/// In the kind of literal that it came in.
fn text_in(body: &Literal) -> Option<Literal> {
    body.get("text").filter(|text| matches!(text, Literal::Bytes(_) | Literal::Unicode(_))).cloned()
}

/// Where messages go to, and the messages.
type Outbox = Vec<(SocketAddr, Literal)>;

/// The rules: who exists, who is online and where, and who is told what.
#[derive(Default)]
struct Chat {
    /// The digests of the passwords.
    accounts: BTreeMap<String, String>,
    online: BTreeMap<String, SocketAddr>,
}

impl Chat {
    /// `None`: nobody has logged in from there, or not by the name that the request gives.
    fn handle(&mut self, from: SocketAddr, request: Request) -> Option<Outbox> {
        match (request, self.user_at(from)) {
            (Request::LogIn { user, digest }, _) => Some(self.log_in(from, user, digest)),
            (_, None) => None,
            (Request::Say { sender, .. }, Some(user)) if sender != user => None,
            (Request::Say { to: Some(to), text, .. }, Some(user)) => Some(vec![self.message(from, &user, &to, &text)]),
            (Request::Say { to: None, text, .. }, Some(user)) => Some(self.message_all(from, &user, &text)),
            (Request::Contacts, Some(user)) => Some(self.list(from, &user)),
            (Request::Acknowledge { sender, text }, Some(_)) => {
                // One who has gone is told nothing.
                Some(self.online.get(&sender).map(|&to| (to, bare("ACKNOWLEDGEMENT", text))).into_iter().collect())
            }
            (Request::LogOut, Some(user)) => {
                self.online.remove(&user);
                Some(Vec::new())
            }
        }
    }

    fn log_in(&mut self, from: SocketAddr, user: String, digest: String) -> Outbox {
        if *self.accounts.entry(user.clone()).or_insert_with(|| digest.clone()) != digest {
            return vec![(from, error(from, WRONG_PASSWORD))];
        }
        let alert = |to| (to, message("ALERT", to, text(&format!("{user} is online!"))));
        let alerts: Outbox = self.others(&user).map(|(_, to)| alert(to)).collect();
        self.online.insert(user, from);
        [vec![(from, message("GREETING", from, text(GREETING)))], alerts].concat()
    }

    fn message(&self, from: SocketAddr, user: &str, to: &str, said: &Literal) -> (SocketAddr, Literal) {
        match self.online.get(to) {
            Some(&to) => (to, exchange(to, from, prefixed(&format!("Private message from {user}: "), said))),
            None => (from, error(from, &format!("{to} is not online!"))),
        }
    }

    fn message_all(&self, from: SocketAddr, user: &str, said: &Literal) -> Outbox {
        let body = prefixed(&format!("Group Message from {user}: "), said);
        self.others(user).map(|(_, to)| (to, exchange(to, from, body.clone()))).collect()
    }

    /// With the others' own addresses: this server keeps none to itself.
    fn list(&self, from: SocketAddr, user: &str) -> Outbox {
        let line = |other: &str, address| format!("{other} : {} is online!", Python::Two.write(&tuple(address)));
        let contact = |(other, address)| (from, bare("LIST_CONTACTS", text(&line(other, address))));
        self.others(user).map(contact).collect()
    }

    fn others(&self, user: &str) -> impl Iterator<Item = (&str, SocketAddr)> {
        let others = self.online.iter().filter(move |(other, _)| *other != user);
        others.map(|(other, &address)| (other.as_str(), address))
    }

    fn user_at(&self, address: SocketAddr) -> Option<String> {
        self.online.iter().find(|(_, is)| **is == address).map(|(user, _)| user.clone())
    }
}

/// What stands before a text, in the kind of literal that the text came in.
fn prefixed(prefix: &str, said: &Literal) -> Literal {
    match said {
        Literal::Bytes(said) => Literal::Bytes([prefix.as_bytes(), said].concat()),
        Literal::Unicode(said) => Literal::Unicode(prefix.chars().map(u32::from).chain(said.iter().copied()).collect()),
        other => other.clone(),
    }
}

/// With a header of two keys only.
fn bare(message_type: &str, body: Literal) -> Literal {
    dict(Python::Two.dict([("message_type", text(message_type)), ("command", text(""))]), body)
}

fn message(message_type: &str, to: SocketAddr, body: Literal) -> Literal {
    let keys = [("message_type", text(message_type)), ("command", text("")), ("recipient_data", tuple(to))];
    dict(Python::Two.dict(keys), body)
}

fn error(to: SocketAddr, body: &str) -> Literal {
    message("ERROR", to, text(body))
}

fn exchange(to: SocketAddr, from: SocketAddr, body: Literal) -> Literal {
    let message_type = ("message_type", text("MESSAGE_EXCHANGE"));
    let keys = [message_type, ("command", text("")), ("recipient_data", tuple(to)), ("sender_data", tuple(from))];
    dict(Python::Two.dict(keys), body)
}

fn dict(header: Literal, body: Literal) -> Literal {
    Python::Two.dict([("header", header), ("body", body)])
}

fn text(text: &str) -> Literal {
    Python::Two.text(text)
}

fn tuple(address: SocketAddr) -> Literal {
    Python::Two.address(&address.ip().to_string(), address.port())
}
