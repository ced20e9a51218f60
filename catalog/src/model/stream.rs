//! Streams: what offsets belong to (PROTOCOL, "Streams").

use serde::{Deserialize, Serialize};

use super::{Epoch, Fence, NodeId, Offset, PipelineId, StreamId, TableId, TaskIndex};

/// What makes a stream that stream and no other. A re-created topic and a SEEK change it, and so open a new stream.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StreamIdentity {
    /// The pipeline.
    pub pipeline: PipelineId,
    /// The topic's name, for `_topic`.
    pub topic: String,
    /// The broker's id of this incarnation of the topic; empty where the broker gives none.
    pub incarnation: String,
    /// Kafka's partition number.
    pub partition: i32,
    /// Raised by each SEEK and by each skip back after a truncation.
    pub generation: u32,
}

/// Whether a stream is still read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StreamState {
    /// It is read, or will be.
    Open,
    /// Nothing more will ever be committed to it.
    Closed,
}

/// A stream's record. Its next offset and its owner are keys of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stream {
    /// Its id.
    pub id: StreamId,
    /// What it is a stream of.
    pub identity: StreamIdentity,
    /// The table that its rows go to.
    pub table: TableId,
    /// The absolute offset at which it began.
    pub start: Offset,
    /// Whether it is still read.
    pub state: StreamState,
}

/// Who holds a stream: written by each grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The newest epoch granted.
    pub epoch: Epoch,
    /// To which worker.
    pub node: NodeId,
    /// Where that worker is reached.
    pub address: String,
    /// In which of the pipeline's tasks.
    pub task: TaskIndex,
    /// The pipeline's version at the grant.
    pub pipeline_fence: Fence,
}
