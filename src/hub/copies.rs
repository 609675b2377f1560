//! Messages that come more than once because nobody has acknowledged them, in the `datagram` protocol.
//!
//! Nothing in a message tells it from another one with the same words. It counts as a copy only while its sender has heard
//! nothing of the first, and if it comes when a copy would: after pauses that double. Whatever else it may be is a message of
//! its own: rather one too many than one too few.

use std::collections::VecDeque;
use std::time::Duration;

use super::effect::{IfLost, Reach, Reply};
use super::id::{ConnectionId, DeviceId, Number, UserId};
use super::message::Message;
use super::presence::Manner;
use super::sends::Digest;
use super::time::{Instant, Now};
use super::{Answered, Hub};

/// The pause before the first copy; each further one doubles it.
pub const PAUSE_FIRST: Duration = Duration::from_millis(500);
/// Messages whose copies are known, of one sender.
pub const REMEMBERED_MAX: usize = 64;
/// How much sooner a copy may come, as a part of the pause before it,
const SOONER: u32 = 20;
/// and how much later.
const LATER: u32 = 4;

/// What a correspondent has said lately, and has heard nothing of at once.
#[derive(Debug, Default)]
pub struct SaidLately(VecDeque<Said>);

#[derive(Debug)]
struct Said {
    digest: Digest,
    number: Number,
    at: Instant,
    /// Until the next copy.
    pause: Duration,
}

impl SaidLately {
    /// The first, if what is said now comes when a copy of it would.
    fn copy_of(&mut self, now: Instant, digest: Digest) -> Option<Number> {
        let place = self.0.iter().position(|said| said.digest == digest)?;
        let mut said = self.0.remove(place).filter(|said| said.expects(now))?;
        let number = said.number;
        (said.at, said.pause) = (now, said.pause * 2);
        self.0.push_back(said);
        Some(number)
    }

    fn remember(&mut self, now: Instant, digest: Digest, number: Number) {
        if self.0.len() == REMEMBERED_MAX {
            self.0.pop_front();
        }
        self.0.push_back(Said { digest, number, at: now, pause: PAUSE_FIRST });
    }

    fn forget(&mut self, number: Number) {
        self.0.retain(|said| said.number != number);
    }
}

impl Said {
    fn expects(&self, now: Instant) -> bool {
        let passed = now.since(self.at);
        (self.pause - self.pause / SOONER..=self.pause + self.pause / LATER).contains(&passed)
    }
}

impl Hub {
    /// The answer to what a correspondent sends, if it is a copy. `to`: `None` for everyone.
    pub(super) fn answer_copy(
        &mut self,
        now: Now,
        connection: ConnectionId,
        digest: Digest,
        to: Option<UserId>,
    ) -> Option<Answered> {
        let number = self.said_lately(connection)?.copy_of(now.instant, digest)?;
        let is_unconfirmed = match to {
            Some(user) => number > self.devices.highest_cursor(user) && self.presence.is_online(user),
            None => self.delivery.receipts.is_unconfirmed(number),
        };
        if !is_unconfirmed {
            self.said_lately(connection)?.forget(number);
            return None;
        }
        Some(Answered::Now(Ok(Reply::Accepted { number, reach: Reach::Online }), IfLost::Refuse))
    }

    /// Copies may come of what was accepted, if its sender is told nothing of it at once.
    pub(super) fn expect_copies(&mut self, now: Now, connection: ConnectionId, digest: Digest, answered: &Answered) {
        let &Answered::Now(Ok(Reply::Accepted { number, reach: Reach::Online | Reach::Partial }), _) = answered else {
            return;
        };
        if let Some(said) = self.said_lately(connection) {
            said.remember(now.instant, digest, number);
        }
    }

    /// The message was not stored: who sends it again means it.
    pub(super) fn expect_no_copies(&mut self, message: &Message) {
        let sender = message.sender().and_then(|user| self.devices.connection(user, DeviceId::DATAGRAM));
        if let Some(said) = sender.and_then(|connection| self.said_lately(connection)) {
            said.forget(message.number);
        }
    }

    fn said_lately(&mut self, connection: ConnectionId) -> Option<&mut SaidLately> {
        let session = self.presence.session_mut(connection)?;
        (session.manner == Manner::Correspondent).then_some(&mut session.said_lately)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::name::UserName;

    fn digest(what: &str) -> Digest {
        Digest::of(Some(&UserName::parse("bob").unwrap()), &crate::hub::text::Text::parse(what).unwrap())
    }

    /// What is said now: whether it comes when a copy would.
    fn comes(said: &mut SaidLately, ms: u64, what: &str) -> bool {
        let now = Instant::from_micros(ms * 1000);
        let is_copy = said.copy_of(now, digest(what)).is_some();
        if !is_copy {
            said.remember(now, digest(what), Number(ms));
        }
        is_copy
    }

    #[test]
    fn copies_come_in_their_time() {
        let mut said = SaidLately::default();
        let told = [0, 500, 1510, 3700, 8200].map(|ms| comes(&mut said, ms, "hi"));
        assert_eq!(told, [false, true, true, true, true]);
        assert!(!comes(&mut said, 9000, "hi"));
        assert!(!comes(&mut said, 9500, "ho"));
        assert!(comes(&mut said, 9500, "hi"), "the other one changes nothing");
        assert!(!comes(&mut said, 10_000, "hi"), "the next one is due after a second");
        assert!(!comes(&mut said, 10_300, "hi"));
    }

    #[test]
    fn so_many_are_remembered() {
        let mut said = SaidLately::default();
        assert!(!comes(&mut said, 0, "first"));
        for number in 1..REMEMBERED_MAX {
            comes(&mut said, 0, &number.to_string());
        }
        assert!(comes(&mut said, 500, "first"));
        comes(&mut said, 500, "one more");
        assert!(!comes(&mut said, 500, "1"));
        assert_eq!(said.0.len(), REMEMBERED_MAX);
    }
}
