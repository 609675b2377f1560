//! Everything that the hub needs at the start, read before any thread runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::absences;
use super::forget;
use super::row::{
    Names, ReadError, message, message_columns, number, rows, signed, source, time, unsigned, user, user_name,
};
use crate::hub::change::{Account, ConsentRow, DeviceRow, PastSend, Snapshot, TriesRow};
use crate::hub::delivery::{BROADCASTS_MAX, MAILBOX_MESSAGES_MAX};
use crate::hub::id::{DeviceId, Number, UserId};
use crate::hub::message::Message;
use crate::hub::scram::{StoredKeys, Verifier};
use crate::hub::seal::Sealed;
use crate::hub::sends::RESULTS_MAX;

pub(super) const WAITING_SQL: &str = concat!(
    "SELECT ",
    message_columns!(),
    " FROM kept WHERE recipient = ?1 AND number > ?2 AND expired = 0 ORDER BY number DESC LIMIT ?3"
);
pub(super) const BROADCASTS_SQL: &str = concat!(
    "SELECT ",
    message_columns!(),
    " FROM kept WHERE recipient IS NULL AND number > ?1 ORDER BY number DESC LIMIT ?2"
);
pub(super) const SENDS_SQL: &str = concat!(
    "SELECT ",
    message_columns!(),
    " FROM kept WHERE sender = ?1 AND device = ?2 AND counter BETWEEN ?3 AND ?4 AND number > ?5",
    " ORDER BY counter DESC LIMIT ?6"
);

/// So many messages may still wait for a user: what the hub keeps, and one that shows it that there were more.
pub(super) const WAITING_MAX: usize = MAILBOX_MESSAGES_MAX + 1;

/// The lists are in the order of their ids, so that the same database gives the same snapshot.
pub(super) fn read(connection: &Connection) -> Result<Snapshot, ReadError> {
    let users = rows(
        connection,
        "users",
        "SELECT id, coalesce(retired.name, users.name) FROM users LEFT JOIN retired ON user = id ORDER BY id",
        [],
        |row| Ok((user(row, 0)?, user_name(&row.get::<_, String>(1)?)?)),
    )?;
    let retired = rows(connection, "retired", "SELECT user FROM retired ORDER BY user", [], |row| user(row, 0))?;
    let accounts = rows(
        connection,
        "accounts",
        "SELECT user, salt, iterations, stored_key, server_key, sealed, hashed FROM accounts ORDER BY user",
        [],
        |row| Ok((user(row, 0)?, account(row)?)),
    )?;
    let shown = rows(connection, "users", "SELECT id, shown FROM users WHERE shown > 0 ORDER BY id", [], |row| {
        Ok((user(row, 0)?, number(row, 1)?))
    })?;
    let blocks = rows(connection, "blocks", "SELECT user, other, shown FROM blocks ORDER BY user, other", [], |row| {
        Ok((user(row, 0)?, user(row, 1)?, number(row, 2)?))
    })?;
    let consents =
        rows(connection, "consents", "SELECT user, other, until FROM consents ORDER BY user, other", [], |row| {
            Ok(ConsentRow { of: user(row, 0)?, to: user(row, 1)?, until: time(row, 2)? })
        })?;
    let devices = rows(
        connection,
        "devices",
        "SELECT user, device, cursor, absences, seen, stored_key, server_key, since FROM devices
         ORDER BY user, device",
        [],
        |row| Ok((device(row)?, number(row, 7)?)),
    )?;
    let tries = rows(
        connection,
        "tries",
        "SELECT name, source, failures, last, locked_until FROM tries ORDER BY name, source",
        [],
        tries_row,
    )?;
    let sources =
        rows(connection, "sources", "SELECT user, source, time FROM sources ORDER BY user, source", [], |row| {
            Ok((user(row, 0)?, source(&row.get::<_, Vec<u8>>(1)?)?, time(row, 2)?))
        })?;
    let online = rows(
        connection,
        "attendance",
        "SELECT DISTINCT user FROM attendance WHERE last IS NULL ORDER BY user",
        [],
        |row| user(row, 0),
    )?;
    let secret = connection
        .query_row("SELECT value FROM settings WHERE name = 'secret'", [], |row| row.get(0))
        .optional()
        .map_err(|error| ReadError::from(error).within("settings, the secret"))?;
    let last = forget::last_number(connection).map_err(|error| ReadError::from(error).within("settings, the last"))?;

    let mut names = Names::new(connection)?;
    let mut cursors = BTreeMap::<UserId, Number>::new();
    for (device, _) in &devices {
        let cursor = cursors.entry(device.user).or_insert(device.cursor);
        *cursor = device.cursor.min(*cursor);
    }
    let lowest_of_all = cursors.values().min().copied();
    for &(user, shown) in &shown {
        cursors.entry(user).or_insert(shown);
    }
    let mut waiting = Vec::new();
    for (id, _) in &users {
        let above = cursors.get(id).map_or(-1, |cursor| signed(cursor.0));
        let params = params![id.0, above, WAITING_MAX as i64];
        waiting.extend(messages(connection, WAITING_SQL, params, &mut names)?);
    }
    if let Some(lowest) = lowest_of_all {
        let params = params![signed(lowest.0), BROADCASTS_MAX as i64];
        waiting.extend(messages(connection, BROADCASTS_SQL, params, &mut names)?);
    }
    waiting.sort_by_key(|message| message.number);

    let mut sends = Vec::new();
    for (device, since) in &devices {
        sends.extend(sends_of(connection, device, *since, &mut names)?);
    }
    Ok(Snapshot {
        secret,
        users,
        retired,
        accounts,
        blocks,
        consents,
        devices: devices.into_iter().map(|(row, _)| row).collect(),
        shown,
        tries,
        sources,
        waiting: waiting.into_iter().map(Arc::new).collect(),
        sends,
        online,
        last: Number(unsigned(last)?),
    })
}

fn messages(
    connection: &Connection,
    sql: &str,
    params: &[&dyn rusqlite::ToSql],
    names: &mut Names,
) -> Result<Vec<Message>, ReadError> {
    rows(connection, "messages", sql, params, |row| message(row, names))
}

/// By rising counter.
fn sends_of(
    connection: &Connection,
    device: &DeviceRow,
    since: Number,
    names: &mut Names,
) -> Result<Vec<PastSend>, ReadError> {
    let mut sends = Vec::new();
    // Counters with the top bit set are negative in the column, and yet the highest.
    for (low, high) in [(i64::MIN, -1), (0, i64::MAX)] {
        let limit = (RESULTS_MAX - sends.len()) as i64;
        let params = params![device.user.0, device.device.as_bytes(), low, high, signed(since.0), limit];
        sends.extend(messages(connection, SENDS_SQL, params, names)?);
    }
    let past = |message: Message| {
        let origin = message.origin?;
        Some(PastSend { user: device.user, origin, number: message.number, to: message.to, text: message.text })
    };
    Ok(sends.into_iter().rev().filter_map(past).collect())
}

fn account(row: &Row) -> Result<Account, ReadError> {
    let keys = StoredKeys { stored_key: row.get(3)?, server_key: row.get(4)? };
    let verifier = Arc::new(Verifier { salt: row.get(1)?, iterations: row.get(2)?, keys });
    let sealed = row.get::<_, Option<Vec<u8>>>(5)?.map(Sealed::from_bytes);
    Ok(Account { verifier, sealed, hashed: row.get::<_, i64>(6)? != 0 })
}

fn device(row: &Row) -> Result<DeviceRow, ReadError> {
    let token = match (row.get(5)?, row.get(6)?) {
        (Some(stored_key), Some(server_key)) => Some(StoredKeys { stored_key, server_key }),
        (None, None) => None,
        _ => return Err(ReadError::Corrupt("half a token".into())),
    };
    Ok(DeviceRow {
        user: user(row, 0)?,
        device: DeviceId::from_bytes(row.get(1)?),
        cursor: number(row, 2)?,
        absences: absences::decode(&row.get::<_, Vec<u8>>(3)?)
            .ok_or_else(|| ReadError::Corrupt("malformed absences".into()))?,
        seen: time(row, 4)?,
        token,
    })
}

fn tries_row(row: &Row) -> Result<TriesRow, ReadError> {
    let bytes: Vec<u8> = row.get(1)?;
    Ok(TriesRow {
        name: row.get(0)?,
        source: if bytes.is_empty() { None } else { Some(source(&bytes)?) },
        failures: row.get(2)?,
        last: time(row, 3)?,
        locked_until: row.get::<_, Option<i64>>(4)?.map(|_| time(row, 4)).transpose()?,
    })
}
