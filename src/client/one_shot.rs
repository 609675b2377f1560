//! A command of the command line: log in without a device, do it, end. Nobody notices, nothing is displaced.

use std::time::Duration;

use super::connection::{Connection, Heard};
use super::core::{Done, Happening, Request};
use super::exit::{Failure, Status};
use super::output::{Ended, print};
use super::peers::{self, PeerNews};
use super::render;
use crate::wire::native::client::News;
use crate::wire::{Number, Text, UserName};

/// Confirmations that come before their answer; a well-behaved server sends none.
const EARLY_MAX: usize = 16;

/// How long the last words of a private conversation may take.
const GOODBYE_WITHIN: Duration = Duration::from_secs(2);

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
                heard => others(heard)?,
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
        false => no_server(within),
    }
}

/// Asks where a user is, and prints it.
pub fn get_address(
    connection: &mut Connection,
    user: UserName,
    within: Duration,
    answer_within: Duration,
    json: bool,
) -> Result<(), Ended> {
    let tag = connection.ask_address(user.clone())?;
    connection.dial();
    let mut until = connection.now() + within;
    let mut passed_on = false;
    while connection.now() < until {
        for heard in connection.turn(Some(until))? {
            match heard {
                Heard::Session(Happening::Answered { tag: answered, answer }) if answered == tag => {
                    answer.map_err(|problem| Failure::problem(&problem))?;
                    passed_on = true;
                    until = connection.now().saturating_add(answer_within);
                }
                Heard::Session(Happening::News(
                    ref news @ News::Address { user: ref found, address, ref certificate, .. },
                )) if *found == user => {
                    let line = render::address_line(&user, address, certificate);
                    print(&[if json { render::event_json(news, &user).unwrap_or_default() } else { line }])?;
                    return Ok(());
                }
                Heard::Session(Happening::News(News::NoAddress { user: found, reason })) if found == user => {
                    return Err(peers::no_address(&user, &reason).into());
                }
                heard => others(heard)?,
            }
        }
    }
    Err(match passed_on {
        true => no_answer(&user),
        false => no_server(within),
    }
    .into())
}

/// Says one text without the server.
pub fn say_privately(
    connection: &mut Connection,
    user: UserName,
    text: Text,
    within: Duration,
    answer_within: Duration,
    json: bool,
) -> Result<(), Ended> {
    connection.say_privately(&user, Some(text))?;
    connection.dial();
    let mut until = connection.now() + within;
    let mut passed_on = false;
    while connection.now() < until {
        for heard in connection.turn(Some(until))? {
            match heard {
                Heard::Private(PeerNews::Asked { .. }) => {
                    passed_on = true;
                    until = connection.now().saturating_add(answer_within);
                }
                Heard::Private(PeerNews::Heard { .. }) => {
                    if json {
                        print(&[render::said_json(&user)])?;
                    }
                    return say_goodbye(connection, &user);
                }
                Heard::Private(PeerNews::NotSaid { why, .. }) => {
                    let hint = format!("it was not said: 'message {user} TEXT' would send it through the server");
                    let text = format!("{}\n{hint}", why.text);
                    return Err(Failure { text, ..why }.into());
                }
                Heard::Private(_) => {}
                // Once they talk to each other the server may go.
                Heard::Lost(_) | Heard::Session(Happening::Closing { .. }) if connection.has_private_line(&user) => {}
                heard => others(heard)?,
            }
        }
    }
    Err(match passed_on {
        true => no_answer(&user),
        false => no_server(within),
    }
    .into())
}

/// Ends a conversation so that the other side notices that it was meant.
fn say_goodbye(connection: &mut Connection, user: &UserName) -> Result<(), Ended> {
    connection.end_private(user);
    let until = connection.now() + GOODBYE_WITHIN;
    connection.turn(Some(connection.now()))?;
    while connection.is_saying_goodbye() && connection.now() < until {
        connection.turn(Some(until))?;
    }
    Ok(())
}

/// What ends every command alike.
fn others(heard: Heard) -> Result<(), Ended> {
    match heard {
        Heard::Session(Happening::End(end)) => match Failure::end(&end) {
            Some(failure) => Err(failure.into()),
            None => Ok(()),
        },
        Heard::Session(Happening::Closing { reason, text }) => Err(Failure::closing(reason, &text).into()),
        Heard::Lost(why) => Err(why.into()),
        Heard::Note(note) => {
            super::warn(&note);
            Ok(())
        }
        Heard::Session(_) | Heard::Private(_) | Heard::Woken => Ok(()),
    }
}

fn no_answer(user: &UserName) -> Failure {
    Failure::new(Status::TryAgain, format!("{user} has not answered in time"))
}

fn no_server(within: Duration) -> Failure {
    Failure::new(Status::NoServer, format!("no answer from the server within {} s", within.as_secs_f64()))
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
