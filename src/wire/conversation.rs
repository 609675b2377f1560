//! What is remembered of one connection to read it and to write to it: the state of its decoder, and no more.

use super::literal::Manner;
use super::pieces::Pieces;
use super::session::SessionKey;
use super::{Farewell, Protocol, Step, datagram, native, nick, request, session};
use crate::hub::effect::{Answer, Event};
use crate::hub::id::RequestId;
use crate::hub::input::PeerPort;

/// How it stands with what comes after the bytes that are there. Where a protocol has no framing, this is what ends a
/// message (protocols.md, "Common to all", Boundaries).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lull {
    /// More may be on its way.
    None,
    /// Nothing has come for the quiet time.
    Quiet,
    /// Nothing will come: the client has closed its side.
    Ended,
}

/// One connection's.
#[derive(Debug)]
pub enum Conversation {
    Native,
    /// A single request of the `request` protocol, up to the end of the stream.
    Post,
    /// The log-in dialogue of the `request` protocol.
    LogIn(Box<request::server::LogIn>),
    Nick(Box<nick::server::Member>),
    /// Of somebody who has logged on by datagrams, and whose first bytes are `CONNECT`.
    Session(Box<session::server::Member>),
    /// With whoever is at an address of datagrams. What comes is told by `datagram::server::read`, and not decoded here.
    Datagram(Box<datagram::server::Correspondent>),
}

/// In which words something is written. What is written in the same words to several connections is encoded once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Native,
    /// To a client of the `request` protocol that is called.
    Delivery,
    /// On the log-in connection of such a client.
    LogIn,
    /// To a client of the `nick` protocol that may read nothing but ASCII.
    NickAscii,
    Nick,
    /// Each connection's own cipher comes on top of it, as the addresses of a datagram do: `Conversation::seal`.
    Session,
    DatagramPlain,
    DatagramUnicode,
}

/// How the pieces of a dialect share a chunk, which is what one write brings and one read takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunking {
    /// Texts share a chunk up to this, in bytes.
    pub bytes_max: usize,
    /// What stands between two of them there.
    pub between: &'static [u8],
}

impl Conversation {
    /// With a client whose first bytes are these and say that it speaks `protocol`. `prompted`: it has been asked for a
    /// nickname before it said anything. `None`: no first bytes alone say this.
    pub fn begin(protocol: Protocol, first: &[u8], prompted: bool) -> Option<Conversation> {
        Some(match protocol {
            Protocol::Native => Conversation::Native,
            Protocol::Request if first.starts_with(request::server::LOG_IN) => {
                Conversation::LogIn(Box::new(request::server::LogIn::begin(prompted)))
            }
            Protocol::Request => Conversation::Post,
            Protocol::Nick => Conversation::Nick(Box::default()),
            Protocol::Session | Protocol::Datagram => return None,
        })
    }

    /// With somebody who has logged on, and whose first bytes are `CONNECT`, ciphered with this key.
    pub fn session(key: SessionKey) -> Conversation {
        Conversation::Session(Box::new(session::server::Member::new(key)))
    }

    pub fn protocol(&self) -> Protocol {
        match self {
            Conversation::Native => Protocol::Native,
            Conversation::Post | Conversation::LogIn(_) => Protocol::Request,
            Conversation::Nick(_) => Protocol::Nick,
            Conversation::Session(_) => Protocol::Session,
            Conversation::Datagram(_) => Protocol::Datagram,
        }
    }

    /// In which words this client is written to.
    pub fn dialect(&self) -> Dialect {
        match self {
            Conversation::Native => Dialect::Native,
            Conversation::Post | Conversation::LogIn(_) => Dialect::LogIn,
            Conversation::Nick(member) if member.reads_utf8() => Dialect::Nick,
            Conversation::Nick(_) => Dialect::NickAscii,
            Conversation::Session(_) => Dialect::Session,
            Conversation::Datagram(correspondent) => Dialect::of_datagrams(correspondent.manner()),
        }
    }

    /// Whether a message ends when nothing has come for a while.
    pub fn ends_by_quiet(&self) -> bool {
        matches!(self, Conversation::LogIn(_) | Conversation::Nick(_) | Conversation::Session(_))
    }

    /// Looks for the next request at the beginning of `bytes`. How the bytes were split on their way, within the quiet
    /// time, changes nothing. With `Lull::None` the same bytes may be looked at again with more behind them.
    pub fn decode(&mut self, bytes: &[u8], lull: Lull) -> Step {
        match self {
            Conversation::Native => native::server::decode(bytes),
            Conversation::Post => request::server::decode(bytes, lull),
            Conversation::LogIn(log_in) => log_in.decode(bytes, lull),
            Conversation::Nick(member) => member.decode(bytes, lull),
            Conversation::Session(member) => member.decode(bytes, lull),
            Conversation::Datagram(_) => Step::Wait,
        }
    }

    /// Whether `decode` would do anything but wait, with more on its way.
    pub fn may_decode(&self, bytes: &[u8]) -> bool {
        let is_whole = match self {
            Conversation::Native | Conversation::Nick(_) => bytes.contains(&b'\n'),
            Conversation::Session(member) => member.may_decode(bytes),
            Conversation::Post | Conversation::LogIn(_) | Conversation::Datagram(_) => false,
        };
        is_whole || bytes.len() >= self.request_bytes_max()
    }

    /// How many bytes a request may have.
    pub fn request_bytes_max(&self) -> usize {
        match self {
            Conversation::Native => native::REQUEST_BYTES_MAX,
            Conversation::Post | Conversation::LogIn(_) => request::REQUEST_BYTES_MAX,
            Conversation::Nick(_) => nick::CHUNK_BYTES_MAX,
            Conversation::Session(_) => session::MESSAGE_BYTES_MAX,
            Conversation::Datagram(_) => super::literal::SOURCE_BYTES_MAX,
        }
    }

    /// Appends the answer to a request. Nothing, where the protocol has no word for it.
    pub fn encode_answer(&mut self, id: Option<RequestId>, answer: &Answer, out: &mut Pieces) {
        match self {
            Conversation::LogIn(log_in) => log_in.encode_answer(answer, out),
            Conversation::Session(member) => member.encode_answer(id, answer, out),
            Conversation::Datagram(correspondent) => correspondent.encode_answer(id, answer, out),
            Conversation::Native | Conversation::Post | Conversation::Nick(_) => {
                self.dialect().encode_answer(id, answer, out)
            }
        }
    }

    /// Appends why a connection ends before anybody has logged in on it.
    pub fn encode_farewell(&self, farewell: Farewell, out: &mut Pieces) {
        match self {
            Conversation::Native => native::server::encode_farewell(farewell, &mut out.bytes),
            // It does not read.
            Conversation::Post => {}
            Conversation::LogIn(_) => request::server::encode_farewell(farewell, out),
            Conversation::Nick(_) => nick::server::encode_farewell(farewell, out),
            Conversation::Session(_) => session::server::encode_farewell(farewell, out),
            Conversation::Datagram(found) => datagram::server::encode_farewell(farewell, found.manner(), out),
        }
    }

    /// What is written in this conversation's dialect is the same for all who are told it, and each has something of its own
    /// on top of that (`seal`).
    pub fn is_sealed(&self) -> bool {
        matches!(self, Conversation::Session(_) | Conversation::Datagram(_))
    }

    /// Appends a piece, or a chunk of pieces, as it travels on this connection.
    pub fn seal(&self, chunk: &[u8], out: &mut Vec<u8>) {
        match self {
            Conversation::Session(member) => member.seal(chunk, out),
            Conversation::Datagram(correspondent) => correspondent.seal(chunk, out),
            Conversation::Native | Conversation::Post | Conversation::LogIn(_) | Conversation::Nick(_) => {
                out.extend_from_slice(chunk);
            }
        }
    }

    /// The client is told this event, which was encoded for all who are. What comes from it may depend on that.
    pub fn told(&mut self, event: &Event) {
        if let Conversation::Session(member) = self {
            member.told(event);
        }
    }

    /// Where the client that logs in here wants to be called.
    pub fn listens_at(&self) -> Option<PeerPort> {
        match self {
            Conversation::LogIn(log_in) => log_in.listens_at(),
            Conversation::Native
            | Conversation::Post
            | Conversation::Nick(_)
            | Conversation::Session(_)
            | Conversation::Datagram(_) => None,
        }
    }
}

impl Dialect {
    /// All dialects, for tables that must be complete.
    pub const ALL: [Dialect; 8] = [
        Dialect::Native,
        Dialect::Delivery,
        Dialect::LogIn,
        Dialect::NickAscii,
        Dialect::Nick,
        Dialect::Session,
        Dialect::DatagramPlain,
        Dialect::DatagramUnicode,
    ];

    pub const fn of_datagrams(manner: Manner) -> Dialect {
        match manner {
            Manner::Plain => Dialect::DatagramPlain,
            Manner::Unicode => Dialect::DatagramUnicode,
        }
    }

    /// `None`: it is framed, so how it is cut into writes does not matter.
    pub const fn chunking(self) -> Option<Chunking> {
        match self {
            Dialect::Native => None,
            Dialect::Delivery => Some(Chunking { bytes_max: request::DELIVERY_BYTES_MAX, between: b"" }),
            // Each is answered before the next is written.
            Dialect::LogIn => Some(Chunking { bytes_max: 0, between: b"" }),
            Dialect::NickAscii | Dialect::Nick => Some(Chunking { bytes_max: nick::READ_BYTES_MAX, between: b"\n" }),
            // The cipher begins anew with each message, and a datagram is one.
            Dialect::Session | Dialect::DatagramPlain | Dialect::DatagramUnicode => {
                Some(Chunking { bytes_max: 0, between: b"" })
            }
        }
    }

    /// Appends the answer to a request. Nothing, where the protocol has no word for it.
    pub fn encode_answer(self, id: Option<RequestId>, answer: &Answer, out: &mut Pieces) {
        match self {
            Dialect::Native => native::server::encode_answer(id, answer, &mut out.bytes),
            Dialect::Delivery => request::server::encode_answer(id, answer, out),
            // What is answered here depends on how far the dialogue is: `Conversation::encode_answer`.
            Dialect::LogIn | Dialect::Session | Dialect::DatagramPlain | Dialect::DatagramUnicode => {}
            Dialect::NickAscii | Dialect::Nick => nick::server::encode_answer(answer, out),
        }
    }

    /// Appends an event. The bytes are the same for every recipient.
    pub fn encode_event(self, event: &Event, out: &mut Pieces) {
        match self {
            Dialect::Native => native::server::encode_event(event, &mut out.bytes),
            Dialect::Delivery => request::server::encode_event(event, out),
            Dialect::LogIn => {}
            Dialect::NickAscii => nick::server::encode_event(event, false, out),
            Dialect::Nick => nick::server::encode_event(event, true, out),
            Dialect::Session => session::server::encode_event(event, out),
            Dialect::DatagramPlain => datagram::server::encode_event(event, Manner::Plain, out),
            Dialect::DatagramUnicode => datagram::server::encode_event(event, Manner::Unicode, out),
        }
    }
}
