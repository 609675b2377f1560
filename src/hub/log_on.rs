//! Log-ons to the `session` protocol, by datagrams that are no connection (protocols.md, section 2).

use super::challenge::Challenge;
use super::effect::{Outbox, Refusal};
use super::id::{ConnectionId, Endpoint, RequestId};
use super::input::LogOn;
use super::time::Now;
use super::{Answered, Hub};

/// Those who log on.
#[derive(Debug, Default)]
pub struct LogOns {}

impl Hub {
    /// A datagram.
    pub(super) fn log_on(&mut self, _now: Now, _from: Endpoint, _step: LogOn, _out: &mut Outbox) {}

    /// Whoever has logged on comes.
    pub(super) fn connect_session(
        &mut self,
        _now: Now,
        _connection: ConnectionId,
        _id: Option<RequestId>,
        _challenge: Challenge,
        _out: &mut Outbox,
    ) -> Answered {
        Answered::refuse(Refusal::NotAuthenticated)
    }
}
