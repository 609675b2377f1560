//! One connection: a stream, what has come and was not understood yet, and what is to be written. What the stream is, it
//! does not know.

use std::io::{self, IoSlice, Read, Write};
use std::net::IpAddr;
use std::time::Duration;

use super::queue::{BatchNumber, WriteQueue};
use super::tls::Tls;
use super::turn::OUT_BYTES_PAUSE;
use super::under_way::UnderWay;
use crate::hub::id::ConnectionId;
use crate::hub::time::Instant;
use crate::wire::{Chunking, Conversation, Dialect, Protocol};

/// Pieces in one write.
const PIECES_MAX: usize = 64;

/// Where a connection's bytes come from and go to, as a socket in non-blocking mode does it.
pub trait Stream: Read + Write {
    /// Closes our side: the peer reads what was written, and then the end.
    fn close_our_side(&mut self) -> io::Result<()>;

    /// Whether a connection that was dialled is made by now. An error: it can't be.
    fn is_connected(&mut self) -> io::Result<bool>;

    /// How much of what was written the peer's system has not acknowledged, in bytes. The end of our side counts as one.
    fn unacknowledged(&self) -> io::Result<usize>;

    /// On which of this machine's networks the peer is, where its address does not tell (RFC 4007, section 6); zero: it does.
    fn peer_zone(&self) -> u32 {
        0
    }

    /// Closed, the connection is reset: who does not notice an orderly close notices that.
    fn reset_on_close(&self) -> io::Result<()>;

    /// Each write leaves at once, whatever is under way.
    fn write_at_once(&self) -> io::Result<()>;

    /// A peer that has acknowledged nothing for so long has failed, also while nothing is said.
    fn give_up_after(&self, silence: Duration) -> io::Result<()>;
}

/// What a listener serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serves {
    Everything,
    Only(Protocol),
}

impl Serves {
    pub fn protocol(self, protocol: Protocol) -> bool {
        self == Serves::Everything || self == Serves::Only(protocol)
    }

    /// Whether clients come with connections,
    pub fn has_connections(self) -> bool {
        Protocol::ALL.into_iter().any(|protocol| self.protocol(protocol) && protocol.has_connections())
    }

    /// and whether they come with datagrams.
    pub fn has_datagrams(self) -> bool {
        Protocol::ALL.into_iter().any(|protocol| self.protocol(protocol) && protocol.has_datagrams())
    }
}

/// By which door a connection came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// A port, from this address.
    Port { address: IpAddr, serves: Serves },
    /// The control socket, which only the operator can reach.
    Control,
    /// The server has dialled it itself, to bring something to a client that is reached by calls.
    Dialled { callee: ConnectionId },
}

impl Door {
    /// The port where everything is served.
    pub fn main(address: IpAddr) -> Door {
        Door::Port { address, serves: Serves::Everything }
    }

    /// From where somebody came by a port.
    pub fn address(self) -> Option<IpAddr> {
        match self {
            Door::Port { address, .. } => Some(address),
            Door::Control | Door::Dialled { .. } => None,
        }
    }
}

/// As what the hub knows a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// It does not.
    Not,
    /// As itself.
    Itself,
    /// It does not any more: somebody has logged in on it who is reached by calls, under what was its key.
    AsCallee(ConnectionId),
}

/// A connection in its slot.
#[derive(Debug)]
pub struct Connection<S> {
    pub stream: S,
    pub door: Door,
    /// `None`: it is not encrypted.
    pub tls: Option<Box<Tls>>,
    /// `None`: not recognised yet.
    pub conversation: Option<Conversation>,
    pub known: Known,
    /// Bytes that have come and are no whole request yet.
    pub inbound: Vec<u8>,
    pub queue: WriteQueue,
    pub stage: Stage,
    /// Somebody has logged in on it.
    pub member: bool,
    /// It has to authenticate by then, or to be gone; its entry among the loop's deadlines.
    pub deadline: Option<Instant>,
    /// When it came: the time to authenticate counts from here.
    pub came: Instant,
    /// What it has said before its log-in, in bytes.
    pub said: usize,
    /// Something has come on it.
    pub heard: bool,
    /// It has been asked for a nickname.
    pub prompted: bool,
    /// Nothing has come since the quiet time began, and that is over: what is there is all there is.
    pub quiet: bool,
    /// It ends with a reset.
    pub resets: bool,
    /// Messages on their way to a client that does not acknowledge them itself; `None`: there were none so far.
    pub under_way: Option<Box<UnderWay>>,
    /// There may be more to read.
    pub readable: bool,
    /// The peer has closed its side.
    pub read_closed: bool,
    /// It stands in the list of those with work to do.
    pub listed: bool,
    /// It stands in the list of those to be written to.
    pub dirty: bool,
    /// It stands in the list of those that wait for a batch.
    pub parked: bool,
    /// It stands in the list of those that have been written a chunk and may not have read it yet.
    pub paced: bool,
    /// Its answer needs the worker: its requests wait until then.
    pub suspended: bool,
    /// It has asked the store something: its requests wait for the answer.
    pub asking: bool,
    /// Writable events are asked for.
    pub watched: bool,
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It was dialled, and is not made yet.
    Dialling,
    /// Nobody has logged in yet.
    Strange,
    LoggedIn,
    /// What is in the queue is written, then the connection ends. The hub does not know it any more.
    Ending,
    /// Everything is written and our side is closed, or a reset is to close it; what still comes is thrown away until the
    /// peer closes too.
    Lingering,
    /// To be freed at the end of the turn.
    Gone,
}

/// What came of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrote {
    /// Everything that may be written.
    All,
    /// The socket takes no more now.
    Full,
    /// There are more pieces than one write takes.
    More,
}

impl<S: Stream> Connection<S> {
    pub fn new(stream: S, door: Door, now: Instant) -> Connection<S> {
        Connection {
            stream,
            door,
            tls: None,
            conversation: None,
            known: Known::Not,
            inbound: Vec::new(),
            queue: WriteQueue::default(),
            stage: match door {
                Door::Dialled { .. } => Stage::Dialling,
                Door::Port { .. } | Door::Control => Stage::Strange,
            },
            member: false,
            deadline: None,
            came: now,
            said: 0,
            heard: false,
            prompted: false,
            quiet: false,
            resets: false,
            under_way: None,
            readable: true,
            read_closed: false,
            listed: false,
            dirty: false,
            parked: false,
            paced: false,
            suspended: false,
            asking: false,
            watched: false,
        }
    }

    /// In which words it is written to; `None`: it has not been recognised.
    pub fn dialect(&self) -> Option<Dialect> {
        self.conversation.as_ref().map(Conversation::dialect)
    }

    /// How what is written to it is cut; `None`: that does not matter.
    pub fn chunking(&self) -> Option<Chunking> {
        self.dialect().and_then(Dialect::chunking)
    }

    /// Whether the log-in dialogue of a client that is reached by calls takes place here.
    pub fn is_log_in(&self) -> bool {
        matches!(self.conversation, Some(Conversation::LogIn(_)))
    }

    /// Whether one request comes on it, and nothing is said in return.
    pub fn is_post(&self) -> bool {
        matches!(self.conversation, Some(Conversation::Post))
    }

    /// Whether a request came where a guest was expected: the question for a nickname is never read.
    pub fn is_asked_in_vain(&self) -> bool {
        self.prompted && self.is_post()
    }

    /// Whether what comes is listened to.
    pub fn is_served(&self) -> bool {
        matches!(self.stage, Stage::Strange | Stage::LoggedIn)
    }

    /// What is to be written and was not, in bytes before encryption.
    pub fn out_bytes(&self) -> usize {
        self.queue.bytes() + self.tls.as_ref().map_or(0, |tls| tls.ahead())
    }

    /// Nothing is left to be written.
    pub fn is_drained(&self) -> bool {
        self.queue.is_empty() && !self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// It has begun a handshake and not finished it: nobody can be told anything.
    pub fn is_handshaking(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_handshaking())
    }

    /// Its requests have to wait.
    pub fn is_paused(&self) -> bool {
        self.suspended || self.asking || self.out_bytes() > OUT_BYTES_PAUSE
    }

    /// Something can be done for it now.
    pub fn has_work(&self) -> bool {
        match self.stage {
            Stage::Gone | Stage::Dialling => false,
            Stage::Ending | Stage::Lingering => self.readable,
            Stage::Strange | Stage::LoggedIn => !self.is_paused() && (self.readable || self.has_request()),
        }
    }

    /// What has come already holds a request that the last turn had no time for.
    fn has_request(&self) -> bool {
        let is_whole = |conversation: &Conversation| conversation.may_decode(&self.inbound);
        !self.inbound.is_empty() && (self.quiet || self.conversation.as_ref().is_some_and(is_whole))
    }

    /// Reads once into `buffer`, as it comes: encrypted, where the connection is. Afterwards `readable` says whether there
    /// may be more. Zero bytes: nothing has come, or, if `read_closed` is set, the peer has closed.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.tls.as_ref().is_some_and(|tls| tls.has_ended()) {
            self.readable = false;
            self.read_closed = true;
            return Ok(0);
        }
        loop {
            match self.stream.read(buffer) {
                Ok(0) => {
                    self.readable = false;
                    self.read_closed = true;
                    return Ok(0);
                }
                Ok(bytes) => {
                    // A short read has emptied the socket, and what comes later is announced anew (epoll(7)); only the
                    // end of the stream may have been announced already.
                    self.readable = bytes == buffer.len() || self.read_closed;
                    return Ok(bytes);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.readable = false;
                    return Ok(0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes once what may leave, as much as fits into one write.
    pub fn write(&mut self, persisted: BatchNumber) -> io::Result<Wrote> {
        let Connection { stream, queue, tls, stage, .. } = self;
        let Some(tls) = tls else {
            let Some(handed) = hand_out(queue, persisted, |pieces| write_pieces(stream, pieces))? else {
                return Ok(Wrote::All);
            };
            return Ok(match handed {
                Handed { all: false, .. } => Wrote::Full,
                Handed { more: true, .. } => Wrote::More,
                Handed { .. } => Wrote::All,
            });
        };
        let handed = hand_out(queue, persisted, |pieces| Ok(tls.encrypt(pieces)))?;
        if *stage == Stage::Ending && queue.is_empty() {
            tls.close();
        }
        let more = handed.is_some_and(|handed| handed.more || !handed.all);
        Ok(match tls.write(stream)? {
            true if more || tls.wants_write() => Wrote::More,
            true => Wrote::All,
            false => Wrote::Full,
        })
    }

    /// Writes once what is left of a chunk, or the next one, where `chunking` says how it is cut. `All`: to its end.
    /// Comes back as well: how many bytes. What has a cipher of its own is sealed in `buffer`.
    pub fn write_chunk(
        &mut self,
        persisted: BatchNumber,
        chunking: Chunking,
        buffer: &mut Vec<u8>,
    ) -> io::Result<(Wrote, usize)> {
        let Connection { stream, queue, under_way, tls, conversation, .. } = self;
        let take = |pieces: &[IoSlice<'_>]| match tls {
            Some(tls) => Ok(tls.encrypt(pieces)),
            None => write_pieces(stream, pieces),
        };
        let taken = match conversation.as_ref().filter(|conversation| conversation.is_sealed()) {
            Some(conversation) => {
                let Some((piece, written)) = queue.whole_chunk(persisted, chunking) else { return Ok((Wrote::All, 0)) };
                buffer.clear();
                conversation.seal(piece, buffer);
                gather(buffer.get(written..).into_iter(), take)?
            }
            None => gather(queue.chunk(persisted, chunking), take)?,
        };
        let Some((written, Handed { all, more })) = taken else { return Ok((Wrote::All, 0)) };
        debug_assert!(!more, "a chunk is one write");
        queue.wrote(written);
        let ends = if all { queue.finish_chunk() } else { None };
        if ends.is_some() || under_way.is_some() {
            under_way.get_or_insert_default().wrote(written, ends);
        }
        Ok((if all { Wrote::All } else { Wrote::Full }, written))
    }

    /// Writes what is encrypted and was not written. Comes back: whether that is all of it, and, if there was any, so that
    /// the peer needs time to read it.
    pub fn write_encrypted(&mut self) -> io::Result<(Wrote, bool)> {
        let Connection { stream, queue, tls: Some(tls), stage, .. } = self else { return Ok((Wrote::All, false)) };
        if *stage == Stage::Ending && queue.is_empty() {
            tls.close();
        }
        let is_any = tls.ahead() > 0;
        Ok((if tls.write(stream)? { Wrote::All } else { Wrote::Full }, is_any))
    }

    /// What was written and the peer's system has not acknowledged, with what is encrypted and waits, in bytes.
    pub fn unacknowledged(&self) -> io::Result<usize> {
        Ok(self.stream.unacknowledged()? + self.tls.as_ref().map_or(0, |tls| tls.ahead()))
    }

    /// Closes our side: the peer reads what was written, and then the end.
    pub fn close_our_side(&mut self) {
        // An error means that the peer is gone already, which the next read tells.
        let _ = self.stream.close_our_side();
    }
}

/// What came of handing out the pieces of a queue.
struct Handed {
    /// All of them were taken.
    all: bool,
    /// There are more than were handed out at once.
    more: bool,
}

/// Hands the pieces that may leave to `take`, which says how many bytes it has taken. `None`: there are none.
fn hand_out(
    queue: &mut WriteQueue,
    persisted: BatchNumber,
    take: impl FnOnce(&[IoSlice<'_>]) -> io::Result<usize>,
) -> io::Result<Option<Handed>> {
    let Some((taken, handed)) = gather(queue.writable(persisted), take)? else { return Ok(None) };
    queue.advance(taken);
    Ok(Some(handed))
}

/// Hands pieces to `take`, as many as one write takes. Comes back: what it says, and how much of them that is.
fn gather<'a>(
    mut pieces: impl Iterator<Item = &'a [u8]>,
    take: impl FnOnce(&[IoSlice<'_>]) -> io::Result<usize>,
) -> io::Result<Option<(usize, Handed)>> {
    let Some(first) = pieces.next() else { return Ok(None) };
    let (taken, bytes, more) = match pieces.next() {
        // Mostly there is one piece, and then no table of pieces needs to be made.
        None => (take(&[IoSlice::new(first)])?, first.len(), false),
        Some(second) => {
            let mut table = [IoSlice::new(&[]); PIECES_MAX];
            let (mut count, mut bytes) = (0, 0);
            for piece in [first, second].into_iter().chain(pieces.by_ref()).take(PIECES_MAX) {
                table[count] = IoSlice::new(piece);
                count += 1;
                bytes += piece.len();
            }
            let more = pieces.next().is_some();
            (take(&table[..count])?, bytes, more)
        }
    };
    Ok(Some((taken, Handed { all: taken == bytes, more })))
}

/// One write. Zero bytes: the socket takes none now.
fn write_pieces(stream: &mut impl Write, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
    loop {
        let result = match pieces {
            [one] => stream.write(one),
            _ => stream.write_vectored(pieces),
        };
        match result {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            result => return result,
        }
    }
}
