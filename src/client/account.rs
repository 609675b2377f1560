//! What a person does with an account of their own: another password, or an account to begin with. Each is one exchange on a
//! connection of its own, without a device.
//!
//! Pure, like `core`. What always holds: it runs over TLS only, and is bound to the connection; no password itself is ever
//! sent, and the keys of a new one only when the server has proved that it knows the old one.

use std::collections::VecDeque;
use std::mem;

use super::core::{Closing, End, Nonces, salted};
use super::exit::Failure;
use crate::wire::native::client::{self as wire, Ask, FromServer, Hear, News, Problem, Told};
use crate::wire::scram::{Challenge, ChannelBinding, ClientExchange, Secret, ServerSignature, StoredKeys};
use crate::wire::{Password, RequestId, UserName};

/// Whose account, and what for.
#[derive(Clone, Debug)]
pub struct Task {
    pub user: UserName,
    /// To log in with; of an account that is to be made: its password.
    pub password: Password,
    pub purpose: Purpose,
}

#[derive(Clone, Debug)]
pub enum Purpose {
    /// From now on the password is this one.
    ChangePassword(Password),
    SignUp,
}

/// What the driver is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// The server has proved that it knows the account, on this very connection.
    Proved,
    /// It is over: done or not.
    Over(Result<(), Failure>),
}

/// An exchange in progress.
pub struct Exchange {
    task: Task,
    binding: ChannelBinding,
    second_nonce: [u8; 18],
    step: Step,
    last_id: u64,
    input: Vec<u8>,
    output: Vec<u8>,
    happenings: VecDeque<Happening>,
}

/// What is awaited.
enum Step {
    /// The challenge whose salt and iterations an account is to be made with.
    Terms(ClientExchange),
    SigningUp,
    Challenge(ClientExchange),
    /// The server's proof. The terms are for the new password.
    Proof(ServerSignature, Terms),
    Changing,
    Over,
}

/// What a password is put to.
struct Terms {
    challenge: Challenge,
    /// Its digest stands in its place.
    hashed: bool,
}

impl Exchange {
    /// Begins on a new connection.
    pub fn new(task: Task, nonces: Nonces, binding: ChannelBinding) -> Exchange {
        let mut exchange = Exchange {
            task,
            binding,
            second_nonce: nonces[1],
            step: Step::Over,
            last_id: 0,
            input: Vec::new(),
            output: Vec::new(),
            happenings: VecDeque::new(),
        };
        let first = exchange.log_in(&nonces[0]);
        exchange.step = match exchange.task.purpose {
            Purpose::SignUp => Step::Terms(first),
            Purpose::ChangePassword(_) => Step::Challenge(first),
        };
        exchange
    }

    /// The server sent something, split anyhow.
    pub fn received(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        let input = mem::take(&mut self.input);
        let mut used = 0;
        while !matches!(self.step, Step::Over) {
            match wire::decode(&input[used..]) {
                Hear::Wait => {
                    self.input = input[used..].to_vec();
                    return;
                }
                Hear::NotUnderstood => self.end(&End::NotUnderstood),
                Hear::Line { used: length, line } => {
                    used += length;
                    self.line(line);
                }
            }
        }
    }

    /// The bytes to send, after the happenings were told.
    pub fn take_output(&mut self) -> Vec<u8> {
        mem::take(&mut self.output)
    }

    pub fn next_happening(&mut self) -> Option<Happening> {
        self.happenings.pop_front()
    }

    fn line(&mut self, line: FromServer) {
        match line {
            FromServer::News(News::Closing { text, .. }) => self.over(Err(Failure::closing(Closing::Lost, &text))),
            FromServer::News(_) => {}
            FromServer::Answer { id: None, answer: Err(problem) } => self.end(&End::Refused(problem)),
            FromServer::Answer { id: Some(RequestId(id)), answer } if id == self.last_id => self.answer(answer),
            FromServer::Answer { .. } => self.end(&End::NotUnderstood),
        }
    }

    fn answer(&mut self, answer: Result<Told, Problem>) {
        match (mem::replace(&mut self.step, Step::Over), answer) {
            (Step::Terms(exchange), Ok(Told::Challenge { message, hashed })) => {
                match Terms::of(&exchange, &message, hashed) {
                    Ok(terms) => {
                        let keys = StoredKeys::of(&terms.secret(&self.task.password));
                        self.ask(&Ask::SignUp { keys });
                        self.step = Step::SigningUp;
                    }
                    Err(why) => self.end(&End::Impostor(why)),
                }
            }
            (Step::SigningUp, Ok(Told::SignedUp { user })) if user == self.task.user => {
                let nonce = self.second_nonce;
                self.step = Step::Challenge(self.log_in(&nonce));
            }
            (Step::Challenge(exchange), Ok(Told::Challenge { message, hashed })) => {
                match Terms::of(&exchange, &message, hashed) {
                    Ok(terms) => {
                        let secret = terms.secret(&self.task.password);
                        let (message, signature, _) = exchange.prove(&terms.challenge, &secret);
                        self.ask(&Ask::Authenticate { message });
                        self.step = Step::Proof(signature, terms);
                    }
                    Err(why) => self.end(&End::Impostor(why)),
                }
            }
            (Step::Proof(signature, terms), Ok(Told::LoggedIn { message, .. })) => {
                if !signature.matches(&message) {
                    return self.end(&End::unproven());
                }
                self.happenings.push_back(Happening::Proved);
                match &self.task.purpose {
                    Purpose::SignUp => self.over(Ok(())),
                    Purpose::ChangePassword(new) => {
                        let keys = StoredKeys::of(&terms.secret(new));
                        self.ask(&Ask::ChangePassword { keys });
                        self.step = Step::Changing;
                    }
                }
            }
            (Step::Changing, Ok(Told::PasswordChanged { user })) if user == self.task.user => self.over(Ok(())),
            (_, Err(problem)) => self.end(&End::of_log_in(problem)),
            (_, Ok(_)) => self.end(&End::NotUnderstood),
        }
    }

    fn log_in(&mut self, nonce: &[u8; 18]) -> ClientExchange {
        let exchange = ClientExchange::new(&self.task.user, nonce, Some(self.binding.clone()));
        self.ask(&Ask::LogIn { resume: false, bound: true, message: exchange.message(), device: None });
        exchange
    }

    fn ask(&mut self, ask: &Ask) {
        self.last_id += 1;
        wire::encode(Some(RequestId(self.last_id)), ask, &mut self.output);
    }

    fn end(&mut self, end: &End) {
        let why = Failure::end(end);
        self.over(why.map_or(Ok(()), Err));
    }

    fn over(&mut self, result: Result<(), Failure>) {
        self.step = Step::Over;
        self.happenings.push_back(Happening::Over(result));
    }
}

impl Terms {
    /// Those of a challenge, if a password can be put to it.
    fn of(exchange: &ClientExchange, message: &str, hashed: bool) -> Result<Terms, &'static str> {
        let challenge = exchange.challenge(message)?;
        match challenge.iterations_are_sane() {
            true => Ok(Terms { challenge, hashed }),
            false => Err("the server asks for a password check that is too weak or too expensive"),
        }
    }

    fn secret(&self, password: &Password) -> Secret {
        salted(password.as_str(), self.hashed, &self.challenge)
    }
}

#[cfg(test)]
mod tests;
