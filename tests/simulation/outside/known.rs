//! Who is where, as it is known from what the hub is told and says.

use std::net::SocketAddr;

use chatd::hub::challenge::Challenge;
use chatd::hub::id::{DeviceId, Source};
use chatd::hub::input::{Mechanism, PeerPort};
use chatd::hub::name::UserName;

use super::{DRAIN, Lent, OWN_PORT};
use crate::link::{LinkId, Time};

/// What is known of a connection from its inputs and effects.
pub(super) struct Known {
    pub(super) link: LinkId,
    pub(super) source: Source,
    /// It is announced when the link takes bytes again.
    pub(super) writable: bool,
    pub(super) claim: Option<Claim>,
    pub(super) logged_in: bool,
    pub(super) last_heard: Time,
    /// Its last round.
    pub(super) served_in: u64,
}

/// What a log-in claims.
#[derive(Clone)]
pub(super) struct Claim {
    pub(super) user: UserName,
    pub(super) device: Option<DeviceId>,
    pub(super) by: Proof,
}

/// What shall prove it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    Scram(Mechanism),
    /// The password itself; whoever it is wants to be called at the port.
    Word {
        right: bool,
        port: u16,
    },
    /// A guest has nothing to prove.
    Nothing,
    /// Whoever comes has answered this.
    Challenge(Challenge),
    /// The password's digest.
    Digest {
        right: bool,
    },
}

/// A session that is reached by calls, as its log-in has made it.
pub(super) struct Callee {
    pub(super) user: UserName,
    pub(super) at: SocketAddr,
    pub(super) since: Time,
    pub(super) last_heard: Time,
    /// Its last call has failed, and the hub has not said that it may be called again.
    pub(super) rests: bool,
    /// The last call that was not over.
    pub(super) call: Option<LinkId>,
    /// When the hub gave it up: it is told why, and no more.
    pub(super) left: Option<Time>,
}

impl Callee {
    /// The server calls it.
    pub(super) fn is_called(&mut self, lent: &mut Lent, link: LinkId) {
        let Callee { at, rests, call, left, .. } = *self;
        let is_over = |call: LinkId| lent.closed.contains(&call) || lent.links.is_over(call);
        let law = match () {
            () if at.port() < PeerPort::MIN || at.port() == OWN_PORT => {
                Some("9: the server calls where nobody may listen")
            }
            () if !call.is_none_or(is_over) => Some("6: somebody is called who is being called"),
            () if rests && left.is_none() => Some("12: somebody is called again who is to be left alone"),
            () if left.is_some_and(|at| at + DRAIN < lent.now) => Some("11: somebody is called who is gone"),
            () => None,
        };
        law.into_iter().for_each(|law| lent.ledger.broken(law));
        self.call = Some(link);
        lent.ledger.dialled(lent.now, link, &self.user, self.since);
    }
}

impl Claim {
    pub(super) fn word_is_right(&self) -> Option<bool> {
        self.by.word_is_right()
    }
}

impl Proof {
    /// `None`: that is known of the connection.
    pub(super) fn word_is_right(self) -> Option<bool> {
        match self {
            Proof::Word { right, .. } | Proof::Digest { right } => Some(right),
            Proof::Scram(_) | Proof::Nothing | Proof::Challenge(_) => None,
        }
    }
}
