use std::net::{Ipv4Addr, SocketAddr};

use super::*;
use crate::net::link::Link;

/// How long anything may take here.
const LIMIT: Duration = Duration::from_secs(10);
const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A client, and what has happened to it.
struct Client {
    link: Link,
    identity: PeerIdentity,
    all: Vec<Happening>,
}

impl Client {
    fn new() -> Client {
        Client { link: Link::new().unwrap(), identity: PeerIdentity::new().unwrap(), all: Vec::new() }
    }

    /// Listens on loopback.
    fn listen(&mut self) -> SocketAddr {
        let port = self.link.listen_for_peers(LOOPBACK, &self.identity).unwrap();
        SocketAddr::new(LOOPBACK.ip(), port)
    }

    fn certificate(&self) -> Fingerprint {
        self.identity.fingerprint()
    }

    fn dial(&mut self, address: SocketAddr, certificate: Fingerprint) -> PeerId {
        self.link.dial_peer(address, certificate, &self.identity)
    }

    fn turn(&mut self) {
        let soon = Instant::now() + Duration::from_millis(5);
        self.all.extend(self.link.turn(Some(soon)).unwrap());
    }

    /// The connection that is up, if there is one.
    fn up(&self) -> Option<(PeerId, Fingerprint, SocketAddr, bool)> {
        self.all.iter().find_map(|happening| match happening {
            Happening::Peer(id, PeerHappening::Up { certificate, address, dialled }) => {
                Some((*id, *certificate, *address, *dialled))
            }
            _ => None,
        })
    }

    fn gone(&self, peer: PeerId) -> Option<&PeerGone> {
        self.all.iter().find_map(|happening| match happening {
            Happening::Peer(id, PeerHappening::Gone(why)) if *id == peer => Some(why),
            _ => None,
        })
    }

    fn knock(&self) -> Option<&NotLetIn> {
        self.all.iter().find_map(|happening| match happening {
            Happening::Knocked { why, .. } => Some(why),
            _ => None,
        })
    }

    fn heard(&self, peer: PeerId) -> Vec<u8> {
        let parts = self.all.iter().filter_map(|happening| match happening {
            Happening::Peer(id, PeerHappening::Bytes(bytes)) if *id == peer => Some(&bytes[..]),
            _ => None,
        });
        parts.collect::<Vec<_>>().concat()
    }

    fn has_heard(&self, peer: PeerId, bytes: &[u8]) -> bool {
        self.heard(peer).ends_with(bytes)
    }
}

/// Lets both go round until `wanted` is there.
fn until(one: &mut Client, other: &mut Client, wanted: impl Fn(&Client, &Client) -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !wanted(one, other) {
        assert!(Instant::now() < deadline, "it did not happen: {:?} and {:?}", one.all, other.all);
        one.turn();
        other.turn();
    }
}

/// A conversation: who listens, who has dialled, and what each knows the other by.
fn pair() -> (Client, PeerId, Client, PeerId) {
    let (mut host, mut caller) = (Client::new(), Client::new());
    let address = host.listen();
    host.link.expect_peer(caller.certificate());
    let called = caller.dial(address, host.certificate());
    until(&mut host, &mut caller, |host, _| host.up().is_some());
    let came = host.up().unwrap().0;
    assert!(host.link.send_to_peer(came, b"welcome"));
    until(&mut host, &mut caller, |_, caller| caller.has_heard(called, b"welcome"));
    (host, came, caller, called)
}

#[test]
fn both_ends_know_each_other_and_words_go_both_ways() {
    let (mut host, came, mut caller, called) = pair();
    let (_, certificate, from, dialled) = host.up().unwrap();
    assert_eq!((certificate, from.ip(), dialled), (caller.certificate(), LOOPBACK.ip(), false));
    let (up, certificate, _, dialled) = caller.up().unwrap();
    assert_eq!((up, certificate, dialled), (called, host.certificate(), true));
    for word in [&b"how are you"[..], b"well, and you", b"the same"] {
        assert!(caller.link.send_to_peer(called, word));
        until(&mut host, &mut caller, |host, _| host.has_heard(came, word));
        assert!(host.link.send_to_peer(came, word));
        until(&mut host, &mut caller, |_, caller| caller.has_heard(called, word));
    }
}

#[test]
fn whoever_shows_another_certificate_is_not_talked_to() {
    let (mut host, mut caller) = (Client::new(), Client::new());
    let address = host.listen();
    host.link.expect_peer(caller.certificate());
    let (known, shown) = (Fingerprint([1; Fingerprint::BYTES]), host.certificate());
    let called = caller.dial(address, known);
    until(&mut host, &mut caller, |host, caller| caller.gone(called).is_some() && host.knock().is_some());
    let Some(PeerGone::Tls(why)) = caller.gone(called) else { panic!("{:?}", caller.all) };
    assert_eq!(*why, TlsFailure::Changed { known, shown });
    assert!(host.up().is_none() && caller.up().is_none());
}

#[test]
fn whoever_is_not_expected_is_refused_and_finds_out() {
    let (mut host, mut caller) = (Client::new(), Client::new());
    let address = host.listen();
    host.link.expect_peer(Fingerprint([1; Fingerprint::BYTES]));
    let called = caller.dial(address, host.certificate());
    until(&mut host, &mut caller, |host, caller| caller.gone(called).is_some() && host.knock().is_some());
    assert!(matches!(caller.gone(called), Some(PeerGone::Refused)), "{:?}", caller.all);
    assert_eq!(host.knock(), Some(&NotLetIn::Unexpected));
    assert!(host.up().is_none() && caller.up().is_none());
}
