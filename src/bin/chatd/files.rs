//! What the server reads again on SIGHUP, accounts and certificate; and the key that seals passwords, which it does not.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rand::TryRng;
use rand::rngs::SysRng;

use chatd::hub::seal::SealingKey;
use chatd::net::server::{Reload, Reloaded};
use chatd::net::tls::identity::{self, Identity, Origin};
use chatd::wire::hex::{hex, unhex};

use crate::accounts_file::AccountsFile;
use crate::failure::{DATA_DIRECTORY, FAULT, Failure, MALFORMED, UNREADABLE};

const SEALING_KEY: &str = "sealing.key";

/// What is read again on SIGHUP. What can't be used is logged, and stays as it was.
pub fn reload(file: AccountsFile, origin: Option<Origin>) -> Reload {
    let was_there = AtomicBool::new(file.is_there());
    Reload(Arc::new(move || {
        let is_there = file.is_there();
        let read = match was_there.load(Ordering::SeqCst) || is_there {
            true if is_there => Some(file.read()),
            true => Some(Err(Failure::new(UNREADABLE, format!("{} is gone", file.path().display())))),
            // It never was there.
            false => None,
        };
        let accounts = match read {
            Some(Ok(accounts)) => {
                was_there.store(true, Ordering::SeqCst);
                file.warn(&accounts);
                Some((accounts.credentials, accounts.public))
            }
            Some(Err(failure)) => {
                log::error!("{}; the accounts stay as they were", failure.text);
                None
            }
            None => None,
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
        Reloaded { accounts, tls }
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
