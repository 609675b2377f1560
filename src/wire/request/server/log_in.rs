//! The log-in: a dialogue in which each text of the server's is answered with `ok`, and followed by a word that says how it
//! goes on.

use super::{COMMA, LOG_IN, without_newline};
use crate::hub::credentials::Password;
use crate::hub::effect::{Answer, Refusal, Reply};
use crate::hub::input::{PeerPort, Request};
use crate::hub::name::UserName;
use crate::wire::request::REQUEST_BYTES_MAX;
use crate::wire::{Farewell, Kind, Lull, Pieces, Step, words};

const UNKNOWN_NAME: &str = "Invalid Username. Please try again.\n";
const WRONG_PASSWORD: &str = "Invalid Password. Please try again.\n";
const LOCKED_OUT_NOW: &str = "Invalid password. Your account has been blocked.\nPlease try again after sometime.\n";
const LOCKED_OUT: &str =
    "Due to multiple login failures, your account has been blocked.\nPlease try again after sometime.\n";
const WELCOME: &str = "Welcome to simple chat server!\n";

/// What the client says to everything that it has shown to the user.
const OK: &[u8] = b"ok";

/// The log-in dialogue of one client.
#[derive(Debug)]
pub struct LogIn {
    port: Option<PeerPort>,
    /// Who was named last.
    name: Option<UserName>,
    next: Next,
    /// The client was asked for a nickname: one `ok` more than there are texts is on its way.
    owes_ok: bool,
}

/// What comes next.
#[derive(Debug)]
enum Next {
    /// The client says `newUser,USER,PASSWORD,PORT`.
    Opening,
    /// The hub answers.
    Answer,
    /// The client has shown the text, and is to be told how it goes on.
    Ok(Verdict),
    /// The client says `USER,PASSWORD`.
    NameAndPassword,
    /// The client says `PASSWORD`.
    Password,
    /// The client closes.
    End,
}

/// What a log-in has come to.
#[derive(Debug)]
enum Verdict {
    UnknownName,
    WrongPassword,
    /// It ends here.
    Refused,
    Authenticated(UserName),
}

impl LogIn {
    /// `prompted`: the client has been asked for a nickname, and owes an `ok` for it.
    pub(in crate::wire) fn begin(prompted: bool) -> LogIn {
        LogIn { port: None, name: None, next: Next::Opening, owes_ok: prompted }
    }

    pub(in crate::wire) fn listens_at(&self) -> Option<PeerPort> {
        self.port
    }

    /// See `Conversation::decode`.
    pub(in crate::wire) fn decode(&mut self, bytes: &[u8], lull: Lull) -> Step {
        let used = bytes.len();
        if used >= REQUEST_BYTES_MAX {
            return violation();
        }
        if lull == Lull::None || used == 0 {
            return Step::Wait;
        }
        let chunk = without_newline(bytes);
        if chunk.contains(&0) {
            return violation();
        }
        match &self.next {
            Next::Ok(_) => self.shown(used, chunk),
            // What is said after the end changes nothing.
            Next::End => ignored(used),
            _ if self.owes_ok && chunk == OK => {
                self.owes_ok = false;
                ignored(used)
            }
            Next::Opening => self.opened(used, chunk),
            Next::Answer => violation(),
            Next::NameAndPassword => self.named(used, chunk),
            Next::Password => self.tried(used, chunk.trim_ascii()),
        }
    }

    /// `newUser,USER,PASSWORD,PORT`: the password may hold commas.
    fn opened(&mut self, used: usize, chunk: &[u8]) -> Step {
        let chunk = self.without_owed_ok(chunk);
        let Some(fields) = chunk.strip_prefix(LOG_IN) else { return violation() };
        let Some(last) = fields.iter().rposition(|&byte| byte == COMMA) else { return violation() };
        self.port = port(&fields[last + 1..]);
        if self.port.is_none() {
            return violation();
        }
        self.named(used, &fields[..last])
    }

    /// The `ok` for the question for a nickname may come glued behind the port.
    fn without_owed_ok<'a>(&mut self, chunk: &'a [u8]) -> &'a [u8] {
        match chunk.strip_suffix(OK) {
            Some(rest) if self.owes_ok => {
                self.owes_ok = false;
                without_newline(rest)
            }
            _ => chunk,
        }
    }

    /// `USER,PASSWORD`.
    fn named(&mut self, used: usize, fields: &[u8]) -> Step {
        let Some(comma) = fields.iter().position(|&byte| byte == COMMA) else { return violation() };
        let name = str::from_utf8(&fields[..comma]).ok().and_then(|name| UserName::parse(name).ok());
        match name {
            Some(name) => {
                self.name = Some(name);
                self.tried(used, &fields[comma + 1..])
            }
            // Nobody can have that name, so the hub need not look for it.
            None => {
                self.next = Next::Ok(Verdict::UnknownName);
                Step::Heard { used, reply: UNKNOWN_NAME.into() }
            }
        }
    }

    /// `PASSWORD`, for who was named last.
    fn tried(&mut self, used: usize, password: &[u8]) -> Step {
        let (Some(name), Some(port)) = (self.name.clone(), self.port) else { return violation() };
        let password = str::from_utf8(password).ok().and_then(|password| Password::parse(password).ok());
        self.next = Next::Answer;
        Step::Request { used, id: None, request: Request::LogInByPassword { name, password, port } }
    }

    /// The client has shown the text, or so it should say.
    fn shown(&mut self, used: usize, chunk: &[u8]) -> Step {
        if self.owes_ok && chunk == [OK, OK].concat() {
            self.owes_ok = false;
        } else if chunk != OK {
            return violation();
        }
        match std::mem::replace(&mut self.next, Next::End) {
            Next::Ok(Verdict::UnknownName) => self.go_on(used, "prompt", Next::NameAndPassword),
            Next::Ok(Verdict::WrongPassword) => self.go_on(used, "prompt_password", Next::Password),
            Next::Ok(Verdict::Refused) => Step::Violation { reply: b"exit".to_vec() },
            Next::Ok(Verdict::Authenticated(user)) => self.go_on(used, &format!("Authenticated {user}"), Next::End),
            _ => violation(),
        }
    }

    fn go_on(&mut self, used: usize, word: &str, next: Next) -> Step {
        self.next = next;
        Step::Heard { used, reply: word.into() }
    }

    /// See `Conversation::encode_answer`.
    pub(in crate::wire) fn encode_answer(&mut self, answer: &Answer, out: &mut Pieces) {
        match answer {
            Ok(Reply::Welcome { user, .. }) => self.say(WELCOME, Verdict::Authenticated(user.clone()), out),
            // No other request is made here.
            Ok(_) => {}
            Err(Refusal::UnknownName) => self.say(UNKNOWN_NAME, Verdict::UnknownName, out),
            Err(Refusal::WrongPassword) => self.say(WRONG_PASSWORD, Verdict::WrongPassword, out),
            Err(Refusal::LockedOutNow) => self.say(LOCKED_OUT_NOW, Verdict::Refused, out),
            Err(Refusal::LockedOut) => self.say(LOCKED_OUT, Verdict::Refused, out),
            Err(refusal) => self.say(&format!("{}\n", words::refusal(refusal)), Verdict::Refused, out),
        }
    }

    fn say(&mut self, text: &str, verdict: Verdict, out: &mut Pieces) {
        self.next = Next::Ok(verdict);
        out.bytes.extend_from_slice(text.as_bytes());
        out.end(Kind::Control);
    }
}

/// See `Conversation::encode_farewell`.
pub(in crate::wire) fn encode_farewell(farewell: Farewell, out: &mut Pieces) {
    out.bytes.extend_from_slice(words::farewell(farewell).as_bytes());
    out.bytes.push(b'\n');
    out.end(Kind::Control);
}

/// Digits and nothing else.
fn port(field: &[u8]) -> Option<PeerPort> {
    let digits = str::from_utf8(field).ok().filter(|field| field.bytes().all(|byte| byte.is_ascii_digit()))?;
    PeerPort::parse(digits.parse().ok()?)
}

fn violation() -> Step {
    Step::Violation { reply: Vec::new() }
}

fn ignored(used: usize) -> Step {
    Step::Refused { used, reply: Vec::new() }
}
