//! The session's way to the server: joins the pure core with a link, the clock, the device's file and chance.
//!
//! It does what the core asks of its driver, in the order that the core asks for. Whether to come back after a loss is
//! for the caller to decide.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

use super::command;
use super::core::{Device, Happening, Login, Now, Session, Tag};
use super::direct::Direct;
use super::errand::{Change, Passwords};
use super::exit::{Failure, Status};
use super::peers::{PeerNews, Stand, Standing};
use super::render;
use super::state::DeviceFile;
use super::trust::Trust;
use crate::net::link::{self, Bell, Gone, Link};
use crate::wire::Fingerprint;
use crate::wire::{Password, Text, UserName};

/// The pause before the first try to come back; each further one is twice as long,
const PAUSE_MIN: Duration = Duration::from_millis(500);
/// up to this.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Where the server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub host: String,
    pub port: u16,
}

/// What a turn brought.
#[derive(Debug)]
pub enum Heard {
    Session(Happening),
    /// There is no connection (any more), and why, for people. Whoever is `Refused` must not come back by itself.
    Lost(Failure),
    /// Something for people to know; told once.
    Note(String),
    /// Of a conversation without the server.
    Private(PeerNews),
    /// Somebody rang the bell.
    Woken,
}

/// A session and the connection that it has, or will have.
pub struct Connection {
    pub session: Session,
    target: Target,
    /// `None`: nothing is encrypted.
    trust: Option<Trust>,
    /// What the server shows on the connection that is there.
    certificate: Option<Fingerprint>,
    link: Link,
    /// Conversations without the server.
    direct: Direct,
    epoch: Instant,
    rng: StdRng,
    file: Option<DeviceFile>,
    tries: u32,
    dial_at: Option<Instant>,
}

impl Connection {
    /// `trust`: without it nothing is encrypted. `file`: where the device is kept.
    pub fn new(
        target: Target,
        trust: Option<Trust>,
        login: Login,
        file: Option<DeviceFile>,
        rng: StdRng,
    ) -> io::Result<Connection> {
        Ok(Connection {
            session: Session::new(login),
            target,
            trust,
            certificate: None,
            link: Link::new()?,
            direct: Direct::default(),
            epoch: Instant::now(),
            rng,
            file,
            tries: 0,
            dial_at: None,
        })
    }

    pub fn bell(&self) -> Bell {
        self.link.bell()
    }

    pub fn now(&self) -> Now {
        self.epoch.elapsed()
    }

    /// Dials in the next turn.
    pub fn dial(&mut self) {
        self.dial_at = Some(Instant::now());
    }

    /// Dials after a pause, which grows with each try that does not end in a log-in.
    pub fn dial_later(&mut self) {
        let longest = PAUSE_MIN.saturating_mul(2u32.saturating_pow(self.tries)).min(PAUSE_MAX);
        self.tries = self.tries.saturating_add(1);
        // Not all clients of a server that restarts are to come at once.
        let pause = longest.mul_f64(self.rng.random_range(0.5..1.0));
        self.dial_at = Some(Instant::now() + pause);
    }

    /// Keeps what is to be kept, sends what is to be sent, and waits for something to happen, at most until `until`. What
    /// earlier turns brought must have been shown.
    pub fn turn(&mut self, until: Option<Now>) -> io::Result<Vec<Heard>> {
        let mut heard: Vec<Heard> = self.keep().map(Heard::Note).into_iter().collect();
        self.direct.carry_out(self.now(), &mut self.link, &mut self.session);
        self.link.send(&self.session.take_output());
        self.tell(&mut heard);
        if !heard.is_empty() {
            return Ok(heard);
        }
        if self.dial_at.is_some_and(|at| at <= Instant::now()) {
            self.dial_at = None;
            match self.target.resolve() {
                Ok(addresses) => self.link.connect(addresses, self.trust.as_ref().map(Trust::tls)),
                Err(why) => {
                    heard.push(Heard::Lost(why));
                    return Ok(heard);
                }
            }
        }
        let core = [until, self.session.poll_timeout(), self.direct.peers.poll_timeout()].into_iter().flatten();
        let deadline = core.filter_map(|at| instant(self.epoch, at)).chain(self.dial_at).min();
        let happenings = self.link.turn(deadline)?;
        let now = self.now();
        for happening in happenings {
            match happening {
                link::Happening::Connected(secured) => {
                    let is_here = self.link.local_address().is_some_and(|address| address.ip().is_loopback());
                    self.direct.peers.connected(is_here);
                    let mut nonces = [[0; 18]; 2];
                    nonces.iter_mut().for_each(|nonce| self.rng.fill_bytes(nonce));
                    self.certificate = secured.as_ref().map(|secured| secured.certificate);
                    self.session.connected(now, nonces, secured.map(|secured| secured.binding));
                }
                link::Happening::Bytes(bytes) => self.session.received(now, &bytes),
                link::Happening::Closed(gone) => {
                    self.tell(&mut heard);
                    self.session.disconnected();
                    heard.push(Heard::Lost(self.target.explain(gone, self.trust.as_ref())));
                }
                link::Happening::Peer(id, what) => self.direct.happened(now, id, what),
                link::Happening::Knocked { from, why, untold } => {
                    heard.push(Heard::Note(render::knocked(from, &why, untold)));
                }
                link::Happening::Woken => heard.push(Heard::Woken),
                // Connections for one message are the classic protocols'.
                link::Happening::Parcel { .. }
                | link::Happening::ParcelSent(..)
                | link::Happening::Datagram(_)
                | link::Happening::Unheard(_) => {}
            }
            self.tell(&mut heard);
        }
        self.session.tick(now);
        self.tell(&mut heard);
        Ok(heard)
    }

    /// Whether everything is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.trust.is_some()
    }

    /// Begins to change the password, on another connection; `None`: it would not be encrypted.
    pub fn change_password(&mut self, user: UserName, passwords: Passwords, within: Duration) -> Option<Change> {
        let trust = self.trust.clone()?;
        let (server, bell) = (self.target.clone(), self.bell());
        Some(Change::begin(server, trust, user, passwords, within, self.rng.fork(), bell))
    }

    /// The password was changed: logs in anew with it.
    pub fn password_changed(&mut self, new: &Password) {
        self.session.password_changed(new.as_str().to_owned());
        self.dial();
    }

    /// Keeps the device, if there is something new to keep. Comes back: why it can't be.
    pub fn keep(&mut self) -> Option<String> {
        let device = self.session.take_memory()?;
        let file = self.file.take()?;
        match file.keep(&device) {
            Ok(()) => {
                self.file = Some(file);
                None
            }
            Err(error) => Some(format!("can't write {}: {error}; going on without it", file.path().display())),
        }
    }

    /// Says `text` to `user` without the server; without a text only the conversation comes about.
    pub fn say_privately(&mut self, user: &UserName, text: Option<Text>) -> Result<(), Failure> {
        self.needs_encryption()?;
        if *user == *self.session.user() {
            return Err(Failure::usage("a private conversation needs somebody else"));
        }
        self.direct.peers.say(self.now(), user, text)
    }

    /// Ends the conversation with `user`, or the try to have one. `false`: there is none.
    pub fn end_private(&mut self, user: &UserName) -> bool {
        self.direct.peers.end(user)
    }

    /// The same, for another reason than that our user wants it.
    pub fn give_up_private(&mut self, user: &UserName, why: Failure) {
        self.direct.peers.give_up(user, why);
    }

    /// Ends all of them.
    pub fn end_all_private(&mut self) {
        self.direct.peers.close();
    }

    /// Asks where a user is.
    pub fn ask_address(&mut self, user: UserName) -> Result<Tag, Failure> {
        self.needs_encryption()?;
        self.direct.ask_address(&mut self.session, user)
    }

    /// Answers whoever asks where we are.
    pub fn consent(&mut self, user: UserName, yes: bool) -> Result<Tag, Failure> {
        self.needs_encryption()?;
        let now = self.now();
        self.direct.consent(now, &mut self.link, &mut self.session, user, yes)
    }

    /// Whoever was let in by a yes is not any more. The server has to be told beside.
    pub fn revoke(&mut self, user: &UserName) {
        self.direct.peers.revoke(user);
    }

    /// Sends what could not be said to `user` privately through the server.
    pub fn deliver(&mut self, user: &UserName, receipt: bool) -> Result<Vec<(Tag, Text)>, Failure> {
        self.direct.deliver(&mut self.session, user, receipt)
    }

    /// How far a conversation with `user` has come, if there is one.
    pub fn private_stand(&self, user: &UserName) -> Option<Stand> {
        self.direct.peers.stand(user)
    }

    /// Nobody waits for these any more: what `deliver` wanted sent is kept.
    pub fn keep_undelivered(&mut self, tags: &[Tag]) {
        tags.iter().for_each(|tag| self.session.forget(*tag));
        self.direct.keep_undelivered(tags);
    }

    /// Whether `user` is talked to, or dialled.
    pub fn has_private_line(&self, user: &UserName) -> bool {
        self.direct.peers.has_line(user)
    }

    /// Whether the last words of some conversation are still on their way.
    pub fn is_saying_goodbye(&self) -> bool {
        self.link.peers_leaving() > 0
    }

    /// How private conversations stand, and the certificate that we show in them.
    pub fn private_standing(&self) -> (Standing, Option<Fingerprint>) {
        (self.direct.peers.standing(self.now()), self.direct.made().map(|identity| identity.fingerprint()))
    }

    fn needs_encryption(&self) -> Result<(), Failure> {
        match self.is_encrypted() {
            true => Ok(()),
            false => Err(Failure::usage(command::PRIVATE_NEEDS_TLS)),
        }
    }

    /// Takes the core's happenings; those that end the connection end it.
    fn tell(&mut self, heard: &mut Vec<Heard>) {
        let now = self.now();
        while let Some(happening) = self.session.next_happening() {
            // What comes of it is told behind it, and before what came later.
            self.tell_private(heard);
            match &happening {
                Happening::LoggedIn { user, .. } => self.direct.logged_in(now, &mut self.session, user),
                Happening::News(news) => self.direct.peers.news(now, news),
                Happening::Answered { tag, answer } if self.direct.answered(now, *tag, answer) => continue,
                _ => {}
            }
            match happening {
                Happening::LoggedIn { .. } => {
                    self.tries = 0;
                    let trust = self.trust.as_ref().zip(self.certificate);
                    heard.extend(trust.and_then(|(trust, shown)| trust.proved(shown)).map(Heard::Note));
                }
                Happening::End(_) | Happening::Closing { .. } => self.link.close(),
                _ => {}
            }
            heard.push(Heard::Session(happening));
        }
        self.tell_private(heard);
    }

    fn tell_private(&mut self, heard: &mut Vec<Heard>) {
        while let Some(news) = self.direct.next_news() {
            heard.push(Heard::Private(news));
        }
    }
}

impl Target {
    /// The addresses of the host.
    pub fn resolve(&self) -> Result<Vec<SocketAddr>, Failure> {
        match (self.host.as_str(), self.port).to_socket_addrs() {
            Ok(addresses) => Ok(addresses.collect()),
            Err(error) => {
                let text = format!("can't find the host '{}': {error}", self.host);
                Err(Failure::new(Status::NoServer, text))
            }
        }
    }

    /// Why there is no connection to it (any more), for people.
    pub fn explain(&self, gone: Gone, trust: Option<&Trust>) -> Failure {
        let Target { host, port } = self;
        let text = match (gone, trust) {
            (Gone::Unreachable(error), _) => {
                format!("can't reach {host} port {port}: {error}; is chatd running there?")
            }
            (Gone::Tls(failure), Some(trust)) => return trust.explain(&failure),
            (Gone::Tls(_) | Gone::Ended, _) => "the server closed the connection".to_owned(),
            (Gone::CutOff, _) => "the connection was cut off".to_owned(),
            (Gone::Broken(error), _) => format!("the connection broke: {error}"),
        };
        Failure::new(Status::NoServer, text)
    }
}

/// When the core's time `at` is; `None`: never. How far away it is may be a server's word.
fn instant(epoch: Instant, at: Now) -> Option<Instant> {
    epoch.checked_add(at)
}

/// The device that is kept in `file`, or a new one, which is kept there at once: a second chat that begins before the first
/// is logged in is the same device.
pub fn device(file: Option<&DeviceFile>, rng: &mut StdRng) -> Device {
    let load = || {
        file.and_then(|file| match file.load() {
            Ok(device) => device,
            Err(error) => {
                super::warn(&format!("can't read {}: {error}; beginning anew", file.path().display()));
                None
            }
        })
    };
    load().unwrap_or_else(|| {
        let mut id = [0; 16];
        rng.fill_bytes(&mut id);
        let device = Device { id: crate::wire::DeviceId::from_bytes(id), shown: None, token: None };
        match file.map(|file| file.keep_first(&device)) {
            // Somebody was faster, or what is there is damaged.
            Some(Err(error)) if error.kind() == io::ErrorKind::AlreadyExists => load().unwrap_or(device),
            // If it can't be kept, that is told after the log-in.
            _ => device,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_is_too_far_away_for_the_clock_never_comes() {
        let epoch = Instant::now();
        assert_eq!(instant(epoch, Duration::from_secs(5)), Some(epoch + Duration::from_secs(5)));
        // What a server says of a question: {"event":"asks",…,"seconds":18446744073709551615}.
        for at in [Duration::from_secs(u64::MAX), Duration::MAX] {
            assert_eq!(instant(epoch, at), None);
        }
    }
}
