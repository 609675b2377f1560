//! What is to be written to clients that have no framing: pieces, each a message to its reader, with what may share a read.

use crate::hub::id::Number;

/// How a piece stands to its neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The client compares it whole: it travels alone.
    Control,
    /// Only people read it: it may share a chunk with others like it.
    Text {
        /// The message that has arrived when this has; `None`: it is no message, or not the last part of one.
        ends: Option<Number>,
    },
    /// The client says when it has come, and until then it is sent again. It travels alone.
    Acknowledged {
        /// As for a text.
        ends: Option<Number>,
    },
}

/// Some pieces, in order, in one buffer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pieces {
    pub bytes: Vec<u8>,
    /// Where each piece ends in `bytes`, and of which kind it is.
    ends: Vec<(usize, Kind)>,
}

impl Pieces {
    /// Everything that was appended to `bytes` since the last piece is one. No bytes are no piece.
    pub fn end(&mut self, kind: Kind) {
        if self.bytes.len() > self.ends.last().map_or(0, |&(end, _)| end) {
            self.ends.push((self.bytes.len(), kind));
        }
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The pieces, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Kind)> {
        let starts = std::iter::once(0).chain(self.ends.iter().map(|&(end, _)| end));
        starts.zip(&self.ends).map(|(start, &(end, kind))| (&self.bytes[start..end], kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_back_in_order_and_nothing_is_no_piece() {
        let mut pieces = Pieces::default();
        pieces.end(Kind::Control);
        pieces.bytes.extend_from_slice(b"one");
        pieces.end(Kind::Control);
        pieces.end(Kind::Control);
        pieces.bytes.extend_from_slice(b"two");
        let text = Kind::Text { ends: Some(Number(7)) };
        pieces.end(text);
        assert_eq!(pieces.iter().collect::<Vec<_>>(), [(&b"one"[..], Kind::Control), (b"two", text)]);
        pieces.clear();
        assert!(pieces.is_empty() && pieces.iter().next().is_none());
    }
}
