//! Who blocks whom, and the two predicates that stand before every way to reach or see a user.

use std::collections::{BTreeMap, BTreeSet};

use super::id::UserId;

/// The most users that one user can block.
pub const BLOCKS_MAX: usize = 1000;

/// The block lists.
#[derive(Debug, Default)]
pub struct Gate {
    blocks: BTreeMap<UserId, BTreeSet<UserId>>,
}

impl Gate {
    pub fn new(blocks: impl IntoIterator<Item = (UserId, UserId)>) -> Gate {
        let mut gate = Gate::default();
        for (user, other) in blocks {
            gate.block(user, other);
        }
        gate
    }

    /// May what `from` writes reach `to`? Asked in two places, when a message is accepted and when it leaves.
    pub fn may_deliver(&self, from: UserId, to: UserId) -> bool {
        !self.blocks(to, from)
    }

    /// May `viewer` learn that `subject` is there? Asked for presence notes, online lists, contacts and addresses.
    pub fn may_see(&self, viewer: UserId, subject: UserId) -> bool {
        !self.blocks(subject, viewer)
    }

    /// Whether `user` has blocked `other`.
    pub fn blocks(&self, user: UserId, other: UserId) -> bool {
        self.blocks.get(&user).is_some_and(|blocked| blocked.contains(&other))
    }

    /// Whom `user` blocks.
    pub fn blocked_by(&self, user: UserId) -> impl Iterator<Item = UserId> + '_ {
        self.blocks.get(&user).into_iter().flatten().copied()
    }

    pub(super) fn is_full(&self, user: UserId) -> bool {
        self.blocks.get(&user).is_some_and(|blocked| blocked.len() >= BLOCKS_MAX)
    }

    pub(super) fn block(&mut self, user: UserId, other: UserId) {
        self.blocks.entry(user).or_default().insert(other);
    }

    pub(super) fn unblock(&mut self, user: UserId, other: UserId) {
        if let Some(blocked) = self.blocks.get_mut(&user) {
            blocked.remove(&other);
            if blocked.is_empty() {
                self.blocks.remove(&user);
            }
        }
    }
}
