//! Reads parts in whole blocks and verifies each block's checksum before any byte of it is decoded, so that a damaged part
//! is an error, never a wrong row. Owns the fetching and the footers; what a Parquet file means is the engine's.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use catalog::{Part, PartId};
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileMetrics;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet};
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};

use super::footers::Footers;
use crate::memory::{MemoryBudget, QueryCharge};

/// The end of a part that is fetched at once for its footer and page index.
const FOOTER_BYTES: usize = 256 << 10;

/// Why a part could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartError {
    /// Its bytes are not those that were written.
    #[error(
        "part {part} is damaged: bytes {} to {} of object {path} are not what was written; no row of them was returned; restore the object from a copy",
        bytes.start, bytes.end
    )]
    Damaged {
        /// The part.
        part: PartId,
        /// Its object.
        path: String,
        /// The block whose checksum is wrong.
        bytes: Range<u64>,
    },
    /// Its object is not there.
    #[error("part {part} is missing: there is no object {path}; restore it from a copy")]
    Missing {
        /// The part.
        part: PartId,
        /// Its object.
        path: String,
    },
    /// The store did not give it.
    #[error("cannot read part {part}, object {path}: {cause}; try again")]
    Unreadable {
        /// The part.
        part: PartId,
        /// Its object.
        path: String,
        /// What the store said.
        cause: String,
    },
}

/// Makes the readers of a scan's parts. Each file entry carries its [`Part`] as an extension.
#[derive(Clone)]
pub struct PartReaders {
    store: Arc<dyn ObjectStore>,
    footers: Arc<Footers>,
    memory: Arc<MemoryBudget>,
}

impl PartReaders {
    /// Reads from `store`, and keeps at most `footer_bytes` bytes of footers. These, and what is read for as long as somebody has it,
    /// are charged to `memory`.
    pub fn new(store: Arc<dyn ObjectStore>, footer_bytes: usize, memory: Arc<MemoryBudget>) -> Self {
        Self { store, footers: Arc::new(Footers::new(footer_bytes, Arc::clone(&memory))), memory }
    }

    /// The reader of one part.
    pub fn reader(&self, part: &Part) -> Box<dyn AsyncFileReader + Send> {
        Box::new(self.part_reader(part, Count::new()))
    }

    fn part_reader(&self, part: &Part, fetched: Count) -> PartReader {
        let (store, footers, memory) = (Arc::clone(&self.store), Arc::clone(&self.footers), Arc::clone(&self.memory));
        PartReader { part: part.clone(), path: Path::from(part.path.as_str()), store, footers, memory, fetched }
    }
}

impl fmt::Debug for PartReaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartReaders").finish_non_exhaustive()
    }
}

impl ParquetFileReaderFactory for PartReaders {
    fn create_reader(
        &self,
        partition: usize,
        file: PartitionedFile,
        _hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let Some(part) = file.extension::<Part>() else {
            return Err(DataFusionError::Execution(format!("{} is not a part", file.path())));
        };
        let metrics = ParquetFileMetrics::new(partition, file.path().as_ref(), metrics);
        Ok(Box::new(self.part_reader(part, metrics.bytes_scanned.clone())))
    }
}

/// Reads one part.
struct PartReader {
    part: Part,
    path: Path,
    store: Arc<dyn ObjectStore>,
    footers: Arc<Footers>,
    memory: Arc<MemoryBudget>,
    fetched: Count,
}

/// What was read, charged until the last piece of it is dropped. It is never refused: the sorts and joins that it is read for get the
/// less, and they can spill.
struct ChargedBytes {
    content: Bytes,
    _charge: QueryCharge,
}

impl AsRef<[u8]> for ChargedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.content
    }
}

/// Whole blocks, verified.
struct Run {
    bytes: Range<u64>,
    content: Bytes,
}

impl PartReader {
    /// The bytes of each range, out of verified blocks.
    async fn ranges(&self, wanted: &[Range<u64>]) -> Result<Vec<Bytes>, PartError> {
        if let Some(beyond) = wanted.iter().find(|range| range.end > self.part.bytes) {
            // Only a footer that points beyond its own object can ask for this.
            return Err(self.damaged(beyond.clone()));
        }
        let runs = block_runs(wanted, self.part.checksums.block_bytes, self.part.bytes);
        let contents = match self.store.get_ranges(&self.path, &runs).await {
            Ok(contents) => contents,
            Err(error) => return Err(self.unreadable(error).await),
        };
        let mut verified = Vec::with_capacity(runs.len());
        for (bytes, content) in runs.into_iter().zip(contents) {
            self.fetched.add(content.len());
            self.verify(&bytes, &content)?;
            let charge = self.memory.hold(content.len() as u64);
            verified.push(Run { bytes, content: Bytes::from_owner(ChargedBytes { content, _charge: charge }) });
        }
        Ok(wanted.iter().map(|range| slice(&verified, range)).collect())
    }

    fn verify(&self, bytes: &Range<u64>, content: &Bytes) -> Result<(), PartError> {
        let checksums = &self.part.checksums;
        if content.len() as u64 != bytes.end - bytes.start {
            return Err(self.damaged(bytes.clone()));
        }
        let first = bytes.start / checksums.block_bytes;
        for (at, block) in (first..).zip(content.chunks(to_usize(checksums.block_bytes))) {
            let expected = usize::try_from(at).ok().and_then(|at| checksums.crc32c.get(at));
            if expected != Some(&crc32c::crc32c(block)) {
                let start = at * checksums.block_bytes;
                return Err(self.damaged(start..start + block.len() as u64));
            }
        }
        Ok(())
    }

    fn damaged(&self, bytes: Range<u64>) -> PartError {
        PartError::Damaged { part: self.part.id, path: self.part.path.clone(), bytes }
    }

    /// A cut object is damaged, which a store does not tell from its own troubles.
    async fn unreadable(&self, error: object_store::Error) -> PartError {
        let (part, path) = (self.part.id, self.part.path.clone());
        if matches!(error, object_store::Error::NotFound { .. }) {
            return PartError::Missing { part, path };
        }
        match self.store.head(&self.path).await {
            Ok(meta) if meta.size < self.part.bytes => self.damaged(meta.size..self.part.bytes),
            _ => PartError::Unreadable { part, path, cause: error.to_string() },
        }
    }
}

fn to_usize(bytes: u64) -> usize {
    usize::try_from(bytes).expect("what is read at once fits into memory")
}

/// The runs of whole blocks that cover `wanted`, in order, none touching another.
fn block_runs(wanted: &[Range<u64>], block_bytes: u64, length: u64) -> Vec<Range<u64>> {
    let aligned = |range: &Range<u64>| {
        let start = range.start / block_bytes * block_bytes;
        start..(range.end.div_ceil(block_bytes) * block_bytes).min(length)
    };
    let mut runs: Vec<Range<u64>> = wanted.iter().filter(|range| range.start < range.end).map(aligned).collect();
    runs.sort_by_key(|run| run.start);
    let mut merged: Vec<Range<u64>> = Vec::with_capacity(runs.len());
    for run in runs {
        match merged.last_mut() {
            Some(last) if run.start <= last.end => last.end = last.end.max(run.end),
            _ => merged.push(run),
        }
    }
    merged
}

/// The part of `runs` that `range` names, without copying.
fn slice(runs: &[Run], range: &Range<u64>) -> Bytes {
    if range.start >= range.end {
        return BytesMut::new().freeze();
    }
    let at = runs.partition_point(|run| run.bytes.end <= range.start);
    let run = &runs[at];
    run.content.slice(to_usize(range.start - run.bytes.start)..to_usize(range.end - run.bytes.start))
}

fn external(error: PartError) -> ParquetError {
    ParquetError::External(Box::new(error))
}

impl AsyncFileReader for PartReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        async move {
            let mut contents = self.ranges(std::slice::from_ref(&range)).await.map_err(external)?;
            Ok(contents.pop().expect("one range was asked for"))
        }
        .boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, parquet::errors::Result<Vec<Bytes>>> {
        async move { self.ranges(&ranges).await.map_err(external) }.boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        async move {
            if let Some(footer) = self.footers.get(self.part.id) {
                return Ok(footer);
            }
            let (part, length) = (self.part.id, self.part.bytes);
            let hint = FOOTER_BYTES.min(to_usize(length));
            let footer = ParquetMetaDataReader::new()
                .with_page_index_policy(PageIndexPolicy::Optional)
                .with_prefetch_hint(Some(hint))
                .load_and_finish(&mut *self, length)
                .await?;
            let footer = Arc::new(footer);
            self.footers.put(part, Arc::clone(&footer));
            Ok(footer)
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use catalog::{BlockChecksums, PartKind, SchemaId, TableId};
    use object_store::memory::InMemory;
    use vfs::{Random, SeededRandom};

    use super::*;
    use crate::memory::MemoryLimits;

    fn part(content: &[u8], block_bytes: u64) -> Part {
        let crc32c = content.chunks(to_usize(block_bytes)).map(crc32c::crc32c).collect();
        Part {
            id: PartId(7),
            table: TableId(1),
            schema: SchemaId(1),
            kind: PartKind::Rows,
            path: "00/1/7.parquet".to_owned(),
            bytes: content.len() as u64,
            rows: 1,
            partition: vec![],
            sort_key: vec![],
            streams: vec![],
            checksums: BlockChecksums { block_bytes, crc32c },
        }
    }

    async fn reader(part: Part, content: &[u8]) -> PartReader {
        let store = Arc::new(InMemory::new());
        let path = Path::from(part.path.as_str());
        store.put(&path, Bytes::copy_from_slice(content).into()).await.unwrap();
        let memory = MemoryBudget::shared(MemoryLimits::of_queries(1 << 20));
        let footers = Arc::new(Footers::new(0, Arc::clone(&memory)));
        PartReader { part, path, store, footers, memory, fetched: Count::new() }
    }

    fn content(random: &SeededRandom, length: usize) -> Vec<u8> {
        std::iter::repeat_with(|| random.next_u64() as u8).take(length).collect()
    }

    #[tokio::test]
    async fn any_ranges_of_a_whole_part_are_what_was_written() {
        let random = SeededRandom::new(1);
        let content = content(&random, 1_001);
        let reader = reader(part(&content, 64), &content).await;
        for _ in 0..200 {
            let range = |_| {
                let (a, b) = (random.next_u64() % 1_002, random.next_u64() % 1_002);
                a.min(b)..a.max(b)
            };
            let wanted: Vec<_> = (0..random.next_u64() % 5).map(range).collect();
            let expected: Vec<&[u8]> =
                wanted.iter().map(|range| &content[to_usize(range.start)..to_usize(range.end)]).collect();
            assert_eq!(reader.ranges(&wanted).await.unwrap(), expected);
        }
    }

    #[tokio::test]
    async fn i8_what_is_read_is_charged_until_its_last_piece_is_dropped() {
        let random = SeededRandom::new(4);
        let content = content(&random, 1_000);
        let reader = reader(part(&content, 64), &content).await;
        let mut pieces = reader.ranges(&[0..10, 70..80, 900..1_000]).await.unwrap();
        assert_eq!(reader.memory.query_used(), 128 + 104, "whole blocks");
        pieces.remove(0);
        assert_eq!(reader.memory.query_used(), 128 + 104, "the other piece is of the same run");
        pieces.remove(0);
        assert_eq!(reader.memory.query_used(), 104);
        drop(pieces);
        assert_eq!(reader.memory.query_used(), 0);
    }

    #[tokio::test]
    async fn a_flipped_bit_is_found_by_whoever_reads_its_block_and_by_nobody_else() {
        let random = SeededRandom::new(2);
        let content = content(&random, 1_000);
        for _ in 0..200 {
            let (at, bit) = (to_usize(random.next_u64() % 1_000), random.next_u64() % 8);
            let mut damaged = content.clone();
            damaged[at] ^= 1 << bit;
            let reader = reader(part(&content, 64), &damaged).await;
            let block = at as u64 / 64 * 64;
            let found = reader.ranges(&[at as u64..at as u64 + 1]).await.unwrap_err();
            let PartError::Damaged { bytes, .. } = &found else { panic!("{found}") };
            assert_eq!(bytes.start, block);
            let elsewhere = (block + 64) % 1_000 / 64 * 64;
            assert!(reader.ranges(&[elsewhere..elsewhere + 1]).await.is_ok());
        }
    }

    #[tokio::test]
    async fn a_shortened_and_a_missing_object_are_named() {
        let random = SeededRandom::new(3);
        let content = content(&random, 200);
        let short = reader(part(&content, 64), &content[..100]).await;
        let error = short.ranges(&[90..130]).await.unwrap_err();
        assert!(matches!(&error, PartError::Damaged { .. }), "{error}");
        let mut gone = reader(part(&content, 64), &content).await;
        gone.path = Path::from("elsewhere");
        let error = gone.ranges(&[0..1]).await.unwrap_err();
        assert!(matches!(&error, PartError::Missing { .. }), "{error}");
        assert!(error.to_string().contains("00/1/7.parquet"), "{error}");
    }

    #[test]
    fn touching_blocks_are_fetched_in_one_run() {
        let runs = block_runs(&[10..20, 60..70, 200..210, 5..6], 64, 205);
        assert_eq!(runs, vec![0..128, 192..205]);
        assert!(block_runs(&[5..5], 64, 205).is_empty());
    }
}
