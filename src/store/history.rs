//! Pages of the log, and the thread that reads them.
//!
//! Who may see which message is the hub's rule (`HistoryQuery::admits`); the searches only come near it, so that an
//! index can lead them, and what they find is asked of the rule. The thread has a connection of its own, which
//! can only read, so that a long search stops neither the loop nor the commits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use rusqlite::{Connection, Params, params};

use super::row::{Names, ReadError, line, message, message_columns, number, rows, signed};
use super::{Completion, Reports, Ticket};
use crate::hub::id::Number;
use crate::hub::message::{HistoryPage, HistoryQuery, Message};

macro_rules! newest_first {
    ($where:literal) => {
        concat!("SELECT ", message_columns!(), " FROM kept WHERE ", $where, " ORDER BY number DESC")
    };
}

pub(super) const RECEIVED_SQL: &str = newest_first!("recipient = ?1 AND number < ?2");
pub(super) const SENT_SQL: &str = newest_first!("sender = ?1 AND number < ?2");
pub(super) const PAIR_SQL: &str = newest_first!("sender = ?1 AND recipient = ?2 AND number < ?3");
pub(super) const BROADCASTS_SQL: &str = newest_first!("recipient IS NULL AND number BETWEEN ?1 AND ?2");
pub(super) const VISITS_SQL: &str = "SELECT first, coalesce(last, ?2) FROM attendance WHERE user = ?1 ORDER BY first";

/// The same numbers, as ranges that neither overlap nor touch; from ranges in the order of their beginnings.
pub(super) fn merged(ranges: impl IntoIterator<Item = (Number, Number)>) -> Vec<(Number, Number)> {
    let mut merged = Vec::<(Number, Number)>::new();
    for (first, last) in ranges {
        match merged.last_mut() {
            Some(previous) if first.0 <= previous.1.0.saturating_add(1) => previous.1 = previous.1.max(last),
            _ => merged.push((first, last)),
        }
    }
    merged
}

/// The page of these matches: at least the newest one more than `limit`, or all.
pub(super) fn page_of(mut matches: BTreeMap<Number, Arc<Message>>, limit: usize) -> HistoryPage {
    let more = matches.len() > limit;
    while matches.len() > limit {
        matches.pop_first();
    }
    HistoryPage { messages: matches.into_values().collect(), more }
}

/// The life of the reader thread.
pub(super) fn run(mut connection: Connection, queries: Receiver<(Ticket, HistoryQuery)>, reports: Reports) {
    for (ticket, query) in queries {
        let page = read(&mut connection, &query);
        if let Err(error) = &page {
            log::error!("history can't be read: {error}");
        }
        reports.report(Completion::Page { ticket, page: page.ok() });
    }
}

pub(super) fn read(connection: &mut Connection, query: &HistoryQuery) -> Result<HistoryPage, ReadError> {
    // All parts see one state of the log.
    let transaction = connection.transaction()?;
    let mut search = Search { query, names: Names::new(&transaction)?, matches: BTreeMap::new() };
    let viewer = query.viewer.0;
    let before = query.before.map_or(i64::MAX, |before| signed(before.0));

    if let Some(with) = query.with {
        search.take(&transaction, PAIR_SQL, params![viewer, with.0, before], usize::MAX)?;
        search.take(&transaction, PAIR_SQL, params![with.0, viewer, before], usize::MAX)?;
        return Ok(page_of(search.matches, query.limit));
    }
    search.take(&transaction, RECEIVED_SQL, params![viewer, before], usize::MAX)?;
    search.take(&transaction, SENT_SQL, params![viewer, before], usize::MAX)?;

    let visits = rows(&transaction, "attendance", VISITS_SQL, params![viewer, i64::MAX], |row| {
        Ok((number(row, 0)?, number(row, 1)?))
    })?;
    let mut wanted = query.limit.saturating_add(1);
    for (first, last) in merged(visits).into_iter().rev() {
        let (first, last) = (signed(first.0), signed(last.0).min(before.saturating_sub(1)));
        if first <= last {
            wanted -= search.take(&transaction, BROADCASTS_SQL, params![first, last], wanted)?;
        }
        if wanted == 0 {
            break;
        }
    }
    Ok(page_of(search.matches, query.limit))
}

struct Search<'c> {
    query: &'c HistoryQuery,
    names: Names<'c>,
    matches: BTreeMap<Number, Arc<Message>>,
}

impl Search<'_> {
    /// Adds the newest matches among these rows: `wanted`, but never more than a page and one. Says how many.
    fn take(
        &mut self,
        connection: &Connection,
        sql: &str,
        params: impl Params,
        wanted: usize,
    ) -> Result<usize, ReadError> {
        let wanted = wanted.min(self.query.limit.saturating_add(1));
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query(params)?;
        let mut taken = 0;
        while taken < wanted
            && let Some(row) = rows.next()?
        {
            let line = line(row).map_err(|error| error.within("messages"))?;
            // Only rows of the viewer's visits are asked for.
            if self.query.admits(&line, || true) {
                let message = message(row, &mut self.names).map_err(|error| error.within("messages"))?;
                self.matches.insert(line.number, Arc::new(message));
                taken += 1;
            }
        }
        Ok(taken)
    }
}
