//! The clients that can't be changed, in virtual time: written from the description of their protocols, and not from the
//! server's code for them.

pub mod datagram;
pub mod dialogue;
pub mod screen;
pub mod session;
