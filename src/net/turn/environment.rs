//! What a turn needs from outside: streams, readiness, the store and the worker. The server has the real ones; the
//! simulation has its own, and looks at what the turn does.

use std::io;
use std::net::SocketAddr;

use super::STRANGE_BYTES_MAX;
use crate::hub::Hub;
use crate::hub::effect::{Effect, Outbox};
use crate::hub::id::{ConnectionId, Endpoint};
use crate::hub::input::Input;
use crate::hub::message::HistoryQuery;
use crate::hub::time::Instant;
use crate::net::connection::{Connection, Stream};
use crate::net::queue::BatchNumber;
use crate::net::slots::Slots;
use crate::net::worker::{Done, Job};
use crate::store::{Batch, Completion, Submitted, Ticket};

/// The outside of a turn. Nothing here may block.
pub trait Environment {
    type Stream: Stream;

    /// Begins to connect. When that has come to something, the stream is announced as writable.
    fn dial(&mut self, address: SocketAddr) -> io::Result<Self::Stream>;

    /// From now on it is announced, once each time, that more has come on this stream; `writable`: and that it takes bytes.
    fn register(&mut self, stream: &mut Self::Stream, id: ConnectionId, writable: bool) -> io::Result<()>;

    /// Whether it is announced as well that the stream takes bytes again.
    fn reregister(&mut self, stream: &mut Self::Stream, id: ConnectionId, writable: bool) -> io::Result<()>;

    /// The stream is closed next, or registered anew under another key.
    fn deregister(&mut self, stream: &mut Self::Stream) -> io::Result<()>;

    /// The next datagram that has come to a socket, and from where. Comes back: how long it is; of what is longer than the
    /// buffer the end is missing.
    fn receive(&mut self, socket: u16, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)>;

    /// Sends a datagram, or nothing of it.
    fn send(&mut self, to: Endpoint, datagram: &[u8]) -> io::Result<()>;

    /// From which of this server's addresses what is sent there comes.
    fn sends_from(&self, to: Endpoint) -> SocketAddr;

    /// Whether it is announced as well that a socket takes datagrams again.
    fn watch_datagrams(&mut self, socket: u16, writable: bool) -> io::Result<()>;

    /// Hands the store a turn's changes.
    fn submit(&mut self, batch: Batch) -> Submitted;

    /// What the store has completed since the last time, in order.
    fn completions(&mut self) -> Vec<Completion>;

    /// Everything that was lost is undone: the store tries what comes next.
    fn resume(&mut self);

    /// Asks the store; a completion brings the answer.
    fn query(&mut self, ticket: Ticket, query: HistoryQuery);

    /// Hands the worker a job.
    fn work(&mut self, job: Job);

    /// What has come of a job, if one is done.
    fn done(&mut self) -> Option<Done>;

    /// How many descriptors are open; `None`: they can't be counted.
    fn descriptors(&self) -> Option<usize>;

    // The rest is for the simulation, which looks at the turn from inside and plants bugs in it. The server leaves it as
    // it is here, and pays nothing.

    /// The hub is told this next. Comes back: what it is told instead; `None`: nothing.
    fn tells(&mut self, input: Input) -> Option<Input> {
        Some(input)
    }

    /// The hub was told something, or time has passed for it.
    fn observe(&mut self, _seen: Seen<'_, Self::Stream>) {}

    /// A connection on the ready list is served next. False: it is passed over.
    fn serves(&mut self, _id: ConnectionId) -> bool {
        true
    }

    /// What an effect waits for; `own` is the batch of its turn, `rests_on` the one that it has to wait for.
    fn waits_for(&self, _effect: &Effect, _own: BatchNumber, rests_on: BatchNumber) -> BatchNumber {
        rests_on
    }

    /// What a connection may say before its log-in, in bytes.
    fn strange_bytes_max(&self) -> usize {
        STRANGE_BYTES_MAX
    }
}

/// What can be seen after the hub was told something, before anything comes of it.
pub struct Seen<'a, S> {
    pub hub: &'a Hub,
    pub outbox: &'a mut Outbox,
    /// So many effects there were before; the new ones follow.
    pub effects_before: usize,
    /// So many changes there were before. The new ones follow, but what the hub stores anew comes before all.
    pub changes_before: usize,
    pub connections: &'a Slots<Connection<S>>,
    /// The time by which deadlines are judged.
    pub round_began: Instant,
    /// The batch that these changes go into.
    pub batch: BatchNumber,
}
