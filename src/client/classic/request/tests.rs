use proptest::prelude::*;

use super::*;
use crate::client::classic::Session as _;

const PATIENCE: Patience = Patience { log_in_within: at(10_000), within: at(10_000), answer_within: at(130_000) };
const STRANGER: std::net::IpAddr = std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 9));

const fn at(ms: u64) -> Now {
    Duration::from_millis(ms)
}

fn name(text: &str) -> UserName {
    UserName::parse(text).unwrap()
}

fn text(text: &str) -> Text {
    Text::parse(text).unwrap()
}

/// What came of a request, with the failure's status and text.
type Answer = Result<Done, (Status, String)>;

/// A session, and the test as everything around it.
struct Play {
    session: Session,
    now: Now,
}

impl Play {
    fn new() -> Play {
        let password = Password::parse("won,derland").unwrap();
        let login = Login { user: name("alice"), password, heartbeat: at(30_000) };
        Play { session: Session::new(login, PATIENCE), now: Now::ZERO }
    }

    /// Logged in, with nothing left over.
    fn logged_in() -> Play {
        let mut play = Play::new();
        play.session.connected(play.now, 40123);
        play.received("Welcome to simple chat server!\n");
        play.received("Authenticated alice");
        play.actions();
        assert_eq!(play.happenings(), [Happening::LoggedIn { user: name("alice") }]);
        play
    }

    fn pass(&mut self, ms: u64) {
        self.now += at(ms);
        self.session.tick(self.now);
    }

    /// The server says something in the log-in, and waits.
    fn received(&mut self, chunk: &str) {
        self.session.received(self.now, chunk.as_bytes());
        self.pass(50);
    }

    fn delivered(&mut self, bytes: &str) {
        self.session.delivered(self.now, Source::Server, bytes.as_bytes());
    }

    fn sent(&mut self, lane: Lane) {
        self.session.sent(self.now, lane, Ok(()));
    }

    /// Sends what waits for the server, one after the other.
    fn requests(&mut self) -> Vec<String> {
        let mut requests = Vec::new();
        while let Some(action) = self.session.next_action() {
            let Action::ToServer(bytes) = action else { panic!("{action:?}") };
            requests.push(String::from_utf8(bytes).unwrap());
            self.sent(Lane::Server);
        }
        requests
    }

    fn actions(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.session.next_action()).collect()
    }

    fn happenings(&mut self) -> Vec<Happening> {
        std::iter::from_fn(|| self.session.next_happening()).collect()
    }

    fn ask(&mut self, request: Request) -> Tag {
        self.session.ask(self.now, request)
    }

    /// The one answer, and nothing else.
    #[track_caller]
    fn answer(&mut self, asked: Tag) -> Answer {
        let mut happenings = self.happenings();
        let Some(Happening::Answered { tag, answer }) = happenings.pop() else { panic!("{happenings:?}") };
        assert_eq!((tag, happenings), (asked, vec![]));
        answer.map_err(|failure| (failure.status, failure.text))
    }

    #[track_caller]
    fn failed(&mut self) -> (Status, String) {
        let happenings = self.happenings();
        let [Happening::End(End::Failed(failure) | End::WrongPassword(failure))] = &happenings[..] else {
            panic!("{happenings:?}")
        };
        (failure.status, failure.text.clone())
    }
}

fn write(bytes: &str) -> Action {
    Action::Write(bytes.as_bytes().to_vec())
}

fn to_server(bytes: &str) -> Action {
    Action::ToServer(bytes.as_bytes().to_vec())
}

#[test]
fn the_log_in_answers_each_text_once_it_is_quiet() {
    let mut play = Play::new();
    play.session.connected(play.now, 40123);
    assert_eq!(play.actions(), [write("newUser,alice,won,derland,40123")]);
    play.session.received(play.now, b"Welcome to simple ");
    play.pass(49);
    assert_eq!(play.actions(), []);
    play.received("chat server!\n");
    assert_eq!(play.actions(), [write("ok")]);
    play.received("Authenticated Alice");
    assert_eq!(play.actions(), [Action::HangUp]);
    assert_eq!(play.happenings(), [Happening::LoggedIn { user: name("Alice") }]);
    assert_eq!(play.session.user().as_str(), "Alice", "as the server spells it");
    assert_eq!(play.session.poll_timeout(), Some(play.now + at(30_000)));
}

#[test]
fn a_server_that_closes_behind_its_last_word_is_heard() {
    let mut play = Play::new();
    play.session.connected(play.now, 40123);
    play.session.received(play.now, b"Authenticated alice");
    play.session.disconnected(play.now, Failure::usage("closed"));
    assert_eq!(play.happenings(), [Happening::LoggedIn { user: name("alice") }]);
}

#[test]
fn a_log_in_that_fails_says_why() {
    let failure = |texts: &[&str]| {
        let mut play = Play::new();
        play.session.connected(play.now, 40123);
        texts.iter().for_each(|text| play.received(text));
        let happenings = play.happenings();
        assert_eq!(play.actions().last(), Some(&Action::HangUp));
        happenings
    };
    let refused = |text: &str| Failure::new(Status::Refused, text);
    let unknown = failure(&["Invalid Username. Please try again.\n", "prompt"]);
    let why = refused("Invalid Username. Please try again.");
    assert_eq!(unknown, [Happening::End(End::WrongPassword(why))]);
    let wrong = failure(&["Invalid Password. Please try again.\n", "prompt_password"]);
    let why = refused("Invalid Password. Please try again.");
    assert_eq!(wrong, [Happening::End(End::WrongPassword(why))]);
    let locked = failure(&["Due to \u{1b}[2Jfailures,\nlater.\n", "exit"]);
    assert_eq!(locked, [Happening::End(End::Failed(refused("Due to <U+001B>[2Jfailures,\nlater.")))]);
    for (word, end) in [("prompt", End::WrongPassword as fn(Failure) -> End), ("exit", End::Failed)] {
        let silent = "the server does not let you in, and does not say why";
        assert_eq!(failure(&[word]), [Happening::End(end(refused(silent)))], "nobody is left without a word");
    }
}

#[test]
fn what_is_no_server_of_this_protocol_is_not_understood() {
    let mut play = Play::new();
    play.session.connected(play.now, 40123);
    play.received("HTTP/1.1 400 Bad Request\r\n");
    play.session.disconnected(play.now, Failure::new(Status::NoServer, "closed"));
    let (status, why) = play.failed();
    assert_eq!(status, Status::NotUnderstood);
    assert!(why.ends_with("it says: HTTP/1.1 400 Bad Request"), "{why}");
    let mut silent = Play::new();
    silent.session.connected(silent.now, 40123);
    silent.session.disconnected(silent.now, Failure::new(Status::NoServer, "closed"));
    assert_eq!(silent.failed(), (Status::NoServer, "closed".into()));
    let mut slow = Play::new();
    slow.session.connected(slow.now, 40123);
    assert_eq!(slow.session.poll_timeout(), Some(at(10_000)));
    slow.pass(10_000);
    assert_eq!(slow.failed(), (Status::NoServer, "no answer from the server within 10 s".into()));
}

#[test]
fn requests_leave_one_after_the_other() {
    let mut play = Play::logged_in();
    play.ask(Request::Online);
    play.ask(Request::Block { user: name("bob") });
    assert_eq!(play.actions(), [to_server("online,alice")]);
    play.pass(1000);
    assert_eq!(play.actions(), []);
    assert_eq!(play.session.unsent(), 1);
    play.sent(Lane::Server);
    assert_eq!(play.actions(), [to_server("block,alice,bob")]);
    play.sent(Lane::Server);
    assert_eq!(play.actions(), []);
}

#[test]
fn what_always_has_an_answer_waits_for_it() {
    let bob = || name("bob");
    let refused = |text: &str| Err((Status::Refused, text.to_owned()));
    let nobody = || Err((Status::NoRecipient, "there is no user 'bob'".to_owned()));
    let rows: [(Request, &str, Answer); 7] = [
        (Request::Online, "online", Ok(Done::Online(vec![]))),
        (Request::Online, "online,bob", Ok(Done::Online(vec![bob()]))),
        (Request::Block { user: bob() }, "User bob has been blocked\n", Ok(Done::Blocked(bob()))),
        (Request::Block { user: bob() }, "No such User in the system\n", nobody()),
        (Request::Unblock { user: bob() }, "User bob is unblocked\n", Ok(Done::Unblocked(bob()))),
        (Request::Unblock { user: bob() }, "User bob is not in the blocked list\n", refused("you do not block bob")),
        (Request::GetAddress { user: bob() }, "getaddress,no", refused("no address of bob: the answer is no")),
    ];
    for (request, reply, answer) in rows {
        let mut play = Play::logged_in();
        let tag = play.ask(request);
        assert_eq!(play.requests().len(), 1);
        play.pass(1000);
        assert_eq!(play.happenings(), []);
        play.delivered("note:carol is online!\n");
        assert_eq!(play.happenings(), [Happening::Event(Event::Online { user: name("carol") })]);
        play.delivered(reply);
        assert_eq!(play.answer(tag), answer, "{reply}");
    }
}

#[test]
fn an_answer_that_does_not_come_is_given_up() {
    let mut play = Play::logged_in();
    let tag = play.ask(Request::Online);
    play.requests();
    play.pass(10_000);
    let why = "no answer from the server in time: it may be done or not";
    assert_eq!(play.answer(tag), Err((Status::NoServer, why.into())));
    let tag = play.ask(Request::GetAddress { user: name("bob") });
    play.requests();
    play.pass(100_000);
    play.requests();
    assert_eq!(play.happenings(), []);
    play.pass(30_000);
    assert_eq!(play.answer(tag), Err((Status::TryAgain, "bob has not answered in time".into())));
}

#[test]
fn a_message_is_handed_over_unless_a_refusal_comes() {
    let to_bob = || Request::Message { to: name("bob"), text: text("hi") };
    let mut play = Play::logged_in();
    let tag = play.ask(to_bob());
    assert_eq!(play.requests(), ["forward,alice,bob,hi\n"]);
    play.pass(499);
    assert_eq!(play.happenings(), []);
    play.pass(1);
    assert_eq!(play.answer(tag), Ok(Done::HandedOver));
    let tag = play.ask(to_bob());
    play.requests();
    play.delivered("Your message could not bedelivered\nas the recipient has blocked you\n");
    assert_eq!(play.answer(tag), Err((Status::Refused, "not delivered: bob has blocked you".into())));
    let tag = play.ask(to_bob());
    play.requests();
    play.delivered("No such User in the system\n");
    assert_eq!(play.answer(tag), Err((Status::NoRecipient, "there is no user 'bob'".into())));
    let tag = play.ask(Request::Broadcast { text: text("hi") });
    assert_eq!(play.requests(), ["broadcast,alice,hi\n"]);
    play.delivered("Your message could not be delivered to some recipients\n");
    assert_eq!(play.answer(tag), Ok(Done::PartlyDelivered));
    play.delivered("No such User in the system\n");
    let note = Event::Note { text: "there is no such user".into() };
    assert_eq!(play.happenings(), [Happening::Event(note)], "nothing waits for it");
}

#[test]
fn a_message_in_parts_is_done_with_its_last_one() {
    let mut play = Play::logged_in();
    let tag = play.ask(Request::Message { to: name("bob"), text: text(&"x".repeat(4096)) });
    assert_eq!(play.actions().len(), 1);
    play.sent(Lane::Server);
    play.pass(1000);
    assert_eq!((play.happenings(), play.actions().len()), (vec![], 1));
    play.sent(Lane::Server);
    play.pass(500);
    assert_eq!(play.answer(tag), Ok(Done::HandedOver));
    let tag = play.ask(Request::Message { to: name("bob"), text: text(&"x".repeat(4096)) });
    play.actions();
    play.session.sent(play.now, Lane::Server, Err(NotSent::CutOff));
    let why = "the server broke the connection off: it may be done or not";
    assert_eq!(play.answer(tag), Err((Status::NoServer, why.into())));
    assert_eq!(play.actions(), [], "the rest makes no sense by itself");
}

#[test]
fn a_sign_of_life_is_sent_as_often_as_was_asked() {
    let mut play = Play::logged_in();
    for _ in 0..3 {
        play.pass(29_999);
        assert_eq!(play.requests(), Vec::<String>::new());
        play.pass(1);
        assert_eq!(play.requests(), ["alive,alice"]);
    }
}

#[test]
fn requests_that_wait_are_no_sign_of_life() {
    let mut play = Play::logged_in();
    play.ask(Request::Online);
    play.ask(Request::Online);
    play.pass(30_000);
    play.pass(30_000);
    assert_eq!(play.actions(), [to_server("online,alice")]);
    play.sent(Lane::Server);
    assert_eq!(play.requests(), ["online,alice", "alive,alice"], "and one is enough");
}

#[test]
fn a_server_that_is_gone_ends_the_session() {
    let mut play = Play::logged_in();
    play.pass(30_000);
    assert_eq!(play.actions(), [to_server("alive,alice")]);
    let why = Failure::new(Status::NoServer, "can't reach h");
    play.session.sent(play.now, Lane::Server, Err(NotSent::Unreachable(why)));
    assert_eq!(play.failed(), (Status::NoServer, "can't reach h".into()));
    assert_eq!(play.session.poll_timeout(), None);
}

#[test]
fn what_the_server_says_is_told() {
    let mut play = Play::logged_in();
    let message = |text: &str| Event::Message { from: name("bob"), text: text.into() };
    let rows = [
        ("bob:hi\n", vec![message("hi")]),
        ("note:bob is offline!\n", vec![Event::Offline { user: name("bob") }]),
        ("private_consent,bob", vec![Event::Asks { user: name("bob") }]),
        (
            "Offline messages: \nbob:a\nbob:b\n",
            vec![Event::Note { text: "what came while you were offline:".into() }, message("a"), message("b")],
        ),
        ("maintenance at noon\n", vec![Event::Note { text: "maintenance at noon".into() }]),
        ("online,carol", vec![]),
    ];
    for (bytes, events) in rows {
        play.delivered(bytes);
        assert_eq!(play.happenings(), events.into_iter().map(Happening::Event).collect::<Vec<_>>());
    }
}

#[test]
fn a_server_that_ends_the_session_says_why() {
    for (bytes, why) in [("shutdown", "the server stops"), ("logout_duplicate", "displaced")] {
        let mut play = Play::logged_in();
        play.delivered(bytes);
        let (status, text) = play.failed();
        assert_eq!((status, text.contains(why)), (Status::NoServer, true), "{text}");
        play.session.log_out(play.now);
        play.pass(100_000);
        assert_eq!(play.actions(), [Action::HangUp], "a log-out would be the other session's");
    }
}

#[test]
fn a_log_out_leaves_behind_everything_else() {
    let mut play = Play::logged_in();
    play.ask(Request::Message { to: name("bob"), text: text("hi") });
    play.session.log_out(play.now);
    assert_eq!(play.actions(), [to_server("forward,alice,bob,hi\n")]);
    play.sent(Lane::Server);
    assert_eq!(play.actions(), [to_server("logout,alice")]);
    assert_eq!(play.happenings(), []);
    play.sent(Lane::Server);
    assert_eq!(play.happenings(), [Happening::End(End::LoggedOut)]);
}

#[test]
fn who_was_never_logged_in_says_so() {
    let mut play = Play::new();
    play.session.log_out(play.now);
    assert_eq!(play.happenings(), [Happening::End(End::LoggedOut)], "nobody knows of us");
    let mut play = Play::new();
    play.session.connected(play.now, 40123);
    play.actions();
    play.session.log_out(play.now);
    assert_eq!(play.actions(), [Action::HangUp, to_server("logout,logout")]);
    play.sent(Lane::Server);
    assert_eq!(play.happenings(), [Happening::End(End::LoggedOut)]);
}

#[test]
fn a_consent_needs_a_question() {
    let mut play = Play::logged_in();
    let answer = |yes| Request::Consent { user: name("bob"), yes };
    let tag = play.ask(answer(true));
    assert_eq!(play.answer(tag), Err((Status::Refused, "bob has not asked for your address".into())));
    play.delivered("private_consent,bob");
    play.happenings();
    let tag = play.ask(answer(true));
    assert_eq!(play.requests(), ["private_answer,alice,bob,yes"]);
    assert_eq!(play.answer(tag), Ok(Done::Consented(name("bob"))));
    play.delivered("private_consent,bob");
    play.happenings();
    let tag = play.ask(answer(false));
    assert_eq!(play.requests(), ["private_answer,alice,bob,no"]);
    assert_eq!(play.answer(tag), Ok(Done::Declined(name("bob"))));
}

#[test]
fn only_who_may_speak_is_heard_without_the_server() {
    let mut play = Play::logged_in();
    let from_bob = |play: &mut Play, bytes: &str| {
        play.session.delivered(play.now, Source::Elsewhere(STRANGER), bytes.as_bytes());
        play.happenings()
    };
    let warned = from_bob(&mut play, "bob:hi\n");
    assert!(matches!(&warned[..], [Happening::Warning(why)] if why.contains("10.0.0.9")), "{warned:?}");
    assert_eq!(from_bob(&mut play, "shutdown"), [], "told only so often");
    play.pass(10_000);
    let again = from_bob(&mut play, "shutdown");
    assert!(matches!(&again[..], [Happening::Warning(why)] if why.ends_with("(and 1 more before)")), "{again:?}");
    play.delivered("private_consent,bob");
    play.ask(Request::Consent { user: name("bob"), yes: true });
    play.requests();
    play.happenings();
    let private = |text: &str| Happening::Event(Event::Private { from: name("bob"), text: text.into() });
    assert_eq!(from_bob(&mut play, "bob:hi\n"), [private("hi")]);
    assert_eq!(from_bob(&mut play, "bob:two\n    lines\n"), [private("two\nlines")]);
    play.pass(10_000);
    for bytes in ["carol:hi\n", "shutdown", "bob:hi\ncarol:hi\n"] {
        assert!(from_bob(&mut play, bytes).iter().all(|h| matches!(h, Happening::Warning(_))), "{bytes}");
    }
    play.delivered("private_consent,bob");
    play.ask(Request::Consent { user: name("bob"), yes: false });
    play.requests();
    play.happenings();
    assert_eq!(from_bob(&mut play, "bob:hi\n"), [], "a no takes the yes back");
}

#[test]
fn a_private_text_asks_first_and_goes_straight_from_then_on() {
    let mut play = Play::logged_in();
    let say = || Request::Private { user: name("bob"), text: text("psst") };
    let address = "10.0.0.9:41234".parse().unwrap();
    let tag = play.ask(say());
    assert_eq!(play.requests(), ["getaddress,alice,bob"]);
    play.delivered("getaddress,bob,10.0.0.9,41234");
    assert_eq!(play.actions(), [Action::ToPeer(address, b"alice:psst\n".to_vec())]);
    play.sent(Lane::Peer);
    assert_eq!(play.answer(tag), Ok(Done::Said(name("bob"))));
    play.session.delivered(play.now, Source::Elsewhere(STRANGER), b"bob:yes?\n");
    let private = Event::Private { from: name("bob"), text: "yes?".into() };
    assert_eq!(play.happenings(), [Happening::Event(private)], "whose address we have may speak from there");
    let (first, second) = (play.ask(say()), play.ask(say()));
    assert_eq!(play.actions().len(), 1);
    let why = Failure::new(Status::NoServer, "can't reach them");
    play.session.sent(play.now, Lane::Peer, Err(NotSent::Unreachable(why.clone())));
    let failed = Failure::new(Status::NoServer, "not said to bob: can't reach them");
    let answered = |tag| Happening::Answered { tag, answer: Err(failed.clone()) };
    assert_eq!(play.happenings(), [answered(first), answered(second)]);
    play.ask(say());
    assert_eq!(play.requests(), ["getaddress,alice,bob"], "they are asked anew");
    let tag = play.ask(Request::Private { user: name("Alice"), text: text("psst") });
    assert_eq!(play.answer(tag).map_err(|(status, _)| status), Err(Status::Usage));
}

#[test]
fn why_there_is_no_address_is_told() {
    let rows = [
        ("getaddress,offline", Status::TryAgain, "no address of bob: they have gone offline"),
        ("getaddress,blocked", Status::Refused, "no address of bob: they have blocked you"),
        ("getaddress,no", Status::Refused, "no address of bob: the answer is no"),
        ("No such User in the system\n", Status::NoRecipient, "there is no user 'bob'"),
    ];
    for (bytes, status, why) in rows {
        for request in
            [Request::GetAddress { user: name("bob") }, Request::Private { user: name("bob"), text: text("psst") }]
        {
            let mut play = Play::logged_in();
            let tag = play.ask(request);
            play.requests();
            play.delivered(bytes);
            assert_eq!(play.answer(tag), Err((status, why.into())));
        }
    }
}

#[test]
fn what_is_asked_for_has_a_bound() {
    let mut play = Play::logged_in();
    for _ in 0..PENDING_MAX {
        play.ask(Request::Online);
    }
    assert_eq!(play.happenings(), []);
    let tag = play.ask(Request::Online);
    assert_eq!(play.answer(tag).map_err(|(status, _)| status), Err(Status::TryAgain));
}

proptest! {
    #[test]
    fn splits_of_a_dialogue_within_the_quiet_time_change_nothing(
        splits in proptest::collection::vec((1usize..20, 0u64..50), 1..20),
    ) {
        let mut play = Play::new();
        play.session.connected(play.now, 40123);
        play.actions();
        for text in ["Welcome to simple chat server!\n", "Authenticated alice"] {
            let mut rest = text;
            for (length, pause) in splits.iter().cycle() {
                let (piece, more) = rest.split_at(rest.len().min(*length));
                play.session.received(play.now, piece.as_bytes());
                rest = more;
                if rest.is_empty() {
                    break;
                }
                play.pass(*pause);
            }
            play.pass(50);
        }
        prop_assert_eq!(play.actions(), [write("ok"), Action::HangUp]);
        prop_assert_eq!(play.happenings(), [Happening::LoggedIn { user: name("alice") }]);
    }

    #[test]
    fn nothing_that_anybody_says_panics(
        said in proptest::collection::vec((any::<bool>(), "(getaddress|online|note|User|bob|shutdown|,|:|\n|10.0.0.9|1|é){0,6}"), 0..30),
    ) {
        let mut play = Play::logged_in();
        for (n, (from_server, bytes)) in said.into_iter().enumerate() {
            let from = if from_server { Source::Server } else { Source::Elsewhere(STRANGER) };
            play.ask(match n % 3 {
                0 => Request::Online,
                1 => Request::Private { user: name("bob"), text: text("psst") },
                _ => Request::Message { to: name("bob"), text: text("hi") },
            });
            play.session.delivered(play.now, from, bytes.as_bytes());
            play.sent(Lane::Server);
            play.pass(600);
        }
    }
}
