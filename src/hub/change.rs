//! What the store must keep, and what it gives back at the start.
//!
//! The state of the hub after a restart is the fold of the changes that were committed.

use std::sync::Arc;

use super::id::{ConnectionId, DeviceId, Number, Source, UserId};
use super::message::{Message, Origin, Recipient};
use super::name::UserName;
use super::scram::{StoredKeys, Verifier};
use super::seal::Sealed;
use super::text::Text;
use super::time::WallTime;

/// One thing to keep. The changes of a turn are committed together or not at all.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// The key behind the salts of all names; made once.
    Secret([u8; 32]),
    /// A name was given an id, for ever. A guest's is retired at once: only the log is to know it.
    User { id: UserId, name: UserName },
    /// The account that the database has for a user is this now. `before` is what it was.
    Account { user: UserId, account: Option<Account>, before: Option<Account> },
    /// The user's name is nobody's from now on; whoever gets it next is another user.
    Retired { user: UserId },
    /// A message was accepted.
    Message(Arc<Message>),
    /// This message waited too long for its recipient.
    Expired { number: Number },
    /// `user` no longer wants anything of `other`'s. Up to `shown` everything had been shown to `user` by then.
    Block { user: UserId, other: UserId, shown: Number },
    /// The end of the block that was made with this `shown`.
    Unblock { user: UserId, other: UserId, shown: Number },
    /// Until then one user may learn another's address. `before` is what it replaces; `waits` is told if this is lost.
    Consent { row: ConsentRow, before: Option<ConsentRow>, waits: ConnectionId },
    /// The end of a consent, by itself or because it was `revoked`.
    ConsentOver { row: ConsentRow, revoked: bool },
    /// The row of a device, new or changed.
    Device(Box<DeviceRow>),
    /// The device is not known any more. Up to `shown` everything was shown on one of the user's devices at least: when
    /// the last is forgotten, that must not be. `AWAY`: nothing ever waits for the user, who was a guest.
    DeviceForgotten { user: UserId, device: DeviceId, shown: Number },
    /// Where an account stands with failed log-ins from one source.
    Tries(TriesRow),
    /// From this source the account has logged in with success.
    SourceKnown { user: UserId, source: Source, time: WallTime },
    /// The user came online: broadcasts from this number on are part of their history.
    Arrived { user: UserId, first: Number },
    /// The user went offline: broadcasts up to this number were.
    Left { user: UserId, last: Number },
    /// History from before this time is not kept.
    Forget { before: WallTime },
}

/// What is kept of an account that is not in the operator's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub verifier: Arc<Verifier>,
    /// The password itself, for protocols that can't do without.
    pub sealed: Option<Sealed>,
    /// The verifier is of the password's SHA-256, in lower-case hexadecimal digits: more the server never had.
    pub hashed: bool,
}

/// A user's yes to another's question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsentRow {
    /// Whose address.
    pub of: UserId,
    /// For whom.
    pub to: UserId,
    pub until: WallTime,
}

/// A device of a user's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRow {
    pub user: UserId,
    pub device: DeviceId,
    /// Everything up to here has been shown on it.
    pub cursor: Number,
    /// Broadcasts in these ranges (after the first, up to and with the second) were made while it was away.
    /// The end of the last range is `AWAY` while it is away. Oldest first.
    pub absences: Vec<(Number, Number)>,
    /// When it was last seen.
    pub seen: WallTime,
    /// What the next resume must be proved with.
    pub token: Option<StoredKeys>,
}

/// The end of a device's absence that has not ended.
pub const AWAY: Number = Number(i64::MAX as u64);

/// Failed log-ins of one name from one source. Names that nobody has are counted as well, so that nobody can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TriesRow {
    /// Folded to lower case.
    pub name: String,
    /// `None`: counted over all sources.
    pub source: Option<Source>,
    /// How many failed in a row (over all sources: in the current ten minutes).
    pub failures: u32,
    /// When the last one failed.
    pub last: WallTime,
    /// Until then nothing is checked.
    pub locked_until: Option<WallTime>,
}

/// Everything that was kept, as the store gives it back at the start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    pub secret: Option<[u8; 32]>,
    pub users: Vec<(UserId, UserName)>,
    /// Those of the users whose name is nobody's any more.
    pub retired: Vec<UserId>,
    pub accounts: Vec<(UserId, Account)>,
    /// Who blocks whom, and up to where they had been shown everything by then.
    pub blocks: Vec<(UserId, UserId, Number)>,
    pub consents: Vec<ConsentRow>,
    pub devices: Vec<DeviceRow>,
    /// The highest `shown` with which a device of the user's was forgotten, where it is not zero.
    pub shown: Vec<(UserId, Number)>,
    pub tries: Vec<TriesRow>,
    pub sources: Vec<(UserId, Source, WallTime)>,
    /// What may still have to be delivered, by rising number: private messages that have not expired and are above the
    /// lowest cursor of their recipient's devices (or what was `shown`, if there are none), of each recipient's the
    /// newest; and the newest broadcasts above the lowest cursor of all.
    pub waiting: Vec<Arc<Message>>,
    /// The newest sends of each device, by rising counter.
    pub sends: Vec<PastSend>,
    /// Users whose `Arrived` has no `Left`: the server stopped without one.
    pub online: Vec<UserId>,
    /// The highest number ever used.
    pub last: Number,
}

/// A send that was accepted before the restart; enough to answer it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastSend {
    pub user: UserId,
    pub origin: Origin,
    pub number: Number,
    pub to: Recipient,
    pub text: Text,
}
