//! Requests of the manager: a lease on a pipeline, and grants of its streams.

use serde::{Deserialize, Serialize};

use super::{Epoch, NodeId, Offset, Owner, PipelineId, StreamId, Version};

/// A manager's lease on a pipeline: (epoch, duration, renewals). An observer counts the duration on its own clock from
/// when it saw `renewals` change; clocks decide when somebody tries, never whether it succeeds (I10).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Raised each time that the lease changes hands.
    pub epoch: Epoch,
    /// Who holds it.
    pub holder: NodeId,
    /// How long it is good for without renewal, in milliseconds.
    pub duration_ms: u64,
    /// How often it was renewed.
    pub renewals: u64,
}

/// Takes or renews the lease, provided that it is still as `seen`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRequest {
    /// The pipeline.
    pub pipeline: PipelineId,
    /// Who asks.
    pub holder: NodeId,
    /// The lease as the asker saw it; `None` where there was none.
    pub seen: Option<Lease>,
    /// How long it is to last, in milliseconds.
    pub duration_ms: u64,
}

/// How a lease request ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LeaseOutcome {
    /// The asker holds it.
    Held(Lease),
    /// Somebody else changed it first; this is how it stands.
    Changed(Option<Lease>),
    /// The pipeline is gone.
    NoPipeline,
}

/// Gives a stream to a worker under a new epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantRequest {
    /// The stream.
    pub stream: StreamId,
    /// The newest epoch as the manager knows it; `None` where it was never granted. Compared and set.
    pub expected: Option<Epoch>,
    /// The manager's own epoch on the pipeline: read in the same transaction, so that a deposed manager grants nothing.
    pub manager: Epoch,
    /// Whom it goes to; `owner.epoch` is ignored and set by the grant.
    pub owner: Owner,
}

/// A grant that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Granted {
    /// The stream.
    pub stream: StreamId,
    /// Its new owner, with the new epoch.
    pub owner: Owner,
    /// Who held it before: decides whether its WAL may be replayed.
    pub previous: Option<Owner>,
    /// The committed offset at the grant: where the owner begins.
    pub committed: Offset,
    /// The grant's place in the table's log.
    pub version: Version,
}

/// How a grant ended, when its end is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GrantOutcome {
    /// It was made.
    Granted(Granted),
    /// The stream has another newest epoch than expected.
    EpochChanged(Option<Epoch>),
    /// Another manager leads the pipeline.
    NotLeader,
    /// The stream is closed, or its pipeline gone.
    Closed,
}
