//! The lines of a script, from standard input.

use std::io::{self, BufRead, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::net::link::Bell;

/// The longest line of a script, in bytes.
pub(super) const LINE_BYTES_MAX: u64 = 64 * 1024;
/// How many lines are read ahead.
const LINES_AHEAD: usize = 16;

/// A line of a script; `Err`: why it is none.
pub type ScriptLine = Result<String, &'static str>;

/// Reads standard input on a thread of its own, because a pipe can't be asked whether there is something.
pub fn read_lines(bell: Bell) -> Receiver<ScriptLine> {
    let (sender, receiver) = sync_channel(LINES_AHEAD);
    std::thread::spawn(move || {
        // The channel closes, or is closed, when either side is done.
        let _ = send_lines(&mut io::stdin().lock(), &sender, &bell);
        drop(sender);
        bell.ring();
    });
    receiver
}

fn send_lines(input: &mut impl BufRead, sender: &SyncSender<ScriptLine>, bell: &Bell) -> Result<(), ()> {
    loop {
        let line = match next_line(input) {
            Ok(Some(line)) => line,
            Ok(None) => return Ok(()),
            Err(_) => Err("standard input can't be read"),
        };
        let last = line == Err("standard input can't be read");
        sender.send(line).map_err(|_| ())?;
        bell.ring();
        if last {
            return Ok(());
        }
    }
}

/// The next line without its newline; `None` at the end.
pub fn next_line(input: &mut impl BufRead) -> io::Result<Option<ScriptLine>> {
    let mut bytes = Vec::new();
    input.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes)?;
    if bytes.is_empty() {
        return Ok(None);
    }
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    } else if bytes.len() as u64 == LINE_BYTES_MAX {
        input.skip_until(b'\n')?;
        return Ok(Some(Err("the line is too long")));
    }
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    Ok(Some(String::from_utf8(bytes).map_err(|_| "the line is not UTF-8")))
}
