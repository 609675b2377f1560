//! Log-ins with a digest in the place of the password, and sign-ups: all that the `datagram` protocol has.

use super::credentials::PasswordDigest;
use super::effect::{Outbox, Refusal};
use super::id::{ConnectionId, RequestId};
use super::name::UserName;
use super::time::Now;
use super::{Answered, Hub};

/// The tries whose digests are being derived.
#[derive(Debug, Default)]
pub struct DigestChecks {}

/// Somebody wants to log in.
#[derive(Debug)]
pub(super) struct DigestTry {
    pub connection: ConnectionId,
    pub id: Option<RequestId>,
    pub name: UserName,
}

impl Hub {
    /// A whole log-in.
    pub(super) fn log_in_by_digest(
        &mut self,
        _now: Now,
        _tried: DigestTry,
        _digest: PasswordDigest,
        _out: &mut Outbox,
    ) -> Answered {
        Answered::refuse(Refusal::NotAuthenticated)
    }
}
