//! Messages that come to our listening socket.

use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::super::pipe::Pipe;
use super::super::{Happening, unmapped};
use crate::net::arrivals::{Accepted, Reserve};
use crate::net::listener::{Listeners, listen};

/// What is read of a message, in bytes; what is beyond is not wanted.
pub(super) const MESSAGE_BYTES_MAX: usize = 4096;
/// How long a connection may take to bring its message.
const MESSAGE_WITHIN: Duration = Duration::from_secs(2);
/// How long nothing more may come after the first bytes before they count as all.
const QUIET: Duration = Duration::from_millis(250);
/// Connections from the address that most come from; more wait in the kernel.
const MAIN_MAX: usize = 16;
/// Connections from everywhere else. A newcomer beyond it ends the oldest of them.
const OTHERS_MAX: usize = 8;
/// All of them.
pub(super) const PLACES: usize = MAIN_MAX + OTHERS_MAX;
/// How long nobody is accepted after that has failed: what it failed for is mostly still there.
const PAUSE: Duration = Duration::from_millis(250);

pub(super) struct Coming {
    /// What the poll knows the listening socket by; those of the places come after it.
    token: Token,
    listening: Option<Listening>,
    places: [Option<Arrival>; PLACES],
}

struct Listening {
    /// One.
    socket: Listeners,
    reserve: Reserve<File>,
    mainly_from: IpAddr,
    /// Somebody may wait: mio tells only once.
    ready: bool,
    pause_until: Option<Instant>,
}

/// A connection that was accepted.
struct Arrival {
    from: IpAddr,
    pipe: Pipe,
    bytes: Vec<u8>,
    since: Instant,
    /// When what is there counts as all.
    whole_at: Instant,
}

impl Coming {
    pub(super) fn new(token: Token) -> Coming {
        Coming { token, listening: None, places: std::array::from_fn(|_| None) }
    }

    /// Listens here, and nowhere else any more. Comes back: the port.
    pub(super) fn listen(&mut self, registry: &Registry, address: SocketAddr, mainly_from: IpAddr) -> io::Result<u16> {
        self.close();
        let mut socket = listen(address)?;
        let port = socket.local_addr()?.port();
        registry.register(&mut socket, self.token, Interest::READABLE)?;
        let mut socket = Listeners(vec![socket]);
        let reserve = Reserve::new(&mut socket)?;
        self.listening = Some(Listening { socket, reserve, mainly_from, ready: true, pause_until: None });
        Ok(port)
    }

    pub(super) fn close(&mut self) {
        self.listening = None;
        self.places.fill_with(|| None);
    }

    pub(super) fn is_busy(&self) -> bool {
        let may_accept = self.listening.as_ref().is_some_and(Listening::is_busy) && self.has_room();
        may_accept || self.arrivals().any(|arrival| arrival.pipe.is_readable())
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let paused = self.listening.as_ref().and_then(|listening| listening.pause_until).filter(|_| self.has_room());
        self.arrivals().map(|arrival| arrival.whole_at).chain(paused).min()
    }

    pub(super) fn stir(&mut self, event: &Event) {
        let Some(place) = event.token().0.checked_sub(self.token.0) else { return };
        match (place.checked_sub(1), &mut self.listening) {
            (None, Some(listening)) => listening.ready = true,
            (None, None) => {}
            // What is said of somebody who has gone makes the next one in that place try to read.
            (Some(place), _) => {
                if let Some(Some(arrival)) = self.places.get_mut(place) {
                    arrival.pipe.stir(event);
                }
            }
        }
    }

    pub(super) fn turn(&mut self, registry: &Registry, happenings: &mut Vec<Happening>) {
        // First those that are there: whoever came first is told first.
        self.read(registry, happenings);
        while self.accept(registry) {}
        self.read(registry, happenings);
    }

    fn arrivals(&self) -> impl Iterator<Item = &Arrival> {
        self.places.iter().flatten()
    }

    fn count(&self, from_main: bool) -> usize {
        let main = self.listening.as_ref().map(|listening| listening.mainly_from);
        self.arrivals().filter(|arrival| (Some(arrival.from) == main) == from_main).count()
    }

    fn has_room(&self) -> bool {
        self.count(true) < MAIN_MAX
    }

    /// Reads what is there, the oldest connection first, and tells what is whole.
    fn read(&mut self, registry: &Registry, happenings: &mut Vec<Happening>) {
        let mut order: Vec<usize> = (0..PLACES).filter(|&place| self.places[place].is_some()).collect();
        order.sort_by_key(|&place| self.places[place].as_ref().map(|arrival| arrival.since));
        for place in order {
            if !self.places[place].as_mut().is_some_and(Arrival::read) {
                continue;
            }
            let Some(mut arrival) = self.places[place].take() else { continue };
            arrival.pipe.leave(registry);
            if !arrival.bytes.is_empty() {
                happenings.push(Happening::Parcel { from: arrival.from, bytes: arrival.bytes });
            }
        }
    }

    /// Accepts one connection, if somebody waits and there is room.
    fn accept(&mut self, registry: &Registry) -> bool {
        if !self.has_room() {
            return false;
        }
        let Some(listening) = &mut self.listening else { return false };
        let Some((mut stream, address)) = listening.accept() else { return false };
        let from = unmapped(address).ip();
        if from != listening.mainly_from && self.count(false) == OTHERS_MAX {
            self.displace();
        }
        let Some(place) = self.places.iter().position(Option::is_none) else { return false };
        if registry.register(&mut stream, Token(self.token.0 + 1 + place), Interest::READABLE).is_ok() {
            self.places[place] = Some(Arrival::new(from, stream));
        }
        true
    }

    /// Ends the oldest connection that is not from the main address.
    fn displace(&mut self) {
        let main = self.listening.as_ref().map(|listening| listening.mainly_from);
        let others = self.places.iter_mut().filter(|place| place.as_ref().is_some_and(|a| Some(a.from) != main));
        if let Some(oldest) = others.min_by_key(|place| place.as_ref().map(|arrival| arrival.since)) {
            *oldest = None;
        }
    }
}

impl Listening {
    fn is_busy(&self) -> bool {
        self.ready && self.pause_until.is_none()
    }

    fn accept(&mut self) -> Option<(TcpStream, SocketAddr)> {
        if self.pause_until.is_some_and(|until| until <= Instant::now()) {
            self.pause_until = None;
        }
        if !self.is_busy() {
            return None;
        }
        match self.reserve.accept(&mut self.socket, 0) {
            Accepted::Connection(stream, address) => return Some((stream, address)),
            Accepted::Nobody => self.ready = false,
            Accepted::TurnedAway | Accepted::Failed | Accepted::Exhausted => {
                self.pause_until = Some(Instant::now() + PAUSE);
            }
        }
        None
    }
}

impl Arrival {
    fn new(from: IpAddr, stream: TcpStream) -> Arrival {
        let since = Instant::now();
        Arrival { from, pipe: Pipe::new(stream, None), bytes: Vec::new(), since, whole_at: since + MESSAGE_WITHIN }
    }

    /// Reads what is there. Comes back: whether nothing more is waited for.
    fn read(&mut self) -> bool {
        let mut bytes = Vec::new();
        let end = self.pipe.read(&mut bytes, MESSAGE_BYTES_MAX - self.bytes.len());
        if !bytes.is_empty() {
            self.bytes.append(&mut bytes);
            self.whole_at = (Instant::now() + QUIET).min(self.since + MESSAGE_WITHIN);
        }
        end.is_some() || self.bytes.len() == MESSAGE_BYTES_MAX || self.whole_at <= Instant::now()
    }
}
