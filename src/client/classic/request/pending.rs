//! Requests without an answer. Answers carry no number: each belongs to the oldest request that it can be an answer to.

use std::collections::BTreeMap;
use std::time::Duration;

use super::no_address;
use crate::client::classic::{Done, Patience};
use crate::client::core::{Now, Tag};
use crate::client::exit::{Failure, Status};
use crate::wire::request::client::Heard;
use crate::wire::{Text, UserName};

/// A message is confirmed by nothing: when no refusal has come for so long, it has been handed over.
const REFUSAL_WITHIN: Duration = Duration::from_millis(500);

/// What a request waits for.
#[derive(Debug)]
pub(super) enum Waiting {
    /// To have left.
    ToLeave(Done),
    /// That a message is refused.
    Refusal {
        to: UserName,
    },
    /// That a broadcast does not reach everyone.
    Partly,
    Online,
    Blocked(UserName),
    Unblocked(UserName),
    /// `text`: what is to be said there.
    Address {
        user: UserName,
        text: Option<Text>,
    },
}

#[derive(Debug, Default)]
pub(super) struct Pending(BTreeMap<Tag, Asked>);

#[derive(Debug)]
struct Asked {
    waiting: Waiting,
    /// When it is given up; `None`: it has not left yet.
    until: Option<Now>,
}

type Answer = Result<Done, Failure>;

impl Pending {
    pub(super) fn add(&mut self, tag: Tag, waiting: Waiting) {
        self.0.insert(tag, Asked { waiting, until: None });
    }

    /// `false`: it is not pending any more.
    pub(super) fn forget(&mut self, tag: Tag) -> bool {
        self.0.remove(&tag).is_some()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// A request has left. Comes back: its answer, if that is all.
    pub(super) fn sent(&mut self, now: Now, patience: &Patience, tag: Tag) -> Option<(Tag, Answer)> {
        let asked = self.0.get_mut(&tag)?;
        let within = match &asked.waiting {
            Waiting::ToLeave(done) => {
                let done = done.clone();
                self.0.remove(&tag);
                return Some((tag, Ok(done)));
            }
            Waiting::Refusal { .. } | Waiting::Partly => REFUSAL_WITHIN,
            Waiting::Online | Waiting::Blocked(_) | Waiting::Unblocked(_) => patience.within,
            Waiting::Address { .. } => patience.answer_within,
        };
        asked.until = Some(now.saturating_add(within));
        None
    }

    /// Which request something answers, and how. With the text, if one is to be said at the address that was learnt.
    pub(super) fn answer(&mut self, heard: &Heard) -> Option<(Tag, Answer, Option<Text>)> {
        // A server may be faster than the news that a request has left.
        let (tag, answer) = self.0.iter().find_map(|(tag, asked)| Some((*tag, asked.waiting.answered_by(heard)?)))?;
        let asked = self.0.remove(&tag)?;
        let text = match asked.waiting {
            Waiting::Address { text, .. } => text,
            _ => None,
        };
        Some((tag, answer, text))
    }

    pub(super) fn poll_timeout(&self) -> Option<Now> {
        self.0.values().filter_map(|asked| asked.until).min()
    }

    /// The answers to those that have waited long enough.
    pub(super) fn overdue(&mut self, now: Now) -> Vec<(Tag, Answer)> {
        let is_overdue = |asked: &Asked| asked.until.is_some_and(|until| until <= now);
        let tags: Vec<Tag> = self.0.iter().filter(|(_, asked)| is_overdue(asked)).map(|(tag, _)| *tag).collect();
        tags.into_iter().filter_map(|tag| Some((tag, self.0.remove(&tag)?.waiting.unanswered()))).collect()
    }
}

impl Waiting {
    fn answered_by(&self, heard: &Heard) -> Option<Answer> {
        match (self, heard) {
            (Waiting::Refusal { to }, Heard::NotDelivered) => {
                Some(Err(Failure::new(Status::Refused, format!("not delivered: {to} has blocked you"))))
            }
            (Waiting::Refusal { to: user } | Waiting::Blocked(user), Heard::NoSuchUser) => Some(Err(no_such(user))),
            (Waiting::Address { user, .. }, Heard::NoSuchUser) => Some(Err(no_such(user))),
            (Waiting::Partly, Heard::PartlyDelivered) => Some(Ok(Done::PartlyDelivered)),
            (Waiting::Online, Heard::Online(users)) => Some(Ok(Done::Online(users.clone()))),
            (Waiting::Blocked(user), Heard::Blocked(other)) if user == other => Some(Ok(Done::Blocked(user.clone()))),
            (Waiting::Unblocked(user), Heard::Unblocked(other)) if user == other => {
                Some(Ok(Done::Unblocked(user.clone())))
            }
            (Waiting::Unblocked(user), Heard::NotBlocked(other)) if user == other => {
                Some(Err(Failure::new(Status::Refused, format!("you do not block {user}"))))
            }
            (Waiting::Address { user, .. }, Heard::Address { user: other, address }) if user == other => {
                Some(Ok(Done::Address { user: user.clone(), address: *address }))
            }
            (Waiting::Address { user, .. }, Heard::NoAddress(why)) => Some(Err(no_address(user, *why))),
            _ => None,
        }
    }

    fn unanswered(self) -> Answer {
        match self {
            Waiting::ToLeave(done) => Ok(done),
            Waiting::Refusal { .. } | Waiting::Partly => Ok(Done::HandedOver),
            Waiting::Online | Waiting::Blocked(_) | Waiting::Unblocked(_) => {
                let why = "no answer from the server in time: it may be done or not";
                Err(Failure::new(Status::NoServer, why))
            }
            Waiting::Address { user, .. } => {
                Err(Failure::new(Status::TryAgain, format!("{user} has not answered in time")))
            }
        }
    }
}

fn no_such(user: &UserName) -> Failure {
    Failure::new(Status::NoRecipient, format!("there is no user '{user}'"))
}
