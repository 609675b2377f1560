//! Bugs planted on purpose, to see that the laws' checkers find them.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
}

impl Plant {
    pub const ALL: [Plant; 18] = [
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
    ];
}
