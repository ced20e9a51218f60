//! ORDER BY: the order of a part's rows, ascending, NULL first, ties by stream and offset.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::row::{RowConverter, Rows, SortField};

use super::partition::RowAt;

/// `rows`, sorted by the named columns. The batches are not copied: only their keys are.
pub(super) fn sorted(columns: &[&str], batches: &[RecordBatch], mut rows: Vec<RowAt>) -> Vec<RowAt> {
    let Some(first) = batches.first() else { return rows };
    let column = |batch: &RecordBatch, name: &str| -> ArrayRef {
        batch.column_by_name(name).expect("sort columns are columns of the schema").clone()
    };
    let fields = columns.iter().map(|name| SortField::new(column(first, name).data_type().clone())).collect();
    let converter = RowConverter::new(fields).expect("ORDER BY columns have an order");
    let keys: Vec<Rows> = batches
        .iter()
        .map(|batch| {
            let arrays: Vec<ArrayRef> = columns.iter().map(|name| column(batch, name)).collect();
            converter.convert_columns(&arrays).expect("the arrays are of the converter's types")
        })
        .collect();
    rows.sort_unstable_by(|(a, i), (b, j)| keys[*a].row(*i).cmp(&keys[*b].row(*j)));
    rows
}
