//! Messages that were read as one. Each is ciphered from the beginning of the key, so only what is known in advance can be
//! found: whatever else stands behind another message deciphers to nothing that means anything.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::messages::{self, FromClient};
use super::texts;
use super::{Challenge, SessionKey};
use crate::hub::time::LocalTime;
use crate::wire::UserName;

/// How long the first message of a session is, ciphered or not: a challenge has ten digits.
pub const CONNECT_BYTES: usize = "CONNECT()".len() + Challenge::DIGITS;

/// The first bytes of the session of a client that has logged on, by which it is recognised.
pub fn connect(challenge: Challenge, key: &SessionKey) -> Vec<u8> {
    ciphered(&FromClient::Connect(challenge), key)
}

/// Those who have logged on from an address and have not connected yet, by their first bytes.
#[derive(Debug, Default)]
pub struct Expected(BTreeMap<Vec<u8>, (Challenge, Box<SessionKey>)>);

/// Who it is that begins with some bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Begun<'a> {
    /// The bytes begin with all of its first ones.
    By(Challenge, &'a SessionKey),
    /// It may be somebody.
    Partly,
    ByNobody,
}

impl Expected {
    pub fn insert(&mut self, challenge: Challenge, key: SessionKey) {
        self.0.insert(connect(challenge, &key), (challenge, Box::new(key)));
    }

    pub fn remove(&mut self, challenge: Challenge) {
        self.0.retain(|_, &mut (expected, _)| expected != challenge);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The key of whoever begins with these bytes.
    pub fn key(&self, bytes: &[u8]) -> Option<&SessionKey> {
        match self.find(bytes) {
            Begun::By(_, key) => Some(key),
            Begun::Partly | Begun::ByNobody => None,
        }
    }

    pub fn find(&self, bytes: &[u8]) -> Begun<'_> {
        // All first bytes are as long as one another.
        let next = self.0.range::<[u8], _>((Bound::Unbounded, Bound::Included(bytes))).next_back();
        if let Some((first, (challenge, key))) = next
            && bytes.starts_with(first)
        {
            return Begun::By(*challenge, key);
        }
        let after = self.0.range::<[u8], _>((Bound::Included(bytes), Bound::Unbounded)).next();
        match after {
            Some((first, _)) if first.starts_with(bytes) => Begun::Partly,
            _ => Begun::ByNobody,
        }
    }
}

/// What can stand behind a text of a client that is in a chat, or was in it last; as it travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endings([Vec<u8>; 3]);

impl Endings {
    /// `id` and `peer`: as the client was told that the chat has begun.
    pub fn of(id: LocalTime, peer: &UserName, key: &SessionKey) -> Endings {
        let commands = [
            FromClient::ChatCheck { id, peer: peer.clone() },
            FromClient::EndCheck(id),
            FromClient::EndRequest(Some(id)),
        ];
        Endings(commands.map(|command| ciphered(&command, key)))
    }

    /// What stands before one of them at the end of what was read.
    fn before<'a>(&self, read: &'a [u8]) -> Option<&'a [u8]> {
        self.0.iter().find_map(|ending| read.strip_suffix(ending.as_slice()))
    }
}

/// The first of the messages in what was read at once; it is not empty if that is not. What is left when all that is known has
/// been taken off the end counts as one.
pub fn first<'a, 'b>(read: &'a [u8], known: impl Iterator<Item = &'b Endings> + Clone) -> &'a [u8] {
    let mut rest = read;
    while let Some(before) = known.clone().find_map(|endings| endings.before(rest)) {
        if before.is_empty() {
            break;
        }
        rest = before;
    }
    rest
}

/// How what a client is told can begin, as it travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beginnings(Vec<Vec<u8>>);

impl Beginnings {
    /// A beginning that is shorter, in bytes, may stand anywhere by chance.
    const SHORTEST: usize = 5;

    /// `peer`: whose texts may come, if the client is in a chat.
    pub fn of(peer: Option<&UserName>, key: &SessionKey) -> Beginnings {
        let plain = messages::beginnings().into_iter().chain(peer.map(texts::beginning));
        let ciphered = plain.map(|plain| ciphered_text(&plain, key));
        Beginnings(ciphered.filter(|beginning| beginning.len() >= Beginnings::SHORTEST).collect())
    }

    /// The messages in what was read at once, in order; none of them is empty. Those behind another one that begin in no
    /// known way count as its end.
    pub fn separate<'a>(&self, read: &'a [u8]) -> Vec<&'a [u8]> {
        let begins = |at: &usize| self.0.iter().any(|beginning| read[*at..].starts_with(beginning));
        let starts = std::iter::once(0).chain((1..read.len()).filter(begins));
        let ends = (1..read.len()).filter(begins).chain([read.len()]);
        starts.zip(ends).map(|(start, end)| &read[start..end]).filter(|message| !message.is_empty()).collect()
    }
}

fn ciphered(command: &FromClient, key: &SessionKey) -> Vec<u8> {
    ciphered_text(&command.write(), key)
}

fn ciphered_text(plain: &str, key: &SessionKey) -> Vec<u8> {
    let mut out = Vec::new();
    key.encipher(plain, &mut out);
    out
}
