//! What the manager and a worker say to each other: whole typed requests, so that a wire can be put between them.
//!
//! Every command may arrive twice or late: each names epochs, and an older one than is held changes nothing (I2).

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use catalog::{Epoch, Granted, NodeId, Offset, Pipeline, PipelineId, Stream, StreamId, Table, TaskIndex};

/// One life of a worker's process, drawn at its start: a worker that is started again has the address and the node of before, and
/// another of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Life(pub u64);

/// A stream that was granted to a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedStream {
    /// The stream.
    pub stream: Arc<Stream>,
    /// Its grant: the epoch, where it begins, and who held it before.
    pub granted: Granted,
}

/// What a manager asks of a worker.
#[derive(Clone, Debug, PartialEq)]
pub enum WorkerCommand {
    /// Hold these streams, in this task of the pipeline; start the task if it is not running.
    Own {
        /// The process that the manager saw when it granted them. Another passes over it: it was granted nothing.
        life: Life,
        /// The pipeline as the manager knows it.
        pipeline: Arc<Pipeline>,
        /// Its target.
        table: Arc<Table>,
        /// Which of its tasks.
        task: TaskIndex,
        /// The streams.
        streams: Vec<OwnedStream>,
    },
    /// Commit what is visible of these streams, and hold them no longer: they move.
    Release {
        /// The pipeline.
        pipeline: PipelineId,
        /// The streams.
        streams: Vec<StreamId>,
    },
    /// Commit what is visible of the whole pipeline, and stop its tasks.
    Stop {
        /// The pipeline.
        pipeline: PipelineId,
    },
    /// Stop its tasks at once; what is not committed is fetched again, or never wanted.
    Abandon {
        /// The pipeline.
        pipeline: PipelineId,
    },
}

/// Whether a stream goes on, and if not, why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamCondition {
    /// It is read.
    Owned,
    /// It was committed and let go, as it was asked.
    Released,
    /// It is no longer held: fenced, or its picture was old. Grant it again if it should go on.
    Lost {
        /// Why.
        cause: String,
    },
    /// Retention overtook it: `wanted` is below `low`.
    Expired {
        /// Where it wanted to read.
        wanted: Offset,
        /// The first offset that exists.
        low: Offset,
    },
    /// The broker lost records: `wanted` is above `high`.
    Truncated {
        /// Where it wanted to read.
        wanted: Offset,
        /// The offset after the last one that exists.
        high: Offset,
    },
    /// The topic is gone, or another.
    TopicChanged {
        /// What was found.
        found: String,
    },
    /// A record that cannot become a row, under `errors = pause`.
    BadRecord {
        /// Its offset.
        offset: Offset,
        /// Why.
        message: String,
    },
}

/// One stream of a task, as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamReport {
    /// The stream.
    pub stream: StreamId,
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The epoch that it is held under.
    pub epoch: Epoch,
    /// C(s).
    pub committed: Offset,
    /// E(s): logged, and visible.
    pub visible: Offset,
    /// The end of the partition, where the broker has told it.
    pub high_watermark: Option<Offset>,
    /// The broker's time of the last visible record, in milliseconds since 1970.
    pub visible_timestamp_ms: Option<i64>,
    /// Whether it was granted before under this version of the pipeline: who held it then may have shown what is read again now.
    pub is_taken_over: bool,
    /// Whether it goes on.
    pub condition: StreamCondition,
}

impl StreamReport {
    /// Records that the broker has and no query sees yet.
    pub fn lag_records(&self) -> Option<u64> {
        self.high_watermark.map(|high| high.0.saturating_sub(self.visible.0))
    }

    /// How old the newest visible record is, in milliseconds, while there are newer ones; zero when there are none.
    pub fn lag_ms(&self, now_ms: i64) -> Option<u64> {
        match (self.lag_records()?, self.visible_timestamp_ms) {
            (0, _) => Some(0),
            (_, Some(visible)) => Some(u64::try_from(now_ms - visible).unwrap_or(0)),
            (_, None) => None,
        }
    }
}

/// What a task is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// It fetches.
    Running,
    /// It waits for room in memory, in the WAL or on disk, or for the broker or a store; it goes on by itself.
    Stalled,
    /// It commits what is visible, and then ends.
    Draining,
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Running => "running",
            Self::Stalled => "stalled",
            Self::Draining => "draining",
        })
    }
}

/// Where trouble is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TroubleKind {
    /// The source, or the way to it.
    Source,
    /// The disk of the write-ahead log.
    Disk,
    /// The object store.
    Store,
    /// The catalog.
    Catalog,
    /// The task itself: it ended, and began anew.
    Restart,
}

/// When it is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Then, in microseconds since 1970.
    At(i64),
    /// Within so many milliseconds, over and over.
    Within(u64),
}

/// Trouble that a task works through by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What is wrong, and the next step.
    pub message: String,
    /// Since when, in microseconds since 1970.
    pub since: i64,
    /// Whether it will not pass without a person.
    pub lasting: bool,
    /// Where it is.
    pub kind: TroubleKind,
    /// When it is tried again, where that is known.
    pub retry: Option<Retry>,
}

/// Why a task takes nothing in though nothing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stall {
    /// The process's memory limit is reached (I8).
    Memory,
    /// The write-ahead log is at its limit (I8).
    Log,
}

/// One task, as its worker sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskReport {
    /// The pipeline.
    pub pipeline: PipelineId,
    /// Which of its tasks.
    pub task: TaskIndex,
    /// What it is doing.
    pub state: TaskState,
    /// Its streams.
    pub streams: Vec<StreamReport>,
    /// What troubles it.
    pub trouble: Option<Trouble>,
    /// Which limit it waits at.
    pub stall: Option<Stall>,
    /// Records decoded since it started.
    pub records: u64,
    /// Payload bytes decoded since it started.
    pub payload_bytes: u64,
    /// Fields of records that its pipeline's SELECT names nowhere, since it started.
    pub unknown_fields: u64,
    /// Bytes in its memtable that are not being flushed.
    pub memtable_bytes: u64,
    /// Commits since it started.
    pub commits: u64,
    /// When it last committed, in microseconds since 1970.
    pub last_commit: Option<i64>,
    /// When it started, in microseconds since 1970.
    pub started: i64,
}

/// A worker, as it sees itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// Its lasting name.
    pub node: NodeId,
    /// Where it is reached.
    pub address: String,
    /// Which of its processes this is.
    pub life: Life,
    /// Its tasks.
    pub tasks: Vec<TaskReport>,
    /// Bytes charged to its memory limit.
    pub memory_used: u64,
    /// The limit.
    pub memory_limit: u64,
    /// Bytes of its WAL on disk.
    pub wal_bytes: u64,
    /// Queries that have rows of its memtables pinned.
    pub pinned_queries: u64,
}

/// Why a worker did not take a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// It does not answer, or did not in time: the command may or may not have arrived.
    #[error("the worker at {address} does not answer: {cause}")]
    Unreachable {
        /// The worker.
        address: String,
        /// Why.
        cause: String,
    },
    /// It answers that it cannot.
    #[error("the worker at {address} refused: {cause}")]
    Refused {
        /// The worker.
        address: String,
        /// Why.
        cause: String,
    },
}

/// The seam between the manager and its workers, by address.
#[async_trait]
pub trait WorkerLink: Send + Sync + fmt::Debug {
    /// The workers that there are, by address.
    fn addresses(&self) -> Vec<String>;
    /// Hands over a command. Taken is not done: the heartbeat tells what came of it.
    async fn command(&self, address: &str, command: WorkerCommand) -> Result<(), LinkError>;
    /// Asks how it is.
    async fn heartbeat(&self, address: &str) -> Result<Heartbeat, LinkError>;
}
