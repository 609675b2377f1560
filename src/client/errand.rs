//! An account's exchange (`account`) on its way: a connection of its own, and, beside a session, a thread of its own.

use std::io;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rand::Rng;
use rand::rngs::StdRng;

use super::account::{Exchange, Happening, Purpose, Task};
use super::connection::{Heard, Target};
use super::core as session;
use super::exit::{Failure, Status};
use super::trust::Trust;
use crate::net::link::{self, Bell, Link};
use crate::wire::Fingerprint;
use crate::wire::{Password, UserName};

/// Does a task from beginning to end. `note`: for what people are to know, before it goes on.
pub fn run(
    server: &Target,
    trust: &Trust,
    task: Task,
    within: Duration,
    rng: &mut StdRng,
    mut note: impl FnMut(String),
) -> Result<(), Failure> {
    let mut nonces = [[0; 18]; 2];
    nonces.iter_mut().for_each(|nonce| rng.fill_bytes(nonce));
    let mut task = Some(task);
    let mut under_way: Option<(Exchange, Fingerprint)> = None;
    converse(server, trust, within, |link, happening| {
        match happening {
            link::Happening::Connected(Some(secured)) => {
                if let Some(task) = task.take() {
                    under_way = Some((Exchange::new(task, nonces, secured.binding), secured.certificate));
                }
            }
            link::Happening::Bytes(bytes) => {
                if let Some((exchange, _)) = &mut under_way {
                    exchange.received(&bytes);
                }
            }
            _ => {}
        }
        let (exchange, certificate) = under_way.as_mut()?;
        while let Some(happening) = exchange.next_happening() {
            match happening {
                Happening::Proved => trust.proved(*certificate).into_iter().for_each(&mut note),
                Happening::Over(result) => return Some(result),
            }
        }
        link.send(&exchange.take_output());
        None
    })
}

/// Looks at the certificate that the server shows. From then on `trust` takes no other.
pub fn look(server: &Target, trust: &Trust, within: Duration) -> Result<Fingerprint, Failure> {
    converse(server, trust, within, |_, happening| match happening {
        link::Happening::Connected(Some(secured)) => {
            trust.tls().pin(secured.certificate);
            Some(Ok(secured.certificate))
        }
        _ => None,
    })
}

/// Connects, and tells `hear` what happens until it has a result.
fn converse<T>(
    server: &Target,
    trust: &Trust,
    within: Duration,
    mut hear: impl FnMut(&mut Link, link::Happening) -> Option<Result<T, Failure>>,
) -> Result<T, Failure> {
    let refused = |error: io::Error| Failure::new(Status::NoServer, format!("the system refuses: {error}"));
    let mut link = Link::new().map_err(refused)?;
    let until = Instant::now() + within;
    link.connect(server.resolve()?, Some(trust.tls()));
    while Instant::now() < until {
        for happening in link.turn(Some(until)).map_err(refused)? {
            if let link::Happening::Closed(gone) = happening {
                return Err(server.explain(gone, Some(trust)));
            }
            if let Some(result) = hear(&mut link, happening) {
                link.close();
                return result;
            }
        }
    }
    let text = format!("no answer from the server within {} s", within.as_secs_f64());
    Err(Failure::new(Status::NoServer, text))
}

/// A change of password beside a session, whose connection the server ends when it is done.
pub struct Change {
    pub new: Password,
    progress: Receiver<Progress>,
    /// Why the session is without a connection meanwhile; it is judged when the change is over.
    pub held: Option<Failure>,
}

/// What a change tells.
pub enum Progress {
    Note(String),
    Over(Result<(), Failure>),
}

/// A person's two passwords.
#[derive(Clone, Debug)]
pub struct Passwords {
    pub old: Password,
    pub new: Password,
}

impl Change {
    /// Begins; the bell rings whenever there is something to take.
    pub fn begin(
        server: Target,
        trust: Trust,
        user: UserName,
        passwords: Passwords,
        within: Duration,
        mut rng: StdRng,
        bell: Bell,
    ) -> Change {
        let Passwords { old, new } = passwords;
        let task = Task { user, password: old, purpose: Purpose::ChangePassword(new.clone()) };
        let (sender, progress) = channel();
        thread::spawn(move || {
            // Whoever has gone away does not want to know.
            let tell = |progress| {
                let _ = sender.send(progress);
                bell.ring();
            };
            let result = run(&server, &trust, task, within, &mut rng, |text| tell(Progress::Note(text)));
            tell(Progress::Over(result));
        });
        Change { new, progress, held: None }
    }

    /// Keeps back that the session is without a connection, until the change is over.
    pub fn hold(&mut self, heard: Heard) -> Option<Heard> {
        self.held = Some(match heard {
            Heard::Lost(why) => why,
            Heard::Session(session::Happening::End(end)) => match Failure::end(&end) {
                Some(why) => why,
                None => return Some(Heard::Session(session::Happening::End(end))),
            },
            Heard::Session(session::Happening::Closing { reason, text }) => Failure::closing(reason, &text),
            other => return Some(other),
        });
        None
    }

    /// What there is to tell, if there is something.
    pub fn next(&self) -> Option<Progress> {
        match self.progress.try_recv() {
            Ok(progress) => Some(progress),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => {
                let why = Failure::new(Status::NoServer, "the change of the password broke off: it may be done or not");
                Some(Progress::Over(Err(why)))
            }
        }
    }
}
