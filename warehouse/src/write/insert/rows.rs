//! Rows with the place that they are given in a channel: `_stream` and `_offset`.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::compute::concat_batches;
use catalog::{Offset, OffsetRange, StreamId, Table};

use super::error::InsertError;
use crate::schema::{row_schema, storage_schema};

/// The rows of all `batches` in one, in the table's columns.
pub(super) fn together<'a>(
    table: &Table,
    batches: impl IntoIterator<Item = &'a RecordBatch>,
) -> Result<RecordBatch, InsertError> {
    concat_batches(&row_schema(table), batches).map_err(|error| InsertError::Failed { cause: error.to_string() })
}

/// `rows`, in the table's columns, as rows `start..` of a stream.
///
/// # Panics
/// If the rows are not in the table's columns: whoever made them has made sure of it.
pub(super) fn placed(table: &Table, rows: &RecordBatch, stream: StreamId, start: Offset) -> (RecordBatch, OffsetRange) {
    let range = OffsetRange::new(start, Offset(start.0 + rows.num_rows() as u64));
    let streams = Int64Array::from_value(stream.0.cast_signed(), rows.num_rows());
    let offsets = Int64Array::from_iter_values(range.start.0.cast_signed()..range.end.0.cast_signed());
    let mut columns: Vec<ArrayRef> = rows.columns().to_vec();
    columns.extend([Arc::new(streams) as ArrayRef, Arc::new(offsets)]);
    let placed = RecordBatch::try_new(storage_schema(table), columns).expect("rows come in the table's columns");
    (placed, range)
}
