//! The screen: lines above the one that is being typed, in colours where those are wanted.

use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use super::super::render;
use super::editor::Printer;

/// How things are shown.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    pub colours: bool,
    pub utf8: bool,
}

impl Look {
    /// How it is marked that something was done.
    pub fn tick(self) -> &'static str {
        if self.utf8 { "✓" } else { "ok" }
    }
}

pub struct Screen {
    pub look: Look,
    /// `None`: nobody is typing, or the terminal can do no better.
    pub printer: Option<Printer>,
    /// What is shown next comes with a sound: one, however much it is.
    pub rings: bool,
}

impl Screen {
    pub fn new(look: Look) -> Screen {
        Screen { look, printer: None, rings: false }
    }

    /// Prints lines above the one being typed.
    pub fn show(&mut self, lines: Vec<String>) {
        if lines.is_empty() {
            return;
        }
        let bell = if std::mem::take(&mut self.rings) { "\x07" } else { "" };
        let text = format!("{bell}{}\n", lines.join("\n"));
        let printed = self.printer.as_mut().map(|printer| printer.print(text.clone()));
        if !matches!(printed, Some(Ok(()))) {
            // A terminal that is gone is noticed by whoever reads from it.
            let mut out = io::stdout().lock();
            let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        }
    }

    pub fn paint(&self, code: &str, text: &str) -> String {
        if self.look.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    pub fn bold(&self, text: &str) -> String {
        self.paint("1", text)
    }

    pub fn dim(&self, text: &str) -> String {
        self.paint("2", text)
    }

    pub fn error(&self, text: &str) -> String {
        self.paint("31", text)
    }

    pub fn note(&self, text: &str) -> String {
        self.stamp(now_ms(), &self.dim(&format!("* {text}")))
    }

    pub fn stamp(&self, unix_ms: u64, line: &str) -> String {
        format!("{} {line}", self.dim(&render::hour_and_minute(unix_ms)))
    }
}

pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_millis().try_into().unwrap_or(u64::MAX)
}
