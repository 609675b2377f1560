//! Requests that come on a connection of their own: one each, up to the end of the stream.

use super::{COMMA, TO_NOBODY, Word, without_newline};
use crate::hub::id::RequestId;
use crate::hub::input::{Offer, Request};
use crate::hub::name::UserName;
use crate::hub::text::Text;
use crate::wire::parts::unindented;
use crate::wire::request::REQUEST_BYTES_MAX;
use crate::wire::{Lull, Step};

/// What a client says that goes without ever having logged in.
const NEVER_LOGGED_IN: &[u8] = b"logout,logout";
/// The one answer to a question for one's address that is a yes.
const YES: &[u8] = b"yes";

/// A request, and in whose name it is.
struct Posted {
    user: UserName,
    id: RequestId,
    request: Request,
}

/// Why there is no request for the hub.
enum Unread {
    /// It does not keep to the protocol.
    Malformed,
    /// It is about somebody whose name is none.
    Nobody,
}

/// See `Conversation::decode`.
pub(in crate::wire) fn decode(bytes: &[u8], lull: Lull) -> Step {
    let used = bytes.len();
    if used >= REQUEST_BYTES_MAX {
        return Step::Violation { reply: Vec::new() };
    }
    if lull != Lull::Ended || used == 0 {
        return Step::Wait;
    }
    let chunk = without_newline(bytes);
    if chunk == NEVER_LOGGED_IN {
        return Step::Refused { used, reply: Vec::new() };
    }
    match read(chunk) {
        Some(Posted { user, id, request }) => Step::Posted { used, user, id: Some(id), request },
        None => Step::Violation { reply: Vec::new() },
    }
}

fn read(chunk: &[u8]) -> Option<Posted> {
    let (word, rest) = split(chunk)?;
    let word = Word::parse(word)?;
    let (user, rest) = match split(rest) {
        Some((user, rest)) => (user, Some(rest)),
        None => (rest, None),
    };
    let user = name(user)?;
    match request(word, rest) {
        Ok(request) => Some(Posted { user, id: word.id(), request }),
        // A sign of life all the same; the answer says the rest.
        Err(Unread::Nobody) => Some(Posted { user, id: TO_NOBODY, request: Request::Alive }),
        Err(Unread::Malformed) => None,
    }
}

/// What is asked for, by what follows the user's own name.
fn request(word: Word, rest: Option<&[u8]>) -> Result<Request, Unread> {
    let Some(rest) = rest else {
        return match word {
            Word::Online => Ok(Request::Online),
            Word::Alive => Ok(Request::Alive),
            Word::LogOut => Ok(Request::LogOut),
            _ => Err(Unread::Malformed),
        };
    };
    Ok(match word {
        Word::Forward => {
            let (to, text) = split(rest).ok_or(Unread::Malformed)?;
            let to = other(to)?;
            with_text(text, |text| Request::Message { to, text, counter: None, receipt: false })
        }
        Word::Broadcast => with_text(rest, |text| Request::Broadcast { text, counter: None }),
        Word::Block => Request::Block(other(rest)?),
        Word::Unblock => Request::Unblock(other(rest)?),
        Word::GetAddress => Request::AskAddress { user: other(rest)?, certificate: None },
        Word::PrivateAnswer => {
            let (asker, answer) = split(rest).ok_or(Unread::Malformed)?;
            Request::Consent { user: other(asker)?, offer: (answer == YES).then_some(Offer::WhereCalled) }
        }
        Word::Online | Word::Alive | Word::LogOut => return Err(Unread::Malformed),
    })
}

/// What stands before the first comma, and behind it.
fn split(chunk: &[u8]) -> Option<(&[u8], &[u8])> {
    let comma = chunk.iter().position(|&byte| byte == COMMA)?;
    Some((&chunk[..comma], &chunk[comma + 1..]))
}

fn name(field: &[u8]) -> Option<UserName> {
    UserName::parse(str::from_utf8(field).ok()?).ok()
}

/// Somebody else's name: a field that is there, and is one.
fn other(field: &[u8]) -> Result<UserName, Unread> {
    if field.is_empty() || field.contains(&COMMA) {
        return Err(Unread::Malformed);
    }
    name(field).ok_or(Unread::Nobody)
}

/// The text itself: what a client has put behind its newlines, so that no line begins like a message, is put there anew
/// wherever it is read.
fn with_text(field: &[u8], request: impl FnOnce(Text) -> Request) -> Request {
    let text = unindented(&String::from_utf8_lossy(field));
    Text::replacing(text.as_bytes()).map_or_else(Request::Unfit, request)
}
