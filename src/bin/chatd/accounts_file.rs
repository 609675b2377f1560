//! The operator's file of accounts: where it is, and what stands in it.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf, absolute};

use chatd::hub::credentials::{Credential, parse_credentials};

use crate::failure::{DATA_DIRECTORY, Failure, MALFORMED, UNREADABLE};

/// The accounts that everybody knows the passwords of.
const SHIPPED: &[u8] = include_bytes!("../../../credentials.txt");
const DEFAULT: &str = "credentials.txt";
/// In the data directory: the path of the file that the server there has read, for `chatd user` while none runs.
const REMEMBERED: &str = "credentials.path";

/// The operator's accounts, as they stand in their file.
pub struct Accounts {
    pub credentials: Vec<Credential>,
    /// They are the shipped ones.
    pub public: bool,
}

/// Where the accounts are.
#[derive(Clone, Debug)]
pub struct AccountsFile {
    path: PathBuf,
    /// Somebody has named it: it must be there.
    is_named: bool,
}

impl AccountsFile {
    /// The file that was named, else the default one.
    pub fn new(named: Option<&Path>) -> AccountsFile {
        AccountsFile { path: named.unwrap_or(Path::new(DEFAULT)).to_owned(), is_named: named.is_some() }
    }

    /// The file that was named, else the one that the server of this data directory has read last.
    pub fn of_operator(named: Option<&Path>, directory: &Path) -> AccountsFile {
        let remembered = fs::read(directory.join(REMEMBERED)).ok();
        match remembered.as_ref().map(|bytes| bytes.strip_suffix(b"\n").unwrap_or(bytes)) {
            Some(path) if named.is_none() => AccountsFile { path: OsStr::from_bytes(path).into(), is_named: false },
            _ => AccountsFile::new(named),
        }
    }

    /// Keeps in the data directory where the file is.
    pub fn remember(&self, directory: &Path) -> Result<(), Failure> {
        let place = directory.join(REMEMBERED);
        let write = || {
            let fresh = place.with_extension("path.new");
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
            file.write_all(absolute(&self.path)?.as_os_str().as_bytes())?;
            file.write_all(b"\n")?;
            fs::rename(fresh, &place)
        };
        write().map_err(|error| Failure::new(DATA_DIRECTORY, format!("{} can't be written: {error}", place.display())))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn is_there(&self) -> bool {
        self.path.exists()
    }

    /// Reads the file. One that nobody has named and that is not there has no accounts.
    pub fn read(&self) -> Result<Accounts, Failure> {
        let path = self.path.display();
        let file = match fs::read(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.is_named => Vec::new(),
            Err(error) => return Err(Failure::new(UNREADABLE, format!("{path} can't be read: {error}"))),
        };
        let credentials =
            parse_credentials(&file).map_err(|error| Failure::new(MALFORMED, format!("{path}: {error}")))?;
        Ok(Accounts { credentials, public: file == SHIPPED })
    }

    /// Says what the operator should know about the file.
    pub fn warn(&self, accounts: &Accounts) {
        let path = self.path.display();
        match fs::metadata(&self.path) {
            _ if accounts.public => log::warn!(
                "{path} is the shipped one, whose passwords are public: its accounts log in from this machine only"
            ),
            Ok(metadata) if metadata.mode() & 0o044 != 0 => {
                log::warn!("{path} can be read by others on this machine: chmod 600 {path}");
            }
            Ok(_) => {}
            Err(_) => {
                log::warn!("there is no ./{DEFAULT}: write one, name it with --credentials, or use 'chatd user add'")
            }
        }
    }
}
