//! When something that may be lost is sent again: after pauses that double.

use std::time::Duration;

use super::Now;
use crate::wire::PAUSE_BEFORE_COPY;

/// The longest.
const PAUSE_MAX: Duration = Duration::from_secs(8);

#[derive(Clone, Copy, Debug)]
pub(super) struct Again {
    at: Now,
    pause: Duration,
    times: u32,
}

impl Again {
    /// It is sent now, for the first time.
    pub(super) fn begin(now: Now) -> Again {
        Again { at: now + PAUSE_BEFORE_COPY, pause: PAUSE_BEFORE_COPY, times: 1 }
    }

    /// When the pause is over.
    pub(super) fn at(&self) -> Now {
        self.at
    }

    /// How often it was sent.
    pub(super) fn times(&self) -> u32 {
        self.times
    }

    /// Whether the pause is over. Then it is sent once more, and the next pause begins.
    pub(super) fn is_due(&mut self, now: Now) -> bool {
        let is_due = self.at <= now;
        if is_due {
            self.pause = (self.pause * 2).min(PAUSE_MAX);
            self.at = now + self.pause;
            self.times += 1;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let mut again = Again::begin(Duration::from_secs(1));
        let mut pauses = Vec::new();
        let mut now = Duration::from_secs(1);
        for _ in 0..6 {
            assert!(!again.is_due(again.at() - Duration::from_millis(1)));
            pauses.push((again.at() - now).as_millis());
            now = again.at();
            assert!(again.is_due(now));
        }
        assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 8000]);
        assert_eq!(again.times(), 7);
    }
}
