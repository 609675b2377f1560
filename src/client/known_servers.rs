//! The certificates of the servers that a log-in has proved: `HOST PORT SHA256:FINGERPRINT` a line, in the state directory.
//!
//! People may edit the file: empty lines and those that begin with `#` stay as they are. What is wrong with another server's
//! line is no concern of ours.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::connection::Target;
use super::exit::{Failure, Status};
use crate::wire::Fingerprint;

/// The file is never longer, in bytes: some ten thousand servers.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The file. It need not be there.
#[derive(Clone, Debug)]
pub struct KnownServers(PathBuf);

/// A line of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    pub certificate: Fingerprint,
    /// Its number, from 1.
    pub line: usize,
}

/// Why the file does not tell about a server.
#[derive(Debug)]
pub enum Unusable {
    Io(io::Error),
    /// The line with this number is about the server, and is none.
    Malformed(usize),
}

impl KnownServers {
    pub fn at(path: PathBuf) -> KnownServers {
        KnownServers(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The certificate of a server, if it is known.
    pub fn find(&self, server: &Target) -> Result<Option<Known>, Unusable> {
        find(&String::from_utf8_lossy(&self.read()?), server)
    }

    /// Adds a server. What others add at the same time stays.
    pub fn remember(&self, server: &Target, certificate: Fingerprint) -> Result<(), Unusable> {
        let directory = self.0.parent().unwrap_or(Path::new("."));
        // Whoever writes has this. It is given back when it is closed, even by a crash. Where there are no such locks, a server
        // may be forgotten if two chats begin at once, and is met for the first time again.
        let lock = File::open(directory)?;
        while lock.lock().is_err_and(|error| error.kind() == ErrorKind::Interrupted) {}
        let mut text = self.read()?;
        match find(&String::from_utf8_lossy(&text), server)? {
            Some(known) if known.certificate == certificate => return Ok(()),
            Some(known) => return Err(Unusable::Malformed(known.line)),
            None => {}
        }
        if text.last().is_some_and(|&last| last != b'\n') {
            text.push(b'\n');
        }
        text.extend(format!("{} {} {certificate}\n", server.host.to_ascii_lowercase(), server.port).bytes());
        let fresh = self.0.with_file_name(format!("known_servers.{}.new", std::process::id()));
        let write = || {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
            file.write_all(&text)
        };
        let written = write().and_then(|()| fs::rename(&fresh, &self.0));
        // If it is still there, nothing is lost with it.
        let _ = fs::remove_file(&fresh);
        Ok(written?)
    }

    /// What to tell a person about it.
    pub fn failure(&self, why: &Unusable) -> Failure {
        let path = self.0.display();
        Failure::new(
            Status::Unreadable,
            match why {
                Unusable::Io(error) => format!("can't read the certificates of known servers from {path}: {error}"),
                Unusable::Malformed(line) => format!(
                    "line {line} of {path} is about this server and can't be used: correct it, or remove it if you \
                     don't know what it should be; a line is HOST PORT SHA256:FINGERPRINT"
                ),
            },
        )
    }

    fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        match File::open(&self.0) {
            Ok(file) => file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(bytes),
            Err(error) => return Err(error),
        };
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(io::Error::new(ErrorKind::FileTooLarge, "it is too long"));
        }
        Ok(bytes)
    }
}

/// What the file's text tells about a server. The first line about it counts.
pub fn find(text: &str, server: &Target) -> Result<Option<Known>, Unusable> {
    let is_server = |host: &str, port: Option<&str>| {
        // A line without a proper port may be about any server of its host.
        let port = port.and_then(|port| port.parse::<u16>().ok());
        host.eq_ignore_ascii_case(&server.host) && port.is_none_or(|port| port == server.port)
    };
    for (index, line) in text.lines().enumerate() {
        let mut words = line.split_whitespace();
        let Some(host) = words.next().filter(|word| !word.starts_with('#')) else { continue };
        let port = words.next();
        if !is_server(host, port) {
            continue;
        }
        let (certificate, more) = (words.next().and_then(Fingerprint::parse), words.next());
        return match (port.map(str::parse::<u16>), certificate, more) {
            (Some(Ok(_)), Some(certificate), None) => Ok(Some(Known { certificate, line: index + 1 })),
            _ => Err(Unusable::Malformed(index + 1)),
        };
    }
    Ok(None)
}

impl From<io::Error> for Unusable {
    fn from(error: io::Error) -> Unusable {
        Unusable::Io(error)
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unusable::Io(error) => error.fmt(f),
            Unusable::Malformed(line) => write!(f, "line {line} says something else about this server"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const A: Fingerprint = Fingerprint([0xab; 32]);
    const B: Fingerprint = Fingerprint([7; 32]);

    fn server(host: &str, port: u16) -> Target {
        Target { host: host.into(), port }
    }

    fn known(text: &str, host: &str, port: u16) -> Result<Option<(Fingerprint, usize)>, usize> {
        match find(text, &server(host, port)) {
            Ok(found) => Ok(found.map(|known| (known.certificate, known.line))),
            Err(Unusable::Malformed(line)) => Err(line),
            Err(Unusable::Io(error)) => panic!("{error}"),
        }
    }

    #[test]
    fn a_server_is_found_by_host_and_port() {
        let text = format!("# mine\n\nh 6001 {A}\n  H 6002\t{B}  \r\n::1 6001 {B}");
        assert_eq!(known(&text, "h", 6001), Ok(Some((A, 3))));
        assert_eq!(known(&text, "H", 6001), Ok(Some((A, 3))));
        assert_eq!(known(&text, "h", 6002), Ok(Some((B, 4))));
        assert_eq!(known(&text, "::1", 6001), Ok(Some((B, 5))));
        assert_eq!(known(&text, "h", 6003), Ok(None));
        assert_eq!(known("", "h", 6003), Ok(None));
    }

    #[test]
    fn a_malformed_line_matters_to_its_own_server_only() {
        for line in [
            "h 6001",
            "h 6001 x",
            "h",
            "h sixthousand SHA256:00",
            &format!("h 6001 {A} more"),
            &format!("h 6001 {}", A.to_string().replace("SHA256:", "")),
        ] {
            let text = format!("{line}\nother 6001 {A}\n");
            assert_eq!(known(&text, "h", 6001), Err(1), "{line}");
            assert_eq!(known(&text, "other", 6001), Ok(Some((A, 2))), "{line}");
        }
        assert_eq!(known("h 6002 x\n", "h", 6001), Ok(None));
        let file = KnownServers::at("/state/known_servers".into());
        let failure = file.failure(&Unusable::Malformed(3));
        assert!(failure.text.starts_with("line 3 of /state/known_servers "), "{}", failure.text);
        assert_eq!(failure.status as u8, 66);
    }

    #[test]
    fn what_is_remembered_is_the_owners_and_the_rest_of_the_file_stays() {
        let root = tempfile::tempdir().unwrap();
        let file = KnownServers::at(root.path().join("known_servers"));
        file.remember(&server("Host", 1), A).unwrap();
        let mode = fs::metadata(file.path()).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        fs::write(file.path(), format!("# mine\nnonsense\nhost 1 {A}")).unwrap();
        file.remember(&server("b", 2), B).unwrap();
        file.remember(&server("b", 2), B).unwrap();
        let text = fs::read_to_string(file.path()).unwrap();
        assert_eq!(text, format!("# mine\nnonsense\nhost 1 {A}\nb 2 {B}\n"));
        assert!(matches!(file.remember(&server("b", 2), A), Err(Unusable::Malformed(4))), "the first one stays");
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1, "no file is left over");
    }

    #[test]
    fn chats_that_begin_at_once_lose_no_line() {
        let root = tempfile::tempdir().unwrap();
        let file = KnownServers::at(root.path().join("known_servers"));
        std::thread::scope(|scope| {
            for port in 1..=50 {
                let file = file.clone();
                scope.spawn(move || file.remember(&server("h", port), A).unwrap());
            }
        });
        for port in 1..=50 {
            assert!(file.find(&server("h", port)).unwrap().is_some(), "{port}");
        }
    }
}
