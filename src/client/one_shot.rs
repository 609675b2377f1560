//! A command of the command line: log in without a device, do it, end. Nobody notices, nothing is displaced.

use std::time::Duration;

use super::connection::{Connection, Heard};
use super::core::{Done, Happening, Request};
use super::exit::{Failure, Status};
use super::output::{Ended, print};
use super::render;
use crate::wire::native::client::News;
use crate::wire::{Number, UserName};

/// Confirmations that come before their answer; a well-behaved server sends none.
const EARLY_MAX: usize = 16;

/// Does `request`. `within` bounds all of it.
pub fn run(
    connection: &mut Connection,
    user: &UserName,
    request: Request,
    within: Duration,
    json: bool,
) -> Result<(), Ended> {
    let wants_receipt = matches!(request, Request::Message { receipt: true, .. });
    let until = connection.now() + within;
    // A fresh session has room for one.
    let _ = connection.session.ask(request);
    connection.dial();
    let mut early: Vec<Number> = Vec::new();
    let mut awaited: Option<Number> = None;
    while connection.now() < until {
        for heard in connection.turn(Some(until))? {
            match heard {
                Heard::Session(Happening::Answered { answer, .. }) => {
                    let done = answer.map_err(|problem| Failure::problem(&problem))?;
                    print(&if json {
                        vec![render::answer_json(&done, user)]
                    } else {
                        render::answer_lines(&done, user)
                    })?;
                    match done {
                        Done::Accepted { number, .. } if wants_receipt && !early.contains(&number) => {
                            awaited = Some(number);
                        }
                        _ => return Ok(()),
                    }
                }
                Heard::Session(Happening::News(News::Delivered { number, .. })) => {
                    if awaited == Some(number) {
                        return Ok(());
                    }
                    if early.len() < EARLY_MAX {
                        early.push(number);
                    }
                }
                Heard::Session(Happening::End(end)) => {
                    if let Some(failure) = Failure::end(&end) {
                        return Err(failure.into());
                    }
                }
                Heard::Session(Happening::Closing { reason, text }) => {
                    return Err(Failure::closing(reason, &text).into());
                }
                Heard::Lost(why) => return Err(why.into()),
                Heard::Note(note) => super::warn(&note),
                Heard::Session(_) | Heard::Woken => {}
            }
        }
    }
    Err(overdue(awaited.is_some(), connection.session.held(), within).into())
}

/// The time is over. `accepted`: only the delivery is missing; `held`: the server has said to wait.
fn overdue(accepted: bool, held: usize, within: Duration) -> Failure {
    let seconds = within.as_secs_f64();
    match accepted {
        true => Failure::new(
            Status::TryAgain,
            format!("the message is safe on the server, but was not delivered within {seconds} s"),
        ),
        false if held > 0 => Failure::too_fast(),
        false => Failure::new(Status::NoServer, format!("no answer from the server within {seconds} s")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_still_waits_when_the_time_is_over_can_be_tried_again() {
        let status = |accepted, held| overdue(accepted, held, Duration::from_secs(1)).status;
        assert_eq!(status(false, 0), Status::NoServer, "nobody knows what has come of it");
        assert_eq!(status(false, 1), Status::TryAgain, "it was not sent");
        assert_eq!(status(true, 0), Status::TryAgain);
    }
}
