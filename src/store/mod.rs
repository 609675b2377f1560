//! What outlives the server: the only user of SQLite.
//!
//! It keeps the changes that the hub makes and gives them back as a `Snapshot` at the start; in between it answers
//! questions about the log. It knows the hub's types, and nothing of rules, connections, the loop or a clock.
//!
//! What always holds: no call on a running [`Store`] waits for the disk, but for [`Store::close`]. What is on disk is
//! the fold of the batches that were reported as persisted, in their order, and of at most one group beyond them.

mod absences;
mod apply;
mod forget;
mod history;
mod memory;
mod open;
mod row;
mod snapshot;
#[cfg(test)]
mod tests;
mod writer;

use std::io;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{self, JoinHandle};

use crate::hub::change::{Change, Snapshot};
use crate::hub::message::{HistoryPage, HistoryQuery};
use memory::Memory;
pub use open::OpenError;
use writer::{Order, Writer};

/// So many queries wait for the reader at most, beside the one that it works on.
const QUERIES_WAITING_MAX: usize = 64;

/// What a commit survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// A power cut: the disk has it before it counts.
    #[default]
    Full,
    /// The end of the process, but not a power cut.
    Process,
}

/// The changes of one turn. Numbers rise by 1 from 1.
#[derive(Clone, Debug)]
pub struct Batch {
    pub number: u64,
    pub changes: Arc<[Change]>,
}

/// The asker's own name for a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What has become of something that was asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Completion {
    /// Every batch up to this one is kept, but for those that were discarded after a failure.
    Persisted { through: u64 },
    /// Nothing of this batch or any later one is on disk, nor will be of those submitted before `resume`.
    Failed { first: u64, error: String },
    /// `None`: it could not be read (the log says why), or too many were asked at once.
    Page { ticket: Ticket, page: Option<HistoryPage> },
}

/// What holds when `submit` returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// A completion will tell.
    Pending,
    /// It counts as kept already; no completion will tell.
    Persisted,
}

/// Called on the writer thread before the commit of a group, with the numbers of its batches. It may block, as a
/// stalled disk does, or return an error, as a full one does.
pub type BeforeCommit = Box<dyn FnMut(RangeInclusive<u64>) -> Result<(), String> + Send>;

/// Where a test can take the disk's part.
#[derive(Default)]
pub struct Hooks {
    pub before_commit: Option<BeforeCommit>,
}

/// A store that holds its directory and does not run yet.
pub struct Opened(Place<Box<(open::Files, Hooks)>, ()>);

/// A store that runs. Dropped without `close` it still writes what was submitted, but nobody waits for it.
pub struct Store {
    place: Place<Disk, Memory>,
    reports: Reports,
    completions: Receiver<Completion>,
    last_number: u64,
}

enum Place<D, M> {
    Disk(D),
    Memory(M),
}

struct Disk {
    orders: Sender<Order>,
    queries: SyncSender<(Ticket, HistoryQuery)>,
    writer: JoinHandle<()>,
    reader: JoinHandle<()>,
}

/// The way of completions to the owner of the store.
#[derive(Clone)]
struct Reports {
    completions: Sender<Completion>,
    notify: Arc<dyn Fn() + Send + Sync>,
}

impl Store {
    /// Opens the data directory, and creates what is missing. Nobody else can open it until the store is closed or the
    /// process ends.
    pub fn open(dir: &Path, durability: Durability, hooks: Hooks) -> Result<(Opened, Snapshot), OpenError> {
        let (files, snapshot) = open::open(dir, durability)?;
        Ok((Opened(Place::Disk(Box::new((files, hooks)))), snapshot))
    }

    /// A store that keeps nothing; its snapshot is the empty one.
    /// Whether there is a database in this directory.
    pub fn exists(dir: &Path) -> bool {
        dir.join(open::DATABASE).exists()
    }

    pub fn memory() -> Opened {
        Opened(Place::Memory(()))
    }

    /// Takes the changes of a turn. Never blocks. How many may be pending is for the caller to bound: one that stops
    /// reading its connections while much is pending gets no more.
    pub fn submit(&mut self, batch: Batch) -> Submitted {
        debug_assert_eq!(batch.number, self.last_number + 1, "batches are numbered without a gap");
        self.last_number = batch.number;
        match &mut self.place {
            Place::Memory(memory) => {
                batch.changes.iter().for_each(|change| memory.apply(change));
                Submitted::Persisted
            }
            Place::Disk(disk) => {
                let first = batch.number;
                if disk.orders.send(Order::Batch(batch)).is_err() {
                    self.reports.report(Completion::Failed { first, error: "the store has stopped".into() });
                }
                Submitted::Pending
            }
        }
    }

    /// Asks for a page of history; a completion brings it. The answer knows everything that was reported as persisted
    /// before. Never blocks.
    pub fn query(&mut self, ticket: Ticket, query: HistoryQuery) {
        match &mut self.place {
            Place::Memory(memory) => {
                let page = Some(memory.page(&query));
                self.reports.report(Completion::Page { ticket, page });
            }
            Place::Disk(disk) => {
                if disk.queries.try_send((ticket, query)).is_err() {
                    log::warn!("history can't be read: {QUERIES_WAITING_MAX} queries are waiting already");
                    self.reports.report(Completion::Page { ticket, page: None });
                }
            }
        }
    }

    /// What was completed since the last time, in order.
    pub fn completions(&mut self) -> impl Iterator<Item = Completion> {
        self.completions.try_iter()
    }

    /// After `Failed`, once everything in flight is undone: batches submitted before this are discarded, those after it
    /// are tried.
    pub fn resume(&mut self) {
        if let Place::Disk(disk) = &self.place {
            // If the writer has stopped, the next batch says so.
            let _ = disk.orders.send(Order::Resume);
        }
    }

    /// Waits until everything that was submitted has its outcome, and releases the directory. Returns the completions
    /// that nobody has fetched.
    pub fn close(self) -> Vec<Completion> {
        if let Place::Disk(Disk { orders, queries, writer, reader }) = self.place {
            drop((orders, queries));
            // The reader first, so that the writer is alone with the database at the end.
            for thread in [reader, writer] {
                if thread.join().is_err() {
                    log::error!("a thread of the store ended in a bug, see the panic above");
                }
            }
        }
        self.completions.try_iter().collect()
    }
}

impl Opened {
    /// Lets it run. `notify` is called after each new completion, from a thread of the store, or from within `submit`
    /// and `query` when they know the outcome at once.
    pub fn start(self, notify: impl Fn() + Send + Sync + 'static) -> io::Result<Store> {
        let (sender, completions) = channel();
        let reports = Reports { completions: sender, notify: Arc::new(notify) };
        let place = match self.0 {
            Place::Memory(()) => Place::Memory(Memory::default()),
            Place::Disk(opened) => {
                let (files, hooks) = *opened;
                Place::Disk(Disk::start(files, hooks, &reports)?)
            }
        };
        Ok(Store { place, reports, completions, last_number: 0 })
    }
}

impl Disk {
    fn start(files: open::Files, hooks: Hooks, reports: &Reports) -> io::Result<Disk> {
        let (writer, connection) = Writer::new(files, hooks, reports.clone());
        let (orders, to_do) = channel();
        let (queries, to_answer) = sync_channel(QUERIES_WAITING_MAX);
        let reports = reports.clone();
        let writer = thread::Builder::new().name("store-writer".into()).spawn(move || writer.run(to_do))?;
        let reader = thread::Builder::new()
            .name("store-reader".into())
            .spawn(move || history::run(connection, to_answer, reports))?;
        Ok(Disk { orders, queries, writer, reader })
    }
}

impl Reports {
    fn report(&self, completion: Completion) {
        // If nobody fetches it, nobody needs it.
        if self.completions.send(completion).is_ok() {
            (self.notify)();
        }
    }
}
