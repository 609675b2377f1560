//! The control socket: a Unix socket in the data directory by which the operator reaches a running server. Nobody else
//! can: its mode is 0600, and so is every moment of its making.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream as Connected;
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
        let listener = in_directory(directory, |path| {
            let before = umask(Mode::RWXG | Mode::RWXO | Mode::XUSR);
            let bound = UnixListener::bind(path);
            umask(before);
            bound
        })?;
        Ok(Control { listener, path })
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

/// Reaches the server that runs in this directory.
pub fn connect(directory: &Path) -> io::Result<Connected> {
    in_directory(directory, |path| Connected::connect(path))
}

/// The path of a socket has little room (unix(7): 107 bytes), so the directory is named by a descriptor.
fn in_directory<T>(directory: &Path, act: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let directory = File::open(directory)?;
    act(Path::new(&format!("/proc/self/fd/{}/{CONTROL_SOCKET}", directory.as_raw_fd())))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn its_directory_may_be_called_as_it_likes() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("x".repeat(200));
        fs::create_dir(&directory).unwrap();
        assert_eq!(connect(&directory).unwrap_err().kind(), io::ErrorKind::NotFound);
        let control = Control::listen(&directory).unwrap();
        connect(&directory).unwrap();
        control.accept().unwrap();
        drop(control);
        assert_eq!(connect(&directory).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

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
