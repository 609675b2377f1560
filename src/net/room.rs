//! How many connections there may be: what the descriptor limit has room for, and for whom. Knows numbers only.
//!
//! Each kind has a place of its own, so that none of them can take another's: who has logged in, who has not yet, and whom
//! nobody serves any more but who is still told why.

/// Descriptors that are not for connections: listeners, sockets of datagrams, poll, waker, signals, database, the operator's,
/// standard streams.
pub const DESCRIPTORS_KEPT: usize = 96;
/// Of all connections that there may be, one in so many may be a stranger's,
pub const STRANGERS_SHARE: usize = 4;
/// and so many at most.
pub const STRANGERS_MAX: usize = 1024;
/// One in so many may be that of a stranger who has to go, until everything is said,
pub const PARTING_SHARE: usize = 16;
/// and so many at most.
pub const PARTING_MAX: usize = 256;
/// One in so many may be made by the server itself, to clients that are reached by calls,
pub const CALLS_SHARE: usize = 16;
/// and so many at most.
pub const CALLS_MAX: usize = 256;
/// One in so many may be that of a request of theirs,
pub const POSTS_SHARE: usize = 16;
/// and so many at most.
pub const POSTS_MAX: usize = 1024;

/// How many there may be of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// On which somebody has logged in.
    pub sessions: usize,
    /// On which nobody has logged in yet.
    pub strangers: usize,
    /// On which nobody has, nor will. With more the oldest is closed at once.
    pub parting: usize,
    /// That the server makes. With more whoever is to be called waits.
    pub calls: usize,
    /// That bring a request each, from where somebody is logged in who is reached by calls. Beside them they are strangers.
    pub posts: usize,
}

impl Room {
    /// What so many descriptors have room for; one of each kind at least.
    pub fn of(descriptors: usize) -> Room {
        let all = descriptors.saturating_sub(DESCRIPTORS_KEPT);
        let strangers = (all / STRANGERS_SHARE).clamp(1, STRANGERS_MAX);
        let parting = (all / PARTING_SHARE).clamp(1, PARTING_MAX);
        let calls = (all / CALLS_SHARE).clamp(1, CALLS_MAX);
        let posts = (all / POSTS_SHARE).clamp(1, POSTS_MAX);
        let sessions = all.saturating_sub(strangers + parting + calls + posts).max(1);
        Room { sessions, strangers, parting, calls, posts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_kinds_fit_whatever_the_limit_is() {
        for descriptors in (DESCRIPTORS_KEPT + 5..5000).chain([20_000, 65_536, 1 << 20]) {
            let Room { sessions, strangers, parting, calls, posts } = Room::of(descriptors);
            assert_eq!(sessions + strangers + parting + calls + posts + DESCRIPTORS_KEPT, descriptors);
            assert!(sessions >= 1 && strangers >= 1 && parting >= 1 && calls >= 1 && posts >= 1);
            assert!(sessions >= strangers + parting || descriptors < DESCRIPTORS_KEPT + 8, "at {descriptors}");
        }
        for descriptors in 0..DESCRIPTORS_KEPT + 5 {
            assert_eq!(Room::of(descriptors), Room { sessions: 1, strangers: 1, parting: 1, calls: 1, posts: 1 });
        }
    }

    #[test]
    fn the_room_grows_with_the_limit() {
        assert_eq!(Room::of(1024), Room { sessions: 522, strangers: 232, parting: 58, calls: 58, posts: 58 });
        let large = Room { sessions: 62_880, strangers: 1024, parting: 256, calls: 256, posts: 1024 };
        assert_eq!(Room::of(65_536), large);
        assert_eq!(Room::of(usize::MAX).strangers, STRANGERS_MAX);
    }
}
