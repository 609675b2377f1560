//! Datagrams on their way between the server's one socket for them and whoever sends them: lost, doubled, late, cut, and
//! from where nobody has sent them.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use crate::dice::Dice;
use crate::fired::{Fault, Fired};
use crate::link::{MS, SECOND, Time};

/// So many wait in the server's kernel to be read; what comes beyond is lost.
const WAITING_MAX: usize = 256;
/// So late a datagram comes at most, and so long one that nobody has sent may lie with whoever sends it again.
pub const LATE_MAX: Time = 2 * SECOND;

/// How the network treats them, in percent of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct DatagramWeather {
    pub loss: u64,
    pub doubles: u64,
    /// Come later than those that are sent after them.
    pub late: u64,
    /// Arrive without their end.
    pub cuts: u64,
    /// Arrive with another byte in them.
    pub garbles: u64,
}

/// Where a datagram is from, which only this world knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Whoever is at its address has said it, and it comes for the first time.
    Said,
    /// It has come before.
    Copy,
    /// Somebody else has said it, or has recorded it.
    Forged,
}

#[derive(Clone, Debug)]
pub struct Datagram {
    /// Of the end that is not the server's: nothing proves it.
    pub client: SocketAddr,
    pub to_server: bool,
    pub bytes: Vec<u8>,
    pub origin: Origin,
    /// When it was sent, which tells a late one.
    pub sent: Time,
    pub came: Time,
}

/// All of them, and what the server's socket has.
#[derive(Default)]
pub struct Datagrams {
    pub weather: DatagramWeather,
    /// To be put among the world's events.
    pub departed: Vec<(Time, Datagram)>,
    /// What has come to the server and was not read.
    pub arrived: VecDeque<Datagram>,
    /// Something has come that the server's poll has not told yet.
    pub edge: bool,
    /// When the latest of those was sent that have arrived, at each end.
    latest: BTreeMap<(SocketAddr, bool), Time>,
    pub fired: Fired,
}

impl Datagrams {
    pub fn send(
        &mut self,
        dice: &mut Dice,
        now: Time,
        (client, to_server): (SocketAddr, bool),
        origin: Origin,
        bytes: Vec<u8>,
    ) {
        let weather = self.weather;
        if dice.percent(weather.loss) {
            return self.fired.note(Fault::DatagramLost);
        }
        let mut datagram = Datagram { client, to_server, bytes, origin, sent: now, came: 0 };
        let at = self.arrival(dice, now);
        if dice.percent(weather.doubles) {
            self.fired.note(Fault::DatagramDoubled);
            let again = at + self.arrival(dice, 0);
            self.departed.push((again, Datagram { origin: datagram.origin.again(), ..datagram.clone() }));
        }
        if to_server && datagram.bytes.len() > 1 {
            self.spoil(dice, &mut datagram.bytes);
        }
        self.departed.push((at, datagram));
    }

    fn spoil(&mut self, dice: &mut Dice, bytes: &mut Vec<u8>) {
        if dice.percent(self.weather.cuts) {
            self.fired.note(Fault::DatagramCut);
            bytes.truncate(dice.range(0, bytes.len() as u64) as usize);
        } else if dice.percent(self.weather.garbles) {
            self.fired.note(Fault::DatagramGarbled);
            let at = dice.range(0, bytes.len() as u64) as usize;
            bytes[at] ^= 1 << dice.range(0, 8);
        }
    }

    fn arrival(&self, dice: &mut Dice, now: Time) -> Time {
        match dice.percent(self.weather.late) {
            true => now + dice.range(MS, LATE_MAX),
            false => now + dice.range(100, 5 * MS),
        }
    }

    /// One arrives. Comes back if it is a client's to read.
    pub fn arrive(&mut self, now: Time, mut datagram: Datagram) -> Option<Datagram> {
        datagram.came = now;
        let latest = self.latest.entry((datagram.client, datagram.to_server)).or_default();
        if datagram.sent < *latest {
            self.fired.note(Fault::DatagramOvertaken);
        }
        *latest = datagram.sent.max(*latest);
        if !datagram.to_server {
            return Some(datagram);
        }
        if self.arrived.len() < WAITING_MAX {
            self.arrived.push_back(datagram);
            self.edge = true;
        }
        None
    }

    /// The server's socket is another one.
    pub fn begin_anew(&mut self) {
        self.arrived.clear();
        self.edge = false;
    }
}

impl Origin {
    fn again(self) -> Origin {
        match self {
            Origin::Said | Origin::Copy => Origin::Copy,
            Origin::Forged => Origin::Forged,
        }
    }
}
