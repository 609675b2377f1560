//! The store's side of the turn: batches out, outcomes in, and who waited for them.

use std::ops::RangeInclusive;

use super::*;
use crate::hub::change::Change;
use crate::hub::effect::Refusal;
use crate::net::correspondent::Correspondent;
use crate::store::{Completion, Submitted};
use crate::wire::Dialect;

impl<E: Environment> Turn<E> {
    /// Hands the turn's changes to the store, as one batch.
    pub(super) fn submit_changes(&mut self) {
        if self.outbox.changes.is_empty() {
            return;
        }
        self.last_batch += 1;
        let batch = Batch { number: self.last_batch, changes: self.outbox.changes.iter().cloned().collect() };
        match self.environment.submit(batch.clone()) {
            Submitted::Persisted => self.persisted = self.last_batch,
            Submitted::Pending => {
                self.in_flight_bytes += weight(&batch);
                self.in_flight.push_back(batch);
            }
        }
    }

    pub(super) fn take_completions(&mut self, now: Now) -> bool {
        let completions = self.environment.completions();
        let progress = !completions.is_empty();
        for completion in completions {
            match completion {
                Completion::Persisted { through } => {
                    if self.store_fails {
                        self.store_fails = false;
                        log::warn!("the store can write again");
                    }
                    self.advance_persisted(through);
                }
                Completion::Failed { first, error } => self.commit_failed(now, first, &error),
                Completion::Page { ticket, page } => {
                    let Some(index) = self.asked.iter().position(|&(asked, ..)| asked == ticket) else { continue };
                    let Some((_, connection, id)) = self.asked.remove(index) else { continue };
                    self.tell(now, Input::History { connection, id, page });
                    if let Some(found) = self.connections.get_mut(connection) {
                        found.asking = false;
                    }
                    self.list_if_has_work(connection);
                }
            }
        }
        progress
    }

    /// What waited for these batches may leave.
    fn advance_persisted(&mut self, through: BatchNumber) {
        self.persisted = self.persisted.max(through);
        while self.in_flight.front().is_some_and(|batch| batch.number <= through) {
            self.in_flight_bytes -= self.in_flight.pop_front().map_or(0, |batch| weight(&batch));
        }
        while let Some(&(batch, id)) = self.parked.front() {
            if batch > self.persisted {
                return;
            }
            self.parked.pop_front();
            if let Some(connection) = self.connections.get_mut(id) {
                connection.parked = false;
                self.mark_dirty(id);
            } else if let Some(callee) = self.callees.get_mut(id) {
                callee.parked = false;
                self.call_or_park(id);
            } else if let Some(correspondent) = self.correspondents.get_mut(id) {
                correspondent.parked = false;
                self.send_or_park(id);
            }
        }
    }

    /// Nothing of what is in flight is on disk. The hub goes back to what is; what depended on it is taken back; the
    /// next batch is tried again.
    fn commit_failed(&mut self, now: Now, first: BatchNumber, error: &str) {
        let lost = first..=self.last_batch;
        if !self.store_fails {
            self.store_fails = true;
            log::error!(
                "the store can't write: {error}; what was in flight is refused, and tried again with what comes next"
            );
        }
        self.take_back(&lost);
        self.in_flight_bytes = 0;
        let changes = self.in_flight.drain(..).flat_map(|batch| batch.changes.to_vec()).collect();
        self.environment.resume();
        self.advance_persisted(self.last_batch);
        self.tell(now, Input::CommitFailed(changes));
    }

    /// What depended on these batches leaves the queues, or is refused in its place.
    fn take_back(&mut self, lost: &RangeInclusive<BatchNumber>) {
        let refusal = Err(Refusal::NotStored);
        let refused = |conversation: &mut Conversation, id| {
            let mut pieces = Pieces::default();
            conversation.encode_answer(id, &refusal, &mut pieces);
            Encoded::of(&pieces, conversation.dialect().chunking())
        };
        for (_, connection) in self.connections.iter_mut() {
            let Connection { conversation: Some(conversation), queue, .. } = connection else { continue };
            let before = queue.bytes();
            queue.lose(lost, |id| refused(conversation, id));
            self.out_bytes = self.out_bytes - before + queue.bytes();
        }
        for (_, callee) in self.callees.iter_mut() {
            let before = callee.queue.bytes();
            callee.queue.lose(lost, |id| {
                let mut pieces = Pieces::default();
                Dialect::Delivery.encode_answer(id, &refusal, &mut pieces);
                Encoded::of(&pieces, Dialect::Delivery.chunking())
            });
            self.out_bytes = self.out_bytes - before + callee.queue.bytes();
        }
        for (_, correspondent) in self.correspondents.iter_mut() {
            let before = correspondent.queue.bytes();
            let Correspondent { conversation, queue, .. } = correspondent;
            queue.lose(lost, |id| refused(conversation, id));
            self.out_bytes = self.out_bytes - before + correspondent.queue.bytes();
        }
        self.datagrams.replies.lose(lost);
    }

    /// Asks what no longer has to wait: everything from before the question is in the store.
    pub(super) fn ask_queries(&mut self) {
        while let Some((batch, _)) = self.queries.front() {
            if *batch > self.persisted || self.asked.len() >= QUERIES_ASKED_MAX {
                return;
            }
            let Some((_, Query { connection, id, query })) = self.queries.pop_front() else { return };
            self.last_ticket += 1;
            self.asked.push_back((Ticket(self.last_ticket), connection, id));
            self.environment.query(Ticket(self.last_ticket), query);
        }
    }
}

/// About how many bytes a batch holds.
pub(super) fn weight(batch: &Batch) -> usize {
    const CHANGE: usize = 256;
    let text = |change: &Change| if let Change::Message(message) = change { message.text.bytes() } else { 0 };
    batch.changes.iter().map(|change| CHANGE + text(change)).sum()
}
