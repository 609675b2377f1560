//! The faults that fall on the server and its disk, and their end.

use super::World;
use crate::ledger::Uid;
use crate::link::{MS, SECOND};
use crate::person::{Kind, password};

#[derive(Clone, Copy, Debug)]
pub enum Fault {
    Kill,
    Stop,
    ClockStall,
    DiskStall,
    DiskFailure,
}

impl World {
    pub(super) fn fall(&mut self, fault: Fault) {
        if self.calm {
            return;
        }
        match fault {
            Fault::Kill => {
                if let Some(server) = &mut self.server {
                    server.die_in(Some(self.dice.range(0, 60)));
                    self.fault("kill");
                }
            }
            Fault::Stop => {
                if self.server.as_ref().is_some_and(|server| !server.is_stopping()) {
                    self.stop_asked = true;
                    self.ledger.shut_down = true;
                    self.fault("shutdown");
                }
            }
            Fault::ClockStall => {
                self.stall = Some(self.dice.range(SECOND, 30 * SECOND));
                self.fault("clock stall");
            }
            Fault::DiskStall => {
                self.disk.stalled_until = self.now + self.dice.range(100 * MS, 15 * SECOND);
                self.fault("disk stall");
            }
            Fault::DiskFailure => {
                self.disk.failing_until = self.now + self.dice.range(10 * MS, 12 * SECOND);
                self.fault("disk failure");
            }
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
        match &mut self.server {
            Some(server) => server.die_in(None),
            None => self.boot_in(MS),
        }
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
