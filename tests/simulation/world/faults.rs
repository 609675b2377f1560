//! The faults that fall on the server, its clocks, its kernel and its disk, and their end.

use super::{Happens, World};
use crate::datagrams::DatagramWeather;
use crate::fired::Fault;
use crate::ledger::Uid;
use crate::link::{MS, SECOND, Time};
use crate::person::{Kind, password};

/// How far the wall clock jumps, at most.
const WALL_JUMPS: [Time; 5] = [2 * SECOND, 30 * SECOND, 600 * SECOND, 3 * 3600 * SECOND, 12 * 3600 * SECOND];

/// What a seed puts among the events.
#[derive(Clone, Copy, Debug)]
pub enum Strike {
    Kill,
    KillAfterCommit,
    Stop,
    ClockStall,
    WallJump,
    DiskStall,
    DiskFailure,
    /// Others take all descriptors.
    Exhaustion,
    WatchFailure,
}

impl World {
    /// Draws when they fall.
    pub(super) fn plan_strikes(&mut self) {
        let planned = [
            (Strike::Kill, self.mix.kills),
            (Strike::KillAfterCommit, self.mix.kills_after_commit),
            (Strike::Stop, self.mix.stops),
            (Strike::ClockStall, self.mix.clock_stalls),
            (Strike::WallJump, self.mix.wall_jumps),
            (Strike::DiskStall, self.mix.disk_stalls),
            (Strike::DiskFailure, self.mix.disk_failures),
            (Strike::Exhaustion, self.mix.exhaustions),
            (Strike::WatchFailure, self.mix.watch_failures),
        ];
        for (strike, count) in planned {
            for _ in 0..count {
                let at = self.dice.range(SECOND, self.mix.duration);
                self.at(at, Happens::Strike(strike));
            }
        }
    }

    pub(super) fn strike(&mut self, strike: Strike) {
        if self.calm {
            return;
        }
        self.say(|_| format!("strike: {strike:?}"));
        match strike {
            Strike::Kill => {
                if let Some(server) = &mut self.server {
                    server.die_in(Some(self.dice.range(0, 60)));
                }
            }
            Strike::KillAfterCommit => {
                if let Some(server) = &mut self.server {
                    server.die_after_commit();
                }
            }
            Strike::Stop => {
                if self.server.as_ref().is_some_and(|server| !server.is_stopping()) {
                    self.stop_asked = true;
                    self.ledger.shut_down = true;
                    self.fired.note(Fault::Shutdown);
                }
            }
            Strike::ClockStall => self.stall = Some(self.dice.range(SECOND, 30 * SECOND)),
            Strike::WallJump => self.jump(),
            Strike::DiskStall => {
                self.disk.stalled_until = self.now + self.dice.range(100 * MS, 15 * SECOND);
                self.fired.note(Fault::DiskStall);
            }
            Strike::DiskFailure => self.disk.failing_until = self.now + self.dice.range(10 * MS, 12 * SECOND),
            Strike::Exhaustion => {
                self.kernel.exhausted_until = self.now + self.dice.range(100 * MS, 8 * SECOND);
                self.kernel.free = 0;
            }
            Strike::WatchFailure => self.kernel.unwatchable_until = self.now + self.dice.range(100 * MS, 8 * SECOND),
        }
    }

    /// The wall clock jumps, one way or the other.
    pub(super) fn jump(&mut self) {
        let most = *self.dice.pick(&WALL_JUMPS);
        let by = self.dice.range(SECOND, most + 1) as i64;
        let (by, fault) = if self.dice.one_in(2) { (by, Fault::WallJumpAhead) } else { (-by, Fault::WallJumpBack) };
        self.wall_offset += by;
        self.fired.note(fault);
        if self.server.is_none() {
            self.fired.note(Fault::WallJumpWhileDown);
        }
    }

    /// No more faults: everybody comes back and reads.
    pub(super) fn heal(&mut self) {
        self.say(|_| "heal".to_owned());
        self.calm = true;
        self.stall = None;
        self.disk.stalled_until = self.disk.stalled_until.min(self.now + SECOND);
        self.disk.failing_until = self.now;
        self.disk_wakes = None;
        (self.kernel.exhausted_until, self.kernel.unwatchable_until) = (self.now, self.now);
        match &mut self.server {
            Some(server) => server.die_in(None),
            None => self.boot_in(MS),
        }
        (0..self.newcomers.len()).for_each(|newcomer| self.give_up_signing_up(newcomer));
        self.heal_callers();
        self.datagrams.weather = DatagramWeather::default();
        // A log-in that comes late would be of nobody who is there.
        self.events.retain(|_, happens| !matches!(happens, Happens::Datagram(_)));
        self.attackers_leave();
        self.heal_members();
        self.heal_correspondents();
        let everybody: Vec<Uid> = self.people.keys().copied().collect();
        for uid in everybody {
            let Some(person) = self.people.get_mut(&uid) else { continue };
            person.silent_until = 0;
            person.reads = true;
            match person.kind {
                Kind::Device => {
                    person.wants_in = true;
                    if !person.password_right {
                        person.session.set_password(password(&person.user));
                        person.password_right = true;
                    }
                    person.woken_at = None;
                    self.hang_up(uid);
                }
                _ => self.hang_up(uid),
            }
        }
    }
}
