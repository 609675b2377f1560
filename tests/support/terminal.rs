//! The program `chat` at a terminal: a pseudo-terminal that echoes as real ones do, and a screen that shows what a person
//! would see.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::os::unix::ffi::OsStrExt;
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::chat::Person;
use super::{LIMIT, signal, wait};

const ROWS: u16 = 24;
pub const COLUMNS: u16 = 100;

pub const UP: &str = "\x1b[A";
pub const TAB: &str = "\t";
pub const CTRL_C: &str = "\x03";
pub const CTRL_D: &str = "\x04";

/// A chat at a terminal. It is killed if the test does not end it.
pub struct Terminal {
    child: Child,
    keyboard: File,
    output: Receiver<Vec<u8>>,
    screen: vt100::Parser,
    /// Everything that was printed so far.
    pub raw: Vec<u8>,
}

impl Person {
    /// Begins a session at a terminal with these options: the password is not given.
    pub fn sit_down(&self, options: &[&str]) -> Terminal {
        self.sit_down_with(options, &[])
    }

    /// The same with more environment; an empty value is none.
    pub fn sit_down_with(&self, options: &[&str], environment: &[(&str, &str)]) -> Terminal {
        let mut command = self.command(options);
        command.env("TERM", "xterm").env("LC_ALL", "C.UTF-8").env("PATH", "/usr/bin:/bin").env_remove("CHAT_PASSWORD");
        command.envs(environment.iter().copied());
        Terminal::start(&command)
    }
}

impl Terminal {
    pub fn start(command: &Command) -> Terminal {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo-terminal");
        grantpt(&keyboard).and_then(|()| unlockpt(&keyboard)).expect("a pseudo-terminal");
        let size = Winsize { ws_row: ROWS, ws_col: COLUMNS, ws_xpixel: 0, ws_ypixel: 0 };
        let path = ptsname(&keyboard, Vec::new()).expect("its name");
        let path = OsStr::from_bytes(path.as_bytes());
        let screen = || OpenOptions::new().read(true).write(true).open(path).expect("its other side");
        tcsetwinsize(screen(), size).expect("a size");
        // `setsid` makes it the controlling terminal, and becomes the program: the process is the same.
        let mut child = Command::new("setsid");
        child.arg("--ctty").arg(command.get_program()).args(command.get_args()).env_clear();
        child.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        child.current_dir(command.get_current_dir().expect("a directory"));
        child.stdin(screen()).stdout(screen()).stderr(screen());
        let child = child.spawn().expect("chat starts");
        let keyboard = File::from(keyboard);
        let mut reader = keyboard.try_clone().expect("clone");
        let (sender, output) = channel();
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            // It fails when the last program has left the terminal.
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                if sender.send(bytes[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        let [rows, columns] = [ROWS, COLUMNS].map(|size| NonZeroU16::new(size).expect("a size"));
        Terminal { child, keyboard, output, screen: vt100::Parser::new(rows, columns, 0), raw: Vec::new() }
    }

    /// Presses keys.
    pub fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("the terminal is there");
    }

    /// Types a line, and Enter.
    pub fn enters(&mut self, line: &str) {
        self.types(line);
        self.types("\r");
    }

    /// Waits until the screen is this and nothing else; `hh:mm` stands for each time.
    #[track_caller]
    pub fn sees(&mut self, lines: &[&str]) {
        self.sees_with(lines, None);
    }

    /// The same, with the cursor in this column, from 0.
    #[track_caller]
    pub fn sees_with(&mut self, lines: &[&str], column: Option<usize>) {
        let end = Instant::now() + LIMIT;
        loop {
            let (screen, cursor) = (self.screen(), usize::from(self.screen.screen().cursor_position().1));
            if screen == lines && column.is_none_or(|column| column == cursor) {
                return;
            }
            match self.output.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.take(&bytes),
                Err(_) => {
                    panic!("on the screen: {screen:#?}, cursor in column {cursor}; expected: {lines:#?} {column:?}")
                }
            }
        }
    }

    /// Waits until the screen is as it should be; `what` says how that is.
    #[track_caller]
    pub fn sees_that(&mut self, what: &str, is_so: impl Fn(&[String]) -> bool) {
        let end = Instant::now() + LIMIT;
        while !is_so(&self.screen()) {
            match self.output.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.take(&bytes),
                Err(_) => panic!("on the screen: {:#?}, expected: {what}", self.screen()),
            }
        }
    }

    /// The rows of the screen, without the empty ones at its end.
    pub fn screen(&self) -> Vec<String> {
        let mut rows: Vec<String> = self.screen.screen().rows(0, COLUMNS).map(|row| undated(row.trim_end())).collect();
        rows.truncate(rows.iter().rposition(|row| !row.is_empty()).map_or(0, |last| last + 1));
        rows
    }

    /// Everything that was printed, as text.
    pub fn printed(&self) -> String {
        String::from_utf8_lossy(&self.raw).into_owned()
    }

    pub fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// chat ends by itself with this status, and this is on the screen then.
    #[track_caller]
    pub fn ends(&mut self, status: i32, lines: &[&str]) {
        let screen = self.ended_with(status);
        assert_eq!(screen, lines, "{:?}", self.printed());
    }

    /// chat ends by itself with this status; comes back: the screen.
    #[track_caller]
    pub fn ended_with(&mut self, status: i32) -> Vec<String> {
        let end = Instant::now() + LIMIT;
        while let Ok(bytes) = self.output.recv_timeout(end.saturating_duration_since(Instant::now())) {
            self.take(&bytes);
        }
        assert_eq!(wait(&mut self.child).code(), Some(status), "{:?}", self.screen());
        self.screen()
    }

    fn take(&mut self, bytes: &[u8]) {
        self.raw.extend_from_slice(bytes);
        self.screen.process(bytes);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `hh:mm` in place of the time of day that a line begins with.
fn undated(line: &str) -> String {
    let is_time = line.get(..6).is_some_and(|time| {
        time.bytes()
            .zip(*b"00:00 ")
            .all(|(byte, shape)| if shape == b'0' { byte.is_ascii_digit() } else { byte == shape })
    });
    if is_time { format!("hh:mm{}", &line[5..]) } else { line.to_owned() }
}
