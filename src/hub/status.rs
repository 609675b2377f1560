//! What there is at this moment, for the operator: how much of everything that grows and has to go back. It is counted when
//! it is asked for; nothing is kept for it.
//!
//! The hub knows what it has itself. The rest is net's, which completes the answer.

use super::Hub;
use super::effect::{Effect, Outbox};
use super::id::{ConnectionId, RequestId};

/// The whole answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    pub chat: Chat,
    pub traffic: Traffic,
}

/// What the hub has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chat {
    /// Log-ins that hold.
    pub sessions: u64,
    /// Users with a device that is logged in.
    pub online: u64,
    /// In the operator's file and in the database.
    pub accounts: u64,
    /// That are remembered, logged in or not.
    pub devices: u64,
    /// Private messages that some device of their recipients has not shown.
    pub waiting: u64,
    /// Broadcasts that some device has not shown.
    pub broadcasts: u64,
    /// Counters of wrong passwords.
    pub counters: u64,
    /// Questions for an address that are open.
    pub asks: u64,
    /// Consents to such a question that hold.
    pub consents: u64,
    /// What was lost with a commit and is to be stored again.
    pub unsaved: u64,
}

/// What net has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// The operator's included.
    pub connections: u64,
    /// Connections from a port on which nobody has logged in.
    pub strangers: u64,
    /// Connections that end, or have to do something, by a time.
    pub deadlines: u64,
    /// Said by clients and no whole request yet, in bytes.
    pub in_bytes: u64,
    /// To be written to clients, in bytes.
    pub out_bytes: u64,
    /// Batches of changes that the store owes an outcome.
    pub batches: u64,
    /// The same in bytes, about.
    pub batch_bytes: u64,
    /// Questions that the store owes an answer.
    pub questions: u64,
    /// Open descriptors of the process; `None`: they could not be counted.
    pub descriptors: Option<u64>,
}

impl Hub {
    pub(super) fn tell_status(&self, connection: ConnectionId, id: Option<RequestId>, out: &mut Outbox) {
        let chat = Chat {
            sessions: self.presence.sessions().count() as u64,
            online: self.presence.online().count() as u64,
            accounts: self.accounts.all().len() as u64,
            devices: self.devices.count() as u64,
            waiting: self.delivery.messages_waiting() as u64,
            broadcasts: self.delivery.broadcasts_kept() as u64,
            counters: self.lockout.counters() as u64,
            asks: self.consents.questions() as u64,
            consents: self.consents.given() as u64,
            unsaved: self.unsaved.count() as u64,
        };
        out.effects.push(Effect::Status { connection, id, chat });
    }
}
