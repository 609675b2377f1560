//! The operator's file of accounts: `NAME PASSWORD` a line.

use std::collections::BTreeMap;
use std::fmt;

use super::name::{NameError, UserName};

/// The longest password, in bytes.
pub const PASSWORD_BYTES_MAX: usize = 1024;

/// A name and its password. The password has no way out but `password`.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    pub name: UserName,
    password: String,
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

impl Credential {
    pub fn new(name: UserName, password: impl Into<String>) -> Credential {
        Credential { name, password: password.into() }
    }

    pub fn password(&self) -> &str {
        &self.password
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({})", self.name)
    }
}

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
            Ok(list) => Ok(list.into_iter().map(|c| (c.name.to_string(), c.password)).collect()),
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
}
