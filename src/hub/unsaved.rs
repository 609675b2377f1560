//! A commit that has failed: what is taken back, and what is kept to be stored with something later.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::Hub;
use super::change::Change;
use super::consent::Lapsed;
use super::effect::{CloseReason, Outbox};
use super::id::UserId;
use super::message::Message;
use super::scram::Verifier;
use super::time::{Instant, Now};

/// How long after a failed commit the changes that must not be lost are tried again.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Changes that were not stored and can't be told to anybody.
#[derive(Debug, Default)]
pub struct Unsaved {
    changes: Vec<Change>,
    /// What the server had to tell users, oldest first. It is told anew, under another number, with what is stored then.
    notes: VecDeque<Arc<Message>>,
    /// They go with the next changes that there are, or at this time. `None`: nothing is to be stored again.
    retry_at: Option<Instant>,
}

impl Unsaved {
    /// When something is tried again, if nothing is stored before.
    pub fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// How much is to be stored again.
    pub fn count(&self) -> usize {
        self.changes.len() + self.notes.len()
    }

    fn try_later(&mut self, now: Instant) {
        self.retry_at.get_or_insert(now + RETRY_AFTER);
    }

    /// The notes can be told from now on.
    pub(super) fn accounts_are_read(&mut self, now: Instant) {
        if !self.notes.is_empty() {
            self.try_later(now);
        }
    }

    /// Everything, to be stored now; the notes only if they can be told.
    fn take(&mut self, with_notes: bool) -> (Vec<Change>, VecDeque<Arc<Message>>) {
        self.retry_at = None;
        let notes = if with_notes { std::mem::take(&mut self.notes) } else { VecDeque::new() };
        (std::mem::take(&mut self.changes), notes)
    }

    /// Puts what was lost, the oldest first, before what is here.
    fn put_first(&mut self, mut lost: Vec<Change>, now: Instant) {
        if !lost.is_empty() {
            self.try_later(now);
        }
        lost.append(&mut self.changes);
        self.changes = lost;
        self.forget_what_is_overtaken();
    }

    /// Of what could not be stored only the newest counts; where the disk fails for long, the rest would pile up. Who came
    /// and went meanwhile has met nobody: no broadcast was accepted.
    fn forget_what_is_overtaken(&mut self) {
        let mut seen = BTreeSet::new();
        let mut kept: Vec<Change> = Vec::new();
        for change in std::mem::take(&mut self.changes).into_iter().rev() {
            let key = match &change {
                Change::Secret(_) => (0, 0, [0; 16]),
                Change::User { id, .. } => (1, u64::from(id.0), [0; 16]),
                Change::Expired { number } => (2, number.0, [0; 16]),
                Change::DeviceForgotten { user, device, .. } => (3, u64::from(user.0), *device.as_bytes()),
                Change::Left { user, .. } => (4, u64::from(user.0), [0; 16]),
                Change::Arrived { user, .. } => (5, u64::from(user.0), [0; 16]),
                Change::Retired { user } => (6, u64::from(user.0), [0; 16]),
                _ => (7, kept.len() as u64, [0; 16]),
            };
            if seen.insert(key) {
                kept.push(change);
            }
        }
        kept.reverse();
        self.changes = kept;
    }
}

impl Hub {
    /// What could not be stored goes before the next thing that can: a name before a message that needs it, a device
    /// before its sends, an arrival before the departure. If nothing comes, it goes when it is `due`.
    pub(super) fn catch_up(&mut self, due: bool, out: &mut Outbox) {
        if self.unsaved.retry_at.is_none() || (out.changes.is_empty() && !due) {
            return;
        }
        // Before the accounts are there nobody has one who could be told.
        let (mut first, notes) = self.unsaved.take(self.accounts.are_read());
        self.lockout.flush(&mut first);
        self.devices.flush(&mut first);
        out.changes.splice(0..0, first);
        for note in notes {
            if let Some(user) = note.recipient() {
                self.note(user, note.text.clone(), (note.time, note.local), out);
            }
        }
    }

    /// These changes are not on disk: the state goes back to what is. Who asked is told by net, since the replies that
    /// promised something are void. Counters of failed log-ins stay as they are; they, cursors and names are written
    /// later.
    pub(super) fn undo(&mut self, now: Now, changes: Vec<Change>, out: &mut Outbox) {
        let mut unsaved = Vec::new();
        let verifiers: BTreeMap<UserId, Option<Arc<Verifier>>> = changes
            .iter()
            .filter_map(|change| match change {
                Change::Account { user, .. } => Some((*user, self.accounts.verifier(*user).cloned())),
                _ => None,
            })
            .collect();
        // Users whose name somebody else has by now: their removal stands, and is stored later.
        let mut gone = BTreeSet::new();
        // Who has blocked whom again, if the block was not lost too.
        let mut apart = Vec::new();
        let mut lapsed = Lapsed::new();
        for change in changes.into_iter().rev() {
            match change {
                Change::Account { user, .. } | Change::Unblock { user, .. } if gone.contains(&user) => {
                    unsaved.push(change);
                }
                Change::ConsentOver { row, .. } if gone.contains(&row.of) || gone.contains(&row.to) => {
                    unsaved.push(change);
                }
                Change::User { id, .. } if self.accounts.is_guest(id) => self.name_was_lost(id),
                Change::Retired { user } | Change::DeviceForgotten { user, .. } if self.accounts.is_guest(user) => {}
                Change::Message(message) => {
                    self.delivery.retract(&message);
                    self.expect_no_copies(&message);
                    if message.sender().is_none() {
                        // A note has nobody who could be told and try again.
                        self.unsaved.notes.push_front(message);
                        self.unsaved.try_later(now.instant);
                    }
                }
                Change::Block { user, other, .. } => _ = self.gate.unblock(user, other),
                Change::Unblock { user, other, shown } => {
                    self.gate.block(user, other, shown);
                    apart.push((user, other));
                }
                Change::Consent { row, before, waits } => {
                    self.consent_was_lost(now, row, before, waits, &mut lapsed, out);
                }
                Change::ConsentOver { row, revoked: true } => self.consent_is_back(now, row, &mut lapsed),
                Change::Account { user, before, .. } => _ = self.accounts.keep(user, before),
                Change::Retired { user } => {
                    // Somebody has the name by now, and keeps it.
                    if !self.accounts.restore(user) {
                        gone.insert(user);
                        unsaved.push(change);
                    }
                }
                Change::Device(row) => {
                    // The client never got the token that this row may have brought.
                    self.devices.set_token(row.user, row.device, None);
                    self.devices.mark(row.user, row.device, now.instant);
                    self.unsaved.try_later(now.instant);
                }
                Change::Tries(row) => {
                    self.lockout.not_written(row);
                    self.unsaved.try_later(now.instant);
                }
                Change::Secret(_)
                | Change::User { .. }
                | Change::SourceKnown { .. }
                | Change::Expired { .. }
                | Change::DeviceForgotten { .. }
                | Change::ConsentOver { revoked: false, .. }
                | Change::Arrived { .. }
                | Change::Left { .. } => {
                    unsaved.push(change);
                }
                Change::Forget { .. } => {}
            }
        }
        unsaved.extend(lapsed.into_values().map(|row| Change::ConsentOver { row, revoked: false }));
        for (user, other) in apart {
            if self.gate.blocks(user, other) {
                self.questions_end_with_block(now, user, other, out);
                self.chats_end_with_block(user, other, out);
            }
        }
        let mut again = Vec::new();
        for change in unsaved.into_iter().rev() {
            let named = if let Change::User { id, .. } = change { Some(id) } else { None };
            again.push(change);
            // A name that is found at the next start without an account would seem to have had one; and whoever takes it
            // next may be among these changes already.
            if let Some(user) = named.filter(|&user| self.accounts.release(user)) {
                again.push(Change::Retired { user });
            }
        }
        self.unsaved.put_first(again, now.instant);
        // Who has logged in by what does not hold any more can't stay.
        let changed = verifiers.into_iter().filter(|(user, before)| self.accounts.verifier(*user) != before.as_ref());
        let changed = changed.map(|(user, _)| user).collect();
        self.end_sessions(now, &changed, None, CloseReason::AccountChanged, out);
        self.rewind_all(out);
    }
}
