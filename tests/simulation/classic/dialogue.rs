//! The log-in of a `request` client, with whoever sits before it.

use std::collections::VecDeque;

/// The name stands from here in the chunk that ends the log-in.
const NAME_COLUMN: usize = 14;

/// What somebody types when asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Typed {
    pub name: String,
    pub password: String,
}

/// What the client does with a chunk.
#[derive(Debug, PartialEq, Eq)]
pub enum Obeys {
    Says(String),
    /// The log-in is over; it closes. The name is the user's, as the server spells it.
    IsIn(String),
    /// It gives up, and closes.
    GivesUp,
}

/// One log-in.
#[derive(Debug)]
pub struct Dialogue {
    /// The first is what the log-in begins with.
    types: VecDeque<Typed>,
    port: u16,
}

impl Dialogue {
    /// `types`: what is typed, one after the other; the last again and again.
    pub fn new(types: Vec<Typed>, port: u16) -> Dialogue {
        assert!(!types.is_empty(), "somebody types something");
        Dialogue { types: types.into(), port }
    }

    pub fn opening(&self) -> String {
        let Typed { name, password } = &self.types[0];
        format!("newUser,{name},{password},{}", self.port)
    }

    /// Everything that may ever be typed.
    pub fn all(&self) -> impl Iterator<Item = &Typed> {
        self.types.iter()
    }

    /// The client has read a chunk.
    pub fn reads(&mut self, chunk: &str) -> Obeys {
        match chunk {
            "prompt" => {
                let Typed { name, password } = self.next();
                Obeys::Says(format!("{name},{password}"))
            }
            // People leave blanks around it.
            "prompt_password" => Obeys::Says(format!(" {}  ", self.next().password)),
            "exit" => Obeys::GivesUp,
            _ if chunk.contains("Authenticated") => {
                Obeys::IsIn(chunk.get(NAME_COLUMN..).unwrap_or_default().to_owned())
            }
            _ => Obeys::Says("ok".to_owned()),
        }
    }

    fn next(&mut self) -> Typed {
        if self.types.len() > 1 {
            self.types.pop_front();
        }
        self.types[0].clone()
    }
}
