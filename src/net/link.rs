//! One connection from the client's side: dialling, reading and writing without ever blocking, and a bell that other
//! threads can ring.
//!
//! Knows bytes, not lines; `tls` is what encrypts them. What arrives in a turn is bounded, so that a server that floods
//! can't keep its client from looking up.

pub mod tls;

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token, Waker};

use self::tls::{Conversation, Secured, Tls, TlsFailure};

const STREAM: Token = Token(0);
const WAKE: Token = Token(1);

/// How much is read in one turn, in bytes.
const READ_BYTES_MAX: usize = 64 * 1024;
/// How long one address may take to answer.
const ATTEMPT_MAX: Duration = Duration::from_secs(5);
/// How long the TLS handshake may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// How long the other end may leave our bytes unacknowledged before the connection counts as lost.
const USER_TIMEOUT_MS: u32 = 35_000;

/// What happened in a turn.
#[derive(Debug)]
pub enum Happening {
    /// The connection that was asked for is there; `None`: it is not encrypted.
    Connected(Option<Secured>),
    /// The server sent something; never empty.
    Bytes(Vec<u8>),
    /// There is no connection (any more), and why. Nothing comes from it after this.
    Closed(Gone),
    /// Somebody rang the bell.
    Woken,
}

/// Why there is no connection.
#[derive(Debug)]
pub enum Gone {
    /// None of the addresses let us in; the error of the last one.
    Unreachable(io::Error),
    /// TLS did not come about. Nothing was sent but what belongs to its handshake.
    Tls(TlsFailure),
    /// The server closed.
    Ended,
    /// The connection ended without the goodbye that TLS has: something may be missing.
    CutOff,
    /// It broke.
    Broken(io::Error),
}

/// At most one connection, and the bell.
pub struct Link {
    poll: Poll,
    events: Events,
    waker: Arc<Waker>,
    state: State,
    /// How to encrypt; `None`: not at all.
    tls: Option<Tls>,
    handshake_max: Duration,
    /// Not written yet.
    out: Vec<u8>,
}

enum State {
    Idle,
    Connecting {
        stream: TcpStream,
        rest: VecDeque<SocketAddr>,
        give_up_at: Instant,
    },
    /// No address could even be tried; told in the next turn.
    Failed(io::Error),
    Open {
        stream: TcpStream,
        /// More may be there to read: mio tells only once.
        readable: bool,
        writable: bool,
        tls: Option<Box<Conversation>>,
    },
}

/// Rings a link's bell, from any thread.
#[derive(Clone)]
pub struct Bell(Arc<Waker>);

impl Bell {
    /// The turn that is under way, or the next one, ends with `Happening::Woken`.
    pub fn ring(&self) {
        // It fails only if the link is gone, and then nobody waits.
        let _ = self.0.wake();
    }
}

impl Link {
    /// A link without a connection.
    pub fn new() -> io::Result<Link> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKE)?);
        Ok(Link {
            poll,
            events: Events::with_capacity(16),
            waker,
            state: State::Idle,
            tls: None,
            handshake_max: HANDSHAKE_MAX,
            out: Vec::new(),
        })
    }

    pub fn bell(&self) -> Bell {
        Bell(self.waker.clone())
    }

    /// Drops the connection that is there and dials these addresses, one after the other, until one lets us in. With `tls`
    /// the connection is encrypted or there is none. `Happening::Connected` or `Happening::Closed` tells how it went.
    pub fn connect(&mut self, addresses: impl IntoIterator<Item = SocketAddr>, tls: Option<&Tls>) {
        self.close();
        self.tls = tls.cloned();
        let none = io::Error::new(ErrorKind::NotFound, "the name has no address");
        self.dial(addresses.into_iter().collect(), none);
    }

    /// Drops the connection, and what was not written yet.
    pub fn close(&mut self) {
        self.out.clear();
        if let State::Open { stream, tls: Some(tls), .. } = &mut self.state {
            tls.close(stream);
        }
        match &mut self.state {
            State::Connecting { stream, .. } | State::Open { stream, .. } => {
                // A stream that can't be taken out of the poll leaves it when it is closed.
                let _ = self.poll.registry().deregister(stream);
            }
            State::Idle | State::Failed(_) => {}
        }
        self.state = State::Idle;
    }

    /// Puts bytes behind those that wait to be written. Without a connection they are dropped.
    pub fn send(&mut self, bytes: &[u8]) {
        if matches!(self.state, State::Open { .. }) {
            self.out.extend_from_slice(bytes);
        }
    }

    /// Writes what waits, and waits until something happens, but not beyond `deadline`. May come back with nothing.
    pub fn turn(&mut self, deadline: Option<Instant>) -> io::Result<Vec<Happening>> {
        let mut happenings = Vec::new();
        self.write(&mut happenings);
        let busy =
            matches!(self.state, State::Open { readable: true, .. } | State::Failed(_)) || !happenings.is_empty();
        let give_up_at = match &self.state {
            State::Connecting { give_up_at, .. } => Some(*give_up_at),
            State::Open { tls: Some(tls), .. } => tls.shaking_until,
            _ => None,
        };
        let until = deadline.into_iter().chain(give_up_at).min();
        // Rounded up, or the last millisecond would be spent in turns that find nothing.
        let timeout = until.map(|until| {
            let left = until.saturating_duration_since(Instant::now());
            Duration::from_millis(left.as_micros().div_ceil(1000).try_into().unwrap_or(u64::MAX))
        });
        match self.poll.poll(&mut self.events, if busy { Some(Duration::ZERO) } else { timeout }) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(happenings),
            other => other?,
        }
        let (mut woken, mut stirred, mut can_write) = (false, false, false);
        for event in &self.events {
            match event.token() {
                WAKE => woken = true,
                _ => {
                    stirred = true;
                    can_write |= event.is_writable() || event.is_error();
                    if let State::Open { readable, .. } = &mut self.state {
                        *readable |= event.is_readable() || event.is_read_closed() || event.is_error();
                    }
                }
            }
        }
        if woken {
            happenings.push(Happening::Woken);
        }
        match &mut self.state {
            State::Idle => {}
            State::Failed(_) => {
                if let State::Failed(error) = std::mem::replace(&mut self.state, State::Idle) {
                    happenings.push(Happening::Closed(Gone::Unreachable(error)));
                }
            }
            State::Connecting { .. } => self.settle(stirred, &mut happenings),
            State::Open { writable, .. } => {
                *writable |= can_write;
                self.read(&mut happenings);
                self.write(&mut happenings);
                self.give_up_handshake(&mut happenings);
            }
        }
        Ok(happenings)
    }

    /// Begins with the first address that can be tried at all.
    fn dial(&mut self, mut rest: VecDeque<SocketAddr>, mut last: io::Error) {
        while let Some(address) = rest.pop_front() {
            match TcpStream::connect(address) {
                Ok(mut stream) => {
                    let both = Interest::READABLE | Interest::WRITABLE;
                    if let Err(error) = self.poll.registry().register(&mut stream, STREAM, both) {
                        last = error;
                        continue;
                    }
                    self.state = State::Connecting { stream, rest, give_up_at: Instant::now() + ATTEMPT_MAX };
                    return;
                }
                Err(error) => last = error,
            }
        }
        self.state = State::Failed(last);
    }

    /// Finds out how dialling goes.
    fn settle(&mut self, stirred: bool, happenings: &mut Vec<Happening>) {
        let State::Connecting { stream, rest, give_up_at } = &mut self.state else { return };
        let failure = if let Ok(Some(error)) = stream.take_error() {
            Some(error)
        } else if stirred {
            match stream.peer_addr() {
                Ok(_) => None,
                Err(error) if error.kind() == ErrorKind::NotConnected => return,
                Err(error) => Some(error),
            }
        } else if *give_up_at <= Instant::now() {
            Some(ErrorKind::TimedOut.into())
        } else {
            return;
        };
        if let Some(error) = failure {
            let _ = self.poll.registry().deregister(stream);
            let rest = std::mem::take(rest);
            self.dial(rest, error);
            return;
        }
        let State::Connecting { stream, .. } = std::mem::replace(&mut self.state, State::Idle) else { return };
        // Without these two it is only slower.
        let _ = stream.set_nodelay(true);
        let _ = rustix::net::sockopt::set_tcp_user_timeout(&stream, USER_TIMEOUT_MS);
        let tls = match &self.tls {
            None => {
                happenings.push(Happening::Connected(None));
                None
            }
            Some(tls) => match Conversation::new(tls, Instant::now() + self.handshake_max) {
                Ok(conversation) => Some(Box::new(conversation)),
                Err(why) => return happenings.push(Happening::Closed(Gone::Tls(why))),
            },
        };
        self.state = State::Open { stream, readable: true, writable: true, tls };
    }

    fn give_up_handshake(&mut self, happenings: &mut Vec<Happening>) {
        let State::Open { tls: Some(tls), .. } = &self.state else { return };
        if tls.shaking_until.is_some_and(|until| until <= Instant::now()) {
            self.lose(Gone::Tls(TlsFailure::TooSlow), happenings);
        }
    }

    fn read(&mut self, happenings: &mut Vec<Happening>) {
        let State::Open { stream, readable, tls, .. } = &mut self.state else { return };
        if !*readable {
            return;
        }
        let mut bytes = Vec::new();
        let mut gone = match tls {
            Some(tls) => tls.read(stream, readable, &mut bytes, READ_BYTES_MAX),
            None => read_plain(stream, readable, &mut bytes),
        };
        match tls.as_mut().and_then(|tls| tls.settled()) {
            Some(Ok(secured)) => happenings.push(Happening::Connected(Some(secured))),
            Some(Err(why)) => (bytes, gone) = (Vec::new(), Some(Gone::Tls(why))),
            None => {}
        }
        if !bytes.is_empty() {
            happenings.push(Happening::Bytes(bytes));
        }
        if let Some(gone) = gone {
            self.lose(gone, happenings);
        }
    }

    fn write(&mut self, happenings: &mut Vec<Happening>) {
        let State::Open { stream, writable, readable, tls } = &mut self.state else { return };
        let written = match tls {
            Some(tls) => tls.write(stream, &mut self.out, writable),
            None => write_plain(stream, &mut self.out, writable),
        };
        if written.is_err() {
            // The server's last words may still be there to read, and reading tells the error again.
            self.out.clear();
            *readable = true;
            self.read_out(happenings);
        }
    }

    /// Reads once more from a connection that can't be written to, then gives it up.
    fn read_out(&mut self, happenings: &mut Vec<Happening>) {
        self.read(happenings);
        let encrypted = matches!(self.state, State::Open { tls: Some(_), .. });
        self.lose(if encrypted { Gone::CutOff } else { Gone::Ended }, happenings);
    }

    fn lose(&mut self, gone: Gone, happenings: &mut Vec<Happening>) {
        if matches!(self.state, State::Open { .. }) {
            self.close();
            happenings.push(Happening::Closed(gone));
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.close();
    }
}

fn read_plain(stream: &mut TcpStream, readable: &mut bool, bytes: &mut Vec<u8>) -> Option<Gone> {
    bytes.resize(READ_BYTES_MAX, 0);
    let mut filled = 0;
    let gone = loop {
        if filled == bytes.len() {
            break None;
        }
        match stream.read(&mut bytes[filled..]) {
            Ok(0) => break Some(Gone::Ended),
            Ok(n) => filled += n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                *readable = false;
                break None;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => break Some(Gone::Broken(error)),
        }
    };
    bytes.truncate(filled);
    gone
}

fn write_plain(stream: &mut TcpStream, out: &mut Vec<u8>, writable: &mut bool) -> io::Result<()> {
    while *writable && !out.is_empty() {
        match stream.write(out) {
            Ok(n) => drop(out.drain(..n)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => *writable = false,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// Turns until `wanted` says so, for at most ten seconds.
    pub(super) fn until(link: &mut Link, mut wanted: impl FnMut(&Happening) -> bool) -> Vec<Happening> {
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut all = Vec::new();
        while Instant::now() < deadline {
            all.extend(link.turn(Some(deadline)).unwrap());
            if all.iter().any(&mut wanted) {
                return all;
            }
        }
        panic!("it did not happen: {all:?}");
    }

    pub(super) fn bytes(happenings: &[Happening]) -> Vec<u8> {
        let parts = happenings.iter().filter_map(|happening| match happening {
            Happening::Bytes(bytes) => Some(&bytes[..]),
            _ => None,
        });
        parts.collect::<Vec<_>>().concat()
    }

    #[test]
    fn bytes_go_both_ways_and_the_end_is_told_after_them() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut link = Link::new().unwrap();
        link.connect([listener.local_addr().unwrap()], None);
        until(&mut link, |h| matches!(h, Happening::Connected(None)));
        let (mut server, _) = listener.accept().unwrap();
        let sent = vec![b'x'; 1_000_000];
        let there = std::thread::spawn(move || {
            let mut heard = vec![0; 1_000_000];
            server.read_exact(&mut heard).unwrap();
            server.write_all(&heard).unwrap();
        });
        link.send(&sent);
        let all = until(&mut link, |h| matches!(h, Happening::Closed(_)));
        there.join().unwrap();
        assert_eq!(bytes(&all), sent);
        assert!(matches!(all.last(), Some(Happening::Closed(Gone::Ended))), "{:?}", all.last());
        assert!(all.iter().all(|h| !matches!(h, Happening::Bytes(b) if b.len() > READ_BYTES_MAX)));
    }

    #[test]
    fn an_address_that_refuses_gives_way_to_the_next() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let open = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut link = Link::new().unwrap();
        link.connect([closed, open.local_addr().unwrap()], None);
        until(&mut link, |h| matches!(h, Happening::Connected(None)));
        link.connect([closed], None);
        let all = until(&mut link, |h| matches!(h, Happening::Closed(_)));
        let Some(Happening::Closed(Gone::Unreachable(error))) = all.last() else { panic!("{all:?}") };
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        link.connect([], None);
        until(&mut link, |h| matches!(h, Happening::Closed(Gone::Unreachable(_))));
    }

    #[test]
    fn the_bell_ends_a_turn() {
        let mut link = Link::new().unwrap();
        let bell = link.bell();
        let ringer = std::thread::spawn(move || bell.ring());
        until(&mut link, |h| matches!(h, Happening::Woken));
        ringer.join().unwrap();
    }

    #[test]
    fn a_deadline_ends_a_turn() {
        let mut link = Link::new().unwrap();
        assert!(link.turn(Some(Instant::now())).unwrap().is_empty());
    }
}
