//! What a call of `kafka(…)` asks for, in typed values. Owns no defaults: who reads the call has filled them in.

use std::collections::BTreeMap;

use catalog::{ColumnType, KafkaSource};

/// A position in every partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Position {
    /// The first offset that the broker has.
    Earliest,
    /// The end, as it is when the query begins.
    Latest,
    /// This offset.
    Offset(u64),
    /// So many offsets before the end.
    BeforeEnd(u64),
    /// The first record at or after this many milliseconds since 1970 UTC.
    TimestampMillis(i64),
    /// Offsets by partition number; partitions that are not named are read from their beginning, or to their end.
    Partitions(BTreeMap<i32, u64>),
}

/// What a payload is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadFormat {
    /// One JSON object a record; its fields are columns.
    Json,
    /// Whatever it is; it is one column, `payload`.
    Raw,
}

/// What becomes of a record that cannot become a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// It ends the query.
    Fail,
    /// It is left out.
    Skip,
    /// Its row holds NULL in the place of what is wrong.
    Null,
}

/// A column of the topic as a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicColumn {
    /// Its name.
    pub name: String,
    /// The field of the record that it holds.
    pub field: String,
    /// Its type.
    pub kind: ColumnType,
}

/// A call of `kafka(…)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicQuery {
    /// The brokers and the topics. Where its streams would start is not looked at.
    pub kafka: KafkaSource,
    /// What payloads are taken for.
    pub format: PayloadFormat,
    /// Where reading begins, inclusive.
    pub from: Position,
    /// Where it ends, exclusive; the end of the partition is never passed.
    pub to: Position,
    /// The columns; `None`: what a sample of the range says.
    pub columns: Option<Vec<TopicColumn>>,
    /// What becomes of a record that cannot become a row.
    pub on_error: OnError,
    /// Whether `_topic`, `_partition`, `_offset`, `_timestamp`, `_key` and `_headers` are columns.
    pub metadata: bool,
    /// Whether records of open and aborted transactions are passed over.
    pub read_committed: bool,
    /// A payload above this is not taken apart.
    pub max_record_bytes: u64,
}
