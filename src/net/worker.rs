//! The worker: one thread for what would hold the loop up. Jobs go in by a bounded queue, results come back as inputs.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::thread::{self, JoinHandle};

use rustls::ServerConfig;

use crate::hub::credentials::Credential;
use crate::hub::effect::Derivation;
use crate::hub::input::Ticket;
use crate::hub::name::UserName;
use crate::hub::scram::Verifier;

/// Jobs that the thread's queue holds; more wait on the loop's side.
const JOBS_QUEUED_MAX: usize = 16;

/// Something slow.
#[derive(Debug)]
pub enum Job {
    Derive(Ticket, Vec<Derivation>),
    Reload(Reload),
}

/// What came of a job.
#[derive(Debug)]
pub enum Done {
    Derived(Ticket, Vec<(UserName, Arc<Verifier>)>),
    Reloaded(Reloaded),
}

/// Reads the operator's files again. Files may be slow, so the worker does it.
#[derive(Clone)]
pub struct Reload(pub Arc<dyn Fn() -> Reloaded + Send + Sync>);

/// What was read; `None`: it stays as it was.
#[derive(Debug)]
pub struct Reloaded {
    /// With them: whether everybody knows their passwords.
    pub accounts: Option<(Vec<Credential>, bool)>,
    pub tls: Option<Arc<ServerConfig>>,
}

impl std::fmt::Debug for Reload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reload(..)")
    }
}

/// The loop's end of the worker.
#[derive(Debug)]
pub struct Worker {
    jobs: Option<SyncSender<Job>>,
    backlog: VecDeque<Job>,
    done: Receiver<Done>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts the thread. `notify` is called, on it, when a result is there.
    pub fn start(notify: impl Fn() + Send + 'static) -> io::Result<Worker> {
        let (jobs, queue) = sync_channel(JOBS_QUEUED_MAX);
        let (results, done) = channel();
        let thread = thread::Builder::new().name("worker".to_owned()).spawn(move || work(&queue, &results, notify))?;
        Ok(Worker { jobs: Some(jobs), backlog: VecDeque::new(), done, thread: Some(thread) })
    }

    /// Never blocks. Results come in the order of the jobs.
    pub fn submit(&mut self, job: Job) {
        self.backlog.push_back(job);
        self.feed();
    }

    /// A result, if there is one.
    pub fn result(&mut self) -> Option<Done> {
        let done = self.done.try_recv().ok()?;
        self.feed();
        Some(done)
    }

    fn feed(&mut self) {
        let Some(jobs) = &self.jobs else { return };
        while let Some(job) = self.backlog.pop_front() {
            if let Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) = jobs.try_send(job) {
                self.backlog.push_front(job);
                return;
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by its own hook.
            let _ = thread.join();
        }
    }
}

fn work(queue: &Receiver<Job>, results: &Sender<Done>, notify: impl Fn()) {
    for job in queue {
        let done = match job {
            Job::Reload(Reload(reload)) => Done::Reloaded(reload()),
            Job::Derive(ticket, derivations) => {
                Done::Derived(ticket, derivations.iter().map(Derivation::run).collect())
            }
        };
        if results.send(done).is_err() {
            return;
        }
        notify();
    }
}
