//! How many connections there may be: what the descriptor limit has room for, and for whom. Knows numbers only.
//!
//! Each kind has a place of its own, so that none of them can take another's: who has logged in, who has not yet, and whom
//! nobody serves any more but who is still told why.

/// Descriptors that are not for connections: listeners, poll, waker, signals, database, what the server dials, the
/// operator's, standard streams.
pub const DESCRIPTORS_KEPT: usize = 64;
/// Of all connections that there may be, one in so many may be a stranger's,
pub const STRANGERS_SHARE: usize = 4;
/// and so many at most.
pub const STRANGERS_MAX: usize = 1024;
/// One in so many may be that of a stranger who has to go, until everything is said,
pub const PARTING_SHARE: usize = 16;
/// and so many at most.
pub const PARTING_MAX: usize = 256;

/// How many there may be of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// On which somebody has logged in.
    pub sessions: usize,
    /// On which nobody has logged in yet.
    pub strangers: usize,
    /// On which nobody has, nor will. With more the oldest is closed at once.
    pub parting: usize,
}

impl Room {
    /// What so many descriptors have room for; one of each kind at least.
    pub fn of(descriptors: usize) -> Room {
        let all = descriptors.saturating_sub(DESCRIPTORS_KEPT);
        let strangers = (all / STRANGERS_SHARE).clamp(1, STRANGERS_MAX);
        let parting = (all / PARTING_SHARE).clamp(1, PARTING_MAX);
        Room { sessions: all.saturating_sub(strangers + parting).max(1), strangers, parting }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_kinds_fit_whatever_the_limit_is() {
        for descriptors in (DESCRIPTORS_KEPT + 3..5000).chain([20_000, 65_536, 1 << 20]) {
            let Room { sessions, strangers, parting } = Room::of(descriptors);
            assert_eq!(sessions + strangers + parting + DESCRIPTORS_KEPT, descriptors);
            assert!(sessions >= 1 && strangers >= 1 && parting >= 1);
            assert!(sessions >= strangers + parting || descriptors < DESCRIPTORS_KEPT + 4, "at {descriptors}");
        }
        for descriptors in 0..DESCRIPTORS_KEPT + 3 {
            assert_eq!(Room::of(descriptors), Room { sessions: 1, strangers: 1, parting: 1 });
        }
    }

    #[test]
    fn the_room_grows_with_the_limit() {
        assert_eq!(Room::of(1024), Room { sessions: 660, strangers: 240, parting: 60 });
        assert_eq!(Room::of(65_536), Room { sessions: 64_192, strangers: 1024, parting: 256 });
        assert_eq!(Room::of(usize::MAX).strangers, STRANGERS_MAX);
    }
}
