//! The server's side: what clients say, and what they are told.
//!
//! What is written is the same for all who are told it, one datagram a piece, but for the addresses at its two ends;
//! `Correspondent::seal` puts them in.

use super::notice::Ends;
use super::{Manner, Request, Unread};
use crate::hub::effect::{Answer, Event};
use crate::hub::id::RequestId;
use crate::hub::input;
use crate::hub::name::UserName;
use crate::wire::named::Named;
use crate::wire::{Farewell, Pieces, Text};

/// What a datagram says.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// Somebody wants to log in, whoever was at the address before.
    LogIn { user: UserName, request: input::Request, manner: Manner },
    /// Something for whoever has logged in from the address.
    Said(Request),
}

/// What comes of something that a client says.
#[derive(Debug, PartialEq, Eq)]
pub enum Said {
    Request {
        id: Option<RequestId>,
        request: input::Request,
    },
    /// The message of `sender`'s that is on its way has come, the client says in these words.
    Acknowledged {
        sender: Named,
        words: Option<Text>,
    },
    /// Nothing, and why not.
    Nothing(&'static str),
}

/// Reads a whole datagram.
pub fn read(datagram: &[u8]) -> Result<Heard, Unread> {
    let (request, _) = Request::parse(datagram)?;
    Ok(Heard::Said(request))
}

/// The datagram that answers one whose digest is wrong, or one that nobody has logged in to say; for people. It is shorter than
/// either.
pub fn error(_text: &str, _ends: &Ends, _manner: Manner) -> Vec<u8> {
    Vec::new()
}

/// Whoever logs in from an address, or has.
#[derive(Debug)]
pub struct Correspondent {
    user: UserName,
    manner: Manner,
    ends: Ends,
}

impl Correspondent {
    pub fn new(user: UserName, manner: Manner, ends: Ends) -> Correspondent {
        Correspondent { user, manner, ends }
    }

    pub fn manner(&self) -> Manner {
        self.manner
    }

    /// What comes of something that this client says. In somebody else's name nothing does.
    pub fn hear(&mut self, _request: Request) -> Said {
        let _ = (&self.user, self.ends);
        Said::Nothing("nothing is heard")
    }

    /// Whether it is this piece that a client acknowledges by that name.
    pub fn acknowledges(&self, _piece: &[u8], _sender: &Named) -> bool {
        false
    }

    /// See `Conversation::encode_answer`.
    pub(in crate::wire) fn encode_answer(&mut self, _id: Option<RequestId>, _answer: &Answer, _out: &mut Pieces) {}

    /// See `Conversation::seal`.
    pub(in crate::wire) fn seal(&self, piece: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(piece);
    }
}

/// See `Dialect::encode_event`.
pub(in crate::wire) fn encode_event(_event: &Event, _manner: Manner, _out: &mut Pieces) {}

/// See `Conversation::encode_farewell`.
pub(in crate::wire) fn encode_farewell(_farewell: Farewell, _manner: Manner, _out: &mut Pieces) {}
