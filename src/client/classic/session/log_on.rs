//! The log-on: datagrams, any of which may be lost, so what has no answer is said again.

use super::Login;
use crate::client::classic::Now;
use crate::client::classic::again::Again;
use crate::wire::named::Named;
use crate::wire::session::log_on::{FourDigitPort, FromClient, FromServer};
use crate::wire::session::{Challenge, Response, SessionKey};

/// How many challenges are answered. A server that has no memory has a new one for each HELLO.
const CHALLENGES_MAX: usize = 8;

pub(super) struct LogOn {
    again: Again,
    /// Those that came, each once, with the keys that go with them.
    challenges: Vec<(Challenge, SessionKey)>,
    /// How often an answer was wrong, the server said.
    failures: usize,
    /// What came that is nothing of the log-on.
    said: Option<Vec<u8>>,
}

/// What comes of a datagram.
pub(super) enum Step {
    Nothing,
    Say(Vec<u8>),
    NotOnList,
    /// The secret is another one.
    Failure,
    In(Way),
}

/// Where the session is, and what opens it.
pub(super) struct Way {
    pub(super) challenge: Challenge,
    pub(super) key: SessionKey,
    pub(super) port: FourDigitPort,
}

impl LogOn {
    /// The first datagram leaves now.
    pub(super) fn begin(now: Now) -> LogOn {
        LogOn { again: Again::begin(now), challenges: Vec::new(), failures: 0, said: None }
    }

    /// What is said as long as nothing comes.
    pub(super) fn question(&self, login: &Login) -> Vec<u8> {
        match self.challenges.last() {
            None => FromClient::Hello(Named::User(login.user.clone())).write(),
            Some((challenge, _)) => response(login, *challenge),
        }
    }

    pub(super) fn hear(&mut self, now: Now, login: &Login, datagram: &[u8]) -> Step {
        let plain = FromServer::parse(datagram, None);
        let success = || self.challenges.iter().find_map(|(_, key)| FromServer::parse(datagram, Some(key)));
        match plain.or_else(success) {
            Some(FromServer::Challenge(challenge)) => self.challenged(now, login, challenge),
            Some(FromServer::NotOnList) => Step::NotOnList,
            Some(FromServer::Failure) => {
                self.failures += 1;
                // What is wrong may have been the answer to a challenge that another one has replaced.
                if self.failures >= self.challenges.len() { Step::Failure } else { Step::Nothing }
            }
            Some(FromServer::Success { challenge, port }) => self.succeeded(challenge, port),
            None => {
                self.said = Some(datagram.to_vec());
                Step::Nothing
            }
        }
    }

    fn challenged(&mut self, now: Now, login: &Login, challenge: Challenge) -> Step {
        let is_known = self.challenges.iter().any(|(known, _)| *known == challenge);
        if is_known || self.challenges.len() >= CHALLENGES_MAX {
            return Step::Nothing;
        }
        self.challenges.push((challenge, SessionKey::of(challenge, &login.secret)));
        self.again = Again::begin(now);
        Step::Say(response(login, challenge))
    }

    fn succeeded(&mut self, challenge: Challenge, port: FourDigitPort) -> Step {
        let answered = self.challenges.iter().find(|(known, _)| *known == challenge);
        answered.map_or(Step::Nothing, |(_, key)| Step::In(Way { challenge, key: key.clone(), port }))
    }

    /// When the question is asked again.
    pub(super) fn poll_timeout(&self) -> Now {
        self.again.at()
    }

    pub(super) fn is_due(&mut self, now: Now) -> bool {
        self.again.is_due(now)
    }

    pub(super) fn said(&self) -> Option<&[u8]> {
        self.said.as_deref()
    }
}

fn response(login: &Login, challenge: Challenge) -> Vec<u8> {
    let response = Response::to(challenge, &login.secret);
    FromClient::Response { user: Named::User(login.user.clone()), response }.write()
}
