//! Connections that carry one message in one direction: those that come to a socket which listens for them, and those that
//! are made to send one.
//!
//! What always holds: a connection ends after its message, or after a time, whatever the other end does; and there are never
//! more than the bounds say. Who may send what, and what it means, is decided elsewhere. Nothing is encrypted.

mod coming;
mod going;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::{Registry, Token};

use self::coming::Coming;
use self::going::Going;
use super::Happening;

/// How many tokens of the poll the connections need: one for the listening socket, one for each place.
pub(super) const TOKENS: usize = 1 + coming::PLACES + going::GOING_MAX;

/// One message that is sent. Never used again for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParcelId(pub u64);

/// Why a message was not sent, or perhaps not.
#[derive(Debug)]
pub enum NotSent {
    /// Nobody can be reached there: it was not sent.
    Unreachable(io::Error),
    /// The other end broke the connection off, or did not take it in time: nobody knows how far it came.
    CutOff,
}

pub(super) struct Parcels {
    coming: Coming,
    going: Going,
}

impl Parcels {
    /// `token`: the first of `TOKENS` that nobody else uses.
    pub(super) fn new(token: Token) -> Parcels {
        Parcels { coming: Coming::new(token), going: Going::new(Token(token.0 + 1 + coming::PLACES)) }
    }

    /// See `Link::listen_for_parcels`.
    pub(super) fn listen(&mut self, registry: &Registry, address: SocketAddr, mainly_from: IpAddr) -> io::Result<u16> {
        self.coming.listen(registry, address, mainly_from)
    }

    /// See `Link::send_parcel`.
    pub(super) fn send(
        &mut self,
        registry: &Registry,
        address: SocketAddr,
        bytes: Vec<u8>,
        within: Duration,
    ) -> ParcelId {
        self.going.send(registry, address, bytes, within)
    }

    /// See `Link::close_parcels`.
    pub(super) fn close(&mut self) {
        self.coming.close();
        self.going.close();
    }

    /// There is something to do at once.
    pub(super) fn is_busy(&self) -> bool {
        self.coming.is_busy() || self.going.is_busy()
    }

    /// When there is something to do if nothing happens.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.coming.deadline().into_iter().chain(self.going.deadline()).min()
    }

    /// Takes note of what the poll says.
    pub(super) fn stir(&mut self, event: &Event) {
        self.coming.stir(event);
        self.going.stir(event);
    }

    /// Does what there is to do, a bounded amount of it.
    pub(super) fn turn(&mut self, registry: &Registry, happenings: &mut Vec<Happening>) {
        // What has left comes before what may be an answer to it.
        self.going.turn(happenings);
        self.coming.turn(registry, happenings);
    }
}

#[cfg(test)]
mod tests;
