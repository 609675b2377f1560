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
    pub const ALL: [Plant; 44] = [
        Plant::AcknowledgedBeforeCommit,
        Plant::NothingWaitsForTheDisk,
        Plant::OnlyTheTurnCounts,
        Plant::NothingIsTakenBack,
        Plant::MessagesAreNotUndone,
        Plant::BlocksAreNotUndone,
        Plant::BroadcastsReachEverybody,
        Plant::OneIsLeftOut,
        Plant::OneIsSkipped,
        Plant::HeartbeatJudgedByNow,
        Plant::StrangersMaySayAnything,
        Plant::ClosedIsForgotten,
        Plant::CopiesAreShown,
        Plant::CountersAreNotKept,
        Plant::BlocksAreForgotten,
        Plant::TriesAreForgotten,
        Plant::CursorsRunAhead,
        Plant::FailedIsCommitted,
        Plant::DeadlinesByTheWallClock,
        Plant::LocksBeginAnew,
        Plant::HalfCloseIsAClose,
        Plant::TheEndEatsWhatCame,
        Plant::ShortWritesCountAsWhole,
        Plant::ExhaustionLosesTheListener,
        Plant::AbortedArrivalEndsAccepting,
        Plant::UnwatchedLosesTheListener,
        Plant::UnwatchedIsLeaked,
        Plant::SendsAreForgotten,
        Plant::TheLastCommitIsLost,
        Plant::SignedUpBeforeCommit,
        Plant::AccountsAreNotUndone,
        Plant::AccountsAreForgotten,
        Plant::AddressLeavesBeforeCommit,
        Plant::ConsentedBeforeCommit,
        Plant::AddressGoesToAnother,
        Plant::AddressIsAnother,
        Plant::QuestionGoesToAnother,
        Plant::ExpiryIsNotTold,
        Plant::WithdrawalIsNotTold,
        Plant::RefusalIsNotTold,
        Plant::ConsentsAreNotUndone,
        Plant::RevokesAreNotUndone,
        Plant::ConsentsAreForgotten,
        Plant::RevokesAreForgotten,
    ];
}
