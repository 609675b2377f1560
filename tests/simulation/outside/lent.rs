//! What the world lends the server for a turn, and the server's ends of the links in it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice, Read, Write};
use std::mem::swap;
use std::rc::Rc;
use std::time::Duration;

use chatd::hub::time::WallTime;
use chatd::net::connection::Stream;
use chatd::net::turn::{PACE, QUIET};
use rustix::io::Errno;

use super::planted;
use crate::datagrams::Datagrams;
use crate::dice::Dice;
use crate::disk::Disk;
use crate::fired::Fault;
use crate::kernel::Kernel;
use crate::ledger::Ledger;
use crate::link::{self, Link, LinkId, Links, Time};
use crate::plant::Plant;
use crate::server::Around;

/// What clients without framing read at once, in bytes.
const CHUNK_BYTES_MAX: usize = 1024;

/// The world, for as long as the server acts in it. Between two turns this holds nothing of meaning but the rest.
pub struct Lent {
    pub now: Time,
    pub(super) wall: WallTime,
    pub dice: Dice,
    pub links: Links,
    pub datagrams: Datagrams,
    pub(super) disk: Disk,
    pub ledger: Ledger,
    pub kernel: Kernel,
    pub(super) plant: Plant,
    /// A kill falls when so many points in turns have passed.
    pub die_in: Option<u64>,
    /// It falls right after the next commit that the server hears of.
    pub die_after_commit: bool,
    pub dies_of_commit: bool,
    /// Nothing that the server does counts any more.
    pub(super) dead: bool,
    /// Links whose descriptor was closed.
    pub(super) closed: Vec<LinkId>,
    /// A stream has not taken everything since this was last announced.
    pub(super) full: BTreeSet<LinkId>,
    /// When the last two polls were.
    pub(super) polls: [Time; 2],
    /// For planted bugs: how many bytes have been ciphered on a link.
    pub(super) carried: BTreeMap<LinkId, usize>,
    /// When a session was read last.
    pub(super) read_at: BTreeMap<LinkId, Time>,
    /// When somebody without framing was written to last, and how much of the chunk was left.
    pub(super) chunks: BTreeMap<LinkId, (Time, usize)>,
}

impl Lent {
    pub fn exchange(&mut self, around: &mut Around) {
        (self.now, self.wall) = (around.now, around.wall);
        swap(&mut self.dice, around.dice);
        swap(&mut self.links, around.links);
        swap(&mut self.datagrams, around.datagrams);
        swap(&mut self.disk, around.disk);
        swap(&mut self.ledger, around.ledger);
        swap(&mut self.kernel, around.kernel);
    }

    /// Whether the kill has fallen. Each call is a point at which it may.
    pub fn dies(&mut self) -> bool {
        match &mut self.die_in {
            Some(0) => self.dead = true,
            Some(points) => *points -= 1,
            None => {}
        }
        self.dead
    }

    /// For planted bugs: whether a call seems to have been taken.
    pub(super) fn seems_taken(&self, link: LinkId) -> bool {
        match self.plant {
            Plant::TakenBeforeItIsRead => self.links.map.get(&link).is_some_and(Link::is_written_call),
            Plant::RefusedCountsAsTaken => self.links.is_call(link) && self.links.map[&link].reset,
            _ => false,
        }
    }

    /// Whether the client of a link takes each chunk for itself.
    pub(super) fn has_no_framing(&self, link: LinkId) -> bool {
        self.ledger.classics.guests.contains_key(&link) || self.ledger.sessions.is_one(link)
    }

    /// What such a client reads by itself, it is written by itself.
    pub(super) fn check_chunk(&mut self, link: LinkId, bytes: usize) {
        if !self.has_no_framing(link) {
            return;
        }
        if bytes > CHUNK_BYTES_MAX {
            self.ledger.broken("10: somebody is written more than they read at once");
        }
        let rests =
            self.chunks.get(&link).is_some_and(|&(at, left)| left == 0 && self.now < at + PACE.as_micros() as Time);
        if rests {
            self.ledger.broken("13: somebody is written a chunk before they can have read the last one");
        }
    }

    pub(super) fn note_chunk(&mut self, link: LinkId, left: usize) {
        if self.has_no_framing(link) {
            self.chunks.insert(link, (self.now, left));
        }
    }

    /// A session was read. Whether what has come now could be told from what came before depends on whether the server has
    /// looked at it in the quiet time between them.
    pub(super) fn note_read(&mut self, link: LinkId, bytes: usize) {
        if !self.ledger.sessions.is_one(link) {
            return;
        }
        let last = self.read_at.insert(link, self.now).unwrap_or(0);
        let quiet_at = last + QUIET.as_micros() as Time;
        let soon = self.now <= quiet_at || self.polls[0] <= quiet_at;
        self.ledger.session_read(link, bytes, soon);
    }

    /// Whether the kernel takes a connection among those that it watches.
    pub(super) fn watch(&mut self) -> io::Result<()> {
        if !self.dead && self.now < self.kernel.unwatchable_until && self.dice.one_in(2) {
            self.kernel.fired.note(Fault::NotWatched);
            return Err(Errno::NOMEM.into());
        }
        Ok(())
    }
}

/// The server's end of a link. Dropped, it is closed.
pub struct Socket {
    pub(super) link: LinkId,
    pub(super) lent: Rc<RefCell<Lent>>,
    /// For planted bugs: it is never closed.
    pub(super) leaks: bool,
}

impl Socket {
    pub fn new(link: LinkId, lent: Rc<RefCell<Lent>>) -> Socket {
        Socket { link, lent, leaks: false }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let lent = &mut *self.lent.borrow_mut();
        if !lent.dead && !self.leaks {
            lent.closed.push(self.link);
            lent.kernel.open = lent.kernel.open.saturating_sub(1);
            lent.kernel.give_descriptor(lent.now);
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let lent = &mut *self.lent.borrow_mut();
        if lent.dead {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if lent.dice.one_in(64) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if lent.plant == Plant::TheEndEatsWhatCame
            && lent.links.map.get(&self.link).is_some_and(|link| link.up.fin.is_some())
        {
            return Ok(0);
        }
        if lent.seems_taken(self.link) {
            return Ok(0);
        }
        match lent.links.read(self.link, buffer.len()) {
            link::Read::Bytes(mut bytes) => {
                lent.note_read(self.link, bytes.len());
                if lent.plant == Plant::EndingsStayGlued && lent.ledger.sessions.is_glued(self.link) {
                    bytes.truncate(bytes.len() - 1);
                }
                buffer[..bytes.len()].copy_from_slice(&bytes);
                Ok(bytes.len())
            }
            link::Read::End if lent.plant == Plant::HalfCloseIsAClose => Err(io::ErrorKind::ConnectionReset.into()),
            link::Read::End => Ok(0),
            link::Read::Nothing => Err(io::ErrorKind::WouldBlock.into()),
            link::Read::Broken => Err(io::ErrorKind::ConnectionReset.into()),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let lent = &mut *self.lent.borrow_mut();
        if lent.dies() {
            return Ok(bytes.len());
        }
        if lent.dice.one_in(64) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if lent.seems_taken(self.link) {
            return Ok(bytes.len());
        }
        lent.check_chunk(self.link, bytes.len());
        if lent.plant == Plant::CipherCarriesOver
            && let Some(key) = lent.ledger.sessions.key(self.link)
        {
            let position = lent.carried.entry(self.link).or_default();
            let carried = planted::carried_over(key, *position, bytes);
            *position += bytes.len();
            lent.links.write(&mut lent.dice, lent.now, self.link, &carried);
            return Ok(bytes.len());
        }
        if lent.plant == Plant::AWordIsJoined && bytes.ends_with(b"\n") && lent.links.is_call(self.link) {
            lent.links.write(&mut lent.dice, lent.now, self.link, &[bytes, b"shutdown"].concat());
            return Ok(bytes.len());
        }
        let written = lent.links.write(&mut lent.dice, lent.now, self.link, bytes);
        let written = written.ok_or(io::ErrorKind::BrokenPipe)?;
        lent.note_chunk(self.link, bytes.len() - written);
        if written < bytes.len() {
            lent.full.insert(self.link);
        }
        match written {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            _ if lent.plant == Plant::ShortWritesCountAsWhole => Ok(bytes.len()),
            _ => Ok(written),
        }
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut bytes = Vec::new();
        pieces.iter().for_each(|piece| bytes.extend_from_slice(piece));
        self.write(&bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Socket {
    fn close_our_side(&mut self) -> io::Result<()> {
        let lent = &mut *self.lent.borrow_mut();
        if !lent.dead {
            lent.links.fin(&mut lent.dice, lent.now, self.link, false);
            if lent.seems_taken(self.link)
                && let Some(link) = lent.links.map.get_mut(&self.link)
            {
                link.edge = true;
            }
        }
        Ok(())
    }

    fn is_connected(&mut self) -> io::Result<bool> {
        let lent = self.lent.borrow();
        match lent.links.map.get(&self.link) {
            Some(link) if !link.reset => Ok(link.is_made()),
            _ if lent.plant == Plant::RefusedCountsAsTaken => Ok(true),
            _ => Err(io::ErrorKind::ConnectionRefused.into()),
        }
    }

    fn unacknowledged(&self) -> io::Result<usize> {
        let lent = self.lent.borrow();
        let is_asked = match lent.plant {
            Plant::UnacknowledgedCountsAsThere => false,
            Plant::SessionsAreNotWaitedFor => !lent.ledger.sessions.is_one(self.link),
            _ => !lent.seems_taken(self.link),
        };
        Ok(if is_asked { lent.links.unacknowledged(self.link) } else { 0 })
    }

    fn reset_on_close(&self) -> io::Result<()> {
        let lent = &mut *self.lent.borrow_mut();
        if !lent.dead && lent.plant != Plant::ResetsAreCloses {
            lent.links.reset_on_close(self.link);
        }
        Ok(())
    }

    fn write_at_once(&self) -> io::Result<()> {
        Ok(())
    }

    fn give_up_after(&self, silence: Duration) -> io::Result<()> {
        let lent = &mut *self.lent.borrow_mut();
        if lent.plant != Plant::GuestsAreNeverGivenUp {
            lent.links.give_up_after(lent.now, self.link, silence.as_micros() as Time);
        }
        Ok(())
    }
}
