use super::*;
use crate::hub::change::Account;
use crate::hub::credentials::{Password, PasswordDigest};
use crate::hub::effect::{AccountsRead, CloseReason, Listed, LogInFailure};
use crate::hub::id::UserId;
use crate::hub::input::Operation;
use crate::hub::seal::SealingKey;

fn password(text: &str) -> Password {
    Password::parse(text).unwrap()
}

fn sealing_key() -> SealingKey {
    SealingKey::new([3; 32])
}

/// A hub whose operator is there; the database has `eve` (password `apple`), the file `NAMES`.
struct Club {
    world: World,
    operator: ConnectionId,
    /// Everything that was to be stored so far.
    stored: Vec<Change>,
}

impl Club {
    fn new() -> Club {
        let config = Config { sealing_key: Some(sealing_key()), ..config() };
        let mut world = World::empty(config, Snapshot::default());
        let stored = world.read_accounts(credentials()).changes;
        let operator = world.connect_as(Peer::Operator);
        let mut club = Club { world, operator, stored };
        assert_eq!(club.add("eve", "apple", false), Ok(Reply::UserAdded(name("eve"))));
        club
    }

    fn operate(&mut self, operation: Operation) -> Outcome {
        let outcome = self.world.ask(self.operator, Request::Operate(operation));
        let outcome = self.world.derive(outcome);
        self.stored.extend(outcome.changes.iter().cloned());
        outcome
    }

    fn add(&mut self, user: &str, text: &str, classic: bool) -> Answer {
        let outcome = self.operate(Operation::Add { name: name(user), password: password(text), classic });
        outcome.answer().clone()
    }

    fn remove(&mut self, user: &str) -> Outcome {
        self.operate(Operation::Remove(name(user)))
    }

    /// A log-in on an encrypted connection. Comes back: the connection, if it succeeded.
    fn log_in(&mut self, user: &str, text: &str, claim: Option<DeviceClaim>) -> Option<ConnectionId> {
        let connection = self.world.connect_encrypted();
        let secret = |salt: &[u8], iterations| Secret::salted(text, salt, iterations);
        let outcome = self.world.exchange_bound(connection, user, Mechanism::Password, claim, Some(binding()), secret);
        self.stored.extend(outcome.changes.iter().cloned());
        outcome.logged_in().then_some(connection)
    }

    fn challenge(&mut self, connection: ConnectionId, user: &str) {
        let first = ClientFirst::parse(&ClientExchange::new(&name(user), b"n", None).message()).unwrap();
        let log_in = Request::LogIn { mechanism: Mechanism::Password, first, device: None };
        assert!(matches!(self.world.ask(connection, log_in).answer(), Ok(Reply::Challenge { .. })));
    }

    fn sign_up(&mut self, connection: ConnectionId, user: &str, text: &str) -> Answer {
        self.challenge(connection, user);
        let salt = self.world.hub.accounts.salt(&name(user));
        let keys = StoredKeys::of(&Secret::salted(text, &salt, 1));
        let outcome = self.world.ask(connection, Request::SignUp(keys));
        self.stored.extend(outcome.changes.iter().cloned());
        outcome.answer().clone()
    }

    fn change_password(&mut self, connection: ConnectionId, new: StoredKeys) -> Outcome {
        let outcome = self.world.ask(connection, Request::ChangePassword(new));
        let outcome = self.world.derive(outcome);
        self.stored.extend(outcome.changes.iter().cloned());
        outcome
    }

    fn keys(&self, user: &str, text: &str) -> StoredKeys {
        let salt = self.world.hub.accounts.salt(&name(user));
        StoredKeys::of(&Secret::salted(text, &salt, 1))
    }

    fn id(&self, user: &str) -> UserId {
        self.world.hub.accounts.find_ever(&name(user)).unwrap()
    }
}

fn closings(outcome: &Outcome, connection: ConnectionId) -> Vec<&Event> {
    outcome.events_for(connection).into_iter().filter(|event| matches!(event, Event::Closing(_))).collect()
}

const CHANGED: Event = Event::Closing(CloseReason::AccountChanged);

#[test]
fn the_operator_adds_an_account_and_its_password_works() {
    let mut club = Club::new();
    let outcome = club.operate(Operation::Add { name: name("Fred"), password: password("pear"), classic: false });
    let operator = club.operator;
    let added = club.world.reply(operator, Ok(Reply::UserAdded(name("Fred"))), IfLost::Refuse);
    assert_eq!(
        outcome.effects,
        [Effect::Suspend { connection: operator }, Effect::Unsuspend { connection: operator }, added]
    );
    let [Change::User { .. }, Change::Account { account: Some(account), before: None, .. }] = &outcome.changes[..]
    else {
        panic!("{:?}", outcome.changes);
    };
    assert_eq!(account.sealed, None);
    assert!(club.log_in("fred", "pear", None).is_some());
    assert!(club.log_in("fred", "apple", None).is_none());
    assert_eq!(club.add("FRED", "x", false), Err(Refusal::NameTaken(name("FRED"))));
    assert_eq!(club.add("alice", "x", false), Err(Refusal::InFile(name("alice"))));
}

#[test]
fn an_account_outlives_a_restart() {
    let mut club = Club::new();
    let mut snapshot = Snapshot { secret: Some([1; 32]), ..Snapshot::default() };
    for change in &club.stored {
        match change {
            Change::User { id, name } => snapshot.users.push((*id, name.clone())),
            Change::Account { user, account: Some(account), .. } => snapshot.accounts.push((*user, account.clone())),
            _ => {}
        }
    }
    let secret = club.world.hub.accounts.salt(&name("eve"));
    let config = Config { sealing_key: Some(sealing_key()), ..config() };
    let mut world = World::empty(config, snapshot);
    world.read_accounts(credentials());
    assert_ne!(world.hub.accounts.salt(&name("eve")), secret, "another secret, and the account has its own salt");
    let operator = world.connect_as(Peer::Operator);
    club = Club { world, operator, stored: vec![] };
    assert!(club.log_in("eve", "apple", None).is_some());
}

#[test]
fn a_list_says_where_an_account_stands_and_how() {
    let mut club = Club::new();
    club.add("zoe", "x", true).unwrap();
    let claim = club.world.claim(1, 0);
    club.log_in("eve", "apple", Some(claim)).unwrap();
    let stranger = club.world.connect();
    (0..3).for_each(|_| drop(club.world.try_password(stranger, "bob", "wrong")));
    let (connection, digest) = (club.world.connect(), PasswordDigest::of(&password("apple")));
    let outcome = club.world.ask(connection, Request::LogInByDigest { name: name("hal"), digest });
    club.world.derive(outcome);
    let outcome = club.operate(Operation::List);
    let row = |user, in_file, classic, online, locked| {
        let hashed = user == "hal";
        Listed { name: name(user), in_file, classic, hashed, online, locked }
    };
    let expected = vec![
        row("alice", true, false, false, false),
        row("bob", true, false, false, true),
        row("carol", true, false, false, false),
        row("dave", true, false, false, false),
        row("eve", false, false, true, false),
        row("hal", false, false, true, false),
        row("zoe", false, true, false, false),
    ];
    assert_eq!(outcome.answer(), &Ok(Reply::Users(expected)));
    club.operate(Operation::Unlock(name("BOB")));
    let outcome = club.operate(Operation::List);
    let Ok(Reply::Users(rows)) = outcome.answer() else { panic!() };
    assert!(!rows[1].locked);
    assert!(club.world.try_password(stranger, "bob", "bob's password").logged_in());
}

#[test]
fn names_of_the_file_are_its_own_before_their_verifiers_are_there() {
    let mut world = World::empty(config(), Snapshot::default());
    world.input(Input::Accounts { credentials: credentials(), public: false });
    let operator = world.connect_as(Peer::Operator);
    let operations = [
        Operation::Add { name: name("alice"), password: password("x"), classic: false },
        Operation::SetPassword { name: name("alice"), password: password("x"), classic: None },
        Operation::Remove(name("alice")),
    ];
    for operation in operations {
        let outcome = world.ask(operator, Request::Operate(operation));
        assert_eq!(outcome, world.refusal(operator, Refusal::InFile(name("alice"))));
    }
    let outcome = world.ask(operator, Request::Operate(Operation::List));
    let Ok(Reply::Users(rows)) = outcome.answer() else { panic!("{outcome:?}") };
    assert_eq!(rows.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), NAMES);
    assert!(rows.iter().all(|row| row.in_file));
}

#[test]
fn unlocking_is_stored_and_only_for_that_name() {
    let mut club = Club::new();
    for user in ["bob", "bobby"] {
        let stranger = club.world.connect();
        (0..3).for_each(|_| drop(club.world.try_password(stranger, user, "wrong")));
    }
    let outcome = club.operate(Operation::Unlock(name("bob")));
    let rows = outcome.changes.iter().map(|change| match change {
        Change::Tries(row) => (row.name.as_str(), row.source.is_some(), row.failures, row.locked_until),
        other => panic!("{other:?}"),
    });
    assert_eq!(rows.collect::<Vec<_>>(), [("bob", false, 0, None), ("bob", true, 0, None)]);
    let stranger = club.world.connect();
    let outcome = club.world.try_password(stranger, "bobby", "wrong");
    let locked = Effect::LogInFailed { connection: stranger, why: LogInFailure::LockedOut };
    assert!(outcome.effects.contains(&locked));
}

#[test]
fn who_is_kicked_is_told_and_may_come_again() {
    let mut club = Club::new();
    let claim = club.world.claim(1, 0);
    let eve = club.log_in("eve", "apple", Some(claim)).unwrap();
    let once = club.log_in("eve", "apple", None).unwrap();
    let outcome = club.operate(Operation::Kick(name("eve")));
    let kicked = Event::Closing(CloseReason::Kicked);
    assert_eq!((closings(&outcome, eve), closings(&outcome, once)), (vec![&kicked], vec![&kicked]));
    assert_eq!(outcome.answer(), &Ok(Reply::Kicked { user: name("eve"), sessions: 2 }));
    assert!(club.log_in("eve", "apple", None).is_some());
    assert_eq!(club.operate(Operation::Kick(name("nobody"))).answer(), &Err(Refusal::NoSuchUser(name("nobody"))));
}

#[test]
fn the_operators_requests_are_nobody_elses() {
    let mut club = Club::new();
    let eve = club.log_in("eve", "apple", None).unwrap();
    let outcome = club.world.ask(eve, Request::Operate(Operation::Remove(name("eve"))));
    assert_eq!(outcome, club.world.refusal(eve, Refusal::OperatorOnly));
    let outcome = club.world.ask(club.operator, Request::Online);
    assert_eq!(outcome, club.world.refusal(club.operator, Refusal::LogInFirst));
}

#[test]
fn whoever_signs_up_can_log_in() {
    let mut club = Club::new();
    let connection = club.world.connect_encrypted();
    assert_eq!(club.sign_up(connection, "Gus", "grape"), Ok(Reply::SignedUp(name("Gus"))));
    assert!(matches!(club.stored[club.stored.len() - 2..], [Change::User { .. }, Change::Account { .. }]));
    assert!(club.log_in("gus", "grape", None).is_some());
    assert!(club.log_in("gus", "plum", None).is_none());
    assert_eq!(club.sign_up(connection, "gus", "x"), Err(Refusal::NameTaken(name("gus"))));
    assert_eq!(club.sign_up(connection, "alice", "x"), Err(Refusal::NameTaken(name("alice"))));
    let outcome = club.world.ask(connection, Request::SignUp(keys("x")));
    assert_eq!(outcome, club.world.refusal(connection, Refusal::NoChallenge), "a challenge serves once");
}

#[test]
fn a_sign_up_needs_leave_and_encryption() {
    let mut club = Club::new();
    let address = PeerAddress::of([10, 0, 0, 1].into());
    let far = club.world.connect_as(Peer::Stranger { address, binding: Some(binding()), may_sign_up: false });
    assert_eq!(club.sign_up(far, "gus", "grape"), Err(Refusal::NoSignUp));
    let plain = club.world.connect();
    assert_eq!(club.sign_up(plain, "gus", "grape"), Err(Refusal::NeedsTls));
    assert!(club.world.hub.accounts.find_ever(&name("gus")).is_none());
}

#[test]
fn a_name_that_had_an_account_is_not_for_whoever_comes_first() {
    let mut club = Club::new();
    let without_dave = credentials().into_iter().filter(|credential| credential.name != name("dave")).collect();
    club.world.read_accounts(without_dave);
    let connection = club.world.connect_encrypted();
    assert_eq!(club.sign_up(connection, "dave", "x"), Err(Refusal::NameTaken(name("dave"))));
    let before = club.id("dave");
    assert_eq!(club.add("dave", "x", false), Ok(Reply::UserAdded(name("dave"))), "the operator knows what they do");
    assert_eq!(club.id("dave"), before);
}

#[test]
fn a_removed_name_is_free_and_its_next_owner_is_somebody_else() {
    let mut club = Club::new();
    let claim = club.world.claim(1, 0);
    let eve = club.log_in("eve", "apple", Some(claim)).unwrap();
    let alice = club.world.log_in("alice", 2);
    club.world.message(alice, "eve", "for the first eve");
    club.world.block(alice, "eve");
    let before = club.id("eve");
    let outcome = club.remove("eve");
    assert_eq!(closings(&outcome, eve), [&CHANGED]);
    assert_eq!(outcome.changes.last(), Some(&Change::Retired { user: before }));
    assert!(club.log_in("eve", "apple", None).is_none());
    assert_eq!(club.world.message(alice, "eve", "hi").answer(), &Err(Refusal::NoSuchUser(name("eve"))));
    assert_eq!(club.remove("eve").answer(), &Err(Refusal::NoSuchUser(name("eve"))));

    let connection = club.world.connect_encrypted();
    assert_eq!(club.sign_up(connection, "eve", "other"), Ok(Reply::SignedUp(name("eve"))));
    assert_ne!(club.id("eve"), before);
    let again = club.world.connect_encrypted();
    let claim = club.world.claim(3, 0);
    let secret = |salt: &[u8], i| Secret::salted("other", salt, i);
    let outcome = club.world.exchange_bound(again, "eve", Mechanism::Password, Some(claim), Some(binding()), secret);
    assert!(outcome.logged_in());
    assert_eq!(outcome.texts_for(again), Vec::<&str>::new(), "what waited for the first is not for the second");
    assert_eq!(club.world.ask(alice, Request::Blocked).answer(), &Ok(Reply::BlockList(vec![])));
    assert!(club.world.message(again, "alice", "hi").answer().is_ok(), "who is blocked is the first");
}

#[test]
fn what_a_removed_user_wrote_stays_blocked_and_their_own_blocks_go() {
    let mut club = Club::new();
    let eve = club.log_in("eve", "apple", None).unwrap();
    let alice = club.world.log_in("alice", 2);
    club.world.block(alice, "eve");
    club.world.block(eve, "alice");
    let (alices, eves) = (club.id("alice"), club.id("eve"));
    let outcome = club.remove("eve");
    let unblocks: Vec<&Change> =
        outcome.changes.iter().filter(|change| matches!(change, Change::Unblock { .. })).collect();
    assert!(matches!(unblocks[..], [Change::Unblock { user, other, .. }] if (*user, *other) == (eves, alices)));
    assert!(club.world.hub.gate.blocks(alices, eves), "or alice's history would show what she did not want");
}

#[test]
fn ones_own_password_is_changed_where_it_was_proved() {
    let mut club = Club::new();
    let claim = club.world.claim(1, 0);
    let at_home = club.world.connect_encrypted();
    let secret = |salt: &[u8], i| Secret::salted("apple", salt, i);
    let outcome = club.world.exchange_bound(at_home, "eve", Mechanism::Password, Some(claim), Some(binding()), secret);
    let token = club.world.token(&outcome);
    let here = club.log_in("eve", "apple", None).unwrap();
    let new = club.keys("eve", "banana");
    let outcome = club.change_password(here, new);
    assert_eq!(outcome.answer(), &Ok(Reply::PasswordChanged(name("eve"))));
    assert_eq!(closings(&outcome, at_home), [&CHANGED]);
    assert_eq!(closings(&outcome, here), Vec::<&Event>::new());
    assert!(club.log_in("eve", "apple", None).is_none());
    assert!(club.log_in("eve", "banana", None).is_some());
    let again = club.world.connect_encrypted();
    let resume = |_: &[u8], _| Secret::token(&token);
    let outcome = club.world.exchange_bound(again, "eve", Mechanism::Token, Some(claim), Some(binding()), resume);
    assert_eq!(outcome.answer(), &Err(Refusal::TokenRefused));
}

#[test]
fn a_password_is_not_changed_without_encryption_nor_its_proof_nor_in_the_file() {
    let mut club = Club::new();
    let plain = club.world.connect();
    assert!(club.world.try_password(plain, "eve", "apple").logged_in());
    let new = club.keys("eve", "banana");
    assert_eq!(club.change_password(plain, new.clone()).answer(), &Err(Refusal::NeedsTls));

    let claim = club.world.claim(1, 0);
    let first = club.world.connect_encrypted();
    let secret = |salt: &[u8], i| Secret::salted("apple", salt, i);
    let outcome = club.world.exchange_bound(first, "eve", Mechanism::Password, Some(claim), Some(binding()), secret);
    let token = club.world.token(&outcome);
    let resumed = club.world.connect_encrypted();
    let resume = |_: &[u8], _| Secret::token(&token);
    let outcome = club.world.exchange_bound(resumed, "eve", Mechanism::Token, Some(claim), Some(binding()), resume);
    assert!(outcome.logged_in());
    assert_eq!(club.change_password(resumed, new).answer(), &Err(Refusal::PasswordFirst));

    let alice = club.log_in("alice", "alice's password", None).unwrap();
    let new = club.keys("alice", "banana");
    assert_eq!(club.change_password(alice, new).answer(), &Err(Refusal::InFile(name("alice"))));
    let new = Operation::SetPassword { name: name("alice"), password: password("x"), classic: None };
    assert_eq!(club.operate(new).answer(), &Err(Refusal::InFile(name("alice"))));
    assert_eq!(club.remove("alice").answer(), &Err(Refusal::InFile(name("alice"))));
}

#[test]
fn the_password_of_a_classic_account_is_kept_and_sealed() {
    let mut club = Club::new();
    club.add("zoe", "zebra", true).unwrap();
    let opened = |club: &Club| {
        let account = club.stored.iter().rev().find_map(|change| match change {
            Change::Account { account: Some(Account { sealed: Some(sealed), .. }), .. } => Some(sealed.clone()),
            _ => None,
        });
        sealing_key().open(&name("zoe"), &account.unwrap())
    };
    assert_eq!(opened(&club).as_deref(), Some("zebra"));
    let zoe = club.log_in("zoe", "zebra", None).unwrap();
    let new = club.keys("zoe", "lion");
    assert_eq!(club.change_password(zoe, new).answer(), &Err(Refusal::PasswordIsKept));
    let reset = |classic| Operation::SetPassword { name: name("zoe"), password: password("lion"), classic };
    let outcome = club.operate(reset(None));
    assert_eq!(outcome.answer(), &Ok(Reply::PasswordChanged(name("zoe"))));
    assert_eq!(closings(&outcome, zoe), [&CHANGED]);
    assert_eq!(opened(&club).as_deref(), Some("lion"), "it stays classic");
    assert!(club.log_in("zoe", "lion", None).is_some());
    let plain = Operation::SetPassword { name: name("zoe"), password: password("lynx"), classic: Some(false) };
    club.operate(plain);
    assert!(matches!(club.stored.last(), Some(Change::Account { account: Some(Account { sealed: None, .. }), .. })));

    let mut world = World::new();
    let operator = world.connect_as(Peer::Operator);
    let add = Operation::Add { name: name("zoe"), password: password("zebra"), classic: true };
    let outcome = world.ask(operator, Request::Operate(add));
    assert_eq!(outcome, world.refusal(operator, Refusal::NoSealingKey));
}

#[test]
fn what_could_not_be_stored_is_taken_back() {
    let mut club = Club::new();
    let outcome = club.operate(Operation::Add { name: name("fred"), password: password("pear"), classic: false });
    club.world.input(Input::CommitFailed(outcome.changes));
    assert!(club.log_in("fred", "pear", None).is_none());
    let change = Operation::SetPassword { name: name("eve"), password: password("banana"), classic: None };
    let outcome = club.operate(change);
    assert!(club.log_in("eve", "banana", None).is_some());
    club.world.input(Input::CommitFailed(outcome.changes));
    assert!(club.log_in("eve", "apple", None).is_some() && club.log_in("eve", "banana", None).is_none());
    let before = club.id("eve");
    let outcome = club.remove("eve");
    club.world.input(Input::CommitFailed(outcome.changes));
    assert_eq!(club.id("eve"), before);
    assert!(club.log_in("eve", "apple", None).is_some());
}

#[test]
fn a_sign_up_that_could_not_be_stored_takes_no_name_and_leaves_no_session() {
    let mut club = Club::new();
    let connection = club.world.connect_encrypted();
    club.challenge(connection, "gus");
    let salt = club.world.hub.accounts.salt(&name("gus"));
    let keys = StoredKeys::of(&Secret::salted("grape", &salt, 1));
    let lost = club.world.ask(connection, Request::SignUp(keys)).changes;
    let gus = club.log_in("gus", "grape", None).unwrap();
    let outcome = club.world.input(Input::CommitFailed(lost));
    assert_eq!(closings(&outcome, gus), [&CHANGED]);
    assert!(club.log_in("gus", "grape", None).is_none());
    assert_eq!(club.sign_up(connection, "gus", "grape"), Ok(Reply::SignedUp(name("gus"))), "as it was told: try again");
    assert!(club.log_in("gus", "grape", None).is_some());
}

#[test]
fn a_name_whose_sign_up_was_lost_is_free_after_a_restart_too() {
    let mut club = Club::new();
    let connection = club.world.connect_encrypted();
    let sign_up = |club: &mut Club| {
        club.challenge(connection, "gus");
        let salt = club.world.hub.accounts.salt(&name("gus"));
        let keys = StoredKeys::of(&Secret::salted("grape", &salt, 1));
        club.world.ask(connection, Request::SignUp(keys)).changes
    };
    let lost = sign_up(&mut club);
    let [Change::User { id: first, .. }, Change::Account { .. }] = lost[..] else { panic!("{lost:?}") };
    club.world.input(Input::CommitFailed(lost));
    let stored = sign_up(&mut club);
    let gus = |id| Change::User { id, name: name("gus") };
    let second = UserId(first.0 + 1);
    assert_eq!(
        stored[..3],
        [gus(first), Change::Retired { user: first }, gus(second)],
        "the row is there, without the name"
    );
    // And it could not be stored again.
    club.world.input(Input::CommitFailed(stored));
    let stored = sign_up(&mut club);
    let third = UserId(second.0 + 1);
    let retired = |user| Change::Retired { user };
    assert_eq!(stored[..5], [gus(first), retired(first), gus(second), retired(second), gus(third)]);
    assert!(club.log_in("gus", "grape", None).is_some());
}

#[test]
fn a_session_that_began_with_a_password_that_was_lost_ends_with_it() {
    let mut club = Club::new();
    let change = Operation::SetPassword { name: name("eve"), password: password("banana"), classic: None };
    let lost = club.operate(change).changes;
    let eve = club.log_in("eve", "banana", None).unwrap();
    let outcome = club.world.input(Input::CommitFailed(lost));
    assert_eq!(closings(&outcome, eve), [&CHANGED]);
}

#[test]
fn a_password_that_is_derived_is_for_the_user_that_it_was_meant_for() {
    let mut club = Club::new();
    let reset = Operation::SetPassword { name: name("eve"), password: password("banana"), classic: None };
    let under_way = club.world.ask(club.operator, Request::Operate(reset));
    let second = club.world.connect_as(Peer::Operator);
    assert!(club.world.ask(second, Request::Operate(Operation::Remove(name("eve")))).answer().is_ok());
    let connection = club.world.connect_encrypted();
    assert!(club.sign_up(connection, "eve", "other").is_ok());
    let outcome = club.world.derive(Outcome { changes: vec![], ..under_way });
    assert_eq!(outcome.answer(), &Err(Refusal::NoSuchUser(name("eve"))));
    assert!(club.log_in("eve", "other", None).is_some(), "the next owner's password is their own");
}

#[test]
fn where_only_accounts_are_managed_nothing_is_given_up_and_the_file_is_names() {
    let mut lasting = World::new();
    let alice = lasting.log_in("alice", 1);
    let waiting = lasting.message(alice, "bob", "hi").message();
    let users = NAMES.iter().enumerate().map(|(index, user)| (UserId(index as u32 + 1), name(user))).collect();
    let snapshot = Snapshot { users, waiting: vec![waiting], last: Number(1), ..Snapshot::default() };
    let mut world = World::empty(Config { accounts_only: true, ..config() }, snapshot);
    let outcome = world.input(Input::Accounts { credentials: vec![Credential::new(name("zed"), "x")], public: false });
    assert_eq!(outcome, Outcome::default());
    let outcome = world.pass(Duration::from_secs(400 * 24 * 3600));
    assert_eq!(outcome, Outcome::default());
    let operator = world.connect_as(Peer::Operator);
    let add = Operation::Add { name: name("zed"), password: password("x"), classic: false };
    let outcome = world.ask(operator, Request::Operate(add));
    assert_eq!(outcome, world.refusal(operator, Refusal::InFile(name("zed"))));
}

#[test]
fn a_removal_that_was_lost_together_with_the_names_next_owner() {
    let mut club = Club::new();
    let before = club.id("eve");
    let mut lost = club.remove("eve").changes;
    let outcome = club.operate(Operation::Add { name: name("eve"), password: password("other"), classic: false });
    lost.extend(outcome.changes);
    let after = club.id("eve");
    let mut outcome = club.world.input(Input::CommitFailed(lost));
    outcome.changes.extend(club.world.pass(Duration::from_secs(10)).changes);
    let retired = outcome.changes.iter().position(|change| *change == Change::Retired { user: before });
    let renamed = outcome.changes.iter().position(|change| matches!(change, Change::User { id, .. } if *id == after));
    assert!(retired.unwrap() < renamed.unwrap(), "the name is given up before it is taken: {:?}", outcome.changes);
}

#[test]
fn the_file_takes_an_account_of_the_database_over_for_good() {
    let mut club = Club::new();
    let eve = club.log_in("eve", "apple", None).unwrap();
    let mut with_eve = credentials();
    with_eve.push(Credential::new(name("eve"), "from the file"));
    let outcome = club.world.read_accounts(with_eve);
    assert_eq!(closings(&outcome, eve), [&CHANGED]);
    let read = AccountsRead { accounts: 5, added: 1, changed: 0, removed: 0, taken_over: 1 };
    assert!(outcome.effects.contains(&Effect::AccountsRead(read)), "{:?}", outcome.effects);
    assert!(matches!(outcome.changes[0], Change::Account { account: None, before: Some(_), .. }));
    assert!(club.log_in("eve", "apple", None).is_none());
    assert!(club.log_in("eve", "from the file", None).is_some());
    club.world.read_accounts(credentials());
    assert!(club.log_in("eve", "apple", None).is_none(), "the old password does not come back unseen");
}

#[test]
fn verifiers_of_an_older_reading_count_for_nothing() {
    let mut world = World::empty(config(), Snapshot::default());
    let first = world.input(Input::Accounts { credentials: credentials(), public: false });
    let [Effect::Derive { ticket: old_ticket, derivations: old }] = &first.effects[..] else { panic!() };
    let only_alice = vec![Credential::new(name("alice"), "another")];
    let second = world.input(Input::Accounts { credentials: only_alice, public: false });
    let [Effect::Derive { ticket, derivations }] = &second.effects[..] else { panic!() };
    let run = |derivations: &[crate::hub::effect::Derivation]| derivations.iter().map(|job| job.run()).collect();
    let outcome = world.input(Input::Derived { ticket: *old_ticket, verifiers: run(old) });
    assert_eq!(outcome, Outcome::default());
    world.input(Input::Derived { ticket: *ticket, verifiers: run(derivations) });
    let connection = world.connect();
    assert!(!world.try_password(connection, "alice", "alice's password").logged_in());
    assert!(!world.try_password(connection, "bob", "bob's password").logged_in());
    assert!(world.try_password(connection, "alice", "another").logged_in());
}

#[test]
fn a_name_that_the_file_brings_while_a_password_is_derived_stays_the_files() {
    let mut club = Club::new();
    let add = Operation::Add { name: name("fred"), password: password("pear"), classic: false };
    let mut outcome = club.world.ask(club.operator, Request::Operate(add));
    let mut with_fred = credentials();
    with_fred.push(Credential::new(name("fred"), "from the file"));
    club.world.read_accounts(with_fred);
    outcome.changes.clear();
    let outcome = club.world.derive(outcome);
    assert_eq!(outcome.answer(), &Err(Refusal::InFile(name("fred"))));
    assert_eq!(outcome.changes, []);
}

#[test]
fn somebody_in_between_is_noticed_and_locks_nobody_out() {
    let mut world = World::new();
    let elsewhere = || Some(ChannelBinding([1; ChannelBinding::BYTES]));
    let secret = |salt: &[u8], i| Secret::salted("alice's password", salt, i);
    let connection = world.connect_encrypted();
    for _ in 0..3 {
        let outcome = world.exchange_bound(connection, "alice", Mechanism::Password, None, elsewhere(), secret);
        let failed = Effect::LogInFailed { connection, why: LogInFailure::Elsewhere };
        let refused = world.reply(connection, Err(Refusal::SomebodyInBetween), IfLost::Send);
        assert_eq!(outcome, Outcome { effects: vec![failed, refused], ..Outcome::default() });
    }
    let wrong = |salt: &[u8], i| Secret::salted("wrong", salt, i);
    let outcome = world.exchange_bound(connection, "alice", Mechanism::Password, None, elsewhere(), wrong);
    assert_eq!(outcome.answer(), &Err(Refusal::NotAuthenticated), "without the password it is a wrong try");
    let outcome = world.exchange_bound(connection, "alice", Mechanism::Password, None, Some(binding()), secret);
    assert!(outcome.logged_in());

    let claim = world.claim(1, 0);
    let first = world.connect_encrypted();
    let outcome = world.exchange_bound(first, "bob", Mechanism::Password, Some(claim), Some(binding()), |salt, i| {
        Secret::salted("bob's password", salt, i)
    });
    let token = world.token(&outcome);
    let spy = world.connect_encrypted();
    let resume = |_: &[u8], _| Secret::token(&token);
    let outcome = world.exchange_bound(spy, "bob", Mechanism::Token, Some(claim), elsewhere(), resume);
    assert_eq!(outcome.answer(), &Err(Refusal::SomebodyInBetween));
    let outcome = world.exchange_bound(spy, "bob", Mechanism::Token, Some(claim), Some(binding()), resume);
    assert!(outcome.logged_in(), "the token is not used up by that");
}

#[test]
fn binding_needs_something_to_bind_to() {
    let mut world = World::new();
    let connection = world.connect();
    let client = ClientExchange::new(&name("alice"), b"n", Some(binding()));
    let first = ClientFirst::parse(&client.message()).unwrap();
    let outcome = world.ask(connection, Request::LogIn { mechanism: Mechanism::Password, first, device: None });
    assert_eq!(outcome, world.refusal(connection, Refusal::NeedsTls));
}
