//! Rows of small tables: cells of a few types, and the batch that they become.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use futures::{StreamExt, stream};

use super::ColumnDef;
use crate::mysql::Answer;

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Int,
    Float,
    /// Microseconds since 1970, UTC.
    Time,
}

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell {
    Null,
    Text(String),
    Int(i64),
    Float(f64),
    Time(i64),
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Cell {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<u64> for Cell {
    fn from(value: u64) -> Self {
        Self::Int(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<u32> for Cell {
    fn from(value: u32) -> Self {
        Self::Int(i64::from(value))
    }
}

impl From<usize> for Cell {
    fn from(value: usize) -> Self {
        Self::from(value as u64)
    }
}

impl From<f64> for Cell {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A moment, where there is one.
pub(super) fn time(micros: Option<i64>) -> Cell {
    micros.map_or(Cell::Null, Cell::Time)
}

/// Rows as a statement answers them.
pub(crate) fn answer(columns: &[ColumnDef], rows: &[Vec<Cell>]) -> Answer {
    Answer::Rows { schema: schema(columns), stream: stream::iter([Ok(batch(columns, rows))]).boxed() }
}

/// The columns as the engine knows them.
pub(super) fn schema(columns: &[ColumnDef]) -> SchemaRef {
    let field = |(name, kind): &ColumnDef| {
        let data_type = match kind {
            Kind::Text => DataType::Utf8,
            Kind::Int => DataType::Int64,
            Kind::Float => DataType::Float64,
            Kind::Time => DataType::Timestamp(TimeUnit::Microsecond, None),
        };
        Field::new(*name, data_type, true)
    };
    Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
}

/// The rows as one batch.
///
/// # Panics
/// If a row is not of the columns: both stand in one file of ours.
pub(super) fn batch(columns: &[ColumnDef], rows: &[Vec<Cell>]) -> RecordBatch {
    for row in rows {
        assert_eq!(row.len(), columns.len(), "a row of {columns:?}");
    }
    let arrays = columns.iter().enumerate().map(|(at, (name, kind))| array(name, *kind, rows, at)).collect();
    RecordBatch::try_new(schema(columns), arrays).expect("arrays are made from the schema")
}

fn array(name: &str, kind: Kind, rows: &[Vec<Cell>], at: usize) -> ArrayRef {
    let cells = rows.iter().map(|row| &row[at]);
    macro_rules! of {
        ($array:ty, $variant:ident) => {
            Arc::new(
                cells
                    .map(|cell| match cell {
                        Cell::$variant(value) => Some(value.clone()),
                        Cell::Null => None,
                        other => panic!("{other:?} in column {name}, which is {kind:?}"),
                    })
                    .collect::<$array>(),
            )
        };
    }
    match kind {
        Kind::Text => of!(StringArray, Text),
        Kind::Int => of!(Int64Array, Int),
        Kind::Float => of!(Float64Array, Float),
        Kind::Time => of!(TimestampMicrosecondArray, Time),
    }
}
