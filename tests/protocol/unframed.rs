//! A client of a protocol without framing, in virtual time: bytes come, and at times nothing comes for a while.

use chatd::hub::effect::{Answer, Event};
use chatd::wire::{Conversation, Dialect, Kind, Lull, Number, Pieces, Protocol, RequestId, Step};

/// One connection, and what has come of it that is no message yet.
pub struct Client {
    pub conversation: Conversation,
    inbound: Vec<u8>,
    pub is_over: bool,
}

impl Client {
    /// Whoever begins with these bytes, which are still to be heard.
    pub fn new(protocol: Protocol, first: &[u8], prompted: bool) -> Client {
        Client::of(Conversation::begin(protocol, first, prompted).expect("first bytes say this"))
    }

    /// Whoever is known before the first bytes.
    pub fn of(conversation: Conversation) -> Client {
        Client { conversation, inbound: Vec::new(), is_over: false }
    }

    /// Bytes come, and more may be on its way.
    pub fn come(&mut self, bytes: &[u8]) -> Vec<Step> {
        self.inbound.extend_from_slice(bytes);
        self.decode(Lull::None)
    }

    /// A chunk comes, and nothing behind it for the quiet time.
    pub fn say(&mut self, chunk: &[u8]) -> Vec<Step> {
        let mut steps = self.come(chunk);
        steps.extend(self.decode(Lull::Quiet));
        steps
    }

    /// The same for the last one, with which the client closes its side.
    pub fn say_and_close(&mut self, chunk: &[u8]) -> Vec<Step> {
        let mut steps = self.come(chunk);
        steps.extend(self.decode(Lull::Ended));
        steps
    }

    /// What is there is decoded as net does it, up to the end of the connection.
    pub fn decode(&mut self, lull: Lull) -> Vec<Step> {
        let mut steps = Vec::new();
        while !self.is_over {
            let (is_complete, is_empty) = (self.conversation.may_decode(&self.inbound), self.inbound.is_empty());
            let step = self.conversation.decode(&self.inbound, lull);
            let used = match &step {
                Step::Wait => {
                    assert!(lull == Lull::None && !is_complete || is_empty || self.is_post(), "{:?}", self.inbound);
                    return steps;
                }
                Step::Violation { .. } => {
                    self.is_over = true;
                    self.inbound.len()
                }
                Step::Request { used, .. } | Step::Posted { used, .. } => *used,
                Step::Heard { used, .. } | Step::Refused { used, .. } => *used,
            };
            assert!(is_complete || lull != Lull::None, "{:?}", self.inbound);
            assert!(used > 0 && used <= self.inbound.len(), "{used} of {} bytes", self.inbound.len());
            self.inbound.drain(..used);
            steps.push(step);
        }
        steps
    }

    /// What ends at the end of the stream only.
    fn is_post(&self) -> bool {
        matches!(self.conversation, Conversation::Post)
    }
}

/// A piece, to be compared.
pub type Piece = (String, Kind);

/// What the client compares whole.
pub fn control(word: impl Into<String>) -> Piece {
    (word.into(), Kind::Control)
}

/// What people read, and is no message.
pub fn line(text: impl Into<String>) -> Piece {
    (text.into(), Kind::Text { ends: None })
}

/// What ends the message with this number.
pub fn last(number: u64, text: impl Into<String>) -> Piece {
    (text.into(), Kind::Text { ends: Some(Number(number)) })
}

pub fn pieces(out: &Pieces) -> Vec<Piece> {
    let pieces: Vec<Piece> =
        out.iter().map(|(bytes, kind)| (String::from_utf8(bytes.to_vec()).expect("UTF-8"), kind)).collect();
    let bytes: usize = pieces.iter().map(|(text, _)| text.len()).sum();
    assert_eq!(bytes, out.bytes.len(), "the last piece ends");
    pieces
}

pub fn answered(dialect: Dialect, id: Option<RequestId>, answer: &Answer) -> Vec<Piece> {
    let mut out = Pieces::default();
    dialect.encode_answer(id, answer, &mut out);
    pieces(&out)
}

pub fn told(dialect: Dialect, event: &Event) -> Vec<Piece> {
    let mut out = Pieces::default();
    dialect.encode_event(event, &mut out);
    pieces(&out)
}
