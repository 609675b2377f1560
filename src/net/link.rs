//! A client's connections: one to the server, those with peers, those that carry one message only, a socket for datagrams, and a
//! bell that other threads can ring; all of them in one poll, and nothing ever blocks.
//!
//! Knows bytes, not lines. `Link` routes: the connection to the server is in `server`, those with peers are in `peers`, those
//! for one message in `parcels`, and the socket is in `datagrams`. What arrives in a turn is bounded, so that whoever floods can't keep the client from looking
//! up.

mod conversation;
mod datagrams;
mod dial;
pub mod parcels;
pub mod peers;
mod pipe;
mod server;
mod signatures;
pub mod tls;

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token, Waker};

use self::datagrams::Datagrams;
use self::parcels::{NotSent, ParcelId, Parcels};
use self::peers::{NotLetIn, PeerHappening, PeerId, PeerIdentity, Peers};
use self::server::Server;
use self::tls::{Secured, Tls, TlsFailure};
use crate::hub::fingerprint::Fingerprint;

const SERVER: Token = Token(0);
const WAKE: Token = Token(1);
const DATAGRAMS: Token = Token(2);
/// So many, and
const PARCELS: Token = Token(3);
/// all after them.
const PEERS: Token = Token(PARCELS.0 + parcels::TOKENS);

/// How many sockets are heard of in one turn.
const EVENTS_MAX: usize = 32;

/// What happened in a turn.
#[derive(Debug)]
pub enum Happening {
    /// The connection that was asked for is there; `None`: it is not encrypted.
    Connected(Option<Secured>),
    /// The server sent something; never empty.
    Bytes(Vec<u8>),
    /// There is no connection (any more), and why. Nothing comes from it after this.
    Closed(Gone),
    /// Something happened to a connection with a peer.
    Peer(PeerId, PeerHappening),
    /// Somebody came to the socket that listens for peers, and was not let in. When that happens too often it is not told each
    /// time; `untold`: how often it was not, since it was told the last time.
    Knocked { from: IpAddr, why: NotLetIn, untold: u64 },
    /// A connection has brought its message; never empty.
    Parcel { from: IpAddr, bytes: Vec<u8> },
    /// A message that was sent on a connection of its own has left, or why not.
    ParcelSent(ParcelId, Result<(), NotSent>),
    /// A datagram of the server's.
    Datagram(Vec<u8>),
    /// Nobody hears our datagrams, at none of the addresses.
    Unheard(io::Error),
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

/// The connections, and the bell.
pub struct Link {
    poll: Poll,
    events: Events,
    waker: Arc<Waker>,
    server: Server,
    datagrams: Datagrams,
    parcels: Parcels,
    peers: Peers,
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
            events: Events::with_capacity(EVENTS_MAX),
            waker,
            server: Server::new(SERVER),
            datagrams: Datagrams::new(DATAGRAMS),
            parcels: Parcels::new(PARCELS),
            peers: Peers::new(PEERS),
        })
    }

    pub fn bell(&self) -> Bell {
        Bell(self.waker.clone())
    }

    /// Drops the connection that is there and dials these addresses, one after the other, until one lets us in. With `tls`
    /// the connection is encrypted or there is none. `Happening::Connected` or `Happening::Closed` tells how it went.
    pub fn connect(&mut self, addresses: impl IntoIterator<Item = SocketAddr>, tls: Option<&Tls>) {
        self.server.connect(self.poll.registry(), addresses.into_iter().collect(), tls);
    }

    /// Drops the connection to the server, and what was not written yet.
    pub fn close(&mut self) {
        self.server.close(self.poll.registry());
    }

    /// Puts bytes behind those that wait to be written to the server. Without a connection they are dropped.
    pub fn send(&mut self, bytes: &[u8]) {
        self.server.send(bytes);
    }

    /// Writes what waits, and waits until something happens, but not beyond `deadline`. May come back with nothing.
    pub fn turn(&mut self, deadline: Option<Instant>) -> io::Result<Vec<Happening>> {
        let mut happenings = Vec::new();
        self.server.write(self.poll.registry(), &mut happenings);
        self.peers.write(&mut happenings);
        let sockets_are_busy = self.server.is_busy() || self.datagrams.is_busy();
        let busy = sockets_are_busy || self.parcels.is_busy() || self.peers.is_busy() || !happenings.is_empty();
        let deadlines = [deadline, self.server.deadline(), self.parcels.deadline(), self.peers.deadline()];
        let until = deadlines.into_iter().flatten().min();
        // Rounded up, or the last millisecond would be spent in turns that find nothing.
        let timeout = until.map(|until| {
            let left = until.saturating_duration_since(Instant::now());
            Duration::from_millis(left.as_micros().div_ceil(1000).try_into().unwrap_or(u64::MAX))
        });
        match self.poll.poll(&mut self.events, if busy { Some(Duration::ZERO) } else { timeout }) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(happenings),
            other => other?,
        }
        let mut woken = false;
        for event in &self.events {
            match event.token() {
                WAKE => woken = true,
                SERVER => self.server.stir(event),
                DATAGRAMS => self.datagrams.stir(event),
                token if token < PEERS => self.parcels.stir(event),
                _ => self.peers.stir(event),
            }
        }
        if woken {
            happenings.push(Happening::Woken);
        }
        self.server.turn(self.poll.registry(), &mut happenings);
        self.datagrams.turn(self.poll.registry(), &mut happenings);
        self.parcels.turn(self.poll.registry(), &mut happenings);
        self.peers.turn(self.poll.registry(), &mut happenings);
        Ok(happenings)
    }

    /// Our end of the connection to the server: where others on its side of the network may reach us. Without a port, and with
    /// the scope that a link-local address needs. `None`: there is no connection.
    pub fn local_address(&self) -> Option<SocketAddr> {
        let mut address = unmapped(self.server.local_address()?);
        address.set_port(0);
        Some(address)
    }

    /// The other end of the connection to the server. `None`: there is no connection.
    pub fn remote_address(&self) -> Option<SocketAddr> {
        self.server.remote_address().map(unmapped)
    }

    /// Opens the socket for datagrams to and from the server, in the place of the one that is there. The server is the first of
    /// these addresses at which somebody hears what is sent.
    pub fn open_datagrams(&mut self, addresses: impl IntoIterator<Item = SocketAddr>) -> io::Result<()> {
        self.datagrams.open(self.poll.registry(), addresses.into_iter().collect())
    }

    /// Sends a datagram to the server. It may be lost: without a socket it is.
    pub fn send_datagram(&mut self, datagram: &[u8]) {
        self.datagrams.send(datagram);
    }

    /// Where the datagrams go to. `None`: there is no socket for them.
    pub fn datagram_address(&self) -> Option<SocketAddr> {
        self.datagrams.remote_address().map(unmapped)
    }

    pub fn close_datagrams(&mut self) {
        self.datagrams.close(self.poll.registry());
    }

    /// Listens for connections with one message each at this address, whose port may be 0, and nowhere else any more. Most of them
    /// come from `mainly_from`, and the others can't take their places. Comes back: the port.
    pub fn listen_for_parcels(&mut self, address: SocketAddr, mainly_from: IpAddr) -> io::Result<u16> {
        self.parcels.listen(self.poll.registry(), address, mainly_from)
    }

    /// Sends these bytes on a connection of their own, which has so long for that. `Happening::ParcelSent` tells how it went, in
    /// a later turn.
    pub fn send_parcel(&mut self, address: SocketAddr, bytes: Vec<u8>, within: Duration) -> ParcelId {
        self.parcels.send(self.poll.registry(), address, bytes, within)
    }

    /// Listens for them no longer, and drops what is under way.
    pub fn close_parcels(&mut self) {
        self.parcels.close();
    }

    /// Listens for peers at exactly this address, whose port may be 0, and nowhere else any more. Comes back: the port. Where it
    /// listens already nothing changes.
    pub fn listen_for_peers(&mut self, address: SocketAddr, identity: &PeerIdentity) -> io::Result<u16> {
        self.peers.listen(self.poll.registry(), address, identity)
    }

    /// Whoever has come and was not let in yet must go; those who were stay.
    pub fn stop_listening_for_peers(&mut self) {
        self.peers.stop_listening();
    }

    /// Whoever shows this certificate, and has its key, may come in.
    pub fn expect_peer(&mut self, certificate: Fingerprint) {
        self.peers.expect(certificate);
    }

    /// Whoever shows this certificate is not let in any more. Those who were stay.
    pub fn expect_peer_no_longer(&mut self, certificate: Fingerprint) {
        self.peers.expect_no_longer(certificate);
    }

    /// Dials the peer that has this certificate. `PeerHappening::Up` or `PeerHappening::Gone` tells how it went, in a later turn.
    pub fn dial_peer(&mut self, address: SocketAddr, certificate: Fingerprint, identity: &PeerIdentity) -> PeerId {
        self.peers.dial(self.poll.registry(), address, certificate, identity)
    }

    /// Puts bytes behind those that wait to be written to a peer: all of them or, where it would be too much
    /// (`peers::WAITING_BYTES_MAX`) or the peer is not up, nothing. Comes back: whether they were taken.
    #[must_use]
    pub fn send_to_peer(&mut self, peer: PeerId, bytes: &[u8]) -> bool {
        self.peers.send(peer, bytes)
    }

    /// Ends a connection with a peer, of which nothing is told any more. The turns that follow write what waits, and the goodbye
    /// behind it, for a few seconds at most.
    pub fn close_peer(&mut self, peer: PeerId) {
        self.peers.close(peer);
    }

    /// How many peers there are to whom something may still be on its way, although their connections were ended.
    pub fn peers_leaving(&self) -> usize {
        self.peers.leaving()
    }
}

/// IPv4 in IPv6 is IPv4. The scope of a link-local address stays.
fn unmapped(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddr::from((ip, address.port())),
        IpAddr::V6(_) => address,
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.close();
        self.peers.close_all();
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::server::READ_BYTES_MAX;
    use super::*;

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
