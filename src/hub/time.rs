//! Time as the hub sees it: always given, never read.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::Offset;

/// A point on the monotonic clock: microseconds since the program began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

/// A point on the wall clock: milliseconds since 1970-01-01 00:00 UTC. It may jump.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WallTime(u64);

/// How far the clocks on the wall here are ahead of UTC, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UtcOffset(pub i32);

/// A time as a clock on the wall shows it, to the second: YYYYMMDDhhmmss. The `session` protocol calls chats so
/// (protocols.md, section 2). That there is such a time is not checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalTime(u64);

/// The clocks of one turn, read once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    pub instant: Instant,
    pub wall: WallTime,
    pub offset: UtcOffset,
}

impl Now {
    /// The time on the wall.
    pub fn local(self) -> LocalTime {
        LocalTime::at(self.wall, self.offset)
    }
}

impl LocalTime {
    const DIGITS: usize = 14;

    /// What the clock on the wall shows then, where it is so far ahead of UTC.
    pub fn at(wall: WallTime, offset: UtcOffset) -> LocalTime {
        let millis = i64::try_from(wall.as_millis()).unwrap_or(i64::MAX);
        let offset = Offset::from_seconds(offset.0).unwrap_or(Offset::UTC);
        let time = offset.to_datetime(Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX));
        let (year, month, day) = (time.year(), time.month(), time.day());
        let fields = [month, day, time.hour(), time.minute(), time.second()];
        LocalTime(
            fields.iter().fold(u64::from(year.unsigned_abs()), |id, &field| id * 100 + u64::from(field.unsigned_abs())),
        )
    }

    /// Reads exactly 14 digits.
    pub fn parse(digits: &str) -> Option<LocalTime> {
        let is_number = digits.len() == LocalTime::DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| digits.parse().ok()).flatten().map(LocalTime)
    }

    /// As the store keeps it: its digits are a number.
    pub const fn from_number(number: u64) -> LocalTime {
        LocalTime(number)
    }

    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for LocalTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:0digits$}", self.0, digits = LocalTime::DIGITS)
    }
}

impl Instant {
    pub const fn from_micros(micros: u64) -> Instant {
        Instant(micros)
    }

    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero if it is not after.
    pub fn since(self, earlier: Instant) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, span: Duration) -> Instant {
        Instant(self.0.saturating_add(span.as_micros() as u64))
    }
}

impl WallTime {
    pub const fn from_millis(millis: u64) -> WallTime {
        WallTime(millis)
    }

    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero if it is not after.
    pub fn since(self, earlier: WallTime) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for WallTime {
    type Output = WallTime;

    fn add(self, span: Duration) -> WallTime {
        WallTime(self.0.saturating_add(span.as_millis() as u64))
    }
}

impl Sub<Duration> for WallTime {
    type Output = WallTime;

    fn sub(self, span: Duration) -> WallTime {
        WallTime(self.0.saturating_sub(span.as_millis() as u64))
    }
}
