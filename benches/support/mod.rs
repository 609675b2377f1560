//! What the benches share: a server on a thread of this process, a crowd of clients that one thread plays, and the way
//! results are said.
#![allow(dead_code)] // Each bench uses its part.

pub mod bare;
pub mod bare_calls;
pub mod bare_echo;
pub mod bare_posts;
pub mod bare_relay;
pub mod bare_room;
pub mod bare_server;
pub mod bare_tls;
pub mod counting;
pub mod crowd;
pub mod guests;
pub mod log_ons;
pub mod receivers;
pub mod sessions;
pub mod tls_client;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use chatd::hub::change::Snapshot;
use chatd::hub::credentials::parse_credentials;
use chatd::hub::input::Input;
use chatd::hub::{Config, Hub};
use chatd::net::server::{Options, Server, Stopper};
use chatd::net::tls::identity::{Origin, load};
use chatd::store::Opened;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rustls::ServerConfig;

/// Nothing in a bench takes longer than this on a working server; a bench that waits longer gives up.
pub const LIMIT: Duration = Duration::from_secs(120);

/// How often it is looked whether a thread sleeps.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// How much a bench does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Enough to see that it works: `--quick`, or without `cargo bench`.
    Quick,
    Usual,
    /// `--full`.
    Full,
}

pub fn effort() -> Effort {
    let given = |flag: &str| std::env::args().any(|argument| argument == flag);
    match given("--bench") && !given("--quick") {
        false => Effort::Quick,
        true if given("--full") => Effort::Full,
        true => Effort::Usual,
    }
}

/// Whether a part of a bench is to run: all of them do, unless some are named.
pub fn part(name: &str) -> bool {
    let mut parts = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).peekable();
    parts.peek().is_none() || parts.any(|argument| argument == name)
}

/// Puts this thread, and those that it starts from now on, on one processor. On several, what a server's thread costs depends
/// on where it runs beside the clients', by more than many of the differences that are measured.
pub fn share_one_processor() {
    let allowed = sched_getaffinity(None).expect("a Linux");
    let first = (0..CpuSet::MAX_CPU).find(|&processor| allowed.is_set(processor)).expect("a processor");
    let mut one = CpuSet::new();
    one.set(first);
    sched_setaffinity(None, &one).expect("a processor that is allowed");
}

/// A thread of this process whose processor time can be read from another.
pub struct Task(PathBuf);

impl Task {
    /// The calling thread.
    pub fn this() -> Task {
        Task(PathBuf::from("/proc").join(fs::read_link("/proc/thread-self").expect("a Linux with /proc")))
    }

    /// Waits until the thread sleeps and goes on sleeping, then tells what it has cost so far. The clock is the one
    /// behind CLOCK_THREAD_CPUTIME_ID; unlike that it can be read by others, but only for a thread that sleeps.
    pub fn settled_cpu(&self) -> Duration {
        self.rested_cpu(Duration::ZERO)
    }

    /// The same, when the thread has slept for so long: it may have timers.
    pub fn rested_cpu(&self, rest: Duration) -> Duration {
        let end = Instant::now() + LIMIT;
        let mut before = None;
        let mut since = Instant::now();
        while Instant::now() < end {
            thread::sleep(LOOK_EVERY);
            match self.sleeps().then(|| self.cpu()) {
                Some(now) if before == Some(now) => {
                    if since.elapsed() >= rest {
                        return now;
                    }
                }
                now => (before, since) = (now, Instant::now()),
            }
        }
        panic!("the server does not come to rest");
    }

    /// What the thread has cost while `what` was done.
    pub fn cost(&self, what: impl FnOnce()) -> Duration {
        self.cost_with_rest(Duration::ZERO, what)
    }

    /// The same, up to such a rest.
    pub fn cost_with_rest(&self, rest: Duration, what: impl FnOnce()) -> Duration {
        let before = self.settled_cpu();
        what();
        self.rested_cpu(rest) - before
    }

    fn sleeps(&self) -> bool {
        let stat = fs::read_to_string(self.0.join("stat")).expect("a thread");
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S'))
    }

    fn cpu(&self) -> Duration {
        let schedstat = fs::read_to_string(self.0.join("schedstat")).expect("a kernel with schedstat");
        Duration::from_nanos(schedstat.split(' ').next().and_then(|field| field.parse().ok()).expect("nanoseconds"))
    }
}

/// A chatd on a thread of its own, which the counting allocator counts.
pub struct Running {
    pub address: SocketAddr,
    pub task: Task,
    /// What its encrypted connections are made with: its own certificate, for this run only.
    pub tls: Arc<ServerConfig>,
    stopper: Stopper,
    thread: JoinHandle<()>,
}

impl Running {
    /// With accounts `u0`, `u1`, …; see `crowd::password`.
    pub fn start(accounts: usize, open: impl FnOnce() -> (Opened, Snapshot) + Send + 'static) -> Running {
        let (tell, told) = mpsc::channel();
        let tls = load(&Origin::Passing).expect("a certificate").config;
        let offered = Arc::clone(&tls);
        let thread = thread::Builder::new().name("chatd".into());
        let thread = thread.spawn(move || {
            counting::count_this_thread();
            let lines: String = (0..accounts).map(|n| format!("{} {}\n", crowd::name(n), crowd::PASSWORD)).collect();
            let credentials = parse_credentials(lines.as_bytes()).expect("accounts");
            let (store, snapshot) = open();
            let config = Config {
                // What verifiers and heartbeats cost is not the question here, nor how fast people may send.
                scram_iterations: 1,
                messages_per_second: None,
                heartbeat_timeout: Duration::from_secs(86_400),
                ..Config::default()
            };
            let options = Options {
                addresses: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))],
                plaintext: "loopback".parse().expect("a scope"),
                guests: "loopback".parse().expect("a scope"),
                tls: Some(offered),
                ..Options::default()
            };
            let hub = |now, out: &mut _| Hub::new(config, [7; 32], snapshot, now, out);
            let mut server = Server::start(options, store, hub).expect("a server");
            server.input(Input::Accounts { credentials, public: false });
            let (_, address) = server.addresses()[0];
            tell.send((address, Task::this(), server.stopper())).expect("the bench waits");
            server.run().expect("a loop that runs");
        });
        let thread = thread.expect("a thread");
        let (address, task, stopper) = told.recv().expect("a server");
        Running { address, task, tls, stopper, thread }
    }

    pub fn stop(self) {
        self.stopper.stop().expect("a loop that runs");
        self.thread.join().expect("a server without a bug");
    }
}

/// Measures two things in turns. Comes back: what each round has cost, in µs.
pub fn in_turns(
    rounds: usize,
    mut ours: impl FnMut() -> Duration,
    mut theirs: impl FnMut() -> Duration,
) -> Vec<[f64; 2]> {
    let mut costs = Vec::new();
    for round in 0..rounds {
        let (mine, other) = if round % 2 == 0 {
            let mine = ours();
            (mine, theirs())
        } else {
            let other = theirs();
            (ours(), other)
        };
        costs.push([mine.as_secs_f64() * 1e6, other.as_secs_f64() * 1e6]);
    }
    costs
}

/// Says what came out of two things that were measured in turns: the median of the ratios. `count`: of how many a round
/// consisted.
pub fn tell(what: &str, costs: &[[f64; 2]], target: Option<f64>, count: usize) {
    let ratio = middle(costs, |[mine, other]| mine / other);
    let each = |of: fn(&[f64; 2]) -> f64| middle(costs, of) / count as f64;
    let (verdict, limit) = match target {
        Some(target) => (verdict(ratio <= target), format!("of at most {target}; ")),
        None => ("(for information)", String::new()),
    };
    println!(
        "  {verdict} {what}: {ratio:.2} times the processor time ({limit}{} rounds; {:.2} and {:.2} µs each)",
        costs.len(),
        each(|costs| costs[0]),
        each(|costs| costs[1]),
    );
}

/// The median of something about each round.
pub fn middle(costs: &[[f64; 2]], of: impl Fn(&[f64; 2]) -> f64) -> f64 {
    median(&mut costs.iter().map(of).collect::<Vec<f64>>())
}

/// The middle one.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Says whether a target was met, in a form that can be searched for. A quick run, mostly of a debug build, shows nothing.
pub fn verdict(met: bool) -> &'static str {
    match effort() {
        Effort::Quick => "(quick)",
        _ if met => "PASS",
        _ => "FAIL",
    }
}
