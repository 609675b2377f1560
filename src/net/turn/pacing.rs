//! What waits for a time: chunks for clients without framing, which follow each other so that each is read by itself; what
//! such a client is taken to have shown; and what else a timer is set for.

use super::*;
use crate::net::connection::Wrote;
use crate::wire::Chunking;

impl<E: Environment> Turn<E> {
    pub(super) fn timer_over(&mut self, now: Now, id: ConnectionId, timer: Timer) {
        match timer {
            Timer::Silence => self.silence_over(now, id),
            Timer::Quiet => self.quiet_over(id),
            Timer::Acknowledged => {
                self.tell_what_arrived(now, id);
                self.mark_dirty(id);
            }
            Timer::LogIn => self.log_in_over(id),
            Timer::Again => self.send_again(now, id),
            Timer::Settled => self.send_next(id),
            Timer::Leave => {
                self.free_callee(id);
                self.free_correspondent(id);
            }
        }
    }

    /// A client has had the time to read its last chunk. Whether that has arrived is asked when nothing more waits: while it
    /// is told much, one question does for many chunks.
    pub(super) fn pace_over(&mut self, now: Now, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.paced = false;
        let has_more = connection.queue.may_leave(self.persisted);
        let under_way = connection.under_way.as_ref().map_or(0, |under_way| under_way.len());
        if has_more || connection.stage == Stage::Ending {
            self.mark_dirty(id);
        }
        if !has_more || under_way >= UNDER_WAY_MAX {
            self.tell_what_arrived(now, id);
        }
    }

    /// Writes a chunk, or what is left of it, unless the last one may not have been read yet.
    pub(super) fn write_chunk(&mut self, now: Now, id: ConnectionId, chunking: Chunking) -> io::Result<Wrote> {
        let Some(connection) = self.connections.get_mut(id) else { return Ok(Wrote::All) };
        let (wrote, is_read) = connection.write_encrypted()?;
        if is_read && wrote == Wrote::All {
            self.let_read(now, id);
            return Ok(wrote);
        }
        if connection.paced || wrote == Wrote::Full {
            return Ok(wrote);
        }
        let (wrote, bytes) = connection.write_chunk(self.persisted, chunking, &mut self.seal_buffer)?;
        let (encrypted, _) = connection.write_encrypted()?;
        let wrote = if encrypted == Wrote::Full { encrypted } else { wrote };
        if bytes > 0 && wrote == Wrote::All {
            self.let_read(now, id);
        }
        Ok(wrote)
    }

    /// A client has been written a chunk: the next one follows when it has had the time to read it.
    fn let_read(&mut self, now: Now, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if !std::mem::replace(&mut connection.paced, true) {
            self.paced.push_back((now.instant + self.admission.pace, id));
        }
    }

    /// Tells the hub which messages a client's system has taken, and looks again where some are left.
    fn tell_what_arrived(&mut self, now: Now, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id).filter(|found| found.is_served()) else { return };
        if connection.under_way.as_ref().is_none_or(|under_way| under_way.is_empty()) {
            return;
        }
        // Where it can't be known nothing has arrived: the connection has failed, which the next read tells.
        let unacknowledged = connection.unacknowledged().unwrap_or(usize::MAX);
        let Some(under_way) = &mut connection.under_way else { return };
        let arrived = under_way.arrived(unacknowledged);
        let is_left = !under_way.is_empty();
        if let Some(number) = arrived {
            self.tell(now, Input::Shown { connection: id, number, words: None });
        }
        if is_left {
            self.timers.set(id, Timer::Acknowledged, now.instant + ACKNOWLEDGED_EVERY);
        }
    }
}
