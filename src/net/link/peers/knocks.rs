//! How often strangers are told of: whoever knocks all the time must not be able to talk over everybody else.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Knocks that are told within
const TOLD_MAX: usize = 5;
/// this time. The others are counted.
const WINDOW: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(super) struct Knocks {
    told: VecDeque<Instant>,
    untold: u64,
}

impl Knocks {
    /// Somebody has knocked. Comes back, if that is to be told: how many knocks before it were not.
    pub(super) fn knock(&mut self, now: Instant) -> Option<u64> {
        while self.told.front().is_some_and(|told| *told + WINDOW <= now) {
            self.told.pop_front();
        }
        if self.told.len() >= TOLD_MAX {
            self.untold += 1;
            return None;
        }
        self.told.push_back(now);
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_are_told_and_the_others_are_counted() {
        let (mut knocks, start) = (Knocks::default(), Instant::now());
        let all: Vec<_> = (0..10).map(|_| knocks.knock(start)).collect();
        assert_eq!(all, [Some(0), Some(0), Some(0), Some(0), Some(0), None, None, None, None, None]);
        assert_eq!(knocks.knock(start + WINDOW - Duration::from_millis(1)), None);
        assert_eq!(knocks.knock(start + WINDOW), Some(6));
        assert_eq!(knocks.knock(start + WINDOW), Some(0));
    }
}
