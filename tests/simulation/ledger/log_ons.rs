//! The laws for log-ons to sessions: what challenges what, what counts, and who may connect then.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use chatd::hub::challenge::{Challenge, Response};
use chatd::hub::credentials::Password;
use chatd::hub::effect::{LogInFailure, LogOnAnswer};
use chatd::hub::id::Source;
use chatd::hub::name::UserName;
use chatd::hub::time::WallTime;

use super::{Ledger, Tried};
use crate::link::{SECOND, Time};
use crate::person::password;

/// So long a challenge can be answered, and so long whoever has answered it may connect.
const WITHIN: Time = 60 * SECOND;
/// The longest stall: so much later the server may look.
const LATE: Time = 31 * SECOND;

#[derive(Default)]
pub struct LogOns {
    challenged: BTreeMap<(SocketAddr, UserName), Challenged>,
    /// Those who have logged on.
    passes: BTreeMap<Challenge, Pass>,
    pub counted: u64,
}

/// How far somebody has come at an address.
#[derive(Debug, Default)]
struct Challenged {
    open: Option<(Time, Challenge)>,
    /// The challenge that was answered last, when it was made, the answer, and whether that was right.
    closed: Option<(Time, Response, bool)>,
}

#[derive(Debug)]
struct Pass {
    user: UserName,
    from: IpAddr,
    at: Time,
    is_over: bool,
}

/// A response, as the hub was told it and has answered it.
pub struct Responded<'a> {
    pub at: SocketAddr,
    pub user: &'a UserName,
    pub response: Response,
    pub answer: &'a LogOnAnswer,
    /// It was looked at, and this is what was wrong with it.
    pub failure: Option<LogInFailure>,
}

impl LogOns {
    /// Nothing of it outlives the server.
    pub(super) fn restarted(&mut self) {
        self.challenged.clear();
        self.passes.clear();
    }

    /// Whether somebody may connect with this.
    pub fn is_expected(&self, challenge: Challenge) -> bool {
        self.passes.get(&challenge).is_some_and(|pass| !pass.is_over)
    }

    /// Whose challenge this was.
    pub fn user_of(&self, challenge: Challenge) -> Option<&UserName> {
        self.passes.get(&challenge).map(|pass| &pass.user)
    }
}

impl Ledger {
    /// A HELLO was answered with this.
    pub fn challenged(&mut self, now: Time, at: SocketAddr, user: &UserName, challenge: Challenge) {
        let found = self.log_ons.challenged.entry((at, user.clone())).or_default();
        let is_another = found.open.is_some_and(|(since, open)| now < since + WITHIN && open != challenge);
        if found.open.is_none_or(|(_, open)| open != challenge) {
            found.open = Some((now, challenge));
        }
        if is_another {
            self.broken("13: who asks again for a challenge that is not answered gets another");
        }
    }

    /// A response was answered, and perhaps counted.
    pub fn responded(&mut self, now: Time, wall: WallTime, responded: Responded<'_>, batch: u64) {
        let Responded { at, user, response, answer, failure } = responded;
        let found = self.log_ons.challenged.entry((at, user.clone())).or_default();
        let (open, closed) = (found.open, found.closed);
        let is_alive = |since: Time| now < since + WITHIN;
        let again = closed.filter(|(since, before, _)| is_alive(*since) && *before == response);
        let secret = Password::parse(&password(user)).expect("a password");
        let is_right = open.is_some_and(|(_, challenge)| Response::to(challenge, &secret) == response);
        let succeeded = matches!(answer, LogOnAnswer::Succeeded { .. });
        if let Some((.., was_right)) = again {
            if failure.is_some() {
                self.broken("7: a response that came twice has counted twice");
            }
            if was_right && !succeeded {
                self.broken("13: a response that came again was answered otherwise");
            }
            return;
        }
        let looked_at = failure.is_some() || succeeded;
        if looked_at && open.is_none_or(|(since, _)| now >= since + WITHIN + LATE) {
            return self.broken("14: a response was looked at that answers no challenge of that address");
        }
        if !looked_at {
            if open.is_some_and(|(since, _)| is_alive(since)) {
                self.broken("7: the response to a challenge was not looked at");
            }
            return;
        }
        let since = open.map_or(now, |(since, _)| since);
        let found = self.log_ons.challenged.entry((at, user.clone())).or_default();
        (found.open, found.closed) = (None, Some((since, response, succeeded)));
        let tried = Tried { link: None, user, source: Source::of(at.ip()), right: Some(is_right) };
        self.log_ons.counted += 1;
        match failure {
            Some(why) => self.log_in_failed((now, wall), tried, why, batch),
            None => self.authenticated(now, tried, true, batch),
        }
        if let LogOnAnswer::Succeeded { challenge, .. } = answer {
            self.may_connect(now, at.ip(), user, *challenge);
        }
    }

    fn may_connect(&mut self, now: Time, from: IpAddr, user: &UserName, challenge: Challenge) {
        let is_theirs = |pass: &&mut Pass| pass.user == *user && pass.from == from;
        // Of a user's at an address it is the last.
        self.log_ons.passes.values_mut().filter(is_theirs).for_each(|pass| pass.is_over = true);
        let pass = Pass { user: user.clone(), from, at: now, is_over: false };
        self.log_ons.passes.insert(challenge, pass);
    }

    /// A session begins with this.
    pub fn connected(&mut self, now: Time, from: IpAddr, challenge: Challenge) {
        let Some(pass) = self.log_ons.passes.get_mut(&challenge) else {
            return self.broken("14: a session has begun that nobody has logged on to");
        };
        let law = match () {
            () if pass.from != from => Some("14: a session has begun from where nobody has logged on"),
            () if pass.is_over => Some("14: a session has begun with what has served before"),
            () if now >= pass.at + WITHIN + LATE => Some("14: a session has begun long after its log-on"),
            () => None,
        };
        pass.is_over = true;
        law.into_iter().for_each(|law| self.broken(law));
    }
}
