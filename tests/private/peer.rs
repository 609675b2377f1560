//! A peer by hand, from docs/PROTOCOL.md, "Between two clients": rustls and lines, and nothing of chatd's own code. It does what
//! the test says, and nothing by itself; each read is one line, compared whole.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::{default_provider, sign::any_supported_type};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    ServerConnection, SignatureScheme, StreamOwned,
};
use socket2::SockRef;

use crate::support::LIMIT;
use crate::support::tls::{self, fingerprint};

/// What peers speak inside.
const PROTOCOL: &[u8] = b"chatd-peer";

/// A certificate and a key, which need not belong together.
#[derive(Clone)]
pub struct Identity {
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
}

/// How a connection ended.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// With `close_notify`.
    Goodbye,
    /// Without it.
    CutOff,
    Alert(AlertDescription),
    /// By this one, which could not go on.
    Ours,
}

/// A conversation in the hands of the test.
pub struct Peer {
    tls: Box<dyn Tls>,
    /// Was read, and not asked for yet.
    plain: Vec<u8>,
}

/// A socket at which a peer waits.
pub struct Door {
    listener: TcpListener,
    identity: Identity,
    protocol: &'static [u8],
}

trait Tls: Read + Write {
    fn certificate(&self) -> Option<Vec<u8>>;
    fn protocol(&self) -> Option<Vec<u8>>;
    fn server_name(&self) -> Option<String>;
    fn say_goodbye(&mut self);
    fn socket(&self) -> &TcpStream;
}

macro_rules! tls {
    ($connection:ty, $server_name:expr) => {
        impl Tls for StreamOwned<$connection, TcpStream> {
            fn certificate(&self) -> Option<Vec<u8>> {
                self.conn.peer_certificates().map(|all| all[0].to_vec())
            }

            fn protocol(&self) -> Option<Vec<u8>> {
                self.conn.alpn_protocol().map(<[u8]>::to_vec)
            }

            fn server_name(&self) -> Option<String> {
                let name: fn(&$connection) -> Option<String> = $server_name;
                name(&self.conn)
            }

            fn say_goodbye(&mut self) {
                self.conn.send_close_notify();
                let _ = self.flush();
            }

            fn socket(&self) -> &TcpStream {
                &self.sock
            }
        }
    };
}

tls!(ClientConnection, |_| None);
tls!(ServerConnection, |connection| connection.server_name().map(str::to_owned));

impl Identity {
    pub fn new() -> Identity {
        let made = rcgen::generate_simple_self_signed(["peer".to_owned()]).unwrap();
        Identity { certificate: made.cert.der().clone(), key: made.signing_key.serialize_der() }
    }

    /// What somebody has who has only seen it.
    pub fn with_another_key(&self) -> Identity {
        Identity { certificate: self.certificate.clone(), ..Identity::new() }
    }

    pub fn fingerprint(&self) -> String {
        fingerprint(&self.certificate)
    }

    fn key(&self) -> Arc<CertifiedKey> {
        let key = any_supported_type(&PrivateKeyDer::try_from(self.key.clone()).unwrap()).unwrap();
        Arc::new(CertifiedKey::new(vec![self.certificate.clone()], key))
    }
}

/// Dials as `identity`, or as nobody; comes back when the handshake is through at this end.
pub fn dial(address: SocketAddr, identity: Option<&Identity>) -> Result<Peer, End> {
    dial_with(address, identity, PROTOCOL)
}

/// The same with another protocol inside.
pub fn dial_with(address: SocketAddr, identity: Option<&Identity>, protocol: &[u8]) -> Result<Peer, End> {
    let provider = Arc::new(default_provider());
    let any = TakesAny(provider.signature_verification_algorithms);
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(any));
    let mut config = match identity {
        Some(identity) => builder.with_client_cert_resolver(Arc::new(Shown(identity.key()))),
        None => builder.with_no_client_auth(),
    };
    config.enable_sni = false;
    config.alpn_protocols = vec![protocol.to_vec()];
    let name = ServerName::try_from("peer").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut tls = StreamOwned::new(connection, tls::dial(address));
    while tls.conn.is_handshaking() {
        tls.conn.complete_io(&mut tls.sock).map_err(|error| end_of(&error))?;
    }
    Ok(Peer { tls: Box::new(tls), plain: Vec::new() })
}

impl Door {
    pub fn open(address: IpAddr, identity: &Identity) -> Door {
        Door::open_with(address, identity, PROTOCOL)
    }

    pub fn open_with(address: IpAddr, identity: &Identity, protocol: &'static [u8]) -> Door {
        let listener = TcpListener::bind((address, 0)).unwrap();
        // Of a listener it bounds how long one waits for somebody to come.
        SockRef::from(&listener).set_read_timeout(Some(LIMIT)).unwrap();
        Door { listener, identity: identity.clone(), protocol }
    }

    pub fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }

    /// The next who comes, without TLS.
    pub fn stream(&self) -> TcpStream {
        let (stream, _) = self.listener.accept().unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// The next who comes, once the handshake is through.
    pub fn accept(&self) -> Result<Peer, End> {
        let provider = Arc::new(default_provider());
        let any = TakesAny(provider.signature_verification_algorithms);
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_client_cert_verifier(Arc::new(any))
            .with_cert_resolver(Arc::new(Shown(self.identity.key())));
        config.alpn_protocols = vec![self.protocol.to_vec()];
        let connection = ServerConnection::new(Arc::new(config)).unwrap();
        let mut tls = StreamOwned::new(connection, self.stream());
        while tls.conn.is_handshaking() {
            tls.conn.complete_io(&mut tls.sock).map_err(|error| end_of(&error))?;
        }
        Ok(Peer { tls: Box::new(tls), plain: Vec::new() })
    }

    /// Whether somebody has come by now who was not accepted.
    pub fn has_somebody(&self) -> bool {
        self.listener.set_nonblocking(true).unwrap();
        let somebody = self.listener.accept().is_ok();
        self.listener.set_nonblocking(false).unwrap();
        somebody
    }
}

impl Peer {
    /// What the other side shows.
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.tls.certificate().expect("a certificate"))
    }

    /// What was agreed on for the inside, and the name that the other side has asked for.
    pub fn manner(&self) -> (Option<Vec<u8>>, Option<String>) {
        (self.tls.protocol(), self.tls.server_name())
    }

    pub fn says(&mut self, line: &str) {
        self.says_bytes(format!("{line}\n").as_bytes());
    }

    pub fn says_bytes(&mut self, bytes: &[u8]) {
        self.try_says(bytes).expect("write");
    }

    pub fn try_says(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.tls.write_all(bytes)?;
        self.tls.flush()
    }

    /// The next line is this one.
    #[track_caller]
    pub fn hears(&mut self, line: &str) {
        assert_eq!(self.line(), Ok(format!("{line}\n")));
    }

    /// Nothing more comes, and the connection ends so.
    #[track_caller]
    pub fn has_ended(&mut self, end: End) {
        assert_eq!(self.rest(), (String::new(), end));
    }

    /// Everything up to the end, and what kind of end it was.
    pub fn rest(&mut self) -> (String, End) {
        let mut all = std::mem::take(&mut self.plain);
        let end = loop {
            match self.read(&mut all) {
                Ok(()) => {}
                Err(end) => break end,
            }
        };
        (String::from_utf8(all).expect("UTF-8"), end)
    }

    /// Closes with `close_notify`.
    pub fn goodbye(mut self) {
        self.tls.say_goodbye();
    }

    /// Closes without a word.
    pub fn vanishes(self) {
        drop(self);
    }

    /// How long a write may wait for the other side.
    pub fn set_patience(&self, patience: std::time::Duration) {
        self.tls.socket().set_write_timeout(Some(patience)).unwrap();
    }

    fn line(&mut self) -> Result<String, End> {
        loop {
            if let Some(end) = self.plain.iter().position(|&byte| byte == b'\n') {
                return Ok(String::from_utf8(self.plain.drain(..=end).collect()).expect("UTF-8"));
            }
            let mut plain = std::mem::take(&mut self.plain);
            let read = self.read(&mut plain);
            self.plain = plain;
            read?;
        }
    }

    fn read(&mut self, into: &mut Vec<u8>) -> Result<(), End> {
        let mut bytes = [0; 65536];
        match self.tls.read(&mut bytes) {
            Ok(0) => Err(End::Goodbye),
            Ok(count) => {
                into.extend(&bytes[..count]);
                Ok(())
            }
            Err(error) => Err(end_of(&error)),
        }
    }
}

fn end_of(error: &io::Error) -> End {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::AlertReceived(alert)) => End::Alert(*alert),
        Some(_) => End::Ours,
        None if matches!(
            error.kind(),
            ErrorKind::UnexpectedEof
                | ErrorKind::ConnectionReset
                | ErrorKind::BrokenPipe
                | ErrorKind::ConnectionAborted
        ) =>
        {
            End::CutOff
        }
        None => panic!("the other side neither says anything nor closes: {error}"),
    }
}

#[derive(Debug)]
struct Shown(Arc<CertifiedKey>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

impl ResolvesClientCert for Shown {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Takes any certificate, if its key has signed the handshake: the test compares it with what the server told.
#[derive(Debug)]
struct TakesAny(WebPkiSupportedAlgorithms);

impl TakesAny {
    fn check(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0)
    }
}

impl ServerCertVerifier for TakesAny {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.3 only".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

impl ClientCertVerifier for TakesAny {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.3 only".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
