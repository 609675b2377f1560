//! The server's side: what clients say, and what they are told.

use crate::hub::effect::{Answer, Event};
use crate::wire::pieces::Pieces;
use crate::wire::{Farewell, Lull, Step};

/// What a client is asked for its nickname with.
pub const PROMPT: &[u8] = b"NICK";

/// One client, and its decoder.
#[derive(Debug, Default)]
pub struct Member {
    utf8: bool,
}

impl Member {
    /// Whether the client has said something valid beyond ASCII itself.
    pub(in crate::wire) fn reads_utf8(&self) -> bool {
        self.utf8
    }

    /// See `Conversation::decode`.
    pub(in crate::wire) fn decode(&mut self, _bytes: &[u8], _lull: Lull) -> Step {
        Step::Wait
    }

    /// See `Conversation::encode_answer`.
    pub(in crate::wire) fn encode_answer(&mut self, _answer: &Answer, _out: &mut Pieces) {}
}

/// See `Dialect::encode_answer`.
pub(in crate::wire) fn encode_answer(_answer: &Answer, _utf8: bool, _out: &mut Pieces) {}

/// See `Dialect::encode_event`.
pub(in crate::wire) fn encode_event(_event: &Event, _utf8: bool, _out: &mut Pieces) {}

/// See `Conversation::encode_farewell`.
pub(in crate::wire) fn encode_farewell(_farewell: Farewell, _out: &mut Pieces) {}
