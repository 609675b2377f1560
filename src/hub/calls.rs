//! Clients that the server calls when there is something for them: how soon one that could not be reached is called again.
//!
//! Nothing else follows from a call that fails: who gives no sign of life is gone by the heartbeat. Does not know what is to
//! be brought; net dials, and not again before it is told to.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Hub;
use super::effect::{Effect, Outbox};
use super::id::ConnectionId;
use super::time::{Instant, Now};

/// The pause after the first call that fails; each further one doubles it.
pub const PAUSE_MIN: Duration = Duration::from_millis(500);
/// It grows no longer than this.
pub const PAUSE_MAX: Duration = Duration::from_secs(8);

/// The clients whose last call has failed.
#[derive(Debug, Default)]
pub struct Calls {
    unreached: BTreeMap<ConnectionId, Unreached>,
    due: BTreeSet<(Instant, ConnectionId)>,
}

#[derive(Debug)]
struct Unreached {
    /// After the last call that failed.
    pause: Duration,
    /// When the pause ends: its entry in `Calls::due`. `None`: it has ended, and the client may be called.
    until: Option<Instant>,
}

impl Calls {
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.due.first().map(|&(at, _)| at)
    }

    fn failed(&mut self, connection: ConnectionId, now: Instant) {
        let pause = match self.unreached.get(&connection) {
            // It was not called since.
            Some(Unreached { until: Some(_), .. }) => return,
            Some(Unreached { pause, .. }) => (*pause * 2).min(PAUSE_MAX),
            None => PAUSE_MIN,
        };
        let until = now + pause;
        self.due.insert((until, connection));
        self.unreached.insert(connection, Unreached { pause, until: Some(until) });
    }

    /// The client was reached, or is none any more.
    pub(super) fn forget(&mut self, connection: ConnectionId) {
        if let Some(Unreached { until: Some(until), .. }) = self.unreached.remove(&connection) {
            self.due.remove(&(until, connection));
        }
    }

    /// A client whose pause has ended.
    fn pop_due(&mut self, now: Instant) -> Option<ConnectionId> {
        let &(_, connection) = self.due.first().filter(|&&(at, _)| at <= now)?;
        self.due.pop_first();
        if let Some(unreached) = self.unreached.get_mut(&connection) {
            unreached.until = None;
        }
        Some(connection)
    }

    /// `is_called`: whether a connection is a session's that is reached by calls.
    pub(super) fn check_invariants(&self, is_called: impl Fn(ConnectionId) -> bool) {
        let pausing = self.unreached.iter().filter_map(|(&connection, found)| Some((found.until?, connection)));
        assert_eq!(self.due, pausing.collect(), "one deadline for each pause, and for nothing else");
        assert!(self.unreached.keys().all(|&connection| is_called(connection)), "a pause ends with its session");
    }
}

impl Hub {
    /// What came of a call.
    pub(super) fn called(&mut self, now: Now, connection: ConnectionId, reached: bool) {
        if reached || !self.presence.is_called(connection) {
            self.calls.forget(connection);
        } else {
            self.calls.failed(connection, now.instant);
        }
    }

    /// Those who could not be reached may be called again.
    pub(super) fn call_again(&mut self, now: Now, out: &mut Outbox) {
        while let Some(connection) = self.calls.pop_due(now.instant) {
            out.effects.push(Effect::Call { connection });
        }
    }
}
