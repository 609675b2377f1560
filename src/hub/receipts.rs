//! Receipts of broadcasts: who is told that one was shown, and who has yet to show it.
//!
//! Those of private messages wait with the messages themselves. Most senders of broadcasts want none, and nothing is kept
//! of theirs.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::Hub;
use super::effect::{Event, IfLost, Outbox};
use super::id::{ConnectionId, DeviceId, Number, UserId};
use super::text::Text;

/// The broadcasts of which somebody wants receipts: some of those that are kept, so their bound is `BROADCASTS_MAX`.
#[derive(Debug, Default)]
pub struct Receipts {
    wanted: BTreeMap<Number, Wanted>,
}

#[derive(Debug)]
struct Wanted {
    /// Who is told.
    sender: ConnectionId,
    /// Who gets the broadcast and has not shown it on any device.
    unshown: BTreeSet<UserId>,
    /// The sender has heard of somebody who has.
    is_confirmed: bool,
}

/// What a client says to the message with this number, which it has shown.
#[derive(Debug)]
pub(super) struct Words {
    pub number: Number,
    pub text: Text,
}

impl Words {
    /// What is said to this message, if it is the one.
    pub fn to(words: Option<&Words>, number: Number) -> Option<Text> {
        words.filter(|words| words.number == number).map(|words| words.text.clone())
    }
}

impl Receipts {
    /// `sender` is told of each of these users when they have shown the broadcast with this number.
    pub(super) fn want(&mut self, number: Number, sender: ConnectionId, unshown: BTreeSet<UserId>) {
        if !unshown.is_empty() {
            self.wanted.insert(number, Wanted { sender, unshown, is_confirmed: false });
        }
    }

    /// The broadcast is kept no more.
    pub(super) fn forget(&mut self, number: Number) {
        self.wanted.remove(&number);
    }

    /// Nobody is there any more to be told.
    pub(super) fn forget_sender(&mut self, sender: ConnectionId) {
        self.wanted.retain(|_, wanted| wanted.sender != sender);
    }

    /// The user has shown the broadcast, or never will. Comes back: who wants to know, the first time.
    pub(super) fn take(&mut self, number: Number, user: UserId) -> Option<ConnectionId> {
        let wanted = self.wanted.get_mut(&number)?;
        let sender = wanted.unshown.remove(&user).then_some(wanted.sender);
        wanted.is_confirmed |= sender.is_some();
        if wanted.unshown.is_empty() {
            self.wanted.remove(&number);
        }
        sender
    }

    /// Whether the sender of this broadcast waits to hear that anybody has shown it.
    pub(super) fn is_unconfirmed(&self, number: Number) -> bool {
        self.wanted.get(&number).is_some_and(|wanted| !wanted.is_confirmed)
    }

    /// The broadcasts after `from`, up to and with `to`, that somebody waits for this user to show.
    fn waiting_for(&self, user: UserId, from: Number, to: Number) -> Vec<Number> {
        if to <= from {
            return Vec::new();
        }
        let passed = self.wanted.range((Bound::Excluded(from), Bound::Included(to)));
        passed.filter(|(_, wanted)| wanted.unshown.contains(&user)).map(|(&number, _)| number).collect()
    }

    /// `is_kept`: whether there is a broadcast with this number; `is_there`: whether a sender wants receipts.
    pub(super) fn check_invariants(&self, is_kept: impl Fn(Number) -> bool, is_there: impl Fn(ConnectionId) -> bool) {
        for (&number, wanted) in &self.wanted {
            assert!(is_kept(number) && is_there(wanted.sender) && !wanted.unshown.is_empty(), "{number:?}: {wanted:?}");
        }
    }
}

impl Hub {
    /// A device has shown everything up to `number`. Its cursor has not moved yet: what it was there for is forgotten with
    /// that.
    pub(super) fn broadcasts_shown(
        &mut self,
        user: UserId,
        device: DeviceId,
        number: Number,
        words: Option<&Words>,
        out: &mut Outbox,
    ) {
        if self.delivery.receipts.wanted.is_empty() {
            return; // As nearly always, and this is asked for each acknowledgement.
        }
        let cursor = self.devices.cursor(user, device);
        for number in self.delivery.receipts.waiting_for(user, cursor, number) {
            if self.devices.was_there(user, device, number)
                && let Some(sender) = self.delivery.receipts.take(number, user)
            {
                let (to, words) = (self.accounts.name(user).clone(), Words::to(words, number));
                out.event(sender, Event::Delivered { number, to, words }, IfLost::Send);
            }
        }
    }
}
