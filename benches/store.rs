//! What the store does: commits, history, and how long a start takes.
//!
//! `cargo bench --bench store`; `-- --full` with a million messages in the log, which takes about a minute.

mod support;

use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use chatd::hub::change::{Change, DeviceRow, Snapshot};
use chatd::hub::id::{DeviceId, Number, UserId};
use chatd::hub::message::{HistoryPage, HistoryQuery, Message, Origin, Recipient, Sender};
use chatd::hub::name::UserName;
use chatd::hub::text::Text;
use chatd::hub::time::{LocalTime, WallTime};
use chatd::store::{Batch, Completion, Durability, Hooks, Store, Submitted, Ticket};
use support::{Effort, LIMIT, effort};
use tempfile::TempDir;

const USERS: u32 = 1000;
/// The log is written within this time, however short that leaves it.
const WRITING_MAX: Duration = Duration::from_secs(60);
/// Batches that wait for the disk at once, where many do.
const IN_FLIGHT: usize = 64;

fn main() {
    let (commits, rows) = match effort() {
        Effort::Quick => (20, 2_000),
        Effort::Usual => (300, 100_000),
        Effort::Full => (1000, 1_000_000),
    };
    println!("store: SQLite on the disk under target/");
    for durability in [Durability::Full, Durability::Process] {
        measure_commits(durability, commits);
    }
    measure_log(rows);
}

/// Commits one after the other, then with many in flight: what commits of groups gain is the ratio.
fn measure_commits(durability: Durability, commits: u64) {
    let dir = directory();
    let mut running = Running::open(dir.path(), durability).0;
    running.keep(users());
    let mut next = 1;
    let mut message = || {
        next += 1;
        accepted(written(next))
    };
    let begin = Instant::now();
    for _ in 0..commits {
        running.keep(vec![message()]);
    }
    let single = commits as f64 / begin.elapsed().as_secs_f64();
    let begin = Instant::now();
    let grouped = commits * 20;
    for _ in 0..grouped {
        running.submit(vec![message()]);
        while running.in_flight.len() >= IN_FLIGHT {
            running.next();
        }
    }
    running.settle();
    let many = grouped as f64 / begin.elapsed().as_secs_f64();
    println!(
        "  --durability {}: {:.1} times as many messages/s with {IN_FLIGHT} batches in flight as with one \
         ({many:.0} and {single:.0})",
        format!("{durability:?}").to_lowercase(),
        many / single,
    );
    running.store.close();
}

fn measure_log(rows_wanted: u64) {
    let dir = directory();
    let mut running = Running::open(dir.path(), Durability::Process).0;
    running.keep(users());
    let begin = Instant::now();
    let mut rows = 0;
    for first in (1..=rows_wanted).step_by(1000) {
        // A slow disk makes a shorter log, not a longer bench.
        if begin.elapsed() >= WRITING_MAX {
            break;
        }
        let mut changes: Vec<_> = (first..first + 1000).map(|n| accepted(written(n))).collect();
        let user = UserId((first / 1000 % 2) as u32);
        changes.insert(0, Change::Arrived { user, first: Number(first) });
        changes.push(Change::Left { user, last: Number(first + 999) });
        running.keep(changes);
        rows = first + 999;
    }
    let per_second = rows as f64 / begin.elapsed().as_secs_f64();
    println!("  --durability process, a log of {rows} messages: written at {per_second:.0} messages/s");
    let cursor = Number(rows.saturating_sub(20_000));
    running.keep((0..USERS).map(|id| device(UserId(id), cursor)).collect());
    let own =
        |viewer| HistoryQuery { viewer: UserId(viewer), with: None, before: None, limit: 100, blocked: Arc::new([]) };
    let queries = [
        ("one's own", own(1)),
        ("one's own, from the middle", HistoryQuery { before: Some(Number(rows / 2)), ..own(1) }),
        ("of somebody who was never online", own(5)),
        ("with one other", HistoryQuery { with: Some(UserId(919)), ..own(1) }),
    ];
    for (what, query) in queries {
        let begin = Instant::now();
        let found = running.history(query.clone()).messages.len();
        let cold = begin.elapsed();
        let begin = Instant::now();
        for _ in 0..20 {
            running.history(query.clone());
        }
        println!(
            "    a page of history, {what}: {found} messages, first {cold:.1?}, then {:.1?}",
            begin.elapsed() / 20
        );
    }
    running.store.close();
    let size = fs::metadata(dir.path().join("chatd.sqlite3")).expect("a database").len();
    println!("    {} bytes of database a message", size / rows);
    let begin = Instant::now();
    let (mut running, snapshot) = Running::open(dir.path(), Durability::Process);
    println!(
        "    a start takes {:.1?}: {} messages wait, {} sends are remembered",
        begin.elapsed(),
        snapshot.waiting.len(),
        snapshot.sends.len()
    );
    // Old history goes a step at a time, between commits: none of them may take long.
    running.keep(vec![Change::Forget { before: WallTime::from_millis(1000 + rows / 10) }]);
    let mut slowest = Duration::ZERO;
    for number in 0..200 {
        let begin = Instant::now();
        running.keep(vec![accepted(written(2 * rows + number))]);
        slowest = slowest.max(begin.elapsed());
    }
    println!("    while a tenth of it is forgotten, the slowest of 200 commits takes {slowest:.1?}");
    running.store.close();
}

/// On the disk that the project is on: /tmp may be memory.
fn directory() -> TempDir {
    TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory")
}

fn name(id: u32) -> UserName {
    UserName::parse(&format!("user{id}")).expect("a name")
}

fn users() -> Vec<Change> {
    (0..USERS).map(|id| Change::User { id: UserId(id), name: name(id) }).collect()
}

fn device(user: UserId, cursor: Number) -> Change {
    let (device, seen) = (DeviceId::from_bytes([1; 16]), WallTime::from_millis(5));
    Change::Device(Box::new(DeviceRow { user, device, cursor, absences: Vec::new(), seen, token: None }))
}

fn written(number: u64) -> Message {
    let (from, to) = ((number % 997) as u32, (number * 7919 % u64::from(USERS)) as u32);
    let everyone = number.is_multiple_of(10);
    Message {
        number: Number(number),
        time: WallTime::from_millis(1000 + number),
        local: LocalTime::from_number(20_240_101_000_000),
        from: Sender::User(UserId(from), name(from)),
        to: if everyone { Recipient::Everyone } else { Recipient::User(UserId(to), name(to)) },
        text: Text::parse(&format!("a message of an ordinary length, and its number is {number}")).expect("a text"),
        origin: Some(Origin { device: DeviceId::from_bytes([1; 16]), counter: number }),
    }
}

fn accepted(message: Message) -> Change {
    Change::Message(Arc::new(message))
}

/// A running store, and a way to wait for its completions.
struct Running {
    store: Store,
    notified: Receiver<()>,
    number: u64,
    in_flight: VecDeque<u64>,
}

impl Running {
    fn open(dir: &Path, durability: Durability) -> (Running, Snapshot) {
        let (opened, snapshot) = Store::open(dir, durability, Hooks::default()).expect("a store");
        let (notify, notified) = mpsc::channel();
        let store = opened.start(move || _ = notify.send(())).expect("a store");
        (Running { store, notified, number: 0, in_flight: VecDeque::new() }, snapshot)
    }

    fn submit(&mut self, changes: Vec<Change>) {
        self.number += 1;
        let batch = Batch { number: self.number, changes: changes.into() };
        assert_eq!(self.store.submit(batch), Submitted::Pending);
        self.in_flight.push_back(self.number);
    }

    /// Waits for a completion; comes back: the page that it was.
    fn next(&mut self) -> Option<HistoryPage> {
        self.notified.recv_timeout(LIMIT).expect("a completion in time");
        match self.store.completions().next().expect("what was notified of") {
            Completion::Persisted { through } => self.in_flight.retain(|&number| number > through),
            Completion::Page { page, .. } => return page,
            Completion::Failed { error, .. } => panic!("{error}"),
        }
        None
    }

    fn settle(&mut self) {
        while !self.in_flight.is_empty() {
            self.next();
        }
    }

    fn keep(&mut self, changes: Vec<Change>) {
        self.submit(changes);
        self.settle();
    }

    fn history(&mut self, query: HistoryQuery) -> HistoryPage {
        self.store.query(Ticket(7), query);
        self.next().expect("a page")
    }
}
