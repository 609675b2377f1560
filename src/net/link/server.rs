//! The connection to the server, of which there is at most one: dialling its addresses, TLS or not, and how it ended.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::{Registry, Token};

use super::conversation::End;
use super::dial::Attempt;
use super::pipe::Pipe;
use super::tls::{Tls, TlsFailure};
use super::{Gone, Happening};

/// How much is read in one turn, in bytes.
pub(super) const READ_BYTES_MAX: usize = 64 * 1024;
/// How long the TLS handshake may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// How long the other end may leave our bytes unacknowledged before the connection counts as lost.
const USER_TIMEOUT_MS: u32 = 35_000;

pub(super) struct Server {
    token: Token,
    state: State,
    /// How to encrypt; `None`: not at all.
    tls: Option<Tls>,
    pub(super) handshake_max: Duration,
}

enum State {
    Idle,
    Connecting {
        attempt: Attempt,
        rest: VecDeque<SocketAddr>,
        /// The poll has said something about it.
        stirred: bool,
    },
    /// No address could even be tried; told in the next turn.
    Failed(io::Error),
    Open {
        pipe: Pipe,
        /// Until when the handshake must be through, if there is one and it is not.
        shaking_until: Option<Instant>,
    },
}

impl Server {
    /// `token`: what the poll knows the connection by.
    pub(super) fn new(token: Token) -> Server {
        Server { token, state: State::Idle, tls: None, handshake_max: HANDSHAKE_MAX }
    }

    /// See `Link::connect`.
    pub(super) fn connect(&mut self, registry: &Registry, addresses: VecDeque<SocketAddr>, tls: Option<&Tls>) {
        self.close(registry);
        self.tls = tls.cloned();
        self.dial(registry, addresses, io::Error::new(ErrorKind::NotFound, "the name has no address"));
    }

    /// Drops the connection, and what was not written yet.
    pub(super) fn close(&mut self, registry: &Registry) {
        if let State::Open { pipe, .. } = &mut self.state {
            pipe.close();
            pipe.leave(registry);
        }
        self.state = State::Idle;
    }

    /// Puts bytes behind those that wait to be written. Without a connection they are dropped.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        if let State::Open { pipe, .. } = &mut self.state {
            pipe.send(bytes);
        }
    }

    /// Our end of the connection.
    pub(super) fn local_address(&self) -> Option<SocketAddr> {
        match &self.state {
            State::Open { pipe, .. } => pipe.local_address().ok(),
            _ => None,
        }
    }

    /// The other end of the connection.
    pub(super) fn remote_address(&self) -> Option<SocketAddr> {
        match &self.state {
            State::Open { pipe, .. } => pipe.remote_address().ok(),
            _ => None,
        }
    }

    /// There is something to do at once.
    pub(super) fn is_busy(&self) -> bool {
        match &self.state {
            State::Open { pipe, .. } => pipe.is_readable(),
            State::Failed(_) => true,
            State::Idle | State::Connecting { .. } => false,
        }
    }

    /// When there is something to do if nothing happens.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Connecting { attempt, .. } => Some(attempt.give_up_at()),
            State::Open { shaking_until, .. } => *shaking_until,
            State::Idle | State::Failed(_) => None,
        }
    }

    /// Takes note of what the poll says.
    pub(super) fn stir(&mut self, event: &Event) {
        match &mut self.state {
            State::Connecting { stirred, .. } => *stirred = true,
            State::Open { pipe, .. } => pipe.stir(event),
            State::Idle | State::Failed(_) => {}
        }
    }

    /// Does what there is to do, a bounded amount of it.
    pub(super) fn turn(&mut self, registry: &Registry, happenings: &mut Vec<Happening>) {
        match &mut self.state {
            State::Idle => {}
            State::Failed(_) => {
                if let State::Failed(error) = std::mem::replace(&mut self.state, State::Idle) {
                    happenings.push(Happening::Closed(Gone::Unreachable(error)));
                }
            }
            State::Connecting { .. } => self.settle(registry, happenings),
            State::Open { .. } => {
                self.read(registry, happenings);
                self.write(registry, happenings);
                self.give_up_handshake(registry, happenings);
            }
        }
    }

    pub(super) fn write(&mut self, registry: &Registry, happenings: &mut Vec<Happening>) {
        let State::Open { pipe, .. } = &mut self.state else { return };
        if pipe.write().is_err() {
            self.read(registry, happenings);
            let encrypted = matches!(&self.state, State::Open { pipe, .. } if pipe.tls().is_some());
            self.lose(registry, if encrypted { Gone::CutOff } else { Gone::Ended }, happenings);
        }
    }

    /// Begins with the first address that can be tried at all.
    fn dial(&mut self, registry: &Registry, mut rest: VecDeque<SocketAddr>, mut last: io::Error) {
        while let Some(address) = rest.pop_front() {
            match Attempt::begin(registry, self.token, address) {
                Ok(attempt) => {
                    self.state = State::Connecting { attempt, rest, stirred: false };
                    return;
                }
                Err(error) => last = error,
            }
        }
        self.state = State::Failed(last);
    }

    /// Finds out how dialling goes.
    fn settle(&mut self, registry: &Registry, happenings: &mut Vec<Happening>) {
        let State::Connecting { attempt, rest, stirred } = &mut self.state else { return };
        let Some(outcome) = attempt.outcome(std::mem::take(stirred)) else { return };
        let rest = std::mem::take(rest);
        let State::Connecting { attempt, .. } = std::mem::replace(&mut self.state, State::Idle) else { return };
        if let Err(error) = outcome {
            drop(attempt);
            self.dial(registry, rest, error);
            return;
        }
        let stream = attempt.into_stream();
        // Without these two it is only slower.
        let _ = stream.set_nodelay(true);
        let _ = rustix::net::sockopt::set_tcp_user_timeout(&stream, USER_TIMEOUT_MS);
        let conversation = match self.tls.as_ref().map(Tls::converse).transpose() {
            Ok(conversation) => conversation,
            Err(why) => return happenings.push(Happening::Closed(Gone::Tls(why))),
        };
        let shaking_until = conversation.is_some().then(|| Instant::now() + self.handshake_max);
        if conversation.is_none() {
            happenings.push(Happening::Connected(None));
        }
        self.state = State::Open { pipe: Pipe::new(stream, conversation), shaking_until };
    }

    fn give_up_handshake(&mut self, registry: &Registry, happenings: &mut Vec<Happening>) {
        let State::Open { shaking_until: Some(until), .. } = &self.state else { return };
        if *until <= Instant::now() {
            self.lose(registry, Gone::Tls(TlsFailure::TooSlow), happenings);
        }
    }

    fn read(&mut self, registry: &Registry, happenings: &mut Vec<Happening>) {
        let State::Open { pipe, shaking_until } = &mut self.state else { return };
        if !pipe.is_readable() {
            return;
        }
        let mut bytes = Vec::new();
        let end = pipe.read(&mut bytes, READ_BYTES_MAX);
        let mut gone = end.map(|end| Gone::of(end, pipe.is_shaking()));
        if pipe.settled() {
            *shaking_until = None;
            if let Some((tls, conversation)) = self.tls.as_ref().zip(pipe.tls_mut()) {
                match tls.secured(conversation) {
                    Ok(secured) => happenings.push(Happening::Connected(Some(secured))),
                    Err(why) => (bytes, gone) = (Vec::new(), Some(Gone::Tls(why))),
                }
            }
        }
        if !bytes.is_empty() {
            happenings.push(Happening::Bytes(bytes));
        }
        if let Some(gone) = gone {
            self.lose(registry, gone, happenings);
        }
    }

    fn lose(&mut self, registry: &Registry, gone: Gone, happenings: &mut Vec<Happening>) {
        if matches!(self.state, State::Open { .. }) {
            self.close(registry);
            happenings.push(Happening::Closed(gone));
        }
    }
}

impl Gone {
    fn of(end: End, shaking: bool) -> Gone {
        match end {
            End::Ended => Gone::Ended,
            End::CutOff => Gone::CutOff,
            End::Handshake(why) => Gone::Tls(why),
            End::Tls(error) if shaking => Gone::Tls(TlsFailure::of(&error)),
            End::Tls(error) => Gone::Broken(io::Error::new(ErrorKind::InvalidData, error.to_string())),
            End::Broken(error) => Gone::Broken(error),
        }
    }
}
