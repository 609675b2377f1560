//! Sockets and the loops that serve them: the only user of mio.

pub mod link;
