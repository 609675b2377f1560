//! A message as it stands in the log.

use std::sync::Arc;

use super::id::{DeviceId, Number, UserId};
use super::name::UserName;
use super::text::Text;
use super::time::WallTime;

/// One row of the log. Shared among everything that still has to do with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub number: Number,
    /// When the server accepted it.
    pub time: WallTime,
    pub from: Sender,
    pub to: Recipient,
    pub text: Text,
    /// The sending device's own name for it; what removes the copy when it travels twice.
    pub origin: Option<Origin>,
}

/// Who wrote a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sender {
    User(UserId, UserName),
    /// A note from the server itself.
    Server,
}

/// Whom a message is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipient {
    User(UserId, UserName),
    /// All who are online when it is accepted.
    Everyone,
}

/// A client-made id of a message: the device and its counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    pub device: DeviceId,
    pub counter: u64,
}

impl Message {
    pub fn sender(&self) -> Option<UserId> {
        match &self.from {
            Sender::User(id, _) => Some(*id),
            Sender::Server => None,
        }
    }

    pub fn recipient(&self) -> Option<UserId> {
        match &self.to {
            Recipient::User(id, _) => Some(*id),
            Recipient::Everyone => None,
        }
    }
}

/// A question about the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryQuery {
    pub viewer: UserId,
    /// Only what was said between the viewer and this user; else everything of the viewer's.
    pub with: Option<UserId>,
    /// Only messages with lower numbers.
    pub before: Option<Number>,
    /// How many messages at most; the newest that match.
    pub limit: usize,
    /// Up to here the viewer has been shown what was for them.
    pub shown: Number,
    /// Whom the viewer blocks: of their messages nothing beyond `shown`, and no broadcast.
    pub blocked: Arc<[UserId]>,
}

/// A page of history, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryPage {
    pub messages: Vec<Arc<Message>>,
    /// There are older ones: ask again with `before` the first of these.
    pub more: bool,
}
