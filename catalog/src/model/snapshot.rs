//! What a table's log folds up to at a version: visible parts, and the offset vector.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Gap, Ledger, Offset, Owner, Part, PipelineId, Stream, StreamAdvance, StreamId, Table, Version, WriterId};

/// A stream at a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamView {
    /// The stream's record.
    pub stream: Arc<Stream>,
    /// C(s): the committed offset.
    pub committed: Offset,
    /// Who held it; `None` before the first grant.
    pub owner: Option<Owner>,
    /// What became of all offsets up to `committed`.
    pub ledger: Ledger,
}

/// A table at a version.
#[derive(Clone, Debug)]
pub struct TableSnapshot {
    /// The version.
    pub version: Version,
    /// The table.
    pub table: Arc<Table>,
    /// The parts visible at it, of both kinds.
    pub parts: Arc<Vec<Arc<Part>>>,
    /// The offset vector: every stream into the table that is not closed, and those closed ones that parts still name.
    pub streams: Arc<BTreeMap<StreamId, StreamView>>,
}

/// One commit, as `system.commits` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitRecord {
    /// Its version.
    pub version: Version,
    /// Who made it.
    pub writer: WriterId,
    /// When, in microseconds since 1970, for people.
    pub wall: i64,
    /// The streams that it moved.
    pub streams: Vec<StreamAdvance>,
    /// How many parts it added.
    pub parts_added: u64,
    /// How many parts it removed.
    pub parts_removed: u64,
    /// Rows added.
    pub rows: u64,
    /// Bytes of the parts added.
    pub bytes: u64,
}

/// What kind of trouble needs a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum IncidentKind {
    /// Retention overtook the committed offset.
    Expired,
    /// The broker lost records that had been read.
    Truncated,
    /// The topic was deleted, or made again.
    TopicRecreated,
    /// A bad record, under `errors = pause`.
    BadRecord,
    /// Something stalls the source that does not pass by itself, such as a codec that is not built in.
    Source,
}

/// What needs a person: its cause, and the statement that settles it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// Rises with each incident of the pipeline.
    pub number: u64,
    /// The pipeline that it paused.
    pub pipeline: PipelineId,
    /// The stream, where it concerns one.
    pub stream: Option<StreamId>,
    /// What kind.
    pub kind: IncidentKind,
    /// The offsets lost, where they are known.
    pub gap: Option<Gap>,
    /// What happened, in a sentence.
    pub cause: String,
    /// The statement that settles it.
    pub settle: String,
    /// When it was opened, in microseconds since 1970, for people.
    pub opened: i64,
    /// When it was settled.
    pub settled: Option<i64>,
    /// By whom, and by which statement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled_by: Option<String>,
}
