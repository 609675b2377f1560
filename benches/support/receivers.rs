//! Clients of the `request` protocol on one thread: they log in, and take what they are called for as its clients do: accept,
//! read once, close.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use chatd::wire::request::READ_BYTES_MAX;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use super::LIMIT;
use super::crowd::{PASSWORD, name};

pub struct Receivers {
    poll: Poll,
    events: Events,
    /// A client's own token is its place here; those of calls come behind.
    listeners: Vec<TcpListener>,
    calls: Vec<Option<TcpStream>>,
    free: Vec<usize>,
    /// What the calls that are counted bring.
    pub expected: Vec<u8>,
    /// Calls that have brought just that.
    pub taken: u64,
}

impl Receivers {
    /// The users `u0`, `u1`, …, each with a listening socket.
    pub fn new(count: usize) -> Receivers {
        let poll = Poll::new().expect("a poll");
        let listen = |n| {
            let mut listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a port");
            poll.registry().register(&mut listener, Token(n), Interest::READABLE).expect("a socket");
            listener
        };
        Receivers {
            listeners: (0..count).map(listen).collect(),
            poll,
            events: Events::with_capacity(1024),
            calls: Vec::new(),
            free: Vec::new(),
            expected: Vec::new(),
            taken: 0,
        }
    }

    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().map(|listener| listener.local_addr().expect("an address")).collect()
    }

    /// All of them log in, each step of the dialogue one after the other, and take the notes that come of it.
    pub fn log_in(&mut self, server: SocketAddr) {
        let ports = self.addresses().into_iter().map(|address| address.port());
        let say_hello = |(n, port): (usize, u16)| {
            let mut stream = std::net::TcpStream::connect(server).expect("a server that listens");
            stream.set_read_timeout(Some(LIMIT)).expect("a timeout");
            let hello = format!("newUser,{},{PASSWORD},{port}", name(n));
            stream.write_all(hello.as_bytes()).expect("a server that reads");
            stream
        };
        let mut streams: Vec<std::net::TcpStream> = ports.enumerate().map(say_hello).collect();
        for stream in &mut streams {
            hear(stream, "Welcome to simple chat server!\n");
            stream.write_all(b"ok").expect("a server that reads");
        }
        for (n, stream) in streams.iter_mut().enumerate() {
            hear(stream, &format!("Authenticated {}", name(n)));
        }
        drop(streams);
        while self.turn(Duration::from_secs(1)) {}
    }

    /// Takes calls until so many have brought what is expected, of all since the beginning.
    pub fn until(&mut self, taken: u64) {
        let end = Instant::now() + LIMIT;
        while self.taken < taken {
            self.turn(Duration::from_secs(1));
            assert!(Instant::now() < end, "{} of {taken} calls came", self.taken);
        }
    }

    /// Takes the calls that are there. Comes back: whether there was anything.
    fn turn(&mut self, timeout: Duration) -> bool {
        let mut events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        self.poll.poll(&mut events, Some(timeout)).expect("a poll");
        for event in &events {
            match event.token().0.checked_sub(self.listeners.len()) {
                None => self.accept(event.token().0),
                Some(call) => self.read(call),
            }
        }
        let came = !events.is_empty();
        self.events = events;
        came
    }

    fn accept(&mut self, member: usize) {
        loop {
            let mut stream = match self.listeners[member].accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => panic!("accept: {error}"),
            };
            let index = self.free.pop().unwrap_or_else(|| {
                self.calls.push(None);
                self.calls.len() - 1
            });
            let token = Token(self.listeners.len() + index);
            self.poll.registry().register(&mut stream, token, Interest::READABLE).expect("a socket");
            self.calls[index] = Some(stream);
        }
    }

    fn read(&mut self, call: usize) {
        let Some(stream) = &mut self.calls[call] else { return };
        let mut buffer = [0; READ_BYTES_MAX];
        match stream.read(&mut buffer) {
            Ok(0) => panic!("a call that brings nothing ends the client"),
            Ok(bytes) => self.taken += u64::from(buffer[..bytes] == self.expected),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) => panic!("a server that ends in order: {error}"),
        }
        self.calls[call] = None;
        self.free.push(call);
    }
}

fn hear(stream: &mut std::net::TcpStream, expected: &str) {
    let mut heard = vec![0; expected.len()];
    stream.read_exact(&mut heard).expect("a server that answers");
    assert_eq!(String::from_utf8_lossy(&heard), expected);
}
