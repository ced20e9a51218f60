//! What was read, by stream and offset: rows with their id, and error rows. An offset that comes twice is a violation.

use std::collections::BTreeMap;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use catalog::{PartKind, StreamId};

/// Rows and error rows of one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The id of each row, by offset.
    pub rows: BTreeMap<u64, i64>,
    /// The offsets of error rows.
    pub errors: BTreeMap<u64, ()>,
}

/// Rows and error rows of all streams.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows(pub BTreeMap<StreamId, Found>);

impl Rows {
    /// Adds a batch.
    ///
    /// # Errors
    /// If an offset is there already (I1).
    pub fn add(&mut self, kind: PartKind, batch: &RecordBatch) -> Result<(), String> {
        let numbers = |name: &str| {
            let column = batch.column_by_name(name).expect("what is read has its hidden columns and its id");
            column.as_primitive::<Int64Type>().values()
        };
        let (streams, offsets) = (numbers("_stream"), numbers("_offset"));
        for row in 0..batch.num_rows() {
            let (stream, offset) = (StreamId(streams[row] as u64), offsets[row] as u64);
            let found = self.0.entry(stream).or_default();
            let twice = match kind {
                PartKind::Rows => found.rows.insert(offset, numbers("id")[row]).is_some(),
                PartKind::Errors => found.errors.insert(offset, ()).is_some(),
            };
            if twice {
                return Err(format!("offset {offset} of stream {stream} is there twice"));
            }
        }
        Ok(())
    }

    /// Adds what is read elsewhere.
    ///
    /// # Errors
    /// If an offset is there already (I1).
    pub fn join(&mut self, other: &Self) -> Result<(), String> {
        for (stream, more) in &other.0 {
            let found = self.0.entry(*stream).or_default();
            for (offset, id) in &more.rows {
                if found.rows.insert(*offset, *id).is_some() {
                    return Err(format!("offset {offset} of stream {stream} is there twice"));
                }
            }
            for offset in more.errors.keys() {
                if found.errors.insert(*offset, ()).is_some() {
                    return Err(format!("the error of offset {offset} of stream {stream} is there twice"));
                }
            }
        }
        Ok(())
    }

    /// What was found of one stream.
    pub fn of(&self, stream: StreamId) -> &Found {
        static NOTHING: Found = Found { rows: BTreeMap::new(), errors: BTreeMap::new() };
        self.0.get(&stream).unwrap_or(&NOTHING)
    }

    /// How many rows and error rows there are.
    pub fn count(&self) -> usize {
        self.0.values().map(|found| found.rows.len() + found.errors.len()).sum()
    }
}
