//! # The MySQL port
//!
//! The protocol as MySQL's and MariaDB's clients speak it, up to the seam where SQL begins. It owns bytes, packets, the login
//! and the shape of answers; it never looks into a statement.
//!
//! | file | owns |
//! |---|---|
//! | [`listener`] | the port, the connection limit, a task per client |
//! | `connection`, `answering` | one client's life: login, commands, cancellation, panics; the answer to each command |
//! | `login`, [`handshake`], [`auth`] | the exchange, its packets, passwords |
//! | [`commands`] | what a client may ask |
//! | [`handler`], [`error`] | **the seam**: what executes statements, and how it fails |
//! | `resultset`, [`mod@column`], `text`, `binary`, `moment` | Arrow batches as rows, of text or in the binary form |
//! | `statements`, [`parameters`] | prepared statements: their parameters, long data |
//! | [`codec`], [`fields`], [`reply`], [`capabilities`] | packets, fields, OK/ERR/EOF, flags; the client of `millrace sql` uses them too |
//!
//! What holds: nothing that a client sends can panic or make the server hold more than a limit says; a stranger costs at most
//! one small packet; a result is produced only as fast as its client reads it; a client that leaves cancels its statement.
//!
//! Not served yet: TLS, compression, cursors (a prepared statement's rows come at once), LOAD DATA LOCAL.

mod answering;
pub mod auth;
mod binary;
pub mod capabilities;
pub mod codec;
pub mod column;
pub mod commands;
mod connection;
pub mod error;
pub mod fields;
mod form;
pub mod handler;
pub mod handshake;
mod json_text;
pub mod listener;
pub(crate) mod login;
mod moment;
pub mod parameters;
pub mod reply;
mod resultset;
mod statements;
mod text;

#[cfg(test)]
pub(crate) mod stand_in;

pub use auth::{Accounts, FixedAccounts, Secret, UserVerifier};
pub use column::MYSQL_TYPE_KEY;
pub use error::SqlError;
pub use handler::{Answer, Login, Prepared, SessionFactory, SqlSession};
pub use listener::{ListenError, Listener, ListenerSettings};
pub use parameters::Parameter;
