//! The least that a relay between clients with ciphers of their own can be: a mio loop that deciphers what it reads, and
//! writes it to the connection that came next, ciphered for that.
//!
//! Edge-triggered, `TCP_NODELAY`, one read of at most 16 KiB a readable connection and turn, one write a message. The
//! protocol has no framing, so a message is whole when nothing has come for the quiet time, and that is waited for as chatd
//! does. It knows who is who by the order in which they came, knows ASCII only, and neither keeps nor decides anything.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use chatd::wire::session::SessionKey;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::bare_server::{BareServer, CONNECTIONS, LISTENER, WAKER, accept, is_stopped};
use super::crowd::name;

/// `keys`: of those who speak and of those who hear, by turns.
pub fn start(keys: [SessionKey; 2], quiet: Duration) -> BareServer {
    BareServer::start(move |poll, listener, stop| {
        let mut relay = Relay { keys, quiet, connections: Vec::new(), messages: VecDeque::new(), plain: Vec::new() };
        relay.run(poll, &listener, stop);
    })
}

struct Relay {
    keys: [SessionKey; 2],
    quiet: Duration,
    connections: Vec<Connection>,
    /// What has come, when it will be whole, and from which connection; the first one first.
    messages: VecDeque<(Instant, usize, Vec<u8>)>,
    /// What is written, before it is ciphered.
    plain: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    /// What stands before each of its texts.
    says: String,
}

impl Relay {
    fn run(&mut self, mut poll: Poll, listener: &mio::net::TcpListener, stop: &AtomicBool) {
        let mut events = Events::with_capacity(1024);
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let whole_at = self.messages.front().map(|&(at, ..)| at);
            let wait = whole_at.map(|at| at.saturating_duration_since(Instant::now()));
            poll.poll(&mut events, wait).expect("a poll");
            for event in &events {
                match event.token() {
                    WAKER if is_stopped(stop) => return,
                    WAKER => {}
                    LISTENER => accept(listener, |stream| self.add(&poll, stream)),
                    Token(token) => self.read(token - CONNECTIONS, &mut buffer),
                }
            }
            while self.messages.front().is_some_and(|&(at, ..)| at <= Instant::now()) {
                let Some((_, from, message)) = self.messages.pop_front() else { break };
                self.relay(from, &message);
            }
        }
    }

    fn add(&mut self, poll: &Poll, mut stream: TcpStream) {
        stream.set_nodelay(true).expect("no delay");
        let index = self.connections.len();
        poll.registry().register(&mut stream, Token(index + CONNECTIONS), Interest::READABLE).expect("a socket");
        self.connections.push(Connection { stream, says: format!("{}: ", name(index)) });
    }

    fn read(&mut self, index: usize, buffer: &mut [u8]) {
        // Nothing comes of those who have closed; they are there as long as the relay is.
        if let Ok(bytes @ 1..) = self.connections[index].stream.read(buffer) {
            self.messages.push_back((Instant::now() + self.quiet, index, buffer[..bytes].to_vec()));
        }
    }

    fn relay(&mut self, from: usize, message: &[u8]) {
        self.plain.clear();
        self.plain.extend_from_slice(self.connections[from].says.as_bytes());
        self.plain.extend(applied(&self.keys[0], message));
        let ciphered: Vec<u8> = applied(&self.keys[1], &self.plain).collect();
        let written = self.connections[from + 1].stream.write(&ciphered).expect("a client that reads");
        assert_eq!(written, ciphered.len(), "the socket takes it whole: there is no queue here");
    }
}

fn applied(key: &SessionKey, ascii: &[u8]) -> impl Iterator<Item = u8> {
    ascii.iter().zip(key.digits().iter().cycle()).map(|(byte, digit)| byte ^ digit)
}
