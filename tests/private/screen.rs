//! At terminals: what two people see of it, whole, and hear.

use crate::support::Chatd;
use crate::support::chat::{KILLED, Person};
use crate::support::terminal::{COLUMNS, Terminal};

/// Somebody at a terminal, logged in: what stands above what the tests are about.
struct Sitting {
    _person: Person,
    terminal: Terminal,
    user: &'static str,
    seen: Vec<String>,
}

impl Sitting {
    fn new(chatd: &Chatd, user: &'static str, others: &str) -> Sitting {
        let person = Person::new(chatd, user);
        let mut terminal = person.sit_down(&[]);
        let question = format!("password of {user}:");
        terminal.sees(&[&question]);
        terminal.enters(crate::support::password(user));
        let hello = format!("hh:mm * you are online as {user}, {others}; 'help' lists the commands");
        let mut sitting = Sitting { _person: person, terminal, user, seen: vec![question] };
        sitting.sees(&[&hello]);
        sitting
    }

    /// Types a line, and sees these below it.
    #[track_caller]
    fn enters(&mut self, line: &str, below: &[&str]) {
        self.terminal.enters(line);
        self.sees(&[&[&*format!("{}> {line}", self.user)][..], below].concat());
    }

    /// These come next, and the prompt below them. `N` stands for a time in seconds, a port and a fingerprint.
    #[track_caller]
    fn sees(&mut self, lines: &[&str]) {
        self.seen.extend(lines.iter().map(|&line| line.to_owned()));
        let end = [format!("{}>", self.user)];
        let wanted: Vec<&str> = self.seen.iter().chain(&end).map(String::as_str).collect();
        self.terminal.sees_that(&format!("{wanted:#?}"), |rows| {
            let lines = whole(rows);
            // What has left the screen at its top does not matter.
            let last = lines.len().min(wanted.len()).saturating_sub(1).max(4.min(wanted.len()));
            lines.len() >= last && lines[lines.len() - last..] == wanted[wanted.len() - last..]
        });
    }

    fn bells(&self) -> usize {
        self.terminal.raw.iter().filter(|&&byte| byte == 7).count()
    }
}

/// The lines of a screen: a row that is full goes on in the next one.
fn whole(rows: &[String]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut goes_on = false;
    for row in rows {
        match lines.last_mut().filter(|_| goes_on) {
            Some(line) => *line += row,
            None => lines.push(row.clone()),
        }
        goes_on = row.chars().count() == usize::from(COLUMNS);
    }
    lines.iter().map(|line| unnumbered(line)).collect()
}

/// `N` for what is another one each time.
fn unnumbered(line: &str) -> String {
    let words = line.split(' ').map(|word| {
        let bare = word.trim_start_matches('(').trim_end_matches([',', ';', ':']);
        let is_number = !bare.is_empty() && bare.bytes().all(|byte| byte.is_ascii_digit());
        if is_number || bare.starts_with("SHA256:") { word.replace(bare, "N") } else { word.to_owned() }
    });
    words.collect::<Vec<_>>().join(" ")
}

const ASKS: &str = "hh:mm * alice asks for your address, to talk to you without the server: \
                    'consent alice yes' or 'consent alice no' within N s";
const NOBODY_BLOCKED: &str = "everyone with an account here can write to you: you block nobody";
const NOBODY_COMES: &str = "nobody may come to you without the server";
const NOBODY_ASKS: &str = "nobody is asking for your address";
const APART: &str = "hh:mm * not connected now: nothing comes through the server, and this is what chat itself knows";

#[test]
fn two_people_at_terminals_talk_without_the_server() {
    let mut chatd = Chatd::start(&["--memory"]);
    let mut bob = Sitting::new(&chatd, "bob", "nobody else is");
    let mut alice = Sitting::new(&chatd, "alice", "bob too");
    bob.sees(&["hh:mm * alice is online"]);
    bob.enters("privacy", &[NOBODY_BLOCKED, NOBODY_COMES, NOBODY_ASKS]);

    let is_asked = "hh:mm * bob is asked, and has N s to answer";
    alice.enters("private bob hi", &[is_asked]);
    bob.sees(&[ASKS]);
    assert_eq!(bob.bells(), 1, "a question rings");
    bob.enters(
        "privacy",
        &[
            NOBODY_BLOCKED,
            NOBODY_COMES,
            "alice is asking for your address (N s left): 'consent alice yes' or 'consent alice no'",
        ],
    );
    alice.enters("private bob more", &["hh:mm * it is said when the private conversation with bob has begun"]);
    alice.enters("private bob", &["hh:mm * the private conversation with bob has not begun yet"]);
    bob.terminal.enters("consent alice yes");
    let up = |user: &str| {
        format!(
            "hh:mm * a private conversation with {user} has begun: 'private {user} TEXT' says something, \
             'end private {user}' ends it"
        )
    };
    alice.sees(&["hh:mm * bob says yes: 127.0.0.1 port N, for N s", &up("bob"), "✓ to bob, privately"]);
    bob.sees(&[
        "bob> consent alice yes",
        "✓ alice, who is at 127.0.0.1, may come to you within N s",
        &up("alice"),
        "hh:mm alice (privately): hi",
        "hh:mm alice (privately): more",
    ]);
    assert!(bob.bells() > 1, "what is said privately rings");
    alice.enters("private bob", &["hh:mm * you are in a private conversation with bob"]);
    let talks = "in a private conversation with alice, whose certificate is N";
    let comes = "alice may come in here for N s more; 'revoke alice' ends that";
    let shown = "your certificate in private conversations is N";
    let may_come = "who may come to you without the server ('revoke USER' takes that back): alice (N s left)";
    bob.enters("privacy", &[NOBODY_BLOCKED, may_come, NOBODY_ASKS, talks, comes, shown]);

    // The server is away: they go on, and chat says how things stand as far as it knows.
    chatd.kill();
    bob.sees(&[KILLED]);
    alice.sees(&[KILLED]);
    bob.enters("private alice still here", &["✓ to alice, privately"]);
    alice.sees(&["hh:mm bob (privately): still here"]);
    bob.enters("privacy", &[APART, NOBODY_ASKS, talks, comes, shown]);
    bob.terminal.enters("end private alice");
    bob.sees(&[
        "bob> end private alice",
        "hh:mm * the private conversation with alice is over: you have ended the conversation",
    ]);
    alice.sees(&["hh:mm * the private conversation with bob is over: bob has ended it"]);
}

#[test]
fn who_has_asked_is_known_while_the_server_is_away() {
    let mut chatd = Chatd::start(&["--memory"]);
    let mut bob = Sitting::new(&chatd, "bob", "nobody else is");
    let mut alice = Sitting::new(&chatd, "alice", "bob too");
    bob.sees(&["hh:mm * alice is online"]);
    alice.enters("private bob hi", &["hh:mm * bob is asked, and has N s to answer"]);
    bob.sees(&[ASKS]);
    chatd.kill();
    bob.sees(&[KILLED]);
    alice.sees(&[KILLED]);
    let asked = "alice was asking for your address (N s left): answer when the server is back";
    bob.enters("privacy", &[APART, NOBODY_COMES, asked]);
    bob.enters("consent alice yes", &["not connected now: answer when the server is back"]);
    let wants = "you want to talk to bob privately; they are being asked";
    alice.enters(
        "privacy",
        &[APART, NOBODY_COMES, NOBODY_ASKS, wants, "your certificate in private conversations is N"],
    );
}

#[test]
fn a_no_is_seen_and_the_text_can_be_sent_after_all() {
    let chatd = Chatd::start(&["--memory"]);
    let mut bob = Sitting::new(&chatd, "bob", "nobody else is");
    let mut alice = Sitting::new(&chatd, "alice", "bob too");
    bob.sees(&["hh:mm * alice is online"]);
    alice.enters("private bob hi", &["hh:mm * bob is asked, and has N s to answer"]);
    bob.sees(&[ASKS]);
    bob.enters("consent alice no", &["✓ alice does not learn where you are"]);
    alice.sees(&[
        "hh:mm * no address of bob: the answer is no",
        "not said to bob: no address of bob: the answer is no; 'deliver bob' sends it through the server",
    ]);
    let held = "not said to bob: N; 'deliver bob' sends them through the server";
    let shown = "your certificate in private conversations is N";
    alice.enters("privacy", &[NOBODY_BLOCKED, NOBODY_COMES, NOBODY_ASKS, held, shown]);
    alice.enters("deliver bob", &["✓ to bob"]);
    bob.sees(&["hh:mm alice: hi"]);
    alice.enters("end private bob", &["there is no private conversation with bob"]);
    alice.enters("deliver bob", &["there is nothing for bob that could not be said"]);
}
