//! What people are told, where a protocol has no word of its own for it: one sentence each, for all protocols.

use std::fmt::Display;

use crate::hub::effect::{CloseReason, Refusal};
use crate::hub::name::UserName;
use crate::wire::Farewell;

/// Who speaks where the server itself says something; nobody can be called so.
pub(in crate::wire) const SERVER: &str = "server";

/// Why a request was not done.
pub(in crate::wire) fn refusal(refusal: &Refusal) -> String {
    let text = match refusal {
        Refusal::LogInFirst => "log in first",
        Refusal::AlreadyLoggedIn => "this connection is logged in already, or a log-in is under way",
        Refusal::NoChallenge => "there is no challenge to answer: begin with 'log-in'",
        Refusal::NoDevice => "this needs a log-in that names a device",
        Refusal::NotAuthenticated
        | Refusal::UnknownName
        | Refusal::WrongPassword
        | Refusal::LockedOutNow
        | Refusal::LockedOut => "wrong name or password, or too many wrong tries: wait a minute after three",
        Refusal::NotByThisProtocol => {
            "this protocol can't check the password of your account: ask the operator for a --classic one"
        }
        Refusal::TokenRefused => "the resume token is not valid any more: log in with the password",
        Refusal::SomebodyInBetween => {
            "the password is right, but was not meant for this connection: somebody is in between"
        }
        Refusal::TooManyGuests => "the server has no room for more guests",
        Refusal::Unfit(why) => return why.to_string(),
        Refusal::TooManySessions => {
            "too many commands of yours are logged in at a time: end some of them, or wait until they have ended"
        }
        Refusal::NeedsTls => "this needs an encrypted connection",
        Refusal::OperatorOnly => "only the operator may do this, with 'chatd user'",
        Refusal::NoSignUp => "nobody can sign up from your address: ask the operator for an account",
        Refusal::NameTaken(name) => return format!("the name {name} is taken"),
        Refusal::InFile(name) => {
            return format!("the account {name} stands in the operator's file, and is changed there");
        }
        Refusal::TooManyAccounts => "the server has no room for more accounts",
        Refusal::PasswordFirst => "this session began without the password: log in with it to change it",
        Refusal::PasswordIsKept => {
            "this account is for classic clients: the server keeps its password, and the operator changes it"
        }
        Refusal::NoSealingKey => "the server has no key to seal passwords with: it runs without a data directory",
        Refusal::NoSuchUser(name) => return no_such_user(name),
        Refusal::BlockedBy(name) => return format!("{name} has blocked you"),
        Refusal::NotBlocked(name) => return format!("{name} is not blocked"),
        Refusal::TooManyBlocked => "your block list is full: unblock somebody first",
        Refusal::CannotBlockYourself => "you can't block yourself",
        Refusal::CannotAskYourself => "your own address is no secret from you",
        Refusal::BlockedByYou(name) => {
            return format!("you have blocked {name}, who would learn your address: unblock first");
        }
        Refusal::Offline(name) => return format!("{name} is offline: ask when they are there"),
        Refusal::CannotBeAsked(name) => {
            return format!("{name} is here without encryption, and can't be asked for an address");
        }
        Refusal::Busy(name) => return format!("somebody else is asking {name}: try again in a moment"),
        Refusal::AlreadyAsked(name) => return format!("{name} has your question already"),
        Refusal::AskedLately(name) => return format!("{name} did not say yes: ask again in a minute"),
        Refusal::TooManyQuestions => "you are waiting for too many answers already",
        Refusal::NotAsked(name) => return format!("{name} is not asking you, or no longer"),
        Refusal::TooManyConsents => "you have said yes to too many: revoke one first",
        Refusal::NotConsented(name) => return format!("there is no yes of yours for {name}"),
        Refusal::Unreachable(name) => {
            return format!("{name} can't be reached for a chat: they are not online, or in one, or have blocked you");
        }
        Refusal::NotInChat => "you are in no chat: begin one first",
        Refusal::QueueFull(name) => {
            return format!("too much waits for {name} already: try again when they have been online");
        }
        Refusal::TooFast { .. } => "you are sending too fast: nothing was done, send it again after the time",
        Refusal::OutOfTurn { first } => {
            return format!("the send with the counter {first} was too fast: send it again before this one");
        }
        Refusal::Conflict => "this counter was used for another message",
        Refusal::CounterTooOld => "this counter is too far behind to be remembered",
        Refusal::NotStored => "the server can't write to its disk: nothing was done, try again later",
        Refusal::HistoryUnavailable => "the server can't read its history now: try again later",
        Refusal::ShuttingDown => "the server stops",
    };
    text.to_owned()
}

/// Nobody is called so, or can be.
pub(in crate::wire) fn no_such_user(name: &impl Display) -> String {
    format!("there is no user {name}")
}

/// Why the server ends a connection.
pub(in crate::wire) fn closing(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::Displaced => "this device has logged in again elsewhere",
        CloseReason::Shutdown => "the server stops",
        CloseReason::HeartbeatMissed => "the server has heard nothing for too long",
        CloseReason::AccountChanged => "the account or its password was changed; log in again",
        CloseReason::Kicked => "the operator has ended this session",
        CloseReason::LogInsFailed => "too many log-ins have failed on this connection: connect again for another try",
    }
}

/// Why a connection ends before anybody has logged in on it.
pub(in crate::wire) fn farewell(farewell: Farewell) -> &'static str {
    match farewell {
        Farewell::TooSlow => "nobody logged in in time",
        Farewell::TooMuch => "too much was sent before the log-in",
        Farewell::TooMany => "too many connections wait for a log-in here: try again in a moment",
        Farewell::Full => "the server has no room for more sessions: try again later",
        Farewell::OutOfScope => "unencrypted connections are not served to your address: use TLS",
    }
}

/// At least so many messages were too many to be kept.
pub(in crate::wire) fn missed(count: u64) -> String {
    format!("missed {count}: too many messages came while you were away")
}

/// The user has taken back a yes.
pub(in crate::wire) fn revoked(user: &UserName) -> String {
    format!("{user} has taken back the yes")
}
