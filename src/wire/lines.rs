//! Lines: bytes up to a newline.

/// What stands at the beginning of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A whole line without its newline; it took `used` bytes.
    Whole { line: &'a [u8], used: usize },
    /// The newline is still missing.
    Partial,
    /// No newline within `max` bytes: there never will be one that counts.
    TooLong,
}

/// The line at the beginning of `bytes`, which has at most `max` bytes with its newline.
pub fn first_line(bytes: &[u8], max: usize) -> Line<'_> {
    let within = &bytes[..bytes.len().min(max)];
    match within.iter().position(|&b| b == b'\n') {
        Some(end) => Line::Whole { line: &bytes[..end], used: end + 1 },
        None if bytes.len() >= max => Line::TooLong,
        None => Line::Partial,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_ends_at_its_newline_and_has_a_bound() {
        assert_eq!(first_line(b"", 4), Line::Partial);
        assert_eq!(first_line(b"abc", 4), Line::Partial);
        assert_eq!(first_line(b"abc\nd", 4), Line::Whole { line: b"abc", used: 4 });
        assert_eq!(first_line(b"\n\n", 4), Line::Whole { line: b"", used: 1 });
        assert_eq!(first_line(b"abcd", 4), Line::TooLong);
        assert_eq!(first_line(b"abcd\n", 4), Line::TooLong);
    }
}
