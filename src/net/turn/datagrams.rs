//! Datagrams: those that come, a bounded number a socket and turn, and those that leave. What they say is a step of a log-on
//! to a session (protocols.md, section 2), or a correspondent's (section 3).
//!
//! Nothing proves where a datagram comes from. So whoever has no session is answered only so often, and with nothing that is
//! longer than the question but for what a protocol makes necessary; most of what is wrong is passed over in silence.

use super::*;
use crate::hub::effect::LogOnAnswer;
use crate::hub::id::Endpoint;
use crate::hub::input::LogOn;
use crate::net::arrivals::Backlog;
use crate::net::connection::Serves;
use crate::net::queue::IfLost;
use crate::net::reflection::{Allowance, Reflection};
use crate::net::replies::Replies;
use crate::wire::Protocol;
use crate::wire::literal::SOURCE_BYTES_MAX;
use crate::wire::recognise::recognise_datagram;
use crate::wire::session::log_on::{self, FromClient};

/// Steps of a log-on that a source may take at once, as a class behind one address does,
pub const LOG_ONS_AT_ONCE_MAX: u32 = 64;
/// and in a second.
pub const LOG_ONS_A_SECOND_MAX: u32 = 16;
/// Errors that a source is told at once which has not logged in,
pub const ERRORS_AT_ONCE_MAX: u32 = 4;
/// and in a second.
pub const ERRORS_A_SECOND_MAX: u32 = 2;

/// All sockets, and what is known of whoever has no session there.
pub(super) struct Datagrams {
    sockets: Vec<Socket>,
    /// They are received. Until then the kernel keeps them: nobody hears that they should ask again.
    is_open: bool,
    backlog: Backlog,
    log_ons: Reflection,
    pub errors: Reflection,
    pub replies: Replies,
    buffer: Box<[u8]>,
    /// What is sent next, as it travels.
    pub sealed: Vec<u8>,
}

#[derive(Debug)]
struct Socket {
    serves: Serves,
    /// There may be more to receive.
    ready: bool,
    /// It takes nothing until it is announced.
    full: bool,
}

impl Datagrams {
    /// `serves`: what is served at each socket.
    pub fn new(serves: &[Serves]) -> Datagrams {
        let socket = |&serves| Socket { serves, ready: true, full: false };
        Datagrams {
            sockets: serves.iter().map(socket).collect(),
            is_open: false,
            backlog: Backlog::default(),
            log_ons: Reflection::new(Allowance { at_once: LOG_ONS_AT_ONCE_MAX, a_second: LOG_ONS_A_SECOND_MAX }),
            errors: Reflection::new(Allowance { at_once: ERRORS_AT_ONCE_MAX, a_second: ERRORS_A_SECOND_MAX }),
            replies: Replies::default(),
            // One more than may be read, so that what is longer is not taken for something else.
            buffer: vec![0; SOURCE_BYTES_MAX + 1].into_boxed_slice(),
            sealed: Vec::new(),
        }
    }

    /// Whether there may be more to receive.
    pub fn is_ready(&self) -> bool {
        self.is_open && self.sockets.iter().any(|socket| socket.ready)
    }

    /// Nothing is received any more, and whoever has no session gets no answer.
    pub fn close(&mut self) {
        self.sockets.iter_mut().for_each(|socket| socket.ready = false);
        self.replies.clear();
    }

    /// Whether a socket takes datagrams.
    pub fn takes(&self, socket: u16) -> bool {
        self.sockets.get(usize::from(socket)).is_some_and(|socket| !socket.full)
    }

    /// Whether an answer may leave.
    pub fn may_reply(&self, persisted: BatchNumber) -> bool {
        self.replies.may_leave(persisted, |socket| self.takes(socket))
    }

    /// Whatever had come by then has been received, if that can be said now.
    pub fn caught_up(&mut self, began: Instant) -> Option<Instant> {
        let kept_max = self.is_ready().then_some(self.sockets.len() * DATAGRAMS_KEPT_MAX);
        self.backlog.caught_up(began, kept_max)
    }
}

impl<E: Environment> Turn<E> {
    /// More has come to a socket of datagrams, or it takes them again (`writable`).
    pub fn note_datagrams(&mut self, socket: u16, readable: bool, writable: bool) {
        let is_stopping = self.stopping.is_some();
        let Some(found) = self.datagrams.sockets.get_mut(usize::from(socket)) else { return };
        found.ready |= readable && !is_stopping;
        if writable && std::mem::take(&mut found.full) {
            self.watch_datagrams(socket, false);
            self.correspondents.consider_all_at(socket, self.persisted);
        }
    }

    /// One round: a bounded number of datagrams of each socket.
    pub(super) fn serve_datagrams(&mut self, now: Now) -> bool {
        // Before that nobody has an account.
        self.datagrams.is_open |= self.hub.has_read_accounts();
        if !self.datagrams.is_ready() {
            return false;
        }
        let mut progress = false;
        let mut buffer = std::mem::take(&mut self.datagrams.buffer);
        for index in 0..self.datagrams.sockets.len() {
            for _ in 0..DATAGRAMS_A_TURN {
                let socket = &mut self.datagrams.sockets[index];
                if !socket.ready {
                    break;
                }
                progress = true;
                match self.environment.receive(index as u16, &mut buffer) {
                    Ok((bytes, address)) => {
                        self.datagrams.backlog.served();
                        let from = Endpoint { socket: index as u16, address };
                        self.hear_datagram(now, from, &buffer[..bytes]);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => socket.ready = false,
                    // What has become of an earlier one (ICMP) is no news: whoever is gone does not acknowledge.
                    Err(error) => log::debug!("a datagram could not be received: {error}"),
                }
            }
        }
        self.datagrams.buffer = buffer;
        progress
    }

    fn hear_datagram(&mut self, now: Now, from: Endpoint, datagram: &[u8]) {
        // Nobody can be answered there.
        if from.address.port() == 0 {
            return;
        }
        if !self.admission.plaintext.contains(from.address.ip()) {
            return log::debug!("a datagram from {} was ignored: out of scope", from.address.ip().to_canonical());
        }
        let serves = self.datagrams.sockets[usize::from(from.socket)].serves;
        match recognise_datagram(datagram).filter(|&protocol| serves.protocol(protocol)) {
            Some(Protocol::Session) => self.hear_log_on(now, from, datagram),
            Some(Protocol::Datagram) => self.hear_correspondent(now, from, datagram),
            _ => log::debug!("a datagram from {} is nothing that is served", from.address.ip().to_canonical()),
        }
    }

    /// A step of a log-on to a session.
    fn hear_log_on(&mut self, now: Now, from: Endpoint, datagram: &[u8]) {
        let Some(said) = FromClient::parse(datagram) else { return };
        let is_served = self.admission.session_port.is_some();
        if !is_served || !self.datagrams.log_ons.allows(now.instant, from.peer().source()) {
            return log::debug!("a log-on from {} was ignored: there are too many", from.address.ip().to_canonical());
        }
        let step = match said {
            FromClient::Hello(user) => LogOn::Hello(user.user().cloned()),
            FromClient::Response { user, response } => LogOn::Response { user: user.user().cloned(), response },
        };
        self.tell(now, Input::LogOn { from, step });
    }

    /// What a step of a log-on comes to is said when it is true.
    pub(super) fn answer_log_on(&mut self, to: Endpoint, answer: &LogOnAnswer, batch: BatchNumber, if_lost: IfLost) {
        let datagram = match answer {
            LogOnAnswer::Challenge(challenge) => log_on::challenge(*challenge),
            LogOnAnswer::NotOnList => log_on::NOT_ON_LIST.to_vec(),
            LogOnAnswer::Failed => log_on::FAILURE.to_vec(),
            LogOnAnswer::Succeeded { challenge, key } => {
                let Some(port) = self.admission.session_port else { return };
                log_on::success(*challenge, port, key)
            }
        };
        if !self.datagrams.replies.push(to, datagram, batch, if_lost) {
            log::debug!("an answer to a log-on was not given: too many wait for the disk");
        }
    }

    /// Sends what may leave, to everybody who has something to be sent.
    pub(super) fn send_datagrams(&mut self, now: Now) -> bool {
        let mut progress = false;
        if !self.datagrams.replies.is_empty() {
            let mut replies = std::mem::take(&mut self.datagrams.replies);
            progress = replies.send(self.persisted, |reply| self.send(reply.to, &reply.datagram));
            self.datagrams.replies = replies;
        }
        for _ in 0..self.correspondents.due() {
            let Some(id) = self.correspondents.next_due() else { break };
            progress = true;
            self.send_to(now, id);
        }
        progress
    }

    /// Sends a datagram; it may be lost. False: the socket takes none now.
    pub(super) fn send(&mut self, to: Endpoint, datagram: &[u8]) -> bool {
        if !self.datagrams.takes(to.socket) {
            return false;
        }
        match self.environment.send(to, datagram) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => !self.watch_datagrams(to.socket, true),
            Err(error) => {
                log::debug!("a datagram was lost: {error}");
                true
            }
        }
    }

    /// Whether it is announced now that a socket takes datagrams again.
    fn watch_datagrams(&mut self, socket: u16, writable: bool) -> bool {
        let watched = self.environment.watch_datagrams(socket, writable);
        if let Err(error) = &watched {
            log::warn!("a socket of datagrams could not be watched: {error}");
        }
        let is_watched = watched.is_ok() && writable;
        if let Some(socket) = self.datagrams.sockets.get_mut(usize::from(socket)) {
            socket.full = is_watched;
        }
        is_watched
    }
}
