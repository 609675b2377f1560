//! One try at reaching one address, without waiting for it.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use crate::net::socket::is_made;

/// How long one address may take to answer.
const ATTEMPT_MAX: Duration = Duration::from_secs(5);

pub(super) struct Attempt {
    stream: TcpStream,
    give_up_at: Instant,
}

impl Attempt {
    pub(super) fn begin(registry: &Registry, token: Token, address: SocketAddr) -> io::Result<Attempt> {
        let mut stream = TcpStream::connect(address)?;
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Attempt { stream, give_up_at: Instant::now() + ATTEMPT_MAX })
    }

    /// When it is no use to wait any longer.
    pub(super) fn give_up_at(&self) -> Instant {
        self.give_up_at
    }

    /// How it went; `None`: that is not clear yet. `stirred`: the poll has said something about it.
    pub(super) fn outcome(&mut self, stirred: bool) -> Option<io::Result<()>> {
        if let Ok(Some(error)) = self.stream.take_error() {
            return Some(Err(error));
        }
        if stirred {
            return match is_made(&self.stream) {
                Ok(made) => made.then_some(Ok(())),
                Err(error) => Some(Err(error)),
            };
        }
        (self.give_up_at <= Instant::now()).then(|| Err(ErrorKind::TimedOut.into()))
    }

    pub(super) fn into_stream(self) -> TcpStream {
        self.stream
    }
}

#[cfg(test)]
mod tests {
    use mio::Poll;

    use super::*;

    #[test]
    fn an_address_that_does_not_answer_is_given_up() {
        let poll = Poll::new().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut attempt = Attempt::begin(poll.registry(), Token(0), listener.local_addr().unwrap()).unwrap();
        assert!(attempt.outcome(false).is_none(), "nobody has said anything about it");
        assert!(attempt.give_up_at() <= Instant::now() + ATTEMPT_MAX);
        attempt.give_up_at = Instant::now();
        let outcome = attempt.outcome(false);
        assert!(matches!(&outcome, Some(Err(error)) if error.kind() == ErrorKind::TimedOut), "{outcome:?}");
    }
}
