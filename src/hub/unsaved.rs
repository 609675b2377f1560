//! A commit that has failed: what is taken back, and what is kept to be stored with something later.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Hub;
use super::change::Change;
use super::effect::Outbox;
use super::time::Now;

/// How long after a failed commit the changes that must not be lost are tried again.
const RETRY_AFTER: Duration = Duration::from_secs(5);

impl Hub {
    /// What could not be stored goes before the next thing that can: a name before a message that needs it, a device
    /// before its sends, an arrival before the departure. If nothing comes, it goes when it is `due`.
    pub(super) fn catch_up(&mut self, due: bool, out: &mut Outbox) {
        if self.retry_at.is_none() || (out.changes.is_empty() && !due) {
            return;
        }
        self.retry_at = None;
        let mut first = std::mem::take(&mut self.unsaved);
        self.lockout.flush(&mut first);
        self.devices.flush(&mut first);
        out.changes.splice(0..0, first);
    }

    /// These changes are not on disk: the state goes back to what is. Who asked is told by net, since the replies that
    /// promised something are void. Counters of failed log-ins stay as they are; they, cursors and names are written
    /// later.
    pub(super) fn undo(&mut self, now: Now, changes: Vec<Change>, out: &mut Outbox) {
        let mut unsaved = Vec::new();
        for change in changes.into_iter().rev() {
            match change {
                // A note has nobody who could be told and try again: it is stored when something can be.
                Change::Message(message) if message.sender().is_none() => unsaved.push(Change::Message(message)),
                Change::Message(message) => self.delivery.retract(&message),
                Change::Block { user, other, .. } => _ = self.gate.unblock(user, other),
                Change::Unblock { user, other, shown } => self.gate.block(user, other, shown),
                Change::Device(row) => {
                    // The client never got the token that this row may have brought.
                    self.devices.set_token(row.user, row.device, None);
                    self.devices.mark(row.user, row.device, now.instant);
                    self.retry_at.get_or_insert(now.instant + RETRY_AFTER);
                }
                Change::Tries(row) => {
                    self.lockout.not_written(row);
                    self.retry_at.get_or_insert(now.instant + RETRY_AFTER);
                }
                Change::Secret(_)
                | Change::User { .. }
                | Change::SourceKnown { .. }
                | Change::Expired { .. }
                | Change::DeviceForgotten { .. }
                | Change::Arrived { .. }
                | Change::Left { .. } => {
                    unsaved.push(change);
                }
                Change::Forget { .. } => {}
            }
        }
        if !unsaved.is_empty() {
            self.retry_at.get_or_insert(now.instant + RETRY_AFTER);
        }
        unsaved.reverse();
        unsaved.append(&mut self.unsaved);
        self.unsaved = unsaved;
        self.forget_what_is_overtaken();
        self.rewind_all(out);
    }

    /// Of what could not be stored only the newest counts; where the disk fails for long, the rest would pile up. Who came
    /// and went meanwhile has met nobody: no broadcast was accepted.
    fn forget_what_is_overtaken(&mut self) {
        let mut seen = BTreeSet::new();
        let mut kept: Vec<Change> = Vec::new();
        for change in std::mem::take(&mut self.unsaved).into_iter().rev() {
            let key = match &change {
                Change::Secret(_) => (0, 0, [0; 16]),
                Change::User { id, .. } => (1, u64::from(id.0), [0; 16]),
                Change::Expired { number } => (2, number.0, [0; 16]),
                Change::DeviceForgotten { user, device, .. } => (3, u64::from(user.0), *device.as_bytes()),
                Change::Left { user, .. } => (4, u64::from(user.0), [0; 16]),
                Change::Arrived { user, .. } => (5, u64::from(user.0), [0; 16]),
                Change::Message(message) => (6, message.number.0, [0; 16]),
                _ => (7, kept.len() as u64, [0; 16]),
            };
            if seen.insert(key) {
                kept.push(change);
            }
        }
        kept.reverse();
        self.unsaved = kept;
    }
}
