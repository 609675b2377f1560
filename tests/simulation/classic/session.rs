//! What a `session` client says and reads: a log-on by datagrams, and then one ciphered message a read.

use chatd::hub::challenge::{Challenge, Response, SessionKey};
use chatd::hub::credentials::Password;
use chatd::hub::name::UserName;
use chatd::hub::time::LocalTime;

use super::screen::{SERVER, is_name};

/// What the client reads at once, in bytes.
pub const READ_BYTES_MAX: usize = 1024;
/// Where a line's text goes on.
const INDENT: &str = "\n    ";
/// What the server writes into words that the client looks for.
const BREAK: char = '\u{200b}';

/// What is told to somebody who logs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Challenge(Challenge),
    NotOnList,
    Failure,
    Success { challenge: Challenge, port: u16 },
}

/// What a client in a session reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    Connected,
    ChatStarted {
        id: LocalTime,
        peer: UserName,
    },
    Unreachable(String),
    EndNotif(LocalTime),
    /// Somebody says this, or a part of it.
    Said {
        from: String,
        text: String,
    },
    /// Anything else of the server's.
    Line(String),
}

pub fn hello(user: &UserName) -> Vec<u8> {
    format!("HELLO({user})").into_bytes()
}

pub fn response(user: &UserName, challenge: Challenge, secret: &Password) -> Vec<u8> {
    format!("RESPONSE({user}, {})", Response::to(challenge, secret)).into_bytes()
}

/// Reads what a log-on is told; `key`: of the last challenge.
pub fn log_on(datagram: &[u8], key: Option<&SessionKey>) -> Option<Told> {
    match datagram {
        b"Not on subscriber list.\n" => return Some(Told::NotOnList),
        b"AUTH_FAIL" => return Some(Told::Failure),
        _ => {}
    }
    if let Some(digits) = str::from_utf8(datagram).ok().and_then(|plain| within(plain, "CHALLENGE")) {
        return Challenge::parse(digits).map(Told::Challenge);
    }
    let plain = key?.decipher(datagram).ok()?;
    let (challenge, _) = within(&plain, "AUTH_SUCCESS")?.split_once(", ")?;
    // The client cuts the port at fixed columns.
    let port = plain.get(plain.len().checked_sub(5)?..plain.len() - 1)?;
    Some(Told::Success { challenge: Challenge::parse(challenge)?, port: port.parse().ok()? })
}

/// A message as it travels: each is ciphered from the beginning of the key.
pub fn ciphered(key: &SessionKey, plain: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    key.encipher(plain, &mut bytes);
    bytes
}

pub fn connect(challenge: Challenge) -> String {
    format!("CONNECT({challenge})")
}

pub fn chat_request(other: &UserName) -> String {
    format!("CHAT_REQUEST({other})")
}

pub fn chat_check(id: LocalTime, peer: &UserName) -> String {
    format!("CHAT_CHECK({id},  {peer})")
}

pub fn end_request(id: Option<LocalTime>) -> String {
    match id {
        Some(id) => format!("END_REQUEST({id})"),
        None => "END_REQUEST(None)".to_owned(),
    }
}

pub fn end_check(id: LocalTime) -> String {
    format!("END_CHECK({id})")
}

pub fn history(other: &UserName) -> String {
    format!("HISTORY_REQ({other})")
}

/// What the client makes of one read. It looks for its words anywhere.
pub fn reads(key: &SessionKey, chunk: &[u8]) -> Result<Vec<Item>, String> {
    let plain = key.decipher(chunk).map_err(|_| format!("a session's message is no text: {chunk:?}"))?;
    let strange = || format!("a session is told {plain:?}");
    if plain == "CONNECTED\n" {
        return Ok(vec![Item::Connected]);
    }
    if plain.contains("END_NOTIF") {
        let id = within(&plain, "END_NOTIF").and_then(LocalTime::parse).ok_or_else(strange)?;
        return Ok(vec![Item::EndNotif(id)]);
    }
    if plain.contains("CHAT_STARTED") {
        let (id, peer) =
            within(&plain, "CHAT_STARTED").and_then(|inside| inside.split_once(", ")).ok_or_else(strange)?;
        let peer = UserName::parse(peer).map_err(|_| strange())?;
        return Ok(vec![Item::ChatStarted { id: LocalTime::parse(id).ok_or_else(strange)?, peer }]);
    }
    if plain.contains("UNREACHABLE") {
        return Ok(vec![Item::Unreachable(within(&plain, "UNREACHABLE").ok_or_else(strange)?.to_owned())]);
    }
    Ok(vec![said(&plain).unwrap_or(Item::Line(plain))])
}

fn said(plain: &str) -> Option<Item> {
    let (from, text) = plain.split_once(": ")?;
    let text = text.replace(INDENT, "\n");
    (is_name(from) && from != SERVER).then(|| Item::Said { from: from.to_owned(), text })
}

/// A text as the server shows it to such a client.
pub fn rendered(text: &str) -> String {
    ["END_NOTIF", "CHAT_STARTED", "UNREACHABLE"].iter().fold(text.to_owned(), |text, word| {
        let (first, rest) = word.split_at(1);
        text.replace(word, &format!("{first}{BREAK}{rest}"))
    })
}

/// The inside of `WORD(…)`.
fn within<'a>(message: &'a str, word: &str) -> Option<&'a str> {
    message.strip_prefix(word)?.strip_prefix('(')?.strip_suffix(')')
}
