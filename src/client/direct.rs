//! Joins the conversations without the server with what carries them: the session for the questions, the link for the rest.
//!
//! Decides nothing: the rules are in `peers`, the sockets in net.

use std::collections::BTreeMap;

use super::core::{Done, Now, Request, Session, Tag};
use super::exit::{Failure, Status};
use super::peers::{Action, PeerNews, Peers};
use crate::net::link::Link;
use crate::net::link::peers::{PeerHappening, PeerId, PeerIdentity};
use crate::wire::native::client::Problem;
use crate::wire::{Offer, PeerPort, Text, UserName};

/// The conversations of one session.
#[derive(Default)]
pub struct Direct {
    pub peers: Peers,
    /// Made when it is needed first, and for this run only: nobody can tell that two runs are the same person's.
    identity: Option<PeerIdentity>,
    /// Questions that `peers` wanted asked.
    asks: BTreeMap<Tag, UserName>,
    consents: BTreeMap<Tag, UserName>,
    /// The question which yeses still hold.
    review: Option<Tag>,
    /// Texts that go through the server after all.
    delivering: BTreeMap<Tag, (UserName, Text)>,
}

impl Direct {
    /// The session is logged in (again). Another device may have taken back a yes meanwhile.
    pub fn logged_in(&mut self, now: Now, session: &mut Session, you: &UserName) {
        self.peers.logged_in(now, you);
        if let Some(tag) = self.review.take() {
            session.forget(tag);
        }
        if self.peers.expects_anybody() {
            // Where too much is without an answer it is asked at the next log-in.
            self.review = ask(session, Request::Privacy).ok();
        }
    }

    /// The certificate that we show; made now if there is none.
    pub fn identity(&mut self) -> Result<&PeerIdentity, Failure> {
        if self.identity.is_none() {
            let made = PeerIdentity::new().map_err(|error| {
                Failure::new(Status::NoServer, format!("a key for private conversations can't be made: {error}"))
            })?;
            self.identity = Some(made);
        }
        self.identity.as_ref().ok_or_else(|| Failure::new(Status::NoServer, "there is no key"))
    }

    /// The certificate that we show, if there is one already.
    pub fn made(&self) -> Option<&PeerIdentity> {
        self.identity.as_ref()
    }

    /// Asks where a user is.
    pub fn ask_address(&mut self, session: &mut Session, user: UserName) -> Result<Tag, Failure> {
        let certificate = self.identity()?.fingerprint();
        ask(session, Request::AskAddress { user, certificate })
    }

    /// Answers whoever asks where we are. A yes opens a socket for them, at `address`, where the server sees us.
    pub fn consent(
        &mut self,
        now: Now,
        link: &mut Link,
        session: &mut Session,
        user: UserName,
        yes: bool,
    ) -> Result<Tag, Failure> {
        // For some nobody waits any more.
        self.consents.retain(|tag, _| session.awaits(*tag));
        if self.consents.values().any(|other| *other == user) {
            let why = format!("your answer to {user} is on its way already");
            return Err(Failure::new(Status::TryAgain, why));
        }
        if !yes {
            return ask(session, Request::Consent { user, offer: None });
        }
        self.peers.expect(now, &user)?;
        self.carry_out(now, link, session);
        let asked = self.offer(link).and_then(|offer| {
            let tag = ask(session, Request::Consent { user: user.clone(), offer: Some(offer) })?;
            self.consents.insert(tag, user.clone());
            Ok(tag)
        });
        asked.inspect_err(|_| self.peers.not_consented(&user))
    }

    fn offer(&mut self, link: &mut Link) -> Result<Offer, Failure> {
        let not_now = |why: String| Failure::new(Status::NoServer, why);
        let address = link.local_address();
        let address = address.ok_or_else(|| not_now("not connected now: answer when the server is back".to_owned()))?;
        let identity = self.identity()?;
        let certificate = identity.fingerprint();
        let port = link
            .listen_for_peers(address, identity)
            .map_err(|error| not_now(format!("can't listen at {} for private conversations: {error}", address.ip())))?;
        let port = PeerPort::parse(port.into()).ok_or_else(|| not_now(format!("port {port} is too low")))?;
        Ok(Offer::Encrypted { port, certificate })
    }

    /// Sends what could not be said privately through the server. Comes back: what was sent.
    pub fn deliver(
        &mut self,
        session: &mut Session,
        user: &UserName,
        receipt: bool,
    ) -> Result<Vec<(Tag, Text)>, Failure> {
        let texts = self.peers.take_held(user);
        if texts.is_empty() {
            return Err(Failure::usage(format_args!("there is nothing for {user} that could not be said")));
        }
        let mut sent = Vec::new();
        for text in texts {
            match ask(session, Request::Message { to: user.clone(), text: text.clone(), receipt }) {
                Ok(tag) => {
                    self.delivering.insert(tag, (user.clone(), text.clone()));
                    sent.push((tag, text));
                }
                Err(_) => self.peers.hold(user, text),
            }
        }
        Ok(sent)
    }

    /// Nobody waits for the answers to these any more, so nobody knows what has become of the texts.
    pub fn keep_undelivered(&mut self, tags: &[Tag]) {
        for tag in tags {
            if let Some((user, text)) = self.delivering.remove(tag) {
                self.peers.hold(&user, text);
            }
        }
    }

    /// The answer to a request. `true`: the driver's caller has not asked for it.
    pub fn answered(&mut self, now: Now, tag: Tag, answer: &Result<Done, Problem>) -> bool {
        if self.review == Some(tag) {
            self.review = None;
            if let Ok(Done::Privacy(list)) = answer {
                let is_on_its_way = |user: &UserName| self.consents.values().any(|other| other == user);
                let stands = |user: &UserName| list.consents.iter().any(|pending| pending.user == *user);
                self.peers.review(now, |user| stands(user) || is_on_its_way(user));
            }
            return true;
        }
        if let Some(user) = self.asks.remove(&tag) {
            match answer {
                Ok(Done::Asked { answer_within, .. }) => self.peers.asked(now, &user, *answer_within),
                Ok(_) => {}
                Err(problem) => self.peers.not_asked(&user, problem),
            }
            return true;
        }
        if let Some(user) = self.consents.remove(&tag)
            && answer.is_err()
        {
            self.peers.not_consented(&user);
        }
        if let Some((user, text)) = self.delivering.remove(&tag)
            && answer.is_err()
        {
            self.peers.hold(&user, text);
        }
        match answer {
            Ok(Done::Consented { user, certificate, connect_within, .. }) => {
                self.peers.consented(now, user, *certificate, *connect_within);
            }
            Ok(Done::Declined(user)) => self.peers.declined(user),
            Ok(Done::Blocked(user)) => self.peers.blocked(user),
            // A yes that was on its way when it was taken back has been confirmed since.
            Ok(Done::Revoked(user)) => self.peers.revoke(user),
            _ => {}
        }
        false
    }

    /// Something happened to a connection.
    pub fn happened(&mut self, now: Now, id: PeerId, what: PeerHappening) {
        match what {
            PeerHappening::Up { certificate, dialled, .. } => self.peers.up(now, id, certificate, dialled),
            PeerHappening::Bytes(bytes) => self.peers.received(id, &bytes),
            PeerHappening::Gone(why) => self.peers.gone(now, id, &why),
        }
    }

    /// Does what the conversations want done. What they had to tell must have been shown.
    pub fn carry_out(&mut self, now: Now, link: &mut Link, session: &mut Session) {
        self.peers.tick(now);
        while let Some(action) = self.peers.next_action() {
            match action {
                Action::Ask(user) => match self.ask_address(session, user.clone()) {
                    Ok(tag) => _ = self.asks.insert(tag, user),
                    Err(why) => self.peers.can_not_ask(&user, why),
                },
                Action::Expect(certificate) => link.expect_peer(certificate),
                Action::ExpectNoLonger(certificate) => link.expect_peer_no_longer(certificate),
                Action::StopListening => link.stop_listening_for_peers(),
                Action::Dial { user, address, certificate } => match self.identity() {
                    Ok(identity) => {
                        let id = link.dial_peer(address, certificate, identity);
                        self.peers.dialling(&user, id);
                    }
                    Err(why) => self.peers.can_not_ask(&user, why),
                },
                Action::Send(id, bytes) => {
                    if !link.send_to_peer(id, &bytes) {
                        self.peers.overflowed(id);
                    }
                }
                Action::Close(id) => link.close_peer(id),
            }
        }
    }

    pub fn next_news(&mut self) -> Option<PeerNews> {
        self.peers.next_news()
    }
}

fn ask(session: &mut Session, request: Request) -> Result<Tag, Failure> {
    session.ask(request).map_err(|_| Failure::new(Status::TryAgain, "too much is without an answer"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::client::core::Login;
    use crate::wire::native::client::News;
    use crate::wire::{Fingerprint, Pending, PrivacyList};

    const NOW: Now = Duration::from_secs(1000);
    const WITHIN: Duration = Duration::from_secs(600);

    #[test]
    fn a_yes_that_is_taken_back_while_it_is_on_its_way_lets_nobody_in() {
        let (alice, certificate) = (UserName::parse("alice").unwrap(), Fingerprint([1; Fingerprint::BYTES]));
        let mut direct = Direct::default();
        direct.peers.news(NOW, &News::Asks { user: alice.clone(), certificate, answer_within: WITHIN });
        assert!(direct.peers.expect(NOW, &alice).is_ok());
        direct.peers.revoke(&alice);
        // The server has got both, one after the other.
        let address = [10, 0, 0, 1].into();
        let consented = Done::Consented { user: alice.clone(), address, certificate, connect_within: WITHIN };
        direct.answered(NOW, Tag(1), &Ok(consented));
        direct.answered(NOW, Tag(2), &Ok(Done::Revoked(alice)));
        assert_eq!(direct.peers.standing(NOW).expected, []);
    }

    fn session() -> Session {
        let (user, heartbeat) = (UserName::parse("bob").unwrap(), Duration::from_secs(30));
        Session::new(Login { user, password: None, device: None, heartbeat })
    }

    /// Bob, who has said yes to these, and whose session has come back.
    fn come_back(session: &mut Session, users: &[&UserName]) -> (Direct, Tag) {
        let mut direct = Direct::default();
        direct.logged_in(NOW, session, &UserName::parse("bob").unwrap());
        assert_eq!(direct.review, None, "nobody may come");
        for (n, user) in (1..).zip(users) {
            direct.peers.consented(NOW, user, Fingerprint([n; Fingerprint::BYTES]), WITHIN);
        }
        direct.logged_in(NOW, session, &UserName::parse("bob").unwrap());
        let tag = direct.review.unwrap();
        (direct, tag)
    }

    #[test]
    fn a_yes_that_another_device_took_back_meanwhile_lets_nobody_in() {
        let [alice, carol, dave] = ["alice", "carol", "dave"].map(|name| UserName::parse(name).unwrap());
        let mut session = session();
        let (mut direct, tag) = come_back(&mut session, &[&alice, &carol, &dave]);
        // Dave has asked again, and another yes is on its way.
        direct.consents.insert(Tag(99), dave.clone());
        let list =
            PrivacyList { consents: vec![Pending { user: carol.clone(), left: WITHIN }], ..PrivacyList::default() };
        assert!(direct.answered(NOW, tag, &Ok(Done::Privacy(list))), "nobody has asked for it");
        assert_eq!(direct.peers.standing(NOW).expected, [(carol, WITHIN), (dave, WITHIN)]);
        // What ends by itself in a moment need not be known to the server any more.
        let (mut direct, tag) = come_back(&mut session, &[&alice]);
        direct.answered(NOW + WITHIN - Duration::from_secs(1), tag, &Ok(Done::Privacy(PrivacyList::default())));
        assert!(direct.peers.expects_anybody());
    }

    #[test]
    fn an_answer_that_nobody_waits_for_is_not_on_its_way() {
        let alice = UserName::parse("alice").unwrap();
        let (mut direct, mut link, mut session) = (Direct::default(), Link::new().unwrap(), session());
        let tag = session.ask(Request::Privacy).unwrap();
        direct.consents.insert(tag, alice.clone());
        assert!(direct.consent(NOW, &mut link, &mut session, alice.clone(), false).is_err());
        session.forget(tag);
        assert!(direct.consent(NOW, &mut link, &mut session, alice, false).is_ok());
    }
}
