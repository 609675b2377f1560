//! Clients of the `nick` protocol on one thread: they say who they are, and read everything.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use chatd::wire::nick::server::PROMPT;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::LIMIT;

/// Guests who come in at once.
const AT_ONCE: usize = 200;
/// What a guest hears when it is in.
const IN: &[u8] = b"Connected to the server!";

pub fn name(n: usize) -> String {
    format!("g{n}")
}

pub struct Guests {
    poll: Poll,
    events: Events,
    address: SocketAddr,
    members: Vec<Guest>,
    /// Who of them has come in.
    entered: usize,
    /// Bytes that all of them together have read, without newlines: how lines are joined changes nothing.
    pub received: u64,
    buffer: Vec<u8>,
}

struct Guest {
    stream: TcpStream,
    step: Step,
}

enum Step {
    AwaitsPrompt,
    AwaitsEntry,
    Reads,
}

impl Guests {
    pub fn new(address: SocketAddr) -> Guests {
        Guests {
            poll: Poll::new().expect("a poll"),
            events: Events::with_capacity(1024),
            address,
            members: Vec::new(),
            entered: 0,
            received: 0,
            buffer: vec![0; 64 * 1024],
        }
    }

    /// Adds guests until there are `count`, of a server that asks nobody for a name.
    pub fn connect(&mut self, count: usize) {
        while self.members.len() < count {
            self.add(Step::Reads);
        }
    }

    /// Adds guests until there are `count`, and reads until nothing more comes.
    pub fn enter(&mut self, count: usize) {
        let end = Instant::now() + LIMIT;
        while self.entered < count {
            while self.members.len() < count.min(self.entered + AT_ONCE) {
                self.add(Step::AwaitsPrompt);
            }
            self.turn(Duration::from_secs(1));
            assert!(Instant::now() < end, "{} of {count} guests came in", self.entered);
        }
        while self.turn(Duration::from_millis(500)) {}
    }

    fn add(&mut self, step: Step) {
        let stream = std::net::TcpStream::connect(self.address).expect("a server that listens");
        stream.set_nonblocking(true).expect("a socket");
        let mut stream = TcpStream::from_std(stream);
        let token = Token(self.members.len());
        self.poll.registry().register(&mut stream, token, Interest::READABLE).expect("a socket");
        self.members.push(Guest { stream, step });
    }

    /// The first guest says something that everybody hears, themselves included, and that has so many bytes without newlines.
    pub fn say(&mut self, said: &[u8], heard_bytes: usize) {
        let received = self.received + (heard_bytes * self.members.len()) as u64;
        self.members[0].say(said);
        let end = Instant::now() + LIMIT;
        while self.received < received {
            self.turn(Duration::from_secs(1));
            assert!(Instant::now() < end, "{} of {received} bytes came", self.received);
        }
        assert_eq!(self.received, received, "nothing but what was said comes");
    }

    /// Reads what has come. Comes back: whether anything has.
    fn turn(&mut self, timeout: Duration) -> bool {
        let mut events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        self.poll.poll(&mut events, Some(timeout)).expect("a poll");
        for event in &events {
            self.read(event.token().0);
        }
        let came = !events.is_empty();
        self.events = events;
        came
    }

    fn read(&mut self, index: usize) {
        loop {
            match self.members[index].stream.read(&mut self.buffer) {
                Ok(0) => panic!("the server has closed on guest {index}"),
                Ok(bytes) => {
                    self.take(index, bytes);
                    if bytes < self.buffer.len() {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => panic!("guest {index}: {error}"),
            }
        }
    }

    /// Takes the first so many bytes of the buffer.
    fn take(&mut self, index: usize, bytes: usize) {
        let heard = &self.buffer[..bytes];
        let newlines = heard.iter().filter(|&&b| b == b'\n').count();
        self.received += (bytes - newlines) as u64;
        let guest = &mut self.members[index];
        match guest.step {
            Step::AwaitsPrompt => {
                assert_eq!(heard, PROMPT, "a guest is asked for its name first");
                guest.say(format!("{}\n", name(index)).as_bytes());
                guest.step = Step::AwaitsEntry;
            }
            Step::AwaitsEntry if heard.windows(IN.len()).any(|part| part == IN) => {
                guest.step = Step::Reads;
                self.entered += 1;
            }
            Step::AwaitsEntry | Step::Reads => {}
        }
    }
}

impl Guest {
    fn say(&mut self, said: &[u8]) {
        let written = self.stream.write(said).expect("a server that reads");
        assert_eq!(written, said.len(), "the socket takes it whole");
    }
}
