//! What waits to be written to a connection. Each item may have to wait until its turn's changes are on disk, and the
//! queue drains only up to there: order is kept, and nothing leaves that is not true yet.
//!
//! Knows neither sockets nor protocols.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::hub::id::RequestId;

/// The number of a batch of changes. Zero: nothing to wait for.
pub type BatchNumber = u64;

/// What becomes of an item whose batch is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfLost {
    Send,
    Drop,
    /// In its place the asker gets a refusal.
    Refuse(Option<RequestId>),
}

/// A queue of bytes, some shared with other queues.
#[derive(Debug, Default)]
pub struct WriteQueue {
    items: VecDeque<Item>,
    /// How much of the first item is written.
    written: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Item {
    bytes: Arc<[u8]>,
    batch: BatchNumber,
    if_lost: IfLost,
}

/// Places that an empty queue keeps: the next message needs no allocation, and who is idle costs little.
const PLACES_KEPT: usize = 1;

impl WriteQueue {
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn push(&mut self, bytes: Arc<[u8]>, batch: BatchNumber, if_lost: IfLost) {
        if bytes.is_empty() {
            return;
        }
        self.bytes += bytes.len();
        self.items.push_back(Item { bytes, batch, if_lost });
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
        if self.items.capacity() > PLACES_KEPT {
            self.items.shrink_to(PLACES_KEPT);
        }
    }

    /// These batches are lost: what depended on them is taken back.
    pub fn lose(&mut self, batches: &RangeInclusive<BatchNumber>, refusal: impl Fn(Option<RequestId>) -> Arc<[u8]>) {
        for item in self.items.iter_mut().filter(|item| batches.contains(&item.batch)) {
            item.batch = 0;
            item.bytes = match item.if_lost {
                IfLost::Send => continue,
                IfLost::Drop => Arc::default(),
                IfLost::Refuse(id) => refusal(id),
            };
        }
        self.items.retain(|item| !item.bytes.is_empty());
        self.bytes = self.items.iter().map(|item| item.bytes.len()).sum::<usize>() - self.written;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(queue: &mut WriteQueue, text: &str, batch: BatchNumber, if_lost: IfLost) {
        queue.push(text.as_bytes().into(), batch, if_lost);
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
        queue.lose(&(2..=3), |id| format!("refused{}", id.unwrap().0).into_bytes().into());
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
}
