//! Ctrl-C, and SIGTERM: at once while there is nothing to finish, else left to the program, which logs out.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use signal_hook::consts::SIGTERM;
use signal_hook::iterator::Signals;

use super::exit::Status;
use crate::net::link::Bell;

/// Whether the program is asked to end, and what that does.
#[derive(Clone)]
pub struct Interrupt(Arc<Flags>);

struct Flags {
    /// The status to end with; 0: nobody asks.
    asked: AtomicU8,
    /// Rung instead of ending the program: somebody looks at `asked`.
    bell: Mutex<Option<Bell>>,
    terminal: Option<Terminal>,
}

/// The terminal as it was at the start.
struct Terminal {
    file: File,
    at_start: Termios,
}

impl Interrupt {
    /// Watches for the signals from now on, which end the program; to be called once.
    pub fn watch() -> Interrupt {
        let terminal = File::open("/dev/tty").ok().and_then(|file| {
            let at_start = tcgetattr(&file).ok()?;
            Some(Terminal { file, at_start })
        });
        let interrupt = Interrupt(Arc::new(Flags { asked: AtomicU8::new(0), bell: Mutex::default(), terminal }));
        // Without a handler the signals still end the program.
        let on_ctrl_c = interrupt.clone();
        let _ = ctrlc::set_handler(move || on_ctrl_c.ask(Status::Interrupted));
        if let Ok(mut signals) = Signals::new([SIGTERM]) {
            let on_term = interrupt.clone();
            std::thread::spawn(move || signals.forever().for_each(|_| on_term.ask(Status::Terminated)));
        }
        interrupt
    }

    /// The status to end with, if somebody asks for the end.
    pub fn asked(&self) -> Option<Status> {
        match self.0.asked.load(Ordering::SeqCst) {
            0 => None,
            asked if asked == Status::Terminated as u8 => Some(Status::Terminated),
            _ => Some(Status::Interrupted),
        }
    }

    /// From now on the first signal rings this bell only, and the program looks at `asked`.
    pub fn leave_to_the_program(&self, bell: Bell) {
        *self.bell() = Some(bell);
    }

    /// From now on a signal ends the program again.
    pub fn end_at_once(&self) {
        *self.bell() = None;
    }

    fn bell(&self) -> MutexGuard<'_, Option<Bell>> {
        self.0.bell.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The terminal echoes again, whatever was being asked or typed.
    pub fn restore_terminal(&self) {
        if let Some(terminal) = &self.0.terminal {
            // A terminal that is gone needs no care.
            let _ = tcsetattr(&terminal.file, OptionalActions::Now, &terminal.at_start);
        }
    }

    fn ask(&self, status: Status) {
        let again = self.0.asked.swap(status as u8, Ordering::SeqCst) != 0;
        match &*self.bell() {
            Some(bell) if !again => bell.ring(),
            _ => {
                self.restore_terminal();
                if io::stderr().is_terminal() {
                    let _ = io::stderr().write_all(b"\n");
                }
                std::process::exit(status as i32);
            }
        }
    }
}
