//! The commit request, its outcome, and the ledger that it is checked against (I1).

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    CommitLabel, CommitToken, Epoch, Fence, LabelOutcome, Offset, OffsetRange, Part, PartId, PipelineId, SchemaId,
    StreamId, TableId, TaskIndex, Version,
};

/// Who commits: one slot each keeps the token of its last commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum WriterId {
    /// A task of a pipeline.
    Task(PipelineId, TaskIndex),
    /// An insert channel, by its stream.
    Channel(StreamId),
    /// Whoever replaces parts of a table. It has no slot: its tokens are kept with the count that it compares.
    Rewrite(TableId),
}

impl fmt::Display for WriterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Task(pipeline, task) => write!(f, "task/{pipeline}/{task}"),
            Self::Channel(stream) => write!(f, "channel/{stream}"),
            Self::Rewrite(table) => write!(f, "rewrite/{table}"),
        }
    }
}

/// Why offsets have no record. The last two are kept as ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GapKind {
    /// Control records, aborted records or compaction: librdkafka passes them over in silence.
    Skipped,
    /// Retention took them before they were read.
    Expired,
    /// The broker lost them.
    Truncated,
}

/// A named gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Why.
    pub kind: GapKind,
    /// Which offsets.
    pub range: OffsetRange,
}

/// What became of the offsets of one stream in one commit. Their sum is the offsets advanced: I1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Rows of the table.
    pub rows: u64,
    /// Rows of the error table.
    pub errors: u64,
    /// Records that the pipeline's WHERE took out.
    pub filtered: u64,
    /// Offsets without a record: [`GapKind::Skipped`].
    pub skipped: u64,
    /// [`GapKind::Expired`].
    pub expired: u64,
    /// [`GapKind::Truncated`].
    pub truncated: u64,
}

impl Ledger {
    /// How many offsets it accounts for.
    pub fn offsets(self) -> u64 {
        self.rows + self.errors + self.filtered + self.skipped + self.expired + self.truncated
    }

    /// The account of both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            rows: self.rows + other.rows,
            errors: self.errors + other.errors,
            filtered: self.filtered + other.filtered,
            skipped: self.skipped + other.skipped,
            expired: self.expired + other.expired,
            truncated: self.truncated + other.truncated,
        }
    }
}

/// How far a commit moves one stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamAdvance {
    /// The stream.
    pub stream: StreamId,
    /// The epoch under which its rows were taken.
    pub epoch: Epoch,
    /// From its committed offset to the next one.
    pub range: OffsetRange,
    /// What became of these offsets.
    pub ledger: Ledger,
    /// The expired and truncated ranges among them.
    pub gaps: Vec<Gap>,
}

/// Parts and offsets that become visible together or never (I4). Retried unchanged, token included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitRequest {
    /// Settles an unknown outcome (I6).
    pub token: CommitToken,
    /// Who commits.
    pub writer: WriterId,
    /// The table.
    pub table: TableId,
    /// The table's fence as the writer knows it.
    pub table_fence: Fence,
    /// The pipeline and its fence as the writer knows it; `None` for an insert channel.
    pub pipeline: Option<(PipelineId, Fence)>,
    /// The columns that the parts were written with.
    pub schema: SchemaId,
    /// The streams that advance, each once, sorted by id.
    pub streams: Vec<StreamAdvance>,
    /// The parts that become visible; may be empty.
    pub parts: Vec<Part>,
    /// The labels of the INSERTs in it, each once, sorted; only an insert channel has any.
    #[serde(default)]
    pub labels: Vec<CommitLabel>,
}

/// How a commit ended, when its end is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CommitOutcome {
    /// It happened, now or at an earlier attempt.
    Committed(Version),
    /// It did not and never will: the right to it is lost.
    Fenced(Fenced),
    /// It did not: the writer's picture is old. Read the offsets again and fetch from there.
    Conflict(Conflict),
}

/// What was lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fenced {
    /// These streams have a newer epoch; the others may go on.
    Streams(Vec<StreamId>),
    /// The table was dropped or truncated.
    Table,
    /// The pipeline was dropped or changed.
    Pipeline,
    /// The sweeper took these intents: their objects may be gone.
    Intents(Vec<PartId>),
    /// The token was voided.
    Void,
}

/// What is not as the writer thinks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Conflict {
    /// Streams whose committed offset is not the request's start, with the committed one.
    Offsets(Vec<(StreamId, Offset)>),
    /// The table has other columns now.
    Schema(SchemaId),
    /// INSERTs with these labels were committed before, with these outcomes: commit the others without them.
    Labels(Vec<(String, LabelOutcome)>),
}
