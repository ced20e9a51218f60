//! A large INSERT: its rows become parts as they come, in a channel of its own, and one commit shows them all. A failure before it
//! leaves uploads that nobody names: the sweeper's. They are kept young for as long as the INSERT is at work; if one was swept all
//! the same, the commit is fenced and nothing is inserted (I7).

use std::sync::Arc;

use arrow::array::RecordBatch;
use catalog::{Channel, CommitOutcome, Conflict, Fenced, Offset, OffsetRange, Part, PartId, Table};
use vfs::Moment;

use super::channel::{count, label_of, request, settle};
use super::error::InsertError;
use super::labels::LabelClaim;
use super::rows::placed;
use super::uploads::Uploads;
use super::{Inserted, Inserts};
use crate::write::flush::PARTS_PER_COMMIT_MAX;

/// Bytes of the records of all parts together: within a transaction of the catalog.
const PART_RECORDS_BYTES_MAX: usize = 8_000_000;

/// See the module.
pub(super) struct Large {
    inserts: Arc<Inserts>,
    table: Arc<Table>,
    channel: Channel,
    uploads: Uploads,
    parts: Vec<Part>,
    record_bytes: usize,
    next: Offset,
    renewed: Moment,
    /// Whether its channel may be closed: not while nobody knows how its commit ended.
    closable: bool,
}

impl Large {
    pub(super) async fn open(inserts: &Arc<Inserts>, table: &Arc<Table>) -> Result<Self, InsertError> {
        let (channel, uploads) = inserts.open_uploads(table).await?;
        let renewed = inserts.parts.world.clock.now();
        let (inserts, table, next) = (Arc::clone(inserts), Arc::clone(table), channel.next);
        let (parts, record_bytes, closable) = (Vec::new(), 0, true);
        Ok(Self { inserts, table, channel, uploads, parts, record_bytes, next, renewed, closable })
    }

    /// Makes these rows durable.
    pub(super) async fn write(&mut self, batches: Vec<RecordBatch>) -> Result<(), InsertError> {
        let mut next = self.next;
        let mut rows = Vec::with_capacity(batches.len());
        for batch in batches.iter().filter(|batch| batch.num_rows() > 0) {
            let (placed, range) = placed(&self.table, batch, self.channel.stream, next);
            next = range.end;
            rows.push(placed);
        }
        if rows.is_empty() {
            return Ok(());
        }
        let written = self.uploads.write(rows).await?;
        let bytes = |part: &Part| serde_json::to_vec(part).map_or(0, |json| json.len() + 1);
        self.record_bytes += written.iter().map(bytes).sum::<usize>();
        self.parts.extend(written);
        self.next = next;
        if self.parts.len() > PARTS_PER_COMMIT_MAX || self.record_bytes > PART_RECORDS_BYTES_MAX {
            return Err(InsertError::TooManyParts { parts: self.parts.len() });
        }
        self.stay_young().await
    }

    /// Makes the intents young again, from time to time.
    pub(super) async fn stay_young(&mut self) -> Result<(), InsertError> {
        let now = self.inserts.parts.world.clock.now();
        if now.since(self.renewed) >= self.inserts.settings.renew {
            self.renewed = now;
            let parts: Vec<PartId> = self.parts.iter().map(|part| part.id).collect();
            self.inserts.parts.catalog.renew(&parts).await?;
        }
        Ok(())
    }

    /// Commits all of it.
    pub(super) async fn commit(mut self, label: Option<LabelClaim>) -> Result<Inserted, InsertError> {
        let range = OffsetRange::new(self.channel.next, self.next);
        let labels = label_of(label.as_ref(), range.offsets() as usize).into_iter().collect();
        let parts = std::mem::take(&mut self.parts);
        let request = request(&self.inserts.parts, &self.table, &self.channel, range, parts, labels);
        self.closable = false;
        let outcome = settle(&self.inserts.parts, &request).await?;
        self.closable = true;
        match outcome {
            CommitOutcome::Committed(version) => {
                count(1, range.offsets());
                Ok(Inserted { version: Some(version), rows: range.offsets(), repeated: false })
            }
            CommitOutcome::Conflict(Conflict::Labels(known)) => {
                let (_, outcome) = known.first().expect("a conflict of labels names one");
                Ok(Inserted::before(*outcome))
            }
            CommitOutcome::Fenced(Fenced::Table) => {
                // Dropped, or truncated: the catalog says which.
                self.inserts.parts.catalog.snapshot(self.table.id).await?;
                Err(InsertError::try_again("the table was truncated meanwhile"))
            }
            CommitOutcome::Fenced(Fenced::Intents(_)) => Err(InsertError::try_again(
                "its uploads took so long that the sweeper took some: raise sweeper.intent_age_seconds, or insert fewer rows at a time",
            )),
            CommitOutcome::Fenced(Fenced::Streams(_)) | CommitOutcome::Conflict(Conflict::Offsets(_)) => {
                Err(InsertError::try_again("another process held this one for dead and closed its channel"))
            }
            CommitOutcome::Conflict(Conflict::Schema(_)) => {
                Err(InsertError::try_again("the table has other columns now"))
            }
            CommitOutcome::Fenced(Fenced::Pipeline | Fenced::Void) => {
                Err(InsertError::try_again("its commit was voided"))
            }
        }
    }
}

impl Drop for Large {
    /// Its channel is closed, however it ended: by itself if it committed or failed, or because its client went away.
    fn drop(&mut self) {
        if let (true, Ok(runtime)) = (self.closable, tokio::runtime::Handle::try_current()) {
            let (inserts, table, identity) = (Arc::clone(&self.inserts), self.table.id, self.channel.identity.clone());
            runtime.spawn(async move { inserts.close(table, &identity).await });
        }
    }
}
