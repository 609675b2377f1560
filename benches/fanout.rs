//! What a broadcast to a thousand connections costs: processor time beside a bare fan-out of the same bytes with the same
//! system calls, and allocations a recipient.
//!
//! `cargo bench --bench fanout`. Both servers run in this process, each on a thread of its own; the same thread plays the
//! clients of both; they are measured in turns.

mod support;

use std::time::Duration;

use chatd::hub::change::Snapshot;
use chatd::store::Store;
use support::bare::{Bare, Texts};
use support::counting::{Counting, heap};
use support::crowd::{ACKNOWLEDGE_EVERY, Crowd};
use support::{Effort, Running, Task, effort, median, verdict};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Processor time of a broadcast, in those of the bare fan-out.
const TARGET_RATIO: f64 = 1.3;
/// A round is so many broadcasts: each client acknowledges once in it.
const BROADCASTS_A_ROUND: u64 = ACKNOWLEDGE_EVERY;

fn main() {
    let (recipients, rounds) = match effort() {
        Effort::Quick => (50, 3),
        Effort::Usual => (1000, 25),
        Effort::Full => (1000, 51),
    };
    println!(
        "fanout: a broadcast to {recipients} native connections beside a bare mio fan-out of the same bytes; --memory"
    );
    let server = Running::start(2 * recipients + 1, || (Store::memory(), Snapshot::default()));
    let bare = Bare::start();
    let mut ours = Side { crowd: Crowd::new(server.address), counter: 0 };
    let mut theirs = Side { crowd: Crowd::new(bare.address()), counter: 0 };
    ours.crowd.log_in(recipients + 1);
    theirs.crowd.connect(recipients + 1);
    for text_bytes in [64, 1024] {
        for in_flight in [1, BROADCASTS_A_ROUND] {
            let text = "x".repeat(text_bytes);
            ours.round(&text, in_flight, &server.task);
            bare.say(Texts { event: ours.crowd.last_line.clone(), answer: ours.crowd.last_answer.clone() });
            theirs.round(&text, in_flight, bare.task());
            let mut ratios = Vec::new();
            let mut costs = [Vec::new(), Vec::new()];
            for round in 0..rounds {
                let measure_ours = |ours: &mut Side| ours.round(&text, in_flight, &server.task);
                let (mine, other) = if round % 2 == 0 {
                    let mine = measure_ours(&mut ours);
                    (mine, theirs.round(&text, in_flight, bare.task()))
                } else {
                    let other = theirs.round(&text, in_flight, bare.task());
                    (measure_ours(&mut ours), other)
                };
                ratios.push(mine.as_secs_f64() / other.as_secs_f64());
                costs[0].push(micros_each(mine, recipients));
                costs[1].push(micros_each(other, recipients));
            }
            let ratio = median(&mut ratios);
            println!(
                "  {} {text_bytes}-byte text, {in_flight} in flight: {ratio:.2} times the processor time \
                 (of at most {TARGET_RATIO}; {:.2} to {:.2} over {rounds} rounds; {:.2} and {:.2} µs a recipient)",
                verdict(ratio <= TARGET_RATIO),
                ratios[0],
                ratios[ratios.len() - 1],
                median(&mut costs[0]),
                median(&mut costs[1]),
            );
        }
    }
    let some = ours.allocations(&server.task);
    ours.crowd.log_in(2 * recipients + 1);
    let more = ours.allocations(&server.task);
    let each = (more - some) / recipients as f64;
    println!(
        "  {} {each:.3} allocations a recipient beyond its place in a queue (of at most 0; {some:.0} a broadcast to \
         {recipients}, {more:.0} to {})",
        verdict(each < 0.005),
        2 * recipients,
    );
    drop((ours, theirs));
    server.stop();
    bare.stop();
}

/// One of the servers, as its clients see it.
struct Side {
    crowd: Crowd,
    counter: u64,
}

impl Side {
    /// `BROADCASTS_A_ROUND` broadcasts, received and acknowledged by everybody; what they cost the server's thread.
    fn round(&mut self, text: &str, in_flight: u64, task: &Task) -> Duration {
        let before = task.settled_cpu();
        for _ in 0..BROADCASTS_A_ROUND / in_flight {
            self.broadcast(text, in_flight);
        }
        task.settled_cpu() - before
    }

    /// So many broadcasts in one write, received by everybody.
    fn broadcast(&mut self, text: &str, count: u64) {
        let mut requests = String::new();
        for _ in 0..count {
            self.counter += 1;
            let id = self.counter;
            requests += &format!("{{\"id\":{id},\"request\":\"broadcast\",\"text\":\"{text}\",\"counter\":{id}}}\n");
        }
        let recipients = self.crowd.len() as u64 - 1;
        let (received, answers) = (self.crowd.received + count * recipients, self.crowd.answers + count);
        self.crowd.send(0, requests.as_bytes());
        self.crowd.until(received, answers);
    }

    /// Allocations of one broadcast: the least of a few, since every five seconds the hub writes cursors.
    fn allocations(&mut self, task: &Task) -> f64 {
        self.crowd.acknowledge();
        let mut least = u64::MAX;
        for _ in 0..8 {
            task.settled_cpu();
            let before = heap().calls;
            self.broadcast("to all", 1);
            task.settled_cpu();
            least = least.min(heap().calls - before);
        }
        self.crowd.acknowledge();
        least as f64
    }
}

fn micros_each(cpu: Duration, recipients: usize) -> f64 {
    cpu.as_secs_f64() * 1e6 / (BROADCASTS_A_ROUND as usize * recipients) as f64
}
