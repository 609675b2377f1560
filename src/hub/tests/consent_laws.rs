//! Questions and answers in any order, while commits fail, clocks jump and the server is started anew, against a small model
//! of what docs/PROTOCOL.md says. Law 9: no address of a user's reaches another without a yes that is on disk.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;
use proptest::sample::select;

use super::consent::*;
use super::*;
use crate::hub::change::ConsentRow;
use crate::hub::consent::{ANSWER_WITHIN, ASK_AGAIN_AFTER, CONNECT_WITHIN};
use crate::hub::effect::{AskOver, NoAddress, Pending, PrivacyList};
use crate::hub::id::UserId;

/// How somebody is logged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Phone,
    Desk,
    InTheClear,
    /// By the `session` protocol.
    Session,
    Command,
}

const KINDS: [Kind; 5] = [Kind::Phone, Kind::Desk, Kind::InTheClear, Kind::Session, Kind::Command];

impl Kind {
    /// Whether they could talk to another client without the server, and know its certificate.
    fn can_talk(self) -> bool {
        !matches!(self, Kind::InTheClear | Kind::Session)
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// These two both come, if they are not there, and the first asks the second, who answers if there is an answer.
    Meet(usize, usize, Option<bool>),
    /// The first blocks the second, which reaches the disk, and takes that back, which does not yet.
    Quarrel(usize, usize),
    LogIn(usize, Kind),
    Close(usize, Kind),
    Ask(usize, Kind, usize),
    Answer(usize, Kind, usize, bool),
    Revoke(usize, Kind, usize),
    Block(usize, Kind, usize),
    Unblock(usize, Kind, usize),
    Pass(Duration),
    /// The wall clock only.
    Jump(i64),
    /// So many of the turns that are under way reach the disk, the oldest first.
    Keep(usize),
    /// None of those that are under way does.
    Lose,
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Few, so that they meet.
    let who = || 0..3_usize;
    let kind = || select(KINDS.to_vec());
    let micros = |time: Duration| time.as_micros() as u64;
    let times: Vec<u64> = [ANSWER_WITHIN, ASK_AGAIN_AFTER, CONNECT_WITHIN].into_iter().map(micros).collect();
    let times = prop_oneof![select(times), 0..micros(CONNECT_WITHIN)].prop_map(Duration::from_micros);
    let step = prop_oneof![
        6 => (who(), who(), any::<Option<bool>>()).prop_map(|(a, b, answer)| Step::Meet(a, b, answer)),
        1 => (who(), who()).prop_map(|(a, b)| Step::Quarrel(a, b)),
        3 => (who(), kind()).prop_map(|(a, kind)| Step::LogIn(a, kind)),
        1 => (who(), kind()).prop_map(|(a, kind)| Step::Close(a, kind)),
        3 => (who(), kind(), who()).prop_map(|(a, kind, b)| Step::Ask(a, kind, b)),
        3 => (who(), kind(), who(), any::<bool>()).prop_map(|(a, kind, b, yes)| Step::Answer(a, kind, b, yes)),
        2 => (who(), kind(), who()).prop_map(|(a, kind, b)| Step::Revoke(a, kind, b)),
        1 => (who(), kind(), who()).prop_map(|(a, kind, b)| Step::Block(a, kind, b)),
        2 => (who(), kind(), who()).prop_map(|(a, kind, b)| Step::Unblock(a, kind, b)),
        2 => times.prop_map(Step::Pass),
        1 => (-2_000_000..2_000_000_i64).prop_map(Step::Jump),
        3 => (1..10_usize).prop_map(Step::Keep),
        2 => Just(Step::Lose),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..80)
}

#[derive(Clone, Copy, Debug)]
struct Question {
    asker: usize,
    connection: ConnectionId,
    until: Instant,
}

/// A yes that holds, and until when by the clock that does not jump.
#[derive(Clone, Copy, Debug)]
struct Yes {
    row: ConsentRow,
    until: Instant,
}

/// What the disk has.
#[derive(Clone, Debug, Default)]
struct Disk {
    rows: BTreeMap<(UserId, UserId), ConsentRow>,
    blocks: BTreeSet<(UserId, UserId)>,
}

impl Disk {
    fn apply(&mut self, change: &Change) {
        match *change {
            Change::Consent { row, .. } => _ = self.rows.insert((row.of, row.to), row),
            Change::ConsentOver { row, .. } => _ = self.rows.remove(&(row.of, row.to)),
            Change::Block { user, other, .. } => _ = self.blocks.insert((user, other)),
            Change::Unblock { user, other, .. } => _ = self.blocks.remove(&(user, other)),
            _ => {}
        }
    }
}

/// The changes of a turn, and what may leave only when they and all before them are on disk.
struct Turn {
    changes: Vec<Change>,
    effects: Vec<Effect>,
}

/// A hub, the model, and the disk.
struct Scene {
    circle: Circle,
    sessions: BTreeMap<(usize, Kind), ConnectionId>,
    /// By who is asked.
    questions: BTreeMap<usize, Question>,
    yeses: BTreeMap<(usize, usize), Yes>,
    /// Until when who (the second) may not ask whom (the first).
    unwilling: BTreeMap<(usize, usize), Instant>,
    blocks: BTreeSet<(usize, usize)>,
    disk: Disk,
    under_way: VecDeque<Turn>,
}

/// What is expected of a step.
type Expected = (Vec<Effect>, Vec<Change>);

impl Scene {
    fn new() -> Scene {
        let circle =
            Circle { world: World::with(Config { heartbeat_timeout: NEVER, ..config() }, Snapshot::default()) };
        Scene {
            circle,
            sessions: BTreeMap::new(),
            questions: BTreeMap::new(),
            yeses: BTreeMap::new(),
            unwilling: BTreeMap::new(),
            blocks: BTreeSet::new(),
            disk: Disk::default(),
            under_way: VecDeque::new(),
        }
    }

    fn now(&self) -> Now {
        self.circle.world.now
    }

    fn id(&self, who: usize) -> UserId {
        self.circle.id(NAMES[who])
    }

    fn who(&self, id: UserId) -> usize {
        (0..NAMES.len()).find(|&who| self.id(who) == id).unwrap()
    }

    fn of_user(&self, who: usize) -> Vec<ConnectionId> {
        let mut all: Vec<_> = self.sessions.iter().filter(|((user, _), _)| *user == who).map(|(_, &at)| at).collect();
        all.sort();
        all
    }

    /// The devices by TLS.
    fn able(&self, who: usize) -> Vec<ConnectionId> {
        let able = |kind| self.sessions.get(&(who, kind)).copied();
        let mut all: Vec<_> = [Kind::Phone, Kind::Desk].into_iter().filter_map(able).collect();
        all.sort();
        all
    }

    fn is_online(&self, who: usize) -> bool {
        self.sessions.keys().any(|&(user, kind)| user == who && kind != Kind::Command)
    }

    /// One of them has blocked the other.
    fn are_apart(&self, a: usize, b: usize) -> bool {
        self.blocks.contains(&(a, b)) || self.blocks.contains(&(b, a))
    }

    fn close_question(&mut self, asked: usize) -> Question {
        let question = self.questions.remove(&asked).unwrap();
        self.unwilling.insert((asked, question.asker), self.now().instant + ASK_AGAIN_AFTER);
        question
    }

    // What is expected.

    fn ask(&mut self, who: usize, kind: Kind, whom: usize, answer: impl Fn(Answer, IfLost) -> Effect) -> Expected {
        let user = || name(NAMES[whom]);
        let connection = self.sessions[&(who, kind)];
        let asks_of = |asker| self.questions.get(&whom).is_some_and(|question| (question.asker == who) == asker);
        let refusal = if !kind.can_talk() {
            Some(Refusal::NeedsTls)
        } else if who == whom {
            Some(Refusal::CannotAskYourself)
        } else if self.blocks.contains(&(who, whom)) {
            Some(Refusal::BlockedByYou(user()))
        } else if self.blocks.contains(&(whom, who)) {
            Some(Refusal::BlockedBy(user()))
        } else if !self.is_online(whom) {
            Some(Refusal::Offline(user()))
        } else if self.able(whom).is_empty() {
            Some(Refusal::CannotBeAsked(user()))
        } else if asks_of(true) {
            Some(Refusal::AlreadyAsked(user()))
        } else if asks_of(false) {
            Some(Refusal::Busy(user()))
        } else if self.unwilling.contains_key(&(whom, who)) {
            Some(Refusal::AskedLately(user()))
        } else {
            None
        };
        if let Some(refusal) = refusal {
            return (vec![answer(Err(refusal), IfLost::Send)], vec![]);
        }
        let until = self.now().instant + ANSWER_WITHIN;
        self.questions.insert(whom, Question { asker: who, connection, until });
        let mut effects: Vec<Effect> =
            self.able(whom).into_iter().map(|device| asks(device, NAMES[who], connection, ANSWER_WITHIN)).collect();
        effects.push(answer(Ok(asked(NAMES[whom])), IfLost::Send));
        (effects, vec![])
    }

    fn answer(
        &mut self,
        who: usize,
        kind: Kind,
        whom: usize,
        yes: bool,
        answer: impl Fn(Answer, IfLost) -> Effect,
    ) -> Expected {
        let connection = self.sessions[&(who, kind)];
        if !kind.can_talk() {
            return (vec![answer(Err(Refusal::NeedsTls), IfLost::Send)], vec![]);
        }
        let Some(&question) = self.questions.get(&who).filter(|question| question.asker == whom) else {
            return (vec![answer(Err(Refusal::NotAsked(name(NAMES[whom]))), IfLost::Send)], vec![]);
        };
        let others: Vec<_> = self.able(who).into_iter().filter(|&device| device != connection).collect();
        if !yes {
            self.close_question(who);
            let mut effects = vec![no_address(question.connection, NAMES[who], NoAddress::Declined)];
            effects.extend(others.into_iter().map(|device| ask_over(device, NAMES[whom], AskOver::Answered)));
            effects.push(answer(Ok(Reply::Declined(name(NAMES[whom]))), IfLost::Send));
            return (effects, vec![]);
        }
        self.questions.remove(&who);
        assert!(!self.are_apart(who, whom), "nobody who is blocked, and nobody who blocks, has a question open");
        let row = self.circle.row(NAMES[who], NAMES[whom]);
        let until = self.now().instant + CONNECT_WITHIN;
        let before = self.yeses.insert((who, whom), Yes { row, until }).map(|yes| yes.row);
        let mut effects = vec![address(question.connection, NAMES[who], connection)];
        effects.extend(others.into_iter().map(|device| ask_answered(device, NAMES[whom])));
        effects.push(answer(Ok(consented(NAMES[whom], question.connection)), IfLost::Refuse));
        (effects, vec![given(row, before, question.connection)])
    }

    fn take_back(&mut self, who: usize, kind: Kind, whom: usize) -> Option<Expected> {
        let Yes { row, .. } = self.yeses.remove(&(who, whom))?;
        let connection = self.sessions[&(who, kind)];
        let mut effects: Vec<Effect> =
            self.of_user(whom).into_iter().map(|connection| revoked(connection, NAMES[who])).collect();
        let others = self.able(who).into_iter().filter(|&device| device != connection);
        effects.extend(others.map(|device| taken_back(device, NAMES[whom])));
        Some((effects, vec![Change::ConsentOver { row, revoked: true }]))
    }

    fn revoke(&mut self, who: usize, kind: Kind, whom: usize, answer: impl Fn(Answer, IfLost) -> Effect) -> Expected {
        let refusal = Err(Refusal::NotConsented(name(NAMES[whom])));
        let Some((mut effects, changes)) = self.take_back(who, kind, whom) else {
            return (vec![answer(refusal, IfLost::Refuse)], vec![]);
        };
        effects.push(answer(Ok(Reply::Revoked(name(NAMES[whom]))), IfLost::Refuse));
        (effects, changes)
    }

    /// The questions between the two end.
    fn part(&mut self, who: usize, whom: usize) -> Vec<Effect> {
        let mut effects = Vec::new();
        if self.questions.get(&who).is_some_and(|question| question.asker == whom) {
            let question = self.close_question(who);
            effects.push(no_address(question.connection, NAMES[who], NoAddress::Declined));
            effects.extend(self.able(who).into_iter().map(|device| ask_over(device, NAMES[whom], AskOver::Blocked)));
        }
        if self.questions.get(&whom).is_some_and(|question| question.asker == who) {
            let question = self.close_question(whom);
            effects.push(no_address(question.connection, NAMES[whom], NoAddress::Withdrawn));
            effects.extend(self.able(whom).into_iter().map(|device| ask_over(device, NAMES[who], AskOver::Withdrawn)));
        }
        effects
    }

    fn block(&mut self, who: usize, kind: Kind, whom: usize, answer: impl Fn(Answer, IfLost) -> Effect) -> Expected {
        if who == whom {
            return (vec![answer(Err(Refusal::CannotBlockYourself), IfLost::Send)], vec![]);
        }
        let (mut effects, mut changes) = (Vec::new(), Vec::new());
        if self.blocks.insert((who, whom)) {
            changes.push(Change::Block { user: self.id(who), other: self.id(whom), shown: Number(0) });
            effects = self.part(who, whom);
            if let Some((told, over)) = self.take_back(who, kind, whom) {
                effects.extend(told);
                changes.extend(over);
            }
        }
        effects.push(answer(Ok(Reply::Blocked(name(NAMES[whom]))), IfLost::Refuse));
        (effects, changes)
    }

    fn unblock(&mut self, who: usize, whom: usize, answer: impl Fn(Answer, IfLost) -> Effect) -> Expected {
        if !self.blocks.remove(&(who, whom)) {
            return (vec![answer(Err(Refusal::NotBlocked(name(NAMES[whom]))), IfLost::Refuse)], vec![]);
        }
        let change = Change::Unblock { user: self.id(who), other: self.id(whom), shown: Number(0) };
        (vec![answer(Ok(Reply::Unblocked(name(NAMES[whom]))), IfLost::Refuse)], vec![change])
    }

    /// Whoever was there is gone.
    fn withdraw(&mut self, who: usize, gone: ConnectionId) -> Vec<Effect> {
        let on_it = |(&asked, question): (&usize, &Question)| (question.connection == gone).then_some(asked);
        let asked: Vec<usize> = self.questions.iter().filter_map(on_it).collect();
        let mut effects = Vec::new();
        for asked in asked {
            self.close_question(asked);
            effects.extend(self.able(asked).into_iter().map(|device| ask_over(device, NAMES[who], AskOver::Withdrawn)));
        }
        effects
    }

    fn end_if_nobody_can_answer(&mut self, who: usize) -> Vec<Effect> {
        match self.questions.get(&who) {
            Some(&question) if self.able(who).is_empty() => {
                // Who asked may ask again at once.
                self.questions.remove(&who);
                vec![no_address(question.connection, NAMES[who], NoAddress::Offline)]
            }
            _ => vec![],
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let questions = self.questions.values().map(|question| question.until);
        questions.chain(self.yeses.values().map(|yes| yes.until)).chain(self.unwilling.values().copied()).min()
    }

    /// What ends at this moment.
    fn end(&mut self) -> Expected {
        let now = self.now().instant;
        let (mut effects, mut changes) = (Vec::new(), Vec::new());
        let over: Vec<_> = self.questions.iter().filter(|(_, q)| q.until <= now).map(|(&asked, _)| asked).collect();
        for asked in over {
            let question = self.close_question(asked);
            effects.push(no_address(question.connection, NAMES[asked], NoAddress::Expired));
            let told = |device| ask_over(device, NAMES[question.asker], AskOver::Expired);
            effects.extend(self.able(asked).into_iter().map(told));
        }
        self.yeses.retain(|_, yes| {
            if yes.until <= now {
                changes.push(Change::ConsentOver { row: yes.row, revoked: false });
            }
            yes.until > now
        });
        self.unwilling.retain(|_, until| *until > now);
        (effects, changes)
    }

    // What is done.

    /// Compares, and takes what came into the turns that are under way.
    fn compare(&mut self, yeses_before: &BTreeSet<(UserId, UserId)>, outcome: Outcome, expected: Expected) {
        let outcome = outcome.flat();
        let by_connection = |mut effects: Vec<Effect>| {
            effects.sort_by_key(|effect| match effect {
                Effect::Event { to: Recipients::One(connection), .. } | Effect::Reply { connection, .. } => *connection,
                other => panic!("{other:?}"),
            });
            effects
        };
        let is_ours = |effect: &Effect| match effect {
            Effect::Reply { answer, .. } => {
                !matches!(answer, Ok(Reply::LoggedIn { .. } | Reply::Challenge { .. } | Reply::Welcome { .. }))
            }
            Effect::Event { event, .. } => {
                !matches!(event, Event::Online(_) | Event::Offline(_) | Event::Token | Event::Closing(_))
            }
            _ => false,
        };
        let effects: Vec<Effect> = outcome.effects.iter().filter(|effect| is_ours(effect)).cloned().collect();
        assert_eq!(by_connection(effects), by_connection(expected.0));
        let ours = |change: &&Change| {
            matches!(
                change,
                Change::Consent { .. } | Change::ConsentOver { .. } | Change::Block { .. } | Change::Unblock { .. }
            )
        };
        let changes: Vec<Change> = outcome.changes.iter().filter(ours).cloned().collect();
        assert!(changes.ends_with(&expected.1), "{changes:?} ends with {:?}", expected.1);
        // What could not be stored before goes first, and ends nothing that holds.
        for late in &changes[..changes.len() - expected.1.len()] {
            let Change::ConsentOver { row, revoked: false } = late else { panic!("{late:?}") };
            assert!(!yeses_before.contains(&(row.of, row.to)), "{late:?}");
        }
        self.take(outcome);
    }

    /// What rests on the disk waits for it, the rest leaves.
    fn take(&mut self, outcome: Outcome) {
        let (resting, leaving): (Vec<Effect>, Vec<Effect>) = outcome.effects.into_iter().partition(|effect| {
            matches!(
                effect,
                Effect::Event { if_lost: IfLost::Drop, .. } | Effect::Reply { if_lost: IfLost::Refuse, .. }
            )
        });
        for effect in leaving {
            assert!(!tells_address(&effect), "an address that does not wait for the disk: {effect:?}");
        }
        if outcome.changes.is_empty() && self.under_way.is_empty() {
            resting.iter().for_each(|effect| self.leave(effect, &[]));
        } else {
            self.under_way.push_back(Turn { changes: outcome.changes, effects: resting });
        }
    }

    /// Law 9. `changes` are those of its turn; they are on disk.
    fn leave(&self, effect: &Effect, changes: &[Change]) {
        if !tells_address(effect) {
            return;
        }
        let user = |connection: &ConnectionId| {
            let session = self.sessions.iter().find(|(_, at)| *at == connection);
            session.map(|(&(who, _), _)| who)
        };
        let (to, other, is_the_yes) = match effect {
            Effect::Event { to: Recipients::One(to), event: Event::Address { user: of, .. }, .. } => (to, of, true),
            Effect::Reply { connection, answer: Ok(Reply::Consented { user, .. }), .. } => (connection, user, false),
            other => panic!("{other:?}"),
        };
        // It may be gone by now: then it goes nowhere.
        let Some(to) = user(to) else { return };
        let (to, other) = (self.id(to), self.circle.id(other.as_str()));
        let (of, to) = if is_the_yes { (other, to) } else { (to, other) };
        let yes = changes.iter().find_map(|change| match change {
            Change::Consent { row, .. } if (row.of, row.to) == (of, to) => Some(row),
            _ => None,
        });
        assert_eq!(
            self.disk.rows.get(&(of, to)),
            Some(yes.expect("the yes is a change of the turn")),
            "and is on disk"
        );
        let blocks = &self.disk.blocks;
        assert!(!blocks.contains(&(of, to)) && !blocks.contains(&(to, of)), "a block is on disk");
    }

    fn yeses_now(&self) -> BTreeSet<(UserId, UserId)> {
        self.yeses.values().map(|yes| (yes.row.of, yes.row.to)).collect()
    }

    fn request(
        &mut self,
        who: usize,
        kind: Kind,
        request: impl FnOnce(ConnectionId) -> Request,
        expect: impl FnOnce(&mut Scene, &dyn Fn(Answer, IfLost) -> Effect) -> Expected,
    ) {
        let Some(&connection) = self.sessions.get(&(who, kind)) else { return };
        let before = self.yeses_now();
        let outcome = self.circle.world.ask(connection, request(connection));
        let id = self.circle.world.id();
        let answer = move |answer, if_lost| Effect::Reply { connection, id: Some(id), answer, if_lost };
        let expected = expect(self, &answer);
        self.compare(&before, outcome, expected);
    }

    fn step(&mut self, step: Step) {
        let before = self.yeses_now();
        match step {
            Step::Meet(a, b, answer) => {
                for who in [a, b] {
                    if !self.sessions.contains_key(&(who, Kind::Phone)) {
                        self.step(Step::LogIn(who, Kind::Phone));
                    }
                }
                self.step(Step::Ask(a, Kind::Phone, b));
                if let Some(yes) = answer {
                    self.step(Step::Answer(b, Kind::Phone, a, yes));
                }
            }
            Step::Quarrel(a, b) => {
                if !self.sessions.contains_key(&(a, Kind::Phone)) {
                    self.step(Step::LogIn(a, Kind::Phone));
                }
                self.step(Step::Block(a, Kind::Phone, b));
                self.step(Step::Keep(usize::MAX));
                self.step(Step::Unblock(a, Kind::Phone, b));
            }
            Step::LogIn(who, kind) => {
                if kind == Kind::Command && self.sessions.contains_key(&(who, kind)) {
                    return;
                }
                let native = |circle: &mut Circle, device, over| circle.log_in_on(NAMES[who], device, over);
                let (connection, outcome) = match kind {
                    Kind::Phone => native(&mut self.circle, Some(1), Some(binding())),
                    Kind::Desk => native(&mut self.circle, Some(2), Some(binding())),
                    Kind::InTheClear => native(&mut self.circle, Some(3), None),
                    Kind::Session => self.circle.world.begin(NAMES[who], Manner::Session, DeviceId::SESSION),
                    Kind::Command => native(&mut self.circle, None, Some(binding())),
                };
                let mut effects = match self.sessions.remove(&(who, kind)) {
                    Some(older) => self.withdraw(who, older),
                    None => vec![],
                };
                self.sessions.insert((who, kind), connection);
                if let Some(question) = self.questions.get(&who)
                    && matches!(kind, Kind::Phone | Kind::Desk)
                {
                    let left = question.until.since(self.now().instant);
                    effects.push(asks(connection, NAMES[question.asker], question.connection, left));
                }
                effects.extend(self.end_if_nobody_can_answer(who));
                self.compare(&before, outcome, (effects, vec![]));
            }
            Step::Close(who, kind) => {
                let Some(connection) = self.sessions.remove(&(who, kind)) else { return };
                let outcome = self.circle.world.close(connection);
                let mut effects = self.withdraw(who, connection);
                effects.extend(self.end_if_nobody_can_answer(who));
                self.compare(&before, outcome, (effects, vec![]));
            }
            Step::Ask(who, kind, whom) => self.request(
                who,
                kind,
                |at| Request::AskAddress { user: name(NAMES[whom]), certificate: Some(shown_by(at)) },
                |scene, answer| scene.ask(who, kind, whom, answer),
            ),
            Step::Answer(who, kind, whom, yes) => self.request(
                who,
                kind,
                |at| Request::Consent { user: name(NAMES[whom]), offer: yes.then(|| offer_of(at)) },
                |scene, answer| scene.answer(who, kind, whom, yes, answer),
            ),
            Step::Revoke(who, kind, whom) => self.request(
                who,
                kind,
                |_| Request::Revoke(name(NAMES[whom])),
                |scene, answer| scene.revoke(who, kind, whom, answer),
            ),
            Step::Block(who, kind, whom) => self.request(
                who,
                kind,
                |_| Request::Block(name(NAMES[whom])),
                |scene, answer| scene.block(who, kind, whom, answer),
            ),
            Step::Unblock(who, kind, whom) => self.request(
                who,
                kind,
                |_| Request::Unblock(name(NAMES[whom])),
                |scene, answer| scene.unblock(who, whom, answer),
            ),
            Step::Pass(time) => {
                let end = self.now().instant + time;
                loop {
                    let next = self.next_deadline().map_or(end, |at| at.min(end));
                    let before = self.yeses_now();
                    let outcome = self.circle.world.pass(next.since(self.now().instant));
                    let expected = self.end();
                    self.compare(&before, outcome, expected);
                    if next == end {
                        return;
                    }
                }
            }
            Step::Jump(millis) => {
                let wall = &mut self.circle.world.now.wall;
                *wall = WallTime::from_millis(wall.as_millis().saturating_add_signed(millis));
            }
            Step::Keep(turns) => {
                for _ in 0..turns {
                    let Some(Turn { changes, effects }) = self.under_way.pop_front() else { return };
                    changes.iter().for_each(|change| self.disk.apply(change));
                    effects.iter().for_each(|effect| self.leave(effect, &changes));
                }
            }
            Step::Lose => self.lose(),
            Step::Restart => self.restart(),
        }
    }

    /// None of the turns that are under way has reached the disk: what rested on them is void.
    fn lose(&mut self) {
        let lost: Vec<Change> = std::mem::take(&mut self.under_way).into_iter().flat_map(|turn| turn.changes).collect();
        let outcome = self.circle.world.input(Input::CommitFailed(lost.clone())).flat();
        self.blocks = self.disk.blocks.iter().map(|&(user, other)| (self.who(user), self.who(other))).collect();
        let pairs: BTreeSet<(UserId, UserId)> = lost.iter().filter_map(pair_of).collect();
        for (of, to) in pairs {
            let pair = (self.who(of), self.who(to));
            self.yeses.remove(&pair);
            // What has ended by itself has ended, whatever the disk says.
            let ended = |change: &Change| matches!(change, Change::ConsentOver { revoked: false, .. });
            if lost.iter().any(|change| ended(change) && pair_of(change) == Some((of, to))) {
                continue;
            }
            if let Some(&row) = self.disk.rows.get(&(of, to)) {
                self.holds(pair, row);
            }
        }
        let told = |connection, event: Event| outcome.events_for(connection).contains(&&event);
        for (asked, asker) in self.blocks.clone().into_iter().flat_map(|(a, b)| [(a, b), (b, a)]) {
            // A question that was asked while the block did not hold.
            if self.questions.get(&asked).is_some_and(|question| question.asker == asker) {
                let question = self.close_question(asked);
                let why =
                    if self.blocks.contains(&(asked, asker)) { NoAddress::Declined } else { NoAddress::Withdrawn };
                // Where both block, which is told first is all the same.
                let both = self.blocks.contains(&(asked, asker)) && self.blocks.contains(&(asker, asked));
                let user = name(NAMES[asked]);
                assert!(both || told(question.connection, Event::NoAddress { user, why }), "{outcome:?}");
            }
        }
        // Nobody waits for ever.
        for change in &lost {
            let Change::Consent { row, waits, .. } = change else { continue };
            let (of, to) = (self.who(row.of), self.who(row.to));
            let asks_again = |question: &Question| question.asker == to && question.connection == *waits;
            if !self.questions.get(&of).is_some_and(asks_again) {
                let events = outcome.events_for(*waits);
                let is_told =
                    |event: &&Event| matches!(event, Event::NoAddress { user, .. } if *user == name(NAMES[of]));
                assert!(events.iter().any(is_told), "{outcome:?}");
            }
        }
        for effect in &outcome.effects {
            let fits = match effect {
                Effect::Event { event: Event::NoAddress { .. } | Event::AskOver { .. }, if_lost, .. } => {
                    *if_lost == IfLost::Send
                }
                _ => false,
            };
            assert!(fits, "{effect:?}");
        }
        self.take(outcome);
    }

    /// A yes of which the disk knows, as long as the wall clock says, and not longer than a fresh one.
    fn holds(&mut self, pair: (usize, usize), row: ConsentRow) {
        let left = row.until.since(self.now().wall).min(CONNECT_WITHIN);
        if !left.is_zero() {
            self.yeses.insert(pair, Yes { row, until: self.now().instant + left });
        }
    }

    /// The server is killed and begins anew with what is on disk.
    fn restart(&mut self) {
        self.under_way.clear();
        self.sessions.clear();
        self.questions.clear();
        self.unwilling.clear();
        self.yeses.clear();
        self.blocks = self.disk.blocks.iter().map(|&(user, other)| (self.who(user), self.who(other))).collect();
        let users = (0..NAMES.len()).map(|who| (self.id(who), name(NAMES[who]))).collect();
        let rows: Vec<ConsentRow> = self.disk.rows.values().copied().collect();
        let blocks = self.disk.blocks.iter().map(|&(user, other)| (user, other, Number(0))).collect();
        let snapshot = Snapshot { users, blocks, consents: rows.clone(), ..Snapshot::default() };
        let (now, mut out) = (self.now(), Outbox::new());
        let world = &mut self.circle.world;
        world.hub = Hub::new(Config { heartbeat_timeout: NEVER, ..config() }, [7; 32], snapshot, now, &mut out);
        self.under_way.push_back(Turn { changes: out.changes.clone(), effects: vec![] });
        for row in rows {
            self.holds((self.who(row.of), self.who(row.to)), row);
        }
        let over: Vec<Change> = out.changes.into_iter().filter(|change| pair_of(change).is_some()).collect();
        let over_now = self.disk.rows.values().filter(|row| !self.yeses_now().contains(&(row.of, row.to)));
        let over_now: Vec<Change> = over_now.map(|&row| Change::ConsentOver { row, revoked: false }).collect();
        assert_eq!(over, over_now);
        let outcome = self.circle.world.read_accounts(credentials());
        self.take(outcome);
    }

    /// What the hub says to each who is there is what the model says.
    fn check_lists(&mut self) {
        let now = self.now().instant;
        for (who, user) in NAMES.into_iter().enumerate() {
            let Some(&connection) = self.of_user(who).first() else { continue };
            let pending = |user: usize, until: Instant| Pending { user: name(NAMES[user]), left: until.since(now) };
            let names = |ids: Vec<usize>| ids.into_iter().map(|user| name(NAMES[user])).collect();
            let list = PrivacyList {
                blocked: names(self.blocks.iter().filter(|(user, _)| *user == who).map(|&(_, other)| other).collect()),
                consents: self
                    .yeses
                    .iter()
                    .filter(|((of, _), _)| *of == who)
                    .map(|(&(_, to), yes)| pending(to, yes.until))
                    .collect(),
                asked_by: self.questions.get(&who).map(|question| pending(question.asker, question.until)),
                asking: self
                    .questions
                    .iter()
                    .filter(|(_, question)| question.asker == who)
                    .map(|(&asked, question)| pending(asked, question.until))
                    .collect(),
            };
            assert_eq!(self.circle.privacy(connection), list, "{user}");
        }
    }
}

fn tells_address(effect: &Effect) -> bool {
    matches!(
        effect,
        Effect::Event { event: Event::Address { .. }, .. } | Effect::Reply { answer: Ok(Reply::Consented { .. }), .. }
    )
}

fn pair_of(change: &Change) -> Option<(UserId, UserId)> {
    match change {
        Change::Consent { row, .. } | Change::ConsentOver { row, .. } => Some((row.of, row.to)),
        _ => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn no_address_leaves_without_a_yes_that_is_on_disk(steps in steps()) {
        let mut scene = Scene::new();
        for step in steps {
            scene.step(step);
            scene.check_lists();
        }
        // The disk is well again, everybody goes, and after a time nothing is left of anything, there and here.
        scene.step(Step::Keep(usize::MAX));
        for (who, kind) in scene.sessions.keys().copied().collect::<Vec<_>>() {
            scene.step(Step::Close(who, kind));
        }
        scene.step(Step::Pass(CONNECT_WITHIN));
        scene.step(Step::Keep(usize::MAX));
        scene.step(Step::Pass(Duration::from_secs(10)));
        scene.step(Step::Keep(usize::MAX));
        prop_assert!(scene.circle.is_empty());
        prop_assert_eq!(scene.disk.rows, BTreeMap::new());
    }
}
