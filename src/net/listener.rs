//! Listening sockets.

use std::fmt;
use std::fs::File;
use std::io;
use std::net::SocketAddr;

use mio::net::{TcpListener, TcpStream};
use socket2::{Domain, Socket, Type};

use super::arrivals::Listening;
use super::connection::Serves;
use crate::wire::Protocol;

/// Connections that may wait in the kernel to be accepted.
pub const BACKLOG: i32 = 1024;

/// Listening sockets beside the main one.
pub const LISTENERS_MAX: usize = 32;

/// An address can't be listened on.
#[derive(Debug)]
pub struct ListenError {
    /// What was to be served there; `None`: everything.
    pub protocol: Option<Protocol>,
    pub address: SocketAddr,
    pub error: io::Error,
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "can't listen on {}: {}", self.address, self.error)
    }
}

/// Opens the main listening socket at the first of these addresses that can be listened on, if there are any, and the others.
/// Comes back beside them: what each serves.
pub fn open(main: &[SocketAddr], others: &[(Protocol, SocketAddr)]) -> Result<(Listeners, Vec<Serves>), ListenError> {
    let (mut listeners, mut serves) = (Listeners::default(), Vec::new());
    if let Some(socket) = listen_on_first(main)? {
        listeners.0.push(socket);
        serves.push(Serves::Everything);
    }
    for &(protocol, address) in others.iter().take(LISTENERS_MAX) {
        let failed = |error| ListenError { protocol: Some(protocol), address, error };
        listeners.0.push(listen(address).map_err(failed)?);
        serves.push(Serves::Only(protocol));
    }
    Ok((listeners, serves))
}

fn listen_on_first(addresses: &[SocketAddr]) -> Result<Option<TcpListener>, ListenError> {
    let mut failed = None;
    for &address in addresses {
        let error = match listen(address) {
            Ok(socket) => return Ok(Some(socket)),
            Err(error) => error,
        };
        let kind = error.kind();
        failed = Some(ListenError { protocol: None, address, error });
        // Only a machine without IPv6 is a reason to try the next.
        if kind == io::ErrorKind::AddrInUse || kind == io::ErrorKind::PermissionDenied {
            break;
        }
    }
    failed.map_or(Ok(None), Err)
}

/// Opens a listening socket. An IPv6 wildcard address takes IPv4 as well.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(socket2::Protocol::TCP))?;
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

/// All of the server's.
#[derive(Debug, Default)]
pub struct Listeners(pub Vec<TcpListener>);

impl Listening for Listeners {
    type Stream = TcpStream;
    type Held = File;

    fn accept(&mut self, listener: usize) -> io::Result<(TcpStream, SocketAddr)> {
        self.0[listener].accept()
    }

    fn hold(&mut self) -> io::Result<File> {
        File::open("/dev/null")
    }
}
