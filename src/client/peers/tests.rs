//! Two sides of conversations by their values, without a server and without sockets.

use std::io;

use super::*;

pub const NOW: Now = Duration::from_secs(1000);
pub const WITHIN: Duration = Duration::from_secs(600);

pub fn name(text: &str) -> UserName {
    UserName::parse(text).unwrap()
}

pub fn text(text: &str) -> Text {
    Text::parse(text).unwrap()
}

fn hello(from: &str, to: &str) -> PeerLine {
    PeerLine::Hello { from: name(from), to: name(to) }
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
    alice.received(PeerId(1), &bytes(&[hello("bob", "alice")]));
    let asked = PeerNews::Asked { user: name("bob"), within: Duration::from_secs(120) };
    assert_eq!(news(&mut alice), [asked, PeerNews::Up { user: name("bob"), dialled: true }]);
    alice
}

/// Alice, who has something to say to bob, and dials him.
fn dialling() -> Peers {
    let mut alice = Peers::default();
    alice.logged_in(NOW, &name("alice"));
    alice.say(NOW, &name("bob"), Some(text("hi"))).unwrap();
    alice.news(NOW, &yes_of("bob"));
    alice.dialling(&name("bob"), PeerId(1));
    actions(&mut alice);
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
    assert_eq!(actions(&mut bob), [Action::Send(PeerId(7), bytes(&[hello("bob", "alice")]))]);
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
    assert!(bob.expect(NOW, &name("carol")).is_err(), "she has not asked");
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
    let (hello, hi) = (bytes(&[hello("bob", "alice")]), bytes(&[says(1, "hi")]));
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

/// What a conversation is told to do with a line that does not fit: it ends.
#[track_caller]
fn ends_it(mut peers: Peers, id: PeerId, bytes: &[u8], why: &str) {
    actions(&mut peers);
    peers.received(id, bytes);
    let closed = actions(&mut peers);
    assert_eq!(closed, [Action::Close(id)], "{}", String::from_utf8_lossy(bytes));
    let Some(PeerNews::Ended { why: told, .. }) = news(&mut peers).pop() else { panic!("it goes on") };
    assert_eq!(told, why);
}

#[test]
fn what_does_not_fit_ends_it() {
    let senseless = [
        says(0, "none"),
        says(2, "the second first"),
        hello("bob", "alice"),
        PeerLine::Heard { number: 0 },
        PeerLine::Heard { number: 1 },
        PeerLine::Heard { number: u64::MAX },
    ];
    for line in &senseless {
        ends_it(bob_talking(), PeerId(7), &bytes(std::slice::from_ref(line)), "the other side makes no sense");
    }
    for line in [hello("bob", "alice"), PeerLine::Heard { number: 3 }, PeerLine::Heard { number: 0 }, says(2, "x")] {
        ends_it(alice_talking(&["a", "b"]), PeerId(1), &bytes(&[line]), "the other side makes no sense");
    }
    let twice = bytes(&[PeerLine::Heard { number: 1 }, PeerLine::Heard { number: 1 }]);
    ends_it(alice_talking(&["a", "b"]), PeerId(1), &twice, "the other side makes no sense");
    for bytes in [&b"hello\n"[..], b"{\"peer\":\"say\",\"number\":1}\n", &[b' '; 16384]] {
        ends_it(bob_talking(), PeerId(7), bytes, "the other side could not be understood");
    }
}

#[test]
fn a_text_that_came_before_the_nonsense_is_told_and_one_behind_it_is_not() {
    let mut bob = bob_talking();
    bob.received(PeerId(7), &bytes(&[says(1, "one"), hello("bob", "alice"), says(2, "two")]));
    let told = PeerNews::Said { user: name("alice"), text: text("one") };
    let why = "the other side makes no sense".to_owned();
    assert_eq!(news(&mut bob), [told, PeerNews::Ended { user: name("alice"), why }]);
    bob.received(PeerId(7), &bytes(&[says(2, "two")]));
    assert_eq!((news(&mut bob), actions(&mut bob)), (vec![], vec![Action::Close(PeerId(7))]));
}

#[test]
fn so_many_texts_are_under_way_and_the_next_go_when_they_were_heard() {
    let mut alice = alice_talking(&[]);
    let all: Vec<String> = (1..=TEXTS_MAX).map(|n| format!("text {n}")).collect();
    for said in &all {
        alice.say(NOW, &name("bob"), Some(text(said))).unwrap();
    }
    let line = |n: u64| bytes(&[says(n, &all[n as usize - 1])]);
    let first: Vec<Action> = (1..=UNDER_WAY_MAX).map(|n| Action::Send(PeerId(1), line(n))).collect();
    assert_eq!(actions(&mut alice), first);
    let full = alice.say(NOW, &name("bob"), Some(text("one more"))).unwrap_err();
    assert_eq!(
        (full.status, &*full.text),
        (Status::TryAgain, "bob has not seen the last 64 texts yet: wait until they have")
    );
    alice.received(PeerId(1), &bytes(&[PeerLine::Heard { number: 2 }]));
    let next = bytes(&[says(9, "text 9"), says(10, "text 10")]);
    assert_eq!(actions(&mut alice), [Action::Send(PeerId(1), next)]);
    alice.say(NOW, &name("bob"), Some(text("there is room"))).unwrap();
}

#[test]
fn nothing_is_taken_that_could_not_be_kept() {
    let mut alice = alice_talking(&[]);
    for n in 1..=TEXTS_MAX {
        alice.say(NOW, &name("bob"), Some(text(&format!("text {n}")))).unwrap();
    }
    alice.gone(NOW, PeerId(1), &PeerGone::CutOff);
    let full = alice.say(NOW, &name("bob"), Some(text("one more"))).unwrap_err();
    let why = "64 texts could not be said to bob before: 'deliver bob' sends them through the server";
    assert_eq!((full.status, &*full.text), (Status::TryAgain, why));
    // A conversation may come about all the same.
    alice.say(NOW, &name("bob"), None).unwrap();
    assert_eq!(alice.take_held(&name("bob")).len(), TEXTS_MAX);
    alice.say(NOW, &name("bob"), Some(text("now"))).unwrap();

    let mut alice = Peers::default();
    for n in 0..HELD_MAX {
        let user = name(&format!("user{n}"));
        alice.say(NOW, &user, Some(text("hi"))).unwrap();
        assert!(alice.end(&user));
    }
    let full = alice.say(NOW, &name("bob"), Some(text("hi"))).unwrap_err();
    let why = "there are 16 users to whom texts could not be said: 'privacy' shows them, 'deliver' helps";
    assert_eq!((full.status, &*full.text), (Status::TryAgain, why));
    alice.say(NOW, &name("user3"), Some(text("hi"))).unwrap();
    assert_eq!(alice.standing(NOW).held.len(), HELD_MAX);
}

#[test]
fn so_many_conversations_there_may_be() {
    let mut alice = Peers::default();
    for n in 0..TALKS_MAX {
        alice.say(NOW, &name(&format!("user{n}")), Some(text("hi"))).unwrap();
    }
    let full = alice.say(NOW, &name("bob"), None).unwrap_err();
    let why = "16 private conversations are open or asked for: end one first";
    assert_eq!((full.status, &*full.text), (Status::TryAgain, why));
    assert!(alice.end(&name("user0")));
    alice.say(NOW, &name("bob"), None).unwrap();
}

#[test]
fn whoever_does_not_let_us_in_is_asked_anew_the_next_time() {
    let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
    for (gone, status, why) in [
        (
            PeerGone::Unreachable(refused()),
            Status::NoServer,
            "can't reach bob at 10.0.0.2 port 4000: connection refused; is there a firewall in between?",
        ),
        (PeerGone::Refused, Status::Refused, "bob does not let you in: the yes was taken back, or its time is over"),
        (
            PeerGone::Tls(TlsFailure::Changed { known: certificate(2), shown: certificate(3) }),
            Status::Refused,
            "whoever is at 10.0.0.2 port 4000 is not bob: the certificate is another one",
        ),
        (
            PeerGone::Tls(TlsFailure::NotItsOwn),
            Status::Refused,
            "whoever is at 10.0.0.2 port 4000 shows bob's certificate, but does not have its key",
        ),
        (
            PeerGone::Tls(TlsFailure::NotTls),
            Status::Refused,
            "whoever is at 10.0.0.2 port 4000 is no chat, and not bob",
        ),
        (PeerGone::Tls(TlsFailure::TooSlow), Status::NoServer, "bob at 10.0.0.2 port 4000 does not answer"),
        (PeerGone::CutOff, Status::NoServer, "bob at 10.0.0.2 port 4000 has closed the connection"),
        (
            PeerGone::Tls(TlsFailure::Other("a\u{1b}b".to_owned())),
            Status::NoServer,
            "no connection to bob at 10.0.0.2 port 4000: a<U+001B>b",
        ),
    ] {
        let mut alice = dialling();
        alice.gone(NOW, PeerId(1), &gone);
        let not_said = PeerNews::NotSaid { user: name("bob"), texts: 1, why: Failure::new(status, why) };
        assert_eq!((news(&mut alice), actions(&mut alice)), (vec![not_said], vec![]), "{gone:?}");
        assert_eq!(alice.standing(NOW), Standing { held: vec![(name("bob"), 1)], ..Standing::default() });
        alice.say(NOW, &name("bob"), None).unwrap();
        assert_eq!(actions(&mut alice), [Action::Ask(name("bob"))], "{gone:?}");
    }
    // Our own want of room says nothing about them.
    let mut alice = dialling();
    alice.gone(NOW, PeerId(1), &PeerGone::TooMany);
    alice.say(NOW, &name("bob"), None).unwrap();
    assert!(matches!(&actions(&mut alice)[..], [Action::Dial { .. }]));
}

#[test]
fn who_was_let_in_comes_again_within_the_time_and_asks_after_it() {
    let mut alice = alice_talking(&[]);
    alice.received(PeerId(1), &bytes(&[PeerLine::Bye]));
    let why = "bob has ended it".to_owned();
    assert_eq!(news(&mut alice), [PeerNews::Ended { user: name("bob"), why }]);
    assert_eq!(actions(&mut alice), [Action::Close(PeerId(1))]);
    let last = NOW + WITHIN - Duration::from_millis(1);
    alice.say(last, &name("bob"), None).unwrap();
    let dial = Action::Dial { user: name("bob"), address: address(), certificate: certificate(2) };
    assert_eq!(actions(&mut alice), [dial]);
    alice.end(&name("bob"));
    assert!(!alice.end(&name("bob")), "there is none");
    let mut alice = alice_talking(&[]);
    alice.received(PeerId(1), &bytes(&[PeerLine::Bye]));
    actions(&mut alice);
    alice.say(NOW + WITHIN, &name("bob"), None).unwrap();
    assert_eq!(actions(&mut alice), [Action::Ask(name("bob"))]);
}

#[test]
fn whoever_does_not_say_hello_in_time_is_left() {
    let mut alice = dialling();
    alice.up(NOW, PeerId(1), certificate(2), true);
    alice.received(PeerId(1), b"{\"peer\":\"hel");
    assert_eq!(alice.poll_timeout(), Some(NOW + HELLO_WITHIN));
    alice.tick(NOW + HELLO_WITHIN - Duration::from_millis(1));
    assert_eq!((news(&mut alice), actions(&mut alice)), (vec![], vec![]));
    alice.tick(NOW + HELLO_WITHIN);
    let why = Failure::new(Status::NoServer, "bob does not say hello");
    assert_eq!(news(&mut alice), [PeerNews::NotSaid { user: name("bob"), texts: 1, why }]);
    assert_eq!(actions(&mut alice), [Action::Close(PeerId(1))]);
    alice.received(PeerId(1), b"lo\"}\n");
    assert_eq!((news(&mut alice), actions(&mut alice)), (vec![], vec![]), "too late");
}

#[test]
fn nobody_answers_for_ever() {
    let mut alice = Peers::default();
    alice.say(NOW, &name("bob"), Some(text("hi"))).unwrap();
    assert_eq!(alice.poll_timeout(), Some(NOW + ASKED_WITHIN), "the server says nothing");
    alice.asked(NOW, &name("bob"), Duration::from_secs(120));
    news(&mut alice);
    let until = NOW + Duration::from_secs(120) + ANSWER_MARGIN;
    assert_eq!(alice.poll_timeout(), Some(until));
    alice.tick(until);
    let why = Failure::new(Status::TryAgain, "no address of bob: there was no answer in time");
    assert_eq!(news(&mut alice), [PeerNews::NotSaid { user: name("bob"), texts: 1, why }]);
    assert_eq!(alice.poll_timeout(), None);
}

#[test]
fn whoever_is_turned_away_because_both_dial_waits_for_the_other() {
    let mut bob = Peers::default();
    bob.logged_in(NOW, &name("bob"));
    bob.say(NOW, &name("alice"), Some(text("hi"))).unwrap();
    bob.news(NOW, &yes_of("alice"));
    bob.dialling(&name("alice"), PeerId(8));
    let answer_within = Duration::from_secs(120);
    bob.news(NOW, &News::Asks { user: name("alice"), certificate: certificate(1), answer_within });
    bob.expect(NOW, &name("alice")).unwrap();
    bob.consented(NOW, &name("alice"), certificate(1), WITHIN);
    bob.gone(NOW, PeerId(8), &PeerGone::Refused);
    assert_eq!(news(&mut bob), []);
    assert_eq!(bob.stand(&name("alice")), Some(Stand::Dialling));
    actions(&mut bob);
    bob.up(NOW, PeerId(7), certificate(1), false);
    let (hello, hi) = (bytes(&[hello("bob", "alice")]), bytes(&[says(1, "hi")]));
    assert_eq!(actions(&mut bob), [Action::Send(PeerId(7), hello), Action::Send(PeerId(7), hi)]);
    assert_eq!(news(&mut bob), [PeerNews::Up { user: name("alice"), dialled: false }]);
}

#[test]
fn a_yes_taken_back_while_we_dial_ends_the_try_and_a_conversation_goes_on() {
    let mut alice = dialling();
    alice.news(NOW, &News::Revoked { user: name("bob") });
    let why = Failure::new(Status::Refused, "bob has taken back the yes");
    assert_eq!(news(&mut alice), [PeerNews::NotSaid { user: name("bob"), texts: 1, why }]);
    assert_eq!(actions(&mut alice), [Action::Close(PeerId(1))]);
    // Whoever has taken it back is the one to end it.
    let mut alice = alice_talking(&[]);
    alice.news(NOW, &News::Revoked { user: name("bob") });
    assert_eq!((news(&mut alice), actions(&mut alice)), (vec![], vec![]));
    assert_eq!(alice.standing(NOW).known, [], "there is no coming again");
}

#[test]
fn how_things_stand_is_told_whole() {
    let mut bob = bob_talking();
    let later = NOW + Duration::from_secs(60);
    let answer_within = Duration::from_secs(120);
    bob.news(later, &News::Asks { user: name("carol"), certificate: certificate(3), answer_within });
    let standing = Standing {
        talks: vec![(name("alice"), Stand::Up(certificate(1)))],
        expected: vec![(name("alice"), Duration::from_secs(540))],
        questions: vec![(name("carol"), answer_within)],
        ..Standing::default()
    };
    assert_eq!(bob.standing(later), standing);
    bob.news(later, &News::AskOver { user: name("carol"), reason: "withdrawn".to_owned() });
    assert_eq!(bob.standing(later).questions, []);
    assert!(bob.expect(later, &name("carol")).is_err());
    bob.close();
    let bye = Action::Send(PeerId(7), bytes(&[PeerLine::Bye]));
    let rest = [Action::Close(PeerId(7)), Action::ExpectNoLonger(certificate(1)), Action::StopListening];
    assert_eq!(actions(&mut bob), [&[bye][..], &rest].concat());
    assert_eq!(bob.standing(later), Standing::default());
    assert_eq!(bob.poll_timeout(), None);
}

#[test]
fn a_session_that_comes_back_asks_again_and_forgets_who_asked() {
    let mut alice = Peers::default();
    alice.say(NOW, &name("bob"), Some(text("hi"))).unwrap();
    actions(&mut alice);
    // It was not answered: the session itself asks again.
    alice.logged_in(NOW, &name("alice"));
    assert_eq!(actions(&mut alice), []);
    alice.asked(NOW, &name("bob"), Duration::from_secs(120));
    let answer_within = Duration::from_secs(120);
    alice.news(NOW, &News::Asks { user: name("carol"), certificate: certificate(3), answer_within });
    alice.logged_in(NOW, &name("alice"));
    assert_eq!(actions(&mut alice), [Action::Ask(name("bob"))]);
    assert_eq!(alice.standing(NOW).questions, []);
    assert_eq!(alice.standing(NOW).talks, [(name("bob"), Stand::Asking)]);
}

#[test]
fn a_yes_that_another_device_has_taken_back_is_taken_back_here() {
    let mut bob = bob_talking();
    let over = |reason: &str| News::AskOver { user: name("alice"), reason: reason.to_owned() };
    bob.news(NOW, &over("withdrawn"));
    assert_eq!((news(&mut bob), actions(&mut bob)), (vec![], vec![]), "an older question of hers");
    bob.news(NOW, &over("revoked"));
    let bye = Action::Send(PeerId(7), bytes(&[PeerLine::Bye]));
    let rest = [Action::ExpectNoLonger(certificate(1)), Action::StopListening, bye, Action::Close(PeerId(7))];
    assert_eq!(actions(&mut bob), rest);
    let why = "you have taken back your yes".to_owned();
    assert_eq!(news(&mut bob), [PeerNews::Ended { user: name("alice"), why }]);
}

#[test]
fn an_address_of_the_servers_own_machine_leads_nowhere_from_elsewhere() {
    let at = |address: &str| News::Address {
        user: name("bob"),
        address: address.parse().unwrap(),
        certificate: certificate(2),
        connect_within: WITHIN,
    };
    let own =
        ["127.0.0.1:4000", "127.9.9.9:4000", "[::1]:4000", "[::ffff:127.0.0.1]:4000", "0.0.0.0:4000", "[::]:4000"];
    for (own, is_here) in own.into_iter().flat_map(|own| [(own, false), (own, true)]) {
        let told = at(own);
        let mut alice = Peers::default();
        alice.connected(is_here);
        alice.say(NOW, &name("bob"), Some(text("hi"))).unwrap();
        actions(&mut alice);
        alice.news(NOW, &told);
        let dials = actions(&mut alice).iter().any(|action| matches!(action, Action::Dial { .. }));
        let failed = news(&mut alice).iter().any(|news| matches!(news, PeerNews::NotSaid { texts: 1, .. }));
        assert_eq!((dials, failed), (is_here, !is_here), "{own}");
    }
}

fn asks(user: &str, n: u8) -> News {
    News::Asks { user: name(user), certificate: certificate(n), answer_within: Duration::from_secs(120) }
}

fn same(user: &str, other: &str) -> Failure {
    let why = format!("{user} gives the certificate of {other} for their own: one of them is not who they seem to be");
    Failure::new(Status::Refused, why)
}

#[test]
fn nobody_comes_in_with_the_certificate_of_somebody_else() {
    let mut bob = bob_talking();
    // Mallory has seen it in a question of alice's. What she says would be shown as mallory's.
    bob.news(NOW, &asks("mallory", 1));
    assert_eq!(bob.expect(NOW, &name("mallory")), Err(same("mallory", "alice")));
    // Another question of mallory's is open by the time that the server has the yes.
    bob.news(NOW, &asks("mallory", 4));
    bob.expect(NOW, &name("mallory")).unwrap();
    assert_eq!(actions(&mut bob), [Action::Expect(certificate(4))]);
    bob.consented(NOW, &name("mallory"), certificate(1), WITHIN);
    assert_eq!(actions(&mut bob), [Action::ExpectNoLonger(certificate(4))]);
    assert_eq!(bob.standing(NOW).expected, [(name("alice"), WITHIN)], "who comes with it is alice");
    // She herself may ask again.
    bob.news(NOW, &asks("alice", 1));
    bob.expect(NOW, &name("alice")).unwrap();
}

#[test]
fn nobody_is_dialled_by_the_certificate_of_somebody_else() {
    for up in [true, false] {
        let mut alice = if up { alice_talking(&[]) } else { dialling() };
        alice.say(NOW, &name("mallory"), Some(text("it is about bob"))).unwrap();
        // At mallory's address somebody passes on what comes, to bob.
        alice.news(NOW, &yes_of("mallory"));
        assert_eq!(actions(&mut alice), [Action::Ask(name("mallory"))]);
        let not_said = PeerNews::NotSaid { user: name("mallory"), texts: 1, why: same("mallory", "bob") };
        assert_eq!(news(&mut alice), [not_said]);
        assert_eq!(alice.standing(NOW).known, [(name("bob"), WITHIN)]);
        alice.news(NOW, &yes_of("mallory"));
        assert_eq!((actions(&mut alice), news(&mut alice)), (vec![], vec![]), "nobody has asked");
    }
}

#[test]
fn who_was_brought_together_under_other_names_is_not_talked_to() {
    // Mallory has given alice's certificate to bob as her own, and bob's to alice: each of them takes the other for her.
    for (from, to) in [("mallory", "alice"), ("bob", "mallory"), ("alice", "bob")] {
        let mut alice = Peers::default();
        alice.logged_in(NOW, &name("alice"));
        alice.say(NOW, &name("bob"), Some(text("hi"))).unwrap();
        alice.news(NOW, &yes_of("bob"));
        alice.dialling(&name("bob"), PeerId(1));
        alice.up(NOW, PeerId(1), certificate(2), true);
        actions(&mut alice);
        alice.received(PeerId(1), &bytes(&[hello(from, to)]));
        assert_eq!(actions(&mut alice), [Action::Close(PeerId(1))], "nothing is said");
        let Some(PeerNews::NotSaid { texts: 1, why, .. }) = news(&mut alice).pop() else { panic!("it goes on") };
        assert_eq!(why.status, Status::Refused);
    }
}
