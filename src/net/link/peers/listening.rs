//! The socket at which peers come in.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use rustls::ServerConfig;

use super::PeerIdentity;
use super::tls::{self, Expected};
use crate::hub::fingerprint::Fingerprint;
use crate::net::arrivals::{Accepted, Reserve};
use crate::net::listener::{Listeners, listen};

/// How long nobody is accepted after that has failed: what it failed for is mostly still there.
const PAUSE: Duration = Duration::from_millis(250);

pub(super) struct Listening {
    /// One.
    socket: Listeners,
    reserve: Reserve<File>,
    /// As it was asked for.
    address: SocketAddr,
    certificate: Fingerprint,
    port: u16,
    pub(super) config: Arc<ServerConfig>,
    /// Somebody may wait: mio tells only once.
    ready: bool,
    pause_until: Option<Instant>,
}

impl Listening {
    /// Listens at exactly this address.
    pub(super) fn begin(
        registry: &Registry,
        token: Token,
        address: SocketAddr,
        identity: &PeerIdentity,
        expected: &Expected,
    ) -> io::Result<Listening> {
        let mut socket = listen(address)?;
        let port = socket.local_addr()?.port();
        registry.register(&mut socket, token, Interest::READABLE)?;
        let mut socket = Listeners(vec![socket]);
        let reserve = Reserve::new(&mut socket)?;
        Ok(Listening {
            socket,
            reserve,
            address,
            certificate: identity.fingerprint(),
            port,
            config: tls::listening(identity, expected),
            ready: true,
            pause_until: None,
        })
    }

    /// Whether this is what was asked for.
    pub(super) fn is_at(&self, address: SocketAddr, identity: &PeerIdentity) -> bool {
        self.address == address && self.certificate == identity.fingerprint()
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// The poll says that somebody waits.
    pub(super) fn stir(&mut self) {
        self.ready = true;
    }

    /// Somebody may be accepted at once.
    pub(super) fn is_busy(&self) -> bool {
        self.ready && self.pause_until.is_none()
    }

    /// When to try again.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.pause_until.filter(|_| self.ready)
    }

    /// Accepts one connection, if somebody waits.
    pub(super) fn accept(&mut self) -> Option<(TcpStream, SocketAddr)> {
        if self.pause_until.is_some_and(|until| until <= Instant::now()) {
            self.pause_until = None;
        }
        if !self.is_busy() {
            return None;
        }
        match self.reserve.accept(&mut self.socket, 0) {
            Accepted::Connection(stream, address) => return Some((stream, address)),
            Accepted::Nobody => self.ready = false,
            Accepted::TurnedAway | Accepted::Failed | Accepted::Exhausted => {
                self.pause_until = Some(Instant::now() + PAUSE);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use mio::Poll;

    use super::*;

    #[test]
    fn whoever_could_not_be_accepted_is_tried_again_after_a_pause() {
        let poll = Poll::new().unwrap();
        let (identity, expected) = (PeerIdentity::new().unwrap(), Expected::default());
        let loopback = "127.0.0.1:0".parse().unwrap();
        let mut listening = Listening::begin(poll.registry(), Token(0), loopback, &identity, &expected).unwrap();
        assert!(listening.accept().is_none() && !listening.is_busy(), "nobody waits");
        let _waits = std::net::TcpStream::connect(("127.0.0.1", listening.port())).unwrap();
        listening.stir();
        let later = Instant::now() + Duration::from_secs(3600);
        listening.pause_until = Some(later);
        assert!(listening.accept().is_none() && !listening.is_busy(), "or it would be tried all the time");
        assert_eq!(listening.deadline(), Some(later));
        listening.pause_until = Some(Instant::now());
        assert!(listening.accept().is_some());
        assert_eq!(listening.deadline(), None);
    }
}
