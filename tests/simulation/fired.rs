//! Which faults have fired, and how often.

use std::collections::BTreeMap;
use std::fmt;

/// Every kind of fault that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// On its way for more than a second.
    Delay,
    /// A connection whose bytes pass one by one for a while.
    SingleBytes,
    Reset,
    HalfClose,
    /// A client's network is gone, and the server hears nothing of it.
    LostLink,
    NonReader,
    Silence,
    Stranger,
    ClientRestart,
    ClockStall,
    WallJumpAhead,
    WallJumpBack,
    WallJumpWhileDown,
    DiskStall,
    FailedCommit,
    /// A kill lost what had been handed to the store.
    LostCommit,
    /// A kill fell on a commit that is there, and that nobody was told of.
    UnheardCommit,
    Kill,
    /// Between a commit and the writes that waited for it.
    KillAfterCommit,
    /// Before the server had read its accounts.
    KillAtStart,
    Shutdown,
    NoDescriptor,
    /// With no descriptor in reserve either.
    NoReserve,
    /// Who waited to be accepted has gone again.
    AbortedArrival,
    /// The kernel does not take a connection among those that are watched.
    NotWatched,
    CallRefused,
    /// A call that nobody answers at all.
    CallHangs,
    /// A client takes a call and does not read.
    CallUnread,
    /// A client takes its time with a call.
    CallSlow,
    /// A call is reset, by the client or on its way.
    CallReset,
    /// What a call brings comes in more than one segment, and the client reads one.
    CallCut,
    /// There is no descriptor to call with.
    NoDescriptorToCall,
    /// What is said without framing comes in pieces, one soon after the other.
    Pieces,
    /// It comes in pieces so far apart that nobody could know.
    Lull,
    /// Somebody is asked for a nickname who is going to log in.
    AskedWhileTyping,
    /// Somebody who is called logs in again.
    Twin,
    /// A client's machine is gone.
    Vanished,
    /// Somebody posts in another's name.
    Forgery,
    /// A guest's network is gone, or they are.
    GuestLost,
    DatagramLost,
    DatagramDoubled,
    /// Comes after one that was sent later.
    DatagramOvertaken,
    /// Comes without its end.
    DatagramCut,
    /// Comes with another byte in it.
    DatagramGarbled,
    /// Somebody sends a datagram in another's name, from an address of their own.
    Spoofed,
    /// Somebody sends a datagram as if from another's address.
    SourceForged,
    /// Somebody says again what another has said, from where the other is or from elsewhere.
    Replayed,
    /// A session begins with what deciphers to nothing.
    GarbageConnect,
    /// What was said with pauses is read at once.
    Glued,
    /// A second client of a user's logs on to a session, or to datagrams.
    Successor,
}

impl Fault {
    pub const ALL: [Fault; 50] = [
        Fault::Delay,
        Fault::SingleBytes,
        Fault::Reset,
        Fault::HalfClose,
        Fault::LostLink,
        Fault::NonReader,
        Fault::Silence,
        Fault::Stranger,
        Fault::ClientRestart,
        Fault::ClockStall,
        Fault::WallJumpAhead,
        Fault::WallJumpBack,
        Fault::WallJumpWhileDown,
        Fault::DiskStall,
        Fault::FailedCommit,
        Fault::LostCommit,
        Fault::UnheardCommit,
        Fault::Kill,
        Fault::KillAfterCommit,
        Fault::KillAtStart,
        Fault::Shutdown,
        Fault::NoDescriptor,
        Fault::NoReserve,
        Fault::AbortedArrival,
        Fault::NotWatched,
        Fault::CallRefused,
        Fault::CallHangs,
        Fault::CallUnread,
        Fault::CallSlow,
        Fault::CallReset,
        Fault::CallCut,
        Fault::NoDescriptorToCall,
        Fault::Pieces,
        Fault::Lull,
        Fault::AskedWhileTyping,
        Fault::Twin,
        Fault::Vanished,
        Fault::Forgery,
        Fault::GuestLost,
        Fault::DatagramLost,
        Fault::DatagramDoubled,
        Fault::DatagramOvertaken,
        Fault::DatagramCut,
        Fault::DatagramGarbled,
        Fault::Spoofed,
        Fault::SourceForged,
        Fault::Replayed,
        Fault::GarbageConnect,
        Fault::Glued,
        Fault::Successor,
    ];
}

/// Of each kind, how many have fired.
#[derive(Clone, Default)]
pub struct Fired(BTreeMap<Fault, u32>);

impl Fired {
    pub fn note(&mut self, fault: Fault) {
        *self.0.entry(fault).or_default() += 1;
    }

    pub fn add(&mut self, others: &Fired) {
        others.0.iter().for_each(|(&fault, count)| *self.0.entry(fault).or_default() += count);
    }

    pub fn count(&self, fault: Fault) -> u32 {
        self.0.get(&fault).copied().unwrap_or(0)
    }
}

impl fmt::Debug for Fired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
