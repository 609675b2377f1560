//! The server's side: what clients say, and what they are told.

use crate::hub::effect::{Answer, Event};
use crate::hub::id::RequestId;
use crate::hub::input::PeerPort;
use crate::wire::pieces::Pieces;
use crate::wire::{Farewell, Lull, Step};

/// How a log-in begins; every other request is a connection of its own.
pub(in crate::wire) const LOG_IN: &[u8] = b"newUser,";

/// The log-in dialogue of one client.
#[derive(Debug)]
pub struct LogIn {
    port: Option<PeerPort>,
}

impl LogIn {
    /// `prompted`: the client has been asked for a nickname, and owes an `ok` for it.
    pub(in crate::wire) fn begin(_prompted: bool) -> LogIn {
        LogIn { port: None }
    }

    /// See `Conversation::decode`.
    pub(in crate::wire) fn decode(&mut self, _bytes: &[u8], _lull: Lull) -> Step {
        Step::Wait
    }

    /// See `Conversation::encode_answer`.
    pub(in crate::wire) fn encode_answer(&mut self, _answer: &Answer, _out: &mut Pieces) {}

    pub(in crate::wire) fn listens_at(&self) -> Option<PeerPort> {
        self.port
    }
}

/// See `Conversation::decode`.
pub(in crate::wire) fn decode(_bytes: &[u8], _lull: Lull) -> Step {
    Step::Wait
}

/// See `Dialect::encode_answer`.
pub(in crate::wire) fn encode_answer(_id: Option<RequestId>, _answer: &Answer, _out: &mut Pieces) {}

/// See `Dialect::encode_event`.
pub(in crate::wire) fn encode_event(_event: &Event, _out: &mut Pieces) {}

/// See `Conversation::encode_farewell`.
pub(in crate::wire) fn encode_farewell(_farewell: Farewell, _out: &mut Pieces) {}
