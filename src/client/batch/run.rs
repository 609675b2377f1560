//! Joins a script with the connection and with standard input.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use super::super::command;
use super::super::connection::{Connection, Heard};
use super::super::core::{Closing, Done, Happening, Now};
use super::super::errand::{Change, Passwords, Progress};
use super::super::exit::{Failure, Status};
use super::super::interrupt::Interrupt;
use super::super::output::{Ended, print};
use super::super::peers::Stand;
use super::super::{passwords, render, warn};
use super::lines::{ScriptLine, read_lines};
use super::{Batch, Line, Manner, Want};
use crate::wire::UserName;

/// How long a log-out may take.
const LEAVE_WITHIN: Duration = Duration::from_secs(5);

/// Where `passwd` has its passwords from: a script's input has the commands.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// The one of now.
    pub password: Option<String>,
    /// The file with the new one.
    pub new_password: Option<PathBuf>,
}

/// Does a script from standard input. The result is the status of its first failure.
pub fn run(
    connection: &mut Connection,
    user: &UserName,
    manner: Manner,
    given: &Given,
    interrupt: &Interrupt,
) -> Result<Status, Ended> {
    let mut batch = Batch::new(manner, user.clone());
    connection.dial();
    let log_in_until = connection.now() + manner.within;
    let mut lines: Option<Receiver<ScriptLine>> = None;
    let (mut at_end, mut lost) = (false, false);
    let mut leave_until: Option<Now> = None;
    let mut changing: Option<Change> = None;
    loop {
        let now = connection.now();
        let logged_in = lines.is_some();
        if !logged_in && now >= log_in_until {
            let why = format!("no answer from the server within {} s", manner.within.as_secs_f64());
            return Err(Failure::new(Status::NoServer, why).into());
        }
        batch.tick(&mut connection.session, now);
        while let Some(lines) = lines.as_ref().filter(|_| batch.is_ready() && !at_end) {
            match lines.try_recv() {
                Ok(line) => batch.line(&mut connection.session, now, line.as_deref().map_err(|why| *why)),
                Err(TryRecvError::Disconnected) => at_end = true,
                Err(TryRecvError::Empty) => break,
            }
        }
        match batch.take_want() {
            None => {}
            Some(Want::Change) => {
                match begin_change(connection, &batch.user, &manner, given) {
                    Ok(change) => changing = Some(change),
                    Err(why) => batch.not_begun(why),
                }
                // The next line can come.
                continue;
            }
            Some(want) => {
                begin(connection, &mut batch, now, want);
                continue;
            }
        }
        let asked = interrupt.asked();
        if !batch.leaving && (asked.is_some() || at_end && batch.is_ready()) {
            batch.leave(&mut connection.session);
        }
        if batch.leaving {
            if leave_until.is_none() {
                connection.end_all_private();
            }
            leave_until.get_or_insert(now + LEAVE_WITHIN);
        }
        show(batch.take_lines())?;
        let status = asked.unwrap_or(batch.status());
        if leave_until.is_some_and(|until| until <= now) {
            return Ok(status);
        }

        let deadlines = [batch.poll_timeout(), leave_until, (!logged_in).then_some(log_in_until)];
        for heard in connection.turn(deadlines.into_iter().flatten().min())? {
            // The session may end because of the change, whose end decides what comes of that.
            let heard = match &mut changing {
                Some(change) if !batch.leaving => match change.hold(heard) {
                    Some(heard) => heard,
                    None => continue,
                },
                _ => heard,
            };
            match heard {
                Heard::Session(Happening::End(end)) => {
                    show(batch.take_lines())?;
                    if !logged_in && let Some(ended) = Ended::before_log_in(&end) {
                        return Err(ended);
                    }
                    match Failure::end(&end) {
                        None => return Ok(status),
                        Some(failure) if failure.status == Status::NoServer || logged_in && failure.may_pass() => {
                            come_back(connection, &mut lost, &failure.text);
                        }
                        Some(failure) => return Err(failure.into()),
                    }
                }
                Heard::Session(Happening::Closing { reason, text }) => {
                    show(batch.take_lines())?;
                    let failure = Failure::closing(reason, &text);
                    if reason != Closing::Lost || !logged_in {
                        return Err(failure.into());
                    }
                    if batch.leaving {
                        return Ok(status);
                    }
                    come_back(connection, &mut lost, &failure.text);
                }
                Heard::Lost(why) => {
                    show(batch.take_lines())?;
                    if !logged_in || why.status == Status::Refused {
                        return Err(why.into());
                    }
                    if batch.leaving {
                        return Ok(status);
                    }
                    come_back(connection, &mut lost, &why.text);
                }
                Heard::Session(happening) => {
                    if matches!(happening, Happening::LoggedIn { .. }) {
                        interrupt.leave_to_the_program(connection.bell());
                        lines.get_or_insert_with(|| read_lines(connection.bell()));
                        if std::mem::take(&mut lost) {
                            warn("connected again");
                        }
                    }
                    let is_about_privacy =
                        matches!(happening, Happening::Answered { answer: Ok(Done::Privacy(_)), .. });
                    batch.happened(happening);
                    if is_about_privacy && !manner.json {
                        let (standing, certificate) = connection.private_standing();
                        batch.tells(render::standing_lines(&standing, certificate.as_ref()));
                    }
                }
                Heard::Private(news) => batch.private(&news),
                Heard::Note(note) => warn(&note),
                Heard::Woken => {}
            }
        }
        while let Some(progress) = changing.as_ref().and_then(Change::next) {
            match progress {
                Progress::Note(note) => warn(&note),
                Progress::Over(result) => {
                    let Some(change) = changing.take() else { break };
                    let (is_done, held) = (result.is_ok(), change.held);
                    batch.changed(result);
                    if is_done && !batch.leaving {
                        connection.password_changed(&change.new);
                    } else if let Some(why) = held {
                        show(batch.take_lines())?;
                        if why.status != Status::NoServer {
                            return Err(why.into());
                        }
                        come_back(connection, &mut lost, &why.text);
                    }
                }
            }
        }
        show(batch.take_lines())?;
    }
}

/// Begins what a line wants of conversations without the server.
fn begin(connection: &mut Connection, batch: &mut Batch, now: Now, want: Want) {
    let asked = match want {
        Want::Change => return,
        Want::GetAddress { user } => connection.ask_address(user),
        Want::Consent { user, yes } => connection.consent(user, yes),
        Want::Private { user, text } => {
            let is_up = matches!(connection.private_stand(&user), Some(Stand::Up(_)));
            if is_up && text.is_none() {
                return batch.finished(Ok(()), render::talking_json(&user));
            }
            if let Err(why) = connection.say_privately(&user, text) {
                batch.not_begun(why);
            }
            return;
        }
        Want::Standing => {
            let (standing, certificate) = connection.private_standing();
            batch.tells(vec![render::APART.to_owned()]);
            batch.tells(render::standing_lines_apart(&standing, certificate.as_ref()));
            return batch.nothing_more();
        }
        Want::GiveUpDelivery { tags, why } => {
            connection.keep_undelivered(&tags);
            return batch.not_begun(why);
        }
        Want::GiveUpPrivate { user, why } => return connection.give_up_private(&user, why),
        Want::Revoke { user } => return connection.revoke(&user),
        Want::EndPrivate { user } => {
            let result = match connection.end_private(&user) {
                true => Ok(()),
                false => Err(no_talk(&user)),
            };
            return batch.finished(result, render::ended_json(&user));
        }
        Want::Deliver { user } => match connection.deliver(&user, false) {
            Ok(sent) => return batch.awaits_all(now, sent.into_iter().map(|(tag, _)| tag).collect()),
            Err(why) => Err(why),
        },
    };
    match asked {
        Ok(tag) => batch.awaits(now, tag, false),
        Err(why) => batch.not_begun(why),
    }
}

/// There is no conversation that could end.
pub fn no_talk(user: &UserName) -> Failure {
    Failure::usage(format_args!("there is no private conversation with {user}"))
}

fn begin_change(
    connection: &mut Connection,
    user: &UserName,
    manner: &Manner,
    given: &Given,
) -> Result<Change, Failure> {
    if !connection.is_encrypted() {
        return Err(Failure::usage(command::NEEDS_TLS));
    }
    let old = given.password.as_deref();
    let old =
        old.ok_or_else(|| Failure::usage("'passwd' needs the password of now: --password-file or CHAT_PASSWORD"))?;
    let new = given.new_password.as_deref();
    let new = new.ok_or_else(|| Failure::usage("'passwd' needs the new password here: --new-password-file FILE"))?;
    let old = passwords::valid(old)?;
    let new = passwords::valid(&passwords::in_file(new)?)?;
    let change = connection.change_password(user.clone(), Passwords { old, new }, manner.within);
    change.ok_or_else(|| Failure::usage(command::NEEDS_TLS))
}

fn come_back(connection: &mut Connection, lost: &mut bool, why: &str) {
    if !std::mem::replace(lost, true) {
        warn(&format!("{why}; trying to come back"));
    }
    connection.dial_later();
}

/// Prints lines, each where it belongs.
pub fn show(lines: Vec<Line>) -> Result<(), Ended> {
    let mut data = Vec::new();
    for line in lines {
        match line {
            Line::Data(line) => data.push(line),
            Line::Complaint(text) => {
                print(&std::mem::take(&mut data))?;
                warn(&text);
            }
        }
    }
    print(&data)
}
