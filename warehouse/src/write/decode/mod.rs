//! Fetched records to a [`Batch`]: payloads straight into Arrow columns, then the pipeline's SELECT.
//!
//! ```text
//! Fetched ──Decoder──> fields ──Transform──> the table's columns ──> Batch (rows, error rows, ledger)
//!             json        WHERE, expressions, conversion, DEFAULT, NOT NULL
//! ```
//!
//! A record that cannot become a row becomes an error row with its offset and its reason; the rest of the batch goes on.
//! Guaranteed afterwards: every offset of the range is a row, an error row, filtered, or a named gap (I1). Nothing is
//! durable yet: if the process dies here, the next owner fetches again from the committed offset. What comes out depends
//! on the records and the pipeline alone, never on the clock or on how the records were cut into fetches.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use catalog::{Gap, GapKind, Ledger, Offset, Pipeline, RecordFormat, StreamId, Table};
use vfs::planted;

mod column;
mod error_rows;
mod infer;
mod json;
mod loose;
mod number;
mod reason;
mod statement;
mod time;
mod transform;

#[cfg(test)]
mod differential;
#[cfg(test)]
mod tests;

pub use column::FieldKind;
pub use infer::{Inferred, InferredColumn, infer};
pub use reason::{BadRecord, ErrorReason};
pub use statement::{StatementColumn, UnfitValue, value_of_bytes, value_of_text};

use super::batch::Batch;
use super::source::{Fetched, Records};
use crate::schema::storage_schema;
use transform::Transform;

/// A field that is read from each record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeField {
    /// Its name in the record: compared exactly, and then without regard to case.
    pub name: String,
    /// What it is read as.
    pub kind: FieldKind,
}

/// A value of a row that its field does not take; the row holds NULL in its place. It makes an error row of the record,
/// unless the pipeline's WHERE leaves the record out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// The index of the row.
    pub row: u32,
    /// The index of the field.
    pub field: u32,
    /// Why, in one word.
    pub reason: ErrorReason,
    /// Why, in a sentence.
    pub message: String,
}

/// Records as columns.
#[derive(Debug)]
pub struct Decoded {
    /// The fields asked for, in their order; each nullable, and NULL where the record has none.
    pub rows: RecordBatch,
    /// For each row, the index of its record; rising.
    pub row_records: Vec<u32>,
    /// Records without a row, by rising index.
    pub errors: Vec<BadRecord>,
    /// What is wrong with single values of rows, by rising row.
    pub flaws: Vec<Flaw>,
    /// Fields of rows that nobody asked for.
    pub unknown_fields: u64,
}

/// Turns records of one format into columns. Each record gives one row or one error, whatever the others are like.
pub trait Decoder: Send + Sync {
    /// Decodes `records`.
    fn decode(&mut self, records: &Records) -> Decoded;
}

/// A decoder of `fields`, which refuses payloads of more than `max_record_bytes`.
pub fn decoder(format: RecordFormat, fields: Vec<DecodeField>, max_record_bytes: u64) -> Box<dyn Decoder> {
    match format {
        RecordFormat::Json => Box::new(json::JsonDecoder::new(fields, max_record_bytes)),
    }
}

/// Where records come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamOrigin {
    /// The stream.
    pub stream: StreamId,
    /// Its topic.
    pub topic: Arc<str>,
    /// Kafka's partition number.
    pub partition: i32,
}

/// Why a pipeline cannot be: the place in its statement, the cause and the next step.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct InvalidPipeline {
    /// The sentence.
    pub message: String,
}

/// Turns what is fetched for one pipeline into batches of its table.
pub struct PipelineDecoder {
    schema: SchemaRef,
    transform: Transform,
    decoder: Box<dyn Decoder>,
    unknown_fields: u64,
}

impl PipelineDecoder {
    /// A decoder for `pipeline`, which writes `table`.
    ///
    /// # Errors
    /// If the SELECT cannot be parsed, names what is not there, is no row-wise deterministic function of a record, or
    /// leaves a NOT NULL column of the table without a value.
    pub fn new(table: Arc<Table>, pipeline: Arc<Pipeline>) -> Result<Self, InvalidPipeline> {
        let transform = Transform::plan(&table, &pipeline)?;
        let fields = transform.fields().to_vec();
        let decoder = decoder(pipeline.source.format, fields, pipeline.settings.max_record_bytes);
        Ok(Self { schema: storage_schema(&table), transform, decoder, unknown_fields: 0 })
    }

    /// Whether the records' keys are needed.
    pub fn needs_keys(&self) -> bool {
        self.transform.needs_keys()
    }

    /// Whether the records' headers are needed.
    pub fn needs_headers(&self) -> bool {
        self.transform.needs_headers()
    }

    /// How many fields of records were passed over so far because the pipeline names them nowhere.
    pub fn unknown_fields(&self) -> u64 {
        self.unknown_fields
    }

    /// The batch of what was fetched.
    ///
    /// # Panics
    /// If a record or a gap lies outside the fetched range (I1).
    pub fn decode(&mut self, origin: &StreamOrigin, fetched: &Fetched) -> Batch {
        let records = &fetched.records;
        let decoded = self.decoder.decode(records);
        self.unknown_fields += decoded.unknown_fields;
        let mut result = self.transform.apply(decoded, origin, records);
        result.errors.sort_by_key(|error| error.record);
        if planted::is("error-rows-dropped") {
            result.filtered += std::mem::take(&mut result.errors).len();
        }

        let count = result.row_records.len();
        let offset = |record: &u32| kafka_offset(records.get(*record as usize).offset);
        let stream = i64::try_from(origin.stream.0).expect("stream ids are counted up from 1");
        let hidden: [ArrayRef; 2] = [
            Arc::new(Int64Array::from_value(stream, count)),
            Arc::new(Int64Array::from_iter_values(result.row_records.iter().map(offset))),
        ];
        let columns = result.columns.into_iter().chain(hidden).collect();
        let rows = RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .expect("the transform gives each column its type and no NULL where none may be");
        let (ledger, gaps) = ledger(fetched, count, result.errors.len(), result.filtered);
        count_errors(&result.errors);
        let errors = (!result.errors.is_empty()).then(|| error_rows::build(origin, records, &result.errors));
        Batch::new(fetched.stream, fetched.range, rows, errors, ledger, gaps)
    }
}

impl fmt::Debug for PipelineDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PipelineDecoder").field("transform", &self.transform).finish_non_exhaustive()
    }
}

/// By reason, so that a flood of one kind is seen where operators look.
fn count_errors(errors: &[BadRecord]) {
    let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
    for error in errors {
        *counts.entry(error.reason.as_str()).or_default() += 1;
    }
    for (reason, count) in counts {
        metrics::counter!("millrace_error_rows_total", "reason" => reason).increment(count);
    }
}

/// Kafka's offsets are signed 64-bit numbers, never negative.
fn kafka_offset(offset: u64) -> i64 {
    i64::try_from(offset).expect("a broker's offsets fit 63 bits")
}

/// Accounts for each offset of the range (I1), and keeps the gaps that are kept as ranges.
fn ledger(fetched: &Fetched, rows: usize, errors: usize, filtered: usize) -> (Ledger, Vec<Gap>) {
    let mut ledger =
        Ledger { rows: rows as u64, errors: errors as u64, filtered: filtered as u64, ..Ledger::default() };
    if !fetched.records.is_empty() {
        let inside = |index| fetched.range.contains(Offset(fetched.records.get(index).offset));
        let all_inside = inside(0) && inside(fetched.records.len() - 1);
        assert!(all_inside, "I1: records outside of the range {}", fetched.range);
    }
    let mut gaps = Vec::new();
    for gap in &fetched.gaps {
        let inside = fetched.range.start <= gap.range.start && gap.range.end <= fetched.range.end;
        assert!(inside, "I1: gap {} outside of the range {}", gap.range, fetched.range);
        match gap.kind {
            GapKind::Expired => ledger.expired += gap.range.offsets(),
            GapKind::Truncated => ledger.truncated += gap.range.offsets(),
            GapKind::Skipped => continue,
        }
        gaps.push(*gap);
    }
    if planted::is("filtered-not-counted") {
        ledger.skipped += std::mem::take(&mut ledger.filtered);
    }
    // What has no record and no named reason was passed over in silence by the broker.
    let settled = fetched.records.len() as u64 + ledger.expired + ledger.truncated;
    ledger.skipped += fetched
        .range
        .offsets()
        .checked_sub(settled)
        .unwrap_or_else(|| panic!("I1: {settled} records and lost offsets in the range {}", fetched.range));
    (ledger, gaps)
}
