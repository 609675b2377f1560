use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV6, TcpListener, TcpStream as Plain};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use rustls::client::ResolvesClientCert;
use rustls::crypto::aws_lc_rs as provider;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{AlertDescription, ClientConfig, ClientConnection, ServerConfig, ServerConnection, version};
use socket2::{Domain, Socket, Type};

use super::*;
use crate::net::link::tls::{Pin, Verifier, nameless};
use crate::net::link::{Gone, Link};

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
        let brought = self.link.turn(Some(soon)).unwrap();
        let said = brought.iter().map(|happening| match happening {
            Happening::Peer(_, PeerHappening::Bytes(bytes)) => bytes.len(),
            _ => 0,
        });
        assert!(said.sum::<usize>() <= READ_BYTES_MAX);
        let peers = &self.link.peers;
        assert!(peers.ids(Peer::is_pending).len() <= PENDING_MAX);
        assert!(peers.ids(Peer::counts).len() <= PEERS_MAX);
        self.all.extend(brought);
    }

    /// Lets it go round until `wanted` is there.
    fn until(&mut self, wanted: impl Fn(&Client) -> bool) {
        let deadline = Instant::now() + LIMIT;
        while !wanted(self) {
            assert!(Instant::now() < deadline, "it did not happen: {:?}", self.all);
            self.turn();
        }
    }

    /// The next word to a peer, which must be taken.
    fn say(&mut self, peer: PeerId, bytes: &[u8]) {
        assert!(self.link.send_to_peer(peer, bytes));
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

/// Somebody who has a certificate, and the key of somebody else.
fn impostor(of: &PeerIdentity) -> PeerIdentity {
    let parts = |identity: &PeerIdentity| identity.key.resolve(&[], &[]).unwrap();
    let own = PeerIdentity::new().unwrap();
    let pair = CertifiedKey::new(parts(of).cert.clone(), parts(&own).key.clone());
    PeerIdentity { key: Arc::new(SingleCertAndKey::from(pair)), fingerprint: of.fingerprint() }
}

/// A peer's side that is not ours: anything can be left out, and it stops where it is told to.
struct Foreign {
    tls: ClientConnection,
    stream: Plain,
}

impl Foreign {
    fn new(address: SocketAddr, identity: Option<&PeerIdentity>, protocol: Option<&[u8]>) -> Foreign {
        let config = ClientConfig::builder_with_provider(Arc::new(provider::default_provider()))
            .with_protocol_versions(&[&version::TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Verifier::new(Pin::new(None))));
        let mut config = match identity {
            Some(identity) => config.with_client_cert_resolver(identity.key.clone()),
            None => config.with_no_client_auth(),
        };
        config.alpn_protocols = protocol.iter().map(|protocol| protocol.to_vec()).collect();
        // So that the messages of a handshake come in records of their own.
        config.max_fragment_size = Some(64);
        let stream = Plain::connect(address).unwrap();
        stream.set_nonblocking(true).unwrap();
        Foreign { tls: ClientConnection::new(Arc::new(config), nameless()).unwrap(), stream }
    }

    /// Reads what there is, and comes back with what TLS says to it. `None`: the stream has ended.
    fn hear(&mut self) -> Option<Result<(), Error>> {
        match self.tls.read_tls(&mut self.stream) {
            Ok(0) => return None,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => panic!("{error}"),
        }
        Some(self.tls.process_new_packets().map(|_| ()))
    }

    /// Does its part of the handshake, but for the last thing to say, with which it comes back.
    fn shake(&mut self, host: &mut Client) -> Vec<u8> {
        let deadline = Instant::now() + LIMIT;
        loop {
            assert!(Instant::now() < deadline, "the handshake does not go on");
            let mut flight = Vec::new();
            while self.tls.wants_write() {
                self.tls.write_tls(&mut flight).unwrap();
            }
            if !self.tls.is_handshaking() {
                return flight;
            }
            self.stream.write_all(&flight).unwrap();
            host.turn();
            self.hear().unwrap().unwrap();
        }
    }

    /// What TLS says to the last thing that it hears.
    fn verdict(&mut self, host: &mut Client) -> Option<Error> {
        let deadline = Instant::now() + LIMIT;
        loop {
            assert!(Instant::now() < deadline, "there is no verdict");
            host.turn();
            match self.hear() {
                None => return None,
                Some(Ok(())) => {}
                Some(Err(error)) => return Some(error),
            }
        }
    }
}

/// A server to dial that is not ours.
fn serve(identity: &PeerIdentity, protocol: Option<&[u8]>) -> (SocketAddr, JoinHandle<()>) {
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider::default_provider()))
        .with_protocol_versions(&[&version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(identity.key.clone());
    config.alpn_protocols = protocol.iter().map(|protocol| protocol.to_vec()).collect();
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    let address = listener.local_addr().unwrap();
    let thread = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let mut tls = ServerConnection::new(Arc::new(config)).unwrap();
        while tls.is_handshaking() {
            if tls.complete_io(&mut stream).is_err() {
                return;
            }
        }
        // Nothing is said to whom one has not looked at.
        let mut heard = Vec::new();
        let _ = rustls::Stream::new(&mut tls, &mut stream).read_to_end(&mut heard);
        assert!(heard.is_empty(), "{heard:?}");
    });
    (address, thread)
}

/// A conversation: who listens, who has dialled, and what each knows the other by.
fn pair() -> (Client, PeerId, Client, PeerId) {
    let (mut host, mut caller) = (Client::new(), Client::new());
    let address = host.listen();
    host.link.expect_peer(caller.certificate());
    let called = caller.dial(address, host.certificate());
    until(&mut host, &mut caller, |host, _| host.up().is_some());
    let came = host.up().unwrap().0;
    host.say(came, b"welcome");
    until(&mut host, &mut caller, |_, caller| caller.has_heard(called, b"welcome"));
    (host, came, caller, called)
}

/// Somebody else comes in to a host, and both have heard of the other.
fn join(host: &mut Client) -> (Client, PeerId, PeerId) {
    let mut caller = Client::new();
    host.link.expect_peer(caller.certificate());
    host.all.clear();
    let address = host.listen();
    let called = caller.dial(address, host.certificate());
    until(host, &mut caller, |host, _| host.up().is_some());
    let came = host.up().unwrap().0;
    host.say(came, b"welcome");
    until(host, &mut caller, |_, caller| caller.up().is_some());
    (caller, called, came)
}

#[test]
fn both_ends_know_each_other_and_words_go_both_ways() {
    let (mut host, came, mut caller, called) = pair();
    let (_, certificate, from, dialled) = host.up().unwrap();
    assert_eq!((certificate, from.ip(), dialled), (caller.certificate(), LOOPBACK.ip(), false));
    let (up, certificate, _, dialled) = caller.up().unwrap();
    assert_eq!((up, certificate, dialled), (called, host.certificate(), true));
    for word in [&b"how are you"[..], b"well, and you", b"the same"] {
        caller.say(called, word);
        until(&mut host, &mut caller, |host, _| host.has_heard(came, word));
        host.say(came, word);
        until(&mut host, &mut caller, |_, caller| caller.has_heard(called, word));
    }
    for client in [&mut host, &mut caller] {
        client.turn();
        assert!(!client.link.peers.is_busy(), "where nothing happens there is nothing to do");
        assert_eq!(client.link.peers.deadline(), None);
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

#[test]
fn big_words_go_both_ways_at_once_and_split_anyhow() {
    let (mut host, came, mut caller, called) = pair();
    let there: Vec<u8> = (0..1_500_000u32).map(|n| (n / 7) as u8).collect();
    let back: Vec<u8> = (0..1_500_000u32).map(|n| (n / 11) as u8).collect();
    let (mut to_host, mut to_caller) = (&there[..], &back[..]);
    let mut sizes = [1, 70_000, 3, 16_385, 200_000, 4096].into_iter().cycle();
    let deadline = Instant::now() + LIMIT;
    while !to_host.is_empty() || !to_caller.is_empty() {
        assert!(Instant::now() < deadline);
        let size = sizes.next().unwrap();
        let part = &to_host[..size.min(to_host.len())];
        if caller.link.send_to_peer(called, part) {
            to_host = &to_host[part.len()..];
        }
        let part = &to_caller[..size.min(to_caller.len())];
        if host.link.send_to_peer(came, part) {
            to_caller = &to_caller[part.len()..];
        }
        host.turn();
        caller.turn();
    }
    host.all.retain(|happening| !matches!(happening, Happening::Peer(_, PeerHappening::Up { .. })));
    until(&mut host, &mut caller, |host, caller| {
        host.heard(came).len() >= there.len() && caller.heard(called).len() >= back.len() + b"welcome".len()
    });
    assert!(host.heard(came) == there);
    assert!(caller.heard(called)[b"welcome".len()..] == back);
}

#[test]
fn who_has_dialled_is_up_when_the_other_end_has_spoken() {
    let (mut host, mut caller) = (Client::new(), Client::new());
    let address = host.listen();
    host.link.expect_peer(caller.certificate());
    let called = caller.dial(address, host.certificate());
    until(&mut host, &mut caller, |host, _| host.up().is_some());
    let came = host.up().unwrap().0;
    assert!(!caller.link.send_to_peer(called, b"x"), "nobody is there yet, as far as it knows");
    let Some(Peer { stage: Stage::Open { up_by, .. }, .. }) = caller.link.peers.peers.get_mut(&called) else {
        panic!()
    };
    assert!(up_by.is_some_and(|until| until <= Instant::now() + HANDSHAKE_MAX));
    *up_by = Some(Instant::now());
    until(&mut host, &mut caller, |host, caller| caller.gone(called).is_some() && host.gone(came).is_some());
    assert!(matches!(caller.gone(called), Some(PeerGone::Tls(TlsFailure::TooSlow))), "{:?}", caller.all);
    assert!(caller.up().is_none());
    assert!(matches!(host.gone(came), Some(PeerGone::Ended)), "{:?}", host.all);
    assert!(host.heard(came).is_empty());
}

#[test]
fn a_certificate_without_its_key_is_worth_nothing_on_either_end() {
    let (mut host, mut caller) = (Client::new(), Client::new());
    let address = host.listen();
    host.link.expect_peer(caller.certificate());
    let called = caller.link.dial_peer(address, host.certificate(), &impostor(&caller.identity));
    until(&mut host, &mut caller, |host, caller| caller.gone(called).is_some() && host.knock().is_some());
    assert_eq!(host.knock(), Some(&NotLetIn::Tls(TlsFailure::NotItsOwn)));
    assert!(matches!(caller.gone(called), Some(PeerGone::Refused)), "{:?}", caller.all);

    let (mut host, mut caller) = (Client::new(), Client::new());
    let known = host.certificate();
    host.identity = impostor(&host.identity);
    let address = host.listen();
    host.link.expect_peer(caller.certificate());
    let called = caller.dial(address, known);
    until(&mut host, &mut caller, |host, caller| caller.gone(called).is_some() && host.knock().is_some());
    assert!(matches!(caller.gone(called), Some(PeerGone::Tls(TlsFailure::NotItsOwn))), "{:?}", caller.all);
    assert!(host.up().is_none() && caller.up().is_none());
}

#[test]
fn whoever_is_not_expected_any_more_is_refused() {
    let (mut host, mut caller) = (Client::new(), Client::new());
    let address = host.listen();
    host.link.expect_peer(caller.certificate());
    host.link.expect_peer_no_longer(caller.certificate());
    let called = caller.dial(address, host.certificate());
    until(&mut host, &mut caller, |host, caller| caller.gone(called).is_some() && host.knock().is_some());
    assert!(matches!(caller.gone(called), Some(PeerGone::Refused)), "{:?}", caller.all);
    assert_eq!(host.knock(), Some(&NotLetIn::Unexpected));
}

#[test]
fn whoever_is_not_expected_any_more_at_the_end_of_its_handshake_is_refused() {
    let (mut host, identity) = (Client::new(), PeerIdentity::new().unwrap());
    let address = host.listen();
    host.link.expect_peer(identity.fingerprint());
    let mut foreign = Foreign::new(address, Some(&identity), Some(tls::PROTOCOL));
    let flight = foreign.shake(&mut host);
    // The last record has only the end of the last message.
    let (before, end) = flight.split_at(flight.len() - 20);
    foreign.stream.write_all(before).unwrap();
    for _ in 0..10 {
        host.turn();
    }
    host.link.expect_peer_no_longer(identity.fingerprint());
    foreign.stream.write_all(end).unwrap();
    assert_eq!(foreign.verdict(&mut host), None, "an alert would come from the verifier, which has let it pass");
    assert_eq!(host.knock(), Some(&NotLetIn::Unexpected));
    assert!(host.up().is_none());
}

#[test]
fn whoever_is_not_expected_hears_so_at_once() {
    let (mut host, identity) = (Client::new(), PeerIdentity::new().unwrap());
    let address = host.listen();
    let mut foreign = Foreign::new(address, Some(&identity), Some(tls::PROTOCOL));
    let flight = foreign.shake(&mut host);
    // It does not take the end of the handshake to see it.
    foreign.stream.write_all(&flight[..flight.len() - 20]).unwrap();
    assert_eq!(foreign.verdict(&mut host), Some(Error::AlertReceived(AlertDescription::AccessDenied)));
    assert_eq!(host.knock(), Some(&NotLetIn::Unexpected));
}

#[test]
fn whoever_shows_no_certificate_is_refused() {
    let mut host = Client::new();
    let address = host.listen();
    let mut foreign = Foreign::new(address, None, Some(tls::PROTOCOL));
    let flight = foreign.shake(&mut host);
    foreign.stream.write_all(&flight).unwrap();
    let verdict = foreign.verdict(&mut host);
    assert_eq!(verdict, Some(Error::AlertReceived(AlertDescription::CertificateRequired)));
    assert_eq!(host.knock(), Some(&NotLetIn::NoCertificate));
}

#[test]
fn whoever_is_not_there_for_peers_is_refused_whatever_it_shows() {
    let (mut host, identity) = (Client::new(), PeerIdentity::new().unwrap());
    let address = host.listen();
    host.link.expect_peer(identity.fingerprint());
    let mut foreign = Foreign::new(address, Some(&identity), None);
    let flight = foreign.shake(&mut host);
    foreign.stream.write_all(&flight).unwrap();
    assert_eq!(foreign.verdict(&mut host), None);
    assert!(matches!(host.knock(), Some(NotLetIn::Tls(TlsFailure::Other(_)))), "{:?}", host.all);

    for protocol in [None, Some(&b"h2"[..])] {
        let (mut caller, identity) = (Client::new(), PeerIdentity::new().unwrap());
        let (address, there) = serve(&identity, protocol);
        let called = caller.dial(address, identity.fingerprint());
        caller.until(|caller| caller.gone(called).is_some());
        let gone = caller.gone(called);
        assert!(matches!(gone, Some(PeerGone::Tls(TlsFailure::Other(_)))), "{gone:?}");
        assert!(caller.up().is_none());
        there.join().unwrap();
    }
}

#[test]
fn what_is_no_tls_is_told_as_a_knock() {
    for opening in [&b"GET / HTTP/1.1\r\nHost: me\r\n\r\n"[..], &[0; 4096], b"\x16\x03\x01\x00\x05hello"] {
        let mut host = Client::new();
        let address = host.listen();
        let mut stranger = Plain::connect(address).unwrap();
        stranger.write_all(opening).unwrap();
        host.until(|host| host.knock().is_some());
        let why = host.knock().unwrap();
        match opening[0] {
            0x16 => assert!(matches!(why, NotLetIn::Tls(TlsFailure::Other(_))), "{why:?}"),
            _ => assert_eq!(*why, NotLetIn::Tls(TlsFailure::NotTls)),
        }
        assert!(host.link.peers.peers.is_empty());
    }
}

#[test]
fn whoever_says_nothing_is_given_up_and_whoever_leaves_is_told() {
    let mut host = Client::new();
    host.link.peers.handshake_max = Duration::from_millis(50);
    let address = host.listen();
    let silent = Plain::connect(address).unwrap();
    let begun = Instant::now();
    while host.knock().is_none() {
        // Only its own deadline ends such a turn.
        host.all.extend(host.link.turn(Some(begun + LIMIT)).unwrap());
        assert!(begun.elapsed() < LIMIT);
    }
    assert_eq!(host.knock(), Some(&NotLetIn::Tls(TlsFailure::TooSlow)));
    drop(silent);

    let mut host = Client::new();
    let address = host.listen();
    drop(Plain::connect(address).unwrap());
    host.until(|host| host.knock().is_some());
    assert_eq!(host.knock(), Some(&NotLetIn::Left));
}

#[test]
fn nobody_is_kept_who_says_too_much_before_the_handshake_is_through() {
    let mut host = Client::new();
    let address = host.listen();
    let mut stranger = Plain::connect(address).unwrap();
    stranger.write_all(b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc").unwrap();
    stranger.write_all(&[0; 7000]).unwrap();
    for _ in 0..5 {
        host.turn();
    }
    assert_eq!(host.knock(), None);
    stranger.write_all(&[0; 2000]).unwrap();
    host.until(|host| host.knock().is_some());
    let why = TlsFailure::Other("it says more than a handshake takes".to_owned());
    assert_eq!(host.knock(), Some(&NotLetIn::Tls(why)));
}

#[test]
fn where_nobody_is_that_is_told() {
    let mut caller = Client::new();
    let free = TcpListener::bind(LOOPBACK).unwrap().local_addr().unwrap();
    let called = caller.dial(free, caller.certificate());
    caller.until(|caller| caller.gone(called).is_some());
    let Some(PeerGone::Unreachable(error)) = caller.gone(called) else { panic!("{:?}", caller.all) };
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    let impossible = SocketAddr::from((Ipv4Addr::BROADCAST, 9));
    let called = caller.dial(impossible, caller.certificate());
    caller.until(|caller| caller.gone(called).is_some());
    assert!(matches!(caller.gone(called), Some(PeerGone::Unreachable(_))), "{:?}", caller.all);
    assert!(caller.link.peers.peers.is_empty());
}

#[test]
fn whoever_does_not_read_is_not_written_to_without_end() {
    let (mut host, came, mut caller, called) = pair();
    let part = [b'x'; 10_000];
    let mut taken = 0;
    // What the kernel's buffers take beside ours is not known, but it is not that much.
    while taken < 64 << 20 {
        match caller.link.send_to_peer(called, &part) {
            true => taken += part.len(),
            false => {
                caller.turn();
                if !caller.link.send_to_peer(called, &part) {
                    break;
                }
                taken += part.len();
            }
        }
    }
    assert!(taken < 64 << 20);
    let Stage::Open { pipe, .. } = &caller.link.peers.peers[&called].stage else { panic!() };
    assert!(pipe.waiting() <= WAITING_BYTES_MAX);
    until(&mut host, &mut caller, |host, _| host.heard(came).len() >= taken);
    assert_eq!(host.heard(came).len(), taken);
    assert!(caller.gone(called).is_none() && host.gone(came).is_none());
}

#[test]
fn an_orderly_end_comes_after_what_was_said_and_is_not_told_to_who_ends() {
    let (mut host, came, mut caller, called) = pair();
    caller.link.peers.leave_max = LIMIT;
    let mut said = 0;
    while caller.link.send_to_peer(called, &[b'x'; 100_000]) {
        said += 100_000;
        caller.turn();
    }
    caller.all.clear();
    caller.link.close_peer(called);
    assert!(!caller.link.send_to_peer(called, b"more"));
    assert_eq!(caller.link.peers_leaving(), 1);
    until(&mut host, &mut caller, |host, caller| host.gone(came).is_some() && caller.link.peers_leaving() == 0);
    assert_eq!(host.heard(came).len(), said);
    assert!(matches!(host.gone(came), Some(PeerGone::Ended)), "{:?}", host.gone(came));
    assert!(caller.all.is_empty(), "{:?}", caller.all);
    assert!(caller.link.peers.peers.is_empty() && host.link.peers.peers.is_empty());
}

#[test]
fn what_nobody_reads_any_more_does_not_take_back_what_was_said() {
    let (mut host, came, mut caller, called) = pair();
    host.say(came, &[b'y'; 100_000]);
    host.turn();
    let said = vec![b'x'; 250_000];
    caller.say(called, &said);
    caller.link.close_peer(called);
    until(&mut host, &mut caller, |host, caller| host.gone(came).is_some() && caller.link.peers_leaving() == 0);
    assert!(host.heard(came) == said);
    assert!(matches!(host.gone(came), Some(PeerGone::Ended)), "{:?}", host.gone(came));
}

#[test]
fn an_end_takes_only_so_long() {
    let (host, _, mut caller, called) = pair();
    caller.link.peers.leave_max = Duration::from_millis(50);
    while caller.link.send_to_peer(called, &[b'x'; 100_000]) {
        caller.turn();
    }
    caller.link.close_peer(called);
    caller.until(|caller| caller.link.peers_leaving() == 0);
    drop(host);
}

#[test]
fn an_end_without_a_goodbye_is_told_apart() {
    let (mut host, came, mut caller, called) = pair();
    caller.say(called, b"half a li");
    until(&mut host, &mut caller, |host, _| host.has_heard(came, b"half a li"));
    caller.link.peers.peers.clear();
    until(&mut host, &mut caller, |host, _| host.gone(came).is_some());
    assert!(matches!(host.gone(came), Some(PeerGone::CutOff)), "{:?}", host.all);
}

#[test]
fn a_program_that_ends_says_goodbye() {
    let (mut host, came, mut caller, called) = pair();
    caller.say(called, b"bye");
    drop(caller);
    host.until(|host| host.gone(came).is_some());
    assert_eq!(host.heard(came), b"bye");
    assert!(matches!(host.gone(came), Some(PeerGone::Ended)), "{:?}", host.all);
}

#[test]
fn a_flood_of_strangers_reaches_neither_conversations_nor_the_server() {
    let (mut host, came, mut caller, called) = pair();
    let server = TcpListener::bind(LOOPBACK).unwrap();
    host.link.connect([server.local_addr().unwrap()], None);
    host.until(|host| host.all.iter().any(|happening| matches!(happening, Happening::Connected(None))));
    let (mut server, _) = server.accept().unwrap();
    let address = SocketAddr::new(LOOPBACK.ip(), host.listen().port());
    let mut strangers = Vec::new();
    for round in 0..20u8 {
        for _ in 0..20 {
            let mut stranger = Plain::connect(address).unwrap();
            if round % 2 == 0 {
                stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
            }
            strangers.push(stranger);
        }
        caller.say(called, &[round]);
        server.write_all(&[round]).unwrap();
        until(&mut host, &mut caller, |host, _| {
            let said = host.all.iter().filter(|happening| matches!(happening, Happening::Bytes(_))).count();
            host.heard(came).len() > usize::from(round) && said > usize::from(round)
        });
        host.say(came, &[round]);
        until(&mut host, &mut caller, |_, caller| caller.has_heard(called, &[round]));
    }
    let told = host.all.iter().filter(|happening| matches!(happening, Happening::Knocked { .. })).count();
    assert!((1..=10).contains(&told), "{told}");
    assert!(host.gone(came).is_none() && caller.gone(called).is_none());
    assert!(!host.all.iter().any(|happening| matches!(happening, Happening::Closed(_))));
}

#[test]
fn a_flood_from_one_address_does_not_displace_who_comes_from_another() {
    let (mut host, mut caller) = (Client::new(), Client::new());
    let address = host.listen();
    host.link.expect_peer(caller.certificate());
    let called = caller.dial(address, host.certificate());
    caller.until(|caller| !matches!(caller.link.peers.peers[&called].stage, Stage::Dialling { .. }));
    let mut strangers = Vec::new();
    for _ in 0..5 {
        for _ in 0..PENDING_MAX {
            let stranger = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            stranger.bind(&SocketAddr::from(([127, 0, 0, 2], 0)).into()).unwrap();
            stranger.connect(&address.into()).unwrap();
            strangers.push(stranger);
        }
        host.turn();
    }
    until(&mut host, &mut caller, |host, _| host.up().is_some());
    assert_eq!(host.knock(), Some(&NotLetIn::Displaced));
}

#[test]
fn nobody_is_kept_waiting_by_who_talks_all_the_time() {
    let (mut host, came, mut loud, called) = pair();
    let (mut quiet, other, second) = join(&mut host);
    while loud.link.send_to_peer(called, &[b'x'; 100_000]) {
        loud.turn();
    }
    host.all.clear();
    quiet.say(other, b"me too");
    quiet.turn();
    host.turn();
    assert_eq!(host.heard(second), b"me too");
    let loudly = host.heard(came).len();
    assert!((1..READ_BYTES_MAX).contains(&loudly), "{loudly}");
}

#[test]
fn what_a_turn_has_left_is_read_in_the_next() {
    let (mut host, came, mut one, called) = pair();
    let (mut other, second_called, second) = join(&mut host);
    // Together it is more than a turn reads, and it is there before the first of them: nothing more will stir.
    let said = [b'x'; 50_000];
    one.say(called, &said);
    other.say(second_called, &said);
    one.turn();
    other.turn();
    let begun = Instant::now();
    while [came, second].iter().any(|peer| host.heard(*peer).len() < said.len()) {
        host.all.extend(host.link.turn(Some(begun + LIMIT)).unwrap());
        assert!(begun.elapsed() < LIMIT);
    }
}

#[test]
fn there_are_only_so_many_peers() {
    let mut host = Client::new();
    let address = host.listen();
    let mut callers = Vec::new();
    for _ in 0..PEERS_MAX {
        callers.push(join(&mut host));
    }
    // However much those who are there say, who comes is looked at.
    for (caller, called, _) in &mut callers {
        caller.say(*called, &[b'x'; 200_000]);
        caller.turn();
    }
    let mut late = Client::new();
    host.link.expect_peer(late.certificate());
    let called = late.dial(address, host.certificate());
    until(&mut host, &mut late, |host, late| late.gone(called).is_some() && host.knock().is_some());
    let loud = |peer: &Peer| matches!(&peer.stage, Stage::Open { pipe, .. } if pipe.is_readable());
    assert_eq!(host.link.peers.ids(loud).len(), PEERS_MAX, "all have still something to say");
    assert_eq!(host.knock(), Some(&NotLetIn::TooMany));
    assert!(matches!(late.gone(called), Some(PeerGone::Refused)), "{:?}", late.all);
    let dialled = host.dial(address, late.certificate());
    host.until(|host| host.gone(dialled).is_some());
    assert!(matches!(host.gone(dialled), Some(PeerGone::TooMany)), "{:?}", host.all);
    // Who is on the way out gives way.
    host.link.close_peer(callers[0].2);
    host.dial(address, late.certificate());
    assert_eq!(host.link.peers_leaving(), 0);
    assert_eq!(host.link.peers.ids(Peer::counts).len(), PEERS_MAX);
}

#[test]
fn a_recorded_handshake_is_worth_nothing() {
    let (mut host, mut caller) = (Client::new(), Client::new());
    let address = host.listen();
    host.link.expect_peer(caller.certificate());
    // Somebody on the way, who keeps what the caller says.
    let between = TcpListener::bind(LOOPBACK).unwrap();
    let called = caller.dial(between.local_addr().unwrap(), host.certificate());
    let (mut near, mut far) = (between.accept().unwrap().0, Plain::connect(address).unwrap());
    near.set_nonblocking(true).unwrap();
    far.set_nonblocking(true).unwrap();
    let mut recorded = Vec::new();
    let deadline = Instant::now() + LIMIT;
    while caller.up().is_none() {
        assert!(Instant::now() < deadline, "{:?}", caller.all);
        host.turn();
        caller.turn();
        if let Some((came, ..)) = host.up()
            && host.heard(came).is_empty()
        {
            let _ = host.link.send_to_peer(came, b"welcome");
        }
        let mut buffer = [0; 4096];
        if let Ok(count) = near.read(&mut buffer) {
            recorded.extend_from_slice(&buffer[..count]);
            far.write_all(&buffer[..count]).unwrap();
        }
        if let Ok(count) = far.read(&mut buffer) {
            near.write_all(&buffer[..count]).unwrap();
        }
    }
    assert!(recorded.len() > 1000 && caller.gone(called).is_none());
    host.all.clear();
    let mut again = Plain::connect(address).unwrap();
    again.write_all(&recorded).unwrap();
    host.until(|host| host.knock().is_some());
    assert!(matches!(host.knock(), Some(NotLetIn::Tls(TlsFailure::Other(_)))), "{:?}", host.all);
    assert!(host.up().is_none());
}

#[test]
fn who_listens_no_longer_keeps_its_conversations() {
    let (mut host, came, mut caller, called) = pair();
    let address = SocketAddr::new(LOOPBACK.ip(), host.listen().port());
    assert_eq!(host.listen(), address, "it listens there already");
    let mut pending = Plain::connect(address).unwrap();
    host.until(|host| host.link.peers.ids(Peer::is_pending).len() == 1);
    host.link.stop_listening_for_peers();
    pending.set_read_timeout(Some(LIMIT)).unwrap();
    assert!(matches!(pending.read(&mut [0; 16]), Ok(0) | Err(_)));
    assert_eq!(Plain::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    caller.say(called, b"still here");
    until(&mut host, &mut caller, |host, _| host.has_heard(came, b"still here"));
    assert_eq!(host.knock(), None);
    assert_ne!(host.listen().port(), 0);
}

#[test]
fn peers_stay_when_the_server_goes() {
    let (mut host, came, mut caller, called) = pair();
    let server = TcpListener::bind(LOOPBACK).unwrap();
    assert_eq!(host.link.local_address(), None);
    host.link.connect([server.local_addr().unwrap()], None);
    host.until(|host| host.all.iter().any(|happening| matches!(happening, Happening::Connected(None))));
    assert_eq!(host.link.local_address(), Some(LOOPBACK));
    drop(server.accept().unwrap());
    host.until(|host| host.all.iter().any(|happening| matches!(happening, Happening::Closed(Gone::Ended))));
    assert_eq!(host.link.local_address(), None);
    host.link.close();
    caller.say(called, b"still here");
    until(&mut host, &mut caller, |host, _| host.has_heard(came, b"still here"));
}

#[test]
fn peers_meet_over_ipv6_too() {
    let mut addresses = vec![SocketAddr::from((Ipv6Addr::LOCALHOST, 0))];
    addresses.extend(link_local());
    for address in addresses {
        if let Err(error) = TcpListener::bind(address) {
            eprintln!("skipped: this machine does not have {address}: {error}");
            continue;
        }
        let (mut host, mut caller) = (Client::new(), Client::new());
        let mut at = address;
        at.set_port(host.link.listen_for_peers(address, &host.identity).unwrap());
        host.link.expect_peer(caller.certificate());
        let called = caller.dial(at, host.certificate());
        until(&mut host, &mut caller, |host, _| host.up().is_some());
        let (came, _, from, _) = host.up().unwrap();
        assert_eq!(from.ip(), address.ip());
        host.say(came, b"welcome");
        until(&mut host, &mut caller, |_, caller| caller.has_heard(called, b"welcome"));
        assert_eq!(caller.up().map(|(_, _, at, _)| at), Some(at));
    }
}

/// A link-local address of this machine, with its scope.
fn link_local() -> Option<SocketAddr> {
    let interfaces = std::fs::read_to_string("/proc/net/if_inet6").ok()?;
    let fields = interfaces.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let found = fields.filter_map(|fields| {
        let address = u128::from_str_radix(fields.first()?, 16).ok()?;
        Some((Ipv6Addr::from(address), u32::from_str_radix(fields.get(1)?, 16).ok()?))
    });
    let (address, scope) = found.into_iter().find(|(address, _)| address.is_unicast_link_local())?;
    Some(SocketAddrV6::new(address, 0, 0, scope).into())
}

#[test]
fn an_ipv4_address_in_ipv6_is_one_and_a_scope_stays() {
    let mapped = SocketAddr::from((Ipv4Addr::LOCALHOST.to_ipv6_mapped(), 7));
    assert_eq!(crate::net::link::unmapped(mapped), SocketAddr::from((Ipv4Addr::LOCALHOST, 7)));
    let scoped = SocketAddr::V6(SocketAddrV6::new("fe80::1".parse().unwrap(), 7, 0, 3));
    assert_eq!(crate::net::link::unmapped(scoped), scoped);
}

#[test]
fn an_unplugged_peer_is_noticed() {
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    let stream = TcpStream::from_std(Plain::connect(listener.local_addr().unwrap()).unwrap());
    watch(&stream);
    let socket = SockRef::from(&stream);
    assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
    assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE_IDLE);
    assert_eq!(socket.tcp_keepalive_interval().unwrap(), KEEPALIVE_INTERVAL);
    assert_eq!(socket.tcp_keepalive_retries().unwrap(), KEEPALIVE_PROBES);
    assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_millis(u64::from(USER_TIMEOUT_MS))));
}

#[test]
fn only_so_many_certificates_are_expected() {
    let (expected, certificate) = (Expected::default(), |n| Fingerprint([n; Fingerprint::BYTES]));
    for n in 0..=64 {
        expected.add(certificate(n));
        expected.add(certificate(n));
    }
    assert!(!expected.has(certificate(0)));
    assert!((1..=64).all(|n| expected.has(certificate(n))));
    expected.remove(certificate(7));
    assert!(!expected.has(certificate(7)));
}
