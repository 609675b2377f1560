//! Bugs planted on purpose, to see that the laws' checkers find them.

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Plant {
    None,
    AcknowledgedBeforeCommit,
    NothingWaitsForTheDisk,
    /// Effects wait for the changes of their own turn only.
    OnlyTheTurnCounts,
    NothingIsTakenBack,
    MessagesAreNotUndone,
    BlocksAreNotUndone,
    BroadcastsReachEverybody,
    OneIsLeftOut,
    OneIsSkipped,
    HeartbeatJudgedByNow,
    StrangersMaySayAnything,
    ClosedIsForgotten,
    /// The client shows what it has shown already.
    CopiesAreShown,
    /// The client sends what was not answered under new counters.
    CountersAreNotKept,
    /// The store loses blocks when it is opened.
    BlocksAreForgotten,
    /// The store loses counters of failed log-ins when it is opened.
    TriesAreForgotten,
    /// The store gives back the cursors of devices as they may come to be.
    CursorsRunAhead,
    /// The store commits a group that it reports as failed.
    FailedIsCommitted,
    DeadlinesByTheWallClock,
    /// The store gives every lock back as one that has just begun.
    LocksBeginAnew,
    HalfCloseIsAClose,
    /// What came before the end of a connection is not read.
    TheEndEatsWhatCame,
    ShortWritesCountAsWhole,
    ExhaustionLosesTheListener,
    AbortedArrivalEndsAccepting,
    UnwatchedLosesTheListener,
    /// A connection that the kernel does not watch is never closed.
    UnwatchedIsLeaked,
    /// The store loses, when it is opened, what devices have sent.
    SendsAreForgotten,
    /// A kill loses the last commit, as if it had not been synced.
    TheLastCommitIsLost,
    SignedUpBeforeCommit,
    AccountsAreNotUndone,
    /// The store loses accounts when it is opened.
    AccountsAreForgotten,
    AddressLeavesBeforeCommit,
    ConsentedBeforeCommit,
    AddressGoesToAnother,
    AddressIsAnother,
    QuestionGoesToAnother,
    /// The asker hears nothing when nobody has answered.
    ExpiryIsNotTold,
    /// Whoever is asked hears nothing when the asker has gone.
    WithdrawalIsNotTold,
    /// The asker hears nothing of a no, nor of a block.
    RefusalIsNotTold,
    ConsentsAreNotUndone,
    RevokesAreNotUndone,
    /// The store loses consents when it is opened.
    ConsentsAreForgotten,
    /// The store loses revokes when it is opened.
    RevokesAreForgotten,
}

impl Plant {
    /// Each, with a seed that finds it, as long as the simulation stays the same: it is tried first.
    pub const ALL: [(Plant, u64); 44] = [
        (Plant::AcknowledgedBeforeCommit, 0),
        (Plant::NothingWaitsForTheDisk, 0),
        (Plant::OnlyTheTurnCounts, 24),
        (Plant::NothingIsTakenBack, 0),
        (Plant::MessagesAreNotUndone, 0),
        (Plant::BlocksAreNotUndone, 72),
        (Plant::BroadcastsReachEverybody, 0),
        (Plant::OneIsLeftOut, 0),
        (Plant::OneIsSkipped, 0),
        (Plant::HeartbeatJudgedByNow, 23),
        (Plant::StrangersMaySayAnything, 1),
        (Plant::ClosedIsForgotten, 0),
        (Plant::CopiesAreShown, 1),
        (Plant::CountersAreNotKept, 1),
        (Plant::BlocksAreForgotten, 17),
        (Plant::TriesAreForgotten, 1),
        (Plant::CursorsRunAhead, 1),
        (Plant::FailedIsCommitted, 1),
        (Plant::DeadlinesByTheWallClock, 1),
        (Plant::LocksBeginAnew, 1),
        (Plant::HalfCloseIsAClose, 9),
        (Plant::TheEndEatsWhatCame, 9),
        (Plant::ShortWritesCountAsWhole, 0),
        (Plant::ExhaustionLosesTheListener, 1),
        (Plant::AbortedArrivalEndsAccepting, 8),
        (Plant::UnwatchedLosesTheListener, 124),
        (Plant::UnwatchedIsLeaked, 3),
        (Plant::SendsAreForgotten, 1),
        (Plant::TheLastCommitIsLost, 1),
        (Plant::SignedUpBeforeCommit, 3),
        (Plant::AccountsAreNotUndone, 3),
        (Plant::AccountsAreForgotten, 1),
        (Plant::AddressLeavesBeforeCommit, 2),
        (Plant::ConsentedBeforeCommit, 2),
        (Plant::AddressGoesToAnother, 2),
        (Plant::AddressIsAnother, 2),
        (Plant::QuestionGoesToAnother, 0),
        (Plant::ExpiryIsNotTold, 9),
        (Plant::WithdrawalIsNotTold, 0),
        (Plant::RefusalIsNotTold, 2),
        (Plant::ConsentsAreNotUndone, 94),
        (Plant::RevokesAreNotUndone, 205),
        (Plant::ConsentsAreForgotten, 20),
        (Plant::RevokesAreForgotten, 91),
    ];
}
