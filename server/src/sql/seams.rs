//! What statements ask of the rest of the process: the query engine, the manager, the broker, and what is going on. Traits
//! and plain values only; who stands behind them is decided where the process is put together.

use std::collections::BTreeMap;
use std::fmt;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use catalog::{
    ErrorPolicy, GapPolicy, KafkaSource, Offset, PipelineDefinition, PipelineId, StreamId, TableId, TaskIndex,
};
use warehouse::care::retry::{Retried, RetryError, Selection};
use warehouse::care::verify::{Depth, StreamVerdict, VerifyError};
use warehouse::read::engine::{ReadAnswer, ReadQuery};
use warehouse::read::errors::ReadError;

pub use crate::manager::seek::{OffsetsByTopic, PartitionSeek, SeekTo};

/// Plans and runs queries over snapshots.
#[async_trait]
pub trait QueryEngine: Send + Sync + fmt::Debug {
    /// Plans `query` at a new snapshot, and begins to run it. Errors that come once rows flow are among the rows.
    async fn query(&self, query: ReadQuery) -> Result<ReadAnswer, ReadError>;
    /// The columns that `query` would yield. No row is read.
    async fn describe(&self, query: ReadQuery) -> Result<SchemaRef, ReadError>;
    /// The names of all functions that it has, sorted.
    fn functions(&self) -> Vec<String>;
}

/// Asks a source whether it is there, before a pipeline is made of it.
#[async_trait]
pub trait PipelineProbe: Send + Sync + fmt::Debug {
    /// Whether the broker answers and has the topic; if not, a sentence that says what to do.
    async fn check(&self, source: &KafkaSource) -> Result<(), String>;
}

/// How the trouble that paused a pipeline is met from now on; `None` as before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resume {
    /// ON GAP.
    pub gaps: Option<GapPolicy>,
    /// ON ERROR.
    pub errors: Option<ErrorPolicy>,
    /// Who gave which statement: kept with the incidents that it settles.
    pub by: Option<String>,
}

/// Where an ALTER cut a stream: offsets below are of the version before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionCut {
    /// The stream.
    pub stream: StreamId,
    /// Its topic.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// The first offset of the new version.
    pub cut_over: Offset,
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
    /// Whether a PAUSE, SEEK or ALTER of it is under way.
    async fn is_changing(&self, pipeline: PipelineId) -> Result<bool, String>;
    /// What a SEEK would do, by topic and partition.
    async fn preview_seek(&self, pipeline: PipelineId, to: &SeekTo) -> Result<Vec<PartitionSeek>, String>;
    /// Goes on elsewhere, in new streams, after all of its visible rows are committed; what it did.
    async fn seek(&self, pipeline: PipelineId, to: &SeekTo) -> Result<Vec<PartitionSeek>, String>;
    /// Goes on as another version, after all of its visible rows are committed as they were decoded; where each stream was cut.
    async fn alter(&self, pipeline: PipelineId, definition: PipelineDefinition) -> Result<Vec<PartitionCut>, String>;
}

/// Looks after tables: proofs and repairs that are no queries.
#[async_trait]
pub trait TableCare: Send + Sync + fmt::Debug {
    /// Proves that the offsets of every stream into the table are covered once, or says where not; `progress` is told how far it is.
    async fn verify(
        &self,
        table: TableId,
        depth: Depth,
        progress: &(dyn Fn(String) + Send + Sync),
    ) -> Result<Vec<StreamVerdict>, VerifyError>;
    /// Decodes error rows of a pipeline again, and moves those that fit into its table.
    async fn retry_errors(&self, pipeline: PipelineId, selection: &Selection) -> Result<Retried, RetryError>;
}

/// Empties tables.
#[async_trait]
pub trait TableControl: Send + Sync + fmt::Debug {
    /// Takes away every row of the table that is visible, those in memory included. Its pipelines go on behind them. The error is a
    /// sentence.
    async fn truncate(&self, table: TableId) -> Result<(), String>;
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
    /// Offsets that queries see and no commit holds yet: rows, error rows, filtered records and gaps.
    pub uncommitted_offsets: u64,
    /// Records at the broker that no query sees yet, over its streams; `None` while the broker has not told its end.
    pub lag_records: Option<u64>,
    /// The largest lag of its streams, in seconds.
    pub lag_seconds: Option<f64>,
    /// Records decoded per second.
    pub rows_per_second: f64,
    /// Payload bytes decoded per second.
    pub bytes_per_second: f64,
    /// Its last error, while it lasts.
    pub last_error: Option<String>,
    /// When it tries again, at the latest, in microseconds since 1970.
    pub next_retry: Option<i64>,
    /// What to do about it, in a sentence.
    pub hint: Option<String>,
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
    /// Offsets that become visible per second.
    pub rows_per_second: Option<f64>,
    /// What to do about it, where it stands still.
    pub hint: Option<String>,
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
    /// Payload bytes decoded per second.
    pub bytes_per_second: f64,
    /// What to do about it, in a sentence.
    pub hint: Option<String>,
    /// Fields of records that its SELECT names nowhere, since its tasks were started.
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
