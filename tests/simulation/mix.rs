//! What a seed draws: who is there, how they behave, and which faults there are.

use crate::datagrams::DatagramWeather;
use crate::dice::Dice;
use crate::link::{CallWeather, MS, SECOND, Time, Weather};

#[derive(Clone, Debug)]
pub struct Mix {
    pub users: u64,
    pub devices_max: u64,
    /// So many people make an account.
    pub newcomers: u64,
    pub duration: Time,
    /// Between two things that a device does, about.
    pub pause: Time,
    pub delay_max: Time,
    pub disk_latency: Time,
    pub worker_delay: Time,
    pub heartbeat_timeout: Time,
    pub lockout: Time,
    pub tries: u32,
    pub fresh_secret: bool,
    /// Messages expire after this.
    pub expiry: Option<Time>,
    /// So many messages a second an account may send, beyond a burst of ten times that.
    pub rate: Option<u32>,
    pub check_always: bool,
    /// So many connections of a hundred are encrypted.
    pub encrypted: u64,
    /// Somebody sends very much to somebody.
    pub flood: bool,
    /// And who gets it is not there.
    pub stays_away: bool,
    /// In percent, of the chances for it.
    pub acks_dropped: u64,
    pub blocks: bool,
    /// People want to know each other's addresses.
    pub consents: bool,
    pub one_shots: bool,
    pub wrong_passwords: bool,
    pub strangers: bool,
    pub zombies: bool,
    pub silence: bool,
    pub non_readers: bool,
    /// Some connections begin with bytes that pass one by one.
    pub bytewise: bool,
    pub resets: bool,
    pub half_closes: bool,
    pub kills: u64,
    pub kills_after_commit: u64,
    /// A server that has just started is killed again, now and then.
    pub kills_at_start: bool,
    pub stops: u64,
    pub clock_stalls: u64,
    pub wall_jumps: u64,
    pub disk_stalls: u64,
    pub disk_failures: u64,
    /// Descriptors run out.
    pub exhaustions: u64,
    /// The kernel watches nothing more.
    pub watch_failures: u64,
    pub classic: ClassicMix,
    pub udp: UdpMix,
}

/// Who logs on by datagrams, and what goes wrong with those.
#[derive(Clone, Debug)]
pub struct UdpMix {
    /// So many of the users have a client of `session`.
    pub members: u64,
    /// So many have one of `datagram`.
    pub correspondents: u64,
    /// Those have others, too.
    pub others_too: bool,
    /// Somebody makes an account by a datagram.
    pub newcomer: bool,
    pub weather: DatagramWeather,
    /// People log on again without having logged off.
    pub successors: bool,
    /// Machines go away without a word.
    pub vanishing: bool,
    /// Somebody says what is not theirs to say.
    pub forgeries: bool,
    /// And even from where the others are.
    pub forged_sources: bool,
    /// Messages are said so soon after each other that they may be read as one.
    pub haste: bool,
}

impl UdpMix {
    /// From dice of its own, so that a seed without such clients stays what it was.
    fn draw(dice: &mut Dice) -> UdpMix {
        let there = dice.percent(60);
        let calm = dice.one_in(8);
        let mut some = |percent: u64| !calm && dice.percent(percent);
        let (losses, doubles, late, cuts, garbles) = (some(60), some(50), some(50), some(30), some(30));
        let (successors, vanishing, forgeries, forged_sources, haste) =
            (some(50), some(50), some(60), some(40), some(40));
        let mut share = |there: bool, most: u64| if there { dice.range(2, most + 1) } else { 0 };
        let weather = DatagramWeather {
            loss: share(losses, 30),
            doubles: share(doubles, 30),
            late: share(late, 30),
            cuts: share(cuts, 6),
            garbles: share(garbles, 6),
        };
        UdpMix {
            members: if there { *dice.pick(&[0, 1, 2, 2, 3, 4]) } else { 0 },
            correspondents: if there { *dice.pick(&[0, 1, 2, 2, 3]) } else { 0 },
            others_too: dice.one_in(2),
            newcomer: there && dice.one_in(3),
            weather,
            successors,
            vanishing,
            forgeries,
            forged_sources: forgeries && forged_sources,
            haste,
        }
    }
}

/// Who uses clients that can't be changed, and what goes wrong with them alone.
#[derive(Clone, Debug)]
pub struct ClassicMix {
    /// So many of the users have a client that is called.
    pub callers: u64,
    /// Some of them have no other.
    pub others_too: bool,
    pub guests: u64,
    pub refusals: bool,
    pub hangs: bool,
    /// Clients take calls and do not read.
    pub deafness: bool,
    pub slowness: bool,
    /// In percent, of the calls.
    pub resets: u64,
    /// In percent, of the calls whose text comes in more than one segment.
    pub splits: u64,
    /// What is said without framing comes in pieces: nearer to each other than the quiet time, and further apart.
    pub pieces: bool,
    /// Some people connect first, and then type for a while.
    pub slow_typing: bool,
    pub lulls: bool,
    /// People log in again without having logged out.
    pub twins: bool,
    /// Machines go away without a word.
    pub vanishing: bool,
    /// Somebody else posts in a user's name.
    pub forgeries: bool,
}

impl ClassicMix {
    /// From dice of its own, so that a seed without such clients stays what it was.
    fn draw(dice: &mut Dice) -> ClassicMix {
        let there = dice.percent(70);
        let calm = dice.one_in(8);
        let mut some = |percent: u64| !calm && dice.percent(percent);
        let (refusals, hangs, deafness, slowness) = (some(40), some(40), some(40), some(40));
        let (resets, splits, pieces, lulls) = (some(40), some(20), some(50), some(20));
        let (twins, vanishing, forgeries, slow_typing) = (some(50), some(40), some(40), some(40));
        ClassicMix {
            callers: if there { *dice.pick(&[0, 1, 2, 2, 3, 4]) } else { 0 },
            others_too: dice.one_in(2),
            guests: if there { dice.range(0, 3) } else { 0 },
            refusals,
            hangs,
            deafness,
            slowness,
            resets: if resets { dice.range(5, 25) } else { 0 },
            splits: if splits { dice.range(5, 25) } else { 0 },
            pieces,
            slow_typing,
            lulls,
            twins,
            vanishing,
            forgeries,
        }
    }
}

impl Mix {
    pub fn draw(dice: &mut Dice, classic: &mut Dice, udp: &mut Dice) -> Mix {
        let delay_max = *dice.pick(&[MS, 20 * MS, 200 * MS, SECOND, 5 * SECOND]);
        let calm = dice.one_in(10);
        let mut some = |percent: u64| !calm && dice.percent(percent);
        let (blocks, one_shots, wrong_passwords) = (some(50), some(60), some(40));
        let (strangers, zombies, silence, non_readers) = (some(30), some(50), some(30), some(25));
        let (bytewise, resets, half_closes) = (some(20), some(50), some(40));
        let (flood, kills, stops) = (some(8), some(55), some(20));
        let (kills_after_commit, kills_at_start, wall_jumps) = (some(25), some(30), some(40));
        let (clock_stalls, disk_stalls, disk_failures) = (some(30), some(40), some(45));
        let (exhaustions, watch_failures) = (some(25), some(25));
        let consents = dice.percent(50);
        let mut count = |there: bool| if there { dice.range(1, 4) } else { 0 };
        let (kills, stops) = (count(kills), count(stops));
        let (clock_stalls, disk_stalls, disk_failures) =
            (count(clock_stalls), count(disk_stalls), count(disk_failures));
        let (kills_after_commit, wall_jumps) = (count(kills_after_commit), count(wall_jumps));
        let (exhaustions, watch_failures) = (count(exhaustions), count(watch_failures));
        Mix {
            users: dice.range(3, 7),
            devices_max: dice.range(1, 4),
            newcomers: *dice.pick(&[0, 0, 1, 2]),
            duration: dice.range(10, 40) * SECOND,
            pause: dice.range(100, 2000) * MS,
            delay_max,
            disk_latency: *dice.pick(&[200, 2 * MS, 20 * MS, 200 * MS]),
            worker_delay: *dice.pick(&[MS, 50 * MS, 3 * SECOND]),
            heartbeat_timeout: *dice.pick(&[12 * SECOND, 20 * SECOND, 35 * SECOND]),
            lockout: *dice.pick(&[10 * SECOND, 30 * SECOND, 60 * SECOND]),
            tries: *dice.pick(&[1, 3, 3, 3]),
            fresh_secret: dice.one_in(16),
            expiry: dice.one_in(12).then_some(20 * SECOND),
            encrypted: if consents { *dice.pick(&[80, 100]) } else { *dice.pick(&[0, 50, 100]) },
            rate: if flood { None } else { *dice.pick(&[None, None, Some(1), Some(2)]) },
            check_always: !flood && dice.one_in(3),
            flood,
            stays_away: dice.one_in(2),
            acks_dropped: *dice.pick(&[0, 0, 50, 100]),
            blocks,
            consents,
            one_shots,
            wrong_passwords,
            strangers,
            zombies,
            silence,
            non_readers,
            bytewise,
            resets,
            half_closes,
            kills,
            kills_after_commit,
            kills_at_start,
            stops,
            clock_stalls,
            wall_jumps,
            disk_stalls,
            disk_failures,
            exhaustions,
            watch_failures,
            classic: ClassicMix::draw(classic),
            udp: UdpMix::draw(udp),
        }
    }

    /// How calls are while things go wrong.
    pub fn call_weather(&self) -> CallWeather {
        CallWeather { delay_max: self.delay_max, resets: self.classic.resets, splits: self.classic.splits }
    }

    pub fn weather(&self, dice: &mut Dice) -> Weather {
        let piece_max = *dice.pick(&[40, 1000, 100_000]);
        Weather {
            delay_max: self.delay_max,
            piece_max,
            buffer: *dice.pick(&[4 * 1024, 64 * 1024, 256 * 1024]),
            reset_after: (self.resets && dice.one_in(3)).then(|| dice.range(1, 6000)),
            reset_leaves: dice.one_in(2),
            singles: if self.bytewise && dice.one_in(8) { dice.range(1, 400) as usize } else { 0 },
        }
    }
}
