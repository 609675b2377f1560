//! Log-ons to the `session` protocol, by datagrams that are no connection, up to the connection that they are for
//! (protocols.md, section 2).
//!
//! Datagrams get lost, and come twice: whoever asks again is answered again, and nothing counts twice. Nothing proves where one
//! comes from until a challenge that went there was answered, so what answers none is not looked at. Whoever asks for a
//! challenge has tried nothing: that a name is nobody's is told, and not counted.

use std::collections::BTreeSet;
use std::time::Duration;

use super::accounts::Accounts;
use super::challenge::{Challenge, Response, SessionKey};
use super::effect::{Close, Effect, IfLost, LogInFailure, LogOnAnswer, Outbox, Refusal};
use super::expiring::{Entry, Expiring};
use super::id::{ConnectionId, DeviceId, Endpoint, PeerAddress, RequestId, Source, UserId};
use super::input::{DeviceClaim, LogOn};
use super::log_in::Proved;
use super::name::UserName;
use super::presence::Manner;
use super::time::{Instant, Now};
use super::{Answered, Hub};

/// Until a challenge is answered. So long a response that comes again is known.
pub const RESPONSE_WITHIN: Duration = Duration::from_secs(60);
/// Until whoever has logged on connects.
pub const CONNECT_WITHIN: Duration = Duration::from_secs(60);
/// Users and endpoints that are challenged at a time, from one source and in all. With one more, the one that was challenged
/// first is not any more.
pub const A_SOURCE_MAX: usize = 64;
pub const CHALLENGED_MAX: usize = 4096;
/// Those who have logged on and may connect, from one address and in all; of a user's at one address it is the last. With one
/// more, the first is not expected any more.
pub const AN_ADDRESS_MAX: usize = 64;
pub const EXPECTED_MAX: usize = 4096;

/// Those who log on, and those who have.
#[derive(Debug)]
pub struct LogOns {
    /// One for each user and endpoint.
    challenged: Expiring<Source, (Endpoint, UserId), Challenged>,
    expected: Expiring<PeerAddress, Challenge, UserId>,
}

/// How far somebody has come at an endpoint.
#[derive(Debug)]
struct Challenged {
    /// To be answered.
    open: Option<Challenge>,
    /// The last one that was.
    closed: Option<Closed>,
}

/// A challenge that was answered, and what came of it.
#[derive(Clone, Debug)]
struct Closed {
    response: Response,
    answer: LogOnAnswer,
    until: Instant,
}

/// What a response answers.
enum Answers {
    /// This challenge, which ends then.
    Open(Challenge, Instant),
    /// One that was answered like this before.
    Closed(LogOnAnswer),
    Nothing,
}

impl Default for LogOns {
    fn default() -> LogOns {
        LogOns {
            challenged: Expiring::new(A_SOURCE_MAX, CHALLENGED_MAX),
            expected: Expiring::new(AN_ADDRESS_MAX, EXPECTED_MAX),
        }
    }
}

impl LogOns {
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        [self.challenged.next_end(), self.expected.next_end()].into_iter().flatten().min()
    }

    fn open(&self, from: Endpoint, user: UserId) -> Option<Challenge> {
        self.challenged.get(from.peer().source(), (from, user))?.value.open
    }

    /// This challenge is to be answered; what came of the one before is still known.
    fn challenge(&mut self, from: Endpoint, user: UserId, challenge: Challenge, until: Instant) {
        let (source, key) = (from.peer().source(), (from, user));
        let closed = self.challenged.get_mut(source, key).and_then(|challenged| challenged.closed.take());
        self.challenged.insert(source, key, until, Challenged { open: Some(challenge), closed });
    }

    fn answers(&self, now: Instant, from: Endpoint, user: UserId, response: Response) -> Answers {
        let Some(Entry { until, value }) = self.challenged.get(from.peer().source(), (from, user)) else {
            return Answers::Nothing;
        };
        let again = value.closed.as_ref().filter(|closed| now < closed.until && closed.response == response);
        match (again, value.open) {
            (Some(closed), _) => Answers::Closed(closed.answer.clone()),
            (None, Some(open)) => Answers::Open(open, *until),
            (None, None) => Answers::Nothing,
        }
    }

    /// The open challenge was answered.
    fn close(&mut self, from: Endpoint, user: UserId, closed: Closed) {
        if let Some(challenged) = self.challenged.get_mut(from.peer().source(), (from, user)) {
            *challenged = Challenged { open: None, closed: Some(closed) };
        }
    }

    pub(super) fn check_invariants(&self, accounts: &Accounts) {
        self.challenged.check_invariants();
        self.expected.check_invariants();
        let challenged = self.challenged.iter().map(|((_, user), _)| user);
        for user in challenged.chain(self.expected.iter().map(|(_, &user)| user)) {
            assert!(accounts.verifier(user).is_some(), "nobody logs on without an account");
        }
        let mut challenged = self.challenged.iter().map(|(_, challenged)| challenged);
        assert!(
            challenged.all(|Challenged { open, closed }| open.is_some() || closed.is_some()),
            "nothing is kept idly"
        );
    }
}

impl Hub {
    /// A datagram of a client that logs on. Until the accounts are there, and once the server stops, nothing is said: whoever
    /// is told nothing asks again.
    pub(super) fn log_on(&mut self, now: Now, from: Endpoint, step: LogOn, out: &mut Outbox) {
        if self.stopping || !self.accounts.are_read() {
            return;
        }
        self.expire_log_ons(now, out);
        let answer = match step {
            LogOn::Hello(user) => self.hello(now, from, user, out),
            LogOn::Response { user, response } => self.respond(now, from, user, response, out),
        };
        // As true without a disk as with one: the counters live in memory then.
        out.effects.push(Effect::LogOn { to: from, answer, if_lost: IfLost::Send });
    }

    fn hello(&mut self, now: Now, from: Endpoint, user: Option<UserName>, out: &mut Outbox) -> LogOnAnswer {
        let user = match self.who_can_log_on(user) {
            Ok(user) => user,
            Err(why) => {
                out.effects.push(Effect::LogOnFailed { from, why });
                return LogOnAnswer::NotOnList;
            }
        };
        let challenge = self.log_ons.open(from, user).unwrap_or_else(|| {
            let challenge = Challenge::draw(&mut self.rng);
            self.log_ons.challenge(from, user, challenge, now.instant + RESPONSE_WITHIN);
            challenge
        });
        LogOnAnswer::Challenge(challenge)
    }

    fn who_can_log_on(&self, user: Option<UserName>) -> Result<UserId, LogInFailure> {
        let user = user.and_then(|user| self.accounts.find_account(&user)).ok_or(LogInFailure::UnknownName)?;
        match self.password(user) {
            Some(_) => Ok(user),
            None => Err(LogInFailure::NotByThisProtocol),
        }
    }

    /// What answers nothing is not looked at.
    fn respond(
        &mut self,
        now: Now,
        from: Endpoint,
        user: Option<UserName>,
        response: Response,
        out: &mut Outbox,
    ) -> LogOnAnswer {
        let Some(user) = user.and_then(|user| self.accounts.find_account(&user)) else { return LogOnAnswer::Failed };
        let (challenge, until) = match self.log_ons.answers(now.instant, from, user, response) {
            Answers::Open(challenge, until) => (challenge, until),
            Answers::Closed(answer) => return answer,
            Answers::Nothing => return LogOnAnswer::Failed,
        };
        let source = from.peer().source();
        let name = self.accounts.name(user).clone();
        let answer = match self.judge_response(now, source, &name, challenge, response) {
            Ok(key) => {
                self.password_was_right(now, &name, user, source, out);
                self.expect(now, from.peer(), user, challenge, key.clone(), out);
                LogOnAnswer::Succeeded { challenge, key }
            }
            Err(why) => {
                self.count_failure(now, &name, source, why, out);
                out.effects.push(Effect::LogOnFailed { from, why });
                LogOnAnswer::Failed
            }
        };
        self.log_ons.close(from, user, Closed { response, answer: answer.clone(), until });
        answer
    }

    /// The key of the session that follows, if the response is right.
    fn judge_response(
        &self,
        now: Now,
        source: Source,
        name: &UserName,
        challenge: Challenge,
        response: Response,
    ) -> Result<SessionKey, LogInFailure> {
        let user = self.may_check(now, source, name)?;
        let password = self.password(user).ok_or(LogInFailure::NotByThisProtocol)?;
        self.judge_secret(user, source, Response::to(challenge, &password) == response)?;
        Ok(SessionKey::of(challenge, &password))
    }

    /// Whoever has logged on may connect from there.
    fn expect(
        &mut self,
        now: Now,
        from: PeerAddress,
        user: UserId,
        challenge: Challenge,
        key: SessionKey,
        out: &mut Outbox,
    ) {
        let before = self.log_ons.expected.group(from).find(|&(before, &whose)| whose == user || before == challenge);
        if let Some(before) = before.map(|(before, _)| before) {
            self.log_ons.expected.remove(from, before);
            out.effects.push(Effect::ExpectNoMore { from, challenge: before });
        }
        let until = now.instant + CONNECT_WITHIN;
        if let Some((from, challenge)) = self.log_ons.expected.insert(from, challenge, until, user) {
            out.effects.push(Effect::ExpectNoMore { from, challenge });
        }
        out.effects.push(Effect::Expect { from, challenge, key });
    }

    /// Somebody connects who has answered this challenge, if it is one that was answered from there; once.
    pub(super) fn connect_session(
        &mut self,
        now: Now,
        connection: ConnectionId,
        id: Option<RequestId>,
        challenge: Challenge,
        out: &mut Outbox,
    ) -> Answered {
        let Some(stranger) = self.presence.stranger(connection) else {
            return Answered::refuse(Refusal::AlreadyLoggedIn);
        };
        self.expire_log_ons(now, out);
        let address = stranger.address;
        let Some(user) = self.log_ons.expected.remove(address, challenge) else {
            Answered::refuse(Refusal::NotAuthenticated).send(connection, id, out);
            self.end_session(now, connection, None, Close::Forced, out);
            return Answered::Later;
        };
        out.effects.push(Effect::ExpectNoMore { from: address, challenge });
        let device = Some(DeviceClaim { id: DeviceId::SESSION, shown: None });
        let (manner, if_lost) = (Manner::Session, IfLost::Send);
        self.begin_session(now, Proved { connection, id, user, manner, device, address, finished: None, if_lost }, out)
    }

    /// Nobody logs on as one of these any more who has not connected.
    pub(super) fn end_log_ons(&mut self, users: &BTreeSet<UserId>, out: &mut Outbox) {
        self.log_ons.challenged.remove_if(|(_, user), _| users.contains(&user));
        let expected = self.log_ons.expected.remove_if(|_, user| users.contains(user));
        out.effects.extend(expected.into_iter().map(|(from, challenge)| Effect::ExpectNoMore { from, challenge }));
    }

    /// Nobody logs on any more.
    pub(super) fn end_all_log_ons(&mut self, out: &mut Outbox) {
        self.log_ons.challenged.remove_if(|_, _| true);
        let expected = self.log_ons.expected.remove_if(|_, _| true);
        out.effects.extend(expected.into_iter().map(|(from, challenge)| Effect::ExpectNoMore { from, challenge }));
    }

    /// Forgets the challenges that were not answered, and those who have not connected, in time.
    pub(super) fn expire_log_ons(&mut self, now: Now, out: &mut Outbox) {
        while self.log_ons.challenged.pop_ended(now.instant).is_some() {}
        while let Some((from, challenge)) = self.log_ons.expected.pop_ended(now.instant) {
            out.effects.push(Effect::ExpectNoMore { from, challenge });
        }
    }
}
