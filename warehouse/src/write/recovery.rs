//! Recovery: which logged batches a restarted worker may take as its own (PROTOCOL, "WAL replay and standby").
//!
//! Only records of the stream's newest epoch in the catalog, if that was granted to this node and to this pipeline
//! version, contiguous from the committed offset and cut at it. All else is dropped and fetched again: another owner may have
//! held the stream in between, and left other rows at the same offsets.

use std::collections::BTreeMap;

use catalog::{Fence, Granted, NodeId, Offset, OffsetRange, Pipeline, SchemaId, StreamId, Table};
use wal::{Replay, Replayed, WalError, WalPosition};

use super::batch::{Batch, BatchHead};
use crate::schema::storage_schema;

/// What the replayed log has of one stream.
#[derive(Debug)]
pub struct Adoptable {
    /// The batches that may be adopted, each with its place in the log: in order, contiguous from the committed offset.
    pub batches: Vec<(Batch, WalPosition)>,
    /// Where the stream's last record is, adopted or not: once the adopted ones are logged again nothing up to it is needed.
    pub last: WalPosition,
}

/// What decides whether a record may be adopted.
#[derive(Clone, Copy, Debug)]
struct Adoption {
    stream: StreamId,
    /// The epoch before this grant, if this node held it under this version of pipeline and table.
    epoch: Option<u64>,
    fence: Fence,
    schema: SchemaId,
    /// Where the next batch must begin, or reach over.
    next: Offset,
}

impl Adoption {
    fn new(granted: &Granted, node: &NodeId, pipeline: &Pipeline, table: &Table) -> Self {
        let previous = granted.previous.as_ref();
        let mine = previous.filter(|previous| previous.node == *node && previous.pipeline_fence == pipeline.fence);
        let epoch = mine.map(|previous| previous.epoch.0);
        let (fence, schema, next) = (pipeline.fence, table.schema, granted.committed);
        Self { stream: granted.stream, epoch, fence, schema, next }
    }

    fn admits(&self, epoch: u64, head: &BatchHead) -> bool {
        self.epoch == Some(epoch)
            && head.stream == self.stream
            && head.pipeline_fence == self.fence
            && head.schema == self.schema
            && head.range.start <= self.next
            && self.next < head.range.end
    }
}

/// What the log has of the granted streams; nothing for those of which it has no record. Reads the log once, whatever the
/// number of streams, and adopts batches of at most about `bytes_max`.
///
/// # Errors
/// If the log is damaged in the middle.
pub fn adoptable(
    replay: &Replay, grants: &[Granted], node: &NodeId, pipeline: &Pipeline, table: &Table, bytes_max: u64,
) -> Result<BTreeMap<StreamId, Adoptable>, WalError> {
    let schema = storage_schema(table);
    let adoption = |granted: &Granted| (granted.stream, Adoption::new(granted, node, pipeline, table));
    let mut adoptions: BTreeMap<StreamId, Adoption> = grants.iter().map(adoption).collect();
    let mut found: BTreeMap<StreamId, Adoptable> = BTreeMap::new();
    let mut bytes = 0;
    for record in replay.records() {
        let Replayed { stream, epoch, position, payload } = record?;
        let Some(adoption) = adoptions.get_mut(&StreamId(stream)) else { continue };
        let adoptable =
            found.entry(adoption.stream).or_insert(Adoptable { batches: Vec::new(), last: position });
        adoptable.last = position;
        let Ok(head) = Batch::decode_head(&payload) else { continue };
        if bytes >= bytes_max || !adoption.admits(epoch, &head) {
            continue;
        }
        match Batch::decode(&payload, &schema) {
            Ok(batch) => {
                let batch = batch.slice(OffsetRange::new(adoption.next, head.range.end));
                adoption.next = batch.range.end;
                bytes += batch.bytes();
                adoptable.batches.push((batch, position));
            }
            // Fetching it again is always right, so a batch of a format that is not known costs time only.
            Err(error) => tracing::warn!(stream, %error, "a logged batch is not adopted"),
        }
    }
    Ok(found)
}
