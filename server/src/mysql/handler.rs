//! The seam to SQL: what this module asks of whoever executes statements. One session per connection; the protocol never
//! looks into a statement, and the session never sees a packet.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use futures::stream::BoxStream;
use std::ops::Range;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

pub use super::error::SqlError;
use super::parameters::Parameter;

/// Who has logged in, and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The user, whose password has been checked.
    pub user: String,
    /// The database that the client wants to begin in.
    pub database: Option<String>,
    /// What CONNECTION_ID() and SHOW PROCESSLIST show, and KILL takes.
    pub connection_id: u32,
    /// The client's address and port.
    pub peer: String,
    /// What the client's program says of itself, for instance `program_name`.
    pub attributes: BTreeMap<String, String>,
}

/// Opens a session for each login.
#[async_trait]
pub trait SessionFactory: Send + Sync {
    /// A session for `login`. An error refuses the connection with just this error, for instance 1049.
    async fn open(&self, login: Login) -> Result<Box<dyn SqlSession>, SqlError>;
}

/// The state of one connection. It is dropped when the client leaves. Any future and stream of it may be dropped at any
/// await, which is how a statement is cancelled; the session is then dropped too.
#[async_trait]
pub trait SqlSession: Send {
    /// Executes one statement. The stream of an answer is drained or dropped before the next call.
    async fn execute(&mut self, sql: &str) -> Result<Answer, SqlError>;
    /// Where each statement of `sql` stands. What cannot be read is one statement, whose execution says why.
    fn statements(&self, sql: &str) -> Vec<Range<usize>>;
    /// Reads a statement, to be executed later.
    async fn prepare(&mut self, sql: &str) -> Result<Prepared, SqlError>;
    /// Executes a prepared statement with as many parameters as it has.
    async fn execute_prepared(&mut self, id: u32, parameters: Vec<Parameter>) -> Result<Answer, SqlError>;
    /// Forgets a prepared statement, if there is such.
    fn close_prepared(&mut self, id: u32);
    /// What USE does.
    async fn use_database(&mut self, name: &str) -> Result<(), SqlError>;
    /// Returns to the state after the login: pools call it before they lend the connection again.
    async fn reset(&mut self);
    /// One line for `mysqladmin status` and the clients' `status` command.
    fn statistics(&self) -> String;
    /// Cancelled when the connection is to be closed: by KILL of another session.
    fn killed(&self) -> CancellationToken;
    /// After how long a silent client is left, where the session says so; else the port does.
    fn idle_timeout(&self) -> Option<Duration>;
}

/// A statement that was prepared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// Its number, of this connection.
    pub id: u32,
    /// How many parameters it has.
    pub parameters: u16,
    /// The columns of its rows; nothing where it yields none, or where they depend on the parameters.
    pub columns: Option<SchemaRef>,
}

/// What a statement yields.
pub enum Answer {
    /// No rows, by the nature of the statement.
    Done {
        /// How many rows it changed.
        affected_rows: u64,
        /// How many rows SHOW WARNINGS would show.
        warnings: u16,
        /// One line for the user; mostly empty.
        info: String,
    },
    /// Rows, perhaps none. A field's metadata under [`MYSQL_TYPE_KEY`](super::MYSQL_TYPE_KEY) may name the MySQL type to
    /// announce.
    Rows {
        /// The columns, by which every batch is sent.
        schema: SchemaRef,
        /// The rows. It is polled only as fast as the client reads.
        stream: BoxStream<'static, Result<RecordBatch, SqlError>>,
    },
}
