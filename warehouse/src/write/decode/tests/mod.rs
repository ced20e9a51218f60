//! The rules of decoding, shown on whole batches.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use arrow::util::display::array_value_to_string;
use catalog::{
    Column, ColumnId, ColumnType, Fence, IntegerWidth, KafkaSource, Offset, OffsetRange, Pipeline, PipelineId,
    PipelineSettings, PipelineState, RecordFormat, Scalar, SchemaId, StartPosition, StreamId, Table, TableId,
};

use super::{InvalidPipeline, PipelineDecoder, StreamOrigin};
use crate::write::batch::Batch;
use crate::write::source::{Fetched, RawRecord, Records};

mod flights;
mod ledger;
mod select;
mod values;

pub(super) const INT: ColumnType = ColumnType::Integer { width: IntegerWidth::Int, unsigned: false };
pub(super) const TINY: ColumnType = ColumnType::Integer { width: IntegerWidth::Tiny, unsigned: false };
pub(super) const BIG: ColumnType = ColumnType::Integer { width: IntegerWidth::Big, unsigned: false };
pub(super) const UNSIGNED_BIG: ColumnType = ColumnType::Integer { width: IntegerWidth::Big, unsigned: true };
pub(super) const TEXT: ColumnType = ColumnType::Text { characters_max: None };

pub(super) fn varchar(characters_max: u32) -> ColumnType {
    ColumnType::Text { characters_max: Some(characters_max) }
}

pub(super) fn decimal(precision: u8, scale: u8) -> ColumnType {
    ColumnType::Decimal { precision, scale }
}

pub(super) fn column(name: &str, kind: ColumnType) -> Column {
    Column { id: ColumnId(0), name: name.to_owned(), kind, nullable: true, default: None, comment: String::new() }
}

pub(super) fn not_null(name: &str, kind: ColumnType) -> Column {
    Column { nullable: false, ..column(name, kind) }
}

pub(super) fn with_default(column: Column, default: Scalar) -> Column {
    Column { default: Some(default), ..column }
}

pub(super) fn table(columns: Vec<Column>) -> Table {
    let number = |(index, column): (usize, Column)| Column { id: ColumnId(index as i32 + 1), ..column };
    Table {
        id: TableId(1),
        database: "shop".to_owned(),
        name: "t".to_owned(),
        schema: SchemaId(1),
        fence: Fence(1),
        columns: columns.into_iter().enumerate().map(number).collect(),
        partition_by: Vec::new(),
        order_by: Vec::new(),
        created: 0,
    }
}

pub(super) fn pipeline(projection: &str, filter: Option<&str>) -> Pipeline {
    Pipeline {
        id: PipelineId(1),
        database: "shop".to_owned(),
        name: "p".to_owned(),
        table: TableId(1),
        source: KafkaSource {
            brokers: "broker:9092".to_owned(),
            topics: "topic".into(),
            format: RecordFormat::Json,
            start: StartPosition::Earliest,
            properties: BTreeMap::new(),
        },
        projection: projection.to_owned(),
        filter: filter.map(str::to_owned),
        settings: PipelineSettings { max_record_bytes: 100_000, ..PipelineSettings::default() },
        state: PipelineState::Running,
        fence: Fence(1),
        created: 0,
    }
}

pub(super) fn decoder(columns: Vec<Column>, projection: &str, filter: Option<&str>) -> PipelineDecoder {
    planned(columns, projection, filter).expect("a valid pipeline")
}

pub(super) fn planned(
    columns: Vec<Column>,
    projection: &str,
    filter: Option<&str>,
) -> Result<PipelineDecoder, InvalidPipeline> {
    PipelineDecoder::new(Arc::new(table(columns)), Arc::new(pipeline(projection, filter)))
}

pub(super) fn refusal(columns: Vec<Column>, projection: &str, filter: Option<&str>) -> String {
    planned(columns, projection, filter).expect_err("the pipeline must be refused").message
}

pub(super) fn origin() -> StreamOrigin {
    StreamOrigin { stream: StreamId(7), topic: Arc::from("topic"), partition: 3 }
}

pub(super) fn record(offset: u64, payload: &[u8]) -> RawRecord<'_> {
    RawRecord {
        offset,
        timestamp_ms: Some(1_000 + offset as i64),
        payload: Some(payload),
        payload_bytes: payload.len() as u64,
        key: None,
        headers: None,
    }
}

pub(super) fn range(start: u64, end: u64) -> OffsetRange {
    OffsetRange::new(Offset(start), Offset(end))
}

/// Records with these payloads, from offset 0 without holes.
pub(super) fn fetched<P: AsRef<[u8]>>(payloads: &[P]) -> Fetched {
    let mut records = Records::default();
    for (offset, payload) in payloads.iter().enumerate() {
        records.push(record(offset as u64, payload.as_ref()));
    }
    Fetched { stream: StreamId(7), range: range(0, payloads.len() as u64), records, gaps: Vec::new() }
}

pub(super) fn decode<P: AsRef<[u8]>>(decoder: &mut PipelineDecoder, payloads: &[P]) -> Batch {
    decoder.decode(&origin(), &fetched(payloads))
}

/// A batch's rows: the offset, then the table's columns as text.
pub(super) fn rows(batch: &Batch) -> Vec<(i64, Vec<String>)> {
    let shown = |index: usize, row: usize| match batch.rows.column(index) {
        column if column.is_null(row) => "NULL".to_owned(),
        column => array_value_to_string(column, row).expect("every type has a text"),
    };
    let row =
        |row| (offsets(&batch.rows)[row], (0..batch.rows.num_columns() - 2).map(|index| shown(index, row)).collect());
    (0..batch.rows.num_rows()).map(row).collect()
}

/// The values of a one-column table's rows.
pub(super) fn values(batch: &Batch) -> Vec<String> {
    rows(batch).into_iter().map(|(_, columns)| columns.join(" | ")).collect()
}

pub(super) fn offsets(rows: &RecordBatch) -> Vec<i64> {
    let offsets = rows.column_by_name("_offset").expect("every batch has offsets");
    offsets.as_primitive::<Int64Type>().values().to_vec()
}

/// A batch's error rows: offset, reason, message.
pub(super) fn errors(batch: &Batch) -> Vec<(i64, String, String)> {
    let Some(errors) = &batch.errors else { return Vec::new() };
    let text = |name: &str, row: usize| errors.column_by_name(name).unwrap().as_string::<i32>().value(row).to_owned();
    let offsets = offsets(errors);
    (0..errors.num_rows()).map(|row| (offsets[row], text("reason", row), text("message", row))).collect()
}

pub(super) fn reasons(batch: &Batch) -> Vec<(i64, String)> {
    errors(batch).into_iter().map(|(offset, reason, _)| (offset, reason)).collect()
}

/// What becomes of `{"a": json}` in a column of that kind: its text, or the reason.
pub(super) fn value_of(kind: &ColumnType, json: &str) -> Result<String, String> {
    let batch = decode(&mut decoder(vec![column("a", kind.clone())], "*", None), &[format!(r#"{{"a": {json}}}"#)]);
    match reasons(&batch).pop() {
        Some((_, reason)) => Err(reason),
        None => Ok(values(&batch).remove(0)),
    }
}
