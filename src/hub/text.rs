//! The text of a message: parsed once at the edge, shared from there on.

use std::fmt;
use std::sync::Arc;

/// The longest text of one message, in bytes of UTF-8.
pub const TEXT_BYTES_MAX: usize = 4096;

/// What stands for what is no readable character: U+FFFD.
const REPLACEMENT: &str = "\u{fffd}";

/// The text of a message: 1 to 4096 bytes of UTF-8, newlines and tabs allowed, other control
/// characters (C0, C1, DEL) not. A clone shares the bytes.
///
/// ```
/// use chatd::hub::text::{Text, TextError};
///
/// assert_eq!(Text::parse("two\nlines").unwrap().bytes(), 9);
/// assert_eq!(Text::parse("a bell: \u{7}"), Err(TextError::Control('\u{7}')));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Text(Arc<str>);

/// Why something is not the text of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextError {
    Empty,
    TooLong,
    Control(char),
}

impl Text {
    /// Takes a text as it is or says why not; nothing is replaced.
    pub fn parse(text: &str) -> Result<Text, TextError> {
        if text.is_empty() {
            return Err(TextError::Empty);
        }
        if text.len() > TEXT_BYTES_MAX {
            return Err(TextError::TooLong);
        }
        match text.chars().find(|&c| is_refused(c)) {
            Some(control) => Err(TextError::Control(control)),
            None => Ok(Text(text.into())),
        }
    }

    /// Takes what somebody has said who need not keep to UTF-8: what is none of it, and every character that `parse` would
    /// refuse, becomes U+FFFD.
    pub fn replacing(bytes: &[u8]) -> Result<Text, TextError> {
        let text = String::from_utf8_lossy(bytes);
        match Text::parse(&text) {
            Err(TextError::Control(_)) => Text::parse(&text.replace(is_refused, REPLACEMENT)),
            result => result,
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Length in bytes of UTF-8.
    pub fn bytes(&self) -> usize {
        self.0.len()
    }
}

fn is_refused(c: char) -> bool {
    c.is_control() && c != '\n' && c != '\t'
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TextError::Empty => f.write_str("a message can't be empty"),
            TextError::TooLong => write!(f, "a message has at most {TEXT_BYTES_MAX} bytes; send it in parts"),
            TextError::Control(c) => {
                write!(
                    f,
                    "a message can't contain the control character U+{:04X}; newline and tab are allowed",
                    *c as u32
                )
            }
        }
    }
}

impl std::error::Error for TextError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_in_bytes_and_inclusive() {
        assert_eq!(Text::parse(""), Err(TextError::Empty));
        assert!(Text::parse(&"a".repeat(4096)).is_ok());
        assert_eq!(Text::parse(&"a".repeat(4097)), Err(TextError::TooLong));
        assert_eq!(Text::parse(&"é".repeat(2049)), Err(TextError::TooLong));
    }

    #[test]
    fn control_characters_but_newline_and_tab_are_refused() {
        assert!(Text::parse("a\n\tb").is_ok());
        for c in ('\0'..='\u{9f}').filter(|c| c.is_control() && !"\n\t".contains(*c)) {
            assert_eq!(Text::parse(&format!("a{c}b")), Err(TextError::Control(c)));
        }
        assert!(Text::parse("\u{202e}abc").is_ok(), "bidi controls are made visible on display, not refused");
    }

    #[test]
    fn what_can_be_no_text_is_replaced_where_it_has_to_be() {
        let replacing = |bytes: &[u8]| Text::replacing(bytes).map(|text| text.as_str().to_owned());
        assert_eq!(replacing("é\n\t😀".as_bytes()), Ok("é\n\t😀".into()));
        assert_eq!(replacing(b"\0a\x1b[1mb\r\x7f"), Ok("\u{fffd}a\u{fffd}[1mb\u{fffd}\u{fffd}".into()));
        assert_eq!(replacing("\u{85}".as_bytes()), Ok("\u{fffd}".into()));
        assert_eq!(replacing(b"a\xffb\xc3"), Ok("a\u{fffd}b\u{fffd}".into()));
        assert_eq!(replacing(b""), Err(TextError::Empty));
        assert!(replacing(&[b'a'; 4096]).is_ok());
        assert_eq!(replacing(&[b'a'; 4097]), Err(TextError::TooLong));
        assert_eq!(replacing(&[0; 1366]), Err(TextError::TooLong), "what counts is the text that it becomes");
    }
}
