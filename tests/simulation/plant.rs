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
    /// A call counts as taken as soon as it is written.
    TakenBeforeItIsRead,
    /// A call that is refused counts as taken.
    RefusedCountsAsTaken,
    /// What a failed call was to bring counts as shown.
    FailedCountsAsShown,
    /// The hub does not hear of failed calls, and so never has them tried again.
    FailedCallsAreForgotten,
    /// It is not asked how much the client's system has acknowledged.
    UnacknowledgedCountsAsThere,
    CallsAreMadeTwice,
    CallsGoElsewhere,
    /// What is posted in somebody's name counts, wherever it comes from.
    PostsFromAnywhereCount,
    /// What is said next is written behind a text.
    AWordIsJoined,
    PaceIsIgnored,
    /// Deadlines are judged by a time that is not there yet: the quiet time is over at once.
    DeadlinesAreJudgedAhead,
    /// Guests do not hear themselves.
    EchoIsMissing,
    /// Connections without framing end as others do, which their clients do not notice.
    ResetsAreCloses,
    /// Nobody notices that a guest's machine is gone.
    GuestsAreNeverGivenUp,
    /// A challenge can be answered from wherever somebody is.
    ChallengesAreAnybodys,
    /// Whoever asks again for a challenge gets another.
    AskingAgainIsAnew,
    /// A response that comes twice counts twice.
    ResponsesCountTwice,
    /// Whoever has logged on may connect from wherever they are.
    ExpectedFromAnywhere,
    /// Whoever has connected is expected all the same.
    ExpectedForEver,
    /// A chat does not end for one when the other goes.
    ChatsOutliveTheirSides,
    EndsAreToldTwice,
    /// Whoever is in a chat may begin another, or have one begun.
    BusyIsNotChecked,
    /// What is said in a chat goes to somebody else.
    SaidToAnother,
    /// It is not asked whether what was written to a session has come.
    SessionsAreNotWaitedFor,
    /// The cipher goes on from message to message.
    CipherCarriesOver,
    /// What stands behind a message is not read as what it is.
    EndingsStayGlued,
    /// A datagram counts as shown as soon as it is sent.
    ShownWhenSent,
    /// An acknowledgement counts, whomever it names.
    AnyAcknowledgementCounts,
    SentAgainAtOnce,
    /// Whoever acknowledges nothing is never given up.
    UnreachedStay,
    /// A log-in that fails ends the session that was at its address.
    FailedLogInsDisplace,
    /// A correspondent may say something in any name.
    NamesAreNotChecked,
    /// What is said in a correspondent's name counts, wherever it comes from.
    SourcesAreNotChecked,
    DigestsAreNotChecked,
    /// Errors are told as often as somebody does what is wrong.
    ErrorsHaveNoBound,
}

impl Plant {
    /// Each, with a seed that finds it, as long as the simulation stays the same: it is tried first.
    pub const ALL: [(Plant, u64); 79] = [
        (Plant::AcknowledgedBeforeCommit, 0),
        (Plant::NothingWaitsForTheDisk, 0),
        (Plant::OnlyTheTurnCounts, 25),
        (Plant::NothingIsTakenBack, 1),
        (Plant::MessagesAreNotUndone, 1),
        (Plant::BlocksAreNotUndone, 46),
        (Plant::BroadcastsReachEverybody, 0),
        (Plant::OneIsLeftOut, 0),
        (Plant::OneIsSkipped, 0),
        (Plant::HeartbeatJudgedByNow, 42),
        (Plant::StrangersMaySayAnything, 1),
        (Plant::ClosedIsForgotten, 0),
        (Plant::CopiesAreShown, 1),
        (Plant::CountersAreNotKept, 0),
        (Plant::BlocksAreForgotten, 0),
        (Plant::TriesAreForgotten, 1),
        (Plant::CursorsRunAhead, 3),
        (Plant::FailedIsCommitted, 1),
        (Plant::DeadlinesByTheWallClock, 1),
        (Plant::LocksBeginAnew, 1),
        (Plant::HalfCloseIsAClose, 9),
        (Plant::TheEndEatsWhatCame, 5),
        (Plant::ShortWritesCountAsWhole, 0),
        (Plant::ExhaustionLosesTheListener, 1),
        (Plant::AbortedArrivalEndsAccepting, 8),
        (Plant::UnwatchedLosesTheListener, 218),
        (Plant::UnwatchedIsLeaked, 3),
        (Plant::SendsAreForgotten, 2),
        (Plant::TheLastCommitIsLost, 6),
        (Plant::SignedUpBeforeCommit, 1),
        (Plant::AccountsAreNotUndone, 21),
        (Plant::AccountsAreForgotten, 3),
        (Plant::AddressLeavesBeforeCommit, 2),
        (Plant::ConsentedBeforeCommit, 2),
        (Plant::AddressGoesToAnother, 2),
        (Plant::AddressIsAnother, 2),
        (Plant::QuestionGoesToAnother, 0),
        (Plant::ExpiryIsNotTold, 2),
        (Plant::WithdrawalIsNotTold, 6),
        (Plant::RefusalIsNotTold, 10),
        (Plant::ConsentsAreNotUndone, 123),
        (Plant::RevokesAreNotUndone, 60),
        (Plant::ConsentsAreForgotten, 76),
        (Plant::RevokesAreForgotten, 344),
        (Plant::TakenBeforeItIsRead, 0),
        (Plant::RefusedCountsAsTaken, 19),
        (Plant::FailedCountsAsShown, 5),
        (Plant::FailedCallsAreForgotten, 18),
        (Plant::UnacknowledgedCountsAsThere, 34),
        (Plant::CallsAreMadeTwice, 0),
        (Plant::CallsGoElsewhere, 0),
        (Plant::PostsFromAnywhereCount, 2),
        (Plant::AWordIsJoined, 0),
        (Plant::PaceIsIgnored, 6),
        (Plant::DeadlinesAreJudgedAhead, 6),
        (Plant::EchoIsMissing, 11),
        (Plant::ResetsAreCloses, 6),
        (Plant::GuestsAreNeverGivenUp, 42),
        (Plant::ChallengesAreAnybodys, 1),
        (Plant::AskingAgainIsAnew, 7),
        (Plant::ResponsesCountTwice, 1),
        (Plant::ExpectedFromAnywhere, 1),
        (Plant::ExpectedForEver, 1),
        (Plant::ChatsOutliveTheirSides, 1),
        (Plant::EndsAreToldTwice, 1),
        (Plant::BusyIsNotChecked, 1),
        (Plant::SaidToAnother, 1),
        (Plant::SessionsAreNotWaitedFor, 34),
        (Plant::CipherCarriesOver, 1),
        (Plant::EndingsStayGlued, 1),
        (Plant::ShownWhenSent, 1),
        (Plant::AnyAcknowledgementCounts, 18),
        (Plant::SentAgainAtOnce, 1),
        (Plant::UnreachedStay, 72),
        (Plant::FailedLogInsDisplace, 19),
        (Plant::NamesAreNotChecked, 8),
        (Plant::SourcesAreNotChecked, 1),
        (Plant::DigestsAreNotChecked, 18),
        (Plant::ErrorsHaveNoBound, 1),
    ];
}
