//! Bugs planted on purpose, to see that the laws' checkers find them.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    None,
    AcknowledgedBeforeCommit,
    NothingWaitsForTheDisk,
    NothingIsTakenBack,
    MessagesAreNotUndone,
    BlocksAreNotUndone,
    BroadcastsReachEverybody,
    OneIsLeftOut,
    OneIsSkipped,
    HeartbeatJudgedByNow,
    QueuesHaveNoBound,
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
    pub const ALL: [Plant; 17] = [
        Plant::AcknowledgedBeforeCommit,
        Plant::NothingWaitsForTheDisk,
        Plant::NothingIsTakenBack,
        Plant::MessagesAreNotUndone,
        Plant::BlocksAreNotUndone,
        Plant::BroadcastsReachEverybody,
        Plant::OneIsLeftOut,
        Plant::OneIsSkipped,
        Plant::HeartbeatJudgedByNow,
        Plant::QueuesHaveNoBound,
        Plant::ClosedIsForgotten,
        Plant::CopiesAreShown,
        Plant::CountersAreNotKept,
        Plant::BlocksAreForgotten,
        Plant::TriesAreForgotten,
        Plant::CursorsRunAhead,
        Plant::FailedIsCommitted,
    ];
}
