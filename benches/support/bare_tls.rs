//! The least that a log-in over TLS can be: a mio loop that makes the system calls that chatd makes, drives rustls, computes
//! what SCRAM needs, and does nothing else.
//!
//! Edge-triggered, `TCP_NODELAY`, one read of at most 16 KiB a readable connection and turn, one write a connection and
//! turn. It knows no user and no message: the first line and the second are answered with ready-made lines, and before the
//! second answer stands the arithmetic of `scram.rs`, `check`: three HMACs over the transcript (the client's signature, the
//! server's, the resume token) and one SHA-256 (of the client key). The exporter and the salt are not in it.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use aws_lc_rs::{digest, hmac};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use rustls::{ServerConfig, ServerConnection};

use super::bare_server::{self, BareServer, CONNECTIONS, LISTENER, WAKER, is_stopped};

/// A log-in, as it went.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// What the client says, first and last.
    pub asks: [Vec<u8>; 2],
    /// What the server answers.
    pub answers: [Vec<u8>; 2],
    /// How many bytes are signed.
    pub transcript: usize,
}

/// A server that answers by the script.
pub fn start(config: Arc<ServerConfig>, script: Script) -> BareServer {
    BareServer::start(move |poll, listener, stop| run(poll, &listener, &config, &script, stop))
}

struct Connection {
    stream: TcpStream,
    session: ServerConnection,
    /// Answers that it has had.
    answered: usize,
    ends: bool,
}

fn run(mut poll: Poll, listener: &TcpListener, config: &Arc<ServerConfig>, script: &Script, stop: &AtomicBool) {
    let mut events = Events::with_capacity(1024);
    let mut connections: Vec<Option<Box<Connection>>> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    let mut dirty: Vec<usize> = Vec::new();
    let mut buffer = vec![0; 16 * 1024];
    let transcript = vec![b'x'; script.transcript];
    loop {
        poll.poll(&mut events, None).expect("a poll");
        for event in &events {
            match event.token() {
                WAKER if is_stopped(stop) => return,
                WAKER => {}
                LISTENER => accept(&poll, listener, config, &mut connections, &mut free),
                Token(token) => {
                    let index = token - CONNECTIONS;
                    let Some(connection) = &mut connections[index] else { continue };
                    let Ok(bytes) = connection.stream.read(&mut buffer) else { continue };
                    connection.take(&buffer[..bytes], script, &transcript);
                    dirty.push(index);
                }
            }
        }
        for index in dirty.drain(..) {
            let Some(connection) = &mut connections[index] else { continue };
            if connection.session.wants_write() {
                connection.session.write_tls(&mut connection.stream).expect("a client that reads");
                assert!(!connection.session.wants_write(), "the socket takes it whole: there is no queue here");
            }
            if connection.ends {
                connection.stream.shutdown(Shutdown::Write).expect("a client that waits for it");
                poll.registry().deregister(&mut connection.stream).expect("a socket");
                connections[index] = None;
                free.push(index);
            }
        }
    }
}

impl Connection {
    fn take(&mut self, mut raw: &[u8], script: &Script, transcript: &[u8]) {
        while !raw.is_empty() {
            self.session.read_tls(&mut raw).expect("records");
            let state = self.session.process_new_packets().expect("a client that keeps to TLS");
            let mut plain = [0; 1024];
            let read = match state.plaintext_bytes_to_read() {
                0 => 0,
                _ => self.session.reader().read(&mut plain).expect("what it has just said is there"),
            };
            if plain[..read].ends_with(b"\n") {
                if self.answered == 1 {
                    std::hint::black_box(arithmetic(std::hint::black_box(transcript)));
                }
                self.session.writer().write_all(&script.answers[self.answered]).expect("room");
                self.answered += 1;
            }
            if state.peer_has_closed() {
                self.session.send_close_notify();
                self.ends = true;
                return;
            }
        }
    }
}

/// What `check` computes.
fn arithmetic(transcript: &[u8]) -> u8 {
    let key = [7; 32];
    let sign = |bytes| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), bytes);
    let tags = [sign(transcript), sign(transcript), sign(transcript)];
    let hash = digest::digest(&digest::SHA256, &key);
    tags.iter().fold(hash.as_ref()[0], |all, tag| all ^ tag.as_ref()[0])
}

fn accept(
    poll: &Poll,
    listener: &TcpListener,
    config: &Arc<ServerConfig>,
    connections: &mut Vec<Option<Box<Connection>>>,
    free: &mut Vec<usize>,
) {
    bare_server::accept(listener, |mut stream| {
        stream.set_nodelay(true).expect("no delay");
        let index = free.pop().unwrap_or_else(|| {
            connections.push(None);
            connections.len() - 1
        });
        poll.registry().register(&mut stream, Token(index + CONNECTIONS), Interest::READABLE).expect("a socket");
        let session = ServerConnection::new(Arc::clone(config)).expect("a session");
        connections[index] = Some(Box::new(Connection { stream, session, answered: 0, ends: false }));
    });
}
