//! User names: the one spelling rule, and comparison without case.
//!
//! A `UserName` that exists is well formed. Whether an account of that name exists is not known here.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// The longest name, in bytes (which are characters: names are ASCII).
pub const NAME_BYTES_MAX: usize = 32;

/// Words that some protocol gives a meaning of its own, so that nobody may be called by them.
const RESERVED: [&str; 9] = ["note", "logout", "shutdown", "prompt", "exit", "nick", "server", "everyone", "all"];

/// A well-formed user name: 1 to 32 of ASCII letters, digits, `_`, `-`, `.`, and no reserved word.
/// Shown as it was spelled, compared without case.
#[derive(Clone)]
pub struct UserName(Arc<str>);

/// Why some text is not a user name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    Empty,
    TooLong,
    BadCharacter,
    Reserved,
}

impl std::str::FromStr for UserName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<UserName, NameError> {
        UserName::parse(text)
    }
}

impl UserName {
    pub fn parse(text: &str) -> Result<UserName, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > NAME_BYTES_MAX {
            return Err(NameError::TooLong);
        }
        if !text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.')) {
            return Err(NameError::BadCharacter);
        }
        if RESERVED.iter().any(|word| word.eq_ignore_ascii_case(text)) {
            return Err(NameError::Reserved);
        }
        Ok(UserName(text.into()))
    }

    /// The name as its owner spells it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form under which equal names are the same bytes: for keys and for salts.
    pub fn folded(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl PartialEq for UserName {
    fn eq(&self, other: &UserName) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for UserName {}

impl Ord for UserName {
    fn cmp(&self, other: &UserName) -> Ordering {
        // Mostly the first few bytes tell.
        let [one, other] = [self, other].map(|name| name.0.bytes().map(|byte| byte.to_ascii_lowercase()));
        one.cmp(other)
    }
}

impl PartialOrd for UserName {
    fn partial_cmp(&self, other: &UserName) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for UserName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.bytes().for_each(|b| state.write_u8(b.to_ascii_lowercase()));
        state.write_u8(0xff);
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NameError::Empty => "a name can't be empty",
            NameError::TooLong => "a name has at most 32 characters",
            NameError::BadCharacter => "a name consists of the letters a to z, digits, '_', '-' and '.'",
            NameError::Reserved => "this word has a meaning of its own and can't be a name",
        })
    }
}

impl std::error::Error for NameError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_without_case_and_shown_as_spelled() {
        let (upper, lower) = (UserName::parse("Alice.B-2_").unwrap(), UserName::parse("alice.b-2_").unwrap());
        assert_eq!(upper, lower);
        assert_eq!(upper.cmp(&lower), Ordering::Equal);
        assert_eq!(upper.to_string(), "Alice.B-2_");
        assert!(UserName::parse("ab").unwrap() < UserName::parse("ABC").unwrap());
    }

    #[test]
    fn what_is_no_name_is_refused_with_its_reason() {
        assert_eq!(UserName::parse(""), Err(NameError::Empty));
        assert_eq!(UserName::parse(&"a".repeat(33)), Err(NameError::TooLong));
        assert!(UserName::parse(&"a".repeat(32)).is_ok());
        for bad in ["a b", "a,b", "a:b", "é", "a\n", "a\0", "(a)"] {
            assert_eq!(UserName::parse(bad), Err(NameError::BadCharacter), "{bad:?}");
        }
        for word in ["note", "Logout", "SHUTDOWN", "prompt", "exit", "NICK", "nick", "server", "everyone", "all"] {
            assert_eq!(UserName::parse(word), Err(NameError::Reserved), "{word}");
        }
    }
}
