//! The commands: one table for parsing, for help and for completion, and for which protocol has a word for what.

use std::time::Duration;

use super::core::{HISTORY_COUNT_MAX, Request};
use super::exit::Failure;
use crate::wire::Protocol;
use crate::wire::{Text, UserName};

/// How many messages `history` shows unless told otherwise.
const HISTORY_COUNT_DEFAULT: usize = 100;
/// How long `wait` waits unless told otherwise.
pub const WAIT_DEFAULT: Duration = Duration::from_secs(10);
/// The longest time that an option or `wait` takes: a year.
const SECONDS_MAX: f64 = 366.0 * 86_400.0;

/// Why `passwd` and `sign-up` are not done without TLS.
pub const NEEDS_TLS: &str = "passwords are made known over TLS only: leave out --insecure-plaintext";
/// Why private conversations need TLS.
pub const PRIVATE_NEEDS_TLS: &str = "private conversations are made out over TLS only, or somebody could put themselves in between: leave out --insecure-plaintext";
/// Why `sign-up` is not done in a session.
pub const SIGN_UP_FIRST: &str = "'sign-up' stands on the command line: whoever has a session has an account";

/// What ends a chat where every other line is a text.
const END_CHAT: &str = "end chat";
/// What a command begins with there.
pub const COMMAND_MARK: char = '/';

/// Why `wait` is not done at a terminal.
pub const WAIT_IS_FOR_SCRIPTS: &str = "'wait' is for scripts: what comes in is shown here anyway";

/// What somebody wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    Ask(Request),
    /// The text of this message is on standard input.
    MessageFromInput {
        to: UserName,
    },
    /// Until a line comes that contains `text`, or an event of that kind.
    Wait {
        text: String,
        within: Duration,
    },
    /// Wants to know where a user is.
    GetAddress {
        user: UserName,
    },
    /// The answer to whoever wants to know where we are.
    Consent {
        user: UserName,
        yes: bool,
    },
    /// Says something without the server; without a text only the conversation comes about.
    Private {
        user: UserName,
        text: Option<Text>,
    },
    EndPrivate {
        user: UserName,
    },
    /// Through the server after all.
    Deliver {
        user: UserName,
    },
    /// Says something in the chat.
    Say {
        text: Text,
    },
    /// Once more; it is never done.
    LogIn {
        user: UserName,
    },
    /// The passwords are asked for, or come from elsewhere: never from the line.
    ChangePassword,
    SignUp,
    LogOut,
    Help,
}

/// A command in the table.
pub struct Entry {
    pub name: &'static str,
    /// What follows it.
    pub arguments: &'static str,
    pub help: &'static str,
    pub kind: Kind,
    /// Who has a word for it, or needs none.
    protocols: &'static [Protocol],
}

/// How a command's arguments are read, and where it makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Message,
    Broadcast,
    Online,
    Block,
    Unblock,
    Blocked,
    History,
    GetAddress,
    Consent,
    Revoke,
    Chat,
    Private,
    End,
    Deliver,
    Say,
    LogIn,
    LogOff,
    Privacy,
    Wait,
    ChangePassword,
    SignUp,
    LogOut,
    Help,
}

const ALL: &[Protocol] = &Protocol::ALL;
const WITH_USERS: &[Protocol] = &[Protocol::Native, Protocol::Request];
const WITH_MESSAGES: &[Protocol] = &[Protocol::Native, Protocol::Request, Protocol::Session, Protocol::Datagram];
const WITH_EVERYONE: &[Protocol] = &[Protocol::Native, Protocol::Request, Protocol::Datagram, Protocol::Nick];
const WITH_A_LIST: &[Protocol] = &[Protocol::Native, Protocol::Request, Protocol::Datagram];
const WITH_CHATS: &[Protocol] = &[Protocol::Native, Protocol::Session];
const SESSION: &[Protocol] = &[Protocol::Session];
const DATAGRAM: &[Protocol] = &[Protocol::Datagram];
const NATIVE: &[Protocol] = &[Protocol::Native];

/// All commands, in the order in which help shows them.
pub const TABLE: [Entry; 26] = [
    entry("chat", "USER", "begin a chat with USER: what you type then is said there", Kind::Chat, WITH_CHATS),
    entry("say", "TEXT", "say TEXT in the chat, even if it begins with a command", Kind::Say, SESSION),
    entry("message", "USER TEXT", "send a private message; it waits if USER is offline", Kind::Message, WITH_MESSAGES),
    entry("broadcast", "TEXT", "send a message to everyone who is online", Kind::Broadcast, WITH_EVERYONE),
    entry("message*", "TEXT", "the same as 'broadcast'", Kind::Broadcast, DATAGRAM),
    entry("online", "", "show who is online", Kind::Online, WITH_A_LIST),
    entry("contacts", "", "the same as 'online'", Kind::Online, DATAGRAM),
    entry("block", "USER", "receive nothing more from USER, and be invisible to them", Kind::Block, WITH_USERS),
    entry("unblock", "USER", "undo that", Kind::Unblock, WITH_USERS),
    entry("blocked", "", "show whom you block", Kind::Blocked, NATIVE),
    entry("history", "[USER] [COUNT]", "show the last messages (100), only those with USER", Kind::History, WITH_CHATS),
    entry(
        "private",
        "USER [TEXT]",
        "talk to USER without the server, which asks them first",
        Kind::Private,
        WITH_USERS,
    ),
    entry("end", "chat|private USER", "end the chat, or a conversation without the server", Kind::End, WITH_CHATS),
    entry("deliver", "USER", "send through the server what could not be said to USER privately", Kind::Deliver, NATIVE),
    entry("getaddress", "USER", "ask USER for their address", Kind::GetAddress, WITH_USERS),
    entry("consent", "USER yes|no", "answer USER, who asks for your address", Kind::Consent, WITH_USERS),
    entry("revoke", "USER", "take back a yes", Kind::Revoke, NATIVE),
    entry("privacy", "", "show who may reach you, and who has asked", Kind::Privacy, NATIVE),
    entry("wait", "TEXT|EVENT [SECONDS]", "wait for a line with TEXT, or for an event, 10 seconds", Kind::Wait, ALL),
    entry("passwd", "", "change your password, which is asked for", Kind::ChangePassword, NATIVE),
    entry("sign-up", "", "make an account for --user NAME, where the server allows it", Kind::SignUp, NATIVE),
    entry("login", "USER", "refused: who you are says --user, once", Kind::LogIn, DATAGRAM),
    entry("logout", "", "log out and end", Kind::LogOut, ALL),
    entry("log", "off", "the same as 'logout'", Kind::LogOff, SESSION),
    entry("quit", "", "leave, as by 'logout'", Kind::LogOut, DATAGRAM),
    entry("help", "", "show this", Kind::Help, ALL),
];

const fn entry(
    name: &'static str,
    arguments: &'static str,
    help: &'static str,
    kind: Kind,
    protocols: &'static [Protocol],
) -> Entry {
    Entry { name, arguments, help, kind, protocols }
}

impl Entry {
    /// Whether the argument that comes first is a user.
    pub fn takes_user(&self) -> bool {
        matches!(
            self.kind,
            Kind::Message
                | Kind::Block
                | Kind::Unblock
                | Kind::History
                | Kind::Chat
                | Kind::Private
                | Kind::Deliver
                | Kind::GetAddress
                | Kind::Consent
                | Kind::Revoke
        )
    }

    pub fn is_known_to(&self, protocol: Protocol) -> bool {
        self.protocols.contains(&protocol)
    }

    /// Whether the command makes sense without a session.
    fn is_one_shot(&self) -> bool {
        !matches!(
            self.kind,
            Kind::Wait | Kind::LogOut | Kind::LogOff | Kind::LogIn | Kind::Chat | Kind::Say | Kind::End | Kind::Deliver
        )
    }

    fn usage(&self) -> Failure {
        let usage = format!("{} {}", self.name, self.arguments);
        Failure::usage(format_args!("'{}' is used like this: {}", self.name, usage.trim_end()))
    }
}

/// The command of that name.
pub fn find(name: &str) -> Option<&'static Entry> {
    TABLE.iter().find(|entry| entry.name == name)
}

/// The commands of a protocol.
pub fn known_to(protocol: Protocol) -> impl Iterator<Item = &'static Entry> {
    TABLE.iter().filter(move |entry| entry.is_known_to(protocol))
}

/// What `help` shows.
pub fn help(protocol: Protocol) -> String {
    let width = known_to(protocol).map(|entry| entry.name.len() + 1 + entry.arguments.len()).max().unwrap_or(0);
    let line = |entry: &Entry| format!("{:width$}  {}", format!("{} {}", entry.name, entry.arguments), entry.help);
    known_to(protocol).map(line).collect::<Vec<_>>().join("\n")
}

/// The command of that name, if the protocol has a word for it.
fn find_in(protocol: Protocol, name: &str) -> Result<&'static Entry, Failure> {
    let entry = find(name).ok_or_else(|| unknown(name))?;
    match entry.is_known_to(protocol) {
        true => Ok(entry),
        false => Err(Failure::usage(format_args!("the protocol '{protocol}' has no word for '{name}'"))),
    }
}

/// The command of a line; `None` if there is none on it. A text is the rest of its line.
pub fn parse_line(line: &str, protocol: Protocol, receipts: bool) -> Result<Option<Command>, Failure> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (name, rest) = first_word(line);
    // What is no command anywhere is said in the chat, as by that protocol's own client.
    if protocol == Protocol::Session && find(name).is_none() {
        return Ok(Some(Command::Say { text: parse_text(line)? }));
    }
    let entry = find_in(protocol, name)?;
    let (first, text) = first_word(rest);
    let words: Vec<&str> = rest.split_whitespace().collect();
    let arguments = match entry.kind {
        Kind::Message | Kind::Private if text.is_empty() => words,
        Kind::Message | Kind::Private => vec![first, text],
        Kind::Broadcast | Kind::Say if rest.is_empty() => Vec::new(),
        Kind::Broadcast | Kind::Say => vec![rest],
        // The last word is the time if it is a number and there is something before it.
        Kind::Wait => match rest.rsplit_once(char::is_whitespace) {
            Some((text, seconds)) if parse_seconds(seconds).is_ok() => vec![text.trim_end(), seconds],
            _ if rest.is_empty() => Vec::new(),
            _ => vec![rest],
        },
        _ => words,
    };
    parse(entry, &arguments, receipts).map(Some)
}

/// What a line says that was typed in a chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InChat<'a> {
    /// The other side is told this.
    Said(&'a str),
    /// It is the line of a command.
    Command(&'a str),
}

/// In a chat a line is a text, except `end chat` and what stands behind the mark of commands. A text that begins with the mark
/// has it twice.
pub fn read_in_chat(line: &str) -> InChat<'_> {
    let line = line.trim();
    match line.strip_prefix(COMMAND_MARK) {
        Some(text) if text.starts_with(COMMAND_MARK) => InChat::Said(text),
        Some(command) => InChat::Command(command),
        None if line.is_empty() || line == END_CHAT => InChat::Command(line),
        None => InChat::Said(line),
    }
}

/// Whether a line that was typed in a chat is a command of the existing client of `session`.
pub fn is_of_session(line: &str) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    matches!(words[..], ["log", "off"] | ["history" | "chat", _])
}

/// Why nobody can begin a chat in a chat with `user`.
pub fn in_chat(user: &UserName) -> Failure {
    Failure::usage(format_args!("you are in a chat with {user}: '{END_CHAT}' ends it"))
}

/// The command of a command line: each argument is one.
pub fn parse_arguments(name: &str, arguments: &[&str], protocol: Protocol, receipts: bool) -> Result<Command, Failure> {
    let entry = find_in(protocol, name)?;
    if !entry.is_one_shot() {
        return Err(Failure::usage(format_args!(
            "'{name}' needs a session: give commands on standard input, or start chat without a command"
        )));
    }
    if let (Kind::Consent, [_, answer]) = (entry.kind, arguments) {
        if *answer == "yes" {
            let why = "'consent USER yes' needs a session: whoever is let in comes to this program";
            return Err(Failure::usage(why));
        }
        if protocol != Protocol::Native {
            return Err(Failure::usage("'consent' needs a session here: it is a session that is asked"));
        }
    }
    if let (Kind::Private, [_]) = (entry.kind, arguments) {
        return Err(Failure::usage("'private' needs a text here: there is no session in which the talk could go on"));
    }
    if let (Kind::Message, [to, "-"]) = (entry.kind, arguments) {
        return Ok(Command::MessageFromInput { to: user(to)? });
    }
    parse(entry, arguments, receipts)
}

/// A message whose text came from standard input; the newline at its end is not part of it.
pub fn message(to: UserName, text: &str, receipt: bool) -> Result<Request, Failure> {
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    Ok(Request::Message { to, text: parse_text(text)?, receipt })
}

/// A time in seconds, fractions allowed.
pub fn parse_seconds(text: &str) -> Result<Duration, String> {
    let digits = text.starts_with(|c: char| c.is_ascii_digit());
    match text.parse::<f64>() {
        Ok(seconds) if digits && (0.0..=SECONDS_MAX).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("a time is a number of seconds, such as 10 or 0.5".to_owned()),
    }
}

fn parse(entry: &Entry, arguments: &[&str], receipts: bool) -> Result<Command, Failure> {
    Ok(match (entry.kind, arguments) {
        (Kind::Message, [to, text]) => {
            Command::Ask(Request::Message { to: user(to)?, text: parse_text(text)?, receipt: receipts })
        }
        (Kind::Broadcast, _) if receipts && !arguments.is_empty() => {
            return Err(Failure::usage("a broadcast has no receipts: leave out '--wait delivered'"));
        }
        (Kind::Broadcast, [text]) => Command::Ask(Request::Broadcast { text: parse_text(text)? }),
        (Kind::Online, []) => Command::Ask(Request::Online),
        (Kind::Block, [name]) => Command::Ask(Request::Block { user: user(name)? }),
        (Kind::Unblock, [name]) => Command::Ask(Request::Unblock { user: user(name)? }),
        (Kind::Blocked, []) => Command::Ask(Request::Blocked),
        (Kind::History, []) => history(None, HISTORY_COUNT_DEFAULT),
        (Kind::History, [count]) if count.bytes().all(|b| b.is_ascii_digit()) => history(None, parse_count(count)?),
        (Kind::History, [name]) => history(Some(user(name)?), HISTORY_COUNT_DEFAULT),
        (Kind::History, [name, count]) => history(Some(user(name)?), parse_count(count)?),
        (Kind::GetAddress, [name]) => Command::GetAddress { user: user(name)? },
        (Kind::Consent, [name, "yes"]) => Command::Consent { user: user(name)?, yes: true },
        (Kind::Consent, [name, "no"]) => Command::Consent { user: user(name)?, yes: false },
        (Kind::Revoke, [name]) => Command::Ask(Request::Revoke { user: user(name)? }),
        (Kind::Private, [name]) => Command::Private { user: user(name)?, text: None },
        (Kind::Private, [name, text]) => Command::Private { user: user(name)?, text: Some(parse_text(text)?) },
        (Kind::Chat, [name]) => Command::Ask(Request::Chat { user: user(name)? }),
        (Kind::End, ["chat"]) => Command::Ask(Request::EndChat),
        (Kind::End, ["private", name]) => Command::EndPrivate { user: user(name)? },
        (Kind::Deliver, [name]) => Command::Deliver { user: user(name)? },
        (Kind::Privacy, []) => Command::Ask(Request::Privacy),
        (Kind::Wait, [text]) if !text.is_empty() => Command::Wait { text: (*text).to_owned(), within: WAIT_DEFAULT },
        (Kind::Wait, [text, seconds]) if !text.is_empty() => {
            Command::Wait { text: (*text).to_owned(), within: parse_seconds(seconds).map_err(Failure::usage)? }
        }
        (Kind::ChangePassword, []) => Command::ChangePassword,
        (Kind::SignUp, []) => Command::SignUp,
        (Kind::Say, [text]) => Command::Say { text: parse_text(text)? },
        (Kind::LogIn, [name]) => Command::LogIn { user: user(name)? },
        (Kind::LogOut, []) | (Kind::LogOff, ["off"]) => Command::LogOut,
        (Kind::Help, _) => Command::Help,
        _ => return Err(entry.usage()),
    })
}

fn history(with: Option<UserName>, count: usize) -> Command {
    Command::Ask(Request::History { with, count })
}

fn user(name: &str) -> Result<UserName, Failure> {
    UserName::parse(name).map_err(|why| {
        Failure::usage(format_args!("'{}' is not a user's name: {why}", super::render::visible_line(name)))
    })
}

/// The text of a message, if it is one.
pub fn parse_text(text: &str) -> Result<Text, Failure> {
    Text::parse(text).map_err(Failure::usage)
}

fn parse_count(text: &str) -> Result<usize, Failure> {
    match text.parse() {
        Ok(count @ 1..=HISTORY_COUNT_MAX) => Ok(count),
        _ => Err(Failure::usage(format_args!("'history' shows 1 to {HISTORY_COUNT_MAX} messages"))),
    }
}

fn unknown(name: &str) -> Failure {
    let name = super::render::visible_line(name);
    Failure::usage(format_args!("there is no command '{name}'; 'help' lists them"))
}

/// The first word and what follows the white space behind it.
fn first_word(line: &str) -> (&str, &str) {
    match line.split_once(char::is_whitespace) {
        Some((word, rest)) => (word, rest.trim_start()),
        None => (line, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(line: &str) -> Result<Option<Command>, String> {
        parse_line(line, Protocol::Native, false).map_err(|failure| failure.text)
    }

    fn ask(request: Request) -> Result<Option<Command>, String> {
        Ok(Some(Command::Ask(request)))
    }

    fn name(text: &str) -> UserName {
        UserName::parse(text).unwrap()
    }

    fn message_to(to: &str, text: &str) -> Request {
        Request::Message { to: name(to), text: Text::parse(text).unwrap(), receipt: false }
    }

    #[test]
    fn a_text_is_the_rest_of_its_line() {
        assert_eq!(line("message bob hi  there, \"you\" "), ask(message_to("bob", "hi  there, \"you\"")));
        assert_eq!(line("  message   bob   -5 degrees"), ask(message_to("bob", "-5 degrees")));
        assert_eq!(line("message bob -"), ask(message_to("bob", "-")));
        assert_eq!(line("broadcast a b"), ask(Request::Broadcast { text: Text::parse("a b").unwrap() }));
        assert_eq!(line(""), Ok(None));
        assert_eq!(line(" # a remark"), Ok(None));
    }

    #[test]
    fn every_command_is_found_with_its_arguments() {
        let user = name("bob");
        assert_eq!(line("online"), ask(Request::Online));
        assert_eq!(line("block bob"), ask(Request::Block { user: user.clone() }));
        assert_eq!(line("unblock bob"), ask(Request::Unblock { user: user.clone() }));
        assert_eq!(line("blocked"), ask(Request::Blocked));
        assert_eq!(line("history"), ask(Request::History { with: None, count: 100 }));
        assert_eq!(line("history 5"), ask(Request::History { with: None, count: 5 }));
        assert_eq!(line("history bob"), ask(Request::History { with: Some(user.clone()), count: 100 }));
        assert_eq!(line("history bob 5"), ask(Request::History { with: Some(user), count: 5 }));
        let user = name("bob");
        let said = Command::Private { user: user.clone(), text: Some(Text::parse("hi  there").unwrap()) };
        assert_eq!(line("private bob hi  there"), Ok(Some(said)));
        assert_eq!(line("private bob"), Ok(Some(Command::Private { user: user.clone(), text: None })));
        assert_eq!(line("chat bob"), ask(Request::Chat { user: user.clone() }));
        assert_eq!(line("end chat"), ask(Request::EndChat));
        assert!(line("end").unwrap_err().contains("end chat|private USER"));
        assert!(line("end chat bob").is_err() && line("end private").is_err());
        assert_eq!(line("end private bob"), Ok(Some(Command::EndPrivate { user: user.clone() })));
        assert_eq!(line("deliver bob"), Ok(Some(Command::Deliver { user: user.clone() })));
        assert_eq!(line("getaddress bob"), Ok(Some(Command::GetAddress { user: user.clone() })));
        assert_eq!(line("consent bob yes"), Ok(Some(Command::Consent { user: user.clone(), yes: true })));
        assert_eq!(line("consent bob no"), Ok(Some(Command::Consent { user: user.clone(), yes: false })));
        assert!(line("consent bob perhaps").unwrap_err().contains("yes|no"));
        assert_eq!(line("revoke bob"), ask(Request::Revoke { user }));
        assert_eq!(line("privacy"), ask(Request::Privacy));
        assert_eq!(line("passwd"), Ok(Some(Command::ChangePassword)));
        assert_eq!(line("sign-up"), Ok(Some(Command::SignUp)));
        assert_eq!(line("logout"), Ok(Some(Command::LogOut)));
        assert_eq!(line("help"), Ok(Some(Command::Help)));
        for entry in known_to(Protocol::Native) {
            assert!(help(Protocol::Native).contains(entry.help));
            assert!(
                parse_line(entry.name, Protocol::Native, false).is_ok() != entry.arguments.starts_with(|c| c != '['),
                "{}",
                entry.name
            );
        }
    }

    #[test]
    fn in_a_chat_a_line_is_a_text() {
        for text in ["hi  there, \"you\"", "online", "end chat now", "message carol hi", "# 1", "end private bob"] {
            assert_eq!(read_in_chat(&format!(" {text} ")), InChat::Said(text));
        }
        assert_eq!(read_in_chat("//online"), InChat::Said("/online"));
        assert_eq!(read_in_chat("///"), InChat::Said("//"));
        for (line, command) in
            [(" ", ""), ("end chat", "end chat"), ("/end chat", "end chat"), ("/message carol hi", "message carol hi")]
        {
            assert_eq!(read_in_chat(line), InChat::Command(command));
        }
    }

    #[test]
    fn wait_takes_a_number_at_the_end_for_its_time() {
        let wait = |text: &str, seconds: f64| {
            Ok(Some(Command::Wait { text: text.into(), within: Duration::from_secs_f64(seconds) }))
        };
        assert_eq!(line("wait bob: hi"), wait("bob: hi", 10.0));
        assert_eq!(line("wait bob: hi  0.5"), wait("bob: hi", 0.5));
        assert_eq!(line("wait 5"), wait("5", 10.0));
        assert_eq!(line("wait online 3"), wait("online", 3.0));
        assert_eq!(line("wait the inf"), wait("the inf", 10.0));
        assert!(line("wait").is_err());
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert_eq!(line("hello bob"), Err("there is no command 'hello'; 'help' lists them".into()));
        assert_eq!(line("message bob"), Err("'message' is used like this: message USER TEXT".into()));
        assert!(line("passwd secret").is_err(), "a password does not stand in a line");
        assert_eq!(line("online now"), Err("'online' is used like this: online".into()));
        assert!(line("message b,b hi").unwrap_err().contains("'b,b' is not a user's name"));
        assert!(line("history bob 0").unwrap_err().contains("1 to 10000"));
        assert!(line(&format!("message bob {}", "x".repeat(4097))).unwrap_err().contains("4096"));
        assert!(line("message bob \u{1b}[2J").unwrap_err().contains("U+001B"));
        assert!(parse_line("broadcast hi", Protocol::Native, true).unwrap_err().text.contains("receipts"));
    }

    #[test]
    fn arguments_of_a_command_line_are_taken_as_they_are() {
        let parse = |name, arguments: &[&str]| parse_arguments(name, arguments, Protocol::Native, false);
        assert_eq!(parse("message", &["bob", " -5 "]).unwrap(), Command::Ask(message_to("bob", " -5 ")));
        assert_eq!(parse("message", &["bob", "--help"]).unwrap(), Command::Ask(message_to("bob", "--help")));
        assert_eq!(parse("message", &["bob", "-"]).unwrap(), Command::MessageFromInput { to: name("bob") });
        assert_eq!(message(name("bob"), "a\nb\n", false).unwrap(), message_to("bob", "a\nb"));
        assert!(parse("message", &["bob", "a", "b"]).is_err());
        assert!(parse("consent", &["bob", "yes"]).unwrap_err().text.contains("session"));
        assert!(parse("consent", &["bob", "no"]).is_ok());
        assert!(parse("private", &["bob"]).unwrap_err().text.contains("text"));
        assert!(parse("private", &["bob", "hi"]).is_ok());
        assert!(parse("wait", &["a"]).unwrap_err().text.contains("session"));
        assert!(parse("chat", &["bob"]).unwrap_err().text.contains("session"));
    }

    #[test]
    fn what_a_protocol_has_no_word_for_is_said_and_not_shown() {
        let words = |protocol| known_to(protocol).map(|entry| entry.name).collect::<Vec<_>>();
        let alone = ["say", "message*", "contacts", "login", "log", "quit"];
        let native = TABLE.iter().map(|entry| entry.name).filter(|name| !alone.contains(name));
        assert_eq!(
            words(Protocol::Native),
            native.collect::<Vec<_>>(),
            "the native one has all that have no other word"
        );
        let request = [
            "message",
            "broadcast",
            "online",
            "block",
            "unblock",
            "private",
            "getaddress",
            "consent",
            "wait",
            "logout",
            "help",
        ];
        assert_eq!(words(Protocol::Request), request);
        let session = ["chat", "say", "message", "history", "end", "wait", "logout", "log", "help"];
        assert_eq!(words(Protocol::Session), session);
        let datagram =
            ["message", "broadcast", "message*", "online", "contacts", "wait", "login", "logout", "quit", "help"];
        assert_eq!(words(Protocol::Datagram), datagram);
        assert_eq!(words(Protocol::Nick), ["broadcast", "wait", "logout", "help"]);
        for protocol in Protocol::ALL {
            for entry in &TABLE {
                let line = parse_line(entry.name, protocol, false);
                let why = line.map_or_else(|failure| failure.text, |_| String::new());
                let no_word = format!("the protocol '{protocol}' has no word for '{}'", entry.name);
                assert_eq!(why == no_word, !entry.is_known_to(protocol), "{why}");
                assert_eq!(help(protocol).contains(entry.help), entry.is_known_to(protocol));
            }
        }
        let parse = |arguments: &[&str]| parse_arguments("consent", arguments, Protocol::Request, false);
        assert!(parse(&["bob", "no"]).unwrap_err().text.contains("session"));
    }

    #[test]
    fn the_words_of_other_clients_are_understood() {
        let say = |text: &str| Ok(Some(Command::Say { text: Text::parse(text).unwrap() }));
        let session = |line| parse_line(line, Protocol::Session, false).map_err(|failure| failure.text);
        assert_eq!(session("chat bob"), ask(Request::Chat { user: name("bob") }));
        assert_eq!(session(" hello,  bob "), say("hello,  bob"));
        assert_eq!(session("say chat bob"), say("chat bob"));
        assert_eq!(session("log off"), Ok(Some(Command::LogOut)));
        assert!(session("log").unwrap_err().contains("log off"));
        assert!(session("online").unwrap_err().contains("no word for 'online'"));
        for (line, is) in [("log  off", true), ("history bob", true), ("history is long", false), ("logoff", false)] {
            assert_eq!(is_of_session(line), is, "{line}");
        }
        let datagram = |line| parse_line(line, Protocol::Datagram, false).map_err(|failure| failure.text);
        assert_eq!(datagram("message* hi  all"), ask(Request::Broadcast { text: Text::parse("hi  all").unwrap() }));
        assert_eq!(datagram("contacts"), ask(Request::Online));
        assert_eq!(datagram("login bob"), Ok(Some(Command::LogIn { user: name("bob") })));
        assert_eq!(datagram("quit"), Ok(Some(Command::LogOut)));
        let parse = |name, protocol| parse_arguments(name, &["bob"], protocol, false);
        assert!(parse("say", Protocol::Session).unwrap_err().text.contains("session"));
        assert!(parse("login", Protocol::Datagram).unwrap_err().text.contains("session"));
    }

    #[test]
    fn seconds_are_plain_numbers() {
        assert_eq!(parse_seconds("1.5"), Ok(Duration::from_millis(1500)));
        for bad in ["", "-1", "+1", "inf", "nan", "1e30", "x", "1 "] {
            assert!(parse_seconds(bad).is_err(), "{bad}");
        }
    }
}
