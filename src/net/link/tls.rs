//! TLS 1.3 with the server: what is good enough for a connection to it.
//!
//! A chatd signs its certificate itself, so no authority is asked. What stands in for it: the server must sign the handshake
//! with the key of the certificate that it shows; if its certificate is known it must be that one, and nothing but the
//! handshake's own messages is sent before that is clear; and whoever logs in binds the log-in to the connection, with the
//! `ChannelBinding` that comes out of here.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs as provider;
use rustls::pki_types::{CertificateDer, IpAddr, ServerName, UnixTime};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, OtherError,
    PeerIncompatible, SignatureScheme, version,
};

use super::conversation::Conversation;
use super::signatures::Signatures;
use crate::hub::fingerprint::Fingerprint;
use crate::hub::scram::ChannelBinding;

/// How many tickets are kept to come back with.
const TICKETS_MAX: usize = 8;
/// What a server may say before the handshake is through, in bytes: an operator's own chain of certificates can be long, and
/// rustls has a bound for each message.
const PATIENCE_BYTES: usize = usize::MAX;

/// How to speak TLS with one server: from one connection to the next it remembers the certificate and the tickets. Clones
/// share both.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
    pin: Pin,
}

/// The only certificate that will do; `None`: any, so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Pin(Arc<Mutex<Option<Fingerprint>>>);

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
    /// The other end closed at once.
    ClosedAtOnce,
    /// The other end has no TLS 1.3.
    TooOld,
    /// The handshake took too long.
    TooSlow,
    /// The other end's certificate is another one than the one that is known.
    Changed { known: Fingerprint, shown: Fingerprint },
    /// The other end shows a certificate whose key it does not have.
    NotItsOwn,
    /// The other end could not be understood, or does not understand.
    Other(String),
}

impl Tls {
    /// `pin`: the server's certificate, if it is known.
    pub fn new(pin: Option<Fingerprint>) -> Tls {
        let pin = Pin::new(pin);
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider::default_provider()))
            .with_protocol_versions(&[&version::TLS13])
            .expect("the provider has TLS 1.3")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Verifier::new(pin.clone())))
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
}

impl Pin {
    pub(super) fn new(certificate: Option<Fingerprint>) -> Pin {
        Pin(Arc::new(Mutex::new(certificate)))
    }

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

impl Tls {
    /// A new connection's TLS.
    pub(super) fn converse(&self) -> Result<Conversation, TlsFailure> {
        // One server, one store of tickets: what it is called there does not matter, and is not sent.
        let connection =
            ClientConnection::new(self.config.clone(), nameless()).map_err(|error| TlsFailure::of(&error))?;
        Ok(Conversation::new(connection, PATIENCE_BYTES))
    }

    /// What its handshake has brought.
    pub(super) fn secured(&self, conversation: &mut Conversation) -> Result<Secured, TlsFailure> {
        let certificate = conversation.certificate();
        let certificate = certificate.ok_or_else(|| TlsFailure::Other("it shows no certificate".to_owned()))?;
        // A connection that goes on from an earlier one has not asked the verifier.
        self.pin.check(certificate)?;
        let binding = conversation.binding().map_err(|error| TlsFailure::of(&error))?;
        Ok(Secured { binding, certificate, resumed: conversation.is_resumed() })
    }
}

/// What stands where rustls wants the name of a server, and is not sent.
pub(super) fn nameless() -> ServerName<'static> {
    ServerName::IpAddress(IpAddr::V4([0, 0, 0, 0].into()))
}

impl TlsFailure {
    pub(super) fn of(error: &Error) -> TlsFailure {
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
pub(super) struct Verifier {
    pin: Pin,
    signatures: Signatures,
}

impl Verifier {
    pub(super) fn new(pin: Pin) -> Verifier {
        Verifier { pin, signatures: Signatures::new() }
    }
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
        Signatures::too_old()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signatures.check(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signatures.schemes()
    }
}

#[cfg(test)]
mod tests;
