//! The server's side of a session: what a client says, and what it is told.
//!
//! What is written is plain text, the same for all who are told it, one message a piece; `Member::seal` makes it one
//! client's.

use super::SessionKey;
use crate::hub::effect::{Answer, Event};
use crate::hub::id::RequestId;
use crate::wire::{Farewell, Lull, Pieces, Step};

/// One client, and its decoder.
#[derive(Debug)]
pub struct Member {
    key: SessionKey,
}

impl Member {
    /// Somebody who has logged on, and whose first bytes are `CONNECT`.
    pub fn new(key: SessionKey) -> Member {
        Member { key }
    }

    /// See `Conversation::decode`.
    pub(in crate::wire) fn decode(&mut self, _bytes: &[u8], _lull: Lull) -> Step {
        Step::Wait
    }

    /// See `Conversation::encode_answer`.
    pub(in crate::wire) fn encode_answer(&mut self, _id: Option<RequestId>, _answer: &Answer, _out: &mut Pieces) {}

    /// See `Conversation::told`.
    pub(in crate::wire) fn told(&mut self, _event: &Event) {}

    /// See `Conversation::seal`.
    pub(in crate::wire) fn seal(&self, piece: &[u8], out: &mut Vec<u8>) {
        self.key.encipher(&String::from_utf8_lossy(piece), out);
    }
}

/// See `Dialect::encode_event`.
pub(in crate::wire) fn encode_event(_event: &Event, _out: &mut Pieces) {}

/// See `Conversation::encode_farewell`.
pub(in crate::wire) fn encode_farewell(_farewell: Farewell, _out: &mut Pieces) {}
