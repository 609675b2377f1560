//! The least that a fan-out can be: a mio loop that makes the system calls that chatd makes, and does nothing else.
//!
//! Edge-triggered, `TCP_NODELAY`, one read of at most 16 KiB a readable connection and turn, one write a recipient and turn. It knows no message,
//! no user and no queue: a request is a line that does not begin like an acknowledgement, and brings ready-made bytes to
//! everybody else.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use super::Task;
use super::bare_server::{self, BareServer, CONNECTIONS, LISTENER, WAKER, is_stopped};

/// How an acknowledgement begins.
const ACKNOWLEDGEMENT: &[u8] = b"{\"request\":\"ack";

/// What is written, to the recipients and to the asker.
#[derive(Clone, Default)]
pub struct Texts {
    pub event: Vec<u8>,
    pub answer: Vec<u8>,
}

pub struct Bare {
    server: BareServer,
    texts: Arc<Mutex<Texts>>,
}

impl Bare {
    pub fn start() -> Bare {
        let texts = Arc::new(Mutex::new(Texts::default()));
        let to_say = Arc::clone(&texts);
        let server = BareServer::start(move |poll, listener, stop| run(poll, &listener, &to_say, stop));
        Bare { server, texts }
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    pub fn task(&self) -> &Task {
        &self.server.task
    }

    /// What it says from now on.
    pub fn say(&self, texts: Texts) {
        *self.texts.lock().expect("nobody panics with it") = texts;
        self.server.wake();
    }

    pub fn stop(self) {
        self.server.stop();
    }
}

fn run(mut poll: Poll, listener: &TcpListener, to_say: &Mutex<Texts>, stop: &AtomicBool) {
    let mut events = Events::with_capacity(1024);
    let mut connections: Vec<TcpStream> = Vec::new();
    let mut buffer = vec![0; 16 * 1024];
    let mut texts = Texts::default();
    let mut out = Texts::default();
    // Whose last read filled the buffer: there may be more.
    let mut unread: Option<usize> = None;
    loop {
        poll.poll(&mut events, unread.map(|_| Duration::ZERO)).expect("a poll");
        let mut asked: Option<(usize, usize)> = None;
        let mut read = |index: usize, connections: &mut [TcpStream], unread: &mut Option<usize>| {
            let Ok(bytes) = connections[index].read(&mut buffer) else { return };
            *unread = (bytes == buffer.len()).then_some(index);
            if !buffer[..bytes].starts_with(ACKNOWLEDGEMENT) {
                let requests = buffer[..bytes].iter().filter(|&&b| b == b'\n').count();
                asked = (requests > 0).then_some((index, requests));
            }
        };
        if let Some(index) = unread.take() {
            read(index, &mut connections, &mut unread);
        }
        for event in &events {
            match event.token() {
                WAKER if is_stopped(stop) => return,
                WAKER => texts.clone_from(&to_say.lock().expect("nobody panics with it")),
                LISTENER => accept(&poll, listener, &mut connections),
                Token(token) => read(token - CONNECTIONS, &mut connections, &mut unread),
            }
        }
        let Some((asker, requests)) = asked else { continue };
        out.event.clear();
        out.answer.clear();
        for _ in 0..requests {
            out.event.extend_from_slice(&texts.event);
            out.answer.extend_from_slice(&texts.answer);
        }
        for (index, connection) in connections.iter_mut().enumerate() {
            let bytes = if index == asker { &out.answer } else { &out.event };
            let written = connection.write(bytes).expect("a client that reads");
            assert_eq!(written, bytes.len(), "the socket takes it whole: there is no queue here");
        }
    }
}

fn accept(poll: &Poll, listener: &TcpListener, connections: &mut Vec<TcpStream>) {
    bare_server::accept(listener, |mut stream| {
        stream.set_nodelay(true).expect("no delay");
        let token = Token(connections.len() + CONNECTIONS);
        poll.registry().register(&mut stream, token, Interest::READABLE).expect("a socket");
        connections.push(stream);
    });
}
