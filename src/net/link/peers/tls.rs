//! TLS 1.3 between peers: both ends show a certificate, sign the handshake with its key, and know beforehand which
//! certificate the other end must show.
//!
//! Nothing is resumed, nothing is sent early, and no name is told on the way. What is spoken inside has a name of its own
//! (ALPN), so that a peer is never taken for a server, nor a server for a peer.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::client::Resumption;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::aws_lc_rs as provider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    ServerConnection, SignatureScheme, version,
};

use super::PeerIdentity;
use crate::hub::fingerprint::Fingerprint;
use crate::net::link::conversation::Conversation;
use crate::net::link::signatures::Signatures;
use crate::net::link::tls::{Pin, Verifier, nameless};

/// What peers speak inside (RFC 7301).
pub(super) const PROTOCOL: &[u8] = b"chatd-peer";
/// What a peer may say before the handshake is through, in bytes; some of it is kept meanwhile. It takes about 3000.
const PATIENCE_BYTES: usize = 8 * 1024;
/// Plaintext that is encrypted ahead of the socket, at most.
const AHEAD_BYTES_MAX: usize = 64 * 1024;
/// Certificates that may come in; beyond that the one that has been expected for longest is not expected any more.
const EXPECTED_MAX: usize = 64;

/// The certificates that may come in. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Expected(Arc<Mutex<VecDeque<Fingerprint>>>);

impl Expected {
    pub(super) fn add(&self, certificate: Fingerprint) {
        self.remove(certificate);
        let mut all = self.lock();
        if all.len() >= EXPECTED_MAX {
            all.pop_front();
        }
        all.push_back(certificate);
    }

    pub(super) fn remove(&self, certificate: Fingerprint) {
        self.lock().retain(|expected| *expected != certificate);
    }

    pub(super) fn has(&self, certificate: Fingerprint) -> bool {
        self.lock().contains(&certificate)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Fingerprint>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How to listen.
pub(super) fn listening(identity: &PeerIdentity, expected: &Expected) -> Arc<ServerConfig> {
    let verifier = Doorkeeper { expected: expected.clone(), signatures: Signatures::new() };
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider::default_provider()))
        .with_protocol_versions(&[&version::TLS13])
        .expect("the provider has TLS 1.3")
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(identity.key.clone());
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Arc::new(config)
}

/// The TLS of a connection that came in.
pub(super) fn answer(config: &Arc<ServerConfig>) -> Result<Conversation, Error> {
    let mut connection = ServerConnection::new(config.clone())?;
    connection.set_buffer_limit(Some(AHEAD_BYTES_MAX));
    Ok(Conversation::new(connection, PATIENCE_BYTES))
}

/// The TLS of a connection to the peer that has this certificate.
pub(super) fn call(identity: &PeerIdentity, certificate: Fingerprint) -> Result<Conversation, Error> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider::default_provider()))
        .with_protocol_versions(&[&version::TLS13])
        .expect("the provider has TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier::new(Pin::new(Some(certificate)))))
        .with_client_cert_resolver(identity.key.clone());
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    config.enable_sni = false;
    config.enable_early_data = false;
    config.resumption = Resumption::disabled();
    let mut connection = ClientConnection::new(Arc::new(config), nameless())?;
    connection.set_buffer_limit(Some(AHEAD_BYTES_MAX));
    Ok(Conversation::new(connection, PATIENCE_BYTES))
}

/// Lets in who shows a certificate that is expected, and has its key. Names, dates and authorities mean nothing here.
#[derive(Debug)]
struct Doorkeeper {
    expected: Expected,
    signatures: Signatures,
}

impl ClientCertVerifier for Doorkeeper {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match self.expected.has(Fingerprint::of(certificate)) {
            true => Ok(ClientCertVerified::assertion()),
            false => Err(CertificateError::ApplicationVerificationFailure.into()),
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
