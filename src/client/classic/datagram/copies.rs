//! What came more than once because an acknowledgement was lost.
//!
//! Nothing in a message tells it from another one with the same words; only when it comes does: copies come after pauses that
//! double. Whatever comes at another time is a message of its own: rather one too many than one too few.

use std::collections::VecDeque;
use std::time::Duration;

use crate::client::classic::Now;
use crate::client::classic::again::PAUSE_FIRST;

/// Messages whose copies are known.
const REMEMBERED_MAX: usize = 64;
/// How much sooner a copy may come, as a part of the pause before it,
const SOONER: u32 = 20;
/// and how much later.
const LATER: u32 = 4;

#[derive(Default)]
pub(super) struct Copies(VecDeque<Seen>);

struct Seen {
    datagram: Vec<u8>,
    at: Now,
    /// Until the next copy.
    pause: Duration,
}

impl Copies {
    /// Whether a message that comes now is a copy of one that was there.
    pub(super) fn is_copy(&mut self, now: Now, datagram: &[u8]) -> bool {
        let seen = self.0.iter().position(|seen| seen.datagram == datagram).and_then(|place| self.0.remove(place));
        let pause = seen.filter(|seen| seen.expects(now)).map(|seen| seen.pause * 2);
        if self.0.len() == REMEMBERED_MAX {
            self.0.pop_front();
        }
        self.0.push_back(Seen { datagram: datagram.to_vec(), at: now, pause: pause.unwrap_or(PAUSE_FIRST) });
        pause.is_some()
    }
}

impl Seen {
    fn expects(&self, now: Now) -> bool {
        let passed = now.saturating_sub(self.at);
        (self.pause - self.pause / SOONER..=self.pause + self.pause / LATER).contains(&passed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Now {
        Duration::from_millis(ms)
    }

    #[test]
    fn copies_come_in_their_time() {
        let mut copies = Copies::default();
        let told: Vec<bool> = [0, 500, 1510, 3700, 8200].map(|ms| copies.is_copy(at(ms), b"hi")).into();
        assert_eq!(told, [false, true, true, true, true]);
        assert!(!copies.is_copy(at(9000), b"hi"));
        assert!(!copies.is_copy(at(9500), b"ho"));
        assert!(copies.is_copy(at(9500), b"hi"), "the other one changes nothing");
        assert!(!copies.is_copy(at(10_000), b"hi"), "the next one is due after a second");
        assert!(!copies.is_copy(at(10_300), b"hi"));
    }

    #[test]
    fn so_many_are_remembered() {
        let mut copies = Copies::default();
        assert!(!copies.is_copy(at(0), b"first"));
        for number in 1..REMEMBERED_MAX {
            copies.is_copy(at(0), number.to_string().as_bytes());
        }
        assert!(copies.is_copy(at(500), b"first"));
        copies.is_copy(at(500), b"one more");
        assert!(!copies.is_copy(at(500), b"1"));
        assert_eq!(copies.0.len(), REMEMBERED_MAX);
    }
}
