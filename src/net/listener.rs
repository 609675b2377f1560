//! Listening sockets.

use std::fs::File;
use std::io;
use std::net::SocketAddr;

use mio::net::{TcpListener, TcpStream};
use socket2::{Domain, Protocol, Socket, Type};

use super::arrivals::Listening;

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
