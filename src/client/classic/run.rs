//! The loop in which a session is used, and what the manners of using it have to bring.

use std::time::Duration;

use super::connection::Connection;
use super::{Happening, Now, Session};
use crate::client::exit::Status;
use crate::client::interrupt::Interrupt;
use crate::client::output::Ended;
use crate::client::warn;

/// How long a log-out may take.
const LEAVE_WITHIN: Duration = Duration::from_secs(5);

/// A manner of using a session.
pub trait Manner {
    /// Takes what the session tells, never its end, and prints.
    fn hear(&mut self, session: &mut dyn Session, now: Now, happening: Happening) -> Result<(), Ended>;

    /// Asks for what is to be asked for next. Comes back, if that was all: the status to end with.
    fn go_on(&mut self, session: &mut dyn Session, now: Now) -> Result<Option<Status>, Ended>;

    /// When `go_on` has something to do, if nothing happens.
    fn poll_timeout(&self) -> Option<Now> {
        None
    }
}

/// Uses a session until it, or its use, is over.
pub fn run(connection: &mut Connection, manner: &mut dyn Manner, interrupt: &Interrupt) -> Result<Status, Ended> {
    let result = go_round(connection, manner, interrupt);
    if result.is_err() {
        connection.abandon();
    }
    result
}

fn go_round(connection: &mut Connection, manner: &mut dyn Manner, interrupt: &Interrupt) -> Result<Status, Ended> {
    let mut leaving: Option<(Now, Status)> = None;
    loop {
        let now = connection.now();
        if leaving.is_none() {
            let over = match interrupt.asked() {
                Some(status) => Some(status),
                None => manner.go_on(connection.session(), now)?,
            };
            if let Some(status) = over {
                connection.session().log_out(now);
                leaving = Some((now + LEAVE_WITHIN, status));
            }
        }
        if let Some((_, status)) = leaving.filter(|(until, _)| *until <= now) {
            tell_unsent(connection.session().unsent());
            return Ok(status);
        }
        let until = leaving.map(|(until, _)| until).into_iter().chain(manner.poll_timeout()).min();
        for happening in connection.turn(until)? {
            match (happening, leaving) {
                (Happening::End(_), Some((_, status))) => return Ok(status),
                (Happening::End(end), None) => return end.result(),
                (happening, _) => manner.hear(connection.session(), now, happening)?,
            }
        }
    }
}

/// The log-out takes too long. What was not sent must not go unsaid.
fn tell_unsent(unsent: usize) {
    match unsent {
        0 => {}
        1 => warn("a message was not sent: the server is too slow"),
        unsent => warn(&format!("{unsent} messages were not sent: the server is too slow")),
    }
}
