//! A batch: Arrow rows of one contiguous offset range of one stream, with the account of every offset in it (I1).
//!
//! Its encoding is the WAL's payload: format (1 byte), crc32c of all that follows (4), length of the head (4), a small JSON head,
//! and two Arrow IPC streams. Owns that format; knows nothing of segments.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayData, AsArray, RecordBatch};
use arrow::datatypes::{Field, Int64Type, Schema, SchemaRef};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use bytes::{BufMut, Bytes, BytesMut};
use catalog::{Fence, Gap, GapKind, Ledger, OffsetRange, StreamId};
use serde::{Deserialize, Serialize};

use crate::schema::{OFFSET_COLUMN, error_schema};

/// The encoding's version: the first byte of a payload.
const FORMAT: u8 = 1;
const CRC_AT: usize = 1;
const CHECKED_FROM: usize = 5;
const HEAD_AT: usize = 9;
/// What a batch and each of its columns take beside their values: of small batches that is the larger part (I8).
const BATCH_BYTES: u64 = 512;
const COLUMN_BYTES: u64 = 256;

/// Rows, error rows and gaps of `range`.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// The stream.
    pub stream: StreamId,
    /// Every offset that this batch settles.
    pub range: OffsetRange,
    /// Rows in the table's storage schema, by rising `_offset`.
    pub rows: RecordBatch,
    /// Error rows in the error schema, by rising `_offset`; `None` where there is none.
    pub errors: Option<RecordBatch>,
    /// What became of each offset.
    pub ledger: Ledger,
    /// Expired and truncated ranges.
    pub gaps: Vec<Gap>,
}

#[derive(Serialize, Deserialize)]
struct Head {
    stream: StreamId,
    range: OffsetRange,
    pipeline_fence: Fence,
    schema: catalog::SchemaId,
    ledger: Ledger,
    gaps: Vec<Gap>,
    rows_bytes: usize,
    errors_bytes: usize,
}

/// What a payload says of itself before its rows are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchHead {
    /// The stream.
    pub stream: StreamId,
    /// Its offsets.
    pub range: OffsetRange,
    /// The pipeline's version that decoded it: another version must not adopt it.
    pub pipeline_fence: Fence,
    /// The table's columns that it was decoded to.
    pub schema: catalog::SchemaId,
}

/// Why a payload could not be read.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// It was written by a newer Millrace.
    #[error("a batch of format {0} was written by a newer version; the newest known is {FORMAT}")]
    UnsupportedFormat(u8),
    /// Its checksum was right, and yet it is not a batch.
    #[error("a logged batch cannot be read: {0}")]
    Malformed(String),
}

impl Batch {
    /// A batch, checked against I1 and I3.
    ///
    /// # Panics
    /// If the ledger does not account for each offset of the range, or disagrees with the rows.
    pub fn new(
        stream: StreamId,
        range: OffsetRange,
        rows: RecordBatch,
        errors: Option<RecordBatch>,
        ledger: Ledger,
        gaps: Vec<Gap>,
    ) -> Self {
        assert_eq!(ledger.offsets(), range.offsets(), "I1: the ledger of stream {stream} {range} is {ledger:?}");
        assert_eq!(ledger.rows, rows.num_rows() as u64, "I1: the ledger's rows of stream {stream} {range}");
        let error_rows = errors.as_ref().map_or(0, RecordBatch::num_rows);
        assert_eq!(ledger.errors, error_rows as u64, "I1: the ledger's errors of stream {stream} {range}");
        Self { stream, range, rows, errors: errors.filter(|errors| errors.num_rows() > 0), ledger, gaps }
    }

    /// Bytes of memory that it holds. An allocation that several columns share is counted once: a batch read back from the
    /// log is one allocation, and every column of it a view into that.
    pub fn bytes(&self) -> u64 {
        let columns = || self.rows.columns().iter().chain(self.errors.iter().flat_map(RecordBatch::columns));
        let mut allocations = BTreeMap::new();
        columns().for_each(|column| note_allocations(&column.to_data(), &mut allocations));
        BATCH_BYTES + columns().count() as u64 * COLUMN_BYTES + allocations.values().sum::<u64>()
    }

    /// The part of the batch that settles `range`. Pieces that together make up a batch account for each of its offsets
    /// exactly once (I1): which of the offsets without a row were filtered and which skipped is not known one by one, so the
    /// first of them count as filtered, as many as there are.
    ///
    /// # Panics
    /// If `range` is not within the batch's own.
    pub fn slice(&self, range: OffsetRange) -> Self {
        let inside = self.range.start <= range.start && range.end <= self.range.end;
        assert!(inside, "{range} is cut out of a batch of stream {} {}", self.stream, self.range);
        if range == self.range {
            return self.clone();
        }
        let gaps: Vec<Gap> = self.gaps.iter().filter_map(|gap| clipped(gap, range)).collect();
        let lost = |kind| gaps.iter().filter(|gap| gap.kind == kind).map(|gap| gap.range.offsets()).sum();
        let rows = slice_offsets(&self.rows, range);
        let errors = self.errors.as_ref().map(|errors| slice_offsets(errors, range));
        let before = self.silent_offsets(OffsetRange::new(self.range.start, range.start));
        let silent = self.silent_offsets(range);
        let filtered = self.ledger.filtered.saturating_sub(before).min(silent);
        let ledger = Ledger {
            rows: rows.num_rows() as u64,
            errors: errors.as_ref().map_or(0, RecordBatch::num_rows) as u64,
            filtered,
            skipped: silent - filtered,
            expired: lost(GapKind::Expired),
            truncated: lost(GapKind::Truncated),
        };
        Self::new(self.stream, range, rows, errors, ledger, gaps)
    }

    /// How many offsets of `range` have neither a row, nor an error row, nor a named gap.
    fn silent_offsets(&self, range: OffsetRange) -> u64 {
        let rows = slice_offsets(&self.rows, range).num_rows();
        let errors = self.errors.as_ref().map_or(0, |errors| slice_offsets(errors, range).num_rows());
        let lost: u64 = self.gaps.iter().filter_map(|gap| clipped(gap, range)).map(|gap| gap.range.offsets()).sum();
        range.offsets() - (rows + errors) as u64 - lost
    }

    /// The WAL payload.
    pub fn encode(&self, pipeline_fence: Fence, schema: catalog::SchemaId) -> Bytes {
        let rows = encode_ipc(&self.rows);
        let errors = self.errors.as_ref().map(encode_ipc).unwrap_or_default();
        let head = Head {
            stream: self.stream,
            range: self.range,
            pipeline_fence,
            schema,
            ledger: self.ledger,
            gaps: self.gaps.clone(),
            rows_bytes: rows.len(),
            errors_bytes: errors.len(),
        };
        let head = serde_json::to_vec(&head).expect("numbers and names are always JSON");
        let mut payload = BytesMut::with_capacity(HEAD_AT + head.len() + rows.len() + errors.len());
        payload.put_u8(FORMAT);
        payload.put_u32_le(0);
        payload.put_u32_le(u32::try_from(head.len()).expect("a head is small"));
        payload.put_slice(&head);
        payload.put_slice(&rows);
        payload.put_slice(&errors);
        let crc = crc32c::crc32c(&payload[CHECKED_FROM..]);
        payload[CRC_AT..CHECKED_FROM].copy_from_slice(&crc.to_le_bytes());
        payload.freeze()
    }

    /// The head of a payload.
    ///
    /// # Errors
    /// If it is not a payload that this version wrote or knows.
    pub fn decode_head(payload: &[u8]) -> Result<BatchHead, BatchError> {
        let (head, _) = split(payload)?;
        Ok(BatchHead {
            stream: head.stream,
            range: head.range,
            pipeline_fence: head.pipeline_fence,
            schema: head.schema,
        })
    }

    /// The batch of a payload whose rows are in `schema`.
    ///
    /// # Errors
    /// If it is not a payload that this version wrote or knows, or its rows are in another schema.
    pub fn decode(payload: &[u8], schema: &SchemaRef) -> Result<Self, BatchError> {
        let (head, body) = split(payload)?;
        let malformed = |what: &str| BatchError::Malformed(what.to_owned());
        let (rows, rest) = body.split_at_checked(head.rows_bytes).ok_or_else(|| malformed("its rows are cut"))?;
        let errors = rest.get(..head.errors_bytes).ok_or_else(|| malformed("its error rows are cut"))?;
        let rows = decode_ipc(rows, schema)?;
        let errors = if errors.is_empty() { None } else { Some(decode_ipc(errors, &error_schema())?) };
        let error_rows = errors.as_ref().map_or(0, RecordBatch::num_rows) as u64;
        let OffsetRange { start, end } = head.range;
        if start > end
            || accounted(&head.ledger) != u128::from(end.0 - start.0)
            || head.ledger.rows != rows.num_rows() as u64
            || head.ledger.errors != error_rows
        {
            return Err(malformed("its ledger does not fit its rows"));
        }
        if ![Some(&rows), errors.as_ref()].into_iter().flatten().all(|batch| rise_within(batch, head.range)) {
            return Err(malformed("its offsets do not rise within its range"));
        }
        Ok(Self::new(head.stream, head.range, rows, errors, head.ledger, head.gaps))
    }
}

/// The rows of `batch` whose `_offset` lies in `range`, without copying. Offsets rise within a batch.
pub fn slice_offsets(batch: &RecordBatch, range: OffsetRange) -> RecordBatch {
    let offsets =
        batch.column_by_name(OFFSET_COLUMN).expect("every batch carries _offset").as_primitive::<Int64Type>().values();
    let from = offsets.partition_point(|offset| *offset < range.start.0 as i64);
    let to = offsets.partition_point(|offset| *offset < range.end.0 as i64);
    batch.slice(from, to - from)
}

fn note_allocations(data: &ArrayData, seen: &mut BTreeMap<usize, u64>) {
    for buffer in data.buffers().iter().chain(data.nulls().map(|nulls| nulls.buffer())) {
        seen.insert(buffer.data_ptr().as_ptr() as usize, buffer.capacity() as u64);
    }
    data.child_data().iter().for_each(|child| note_allocations(child, seen));
}

/// What of a gap lies in `range`.
fn clipped(gap: &Gap, range: OffsetRange) -> Option<Gap> {
    let (start, end) = (gap.range.start.max(range.start), gap.range.end.min(range.end));
    (start < end).then(|| Gap { kind: gap.kind, range: OffsetRange::new(start, end) })
}

/// [`Ledger::offsets`], for numbers that nobody has vouched for.
fn accounted(ledger: &Ledger) -> u128 {
    let Ledger { rows, errors, filtered, skipped, expired, truncated } = *ledger;
    [rows, errors, filtered, skipped, expired, truncated].into_iter().map(u128::from).sum()
}

fn rise_within(batch: &RecordBatch, range: OffsetRange) -> bool {
    let column = batch.column_by_name(OFFSET_COLUMN).expect("every batch carries _offset");
    let offsets = column.as_primitive::<Int64Type>().values();
    let inside = |offset: &i64| u64::try_from(*offset).is_ok_and(|offset| range.contains(catalog::Offset(offset)));
    offsets.is_sorted_by(|a, b| a < b) && offsets.first().is_none_or(inside) && offsets.last().is_none_or(inside)
}

fn split(payload: &[u8]) -> Result<(Head, &[u8]), BatchError> {
    let malformed = || BatchError::Malformed("its head is cut".to_owned());
    let (format, rest) = payload.split_first().ok_or_else(malformed)?;
    if *format != FORMAT {
        return Err(BatchError::UnsupportedFormat(*format));
    }
    let (crc, checked) = rest.split_first_chunk::<4>().ok_or_else(malformed)?;
    // The IPC reader does not survive every damage, so it must see none.
    if crc32c::crc32c(checked) != u32::from_le_bytes(*crc) {
        return Err(BatchError::Malformed("it does not match its checksum".to_owned()));
    }
    let (length, rest) = checked.split_first_chunk::<4>().ok_or_else(malformed)?;
    let (head, body) = rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(malformed)?;
    let head = serde_json::from_slice(head).map_err(|error| BatchError::Malformed(error.to_string()))?;
    Ok((head, body))
}

/// Without the fields' metadata: who reads it back knows the table, and it would be repeated in every record of the log.
fn encode_ipc(batch: &RecordBatch) -> Vec<u8> {
    let bare = |field: &Arc<Field>| field.as_ref().clone().with_metadata(Default::default());
    let schema = Arc::new(Schema::new(batch.schema().fields().iter().map(bare).collect::<Vec<_>>()));
    let bare =
        RecordBatch::try_new(Arc::clone(&schema), batch.columns().to_vec()).expect("only metadata was taken away");
    let mut writer =
        StreamWriter::try_new(Vec::with_capacity(batch.get_array_memory_size()), &schema).expect("writing to memory");
    writer.write(&bare).expect("writing to memory");
    writer.into_inner().expect("writing to memory")
}

fn decode_ipc(bytes: &[u8], schema: &SchemaRef) -> Result<RecordBatch, BatchError> {
    let malformed = |error: arrow::error::ArrowError| BatchError::Malformed(error.to_string());
    let mut reader = StreamReader::try_new(bytes, None).map_err(malformed)?;
    let batch = reader
        .next()
        .ok_or_else(|| BatchError::Malformed("it holds no rows message".to_owned()))?
        .map_err(malformed)?;
    let same_types = batch
        .schema()
        .fields()
        .iter()
        .map(|field| field.data_type())
        .eq(schema.fields().iter().map(|field| field.data_type()));
    if !same_types {
        return Err(BatchError::Malformed("its columns are not the table's".to_owned()));
    }
    RecordBatch::try_new(Arc::clone(schema), batch.columns().to_vec()).map_err(malformed)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use catalog::{Offset, SchemaId};
    use proptest::prelude::*;

    use super::*;
    use crate::schema::storage_schema;
    use crate::write::testing::{batch, range, table};

    const FENCE: Fence = Fence(2);
    const SCHEMA: SchemaId = SchemaId(3);

    fn gap(start: u64, end: u64) -> Gap {
        Gap { kind: GapKind::Expired, range: range(start..end) }
    }

    /// `batch(11, 20..50)` with an expired range before it.
    fn with_gap() -> Batch {
        let rows = batch(11, 20..50);
        let ledger = Ledger { expired: 15, skipped: 5, ..rows.ledger };
        Batch::new(rows.stream, range(0..50), rows.rows, rows.errors, ledger, vec![gap(5, 20)])
    }

    #[test]
    fn what_is_encoded_comes_back() {
        let without_rows = Batch::new(
            catalog::StreamId(1),
            range(3..5),
            batch(1, 3..3).rows,
            None,
            Ledger { skipped: 2, ..Ledger::default() },
            vec![],
        );
        for batch in [batch(1, 0..35), batch(1, 3..4), without_rows, with_gap()] {
            let payload = batch.encode(FENCE, SCHEMA);
            let head = BatchHead { stream: batch.stream, range: batch.range, pipeline_fence: FENCE, schema: SCHEMA };
            assert_eq!(Batch::decode_head(&payload).unwrap(), head);
            assert_eq!(Batch::decode(&payload, &storage_schema(&table())).unwrap(), batch);
        }
    }

    #[test]
    fn a_payload_of_format_1_can_be_read_for_ever() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/batch-1.bin");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, with_gap().encode(FENCE, SCHEMA)).unwrap();
        }
        let payload = std::fs::read(&path).unwrap();
        assert_eq!(Batch::decode(&payload, &storage_schema(&table())).unwrap(), with_gap());
        let newer = [&[9], &payload[1..]].concat();
        assert!(matches!(Batch::decode_head(&newer), Err(BatchError::UnsupportedFormat(9))));
    }

    #[test]
    fn a_damaged_payload_is_an_error_or_still_a_batch_and_never_a_panic() {
        let (payload, schema) = (with_gap().encode(FENCE, SCHEMA), storage_schema(&table()));
        for length in 0..payload.len() {
            let _ = Batch::decode(&payload[..length], &schema);
        }
        for at in 0..payload.len() {
            for flip in [1, 0x80, 0xff] {
                let mut damaged = payload.to_vec();
                damaged[at] ^= flip;
                let _ = Batch::decode(&damaged, &schema);
            }
        }
    }

    #[test]
    fn a_head_that_does_not_add_up_is_malformed() {
        let payload = batch(1, 0..10).encode(FENCE, SCHEMA);
        for (from, to) in [
            ("\"rows\":8", "\"rows\":7"),
            ("\"filtered\":1", "\"filtered\":2"),
            ("\"start\":0", "\"start\":9"),
            ("\"start\":0", "\"start\":99"),
            ("\"skipped\":0", "\"skipped\":18446744073709551615"),
            ("\"errors_bytes\":", "\"errors_bytes\":1844674407370955"),
            ("\"end\":10", "\"end\":99"),
        ] {
            let head_bytes = u32::from_le_bytes(payload[CHECKED_FROM..HEAD_AT].try_into().unwrap()) as usize;
            let head = std::str::from_utf8(&payload[HEAD_AT..HEAD_AT + head_bytes]).unwrap();
            assert!(head.contains(from), "{head}");
            let head = head.replacen(from, to, 1);
            let length = u32::try_from(head.len()).unwrap().to_le_bytes();
            let checked = [&length[..], head.as_bytes(), &payload[HEAD_AT + head_bytes..]].concat();
            let changed = [&[FORMAT], &crc32c::crc32c(&checked).to_le_bytes()[..], &checked].concat();
            assert!(
                matches!(Batch::decode(&changed, &storage_schema(&table())), Err(BatchError::Malformed(_))),
                "{to}"
            );
        }
    }

    #[test]
    fn rows_of_other_columns_are_malformed() {
        let payload = batch(1, 0..10).encode(FENCE, SCHEMA);
        assert!(matches!(Batch::decode(&payload, &error_schema()), Err(BatchError::Malformed(_))));
    }

    #[test]
    fn i8_an_allocation_that_columns_share_is_counted_once() {
        let made = batch(1, 0..5_000);
        let payload = made.encode(FENCE, SCHEMA);
        let read = Batch::decode(&payload, &storage_schema(&table())).unwrap();
        assert!(read.bytes() < 2 * payload.len() as u64, "{} of {}", read.bytes(), payload.len());
        assert!(read.bytes() >= payload.len() as u64 / 2 && made.bytes() >= payload.len() as u64 / 2);
    }

    proptest! {
        #[test]
        fn i1_pieces_of_a_batch_account_for_each_offset_once(mut cuts in prop::collection::vec(0..50_u64, 0..6)) {
            let whole = with_gap();
            cuts.extend([0, 50]);
            cuts.sort_unstable();
            let pieces: Vec<Batch> = cuts.windows(2).map(|cut| whole.slice(range(cut[0]..cut[1]))).collect();
            let sum = pieces.iter().fold(Ledger::default(), |sum, piece| sum.plus(piece.ledger));
            prop_assert_eq!(sum, whole.ledger);
            let rows: Vec<&RecordBatch> = pieces.iter().map(|piece| &piece.rows).collect();
            prop_assert_eq!(arrow::compute::concat_batches(&whole.rows.schema(), rows).unwrap(), whole.rows);
            for piece in pieces {
                prop_assert_eq!(piece.ledger.offsets(), piece.range.offsets());
                let inside = |gap: &Gap| piece.range.start <= gap.range.start && gap.range.end <= piece.range.end;
                prop_assert!(piece.gaps.iter().all(inside));
            }
        }
    }

    #[test]
    fn a_slice_has_exactly_the_offsets_of_its_range() {
        let rows = slice_offsets(&batch(1, 0..30).rows, range(7..21));
        let offsets = rows.column_by_name(OFFSET_COLUMN).unwrap().as_primitive::<Int64Type>().values().to_vec();
        assert_eq!(offsets, [7, 10, 11, 12, 13, 14, 15, 16, 17, 20]);
        assert_eq!(slice_offsets(&rows, OffsetRange::new(Offset(8), Offset(10))).num_rows(), 0);
    }
}
