//! The loop and everything that touches a socket: the only user of mio. No rule of the chat, no byte of a protocol.
//! [`server`] has the sockets and the clock; [`turn`] is what happens each time, and has neither.

pub mod arrivals;
pub mod callee;
mod clock;
pub mod connection;
pub mod control;
pub mod correspondent;
pub mod link;
mod listener;
pub mod posts;
pub mod queue;
pub mod reflection;
pub mod replies;
pub mod room;
pub mod scope;
pub mod server;
pub mod slots;
mod socket;
mod strangers;
pub mod timers;
pub mod tls;
pub mod turn;
mod unacknowledged;
pub mod under_way;
pub mod worker;
