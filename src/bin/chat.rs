//! chat: the client's command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use chatd::client::command::{self, Command, parse_seconds};
use chatd::client::exit::{Failure, Status};
use chatd::client::{Options, PasswordFrom, Target};
use chatd::wire::Protocol;
use chatd::wire::UserName;
use clap::builder::ArgAction;
use clap::{CommandFactory, Parser, ValueEnum};

const PORT_DEFAULT: u16 = 6001;
/// How long a command waits for the server,
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
/// and for another person: a little longer than the server lets a question wait.
const ANSWER_TIMEOUT_DEFAULT: Duration = Duration::from_secs(130);

/// Talk to the people on a chatd server.
///
/// Without COMMAND: a session, with a line editor on a terminal, else with one command a line from standard input.
#[derive(Debug, Parser)]
#[command(
    name = "chat",
    version,
    override_usage = "chat [OPTIONS] HOST [PORT] [COMMAND ARG...]\n       \
                      CHAT_HOST=HOST[:PORT] chat [OPTIONS] [COMMAND ARG...]",
    after_help = after_help(),
)]
struct Line {
    /// Who you are; else CHAT_USER, else asked for
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    user: Option<UserName>,
    /// Take the password from the first line of FILE; else from CHAT_PASSWORD, else it is asked for
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Where 'passwd' takes the new password from: the first line of FILE; else it is asked for, or read from standard input
    #[arg(long, value_name = "FILE")]
    new_password_file: Option<PathBuf>,
    /// Without TLS: everyone on the way can read and change everything but the password, and pretend to be you or the
    /// server. Only for servers that have no TLS, on networks that can be trusted
    #[arg(long, overrides_with = "insecure_plaintext")]
    insecure_plaintext: bool,
    /// The protocol to speak: native (chatd's own), or one of the classic ones, which are not encrypted: request, session,
    /// datagram or nick
    #[arg(long, value_name = "PROTOCOL", default_value = "native", value_parser = parse_protocol)]
    protocol: Protocol,
    /// Print JSON, one object a line
    #[arg(long)]
    json: bool,
    /// When a message is done: safe on the server's disk, or shown to its recipient
    #[arg(long, value_name = "WHEN", default_value = "queued")]
    wait: WaitFor,
    /// How long a command waits: 10 for the server, and 130 for what another person must say
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    timeout: Option<Duration>,
    /// How often to send a sign of life; more often if the server wants it
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = parse_heartbeat)]
    heartbeat: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum WaitFor {
    Queued,
    Delivered,
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let environment = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let status = match parse(&arguments, environment) {
        Ok(options) => chatd::client::run(options),
        Err(Wrong::Clap(error)) => {
            // Help and version come this way too.
            let _ = error.print();
            if error.use_stderr() { Status::Usage } else { Status::Done }
        }
        Err(Wrong::Failure(failure)) => {
            chatd::client::warn(&failure.text);
            failure.status
        }
    };
    ExitCode::from(status as u8)
}

/// Why the command line is none.
#[derive(Debug)]
enum Wrong {
    Clap(clap::Error),
    Failure(Failure),
}

impl From<Failure> for Wrong {
    fn from(failure: Failure) -> Wrong {
        Wrong::Failure(failure)
    }
}

fn parse(arguments: &[OsString], environment: impl Fn(&str) -> Option<OsString>) -> Result<Options, Wrong> {
    let variable = |name: &str| match environment(name).map(OsString::into_string) {
        None => Ok(None),
        Some(Ok(value)) => Ok(Some(value)),
        Some(Err(_)) => Err(Failure::usage(format_args!("{name} is not UTF-8"))),
    };
    let default_target = variable("CHAT_HOST")?.map(|host| split_host(&host)).transpose()?;
    let split = Split::of(arguments, default_target.is_some());
    let line = Line::try_parse_from([OsString::from("chat")].into_iter().chain(split.options)).map_err(Wrong::Clap)?;
    let target = match (split.host, default_target) {
        (Some(host), _) => {
            let host = text(&host)?;
            let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&host).to_owned();
            Target { host, port: split.port.map_or(Ok(PORT_DEFAULT), |port| parse_port(&text(&port)?))? }
        }
        (None, Some(target)) => target,
        (None, None) => {
            let why = "which server? Use it like this: chat HOST [PORT] [COMMAND ARG...]; 'chat --help' tells more";
            return Err(Failure::usage(why).into());
        }
    };
    let user = match (line.user, variable("CHAT_USER")?) {
        (Some(user), _) => Some(user),
        (None, Some(name)) => Some(parse_name(&name).map_err(|why| Failure::usage(format_args!("CHAT_USER: {why}")))?),
        (None, None) => None,
    };
    let password = match (line.password_file, variable("CHAT_PASSWORD")?) {
        (Some(path), _) => PasswordFrom::File(path),
        (None, Some(password)) => PasswordFrom::Given(password),
        (None, None) => PasswordFrom::Person,
    };
    let (protocol, receipts) = (line.protocol, line.wait == WaitFor::Delivered);
    if receipts && !protocol.has_receipts() {
        let why =
            format_args!("the protocol '{protocol}' does not tell what was delivered: leave out '--wait delivered'");
        return Err(Failure::usage(why).into());
    }
    let command = match split.command.split_first() {
        None => None,
        Some((name, arguments)) => {
            let arguments = arguments.iter().map(text).collect::<Result<Vec<_>, _>>()?;
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let command = command::parse_arguments(&text(name)?, &arguments, protocol, receipts)?;
            let is_message = matches!(
                command,
                Command::MessageFromInput { .. } | Command::Ask(chatd::client::core::Request::Message { .. })
            );
            if receipts && !is_message {
                return Err(Failure::usage("only a message can be delivered: leave out '--wait delivered'").into());
            }
            Some(command)
        }
    };
    let heartbeat = Some(line.heartbeat);
    Ok(Options {
        protocol,
        target,
        plaintext: line.insecure_plaintext,
        user,
        password,
        new_password: line.new_password_file,
        json: line.json,
        receipts,
        within: line.timeout.unwrap_or(TIMEOUT_DEFAULT),
        answer_within: line.timeout.unwrap_or(ANSWER_TIMEOUT_DEFAULT),
        heartbeat,
        command,
    })
}

/// A command line in its parts. From the command's word on everything is data, even what begins with `-`.
#[derive(Debug, Default, PartialEq)]
struct Split {
    options: Vec<OsString>,
    host: Option<OsString>,
    port: Option<OsString>,
    command: Vec<OsString>,
}

impl Split {
    fn of(arguments: &[OsString], has_default_host: bool) -> Split {
        let takes_value = options_with_values();
        let mut split = Split::default();
        let mut rest = arguments.iter();
        let mut only_words = false;
        while let Some(argument) = rest.next() {
            let word = argument.to_str();
            let is_option = !only_words && word.is_some_and(|word| word.starts_with('-') && word != "-");
            if is_option && word == Some("--") {
                only_words = true;
            } else if is_option {
                split.options.push(argument.clone());
                if word.is_some_and(|word| takes_value.iter().any(|option| option == word)) {
                    split.options.extend(rest.next().cloned());
                }
            } else if split.host.is_none() && !(has_default_host && word.is_some_and(|w| command::find(w).is_some())) {
                split.host = Some(argument.clone());
            } else if split.host.is_some()
                && split.port.is_none()
                && word.is_some_and(|word| word.starts_with(|c: char| c.is_ascii_digit()))
            {
                split.port = Some(argument.clone());
            } else {
                split.command = std::iter::once(argument).chain(rest).cloned().collect();
                break;
            }
        }
        split
    }
}

/// `--user` and the like.
fn options_with_values() -> Vec<String> {
    let command = Line::command();
    let arguments = command.get_arguments().filter(|argument| matches!(argument.get_action(), ArgAction::Set));
    arguments.filter_map(|argument| argument.get_long().map(|long| format!("--{long}"))).collect()
}

/// `HOST`, `HOST:PORT` or `[V6]:PORT`, as CHAT_HOST has it.
fn split_host(host: &str) -> Result<Target, Failure> {
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((name, port)) => (name, port.strip_prefix(':')),
        None => match host.split_once(':') {
            Some((name, port)) if !port.contains(':') => (name, Some(port)),
            _ => (host, None),
        },
    };
    let port = port.map_or(Ok(PORT_DEFAULT), parse_port)?;
    Ok(Target { host: name.to_owned(), port })
}

fn parse_port(port: &str) -> Result<u16, Failure> {
    match port.parse() {
        Ok(port @ 1..) => Ok(port),
        _ => Err(Failure::usage(format_args!("'{port}' is not a port: a port is a number from 1 to 65535"))),
    }
}

fn parse_name(name: &str) -> Result<UserName, String> {
    UserName::parse(name).map_err(|why| why.to_string())
}

fn parse_protocol(name: &str) -> Result<Protocol, String> {
    let names = || Protocol::ALL.map(Protocol::name).join(", ");
    let found = Protocol::ALL.into_iter().find(|protocol| protocol.name() == name);
    found.ok_or_else(|| format!("there are {}", names()))
}

fn parse_heartbeat(text: &str) -> Result<Duration, String> {
    match parse_seconds(text)? {
        Duration::ZERO => Err("a sign of life can't be sent all the time".to_owned()),
        heartbeat => Ok(heartbeat),
    }
}

fn text(argument: &OsString) -> Result<String, Failure> {
    argument.to_str().map(str::to_owned).ok_or_else(|| Failure::usage("an argument is not UTF-8"))
}

fn after_help() -> String {
    format!(
        "Options stand before COMMAND: what follows it is data, even if it begins with '-'.\n\n\
         PORT is {PORT_DEFAULT} unless given. If CHAT_HOST is set, HOST and PORT can be left out: the first word is \
         then the command if it is one of those below, else HOST.\n\n\
         Commands:\n{}\n\n\
         'message USER -' takes the text from standard input; 'wait' and 'logout' are for sessions, \
         'sign-up' is for the command line.\n\n\
         Exit status: 0 done; 2 usage; 66 unreadable file; 67 no such recipient; 69 no server, or the connection was \
         lost, or displaced; 75 not yet, try again; 76 not understood; 77 not authenticated, locked out, blocked or \
         refused, or the server is not the one it was; 130 Ctrl-C; 143 SIGTERM.",
        command::help(Protocol::Native).lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use chatd::client::core::Request;
    use chatd::wire::Text;

    fn parse_words(words: &[&str], environment: &[(&str, &str)]) -> Result<Options, (u8, String)> {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        let variable =
            |name: &str| environment.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(*value));
        parse(&words, variable).map_err(|wrong| match wrong {
            Wrong::Clap(error) => (if error.use_stderr() { 2 } else { 0 }, error.to_string()),
            Wrong::Failure(failure) => (failure.status as u8, failure.text),
        })
    }

    fn message(text: &str) -> Option<Command> {
        let (to, text) = (UserName::parse("bob").unwrap(), Text::parse(text).unwrap());
        Some(Command::Ask(Request::Message { to, text, receipt: false }))
    }

    #[test]
    fn from_the_command_on_everything_is_data() {
        for text in ["-5 degrees", "--help", "--user", "--", "-"] {
            let Ok(options) = parse_words(&["h", "6001", "message", "bob", text], &[]) else { panic!("{text}") };
            match text {
                "-" => assert!(matches!(options.command, Some(Command::MessageFromInput { .. }))),
                _ => assert_eq!(options.command, message(text)),
            }
            assert!(options.user.is_none());
        }
    }

    #[test]
    fn options_stand_anywhere_before_the_command() {
        let orders: [&[&str]; 4] = [
            &["--user", "alice", "--json", "h", "7000", "message", "bob", "hi"],
            &["h", "--user", "alice", "7000", "--json", "message", "bob", "hi"],
            &["h", "7000", "--json", "--user=alice", "message", "bob", "hi"],
            &["--json", "--user=alice", "--", "h", "7000", "message", "bob", "hi"],
        ];
        for words in orders {
            let options = parse_words(words, &[]).unwrap();
            assert_eq!(options.target, Target { host: "h".into(), port: 7000 });
            assert_eq!(options.user.unwrap().as_str(), "alice");
            assert!(options.json);
            assert_eq!(options.command, message("hi"));
        }
        let plain = parse_words(&["[::1]"], &[]).unwrap();
        assert_eq!(plain.target, Target { host: "::1".into(), port: 6001 });
        assert!(plain.command.is_none() && !plain.json && !plain.receipts);
        assert_eq!(plain.protocol, Protocol::Native);
        assert!(!plain.plaintext && plain.new_password.is_none(), "TLS unless told otherwise");
        let told = parse_words(&["--insecure-plaintext", "h", "--new-password-file", "f", "passwd"], &[]).unwrap();
        assert!(told.plaintext && told.new_password.is_some_and(|file| file.as_os_str() == "f"));
        assert_eq!(told.command, Some(Command::ChangePassword));
        assert_eq!(plain.within, Duration::from_secs(10));
    }

    #[test]
    fn chat_host_stands_for_host_and_port() {
        let host = |value| [("CHAT_HOST", value)];
        let target = |words: &[&str], value| parse_words(words, &host(value)).unwrap().target;
        assert_eq!(target(&["online"], "h"), Target { host: "h".into(), port: 6001 });
        assert_eq!(target(&["message", "bob", "hi"], "h:7000"), Target { host: "h".into(), port: 7000 });
        assert_eq!(target(&[], "[::1]:7000"), Target { host: "::1".into(), port: 7000 });
        assert_eq!(target(&[], "::1"), Target { host: "::1".into(), port: 6001 });
        assert_eq!(target(&["other", "7001", "online"], "h:7000"), Target { host: "other".into(), port: 7001 });
        assert_eq!(parse_words(&[], &[("CHAT_HOST", "h:x")]).unwrap_err().0, 2);
    }

    #[test]
    fn the_environment_yields_to_the_options() {
        let environment = [("CHAT_USER", "alice"), ("CHAT_PASSWORD", "secret")];
        let options = parse_words(&["h"], &environment).unwrap();
        assert_eq!(options.user.unwrap().as_str(), "alice");
        assert!(matches!(options.password, PasswordFrom::Given(password) if password == "secret"));
        let options = parse_words(&["--user", "bob", "--password-file", "f", "h"], &environment).unwrap();
        assert_eq!(options.user.unwrap().as_str(), "bob");
        assert!(matches!(options.password, PasswordFrom::File(path) if path.as_os_str() == "f"));
    }

    #[test]
    fn each_protocol_has_its_commands() {
        let request = parse_words(&["h", "--protocol", "request", "message", "bob", "hi"], &[]).unwrap();
        assert_eq!((request.protocol, request.command), (Protocol::Request, message("hi")));
        let nick = parse_words(&["h", "55555", "--protocol=nick"], &[]).unwrap();
        assert_eq!((nick.protocol, nick.target.port), (Protocol::Nick, 55555));
        let session = parse_words(&["h", "1234", "--protocol", "session", "message", "bob", "hi"], &[]).unwrap();
        assert_eq!((session.protocol, session.command), (Protocol::Session, message("hi")));
        let datagram = ["h", "--protocol=datagram", "--wait", "delivered", "message", "bob", "hi"];
        let datagram = parse_words(&datagram, &[]).unwrap();
        assert!(datagram.protocol == Protocol::Datagram && datagram.receipts);
        let wrong: [(&[&str], &str); 8] = [
            (&["--protocol", "session", "h", "online"], "the protocol 'session' has no word for 'online'"),
            (&["--protocol", "session", "h", "chat", "bob"], "needs a session"),
            (&["--protocol", "session", "--wait", "delivered", "h"], "does not tell what was delivered"),
            (&["--protocol", "telepathy", "h"], "native, request, session, datagram, nick"),
            (&["--protocol", "nick", "h", "message", "bob", "hi"], "the protocol 'nick' has no word for 'message'"),
            (&["--protocol", "request", "h", "history"], "the protocol 'request' has no word for 'history'"),
            (&["--protocol", "request", "--wait", "delivered", "h"], "does not tell what was delivered"),
            (&["--protocol", "request", "h", "consent", "bob", "no"], "needs a session"),
        ];
        for (words, why) in wrong {
            let (status, text) = parse_words(words, &[]).expect_err(why);
            assert_eq!(status, 2);
            assert!(text.contains(why), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_usage() {
        let wrong: [&[&str]; 17] = [
            &[],
            &["h", "0"],
            &["h", "65536"],
            &["h", "70x"],
            &["h", "hello"],
            &["h", "message", "bob"],
            &["h", "message", "b b", "hi"],
            &["h", "--wait", "delivered", "broadcast", "hi"],
            &["h", "--wait", "delivered", "online"],
            &["h", "wait", "hi"],
            &["h", "passwd", "secret"],
            &["h", "sign-up", "alice"],
            &["h", "--wait", "seen"],
            &["h", "--timeout", "-1"],
            &["h", "--heartbeat", "0"],
            &["h", "--user", "b b"],
            &["h", "--nothing"],
        ];
        for words in wrong {
            let (status, text) = parse_words(words, &[]).expect_err(&words.join(" "));
            assert_eq!(status, 2, "{words:?}: {text}");
        }
        assert_eq!(parse_words(&["--help"], &[]).unwrap_err().0, 0);
        assert_eq!(parse_words(&["--version"], &[]).unwrap_err().0, 0);
        Line::command().debug_assert();
    }
}
