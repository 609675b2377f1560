//! What each device has sent: so that what travels twice is answered like the first time, and stored once.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::change::PastSend;
use super::effect::{Answer, Refusal};
use super::id::{DeviceId, UserId};
use super::message::{Origin, Recipient};
use super::name::UserName;
use super::text::Text;

/// Results remembered for a device.
pub const RESULTS_MAX: usize = 256;

/// What was sent, as far as a copy must be told from another message under the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest(u64);

impl Digest {
    /// `to`: `None` for everyone.
    pub fn of(to: Option<&UserName>, text: &Text) -> Digest {
        let mut hasher = DefaultHasher::new();
        to.hash(&mut hasher);
        text.as_str().hash(&mut hasher);
        Digest(hasher.finish())
    }
}

/// The sends of all devices.
#[derive(Debug, Default)]
pub struct Sends {
    of: BTreeMap<(UserId, DeviceId), Sent>,
}

#[derive(Debug, Default)]
struct Sent {
    highest: u64,
    /// By rising counter.
    results: VecDeque<(u64, Digest, Answer)>,
}

impl Sends {
    pub(super) fn new(past: Vec<PastSend>, answer: impl Fn(&PastSend) -> Answer) -> Sends {
        let mut sends = Sends::default();
        for send in past {
            let to = match &send.to {
                Recipient::User(_, name) => Some(name),
                Recipient::Everyone => None,
            };
            sends.record(send.user, send.origin, Digest::of(to, &send.text), answer(&send));
        }
        sends
    }

    /// The answer that this send has had already, if it is a copy.
    pub fn earlier(&self, user: UserId, origin: Origin, digest: Digest) -> Option<Answer> {
        let sent = self.of.get(&(user, origin.device))?;
        if origin.counter > sent.highest {
            return None;
        }
        let found = sent.results.binary_search_by_key(&origin.counter, |&(counter, ..)| counter);
        Some(match found.map(|at| &sent.results[at]) {
            Ok((_, known, answer)) if *known == digest => answer.clone(),
            Ok(_) => Err(Refusal::Conflict),
            Err(_) => Err(Refusal::CounterTooOld),
        })
    }

    pub fn highest(&self, user: UserId, device: DeviceId) -> u64 {
        self.of.get(&(user, device)).map_or(0, |sent| sent.highest)
    }

    pub(super) fn record(&mut self, user: UserId, origin: Origin, digest: Digest, answer: Answer) {
        let sent = self.of.entry((user, origin.device)).or_default();
        debug_assert!(origin.counter > sent.highest, "a copy is answered, not recorded");
        if sent.results.len() == RESULTS_MAX {
            sent.results.pop_front();
        }
        sent.highest = sent.highest.max(origin.counter);
        sent.results.push_back((origin.counter, digest, answer));
    }

    /// The send was not stored after all: under the same id it can be tried again.
    pub(super) fn forget(&mut self, user: UserId, origin: Origin) {
        let Some(sent) = self.of.get_mut(&(user, origin.device)) else { return };
        sent.results.retain(|&(counter, ..)| counter < origin.counter);
        sent.highest = sent.highest.min(origin.counter - 1);
    }

    pub(super) fn forget_device(&mut self, user: UserId, device: DeviceId) {
        self.of.remove(&(user, device));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::effect::{Reach, Reply};
    use crate::hub::id::Number;

    const USER: UserId = UserId(1);

    fn origin(counter: u64) -> Origin {
        Origin { device: DeviceId::from_bytes([1; 16]), counter }
    }

    fn accepted(number: u64) -> Answer {
        Ok(Reply::Accepted { number: Number(number), reach: Reach::Queued })
    }

    fn digest(text: &str) -> Digest {
        Digest::of(None, &Text::parse(text).unwrap())
    }

    #[test]
    fn a_copy_is_answered_like_the_first_and_another_text_is_a_conflict() {
        let mut sends = Sends::default();
        assert_eq!(sends.earlier(USER, origin(1), digest("a")), None);
        sends.record(USER, origin(1), digest("a"), accepted(7));
        assert_eq!(sends.earlier(USER, origin(1), digest("a")), Some(accepted(7)));
        assert_eq!(sends.earlier(USER, origin(1), digest("b")), Some(Err(Refusal::Conflict)));
        assert_eq!(sends.earlier(USER, origin(2), digest("b")), None);
        assert_eq!(sends.earlier(UserId(2), origin(1), digest("b")), None, "another user's device");
    }

    #[test]
    fn the_last_256_results_are_remembered() {
        let mut sends = Sends::default();
        for counter in 1..=257 {
            sends.record(USER, origin(counter), digest("a"), accepted(counter));
        }
        assert_eq!(sends.earlier(USER, origin(1), digest("a")), Some(Err(Refusal::CounterTooOld)));
        assert_eq!(sends.earlier(USER, origin(2), digest("a")), Some(accepted(2)));
        assert_eq!(sends.highest(USER, origin(1).device), 257);
    }

    #[test]
    fn what_was_not_stored_can_be_tried_again() {
        let mut sends = Sends::default();
        sends.record(USER, origin(1), digest("a"), accepted(1));
        sends.record(USER, origin(5), digest("b"), accepted(2));
        sends.forget(USER, origin(5));
        assert_eq!(sends.earlier(USER, origin(5), digest("b")), None);
        assert_eq!(sends.earlier(USER, origin(1), digest("a")), Some(accepted(1)));
    }
}
