//! A text for a reader that takes so much at once and no more: in parts, each a message of its own.

use super::pieces::{Kind, Pieces};
use crate::hub::id::Number;

/// How each part of a text is written.
#[derive(Clone, Copy, Debug)]
pub(in crate::wire) struct Frame<'a> {
    /// What stands before it, in these words one after the other.
    pub before: [&'a str; 2],
    pub after: &'a str,
    /// How long it is at most, with both, in bytes.
    pub bytes_max: usize,
    /// The reader dies of everything that is not ASCII: it becomes `\u{…}`.
    pub ascii: bool,
}

/// What follows an interior newline, so that no line of a text begins like a message (protocols.md, "Across protocols").
pub const INDENT: &str = "    ";

/// Appends a text in as few parts as it takes. None ends within a character, an escape, or an indent; the last one ends
/// the message that has this number.
pub(in crate::wire) fn write(text: &str, frame: &Frame<'_>, number: Option<Number>, out: &mut Pieces) {
    let [who, how] = frame.before;
    let room = frame.bytes_max.saturating_sub(who.len() + how.len() + frame.after.len());
    let mut rest = text;
    loop {
        out.bytes.extend_from_slice(who.as_bytes());
        out.bytes.extend_from_slice(how.as_bytes());
        let taken = fill(rest, room, frame.ascii, &mut out.bytes);
        out.bytes.extend_from_slice(frame.after.as_bytes());
        rest = &rest[taken..];
        let is_last = rest.is_empty() || taken == 0;
        out.end(Kind::Text { ends: number.filter(|_| is_last) });
        if is_last {
            debug_assert!(rest.is_empty(), "there is room for a character");
            return;
        }
    }
}

/// Appends what fits into `room` bytes. Comes back: how much of the text that was.
fn fill(text: &str, room: usize, ascii: bool, out: &mut Vec<u8>) -> usize {
    let mut character = String::new();
    let end = out.len() + room;
    for (at, c) in text.char_indices() {
        character.clear();
        match c {
            '\n' => character.extend(["\n", INDENT]),
            c if ascii && !c.is_ascii() => character.extend(c.escape_unicode()),
            c => character.push(c),
        }
        if out.len() + character.len() > end {
            return at;
        }
        out.extend_from_slice(character.as_bytes());
    }
    text.len()
}

/// Cuts a text into parts that have at most `bytes_max` bytes each once their newlines are indented; never inside of a
/// character, and in order. The bound has room for a character.
pub fn indented_parts(text: &str, bytes_max: usize) -> Vec<String> {
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let mut part = Vec::new();
        let taken = fill(rest, bytes_max, false, &mut part);
        if taken == 0 {
            debug_assert!(false, "there is room for a character");
            break;
        }
        rest = &rest[taken..];
        parts.push(String::from_utf8(part).expect("whole characters of a text"));
    }
    parts
}

/// Cuts a text into parts whose characters come to at most `room` together, each to as much as `cost` says; never inside of a
/// character, and in order. The bound has room for a character.
pub fn plain_parts(text: &str, room: usize, cost: impl Fn(char) -> usize) -> Vec<&str> {
    let (mut parts, mut start, mut used) = (Vec::new(), 0, 0);
    for (at, c) in text.char_indices() {
        let cost = cost(c);
        debug_assert!(cost <= room, "there is room for a character");
        if used + cost > room && at > start {
            parts.push(&text[start..at]);
            (start, used) = (at, 0);
        }
        used += cost;
    }
    if start < text.len() {
        parts.push(&text[start..]);
    }
    parts
}

/// What `indented_parts` was given: newlines without their indent.
pub fn unindented(text: &str) -> String {
    text.replace(&format!("\n{INDENT}"), "\n")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(text: &str, bytes_max: usize, ascii: bool) -> Vec<(String, Kind)> {
        let mut out = Pieces::default();
        let frame = Frame { before: ["b", ": "], after: "\n", bytes_max, ascii };
        write(text, &frame, Some(Number(7)), &mut out);
        out.iter().map(|(bytes, kind)| (String::from_utf8(bytes.to_vec()).expect("UTF-8"), kind)).collect()
    }

    const PART: Kind = Kind::Text { ends: None };
    const LAST: Kind = Kind::Text { ends: Some(Number(7)) };

    #[test]
    fn what_fits_is_one_part() {
        assert_eq!(parts("hi", 6, false), [("b: hi\n".into(), LAST)]);
        assert_eq!(parts("a\n\tb\n", 99, false), [("b: a\n    \tb\n    \n".into(), LAST)]);
        assert_eq!(parts("é😀", 99, true), [("b: \\u{e9}\\u{1f600}\n".into(), LAST)]);
        assert_eq!(parts("\\u{e9}", 99, true), [("b: \\u{e9}\n".into(), LAST)]);
    }

    #[test]
    fn what_does_not_is_cut_between_characters() {
        let two = |first: &str, last: &str| vec![(first.to_owned(), PART), (last.to_owned(), LAST)];
        assert_eq!(parts("abc", 6, false), two("b: ab\n", "b: c\n"));
        assert_eq!(parts("abcé", 8, false), two("b: abc\n", "b: é\n"));
        assert_eq!(parts("abc\n", 11, false), two("b: abc\n", "b: \n    \n"));
        assert_eq!(parts("abcé", 11, true), two("b: abc\n", "b: \\u{e9}\n"));
        assert_eq!(parts("\u{10ffff}\u{10ffff}", 14, true), two("b: \\u{10ffff}\n", "b: \\u{10ffff}\n"));
    }

    #[test]
    fn a_text_that_fits_is_one_part_with_its_newlines_indented() {
        assert_eq!(indented_parts("hi", 2), ["hi"]);
        assert_eq!(indented_parts("a\nb", 7), ["a\n    b"]);
        assert_eq!(indented_parts("", 7), Vec::<String>::new());
    }

    #[test]
    fn characters_and_indents_stay_whole() {
        assert_eq!(indented_parts("aéé", 3), ["aé", "é"]);
        assert_eq!(indented_parts("a\nb", 6), ["a\n    ", "b"]);
        assert_eq!(indented_parts("a\nb", 5), ["a", "\n    ", "b"]);
    }

    #[test]
    fn plain_parts_are_as_long_as_they_may_be() {
        assert_eq!(plain_parts("aéé\n", 3, char::len_utf8), ["aé", "é\n"]);
        assert_eq!(plain_parts("abc", 4, |_| 2), ["ab", "c"]);
        assert_eq!(plain_parts("", 4, char::len_utf8), Vec::<&str>::new());
    }

    proptest! {
        #[test]
        fn plain_parts_are_the_text_within_the_bound(text in "(.|\n){0,200}", room in 4usize..64) {
            let parts = plain_parts(&text, room, char::len_utf8);
            prop_assert_eq!(parts.concat(), &*text);
            prop_assert!(parts.iter().all(|part| (1..=room).contains(&part.len())));
        }

        #[test]
        fn the_parts_are_the_text_within_the_bound(text in "(.|\n){0,200}", bytes_max in 8usize..64) {
            let parts = indented_parts(&text, bytes_max);
            prop_assert_eq!(unindented(&parts.concat()), text);
            prop_assert!(parts.iter().all(|part| part.len() <= bytes_max));
        }
    }
}
