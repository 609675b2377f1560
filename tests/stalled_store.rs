//! With the store stalled nothing leaves that would be a promise; when it goes on everything does, in order. With a store
//! that fails nothing is promised, and it recovers by itself.

mod support;

use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use chatd::hub::credentials::parse_credentials;
use chatd::hub::input::Input;
use chatd::hub::{Config, Hub};
use chatd::net::server::{Ended, Options, Server, Stopper};
use chatd::store::{Durability, Hooks, Store};
use serde_json::{Value, json};
use support::{CREDENTIALS, Client, LIMIT};

/// What the disk does.
#[derive(Clone, Copy, PartialEq)]
enum Disk {
    Works,
    Stalls,
    Fails,
}

/// A server in this process, and its disk in the test's hand.
struct Scene {
    address: SocketAddr,
    stopper: Stopper,
    server: Option<JoinHandle<Ended>>,
    disk: Arc<(Mutex<Disk>, Condvar)>,
    /// A group is about to be committed.
    commits: Receiver<()>,
    _dir: tempfile::TempDir,
}

impl Scene {
    fn new() -> Scene {
        let dir = tempfile::tempdir().expect("a directory");
        let disk = Arc::new((Mutex::new(Disk::Works), Condvar::new()));
        let (commits_in, commits) = channel();
        let hooks = Hooks { before_commit: Some(before_commit(Arc::clone(&disk), commits_in)) };
        let (store, snapshot) = Store::open(dir.path(), Durability::Process, hooks).expect("a store");
        let options = Options {
            addresses: vec!["127.0.0.1:0".parse().unwrap()],
            out_bytes_max: 64 * 1024 * 1024,
            ..Options::default()
        };
        let config = Config { scram_iterations: 1, messages_per_second: None, ..Config::default() };
        let mut server =
            Server::start(options, store, |now, out| Hub::new(config, [1; 32], snapshot, now, out)).expect("a server");
        let credentials = parse_credentials(CREDENTIALS.as_bytes()).expect("accounts");
        server.input(Input::Accounts { credentials, public: false });
        let (address, stopper) = (server.addresses()[0].1, server.stopper());
        let server = thread::spawn(move || server.run().expect("the loop"));
        Scene { address, stopper, server: Some(server), disk, commits, _dir: dir }
    }

    fn disk(&self, does: Disk) {
        *self.disk.0.lock().unwrap() = does;
        self.disk.1.notify_all();
    }

    /// From here on every commit stalls; waits until one does, once `action` has caused it.
    fn stall_with(&self, action: impl FnOnce()) {
        self.disk(Disk::Stalls);
        while self.commits.try_recv().is_ok() {}
        action();
        self.commits.recv_timeout(LIMIT).expect("a commit");
    }

    fn log_in(&self, user: &str, device: u8) -> Client {
        let mut client = Client::connect(self.address);
        client.log_in(user, Some(device));
        client
    }

    fn stop(self) -> Ended {
        self.disk(Disk::Works);
        self.stopper.stop().expect("a waker");
        self.join()
    }

    fn join(mut self) -> Ended {
        self.server.take().expect("a server").join().expect("no panic")
    }
}

fn before_commit(disk: Arc<(Mutex<Disk>, Condvar)>, commits: Sender<()>) -> chatd::store::BeforeCommit {
    Box::new(move |_| {
        let _ = commits.send(());
        let mut does = disk.0.lock().unwrap();
        while *does == Disk::Stalls {
            does = disk.1.wait(does).unwrap();
        }
        if *does == Disk::Fails { Err("no space left on device".to_owned()) } else { Ok(()) }
    })
}

/// Waits until the loop has turned once more: a stranger's request, which needs no disk, is answered. One that falls into
/// the same turn as something that does need it waits as well, so the next stranger tries.
fn turn_the_loop(address: SocketAddr) {
    let end = Instant::now() + LIMIT;
    while Instant::now() < end {
        let mut stranger = Client::connect(address);
        stranger.send(&json!({"id": 1, "request": "online"}));
        if stranger.line_within(Duration::from_millis(200)).is_some() {
            return;
        }
    }
    panic!("the loop stands still");
}

fn assert_silent(client: &mut Client) {
    assert_eq!(client.line_if_there(), None);
}

#[test]
fn nothing_leaves_while_the_store_is_stalled_and_everything_when_it_goes_on() {
    let scene = Scene::new();
    let (mut alice, mut bob, mut carol) = (scene.log_in("alice", 1), scene.log_in("bob", 2), scene.log_in("carol", 3));
    alice.event("online");
    alice.event("online");
    bob.event("online");
    let mut carols_other = scene.log_in("carol", 5);
    let mut stranger = Client::connect(scene.address);
    let exchange = stranger.begin_log_in("alice");
    let (mut send, mut block) = (0, 0);
    scene.stall_with(|| send = alice.request(json!({"request": "message", "to": "bob", "text": "one"})));
    let second = alice.request(json!({"request": "message", "to": "bob", "text": "two"}));
    block += carol.request(json!({"request": "block", "user": "alice"}));
    // The other session may not learn of the block before it is on disk either.
    turn_the_loop(scene.address);
    let blocked = carols_other.request(json!({"request": "blocked"}));
    let wrong = stranger.finish_log_in(exchange, "wrong");
    // What needs no disk, but comes behind something that does, keeps its place.
    let behind = alice.request(json!({"request": "alive"}));
    turn_the_loop(scene.address);
    for client in [&mut alice, &mut bob, &mut carol, &mut carols_other, &mut stranger] {
        assert_silent(client);
    }
    scene.disk(Disk::Works);
    let answers: Vec<Value> = (0..3).map(|_| alice.line()).collect();
    assert_eq!(answers[0], json!({"id": send, "reply": "accepted", "number": 1, "reach": "online"}));
    assert_eq!(answers[1], json!({"id": second, "reply": "accepted", "number": 2, "reach": "online"}));
    assert_eq!(answers[2], json!({"id": behind, "reply": "alive"}));
    assert_eq!(bob.event("message")["text"], "one");
    assert_eq!(bob.event("message")["text"], "two");
    assert_eq!(carol.answer(block), json!({"id": block, "reply": "blocked", "user": "alice"}));
    assert_eq!(carols_other.answer(blocked)["users"], json!(["alice"]));
    assert_eq!(stranger.answer(wrong)["error"], "not-authenticated");
    assert_eq!(scene.stop(), Ended::Orderly);
}

#[test]
fn a_failed_commit_is_told_to_who_asked_and_to_nobody_else() {
    let scene = Scene::new();
    let (mut alice, mut bob) = (scene.log_in("alice", 1), scene.log_in("bob", 2));
    alice.event("online");
    scene.disk(Disk::Fails);
    let refused = |answer: Value| assert_eq!(answer["error"], "not-stored", "{answer}");
    refused(alice.ask(json!({"request": "message", "to": "bob", "text": "lost", "counter": 1})));
    refused(bob.ask(json!({"request": "block", "user": "alice"})));
    // Failed log-ins are counted and refused as ever, and log-ins go on, without a token.
    let mut stranger = Client::connect(scene.address);
    assert_eq!(stranger.try_password("carol", "wrong")["error"], "not-authenticated");
    assert_eq!(stranger.try_password("carol", support::password("carol"))["reply"], "logged-in");
    turn_the_loop(scene.address);
    assert_silent(&mut bob);
    scene.disk(Disk::Works);
    // The same send under the same counter goes through now: the block does not hold, and nothing comes twice.
    let answer = alice.ask(json!({"request": "message", "to": "bob", "text": "lost", "counter": 1}));
    assert_eq!(answer["reply"], "accepted", "{answer}");
    assert_eq!(bob.event("message")["text"], "lost");
    bob.nothing_but_alive();
    assert_eq!(scene.stop(), Ended::Orderly);
}

#[test]
fn a_server_whose_disk_stalls_for_good_still_stops() {
    let scene = Scene::new();
    let mut alice = scene.log_in("alice", 1);
    scene.stall_with(|| {
        alice.request(json!({"request": "message", "to": "bob", "text": "one"}));
    });
    scene.stopper.stop().expect("a waker");
    let end = Instant::now() + LIMIT;
    while TcpStream::connect(scene.address).is_ok() {
        assert!(Instant::now() < end, "the server still listens");
    }
    // A second one, or the end of the time to drain, ends it, though the disk still stalls.
    scene.stopper.stop().expect("a waker");
    assert_eq!(scene.join(), Ended::Hurried);
}
