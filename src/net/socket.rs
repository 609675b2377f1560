//! The sockets that connections are made of: TCP from the network, a Unix socket from the operator.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use socket2::{SockRef, TcpKeepalive};

use super::connection::Stream;
use super::unacknowledged::unacknowledged;

/// A peer that says nothing is asked whether it is there after so long,
const KEEPALIVE_IDLE: Duration = Duration::from_secs(15);
/// and again each time after so long, while it does not answer.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.read(buffer),
            Socket::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.write(bytes),
            Socket::Unix(stream) => stream.write(bytes),
        }
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.write_vectored(pieces),
            Socket::Unix(stream) => stream.write_vectored(pieces),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Socket {
    fn close_our_side(&mut self) -> io::Result<()> {
        match self {
            Socket::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Socket::Unix(stream) => stream.shutdown(Shutdown::Write),
        }
    }

    fn is_connected(&mut self) -> io::Result<bool> {
        let Socket::Tcp(stream) = self else { return Ok(true) };
        if let Some(error) = stream.take_error()? {
            return Err(error);
        }
        is_made(stream)
    }

    // What is told of the peer's system holds for the network only.

    fn unacknowledged(&self) -> io::Result<usize> {
        self.tcp().map_or(Ok(0), unacknowledged)
    }

    fn peer_zone(&self) -> u32 {
        match self.tcp().map(TcpStream::peer_addr) {
            Some(Ok(SocketAddr::V6(peer))) => peer.scope_id(),
            _ => 0,
        }
    }

    fn reset_on_close(&self) -> io::Result<()> {
        self.tcp().map_or(Ok(()), |stream| SockRef::from(stream).set_linger(Some(Duration::ZERO)))
    }

    fn write_at_once(&self) -> io::Result<()> {
        self.tcp().map_or(Ok(()), |stream| stream.set_nodelay(true))
    }

    fn give_up_after(&self, silence: Duration) -> io::Result<()> {
        let Some(stream) = self.tcp() else { return Ok(()) };
        let socket = SockRef::from(stream);
        let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_EVERY);
        socket.set_tcp_keepalive(&keepalive)?;
        socket.set_tcp_user_timeout(Some(silence))
    }
}

/// Whether a connection that was dialled is made by now. Where nobody listens at a port of this machine, the system may take
/// that very port for our end, and the connection leads to itself: nobody is there, and what it is brought has not arrived.
pub(super) fn is_made(stream: &TcpStream) -> io::Result<bool> {
    match stream.peer_addr() {
        Ok(peer) if peer == stream.local_addr()? => Err(io::ErrorKind::ConnectionRefused.into()),
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
        Err(error) => Err(error),
    }
}

impl Socket {
    fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Socket::Tcp(stream) => Some(stream),
            Socket::Unix(_) => None,
        }
    }
}

impl Source for Socket {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        match self {
            Socket::Tcp(stream) => stream.register(registry, token, interests),
            Socket::Unix(stream) => stream.register(registry, token, interests),
        }
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        match self {
            Socket::Tcp(stream) => stream.reregister(registry, token, interests),
            Socket::Unix(stream) => stream.reregister(registry, token, interests),
        }
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        match self {
            Socket::Tcp(stream) => stream.deregister(registry),
            Socket::Unix(stream) => stream.deregister(registry),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_leads_to_itself_is_refused() {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        socket.connect(&socket.local_addr().unwrap()).unwrap();
        socket.set_nonblocking(true).unwrap();
        let mut stream = Socket::Tcp(TcpStream::from_std(socket.into()));
        assert_eq!(stream.is_connected().unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
}
