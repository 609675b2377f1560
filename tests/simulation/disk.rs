//! The store's part: batches that wait are committed together, some fail, some take long, and a kill loses the tail.
//! What is kept is a plain fold of the committed changes, to which the real store is held as well.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use chatd::hub::change::{Account, Change, ConsentRow, DeviceRow, PastSend, Snapshot, TriesRow};
use chatd::hub::delivery::{BROADCASTS_MAX, MAILBOX_MESSAGES_MAX};
use chatd::hub::id::{DeviceId, Number, Source, UserId};
use chatd::hub::lockout::SOURCES_MAX;
use chatd::hub::message::Message;
use chatd::hub::name::UserName;
use chatd::hub::sends::RESULTS_MAX;
use chatd::hub::time::WallTime;
use chatd::store::Batch;

use crate::dice::Dice;
use crate::fired::{Fault, Fired};
use crate::link::{MS, Time};

/// The state that the committed changes come to.
#[derive(Clone, Default)]
pub struct Fold {
    secret: Option<[u8; 32]>,
    users: BTreeMap<UserId, UserName>,
    retired: BTreeSet<UserId>,
    accounts: BTreeMap<UserId, Account>,
    pub messages: BTreeMap<Number, Arc<Message>>,
    expired: BTreeSet<Number>,
    pub blocks: BTreeMap<(UserId, UserId), Number>,
    consents: BTreeMap<(UserId, UserId), ConsentRow>,
    /// How often a consent was stored.
    consented: BTreeMap<(UserId, UserId), u32>,
    /// For planted bugs: those that were taken back.
    revoked: Vec<ConsentRow>,
    devices: BTreeMap<(UserId, DeviceId), (DeviceRow, Number)>,
    shown: BTreeMap<UserId, Number>,
    tries: BTreeMap<(String, Option<Vec<u8>>), TriesRow>,
    sources: BTreeMap<(UserId, Vec<u8>), (Source, WallTime)>,
    online: BTreeSet<UserId>,
    last: Number,
}

impl Fold {
    /// A log whose secret is known beforehand, so that salts, and what is derived from them, are the same in many runs.
    pub fn with_secret(secret: [u8; 32]) -> Fold {
        Fold { secret: Some(secret), ..Fold::default() }
    }

    pub fn has_device(&self, user: &UserName, device: DeviceId) -> bool {
        self.devices.keys().any(|(id, known)| *known == device && self.name(*id) == Some(user))
    }

    /// Up to where everything was shown on a device; `None`: nothing is remembered of it.
    pub fn cursor(&self, user: &UserName, device: DeviceId) -> Option<Number> {
        let is_it = |(id, known): &&(UserId, DeviceId)| *known == device && self.name(*id) == Some(user);
        self.devices.keys().find(is_it).map(|key| self.devices[key].0.cursor)
    }

    /// How often a yes of the first to the second was stored.
    pub fn consented(&self, of: &UserName, to: &UserName) -> u32 {
        let is_theirs = |(by, whom): &(UserId, UserId)| self.name(*by) == Some(of) && self.name(*whom) == Some(to);
        self.consented.iter().filter(|(key, _)| is_theirs(key)).map(|(_, count)| count).sum()
    }

    pub fn has_consents(&self) -> bool {
        !self.consents.is_empty()
    }

    pub fn has_account(&self, user: &UserName) -> bool {
        self.accounts.keys().any(|&id| self.name(id) == Some(user))
    }

    pub fn name(&self, user: UserId) -> Option<&UserName> {
        self.users.get(&user)
    }

    /// Whether the store would take these: a change that names a user nobody has fails its commit.
    fn accepts(&self, changes: &[Change]) -> bool {
        let mut new = BTreeSet::new();
        changes.iter().all(|change| {
            let users = match change {
                Change::User { id, .. } => {
                    new.insert(*id);
                    vec![]
                }
                Change::Message(message) => message.sender().into_iter().chain(message.recipient()).collect(),
                Change::Block { user, other, .. } => vec![*user, *other],
                Change::Consent { row, .. } => vec![row.of, row.to],
                Change::Device(row) => vec![row.user],
                Change::SourceKnown { user, .. }
                | Change::Arrived { user, .. }
                | Change::Account { user, .. }
                | Change::Retired { user } => vec![*user],
                _ => vec![],
            };
            users.iter().all(|user| self.users.contains_key(user) || new.contains(user))
        })
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::Secret(secret) => self.secret = Some(*secret),
            Change::User { id, name } => {
                self.users.insert(*id, name.clone());
            }
            Change::Account { user, account, .. } => {
                match account {
                    Some(account) => self.accounts.insert(*user, account.clone()),
                    None => self.accounts.remove(user),
                };
            }
            Change::Retired { user } => {
                self.retired.insert(*user);
            }
            Change::Message(message) => {
                self.last = self.last.max(message.number);
                let before = self.messages.insert(message.number, Arc::clone(message));
                assert!(before.is_none(), "the number {:?} was used before", message.number);
            }
            Change::Expired { number } => {
                self.expired.insert(*number);
            }
            Change::Block { user, other, shown } => {
                self.blocks.insert((*user, *other), *shown);
            }
            Change::Unblock { user, other, .. } => {
                self.blocks.remove(&(*user, *other));
            }
            Change::Consent { row, .. } => {
                self.consents.insert((row.of, row.to), *row);
                *self.consented.entry((row.of, row.to)).or_default() += 1;
            }
            Change::ConsentOver { row, revoked } => {
                self.consents.remove(&(row.of, row.to));
                if *revoked {
                    self.revoked.push(*row);
                }
            }
            Change::Device(row) => {
                let last = self.messages.keys().next_back().copied().unwrap_or_default();
                let since = self.devices.get(&(row.user, row.device)).map_or(last, |(_, since)| *since);
                self.devices.insert((row.user, row.device), (DeviceRow::clone(row), since));
            }
            Change::DeviceForgotten { user, device, shown } => {
                self.devices.remove(&(*user, *device));
                if *shown > Number(0) && self.users.contains_key(user) {
                    let highest = self.shown.entry(*user).or_default();
                    *highest = (*shown).max(*highest);
                }
            }
            Change::Tries(row) => {
                let key = (row.name.clone(), row.source.map(bytes_of));
                match row.failures == 0 && row.locked_until.is_none() {
                    true => self.tries.remove(&key),
                    false => self.tries.insert(key, row.clone()),
                };
            }
            Change::SourceKnown { user, source, time } => {
                self.sources.insert((*user, bytes_of(*source)), (*source, *time));
                assert!(self.sources.len() <= SOURCES_MAX, "the simulation has fewer sources");
            }
            Change::Arrived { user, .. } => {
                self.online.insert(*user);
            }
            Change::Left { user, .. } => {
                self.online.remove(user);
            }
            // Nothing is as old as that here.
            Change::Forget { .. } => {}
        }
    }

    /// For planted bugs.
    pub fn begin_locks_anew(&mut self) {
        for row in self.tries.values_mut().filter(|row| row.locked_until.is_some()) {
            row.locked_until = Some(WallTime::from_millis(u64::MAX));
        }
    }

    /// For planted bugs.
    pub fn forget_consents(&mut self) {
        self.consents.clear();
    }

    /// For planted bugs.
    pub fn bring_consents_back(&mut self) {
        let rows = self.revoked.drain(..).map(|row| ((row.of, row.to), row));
        self.consents.extend(rows);
    }

    /// For planted bugs.
    pub fn forget_accounts(&mut self) {
        self.accounts.clear();
    }

    /// For planted bugs.
    pub fn forget_tries(&mut self) {
        self.tries.clear();
    }

    /// For planted bugs.
    pub fn advance_cursors(&mut self) {
        let last = self.last;
        self.devices.values_mut().for_each(|(row, _)| row.cursor = last);
    }

    pub fn snapshot(&self) -> Snapshot {
        let lowest = |user: UserId| {
            self.devices
                .range((user, DeviceId::from_bytes([0; 16]))..)
                .map_while(|(key, (row, _))| (key.0 == user).then_some(row.cursor))
                .min()
        };
        let lowest_of_all = self.devices.values().map(|(row, _)| row.cursor).min();
        let waits = |message: &Arc<Message>| match message.recipient() {
            Some(user) => {
                let above = lowest(user).or(self.shown.get(&user).copied());
                !self.expired.contains(&message.number) && above.is_none_or(|above| message.number > above)
            }
            None => false,
        };
        let mut waiting: Vec<Arc<Message>> = self.messages.values().filter(|message| waits(message)).cloned().collect();
        assert!(waiting.len() <= MAILBOX_MESSAGES_MAX, "the simulation has fewer messages");
        let broadcasts = self.messages.values().rev().filter(|message| message.recipient().is_none());
        let broadcasts = broadcasts.filter(|message| lowest_of_all.is_some_and(|cursor| message.number > cursor));
        waiting.extend(broadcasts.take(BROADCASTS_MAX).cloned());
        waiting.sort_by_key(|message| message.number);
        let mut sends = Vec::new();
        for (row, since) in self.devices.values() {
            let mut of_device: Vec<PastSend> = self
                .messages
                .range(since.next()..)
                .filter_map(|(_, message)| {
                    let origin = message.origin.filter(|origin| origin.device == row.device)?;
                    (message.sender() == Some(row.user)).then(|| PastSend {
                        user: row.user,
                        origin,
                        number: message.number,
                        to: message.to.clone(),
                        text: message.text.clone(),
                    })
                })
                .collect();
            of_device.sort_by_key(|send| send.origin.counter);
            sends.extend(of_device.split_off(of_device.len().saturating_sub(RESULTS_MAX)));
        }
        let mut tries: Vec<TriesRow> = self.tries.values().cloned().collect();
        tries.sort_by_key(|row| (row.name.clone(), row.source.map(bytes_of).unwrap_or_default()));
        Snapshot {
            secret: self.secret,
            users: self.users.iter().map(|(&id, name)| (id, name.clone())).collect(),
            retired: self.retired.iter().copied().collect(),
            accounts: self.accounts.iter().map(|(&id, account)| (id, account.clone())).collect(),
            blocks: self.blocks.iter().map(|(&(user, other), &shown)| (user, other, shown)).collect(),
            consents: self.consents.values().copied().collect(),
            devices: self.devices.values().map(|(row, _)| row.clone()).collect(),
            shown: self.shown.iter().map(|(&user, &number)| (user, number)).collect(),
            tries,
            sources: self.sources.iter().map(|(key, &(source, time))| (key.0, source, time)).collect(),
            waiting,
            sends,
            online: self.online.iter().copied().collect(),
            last: self.last,
        }
    }
}

fn bytes_of(source: Source) -> Vec<u8> {
    match source.address() {
        std::net::IpAddr::V4(v4) => v4.octets().to_vec(),
        std::net::IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

enum Order {
    Batch(Batch),
    Resume,
}

/// What the disk tells the server.
#[derive(Clone, Debug)]
pub enum Told {
    Persisted { through: u64 },
    Failed { first: u64 },
}

/// The writer and what it has written.
pub struct Disk {
    pub fold: Fold,
    /// For planted bugs: what there was before the last commit.
    pub before: Option<Fold>,
    /// Every batch that was committed, in order.
    pub committed: Vec<Arc<[Change]>>,
    orders: VecDeque<Order>,
    failed: bool,
    group: Option<(Time, Vec<Batch>)>,
    pub told: VecDeque<Told>,
    pub latency: Time,
    /// Nothing is committed before then.
    pub stalled_until: Time,
    /// Every commit fails until then.
    pub failing_until: Time,
    pub fired: Fired,
}

impl Disk {
    pub fn new(fold: Fold, latency: Time) -> Disk {
        Disk {
            fold,
            before: None,
            committed: Vec::new(),
            orders: VecDeque::new(),
            failed: false,
            group: None,
            told: VecDeque::new(),
            latency,
            stalled_until: 0,
            failing_until: 0,
            fired: Fired::default(),
        }
    }

    pub fn submit(&mut self, dice: &mut Dice, now: Time, batch: Batch) {
        self.orders.push_back(Order::Batch(batch));
        self.begin(dice, now);
    }

    pub fn resume(&mut self, dice: &mut Dice, now: Time) {
        self.orders.push_back(Order::Resume);
        self.begin(dice, now);
    }

    /// When the group that is being written is done.
    pub fn busy_until(&self) -> Option<Time> {
        self.group.as_ref().map(|(at, _)| (*at).max(self.stalled_until))
    }

    fn begin(&mut self, dice: &mut Dice, now: Time) {
        while self.group.is_none() {
            match self.orders.pop_front() {
                None => return,
                Some(Order::Resume) => self.failed = false,
                Some(Order::Batch(_)) if self.failed => {}
                Some(Order::Batch(batch)) => {
                    let mut group = vec![batch];
                    while let Some(Order::Batch(_)) = self.orders.front() {
                        let Some(Order::Batch(batch)) = self.orders.pop_front() else { break };
                        group.push(batch);
                    }
                    self.group = Some((now + dice.range(self.latency / 4, self.latency + 1) + 20, group));
                }
            }
        }
    }

    /// The group is done, one way or the other.
    pub fn finish(&mut self, dice: &mut Dice, now: Time, commit_failed: bool) {
        let Some((_, group)) = self.group.take() else { return };
        let (first, through) = (group[0].number, group[group.len() - 1].number);
        if now < self.failing_until || !self.commit(&group) {
            if commit_failed {
                self.commit(&group);
            }
            self.fired.note(Fault::FailedCommit);
            self.failed = true;
            self.told.push_back(Told::Failed { first });
        } else {
            self.told.push_back(Told::Persisted { through });
        }
        self.begin(dice, now + MS / 10);
    }

    fn commit(&mut self, group: &[Batch]) -> bool {
        let changes: Vec<Change> = group.iter().flat_map(|batch| batch.changes.iter().cloned()).collect();
        if !self.fold.accepts(&changes) {
            return false;
        }
        if let Some(before) = &mut self.before {
            before.clone_from(&self.fold);
        }
        changes.iter().for_each(|change| self.fold.apply(change));
        self.committed.extend(group.iter().map(|batch| Arc::clone(&batch.changes)));
        true
    }

    /// The process is gone. What was being written is there as a whole or not at all.
    /// Comes back: up to which batch everything is there, beside those that failed.
    pub fn killed(&mut self, dice: &mut Dice, now: Time) -> Option<u64> {
        let mut through = self.last_persisted();
        let (mut lost, is_writing) = (!self.orders.is_empty(), self.group.is_some());
        if through.is_some() {
            self.fired.note(Fault::UnheardCommit);
        }
        if let Some((_, group)) = self.group.take()
            && now >= self.failing_until
            && dice.one_in(2)
            && self.commit(&group)
        {
            through = group.last().map(|batch| batch.number);
            self.fired.note(Fault::UnheardCommit);
        } else {
            lost |= is_writing;
        }
        if lost {
            self.fired.note(Fault::LostCommit);
        }
        self.orders.clear();
        self.told.clear();
        self.failed = false;
        through
    }

    /// What the server has not been told yet.
    fn last_persisted(&self) -> Option<u64> {
        self.told.iter().rev().find_map(|told| match told {
            Told::Persisted { through } => Some(*through),
            Told::Failed { .. } => None,
        })
    }

    /// An orderly end: what was submitted is written.
    pub fn closed(&mut self, dice: &mut Dice, now: Time) -> Option<u64> {
        while self.group.is_some() {
            self.finish(dice, now, false);
        }
        let through = self.last_persisted();
        self.orders.clear();
        self.told.clear();
        self.failed = false;
        through
    }

    pub fn has(&self, number: Number, text: &str) -> bool {
        self.fold.messages.get(&number).is_some_and(|message| message.text.as_str() == text)
    }
}
