//! The one place that reads clocks.

use std::time::{Duration, Instant as StdInstant, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::hub::time::{Instant, Now, UtcOffset, WallTime};

/// Both clocks, the monotonic one counted from the start, and the time zone as it was then.
#[derive(Clone, Debug)]
pub struct Clock {
    began: StdInstant,
    zone: TimeZone,
}

impl Clock {
    #[allow(clippy::new_without_default)] // It is not a value: it reads the clock.
    pub fn new() -> Clock {
        Clock { began: StdInstant::now(), zone: TimeZone::system() }
    }

    pub fn now(&self) -> Now {
        let wall = wall();
        Now { instant: self.instant(), wall, offset: self.offset(wall) }
    }

    fn offset(&self, wall: WallTime) -> UtcOffset {
        let millis = i64::try_from(wall.as_millis()).unwrap_or(i64::MAX);
        let time = Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX);
        UtcOffset(self.zone.to_offset(time).seconds())
    }

    pub fn instant(&self) -> Instant {
        Instant::from_micros(self.began.elapsed().as_micros() as u64)
    }
}

fn wall() -> WallTime {
    // A clock before 1970 is no clock; it counts as 1970.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    WallTime::from_millis(since.as_millis() as u64)
}
