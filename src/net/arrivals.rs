//! Who comes in: at which listener somebody may wait, and accepting when descriptors run out.
//!
//! Readiness is edge-triggered: a connection that can't be accepted would never be announced again. So a descriptor is held
//! in reserve, with which such a connection is accepted and closed. What always holds: where somebody may wait it is looked
//! again, in the next turn or at a time. Contains no socket: what accepts is given.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustix::io::Errno;

use super::listener::BACKLOG;
use crate::hub::time::Instant;

/// Connections accepted in a turn, from each listener.
const ACCEPTS_A_TURN: usize = 64;
/// When descriptors have run out, accepting is tried again after this time.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// The listeners, by their index.
pub trait Listening {
    type Stream;
    /// What holds a descriptor until it is dropped.
    type Held;

    /// The next who waits at a listener.
    fn accept(&mut self, listener: usize) -> io::Result<(Self::Stream, SocketAddr)>;

    /// Takes a descriptor, to be held.
    fn hold(&mut self) -> io::Result<Self::Held>;
}

/// A descriptor in reserve, while there is one.
#[derive(Debug)]
pub struct Reserve<H>(Option<H>);

/// What is known of those who wait.
#[derive(Debug)]
pub struct Arrivals<H> {
    /// At which listeners somebody may wait.
    ready: Vec<bool>,
    reserve: Reserve<H>,
    /// When all listeners are looked at again.
    again_at: Option<Instant>,
    backlog: Backlog,
}

/// Those who waited at some time, where others come all the time: they are among the first that the kernel has kept.
#[derive(Debug, Default)]
pub struct Backlog {
    /// Since when somebody waits all the time, and how many were served since.
    behind: Option<(Instant, usize)>,
}

impl Backlog {
    /// One more was served.
    pub fn served(&mut self) {
        if let Some((_, served)) = &mut self.behind {
            *served += 1;
        }
    }

    /// Whoever had come by then has been served, if that can be said now: `began` is when it was looked who has come.
    /// `kept_max`: so many the kernel keeps at most; `None`: nobody waits.
    pub fn caught_up(&mut self, began: Instant, kept_max: Option<usize>) -> Option<Instant> {
        let Some(kept_max) = kept_max else {
            self.behind = None;
            return Some(began);
        };
        let (since, served) = *self.behind.get_or_insert((began, 0));
        if served < kept_max {
            return None;
        }
        self.behind = None;
        Some(since)
    }
}

/// What came of accepting.
#[derive(Debug)]
pub enum Accepted<S> {
    Connection(S, SocketAddr),
    /// Nobody waits.
    Nobody,
    /// Whoever came has gone again.
    Failed,
    /// Somebody was turned away, since descriptors have run out.
    TurnedAway,
    /// Descriptors have run out, and not even the reserve helps: try again later.
    Exhausted,
}

impl<H> Arrivals<H> {
    /// Somebody may wait at all of so many listeners.
    pub fn new(listeners: usize, reserve: Reserve<H>) -> Arrivals<H> {
        Arrivals { ready: vec![true; listeners], reserve, again_at: None, backlog: Backlog::default() }
    }

    /// Somebody has come to a listener.
    pub fn note_ready(&mut self, listener: usize) {
        if let Some(ready) = self.ready.get_mut(listener) {
            *ready = true;
        }
    }

    /// When it is looked again, if nobody is announced before.
    pub fn again_at(&self) -> Option<Instant> {
        self.again_at
    }

    /// Somebody could not be let in elsewhere: all are looked at again in a while.
    pub fn try_again(&mut self, now: Instant) {
        self.again_at.get_or_insert(now + ACCEPT_AGAIN_AFTER);
    }

    /// There are no listeners any more.
    pub fn close(&mut self) {
        self.ready.clear();
        self.again_at = None;
        self.backlog = Backlog::default();
    }

    /// Whoever had come by then has been let in, if that can be said now: `began` is when it was looked who has come.
    pub fn caught_up(&mut self, began: Instant) -> Option<Instant> {
        let waits = self.ready.contains(&true);
        self.backlog.caught_up(began, waits.then_some(self.ready.len() * BACKLOG as usize))
    }

    /// Accepts a bounded number of those who wait, and hands them to `add`, with the listener they came to. Says whether there was anybody.
    pub fn accept<L: Listening<Held = H>>(
        &mut self,
        now: Instant,
        listening: &mut L,
        mut add: impl FnMut(usize, L::Stream, SocketAddr),
    ) -> bool {
        if self.again_at.is_some_and(|at| at <= now) {
            self.again_at = None;
            self.ready.fill(true);
        }
        let mut progress = false;
        for listener in 0..self.ready.len() {
            for _ in 0..ACCEPTS_A_TURN {
                if !self.ready[listener] {
                    break;
                }
                match self.reserve.accept(listening, listener) {
                    Accepted::Connection(stream, address) => {
                        progress = true;
                        self.backlog.served();
                        add(listener, stream, address);
                    }
                    Accepted::Nobody => self.ready[listener] = false,
                    Accepted::Failed => {}
                    Accepted::TurnedAway => {
                        progress = true;
                        log::warn!("descriptors have run out: a connection was turned away");
                    }
                    Accepted::Exhausted => {
                        self.ready[listener] = false;
                        self.again_at = Some(now + ACCEPT_AGAIN_AFTER);
                    }
                }
            }
            if self.ready[listener] && self.again_at.is_none() {
                // More may wait than a turn accepts.
                self.again_at = Some(now);
            }
        }
        progress
    }
}

impl<H> Reserve<H> {
    pub fn new(listening: &mut impl Listening<Held = H>) -> io::Result<Reserve<H>> {
        Ok(Reserve(Some(listening.hold()?)))
    }

    /// Accepts one connection.
    pub fn accept<L: Listening<Held = H>>(&mut self, listening: &mut L, listener: usize) -> Accepted<L::Stream> {
        match listening.accept(listener) {
            Ok((stream, address)) => return Accepted::Connection(stream, address),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Accepted::Nobody,
            Err(error) if is_exhaustion(&error) => {}
            Err(_) => return Accepted::Failed,
        }
        if self.0.take().is_none() {
            self.0 = listening.hold().ok();
            return Accepted::Exhausted;
        }
        let turned_away = listening.accept(listener);
        let outcome = match &turned_away {
            Ok(_) => Accepted::TurnedAway,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Accepted::Nobody,
            Err(_) => Accepted::Exhausted,
        };
        drop(turned_away);
        self.0 = listening.hold().ok();
        outcome
    }

    /// Gives the descriptor to whatever is opened next. `false`: it is given already.
    pub fn give(&mut self) -> bool {
        self.0.take().is_some()
    }

    /// Takes one again, if it was given and there is one to be had.
    pub fn refill(&mut self, listening: &mut impl Listening<Held = H>) {
        if self.0.is_none() {
            self.0 = listening.hold().ok();
        }
    }
}

/// Whether descriptors, or the room for them, have run out.
pub(super) fn is_exhaustion(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM].iter().any(|errno| code == Some(errno.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Descriptors and those who wait, by name.
    struct Kernel {
        free: usize,
        waiting: Vec<&'static str>,
        /// What accepting comes to before anything else.
        errors: Vec<Errno>,
    }

    impl Listening for Kernel {
        type Stream = &'static str;
        type Held = ();

        fn accept(&mut self, _: usize) -> io::Result<(&'static str, SocketAddr)> {
            if let Some(errno) = self.errors.pop() {
                return Err(errno.into());
            }
            if self.waiting.is_empty() {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            if self.free == 0 {
                return Err(Errno::MFILE.into());
            }
            Ok((self.waiting.remove(0), ([127, 0, 0, 1], 50000).into()))
        }

        fn hold(&mut self) -> io::Result<()> {
            if self.free > 0 { Ok(()) } else { Err(Errno::MFILE.into()) }
        }
    }

    fn accept(arrivals: &mut Arrivals<()>, kernel: &mut Kernel, micros: u64) -> Vec<&'static str> {
        let mut came = Vec::new();
        arrivals.accept(Instant::from_micros(micros), kernel, |_, name, _| came.push(name));
        came
    }

    fn kernel(waiting: &[&'static str]) -> Kernel {
        Kernel { free: 1, waiting: waiting.to_vec(), errors: Vec::new() }
    }

    #[test]
    fn who_could_not_be_accepted_is_looked_for_again_without_being_announced() {
        let mut kernel = Kernel { free: 0, ..kernel(&["a"]) };
        let mut arrivals = Arrivals::new(1, Reserve(Some(())));
        assert!(accept(&mut arrivals, &mut kernel, 5).is_empty());
        let again = ACCEPT_AGAIN_AFTER.as_micros() as u64 + 5;
        assert_eq!(arrivals.again_at(), Some(Instant::from_micros(again)));
        kernel.free = 1;
        assert!(accept(&mut arrivals, &mut kernel, again - 1).is_empty(), "nobody was announced");
        assert_eq!(accept(&mut arrivals, &mut kernel, again), ["a"]);
        assert_eq!(arrivals.again_at(), None);
    }

    #[test]
    fn who_has_gone_again_hides_nobody_who_waits_behind() {
        let mut kernel = Kernel { errors: vec![Errno::CONNABORTED], ..kernel(&["a"]) };
        assert_eq!(accept(&mut Arrivals::new(1, Reserve(Some(()))), &mut kernel, 0), ["a"]);
    }

    #[test]
    fn more_than_a_turn_accepts_are_accepted_in_the_next() {
        let mut kernel = kernel(&["a"; ACCEPTS_A_TURN + 1]);
        let mut arrivals = Arrivals::new(1, Reserve(Some(())));
        assert_eq!(accept(&mut arrivals, &mut kernel, 7).len(), ACCEPTS_A_TURN);
        assert_eq!(arrivals.again_at(), Some(Instant::from_micros(7)));
        assert_eq!(accept(&mut arrivals, &mut kernel, 8).len(), 1);
    }

    #[test]
    fn whoever_waits_is_let_in_before_it_is_late_and_a_flood_does_not_stop_the_time() {
        let at = Instant::from_micros;
        let mut kernel = kernel(&["a"; ACCEPTS_A_TURN + 1]);
        let mut arrivals = Arrivals::new(1, Reserve(Some(())));
        accept(&mut arrivals, &mut kernel, 7);
        assert_eq!(arrivals.caught_up(at(7)), None, "one has waited since then");
        accept(&mut arrivals, &mut kernel, 8);
        assert_eq!(arrivals.caught_up(at(8)), Some(at(8)));
        let mut turns = 0;
        let judged = loop {
            kernel.waiting.resize(2 * ACCEPTS_A_TURN, "b");
            turns += 1;
            arrivals.note_ready(0);
            accept(&mut arrivals, &mut kernel, 10 + turns);
            if let Some(judged) = arrivals.caught_up(at(10 + turns)) {
                break judged;
            }
        };
        assert_eq!((judged, turns), (at(11), 1 + BACKLOG as u64 / ACCEPTS_A_TURN as u64));
    }

    #[test]
    fn with_the_last_descriptor_somebody_is_turned_away() {
        /// One descriptor, which is the reserve until it is given up.
        struct One(usize);
        impl Listening for One {
            type Stream = ();
            type Held = ();
            fn accept(&mut self, _: usize) -> io::Result<((), SocketAddr)> {
                self.0 += 1;
                match self.0 {
                    1 => Err(Errno::MFILE.into()),
                    2 => Ok(((), ([127, 0, 0, 1], 50000).into())),
                    _ => Err(io::ErrorKind::WouldBlock.into()),
                }
            }
            fn hold(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut arrivals = Arrivals::new(1, Reserve(Some(())));
        let progress = arrivals.accept(Instant::default(), &mut One(0), |_, (), _| panic!("nobody is let in"));
        assert!(progress);
        assert_eq!((arrivals.reserve.0, arrivals.again_at), (Some(()), None));
    }
}
