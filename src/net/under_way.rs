//! Messages that were written and may still be on their way: a client that does not say what it has shown is taken to have
//! what its system has acknowledged (protocols.md, "Common to all"). Knows no socket.

use std::collections::VecDeque;

use crate::hub::id::Number;

/// What is under way on one connection.
#[derive(Debug, Default)]
pub struct UnderWay {
    /// Bytes written so far, in all.
    written: u64,
    /// Messages that are not acknowledged, each with how many bytes were written when it was.
    messages: VecDeque<(u64, Number)>,
}

impl UnderWay {
    /// So many bytes were written; `ends`: the message that ends with them.
    pub fn wrote(&mut self, bytes: usize, ends: Option<Number>) {
        self.written += bytes as u64;
        self.messages.extend(ends.map(|number| (self.written, number)));
    }

    /// Of how many messages, or runs of them, it is not known whether they have arrived.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// All but the last `unacknowledged` bytes have arrived. Comes back: the highest number of a message that has with them.
    pub fn arrived(&mut self, unacknowledged: usize) -> Option<Number> {
        let arrived = self.written.saturating_sub(unacknowledged as u64);
        let mut highest = None;
        while let Some(&(end, number)) = self.messages.front() {
            if end > arrived {
                break;
            }
            self.messages.pop_front();
            highest = highest.max(Some(number));
        }
        highest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_arrived_when_all_of_it_has() {
        let mut under_way = UnderWay::default();
        under_way.wrote(10, None);
        assert!(under_way.is_empty());
        under_way.wrote(5, Some(Number(4)));
        under_way.wrote(5, Some(Number(7)));
        assert_eq!(under_way.arrived(6), None);
        assert_eq!(under_way.arrived(5), Some(Number(4)));
        assert_eq!(under_way.arrived(5), None);
        under_way.wrote(5, Some(Number(9)));
        assert_eq!(under_way.arrived(0), Some(Number(9)));
        assert!(under_way.is_empty());
    }
}
