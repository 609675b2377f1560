//! Chunks: what comes on a connection until it is quiet, in virtual time.

use std::time::Duration;

use super::Now;

/// So long nothing comes after a text of a dialogue, whose other side then waits.
pub(super) const QUIET: Duration = Duration::from_millis(50);

/// The chunk that is coming in.
#[derive(Debug)]
pub struct Chunks {
    bytes: Vec<u8>,
    bytes_max: usize,
    quiet: Duration,
    whole_at: Option<Now>,
}

impl Chunks {
    /// A chunk is whole when it has been quiet for so long, or when it has so many bytes.
    pub fn new(quiet: Duration, bytes_max: usize) -> Chunks {
        Chunks { bytes: Vec::new(), bytes_max, quiet, whole_at: None }
    }

    /// Something came; never empty. Where it makes more than a chunk, the first ones come back.
    pub fn add(&mut self, now: Now, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.bytes.extend_from_slice(bytes);
        self.whole_at = Some(now + self.quiet);
        let mut whole = Vec::new();
        while self.bytes.len() >= self.bytes_max {
            let rest = self.bytes.split_off(whole_characters(&self.bytes[..self.bytes_max]));
            whole.push(std::mem::replace(&mut self.bytes, rest));
        }
        whole
    }

    /// When what is there is a chunk, if nothing more comes.
    pub fn poll_timeout(&self) -> Option<Now> {
        self.whole_at
    }

    /// The chunk, if it is whole.
    pub fn due(&mut self, now: Now) -> Option<Vec<u8>> {
        if self.whole_at? <= now { self.end() } else { None }
    }

    /// Nothing more comes: what is there is the last chunk.
    pub fn end(&mut self) -> Option<Vec<u8>> {
        self.whole_at = None;
        Some(std::mem::take(&mut self.bytes)).filter(|bytes| !bytes.is_empty())
    }
}

/// How many of these bytes are whole characters; all of them where it is no beginning of one that is missing at the end.
fn whole_characters(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() && error.valid_up_to() > 0 => error.valid_up_to(),
        _ => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(ms: u64) -> Now {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_chunk_ends_with_the_quiet() {
        let mut chunks = Chunks::new(QUIET, 100);
        assert_eq!(chunks.due(at(0)), None);
        assert!(chunks.add(at(0), b"Invalid").is_empty());
        assert_eq!(chunks.due(at(49)), None);
        assert!(chunks.add(at(49), b" Username").is_empty());
        assert_eq!(chunks.due(at(98)), None);
        assert_eq!(chunks.poll_timeout(), Some(at(99)));
        assert_eq!(chunks.due(at(99)), Some(b"Invalid Username".to_vec()));
        assert_eq!((chunks.due(at(200)), chunks.poll_timeout()), (None, None));
        chunks.add(at(300), b"exit");
        assert_eq!(chunks.end(), Some(b"exit".to_vec()));
        assert_eq!(chunks.end(), None);
    }

    #[test]
    fn a_flood_comes_in_pieces_with_whole_characters() {
        let mut chunks = Chunks::new(QUIET, 4);
        assert_eq!(chunks.add(at(0), "abcéfgh".as_bytes()), ["abc".as_bytes(), "éfg".as_bytes()]);
        assert_eq!(chunks.end(), Some(b"h".to_vec()));
    }

    proptest! {
        #[test]
        fn splits_within_the_quiet_time_change_nothing(
            bytes in proptest::collection::vec(any::<u8>(), 1..80),
            splits in proptest::collection::vec((1usize..8, 0u64..50), 1..80),
        ) {
            let mut chunks = Chunks::new(QUIET, 1000);
            let (mut rest, mut now) = (&bytes[..], 0);
            for (length, pause) in splits.into_iter().cycle() {
                let (piece, more) = rest.split_at(length.min(rest.len()));
                prop_assert_eq!(chunks.due(at(now)), None);
                chunks.add(at(now), piece);
                (rest, now) = (more, now + pause);
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(chunks.due(at(now + 50)), Some(bytes));
        }

        #[test]
        fn nothing_is_lost_of_a_flood(pieces in proptest::collection::vec("(é|x|\u{1F600}){0,9}", 0..20)) {
            let mut chunks = Chunks::new(QUIET, 8);
            let mut all: Vec<Vec<u8>> = Vec::new();
            for piece in &pieces {
                all.extend(chunks.add(at(0), piece.as_bytes()));
            }
            prop_assert!(all.iter().all(|chunk| chunk.len() <= 8 && std::str::from_utf8(chunk).is_ok()));
            all.extend(chunks.end());
            prop_assert_eq!(all.concat(), pieces.concat().into_bytes());
        }
    }
}
