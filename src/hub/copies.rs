//! Messages that come more than once because an acknowledgement was lost, in the `datagram` protocol.
//!
//! Nothing in a message tells it from another one with the same words; only when it comes does: copies come after pauses that
//! double. Whatever comes at another time is a message of its own: rather one too many than one too few.

use std::collections::VecDeque;
use std::time::Duration;

use super::effect::{Event, IfLost, Outbox, Reach, Reply};
use super::id::{ConnectionId, DeviceId, Number, UserId};
use super::message::Message;
use super::presence::Manner;
use super::sends::Digest;
use super::time::Now;
use super::{Answered, Hub};

/// The pause before the first copy; each further one doubles it.
pub const PAUSE_FIRST: Duration = Duration::from_millis(500);
/// Messages whose copies are known, of one sender.
pub const REMEMBERED_MAX: usize = 64;
/// How much sooner a copy may come, as a part of the pause before it,
const SOONER: u32 = 20;
/// and how much later.
const LATER: u32 = 4;

/// What came lately, each with what came of it. A moment is how long after some fixed one it is.
#[derive(Debug)]
pub struct Copies<K, V>(VecDeque<Seen<K, V>>);

#[derive(Debug)]
struct Seen<K, V> {
    what: K,
    outcome: V,
    at: Duration,
    /// Until the next copy.
    pause: Duration,
}

/// What a correspondent has said lately.
pub type SaidLately = Copies<Digest, Accepted>;

/// What came of the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    pub number: Number,
    pub reach: Reach,
}

impl<K, V> Default for Copies<K, V> {
    fn default() -> Copies<K, V> {
        Copies(VecDeque::new())
    }
}

impl<K: PartialEq, V: Copy> Copies<K, V> {
    /// What came of the first, if what comes now is a copy of something.
    pub fn find(&mut self, now: Duration, what: &K) -> Option<V> {
        let place = self.0.iter().position(|seen| seen.what == *what)?;
        let mut seen = self.0.remove(place).filter(|seen| seen.expects(now))?;
        let outcome = seen.outcome;
        (seen.at, seen.pause) = (now, seen.pause * 2);
        self.0.push_back(seen);
        Some(outcome)
    }

    /// This is no copy, and copies of it may come.
    pub fn remember(&mut self, now: Duration, what: K, outcome: V) {
        if self.0.len() == REMEMBERED_MAX {
            self.0.pop_front();
        }
        self.0.push_back(Seen { what, outcome, at: now, pause: PAUSE_FIRST });
    }

    /// What came to this came to nothing after all.
    pub fn forget(&mut self, is_it: impl Fn(&V) -> bool) {
        self.0.retain(|seen| !is_it(&seen.outcome));
    }
}

impl<K, V> Seen<K, V> {
    fn expects(&self, now: Duration) -> bool {
        let passed = now.saturating_sub(self.at);
        (self.pause - self.pause / SOONER..=self.pause + self.pause / LATER).contains(&passed)
    }
}

fn moment(now: Now) -> Duration {
    Duration::from_micros(now.instant.as_micros())
}

impl Hub {
    /// The answer to what a correspondent sends, if it has been sent before and is a copy. What was shown already is
    /// confirmed once more: that the first confirmation was lost is why there are copies.
    pub(super) fn answer_copy(
        &mut self,
        now: Now,
        connection: ConnectionId,
        digest: Digest,
        to: Option<UserId>,
        out: &mut Outbox,
    ) -> Option<Answered> {
        let session =
            self.presence.session_mut(connection).filter(|session| session.manner == Manner::Correspondent)?;
        let from = session.user;
        let Accepted { number, reach } = session.said_lately.find(moment(now), &digest)?;
        let shown_by = match to {
            Some(user) => (number <= self.devices.highest_cursor(user)).then_some(user),
            None if reach == Reach::Nobody || self.delivery.receipts.is_wanted(number) => None,
            None => self.who_has_shown(number, from),
        };
        if let Some(user) = shown_by {
            let event = Event::Delivered { number, to: self.accounts.name(user).clone(), words: None };
            out.event(connection, event, IfLost::Send);
        }
        let is_seen = |user| self.presence.is_online(user) && self.gate.may_see(from, user);
        let is_online = shown_by.is_some() || to.is_some_and(is_seen);
        let reach = if is_online { Reach::Online } else { reach };
        Some(Answered::Now(Ok(Reply::Accepted { number, reach }), IfLost::Refuse))
    }

    /// One of those who have shown a broadcast of this sender's and are there: who was the first is not remembered.
    fn who_has_shown(&self, number: Number, from: UserId) -> Option<UserId> {
        let has_shown =
            |user, device| self.devices.was_there(user, device, number) && number <= self.devices.cursor(user, device);
        let mut sessions = self.presence.sessions().map(|(_, session)| (session.user, session.device));
        let found = sessions.find(|&(user, device)| {
            user != from && self.gate.may_see(from, user) && device.is_some_and(|device| has_shown(user, device))
        });
        found.map(|(user, _)| user)
    }

    /// Copies may come of what was accepted.
    pub(super) fn expect_copies(&mut self, now: Now, connection: ConnectionId, digest: Digest, answered: &Answered) {
        let &Answered::Now(Ok(Reply::Accepted { number, reach }), _) = answered else { return };
        if let Some(session) = self.presence.session_mut(connection)
            && session.manner == Manner::Correspondent
        {
            session.said_lately.remember(moment(now), digest, Accepted { number, reach });
        }
    }

    /// The message was not stored: who sends it again means it.
    pub(super) fn expect_no_copies(&mut self, message: &Message) {
        let sender = message.sender().and_then(|user| self.devices.connection(user, DeviceId::DATAGRAM));
        if let Some(session) = sender.and_then(|connection| self.presence.session_mut(connection)) {
            session.said_lately.forget(|sent| sent.number == message.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes now: whether it is a copy.
    fn comes(copies: &mut Copies<String, ()>, ms: u64, what: &str) -> bool {
        let (now, what) = (Duration::from_millis(ms), what.to_owned());
        let is_copy = copies.find(now, &what).is_some();
        if !is_copy {
            copies.remember(now, what, ());
        }
        is_copy
    }

    #[test]
    fn copies_come_in_their_time() {
        let mut copies = Copies::default();
        let told = [0, 500, 1510, 3700, 8200].map(|ms| comes(&mut copies, ms, "hi"));
        assert_eq!(told, [false, true, true, true, true]);
        assert!(!comes(&mut copies, 9000, "hi"));
        assert!(!comes(&mut copies, 9500, "ho"));
        assert!(comes(&mut copies, 9500, "hi"), "the other one changes nothing");
        assert!(!comes(&mut copies, 10_000, "hi"), "the next one is due after a second");
        assert!(!comes(&mut copies, 10_300, "hi"));
    }

    #[test]
    fn so_many_are_remembered() {
        let mut copies = Copies::default();
        assert!(!comes(&mut copies, 0, "first"));
        for number in 1..REMEMBERED_MAX {
            comes(&mut copies, 0, &number.to_string());
        }
        assert!(comes(&mut copies, 500, "first"));
        comes(&mut copies, 500, "one more");
        assert!(!comes(&mut copies, 500, "1"));
        assert_eq!(copies.0.len(), REMEMBERED_MAX);
    }

    #[test]
    fn what_came_to_nothing_has_no_copies() {
        let mut copies = Copies::default();
        let moment = Duration::from_millis;
        copies.remember(moment(0), "a", 1);
        copies.remember(moment(0), "b", 2);
        copies.forget(|&outcome| outcome == 1);
        assert_eq!((copies.find(moment(500), &"a"), copies.find(moment(500), &"b")), (None, Some(2)));
    }
}
