//! chatd: a chat server for your own network, and its client.
//!
//! A room for each kind of knowledge; a test (tests/rooms.rs) keeps each from reaching for what it may not know.
//!
//! | room | knows | may use |
//! |---|---|---|
//! | [`hub`] | the rules of the chat; pure | nobody |
//! | [`wire`] | bytes to hub types and back, one file a protocol; pure | hub's types |
//! | [`net`] | the loop, sockets, queues, the worker; the only user of mio | wire, hub, store |
//! | [`store`] | what outlives the server; the only user of SQLite | hub's types |
//! | [`client`] | what `chat` is made of | net, wire |
#![deny(unsafe_code)]

pub mod client;
pub mod hub;
pub mod net;
pub mod store;
pub mod wire;
