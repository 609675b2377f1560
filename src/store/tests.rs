//! The store as its owner sees it: what is given back after a restart, groups, failures, the directory, history.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::hub::change::{AWAY, Account, ConsentRow, DeviceRow, PastSend, TriesRow};
use crate::hub::delivery::BROADCASTS_MAX;
use crate::hub::id::{ConnectionId, DeviceId, Number, Source, UserId};
use crate::hub::lockout::SOURCES_MAX;
use crate::hub::message::{Line, Message, Origin, Recipient, Sender as From};
use crate::hub::name::UserName;
use crate::hub::scram::{StoredKeys, Verifier};
use crate::hub::seal::Sealed;
use crate::hub::sends::RESULTS_MAX;
use crate::hub::text::Text;
use crate::hub::time::{LocalTime, WallTime};

/// No test waits longer for anything.
const LIMIT: Duration = Duration::from_secs(20);

const NAMES: [&str; 4] = ["Ann", "bob", "Cy", "dee"];
const ANN: UserId = UserId(0);
const BOB: UserId = UserId(1);
const CY: UserId = UserId(2);

/// A running store, and a way to wait for its completions.
struct Running {
    store: Store,
    notified: Receiver<()>,
    number: u64,
}

impl Running {
    fn new(opened: Opened) -> Running {
        let (notify, notified) = mpsc::channel();
        let store = opened.start(move || _ = notify.send(())).unwrap();
        Running { store, notified, number: 0 }
    }

    fn open(dir: &Path) -> (Running, Snapshot) {
        Running::with(dir, Hooks::default())
    }

    fn with(dir: &Path, hooks: Hooks) -> (Running, Snapshot) {
        let (opened, snapshot) = Store::open(dir, Durability::Process, hooks).unwrap();
        (Running::new(opened), snapshot)
    }

    fn submit(&mut self, changes: impl Into<Arc<[Change]>>) -> Submitted {
        self.number += 1;
        self.store.submit(Batch { number: self.number, changes: changes.into() })
    }

    /// Waits for the next completion; there must be no second one by then.
    fn next(&mut self) -> Completion {
        self.notified.recv_timeout(LIMIT).expect("a completion in time");
        self.store.completions().next().expect("what was notified of")
    }

    fn keep(&mut self, changes: impl Into<Arc<[Change]>>) {
        if self.submit(changes) == Submitted::Pending {
            let through = self.number;
            assert_eq!(self.next(), Completion::Persisted { through });
        }
    }

    fn history(&mut self, query: HistoryQuery) -> HistoryPage {
        self.store.query(Ticket(7), query);
        match self.next() {
            Completion::Page { ticket: Ticket(7), page: Some(page) } => page,
            other => panic!("not a page: {other:?}"),
        }
    }
}

/// The disk's part, played by the test: each commit is announced and waits for its outcome.
struct Disk {
    commits: Receiver<RangeInclusive<u64>>,
    outcomes: Sender<Result<(), String>>,
}

impl Disk {
    fn new() -> (Disk, Hooks) {
        let (announce, commits) = mpsc::channel();
        let (outcomes, outcome) = mpsc::channel();
        let before_commit: BeforeCommit = Box::new(move |range| {
            announce.send(range).map_err(|_| "the test is over".to_owned())?;
            outcome.recv_timeout(LIMIT).map_err(|error| error.to_string())?
        });
        (Disk { commits, outcomes }, Hooks { before_commit: Some(before_commit) })
    }

    fn commit(&self) -> RangeInclusive<u64> {
        self.commits.recv_timeout(LIMIT).expect("a commit in time")
    }

    fn finish(&self, outcome: Result<(), &str>) {
        self.outcomes.send(outcome.map_err(str::to_owned)).unwrap();
    }
}

fn name(id: UserId) -> UserName {
    UserName::parse(NAMES[id.0 as usize]).unwrap()
}

fn users() -> Vec<Change> {
    (0..NAMES.len() as u32).map(|id| Change::User { id: UserId(id), name: name(UserId(id)) }).collect()
}

fn time(millis: u64) -> WallTime {
    WallTime::from_millis(millis)
}

/// `None` is the server as a sender, and everyone as a recipient.
fn message(number: u64, from: Option<UserId>, to: Option<UserId>) -> Message {
    Message {
        number: Number(number),
        time: time(1000 + number),
        local: LocalTime::from_number(20_240_101_000_000 + number),
        from: from.map_or(From::Server, |id| From::User(id, name(id))),
        to: to.map_or(Recipient::Everyone, |id| Recipient::User(id, name(id))),
        text: Text::parse(&format!("text {number}\n\u{202e}é")).unwrap(),
        origin: None,
    }
}

fn accepted(message: Message) -> Change {
    Change::Message(Arc::new(message))
}

fn device_id(byte: u8) -> DeviceId {
    DeviceId::from_bytes([byte; 16])
}

fn device(user: UserId, byte: u8, cursor: u64) -> DeviceRow {
    DeviceRow { user, device: device_id(byte), cursor: Number(cursor), absences: vec![], seen: time(5), token: None }
}

fn known(row: DeviceRow) -> Change {
    Change::Device(Box::new(row))
}

fn sent(number: u64, from: UserId, to: Option<UserId>, byte: u8, counter: u64) -> Message {
    Message { origin: Some(Origin { device: device_id(byte), counter }), ..message(number, Some(from), to) }
}

fn past(message: &Message) -> PastSend {
    PastSend {
        user: message.sender().unwrap(),
        origin: message.origin.unwrap(),
        number: message.number,
        to: message.to.clone(),
        text: message.text.clone(),
    }
}

fn source(text: &str) -> Source {
    Source::of(text.parse().unwrap())
}

fn own(viewer: UserId) -> HistoryQuery {
    HistoryQuery { viewer, with: None, before: None, limit: 100, blocked: Arc::new([]) }
}

/// What a store gives back that was given these batches before.
fn reopened(batches: &[Vec<Change>]) -> Snapshot {
    let dir = TempDir::new().unwrap();
    let (mut running, snapshot) = Running::open(dir.path());
    assert_eq!(snapshot, Snapshot::default());
    for batch in batches {
        running.keep(batch.clone());
    }
    running.store.close();
    Store::open(dir.path(), Durability::Full, Hooks::default()).unwrap().1
}

fn base() -> Snapshot {
    let users = (0..NAMES.len() as u32).map(|id| (UserId(id), name(UserId(id)))).collect();
    Snapshot { users, ..Snapshot::default() }
}

// What is given back after a restart.

#[test]
fn a_secret_and_users_come_back_as_spelled() {
    let snapshot = reopened(&[users(), vec![Change::Secret([9; 32])]]);
    assert_eq!(snapshot, Snapshot { secret: Some([9; 32]), ..base() });
    assert_eq!(snapshot.users[0].1.as_str(), "Ann");
}

fn account(seed: u8, sealed: Option<&[u8]>) -> Account {
    let keys = StoredKeys { stored_key: [seed; 32], server_key: [seed + 1; 32] };
    let verifier = Arc::new(Verifier { salt: [seed + 2; 16], iterations: 4096 + u32::from(seed), keys });
    Account { verifier, sealed: sealed.map(|bytes| Sealed::from_bytes(bytes.to_vec())), hashed: seed % 2 == 1 }
}

#[test]
fn accounts_come_back_as_last_told_until_they_are_gone() {
    let put = |user, account: Option<Account>| Change::Account { user, account, before: None };
    let snapshot = reopened(&[
        users(),
        vec![put(BOB, Some(account(1, None))), put(ANN, Some(account(5, None))), put(CY, Some(account(9, None)))],
        vec![put(BOB, Some(account(13, Some(b"sealed")))), put(CY, None)],
    ]);
    let accounts = vec![(ANN, account(5, None)), (BOB, account(13, Some(b"sealed")))];
    assert_eq!(snapshot, Snapshot { accounts, ..base() });
}

#[test]
fn a_retired_name_is_free_and_its_messages_still_bear_it() {
    let dir = TempDir::new().unwrap();
    let (mut running, _) = Running::open(dir.path());
    running.keep(users());
    running.keep(vec![accepted(message(1, Some(BOB), Some(ANN))), Change::Retired { user: BOB }]);
    let another = UserId(NAMES.len() as u32);
    running.keep(vec![Change::User { id: another, name: name(BOB) }, Change::Retired { user: BOB }]);
    let page = running.history(own(ANN));
    assert_eq!(page.messages[0].from, From::User(BOB, name(BOB)));
    running.store.close();
    let snapshot = Store::open(dir.path(), Durability::Full, Hooks::default()).unwrap().1;
    let mut users = base().users;
    users.push((another, name(BOB)));
    assert_eq!((snapshot.users, snapshot.retired), (users, vec![BOB]));
}

#[test]
fn a_guest_s_messages_bear_their_name_and_nothing_waits_for_them() {
    let dir = TempDir::new().unwrap();
    let (mut running, _) = Running::open(dir.path());
    running.keep(vec![Change::User { id: ANN, name: name(ANN) }]);
    let never = Change::DeviceForgotten { user: BOB, device: DeviceId::NICK, shown: AWAY };
    let guest = vec![Change::User { id: BOB, name: name(BOB) }, Change::Retired { user: BOB }, never];
    let messages = [message(1, Some(BOB), Some(ANN)), message(2, Some(ANN), Some(BOB))];
    running.keep([guest, messages.iter().cloned().map(accepted).collect()].concat());
    assert_eq!(running.history(own(ANN)).messages, messages.clone().map(Arc::new));
    running.store.close();
    let snapshot = Store::open(dir.path(), Durability::Full, Hooks::default()).unwrap().1;
    let expected = Snapshot {
        users: [ANN, BOB].map(|id| (id, name(id))).to_vec(),
        retired: vec![BOB],
        shown: vec![(BOB, AWAY)],
        waiting: vec![Arc::new(messages[0].clone())],
        last: Number(2),
        ..Snapshot::default()
    };
    assert_eq!(snapshot, expected);
}

#[test]
fn a_database_of_the_first_version_becomes_one_of_the_newest() {
    let mut connection = Connection::open_in_memory().unwrap();
    open::migrate(&mut connection, 0, &open::MIGRATIONS[..1]).unwrap();
    users().iter().for_each(|change| apply::apply(&connection, change).unwrap());
    open::migrate(&mut connection, 1, &open::MIGRATIONS).unwrap();
    assert_eq!(snapshot::read(&connection).unwrap(), base());
}

/// What takes a database back to how it was before the steps of MIGRATIONS from the third on, the last one first. Their tables are
/// lost, and so are their columns.
const BACK: [(u32, &str); 2] = [
    (
        3,
        "DROP VIEW kept;
         ALTER TABLE messages DROP COLUMN local;
         ALTER TABLE accounts DROP COLUMN hashed;
         CREATE VIEW kept AS
             SELECT number, time, sender, recipient, text, device, counter, expired FROM messages
             WHERE NOT EXISTS (SELECT 1 FROM forgetting WHERE messages.time < before AND messages.number <= through);
         PRAGMA user_version = 3",
    ),
    (2, "DROP TABLE consents; PRAGMA user_version = 2"),
];

/// Takes a database back to this version.
fn take_back(connection: &Connection, version: u32) {
    for (_, step) in BACK.iter().filter(|&&(before, _)| before >= version) {
        connection.execute_batch(step).unwrap();
    }
}

/// A database of the newest version that was of this one, with these changes made before.
fn grown_up_from(version: u32, before: &[Change]) -> Connection {
    let mut connection = Connection::open_in_memory().unwrap();
    open::migrate(&mut connection, 0, &open::MIGRATIONS).unwrap();
    before.iter().for_each(|change| apply::apply(&connection, change).unwrap());
    take_back(&connection, version);
    open::migrate(&mut connection, version, &open::MIGRATIONS).unwrap();
    connection
}

#[test]
fn what_takes_a_database_back_undoes_its_migrations() {
    let columns = |connection: &Connection| {
        let sql = "SELECT m.name, c.name FROM sqlite_schema m, pragma_table_info(m.name) c ORDER BY 1, c.cid";
        let mut statement = connection.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.collect::<Result<Vec<(String, String)>, _>>().unwrap()
    };
    for (version, _) in BACK {
        let [mut taken_back, mut grown] = [(); 2].map(|()| Connection::open_in_memory().unwrap());
        open::migrate(&mut taken_back, 0, &open::MIGRATIONS).unwrap();
        take_back(&taken_back, version);
        open::migrate(&mut grown, 0, &open::MIGRATIONS[..version as usize]).unwrap();
        assert_eq!(columns(&taken_back), columns(&grown), "version {version}");
    }
}

#[test]
fn a_database_from_before_consents_can_keep_them_and_loses_nothing() {
    let put = Change::Account { user: ANN, account: Some(account(2, Some(b"sealed"))), before: None };
    let block = Change::Block { user: BOB, other: CY, shown: Number(3) };
    let before = [users(), vec![Change::Secret([9; 32]), put, block, known(device(ANN, 1, 5))]].concat();
    let connection = grown_up_from(2, &before);
    let expected = Snapshot {
        secret: Some([9; 32]),
        accounts: vec![(ANN, account(2, Some(b"sealed")))],
        blocks: vec![(BOB, CY, Number(3))],
        devices: vec![device(ANN, 1, 5)],
        ..base()
    };
    assert_eq!(snapshot::read(&connection).unwrap(), expected);
    apply::apply(&connection, &consent(consented(BOB, ANN, 7))).unwrap();
    let consents = vec![consented(BOB, ANN, 7)];
    assert_eq!(snapshot::read(&connection).unwrap(), Snapshot { consents, ..expected });
}

#[test]
fn a_message_from_before_local_times_stands_under_that_of_utc() {
    let connection = grown_up_from(3, &[users(), vec![accepted(message(1, Some(BOB), Some(ANN)))]].concat());
    let waiting = snapshot::read(&connection).unwrap().waiting;
    // 1001 milliseconds after 1970-01-01 00:00 UTC.
    let local = LocalTime::from_number(19_700_101_000_001);
    assert_eq!(waiting, [Arc::new(Message { local, ..message(1, Some(BOB), Some(ANN)) })]);
}

#[test]
fn a_directory_from_before_consents_is_brought_up_to_date() {
    let dir = TempDir::new().unwrap();
    let (mut running, _) = Running::open(dir.path());
    running.keep(users());
    running.store.close();
    let raw = Connection::open(dir.path().join("chatd.sqlite3")).unwrap();
    take_back(&raw, 2);
    drop(raw);
    let (mut running, snapshot) = Running::open(dir.path());
    assert_eq!(snapshot, base());
    running.keep([consent(consented(BOB, ANN, 7))]);
    running.store.close();
    let snapshot = Store::open(dir.path(), Durability::Full, Hooks::default()).unwrap().1;
    assert_eq!(snapshot.consents, [consented(BOB, ANN, 7)]);
}

fn consented(of: UserId, to: UserId, until: u64) -> ConsentRow {
    ConsentRow { of, to, until: time(until) }
}

/// What it replaces and who waits for it is not for the store.
fn consent(row: ConsentRow) -> Change {
    let before = Some(consented(row.of, row.to, 1));
    Change::Consent { row, before, waits: ConnectionId { slot: 7, generation: 7 } }
}

#[test]
fn consents_come_back_as_last_told_until_they_are_over() {
    let over = |row, revoked| Change::ConsentOver { row, revoked };
    let snapshot = reopened(&[
        users(),
        vec![
            consent(consented(CY, ANN, 300)),
            consent(consented(BOB, ANN, 100)),
            consent(consented(ANN, BOB, 200)),
            consent(consented(ANN, CY, 400)),
            consent(consented(BOB, CY, 400)),
        ],
        // By whom and for whom it is says which; until when it would have been does not.
        vec![over(consented(CY, ANN, 1), true), over(consented(ANN, CY, 400), false)],
        vec![over(consented(ANN, CY, 400), false), over(consented(CY, BOB, 1), true)],
        vec![over(consented(BOB, CY, 400), true), consent(consented(BOB, CY, 500))],
        vec![consent(consented(BOB, ANN, 50))],
    ]);
    let consents = vec![consented(ANN, BOB, 200), consented(BOB, ANN, 50), consented(BOB, CY, 500)];
    assert_eq!(snapshot, Snapshot { consents, ..base() });
}

#[test]
fn a_consent_by_or_for_nobody_does_not_fit() {
    let nobody = UserId(77);
    for row in [consented(nobody, ANN, 1), consented(ANN, nobody, 1)] {
        let dir = TempDir::new().unwrap();
        let (mut running, _) = Running::open(dir.path());
        running.keep(users());
        running.submit([consent(row)]);
        assert!(matches!(running.next(), Completion::Failed { first: 2, .. }));
    }
}

#[test]
fn blocks_come_back_until_they_are_lifted() {
    let block = |user, other, shown| Change::Block { user, other, shown: Number(shown) };
    let lift = |user, other, shown| Change::Unblock { user, other, shown: Number(shown) };
    let snapshot = reopened(&[
        users(),
        vec![block(BOB, ANN, 3), block(ANN, CY, 4), block(ANN, BOB, 0)],
        vec![lift(ANN, CY, 4), lift(BOB, ANN, 3), block(BOB, ANN, 7)],
    ]);
    assert_eq!(snapshot, Snapshot { blocks: vec![(ANN, BOB, Number(0)), (BOB, ANN, Number(7))], ..base() });
}

#[test]
fn devices_come_back_as_last_told_until_they_are_forgotten() {
    let old = device(ANN, 1, 3);
    let new = DeviceRow {
        cursor: Number(8),
        absences: vec![(Number(3), Number(5)), (Number(6), AWAY)],
        seen: time(77),
        token: Some(StoredKeys { stored_key: [4; 32], server_key: [5; 32] }),
        ..old.clone()
    };
    let gone = Change::DeviceForgotten { user: BOB, device: device_id(2), shown: Number(0) };
    let snapshot = reopened(&[users(), vec![known(old), known(device(BOB, 2, 0))], vec![known(new.clone()), gone]]);
    assert_eq!(snapshot, Snapshot { devices: vec![new], ..base() });
}

#[test]
fn tries_come_back_per_source_and_over_all_until_they_are_naught() {
    let row = |name: &str, source, failures| TriesRow {
        name: name.into(),
        source,
        failures,
        last: time(50),
        locked_until: (failures > 2).then_some(time(60_050)),
    };
    let (v4, v6) = (Some(source("10.0.0.1")), Some(source("2001:db8::1")));
    let first = [row("ann", None, 1), row("ann", v4, 1), row("ann", v6, 2), row("nobody", v4, 1)];
    let second = [row("ann", None, 4), row("ann", v4, 3), row("nobody", v4, 0)];
    let snapshot = reopened(&[
        users(),
        first.iter().cloned().map(Change::Tries).collect(),
        second.iter().cloned().map(Change::Tries).collect(),
    ]);
    let tries = vec![second[0].clone(), second[1].clone(), first[2].clone()];
    assert_eq!(snapshot, Snapshot { tries, ..base() });
}

#[test]
fn only_the_newest_sources_of_a_user_come_back() {
    let at = |i: u8| source(&format!("10.0.0.{i}"));
    let succeeded = |i: u8, millis| Change::SourceKnown { user: ANN, source: at(i), time: time(millis) };
    let most = SOURCES_MAX as u8;
    let mut changes: Vec<_> = (1..=most).map(|i| succeeded(i, 100 + u64::from(i))).collect();
    // The first is used again, so the second is the oldest; the newcomer's clock has gone back.
    changes.extend([succeeded(1, 500), succeeded(200, 1)]);
    changes.push(Change::SourceKnown { user: BOB, source: at(1), time: time(1) });
    let snapshot = reopened(&[users(), changes]);
    let mut sources = vec![(ANN, at(1), time(500))];
    sources.extend((3..=most).map(|i| (ANN, at(i), time(100 + u64::from(i)))));
    sources.extend([(ANN, at(200), time(1)), (BOB, at(1), time(1))]);
    assert_eq!(snapshot, Snapshot { sources, ..base() });
}

#[test]
fn whoever_arrived_and_did_not_leave_was_online() {
    let arrived = |user, first| Change::Arrived { user, first: Number(first) };
    let left = |user, last| Change::Left { user, last: Number(last) };
    let snapshot = reopened(&[
        users(),
        vec![arrived(ANN, 1), arrived(BOB, 1), left(ANN, 0), arrived(ANN, 1), arrived(CY, 1), left(CY, 9)],
    ]);
    assert_eq!(snapshot, Snapshot { online: vec![ANN, BOB], ..base() });
}

#[test]
fn a_visit_during_which_nothing_was_said_leaves_no_row() {
    let mut connection = Connection::open_in_memory().unwrap();
    open::migrate(&mut connection, 0, &open::MIGRATIONS).unwrap();
    users().iter().for_each(|change| apply::apply(&connection, change).unwrap());
    for (first, last) in [(1, 0), (1, 4), (5, 4)] {
        apply::apply(&connection, &Change::Arrived { user: ANN, first: Number(first) }).unwrap();
        apply::apply(&connection, &Change::Left { user: ANN, last: Number(last) }).unwrap();
    }
    let mut visits = connection.prepare("SELECT first, last FROM attendance").unwrap();
    let visits = visits.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    assert_eq!(visits.collect::<Result<Vec<(i64, i64)>, _>>(), Ok(vec![(1, 4)]));
}

#[test]
fn what_is_above_a_cursor_and_not_expired_waits() {
    let messages = [
        message(1, Some(BOB), Some(ANN)),
        message(2, Some(BOB), Some(ANN)),
        message(3, Some(ANN), Some(BOB)),
        message(4, Some(ANN), None),
        message(6, None, Some(ANN)),
        message(7, None, None),
        message(8, Some(ANN), Some(ANN)),
    ];
    let log: Vec<_> = messages.iter().cloned().map(accepted).collect();
    let waiting = |places: &[usize]| places.iter().map(|&i| Arc::new(messages[i].clone())).collect();
    let expired = vec![Change::Expired { number: Number(6) }];

    // Bob has no device, so all that is for him waits; without any device no broadcast does.
    let snapshot = reopened(&[users(), log.clone(), expired.clone()]);
    assert_eq!(snapshot, Snapshot { waiting: waiting(&[0, 1, 2, 6]), last: Number(8), ..base() });

    let devices = vec![device(ANN, 1, 1), device(ANN, 2, 6), device(BOB, 3, 4)];
    let mut changes = log;
    changes.extend(devices.iter().cloned().map(known));
    let snapshot = reopened(&[users(), changes, expired]);
    assert_eq!(snapshot, Snapshot { waiting: waiting(&[1, 3, 5, 6]), last: Number(8), devices, ..base() });
}

#[test]
fn what_a_forgotten_device_has_shown_waits_no_more() {
    let forgotten = |user, byte, shown| Change::DeviceForgotten { user, device: device_id(byte), shown: Number(shown) };
    let messages = [1, 2, 3].map(|number| message(number, Some(ANN), Some(BOB)));
    let also = message(4, Some(BOB), Some(ANN));
    let mut log: Vec<_> = messages.iter().chain([&also]).cloned().map(accepted).collect();
    log.extend([
        known(device(BOB, 1, 2)),
        known(device(BOB, 2, 1)),
        known(device(ANN, 3, 3)),
        known(device(ANN, 4, 4)),
    ]);
    // A number never falls; Ann still has the device that has not shown the last one.
    let gone = vec![forgotten(BOB, 1, 2), forgotten(ANN, 4, 4), forgotten(BOB, 2, 1)];
    let snapshot = reopened(&[users(), log, gone, users()]);
    let waiting = [&messages[2], &also].map(|message| Arc::new(message.clone()));
    let expected = Snapshot {
        waiting: waiting.to_vec(),
        shown: vec![(ANN, Number(4)), (BOB, Number(2))],
        devices: vec![device(ANN, 3, 3)],
        last: Number(4),
        ..base()
    };
    assert_eq!(snapshot, expected);
}

#[test]
fn of_what_waits_for_one_user_the_newest_comes_back() {
    let most = snapshot::WAITING_MAX as u64;
    let log = (1..=most + 5).map(|number| accepted(message(number, Some(ANN), Some(BOB)))).collect();
    let snapshot = reopened(&[users(), log]);
    let numbers: Vec<_> = snapshot.waiting.iter().map(|message| message.number.0).collect();
    assert_eq!(numbers, (6..=most + 5).collect::<Vec<_>>());
}

#[test]
fn the_newest_broadcasts_wait() {
    let most = BROADCASTS_MAX as u64;
    let log = (1..=most + 5).map(|number| accepted(message(number, Some(ANN), None))).collect();
    let snapshot = reopened(&[users(), vec![known(device(BOB, 1, 2))], log]);
    let numbers: Vec<_> = snapshot.waiting.iter().map(|message| message.number.0).collect();
    assert_eq!(numbers, (6..=most + 5).collect::<Vec<_>>());
}

#[test]
fn the_sends_with_the_highest_counters_come_back_by_rising_counter() {
    let most = RESULTS_MAX as u64;
    // The last send in the log has not the highest counter.
    let mut counters: Vec<u64> = (1..=most).collect();
    counters.extend([u64::MAX, most + 2, most + 1]);
    let log: Vec<_> = (1..).zip(&counters).map(|(number, &counter)| sent(number, ANN, None, 1, counter)).collect();
    let other = sent(900, BOB, Some(CY), 1, 5);
    let changes = log.iter().chain([&other]).cloned().map(accepted);
    let devices = [device(ANN, 1, 999), device(BOB, 1, 999)];
    let snapshot = reopened(&[users(), devices.iter().cloned().map(known).collect(), changes.collect()]);

    counters.sort();
    let newest = &counters[counters.len() - most as usize..];
    let find = |counter: &u64| past(log.iter().find(|m| m.origin.unwrap().counter == *counter).unwrap());
    let mut sends: Vec<_> = newest.iter().map(find).collect();
    sends.push(past(&other));
    assert_eq!(snapshot.sends, sends);
}

#[test]
fn a_device_that_was_forgotten_begins_anew() {
    let forgotten = Change::DeviceForgotten { user: ANN, device: device_id(1), shown: Number(0) };
    let again = sent(2, ANN, None, 1, 1);
    let snapshot = reopened(&[
        users(),
        vec![known(device(ANN, 1, 9)), accepted(sent(1, ANN, None, 1, 400)), forgotten.clone()],
        vec![known(device(ANN, 1, 9)), accepted(again.clone())],
        vec![known(device(ANN, 1, 10))],
    ]);
    assert_eq!(snapshot.sends, [past(&again)]);
    let gone = reopened(&[users(), vec![known(device(ANN, 1, 9)), accepted(again)], vec![forgotten]]);
    assert_eq!(gone.sends, []);
}

#[test]
fn old_history_goes_step_by_step_and_its_numbers_are_not_used_again() {
    let dir = TempDir::new().unwrap();
    let (mut running, _) = Running::open(dir.path());
    let count = 3 * forget::ROWS_PER_STEP_MAX as u64 + 7;
    running.keep(users());
    running.keep([Change::Arrived { user: BOB, first: Number(1) }, Change::Left { user: BOB, last: Number(count) }]);
    running.keep((1..=count).map(|number| accepted(message(number, Some(ANN), None))).collect::<Vec<_>>());
    running.keep([Change::Forget { before: time(1000 + count + 1) }]);
    // Hidden at once, though the rows are deleted later.
    assert_eq!(running.history(own(ANN)), HistoryPage::default());
    // The clock went back: what comes now is not meant.
    let late = Message { time: time(5), ..message(count + 1, Some(ANN), Some(BOB)) };
    running.keep([accepted(late.clone())]);
    assert_eq!(running.history(own(BOB)).messages, [Arc::new(late.clone())]);
    running.keep([Change::Forget { before: time(6) }]);
    running.store.close();

    // What a close interrupted goes on after the next start.
    let (mut running, snapshot) = Running::open(dir.path());
    assert_eq!(snapshot, Snapshot { last: Number(count + 1), ..base() });
    while running.store_is_forgetting(dir.path()) {
        running.keep([]);
    }
    running.store.close();
    let raw = Connection::open(dir.path().join("chatd.sqlite3")).unwrap();
    for table in ["messages", "attendance", "forgetting"] {
        let rows = raw.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(rows, 0, "{table}");
    }
    drop(raw);
    assert_eq!(Running::open(dir.path()).1.last, Number(count + 1));
}

impl Running {
    fn store_is_forgetting(&self, dir: &Path) -> bool {
        forget::pending(&Connection::open(dir.join("chatd.sqlite3")).unwrap()).unwrap()
    }
}

#[test]
fn one_step_of_forgetting_is_bounded() {
    let mut connection = Connection::open_in_memory().unwrap();
    open::migrate(&mut connection, 0, &open::MIGRATIONS).unwrap();
    let count = forget::ROWS_PER_STEP_MAX as u64 + 2;
    users().iter().for_each(|change| apply::apply(&connection, change).unwrap());
    for number in 1..=count {
        apply::apply(&connection, &accepted(message(number, Some(ANN), None))).unwrap();
    }
    apply::apply(&connection, &Change::Forget { before: time(1000 + count) }).unwrap();
    let left = || connection.query_row("SELECT count(*) FROM messages", [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(left(), count as i64);
    assert!(forget::step(&connection).unwrap());
    assert_eq!(left(), 2);
    assert!(!forget::step(&connection).unwrap());
    assert_eq!(left(), 1, "the newest is not old enough");
}

// Groups and failures.

#[test]
fn what_waits_is_committed_together() {
    let dir = TempDir::new().unwrap();
    let (disk, hooks) = Disk::new();
    let (mut running, _) = Running::with(dir.path(), hooks);
    running.submit(users());
    assert_eq!(disk.commit(), 1..=1);
    for number in 1..=100 {
        assert_eq!(running.submit([accepted(message(number, Some(ANN), Some(BOB)))]), Submitted::Pending);
    }
    assert_eq!(running.store.completions().next(), None, "the disk stalls, so nothing is persisted");
    disk.finish(Ok(()));
    assert_eq!(running.next(), Completion::Persisted { through: 1 });
    assert_eq!(disk.commit(), 2..=101);
    disk.finish(Ok(()));
    assert_eq!(running.next(), Completion::Persisted { through: 101 });
    assert_eq!(running.store.close(), []);
    assert!(disk.commits.try_recv().is_err(), "two commits and no more");
    assert_eq!(Running::open(dir.path()).1.waiting.len(), 100);
}

#[test]
fn a_failed_group_leaves_nothing_and_later_batches_wait_for_resume() {
    let dir = TempDir::new().unwrap();
    let (disk, hooks) = Disk::new();
    let (mut running, _) = Running::with(dir.path(), hooks);
    let send = |running: &mut Running, number| running.submit([accepted(message(number, Some(ANN), Some(BOB)))]);
    running.submit(users());
    disk.commit();
    send(&mut running, 1);
    send(&mut running, 2);
    disk.finish(Ok(()));
    assert_eq!(running.next(), Completion::Persisted { through: 1 });
    assert_eq!(disk.commit(), 2..=3);
    // Already in the channel when the group fails.
    send(&mut running, 3);
    disk.finish(Err("disk full"));
    assert_eq!(running.next(), Completion::Failed { first: 2, error: "disk full".into() });
    send(&mut running, 4);
    running.store.resume();
    send(&mut running, 5);
    // Batch 6 is the first after the word, and nothing was reported or tried in between.
    assert_eq!(disk.commit(), 6..=6);
    disk.finish(Ok(()));
    assert_eq!(running.next(), Completion::Persisted { through: 6 });
    assert_eq!(running.store.close(), []);
    let snapshot = Running::open(dir.path()).1;
    assert_eq!(snapshot.waiting, [Arc::new(message(5, Some(ANN), Some(BOB)))]);
    assert_eq!(snapshot.last, Number(5));
}

#[test]
fn it_fails_again_as_long_as_the_disk_does() {
    let dir = TempDir::new().unwrap();
    let (disk, hooks) = Disk::new();
    let (mut running, _) = Running::with(dir.path(), hooks);
    for first in 1..=3 {
        running.submit(users());
        disk.commit();
        disk.finish(Err("no"));
        assert_eq!(running.next(), Completion::Failed { first, error: "no".into() });
        running.store.resume();
    }
    running.submit(users());
    disk.commit();
    disk.finish(Ok(()));
    assert_eq!(running.next(), Completion::Persisted { through: 4 });
}

#[test]
fn a_change_that_does_not_fit_fails_its_group_and_no_more() {
    let dir = TempDir::new().unwrap();
    let (mut running, _) = Running::open(dir.path());
    let lonely = || [Change::Arrived { user: UserId(99), first: Number(1) }];
    running.submit(lonely());
    assert!(matches!(running.next(), Completion::Failed { first: 1, .. }));
    running.store.resume();
    running.keep(users());
    running.submit([accepted(message(1, Some(ANN), None)), accepted(message(1, Some(ANN), None))]);
    assert!(matches!(running.next(), Completion::Failed { first: 3, .. }));
    running.store.close();
    assert_eq!(Running::open(dir.path()).1, base());
}

#[test]
fn a_full_disk_fails_a_group_and_room_lets_it_go_on() {
    let dir = TempDir::new().unwrap();
    let (files, _) = open::open(dir.path(), Durability::Full).unwrap();
    let pages: i64 = files.writer.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    files.writer.pragma_update_and_check(None, "max_page_count", pages + 8, |_| Ok(())).unwrap();
    let mut running = Running::new(Opened(Place::Disk(Box::new((files, Hooks::default())))));
    running.keep(users());
    let long = Text::parse(&"x".repeat(4096)).unwrap();
    let send = |running: &mut Running, number| {
        running.submit([accepted(Message { text: long.clone(), ..message(number, Some(ANN), Some(BOB)) })]);
        running.next()
    };
    let full = (1..20).find(|&number| matches!(send(&mut running, number), Completion::Failed { .. })).unwrap();
    running.store.resume();
    let mut kept = running.history(own(ANN)).messages.into_iter().map(|message| message.number.0);
    assert!(kept.by_ref().eq(1..full));
    running.keep([Change::Forget { before: time(1000 + full) }]);
    assert!(matches!(send(&mut running, full), Completion::Persisted { .. }));
}

#[test]
fn a_panic_on_the_writer_is_a_failure_like_another() {
    let dir = TempDir::new().unwrap();
    let mut calls = 0;
    let hook: BeforeCommit = Box::new(move |_| {
        calls += 1;
        assert!(calls > 1, "this panic is part of a test");
        Ok(())
    });
    let (mut running, _) = Running::with(dir.path(), Hooks { before_commit: Some(hook) });
    running.submit(users());
    assert!(matches!(running.next(), Completion::Failed { first: 1, .. }));
    running.store.resume();
    running.keep(users());
}

#[test]
fn close_waits_for_what_was_submitted_and_folds_the_log() {
    let dir = TempDir::new().unwrap();
    let (mut running, _) = Running::open(dir.path());
    running.submit(users());
    running.submit([accepted(message(1, Some(ANN), None))]);
    let completions = running.store.close();
    assert_eq!(completions.last(), Some(&Completion::Persisted { through: 2 }));
    assert!(!dir.path().join("chatd.sqlite3-wal").exists());
    assert_eq!(Running::open(dir.path()).1.last, Number(1));
}

#[test]
fn queries_beyond_the_bound_are_answered_at_once() {
    let (hold, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let dir = TempDir::new().unwrap();
    let (opened, _) = Store::open(dir.path(), Durability::Process, Hooks::default()).unwrap();
    let asker = thread::current().id();
    // The reader thread stops in its first notification.
    let notify = move || {
        if thread::current().id() != asker {
            let _ = held.lock().unwrap().recv_timeout(LIMIT);
        }
    };
    let mut store = opened.start(notify).unwrap();
    let count = QUERIES_WAITING_MAX as u64 + 2;
    for ticket in 0..count {
        store.query(Ticket(ticket), own(ANN));
    }
    let mut told: Vec<Completion> = store.completions().collect();
    // Which one depends on when the reader has taken its first.
    assert!(told.iter().any(|told| matches!(told, Completion::Page { page: None, .. })), "{told:?}");
    drop(hold);
    told.extend(store.close());
    let pages = |refused: bool| {
        told.iter().filter(|told| matches!(told, Completion::Page { page, .. } if page.is_none() == refused)).count()
    };
    // The reader may have taken its first before the last came, or not.
    assert_eq!(pages(true) + pages(false), count as usize, "{told:?}");
    assert!((QUERIES_WAITING_MAX..=QUERIES_WAITING_MAX + 1).contains(&pages(false)), "{told:?}");
}

// The directory.

fn refused(dir: &Path) -> OpenError {
    match Store::open(dir, Durability::Full, Hooks::default()) {
        Ok(_) => panic!("it was opened"),
        Err(error) => {
            assert!(!error.to_string().contains('\n'), "{error}");
            error
        }
    }
}

#[test]
fn a_directory_has_one_user_who_is_named() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("chatd.lock"), "4000000000\nof a process that was killed").unwrap();
    let (running, _) = Running::open(dir.path());
    let error = refused(dir.path());
    assert!(matches!(&error, OpenError::InUse { pid, .. } if *pid == Some(std::process::id())), "{error}");
    assert!(error.to_string().contains(&format!("process {}", std::process::id())));
    running.store.close();
    Running::open(dir.path());
}

#[test]
fn only_its_user_can_read_the_files() {
    let parent = TempDir::new().unwrap();
    let dir = parent.path().join("a/b");
    let (mut running, _) = Running::open(&dir);
    running.keep(users());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    for file in ["chatd.sqlite3", "chatd.sqlite3-wal", "chatd.sqlite3-shm", "chatd.lock"] {
        assert_eq!(mode(&dir.join(file)), 0o600, "{file}");
    }
}

#[test]
fn a_place_that_can_t_be_a_directory_is_refused() {
    let parent = TempDir::new().unwrap();
    let file = parent.path().join("file");
    fs::write(&file, "").unwrap();
    for dir in [file.clone(), file.join("below")] {
        let error = refused(&dir);
        assert!(matches!(error, OpenError::Directory { .. }), "{error}");
    }
}

#[test]
fn a_directory_without_permission_is_refused() {
    let parent = TempDir::new().unwrap();
    let dir = parent.path().join("data");
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o500)).unwrap();
    if fs::write(dir.join("probe"), "").is_ok() {
        eprintln!("not tested: this user may write everywhere");
        return;
    }
    assert!(matches!(refused(&dir), OpenError::Permission { .. }));
}

#[test]
fn a_database_from_a_newer_version_is_left_alone() {
    let dir = TempDir::new().unwrap();
    Running::open(dir.path()).0.store.close();
    let path = dir.path().join("chatd.sqlite3");
    let known = open::MIGRATIONS.len() as u32;
    Connection::open(&path).unwrap().pragma_update(None, "user_version", known + 1).unwrap();
    let bytes = fs::read(&path).unwrap();
    let error = refused(dir.path());
    assert!(matches!(error, OpenError::Newer { found, known: k, .. } if (found, k) == (known + 1, known)), "{error}");
    assert!(fs::read(&path).unwrap() == bytes);
}

#[test]
fn a_file_that_is_not_chatd_s_is_left_alone() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("chatd.sqlite3");
    fs::write(&path, "this is not a database, but somebody's text ".repeat(100)).unwrap();
    let bytes = fs::read(&path).unwrap();
    assert!(matches!(refused(dir.path()), OpenError::Corrupt { .. }));
    assert!(fs::read(&path).unwrap() == bytes);

    fs::remove_file(&path).unwrap();
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE another_s (x)").unwrap();
    let bytes = fs::read(&path).unwrap();
    assert!(matches!(refused(dir.path()), OpenError::Corrupt { .. }));
    assert!(fs::read(&path).unwrap() == bytes);
}

#[test]
fn what_does_not_parse_back_is_named_and_never_a_panic() {
    for (poison, place) in [
        ("UPDATE users SET name = 'no name!' WHERE id = 2", "users"),
        ("UPDATE settings SET value = x'00' WHERE name = 'secret'", "secret"),
        ("INSERT INTO settings VALUES ('last', 'x')", "last"),
        ("UPDATE devices SET device = x'01'", "devices"),
        ("UPDATE devices SET absences = x'80'", "devices"),
        ("UPDATE devices SET stored_key = x'01', server_key = NULL", "devices"),
        ("UPDATE devices SET cursor = -1", "devices"),
        ("UPDATE consents SET until = -1", "consents"),
        ("UPDATE consents SET user = -1", "consents"),
        ("UPDATE tries SET source = x'010203'", "tries"),
        ("UPDATE tries SET failures = -1", "tries"),
        ("UPDATE sources SET source = x'000102030405060708090a0b0c0d0e0f'", "sources"),
        ("UPDATE messages SET text = 'a' || char(7)", "message 3"),
        ("UPDATE messages SET text = CAST(x'ff' AS TEXT)", "message 3"),
        ("UPDATE messages SET counter = NULL", "message 3"),
        ("UPDATE messages SET time = -1", "message 3"),
        ("UPDATE messages SET sender = 77", "message 3"),
        ("UPDATE messages SET sender = -77", "messages"),
        ("DROP VIEW kept", "kept"),
        ("ALTER TABLE tries DROP COLUMN last", "last"),
    ] {
        let dir = TempDir::new().unwrap();
        let (mut running, _) = Running::open(dir.path());
        running.keep(users());
        running.keep([
            Change::Secret([1; 32]),
            known(device(ANN, 1, 1)),
            Change::Tries(TriesRow {
                name: "ann".into(),
                source: Some(source("10.0.0.1")),
                failures: 1,
                last: time(1),
                locked_until: None,
            }),
            Change::SourceKnown { user: ANN, source: source("10.0.0.1"), time: time(1) },
            consent(consented(ANN, BOB, 1)),
            accepted(sent(3, ANN, Some(BOB), 1, 1)),
        ]);
        running.store.close();
        let raw = Connection::open(dir.path().join("chatd.sqlite3")).unwrap();
        raw.execute_batch(&format!("PRAGMA foreign_keys = OFF; {poison}")).unwrap();
        drop(raw);
        let error = refused(dir.path());
        assert!(matches!(&error, OpenError::Corrupt { what, .. } if what.contains(place)), "{poison}: {error}");
    }
}

#[test]
fn a_step_of_the_migrations_is_done_as_a_whole_or_not_at_all() {
    let mut connection = Connection::open_in_memory().unwrap();
    let version = |connection: &Connection| -> u32 {
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
    };
    let broken = ["CREATE TABLE a (x)", "CREATE TABLE b (x); INSERT INTO nowhere VALUES (1)"];
    open::migrate(&mut connection, 0, &broken).unwrap_err();
    assert_eq!(version(&connection), 1);
    let mended = [broken[0], "CREATE TABLE b (x); INSERT INTO a VALUES (1)"];
    open::migrate(&mut connection, 1, &mended).unwrap();
    assert_eq!(version(&connection), 2);
    open::migrate(&mut connection, 2, &mended).unwrap();
    assert_eq!(connection.query_row("SELECT count(*) FROM a", [], |row| row.get::<_, i64>(0)), Ok(1));
}

// History.

#[test]
fn every_search_is_led_by_an_index() {
    let mut connection = Connection::open_in_memory().unwrap();
    open::migrate(&mut connection, 0, &open::MIGRATIONS).unwrap();
    for (sql, index) in [
        (history::RECEIVED_SQL, "messages_by_recipient (recipient=? AND rowid<?)"),
        (history::SENT_SQL, "messages_by_sender (sender=? AND rowid<?)"),
        (history::PAIR_SQL, "messages_by_pair (sender=? AND recipient=? AND rowid<?)"),
        (history::BROADCASTS_SQL, "messages_by_recipient (recipient=? AND rowid>? AND rowid<?)"),
        (history::VISITS_SQL, "PRIMARY KEY (user=?)"),
        (snapshot::WAITING_SQL, "messages_by_recipient (recipient=? AND rowid>?)"),
        (snapshot::BROADCASTS_SQL, "messages_by_recipient (recipient=? AND rowid>?)"),
        (snapshot::SENDS_SQL, "messages_by_origin (sender=? AND device=? AND counter>? AND counter<?)"),
    ] {
        let mut explain = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let count = explain.parameter_count();
        let rows = explain.query_map(rusqlite::params_from_iter(vec![1; count]), |row| row.get::<_, String>(3));
        let plan = rows.unwrap().collect::<Result<Vec<_>, _>>().unwrap().join("; ");
        assert!(plan.contains(index) && !plan.contains("TEMP B-TREE"), "{sql}\n{plan}");
    }
}

#[test]
fn a_page_is_the_newest_part_and_says_whether_there_is_more() {
    let dir = TempDir::new().unwrap();
    for opened in [Store::open(dir.path(), Durability::Process, Hooks::default()).unwrap().0, Store::memory()] {
        let mut running = Running::new(opened);
        running.keep(users());
        running.keep((1..=5).map(|n| accepted(message(n, Some(ANN), Some(BOB)))).collect::<Vec<_>>());
        let mut page = |before: Option<u64>, limit| {
            let page = running.history(HistoryQuery { before: before.map(Number), limit, ..own(BOB) });
            (page.messages.iter().map(|message| message.number.0).collect::<Vec<_>>(), page.more)
        };
        assert_eq!(page(None, 2), (vec![4, 5], true));
        assert_eq!(page(Some(4), 3), (vec![1, 2, 3], false));
        assert_eq!(page(Some(4), 2), (vec![2, 3], true));
        assert_eq!(page(Some(1), 2), (vec![], false));
        assert_eq!(page(Some(0), 2), (vec![], false));
        assert_eq!(page(Some(u64::MAX), usize::MAX), (vec![1, 2, 3, 4, 5], false));
        assert_eq!(page(None, 0), (vec![], true));
    }
}

#[test]
fn of_a_blocked_sender_s_only_what_was_shown_stays() {
    let dir = TempDir::new().unwrap();
    for opened in [Store::open(dir.path(), Durability::Process, Hooks::default()).unwrap().0, Store::memory()] {
        let mut running = Running::new(opened);
        running.keep(users());
        running.keep([Change::Arrived { user: BOB, first: Number(1) }]);
        running.keep((1..=3).map(|n| accepted(message(n, Some(ANN), Some(BOB)))).collect::<Vec<_>>());
        running.keep([accepted(message(4, Some(ANN), None)), accepted(message(5, Some(CY), None))]);
        let mut page = |with| {
            let query = HistoryQuery { with, blocked: Arc::new([(ANN, Number(2))]), ..own(BOB) };
            running.history(query).messages.iter().map(|message| message.number.0).collect::<Vec<_>>()
        };
        assert_eq!(page(None), [1, 2, 5]);
        assert_eq!(page(Some(ANN)), [1, 2]);
    }
}

/// `local` follows from nothing else: it is that of a chat, and clocks are set back now and then.
#[test]
fn what_was_said_in_a_chat_stands_under_its_beginning_and_still_does_after_a_restart() {
    let dir = TempDir::new().unwrap();
    let disk = || Store::open(dir.path(), Durability::Process, Hooks::default()).unwrap().0;
    let locals =
        [20_240_331_015_959, 20_240_331_030_000, 20_240_331_030_000, 20_231_029_020_000, 0, 99_991_231_235_959];
    let said = |(number, local): (u64, u64)| {
        let (from, to) = if number.is_multiple_of(2) { (ANN, BOB) } else { (BOB, ANN) };
        Message { local: LocalTime::from_number(local), ..message(number, Some(from), Some(to)) }
    };
    let all: Vec<Message> = (1..).zip(locals).map(said).collect();
    let with_bob = || HistoryQuery { with: Some(BOB), ..own(ANN) };
    let expected: Vec<Arc<Message>> = all.iter().cloned().map(Arc::new).collect();
    for opened in [disk(), Store::memory()] {
        let mut running = Running::new(opened);
        running.keep(users());
        running.keep(all.iter().cloned().map(accepted).collect::<Vec<_>>());
        assert_eq!(running.history(with_bob()).messages, expected);
        running.store.close();
    }
    assert_eq!(Running::new(disk()).history(with_bob()).messages, expected);
}

#[test]
fn memory_holds_no_more_than_its_bounds() {
    let mut memory = Memory::default();
    let long = Text::parse(&"x".repeat(4096)).unwrap();
    let most = memory::TEXT_BYTES_MAX as u64 / 4096;
    for number in 1..=most + 3 {
        memory.apply(&accepted(Message { text: long.clone(), ..message(number, Some(ANN), None) }));
    }
    let all = HistoryQuery { limit: usize::MAX, ..own(ANN) };
    let page = memory.page(&all);
    assert_eq!((page.messages.len() as u64, page.messages[0].number), (most, Number(4)));
    for number in 1..=memory::MESSAGES_MAX as u64 + 3 {
        memory.apply(&accepted(message(10_000 + number, Some(ANN), None)));
    }
    assert_eq!(memory.page(&all).messages.len(), memory::MESSAGES_MAX);
}

/// One thing that happens in a random log; the numbers are filled in as the hub would.
#[derive(Clone, Debug)]
enum Step {
    Send { from: Option<u32>, to: Option<u32>, late: u64 },
    Expire(u64),
    Arrive(u32),
    Leave(u32),
    Forget(u64),
}

fn any_user() -> impl Strategy<Value = u32> {
    0..3u32
}

fn any_step() -> impl Strategy<Value = Step> {
    let user = || prop::option::weighted(0.8, any_user());
    prop_oneof![
        10 => (user(), user(), 0..20u64).prop_map(|(from, to, late)| Step::Send { from, to, late }),
        2 => (0..40u64).prop_map(Step::Expire),
        3 => any_user().prop_map(Step::Arrive),
        3 => any_user().prop_map(Step::Leave),
        1 => (0..40u64).prop_map(Step::Forget),
    ]
}

fn any_query() -> impl Strategy<Value = HistoryQuery> {
    (
        any_user(),
        prop::option::of(any_user()),
        prop::option::of(0..40u64),
        0..12usize,
        prop::collection::btree_map(any_user(), 0..40u64, 0..3),
    )
        .prop_map(|(viewer, with, before, limit, blocked)| HistoryQuery {
            viewer: UserId(viewer),
            with: with.map(UserId),
            before: before.map(Number),
            limit,
            blocked: blocked
                .into_iter()
                .filter(|&(other, _)| other != viewer)
                .map(|(other, shown)| (UserId(other), Number(shown)))
                .collect(),
        })
}

/// A log kept as plainly as can be.
#[derive(Default)]
struct Model {
    log: Vec<(Message, bool)>,
    /// Who was online when which number was given.
    present: BTreeSet<(UserId, Number)>,
    online: BTreeSet<UserId>,
    last: u64,
}

impl Model {
    /// Does the step, and says which changes the hub would make of it.
    fn step(&mut self, step: &Step) -> Vec<Change> {
        match *step {
            Step::Send { from, to, late } => {
                self.last += 1;
                let mut message = message(self.last, from.map(UserId), to.map(UserId));
                message.time = time(self.last.saturating_sub(late));
                self.log.push((message.clone(), false));
                self.present.extend(self.online.iter().map(|&user| (user, Number(self.last))));
                vec![accepted(message)]
            }
            Step::Expire(number) => {
                let private = |m: &Message| m.number.0 == number && m.to != Recipient::Everyone;
                let Some(entry) = self.log.iter_mut().find(|(m, _)| private(m)) else { return vec![] };
                entry.1 = true;
                vec![Change::Expired { number: Number(number) }]
            }
            Step::Arrive(user) if self.online.insert(UserId(user)) => {
                vec![Change::Arrived { user: UserId(user), first: Number(self.last + 1) }]
            }
            Step::Leave(user) if self.online.remove(&UserId(user)) => {
                vec![Change::Left { user: UserId(user), last: Number(self.last) }]
            }
            Step::Arrive(_) | Step::Leave(_) => vec![],
            Step::Forget(before) => {
                self.log.retain(|(m, _)| m.time >= time(before));
                vec![Change::Forget { before: time(before) }]
            }
        }
    }

    fn page(&self, q: &HistoryQuery) -> HistoryPage {
        let may = |(m, expired): &&(Message, bool)| {
            let line = Line { number: m.number, sender: m.sender(), recipient: m.recipient(), expired: *expired };
            let attended = || self.present.contains(&(q.viewer, m.number));
            q.admits(&line, attended) && q.before.is_none_or(|before| m.number < before)
        };
        let all: Vec<_> = self.log.iter().filter(may).map(|(m, _)| Arc::new(m.clone())).collect();
        let skipped = all.len().saturating_sub(q.limit);
        HistoryPage { messages: all[skipped..].to_vec(), more: skipped > 0 }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn database_and_memory_answer_as_a_plain_filter_does(
        steps in prop::collection::vec(any_step(), 0..60),
        queries in prop::collection::vec(any_query(), 1..12),
    ) {
        let dir = TempDir::new().unwrap();
        let (mut disk, _) = Running::open(dir.path());
        let mut memory = Running::new(Store::memory());
        let mut model = Model::default();
        let mut changes = users();
        changes.extend(steps.iter().flat_map(|step| model.step(step)));
        disk.keep(changes.clone());
        memory.keep(changes);
        for query in queries {
            let expected = model.page(&query);
            prop_assert_eq!(&memory.history(query.clone()), &expected, "memory, {:?}", query);
            prop_assert_eq!(&disk.history(query.clone()), &expected, "disk, {:?}", query);
        }
    }
}

// Recovery.

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn the_state_is_the_fold_of_the_batches_that_did_not_fail(
        steps in prop::collection::vec((any_step(), any::<bool>()), 1..30),
    ) {
        let fates = Arc::new(Mutex::new(Vec::<bool>::new()));
        let hook: BeforeCommit = {
            let fates = fates.clone();
            Box::new(move |range| {
                let fates = fates.lock().unwrap();
                let fails = range.into_iter().any(|number| !fates[number as usize - 1]);
                if fails { Err("so drawn".into()) } else { Ok(()) }
            })
        };
        let dir = TempDir::new().unwrap();
        let (mut running, _) = Running::with(dir.path(), Hooks { before_commit: Some(hook) });
        let mut kept = vec![users()];
        let mut model = Model::default();
        fates.lock().unwrap().push(true);
        running.keep(users());
        for (step, fate) in steps {
            let changes = model.step(&step);
            fates.lock().unwrap().push(fate);
            running.submit(changes.clone());
            match running.next() {
                Completion::Persisted { .. } => {
                    prop_assert!(fate);
                    kept.push(changes);
                }
                Completion::Failed { .. } => {
                    prop_assert!(!fate);
                    running.store.resume();
                }
                other => prop_assert!(false, "{:?}", other),
            }
        }
        running.store.close();
        let snapshot = Running::open(dir.path()).1;
        prop_assert_eq!(snapshot, reopened(&kept));
    }
}
