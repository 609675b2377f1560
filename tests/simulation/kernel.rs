//! The server's kernel, beside its links: who waits to be accepted, how many descriptors there are, and what can be watched.
//! From here the server accepts, with the code that does it over real sockets.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use chatd::net::arrivals::Listening;
use rustix::io::Errno;

use crate::fired::{Fault, Fired};
use crate::link::{LinkId, Time};
use crate::outside::{Lent, Socket};
use crate::plant::Plant;

#[derive(Default)]
pub struct Kernel {
    /// Who waits to be accepted.
    pub backlog: VecDeque<LinkId>,
    /// Somebody has come, and the poll has not told it yet.
    pub edge: bool,
    /// Until then others take every descriptor that there is.
    pub exhausted_until: Time,
    /// What the server has given back meanwhile, and nobody else has taken yet.
    pub free: usize,
    /// Until then it may fail to watch a connection.
    pub unwatchable_until: Time,
    /// Connections whose descriptor the server has.
    pub open: usize,
    /// For planted bugs: nobody seems to wait, until the next poll.
    pub deaf: bool,
    pub fired: Fired,
}

impl Kernel {
    /// Somebody asks for a connection.
    pub fn comes(&mut self, link: LinkId) {
        self.backlog.push_back(link);
        self.edge = true;
    }

    /// The process is another one, which nobody waits for yet.
    pub fn begin_anew(&mut self) {
        (self.edge, self.exhausted_until, self.free, self.open) = (false, 0, 0, 0);
        self.backlog.clear();
    }

    pub fn take_descriptor(&mut self, now: Time) -> io::Result<()> {
        if now >= self.exhausted_until {
            return Ok(());
        }
        self.free = self.free.checked_sub(1).ok_or(Errno::MFILE)?;
        Ok(())
    }

    pub fn give_descriptor(&mut self, now: Time) {
        self.free += usize::from(now < self.exhausted_until);
    }
}

/// The one listener.
pub struct Listener {
    lent: Rc<RefCell<Lent>>,
    plant: Plant,
}

/// A descriptor in reserve.
pub struct Held(Rc<RefCell<Lent>>);

impl Drop for Held {
    fn drop(&mut self) {
        let lent = &mut *self.0.borrow_mut();
        lent.kernel.give_descriptor(lent.now);
    }
}

impl Listener {
    pub fn new(lent: Rc<RefCell<Lent>>, plant: Plant) -> Listener {
        Listener { lent, plant }
    }
}

impl Listening for Listener {
    type Stream = Socket;
    type Held = Held;

    /// As accept(2): a descriptor is taken before it is looked whether somebody waits.
    fn accept(&mut self, _: usize) -> io::Result<(Socket, SocketAddr)> {
        let lent = &mut *self.lent.borrow_mut();
        if lent.kernel.deaf {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if let Err(error) = lent.kernel.take_descriptor(lent.now) {
            lent.kernel.fired.note(Fault::NoDescriptor);
            return Err(match self.plant {
                Plant::ExhaustionLosesTheListener => io::ErrorKind::WouldBlock.into(),
                _ => error,
            });
        }
        let Some(link) = lent.kernel.backlog.pop_front() else {
            lent.kernel.give_descriptor(lent.now);
            return Err(io::ErrorKind::WouldBlock.into());
        };
        let found = lent.links.map.get(&link);
        let Some(found) = found.filter(|found| !found.reset) else {
            lent.kernel.give_descriptor(lent.now);
            lent.kernel.fired.note(Fault::AbortedArrival);
            return Err(match self.plant {
                Plant::AbortedArrivalEndsAccepting => io::ErrorKind::WouldBlock.into(),
                _ => Errno::CONNABORTED.into(),
            });
        };
        let source = SocketAddr::new(found.source, 50000);
        lent.kernel.open += 1;
        Ok((Socket::new(link, Rc::clone(&self.lent)), source))
    }

    fn hold(&mut self) -> io::Result<Held> {
        let lent = &mut *self.lent.borrow_mut();
        if lent.dice.one_in(3) {
            // Others are faster.
            lent.kernel.free = 0;
        }
        if let Err(error) = lent.kernel.take_descriptor(lent.now) {
            lent.kernel.fired.note(Fault::NoReserve);
            return Err(error);
        }
        Ok(Held(Rc::clone(&self.lent)))
    }
}
