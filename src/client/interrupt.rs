//! Ctrl-C: at once while there is nothing to finish, else left to the program, which logs out.

use std::fs::File;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

use super::exit::Status;
use crate::net::link::Bell;

/// Whether Ctrl-C was pressed, and what it does.
#[derive(Clone)]
pub struct Interrupt(Arc<Flags>);

struct Flags {
    pressed: AtomicBool,
    /// Rung instead of ending the program: somebody looks at `pressed`.
    bell: OnceLock<Bell>,
    terminal: Option<Terminal>,
}

/// The terminal as it was at the start.
struct Terminal {
    file: File,
    at_start: Termios,
}

impl Interrupt {
    /// Watches for Ctrl-C from now on, which ends the program; to be called once.
    pub fn watch() -> Interrupt {
        let terminal = File::open("/dev/tty").ok().and_then(|file| {
            let at_start = tcgetattr(&file).ok()?;
            Some(Terminal { file, at_start })
        });
        let interrupt = Interrupt(Arc::new(Flags { pressed: AtomicBool::new(false), bell: OnceLock::new(), terminal }));
        let watched = interrupt.clone();
        // Without a handler Ctrl-C still ends the program.
        let _ = ctrlc::set_handler(move || {
            let again = watched.0.pressed.swap(true, Ordering::SeqCst);
            match watched.0.bell.get() {
                Some(bell) if !again => bell.ring(),
                _ => {
                    watched.restore_terminal();
                    let _ = io::stderr().write_all(b"\n");
                    std::process::exit(Status::Interrupted as i32);
                }
            }
        });
        interrupt
    }

    pub fn is_set(&self) -> bool {
        self.0.pressed.load(Ordering::SeqCst)
    }

    /// From now on the first Ctrl-C rings this bell only, and the program looks at `is_set`.
    pub fn leave_to_the_program(&self, bell: Bell) {
        // The bell of the first time is as good.
        let _ = self.0.bell.set(bell);
    }

    /// The terminal echoes again, whatever was being asked or typed.
    pub fn restore_terminal(&self) {
        if let Some(terminal) = &self.0.terminal {
            // A terminal that is gone needs no care.
            let _ = tcsetattr(&terminal.file, OptionalActions::Now, &terminal.at_start);
        }
    }
}
