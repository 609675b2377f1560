//! The least that a short request can be: a mio loop that accepts, reads to the end, and closes.
//!
//! Edge-triggered, one read of at most 16 KiB at a time. It does not look at what it reads.

use std::io::{self, Read};
use std::sync::atomic::AtomicBool;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use super::bare_server::{BareServer, CONNECTIONS, LISTENER, WAKER, accept, is_stopped};

pub fn start() -> BareServer {
    BareServer::start(run)
}

fn run(mut poll: Poll, listener: TcpListener, stop: &AtomicBool) {
    let mut events = Events::with_capacity(1024);
    let mut connections: Vec<Option<TcpStream>> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    let mut buffer = vec![0; 16 * 1024];
    loop {
        poll.poll(&mut events, None).expect("a poll");
        for event in &events {
            match event.token() {
                WAKER if is_stopped(stop) => return,
                WAKER => {}
                LISTENER => accept(&listener, |mut stream| {
                    let index = free.pop().unwrap_or_else(|| {
                        connections.push(None);
                        connections.len() - 1
                    });
                    let token = Token(index + CONNECTIONS);
                    poll.registry().register(&mut stream, token, Interest::READABLE).expect("a socket");
                    connections[index] = Some(stream);
                }),
                Token(token) => {
                    let index = token - CONNECTIONS;
                    let Some(stream) = &mut connections[index] else { continue };
                    if reads_end(stream, &mut buffer, event.is_read_closed()) {
                        poll.registry().deregister(stream).expect("a socket");
                        connections[index] = None;
                        free.push(index);
                    }
                }
            }
        }
    }
}

/// Reads what is there. Says whether that was the end; `closed`: it is there, behind the rest.
fn reads_end(stream: &mut TcpStream, buffer: &mut [u8], closed: bool) -> bool {
    loop {
        match stream.read(buffer) {
            Ok(0) => return true,
            // What comes later is announced again.
            Ok(bytes) if bytes < buffer.len() && !closed => return false,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(error) => panic!("a client that does not reset: {error}"),
        }
    }
}
