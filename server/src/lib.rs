//! server
pub mod client;
pub mod mysql;
