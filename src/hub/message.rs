//! A message as it stands in the log.

use std::sync::Arc;

use super::id::{DeviceId, Number, UserId};
use super::name::UserName;
use super::text::Text;
use super::time::{LocalTime, WallTime};

/// One row of the log. Shared among everything that still has to do with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub number: Number,
    /// When the server accepted it.
    pub time: WallTime,
    /// Under which time it stands in the histories of the `session` protocol: that of the beginning of the chat that it is
    /// part of, or else its own; on the clocks of the server as they stood then.
    pub local: LocalTime,
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
    /// Whom the viewer blocks, by rising id, and up to where they had been shown everything when they did.
    pub blocked: Arc<[(UserId, Number)]>,
}

/// The parts of a message in the log that decide who sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    pub number: Number,
    /// `None`: the server.
    pub sender: Option<UserId>,
    /// `None`: everyone.
    pub recipient: Option<UserId>,
    /// It waited too long for its recipient.
    pub expired: bool,
}

impl HistoryQuery {
    /// Whether the viewer may see this message, and asks for it; `before` and `limit` are not looked at. This is the
    /// one statement of the rule, to which every way to keep a log is held:
    ///
    /// - what the viewer wrote is theirs to see, whatever became of it;
    /// - what was written to the viewer they see unless it expired, or a block held it back: of somebody whom they
    ///   block, only what they had been shown before the block;
    /// - a broadcast they see if they were online when it was accepted (`attended`) and don't block its sender;
    /// - nobody sees anything else;
    /// - of this, with somebody (`with`) is only what went between the two, so no broadcast.
    pub fn admits(&self, line: &Line, attended: impl FnOnce() -> bool) -> bool {
        let own = line.sender == Some(self.viewer);
        let received = line.recipient == Some(self.viewer);
        if let Some(with) = self.with {
            let between = own && line.recipient == Some(with) || received && line.sender == Some(with);
            if !between {
                return false;
            }
        }
        if own {
            return true;
        }
        if line.expired {
            return false;
        }
        let blocked_at = line.sender.and_then(|sender| self.blocked_at(sender));
        match line.recipient {
            Some(_) => received && blocked_at.is_none_or(|shown| line.number <= shown),
            None => blocked_at.is_none() && attended(),
        }
    }

    fn blocked_at(&self, sender: UserId) -> Option<Number> {
        let index = self.blocked.binary_search_by_key(&sender, |&(other, _)| other).ok()?;
        Some(self.blocked[index].1)
    }
}

/// A page of history, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryPage {
    pub messages: Vec<Arc<Message>>,
    /// There are older ones: ask again with `before` the first of these.
    pub more: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: Option<UserId> = Some(UserId(1));
    const FRIEND: Option<UserId> = Some(UserId(2));
    const BLOCKED: Option<UserId> = Some(UserId(3));

    /// Whether I see it: among everything, and with the friend, and with the one I block; at a time when I was online.
    fn seen(number: u64, sender: Option<UserId>, recipient: Option<UserId>, expired: bool) -> [bool; 3] {
        let blocked: Arc<[_]> = Arc::new([(UserId(3), Number(5)), (UserId(9), Number(9))]);
        let line = Line { number: Number(number), sender, recipient, expired };
        [None, FRIEND, BLOCKED].map(|with| {
            let query = HistoryQuery { viewer: UserId(1), with, before: None, limit: 9, blocked: blocked.clone() };
            query.admits(&line, || true)
        })
    }

    #[test]
    fn who_sees_what_of_the_log() {
        assert_eq!(seen(7, FRIEND, ME, false), [true, true, false]);
        assert_eq!(seen(7, ME, FRIEND, false), [true, true, false]);
        assert_eq!(seen(7, ME, ME, false), [true, false, false]);
        assert_eq!(seen(7, None, ME, false), [true, false, false], "a note of the server's");
        assert_eq!(seen(7, FRIEND, BLOCKED, false), [false; 3], "it is not mine");
        assert_eq!(seen(7, FRIEND, ME, true), [false; 3], "expired");
        assert_eq!(seen(7, ME, FRIEND, true), [true, true, false], "expired, but mine");
        assert_eq!(seen(5, BLOCKED, ME, false), [true, false, true], "shown before the block");
        assert_eq!(seen(6, BLOCKED, ME, false), [false; 3], "held back by the block");
        assert_eq!(seen(6, ME, BLOCKED, false), [true, false, true]);
    }

    #[test]
    fn who_sees_a_broadcast() {
        assert_eq!(seen(7, FRIEND, None, false), [true, false, false]);
        assert_eq!(seen(7, ME, None, false), [true, false, false]);
        assert_eq!(seen(5, BLOCKED, None, false), [false; 3], "even from before the block");
        let query = HistoryQuery { viewer: UserId(1), with: None, before: None, limit: 9, blocked: Arc::new([]) };
        let line = |sender| Line { number: Number(1), sender, recipient: None, expired: false };
        assert!(!query.admits(&line(FRIEND), || false), "not online at the time");
        assert!(query.admits(&line(ME), || false));
    }
}
