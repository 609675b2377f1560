//! Answers to datagrams of whoever has no session, until what they say is on disk. Knows neither sockets nor protocols.
//!
//! What always holds: to one address they leave in order.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use super::queue::{BatchNumber, IfLost};
use crate::hub::id::Endpoint;

/// That wait. With more the newest is not given: who hears nothing asks again.
pub const REPLIES_MAX: usize = 1024;

/// One of them.
#[derive(Debug)]
pub struct Reply {
    pub to: Endpoint,
    pub datagram: Vec<u8>,
    batch: BatchNumber,
    if_lost: IfLost,
}

/// Those that were not sent.
#[derive(Debug, Default)]
pub struct Replies(VecDeque<Reply>);

impl Replies {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One more. It waits for its batch, and for those before it to the same address. False: there are too many.
    pub fn push(&mut self, to: Endpoint, datagram: Vec<u8>, batch: BatchNumber, if_lost: IfLost) -> bool {
        if self.0.len() >= REPLIES_MAX {
            return false;
        }
        let before = self.0.iter().rfind(|earlier| earlier.to == to).map_or(0, |earlier| earlier.batch);
        self.0.push_back(Reply { to, datagram, batch: batch.max(before), if_lost });
        true
    }

    /// Hands those that may leave to `send`, which says whether the socket has taken it; one that takes nothing is not tried
    /// again by that. What it has not taken stays. Comes back: whether any has left.
    pub fn send(&mut self, persisted: BatchNumber, mut send: impl FnMut(&Reply) -> bool) -> bool {
        let before = self.0.len();
        self.0.retain(|reply| reply.batch > persisted || !send(reply));
        self.0.len() < before
    }

    /// Whether one of them may leave, by a socket that takes something.
    pub fn may_leave(&self, persisted: BatchNumber, takes: impl Fn(u16) -> bool) -> bool {
        self.0.iter().any(|reply| reply.batch <= persisted && takes(reply.to.socket))
    }

    /// These batches are lost: what would be a lie now is not sent, and is asked for again.
    pub fn lose(&mut self, batches: &RangeInclusive<BatchNumber>) {
        self.0.retain(|reply| reply.if_lost == IfLost::Send || !batches.contains(&reply.batch));
        for reply in &mut self.0 {
            if batches.contains(&reply.batch) {
                reply.batch = 0;
            }
        }
    }

    /// Nobody waits for them any more.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(port: u16) -> Endpoint {
        Endpoint { socket: 0, address: ([127, 0, 0, 1], port).into() }
    }

    fn push(replies: &mut Replies, port: u16, text: &str, batch: BatchNumber, if_lost: IfLost) {
        assert!(replies.push(endpoint(port), text.as_bytes().to_vec(), batch, if_lost));
    }

    /// What leaves, where the sockets take everything but `refused`.
    fn sent(replies: &mut Replies, persisted: BatchNumber, refused: &str) -> String {
        let mut sent = String::new();
        replies.send(persisted, |reply| {
            let text = std::str::from_utf8(&reply.datagram).unwrap();
            if text != refused {
                sent.push_str(text);
            }
            text != refused
        });
        sent
    }

    #[test]
    fn each_waits_for_its_batch_and_for_those_before_it_to_the_same_address() {
        let mut replies = Replies::default();
        for (port, text, batch) in [(1, "a", 2), (1, "b", 0), (2, "c", 0), (3, "d", 1), (3, "e", 0)] {
            push(&mut replies, port, text, batch, IfLost::Send);
        }
        assert!(replies.may_leave(0, |_| true) && !replies.may_leave(0, |_| false));
        assert_eq!(sent(&mut replies, 0, ""), "c");
        assert!(!replies.may_leave(0, |_| true));
        assert_eq!(sent(&mut replies, 1, "d"), "e", "the socket takes all or nothing");
        assert_eq!(sent(&mut replies, 1, ""), "d");
        assert_eq!(sent(&mut replies, 2, ""), "ab");
        assert!(replies.is_empty());
    }

    #[test]
    fn what_would_be_a_lie_is_not_sent() {
        let mut replies = Replies::default();
        push(&mut replies, 1, "kept", 1, IfLost::Drop);
        push(&mut replies, 2, "lie", 2, IfLost::Drop);
        push(&mut replies, 3, "refused", 2, IfLost::Refuse(None));
        push(&mut replies, 4, "true", 3, IfLost::Send);
        replies.lose(&(2..=3));
        assert_eq!(sent(&mut replies, 1, ""), "kepttrue");
        assert!(replies.is_empty());
    }

    #[test]
    fn there_are_so_many_at_most() {
        let mut replies = Replies::default();
        (0..REPLIES_MAX).for_each(|_| push(&mut replies, 1, "x", 1, IfLost::Send));
        assert!(!replies.push(endpoint(2), vec![0], 0, IfLost::Send));
        assert_eq!(replies.len(), REPLIES_MAX);
    }
}
