//! History: the questions that users ask about the log, and how long it is kept.
//!
//! The log itself is the store's; the rule of who sees what of it goes with the question (`HistoryQuery::admits`).

use std::time::Duration;

use super::change::Change;
use super::effect::{Effect, IfLost, Outbox, Refusal, Reply};
use super::id::{ConnectionId, Number, RequestId};
use super::message::{HistoryPage, HistoryQuery};
use super::name::UserName;
use super::time::{Instant, Now};
use super::{Answered, Hub};

/// How often old history is looked for.
pub const FORGET_EVERY: Duration = Duration::from_secs(3600);

/// When old history is looked for next.
#[derive(Debug)]
pub struct History {
    forget_at: Instant,
}

impl History {
    pub(super) fn new(now: Instant) -> History {
        History { forget_at: now }
    }

    pub(super) fn next_forget(&self) -> Instant {
        self.forget_at
    }
}

impl Hub {
    pub(super) fn ask_history(
        &mut self,
        connection: ConnectionId,
        id: Option<RequestId>,
        with: Option<UserName>,
        before: Option<Number>,
        limit: usize,
        out: &mut Outbox,
    ) -> Answered {
        let Some(session) = self.presence.session(connection) else { return Answered::refuse(Refusal::LogInFirst) };
        let viewer = session.user;
        let with = match with {
            None => None,
            Some(name) => match self.accounts.find_ever(&name) {
                Some(user) => Some(user),
                None => return Answered::refuse(Refusal::NoSuchUser(name)),
            },
        };
        let blocked = self.gate.blocked_by(viewer).collect();
        let query = HistoryQuery { viewer, with, before, limit, blocked };
        out.effects.push(Effect::Query { connection, id, query });
        Answered::Later
    }

    pub(super) fn tell_history(
        &self,
        connection: ConnectionId,
        id: Option<RequestId>,
        page: Option<HistoryPage>,
        out: &mut Outbox,
    ) {
        let answer = page.map(Reply::History).ok_or(Refusal::HistoryUnavailable);
        Answered::Now(answer, IfLost::Send).send(connection, id, out);
    }

    pub(super) fn forget_history(&mut self, now: Now, out: &mut Outbox) {
        self.history.forget_at = now.instant + FORGET_EVERY;
        out.changes.push(Change::Forget { before: now.wall - self.config.history_kept });
    }
}
