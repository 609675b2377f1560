//! Devices: what each has shown, when it was away, and its resume token.
//!
//! A device's cursor is the one thing that is written about what it was shown. It may reach the disk late: a client
//! remembers its own, and drops what comes again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::change::{AWAY, Change, DeviceRow};
use super::id::{ConnectionId, DeviceId, Number, UserId};
use super::scram::StoredKeys;
use super::time::{Instant, WallTime};

/// Devices kept for a user. With one more, the one that was not seen for longest is forgotten.
pub const DEVICES_MAX: usize = 8;
/// A device that was not seen for this long is forgotten.
pub const UNSEEN_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// Absences kept for a device. With one more the oldest is forgotten, and broadcasts made in it may be shown after all.
pub const ABSENCES_MAX: usize = 8;
/// Cursors that moved are written within this time.
pub const FLUSH_AFTER: Duration = Duration::from_secs(5);
/// A cursor that has moved over so many numbers is written at once.
pub const UNWRITTEN_MAX: u64 = 1000;

/// A device and where it is connected, if it is.
#[derive(Debug)]
pub struct Device {
    row: DeviceRow,
    /// The cursor when the row was last written.
    written: Number,
    connection: Option<ConnectionId>,
}

/// All devices.
#[derive(Debug, Default)]
pub struct Devices {
    /// By rising id; a user has few, and a table of their own for each would be mostly empty.
    of: BTreeMap<UserId, Vec<Device>>,
    /// What had been shown to the user when a device of theirs was forgotten, where it is not zero.
    shown: BTreeMap<UserId, Number>,
    dirty: BTreeSet<(UserId, DeviceId)>,
    flush_at: Option<Instant>,
}

impl Devices {
    /// `last`: the end of the log. Whatever was connected when the server stopped has been away since; that is written at
    /// once, or after one more stop it would seem to have been there all the time.
    pub(super) fn new(
        rows: Vec<DeviceRow>,
        shown: Vec<(UserId, Number)>,
        last: Number,
        changes: &mut Vec<Change>,
    ) -> Devices {
        let mut devices = Devices { shown: shown.into_iter().collect(), ..Devices::default() };
        for mut row in rows {
            if row.absences.last().is_none_or(|absence| absence.1 != AWAY) {
                leave(&mut row, last);
                changes.push(Change::Device(Box::new(row.clone())));
            }
            devices.insert(Device { written: row.cursor, row, connection: None });
        }
        devices
    }

    /// How many are remembered.
    pub fn count(&self) -> usize {
        self.of.values().map(Vec::len).sum()
    }

    pub(super) fn token(&self, user: UserId, device: DeviceId) -> Option<StoredKeys> {
        self.get(user, device)?.row.token.clone()
    }

    /// Everything up to here has been shown on this device.
    pub fn cursor(&self, user: UserId, device: DeviceId) -> Number {
        self.get(user, device).map_or(Number(0), |device| device.row.cursor)
    }

    /// The highest cursor of the user's devices, those that were forgotten too: up to here everything was shown on one
    /// at least.
    pub fn highest_cursor(&self, user: UserId) -> Number {
        self.cursors(user).chain(self.shown.get(&user).copied()).max().unwrap_or_default()
    }

    /// The lowest of those that are known: no device needs anything up to here. Without devices that is the highest,
    /// where the next one will start.
    pub fn lowest_cursor(&self, user: UserId) -> Number {
        self.cursors(user).min().unwrap_or_else(|| self.highest_cursor(user))
    }

    fn cursors(&self, user: UserId) -> impl Iterator<Item = Number> + '_ {
        self.of.get(&user).into_iter().flat_map(|devices| devices.iter().map(|device| device.row.cursor))
    }

    /// Where this device is connected.
    pub fn connection(&self, user: UserId, device: DeviceId) -> Option<ConnectionId> {
        self.get(user, device)?.connection
    }

    /// Whether a broadcast with this number was made while the device was there.
    pub fn was_there(&self, user: UserId, device: DeviceId, number: Number) -> bool {
        self.get(user, device)
            .is_some_and(|device| !device.row.absences.iter().any(|&(from, to)| from < number && number <= to))
    }

    fn get(&self, user: UserId, device: DeviceId) -> Option<&Device> {
        self.of.get(&user)?.iter().find(|found| found.row.device == device)
    }

    /// The device that has to go before this one can be added, and where it is connected.
    pub(super) fn surplus(&self, user: UserId, device: DeviceId) -> Option<(DeviceId, Option<ConnectionId>)> {
        let devices = self.of.get(&user)?;
        if devices.len() < DEVICES_MAX || self.get(user, device).is_some() {
            return None;
        }
        let oldest = devices.iter().min_by_key(|device| (device.connection.is_some(), device.row.seen));
        oldest.map(|device| (device.row.device, device.connection))
    }

    pub(super) fn forget(&mut self, user: UserId, device: DeviceId, changes: &mut Vec<Change>) {
        let shown = self.highest_cursor(user);
        if shown > Number(0) {
            self.shown.insert(user, shown);
        }
        self.remove(user, device);
        changes.push(Change::DeviceForgotten { user, device, shown });
    }

    /// The device leaves nothing behind.
    pub(super) fn remove(&mut self, user: UserId, device: DeviceId) {
        if let Some(devices) = self.of.get_mut(&user) {
            devices.retain(|found| found.row.device != device);
            if devices.is_empty() {
                self.of.remove(&user);
            }
        }
        self.dirty.remove(&(user, device));
    }

    /// Forgets the devices that were not seen for too long.
    pub(super) fn forget_unseen(&mut self, wall: WallTime, changes: &mut Vec<Change>) -> Vec<(UserId, DeviceId)> {
        let unseen: Vec<_> = self
            .of
            .values()
            .flatten()
            .filter(|device| device.connection.is_none() && wall.since(device.row.seen) >= UNSEEN_MAX)
            .map(|device| (device.row.user, device.row.device))
            .collect();
        for &(user, device) in &unseen {
            self.forget(user, device, changes);
        }
        unseen
    }

    /// The device is there. `shown`: what the client remembers. A device that is new starts where the user's others are.
    pub(super) fn arrive(
        &mut self,
        user: UserId,
        device: DeviceId,
        connection: ConnectionId,
        shown: Number,
        last: Number,
        wall: WallTime,
    ) {
        if self.get(user, device).is_none() {
            let cursor = self.highest_cursor(user);
            // Broadcasts from before the device came were not for it.
            let absences = vec![(Number(0), AWAY)];
            let row = DeviceRow { user, device, cursor, absences, seen: wall, token: None };
            self.insert(Device { row, written: cursor, connection: None });
        }
        let Some(device) = self.get_mut(user, device) else { return };
        device.connection = Some(connection);
        device.row.seen = wall;
        device.row.cursor = device.row.cursor.max(shown.min(last));
        if let Some(absence) = device.row.absences.last_mut().filter(|absence| absence.1 == AWAY) {
            absence.1 = last;
        }
        tidy(&mut device.row);
    }

    /// The next resume must be proved with this.
    pub(super) fn set_token(&mut self, user: UserId, device: DeviceId, token: Option<StoredKeys>) {
        if let Some(device) = self.get_mut(user, device) {
            device.row.token = token;
        }
    }

    /// The device is gone. `cursor`: nothing up to here is still under way to it.
    pub(super) fn depart(&mut self, user: UserId, device: DeviceId, last: Number, wall: WallTime) {
        if let Some(device) = self.get_mut(user, device) {
            device.connection = None;
            device.row.seen = wall;
            leave(&mut device.row, last);
        }
    }

    /// Everything up to `number` was shown. Says whether that is news.
    pub(super) fn advance(&mut self, user: UserId, device: DeviceId, number: Number, now: Instant) -> bool {
        let Some(found) = self.get_mut(user, device) else { return false };
        if number <= found.row.cursor {
            return false;
        }
        found.row.cursor = number;
        tidy(&mut found.row);
        self.mark(user, device, now);
        true
    }

    /// The row must be written soon.
    pub(super) fn mark(&mut self, user: UserId, device: DeviceId, now: Instant) {
        if device == DeviceId::NICK {
            return;
        }
        self.dirty.insert((user, device));
        self.flush_at.get_or_insert(now + FLUSH_AFTER);
    }

    /// Writes the row now, unless it is of a device that leaves nothing behind.
    pub(super) fn save(&mut self, user: UserId, device: DeviceId, changes: &mut Vec<Change>) {
        if device == DeviceId::NICK {
            return;
        }
        self.dirty.remove(&(user, device));
        if let Some(device) = self.get_mut(user, device) {
            device.written = device.row.cursor;
            changes.push(Change::Device(Box::new(device.row.clone())));
        }
    }

    /// Writes the row now if its cursor has moved so far that a restart would find too much unshown.
    pub(super) fn save_if_far(&mut self, user: UserId, device: DeviceId, changes: &mut Vec<Change>) {
        let far = |device: &Device| device.row.cursor.0 - device.written.0 >= UNWRITTEN_MAX;
        if self.get(user, device).is_some_and(far) {
            self.save(user, device, changes);
        }
    }

    pub(super) fn flush_at(&self) -> Option<Instant> {
        self.flush_at
    }

    /// Writes every row that has changed.
    pub(super) fn flush(&mut self, changes: &mut Vec<Change>) {
        self.flush_at = None;
        while let Some((user, device)) = self.dirty.pop_first() {
            self.save(user, device, changes);
        }
    }

    fn get_mut(&mut self, user: UserId, device: DeviceId) -> Option<&mut Device> {
        self.of.get_mut(&user)?.iter_mut().find(|found| found.row.device == device)
    }

    fn insert(&mut self, device: Device) {
        let devices = self.of.entry(device.row.user).or_default();
        let index = devices.partition_point(|other| other.row.device < device.row.device);
        // Most users have one device and never another.
        devices.reserve_exact(1);
        devices.insert(index, device);
    }

    pub(super) fn check_invariants(&self) {
        for devices in self.of.values() {
            assert!(!devices.is_empty() && devices.len() <= DEVICES_MAX);
            assert!(devices.is_sorted_by(|one, next| one.row.device < next.row.device));
            for device in devices {
                assert!(device.row.absences.len() <= ABSENCES_MAX + 1);
                assert!(device.row.absences.is_sorted());
                let away = device.row.absences.last().is_some_and(|absence| absence.1 == AWAY);
                assert_eq!(away, device.connection.is_none(), "away or connected, never both");
            }
        }
        assert!(self.dirty.is_empty() || self.flush_at.is_some());
        assert!(self.dirty.iter().all(|&(_, device)| device != DeviceId::NICK), "nothing of a guest's is written");
    }
}

/// The highest number that these know of. The message itself may have been lost with its commit; given again, its number
/// would count as shown.
pub(super) fn highest_number(rows: &[DeviceRow], shown: &[(UserId, Number)]) -> Number {
    let absences = rows.iter().flat_map(|row| row.absences.iter().flat_map(|&(from, to)| [from, to]));
    let numbers = rows.iter().map(|row| row.cursor).chain(absences).chain(shown.iter().map(|&(_, number)| number));
    numbers.filter(|&number| number != AWAY).max().unwrap_or_default()
}

fn leave(row: &mut DeviceRow, last: Number) {
    if row.absences.last().is_none_or(|absence| absence.1 != AWAY) {
        row.absences.push((last, AWAY));
    }
    tidy(row);
}

/// Drops the absences that say nothing any more, and the oldest if there are too many.
fn tidy(row: &mut DeviceRow) {
    row.absences.retain(|&(from, to)| from < to && to > row.cursor);
    if row.absences.len() > ABSENCES_MAX {
        row.absences.remove(0);
    }
    row.absences.shrink_to_fit();
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: UserId = UserId(1);
    const HERE: ConnectionId = ConnectionId { slot: 0, generation: 0 };

    fn device(n: u8) -> DeviceId {
        DeviceId::from_bytes([n; 16])
    }

    #[test]
    fn broadcasts_count_only_while_the_device_is_there() {
        let mut devices = Devices::default();
        let (a, wall) = (device(1), WallTime::from_millis(0));
        devices.arrive(USER, a, HERE, Number(0), Number(10), wall);
        assert!(!devices.was_there(USER, a, Number(10)));
        assert!(devices.was_there(USER, a, Number(11)));
        devices.depart(USER, a, Number(20), wall);
        assert!(devices.was_there(USER, a, Number(20)));
        assert!(!devices.was_there(USER, a, Number(21)));
        devices.arrive(USER, a, HERE, Number(0), Number(30), wall);
        assert!(devices.was_there(USER, a, Number(15)), "owed still: it was there, and has not shown it");
        assert!(!devices.was_there(USER, a, Number(30)));
        assert!(devices.was_there(USER, a, Number(31)));
        devices.check_invariants();
    }

    #[test]
    fn a_device_that_was_connected_when_the_server_died_is_away_since() {
        let mut changes = Vec::new();
        let mut devices = Devices::default();
        devices.arrive(USER, device(1), HERE, Number(0), Number(5), WallTime::default());
        devices.save(USER, device(1), &mut changes);
        let Some(Change::Device(row)) = changes.pop() else { panic!("a row") };
        let devices = Devices::new(vec![*row], vec![], Number(9), &mut changes);
        assert!(devices.was_there(USER, device(1), Number(9)));
        assert!(!devices.was_there(USER, device(1), Number(10)));
        devices.check_invariants();
        let Some(Change::Device(row)) = changes.pop() else { panic!("its absence is written") };
        let devices = Devices::new(vec![*row], vec![], Number(12), &mut changes);
        assert!(!devices.was_there(USER, device(1), Number(10)), "nor after the server has died once more");
        assert_eq!(changes, []);
    }

    #[test]
    fn a_new_device_starts_where_the_others_are() {
        let mut devices = Devices::default();
        devices.arrive(USER, device(1), HERE, Number(0), Number(50), WallTime::default());
        assert!(devices.advance(USER, device(1), Number(40), Instant::default()));
        assert!(!devices.advance(USER, device(1), Number(40), Instant::default()));
        devices.arrive(USER, device(2), HERE, Number(0), Number(50), WallTime::default());
        assert_eq!(devices.cursor(USER, device(2)), Number(40));
    }

    #[test]
    fn what_a_forgotten_device_has_shown_stays_shown() {
        let mut changes = Vec::new();
        let mut devices = Devices::default();
        devices.arrive(USER, device(1), HERE, Number(7), Number(50), WallTime::default());
        devices.arrive(USER, device(2), HERE, Number(40), Number(50), WallTime::default());
        for (n, lowest) in [(2, 7), (1, 40)] {
            devices.forget(USER, device(n), &mut changes);
            let forgotten = Change::DeviceForgotten { user: USER, device: device(n), shown: Number(40) };
            assert_eq!(changes.pop(), Some(forgotten));
            assert_eq!((devices.lowest_cursor(USER), devices.highest_cursor(USER)), (Number(lowest), Number(40)));
        }
        let shown = vec![(USER, Number(40))];
        assert_eq!(highest_number(&[], &shown), Number(40));
        let mut devices = Devices::new(vec![], shown, Number(50), &mut changes);
        devices.arrive(USER, device(3), HERE, Number(0), Number(50), WallTime::default());
        assert_eq!(devices.cursor(USER, device(3)), Number(40));
    }

    #[test]
    fn the_ninth_device_drives_out_the_one_not_seen_for_longest() {
        let mut devices = Devices::default();
        for n in 1..=8 {
            assert_eq!(devices.surplus(USER, device(n)), None);
            devices.arrive(USER, device(n), HERE, Number(0), Number(0), WallTime::from_millis(n.into()));
        }
        devices.depart(USER, device(5), Number(0), WallTime::from_millis(100));
        assert_eq!(devices.surplus(USER, device(9)), Some((device(5), None)), "rather one that is away");
        assert_eq!(devices.surplus(USER, device(3)), None);
    }

    #[test]
    fn many_absences_are_bounded() {
        let mut devices = Devices::default();
        for n in 0..100 {
            devices.arrive(USER, device(1), HERE, Number(0), Number(2 * n), WallTime::default());
            devices.depart(USER, device(1), Number(2 * n + 1), WallTime::default());
            devices.check_invariants();
        }
    }
}
