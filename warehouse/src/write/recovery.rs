//! Recovery: which logged batches a restarted worker may take as its own (PROTOCOL, "WAL replay and standby").
//!
//! Only records of the stream's newest epoch in the catalog, if that was granted to this node and to this pipeline
//! version, contiguous from the committed offset and cut at it. All else is dropped and fetched again: another owner may have
//! held the stream in between, and left other rows at the same offsets.

use std::collections::BTreeMap;

use catalog::{Fence, Granted, NodeId, Offset, OffsetRange, Pipeline, SchemaId, StreamId, Table};
use vfs::planted;
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
        (self.epoch == Some(epoch) || planted::is("replay-of-an-older-epoch"))
            && head.stream == self.stream
            && head.pipeline_fence == self.fence
            && head.schema == self.schema
            && head.range.start <= self.next
            && (self.next < head.range.end || planted::is("replay-not-cut"))
    }
}

/// What the log has of the granted streams; nothing for those of which it has no record. Reads the log once, whatever the
/// number of streams, and adopts batches of at most about `bytes_max`.
///
/// # Errors
/// If the log is damaged in the middle.
pub fn adoptable(
    replay: &Replay,
    grants: &[Granted],
    node: &NodeId,
    pipeline: &Pipeline,
    table: &Table,
    bytes_max: u64,
) -> Result<BTreeMap<StreamId, Adoptable>, WalError> {
    let schema = storage_schema(table);
    let adoption = |granted: &Granted| (granted.stream, Adoption::new(granted, node, pipeline, table));
    let mut adoptions: BTreeMap<StreamId, Adoption> = grants.iter().map(adoption).collect();
    let mut found: BTreeMap<StreamId, Adoptable> = BTreeMap::new();
    let mut bytes = 0;
    for record in replay.records() {
        let Replayed { stream, epoch, position, payload } = record?;
        let Some(adoption) = adoptions.get_mut(&StreamId(stream)) else { continue };
        let adoptable = found.entry(adoption.stream).or_insert(Adoptable { batches: Vec::new(), last: position });
        adoptable.last = position;
        let Ok(head) = Batch::decode_head(&payload) else { continue };
        if bytes >= bytes_max || !adoption.admits(epoch, &head) {
            continue;
        }
        match Batch::decode(&payload, &schema) {
            Ok(batch) => {
                let from = if planted::is("replay-not-cut") { head.range.start } else { adoption.next };
                let batch = batch.slice(OffsetRange::new(from, head.range.end));
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

#[cfg(test)]
mod tests {
    use std::ops::Range;
    use std::sync::Arc;

    use bytes::Bytes;
    use catalog::{Epoch, Owner, TaskIndex, Version};
    use vfs::MemoryDisk;
    use wal::{Record, Wal, WalSettings};

    use super::*;
    use crate::write::testing::{batch, pipeline, range, table, world};

    const ME: &str = "me";

    struct Logged(MemoryDisk);

    impl Logged {
        /// A log of these records: stream, epoch, payload.
        async fn of(records: impl IntoIterator<Item = (u64, u64, Bytes)>) -> Self {
            let disk = MemoryDisk::new();
            let (wal, _) = Wal::open(Arc::new(disk.clone()), WalSettings::default(), world()).await.unwrap();
            for (stream, epoch, payload) in records {
                wal.append(Record { stream, epoch, payload }).await.unwrap().await.unwrap();
            }
            wal.close().await.unwrap();
            Self(disk)
        }

        /// Offset ranges that may be adopted of stream 1, and whether the log has anything of it.
        async fn adopted(&self, granted: &Granted) -> (Vec<OffsetRange>, bool) {
            self.adopted_within(granted, u64::MAX).await
        }

        async fn adopted_within(&self, granted: &Granted, bytes_max: u64) -> (Vec<OffsetRange>, bool) {
            let (_wal, replay) = Wal::open(Arc::new(self.0.clone()), WalSettings::default(), world()).await.unwrap();
            let node = NodeId(ME.to_owned());
            let grants = [granted.clone()];
            let mut found = adoptable(&replay, &grants, &node, &pipeline(), &table(), bytes_max).unwrap();
            match found.remove(&granted.stream) {
                Some(of) => (of.batches.iter().map(|(batch, _)| batch.range).collect(), true),
                None => (Vec::new(), false),
            }
        }
    }

    fn payload(stream: u64, offsets: Range<u64>) -> Bytes {
        batch(stream, offsets).encode(pipeline().fence, table().schema)
    }

    fn record(epoch: u64, offsets: Range<u64>) -> (u64, u64, Bytes) {
        (1, epoch, payload(1, offsets))
    }

    fn owner(epoch: u64, node: &str) -> Owner {
        Owner {
            epoch: Epoch(epoch),
            node: NodeId(node.to_owned()),
            address: node.to_owned(),
            task: TaskIndex(0),
            pipeline_fence: pipeline().fence,
        }
    }

    /// Stream 1, granted to me after `previous` held it.
    fn granted(previous: Owner, committed: u64) -> Granted {
        let owner = owner(previous.epoch.0 + 1, ME);
        let (stream, committed) = (StreamId(1), Offset(committed));
        Granted { stream, owner, previous: Some(previous), committed, version: Version::ZERO }
    }

    #[tokio::test]
    async fn what_this_node_logged_last_is_adopted_from_the_committed_offset_on() {
        let logged = Logged::of([record(4, 0..10), record(4, 10..20), record(4, 20..21)]).await;
        assert_eq!(logged.adopted(&granted(owner(4, ME), 0)).await.0, [range(0..10), range(10..20), range(20..21)]);
        assert_eq!(logged.adopted(&granted(owner(4, ME), 10)).await.0, [range(10..20), range(20..21)]);
        assert_eq!(logged.adopted(&granted(owner(4, ME), 21)).await, (vec![], true));
    }

    #[tokio::test]
    async fn a_batch_that_was_committed_in_part_is_cut_at_the_committed_offset() {
        let logged = Logged::of([record(4, 0..10), record(4, 10..20)]).await;
        assert_eq!(logged.adopted(&granted(owner(4, ME), 7)).await.0, [range(7..10), range(10..20)]);
        assert_eq!(logged.adopted(&granted(owner(4, ME), 19)).await.0, [range(19..20)]);
    }

    #[tokio::test]
    async fn of_a_to_b_to_a_only_the_newest_epoch_is_adopted() {
        // This node held it under 1, another under 2, and this one again under 3, from offset 15 on.
        let logged = Logged::of([record(1, 0..10), record(1, 10..30), record(3, 15..25), record(3, 25..40)]).await;
        assert_eq!(logged.adopted(&granted(owner(3, ME), 15)).await.0, [range(15..25), range(25..40)]);
        assert_eq!(logged.adopted(&granted(owner(2, "other"), 10)).await, (vec![], true));
        assert_eq!(logged.adopted(&granted(owner(2, ME), 10)).await, (vec![], true), "nothing was logged under it");
    }

    #[tokio::test]
    async fn nothing_is_adopted_behind_a_hole() {
        let logged = Logged::of([record(4, 0..10), record(4, 12..20), record(4, 20..30)]).await;
        assert_eq!(logged.adopted(&granted(owner(4, ME), 0)).await.0, [range(0..10)]);
        assert_eq!(logged.adopted(&granted(owner(4, ME), 11)).await.0, []);
    }

    #[tokio::test]
    async fn what_was_logged_twice_is_adopted_once() {
        // After a full disk: the third lay behind a hole, and all was fetched again, in other pieces.
        let records = [record(4, 0..10), record(4, 20..30), record(4, 0..10), record(4, 5..25), record(4, 20..30)];
        let logged = Logged::of(records).await;
        assert_eq!(logged.adopted(&granted(owner(4, ME), 0)).await.0, [range(0..10), range(10..25), range(25..30)]);
    }

    #[tokio::test]
    async fn another_version_of_pipeline_or_table_is_not_adopted() {
        let fence = batch(1, 0..10).encode(Fence(99), table().schema);
        let schema = batch(1, 0..10).encode(pipeline().fence, SchemaId(99));
        for payload in [fence, schema, Bytes::from_static(b"\x63not a batch"), payload(2, 0..10)] {
            let logged = Logged::of([(1, 4, payload)]).await;
            assert_eq!(logged.adopted(&granted(owner(4, ME), 0)).await, (vec![], true));
        }
        let other_fence = Owner { pipeline_fence: Fence(99), ..owner(4, ME) };
        let logged = Logged::of([record(4, 0..10)]).await;
        assert_eq!(logged.adopted(&granted(other_fence, 0)).await, (vec![], true));
        let first = Granted { previous: None, ..granted(owner(4, ME), 0) };
        assert_eq!(logged.adopted(&first).await, (vec![], true));
    }

    #[tokio::test]
    async fn i8_no_more_is_adopted_than_there_is_room_for() {
        let logged = Logged::of((0..10).map(|n| record(4, n * 10..(n + 1) * 10))).await;
        let one = Batch::decode(&payload(1, 0..10), &storage_schema(&table())).unwrap().bytes();
        let (adopted, _) = logged.adopted_within(&granted(owner(4, ME), 0), one * 3).await;
        assert!((1..=4).contains(&adopted.len()), "{adopted:?}");
        assert_eq!(adopted[0], range(0..10));
    }

    #[tokio::test]
    async fn many_streams_are_found_in_one_reading() {
        let records = (0..20).map(|n| (n % 4, 4, payload(n % 4, n / 4 * 10..(n / 4 + 1) * 10)));
        let logged = Logged::of(records).await;
        let (_wal, replay) = Wal::open(Arc::new(logged.0.clone()), WalSettings::default(), world()).await.unwrap();
        let grants: Vec<Granted> =
            (0..5).map(|stream| Granted { stream: StreamId(stream), ..granted(owner(4, ME), 20) }).collect();
        let found = adoptable(&replay, &grants, &NodeId(ME.to_owned()), &pipeline(), &table(), u64::MAX).unwrap();
        assert_eq!(found.len(), 4, "the log has nothing of stream 4");
        for of in found.values() {
            let ranges: Vec<_> = of.batches.iter().map(|(batch, _)| batch.range).collect();
            assert_eq!(ranges, [range(20..30), range(30..40), range(40..50)]);
            assert_eq!(of.last, of.batches.last().unwrap().1);
        }
    }
}
