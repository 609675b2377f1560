pub mod client;
pub mod hub;
pub mod net;
pub mod wire;
