//! What waits to be written to a connection. Each item may have to wait until its turn's changes are on disk, and the
//! queue drains only up to there: order is kept, and nothing leaves that is not true yet.
//!
//! Where a protocol is framed, bytes are written as they come (`writable`, `advance`). Where it is not, an item is a piece,
//! and what one write brings is a chunk (`chunk`, `wrote`), which stays in the queue until it is written to its end.
//!
//! Knows neither sockets nor protocols.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::hub::id::{Number, RequestId};
use crate::wire::{Chunking, Kind, Pieces};

/// The number of a batch of changes. Zero: nothing to wait for.
pub type BatchNumber = u64;

/// Pieces that a chunk has at most: with what stands between them they fit into one write.
const CHUNK_PIECES_MAX: usize = 32;

/// What becomes of an item whose batch is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfLost {
    Send,
    Drop,
    /// In its place the asker gets a refusal.
    Refuse(Option<RequestId>),
}

/// What something comes to in the words of a protocol, to be shared among queues.
#[derive(Clone, Debug)]
pub enum Encoded {
    /// It is framed.
    Whole(Arc<[u8]>),
    Pieces(Arc<[Piece]>),
}

/// A message to its reader.
#[derive(Clone, Debug)]
pub struct Piece {
    bytes: Arc<[u8]>,
    kind: Kind,
}

impl Encoded {
    /// `chunking`: that of the dialect.
    pub fn of(pieces: &Pieces, chunking: Option<Chunking>) -> Encoded {
        match chunking {
            None => Encoded::Whole(pieces.bytes.as_slice().into()),
            Some(chunking) => Encoded::Pieces(join(pieces, chunking).collect()),
        }
    }

    /// Something that is said alone, whatever the dialect is.
    pub fn alone(bytes: Vec<u8>) -> Encoded {
        Encoded::Whole(bytes.into())
    }

    pub fn bytes(&self) -> usize {
        match self {
            Encoded::Whole(bytes) => bytes.len(),
            Encoded::Pieces(pieces) => pieces.iter().map(|piece| piece.bytes.len()).sum(),
        }
    }
}

/// Texts that fit into one chunk become one piece: what is said at once takes one place in each queue.
fn join(pieces: &Pieces, chunking: Chunking) -> impl Iterator<Item = Piece> {
    let mut joined: Vec<(Vec<u8>, Kind)> = Vec::new();
    for (bytes, kind) in pieces.iter() {
        match (joined.last_mut(), kind) {
            (Some((text, Kind::Text { ends: before })), Kind::Text { ends })
                if text.len() + chunking.between.len() + bytes.len() <= chunking.bytes_max =>
            {
                text.extend_from_slice(chunking.between);
                text.extend_from_slice(bytes);
                *before = ends.max(*before);
            }
            _ => joined.push((bytes.to_vec(), kind)),
        }
    }
    joined.into_iter().map(|(bytes, kind)| Piece { bytes: bytes.into(), kind })
}

/// A queue of bytes, some shared with other queues.
#[derive(Debug, Default)]
pub struct WriteQueue {
    items: VecDeque<Item>,
    /// How much of the first item is written, or of the chunk that is begun.
    written: usize,
    /// So many pieces are the chunk that is begun; zero: none is.
    begun: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Item {
    bytes: Arc<[u8]>,
    /// How it stands to its neighbours, where the protocol is not framed.
    kind: Kind,
    batch: BatchNumber,
    if_lost: IfLost,
}

/// Places that an empty queue keeps: the next message needs no allocation, and who is idle costs little.
const PLACES_KEPT: usize = 1;

impl WriteQueue {
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Bytes that wait. Those of a chunk wait until all of it is written.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn push(&mut self, encoded: Encoded, batch: BatchNumber, if_lost: IfLost) {
        match encoded {
            Encoded::Whole(bytes) => self.push_item(Item { bytes, kind: Kind::Control, batch, if_lost }),
            Encoded::Pieces(pieces) => {
                // One refusal takes the place of all.
                let fates = std::iter::once(if_lost).chain(std::iter::repeat(match if_lost {
                    IfLost::Refuse(_) => IfLost::Drop,
                    other => other,
                }));
                for (Piece { bytes, kind }, if_lost) in pieces.iter().cloned().zip(fates) {
                    self.push_item(Item { bytes, kind, batch, if_lost });
                }
            }
        }
    }

    fn push_item(&mut self, item: Item) {
        if item.bytes.is_empty() {
            return;
        }
        self.bytes += item.bytes.len();
        self.items.push_back(item);
    }

    /// The pieces that may be written now, in order.
    pub fn writable(&self, persisted: BatchNumber) -> impl Iterator<Item = &[u8]> {
        let skip = self.written;
        self.items
            .iter()
            .take_while(move |item| item.batch <= persisted)
            .enumerate()
            .map(move |(index, item)| if index == 0 { &item.bytes[skip..] } else { &item.bytes[..] })
    }

    /// The batch that the first item waits for, if it does.
    pub fn waits_for(&self, persisted: BatchNumber) -> Option<BatchNumber> {
        self.items.front().map(|item| item.batch).filter(|&batch| batch > persisted)
    }

    /// Whether anything may be written now.
    pub fn may_leave(&self, persisted: BatchNumber) -> bool {
        self.items.front().is_some_and(|item| item.batch <= persisted)
    }

    /// So many bytes were written.
    pub fn advance(&mut self, mut bytes: usize) {
        self.bytes -= bytes;
        while let Some(first) = self.items.front() {
            let rest = first.bytes.len() - self.written;
            if bytes < rest {
                self.written += bytes;
                return;
            }
            bytes -= rest;
            self.written = 0;
            self.items.pop_front();
        }
        self.keep_little();
    }

    fn keep_little(&mut self) {
        if self.items.capacity() > PLACES_KEPT {
            self.items.shrink_to(PLACES_KEPT);
        }
    }

    /// The first piece, if it may leave, and how it stands to its neighbours: for who sends it whole.
    pub fn first(&self, persisted: BatchNumber) -> Option<(&Arc<[u8]>, Kind)> {
        self.items.front().filter(|item| item.batch <= persisted).map(|item| (&item.bytes, item.kind))
    }

    /// It has left, whole.
    pub fn remove_first(&mut self) {
        let Some(first) = self.items.pop_front() else { return };
        self.bytes -= first.bytes.len();
        self.keep_little();
    }

    /// The chunk that is begun, or the next one, all of it, and how much of it is written. For who changes a piece as a
    /// whole; no two share a chunk there.
    pub fn whole_chunk(&mut self, persisted: BatchNumber, chunking: Chunking) -> Option<(&[u8], usize)> {
        if self.begun == 0 {
            self.begun = self.next_chunk(persisted, chunking);
        }
        debug_assert!(self.begun <= 1, "pieces share a chunk");
        let first = self.items.front().filter(|_| self.begun > 0)?;
        Some((&first.bytes, self.written))
    }

    /// What is left to be written of the chunk that is begun; if none is, the next one begins. Nothing: nothing may leave.
    pub fn chunk(&mut self, persisted: BatchNumber, chunking: Chunking) -> impl Iterator<Item = &[u8]> {
        if self.begun == 0 {
            self.begun = self.next_chunk(persisted, chunking);
        }
        let mut skip = self.written;
        let pieces = self.items.iter().take(self.begun).enumerate().flat_map(move |(index, item)| {
            let between = if index == 0 { &[] } else { chunking.between };
            [between, &item.bytes]
        });
        pieces.filter_map(move |bytes| {
            let (written, left) = bytes.split_at(skip.min(bytes.len()));
            skip -= written.len();
            (!left.is_empty()).then_some(left)
        })
    }

    /// Of how many pieces the next chunk is.
    fn next_chunk(&self, persisted: BatchNumber, chunking: Chunking) -> usize {
        let mut pieces = 0;
        let mut bytes = 0;
        for item in self.items.iter().take(CHUNK_PIECES_MAX).take_while(|item| item.batch <= persisted) {
            bytes += item.bytes.len() + if pieces == 0 { 0 } else { chunking.between.len() };
            let is_alone = !matches!(item.kind, Kind::Text { .. });
            if pieces > 0 && (is_alone || bytes > chunking.bytes_max) {
                break;
            }
            pieces += 1;
            if is_alone {
                break;
            }
        }
        pieces
    }

    /// So many bytes of the chunk that is begun were written.
    pub fn wrote(&mut self, bytes: usize) {
        self.written += bytes;
    }

    /// The chunk that is begun has arrived where it had to, and leaves the queue. Comes back: the highest number of a message
    /// that ends in it.
    pub fn finish_chunk(&mut self) -> Option<Number> {
        let finished = self.items.drain(..self.begun);
        let (mut bytes, mut number) = (0, None);
        for item in finished {
            bytes += item.bytes.len();
            if let Kind::Text { ends } | Kind::Acknowledged { ends } = item.kind {
                number = number.max(ends);
            }
        }
        self.bytes -= bytes;
        (self.begun, self.written) = (0, 0);
        if self.items.is_empty() {
            self.keep_little();
        }
        number
    }

    /// The chunk that is begun has not arrived: another begins in its place.
    pub fn abandon_chunk(&mut self) {
        (self.begun, self.written) = (0, 0);
    }

    /// The connection ends: messages, which come again at another log-in, are let go, with all texts before them; what is
    /// begun stays, and so do words that tell of the end.
    pub fn let_messages_go(&mut self) {
        let is_message = |item: &Item| matches!(item.kind, Kind::Text { ends: Some(_) } | Kind::Acknowledged { .. });
        let Some(last) = self.items.iter().rposition(is_message) else { return };
        let begun = self.begun;
        let mut index = 0;
        self.items.retain(|item| {
            let stays = index < begun || index > last || item.kind == Kind::Control;
            index += 1;
            stays
        });
        self.count_bytes();
    }

    /// These batches are lost: what depended on them is taken back.
    pub fn lose(
        &mut self,
        batches: &RangeInclusive<BatchNumber>,
        mut refusal: impl FnMut(Option<RequestId>) -> Encoded,
    ) {
        if !self.items.iter().any(|item| batches.contains(&item.batch)) {
            return;
        }
        for item in std::mem::take(&mut self.items) {
            match item.if_lost {
                _ if !batches.contains(&item.batch) => self.items.push_back(item),
                IfLost::Send => self.items.push_back(Item { batch: 0, ..item }),
                IfLost::Drop => {}
                IfLost::Refuse(id) => self.push(refusal(id), 0, IfLost::Send),
            }
        }
        self.count_bytes();
    }

    fn count_bytes(&mut self) {
        let written = if self.begun == 0 { self.written } else { 0 };
        self.bytes = self.items.iter().map(|item| item.bytes.len()).sum::<usize>() - written;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(queue: &mut WriteQueue, text: &str, batch: BatchNumber, if_lost: IfLost) {
        queue.push(Encoded::alone(text.as_bytes().to_vec()), batch, if_lost);
    }

    fn writable(queue: &WriteQueue, persisted: BatchNumber) -> String {
        queue.writable(persisted).map(|piece| std::str::from_utf8(piece).unwrap()).collect()
    }

    #[test]
    fn it_drains_in_order_and_only_up_to_what_is_persisted() {
        let mut queue = WriteQueue::default();
        push(&mut queue, "a", 0, IfLost::Send);
        push(&mut queue, "b", 2, IfLost::Drop);
        push(&mut queue, "c", 0, IfLost::Send);
        push(&mut queue, "d", 3, IfLost::Drop);
        assert_eq!(writable(&queue, 1), "a");
        assert_eq!(queue.waits_for(1), None);
        queue.advance(1);
        assert_eq!(queue.waits_for(1), Some(2));
        assert_eq!(writable(&queue, 1), "");
        assert_eq!(writable(&queue, 2), "bc");
        assert_eq!(writable(&queue, 3), "bcd");
        queue.advance(3);
        assert!(queue.is_empty() && queue.bytes() == 0);
    }

    #[test]
    fn a_write_may_end_anywhere() {
        let mut queue = WriteQueue::default();
        push(&mut queue, "abc", 0, IfLost::Send);
        push(&mut queue, "def", 0, IfLost::Send);
        queue.advance(2);
        assert_eq!((writable(&queue, 0).as_str(), queue.bytes()), ("cdef", 4));
        queue.advance(3);
        assert_eq!((writable(&queue, 0).as_str(), queue.bytes()), ("f", 1));
        queue.advance(1);
        assert!(queue.is_empty());
    }

    #[test]
    fn what_is_lost_is_dropped_refused_or_sent_all_the_same() {
        let mut queue = WriteQueue::default();
        push(&mut queue, "kept", 1, IfLost::Drop);
        push(&mut queue, "note", 2, IfLost::Send);
        push(&mut queue, "message", 2, IfLost::Drop);
        push(&mut queue, "accepted", 3, IfLost::Refuse(Some(RequestId(7))));
        push(&mut queue, "later", 4, IfLost::Drop);
        queue.lose(&(2..=3), |id| Encoded::alone(format!("refused{}", id.unwrap().0).into_bytes()));
        assert_eq!(writable(&queue, 1), "keptnoterefused7");
        assert_eq!(writable(&queue, 4), "keptnoterefused7later");
        assert_eq!(queue.bytes(), "keptnoterefused7later".len());
    }

    #[test]
    fn an_empty_queue_keeps_little() {
        let mut queue = WriteQueue::default();
        (0..100).for_each(|_| push(&mut queue, "x", 0, IfLost::Send));
        queue.advance(100);
        assert_eq!(queue.items.capacity(), PLACES_KEPT);
    }

    const CHUNKING: Chunking = Chunking { bytes_max: 8, between: b"\n" };
    const CONTROL: Kind = Kind::Control;
    const TEXT: Kind = Kind::Text { ends: None };

    fn message(number: u64) -> Kind {
        Kind::Text { ends: Some(Number(number)) }
    }

    fn say(queue: &mut WriteQueue, text: &str, kind: Kind, batch: BatchNumber, if_lost: IfLost) {
        let mut pieces = Pieces::default();
        pieces.bytes.extend_from_slice(text.as_bytes());
        pieces.end(kind);
        queue.push(Encoded::of(&pieces, Some(CHUNKING)), batch, if_lost);
    }

    fn of(pieces: &[(&str, Kind)]) -> WriteQueue {
        let mut queue = WriteQueue::default();
        pieces.iter().for_each(|&(text, kind)| say(&mut queue, text, kind, 0, IfLost::Drop));
        queue
    }

    fn chunk(queue: &mut WriteQueue, persisted: BatchNumber) -> String {
        queue.chunk(persisted, CHUNKING).map(|bytes| std::str::from_utf8(bytes).unwrap()).collect()
    }

    /// All chunks, each with the number that ends in it.
    fn chunks(mut queue: WriteQueue) -> Vec<(String, Option<u64>)> {
        let mut all = Vec::new();
        while !queue.is_empty() {
            let text = chunk(&mut queue, 0);
            queue.wrote(text.len());
            assert_eq!(chunk(&mut queue, 0), "");
            all.push((text, queue.finish_chunk().map(|number| number.0)));
        }
        assert_eq!(queue.bytes(), 0);
        all
    }

    #[test]
    fn texts_share_a_chunk_and_a_word_is_alone() {
        let queue = of(&[("ab", TEXT), ("cd", message(1)), ("e", message(2)), ("f", CONTROL), ("g", CONTROL)]);
        let expected = [("ab\ncd\ne", Some(2)), ("f", None), ("g", None)];
        assert_eq!(chunks(queue), expected.map(|(text, number)| (text.to_owned(), number)));
        let queue = of(&[("abc", message(7)), ("word", CONTROL), ("def", TEXT), ("ghij", TEXT), ("k", TEXT)]);
        let expected = [("abc", Some(7)), ("word", None), ("def\nghij", None), ("k", None)];
        assert_eq!(chunks(queue), expected.map(|(text, number)| (text.to_owned(), number)));
        let queue = of(&[("longer than a chunk", TEXT), ("a", TEXT)]);
        assert_eq!(chunks(queue).len(), 2, "one piece is never split");
    }

    #[test]
    fn texts_that_are_said_at_once_are_one_piece_up_to_a_chunk() {
        let mut pieces = Pieces::default();
        for (text, kind) in [("a", message(1)), ("b", message(2)), ("c", TEXT), ("word", CONTROL), ("d", TEXT)] {
            pieces.bytes.extend_from_slice(text.as_bytes());
            pieces.end(kind);
        }
        let Encoded::Pieces(joined) = Encoded::of(&pieces, Some(CHUNKING)) else { panic!("it is not framed") };
        let joined: Vec<(&[u8], Kind)> = joined.iter().map(|piece| (&piece.bytes[..], piece.kind)).collect();
        assert_eq!(joined, [(&b"a\nb\nc"[..], message(2)), (b"word", CONTROL), (b"d", TEXT)]);
        let mut long = Pieces::default();
        for _ in 0..2 {
            long.bytes.extend(vec![b'x'; CHUNKING.bytes_max / 2 + 1]);
            long.end(TEXT);
        }
        let Encoded::Pieces(apart) = Encoded::of(&long, Some(CHUNKING)) else { panic!("it is not framed") };
        assert_eq!(apart.len(), 2, "they are read one after the other");
    }

    #[test]
    fn a_chunk_that_is_begun_stays_what_it_is() {
        let mut queue = of(&[("ab", TEXT), ("cd", message(3))]);
        assert_eq!(chunk(&mut queue, 0), "ab\ncd");
        queue.wrote(3);
        say(&mut queue, "e", message(4), 0, IfLost::Drop);
        assert_eq!((chunk(&mut queue, 0).as_str(), queue.bytes()), ("cd", 5));
        queue.wrote(1);
        assert_eq!(chunk(&mut queue, 0), "d");
        queue.wrote(1);
        assert_eq!((queue.finish_chunk(), queue.bytes()), (Some(Number(3)), 1));
        assert_eq!(chunk(&mut queue, 0), "e");
        queue.abandon_chunk();
        say(&mut queue, "f", TEXT, 0, IfLost::Drop);
        assert_eq!(chunk(&mut queue, 0), "e\nf", "what was abandoned begins anew");
    }

    #[test]
    fn a_piece_that_is_changed_as_a_whole_is_had_whole_until_all_of_it_is_written() {
        const ALONE: Chunking = Chunking { bytes_max: 0, between: b"" };
        let mut queue = of(&[("abc", message(1)), ("de", message(2))]);
        say(&mut queue, "f", message(3), 2, IfLost::Drop);
        assert_eq!(queue.whole_chunk(0, ALONE), Some((&b"abc"[..], 0)));
        queue.wrote(2);
        assert_eq!(queue.whole_chunk(0, ALONE), Some((&b"abc"[..], 2)));
        queue.wrote(1);
        assert_eq!(queue.finish_chunk(), Some(Number(1)));
        assert_eq!(queue.whole_chunk(0, ALONE), Some((&b"de"[..], 0)));
        queue.wrote(2);
        queue.finish_chunk();
        assert_eq!(queue.whole_chunk(1, ALONE), None);
        assert_eq!(queue.bytes(), 1);
    }

    #[test]
    fn a_piece_that_is_sent_whole_leaves_in_its_turn() {
        let acknowledged = Kind::Acknowledged { ends: Some(Number(7)) };
        let mut queue = of(&[("a", CONTROL), ("bc", acknowledged)]);
        say(&mut queue, "d", CONTROL, 2, IfLost::Drop);
        let first = |queue: &WriteQueue, persisted| queue.first(persisted).map(|(bytes, kind)| (bytes.to_vec(), kind));
        assert_eq!(first(&queue, 1), Some((b"a".to_vec(), CONTROL)));
        queue.remove_first();
        assert_eq!(first(&queue, 1), Some((b"bc".to_vec(), acknowledged)));
        queue.let_messages_go();
        assert_eq!((first(&queue, 1), queue.bytes()), (None, 1));
        assert_eq!(first(&queue, 2), Some((b"d".to_vec(), CONTROL)));
    }

    #[test]
    fn a_chunk_has_what_is_persisted() {
        let mut queue = of(&[("a", TEXT)]);
        say(&mut queue, "b", message(1), 2, IfLost::Drop);
        assert_eq!(chunk(&mut queue, 1), "a");
        queue.wrote(1);
        queue.finish_chunk();
        assert_eq!((chunk(&mut queue, 1).as_str(), queue.waits_for(1)), ("", Some(2)));
        assert_eq!(chunk(&mut queue, 2), "b");
    }

    #[test]
    fn pieces_are_lost_together_and_one_refusal_stands_for_them() {
        let mut queue = of(&[("ab", TEXT)]);
        assert_eq!(chunk(&mut queue, 0), "ab");
        queue.wrote(1);
        let mut pieces = Pieces::default();
        for (part, kind) in [("one", TEXT), ("two", CONTROL)] {
            pieces.bytes.extend_from_slice(part.as_bytes());
            pieces.end(kind);
        }
        let encoded = Encoded::of(&pieces, Some(CHUNKING));
        assert_eq!(encoded.bytes(), 6);
        queue.push(encoded.clone(), 2, IfLost::Refuse(None));
        queue.push(encoded, 2, IfLost::Drop);
        queue.lose(&(2..=2), |_| Encoded::alone(b"no".to_vec()));
        assert_eq!((chunk(&mut queue, 0).as_str(), queue.bytes()), ("b", 4));
        queue.wrote(1);
        queue.finish_chunk();
        assert_eq!(chunk(&mut queue, 0), "no");
    }

    #[test]
    fn at_the_end_messages_are_let_go_and_words_are_not() {
        let pieces = [
            ("begun", message(1)),
            ("part", TEXT),
            ("note", CONTROL),
            ("message", message(2)),
            ("why", TEXT),
            ("shutdown", CONTROL),
        ];
        let mut queue = of(&pieces);
        assert_eq!(chunk(&mut queue, 0), "begun");
        queue.let_messages_go();
        let left = chunks(queue).into_iter().map(|(text, _)| text).collect::<Vec<_>>();
        assert_eq!(left, ["begun", "note", "why", "shutdown"]);
        let mut queue = of(&pieces);
        queue.let_messages_go();
        assert_eq!((queue.bytes(), chunk(&mut queue, 0).as_str()), (15, "note"));
        let mut queue = of(&[("only", TEXT), ("words", CONTROL)]);
        queue.let_messages_go();
        assert_eq!(queue.bytes(), 9);
    }
}
