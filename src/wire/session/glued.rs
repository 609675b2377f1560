//! Messages that were read as one. Each is ciphered from the beginning of the key, so only what is known in advance can be
//! found: whatever else stands behind another message deciphers to nothing that means anything.

use super::messages::{ChatId, FromClient};
use super::{Challenge, SessionKey};
use crate::wire::UserName;

/// The first bytes of the session of a client that has logged on, by which it is recognised.
pub fn connect(challenge: Challenge, key: &SessionKey) -> Vec<u8> {
    ciphered(&FromClient::Connect(challenge), key)
}

/// What can stand behind a text of a client that is in a chat, or was in it last; as it travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endings([Vec<u8>; 3]);

impl Endings {
    /// `id` and `peer`: as the client was told that the chat has begun.
    pub fn of(id: ChatId, peer: &UserName, key: &SessionKey) -> Endings {
        let commands = [
            FromClient::ChatCheck { id, peer: peer.clone() },
            FromClient::EndCheck(id),
            FromClient::EndRequest(Some(id)),
        ];
        Endings(commands.map(|command| ciphered(&command, key)))
    }

    /// The messages in what was read at once, in order; none of them is empty. What is left when all that is known has been
    /// taken off counts as one.
    pub fn separate<'a>(&self, read: &'a [u8]) -> Vec<&'a [u8]> {
        let (mut rest, mut messages) = (read, Vec::new());
        while let Some(before) = self.0.iter().find_map(|ending| rest.strip_suffix(ending.as_slice())) {
            messages.push(&rest[before.len()..]);
            rest = before;
        }
        if !rest.is_empty() {
            messages.push(rest);
        }
        messages.reverse();
        messages
    }
}

fn ciphered(command: &FromClient, key: &SessionKey) -> Vec<u8> {
    let mut out = Vec::new();
    key.encipher(&command.write(), &mut out);
    out
}
