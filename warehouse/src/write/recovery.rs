//! Recovery: which logged batches a restarted worker may take as its own (PROTOCOL, "WAL replay and standby").
//!
//! Only records of the stream's newest epoch in the catalog, if that was granted to this node and to this pipeline
//! version, and contiguous from the committed offset. All else is dropped and fetched again: another owner may have held
//! the stream in between, and left other rows at the same offsets.

use std::sync::{Arc, Mutex, PoisonError};

use catalog::{Fence, Granted, NodeId, Offset, Pipeline, SchemaId, StreamId, Table};
use wal::{Replay, WalError, WalPosition};

use super::batch::{Batch, BatchHead};
use crate::schema::storage_schema;

/// The replayed log, until recovery is over: its views keep removed segments on the disk, so it must not live longer.
#[derive(Debug)]
pub struct Recovered(Mutex<Option<Arc<Replay>>>);

impl Recovered {
    /// What was in the log when it was opened.
    pub fn new(replay: Replay) -> Self {
        Self(Mutex::new(Some(Arc::new(replay))))
    }

    /// The replayed log, while recovery lasts.
    pub fn replay(&self) -> Option<Arc<Replay>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends recovery; what was there, if it had not ended before.
    pub fn end(&self) -> Option<Arc<Replay>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// What decides whether a record may be adopted.
#[derive(Clone, Copy, Debug)]
struct Adoption<'a> {
    stream: StreamId,
    /// The epoch before this grant, if this node held it under this version of pipeline and table.
    epoch: Option<u64>,
    fence: Fence,
    schema: SchemaId,
    granted: &'a Granted,
}

impl<'a> Adoption<'a> {
    fn new(granted: &'a Granted, node: &NodeId, pipeline: &Pipeline, table: &Table) -> Self {
        let previous = granted.previous.as_ref();
        let mine = previous.filter(|previous| previous.node == *node && previous.pipeline_fence == pipeline.fence);
        let epoch = mine.map(|previous| previous.epoch.0);
        Self { stream: granted.stream, epoch, fence: pipeline.fence, schema: table.schema, granted }
    }

    fn admits(&self, epoch: u64, head: &BatchHead, next: Offset) -> bool {
        self.epoch == Some(epoch)
            && head.stream == self.stream
            && head.pipeline_fence == self.fence
            && head.schema == self.schema
            && head.range.start == next
            && next >= self.granted.committed
    }
}

/// The batches of `granted`'s stream that may be adopted, in order, contiguous from the committed offset; and the position
/// of the stream's last record in the replayed log, adopted or not: after adoption nothing up to it is needed.
///
/// # Errors
/// If the log is damaged in the middle.
pub fn adoptable(
    replay: &Replay, granted: &Granted, node: &NodeId, pipeline: &Pipeline, table: &Table, bytes_max: u64,
) -> Result<(Vec<Batch>, Option<WalPosition>), WalError> {
    let adoption = Adoption::new(granted, node, pipeline, table);
    let schema = storage_schema(table);
    let mut next = granted.committed;
    let (mut batches, mut last, mut bytes) = (Vec::new(), None, 0);
    for record in replay.records() {
        let record = record?;
        if record.stream != granted.stream.0 {
            continue;
        }
        last = Some(record.position);
        let Ok(head) = Batch::decode_head(&record.payload) else { continue };
        if bytes > bytes_max || !adoption.admits(record.epoch, &head, next) {
            continue;
        }
        match Batch::decode(&record.payload, &schema) {
            Ok(batch) => {
                next = batch.range.end;
                bytes += batch.bytes();
                batches.push(batch);
            }
            // Fetching it again is always right, so a batch of a format that is not known costs time only.
            Err(error) => tracing::warn!(stream = granted.stream.0, %error, "a logged batch is not adopted"),
        }
    }
    Ok((batches, last))
}
