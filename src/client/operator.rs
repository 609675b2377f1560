//! The operator's side of the control socket: one question, one answer.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::exit::{Failure, Status};
use crate::net::control;
use crate::wire::native::client::{Ask, FromServer, Hear, Told, decode, encode};
use crate::wire::{Listed, Operation, RequestId};

/// How long the server may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Somebody who may manage accounts.
#[derive(Debug)]
pub struct Operator {
    socket: UnixStream,
    input: Vec<u8>,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    Told(Told),
    Accounts(Vec<Listed>),
}

impl Operator {
    /// Reaches the server that runs in this data directory.
    pub fn connect(directory: &Path) -> io::Result<Operator> {
        Operator::over(control::connect(directory)?)
    }

    /// Speaks over a socket whose other end a server has.
    pub fn over(socket: UnixStream) -> io::Result<Operator> {
        socket.set_read_timeout(Some(ANSWER_WITHIN))?;
        socket.set_write_timeout(Some(ANSWER_WITHIN))?;
        Ok(Operator { socket, input: Vec::new() })
    }

    /// Asks, and waits for the whole answer.
    pub fn ask(&mut self, operation: Operation) -> Result<Done, Failure> {
        let mut line = Vec::new();
        encode(Some(RequestId(1)), &Ask::Operate(operation), &mut line);
        self.socket.write_all(&line).map_err(lost)?;
        let mut listed = Vec::new();
        loop {
            match self.next_line()? {
                FromServer::Answer { answer: Ok(Told::Users { accounts, continues }), .. } => {
                    listed.extend(accounts);
                    if !continues {
                        return Ok(Done::Accounts(listed));
                    }
                }
                FromServer::Answer { answer: Ok(told), .. } => return Ok(Done::Told(told)),
                FromServer::Answer { answer: Err(problem), .. } => return Err(Failure::problem(&problem)),
                FromServer::News(_) => {}
            }
        }
    }

    fn next_line(&mut self) -> Result<FromServer, Failure> {
        let mut buffer = [0; 4096];
        loop {
            match decode(&self.input) {
                Hear::Line { used, line } => {
                    self.input.drain(..used);
                    return Ok(line);
                }
                Hear::NotUnderstood => {
                    return Err(Failure::new(Status::NotUnderstood, "what answers on the control socket is no chatd"));
                }
                Hear::Wait => match self.socket.read(&mut buffer) {
                    Ok(0) => return Err(Failure::new(Status::NoServer, "the server has ended: try again")),
                    Ok(bytes) => self.input.extend_from_slice(&buffer[..bytes]),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(lost(error)),
                },
            }
        }
    }
}

fn lost(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            Failure::new(Status::NoServer, "the server does not answer: look at its log, then see 'chatd user list'")
        }
        _ => Failure::new(Status::NoServer, format!("the connection to the server broke: {error}")),
    }
}
