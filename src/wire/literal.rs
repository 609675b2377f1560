//! Python literals: as much of them as messages are made of. Nothing is evaluated.
//!
//! Read as Python 2 and Python 3 both read them, but for what neither writes by itself: no literals side by side, no triple
//! quotes, no raw strings, no `\N{…}`, no comments, and of numbers only decimal integers. Written in ASCII, so that it
//! depends on no encoding; the plain manner is what Python 2's `repr` writes, character for character.

mod read;
mod string;
mod write;

use std::borrow::Cow;

pub use write::Manner;

/// The longest literal that is read, in bytes: a text of which each byte is escaped, and what stands around it.
pub const SOURCE_BYTES_MAX: usize = crate::hub::text::TEXT_BYTES_MAX * 4 + 512;
/// So deep may values stand in one another.
pub const DEPTH_MAX: usize = 8;
/// So many values may one literal have, those within others included.
pub const VALUES_MAX: usize = 128;

/// A value. What has no escapes is borrowed from where it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Literal<'a> {
    None,
    Bool(bool),
    Int(i64),
    /// Of `'…'`, `b'…'` and `u'…'` alike: a peer's interpreter decides which it writes.
    Text(Cow<'a, str>),
    Tuple(Vec<Literal<'a>>),
    List(Vec<Literal<'a>>),
    /// In their order. Of several values of a key the last one counts.
    Dict(Vec<(Literal<'a>, Literal<'a>)>),
}

/// An item of a list, and the very bytes that it is written in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    pub value: Literal<'a>,
    pub source: &'a str,
}

/// Why something is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    TooLong,
    TooDeep,
    TooMany,
    /// It is none of these literals.
    Syntax,
}

impl<'a> Literal<'a> {
    /// Reads a literal that is all there is, but for white space.
    pub fn parse(source: &'a [u8]) -> Result<Literal<'a>, Malformed> {
        read::whole(source)
    }

    /// Reads a list, each item with the bytes that it is written in.
    pub fn parse_items(source: &'a [u8]) -> Result<Vec<Item<'a>>, Malformed> {
        read::items(source)
    }

    /// Appends it in ASCII.
    pub fn write(&self, manner: Manner, out: &mut String) {
        write::value(self, manner, out);
    }

    /// The value of a key of a dict.
    pub fn get(&self, key: &str) -> Option<&Literal<'a>> {
        let Literal::Dict(entries) = self else { return None };
        entries.iter().rev().find(|(known, _)| known.as_text() == Some(key)).map(|(_, value)| value)
    }

    pub fn as_text(&self) -> Option<&str> {
        match self {
            Literal::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Whether it can be a key: nothing that can change can.
    fn is_hashable(&self) -> bool {
        match self {
            Literal::None | Literal::Bool(_) | Literal::Int(_) | Literal::Text(_) => true,
            Literal::Tuple(items) => items.iter().all(Literal::is_hashable),
            Literal::List(_) | Literal::Dict(_) => false,
        }
    }
}

impl<'a> From<&'a str> for Literal<'a> {
    fn from(text: &'a str) -> Literal<'a> {
        Literal::Text(Cow::Borrowed(text))
    }
}

#[cfg(test)]
mod tests;
