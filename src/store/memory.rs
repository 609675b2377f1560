//! `--memory`: nothing is kept over a restart, and of the log only so much that history works while the server runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::history::{merged, page_of};
use crate::hub::change::Change;
use crate::hub::id::{Number, UserId};
use crate::hub::message::{HistoryPage, HistoryQuery, Line, Message};

/// So many messages are held at most.
pub(super) const MESSAGES_MAX: usize = 10_000;
/// So many bytes of text are held at most.
pub(super) const TEXT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// So many visits of a user's are held at most, the newest.
const VISITS_PER_USER_MAX: usize = 1000;

#[derive(Debug, Default)]
pub(super) struct Memory {
    log: BTreeMap<Number, Held>,
    text_bytes: usize,
    /// From which number to which a user was online, oldest first; to `None` while they are.
    visits: BTreeMap<UserId, Vec<(Number, Option<Number>)>>,
}

#[derive(Debug)]
struct Held {
    message: Arc<Message>,
    expired: bool,
}

impl Memory {
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Message(message) => self.hold(message),
            Change::Expired { number } => {
                if let Some(held) = self.log.get_mut(number) {
                    held.expired = true;
                }
            }
            Change::Arrived { user, first } => self.arrived(*user, *first),
            Change::Left { user, last } => self.left(*user, *last),
            Change::Forget { before } => {
                self.log.retain(|_, held| held.message.time >= *before);
                self.text_bytes = self.log.values().map(|held| held.message.text.bytes()).sum();
            }
            Change::Secret(_)
            | Change::User { .. }
            | Change::Account { .. }
            | Change::Retired { .. }
            | Change::Block { .. }
            | Change::Unblock { .. }
            | Change::Consent { .. }
            | Change::ConsentOver { .. }
            | Change::Device(_)
            | Change::DeviceForgotten { .. }
            | Change::Tries(_)
            | Change::SourceKnown { .. } => {}
        }
        debug_assert!(self.log.len() <= MESSAGES_MAX && self.text_bytes <= TEXT_BYTES_MAX);
    }

    pub fn page(&self, query: &HistoryQuery) -> HistoryPage {
        let visits = self.visits.get(&query.viewer).into_iter().flatten();
        let visits = merged(visits.map(|&(first, last)| (first, last.unwrap_or(Number(u64::MAX)))));
        let attended = |number: Number| {
            let after = visits.partition_point(|&(first, _)| first <= number);
            after > 0 && visits[after - 1].1 >= number
        };
        let before = query.before.unwrap_or(Number(u64::MAX));
        let matches = self.log.range(..before).rev().filter(|&(&number, held)| {
            let (sender, recipient) = (held.message.sender(), held.message.recipient());
            query.admits(&Line { number, sender, recipient, expired: held.expired }, || attended(number))
        });
        let newest = matches.take(query.limit.saturating_add(1));
        page_of(newest.map(|(&number, held)| (number, held.message.clone())).collect(), query.limit)
    }

    fn hold(&mut self, message: &Arc<Message>) {
        self.text_bytes += message.text.bytes();
        self.log.insert(message.number, Held { message: message.clone(), expired: false });
        while self.log.len() > MESSAGES_MAX || self.text_bytes > TEXT_BYTES_MAX {
            let Some((_, oldest)) = self.log.pop_first() else { break };
            self.text_bytes -= oldest.message.text.bytes();
        }
    }

    fn arrived(&mut self, user: UserId, first: Number) {
        let oldest = self.log.first_key_value().map_or(first, |(&number, _)| number);
        let visits = self.visits.entry(user).or_default();
        visits.retain(|(_, last)| last.is_none_or(|last| last >= oldest));
        if visits.iter().any(|(_, last)| last.is_none()) {
            return;
        }
        if visits.len() == VISITS_PER_USER_MAX {
            visits.remove(0);
        }
        // Most users come once.
        visits.reserve_exact(1);
        visits.push((first, None));
    }

    fn left(&mut self, user: UserId, last: Number) {
        let Some(visits) = self.visits.get_mut(&user) else { return };
        visits.retain(|&(first, end)| end.is_some() || first <= last);
        for (_, end) in visits.iter_mut().filter(|(_, end)| end.is_none()) {
            *end = Some(last);
        }
    }
}
