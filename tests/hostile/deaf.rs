//! Whoever asks and does not read: what is to be written to them is bounded, and costs nobody a thing but memory.

use std::time::Duration;

use crate::scene::{Plain, Scene, refused};
use crate::support::password;

/// A request whose answer is longer than it is.
const REQUEST: &str = "{\"id\":7,\"request\":\"x\"}\n";
/// With more to be written a connection's requests wait.
const OUT_BYTES_PAUSE: u64 = 256 * 1024;
/// Requests of one connection that are answered in a turn.
const REQUESTS_A_TURN: u64 = 64;

/// Somebody with a session whose system takes next to nothing, and who never reads.
pub struct Deaf {
    client: Plain,
    /// Is to be said next, of a request that was begun.
    rest: Vec<u8>,
}

fn answer() -> String {
    refused(7, "unknown-request", "there is no such request; docs/PROTOCOL.md lists them")
}

impl Deaf {
    pub fn log_in(scene: &Scene, user: &str, password: &str) -> Deaf {
        let mut client = Plain::connect_with_little_room(scene.chatd.address());
        client.log_in(user, password, None);
        Deaf { client, rest: Vec::new() }
    }

    /// Asks so many times more, as far as the server and the system take it.
    pub fn asks(&mut self, times: usize) {
        self.rest.extend(REQUEST.repeat(times).bytes());
        let said = self.client.say_what_fits(&self.rest);
        self.rest.drain(..said);
    }

    /// Asks until the server does not listen any more.
    pub fn asks_until_nobody_listens(&mut self, scene: &mut Scene) {
        for _ in 0..10_000 {
            if scene.counts()["out-bytes"].as_u64() > Some(OUT_BYTES_PAUSE) {
                return;
            }
            if self.rest.len() < 64 * 1024 {
                self.asks(4000);
            } else {
                self.asks(0);
            }
            scene.bystander_is_served(1);
        }
        panic!("the server goes on listening: {}", scene.counts());
    }
}

#[test]
fn whoever_never_reads_is_not_listened_to_and_is_gone_with_the_heartbeat() {
    let mut scene = Scene::with(crate::support::CREDENTIALS, &["--heartbeat-timeout", "2"]);
    let mut deaf = Deaf::log_in(&scene, "alice", password("alice"));
    deaf.asks_until_nobody_listens(&mut scene);
    let counts = scene.counts();
    let most = OUT_BYTES_PAUSE + REQUESTS_A_TURN * answer().len() as u64;
    assert!(counts["out-bytes"].as_u64() <= Some(most), "{counts}");
    scene.wait_for("the session ends", |counts| counts["sessions"] == 1);
    // It is not waited for: the server has nothing of it left, though the client is still there.
    scene.settles(&[]);
    let heard = deaf.client.rest_as_far_as_it_goes();
    let whole = heard.len() / answer().len();
    assert!(whole > 0 && answer().repeat(whole + 1).starts_with(&heard), "{whole} answers, and then a part of one");
    scene.end(&[]);
}

#[test]
fn whoever_never_reads_and_reads_after_all_has_every_answer() {
    let mut scene = Scene::new();
    let mut deaf = Deaf::log_in(&scene, "alice", password("alice"));
    deaf.asks_until_nobody_listens(&mut scene);
    let mut client = deaf.client;
    client.makes_room();
    let (writes, rest) = (client.stream().try_clone().expect("clone"), deaf.rest);
    let asked = std::thread::spawn(move || {
        std::io::Write::write_all(&mut &writes, &[&rest[..], b"{\"id\":8,\"request\":\"log-out\"}\n"].concat())
    });
    let told = client.rest();
    asked.join().expect("written").expect("written");
    let (answers, farewell) = told.split_at(told.len() - "{\"id\":8,\"reply\":\"logged-out\"}\n".len());
    assert_eq!(farewell, "{\"id\":8,\"reply\":\"logged-out\"}\n");
    assert_eq!(answers.len() % answer().len(), 0);
    assert!(answers == answer().repeat(answers.len() / answer().len()));
    scene.end(&[]);
}

#[test]
fn whoever_is_never_writable_costs_no_processor_time() {
    const ROUNDS: u64 = 150;
    let mut scene = Scene::new();
    let usual = scene.cost_of(ROUNDS);
    let mut deaf = Deaf::log_in(&scene, "alice", password("alice"));
    deaf.asks_until_nobody_listens(&mut scene);
    let cost = scene.cost_of(ROUNDS);
    assert!(scene.counts()["out-bytes"].as_u64() > Some(0), "it is still to be written");
    assert!(cost < 4 * usual + Duration::from_millis(20), "{cost:?}, and {usual:?} without it");
    drop(deaf);
    scene.end(&[]);
}
