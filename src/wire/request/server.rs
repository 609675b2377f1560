//! The server's side: what clients say, and what they are told.
//!
//! `log_in` is the dialogue on the one connection that stays open for a while, `post` every other request, each on a
//! connection of its own, and `delivery` what is told to clients where they listen.

mod delivery;
mod log_in;
mod post;

pub(in crate::wire) use delivery::{encode_answer, encode_event};
pub use log_in::LogIn;
pub(in crate::wire) use log_in::encode_farewell;
pub(in crate::wire) use post::decode;

use crate::hub::id::RequestId;

/// How a log-in begins; every other request is a connection of its own.
pub(in crate::wire) const LOG_IN: &[u8] = b"newUser,";

/// What stands between fields.
const COMMA: u8 = b',';

/// A request, by the word that it begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Forward = 1,
    Broadcast,
    Online,
    Block,
    Unblock,
    GetAddress,
    PrivateAnswer,
    Alive,
    LogOut,
}

/// The id of a request that names somebody who can't exist: the hub never hears of that, and its answer says so.
const TO_NOBODY: RequestId = RequestId(0);

impl Word {
    const ALL: [Word; 9] = [
        Word::Forward,
        Word::Broadcast,
        Word::Online,
        Word::Block,
        Word::Unblock,
        Word::GetAddress,
        Word::PrivateAnswer,
        Word::Alive,
        Word::LogOut,
    ];

    fn as_bytes(self) -> &'static [u8] {
        match self {
            Word::Forward => b"forward",
            Word::Broadcast => b"broadcast",
            Word::Online => b"online",
            Word::Block => b"block",
            Word::Unblock => b"unblock",
            Word::GetAddress => b"getaddress",
            Word::PrivateAnswer => b"private_answer",
            Word::Alive => b"alive",
            Word::LogOut => b"logout",
        }
    }

    fn parse(word: &[u8]) -> Option<Word> {
        Word::ALL.into_iter().find(|known| known.as_bytes() == word)
    }

    /// What the answer to such a request is told by: no client of this protocol gives its requests ids, and the answer
    /// to one is worded by what it was.
    fn id(self) -> RequestId {
        RequestId(self as u64)
    }

    fn of(id: Option<RequestId>) -> Option<Word> {
        Word::ALL.into_iter().find(|word| Some(word.id()) == id)
    }
}

/// Whether a request of this protocol begins like this; `None`: one may, with more behind it.
pub(in crate::wire) fn opens(bytes: &[u8]) -> Option<bool> {
    let words = Word::ALL.into_iter().map(Word::as_bytes).chain([&LOG_IN[..LOG_IN.len() - 1]]);
    match bytes.iter().position(|&byte| byte == COMMA) {
        Some(end) => Some(words.into_iter().any(|word| word == &bytes[..end])),
        None => words.into_iter().all(|word| !word.starts_with(bytes)).then_some(false),
    }
}

/// A chunk without the newline that the user typed, which is framing.
fn without_newline(chunk: &[u8]) -> &[u8] {
    match chunk.strip_suffix(b"\n") {
        Some(line) => line.strip_suffix(b"\r").unwrap_or(line),
        None => chunk,
    }
}
