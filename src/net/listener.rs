//! Listening sockets, and those that datagrams come to.

use std::fmt;
use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr};

use mio::net::{TcpListener, TcpStream, UdpSocket};
use socket2::{Domain, Socket, Type};

use super::arrivals;
use super::connection::Serves;
use crate::wire::session::log_on::FourDigitPort;
use crate::wire::{PeerPort, Protocol};

/// Connections that may wait in the kernel to be accepted.
pub const BACKLOG: i32 = 1024;

/// Listening sockets beside the main one.
pub const LISTENERS_MAX: usize = 32;

/// Free ports that are tried, until one is free for datagrams too.
const FREE_PORT_TRIES: usize = 64;
/// Ports of four digits that are tried, until one is free.
const SESSION_PORT_TRIES: usize = 256;
/// What the kernel keeps of datagrams that were not received, where it is allowed to, in bytes.
const RECEIVED_BYTES: usize = 1024 * 1024;

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

/// All that the server listens at.
#[derive(Debug, Default)]
pub struct Listening {
    pub listeners: Listeners,
    /// What each of them serves.
    pub serves: Vec<Serves>,
    pub datagrams: Vec<UdpSocket>,
    /// What each of these serves.
    pub datagrams_serve: Vec<Serves>,
    /// As they are announced; a number that both kinds have is one.
    pub addresses: Vec<(Serves, SocketAddr)>,
}

impl Listening {
    /// Listens at the first of the main addresses where that is possible, if there are any, and at the others.
    pub fn open(main: &[SocketAddr], others: &[(Protocol, SocketAddr)]) -> Result<Listening, ListenError> {
        let mut listening = Listening::default();
        if let Some(pair) = first_of(main)? {
            listening.add(Serves::Everything, pair);
        }
        for &(protocol, address) in others.iter().take(LISTENERS_MAX) {
            let failed = |error| ListenError { protocol: Some(protocol), address, error };
            let pair = Pair::open(Serves::Only(protocol), address).map_err(failed)?;
            listening.add(Serves::Only(protocol), pair);
        }
        Ok(listening)
    }

    fn add(&mut self, serves: Serves, Pair { address, listener, datagrams }: Pair) {
        self.addresses.push((serves, address));
        if let Some(listener) = listener {
            self.listeners.0.push(listener);
            self.serves.push(serves);
        }
        if let Some(socket) = datagrams {
            self.datagrams.push(socket);
            self.datagrams_serve.push(serves);
        }
    }

    /// The port that those are told who have logged on to a session: the main one, if it has four digits, else that of a
    /// listener for sessions that has, else one that is opened now, from those that `draw` draws. `None`: nobody can log on.
    pub fn session_port(&mut self, draw: impl FnMut() -> u16) -> Result<Option<FourDigitPort>, ListenError> {
        let session = Serves::Only(Protocol::Session);
        let of =
            |wanted: Serves| self.addresses.iter().filter(move |&&(serves, _)| serves == wanted).map(|&(_, at)| at);
        let ports = of(Serves::Everything).chain(of(session));
        if let Some(port) = ports.clone().find_map(|address| FourDigitPort::new(address.port())) {
            return Ok(Some(port));
        }
        let Some(beside) = ports.map(|address| address.ip()).next() else { return Ok(None) };
        let (port, listener) = open_session_port(beside, draw)?;
        let address = SocketAddr::new(beside, port.get());
        self.add(session, Pair { address, listener: Some(listener), datagrams: None });
        Ok(Some(port))
    }
}

/// A listener for sessions at one of the ports that `draw` draws, of as many as are needed.
fn open_session_port(
    address: IpAddr,
    mut draw: impl FnMut() -> u16,
) -> Result<(FourDigitPort, TcpListener), ListenError> {
    let mut tries = SESSION_PORT_TRIES;
    loop {
        let Some(port) = FourDigitPort::new(draw().max(PeerPort::MIN)) else { continue };
        let address = SocketAddr::new(address, port.get());
        tries -= 1;
        match listen(address) {
            Ok(listener) => return Ok((port, listener)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries > 0 => {}
            Err(error) => return Err(ListenError { protocol: Some(Protocol::Session), address, error }),
        }
    }
}

/// A listening socket, a socket of datagrams, or both with one number.
struct Pair {
    address: SocketAddr,
    listener: Option<TcpListener>,
    datagrams: Option<UdpSocket>,
}

impl Pair {
    /// With port 0 a number is taken that is free for all that is opened.
    fn open(serves: Serves, address: SocketAddr) -> io::Result<Pair> {
        let mut tries = FREE_PORT_TRIES;
        loop {
            match Pair::open_once(serves, address) {
                Err(error) if address.port() == 0 && error.kind() == io::ErrorKind::AddrInUse && tries > 1 => {
                    tries -= 1
                }
                result => return result,
            }
        }
    }

    fn open_once(serves: Serves, mut address: SocketAddr) -> io::Result<Pair> {
        let listener = if serves.has_connections() { Some(listen(address)?) } else { None };
        if let Some(listener) = &listener {
            address = listener.local_addr()?;
        }
        let datagrams = if serves.has_datagrams() { Some(receive(address)?) } else { None };
        if let Some(socket) = &datagrams {
            address = socket.local_addr()?;
        }
        Ok(Pair { address, listener, datagrams })
    }
}

fn first_of(addresses: &[SocketAddr]) -> Result<Option<Pair>, ListenError> {
    let mut failed = None;
    for &address in addresses {
        let error = match Pair::open(Serves::Everything, address) {
            Ok(pair) => return Ok(Some(pair)),
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

/// Opens a socket of datagrams. An IPv6 wildcard address takes IPv4 as well.
fn receive(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(socket2::Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // As much as the system allows: what does not fit is lost.
    let _ = socket.set_recv_buffer_size(RECEIVED_BYTES);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(UdpSocket::from_std(socket.into()))
}

/// From which address a socket at `own` sends to `peer`: where it has all of this machine's, it is asked by which of them the
/// way there leads. Nothing is sent for that.
pub fn sends_from(own: SocketAddr, peer: SocketAddr) -> SocketAddr {
    if !own.ip().is_unspecified() {
        return own;
    }
    let way = || {
        let socket = Socket::new(Domain::for_address(peer), Type::DGRAM, Some(socket2::Protocol::UDP))?;
        socket.connect(&peer.into())?;
        socket.local_addr()
    };
    let found = way().ok().and_then(|address| address.as_socket());
    found.map_or(own, |address| SocketAddr::new(address.ip(), own.port()))
}

/// All of the server's.
#[derive(Debug, Default)]
pub struct Listeners(pub Vec<TcpListener>);

impl arrivals::Listening for Listeners {
    type Stream = TcpStream;
    type Held = File;

    fn accept(&mut self, listener: usize) -> io::Result<(TcpStream, SocketAddr)> {
        self.0[listener].accept()
    }

    fn hold(&mut self) -> io::Result<File> {
        File::open("/dev/null")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY_PORT: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

    fn open(main: bool, others: &[Protocol]) -> Listening {
        let main = if main { vec![ANY_PORT.into()] } else { vec![] };
        let others: Vec<_> = others.iter().map(|&protocol| (protocol, ANY_PORT.into())).collect();
        Listening::open(&main, &others).unwrap()
    }

    #[test]
    fn a_number_is_taken_for_both_kinds_where_a_protocol_has_both() {
        let listening = open(true, &[Protocol::Session, Protocol::Datagram, Protocol::Nick]);
        let serves = |protocols: &[Protocol]| {
            let others = protocols.iter().map(|&protocol| Serves::Only(protocol));
            std::iter::once(Serves::Everything).chain(others).collect::<Vec<_>>()
        };
        assert_eq!(listening.serves, serves(&[Protocol::Session, Protocol::Nick]));
        assert_eq!(listening.datagrams_serve, serves(&[Protocol::Session, Protocol::Datagram]));
        let ports: Vec<u16> = listening.addresses.iter().map(|(_, address)| address.port()).collect();
        let of_listeners: Vec<u16> =
            listening.listeners.0.iter().map(|socket| socket.local_addr().unwrap().port()).collect();
        let of_datagrams: Vec<u16> =
            listening.datagrams.iter().map(|socket| socket.local_addr().unwrap().port()).collect();
        assert_eq!(of_listeners, [ports[0], ports[1], ports[3]]);
        assert_eq!(of_datagrams, [ports[0], ports[1], ports[2]]);
    }

    #[test]
    fn it_is_known_by_which_address_the_way_leads() {
        let own = |text: &str| text.parse::<SocketAddr>().unwrap();
        let peer = own("127.0.0.1:4000");
        assert_eq!(sends_from(own("0.0.0.0:6001"), peer), own("127.0.0.1:6001"));
        assert_eq!(sends_from(own("[::]:6001"), own("[::ffff:127.0.0.1]:4000")).ip().to_canonical(), peer.ip());
        assert_eq!(sends_from(own("10.0.0.1:6001"), peer), own("10.0.0.1:6001"));
    }

    #[test]
    fn a_number_that_datagrams_have_already_is_in_use() {
        let taken = receive(ANY_PORT.into()).unwrap();
        let address = taken.local_addr().unwrap();
        let error = Listening::open(&[address], &[]).unwrap_err();
        assert_eq!((error.address, error.error.kind()), (address, io::ErrorKind::AddrInUse));
    }

    #[test]
    fn a_port_of_four_digits_is_opened_where_none_is_there() {
        let mut listening = open(true, &[]);
        assert!(listening.addresses[0].1.port() > FourDigitPort::LAST, "the system's free ports have five");
        let busy = listen(([127, 0, 0, 1], 0).into()).unwrap();
        drop(busy);
        let mut drawn = [3, 65_535, 7001, 7002].into_iter().cycle();
        let port = listening.session_port(|| drawn.next().unwrap()).unwrap().unwrap();
        let (serves, address) = listening.addresses[1];
        assert_eq!((serves, address.port()), (Serves::Only(Protocol::Session), port.get()));
        assert!(port.get() >= PeerPort::MIN);
        assert_eq!((listening.serves.len(), listening.datagrams.len()), (2, 1));
        let again = listening.session_port(|| panic!("there is one")).unwrap();
        assert_eq!(again, Some(port));
    }

    #[test]
    fn without_a_place_for_sessions_there_is_no_port_for_them() {
        assert_eq!(open(false, &[Protocol::Datagram]).session_port(|| panic!("none is needed")).unwrap(), None);
        assert_eq!(open(false, &[]).session_port(|| panic!("none is needed")).unwrap(), None);
    }
}
