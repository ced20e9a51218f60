//! Files of rows that a client sends: to rows of a table, bit by bit, with the line of what does not fit. Owns the formats; knows
//! neither HTTP nor what becomes of the rows.

mod csv;
mod lines;
mod ndjson;
mod parquet;

use arrow::array::RecordBatch;

pub use self::csv::{CsvOptions, CsvReader};
pub use self::ndjson::NdJsonReader;
pub use self::parquet::ParquetReader;

/// The longest line, or field, that is read.
pub(super) const LINE_BYTES_MAX: usize = 16 << 20;
/// So much is gathered before it becomes a batch.
pub(super) const BATCH_BYTES: usize = 1 << 20;

/// A row that does not fit, or a file that cannot be read on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{reason}", at(*line))]
pub struct LoadError {
    /// The line, counted from 1, or of a Parquet file the row; `None` where it concerns the file.
    pub line: Option<u64>,
    /// What is wrong, and with what.
    pub reason: String,
}

fn at(line: Option<u64>) -> String {
    line.map(|line| format!("line {line}: ")).unwrap_or_default()
}

impl LoadError {
    pub(super) fn of_file(reason: impl Into<String>) -> Self {
        Self { line: None, reason: reason.into() }
    }

    pub(super) fn at(line: u64, reason: impl Into<String>) -> Self {
        Self { line: Some(line), reason: reason.into() }
    }
}

/// How many rows may be left out because they do not fit, and which were.
#[derive(Debug)]
pub struct Leniency {
    left: u64,
    /// How many were left out.
    pub skipped: u64,
    /// The first of them.
    pub first: Option<LoadError>,
}

impl Leniency {
    /// At most `max` rows.
    pub fn new(max: u64) -> Self {
        Self { left: max, skipped: 0, first: None }
    }

    /// Leaves a row out, or says why none may be any more.
    pub(super) fn skip(&mut self, error: LoadError) -> Result<(), LoadError> {
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                self.skipped += 1;
                self.first.get_or_insert(error);
                Ok(())
            }
            None => Err(error),
        }
    }
}

/// Rows of a file, as they come.
pub trait LoadReader: Send {
    /// Takes bytes of the file; answers the rows that are whole by now, in the table's columns.
    ///
    /// # Errors
    /// The first row that does not fit, once none may be left out any more.
    fn push(&mut self, bytes: &[u8]) -> Result<Vec<RecordBatch>, LoadError>;

    /// The file has ended: the last rows.
    ///
    /// # Errors
    /// As for [`LoadReader::push`], or if it ends within a row.
    fn finish(&mut self) -> Result<Vec<RecordBatch>, LoadError>;

    /// The rows that were left out.
    fn leniency(&self) -> &Leniency;
}
