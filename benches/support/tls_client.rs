//! TLS as a bench's client speaks it: any certificate will do, since what a client costs is not the question.

use std::io::Read;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme};

use chatd::wire::scram::ChannelBinding;

/// Whether it `resumes` sessions or makes a full handshake each time.
pub fn config(resumes: bool) -> Arc<ClientConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    config.resumption = if resumes { Resumption::in_memory_sessions(256) } else { Resumption::disabled() };
    Arc::new(config)
}

/// Sessions are kept by `n`.
pub fn connection(config: &Arc<ClientConfig>, n: usize) -> ClientConnection {
    let name = ServerName::try_from(format!("server{n}")).expect("a name");
    ClientConnection::new(Arc::clone(config), name).expect("a client")
}

/// Takes what came from the socket, and appends what it says to `plain`.
pub fn decrypt(session: &mut ClientConnection, mut raw: &[u8], plain: &mut Vec<u8>) {
    while !raw.is_empty() {
        session.read_tls(&mut raw).expect("records");
        let waits = session.process_new_packets().expect("a server that keeps to TLS").plaintext_bytes_to_read();
        let start = plain.len();
        plain.resize(start + waits, 0);
        session.reader().read_exact(&mut plain[start..]).expect("what it has just said is there");
    }
}

/// `None` while the handshake goes on.
pub fn binding(session: &ClientConnection) -> Option<ChannelBinding> {
    let exported = [0; ChannelBinding::BYTES];
    session.export_keying_material(exported, ChannelBinding::LABEL, Some(&[])).ok().map(ChannelBinding)
}

#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
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
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
