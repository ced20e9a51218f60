//! The rows of one batch on their way through a transform: fewer at each step, and each that leaves is accounted for.

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::{filter, filter_record_batch};

use crate::write::decode::reason::{BadRecord, BadValue};

/// What is wrong with a value of an input column.
#[derive(Clone, Debug)]
pub(super) struct InputFlaw {
    pub(super) row: usize,
    pub(super) input: usize,
    pub(super) bad: BadValue,
}

/// Rows that can still become rows of the table.
pub(super) struct Rows {
    /// The fields of the records, then what Kafka tells about them.
    pub(super) inputs: RecordBatch,
    /// For each row, its record.
    pub(super) records: Vec<u32>,
    /// What is wrong with single values.
    pub(super) flaws: Vec<InputFlaw>,
    /// What left as an error.
    pub(super) errors: Vec<BadRecord>,
}

impl Rows {
    /// Makes error rows of those in `bad`, whose first reason counts. Returns which rows are left.
    pub(super) fn reject(&mut self, bad: impl IntoIterator<Item = (usize, BadValue)>) -> Vec<bool> {
        let mut keep = vec![true; self.records.len()];
        for (row, why) in bad {
            if std::mem::replace(&mut keep[row], false) {
                self.errors.push(why.of(self.records[row]));
            }
        }
        keep
    }

    /// Lets go of the rows that are not kept.
    pub(super) fn retain(&mut self, keep: &[bool]) {
        if keep.iter().all(|keep| *keep) {
            return;
        }
        let mask = BooleanArray::from(keep.to_vec());
        self.inputs = filter_record_batch(&self.inputs, &mask).expect("one flag a row");
        let mut row = 0..keep.len();
        self.records.retain(|_| row.next().is_some_and(|row| keep[row]));
        let mut left = 0;
        let new_rows: Vec<usize> = keep
            .iter()
            .map(|keep| {
                left += usize::from(*keep);
                left.saturating_sub(1)
            })
            .collect();
        self.flaws.retain(|flaw| keep[flaw.row]);
        self.flaws.iter_mut().for_each(|flaw| flaw.row = new_rows[flaw.row]);
    }
}

/// The kept rows of `columns`.
pub(super) fn retain_columns(columns: Vec<ArrayRef>, keep: &[bool]) -> Vec<ArrayRef> {
    if keep.iter().all(|keep| *keep) {
        return columns;
    }
    let mask = BooleanArray::from(keep.to_vec());
    columns.iter().map(|column| filter(column, &mask).expect("one flag a row")).collect()
}
