//! The `session` protocol (protocols.md, section 2): challenge and response over UDP, then a ciphered session over TCP.
//!
//! A message is one read of its receiver's, and the cipher begins anew with each. `log_on` is what is said over UDP and
//! `messages` what is said over TCP, each in both directions; `texts` is how texts become such messages; `cipher` knows
//! none of them, and `glued` is what can be told apart when messages were read as one.
//! What is written here is plain text but in `log_on`: ciphering keeps its length, so it is left to whoever writes to one
//! client.

pub mod cipher;
pub mod glued;
pub mod log_on;
pub mod messages;
pub mod server;
pub mod texts;

use std::borrow::Cow;

pub use cipher::Undecipherable;

pub use crate::hub::challenge::{Challenge, Response, SessionKey};
pub use crate::hub::time::LocalTime;

use super::UserName;
use super::named::Named;

/// What a client reads at once, in bytes, ciphered or not.
pub const READ_BYTES_MAX: usize = 1024;
/// The longest message that a client may say, in bytes: people type more than is read at once.
pub const MESSAGE_BYTES_MAX: usize = crate::hub::text::TEXT_BYTES_MAX + 64;

/// The words that a client looks for anywhere in what it receives.
const LOOKED_FOR: [&str; 3] = [END_NOTIF, CHAT_STARTED, UNREACHABLE];
const END_NOTIF: &str = "END_NOTIF";
const CHAT_STARTED: &str = "CHAT_STARTED";
const UNREACHABLE: &str = "UNREACHABLE";

/// What breaks them: it has no width.
const BREAK: char = '\u{200b}';

/// Something that is data with the words that clients look for broken after their first letter, and nothing else changed.
pub fn broken(text: &str) -> Cow<'_, str> {
    // Two of these words can share a letter; breaking one leaves the other to be found.
    LOOKED_FOR.iter().fold(Cow::Borrowed(text), |text, word| match text.contains(word) {
        true => Cow::Owned(text.replace(word, &broken_word(word))),
        false => text,
    })
}

/// A text with the break after its first character.
fn broken_word(word: &str) -> String {
    let mut characters = word.chars();
    characters.next().into_iter().chain([BREAK]).chain(characters).collect()
}

/// What `broken` was given, or what would have been a command.
fn unbroken(text: &str) -> String {
    let text = LOOKED_FOR.iter().fold(text.to_owned(), |text, word| text.replace(&broken_word(word), word));
    let without = text.replacen(BREAK, "", 1);
    if broken_word(&without) == text && messages::parse_command(&without).is_some() { without } else { text }
}

/// A name as the other side writes it, perhaps broken.
fn named(text: &str) -> Named {
    if text.contains(BREAK) { Named::parse(&text.replace(BREAK, "")) } else { Named::parse(text) }
}

/// A name that is somebody's.
fn user(text: &str) -> Option<UserName> {
    named(text).user().cloned()
}

/// The inside of `WORD(…)`.
fn within<'a>(message: &'a str, word: &str) -> Option<&'a str> {
    message.strip_prefix(word)?.strip_prefix('(')?.strip_suffix(')')
}

#[cfg(test)]
mod tests;
