//! What Kafka tells about a record beside its payload, as columns of the pipeline's SELECT.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, StringArray, StringBuilder, TimestampMicrosecondArray};
use arrow::datatypes::DataType;
use catalog::ColumnType;

use crate::schema::arrow_type;
use crate::write::decode::error_rows::timestamp_micros;
use crate::write::decode::reason::{BadValue, ErrorReason};
use crate::write::decode::{StreamOrigin, kafka_offset};
use crate::write::source::{RawRecord, Records};

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Metadata {
    Topic,
    Partition,
    Offset,
    Timestamp,
    Key,
    Headers,
}

impl Metadata {
    /// The one of that name. These names are reserved: no field of a record is reached by them.
    pub(super) fn named(name: &str) -> Option<Self> {
        let all = [Self::Topic, Self::Partition, Self::Offset, Self::Timestamp, Self::Key, Self::Headers];
        all.into_iter().find(|metadata| metadata.name().eq_ignore_ascii_case(name))
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Topic => "_topic",
            Self::Partition => "_partition",
            Self::Offset => "_offset",
            Self::Timestamp => "_timestamp",
            Self::Key => "_key",
            Self::Headers => "_headers",
        }
    }

    pub(super) fn data_type(self) -> DataType {
        match self {
            Self::Topic | Self::Key | Self::Headers => DataType::Utf8,
            Self::Partition => DataType::Int32,
            Self::Offset => DataType::Int64,
            Self::Timestamp => arrow_type(&ColumnType::TIMESTAMP),
        }
    }

    /// Its values for some records, and the rows that cannot have one.
    pub(super) fn column(
        self,
        origin: &StreamOrigin,
        records: &Records,
        row_records: &[u32],
    ) -> (ArrayRef, Vec<(usize, BadValue)>) {
        let raw = || row_records.iter().map(|record| records.get(*record as usize));
        let column: ArrayRef = match self {
            Self::Topic => Arc::new(StringArray::from_iter_values(raw().map(|_| &*origin.topic))),
            Self::Partition => Arc::new(Int32Array::from_value(origin.partition, row_records.len())),
            Self::Offset => Arc::new(Int64Array::from_iter_values(raw().map(|record| kafka_offset(record.offset)))),
            Self::Timestamp => {
                let micros = raw().map(|record| timestamp_micros(&record));
                Arc::new(TimestampMicrosecondArray::from_iter(micros).with_timezone("+00:00"))
            }
            Self::Key => return texts("key", raw().map(|record: RawRecord<'_>| record.key)),
            Self::Headers => return texts("headers", raw().map(|record: RawRecord<'_>| record.headers)),
        };
        (column, Vec::new())
    }
}

/// Bytes as text, where they are text.
fn texts<'a>(what: &str, pieces: impl Iterator<Item = Option<&'a [u8]>>) -> (ArrayRef, Vec<(usize, BadValue)>) {
    let mut column = StringBuilder::new();
    let mut bad = Vec::new();
    for (row, piece) in pieces.enumerate() {
        match piece.map(std::str::from_utf8).transpose() {
            Ok(text) => column.append_option(text),
            Err(error) => {
                column.append_null();
                let message = format!("the record's {what} is not UTF-8 at byte {}", error.valid_up_to());
                bad.push((row, BadValue { reason: ErrorReason::NotUtf8, message }));
            }
        }
    }
    (Arc::new(column.finish()), bad)
}
