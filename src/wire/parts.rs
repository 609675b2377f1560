//! A text in parts, for readers that take no more than so many bytes at once.

/// What follows an interior newline where a line stands for a message, so that the next line can't be taken for one.
pub const INDENT: &str = "    ";

/// Cuts a text into parts that have at most `bytes_max` bytes each once their newlines are indented; never inside of a
/// character, and in order. A part has at least one character, whatever the bound.
pub fn indented_parts(text: &str, bytes_max: usize) -> Vec<String> {
    let mut parts = Vec::new();
    let mut part = String::new();
    for c in text.chars() {
        let indent = if c == '\n' { INDENT } else { "" };
        if !part.is_empty() && part.len() + c.len_utf8() + indent.len() > bytes_max {
            parts.push(std::mem::take(&mut part));
        }
        part.push(c);
        part.push_str(indent);
    }
    parts.extend((!part.is_empty()).then_some(part));
    parts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
        assert_eq!(indented_parts("éé", 1), ["é", "é"], "a bound that fits nothing");
    }

    proptest! {
        #[test]
        fn the_parts_are_the_text_within_the_bound(text in "(.|\n){0,200}", bytes_max in 8usize..64) {
            let parts = indented_parts(&text, bytes_max);
            prop_assert_eq!(parts.concat().replace("\n    ", "\n"), text.replace("\n    ", "\n"));
            prop_assert!(parts.iter().all(|part| part.len() <= bytes_max));
        }
    }
}
