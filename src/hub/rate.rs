//! How fast an account may send: a bucket of tokens each, for all its sessions together.
//!
//! A send takes a token; tokens come back evenly, and a bucket holds a burst of them. Integer arithmetic: what is missing
//! from a bucket is counted in millionths of a token, of which a rate of N a second brings back exactly N a microsecond.
//! An account has a bucket from a send on until it is full again. What a device has sent behind a send that was too fast
//! does not overtake it. Knows accounts and connections, not messages.

use std::collections::BTreeMap;
use std::time::Duration;

use super::effect::Refusal;
use super::id::{ConnectionId, UserId};
use super::time::Instant;

/// Messages a second, unless set.
pub const MESSAGES_PER_SECOND: u32 = 100;
/// The most that can be set.
pub const MESSAGES_PER_SECOND_MAX: u32 = 1_000_000;
/// So many seconds' worth can be sent at once.
pub const BURST_SECONDS: u32 = 10;

/// A token.
const TOKEN: u64 = 1_000_000;
/// An empty bucket is full again after this time, so that is how often full ones are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(BURST_SECONDS as u64);

#[derive(Debug)]
struct Bucket {
    /// So much is missing until it is full, in millionths of a token.
    missing: u64,
    /// When that was so.
    at: Instant,
}

/// The buckets of all accounts that send: at most one for each account that has sent within the last two sweeps.
#[derive(Debug)]
pub struct Rates {
    /// `None`: everybody sends as fast as they can.
    per_second: Option<u32>,
    buckets: BTreeMap<UserId, Bucket>,
    /// Of a connection: the counter that was too fast and has not come again.
    held: BTreeMap<ConnectionId, u64>,
    /// `None`: there are none.
    sweep_at: Option<Instant>,
}

impl Rates {
    pub fn new(messages_per_second: Option<u32>) -> Rates {
        let per_second = messages_per_second.map(|rate| rate.clamp(1, MESSAGES_PER_SECOND_MAX));
        Rates { per_second, buckets: BTreeMap::new(), held: BTreeMap::new(), sweep_at: None }
    }

    /// May this be sent now, with this counter of its device?
    pub(super) fn send(
        &mut self,
        user: UserId,
        connection: ConnectionId,
        counter: Option<u64>,
        now: Instant,
    ) -> Result<(), Refusal> {
        let held = self.held.get(&connection).copied();
        if let (Some(counter), Some(first)) = (counter, held)
            && counter > first
        {
            return Err(Refusal::OutOfTurn { first });
        }
        let taken = self.take(user, now);
        match (counter, &taken) {
            (Some(counter), Ok(())) if held == Some(counter) => _ = self.held.remove(&connection),
            (Some(_), Ok(())) => {}
            (Some(counter), Err(_)) => _ = self.held.insert(connection, counter),
            (None, _) => {}
        }
        taken.map_err(|retry_after| Refusal::TooFast { retry_after })
    }

    /// The session has ended.
    pub(super) fn forget_connection(&mut self, connection: ConnectionId) {
        self.held.remove(&connection);
    }

    /// Takes a token. If there is none: after which time there is one.
    fn take(&mut self, user: UserId, now: Instant) -> Result<(), Duration> {
        let Some(rate) = self.per_second.map(u64::from) else { return Ok(()) };
        let capacity = rate * u64::from(BURST_SECONDS) * TOKEN;
        let bucket = self.buckets.entry(user).or_insert(Bucket { missing: 0, at: now });
        bucket.refill(rate, now);
        if bucket.missing + TOKEN > capacity {
            let lacks = bucket.missing + TOKEN - capacity;
            return Err(Duration::from_micros(lacks.div_ceil(rate)));
        }
        bucket.missing += TOKEN;
        self.sweep_at.get_or_insert(now + SWEEP_EVERY);
        Ok(())
    }

    /// On how many connections a send was too fast and has not come again.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// When `sweep` has something to do.
    pub fn next_sweep(&self) -> Option<Instant> {
        self.sweep_at
    }

    /// Forgets the buckets that are full again.
    pub(super) fn sweep(&mut self, now: Instant) {
        let rate = self.per_second.map_or(0, u64::from);
        self.buckets.retain(|_, bucket| {
            bucket.refill(rate, now);
            bucket.missing > 0
        });
        self.sweep_at = (!self.buckets.is_empty()).then(|| now + SWEEP_EVERY);
    }
}

impl Bucket {
    fn refill(&mut self, rate: u64, now: Instant) {
        let micros = u64::try_from(now.since(self.at).as_micros()).unwrap_or(u64::MAX);
        self.missing = self.missing.saturating_sub(micros.saturating_mul(rate));
        self.at = self.at.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: UserId = UserId(1);
    const BOB: UserId = UserId(2);

    fn at(micros: u64) -> Instant {
        Instant::from_micros(micros)
    }

    /// Takes tokens until there are none. Comes back: how many, and when there is another.
    fn empty(rates: &mut Rates, user: UserId, now: Instant) -> (u32, Duration) {
        let mut taken = 0;
        loop {
            match rates.take(user, now) {
                Ok(()) => taken += 1,
                Err(wait) => return (taken, wait),
            }
        }
    }

    #[test]
    fn a_burst_and_then_the_rate_and_not_a_message_more() {
        for rate in [1, 3, 7, 100, MESSAGES_PER_SECOND_MAX] {
            let mut rates = Rates::new(Some(rate));
            let (burst, wait) = empty(&mut rates, ALICE, at(5));
            assert_eq!(
                (burst, wait),
                (BURST_SECONDS * rate, Duration::from_micros(u64::from(1_000_000_u32.div_ceil(rate))))
            );
            assert!(rates.take(ALICE, at(4) + wait).is_err(), "a microsecond early, at {rate} a second");
            // However the seconds are cut, they bring no more and no less.
            let mut sent = 0;
            for step in 1..=10 {
                sent += empty(&mut rates, ALICE, at(5 + step * 700_000)).0;
            }
            assert_eq!(sent, 7 * rate);
        }
    }

    #[test]
    fn a_bucket_is_full_after_ten_seconds_and_holds_no_more() {
        let mut rates = Rates::new(Some(100));
        assert_eq!(empty(&mut rates, ALICE, at(0)).0, 1000);
        assert_eq!(empty(&mut rates, ALICE, at(10_000_000)).0, 1000);
        assert_eq!(empty(&mut rates, ALICE, at(u64::MAX)).0, 1000);
    }

    #[test]
    fn each_account_has_its_own_and_off_is_off() {
        let mut rates = Rates::new(Some(1));
        assert_eq!(empty(&mut rates, ALICE, at(0)).0, 10);
        assert_eq!(empty(&mut rates, BOB, at(0)).0, 10);
        let mut off = Rates::new(None);
        assert!((0..10_000).all(|_| off.take(ALICE, at(0)).is_ok()));
        assert_eq!((off.buckets.len(), off.next_sweep()), (0, None));
    }

    #[test]
    fn a_bucket_is_kept_until_it_is_full_again() {
        let mut rates = Rates::new(Some(100));
        rates.take(ALICE, at(0)).unwrap();
        assert_eq!(rates.next_sweep(), Some(at(10_000_000)));
        assert_eq!(empty(&mut rates, BOB, at(9_000_000)).0, 1000);
        rates.sweep(at(10_000_000));
        assert_eq!((rates.buckets.len(), rates.next_sweep()), (1, Some(at(20_000_000))), "bob's is empty still");
        assert_eq!(empty(&mut rates, BOB, at(10_000_000)).0, 100);
        rates.sweep(at(20_000_000));
        assert_eq!((rates.buckets.len(), rates.next_sweep()), (0, None));
    }

    #[test]
    fn time_that_goes_back_brings_nothing() {
        let mut rates = Rates::new(Some(1));
        empty(&mut rates, ALICE, at(5_000_000));
        assert!(rates.take(ALICE, at(0)).is_err());
        assert!(rates.take(ALICE, at(5_999_999)).is_err());
        assert!(rates.take(ALICE, at(6_000_000)).is_ok());
    }
}
