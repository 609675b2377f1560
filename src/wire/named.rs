//! Whom a client names, in a protocol that says something even of names that nobody can have.

use std::fmt;

use super::UserName;
use super::parts::plain_parts;

/// So much is kept of a name that nobody can have, in bytes: it is said back.
pub const NOBODY_BYTES_MAX: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    User(UserName),
    /// Nobody can be called so; how it begins, as untrusted as everything else.
    Nobody(String),
}

impl Named {
    pub fn parse(text: &str) -> Named {
        let beginning =
            || plain_parts(text, NOBODY_BYTES_MAX, char::len_utf8).first().copied().unwrap_or_default().to_owned();
        UserName::parse(text).map_or_else(|_| Named::Nobody(beginning()), Named::User)
    }

    /// The name, where somebody may have it.
    pub fn user(&self) -> Option<&UserName> {
        match self {
            Named::User(name) => Some(name),
            Named::Nobody(_) => None,
        }
    }

    pub fn as_str(&self) -> &str {
        match self {
            Named::User(name) => name.as_str(),
            Named::Nobody(text) => text,
        }
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_nobody_can_have_is_kept_as_far_as_it_is_said_back() {
        assert_eq!(Named::parse("bob").user().map(UserName::as_str), Some("bob"));
        assert_eq!(Named::parse(""), Named::Nobody(String::new()));
        assert_eq!(Named::parse("no name").to_string(), "no name");
        assert_eq!(Named::parse(&"é".repeat(100)), Named::Nobody("é".repeat(32)));
        assert_eq!(Named::parse("NICK").user(), None);
    }
}
