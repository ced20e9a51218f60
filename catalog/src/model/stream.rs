//! Streams: what offsets belong to (PROTOCOL, "Streams").

use serde::{Deserialize, Serialize};

use super::{Epoch, Fence, NodeId, Offset, PipelineId, StreamId, TableId, TaskIndex};

/// What makes a stream that stream and no other. Kept without a tag: the two have no field in common, and streams of
/// partitions are kept as they were before there were channels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum StreamIdentity {
    /// One incarnation of one partition of one pipeline.
    Partition(PartitionIdentity),
    /// An insert channel.
    Channel(ChannelIdentity),
}

impl StreamIdentity {
    /// The partition, if it is one.
    pub fn partition(&self) -> Option<&PartitionIdentity> {
        match self {
            Self::Partition(partition) => Some(partition),
            Self::Channel(_) => None,
        }
    }

    /// The insert channel, if it is one.
    pub fn channel(&self) -> Option<&ChannelIdentity> {
        match self {
            Self::Partition(_) => None,
            Self::Channel(channel) => Some(channel),
        }
    }
}

/// A partition that a pipeline reads. A re-created topic and a SEEK change it, and so open a new stream.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PartitionIdentity {
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

/// An insert channel: what INSERTs of one process to one table advance. It is never granted to another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ChannelIdentity {
    /// The server.
    pub node: NodeId,
    /// Which process of it: drawn at random when it started.
    pub process: u64,
    /// Which channel of the process.
    pub number: u64,
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

impl Stream {
    /// The partition of a stream of a pipeline.
    ///
    /// # Panics
    /// If it is an insert channel: those are no pipeline's.
    pub fn partition(&self) -> &PartitionIdentity {
        self.identity.partition().expect("the streams of a pipeline are partitions")
    }

    /// Whether it is an insert channel: its rows are committed before anybody sees them, so no owner has any in memory.
    pub fn is_channel(&self) -> bool {
        self.identity.channel().is_some()
    }
}

/// An insert channel that is open, as its process holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// The stream.
    pub stream: StreamId,
    /// The epoch under which it commits.
    pub epoch: Epoch,
    /// Its next offset.
    pub next: Offset,
    /// Whose it is.
    pub identity: ChannelIdentity,
}

/// Who closes an insert channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelCloser {
    /// Its own process, which knows the end of each commit that it sent: nothing is kept of it.
    Itself,
    /// Another, which holds that process for dead. It may not be, and may have sent a commit whose end it does not know: what
    /// tells it stays.
    Another,
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
