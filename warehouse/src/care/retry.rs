//! RETRY ERRORS: decodes kept payloads of error rows again, by the pipeline as it is now, and moves those that fit into the table: one
//! commit that adds their rows, under the same `_stream` and `_offset`, and replaces the error parts concerned by what stays (I1).
//!
//! | step | now guaranteed | if the process dies here |
//! |---|---|---|
//! | read, decoded | nothing new | nothing happened |
//! | parts uploaded | durable, invisible | orphans: the sweeper takes the intent, then the file |
//! | commit sent | unknown | it happened whole or not at all; run again, the statement finds what is left |
//! | committed | each offset is a row, an error row, or filtered: **once** | the old parts are garbage, deleted once no query reads them |
//!
//! Ingest goes on beside it: error parts that are added meanwhile are not looked at, and are in nobody's way. Of two that replace the
//! same parts, one succeeds; the other reads again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use bytes::Bytes;
use catalog::{
    Catalog, CatalogError, CatalogService, CommitToken, ErrorsMoved, Offset, OffsetRange, Part, PartKind, Pipeline,
    PipelineId, RewriteOutcome, RewriteRequest, StreamId, StreamView, Table, TableSnapshot, WriterId,
};
use object_store::ObjectStore;
use vfs::{World, compute};

use crate::memory::{MemoryBudget, QueryCharge};
use crate::read::whole_part::{self as part, PartFault};
use crate::schema::{OFFSET_COLUMN, STREAM_COLUMN, error_schema};
use crate::write::decode::{InvalidPipeline, PipelineDecoder, StreamOrigin};
use crate::write::failpoint::crash_point;
use crate::write::flush::{FlushError, Flusher};
use crate::write::source::{Fetched, RawRecord, Records};

/// How often it is begun again because error parts, pipeline or table became others meanwhile.
const ATTEMPTS: u32 = 8;
/// Error rows of one statement are in memory together: no more than so many bytes of parts, whatever memory there is.
const BYTES_MAX: u64 = 512 << 20;

/// Which error rows.
pub type Selection = BTreeSet<(StreamId, Offset)>;

/// What became of the error rows that were selected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retried {
    /// Decoded again.
    pub retried: u64,
    /// Now rows of the table.
    pub moved: u64,
    /// Left out by the pipeline's WHERE as it is now.
    pub filtered: u64,
    /// Still error rows, by reason.
    pub failing: BTreeMap<String, u64>,
    /// Not decoded: only a beginning of their payload is kept.
    pub cut: u64,
}

/// Why error rows could not be retried. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum RetryError {
    /// The pipeline cannot be run as it is.
    #[error("the pipeline cannot decode anything as it is: {0}")]
    Pipeline(#[from] InvalidPipeline),
    /// Its SELECT reads what error rows do not keep.
    #[error(
        "the pipeline's SELECT reads _key or _headers, which error rows do not keep: ALTER PIPELINE … SEEK TO OFFSETS reads the \
         records from the broker again"
    )]
    NotKept,
    /// Too much for one commit.
    #[error(
        "the error rows selected lie in {bytes} bytes of parts, and {BYTES_MAX} are read at a time: narrow the WHERE"
    )]
    TooMany {
        /// Bytes of the parts.
        bytes: u64,
    },
    /// Less memory is left than it takes.
    #[error(
        "the error rows selected take more than the {bytes} bytes of memory that they have, and what ingest and other statements hold \
         leaves no more (memory.limit); nothing was moved: narrow the WHERE, or run it again when less runs"
    )]
    Memory {
        /// Bytes that it held when it was refused more.
        bytes: u64,
    },
    /// A part cannot be read.
    #[error(transparent)]
    Part(#[from] PartFault),
    /// Parts cannot be written.
    #[error("the rows could not be written, and nothing was moved: {0}; run it again")]
    Flush(#[from] FlushError),
    /// The catalog.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// Others were always faster.
    #[error("others replaced the same error rows {ATTEMPTS} times meanwhile; nothing was moved: run it again")]
    Busy,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct ErrorRetry {
    /// Where tables, pipelines and parts are listed.
    pub catalog: Catalog,
    /// Where parts are.
    pub objects: Arc<dyn ObjectStore>,
    /// Randomness and threads.
    pub world: World,
    /// What it holds is charged as a query's.
    pub memory: Arc<MemoryBudget>,
}

/// An error part with the rows of it that may be moved.
struct Opened {
    part: Arc<Part>,
    batches: Vec<RecordBatch>,
}

/// What decoding again yields.
#[derive(Default)]
struct Decoded {
    rows: Vec<RecordBatch>,
    /// Offsets that are error rows no more.
    gone: BTreeSet<(StreamId, Offset)>,
    moved: Vec<ErrorsMoved>,
    told: Retried,
}

impl ErrorRetry {
    /// Retries the selected error rows of a pipeline.
    ///
    /// # Errors
    /// See [`RetryError`]: nothing was changed, but for [`CatalogError::MaybeCommitted`], after which the same statement finds what
    /// is left.
    pub async fn run(&self, pipeline: PipelineId, selection: &Selection) -> Result<Retried, RetryError> {
        for _ in 0..ATTEMPTS {
            if let Some(retried) = self.attempt(pipeline, selection).await? {
                return Ok(retried);
            }
        }
        Err(RetryError::Busy)
    }

    /// One attempt; `None` if the picture became old meanwhile.
    async fn attempt(&self, pipeline: PipelineId, selection: &Selection) -> Result<Option<Retried>, RetryError> {
        let pipeline = self.catalog.pipeline_by_id(pipeline).await?;
        // Before the parts: what is replaced after this is noticed.
        let seen = self.catalog.error_rewrites(pipeline.table).await?;
        let snapshot = self.catalog.snapshot(pipeline.table).await?;
        let streams = streams_of(&snapshot, &pipeline);
        let mut charge = self.memory.hold(0);
        let opened = self.open(&snapshot, &streams, selection, &mut charge).await?;
        let decoded = self.decode(&pipeline, &snapshot.table, &streams, &opened, selection, &mut charge).await?;
        if decoded.gone.is_empty() {
            return Ok(Some(decoded.told));
        }
        let (removed, kept) = what_stays(opened, &decoded.gone);
        let flusher = Flusher {
            table: Arc::clone(&snapshot.table),
            writer: WriterId::Rewrite(snapshot.table.id),
            objects: Arc::clone(&self.objects),
            catalog: Arc::new(self.catalog.clone()),
            world: self.world.clone(),
        };
        let added = flusher.write_rows(decoded.rows, kept, snapshot.streams.len()).await?;
        let request = RewriteRequest {
            token: CommitToken(self.world.random.next_u128()),
            table: snapshot.table.id,
            table_fence: snapshot.table.fence,
            pipeline: (pipeline.id, pipeline.fence),
            schema: snapshot.table.schema,
            seen,
            removed,
            added,
            moved: decoded.moved,
        };
        crash_point("retry.before_commit");
        let outcome = self.catalog.rewrite(&request).await?;
        crash_point("retry.after_commit");
        match outcome {
            RewriteOutcome::Committed => Ok(Some(decoded.told)),
            RewriteOutcome::Conflict | RewriteOutcome::Fenced(_) => Ok(None),
        }
    }

    /// Reads the error parts that hold selected rows of these streams.
    async fn open(
        &self,
        snapshot: &TableSnapshot,
        streams: &BTreeMap<StreamId, &StreamView>,
        selection: &Selection,
        charge: &mut QueryCharge,
    ) -> Result<Vec<Opened>, RetryError> {
        let is_selected = |part: &&Arc<Part>| {
            part.kind == PartKind::Errors
                && part.streams.iter().any(|covered| {
                    let OffsetRange { start, end } = covered.range;
                    streams.contains_key(&covered.stream)
                        && selection.range((covered.stream, start)..(covered.stream, end)).next().is_some()
                })
        };
        let parts: Vec<&Arc<Part>> = snapshot.parts.iter().filter(is_selected).collect();
        let bytes = parts.iter().map(|part| part.bytes).sum();
        if bytes > BYTES_MAX {
            return Err(RetryError::TooMany { bytes });
        }
        let mut opened = Vec::with_capacity(parts.len());
        for part in parts {
            // As it is in its object, for as long as it is decoded.
            let before = charge.bytes();
            grow(charge, part.bytes)?;
            let bytes = part::fetch(&*self.objects, part).await?;
            let read = Arc::clone(part);
            let batches = compute(&*self.world.compute, move || error_rows(&read, bytes)).await?;
            grow(charge, bytes_of(&batches))?;
            opened.push(Opened { part: Arc::clone(part), batches });
            let held = before + opened.last().map_or(0, |opened| bytes_of(&opened.batches));
            charge.shrink_to(held);
        }
        Ok(opened)
    }

    async fn decode(
        &self,
        pipeline: &Arc<Pipeline>,
        table: &Arc<Table>,
        streams: &BTreeMap<StreamId, &StreamView>,
        opened: &[Opened],
        selection: &Selection,
        charge: &mut QueryCharge,
    ) -> Result<Decoded, RetryError> {
        let mut decoder = PipelineDecoder::new(Arc::clone(table), Arc::clone(pipeline))?;
        if decoder.needs_keys() || decoder.needs_headers() {
            return Err(RetryError::NotKept);
        }
        let mut decoded = Decoded::default();
        // The records of all streams are a copy of what is selected.
        grow(charge, opened.iter().map(|opened| bytes_of(&opened.batches)).sum())?;
        for (id, (records, cut)) in gather(opened, streams, selection) {
            decoded.told.cut += cut;
            let Some(view) = streams.get(&id).filter(|_| !records.is_empty()) else { continue };
            let identity = view.stream.partition();
            let origin =
                StreamOrigin { stream: id, topic: Arc::from(identity.topic.as_str()), partition: identity.partition };
            let offsets: BTreeSet<Offset> = records.iter().map(|record| Offset(record.offset)).collect();
            let (first, last) = (records.get(0).offset, records.get(records.len() - 1).offset);
            let range = OffsetRange::new(Offset(first), Offset(last + 1));
            let fetched = Fetched { stream: id, range, records, gaps: Vec::new() };
            let (back, batch) = compute(&*self.world.compute, move || {
                let batch = decoder.decode(&origin, &fetched);
                (decoder, batch)
            })
            .await;
            decoder = back;
            let failing = batch.errors.as_ref().map(offsets_of).unwrap_or_default();
            let told = &mut decoded.told;
            told.retried += offsets.len() as u64;
            told.moved += batch.ledger.rows;
            told.filtered += batch.ledger.filtered;
            if let Some(errors) = &batch.errors {
                count_reasons(errors, &mut told.failing);
            }
            if batch.ledger.rows + batch.ledger.filtered > 0 {
                let (rows, filtered) = (batch.ledger.rows, batch.ledger.filtered);
                decoded.moved.push(ErrorsMoved { stream: id, rows, filtered });
            }
            // Its rows, and once more what a flush needs beside them.
            grow(charge, 2 * batch.bytes())?;
            decoded.gone.extend(offsets.difference(&failing).map(|offset| (id, *offset)));
            if batch.rows.num_rows() > 0 {
                decoded.rows.push(batch.rows);
            }
        }
        Ok(decoded)
    }
}

/// More is held, or nothing was moved.
fn grow(charge: &mut QueryCharge, bytes: u64) -> Result<(), RetryError> {
    match charge.try_grow(bytes) {
        true => Ok(()),
        false => Err(RetryError::Memory { bytes: charge.bytes() }),
    }
}

fn bytes_of(batches: &[RecordBatch]) -> u64 {
    batches.iter().map(|batch| batch.get_array_memory_size() as u64).sum()
}

/// The rows of an error part.
fn error_rows(part: &Part, bytes: Bytes) -> Result<Vec<RecordBatch>, PartFault> {
    let whole = |batch: RecordBatch| {
        RecordBatch::try_new(error_schema(), batch.columns().to_vec()).map_err(|error| PartFault::Unreadable {
            part: part.id.to_string(),
            path: part.path.clone(),
            cause: error.to_string(),
        })
    };
    part::rows(part, bytes, None)?.into_iter().map(whole).collect()
}

/// The pipeline's streams that parts may name, also those that are closed.
fn streams_of<'a>(snapshot: &'a TableSnapshot, pipeline: &Pipeline) -> BTreeMap<StreamId, &'a StreamView> {
    let of_it = snapshot
        .streams
        .iter()
        .filter(|(_, view)| view.stream.identity.partition().is_some_and(|it| it.pipeline == pipeline.id));
    of_it.map(|(id, view)| (*id, view)).collect()
}

/// The selected records of each stream, by rising offset; and how many of them are kept only in part.
fn gather(
    opened: &[Opened],
    streams: &BTreeMap<StreamId, &StreamView>,
    selection: &Selection,
) -> BTreeMap<StreamId, (Records, u64)> {
    let mut rows: BTreeMap<(StreamId, Offset), (&RecordBatch, usize)> = BTreeMap::new();
    for batch in opened.iter().flat_map(|opened| &opened.batches) {
        for (row, key) in keys_of(batch).enumerate() {
            if streams.contains_key(&key.0) && selection.contains(&key) {
                rows.insert(key, (batch, row));
            }
        }
    }
    let mut gathered: BTreeMap<StreamId, (Records, u64)> = BTreeMap::new();
    for ((stream, offset), (batch, row)) in rows {
        let (records, cut) = gathered.entry(stream).or_default();
        let column = |name| batch.column_by_name(name).expect("the error schema has this column");
        let payload = column("payload").as_binary::<i32>();
        let payload = payload.is_valid(row).then(|| payload.value(row));
        let bytes = column("payload_bytes").as_primitive::<Int64Type>().value(row) as u64;
        if payload.map_or(0, <[u8]>::len) as u64 != bytes {
            *cut += 1;
            continue;
        }
        let timestamps = column("_timestamp").as_primitive::<TimestampMicrosecondType>();
        let timestamp_ms = timestamps.is_valid(row).then(|| timestamps.value(row).div_euclid(1_000));
        let record =
            RawRecord { offset: offset.0, timestamp_ms, payload, payload_bytes: bytes, key: None, headers: None };
        records.push(record);
    }
    gathered
}

/// Stream and offset of each row.
fn keys_of(batch: &RecordBatch) -> impl Iterator<Item = (StreamId, Offset)> + '_ {
    let column = |name| batch.column_by_name(name).expect("every part has its hidden columns");
    let streams = column(STREAM_COLUMN).as_primitive::<Int64Type>().values();
    let offsets = column(OFFSET_COLUMN).as_primitive::<Int64Type>().values();
    streams.iter().zip(offsets).map(|(stream, offset)| (StreamId(*stream as u64), Offset(*offset as u64)))
}

fn offsets_of(errors: &RecordBatch) -> BTreeSet<Offset> {
    keys_of(errors).map(|(_, offset)| offset).collect()
}

fn count_reasons(errors: &RecordBatch, failing: &mut BTreeMap<String, u64>) {
    let reasons = errors.column_by_name("reason").expect("the error schema has this column").as_string::<i32>();
    for reason in reasons.iter().flatten() {
        *failing.entry(reason.to_owned()).or_insert(0) += 1;
    }
}

/// The parts that lose rows, and the rows that they keep.
fn what_stays(opened: Vec<Opened>, gone: &BTreeSet<(StreamId, Offset)>) -> (Vec<Part>, Vec<RecordBatch>) {
    let (mut removed, mut kept) = (Vec::new(), Vec::new());
    for Opened { part, batches } in opened {
        let masks: Vec<BooleanArray> =
            batches.iter().map(|batch| keys_of(batch).map(|key| Some(!gone.contains(&key))).collect()).collect();
        if masks.iter().all(|mask| mask.true_count() == mask.len()) {
            continue;
        }
        removed.push(Part::clone(&part));
        for (batch, mask) in batches.iter().zip(&masks) {
            let batch = filter_record_batch(batch, mask).expect("the mask has one value a row");
            if batch.num_rows() > 0 {
                kept.push(batch);
            }
        }
    }
    (removed, kept)
}
