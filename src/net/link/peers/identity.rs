//! Who this run of the program is to its peers: a key and a certificate that live as long as it.

use std::fmt;
use std::io;
use std::sync::Arc;

use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::crypto::aws_lc_rs as provider;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use crate::hub::fingerprint::Fingerprint;

/// A key, and the certificate that it has signed for itself. There is nothing in it about whose it is: the server vouches for
/// its fingerprint. Clones are the same.
#[derive(Clone)]
pub struct PeerIdentity {
    pub(super) key: Arc<SingleCertAndKey>,
    pub(super) fingerprint: Fingerprint,
}

impl PeerIdentity {
    /// A new one (ECDSA on P-256). Fails if the system has no random numbers.
    pub fn new() -> io::Result<PeerIdentity> {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(io::Error::other)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let certificate = params.self_signed(&pair).map_err(io::Error::other)?.der().clone();
        let fingerprint = Fingerprint::of(&certificate);
        let key = PrivateKeyDer::Pkcs8(pair.serialize_der().into());
        let key = CertifiedKey::from_der(vec![certificate], key, &provider::default_provider());
        Ok(PeerIdentity { key: Arc::new(SingleCertAndKey::from(key.map_err(io::Error::other)?)), fingerprint })
    }

    /// Of the certificate.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }
}

impl fmt::Debug for PeerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerIdentity({})", self.fingerprint)
    }
}
