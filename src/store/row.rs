//! Values as they stand in columns, both directions.
//!
//! A database file is outside input: what does not parse back is an error, never a panic.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;

use rusqlite::{CachedStatement, Connection, OptionalExtension, Params, Row};

use crate::hub::id::{DeviceId, Number, Source, UserId};
use crate::hub::message::{Line, Message, Origin, Recipient, Sender};
use crate::hub::name::UserName;
use crate::hub::text::Text;
use crate::hub::time::{LocalTime, UtcOffset, WallTime};

/// What `message` reads, in this order.
macro_rules! message_columns {
    () => {
        "number, time, sender, recipient, text, device, counter, expired, local"
    };
}
pub(super) use message_columns;

/// Why something could not be read.
#[derive(Debug)]
pub(super) enum ReadError {
    Sqlite(rusqlite::Error),
    /// What is there is not what chatd writes; says where.
    Corrupt(String),
}

/// The names of users, each read once.
pub(super) struct Names<'c> {
    statement: CachedStatement<'c>,
    known: HashMap<UserId, UserName>,
}

impl ReadError {
    /// The same, with the place added.
    pub fn within(self, place: &str) -> ReadError {
        use rusqlite::Error::*;
        match self {
            ReadError::Corrupt(what) => ReadError::Corrupt(format!("{place}: {what}")),
            ReadError::Sqlite(
                error @ (InvalidColumnType(..)
                | IntegralValueOutOfRange(..)
                | FromSqlConversionFailure(..)
                | Utf8Error(..)),
            ) => ReadError::Corrupt(format!("{place}: {}", one_line(&error))),
            other => other,
        }
    }
}

impl From<rusqlite::Error> for ReadError {
    fn from(error: rusqlite::Error) -> ReadError {
        ReadError::Sqlite(error)
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Sqlite(error) => f.write_str(&one_line(error)),
            ReadError::Corrupt(what) => f.write_str(what),
        }
    }
}

impl<'c> Names<'c> {
    pub fn new(connection: &'c Connection) -> Result<Names<'c>, ReadError> {
        let statement = connection.prepare_cached(
            "SELECT coalesce(retired.name, users.name) FROM users LEFT JOIN retired ON user = id WHERE id = ?1",
        )?;
        Ok(Names { statement, known: HashMap::new() })
    }

    pub fn get(&mut self, id: UserId) -> Result<UserName, ReadError> {
        if let Some(name) = self.known.get(&id) {
            return Ok(name.clone());
        }
        let text: Option<String> = self.statement.query_row([id.0], |row| row.get(0)).optional()?;
        let text = text.ok_or_else(|| ReadError::Corrupt(format!("there is no user {}", id.0)))?;
        let name = user_name(&text)?;
        self.known.insert(id, name.clone());
        Ok(name)
    }
}

/// Every row of a query over `table`.
pub(super) fn rows<T>(
    connection: &Connection,
    table: &str,
    sql: &str,
    params: impl Params,
    mut read: impl FnMut(&Row) -> Result<T, ReadError>,
) -> Result<Vec<T>, ReadError> {
    let collect = || {
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query(params)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(read(row)?);
        }
        Ok(found)
    };
    collect().map_err(|error: ReadError| error.within(table))
}

pub(super) fn line(row: &Row) -> Result<Line, ReadError> {
    Ok(Line {
        number: number(row, 0)?,
        sender: optional_user(row, 2)?,
        recipient: optional_user(row, 3)?,
        expired: row.get::<_, i64>(7)? != 0,
    })
}

pub(super) fn message(row: &Row, names: &mut Names) -> Result<Message, ReadError> {
    let Line { number, sender, recipient, .. } = line(row)?;
    let read = |names: &mut Names| {
        let from = match sender {
            Some(id) => Sender::User(id, names.get(id)?),
            None => Sender::Server,
        };
        let to = match recipient {
            Some(id) => Recipient::User(id, names.get(id)?),
            None => Recipient::Everyone,
        };
        let origin = match (row.get::<_, Option<[u8; 16]>>(5)?, row.get::<_, Option<i64>>(6)?) {
            (Some(device), Some(counter)) => {
                Some(Origin { device: DeviceId::from_bytes(device), counter: counter as u64 })
            }
            (None, None) => None,
            _ => return Err(ReadError::Corrupt("half an origin".into())),
        };
        let text = row.get_ref(4)?.as_str().map_err(|error| ReadError::Corrupt(format!("text: {error}")))?;
        let text = Text::parse(text).map_err(|error| ReadError::Corrupt(error.to_string()))?;
        let time = time(row, 1)?;
        // From before local times were kept.
        let utc = || LocalTime::at(time, UtcOffset(0));
        let local = row.get::<_, Option<i64>>(8)?.map_or_else(utc, |local| LocalTime::from_number(local as u64));
        Ok(Message { number, time, local, from, to, text, origin })
    };
    read(names).map_err(|error: ReadError| error.within(&format!("message {}", number.0)))
}

/// An error of SQLite's, which may quote a statement, in one line.
pub(super) fn one_line(error: &rusqlite::Error) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

pub(super) fn user_name(text: &str) -> Result<UserName, ReadError> {
    UserName::parse(text).map_err(|error| ReadError::Corrupt(format!("a malformed name: {error}")))
}

pub(super) fn user(row: &Row, column: usize) -> Result<UserId, ReadError> {
    Ok(UserId(row.get(column)?))
}

pub(super) fn number(row: &Row, column: usize) -> Result<Number, ReadError> {
    unsigned(row.get(column)?).map(Number)
}

pub(super) fn time(row: &Row, column: usize) -> Result<WallTime, ReadError> {
    unsigned(row.get(column)?).map(WallTime::from_millis)
}

pub(super) fn unsigned(value: i64) -> Result<u64, ReadError> {
    u64::try_from(value).map_err(|_| ReadError::Corrupt(format!("{value} is negative")))
}

/// SQLite's integers end at `AWAY`. Beyond it is nothing to tell apart: no message has such a number.
pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn source_bytes(source: Source) -> Vec<u8> {
    match source.address() {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

pub(super) fn source(bytes: &[u8]) -> Result<Source, ReadError> {
    let address = if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        IpAddr::from(v4)
    } else if let Ok(v6) = <[u8; 16]>::try_from(bytes) {
        IpAddr::from(v6)
    } else {
        return Err(ReadError::Corrupt(format!("a source of {} bytes", bytes.len())));
    };
    let source = Source::of(address);
    if source.address() != address {
        return Err(ReadError::Corrupt("an address where a source should be".into()));
    }
    Ok(source)
}

fn optional_user(row: &Row, column: usize) -> Result<Option<UserId>, ReadError> {
    Ok(row.get::<_, Option<u32>>(column)?.map(UserId))
}
