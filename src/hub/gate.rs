//! Who blocks whom, and the two predicates that stand before every way to reach or see a user.

use std::collections::BTreeMap;

use super::id::{Number, UserId};

/// The most users that one user can block.
pub const BLOCKS_MAX: usize = 1000;

/// The block lists.
#[derive(Debug, Default)]
pub struct Gate {
    /// With each who is blocked: up to where the one who blocks had been shown everything by then.
    blocks: BTreeMap<UserId, BTreeMap<UserId, Number>>,
}

impl Gate {
    pub fn new(blocks: impl IntoIterator<Item = (UserId, UserId, Number)>) -> Gate {
        let mut gate = Gate::default();
        for (user, other, shown) in blocks {
            gate.block(user, other, shown);
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
        self.blocks.get(&user).is_some_and(|blocked| blocked.contains_key(&other))
    }

    /// Whom `user` blocks, and up to where `user` had been shown everything by then: what was held back is above.
    pub fn blocked_by(&self, user: UserId) -> impl Iterator<Item = (UserId, Number)> + '_ {
        self.blocks.get(&user).into_iter().flatten().map(|(&other, &shown)| (other, shown))
    }

    /// Whoever it was is nobody any more: no block by them or of them is left. Looks at all block lists.
    pub(super) fn forget(&mut self, user: UserId) {
        self.blocks.remove(&user);
        self.blocks.retain(|_, blocked| {
            blocked.remove(&user);
            !blocked.is_empty()
        });
    }

    pub(super) fn is_full(&self, user: UserId) -> bool {
        self.blocks.get(&user).is_some_and(|blocked| blocked.len() >= BLOCKS_MAX)
    }

    pub(super) fn block(&mut self, user: UserId, other: UserId, shown: Number) {
        self.blocks.entry(user).or_default().insert(other, shown);
    }

    /// Comes back: the number that the block was made with. `None` if there was none.
    pub(super) fn unblock(&mut self, user: UserId, other: UserId) -> Option<Number> {
        let blocked = self.blocks.get_mut(&user)?;
        let shown = blocked.remove(&other);
        if blocked.is_empty() {
            self.blocks.remove(&user);
        }
        shown
    }
}
