//! What a query sees: parts at a version, and pinned rows from the committed offsets on. Knows nothing of how either came about,
//! and so checks I1 for both.

use std::collections::BTreeMap;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use catalog::{CatalogService, OffsetRange, PartKind, StreamId};
use millrace_warehouse::read::pin::{MemtableScan, PinOutcome, PinRequest, PinStream, QueryId};
use millrace_warehouse::write::worker::Worker;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::Life;

/// What was seen of one stream: rows by offset, with their `seq`; error rows by offset, with their reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) rows: BTreeMap<u64, i64>,
    pub(crate) errors: BTreeMap<u64, String>,
}

impl Seen {
    /// That offsets `0..end` are rows whose `seq` is their offset.
    pub(crate) fn assert_is_prefix(&self, end: u64) {
        let expected: BTreeMap<u64, i64> = (0..end).map(|offset| (offset, offset as i64)).collect();
        assert_eq!(self.rows.len(), expected.len());
        assert_eq!(self.rows, expected);
        assert!(self.errors.is_empty());
    }
}

impl Life<'_> {
    /// What is committed of a partition.
    pub(crate) async fn committed_rows(&self, partition: i32) -> Seen {
        let stream = self.stream(partition).await;
        let mut all = BTreeMap::new();
        self.read_parts(&mut all).await;
        all.remove(&stream).unwrap_or_default()
    }

    /// What a query sees of a partition that this worker owns: an answer of parts and memory together.
    pub(crate) async fn visible_rows(&self, worker: &Worker, partition: i32) -> Seen {
        let stream = self.stream(partition).await;
        for attempt in 0.. {
            let mut all = BTreeMap::new();
            let snapshot = self.read_parts(&mut all).await;
            let view = &snapshot.streams[&stream];
            let query = QueryId(u128::from(self.world.random.next_u64()));
            let wanted = PinStream { stream, epoch: view.owner.as_ref().unwrap().epoch, committed: view.committed };
            match worker.pin(&PinRequest { query, streams: vec![wanted] }) {
                PinOutcome::Pinned(ends) => {
                    let ranges = [(stream, OffsetRange::new(view.committed, ends[&stream]))].into();
                    for (kind, projection) in [(PartKind::Rows, vec![0, 1, 2, 3]), (PartKind::Errors, (0..9).collect())]
                    {
                        let scan = MemtableScan { query, ranges: BTreeMap::clone(&ranges), kind, projection };
                        for batch in worker.scan(&scan).unwrap() {
                            add(&mut all, kind, &batch);
                        }
                    }
                    worker.unpin(query);
                    return all.remove(&stream).unwrap_or_default();
                }
                PinOutcome::Refused(refused) => assert!(attempt < 1_000, "{refused:?}"),
            }
            self.pass(std::time::Duration::from_millis(5)).await;
        }
        unreachable!("the loop returns")
    }

    async fn read_parts(&self, all: &mut BTreeMap<StreamId, Seen>) -> catalog::TableSnapshot {
        let snapshot = self.catalog.snapshot(self.table.id).await.unwrap();
        for part in snapshot.parts.iter() {
            let bytes = self.outside.parts.get(&Path::from(part.path.as_str())).await.unwrap().bytes().await.unwrap();
            assert_eq!(bytes.len() as u64, part.bytes);
            let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
            for batch in reader {
                add(all, part.kind, &batch.unwrap());
            }
        }
        snapshot
    }

    /// How many objects there are in the store.
    pub(crate) async fn objects_stored(&self) -> usize {
        use futures::TryStreamExt;
        self.outside.parts.list(None).try_collect::<Vec<_>>().await.unwrap().len()
    }
}

/// Adds rows, each of which must be new (I1).
fn add(all: &mut BTreeMap<StreamId, Seen>, kind: PartKind, batch: &RecordBatch) {
    let numbers = |name: &str| batch.column_by_name(name).unwrap().as_primitive::<Int64Type>().values().to_vec();
    let (streams, offsets) = (numbers("_stream"), numbers("_offset"));
    let seqs = if kind == PartKind::Rows { numbers("seq") } else { Vec::new() };
    for row in 0..batch.num_rows() {
        let (stream, offset) = (StreamId(streams[row] as u64), offsets[row] as u64);
        let seen = all.entry(stream).or_default();
        let doubled = match kind {
            PartKind::Rows => seen.rows.insert(offset, seqs[row]).is_some(),
            PartKind::Errors => {
                let reason = batch.column_by_name("reason").unwrap().as_string::<i32>().value(row).to_owned();
                seen.errors.insert(offset, reason).is_some()
            }
        };
        assert!(!doubled, "I1: offset {offset} of stream {stream} is there twice");
    }
}
