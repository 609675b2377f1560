//! Two sides of conversations by their values, without a server and without sockets.

use super::*;

pub const NOW: Now = Duration::from_secs(1000);
pub const WITHIN: Duration = Duration::from_secs(600);

pub fn name(text: &str) -> UserName {
    UserName::parse(text).unwrap()
}

pub fn text(text: &str) -> Text {
    Text::parse(text).unwrap()
}

pub fn certificate(n: u8) -> Fingerprint {
    Fingerprint([n; Fingerprint::BYTES])
}

fn address() -> SocketAddr {
    "10.0.0.2:4000".parse().unwrap()
}

fn actions(peers: &mut Peers) -> Vec<Action> {
    std::iter::from_fn(|| peers.next_action()).collect()
}

fn news(peers: &mut Peers) -> Vec<PeerNews> {
    std::iter::from_fn(|| peers.next_news()).collect()
}

fn bytes(lines: &[PeerLine]) -> Vec<u8> {
    let mut out = Vec::new();
    lines.iter().for_each(|line| peer::encode(line, &mut out));
    out
}

fn says(number: u64, said: &str) -> PeerLine {
    PeerLine::Say { number, text: text(said) }
}

/// What the server tells whoever asked `user`.
fn yes_of(user: &str) -> News {
    News::Address { user: name(user), address: address(), certificate: certificate(2), connect_within: WITHIN }
}

/// Alice, who has said `texts` to bob and was let in.
fn alice_talking(texts: &[&str]) -> Peers {
    let mut alice = Peers::default();
    alice.logged_in(NOW, &name("alice"));
    alice.say(NOW, &name("bob"), None).unwrap();
    texts.iter().for_each(|said| alice.say(NOW, &name("bob"), Some(text(said))).unwrap());
    assert_eq!(actions(&mut alice), [Action::Ask(name("bob"))]);
    alice.asked(NOW, &name("bob"), Duration::from_secs(120));
    alice.news(NOW, &yes_of("bob"));
    let dial = Action::Dial { user: name("bob"), address: address(), certificate: certificate(2) };
    assert_eq!(actions(&mut alice), [dial]);
    alice.dialling(&name("bob"), PeerId(1));
    alice.up(NOW, PeerId(1), certificate(2), true);
    assert_eq!(actions(&mut alice), [], "whoever dials does not speak first");
    alice.received(PeerId(1), &bytes(&[PeerLine::Hello]));
    let asked = PeerNews::Asked { user: name("bob"), within: Duration::from_secs(120) };
    assert_eq!(news(&mut alice), [asked, PeerNews::Up { user: name("bob"), dialled: true }]);
    alice
}

/// Bob, who has said yes to alice and let her in.
fn bob_talking() -> Peers {
    let mut bob = Peers::default();
    bob.logged_in(NOW, &name("bob"));
    let asks = News::Asks { user: name("alice"), certificate: certificate(1), answer_within: Duration::from_secs(120) };
    bob.news(NOW, &asks);
    bob.expect(NOW, &name("alice")).unwrap();
    assert_eq!(actions(&mut bob), [Action::Expect(certificate(1))]);
    bob.consented(NOW, &name("alice"), certificate(1), WITHIN);
    bob.up(NOW, PeerId(7), certificate(1), false);
    assert_eq!(actions(&mut bob), [Action::Send(PeerId(7), bytes(&[PeerLine::Hello]))]);
    assert_eq!(news(&mut bob), [PeerNews::Up { user: name("alice"), dialled: false }]);
    bob
}

#[test]
fn what_is_said_is_told_in_order_and_confirmed_once_it_was_shown() {
    let mut alice = alice_talking(&["one", "two"]);
    let said = bytes(&[says(1, "one"), says(2, "two")]);
    assert_eq!(actions(&mut alice), [Action::Send(PeerId(1), said.clone())]);
    let mut bob = bob_talking();
    for byte in said.chunks(1) {
        bob.received(PeerId(7), byte);
    }
    let told = |said: &str| PeerNews::Said { user: name("alice"), text: text(said) };
    assert_eq!(news(&mut bob), [told("one"), told("two")]);
    let heard = |number| bytes(&[PeerLine::Heard { number }]);
    assert_eq!(actions(&mut bob), [Action::Send(PeerId(7), heard(1)), Action::Send(PeerId(7), heard(2))]);
    alice.received(PeerId(1), &heard(1));
    assert_eq!(news(&mut alice), [], "one of two");
    alice.received(PeerId(1), &heard(2));
    assert_eq!(news(&mut alice), [PeerNews::Heard { user: name("bob") }]);
}

#[test]
fn what_was_not_confirmed_when_it_ended_is_kept_and_not_sent_elsewhere() {
    let mut alice = alice_talking(&["one", "two"]);
    actions(&mut alice);
    alice.received(PeerId(1), &bytes(&[PeerLine::Heard { number: 1 }]));
    alice.gone(NOW, PeerId(1), &PeerGone::CutOff);
    let why = Failure::new(Status::NoServer, "the connection was cut off");
    let ended = PeerNews::Ended { user: name("bob"), why: why.text.clone() };
    assert_eq!(news(&mut alice), [PeerNews::NotSaid { user: name("bob"), texts: 1, why }, ended]);
    assert_eq!(actions(&mut alice), []);
    assert_eq!(alice.take_held(&name("bob")), [text("two")]);
    assert_eq!(alice.take_held(&name("bob")), []);
}

#[test]
fn only_who_was_let_in_gets_in_and_only_for_its_time() {
    let mut bob = bob_talking();
    bob.up(NOW, PeerId(8), certificate(3), false);
    assert_eq!(actions(&mut bob), [Action::Close(PeerId(8))], "a stranger");
    bob.tick(NOW + WITHIN);
    assert_eq!(actions(&mut bob), [Action::ExpectNoLonger(certificate(1)), Action::StopListening]);
    bob.up(NOW + WITHIN, PeerId(9), certificate(1), false);
    assert_eq!(actions(&mut bob), [Action::Close(PeerId(9))], "too late");
    assert_eq!(news(&mut bob), [], "the conversation that is up goes on");
    assert!(bob.expect(NOW, &name("carol")).is_none(), "she has not asked");
}

#[test]
fn a_yes_that_is_taken_back_ends_what_was_begun_with_it() {
    let mut bob = bob_talking();
    bob.revoke(&name("alice"));
    let bye = Action::Send(PeerId(7), bytes(&[PeerLine::Bye]));
    let closed = Action::Close(PeerId(7));
    assert_eq!(actions(&mut bob), [Action::ExpectNoLonger(certificate(1)), Action::StopListening, bye, closed]);
    let why = "you have taken back your yes".to_owned();
    assert_eq!(news(&mut bob), [PeerNews::Ended { user: name("alice"), why }]);
}

#[test]
fn if_both_dial_both_keep_the_same_connection() {
    // Alice has dialled bob (1), and he comes to her as well (2); the same at his end, where hers is 7 and his own 8.
    let asks = |user: &str, n| News::Asks {
        user: name(user),
        certificate: certificate(n),
        answer_within: Duration::from_secs(120),
    };
    let mut alice = alice_talking(&[]);
    alice.news(NOW, &asks("bob", 2));
    alice.expect(NOW, &name("bob")).unwrap();
    actions(&mut alice);
    alice.up(NOW, PeerId(2), certificate(2), false);
    assert_eq!(actions(&mut alice), [Action::Close(PeerId(2))]);
    assert_eq!(news(&mut alice), []);

    let mut bob = Peers::default();
    bob.logged_in(NOW, &name("bob"));
    bob.say(NOW, &name("alice"), Some(text("hi"))).unwrap();
    bob.news(NOW, &yes_of("alice"));
    bob.dialling(&name("alice"), PeerId(8));
    bob.news(NOW, &asks("alice", 1));
    bob.expect(NOW, &name("alice")).unwrap();
    actions(&mut bob);
    bob.up(NOW, PeerId(7), certificate(1), false);
    let (hello, hi) = (bytes(&[PeerLine::Hello]), bytes(&[says(1, "hi")]));
    let sent = [Action::Close(PeerId(8)), Action::Send(PeerId(7), hello), Action::Send(PeerId(7), hi)];
    assert_eq!(actions(&mut bob), sent);
    assert_eq!(news(&mut bob), [PeerNews::Up { user: name("alice"), dialled: false }]);
    bob.gone(NOW, PeerId(8), &PeerGone::Refused);
    assert_eq!(news(&mut bob), []);
}

#[test]
fn a_no_is_told_with_what_can_be_done() {
    let mut alice = Peers::default();
    alice.say(NOW, &name("bob"), Some(text("hi"))).unwrap();
    alice.news(NOW, &News::NoAddress { user: name("bob"), reason: "no".to_owned() });
    let why = Failure::new(Status::Refused, "no address of bob: the answer is no");
    assert_eq!(news(&mut alice), [PeerNews::NotSaid { user: name("bob"), texts: 1, why }]);
    assert_eq!(alice.standing(NOW).held, [(name("bob"), 1)]);
}
