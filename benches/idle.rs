//! What an idle connection costs: the server's own memory, with so many clients and with none.
//!
//! `cargo bench --bench idle`. Each client is a user of its own, logged in with a device, over a real socket.

mod support;

use std::thread;
use std::time::Duration;

use chatd::hub::change::Snapshot;
use chatd::hub::devices::FLUSH_AFTER;
use chatd::store::Store;
use support::counting::{Counting, Heap, heap};
use support::crowd::Crowd;
use support::{Effort, Running, effort, verdict};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes of the server's own memory that an idle logged-in native connection may cost.
const TARGET_BYTES: f64 = 1024.0;

fn main() {
    let counts: &[usize] = match effort() {
        Effort::Quick => &[100],
        Effort::Usual | Effort::Full => &[1000, 5000],
    };
    println!("idle: bytes of the server's heap for each idle, logged-in native connection with a device; --memory");
    for &count in counts {
        measure(count);
    }
}

fn measure(count: usize) {
    let server = Running::start(count + 1, || (Store::memory(), Snapshot::default()));
    let mut crowd = Crowd::new(server.address);
    // Whatever the first one makes the server set up is not what one more costs.
    crowd.log_in(1);
    server.task.settled_cpu();
    let none = heap();
    crowd.log_in(count + 1);
    server.task.settled_cpu();
    tell("after the log-in", count, none, heap());
    crowd.send(0, b"{\"id\":3,\"request\":\"broadcast\",\"text\":\"to all\",\"counter\":1}\n");
    crowd.until(count as u64, 1);
    crowd.acknowledge();
    // The hub writes cursors that have moved within five seconds.
    thread::sleep(FLUSH_AFTER + Duration::from_secs(1));
    server.task.settled_cpu();
    tell("after a broadcast, acknowledged", count, none, heap());
    drop(crowd);
    server.stop();
}

fn tell(when: &str, count: usize, none: Heap, now: Heap) {
    let each = |now: i64, none: i64| (now - none) as f64 / count as f64;
    let (asked, held) = (each(now.asked, none.asked), each(now.held, none.held));
    println!(
        "  {} {count} connections, {when}: {:.2} of {TARGET_BYTES} bytes ({asked:.0}; {held:.0} with malloc's own)",
        verdict(asked.max(held) <= TARGET_BYTES),
        held / TARGET_BYTES,
    );
}
