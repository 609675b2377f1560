//! A session's way to the server: joins it with the link and the clock.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::{Action, Happening, Lane, NotSent, Now, Session, Source};
use crate::client::connection::Target;
use crate::client::exit::{Failure, Status};
use crate::net::link::parcels::{self, ParcelId};
use crate::net::link::{self, Bell, Gone, Link};

/// How long a request may take to be sent,
const REQUEST_WITHIN: Duration = Duration::from_secs(5);
/// and a text to a peer.
const PEER_WITHIN: Duration = Duration::from_secs(2);

/// A session, and its connections.
pub struct Connection {
    session: Box<dyn Session>,
    target: Target,
    link: Link,
    epoch: Instant,
    /// Where the server is, once it has let us in.
    server: Option<SocketAddr>,
    /// What is under way on a connection of its own.
    to_server: Option<ParcelId>,
    to_peer: Option<(ParcelId, SocketAddr)>,
}

impl Connection {
    /// Begins to reach the server.
    pub fn dial(target: Target, session: Box<dyn Session>) -> Result<Connection, Failure> {
        let addresses = target.resolve()?;
        let link = Link::new().map_err(refused)?;
        let epoch = Instant::now();
        let uses_datagrams = session.uses_datagrams();
        let mut connection = Connection { session, target, link, epoch, server: None, to_server: None, to_peer: None };
        if uses_datagrams {
            let opened = connection.link.open_datagrams(addresses);
            opened.map_err(|error| connection.target.explain(Gone::Unreachable(error), None))?;
            connection.session.opened(epoch.elapsed());
        } else {
            connection.link.connect(addresses, None);
        }
        Ok(connection)
    }

    pub fn bell(&self) -> Bell {
        self.link.bell()
    }

    pub fn now(&self) -> Now {
        self.epoch.elapsed()
    }

    pub fn session(&mut self) -> &mut dyn Session {
        &mut *self.session
    }

    /// Does what the session wants done, and waits for something to happen, at most until `until`.
    pub fn turn(&mut self, until: Option<Now>) -> io::Result<Vec<Happening>> {
        self.carry_out();
        let told = self.told();
        if !told.is_empty() {
            return Ok(told);
        }
        let deadlines = until.into_iter().chain(self.session.poll_timeout());
        let deadline = deadlines.filter_map(|at| self.epoch.checked_add(at)).min();
        for happening in self.link.turn(deadline)? {
            self.happened(happening);
        }
        self.session.tick(self.now());
        // What is to be said before an end is said.
        self.carry_out();
        Ok(self.told())
    }

    /// The program ends at once.
    pub fn abandon(&mut self) {
        self.session.abandon();
        self.carry_out();
    }

    fn told(&mut self) -> Vec<Happening> {
        std::iter::from_fn(|| self.session.next_happening()).collect()
    }

    fn happened(&mut self, happening: link::Happening) {
        let now = self.now();
        match happening {
            link::Happening::Connected(_) => match self.listen() {
                Ok(port) => self.session.connected(now, port),
                Err(why) => self.session.disconnected(now, why),
            },
            link::Happening::Bytes(bytes) => self.session.received(now, &bytes),
            link::Happening::Closed(gone) => {
                let why = self.target.explain(gone, None);
                self.session.disconnected(now, why);
            }
            link::Happening::Parcel { from, bytes } => {
                let is_server = self.server.is_some_and(|server| server.ip() == from);
                let from = if is_server { Source::Server } else { Source::Elsewhere(from) };
                self.session.delivered(now, from, &bytes);
            }
            link::Happening::ParcelSent(id, result) if self.to_server == Some(id) => {
                self.to_server = None;
                let result = result.map_err(|why| self.explain(why, None));
                self.session.sent(now, Lane::Server, result);
            }
            link::Happening::ParcelSent(id, result) => {
                if let Some((_, address)) = self.to_peer.take_if(|(under_way, _)| *under_way == id) {
                    let result = result.map_err(|why| self.explain(why, Some(address)));
                    self.session.sent(now, Lane::Peer, result);
                }
            }
            link::Happening::Datagram(bytes) => self.session.heard(now, &bytes),
            link::Happening::Unheard(error) => {
                let why = self.target.explain(Gone::Unreachable(error), None);
                self.session.unheard(now, why);
            }
            // Conversations that are encrypted are the native protocol's.
            link::Happening::Peer(..) | link::Happening::Knocked { .. } | link::Happening::Woken => {}
        }
    }

    /// Listens where the server sees us, if the session wants that. Comes back: the port.
    fn listen(&mut self) -> Result<u16, Failure> {
        self.server = self.link.remote_address();
        if !self.session.listens() {
            return Ok(0);
        }
        let gone = || self.target.explain(Gone::Ended, None);
        let server = self.server.ok_or_else(gone)?;
        let address = self.link.local_address().ok_or_else(gone)?;
        self.link.listen_for_parcels(address, server.ip()).map_err(refused)
    }

    fn carry_out(&mut self) {
        while let Some(action) = self.session.next_action() {
            match action {
                Action::Write(bytes) => self.link.send(&bytes),
                Action::HangUp => {
                    self.link.close();
                    self.link.close_datagrams();
                }
                Action::Datagram(bytes) => self.link.send_datagram(&bytes),
                Action::Dial(port) => self.dial_port(port),
                Action::ToServer(bytes) => {
                    self.to_server = self.server.map(|server| self.link.send_parcel(server, bytes, REQUEST_WITHIN));
                }
                Action::ToPeer(address, bytes) => {
                    self.to_peer = Some((self.link.send_parcel(address, bytes, PEER_WITHIN), address));
                }
            }
        }
    }

    /// Another port of the server that the datagrams go to.
    fn dial_port(&mut self, port: u16) {
        let server = self.link.datagram_address().map(|mut server| {
            server.set_port(port);
            server
        });
        self.target.port = port;
        self.link.connect(server, None);
    }

    /// Why something was not sent, for people. `peer`: to whom; else to the server.
    fn explain(&self, why: parcels::NotSent, peer: Option<SocketAddr>) -> NotSent {
        match (why, peer) {
            (parcels::NotSent::CutOff, _) => NotSent::CutOff,
            (parcels::NotSent::Unreachable(error), None) => {
                NotSent::Unreachable(self.target.explain(Gone::Unreachable(error), None))
            }
            (parcels::NotSent::Unreachable(error), Some(peer)) => {
                let (ip, port) = (peer.ip(), peer.port());
                let text = format!("can't reach {ip} port {port}: {error}; is there a firewall in between?");
                NotSent::Unreachable(Failure::new(Status::NoServer, text))
            }
        }
    }
}

fn refused(error: io::Error) -> Failure {
    Failure::new(Status::NoServer, format!("the system refuses: {error}"))
}
