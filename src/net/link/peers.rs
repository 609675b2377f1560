//! Conversations with peers: other people's clients, which come in at a listening socket or are dialled. The server takes no
//! part in them.
//!
//! Both ends are known by their certificates before they meet, and must prove to have the keys; until that is through nothing
//! is told but a knock, and nothing is sent but what belongs to the handshake. Who may come in and whom to dial is decided
//! elsewhere; so is what the bytes mean. Each peer gets its share of a turn, and none can keep more of us than the bounds here.

mod identity;
mod knocks;
mod listening;
mod tls;

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use rustls::{CertificateError, Error};
use socket2::{SockRef, TcpKeepalive};

pub use self::identity::PeerIdentity;
use self::knocks::Knocks;
use self::listening::Listening;
use self::tls::Expected;
use super::Happening;
use super::conversation::{Conversation, End};
use super::dial::Attempt;
use super::pipe::Pipe;
use super::tls::TlsFailure;
use crate::hub::fingerprint::Fingerprint;

/// Conversations, dialled ones that are under way, and those that are ending. A newcomer beyond it ends the oldest of those
/// that are ending, or does not come about.
pub const PEERS_MAX: usize = 16;
/// Handshakes of those who come in. A newcomer beyond it displaces one: of its own address, or the oldest.
const PENDING_MAX: usize = 8;
/// How many are accepted in one turn.
const ACCEPTED_MAX: usize = 8;
/// How long a handshake may take; of who was dialled, until it has said something.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// How much is read in one turn from all of them, in bytes,
const READ_BYTES_MAX: usize = 64 * 1024;
/// and at least from each whose turn it is.
const READ_BYTES_MIN: usize = 4 * 1024;
/// What may wait to be written to one of them, beside what is encrypted already, in bytes.
pub const WAITING_BYTES_MAX: usize = 256 * 1024;
/// How long a conversation that we end may take to write what waits.
const LEAVE_MAX: Duration = Duration::from_secs(3);
/// How long the other end may leave our bytes unacknowledged before the connection counts as lost.
const USER_TIMEOUT_MS: u32 = 35_000;
/// How long nothing may be heard of the other end before it is asked whether it is there,
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
/// how long before it is asked again,
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// and how often that.
const KEEPALIVE_PROBES: u32 = 3;

/// One connection with a peer. Never used again for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub u64);

/// What happened to a connection with a peer.
#[derive(Debug)]
pub enum PeerHappening {
    /// It is there: both ends have shown the certificates that were expected of them, and have their keys. Whoever dialled is
    /// told so when the other end has said its first word, for only that shows that it accepts us: so whoever was dialled is
    /// the one to speak first, within the time of a handshake.
    Up { certificate: Fingerprint, address: SocketAddr, dialled: bool },
    /// The peer sent something; never empty.
    Bytes(Vec<u8>),
    /// There is no connection (any more), and why. Nothing comes from it after this.
    Gone(PeerGone),
}

/// Why there is no connection with a peer.
#[derive(Debug)]
pub enum PeerGone {
    /// Nobody can be reached there.
    Unreachable(io::Error),
    /// As many are there as there may be (`PEERS_MAX`).
    TooMany,
    /// TLS did not come about. Nothing was sent but what belongs to its handshake.
    Tls(TlsFailure),
    /// The other end does not accept us: it said so, or ended before it had said anything.
    Refused,
    /// The other end closed.
    Ended,
    /// The connection ended without the goodbye that TLS has: something may be missing.
    CutOff,
    /// It broke.
    Broken(io::Error),
}

/// Why somebody who came was not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotLetIn {
    /// Its certificate is not expected (any more).
    Unexpected,
    /// It shows no certificate.
    NoCertificate,
    /// TLS did not come about.
    Tls(TlsFailure),
    /// It went away by itself.
    Left,
    /// It gave way to somebody who came later.
    Displaced,
    /// As many are there as there may be (`PEERS_MAX`).
    TooMany,
}

pub(super) struct Peers {
    /// What the poll knows the listening socket by; the peers come after it.
    token: Token,
    listening: Option<Listening>,
    expected: Expected,
    /// The oldest first.
    peers: BTreeMap<PeerId, Peer>,
    next: PeerId,
    /// Who is read first.
    first: PeerId,
    knocks: Knocks,
    handshake_max: Duration,
    leave_max: Duration,
}

struct Peer {
    address: SocketAddr,
    /// We have dialled it; else it came in.
    dialled: bool,
    /// The one that it must show; `None`: it came in, and was not let in yet.
    certificate: Option<Fingerprint>,
    stage: Stage,
}

enum Stage {
    /// It could not even be tried; told in the next turn.
    Failed(PeerGone),
    Dialling {
        attempt: Attempt,
        /// The poll has said something about it.
        stirred: bool,
        conversation: Box<Conversation>,
    },
    Open {
        pipe: Pipe,
        /// Until when it must be up; `None`: it is.
        up_by: Option<Instant>,
    },
    /// We have ended it, and nobody is told any more.
    Leaving { pipe: Pipe, until: Instant },
}

impl Peers {
    /// `token`: the first of those that nobody else uses.
    pub(super) fn new(token: Token) -> Peers {
        Peers {
            token,
            listening: None,
            expected: Expected::default(),
            peers: BTreeMap::new(),
            next: PeerId(0),
            first: PeerId(0),
            knocks: Knocks::default(),
            handshake_max: HANDSHAKE_MAX,
            leave_max: LEAVE_MAX,
        }
    }

    /// See `Link::listen_for_peers`.
    pub(super) fn listen(
        &mut self,
        registry: &Registry,
        address: SocketAddr,
        identity: &PeerIdentity,
    ) -> io::Result<u16> {
        if let Some(listening) = self.listening.as_ref().filter(|listening| listening.is_at(address, identity)) {
            return Ok(listening.port());
        }
        let listening = Listening::begin(registry, self.token, address, identity, &self.expected)?;
        let port = listening.port();
        self.stop_listening();
        self.listening = Some(listening);
        Ok(port)
    }

    /// See `Link::stop_listening_for_peers`.
    pub(super) fn stop_listening(&mut self) {
        self.listening = None;
        self.peers.retain(|_, peer| !peer.is_pending());
    }

    /// See `Link::expect_peer`.
    pub(super) fn expect(&mut self, certificate: Fingerprint) {
        self.expected.add(certificate);
    }

    /// See `Link::expect_peer_no_longer`.
    pub(super) fn expect_no_longer(&mut self, certificate: Fingerprint) {
        self.expected.remove(certificate);
    }

    /// See `Link::dial_peer`.
    pub(super) fn dial(
        &mut self,
        registry: &Registry,
        address: SocketAddr,
        certificate: Fingerprint,
        identity: &PeerIdentity,
    ) -> PeerId {
        let id = self.name();
        let stage = match self.make_room() {
            false => Stage::Failed(PeerGone::TooMany),
            true => match tls::call(identity, certificate) {
                Err(error) => Stage::Failed(PeerGone::Tls(TlsFailure::of(&error))),
                Ok(conversation) => match Attempt::begin(registry, self.token_of(id), address) {
                    Err(error) => Stage::Failed(PeerGone::Unreachable(error)),
                    Ok(attempt) => Stage::Dialling { attempt, stirred: false, conversation: Box::new(conversation) },
                },
            },
        };
        self.peers.insert(id, Peer { address, dialled: true, certificate: Some(certificate), stage });
        id
    }

    /// See `Link::send_to_peer`.
    pub(super) fn send(&mut self, id: PeerId, bytes: &[u8]) -> bool {
        let Some(Peer { stage: Stage::Open { pipe, up_by: None }, .. }) = self.peers.get_mut(&id) else { return false };
        if pipe.waiting() + bytes.len() > WAITING_BYTES_MAX {
            return false;
        }
        pipe.send(bytes);
        true
    }

    /// See `Link::close_peer`.
    pub(super) fn close(&mut self, id: PeerId) {
        let Some(mut peer) = self.peers.remove(&id) else { return };
        peer.stage = match peer.stage {
            Stage::Open { pipe, up_by: None } => Stage::Leaving { pipe, until: Instant::now() + self.leave_max },
            Stage::Open { mut pipe, .. } => return pipe.close(),
            leaving @ Stage::Leaving { .. } => leaving,
            Stage::Failed(_) | Stage::Dialling { .. } => return,
        };
        self.peers.insert(id, peer);
    }

    /// See `Link::peers_leaving`.
    pub(super) fn leaving(&self) -> usize {
        self.peers.values().filter(|peer| matches!(peer.stage, Stage::Leaving { .. })).count()
    }

    /// There is something to do at once.
    pub(super) fn is_busy(&self) -> bool {
        self.listening.as_ref().is_some_and(Listening::is_busy) || self.peers.values().any(Peer::is_busy)
    }

    /// When there is something to do if nothing happens.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let listening = self.listening.as_ref().and_then(Listening::deadline);
        self.peers.values().filter_map(Peer::deadline).chain(listening).min()
    }

    /// Takes note of what the poll says.
    pub(super) fn stir(&mut self, event: &Event) {
        if event.token() == self.token {
            self.listening.iter_mut().for_each(Listening::stir);
            return;
        }
        let id = PeerId((event.token().0 - self.token.0 - 1) as u64);
        if let Some(peer) = self.peers.get_mut(&id) {
            match &mut peer.stage {
                Stage::Failed(_) => {}
                Stage::Dialling { stirred, .. } => *stirred = true,
                Stage::Open { pipe, .. } | Stage::Leaving { pipe, .. } => pipe.stir(event),
            }
        }
    }

    /// Does what there is to do, a bounded amount of it.
    pub(super) fn turn(&mut self, registry: &Registry, happenings: &mut Vec<Happening>) {
        self.accept(registry, happenings);
        for id in self.ids(|_| true) {
            self.settle(id, happenings);
        }
        self.read(happenings);
        self.write(happenings);
        self.give_up(happenings);
    }

    /// Writes what waits.
    pub(super) fn write(&mut self, happenings: &mut Vec<Happening>) {
        for id in self.ids(|_| true) {
            self.write_to(id, happenings);
        }
    }

    /// Says goodbye to everybody, if there is room for it at once.
    pub(super) fn close_all(&mut self) {
        self.listening = None;
        for peer in std::mem::take(&mut self.peers).into_values() {
            match peer.stage {
                Stage::Open { mut pipe, up_by: None } | Stage::Leaving { mut pipe, .. } => drop(pipe.part()),
                Stage::Open { mut pipe, .. } => pipe.close(),
                Stage::Failed(_) | Stage::Dialling { .. } => {}
            }
        }
    }

    fn name(&mut self) -> PeerId {
        let id = self.next;
        self.next = PeerId(id.0 + 1);
        id
    }

    fn token_of(&self, id: PeerId) -> Token {
        Token(self.token.0 + 1 + id.0 as usize)
    }

    fn ids(&self, which: impl Fn(&Peer) -> bool) -> Vec<PeerId> {
        self.peers.iter().filter(|(_, peer)| which(peer)).map(|(id, _)| *id).collect()
    }

    /// Whether there is room for one more.
    fn make_room(&mut self) -> bool {
        if self.peers.values().filter(|peer| peer.counts()).count() < PEERS_MAX {
            return true;
        }
        let ending = self.ids(|peer| matches!(peer.stage, Stage::Leaving { .. }));
        ending.first().is_some_and(|oldest| self.peers.remove(oldest).is_some())
    }

    fn accept(&mut self, registry: &Registry, happenings: &mut Vec<Happening>) {
        for _ in 0..ACCEPTED_MAX {
            let Some(listening) = &mut self.listening else { return };
            let Some((mut stream, address)) = listening.accept() else { return };
            let Ok(conversation) = tls::answer(&listening.config) else { continue };
            let id = self.name();
            let both = Interest::READABLE | Interest::WRITABLE;
            if registry.register(&mut stream, self.token_of(id), both).is_err() {
                continue;
            }
            let address = super::unmapped(address);
            self.displace(address.ip(), happenings);
            let stage = self.opened(stream, conversation);
            self.peers.insert(id, Peer { address, dialled: false, certificate: None, stage });
        }
    }

    fn opened(&self, stream: TcpStream, conversation: Conversation) -> Stage {
        watch(&stream);
        Stage::Open { pipe: Pipe::new(stream, Some(conversation)), up_by: Some(Instant::now() + self.handshake_max) }
    }

    /// Makes room for somebody who came in: a flood from one address does not reach the others.
    fn displace(&mut self, newcomer: IpAddr, happenings: &mut Vec<Happening>) {
        let pending = self.ids(Peer::is_pending);
        if pending.len() < PENDING_MAX {
            return;
        }
        let of_its_own = pending.iter().find(|id| self.peers[id].address.ip() == newcomer);
        if let Some(id) = of_its_own.or(pending.first()) {
            self.refuse(*id, NotLetIn::Displaced, happenings);
        }
    }

    /// Finds out how dialling goes.
    fn settle(&mut self, id: PeerId, happenings: &mut Vec<Happening>) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let outcome = match &mut peer.stage {
            Stage::Failed(_) => Ok(()),
            Stage::Dialling { attempt, stirred, .. } => match attempt.outcome(std::mem::take(stirred)) {
                Some(outcome) => outcome,
                None => return,
            },
            Stage::Open { .. } | Stage::Leaving { .. } => return,
        };
        let Some(peer) = self.peers.remove(&id) else { return };
        let why = match (peer.stage, outcome) {
            (Stage::Dialling { attempt, conversation, .. }, Ok(())) => {
                let stage = self.opened(attempt.into_stream(), *conversation);
                self.peers.insert(id, Peer { stage, ..peer });
                return;
            }
            (Stage::Failed(why), _) => why,
            (_, Err(error)) => PeerGone::Unreachable(error),
            (_, Ok(())) => return,
        };
        happenings.push(Happening::Peer(id, PeerHappening::Gone(why)));
    }

    /// Reads from those that have something, each its share. Whoever is left out comes first the next time.
    fn read(&mut self, happenings: &mut Vec<Happening>) {
        let mut ready = self.ids(|peer| matches!(&peer.stage, Stage::Open { pipe, .. } if pipe.is_readable()));
        let first = ready.partition_point(|id| *id < self.first);
        ready.rotate_left(first);
        ready.truncate(READ_BYTES_MAX / READ_BYTES_MIN);
        let Some(last) = ready.last() else { return };
        self.first = PeerId(last.0 + 1);
        let share = READ_BYTES_MAX / ready.len();
        for id in ready {
            self.read_from(id, share, happenings);
        }
    }

    fn read_from(&mut self, id: PeerId, limit: usize, happenings: &mut Vec<Happening>) {
        let Some(Peer { stage: Stage::Open { pipe, .. }, .. }) = self.peers.get_mut(&id) else { return };
        let mut bytes = Vec::new();
        let end = pipe.read(&mut bytes, limit);
        if pipe.settled() && !self.judge(id, happenings) {
            return;
        }
        if let Some(up) = self.peers.get_mut(&id).and_then(|peer| peer.rise(!bytes.is_empty())) {
            happenings.push(Happening::Peer(id, up));
        }
        if !bytes.is_empty() {
            happenings.push(Happening::Peer(id, PeerHappening::Bytes(bytes)));
        }
        if let Some(end) = end {
            self.end(id, end, happenings);
        }
    }

    /// A handshake is through: whether what it has brought will do. What the verifiers have judged is judged once more, since
    /// somebody may not be expected any more.
    fn judge(&mut self, id: PeerId, happenings: &mut Vec<Happening>) -> bool {
        let Some(Peer { stage: Stage::Open { pipe, .. }, dialled, certificate, .. }) = self.peers.get(&id) else {
            return false;
        };
        let shown = pipe.tls().and_then(Conversation::certificate);
        let is_peer = pipe.tls().and_then(Conversation::protocol) == Some(tls::PROTOCOL);
        let no_peer = || TlsFailure::Other("it is not there for peers".to_owned());
        if *dialled {
            let why = match (*certificate, shown) {
                _ if !is_peer => no_peer(),
                (Some(known), Some(shown)) if known == shown => return true,
                (Some(known), Some(shown)) => TlsFailure::Changed { known, shown },
                _ => TlsFailure::Other("it shows no certificate".to_owned()),
            };
            self.lose(id, PeerGone::Tls(why), happenings);
            return false;
        }
        let why = match shown.filter(|shown| self.expected.has(*shown)) {
            None => NotLetIn::Unexpected,
            Some(_) if !is_peer => NotLetIn::Tls(no_peer()),
            Some(_) if !self.make_room() => NotLetIn::TooMany,
            Some(shown) => {
                self.peers.entry(id).and_modify(|peer| peer.certificate = Some(shown));
                return true;
            }
        };
        self.refuse(id, why, happenings);
        false
    }

    fn write_to(&mut self, id: PeerId, happenings: &mut Vec<Happening>) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        match &mut peer.stage {
            Stage::Failed(_) | Stage::Dialling { .. } => {}
            Stage::Open { pipe, .. } => {
                if let Err(error) = pipe.write() {
                    self.read_from(id, READ_BYTES_MIN, happenings);
                    self.end(id, End::of_writing(error), happenings);
                }
            }
            Stage::Leaving { pipe, .. } => {
                if pipe.part() {
                    self.peers.remove(&id);
                }
            }
        }
    }

    /// Ends what has taken too long.
    fn give_up(&mut self, happenings: &mut Vec<Happening>) {
        let now = Instant::now();
        for id in self.ids(|peer| peer.deadline().is_some_and(|until| until <= now)) {
            match self.peers.get(&id) {
                // Its attempt gives itself up.
                Some(Peer { stage: Stage::Dialling { .. }, .. }) => {}
                Some(Peer { stage: Stage::Open { .. }, .. }) => {
                    self.end(id, End::Handshake(TlsFailure::TooSlow), happenings);
                }
                _ => drop(self.peers.remove(&id)),
            }
        }
    }

    /// There is nothing more from this peer.
    fn end(&mut self, id: PeerId, end: End, happenings: &mut Vec<Happening>) {
        let Some(peer) = self.peers.get(&id) else { return };
        let Stage::Open { pipe, up_by } = &peer.stage else { return };
        match peer.is_pending() {
            true => self.refuse(id, NotLetIn::of(end), happenings),
            false => {
                let gone = PeerGone::of(end, pipe.is_shaking(), up_by.is_none());
                self.lose(id, gone, happenings);
            }
        }
    }

    /// Ends a conversation, or what was to become one.
    fn lose(&mut self, id: PeerId, gone: PeerGone, happenings: &mut Vec<Happening>) {
        let Some(peer) = self.peers.remove(&id) else { return };
        peer.hang_up();
        happenings.push(Happening::Peer(id, PeerHappening::Gone(gone)));
    }

    /// Does not let somebody in who came.
    fn refuse(&mut self, id: PeerId, why: NotLetIn, happenings: &mut Vec<Happening>) {
        let Some(peer) = self.peers.remove(&id) else { return };
        let from = peer.address.ip();
        peer.hang_up();
        if let Some(untold) = self.knocks.knock(Instant::now()) {
            happenings.push(Happening::Knocked { from, why, untold });
        }
    }
}

impl Peer {
    /// It came in, and was not let in yet.
    fn is_pending(&self) -> bool {
        !self.dialled && matches!(self.stage, Stage::Open { up_by: Some(_), .. })
    }

    /// It is one of those of whom there may be `PEERS_MAX`.
    fn counts(&self) -> bool {
        !self.is_pending() && !matches!(self.stage, Stage::Failed(_))
    }

    fn is_busy(&self) -> bool {
        match &self.stage {
            Stage::Failed(_) => true,
            Stage::Dialling { .. } => false,
            Stage::Open { pipe, .. } | Stage::Leaving { pipe, .. } => pipe.is_readable(),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Failed(_) => None,
            Stage::Dialling { attempt, .. } => Some(attempt.give_up_at()),
            Stage::Open { up_by, .. } => *up_by,
            Stage::Leaving { until, .. } => Some(*until),
        }
    }

    /// It is up from now on, if it has become so. `said`: the other end has said something.
    fn rise(&mut self, said: bool) -> Option<PeerHappening> {
        let Stage::Open { pipe, up_by } = &mut self.stage else { return None };
        if up_by.is_none() || pipe.is_shaking() || self.dialled && !said {
            return None;
        }
        *up_by = None;
        Some(PeerHappening::Up { certificate: self.certificate?, address: self.address, dialled: self.dialled })
    }

    /// Closes at once, with what TLS has to say about it.
    fn hang_up(self) {
        if let Stage::Open { mut pipe, .. } = self.stage {
            pipe.close();
        }
    }
}

impl PeerGone {
    /// `shaking`: the handshake went on; `up`: the other end had accepted us.
    fn of(end: End, shaking: bool, up: bool) -> PeerGone {
        match end {
            End::Ended if up => PeerGone::Ended,
            End::Tls(Error::AlertReceived(_)) | End::Ended if !shaking && !up => PeerGone::Refused,
            End::Ended | End::CutOff => PeerGone::CutOff,
            End::Handshake(why) => PeerGone::Tls(why),
            End::Tls(error) if shaking => PeerGone::Tls(TlsFailure::of(&error)),
            End::Tls(error) => PeerGone::Broken(io::Error::new(ErrorKind::InvalidData, error.to_string())),
            End::Broken(error) => PeerGone::Broken(error),
        }
    }
}

impl NotLetIn {
    fn of(end: End) -> NotLetIn {
        match end {
            End::Tls(Error::NoCertificatesPresented) => NotLetIn::NoCertificate,
            End::Tls(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)) => {
                NotLetIn::Unexpected
            }
            End::Tls(error) => NotLetIn::Tls(TlsFailure::of(&error)),
            End::Handshake(TlsFailure::ClosedAtOnce) | End::Ended | End::CutOff | End::Broken(_) => NotLetIn::Left,
            End::Handshake(why) => NotLetIn::Tls(why),
        }
    }
}

/// Sees to it that words leave at once, and that the loss of the other end is noticed. Without these it is only slower.
fn watch(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let _ = rustix::net::sockopt::set_tcp_user_timeout(stream, USER_TIMEOUT_MS);
    let keepalive =
        TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL).with_retries(KEEPALIVE_PROBES);
    let _ = SockRef::from(stream).set_tcp_keepalive(&keepalive);
}

#[cfg(test)]
mod tests;
