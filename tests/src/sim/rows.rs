//! What was read, by stream and offset: rows with their id and the mark of the pipeline's version that made them, and error rows. An
//! offset that comes twice is a violation.

use std::collections::BTreeMap;
use std::fmt;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use catalog::{PartKind, StreamId};

/// What tells by which definition of the pipeline a row was made: the first is [`FIRST`], and each ALTER has one of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(pub u8);

/// Of rows that are as they were produced.
pub const FIRST: Mark = Mark(0);

impl Mark {
    /// The SELECT list of the definition that has this mark: its rows tell it by a constant.
    pub fn projection(self) -> String {
        format!("id, '{self}' AS kind")
    }

    /// The mark of a definition, by its SELECT list.
    pub fn of_projection(projection: &str) -> Self {
        projection.split('\'').nth(1).map_or(FIRST, Self::of_kind)
    }

    fn of_kind(kind: &str) -> Self {
        match kind.as_bytes() {
            [b'v', mark] => Self(*mark),
            _ => FIRST,
        }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == FIRST { f.write_str("as produced") } else { write!(f, "v{}", char::from(self.0)) }
    }
}

/// A row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its id.
    pub id: i64,
    /// By which definition of the pipeline it was made.
    pub mark: Mark,
}

/// Rows and error rows of one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Each row, by offset.
    pub rows: BTreeMap<u64, Row>,
    /// The offsets of error rows.
    pub errors: BTreeMap<u64, ()>,
}

/// The texts of a column, as a part or as memory holds them.
struct Kinds<'a>(&'a dyn Array);

impl<'a> Kinds<'a> {
    fn of(column: &'a arrow::array::ArrayRef) -> Self {
        Self(column.as_ref())
    }

    fn mark(&self, row: usize) -> Mark {
        if self.0.is_null(row) {
            return FIRST;
        }
        match (self.0.as_string_opt::<i32>(), self.0.as_string_view_opt()) {
            (Some(texts), _) => Mark::of_kind(texts.value(row)),
            (None, Some(texts)) => Mark::of_kind(texts.value(row)),
            (None, None) => panic!("a column of texts is of type {}", self.0.data_type()),
        }
    }
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
        let kinds = batch.column_by_name("kind").map(Kinds::of);
        for row in 0..batch.num_rows() {
            let (stream, offset) = (StreamId(streams[row] as u64), offsets[row] as u64);
            let found = self.0.entry(stream).or_default();
            let twice = match kind {
                PartKind::Rows => {
                    let mark = kinds.as_ref().map_or(FIRST, |kinds| kinds.mark(row));
                    found.rows.insert(offset, Row { id: numbers("id")[row], mark }).is_some()
                }
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
            for (offset, row) in &more.rows {
                if found.rows.insert(*offset, *row).is_some() {
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
