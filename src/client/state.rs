//! What chat keeps from one run to the next: one small file for each server and user, the servers' certificates, and the
//! typed lines.
//!
//! Nobody but the owner can read it. If it can't be kept, chat works all the same, but is a new device each time.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::core::Device;
use super::known_servers::KnownServers;
use crate::wire::hex::{hex, unhex};
use crate::wire::{DeviceId, LogId, Number, ResumeToken, UserName};

/// A device's file is never longer.
const FILE_BYTES_MAX: u64 = 4096;
const FIRST_LINE: &str = "chat device 1";

/// The place for all of them.
#[derive(Clone, Debug)]
pub struct StateDirectory(PathBuf);

/// The file of one device.
#[derive(Clone, Debug)]
pub struct DeviceFile(PathBuf);

impl StateDirectory {
    /// `$XDG_STATE_HOME/chat`, else `~/.local/state/chat`; made if it is not there.
    pub fn open(variable: impl Fn(&str) -> Option<PathBuf>) -> io::Result<StateDirectory> {
        // The specification says: a path that is not absolute counts for nothing.
        let absolute = |name: &str| variable(name).filter(|path| path.is_absolute());
        let base = match (absolute("XDG_STATE_HOME"), absolute("HOME")) {
            (Some(state), _) => state,
            (None, Some(home)) => home.join(".local/state"),
            (None, None) => {
                return Err(io::Error::new(io::ErrorKind::NotFound, "neither XDG_STATE_HOME nor HOME is set"));
            }
        };
        let path = base.join("chat");
        DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
        Ok(StateDirectory(path))
    }

    /// Where the typed lines are kept.
    pub fn line_history(&self) -> PathBuf {
        self.0.join("lines")
    }

    /// Where the certificates of the servers are kept.
    pub fn known_servers(&self) -> KnownServers {
        KnownServers::at(self.0.join("known_servers"))
    }

    /// The file for a user of a server.
    pub fn device(&self, host: &str, port: u16, user: &UserName) -> DeviceFile {
        let mut name = String::new();
        for byte in host.bytes() {
            match byte {
                b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' => name.push(byte.into()),
                b'A'..=b'Z' => name.push(byte.to_ascii_lowercase().into()),
                _ => name.push_str(&format!("%{byte:02x}")),
            }
        }
        DeviceFile(self.0.join(format!("{name},{port},{}", user.folded())))
    }
}

impl DeviceFile {
    /// What was kept; `None` if nothing was, or nothing that can be used.
    pub fn load(&self) -> io::Result<Option<Device>> {
        let mut text = String::new();
        match File::open(&self.0) {
            Ok(file) => file.take(FILE_BYTES_MAX).read_to_string(&mut text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(parse(&text))
    }

    /// Keeps it: either the old or the new content is there, never half of it.
    pub fn keep(&self, device: &Device) -> io::Result<()> {
        self.put(device, |fresh, file| fs::rename(fresh, file))
    }

    /// Keeps it unless there is a file already: of two chats that begin at once only one is the first.
    pub fn keep_first(&self, device: &Device) -> io::Result<()> {
        self.put(device, |fresh, file| fs::hard_link(fresh, file))
    }

    fn put(&self, device: &Device, place: impl FnOnce(&Path, &Path) -> io::Result<()>) -> io::Result<()> {
        // Two chats of one user may write at once.
        let fresh = self.0.with_file_name(format!(
            "{}.{}.new",
            self.0.file_name().and_then(|name| name.to_str()).unwrap_or("device"),
            std::process::id()
        ));
        let written = write(&fresh, &format(device)).and_then(|()| place(&fresh, &self.0));
        // If it is still there, nothing is lost with it.
        let _ = fs::remove_file(&fresh);
        written
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

/// A device, as its file has it.
pub fn format(device: &Device) -> String {
    let mut text = format!("{FIRST_LINE}\ndevice {}\n", device.id);
    if let Some((log, Number(shown))) = device.shown {
        text += &format!("shown {log} {shown}\n");
    }
    if let Some(ResumeToken(token)) = &device.token {
        text += &format!("token {}\n", hex(token));
    }
    text
}

/// Reads what `format` writes.
pub fn parse(text: &str) -> Option<Device> {
    let mut lines = text.lines();
    if lines.next() != Some(FIRST_LINE) {
        return None;
    }
    let id = lines.next()?.strip_prefix("device ").and_then(DeviceId::parse)?;
    let mut device = Device { id, shown: None, token: None };
    for line in lines {
        match line.split_once(' ') {
            Some(("shown", rest)) => {
                let (log, number) = rest.split_once(' ')?;
                device.shown = Some((LogId::parse(log)?, Number(number.parse().ok()?)));
            }
            Some(("token", token)) => device.token = Some(ResumeToken(unhex(token)?)),
            _ => return None,
        }
    }
    Some(device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn directory(root: &Path) -> StateDirectory {
        StateDirectory::open(|name| (name == "XDG_STATE_HOME").then(|| root.join("state"))).unwrap()
    }

    fn device() -> Device {
        Device {
            id: DeviceId::from_bytes([7; 16]),
            shown: Some((LogId(9), Number(12))),
            token: Some(ResumeToken([0xab; 32])),
        }
    }

    #[test]
    fn what_is_kept_comes_back_and_is_the_owners() {
        let root = tempfile::tempdir().unwrap();
        let file = directory(root.path()).device("Host", 6001, &UserName::parse("Alice").unwrap());
        assert_eq!(file.load().unwrap(), None);
        for device in [device(), Device { shown: None, token: None, ..device() }] {
            file.keep(&device).unwrap();
            assert_eq!(file.load().unwrap(), Some(device));
        }
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(file.path()), 0o600);
        assert_eq!(mode(file.path().parent().unwrap()), 0o700);
        assert_eq!(fs::read_dir(file.path().parent().unwrap()).unwrap().count(), 1, "no file is left over");
        assert!(file.path().ends_with("host,6001,alice"));
    }

    #[test]
    fn only_the_first_of_two_new_devices_is_kept() {
        let root = tempfile::tempdir().unwrap();
        let file = directory(root.path()).device("h", 1, &UserName::parse("a").unwrap());
        file.keep_first(&device()).unwrap();
        let other = Device { id: DeviceId::from_bytes([8; 16]), ..device() };
        assert_eq!(file.keep_first(&other).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(file.load().unwrap(), Some(device()));
        assert_eq!(fs::read_dir(file.path().parent().unwrap()).unwrap().count(), 1, "no file is left over");
    }

    #[test]
    fn no_host_leaves_the_directory() {
        let root = tempfile::tempdir().unwrap();
        let state = directory(root.path());
        let file = state.device("../x/[::1]", 1, &UserName::parse("a").unwrap());
        assert_eq!(file.path().parent(), Some(&*state.0));
        assert!(file.path().ends_with("..%2fx%2f%5b%3a%3a1%5d,1,a"));
    }

    #[test]
    fn a_damaged_file_is_no_device() {
        let whole = format(&device());
        assert_eq!(parse(&whole), Some(device()));
        for bad in ["", "chat device 2\n", "chat device 1\ndevice 0\n", &whole.replace("shown ", "shown x")] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn without_a_home_there_is_no_state() {
        assert!(StateDirectory::open(|_| None).is_err());
        assert!(StateDirectory::open(|_| Some("relative".into())).is_err());
    }
}
