//! Accounts that are made, changed and removed while commits fail: what is on disk in the end is what the hub says, nobody
//! has a session without an account, and no name is two users'.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::log_on::here;
use super::*;
use crate::hub::challenge::{Challenge, Response};
use crate::hub::change::Account;
use crate::hub::credentials::{Password, PasswordDigest};
use crate::hub::effect::LogOnAnswer;
use crate::hub::id::UserId;
use crate::hub::input::Operation;
use crate::hub::seal::SealingKey;

const WHO: [&str; 4] = ["eve", "fay", "gus", "alice"];
const PASSWORDS: [&str; 3] = ["apple", "banana", "cherry"];

#[derive(Clone, Copy, Debug)]
enum Step {
    Add,
    Remove,
    Reset,
    SignUp,
    /// A log-in, or a sign-up, with the digest of a password.
    ByDigest,
    /// A log-on with the password itself, for a session that begins with the next.
    LogOn,
    Connect,
    LogIn,
    ChangePassword,
    /// The file has a line for this name, or no longer.
    Reload(bool),
    /// Everything so far is kept.
    Keep,
    /// Nothing of what is under way is.
    Lose,
    Pass,
}

fn steps() -> impl Strategy<Value = Vec<(Step, usize, usize)>> {
    let step = prop_oneof![
        Just(Step::Add),
        Just(Step::Remove),
        Just(Step::Reset),
        Just(Step::SignUp),
        Just(Step::ByDigest),
        Just(Step::LogOn),
        Just(Step::Connect),
        Just(Step::LogIn),
        Just(Step::ChangePassword),
        any::<bool>().prop_map(Step::Reload),
        Just(Step::Keep),
        Just(Step::Lose),
        Just(Step::Pass),
    ];
    prop::collection::vec((step, 0..WHO.len(), 0..PASSWORDS.len()), 1..60)
}

/// A hub, and what of it is on disk.
struct Scene {
    world: World,
    operator: ConnectionId,
    sessions: Vec<(ConnectionId, usize)>,
    /// By what clients may connect that have logged on, or might have.
    expected: Vec<Challenge>,
    in_file: BTreeSet<usize>,
    under_way: Vec<Change>,
    kept: Vec<Change>,
}

impl Scene {
    fn new() -> Scene {
        let now =
            Now { instant: Instant::from_micros(1), wall: WallTime::from_millis(1_700_000_000_000), ..Now::default() };
        let mut out = Outbox::new();
        let config = Config { sealing_key: Some(SealingKey::new([3; 32])), ..config() };
        let hub = Hub::new(config, [7; 32], Snapshot::default(), now, &mut out);
        let mut world = World { hub, now, next_slot: 0, requests: 0, derived: None };
        let operator = world.connect_as(Peer::Operator);
        let mut scene = Scene {
            world,
            operator,
            sessions: Vec::new(),
            expected: Vec::new(),
            in_file: BTreeSet::new(),
            under_way: out.changes,
            kept: Vec::new(),
        };
        scene.reload();
        scene
    }

    fn take(&mut self, outcome: Outcome) -> Outcome {
        let outcome = self.world.derive(outcome);
        self.under_way.extend(outcome.changes.iter().cloned());
        outcome
    }

    fn operate(&mut self, operation: Operation) {
        let outcome = self.world.ask(self.operator, Request::Operate(operation));
        self.take(outcome);
    }

    fn reload(&mut self) {
        let credentials = self.in_file.iter().map(|&who| Credential::new(name(WHO[who]), "from the file")).collect();
        let outcome = self.world.input(Input::Accounts { credentials, public: false });
        self.take(outcome);
    }

    fn step(&mut self, step: Step, who: usize, word: usize) {
        let (user, password) = (name(WHO[who]), Password::parse(PASSWORDS[word]).unwrap());
        match step {
            Step::Add => self.operate(Operation::Add { name: user, password, classic: word == 0 }),
            Step::Remove => self.operate(Operation::Remove(user)),
            Step::Reset => self.operate(Operation::SetPassword { name: user, password, classic: None }),
            Step::SignUp => {
                let connection = self.world.connect_encrypted();
                let first = ClientFirst::parse(&ClientExchange::new(&user, b"n", None).message()).unwrap();
                self.world.ask(connection, Request::LogIn { mechanism: Mechanism::Password, first, device: None });
                let keys = self.keys(who, word);
                let outcome = self.world.ask(connection, Request::SignUp(keys));
                self.take(outcome);
            }
            Step::ByDigest => {
                let connection = self.world.connect();
                let digest = PasswordDigest::of(&password);
                let outcome = self.world.ask(connection, Request::LogInByDigest { name: user, digest });
                self.take(outcome);
            }
            Step::LogOn => {
                let outcome = self.world.hello(here(), WHO[who]);
                if let &LogOnAnswer::Challenge(challenge) = outcome.log_on_answer() {
                    let outcome = self.world.respond(here(), WHO[who], Response::to(challenge, &password));
                    self.expected.push(challenge);
                    self.take(outcome);
                }
            }
            Step::Connect => {
                if let Some(challenge) = self.expected.pop() {
                    let (_, outcome) = self.world.come([127, 0, 0, 1], challenge);
                    self.take(outcome);
                }
            }
            Step::LogIn => {
                let connection = self.world.connect_encrypted();
                let outcome = self.world.exchange_bound(
                    connection,
                    WHO[who],
                    Mechanism::Password,
                    None,
                    Some(binding()),
                    |salt, iterations| Secret::salted(PASSWORDS[word], salt, iterations),
                );
                if outcome.logged_in() {
                    self.sessions.push((connection, who));
                }
                self.take(outcome);
            }
            Step::ChangePassword => {
                if let Some(&(connection, whose)) = self.sessions.last() {
                    let keys = self.keys(whose, word);
                    let outcome = self.world.ask(connection, Request::ChangePassword(keys));
                    self.take(outcome);
                }
            }
            Step::Reload(there) => {
                if there {
                    self.in_file.insert(who);
                } else {
                    self.in_file.remove(&who);
                }
                self.reload();
            }
            Step::Keep => self.kept.append(&mut self.under_way),
            Step::Lose => {
                let lost = std::mem::take(&mut self.under_way);
                let outcome = self.world.input(Input::CommitFailed(lost));
                self.take(outcome);
            }
            Step::Pass => {
                let outcome = self.world.pass(Duration::from_secs(6));
                self.take(outcome);
            }
        }
        for (_, session) in self.world.hub.presence.sessions() {
            assert!(self.world.hub.accounts.verifier(session.user).is_some(), "a session without an account");
        }
    }

    fn keys(&self, who: usize, word: usize) -> StoredKeys {
        let salt = self.world.hub.accounts.salt(&name(WHO[who]));
        StoredKeys::of(&Secret::salted(PASSWORDS[word], &salt, 1))
    }

    /// What the disk has in the end, as the store would fold it.
    fn fold(&self) -> (BTreeMap<String, UserId>, BTreeMap<UserId, Account>) {
        let (mut names, mut ids, mut accounts) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for change in &self.kept {
            match change {
                Change::User { id, name } => {
                    let before = names.insert(name.folded(), *id);
                    assert!(before.is_none_or(|before| before == *id), "{name} is two users'");
                    ids.insert(*id, name.folded());
                }
                Change::Retired { user } => {
                    let name = &ids[user];
                    if names.get(name) == Some(user) {
                        names.remove(name);
                    }
                }
                Change::Account { user, account, .. } => {
                    assert!(ids.contains_key(user), "an account of nobody's");
                    match account {
                        Some(account) => accounts.insert(*user, account.clone()),
                        None => accounts.remove(user),
                    };
                }
                _ => {}
            }
        }
        (names, accounts)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn whatever_is_lost_the_disk_says_what_the_hub_says(steps in steps()) {
        let mut scene = Scene::new();
        for (step, who, word) in steps {
            scene.step(step, who, word);
        }
        // The disk is well again, and everything that is still to be stored is.
        for step in [Step::Keep, Step::Pass, Step::Keep] {
            scene.step(step, 0, 0);
        }
        let (names, accounts) = scene.fold();
        let hub = &scene.world.hub.accounts;
        for user in WHO {
            let id = hub.find_ever(&name(user));
            let kept = id.and_then(|id| hub.kept(id));
            let on_disk = names.get(user).and_then(|id| accounts.get(id));
            prop_assert_eq!(kept, on_disk, "{}", user);
            if kept.is_some() {
                prop_assert_eq!(id, names.get(user).copied(), "{}", user);
            }
        }
        let named: BTreeSet<&UserId> = names.values().collect();
        prop_assert!(accounts.keys().all(|id| named.contains(id)), "an account that nobody can find");
    }
}
