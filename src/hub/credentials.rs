//! Passwords, and the operator's file of accounts: `NAME PASSWORD` a line.

use std::collections::BTreeMap;
use std::fmt;

use aws_lc_rs::constant_time;
use sha2::{Digest, Sha256};

use super::hex::hex;
use super::name::{NameError, UserName};

/// The longest password, in bytes.
pub const PASSWORD_BYTES_MAX: usize = 1024;

/// A password. It has no way out but `as_str`.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

/// The SHA-256 of a password: all that the `datagram` protocol ever says of it.
#[derive(Clone, Copy)]
pub struct PasswordDigest(pub [u8; 32]);

/// Why a text can't be a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordError {
    Empty,
    TooLong,
    /// A character that nobody can type at a prompt.
    ControlCharacter,
}

/// A name and its password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    pub name: UserName,
    pub password: Password,
}

/// What is wrong with a line of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialsError {
    /// Counted from 1.
    pub line: usize,
    pub kind: CredentialsErrorKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialsErrorKind {
    NotUtf8,
    NoPassword,
    BadName(NameError),
    /// The name stands on this earlier line already.
    Duplicate(usize),
    PasswordTooLong,
}

impl Password {
    /// 1 to `PASSWORD_BYTES_MAX` bytes without control characters.
    pub fn parse(text: &str) -> Result<Password, PasswordError> {
        match text {
            "" => Err(PasswordError::Empty),
            _ if text.len() > PASSWORD_BYTES_MAX => Err(PasswordError::TooLong),
            _ if text.chars().any(char::is_control) => Err(PasswordError::ControlCharacter),
            _ => Ok(Password(text.to_owned())),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PasswordDigest {
    pub fn of(password: &Password) -> PasswordDigest {
        PasswordDigest::of_text(password.as_str())
    }

    /// Of what may be no password.
    pub fn of_text(password: &str) -> PasswordDigest {
        PasswordDigest(Sha256::digest(password).into())
    }

    /// What stands in the place of the password where the digest is all that is known: its digits, in lower case.
    pub fn as_password(&self) -> Password {
        Password(hex(&self.0))
    }
}

/// In a time that says nothing of where they differ.
impl PartialEq for PasswordDigest {
    fn eq(&self, other: &PasswordDigest) -> bool {
        constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl Eq for PasswordDigest {}

impl fmt::Debug for PasswordDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordDigest(..)")
    }
}

impl Credential {
    pub fn new(name: UserName, password: impl Into<String>) -> Credential {
        Credential { name, password: Password(password.into()) }
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

impl fmt::Display for PasswordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PasswordError::Empty => f.write_str("a password has at least one character"),
            PasswordError::TooLong => write!(f, "a password has at most {PASSWORD_BYTES_MAX} bytes"),
            PasswordError::ControlCharacter => f.write_str("a password has no control characters"),
        }
    }
}

impl std::error::Error for PasswordError {}

/// Reads the whole file. A line is a name, white space, and the password, which is the rest of the line. Lines that begin
/// with `#` and blank lines don't count; lines may end in CR LF. The first mistake makes the file invalid.
pub fn parse_credentials(file: &[u8]) -> Result<Vec<Credential>, CredentialsError> {
    let mut lines_of_names = BTreeMap::new();
    let mut credentials = Vec::new();
    let file = file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file);
    for (index, line) in file.split(|&b| b == b'\n').enumerate() {
        let error = |kind| CredentialsError { line: index + 1, kind };
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line = std::str::from_utf8(line).map_err(|_| error(CredentialsErrorKind::NotUtf8))?.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, password) =
            line.split_once(char::is_whitespace).ok_or_else(|| error(CredentialsErrorKind::NoPassword))?;
        let name = UserName::parse(name).map_err(|why| error(CredentialsErrorKind::BadName(why)))?;
        let password = password.trim_start();
        if password.is_empty() {
            return Err(error(CredentialsErrorKind::NoPassword));
        }
        if password.len() > PASSWORD_BYTES_MAX {
            return Err(error(CredentialsErrorKind::PasswordTooLong));
        }
        if let Some(earlier) = lines_of_names.insert(name.clone(), index + 1) {
            return Err(error(CredentialsErrorKind::Duplicate(earlier)));
        }
        credentials.push(Credential::new(name, password));
    }
    Ok(credentials)
}

impl fmt::Display for CredentialsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line)?;
        match &self.kind {
            CredentialsErrorKind::NotUtf8 => f.write_str("not UTF-8; save the file as UTF-8"),
            CredentialsErrorKind::NoPassword => f.write_str("no password; a line is NAME PASSWORD"),
            CredentialsErrorKind::BadName(why) => write!(f, "not a name: {why}"),
            CredentialsErrorKind::Duplicate(earlier) => {
                write!(f, "the name stands on line {earlier} already; names are compared without case")
            }
            CredentialsErrorKind::PasswordTooLong => write!(f, "a password has at most {PASSWORD_BYTES_MAX} bytes"),
        }
    }
}

impl std::error::Error for CredentialsError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: &[u8]) -> Result<Vec<(String, String)>, (usize, CredentialsErrorKind)> {
        match parse_credentials(file) {
            Ok(list) => Ok(list.into_iter().map(|c| (c.name.to_string(), c.password.0)).collect()),
            Err(error) => Err((error.line, error.kind)),
        }
    }

    #[test]
    fn the_rest_of_the_line_is_the_password() {
        let file = "# people\r\n\r\nalice secret\r\n\tbob \t two words \nCarol\tp#1,2\n";
        let expected = [("alice", "secret"), ("bob", "two words "), ("Carol", "p#1,2")];
        assert_eq!(read(file.as_bytes()), Ok(expected.map(|(n, p)| (n.into(), p.into())).to_vec()));
        assert_eq!(read(b""), Ok(vec![]));
        assert_eq!(read(b"alice secret"), Ok(vec![("alice".into(), "secret".into())]));
    }

    #[test]
    fn a_mistake_is_named_with_its_line() {
        use CredentialsErrorKind::*;
        assert_eq!(read(b"alice x\n\nbob\n"), Err((3, NoPassword)));
        assert_eq!(read(b"bob  \n"), Err((1, NoPassword)));
        assert_eq!(read(b"alice x\nALICE y\n"), Err((2, Duplicate(1))));
        assert_eq!(read(b"a,b x\n"), Err((1, BadName(NameError::BadCharacter))));
        assert_eq!(read(b"everyone x\n"), Err((1, BadName(NameError::Reserved))));
        assert_eq!(read(b"alice x\nb\xffb y\n"), Err((2, NotUtf8)));
        assert_eq!(read(format!("a {}", "x".repeat(1025)).as_bytes()), Err((1, PasswordTooLong)));
    }

    #[test]
    fn a_password_can_be_typed() {
        assert_eq!(Password::parse("two words").map(|password| password.0), Ok("two words".into()));
        assert_eq!(Password::parse(""), Err(PasswordError::Empty));
        assert_eq!(Password::parse("a\nb"), Err(PasswordError::ControlCharacter));
        assert_eq!(Password::parse(&"x".repeat(1025)), Err(PasswordError::TooLong));
        assert_eq!(
            format!("{:?}", Credential::new(UserName::parse("alice").unwrap(), "wonderland")).find("wonder"),
            None
        );
    }
}
