//! The files that the server lives by: the operator's accounts, certificate and key, the key that seals passwords. They
//! are read at the start, and accounts and certificate again on SIGHUP.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rand::TryRng;
use rand::rngs::SysRng;

use chatd::hub::credentials::{Credential, parse_credentials};
use chatd::hub::seal::SealingKey;
use chatd::net::server::{Reload, Reloaded};
use chatd::net::tls::identity::{self, Identity, Origin};
use chatd::wire::hex::{hex, unhex};

use crate::failure::{DATA_DIRECTORY, FAULT, Failure, MALFORMED, UNREADABLE};

/// The accounts that everybody knows the passwords of.
const SHIPPED_CREDENTIALS: &[u8] = include_bytes!("../../../credentials.txt");
const CREDENTIALS_DEFAULT: &str = "credentials.txt";
const SEALING_KEY: &str = "sealing.key";

/// The operator's accounts, as they stand in their file.
pub struct Accounts {
    pub credentials: Vec<Credential>,
    /// They are the shipped ones.
    pub public: bool,
}

/// Where the accounts are. `None`: in the default file, if it is there.
#[derive(Clone, Debug)]
pub struct AccountsFile(pub Option<PathBuf>);

impl AccountsFile {
    fn path(&self) -> &Path {
        self.0.as_deref().unwrap_or(Path::new(CREDENTIALS_DEFAULT))
    }

    /// Reads the file. A default file that is not there has no accounts.
    pub fn read(&self) -> Result<Accounts, Failure> {
        let path = self.path();
        let file = match fs::read(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.0.is_none() => Vec::new(),
            Err(error) => return Err(Failure::new(UNREADABLE, format!("{} can't be read: {error}", path.display()))),
        };
        let credentials = parse_credentials(&file)
            .map_err(|error| Failure::new(MALFORMED, format!("{}: {error}", path.display())))?;
        Ok(Accounts { credentials, public: file == SHIPPED_CREDENTIALS })
    }

    /// Says what the operator should know about the file.
    pub fn warn(&self, accounts: &Accounts) {
        let path = self.path();
        match fs::metadata(path) {
            _ if accounts.public => log::warn!(
                "{} is the shipped one, whose passwords are public: its accounts log in from this machine only",
                path.display()
            ),
            Ok(metadata) if metadata.mode() & 0o044 != 0 => {
                log::warn!("{} can be read by others on this machine: chmod 600 {0}", path.display());
            }
            Ok(_) => {}
            Err(_) => log::warn!(
                "there is no ./{CREDENTIALS_DEFAULT}: write one, name it with --credentials, or use 'chatd user add'"
            ),
        }
    }
}

/// What is read again on SIGHUP. What can't be used is logged, and stays as it was.
pub fn reload(accounts: AccountsFile, origin: Option<Origin>) -> Reload {
    Reload(Arc::new(move || {
        let read = match accounts.path().exists() {
            true => accounts.read(),
            false => Err(Failure::new(UNREADABLE, format!("{} is gone", accounts.path().display()))),
        };
        let accounts_read = match read {
            Ok(read) => {
                accounts.warn(&read);
                Some((read.credentials, read.public))
            }
            Err(failure) => {
                log::error!("{}; the accounts stay as they were", failure.text);
                None
            }
        };
        let tls = origin.as_ref().and_then(|origin| match identity::load(origin) {
            Ok(identity) => {
                introduce(&identity);
                Some(identity.config)
            }
            Err(error) => {
                log::error!("{error}; the certificate stays as it was");
                None
            }
        });
        Reloaded { accounts: accounts_read, tls }
    }))
}

/// Tells the operator by what clients know this server.
pub fn introduce(identity: &Identity) {
    if identity.is_new {
        log::info!("a certificate was made");
    }
    if identity.is_exposed {
        log::warn!("the key of the certificate can be read by others on this machine: chmod 600");
    }
    log::info!("certificate {}", identity.fingerprint);
}

/// The key that passwords of `--classic` accounts are sealed with: made at the first start, beside the database and not
/// in it.
pub fn sealing_key(directory: &Path) -> Result<SealingKey, Failure> {
    let path = directory.join(SEALING_KEY);
    let failed = |error: io::Error| Failure::new(DATA_DIRECTORY, format!("{} can't be used: {error}", path.display()));
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    match made {
        Ok(mut file) => {
            let mut bytes = [0; SealingKey::BYTES];
            SysRng
                .try_fill_bytes(&mut bytes)
                .map_err(|error| Failure::new(FAULT, format!("no random numbers: {error}")))?;
            writeln!(file, "{}", hex(&bytes)).and_then(|()| file.sync_all()).map_err(failed)?;
            fs::File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)?;
            Ok(SealingKey::new(bytes))
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let mut text = String::new();
            fs::File::open(&path).and_then(|file| file.take(256).read_to_string(&mut text)).map_err(failed)?;
            let bytes = unhex(text.trim_end()).ok_or_else(|| {
                let text = format!(
                    "{} is damaged: restore a backup; or remove it, and passwords that were sealed are lost",
                    path.display()
                );
                Failure::new(MALFORMED, text)
            })?;
            Ok(SealingKey::new(bytes))
        }
        Err(error) => Err(failed(error)),
    }
}
