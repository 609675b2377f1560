//! Connections as the kernels on both ends see them: bytes on their way, bytes that wait to be read, ends and resets.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use chatd::hub::scram::ChannelBinding;

use crate::dice::Dice;
use crate::fired::{Fault, Fired};

/// Microseconds of virtual time.
pub type Time = u64;

pub const MS: Time = 1000;
pub const SECOND: Time = 1_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkId(pub u64);

/// What travels on a link.
#[derive(Clone, Debug)]
pub enum Segment {
    Bytes(Vec<u8>),
    Fin,
    Reset,
}

/// A segment on its way.
#[derive(Clone, Debug)]
pub struct Transit {
    pub link: LinkId,
    pub to_server: bool,
    pub segment: Segment,
}

/// How a link treats what it carries.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    pub delay_max: Time,
    /// Segments have at most so many bytes.
    pub piece_max: u64,
    /// So many bytes fit between the server and a client that does not read.
    pub buffer: usize,
    /// After so many bytes, in whichever direction, it is reset.
    pub reset_after: Option<u64>,
    /// What had come before a reset can still be read.
    pub reset_leaves: bool,
    /// So many bytes pass one by one, in each direction: each is read, and written, alone.
    pub singles: usize,
}

/// Between two bytes that pass one by one.
const BETWEEN_SINGLES: Time = 250;

/// One direction, as its receiver's kernel sees it.
#[derive(Debug, Default)]
pub struct Half {
    /// What has come and was not read, with the time at which it came.
    pub arrived: VecDeque<(Time, Vec<u8>)>,
    pub fin: bool,
    /// So many bytes are under way or unread.
    pub held: usize,
    /// So many have passed one by one.
    singles: usize,
    last_arrival: Time,
}

#[derive(Debug)]
pub struct Link {
    pub source: IpAddr,
    pub weather: Weather,
    /// What the log-in is bound to; `None`: it is not encrypted. Nobody reads along here, so the bytes stay plain.
    pub binding: Option<ChannelBinding>,
    pub up: Half,
    pub down: Half,
    pub reset: bool,
    /// A reset is on its way: nothing follows it.
    cut: bool,
    /// Something happened that the server's poll has not told yet.
    pub edge: bool,
    carried: u64,
    server_closed: bool,
    client_closed: bool,
    /// The client has no descriptor for it.
    client_gone: bool,
    /// The server has no descriptor for it.
    server_gone: bool,
    /// The server has died on it.
    pub died: bool,
}

/// All links, and what is under way on them.
#[derive(Default)]
pub struct Links {
    pub map: BTreeMap<LinkId, Link>,
    /// To be put among the world's events.
    pub departed: Vec<(Time, Transit)>,
    pub fired: Fired,
}

/// What a read gives.
pub enum Read {
    Bytes(Vec<u8>),
    End,
    Nothing,
    Broken,
}

impl Links {
    pub fn open(&mut self, id: LinkId, source: IpAddr, weather: Weather, binding: Option<ChannelBinding>) {
        let link = Link {
            source,
            weather,
            binding,
            up: Half::default(),
            down: Half::default(),
            reset: false,
            cut: false,
            edge: false,
            carried: 0,
            server_closed: false,
            client_closed: false,
            client_gone: false,
            server_gone: false,
            died: false,
        };
        self.map.insert(id, link);
    }

    pub fn send(&mut self, dice: &mut Dice, now: Time, id: LinkId, to_server: bool, bytes: &[u8]) {
        let Some(link) = self.map.get_mut(&id).filter(|link| !link.is_closed(to_server)) else { return };
        let mut rest = bytes;
        while !rest.is_empty() {
            let single = link.passes_singly(to_server);
            let size = if single { 1 } else { dice.range(1, link.weather.piece_max + 1) as usize }.min(rest.len());
            let (piece, after) = rest.split_at(size);
            rest = after;
            link.carried += size as u64;
            if link.weather.reset_after.is_some_and(|bound| link.carried > bound) {
                link.weather.reset_after = None;
                return self.reset(dice, now, id);
            }
            let at = link.arrival(dice, now, to_server);
            if at > now + SECOND {
                self.fired.note(Fault::Delay);
            }
            let half = if to_server { &mut link.up } else { &mut link.down };
            half.held += size;
            if single {
                half.singles += 1;
                half.last_arrival += BETWEEN_SINGLES;
                if half.singles == 1 {
                    self.fired.note(Fault::SingleBytes);
                }
            }
            self.departed.push((at, Transit { link: id, to_server, segment: Segment::Bytes(piece.to_vec()) }));
        }
    }

    pub fn fin(&mut self, dice: &mut Dice, now: Time, id: LinkId, to_server: bool) {
        let Some(link) = self.map.get_mut(&id).filter(|link| !link.is_closed(to_server)) else { return };
        *if to_server { &mut link.client_closed } else { &mut link.server_closed } = true;
        let at = link.arrival(dice, now, to_server);
        self.departed.push((at, Transit { link: id, to_server, segment: Segment::Fin }));
    }

    /// Breaks the link; both ends learn it.
    pub fn reset(&mut self, dice: &mut Dice, now: Time, id: LinkId) {
        let Some(link) = self.map.get_mut(&id).filter(|link| !link.cut) else { return };
        link.cut = true;
        self.fired.note(Fault::Reset);
        for to_server in [true, false] {
            let at = link.arrival(dice, now, to_server);
            self.departed.push((at, Transit { link: id, to_server, segment: Segment::Reset }));
        }
    }

    /// A segment arrives. Says whether its receiver has something to do.
    pub fn arrive(&mut self, now: Time, transit: &Transit) -> bool {
        let Some(link) = self.map.get_mut(&transit.link) else { return false };
        let half = if transit.to_server { &mut link.up } else { &mut link.down };
        match &transit.segment {
            Segment::Bytes(bytes) => half.arrived.push_back((now, bytes.clone())),
            Segment::Fin => half.fin = true,
            Segment::Reset => link.reset = true,
        }
        link.edge |= transit.to_server;
        true
    }

    /// The server reads once.
    pub fn read(&mut self, id: LinkId, max: usize) -> Read {
        let Some(link) = self.map.get_mut(&id) else { return Read::Broken };
        if link.reset && (link.up.arrived.is_empty() || !link.weather.reset_leaves) {
            return Read::Broken;
        }
        let bytes = link.up.take(max);
        match bytes.is_empty() {
            false => Read::Bytes(bytes),
            true if link.up.fin => Read::End,
            true => Read::Nothing,
        }
    }

    /// The server writes once; says how many bytes were taken.
    pub fn write(&mut self, dice: &mut Dice, now: Time, id: LinkId, bytes: &[u8]) -> Option<usize> {
        let link = self.map.get(&id)?;
        if link.reset || link.server_closed {
            return None;
        }
        let room = link.weather.buffer.saturating_sub(link.down.held).min(bytes.len());
        let room = if link.passes_singly(false) { room.min(1) } else { room };
        let room = if room > 1 && dice.one_in(8) { dice.range(1, room as u64) as usize } else { room };
        self.send(dice, now, id, false, &bytes[..room]);
        Some(room)
    }

    /// The server has closed its descriptor.
    pub fn server_closes(&mut self, dice: &mut Dice, now: Time, id: LinkId) {
        let Some(link) = self.map.get_mut(&id) else { return };
        link.server_gone = true;
        match link.up.arrived.is_empty() {
            true => self.fin(dice, now, id, false),
            false => self.reset(dice, now, id),
        }
        self.tidy(id);
    }

    /// Whether somebody has the server's end.
    pub fn has_server(&self, id: LinkId) -> bool {
        self.map.get(&id).is_some_and(|link| !link.server_gone)
    }

    /// There is no server behind this link any more.
    pub fn server_dies(&mut self, dice: &mut Dice, now: Time, id: LinkId) {
        let Some(link) = self.map.get_mut(&id) else { return };
        (link.server_gone, link.died) = (true, true);
        match link.up.arrived.is_empty() && dice.one_in(2) {
            true => self.fin(dice, now, id, false),
            false => self.reset(dice, now, id),
        }
        self.tidy(id);
    }

    /// The client has closed its descriptor, or left it lying.
    pub fn client_leaves(&mut self, id: LinkId) {
        if let Some(link) = self.map.get_mut(&id) {
            link.client_gone = true;
        }
        self.tidy(id);
    }

    /// A link that nobody has any more goes.
    pub fn tidy(&mut self, id: LinkId) {
        if self.map.get(&id).is_some_and(|link| link.server_gone && link.client_gone) {
            self.map.remove(&id);
        }
    }

    pub fn is_writable(&self, id: LinkId) -> bool {
        self.map.get(&id).is_none_or(|link| link.reset || link.down.held < link.weather.buffer)
    }
}

impl Link {
    fn passes_singly(&self, to_server: bool) -> bool {
        let half = if to_server { &self.up } else { &self.down };
        half.singles < self.weather.singles
    }

    /// Whether nothing more comes from this side.
    fn is_closed(&self, to_server: bool) -> bool {
        self.cut || if to_server { self.client_closed } else { self.server_closed }
    }

    fn arrival(&mut self, dice: &mut Dice, now: Time, to_server: bool) -> Time {
        let delay = match dice.one_in(4) {
            true => dice.range(0, self.weather.delay_max + 1),
            false => dice.range(0, self.weather.delay_max / 50 + 100),
        };
        let half = if to_server { &mut self.up } else { &mut self.down };
        half.last_arrival = half.last_arrival.max(now + delay);
        half.last_arrival
    }
}

impl Half {
    /// Takes what has come, at most `max` bytes.
    pub fn take(&mut self, max: usize) -> Vec<u8> {
        let mut taken = Vec::new();
        while let Some((_, piece)) = self.arrived.front_mut() {
            let room = max - taken.len();
            if piece.len() > room {
                taken.extend(piece.drain(..room));
                break;
            }
            taken.append(piece);
            self.arrived.pop_front();
        }
        self.held -= taken.len();
        taken
    }
}
