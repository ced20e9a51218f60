//! What statements ask of the rest of the process: the query engine, the manager, the broker, and what is going on. Traits
//! and plain values only; who stands behind them is decided where the process is put together.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use catalog::{ErrorPolicy, GapPolicy, KafkaSource, Offset, PipelineId, StreamId, TaskIndex};
use datafusion::catalog::TableProvider;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::sql::sqlparser::ast;

/// How fresh an answer is to be: `SET freshness`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Freshness {
    /// With the rows that are still in memory.
    Latest,
    /// Only what is committed.
    Committed,
}

/// Where each stream ended in the answers that a session was given: it is never answered behind that (I5).
pub type SeenEnds = BTreeMap<StreamId, Offset>;

/// One query, its names resolved: every table is `database.table` as the catalog spells it, every column likewise.
pub struct QueryRequest {
    /// A SELECT, or EXPLAIN of one.
    pub statement: ast::Statement,
    /// The session's database.
    pub database: Option<String>,
    /// With or without memory.
    pub freshness: Freshness,
    /// What the session has seen at this freshness; the engine waits until it can answer at or past it, and raises it.
    pub seen: Arc<Mutex<SeenEnds>>,
    /// The tables that are not the catalog's.
    pub system: Arc<dyn SystemTables>,
}

impl fmt::Debug for QueryRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueryRequest")
            .field("statement", &self.statement.to_string())
            .field("database", &self.database)
            .field("freshness", &self.freshness)
            .finish_non_exhaustive()
    }
}

/// The rows of a query; its schema is the stream's. Dropping it cancels the query.
pub struct QueryAnswer {
    /// The batches.
    pub stream: SendableRecordBatchStream,
}

impl fmt::Debug for QueryAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueryAnswer").field("schema", &self.stream.schema()).finish()
    }
}

/// Why a query has no answer. Errors that come once rows flow are inside the stream.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The engine's own; told in MySQL's words by [`sql_error`](super::errors::of_engine).
    #[error(transparent)]
    Engine(#[from] DataFusionError),
    /// What cannot be answered now: cause and next step, in a sentence.
    #[error("{0}")]
    Unavailable(String),
}

/// Plans and runs queries over snapshots.
#[async_trait]
pub trait QueryEngine: Send + Sync + fmt::Debug {
    /// Plans `request` at a new snapshot, and begins to run it.
    async fn query(&self, request: QueryRequest) -> Result<QueryAnswer, QueryError>;
}

/// The tables of `system` and `information_schema`, as one session sees them.
pub trait SystemTables: Send + Sync + fmt::Debug {
    /// The table; both names in lower case.
    fn table(&self, schema: &str, table: &str) -> Option<Arc<dyn TableProvider>>;
}

/// Asks a source whether it is there, before a pipeline is made of it.
#[async_trait]
pub trait PipelineProbe: Send + Sync + fmt::Debug {
    /// Whether the broker answers and has the topic; if not, a sentence that says what to do.
    async fn check(&self, source: &KafkaSource) -> Result<(), String>;
}

/// How the trouble that paused a pipeline is met from now on; `None` as before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resume {
    /// ON GAP.
    pub gaps: Option<GapPolicy>,
    /// ON ERROR.
    pub errors: Option<ErrorPolicy>,
}

/// What the manager does with a pipeline, its record in the catalog included. Each error is a sentence.
#[async_trait]
pub trait PipelineControl: Send + Sync + fmt::Debug {
    /// Stops it, after all of its visible rows are committed.
    async fn pause(&self, pipeline: PipelineId) -> Result<(), String>;
    /// Starts it again where it stopped, and settles its incidents.
    async fn resume(&self, pipeline: PipelineId, how: Resume) -> Result<(), String>;
    /// Removes it, after all of its visible rows are committed.
    async fn remove(&self, pipeline: PipelineId) -> Result<(), String>;
}

/// What is going on in the process (later: in the cluster): what `system.*` shows beside the catalog's records.
#[async_trait]
pub trait Runtime: Send + Sync + fmt::Debug {
    /// Every task, by pipeline and number.
    async fn tasks(&self) -> Vec<TaskRow>;
    /// Every worker.
    async fn workers(&self) -> Vec<WorkerRow>;
    /// Where streams are, beyond what is committed.
    async fn streams(&self) -> BTreeMap<StreamId, StreamPosition>;
    /// How pipelines do.
    async fn pipelines(&self) -> BTreeMap<PipelineId, PipelineHealth>;
    /// The server's settings.
    fn settings(&self) -> Vec<SettingRow>;
}

/// One task.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskRow {
    /// Its pipeline.
    pub pipeline: PipelineId,
    /// Its number in it.
    pub task: TaskIndex,
    /// The worker that runs it; empty where none does.
    pub worker: String,
    /// In one word: `running`, `paused`, `waiting`, `stopped`.
    pub state: String,
    /// How many streams it holds.
    pub streams: u64,
    /// Bytes of its memtables.
    pub memtable_bytes: u64,
    /// Rows of its memtables.
    pub memtable_rows: u64,
    /// Rows that become visible per second.
    pub rows_per_second: f64,
    /// Its last error, while it lasts.
    pub last_error: Option<String>,
    /// When it tries again, in microseconds since 1970.
    pub next_retry: Option<i64>,
}

/// One worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerRow {
    /// Its lasting name.
    pub node: String,
    /// Where it is reached.
    pub address: String,
    /// In one word: `live`, `draining`, `lost`.
    pub state: String,
    /// How many tasks it runs.
    pub tasks: u64,
    /// Bytes of its memtables and sources.
    pub memory_bytes: u64,
    /// The limit of these (I8).
    pub memory_limit_bytes: u64,
    /// Bytes of its WAL.
    pub wal_bytes: u64,
    /// When it was last heard of, in microseconds since 1970.
    pub heartbeat: Option<i64>,
}

/// Where a stream is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamPosition {
    /// The first offset that SELECT does not see yet.
    pub visible: Option<Offset>,
    /// The offset after the last record at the broker, as last told.
    pub high_watermark: Option<Offset>,
    /// How many records behind that.
    pub lag_records: Option<u64>,
    /// How old the oldest record not yet visible is.
    pub lag_seconds: Option<f64>,
    /// Rows that become visible per second.
    pub rows_per_second: Option<f64>,
}

/// How a pipeline does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PipelineHealth {
    /// In one word, where it is more than the catalog's state: `starting`, `running`, `retrying`.
    pub state: Option<String>,
    /// Its last error, while it lasts.
    pub last_error: Option<String>,
    /// When it tries again, in microseconds since 1970.
    pub next_retry: Option<i64>,
    /// Fields of records that its SELECT names nowhere, since it was started.
    pub unknown_fields: u64,
}

/// One setting of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingRow {
    /// Its name in the configuration.
    pub name: String,
    /// Its value; secrets are not shown.
    pub value: String,
    /// Where the value comes from: `default`, `file`, `environment`, `flag`.
    pub origin: String,
    /// What it does, in a line.
    pub description: String,
}
