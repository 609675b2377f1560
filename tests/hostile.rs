//! Hostile input by name, on the real server over sockets. Whoever is hostile speaks by hand, byte by byte; each test
//! asserts the exact reply or close, that a bystander is served all the while, and that the server has in the end no more
//! connections, table entries, bytes and descriptors than before.

mod existing;
mod support;

#[path = "hostile/classic.rs"]
mod classic;
#[path = "hostile/crowd.rs"]
mod crowd;
#[path = "hostile/datagram.rs"]
mod datagram;
#[path = "hostile/deaf.rs"]
mod deaf;
#[path = "hostile/first_bytes.rs"]
mod first_bytes;
#[path = "hostile/injection.rs"]
mod injection;
#[path = "hostile/log_in.rs"]
mod log_in;
#[path = "hostile/machine.rs"]
mod machine;
#[path = "hostile/oversized.rs"]
mod oversized;
#[path = "hostile/scene.rs"]
mod scene;
#[path = "hostile/session.rs"]
mod session;
