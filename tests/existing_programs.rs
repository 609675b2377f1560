//! The stand-ins for the existing programs, against each other: they do what they are to do, and notice what they are to notice.

mod existing;

#[path = "existing_programs/datagram.rs"]
mod datagram;
#[path = "existing_programs/datagram_violations.rs"]
mod datagram_violations;
#[path = "existing_programs/nick.rs"]
mod nick;
#[path = "existing_programs/request.rs"]
mod request;
#[path = "existing_programs/session.rs"]
mod session;
#[path = "existing_programs/session_violations.rs"]
mod session_violations;
#[path = "existing_programs/vectors.rs"]
mod vectors;
#[path = "existing_programs/violations.rs"]
mod violations;
