//! Parquet files: their columns go to those of the same name. A file is read from its end, so it has to be there whole.

use std::fs::File;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use catalog::Table;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::LoadError;
use crate::schema::row_schema;
use crate::write::decode::StatementColumn;

/// Rows that are read at a time.
const ROWS: usize = 8_192;

/// See the module.
pub struct ParquetReader {
    table: Arc<Table>,
    rows: ParquetRecordBatchReader,
    /// For each column of the table, the file's that it takes, if any.
    columns: Vec<(Option<usize>, StatementColumn)>,
    read: u64,
}

impl ParquetReader {
    /// A reader of rows of `table`; of `columns` alone, where they are given.
    ///
    /// # Errors
    /// If it is no Parquet file, or its columns do not go to the table's.
    pub fn open(file: File, table: &Arc<Table>, columns: Option<&[String]>) -> Result<Self, LoadError> {
        let broken = |error: &dyn std::fmt::Display| {
            LoadError::of_file(format!("this is no Parquet file that can be read: {error}"))
        };
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| broken(&error))?;
        let types: Vec<(String, DataType)> =
            builder.schema().fields().iter().map(|field| (field.name().clone(), field.data_type().clone())).collect();
        let is_wanted =
            |name: &str| columns.is_none_or(|columns| columns.iter().any(|it| it.eq_ignore_ascii_case(name)));
        if let Some((name, _)) = types.iter().find(|(name, _)| is_wanted(name) && table.column(name).is_none()) {
            let reason = format!(
                "the file's column `{name}` is none of the table's; name those that are to be loaded in `columns`"
            );
            return Err(LoadError::of_file(reason));
        }
        let mut planned = Vec::with_capacity(table.columns.len());
        for column in &table.columns {
            let from = types.iter().position(|(name, _)| is_wanted(name) && name.eq_ignore_ascii_case(&column.name));
            let taken = match from {
                Some(from) => StatementColumn::assigned(column, &types[from].1),
                None => StatementColumn::absent(column),
            };
            planned
                .push((from, taken.map_err(|cause| LoadError::of_file(format!("column `{}`: {cause}", column.name)))?));
        }
        let rows = builder.with_batch_size(ROWS).build().map_err(|error| broken(&error))?;
        Ok(Self { table: Arc::clone(table), rows, columns: planned, read: 0 })
    }

    /// The next rows, in the table's columns; `None` after the last.
    ///
    /// # Errors
    /// The first row that does not fit, or if the file is damaged.
    pub fn next_rows(&mut self) -> Result<Option<RecordBatch>, LoadError> {
        let batch = match self.rows.next() {
            None => return Ok(None),
            Some(Ok(batch)) => batch,
            Some(Err(error)) => {
                return Err(LoadError::at(self.read + 1, format!("the file is damaged from this row on: {error}")));
            }
        };
        let rows = batch.num_rows();
        let mut columns = Vec::with_capacity(self.columns.len());
        for (from, column) in &self.columns {
            let taken = match from {
                Some(from) => column.assign(batch.column(*from)),
                None => column.defaults(rows),
            };
            columns.push(taken.map_err(|unfit| {
                let reason = format!("column `{}`: {}", unfit.column, unfit.message);
                LoadError::at(self.read + unfit.row as u64 + 1, reason)
            })?);
        }
        self.read += rows as u64;
        Ok(Some(RecordBatch::try_new(row_schema(&self.table), columns).expect("each is of its column's type")))
    }
}
