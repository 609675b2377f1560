//! The one place that reads clocks.

use std::time::{Duration, Instant as StdInstant, SystemTime, UNIX_EPOCH};

use crate::hub::time::{Instant, Now, WallTime};

/// Both clocks, the monotonic one counted from the start.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    began: StdInstant,
}

impl Clock {
    #[allow(clippy::new_without_default)] // It is not a value: it reads the clock.
    pub fn new() -> Clock {
        Clock { began: StdInstant::now() }
    }

    pub fn now(&self) -> Now {
        Now { instant: self.instant(), wall: wall() }
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
