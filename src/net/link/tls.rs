//! TLS 1.3 from the client's side, without a socket of its own: whoever drives it hands the stream in, and nothing blocks.
//!
//! A chatd signs its certificate itself, so no authority is asked. What stands in for it: the server must sign the handshake
//! with the key of the certificate that it shows; if its certificate is known it must be that one, and nothing but the
//! handshake's own messages is sent before that is clear; and whoever logs in binds the log-in to the connection, with the
//! `ChannelBinding` that comes out of here.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, aws_lc_rs as provider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, IpAddr, ServerName, UnixTime};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, OtherError,
    PeerIncompatible, SignatureScheme, version,
};

use super::Gone;
use crate::hub::fingerprint::Fingerprint;
use crate::hub::scram::ChannelBinding;

/// A TLS record of a handshake, and of an alert: what a server can begin with (RFC 8446, section 5.1).
const RECORDS_AT_FIRST: [u8; 2] = [0x16, 0x15];
/// How many tickets are kept to come back with.
const TICKETS_MAX: usize = 8;

/// How to speak TLS with one server: from one connection to the next it remembers the certificate and the tickets. Clones
/// share both.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
    pin: Pin,
}

/// The only certificate that will do; `None`: any, so far.
#[derive(Clone, Debug, Default)]
struct Pin(Arc<Mutex<Option<Fingerprint>>>);

/// What a handshake has brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secured {
    /// To bind a log-in to this connection with.
    pub binding: ChannelBinding,
    /// Of the server's certificate.
    pub certificate: Fingerprint,
    /// An earlier connection goes on: the certificate is the one that was shown then.
    pub resumed: bool,
}

/// Why TLS did not come about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsFailure {
    /// What came is no TLS.
    NotTls,
    /// The server closed at once.
    ClosedAtOnce,
    /// The server has no TLS 1.3.
    TooOld,
    /// The handshake took too long.
    TooSlow,
    /// The server's certificate is another one than the one that is known.
    Changed { known: Fingerprint, shown: Fingerprint },
    /// The server shows a certificate whose key it does not have.
    NotItsOwn,
    /// The server could not be understood, or does not understand.
    Other(String),
}

/// One connection's TLS.
pub(super) struct Conversation {
    connection: ClientConnection,
    pin: Pin,
    /// The first byte that the server said.
    first: Option<u8>,
    /// Until when the handshake must be through; `None`: it is.
    pub(super) shaking_until: Option<Instant>,
}

impl Tls {
    /// `pin`: the server's certificate, if it is known.
    pub fn new(pin: Option<Fingerprint>) -> Tls {
        let pin = Pin(Arc::new(Mutex::new(pin)));
        let provider = Arc::new(provider::default_provider());
        let verifier = Verifier { pin: pin.clone(), algorithms: provider.signature_verification_algorithms };
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&version::TLS13])
            .expect("the provider has TLS 1.3")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        // The server has one certificate, and who listens on the way need not know its name.
        config.enable_sni = false;
        config.enable_early_data = false;
        config.resumption = Resumption::in_memory_sessions(TICKETS_MAX);
        Tls { config: Arc::new(config), pin }
    }

    /// From now on no other certificate will do.
    pub fn pin(&self, certificate: Fingerprint) {
        *self.pin.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(certificate);
    }

    /// The only certificate that will do.
    pub fn pinned(&self) -> Option<Fingerprint> {
        self.pin.get()
    }
}

impl Pin {
    fn get(&self) -> Option<Fingerprint> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self, shown: Fingerprint) -> Result<(), TlsFailure> {
        match self.get() {
            Some(known) if known != shown => Err(TlsFailure::Changed { known, shown }),
            _ => Ok(()),
        }
    }
}

impl Conversation {
    pub(super) fn new(tls: &Tls, shaking_until: Instant) -> Result<Conversation, TlsFailure> {
        // One server, one store of tickets: what it is called there does not matter, and is not sent.
        let name = ServerName::IpAddress(IpAddr::V4([0, 0, 0, 0].into()));
        let connection = ClientConnection::new(tls.config.clone(), name).map_err(|error| TlsFailure::of(&error))?;
        Ok(Conversation { connection, pin: tls.pin.clone(), first: None, shaking_until: Some(shaking_until) })
    }

    /// Reads from `stream`, which is cleared of `readable` when it has nothing more, until `limit` bytes are there or have been
    /// read. What the server said is put behind `bytes`.
    pub(super) fn read(
        &mut self,
        stream: &mut impl Read,
        readable: &mut bool,
        bytes: &mut Vec<u8>,
        limit: usize,
    ) -> Option<Gone> {
        bytes.resize(limit, 0);
        let (mut filled, mut read) = (0, 0);
        let gone = loop {
            match self.connection.reader().read(&mut bytes[filled..]) {
                Ok(0) if filled == limit => break None,
                Ok(0) => break Some(Gone::Ended),
                Ok(n) => {
                    filled += n;
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => break Some(self.cut_off()),
                Err(_) => {}
            }
            if read >= limit {
                break None;
            }
            let mut tap = Tap { stream, first: &mut self.first };
            match self.connection.read_tls(&mut tap) {
                Ok(n) => read += n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    *readable = false;
                    break None;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) if self.is_shaking() && self.first.is_none() => break Some(self.cut_off()),
                Err(error) => break Some(Gone::Broken(error)),
            }
            if let Err(error) = self.connection.process_new_packets() {
                break Some(self.failed(&error));
            }
        };
        bytes.truncate(filled);
        gone
    }

    /// Writes to `stream`, which is cleared of `writable` when it takes no more, what is to be said of `out`.
    pub(super) fn write(&mut self, stream: &mut impl Write, out: &mut Vec<u8>, writable: &mut bool) -> io::Result<()> {
        while *writable && (self.connection.wants_write() || !out.is_empty() && !self.is_shaking()) {
            if !self.is_shaking() {
                // It takes as much as its buffer, which is bounded, has room for.
                let taken = self.connection.writer().write(out)?;
                out.drain(..taken);
                if taken == 0 && !self.connection.wants_write() {
                    break;
                }
            }
            match self.connection.write_tls(stream) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => *writable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// What the handshake has brought, once, when it is through.
    pub(super) fn settled(&mut self) -> Option<Result<Secured, TlsFailure>> {
        if !self.is_shaking() || self.connection.is_handshaking() {
            return None;
        }
        self.shaking_until = None;
        Some(self.secured())
    }

    /// Says goodbye, if there is room for it at once.
    pub(super) fn close(&mut self, stream: &mut impl Write) {
        self.connection.send_close_notify();
        // The server finds out anyway.
        while self.connection.wants_write() && matches!(self.connection.write_tls(stream), Ok(1..)) {}
    }

    fn is_shaking(&self) -> bool {
        self.shaking_until.is_some()
    }

    fn secured(&mut self) -> Result<Secured, TlsFailure> {
        let certificate = self.connection.peer_certificates().and_then(<[_]>::first);
        let certificate = certificate.ok_or_else(|| TlsFailure::Other("it shows no certificate".to_owned()))?;
        let certificate = Fingerprint::of(certificate);
        // A connection that goes on from an earlier one has not asked the verifier.
        self.pin.check(certificate)?;
        let binding = [0; ChannelBinding::BYTES];
        let binding = self
            .connection
            .export_keying_material(binding, ChannelBinding::LABEL, Some(&[]))
            .map_err(|error| TlsFailure::of(&error))?;
        let resumed = self.connection.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
        Ok(Secured { binding: ChannelBinding(binding), certificate, resumed })
    }

    fn cut_off(&self) -> Gone {
        match self.first {
            None if self.is_shaking() => Gone::Tls(TlsFailure::ClosedAtOnce),
            Some(_) if self.is_not_tls() => Gone::Tls(TlsFailure::NotTls),
            _ => Gone::CutOff,
        }
    }

    fn failed(&self, error: &Error) -> Gone {
        match self.is_shaking() {
            true if self.is_not_tls() => Gone::Tls(TlsFailure::NotTls),
            true => Gone::Tls(TlsFailure::of(error)),
            false => Gone::Broken(io::Error::new(ErrorKind::InvalidData, error.to_string())),
        }
    }

    fn is_not_tls(&self) -> bool {
        self.is_shaking() && self.first.is_some_and(|first| !RECORDS_AT_FIRST.contains(&first))
    }
}

impl TlsFailure {
    fn of(error: &Error) -> TlsFailure {
        match error {
            Error::InvalidCertificate(CertificateError::Other(OtherError(why))) => {
                match why.downcast_ref::<Changed>() {
                    Some(Changed(failure)) => failure.clone(),
                    None => TlsFailure::Other(error.to_string()),
                }
            }
            Error::InvalidCertificate(CertificateError::BadSignature) => TlsFailure::NotItsOwn,
            Error::AlertReceived(AlertDescription::ProtocolVersion)
            | Error::PeerIncompatible(
                PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
            ) => TlsFailure::TooOld,
            _ => TlsFailure::Other(error.to_string()),
        }
    }
}

/// A failure of the verifier's, on its way through rustls.
#[derive(Debug)]
struct Changed(TlsFailure);

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the certificate is another one than the one that is known")
    }
}

impl std::error::Error for Changed {}

/// Judges certificates by themselves: whether it is the known one, and whether the server has its key. Names, dates and
/// authorities mean nothing here.
#[derive(Debug)]
struct Verifier {
    pin: Pin,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.pin.check(Fingerprint::of(certificate)) {
            Ok(()) => Ok(ServerCertVerified::assertion()),
            Err(why) => Err(CertificateError::Other(OtherError(Arc::new(Changed(why)))).into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Lets bytes through, and notes the first.
struct Tap<'a, S> {
    stream: &'a mut S,
    first: &'a mut Option<u8>,
}

impl<S: Read> Read for Tap<'_, S> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(bytes)?;
        if let Some(&byte) = bytes[..count].first() {
            self.first.get_or_insert(byte);
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests;
