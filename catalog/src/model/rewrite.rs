//! Replacing error parts: what became rows is added, what stays an error is kept, in one commit.

use serde::{Deserialize, Serialize};

use super::{CommitToken, Fence, Fenced, Part, PipelineId, SchemaId, StreamId, TableId};

/// Error rows of one stream that are none any more: each offset is then a row, or filtered (I1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorsMoved {
    /// The stream.
    pub stream: StreamId,
    /// So many became rows.
    pub rows: u64,
    /// So many the pipeline's WHERE leaves out.
    pub filtered: u64,
}

/// Replaces error parts of a table. Retried unchanged, token included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RewriteRequest {
    /// Settles an unknown outcome (I6).
    pub token: CommitToken,
    /// The table.
    pub table: TableId,
    /// Its fence as the writer knows it.
    pub table_fence: Fence,
    /// The pipeline whose version decoded the rows, and its fence.
    pub pipeline: (PipelineId, Fence),
    /// The columns that the rows were written with.
    pub schema: SchemaId,
    /// How often the table's error parts had been replaced when `removed` were read: compared and raised.
    pub seen: u64,
    /// The error parts that are replaced.
    pub removed: Vec<Part>,
    /// Parts of rows, and error parts with what stays of the removed ones.
    pub added: Vec<Part>,
    /// What becomes of the error rows that are not among `added`.
    pub moved: Vec<ErrorsMoved>,
}

/// How a rewrite ended, when its end is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RewriteOutcome {
    /// It happened, now or at an earlier attempt.
    Committed,
    /// It did not: error parts were replaced since. Read them again.
    Conflict,
    /// It did not and never will.
    Fenced(Fenced),
}
