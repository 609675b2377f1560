//! The rules of the chat: pure, without socket, clock or disk.

pub mod change;
pub mod credentials;
pub mod effect;
pub mod id;
pub mod input;
pub mod message;
pub mod name;
pub mod scram;
pub mod text;
pub mod time;
