//! The program `chat` by the classic protocols, with people who talk to each other: the same scenario at the existing servers
//! (`existing`) and at chatd, in which everybody sees the same.

mod existing;
mod support;

use std::net::SocketAddr;

use existing::nick_server::NickServer;
use existing::request_server::RequestServer;
use support::Chatd;
use support::chat::{Person, Session};

const ACCOUNTS: [(&str, &str); 3] = [("alice", "wonderland"), ("bob", "builder"), ("carol", "christmas")];

fn person(server: SocketAddr, user: &'static str) -> Person {
    let home = tempfile::tempdir().expect("a directory");
    Person { user, host: server.ip().to_string(), port: server.port(), certificate: String::new(), home }
}

/// Everything that `request` has a word for, at this server.
fn people_talk_by_request(server: SocketAddr) {
    let [alices, bobs] = ["alice", "bob"].map(|user| person(server, user));
    let options = ["--protocol", "request"];
    let mut alice = alices.start(&options);
    // Whoever has an answer is logged in.
    alice.says("block carol");
    alice.hears("ok");
    alice.says("unblock carol");
    alice.hears("ok");
    let mut bob = bobs.start(&options);
    alice.hears("* bob is online");
    alice.says("online");
    alice.hears("bob");
    alice.says("message bob hi, there");
    alice.hears("ok");
    bob.hears("alice: hi, there");
    bob.says("broadcast na\u{ef}ve");
    bob.hears("ok");
    alice.hears("bob: na\u{ef}ve");
    let mut line = Lines { alice: 4, bob: 1 };
    they_block(&mut alice, &mut bob, &mut line);
    they_talk_privately(&mut alice, &mut bob, &mut line);
    alice.says("message zoe hi");
    alice.is_told(&format!("chat: line {}: there is no user 'zoe'", line.of_alice()));
    alice.says("logout");
    bob.hears("* alice is offline");
    alice.has_ended(77);
    bob.says("message alice two");
    bob.hears("ok");
    // What waited for her comes with her next log-in.
    let outcome = alices.chat(&["--protocol", "request", "online"]);
    outcome.is("bob\n", "chat: bob: two\n", 0);
    bob.hears("* alice is online");
    bob.hears("* alice is offline");
    bob.ends(77);
}

/// How many lines each has said.
struct Lines {
    alice: u32,
    bob: u32,
}

impl Lines {
    fn of_alice(&mut self) -> u32 {
        self.alice += 1;
        self.alice
    }

    fn of_bob(&mut self) -> u32 {
        self.bob += 1;
        self.bob
    }
}

fn they_block(alice: &mut Session, bob: &mut Session, line: &mut Lines) {
    alice.says("block bob");
    line.of_alice();
    alice.hears("ok");
    bob.says("message alice can you hear me?");
    bob.is_told(&format!("chat: line {}: not delivered: alice has blocked you", line.of_bob()));
    alice.says("unblock bob");
    line.of_alice();
    alice.hears("ok");
    alice.says("unblock bob");
    alice.is_told(&format!("chat: line {}: you do not block bob", line.of_alice()));
}

/// All on one machine: what a peer says can't be told from what the server does.
fn they_talk_privately(alice: &mut Session, bob: &mut Session, line: &mut Lines) {
    let asks = "* bob asks for your address, to talk to you without the server: 'consent bob yes' or 'consent bob no'";
    bob.says("private alice psst");
    line.of_bob();
    alice.hears(asks);
    alice.says("consent bob yes");
    line.of_alice();
    let mut heard = [alice.hears_something(), alice.hears_something()];
    heard.sort();
    assert_eq!(heard, ["bob: psst", "ok"], "in either order");
    bob.hears("ok");
    alice.says("getaddress carol");
    alice.is_told(&format!("chat: line {}: no address of carol: they have gone offline", line.of_alice()));
}

#[test]
fn people_talk_by_request_at_the_existing_server() {
    let server = RequestServer::start(&ACCOUNTS);
    people_talk_by_request(server.address());
    assert_eq!(server.faults(), []);
}

#[test]
fn people_talk_by_request_at_chatd() {
    let chatd = Chatd::start(&["--memory", "--guests", "loopback"]);
    people_talk_by_request(chatd.address());
}

#[test]
fn log_ins_by_request_fail_alike() {
    let existing = RequestServer::start(&ACCOUNTS);
    let chatd = Chatd::start(&["--memory", "--guests", "loopback"]);
    for server in [existing.address(), chatd.address()] {
        let fails = |user| {
            let person = person(server, user);
            let mut command = person.command(&["--protocol", "request", "online"]);
            command.env("CHAT_PASSWORD", "wrong, and with a comma");
            support::chat::run(command, b"")
        };
        let wrong = "chat: Invalid Password. Please try again.\n";
        fails("alice").is("", wrong, 77);
        fails("alice").is("", wrong, 77);
        let locked = "chat: Invalid password. Your account has been blocked.\nchat: Please try again after sometime.\n";
        fails("alice").is("", locked, 77);
        let still = "chat: Due to multiple login failures, your account has been blocked.\nchat: Please try again after sometime.\n";
        fails("alice").is("", still, 77);
        let bob = person(server, "bob");
        let mut command = bob.command(&["--protocol", "request", "online"]);
        command.env("CHAT_USER", "zoe");
        support::chat::run(command, b"").is("", "chat: Invalid Username. Please try again.\n", 77);
    }
    assert_eq!(existing.faults(), []);
}

#[test]
fn a_server_that_stops_says_so() {
    let existing = RequestServer::start(&ACCOUNTS);
    let mut chatd = Chatd::start(&["--memory", "--guests", "loopback"]);
    let sessions = [existing.address(), chatd.address()].map(|server| {
        let mut session = person(server, "alice").start(&["--protocol", "request"]);
        session.says("block bob");
        session.hears("ok");
        session
    });
    existing.shut_down();
    chatd.signal("TERM");
    for mut session in sessions {
        session.is_told("chat: the server stops");
        session.has_ended(69);
    }
    assert!(chatd.wait().success());
}

/// What `nick` has a word for, at this server.
fn people_talk_in_the_room(server: SocketAddr) {
    let somebody = person(server, "alice");
    let start = |nickname| {
        let mut command = somebody.command(&["--protocol", "nick"]);
        command.env("CHAT_USER", nickname).env_remove("CHAT_PASSWORD");
        Session::start(nickname, command)
    };
    let mut ann = start("ann");
    ann.says("broadcast is anybody there?");
    ann.hears("ann (to everyone): is anybody there?");
    ann.hears("ok");
    let mut ben = start("ben");
    ann.hears("* ben is online");
    ann.says("broadcast hi, all");
    for session in [&mut ann, &mut ben] {
        session.hears("ann (to everyone): hi, all");
    }
    ann.hears("ok");
    ben.says("broadcast ben: hi: ho");
    ann.hears("ben (to everyone): ben: hi: ho");
    ben.says("logout");
    ann.hears("* ben is offline");
    ann.says("online");
    ann.is_told("chat: line 3: the protocol 'nick' has no word for 'online'");
    ann.ends(2);
}

#[test]
fn people_talk_in_the_room_of_the_existing_server() {
    let server = NickServer::start();
    people_talk_in_the_room(server.address());
    assert_eq!(server.faults(), []);
}

#[test]
fn people_talk_in_the_room_of_chatd() {
    people_talk_in_the_room(Chatd::start(&["--memory", "--guests", "loopback"]).address());
}
