//! Old history, deleted a little at a time so that no commit takes long.
//!
//! What is to go is written down first and is hidden at once (the view `kept`); the rows follow in steps, after a
//! restart too. Messages that come later are never meant, whatever their time: the clock may have gone back.

use rusqlite::{Connection, OptionalExtension, params};

use super::row::signed;
use crate::hub::time::WallTime;

/// So many rows of a table are deleted in one commit at most.
pub(super) const ROWS_PER_STEP_MAX: usize = 200;

/// Notes that everything up to now from before this time is to go.
pub(super) fn begin(connection: &Connection, before: WallTime) -> rusqlite::Result<()> {
    let before = signed(before.as_millis());
    let through = last_number(connection)?;
    // The numbers of what goes must not be used again.
    connection
        .prepare_cached("INSERT OR REPLACE INTO settings (name, value) VALUES ('last', ?1)")?
        .execute([through])?;
    connection.prepare_cached("DELETE FROM forgetting WHERE before <= ?1")?.execute([before])?;
    connection
        .prepare_cached("INSERT INTO forgetting (before, through) VALUES (?1, ?2)")?
        .execute([before, through])?;
    Ok(())
}

/// Deletes some of it. False when nothing is left to do.
pub(super) fn step(connection: &Connection) -> rusqlite::Result<bool> {
    let next: Option<(i64, i64)> = connection
        .prepare_cached("SELECT before, through FROM forgetting ORDER BY before DESC LIMIT 1")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((before, through)) = next else { return Ok(false) };

    let limit = ROWS_PER_STEP_MAX as i64;
    let messages = connection
        .prepare_cached(
            "DELETE FROM messages WHERE number IN
             (SELECT number FROM messages WHERE time < ?1 AND number <= ?2 ORDER BY time LIMIT ?3)",
        )?
        .execute(params![before, through, limit])?;
    if messages == ROWS_PER_STEP_MAX {
        return Ok(true);
    }
    // A visit counts as long as a message of its time is there.
    let visits = connection
        .prepare_cached(
            "DELETE FROM attendance WHERE (user, first) IN (SELECT user, first FROM attendance
             WHERE last < coalesce((SELECT min(number) FROM messages), ?1 + 1) LIMIT ?2)",
        )?
        .execute(params![through, limit])?;
    let tries = connection
        .prepare_cached(
            "DELETE FROM tries WHERE (name, source) IN (SELECT name, source FROM tries
             WHERE last < ?1 AND coalesce(locked_until, 0) < ?1 LIMIT ?2)",
        )?
        .execute(params![before, limit])?;
    if visits < ROWS_PER_STEP_MAX && tries < ROWS_PER_STEP_MAX {
        connection.prepare_cached("DELETE FROM forgetting WHERE before = ?1")?.execute([before])?;
    }
    pending(connection)
}

/// Whether there is something left to delete.
pub(super) fn pending(connection: &Connection) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM forgetting)")?.query_row([], |row| row.get(0))
}

/// The highest number that was ever used; zero if none was.
pub(super) fn last_number(connection: &Connection) -> rusqlite::Result<i64> {
    connection
        .prepare_cached(
            "SELECT max(coalesce((SELECT max(number) FROM messages), 0),
             coalesce((SELECT value FROM settings WHERE name = 'last'), 0)) AS last",
        )?
        .query_row([], |row| row.get(0))
}
