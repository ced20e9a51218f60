//! The catalog's nouns: ids, positions, and the records that every other crate speaks of. No logic of stores or keys.

mod change;
mod column_type;
mod commit;
mod grant;
mod ids;
mod label;
mod part;
mod pipeline;
mod rewrite;
mod scalar;
mod snapshot;
mod stream;
mod table;
mod topics;
mod truncate;
mod user;

pub use change::{
    ChangeId, ChangeKind, ChangeState, CutOver, DrainedStream, FinishOutcome, PipelineChange, PipelineDefinition,
    PipelineVersion, SeekTarget,
};
pub use column_type::{ColumnType, IntegerWidth};
pub use commit::{CommitOutcome, CommitRequest, Conflict, Fenced, Gap, GapKind, Ledger, StreamAdvance, WriterId};
pub use grant::{GrantOutcome, GrantRequest, Granted, Lease, LeaseOutcome, LeaseRequest};
pub use ids::{
    CatalogId, CatalogIdentity, ColumnId, CommitToken, Epoch, Fence, NodeId, Offset, OffsetRange, PartId, PipelineId,
    SchemaId, StreamId, TableId, TaskIndex, Version,
};
pub use label::{CommitLabel, LabelOutcome};
pub use part::{BlockChecksums, Part, PartKind, PartStream, SortKeyRange, UploadIntent};
pub use pipeline::{
    ErrorPolicy, GapPolicy, KafkaSource, Pipeline, PipelineSettings, PipelineState, RecordFormat, StartPosition,
};
pub use rewrite::{ErrorsMoved, RewriteOutcome, RewriteRequest};
pub use scalar::{DecimalText, Scalar};
pub use snapshot::{CommitRecord, Incident, IncidentKind, StreamView, TableSnapshot};
pub use stream::{
    Channel, ChannelCloser, ChannelIdentity, Owner, PartitionIdentity, Stream, StreamIdentity, StreamState,
};
pub use table::{Column, PartitionField, PartitionTransform, Table};
pub use topics::Topics;
pub use truncate::{TruncateOutcome, TruncateRequest};
pub use user::{Credential, User};
