use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::super::tests::{bytes, until};
use super::super::{Gone, Happening, Link};
use super::*;

type Stream = StreamOwned<ServerConnection, TcpStream>;

struct Server {
    listener: TcpListener,
    config: Arc<ServerConfig>,
    certificate: Fingerprint,
}

impl Server {
    fn new() -> Server {
        let made = rcgen::generate_simple_self_signed(["chatd".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(provider::default_provider()))
            .with_protocol_versions(&[&version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Server { listener, config: Arc::new(config), certificate: Fingerprint::of(made.cert.der()) }
    }

    fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// Serves the next client on a thread.
    fn serve(&self, dialogue: impl FnOnce(&mut Stream) + Send + 'static) -> JoinHandle<()> {
        let (listener, config) = (self.listener.try_clone().unwrap(), self.config.clone());
        thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            let mut tls = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
            while tls.conn.is_handshaking() {
                if tls.conn.complete_io(&mut tls.sock).is_err() {
                    return;
                }
            }
            dialogue(&mut tls);
        })
    }
}

fn closed(happenings: &[Happening]) -> &Gone {
    match happenings.last() {
        Some(Happening::Closed(gone)) => gone,
        other => panic!("{other:?}"),
    }
}

fn is_closed(happening: &Happening) -> bool {
    matches!(happening, Happening::Closed(_))
}

fn connected(link: &mut Link) -> Secured {
    let all = until(link, |happening| matches!(happening, Happening::Connected(_)));
    match all.into_iter().next() {
        Some(Happening::Connected(Some(secured))) => secured,
        other => panic!("{other:?}"),
    }
}

#[test]
fn bytes_go_both_ways_and_both_ends_have_the_same_binding() {
    let server = Server::new();
    let sent: Vec<u8> = (0..1_000_000u32).map(|n| n as u8).collect();
    let length = sent.len();
    let there = server.serve(move |tls| {
        let mut heard = vec![0; length];
        tls.read_exact(&mut heard).unwrap();
        let binding = tls.conn.export_keying_material([0; 32], ChannelBinding::LABEL, None).unwrap();
        tls.write_all(&binding).unwrap();
        tls.write_all(&heard).unwrap();
        tls.conn.send_close_notify();
        tls.flush().unwrap();
    });
    let mut link = Link::new().unwrap();
    link.connect([server.address()], Some(&Tls::new(None)));
    let secured = connected(&mut link);
    assert_eq!((secured.certificate, secured.resumed), (server.certificate, false));
    link.send(&sent);
    let all = until(&mut link, is_closed);
    assert!(matches!(closed(&all), Gone::Ended), "{:?}", closed(&all));
    let heard = bytes(&all);
    assert_eq!(heard[..32], secured.binding.0);
    assert!(heard[32..] == sent);
    assert!(
        all.iter().all(|h| !matches!(h, Happening::Bytes(bytes) if bytes.len() > super::super::server::READ_BYTES_MAX))
    );
    there.join().unwrap();
}

#[test]
fn an_end_without_a_goodbye_is_told_apart() {
    let server = Server::new();
    let there = server.serve(|tls| tls.write_all(b"half a li").unwrap());
    let mut link = Link::new().unwrap();
    link.connect([server.address()], Some(&Tls::new(None)));
    let all = until(&mut link, is_closed);
    assert_eq!(bytes(&all), b"half a li");
    assert!(matches!(closed(&all), Gone::CutOff), "{:?}", closed(&all));
    there.join().unwrap();
}

#[test]
fn whoever_closes_says_goodbye() {
    let server = Server::new();
    let there = server.serve(|tls| assert_eq!(tls.read(&mut [0; 16]).unwrap(), 0));
    let mut link = Link::new().unwrap();
    link.connect([server.address()], Some(&Tls::new(None)));
    connected(&mut link);
    link.turn(Some(Instant::now())).unwrap();
    drop(link);
    there.join().unwrap();
}

#[test]
fn a_connection_that_goes_on_from_another_is_held_to_the_certificate_too() {
    let server = Server::new();
    let tls = Tls::new(Some(server.certificate));
    let mut link = Link::new().unwrap();
    for resumed in [false, true] {
        // The tickets come with the first byte at the latest.
        let there = server.serve(|tls| tls.write_all(b"x").unwrap());
        link.connect([server.address()], Some(&tls));
        assert_eq!(connected(&mut link).resumed, resumed);
        until(&mut link, is_closed);
        there.join().unwrap();
    }
    let known = Fingerprint([1; 32]);
    tls.pin(known);
    let there = server.serve(|_| ());
    link.connect([server.address()], Some(&tls));
    let all = until(&mut link, is_closed);
    assert!(!all.iter().any(|happening| matches!(happening, Happening::Connected(_))), "{all:?}");
    match closed(&all) {
        Gone::Tls(why) => assert_eq!(*why, TlsFailure::Changed { known, shown: server.certificate }),
        other => panic!("{other:?}"),
    }
    there.join().unwrap();
}

#[test]
fn a_handshake_that_takes_too_long_is_given_up_and_no_other_address_is_tried() {
    let (silent, other) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let mut link = Link::new().unwrap();
    link.server.handshake_max = Duration::from_millis(50);
    let addresses = [&silent, &other].map(|listener| listener.local_addr().unwrap());
    link.connect(addresses, Some(&Tls::new(None)));
    let all = until(&mut link, is_closed);
    assert!(matches!(closed(&all), Gone::Tls(TlsFailure::TooSlow)), "{:?}", closed(&all));
    assert!(link.turn(Some(Instant::now())).unwrap().is_empty());
    other.set_nonblocking(true).unwrap();
    assert_eq!(other.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn the_verifier_takes_any_certificate_until_one_is_pinned() {
    let verifier = |pin| Verifier::new(Pin::new(pin));
    let certificate = CertificateDer::from(vec![1, 2, 3]);
    let shown = Fingerprint::of(&certificate);
    let verdict = |pin| {
        let name = ServerName::try_from("chatd").unwrap();
        let now = UnixTime::since_unix_epoch(Duration::ZERO);
        let verdict = verifier(pin).verify_server_cert(&certificate, &[], &name, &[], now);
        verdict.map(|_| ()).map_err(|error| TlsFailure::of(&error))
    };
    assert_eq!(verdict(None), Ok(()));
    assert_eq!(verdict(Some(shown)), Ok(()));
    let known = Fingerprint([1; 32]);
    assert_eq!(verdict(Some(known)), Err(TlsFailure::Changed { known, shown }));
}
