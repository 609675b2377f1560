//! Listening sockets, and accepting when descriptors run out.

use std::fs::File;
use std::io;
use std::net::SocketAddr;

use mio::net::{TcpListener, TcpStream};
use socket2::{Domain, Protocol, Socket, Type};

/// Connections that may wait in the kernel to be accepted.
const BACKLOG: i32 = 1024;

/// Opens a listening socket. An IPv6 wildcard address takes IPv4 as well.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // Connections of the last run that are still dying don't keep the port.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

/// A descriptor in reserve: with edge-triggered readiness a connection that can't be accepted would never be announced
/// again, so it is accepted with this one and closed.
#[derive(Debug)]
pub struct Reserve(Option<File>);

/// What came of accepting.
#[derive(Debug)]
pub enum Accepted {
    Connection(TcpStream, SocketAddr),
    /// Nobody waits.
    Nobody,
    /// Whoever came has gone again.
    Failed,
    /// Somebody was turned away, since descriptors have run out.
    TurnedAway,
    /// Descriptors have run out, and not even the reserve helps: try again later.
    Exhausted,
}

impl Reserve {
    pub fn new() -> io::Result<Reserve> {
        Ok(Reserve(Some(File::open("/dev/null")?)))
    }

    /// Accepts one connection.
    pub fn accept(&mut self, listener: &TcpListener) -> Accepted {
        match listener.accept() {
            Ok((stream, address)) => return Accepted::Connection(stream, address),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Accepted::Nobody,
            Err(error) if is_exhaustion(&error) => {}
            Err(_) => return Accepted::Failed,
        }
        if self.0.take().is_none() {
            self.0 = File::open("/dev/null").ok();
            return Accepted::Exhausted;
        }
        let turned_away = listener.accept();
        let outcome = match &turned_away {
            Ok(_) => Accepted::TurnedAway,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Accepted::Nobody,
            Err(_) => Accepted::Exhausted,
        };
        drop(turned_away);
        self.0 = File::open("/dev/null").ok();
        outcome
    }

    /// Gives the descriptor to whatever is opened next. False: it is given already.
    pub fn give(&mut self) -> bool {
        self.0.take().is_some()
    }

    /// Takes one again, if it was given and there is one to be had.
    pub fn refill(&mut self) {
        if self.0.is_none() {
            self.0 = File::open("/dev/null").ok();
        }
    }
}

/// Whether descriptors, or the room for them, have run out.
pub(super) fn is_exhaustion(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let code = error.raw_os_error();
    [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM].iter().any(|errno| code == Some(errno.raw_os_error()))
}
