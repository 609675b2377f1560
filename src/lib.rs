pub mod hub;
pub mod wire;
