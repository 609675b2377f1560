//! How often whoever has proved nothing is answered by datagrams: the address may be another's, who would get the answers
//! (RFC 4732, section 3.1). Knows no socket and no clock.
//!
//! Each source has tokens, one for each answer; they come back with time. A source is known by when all of its tokens are
//! back, and forgotten then.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use crate::hub::id::Source;
use crate::hub::time::Instant;

/// Sources that have not all of their tokens. The others share those of one, while there are so many.
pub const SOURCES_MAX: usize = 4096;

/// How often a source is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// So often at once,
    pub at_once: u32,
    /// and so often in a second.
    pub a_second: u32,
}

/// The sources that were answered lately.
#[derive(Debug)]
pub struct Reflection {
    /// A token comes back after so long.
    every: Duration,
    /// All of them do.
    all_within: Duration,
    full_at: HashMap<Source, Instant>,
    by_time: BTreeSet<(Instant, Source)>,
    /// When those have all of their tokens for whom there is no room.
    others_full_at: Instant,
}

impl Reflection {
    pub fn new(Allowance { at_once, a_second }: Allowance) -> Reflection {
        let every = Duration::from_secs(1) / a_second.max(1);
        Reflection {
            every,
            all_within: every * at_once,
            full_at: HashMap::new(),
            by_time: BTreeSet::new(),
            others_full_at: Instant::default(),
        }
    }

    /// Sources that are remembered.
    pub fn len(&self) -> usize {
        self.full_at.len()
    }

    pub fn is_empty(&self) -> bool {
        self.full_at.is_empty()
    }

    /// Whether a source is answered now; that takes a token.
    pub fn allows(&mut self, now: Instant, source: Source) -> bool {
        self.forget(now);
        let known = self.full_at.get(&source).copied();
        let is_other = known.is_none() && self.full_at.len() >= SOURCES_MAX;
        let full_at = if is_other { self.others_full_at } else { known.unwrap_or(now) };
        let next_full_at = full_at.max(now) + self.every;
        if next_full_at > now + self.all_within {
            return false;
        }
        if is_other {
            self.others_full_at = next_full_at;
            return true;
        }
        if let Some(known) = known {
            self.by_time.remove(&(known, source));
        }
        self.full_at.insert(source, next_full_at);
        self.by_time.insert((next_full_at, source));
        true
    }

    /// Whoever has all of their tokens is like somebody who was never answered.
    fn forget(&mut self, now: Instant) {
        while let Some(&(at, source)) = self.by_time.first()
            && at <= now
        {
            self.by_time.pop_first();
            self.full_at.remove(&source);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    const FOUR: Allowance = Allowance { at_once: 4, a_second: 2 };

    fn at(millis: u64) -> Instant {
        Instant::from_micros(1_000_000 + millis * 1000)
    }

    fn source(number: u32) -> Source {
        Source::of(IpAddr::V4(Ipv4Addr::from(number)))
    }

    /// How often a source is answered that asks so often.
    fn answered(reflection: &mut Reflection, now: Instant, source: Source, asks: usize) -> usize {
        (0..asks).filter(|_| reflection.allows(now, source)).count()
    }

    #[test]
    fn a_source_is_answered_some_times_at_once_and_then_at_a_rate() {
        let mut reflection = Reflection::new(FOUR);
        assert_eq!(answered(&mut reflection, at(0), source(1), 100), 4);
        assert_eq!(answered(&mut reflection, at(499), source(1), 100), 0);
        assert_eq!(answered(&mut reflection, at(500), source(1), 100), 1);
        assert_eq!(answered(&mut reflection, at(500), source(2), 100), 4, "another has its own");
        assert_eq!(answered(&mut reflection, at(1500), source(1), 100), 2);
        assert_eq!(answered(&mut reflection, at(100_000), source(1), 100), 4, "more are not saved");
    }

    #[test]
    fn who_has_all_tokens_again_is_forgotten() {
        let mut reflection = Reflection::new(FOUR);
        assert!(reflection.allows(at(0), source(1)) && reflection.allows(at(400), source(2)));
        assert!(reflection.allows(at(500), source(3)));
        assert_eq!(reflection.len(), 2, "the first one is");
        assert_eq!(reflection.by_time.len(), 2);
    }

    #[test]
    fn with_too_many_sources_the_others_share_the_tokens_of_one() {
        let mut reflection = Reflection::new(FOUR);
        for number in 0..SOURCES_MAX as u32 {
            assert!(reflection.allows(at(0), source(number)));
        }
        let others = (0..100).filter(|&number| reflection.allows(at(0), source(1_000_000 + number))).count();
        assert_eq!((others, reflection.len()), (4, SOURCES_MAX));
        assert!(reflection.allows(at(0), source(7)), "whoever is known keeps theirs");
        assert_eq!(answered(&mut reflection, at(1000), source(1_000_000), 100), 4, "there is room again");
    }
}
