//! Who the server is: its certificate and its key. Either the operator's own files, or a pair that is made once, kept in
//! the data directory, and trusted by its fingerprint.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;

use crate::hub::fingerprint::Fingerprint;

const CERTIFICATE: &str = "tls-cert.pem";
const KEY: &str = "tls-key.pem";
/// The name in certificates that are made here. Clients don't look at it: they know the certificate.
const NAME: &str = "chatd";
/// Tickets for a resumed handshake that a client gets at once.
const TICKETS: usize = 1;

/// Where certificate and key come from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// The operator's own files, in PEM.
    Own { certificate: PathBuf, key: PathBuf },
    /// Made at the first start, and kept in this directory.
    Kept(PathBuf),
    /// Made for this run only.
    Passing,
}

/// A certificate that is ready to be used.
#[derive(Clone, Debug)]
pub struct Identity {
    pub config: Arc<ServerConfig>,
    pub fingerprint: Fingerprint,
    /// It was made just now.
    pub is_new: bool,
    /// The key's file can be read by others on this machine.
    pub is_exposed: bool,
}

/// Why there is no certificate.
#[derive(Debug)]
pub enum IdentityError {
    Unreadable {
        path: PathBuf,
        error: io::Error,
    },
    Unwritable {
        path: PathBuf,
        error: io::Error,
    },
    /// Not what it should be. `why` says what it should be.
    Malformed {
        path: PathBuf,
        why: String,
    },
    /// The certificate was kept and its key is gone.
    KeyMissing {
        certificate: PathBuf,
        key: PathBuf,
    },
    /// The key does not belong to the certificate.
    Mismatch {
        certificate: PathBuf,
        key: PathBuf,
    },
    /// The library refuses.
    Refused(String),
}

/// Loads the certificate and its key, and makes them where that is asked for.
pub fn load(origin: &Origin) -> Result<Identity, IdentityError> {
    match origin {
        Origin::Own { certificate, key } => read(certificate, key, false),
        Origin::Kept(directory) => {
            let (certificate, key) = (directory.join(CERTIFICATE), directory.join(KEY));
            let is_new = match (certificate.exists(), key.exists()) {
                (true, true) => false,
                (true, false) => return Err(IdentityError::KeyMissing { certificate, key }),
                (false, _) => {
                    make_files(&certificate, &key)?;
                    true
                }
            };
            read(&certificate, &key, is_new)
        }
        Origin::Passing => {
            let (certificate, key) = make()?;
            let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(refused)?;
            let leaf = certificate.der().clone();
            let fingerprint = Fingerprint::of(&leaf);
            let config = configure(vec![leaf], key).map_err(refused)?;
            Ok(Identity { config: Arc::new(config), fingerprint, is_new: true, is_exposed: false })
        }
    }
}

fn read(certificate: &Path, key: &Path, is_new: bool) -> Result<Identity, IdentityError> {
    let chain = read_pem(certificate, "certificates in PEM", |bytes| {
        CertificateDer::pem_slice_iter(bytes).collect::<Result<Vec<_>, _>>()
    })?;
    let leaf = chain.first().ok_or_else(|| IdentityError::Malformed {
        path: certificate.to_owned(),
        why: "there is no certificate in it; it should have certificates in PEM, the server's own first".to_owned(),
    })?;
    let fingerprint = Fingerprint::of(leaf);
    let is_exposed = fs::metadata(key).is_ok_and(|metadata| metadata.mode() & 0o077 != 0);
    let private = read_pem(key, "one private key in PEM, without a passphrase", PrivateKeyDer::from_pem_slice)?;
    let config = configure(chain, private).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            IdentityError::Mismatch { certificate: certificate.to_owned(), key: key.to_owned() }
        }
        rustls::Error::InvalidCertificate(_) => {
            IdentityError::Malformed { path: certificate.to_owned(), why: "what is in it is no certificate".to_owned() }
        }
        // Nothing of the key is in the text.
        error => IdentityError::Malformed { path: key.to_owned(), why: format!("it can't be used: {error}") },
    })?;
    Ok(Identity { config: Arc::new(config), fingerprint, is_new, is_exposed })
}

fn read_pem<T>(
    path: &Path,
    what: &str,
    parse: impl FnOnce(&[u8]) -> Result<T, pem::Error>,
) -> Result<T, IdentityError> {
    let bytes = fs::read(path).map_err(|error| IdentityError::Unreadable { path: path.to_owned(), error })?;
    parse(&bytes).map_err(|_| IdentityError::Malformed { path: path.to_owned(), why: format!("it should have {what}") })
}

/// TLS 1.3 only; sessions are resumed by tickets that only this process can open; no early data.
fn configure(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = TICKETS;
    config.max_early_data_size = 0;
    Ok(config)
}

fn make() -> Result<(rcgen::Certificate, KeyPair), IdentityError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(refused)?;
    Ok((certify(&key)?, key))
}

fn certify(key: &KeyPair) -> Result<rcgen::Certificate, IdentityError> {
    let mut params = CertificateParams::new(vec![NAME.to_owned()]).map_err(refused)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, NAME);
    params.self_signed(key).map_err(refused)
}

/// A new pair, or a certificate for a key that is there. The key comes first: a certificate without its key is an error.
fn make_files(certificate: &Path, key: &Path) -> Result<(), IdentityError> {
    let pair = match key.exists() {
        true => {
            let text =
                fs::read_to_string(key).map_err(|error| IdentityError::Unreadable { path: key.to_owned(), error })?;
            KeyPair::from_pem(&text).map_err(|_| IdentityError::Malformed {
                path: key.to_owned(),
                why: "it should have one private key in PEM".to_owned(),
            })?
        }
        false => {
            let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(refused)?;
            put(key, &pair.serialize_pem())?;
            pair
        }
    };
    put(certificate, &certify(&pair)?.pem())
}

/// Writes a file of the owner's that is there completely or not at all.
fn put(path: &Path, text: &str) -> Result<(), IdentityError> {
    let fresh = path.with_extension("pem.new");
    let write = || {
        // What a start that was cut short has left.
        let _ = fs::remove_file(&fresh);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    };
    write().map_err(|error| IdentityError::Unwritable { path: path.to_owned(), error })
}

fn refused(error: impl fmt::Display) -> IdentityError {
    IdentityError::Refused(error.to_string())
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IdentityError::Unreadable { path, error } => write!(f, "{} can't be read: {error}", path.display()),
            IdentityError::Unwritable { path, error } => write!(f, "{} can't be written: {error}", path.display()),
            IdentityError::Malformed { path, why } => write!(f, "{}: {why}", path.display()),
            IdentityError::KeyMissing { certificate, key } => write!(
                f,
                "{} is missing: restore it; or remove {}, and a new pair is made, which clients will ask their users about",
                key.display(),
                certificate.display()
            ),
            IdentityError::Mismatch { certificate, key } => {
                write!(f, "{} is not the key of the certificate in {}", key.display(), certificate.display())
            }
            IdentityError::Refused(why) => write!(f, "no certificate could be made: {why}"),
        }
    }
}

impl std::error::Error for IdentityError {}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use tempfile::TempDir;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_pair_is_made_once_and_kept() {
        let directory = TempDir::new().unwrap();
        let origin = Origin::Kept(directory.path().to_owned());
        let first = load(&origin).unwrap();
        assert!(first.is_new && !first.is_exposed);
        assert_eq!(mode(&directory.path().join(KEY)), 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2, "nothing is left over");
        let second = load(&origin).unwrap();
        assert_eq!((second.is_new, second.fingerprint), (false, first.fingerprint));
        fs::set_permissions(directory.path().join(KEY), fs::Permissions::from_mode(0o640)).unwrap();
        assert!(load(&origin).unwrap().is_exposed);
    }

    #[test]
    fn half_a_pair_is_an_error_or_is_made_whole() {
        let directory = TempDir::new().unwrap();
        let origin = Origin::Kept(directory.path().to_owned());
        load(&origin).unwrap();
        fs::remove_file(directory.path().join(CERTIFICATE)).unwrap();
        assert!(load(&origin).unwrap().is_new, "a key without its certificate gets one");
        fs::remove_file(directory.path().join(KEY)).unwrap();
        assert!(matches!(load(&origin), Err(IdentityError::KeyMissing { .. })));
    }

    #[test]
    fn the_operators_own_files_are_checked() {
        let (one, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        for directory in [&one, &other] {
            load(&Origin::Kept(directory.path().to_owned())).unwrap();
        }
        let own = |certificate: PathBuf, key: PathBuf| load(&Origin::Own { certificate, key });
        let certificate = one.path().join(CERTIFICATE);
        assert!(!own(certificate.clone(), one.path().join(KEY)).unwrap().is_new);
        assert!(matches!(own(certificate.clone(), other.path().join(KEY)), Err(IdentityError::Mismatch { .. })));
        assert!(matches!(own(certificate.clone(), one.path().join("none")), Err(IdentityError::Unreadable { .. })));
        assert!(matches!(own(certificate.clone(), certificate.clone()), Err(IdentityError::Malformed { .. })));
        assert!(matches!(own(one.path().join(KEY), one.path().join(KEY)), Err(IdentityError::Malformed { .. })));
    }

    #[test]
    fn a_passing_pair_is_another_each_time() {
        let fingerprint = || load(&Origin::Passing).unwrap().fingerprint;
        assert_ne!(fingerprint(), fingerprint());
    }
}
