//! The least that a shared room can be: a mio loop that writes what it reads to everybody, whoever has said it included.
//!
//! Edge-triggered, `TCP_NODELAY`, one read of at most 16 KiB a readable connection and turn, one write a connection and
//! turn. Lines that were read together are written together, as many as fit into a chunk; the next chunk waits for the
//! pace. It knows no name and no message, has no queue of anybody's, and does not ask what has arrived.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use super::Task;
use super::bare_server::{BareServer, CONNECTIONS, LISTENER, WAKER, accept, is_stopped};

pub struct BareRoom {
    server: BareServer,
    chunk_bytes_max: Arc<AtomicUsize>,
}

impl BareRoom {
    /// `pace`: how long a chunk waits for the one before.
    pub fn start(pace: Duration) -> BareRoom {
        let chunk_bytes_max = Arc::new(AtomicUsize::new(0));
        let of_chunk = Arc::clone(&chunk_bytes_max);
        let server = BareServer::start(move |poll, listener, stop| run(poll, &listener, pace, &of_chunk, stop));
        BareRoom { server, chunk_bytes_max }
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    pub fn task(&self) -> &Task {
        &self.server.task
    }

    /// How long the lines of a chunk may be together from now on; longer ones have one of their own.
    pub fn set_chunk_bytes_max(&self, bytes: usize) {
        self.chunk_bytes_max.store(bytes, Ordering::SeqCst);
    }

    pub fn stop(self) {
        self.server.stop();
    }
}

fn run(mut poll: Poll, listener: &TcpListener, pace: Duration, chunk_bytes_max: &AtomicUsize, stop: &AtomicBool) {
    let mut events = Events::with_capacity(1024);
    let mut connections: Vec<TcpStream> = Vec::new();
    let mut buffer = vec![0; 16 * 1024];
    let mut chunks: VecDeque<Vec<u8>> = VecDeque::new();
    let mut may_write_at = Instant::now();
    loop {
        let wait = (!chunks.is_empty()).then(|| may_write_at.saturating_duration_since(Instant::now()));
        poll.poll(&mut events, wait).expect("a poll");
        for event in &events {
            match event.token() {
                WAKER if is_stopped(stop) => return,
                WAKER => {}
                LISTENER => accept(listener, |mut stream| {
                    stream.set_nodelay(true).expect("no delay");
                    let token = Token(connections.len() + CONNECTIONS);
                    poll.registry().register(&mut stream, token, Interest::READABLE).expect("a socket");
                    connections.push(stream);
                }),
                Token(token) => {
                    let Ok(bytes) = connections[token - CONNECTIONS].read(&mut buffer) else { continue };
                    join(&buffer[..bytes], chunk_bytes_max.load(Ordering::SeqCst), &mut chunks);
                }
            }
        }
        if Instant::now() < may_write_at {
            continue;
        }
        let Some(chunk) = chunks.pop_front() else { continue };
        for connection in &mut connections {
            let written = connection.write(&chunk).expect("a client that reads");
            assert_eq!(written, chunk.len(), "the socket takes it whole: there is no queue here");
        }
        may_write_at = Instant::now() + pace;
    }
}

/// Appends the lines that `read` consists of to the chunks.
fn join(read: &[u8], chunk_bytes_max: usize, chunks: &mut VecDeque<Vec<u8>>) {
    let mut chunk: Vec<u8> = Vec::new();
    for line in read.split(|&b| b == b'\n').filter(|line| !line.is_empty()) {
        if !chunk.is_empty() && chunk.len() + 1 + line.len() > chunk_bytes_max {
            chunks.push_back(std::mem::take(&mut chunk));
        }
        if !chunk.is_empty() {
            chunk.push(b'\n');
        }
        chunk.extend_from_slice(line);
    }
    if !chunk.is_empty() {
        chunks.push_back(chunk);
    }
}
