//! Connections as the kernels on both ends see them: bytes on their way, bytes that wait to be read, ends and resets.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

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
    /// The server wants a connection (SYN of RFC 9293).
    Call,
    /// The client's kernel has taken a call.
    Taken,
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

/// How the links are that the server itself asks for.
#[derive(Clone, Copy, Debug, Default)]
pub struct CallWeather {
    pub delay_max: Time,
    /// So many of a hundred are reset on the way.
    pub resets: u64,
    /// So many of a hundred arrive in more than one segment.
    pub splits: u64,
}

/// What the server has called.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    pub to: SocketAddr,
    /// The client's kernel has taken it, and the server's knows.
    pub made: bool,
}

/// A client that says nothing is asked whether it is there after so long.
const KEEPALIVE_IDLE: Time = 15 * SECOND;
/// Further apart than this, two chunks are two: longer than the quiet time.
const APART: Time = 60 * MS;
/// Pieces as large as this are hardly ever cut by chance.
pub const IN_ONE: u64 = 1 << 40;
/// Between two bytes that pass one by one.
const BETWEEN_SINGLES: Time = 250;

/// One direction, as its receiver's kernel sees it.
#[derive(Debug, Default)]
pub struct Half {
    /// What has come and was not read, with the time at which it came.
    pub arrived: VecDeque<(Time, Vec<u8>)>,
    /// When the end has come.
    pub fin: Option<Time>,
    /// So many bytes are under way or unread.
    pub held: usize,
    /// So many have not come yet; the end counts as one.
    under_way: usize,
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
    /// The server has asked for it.
    pub call: Option<Call>,
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
    /// The client's machine has lost its network: nothing reaches it any more.
    unplugged: bool,
    given_up_after: Option<Time>,
    resets_on_close: bool,
    /// The server has died on it.
    pub died: bool,
}

/// All links, and what is under way on them.
#[derive(Default)]
pub struct Links {
    pub map: BTreeMap<LinkId, Link>,
    next: u64,
    /// To be put among the world's events.
    pub departed: Vec<(Time, Transit)>,
    pub calls: CallWeather,
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
    pub fn open(&mut self, source: IpAddr, weather: Weather, binding: Option<ChannelBinding>) -> LinkId {
        let id = LinkId(self.next);
        self.next += 1;
        let link = Link {
            source,
            weather,
            binding,
            call: None,
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
            unplugged: false,
            given_up_after: None,
            resets_on_close: false,
            died: false,
        };
        self.map.insert(id, link);
        id
    }

    /// The server asks for a connection to a client.
    pub fn dial(&mut self, dice: &mut Dice, now: Time, to: SocketAddr) -> LinkId {
        let CallWeather { delay_max, resets, splits } = self.calls;
        let weather = Weather {
            delay_max,
            piece_max: if dice.percent(splits) { 40 } else { IN_ONE },
            buffer: 64 * 1024,
            reset_after: dice.percent(resets).then(|| dice.range(0, 60)),
            reset_leaves: dice.one_in(2),
            singles: 0,
        };
        let id = self.open(to.ip(), weather, None);
        let Some(link) = self.map.get_mut(&id) else { return id };
        link.call = Some(Call { to, made: false });
        let at = link.arrival(dice, now, false);
        self.departed.push((at, Transit { link: id, to_server: false, segment: Segment::Call }));
        id
    }

    /// The client's kernel takes a call, or refuses it.
    pub fn answer_call(&mut self, dice: &mut Dice, now: Time, id: LinkId, takes: bool) {
        let Some(link) = self.map.get_mut(&id).filter(|link| !link.cut) else { return };
        let segment = if takes { Segment::Taken } else { Segment::Reset };
        (link.cut, link.client_gone) = (!takes, !takes);
        let at = link.arrival(dice, now, true);
        self.departed.push((at, Transit { link: id, to_server: true, segment }));
    }

    /// Whether a client has read everything that a call has brought, and closed it.
    pub fn was_taken(&self, id: LinkId) -> bool {
        self.map.get(&id).is_some_and(|link| !link.reset && link.up.fin.is_some() && link.down.held == 0)
    }

    /// How much of what the server has written has not come to the client's kernel, in bytes.
    pub fn unacknowledged(&self, id: LinkId) -> usize {
        self.map.get(&id).map_or(0, |link| link.down.under_way)
    }

    pub fn send(&mut self, dice: &mut Dice, now: Time, id: LinkId, to_server: bool, bytes: &[u8]) {
        let Some(link) = self.map.get_mut(&id) else { return };
        if link.is_closed(to_server) {
            return link.loses(to_server, bytes.len());
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let single = link.passes_singly(to_server);
            let size = if single { 1 } else { dice.range(1, link.weather.piece_max + 1) as usize }.min(rest.len());
            let (piece, after) = rest.split_at(size);
            rest = after;
            link.carried += size as u64;
            if link.weather.reset_after.is_some_and(|bound| link.carried > bound) {
                link.weather.reset_after = None;
                link.loses(to_server, size + rest.len());
                return self.reset(dice, now, id);
            }
            let at = link.arrival(dice, now, to_server);
            if at > now + SECOND {
                self.fired.note(Fault::Delay);
            }
            let half = if to_server { &mut link.up } else { &mut link.down };
            half.held += size;
            half.under_way += size;
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

    /// A client says something without framing, apart from what it said before. `cuts`: where it is cut, and whether what
    /// follows comes after a lull.
    pub fn send_apart(&mut self, dice: &mut Dice, now: Time, id: LinkId, bytes: &[u8], cuts: &[(usize, bool)]) {
        let ends = cuts.iter().map(|&(at, _)| at).chain([bytes.len()]);
        let lulls = std::iter::once(true).chain(cuts.iter().map(|&(_, lull)| lull));
        let mut begin = 0;
        for (end, lull) in ends.zip(lulls) {
            let Some(link) = self.map.get_mut(&id) else { return };
            let gap = if lull { dice.range(APART, 5 * APART) } else { dice.range(0, APART / 3) };
            link.up.last_arrival = link.up.last_arrival.max(now) + gap;
            // How it travels decides nothing here.
            let delay_max = std::mem::take(&mut link.weather.delay_max);
            self.send(dice, now, id, true, &bytes[begin..end]);
            if let Some(link) = self.map.get_mut(&id) {
                link.weather.delay_max = delay_max;
            }
            begin = end;
        }
    }

    /// The client has closed its end for good: what comes all the same is answered with a reset.
    pub fn refuse_more(&mut self, dice: &mut Dice, now: Time, id: LinkId) {
        if let Some(link) = self.map.get_mut(&id) {
            link.down.take(usize::MAX);
        }
        self.reset(dice, now, id);
    }

    pub fn fin(&mut self, dice: &mut Dice, now: Time, id: LinkId, to_server: bool) {
        let Some(link) = self.map.get_mut(&id).filter(|link| !link.is_closed(to_server)) else { return };
        *if to_server { &mut link.client_closed } else { &mut link.server_closed } = true;
        if to_server { &mut link.up } else { &mut link.down }.under_way += 1;
        let at = link.arrival(dice, now, to_server);
        self.departed.push((at, Transit { link: id, to_server, segment: Segment::Fin }));
    }

    /// Breaks the link; both ends learn it.
    pub fn reset(&mut self, dice: &mut Dice, now: Time, id: LinkId) {
        let Some(link) = self.map.get_mut(&id).filter(|link| !link.cut) else { return };
        link.cut = true;
        self.fired.note(if link.call.is_some() { Fault::CallReset } else { Fault::Reset });
        for to_server in [true, false] {
            let at = link.arrival(dice, now, to_server);
            self.departed.push((at, Transit { link: id, to_server, segment: Segment::Reset }));
        }
    }

    /// A segment arrives. Says whether its receiver has something to do.
    pub fn arrive(&mut self, now: Time, transit: &Transit) -> bool {
        let Some(link) = self.map.get_mut(&transit.link) else { return false };
        if link.unplugged && !transit.to_server {
            return false;
        }
        // What comes to a socket that is closed is answered with a reset, and not acknowledged.
        let acknowledged = transit.to_server || !link.client_gone;
        let half = if transit.to_server { &mut link.up } else { &mut link.down };
        match &transit.segment {
            Segment::Call => {}
            Segment::Taken => link.call.iter_mut().for_each(|call| call.made = true),
            Segment::Bytes(bytes) => {
                half.under_way -= if acknowledged { bytes.len() } else { 0 };
                half.arrived.push_back((now, bytes.clone()));
            }
            Segment::Fin => {
                half.under_way -= usize::from(acknowledged);
                half.fin = Some(now);
            }
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
            true if link.up.fin.is_some() => Read::End,
            true => Read::Nothing,
        }
    }

    /// The server writes once; says how many bytes were taken.
    pub fn write(&mut self, dice: &mut Dice, now: Time, id: LinkId, bytes: &[u8]) -> Option<usize> {
        let link = self.map.get(&id)?;
        if link.reset || link.server_closed || !link.is_made() {
            return None;
        }
        let room = link.weather.buffer.saturating_sub(link.down.held).min(bytes.len());
        let room = if link.passes_singly(false) { room.min(1) } else { room };
        let room = if room > 1 && link.call.is_none() && link.weather.piece_max < IN_ONE && dice.one_in(8) {
            dice.range(1, room as u64) as usize
        } else {
            room
        };
        self.send(dice, now, id, false, &bytes[..room]);
        Some(room)
    }

    /// Closed by the server, it is reset.
    pub fn reset_on_close(&mut self, id: LinkId) {
        if let Some(link) = self.map.get_mut(&id) {
            link.resets_on_close = true;
        }
    }

    /// The client's machine is cut off.
    pub fn unplug(&mut self, now: Time, id: LinkId) {
        if let Some(link) = self.map.get_mut(&id) {
            link.unplugged = true;
        }
        self.give_up_if_silent(now, id);
    }

    /// The server's kernel gives up on a client that it has not heard of for so long.
    pub fn give_up_after(&mut self, now: Time, id: LinkId, silence: Time) {
        if let Some(link) = self.map.get_mut(&id) {
            link.given_up_after = Some(silence);
        }
        self.give_up_if_silent(now, id);
    }

    fn give_up_if_silent(&mut self, now: Time, id: LinkId) {
        let Some(link) = self.map.get_mut(&id).filter(|link| link.unplugged) else { return };
        if let Some(silence) = link.given_up_after.take() {
            let at = now + KEEPALIVE_IDLE + silence;
            self.departed.push((at, Transit { link: id, to_server: true, segment: Segment::Reset }));
        }
    }

    /// The server has closed its descriptor.
    pub fn server_closes(&mut self, dice: &mut Dice, now: Time, id: LinkId) {
        let Some(link) = self.map.get_mut(&id) else { return };
        link.server_gone = true;
        match link.up.arrived.is_empty() && link.is_made() && !link.resets_on_close {
            true => self.fin(dice, now, id, false),
            false => self.reset(dice, now, id),
        }
        self.tidy(id);
    }

    pub fn is_call(&self, id: LinkId) -> bool {
        self.map.get(&id).is_some_and(|link| link.call.is_some())
    }

    /// Whether a call can bring nothing more, as far as the server may know.
    pub fn is_over(&self, id: LinkId) -> bool {
        self.map.get(&id).is_none_or(|link| link.server_gone || link.reset || link.up.fin.is_some())
    }

    /// Whether somebody has the server's end.
    pub fn has_server(&self, id: LinkId) -> bool {
        self.map.get(&id).is_some_and(|link| !link.server_gone)
    }

    /// There is no server behind this link any more.
    pub fn server_dies(&mut self, dice: &mut Dice, now: Time, id: LinkId) {
        let Some(link) = self.map.get_mut(&id) else { return };
        (link.server_gone, link.died) = (true, true);
        match link.up.arrived.is_empty() && link.is_made() && dice.one_in(2) {
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
        self.map.get(&id).is_none_or(|link| link.reset || link.is_made() && link.down.held < link.weather.buffer)
    }
}

impl Link {
    /// Whether it is a connection by now, as far as the server's kernel knows.
    pub fn is_made(&self) -> bool {
        self.call.is_none_or(|call| call.made)
    }

    /// Whether some of what was written is on its way, or lost.
    pub fn has_more_to_come(&self) -> bool {
        self.down.held > 0 || self.cut
    }

    /// Whether everything was said in a call.
    pub fn is_written_call(&self) -> bool {
        self.call.is_some() && self.server_closed
    }

    fn passes_singly(&self, to_server: bool) -> bool {
        let half = if to_server { &self.up } else { &self.down };
        half.singles < self.weather.singles
    }

    /// So much is sent and never comes: nobody acknowledges it.
    fn loses(&mut self, to_server: bool, bytes: usize) {
        let half = if to_server { &mut self.up } else { &mut self.down };
        half.under_way += bytes;
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
