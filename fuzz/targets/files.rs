//! Files that people write or could have written: what can be read, and is written again, reads the same. The first byte
//! says which file it is.

use std::fs;
use std::io::BufReader;
use std::path::PathBuf;
use std::time::Duration;

use chatd::client::Target;
use chatd::client::batch::{Batch, Line, Manner, Want, next_line};
use chatd::client::command::{Command, parse_line};
use chatd::client::core::{Login, Request, Session};
use chatd::client::exit::Failure;
use chatd::client::known_servers::{KnownServers, Unusable, find};
use chatd::client::state;
use chatd::hub::credentials::parse_credentials;
use chatd::wire::Protocol;
use chatd::wire::{Fingerprint, UserName};

use super::script::Sizes;

pub fn run(data: &[u8]) {
    let Some((which, file)) = data.split_first() else { return };
    match which % 4 {
        0 => credentials(file),
        1 => known_servers(file),
        2 => device(&String::from_utf8_lossy(file)),
        _ => script(file),
    }
}

fn credentials(file: &[u8]) {
    let Ok(list) = parse_credentials(file) else { return };
    // A password may end in a CR where the line ends in CR LF.
    let again: String = list.iter().map(|one| format!("{} {}\r\n", one.name, one.password.as_str())).collect();
    assert_eq!(parse_credentials(again.as_bytes()).as_ref(), Ok(&list));
    assert!(list.iter().all(|one| !one.password.as_str().is_empty()));
}

fn known_servers(file: &[u8]) {
    let text = String::from_utf8_lossy(file);
    let servers = [("h", 6001), ("h", 6002), ("chat.example", 6001), ("::1", 6001)];
    let servers = servers.map(|(host, port)| Target { host: host.to_owned(), port });
    let told = |text: &str, server| match find(text, server) {
        Ok(known) => Ok(known.map(|known| (known.certificate.0, known.line))),
        Err(Unusable::Malformed(line)) => Err(line),
        Err(Unusable::Io(error)) => panic!("{error}"),
    };
    let before = servers.each_ref().map(|server| told(&text, server));
    let directory = Directory::make();
    let kept = KnownServers::at(directory.0.join("known_servers"));
    fs::write(kept.path(), file).expect("the file is written");
    let fresh = Fingerprint([0xab; Fingerprint::BYTES]);
    let result = kept.remember(&servers[0], fresh);
    let after = fs::read(kept.path()).expect("the file is there");
    let after_text = String::from_utf8_lossy(&after);
    let lines = after_text.lines().count();
    match before[0] {
        Ok(None) => {
            result.expect("there is room for it");
            assert_eq!(told(&after_text, &servers[0]), Ok(Some((fresh.0, lines))));
            assert!(after.starts_with(file), "what stood there is changed");
        }
        known => {
            let is_same = known.is_ok_and(|known| known.is_some_and(|(certificate, _)| certificate == fresh.0));
            assert_eq!(result.is_ok(), is_same, "{result:?}");
            assert_eq!(after, file, "nothing was to be written");
        }
    }
    for (server, before) in servers.iter().zip(before).skip(1) {
        assert_eq!(told(&after_text, server), before, "another server's line");
    }
}

/// A directory of this process, which goes with it.
struct Directory(PathBuf);

impl Directory {
    fn make() -> Directory {
        let path = std::env::temp_dir().join(format!("chatd-fuzz-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a directory for temporary files");
        Directory(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn device(text: &str) {
    let Some(device) = state::parse(text) else { return };
    assert_eq!(state::parse(&state::format(&device)), Some(device));
}

fn script(file: &[u8]) {
    let whole = lines(file, 64 * 1024);
    assert_eq!(whole, lines(file, Sizes::of(file).next()), "the split changes what is read");
    let user = || UserName::parse("alice").expect("a name");
    let login = Login { user: user(), password: None, device: None, heartbeat: Duration::from_secs(30) };
    let mut session = Session::new(login);
    let manner =
        Manner { json: false, receipts: false, within: Duration::from_secs(1), answer_within: Duration::from_secs(2) };
    let (mut batch, mut now) = (Batch::new(manner, user()), Duration::ZERO);
    for line in &whole {
        if let Ok(line) = line {
            command(line);
        }
        batch.line(&mut session, now, line.as_deref().map_err(|why| *why));
        // Nobody answers: each is given up in its time.
        while let Some(at) = batch.poll_timeout() {
            now = now.max(at);
            batch.tick(&mut session, now);
        }
        match batch.take_want() {
            Some(Want::Change) => batch.changed(Ok(())),
            Some(Want::Revoke { .. }) | None => {}
            Some(want) => batch.not_begun(Failure::usage(format_args!("{want:?}"))),
        }
        for line in batch.take_lines() {
            let (Line::Data(line) | Line::Complaint(line)) = line;
            assert!(!line.chars().any(|c| c.is_control()), "{line:?} is for a terminal");
        }
        if !batch.is_ready() {
            break;
        }
    }
    assert!(session.pending() <= 1, "what is given up is forgotten");
}

fn lines(file: &[u8], at_a_time: usize) -> Vec<Result<String, &'static str>> {
    let mut reader = BufReader::with_capacity(at_a_time, file);
    std::iter::from_fn(|| next_line(&mut reader).expect("memory can be read")).collect()
}

/// A command that is written again is the same.
fn command(line: &str) {
    let Ok(Some(command)) = parse_line(line, Protocol::Native, false) else { return };
    let again = match &command {
        Command::Ask(Request::Message { to, text, .. }) => format!("message {to} {}", text.as_str()),
        Command::Ask(Request::Broadcast { text }) => format!("broadcast {}", text.as_str()),
        Command::Ask(Request::Chat { user }) => format!("chat {user}"),
        Command::Ask(Request::EndChat) => "end chat".to_owned(),
        Command::Ask(Request::Online) => "online".to_owned(),
        Command::Ask(Request::Block { user }) => format!("block {user}"),
        Command::Ask(Request::Unblock { user }) => format!("unblock {user}"),
        Command::Ask(Request::Blocked) => "blocked".to_owned(),
        Command::Ask(Request::History { with: Some(user), count }) => format!("history {user} {count}"),
        Command::Ask(Request::History { with: None, count }) => format!("history {count}"),
        Command::Wait { text, within } => format!("wait {text} {}", within.as_secs_f64()),
        Command::Ask(Request::Revoke { user }) => format!("revoke {user}"),
        Command::Ask(Request::Privacy) => "privacy".to_owned(),
        Command::Ask(Request::AskAddress { .. } | Request::Consent { .. }) => panic!("a line has no certificate"),
        Command::GetAddress { user } => format!("getaddress {user}"),
        Command::Consent { user, yes } => format!("consent {user} {}", if *yes { "yes" } else { "no" }),
        Command::Private { user, text: Some(text) } => format!("private {user} {}", text.as_str()),
        Command::Private { user, text: None } => format!("private {user}"),
        Command::EndPrivate { user } => format!("end private {user}"),
        Command::Deliver { user } => format!("deliver {user}"),
        Command::ChangePassword => "passwd".to_owned(),
        Command::SignUp => "sign-up".to_owned(),
        Command::LogOut => "logout".to_owned(),
        Command::Help => "help".to_owned(),
        Command::MessageFromInput { .. } => panic!("a line of a script is no message from standard input"),
        Command::Say { .. } | Command::LogIn { .. } => panic!("another protocol's"),
    };
    assert_eq!(parse_line(&again, Protocol::Native, false).ok().flatten().as_ref(), Some(&command), "{again:?}");
}
