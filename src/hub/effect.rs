//! What the hub wants done: effects for connections, and changes for the store.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::challenge::{Challenge, SessionKey};
use super::change::Change;
use super::credentials::Credential;
use super::fingerprint::Fingerprint;
use super::id::{ConnectionId, Endpoint, LogId, Number, PeerAddress, RequestId};
use super::input::{PeerPort, Ticket};
use super::message::{HistoryPage, HistoryQuery, Message};
use super::name::UserName;
use super::scram::{SALT_BYTES, Verifier};
use super::status::{Chat, Status};
use super::text::{Text, TextError};
use super::time::LocalTime;

/// One thing to do. Every id that it needs is in it.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// The answer to a request.
    Reply {
        connection: ConnectionId,
        id: Option<RequestId>,
        answer: Answer,
        if_lost: IfLost,
    },
    /// News for one connection or for several; one event, encoded once a protocol.
    Event {
        to: Recipients,
        event: Event,
        if_lost: IfLost,
    },
    /// The connection has proved who it is: its limits are an account's from now on.
    Authenticated {
        connection: ConnectionId,
    },
    /// Don't read from this connection until `Unsuspend`: its answer needs the worker.
    Suspend {
        connection: ConnectionId,
    },
    Unsuspend {
        connection: ConnectionId,
    },
    /// Write what is pending, then close.
    Close {
        connection: ConnectionId,
        how: Close,
    },
    /// The answer to a step of a log-on to a session, in a datagram. It waits as a reply does; if it would be a lie then, it is
    /// not sent, and asked for again.
    LogOn {
        to: Endpoint,
        answer: LogOnAnswer,
        if_lost: IfLost,
    },
    /// From this address somebody may connect who has logged on: the first bytes are `CONNECT` with this challenge, ciphered
    /// with this key (protocols.md, section 2).
    Expect {
        from: PeerAddress,
        challenge: Challenge,
        key: SessionKey,
    },
    /// They don't any more: they have come, or not in time.
    ExpectNoMore {
        from: PeerAddress,
        challenge: Challenge,
    },
    /// A line for the log, as `LogInFailed`.
    LogOnFailed {
        from: Endpoint,
        why: LogInFailure,
    },
    /// A client that is reached by calls may be called again, if there is something for it.
    Call {
        connection: ConnectionId,
    },
    /// What was posted in somebody's name was none of theirs.
    Ignored,
    /// Make verifiers of these on the worker; `Input::Derived` brings them with the same ticket.
    Derive {
        ticket: Ticket,
        derivations: Vec<Derivation>,
    },
    /// The operator's file holds now: for the log.
    AccountsRead(AccountsRead),
    /// Ask the store once everything up to this turn is in it; `Input::History` brings the answer.
    Query {
        connection: ConnectionId,
        id: Option<RequestId>,
        query: HistoryQuery,
    },
    /// Answer with `Reply::Status`: this, and what net has beside it.
    Status {
        connection: ConnectionId,
        id: Option<RequestId>,
        chat: Chat,
    },
    /// A line for the log that tools like fail2ban read: somebody failed to log in.
    LogInFailed {
        connection: ConnectionId,
        why: LogInFailure,
    },
}

/// What a step of a log-on to a session comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogOnAnswer {
    Challenge(Challenge),
    /// Nobody has the name, or the server has not the secret that this takes.
    NotOnList,
    Failed,
    /// Whoever it is may connect: `Effect::Expect` has come before.
    Succeeded {
        challenge: Challenge,
        key: SessionKey,
    },
}

/// How the operator's file differs from the last time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountsRead {
    pub accounts: usize,
    pub added: usize,
    pub changed: usize,
    pub removed: usize,
    /// Accounts of the database whose names stand in the file now: they are dropped.
    pub taken_over: usize,
}

/// A password that a verifier is to be made of: a job for the worker.
#[derive(Clone, Debug, PartialEq)]
pub struct Derivation {
    pub credential: Credential,
    pub salt: [u8; SALT_BYTES],
    pub iterations: u32,
}

impl Derivation {
    /// Slow, by `iterations`.
    pub fn run(&self) -> (UserName, Arc<Verifier>) {
        let verifier = Verifier::derive(self.credential.password.as_str(), self.salt, self.iterations);
        (self.credential.name.clone(), Arc::new(verifier))
    }
}

/// What becomes of an effect if its turn's changes can't be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfLost {
    /// An event that would be a lie now: it is not sent.
    Drop,
    /// A reply that would be a lie now: the asker gets `Refusal::NotStored` in its place.
    Refuse,
    /// It is as true as before.
    Send,
}

/// Whom an event is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipients {
    One(ConnectionId),
    /// A part of `Outbox::recipients`.
    Many(Range<usize>),
}

/// How a connection ends that the client did not close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// The client asked for it.
    Orderly,
    /// It was refused, displaced, too slow, or the server stops.
    Forced,
}

/// Why a log-in failed, for the operator only: the client is not told which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogInFailure {
    UnknownName,
    WrongPassword,
    LockedOut,
    StaleToken,
    /// The shipped passwords are public: from loopback only.
    NotFromHere,
    /// The server has nothing that such a log-in could be checked against.
    NotByThisProtocol,
    /// The secret was right, but the messages were made for another connection: somebody is in between.
    Elsewhere,
}

/// What a request comes to: a refusal is a value too.
pub type Answer = Result<Reply, Refusal>;

/// A request that was done.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// The server's first message of the exchange (RFC 5802, section 7). `hashed`: the password of the exchange is the digest
    /// of the user's, in lower-case hexadecimal digits.
    Challenge {
        message: String,
        hashed: bool,
    },
    /// The server's last message, and what the client needs to know.
    LoggedIn {
        message: String,
        user: UserName,
        /// Without a sign of life for this long the server takes the client for gone.
        heartbeat_timeout: Duration,
        /// Which log the numbers of messages belong to: another one, and what the client remembers having shown counts
        /// for nothing.
        log: LogId,
        /// The highest counter that this device has used; zero if none.
        counter: u64,
        /// How many messages wait for this device.
        waiting: usize,
    },
    /// Somebody has come in who had nothing to be proved to.
    Welcome {
        user: UserName,
        /// How many messages wait.
        waiting: usize,
    },
    LoggedOut,
    SignedUp(UserName),
    PasswordChanged(UserName),
    UserAdded(UserName),
    UserRemoved(UserName),
    Users(Vec<Listed>),
    Unlocked(UserName),
    /// So many sessions were ended.
    Kicked {
        user: UserName,
        sessions: usize,
    },
    Status(Status),
    /// Safe on the server's disk.
    Accepted {
        number: Number,
        reach: Reach,
    },
    /// The chat has begun: for the `session` protocol its beginning is what it is called.
    ChatStarted {
        id: LocalTime,
        peer: UserName,
    },
    ChatEnded {
        id: LocalTime,
        peer: UserName,
    },
    Acknowledged,
    Alive,
    Online(Vec<UserName>),
    Blocked(UserName),
    Unblocked(UserName),
    BlockList(Vec<UserName>),
    /// The user was asked, and has so long to answer.
    Asked {
        user: UserName,
        answer_within: Duration,
    },
    /// Whoever asked knows where to come to, and may come for so long. `address` and `certificate` are theirs.
    Consented {
        user: UserName,
        address: PeerAddress,
        /// `None`: they come without encryption.
        certificate: Option<Fingerprint>,
        connect_within: Duration,
    },
    Declined(UserName),
    Revoked(UserName),
    Privacy(Box<PrivacyList>),
    History(HistoryPage),
}

/// Who may reach a user, and who has asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrivacyList {
    pub blocked: Vec<UserName>,
    /// To whom the user has said yes.
    pub consents: Vec<Pending>,
    pub asked_by: Option<Pending>,
    /// Whom the user has asked.
    pub asking: Vec<Pending>,
}

/// Something with another user that ends by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    pub user: UserName,
    /// After so long.
    pub left: Duration,
}

/// An account, as the operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub name: UserName,
    /// It stands in the operator's file, and not in the database.
    pub in_file: bool,
    /// Its password is kept, sealed.
    pub classic: bool,
    /// The server knows no more of its password than a digest.
    pub hashed: bool,
    pub online: bool,
    /// Some source, or every strange one, is locked out.
    pub locked: bool,
}

/// How far an accepted message got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The recipient is online, or: everyone who is online gets it.
    Online,
    /// The recipient is offline: it waits.
    Queued,
    /// A broadcast that does not reach some who block the sender.
    Partial,
    /// A broadcast that nobody gets, whose sender waits for receipts: none will come. Nobody else is told.
    Nobody,
}

/// A request that was not done, and nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    LogInFirst,
    AlreadyLoggedIn,
    /// An answer to a challenge that was not asked.
    NoChallenge,
    /// The request is for devices only, and this log-in named none.
    NoDevice,
    /// Unknown name, wrong password, locked out: the client is not told which.
    NotAuthenticated,
    /// Where the protocol tells it: nobody has this name.
    UnknownName,
    /// Likewise: the password is wrong.
    WrongPassword,
    /// The password was wrong once too often: from now on the name is locked out.
    LockedOutNow,
    /// The name is locked out, and nothing was checked.
    LockedOut,
    /// The server can't check what this protocol has in place of the account's password.
    NotByThisProtocol,
    /// As many without an account are here as there may be.
    TooManyGuests,
    /// The request has no word for what the sender wanted to say.
    Unfit(TextError),
    /// The resume token is not valid (any more): log in with the password.
    TokenRefused,
    /// The secret is right, but was not proved on this connection: somebody is in between.
    SomebodyInBetween,
    /// The account has as many sessions without a device as it may have.
    TooManySessions,
    /// Binding to the channel, a sign-up and a new password need TLS.
    NeedsTls,
    /// The request is the operator's, and comes through the control socket.
    OperatorOnly,
    /// Nobody may sign up from where the client is.
    NoSignUp,
    NameTaken(UserName),
    /// The account stands in the operator's file, and is changed there.
    InFile(UserName),
    TooManyAccounts,
    /// A password is changed only after it was proved: this session began with a resume token.
    PasswordFirst,
    /// The server keeps this account's password itself, and only the operator changes it.
    PasswordIsKept,
    /// The server has no key to seal passwords with.
    NoSealingKey,
    NoSuchUser(UserName),
    /// The recipient has blocked the sender.
    BlockedBy(UserName),
    NotBlocked(UserName),
    /// The sender's own block list is full.
    TooManyBlocked,
    CannotBlockYourself,
    CannotAskYourself,
    /// The asker has blocked the one who is asked, who would learn the asker's address.
    BlockedByYou(UserName),
    Offline(UserName),
    /// The user is here, but on no encrypted connection.
    CannotBeAsked(UserName),
    /// Somebody else's question to the user is open.
    Busy(UserName),
    AlreadyAsked(UserName),
    /// The user did not say yes a moment ago, or was not given the time to.
    AskedLately(UserName),
    /// This user has too many questions open.
    TooManyQuestions,
    /// The user has not asked, or the question is over.
    NotAsked(UserName),
    /// The user has said yes to too many.
    TooManyConsents,
    /// There is no yes that could be taken back.
    NotConsented(UserName),
    /// The user is not online, is who asks, has blocked who asks, or is in a chat already; or who asks is.
    Unreachable(UserName),
    /// The client is in no chat, or not in this one.
    NotInChat,
    /// Too much waits for the recipient already.
    QueueFull(UserName),
    /// The account sends faster than it may. Nothing is remembered of this send: after the time it can be sent again
    /// under the same counter.
    TooFast {
        retry_after: Duration,
    },
    /// A send before this one was too fast, and has not come again: nothing overtakes it.
    OutOfTurn {
        first: u64,
    },
    /// The same id was used for another message.
    Conflict,
    /// The counter is too far behind to be remembered.
    CounterTooOld,
    /// The server could not write to its disk.
    NotStored,
    /// The server could not read its history.
    HistoryUnavailable,
    ShuttingDown,
}

/// News that nobody asked for at that moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Message(Arc<Message>),
    Online(UserName),
    Offline(UserName),
    /// Somebody has begun a chat with this client.
    ChatStarted {
        id: LocalTime,
        peer: UserName,
    },
    /// The other side of this client's chat has ended it, or is gone.
    ChatEnded {
        id: LocalTime,
        peer: UserName,
    },
    /// A message whose sender asked for it was shown by the recipient; of a broadcast, by one of them.
    Delivered {
        number: Number,
        to: UserName,
        /// What their client says to it, if it says anything.
        words: Option<Text>,
    },
    /// The token of this log-in is valid: with it the device can log in again without the password, once.
    Token,
    /// At least so many messages were too many to be kept for this device; history has them.
    Missed {
        count: u64,
    },
    /// Somebody wants to know the user's address. `certificate` is what they will show.
    Asks {
        user: UserName,
        /// `None`: nothing, they come without encryption.
        certificate: Option<Fingerprint>,
        answer_within: Duration,
    },
    /// This user's question needs no answer any more.
    AskOver {
        user: UserName,
        why: AskOver,
    },
    /// The user has said yes, and expects the asker there.
    Address {
        user: UserName,
        address: PeerAddress,
        port: PeerPort,
        /// `None`: there is no encryption.
        certificate: Option<Fingerprint>,
        connect_within: Duration,
    },
    /// The question to this user came to nothing.
    NoAddress {
        user: UserName,
        why: NoAddress,
    },
    /// The user has taken back their yes.
    Revoked(UserName),
    /// The connection ends next.
    Closing(CloseReason),
}

/// Why a question needs no answer any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskOver {
    /// On another device.
    Answered,
    Expired,
    /// Whoever asked is gone, or has blocked the one who is asked.
    Withdrawn,
    /// The user has blocked whoever asked.
    Blocked,
    /// The answer could not be stored, and counts for nothing.
    NotStored,
    /// The answer was yes, and has been taken back elsewhere: whoever listens for the asker turns them away.
    Revoked,
}

/// Why a question came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoAddress {
    /// No, or a block.
    Declined,
    Expired,
    /// Whoever was asked is gone.
    Offline,
    /// Whoever asked has blocked the other.
    Withdrawn,
    /// The answer could not be stored.
    NotStored,
}

/// Why the server ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The same device logged in again.
    Displaced,
    Shutdown,
    /// No sign of life.
    HeartbeatMissed,
    /// The account is gone or its password is another now.
    AccountChanged,
    /// By the operator.
    Kicked,
    /// Too many log-ins have failed on the connection.
    LogInsFailed,
}

/// 256 bits that both sides of a log-in derive from it. Whoever has them is that device.
#[derive(Clone, PartialEq, Eq)]
pub struct ResumeToken(pub [u8; 32]);

impl std::fmt::Debug for ResumeToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ResumeToken(..)")
    }
}

/// What came out of a turn, in order. Net owns it, and clears it; it keeps its room, up to a bound.
#[derive(Debug, Default)]
pub struct Outbox {
    pub effects: Vec<Effect>,
    /// The connections that `Recipients::Many` points into.
    pub recipients: Vec<ConnectionId>,
    /// To be committed before any effect of the same turn leaves.
    pub changes: Vec<Change>,
    /// The part of `recipients` that was used last.
    last_many: Range<usize>,
}

/// An empty outbox keeps room for so many effects and changes, and recipients, so that what one storm of log-ins needed
/// is not held for ever.
const EFFECTS_KEPT: usize = 128;
const RECIPIENTS_KEPT: usize = 2048;

impl Outbox {
    pub fn new() -> Outbox {
        Outbox::default()
    }

    pub fn is_empty(&self) -> bool {
        self.effects.is_empty() && self.changes.is_empty()
    }

    pub fn clear(&mut self) {
        self.effects.clear();
        self.recipients.clear();
        self.changes.clear();
        self.last_many = 0..0;
        self.effects.shrink_to(EFFECTS_KEPT);
        self.recipients.shrink_to(RECIPIENTS_KEPT);
        self.changes.shrink_to(EFFECTS_KEPT);
    }

    /// The connections that an event is for.
    pub fn recipients(&self, to: &Recipients) -> impl Iterator<Item = ConnectionId> + '_ {
        let (one, many) = match to {
            Recipients::One(connection) => (Some(*connection), 0..0),
            Recipients::Many(range) => (None, range.clone()),
        };
        one.into_iter().chain(self.recipients[many].iter().copied())
    }

    pub(super) fn event(&mut self, connection: ConnectionId, event: Event, if_lost: IfLost) {
        self.effects.push(Effect::Event { to: Recipients::One(connection), event, if_lost });
    }

    /// One event for all of `connections`; nothing if there are none. Who says several things in a turn says them to the
    /// same people: an event to the same list as the last one shares it.
    pub(super) fn event_to_many(
        &mut self,
        connections: impl Iterator<Item = ConnectionId>,
        event: impl FnOnce() -> Event,
        if_lost: IfLost,
    ) {
        let start = self.recipients.len();
        self.recipients.extend(connections);
        let (earlier, list) = self.recipients.split_at(start);
        if list.is_empty() {
            return;
        }
        if earlier[self.last_many.clone()] == *list {
            self.recipients.truncate(start);
        } else {
            self.last_many = start..self.recipients.len();
        }
        self.effects.push(Effect::Event { to: Recipients::Many(self.last_many.clone()), event: event(), if_lost });
    }
}
