use super::*;
use crate::client::classic::Session as _;
use crate::wire::session::log_on;
use crate::wire::session::{Challenge, LocalTime, Response};

const PATIENCE: Patience = Patience { log_in_within: at(10_000), within: at(10_000), answer_within: at(130_000) };

const fn at(ms: u64) -> Now {
    Duration::from_millis(ms)
}

fn name(text: &str) -> UserName {
    UserName::parse(text).unwrap()
}

fn text(text: &str) -> Text {
    Text::parse(text).unwrap()
}

fn secret() -> Password {
    Password::parse("wonderland").unwrap()
}

fn challenge(number: u64) -> Challenge {
    Challenge::new(number).unwrap()
}

fn rand() -> Challenge {
    challenge(4_365_043_278)
}

fn key() -> SessionKey {
    SessionKey::of(rand(), &secret())
}

fn id() -> LocalTime {
    LocalTime::parse("20240229235958").unwrap()
}

fn chat() -> Chat {
    Chat { id: id(), peer: name("bob") }
}

/// A session, and the test as the server.
struct Play {
    session: Session,
    now: Now,
}

impl Play {
    /// It has said HELLO.
    fn new() -> Play {
        Play::of("alice")
    }

    fn of(user: &str) -> Play {
        let mut session = Session::new(Login { user: name(user), secret: secret() }, PATIENCE);
        assert!(session.uses_datagrams() && !session.listens());
        session.opened(Now::ZERO);
        let mut play = Play { session, now: Now::ZERO };
        assert_eq!(play.actions(), [datagram(format!("HELLO({user})"))]);
        play
    }

    /// The port is known.
    fn dialling() -> Play {
        let mut play = Play::new();
        play.heard(&log_on::challenge(rand()));
        assert_eq!(play.actions(), [datagram(response(rand()))]);
        play.succeeds();
        assert_eq!(play.actions(), [Action::Dial(2345)]);
        play
    }

    fn logged_in() -> Play {
        let mut play = Play::dialling();
        play.session.connected(play.now, 0);
        assert_eq!(play.said(), ["CONNECT(4365043278)"]);
        play.received("CONNECTED\n");
        assert_eq!(play.happenings(), [Happening::LoggedIn { user: name("alice") }]);
        play.pass(100);
        play
    }

    /// Whom bob has called.
    fn in_chat() -> Play {
        let mut play = Play::logged_in();
        play.received("CHAT_STARTED(20240229235958, bob)");
        assert_eq!(play.said(), ["CHAT_CHECK(20240229235958,  bob)"]);
        assert_eq!(play.happenings(), [Happening::Event(Event::ChatStarted(chat()))]);
        play.pass(100);
        play
    }

    fn pass(&mut self, ms: u64) {
        self.now += at(ms);
        self.session.tick(self.now);
    }

    fn heard(&mut self, datagram: &[u8]) {
        self.session.heard(self.now, datagram);
    }

    fn succeeds(&mut self) {
        let port = match log_on::FromServer::parse(&ciphered("AUTH_SUCCESS(4365043278, 2345)", &key()), Some(&key())) {
            Some(log_on::FromServer::Success { port, .. }) => port,
            other => panic!("{other:?}"),
        };
        self.heard(&log_on::success(rand(), port, &key()));
    }

    /// The server says something, and is quiet.
    fn received(&mut self, plain: &str) {
        self.received_at_once(&[plain]);
    }

    /// Messages that have become one.
    fn received_at_once(&mut self, plain: &[&str]) {
        let bytes: Vec<u8> = plain.iter().flat_map(|plain| ciphered(plain, &key())).collect();
        self.session.received(self.now, &bytes);
        self.pass(20);
    }

    fn actions(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.session.next_action()).collect()
    }

    fn happenings(&mut self) -> Vec<Happening> {
        std::iter::from_fn(|| self.session.next_happening()).collect()
    }

    /// What is written on the connection.
    fn said(&mut self) -> Vec<String> {
        let said = |action| match action {
            Action::Write(bytes) => key().decipher(&bytes).unwrap(),
            other => panic!("{other:?}"),
        };
        self.actions().into_iter().map(said).collect()
    }

    /// What is written, each in its time.
    fn said_in_a_while(&mut self) -> Vec<String> {
        let mut said = self.said();
        for _ in 0..8 {
            self.pass(99);
            assert_eq!(self.said(), Vec::<String>::new(), "not so soon");
            self.pass(1);
            match &self.said()[..] {
                [] => break,
                [one] => said.push(one.clone()),
                more => panic!("{more:?}"),
            }
        }
        said
    }

    fn ask(&mut self, request: Request) -> Tag {
        self.session.ask(self.now, request)
    }

    fn closed(&mut self) -> End {
        self.session.disconnected(self.now, Failure::new(Status::NoServer, "closed"));
        self.ended()
    }

    fn ended(&mut self) -> End {
        match self.happenings().pop() {
            Some(Happening::End(end)) => end,
            other => panic!("{other:?}"),
        }
    }

    /// How a request was refused.
    fn refused(&mut self, request: Request) -> (Status, String) {
        self.ask(request);
        match self.happenings().pop() {
            Some(Happening::Answered { answer: Err(failure), .. }) => (failure.status, failure.text),
            other => panic!("{other:?}"),
        }
    }
}

fn datagram(text: impl Into<String>) -> Action {
    Action::Datagram(text.into().into_bytes())
}

fn response(to: Challenge) -> String {
    format!("RESPONSE(alice, {})", Response::to(to, &secret()))
}

fn done(tag: Tag, done: Done) -> Happening {
    Happening::Answered { tag, answer: Ok(done) }
}

fn message(from: &str, text: &str) -> Happening {
    Happening::Event(Event::Message { from: name(from), text: text.into() })
}

#[test]
fn a_log_on_is_two_questions_and_a_connection() {
    let mut play = Play::logged_in();
    assert_eq!((play.actions(), play.session.poll_timeout()), (vec![], None));
}

#[test]
fn what_is_lost_is_said_again() {
    let mut play = Play::new();
    for (pause, times) in [(500, 1), (1000, 1), (1999, 0), (1, 1)] {
        play.pass(pause);
        assert_eq!(play.actions(), vec![datagram("HELLO(alice)"); times]);
    }
    play.heard(&log_on::challenge(rand()));
    assert_eq!(play.actions(), [datagram(response(rand()))]);
    // The same one again is no new question.
    play.heard(&log_on::challenge(rand()));
    assert_eq!(play.actions(), []);
    play.pass(500);
    assert_eq!(play.actions(), [datagram(response(rand()))]);
    play.succeeds();
    assert_eq!(play.actions(), [Action::Dial(2345)]);
    play.succeeds();
    play.pass(500);
    assert_eq!(play.actions(), []);
}

#[test]
fn a_server_without_memory_may_take_back_its_challenge() {
    let mut play = Play::new();
    play.heard(&log_on::challenge(challenge(1_111_111_111)));
    play.heard(&log_on::challenge(rand()));
    assert_eq!(play.actions(), [datagram(response(challenge(1_111_111_111))), datagram(response(rand()))]);
    // To the first answer: it had another challenge by then.
    play.heard(log_on::FAILURE);
    assert_eq!(play.happenings(), []);
    play.succeeds();
    assert_eq!(play.actions(), [Action::Dial(2345)]);
}

#[test]
fn whoever_is_not_let_in_is_told_why() {
    let mut play = Play::of("clientA");
    play.heard(&log_on::challenge(rand()));
    play.heard(log_on::FAILURE);
    let End::WrongPassword(failure) = play.ended() else { panic!("another password may do") };
    let why = "the server does not let 'clientA' in with this password";
    assert_eq!(failure, Failure::new(Status::Refused, why));

    let mut play = Play::new();
    play.heard(&log_on::challenge(rand()));
    play.heard(log_on::FAILURE);
    let End::WrongPassword(failure) = play.ended() else { panic!("another password may do") };
    assert!(failure.text.contains("names of 7 letters"), "{}", failure.text);

    let mut play = Play::new();
    play.heard(log_on::NOT_ON_LIST);
    let why = "the server does not know 'alice', or not with this protocol";
    assert_eq!(play.ended(), End::Failed(Failure::new(Status::Refused, why)));
    assert_eq!(play.actions(), [Action::HangUp]);
}

#[test]
fn a_server_that_does_not_answer_is_given_up() {
    let mut play = Play::new();
    let nobody = Failure::new(Status::NoServer, "nobody");
    play.session.unheard(play.now, nobody.clone());
    assert_eq!(play.ended(), End::Failed(nobody));

    let no_answer = || End::Failed(Failure::new(Status::NoServer, "no answer from the server within 10 s"));
    let mut play = Play::new();
    play.pass(10_000);
    assert_eq!(play.ended(), no_answer());
    let mut play = Play::dialling();
    play.session.connected(play.now, 0);
    play.pass(10_000);
    assert_eq!(play.ended(), no_answer());

    let mut play = Play::new();
    play.heard(b"\x1b[2Jwhat?\n");
    play.pass(10_000);
    let End::Failed(failure) = play.ended() else { panic!("it is over") };
    assert_eq!(failure.status, Status::NotUnderstood);
    assert!(failure.text.ends_with("it says: <U+001B>[2Jwhat?"), "{}", failure.text);
}

#[test]
fn a_server_that_listens_late_is_dialled_again() {
    let mut play = Play::dialling();
    let refused = || Failure::new(Status::NoServer, "refused");
    for _ in 0..19 {
        play.session.disconnected(play.now, refused());
        play.pass(99);
        assert_eq!(play.actions(), []);
        play.pass(1);
        assert_eq!(play.actions(), [Action::Dial(2345)]);
    }
    play.pass(100);
    play.session.disconnected(play.now, refused());
    assert_eq!(play.ended(), End::Failed(refused()));
}

#[test]
fn a_chat_that_we_begin() {
    let mut play = Play::logged_in();
    let asked = play.ask(Request::Chat { user: name("bob") });
    assert_eq!(play.said(), ["CHAT_REQUEST(bob)"]);
    // These wait for the answer.
    let first = play.ask(Request::Say { text: text("hello") });
    let end = play.ask(Request::EndChat);
    play.pass(1000);
    assert_eq!(play.said(), Vec::<String>::new());
    play.received("CHAT_STARTED(20240229235958, bob)");
    assert_eq!(play.happenings(), [done(asked, Done::ChatStarted(chat()))]);
    assert_eq!(play.said_in_a_while(), ["CHAT_CHECK(20240229235958,  bob)", "hello", "END_REQUEST(20240229235958)"]);
    assert_eq!(play.happenings(), [done(first, Done::HandedOver), done(end, Done::ChatEnded(chat()))]);
    play.received("bob: too late?");
    assert_eq!(play.happenings(), [message("bob", "too late?")]);
    assert_eq!(play.said(), Vec::<String>::new());
}

#[test]
fn a_history_is_asked_for_though_the_chat_ends_meanwhile() {
    let mut play = Play::in_chat();
    play.pass(100);
    let said = play.ask(Request::Say { text: text("hello") });
    let tag = play.ask(Request::History { user: name("bob"), count: 10 });
    assert_eq!((play.said(), play.happenings()), (vec!["hello".into()], vec![done(said, Done::HandedOver)]));
    play.received("END_NOTIF(20240229235958)");
    assert_eq!(play.happenings(), [Happening::Event(Event::ChatEnded(chat()))]);
    for next in ["END_CHECK(20240229235958)", "HISTORY_REQ(bob)"] {
        play.pass(100);
        assert_eq!(play.said(), [next]);
    }
    play.received("<20240229235958> alice: hello\n");
    play.pass(1000);
    let entry = Entry { chat: id(), from: name("alice"), to: name("bob"), text: "hello".into() };
    assert_eq!(play.happenings(), [done(tag, Done::History(vec![entry]))]);
}

#[test]
fn a_chat_that_somebody_else_begins_and_ends() {
    let mut play = Play::in_chat();
    play.received("bob: C\u{200b}HAT_STARTED\n    yes");
    assert_eq!(play.happenings(), [message("bob", "CHAT_STARTED\nyes")]);
    let tag = play.ask(Request::Say { text: text("log off") });
    assert_eq!(play.said(), ["l\u{200b}og off"]);
    assert_eq!(play.happenings(), [done(tag, Done::HandedOver)]);
    play.pass(100);
    play.received("END_NOTIF(20240229235958)");
    assert_eq!(play.said(), ["END_CHECK(20240229235958)"]);
    assert_eq!(play.happenings(), [Happening::Event(Event::ChatEnded(chat()))]);
    assert_eq!(play.refused(Request::Say { text: text("hello") }).0, Status::Usage);
    assert_eq!(play.refused(Request::EndChat).0, Status::Usage);
    // Of a chat that is over nothing is confirmed.
    play.pass(100);
    play.received("END_NOTIF(20240229235958)");
    assert_eq!((play.said(), play.happenings()), (vec![], vec![]));
}

#[test]
fn who_is_not_there_is_told() {
    let mut play = Play::logged_in();
    let tag = play.ask(Request::Chat { user: name("bob") });
    play.said();
    play.received("UNREACHABLE(bob)");
    let why = Failure::new(Status::TryAgain, "bob can't be reached now: not online, in another chat, or not for you");
    assert_eq!(play.happenings(), [Happening::Answered { tag, answer: Err(why) }]);
    let tag = play.ask(Request::Chat { user: name("bob") });
    play.pass(10_000);
    let why = Failure::new(Status::NoServer, "no answer from the server in time: it may be done or not");
    assert_eq!(play.happenings(), [Happening::Answered { tag, answer: Err(why) }]);
    assert_eq!(play.refused(Request::Chat { user: name("ALICE") }).0, Status::Usage);
    assert_eq!(play.refused(Request::Online).0, Status::Usage);
    let mut play = Play::in_chat();
    let why = "you are in a chat with bob: 'end chat' first";
    assert_eq!(play.refused(Request::Chat { user: name("carol") }), (Status::TryAgain, why.into()));
    assert_eq!(play.refused(Request::Chat { user: name("bob") }).0, Status::Usage);
}

#[test]
fn whoever_is_called_while_calling_is_in_the_chat_that_there_is() {
    let mut play = Play::logged_in();
    let tag = play.ask(Request::Chat { user: name("carol") });
    play.received("CHAT_STARTED(20240229235958, bob)");
    play.received("UNREACHABLE(carol)");
    let happenings = play.happenings();
    assert_eq!(happenings[0], Happening::Event(Event::ChatStarted(chat())));
    assert!(matches!(&happenings[1], Happening::Answered { tag: of, answer: Err(_) } if *of == tag));
    // They have called each other.
    let mut play = Play::logged_in();
    let tag = play.ask(Request::Chat { user: name("bob") });
    play.received("CHAT_STARTED(20240229235958, bob)");
    play.received("UNREACHABLE(bob)");
    assert_eq!(play.happenings(), [done(tag, Done::ChatStarted(chat()))]);
}

#[test]
fn a_message_is_a_chat_of_its_own() {
    let mut play = Play::logged_in();
    let tag = play.ask(Request::Message { to: name("bob"), text: text("hello") });
    assert_eq!(play.session.unsent(), 1);
    play.session.log_out(play.now);
    assert_eq!(play.said(), ["CHAT_REQUEST(bob)"]);
    play.pass(100);
    play.received("CHAT_STARTED(20240229235958, bob)");
    assert_eq!(
        play.said_in_a_while(),
        ["CHAT_CHECK(20240229235958,  bob)", "hello", "END_REQUEST(20240229235958)", "log off"]
    );
    assert_eq!(play.happenings(), [done(tag, Done::HandedOver)]);
    assert_eq!(play.session.unsent(), 0);
    assert_eq!(play.closed(), End::LoggedOut);

    let mut play = Play::in_chat();
    play.ask(Request::Message { to: name("bob"), text: text("hello") });
    assert_eq!(play.said_in_a_while(), ["hello"]);
    assert_eq!(play.refused(Request::Message { to: name("carol"), text: text("hi") }).0, Status::TryAgain);
}

#[test]
fn a_long_text_goes_in_parts_that_a_chat_may_outlive() {
    let mut play = Play::in_chat();
    let tag = play.ask(Request::Say { text: text(&"é".repeat(1200)) });
    assert_eq!(play.session.unsent(), 1);
    play.pass(100);
    let parts = play.said();
    assert_eq!(parts.len(), 2);
    assert!(parts.iter().all(|part| part.len() <= READ_BYTES_MAX - "alice: ".len()), "with the name before it");
    assert_eq!(play.happenings(), []);
    play.pass(99);
    play.received("END_NOTIF(20240229235958)");
    let why = Failure::new(Status::TryAgain, "bob has ended the chat before everything was said");
    let over = Happening::Event(Event::ChatEnded(chat()));
    assert_eq!(play.happenings(), [Happening::Answered { tag, answer: Err(why) }, over]);
    assert_eq!(play.said_in_a_while(), ["END_CHECK(20240229235958)"]);
}

#[test]
fn a_history_is_whole_when_it_is_quiet() {
    let entry =
        |from: &str, to: &str, text: &str| Entry { chat: id(), from: name(from), to: name(to), text: text.into() };
    let mut play = Play::in_chat();
    let tag = play.ask(Request::History { user: name("bob"), count: 2 });
    assert_eq!(play.said(), ["HISTORY_REQ(bob)"]);
    play.received("<20240229235958> alice: one\n<20240229235958> bob: two\n    lines\n");
    play.pass(979);
    play.received("carol: in between");
    play.received("<20240229235958> alice: three\n");
    assert_eq!(play.happenings(), [message("carol", "in between")]);
    play.pass(1000);
    let last = vec![entry("bob", "alice", "two\nlines"), entry("alice", "bob", "three")];
    assert_eq!(play.happenings(), [done(tag, Done::History(last))]);

    let tag = play.ask(Request::History { user: name("bob"), count: 2 });
    play.received("There is no history.");
    play.pass(1000);
    assert_eq!(play.happenings(), [done(tag, Done::NoHistory("There is no history.".into()))]);
    let tag = play.ask(Request::History { user: name("bob"), count: 2 });
    play.pass(10_000);
    let why = Failure::new(Status::NoServer, "no answer from the server in time");
    assert_eq!(play.happenings(), [Happening::Answered { tag, answer: Err(why) }]);
    assert_eq!(play.refused(Request::History { user: name("alice"), count: 2 }).0, Status::Usage);
}

#[test]
fn what_has_become_one_is_told_apart() {
    let mut play = Play::dialling();
    play.session.connected(play.now, 0);
    play.actions();
    play.received_at_once(&["CONNECTED\n", "CHAT_STARTED(20240229235958, bob)"]);
    let happenings = [Happening::LoggedIn { user: name("alice") }, Happening::Event(Event::ChatStarted(chat()))];
    assert_eq!(play.happenings(), happenings);
    play.received_at_once(&["bob: one", "bob: two", "END_NOTIF(20240229235958)"]);
    let over = Happening::Event(Event::ChatEnded(chat()));
    assert_eq!(play.happenings(), [message("bob", "one"), message("bob", "two"), over]);
}

#[test]
fn what_is_nothing_else_is_a_note() {
    let mut play = Play::logged_in();
    play.received("Start a chat first.");
    assert_eq!(play.happenings(), [Happening::Event(Event::Note { text: "Start a chat first.".into() })]);
    play.session.received(play.now, b"\xff");
    play.pass(20);
    assert!(matches!(&play.happenings()[..], [Happening::Warning(_)]));
    assert_eq!(play.closed(), End::Failed(Failure::new(Status::NoServer, "closed")));
}

#[test]
fn leaving_before_it_has_begun_is_no_word() {
    for mut play in [Play::new(), Play::dialling()] {
        play.session.log_out(play.now);
        assert_eq!(play.ended(), End::LoggedOut);
        assert_eq!(play.actions(), [Action::HangUp]);
        assert_eq!(play.session.poll_timeout(), None);
    }
    let mut play = Play::logged_in();
    play.session.log_out(play.now);
    assert_eq!(play.said(), ["log off"]);
    play.pass(1000);
    assert_eq!(play.said(), Vec::<String>::new(), "once");
    assert_eq!(play.closed(), End::LoggedOut);
}
