//! Flush: frozen batches become Parquet parts, one per partition value, durable in the object store and invisible.
//!
//! The intent is written before the upload. If the process dies anywhere in here, nothing is visible; the sweeper takes
//! the intent by compare-and-set, and the object after it. Owns the layout of parts; does not decide when to flush.

mod encode;
#[cfg(test)]
mod golden;
mod partition;
mod sort;
mod statistics;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, SchemaRef};
use bytes::Bytes;
use catalog::{
    CatalogError, CatalogService, Offset, OffsetRange, Part, PartId, PartKind, PartStream, Scalar, SortKeyRange,
    StreamId, Table, UploadIntent, WriterId,
};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use vfs::{World, compute, planted};

use super::failpoint::crash_point;
use super::memtable::{Frozen, FrozenStream};
use super::messages::TroubleKind;
use crate::schema::{OFFSET_COLUMN, STREAM_COLUMN, error_schema, storage_schema};

pub use partition::partition_value;
pub(crate) use statistics::scalar_at;

/// A commit lists each of its parts: one with more would pass the catalog's transaction limit of 10 MB.
pub const PARTS_PER_COMMIT_MAX: usize = 4_000;
/// Bytes of the records of one commit's parts, by an estimate that is rather too high.
const PART_RECORDS_BYTES_MAX: usize = 8_000_000;
/// A part's record without its texts and streams, and each stream in it.
const PART_RECORD_BYTES: usize = 1_000;
const PART_STREAM_BYTES: usize = 100;

/// Why a flush did not end with parts.
#[derive(Debug, thiserror::Error)]
pub enum FlushError {
    /// One commit cannot hold so many parts: flush fewer batches at a time.
    #[error("{parts} parts in one flush are more than fit into one commit")]
    TooManyParts {
        /// How many there would be.
        parts: usize,
    },
    /// The object store did not take a part.
    #[error("cannot upload {path}: {source}")]
    Upload {
        /// The object.
        path: String,
        /// Why.
        #[source]
        source: object_store::Error,
    },
    /// The intents could not be written.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The rows could not be encoded.
    #[error("cannot encode a part of {rows} rows: {cause}")]
    Encode {
        /// How many rows it would have.
        rows: usize,
        /// Why.
        cause: String,
    },
}

impl FlushError {
    /// Where the trouble is, for reports.
    pub(super) fn trouble(&self) -> TroubleKind {
        match self {
            Self::Catalog(_) => TroubleKind::Catalog,
            Self::Upload { .. } | Self::TooManyParts { .. } | Self::Encode { .. } => TroubleKind::Store,
        }
    }

    /// Whether it passes by itself: a store is away.
    pub fn passes(&self) -> bool {
        match self {
            Self::Upload { .. } => true,
            Self::Catalog(error) => {
                matches!(error, CatalogError::Unavailable { .. } | CatalogError::MaybeCommitted { .. })
            }
            Self::TooManyParts { .. } | Self::Encode { .. } => false,
        }
    }
}

/// Writes the parts of one task.
#[derive(Debug)]
pub struct Flusher {
    /// The table.
    pub table: Arc<Table>,
    /// Who stages the intents.
    pub writer: WriterId,
    /// Where parts go.
    pub objects: Arc<dyn ObjectStore>,
    /// Where intents go.
    pub catalog: Arc<dyn CatalogService>,
    /// Ids, time and threads.
    pub world: World,
}

/// The rows of one part, in the order in which they will be written.
pub(super) struct PartPlan {
    id: PartId,
    kind: PartKind,
    partition: Vec<Scalar>,
    schema: SchemaRef,
    batches: Arc<Vec<RecordBatch>>,
    order: Vec<(usize, usize)>,
}

impl PartPlan {
    /// Bytes of memory that the plan takes beside the rows themselves.
    pub(super) fn bytes(&self) -> u64 {
        (self.order.len() * size_of::<(usize, usize)>()) as u64
    }
}

/// An encoded part, not yet uploaded.
pub(super) struct EncodedPart {
    pub(super) part: Part,
    pieces: Vec<Bytes>,
}

impl Flusher {
    /// Makes the parts of `frozen` durable, all steps once. None where it holds neither rows nor error rows.
    ///
    /// # Errors
    /// See [`FlushError`]; none of them made anything visible, and the flush may be tried again from the start.
    pub async fn flush(&self, frozen: &Frozen) -> Result<Vec<Part>, FlushError> {
        self.carry_out(self.plan(frozen).await?).await
    }

    async fn carry_out(&self, mut plans: Vec<PartPlan>) -> Result<Vec<Part>, FlushError> {
        self.stage(&mut plans).await?;
        let mut parts = Vec::with_capacity(plans.len());
        for plan in plans {
            let encoded = self.encode(plan).await?;
            self.upload(&encoded).await?;
            parts.push(encoded.part);
        }
        Ok(parts)
    }

    /// The first step: which rows go into which part, and in which order.
    pub(super) async fn plan(&self, frozen: &Frozen) -> Result<Vec<PartPlan>, FlushError> {
        let (rows, errors) = (collect(frozen, PartKind::Rows), collect(frozen, PartKind::Errors));
        let first = frozen.streams.iter().next().map_or(0, |(stream, of)| stream.0 << 32 | of.range.start.0);
        self.plan_rows(rows, errors, frozen.streams.len(), first).await
    }

    /// Makes rows and error rows durable that are in no memtable, as [`Flusher::flush`] does.
    ///
    /// # Errors
    /// As there.
    pub async fn write_rows(
        &self,
        rows: Vec<RecordBatch>,
        errors: Vec<RecordBatch>,
        streams: usize,
    ) -> Result<Vec<Part>, FlushError> {
        let plans = self.plan_rows(Arc::new(rows), Arc::new(errors), streams, 0).await?;
        self.carry_out(plans).await
    }

    /// The same for rows that are in no memtable: batches in the table's storage schema and in that of error tables, of so many
    /// streams. `first` tells flushes apart in tests.
    pub(super) async fn plan_rows(
        &self,
        rows: Arc<Vec<RecordBatch>>,
        errors: Arc<Vec<RecordBatch>>,
        streams: usize,
        first: u64,
    ) -> Result<Vec<PartPlan>, FlushError> {
        let (table, random) = (Arc::clone(&self.table), Arc::clone(&self.world.random));
        let part_id = move |number: usize| match planted::is("part-named-by-its-offsets") {
            true => PartId(u128::from(first) << 32 | number as u128),
            false => PartId(random.next_u128()),
        };
        compute(&*self.world.compute, move || {
            let partitions = partition::split(&table, &rows);
            check_fits(&partitions, streams)?;
            let mut plans = Vec::new();
            let schema = storage_schema(&table);
            for (partition, rows_of) in partitions {
                let order = sort::sorted(&sort_columns(&table), &rows, rows_of);
                let (schema, batches) = (Arc::clone(&schema), Arc::clone(&rows));
                plans.push(PartPlan {
                    id: part_id(plans.len()),
                    kind: PartKind::Rows,
                    partition,
                    schema,
                    batches,
                    order,
                });
            }
            let all_errors = partition::all_rows(&errors);
            if !all_errors.is_empty() {
                let order = sort::sorted(&[STREAM_COLUMN, OFFSET_COLUMN], &errors, all_errors);
                let (id, schema) = (part_id(plans.len()), error_schema());
                plans.push(PartPlan {
                    id,
                    kind: PartKind::Errors,
                    partition: Vec::new(),
                    schema,
                    batches: errors,
                    order,
                });
            }
            Ok(plans)
        })
        .await
    }

    /// The second step: the intents, so that whatever is uploaded is known to the sweeper. After an error the parts have other names:
    /// under the old ones the sweeper may have taken them already (I7).
    pub(super) async fn stage(&self, plans: &mut [PartPlan]) -> Result<(), FlushError> {
        crash_point("flush.before_stage");
        let intents: Vec<UploadIntent> = plans.iter().map(|plan| self.intent(plan)).collect();
        if !intents.is_empty() {
            let staged = self.catalog.stage(&intents).await;
            if staged.is_err() {
                plans.iter_mut().for_each(|plan| plan.id = PartId(self.world.random.next_u128()));
            }
            staged?;
        }
        crash_point("flush.after_stage");
        Ok(())
    }

    fn intent(&self, plan: &PartPlan) -> UploadIntent {
        let (part, table) = (plan.id, self.table.id);
        let path = object_path(&self.table, plan.id);
        UploadIntent { part, table, path, writer: self.writer, created: self.world.clock.wall().0 }
    }

    /// The third step: a part's object, in memory.
    pub(super) async fn encode(&self, plan: PartPlan) -> Result<EncodedPart, FlushError> {
        let table = Arc::clone(&self.table);
        let rows = plan.order.len();
        let encoded = compute(&*self.world.compute, move || encode_part(&table, plan)).await;
        encoded.map_err(|error| FlushError::Encode { rows, cause: error.to_string() })
    }

    /// The fourth step. Tried again, it writes the same bytes under the same name.
    pub(super) async fn upload(&self, encoded: &EncodedPart) -> Result<(), FlushError> {
        let EncodedPart { part, pieces } = encoded;
        crash_point("flush.before_upload");
        let payload = PutPayload::from_iter(pieces.iter().cloned());
        let (objects, path) = (Arc::clone(&self.objects), Path::from(part.path.as_str()));
        let uploading = async move { objects.put(&path, payload).await };
        if planted::is("upload-not-awaited") {
            drop(tokio::spawn(uploading));
            return Ok(());
        }
        let uploaded = uploading.await;
        if !planted::is("upload-failure-ignored") {
            uploaded.map_err(|source| FlushError::Upload { path: part.path.clone(), source })?;
        }
        crash_point("flush.after_upload");
        metrics::counter!("millrace_parts_written_total").increment(1);
        metrics::counter!("millrace_parts_written_bytes_total").increment(part.bytes);
        Ok(())
    }
}

/// Whether one commit can hold parts of these rows, of so many streams. Judged before anything is sorted.
fn check_fits(partitions: &[(Vec<Scalar>, Vec<partition::RowAt>)], streams: usize) -> Result<(), FlushError> {
    let text = |value: &Scalar| if let Scalar::Text(text) = value { 2 * text.len() } else { 0 };
    let record = |(values, rows): &(Vec<Scalar>, Vec<partition::RowAt>)| {
        let streams = streams.min(rows.len()) * PART_STREAM_BYTES;
        PART_RECORD_BYTES + streams + values.iter().map(text).sum::<usize>()
    };
    // One part more, of error rows.
    let parts = partitions.len() + 1;
    let bytes = partitions.iter().map(record).sum::<usize>() + PART_RECORD_BYTES + streams * PART_STREAM_BYTES;
    if partitions.len() > 1 && (parts > PARTS_PER_COMMIT_MAX || bytes > PART_RECORDS_BYTES_MAX) {
        return Err(FlushError::TooManyParts { parts });
    }
    Ok(())
}

/// The object's name: a hash prefix first, so that a store spreads the load; then only ids, never user text. A part id is
/// random, so its own first bits are the hash.
fn object_path(table: &Table, part: PartId) -> String {
    format!("{:04x}/{}/{part}.parquet", part.0 >> 112, table.id)
}

fn sort_columns(table: &Table) -> Vec<&str> {
    let order_by = table.order_by.iter().map(|id| table.column_by_id(*id).name.as_str());
    order_by.chain([STREAM_COLUMN, OFFSET_COLUMN]).collect()
}

fn collect(frozen: &Frozen, kind: PartKind) -> Arc<Vec<RecordBatch>> {
    let batches = frozen.streams.values().flat_map(FrozenStream::pieces).filter_map(|batch| match kind {
        PartKind::Rows => Some(batch.rows),
        PartKind::Errors => batch.errors,
    });
    Arc::new(batches.filter(|batch| batch.num_rows() > 0).collect())
}

fn encode_part(table: &Table, plan: PartPlan) -> Result<EncodedPart, parquet::errors::ParquetError> {
    let key: Vec<usize> = match plan.kind {
        PartKind::Rows => table.order_by.iter().map(|id| column_index(table, *id)).collect(),
        PartKind::Errors => Vec::new(),
    };
    let mut bounds: Vec<statistics::Bounds> = key.iter().map(|_| statistics::Bounds::default()).collect();
    let mut coverage = Coverage::default();
    let pieces = encode::parquet(&plan.schema, &key, &plan.batches, &plan.order, |chunk| {
        for (bounds, column) in bounds.iter_mut().zip(&key) {
            bounds.include(chunk.column(*column));
        }
        coverage.include(chunk);
    })?;
    let part = Part {
        id: plan.id,
        table: table.id,
        schema: table.schema,
        kind: plan.kind,
        path: object_path(table, plan.id),
        bytes: pieces.iter().map(|piece| piece.len() as u64).sum(),
        rows: plan.order.len() as u64,
        partition: plan.partition,
        sort_key: bounds.into_iter().map(|bounds| SortKeyRange { min: bounds.min(), max: bounds.max() }).collect(),
        streams: coverage.finish(),
        checksums: encode::checksums(&pieces),
    };
    Ok(EncodedPart { part, pieces })
}

fn column_index(table: &Table, id: catalog::ColumnId) -> usize {
    table.columns.iter().position(|column| column.id == id).expect("ORDER BY names columns of its own table")
}

/// Which offsets of which streams a part's rows have.
#[derive(Default)]
struct Coverage(BTreeMap<i64, (i64, i64, u64)>);

impl Coverage {
    fn include(&mut self, chunk: &RecordBatch) {
        let column = |name| chunk.column_by_name(name).expect("every part has its hidden columns");
        let streams = column(STREAM_COLUMN).as_primitive::<Int64Type>();
        let offsets = column(OFFSET_COLUMN).as_primitive::<Int64Type>();
        for (stream, offset) in streams.values().iter().zip(offsets.values()) {
            let (first, last, rows) = self.0.entry(*stream).or_insert((*offset, *offset, 0));
            *first = (*first).min(*offset);
            *last = (*last).max(*offset);
            *rows += 1;
        }
    }

    fn finish(self) -> Vec<PartStream> {
        let of = |(stream, (first, last, rows)): (i64, (i64, i64, u64))| PartStream {
            stream: StreamId(stream as u64),
            range: OffsetRange::new(Offset(first as u64), Offset(last as u64 + 1)),
            rows,
        };
        self.0.into_iter().map(of).collect()
    }
}
