//! One change, inside the transaction of its group.
//!
//! Knows nothing of groups, threads or failures: an error undoes the whole group.

use rusqlite::{Connection, params};

use super::absences;
use super::forget;
use super::row::{signed, source_bytes};
use crate::hub::change::{Account, Change, ConsentRow, DeviceRow, TriesRow};
use crate::hub::id::{Source, UserId};
use crate::hub::lockout::SOURCES_MAX;
use crate::hub::message::Message;
use crate::hub::scram::Verifier;
use crate::hub::seal::Sealed;
use crate::hub::time::WallTime;

pub(super) fn apply(connection: &Connection, change: &Change) -> rusqlite::Result<()> {
    let run = |sql: &str, params: &[&dyn rusqlite::ToSql]| connection.prepare_cached(sql)?.execute(params).map(drop);
    match change {
        Change::Secret(secret) => {
            run("INSERT OR REPLACE INTO settings (name, value) VALUES ('secret', ?1)", params![&secret[..]])
        }
        Change::User { id, name } => run(
            "INSERT INTO users (id, name) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET name = excluded.name",
            params![id.0, name.as_str()],
        ),
        Change::Account { user, account: Some(account), .. } => put_account(connection, *user, account),
        Change::Account { user, account: None, .. } => run("DELETE FROM accounts WHERE user = ?1", params![user.0]),
        Change::Retired { user } => {
            run(
                "INSERT INTO retired (user, name) SELECT id, name FROM users WHERE id = ?1 ON CONFLICT DO NOTHING",
                params![user.0],
            )?;
            run("UPDATE users SET name = '#' || id WHERE id = ?1", params![user.0])
        }
        Change::Message(message) => insert_message(connection, message),
        Change::Expired { number } => {
            run("UPDATE messages SET expired = 1 WHERE number = ?1", params![signed(number.0)])
        }
        Change::Block { user, other, shown } => run(
            "INSERT OR REPLACE INTO blocks (user, other, shown) VALUES (?1, ?2, ?3)",
            params![user.0, other.0, signed(shown.0)],
        ),
        Change::Unblock { user, other, .. } => {
            run("DELETE FROM blocks WHERE user = ?1 AND other = ?2", params![user.0, other.0])
        }
        Change::Consent { row: ConsentRow { of, to, until }, .. } => run(
            "INSERT OR REPLACE INTO consents (user, other, until) VALUES (?1, ?2, ?3)",
            params![of.0, to.0, signed(until.as_millis())],
        ),
        Change::ConsentOver { row: ConsentRow { of, to, .. }, .. } => {
            run("DELETE FROM consents WHERE user = ?1 AND other = ?2", params![of.0, to.0])
        }
        Change::Device(row) => put_device(connection, row),
        Change::DeviceForgotten { user, device, shown } => {
            run("UPDATE users SET shown = max(shown, ?2) WHERE id = ?1", params![user.0, signed(shown.0)])?;
            run("DELETE FROM devices WHERE user = ?1 AND device = ?2", params![user.0, device.as_bytes()])
        }
        Change::Tries(row) => put_tries(connection, row),
        Change::SourceKnown { user, source, time } => put_source(connection, *user, *source, *time),
        Change::Arrived { user, first } => run(
            "INSERT INTO attendance (user, first)
             SELECT ?1, ?2 WHERE NOT EXISTS (SELECT 1 FROM attendance WHERE user = ?1 AND last IS NULL)
             ON CONFLICT (user, first) DO UPDATE SET last = NULL",
            params![user.0, signed(first.0)],
        ),
        Change::Left { user, last } => {
            // A visit during which nothing was said leaves no trace.
            run(
                "DELETE FROM attendance WHERE user = ?1 AND last IS NULL AND first > ?2",
                params![user.0, signed(last.0)],
            )?;
            run("UPDATE attendance SET last = ?2 WHERE user = ?1 AND last IS NULL", params![user.0, signed(last.0)])
        }
        Change::Forget { before } => forget::begin(connection, *before),
    }
}

fn put_account(connection: &Connection, user: UserId, account: &Account) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT OR REPLACE INTO accounts (user, salt, iterations, stored_key, server_key, sealed, hashed)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    let Verifier { salt, iterations, keys } = &*account.verifier;
    let sealed = account.sealed.as_ref().map(Sealed::as_bytes);
    let (stored_key, server_key) = (keys.stored_key, keys.server_key);
    statement.execute(params![user.0, salt, iterations, stored_key, server_key, sealed, account.hashed])?;
    Ok(())
}

fn insert_message(connection: &Connection, message: &Message) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO messages (number, time, sender, recipient, text, device, counter, local)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    statement.execute(params![
        signed(message.number.0),
        signed(message.time.as_millis()),
        message.sender().map(|id| id.0),
        message.recipient().map(|id| id.0),
        message.text.as_str(),
        message.origin.as_ref().map(|origin| origin.device.as_bytes()),
        message.origin.as_ref().map(|origin| origin.counter as i64),
        signed(message.local.number()),
    ])?;
    Ok(())
}

fn put_device(connection: &Connection, row: &DeviceRow) -> rusqlite::Result<()> {
    // `since` stays as it is: it says from where on the sends are this device's.
    let mut statement = connection.prepare_cached(
        "INSERT INTO devices (user, device, cursor, absences, seen, stored_key, server_key, since)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, (SELECT coalesce(max(number), 0) FROM messages))
         ON CONFLICT (user, device) DO UPDATE SET cursor = excluded.cursor, absences = excluded.absences,
         seen = excluded.seen, stored_key = excluded.stored_key, server_key = excluded.server_key",
    )?;
    statement.execute(params![
        row.user.0,
        row.device.as_bytes(),
        signed(row.cursor.0),
        absences::encode(&row.absences),
        signed(row.seen.as_millis()),
        row.token.as_ref().map(|keys| keys.stored_key),
        row.token.as_ref().map(|keys| keys.server_key),
    ])?;
    Ok(())
}

fn put_tries(connection: &Connection, row: &TriesRow) -> rusqlite::Result<()> {
    let source = row.source.map(source_bytes).unwrap_or_default();
    // Nobody would miss such a row, and the table holds only names that somebody is guessing at.
    if row.failures == 0 && row.locked_until.is_none() {
        connection
            .prepare_cached("DELETE FROM tries WHERE name = ?1 AND source = ?2")?
            .execute(params![row.name, source])?;
        return Ok(());
    }
    let mut statement = connection.prepare_cached(
        "INSERT OR REPLACE INTO tries (name, source, failures, last, locked_until) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    statement.execute(params![
        row.name,
        source,
        row.failures,
        signed(row.last.as_millis()),
        row.locked_until.map(|time| signed(time.as_millis())),
    ])?;
    Ok(())
}

fn put_source(connection: &Connection, user: UserId, source: Source, time: WallTime) -> rusqlite::Result<()> {
    let source = source_bytes(source);
    connection
        .prepare_cached("INSERT OR REPLACE INTO sources (user, source, time) VALUES (?1, ?2, ?3)")?
        .execute(params![user.0, source, signed(time.as_millis())])?;
    // The source of just now stays even if the clock went back.
    connection
        .prepare_cached(
            "DELETE FROM sources WHERE user = ?1 AND source NOT IN (SELECT source FROM sources WHERE user = ?1
             ORDER BY source = ?2 DESC, time DESC, source LIMIT ?3)",
        )?
        .execute(params![user.0, source, SOURCES_MAX as i64])?;
    Ok(())
}
