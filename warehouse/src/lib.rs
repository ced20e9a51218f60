//! # millrace-warehouse: the way of a record, and the way back to a query
//!
//! [`write`] takes records in and commits them; [`read`] answers queries over what is committed and what is still in
//! memory, [`care`] verifies a table and retries its error rows. They share one memory limit ([`memory`]), and walk through syntax
//! trees in one way ([`walk`]). The crate knows neither the clients' sockets nor the MySQL protocol.

pub mod care;
pub mod memory;
pub mod read;
pub mod schema;
pub mod walk;
pub mod write;
