//! The thread that writes: everything that waits is committed together.
//!
//! A group is on disk as a whole or not at all. After a group that failed, nothing is written until net says that it
//! has undone what was in flight; that word comes through the same channel as the batches, so that none is mistaken.
//!
//! One gap is SQLite's: when a sync fails whose write reached the disk all the same, and the machine stops before the next
//! commit has overwritten it, then the failed group is there after the restart, as a whole.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, TryRecvError};

use rusqlite::{Connection, TransactionBehavior};

use super::open::Files;
use super::row::one_line;
use super::{Batch, Completion, Hooks, Reports, apply, forget};
use crate::hub::change::Change;

/// A group takes no further batch once it has so many changes, so that a commit stays short.
const GROUP_CHANGES_MAX: usize = 10_000;
/// A group has so many batches at most.
const GROUP_BATCHES_MAX: usize = 10_000;

pub(super) enum Order {
    Batch(Batch),
    Resume,
}

pub(super) struct Writer {
    connection: Connection,
    hooks: Hooks,
    reports: Reports,
    /// A group failed, and net has not said yet that it knows.
    failed: bool,
    /// Old history is being deleted.
    forgetting: bool,
    /// The last field, and so dropped last: the lock is given back when nothing can write any more.
    _lock: File,
}

impl Writer {
    /// And the connection for the reader.
    pub fn new(files: Files, hooks: Hooks, reports: Reports) -> (Writer, Connection) {
        let Files { writer, reader, lock } = files;
        // An unfinished deletion goes on; if this can't be read now, the first step will say so.
        let forgetting = forget::pending(&writer).unwrap_or(true);
        (Writer { connection: writer, hooks, reports, failed: false, forgetting, _lock: lock }, reader)
    }

    /// Until nobody can give orders any more and all are done.
    pub fn run(mut self, orders: Receiver<Order>) {
        let mut next = None;
        while let Some(order) = next.take().or_else(|| self.wait(&orders)) {
            match order {
                Order::Resume => self.failed = false,
                Order::Batch(_) if self.failed => {}
                Order::Batch(batch) => {
                    let (group, other) = gather(batch, &orders);
                    next = other;
                    self.commit(&group);
                }
            }
        }
        if let Err(error) = self.connection.pragma_update_and_check(None, "wal_checkpoint", "truncate", |_| Ok(())) {
            // Nothing is lost: the next start reads the write-ahead log.
            log::warn!("the write-ahead log can't be folded into the database: {error}");
        }
    }

    /// The next order. While there is none, old history goes.
    fn wait(&mut self, orders: &Receiver<Order>) -> Option<Order> {
        while self.forgetting && !self.failed {
            match orders.try_recv() {
                Ok(order) => return Some(order),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) => self.forget(),
            }
        }
        orders.recv().ok()
    }

    fn commit(&mut self, group: &[Batch]) {
        let first = group[0].number;
        let through = group[group.len() - 1].number;
        // A bug must end in errors for the senders, not in a server that waits for a dead thread.
        let outcome = catch_unwind(AssertUnwindSafe(|| self.try_commit(group, first, through)));
        let outcome = outcome.unwrap_or_else(|_| Err("a bug in the store, see the panic above".into()));
        match outcome {
            Ok(()) => self.reports.report(Completion::Persisted { through }),
            Err(error) => {
                self.failed = true;
                self.reports.report(Completion::Failed { first, error });
            }
        }
    }

    /// An early return drops the transaction, and that rolls it back.
    fn try_commit(&mut self, group: &[Batch], first: u64, through: u64) -> Result<(), String> {
        let say = |error: rusqlite::Error| one_line(&error);
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(say)?;
        let mut forgetting = self.forgetting;
        for change in group.iter().flat_map(|batch| batch.changes.iter()) {
            apply::apply(&transaction, change).map_err(say)?;
            forgetting |= matches!(change, Change::Forget { .. });
        }
        if forgetting {
            forgetting = forget::step(&transaction).map_err(say)?;
        }
        if let Some(hook) = &mut self.hooks.before_commit {
            hook(first..=through)?;
        }
        transaction.commit().map_err(say)?;
        self.forgetting = forgetting;
        Ok(())
    }

    fn forget(&mut self) {
        let mut step = || {
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let forgetting = forget::step(&transaction)?;
            transaction.commit()?;
            Ok(forgetting)
        };
        self.forgetting = step().unwrap_or_else(|error: rusqlite::Error| {
            // It stays written down, and goes on with the next `Forget` or the next start.
            log::warn!("old history can't be deleted: {error}");
            false
        });
    }
}

/// What waits, up to something that is not a batch.
fn gather(first: Batch, orders: &Receiver<Order>) -> (Vec<Batch>, Option<Order>) {
    let mut changes = first.changes.len();
    let mut group = vec![first];
    while changes < GROUP_CHANGES_MAX && group.len() < GROUP_BATCHES_MAX {
        match orders.try_recv() {
            Ok(Order::Batch(batch)) => {
                changes += batch.changes.len();
                group.push(batch);
            }
            Ok(other) => return (group, Some(other)),
            Err(_) => break,
        }
    }
    (group, None)
}
