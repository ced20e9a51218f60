//! # `millrace sql`: a small client of our own port
//!
//! For a machine without a MySQL client. It speaks the same protocol as any other and knows nothing that they could not know.
//!
//! | file | owns |
//! |---|---|
//! | `args` | the flags, and [`run`]: which way statements come in |
//! | [`connection`] | login, a statement, its rows one by one |
//! | [`prepared`] | prepared statements, and rows in the binary form |
//! | `statements` | where one statement ends and the next begins |
//! | `shell` | a statement's way from text to printed answer |
//! | `repl` | the prompt, its history and its backslash commands |
//! | `printer`, `table`, `lines` | answers as a table, vertically, or as TSV, CSV or JSON |

mod args;
pub mod connection;
mod error;
mod lines;
pub mod prepared;
mod printer;
mod repl;
mod shell;
mod statements;
mod table;

#[cfg(test)]
mod loopback;

pub use args::{SqlArgs, run};
pub use connection::{ConnectOptions, Connection, Reply, Rows};
pub use error::ClientError;
pub use printer::Format;
