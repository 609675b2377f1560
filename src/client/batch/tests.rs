use super::lines::LINE_BYTES_MAX;
use super::*;
use crate::client::core::{Chat, Login};
use crate::wire::LocalTime;
use crate::wire::native::client::{Heard as Message, Party, Problem, ReachTold};

fn name(text: &str) -> UserName {
    UserName::parse(text).unwrap()
}

fn at(seconds: u64) -> Now {
    Duration::from_secs(seconds)
}

/// A batch, and a session that never connects: the test is the server.
struct Play {
    batch: Batch,
    session: Session,
}

impl Play {
    fn new(receipts: bool, json: bool) -> Play {
        let login = Login { user: name("alice"), password: Some("x".into()), device: None, heartbeat: at(30) };
        let manner = Manner { json, receipts, within: at(10), answer_within: at(130) };
        Play { batch: Batch::new(manner, name("alice")), session: Session::new(login) }
    }

    fn line(&mut self, now: u64, line: &str) {
        assert!(self.batch.is_ready());
        self.batch.line(&mut self.session, at(now), Ok(line));
    }

    fn answer(&mut self, answer: Result<Done, Problem>) {
        let Some(Doing::Answer { tag, .. }) = self.batch.doing else { panic!("nothing is asked") };
        self.batch.happened(Happening::Answered { tag, answer });
    }

    fn news(&mut self, text: &str) {
        let (number, from) = (Number(1), Party::User(name("bob")));
        let message = Message { number, time: 0, from, to: Party::You, text: text.into() };
        self.batch.happened(Happening::News(News::Message(message)));
    }

    fn tick(&mut self, now: u64) {
        self.batch.tick(&mut self.session, at(now));
    }

    fn lines(&mut self) -> Vec<String> {
        let lines = self.batch.take_lines().into_iter();
        lines
            .map(|line| match line {
                Line::Data(line) => line,
                Line::Complaint(line) => format!("! {line}"),
            })
            .collect()
    }
}

fn accepted(number: u64) -> Result<Done, Problem> {
    Ok(Done::Accepted { number: Number(number), reach: ReachTold::Online })
}

fn refused(code: &str) -> Result<Done, Problem> {
    Err(Problem { code: code.into(), text: "no".into(), retry_after: None })
}

#[test]
fn commands_are_done_one_after_the_other() {
    let mut play = Play::new(false, false);
    play.line(0, "# a remark");
    play.line(0, "message bob hi");
    assert!(!play.batch.is_ready());
    play.news("hello");
    play.answer(accepted(12));
    play.line(0, "block bob");
    play.answer(Ok(Done::Blocked(name("bob"))));
    play.line(0, "online");
    play.answer(Ok(Done::Online(vec![name("bob"), name("carol")])));
    play.line(0, "logout");
    assert!(!play.batch.is_ready());
    assert_eq!(play.lines(), ["bob: hello", "ok 12", "ok", "bob", "carol"]);
    assert_eq!(play.batch.status(), Status::Done);
}

fn chat() -> Chat {
    Chat { id: LocalTime::from_number(20_260_228_235_959), user: name("bob") }
}

#[test]
fn a_chat_is_begun_and_ended_and_its_end_can_be_waited_for() {
    for json in [false, true] {
        let mut play = Play::new(false, json);
        play.line(0, "chat bob");
        play.answer(Ok(Done::ChatStarted(chat())));
        play.line(0, "end chat");
        play.answer(Ok(Done::ChatEnded(chat())));
        play.line(0, "wait chat-ended");
        assert!(!play.batch.is_ready(), "an answer is no event");
        let Chat { id, user } = chat();
        play.batch.happened(Happening::News(News::ChatStarted { id, user: user.clone() }));
        play.batch.happened(Happening::News(News::ChatEnded { id, user }));
        assert!(play.batch.is_ready());
        play.line(0, "wait chat-started");
        assert!(play.batch.is_ready());
        let expected = match json {
            false => ["ok", "ok", "* a chat with bob has begun", "* the chat with bob is over"],
            true => [
                r#"{"chat":"20260228235959","reply":"chat-started","user":"bob"}"#,
                r#"{"chat":"20260228235959","reply":"chat-ended","user":"bob"}"#,
                r#"{"chat":"20260228235959","event":"chat-started","user":"bob"}"#,
                r#"{"chat":"20260228235959","event":"chat-ended","user":"bob"}"#,
            ],
        };
        assert_eq!(play.lines(), expected);
        assert_eq!(play.batch.status(), Status::Done);
    }
}

#[test]
fn who_can_t_be_reached_for_a_chat_may_be_later() {
    let mut play = Play::new(false, false);
    play.line(0, "chat bob");
    play.answer(refused("unreachable"));
    assert_eq!(play.lines(), ["! line 1: no"]);
    assert_eq!(play.batch.status(), Status::TryAgain);
}

#[test]
fn a_failure_is_told_and_the_first_one_counts() {
    let mut play = Play::new(false, false);
    play.line(0, "message nobody hi");
    play.answer(refused("no-such-user"));
    play.line(0, "nonsense");
    play.batch.line(&mut play.session, at(0), Err("the line is not UTF-8"));
    play.line(0, "message bob hi");
    play.answer(accepted(1));
    assert_eq!(
        play.lines(),
        [
            "! line 1: no",
            "! line 2: there is no command 'nonsense'; 'help' lists them",
            "! line 3: the line is not UTF-8",
            "ok 1"
        ]
    );
    assert_eq!(play.batch.status(), Status::NoRecipient);
}

#[test]
fn wait_finds_a_line_that_came_before_or_comes_and_each_only_once() {
    let mut play = Play::new(false, false);
    play.news("one");
    play.news("two");
    play.line(0, "wait two");
    assert!(play.batch.is_ready(), "it came before");
    play.line(0, "wait bob: one");
    assert!(play.batch.is_ready(), "it was left over");
    play.line(0, "wait one 5");
    assert!(!play.batch.is_ready(), "it was found already");
    assert_eq!(play.batch.poll_timeout(), Some(at(5)));
    play.news("another one");
    assert!(play.batch.is_ready());
    play.line(1, "wait offline 2");
    play.batch.happened(Happening::News(News::Online { user: name("carol") }));
    assert!(!play.batch.is_ready());
    play.batch.happened(Happening::News(News::Offline { user: name("carol") }));
    assert!(play.batch.is_ready());
    play.lines();
    play.line(1, "wait never 2");
    play.tick(2);
    assert!(!play.batch.is_ready());
    play.tick(3);
    assert_eq!(play.lines(), ["! line 5: 'never' did not come in time"]);
    assert_eq!(play.batch.status(), Status::TryAgain);
}

#[test]
fn a_command_without_an_answer_is_given_up() {
    let mut play = Play::new(false, false);
    play.line(0, "message bob hi");
    let Some(Doing::Answer { tag, .. }) = play.batch.doing else { panic!() };
    play.tick(9);
    assert!(!play.batch.is_ready());
    play.tick(10);
    assert!(play.batch.is_ready());
    assert_eq!(play.session.pending(), 0, "it does not travel again behind the script's back");
    play.batch.happened(Happening::Answered { tag, answer: accepted(1) });
    assert_eq!(play.lines(), ["! line 1: no answer from the server in time: it may be done or not"]);
    assert_eq!(play.batch.status(), Status::NoServer);
}

#[test]
fn with_receipts_a_message_is_done_when_it_is_delivered() {
    let delivered = |number| Happening::News(News::Delivered { number: Number(number), to: name("bob") });
    let mut play = Play::new(true, false);
    play.line(0, "message bob hi");
    play.answer(accepted(5));
    play.batch.happened(delivered(4));
    assert!(!play.batch.is_ready());
    play.batch.happened(delivered(5));
    assert!(play.batch.is_ready());
    play.line(0, "message bob hi");
    play.batch.happened(delivered(6));
    play.answer(accepted(6));
    assert!(play.batch.is_ready());
    play.line(0, "message bob hi");
    play.answer(accepted(7));
    play.tick(10);
    assert_eq!(
        play.lines(),
        ["ok 5", "ok 6", "ok 7", "! line 3: the message is safe on the server, but was not delivered in time"]
    );
    assert_eq!(play.batch.status(), Status::TryAgain);
}

#[test]
fn in_json_lines_are_found_by_either_form() {
    let mut play = Play::new(false, true);
    play.news("a\u{1b}");
    play.line(0, "wait bob: a");
    assert!(play.batch.is_ready());
    play.line(0, "message bob hi");
    play.answer(accepted(5));
    assert_eq!(
        play.lines(),
        [
            r#"{"event":"message","from":"bob","number":1,"text":"a\u001b","time":0,"to":"alice"}"#,
            r#"{"number":5,"reach":"online","reply":"accepted"}"#
        ]
    );
}

#[test]
fn lines_are_read_with_a_bound() {
    let long = vec![b'x'; LINE_BYTES_MAX as usize + 10];
    let input = [b"one\r\n\n\xff\n", &long[..], b"\nlast"].concat();
    let mut input = &input[..];
    let mut lines = Vec::new();
    while let Some(line) = next_line(&mut input).unwrap() {
        lines.push(line);
    }
    assert_eq!(
        lines,
        [Ok("one".into()), Ok("".into()), Err("the line is not UTF-8"), Err("the line is too long"), Ok("last".into())]
    );
}
