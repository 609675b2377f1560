//! Messages that we send.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::{Registry, Token};

use super::super::Happening;
use super::super::conversation::End;
use super::super::dial::Attempt;
use super::super::pipe::Pipe;
use super::{NotSent, ParcelId};

/// Messages that are under way. One beyond it is not sent.
pub(super) const GOING_MAX: usize = 4;
/// How long the other end is waited for to close when it has everything.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);
/// How much is read at once of what the other end says all the same, in bytes.
const UNWANTED_BYTES: usize = 4096;

pub(super) struct Going {
    /// The first of those of the places.
    token: Token,
    places: [Option<Parcel>; GOING_MAX],
    /// There was no place for these; told in the next turn.
    turned_away: Vec<ParcelId>,
    next: ParcelId,
}

struct Parcel {
    id: ParcelId,
    stage: Stage,
    /// When it is given up.
    until: Instant,
}

enum Stage {
    /// It could not even be tried; told in the next turn.
    Failed(io::Error),
    Dialling {
        attempt: Attempt,
        /// The poll has said something about it.
        stirred: bool,
        bytes: Vec<u8>,
    },
    Writing(Pipe),
    /// Everything is written, and our side is closed.
    Written(Pipe),
}

impl Going {
    pub(super) fn new(token: Token) -> Going {
        Going { token, places: std::array::from_fn(|_| None), turned_away: Vec::new(), next: ParcelId(0) }
    }

    pub(super) fn send(
        &mut self,
        registry: &Registry,
        address: SocketAddr,
        bytes: Vec<u8>,
        within: Duration,
    ) -> ParcelId {
        let id = self.next;
        self.next = ParcelId(id.0 + 1);
        let Some(place) = self.places.iter().position(Option::is_none) else {
            self.turned_away.push(id);
            return id;
        };
        let stage = match Attempt::begin(registry, Token(self.token.0 + place), address) {
            Ok(attempt) => Stage::Dialling { attempt, stirred: false, bytes },
            Err(error) => Stage::Failed(error),
        };
        self.places[place] = Some(Parcel { id, stage, until: Instant::now() + within });
        id
    }

    pub(super) fn close(&mut self) {
        self.places.fill_with(|| None);
        self.turned_away.clear();
    }

    pub(super) fn is_busy(&self) -> bool {
        let is_busy = |parcel: &Parcel| match &parcel.stage {
            Stage::Failed(_) => true,
            Stage::Dialling { .. } => false,
            Stage::Writing(pipe) | Stage::Written(pipe) => pipe.is_readable(),
        };
        !self.turned_away.is_empty() || self.places.iter().flatten().any(is_busy)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.places.iter().flatten().map(|parcel| parcel.until).min()
    }

    pub(super) fn stir(&mut self, event: &Event) {
        let Some(place) = event.token().0.checked_sub(self.token.0) else { return };
        let Some(Some(parcel)) = self.places.get_mut(place) else { return };
        match &mut parcel.stage {
            Stage::Failed(_) => {}
            Stage::Dialling { stirred, .. } => *stirred = true,
            Stage::Writing(pipe) | Stage::Written(pipe) => pipe.stir(event),
        }
    }

    pub(super) fn turn(&mut self, happenings: &mut Vec<Happening>) {
        for id in self.turned_away.drain(..) {
            let full = io::Error::new(ErrorKind::ResourceBusy, "too much is under way");
            happenings.push(Happening::ParcelSent(id, Err(NotSent::Unreachable(full))));
        }
        for place in &mut self.places {
            let Some(parcel) = place.take() else { continue };
            let (id, until) = (parcel.id, parcel.until);
            match parcel.go_on() {
                Err(result) => happenings.push(Happening::ParcelSent(id, result)),
                Ok((stage, until_now)) => *place = Some(Parcel { id, stage, until: until_now.unwrap_or(until) }),
            }
        }
    }
}

/// The next stage, and until when it may last if that is new; or how it has ended.
type Progress = Result<(Stage, Option<Instant>), Result<(), NotSent>>;

impl Parcel {
    fn go_on(self) -> Progress {
        let is_late = self.until <= Instant::now();
        match self.stage {
            Stage::Failed(error) => Err(Err(NotSent::Unreachable(error))),
            Stage::Dialling { mut attempt, mut stirred, bytes } => {
                match attempt.outcome(std::mem::take(&mut stirred)) {
                    Some(Ok(())) => {
                        let stream = attempt.into_stream();
                        // Without it it is only slower.
                        let _ = stream.set_nodelay(true);
                        let mut pipe = Pipe::new(stream, None);
                        pipe.send(&bytes);
                        write(pipe, is_late)
                    }
                    // There was a connection for a moment.
                    Some(Err(error)) if error.kind() == ErrorKind::ConnectionReset => Err(Err(NotSent::CutOff)),
                    Some(Err(error)) => Err(Err(NotSent::Unreachable(error))),
                    None if is_late => Err(Err(NotSent::Unreachable(ErrorKind::TimedOut.into()))),
                    None => Ok((Stage::Dialling { attempt, stirred, bytes }, None)),
                }
            }
            Stage::Writing(pipe) => write(pipe, is_late),
            Stage::Written(pipe) => await_close(pipe, is_late),
        }
    }
}

fn write(mut pipe: Pipe, is_late: bool) -> Progress {
    if pipe.write().is_err() {
        return Err(Err(NotSent::CutOff));
    }
    if pipe.waiting() > 0 {
        return if is_late { Err(Err(NotSent::CutOff)) } else { Ok((Stage::Writing(pipe), None)) };
    }
    match pipe.end_writing() {
        Ok(()) => {
            let until = Instant::now() + CLOSE_WITHIN;
            await_close(pipe, false).map(|(stage, _)| (stage, Some(until)))
        }
        Err(_) => Err(Err(NotSent::CutOff)),
    }
}

/// Whoever takes the message closes. Whoever does not in time may have taken it all the same.
fn await_close(mut pipe: Pipe, is_late: bool) -> Progress {
    match pipe.read(&mut Vec::new(), UNWANTED_BYTES) {
        None if is_late => Err(Ok(())),
        None => Ok((Stage::Written(pipe), None)),
        Some(End::Ended) => Err(Ok(())),
        Some(_) => Err(Err(NotSent::CutOff)),
    }
}
