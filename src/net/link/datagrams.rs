//! The datagrams to and from one server. Nothing tells which of them are lost; only that nobody listens there may be told.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use mio::event::Event;
use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};

use super::Happening;

/// How many datagrams are read in one turn.
const READ_MAX: usize = 64;
/// The longest datagram that is read whole, in bytes; no protocol here has longer ones.
const DATAGRAM_BYTES_MAX: usize = 8 * 1024;

pub(super) struct Datagrams {
    token: Token,
    open: Option<Open>,
}

struct Open {
    socket: UdpSocket,
    server: SocketAddr,
    /// Where the server may be too, as long as nothing has come.
    rest: VecDeque<SocketAddr>,
    /// What was sent last: it is for the next address too.
    last: Vec<u8>,
    /// The poll has said that there is something to read.
    readable: bool,
    /// Nobody listens, as far as the last thing that was sent has found out; told in the next turn.
    refused: Option<io::Error>,
}

impl Datagrams {
    /// `token`: what the poll knows the socket by.
    pub(super) fn new(token: Token) -> Datagrams {
        Datagrams { token, open: None }
    }

    /// See `Link::open_datagrams`.
    pub(super) fn open(&mut self, registry: &Registry, mut rest: VecDeque<SocketAddr>) -> io::Result<()> {
        self.close(registry);
        let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
        while let Some(server) = rest.pop_front() {
            match connected(registry, self.token, server) {
                Ok(socket) => {
                    self.open = Some(Open { socket, server, rest, last: Vec::new(), readable: false, refused: None });
                    return Ok(());
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    pub(super) fn close(&mut self, registry: &Registry) {
        if let Some(mut open) = self.open.take() {
            // It is closed in any case.
            let _ = registry.deregister(&mut open.socket);
        }
    }

    /// See `Link::send_datagram`.
    pub(super) fn send(&mut self, datagram: &[u8]) {
        let Some(open) = &mut self.open else { return };
        if !open.rest.is_empty() {
            open.last = datagram.to_vec();
        }
        open.send(datagram);
    }

    /// Where the datagrams go to.
    pub(super) fn remote_address(&self) -> Option<SocketAddr> {
        self.open.as_ref().map(|open| open.server)
    }

    /// There is something to do at once.
    pub(super) fn is_busy(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.readable || open.refused.is_some())
    }

    /// Takes note of what the poll says.
    pub(super) fn stir(&mut self, _: &Event) {
        if let Some(open) = &mut self.open {
            open.readable = true;
        }
    }

    /// Reads what is there, a bounded amount of it.
    pub(super) fn turn(&mut self, registry: &Registry, happenings: &mut Vec<Happening>) {
        let Some(open) = &mut self.open else { return };
        open.read(happenings);
        let Some(error) = open.refused.take() else { return };
        let (rest, last) = (std::mem::take(&mut open.rest), std::mem::take(&mut open.last));
        if rest.is_empty() {
            return happenings.push(Happening::Unheard(error));
        }
        match self.open(registry, rest) {
            Ok(()) => self.send(&last),
            Err(error) => happenings.push(Happening::Unheard(error)),
        }
    }
}

impl Open {
    fn send(&mut self, datagram: &[u8]) {
        if let Err(error) = self.socket.send(datagram) {
            self.failed(error);
        }
    }

    fn read(&mut self, happenings: &mut Vec<Happening>) {
        let mut bytes = [0; DATAGRAM_BYTES_MAX];
        for _ in 0..READ_MAX {
            if !self.readable {
                return;
            }
            match self.socket.recv(&mut bytes) {
                Ok(length) => {
                    self.rest.clear();
                    happenings.push(Happening::Datagram(bytes[..length].to_vec()));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.readable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // It was about something that was sent; there may be datagrams behind it.
                Err(error) => self.failed(error),
            }
        }
    }

    /// What does not leave is lost, as much on its way is. But that nobody listens, or that no way leads there, is told.
    fn failed(&mut self, error: io::Error) {
        let kinds = [ErrorKind::ConnectionRefused, ErrorKind::HostUnreachable, ErrorKind::NetworkUnreachable];
        if kinds.contains(&error.kind()) {
            self.refused = Some(error);
        }
    }
}

/// A socket that hears this server only.
fn connected(registry: &Registry, token: Token, server: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let mut socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
    socket.connect(server)?;
    registry.register(&mut socket, token, Interest::READABLE)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::super::Link;
    use super::super::tests::until;
    use super::*;

    fn server() -> (UdpSocket, SocketAddr) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        (socket, address)
    }

    /// An address at which nobody listens.
    fn nobody() -> SocketAddr {
        server().1
    }

    fn datagrams(happenings: &[Happening]) -> Vec<&[u8]> {
        let datagrams = happenings.iter().filter_map(|happening| match happening {
            Happening::Datagram(bytes) => Some(&bytes[..]),
            _ => None,
        });
        datagrams.collect()
    }

    #[test]
    fn datagrams_go_both_ways_and_come_from_the_server_only() {
        let (server, address) = server();
        let mut link = Link::new().unwrap();
        link.open_datagrams([address]).unwrap();
        assert_eq!(link.datagram_address(), Some(address));
        link.send_datagram(b"hello");
        let mut bytes = [0; 16];
        let (length, client) = server.recv_from(&mut bytes).unwrap();
        assert_eq!(&bytes[..length], b"hello");
        let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
        stranger.send_to(b"not me", client).unwrap();
        server.send_to(b"", client).unwrap();
        server.send_to(b"well", client).unwrap();
        let all = until(&mut link, |h| matches!(h, Happening::Datagram(bytes) if bytes == b"well"));
        assert_eq!(datagrams(&all), [&b""[..], b"well"]);
        link.close_datagrams();
        assert_eq!(link.datagram_address(), None);
        link.send_datagram(b"lost");
    }

    #[test]
    fn what_is_not_heard_goes_to_the_next_address() {
        let (server, address) = server();
        let mut link = Link::new().unwrap();
        link.open_datagrams([nobody(), address]).unwrap();
        link.send_datagram(b"hello");
        let there = std::thread::spawn(move || {
            let (_, client) = server.recv_from(&mut [0; 16]).unwrap();
            server.send_to(b"well", client).unwrap();
        });
        let all = until(&mut link, |h| matches!(h, Happening::Datagram(_) | Happening::Unheard(_)));
        assert_eq!(datagrams(&all), [b"well"]);
        there.join().unwrap();
    }

    #[test]
    fn that_nobody_hears_is_told() {
        let mut link = Link::new().unwrap();
        link.open_datagrams([nobody()]).unwrap();
        link.send_datagram(b"hello");
        let all = until(&mut link, |h| matches!(h, Happening::Unheard(_)));
        let Some(Happening::Unheard(error)) = all.last() else { panic!("{all:?}") };
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert!(link.open_datagrams([]).is_err());
    }
}
