//! The control socket: a Unix socket in the data directory by which the operator reaches a running server. Nobody else
//! can: its mode is 0600, and so is every moment of its making.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use mio::net::{UnixListener, UnixStream};
use rustix::fs::Mode;
use rustix::process::umask;

/// Its name in the data directory.
pub const CONTROL_SOCKET: &str = "control";

/// The socket. Its file goes with it.
#[derive(Debug)]
pub struct Control {
    pub listener: UnixListener,
    path: PathBuf,
}

impl Control {
    /// Listens in a directory whose lock this process has: a socket that is there already is what a server has left that
    /// was killed. To be called while there is one thread: it sets the mode of all files that are made meanwhile.
    pub fn listen(directory: &Path) -> io::Result<Control> {
        let path = directory.join(CONTROL_SOCKET);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let before = umask(Mode::RWXG | Mode::RWXO | Mode::XUSR);
        let bound = UnixListener::bind(&path);
        umask(before);
        Ok(Control { listener: bound?, path })
    }

    /// The next who has come, if there is one.
    pub fn accept(&self) -> io::Result<UnixStream> {
        self.listener.accept().map(|(stream, _)| stream)
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // What is left is removed at the next start.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_the_owner_reaches_it_and_its_file_goes_with_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(CONTROL_SOCKET);
        fs::write(&path, "left by a server that was killed").unwrap();
        let control = Control::listen(directory.path()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        drop(control);
        assert!(!path.exists());
    }
}
