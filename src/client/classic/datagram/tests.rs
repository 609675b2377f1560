use super::*;
use crate::client::classic::Session as _;
use crate::wire::Text;
use crate::wire::datagram::Manner;
use crate::wire::datagram::notice::Ends;

const PATIENCE: Patience = Patience { log_in_within: at(10_000), within: at(60_000), answer_within: at(130_000) };

const fn at(ms: u64) -> Now {
    Duration::from_millis(ms)
}

fn name(text: &str) -> UserName {
    UserName::parse(text).unwrap()
}

fn named(text: &str) -> Named {
    Named::parse(text)
}

fn text(text: &str) -> Text {
    Text::parse(text).unwrap()
}

fn login(receipts: bool) -> Login {
    let server = Target { host: "host-a".into(), port: 12_000 };
    Login { user: name("alice"), password: Password::parse("wonderland").unwrap(), server, receipts }
}

/// What the server sends.
fn written(notice: &Notice) -> Vec<u8> {
    let ends = Ends { client: ([127, 0, 0, 1], 40_001).into(), server: ([127, 0, 0, 1], 12_000).into() };
    let [datagram] = &notice.write(&ends, Manner::Plain)[..] else { panic!("one datagram") };
    datagram.clone()
}

fn message_of(from: &str, to: Audience, text: &str) -> Notice {
    Notice::Message { from: named(from), to, text: text.into() }
}

/// A session, and the test as the server.
struct Play {
    session: Session,
    now: Now,
}

impl Play {
    /// It has said LOGIN.
    fn new() -> Play {
        Play::with(false)
    }

    fn with(receipts: bool) -> Play {
        let mut session = Session::new(login(receipts), PATIENCE);
        assert!(session.uses_datagrams() && !session.listens());
        session.opened(Now::ZERO);
        let mut play = Play { session, now: Now::ZERO };
        assert_eq!(play.said(), [play.log_in()]);
        play
    }

    fn logged_in() -> Play {
        Play::new().greeted()
    }

    fn greeted(mut self) -> Play {
        self.hears(&Notice::Greeting);
        assert_eq!(self.happenings(), [Happening::LoggedIn { user: name("alice") }]);
        assert_eq!(self.session.poll_timeout(), None);
        self
    }

    fn log_in(&self) -> wire::Request {
        let password = PasswordDigest::of(&Password::parse("wonderland").unwrap());
        wire::Request::LogIn { user: named("alice"), password }
    }

    fn pass(&mut self, ms: u64) {
        self.now += at(ms);
        self.session.tick(self.now);
    }

    fn hears(&mut self, notice: &Notice) {
        self.session.heard(self.now, &written(notice));
    }

    fn actions(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.session.next_action()).collect()
    }

    /// What it sends.
    fn said(&mut self) -> Vec<wire::Request> {
        let said = |action| match action {
            Action::Datagram(bytes) => wire::Request::parse(&bytes).unwrap().0,
            other => panic!("{other:?}"),
        };
        self.actions().into_iter().map(said).collect()
    }

    fn happenings(&mut self) -> Vec<Happening> {
        std::iter::from_fn(|| self.session.next_happening()).collect()
    }

    fn ask(&mut self, request: Request) -> Tag {
        self.session.ask(self.now, request)
    }

    /// Begins with a message to bob.
    fn message(&mut self, said: &str) -> Tag {
        let tag = self.ask(Request::Message { to: name("bob"), text: text(said) });
        assert_eq!(self.said(), [to_bob(said)]);
        tag
    }

    fn ended(&mut self) -> End {
        match self.happenings().pop() {
            Some(Happening::End(end)) => end,
            other => panic!("{other:?}"),
        }
    }
}

fn to_bob(said: &str) -> wire::Request {
    wire::Request::Message { from: named("alice"), to: named("bob"), text: Ok(text(said)) }
}

fn acknowledgement(by: &str) -> Notice {
    Notice::Acknowledgement(format!("Message received by {by}"))
}

fn done(tag: Tag, done: Done) -> Happening {
    Happening::Answered { tag, answer: Ok(done) }
}

fn failed(tag: Tag, status: Status, why: &str) -> Happening {
    Happening::Answered { tag, answer: Err(Failure::new(status, why)) }
}

const NOT_ACKNOWLEDGED: &str = "not acknowledged by bob: it may have come or not";

#[test]
fn a_log_in_is_asked_for_until_there_is_an_answer() {
    let mut play = Play::new();
    for (pause, times) in [(499, 0), (1, 1), (1000, 1), (2000, 1)] {
        play.pass(pause);
        assert_eq!(play.said(), vec![play.log_in(); times]);
    }
    let mut play = play.greeted();
    play.hears(&Notice::Greeting);
    play.pass(60_000);
    assert_eq!((play.said(), play.happenings()), (vec![], vec![]));
}

#[test]
fn whoever_is_not_let_in_is_told_why() {
    let mut play = Play::new();
    // It was damaged on its way.
    play.hears(&Notice::Error(INCORRECT.into()));
    assert_eq!(play.happenings(), []);
    play.hears(&Notice::Error("Incorrect\x1b password!".into()));
    let why = Failure::new(Status::Refused, "the server says: Incorrect<U+001B> password!");
    assert_eq!(play.ended(), End::WrongPassword(why));
    assert_eq!(play.actions(), [Action::HangUp]);
}

#[test]
fn a_server_that_does_not_answer_is_given_up() {
    let mut play = Play::new();
    play.pass(10_000);
    let why = Failure::new(Status::NoServer, "no answer from the server within 10 s");
    assert_eq!(play.ended(), End::Failed(why));
    let mut play = Play::new();
    play.session.heard(play.now, b"what?\n");
    // Somebody's who was at this address before.
    play.hears(&message_of("bob", Audience::OneUser, "hello"));
    play.pass(10_000);
    let End::Failed(failure) = play.ended() else { panic!("it is over") };
    assert_eq!(failure.status, Status::NotUnderstood);
    assert!(failure.text.ends_with("it says: what?"), "{}", failure.text);
    for mut play in [Play::new(), Play::logged_in()] {
        let nobody = Failure::new(Status::NoServer, "nobody");
        play.session.unheard(play.now, nobody.clone());
        assert_eq!(play.ended(), End::Failed(nobody));
    }
}

#[test]
fn what_comes_is_acknowledged_and_shown() {
    let mut play = Play::logged_in();
    let said =
        |from: &str| wire::Request::Acknowledgement { sender: named(from), text: "Message received by alice".into() };
    play.hears(&message_of("bob", Audience::OneUser, "hello"));
    play.hears(&message_of("carol", Audience::Everyone, "hello, all"));
    play.hears(&message_of("zo\u{eb}", Audience::OneUser, "hello"));
    assert_eq!(play.said(), [said("bob"), said("carol"), said("zo\u{eb}")]);
    let happenings = [
        Event::Message { from: name("bob"), text: "hello".into() },
        Event::Broadcast { from: name("carol"), text: "hello, all".into() },
        Event::Note { text: "zo\u{eb}: hello".into() },
    ];
    assert_eq!(play.happenings(), happenings.map(Happening::Event));
    play.hears(&Notice::Online(name("dave")));
    play.hears(&Notice::Offline(name("dave")));
    play.hears(&Notice::Alert("dave is gone by now".into()));
    play.hears(&Notice::Error("dave is not online!".into()));
    let happenings = [
        Event::Online { user: name("dave") },
        Event::Offline { user: name("dave") },
        Event::Note { text: "dave is gone by now".into() },
        Event::Note { text: "dave is not online!".into() },
    ];
    assert_eq!(play.happenings(), happenings.map(Happening::Event));
    play.session.heard(play.now, b"{'body': ");
    assert!(matches!(&play.happenings()[..], [Happening::Warning(_)]));
    assert_eq!(play.said(), []);
}

#[test]
fn what_comes_again_may_be_said_again_and_is_shown_each_time() {
    let mut play = Play::logged_in();
    for pause in [0, 500, 1000, 7000] {
        play.pass(pause);
        play.hears(&message_of("bob", Audience::OneUser, "hello"));
        assert_eq!((play.said().len(), play.happenings().len()), (1, 1));
    }
}

#[test]
fn a_message_is_done_when_it_is_acknowledged() {
    let mut play = Play::logged_in();
    let first = play.message("one");
    let second = play.ask(Request::Message { to: name("bob"), text: text("two") });
    assert_eq!((play.said(), play.session.unsent()), (vec![], 1));
    play.hears(&Notice::Acknowledgement("recieved".into()));
    assert_eq!(play.happenings(), [done(first, Done::Delivered(name("bob")))]);
    assert_eq!(play.said(), [to_bob("two")]);
    play.hears(&acknowledgement("bob"));
    assert_eq!(play.happenings(), [done(second, Done::Delivered(name("bob")))]);
    play.hears(&acknowledgement("bob"));
    let late = Event::Acknowledged { text: "Message received by bob".into() };
    assert_eq!(play.happenings(), [Happening::Event(late)]);
}

#[test]
fn what_nobody_acknowledges_is_sent_five_times() {
    let mut play = Play::logged_in();
    let tag = play.message("hello");
    for pause in [500, 1000, 2000, 4000] {
        play.pass(pause - 1);
        assert_eq!(play.said(), []);
        play.pass(1);
        assert_eq!(play.said(), [to_bob("hello")]);
        // It says nothing about this one but that it was damaged on its way.
        play.hears(&Notice::Error(INCORRECT.into()));
    }
    assert_eq!(play.happenings(), []);
    play.pass(8000);
    assert_eq!((play.said(), play.happenings()), (vec![], vec![failed(tag, Status::TryAgain, NOT_ACKNOWLEDGED)]));
}

#[test]
fn acknowledgements_of_copies_are_not_those_of_the_next_one() {
    let mut play = Play::logged_in();
    let first = play.message("one");
    play.pass(500);
    assert_eq!(play.said(), [to_bob("one")]);
    let second = play.ask(Request::Message { to: name("bob"), text: text("two") });
    play.hears(&acknowledgement("bob"));
    assert_eq!(play.happenings(), [done(first, Done::Delivered(name("bob")))]);
    play.pass(999);
    play.hears(&acknowledgement("bob"));
    assert_eq!((play.said(), play.happenings()), (vec![], vec![]));
    play.pass(1);
    assert_eq!(play.said(), [to_bob("two")]);
    play.hears(&acknowledgement("bob"));
    assert_eq!(play.happenings(), [done(second, Done::Delivered(name("bob")))]);
}

#[test]
fn a_message_that_waits_for_its_recipient_is_not_sent_again() {
    let mut play = Play::logged_in();
    let tag = play.message("hello");
    play.hears(&Notice::Kept(name("carol")));
    assert_eq!(play.happenings(), []);
    play.hears(&Notice::Kept(name("bob")));
    assert_eq!(play.happenings(), [done(tag, Done::Kept(name("bob")))]);
    play.pass(1000);
    assert_eq!(play.said(), []);
}

#[test]
fn whoever_wants_to_know_waits_until_it_was_delivered() {
    let mut play = Play::with(true).greeted();
    let tag = play.message("hello");
    play.hears(&Notice::Kept(name("bob")));
    play.pass(30_000);
    assert_eq!((play.said(), play.happenings()), (vec![], vec![]));
    play.hears(&acknowledgement("bob"));
    assert_eq!(play.happenings(), [done(tag, Done::Delivered(name("bob")))]);
    let tag = play.message("hello");
    play.hears(&Notice::Kept(name("bob")));
    play.pass(60_000);
    let why = "bob is not there now, and the server keeps the message: not delivered in time";
    assert_eq!(play.happenings(), [failed(tag, Status::TryAgain, why)]);
}

#[test]
fn a_message_that_is_refused_is_not_sent_again() {
    let mut play = Play::logged_in();
    let tag = play.message("hello");
    play.pass(500);
    assert_eq!(play.said(), [to_bob("hello")]);
    play.hears(&Notice::Error("bob is not online!".into()));
    assert_eq!(play.happenings(), [failed(tag, Status::Refused, "the server says: bob is not online!")]);
    // To the copy.
    play.hears(&Notice::Error("bob is not online!".into()));
    assert_eq!((play.said(), play.happenings()), (vec![], vec![]));
    let tag = play.ask(Request::Message { to: name("ALICE"), text: text("hello") });
    assert_eq!(play.happenings(), [failed(tag, Status::Usage, "a message needs somebody else")]);
    let tag = play.ask(Request::EndChat);
    let why = "there are only messages and contacts in this protocol";
    assert_eq!(play.happenings(), [failed(tag, Status::Usage, why)]);
}

#[test]
fn a_message_to_all_is_acknowledged_by_each() {
    let mut play = Play::logged_in();
    let to_all = play.ask(Request::Broadcast { text: text("hello, all") });
    let said = wire::Request::Broadcast { from: named("alice"), text: Ok(text("hello, all")) };
    assert_eq!(play.said(), [said]);
    play.hears(&acknowledgement("bob"));
    assert_eq!(play.happenings(), [done(to_all, Done::HandedOver)]);
    let tag = play.message("hello");
    play.hears(&acknowledgement("carol"));
    let late = Event::Acknowledged { text: "Message received by carol".into() };
    assert_eq!(play.happenings(), [Happening::Event(late)]);
    play.hears(&acknowledgement("bob"));
    assert_eq!(play.happenings(), [done(tag, Done::Delivered(name("bob")))]);
    let tag = play.ask(Request::Broadcast { text: text("hello?") });
    play.hears(&Notice::Unheard);
    assert_eq!(play.happenings(), [done(tag, Done::ReachedNobody)]);
}

#[test]
fn what_was_done_with_is_acknowledged_by_its_own_recipient() {
    let mut play = Play::logged_in();
    let kept = play.message("kept");
    play.hears(&Notice::Kept(name("bob")));
    assert_eq!(play.happenings(), [done(kept, Done::Kept(name("bob")))]);
    let tag = play.ask(Request::Message { to: name("carol"), text: text("hello") });
    assert_eq!(play.said().len(), 1);
    play.hears(&acknowledgement("bob"));
    let late = Event::Acknowledged { text: "Message received by bob".into() };
    assert_eq!(play.happenings(), [Happening::Event(late)], "bob has come, and carol has said nothing");
    play.pass(500);
    assert_eq!(play.said().len(), 1, "it is sent again");
    play.hears(&acknowledgement("carol"));
    assert_eq!(play.happenings(), [done(tag, Done::Delivered(name("carol")))]);

    let mut play = Play::logged_in();
    let lost = play.message("lost");
    for pause in [500, 1000, 2000, 4000, 8000] {
        play.pass(pause);
        play.actions();
    }
    assert_eq!(play.happenings(), [failed(lost, Status::TryAgain, NOT_ACKNOWLEDGED)]);
    play.ask(Request::Message { to: name("carol"), text: text("hello") });
    play.hears(&acknowledgement("bob"));
    assert_eq!(play.happenings(), [Happening::Event(Event::Acknowledged { text: "Message received by bob".into() })]);
}

#[test]
fn a_long_message_goes_in_parts_one_after_the_other() {
    let mut play = Play::logged_in();
    let tag = play.ask(Request::Message { to: name("bob"), text: text(&"x".repeat(4000)) });
    let mut parts = 0;
    loop {
        match &play.actions()[..] {
            [] => break,
            [Action::Datagram(bytes)] => assert!(bytes.len() <= 2048, "{} bytes", bytes.len()),
            more => panic!("{more:?}"),
        }
        parts += 1;
        assert_eq!(play.happenings(), []);
        play.hears(&acknowledgement("bob"));
    }
    assert_eq!((parts, play.happenings()), (3, vec![done(tag, Done::Delivered(name("bob")))]));
}

#[test]
fn contacts_are_whole_when_it_is_quiet() {
    let contact = |user: &str| Notice::Contact { user: name(user), address: ([127, 0, 0, 1], 12_000).into() };
    let mut play = Play::logged_in();
    let tag = play.ask(Request::Online);
    assert_eq!(play.said(), [wire::Request::Contacts]);
    play.pass(500);
    assert_eq!(play.said(), [wire::Request::Contacts]);
    for user in ["bob", "carol", "bob"] {
        play.hears(&contact(user));
    }
    play.pass(499);
    assert_eq!(play.happenings(), []);
    play.pass(1);
    assert_eq!(play.happenings(), [done(tag, Done::Online(vec![name("bob"), name("carol")]))]);
    // Nobody waits for it.
    play.hears(&contact("dave"));
    let tag = play.ask(Request::Online);
    play.pass(2000);
    assert_eq!(play.happenings(), [done(tag, Done::Online(Vec::new()))]);
}

#[test]
fn a_server_that_has_forgotten_us_ends_the_session() {
    let mut play = Play::logged_in();
    play.message("hello");
    play.hears(&Notice::Error(LOG_IN_FIRST.into()));
    let End::Failed(failure) = play.ended() else { panic!("it is over") };
    assert_eq!(failure.status, Status::NoServer);
    let mut play = Play::logged_in();
    play.hears(&Notice::Alert("you are logged out: the server stops".into()));
    let why = Failure::new(Status::NoServer, "you are logged out: the server stops");
    assert_eq!(play.ended(), End::Failed(why));
}

#[test]
fn leaving_is_a_word_that_nobody_answers() {
    let log_out = |play: &mut Play| {
        assert_eq!(play.ended(), End::LoggedOut);
        let actions = play.actions();
        let [.., Action::Datagram(bytes), Action::HangUp] = &actions[..] else { panic!("{actions:?}") };
        assert_eq!(wire::Request::parse(bytes).unwrap().0, wire::Request::LogOut);
        assert_eq!(play.session.poll_timeout(), None);
    };
    for mut play in [Play::new(), Play::logged_in()] {
        play.session.log_out(play.now);
        log_out(&mut play);
    }
    let mut play = Play::logged_in();
    play.message("hello");
    play.session.abandon();
    log_out(&mut play);
    play.session.abandon();
    assert_eq!(play.actions(), [], "it is over");
    // What was asked for comes first.
    let mut play = Play::logged_in();
    play.message("hello");
    play.session.log_out(play.now);
    assert_eq!(play.happenings(), []);
    play.hears(&acknowledgement("bob"));
    log_out(&mut play);

    let mut play = Play::logged_in();
    let first = play.message("one");
    let second = play.ask(Request::Message { to: name("bob"), text: text("two") });
    play.session.log_out(play.now);
    play.pass(4000);
    let answers = [
        failed(first, Status::TryAgain, NOT_ACKNOWLEDGED),
        failed(second, Status::TryAgain, "not sent: you have left before"),
        Happening::End(End::LoggedOut),
    ];
    assert_eq!(play.happenings(), answers);
}
