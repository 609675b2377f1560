pub mod hub;
pub mod store;
