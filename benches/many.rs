//! What many connections cost the server: those that are only held open, those that never read, and ten thousand at once.
//!
//! `cargo bench --bench many`. The server is a thread of this process; the ten thousand are played by two more processes,
//! because all their descriptors would not fit into one.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockRef;

use chatd::hub::change::Snapshot;
use chatd::store::Store;
use chatd::wire::native::client::{Ask, FromServer, Hear, Told, decode, encode};
use chatd::wire::scram::{ClientExchange, Secret};
use chatd::wire::{RequestId, UserName};
use support::counting::{Counting, heap};
use support::crowd::{self, Crowd};
use support::{Effort, LIMIT, Running, effort, verdict};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Connections that are open and say nothing, and those that ask much and never read.
const HALF_OPEN: usize = 150;
const NEVER_READING: usize = 100;
/// The room that somebody who never reads has for what comes, in bytes.
const UNREAD_BUFFER: usize = 4096;
/// How much more CPU a log-in may cost beside them, and how long it may take.
const LOG_IN_TARGET: f64 = 2.0;
const LOG_IN_WITHIN: Duration = Duration::from_secs(1);
/// The share of a core that connections may cost that do nothing.
const IDLE_TARGET: f64 = 0.001;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--driver") {
        let number = |n: usize| arguments[at + n].parse().expect("a number");
        return drive(arguments[at + 1].parse().expect("an address"), number(2), number(3));
    }
    let (log_ins, many, idle) = match effort() {
        Effort::Quick => (20, 200, Duration::from_millis(200)),
        Effort::Usual => (500, 10_000, Duration::from_secs(10)),
        Effort::Full => (2000, 10_000, Duration::from_secs(60)),
    };
    println!("many: the server's CPU, --memory, plain connections; log-ins without a password's slow part");
    beside_the_idle(log_ins, idle);
    ten_thousand(many, idle);
}

/// What a log-in costs while others only take up room.
fn beside_the_idle(log_ins: usize, idle: Duration) {
    let server = Running::start(NEVER_READING + 1, || (Store::memory(), Snapshot::default()));
    // The first ones make the server set things up.
    log_in_often(&server, log_ins / 10 + 1);
    let (alone, _) = log_in_often(&server, log_ins);

    let mut unread = Vec::new();
    for n in 0..NEVER_READING {
        let stream = log_in(server.address, n + 1);
        SockRef::from(&stream).set_recv_buffer_size(UNREAD_BUFFER).expect("a socket");
        ask_without_reading(&stream, &server);
        unread.push(stream);
    }
    let half_open: Vec<TcpStream> =
        (0..HALF_OPEN).map(|_| TcpStream::connect(server.address).expect("a server that listens")).collect();
    let before = server.task.settled_cpu();
    let resting = Instant::now();
    thread::sleep(idle.min(Duration::from_secs(3)));
    let share = (server.task.settled_cpu() - before).as_secs_f64() / resting.elapsed().as_secs_f64();
    let (beside, slowest) = log_in_often(&server, log_ins);

    let ratio = beside.as_secs_f64() / alone.as_secs_f64();
    println!(
        "  {} a log-in beside {HALF_OPEN} half-open and {NEVER_READING} never-reading connections: {ratio:.2} of one \
         alone ({:.0} of {:.0} us; limit {LOG_IN_TARGET})",
        verdict(ratio <= LOG_IN_TARGET),
        beside.as_secs_f64() * 1e6,
        alone.as_secs_f64() * 1e6,
    );
    println!(
        "  {} the slowest of {log_ins} took {:.1} ms (limit {} ms)",
        verdict(slowest < LOG_IN_WITHIN),
        slowest.as_secs_f64() * 1e3,
        LOG_IN_WITHIN.as_millis(),
    );
    println!(
        "  {} they cost {:.4} % of a core while nothing happens (limit {} %)",
        verdict(share <= IDLE_TARGET),
        share * 100.0,
        IDLE_TARGET * 100.0
    );
    drop((unread, half_open));
    server.stop();
}

/// Asks until the server takes no more, because what it would answer waits already.
fn ask_without_reading(mut stream: &TcpStream, server: &Running) {
    stream.set_nonblocking(true).expect("a socket");
    let requests = "{\"id\":3,\"request\":\"privacy\"}\n".repeat(1000);
    let end = Instant::now() + LIMIT;
    while Instant::now() < end {
        if stream.write(requests.as_bytes()).is_err() {
            server.task.settled_cpu();
            if stream.write(requests.as_bytes()).is_err() {
                return;
            }
        }
    }
    panic!("the server keeps everything for whoever does not read");
}

/// CPU of the server a log-in, and the time of the slowest.
fn log_in_often(server: &Running, times: usize) -> (Duration, Duration) {
    let before = server.task.settled_cpu();
    let mut slowest = Duration::ZERO;
    for _ in 0..times {
        let began = Instant::now();
        drop(log_in(server.address, 0));
        slowest = slowest.max(began.elapsed());
    }
    ((server.task.settled_cpu() - before) / times as u32, slowest)
}

/// A log-in without a device.
fn log_in(address: SocketAddr, n: usize) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("a server that listens");
    stream.set_nodelay(true).expect("no delay");
    stream.set_read_timeout(Some(LIMIT)).expect("a socket");
    let user = UserName::parse(&crowd::name(n)).expect("a name");
    let exchange = ClientExchange::new(&user, b"nonce", None);
    let ask = Ask::LogIn { resume: false, bound: false, message: exchange.message(), device: None };
    let Told::Challenge { message, .. } = asked(&mut stream, 1, &ask) else { panic!("no challenge") };
    let challenge = exchange.challenge(&message).expect("a challenge");
    let secret = Secret::salted(crowd::PASSWORD, &challenge.salt, challenge.iterations);
    let (message, ..) = exchange.prove(&challenge, &secret);
    let told = asked(&mut stream, 2, &Ask::Authenticate { message });
    assert!(matches!(told, Told::LoggedIn { .. }), "{told:?}");
    stream
}

fn asked(stream: &mut TcpStream, id: u64, ask: &Ask) -> Told {
    let mut bytes = Vec::new();
    encode(Some(RequestId(id)), ask, &mut bytes);
    stream.write_all(&bytes).expect("a server that reads");
    let mut heard = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer).expect("an answer");
        assert!(read > 0, "the server has closed");
        heard.extend_from_slice(&buffer[..read]);
        if let Hear::Line { line: FromServer::Answer { answer: Ok(told), .. }, .. } = decode(&heard) {
            return told;
        }
        assert!(!heard.contains(&b'\n'), "{}", String::from_utf8_lossy(&heard));
    }
}

/// What so many connections cost while nothing happens, and what they leave behind.
fn ten_thousand(many: usize, idle: Duration) {
    let server = Running::start(many, || (Store::memory(), Snapshot::default()));
    log_in_often(&server, 1);
    let (descriptors_before, before) = (descriptors(), server.task.settled_cpu());
    let held_before = heap().held;
    let began = Instant::now();
    let mut drivers: Vec<Driver> =
        (0..2).map(|half| Driver::start(server.address, half * many / 2, many / 2)).collect();
    drivers.iter_mut().for_each(Driver::is_in);
    let all_in = server.task.settled_cpu();
    println!(
        "  {many} users with a device logged in within {:.1} s, for {:.1} s of CPU; each is told of each",
        began.elapsed().as_secs_f64(),
        (all_in - before).as_secs_f64()
    );
    let resting = Instant::now();
    thread::sleep(idle);
    let share = (server.task.settled_cpu() - all_in).as_secs_f64() / resting.elapsed().as_secs_f64();
    println!(
        "  {} {many} connections cost {:.4} % of a core while nothing happens (limit {} %)",
        verdict(share <= IDLE_TARGET),
        share * 100.0,
        IDLE_TARGET * 100.0
    );
    drivers.into_iter().for_each(Driver::end);
    let end = Instant::now() + LIMIT;
    while descriptors() > descriptors_before && Instant::now() < end {
        server.task.settled_cpu();
    }
    let descriptors_after = descriptors();
    // What the server remembers of a device stays for thirty days.
    let left = (heap().held - held_before) as f64 / many as f64;
    println!(
        "  {} descriptors before and after: {descriptors_before} and {descriptors_after}; of each user {left:.0} bytes \
         stay: its device",
        verdict(descriptors_after <= descriptors_before)
    );
    server.stop();
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("a Linux with /proc").count()
}

/// A process that plays some of the clients.
struct Driver {
    child: Child,
    says: BufReader<ChildStdout>,
}

impl Driver {
    fn start(address: SocketAddr, first: usize, count: usize) -> Driver {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--driver", &address.to_string(), &first.to_string(), &count.to_string()]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a process");
        let says = BufReader::new(child.stdout.take().expect("its output"));
        Driver { child, says }
    }

    /// Waits until all its clients are logged in.
    fn is_in(&mut self) {
        let mut line = String::new();
        self.says.read_line(&mut line).expect("a word");
        assert_eq!(line, "in\n", "a driver that gets its clients in");
    }

    fn end(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().expect("its end").success());
    }
}

/// What a driver does: logs its clients in, says so, and waits to be ended.
fn drive(address: SocketAddr, first: usize, count: usize) {
    let mut crowd = Crowd::new(address);
    crowd.first = first;
    crowd.log_in(count);
    println!("in");
    // Until whoever has started it closes.
    let _ = std::io::stdin().read(&mut [0]);
}
